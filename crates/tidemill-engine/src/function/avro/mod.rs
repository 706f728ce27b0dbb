//! Avro inside columns: `from_avro` and `to_avro` over bytes without a container, by a schema in JSON.
//! Source: Avro specification 1.12, "Binary Encoding"; Spark documentation, "Apache Avro Data Source".

mod decode;
mod encode;
mod schema;

use super::datum::{self, Datum};
use super::native::Native;
use super::{CallContext, Entry, constant};
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray};
use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use schema::Schema;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["from_avro"], arguments: (2, 3), build: from_avro },
    Entry { names: &["to_avro"], arguments: (1, 2), build: to_avro },
];

fn schema_of(argument: &Typed, context: &CallContext<'_>) -> Result<Schema> {
    let text = constant::text(argument, "jsonFormatSchema", context)?.unwrap_or_default();
    Schema::parse(&text).map_err(|error| error.at_if_unplaced(context.text.place(context.at)))
}

/// Bytes to a value. In mode FAILFAST, the default, bytes that do not fit fail the query; in mode PERMISSIVE
/// they are NULL, a record of NULLs for a record.
fn from_avro(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let options = arguments.get(2).map(|given| constant::options(given, context)).transpose()?.unwrap_or_default();
    if options.contains_key("avroschema") {
        return Err(context.not_yet("the option avroSchema of from_avro: a reader's schema beside the writer's"));
    }
    let mode = options.get("mode").map_or("FAILFAST".to_owned(), |mode| mode.to_uppercase());
    if !matches!(mode.as_str(), "FAILFAST" | "PERMISSIVE") {
        return Err(Error::invalid(format!("from_avro has the modes FAILFAST and PERMISSIVE, not {mode}"))
            .class("PARSE_MODE_UNSUPPORTED")
            .at_if_unplaced(context.text.place(context.at)));
    }
    let schema = schema_of(&arguments[1], context)?;
    let bytes = arguments.remove(0);
    if !matches!(bytes.data_type, DataType::Binary | DataType::Null) {
        return Err(context.wrong_type("BINARY", &bytes.data_type));
    }
    let bytes = bytes.widened(&DataType::Binary);
    let result = schema.data_type()?;
    let name = format!("from_avro({})", bytes.name);
    let of = result.clone();
    let parameters = format!("{schema:?} {mode}");
    let expr = Native::call("from_avro", parameters, result.clone(), vec![bytes.expr], move |arguments, _| {
        let values = arguments[0].as_binary::<i32>().iter().map(|bytes| {
            let Some(bytes) = bytes else { return Ok(Datum::Null) };
            match decode::value(&schema, bytes) {
                Some(value) => Ok(value),
                None if mode == "PERMISSIVE" => Ok(match &of {
                    DataType::Struct(fields) => Datum::Struct(vec![Datum::Null; fields.len()]),
                    _ => Datum::Null,
                }),
                None => Err(Error::new(Kind::Data, "from_avro: bytes that do not fit the schema")
                    .class("MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION")
                    .help("map('mode', 'PERMISSIVE') gives NULL instead")),
            }
        });
        datum::column(&of, values.collect::<Result<Vec<_>>>()?)
    });
    Ok(Typed::new(expr, result, name))
}

/// A value to bytes, by the schema given or the one Spark makes of its type.
fn to_avro(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let given = arguments.get(1).filter(|given| given.as_text().is_none_or(|text| !text.is_empty()));
    let schema = match given {
        Some(given) => schema_of(given, context)?,
        None => {
            let never_null = matches!(&arguments[0].expr, Expr::ScalarFunction(call) if call.func.name() == "struct");
            Schema::of_type(&arguments[0].data_type, !never_null)
                .ok_or_else(|| context.wrong_type("a type Avro has", &arguments[0].data_type))?
        }
    };
    let value = arguments.remove(0);
    let name = format!("to_avro({})", value.name);
    let parameters = format!("{schema:?}");
    let expr = Native::call("to_avro", parameters, DataType::Binary, vec![value.expr], move |arguments, rows| {
        let nullable = schema.takes_null();
        let values = (0..rows).map(|row| {
            if arguments[0].is_null(row) && !nullable {
                return Ok(None);
            }
            let mut out = Vec::new();
            encode::value(&schema, &arguments[0], row, &mut out)?;
            Ok(Some(out))
        });
        let values = values.collect::<Result<Vec<Option<Vec<u8>>>>>()?;
        Ok(Arc::new(BinaryArray::from_iter(values)) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Binary, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;

    const TEXT: &str = r#"{"type":"record","name":"r","fields":[
        {"name":"a","type":["null","int"]},
        {"name":"b","type":"string"},
        {"name":"c","type":{"type":"array","items":"long"}},
        {"name":"d","type":{"type":"map","values":"double"}},
        {"name":"e","type":{"type":"enum","name":"en","symbols":["X","Y"]}},
        {"name":"f","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"g","type":{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}}]}"#;

    #[test]
    fn values_go_there_and_back() {
        let row = Datum::Struct(vec![
            Datum::Whole(7),
            Datum::Text("é".into()),
            Datum::List(vec![Datum::Whole(-1), Datum::Whole(300)]),
            Datum::Map(vec![(Datum::Text("k".into()), Datum::Real(1.5))]),
            Datum::Text("Y".into()),
            Datum::Whole(1_700_000_000_000_000),
            Datum::Whole(-12_345),
        ]);
        let there = || -> Result<Option<Datum>> {
            let schema = Schema::parse(TEXT)?;
            let array = datum::column(&schema.data_type()?, vec![row.clone()])?;
            let mut bytes = vec![];
            encode::value(&schema, &array, 0, &mut bytes)?;
            assert_eq!(&bytes[..5], [2, 14, 4, 0xC3, 0xA9]);
            assert!(decode::value(&schema, &bytes[..bytes.len() - 1]).is_none());
            Ok(decode::value(&schema, &bytes))
        };
        assert_eq!(there().ok().flatten(), Some(row.clone()));
    }

    #[test]
    fn schemas_become_types() {
        let of = |text: &str| Schema::parse(text).and_then(|schema| schema.data_type()).ok();
        assert_eq!(of("\"int\""), Some(DataType::Int32));
        assert_eq!(of(r#"["int","long"]"#), Some(DataType::Int64));
        let members = vec![Field::new("member0", DataType::Int32, true), Field::new("member1", DataType::Utf8, true)];
        assert_eq!(of(r#"["int","string"]"#), Some(DataType::Struct(members.into())));
        let recursive = r#"{"type":"record","name":"n","fields":[{"name":"next","type":["null","n"]}]}"#;
        assert_eq!(of(recursive), None);
        assert_eq!(of("{"), None);
    }
}
