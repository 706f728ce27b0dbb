//! A column of one type as a column of another, if no value can lose anything by it.

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, TimeUnit, TimestampNanosecondType};
use std::sync::Arc;

/// `column` as `wanted`.
///
/// # Errors
/// Why not, in a few words.
pub(crate) fn conform(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, String> {
    use DataType::{
        Binary, BinaryView, Dictionary, FixedSizeBinary, FixedSizeList, LargeBinary, LargeList, LargeUtf8, List, Map,
        Struct, Timestamp, Utf8, Utf8View,
    };
    match (column.data_type(), wanted) {
        (from, to) if from == to => Ok(column.clone()),
        (DataType::Null, to) => Ok(new_null_array(to, column.len())),
        (Dictionary(_, values), _) => conform(&checked_cast(column, values)?, wanted),
        (LargeUtf8 | Utf8View, Utf8)
        | (LargeBinary | BinaryView | FixedSizeBinary(_) | Utf8 | LargeUtf8 | Utf8View, Binary) => {
            checked_cast(column, wanted)
        }
        (LargeList(item) | FixedSizeList(item, _), List(_)) => {
            conform(&checked_cast(column, &List(item.clone()))?, wanted)
        }
        (List(_), List(item)) => conform_list(column, item),
        (Struct(_), Struct(_)) => conform_struct(column.as_struct(), wanted),
        (Map(..), Map(entries, ordered)) => conform_map(column.as_map(), entries, *ordered),
        (Timestamp(..), Timestamp(TimeUnit::Microsecond, _)) => conform_timestamp(column, wanted),
        (from, to) if widens(from, to) => checked_cast(column, wanted),
        _ => Err("values could be lost or change".into()),
    }
}

/// True when every number of type `from` is one of type `to`.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Decimal32, Decimal64, Decimal128, Float16, Float32, Float64, Int8, Int16, Int32, Int64};
    use DataType::{UInt8, UInt16, UInt32};
    // Digits before and after the point.
    let digits = |of: &DataType| match of {
        Int8 | UInt8 => Some((3, 0)),
        Int16 | UInt16 => Some((5, 0)),
        Int32 | UInt32 => Some((10, 0)),
        Int64 => Some((19, 0)),
        Decimal32(precision, scale) | Decimal64(precision, scale) | Decimal128(precision, scale) => {
            Some((i16::from(*precision) - i16::from(*scale), i16::from(*scale)))
        }
        _ => None,
    };
    match (from, to) {
        (Int8 | UInt8, Int16 | Int32 | Int64 | Float32 | Float64)
        | (Int16 | UInt16, Int32 | Int64 | Float32 | Float64)
        | (Int32 | UInt32, Int64 | Float64)
        | (Float16, Float32 | Float64)
        | (Float32, Float64) => true,
        (from, Decimal128(..)) => digits(from)
            .zip(digits(to))
            .is_some_and(|((whole, part), (whole_max, part_max))| whole <= whole_max && part <= part_max),
        _ => false,
    }
}

/// Casts, and fails where a value does not fit rather than make it NULL.
fn checked_cast(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, String> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, wanted, &options).map_err(|error| error.to_string())
}

/// Instants keep their micros whatever their zone is called; a time without a zone is taken as UTC, as
/// Spark does, but an instant is no time without a zone.
fn conform_timestamp(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, String> {
    let DataType::Timestamp(unit, zone) = column.data_type() else { return Err("it is no timestamp".into()) };
    let DataType::Timestamp(_, wanted_zone) = wanted else { return Err("it is no timestamp".into()) };
    if zone.is_some() && wanted_zone.is_none() {
        return Err("it is an instant, not a wall clock".into());
    }
    if *unit == TimeUnit::Nanosecond {
        let nanos = column.as_primitive::<TimestampNanosecondType>();
        if nanos.iter().flatten().any(|nanos| nanos % 1000 != 0) {
            return Err("it has nanoseconds".into());
        }
    }
    let micros = checked_cast(column, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
    let plain = cast(&micros, &DataType::Int64).map_err(|error| error.to_string())?;
    let micros = TimestampMicrosecondArray::try_new(
        plain.as_primitive::<arrow::datatypes::Int64Type>().values().clone(),
        plain.nulls().cloned(),
    );
    Ok(Arc::new(micros.map_err(|error| error.to_string())?.with_data_type(wanted.clone())))
}

fn conform_list(column: &ArrayRef, item: &Arc<Field>) -> Result<ArrayRef, String> {
    let list: &ListArray = column.as_list();
    let items = conform(list.values(), item.data_type())?;
    rebuilt(ListArray::try_new(item.clone(), list.offsets().clone(), items, list.nulls().cloned()))
}

fn conform_struct(column: &StructArray, wanted: &DataType) -> Result<ArrayRef, String> {
    let DataType::Struct(fields) = wanted else { return Err("it is a struct".into()) };
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        let child = column.column_by_name(field.name()).or_else(|| {
            let names = column.column_names();
            let index = names.iter().position(|name| name.to_lowercase() == field.name().to_lowercase());
            index.map(|index| column.column(index))
        });
        columns.push(match child {
            Some(child) => {
                conform(child, field.data_type()).map_err(|why| format!("field '{}': {why}", field.name()))?
            }
            None => new_null_array(field.data_type(), column.len()),
        });
    }
    rebuilt(StructArray::try_new_with_length(fields.clone(), columns, column.nulls().cloned(), column.len()))
}

fn conform_map(column: &MapArray, entries: &Arc<Field>, ordered: bool) -> Result<ArrayRef, String> {
    let DataType::Struct(fields) = entries.data_type() else { return Err("it is a map".into()) };
    let [key, value] = fields.as_ref() else { return Err("it is a map".into()) };
    let columns = vec![conform(column.keys(), key.data_type())?, conform(column.values(), value.data_type())?];
    let rows = StructArray::try_new(fields.clone(), columns, None).map_err(|error| error.to_string())?;
    rebuilt(MapArray::try_new(entries.clone(), column.offsets().clone(), rows, column.nulls().cloned(), ordered))
}

fn rebuilt<A: Array + 'static>(array: Result<A, arrow::error::ArrowError>) -> Result<ArrayRef, String> {
    array.map(|array| Arc::new(array) as ArrayRef).map_err(|error| error.to_string())
}
