//! SQL's patterns with `%` and `_`: LIKE, ILIKE, and LIKE ANY and ALL of several.

use super::native::Native;
use super::{CallContext, Entry, MANY, as_text, constant};
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::DataType;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["like"], arguments: (2, 3), build: |context, arguments| like(context, arguments, false) },
    Entry { names: &["ilike"], arguments: (2, 3), build: |context, arguments| like(context, arguments, true) },
    Entry { names: &["__like_any"], arguments: (2, MANY), build: |context, list| several(context, list, ANY) },
    Entry { names: &["__like_all"], arguments: (2, MANY), build: |context, list| several(context, list, ALL) },
    Entry { names: &["__not_like_any"], arguments: (2, MANY), build: |context, list| several(context, list, NOT_ANY) },
    Entry { names: &["__not_like_all"], arguments: (2, MANY), build: |context, list| several(context, list, NOT_ALL) },
    Entry { names: &["__ilike_any"], arguments: (2, MANY), build: |context, list| several(context, list, ANY.lower()) },
    Entry { names: &["__ilike_all"], arguments: (2, MANY), build: |context, list| several(context, list, ALL.lower()) },
    Entry {
        names: &["__not_ilike_any"],
        arguments: (2, MANY),
        build: |context, list| several(context, list, NOT_ANY.lower()),
    },
    Entry {
        names: &["__not_ilike_all"],
        arguments: (2, MANY),
        build: |context, list| several(context, list, NOT_ALL.lower()),
    },
];

/// How several patterns count.
#[derive(Debug, Clone, Copy)]
struct Quantity {
    all: bool,
    negated: bool,
    ignore_case: bool,
}

const ANY: Quantity = Quantity { all: false, negated: false, ignore_case: false };
const ALL: Quantity = Quantity { all: true, negated: false, ignore_case: false };
const NOT_ANY: Quantity = Quantity { all: false, negated: true, ignore_case: false };
const NOT_ALL: Quantity = Quantity { all: true, negated: true, ignore_case: false };

impl Quantity {
    const fn lower(mut self) -> Self {
        self.ignore_case = true;
        self
    }
}

/// A compiled pattern and the text it was made of.
type Known = Option<(String, Arc<regex::Regex>)>;

fn compiled(pattern: &str, escape: char, known: &mut Known) -> Result<Arc<regex::Regex>> {
    if let Some((text, regex)) = known
        && text == pattern
    {
        return Ok(regex.clone());
    }
    let regex = Arc::new(to_regex(pattern, escape)?);
    *known = Some((pattern.to_owned(), regex.clone()));
    Ok(regex)
}

fn to_regex(pattern: &str, escape: char) -> Result<regex::Regex> {
    let wrong = |class: &str, why: String| {
        Error::new(Kind::Data, format!("the pattern '{pattern}' is not valid: {why}"))
            .class(format!("INVALID_FORMAT.{class}"))
            .help(format!("write {escape}{escape} for the escape character itself"))
    };
    let mut source = String::from("(?s)^");
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        if letter == escape {
            match letters.next() {
                Some(next) if next == '%' || next == '_' || next == escape => {
                    source += &regex::escape(&next.to_string());
                }
                None => return Err(wrong("ESC_AT_THE_END", format!("{escape} stands at its end"))),
                Some(next) => return Err(wrong("ESC_IN_THE_MIDDLE", format!("{escape} stands before {next}"))),
            }
            continue;
        }
        match letter {
            '%' => source.push_str(".*"),
            '_' => source.push('.'),
            other => source += &regex::escape(&other.to_string()),
        }
    }
    regex::Regex::new(&(source + "$")).map_err(|error| Error::bug("a LIKE pattern became no regex").caused_by(error))
}

fn like(context: &CallContext<'_>, mut arguments: Vec<Typed>, ignore_case: bool) -> Result<Typed> {
    let escape = match arguments.len() {
        3 => {
            let given = constant::text(&arguments.remove(2), "escape", context)?.unwrap_or_default();
            let mut letters = given.chars();
            match (letters.next(), letters.next()) {
                (Some(letter), None) => letter,
                _ => {
                    return Err(Error::invalid(format!("the escape character is one character, not '{given}'"))
                        .class("INVALID_ESC")
                        .at_if_unplaced(context.text.place(context.at)));
                }
            }
        }
        _ => '\\',
    };
    let (pattern, text) = (as_text(arguments.remove(1), context)?, as_text(arguments.remove(0), context)?);
    let shown = if escape == '\\' { String::new() } else { format!(" ESCAPE '{escape}'") };
    let name = match ignore_case {
        true => format!("ilike({}, {}{shown})", text.name, pattern.name),
        false => format!("{} LIKE {}{shown}", text.name, pattern.name),
    };
    // a pattern that is known is compiled once
    let mut first = None;
    if let Some(pattern) = pattern.as_text() {
        let pattern = if ignore_case { pattern.to_lowercase() } else { pattern.to_owned() };
        let _ = compiled(&pattern, escape, &mut first);
    }
    let list = vec![text.expr, pattern.expr];
    let parameters = format!("{escape} {ignore_case}");
    let expr = Native::call("like", parameters, DataType::Boolean, list, move |arguments, _| {
        let (texts, patterns) = (arguments[0].as_string::<i32>(), arguments[1].as_string::<i32>());
        let mut known = first.clone();
        let values = texts.iter().zip(patterns.iter()).map(|(text, pattern)| {
            let (Some(text), Some(pattern)) = (text, pattern) else { return Ok(None) };
            Ok(Some(match ignore_case {
                true => compiled(&pattern.to_lowercase(), escape, &mut known)?.is_match(&text.to_lowercase()),
                false => compiled(pattern, escape, &mut known)?.is_match(text),
            }))
        });
        Ok(Arc::new(values.collect::<Result<BooleanArray>>()?) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Boolean, name))
}

/// `text LIKE ANY (..)` and its kin: decided by one pattern, else NULL when one of them is.
fn several(context: &CallContext<'_>, arguments: Vec<Typed>, quantity: Quantity) -> Result<Typed> {
    let Quantity { all, negated, ignore_case } = quantity;
    let arguments = arguments.into_iter().map(|argument| as_text(argument, context)).collect::<Result<Vec<_>>>()?;
    let text = if ignore_case { format!("lower({})", arguments[0].name) } else { arguments[0].name.clone() };
    let constant = arguments[1..].iter().all(|pattern| pattern.as_text().is_some());
    let name = match constant {
        true => format!("{}like{}({text})", if negated { "not" } else { "" }, if all { "all" } else { "any" }),
        false => {
            let each = arguments[1..].iter().map(|pattern| {
                let like = format!("{text} LIKE {}", pattern.name);
                if negated { format!("(NOT {like})") } else { like }
            });
            let joint = if all { " AND " } else { " OR " };
            each.reduce(|left, right| format!("({left}{joint}{right})")).unwrap_or_default()
        }
    };
    let list = arguments.into_iter().map(|argument| argument.expr).collect();
    let expr = Native::call(context.name, "", DataType::Boolean, list, move |arguments, rows| {
        let columns: Vec<_> = arguments.iter().map(|column| column.as_string::<i32>()).collect();
        let mut known: Vec<Known> = vec![None; columns.len()];
        let values = (0..rows).map(|row| {
            if columns[0].is_null(row) {
                return Ok(None);
            }
            let lower = |text: &str| if ignore_case { text.to_lowercase() } else { text.to_owned() };
            let text = lower(columns[0].value(row));
            let mut unknown = false;
            for (column, known) in columns.iter().zip(&mut known).skip(1) {
                if column.is_null(row) {
                    unknown = true;
                    continue;
                }
                let matches = compiled(&lower(column.value(row)), '\\', known)?.is_match(&text) != negated;
                if matches != all {
                    return Ok(Some(matches));
                }
            }
            Ok(if unknown { None } else { Some(all) })
        });
        Ok(Arc::new(values.collect::<Result<BooleanArray>>()?) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Boolean, name))
}
