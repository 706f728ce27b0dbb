//! `count_min_sketch(x, eps, confidence, seed)`: a table of counts by hash from which the count of any value
//! can be read within a bound, as the bytes Spark's `CountMinSketch` reads. G. Cormode and S. Muthukrishnan,
//! "An Improved Data Stream Summary: The Count-Min Sketch" (2005).

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::bins::Dice;
use super::lists::{list_of, lists, range};
use super::{Built, Entry, Modifiers, expect_arguments, out_of_range};
use crate::function::{CallContext, constant};
use crate::pipeline::analysis::coerce::is_integer;
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::{Result, types};

pub const ENTRIES: &[Entry] = &[Entry { names: &["count_min_sketch"], build }];

/// The version of the bytes.
const VERSION: i32 = 1;
const PRIME: i64 = (1 << 31) - 1;
/// Most counts a table may have.
const CELLS_MOST: usize = 1 << 24;

fn build(context: &CallContext<'_>, mut arguments: Vec<Typed>, _: Modifiers<'_>) -> Result<Built> {
    expect_arguments(context, &arguments, 4, 4)?;
    let eps = double(&arguments[1], "eps", context)?;
    let confidence = double(&arguments[2], "confidence", context)?;
    let seed = match value(&arguments[3], "seed", &DataType::Int32, context)? {
        ScalarValue::Int32(Some(seed)) => seed,
        _ => return Err(context.wrong_type("INT as its seed", &arguments[3].data_type)),
    };
    if eps <= 0.0 {
        return Err(out_of_range(context, "eps", "above 0.0"));
    }
    if confidence <= 0.0 || confidence >= 1.0 {
        return Err(out_of_range(context, "confidence", "above 0.0 and below 1.0"));
    }
    let width = (2.0 / eps).ceil() as usize;
    let depth = (-(1.0 - confidence).ln() / 2f64.ln()).ceil() as usize;
    if width.saturating_mul(depth) > CELLS_MOST {
        return Err(out_of_range(context, "the table", &format!("of at most {CELLS_MOST} counts")));
    }
    arguments.truncate(1);
    let argument = arguments.remove(0);
    let argument = match &argument.data_type {
        of if is_integer(of) => argument.widened(&DataType::Int64),
        DataType::Utf8 => argument.widened(&DataType::Binary),
        DataType::Binary => argument,
        other => return Err(context.wrong_type("INTEGRAL, STRING or BINARY", other)),
    };
    Ok((Arc::new(CountMin { width, depth, seed, of: argument.data_type.clone() }), vec![argument]))
}

fn value(argument: &Typed, what: &str, of: &DataType, context: &CallContext<'_>) -> Result<ScalarValue> {
    let Some(value) = constant::value(argument)? else { return Err(constant::not_constant(what, of, context)) };
    if value.is_null() {
        return Err(refuse::type_mismatch(
            "UNEXPECTED_NULL",
            format!("`{what}` of {} is NULL", context.name),
            context.text,
            context.at,
        ));
    }
    value.cast_to(of).map_err(crate::errors::from_datafusion)
}

fn double(argument: &Typed, what: &str, context: &CallContext<'_>) -> Result<f64> {
    match value(argument, what, &DataType::Float64, context)? {
        ScalarValue::Float64(Some(number)) => Ok(number),
        _ => Err(context.wrong_type("DOUBLE", &argument.data_type)),
    }
}

#[derive(Debug)]
struct CountMin {
    width: usize,
    depth: usize,
    seed: i32,
    of: DataType,
}

impl AggregateFunction for CountMin {
    fn identity(&self) -> String {
        let CountMin { width, depth, seed, of } = self;
        format!("count_min_sketch of {}, {depth} rows of {width}, seed {seed}", types::name(of))
    }

    fn result_type(&self) -> DataType {
        DataType::Binary
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![types::array_of(DataType::Int64), DataType::Int64]
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        let mut dice = Dice::of(self.seed);
        let factors = (0..self.depth).map(|_| i64::from(dice.below(i32::MAX))).collect();
        Ok(Box::new(Tables { width: self.width, factors, tables: vec![], totals: vec![] }))
    }
}

struct Tables {
    width: usize,
    /// One of each row of the table.
    factors: Vec<i64>,
    /// The counts of every slot, row by row; empty before the first value.
    tables: Vec<Box<[i64]>>,
    totals: Vec<i64>,
}

impl Tables {
    fn table(&mut self, slot: usize) -> &mut [i64] {
        if self.tables[slot].is_empty() {
            self.tables[slot] = vec![0; self.width * self.factors.len()].into_boxed_slice();
        }
        &mut self.tables[slot]
    }

    fn add_number(&mut self, slot: usize, number: i64) {
        let width = self.width;
        for row in 0..self.factors.len() {
            let mut hash = self.factors[row].wrapping_mul(number);
            hash = hash.wrapping_add(hash >> 32) & PRIME;
            self.table(slot)[row * width + hash as usize % width] += 1;
        }
        self.totals[slot] += 1;
    }

    fn add_bytes(&mut self, slot: usize, bytes: &[u8]) {
        let width = self.width;
        let first = murmur(bytes, 0);
        let second = murmur(bytes, first);
        for row in 0..self.factors.len() {
            let place = first.wrapping_add((row as i32).wrapping_mul(second)) % width as i32;
            self.table(slot)[row * width + place.unsigned_abs() as usize] += 1;
        }
        self.totals[slot] += 1;
    }

    fn bytes(&self, slot: usize) -> Vec<u8> {
        let mut bytes = VERSION.to_be_bytes().to_vec();
        bytes.extend(self.totals[slot].to_be_bytes());
        bytes.extend((self.factors.len() as i32).to_be_bytes());
        bytes.extend((self.width as i32).to_be_bytes());
        self.factors.iter().for_each(|factor| bytes.extend(factor.to_be_bytes()));
        match self.tables[slot].is_empty() {
            true => bytes.resize(bytes.len() + 8 * self.width * self.factors.len(), 0),
            false => self.tables[slot].iter().for_each(|count| bytes.extend(count.to_be_bytes())),
        }
        bytes
    }
}

/// MurmurHash3 (x86, 32 bits) with the tail byte by byte, as Spark hashes bytes.
fn murmur(bytes: &[u8], seed: i32) -> i32 {
    let mixed = |hash: u32, block: u32| {
        let block = block.wrapping_mul(0xCC9E_2D51).rotate_left(15).wrapping_mul(0x1B87_3593);
        (hash ^ block).rotate_left(13).wrapping_mul(5).wrapping_add(0xE654_6B64)
    };
    let (blocks, tail) = bytes.as_chunks::<4>();
    let hash = blocks.iter().fold(seed as u32, |hash, block| mixed(hash, u32::from_le_bytes(*block)));
    let mut hash = tail.iter().fold(hash, |hash, byte| mixed(hash, i32::from(*byte as i8) as u32));
    hash ^= bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85EB_CA6B);
    hash = (hash ^ hash >> 13).wrapping_mul(0xC2B2_AE35);
    (hash ^ hash >> 16) as i32
}

impl Accumulator for Tables {
    fn resize(&mut self, count: usize) {
        self.tables.resize(count, Box::default());
        self.totals.resize(count, 0);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let values = &arguments[0];
        let valid = selected.rows.iter().zip(selected.slots).filter(|(row, _)| values.is_valid(**row as usize));
        if let Some(numbers) = values.as_primitive_opt::<Int64Type>() {
            valid.for_each(|(&row, &slot)| self.add_number(slot as usize, numbers.value(row as usize)));
        } else {
            let bytes = values.as_binary::<i32>();
            valid.for_each(|(&row, &slot)| self.add_bytes(slot as usize, bytes.value(row as usize)));
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        for (&from, &into) in from.iter().zip(into) {
            let source = std::mem::take(&mut self.tables[from as usize]);
            if !source.is_empty() {
                self.table(into as usize).iter_mut().zip(&source).for_each(|(count, more)| *count += more);
            }
            self.tables[from as usize] = source;
            self.totals[into as usize] += self.totals[from as usize];
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        Ok(Arc::new(BinaryArray::from_iter_values(slots.iter().map(|&slot| self.bytes(slot as usize)))))
    }

    fn clear(&mut self, slots: &[u32]) {
        for &slot in slots {
            self.tables[slot as usize] = Box::default();
            self.totals[slot as usize] = 0;
        }
    }
}

impl Saved for Tables {
    fn save(&mut self, slots: &[u32], _scope: Scope) -> Result<Vec<ArrayRef>> {
        let tables = || slots.iter().map(|&slot| &self.tables[slot as usize]);
        let counts = Int64Array::from_iter_values(tables().flat_map(|table| table.iter().copied()));
        let lengths: Vec<usize> = tables().map(|table| table.len()).collect();
        let totals = Int64Array::from_iter_values(slots.iter().map(|&slot| self.totals[slot as usize]));
        Ok(vec![list_of(Arc::new(counts), &lengths, None)?, Arc::new(totals)])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        let (tables, totals) = (lists(&columns[0]), columns[1].as_primitive::<Int64Type>());
        let counts = tables.values().as_primitive::<Int64Type>().values();
        for (row, &slot) in slots.iter().enumerate() {
            self.tables[slot as usize] = counts[range(tables, row)].into();
            self.totals[slot as usize] = totals.value(row);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let counts: usize = self.tables.iter().map(|table| table.len()).sum();
        self.tables.capacity() * size_of::<Box<[i64]>>() + counts * size_of::<i64>()
    }
}
