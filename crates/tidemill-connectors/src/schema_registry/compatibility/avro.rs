//! Whether data written with one schema can be read with another.
//!
//! Source: Avro specification 1.12, "Schema Resolution".

use super::Difference;
use crate::schema_registry::avro::{AvroField, AvroSchema, Logical, Named, Primitive, Type, plain_name};

/// What keeps `reader` from reading data of `writer`.
pub(super) fn unreadable(reader: &AvroSchema, writer: &AvroSchema, data: &'static str) -> Vec<Difference> {
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
    problems: Vec<Difference>,
    path: Vec<&'a str>,
}

impl<'a> Pair<'a> {
    fn check(&mut self, reader: &'a Type, writer: &'a Type) {
        match (reader, writer) {
            // whatever branch the data has must be readable
            (_, Type::Union(branches)) => branches.iter().for_each(|branch| self.check(reader, branch)),
            (Type::Union(branches), _) => {
                if branches.iter().any(|branch| self.fits(branch, writer)) {
                    return;
                }
                // a branch that is meant for it says more than that none fits
                match branches.iter().find(|branch| is_counterpart(branch, writer)) {
                    Some(branch) => self.check(branch, writer),
                    None => self.mismatch(reader, writer),
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
            None if field.default.is_some() => {}
            None => self.problem(format!("{} lacks it, and it has no default", self.data)),
        }
        self.path.pop();
    }

    fn mismatch(&mut self, reader: &Type, writer: &Type) {
        let (to, from) = (self.reader.describe(reader), self.writer.describe(writer));
        self.problem(format!("{} holds {from}, which cannot be read as {to}", self.data));
    }

    fn problem(&mut self, what: String) {
        let path = match self.path.is_empty() {
            true => String::new(),
            false => format!("field '{}'", self.path.join(".")),
        };
        self.problems.push(Difference { path, what });
    }
}

/// True for a branch of a union that stands for the same thing as `writer`, whether it can read it or not.
fn is_counterpart(branch: &Type, writer: &Type) -> bool {
    match (branch, writer) {
        (Type::Named(left), Type::Named(right)) => plain_name(left) == plain_name(right),
        (Type::Array(_), Type::Array(_)) | (Type::Map(_), Type::Map(_)) => true,
        _ => false,
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
