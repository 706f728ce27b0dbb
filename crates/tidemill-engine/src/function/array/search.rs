//! Looking for values in arrays: `array_contains`, `array_position`, `array_remove`, `arrays_overlap`, `get`.

use super::{alike, array_argument, expect_orderable, with_value};
use crate::function::lists::{Lists, Picks, comparable};
use crate::function::native::Native;
use crate::function::{CallContext, Entry, as_int};
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, BooleanArray, Int32Array, Int64Array};
use arrow::datatypes::DataType;
use std::collections::HashSet;
use std::sync::Arc;
use tidemill_core::{Error, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["array_contains"], arguments: (2, 2), build: array_contains },
    Entry { names: &["array_position"], arguments: (2, 2), build: array_position },
    Entry { names: &["array_remove"], arguments: (2, 2), build: array_remove },
    Entry { names: &["arrays_overlap"], arguments: (2, 2), build: arrays_overlap },
    Entry { names: &["array_size"], arguments: (1, 1), build: array_size },
    Entry { names: &["get"], arguments: (2, 2), build: get },
];

fn searched(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<(Typed, Typed, DataType)> {
    let found = with_value(arguments, context)?;
    expect_orderable(&found.2, context)?;
    Ok(found)
}

/// NULL when the value is not there and a NULL is.
fn array_contains(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    if arguments.iter().any(|argument| argument.data_type == DataType::Null) {
        return Err(refuse::type_mismatch(
            "NULL_TYPE",
            format!("{} takes no NULL of no type", context.name),
            context.text,
            context.at,
        ));
    }
    let (list, value, element) = searched(context, arguments)?;
    let arguments = vec![list.expr, value.expr];
    let expr = Native::call("array_contains", element.to_string(), DataType::Boolean, arguments, |arguments, rows| {
        let lists = Lists::of(&arguments[0]);
        let keys = comparable(&[lists.values(), &arguments[1]])?;
        let answers = (0..rows).map(|row| {
            let range = lists.range(row)?;
            if arguments[1].is_null(row) {
                return None;
            }
            let wanted = keys[1].row(row);
            match range.clone().any(|place| keys[0].row(place) == wanted) {
                true => Some(true),
                false => (!range.into_iter().any(|place| lists.values().is_null(place))).then_some(false),
            }
        });
        Ok(Arc::new(answers.collect::<BooleanArray>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Boolean, ""))
}

/// Counted from 1; 0 when missing.
fn array_position(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let (list, value, element) = searched(context, arguments)?;
    let arguments = vec![list.expr, value.expr];
    let expr = Native::call("array_position", element.to_string(), DataType::Int64, arguments, |arguments, rows| {
        let lists = Lists::of(&arguments[0]);
        let keys = comparable(&[lists.values(), &arguments[1]])?;
        let found = (0..rows).map(|row| {
            let mut range = lists.range(row).filter(|_| arguments[1].is_valid(row))?;
            let wanted = keys[1].row(row);
            Some(range.position(|place| keys[0].row(place) == wanted).map_or(0, |place| place as i64 + 1))
        });
        Ok(Arc::new(found.collect::<Int64Array>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int64, ""))
}

/// NULLs stay.
fn array_remove(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let (list, value, element) = searched(context, arguments)?;
    let result = list.data_type.clone();
    let arguments = vec![list.expr, value.expr];
    let expr = Native::call("array_remove", "", result.clone(), arguments, move |arguments, rows| {
        let lists = Lists::of(&arguments[0]);
        let keys = comparable(&[lists.values(), &arguments[1]])?;
        let mut picks = Picks::new(rows);
        for row in 0..rows {
            let Some(range) = lists.range(row).filter(|_| arguments[1].is_valid(row)) else {
                picks.end_null();
                continue;
            };
            let wanted = keys[1].row(row);
            picks.extend(0, range.filter(|place| keys[0].row(*place) != wanted));
            picks.end();
        }
        picks.build(&element, &[lists.values()])
    });
    Ok(Typed::new(expr, result, ""))
}

/// NULL when no value is shared, neither is empty, and one has a NULL.
fn arrays_overlap(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let (mut lists, element) = alike(arguments, context)?;
    expect_orderable(&element, context)?;
    if element == DataType::Null {
        let of_null = tidemill_core::types::array_of(DataType::Int32);
        let cast = lists.into_iter().map(|list| crate::function::implicit_cast(list, &of_null, context));
        lists = cast.collect::<Result<_>>()?;
    }
    let arguments = lists.into_iter().map(|list| list.expr).collect();
    let parameters = element.to_string();
    let expr = Native::call("arrays_overlap", parameters, DataType::Boolean, arguments, |arguments, rows| {
        let (left, right) = (Lists::of(&arguments[0]), Lists::of(&arguments[1]));
        let keys = comparable(&[left.values(), right.values()])?;
        let [left_keys, right_keys] = keys.as_slice() else { return Err(Error::bug("two columns were encoded")) };
        let answers = (0..rows).map(|row| {
            let (one, other) = (left.range(row)?, right.range(row)?);
            let known: HashSet<_> =
                one.clone().filter(|place| left.values().is_valid(*place)).map(|place| left_keys.row(place)).collect();
            if other.clone().any(|place| right.values().is_valid(place) && known.contains(&right_keys.row(place))) {
                return Some(true);
            }
            let has_null = one.clone().any(|place| left.values().is_null(place))
                || other.clone().any(|place| right.values().is_null(place));
            (one.is_empty() || other.is_empty() || !has_null).then_some(false)
        });
        Ok(Arc::new(answers.collect::<BooleanArray>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Boolean, ""))
}

fn array_size(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let (list, _) = array_argument(arguments.remove(0), context)?;
    let expr = Native::call("array_size", "", DataType::Int32, vec![list.expr], |arguments, rows| {
        let lists = Lists::of(&arguments[0]);
        let lengths = (0..rows).map(|row| lists.range(row).map(|range| range.len() as i32));
        Ok(Arc::new(lengths.collect::<Int32Array>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int32, ""))
}

/// Counted from 0; NULL out of range.
fn get(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let by = as_int(arguments.remove(1), context)?;
    let (list, element) = array_argument(arguments.remove(0), context)?;
    let expr = Native::call("get", "", element.clone(), vec![list.expr, by.expr], |arguments, _| {
        crate::function::nested::elements(&arguments[0], &arguments[1], |index, length| {
            Ok(usize::try_from(index).ok().filter(|index| *index < length))
        })
    });
    Ok(Typed::new(expr, element, ""))
}
