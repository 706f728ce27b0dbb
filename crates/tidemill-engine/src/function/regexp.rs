//! Functions of regular expressions: `rlike`, `regexp_replace`, `regexp_extract` and their kin, `split`.
//! Observed in the golden cases `regexp_*` and `split_*`.

use super::datum::{self, Datum};
use super::native::Native;
use super::regex::{Found, Pattern};
use super::{CallContext, Entry, as_int, as_text, constant};
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["rlike", "regexp", "regexp_like"], arguments: (2, 2), build: matches },
    Entry { names: &["regexp_replace"], arguments: (3, 4), build: replace },
    Entry { names: &["regexp_extract"], arguments: (2, 3), build: extract },
    Entry { names: &["regexp_extract_all"], arguments: (2, 3), build: extract_all },
    Entry { names: &["regexp_count"], arguments: (2, 2), build: count },
    Entry { names: &["regexp_substr"], arguments: (2, 2), build: first },
    Entry { names: &["regexp_instr"], arguments: (2, 3), build: position },
    Entry { names: &["split"], arguments: (2, 3), build: split },
];

/// The compiled patterns of a call: a constant one once, others when they change.
#[derive(Clone)]
struct Patterns {
    function: String,
    constant: Option<(String, std::result::Result<Arc<Pattern>, String>)>,
}

impl Patterns {
    fn of(pattern: &Typed, context: &CallContext<'_>) -> Self {
        let constant = pattern.as_text().map(|text| (text.to_owned(), Pattern::compile(text).map(Arc::new)));
        Patterns { function: context.name.to_owned(), constant }
    }

    /// The pattern of a row; `last` is the one of the row before.
    fn get<'a>(&self, text: &'a str, last: &mut Option<(&'a str, Arc<Pattern>)>) -> Result<Arc<Pattern>> {
        let wrong = |why: &str| {
            Error::new(Kind::Data, format!("{}: '{text}' is not valid as a regular expression: {why}", self.function))
                .class("INVALID_PARAMETER_VALUE.PATTERN")
        };
        if let Some((known, pattern)) = last
            && *known == text
        {
            return Ok(pattern.clone());
        }
        let pattern = match &self.constant {
            Some((known, compiled)) if known == text => compiled.clone(),
            _ => Pattern::compile(text).map(Arc::new),
        };
        let pattern = pattern.map_err(|why| wrong(&why))?;
        *last = Some((text, pattern.clone()));
        Ok(pattern)
    }
}

/// Text and pattern of a row, and the number behind them.
struct Row<'a> {
    text: &'a str,
    pattern: Arc<Pattern>,
    number: i32,
}

/// A call over text, pattern and a number; NULL where one of them is.
fn call<T>(
    context: &CallContext<'_>,
    result: DataType,
    arguments: [Typed; 3],
    of: impl Fn(&Row<'_>) -> Result<T> + Send + Sync + 'static,
    build: impl Fn(Vec<Option<T>>) -> Result<ArrayRef> + Send + Sync + 'static,
) -> Result<Typed> {
    let [text, pattern, number] = arguments;
    let (text, pattern, number) = (as_text(text, context)?, as_text(pattern, context)?, as_int(number, context)?);
    let patterns = Patterns::of(&pattern, context);
    let name = format!("{}({}, {}, {})", context.name, text.name, pattern.name, number.name);
    let list = vec![text.expr, pattern.expr, number.expr];
    let expr = Native::call(context.name, "", result.clone(), list, move |arguments, rows| {
        let (texts, given) = (arguments[0].as_string::<i32>(), arguments[1].as_string::<i32>());
        let numbers = arguments[2].as_primitive::<Int32Type>();
        let mut last = None;
        let values = (0..rows).map(|row| {
            if texts.is_null(row) || given.is_null(row) || numbers.is_null(row) {
                return Ok(None);
            }
            let pattern = patterns.get(given.value(row), &mut last)?;
            of(&Row { text: texts.value(row), pattern, number: numbers.value(row) }).map(Some)
        });
        build(values.collect::<Result<Vec<_>>>()?)
    });
    Ok(Typed::new(expr, result, name))
}

fn booleans(values: Vec<Option<bool>>) -> Result<ArrayRef> {
    Ok(Arc::new(BooleanArray::from(values)))
}

fn numbers(values: Vec<Option<i32>>) -> Result<ArrayRef> {
    Ok(Arc::new(Int32Array::from(values)))
}

fn texts(values: Vec<Option<String>>) -> Result<ArrayRef> {
    Ok(Arc::new(StringArray::from_iter(values)))
}

fn lists(values: Vec<Option<Vec<String>>>) -> Result<ArrayRef> {
    let list = |values: Vec<String>| Datum::List(values.into_iter().map(Datum::Text).collect());
    datum::column(
        &types::array_of(DataType::Utf8),
        values.into_iter().map(|value| value.map_or(Datum::Null, list)).collect(),
    )
}

fn literal(number: i32) -> Typed {
    Typed::literal(ScalarValue::Int32(Some(number)), number.to_string())
}

/// Text, pattern and the number given, or `otherwise`.
fn three(arguments: Vec<Typed>, otherwise: i32) -> Result<[Typed; 3]> {
    let mut list = arguments.into_iter();
    match (list.next(), list.next()) {
        (Some(text), Some(pattern)) => Ok([text, pattern, list.next().unwrap_or_else(|| literal(otherwise))]),
        _ => Err(Error::bug("a regular expression without text or pattern")),
    }
}

fn matches(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let name = format!("{}({}, {})", context.name.to_uppercase(), arguments[0].name, arguments[1].name);
    let typed = call(context, DataType::Boolean, three(arguments, 0)?, |row| row.pattern.is_in(row.text), booleans)?;
    Ok(typed.named(name))
}

fn count(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let of = |row: &Row<'_>| Ok(row.pattern.all(row.text)?.len() as i32);
    Ok(call(context, DataType::Int32, three(arguments, 0)?, of, numbers)?.named(""))
}

/// The first match, NULL when there is none or it is empty.
fn first(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let of = |row: &Row<'_>| {
        let found = row.pattern.first(row.text)?;
        Ok(found.map(|found| group(&found, 0)).filter(|text| !text.is_empty()))
    };
    let build = |values: Vec<Option<Option<String>>>| texts(values.into_iter().map(Option::flatten).collect());
    Ok(call(context, DataType::Utf8, three(arguments, 0)?, of, build)?.named(""))
}

/// Where the first match starts, counted as Java counts letters.
fn position(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let of = |row: &Row<'_>| {
        let start = row.pattern.first(row.text)?.and_then(|found| Some(found.get(0)?.start()));
        Ok(start.map_or(0, |start| row.text[..start].encode_utf16().count() as i32 + 1))
    };
    call(context, DataType::Int32, three(arguments, 0)?, of, numbers)
}

fn group(found: &Found<'_>, index: usize) -> String {
    found.get(index).map_or_else(String::new, |part| part.as_str().to_owned())
}

fn group_index(row: &Row<'_>, function: &str) -> Result<usize> {
    let groups = row.pattern.groups();
    match usize::try_from(row.number) {
        Ok(index) if index <= groups => Ok(index),
        _ => Err(Error::new(
            Kind::Data,
            format!("{function}: the pattern has the groups 0 to {groups}, and {} is none", row.number),
        )
        .class("INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX")),
    }
}

fn extract(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let of = |row: &Row<'_>| match row.pattern.first(row.text)? {
        Some(found) => Ok(group(&found, group_index(row, "regexp_extract")?)),
        None => Ok(String::new()),
    };
    call(context, DataType::Utf8, three(arguments, 1)?, of, texts)
}

fn extract_all(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let of = |row: &Row<'_>| {
        let all = row.pattern.all(row.text)?;
        all.iter().map(|found| Ok(group(found, group_index(row, "regexp_extract_all")?))).collect::<Result<Vec<_>>>()
    };
    call(context, types::array_of(DataType::Utf8), three(arguments, 1)?, of, lists)
}

/// Every match from a position on replaced; `$1` and `${name}` are groups, a backslash takes the next
/// letter as it is.
fn replace(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let at = match arguments.get(3) {
        None => literal(1),
        Some(_) => arguments.remove(3),
    };
    let start = match constant::value(&at)? {
        Some(ScalarValue::Int32(start)) => start,
        Some(ScalarValue::Null) => None,
        _ => return Err(constant::not_constant("position", &DataType::Int32, context)),
    };
    if start.is_some_and(|start| start < 1) {
        return Err(refuse::type_mismatch(
            "VALUE_OUT_OF_RANGE",
            format!("the position of regexp_replace is 1 or more, not {}", at.name),
            context.text,
            context.at,
        ));
    }
    let name = arguments.iter().chain([&at]).map(|argument| argument.name.clone()).collect::<Vec<_>>().join(", ");
    let arguments = arguments.into_iter().map(|argument| as_text(argument, context)).collect::<Result<Vec<_>>>()?;
    let patterns = Patterns::of(&arguments[1], context);
    let list = arguments.into_iter().map(|argument| argument.expr).collect();
    let expr = Native::call("regexp_replace", at.name, DataType::Utf8, list, move |arguments, rows| {
        let columns: Vec<&StringArray> = arguments.iter().map(|column| column.as_string::<i32>()).collect();
        let mut last = None;
        let values = (0..rows).map(|row| {
            let (Some(start), false) = (start, columns.iter().any(|column| column.is_null(row))) else {
                return Ok(None);
            };
            let pattern = patterns.get(columns[1].value(row), &mut last)?;
            replaced(columns[0].value(row), &pattern, columns[2].value(row), start).map(Some)
        });
        Ok(Arc::new(values.collect::<Result<StringArray>>()?) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Utf8, format!("regexp_replace({name})")))
}

fn replaced(text: &str, pattern: &Pattern, with: &str, start: i32) -> Result<String> {
    let (before, rest) = text.split_at(byte_of(text, start as usize - 1));
    if rest.is_empty() && start > 1 {
        return Ok(text.to_owned());
    }
    let mut out = before.to_owned();
    let mut end = 0;
    for found in pattern.all(rest)? {
        let Some(whole) = found.get(0) else { continue };
        out.push_str(&rest[end..whole.start()]);
        end = whole.end();
        expand(with, &found, pattern, &mut out).ok_or_else(|| {
            Error::new(
                Kind::Data,
                format!("regexp_replace: the replacement '{with}' does not fit the pattern's groups"),
            )
            .class("INVALID_REGEXP_REPLACE")
            .help("write \\$ for a dollar sign")
        })?;
    }
    out.push_str(&rest[end..]);
    Ok(out)
}

/// The byte at which the letter at a position of Java's counting starts.
fn byte_of(text: &str, position: usize) -> usize {
    let mut units = 0;
    for (byte, letter) in text.char_indices() {
        if units >= position {
            return byte;
        }
        units += letter.len_utf16();
    }
    text.len()
}

/// `None` when the replacement names a group that is not there.
fn expand(with: &str, found: &Found<'_>, pattern: &Pattern, out: &mut String) -> Option<()> {
    let mut letters = with.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => out.push(letters.next()?),
            '$' if letters.next_if_eq(&'{').is_some() => {
                let mut name = String::new();
                loop {
                    match letters.next()? {
                        '}' => break,
                        letter => name.push(letter),
                    }
                }
                out.push_str(&group(found, pattern.group_named(&name)?));
            }
            '$' => {
                let mut index = letters.next()?.to_digit(10)? as usize;
                if index > pattern.groups() {
                    return None;
                }
                while let Some(digit) = letters.peek().and_then(|letter| letter.to_digit(10)) {
                    let longer = index * 10 + digit as usize;
                    if longer > pattern.groups() {
                        break;
                    }
                    index = longer;
                    letters.next();
                }
                out.push_str(&group(found, index));
            }
            other => out.push(other),
        }
    }
    Some(())
}

fn split(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let of = |row: &Row<'_>| parts(row.text, &row.pattern, row.number);
    call(context, types::array_of(DataType::Utf8), three(arguments, -1)?, of, lists)
}

/// Split by the empty text: a letter each, the rest in the last.
fn letters(text: &str, limit: i32) -> Vec<String> {
    let total = text.chars().count();
    let limit = usize::try_from(limit).ok().filter(|limit| (1..=total).contains(limit)).unwrap_or(total);
    let mut rest = text;
    let mut list = Vec::with_capacity(limit);
    while list.len() + 1 < limit {
        let length = rest.chars().next().map_or(0, char::len_utf8);
        list.push(rest[..length].to_owned());
        rest = &rest[length..];
    }
    list.push(rest.to_owned());
    list
}

/// Java's `String.split`: an empty match at the start makes no part; empty parts at the end stay.
fn parts(text: &str, pattern: &Pattern, limit: i32) -> Result<Vec<String>> {
    if pattern.is_empty() && !text.is_empty() {
        return Ok(letters(text, limit));
    }
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let (mut list, mut from) = (vec![], 0);
    for found in pattern.all(text)? {
        let Some(whole) = found.get(0) else { continue };
        if list.len() + 1 >= limit {
            break;
        }
        if from == 0 && whole.start() == 0 && whole.end() == 0 {
            continue;
        }
        list.push(text[from..whole.start()].to_owned());
        from = whole.end();
    }
    list.push(text[from..].to_owned());
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_cuts_as_java_does() {
        let cut = |text: &str, pattern: &str, limit| {
            Pattern::compile(pattern).ok().and_then(|pattern| parts(text, &pattern, limit).ok()).unwrap_or_default()
        };
        assert_eq!(cut("a,b,,", ",", -1), ["a", "b", "", ""]);
        assert_eq!(cut("a,b,,", ",", 2), ["a", "b,,"]);
        assert_eq!(cut("abc", "", -1), ["a", "b", "c"]);
        assert_eq!(cut("abc", "b|", -1), ["a", "", "c", ""]);
        assert_eq!(cut("", ",", -1), [""]);
        assert_eq!(letters("日本x", 2), ["日", "本x"]);
    }
}
