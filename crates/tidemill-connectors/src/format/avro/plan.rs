//! From the schema a record is written with to the columns that are wanted: how each of its values is read, which are
//! passed over, and what stands for those it lacks. Pure; made once a schema.
//!
//! Source: Avro specification 1.12, "Schema Resolution". The columns stand where the specification has the reader's
//! schema; the reader's schema, where there is one, gives defaults and aliases.

use super::input::{put_long, put_sized};
use crate::format::column::map_entry;
use crate::schema_registry::AvroSchema;
use crate::schema_registry::avro::{AvroField, Logical, Named, Primitive, Type};
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use serde_json::Value;
use std::collections::BTreeMap;
use tidemill_core::{Error, Result, types};

/// How the records of one writer become rows.
#[derive(Debug)]
pub(super) struct Plan {
    pub root: Record,
    /// How values of types that hold themselves are passed over, by name.
    pub recursive: BTreeMap<String, Skip>,
}

/// How a record is read.
#[derive(Debug)]
pub(super) struct Record {
    /// As they are written.
    pub parts: Vec<Part>,
    pub lacks: Vec<Lack>,
}

#[derive(Debug)]
pub(super) enum Part {
    Skip(Skip),
    /// Into this column.
    Read(usize, Slot),
}

/// A column that the writer does not have.
#[derive(Debug)]
pub(super) struct Lack {
    pub column: usize,
    pub name: String,
    pub nullable: bool,
    /// The reader's default, in Avro.
    pub default: Option<(Vec<u8>, Slot)>,
}

/// A value and the column it goes to.
#[derive(Debug)]
pub(super) struct Slot {
    pub name: String,
    pub nullable: bool,
    pub step: Step,
    /// How it is passed over when it does not fit.
    pub skip: Skip,
}

/// How a value is read.
#[derive(Debug)]
pub(super) enum Step {
    Null,
    Boolean,
    /// Times so much.
    Int(i64),
    Long(i64),
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    /// Bytes, of a fixed number or after their number; times so much.
    Decimal(Option<usize>, i128),
    List(Box<Slot>),
    Map(Box<Slot>),
    Record(Record),
    /// By branch.
    Union(Vec<Step>),
    /// By branch, each but null into a field of a struct, as Spark has unions.
    Members(Vec<Option<(usize, Slot)>>),
    /// The column cannot hold it, and why.
    Misfit(String, Skip),
}

/// How a value is passed over.
#[derive(Debug, Clone)]
pub(super) enum Skip {
    Nothing,
    Bytes(usize),
    Long,
    Sized,
    Blocks(Box<Skip>),
    Pairs(Box<Skip>),
    All(Vec<Skip>),
    Union(Vec<Skip>),
    /// A type that holds itself.
    Named(String),
}

impl Plan {
    /// How records of `writer` become rows of `columns`.
    ///
    /// # Errors
    /// A schema that is no record.
    pub fn new(writer: &AvroSchema, reader: Option<&AvroSchema>, columns: &Fields) -> Result<Plan> {
        let Some(fields) = record(writer, &writer.root) else {
            return Err(Error::invalid(format!("the schema is {}, not a record", writer.describe(&writer.root))));
        };
        let maker = Maker::new(writer);
        let recursive = maker.recursive.iter().map(|name| (name.clone(), maker.skip_named(name))).collect();
        let own = reader.and_then(|reader| Some((reader, record(reader, &reader.root)?)));
        Ok(Plan { root: maker.record(fields, own, columns), recursive })
    }
}

/// True when values of type `of` may hold one of the record `wanted`.
fn holds<'a>(schema: &'a AvroSchema, of: &'a Type, wanted: &str, seen: &mut Vec<&'a str>) -> bool {
    match of {
        Type::Primitive(..) => false,
        Type::Array(inner) | Type::Map(inner) => holds(schema, inner, wanted, seen),
        Type::Union(branches) => branches.iter().any(|branch| holds(schema, branch, wanted, seen)),
        Type::Named(name) if name == wanted => true,
        Type::Named(name) if seen.contains(&name.as_str()) => false,
        Type::Named(name) => {
            seen.push(name);
            record(schema, of).is_some_and(|fields| fields.iter().any(|field| holds(schema, &field.of, wanted, seen)))
        }
    }
}

/// The fields of a record type.
fn record<'a>(schema: &'a AvroSchema, of: &Type) -> Option<&'a [AvroField]> {
    match of {
        Type::Named(name) => match schema.named.get(name)? {
            Named::Record { fields, .. } => Some(fields.as_slice()),
            _ => None,
        },
        _ => None,
    }
}

/// A type of the reader's schema beside a type of the writer's.
type Reader<'a> = Option<(&'a AvroSchema, &'a Type)>;

/// The reader's type without its null.
fn inner<'a>(reader: Reader<'a>, pick: impl Fn(&'a AvroSchema, &'a Type) -> Option<&'a Type>) -> Reader<'a> {
    let (schema, of) = reader?;
    match of {
        Type::Union(branches) => branches.iter().find_map(|branch| Some((schema, pick(schema, branch)?))),
        of => Some((schema, pick(schema, of)?)),
    }
}

struct Maker<'a> {
    writer: &'a AvroSchema,
    recursive: Vec<String>,
}

impl<'a> Maker<'a> {
    fn new(writer: &'a AvroSchema) -> Self {
        let holds_itself = |(name, named): &(&String, &Named)| match named {
            Named::Record { fields, .. } => fields.iter().any(|field| holds(writer, &field.of, name, &mut Vec::new())),
            _ => false,
        };
        Maker { writer, recursive: writer.named.iter().filter(holds_itself).map(|(name, _)| name.clone()).collect() }
    }

    fn record(&self, written: &[AvroField], reader: Option<(&AvroSchema, &[AvroField])>, columns: &Fields) -> Record {
        let own = |column: &Field| {
            let (schema, fields) = reader?;
            let exact = fields.iter().find(|field| field.name == *column.name());
            let own = exact.or_else(|| fields.iter().find(|field| field.name.eq_ignore_ascii_case(column.name())))?;
            Some((schema, own))
        };
        let mut taken: Vec<Option<usize>> = vec![None; written.len()];
        let mut lacks = Vec::new();
        for (number, column) in columns.iter().enumerate() {
            match source(written, column.name(), own(column).map(|(_, field)| field)) {
                Some(at) if taken[at].is_none() => taken[at] = Some(number),
                _ => lacks.push(self.lack(number, column, own(column))),
            }
        }
        let parts = written.iter().zip(taken).map(|(field, taken)| match taken {
            None => Part::Skip(self.skip(&field.of)),
            Some(number) => {
                let column = &columns[number];
                let reader = own(column).map(|(schema, field)| (schema, &field.of));
                Part::Read(number, self.slot(&field.of, reader, column))
            }
        });
        Record { parts: parts.collect(), lacks }
    }

    fn lack(&self, number: usize, column: &Field, own: Option<(&AvroSchema, &AvroField)>) -> Lack {
        let default = own.and_then(|(schema, field)| {
            let mut bytes = Vec::new();
            put_default(schema, &field.of, field.default.as_ref()?, &mut bytes)?;
            Some((bytes, Maker::new(schema).slot(&field.of, None, column)))
        });
        Lack { column: number, name: column.name().clone(), nullable: column.is_nullable(), default }
    }

    fn slot(&self, of: &Type, reader: Reader<'_>, column: &Field) -> Slot {
        Slot {
            name: column.name().clone(),
            nullable: column.is_nullable(),
            step: self.step(of, reader, column.data_type()),
            skip: self.skip(of),
        }
    }

    fn step(&self, of: &Type, reader: Reader<'_>, wanted: &DataType) -> Step {
        if let Type::Union(branches) = of {
            return self.union(branches, reader, wanted);
        }
        let found = match of {
            Type::Primitive(primitive, logical) => plain(*primitive, *logical, wanted),
            Type::Array(items) => match wanted {
                DataType::List(item) => {
                    let reader = inner(reader, |_, of| match of {
                        Type::Array(items) => Some(items.as_ref()),
                        _ => None,
                    });
                    Some(Step::List(Box::new(self.slot(items, reader, item))))
                }
                _ => None,
            },
            Type::Map(values) => match wanted {
                DataType::Map(entries, _) => match (map_entry(entries.data_type()), entries.data_type()) {
                    (Ok((DataType::Utf8, _)), DataType::Struct(pair)) => {
                        let reader = inner(reader, |_, of| match of {
                            Type::Map(values) => Some(values.as_ref()),
                            _ => None,
                        });
                        Some(Step::Map(Box::new(self.slot(values, reader, &pair[1]))))
                    }
                    _ => None,
                },
                _ => None,
            },
            Type::Named(name) => self.named(name, reader, wanted),
            Type::Union(_) => None,
        };
        found.unwrap_or_else(|| {
            let (is, wanted) = (self.writer.describe(of), types::name(wanted));
            Step::Misfit(format!("is written as {is} and cannot be read as {wanted}"), self.skip(of))
        })
    }

    fn named(&self, name: &str, reader: Reader<'_>, wanted: &DataType) -> Option<Step> {
        match (self.writer.named.get(name)?, wanted) {
            (Named::Record { fields, .. }, DataType::Struct(columns)) => {
                let own = inner(reader, |schema, of| record(schema, of).map(|_| of));
                let own = own.and_then(|(schema, of)| Some((schema, record(schema, of)?)));
                Some(Step::Record(self.record(fields, own, columns)))
            }
            (Named::Enum { symbols, .. }, DataType::Utf8) => Some(Step::Enum(symbols.clone())),
            (Named::Fixed { size, logical: Some(Logical::Decimal { scale, .. }), .. }, DataType::Decimal128(..)) => {
                decimal(Some(usize::try_from(*size).ok()?), *scale, wanted)
            }
            (Named::Fixed { size, .. }, DataType::Binary) => Some(Step::Fixed(usize::try_from(*size).ok()?)),
            _ => None,
        }
    }

    fn union(&self, branches: &[Type], reader: Reader<'_>, wanted: &DataType) -> Step {
        let is_null = |of: &Type| matches!(of, Type::Primitive(Primitive::Null, _));
        let several = branches.iter().filter(|branch| !is_null(branch)).count() > 1;
        let members = match wanted {
            DataType::Struct(fields) if several => members(fields),
            _ => None,
        };
        let Some(members) = members else {
            return Step::Union(branches.iter().map(|branch| self.step(branch, reader, wanted)).collect());
        };
        let mut number = 0;
        let branches = branches.iter().map(|branch| {
            if is_null(branch) {
                return None;
            }
            number += 1;
            let at = members.iter().position(|member| *member == number - 1);
            let DataType::Struct(fields) = wanted else { return None };
            let (at, column) = match at {
                Some(at) => (at, fields[at].as_ref().clone()),
                // a branch nobody reads
                None => (usize::MAX, Field::new("", DataType::Null, true)),
            };
            Some((at, self.slot(branch, None, &column)))
        });
        Step::Members(branches.collect())
    }

    fn skip(&self, of: &Type) -> Skip {
        match of {
            Type::Primitive(primitive, _) => match primitive {
                Primitive::Null => Skip::Nothing,
                Primitive::Boolean => Skip::Bytes(1),
                Primitive::Int | Primitive::Long => Skip::Long,
                Primitive::Float => Skip::Bytes(4),
                Primitive::Double => Skip::Bytes(8),
                Primitive::Bytes | Primitive::String => Skip::Sized,
            },
            Type::Array(items) => Skip::Blocks(Box::new(self.skip(items))),
            Type::Map(values) => Skip::Pairs(Box::new(self.skip(values))),
            Type::Union(branches) => Skip::Union(branches.iter().map(|branch| self.skip(branch)).collect()),
            Type::Named(name) if self.recursive.contains(name) => Skip::Named(name.clone()),
            Type::Named(name) => self.skip_named(name),
        }
    }

    fn skip_named(&self, name: &str) -> Skip {
        match self.writer.named.get(name) {
            Some(Named::Record { fields, .. }) => Skip::All(fields.iter().map(|field| self.skip(&field.of)).collect()),
            Some(Named::Enum { .. }) => Skip::Long,
            Some(Named::Fixed { size, .. }) => Skip::Bytes(usize::try_from(*size).unwrap_or(usize::MAX)),
            None => Skip::Nothing,
        }
    }
}

/// The writer's field for a column: by name, then in any case, then by an alias that the reader has for it.
fn source(written: &[AvroField], column: &str, own: Option<&AvroField>) -> Option<usize> {
    let named = |name: &str| written.iter().position(|field| field.name == name);
    let aliases = own.map(|own| own.aliases.as_slice()).unwrap_or_default();
    named(column)
        .or_else(|| written.iter().position(|field| field.name.eq_ignore_ascii_case(column)))
        .or_else(|| aliases.iter().find_map(|alias| named(alias)))
}

/// The numbers in the names of a struct whose fields are all called `member0`, `member1`, ...
fn members(fields: &Fields) -> Option<Vec<usize>> {
    fields.iter().map(|field| field.name().strip_prefix("member")?.parse().ok()).collect()
}

/// A value without parts; `None` when the column cannot hold it.
fn plain(primitive: Primitive, logical: Option<Logical>, wanted: &DataType) -> Option<Step> {
    use DataType as D;
    // a wall clock is taken as UTC where an instant is wanted, and an instant is no wall clock
    let zoned = |zone: bool| match wanted {
        D::Timestamp(TimeUnit::Microsecond, of) => of.is_some() || !zone,
        _ => false,
    };
    Some(match (primitive, logical) {
        (Primitive::Null, _) => Step::Null,
        (Primitive::Int, Some(Logical::Date)) if *wanted == D::Date32 => Step::Int(1),
        (Primitive::Long, Some(Logical::TimestampMillis)) if zoned(true) => Step::Long(1000),
        (Primitive::Long, Some(Logical::TimestampMicros)) if zoned(true) => Step::Long(1),
        (Primitive::Long, Some(Logical::LocalTimestampMillis)) if zoned(false) => Step::Long(1000),
        (Primitive::Long, Some(Logical::LocalTimestampMicros)) if zoned(false) => Step::Long(1),
        (Primitive::Bytes, Some(Logical::Decimal { scale, .. })) if matches!(wanted, D::Decimal128(..)) => {
            return decimal(None, scale, wanted);
        }
        // without their meaning: as they are written
        (Primitive::Boolean, _) if *wanted == D::Boolean => Step::Boolean,
        (Primitive::Int, _) if is_number(wanted) => Step::Int(1),
        (Primitive::Long, _) if is_number(wanted) => Step::Long(1),
        (Primitive::Float, _) if matches!(wanted, D::Float32 | D::Float64) => Step::Float,
        (Primitive::Double, _) if *wanted == D::Float64 => Step::Double,
        (Primitive::Bytes, _) if *wanted == D::Binary => Step::Bytes,
        // text of a time in ISO 8601, as Debezium writes those with a zone
        (Primitive::String, _) if matches!(wanted, D::Utf8 | D::Binary | D::Timestamp(_, Some(_))) => Step::Text,
        (Primitive::Bytes, None) if *wanted == D::Utf8 => Step::Text,
        _ => return None,
    })
}

fn is_number(of: &DataType) -> bool {
    use DataType as D;
    matches!(of, D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::Float32 | D::Float64)
}

fn decimal(size: Option<usize>, scale: i8, wanted: &DataType) -> Option<Step> {
    let DataType::Decimal128(_, wanted) = wanted else { return None };
    let more = u32::try_from(wanted.checked_sub(scale)?).ok()?;
    Some(Step::Decimal(size, 10i128.checked_pow(more)?))
}

/// Appends a default in Avro; `None` when it is not of the type. That of a union is of its first branch, or of another
/// one as of Avro 1.12.
pub(super) fn put_default(schema: &AvroSchema, of: &Type, value: &Value, out: &mut Vec<u8>) -> Option<()> {
    let before = out.len();
    let put = put_value(schema, of, value, out);
    if put.is_none() {
        out.truncate(before);
    }
    put
}

fn put_value(schema: &AvroSchema, of: &Type, value: &Value, out: &mut Vec<u8>) -> Option<()> {
    // bytes are text whose characters are the bytes
    let bytes = |value: &Value| -> Option<Vec<u8>> {
        value.as_str()?.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect()
    };
    match (of, value) {
        (Type::Union(branches), _) => {
            return branches.iter().enumerate().find_map(|(at, branch)| {
                let before = out.len();
                put_long(at as i64, out);
                let put = put_default(schema, branch, value, out);
                if put.is_none() {
                    out.truncate(before);
                }
                put
            });
        }
        (Type::Array(items), Value::Array(values)) => {
            if !values.is_empty() {
                put_long(values.len() as i64, out);
            }
            values.iter().try_for_each(|value| put_default(schema, items, value, out))?;
            out.push(0);
        }
        (Type::Map(of), Value::Object(values)) => {
            if !values.is_empty() {
                put_long(values.len() as i64, out);
            }
            for (key, value) in values {
                put_sized(key.as_bytes(), out);
                put_default(schema, of, value, out)?;
            }
            out.push(0);
        }
        (Type::Named(name), _) => match (schema.named.get(name)?, value) {
            (Named::Record { fields, .. }, Value::Object(values)) => {
                for field in fields {
                    let value = values.get(&field.name).or(field.default.as_ref())?;
                    put_default(schema, &field.of, value, out)?;
                }
            }
            (Named::Enum { symbols, .. }, Value::String(symbol)) => {
                put_long(symbols.iter().position(|known| known == symbol)? as i64, out);
            }
            (Named::Fixed { size, .. }, Value::String(_)) => {
                let bytes = bytes(value)?;
                if bytes.len() as u64 != *size {
                    return None;
                }
                out.extend(bytes);
            }
            _ => return None,
        },
        (Type::Primitive(primitive, _), _) => match primitive {
            Primitive::Null => value.as_null()?,
            Primitive::Boolean => out.push(u8::from(value.as_bool()?)),
            Primitive::Int => put_long(i32::try_from(value.as_i64()?).ok()?.into(), out),
            Primitive::Long => put_long(value.as_i64()?, out),
            Primitive::Float => out.extend((value.as_f64()? as f32).to_le_bytes()),
            Primitive::Double => out.extend(value.as_f64()?.to_le_bytes()),
            Primitive::Bytes => put_sized(&bytes(value)?, out),
            Primitive::String => put_sized(value.as_str()?.as_bytes(), out),
        },
        _ => return None,
    }
    Some(())
}
