//! Spark's type names and the Arrow types behind them.
//!
//! | Spark | Arrow |
//! |---|---|
//! | boolean, tinyint, smallint, int, bigint, float, double | Boolean, Int8..Int64, Float32, Float64 |
//! | decimal(p,s) | Decimal128(p, s) |
//! | string, varchar(n), char(n) | Utf8 |
//! | binary | Binary |
//! | date | Date32 |
//! | timestamp | Timestamp(Microsecond, "UTC") |
//! | timestamp_ntz | Timestamp(Microsecond, none) |
//! | interval day to second | Duration(Microsecond) |
//! | interval year to month | Interval(YearMonth) |
//! | array, map, struct | List, Map, Struct |
//!
//! Source of the names: Spark SQL reference, "Data Types".

use crate::error::{Error, Result};
use crate::nearest::nearest;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, Schema, TimeUnit};
use std::fmt::Write as _;
use std::sync::Arc;

/// Deepest nesting a type may have.
const DEPTH_MAX: usize = 32;

/// Spark's `timestamp`: an instant, in microseconds.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Spark's `timestamp_ntz`: a wall clock without a zone, in microseconds.
pub fn timestamp_ntz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// Spark's `array<element>`; elements may be NULL.
pub fn array_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(element, true)))
}

/// Spark's `map<key, value>`; values may be NULL.
pub fn map_of(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

/// The type of a window column: `struct<start: timestamp, end: timestamp>`.
pub fn window() -> DataType {
    window_over(timestamp())
}

/// The type of a window column over a timestamp of this type, with or without zone.
pub fn window_over(time: DataType) -> DataType {
    DataType::Struct(Fields::from(vec![Field::new("start", time.clone(), true), Field::new("end", time, true)]))
}

/// True for the type of a window column, over timestamps of either kind.
pub fn is_window(of: &DataType) -> bool {
    *of == window() || *of == window_over(timestamp_ntz())
}

/// Spark's name of a type, as `DESCRIBE` and `simpleString` print it: `struct<start:timestamp,end:timestamp>`.
pub fn name(of: &DataType) -> String {
    match of {
        DataType::Null => "void".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Int8 => "tinyint".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 => "int".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(_, Some(_)) => "timestamp".into(),
        DataType::Timestamp(_, None) => "timestamp_ntz".into(),
        DataType::Duration(_) => "interval day to second".into(),
        DataType::Interval(IntervalUnit::YearMonth) => "interval year to month".into(),
        DataType::Interval(_) => "interval".into(),
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            format!("array<{}>", name(field.data_type()))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!("map<{},{}>", name(fields[0].data_type()), name(fields[1].data_type()))
            }
            other => format!("map<{other}>"),
        },
        DataType::Struct(fields) => {
            let mut text = String::from("struct<");
            for (index, field) in fields.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                let _ = write!(text, "{comma}{}:{}", field.name(), name(field.data_type()));
            }
            text + ">"
        }
        other => other.to_string(),
    }
}

/// Parses one type, such as `array<struct<a: int, b: decimal(10,2)>>`.
///
/// # Errors
/// An unknown type name (with the nearest known one) or text that does not end where the type does.
pub fn parse_type(text: &str) -> Result<DataType> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let parsed = parser.data_type()?;
    parser.end()?;
    Ok(parsed)
}

/// Parses a schema in DDL: `a INT, b STRING NOT NULL, c STRUCT<x: BIGINT>`. `STRUCT<...>` around the
/// whole is accepted too.
///
/// # Errors
/// As [`parse_type`].
pub fn parse_schema(text: &str) -> Result<Schema> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    if parser.peek_word().eq_ignore_ascii_case("struct")
        && let Ok(DataType::Struct(fields)) = parse_type(text)
    {
        return Ok(Schema::new(fields));
    }
    let fields = parser.fields(None)?;
    parser.end()?;
    Ok(Schema::new(fields))
}

/// A schema as DDL, the inverse of [`parse_schema`].
pub fn schema_ddl(schema: &Schema) -> String {
    let columns = schema.fields().iter().map(|field| {
        let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
        format!("{} {}{not_null}", quote(field.name()), name(field.data_type()).to_uppercase_type())
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// A name as SQL writes it: in backticks unless it is a plain word.
pub fn quote(identifier: &str) -> String {
    let plain = identifier
        .chars()
        .enumerate()
        .all(|(index, letter)| letter == '_' || letter.is_ascii_alphabetic() || (index > 0 && letter.is_ascii_digit()));
    if plain && !identifier.is_empty() { identifier.to_owned() } else { format!("`{}`", identifier.replace('`', "``")) }
}

trait TypeCase {
    fn to_uppercase_type(self) -> String;
}

impl TypeCase for String {
    /// Upper case for plain types; nested ones keep the case of their field names.
    fn to_uppercase_type(self) -> String {
        if self.contains('<') { self } else { self.to_uppercase() }
    }
}

const NAMES: &[&str] = &[
    "boolean",
    "tinyint",
    "byte",
    "smallint",
    "short",
    "int",
    "integer",
    "bigint",
    "long",
    "float",
    "real",
    "double",
    "decimal",
    "dec",
    "numeric",
    "string",
    "varchar",
    "char",
    "binary",
    "date",
    "timestamp",
    "timestamp_ltz",
    "timestamp_ntz",
    "interval",
    "array",
    "map",
    "struct",
    "void",
];

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, token: char) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len_utf8();
        }
        found
    }

    fn expect(&mut self, token: char) -> Result<()> {
        if self.eat(token) { Ok(()) } else { Err(self.error(&format!("expected '{token}'"))) }
    }

    fn peek_word(&mut self) -> String {
        self.skip_space();
        let rest = self.rest();
        let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
        rest[..end].to_owned()
    }

    fn word(&mut self) -> String {
        let word = self.peek_word();
        self.at += word.len();
        word
    }

    fn eat_word(&mut self, wanted: &str) -> bool {
        let word = self.peek_word();
        let found = word.eq_ignore_ascii_case(wanted);
        if found {
            self.at += word.len();
        }
        found
    }

    fn error(&self, what: &str) -> Error {
        let seen: String = self.rest().trim_start().chars().take(20).collect();
        let seen = if seen.is_empty() { "the end".to_owned() } else { format!("'{seen}'") };
        Error::invalid(format!("cannot read the type or schema '{}': {what} at {seen}", self.text.trim()))
            .class("PARSE_SYNTAX_ERROR")
    }

    fn end(&mut self) -> Result<()> {
        self.skip_space();
        if self.rest().is_empty() { Ok(()) } else { Err(self.error("unexpected text")) }
    }

    fn data_type(&mut self) -> Result<DataType> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(&format!("nested deeper than {DEPTH_MAX}")));
        }
        let word = self.word();
        let parsed = match word.to_ascii_lowercase().as_str() {
            "boolean" => DataType::Boolean,
            "tinyint" | "byte" => DataType::Int8,
            "smallint" | "short" => DataType::Int16,
            "int" | "integer" => DataType::Int32,
            "bigint" | "long" => DataType::Int64,
            "float" | "real" => DataType::Float32,
            "double" => DataType::Float64,
            "decimal" | "dec" | "numeric" => self.decimal()?,
            "string" => DataType::Utf8,
            "varchar" | "char" => {
                self.expect('(')?;
                self.number()?;
                self.expect(')')?;
                DataType::Utf8
            }
            "binary" => DataType::Binary,
            "date" => DataType::Date32,
            "timestamp" | "timestamp_ltz" => timestamp(),
            "timestamp_ntz" => timestamp_ntz(),
            "void" => DataType::Null,
            "interval" => self.interval()?,
            "array" => {
                self.expect('<')?;
                let element = self.data_type()?;
                self.expect('>')?;
                array_of(element)
            }
            "map" => {
                self.expect('<')?;
                let key = self.data_type()?;
                self.expect(',')?;
                let value = self.data_type()?;
                self.expect('>')?;
                map_of(key, value)
            }
            "struct" => {
                self.expect('<')?;
                DataType::Struct(self.fields(Some('>'))?)
            }
            unknown => {
                let error = Error::invalid(format!("there is no type called '{word}'")).class("UNSUPPORTED_DATATYPE");
                return Err(match nearest(unknown, NAMES.iter().copied()) {
                    Some(near) => error.help(format!("did you mean '{near}'?")),
                    None => error.help(format!("types: {}", NAMES.join(", "))),
                });
            }
        };
        self.depth -= 1;
        Ok(parsed)
    }

    fn decimal(&mut self) -> Result<DataType> {
        if !self.eat('(') {
            return Ok(DataType::Decimal128(10, 0));
        }
        let precision = self.number()?;
        let scale = if self.eat(',') { self.number()? } else { 0 };
        self.expect(')')?;
        if precision == 0 || precision > 38 || scale > precision {
            return Err(self.error("a decimal has 1 to 38 digits, and no more of them after the point"));
        }
        Ok(DataType::Decimal128(precision as u8, scale as i8))
    }

    fn interval(&mut self) -> Result<DataType> {
        let from = self.word().to_ascii_lowercase();
        if self.eat_word("to") {
            self.word();
        }
        match from.as_str() {
            "year" | "month" => Ok(DataType::Interval(IntervalUnit::YearMonth)),
            "day" | "hour" | "minute" | "second" => Ok(DataType::Duration(TimeUnit::Microsecond)),
            _ => Err(self.error("expected 'day to second' or 'year to month'")),
        }
    }

    fn number(&mut self) -> Result<u32> {
        self.word().parse().map_err(|_| self.error("expected a number"))
    }

    /// Fields up to `close` (eaten), or to the end of the text.
    fn fields(&mut self, close: Option<char>) -> Result<Fields> {
        let mut fields: Vec<FieldRef> = Vec::new();
        if close.is_some_and(|close| self.eat(close)) {
            return Ok(fields.into());
        }
        loop {
            let name = self.name()?;
            self.eat(':');
            let data_type = self.data_type()?;
            let mut nullable = true;
            loop {
                if self.eat_word("not") {
                    if !self.eat_word("null") {
                        return Err(self.error("expected NULL after NOT"));
                    }
                    nullable = false;
                } else if self.eat_word("comment") {
                    self.quoted('\'')?;
                } else {
                    break;
                }
            }
            fields.push(Arc::new(Field::new(name, data_type, nullable)));
            if self.eat(',') {
                continue;
            }
            return match close {
                Some(close) => self.expect(close).map(|()| fields.into()),
                None => Ok(fields.into()),
            };
        }
    }

    fn name(&mut self) -> Result<String> {
        self.skip_space();
        if self.rest().starts_with('`') {
            return self.quoted('`');
        }
        let word = self.word();
        if word.is_empty() { Err(self.error("expected a column name")) } else { Ok(word) }
    }

    fn quoted(&mut self, quote: char) -> Result<String> {
        self.expect(quote)?;
        let end = self.rest().find(quote).ok_or_else(|| self.error("an open quote"))?;
        let name = self.rest()[..end].to_owned();
        self.at += end + quote.len_utf8();
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_itself() {
        for text in [
            "boolean",
            "tinyint",
            "smallint",
            "int",
            "bigint",
            "float",
            "double",
            "decimal(12,2)",
            "string",
            "binary",
            "date",
            "timestamp",
            "timestamp_ntz",
            "interval day to second",
            "array<int>",
            "map<string,array<double>>",
            "struct<start:timestamp,end:timestamp>",
            "struct<a:int,b:array<struct<c:decimal(6,2)>>>",
        ] {
            assert_eq!(name(&parse_type(text).unwrap()), text);
        }
    }

    #[test]
    fn a_schema_keeps_case_order_and_not_null() {
        let schema = parse_schema("userId STRING NOT NULL COMMENT 'who', `a b` ARRAY<INT>, Ts timestamp").unwrap();
        assert_eq!(schema_ddl(&schema), "userId STRING NOT NULL, `a b` array<int>, Ts TIMESTAMP");
        assert!(!schema.field(0).is_nullable());
    }

    #[test]
    fn a_misspelled_type_names_the_nearest_one() {
        assert!(parse_schema("a strng").unwrap_err().report().contains("did you mean 'string'?"));
        assert!(parse_schema("a int b int").unwrap_err().to_string().contains("unexpected text"));
    }
}
