//! Aggregates that depend on the order of arrival: `first`, `last`, `any_value`, `collect_list`,
//! `collect_set`. Every value is kept with the number of its row, so that windows put together from
//! slices are in order of arrival too.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::extreme::optional_rows;
use super::{Entry, Modifiers, expect_arguments};
use crate::function::CallContext;
use crate::pipeline::analysis::operator::normalized;
use crate::pipeline::analysis::typed::Typed;
use crate::state::keys::converter;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int64Type};
use arrow::row::RowConverter;
use datafusion::common::ScalarValue;
use std::collections::HashSet;
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry {
        names: &["first", "first_value", "any_value"],
        build: |context, arguments, modifiers| build_end(context, arguments, modifiers, true),
    },
    Entry {
        names: &["last", "last_value"],
        build: |context, arguments, modifiers| build_end(context, arguments, modifiers, false),
    },
    Entry {
        names: &["collect_list", "array_agg"],
        build: |context, arguments, _| build_collect(context, arguments, false),
    },
    Entry { names: &["collect_set"], build: |context, arguments, _| build_collect(context, arguments, true) },
];

type Built = (Arc<dyn AggregateFunction>, Vec<Typed>);

fn build_end(context: &CallContext<'_>, mut arguments: Vec<Typed>, modifiers: Modifiers, first: bool) -> Result<Built> {
    expect_arguments(context, &arguments, 1, 2)?;
    let flag = if arguments.len() == 2 { arguments.pop() } else { None };
    let ignore_nulls = match flag.as_ref().map(|flag| flag.as_literal()) {
        None => modifiers.ignore_nulls.unwrap_or(false),
        Some(Some(ScalarValue::Boolean(Some(flag)))) => *flag,
        Some(_) => return Err(context.wrong_type("true or false as its second argument", &DataType::Utf8)),
    };
    let of = arguments[0].data_type.clone();
    Ok((Arc::new(End { first, ignore_nulls, of }), arguments))
}

fn build_collect(context: &CallContext<'_>, mut arguments: Vec<Typed>, distinct: bool) -> Result<Built> {
    expect_arguments(context, &arguments, 1, 1)?;
    let argument = arguments.remove(0);
    let argument = if distinct { normalized(argument) } else { argument };
    Ok((Arc::new(Collect { distinct, of: argument.data_type.clone() }), vec![argument]))
}

#[derive(Debug)]
struct End {
    first: bool,
    ignore_nulls: bool,
    of: DataType,
}

impl AggregateFunction for End {
    fn identity(&self) -> String {
        let what = if self.first { "first" } else { "last" };
        let nulls = if self.ignore_nulls { " that is not null" } else { "" };
        format!("{what} {}{nulls}", types::name(&self.of))
    }

    fn result_type(&self) -> DataType {
        self.of.clone()
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![self.of.clone(), DataType::Int64]
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Ends {
            first: self.first,
            ignore_nulls: self.ignore_nulls,
            of: self.of.clone(),
            converter: converter(std::slice::from_ref(&self.of))?,
            kept: vec![],
        }))
    }
}

/// A value and the number of its row; the value itself may be NULL.
type Kept = Option<(u64, Option<Box<[u8]>>)>;

struct Ends {
    first: bool,
    ignore_nulls: bool,
    of: DataType,
    converter: RowConverter,
    kept: Vec<Kept>,
}

impl Ends {
    fn wins(&self, slot: usize, arrival: u64) -> bool {
        match &self.kept[slot] {
            None => true,
            Some((known, _)) if self.first => arrival < *known,
            Some((known, _)) => arrival >= *known,
        }
    }
}

impl Accumulator for Ends {
    fn resize(&mut self, count: usize) {
        self.kept.resize(count, None);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let rows = self.converter.convert_columns(&arguments[..1])?;
        for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
            let (valid, arrival) = (arguments[0].is_valid(row as usize), selected.number(row));
            if (valid || !self.ignore_nulls) && self.wins(slot as usize, arrival) {
                let value = valid.then(|| rows.row(row as usize).as_ref().into());
                self.kept[slot as usize] = Some((arrival, value));
            }
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        for (&from, &into) in from.iter().zip(into) {
            if let Some((arrival, value)) = self.kept[from as usize].clone()
                && self.wins(into as usize, arrival)
            {
                self.kept[into as usize] = Some((arrival, value));
            }
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        let values =
            slots.iter().map(|&slot| self.kept[slot as usize].as_ref().and_then(|(_, value)| value.as_deref()));
        optional_rows(&self.converter, &self.of, values.collect())
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.kept[slot as usize] = None);
    }
}

impl Saved for Ends {
    fn save(&mut self, slots: &[u32], _scope: Scope) -> Result<Vec<ArrayRef>> {
        let arrivals = slots.iter().map(|&slot| self.kept[slot as usize].as_ref().map(|(arrival, _)| *arrival as i64));
        Ok(vec![self.evaluate(slots)?, Arc::new(arrivals.collect::<Int64Array>())])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        let rows = self.converter.convert_columns(&columns[..1])?;
        let arrivals = columns[1].as_primitive::<Int64Type>();
        for (row, &slot) in slots.iter().enumerate() {
            let value = columns[0].is_valid(row).then(|| rows.row(row).as_ref().into());
            self.kept[slot as usize] = arrivals.is_valid(row).then(|| (arrivals.value(row) as u64, value));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.kept.capacity() * size_of::<Kept>()
    }
}

#[derive(Debug)]
struct Collect {
    distinct: bool,
    of: DataType,
}

impl AggregateFunction for Collect {
    fn identity(&self) -> String {
        format!("{} of {}", if self.distinct { "collect_set" } else { "collect_list" }, types::name(&self.of))
    }

    fn result_type(&self) -> DataType {
        types::array_of(self.of.clone())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![types::array_of(self.of.clone()), types::array_of(DataType::Int64)]
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Collections {
            distinct: self.distinct,
            of: self.of.clone(),
            converter: converter(std::slice::from_ref(&self.of))?,
            lists: vec![],
        }))
    }
}

/// A value, as its converter writes it, and when it came.
type Arrived = (u64, Box<[u8]>);

#[derive(Default, Clone)]
struct List {
    values: Vec<Arrived>,
    seen: HashSet<Box<[u8]>>,
    saved: usize,
}

struct Collections {
    distinct: bool,
    of: DataType,
    converter: RowConverter,
    lists: Vec<List>,
}

impl Collections {
    fn push(&mut self, slot: usize, arrival: u64, value: &[u8]) {
        let list = &mut self.lists[slot];
        if !self.distinct || list.seen.insert(value.into()) {
            list.values.push((arrival, value.into()));
        }
    }

    fn columns(&self, slots: &[u32], from: impl Fn(&List) -> usize) -> Result<Vec<ArrayRef>> {
        let lists = slots.iter().map(|&slot| &self.lists[slot as usize]).map(|list| &list.values[from(list)..]);
        let lists: Vec<&[Arrived]> = lists.collect();
        let values = lists.iter().flat_map(|list| list.iter()).map(|(_, value)| Some(&**value)).collect();
        let values = optional_rows(&self.converter, &self.of, values)?;
        let arrivals = lists.iter().flat_map(|list| list.iter()).map(|(arrival, _)| *arrival as i64);
        let arrivals: ArrayRef = Arc::new(Int64Array::from_iter_values(arrivals));
        let offsets = OffsetBuffer::from_lengths(lists.iter().map(|list| list.len()));
        let list_of = |values: ArrayRef| -> Result<ArrayRef> {
            let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
            Ok(Arc::new(ListArray::try_new(field, offsets.clone(), values, None)?))
        };
        Ok(vec![list_of(values)?, list_of(arrivals)?])
    }
}

impl Accumulator for Collections {
    fn resize(&mut self, count: usize) {
        self.lists.resize(count, List::default());
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let rows = self.converter.convert_columns(&arguments[..1])?;
        for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
            if arguments[0].is_valid(row as usize) {
                self.push(slot as usize, selected.number(row), rows.row(row as usize).as_ref());
            }
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        for (&from, &into) in from.iter().zip(into) {
            for (arrival, value) in self.lists[from as usize].values.clone() {
                self.push(into as usize, arrival, &value);
            }
            self.lists[into as usize].values.sort_by_key(|(arrival, _)| *arrival);
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        self.columns(slots, |_| 0)?.into_iter().next().ok_or_else(|| Error::bug("a collection without values"))
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.lists[slot as usize] = List::default());
    }
}

impl Saved for Collections {
    fn save(&mut self, slots: &[u32], scope: Scope) -> Result<Vec<ArrayRef>> {
        if scope == Scope::Whole {
            return self.columns(slots, |_| 0);
        }
        let columns = self.columns(slots, |list| list.saved)?;
        slots.iter().for_each(|&slot| self.lists[slot as usize].saved = self.lists[slot as usize].values.len());
        Ok(columns)
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], scope: Scope) -> Result<()> {
        let (values, arrivals) = (columns[0].as_list::<i32>(), columns[1].as_list::<i32>());
        let rows = self.converter.convert_columns(std::slice::from_ref(values.values()))?;
        let numbers = arrivals.values().as_primitive::<Int64Type>();
        for (row, &slot) in slots.iter().enumerate() {
            if scope == Scope::Whole {
                self.lists[slot as usize] = List::default();
            }
            let range = values.value_offsets()[row] as usize..values.value_offsets()[row + 1] as usize;
            let first_arrival = arrivals.value_offsets()[row] as usize;
            for (position, element) in range.enumerate() {
                let arrival = numbers.value(first_arrival + position) as u64;
                self.push(slot as usize, arrival, rows.row(element).as_ref());
            }
            self.lists[slot as usize].saved = self.lists[slot as usize].values.len();
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let held = |list: &List| list.values.iter().map(|(_, value)| value.len() + 24).sum::<usize>();
        self.lists.iter().map(held).sum::<usize>() + self.lists.capacity() * size_of::<List>()
    }
}
