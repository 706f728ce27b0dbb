//! JSON text to a value of a type, by the rules of Spark's `from_json`: a field of the wrong type is
//! NULL and the rest of the record stays; text that is no JSON gives a record of NULLs.
//! Observed in the golden cases `from_json_*`.

use super::lexer::{Lexer, Malformed, Token, double};
use super::options::Options;
use super::writer::Writer;
use crate::function::cast;
use crate::function::datum::Datum;
use crate::time::{DAY, SECOND, text};
use arrow::datatypes::{DataType, Fields};
use base64::Engine as _;
use tidemill_core::{Error, Kind, Result};

/// What a text was read as.
pub enum Outcome {
    /// The text is empty.
    Empty,
    Good(Datum),
    /// Something did not fit; what could be read.
    Bad(Option<Datum>),
    /// An array where an object belongs.
    ArrayForStruct,
}

/// Why a value could not be read.
enum Fault {
    /// The text is no JSON.
    Malformed,
    /// The value does not fit its type.
    Misfit,
    /// Something in it does not fit; the rest is here.
    Partial(Datum),
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Fault::Malformed
    }
}

type Read = std::result::Result<Datum, Fault>;

/// Reads texts as one type.
pub struct Reader<'a> {
    pub of: &'a DataType,
    pub options: &'a Options,
}

impl Reader<'_> {
    /// Reads one text.
    pub fn read(&self, text: &str) -> Outcome {
        let mut lexer = Lexer::new(text, self.options.rules);
        match lexer.advance() {
            Ok(None) => return Outcome::Empty,
            Err(Malformed) => return Outcome::Bad(None),
            Ok(Some(_)) => {}
        }
        let read = match (self.of, lexer.token()) {
            (_, Some(Token::Null)) => Err(Fault::Misfit),
            (DataType::Struct(_), Some(Token::ArrayStart)) => return Outcome::ArrayForStruct,
            (DataType::Struct(fields), Some(Token::ObjectStart)) => self.object(&mut lexer, fields),
            (DataType::Map(..), Some(Token::ObjectStart)) => self.value(&mut lexer, self.of),
            (DataType::List(element), Some(Token::ArrayStart)) => self.list(&mut lexer, element.data_type()),
            (DataType::List(element), Some(Token::ObjectStart)) => match element.data_type() {
                DataType::Struct(fields) => match self.object(&mut lexer, fields) {
                    Ok(only) => Ok(Datum::List(vec![only])),
                    Err(Fault::Partial(only)) => Err(Fault::Partial(Datum::List(vec![only]))),
                    Err(fault) => Err(fault),
                },
                _ => Err(Fault::Misfit),
            },
            _ => Err(Fault::Misfit),
        };
        match read {
            Ok(value) => Outcome::Good(value),
            Err(Fault::Partial(value)) => Outcome::Bad(Some(value)),
            Err(Fault::Malformed | Fault::Misfit) => Outcome::Bad(None),
        }
    }

    fn object(&self, lexer: &mut Lexer<'_>, fields: &Fields) -> Read {
        let mut row = vec![Datum::Null; fields.len()];
        let mut complete = true;
        loop {
            match lexer.advance()? {
                None | Some(Token::ObjectEnd) => break,
                Some(_) => {}
            }
            let position = lexer.name().and_then(|name| fields.iter().position(|field| field.name() == name));
            let Some(position) = position else {
                // the token after a name is the value; its children are passed over then
                lexer.skip_children()?;
                continue;
            };
            match self.value(lexer, fields[position].data_type()) {
                Ok(value) => row[position] = value,
                Err(Fault::Partial(value)) => {
                    row[position] = value;
                    complete = false;
                }
                Err(Fault::Misfit) => {
                    complete = false;
                    lexer.skip_children()?;
                }
                Err(Fault::Malformed) => return Err(Fault::Malformed),
            }
        }
        if complete { Ok(Datum::Struct(row)) } else { Err(Fault::Partial(Datum::Struct(row))) }
    }

    fn list(&self, lexer: &mut Lexer<'_>, element: &DataType) -> Read {
        let (mut list, mut complete) = (vec![], true);
        while !matches!(lexer.advance()?, None | Some(Token::ArrayEnd)) {
            match self.value(lexer, element) {
                Ok(value) => list.push(value),
                Err(Fault::Partial(value)) => {
                    list.push(value);
                    complete = false;
                }
                Err(fault) => return Err(fault),
            }
        }
        if complete { Ok(Datum::List(list)) } else { Err(Fault::Partial(Datum::List(list))) }
    }

    fn map(&self, lexer: &mut Lexer<'_>, of: &DataType) -> Read {
        let (mut list, mut complete): (Vec<(Datum, Datum)>, bool) = (vec![], true);
        while !matches!(lexer.advance()?, None | Some(Token::ObjectEnd)) {
            let key = Datum::Text(lexer.name().unwrap_or_default().to_owned());
            let value = match self.value(lexer, of) {
                Ok(value) => value,
                Err(Fault::Partial(value)) => {
                    complete = false;
                    value
                }
                Err(fault) => return Err(fault),
            };
            match list.iter_mut().find(|(known, _)| *known == key) {
                Some((_, old)) => *old = value,
                None => list.push((key, value)),
            }
        }
        if complete { Ok(Datum::Map(list)) } else { Err(Fault::Partial(Datum::Map(list))) }
    }

    /// The value the lexer stands at, or at whose name it stands.
    fn value(&self, lexer: &mut Lexer<'_>, of: &DataType) -> Read {
        if lexer.token() == Some(Token::Name) {
            lexer.advance()?;
        }
        let token = lexer.token().ok_or(Fault::Malformed)?;
        match (of, token) {
            (_, Token::Null) | (DataType::Null, _) => Ok(Datum::Null),
            (DataType::Boolean, Token::True) => Ok(Datum::Boolean(true)),
            (DataType::Boolean, Token::False) => Ok(Datum::Boolean(false)),
            (DataType::Utf8, Token::Text) => Ok(Datum::Text(lexer.text().to_owned())),
            (DataType::Utf8, Token::ObjectEnd | Token::ArrayEnd | Token::Name) => Err(Fault::Misfit),
            (DataType::Utf8, _) => {
                let mut writer = Writer::of_bytes();
                writer.copy(lexer)?;
                Ok(Datum::Text(writer.finish()))
            }
            (DataType::Struct(fields), Token::ObjectStart) => self.object(lexer, fields),
            (DataType::List(element), Token::ArrayStart) => self.list(lexer, element.data_type()),
            (DataType::Map(entries, _), Token::ObjectStart) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => self.map(lexer, fields[1].data_type()),
                _ => Err(Fault::Misfit),
            },
            (_, Token::Text) => self.parsed(lexer.text(), of).ok_or(Fault::Misfit),
            (_, Token::Whole | Token::Real) => {
                from_number(lexer.text(), token == Token::Whole, of).ok_or(Fault::Misfit)
            }
            _ => Err(Fault::Misfit),
        }
    }

    fn parsed(&self, given: &str, of: &DataType) -> Option<Datum> {
        let zone = self.options.zone;
        let whole = |value: Option<i64>| value.map(|value| Datum::Whole(i128::from(value)));
        match of {
            DataType::Binary => base64::engine::general_purpose::STANDARD.decode(given).ok().map(Datum::Bytes),
            _ if given.is_empty() => None,
            DataType::Float32 | DataType::Float64 if self.options.rules.not_numbers => match given {
                "NaN" | "Infinity" | "+Infinity" | "+INF" | "-Infinity" | "-INF" => Some(Datum::Real(double(given))),
                _ => None,
            },
            DataType::Decimal128(precision, scale) => {
                cast::decimal_of(&given.replace(',', ""), *precision, *scale).map(Datum::Whole)
            }
            DataType::Date32 => match &self.options.date {
                Some(pattern) => whole(pattern.parse(given, chrono_tz::UTC).map(|micros| micros.div_euclid(DAY))),
                None => {
                    whole(text::parse_date(given).map(i64::from).or_else(|| given.parse::<i32>().ok().map(i64::from)))
                }
            },
            DataType::Timestamp(_, Some(_)) => whole(match &self.options.timestamp {
                Some(pattern) => pattern.parse(given, zone),
                None => text::parse_timestamp(given, zone),
            }),
            DataType::Timestamp(_, None) => whole(match &self.options.timestamp_ntz {
                Some(pattern) => pattern.parse(given, chrono_tz::UTC),
                // a zone in the text does not fit a wall clock
                None => text::parse_timestamp_ntz(given).filter(|_| {
                    text::parse_timestamp(given, chrono_tz::UTC)
                        != text::parse_timestamp(given, chrono_tz::Asia::Kathmandu)
                }),
            }),
            _ => None,
        }
    }
}

fn from_number(given: &str, is_whole: bool, of: &DataType) -> Option<Datum> {
    let whole = |least: i64, most: i64| {
        let value: i64 = if is_whole { given.parse().ok()? } else { return None };
        (least..=most).contains(&value).then_some(Datum::Whole(i128::from(value)))
    };
    match of {
        // a byte may be written without its sign
        DataType::Int8 => whole(-128, 255),
        DataType::Int16 => whole(i64::from(i16::MIN), i64::from(i16::MAX)),
        DataType::Int32 => whole(i64::from(i32::MIN), i64::from(i32::MAX)),
        DataType::Int64 => whole(i64::MIN, i64::MAX),
        DataType::Timestamp(_, Some(_)) if is_whole => {
            given.parse::<i64>().ok().map(|seconds| Datum::Whole(i128::from(seconds.wrapping_mul(SECOND))))
        }
        DataType::Float32 if double(given).is_finite() => {
            given.parse::<f32>().ok().map(|near| Datum::Real(near.into()))
        }
        DataType::Float32 => Some(Datum::Real(double(given))),
        DataType::Float64 => Some(Datum::Real(double(given))),
        DataType::Decimal128(precision, scale) => cast::decimal_of(given, *precision, *scale).map(Datum::Whole),
        _ => None,
    }
}

/// Reads one text, and puts what the mode says where it does not fit.
///
/// # Errors
/// In mode FAILFAST, the first text that does not fit.
pub fn record(reader: &Reader<'_>, whole: &DataType, corrupt: Option<usize>, given: &str) -> Result<Datum> {
    let outcome = reader.read(given);
    let (mut value, bad) = match outcome {
        Outcome::Empty => return Ok(Datum::Null),
        Outcome::Good(value) => (value, false),
        Outcome::Bad(_) | Outcome::ArrayForStruct if reader.options.fail_fast => {
            let shown: String = given.chars().take(100).collect();
            let detail = if matches!(outcome, Outcome::ArrayForStruct) {
                "CANNOT_PARSE_JSON_ARRAYS_AS_STRUCTS"
            } else {
                "WITHOUT_SUGGESTION"
            };
            return Err(Error::new(Kind::Data, format!("the record '{shown}' cannot be read as the schema says"))
                .class(format!("MALFORMED_RECORD_IN_PARSING.{detail}"))
                .help("mode PERMISSIVE gives NULL instead"));
        }
        Outcome::Bad(Some(value)) => (value, true),
        Outcome::Bad(None) | Outcome::ArrayForStruct => match reader.of {
            DataType::Struct(fields) => (Datum::Struct(vec![Datum::Null; fields.len()]), true),
            _ => (Datum::Null, true),
        },
    };
    if let (Some(position), Datum::Struct(row), DataType::Struct(_)) = (corrupt, &mut value, whole) {
        let kept = if bad { Datum::Text(given.to_owned()) } else { Datum::Null };
        row.insert(position.min(row.len()), kept);
    }
    Ok(value)
}
