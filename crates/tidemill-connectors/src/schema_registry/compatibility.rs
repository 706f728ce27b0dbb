//! Whether data written with one schema can be read with another.
//!
//! Source: Avro specification 1.12, "Schema Resolution".

use super::avro::{AvroField, AvroSchema, Logical, Named, Primitive, Type, plain_name};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a new version of a schema must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Compatibility {
    /// Readers with the new schema read data of the one before.
    #[default]
    Backward,
    /// Readers with the schema before read data of the new one.
    Forward,
    /// Both.
    Full,
    /// Nothing.
    None,
}

impl fmt::Display for Compatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compatibility::Backward => "backward",
            Compatibility::Forward => "forward",
            Compatibility::Full => "fully",
            Compatibility::None => "not at all",
        })
    }
}

/// What `new` breaks of `old`, in words; empty when it is compatible.
pub fn problems(level: Compatibility, new: &AvroSchema, old: &AvroSchema) -> Vec<String> {
    let backward = || pairing(new, old, "data of the version before");
    let forward = || pairing(old, new, "new data");
    match level {
        Compatibility::Backward => backward(),
        Compatibility::Forward => forward(),
        Compatibility::Full => backward().into_iter().chain(forward()).collect(),
        Compatibility::None => Vec::new(),
    }
}

fn pairing(reader: &AvroSchema, writer: &AvroSchema, data: &'static str) -> Vec<String> {
    let mut pair = Pair { reader, writer, data, visited: Vec::new(), problems: Vec::new(), path: Vec::new() };
    pair.check(&reader.root, &writer.root);
    pair.problems
}

struct Pair<'a> {
    reader: &'a AvroSchema,
    writer: &'a AvroSchema,
    /// Whose data the reader gets, for messages.
    data: &'static str,
    /// Pairs of named types that are being or were compared.
    visited: Vec<(&'a str, &'a str)>,
    problems: Vec<String>,
    path: Vec<&'a str>,
}

impl<'a> Pair<'a> {
    fn check(&mut self, reader: &'a Type, writer: &'a Type) {
        match (reader, writer) {
            // whatever branch the data has must be readable
            (_, Type::Union(branches)) => branches.iter().for_each(|branch| self.check(reader, branch)),
            (Type::Union(branches), _) => {
                if !branches.iter().any(|branch| self.fits(branch, writer)) {
                    self.mismatch(reader, writer);
                }
            }
            (Type::Primitive(to, means), Type::Primitive(from, meant)) => {
                if !promotes(*from, *to) || is_other_decimal(*means, *meant) {
                    self.mismatch(reader, writer);
                }
            }
            (Type::Array(reader), Type::Array(writer)) | (Type::Map(reader), Type::Map(writer)) => {
                self.check(reader, writer);
            }
            (Type::Named(left), Type::Named(right)) => self.named(left, right, (reader, writer)),
            _ => self.mismatch(reader, writer),
        }
    }

    /// True when `check` finds nothing.
    fn fits(&mut self, reader: &'a Type, writer: &'a Type) -> bool {
        let (problems, visited) = (self.problems.len(), self.visited.len());
        self.check(reader, writer);
        let fits = self.problems.len() == problems;
        if !fits {
            self.problems.truncate(problems);
            self.visited.truncate(visited);
        }
        fits
    }

    fn named(&mut self, left: &'a str, right: &'a str, types: (&'a Type, &'a Type)) {
        if self.visited.contains(&(left, right)) {
            return;
        }
        self.visited.push((left, right));
        let is_same = |aliases: &[String]| {
            plain_name(left) == plain_name(right) || aliases.iter().any(|alias| alias == plain_name(right))
        };
        match (self.reader.named.get(left), self.writer.named.get(right)) {
            (Some(Named::Record { aliases, fields }), Some(Named::Record { fields: written, .. }))
                if is_same(aliases) =>
            {
                fields.iter().for_each(|field| self.field(field, written));
            }
            (Some(Named::Enum { aliases, symbols, has_default }), Some(Named::Enum { symbols: written, .. }))
                if is_same(aliases) =>
            {
                let missing: Vec<&str> =
                    written.iter().filter(|symbol| !symbols.contains(symbol)).map(String::as_str).collect();
                if !missing.is_empty() && !has_default {
                    let (data, missing) = (self.data, missing.join(", "));
                    self.problem(format!("{data} may hold {missing}, which the enum lacks, and it has no default"));
                }
            }
            (
                Some(Named::Fixed { aliases, size, logical }),
                Some(Named::Fixed { size: written, logical: meant, .. }),
            ) if is_same(aliases) && size == written && !is_other_decimal(*logical, *meant) => {}
            _ => self.mismatch(types.0, types.1),
        }
    }

    fn field(&mut self, field: &'a AvroField, written: &'a [AvroField]) {
        self.path.push(&field.name);
        let names = |other: &&AvroField| other.name == field.name || field.aliases.contains(&other.name);
        match written.iter().find(names) {
            Some(other) => self.check(&field.of, &other.of),
            None if field.has_default => {}
            None => self.problem(format!("{} lacks it, and it has no default", self.data)),
        }
        self.path.pop();
    }

    fn mismatch(&mut self, reader: &Type, writer: &Type) {
        let (to, from) = (self.reader.describe(reader), self.writer.describe(writer));
        self.problem(format!("{} holds {from}, which cannot be read as {to}", self.data));
    }

    fn problem(&mut self, what: String) {
        let place = match self.path.is_empty() {
            true => "the schema".to_owned(),
            false => format!("field '{}'", self.path.join(".")),
        };
        self.problems.push(format!("{place}: {what}"));
    }
}

fn promotes(from: Primitive, to: Primitive) -> bool {
    use Primitive as P;
    from == to
        || matches!(
            (from, to),
            (P::Int, P::Long | P::Float | P::Double)
                | (P::Long, P::Float | P::Double)
                | (P::Float, P::Double)
                | (P::String, P::Bytes)
                | (P::Bytes, P::String)
        )
}

fn is_other_decimal(left: Option<Logical>, right: Option<Logical>) -> bool {
    let decimal = |logical: Option<Logical>| logical.filter(|logical| matches!(logical, Logical::Decimal { .. }));
    decimal(left) != decimal(right)
}
