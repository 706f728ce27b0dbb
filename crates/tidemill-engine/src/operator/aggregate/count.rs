//! `count(*)`, `count(a, ..)`: rows, or rows in which no argument is NULL; `count_if(condition)`.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::{Entry, expect_arguments};
use crate::function::implicit_cast;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use std::sync::Arc;
use tidemill_core::Result;

/// `count`, also of pairs.
pub const COUNT: Entry = Entry {
    names: &["count"],
    build: |_, arguments, _| {
        // a column of type NULL has no bitmap of its NULLs
        let widened = |argument: Typed| match argument.data_type {
            DataType::Null => argument.widened(&DataType::Boolean),
            _ => argument,
        };
        Ok((Arc::new(Count { only_true: false }), arguments.into_iter().map(widened).collect()))
    },
};

pub const ENTRIES: &[Entry] = &[
    COUNT,
    Entry {
        names: &["count_if"],
        build: |context, mut arguments, _| {
            expect_arguments(context, &arguments, 1, 1)?;
            let argument = arguments.remove(0);
            let condition = match argument.data_type {
                DataType::Boolean => argument,
                DataType::Null | DataType::Utf8 => implicit_cast(argument, &DataType::Boolean, context)?,
                ref other => return Err(context.wrong_type("BOOLEAN", other)),
            };
            Ok((Arc::new(Count { only_true: true }), vec![condition]))
        },
    },
];

#[derive(Debug)]
struct Count {
    only_true: bool,
}

impl AggregateFunction for Count {
    fn identity(&self) -> String {
        if self.only_true { "count_if".into() } else { "count".into() }
    }

    fn result_type(&self) -> DataType {
        DataType::Int64
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Int64]
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Counts { only_true: self.only_true, counts: vec![] }))
    }
}

struct Counts {
    only_true: bool,
    counts: Vec<i64>,
}

impl Accumulator for Counts {
    fn resize(&mut self, count: usize) {
        self.counts.resize(count, 0);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        if self.only_true {
            let condition = arguments[0].as_boolean();
            for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
                let row = row as usize;
                self.counts[slot as usize] += i64::from(condition.is_valid(row) && condition.value(row));
            }
        } else if arguments.iter().all(|argument| argument.null_count() == 0) {
            for &slot in selected.slots {
                self.counts[slot as usize] += 1;
            }
        } else {
            for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
                let complete = arguments.iter().all(|argument| argument.is_valid(row as usize));
                self.counts[slot as usize] += i64::from(complete);
            }
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        for (&from, &into) in from.iter().zip(into) {
            self.counts[into as usize] += self.counts[from as usize];
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from_iter_values(slots.iter().map(|&slot| self.counts[slot as usize]))))
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.counts[slot as usize] = 0);
    }
}

impl Saved for Counts {
    fn save(&mut self, slots: &[u32], _scope: Scope) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(slots)?])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        for (&slot, &count) in slots.iter().zip(columns[0].as_primitive::<Int64Type>().values()) {
            self.counts[slot as usize] = count;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }
}
