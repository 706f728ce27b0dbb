//! Columns to payloads: by the schema that was given, or one made of the columns, with its framing before each.

use super::input::{put_long, put_sized};
use super::plan::put_default;
use super::settings::{AvroFraming, Settings, fingerprint};
use crate::format::framing::{CONFLUENT, SINGLE_OBJECT};
use crate::format::whole::column_of;
use crate::schema_registry::avro::{Logical, Named, Primitive, Type};
use crate::schema_registry::of_table;
use crate::schema_registry::schemas::{SchemaKind, SchemaText, Schemas};
use crate::schema_registry::{AvroSchema, arrow_to_avro};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Schema, SchemaRef, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::sync::{Arc, OnceLock};
use tidemill_core::format::{Encoder, Payloads};
use tidemill_core::{Error, Kind, Options, Result, types};

/// Encodes rows.
pub(super) struct AvroEncoder {
    fields: Vec<Part>,
    prefix: Prefix,
}

/// What stands before each payload.
enum Prefix {
    Bytes(Vec<u8>),
    /// The id that the registry gives the schema.
    Registered {
        schemas: Arc<dyn Schemas>,
        subject: String,
        text: String,
        id: OnceLock<u32>,
    },
}

/// A field of a record: a column, or what stands for one that is not there.
enum Part {
    Column(usize, String, Write),
    Constant(Vec<u8>),
}

/// How a value is written.
enum Write {
    Null,
    Boolean,
    /// Whole numbers: at most 32 bits or 64; divided by so much.
    Whole(bool, i64),
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    Decimal(Option<usize>),
    List(Box<Write>),
    Map(Box<Write>),
    Record(Vec<Part>),
    /// Branches of null and of the value.
    Union(Option<usize>, Option<(usize, Box<Write>)>),
}

impl AvroEncoder {
    /// # Errors
    /// A column that the schema has no place for, or the other way round.
    pub fn new(columns: SchemaRef, settings: Settings, options: &Options) -> Result<Self> {
        let text = match settings.reader() {
            Some(given) => given.text.clone(),
            None => arrow_to_avro(&columns, &settings.record_name)?,
        };
        let schema = AvroSchema::parse(&text)?;
        let fields = match &schema.root {
            Type::Named(name) => record(&schema, name, columns.fields(), "")?,
            _ => None,
        };
        let fields = fields.ok_or_else(|| Error::invalid("the Avro schema to write with is not a record"))?;
        let prefix = match settings.framing {
            AvroFraming::None => Prefix::Bytes(Vec::new()),
            AvroFraming::SingleObject => {
                let mut bytes = SINGLE_OBJECT.to_vec();
                bytes.extend(fingerprint(&text)?.to_le_bytes());
                Prefix::Bytes(bytes)
            }
            AvroFraming::Confluent => {
                let subject = settings.subject.ok_or_else(|| {
                    Error::invalid("a schema is registered under a subject, and none is named")
                        .help("add the option 'avro_subject'")
                })?;
                let schemas = of_table::to_write(options)?;
                let schemas = schemas.ok_or_else(|| Error::bug("framing without a registry passed the check"))?;
                Prefix::Registered { schemas, subject, text, id: OnceLock::new() }
            }
        };
        Ok(AvroEncoder { fields, prefix })
    }
}

#[async_trait]
impl Encoder for AvroEncoder {
    async fn prepare(&self) -> Result<()> {
        if let Prefix::Registered { schemas, subject, text, id } = &self.prefix
            && id.get().is_none()
        {
            let schema = SchemaText { kind: SchemaKind::Avro, text: text.clone(), references: Vec::new() };
            let registered = schemas.register(subject, &schema).await?;
            tracing::info!(subject, id = registered, "the schema of a sink is registered");
            id.get_or_init(|| registered);
        }
        Ok(())
    }

    fn encode(&self, rows: &RecordBatch, out: &mut Payloads) -> Result<()> {
        let prefix = match &self.prefix {
            Prefix::Bytes(bytes) => bytes.clone(),
            Prefix::Registered { id, .. } => {
                let id = id.get().ok_or_else(|| Error::bug("rows are encoded before their schema is registered"))?;
                [&[CONFLUENT][..], &id.to_be_bytes()].concat()
            }
        };
        for row in 0..rows.num_rows() {
            out.data.extend_from_slice(&prefix);
            parts(&self.fields, rows.columns(), row, &mut out.data).map_err(Misfit::error)?;
            out.ends.push(out.data.len());
        }
        Ok(())
    }
}

/// The fields of the record `name`, filled by `columns`; `None` when it is no record.
fn record(schema: &AvroSchema, name: &str, columns: &Fields, path: &str) -> Result<Option<Vec<Part>>> {
    let Some(Named::Record { fields, .. }) = schema.named.get(name) else { return Ok(None) };
    let given = Schema::new(columns.clone());
    let mut used = vec![false; columns.len()];
    let mut parts = Vec::with_capacity(fields.len());
    for field in fields {
        let inner = format!("{path}{}", field.name);
        let Some(at) = column_of(&given, &field.name) else {
            let mut bytes = Vec::new();
            let default = field.default.as_ref();
            if default.and_then(|default| put_default(schema, &field.of, default, &mut bytes)).is_none() {
                return Err(Error::invalid(format!(
                    "the Avro schema has a field '{inner}', and there is no such column"
                ))
                .help("select it, or give the field a default"));
            }
            parts.push(Part::Constant(bytes));
            continue;
        };
        used[at] = true;
        let write = write(schema, &field.of, columns[at].data_type(), &inner)?;
        parts.push(Part::Column(at, inner, write));
    }
    match used.iter().position(|used| !used) {
        Some(at) => {
            Err(Error::invalid(format!("the Avro schema has no field for the column '{path}{}'", columns[at].name()))
                .help("leave the column out, or add the field to the schema"))
        }
        None => Ok(Some(parts)),
    }
}

fn write(schema: &AvroSchema, of: &Type, column: &DataType, path: &str) -> Result<Write> {
    use DataType as D;
    let misfit = || {
        let (column, of) = (types::name(column), schema.describe(of));
        Error::invalid(format!("column '{path}' is {column}, which the Avro schema has as {of}"))
            .help("cast it in the query")
    };
    let is_small = matches!(column, D::Int8 | D::Int16 | D::Int32);
    Ok(match (of, column) {
        (Type::Union(branches), _) => {
            let is_null = |of: &Type| matches!(of, Type::Primitive(Primitive::Null, _));
            let null = branches.iter().position(is_null);
            let others = branches.iter().enumerate().filter(|(_, branch)| !is_null(branch));
            let fits = others.filter_map(|(at, branch)| Some((at, write(schema, branch, column, path).ok()?)));
            let value = fits.map(|(at, write)| (at, Box::new(write))).next();
            if value.is_none() && *column != D::Null {
                return Err(misfit());
            }
            Write::Union(null, value)
        }
        (Type::Primitive(Primitive::Null, _), D::Null) => Write::Null,
        (Type::Primitive(primitive, logical), _) => match (primitive, logical, column) {
            (Primitive::Boolean, _, D::Boolean) => Write::Boolean,
            (Primitive::Int, Some(Logical::Date), D::Date32) => Write::Whole(true, 1),
            (Primitive::Long, Some(Logical::TimestampMillis), D::Timestamp(_, Some(_)))
            | (Primitive::Long, Some(Logical::LocalTimestampMillis), D::Timestamp(_, None)) => {
                Write::Whole(false, 1000)
            }
            (Primitive::Long, Some(Logical::TimestampMicros), D::Timestamp(_, Some(_)))
            | (Primitive::Long, Some(Logical::LocalTimestampMicros), D::Timestamp(_, None)) => Write::Whole(false, 1),
            (Primitive::Int, _, _) if is_small => Write::Whole(true, 1),
            (Primitive::Long, _, _) if is_small || *column == D::Int64 => Write::Whole(false, 1),
            (Primitive::Float, _, D::Float32) => Write::Float,
            (Primitive::Double, _, D::Float32 | D::Float64) => Write::Double,
            (Primitive::Bytes, Some(Logical::Decimal { scale, .. }), D::Decimal128(_, own)) if scale == own => {
                Write::Decimal(None)
            }
            (Primitive::Bytes, None, D::Binary) => Write::Bytes,
            (Primitive::String, _, D::Utf8) => Write::Text,
            _ => return Err(misfit()),
        },
        (Type::Array(items), D::List(item)) => Write::List(Box::new(write(schema, items, item.data_type(), path)?)),
        (Type::Map(values), D::Map(entries, _)) => match entries.data_type() {
            D::Struct(pair) if pair.len() == 2 && *pair[0].data_type() == D::Utf8 => {
                Write::Map(Box::new(write(schema, values, pair[1].data_type(), path)?))
            }
            _ => return Err(misfit()),
        },
        (Type::Named(name), _) => match (schema.named.get(name), column) {
            (Some(Named::Record { .. }), D::Struct(fields)) => {
                Write::Record(record(schema, name, fields, &format!("{path}."))?.ok_or_else(misfit)?)
            }
            (Some(Named::Enum { symbols, .. }), D::Utf8) => Write::Enum(symbols.clone()),
            (Some(Named::Fixed { size, logical: Some(Logical::Decimal { scale, .. }), .. }), D::Decimal128(_, own))
                if scale == own =>
            {
                Write::Decimal(usize::try_from(*size).ok())
            }
            (Some(Named::Fixed { size, .. }), D::Binary) => Write::Fixed(usize::try_from(*size).map_err(|_| misfit())?),
            _ => return Err(misfit()),
        },
        _ => return Err(misfit()),
    })
}

fn parts(parts: &[Part], columns: &[ArrayRef], row: usize, out: &mut Vec<u8>) -> Result<(), Misfit> {
    for part in parts {
        match part {
            Part::Constant(bytes) => out.extend_from_slice(bytes),
            Part::Column(at, name, write) => put(write, &columns[*at], row, out).map_err(|misfit| misfit.of(name))?,
        }
    }
    Ok(())
}

/// A value that the schema does not allow.
struct Misfit {
    what: String,
    /// Name of the column, with those it is in.
    column: Option<String>,
}

impl Misfit {
    #[cold]
    fn new(what: impl Into<String>) -> Misfit {
        Misfit { what: what.into(), column: None }
    }

    /// In a column, unless one inside it is known.
    fn of(mut self, column: &str) -> Misfit {
        self.column.get_or_insert_with(|| column.to_owned());
        self
    }

    fn error(self) -> Error {
        let (column, what) = (self.column.unwrap_or_default(), self.what);
        Error::new(Kind::Data, format!("column '{column}' {what}, which the Avro schema does not allow"))
    }
}

fn put(write: &Write, array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<(), Misfit> {
    if let Write::Union(null, value) = write {
        return match (array.is_null(row), null, value) {
            (true, Some(at), _) => {
                put_long(*at as i64, out);
                Ok(())
            }
            (false, _, Some((at, write))) => {
                put_long(*at as i64, out);
                put(write, array, row, out)
            }
            _ => Err(Misfit::new("is NULL in a row")),
        };
    }
    if let Write::Null = write {
        return Ok(());
    }
    if array.is_null(row) {
        return Err(Misfit::new("is NULL in a row"));
    }
    match write {
        Write::Null | Write::Union(..) => {}
        Write::Boolean => out.push(u8::from(array.as_boolean().value(row))),
        Write::Whole(is_int, unit) => {
            let value = whole(array, row).div_euclid(*unit);
            if *is_int && i32::try_from(value).is_err() {
                return Err(Misfit::new(format!("is {value} in a row")));
            }
            put_long(value, out);
        }
        Write::Float => out.extend(array.as_primitive::<Float32Type>().value(row).to_le_bytes()),
        Write::Double => {
            let value = match array.data_type() {
                DataType::Float32 => array.as_primitive::<Float32Type>().value(row).into(),
                _ => array.as_primitive::<Float64Type>().value(row),
            };
            out.extend(value.to_le_bytes());
        }
        Write::Bytes => put_sized(array.as_binary::<i32>().value(row), out),
        Write::Text => put_sized(array.as_string::<i32>().value(row).as_bytes(), out),
        Write::Fixed(size) => {
            let bytes = array.as_binary::<i32>().value(row);
            if bytes.len() != *size {
                return Err(Misfit::new(format!("has {} bytes in a row", bytes.len())));
            }
            out.extend_from_slice(bytes);
        }
        Write::Enum(symbols) => {
            let text = array.as_string::<i32>().value(row);
            let at = symbols.iter().position(|symbol| symbol == text);
            put_long(at.ok_or_else(|| Misfit::new(format!("is '{text}' in a row")))? as i64, out);
        }
        Write::Decimal(size) => decimal(array.as_primitive::<Decimal128Type>().value(row), *size, out)?,
        Write::List(_) | Write::Map(_) => several(write, array, row, out)?,
        Write::Record(fields) => parts(fields, array.as_struct().columns(), row, out)?,
    }
    Ok(())
}

/// The items of an array or map, and the empty block that ends them.
fn several(write: &Write, array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<(), Misfit> {
    match write {
        Write::List(item) => {
            let items = array.as_list::<i32>().value(row);
            if !items.is_empty() {
                put_long(items.len() as i64, out);
            }
            (0..items.len()).try_for_each(|at| put(item, &items, at, out))?;
        }
        Write::Map(value) => {
            let entries = array.as_map().value(row);
            let keys = entries.column(0).as_string::<i32>();
            if !keys.is_empty() {
                put_long(keys.len() as i64, out);
            }
            for at in 0..keys.len() {
                put_sized(keys.value(at).as_bytes(), out);
                put(value, entries.column(1), at, out)?;
            }
        }
        _ => {}
    }
    out.push(0);
    Ok(())
}

/// A number or time as a whole number; the plan lets no other column come here.
fn whole(array: &ArrayRef, row: usize) -> i64 {
    match array.data_type() {
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(row).into(),
        DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(row),
        _ => array.as_primitive::<Int64Type>().value(row),
    }
}

/// Two's complement, the highest byte first: in so many bytes, or the fewest.
fn decimal(unscaled: i128, size: Option<usize>, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let all = unscaled.to_be_bytes();
    let fill = if unscaled < 0 { 0xFF } else { 0 };
    let is_spare = |at: usize| all[at] == fill && (all[at + 1] ^ fill) & 0x80 == 0;
    let least = &all[(0..15).take_while(|at| is_spare(*at)).count()..];
    match size {
        None => put_sized(least, out),
        Some(size) if size >= least.len() => {
            out.extend(std::iter::repeat_n(fill, size - least.len()));
            out.extend_from_slice(least);
        }
        Some(size) => return Err(Misfit::new(format!("takes more than {size} bytes in a row"))),
    }
    Ok(())
}
