//! Avro schemas as data: read from JSON, names resolved, limits checked.
//!
//! Source: Avro specification 1.12, "Schema Declaration".

use super::schemas::{SchemaKind, SchemaText};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tidemill_core::nearest::nearest;
use tidemill_core::{Error, Result};

const TEXT_BYTES_MAX: usize = 1 << 20;
const DEPTH_MAX: usize = 32;
const FIELDS_MAX: usize = 2_000;

const PRIMITIVES: &[&str] = &["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// A schema and the named types in it.
#[derive(Debug, Clone, PartialEq)]
pub struct AvroSchema {
    pub(crate) root: Type,
    pub(crate) named: BTreeMap<String, Named>,
}

/// A type; named ones are looked up in [`AvroSchema::named`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    Primitive(Primitive, Option<Logical>),
    Array(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
    Named(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

/// What the values of a primitive or fixed type mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logical {
    Decimal { precision: u8, scale: i8 },
    Date,
    TimestampMillis,
    TimestampMicros,
    LocalTimestampMillis,
    LocalTimestampMicros,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Named {
    Record { aliases: Vec<String>, fields: Vec<AvroField> },
    Enum { aliases: Vec<String>, symbols: Vec<String>, has_default: bool },
    Fixed { aliases: Vec<String>, size: u64, logical: Option<Logical> },
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AvroField {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) of: Type,
    pub(crate) default: Option<Value>,
}

impl Primitive {
    /// The name in a schema.
    pub(crate) fn word(self) -> &'static str {
        PRIMITIVES[self as usize]
    }
}

impl AvroSchema {
    /// Reads a schema.
    ///
    /// # Errors
    /// Text that is no JSON or no Avro schema: says where in the schema and what was expected.
    pub fn parse(text: &str) -> Result<AvroSchema> {
        AvroSchema::parse_with(text, &[])
    }

    /// The same of a schema that uses the named types of others: `before`, each after those it uses itself.
    ///
    /// # Errors
    /// As [`AvroSchema::parse`], of any of them.
    pub fn parse_with(text: &str, before: &[&str]) -> Result<AvroSchema> {
        let mut reader = Reader { named: BTreeMap::new(), fields: 0 };
        for other in before {
            reader.read(other)?;
        }
        let root = reader.read(text)?;
        Ok(AvroSchema { root, named: reader.named })
    }

    /// The same with the schemas that it names.
    ///
    /// # Errors
    /// As [`AvroSchema::parse_with`]; a reference that is no Avro.
    pub fn of(schema: &SchemaText) -> Result<AvroSchema> {
        let mut before = Vec::new();
        collect(schema, &mut before)?;
        AvroSchema::parse_with(&schema.text, &before)
    }

    /// A type in words, for messages.
    pub(crate) fn describe(&self, of: &Type) -> String {
        match of {
            Type::Primitive(_, Some(Logical::Decimal { precision, scale })) => format!("decimal({precision},{scale})"),
            Type::Primitive(_, Some(Logical::Date)) => "date".into(),
            Type::Primitive(primitive, _) => primitive.word().into(),
            Type::Array(_) => "array".into(),
            Type::Map(_) => "map".into(),
            Type::Union(branches) => {
                format!("[{}]", branches.iter().map(|branch| self.describe(branch)).collect::<Vec<_>>().join(", "))
            }
            Type::Named(name) => match self.named.get(name) {
                Some(Named::Record { .. }) => format!("record {name}"),
                Some(Named::Enum { .. }) => format!("enum {name}"),
                _ => format!("fixed {name}"),
            },
        }
    }
}

struct Reader {
    named: BTreeMap<String, Named>,
    fields: usize,
}

/// Names of the fields on the way to a place in the schema.
type Path<'a> = Vec<&'a str>;

impl Reader {
    fn read(&mut self, text: &str) -> Result<Type> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Error::invalid(format!(
                "a schema of {} bytes is too large: at most {TEXT_BYTES_MAX}",
                text.len()
            )));
        }
        let json: Value =
            serde_json::from_str(text).map_err(|cause| Error::invalid("the schema is not JSON").caused_by(cause))?;
        self.type_of(&json, "", &mut Vec::new())
    }

    fn type_of<'a>(&mut self, json: &'a Value, namespace: &str, path: &mut Path<'a>) -> Result<Type> {
        if path.len() > DEPTH_MAX {
            return Err(wrong(path, format!("nested deeper than {DEPTH_MAX}")));
        }
        match json {
            Value::String(name) => self.by_name(name, namespace, path),
            Value::Array(branches) => self.union(branches, namespace, path),
            Value::Object(object) => self.object(object, namespace, path),
            other => Err(wrong(path, format!("{other} is no type"))),
        }
    }

    fn by_name(&self, name: &str, namespace: &str, path: &Path<'_>) -> Result<Type> {
        if let Some(primitive) = primitive(name) {
            return Ok(Type::Primitive(primitive, None));
        }
        let full = full_name(name, namespace);
        let known = [full.as_str(), name].into_iter().find(|name| self.named.contains_key(*name));
        known.map(|name| Type::Named(name.to_owned())).ok_or_else(|| {
            let error = wrong(path, format!("there is no type '{name}'"));
            match nearest(name, PRIMITIVES.iter().copied().chain(self.named.keys().map(String::as_str))) {
                Some(near) => error.help(format!("did you mean '{near}'?")),
                None => error.help("a named type must be declared before it is used"),
            }
        })
    }

    fn union<'a>(&mut self, branches: &'a [Value], namespace: &str, path: &mut Path<'a>) -> Result<Type> {
        let types = branches.iter().map(|branch| self.type_of(branch, namespace, path)).collect::<Result<Vec<_>>>()?;
        if types.iter().any(|of| matches!(of, Type::Union(_))) {
            return Err(wrong(path, "a union directly in a union".into()));
        }
        for (number, of) in types.iter().enumerate() {
            if types[..number].iter().any(|other| is_same_branch(other, of)) {
                return Err(wrong(path, "a union with two branches of the same type".into()));
            }
        }
        Ok(Type::Union(types))
    }

    fn object<'a>(&mut self, object: &'a Map<String, Value>, namespace: &str, path: &mut Path<'a>) -> Result<Type> {
        let kind = match object.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(nested) => return self.type_of(nested, namespace, path),
            None => return Err(wrong(path, "a type without 'type'".into())),
        };
        match kind {
            "record" | "error" | "enum" | "fixed" => self.declare(kind, object, namespace, path),
            "array" => Ok(Type::Array(Box::new(self.inner(object, "items", namespace, path)?))),
            "map" => Ok(Type::Map(Box::new(self.inner(object, "values", namespace, path)?))),
            name => match self.by_name(name, namespace, path)? {
                Type::Primitive(primitive, _) => Ok(Type::Primitive(primitive, logical(primitive, object, path)?)),
                other => Ok(other),
            },
        }
    }

    fn inner<'a>(
        &mut self,
        object: &'a Map<String, Value>,
        key: &'static str,
        namespace: &str,
        path: &mut Path<'a>,
    ) -> Result<Type> {
        let json = object.get(key).ok_or_else(|| wrong(path, format!("needs '{key}'")))?;
        path.push(key);
        let of = self.type_of(json, namespace, path)?;
        path.pop();
        Ok(of)
    }

    fn declare<'a>(
        &mut self,
        kind: &str,
        object: &'a Map<String, Value>,
        namespace: &str,
        path: &mut Path<'a>,
    ) -> Result<Type> {
        let name = text(object, "name").ok_or_else(|| wrong(path, format!("a {kind} without 'name'")))?;
        let namespace = text(object, "namespace").unwrap_or(namespace);
        let full = full_name(name, namespace);
        check_name(full.rsplit('.').next().unwrap_or(name), path)?;
        let namespace = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        let aliases = aliases(object);
        if self.named.contains_key(&full) {
            return Err(wrong(path, format!("'{full}' is declared twice")));
        }
        let declared = match kind {
            "enum" => {
                let symbols =
                    strings(object, "symbols").ok_or_else(|| wrong(path, "an enum needs 'symbols'".into()))?;
                let default = text(object, "default");
                if let Some(other) = default.filter(|default| !symbols.iter().any(|symbol| symbol == default)) {
                    return Err(wrong(path, format!("the default '{other}' of the enum is none of its symbols")));
                }
                Named::Enum { aliases, symbols, has_default: default.is_some() }
            }
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64);
                let size = size.ok_or_else(|| wrong(path, "a fixed needs 'size'".into()))?;
                Named::Fixed { aliases, size, logical: logical(Primitive::Bytes, object, path)? }
            }
            _ => {
                // known before its fields, which may refer to it
                self.named.insert(full.clone(), Named::Record { aliases: Vec::new(), fields: Vec::new() });
                Named::Record { aliases, fields: self.fields(object, &namespace, path)? }
            }
        };
        self.named.insert(full.clone(), declared);
        Ok(Type::Named(full))
    }

    fn fields<'a>(
        &mut self,
        object: &'a Map<String, Value>,
        namespace: &str,
        path: &mut Path<'a>,
    ) -> Result<Vec<AvroField>> {
        let list = object.get("fields").and_then(Value::as_array);
        let list = list.ok_or_else(|| wrong(path, "a record needs 'fields'".into()))?;
        self.fields += list.len();
        if self.fields > FIELDS_MAX {
            return Err(wrong(path, format!("more than {FIELDS_MAX} fields")));
        }
        let mut fields: Vec<AvroField> = Vec::with_capacity(list.len());
        for json in list {
            let field = json.as_object().ok_or_else(|| wrong(path, format!("{json} is no field")))?;
            let name = text(field, "name").ok_or_else(|| wrong(path, "a field without 'name'".into()))?;
            path.push(name);
            check_name(name, path)?;
            if fields.iter().any(|other| other.name == name) {
                return Err(wrong(path, "declared twice".into()));
            }
            let of = field.get("type").ok_or_else(|| wrong(path, "needs 'type'".into()))?;
            let of = self.type_of(of, namespace, path)?;
            path.pop();
            let default = field.get("default").cloned();
            fields.push(AvroField { name: name.to_owned(), aliases: aliases(field), of, default });
        }
        Ok(fields)
    }
}

/// What a schema names, each text once and after those it names itself.
fn collect<'a>(schema: &'a SchemaText, before: &mut Vec<&'a str>) -> Result<()> {
    for (name, named) in &schema.references {
        if named.kind != SchemaKind::Avro {
            return Err(Error::invalid(format!("the reference '{name}' is {}, not Avro", named.kind)));
        }
        collect(named, before)?;
        if !before.contains(&named.text.as_str()) {
            before.push(&named.text);
        }
    }
    Ok(())
}

/// True for branches that a union may not have both: all but named types count once.
fn is_same_branch(left: &Type, right: &Type) -> bool {
    match (left, right) {
        (Type::Primitive(left, _), Type::Primitive(right, _)) => left == right,
        (Type::Array(_), Type::Array(_)) | (Type::Map(_), Type::Map(_)) => true,
        (Type::Named(left), Type::Named(right)) => left == right,
        _ => false,
    }
}

fn primitive(name: &str) -> Option<Primitive> {
    use Primitive as P;
    let all = [P::Null, P::Boolean, P::Int, P::Long, P::Float, P::Double, P::Bytes, P::String];
    all.into_iter().find(|primitive| primitive.word() == name)
}

/// The logical type; as the specification says, one that is unknown or does not fit is passed over.
fn logical(primitive: Primitive, object: &Map<String, Value>, path: &Path<'_>) -> Result<Option<Logical>> {
    let number = |key: &str| object.get(key).and_then(Value::as_u64);
    let connect = text(object, "connect.name");
    Ok(match (primitive, text(object, "logicalType")) {
        (Primitive::Bytes, Some("decimal")) => {
            let (precision, scale) = (number("precision").unwrap_or(0), number("scale").unwrap_or(0));
            if !(1..=38).contains(&precision) || scale > precision {
                return Err(wrong(
                    path,
                    format!("decimal({precision},{scale}): 1 to 38 digits, no more after the point"),
                ));
            }
            Some(Logical::Decimal { precision: precision as u8, scale: scale as i8 })
        }
        (Primitive::Int, Some("date")) => Some(Logical::Date),
        (Primitive::Long, Some("timestamp-millis")) => Some(Logical::TimestampMillis),
        (Primitive::Long, Some("timestamp-micros")) => Some(Logical::TimestampMicros),
        (Primitive::Long, Some("local-timestamp-millis")) => Some(Logical::LocalTimestampMillis),
        (Primitive::Long, Some("local-timestamp-micros")) => Some(Logical::LocalTimestampMicros),
        // Debezium's own, which count a wall clock
        (Primitive::Int, None) if connect == Some("io.debezium.time.Date") => Some(Logical::Date),
        (Primitive::Long, None) => match connect {
            Some("io.debezium.time.Timestamp") => Some(Logical::LocalTimestampMillis),
            Some("io.debezium.time.MicroTimestamp") => Some(Logical::LocalTimestampMicros),
            _ => None,
        },
        _ => None,
    })
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

fn strings(object: &Map<String, Value>, key: &str) -> Option<Vec<String>> {
    let list = object.get(key)?.as_array()?;
    list.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// Aliases without their namespaces: compatibility compares plain names.
fn aliases(object: &Map<String, Value>) -> Vec<String> {
    strings(object, "aliases").unwrap_or_default().iter().map(|alias| plain_name(alias).to_owned()).collect()
}

/// A name without its namespace.
pub(crate) fn plain_name(full: &str) -> &str {
    full.rsplit('.').next().unwrap_or(full)
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

/// True for a name that Avro allows: letters, digits and `_`, with no digit in front.
pub(crate) fn is_name(name: &str) -> bool {
    let starts_well = name.chars().next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    starts_well && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn check_name(name: &str, path: &Path<'_>) -> Result<()> {
    if is_name(name) {
        return Ok(());
    }
    Err(wrong(path, format!("'{name}' is not a name in avro"))
        .help("use letters, digits and '_', with no digit in front"))
}

fn wrong(path: &Path<'_>, what: String) -> Error {
    match path.is_empty() {
        true => Error::invalid(format!("the schema is not valid: {what}")),
        false => Error::invalid(format!("the schema is not valid: field '{}': {what}", path.join("."))),
    }
}
