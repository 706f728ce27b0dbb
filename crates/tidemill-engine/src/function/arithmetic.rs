//! `+ - * / % div` on numbers, by Spark's rules: whole numbers overflow with an error (ANSI) or wrap,
//! division by zero is an error or NULL, decimals have Spark's result types and round half up.
//! Source of the decimal rules: Spark's `DecimalPrecisionTypeCoercion` as described in the SQL
//! reference; observed in the golden cases `decimal_*` and `ansi_*`.

use super::native::Native;
use crate::errors::{divide_by_zero, overflow, remainder_by_zero};
use crate::pipeline::analysis::coerce;
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::expression::BinaryOperator;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Decimal128Array, PrimitiveArray};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, i256,
};
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result};

/// What happens when a result does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The query fails (ANSI rules).
    Fail,
    /// Whole numbers wrap, the rest is NULL (ANSI off).
    Legacy,
    /// NULL (`try_add` and its kin).
    Null,
}

/// A typed arithmetic expression; `None` when the types do not fit.
pub fn arithmetic(operator: BinaryOperator, left: Typed, right: Typed, on_error: OnError) -> Option<Typed> {
    let name = format!("({} {} {})", left.name, operator.symbol(), right.name);
    let (left, right) = (text_as_number(left, &right.data_type), right);
    let right = text_as_number(right, &left.data_type);
    let (left_type, right_type) = (left.data_type.clone(), right.data_type.clone());
    if operator == BinaryOperator::IntegerDivide {
        return integer_divide(left, right, on_error).map(|typed| typed.named(name));
    }
    let is_decimal = |of: &DataType| matches!(of, DataType::Decimal128(..));
    if (is_decimal(&left_type) || is_decimal(&right_type))
        && !coerce::is_float(&left_type)
        && !coerce::is_float(&right_type)
    {
        return decimal(operator, left, right, on_error).map(|typed| typed.named(name));
    }
    let common = match operator {
        BinaryOperator::Divide if coerce::is_numeric(&left_type) && coerce::is_numeric(&right_type) => {
            DataType::Float64
        }
        _ => null_as(&left_type, &right_type)?,
    };
    let arguments = vec![left.widened(&common).expr, right.widened(&common).expr];
    let expr = Native::call(
        function_name(operator),
        format!("{on_error:?} {common}"),
        common.clone(),
        arguments,
        move |arguments, _| plain(operator, &arguments[0], &arguments[1], on_error),
    );
    Some(Typed::new(expr, common, name))
}

fn function_name(operator: BinaryOperator) -> &'static str {
    match operator {
        BinaryOperator::Add => "add",
        BinaryOperator::Subtract => "subtract",
        BinaryOperator::Multiply => "multiply",
        BinaryOperator::Divide => "divide",
        BinaryOperator::Modulo => "mod",
        _ => "div",
    }
}

/// Text beside a number becomes bigint or double (ANSI).
fn text_as_number(typed: Typed, other: &DataType) -> Typed {
    if typed.data_type != DataType::Utf8 || !coerce::is_numeric(other) {
        return typed;
    }
    let to = if coerce::is_integer(other) { DataType::Int64 } else { DataType::Float64 };
    let name = typed.name.clone();
    super::cast::cast(typed, &to, super::cast::Mode::Ansi, chrono_tz::Tz::UTC).map_or_else(
        |_| Typed::literal(datafusion::common::ScalarValue::Null, name.clone()),
        |typed| typed.named(name.clone()),
    )
}

fn null_as(left: &DataType, right: &DataType) -> Option<DataType> {
    match (left, right) {
        (DataType::Null, DataType::Null) => Some(DataType::Float64),
        (DataType::Null, other) | (other, DataType::Null) if coerce::is_numeric(other) => Some(other.clone()),
        _ => coerce::common_numeric(left, right),
    }
}

fn plain(operator: BinaryOperator, left: &ArrayRef, right: &ArrayRef, on_error: OnError) -> Result<ArrayRef> {
    match left.data_type() {
        DataType::Int8 => whole::<Int8Type>(operator, left, right, on_error),
        DataType::Int16 => whole::<Int16Type>(operator, left, right, on_error),
        DataType::Int32 => whole::<Int32Type>(operator, left, right, on_error),
        DataType::Int64 => whole::<Int64Type>(operator, left, right, on_error),
        DataType::Float32 => floating::<Float32Type>(operator, left, right, on_error),
        _ => floating::<Float64Type>(operator, left, right, on_error),
    }
}

fn whole<T: ArrowPrimitiveType>(
    operator: BinaryOperator,
    left: &ArrayRef,
    right: &ArrayRef,
    on_error: OnError,
) -> Result<ArrayRef>
where
    T::Native: WholeNumber,
{
    if operator == BinaryOperator::Modulo {
        let (left, right) = (left.as_primitive::<T>(), right.as_primitive::<T>());
        return with_divisor(operator, left, right, on_error, |left, right| Ok(left.remainder(right)));
    }
    if on_error == OnError::Null {
        let compute = |left: T::Native, right: T::Native| match operator {
            BinaryOperator::Add => left.plus(right),
            BinaryOperator::Subtract => left.minus(right),
            _ => left.times(right),
        };
        let result: PrimitiveArray<T> =
            zip(left.as_primitive::<T>(), right.as_primitive::<T>(), |left, right| Ok(compute(left, right)))?;
        return Ok(Arc::new(result));
    }
    let fail = on_error == OnError::Fail;
    let (result, instead) = match operator {
        BinaryOperator::Add if fail => (numeric::add(left, right), "try_add"),
        BinaryOperator::Add => (numeric::add_wrapping(left, right), ""),
        BinaryOperator::Subtract if fail => (numeric::sub(left, right), "try_subtract"),
        BinaryOperator::Subtract => (numeric::sub_wrapping(left, right), ""),
        _ if fail => (numeric::mul(left, right), "try_multiply"),
        _ => (numeric::mul_wrapping(left, right), ""),
    };
    let small = matches!(left.data_type(), DataType::Int8 | DataType::Int16);
    result.map_err(|_| match small {
        true => overflow(instead).class("BINARY_ARITHMETIC_OVERFLOW"),
        false => overflow(instead),
    })
}

/// The checked operations of the four whole-number types.
trait WholeNumber: Copy + PartialEq + Default {
    fn plus(self, other: Self) -> Option<Self>;
    fn minus(self, other: Self) -> Option<Self>;
    fn times(self, other: Self) -> Option<Self>;
    fn remainder(self, other: Self) -> Self;
}

macro_rules! whole_number {
    ($($native:ty),*) => {$(
        impl WholeNumber for $native {
            fn plus(self, other: Self) -> Option<Self> { self.checked_add(other) }
            fn minus(self, other: Self) -> Option<Self> { self.checked_sub(other) }
            fn times(self, other: Self) -> Option<Self> { self.checked_mul(other) }
            fn remainder(self, other: Self) -> Self { self.wrapping_rem(other) }
        }
    )*};
}
whole_number!(i8, i16, i32, i64);

fn floating<T: ArrowPrimitiveType>(
    operator: BinaryOperator,
    left: &ArrayRef,
    right: &ArrayRef,
    on_error: OnError,
) -> Result<ArrayRef>
where
    T::Native: std::ops::Div<Output = T::Native> + std::ops::Rem<Output = T::Native> + Default + PartialEq,
{
    match operator {
        BinaryOperator::Add => Ok(numeric::add(left, right)?),
        BinaryOperator::Subtract => Ok(numeric::sub(left, right)?),
        BinaryOperator::Multiply => Ok(numeric::mul(left, right)?),
        BinaryOperator::Divide => {
            let (left, right) = (left.as_primitive::<T>(), right.as_primitive::<T>());
            with_divisor(operator, left, right, on_error, |left, right| Ok(left / right))
        }
        _ => {
            let (left, right) = (left.as_primitive::<T>(), right.as_primitive::<T>());
            with_divisor(operator, left, right, on_error, |left, right| Ok(left % right))
        }
    }
}

/// Division and remainder: a zero divisor is an error or NULL.
fn with_divisor<T: ArrowPrimitiveType>(
    operator: BinaryOperator,
    left: &PrimitiveArray<T>,
    right: &PrimitiveArray<T>,
    on_error: OnError,
    compute: impl Fn(T::Native, T::Native) -> Result<T::Native>,
) -> Result<ArrayRef>
where
    T::Native: Default + PartialEq,
{
    let zero = T::Native::default();
    let result: PrimitiveArray<T> = zip(left, right, |left, right| match (right == zero, on_error) {
        (false, _) => compute(left, right).map(Some),
        (true, OnError::Fail) => Err(zero_divisor(operator)),
        (true, _) => Ok(None),
    })?;
    Ok(Arc::new(result))
}

fn zero_divisor(operator: BinaryOperator) -> Error {
    if operator == BinaryOperator::Modulo { remainder_by_zero() } else { divide_by_zero() }
}

/// Row by row where both sides have a value.
fn zip<T: ArrowPrimitiveType, U: ArrowPrimitiveType>(
    left: &PrimitiveArray<T>,
    right: &PrimitiveArray<T>,
    compute: impl Fn(T::Native, T::Native) -> Result<Option<U::Native>>,
) -> Result<PrimitiveArray<U>> {
    (0..left.len())
        .map(|row| {
            if left.is_null(row) || right.is_null(row) {
                return Ok(None);
            }
            compute(left.value(row), right.value(row))
        })
        .collect()
}

/// `div`: bigint, cut toward zero.
/// Computes an array from two of the same length.
type OfTwo = dyn Fn(&ArrayRef, &ArrayRef) -> Result<ArrayRef> + Send + Sync;

fn integer_divide(left: Typed, right: Typed, on_error: OnError) -> Option<Typed> {
    let common = null_as(&left.data_type, &right.data_type)?;
    if coerce::is_float(&common) {
        return None;
    }
    let operator = BinaryOperator::IntegerDivide;
    let body: Box<OfTwo> = match common {
        DataType::Decimal128(..) => Box::new(move |left, right| divide_decimals_whole(left, right, on_error)),
        _ => Box::new(move |left, right| {
            let (left, right) = (left.as_primitive::<Int64Type>(), right.as_primitive::<Int64Type>());
            with_divisor(operator, left, right, on_error, |left, right| match (left.checked_div(right), on_error) {
                (None, OnError::Fail) => Err(overflow("")),
                _ => Ok(left.wrapping_div(right)),
            })
        }),
    };
    let operand = match common {
        DataType::Decimal128(..) => common,
        _ => DataType::Int64,
    };
    let arguments = vec![left.widened(&operand).expr, right.widened(&operand).expr];
    let expr =
        Native::call("div", format!("{on_error:?} {operand}"), DataType::Int64, arguments, move |arguments, _| {
            body(&arguments[0], &arguments[1])
        });
    Some(Typed::new(expr, DataType::Int64, "div"))
}

fn divide_decimals_whole(left: &ArrayRef, right: &ArrayRef, on_error: OnError) -> Result<ArrayRef> {
    let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
    let result: PrimitiveArray<Int64Type> = zip(left, right, |left, right| match (right, on_error) {
        (0, OnError::Fail) => Err(divide_by_zero()),
        (0, _) => Ok(None),
        _ => Ok(i64::try_from(left / right).ok()),
    })?;
    Ok(Arc::new(result))
}

fn decimal(operator: BinaryOperator, left: Typed, right: Typed, on_error: OnError) -> Option<Typed> {
    let shape = |typed: &Typed, other: &Typed| match typed.data_type {
        DataType::Null => coerce::decimal_of_integer(&other.data_type),
        _ => coerce::literal_decimal(typed).or_else(|| coerce::decimal_of_integer(&typed.data_type)),
    };
    let (left_shape, right_shape) = (shape(&left, &right)?, shape(&right, &left)?);
    let (precision, scale) = result_shape(operator, left_shape, right_shape);
    let result = DataType::Decimal128(precision, scale);
    let of = |(precision, scale)| DataType::Decimal128(precision, scale);
    let arguments = vec![left.widened(&of(left_shape)).expr, right.widened(&of(right_shape)).expr];
    let parameters = format!("{on_error:?} {left_shape:?} {right_shape:?}");
    let scales = (left_shape.1, right_shape.1);
    let expr = Native::call(function_name(operator), parameters, result.clone(), arguments, move |arguments, _| {
        let (left, right) =
            (arguments[0].as_primitive::<Decimal128Type>(), arguments[1].as_primitive::<Decimal128Type>());
        let computed: Decimal128Array = zip(left, right, |left, right| {
            one_decimal(operator, (left, scales.0), (right, scales.1), (precision, scale), on_error)
        })?;
        Ok(Arc::new(computed.with_precision_and_scale(precision, scale)?) as ArrayRef)
    });
    Some(Typed::new(expr, result, ""))
}

/// Precision and scale of a result, before and after it is cut to 38 digits.
fn result_shape(operator: BinaryOperator, left: (u8, i8), right: (u8, i8)) -> (u8, i8) {
    let (p1, s1) = (i16::from(left.0), i16::from(left.1));
    let (p2, s2) = (i16::from(right.0), i16::from(right.1));
    let (precision, scale) = match operator {
        BinaryOperator::Multiply => (p1 + p2 + 1, s1 + s2),
        BinaryOperator::Divide => {
            let scale = 6.max(s1 + p2 + 1);
            (p1 - s1 + s2 + scale, scale)
        }
        BinaryOperator::Modulo => ((p1 - s1).min(p2 - s2) + s1.max(s2), s1.max(s2)),
        _ => ((p1 - s1).max(p2 - s2) + s1.max(s2) + 1, s1.max(s2)),
    };
    if precision <= 38 {
        return (precision as u8, scale as i8);
    }
    let whole = precision - scale;
    (38, (38 - whole).max(scale.min(6)) as i8)
}

fn one_decimal(
    operator: BinaryOperator,
    left: (i128, i8),
    right: (i128, i8),
    (precision, scale): (u8, i8),
    on_error: OnError,
) -> Result<Option<i128>> {
    if right.0 == 0 && matches!(operator, BinaryOperator::Divide | BinaryOperator::Modulo) {
        return if on_error == OnError::Fail { Err(zero_divisor(operator)) } else { Ok(None) };
    }
    let (value_left, value_right) = (i256::from_i128(left.0), i256::from_i128(right.0));
    let shared = left.1.max(right.1);
    let (aligned_left, aligned_right) =
        (scale_up(value_left, shared - left.1), scale_up(value_right, shared - right.1));
    let result = match operator {
        BinaryOperator::Add => rescale(aligned_left + aligned_right, shared, scale),
        BinaryOperator::Subtract => rescale(aligned_left - aligned_right, shared, scale),
        BinaryOperator::Multiply => rescale(value_left * value_right, left.1 + right.1, scale),
        BinaryOperator::Modulo => rescale(aligned_left % aligned_right, shared, scale),
        _ => divide_half_up(scale_up(value_left, scale + right.1 - left.1), value_right),
    };
    let fits = result.to_i128().filter(|value| value.unsigned_abs() < 10u128.pow(u32::from(precision)));
    match (fits, on_error) {
        (Some(value), _) => Ok(Some(value)),
        (None, OnError::Fail) => Err(out_of_range(precision, scale)),
        (None, _) => Ok(None),
    }
}

/// Spark's error for a decimal that does not fit.
pub fn out_of_range(precision: u8, scale: i8) -> Error {
    Error::new(Kind::Data, format!("a number does not fit in DECIMAL({precision},{scale})"))
        .class("NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION")
        .help("CAST to a wider decimal, or SET ansi = false to get NULL")
}

fn scale_up(value: i256, by: i8) -> i256 {
    value.wrapping_mul(i256::from_i128(10).wrapping_pow(u32::try_from(by).unwrap_or(0)))
}

/// From one scale to another; digits that fall off round half up.
pub fn rescale(value: i256, from: i8, to: i8) -> i256 {
    if to >= from {
        return scale_up(value, to - from);
    }
    divide_half_up(value, i256::from_i128(10).wrapping_pow(u32::try_from(from - to).unwrap_or(0)))
}

fn divide_half_up(value: i256, divisor: i256) -> i256 {
    let (quotient, remainder) = (value / divisor, value % divisor);
    let twice = remainder.wrapping_abs().wrapping_mul(i256::from_i128(2));
    if twice < divisor.wrapping_abs() {
        return quotient;
    }
    let negative = (value < i256::ZERO) != (divisor < i256::ZERO);
    quotient + if negative { i256::MINUS_ONE } else { i256::ONE }
}

/// `-x`: the smallest whole number has no opposite.
pub fn negative(typed: Typed, on_error: OnError) -> Option<Typed> {
    let name = format!("(- {})", typed.name);
    let result = typed.data_type.clone();
    let is_duration = matches!(result, DataType::Duration(_) | DataType::Interval(_));
    if !coerce::is_numeric(&result) && !is_duration {
        return None;
    }
    let expr = Native::call(
        "negative",
        format!("{on_error:?} {result}"),
        result.clone(),
        vec![typed.expr],
        move |arguments, _| {
            let negated = match on_error {
                OnError::Fail => numeric::neg(&arguments[0]).map_err(|_| overflow(""))?,
                _ => numeric::neg_wrapping(&arguments[0])?,
            };
            Ok(negated)
        },
    );
    Some(Typed::new(expr, result, name))
}
