//! Which column type of Postgres an Arrow type becomes.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use tidemill_core::{Error, Result, types};

/// How the values of a column are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Column {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    /// Precision and digits after the point.
    Numeric(u8, u16),
    Text,
    Bytes,
    Date,
    TimestampTz,
    Timestamp,
    /// Microseconds.
    Duration,
    /// Months.
    Months,
    /// An array of values that are no arrays.
    Array(Box<Column>),
    /// Structs, maps and arrays of these, as JSON.
    Json,
}

impl Column {
    /// For column `name` of type `of`.
    ///
    /// # Errors
    /// A type that Postgres has nothing for; names the column.
    pub(crate) fn new(name: &str, of: &DataType) -> Result<Self> {
        Ok(match of {
            DataType::Boolean => Column::Boolean,
            DataType::Int8 => Column::Int8,
            DataType::Int16 => Column::Int16,
            DataType::Int32 => Column::Int32,
            DataType::Int64 => Column::Int64,
            DataType::Float32 => Column::Float32,
            DataType::Float64 => Column::Float64,
            DataType::Decimal128(precision, scale) if *scale >= 0 => {
                Column::Numeric(*precision, u16::from(scale.unsigned_abs()))
            }
            DataType::Utf8 | DataType::Null => Column::Text,
            DataType::Binary => Column::Bytes,
            DataType::Date32 => Column::Date,
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Column::TimestampTz,
            DataType::Timestamp(TimeUnit::Microsecond, None) => Column::Timestamp,
            DataType::Duration(TimeUnit::Microsecond) => Column::Duration,
            DataType::Interval(IntervalUnit::YearMonth) => Column::Months,
            DataType::List(item) => match Column::new(name, item.data_type())? {
                Column::Array(_) | Column::Json => Column::Json,
                item => Column::Array(Box::new(item)),
            },
            DataType::Struct(_) | DataType::Map(..) => Column::Json,
            other => {
                return Err(Error::invalid(format!(
                    "column '{name}' has type {}, which the sink 'postgres' cannot write",
                    types::name(other)
                )));
            }
        })
    }

    /// The type in SQL.
    pub(crate) fn sql(&self) -> String {
        match self {
            Column::Boolean => "boolean".into(),
            Column::Int8 | Column::Int16 => "smallint".into(),
            Column::Int32 => "integer".into(),
            Column::Int64 => "bigint".into(),
            Column::Float32 => "real".into(),
            Column::Float64 => "double precision".into(),
            Column::Numeric(precision, scale) => format!("numeric({precision},{scale})"),
            Column::Text => "text".into(),
            Column::Bytes => "bytea".into(),
            Column::Date => "date".into(),
            Column::TimestampTz => "timestamp with time zone".into(),
            Column::Timestamp => "timestamp without time zone".into(),
            Column::Duration | Column::Months => "interval".into(),
            Column::Array(item) => format!("{}[]", item.sql()),
            Column::Json => "jsonb".into(),
        }
    }

    /// Object id of the type, which arrays carry. Source: pg_type.dat.
    pub(crate) fn oid(&self) -> u32 {
        match self {
            Column::Boolean => 16,
            Column::Bytes => 17,
            Column::Int64 => 20,
            Column::Int8 | Column::Int16 => 21,
            Column::Int32 => 23,
            Column::Text => 25,
            Column::Float32 => 700,
            Column::Float64 => 701,
            Column::Date => 1082,
            Column::Timestamp => 1114,
            Column::TimestampTz => 1184,
            Column::Duration | Column::Months => 1186,
            Column::Numeric(..) => 1700,
            Column::Array(_) | Column::Json => 3802,
        }
    }
}
