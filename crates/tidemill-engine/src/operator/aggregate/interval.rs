//! Intervals in sums and averages: inside they are whole numbers of their unit, months or microseconds.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use crate::errors::overflow;
use crate::function::native::Native;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array};
use arrow::datatypes::{DataType, DurationMicrosecondType, Int64Type, IntervalUnit, IntervalYearMonthType, TimeUnit};
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

/// True for both kinds of ANSI interval.
pub fn is_interval(of: &DataType) -> bool {
    matches!(of, DataType::Duration(_) | DataType::Interval(IntervalUnit::YearMonth))
}

/// An interval as a number of its unit: int of months, bigint of microseconds.
pub fn units(argument: Typed) -> Typed {
    let result = match argument.data_type {
        DataType::Interval(_) => DataType::Int32,
        _ => DataType::Int64,
    };
    let parameters = types::name(&argument.data_type);
    let expr = Native::call("interval_units", parameters, result.clone(), vec![argument.expr], |arguments, _| {
        Ok(match arguments[0].data_type() {
            DataType::Interval(IntervalUnit::YearMonth) => Arc::new(
                arguments[0].as_primitive::<IntervalYearMonthType>().reinterpret_cast::<arrow::datatypes::Int32Type>(),
            ),
            DataType::Duration(TimeUnit::Microsecond) => {
                Arc::new(arguments[0].as_primitive::<DurationMicrosecondType>().reinterpret_cast::<Int64Type>())
            }
            other => return Err(Error::bug(format!("{} has no unit", types::name(other)))),
        })
    });
    Typed::new(expr, result, argument.name)
}

/// Numbers of units as intervals; too many months are an error, or NULL if `or_null`.
///
/// # Errors
/// More months than an interval holds.
pub fn of_units(units: &Int64Array, of: &DataType, or_null: bool) -> Result<ArrayRef> {
    if !matches!(of, DataType::Interval(_)) {
        return Ok(Arc::new(units.reinterpret_cast::<DurationMicrosecondType>()));
    }
    let months = units.iter().map(|units| match units.map(i32::try_from) {
        None => Ok(None),
        Some(Ok(months)) => Ok(Some(months)),
        Some(Err(_)) if or_null => Ok(None),
        Some(Err(_)) => Err(as_interval(overflow("try_sum"))),
    });
    let months = months.collect::<Result<Int32Array>>()?;
    Ok(Arc::new(months.reinterpret_cast::<IntervalYearMonthType>()))
}

/// An overflow of units is one of an interval.
pub fn as_interval(error: Error) -> Error {
    error.class("INTERVAL_ARITHMETIC_OVERFLOW.WITH_SUGGESTION")
}

/// A sum of units, as an interval.
#[derive(Debug)]
pub struct IntervalSum {
    /// The sum.
    pub units: Arc<dyn AggregateFunction>,
    /// The interval's type.
    pub of: DataType,
    /// NULL instead of an error when it does not fit.
    pub or_null: bool,
}

impl AggregateFunction for IntervalSum {
    fn identity(&self) -> String {
        format!("{} as {}", self.units.identity(), types::name(&self.of))
    }

    fn result_type(&self) -> DataType {
        self.of.clone()
    }

    fn state_types(&self) -> Vec<DataType> {
        self.units.state_types()
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(IntervalSums { sums: self.units.accumulator()?, of: self.of.clone(), or_null: self.or_null }))
    }
}

struct IntervalSums {
    sums: Box<dyn Accumulator>,
    of: DataType,
    or_null: bool,
}

impl Accumulator for IntervalSums {
    fn resize(&mut self, count: usize) {
        self.sums.resize(count);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        self.sums.update(arguments, selected).map_err(as_interval)
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        self.sums.merge(from, into).map_err(as_interval)
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        of_units(self.sums.evaluate(slots)?.as_primitive::<Int64Type>(), &self.of, self.or_null)
    }

    fn clear(&mut self, slots: &[u32]) {
        self.sums.clear(slots);
    }
}

impl Saved for IntervalSums {
    fn save(&mut self, slots: &[u32], scope: Scope) -> Result<Vec<ArrayRef>> {
        self.sums.save(slots, scope)
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], scope: Scope) -> Result<()> {
        self.sums.load(slots, columns, scope)
    }

    fn size(&self) -> usize {
        self.sums.size()
    }
}
