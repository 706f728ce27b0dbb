//! `mask`: letters and digits replaced by one letter a kind.

use super::super::row::{self, Row};
use super::super::{CallContext, Entry, as_text, constant};
use crate::function::datum::Datum;
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use tidemill_core::Result;

pub const ENTRIES: &[Entry] = &[Entry { names: &["mask"], arguments: (1, 5), build: mask }];

/// Upper case, lower case, digits, others: each by its letter, or as it is where that is NULL.
fn mask(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    const DEFAULTS: [Option<&str>; 4] = [Some("X"), Some("x"), Some("n"), None];
    for otherwise in DEFAULTS.iter().skip(arguments.len() - 1) {
        let value = ScalarValue::Utf8(otherwise.map(str::to_owned));
        arguments.push(Typed::literal(value, otherwise.unwrap_or("NULL")));
    }
    let name = arguments.iter().map(|argument| argument.name.clone()).collect::<Vec<_>>().join(", ");
    let text = match arguments.remove(0) {
        text if matches!(text.data_type, DataType::Utf8 | DataType::Null) => as_text(text, context)?,
        other => return Err(context.wrong_type("STRING", &other.data_type)),
    };
    let mut letters = [None; 4];
    for ((argument, letter), which) in
        arguments.iter().zip(&mut letters).zip(["upperChar", "lowerChar", "digitChar", "otherChar"])
    {
        let Some(given) = constant::text(argument, which, context)? else { continue };
        let mut of = given.chars();
        *letter = of.next();
        if letter.is_none() || of.next().is_some() {
            return Err(refuse::type_mismatch(
                "INPUT_SIZE_NOT_ONE",
                format!("{which} of mask is one character, not '{given}'"),
                context.text,
                context.at,
            ));
        }
    }
    let body = move |row: Row<'_>| Ok(row.text_if(0).map_or(Datum::Null, |text| masked(text, letters).into()));
    Ok(row::call(context, format!("{letters:?}"), DataType::Utf8, vec![text], body).named(format!("mask({name})")))
}

fn masked(text: &str, letters: [Option<char>; 4]) -> String {
    let [upper, lower, digit, other] = letters;
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        let becomes = match letter {
            _ if letter.is_uppercase() => upper,
            _ if letter.is_lowercase() => lower,
            _ if is_digit(letter) => digit,
            _ => other,
        };
        out.push(becomes.unwrap_or(letter));
    }
    out
}

/// A decimal digit of any script.
fn is_digit(letter: char) -> bool {
    const ZEROS: [u32; 20] = [
        0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xE50, 0xED0, 0xF20,
        0x1040, 0x17E0, 0x1810, 0xFF10,
    ];
    ZEROS.iter().any(|zero| (*zero..*zero + 10).contains(&u32::from(letter)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_letters_are_replaced() {
        assert_eq!(masked("AbCD123-@$#", [Some('X'), Some('x'), Some('n'), None]), "XxXXnnn-@$#");
        assert_eq!(masked("Ab1-𝒳", [None, Some('q'), None, Some('o')]), "Aq1o𝒳");
    }
}
