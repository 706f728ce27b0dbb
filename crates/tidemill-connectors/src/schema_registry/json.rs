//! JSON Schema as data: documents read, references found, limits checked. Nothing is ever fetched.
//!
//! Source: JSON Schema drafts 4 to 2020-12. Without `$schema` a document is draft 7, as for Confluent's registry.

use super::schemas::{SchemaKind, SchemaText};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use tidemill_core::{Error, Result};

const DEPTH_MAX: usize = 64;
const SCHEMAS_MAX: usize = 10_000;
const HOPS_MAX: usize = 32;

/// Keywords that hold a schema.
const SCHEMA: &[&str] = &[
    "additionalItems",
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords that hold a list of schemas.
const SCHEMA_LIST: &[&str] = &["allOf", "anyOf", "items", "oneOf", "prefixItems"];
/// Keywords that hold schemas by name.
const SCHEMA_MAP: &[&str] =
    &["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];
/// Keywords that constrain nothing; so does every keyword that is not known.
const ANNOTATIONS: &[&str] = &[
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "examples",
    "format",
    "id",
    "readOnly",
    "title",
    "writeOnly",
];
const TYPES: &[&str] = &["null", "boolean", "object", "array", "number", "string", "integer"];

/// A schema and the documents it names.
#[derive(Debug)]
pub struct JsonSchema {
    /// The schema itself first.
    documents: Vec<Document>,
}

#[derive(Debug)]
struct Document {
    value: Value,
    /// Documents by the names that this one has for them.
    names: Vec<(String, usize)>,
}

/// A schema within a document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'a> {
    all: &'a JsonSchema,
    document: usize,
    pub(crate) value: &'a Value,
}

impl JsonSchema {
    /// Reads a schema and those it names.
    ///
    /// # Errors
    /// Text that is no JSON or no schema, a `$ref` to nothing: says where.
    pub fn of(schema: &SchemaText) -> Result<JsonSchema> {
        let mut read = JsonSchema { documents: Vec::new() };
        let mut known = Vec::new();
        read.add(schema, &mut known)?;
        for document in 0..read.documents.len() {
            let root = Node { all: &read, document, value: &read.documents[document].value };
            check(root, "#", 0, &mut 0)?;
        }
        Ok(read)
    }

    fn add<'s>(&mut self, schema: &'s SchemaText, known: &mut Vec<(&'s SchemaText, usize)>) -> Result<usize> {
        let value: Value = serde_json::from_str(&schema.text)
            .map_err(|cause| Error::invalid("the schema is not JSON").caused_by(cause))?;
        let at = self.documents.len();
        self.documents.push(Document { value, names: Vec::new() });
        known.push((schema, at));
        for (name, named) in &schema.references {
            if named.kind != SchemaKind::Json {
                return Err(Error::invalid(format!("the reference '{name}' is {}, not JSON Schema", named.kind)));
            }
            let there = known.iter().find(|(text, _)| *text == named.as_ref()).map(|(_, at)| *at);
            let document = match there {
                Some(document) => document,
                None => self.add(named, known).map_err(|error| {
                    Error::invalid(format!("the reference '{name}' cannot be used")).caused_by(error)
                })?,
            };
            self.documents[at].names.push((name.clone(), document));
        }
        Ok(at)
    }

    /// The schema itself.
    pub(crate) fn root(&self) -> Node<'_> {
        Node { all: self, document: 0, value: &self.documents[0].value }
    }
}

impl<'a> Node<'a> {
    /// A schema below this one, in the same document.
    pub(crate) fn at(self, value: &'a Value) -> Node<'a> {
        Node { value, ..self }
    }

    /// The keyword's value.
    pub(crate) fn get(self, keyword: &str) -> Option<&'a Value> {
        self.value.get(keyword)
    }

    /// The schema that a keyword holds.
    pub(crate) fn schema(self, keyword: &str) -> Option<Node<'a>> {
        self.get(keyword).map(|value| self.at(value))
    }

    /// The schemas that a keyword holds by name.
    pub(crate) fn named(self, keyword: &str) -> impl Iterator<Item = (&'a str, Node<'a>)> {
        let object = self.get(keyword).and_then(Value::as_object);
        object.into_iter().flatten().map(move |(name, value)| (name.as_str(), self.at(value)))
    }

    /// The list of schemas that a keyword holds.
    pub(crate) fn list(self, keyword: &str) -> Option<Vec<Node<'a>>> {
        let items = self.get(keyword)?.as_array()?;
        Some(items.iter().map(|value| self.at(value)).collect())
    }

    /// True when nothing but annotations is in it: it takes everything.
    pub(crate) fn is_open(self) -> bool {
        match self.value {
            Value::Bool(takes) => *takes,
            Value::Object(object) => !object.keys().any(|key| constrains(key)),
            _ => false,
        }
    }

    /// The schema that `$ref` means, through several.
    ///
    /// # Errors
    /// It means nothing that is here.
    pub(crate) fn resolved(self) -> Result<Node<'a>> {
        let mut node = self;
        for _ in 0..HOPS_MAX {
            match node.get("$ref").and_then(Value::as_str) {
                Some(reference) => node = node.find(reference)?,
                None => return Ok(node),
            }
        }
        Err(Error::invalid("a $ref leads to itself"))
    }

    fn find(self, reference: &str) -> Result<Node<'a>> {
        let (base, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let missing = |why: &str| {
            Error::invalid(format!("the schema is not valid: \"$ref\": \"{reference}\" {why}"))
                .help("use '#/..' for a place in the same schema, or the name of one of the schema's references")
        };
        let documents = &self.all.documents;
        let own = documents[self.document].value.get("$id").and_then(Value::as_str);
        let document = match documents[self.document].names.iter().find(|(name, _)| name == base || name == reference) {
            Some((_, document)) => *document,
            None if base.is_empty() || own.is_some_and(|own| own.trim_end_matches('#') == base) => self.document,
            None => return Err(missing("is neither in it nor among its references, and nothing is fetched")),
        };
        let root = &documents[document].value;
        let decoded = percent_decode_str(fragment).decode_utf8_lossy();
        let found = match decoded.starts_with('/') || decoded.is_empty() {
            true => root.pointer(&decoded),
            false => return Err(missing("is an anchor, which this registry does not follow")),
        };
        let value = found.ok_or_else(|| missing("leads nowhere"))?;
        Ok(Node { all: self.all, document, value })
    }

    /// True when keywords beside `$ref` count: from draft 2019-09 on.
    fn has_siblings(self) -> bool {
        let draft = self.all.documents[self.document].value.get("$schema").and_then(Value::as_str);
        draft.is_some_and(|draft| {
            !["draft-03", "draft-04", "draft-06", "draft-07"].iter().any(|old| draft.contains(old))
        })
    }
}

/// True for keywords that a value can fail.
pub(crate) fn constrains(keyword: &str) -> bool {
    const LIMITS: &[&str] = &[
        "$ref",
        "$dynamicRef",
        "$recursiveRef",
        "const",
        "dependentRequired",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "maxContains",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minContains",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "pattern",
        "required",
        "type",
        "uniqueItems",
    ];
    let holds = |list: &[&str]| list.contains(&keyword);
    holds(LIMITS) || (!holds(ANNOTATIONS) && (holds(SCHEMA) || holds(SCHEMA_LIST) || holds(SCHEMA_MAP)))
}

fn check(node: Node<'_>, path: &str, depth: usize, count: &mut usize) -> Result<()> {
    let wrong = |what: String| Error::invalid(format!("the schema is not valid: {path}: {what}"));
    *count += 1;
    if depth > DEPTH_MAX || *count > SCHEMAS_MAX {
        return Err(wrong(format!("more than {DEPTH_MAX} schemas deep, or {SCHEMAS_MAX} in all")));
    }
    let object = match node.value {
        Value::Bool(_) => return Ok(()),
        Value::Object(object) => object,
        other => return Err(wrong(format!("{other} is no schema"))),
    };
    check_words(object, &wrong)?;
    if object.get("$ref").is_some_and(Value::is_string) {
        node.resolved().map_err(|error| wrong(error.to_string()).help(error.help_text().unwrap_or_default()))?;
        if node.has_siblings() && object.keys().any(|key| key != "$ref" && constrains(key)) {
            return Err(
                wrong("keywords beside $ref are not understood".into()).help("put the $ref and them into allOf")
            );
        }
    }
    for (keyword, value) in object {
        let path = format!("{path}/{keyword}");
        match value {
            Value::Object(entries) if SCHEMA_MAP.contains(&keyword.as_str()) => {
                for (name, value) in entries.iter().filter(|(_, value)| !value.is_array()) {
                    check(node.at(value), &format!("{path}/{name}"), depth + 1, count)?;
                }
            }
            Value::Array(items) if SCHEMA_LIST.contains(&keyword.as_str()) => {
                for (number, value) in items.iter().enumerate() {
                    check(node.at(value), &format!("{path}/{number}"), depth + 1, count)?;
                }
            }
            Value::Object(_) | Value::Bool(_) if SCHEMA.contains(&keyword.as_str()) => {
                check(node.at(value), &path, depth + 1, count)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_words(object: &Map<String, Value>, wrong: &dyn Fn(String) -> Error) -> Result<()> {
    let is_type = |value: &Value| value.as_str().is_some_and(|word| TYPES.contains(&word));
    match object.get("type") {
        None => {}
        Some(Value::Array(types)) if !types.is_empty() && types.iter().all(is_type) => {}
        Some(one) if is_type(one) => {}
        Some(other) => return Err(wrong(format!("{other} is no type")).help(format!("types: {}", TYPES.join(", ")))),
    }
    type Check = fn(&Value) -> bool;
    let expected: [(&str, &str, Check); 6] = [
        ("properties", "an object", Value::is_object),
        ("patternProperties", "an object", Value::is_object),
        ("enum", "a list", Value::is_array),
        ("allOf", "a list", Value::is_array),
        ("anyOf", "a list", Value::is_array),
        ("oneOf", "a list", Value::is_array),
    ];
    for (keyword, what, is_so) in expected {
        if object.get(keyword).is_some_and(|value| !is_so(value)) {
            return Err(wrong(format!("'{keyword}' must be {what}")));
        }
    }
    Ok(())
}
