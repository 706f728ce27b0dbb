//! Rows from Python: any Arrow data, with types the engine does not have turned into the ones it has.

use arrow::array::RecordBatchOptions;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use pyo3_arrow::PyTable;
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

/// Rows with the engine's types.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Columns.
    pub schema: SchemaRef,
    /// Rows; each batch has the columns of `schema`.
    pub batches: Vec<RecordBatch>,
}

impl Rows {
    /// Rows of a Python table; columns whose types the engine has are not copied.
    ///
    /// # Errors
    /// A type without a Spark type, a value that its Spark type cannot hold.
    pub fn from_python(table: PyTable) -> Result<Rows> {
        let (batches, schema) = table.into_inner();
        let fields = schema.fields().iter().map(spark_field).collect::<Result<Vec<_>>>()?;
        let target: SchemaRef = Arc::new(Schema::new(fields));
        let batches = batches.into_iter().map(|batch| converted(&batch, &target)).collect::<Result<_>>()?;
        Ok(Rows { schema: target, batches })
    }
}

fn converted(batch: &RecordBatch, target: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(target.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() {
            return Ok(column.clone());
        }
        cast(column, field.data_type()).map_err(|error| {
            let wanted = types::name(field.data_type());
            Error::invalid(format!("the column '{}' cannot be read as {wanted}", field.name())).caused_by(error)
        })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(target.clone(), columns, &options)?)
}

/// Name, type and nullability of each column.
///
/// # Errors
/// A type without a Spark type.
pub fn spark_columns(schema: &Schema) -> Result<Vec<(String, DataType, bool)>> {
    let columns = schema.fields().iter().map(|field| {
        let field = spark_field(field)?;
        Ok((field.name().clone(), field.data_type().clone(), field.is_nullable()))
    });
    columns.collect()
}

fn spark_field(field: &FieldRef) -> Result<FieldRef> {
    let data_type = spark_type(field.data_type()).ok_or_else(|| {
        Error::invalid(format!(
            "the column '{}' has the Arrow type {}, which no Spark type is",
            field.name(),
            field.data_type()
        ))
        .class("UNSUPPORTED_DATATYPE")
    })?;
    Ok(Arc::new(Field::new(field.name(), data_type, field.is_nullable())))
}

/// The engine's type for an Arrow type; `None` when there is none.
fn spark_type(of: &DataType) -> Option<DataType> {
    let inner = |field: &FieldRef| {
        Some(Arc::new(Field::new(field.name(), spark_type(field.data_type())?, field.is_nullable())))
    };
    Some(match of {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, Some(_)) => types::timestamp(),
        DataType::Timestamp(_, None) => types::timestamp_ntz(),
        DataType::Duration(_) => DataType::Duration(TimeUnit::Microsecond),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Decimal256(precision, scale) if *precision <= 38 => DataType::Decimal128(*precision, *scale),
        DataType::Dictionary(_, values) => spark_type(values)?,
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            types::array_of(spark_type(field.data_type())?)
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect::<Option<Fields>>()?),
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else { return None };
            types::map_of(spark_type(fields[0].data_type())?, spark_type(fields[1].data_type())?)
        }
        known if is_known(known) => known.clone(),
        _ => return None,
    })
}

fn is_known(of: &DataType) -> bool {
    matches!(
        of,
        DataType::Null
            | DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal128(..)
            | DataType::Utf8
            | DataType::Binary
            | DataType::Date32
            | DataType::Interval(arrow::datatypes::IntervalUnit::YearMonth)
    )
}
