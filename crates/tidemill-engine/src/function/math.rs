//! Functions of numbers.

use super::arithmetic::{negative, rescale};
use super::native::Native;
use super::{CallContext, Entry, as_double, as_int, library};
use crate::errors::overflow;
use crate::pipeline::analysis::coerce::{is_integer, is_numeric};
use crate::pipeline::analysis::operator::on_error;
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::expression::BinaryOperator;
use arrow::array::{ArrayRef, AsArray, Decimal128Array};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, i256,
};
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::Result;

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["negative", "negate"], arguments: (1, 1), build: negate },
    Entry { names: &["abs"], arguments: (1, 1), build: absolute },
    Entry {
        names: &["mod"],
        arguments: (2, 2),
        build: |context, arguments| two(context, arguments, BinaryOperator::Modulo),
    },
    Entry { names: &["sqrt"], arguments: (1, 1), build: |context, arguments| of_double(context, arguments, f64::sqrt) },
    Entry { names: &["exp"], arguments: (1, 1), build: |context, arguments| of_double(context, arguments, f64::exp) },
    Entry { names: &["isnan"], arguments: (1, 1), build: is_nan },
    Entry { names: &["pow", "power"], arguments: (2, 2), build: power },
    Entry {
        names: &["ceil", "ceiling"],
        arguments: (1, 1),
        build: |context, arguments| whole(context, arguments, f64::ceil),
    },
    Entry { names: &["floor"], arguments: (1, 1), build: |context, arguments| whole(context, arguments, f64::floor) },
    Entry { names: &["round"], arguments: (1, 2), build: round },
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
    negative(argument, on_error(context.session)).ok_or_else(|| context.wrong_type("a number or interval", &of))
}

fn two(context: &CallContext<'_>, mut arguments: Vec<Typed>, operator: BinaryOperator) -> Result<Typed> {
    let (right, left) = (arguments.remove(1), arguments.remove(0));
    crate::pipeline::analysis::operator::binary(operator, left, right, context.session, context.text, context.at)
}

fn absolute(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let argument = arguments.remove(0);
    let of = argument.data_type.clone();
    if !is_numeric(&of) {
        return Err(context.wrong_type("a number", &of));
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
        DataType::Float32 => Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::abs)),
        DataType::Float64 => Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::abs)),
        _ => {
            let decimals = array.as_primitive::<Decimal128Type>();
            let of = array.data_type().clone();
            Arc::new(decimals.unary::<_, Decimal128Type>(i128::abs).with_data_type(of))
        }
    })
}

fn of_double(context: &CallContext<'_>, mut arguments: Vec<Typed>, compute: fn(f64) -> f64) -> Result<Typed> {
    let argument = as_double(arguments.remove(0), context)?;
    let expr = Native::call(context.name, "", DataType::Float64, vec![argument.expr], move |arguments, _| {
        Ok(Arc::new(arguments[0].as_primitive::<Float64Type>().unary::<_, Float64Type>(compute)) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Float64, ""))
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

fn power(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let arguments =
        arguments.into_iter().map(|argument| Ok(as_double(argument, context)?.expr)).collect::<Result<_>>()?;
    let expr = Native::call("pow", "", DataType::Float64, arguments, |arguments, _| {
        let (base, exponent) = (arguments[0].as_primitive::<Float64Type>(), arguments[1].as_primitive::<Float64Type>());
        Ok(Arc::new(arrow::compute::binary::<_, _, _, Float64Type>(base, exponent, f64::powf)?) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Float64, "").named(""))
}

/// `ceil` and `floor` give bigint; of a decimal, a decimal without a fraction.
fn whole(context: &CallContext<'_>, mut arguments: Vec<Typed>, cut: fn(f64) -> f64) -> Result<Typed> {
    let argument = arguments.remove(0);
    if is_integer(&argument.data_type) {
        return Ok(argument.widened(&DataType::Int64).named(""));
    }
    if matches!(argument.data_type, DataType::Decimal128(..)) {
        let function = match context.name {
            "floor" => datafusion_spark::function::math::floor(),
            _ => datafusion_spark::function::math::ceil(),
        };
        return library::call(function, vec![argument]);
    }
    let argument = as_double(argument, context)?;
    let expr = Native::call(context.name, "bigint", DataType::Int64, vec![argument.expr], move |arguments, _| {
        let doubles = arguments[0].as_primitive::<Float64Type>();
        Ok(Arc::new(doubles.unary::<_, Int64Type>(|value| cut(value) as i64)) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int64, ""))
}

fn round(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let shown: Vec<String> = arguments.iter().map(|argument| argument.name.clone()).collect();
    let shown =
        if shown.len() == 1 { format!("round({}, 0)", shown[0]) } else { format!("round({})", shown.join(", ")) };
    let value = arguments.remove(0);
    if !is_numeric(&value.data_type) {
        return Err(context.wrong_type("a number", &value.data_type));
    }
    let places = arguments.pop().map(|places| as_int(places, context)).transpose()?;
    if let DataType::Decimal128(precision, scale) = value.data_type {
        let places = match places.as_ref().map(Typed::as_literal) {
            None => 0,
            Some(Some(ScalarValue::Int32(Some(places)))) => *places,
            Some(_) => return Err(context.not_yet("round of a decimal to places that are no literal")),
        };
        return Ok(round_decimal(value, precision, scale, places).named(shown));
    }
    let of = value.data_type.clone();
    let typed =
        library::call(datafusion_spark::function::math::round(), std::iter::once(value).chain(places).collect())?;
    Ok(typed.widened(&of).named(shown))
}

/// Half up; the result keeps as many digits after the point as are asked for, and one more before it.
fn round_decimal(value: Typed, precision: u8, scale: i8, places: i32) -> Typed {
    let kept = places.clamp(0, i32::from(scale)) as i8;
    let whole = i32::from(precision) - i32::from(scale) + 1;
    let digits =
        if i32::from(scale) <= places { i32::from(precision) } else { whole.max(1 - places) + i32::from(kept) };
    let result = DataType::Decimal128(digits.clamp(1, 38) as u8, kept);
    let (at, of) = (places.clamp(-38, i32::from(scale)) as i8, result.clone());
    let expr =
        Native::call("round", format!("{places} {result}"), result.clone(), vec![value.expr], move |arguments, _| {
            let decimals = arguments[0].as_primitive::<Decimal128Type>().iter();
            let rounded =
                decimals.map(|value| rescale(rescale(i256::from_i128(value?), scale, at), at, kept).to_i128());
            Ok(Arc::new(rounded.collect::<Decimal128Array>().with_data_type(of.clone())) as ArrayRef)
        });
    Typed::new(expr, result, "")
}
