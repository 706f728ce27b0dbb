//! A `.proto` file (proto2, proto3) as a descriptor; names of types are not looked up yet. Groups and editions are not
//! read and are refused by name; options that are not known here are passed over.
//!
//! Source: Protobuf language specification, proto2 and proto3.

use super::cursor::Parser;
use super::tokens::Token;
use prost_types::descriptor_proto::{ExtensionRange, ReservedRange};
use prost_types::enum_descriptor_proto::EnumReservedRange;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumOptions, EnumValueDescriptorProto, FieldDescriptorProto, FieldOptions,
    FileDescriptorProto, FileOptions, MessageOptions, MethodDescriptorProto, OneofDescriptorProto,
    ServiceDescriptorProto,
};
use tidemill_core::Result;

const DEPTH_MAX: usize = 32;
/// One more than the largest number of a field.
const FIELD_END: i32 = 536_870_912;

/// Reads a file.
///
/// # Errors
/// What is not in the language: says the line and what was expected.
pub(super) fn file(text: &str) -> Result<FileDescriptorProto> {
    let mut parser = Parser::new(text)?;
    let mut file = FileDescriptorProto::default();
    let mut options = FileOptions::default();
    while let Some(word) = parser.head()? {
        match word.as_str() {
            "syntax" => parser.syntax(&mut file)?,
            "edition" => return Err(parser.wrong("editions are not read; write syntax = \"proto2\" or \"proto3\"")),
            "import" => parser.import(&mut file)?,
            "package" => {
                file.package = Some(parser.path()?);
                parser.sign(';')?;
            }
            "option" => {
                let (name, value) = parser.option()?;
                parser.sign(';')?;
                match name.as_str() {
                    "java_package" => options.java_package = Some(value),
                    "java_outer_classname" => options.java_outer_classname = Some(value),
                    "java_multiple_files" => options.java_multiple_files = Some(value == "true"),
                    "go_package" => options.go_package = Some(value),
                    "csharp_namespace" => options.csharp_namespace = Some(value),
                    _ => {}
                }
                file.options = Some(options.clone());
            }
            "message" => file.message_type.push(parser.message()?),
            "enum" => file.enum_type.push(parser.enumeration()?),
            "extend" => file.extension.extend(parser.extend(&mut Vec::new())?),
            "service" => file.service.push(parser.service()?),
            other => return Err(parser.wrong(format!("'{other}' begins nothing that a .proto file holds"))),
        }
    }
    if parser.is_proto3 {
        file.syntax = Some("proto3".into());
    }
    if file.options == Some(FileOptions::default()) {
        file.options = None;
    }
    Ok(file)
}

impl Parser {
    fn syntax(&mut self, file: &mut FileDescriptorProto) -> Result<()> {
        self.sign('=')?;
        match self.text()?.as_str() {
            "proto2" => {}
            "proto3" => self.is_proto3 = true,
            other => return Err(self.wrong(format!("there is no syntax '{other}', only proto2 and proto3"))),
        }
        if !file.message_type.is_empty() || file.package.is_some() {
            return Err(self.wrong("the syntax must come first"));
        }
        self.sign(';')
    }

    fn import(&mut self, file: &mut FileDescriptorProto) -> Result<()> {
        let number = i32::try_from(file.dependency.len()).unwrap_or(i32::MAX);
        match self.peek() {
            Some(Token::Word(word)) if word == "public" => {
                file.public_dependency.push(number);
                self.at += 1;
            }
            Some(Token::Word(word)) if word == "weak" => self.at += 1,
            _ => {}
        }
        file.dependency.push(self.text()?);
        self.sign(';')
    }

    fn message(&mut self) -> Result<DescriptorProto> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong(format!("messages are nested deeper than {DEPTH_MAX}")));
        }
        let mut message = DescriptorProto { name: Some(self.word()?), ..DescriptorProto::default() };
        self.sign('{')?;
        while !self.takes('}') {
            if self.takes(';') {
                continue;
            }
            self.part(&mut message)?;
        }
        self.depth -= 1;
        Ok(message)
    }

    /// One declaration within a message.
    fn part(&mut self, message: &mut DescriptorProto) -> Result<()> {
        let word = match self.peek() {
            Some(Token::Word(word)) => word.clone(),
            _ => String::new(),
        };
        // a keyword may also be the type of a field: then a name comes after it, and '='
        let is_type = matches!(self.tokens.get(self.at + 2), Some((Token::Sign('='), _)));
        match word.as_str() {
            "message" if !is_type => {
                self.at += 1;
                let nested = self.message()?;
                message.nested_type.push(nested);
            }
            "enum" if !is_type => {
                self.at += 1;
                let one = self.enumeration()?;
                message.enum_type.push(one);
            }
            "extend" if !is_type => {
                self.at += 1;
                let fields = self.extend(&mut message.nested_type)?;
                message.extension.extend(fields);
            }
            "option"
                if !is_type
                    || self.tokens.get(self.at + 1).is_some_and(|(token, _)| matches!(token, Token::Word(_))) =>
            {
                self.at += 1;
                self.option()?;
                self.sign(';')?;
            }
            "reserved" if !is_type => self.reserved(message)?,
            "extensions" if !is_type => self.extensions(message)?,
            "oneof" if !is_type => self.oneof(message)?,
            _ => {
                let field = self.field(&mut message.nested_type, true)?;
                message.field.push(field);
            }
        }
        Ok(())
    }

    fn oneof(&mut self, message: &mut DescriptorProto) -> Result<()> {
        self.at += 1;
        let index = i32::try_from(message.oneof_decl.len()).unwrap_or(i32::MAX);
        message.oneof_decl.push(OneofDescriptorProto { name: Some(self.word()?), options: None });
        self.sign('{')?;
        while !self.takes('}') {
            if self.takes(';') {
                continue;
            }
            if self.peek() == Some(&Token::Word("option".into())) {
                self.at += 1;
                self.option()?;
                self.sign(';')?;
                continue;
            }
            let field = self.field(&mut message.nested_type, false)?;
            message.field.push(FieldDescriptorProto { oneof_index: Some(index), ..field });
        }
        Ok(())
    }

    /// A field; the entries of a map become a message in `nested`.
    fn field(&mut self, nested: &mut Vec<DescriptorProto>, may_have_label: bool) -> Result<FieldDescriptorProto> {
        let mut field = FieldDescriptorProto { label: Some(Label::Optional.into()), ..FieldDescriptorProto::default() };
        let label = match self.peek() {
            Some(Token::Word(word)) if may_have_label => match word.as_str() {
                "optional" => Some(Label::Optional),
                "required" => Some(Label::Required),
                "repeated" => Some(Label::Repeated),
                _ => None,
            },
            _ => None,
        };
        if let Some(label) = label {
            self.at += 1;
            field.label = Some(label.into());
            field.proto3_optional = (self.is_proto3 && label == Label::Optional).then_some(true);
        }
        let of = self.path()?;
        match of.as_str() {
            "group" => return Err(self.wrong("groups are not read; write a message and a field of it")),
            "map" if self.is('<') => self.map(&mut field, nested)?,
            name => {
                set_type(&mut field, name);
                field.name = Some(self.word()?);
            }
        }
        if self.is_proto3 && label == Some(Label::Required) {
            return Err(self.wrong("proto3 has no required fields"));
        }
        self.sign('=')?;
        field.number = Some(self.number()?);
        self.field_options(&mut field)?;
        self.sign(';')?;
        Ok(field)
    }

    fn map(&mut self, field: &mut FieldDescriptorProto, nested: &mut Vec<DescriptorProto>) -> Result<()> {
        self.sign('<')?;
        let key = self.path()?;
        self.sign(',')?;
        let value = self.path()?;
        self.sign('>')?;
        let name = self.word()?;
        let part = |name: &str, number, of: &str| {
            let mut part = FieldDescriptorProto {
                name: Some(name.into()),
                number: Some(number),
                label: Some(Label::Optional.into()),
                ..FieldDescriptorProto::default()
            };
            set_type(&mut part, of);
            part
        };
        let entry = format!("{}Entry", camel(&name));
        nested.push(DescriptorProto {
            name: Some(entry.clone()),
            field: vec![part("key", 1, &key), part("value", 2, &value)],
            options: Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() }),
            ..DescriptorProto::default()
        });
        field.label = Some(Label::Repeated.into());
        field.name = Some(name);
        set_type(field, &entry);
        Ok(())
    }

    fn field_options(&mut self, field: &mut FieldDescriptorProto) -> Result<()> {
        if !self.takes('[') {
            return Ok(());
        }
        let mut options = FieldOptions::default();
        loop {
            let (name, value) = self.option()?;
            match name.as_str() {
                "default" => field.default_value = Some(value),
                "json_name" => field.json_name = Some(value),
                "packed" => options.packed = Some(value == "true"),
                "deprecated" => options.deprecated = Some(value == "true"),
                _ => {}
            }
            if self.takes(']') {
                break;
            }
            self.sign(',')?;
        }
        field.options = Some(options).filter(|options| *options != FieldOptions::default());
        Ok(())
    }

    fn reserved(&mut self, message: &mut DescriptorProto) -> Result<()> {
        self.at += 1;
        match self.peek() {
            Some(Token::Text(_)) => message.reserved_name.extend(self.names()?),
            _ => {
                let ranges = self.ranges(FIELD_END - 1)?.into_iter();
                message
                    .reserved_range
                    .extend(ranges.map(|(from, to)| ReservedRange { start: Some(from), end: Some(to + 1) }));
            }
        }
        self.sign(';')
    }

    fn extensions(&mut self, message: &mut DescriptorProto) -> Result<()> {
        self.at += 1;
        let ranges = self.ranges(FIELD_END - 1)?.into_iter();
        message.extension_range.extend(ranges.map(|(from, to)| ExtensionRange {
            start: Some(from),
            end: Some(to + 1),
            options: None,
        }));
        self.field_options(&mut FieldDescriptorProto::default())?;
        self.sign(';')
    }

    fn extend(&mut self, nested: &mut Vec<DescriptorProto>) -> Result<Vec<FieldDescriptorProto>> {
        let extendee = self.path()?;
        self.sign('{')?;
        let mut fields = Vec::new();
        while !self.takes('}') {
            if !self.takes(';') {
                fields.push(FieldDescriptorProto { extendee: Some(extendee.clone()), ..self.field(nested, true)? });
            }
        }
        Ok(fields)
    }

    fn enumeration(&mut self) -> Result<EnumDescriptorProto> {
        let mut one = EnumDescriptorProto { name: Some(self.word()?), ..EnumDescriptorProto::default() };
        self.sign('{')?;
        while !self.takes('}') {
            if self.takes(';') {
                continue;
            }
            let name = self.word()?;
            match name.as_str() {
                "option" if !self.is('=') => {
                    let (name, value) = self.option()?;
                    if name == "allow_alias" {
                        one.options =
                            Some(EnumOptions { allow_alias: Some(value == "true"), ..EnumOptions::default() });
                    }
                }
                "reserved" if !self.is('=') => match self.peek() {
                    Some(Token::Text(_)) => one.reserved_name.extend(self.names()?),
                    _ => {
                        let ranges = self.ranges(i32::MAX)?.into_iter();
                        let range = |(from, to)| EnumReservedRange { start: Some(from), end: Some(to) };
                        one.reserved_range.extend(ranges.map(range));
                    }
                },
                _ => {
                    self.sign('=')?;
                    let number = Some(self.number()?);
                    self.field_options(&mut FieldDescriptorProto::default())?;
                    one.value.push(EnumValueDescriptorProto { name: Some(name), number, options: None });
                }
            }
            self.sign(';')?;
        }
        if one.value.is_empty() {
            return Err(self.wrong(format!("the enum '{}' has no value", one.name())));
        }
        Ok(one)
    }

    fn service(&mut self) -> Result<ServiceDescriptorProto> {
        let mut service = ServiceDescriptorProto { name: Some(self.word()?), ..ServiceDescriptorProto::default() };
        self.sign('{')?;
        while !self.takes('}') {
            if self.takes(';') {
                continue;
            }
            match self.word()?.as_str() {
                "option" => {
                    self.option()?;
                    self.sign(';')?;
                }
                "rpc" => service.method.push(self.method()?),
                other => return Err(self.wrong(format!("'{other}' begins nothing that a service holds"))),
            }
        }
        Ok(service)
    }

    fn method(&mut self) -> Result<MethodDescriptorProto> {
        let mut method = MethodDescriptorProto { name: Some(self.word()?), ..MethodDescriptorProto::default() };
        (method.client_streaming, method.input_type) = self.side()?;
        if self.word()? != "returns" {
            return Err(self.wrong("'returns' is expected"));
        }
        (method.server_streaming, method.output_type) = self.side()?;
        if self.is('{') {
            self.braces()?
        } else {
            self.sign(';')?
        }
        Ok(method)
    }

    fn side(&mut self) -> Result<(Option<bool>, Option<String>)> {
        self.sign('(')?;
        let is_stream = self.peek() == Some(&Token::Word("stream".into()))
            && matches!(self.tokens.get(self.at + 1), Some((Token::Word(_) | Token::Sign('.'), _)));
        self.at += usize::from(is_stream);
        let of = self.path()?;
        self.sign(')')?;
        Ok((is_stream.then_some(true), Some(of)))
    }
}

/// A scalar's type, or the name of one that is looked up later.
fn set_type(field: &mut FieldDescriptorProto, name: &str) {
    match Type::from_str_name(&format!("TYPE_{}", name.to_ascii_uppercase())) {
        Some(scalar)
            if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                && !matches!(scalar, Type::Message | Type::Enum | Type::Group) =>
        {
            field.r#type = Some(scalar.into())
        }
        _ => field.type_name = Some(name.to_owned()),
    }
}

/// The name of a map's entries: `by_user` gives `ByUser`.
fn camel(name: &str) -> String {
    let parts = name.split('_').map(|part| {
        let mut letters = part.chars();
        letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
    });
    parts.collect()
}
