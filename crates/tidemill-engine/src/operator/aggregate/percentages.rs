//! The percentages of percentile functions, one or an array of them, and values as doubles and back.

use super::lists::list_of;
use super::out_of_range;
use crate::function::{CallContext, constant};
use crate::pipeline::analysis::coerce::is_numeric;
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Decimal128Type, DecimalType, Float64Type, Int32Type, Int64Type, IntervalUnit, TimeUnit,
};
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

/// Percentages, each 0 to 1.
#[derive(Debug, Clone)]
pub struct Percentages {
    shares: Vec<f64>,
    is_array: bool,
}

/// Doubles as a column of a type.
pub type Back = fn(&Float64Array, &DataType) -> Result<ArrayRef>;

impl Percentages {
    /// Just one.
    pub fn one(share: f64) -> Self {
        Percentages { shares: vec![share], is_array: false }
    }

    /// Those of an argument.
    ///
    /// # Errors
    /// No constant, NULL, or out of range.
    pub fn of(argument: &Typed, context: &CallContext<'_>) -> Result<Self> {
        let mismatch = |class, message: &str| {
            Err(refuse::type_mismatch(class, format!("{} {message}", context.name), context.text, context.at))
        };
        let element = match &argument.data_type {
            DataType::List(element) => Some(element.data_type()),
            _ => None,
        };
        let fits = match (&argument.data_type, element) {
            (_, Some(element)) => is_numeric(element) || *element == DataType::Null,
            (of, None) => is_numeric(of) || matches!(of, DataType::Null | DataType::Utf8),
        };
        if !fits {
            return mismatch("UNEXPECTED_INPUT_TYPE", "takes a percentage, or an array of them, as a DOUBLE");
        }
        let Some(value) = constant::value(argument)? else {
            return Err(constant::not_constant("percentage", &DataType::Float64, context));
        };
        if value.is_null() {
            return mismatch("UNEXPECTED_NULL", "takes a percentage that is not NULL");
        }
        let array = value.to_array().map_err(crate::errors::from_datafusion)?;
        let array = if element.is_some() { array.as_list::<i32>().value(0) } else { array };
        let shares = arrow::compute::cast(&array, &DataType::Float64)?;
        if shares.null_count() > 0 {
            return mismatch("UNEXPECTED_INPUT_TYPE", "takes percentages that are not NULL");
        }
        let shares = shares.as_primitive::<Float64Type>().values().to_vec();
        if !shares.iter().all(|share| (0.0..=1.0).contains(share)) {
            return Err(out_of_range(context, "the percentage", "0.0 to 1.0"));
        }
        Ok(Percentages { shares, is_array: element.is_some() })
    }

    /// The percentages in the order they were given.
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// The type of results that are of this type each.
    pub fn result(&self, each: DataType) -> DataType {
        if self.is_array { types::array_of(each) } else { each }
    }

    /// Results of groups as a column; a group without values, and an array of no percentages, is NULL.
    pub fn column(&self, back: Back, results: Vec<Option<Vec<f64>>>, each: &DataType) -> Result<ArrayRef> {
        let present = |result: &Option<Vec<f64>>| result.as_ref().is_some_and(|result| !result.is_empty());
        if !self.is_array {
            let results: Float64Array =
                results.iter().map(|result| result.as_ref().and_then(|result| result.first().copied())).collect();
            return back(&results, each);
        }
        let values = Float64Array::from_iter_values(results.iter().flatten().flatten().copied());
        let lengths: Vec<usize> = results.iter().map(|result| result.as_ref().map_or(0, Vec::len)).collect();
        let nulls = results.iter().map(present).collect::<NullBuffer>();
        list_of(back(&values, each)?, &lengths, Some(nulls))
    }
}

/// Values as doubles: numbers as they are, intervals in months or microseconds, times in microseconds,
/// dates in days. None is NULL.
pub fn doubles(values: &ArrayRef) -> Result<Vec<f64>> {
    Ok(match values.data_type() {
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            let double = |value: &i128| Decimal128Type::format_decimal(*value, precision, scale).parse();
            let doubles = values.as_primitive::<Decimal128Type>().values().iter().map(double);
            doubles
                .collect::<Result<_, std::num::ParseFloatError>>()
                .map_err(|_| Error::bug("a decimal is no number"))?
        }
        DataType::Interval(IntervalUnit::YearMonth) | DataType::Date32 => {
            let whole = values.as_any();
            let days = whole.downcast_ref::<PrimitiveArray<arrow::datatypes::Date32Type>>().map(PrimitiveArray::values);
            let months = whole
                .downcast_ref::<PrimitiveArray<arrow::datatypes::IntervalYearMonthType>>()
                .map(PrimitiveArray::values);
            let values = days.or(months).ok_or_else(|| Error::bug("neither dates nor months"))?;
            values.iter().map(|value| f64::from(*value)).collect()
        }
        DataType::Duration(_) | DataType::Timestamp(..) => {
            let whole = arrow::compute::cast(values, &DataType::Int64)?;
            whole.as_primitive::<Int64Type>().values().iter().map(|value| *value as f64).collect()
        }
        DataType::Float32
        | DataType::Float64
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64 => {
            let doubles = arrow::compute::cast(values, &DataType::Float64)?;
            doubles.as_primitive::<Float64Type>().values().to_vec()
        }
        other => return Err(Error::bug(format!("{} is no double", types::name(other)))),
    })
}

/// Doubles as values of a type, cut to whole ones as Scala's `toInt` and `toLong` do.
pub fn from_doubles(values: &Float64Array, of: &DataType) -> Result<ArrayRef> {
    let ints = || values.unary::<_, Int32Type>(|value| value as i32);
    let longs = || values.unary::<_, Int64Type>(|value| value as i64);
    Ok(match of {
        DataType::Float64 => Arc::new(values.clone()),
        DataType::Float32 => arrow::compute::cast(values, of)?,
        DataType::Int8 => Arc::new(values.unary::<_, arrow::datatypes::Int8Type>(|value| value as i32 as i8)),
        DataType::Int16 => Arc::new(values.unary::<_, arrow::datatypes::Int16Type>(|value| value as i32 as i16)),
        DataType::Int32 => Arc::new(ints()),
        DataType::Int64 => Arc::new(longs()),
        DataType::Date32 => Arc::new(ints().reinterpret_cast::<arrow::datatypes::Date32Type>()),
        DataType::Interval(_) => Arc::new(ints().reinterpret_cast::<arrow::datatypes::IntervalYearMonthType>()),
        DataType::Duration(TimeUnit::Microsecond) => {
            Arc::new(longs().reinterpret_cast::<arrow::datatypes::DurationMicrosecondType>())
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => Arc::new(
            longs().reinterpret_cast::<arrow::datatypes::TimestampMicrosecondType>().with_timezone_opt(zone.clone()),
        ),
        DataType::Decimal128(precision, scale) => {
            let decimal = |value: Option<f64>| value.and_then(|value| decimal(value, *precision, *scale));
            Arc::new(values.iter().map(decimal).collect::<Decimal128Array>().with_data_type(of.clone()))
        }
        other => return Err(Error::bug(format!("{} cannot be made of doubles", types::name(other)))),
    })
}

/// A double as a decimal, by its shortest text and rounded half up; `None` when it does not fit.
pub fn decimal(value: f64, precision: u8, scale: i8) -> Option<i128> {
    let text = ScalarValue::Utf8(Some(format!("{value:?}")));
    match text.cast_to(&DataType::Decimal128(precision, scale)) {
        Ok(ScalarValue::Decimal128(value, ..)) => value,
        _ => None,
    }
}
