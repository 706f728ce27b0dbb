//! JSON inside columns: `from_json`, `to_json`, `schema_of_json`, paths, and the fields of objects.

pub mod infer;
pub mod lexer;
pub mod options;
pub mod path;
pub mod print;
pub mod reader;
pub mod schema;
pub mod writer;

use super::datum::{self, Datum};
use super::native::Native;
use super::{CallContext, Entry, constant};
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::analysis::{coerce, refuse};
use arrow::array::{Array, ArrayRef, AsArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use lexer::{Lexer, Rules, Token};
use options::Options;
use path::Path;
use reader::Reader;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["from_json"], arguments: (2, 3), build: from_json },
    Entry { names: &["to_json"], arguments: (1, 2), build: to_json },
    Entry { names: &["schema_of_json"], arguments: (1, 2), build: schema_of_json },
    Entry { names: &["get_json_object"], arguments: (2, 2), build: get_json_object },
    Entry { names: &["json_array_length"], arguments: (1, 1), build: array_length },
    Entry { names: &["json_object_keys"], arguments: (1, 1), build: object_keys },
    Entry { names: &["__json_fields"], arguments: (2, super::MANY), build: json_fields },
];

/// A text argument; nothing else is taken for one.
fn only_text(argument: Typed, context: &CallContext<'_>) -> Result<Typed> {
    match argument.data_type {
        DataType::Utf8 => Ok(argument),
        DataType::Null => Ok(argument.widened(&DataType::Utf8)),
        ref other => Err(context.wrong_type("STRING", other)),
    }
}

fn from_json(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let options = Options::of(arguments.get(2), context)?;
    let of = schema::of_argument(&arguments[1], context)?;
    let text = only_text(arguments.remove(0), context)?;
    match &of {
        DataType::Struct(_) | DataType::List(_) => {}
        DataType::Map(entries, _) => match coerce::entry_types(entries) {
            Some((DataType::Utf8, _)) => {}
            _ => {
                let shown = types::name(&of).to_uppercase();
                return Err(mismatch(
                    context,
                    "INVALID_JSON_MAP_KEY_TYPE",
                    &format!("the keys of {shown} are no text"),
                ));
            }
        },
        other => return Err(no_container(context, other)),
    }
    let (inner, corrupt) = without_corrupt(&of, &options, context)?;
    let name = if matches!(of, DataType::Map(..)) { "entries".to_owned() } else { format!("from_json({})", text.name) };
    let (whole, shown) = (of.clone(), options.shown.clone());
    let expr = Native::call("from_json", format!("{of} {shown}"), of.clone(), vec![text.expr], move |arguments, _| {
        if !matches!(options.mode.as_str(), "PERMISSIVE" | "FAILFAST") && options.mode == "DROPMALFORMED" {
            return Err(Error::new(Kind::Data, "from_json cannot drop records: mode DROPMALFORMED does not fit")
                .class("PARSE_MODE_UNSUPPORTED")
                .help("use mode PERMISSIVE or FAILFAST"));
        }
        let reader = Reader { of: &inner, options: &options };
        let values = arguments[0].as_string::<i32>().iter().map(|text| match text {
            None => Ok(Datum::Null),
            Some(text) => reader::record(&reader, &whole, corrupt, text),
        });
        datum::column(&whole, values.collect::<Result<Vec<_>>>()?)
    });
    Ok(Typed::new(expr, of, name))
}

/// The schema without the column that keeps bad records, and where that stands.
fn without_corrupt(of: &DataType, options: &Options, context: &CallContext<'_>) -> Result<(DataType, Option<usize>)> {
    let DataType::Struct(fields) = of else { return Ok((of.clone(), None)) };
    let Some(position) = fields.iter().position(|field| *field.name() == options.corrupt_record) else {
        return Ok((of.clone(), None));
    };
    if *fields[position].data_type() != DataType::Utf8 {
        return Err(Error::invalid(format!(
            "the field {} for bad records must be of type STRING",
            options.corrupt_record
        ))
        .class("INVALID_CORRUPT_RECORD_TYPE")
        .at_if_unplaced(context.text.place(context.at)));
    }
    let rest = fields.iter().enumerate().filter(|(index, _)| *index != position).map(|(_, field)| field.clone());
    Ok((DataType::Struct(rest.collect()), Some(position)))
}

fn mismatch(context: &CallContext<'_>, class: &str, message: &str) -> Error {
    refuse::type_mismatch(class, format!("{}: {message}", context.name), context.text, context.at)
}

fn no_container(context: &CallContext<'_>, of: &DataType) -> Error {
    let shown = types::name(of).to_uppercase();
    mismatch(context, "INVALID_JSON_SCHEMA", &format!("the type {shown} is no struct, array or map"))
}

fn to_json(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let options = Options::of(arguments.get(1), context)?;
    let value = arguments.remove(0);
    if !matches!(value.data_type, DataType::Struct(_) | DataType::List(_) | DataType::Map(..)) {
        return Err(no_container(context, &value.data_type));
    }
    let name = format!("to_json({})", value.name);
    let shown = options.shown.clone();
    let expr = Native::call("to_json", shown, DataType::Utf8, vec![value.expr], move |arguments, rows| {
        let values = (0..rows).map(|row| {
            if arguments[0].is_null(row) {
                return Ok(None);
            }
            let mut out = writer::Writer::new(options.pretty);
            print::write(&arguments[0], row, &options, &mut out)?;
            Ok(Some(out.finish()))
        });
        Ok(Arc::new(values.collect::<Result<StringArray>>()?) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Utf8, name))
}

fn schema_of_json(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let options = Options::of(arguments.get(1), context)?;
    let name = format!("schema_of_json({})", arguments[0].name);
    let text = only_text(arguments[0].clone(), context)?;
    let Some(text) = constant::text(&text, "json", context)? else {
        return Err(mismatch(context, "UNEXPECTED_NULL", "the text must not be NULL"));
    };
    match infer::type_of(&text, &options) {
        Ok(found) => Ok(Typed::literal(ScalarValue::Utf8(Some(infer::ddl(&found))), name)),
        Err(lexer::Malformed) => {
            let shown: String = text.chars().take(100).collect();
            Err(Error::invalid(format!("'{shown}' is no JSON"))
                .class("MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION")
                .at_if_unplaced(context.text.place(context.at)))
        }
    }
}

fn get_json_object(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let path = only_text(arguments.remove(1), context)?;
    let text = only_text(arguments.remove(0), context)?;
    let expr = Native::call(context.name, "", DataType::Utf8, vec![text.expr, path.expr], |arguments, _| {
        let (texts, paths) = (arguments[0].as_string::<i32>(), arguments[1].as_string::<i32>());
        let mut known: Option<(&str, Option<Path>)> = None;
        let values = texts.iter().zip(paths.iter()).map(|(text, path)| {
            let (text, path) = (text?, path?);
            if known.as_ref().is_none_or(|(of, _)| *of != path) {
                known = Some((path, Path::parse(path)));
            }
            known.as_ref()?.1.as_ref()?.find(text)
        });
        Ok(Arc::new(values.collect::<StringArray>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Utf8, ""))
}

fn array_length(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let text = only_text(arguments.remove(0), context)?;
    let expr = Native::call(context.name, "", DataType::Int32, vec![text.expr], |arguments, _| {
        let values = arguments[0].as_string::<i32>().iter().map(|text| length_of(text?));
        Ok(Arc::new(values.collect::<Int32Array>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int32, ""))
}

fn length_of(text: &str) -> Option<i32> {
    let mut lexer = Lexer::new(text, Rules::default());
    if lexer.advance().ok()?? != Token::ArrayStart {
        return None;
    }
    let mut length = 0;
    while lexer.advance().ok()?? != Token::ArrayEnd {
        length += 1;
        lexer.skip_children().ok()?;
    }
    Some(length)
}

fn object_keys(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let text = only_text(arguments.remove(0), context)?;
    let result = types::array_of(DataType::Utf8);
    let of = result.clone();
    let expr = Native::call(context.name, "", result.clone(), vec![text.expr], move |arguments, _| {
        let keys = |text: Option<&str>| text.and_then(keys_of).map_or(Datum::Null, Datum::List);
        datum::column(&of, arguments[0].as_string::<i32>().iter().map(keys).collect())
    });
    Ok(Typed::new(expr, result, ""))
}

fn keys_of(text: &str) -> Option<Vec<Datum>> {
    let mut lexer = Lexer::new(text, Rules::default());
    if lexer.advance().ok()?? != Token::ObjectStart {
        return None;
    }
    let mut keys = vec![];
    while lexer.advance().ok()?? != Token::ObjectEnd {
        keys.push(Datum::Text(lexer.text().to_owned()));
        lexer.advance().ok()??;
        lexer.skip_children().ok()?;
    }
    Some(keys)
}

/// What `json_tuple` makes of a text: an array of one struct with the fields `c0`, `c1`, ...
fn json_fields(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let wrong = || mismatch(context, "NON_STRING_TYPE", "every argument must be text");
    let arguments: Vec<Typed> = arguments
        .into_iter()
        .map(|argument| only_text(argument, context).map_err(|_| wrong()))
        .collect::<Result<_>>()?;
    let count = arguments.len() - 1;
    let fields = (0..count).map(|index| Field::new(format!("c{index}"), DataType::Utf8, true)).collect();
    let result = types::array_of(DataType::Struct(fields));
    let of = result.clone();
    let list = arguments.into_iter().map(|argument| argument.expr).collect();
    let expr = Native::call("json_tuple", "", result.clone(), list, move |arguments, rows| {
        let columns: Vec<&StringArray> = arguments.iter().map(|column| column.as_string::<i32>()).collect();
        let values = (0..rows).map(|row| {
            let value = |column: &StringArray| column.is_valid(row).then(|| column.value(row).to_owned());
            let names: Vec<Option<String>> = columns[1..].iter().map(|column| value(column)).collect();
            let names: Vec<Option<&str>> = names.iter().map(Option::as_deref).collect();
            let found = match columns[0].is_valid(row) {
                true => path::fields(columns[0].value(row), &names),
                false => vec![None; names.len()],
            };
            let found = found.into_iter().map(|text| text.map_or(Datum::Null, Datum::Text));
            Datum::List(vec![Datum::Struct(found.collect())])
        });
        datum::column(&of, values.collect())
    });
    Ok(Typed::new(expr, result, ""))
}
