//! Numbers to a base: `bin`, `conv`.

use super::super::row::strict;
use super::super::{CallContext, Entry, as_int, as_text, implicit_cast};
use crate::errors;
use crate::function::datum::Datum;
use crate::pipeline::analysis::typed::Typed;
use arrow::datatypes::DataType;
use tidemill_core::Result;

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["bin"], arguments: (1, 1), build: bin },
    Entry { names: &["conv"], arguments: (3, 3), build: conv },
];

fn bin(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let value = arguments.remove(0);
    let value = match value.data_type {
        DataType::List(_) | DataType::Struct(_) | DataType::Map(..) | DataType::Binary | DataType::Boolean => {
            return Err(context.wrong_type("BIGINT", &value.data_type));
        }
        _ => implicit_cast(value, &DataType::Int64, context)?,
    };
    Ok(strict(context, DataType::Utf8, vec![value], |row| Ok(format!("{:b}", row.long(0)).into())))
}

fn conv(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let (to, from) = (as_int(arguments.remove(2), context)?, as_int(arguments.remove(1), context)?);
    let text = as_text(arguments.remove(0), context)?;
    let ansi = context.session.settings.ansi();
    Ok(strict(context, DataType::Utf8, vec![text, from, to], move |row| {
        match converted(row.text(0), row.int(1), row.int(2)) {
            Converted::Text(text) => Ok(text.into()),
            Converted::Nothing => Ok(Datum::Null),
            Converted::Overflow if ansi => Err(errors::overflow("")),
            Converted::Overflow => Ok(in_base(u64::MAX, row.int(2).unsigned_abs()).into()),
        }
    }))
}

#[derive(Debug, PartialEq, Eq)]
enum Converted {
    Text(String),
    Nothing,
    Overflow,
}

/// Digits up to the first that is none, through 64 bits; a negative base means signed.
fn converted(text: &str, from: i32, to: i32) -> Converted {
    let (base, out) = (from.unsigned_abs(), to.unsigned_abs());
    let text = text.trim_matches(' ');
    if from < 2 || !(2..=36).contains(&base) || !(2..=36).contains(&out) || text.is_empty() {
        return Converted::Nothing;
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut value: u64 = 0;
    for digit in digits.chars().map_while(|digit| digit.to_digit(base)) {
        let next = value.checked_mul(u64::from(base)).and_then(|value| value.checked_add(u64::from(digit)));
        match next {
            Some(next) => value = next,
            None => return Converted::Overflow,
        }
    }
    let mut shown_negative = negative;
    if negative && to > 0 {
        value = if (value as i64) < 0 { u64::MAX } else { (value as i64).wrapping_neg() as u64 };
    }
    if to < 0 && (value as i64) < 0 {
        value = (value as i64).wrapping_neg() as u64;
        shown_negative = true;
    }
    let sign = if shown_negative && to < 0 { "-" } else { "" };
    Converted::Text(format!("{sign}{}", in_base(value, out)))
}

fn in_base(mut value: u64, base: u32) -> String {
    let mut digits = vec![];
    loop {
        let digit = (value % u64::from(base)) as u32;
        digits.push(char::from_digit(digit, base).unwrap_or('0').to_ascii_uppercase());
        value /= u64::from(base);
        if value == 0 {
            break;
        }
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_change_their_base() {
        for (text, from, to, expected) in [
            ("100", 2, 10, "4"),
            ("-10", 16, -10, "-16"),
            ("-10", 16, 10, "18446744073709551600"),
            ("zz", 36, 10, "1295"),
            ("12", 3, 10, "5"),
            ("1a", 10, 16, "1"),
            ("xyz", 10, 16, "0"),
            ("FF", 16, 2, "11111111"),
        ] {
            assert_eq!(converted(text, from, to), Converted::Text(expected.to_owned()), "{text}");
        }
        assert_eq!(converted("1", 1, 10), Converted::Nothing);
        assert_eq!(converted("18446744073709551616", 10, 16), Converted::Overflow);
    }
}
