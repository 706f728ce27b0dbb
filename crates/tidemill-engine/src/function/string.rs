//! Functions of text.

use super::native::Native;
use super::{CallContext, Entry, MANY, as_int, as_text, implicit_cast, library};
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Int32Type};
use datafusion_spark::function::{hash, string as spark};
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
    Entry {
        names: &["octet_length"],
        arguments: (1, 1),
        build: |context, arguments| count(context, arguments, str::len),
    },
    Entry { names: &["trim"], arguments: (1, 2), build: |context, arguments| trim(context, arguments, true, true) },
    Entry { names: &["btrim"], arguments: (1, 2), build: |context, arguments| trim(context, arguments, true, true) },
    Entry { names: &["ltrim"], arguments: (1, 2), build: |context, arguments| trim(context, arguments, true, false) },
    Entry { names: &["rtrim"], arguments: (1, 2), build: |context, arguments| trim(context, arguments, false, true) },
    Entry { names: &["concat"], arguments: (0, MANY), build: concat },
    Entry {
        names: &["concat_ws"],
        arguments: (1, MANY),
        build: |context, arguments| library::call(spark::concat_ws(), all_text(context, arguments)?),
    },
    Entry { names: &["substring", "substr", "mid"], arguments: (2, 3), build: substring },
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
        build: |context, arguments| test(context, arguments, |text, part| text.contains(part)),
    },
    Entry { names: &["replace"], arguments: (2, 3), build: replace },
    Entry {
        names: &["reverse"],
        arguments: (1, 1),
        build: |context, arguments| map(context, arguments, |text| text.chars().rev().collect()),
    },
    Entry { names: &["repeat"], arguments: (2, 2), build: repeat },
    Entry {
        names: &["md5"],
        arguments: (1, 1),
        build: |context, arguments| digest(context, arguments, datafusion::functions::crypto::md5()),
    },
    Entry { names: &["sha1", "sha"], arguments: (1, 1), build: sha1 },
    Entry { names: &["sha2"], arguments: (2, 2), build: sha2 },
];

fn all_text(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Vec<Typed>> {
    arguments.into_iter().map(|argument| as_text(argument, context)).collect()
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

fn length(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    if arguments[0].data_type == DataType::Binary {
        return library::call(spark::length(), arguments);
    }
    count(context, arguments, |text| text.chars().count())
}

fn test(context: &CallContext<'_>, arguments: Vec<Typed>, of: fn(&str, &str) -> bool) -> Result<Typed> {
    let arguments = all_text(context, arguments)?.into_iter().map(|argument| argument.expr).collect();
    let expr = Native::call(context.name, "", DataType::Boolean, arguments, move |arguments, _| {
        let (text, part) = (arguments[0].as_string::<i32>(), arguments[1].as_string::<i32>());
        let values = text.iter().zip(part.iter()).map(|(text, part)| Some(of(text?, part?)));
        Ok(Arc::new(values.collect::<BooleanArray>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Boolean, ""))
}

/// Spaces by default, or any of the given characters.
fn trim(context: &CallContext<'_>, arguments: Vec<Typed>, front: bool, back: bool) -> Result<Typed> {
    let arguments: Vec<_> = all_text(context, arguments)?.into_iter().map(|argument| argument.expr).collect();
    let has_set = arguments.len() == 2;
    let expr = Native::call(
        context.name,
        format!("{front} {back} {has_set}"),
        DataType::Utf8,
        arguments,
        move |arguments, rows| {
            let text = arguments[0].as_string::<i32>();
            let values = (0..rows).map(|row| {
                let set = match arguments.get(1).map(|set| set.as_string::<i32>()) {
                    None => " ",
                    Some(set) if set.is_null(row) => return None,
                    Some(set) => set.value(row),
                };
                let in_set = |letter: char| set.contains(letter);
                let mut cut = text.is_valid(row).then(|| text.value(row))?;
                if front {
                    cut = cut.trim_start_matches(in_set);
                }
                if back {
                    cut = cut.trim_end_matches(in_set);
                }
                Some(cut)
            });
            Ok(Arc::new(values.collect::<StringArray>()) as ArrayRef)
        },
    );
    Ok(Typed::new(expr, DataType::Utf8, ""))
}

/// NULL when any argument is NULL. Of arrays: joins them.
fn concat(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    if arguments.iter().any(|argument| matches!(argument.data_type, DataType::List(_) | DataType::Binary)) {
        return Err(context.not_yet("concat of arrays or binary"));
    }
    library::call(spark::concat(), all_text(context, arguments)?)
}

/// Positions count from 1; 0 is 1, negative ones count from the end.
fn substring(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let text = as_text(arguments.remove(0), context)?;
    let mut list = vec![text.expr];
    for position in arguments {
        list.push(as_int(position, context)?.expr);
    }
    let expr = Native::call("substring", list.len().to_string(), DataType::Utf8, list, |arguments, rows| {
        let text = arguments[0].as_string::<i32>();
        let start = arguments[1].as_primitive::<Int32Type>();
        let length = arguments.get(2).map(|length| length.as_primitive::<Int32Type>());
        let values = (0..rows).map(|row| {
            if text.is_null(row) || start.is_null(row) || length.is_some_and(|length| length.is_null(row)) {
                return None;
            }
            let length = length.map_or(i64::from(i32::MAX), |length| i64::from(length.value(row)));
            Some(substring_of(text.value(row), i64::from(start.value(row)), length))
        });
        Ok(Arc::new(values.collect::<StringArray>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Utf8, ""))
}

fn substring_of(text: &str, start: i64, length: i64) -> String {
    let total = text.chars().count() as i64;
    let first = if start > 0 {
        start - 1
    } else if start < 0 {
        total + start
    } else {
        0
    };
    let end = (first + length).min(total);
    let first = first.max(0);
    if end <= first { String::new() } else { text.chars().skip(first as usize).take((end - first) as usize).collect() }
}

fn cut(context: &CallContext<'_>, mut arguments: Vec<Typed>, from_left: bool) -> Result<Typed> {
    let (length, text) = (as_int(arguments.remove(1), context)?, as_text(arguments.remove(0), context)?);
    let expr = Native::call(context.name, "", DataType::Utf8, vec![text.expr, length.expr], move |arguments, _| {
        let (text, length) = (arguments[0].as_string::<i32>(), arguments[1].as_primitive::<Int32Type>());
        let values = text.iter().zip(length.iter()).map(|(text, length)| {
            let (text, length) = (text?, i64::from(length?).max(0));
            Some(match (from_left, length) {
                (_, 0) => String::new(),
                (true, length) => substring_of(text, 1, length),
                (false, length) => substring_of(text, -length, length.max(text.len() as i64)),
            })
        });
        Ok(Arc::new(values.collect::<StringArray>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Utf8, ""))
}

fn replace(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
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
    Ok(Typed::new(expr, DataType::Utf8, ""))
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

fn digest(
    context: &CallContext<'_>,
    mut arguments: Vec<Typed>,
    function: Arc<datafusion::logical_expr::ScalarUDF>,
) -> Result<Typed> {
    let argument = arguments.remove(0);
    let argument = if argument.data_type == DataType::Binary { argument } else { as_text(argument, context)? };
    library::call(function, vec![argument])
}

/// The library takes bytes alone.
fn sha1(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let argument = arguments.remove(0);
    let argument = if argument.data_type == DataType::Binary { argument } else { as_text(argument, context)? };
    library::call(hash::sha1(), vec![implicit_cast(argument, &DataType::Binary, context)?])
}

fn sha2(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let (bits, argument) = (as_int(arguments.remove(1), context)?, arguments.remove(0));
    let argument = if argument.data_type == DataType::Binary { argument } else { as_text(argument, context)? };
    library::call(hash::sha2(), vec![implicit_cast(argument, &DataType::Binary, context)?, bits])
}
