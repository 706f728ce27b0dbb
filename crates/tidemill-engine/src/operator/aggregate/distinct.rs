//! `count(DISTINCT a)`, `sum(DISTINCT a)` and their kin, exactly: every slot keeps the set of values
//! it has seen, as numbers of one shared table of values.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::{Entry, Modifiers};
use crate::function::CallContext;
use crate::pipeline::analysis::coerce::is_groupable;
use crate::pipeline::analysis::operator::normalized;
use crate::pipeline::analysis::typed::Typed;
use crate::state::keys::KeyTable;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use std::collections::HashSet;
use std::sync::Arc;
use tidemill_core::{Result, types};

/// The function over distinct values of its arguments.
///
/// # Errors
/// No argument, or arguments that cannot be compared.
pub fn build(
    context: &CallContext<'_>,
    entry: &Entry,
    arguments: Vec<Typed>,
    modifiers: Modifiers<'_>,
) -> Result<(Arc<dyn AggregateFunction>, Vec<Typed>)> {
    let is_count = entry.names.contains(&"count");
    let (inner, arguments) = (entry.build)(context, arguments, modifiers)?;
    let arguments: Vec<Typed> = arguments.into_iter().map(normalized).collect();
    if let Some(wrong) = arguments.iter().find(|argument| !is_groupable(&argument.data_type)) {
        return Err(context.wrong_type("values that can be compared", &wrong.data_type));
    }
    let of = arguments.iter().map(|argument| argument.data_type.clone()).collect();
    Ok((Arc::new(Distinct { is_count, inner, of }), arguments))
}

#[derive(Debug)]
struct Distinct {
    is_count: bool,
    inner: Arc<dyn AggregateFunction>,
    of: Vec<DataType>,
}

impl Distinct {
    fn fields(&self) -> Fields {
        self.of.iter().enumerate().map(|(index, of)| Field::new(format!("v{index}"), of.clone(), true)).collect()
    }
}

impl AggregateFunction for Distinct {
    fn identity(&self) -> String {
        let of: Vec<String> = self.of.iter().map(types::name).collect();
        format!("distinct {} of {}", self.inner.identity(), of.join(", "))
    }

    fn result_type(&self) -> DataType {
        self.inner.result_type()
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![types::array_of(DataType::Struct(self.fields()))]
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Sets {
            inner: if self.is_count { None } else { Some(self.inner.clone()) },
            fields: self.fields(),
            values: KeyTable::new(&self.of)?,
            sets: vec![],
            fresh: vec![],
        }))
    }
}

/// Numbers of values; few are kept in place.
#[derive(Debug, Clone, Default)]
enum Set {
    #[default]
    Empty,
    Few([u32; 4], u8),
    // boxed, because there are as many sets as groups and few of them are large
    #[expect(clippy::box_collection, reason = "keeps the set at three words")]
    Many(Box<HashSet<u32, ahash::RandomState>>),
}

impl Set {
    /// True when the value is new.
    fn insert(&mut self, id: u32) -> bool {
        match self {
            Set::Empty => *self = Set::Few([id, 0, 0, 0], 1),
            Set::Few(ids, count) => {
                let known = &ids[..*count as usize];
                if known.contains(&id) {
                    return false;
                }
                if usize::from(*count) < ids.len() {
                    ids[*count as usize] = id;
                    *count += 1;
                } else {
                    let mut many = HashSet::with_hasher(crate::state::keys::hasher());
                    many.extend(ids.iter().copied().chain([id]));
                    *self = Set::Many(Box::new(many));
                }
            }
            Set::Many(ids) => return ids.insert(id),
        }
        true
    }

    fn len(&self) -> usize {
        match self {
            Set::Empty => 0,
            Set::Few(_, count) => *count as usize,
            Set::Many(ids) => ids.len(),
        }
    }

    /// The values, smallest number first.
    fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = match self {
            Set::Empty => vec![],
            Set::Few(ids, count) => ids[..*count as usize].to_vec(),
            Set::Many(ids) => ids.iter().copied().collect(),
        };
        ids.sort_unstable();
        ids
    }
}

struct Sets {
    /// The function over the distinct values; `None` to count them.
    inner: Option<Arc<dyn AggregateFunction>>,
    fields: Fields,
    values: KeyTable,
    sets: Vec<Set>,
    /// Values added to each slot since it was last saved.
    fresh: Vec<Vec<u32>>,
}

impl Sets {
    fn insert(&mut self, slot: usize, id: u32) -> bool {
        let new = self.sets[slot].insert(id);
        if new {
            self.values.retain(id);
        } else {
            self.values.drop_unreferenced(id);
        }
        new
    }

    fn lists(&self, ids: &[Vec<u32>]) -> Result<ArrayRef> {
        let all: Vec<u32> = ids.iter().flatten().copied().collect();
        let columns = self.values.columns(&all)?;
        let values: ArrayRef = Arc::new(StructArray::try_new(self.fields.clone(), columns, None)?);
        let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths(ids.iter().map(Vec::len));
        Ok(Arc::new(ListArray::try_new(field, offsets, values, None)?))
    }
}

impl Accumulator for Sets {
    fn resize(&mut self, count: usize) {
        self.sets.resize(count, Set::Empty);
        self.fresh.resize(count, vec![]);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let rows = self.values.rows(arguments)?;
        let no_nulls = arguments.iter().all(|argument| argument.null_count() == 0);
        for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
            if no_nulls || arguments.iter().all(|argument| argument.is_valid(row as usize)) {
                let key = rows.row(row as usize);
                let hash = self.values.hash(key.as_ref());
                let id = self.values.intern(key.as_ref(), hash);
                if self.insert(slot as usize, id) {
                    self.fresh[slot as usize].push(id);
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        for (&from, &into) in from.iter().zip(into) {
            let source = std::mem::take(&mut self.sets[from as usize]);
            for id in source.ids() {
                if self.insert(into as usize, id) {
                    self.fresh[into as usize].push(id);
                }
            }
            self.sets[from as usize] = source;
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        let Some(inner) = &self.inner else {
            let counts = slots.iter().map(|&slot| self.sets[slot as usize].len() as i64);
            return Ok(Arc::new(Int64Array::from_iter_values(counts)));
        };
        let mut accumulator = inner.accumulator()?;
        accumulator.resize(slots.len());
        let ids: Vec<Vec<u32>> = slots.iter().map(|&slot| self.sets[slot as usize].ids()).collect();
        let all: Vec<u32> = ids.iter().flatten().copied().collect();
        let rows: Vec<u32> = (0..all.len() as u32).collect();
        let groups: Vec<u32> =
            ids.iter().zip(0u32..).flat_map(|(ids, group)| std::iter::repeat_n(group, ids.len())).collect();
        let selected = Selected { rows: &rows, slots: &groups, arrival: 0, order: None };
        accumulator.update(&self.values.columns(&all)?, selected)?;
        accumulator.evaluate(&(0..slots.len() as u32).collect::<Vec<_>>())
    }

    fn clear(&mut self, slots: &[u32]) {
        for &slot in slots {
            for id in std::mem::take(&mut self.sets[slot as usize]).ids() {
                self.values.release(id);
            }
            self.fresh[slot as usize].clear();
        }
    }
}

impl Saved for Sets {
    fn save(&mut self, slots: &[u32], scope: Scope) -> Result<Vec<ArrayRef>> {
        let ids: Vec<Vec<u32>> = match scope {
            Scope::Whole => slots.iter().map(|&slot| self.sets[slot as usize].ids()).collect(),
            Scope::Changes => slots.iter().map(|&slot| std::mem::take(&mut self.fresh[slot as usize])).collect(),
        };
        Ok(vec![self.lists(&ids)?])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], scope: Scope) -> Result<()> {
        let lists = columns[0].as_list::<i32>();
        let rows = self.values.rows(lists.values().as_struct().columns())?;
        if scope == Scope::Whole {
            self.clear(slots);
        }
        for (row, &slot) in slots.iter().enumerate() {
            for element in lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize {
                let key = rows.row(element);
                let hash = self.values.hash(key.as_ref());
                let id = self.values.intern(key.as_ref(), hash);
                self.insert(slot as usize, id);
            }
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let many = |set: &Set| match set {
            Set::Many(ids) => ids.capacity() * 5,
            _ => 0,
        };
        self.values.size() + self.sets.capacity() * size_of::<Set>() + self.sets.iter().map(many).sum::<usize>()
    }
}
