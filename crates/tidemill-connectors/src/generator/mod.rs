//! The generator: a source of realistic made-up rows, the same for the same seed.
//!
//! A position means a row only together with `seed`, `rows_per_second`, `partitions` and the shares of
//! late and broken rows: a query that changes one of them goes on with other rows.

mod broken;
mod number;
mod pace;
mod random;
mod rows;
mod source;
#[cfg(test)]
mod tests;
mod text;
#[rustfmt::skip]
mod words;

use crate::format::json::encode::JsonEncoder;
use crate::format::text::time;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use broken::Breaker;
use pace::Pace;
use random::Zipf;
use rows::{Filling, Recipe};
use source::{GeneratorSource, Maker, PayloadMaker};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::source::{Source, SourceConnector, SourceRequest};
use tidemill_core::types::parse_schema;
use tidemill_core::{Clock, Error, Options, Result, SystemClock};

static DESCRIPTION: Description = Description {
    name: "generator",
    role: Role::Source,
    summary: "Realistic made-up rows, the same for the same seed, at a set rate or as fast as they are taken.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        OptionSpec::new(
            "rows_per_second",
            OptionKind::Integer,
            "rate; 0: as fast as asked, one a microsecond of event time",
        )
        .default("10"),
        OptionSpec::new(
            "number_of_rows",
            OptionKind::Integer,
            "how many rows there will be; without it there is no end",
        ),
        OptionSpec::new(
            "start_timestamp",
            OptionKind::Text,
            "event time of the first row; all rows are there at once then",
        ),
        OptionSpec::new("seed", OptionKind::Integer, "another seed gives other rows").default("42"),
        OptionSpec::new("partitions", OptionKind::Integer, "splits that are read in parallel")
            .default("1")
            .aliases(&["num_partitions"]),
        OptionSpec::new("shape", OptionKind::Choice(&["user-events"]), "columns to give when none are declared"),
        OptionSpec::new("users", OptionKind::Integer, "how many users there are; few of them make most rows")
            .default("1000"),
        OptionSpec::new(
            "late",
            OptionKind::Text,
            "share of rows whose event time is earlier than its turn, such as '2%'",
        )
        .default("0"),
        OptionSpec::new("late_by", OptionKind::Duration, "how late such a row is at most").default("8 minutes"),
        OptionSpec::new("malformed", OptionKind::Text, "share of broken payloads, such as '0.5%'; needs a format")
            .default("0"),
    ],
    example: "connector = 'generator', shape = 'user-events', rows_per_second = '1000', late = '2%'",
};

/// Columns of the shape `user-events`.
const USER_EVENTS: &str = "event_id STRING, user_id STRING, session_id STRING, event_type STRING, email STRING, \
                           phone STRING, country STRING, duration DOUBLE, amount DECIMAL(12,2), timestamp TIMESTAMP";

/// Most users, which bounds the memory for their shares (8 bytes each).
const USERS_MAX: u64 = 10_000_000;

/// Most partitions.
const PARTITIONS_MAX: u64 = 1024;

/// Event time between rows that come as fast as asked.
const FAST_RATE: u64 = 1_000_000;

/// The source `generator`.
pub struct Generator {
    clock: Arc<dyn Clock>,
}

impl Generator {
    /// A generator whose rows follow `clock`.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Generator { clock }
    }
}

impl Default for Generator {
    /// A generator whose rows follow the machine's clock.
    fn default() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }
}

#[async_trait]
impl SourceConnector for Generator {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn default_schema(&self, options: &Options) -> Option<SchemaRef> {
        options.text("shape")?;
        parse_schema(USER_EVENTS).ok().map(Arc::new)
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn Source>> {
        let options = &request.options;
        let malformed = share(options, "malformed")?;
        if malformed > 0.0 && request.framing.is_none() {
            return Err(Error::invalid("the generator makes malformed rows only as payloads of a format")
                .help("add format = 'json', or leave out 'malformed'"));
        }
        let pace = pace(options, self.clock.as_ref())?;
        let recipe = Recipe {
            seed: integer(options, "seed", 0, u64::MAX)?,
            users: Arc::new(Zipf::new(integer(options, "users", 1, USERS_MAX)? as usize)),
            late: share(options, "late")?,
            late_by: options.duration("late_by").map_or(0, |late_by| late_by.as_micros() as u64),
        };
        let (schema, payloads) = match request.framing {
            None => (request.schema.clone(), None),
            Some(_) => {
                let schema = payload_schema(self.default_schema(options), &request.schema);
                let encoder = JsonEncoder::new(schema.clone(), false)?;
                // a reader notices only what it reads; one of raw payloads leaves that to others
                let read = if names_any(&request.schema, &schema) { &request.schema } else { &schema };
                let breaker = Breaker::new(read);
                (schema, Some(PayloadMaker { encoder, breaker, malformed }))
            }
        };
        let row_bytes = 8 + schema.fields().iter().map(|field| bytes_about(field.data_type())).sum::<u64>();
        let mut source = GeneratorSource {
            clock: self.clock.clone(),
            names_first_row: pace.rows.is_some() && options.text("start_timestamp").is_none(),
            maker: Arc::new(Maker { pace: pace.clone(), recipe, filling: Filling::new(schema)?, payloads }),
            pace,
            row_bytes,
            planned: BTreeMap::new(),
        };
        source.adopt(&request.resume_from);
        Ok(Box::new(source))
    }
}

fn pace(options: &Options, clock: &dyn Clock) -> Result<Pace> {
    let rate = integer(options, "rows_per_second", 0, u64::from(u32::MAX))?;
    let start = options.text("start_timestamp").map(|text| {
        time::parse(text.trim().as_bytes()).and_then(time::Written::instant).ok_or_else(|| {
            Error::invalid(format!("the generator's option 'start_timestamp' is '{text}', which is no time"))
                .help("write it as 2026-01-31T12:00:00Z")
        })
    });
    let start = start.transpose()?;
    let mut pace = Pace {
        rate: if rate == 0 { FAST_RATE } else { rate },
        start: start.unwrap_or(0),
        at_once: rate == 0 || start.is_some(),
        partitions: integer(options, "partitions", 1, PARTITIONS_MAX)?,
        first: 0,
        rows: options.integer("number_of_rows"),
    };
    if start.is_none() {
        // The first row is the next one due.
        pace.first = pace.not_due(clock.now_micros());
    }
    Ok(pace)
}

/// All fields of the shape, as declared where they are, then the other declared ones. Where none of the
/// shape's is declared, the payloads are read raw, and the declared columns are not of them.
fn payload_schema(shape: Option<SchemaRef>, declared: &SchemaRef) -> SchemaRef {
    let Some(shape) = shape else { return declared.clone() };
    if !names_any(declared, &shape) {
        return shape;
    }
    let of_shape = shape.fields().iter().map(|field| declared.field_with_name(field.name()).unwrap_or(field));
    let others = declared.fields().iter().filter(|field| shape.field_with_name(field.name()).is_err());
    let fields: Vec<Field> = of_shape.chain(others.map(AsRef::as_ref)).cloned().collect();
    Arc::new(Schema::new(fields))
}

/// True when a field of `schema` is in `others`, too.
fn names_any(schema: &SchemaRef, others: &SchemaRef) -> bool {
    schema.fields().iter().any(|field| others.field_with_name(field.name()).is_ok())
}

fn integer(options: &Options, name: &str, least: u64, most: u64) -> Result<u64> {
    let value = options.integer(name).unwrap_or(least);
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Error::invalid(format!("the generator's option '{name}' is {value}, which is not between {least} and {most}")))
}

/// `2%` or `0.02`.
fn share(options: &Options, name: &str) -> Result<f64> {
    let text = options.required(name)?.trim();
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse(),
    };
    share.ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
        Error::invalid(format!("the generator's option '{name}' is '{text}', which is no share"))
            .help("write it as '2%' or '0.02'")
    })
}

/// About how many bytes a value has.
fn bytes_about(of: &DataType) -> u64 {
    match of {
        DataType::Utf8 => 24,
        DataType::Struct(fields) => fields.iter().map(|field| bytes_about(field.data_type())).sum(),
        DataType::List(item) => 2 * bytes_about(item.data_type()),
        DataType::Map(entries, _) => bytes_about(entries.data_type()),
        _ => 16,
    }
}
