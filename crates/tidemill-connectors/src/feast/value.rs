//! Values of columns as Feast's `Value` messages. Source: Feast, `protos/feast/types/Value.proto`.
//!
//! | column | Feast |
//! |---|---|
//! | tinyint, smallint, int | Int32 |
//! | bigint, float, double, boolean, string, binary, decimal | Int64, Float32, Float64, Bool, String, Bytes, Decimal |
//! | timestamp, date | UnixTimestamp, in whole seconds |
//! | array of these | Array of these |
//! | map, struct; array of struct | Map, Struct; Array(Struct) |

use super::protobuf::{bytes, fixed32, fixed64, integer, varint};
use crate::format::text::decimal;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType,
};
use tidemill_core::{Error, Kind, Result, types};

const DAY_SECONDS: i64 = 86_400;
const SECOND: i64 = 1_000_000;

/// Numbers of Feast's types: fields of `Value` and words of `ValueType.Enum`.
pub(super) mod type_number {
    pub(crate) const BYTES: usize = 1;
    pub(crate) const STRING: usize = 2;
    pub(crate) const INT32: usize = 3;
    pub(crate) const INT64: usize = 4;
    pub(crate) const UNIX_TIMESTAMP: usize = 8;
}

/// Field of a scalar in `Value`.
fn field(of: &DataType) -> Option<u32> {
    Some(match of {
        DataType::Binary => 1,
        DataType::Utf8 => 2,
        DataType::Int8 | DataType::Int16 | DataType::Int32 => 3,
        DataType::Int64 => 4,
        DataType::Float64 => 5,
        DataType::Float32 => 6,
        DataType::Boolean => 7,
        DataType::Timestamp(TimeUnit::Microsecond, _) | DataType::Date32 => 8,
        DataType::Decimal128(..) => 44,
        _ => return None,
    })
}

/// Field of a list of these in `Value`.
fn list_field(of: &DataType) -> Option<u32> {
    match (of, field(of)) {
        (DataType::Decimal128(..), _) => Some(45),
        (_, Some(scalar)) => Some(scalar + 10),
        (DataType::Struct(_), None) => Some(35),
        _ => None,
    }
}

/// Refuses the types Feast has no value for.
///
/// # Errors
/// Names the column.
pub(super) fn check(table: &str, name: &str, of: &DataType) -> Result<()> {
    let fits = match of {
        DataType::List(item) if matches!(item.data_type(), DataType::Struct(_)) => {
            return check(table, name, item.data_type());
        }
        DataType::List(item) => list_field(item.data_type()).is_some(),
        DataType::Struct(fields) => {
            return fields.iter().try_for_each(|field| check(table, name, field.data_type()));
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if *fields[0].data_type() == DataType::Utf8 => {
                return check(table, name, fields[1].data_type());
            }
            _ => false,
        },
        DataType::Null => true,
        of => field(of).is_some(),
    };
    if fits {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "column '{name}' of table '{table}' is {}, for which Feast has no type",
        types::name(of)
    ))
    .help("cast it, or leave it out of option 'features'"))
}

/// The message of the value of `row`; NULL is an empty one, as in Feast.
///
/// # Errors
/// A NULL inside an array, for which Feast has no value.
pub(super) fn message(array: &ArrayRef, row: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    if array.is_null(row) {
        return Ok(out);
    }
    match array.data_type() {
        DataType::Null => {}
        DataType::List(_) => list(&array.as_list::<i32>().value(row), &mut out)?,
        DataType::Struct(_) => bytes(34, &fields_of(array, row)?, &mut out),
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1));
            let mut map = Vec::new();
            for at in 0..entries.len() {
                entry(keys.value(at), &message(values, at)?, &mut map);
            }
            bytes(20, &map, &mut out);
        }
        of => scalar(array, row, field(of).unwrap_or(0), &mut out),
    }
    Ok(out)
}

/// The text beside a value in SQLite, where Feast keeps one: of texts, numbers and booleans.
pub(super) fn shown(array: &ArrayRef, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().value(row).to_owned()),
        DataType::Boolean => Some(if array.as_boolean().value(row) { "True" } else { "False" }.to_owned()),
        DataType::Float32 => Some(format!("{:?}", f64::from(array.as_primitive::<Float32Type>().value(row)))),
        DataType::Float64 => Some(format!("{:?}", array.as_primitive::<Float64Type>().value(row))),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            whole(array, row).map(|value| value.to_string())
        }
        _ => None,
    }
}

/// A whole number, or seconds since 1970.
pub(super) fn whole(array: &ArrayRef, row: usize) -> Option<i64> {
    Some(match array.data_type() {
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row),
        DataType::Date32 => i64::from(array.as_primitive::<Date32Type>().value(row)) * DAY_SECONDS,
        DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(row).div_euclid(SECOND),
        DataType::Boolean => array.as_boolean().value(row).into(),
        _ => return None,
    })
}

/// The bytes of a text, binary or decimal value.
pub(super) fn raw(array: &ArrayRef, row: usize) -> Vec<u8> {
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).as_bytes().to_vec(),
        DataType::Binary => array.as_binary::<i32>().value(row).to_vec(),
        DataType::Decimal128(_, scale) => {
            let mut text = Vec::new();
            decimal::write(array.as_primitive::<Decimal128Type>().value(row), *scale, &mut text);
            text
        }
        _ => Vec::new(),
    }
}

/// A scalar under field `number`; also when it is zero, as members of a `oneof` are.
fn scalar(array: &ArrayRef, row: usize, number: u32, out: &mut Vec<u8>) {
    match array.data_type() {
        DataType::Float32 => fixed32(number, array.as_primitive::<Float32Type>().value(row).to_le_bytes(), out),
        DataType::Float64 => fixed64(number, array.as_primitive::<Float64Type>().value(row).to_le_bytes(), out),
        _ => match whole(array, row) {
            Some(value) => integer(number, value, out),
            None => bytes(number, &raw(array, row), out),
        },
    }
}

/// `repeated ... val = 1` under the list's field: numbers packed, texts and structs one by one.
fn list(items: &ArrayRef, out: &mut Vec<u8>) -> Result<()> {
    if items.null_count() > 0 {
        return Err(Error::new(Kind::Data, "an array holds NULL, and Feast has no value for that")
            .help("take NULLs out first, such as with array_compact(column)"));
    }
    let of = items.data_type();
    let (mut packed, mut inner) = (Vec::new(), Vec::new());
    for at in 0..items.len() {
        match of {
            DataType::Float32 => packed.extend_from_slice(&items.as_primitive::<Float32Type>().value(at).to_le_bytes()),
            DataType::Float64 => packed.extend_from_slice(&items.as_primitive::<Float64Type>().value(at).to_le_bytes()),
            DataType::Struct(_) => bytes(1, &fields_of(items, at)?, &mut inner),
            _ => match whole(items, at) {
                Some(value) => varint(value as u64, &mut packed),
                None => bytes(1, &raw(items, at), &mut inner),
            },
        }
    }
    if !packed.is_empty() {
        bytes(1, &packed, &mut inner);
    }
    bytes(list_field(of).unwrap_or(0), &inner, out);
    Ok(())
}

/// A struct as a `Map` message.
fn fields_of(array: &ArrayRef, row: usize) -> Result<Vec<u8>> {
    let of = array.as_struct();
    let mut map = Vec::new();
    for (name, column) in of.column_names().into_iter().zip(of.columns()) {
        entry(name, &message(column, row)?, &mut map);
    }
    Ok(map)
}

fn entry(key: &str, value: &[u8], out: &mut Vec<u8>) {
    let mut inner = Vec::new();
    bytes(1, key.as_bytes(), &mut inner);
    bytes(2, value, &mut inner);
    bytes(1, &inner, out);
}
