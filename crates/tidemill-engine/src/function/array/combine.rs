//! Several arrays into one: `array_union`, `array_intersect`, `array_except`, `array_distinct`, `concat`,
//! `flatten`, `arrays_zip`.

use super::{alike, array_argument, expect_orderable};
use crate::function::lists::{Lists, Picks, comparable};
use crate::function::native::Native;
use crate::function::{CallContext, Entry, MANY};
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{ArrayRef, ListArray, StructArray, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::logical_expr::Expr;
use std::collections::HashSet;
use std::sync::Arc;
use tidemill_core::{Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["array_distinct"], arguments: (1, 1), build: |context, list| set(context, list, Set::Union) },
    Entry { names: &["array_union"], arguments: (2, 2), build: |context, lists| set(context, lists, Set::Union) },
    Entry {
        names: &["array_intersect"],
        arguments: (2, 2),
        build: |context, lists| set(context, lists, Set::Intersect),
    },
    Entry { names: &["array_except"], arguments: (2, 2), build: |context, lists| set(context, lists, Set::Except) },
    Entry { names: &["concat"], arguments: (0, MANY), build: concat },
    Entry { names: &["flatten"], arguments: (1, 1), build: flatten },
    Entry { names: &["arrays_zip"], arguments: (0, MANY), build: arrays_zip },
];

/// An operation on arrays as sets; NULL is a value like others.
#[derive(Debug, Clone, Copy)]
enum Set {
    Union,
    Intersect,
    Except,
}

/// Each value once, in the order of the first array and then of the second.
fn set(context: &CallContext<'_>, arguments: Vec<Typed>, set: Set) -> Result<Typed> {
    let (lists, element) = alike(arguments, context)?;
    expect_orderable(&element, context)?;
    let result = types::array_of(element.clone());
    let arguments: Vec<Expr> = lists.into_iter().map(|list| list.expr).collect();
    let expr = Native::call("array_set", format!("{set:?}"), result.clone(), arguments, move |arguments, rows| {
        let lists: Vec<Lists<'_>> = arguments.iter().map(Lists::of).collect();
        let values: Vec<&ArrayRef> = lists.iter().map(Lists::values).collect();
        let keys = comparable(&values)?;
        let mut picks = Picks::new(rows);
        for row in 0..rows {
            let Some(ranges) = lists.iter().map(|list| list.range(row)).collect::<Option<Vec<_>>>() else {
                picks.end_null();
                continue;
            };
            let (mut seen, mut other) = (HashSet::new(), HashSet::new());
            if let (Set::Intersect | Set::Except, Some(range)) = (set, ranges.get(1)) {
                other.extend(range.clone().map(|place| keys[1].row(place)));
            }
            let sources = if matches!(set, Set::Union) { ranges.len() } else { 1 };
            for source in 0..sources {
                for place in ranges[source].clone() {
                    let key = keys[source].row(place);
                    let wanted = match set {
                        Set::Union => true,
                        Set::Intersect => other.contains(&key),
                        Set::Except => !other.contains(&key),
                    };
                    if wanted && seen.insert(key) {
                        picks.push(source, place);
                    }
                }
            }
            picks.end();
        }
        picks.build(&element, &values)
    });
    Ok(Typed::new(expr, result, ""))
}

/// Of arrays; text goes the way of text.
fn concat(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    if !arguments.iter().any(|argument| matches!(argument.data_type, DataType::List(_))) {
        return crate::function::of_text("concat", context, arguments);
    }
    if let Some(null) = arguments.iter().find(|argument| argument.data_type == DataType::Null) {
        return Err(context.wrong_type("an ARRAY", &null.data_type));
    }
    let (lists, _) = crate::pipeline::analysis::expression::to_common(arguments, context)?;
    let Some(DataType::List(element)) = lists.first().map(|list| list.data_type.clone()) else {
        return Err(context.wrong_type("an ARRAY", &DataType::Null));
    };
    let element = element.data_type().clone();
    let result = types::array_of(element.clone());
    let arguments = lists.into_iter().map(|list| list.expr).collect();
    let expr = Native::call("concat_arrays", "", result.clone(), arguments, move |arguments, rows| {
        let lists: Vec<Lists<'_>> = arguments.iter().map(Lists::of).collect();
        let values: Vec<&ArrayRef> = lists.iter().map(Lists::values).collect();
        let mut picks = Picks::new(rows);
        for row in 0..rows {
            match lists.iter().map(|list| list.range(row)).collect::<Option<Vec<_>>>() {
                Some(ranges) => {
                    ranges.into_iter().enumerate().for_each(|(source, range)| picks.extend(source, range));
                    picks.end();
                }
                None => picks.end_null(),
            }
        }
        picks.build(&element, &values)
    });
    Ok(Typed::new(expr, result, ""))
}

/// NULL when one of the inner arrays is.
fn flatten(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let (list, inner) = array_argument(arguments.remove(0), context)?;
    let DataType::List(element) = &inner else {
        return Err(context.wrong_type("an ARRAY of ARRAY", &list.data_type));
    };
    let element = element.data_type().clone();
    let expr = Native::call("flatten", "", inner.clone(), vec![list.expr], move |arguments, rows| {
        let outer = Lists::of(&arguments[0]);
        let inner = Lists::of(outer.values());
        let mut picks = Picks::new(rows);
        for row in 0..rows {
            let ranges = outer.range(row).and_then(|range| range.map(|place| inner.range(place)).collect());
            let ranges: Option<Vec<std::ops::Range<usize>>> = ranges;
            match ranges {
                Some(ranges) => {
                    ranges.into_iter().for_each(|range| picks.extend(0, range));
                    picks.end();
                }
                None => picks.end_null(),
            }
        }
        picks.build(&element, &[inner.values()])
    });
    Ok(Typed::new(expr, inner, ""))
}

/// Values at the same place as structs; shorter arrays are filled up with NULLs. A column names its field.
fn arrays_zip(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let mut fields = Vec::with_capacity(arguments.len());
    let mut lists = Vec::with_capacity(arguments.len());
    for (position, argument) in arguments.into_iter().enumerate() {
        let (list, element) = array_argument(argument, context)?;
        let is_field = matches!(&list.expr, Expr::ScalarFunction(call) if call.func.name() == "get_field");
        let name = match &list.expr {
            Expr::Column(_) if list.name != "namedlambdavariable()" => list.name.clone(),
            _ if is_field => list.name.rsplit('.').next().unwrap_or_default().to_owned(),
            _ => position.to_string(),
        };
        fields.push(Field::new(name, element, true));
        lists.push(list.expr);
    }
    let fields = Fields::from(fields);
    let result = types::array_of(DataType::Struct(fields.clone()));
    if lists.is_empty() {
        return Err(context.not_yet("arrays_zip without arrays"));
    }
    let expr = Native::call("arrays_zip", result.to_string(), result.clone(), lists, move |arguments, rows| {
        let lists: Vec<Lists<'_>> = arguments.iter().map(Lists::of).collect();
        let mut places: Vec<Vec<Option<u32>>> = vec![vec![]; lists.len()];
        let (mut lengths, mut valid) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for row in 0..rows {
            let ranges: Option<Vec<_>> = lists.iter().map(|list| list.range(row)).collect();
            valid.push(ranges.is_some());
            let ranges = ranges.unwrap_or_default();
            let length = ranges.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
            lengths.push(length);
            for (places, range) in places.iter_mut().zip(&ranges) {
                places.extend((0..length).map(|at| (at < range.len()).then(|| (range.start + at) as u32)));
            }
        }
        let columns =
            lists.iter().zip(places).map(|(list, places)| Ok(take(list.values(), &UInt32Array::from(places), None)?));
        let structs = StructArray::try_new(fields.clone(), columns.collect::<Result<_>>()?, None)?;
        let field = Arc::new(Field::new_list_field(DataType::Struct(fields.clone()), true));
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(structs), Some(NullBuffer::from(valid)))?) as ArrayRef)
    });
    Ok(Typed::new(expr, result, ""))
}
