//! Functions of numbers.

pub mod bits;
pub mod doubles;
pub mod random;
pub mod rounding;
pub mod tries;

use super::arithmetic::negative;
use super::native::Native;
use super::{CallContext, Entry, as_double};
use crate::errors::overflow;
use crate::pipeline::analysis::coerce::is_numeric;
use crate::pipeline::analysis::operator::on_error;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalYearMonthType,
};
use std::sync::Arc;
use tidemill_core::Result;

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["negative", "negate", "-"], arguments: (1, 1), build: negate },
    Entry { names: &["abs"], arguments: (1, 1), build: absolute },
    Entry { names: &["isnan"], arguments: (1, 1), build: is_nan },
];

/// One zero and one NaN, so that equality and grouping treat equal values as equal.
pub fn normalized_float(typed: Typed) -> Typed {
    let (name, of) = (typed.name.clone(), typed.data_type.clone());
    let expr = Native::call("normalize_float", of.to_string(), of.clone(), vec![typed.expr], |arguments, _| {
        Ok(normalize(&arguments[0]))
    });
    Typed::new(expr, of, name)
}

/// [`normalized_float`] over an array; other types pass.
pub fn normalize(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => Arc::new(
            array
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|value| if value.is_nan() { f64::NAN } else { value + 0.0 }),
        ),
        DataType::Float32 => Arc::new(
            array
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(|value| if value.is_nan() { f32::NAN } else { value + 0.0 }),
        ),
        _ => array.clone(),
    }
}

fn negate(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let argument = arguments.remove(0);
    let of = argument.data_type.clone();
    let shown = format!("{}({})", context.name, argument.name);
    let typed = negative(argument, on_error(context.session));
    let typed = typed.ok_or_else(|| context.wrong_type("a number or interval", &of))?;
    Ok(if context.name == "-" { typed } else { typed.named(shown) })
}

fn absolute(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let argument = arguments.remove(0);
    let argument = match argument.data_type {
        DataType::Utf8 | DataType::Null => as_double(argument, context)?,
        _ => argument,
    };
    let of = argument.data_type.clone();
    if !is_numeric(&of) && !matches!(of, DataType::Duration(_) | DataType::Interval(_)) {
        return Err(context.wrong_type("a number or interval", &of));
    }
    let ansi = context.session.settings.ansi();
    let expr = Native::call("abs", format!("{of} {ansi}"), of.clone(), vec![argument.expr], move |arguments, _| {
        absolute_array(&arguments[0], ansi)
    });
    Ok(Typed::new(expr, of, ""))
}

fn absolute_array(array: &ArrayRef, ansi: bool) -> Result<ArrayRef> {
    macro_rules! whole {
        ($kind:ty) => {
            Arc::new(array.as_primitive::<$kind>().try_unary::<_, $kind, _>(|value| {
                if ansi { value.checked_abs().ok_or_else(|| overflow("")) } else { Ok(value.wrapping_abs()) }
            })?)
        };
    }
    Ok(match array.data_type() {
        DataType::Int8 => whole!(Int8Type),
        DataType::Int16 => whole!(Int16Type),
        DataType::Int32 => whole!(Int32Type),
        DataType::Int64 => whole!(Int64Type),
        DataType::Duration(_) => whole!(DurationMicrosecondType),
        DataType::Interval(_) => whole!(IntervalYearMonthType),
        DataType::Float32 => Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::abs)),
        DataType::Float64 => Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::abs)),
        _ => {
            let decimals = array.as_primitive::<Decimal128Type>();
            let of = array.data_type().clone();
            Arc::new(decimals.unary::<_, Decimal128Type>(i128::abs).with_data_type(of))
        }
    })
}

pub fn is_nan(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let argument = as_double(arguments.remove(0), context)?;
    let expr = Native::call("isnan", "", DataType::Boolean, vec![argument.expr], |arguments, _| {
        let doubles = arguments[0].as_primitive::<Float64Type>();
        let flags = doubles.iter().map(|value| Some(value.is_some_and(f64::is_nan)));
        Ok(Arc::new(flags.collect::<arrow::array::BooleanArray>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Boolean, ""))
}
