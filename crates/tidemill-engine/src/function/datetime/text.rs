//! Dates and timestamps from and to text by Java's patterns: `to_timestamp`, `to_date`, `date_format`.

use super::text_at;
use crate::function::native::Native;
use crate::function::{CallContext, Entry, as_text, as_timestamp, cast_to, implicit_cast};
use crate::pipeline::analysis::typed::Typed;
use crate::time::pattern::Pattern;
use arrow::array::{Array, ArrayRef, AsArray, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::logical_expr::Expr;
use tidemill_core::{Error, Kind, Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry {
        names: &["to_timestamp", "to_timestamp_ltz"],
        arguments: (1, 2),
        build: |context, given| to_timestamp(context, given, true, false),
    },
    Entry {
        names: &["to_timestamp_ntz"],
        arguments: (1, 2),
        build: |context, given| to_timestamp(context, given, false, false),
    },
    Entry {
        names: &["try_to_timestamp"],
        arguments: (1, 2),
        build: |context, given| to_timestamp(context, given, true, true),
    },
    Entry { names: &["to_date"], arguments: (1, 2), build: |context, given| to_date(context, given, false) },
    Entry { names: &["try_to_date"], arguments: (1, 2), build: |context, given| to_date(context, given, true) },
    Entry { names: &["date_format"], arguments: (2, 2), build: date_format },
];

/// How a pattern is compiled.
type Compile = fn(&str) -> Result<Pattern>;

/// The pattern of each row: compiled once while the text stays the same.
pub struct Patterns {
    compile: Compile,
    last: Option<(String, Pattern)>,
}

impl Patterns {
    /// For reading text.
    pub fn for_parsing() -> Self {
        Patterns { compile: Pattern::for_parsing, last: None }
    }

    /// For writing text.
    pub fn for_formatting() -> Self {
        Patterns { compile: Pattern::compile, last: None }
    }

    /// The pattern that `text` is.
    pub fn of(&mut self, text: &str) -> Result<&Pattern> {
        let known = self.last.take().filter(|(known, _)| known == text);
        let found = match known {
            Some(known) => known,
            None => (text.to_owned(), (self.compile)(text)?),
        };
        Ok(&self.last.insert(found).1)
    }
}

/// A pattern argument; one that is a literal is checked now.
pub fn pattern_argument(format: Typed, compile: Compile, context: &CallContext<'_>) -> Result<Expr> {
    if let Some(text) = format.as_text() {
        compile(text).map_err(|error| error.at_if_unplaced(context.text.place(context.at)))?;
    }
    Ok(as_text(format, context)?.expr)
}

pub fn to_timestamp(
    context: &CallContext<'_>,
    mut arguments: Vec<Typed>,
    with_zone: bool,
    try_parse: bool,
) -> Result<Typed> {
    let of = if with_zone { types::timestamp() } else { types::timestamp_ntz() };
    let format = if arguments.len() == 2 { arguments.pop() } else { None };
    let value = arguments.remove(0);
    match format {
        Some(format) if matches!(value.data_type, DataType::Utf8 | DataType::Null) => {
            parsed(implicit_cast(value, &DataType::Utf8, context)?, format, &of, try_parse, context)
        }
        _ => cast_to(value, &of, try_parse, context).map(|typed| typed.named("")),
    }
}

fn parsed(value: Typed, format: Typed, of: &DataType, try_parse: bool, context: &CallContext<'_>) -> Result<Typed> {
    let format = pattern_argument(format, Pattern::for_parsing, context)?;
    let session = super::zone_of(of, context);
    let fails = context.session.settings.ansi() && !try_parse;
    let (parameters, result) = (format!("{session} {fails}"), of.clone());
    let arguments = vec![value.expr, format];
    let expr = Native::call("to_timestamp", parameters, of.clone(), arguments, move |arguments, rows| {
        let mut patterns = Patterns::for_parsing();
        let values = (0..rows).map(|row| {
            let (Some(value), Some(format)) = (text_at(&arguments[0], row), text_at(&arguments[1], row)) else {
                return Ok(None);
            };
            match patterns.of(format)?.parse(value, session) {
                None if fails => Err(cannot_parse(value, format)),
                found => Ok(found),
            }
        });
        Ok(super::timestamps(values.collect::<Result<TimestampMicrosecondArray>>()?, &result))
    });
    Ok(Typed::new(expr, of.clone(), ""))
}

fn cannot_parse(value: &str, format: &str) -> Error {
    let shown: String = value.chars().take(100).collect();
    Error::new(Kind::Data, format!("the text '{shown}' does not fit the pattern '{format}'"))
        .class("CANNOT_PARSE_TIMESTAMP")
        .help("use try_to_timestamp to get NULL instead")
}

fn to_date(context: &CallContext<'_>, mut arguments: Vec<Typed>, try_parse: bool) -> Result<Typed> {
    if arguments.len() == 2 {
        let timestamp = to_timestamp(context, arguments, true, try_parse)?;
        return cast_to(timestamp, &DataType::Date32, false, context).map(|typed| typed.named(""));
    }
    cast_to(arguments.remove(0), &DataType::Date32, try_parse, context).map(|typed| typed.named(""))
}

fn date_format(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let format = pattern_argument(arguments.remove(1), Pattern::compile, context)?;
    let value = as_timestamp(arguments.remove(0), context)?;
    let session = context.session.settings.time_zone();
    let arguments = vec![value.expr, format];
    let expr = Native::call("date_format", session.name(), DataType::Utf8, arguments, move |arguments, rows| {
        let values = arguments[0].as_primitive::<TimestampMicrosecondType>();
        let mut patterns = Patterns::for_formatting();
        let texts = (0..rows).map(|row| match text_at(&arguments[1], row) {
            Some(format) if values.is_valid(row) => Ok(Some(patterns.of(format)?.format(values.value(row), session))),
            _ => Ok(None),
        });
        Ok(std::sync::Arc::new(texts.collect::<Result<StringArray>>()?) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Utf8, ""))
}
