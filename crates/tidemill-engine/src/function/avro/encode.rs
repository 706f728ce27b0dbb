//! Values to Avro bytes.

use super::schema::Schema;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use tidemill_core::{Error, Kind, Result, types};

/// Writes the value in a row.
///
/// # Errors
/// A value that does not fit the schema.
pub fn value(schema: &Schema, array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<()> {
    if let Schema::Union(members) = schema {
        let is_null = array.is_null(row);
        let fits = |member: &Schema| match is_null {
            true => *member == Schema::Null,
            false => *member != Schema::Null,
        };
        let at = members.iter().position(fits).ok_or_else(|| misfit("NULL", schema))?;
        long(at as i64, out);
        return if is_null { Ok(()) } else { value(&members[at], array, row, out) };
    }
    if array.is_null(row) {
        return if *schema == Schema::Null { Ok(()) } else { Err(misfit("NULL", schema)) };
    }
    match (schema, array.data_type()) {
        (Schema::Boolean, DataType::Boolean) => out.push(u8::from(array.as_boolean().value(row))),
        (Schema::Int | Schema::Long | Schema::Date | Schema::Timestamp { .. }, _) => {
            let number = whole(array, row).ok_or_else(|| misfit_type(array, schema))?;
            let unit = if let Schema::Timestamp { unit, .. } = schema { *unit } else { 1 };
            if matches!(schema, Schema::Int | Schema::Date) && i32::try_from(number).is_err() {
                return Err(misfit(&number.to_string(), schema));
            }
            long(number.div_euclid(unit), out);
        }
        (Schema::Float, DataType::Float32) => {
            out.extend(array.as_primitive::<Float32Type>().value(row).to_le_bytes());
        }
        (Schema::Double, DataType::Float64) => {
            out.extend(array.as_primitive::<Float64Type>().value(row).to_le_bytes());
        }
        (Schema::Double, DataType::Float32) => {
            out.extend(f64::from(array.as_primitive::<Float32Type>().value(row)).to_le_bytes());
        }
        (Schema::Bytes, DataType::Binary) => sized(array.as_binary::<i32>().value(row), out),
        (Schema::Fixed(size), DataType::Binary) => {
            let bytes = array.as_binary::<i32>().value(row);
            if bytes.len() != *size {
                return Err(misfit(&format!("a value of {} bytes", bytes.len()), schema));
            }
            out.extend(bytes);
        }
        (Schema::Text, DataType::Utf8) => sized(array.as_string::<i32>().value(row).as_bytes(), out),
        (Schema::Enum(symbols), DataType::Utf8) => {
            let text = array.as_string::<i32>().value(row);
            let at = symbols.iter().position(|symbol| symbol == text).ok_or_else(|| misfit(text, schema))?;
            long(at as i64, out);
        }
        (Schema::Decimal { scale, size, .. }, DataType::Decimal128(_, given)) if scale == given => {
            decimal(array.as_primitive::<Decimal128Type>().value(row), *size, out);
        }
        _ => return container(schema, array, row, out),
    }
    Ok(())
}

/// Arrays, maps and records.
fn container(schema: &Schema, array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<()> {
    match (schema, array.data_type()) {
        (Schema::Array(items), DataType::List(_)) => {
            let values = array.as_list::<i32>().value(row);
            block(values.len(), out, |index, out| value(items, &values, index, out))?;
        }
        (Schema::Map(of), DataType::Map(..)) => {
            let entries = array.as_map().value(row);
            let keys = entries.column(0).as_string_opt::<i32>().ok_or_else(|| misfit_type(array, schema))?;
            block(entries.len(), out, |index, out| {
                sized(keys.value(index).as_bytes(), out);
                value(of, entries.column(1), index, out)
            })?;
        }
        (Schema::Record(fields), DataType::Struct(given)) => {
            let structs = array.as_struct();
            for (name, of) in fields {
                let position = given.iter().position(|field| field.name().eq_ignore_ascii_case(name));
                let position = position.ok_or_else(|| {
                    Error::new(Kind::Data, format!("to_avro: the value has no field {name}, which the schema has"))
                })?;
                value(of, structs.column(position), row, out)?;
            }
        }
        _ => return Err(misfit_type(array, schema)),
    }
    Ok(())
}

fn whole(array: &ArrayRef, row: usize) -> Option<i64> {
    Some(match array.data_type() {
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(row).into(),
        DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(row),
        _ => return None,
    })
}

fn misfit(shown: &str, schema: &Schema) -> Error {
    let kind = format!("{schema:?}");
    let kind: String = kind.chars().take_while(|letter| letter.is_alphanumeric()).collect();
    Error::new(Kind::Data, format!("to_avro: {shown} does not fit the schema, which has {kind} there"))
}

fn misfit_type(array: &ArrayRef, schema: &Schema) -> Error {
    misfit(&format!("a value of type {}", types::name(array.data_type()).to_uppercase()), schema)
}

fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push((rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn sized(bytes: &[u8], out: &mut Vec<u8>) {
    long(bytes.len() as i64, out);
    out.extend(bytes);
}

fn decimal(unscaled: i128, size: Option<usize>, out: &mut Vec<u8>) {
    let all = unscaled.to_be_bytes();
    match size {
        Some(size) if size >= 16 => {
            out.extend(std::iter::repeat_n(if unscaled < 0 { 0xFF } else { 0 }, size - 16));
            out.extend(all);
        }
        Some(size) => out.extend(&all[16 - size..]),
        None => sized(crate::function::hash::shortest(&all), out),
    }
}

/// One block of items and the empty one that ends them.
fn block(count: usize, out: &mut Vec<u8>, mut item: impl FnMut(usize, &mut Vec<u8>) -> Result<()>) -> Result<()> {
    if count > 0 {
        long(count as i64, out);
    }
    for index in 0..count {
        item(index, out)?;
    }
    out.push(0);
    Ok(())
}
