//! Descriptor sets as `protoc --descriptor_set_out` writes them: the parts that decoding needs.
//!
//! Source: google/protobuf/descriptor.proto.

use prost::Message as _;
use std::collections::BTreeMap;
use std::fs;
use tidemill_core::nearest::nearest;
use tidemill_core::{Error, Kind, Result, ResultExt};

#[derive(Clone, PartialEq, prost::Message)]
struct FileSet {
    #[prost(message, repeated, tag = "1")]
    file: Vec<File>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct File {
    #[prost(string, optional, tag = "2")]
    package: Option<String>,
    #[prost(message, repeated, tag = "4")]
    message_type: Vec<Declared>,
    #[prost(message, repeated, tag = "5")]
    enum_type: Vec<Enumeration>,
    #[prost(string, optional, tag = "12")]
    syntax: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Declared {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    field: Vec<Field>,
    #[prost(message, repeated, tag = "3")]
    nested_type: Vec<Declared>,
    #[prost(message, repeated, tag = "4")]
    enum_type: Vec<Enumeration>,
    #[prost(message, optional, tag = "7")]
    options: Option<DeclaredOptions>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DeclaredOptions {
    #[prost(bool, tag = "7")]
    map_entry: bool,
}

/// A field of a message.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Field {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint32, tag = "3")]
    pub number: u32,
    #[prost(int32, tag = "4")]
    pub label: i32,
    #[prost(int32, tag = "5")]
    pub of: i32,
    /// Of a message or enum, with a dot in front.
    #[prost(string, tag = "6")]
    pub type_name: String,
    #[prost(int32, optional, tag = "9")]
    pub oneof: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Enumeration {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    value: Vec<Symbol>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Symbol {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "2")]
    number: i32,
}

/// A message type.
#[derive(Debug)]
pub(super) struct Type {
    pub fields: Vec<Field>,
    pub is_map_entry: bool,
    /// Fields that are not there have their default, unless they say otherwise.
    pub has_defaults: bool,
    /// Where it stands in its file, from the outermost message inwards.
    place: Vec<i32>,
}

/// All types of a descriptor set, by name with a dot in front.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    messages: BTreeMap<String, Type>,
    enums: BTreeMap<String, BTreeMap<i32, String>>,
}

impl Descriptors {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or is no descriptor set.
    pub fn read(path: &str) -> Result<Descriptors> {
        let bytes = fs::read(path);
        let bytes = bytes.map_err(|cause| Error::io(format!("cannot read the descriptor set '{path}'"), cause))?;
        Descriptors::parse(&bytes).map_err(|error| {
            Error::invalid(format!("'{path}' is no descriptor set"))
                .help("make it with protoc --include_imports --descriptor_set_out=FILE ...")
                .caused_by(error)
        })
    }

    /// The types in the bytes of a descriptor set.
    ///
    /// # Errors
    /// They are none.
    pub fn parse(bytes: &[u8]) -> Result<Descriptors> {
        let files = FileSet::decode(bytes).context(Kind::Invalid, || "its bytes are no message of the kind".into())?;
        let mut found = Descriptors::default();
        for file in files.file {
            let scope = match file.package.as_deref() {
                None | Some("") => String::new(),
                Some(package) => format!(".{package}"),
            };
            let has_defaults = file.syntax.as_deref() == Some("proto3");
            found.add(&scope, &[], has_defaults, file.message_type, file.enum_type);
        }
        if found.messages.is_empty() {
            return Err(Error::invalid("it declares no message"));
        }
        Ok(found)
    }

    fn add(
        &mut self,
        scope: &str,
        place: &[i32],
        has_defaults: bool,
        messages: Vec<Declared>,
        enums: Vec<Enumeration>,
    ) {
        for one in enums {
            let mut symbols = BTreeMap::new();
            for symbol in one.value {
                symbols.entry(symbol.number).or_insert(symbol.name);
            }
            self.enums.insert(format!("{scope}.{}", one.name), symbols);
        }
        for (number, one) in messages.into_iter().enumerate() {
            let name = format!("{scope}.{}", one.name);
            let mut place = place.to_vec();
            place.push(number as i32);
            self.add(&name, &place, has_defaults, one.nested_type, one.enum_type);
            let is_map_entry = one.options.is_some_and(|options| options.map_entry);
            self.messages.insert(name, Type { fields: one.field, is_map_entry, has_defaults, place });
        }
    }

    /// The message called so, with its package; a dot in front may be left out.
    ///
    /// # Errors
    /// There is none.
    pub fn message(&self, name: &str) -> Result<&Type> {
        let full = if name.starts_with('.') { name.to_owned() } else { format!(".{name}") };
        self.messages.get(&full).ok_or_else(|| {
            let error = Error::invalid(format!("the descriptor set has no message '{name}'"));
            match nearest(&full, self.messages.keys().map(String::as_str)) {
                Some(near) => error.help(format!("did you mean '{}'?", near.trim_start_matches('.'))),
                None => error.help("write it with its package; include imports when the set is made"),
            }
        })
    }

    /// Where a message stands in its file.
    ///
    /// # Errors
    /// There is none of the name.
    pub fn place(&self, name: &str) -> Result<Vec<i32>> {
        Ok(self.message(name)?.place.clone())
    }

    /// The names of an enum's numbers.
    pub fn symbols(&self, name: &str) -> BTreeMap<i32, String> {
        self.enums.get(name).cloned().unwrap_or_default()
    }
}
