//! Aggregates that pick a value of one row: `first`, `last`, `any_value` by order of arrival, `max_by` and
//! `min_by` by another value. What is picked by is kept with the value, so that windows put together from
//! slices pick as if the rows had come to them.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::cells::{Cells, cells};
use super::contest::{ByArrival, Contest, Wins, by_value};
use super::{Built, Entry, Modifiers, best, expect_arguments, not_ordered};
use crate::function::CallContext;
use crate::pipeline::analysis::coerce::is_groupable;
use crate::pipeline::analysis::operator::normalized;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry {
        names: &["first", "first_value", "any_value"],
        build: |context, arguments, modifiers| by_arrival(context, arguments, modifiers, true),
    },
    Entry {
        names: &["last", "last_value"],
        build: |context, arguments, modifiers| by_arrival(context, arguments, modifiers, false),
    },
    Entry { names: &["max_by"], build: |context, arguments, _| by_order(context, arguments, true) },
    Entry { names: &["min_by"], build: |context, arguments, _| by_order(context, arguments, false) },
];

fn by_arrival(
    context: &CallContext<'_>,
    mut arguments: Vec<Typed>,
    modifiers: Modifiers<'_>,
    first: bool,
) -> Result<Built> {
    expect_arguments(context, &arguments, 1, 2)?;
    let flag = if arguments.len() == 2 { arguments.pop() } else { None };
    let ignore_nulls = match flag.as_ref().map(|flag| flag.as_literal()) {
        None => modifiers.ignore_nulls.unwrap_or(false),
        Some(Some(ScalarValue::Boolean(Some(flag)))) => *flag,
        Some(_) => {
            return Err(Error::invalid(format!("the second argument of {} must be true or false", context.name))
                .class("_LEGACY_ERROR_TEMP_1210")
                .at_if_unplaced(context.text.place(context.at)));
        }
    };
    let of = arguments[0].data_type.clone();
    Ok((Arc::new(Pick { by: By::Arrival { first, ignore_nulls }, of }), arguments))
}

fn by_order(context: &CallContext<'_>, mut arguments: Vec<Typed>, largest: bool) -> Result<Built> {
    expect_arguments(context, &arguments, 2, 3)?;
    let count = if arguments.len() == 3 { arguments.pop() } else { None };
    let order = match normalized(arguments.remove(1)) {
        // NULLs do not compete; of what type they are does not matter
        order if order.data_type == DataType::Null => order.widened(&DataType::Boolean),
        order => order,
    };
    if !is_groupable(&order.data_type) {
        return Err(not_ordered(context, &order.data_type));
    }
    let (of, by) = (arguments[0].data_type.clone(), order.data_type.clone());
    arguments.push(order);
    if let Some(count) = count {
        return best::build(context, arguments, &count, largest);
    }
    Ok((Arc::new(Pick { by: By::Value { largest, by }, of }), arguments))
}

#[derive(Debug)]
enum By {
    Arrival { first: bool, ignore_nulls: bool },
    Value { largest: bool, by: DataType },
}

#[derive(Debug)]
struct Pick {
    by: By,
    of: DataType,
}

impl AggregateFunction for Pick {
    fn identity(&self) -> String {
        let of = types::name(&self.of);
        match &self.by {
            By::Arrival { first, ignore_nulls } => {
                let what = if *first { "first" } else { "last" };
                let nulls = if *ignore_nulls { " that is not null" } else { "" };
                format!("{what} {of}{nulls}")
            }
            By::Value { largest, by } => {
                format!("{of} of the {} {}", if *largest { "largest" } else { "smallest" }, types::name(by))
            }
        }
    }

    fn result_type(&self) -> DataType {
        self.of.clone()
    }

    fn state_types(&self) -> Vec<DataType> {
        match &self.by {
            By::Arrival { .. } => vec![self.of.clone(), DataType::Int64],
            By::Value { by, .. } => vec![self.of.clone(), by.clone(), DataType::Int64],
        }
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        let contest: Box<dyn Contest> = match &self.by {
            By::Arrival { first, ignore_nulls } => Box::new(ByArrival::new(*first, *ignore_nulls)),
            By::Value { largest, by } => by_value(*largest, by)?,
        };
        Ok(Box::new(Picks { contest, values: cells(&self.of)? }))
    }
}

struct Picks {
    contest: Box<dyn Contest>,
    values: Box<dyn Cells>,
}

impl Accumulator for Picks {
    fn resize(&mut self, count: usize) {
        self.contest.resize(count);
        self.values.resize(count);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let mut wins = Wins::default();
        self.contest.offer(arguments.last().unwrap_or(&arguments[0]), selected, &mut wins)?;
        self.values.put(&arguments[0], &wins.from, &wins.slots)
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        let mut wins = Wins::default();
        self.contest.merge(from, into, &mut wins);
        wins.from.iter().zip(&wins.slots).for_each(|(from, slot)| self.values.copy(*from, *slot));
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        self.values.column(slots)
    }

    fn clear(&mut self, slots: &[u32]) {
        self.contest.clear(slots);
        slots.iter().for_each(|slot| self.values.clear(*slot));
    }
}

impl Saved for Picks {
    fn save(&mut self, slots: &[u32], _scope: Scope) -> Result<Vec<ArrayRef>> {
        let mut columns = vec![self.values.column(slots)?];
        columns.extend(self.contest.save(slots)?);
        Ok(columns)
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], scope: Scope) -> Result<()> {
        let rows: Vec<u32> = (0..slots.len() as u32).collect();
        self.values.put(&columns[0], &rows, slots)?;
        self.contest.load(slots, &columns[1..], scope)
    }

    fn size(&self) -> usize {
        self.contest.size() + self.values.size()
    }
}
