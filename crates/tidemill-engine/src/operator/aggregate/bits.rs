//! `bit_and`, `bit_or`, `bit_xor` of whole numbers; the result has the type of the argument.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::{Built, Entry, expect_arguments};
use crate::function::CallContext;
use crate::pipeline::analysis::coerce::is_integer;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use std::sync::Arc;
use tidemill_core::{Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["bit_and"], build: |context, arguments, _| build(context, arguments, Operation::And) },
    Entry { names: &["bit_or"], build: |context, arguments, _| build(context, arguments, Operation::Or) },
    Entry { names: &["bit_xor"], build: |context, arguments, _| build(context, arguments, Operation::Xor) },
];

fn build(context: &CallContext<'_>, mut arguments: Vec<Typed>, operation: Operation) -> Result<Built> {
    expect_arguments(context, &arguments, 1, 1)?;
    let argument = arguments.remove(0);
    let of = match &argument.data_type {
        of if is_integer(of) => of.clone(),
        DataType::Null => DataType::Int32,
        other => return Err(context.wrong_type("INTEGRAL", other)),
    };
    Ok((Arc::new(Bits { operation, of }), vec![argument.widened(&DataType::Int64)]))
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    And,
    Or,
    Xor,
}

#[derive(Debug)]
struct Bits {
    operation: Operation,
    of: DataType,
}

impl AggregateFunction for Bits {
    fn identity(&self) -> String {
        format!("bits {:?} of {}", self.operation, types::name(&self.of))
    }

    fn result_type(&self) -> DataType {
        self.of.clone()
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Int64]
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Words { operation: self.operation, of: self.of.clone(), words: vec![], held: vec![] }))
    }
}

struct Words {
    operation: Operation,
    of: DataType,
    words: Vec<i64>,
    held: Vec<bool>,
}

impl Words {
    fn add(&mut self, slot: usize, word: i64) {
        let known = self.words[slot];
        self.words[slot] = match (self.held[slot], self.operation) {
            (false, _) => word,
            (true, Operation::And) => known & word,
            (true, Operation::Or) => known | word,
            (true, Operation::Xor) => known ^ word,
        };
        self.held[slot] = true;
    }

    fn column(&self, slots: &[u32]) -> Int64Array {
        slots.iter().map(|&slot| self.held[slot as usize].then(|| self.words[slot as usize])).collect()
    }
}

impl Accumulator for Words {
    fn resize(&mut self, count: usize) {
        self.words.resize(count, 0);
        self.held.resize(count, false);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let words = arguments[0].as_primitive::<Int64Type>();
        for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
            if words.is_valid(row as usize) {
                self.add(slot as usize, words.value(row as usize));
            }
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        for (&from, &into) in from.iter().zip(into) {
            if self.held[from as usize] {
                self.add(into as usize, self.words[from as usize]);
            }
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        // every word fits: it was made of words of the type
        Ok(arrow::compute::cast(&self.column(slots), &self.of)?)
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.held[slot as usize] = false);
    }
}

impl Saved for Words {
    fn save(&mut self, slots: &[u32], _scope: Scope) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(self.column(slots))])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        for (&slot, word) in slots.iter().zip(columns[0].as_primitive::<Int64Type>()) {
            self.held[slot as usize] = word.is_some();
            self.words[slot as usize] = word.unwrap_or(0);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.words.capacity() * size_of::<i64>() + self.held.capacity()
    }
}
