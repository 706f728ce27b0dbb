//! `avg`: double of numbers, decimal(p+4, s+4) of decimals, intervals of intervals, both rounded half up;
//! NULL over no value.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::interval::{as_interval, is_interval, of_units, units};
use super::sum::{Overflow, Summable, Sums};
use super::{Entry, Modifiers, expect_arguments};
use crate::function::arithmetic::{out_of_range, rescale};
use crate::function::{CallContext, as_double};
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, i256};
use std::sync::Arc;
use tidemill_core::{Result, types};

/// `avg`, also of one side of a pair.
pub const AVG: Entry = Entry { names: &["avg", "mean"], build };

pub const ENTRIES: &[Entry] = &[
    AVG,
    Entry {
        names: &["try_avg"],
        build: |context, arguments, modifiers| build(context, arguments, Modifiers { ansi: false, ..modifiers }),
    },
];

fn build(
    context: &CallContext<'_>,
    mut arguments: Vec<Typed>,
    modifiers: Modifiers<'_>,
) -> Result<(Arc<dyn AggregateFunction>, Vec<Typed>)> {
    expect_arguments(context, &arguments, 1, 1)?;
    let argument = arguments.remove(0);
    if let DataType::Decimal128(precision, scale) = argument.data_type {
        let sum = DataType::Decimal128((precision + 10).min(38), scale);
        let result = DataType::Decimal128((precision + 4).min(38), (scale + 4).min(38));
        return Ok((
            Arc::new(Average { sum: sum.clone(), result, overflow: Overflow::of(modifiers.ansi) }),
            vec![argument.widened(&sum)],
        ));
    }
    if is_interval(&argument.data_type) {
        // they never wrap around
        let overflow = if context.name == "try_avg" { Overflow::Null } else { Overflow::Fails };
        let function = Average { sum: DataType::Int64, result: argument.data_type.clone(), overflow };
        return Ok((Arc::new(function), vec![units(argument).widened(&DataType::Int64)]));
    }
    let function =
        Average { sum: DataType::Float64, result: DataType::Float64, overflow: Overflow::of(modifiers.ansi) };
    Ok((Arc::new(function), vec![as_double(argument, context)?]))
}

#[derive(Debug)]
struct Average {
    sum: DataType,
    result: DataType,
    overflow: Overflow,
}

impl AggregateFunction for Average {
    fn identity(&self) -> String {
        let (sum, result) = (types::name(&self.sum), types::name(&self.result));
        format!("avg to {result} from sums in {sum}{}", self.overflow.words())
    }

    fn result_type(&self) -> DataType {
        self.result.clone()
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![self.sum.clone(), DataType::Boolean, DataType::Int64]
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        let (sum, result, overflow) = (self.sum.clone(), self.result.clone(), self.overflow);
        Ok(match sum {
            DataType::Float64 => Box::new(Averages {
                sums: Sums::<Float64Type>::new(sum, overflow),
                counts: vec![],
                result,
                overflow,
                divide: divide_doubles,
            }),
            DataType::Int64 => Box::new(Averages {
                sums: Sums::<Int64Type>::new(sum, overflow),
                counts: vec![],
                result,
                overflow,
                divide: divide_intervals,
            }),
            _ => Box::new(Averages {
                sums: Sums::<Decimal128Type>::new(sum, overflow),
                counts: vec![],
                result,
                overflow,
                divide: divide_decimals,
            }),
        })
    }
}

/// Divides the sums of some slots by their counts.
type Divide = fn(&ArrayRef, &[i64], &DataType, Overflow) -> Result<ArrayRef>;

struct Averages<T: Summable> {
    sums: Sums<T>,
    counts: Vec<i64>,
    result: DataType,
    overflow: Overflow,
    divide: Divide,
}

impl<T: Summable> Averages<T> {
    fn overflown(&self, error: tidemill_core::Error) -> tidemill_core::Error {
        if is_interval(&self.result) { as_interval(error) } else { error }
    }
}

fn divide_doubles(sums: &ArrayRef, counts: &[i64], _: &DataType, _: Overflow) -> Result<ArrayRef> {
    let sums = sums.as_primitive::<Float64Type>().iter();
    Ok(Arc::new(sums.zip(counts).map(|(sum, count)| Some(sum? / *count as f64)).collect::<Float64Array>()))
}

fn divide_decimals(sums: &ArrayRef, counts: &[i64], result: &DataType, rule: Overflow) -> Result<ArrayRef> {
    let (DataType::Decimal128(_, from), DataType::Decimal128(precision, to)) = (sums.data_type(), result) else {
        return Err(tidemill_core::Error::bug("a decimal average of no decimal"));
    };
    let limit = 10u128.pow(u32::from(*precision));
    let averages = sums.as_primitive::<Decimal128Type>().iter().zip(counts).map(|(sum, count)| {
        let Some(sum) = sum else { return Ok(None) };
        let scaled = rescale(i256::from_i128(sum), *from, *to);
        let (count, two) = (i256::from_i128(i128::from(*count)), i256::from_i128(2));
        let (quotient, remainder) = (scaled / count, scaled % count);
        let away = if scaled < i256::ZERO { i256::MINUS_ONE } else { i256::ONE };
        let rounded = if remainder.wrapping_abs() * two >= count { quotient + away } else { quotient };
        let average = rounded.to_i128().filter(|value| value.unsigned_abs() < limit);
        if average.is_none() && rule == Overflow::Fails {
            return Err(out_of_range(*precision, *to));
        }
        Ok(average)
    });
    let averages = averages.collect::<Result<arrow::array::Decimal128Array>>()?;
    Ok(Arc::new(averages.with_data_type(result.clone())))
}

fn divide_intervals(sums: &ArrayRef, counts: &[i64], result: &DataType, _: Overflow) -> Result<ArrayRef> {
    let averages = sums.as_primitive::<Int64Type>().iter().zip(counts).map(|(sum, &count)| {
        let sum = sum?;
        let (quotient, remainder) = (sum / count, sum % count);
        let away = remainder.unsigned_abs() * 2 >= count.unsigned_abs();
        Some(quotient + if away { sum.signum() } else { 0 })
    });
    of_units(&averages.collect::<Int64Array>(), result, false)
}

impl<T: Summable> Accumulator for Averages<T> {
    fn resize(&mut self, count: usize) {
        self.sums.resize(count);
        self.counts.resize(count, 0);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        self.sums.update(arguments, selected).map_err(|error| self.overflown(error))?;
        let values = &arguments[0];
        for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
            self.counts[slot as usize] += i64::from(values.is_valid(row as usize));
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        self.sums.merge(from, into).map_err(|error| self.overflown(error))?;
        for (&from, &into) in from.iter().zip(into) {
            self.counts[into as usize] += self.counts[from as usize];
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        let counts: Vec<i64> = slots.iter().map(|&slot| self.counts[slot as usize]).collect();
        (self.divide)(&self.sums.evaluate(slots)?, &counts, &self.result, self.overflow)
    }

    fn clear(&mut self, slots: &[u32]) {
        self.sums.clear(slots);
        slots.iter().for_each(|&slot| self.counts[slot as usize] = 0);
    }
}

impl<T: Summable> Saved for Averages<T> {
    fn save(&mut self, slots: &[u32], scope: Scope) -> Result<Vec<ArrayRef>> {
        let mut columns = self.sums.save(slots, scope)?;
        columns.push(Arc::new(Int64Array::from_iter_values(slots.iter().map(|&slot| self.counts[slot as usize]))));
        Ok(columns)
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], scope: Scope) -> Result<()> {
        self.sums.load(slots, &columns[..2], scope)?;
        for (&slot, &count) in slots.iter().zip(columns[2].as_primitive::<Int64Type>().values()) {
            self.counts[slot as usize] = count;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.sums.size() + self.counts.capacity() * size_of::<i64>()
    }
}
