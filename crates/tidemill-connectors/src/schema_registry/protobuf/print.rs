//! A file descriptor as the `.proto` file it came from, but for comments and custom options.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, ServiceDescriptorProto,
};
use std::fmt::Write as _;

/// The file.
pub(super) fn file(file: &FileDescriptorProto) -> String {
    let is_proto3 = file.syntax() == "proto3";
    let mut out = Printer { out: String::new(), depth: 0, is_proto3 };
    out.line(format_args!("syntax = \"{}\";", if is_proto3 { "proto3" } else { "proto2" }));
    if file.package.is_some() {
        out.line(format_args!("package {};", file.package()));
    }
    for (number, import) in file.dependency.iter().enumerate() {
        let is = |list: &[i32]| list.iter().any(|index| usize::try_from(*index) == Ok(number));
        let word = if is(&file.public_dependency) { "public " } else { "" };
        out.line(format_args!("import {word}\"{import}\";"));
    }
    if let Some(options) = &file.options {
        let words = [
            ("java_package", &options.java_package),
            ("java_outer_classname", &options.java_outer_classname),
            ("go_package", &options.go_package),
            ("csharp_namespace", &options.csharp_namespace),
        ];
        for (name, value) in words {
            if let Some(value) = value {
                out.line(format_args!("option {name} = {};", quoted(value)));
            }
        }
        if let Some(several) = options.java_multiple_files {
            out.line(format_args!("option java_multiple_files = {several};"));
        }
    }
    file.message_type.iter().for_each(|message| out.message(message));
    file.enum_type.iter().for_each(|one| out.enumeration(one));
    out.extensions(&file.extension);
    file.service.iter().for_each(|service| out.service(service));
    out.out
}

struct Printer {
    out: String,
    depth: usize,
    is_proto3: bool,
}

impl Printer {
    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.out, "{:width$}{text}", "", width = self.depth * 2);
    }

    fn block(&mut self, head: std::fmt::Arguments<'_>, body: impl FnOnce(&mut Self)) {
        self.line(format_args!("{head} {{"));
        self.depth += 1;
        body(self);
        self.depth -= 1;
        self.line(format_args!("}}"));
    }

    fn message(&mut self, message: &DescriptorProto) {
        self.block(format_args!("message {}", message.name()), |out| {
            let ranges = message.reserved_range.iter().map(|range| (range.start(), i64::from(range.end()) - 1));
            out.reserved(ranges.map(|(from, to)| range(i64::from(from), to, 536_870_911)), &message.reserved_name);
            for one in &message.extension_range {
                let shown = range(i64::from(one.start()), i64::from(one.end()) - 1, 536_870_911);
                out.line(format_args!("extensions {shown};"));
            }
            let mut printed = vec![false; message.oneof_decl.len()];
            for field in &message.field {
                let oneof =
                    field.oneof_index.filter(|_| !field.proto3_optional()).and_then(|at| usize::try_from(at).ok());
                match oneof {
                    None => out.field(field, message),
                    Some(at) if printed.get(at) == Some(&false) => {
                        printed[at] = true;
                        out.block(format_args!("oneof {}", message.oneof_decl[at].name()), |out| {
                            let within = |other: &&FieldDescriptorProto| other.oneof_index == field.oneof_index;
                            message.field.iter().filter(within).for_each(|field| out.field(field, message));
                        });
                    }
                    Some(_) => {}
                }
            }
            out.extensions(&message.extension);
            message.nested_type.iter().filter(|nested| !is_map_entry(nested)).for_each(|nested| out.message(nested));
            message.enum_type.iter().for_each(|one| out.enumeration(one));
        });
    }

    fn field(&mut self, field: &FieldDescriptorProto, message: &DescriptorProto) {
        let of = match map_entry(field, message) {
            Some(entry) => {
                let part = |number| entry.field.iter().find(|field| field.number() == number).map(type_name);
                format!("map<{}, {}>", part(1).unwrap_or_default(), part(2).unwrap_or_default())
            }
            None => {
                let in_oneof = field.oneof_index.is_some() && !field.proto3_optional();
                let label = match field.label() {
                    Label::Repeated => "repeated ",
                    Label::Required => "required ",
                    Label::Optional if in_oneof || (self.is_proto3 && !field.proto3_optional()) => "",
                    Label::Optional => "optional ",
                };
                format!("{label}{}", type_name(field))
            }
        };
        self.line(format_args!("{of} {} = {}{};", field.name(), field.number(), options(field)));
    }

    fn extensions(&mut self, fields: &[FieldDescriptorProto]) {
        for field in fields {
            self.block(format_args!("extend {}", field.extendee()), |out| {
                out.field(field, &DescriptorProto::default())
            });
        }
    }

    fn enumeration(&mut self, one: &EnumDescriptorProto) {
        self.block(format_args!("enum {}", one.name()), |out| {
            if one.options.as_ref().is_some_and(|options| options.allow_alias()) {
                out.line(format_args!("option allow_alias = true;"));
            }
            let ranges =
                one.reserved_range.iter().map(|one| range(one.start().into(), one.end().into(), i32::MAX.into()));
            out.reserved(ranges, &one.reserved_name);
            for value in &one.value {
                out.line(format_args!("{} = {};", value.name(), value.number()));
            }
        });
    }

    fn service(&mut self, service: &ServiceDescriptorProto) {
        self.block(format_args!("service {}", service.name()), |out| {
            for method in &service.method {
                let word = |streams: bool| if streams { "stream " } else { "" };
                let (from, to) = (word(method.client_streaming()), word(method.server_streaming()));
                let (name, input, output) = (method.name(), method.input_type(), method.output_type());
                out.line(format_args!("rpc {name} ({from}{input}) returns ({to}{output});"));
            }
        });
    }

    fn reserved(&mut self, ranges: impl Iterator<Item = String>, names: &[String]) {
        let ranges: Vec<String> = ranges.collect();
        if !ranges.is_empty() {
            self.line(format_args!("reserved {};", ranges.join(", ")));
        }
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
            self.line(format_args!("reserved {};", names.join(", ")));
        }
    }
}

/// True for the messages that stand for the entries of maps.
pub(crate) fn is_map_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(|options| options.map_entry())
}

fn map_entry<'a>(field: &FieldDescriptorProto, message: &'a DescriptorProto) -> Option<&'a DescriptorProto> {
    let name = field.type_name().rsplit('.').next()?;
    let entry = message.nested_type.iter().find(|nested| is_map_entry(nested) && nested.name() == name)?;
    (field.label() == Label::Repeated && field.r#type() == Type::Message).then_some(entry)
}

/// A scalar's word, or the name of a message or enum.
pub(crate) fn type_name(field: &FieldDescriptorProto) -> String {
    match field.type_name.as_deref() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => field.r#type().as_str_name().trim_start_matches("TYPE_").to_ascii_lowercase(),
    }
}

fn options(field: &FieldDescriptorProto) -> String {
    let mut all = Vec::new();
    if let Some(default) = &field.default_value {
        let is_text = matches!(field.r#type(), Type::String | Type::Bytes);
        all.push(format!("default = {}", if is_text { quoted(default) } else { default.clone() }));
    }
    if field.json_name.as_deref().is_some_and(|name| name != camel(field.name())) {
        all.push(format!("json_name = {}", quoted(field.json_name())));
    }
    if let Some(options) = &field.options {
        all.extend(options.packed.map(|packed| format!("packed = {packed}")));
        all.extend(options.deprecated.filter(|is| *is).map(|_| "deprecated = true".to_owned()));
    }
    if all.is_empty() { String::new() } else { format!(" [{}]", all.join(", ")) }
}

/// The name that a field has in JSON unless it says another.
fn camel(name: &str) -> String {
    let mut out = String::new();
    let mut is_after = false;
    for letter in name.chars() {
        match letter {
            '_' => is_after = true,
            letter if is_after => {
                out.push(letter.to_ascii_uppercase());
                is_after = false;
            }
            letter => out.push(letter),
        }
    }
    out
}

fn range(from: i64, to: i64, max: i64) -> String {
    match to {
        to if to == from => from.to_string(),
        to if to >= max => format!("{from} to max"),
        to => format!("{from} to {to}"),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
