//! Columns to JSON text: one object a row, as Spark's `to_json` writes it. NULL fields are left out by
//! default, NULL elements and map values are kept; timestamps have three digits of the second, or six
//! when they need them; doubles look as in Java and what is no number is quoted; binary is base64.

use crate::format::text::{decimal, interval, number, time};
use arrow::array::{
    Array, AsArray, BinaryArray, BooleanArray, Decimal128Array, ListArray, MapArray, PrimitiveArray, StringArray,
    StructArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::Write as _;
use tidemill_core::format::{Encoder, Payloads};
use tidemill_core::{Error, Result, types};

/// Encodes rows of a schema.
pub(crate) struct JsonEncoder {
    with_nulls: bool,
}

impl JsonEncoder {
    /// An encoder for rows of `schema`. `with_nulls` keeps fields that are NULL.
    ///
    /// # Errors
    /// A column type outside `tidemill_core::types`.
    pub fn new(schema: SchemaRef, with_nulls: bool) -> Result<Self> {
        let empty = RecordBatch::new_empty(schema);
        Fields::of_rows(&empty, with_nulls)?;
        Ok(JsonEncoder { with_nulls })
    }
}

impl Encoder for JsonEncoder {
    fn encode(&self, rows: &RecordBatch, out: &mut Payloads) -> Result<()> {
        let fields = Fields::of_rows(rows, self.with_nulls)?;
        for row in 0..rows.num_rows() {
            fields.print(row, &mut out.data);
            out.ends.push(out.data.len());
        }
        Ok(())
    }
}

/// Prints single values of one column.
pub(crate) struct Values<'a>(Printer<'a>);

impl<'a> Values<'a> {
    /// For the values of `array`; fields of structs that are NULL are left out.
    ///
    /// # Errors
    /// A type outside `tidemill_core::types`.
    pub fn new(array: &'a dyn Array) -> Result<Self> {
        Ok(Values(Printer::new(array, false)?))
    }

    /// Prints the value of `row`, which is not NULL.
    pub fn print(&self, row: usize, out: &mut Vec<u8>) {
        self.0.print(row, out);
    }
}

/// The fields of an object.
struct Fields<'a> {
    /// Each as it begins, `"name":`, and what prints its values.
    fields: Vec<(Vec<u8>, &'a dyn Array, Printer<'a>)>,
    with_nulls: bool,
}

/// Prints the values of one column; one per type, found once a batch.
enum Printer<'a> {
    Void,
    Boolean(&'a BooleanArray),
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Decimal(&'a Decimal128Array, i8),
    Date(&'a PrimitiveArray<Date32Type>),
    /// With the letter of its zone.
    Timestamp(&'a PrimitiveArray<TimestampMicrosecondType>, &'static str),
    DayTime(&'a PrimitiveArray<DurationMicrosecondType>),
    YearMonth(&'a PrimitiveArray<IntervalYearMonthType>),
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
    Struct(Fields<'a>),
    List(&'a ListArray, Box<Printer<'a>>),
    Map(&'a MapArray, Box<Printer<'a>>, Box<Printer<'a>>),
}

impl<'a> Fields<'a> {
    fn of_rows(rows: &'a RecordBatch, with_nulls: bool) -> Result<Self> {
        let schema = rows.schema_ref();
        Self::new(schema.fields().iter().map(|field| field.name().as_str()).zip(rows.columns()), with_nulls)
    }

    fn of_struct(array: &'a StructArray, with_nulls: bool) -> Result<Self> {
        Self::new(array.column_names().into_iter().zip(array.columns()), with_nulls)
    }

    fn new(columns: impl Iterator<Item = (&'a str, &'a arrow::array::ArrayRef)>, with_nulls: bool) -> Result<Self> {
        let mut fields = Vec::new();
        for (name, array) in columns {
            let printer = Printer::new(array, with_nulls).map_err(|error| {
                Error::invalid(format!("column '{name}' cannot be written as JSON")).caused_by(error)
            })?;
            let mut key = Vec::with_capacity(name.len() + 3);
            print_text(name, &mut key);
            key.push(b':');
            fields.push((key, array.as_ref(), printer));
        }
        Ok(Fields { fields, with_nulls })
    }

    fn print(&self, row: usize, out: &mut Vec<u8>) {
        let mut next = b'{';
        for (key, array, printer) in &self.fields {
            let null = array.is_null(row) || matches!(printer, Printer::Void);
            if null && !self.with_nulls {
                continue;
            }
            out.push(next);
            next = b',';
            out.extend_from_slice(key);
            if null { out.extend_from_slice(b"null") } else { printer.print(row, out) }
        }
        if next == b'{' {
            out.push(b'{');
        }
        out.push(b'}');
    }
}

impl<'a> Printer<'a> {
    fn new(array: &'a dyn Array, with_nulls: bool) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Null => Printer::Void,
            DataType::Boolean => Printer::Boolean(array.as_boolean()),
            DataType::Int8 => Printer::Int8(array.as_primitive()),
            DataType::Int16 => Printer::Int16(array.as_primitive()),
            DataType::Int32 => Printer::Int32(array.as_primitive()),
            DataType::Int64 => Printer::Int64(array.as_primitive()),
            DataType::Float32 => Printer::Float32(array.as_primitive()),
            DataType::Float64 => Printer::Float64(array.as_primitive()),
            DataType::Decimal128(_, scale) => Printer::Decimal(array.as_primitive(), *scale),
            DataType::Date32 => Printer::Date(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                Printer::Timestamp(array.as_primitive(), if zone.is_some() { "Z" } else { "" })
            }
            DataType::Duration(TimeUnit::Microsecond) => Printer::DayTime(array.as_primitive()),
            DataType::Interval(IntervalUnit::YearMonth) => Printer::YearMonth(array.as_primitive()),
            DataType::Utf8 => Printer::Text(array.as_string()),
            DataType::Binary => Printer::Binary(array.as_binary()),
            DataType::Struct(_) => Printer::Struct(Fields::of_struct(array.as_struct(), with_nulls)?),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Printer::List(list, Box::new(Printer::new(list.values(), with_nulls)?))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let (keys, values) = (Printer::new(map.keys(), with_nulls)?, Printer::new(map.values(), with_nulls)?);
                Printer::Map(map, Box::new(keys), Box::new(values))
            }
            other => return Err(Error::invalid(format!("there is no JSON for type {}", types::name(other)))),
        })
    }

    /// Prints the value of `row`, which is not NULL.
    fn print(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Printer::Void => out.extend_from_slice(b"null"),
            Printer::Boolean(array) => print_display(array.value(row), out),
            Printer::Int8(array) => print_integer(array, row, out),
            Printer::Int16(array) => print_integer(array, row, out),
            Printer::Int32(array) => print_integer(array, row, out),
            Printer::Int64(array) => print_integer(array, row, out),
            Printer::Float32(array) => {
                let value = array.value(row);
                quoted_unless(value.is_finite(), out, |out| number::write_float(value, out));
            }
            Printer::Float64(array) => {
                let value = array.value(row);
                quoted_unless(value.is_finite(), out, |out| number::write_double(value, out));
            }
            Printer::Decimal(array, scale) => decimal::write(array.value(row), *scale, out),
            Printer::Date(array) => {
                quoted_unless(false, out, |out| time::write_date(i64::from(array.value(row)), out));
            }
            Printer::Timestamp(array, zone) => quoted_unless(false, out, |out| {
                time::write_iso(array.value(row), out);
                out.extend_from_slice(zone.as_bytes());
            }),
            Printer::DayTime(array) => {
                quoted_unless(false, out, |out| interval::write_day_time(array.value(row), out));
            }
            Printer::YearMonth(array) => {
                quoted_unless(false, out, |out| interval::write_year_month(array.value(row), out));
            }
            Printer::Text(array) => print_text(array.value(row), out),
            Printer::Binary(array) => quoted_unless(false, out, |out| {
                out.extend_from_slice(STANDARD.encode(array.value(row)).as_bytes());
            }),
            Printer::Struct(fields) => fields.print(row, out),
            Printer::List(array, items) => print_list(array, items, row, out),
            Printer::Map(array, keys, values) => print_map(array, keys, values, row, out),
        }
    }

    /// Prints the value of `row` of `array`, or `null`.
    fn print_or_null(&self, array: &dyn Array, row: usize, out: &mut Vec<u8>) {
        if array.is_null(row) { out.extend_from_slice(b"null") } else { self.print(row, out) }
    }
}

fn print_list(array: &ListArray, items: &Printer<'_>, row: usize, out: &mut Vec<u8>) {
    out.push(b'[');
    let (start, end) = (array.value_offsets()[row] as usize, array.value_offsets()[row + 1] as usize);
    for item in start..end {
        if item > start {
            out.push(b',');
        }
        items.print_or_null(array.values(), item, out);
    }
    out.push(b']');
}

fn print_map(array: &MapArray, keys: &Printer<'_>, values: &Printer<'_>, row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    let (start, end) = (array.value_offsets()[row] as usize, array.value_offsets()[row + 1] as usize);
    for entry in start..end {
        if entry > start {
            out.push(b',');
        }
        let key = out.len();
        keys.print(entry, out);
        // A key is a string in JSON whatever its type.
        if out[key] != b'"' {
            out.insert(key, b'"');
            out.push(b'"');
        }
        out.push(b':');
        values.print_or_null(array.values(), entry, out);
    }
    out.push(b'}');
}

fn print_integer<T: ArrowPrimitiveType<Native: std::fmt::Display>>(
    array: &PrimitiveArray<T>,
    row: usize,
    out: &mut Vec<u8>,
) {
    print_display(array.value(row), out);
}

fn print_display(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
}

fn quoted_unless(bare: bool, out: &mut Vec<u8>, print: impl FnOnce(&mut Vec<u8>)) {
    if bare {
        return print(out);
    }
    out.push(b'"');
    print(out);
    out.push(b'"');
}

/// Prints a string in quotes, with the escapes that JSON asks for and no others.
pub(crate) fn print_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0C => b'f',
            0..0x20 => b'u',
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        plain = at + 1;
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            let _ = write!(out, "{byte:04X}");
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}
