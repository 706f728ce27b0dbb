//! `approx_count_distinct(x, deviation)`: how many different values there are, about. A slot keeps few
//! registers as a list, many as one byte each.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::hyperloglog::Estimator;
use super::{Built, Entry, Modifiers, expect_arguments, interval};
use crate::errors::from_datafusion;
use crate::function::{self, CallContext, library, math, nested};
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, when};
use std::sync::Arc;
use tidemill_core::{Error, Result};

pub const ENTRIES: &[Entry] = &[Entry { names: &["approx_count_distinct"], build }];

/// The relative standard deviation when none is given.
const DEVIATION: f64 = 0.05;

fn build(context: &CallContext<'_>, mut arguments: Vec<Typed>, _: Modifiers<'_>) -> Result<Built> {
    expect_arguments(context, &arguments, 1, 2)?;
    let deviation = match arguments.get(1).map(Typed::as_literal) {
        None => DEVIATION,
        Some(Some(ScalarValue::Float64(Some(deviation)))) => *deviation,
        Some(Some(ScalarValue::Decimal128(Some(unscaled), _, scale))) => {
            *unscaled as f64 / 10f64.powi(i32::from(*scale))
        }
        Some(_) => {
            return Err(Error::invalid(format!("the second argument of {} must be a double literal", context.name))
                .class("_LEGACY_ERROR_TEMP_1104")
                .at_if_unplaced(context.text.place(context.at)));
        }
    };
    let Some(precision) = Estimator::precision(deviation) else {
        return Err(Error::invalid(format!(
            "{} takes a relative standard deviation above 0 and up to 0.39, not {deviation}",
            context.name
        ))
        .class("FAILED_FUNCTION_CALL")
        .at_if_unplaced(context.text.place(context.at)));
    };
    Ok((Arc::new(About { precision }), vec![hashed(arguments.remove(0), context)?]))
}

/// The hash of a value as Spark's `xxhash64` has it; NULL stays NULL.
fn hashed(argument: Typed, context: &CallContext<'_>) -> Result<Typed> {
    let argument = match argument.data_type {
        DataType::Null => return Ok(argument.widened(&DataType::Int64)),
        DataType::Duration(_) | DataType::Interval(_) => interval::units(argument),
        DataType::Map(..) => nested::entries(argument),
        DataType::Float32 | DataType::Float64 => math::normalized_float(argument),
        _ => argument,
    };
    let is_null = argument.expr.clone().is_null();
    let hash = match argument.data_type {
        DataType::List(_) | DataType::Struct(_) => function::build("xxhash64", vec![argument], context)?,
        // the library hashes a constant once, not for every row
        _ if argument.as_literal().is_some() => function::build("xxhash64", vec![argument], context)?,
        _ => library::call(datafusion_spark::function::hash::xxhash64(), vec![argument])?,
    };
    let null = Expr::Literal(ScalarValue::Int64(None), None);
    let expr = when(is_null, null).otherwise(hash.expr).map_err(from_datafusion)?;
    Ok(Typed::new(expr, DataType::Int64, hash.name))
}

#[derive(Debug)]
struct About {
    precision: u32,
}

impl AggregateFunction for About {
    fn identity(&self) -> String {
        format!("about how many different, precision {}", self.precision)
    }

    fn result_type(&self) -> DataType {
        DataType::Int64
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Binary]
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Abouts { estimator: Estimator::new(self.precision), slots: vec![] }))
    }
}

/// The registers of a slot.
#[derive(Clone)]
enum Registers {
    /// Those that are not zero, by number.
    Few(Vec<(u32, u8)>),
    All(Box<[u8]>),
}

impl Registers {
    fn raise(&mut self, register: u32, zeros: u8, registers: usize) {
        match self {
            Registers::All(all) => all[register as usize] = all[register as usize].max(zeros),
            Registers::Few(few) => match few.binary_search_by_key(&register, |(known, _)| *known) {
                Ok(position) => few[position].1 = few[position].1.max(zeros),
                Err(position) => {
                    few.insert(position, (register, zeros));
                    // a pair takes the room of eight registers
                    if few.len() * 8 > registers {
                        let mut all = vec![0; registers].into_boxed_slice();
                        few.iter().for_each(|(register, zeros)| all[*register as usize] = *zeros);
                        *self = Registers::All(all);
                    }
                }
            },
        }
    }

    fn each(&self) -> Vec<(u32, u8)> {
        match self {
            Registers::Few(few) => few.clone(),
            Registers::All(all) => (0..).zip(all.iter().copied()).filter(|(_, zeros)| *zeros > 0).collect(),
        }
    }

    /// The registers, one byte each; few of them as four bytes of number and one of value.
    fn bytes(&self) -> Vec<u8> {
        match self {
            Registers::All(all) => std::iter::once(1).chain(all.iter().copied()).collect(),
            Registers::Few(few) => {
                let pair = |(register, zeros): &(u32, u8)| {
                    let [a, b, c, d] = register.to_le_bytes();
                    [a, b, c, d, *zeros]
                };
                std::iter::once(0).chain(few.iter().flat_map(pair)).collect()
            }
        }
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        match bytes.split_first() {
            Some((1, all)) => Registers::All(all.into()),
            Some((_, few)) => {
                let pair = |pair: &[u8]| (u32::from_le_bytes([pair[0], pair[1], pair[2], pair[3]]), pair[4]);
                Registers::Few(few.chunks_exact(5).map(pair).collect())
            }
            None => Registers::Few(vec![]),
        }
    }
}

struct Abouts {
    estimator: Estimator,
    slots: Vec<Registers>,
}

impl Accumulator for Abouts {
    fn resize(&mut self, count: usize) {
        self.slots.resize(count, Registers::Few(vec![]));
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let hashes = arguments[0].as_primitive::<Int64Type>();
        for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
            if hashes.is_valid(row as usize) {
                let (register, zeros) = self.estimator.place(hashes.value(row as usize) as u64);
                self.slots[slot as usize].raise(register, zeros, self.estimator.registers());
            }
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        for (&from, &into) in from.iter().zip(into) {
            for (register, zeros) in self.slots[from as usize].each() {
                self.slots[into as usize].raise(register, zeros, self.estimator.registers());
            }
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        let estimate = |slot: &u32| match &self.slots[*slot as usize] {
            Registers::Few(few) => self.estimator.estimate(few.iter().map(|(_, zeros)| *zeros)),
            Registers::All(all) => self.estimator.estimate(all.iter().copied().filter(|zeros| *zeros > 0)),
        };
        Ok(Arc::new(Int64Array::from_iter_values(slots.iter().map(estimate))))
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.slots[slot as usize] = Registers::Few(vec![]));
    }
}

impl Saved for Abouts {
    fn save(&mut self, slots: &[u32], _scope: Scope) -> Result<Vec<ArrayRef>> {
        let registers = slots.iter().map(|&slot| self.slots[slot as usize].bytes());
        Ok(vec![Arc::new(BinaryArray::from_iter_values(registers))])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        let saved = columns[0].as_binary::<i32>();
        for (row, &slot) in slots.iter().enumerate() {
            self.slots[slot as usize] = Registers::of_bytes(saved.value(row));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let held = |registers: &Registers| match registers {
            Registers::Few(few) => few.capacity() * size_of::<(u32, u8)>(),
            Registers::All(all) => all.len(),
        };
        self.slots.capacity() * size_of::<Registers>() + self.slots.iter().map(held).sum::<usize>()
    }
}
