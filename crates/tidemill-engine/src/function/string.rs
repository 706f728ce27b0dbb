//! Functions of text.

use super::native::Native;
use super::text::{self, all_text, text_or_bytes};
use super::{CallContext, Entry, MANY, as_int, as_text, library, row};
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::ScalarValue;
use datafusion_spark::function::string as spark;
use std::sync::Arc;
use tidemill_core::Result;

pub const ENTRIES: &[Entry] = &[
    Entry {
        names: &["upper", "ucase"],
        arguments: (1, 1),
        build: |context, arguments| map(context, arguments, |text| text.to_uppercase()),
    },
    Entry {
        names: &["lower", "lcase"],
        arguments: (1, 1),
        build: |context, arguments| map(context, arguments, |text| text.to_lowercase()),
    },
    Entry { names: &["length", "char_length", "character_length", "len"], arguments: (1, 1), build: length },
    Entry { names: &["trim"], arguments: (1, 2), build: |context, arguments| trim(context, arguments, "BOTH") },
    Entry { names: &["btrim"], arguments: (1, 2), build: |context, arguments| trim(context, arguments, "BOTH") },
    Entry { names: &["ltrim"], arguments: (1, 2), build: |context, arguments| trim(context, arguments, "LEADING") },
    Entry { names: &["rtrim"], arguments: (1, 2), build: |context, arguments| trim(context, arguments, "TRAILING") },
    Entry { names: &["concat"], arguments: (0, MANY), build: concat },
    Entry {
        names: &["concat_ws"],
        arguments: (1, MANY),
        build: |context, arguments| {
            let name = names(context.name, &arguments);
            text::edit::concat_ws(context, arguments).map(|typed| typed.named(name))
        },
    },
    Entry { names: &["substring", "substr"], arguments: (2, 3), build: substring },
    Entry { names: &["left"], arguments: (2, 2), build: |context, arguments| cut(context, arguments, true) },
    Entry { names: &["right"], arguments: (2, 2), build: |context, arguments| cut(context, arguments, false) },
    Entry {
        names: &["startswith"],
        arguments: (2, 2),
        build: |context, arguments| test(context, arguments, |text, part| text.starts_with(part)),
    },
    Entry {
        names: &["endswith"],
        arguments: (2, 2),
        build: |context, arguments| test(context, arguments, |text, part| text.ends_with(part)),
    },
    Entry {
        names: &["contains"],
        arguments: (2, 2),
        build: |context, arguments| {
            test(context, arguments, |text, part| part.is_empty() || text.windows(part.len()).any(|at| at == part))
        },
    },
    Entry { names: &["replace"], arguments: (2, 3), build: replace },
    Entry { names: &["reverse"], arguments: (1, 1), build: reverse },
    Entry { names: &["repeat"], arguments: (2, 2), build: repeat },
];

/// The name of a call over these arguments.
fn names(function: &str, arguments: &[Typed]) -> String {
    let shown: Vec<&str> = arguments.iter().map(|argument| argument.name.as_str()).collect();
    format!("{function}({})", shown.join(", "))
}

/// A function of one text to a text.
fn map(context: &CallContext<'_>, arguments: Vec<Typed>, of: fn(&str) -> String) -> Result<Typed> {
    let text = all_text(context, arguments)?.remove(0);
    let expr = Native::call(context.name, "", DataType::Utf8, vec![text.expr], move |arguments, _| {
        let values = arguments[0].as_string::<i32>().iter().map(|text| text.map(of));
        Ok(Arc::new(values.collect::<StringArray>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Utf8, ""))
}

fn count(context: &CallContext<'_>, arguments: Vec<Typed>, of: fn(&str) -> usize) -> Result<Typed> {
    let text = all_text(context, arguments)?.remove(0);
    let expr = Native::call(context.name, "", DataType::Int32, vec![text.expr], move |arguments, _| {
        let values = arguments[0].as_string::<i32>().iter().map(|text| text.map(|text| of(text) as i32));
        Ok(Arc::new(values.collect::<Int32Array>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int32, ""))
}

fn length(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let value = text_or_bytes(arguments.remove(0), context)?;
    if value.data_type == DataType::Binary {
        return Ok(row::strict(context, DataType::Int32, vec![value], |row| Ok((row.bytes(0).len() as i32).into())));
    }
    count(context, vec![value], |text| text.chars().count())
}

/// Text, or bytes when both are.
fn test(context: &CallContext<'_>, arguments: Vec<Typed>, of: fn(&[u8], &[u8]) -> bool) -> Result<Typed> {
    if arguments.iter().all(|argument| argument.data_type == DataType::Binary) {
        let body = move |row: row::Row<'_>| Ok(of(row.bytes(0), row.bytes(1)).into());
        return Ok(row::strict(context, DataType::Boolean, arguments, body));
    }
    let arguments = all_text(context, arguments)?.into_iter().map(|argument| argument.expr).collect();
    let expr = Native::call(context.name, "", DataType::Boolean, arguments, move |arguments, _| {
        let (text, part) = (arguments[0].as_string::<i32>(), arguments[1].as_string::<i32>());
        let values = text.iter().zip(part.iter()).map(|(text, part)| Some(of(text?.as_bytes(), part?.as_bytes())));
        Ok(Arc::new(values.collect::<BooleanArray>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Boolean, ""))
}

fn reverse(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    if arguments[0].data_type == DataType::Binary {
        let body = |row: row::Row<'_>| Ok(row.bytes(0).iter().rev().copied().collect::<Vec<u8>>().into());
        return Ok(row::strict(context, DataType::Binary, arguments, body));
    }
    map(context, arguments, |text| text.chars().rev().collect())
}

/// Spaces by default, or any of the given characters. Two arguments are the characters and the text, but for
/// `btrim`, which has the text first.
fn trim(context: &CallContext<'_>, mut arguments: Vec<Typed>, sides: &'static str) -> Result<Typed> {
    let mut name = names(context.name, &arguments);
    if arguments.len() == 2 && context.name != "btrim" {
        name = format!("TRIM({sides} {} FROM {})", arguments[0].name, arguments[1].name);
        arguments.swap(0, 1);
    }
    let (front, back) = (sides != "TRAILING", sides != "LEADING");
    let body = move |row: row::Row<'_>| {
        let set = if row.count() == 2 { row.text(1) } else { " " };
        let in_set = |letter: char| set.contains(letter);
        let mut cut = row.text(0);
        if front {
            cut = cut.trim_start_matches(in_set);
        }
        if back {
            cut = cut.trim_end_matches(in_set);
        }
        Ok(cut.into())
    };
    let arguments = all_text(context, arguments)?;
    let expr = row::strict_with(context, sides, DataType::Utf8, arguments, body);
    Ok(expr.named(name))
}

/// NULL when any argument is NULL. Bytes when all arguments are.
fn concat(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    if !arguments.is_empty() && arguments.iter().all(|argument| argument.data_type == DataType::Binary) {
        return Ok(text::edit::concat_bytes(context, arguments));
    }
    library::call(spark::concat(), all_text(context, arguments)?)
}

/// Positions count from 1; 0 is 1, negative ones count from the end.
fn substring(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    if arguments.len() == 2 {
        arguments.push(Typed::literal(ScalarValue::Int32(Some(i32::MAX)), i32::MAX.to_string()));
    }
    let name = names(context.name, &arguments);
    let (length, start) = (as_int(arguments.remove(2), context)?, as_int(arguments.remove(1), context)?);
    let value = text_or_bytes(arguments.remove(0), context)?;
    let result = value.data_type.clone();
    let is_bytes = result == DataType::Binary;
    let body = move |row: row::Row<'_>| {
        let (start, length) = (i64::from(row.int(1)), i64::from(row.int(2)));
        Ok(match is_bytes {
            true => text::bytes(row.bytes(0), start, length).to_vec().into(),
            false => text::substring(row.text(0), start, length).into(),
        })
    };
    Ok(row::strict(context, result, vec![value, start, length], body).named(name))
}

/// The first letters, of bytes too, or the last ones.
fn cut(context: &CallContext<'_>, mut arguments: Vec<Typed>, from_left: bool) -> Result<Typed> {
    let (length, value) = (as_int(arguments.remove(1), context)?, arguments.remove(0));
    let value = if from_left { text_or_bytes(value, context)? } else { as_text(value, context)? };
    let result = value.data_type.clone();
    let is_bytes = result == DataType::Binary;
    let body = move |row: row::Row<'_>| {
        let length = i64::from(row.int(1)).max(0);
        Ok(match (is_bytes, from_left) {
            (true, _) => text::bytes(row.bytes(0), 1, length).to_vec().into(),
            (false, true) => text::substring(row.text(0), 1, length).into(),
            (false, false) if length == 0 => "".into(),
            (false, false) => text::substring(row.text(0), -length, length).into(),
        })
    };
    Ok(row::strict(context, result, vec![value, length], body))
}

fn replace(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    if arguments.len() == 2 {
        arguments.push(Typed::literal(ScalarValue::Utf8(Some(String::new())), ""));
    }
    let name = names(context.name, &arguments);
    let arguments: Vec<_> = all_text(context, arguments)?.into_iter().map(|argument| argument.expr).collect();
    let expr = Native::call("replace", arguments.len().to_string(), DataType::Utf8, arguments, |arguments, rows| {
        let column = |index: usize| arguments.get(index).map(|column| column.as_string::<i32>());
        let values = (0..rows).map(|row| {
            let value = |index: usize| match column(index) {
                None => Some(""),
                Some(column) => column.is_valid(row).then(|| column.value(row)),
            };
            let (text, search, with) = (value(0)?, value(1)?, value(2)?);
            Some(if search.is_empty() { text.to_owned() } else { text.replace(search, with) })
        });
        Ok(Arc::new(values.collect::<StringArray>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Utf8, name))
}

fn repeat(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let (times, text) = (as_int(arguments.remove(1), context)?, as_text(arguments.remove(0), context)?);
    let expr = Native::call("repeat", "", DataType::Utf8, vec![text.expr, times.expr], |arguments, _| {
        let (text, times) = (arguments[0].as_string::<i32>(), arguments[1].as_primitive::<Int32Type>());
        let values = text.iter().zip(times.iter()).map(|(text, times)| Some(text?.repeat(times?.max(0) as usize)));
        Ok(Arc::new(values.collect::<StringArray>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Utf8, ""))
}
