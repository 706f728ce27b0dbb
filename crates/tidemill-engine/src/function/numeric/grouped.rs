//! `format_number`: numbers with separators between thousands, by digits or by a pattern. Ties go to the even digit.
//! Source: Java SE 17, `java.text.DecimalFormat`; observed in the golden cases `format_number_*`.

use super::super::row::{self, Row};
use super::super::{CallContext, Entry, as_int, as_text};
use crate::function::datum::Datum;
use crate::pipeline::analysis::coerce;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use tidemill_core::{Error, Result};

pub const ENTRIES: &[Entry] = &[Entry { names: &["format_number"], arguments: (2, 2), build: format_number }];

/// Most digits behind the point.
const DIGITS_MAX: usize = 340;

/// The second argument is a number of digits, or a pattern such as `#,##0.00`.
fn format_number(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let given = arguments.remove(1);
    let value = arguments.remove(0);
    if !coerce::is_numeric(&value.data_type) && value.data_type != DataType::Null {
        return Err(context.wrong_type("NUMERIC", &value.data_type));
    }
    let value = if value.data_type == DataType::Null { value.widened(&DataType::Float64) } else { value };
    let by_pattern = given.data_type == DataType::Utf8;
    let given = if by_pattern { as_text(given, context)? } else { as_int(given, context)? };
    Ok(row::call(context, by_pattern.to_string(), DataType::Utf8, vec![value, given], move |row| {
        if row.is_null(0) || row.is_null(1) {
            return Ok(Datum::Null);
        }
        let layout = match by_pattern {
            true => Layout::parse(row.text(1)),
            false => match usize::try_from(row.int(1)) {
                Ok(digits) => {
                    let digits = digits.min(DIGITS_MAX);
                    Layout { fraction: (digits, digits), ..Layout::default() }
                }
                Err(_) => return Ok(Datum::Null),
            },
        };
        Ok(match number(&row, layout.fraction.1)? {
            Number::Digits(text) => layout.print(&text).into(),
            Number::Named(text) => format!("{}{text}{}", layout.prefix, layout.suffix).into(),
        })
    }))
}

enum Number {
    /// Decimal text with as many digits behind the point as asked for.
    Digits(String),
    Named(&'static str),
}

fn number(row: &Row<'_>, digits: usize) -> Result<Number> {
    let (column, at) = row.column(0);
    let double = |value: f64| match value {
        value if value.is_nan() => Number::Named("NaN"),
        value if value.is_infinite() => Number::Named(if value > 0.0 { "∞" } else { "-∞" }),
        value => Number::Digits(format!("{value:.digits$}")),
    };
    let whole =
        |value: i64| Number::Digits(format!("{value}{}{}", if digits > 0 { "." } else { "" }, "0".repeat(digits)));
    Ok(match column.data_type() {
        DataType::Int8 => whole(column.as_primitive::<Int8Type>().value(at).into()),
        DataType::Int16 => whole(column.as_primitive::<Int16Type>().value(at).into()),
        DataType::Int32 => whole(column.as_primitive::<Int32Type>().value(at).into()),
        DataType::Int64 => whole(column.as_primitive::<Int64Type>().value(at)),
        DataType::Float32 => double(column.as_primitive::<Float32Type>().value(at).into()),
        DataType::Float64 => double(column.as_primitive::<Float64Type>().value(at)),
        DataType::Decimal128(_, scale) => {
            let value = column.as_primitive::<Decimal128Type>().value(at);
            Number::Digits(half_even(value, usize::try_from(*scale).unwrap_or(0), digits))
        }
        other => return Err(Error::bug(format!("{other} is no number"))),
    })
}

/// A decimal rounded to so many digits, as text.
fn half_even(value: i128, scale: usize, digits: usize) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let mut magnitude = value.unsigned_abs();
    if scale > digits {
        let unit = 10u128.pow((scale - digits) as u32);
        let (quotient, rest) = (magnitude / unit, magnitude % unit);
        let up = rest > unit / 2 || (rest == unit / 2 && quotient % 2 == 1);
        magnitude = quotient + u128::from(up);
    }
    let kept = scale.min(digits);
    let text = format!("{magnitude:0>width$}", width = kept + 1);
    let (whole, fraction) = text.split_at(text.len() - kept);
    let zeros = "0".repeat(digits - kept);
    let point = if digits > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{fraction}{zeros}")
}

/// What a pattern of DecimalFormat says.
#[derive(Debug)]
struct Layout {
    prefix: String,
    suffix: String,
    /// Fewest digits before the point.
    whole: usize,
    /// Digits between separators; 0 is without.
    group: usize,
    /// Fewest and most digits behind the point.
    fraction: (usize, usize),
}

impl Default for Layout {
    fn default() -> Self {
        Layout { prefix: String::new(), suffix: String::new(), whole: 1, group: 3, fraction: (0, 0) }
    }
}

impl Layout {
    fn parse(pattern: &str) -> Layout {
        let is_part = |letter: char| matches!(letter, '#' | '0' | ',' | '.');
        let pattern = pattern.split(';').next().unwrap_or_default();
        let start = pattern.find(is_part).unwrap_or(pattern.len());
        let end = pattern[start..].find(|letter| !is_part(letter)).map_or(pattern.len(), |end| start + end);
        let body = &pattern[start..end];
        let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
        let zeros = |text: &str| text.matches('0').count();
        // without any 0, one stands before the point, or behind it when nothing is before
        let open = body.contains('.') && zeros(body) == 0;
        Layout {
            prefix: pattern[..start].replace('\'', ""),
            suffix: pattern[end..].replace('\'', ""),
            whole: if open && !whole.is_empty() { 1 } else { zeros(whole) },
            group: whole.rfind(',').map_or(0, |at| whole.len() - at - 1),
            fraction: (if open && whole.is_empty() { 1 } else { zeros(fraction) }, fraction.len().min(DIGITS_MAX)),
        }
    }

    fn print(&self, digits: &str) -> String {
        let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let fewest = self.fraction.0.min(fraction.len());
        let shortest = fraction.trim_end_matches('0').len().max(fewest);
        let fraction = &fraction[..shortest];
        let mut whole = whole.trim_start_matches('0').to_owned();
        let fewest = if fraction.is_empty() { self.whole.max(1) } else { self.whole };
        while whole.len() < fewest {
            whole.insert(0, '0');
        }
        let mut grouped = String::new();
        for (index, digit) in whole.chars().enumerate() {
            if index > 0 && self.group > 0 && (whole.len() - index) % self.group == 0 {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{}{grouped}{point}{fraction}{}", self.prefix, self.suffix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_laid_out() {
        for (pattern, digits, expected) in [
            ("#,##0.0", "1234567.9", "1,234,567.9"),
            ("000", "-7", "-007"),
            ("##.##", "0.00", "0"),
            ("##.##", "-0.50", "-0.5"),
            ("#,###.00 EUR", "0.00", ".00 EUR"),
            ("0.#", "1.0", "1"),
        ] {
            assert_eq!(Layout::parse(pattern).print(digits), expected, "{pattern}");
        }
        assert_eq!(half_even(25, 1, 0), "2");
        assert_eq!(half_even(35, 1, 0), "4");
        assert_eq!(half_even(-5, 2, 1), "-0.0");
        assert_eq!(half_even(5, 0, 2), "5.00");
    }
}
