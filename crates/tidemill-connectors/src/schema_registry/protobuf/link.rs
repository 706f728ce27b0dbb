//! Names of types looked up, numbers and names checked.

use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use std::collections::BTreeMap;
use tidemill_core::nearest::nearest;
use tidemill_core::{Error, Result};

/// Files with these names come with Protobuf.
const WELL_KNOWN: &str = "google/protobuf/";
/// The types in them that schemas use: messages, and enums.
const WELL_KNOWN_MESSAGES: &[&str] = &[
    "Any",
    "Api",
    "BoolValue",
    "BytesValue",
    "DoubleValue",
    "Duration",
    "Empty",
    "Enum",
    "EnumOptions",
    "EnumValue",
    "EnumValueOptions",
    "Field",
    "FieldMask",
    "FieldOptions",
    "FileOptions",
    "FloatValue",
    "Int32Value",
    "Int64Value",
    "ListValue",
    "MessageOptions",
    "Method",
    "MethodOptions",
    "Mixin",
    "OneofOptions",
    "Option",
    "ServiceOptions",
    "SourceContext",
    "StringValue",
    "Struct",
    "Timestamp",
    "Type",
    "UInt32Value",
    "UInt64Value",
    "Value",
];
const WELL_KNOWN_ENUMS: &[&str] = &["NullValue", "Syntax"];
const NUMBER_MAX: i32 = 536_870_911;

/// Full names with a dot in front; true for enums.
type Names = BTreeMap<String, bool>;

/// The schema's own file and those it names, with the full names of their types.
///
/// # Errors
/// An import or a type that is not there, a number or name that is used twice or reserved.
pub(super) fn linked(
    mut own: FileDescriptorProto,
    files: Vec<(&str, FileDescriptorProto)>,
) -> Result<(FileDescriptorProto, Vec<FileDescriptorProto>)> {
    let known: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    for file in files.iter().map(|(_, file)| file).chain([&own]) {
        for import in &file.dependency {
            if !known.contains(&import.as_str()) && !import.starts_with(WELL_KNOWN) {
                return Err(Error::invalid(format!("the schema is not valid: there is no import \"{import}\""))
                    .help("an import must be one of the schema's references, by its path"));
            }
        }
    }
    let mut names = Names::new();
    names.extend(WELL_KNOWN_MESSAGES.iter().map(|name| (format!(".google.protobuf.{name}"), false)));
    names.extend(WELL_KNOWN_ENUMS.iter().map(|name| (format!(".google.protobuf.{name}"), true)));
    let mut files: Vec<FileDescriptorProto> = files.into_iter().map(|(_, file)| file).collect();
    for file in files.iter().chain([&own]) {
        declare(file, &mut names)?;
    }
    for file in files.iter_mut().chain([&mut own]) {
        let scope = scope(file);
        for message in &mut file.message_type {
            link(message, &scope, &names)?;
        }
        for field in &mut file.extension {
            field_type(field, &scope, &names)?;
        }
        for method in file.service.iter_mut().flat_map(|service| &mut service.method) {
            for of in [&mut method.input_type, &mut method.output_type] {
                let name = of.take().unwrap_or_default();
                *of = Some(found(&name, &scope, &names)?.0);
            }
        }
    }
    Ok((own, files))
}

fn scope(file: &FileDescriptorProto) -> String {
    if file.package().is_empty() { String::new() } else { format!(".{}", file.package()) }
}

fn declare(file: &FileDescriptorProto, names: &mut Names) -> Result<()> {
    let scope = scope(file);
    for one in &file.enum_type {
        add(format!("{scope}.{}", one.name()), true, names)?;
    }
    file.message_type.iter().try_for_each(|message| declare_message(message, &scope, names))
}

fn declare_message(message: &DescriptorProto, scope: &str, names: &mut Names) -> Result<()> {
    let scope = format!("{scope}.{}", message.name());
    for one in &message.enum_type {
        add(format!("{scope}.{}", one.name()), true, names)?;
    }
    for nested in &message.nested_type {
        declare_message(nested, &scope, names)?;
    }
    add(scope, false, names)
}

fn add(name: String, is_enum: bool, names: &mut Names) -> Result<()> {
    match names.insert(name.clone(), is_enum) {
        None => Ok(()),
        Some(_) => Err(Error::invalid(format!("the schema is not valid: '{}' is declared twice", &name[1..]))),
    }
}

fn link(message: &mut DescriptorProto, scope: &str, names: &Names) -> Result<()> {
    let scope = format!("{scope}.{}", message.name());
    let wrong = |what: String| Error::invalid(format!("the schema is not valid: message {}: {what}", &scope[1..]));
    for (at, field) in message.field.iter().enumerate() {
        let (name, number) = (field.name(), field.number());
        if !(1..=NUMBER_MAX).contains(&number) || (19_000..20_000).contains(&number) {
            return Err(wrong(format!("field '{name}' cannot have the number {number}")));
        }
        if let Some(other) = message.field[..at].iter().find(|other| other.number() == number || other.name() == name) {
            let what = if other.name() == name {
                "declared twice".to_owned()
            } else {
                format!("number {number} is that of '{}' too", other.name())
            };
            return Err(wrong(format!("field '{name}': {what}")));
        }
        let is_reserved = message.reserved_range.iter().any(|range| (range.start()..range.end()).contains(&number));
        if is_reserved || message.reserved_name.iter().any(|reserved| reserved == name) {
            return Err(wrong(format!("field '{name}' has a number or name that is reserved")));
        }
    }
    for field in message.field.iter_mut().chain(&mut message.extension) {
        field_type(field, &scope, names)?;
    }
    message.nested_type.iter_mut().try_for_each(|nested| link(nested, &scope, names))
}

fn field_type(field: &mut FieldDescriptorProto, scope: &str, names: &Names) -> Result<()> {
    if let Some(extendee) = field.extendee.take() {
        field.extendee = Some(found(&extendee, scope, names)?.0);
    }
    let Some(name) = field.type_name.take() else { return Ok(()) };
    let (name, is_enum) = found(&name, scope, names).map_err(|error| {
        Error::invalid(format!("{error} (field '{}')", field.name()))
            .help(error.help_text().unwrap_or("declare it, or import it"))
    })?;
    field.r#type = Some(if is_enum { Type::Enum } else { Type::Message }.into());
    field.type_name = Some(name);
    Ok(())
}

/// The full name of a type, looked for from the innermost scope outward.
fn found(name: &str, scope: &str, names: &Names) -> Result<(String, bool)> {
    if name.starts_with('.') {
        if let Some(is_enum) = names.get(name) {
            return Ok((name.to_owned(), *is_enum));
        }
    } else {
        let mut scope = scope;
        loop {
            let full = format!("{scope}.{name}");
            if let Some(is_enum) = names.get(&full) {
                return Ok((full, *is_enum));
            }
            match scope.rfind('.') {
                Some(end) => scope = &scope[..end],
                None => break,
            }
        }
    }
    let error = Error::invalid(format!("the schema is not valid: there is no type '{name}'"));
    let plain = names.keys().filter_map(|name| name.rsplit('.').next());
    let scalars =
        ["double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "bool", "string", "bytes"];
    Err(match nearest(name, plain.chain(scalars)) {
        Some(near) => error.help(format!("did you mean '{near}'?")),
        None => error,
    })
}
