//! Columns that grow value by value and can be cut back: what the decoders of text formats write
//! into. A bad record is cut off again, so it leaves no trace.
//!
//! Must not know any format. Positions are kept as `i32`, as Arrow does: a decoder must refuse a
//! chunk longer than [`CHUNK_BYTES_MAX`], since no column is longer than the bytes it came from.

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array, DurationMicrosecondArray,
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, IntervalYearMonthArray, ListArray,
    MapArray, NullArray, NullBufferBuilder, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Fields, IntervalUnit, TimeUnit};
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

/// Longest chunk a decoder takes, in bytes.
pub(crate) const CHUNK_BYTES_MAX: usize = i32::MAX as usize;

/// One growing column. `nulls` and `values` always have the same number of rows between records.
pub(crate) struct Column {
    pub nulls: NullBufferBuilder,
    pub values: Values,
}

/// The values of a [`Column`]; a NULL has some value too, so that rows line up.
pub(crate) enum Values {
    Void,
    Boolean(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    /// Unscaled values, with precision and scale.
    Decimal(Vec<i128>, u8, i8),
    /// Days since 1970-01-01.
    Date(Vec<i32>),
    /// Microseconds since 1970-01-01T00:00:00, in UTC.
    Timestamp(Vec<i64>),
    /// The same, of a wall clock without a zone.
    TimestampNtz(Vec<i64>),
    /// Microseconds.
    DayTime(Vec<i64>),
    /// Months.
    YearMonth(Vec<i32>),
    /// UTF-8.
    Text(Spans),
    Binary(Spans),
    Struct(Vec<Column>),
    List {
        ends: Vec<i32>,
        items: Box<Column>,
    },
    Map {
        ends: Vec<i32>,
        keys: Box<Column>,
        values: Box<Column>,
    },
}

/// Values of varying length, one after the other.
pub(crate) struct Spans {
    pub bytes: Vec<u8>,
    /// Begins with 0, then the end of each value.
    pub ends: Vec<i32>,
}

impl Spans {
    fn new(rows: usize) -> Self {
        let mut ends = Vec::with_capacity(rows + 1);
        ends.push(0);
        Spans { bytes: Vec::with_capacity(rows * 8), ends }
    }

    /// Adds a value.
    #[inline]
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.close();
    }

    /// Makes one value of what was added to `bytes` since the last.
    #[inline]
    pub fn close(&mut self) {
        self.ends.push(self.bytes.len() as i32);
    }

    /// Value number `index`.
    pub fn get(&self, index: usize) -> &[u8] {
        &self.bytes[self.ends[index] as usize..self.ends[index + 1] as usize]
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows + 1);
        self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }
}

impl Column {
    /// An empty column with room for about `rows` rows.
    ///
    /// # Errors
    /// A type outside `tidemill_core::types`.
    pub fn new(of: &DataType, rows: usize) -> Result<Column> {
        let nested = |of: &DataType| Column::new(of, rows).map(Box::new);
        let ends = || vec![0; 1];
        let values = match of {
            DataType::Null => Values::Void,
            DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(rows)),
            DataType::Int8 => Values::Int8(Vec::with_capacity(rows)),
            DataType::Int16 => Values::Int16(Vec::with_capacity(rows)),
            DataType::Int32 => Values::Int32(Vec::with_capacity(rows)),
            DataType::Int64 => Values::Int64(Vec::with_capacity(rows)),
            DataType::Float32 => Values::Float32(Vec::with_capacity(rows)),
            DataType::Float64 => Values::Float64(Vec::with_capacity(rows)),
            DataType::Decimal128(precision, scale) => Values::Decimal(Vec::with_capacity(rows), *precision, *scale),
            DataType::Date32 => Values::Date(Vec::with_capacity(rows)),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Values::Timestamp(Vec::with_capacity(rows)),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Values::TimestampNtz(Vec::with_capacity(rows)),
            DataType::Duration(TimeUnit::Microsecond) => Values::DayTime(Vec::with_capacity(rows)),
            DataType::Interval(IntervalUnit::YearMonth) => Values::YearMonth(Vec::with_capacity(rows)),
            DataType::Utf8 => Values::Text(Spans::new(rows)),
            DataType::Binary => Values::Binary(Spans::new(rows)),
            DataType::Struct(fields) => {
                Values::Struct(fields.iter().map(|field| Column::new(field.data_type(), rows)).collect::<Result<_>>()?)
            }
            DataType::List(item) => Values::List { ends: ends(), items: nested(item.data_type())? },
            DataType::Map(entries, _) => {
                let (key, value) = map_entry(entries.data_type())?;
                Values::Map { ends: ends(), keys: nested(key)?, values: nested(value)? }
            }
            other => return Err(Error::invalid(format!("columns of type {other} cannot be read"))),
        };
        Ok(Column { nulls: NullBufferBuilder::new(rows), values })
    }

    /// Number of rows.
    #[inline]
    pub fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Adds a NULL; below it, fields get one too.
    pub fn push_null(&mut self) {
        match &mut self.values {
            Values::Void => {}
            Values::Boolean(values) => values.append(false),
            Values::Int8(values) => values.push(0),
            Values::Int16(values) => values.push(0),
            Values::Int32(values) | Values::Date(values) | Values::YearMonth(values) => values.push(0),
            Values::Int64(values)
            | Values::Timestamp(values)
            | Values::TimestampNtz(values)
            | Values::DayTime(values) => values.push(0),
            Values::Float32(values) => values.push(0.0),
            Values::Float64(values) => values.push(0.0),
            Values::Decimal(values, ..) => values.push(0),
            Values::Text(spans) | Values::Binary(spans) => spans.close(),
            Values::Struct(fields) => fields.iter_mut().for_each(Column::push_null),
            Values::List { ends, items } => ends.push(items.len() as i32),
            Values::Map { ends, keys, .. } => ends.push(keys.len() as i32),
        }
        self.nulls.append_null();
    }

    /// Cuts back to the first `rows` rows, whatever was half written after them.
    pub fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Void => {}
            Values::Boolean(values) => values.truncate(rows),
            Values::Int8(values) => values.truncate(rows),
            Values::Int16(values) => values.truncate(rows),
            Values::Int32(values) | Values::Date(values) | Values::YearMonth(values) => values.truncate(rows),
            Values::Int64(values)
            | Values::Timestamp(values)
            | Values::TimestampNtz(values)
            | Values::DayTime(values) => values.truncate(rows),
            Values::Float32(values) => values.truncate(rows),
            Values::Float64(values) => values.truncate(rows),
            Values::Decimal(values, ..) => values.truncate(rows),
            Values::Text(spans) | Values::Binary(spans) => spans.truncate(rows),
            Values::Struct(fields) => fields.iter_mut().for_each(|field| field.truncate(rows)),
            Values::List { ends, items } => items.truncate(cut(ends, rows)),
            Values::Map { ends, keys, values } => {
                let entries = cut(ends, rows);
                keys.truncate(entries);
                values.truncate(entries);
            }
        }
        self.nulls.truncate(rows);
    }

    /// The Arrow array.
    ///
    /// # Errors
    /// A bug: rows that do not line up, or text that is not UTF-8.
    pub fn finish(mut self, of: &DataType) -> Result<ArrayRef> {
        let rows = self.len();
        let nulls = self.nulls.finish();
        Ok(match self.values {
            Values::Void => Arc::new(NullArray::new(rows)),
            Values::Boolean(mut values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int8(values) => Arc::new(Int8Array::try_new(values.into(), nulls)?),
            Values::Int16(values) => Arc::new(Int16Array::try_new(values.into(), nulls)?),
            Values::Int32(values) => Arc::new(Int32Array::try_new(values.into(), nulls)?),
            Values::Int64(values) => Arc::new(Int64Array::try_new(values.into(), nulls)?),
            Values::Float32(values) => Arc::new(Float32Array::try_new(values.into(), nulls)?),
            Values::Float64(values) => Arc::new(Float64Array::try_new(values.into(), nulls)?),
            Values::Decimal(values, precision, scale) => {
                Arc::new(Decimal128Array::try_new(values.into(), nulls)?.with_precision_and_scale(precision, scale)?)
            }
            Values::Date(values) => Arc::new(Date32Array::try_new(values.into(), nulls)?),
            Values::Timestamp(values) | Values::TimestampNtz(values) => {
                Arc::new(TimestampMicrosecondArray::try_new(values.into(), nulls)?.with_data_type(of.clone()))
            }
            Values::DayTime(values) => Arc::new(DurationMicrosecondArray::try_new(values.into(), nulls)?),
            Values::YearMonth(values) => Arc::new(IntervalYearMonthArray::try_new(values.into(), nulls)?),
            Values::Text(spans) => {
                Arc::new(StringArray::try_new(offsets(spans.ends), Buffer::from_vec(spans.bytes), nulls)?)
            }
            Values::Binary(spans) => {
                Arc::new(BinaryArray::try_new(offsets(spans.ends), Buffer::from_vec(spans.bytes), nulls)?)
            }
            Values::Struct(columns) => finish_struct(columns, of, rows, nulls)?,
            Values::List { ends, items } => {
                let DataType::List(item) = of else { return Err(mismatch(of)) };
                let items = items.finish(item.data_type())?;
                Arc::new(ListArray::try_new(item.clone(), offsets(ends), items, nulls)?)
            }
            Values::Map { ends, keys, values } => finish_map(ends, *keys, *values, of, nulls)?,
        })
    }
}

fn finish_struct(columns: Vec<Column>, of: &DataType, rows: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let DataType::Struct(fields) = of else { return Err(mismatch(of)) };
    let arrays = finish_all(columns, fields)?;
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), arrays, nulls, rows)?))
}

fn finish_map(
    ends: Vec<i32>,
    keys: Column,
    values: Column,
    of: &DataType,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let DataType::Map(entries, ordered) = of else { return Err(mismatch(of)) };
    let DataType::Struct(fields) = entries.data_type() else { return Err(mismatch(of)) };
    let arrays = finish_all(vec![keys, values], fields)?;
    let rows = StructArray::try_new(fields.clone(), arrays, None)?;
    Ok(Arc::new(MapArray::try_new(entries.clone(), offsets(ends), rows, nulls, *ordered)?))
}

/// Finishes one column a field.
pub(crate) fn finish_all(columns: Vec<Column>, fields: &Fields) -> Result<Vec<ArrayRef>> {
    columns.into_iter().zip(fields).map(|(column, field)| column.finish(field.data_type())).collect()
}

/// Key and value type of a map's entries.
pub(crate) fn map_entry(entries: &DataType) -> Result<(&DataType, &DataType)> {
    match entries {
        DataType::Struct(fields) if fields.len() == 2 => Ok((fields[0].data_type(), fields[1].data_type())),
        other => Err(mismatch(other)),
    }
}

/// Keeps `rows` rows of a list or map, and tells how many entries they hold.
fn cut(ends: &mut Vec<i32>, rows: usize) -> usize {
    ends.truncate(rows + 1);
    ends.last().map_or(0, |end| *end as usize)
}

fn offsets(ends: Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(ends))
}

fn mismatch(of: &DataType) -> Error {
    Error::bug(format!("a column was built for another type than {}", types::name(of)))
}
