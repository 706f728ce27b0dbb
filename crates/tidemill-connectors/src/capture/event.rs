//! Rows become events: which column is the body, the partition and the rest. Pure.
//!
//! Without a format the columns are those of Azure's Event Hubs connector for Spark: `body`, `partition`, `offset`,
//! `sequenceNumber`, `enqueuedTime`, `partitionKey`, `properties`, `systemProperties`; all but the body may be missing.

use super::bag::{self, Bags};
use super::container;
use super::window::Partition;
use crate::names::is_plain;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, StringArray, UInt32Array};
use arrow::compute::{can_cast_types, cast, take_record_batch};
use arrow::datatypes::{DataType, Int64Type, Schema, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use chrono::DateTime;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidemill_core::format::{Encoder, Payloads};
use tidemill_core::nearest::nearest;
use tidemill_core::sink::SinkRequest;
use tidemill_core::{Error, Kind, Result, types};

/// What an event takes beside its body, about: for the size of windows.
const EVENT_BYTES: u64 = 64;
/// The partition of rows that name none.
const PARTITION: &str = "0";
/// The system property that holds the key of a partition.
const PARTITION_KEY: &str = "x-opt-partition-key";
const MICROSECONDS: i64 = 1_000_000;

/// How rows of one table become events.
pub(super) struct Events {
    body: Body,
    partition: Option<usize>,
    offset: Option<usize>,
    sequence: Option<usize>,
    enqueued: Option<usize>,
    partition_key: Option<usize>,
    properties: Option<usize>,
    system: Option<usize>,
}

enum Body {
    /// One payload a row, written by the format.
    Formatted(Box<dyn Encoder>),
    /// The bytes of one column.
    Column(usize),
}

/// The rows of one partition.
pub(super) struct Lot {
    /// The partition's id.
    pub partition: String,
    rows: RecordBatch,
    bodies: BinaryArray,
}

impl Events {
    /// Makes known what readers of the bodies need; called before the first rows.
    ///
    /// # Errors
    /// As [`Encoder::prepare`].
    pub async fn prepare(&self) -> Result<()> {
        match &self.body {
            Body::Formatted(encoder) => encoder.prepare().await,
            Body::Column(_) => Ok(()),
        }
    }

    /// From the options of the table and its columns.
    ///
    /// # Errors
    /// A column is missing or of a type that does not serve, or the format only reads.
    pub fn new(request: &SinkRequest) -> Result<Self> {
        let (table, schema) = (&request.table, &request.schema);
        let named = request.options.text("partition").map(|name| column(table, schema, name)).transpose()?;
        if let Some(format) = request.format.as_ref().filter(|format| format.describe().name != "raw") {
            let encoder = format.encoder(schema.clone(), &request.options)?.ok_or_else(|| {
                Error::invalid(format!("format '{}' only reads; table '{table}' writes", format.describe().name))
                    .help("use format = 'json' or 'csv'")
            })?;
            let body = Body::Formatted(encoder);
            let none = None;
            return Ok(Events {
                body,
                partition: named,
                offset: none,
                sequence: none,
                enqueued: none,
                partition_key: none,
                properties: none,
                system: none,
            });
        }
        let body = find(schema, "body").or_else(|| find(schema, "value")).ok_or_else(|| {
            Error::invalid(format!("table '{table}' has no format and no column 'body'"))
                .help("add a format such as format = 'json', or select a column named body")
        })?;
        let is_bytes = |of: &DataType| matches!(of, DataType::Utf8 | DataType::Binary);
        let is_text = |of: &DataType| can_cast_types(of, &DataType::Utf8) && *of != DataType::Binary;
        let is_time = |of: &DataType| matches!(of, DataType::Timestamp(..));
        serves(table, schema, body, "string or binary", is_bytes)?;
        let checked = |name: &str, wanted: &str, fits: &dyn Fn(&DataType) -> bool| -> Result<Option<usize>> {
            let found = find(schema, name);
            found.map_or(Ok(()), |at| serves(table, schema, at, wanted, fits))?;
            Ok(found)
        };
        let events = Events {
            body: Body::Column(body),
            partition: named.or(checked("partition", "a string or a whole number", &is_text)?),
            offset: checked("offset", "a string or a whole number", &is_text)?,
            sequence: checked("sequenceNumber", "bigint", &DataType::is_integer)?,
            enqueued: checked("enqueuedTime", "a timestamp", &is_time)?,
            partition_key: checked("partitionKey", "a string", &is_text)?,
            properties: find(schema, "properties"),
            system: find(schema, "systemProperties"),
        };
        for at in [events.properties, events.system].into_iter().flatten() {
            bag::check(table, schema.field(at))?;
        }
        Ok(events)
    }

    /// The rows of each partition, in their order.
    ///
    /// # Errors
    /// A partition whose id cannot be part of a path.
    pub fn lots(&self, rows: &RecordBatch) -> Result<Vec<Lot>> {
        let bodies = self.bodies(rows)?;
        let mut lots: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        let ids = self.partition.map(|at| cast(rows.column(at), &DataType::Utf8)).transpose()?;
        for row in 0..rows.num_rows() {
            let id = match &ids {
                Some(ids) if ids.is_valid(row) => ids.as_string::<i32>().value(row),
                _ => PARTITION,
            };
            if !is_plain(id) {
                return Err(Error::new(
                    Kind::Data,
                    format!("an event has partition '{id}', which cannot be part of a path"),
                )
                .help("use numbers, or letters, digits, '.', '_' and '-'"));
            }
            lots.entry(id.to_owned()).or_default().push(row as u32);
        }
        let lot = |(partition, places): (String, Vec<u32>)| {
            let places = UInt32Array::from(places);
            let rows = take_record_batch(rows, &places)?;
            let bodies = arrow::compute::take(&bodies, &places, None)?.as_binary::<i32>().clone();
            Ok(Lot { partition, rows, bodies })
        };
        lots.into_iter().map(lot).collect()
    }

    fn bodies(&self, rows: &RecordBatch) -> Result<BinaryArray> {
        match &self.body {
            Body::Column(at) => Ok(cast(rows.column(*at), &DataType::Binary)?.as_binary::<i32>().clone()),
            Body::Formatted(encoder) => {
                let mut payloads = Payloads::default();
                encoder.encode(rows, &mut payloads)?;
                if payloads.ends.len() != rows.num_rows() {
                    let (made, count) = (payloads.ends.len(), rows.num_rows());
                    return Err(Error::bug(format!("the format made {made} payloads of {count} rows")));
                }
                Ok(BinaryArray::from_iter_values(payloads.iter()))
            }
        }
    }

    /// The first rows of `lot` as events, which come after `known`; `now` is in microseconds since 1970.
    ///
    /// # Errors
    /// A bug: the columns were checked.
    pub fn events(&self, lot: &Lot, count: usize, known: &Partition, now: i64) -> Result<RecordBatch> {
        let rows = lot.rows.slice(0, count);
        let bodies = lot.bodies.slice(0, count);
        let column = |at: Option<usize>, of: &DataType| at.map(|at| cast(rows.column(at), of)).transpose();
        let (given_sequence, given_offset) =
            (column(self.sequence, &DataType::Int64)?, column(self.offset, &DataType::Utf8)?);
        let given_time = column(self.enqueued, &types::timestamp())?;
        let (mut sequences, mut offsets, mut times) = (Vec::new(), Vec::new(), Vec::new());
        let mut offset = known.offset;
        for row in 0..count {
            let valid = |array: &Option<ArrayRef>| array.clone().filter(|array| array.is_valid(row));
            sequences.push(
                valid(&given_sequence)
                    .map_or(known.sequence + row as i64, |given| given.as_primitive::<Int64Type>().value(row)),
            );
            offsets.push(
                valid(&given_offset)
                    .map_or_else(|| offset.to_string(), |given| given.as_string::<i32>().value(row).to_owned()),
            );
            times.push(shown_time(
                valid(&given_time).map_or(now, |given| given.as_primitive::<TimestampMicrosecondType>().value(row)),
            ));
            offset += bodies.value_length(row) as i64;
        }
        let key = self.partition_key.map(|at| (PARTITION_KEY, at));
        Ok(RecordBatch::try_new(
            container::schema(),
            vec![
                Arc::new(Int64Array::from(sequences)),
                Arc::new(StringArray::from(offsets)),
                Arc::new(StringArray::from(times)),
                Bags::read(&rows, self.system, key)?.finish()?,
                Bags::read(&rows, self.properties, None)?.finish()?,
                Arc::new(bodies),
            ],
        )?)
    }
}

impl Lot {
    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.bodies.len()
    }

    /// How many of the first rows fill a window that has room for `room` bytes; one at least.
    pub fn filling(&self, room: u64) -> usize {
        let mut bytes = 0;
        for row in 0..self.count() {
            bytes += self.bodies.value_length(row) as u64 + EVENT_BYTES;
            if bytes >= room {
                return row + 1;
            }
        }
        self.count()
    }

    /// Bytes of the bodies of the first rows, and of the events they become, about.
    pub fn bytes(&self, count: usize) -> (i64, u64) {
        let ends = self.bodies.value_offsets();
        let bodies = i64::from(ends[count] - ends[0]);
        (bodies, bodies as u64 + count as u64 * EVENT_BYTES)
    }

    /// Without the first rows.
    #[must_use]
    pub fn after(self, count: usize) -> Self {
        let left = self.count() - count;
        Lot { partition: self.partition, rows: self.rows.slice(count, left), bodies: self.bodies.slice(count, left) }
    }
}

/// `1/14/2019 7:33:10 PM`, as Event Hubs writes it. From microseconds since 1970.
fn shown_time(micros: i64) -> String {
    let time = DateTime::from_timestamp(micros.div_euclid(MICROSECONDS), 0).unwrap_or_default();
    time.format("%-m/%-d/%Y %-I:%M:%S %p").to_string()
}

/// The column of this name, with or without underscores.
fn find(schema: &Schema, wanted: &str) -> Option<usize> {
    schema.fields().iter().position(|field| field.name().replace('_', "").eq_ignore_ascii_case(wanted))
}

fn column(table: &str, schema: &Schema, wanted: &str) -> Result<usize> {
    let names = schema.fields().iter().map(|field| field.name().as_str());
    names.clone().position(|name| name.eq_ignore_ascii_case(wanted)).ok_or_else(|| {
        let error =
            Error::invalid(format!("option 'partition' names '{wanted}', which is no column of table '{table}'"));
        match nearest(wanted, names.clone()) {
            Some(near) => error.help(format!("did you mean '{near}'?")),
            None => error.help(format!("columns: {}", names.collect::<Vec<_>>().join(", "))),
        }
    })
}

fn serves(table: &str, schema: &Schema, at: usize, wanted: &str, fits: impl Fn(&DataType) -> bool) -> Result<()> {
    let field = schema.field(at);
    if fits(field.data_type()) {
        return Ok(());
    }
    let (name, of) = (field.name(), types::name(field.data_type()));
    Err(Error::invalid(format!("column '{name}' of table '{table}' is {of}; as part of an event it must be {wanted}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_event_hubs_shows_them() {
        assert_eq!(shown_time(1_547_494_390_999_999), "1/14/2019 7:33:10 PM");
        assert_eq!(shown_time(0), "1/1/1970 12:00:00 AM");
    }
}
