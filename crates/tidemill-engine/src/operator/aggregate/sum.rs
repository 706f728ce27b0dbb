//! `sum`: bigint of whole numbers, double of floats, decimal(p+10, s) of decimals, intervals of intervals;
//! NULL over no value.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::interval::{IntervalSum, is_interval, units};
use super::{Built, Entry, Modifiers, expect_arguments};
use crate::errors::overflow;
use crate::function::{CallContext, implicit_cast};
use crate::pipeline::analysis::coerce::is_integer;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use std::marker::PhantomData;
use std::sync::Arc;
use tidemill_core::{Result, types};

pub const ENTRIES: &[Entry] = &[Entry { names: &["sum"], build }, Entry { names: &["try_sum"], build }];

fn build(
    context: &CallContext<'_>,
    mut arguments: Vec<Typed>,
    modifiers: Modifiers<'_>,
) -> Result<(Arc<dyn AggregateFunction>, Vec<Typed>)> {
    expect_arguments(context, &arguments, 1, 1)?;
    let argument = arguments.remove(0);
    let (argument, result) = match &argument.data_type {
        of if is_integer(of) => (argument.widened(&DataType::Int64), DataType::Int64),
        DataType::Decimal128(precision, scale) => {
            let result = DataType::Decimal128((precision + 10).min(38), *scale);
            (argument.widened(&result), result)
        }
        DataType::Float32 | DataType::Float64 => (argument.widened(&DataType::Float64), DataType::Float64),
        DataType::Utf8 | DataType::Null => (implicit_cast(argument, &DataType::Float64, context)?, DataType::Float64),
        of if is_interval(of) => return Ok(of_intervals(argument, context.name == "try_sum")),
        other => return Err(context.wrong_type("NUMERIC or ANSI INTERVAL", other)),
    };
    let overflow = if context.name == "try_sum" { Overflow::Null } else { Overflow::of(modifiers.ansi) };
    Ok((Arc::new(Sum { result, overflow }), vec![argument]))
}

/// Intervals never wrap around.
fn of_intervals(argument: Typed, or_null: bool) -> Built {
    let of = argument.data_type.clone();
    let overflow = if or_null { Overflow::Null } else { Overflow::Fails };
    let sum = IntervalSum { units: Arc::new(Sum { result: DataType::Int64, overflow }), of, or_null };
    (Arc::new(sum), vec![units(argument).widened(&DataType::Int64)])
}

#[derive(Debug)]
struct Sum {
    result: DataType,
    overflow: Overflow,
}

/// What becomes of a sum that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// ANSI: the query fails.
    Fails,
    /// A bigint wraps around, a decimal becomes NULL.
    Wraps,
    /// `try_sum`: NULL.
    Null,
}

impl Overflow {
    /// The rule of a session.
    pub fn of(ansi: bool) -> Overflow {
        if ansi { Overflow::Fails } else { Overflow::Wraps }
    }

    /// What an identity says of it.
    pub fn words(self) -> &'static str {
        match self {
            Overflow::Fails => "",
            Overflow::Wraps => ", without ANSI rules",
            Overflow::Null => ", or NULL",
        }
    }
}

impl AggregateFunction for Sum {
    fn identity(&self) -> String {
        format!("sum to {}{}", types::name(&self.result), self.overflow.words())
    }

    fn result_type(&self) -> DataType {
        self.result.clone()
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![self.result.clone(), DataType::Boolean]
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        let (result, overflow) = (self.result.clone(), self.overflow);
        Ok(match result {
            DataType::Int64 => Box::new(Sums::<Int64Type>::new(result, overflow)),
            DataType::Float64 => Box::new(Sums::<Float64Type>::new(result, overflow)),
            _ => Box::new(Sums::<Decimal128Type>::new(result, overflow)),
        })
    }
}

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Held {
    /// No value yet: the sum is NULL.
    #[default]
    Nothing,
    /// A sum.
    Some,
    /// A sum that has left its range, and is NULL or an error.
    Overflown,
}

/// How the three types of sum add.
pub trait Summable: ArrowPrimitiveType {
    /// The sum, or what happens when it does not fit.
    ///
    /// # Errors
    /// A bigint overflow under ANSI rules.
    fn plus(left: Self::Native, right: Self::Native, of: &DataType, rule: Overflow) -> Result<(Self::Native, Held)>;
}

impl Summable for Int64Type {
    fn plus(left: i64, right: i64, _: &DataType, rule: Overflow) -> Result<(i64, Held)> {
        match (left.checked_add(right), rule) {
            (Some(sum), _) => Ok((sum, Held::Some)),
            (None, Overflow::Fails) => Err(overflow("try_sum")),
            (None, Overflow::Wraps) => Ok((left.wrapping_add(right), Held::Some)),
            (None, Overflow::Null) => Ok((0, Held::Overflown)),
        }
    }
}

impl Summable for Float64Type {
    fn plus(left: f64, right: f64, _: &DataType, _: Overflow) -> Result<(f64, Held)> {
        Ok((left + right, Held::Some))
    }
}

impl Summable for Decimal128Type {
    fn plus(left: i128, right: i128, of: &DataType, _: Overflow) -> Result<(i128, Held)> {
        let DataType::Decimal128(precision, _) = of else { return Ok((0, Held::Overflown)) };
        let sum = left.checked_add(right).filter(|sum| sum.unsigned_abs() < 10u128.pow(u32::from(*precision)));
        Ok(sum.map_or((0, Held::Overflown), |sum| (sum, Held::Some)))
    }
}

/// Sums by slot; also the first half of an average.
pub struct Sums<T: Summable> {
    of: DataType,
    overflow: Overflow,
    sums: Vec<T::Native>,
    held: Vec<Held>,
    kind: PhantomData<fn() -> T>,
}

impl<T: Summable> Sums<T> {
    /// Empty sums of the given type.
    pub fn new(of: DataType, overflow: Overflow) -> Self {
        Sums { of, overflow, sums: vec![], held: vec![], kind: PhantomData }
    }

    fn add(&mut self, slot: usize, value: T::Native) -> Result<()> {
        (self.sums[slot], self.held[slot]) = match self.held[slot] {
            Held::Nothing => (value, Held::Some),
            Held::Some => T::plus(self.sums[slot], value, &self.of, self.overflow)?,
            Held::Overflown => return Ok(()),
        };
        Ok(())
    }

    /// The sum of a slot, if it has one in range.
    pub fn sum(&self, slot: u32) -> Option<T::Native> {
        (self.held[slot as usize] == Held::Some).then(|| self.sums[slot as usize])
    }
}

impl<T: Summable> Accumulator for Sums<T> {
    fn resize(&mut self, count: usize) {
        self.sums.resize(count, T::Native::default());
        self.held.resize(count, Held::Nothing);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let values = arguments[0].as_primitive::<T>();
        let pairs = selected.rows.iter().zip(selected.slots);
        if values.null_count() == 0 {
            let values = values.values();
            for (&row, &slot) in pairs {
                self.add(slot as usize, values[row as usize])?;
            }
        } else {
            for (&row, &slot) in pairs.filter(|(row, _)| values.is_valid(**row as usize)) {
                self.add(slot as usize, values.value(row as usize))?;
            }
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        for (&from, &into) in from.iter().zip(into) {
            match self.held[from as usize] {
                Held::Nothing => {}
                Held::Some => self.add(into as usize, self.sums[from as usize])?,
                Held::Overflown => self.held[into as usize] = Held::Overflown,
            }
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        if self.overflow == Overflow::Fails && slots.iter().any(|&slot| self.held[slot as usize] == Held::Overflown) {
            return Err(overflow("try_sum"));
        }
        let sums = slots.iter().map(|&slot| self.sum(slot)).collect::<PrimitiveArray<T>>();
        Ok(Arc::new(sums.with_data_type(self.of.clone())))
    }

    fn clear(&mut self, slots: &[u32]) {
        for &slot in slots {
            (self.sums[slot as usize], self.held[slot as usize]) = (T::Native::default(), Held::Nothing);
        }
    }
}

impl<T: Summable> Saved for Sums<T> {
    fn save(&mut self, slots: &[u32], _scope: Scope) -> Result<Vec<ArrayRef>> {
        let sums = slots.iter().map(|&slot| self.sum(slot)).collect::<PrimitiveArray<T>>();
        let overflown = slots.iter().map(|&slot| Some(self.held[slot as usize] == Held::Overflown));
        let overflown = overflown.collect::<arrow::array::BooleanArray>();
        Ok(vec![Arc::new(sums.with_data_type(self.of.clone())), Arc::new(overflown)])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        let (sums, overflown) = (columns[0].as_primitive::<T>(), columns[1].as_boolean());
        for (row, &slot) in slots.iter().enumerate() {
            (self.sums[slot as usize], self.held[slot as usize]) = match (sums.is_valid(row), overflown.value(row)) {
                (_, true) => (T::Native::default(), Held::Overflown),
                (true, false) => (sums.value(row), Held::Some),
                (false, false) => (T::Native::default(), Held::Nothing),
            };
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<T::Native>() + self.held.capacity()
    }
}
