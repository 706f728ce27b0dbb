//! `bitmap_construct_agg`, `bitmap_or_agg`, `bitmap_and_agg`: bitmaps of 4096 bytes, as Spark has them for
//! counting different values exactly in buckets.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::{Built, Entry, expect_arguments};
use crate::function::{CallContext, implicit_cast};
use crate::pipeline::analysis::coerce::{is_integer, is_numeric};
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray};
use arrow::datatypes::{DataType, Int64Type};
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["bitmap_construct_agg"], build: |context, arguments, _| construct(context, arguments) },
    Entry {
        names: &["bitmap_or_agg"],
        build: |context, arguments, _| combine(context, arguments, Operation::Or, "bitmap_or_agg"),
    },
    Entry {
        names: &["bitmap_and_agg"],
        build: |context, arguments, _| combine(context, arguments, Operation::And, "bitmap_and_agg"),
    },
];

/// Size of a bitmap, in bytes.
const BYTES: usize = 4096;
const BITS: i64 = 8 * BYTES as i64;

fn construct(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Built> {
    expect_arguments(context, &arguments, 1, 1)?;
    let argument = arguments.remove(0);
    let argument = match &argument.data_type {
        of if is_integer(of) => argument.widened(&DataType::Int64),
        of if is_numeric(of) || matches!(of, DataType::Null | DataType::Utf8) => {
            implicit_cast(argument, &DataType::Int64, context)?
        }
        other => return Err(context.wrong_type("BIGINT", other)),
    };
    Ok((Arc::new(Bitmap { operation: Operation::Set, name: "bitmap_construct_agg" }), vec![argument]))
}

fn combine(
    context: &CallContext<'_>,
    mut arguments: Vec<Typed>,
    operation: Operation,
    name: &'static str,
) -> Result<Built> {
    expect_arguments(context, &arguments, 1, 1)?;
    let argument = match arguments.remove(0) {
        argument if argument.data_type == DataType::Null => argument.widened(&DataType::Binary),
        argument => argument,
    };
    if argument.data_type != DataType::Binary {
        return Err(context.wrong_type("BINARY", &argument.data_type));
    }
    Ok((Arc::new(Bitmap { operation, name }), vec![argument]))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operation {
    /// A bit of every position.
    Set,
    Or,
    And,
}

#[derive(Debug)]
struct Bitmap {
    operation: Operation,
    name: &'static str,
}

impl AggregateFunction for Bitmap {
    fn identity(&self) -> String {
        self.name.to_owned()
    }

    fn result_type(&self) -> DataType {
        DataType::Binary
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Binary]
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Bitmaps { operation: self.operation, bitmaps: vec![] }))
    }
}

struct Bitmaps {
    operation: Operation,
    /// `None` until the first value.
    bitmaps: Vec<Option<Box<[u8]>>>,
}

impl Bitmaps {
    /// What a slot has before its first value: the neutral bitmap.
    fn neutral(&self) -> Box<[u8]> {
        vec![if self.operation == Operation::And { 0xFF } else { 0 }; BYTES].into_boxed_slice()
    }

    fn combine(&mut self, slot: usize, other: &[u8]) {
        let (neutral, operation) = (self.neutral(), self.operation);
        let bitmap = self.bitmaps[slot].get_or_insert(neutral);
        for (position, byte) in bitmap.iter_mut().enumerate() {
            // what a short bitmap lacks is zero
            let other = other.get(position).copied().unwrap_or(0);
            *byte = if operation == Operation::And { *byte & other } else { *byte | other };
        }
    }

    fn set(&mut self, slot: usize, position: i64) -> Result<()> {
        if !(0..BITS).contains(&position) {
            return Err(Error::new(Kind::Data, format!("{position} is no position of a bitmap of {BITS} bits"))
                .class("INVALID_BITMAP_POSITION")
                .help("use bitmap_bit_position(..) and group by bitmap_bucket_number(..)"));
        }
        let neutral = self.neutral();
        self.bitmaps[slot].get_or_insert(neutral)[position as usize / 8] |= 1 << (position % 8);
        Ok(())
    }
}

impl Accumulator for Bitmaps {
    fn resize(&mut self, count: usize) {
        self.bitmaps.resize(count, None);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let valid = selected.rows.iter().zip(selected.slots).filter(|(row, _)| arguments[0].is_valid(**row as usize));
        if self.operation == Operation::Set {
            let positions = arguments[0].as_primitive::<Int64Type>();
            for (&row, &slot) in valid {
                self.set(slot as usize, positions.value(row as usize))?;
            }
        } else {
            let bitmaps = arguments[0].as_binary::<i32>();
            valid.for_each(|(&row, &slot)| self.combine(slot as usize, bitmaps.value(row as usize)));
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        for (&from, &into) in from.iter().zip(into) {
            if let Some(bitmap) = self.bitmaps[from as usize].take() {
                self.combine(into as usize, &bitmap);
                self.bitmaps[from as usize] = Some(bitmap);
            }
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        let neutral = self.neutral();
        let bitmaps = slots.iter().map(|&slot| self.bitmaps[slot as usize].as_deref().unwrap_or(&neutral));
        Ok(Arc::new(BinaryArray::from_iter_values(bitmaps)))
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.bitmaps[slot as usize] = None);
    }
}

impl Saved for Bitmaps {
    fn save(&mut self, slots: &[u32], _scope: Scope) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(slots.iter().map(|&slot| self.bitmaps[slot as usize].as_deref()).collect::<BinaryArray>())])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        for (&slot, bitmap) in slots.iter().zip(columns[0].as_binary::<i32>()) {
            self.bitmaps[slot as usize] = bitmap.map(Into::into);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.bitmaps.capacity() * size_of::<Option<Box<[u8]>>>() + self.bitmaps.iter().flatten().count() * BYTES
    }
}
