//! The fields of a message against the columns: which are read, and how. Pure; made once.

use super::descriptor::{Descriptors, Field, Type};
use crate::format::column::map_entry;
use arrow::datatypes::{DataType, Field as Column, Fields, TimeUnit};
use std::collections::BTreeMap;
use tidemill_core::{Result, types};

/// Types of fields, as descriptors number them.
pub(super) mod of {
    pub const DOUBLE: i32 = 1;
    pub const FLOAT: i32 = 2;
    pub const INT64: i32 = 3;
    pub const UINT64: i32 = 4;
    pub const INT32: i32 = 5;
    pub const FIXED64: i32 = 6;
    pub const FIXED32: i32 = 7;
    pub const BOOL: i32 = 8;
    pub const STRING: i32 = 9;
    pub const MESSAGE: i32 = 11;
    pub const BYTES: i32 = 12;
    pub const UINT32: i32 = 13;
    pub const ENUM: i32 = 14;
    pub const SFIXED32: i32 = 15;
    pub const SFIXED64: i32 = 16;
    pub const SINT32: i32 = 17;
    pub const SINT64: i32 = 18;
}

const REPEATED: i32 = 3;

/// The wrappers of single values.
const WRAPPERS: &[(&str, i32)] = &[
    ("DoubleValue", of::DOUBLE),
    ("FloatValue", of::FLOAT),
    ("Int64Value", of::INT64),
    ("UInt64Value", of::UINT64),
    ("Int32Value", of::INT32),
    ("UInt32Value", of::UINT32),
    ("BoolValue", of::BOOL),
    ("StringValue", of::STRING),
    ("BytesValue", of::BYTES),
];

/// How a message becomes a row.
#[derive(Debug)]
pub(super) struct Plan {
    /// One a column.
    pub fields: Vec<FieldPlan>,
}

/// How a column is filled.
#[derive(Debug)]
pub(super) struct FieldPlan {
    pub name: String,
    pub nullable: bool,
    /// Number of the field; 0 when there is none.
    pub number: u32,
    pub shape: Shape,
}

#[derive(Debug)]
pub(super) enum Shape {
    /// The message has no such field.
    Absent,
    /// One value; true when it has a default where it is not there.
    Single(Item, bool),
    List(Item),
    /// Of keys and values.
    Map(Item, Item),
}

/// A value.
#[derive(Debug)]
pub(super) struct Item {
    pub nullable: bool,
    /// Its type.
    pub of: i32,
    pub read: Read,
}

/// How a value is read.
#[derive(Debug)]
pub(super) enum Read {
    Plain,
    /// By the names of its numbers.
    Symbol(BTreeMap<i32, String>),
    Message(Plan),
    Timestamp,
    Duration,
    /// Of a value in a message of its own.
    Wrapper(Box<Item>),
    /// The column cannot hold it, and why.
    Misfit(String),
}

impl Plan {
    /// How the message `name` becomes a row of `columns`.
    ///
    /// # Errors
    /// There is no such message.
    pub fn new(descriptors: &Descriptors, name: &str, columns: &Fields) -> Result<Plan> {
        Ok(plan(descriptors, descriptors.message(name)?, columns))
    }

    /// The column of the field with this number.
    #[inline]
    pub fn column(&self, number: u32) -> Option<usize> {
        self.fields.iter().position(|field| field.number == number)
    }
}

fn plan(descriptors: &Descriptors, message: &Type, columns: &Fields) -> Plan {
    let fields = columns.iter().map(|column| {
        let exact = message.fields.iter().find(|field| field.name == *column.name());
        let found =
            exact.or_else(|| message.fields.iter().find(|field| field.name.eq_ignore_ascii_case(column.name())));
        let shape = found.map_or(Shape::Absent, |field| shape(descriptors, message, field, column));
        FieldPlan {
            name: column.name().clone(),
            nullable: column.is_nullable(),
            number: found.map_or(0, |field| field.number),
            shape,
        }
    });
    Plan { fields: fields.collect() }
}

fn shape(descriptors: &Descriptors, message: &Type, field: &Field, column: &Column) -> Shape {
    if field.label != REPEATED {
        let has_default = message.has_defaults && field.oneof.is_none() && field.of != of::MESSAGE;
        return Shape::Single(item(descriptors, field, column), has_default);
    }
    let entry = descriptors.message(&field.type_name).ok().filter(|entry| entry.is_map_entry);
    match (entry, column.data_type()) {
        (Some(entry), DataType::Map(entries, _)) if map_entry(entries.data_type()).is_ok() => {
            let part = |number: u32| entry.fields.iter().find(|part| part.number == number);
            match (part(1), part(2), entries.data_type()) {
                (Some(key), Some(value), DataType::Struct(pair)) => {
                    Shape::Map(item(descriptors, key, &pair[0]), item(descriptors, value, &pair[1]))
                }
                _ => Shape::Absent,
            }
        }
        (None, DataType::List(element)) => Shape::List(item(descriptors, field, element)),
        (entry, other) => {
            let (is, wanted) = (if entry.is_some() { "a map" } else { "repeated" }, types::name(other));
            let read = Read::Misfit(format!("is {is} and cannot be read as {wanted}"));
            Shape::Single(Item { nullable: column.is_nullable(), of: field.of, read }, false)
        }
    }
}

fn item(descriptors: &Descriptors, field: &Field, column: &Column) -> Item {
    let wanted = column.data_type();
    let read = match field.of {
        of::MESSAGE => message(descriptors, field, column),
        of::ENUM if *wanted == DataType::Utf8 => Some(Read::Symbol(descriptors.symbols(&field.type_name))),
        of if plain(of, wanted) => Some(Read::Plain),
        _ => None,
    };
    let read = read.unwrap_or_else(|| {
        let wanted = types::name(wanted);
        Read::Misfit(format!("is {} and cannot be read as {wanted}", described(field)))
    });
    Item { nullable: column.is_nullable(), of: field.of, read }
}

fn message(descriptors: &Descriptors, field: &Field, column: &Column) -> Option<Read> {
    let known = field.type_name.strip_prefix(".google.protobuf.");
    let wrapped = known.and_then(|name| WRAPPERS.iter().find(|(wrapper, _)| *wrapper == name));
    match (column.data_type(), known, wrapped) {
        (DataType::Timestamp(TimeUnit::Microsecond, Some(_)), Some("Timestamp"), _) => Some(Read::Timestamp),
        (DataType::Duration(TimeUnit::Microsecond), Some("Duration"), _) => Some(Read::Duration),
        (DataType::Struct(fields), _, _) => {
            Some(Read::Message(plan(descriptors, descriptors.message(&field.type_name).ok()?, fields)))
        }
        (wanted, _, Some((_, of))) if plain(*of, wanted) => {
            let inner = Item { nullable: column.is_nullable(), of: *of, read: Read::Plain };
            Some(Read::Wrapper(Box::new(inner)))
        }
        _ => None,
    }
}

/// True when a column can hold values of a type without parts.
fn plain(of: i32, wanted: &DataType) -> bool {
    use DataType as D;
    match of {
        of::BOOL => *wanted == D::Boolean,
        of::STRING => matches!(wanted, D::Utf8 | D::Binary),
        of::BYTES => *wanted == D::Binary,
        of::FLOAT => matches!(wanted, D::Float32 | D::Float64),
        of::DOUBLE => *wanted == D::Float64,
        of::MESSAGE => false,
        _ => matches!(wanted, D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::Float32 | D::Float64 | D::Decimal128(_, 0)),
    }
}

fn described(field: &Field) -> String {
    match field.of {
        of::MESSAGE | of::ENUM => field.type_name.trim_start_matches('.').to_owned(),
        of::BOOL => "bool".into(),
        of::STRING => "string".into(),
        of::BYTES => "bytes".into(),
        of::FLOAT => "float".into(),
        of::DOUBLE => "double".into(),
        _ => "a whole number".into(),
    }
}
