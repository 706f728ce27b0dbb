//! CSV inside columns: `from_csv`, `to_csv`, `schema_of_csv`.
//! Source: Spark documentation, "CSV Files"; observed in the golden cases `fun_csv*`.

mod cells;
mod types;

use super::datum::{self, Datum};
use super::json::options::Options;
use super::json::schema;
use super::native::Native;
use super::row;
use super::{CallContext, Entry, as_text, constant};
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Fields};
use cells::Dialect;
use datafusion::common::ScalarValue;
use tidemill_core::{Error, Kind, Result, types as names};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["from_csv"], arguments: (2, 3), build: from_csv },
    Entry { names: &["to_csv"], arguments: (1, 2), build: to_csv },
    Entry { names: &["schema_of_csv"], arguments: (1, 2), build: schema_of_csv },
];

/// A line to a struct. A cell that does not fit is NULL, and so are missing ones.
fn from_csv(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let options = Options::of(arguments.get(2), context)?;
    let dialect = Dialect::of(arguments.get(2), context)?;
    let of = schema::of_argument(&arguments[1], context)?;
    let DataType::Struct(fields) = of.clone() else {
        return Err(Error::invalid(format!("the schema of from_csv is a struct, not {}", names::name(&of)))
            .class("INVALID_SCHEMA.NON_STRUCT_TYPE")
            .at_if_unplaced(context.text.place(context.at)));
    };
    let text = as_text(arguments.remove(0), context)?;
    let name = format!("from_csv({})", text.name);
    let corrupt = fields.iter().position(|field| *field.name() == options.corrupt_record);
    let rest = fields.iter().enumerate().filter(|(at, _)| Some(*at) != corrupt).map(|(_, field)| field.clone());
    let inner: Fields = rest.collect();
    let parameters = format!("{of} {}", options.shown);
    let result = of.clone();
    let expr = Native::call("from_csv", parameters, of.clone(), vec![text.expr], move |arguments, _| {
        if let Some(field) = inner.iter().find(|field| !types::is_plain(field.data_type())) {
            return Err(Error::new(
                Kind::Data,
                format!("from_csv: {} is no type of a cell", names::name(field.data_type())),
            )
            .class("UNSUPPORTED_DATATYPE"));
        }
        let values = arguments[0].as_string::<i32>().iter().map(|line| match line {
            None => Ok(Datum::Null),
            Some(line) => record(line, &inner, corrupt, &dialect, &options),
        });
        datum::column(&of, values.collect::<Result<Vec<_>>>()?)
    });
    Ok(Typed::new(expr, result, name))
}

fn record(line: &str, fields: &Fields, corrupt: Option<usize>, dialect: &Dialect, options: &Options) -> Result<Datum> {
    let cells = dialect.split(line);
    let mut bad = cells.len() != fields.len() && !line.is_empty();
    let mut given = cells.iter();
    let mut row: Vec<Datum> = Vec::with_capacity(fields.len() + 1);
    for field in fields {
        let Some(Some(cell)) = given.next() else {
            row.push(Datum::Null);
            continue;
        };
        let value = types::read(cell, field.data_type(), options);
        bad |= value.is_none();
        row.push(value.unwrap_or_default());
    }
    if bad && options.fail_fast {
        let shown: String = line.chars().take(100).collect();
        return Err(Error::new(Kind::Data, format!("the line '{shown}' cannot be read as the schema says"))
            .class("MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION")
            .help("mode PERMISSIVE gives NULL instead"));
    }
    if let Some(position) = corrupt {
        let kept = if bad { Datum::Text(line.to_owned()) } else { Datum::Null };
        row.insert(position.min(row.len()), kept);
    }
    Ok(Datum::Struct(row))
}

fn to_csv(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let options = Options::of(arguments.get(1), context)?;
    let dialect = Dialect::of(arguments.get(1), context)?;
    let value = arguments.remove(0);
    if !matches!(value.data_type, DataType::Struct(_)) {
        let shown = names::name(&value.data_type).to_uppercase();
        let message = format!("to_csv takes a struct, not {shown}");
        return Err(refuse::type_mismatch("UNSUPPORTED_INPUT_TYPE", message, context.text, context.at));
    }
    let name = format!("to_csv({})", value.name);
    let parameters = options.shown.clone();
    Ok(row::strict_with(context, parameters, DataType::Utf8, vec![value], move |row| {
        let (column, at) = row.column(0);
        let structs = column.as_struct();
        let cells =
            structs.columns().iter().map(|column| match column.is_null(at) || *column.data_type() == DataType::Null {
                true => Ok(dialect.null.clone()),
                false => types::print(column, at, &options).map(|text| dialect.quoted(&text)),
            });
        Ok(cells.collect::<Result<Vec<_>>>()?.join(&dialect.separator).into())
    })
    .named(name))
}

fn schema_of_csv(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let dialect = Dialect::of(arguments.get(1), context)?;
    let options = Options::of(arguments.get(1), context)?;
    let name = format!("schema_of_csv({})", arguments[0].name);
    let Some(line) = constant::text(&arguments[0], "csv", context)? else {
        let message = "schema_of_csv: the text must not be NULL";
        return Err(refuse::type_mismatch("UNEXPECTED_NULL", message, context.text, context.at));
    };
    let cells = dialect.split(&line);
    let fields = cells.iter().enumerate().map(|(index, cell)| {
        let of = cell.as_deref().map_or(DataType::Utf8, |cell| types::infer(cell, &options));
        format!("_c{index}: {}", names::name(&of).to_uppercase())
    });
    let shown = format!("STRUCT<{}>", fields.collect::<Vec<_>>().join(", "));
    Ok(Typed::literal(ScalarValue::Utf8(Some(shown)), name))
}
