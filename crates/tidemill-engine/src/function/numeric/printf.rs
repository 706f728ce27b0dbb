//! `format_string`: values put into a pattern, as Java's `Formatter` does it.
//! Source: Java SE 17, `java.util.Formatter`; observed in the golden cases `format_string_*`.

use super::super::row::{self, Row};
use super::super::{CallContext, Entry, MANY, as_text, cast};
use crate::function::datum::Datum;
use crate::function::hash;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use tidemill_core::{Error, Kind, Result};

/// Longest width and precision of a value.
const WIDTH_MAX: usize = 1 << 16;

pub const ENTRIES: &[Entry] = &[Entry { names: &["format_string", "printf"], arguments: (1, MANY), build }];

fn build(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let names = arguments.iter().map(|argument| argument.name.clone()).collect::<Vec<_>>().join(", ");
    let rest = arguments.split_off(1);
    let pattern = as_text(arguments.remove(0), context)?;
    if pattern.as_text().is_some_and(|pattern| pattern.contains("%0$")) {
        return Err(Error::invalid(format!("{}: arguments count from 1: %1$, not %0$", context.name))
            .class("INVALID_PARAMETER_VALUE.ZERO_INDEX")
            .at_if_unplaced(context.text.place(context.at)));
    }
    let zone = context.session.settings.time_zone();
    let list = std::iter::once(pattern).chain(rest).collect();
    Ok(row::call(context, "", DataType::Utf8, list, move |row| {
        let Some(pattern) = row.text_if(0) else { return Ok(Datum::Null) };
        let values = (1..row.count()).map(|index| Value::of(&row, index, zone)).collect::<Result<Vec<_>>>()?;
        formatted(pattern, &values).map(Into::into).map_err(|why| {
            Error::new(Kind::Data, format!("format_string: the pattern '{pattern}' does not fit: {why}"))
        })
    })
    .named(format!("{}({names})", context.name)))
}

/// An argument as the formatter sees it.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Boolean(bool),
    /// A number and how many bits its type has.
    Whole(i64, u32),
    Double(f64),
    Float(f32),
    Text(String),
    /// What only prints, such as a decimal.
    Other(String),
}

impl Value {
    fn of(row: &Row<'_>, index: usize, zone: chrono_tz::Tz) -> Result<Value> {
        let (column, at): (&ArrayRef, usize) = row.column(index);
        if column.is_null(at) {
            return Ok(Value::Null);
        }
        Ok(match column.data_type() {
            DataType::Null => Value::Null,
            DataType::Boolean => Value::Boolean(column.as_boolean().value(at)),
            DataType::Int8 => Value::Whole(column.as_primitive::<Int8Type>().value(at).into(), 8),
            DataType::Int16 => Value::Whole(column.as_primitive::<Int16Type>().value(at).into(), 16),
            DataType::Int32 => Value::Whole(column.as_primitive::<Int32Type>().value(at).into(), 32),
            DataType::Int64 => Value::Whole(column.as_primitive::<Int64Type>().value(at), 64),
            // dates and times go in as the numbers behind them
            DataType::Date32 => Value::Whole(column.as_primitive::<Date32Type>().value(at).into(), 32),
            DataType::Timestamp(..) => Value::Whole(column.as_primitive::<TimestampMicrosecondType>().value(at), 64),
            DataType::Float32 => Value::Float(column.as_primitive::<Float32Type>().value(at)),
            DataType::Float64 => Value::Double(column.as_primitive::<Float64Type>().value(at)),
            DataType::Utf8 => Value::Text(column.as_string::<i32>().value(at).to_owned()),
            _ => {
                let shown = cast::printing::print_array(&column.slice(at, 1), zone)?;
                Value::Other(shown.value(0).replace(", ", ","))
            }
        })
    }

    fn shown(&self) -> String {
        match self {
            Value::Null => "null".into(),
            Value::Boolean(value) => value.to_string(),
            Value::Whole(value, _) => value.to_string(),
            Value::Double(value) => cast::printing::double(*value),
            Value::Float(value) => cast::printing::float(*value),
            Value::Text(text) | Value::Other(text) => text.clone(),
        }
    }
}

/// `%[index$][flags][width][.precision]conversion`.
#[derive(Debug, Default)]
struct Specifier {
    flags: String,
    width: usize,
    precision: Option<usize>,
    conversion: char,
}

impl Specifier {
    fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }

    /// Filled up with spaces to the width.
    fn padded(&self, text: String) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        let text = if self.conversion.is_uppercase() { text.to_uppercase() } else { text };
        match self.has('-') {
            true => text + &" ".repeat(missing),
            false => " ".repeat(missing) + &text,
        }
    }

    /// A number with its sign, by the flags; zeros go between sign and digits.
    fn signed(&self, negative: bool, digits: &str) -> String {
        let (before, after) = match negative {
            true if self.has('(') => ("(", ")"),
            true => ("-", ""),
            false if self.has('+') => ("+", ""),
            false if self.has(' ') => (" ", ""),
            false => ("", ""),
        };
        let used = before.len() + digits.len() + after.len();
        let zeros = if self.has('0') { "0".repeat(self.width.saturating_sub(used)) } else { String::new() };
        self.padded(format!("{before}{zeros}{digits}{after}"))
    }
}

fn formatted(pattern: &str, values: &[Value]) -> std::result::Result<String, String> {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let (mut next, mut last) = (0usize, 0usize);
    while let Some(start) = rest.find('%') {
        out.push_str(&rest[..start]);
        let (specifier, index, after) = specifier(&rest[start + 1..])?;
        rest = after;
        match specifier.conversion {
            'n' => out.push('\n'),
            '%' => out.push_str(&specifier.padded("%".into())),
            conversion if specifier.has('<') => {
                let value = values.get(last).ok_or_else(|| format!("%{conversion} has no value"))?;
                out.push_str(&print(&specifier, value)?);
            }
            conversion => {
                last = match index {
                    Some(index) => index - 1,
                    None => {
                        next += 1;
                        next - 1
                    }
                };
                let value = values.get(last).ok_or_else(|| format!("%{conversion} has no value"))?;
                out.push_str(&print(&specifier, value)?);
            }
        }
    }
    Ok(out + rest)
}

/// After a `%`.
fn specifier(text: &str) -> std::result::Result<(Specifier, Option<usize>, &str), String> {
    let number = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let parsed = |digits: &str| digits.parse::<usize>().ok().filter(|value| *value <= WIDTH_MAX);
    let (mut rest, mut index) = (text, None);
    let digits = number(rest);
    if digits > 0 && rest[digits..].starts_with('$') {
        index = Some(parsed(&rest[..digits]).filter(|index| *index > 0).ok_or("an argument's number is not valid")?);
        rest = &rest[digits + 1..];
    }
    let flags = rest.len() - rest.trim_start_matches(['-', '#', '+', ' ', '0', ',', '(', '<']).len();
    let mut specifier = Specifier { flags: rest[..flags].to_owned(), ..Specifier::default() };
    rest = &rest[flags..];
    let digits = number(rest);
    if digits > 0 {
        specifier.width = parsed(&rest[..digits]).ok_or("a width is too large")?;
        rest = &rest[digits..];
    }
    if let Some(after) = rest.strip_prefix('.') {
        let digits = number(after);
        specifier.precision = Some(parsed(&after[..digits]).ok_or("a precision is not valid")?);
        rest = &after[digits..];
    }
    let conversion = rest.chars().next().ok_or("a % stands at the end")?;
    specifier.conversion = conversion;
    Ok((specifier, index, &rest[conversion.len_utf8()..]))
}

fn print(specifier: &Specifier, value: &Value) -> std::result::Result<String, String> {
    let cut = |text: String| match specifier.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text,
    };
    let kind = specifier.conversion.to_ascii_lowercase();
    let wrong = || format!("%{} does not take the value {}", specifier.conversion, value.shown());
    Ok(match (kind, value) {
        ('b', Value::Null) => specifier.padded(cut("false".into())),
        ('b', Value::Boolean(value)) => specifier.padded(cut(value.to_string())),
        ('b', _) => specifier.padded(cut("true".into())),
        ('s', value) => specifier.padded(cut(value.shown())),
        ('h' | 'c' | 'd' | 'o' | 'x' | 'e' | 'f' | 'g' | 'a', Value::Null) => specifier.padded(cut("null".into())),
        ('h', value) => specifier.padded(cut(format!("{:x}", hash_of(value).ok_or_else(wrong)?))),
        ('c', Value::Whole(code, ..=32)) => {
            let letter = u32::try_from(*code).ok().and_then(char::from_u32).ok_or_else(wrong)?;
            specifier.padded(letter.to_string())
        }
        ('d', Value::Whole(number, _)) => {
            let digits = number.unsigned_abs().to_string();
            let digits = if specifier.has(',') { grouped(&digits) } else { digits };
            specifier.signed(*number < 0, &digits)
        }
        ('o' | 'x', Value::Whole(number, bits)) => {
            let value = *number as u64 & (u64::MAX >> (64 - bits));
            let digits = if kind == 'o' { format!("{value:o}") } else { format!("{value:x}") };
            let prefix = match (specifier.has('#'), kind) {
                (false, _) => "",
                (true, 'o') => "0",
                (true, _) => "0x",
            };
            let used = prefix.len() + digits.len();
            let zeros = if specifier.has('0') { specifier.width.saturating_sub(used) } else { 0 };
            specifier.padded(format!("{prefix}{}{digits}", "0".repeat(zeros)))
        }
        ('e' | 'f' | 'g' | 'a', Value::Double(number)) => {
            real(specifier, kind, *number, &format!("{:e}", number.abs()))
        }
        ('e' | 'f' | 'g' | 'a', Value::Float(number)) => {
            real(specifier, kind, f64::from(*number), &format!("{:e}", number.abs()))
        }
        _ => return Err(wrong()),
    })
}

fn hash_of(value: &Value) -> Option<i32> {
    Some(match value {
        Value::Text(text) => hash::of_text(text),
        Value::Whole(number, 64) => (*number ^ ((*number as u64) >> 32) as i64) as i32,
        Value::Whole(number, _) => *number as i32,
        Value::Boolean(value) => {
            if *value {
                1231
            } else {
                1237
            }
        }
        _ => return None,
    })
}

fn grouped(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A floating-point number; `shortest` is the fewest digits that name it, as `1.5e3`.
fn real(specifier: &Specifier, kind: char, number: f64, shortest: &str) -> String {
    if !number.is_finite() {
        let plain = Specifier { flags: specifier.flags.replace('0', ""), precision: None, ..*specifier };
        return match number.is_nan() {
            true => plain.padded("NaN".into()),
            false => plain.signed(number < 0.0, "Infinity"),
        };
    }
    let digits = match kind {
        'f' => plain(shortest, specifier.precision.unwrap_or(6)),
        'e' => scientific(shortest, specifier.precision.unwrap_or(6)),
        'a' => hexadecimal(number.abs()),
        _ => general(shortest, specifier.precision.unwrap_or(6).max(1), number),
    };
    let digits = match (specifier.has(','), digits.split_once('.')) {
        (false, _) => digits,
        (true, Some((whole, fraction))) if kind != 'e' => format!("{}.{fraction}", grouped(whole)),
        (true, None) if kind != 'e' => grouped(&digits),
        (true, _) => digits,
    };
    specifier.signed(number.is_sign_negative(), &digits)
}

/// The digits of `1.5e3` without the point, and where the point is: behind how many of them.
fn parts(shortest: &str) -> (Vec<u8>, i32) {
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
    (digits, exponent.parse::<i32>().unwrap_or(0) + 1)
}

/// Digits cut to `count`, ties away from zero; the point moves when a digit more comes in front.
fn rounded(mut digits: Vec<u8>, point: i32, count: i32) -> (Vec<u8>, i32) {
    let Ok(count) = usize::try_from(count) else { return (vec![], point) };
    if digits.len() <= count {
        return (digits, point);
    }
    let up = digits[count] >= 5;
    digits.truncate(count);
    if !up {
        return (digits, point);
    }
    for digit in digits.iter_mut().rev() {
        *digit += 1;
        if *digit < 10 {
            return (digits, point);
        }
        *digit = 0;
    }
    digits.insert(0, 1);
    (digits, point + 1)
}

fn plain(shortest: &str, precision: usize) -> String {
    let (digits, point) = parts(shortest);
    let (digits, point) = rounded(digits, point, point + precision as i32);
    let digit = |position: i32| {
        let found = usize::try_from(position).ok().and_then(|position| digits.get(position));
        char::from(b'0' + found.copied().unwrap_or(0))
    };
    let whole: String = if point > 0 { (0..point).map(digit).collect() } else { "0".into() };
    if precision == 0 {
        return whole;
    }
    let fraction: String = (point..point + precision as i32).map(digit).collect();
    format!("{whole}.{fraction}")
}

fn scientific(shortest: &str, precision: usize) -> String {
    let (digits, point) = parts(shortest);
    let zero = digits.iter().all(|digit| *digit == 0);
    let (digits, point) = rounded(digits, point, precision as i32 + 1);
    let exponent = if zero { 0 } else { point - 1 };
    let digit = |position: usize| char::from(b'0' + digits.get(position).copied().unwrap_or(0));
    let fraction: String = (1..=precision).map(digit).collect();
    let point = if precision == 0 { "" } else { "." };
    format!("{}{point}{fraction}e{}{:02}", digit(0), if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// Plain from 0.0001 up to as many digits as the precision has, else scientific.
fn general(shortest: &str, precision: usize, number: f64) -> String {
    let (digits, point) = parts(shortest);
    let (_, point) = rounded(digits, point, precision as i32);
    if number == 0.0 {
        return plain(shortest, precision - 1);
    }
    if point > -4 && point <= precision as i32 {
        return plain(shortest, (precision as i32 - point).max(0) as usize);
    }
    scientific(shortest, precision - 1)
}

/// As Java's `Double.toHexString`.
fn hexadecimal(number: f64) -> String {
    let bits = number.to_bits();
    let (exponent, mantissa) = ((bits >> 52) & 0x7FF, bits & ((1 << 52) - 1));
    if exponent == 0 && mantissa == 0 {
        return "0x0.0p0".into();
    }
    let digits = format!("{mantissa:013x}");
    let digits = digits.trim_end_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    match exponent {
        0 => format!("0x0.{digits}p-1022"),
        exponent => format!("0x1.{digits}p{}", exponent as i64 - 1023),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_in_as_java_does() {
        let int = |number| Value::Whole(number, 32);
        for (pattern, value, expected) in [
            ("%5d|", int(-7), "   -7|"),
            ("%-5d|", int(-7), "-7   |"),
            ("%05d", int(-7), "-0007"),
            ("%+d", int(7), "+7"),
            ("%,d", int(2_147_483_647), "2,147,483,647"),
            ("%(d", int(-7), "(7)"),
            ("%x", int(-7), "fffffff9"),
            ("%.2f", Value::Double(1.005), "1.01"),
            ("%.2f", Value::Null, "nu"),
            ("%10.3f", Value::Double(-0.5), "    -0.500"),
            ("%e", Value::Double(1_234_567.891), "1.234568e+06"),
            ("%g", Value::Double(1_234_567.891), "1.23457e+06"),
            ("%g", Value::Double(-0.5), "-0.500000"),
            ("%g", Value::Double(0.0), "0.00000"),
            ("%08.2f", Value::Double(f64::NAN), "     NaN"),
            ("%a", Value::Double(1.5), "0x1.8p0"),
            ("%c", int(65), "A"),
            ("%S", Value::Text("abc".into()), "ABC"),
            ("%h", Value::Text("abc".into()), "4ed2cbb4"),
            ("%.0f", Value::Double(2.5), "3"),
            ("%.1f", Value::Double(9.96), "10.0"),
        ] {
            assert_eq!(formatted(pattern, &[value]).as_deref(), Ok(expected), "{pattern}");
        }
        assert_eq!(formatted("%2$s %1$s %%", &[int(1), int(2)]).as_deref(), Ok("2 1 %"));
        assert!(formatted("%d", &[Value::Text("a".into())]).is_err());
        assert!(formatted("%s", &[]).is_err());
        assert!(formatted("%q", &[int(1)]).is_err());
    }
}
