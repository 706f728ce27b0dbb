//! Numbers to numbers, and text to numbers.

use super::{Mode, invalid_input, overflow};
use crate::function::arithmetic::{out_of_range, rescale};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Decimal128Array, PrimitiveArray, StringArray};
use arrow::compute;
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, i256,
};
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result};

/// A number before it is cut to its type: whole and exact, or floating.
#[derive(Clone, Copy)]
enum Number {
    Whole(i128),
    Float(f64),
    Decimal(i128, i8),
}

/// Numbers to numbers and booleans.
pub fn cast(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let from = array.data_type().clone();
    let number = reader(array)?;
    let fail = |number: Number| overflow(shown(number), &from, to);
    match to {
        DataType::Boolean => {
            let values = (0..array.len()).map(|row| match number(row) {
                None => None,
                Some(Number::Whole(value) | Number::Decimal(value, _)) => Some(value != 0),
                Some(Number::Float(value)) => Some(value != 0.0),
            });
            Ok(Arc::new(values.collect::<arrow::array::BooleanArray>()))
        }
        DataType::Int8 => whole::<Int8Type>(array.len(), number, mode, fail, |value| value as i8),
        DataType::Int16 => whole::<Int16Type>(array.len(), number, mode, fail, |value| value as i16),
        DataType::Int32 => whole::<Int32Type>(array.len(), number, mode, fail, |value| value as i32),
        DataType::Int64 => whole::<Int64Type>(array.len(), number, mode, fail, |value| value as i64),
        DataType::Float32 | DataType::Float64 => {
            let floats = (0..array.len()).map(|row| number(row).map(to_double));
            let floats: ArrayRef = Arc::new(floats.collect::<PrimitiveArray<Float64Type>>());
            Ok(compute::cast(&floats, to)?)
        }
        DataType::Decimal128(precision, scale) => decimals(array.len(), number, *precision, *scale, mode),
        other => Err(Error::bug(format!("no cast from {from} to {other}"))),
    }
}

type Reader<'a> = Box<dyn Fn(usize) -> Option<Number> + 'a>;

fn reader(array: &ArrayRef) -> Result<Reader<'_>> {
    fn of<'a, T: ArrowPrimitiveType>(array: &'a ArrayRef, number: impl Fn(T::Native) -> Number + 'a) -> Reader<'a> {
        let array = array.as_primitive::<T>();
        Box::new(move |row| array.is_valid(row).then(|| number(array.value(row))))
    }
    Ok(match array.data_type() {
        DataType::Int8 => of::<Int8Type>(array, |value| Number::Whole(i128::from(value))),
        DataType::Int16 => of::<Int16Type>(array, |value| Number::Whole(i128::from(value))),
        DataType::Int32 => of::<Int32Type>(array, |value| Number::Whole(i128::from(value))),
        DataType::Int64 => of::<Int64Type>(array, |value| Number::Whole(i128::from(value))),
        DataType::Float32 => of::<Float32Type>(array, |value| Number::Float(f64::from(value))),
        DataType::Float64 => of::<Float64Type>(array, Number::Float),
        DataType::Decimal128(_, scale) => {
            let scale = *scale;
            of::<Decimal128Type>(array, move |value| Number::Decimal(value, scale))
        }
        other => return Err(Error::bug(format!("{other} is not a number"))),
    })
}

fn shown(number: Number) -> String {
    match number {
        Number::Whole(value) => value.to_string(),
        Number::Float(value) => super::printing::double(value),
        Number::Decimal(value, scale) => super::printing::decimal(value, scale),
    }
}

fn to_double(number: Number) -> f64 {
    match number {
        Number::Whole(value) => value as f64,
        Number::Float(value) => value,
        Number::Decimal(value, scale) => super::printing::decimal(value, scale).parse().unwrap_or(f64::NAN),
    }
}

/// Cut toward zero; `None` for NaN and infinities.
fn truncated(number: Number) -> Option<i128> {
    match number {
        Number::Whole(value) => Some(value),
        Number::Float(value) if value.is_finite() => Some(value.trunc() as i128),
        Number::Float(_) => None,
        Number::Decimal(value, scale) => Some(value / 10i128.pow(u32::try_from(scale).unwrap_or(0))),
    }
}

fn whole<T: ArrowPrimitiveType>(
    rows: usize,
    number: Reader<'_>,
    mode: Mode,
    fail: impl Fn(Number) -> Error,
    wrap: impl Fn(i128) -> T::Native,
) -> Result<ArrayRef>
where
    T::Native: TryFrom<i128> + From<i8>,
    f64: ToNative<T::Native>,
{
    let values = (0..rows).map(|row| {
        let Some(value) = number(row) else { return Ok(None) };
        let cut = truncated(value);
        match (cut.and_then(|cut| T::Native::try_from(cut).ok()), mode, value) {
            (Some(fits), _, _) => Ok(Some(fits)),
            (None, Mode::Ansi, _) => Err(fail(value)),
            (None, Mode::Try, _) => Ok(None),
            (None, Mode::Legacy, Number::Float(float)) => Ok(Some(float.to_native())),
            (None, Mode::Legacy, _) => Ok(cut.map(&wrap)),
        }
    });
    Ok(Arc::new(values.collect::<Result<PrimitiveArray<T>>>()?))
}

/// Java's narrowing of a double: NaN is 0, the rest saturates at int or bigint and then wraps.
trait ToNative<N> {
    fn to_native(self) -> N;
}

impl ToNative<i8> for f64 {
    fn to_native(self) -> i8 {
        self as i32 as i8
    }
}

impl ToNative<i16> for f64 {
    fn to_native(self) -> i16 {
        self as i32 as i16
    }
}

impl ToNative<i32> for f64 {
    fn to_native(self) -> i32 {
        self as i32
    }
}

impl ToNative<i64> for f64 {
    fn to_native(self) -> i64 {
        self as i64
    }
}

fn decimals(rows: usize, number: Reader<'_>, precision: u8, scale: i8, mode: Mode) -> Result<ArrayRef> {
    let values = (0..rows).map(|row| {
        let Some(value) = number(row) else { return Ok(None) };
        let (unscaled, at) = match value {
            Number::Whole(value) => (Some(value), 0),
            Number::Decimal(value, at) => (Some(value), at),
            Number::Float(value) if value.is_finite() => match parse_decimal(&format!("{value:e}")) {
                Some((unscaled, at)) => (Some(unscaled), at),
                None => (None, 0),
            },
            Number::Float(_) => (None, 0),
        };
        fit(unscaled, at, precision, scale, mode)
    });
    let array = values.collect::<Result<Decimal128Array>>()?;
    Ok(Arc::new(array.with_precision_and_scale(precision, scale)?))
}

fn fit(unscaled: Option<i128>, from_scale: i8, precision: u8, scale: i8, mode: Mode) -> Result<Option<i128>> {
    let fits = unscaled
        .and_then(|value| rescale(i256::from_i128(value), from_scale, scale).to_i128())
        .filter(|value| value.unsigned_abs() < 10u128.pow(u32::from(precision)));
    match (fits, mode) {
        (Some(value), _) => Ok(Some(value)),
        (None, Mode::Ansi) => Err(out_of_range(precision, scale)),
        (None, _) => Ok(None),
    }
}

/// `12.50`, `-1e3`, `1.5E-7` as an unscaled number and its scale (0 or more); `None` for no number or
/// one with too many digits.
fn parse_decimal(text: &str) -> Option<(i128, i8)> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: String = [whole, fraction].concat();
    if !digits.trim_start_matches(['+', '-']).bytes().all(|digit| digit.is_ascii_digit())
        || digits.trim_start_matches(['+', '-']).is_empty()
    {
        return None;
    }
    let mut value: i128 = digits.parse().ok()?;
    let mut scale = fraction.len() as i32 - exponent;
    while scale < 0 {
        value = value.checked_mul(10)?;
        scale += 1;
    }
    while scale > 38 {
        value /= 10;
        scale -= 1;
    }
    Some((value, scale as i8))
}

/// A number written as decimal text, rounded to a decimal type; `None` when it is none or does not fit.
pub fn decimal_of(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (unscaled, at) = parse_decimal(text)?;
    fit(Some(unscaled), at, precision, scale, Mode::Try).ok().flatten()
}

/// Text to numbers. White space around the number is allowed.
pub fn from_text(text: &StringArray, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    match to {
        DataType::Int8 => parsed::<Int8Type>(text, to, mode, |value| whole_text(value, mode)?.try_into().ok()),
        DataType::Int16 => parsed::<Int16Type>(text, to, mode, |value| whole_text(value, mode)?.try_into().ok()),
        DataType::Int32 => parsed::<Int32Type>(text, to, mode, |value| whole_text(value, mode)?.try_into().ok()),
        DataType::Int64 => parsed::<Int64Type>(text, to, mode, |value| whole_text(value, mode)),
        DataType::Float32 => parsed::<Float32Type>(text, to, mode, |value| float_text(value).map(|value| value as f32)),
        DataType::Float64 => parsed::<Float64Type>(text, to, mode, float_text),
        DataType::Decimal128(precision, scale) => {
            let values = text.iter().map(|value| {
                let Some(value) = value else { return Ok(None) };
                match parse_decimal(value.trim()) {
                    None if mode == Mode::Ansi => Err(invalid_input(value, "STRING", to)),
                    None => Ok(None),
                    Some((unscaled, at)) => fit(Some(unscaled), at, *precision, *scale, mode),
                }
            });
            let array = values.collect::<Result<Decimal128Array>>()?;
            Ok(Arc::new(array.with_precision_and_scale(*precision, *scale)?))
        }
        other => Err(Error::new(Kind::Bug, format!("no cast from text to {other}"))),
    }
}

fn parsed<T: ArrowPrimitiveType>(
    text: &StringArray,
    to: &DataType,
    mode: Mode,
    parse: impl Fn(&str) -> Option<T::Native>,
) -> Result<ArrayRef> {
    let values = text.iter().map(|value| {
        let Some(value) = value else { return Ok(None) };
        match parse(value.trim()) {
            None if mode == Mode::Ansi => Err(invalid_input(value, "STRING", to)),
            found => Ok(found),
        }
    });
    Ok(Arc::new(values.collect::<Result<PrimitiveArray<T>>>()?))
}

/// A whole number; outside ANSI a fraction is allowed and cut.
fn whole_text(text: &str, mode: Mode) -> Option<i64> {
    if mode == Mode::Ansi || !text.contains('.') {
        return text.parse().ok();
    }
    let (whole, fraction) = text.split_once('.')?;
    fraction
        .bytes()
        .all(|digit| digit.is_ascii_digit())
        .then(|| if whole.is_empty() { Some(0) } else { whole.parse().ok() })?
}

fn float_text(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "nan" => return Some(f64::NAN),
        "inf" | "+inf" | "infinity" | "+infinity" => return Some(f64::INFINITY),
        "-inf" | "-infinity" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    let number = lower.strip_suffix(['d', 'f']).unwrap_or(&lower);
    let starts_well =
        number.trim_start_matches(['+', '-']).starts_with(|letter: char| letter.is_ascii_digit() || letter == '.');
    if starts_well { number.parse().ok() } else { None }
}
