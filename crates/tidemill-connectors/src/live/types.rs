//! Types of results: what Arrow and DataFusion have, as types of Postgres.

use crate::postgres::types::Column;
use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, SchemaRef, TimeUnit};
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::FieldInfo;
use std::sync::Arc;
use tidemill_core::Result;

/// Greatest precision of Arrow's decimals of 128 bits.
const PRECISION_MAX: u8 = 38;

/// How the values of a column are written to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wire {
    /// Number of an object of the catalogue.
    Oid,
    /// As the sink `postgres` writes them.
    Of(Column),
}

/// A column of a result.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) wire: Wire,
    /// The Arrow type its values are brought to before they are written.
    kind: DataType,
}

impl Shown {
    /// For a column of type `of`.
    ///
    /// # Errors
    /// A type that Postgres has nothing for.
    pub(super) fn new(name: &str, of: &DataType) -> Result<Self> {
        let kind = plain(of);
        let wire = match kind {
            DataType::UInt32 => Wire::Oid,
            _ => Wire::Of(Column::new(name, &kind)?),
        };
        Ok(Shown { name: name.to_owned(), wire, kind })
    }

    /// The values in the type they are written from.
    ///
    /// # Errors
    /// A number that is too large for it.
    pub(super) fn values(&self, array: &ArrayRef) -> Result<ArrayRef> {
        if array.data_type() == &self.kind { Ok(array.clone()) } else { Ok(cast(array, &self.kind)?) }
    }

    /// What a client is told of it.
    pub(super) fn info(&self, at: usize, format: &Format) -> FieldInfo {
        let (of, size) = match &self.wire {
            Wire::Oid => (Type::OID, 4),
            Wire::Of(column) => (of(column), size(column)),
        };
        let modifier = match self.wire {
            Wire::Of(Column::Numeric(precision, scale)) => (i32::from(precision) << 16 | i32::from(scale)) + 4,
            _ => -1,
        };
        FieldInfo::new(self.name.clone(), None, None, of, format.format_for(at))
            .with_type_size(size)
            .with_type_modifier(modifier)
    }
}

/// The columns of a table.
///
/// # Errors
/// A type that Postgres has nothing for; names the column.
pub(super) fn shown(schema: &SchemaRef) -> Result<Vec<Shown>> {
    schema.fields().iter().map(|field| Shown::new(field.name(), field.data_type())).collect()
}

/// The type of Postgres.
pub(super) fn of(column: &Column) -> Type {
    match column {
        Column::Array(item) => of_array(item),
        Column::Json => Type::JSONB,
        other => Type::from_oid(other.oid()).unwrap_or(Type::TEXT),
    }
}

fn of_array(item: &Column) -> Type {
    match of(item) {
        Type::BOOL => Type::BOOL_ARRAY,
        Type::BYTEA => Type::BYTEA_ARRAY,
        Type::INT2 => Type::INT2_ARRAY,
        Type::INT4 => Type::INT4_ARRAY,
        Type::INT8 => Type::INT8_ARRAY,
        Type::FLOAT4 => Type::FLOAT4_ARRAY,
        Type::FLOAT8 => Type::FLOAT8_ARRAY,
        Type::NUMERIC => Type::NUMERIC_ARRAY,
        Type::DATE => Type::DATE_ARRAY,
        Type::TIMESTAMP => Type::TIMESTAMP_ARRAY,
        Type::TIMESTAMPTZ => Type::TIMESTAMPTZ_ARRAY,
        Type::INTERVAL => Type::INTERVAL_ARRAY,
        _ => Type::TEXT_ARRAY,
    }
}

/// Bytes of a value, or -1. Source: PostgreSQL 15, pg_type.dat, `typlen`.
pub(super) fn size(column: &Column) -> i16 {
    match column {
        Column::Boolean => 1,
        Column::Int8 | Column::Int16 => 2,
        Column::Int32 | Column::Float32 | Column::Date => 4,
        Column::Int64 | Column::Float64 | Column::Timestamp | Column::TimestampTz => 8,
        Column::Duration | Column::Months => 16,
        _ => -1,
    }
}

/// The type of a parameter that is compared with, or used as, a value of type `kind`.
pub(super) fn parameter(kind: &DataType) -> Type {
    match Shown::new("", kind) {
        Ok(Shown { wire: Wire::Of(column), .. }) => of(&column),
        Ok(Shown { wire: Wire::Oid, .. }) => Type::OID,
        Err(_) => Type::TEXT,
    }
}

/// The type among `tidemill_core::types` with the same values; `UInt32` stays, which is the catalogue's.
fn plain(kind: &DataType) -> DataType {
    match kind {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => DataType::Decimal128(*precision, (*scale).max(0)),
        DataType::Decimal256(precision, scale) => {
            DataType::Decimal128((*precision).min(PRECISION_MAX), (*scale).max(0))
        }
        DataType::LargeUtf8 | DataType::Utf8View | DataType::Time32(_) | DataType::Time64(_) => DataType::Utf8,
        DataType::Interval(IntervalUnit::DayTime | IntervalUnit::MonthDayNano) => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Duration(_) => DataType::Duration(TimeUnit::Microsecond),
        DataType::Dictionary(_, values) => plain(values),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(field(item))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect::<Fields>()),
        other => other.clone(),
    }
}

fn field(field: &Arc<Field>) -> Arc<Field> {
    let kind = match plain(field.data_type()) {
        // inside of a list or struct there are no object numbers
        DataType::UInt32 => DataType::Int64,
        kind => kind,
    };
    Arc::new(Field::new(field.name(), kind, field.is_nullable()))
}
