//! Where a text stands in another: positions, parts between delimiters, distances.

use super::super::row::{Row, strict};
use super::super::{CallContext, Entry, as_int, as_text};
use super::all_text;
use crate::function::datum::Datum;
use crate::function::row;
use crate::pipeline::analysis::typed::Typed;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use tidemill_core::{Error, Kind, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["instr"], arguments: (2, 4), build: instr },
    Entry { names: &["locate", "position"], arguments: (2, 3), build: locate },
    Entry { names: &["find_in_set"], arguments: (2, 2), build: find_in_set },
    Entry { names: &["split_part"], arguments: (3, 3), build: split_part },
    Entry { names: &["substring_index"], arguments: (3, 3), build: substring_index },
    Entry { names: &["levenshtein"], arguments: (2, 3), build: levenshtein },
];

/// The position of `part` in `text` at or after the letter `from` (counted from 0); 0 when missing.
fn position(text: &str, part: &str, from: usize) -> i32 {
    if part.is_empty() {
        return 1;
    }
    let Some((start, _)) = text.char_indices().nth(from) else { return 0 };
    text[start..].find(part).map_or(0, |byte| text[..start + byte].chars().count() as i32 + 1)
}

/// The position of an occurrence at or after a start; a negative start counts from the end, and the search goes
/// to the left.
fn instr(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    if arguments.len() == 2 {
        let arguments = all_text(context, arguments)?;
        return Ok(strict(context, DataType::Int32, arguments, |row| Ok(position(row.text(0), row.text(1), 0).into())));
    }
    if arguments.len() == 3 {
        arguments.push(Typed::literal(ScalarValue::Int32(Some(1)), "1"));
    }
    let names = arguments.iter().map(|argument| argument.name.clone()).collect::<Vec<_>>().join(", ");
    let (which, start) = (as_int(arguments.remove(3), context)?, as_int(arguments.remove(2), context)?);
    let mut arguments = all_text(context, arguments)?;
    arguments.extend([start, which]);
    let body = |row: Row<'_>| Ok(occurrence(row.text(0), row.text(1), row.int(2), row.int(3)).into());
    Ok(strict(context, DataType::Int32, arguments, body).named(format!("instr({names})")))
}

fn occurrence(text: &str, part: &str, start: i32, which: i32) -> i32 {
    let (text, part): (Vec<char>, Vec<char>) = (text.chars().collect(), part.chars().collect());
    let Some(last) = text.len().checked_sub(part.len()) else { return 0 };
    let Ok(steps @ 1..) = usize::try_from(which) else { return 0 };
    let is_at = |at: &usize| text[*at..].starts_with(&part);
    let found = match start {
        1.. => (start as usize - 1..=last).filter(is_at).nth(steps - 1),
        0 => None,
        _ => {
            let Some(from) = text.len().checked_sub(start.unsigned_abs() as usize) else { return 0 };
            (0..=from.min(last)).rev().filter(is_at).nth(steps - 1)
        }
    };
    found.map_or(0, |at| at as i32 + 1)
}

/// A start that is NULL or below 1 finds nothing.
fn locate(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    if arguments.len() == 2 {
        arguments.push(Typed::literal(ScalarValue::Int32(Some(1)), "1"));
    }
    let name = arguments.iter().map(|argument| argument.name.clone()).collect::<Vec<_>>().join(", ");
    let start = as_int(arguments.remove(2), context)?;
    let mut arguments = all_text(context, arguments)?;
    arguments.push(start);
    let body = |row: Row<'_>| {
        if row.is_null(2) {
            return Ok(0.into());
        }
        let (Some(part), Some(text)) = (row.text_if(0), row.text_if(1)) else { return Ok(Datum::Null) };
        Ok(match usize::try_from(row.int(2)) {
            Ok(start @ 1..) => position(text, part, start - 1),
            _ => 0,
        }
        .into())
    };
    Ok(row::call(context, "", DataType::Int32, arguments, body).named(format!("{}({name})", context.name)))
}

fn find_in_set(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let arguments = all_text(context, arguments)?;
    Ok(strict(context, DataType::Int32, arguments, |row| {
        let (wanted, set) = (row.text(0), row.text(1));
        let found = set.split(',').position(|part| part == wanted);
        Ok(found.filter(|_| !wanted.contains(',')).map_or(0, |index| index as i32 + 1).into())
    }))
}

/// The part between delimiters; negative positions count from the end, missing parts are empty.
fn split_part(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let number = as_int(arguments.remove(2), context)?;
    let mut arguments = all_text(context, arguments)?;
    arguments.push(number);
    Ok(strict(context, DataType::Utf8, arguments, |row| {
        let (text, delimiter, number) = (row.text(0), row.text(1), row.int(2));
        if number == 0 {
            return Err(Error::new(Kind::Data, "split_part: the position 0 is out of bounds: positions count from 1")
                .class("INVALID_INDEX_OF_ZERO"));
        }
        let parts: Vec<&str> = if delimiter.is_empty() { vec![text] } else { text.split(delimiter).collect() };
        let index = match number {
            1.. => Some(number as usize - 1),
            _ => parts.len().checked_sub(number.unsigned_abs() as usize),
        };
        Ok(index.and_then(|index| parts.get(index)).copied().unwrap_or_default().into())
    }))
}

fn substring_index(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let count = as_int(arguments.remove(2), context)?;
    let mut arguments = all_text(context, arguments)?;
    arguments.push(count);
    Ok(strict(context, DataType::Utf8, arguments, |row| {
        Ok(before_or_after(row.text(0), row.text(1), row.int(2)).into())
    }))
}

/// Occurrences may overlap, as Spark counts them.
fn before_or_after<'a>(text: &'a str, delimiter: &str, count: i32) -> &'a str {
    if delimiter.is_empty() || count == 0 {
        return "";
    }
    let (bytes, wanted) = (text.as_bytes(), delimiter.as_bytes());
    let is_at = |at: &usize| bytes[*at..].starts_with(wanted);
    let steps = count.unsigned_abs() as usize - 1;
    if count > 0 {
        return (0..bytes.len()).filter(is_at).nth(steps).map_or(text, |at| &text[..at]);
    }
    (0..bytes.len()).rev().filter(is_at).nth(steps).map_or(text, |at| &text[at + wanted.len()..])
}

/// How many letters change; -1 when more than the threshold.
fn levenshtein(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let threshold = if arguments.len() == 3 { Some(as_int(arguments.remove(2), context)?) } else { None };
    let mut arguments: Vec<Typed> =
        arguments.into_iter().map(|argument| as_text(argument, context)).collect::<Result<_>>()?;
    arguments.extend(threshold);
    Ok(strict(context, DataType::Int32, arguments, |row| {
        let distance = strsim::levenshtein(row.text(0), row.text(1)) as i32;
        Ok(if row.count() == 3 && distance > row.int(2) { (-1).into() } else { distance.into() })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_letters() {
        assert_eq!(position("日本x", "x", 0), 3);
        assert_eq!(position("abab", "ab", 1), 3);
        assert_eq!(position("abab", "", 9), 1);
        assert_eq!(position("ab", "b", 9), 0);
        assert_eq!(occurrence("abcabc", "b", 1, 2), 5);
        assert_eq!(occurrence("abcabc", "b", -1, 1), 5);
        assert_eq!(occurrence("abcabc", "b", -1, 2), 2);
        assert_eq!(occurrence("abc", "b", 0, 1), 0);
    }

    #[test]
    fn occurrences_overlap() {
        assert_eq!(before_or_after("www.apache.org", ".", 2), "www.apache");
        assert_eq!(before_or_after("www.apache.org", ".", -1), "org");
        assert_eq!(before_or_after("www.apache.org", ".", -9), "www.apache.org");
        assert_eq!(before_or_after("aaaa", "aa", 2), "a");
    }
}
