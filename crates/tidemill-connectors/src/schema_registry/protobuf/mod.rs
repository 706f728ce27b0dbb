//! Protobuf schemas as data: `.proto` files read with what they import, names resolved.
//!
//! A schema may also be given as a file descriptor in base64, as some clients do; it is kept as the `.proto` file that
//! it stands for, without custom options. Imports are the schema's references, or come with Protobuf (`google/protobuf/..`).

mod cursor;
mod link;
mod parse;
mod print;
mod tokens;

pub(crate) use print::{is_map_entry, type_name};

use super::schemas::{SchemaKind, SchemaText};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use prost_types::FileDescriptorProto;
use std::collections::BTreeMap;
use tidemill_core::{Error, Result};

/// A `.proto` file and what it imports.
#[derive(Debug)]
pub struct ProtoSchema {
    text: String,
    pub(crate) own: FileDescriptorProto,
    /// What it imports, but for what comes with Protobuf.
    pub(crate) imported: Vec<FileDescriptorProto>,
}

impl ProtoSchema {
    /// Reads a schema and those it names.
    ///
    /// # Errors
    /// Text that is no `.proto` file, a type or an import that is not there: says where.
    pub fn of(schema: &SchemaText) -> Result<ProtoSchema> {
        let mut sources = BTreeMap::new();
        collect(schema, &mut sources)?;
        let text = as_source(&schema.text)?;
        let own = parse::file(&text)?;
        let mut files = Vec::with_capacity(sources.len());
        for (name, source) in &sources {
            let parsed = parse::file(source)
                .map_err(|error| Error::invalid(format!("the reference '{name}' cannot be used")).caused_by(error))?;
            files.push((name.as_str(), parsed));
        }
        let (own, imported) = link::linked(own, files)?;
        Ok(ProtoSchema { text, own, imported })
    }

    /// The `.proto` file.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The file without comments, spaces and the order of its options.
    pub(crate) fn canonical(&self) -> String {
        print::file(&self.own)
    }
}

/// The files that a schema imports, by their paths.
fn collect(schema: &SchemaText, sources: &mut BTreeMap<String, String>) -> Result<()> {
    for (name, named) in &schema.references {
        if named.kind != SchemaKind::Protobuf {
            return Err(Error::invalid(format!("the reference '{name}' is {}, not Protobuf", named.kind)));
        }
        if sources.insert(name.clone(), as_source(&named.text)?).is_none() {
            collect(named, sources)?;
        }
    }
    Ok(())
}

/// The `.proto` file that a text is, or that it stands for as a descriptor in base64.
fn as_source(text: &str) -> Result<String> {
    let is_base64 =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(&byte));
    if !is_base64 {
        return Ok(text.to_owned());
    }
    let joined: String = text.split_whitespace().collect();
    let bytes = STANDARD
        .decode(joined)
        .map_err(|cause| Error::invalid("the schema is neither a .proto file nor base64").caused_by(cause))?;
    let file = FileDescriptorProto::decode(bytes.as_slice())
        .map_err(|cause| Error::invalid("the schema is base64, but holds no file descriptor").caused_by(cause))?;
    Ok(print::file(&file))
}
