//! Functions of doubles to doubles, by table: `sin`, `log10`, `cbrt`. Where a logarithm has no value it is NULL.
//!
//! The last digit is that of fdlibm, as in Java's StrictMath: `libm` is a port of it.

use crate::function::native::Native;
use crate::function::{CallContext, Entry, as_double, as_int};
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, DurationMicrosecondType, Float64Type, Int32Type, IntervalYearMonthType};
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::Result;

/// Computes one value; `None` is NULL.
type Compute = fn(f64) -> Option<f64>;

macro_rules! unary {
    ($($name:literal => $compute:expr),* $(,)?) => {
        &[$(Entry { names: &[$name], arguments: (1, 1), build: |context, given| of_double(context, given, $compute) }),*]
    };
}

pub const UNARY: &[Entry] = unary! {
    "sqrt" => |x| Some(x.sqrt()),
    "exp" => |x| Some(libm::exp(x)),
    "expm1" => |x| Some(libm::expm1(x)),
    "cbrt" => |x| Some(x.cbrt()),
    "ln" => |x| above(x, 0.0, libm::log),
    "log10" => |x| above(x, 0.0, libm::log10),
    "log2" => |x| above(x, 0.0, |x| libm::log(x) / libm::log(2.0)),
    "log1p" => |x| above(x, -1.0, libm::log1p),
    "sin" => |x| Some(libm::sin(x)),
    "cos" => |x| Some(libm::cos(x)),
    "tan" => |x| Some(libm::tan(x)),
    "cot" => |x| Some(1.0 / libm::tan(x)),
    "sec" => |x| Some(1.0 / libm::cos(x)),
    "csc" => |x| Some(1.0 / libm::sin(x)),
    "asin" => |x| Some(libm::asin(x)),
    "acos" => |x| Some(libm::acos(x)),
    "atan" => |x| Some(libm::atan(x)),
    "sinh" => |x| Some(libm::sinh(x)),
    "cosh" => |x| Some(libm::cosh(x)),
    "tanh" => |x| Some(libm::tanh(x)),
    "asinh" => |x| Some(x.asinh()),
    "acosh" => |x| Some(x.acosh()),
    "atanh" => |x| Some(x.atanh()),
    "radians" => |x| Some(x / 180.0 * std::f64::consts::PI),
    "degrees" => |x| Some(x * 180.0 / std::f64::consts::PI),
    "rint" => |x| Some(x.round_ties_even()),
};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["log"], arguments: (1, 2), build: log },
    Entry { names: &["pow", "power"], arguments: (2, 2), build: |context, given| of_two(context, given, libm::pow) },
    Entry {
        names: &["atan2"],
        arguments: (2, 2),
        build: |context, given| of_two(context, given, |y, x| libm::atan2(y + 0.0, x + 0.0)),
    },
    Entry { names: &["hypot"], arguments: (2, 2), build: |context, given| of_two(context, given, f64::hypot) },
    Entry { names: &["sign", "signum"], arguments: (1, 1), build: sign },
    Entry { names: &["factorial"], arguments: (1, 1), build: factorial },
    Entry { names: &["width_bucket"], arguments: (4, 4), build: width_bucket },
    Entry { names: &["e"], arguments: (0, 0), build: |_, _| Ok(constant(std::f64::consts::E, "E()")) },
    Entry { names: &["pi"], arguments: (0, 0), build: |_, _| Ok(constant(std::f64::consts::PI, "PI()")) },
];

fn constant(value: f64, name: &str) -> Typed {
    Typed::literal(ScalarValue::Float64(Some(value)), name)
}

fn above(x: f64, least: f64, compute: fn(f64) -> f64) -> Option<f64> {
    if x <= least { None } else { Some(compute(x)) }
}

/// Spark shows most of these in capitals.
fn shown(context: &CallContext<'_>, arguments: &[Typed]) -> String {
    let name = match context.name {
        name @ ("rint" | "ln" | "pow" | "sign") => name.to_owned(),
        name => name.to_ascii_uppercase(),
    };
    let arguments: Vec<&str> = arguments.iter().map(|argument| argument.name.as_str()).collect();
    format!("{name}({})", arguments.join(", "))
}

fn of_double(context: &CallContext<'_>, mut arguments: Vec<Typed>, compute: Compute) -> Result<Typed> {
    let shown = shown(context, &arguments);
    let argument = as_double(arguments.remove(0), context)?;
    let expr = Native::call(context.name, "", DataType::Float64, vec![argument.expr], move |arguments, _| {
        let doubles = arguments[0].as_primitive::<Float64Type>();
        Ok(Arc::new(doubles.unary_opt::<_, Float64Type>(compute)) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Float64, shown))
}

fn of_two(context: &CallContext<'_>, arguments: Vec<Typed>, compute: fn(f64, f64) -> f64) -> Result<Typed> {
    let shown = shown(context, &arguments);
    let arguments =
        arguments.into_iter().map(|argument| Ok(as_double(argument, context)?.expr)).collect::<Result<_>>()?;
    let expr = Native::call(context.name, "", DataType::Float64, arguments, move |arguments, _| {
        let (left, right) = (arguments[0].as_primitive::<Float64Type>(), arguments[1].as_primitive::<Float64Type>());
        Ok(Arc::new(arrow::compute::binary::<_, _, _, Float64Type>(left, right, compute)?) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Float64, shown))
}

/// `log(x)` or `log(base, x)`.
fn log(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    if arguments.len() == 1 {
        arguments.insert(0, constant(std::f64::consts::E, "E()"));
    }
    let shown = shown(context, &arguments);
    let arguments =
        arguments.into_iter().map(|argument| Ok(as_double(argument, context)?.expr)).collect::<Result<_>>()?;
    let expr = Native::call("log", "", DataType::Float64, arguments, |arguments, rows| {
        let (base, value) = (arguments[0].as_primitive::<Float64Type>(), arguments[1].as_primitive::<Float64Type>());
        let logs = (0..rows).map(|row| {
            if base.is_null(row) || value.is_null(row) || base.value(row) <= 0.0 || value.value(row) <= 0.0 {
                return None;
            }
            let (base, value) = (base.value(row), value.value(row));
            Some(if base == std::f64::consts::E { libm::log(value) } else { libm::log(value) / libm::log(base) })
        });
        Ok(Arc::new(logs.collect::<Float64Array>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Float64, shown))
}

/// Of a number or an interval.
fn sign(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    if !matches!(arguments[0].data_type, DataType::Duration(_) | DataType::Interval(_)) {
        return of_double(context, arguments, |x| Some(if x == 0.0 || x.is_nan() { x } else { x.signum() }));
    }
    let shown = shown(context, &arguments);
    let interval = arguments.remove(0);
    let expr = Native::call("sign_interval", "", DataType::Float64, vec![interval.expr], |arguments, _| {
        let signs: Float64Array = match arguments[0].data_type() {
            DataType::Duration(_) => {
                let micros = arguments[0].as_primitive::<DurationMicrosecondType>();
                micros.unary(|micros| micros.signum() as f64)
            }
            _ => arguments[0].as_primitive::<IntervalYearMonthType>().unary(|months| f64::from(months.signum())),
        };
        Ok(Arc::new(signs) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Float64, shown))
}

/// NULL outside of 0 to 20.
fn factorial(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let argument = as_int(arguments.remove(0), context)?;
    let expr = Native::call("factorial", "", DataType::Int64, vec![argument.expr], |arguments, _| {
        let numbers = arguments[0].as_primitive::<Int32Type>();
        let products: Int64Array =
            numbers.unary_opt(|number| (0..=20).contains(&number).then(|| (1..=i64::from(number)).product()));
        Ok(Arc::new(products) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int64, ""))
}

/// The bucket of a histogram of equal widths a value falls into; 0 and one more than there are beyond its ends.
fn width_bucket(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let shown: Vec<String> = arguments.iter().map(|argument| argument.name.clone()).collect();
    let count = crate::function::implicit_cast(arguments.remove(3), &DataType::Int64, context)?;
    let mut expressions = vec![];
    for argument in arguments {
        expressions.push(as_double(argument, context)?.expr);
    }
    expressions.push(count.expr);
    let expr = Native::call("width_bucket", "", DataType::Int64, expressions, |arguments, rows| {
        let [value, least, most] = [0, 1, 2].map(|position| arguments[position].as_primitive::<Float64Type>());
        let counts = arguments[3].as_primitive::<arrow::datatypes::Int64Type>();
        let buckets = (0..rows).map(|row| {
            let valid = [value, least, most].iter().all(|column| column.is_valid(row)) && counts.is_valid(row);
            if valid { bucket(value.value(row), least.value(row), most.value(row), counts.value(row)) } else { None }
        });
        Ok(Arc::new(buckets.collect::<Int64Array>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int64, format!("width_bucket({})", shown.join(", "))))
}

fn bucket(value: f64, from: f64, to: f64, count: i64) -> Option<i64> {
    if count <= 0 || count == i64::MAX || value.is_nan() || from == to || !from.is_finite() || !to.is_finite() {
        return None;
    }
    let (lower, upper) = (from.min(to), from.max(to));
    let (before, after, distance) = match from < to {
        true => (value < lower, value >= upper, value - lower),
        false => (value > upper, value <= lower, upper - value),
    };
    Some(match (before, after) {
        (true, _) => 0,
        (_, true) => count + 1,
        _ => (count as f64 * distance / (upper - lower)) as i64 + 1,
    })
}
