//! Functions of maps. A key stands once in a map and is never NULL: what would break that fails.

use super::lists::{Lists, comparable};
use super::native::Native;
use super::{CallContext, Entry, MANY, as_text, implicit_cast};
use crate::pipeline::analysis::coerce;
use crate::pipeline::analysis::expression::to_common;
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, StringArray, StructArray, UInt32Array, new_empty_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Field, Fields};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["map", "create_map"], arguments: (0, MANY), build: create },
    Entry { names: &["map_keys"], arguments: (1, 1), build: |context, given| part(context, given, Part::Keys) },
    Entry { names: &["map_values"], arguments: (1, 1), build: |context, given| part(context, given, Part::Values) },
    Entry { names: &["map_entries"], arguments: (1, 1), build: |context, given| part(context, given, Part::Entries) },
    Entry { names: &["map_from_arrays"], arguments: (2, 2), build: from_arrays },
    Entry { names: &["map_from_entries"], arguments: (1, 1), build: from_entries },
    Entry { names: &["map_concat"], arguments: (0, MANY), build: concat },
    Entry { names: &["map_contains_key"], arguments: (2, 2), build: contains_key },
    Entry { names: &["str_to_map"], arguments: (1, 3), build: from_text },
];

/// The entries of a column of maps, those of rows that are not NULL, one after the other.
pub struct Maps {
    /// The keys.
    pub keys: ArrayRef,
    /// The values.
    pub values: ArrayRef,
    /// The row of each entry.
    pub rows: UInt32Array,
    /// How many entries each row has.
    pub lengths: Vec<usize>,
    /// Which rows are NULL.
    pub nulls: Option<NullBuffer>,
}

impl Maps {
    /// The entries of a column whose type is a map.
    pub fn of(array: &ArrayRef) -> Result<Maps> {
        let map = array.as_map();
        let mut places: Vec<u32> = Vec::with_capacity(map.keys().len());
        let (mut rows, mut lengths) = (Vec::with_capacity(map.keys().len()), Vec::with_capacity(map.len()));
        for row in 0..map.len() {
            let range = range_of(map, row).unwrap_or(0..0);
            lengths.push(range.len());
            rows.extend(std::iter::repeat_n(row as u32, range.len()));
            places.extend(range.map(|place| place as u32));
        }
        let places = UInt32Array::from(places);
        Ok(Maps {
            keys: take(map.keys(), &places, None)?,
            values: take(map.values(), &places, None)?,
            rows: UInt32Array::from(rows),
            lengths,
            nulls: map.nulls().cloned(),
        })
    }

    /// True when a row is NULL.
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }
}

fn range_of(map: &MapArray, row: usize) -> Option<Range<usize>> {
    let offsets = map.value_offsets();
    map.is_valid(row).then(|| offsets[row] as usize..offsets[row + 1] as usize)
}

/// A column of maps of the type `of`.
///
/// # Errors
/// Keys or values of another type: a bug.
pub fn map_array(
    of: &DataType,
    lengths: Vec<usize>,
    keys: ArrayRef,
    values: ArrayRef,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let DataType::Map(entries, sorted) = of else { return Err(Error::bug("a map of no map type")) };
    let DataType::Struct(fields) = entries.data_type() else { return Err(Error::bug("a map without entries")) };
    let structs = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
    Ok(Arc::new(MapArray::try_new(entries.clone(), OffsetBuffer::from_lengths(lengths), structs, nulls, *sorted)?))
}

/// Refuses NULL keys and keys that stand twice in a row.
///
/// # Errors
/// The first row that has such keys.
pub fn check_keys(keys: &ArrayRef, lengths: &[usize]) -> Result<()> {
    if keys.logical_null_count() > 0 {
        return Err(null_key());
    }
    let encoded = comparable(&[keys])?;
    let Some(encoded) = encoded.first() else { return Ok(()) };
    let mut start = 0;
    for length in lengths {
        let mut seen = HashSet::with_capacity(*length);
        for place in start..start + length {
            if !seen.insert(encoded.row(place)) {
                let shown = super::cast::printing::print_array(&keys.slice(place, 1), chrono_tz::Tz::UTC)?;
                return Err(duplicate_key(if shown.is_valid(0) { shown.value(0) } else { "" }));
            }
        }
        start += length;
    }
    Ok(())
}

fn null_key() -> Error {
    Error::new(Kind::Data, "a key of a map is NULL").class("NULL_MAP_KEY")
}

fn duplicate_key(key: &str) -> Error {
    Error::new(Kind::Data, format!("the key {key} stands twice in a map"))
        .class("DUPLICATED_MAP_KEY")
        .help("leave out the duplicates before the map is made")
}

fn map_argument(typed: &Typed, context: &CallContext<'_>) -> Result<(DataType, DataType)> {
    let kinds = match &typed.data_type {
        DataType::Map(entries, _) => coerce::entry_types(entries),
        _ => None,
    };
    kinds.ok_or_else(|| context.wrong_type("a MAP", &typed.data_type))
}

fn expect_key_type(key: &DataType, context: &CallContext<'_>) -> Result<()> {
    if coerce::is_groupable(key) { Ok(()) } else { Err(context.wrong_type("keys that are no MAP", key)) }
}

/// `map(key, value, ..)`.
fn create(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    if !arguments.len().is_multiple_of(2) {
        return Err(super::wrong_count(context.name, 2, MANY, arguments.len(), context));
    }
    let (mut keys, mut values) = (vec![], vec![]);
    for (position, argument) in arguments.into_iter().enumerate() {
        if position % 2 == 0 { keys.push(argument) } else { values.push(argument) }
    }
    let width = keys.len();
    let (keys, key) = to_common(keys, context)?;
    let (values, value) = to_common(values, context)?;
    expect_key_type(&key, context)?;
    let result = types::map_of(key.clone(), value.clone());
    let of = result.clone();
    let arguments = keys.into_iter().chain(values).map(|typed| typed.expr).collect();
    let expr = Native::call("map", width.to_string(), result.clone(), arguments, move |arguments, rows| {
        let (keys, values) = arguments.split_at(width);
        let order: Vec<(usize, usize)> =
            (0..rows).flat_map(|row| (0..width).map(move |column| (column, row))).collect();
        let together = |columns: &[ArrayRef], kind: &DataType| -> Result<ArrayRef> {
            if order.is_empty() {
                return Ok(new_empty_array(kind));
            }
            let columns: Vec<&dyn Array> = columns.iter().map(|column| &**column).collect();
            Ok(interleave(&columns, &order)?)
        };
        let (keys, values) = (together(keys, &key)?, together(values, &value)?);
        let lengths = vec![width; rows];
        check_keys(&keys, &lengths)?;
        map_array(&of, lengths, keys, values, None)
    });
    Ok(Typed::new(expr, result, "").named(""))
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Keys,
    Values,
    Entries,
}

fn part(context: &CallContext<'_>, mut arguments: Vec<Typed>, part: Part) -> Result<Typed> {
    let map = arguments.remove(0);
    let (key, value) = map_argument(&map, context)?;
    let element = match part {
        Part::Keys => key,
        Part::Values => value,
        Part::Entries => {
            DataType::Struct(Fields::from(vec![Field::new("key", key, true), Field::new("value", value, true)]))
        }
    };
    let result = types::array_of(element.clone());
    let expr = Native::call("map_part", format!("{part:?}"), result.clone(), vec![map.expr], move |arguments, _| {
        let map = arguments[0].as_map();
        let values: ArrayRef = match (part, &element) {
            (Part::Keys, _) => map.keys().clone(),
            (Part::Values, _) => map.values().clone(),
            (Part::Entries, DataType::Struct(fields)) => {
                let columns = vec![map.keys().clone(), map.values().clone()];
                Arc::new(StructArray::try_new(fields.clone(), columns, None)?)
            }
            _ => return Err(Error::bug("entries of a map are structs")),
        };
        let field = Arc::new(Field::new_list_field(element.clone(), true));
        Ok(Arc::new(ListArray::try_new(field, map.offsets().clone(), values, map.nulls().cloned())?) as ArrayRef)
    });
    Ok(Typed::new(expr, result, ""))
}

fn from_arrays(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let (values, value) = super::array::array_argument(arguments.remove(1), context)?;
    let (keys, key) = super::array::array_argument(arguments.remove(0), context)?;
    expect_key_type(&key, context)?;
    let result = types::map_of(key, value);
    let of = result.clone();
    let arguments = vec![keys.expr, values.expr];
    let expr = Native::call("map_from_arrays", "", result.clone(), arguments, move |arguments, rows| {
        let (keys, values) = (Lists::of(&arguments[0]), Lists::of(&arguments[1]));
        let (mut key_places, mut value_places, mut lengths) = (vec![], vec![], Vec::with_capacity(rows));
        for row in 0..rows {
            let (Some(one), Some(other)) = (keys.range(row), values.range(row)) else {
                lengths.push(0);
                continue;
            };
            if one.len() != other.len() {
                return Err(Error::new(
                    Kind::Data,
                    format!("map_from_arrays was given {} keys and {} values", one.len(), other.len()),
                ));
            }
            lengths.push(one.len());
            key_places.extend(one.map(|place| place as u32));
            value_places.extend(other.map(|place| place as u32));
        }
        let keys = take(keys.values(), &UInt32Array::from(key_places), None)?;
        let values = take(values.values(), &UInt32Array::from(value_places), None)?;
        check_keys(&keys, &lengths)?;
        map_array(&of, lengths, keys, values, NullBuffer::union(arguments[0].nulls(), arguments[1].nulls()))
    });
    Ok(Typed::new(expr, result, ""))
}

/// NULL when an entry is.
fn from_entries(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let (list, entry) = super::array::array_argument(arguments.remove(0), context)?;
    let (key, value) = match &entry {
        DataType::Struct(fields) if fields.len() == 2 => (fields[0].data_type().clone(), fields[1].data_type().clone()),
        _ => return Err(context.wrong_type("an ARRAY of STRUCT of two fields", &list.data_type)),
    };
    expect_key_type(&key, context)?;
    let result = types::map_of(key, value);
    let of = result.clone();
    let expr = Native::call("map_from_entries", "", result.clone(), vec![list.expr], move |arguments, rows| {
        let lists = Lists::of(&arguments[0]);
        let entries = lists.values().as_struct();
        let (mut places, mut lengths, mut valid) = (vec![], Vec::with_capacity(rows), Vec::with_capacity(rows));
        for row in 0..rows {
            let range = lists.range(row).filter(|range| !range.clone().any(|place| entries.is_null(place)));
            valid.push(range.is_some());
            let range = range.unwrap_or(0..0);
            lengths.push(range.len());
            places.extend(range.map(|place| place as u32));
        }
        let places = UInt32Array::from(places);
        let (keys, values) = (take(entries.column(0), &places, None)?, take(entries.column(1), &places, None)?);
        check_keys(&keys, &lengths)?;
        map_array(&of, lengths, keys, values, Some(NullBuffer::from(valid)))
    });
    Ok(Typed::new(expr, result, ""))
}

fn concat(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    if arguments.is_empty() {
        let map = create(context, arguments)?;
        return implicit_cast(map, &types::map_of(DataType::Utf8, DataType::Utf8), context);
    }
    let mut common = DataType::Null;
    for argument in &arguments {
        map_argument(argument, context)?;
        let Some(wider) = coerce::common_strict(&common, &argument.data_type) else {
            return Err(context.wrong_type(&format!("maps of type {}", types::name(&common)), &argument.data_type));
        };
        common = wider;
    }
    let arguments = arguments
        .into_iter()
        .map(|argument| Ok(implicit_cast(argument, &common, context)?.expr))
        .collect::<Result<Vec<_>>>()?;
    let (result, of) = (common.clone(), common);
    let expr = Native::call("map_concat", "", result.clone(), arguments, move |arguments, rows| {
        let maps: Vec<&MapArray> = arguments.iter().map(|argument| argument.as_map()).collect();
        let (mut order, mut lengths, mut valid) = (vec![], Vec::with_capacity(rows), Vec::with_capacity(rows));
        for row in 0..rows {
            let before = order.len();
            let ranges: Option<Vec<Range<usize>>> = maps.iter().map(|map| range_of(map, row)).collect();
            valid.push(ranges.is_some());
            for (source, range) in ranges.unwrap_or_default().into_iter().enumerate() {
                order.extend(range.map(|place| (source, place)));
            }
            lengths.push(order.len() - before);
        }
        let together = |columns: Vec<&ArrayRef>| -> Result<ArrayRef> {
            if order.is_empty() {
                return Ok(columns.first().map_or_else(|| new_empty_array(&DataType::Null), |first| first.slice(0, 0)));
            }
            let columns: Vec<&dyn Array> = columns.into_iter().map(|column| &**column).collect();
            Ok(interleave(&columns, &order)?)
        };
        let keys = together(maps.iter().map(|map| map.keys()).collect())?;
        let values = together(maps.iter().map(|map| map.values()).collect())?;
        check_keys(&keys, &lengths)?;
        map_array(&of, lengths, keys, values, Some(NullBuffer::from(valid)))
    });
    Ok(Typed::new(expr, result, ""))
}

fn contains_key(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let wanted = arguments.remove(1);
    let map = arguments.remove(0);
    let (key, value) = map_argument(&map, context)?;
    if wanted.data_type == DataType::Null {
        return Err(refuse::type_mismatch("NULL_TYPE", "NULL is no key", context.text, context.at));
    }
    let Some(common) = coerce::common_strict(&key, &wanted.data_type) else {
        return Err(context.wrong_type(&format!("a key of type {}", types::name(&key)), &wanted.data_type));
    };
    let map = implicit_cast(map, &types::map_of(common.clone(), value), context)?;
    let wanted = implicit_cast(wanted, &common, context)?;
    let arguments = vec![map.expr, wanted.expr];
    let expr = Native::call("map_contains_key", "", DataType::Boolean, arguments, |arguments, rows| {
        let map = arguments[0].as_map();
        let keys = comparable(&[map.keys(), &arguments[1]])?;
        let answers = (0..rows).map(|row| {
            let mut range = range_of(map, row).filter(|_| arguments[1].is_valid(row))?;
            Some(range.any(|place| keys[0].row(place) == keys[1].row(row)))
        });
        Ok(Arc::new(answers.collect::<BooleanArray>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Boolean, ""))
}

/// `a:1,b:2`: separators are regular expressions; a pair without one has the value NULL.
fn from_text(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let separators = [(1, ","), (2, ":")].map(|(position, default)| match arguments.get(position) {
        Some(given) => super::constant_text(given, "a separator", context),
        None => Ok(default.to_owned()),
    });
    let [pairs, key_value] = separators;
    let (pairs, key_value) = (pairs?, key_value?);
    let shown = format!("str_to_map({}, {pairs}, {key_value})", arguments[0].name);
    let (pair_pattern, key_pattern) = (separator(&pairs, context)?, separator(&key_value, context)?);
    let Some(text) = arguments.into_iter().next() else { return Err(Error::bug("an argument was counted")) };
    let text = as_text(text, context)?;
    let result = types::map_of(DataType::Utf8, DataType::Utf8);
    let of = result.clone();
    let parameters = format!("{pairs:?} {key_value:?}");
    let expr = Native::call("str_to_map", parameters, result.clone(), vec![text.expr], move |arguments, rows| {
        let texts = arguments[0].as_string::<i32>();
        let (mut keys, mut values): (Vec<Option<&str>>, Vec<Option<&str>>) = (vec![], vec![]);
        let mut lengths = Vec::with_capacity(rows);
        for text in texts {
            let Some(text) = text else {
                lengths.push(0);
                continue;
            };
            let before = keys.len();
            for pair in split(&pair_pattern, text, usize::MAX) {
                let mut halves = split(&key_pattern, pair, 2).into_iter();
                keys.push(halves.next());
                values.push(halves.next());
            }
            lengths.push(keys.len() - before);
        }
        let keys: ArrayRef = Arc::new(StringArray::from(keys));
        check_keys(&keys, &lengths)?;
        map_array(&of, lengths, keys, Arc::new(StringArray::from(values)), texts.nulls().cloned())
    });
    Ok(Typed::new(expr, result, shown))
}

/// Cuts a text at a pattern as Java does: an empty match at the start cuts nothing.
fn split<'a>(pattern: &regex::Regex, text: &'a str, most: usize) -> Vec<&'a str> {
    let (mut parts, mut start) = (vec![], 0);
    for found in pattern.find_iter(text).filter(|found| found.end() > 0 && found.start() < text.len()) {
        if parts.len() + 1 == most {
            break;
        }
        parts.push(&text[start..found.start()]);
        start = found.end();
    }
    parts.push(&text[start..]);
    parts
}

fn separator(text: &str, context: &CallContext<'_>) -> Result<regex::Regex> {
    regex::Regex::new(text).map_err(|error| {
        Error::invalid(format!("the separator '{text}' is no regular expression: {error}"))
            .class("INVALID_PARAMETER_VALUE.PATTERN")
            .at_if_unplaced(context.text.place(context.at))
    })
}
