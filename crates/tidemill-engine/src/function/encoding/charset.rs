//! Text to bytes and back by charset: `encode`, `decode`.

use super::super::row::strict;
use super::super::text::text_or_bytes;
use super::super::{CallContext, Entry, MANY, as_text, conditional, implicit_cast};
use crate::pipeline::analysis::operator;
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::expression::BinaryOperator;
use arrow::datatypes::DataType;
use tidemill_core::{Error, Kind, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["encode"], arguments: (2, 2), build: encode },
    Entry { names: &["decode"], arguments: (2, MANY), build: decode },
];

/// The charsets Spark takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    Ascii,
    Latin1,
    Utf8,
    Utf16 { little: bool, mark: bool },
    Utf32,
}

impl Charset {
    fn named(name: &str, function: &str) -> Result<Charset> {
        Ok(match name.to_uppercase().as_str() {
            "US-ASCII" => Charset::Ascii,
            "ISO-8859-1" => Charset::Latin1,
            "UTF-8" => Charset::Utf8,
            "UTF-16BE" => Charset::Utf16 { little: false, mark: false },
            "UTF-16LE" => Charset::Utf16 { little: true, mark: false },
            "UTF-16" => Charset::Utf16 { little: false, mark: true },
            "UTF-32" => Charset::Utf32,
            _ => {
                return Err(Error::new(Kind::Data, format!("{function}: '{name}' is no charset it knows"))
                    .class("INVALID_PARAMETER_VALUE.CHARSET")
                    .help("it knows US-ASCII, ISO-8859-1, UTF-8, UTF-16, UTF-16BE, UTF-16LE and UTF-32"));
            }
        })
    }

    /// `None` when a letter has no place in the charset.
    fn encode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Charset::Ascii => text.is_ascii().then(|| text.as_bytes().to_vec()),
            Charset::Latin1 => text.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect(),
            Charset::Utf8 => Some(text.as_bytes().to_vec()),
            Charset::Utf16 { little, mark } => {
                let mark = if mark && !text.is_empty() { Some(0xFEFF) } else { None };
                let units = mark.into_iter().chain(text.encode_utf16());
                Some(units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect())
            }
            Charset::Utf32 => Some(text.chars().flat_map(|letter| u32::from(letter).to_be_bytes()).collect()),
        }
    }

    /// `None` when the bytes are no text of the charset.
    fn decode(self, bytes: &[u8]) -> Option<String> {
        match self {
            Charset::Ascii => bytes.is_ascii().then(|| bytes.iter().map(|byte| char::from(*byte)).collect()),
            Charset::Latin1 => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
            Charset::Utf8 => std::str::from_utf8(bytes).ok().map(str::to_owned),
            Charset::Utf16 { little, mark } => {
                let (little, bytes) = match bytes {
                    [0xFE, 0xFF, rest @ ..] if mark => (false, rest),
                    [0xFF, 0xFE, rest @ ..] if mark => (true, rest),
                    bytes => (little, bytes),
                };
                let pairs = bytes.chunks_exact(2);
                if !pairs.remainder().is_empty() {
                    return None;
                }
                let unit = |pair: &[u8]| if little { [pair[0], pair[1]] } else { [pair[1], pair[0]] };
                char::decode_utf16(pairs.map(|pair| u16::from_le_bytes(unit(pair)))).collect::<Result<_, _>>().ok()
            }
            Charset::Utf32 => {
                let words = bytes.chunks_exact(4);
                if !words.remainder().is_empty() {
                    return None;
                }
                words.map(|word| char::from_u32(u32::from_be_bytes([word[0], word[1], word[2], word[3]]))).collect()
            }
        }
    }
}

fn malformed(function: &str, charset: &str) -> Error {
    Error::new(Kind::Data, format!("{function}: the value does not fit the charset {charset}"))
        .class("MALFORMED_CHARACTER_CODING")
}

fn encode(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let charset = as_text(arguments.remove(1), context)?;
    let text = as_text(arguments.remove(0), context)?;
    Ok(strict(context, DataType::Binary, vec![text, charset], |row| {
        let charset = Charset::named(row.text(1), "encode")?;
        charset.encode(row.text(0)).map(Into::into).ok_or_else(|| malformed("encode", row.text(1)))
    }))
}

/// Of two arguments: bytes to text. Of more: the value beside the one that equals the first.
fn decode(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    if arguments.len() > 2 {
        return choice(context, arguments);
    }
    let charset = as_text(arguments.remove(1), context)?;
    let bytes = implicit_cast(text_or_bytes(arguments.remove(0), context)?, &DataType::Binary, context)?;
    Ok(strict(context, DataType::Utf8, vec![bytes, charset], |row| {
        let charset = Charset::named(row.text(1), "decode")?;
        charset.decode(row.bytes(0)).map(Into::into).ok_or_else(|| malformed("decode", row.text(1)))
    }))
}

fn choice(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let names = arguments.iter().map(|argument| argument.name.clone()).collect::<Vec<_>>().join(", ");
    let mut list = arguments.into_iter();
    let Some(value) = list.next() else { return Err(Error::bug("decode without arguments")) };
    let (mut branches, mut otherwise) = (vec![], None);
    while let Some(search) = list.next() {
        let Some(then) = list.next() else {
            otherwise = Some(search);
            break;
        };
        let equal = BinaryOperator::NullSafeEqual;
        let when = operator::binary(equal, value.clone(), search, context.session, context.text, context.at)?;
        branches.push((when, then));
    }
    conditional::case(branches, otherwise, context).map(|typed| typed.named(format!("decode({names})")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charsets_go_there_and_back() {
        for name in ["UTF-8", "utf-16", "UTF-16LE", "UTF-16BE", "UTF-32"] {
            let there = Charset::named(name, "encode").ok().and_then(|charset| charset.encode("é𝒳"));
            let back = there.and_then(|bytes| Charset::named(name, "decode").ok()?.decode(&bytes));
            assert_eq!(back.as_deref(), Some("é𝒳"), "{name}");
        }
        assert_eq!(Charset::Latin1.encode("é"), Some(vec![0xE9]));
        assert_eq!(Charset::Latin1.encode("日"), None);
    }
}
