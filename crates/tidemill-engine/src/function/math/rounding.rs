//! `round`, `bround`, `ceil` and `floor`, with places after the point or before it. Doubles are rounded as their
//! shortest decimal text is.

use crate::errors::overflow;
use crate::function::native::Native;
use crate::function::{CallContext, Entry, as_double, constant, implicit_cast};
use crate::pipeline::analysis::coerce::{decimal_of_integer, is_float, is_integer, is_numeric};
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Decimal128Array};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::{Error, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["round"], arguments: (1, 2), build: |context, given| round(context, given, Mode::HalfUp) },
    Entry { names: &["bround"], arguments: (1, 2), build: |context, given| round(context, given, Mode::HalfEven) },
    Entry {
        names: &["ceil", "ceiling"],
        arguments: (1, 2),
        build: |context, given| whole(context, given, Mode::Ceiling, f64::ceil),
    },
    Entry {
        names: &["floor"],
        arguments: (1, 2),
        build: |context, given| whole(context, given, Mode::Floor, f64::floor),
    },
];

/// Which way digits are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    HalfUp,
    HalfEven,
    Ceiling,
    Floor,
}

impl Mode {
    /// The whole part of `value / divisor`.
    fn divide(self, value: i128, divisor: i128) -> i128 {
        let (quotient, remainder) = (value.div_euclid(divisor), value.rem_euclid(divisor));
        let up = match self {
            Mode::Floor => false,
            Mode::Ceiling => remainder != 0,
            // a tie of a negative number goes away from zero, which is down
            Mode::HalfUp => remainder > divisor - remainder || (remainder == divisor - remainder && value >= 0),
            Mode::HalfEven => {
                remainder > divisor - remainder || (remainder == divisor - remainder && quotient % 2 != 0)
            }
        };
        if up { quotient + 1 } else { quotient }
    }
}

/// The places argument: a constant, 0 when absent; `None` for NULL.
fn places(arguments: &mut Vec<Typed>, context: &CallContext<'_>) -> Result<Option<i32>> {
    if arguments.len() < 2 {
        return Ok(Some(0));
    }
    let places = crate::function::as_int(arguments.remove(1), context)?;
    match constant::value(&places)? {
        Some(ScalarValue::Int32(places)) => Ok(places),
        _ => Err(refuse::type_mismatch(
            "NON_FOLDABLE_INPUT",
            format!("the places of {} must be a constant", context.name),
            context.text,
            context.at,
        )),
    }
}

fn round(context: &CallContext<'_>, mut arguments: Vec<Typed>, mode: Mode) -> Result<Typed> {
    let shown = match arguments.get(1) {
        Some(places) => format!("{}({}, {})", context.name, arguments[0].name, places.name),
        None => format!("{}({}, 0)", context.name, arguments[0].name),
    };
    let places = places(&mut arguments, context)?;
    let value = arguments.remove(0);
    let value =
        if matches!(value.data_type, DataType::Utf8 | DataType::Null) { as_double(value, context)? } else { value };
    let of = value.data_type.clone();
    if !is_numeric(&of) {
        return Err(context.wrong_type("a number", &of));
    }
    let Some(places) = places else {
        let null = Typed::literal(ScalarValue::Null, "NULL").widened(&of);
        return Ok(null.named(shown));
    };
    if let DataType::Decimal128(precision, scale) = of {
        return Ok(round_decimal(value, precision, scale, places, mode).named(shown));
    }
    let ansi = context.session.settings.ansi();
    let parameters = format!("{mode:?} {places} {ansi}");
    let expr = Native::call("round", parameters, of.clone(), vec![value.expr], move |arguments, _| {
        let array = &arguments[0];
        Ok(match array.data_type() {
            DataType::Int8 => whole_numbers::<Int8Type>(array, places, mode, ansi, |value| value as i8)?,
            DataType::Int16 => whole_numbers::<Int16Type>(array, places, mode, ansi, |value| value as i16)?,
            DataType::Int32 => whole_numbers::<Int32Type>(array, places, mode, ansi, |value| value as i32)?,
            DataType::Int64 => whole_numbers::<Int64Type>(array, places, mode, ansi, |value| value as i64)?,
            DataType::Float32 => Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(|value| {
                round_text(&format!("{value:e}"), places, mode).and_then(|text| text.parse().ok()).unwrap_or(value)
            })),
            _ => Arc::new(
                array.as_primitive::<Float64Type>().unary::<_, Float64Type>(|value| round_double(value, places, mode)),
            ),
        })
    });
    Ok(Typed::new(expr, of, shown))
}

/// Rounds to tens, hundreds and so on; places after the point change nothing.
fn whole_numbers<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    places: i32,
    mode: Mode,
    ansi: bool,
    wrap: fn(i128) -> T::Native,
) -> Result<ArrayRef>
where
    T::Native: Into<i128>,
{
    if places >= 0 {
        return Ok(array.clone());
    }
    let unit = 10i128.checked_pow(places.unsigned_abs()).filter(|_| places > -30);
    let rounded = array.as_primitive::<T>().try_unary::<_, T, Error>(|value| {
        let Some(unit) = unit else { return Ok(wrap(0)) };
        let exact = mode.divide(value.into(), unit) * unit;
        let narrow = wrap(exact);
        if ansi && narrow.into() != exact { Err(overflow("")) } else { Ok(narrow) }
    })?;
    Ok(Arc::new(rounded))
}

fn round_double(value: f64, places: i32, mode: Mode) -> f64 {
    round_text(&format!("{value:e}"), places, mode).and_then(|text| text.parse().ok()).unwrap_or(value)
}

/// A number as `d.ddde±x`, rounded; `None` when nothing is cut off.
fn round_text(text: &str, places: i32, mode: Mode) -> Option<String> {
    let (mantissa, exponent) = text.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let after_point = digits.len() as i32 - 1 - exponent;
    let cut = after_point.checked_sub(places)?;
    if cut <= 0 {
        return None;
    }
    // at most 17 digits: with more cut off than there are, the value is below one half
    let value: i128 = digits.parse().ok()?;
    let value = if negative { -value } else { value };
    let kept = if cut > 20 { 0 } else { mode.divide(value, 10i128.pow(cut as u32)) };
    let sign = if negative && kept == 0 { "-" } else { "" };
    Some(format!("{sign}{kept}e{}", -places))
}

/// The result keeps as many digits after the point as are asked for, and one more before it.
fn round_decimal(value: Typed, precision: u8, scale: i8, places: i32, mode: Mode) -> Typed {
    let kept = places.clamp(0, i32::from(scale)) as i8;
    let before = i32::from(precision) - i32::from(scale) + 1;
    let digits = if places < 0 { before.max(1 - places) } else { before + i32::from(kept) };
    let result = DataType::Decimal128(digits.clamp(1, 38) as u8, kept);
    let of = result.clone();
    let parameters = format!("{mode:?} {places} {result}");
    let expr = Native::call("round", parameters, result.clone(), vec![value.expr], move |arguments, _| {
        let cut = i32::from(scale) - places.min(i32::from(scale));
        let back = i32::from(kept) - places.min(i32::from(scale));
        let unit = 10i128.checked_pow(cut.unsigned_abs()).filter(|_| cut <= 38);
        let rounded = arguments[0].as_primitive::<Decimal128Type>().iter().map(|value| {
            let Some(unit) = unit else { return value.map(|_| 0) };
            mode.divide(value?, unit).checked_mul(10i128.checked_pow(back.unsigned_abs())?)
        });
        Ok(Arc::new(rounded.collect::<Decimal128Array>().with_data_type(of.clone())) as ArrayRef)
    });
    Typed::new(expr, result, "")
}

/// `ceil` and `floor` give bigint; of a decimal, or with places, a decimal.
fn whole(context: &CallContext<'_>, mut arguments: Vec<Typed>, mode: Mode, cut: fn(f64) -> f64) -> Result<Typed> {
    let shown: Vec<String> = arguments.iter().map(|argument| argument.name.clone()).collect();
    let plain = if mode == Mode::Floor { "FLOOR" } else { "CEIL" };
    if arguments.len() == 2 {
        let shown = format!("{}({})", context.name, shown.join(", "));
        let Some(places) = places(&mut arguments, context)? else {
            return Err(context.not_yet("ceil and floor to NULL places"));
        };
        let value = arguments.remove(0);
        let (precision, scale) = match &value.data_type {
            of if is_integer(of) || matches!(of, DataType::Decimal128(..)) => decimal_of_integer(of).unwrap_or((38, 0)),
            DataType::Float32 => (14, 7),
            of if is_float(of) || matches!(of, DataType::Utf8 | DataType::Null) => (30, 15),
            other => return Err(context.wrong_type("a number", other)),
        };
        let value = implicit_cast(value, &DataType::Decimal128(precision, scale), context)?;
        return Ok(round_decimal(value, precision, scale, places, mode).named(shown));
    }
    let shown = format!("{plain}({})", shown.join(", "));
    let value = arguments.remove(0);
    if is_integer(&value.data_type) {
        let value = value.widened(&DataType::Int64);
        // a call, and no literal any more: beside a decimal it counts as any BIGINT
        let same = Native::call(plain, "", DataType::Int64, vec![value.expr], |arguments, _| Ok(arguments[0].clone()));
        return Ok(Typed::new(same, DataType::Int64, shown));
    }
    if let DataType::Decimal128(precision, scale) = value.data_type {
        let typed = round_decimal(value, precision, scale, 0, mode);
        let digits = i32::from(precision) - i32::from(scale) + i32::from(scale > 0);
        let of = DataType::Decimal128(digits.clamp(1, 38) as u8, 0);
        return Ok(typed.widened(&of).named(shown));
    }
    let value = as_double(value, context)?;
    let ansi = context.session.settings.ansi();
    let parameters = ansi.to_string();
    let expr = Native::call(plain, parameters, DataType::Int64, vec![value.expr], move |arguments, _| {
        let doubles = arguments[0].as_primitive::<Float64Type>();
        let cut = doubles.try_unary::<_, Int64Type, Error>(|value| {
            let value = cut(value);
            let fits = value >= i64::MIN as f64 && value < i64::MAX as f64;
            if fits || !ansi { Ok(value as i64) } else { Err(overflow("")) }
        })?;
        Ok(Arc::new(cut) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int64, shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_round_as_their_text() {
        for (value, places, half_up, half_even) in [
            (2.5, 0, 3.0, 2.0),
            (-2.5, 0, -3.0, -2.0),
            (2.675, 2, 2.68, 2.68),
            (1.005, 2, 1.01, 1.0),
            (1234.5, -2, 1200.0, 1200.0),
            (1e300, 1, 1e300, 1e300),
            (4e-10, 3, 0.0, 0.0),
        ] {
            assert_eq!(round_double(value, places, Mode::HalfUp), half_up, "{value}");
            assert_eq!(round_double(value, places, Mode::HalfEven), half_even, "{value}");
        }
        assert!(round_double(f64::NAN, 1, Mode::HalfUp).is_nan());
    }
}
