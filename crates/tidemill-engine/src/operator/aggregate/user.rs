//! Aggregate functions of the user's program. A plan calls them by [`CALL`]: the function's name among the program's
//! extensions, the name people know it by, then the arguments.
//!
//! Two forms: one folds rows into a typed state that can be merged, the other wants all values of a group at once,
//! which are then kept.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::{Built, Entry};
use crate::function::{CallContext, constant_text};
use crate::operator::transform_with_state::state::StateRow;
use crate::operator::transform_with_state::table::{column_of, row_of, struct_row};
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, UInt32Array, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields};
use std::fmt::Debug;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result, types};

/// The name plans call these functions by.
pub const CALL: &str = "__user_aggregate";

pub const ENTRIES: &[Entry] = &[Entry { names: &[CALL], build: |context, arguments, _| build(context, arguments) }];

/// Rows of several groups: those of a group one after the other.
#[derive(Debug)]
pub struct Groups {
    /// A column for each argument.
    pub columns: Vec<ArrayRef>,
    /// For each group the row after its last.
    pub ends: Vec<usize>,
}

/// An aggregate function of the user's program.
pub trait UserAggregate: Debug + Send + Sync {
    /// Type of the result.
    fn result(&self) -> DataType;

    /// The fields of its state; `None` for one that wants all values of a group at once.
    fn state(&self) -> Option<Fields>;

    /// States of groups without rows.
    ///
    /// # Errors
    /// What the function fails with; so below.
    fn zero(&self, groups: usize) -> Result<Vec<StateRow>>;

    /// The states with these rows added, a group for each state.
    ///
    /// # Errors
    /// As above.
    fn update(&self, states: &[StateRow], rows: &Groups) -> Result<Vec<StateRow>>;

    /// The states of two parts of each group as one.
    ///
    /// # Errors
    /// As above.
    fn merge(&self, left: &[StateRow], right: &[StateRow]) -> Result<Vec<StateRow>>;

    /// The results of these states.
    ///
    /// # Errors
    /// As above.
    fn finish(&self, states: &[StateRow]) -> Result<ArrayRef>;

    /// The results of groups of which all rows are there.
    ///
    /// # Errors
    /// As above.
    fn whole(&self, rows: &Groups) -> Result<ArrayRef>;
}

fn build(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Built> {
    if arguments.len() < 2 {
        return Err(Error::bug(format!("{CALL} takes the names of a function first")));
    }
    let name = constant_text(&arguments.remove(0), "the name", context)?;
    let shown = constant_text(&arguments.remove(0), "the name", context)?;
    let user = context.session.extensions.aggregate(&name)?;
    // a column of the type NULL has no bitmap of its NULLs
    let arguments = arguments.into_iter().map(|argument| match argument.data_type {
        DataType::Null => argument.widened(&DataType::Boolean),
        _ => argument,
    });
    let arguments: Vec<Typed> = arguments.collect();
    let fields = arguments.iter().enumerate();
    let fields = fields.map(|(place, typed)| Field::new(format!("a{place}"), typed.data_type.clone(), true)).collect();
    Ok((Arc::new(Function { shown, user, arguments: fields }), arguments))
}

#[derive(Debug)]
struct Function {
    shown: String,
    user: Arc<dyn UserAggregate>,
    arguments: Fields,
}

impl AggregateFunction for Function {
    fn identity(&self) -> String {
        let state =
            self.user.state().map_or_else(|| "all values".into(), |state| types::name(&DataType::Struct(state)));
        let arguments = types::name(&DataType::Struct(self.arguments.clone()));
        format!("{}({arguments}) by {state} to {}", self.shown, types::name(&self.user.result()))
    }

    fn result_type(&self) -> DataType {
        self.user.result()
    }

    fn state_types(&self) -> Vec<DataType> {
        match self.user.state() {
            Some(state) => state.iter().map(|field| field.data_type().clone()).collect(),
            None => vec![types::array_of(DataType::Struct(self.arguments.clone()))],
        }
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        let user = self.user.clone();
        Ok(match self.user.state() {
            Some(fields) => Box::new(Folded { user, fields, states: vec![] }),
            None => Box::new(Gathered { user, fields: self.arguments.clone(), slots: vec![] }),
        })
    }
}

/// The rows of a selection brought together by slot: the slots, and their rows.
fn grouped(arguments: &[ArrayRef], selected: Selected<'_>) -> Result<(Vec<u32>, Groups)> {
    let mut order: Vec<usize> = (0..selected.rows.len()).collect();
    order.sort_by_key(|place| selected.slots[*place]);
    let places: UInt32Array = order.iter().map(|place| selected.rows[*place]).collect::<Vec<_>>().into();
    let (mut slots, mut ends): (Vec<u32>, Vec<usize>) = (Vec::new(), Vec::new());
    for (place, at) in order.iter().enumerate() {
        let slot = selected.slots[*at];
        if slots.last() == Some(&slot) {
            ends.pop();
        } else {
            slots.push(slot);
        }
        ends.push(place + 1);
    }
    let columns = arguments.iter().map(|column| Ok(take(column, &places, None)?)).collect::<Result<_>>()?;
    Ok((slots, Groups { columns, ends }))
}

fn expect(given: usize, wanted: usize) -> Result<()> {
    if given == wanted {
        return Ok(());
    }
    Err(Error::new(Kind::Data, format!("an aggregate function gave {given} values for {wanted} groups"))
        .class("PYTHON_EXCEPTION"))
}

struct Folded {
    user: Arc<dyn UserAggregate>,
    fields: Fields,
    states: Vec<Option<StateRow>>,
}

impl Folded {
    /// The states of slots; those without rows are new.
    fn of(&self, slots: &[u32]) -> Result<Vec<StateRow>> {
        let missing = slots.iter().filter(|slot| self.states[**slot as usize].is_none()).count();
        let mut fresh = if missing > 0 { self.user.zero(missing)? } else { vec![] };
        expect(fresh.len(), missing)?;
        let state = |slot: &u32| match &self.states[*slot as usize] {
            Some(state) => Ok(state.clone()),
            None => fresh.pop().ok_or_else(|| Error::bug("a new state is missing")),
        };
        slots.iter().map(state).collect()
    }

    fn put(&mut self, slots: &[u32], states: Vec<StateRow>) -> Result<()> {
        expect(states.len(), slots.len())?;
        for (slot, state) in slots.iter().zip(states) {
            self.states[*slot as usize] = Some(state);
        }
        Ok(())
    }
}

impl Accumulator for Folded {
    fn resize(&mut self, count: usize) {
        self.states.resize(count, None);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let (slots, rows) = grouped(arguments, selected)?;
        if slots.is_empty() {
            return Ok(());
        }
        let states = self.user.update(&self.of(&slots)?, &rows)?;
        self.put(&slots, states)
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        // a slot may take in several others: one after the other
        let mut open: Vec<(u32, u32)> = from.iter().copied().zip(into.iter().copied()).collect();
        while !open.is_empty() {
            let (mut now, mut later) = (Vec::<(u32, u32)>::new(), Vec::<(u32, u32)>::new());
            for (from, into) in open {
                let taken = now.iter().any(|(_, known)| *known == into);
                if taken { later.push((from, into)) } else { now.push((from, into)) }
            }
            let (from, into): (Vec<u32>, Vec<u32>) = now.into_iter().unzip();
            let states = self.user.merge(&self.of(&into)?, &self.of(&from)?)?;
            self.put(&into, states)?;
            open = later;
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        if slots.is_empty() {
            return Ok(new_null_array(&self.user.result(), 0));
        }
        let results = self.user.finish(&self.of(slots)?)?;
        expect(results.len(), slots.len())?;
        Ok(results)
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|slot| self.states[*slot as usize] = None);
    }
}

impl Saved for Folded {
    fn save(&mut self, slots: &[u32], _scope: Scope) -> Result<Vec<ArrayRef>> {
        let states = self.of(slots)?;
        let fields = self.fields.iter().enumerate();
        fields.map(|(place, field)| column_of(&states, place, field.data_type())).collect()
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        let states = (0..slots.len()).map(|row| row_of(columns, row)).collect::<Result<Vec<_>>>()?;
        self.put(slots, states)
    }

    fn size(&self) -> usize {
        let one = |state: &StateRow| state.iter().map(|value| value.size()).sum::<usize>() + 32;
        self.states.iter().flatten().map(one).sum::<usize>() + self.states.capacity() * 16
    }
}

/// The values of one group, and how many of them have been saved.
#[derive(Debug, Clone, Default)]
struct Values {
    rows: Vec<StateRow>,
    saved: usize,
}

struct Gathered {
    user: Arc<dyn UserAggregate>,
    fields: Fields,
    slots: Vec<Values>,
}

impl Gathered {
    fn columns(&self, rows: &[StateRow]) -> Result<Vec<ArrayRef>> {
        let fields = self.fields.iter().enumerate();
        fields.map(|(place, field)| column_of(rows, place, field.data_type())).collect()
    }
}

impl Accumulator for Gathered {
    fn resize(&mut self, count: usize) {
        self.slots.resize(count, Values::default());
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        for (row, slot) in selected.rows.iter().zip(selected.slots) {
            self.slots[*slot as usize].rows.push(row_of(arguments, *row as usize)?);
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        for (from, into) in from.iter().zip(into) {
            let rows = self.slots[*from as usize].rows.clone();
            self.slots[*into as usize].rows.extend(rows);
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        let (mut rows, mut ends) = (Vec::new(), Vec::with_capacity(slots.len()));
        for slot in slots {
            rows.extend(self.slots[*slot as usize].rows.iter().cloned());
            ends.push(rows.len());
        }
        if slots.is_empty() {
            return Ok(new_null_array(&self.user.result(), 0));
        }
        let results = self.user.whole(&Groups { columns: self.columns(&rows)?, ends })?;
        expect(results.len(), slots.len())?;
        Ok(results)
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|slot| self.slots[*slot as usize] = Values::default());
    }
}

impl Saved for Gathered {
    fn save(&mut self, slots: &[u32], scope: Scope) -> Result<Vec<ArrayRef>> {
        let (mut rows, mut lengths) = (Vec::new(), Vec::with_capacity(slots.len()));
        for slot in slots {
            let values = &mut self.slots[*slot as usize];
            let first = if scope == Scope::Whole { 0 } else { values.saved };
            rows.extend(values.rows[first..].iter().cloned());
            lengths.push(values.rows.len() - first);
            if scope == Scope::Changes {
                values.saved = values.rows.len();
            }
        }
        let items = StructArray::try_new(self.fields.clone(), self.columns(&rows)?, None)?;
        let DataType::List(field) = types::array_of(DataType::Struct(self.fields.clone())) else {
            return Err(Error::bug("a list has another type"));
        };
        Ok(vec![Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), Arc::new(items), None)?)])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], scope: Scope) -> Result<()> {
        let lists = columns[0].as_list::<i32>();
        for (place, slot) in slots.iter().enumerate() {
            let items = lists.value(place);
            let values = &mut self.slots[*slot as usize];
            if scope == Scope::Whole {
                values.rows.clear();
            }
            for row in 0..items.len() {
                values.rows.extend(struct_row(items.as_struct(), row)?);
            }
            values.saved = values.rows.len();
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let one = |row: &StateRow| row.iter().map(|value| value.size()).sum::<usize>() + 32;
        self.slots.iter().map(|values| values.rows.iter().map(one).sum::<usize>() + 32).sum()
    }
}
