//! Columns of a table and of rows: which types Delta has, and whether rows fit.

use super::table::Layout;
use arrow::array::{Array, ArrayRef, AsArray, StructArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use deltalake::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake::kernel::{Protocol, StructType};
use std::sync::Arc;
use tidemill_core::nearest::nearest;
use tidemill_core::types::{name, timestamp, timestamp_ntz};
use tidemill_core::{Error, Kind, Result, ResultExt};

/// The columns as Delta stores them, all nullable.
///
/// # Errors
/// A type that Delta has not.
pub(crate) fn for_table(schema: &SchemaRef) -> Result<SchemaRef> {
    let fields = schema.fields().iter().map(|field| stored_field(field, field.name())).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

fn stored_field(field: &FieldRef, column: &str) -> Result<FieldRef> {
    Ok(Arc::new(Field::new(field.name(), stored(field.data_type(), column)?, true)))
}

/// The type that Delta stores values of this type as.
fn stored(of: &DataType, column: &str) -> Result<DataType> {
    Ok(match of {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32
        | DataType::Decimal128(..) => of.clone(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Timestamp(_, Some(_)) => timestamp(),
        DataType::Timestamp(_, None) => timestamp_ntz(),
        DataType::List(item) | DataType::LargeList(item) => {
            DataType::List(Arc::new(Field::new("element", stored(item.data_type(), column)?, true)))
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| stored_field(field, column));
            DataType::Struct(fields.collect::<Result<Fields>>()?)
        }
        DataType::Map(entries, sorted) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                let key = Field::new("key", stored(pair[0].data_type(), column)?, false);
                let value = Field::new("value", stored(pair[1].data_type(), column)?, true);
                let entries = Field::new("key_value", DataType::Struct(Fields::from(vec![key, value])), false);
                DataType::Map(Arc::new(entries), *sorted)
            }
            _ => return Err(Error::bug(format!("column '{column}' is a map without key and value"))),
        },
        other => {
            return Err(Error::invalid(format!("column '{column}' is {}, which delta cannot store", name(other)))
                .help("cast it to a type that delta has, such as bigint or string"));
        }
    })
}

/// The library's form of a schema.
///
/// # Errors
/// A type that it does not know.
pub(crate) fn to_kernel(schema: &SchemaRef) -> Result<StructType> {
    schema.as_ref().try_into_kernel().context(Kind::Invalid, || "the columns cannot be stored in a delta table".into())
}

/// The columns of a table.
///
/// # Errors
/// A type that Arrow has not.
pub(crate) fn from_kernel(schema: &StructType) -> Result<SchemaRef> {
    let arrow: Schema =
        schema.try_into_arrow().context(Kind::Invalid, || "the delta table has columns of an unknown type".into())?;
    Ok(Arc::new(arrow))
}

/// What a reader and a writer of a table with these columns must be able to do.
///
/// # Errors
/// None that a caller can cause.
pub(crate) fn protocol(schema: &Schema) -> Result<Protocol> {
    let has_ntz = schema.fields().iter().any(|field| contains_ntz(field.data_type()));
    let protocol = match has_ntz {
        false => serde_json::json!({"minReaderVersion": 1, "minWriterVersion": 2}),
        true => serde_json::json!({
            "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": ["timestampNtz"], "writerFeatures": ["appendOnly", "invariants", "timestampNtz"],
        }),
    };
    serde_json::from_value(protocol).context(Kind::Bug, || "the library refuses our protocol".into())
}

fn contains_ntz(of: &DataType) -> bool {
    match of {
        DataType::Timestamp(TimeUnit::Microsecond, None) => true,
        DataType::List(item) | DataType::Map(item, _) => contains_ntz(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| contains_ntz(field.data_type())),
        _ => false,
    }
}

/// The table's spelling of a column's name.
///
/// # Errors
/// There is no such column.
pub(crate) fn find(schema: &Schema, wanted: &str) -> Result<String> {
    let names = || schema.fields().iter().map(|field| field.name().as_str());
    let found = names().find(|name| name.eq_ignore_ascii_case(wanted)).map(str::to_owned);
    found.ok_or_else(|| {
        let error = Error::invalid(format!("'partition_by' names '{wanted}', which is no column"));
        match nearest(wanted, names()) {
            Some(near) => error.help(format!("did you mean '{near}'?")),
            None => error.help(format!("columns: {}", names().collect::<Vec<_>>().join(", "))),
        }
    })
}

/// Refuses rows whose columns do not fit the table.
///
/// # Errors
/// A column that the table has not, or has as another type.
pub(crate) fn check(layout: &Layout, rows: &SchemaRef, place: &str) -> Result<()> {
    for (field, given) in for_table(rows)?.fields().iter().zip(rows.fields()) {
        let own = layout.schema.fields().iter().find(|own| own.name().eq_ignore_ascii_case(field.name()));
        let Some(own) = own else {
            return Err(Error::invalid(format!("the delta table at {place} has no column '{}'", field.name()))
                .help("select the table's columns only, or say merge_schema = 'true' to add the column to the table"));
        };
        if !fits(own.data_type(), field.data_type()) {
            return Err(Error::invalid(format!(
                "column '{}' is {} in the delta table at {place} and {} in the rows",
                own.name(),
                name(own.data_type()),
                name(given.data_type())
            ))
            .class("DELTA_FAILED_TO_MERGE_FIELDS"));
        }
    }
    Ok(())
}

/// True when values of type `given` can be stored in a column of type `own` without loss: the same type, or
/// a narrower number, as Spark casts them on writing. The fields of structs may be fewer.
pub(crate) fn fits(own: &DataType, given: &DataType) -> bool {
    use DataType::{Float32, Float64, Int8, Int16, Int32, Int64, Struct};
    match (own, given) {
        (Int16, Int8) | (Int32, Int8 | Int16) | (Int64, Int8 | Int16 | Int32) | (Float64, Float32) => true,
        (Struct(own), Struct(given)) => given.iter().all(|given| {
            let found = own.iter().find(|own| own.name().eq_ignore_ascii_case(given.name()));
            found.is_some_and(|own| fits(own.data_type(), given.data_type()))
        }),
        _ => same(own, given),
    }
}

/// Equal but for the names inside lists and maps and for what may be null.
fn same(left: &DataType, right: &DataType) -> bool {
    match (left, right) {
        (DataType::List(left), DataType::List(right)) => same(left.data_type(), right.data_type()),
        (DataType::Map(left, _), DataType::Map(right, _)) => match (left.data_type(), right.data_type()) {
            (DataType::Struct(left), DataType::Struct(right)) => {
                left.iter().zip(right).all(|(left, right)| same(left.data_type(), right.data_type()))
            }
            _ => false,
        },
        (DataType::Struct(left), DataType::Struct(right)) => {
            let pairs = left.iter().zip(right);
            left.len() == right.len()
                && pairs.clone().all(|(left, right)| left.name() == right.name())
                && pairs.clone().all(|(left, right)| same(left.data_type(), right.data_type()))
        }
        _ => left == right,
    }
}

/// The rows with exactly the table's columns; absent ones are null.
///
/// # Errors
/// [`Kind::Data`] for a null where the table allows none.
pub(crate) fn fit(layout: &Layout, rows: &RecordBatch, place: &str) -> Result<RecordBatch> {
    let given = rows.schema();
    let columns = layout.schema.fields().iter().map(|field| -> Result<ArrayRef> {
        let at = given.fields().iter().position(|given| given.name().eq_ignore_ascii_case(field.name()));
        let column = match at {
            Some(at) if rows.column(at).data_type() == field.data_type() => rows.column(at).clone(),
            Some(at) => fit_column(rows.column(at), field.data_type())?,
            None => new_null_array(field.data_type(), rows.num_rows()),
        };
        if !field.is_nullable() && column.null_count() > 0 {
            let name = field.name();
            return Err(Error::new(
                Kind::Data,
                format!("column '{name}' of the delta table at {place} cannot be null"),
            )
            .class("DELTA_NOT_NULL_CONSTRAINT_VIOLATED"));
        }
        Ok(column)
    });
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(layout.schema.clone(), columns.collect::<Result<Vec<_>>>()?, &options)
        .context(Kind::Bug, || "rows do not fit the table they were made for".into())
}

/// A column as the table stores it; fields that a struct has not are null.
fn fit_column(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    let (DataType::Struct(fields), Some(given)) = (wanted, column.as_struct_opt()) else {
        return Ok(if column.data_type() == wanted { column.clone() } else { cast(column, wanted)? });
    };
    let columns = fields.iter().map(|field| -> Result<ArrayRef> {
        let at = given.fields().iter().position(|given| given.name().eq_ignore_ascii_case(field.name()));
        match at {
            Some(at) => fit_column(given.column(at), field.data_type()),
            None => Ok(new_null_array(field.data_type(), given.len())),
        }
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let rows = StructArray::try_new_with_length(fields.clone(), columns, given.nulls().cloned(), given.len());
    Ok(Arc::new(rows?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_core::types::parse_schema;

    fn layout(ddl: &str) -> Layout {
        let schema = for_table(&Arc::new(parse_schema(ddl).unwrap())).unwrap();
        Layout { schema: from_kernel(&to_kernel(&schema).unwrap()).unwrap(), partition_by: Vec::new() }
    }

    #[test]
    fn every_type_survives_the_way_into_the_library_and_back() {
        let ddl = "a boolean, b tinyint, c smallint, d int, e bigint, f float, g double, h decimal(12,2), i string, \
                   j binary, k date, l timestamp, m timestamp_ntz, n array<int>, o map<string,double>, \
                   p struct<x:int,y:array<string>>";
        let rows = Arc::new(parse_schema(ddl).unwrap());
        check(&layout(ddl), &rows, "t").unwrap();
        let empty = RecordBatch::new_empty(rows);
        assert_eq!(fit(&layout(ddl), &empty, "t").unwrap().schema(), layout(ddl).schema);
    }

    #[test]
    fn a_misfit_names_the_column_and_both_types() {
        let table = layout("id bigint, at timestamp");
        let rows = |ddl: &str| Arc::new(parse_schema(ddl).unwrap());
        let error = check(&table, &rows("id string"), "t").unwrap_err();
        assert_eq!(error.to_string(), "column 'id' is bigint in the delta table at t and string in the rows");
        assert!(check(&table, &rows("id bigint, x int"), "t").unwrap_err().to_string().contains("has no column 'x'"));
        assert!(check(&table, &rows("AT timestamp"), "t").is_ok(), "columns may be absent, and case does not count");
        let error = for_table(&rows("gap interval day to second")).unwrap_err();
        assert!(error.to_string().contains("'gap' is interval day to second"), "{error}");
    }
}
