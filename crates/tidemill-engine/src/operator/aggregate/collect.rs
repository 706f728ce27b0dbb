//! `collect_list`, `array_agg`, `collect_set`, `collect_union`: the values as an array in order of arrival,
//! NULLs left out unless they are asked for; `listagg` and `string_agg`: the values as one text.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::arrived::{Arrived, Layout};
use super::listing::{self, Listing};
use super::{Built, Entry, Modifiers, expect_arguments};
use crate::function::CallContext;
use crate::pipeline::analysis::coerce::is_groupable;
use crate::pipeline::analysis::operator::normalized;
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::datatypes::DataType;
use std::sync::Arc;
use tidemill_core::{Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["collect_list", "array_agg"], build: list },
    Entry { names: &["collect_set"], build: set },
    Entry { names: &["collect_union"], build: |context, arguments, _| union(context, arguments) },
    Entry { names: &["listagg", "string_agg"], build: listing::build },
];

fn list(context: &CallContext<'_>, arguments: Vec<Typed>, modifiers: Modifiers<'_>) -> Result<Built> {
    expect_arguments(context, &arguments, 1, 1)?;
    let (of, nulls) = (vec![arguments[0].data_type.clone()], modifiers.ignore_nulls == Some(false));
    Ok((Arc::new(Collect { what: What::List, of, nulls }), arguments))
}

fn set(context: &CallContext<'_>, mut arguments: Vec<Typed>, modifiers: Modifiers<'_>) -> Result<Built> {
    expect_arguments(context, &arguments, 1, 1)?;
    let argument = normalized(arguments.remove(0));
    if !is_groupable(&argument.data_type) {
        return Err(refuse::type_mismatch(
            "UNSUPPORTED_INPUT_TYPE",
            format!("{} cannot take a MAP", context.name),
            context.text,
            context.at,
        ));
    }
    let (of, nulls) = (vec![argument.data_type.clone()], modifiers.ignore_nulls == Some(false));
    Ok((Arc::new(Collect { what: What::Set, of, nulls }), vec![argument]))
}

fn union(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Built> {
    expect_arguments(context, &arguments, 1, 1)?;
    let of = match &arguments[0].data_type {
        DataType::List(element) if is_groupable(element.data_type()) => element.data_type().clone(),
        other => return Err(context.wrong_type("ARRAY", other)),
    };
    Ok((Arc::new(Collect { what: What::Union, of: vec![of], nulls: false }), arguments))
}

/// What becomes of the values.
#[derive(Debug, Clone)]
pub enum What {
    /// All, as an array.
    List,
    /// The different ones.
    Set,
    /// The different elements of arrays.
    Union,
    /// One text of all.
    Text(Listing),
}

/// A collection of rows, of which the first column is the value and the others are sort keys.
#[derive(Debug)]
pub struct Collect {
    /// What it gives.
    pub what: What,
    /// Types of the columns that are kept.
    pub of: Vec<DataType>,
    /// NULLs are kept too.
    pub nulls: bool,
}

impl AggregateFunction for Collect {
    fn identity(&self) -> String {
        let of: Vec<String> = self.of.iter().map(types::name).collect();
        let of = format!("{}{}", of.join(", "), if self.nulls { " and nulls" } else { "" });
        match &self.what {
            What::List => format!("collect_list of {of}"),
            What::Set => format!("collect_set of {of}"),
            What::Union => format!("collect_union of {of}"),
            What::Text(listing) => format!("listagg of {of} {listing:?}"),
        }
    }

    fn result_type(&self) -> DataType {
        match &self.what {
            What::Text(_) => self.of[0].clone(),
            _ => types::array_of(self.of[0].clone()),
        }
    }

    fn state_types(&self) -> Vec<DataType> {
        Layout::state_types(&self.of)
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        let distinct = matches!(self.what, What::Set | What::Union);
        Ok(Box::new(Collections { what: self.what.clone(), kept: Arrived::new(&self.of, distinct, self.nulls)? }))
    }
}

struct Collections {
    what: What,
    kept: Arrived,
}

impl Collections {
    /// Adds the elements of arrays, each with the number of its row.
    fn add_elements(&mut self, arrays: &ArrayRef, selected: Selected<'_>) -> Result<()> {
        let arrays = super::lists::lists(arrays);
        let (mut elements, mut slots, mut numbers) = (vec![], vec![], vec![]);
        for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
            if arrays.is_valid(row as usize) {
                for element in super::lists::range(arrays, row as usize) {
                    elements.push(element as u32);
                    slots.push(slot);
                    numbers.push(selected.number(row));
                }
            }
        }
        let values = arrow::compute::take(arrays.values(), &UInt32Array::from(elements), None)?;
        let rows: Vec<u32> = (0..slots.len() as u32).collect();
        let values = [crate::function::math::normalize(&values)];
        self.kept.add(&values, Selected { rows: &rows, slots: &slots, arrival: 0, order: Some(&numbers) })
    }
}

impl Accumulator for Collections {
    fn resize(&mut self, count: usize) {
        self.kept.resize(count);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        match self.what {
            What::Union => self.add_elements(&arguments[0], selected),
            _ => self.kept.add(arguments, selected),
        }
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        self.kept.merge(from, into);
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        let (columns, lengths) = self.kept.columns_in_order(slots)?;
        match &self.what {
            What::Text(listing) => listing.join(&columns, &lengths),
            _ => super::lists::list_of(columns[0].clone(), &lengths, None),
        }
    }

    fn clear(&mut self, slots: &[u32]) {
        self.kept.clear(slots);
    }
}

impl Saved for Collections {
    fn save(&mut self, slots: &[u32], scope: Scope) -> Result<Vec<ArrayRef>> {
        self.kept.save(slots, scope)
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], scope: Scope) -> Result<()> {
        self.kept.load(slots, columns, scope)
    }

    fn size(&self) -> usize {
        self.kept.size()
    }
}
