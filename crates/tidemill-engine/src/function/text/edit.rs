//! Text changed: filled up, translated, overlaid, cut.

use super::super::row::{self, Row, strict};
use super::super::{CallContext, Entry, MANY, as_int, as_text};
use super::{all_text, bytes, substring, text_or_bytes};
use crate::function::datum::Datum;
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use std::collections::HashMap;
use tidemill_core::{Error, Kind, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["lpad"], arguments: (2, 3), build: |context, arguments| pad(context, arguments, true) },
    Entry { names: &["rpad"], arguments: (2, 3), build: |context, arguments| pad(context, arguments, false) },
    Entry { names: &["translate"], arguments: (3, 3), build: translate },
    Entry { names: &["overlay"], arguments: (3, 4), build: overlay },
    Entry { names: &["initcap"], arguments: (1, 1), build: initcap },
    Entry { names: &["space"], arguments: (1, 1), build: space },
    Entry { names: &["elt"], arguments: (2, MANY), build: elt },
    Entry { names: &["quote"], arguments: (1, 1), build: quote },
];

/// Filled up with the third argument to a length, or cut to it.
fn pad(context: &CallContext<'_>, mut arguments: Vec<Typed>, left: bool) -> Result<Typed> {
    let given = if arguments.len() == 3 { arguments.pop() } else { None };
    let length = as_int(arguments.remove(1), context)?;
    let value = arguments.remove(0);
    let is_bytes =
        value.data_type == DataType::Binary && given.as_ref().is_none_or(|given| given.data_type == DataType::Binary);
    let name =
        |value: &Typed, fill: &Typed| format!("{}({}, {}, {})", context.name, value.name, length.name, fill.name);
    if is_bytes {
        let fill = given.unwrap_or_else(|| Typed::literal(ScalarValue::Binary(Some(vec![0])), "X'00'"));
        let name = name(&value, &fill);
        let body = move |row: Row<'_>| Ok(filled(row.bytes(0), row.int(1), row.bytes(2), left).into());
        return Ok(strict(context, DataType::Binary, vec![value, length, fill], body).named(name));
    }
    let fill = given.unwrap_or_else(|| Typed::literal(ScalarValue::Utf8(Some(" ".into())), " "));
    let (value, fill) = (as_text(value, context)?, as_text(fill, context)?);
    let name = name(&value, &fill);
    let body = move |row: Row<'_>| {
        let letters: Vec<char> = row.text(0).chars().collect();
        let fill: Vec<char> = row.text(2).chars().collect();
        Ok(filled(&letters, row.int(1), &fill, left).into_iter().collect::<String>().into())
    };
    Ok(strict(context, DataType::Utf8, vec![value, length, fill], body).named(name))
}

fn filled<T: Copy>(value: &[T], length: i32, fill: &[T], left: bool) -> Vec<T> {
    let length = length.max(0) as usize;
    if value.len() >= length {
        return value[..length].to_vec();
    }
    let missing = fill.iter().copied().cycle().take(if fill.is_empty() { 0 } else { length - value.len() });
    match left {
        true => missing.chain(value.iter().copied()).collect(),
        false => value.iter().copied().chain(missing).collect(),
    }
}

/// Letters of the second text become those of the third at the same place; without one they go.
fn translate(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    Ok(strict(context, DataType::Utf8, all_text(context, arguments)?, |row| {
        let mut table: HashMap<char, Option<char>> = HashMap::new();
        let mut to = row.text(2).chars();
        for letter in row.text(1).chars() {
            let becomes = to.next();
            table.entry(letter).or_insert(becomes);
        }
        let changed = row.text(0).chars().filter_map(|letter| table.get(&letter).copied().unwrap_or(Some(letter)));
        Ok(changed.collect::<String>().into())
    }))
}

/// A negative length is the length of what is put in.
fn overlay(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let length = match arguments.len() {
        4 => arguments.remove(3),
        _ => Typed::literal(ScalarValue::Int32(Some(-1)), "-1"),
    };
    let names = arguments.iter().chain([&length]).map(|argument| argument.name.clone()).collect::<Vec<_>>();
    let (length, start) = (as_int(length, context)?, as_int(arguments.remove(2), context)?);
    let is_bytes = arguments.iter().all(|argument| argument.data_type == DataType::Binary);
    let mut list = if is_bytes { arguments } else { all_text(context, arguments)? };
    list.extend([start, length]);
    let range = |row: &Row<'_>, inserted: usize| {
        let length = if row.int(3) >= 0 { i64::from(row.int(3)) } else { inserted as i64 };
        (i64::from(row.int(2)), length)
    };
    let typed = match is_bytes {
        true => strict(context, DataType::Binary, list, move |row| {
            let (start, length) = range(&row, row.bytes(1).len());
            let rest = bytes(row.bytes(0), start + length, i64::from(i32::MAX));
            Ok([bytes(row.bytes(0), 1, start - 1), row.bytes(1), rest].concat().into())
        }),
        false => strict(context, DataType::Utf8, list, move |row| {
            let (start, length) = range(&row, row.text(1).chars().count());
            let rest = substring(row.text(0), start + length, i64::from(i32::MAX));
            Ok([substring(row.text(0), 1, start - 1), row.text(1), rest].concat().into())
        }),
    };
    Ok(typed.named(format!("overlay({})", names.join(", "))))
}

/// The first letter of what follows a space in upper case, the others in lower case.
fn initcap(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    Ok(strict(context, DataType::Utf8, all_text(context, arguments)?, |row| {
        let mut out = String::with_capacity(row.text(0).len());
        for (index, word) in row.text(0).split(' ').enumerate() {
            if index > 0 {
                out.push(' ');
            }
            let lower = word.to_lowercase();
            let mut letters = lower.chars();
            if let Some(first) = letters.next() {
                out.extend(title_case(first));
                out.push_str(letters.as_str());
            }
        }
        Ok(out.into())
    }))
}

/// A letter as the first of a title: the digraphs have a form of their own.
fn title_case(letter: char) -> Vec<char> {
    match letter {
        'ǆ' | 'Ǆ' => vec!['ǅ'],
        'ǉ' | 'Ǉ' => vec!['ǈ'],
        'ǌ' | 'Ǌ' => vec!['ǋ'],
        'ǳ' | 'Ǳ' => vec!['ǲ'],
        'ß' => vec!['S', 's'],
        'ﬁ' => vec!['F', 'i'],
        'ﬂ' => vec!['F', 'l'],
        'ﬀ' => vec!['F', 'f'],
        other => other.to_uppercase().collect(),
    }
}

fn space(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let count = as_int(arguments.remove(0), context)?;
    Ok(strict(context, DataType::Utf8, vec![count], |row| Ok(" ".repeat(row.int(0).max(0) as usize).into())))
}

/// The argument with the number the first one has.
fn elt(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let number = as_int(arguments.remove(0), context)?;
    let is_bytes = arguments.iter().all(|argument| argument.data_type == DataType::Binary);
    let mut list = vec![number];
    list.extend(if is_bytes { arguments } else { all_text(context, arguments)? });
    let result = if is_bytes { DataType::Binary } else { DataType::Utf8 };
    let ansi = context.session.settings.ansi();
    Ok(row::call(context, ansi.to_string(), result, list, move |row| {
        if row.is_null(0) {
            return Ok(Datum::Null);
        }
        match usize::try_from(row.int(0)) {
            Ok(index) if index >= 1 && index < row.count() => Ok(match (row.is_null(index), is_bytes) {
                (true, _) => Datum::Null,
                (_, true) => row.bytes(index).to_vec().into(),
                (_, false) => row.text(index).into(),
            }),
            _ if ansi => Err(Error::new(
                Kind::Data,
                format!("elt: the index {} is out of bounds: there are {} values", row.int(0), row.count() - 1),
            )
            .class("INVALID_ARRAY_INDEX")),
            _ => Ok(Datum::Null),
        }
    }))
}

fn quote(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    Ok(strict(context, DataType::Utf8, all_text(context, arguments)?, |row| {
        Ok(format!("'{}'", row.text(0).replace('\'', "\\'")).into())
    }))
}

/// Texts, bytes or arrays one after the other: the type all arguments have.
pub fn concat_bytes(context: &CallContext<'_>, arguments: Vec<Typed>) -> Typed {
    strict(context, DataType::Binary, arguments, |row| {
        Ok((0..row.count()).flat_map(|index| row.bytes(index)).copied().collect::<Vec<u8>>().into())
    })
}

/// `concat_ws`: texts and arrays of texts with a separator between; NULLs are left out.
pub fn concat_ws(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    use arrow::array::{Array as _, AsArray as _};
    let of_text = tidemill_core::types::array_of(DataType::Utf8);
    let mut list = Vec::with_capacity(arguments.len());
    for (index, argument) in arguments.into_iter().enumerate() {
        list.push(match &argument.data_type {
            DataType::List(_) if index > 0 => crate::function::implicit_cast(argument, &of_text, context)?,
            DataType::Struct(_) | DataType::Map(..) | DataType::List(_) => {
                return Err(refuse::type_mismatch(
                    "UNEXPECTED_INPUT_TYPE",
                    format!("{} takes text and arrays of text", context.name),
                    context.text,
                    context.at,
                ));
            }
            _ => text_or_bytes(argument, context).and_then(|argument| as_text(argument, context))?,
        });
    }
    Ok(row::call(context, "", DataType::Utf8, list, |row| {
        let Some(separator) = row.text_if(0) else { return Ok(Datum::Null) };
        let mut parts: Vec<String> = vec![];
        for index in 1..row.count() {
            let (column, at) = row.column(index);
            match column.data_type() {
                _ if column.is_null(at) => {}
                DataType::List(_) => {
                    let values = column.as_list::<i32>().value(at);
                    parts.extend(values.as_string::<i32>().iter().flatten().map(str::to_owned));
                }
                _ => parts.push(row.text(index).to_owned()),
            }
        }
        Ok(parts.join(separator).into())
    }))
}
