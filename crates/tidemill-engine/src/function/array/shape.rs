//! Arrays with values more or less: `array_append`, `array_insert`, `slice`, `array_repeat`, `array_compact`,
//! and `array_join`.

use super::{array_argument, with_value};
use crate::function::lists::{Lists, Picks, check_size};
use crate::function::native::Native;
use crate::function::{CallContext, Entry, as_int, as_text, implicit_cast};
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Int32Type};
use std::ops::Range;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["array_append"], arguments: (2, 2), build: |context, given| grown(context, given, false) },
    Entry { names: &["array_prepend"], arguments: (2, 2), build: |context, given| grown(context, given, true) },
    Entry { names: &["array_insert"], arguments: (3, 3), build: array_insert },
    Entry { names: &["array_compact"], arguments: (1, 1), build: array_compact },
    Entry { names: &["array_repeat"], arguments: (2, 2), build: array_repeat },
    Entry { names: &["slice"], arguments: (3, 3), build: slice },
    Entry { names: &["array_join"], arguments: (2, 3), build: array_join },
];

/// With a value at one end.
fn grown(context: &CallContext<'_>, arguments: Vec<Typed>, in_front: bool) -> Result<Typed> {
    let (list, value, element) = with_value(arguments, context)?;
    let result = list.data_type.clone();
    let arguments = vec![list.expr, value.expr];
    let expr = Native::call("array_grown", in_front.to_string(), result.clone(), arguments, move |arguments, rows| {
        let lists = Lists::of(&arguments[0]);
        let mut picks = Picks::new(rows);
        for row in 0..rows {
            let Some(range) = lists.range(row) else {
                picks.end_null();
                continue;
            };
            if in_front {
                picks.push(1, row);
            }
            picks.extend(0, range);
            if !in_front {
                picks.push(1, row);
            }
            picks.end();
        }
        picks.build(&element, &[lists.values(), &arguments[1]])
    });
    Ok(Typed::new(expr, result, ""))
}

/// At a position counted from 1, or from the end; gaps are filled with NULLs.
fn array_insert(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let position = as_int(arguments.remove(1), context)?;
    let (list, value, element) = with_value(arguments, context)?;
    let result = list.data_type.clone();
    let arguments = vec![list.expr, position.expr, value.expr];
    let expr = Native::call("array_insert", "", result.clone(), arguments, move |arguments, rows| {
        let (lists, positions) = (Lists::of(&arguments[0]), arguments[1].as_primitive::<Int32Type>());
        let mut picks = Picks::new(rows);
        for row in 0..rows {
            match lists.range(row).filter(|_| positions.is_valid(row)) {
                Some(range) => insert(&mut picks, range, i64::from(positions.value(row)), row)?,
                None => picks.end_null(),
            }
        }
        picks.build(&element, &[lists.values(), &arguments[2]])
    });
    Ok(Typed::new(expr, result, ""))
}

fn insert(picks: &mut Picks, range: Range<usize>, position: i64, row: usize) -> Result<()> {
    let length = range.len() as i64;
    if position == 0 {
        return Err(Error::new(Kind::Data, "the position 0 is out of bounds: positions count from 1")
            .class("INVALID_INDEX_OF_ZERO"));
    }
    check_size(position.unsigned_abs() as usize)?;
    // how many values stand before the new one; below zero it stands that far before all of them
    let before = if position > 0 { position - 1 } else { length + position + 1 };
    if before >= 0 {
        let split = range.start + before.min(length) as usize;
        picks.extend(0, range.start..split);
        (length..before).for_each(|_| picks.push_null());
        picks.push(1, row);
        picks.extend(0, split..range.end);
    } else {
        picks.push(1, row);
        (before..0).for_each(|_| picks.push_null());
        picks.extend(0, range);
    }
    picks.end();
    Ok(())
}

fn array_compact(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let (list, element) = array_argument(arguments.remove(0), context)?;
    let result = list.data_type.clone();
    let expr = Native::call("array_compact", "", result.clone(), vec![list.expr], move |arguments, rows| {
        let lists = Lists::of(&arguments[0]);
        let mut picks = Picks::new(rows);
        for row in 0..rows {
            match lists.range(row) {
                Some(range) => {
                    picks.extend(0, range.filter(|place| lists.values().is_valid(*place)));
                    picks.end();
                }
                None => picks.end_null(),
            }
        }
        picks.build(&element, &[lists.values()])
    });
    Ok(Typed::new(expr, result, ""))
}

fn array_repeat(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let count = as_int(arguments.remove(1), context)?;
    let value = arguments.remove(0);
    let element = value.data_type.clone();
    let result = types::array_of(element.clone());
    let arguments = vec![value.expr, count.expr];
    let expr = Native::call("array_repeat", "", result.clone(), arguments, move |arguments, rows| {
        let counts = arguments[1].as_primitive::<Int32Type>();
        let (mut picks, mut total) = (Picks::new(rows), 0usize);
        for row in 0..rows {
            if counts.is_null(row) {
                picks.end_null();
                continue;
            }
            let count = usize::try_from(counts.value(row)).unwrap_or(0);
            total += count;
            check_size(total)?;
            picks.extend(0, std::iter::repeat_n(row, count));
            picks.end();
        }
        picks.build(&element, &[&arguments[0]])
    });
    Ok(Typed::new(expr, result, ""))
}

/// From a position counted from 1, or from the end.
fn slice(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let length = as_int(arguments.remove(2), context)?;
    let start = as_int(arguments.remove(1), context)?;
    let (list, element) = array_argument(arguments.remove(0), context)?;
    let result = list.data_type.clone();
    let arguments = vec![list.expr, start.expr, length.expr];
    let expr = Native::call("slice", "", result.clone(), arguments, move |arguments, rows| {
        let lists = Lists::of(&arguments[0]);
        let (starts, lengths) = (arguments[1].as_primitive::<Int32Type>(), arguments[2].as_primitive::<Int32Type>());
        let mut picks = Picks::new(rows);
        for row in 0..rows {
            match lists.range(row).filter(|_| starts.is_valid(row) && lengths.is_valid(row)) {
                Some(range) => {
                    picks.extend(0, part(range, starts.value(row), lengths.value(row))?);
                    picks.end();
                }
                None => picks.end_null(),
            }
        }
        picks.build(&element, &[lists.values()])
    });
    Ok(Typed::new(expr, result, ""))
}

fn part(range: Range<usize>, start: i32, length: i32) -> Result<Range<usize>> {
    let wrong = |parameter: &str, why: &str| {
        Error::new(Kind::Data, format!("the {parameter} of slice {why}"))
            .class(format!("INVALID_PARAMETER_VALUE.{}", parameter.to_uppercase()))
    };
    if start == 0 {
        return Err(wrong("start", "counts from 1, so it is not 0"));
    }
    let Ok(length) = usize::try_from(length) else {
        return Err(wrong("length", &format!("is {length}; it is 0 or more")));
    };
    let first = if start > 0 { i64::from(start) - 1 } else { range.len() as i64 + i64::from(start) };
    let Ok(first) = usize::try_from(first) else { return Ok(range.start..range.start) };
    let first = (range.start + first).min(range.end);
    Ok(first..first.saturating_add(length).min(range.end))
}

/// NULLs are left out, or replaced.
fn array_join(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let replacement = if arguments.len() == 3 { arguments.pop() } else { None };
    let separator = as_text(arguments.remove(1), context)?;
    let (list, element) = array_argument(arguments.remove(0), context)?;
    if matches!(element, DataType::List(_) | DataType::Struct(_) | DataType::Map(..)) {
        return Err(context.wrong_type("an ARRAY of STRING", &list.data_type));
    }
    let list = implicit_cast(list, &types::array_of(DataType::Utf8), context)?;
    let mut expressions = vec![list.expr, separator.expr];
    let replacement = replacement.map(|replacement| as_text(replacement, context)).transpose()?;
    expressions.extend(replacement.map(|replacement| replacement.expr));
    let expr = Native::call("array_join", "", DataType::Utf8, expressions, |arguments, rows| {
        let lists = Lists::of(&arguments[0]);
        let texts = lists.values().as_string::<i32>();
        let separators = arguments[1].as_string::<i32>();
        let replacements = arguments.get(2).map(|replacements| replacements.as_string::<i32>());
        let joined = (0..rows).map(|row| {
            let range = lists.range(row).filter(|_| separators.is_valid(row))?;
            let replacement = match replacements {
                None => None,
                Some(replacements) if replacements.is_null(row) => return None,
                Some(replacements) => Some(replacements.value(row)),
            };
            let parts = range.filter_map(|place| match texts.is_valid(place) {
                true => Some(texts.value(place)),
                false => replacement,
            });
            Some(parts.collect::<Vec<_>>().join(separators.value(row)))
        });
        Ok(Arc::new(joined.collect::<StringArray>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Utf8, ""))
}
