//! Protobuf: what readers by number make of data written with another schema, by Confluent's rules.
//!
//! | change | |
//! |---|---|
//! | a field more or less, another name of a field | compatible |
//! | types within a group: int32, int64, uint32, uint64, bool, enums; sint32, sint64; string, bytes; fixed32, sfixed32; fixed64, sfixed64 | compatible |
//! | another type | not |
//! | repeated or not: string, bytes, message | compatible |
//! | repeated or not: numbers, enums | not |
//! | a required field more or less (proto2) | not |
//! | a message less, another package | not |
//! | an enum or its constants | compatible |
//! | a field that leaves its oneof, or goes into one that was there; several into a new one | not |
//! | a number or name of a field that the version before has reserved | not |

use super::Difference;
use crate::schema_registry::protobuf::{ProtoSchema, is_map_entry, type_name};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};
use std::collections::{BTreeMap, BTreeSet};

type Messages<'a> = BTreeMap<String, &'a DescriptorProto>;

/// What keeps `reader` from reading data of `writer`.
pub(super) fn unreadable(reader: &ProtoSchema, writer: &ProtoSchema, data: &'static str) -> Vec<Difference> {
    let mut found = Vec::new();
    if reader.own.package() != writer.own.package() {
        let (new, old) = (reader.own.package(), writer.own.package());
        found.push(difference(String::new(), format!("{data} is of package '{old}', not '{new}'")));
    }
    let (read, written) = (Side::of(reader), Side::of(writer));
    for (name, old) in &written.messages {
        match read.messages.get(name) {
            Some(new) => Pair { read: &read, written: &written, data, name, found: &mut found }.check(new, old),
            None if written.own.contains(name) => {
                found.push(difference(format!("message {name}"), format!("{data} may hold it, and it is gone")));
            }
            None => {}
        }
    }
    found
}

/// Numbers and names that `old` has reserved and `new` uses.
pub(super) fn reused(new: &ProtoSchema, old: &ProtoSchema) -> Vec<Difference> {
    let (read, written) = (Side::of(new), Side::of(old));
    let mut found = Vec::new();
    for (name, old) in &written.messages {
        for field in read.messages.get(name).into_iter().flat_map(|new| &new.field) {
            let number = field.number();
            let is_reserved = old.reserved_range.iter().any(|range| (range.start()..range.end()).contains(&number));
            if is_reserved || old.reserved_name.iter().any(|name| name == field.name()) {
                let what = format!("'{}' uses a number or name that the version before has reserved", field.name());
                found.push(difference(place(name, number), what));
            }
        }
    }
    found
}

/// All messages of a schema, by their names without the package of their file.
struct Side<'a> {
    messages: Messages<'a>,
    /// Those of the schema's own file that stand for themselves.
    own: BTreeSet<String>,
    package: &'a str,
}

impl<'a> Side<'a> {
    fn of(schema: &'a ProtoSchema) -> Side<'a> {
        let package = schema.own.package();
        let mut side = Side { messages: BTreeMap::new(), own: BTreeSet::new(), package };
        for file in &schema.imported {
            // what is imported has its full name
            let prefix = if file.package().is_empty() { String::new() } else { format!("{}.", file.package()) };
            file.message_type.iter().for_each(|message| side.add(&prefix, message, false));
        }
        schema.own.message_type.iter().for_each(|message| side.add("", message, true));
        side
    }

    fn add(&mut self, prefix: &str, message: &'a DescriptorProto, is_own: bool) {
        let name = format!("{prefix}{}", message.name());
        message.nested_type.iter().for_each(|nested| self.add(&format!("{name}."), nested, is_own));
        if is_own && !is_map_entry(message) {
            self.own.insert(name.clone());
        }
        self.messages.insert(name, message);
    }

    /// A type's name as `messages` has it.
    fn local<'n>(&self, type_name: &'n str) -> &'n str {
        let name = type_name.trim_start_matches('.');
        let own = name.strip_prefix(self.package).and_then(|rest| rest.strip_prefix('.'));
        own.filter(|own| !self.package.is_empty() && self.messages.contains_key(*own)).unwrap_or(name)
    }

    fn map_of(&self, field: &FieldDescriptorProto) -> Option<&'a DescriptorProto> {
        let entry = self.messages.get(self.local(field.type_name())).filter(|message| is_map_entry(message))?;
        (field.r#type() == Type::Message).then_some(*entry)
    }
}

struct Pair<'p, 'a> {
    read: &'p Side<'a>,
    written: &'p Side<'a>,
    data: &'static str,
    name: &'p str,
    found: &'p mut Vec<Difference>,
}

impl Pair<'_, '_> {
    fn check(&mut self, new: &DescriptorProto, old: &DescriptorProto) {
        for written in &old.field {
            match new.field.iter().find(|field| field.number() == written.number()) {
                Some(read) => self.field(read, written),
                None if written.label() == Label::Required => {
                    self.problem(written, "is required, and gone".to_owned());
                }
                None => {}
            }
        }
        for read in new.field.iter().filter(|field| field.label() == Label::Required) {
            let was_there = old.field.iter().any(|field| field.number() == read.number());
            if !was_there {
                self.problem(read, format!("is required, and {} lacks it", self.data));
            }
        }
        self.oneofs(new, old);
    }

    fn field(&mut self, new: &FieldDescriptorProto, old: &FieldDescriptorProto) {
        if (new.label() == Label::Required) != (old.label() == Label::Required) {
            self.problem(new, "is required on one side only".to_owned());
        }
        match (self.read.map_of(new), self.written.map_of(old)) {
            (Some(read), Some(written)) => {
                for (read, written) in read.field.iter().zip(&written.field) {
                    self.types(new, read, written);
                }
                return;
            }
            (None, None) => {}
            _ => return self.problem(new, "is a map on one side only".to_owned()),
        }
        self.types(new, new, old);
        let is_list = |field: &FieldDescriptorProto| field.label() == Label::Repeated;
        if is_list(new) != is_list(old) && !matches!(group(new), Written::Text | Written::Message) {
            let word = |is| if is { "repeated" } else { "not repeated" };
            let what = format!("{} is {}, here it is {}", self.data, word(is_list(old)), word(is_list(new)));
            self.problem(new, what);
        }
    }

    /// `field` is the one to name.
    fn types(&mut self, field: &FieldDescriptorProto, new: &FieldDescriptorProto, old: &FieldDescriptorProto) {
        let is_same = group(new) == group(old)
            && (group(new) != Written::Message
                || self.read.local(new.type_name()) == self.written.local(old.type_name()));
        if !is_same {
            let (old, new) = (type_name(old), type_name(new));
            self.problem(field, format!("{} holds {old}, which cannot be read as {new}", self.data));
        }
    }

    fn oneofs(&mut self, new: &DescriptorProto, old: &DescriptorProto) {
        let (read, written) = (members(new), members(old));
        for (oneof, fields) in &written {
            let Some(now) = read.get(oneof) else { continue };
            for number in fields.difference(now) {
                let path = place(self.name, *number);
                self.found.push(difference(path, format!("is gone from oneof '{oneof}', which {} may use", self.data)));
            }
        }
        for (oneof, fields) in &read {
            let before = written.get(oneof);
            let moved: Vec<i32> = fields
                .iter()
                .filter(|number| old.field.iter().any(|field| field.number() == **number))
                .filter(|number| !before.is_some_and(|before| before.contains(number)))
                .filter(|number| before.is_some() || !written.values().any(|fields| fields.contains(number)))
                .copied()
                .collect();
            if before.is_some() || moved.len() > 1 {
                for number in moved {
                    let what = format!("moved into oneof '{oneof}': {} may hold it beside others", self.data);
                    self.found.push(difference(place(self.name, number), what));
                }
            }
        }
    }

    fn problem(&mut self, field: &FieldDescriptorProto, what: String) {
        self.found.push(difference(place(self.name, field.number()), format!("'{}': {what}", field.name())));
    }
}

/// The numbers of the fields of each oneof; those that only say `optional` are none.
fn members(message: &DescriptorProto) -> BTreeMap<&str, BTreeSet<i32>> {
    let mut members: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for field in message.field.iter().filter(|field| !field.proto3_optional()) {
        let oneof = field.oneof_index.and_then(|at| message.oneof_decl.get(usize::try_from(at).ok()?));
        if let Some(oneof) = oneof {
            members.entry(oneof.name()).or_default().insert(field.number());
        }
    }
    members
}

/// Types that are written alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Whole,
    ZigZag,
    Text,
    Fixed32,
    Fixed64,
    Float,
    Double,
    Message,
    Group,
}

fn group(field: &FieldDescriptorProto) -> Written {
    match field.r#type() {
        Type::Int32 | Type::Int64 | Type::Uint32 | Type::Uint64 | Type::Bool | Type::Enum => Written::Whole,
        Type::Sint32 | Type::Sint64 => Written::ZigZag,
        Type::String | Type::Bytes => Written::Text,
        Type::Fixed32 | Type::Sfixed32 => Written::Fixed32,
        Type::Fixed64 | Type::Sfixed64 => Written::Fixed64,
        Type::Float => Written::Float,
        Type::Double => Written::Double,
        Type::Message => Written::Message,
        Type::Group => Written::Group,
    }
}

fn place(message: &str, number: i32) -> String {
    format!("message {message}, field {number}")
}

fn difference(path: String, what: String) -> Difference {
    Difference { path, what }
}
