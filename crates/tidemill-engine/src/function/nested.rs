//! Structs, arrays and maps: making them, and taking them apart.

use super::native::Native;
use super::{CallContext, Entry, MANY, as_int, constant_text, implicit_cast};
use crate::pipeline::analysis::coerce;
use crate::pipeline::analysis::expression::to_common;
use crate::pipeline::analysis::scope::Scope;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, StructArray, UInt32Array, make_comparator};
use arrow::compute::{self, SortOptions};
use arrow::datatypes::{DataType, Field, Fields, Int32Type};
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::nearest::nearest;
use tidemill_core::{Error, Kind, Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["struct"], arguments: (1, MANY), build: make_struct },
    Entry { names: &["named_struct"], arguments: (2, MANY), build: named_struct },
    Entry { names: &["array"], arguments: (0, MANY), build: array },
    Entry { names: &["size", "cardinality"], arguments: (1, 1), build: size },
    Entry {
        names: &["element_at"],
        arguments: (2, 2),
        build: |context, arguments| element_at(context, arguments, true),
    },
    Entry {
        names: &["try_element_at"],
        arguments: (2, 2),
        build: |context, arguments| element_at(context, arguments, false),
    },
];

/// `struct.field`, by name and ignoring case as the session says.
pub fn field(input: Typed, name: &str, scope: &Scope, context: &CallContext<'_>) -> Result<Typed> {
    let shown = format!("{}.{name}", input.name);
    if let DataType::List(element) = &input.data_type
        && let DataType::Struct(fields) = element.data_type()
    {
        return field_of_each(&input, fields, name, scope, context);
    }
    let DataType::Struct(fields) = &input.data_type else {
        if let DataType::Map(..) = input.data_type {
            let key = Typed::literal(ScalarValue::Utf8(Some(name.to_owned())), name);
            return index(input, key, context).map(|typed| typed.named(name));
        }
        return Err(Error::invalid(format!(
            "`{}` is of type {} and has no field `{name}`",
            input.name,
            types::name(&input.data_type).to_uppercase()
        ))
        .class("INVALID_EXTRACT_BASE_FIELD_TYPE")
        .at_if_unplaced(context.text.place(context.at)));
    };
    let Some(position) = fields.iter().position(|field| scope.same(field.name(), name)) else {
        let names = fields.iter().map(|field| field.name().as_str());
        let error = Error::invalid(format!("`{}` has no field `{name}`", input.name))
            .class("FIELD_NOT_FOUND")
            .at_if_unplaced(context.text.place(context.at));
        return Err(match nearest(name, names.clone()) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help(format!("fields: {}", names.collect::<Vec<_>>().join(", "))),
        });
    };
    let result = fields[position].data_type().clone();
    let expr = Native::call(
        "get_field",
        format!("{position} {}", input.data_type),
        result.clone(),
        vec![input.expr],
        move |arguments, _| take_field(arguments[0].as_struct(), position),
    );
    Ok(Typed::new(expr, result, shown.rsplit('.').next().unwrap_or(name)))
}

/// `structs.field` of an array of structs: the field of each.
fn field_of_each(
    input: &Typed,
    fields: &Fields,
    name: &str,
    scope: &Scope,
    context: &CallContext<'_>,
) -> Result<Typed> {
    let Some(position) = fields.iter().position(|field| scope.same(field.name(), name)) else {
        return Err(Error::invalid(format!("the structs of `{}` have no field `{name}`", input.name))
            .class("FIELD_NOT_FOUND")
            .at_if_unplaced(context.text.place(context.at)));
    };
    let element = fields[position].data_type().clone();
    let result = types::array_of(element.clone());
    let arguments = vec![input.expr.clone()];
    let expr = Native::call("get_fields", position.to_string(), result.clone(), arguments, move |arguments, _| {
        let list = arguments[0].as_list::<i32>();
        let values = take_field(list.values().as_struct(), position)?;
        let field = Arc::new(Field::new_list_field(element.clone(), true));
        let list = ListArray::try_new(field, list.offsets().clone(), values, list.nulls().cloned())?;
        Ok(Arc::new(list) as ArrayRef)
    });
    Ok(Typed::new(expr, result, name))
}

/// A field's values, NULL where the struct is.
pub fn take_field(structs: &StructArray, position: usize) -> Result<ArrayRef> {
    let column = structs.column(position);
    match structs.nulls() {
        None => Ok(column.clone()),
        Some(_) => {
            let missing = compute::is_null(&(Arc::new(structs.clone()) as ArrayRef))?;
            Ok(compute::nullif(column, &missing)?)
        }
    }
}

/// `array[index]` from 0, `map[key]`.
pub fn index(input: Typed, by: Typed, context: &CallContext<'_>) -> Result<Typed> {
    let name = format!("{}[{}]", input.name, by.name);
    match &input.data_type {
        DataType::List(element) => {
            let result = element.data_type().clone();
            if by.data_type == DataType::Utf8 {
                return Err(context.wrong_type("a whole number as index", &by.data_type));
            }
            let by = as_int(by, context)?;
            let ansi = context.session.settings.ansi();
            let expr = Native::call(
                "array_index",
                format!("{ansi}"),
                result.clone(),
                vec![input.expr, by.expr],
                move |arguments, _| {
                    elements(&arguments[0], &arguments[1], |index, length| match usize::try_from(index) {
                        Ok(found) if found < length => Ok(Some(found)),
                        _ if ansi => Err(out_of_bounds(index, length, "INVALID_ARRAY_INDEX")),
                        _ => Ok(None),
                    })
                },
            );
            Ok(Typed::new(expr, result, name))
        }
        DataType::Map(entries, _) => {
            let Some((key, value)) = coerce::entry_types(entries) else {
                return Err(Error::bug("a map without entries"));
            };
            let by = implicit_cast(by, &key, context)?;
            let expr = Native::call("map_value", "", value.clone(), vec![input.expr, by.expr], |arguments, _| {
                map_values(&arguments[0], &arguments[1])
            });
            Ok(Typed::new(expr, value, name))
        }
        other => Err(context.wrong_type("an ARRAY or MAP", other)),
    }
}

fn out_of_bounds(index: i32, length: usize, class: &str) -> Error {
    Error::new(Kind::Data, format!("the index {index} is out of bounds: the array has {length} elements"))
        .class(class)
        .help("use try_element_at to get NULL instead")
}

/// The elements at positions that `find` gives for an index and a length.
pub fn elements(
    array: &ArrayRef,
    by: &ArrayRef,
    find: impl Fn(i32, usize) -> Result<Option<usize>>,
) -> Result<ArrayRef> {
    let (list, by) = (array.as_list::<i32>(), by.as_primitive::<Int32Type>());
    let positions = (0..list.len()).map(|row| {
        if list.is_null(row) || by.is_null(row) {
            return Ok(None);
        }
        let start = list.value_offsets()[row] as usize;
        Ok(find(by.value(row), list.value_length(row) as usize)?.map(|found| (start + found) as u32))
    });
    let positions = positions.collect::<Result<UInt32Array>>()?;
    Ok(compute::take(list.values(), &positions, None)?)
}

fn map_values(map: &ArrayRef, by: &ArrayRef) -> Result<ArrayRef> {
    let map = map.as_map();
    let same = make_comparator(map.keys(), by, SortOptions::default())?;
    let positions = (0..map.len()).map(|row| {
        if map.is_null(row) || by.is_null(row) {
            return None;
        }
        let offsets = map.value_offsets();
        (offsets[row] as usize..offsets[row + 1] as usize).find(|entry| same(*entry, row).is_eq()).map(|at| at as u32)
    });
    Ok(compute::take(map.values(), &positions.collect::<UInt32Array>(), None)?)
}

/// Positions count from 1, negative ones from the end.
fn element_at(context: &CallContext<'_>, mut arguments: Vec<Typed>, fails: bool) -> Result<Typed> {
    let (by, input) = (arguments.remove(1), arguments.remove(0));
    if let DataType::Map(entries, _) = &input.data_type
        && let Some((key, _)) = coerce::entry_types(entries)
        && coerce::common_strict(&key, &by.data_type).is_none()
    {
        return Err(context.wrong_type(&format!("a key of type {}", types::name(&key)), &by.data_type));
    }
    let DataType::List(element) = &input.data_type else {
        return index(input, by, context).map(|typed| typed.named(""));
    };
    let (result, by) = (element.data_type().clone(), as_int(by, context)?);
    let fails = fails && context.session.settings.ansi();
    let expr = Native::call(
        "element_at",
        format!("{fails}"),
        result.clone(),
        vec![input.expr, by.expr],
        move |arguments, _| {
            elements(&arguments[0], &arguments[1], |index, length| {
                let found = match index {
                    0 => {
                        return Err(Error::new(Kind::Data, "the index 0 is out of bounds: positions count from 1")
                            .class("INVALID_INDEX_OF_ZERO"));
                    }
                    index if index > 0 => usize::try_from(index - 1).ok(),
                    index => length.checked_sub(index.unsigned_abs() as usize),
                };
                match found.filter(|found| *found < length) {
                    None if fails => Err(out_of_bounds(index, length, "INVALID_ARRAY_INDEX_IN_ELEMENT_AT")),
                    found => Ok(found),
                }
            })
        },
    );
    Ok(Typed::new(expr, result, ""))
}

fn make_struct(_: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let names = arguments.iter().enumerate().map(|(index, argument)| match &argument.expr {
        _ if argument.alias_of.is_some() => argument.name.clone(),
        datafusion::logical_expr::Expr::Column(_) => argument.name.clone(),
        datafusion::logical_expr::Expr::ScalarFunction(call) if call.func.name() == "get_field" => {
            argument.name.rsplit('.').next().unwrap_or_default().to_owned()
        }
        _ => format!("col{}", index + 1),
    });
    let names = names.collect();
    Ok(structure(names, arguments))
}

fn named_struct(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for (index, argument) in arguments.into_iter().enumerate() {
        if index % 2 == 0 {
            names.push(constant_text(&argument, "a field's name", context)?);
        } else {
            values.push(argument);
        }
    }
    if names.len() != values.len() {
        return Err(Error::invalid("named_struct takes names and values in turn")
            .class("WRONG_NUM_ARGS.WITHOUT_SUGGESTION")
            .at_if_unplaced(context.text.place(context.at)));
    }
    Ok(structure(names, values))
}

/// A struct of these fields.
pub fn structure(names: Vec<String>, values: Vec<Typed>) -> Typed {
    let fields = names.into_iter().zip(&values).map(|(name, value)| Field::new(name, value.data_type.clone(), true));
    let fields: Fields = fields.collect();
    let result = DataType::Struct(fields.clone());
    let arguments = values.into_iter().map(|value| value.expr).collect();
    let expr = Native::call("struct", format!("{result}"), result.clone(), arguments, move |arguments, _| {
        Ok(Arc::new(StructArray::try_new(fields.clone(), arguments.to_vec(), None)?) as ArrayRef)
    });
    Typed::new(expr, result, "")
}

fn array(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let (arguments, common) = to_common(arguments, context)?;
    let (width, result) = (arguments.len(), types::array_of(common.clone()));
    let expressions = arguments.into_iter().map(|argument| argument.expr).collect();
    let field = Arc::new(Field::new_list_field(common.clone(), true));
    let expr =
        Native::call("array", format!("{common} {width}"), result.clone(), expressions, move |arguments, rows| {
            let references: Vec<&dyn Array> = arguments.iter().map(|column| &**column).collect();
            let values = match references.is_empty() {
                true => arrow::array::new_empty_array(&common),
                false => {
                    let order: Vec<(usize, usize)> =
                        (0..rows).flat_map(|row| (0..width).map(move |column| (column, row))).collect();
                    compute::interleave(&references, &order)?
                }
            };
            let offsets = arrow::buffer::OffsetBuffer::from_lengths(std::iter::repeat_n(width, rows));
            Ok(Arc::new(ListArray::try_new(field.clone(), offsets, values, None)?) as ArrayRef)
        });
    Ok(Typed::new(expr, result, ""))
}

fn size(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let argument = arguments.remove(0);
    let argument = match argument.data_type {
        DataType::Null => argument.widened(&types::array_of(DataType::Null)),
        _ => argument,
    };
    if !matches!(argument.data_type, DataType::List(_) | DataType::Map(..)) {
        return Err(context.wrong_type("an ARRAY or MAP", &argument.data_type));
    }
    // without ANSI rules NULL has the size -1
    let of_null = if context.session.settings.ansi() { None } else { Some(-1) };
    let parameters = format!("{of_null:?}");
    let expr = Native::call("size", parameters, DataType::Int32, vec![argument.expr], move |arguments, _| {
        let lengths: Int32Array = match arguments[0].data_type() {
            DataType::Map(..) => {
                let map = arguments[0].as_map();
                (0..map.len())
                    .map(|row| if map.is_valid(row) { Some(map.value_length(row)) } else { of_null })
                    .collect()
            }
            _ => {
                let list = arguments[0].as_list::<i32>();
                (0..list.len())
                    .map(|row| if list.is_valid(row) { Some(list.value_length(row)) } else { of_null })
                    .collect()
            }
        };
        Ok(Arc::new(lengths) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int32, ""))
}
/// A map as the array of its entries, which has the same hash.
pub fn entries(map: Typed) -> Typed {
    let element = match &map.data_type {
        DataType::Map(entries, _) => entries.data_type().clone(),
        _ => DataType::Null,
    };
    let (parameters, result) = (types::name(&map.data_type), types::array_of(element));
    let expr = Native::call("map_as_entries", parameters, result.clone(), vec![map.expr], |arguments, _| {
        let map = arguments[0].as_map();
        let (entries, nulls) = (Arc::new(map.entries().clone()), map.nulls().cloned());
        let field = Arc::new(Field::new_list_field(entries.data_type().clone(), true));
        Ok(Arc::new(ListArray::try_new(field, map.offsets().clone(), entries, nulls)?))
    });
    Typed::new(expr, result, map.name)
}
