//! Messages to columns. Fields come in any order and more than once, so a message is looked through first, and its columns
//! are filled then. After a fault the columns may hold part of the record: the caller cuts it off.

use super::plan::{FieldPlan, Item, Plan, Read, Shape, of};
use super::wire::{Raw, Wire, zigzag};
use crate::format::column::{Column, Values};
use crate::format::fault::Fault;
use crate::format::framing::confluent;
use crate::format::reject::{MALFORMED, MISSING_FIELD, NULL_FIELD, shown};
use crate::format::rows::Rows;
use arrow::datatypes::SchemaRef;
use std::collections::HashMap;
use tidemill_core::format::{Decoded, Decoder};
use tidemill_core::source::{Body, Chunk};
use tidemill_core::{Error, Result};

/// Decodes messages.
pub(super) struct MessageDecoder {
    pub schema: SchemaRef,
    pub plan: Plan,
    /// Where the message stands in its file, when payloads are framed with it.
    pub place: Option<Vec<i32>>,
    pub bad_fields_are_null: bool,
}

impl Decoder for MessageDecoder {
    fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        let Body::Records(records) = &chunk.body else {
            let split = &chunk.split;
            return Err(Error::invalid(format!("Protobuf messages are single payloads, and '{split}' has none")));
        };
        let mut rows = Rows::new(self.schema.clone(), &chunk.split, &records.data, records.len())?;
        for (index, offset) in records.offsets.iter().enumerate() {
            let Some(payload) = records.value(index) else {
                rows.reject(*offset, b"", MALFORMED, "the payload is null (a tombstone)".into());
                continue;
            };
            match self.record(payload, &mut rows.columns) {
                Ok(()) => rows.keep(),
                Err(fault) => rows.reject(*offset, payload, fault.code(), fault.reason()),
            }
        }
        rows.finish()
    }
}

impl MessageDecoder {
    fn record(&self, payload: &[u8], columns: &mut [Column]) -> Result<(), Fault> {
        let body = match &self.place {
            None => payload,
            Some(place) => {
                let (_, framed) = confluent(payload)?;
                after_place(framed, place)?
            }
        };
        self.message(&self.plan, &[body], columns)
    }

    /// A message in parts, which are merged.
    fn message(&self, plan: &Plan, parts: &[&[u8]], columns: &mut [Column]) -> Result<(), Fault> {
        let mut seen: Vec<(usize, Raw<'_>)> = Vec::with_capacity(plan.fields.len());
        for part in parts {
            let mut wire = Wire::new(part);
            while let Some((number, raw)) = wire.field()? {
                if let Some(at) = plan.column(number) {
                    seen.push((at, raw));
                }
            }
        }
        // in the order of the columns, and of the wire within one
        seen.sort_by_key(|(at, _)| *at);
        let mut rest = seen.as_slice();
        for (at, (field, column)) in plan.fields.iter().zip(columns).enumerate() {
            let count = rest.iter().take_while(|(of, _)| *of == at).count();
            let (own, after) = rest.split_at(count);
            rest = after;
            self.field(field, own, column).map_err(|fault| fault.inside(&field.name))?;
        }
        Ok(())
    }

    fn field(&self, field: &FieldPlan, seen: &[(usize, Raw<'_>)], column: &mut Column) -> Result<(), Fault> {
        match (&field.shape, seen.last()) {
            (Shape::Absent, _) if field.nullable => column.push_null(),
            (Shape::Absent, _) => return Err(Fault::new(MISSING_FIELD, "is not in the message")),
            (Shape::Single(item, true), None) => self.value(item, &[default(item.of)], column)?,
            (Shape::Single(..), None) => null(field.nullable, column)?,
            (Shape::Single(item, _), Some((_, last))) => {
                // parts of one message are merged; of other values the last counts
                let parts: Vec<Raw<'_>> = match item.of {
                    of::MESSAGE => seen.iter().map(|(_, raw)| *raw).collect(),
                    _ => vec![*last],
                };
                self.value(item, &parts, column)?;
            }
            (Shape::List(item), _) => {
                let Values::List { ends, items } = &mut column.values else { return Err(lost()) };
                for (_, raw) in seen {
                    self.element(item, *raw, items)?;
                }
                ends.push(items.len() as i32);
                column.nulls.append_non_null();
            }
            (Shape::Map(key, value), _) => {
                let Values::Map { ends, keys, values } = &mut column.values else { return Err(lost()) };
                for (of_key, of_value) in entries(seen)? {
                    self.value(key, &[of_key.unwrap_or_else(|| default(key.of))], keys)?;
                    match of_value.as_slice() {
                        [] if value.of == of::MESSAGE => self.value(value, &[Raw::Bytes(b"")], values)?,
                        [] => self.value(value, &[default(value.of)], values)?,
                        parts => self.value(value, parts, values)?,
                    }
                }
                ends.push(keys.len() as i32);
                column.nulls.append_non_null();
            }
        }
        Ok(())
    }

    /// An element of a list, or several that are packed.
    fn element(&self, item: &Item, raw: Raw<'_>, items: &mut Column) -> Result<(), Fault> {
        let is_packed = !matches!(item.of, of::STRING | of::BYTES | of::MESSAGE);
        let (Raw::Bytes(bytes), true) = (raw, is_packed) else { return self.value(item, &[raw], items) };
        let mut wire = Wire::new(bytes);
        while !wire.is_done() {
            let raw = match item.of {
                of::DOUBLE | of::FIXED64 | of::SFIXED64 => Raw::Fixed64(wire.fixed64()?),
                of::FLOAT | of::FIXED32 | of::SFIXED32 => Raw::Fixed32(wire.fixed32()?),
                _ => Raw::Varint(wire.varint()?),
            };
            self.value(item, &[raw], items)?;
        }
        Ok(())
    }

    fn value(&self, item: &Item, parts: &[Raw<'_>], column: &mut Column) -> Result<(), Fault> {
        let rows = column.len();
        match self.fitting(item, parts, column) {
            Err(fault) if fault.is_wrong_type() && self.bad_fields_are_null && item.nullable => {
                column.truncate(rows);
                column.push_null();
                Ok(())
            }
            done => done,
        }
    }

    fn fitting(&self, item: &Item, parts: &[Raw<'_>], column: &mut Column) -> Result<(), Fault> {
        let raw = *parts.last().ok_or_else(lost)?;
        match &item.read {
            Read::Misfit(why) => return Err(Fault::wrong_type(why.as_str())),
            Read::Wrapper(inner) => {
                let mut value = None;
                for part in bytes_of(parts)? {
                    let mut wire = Wire::new(part);
                    while let Some((number, raw)) = wire.field()? {
                        value = if number == 1 { Some(raw) } else { value };
                    }
                }
                return self.fitting(inner, &[value.unwrap_or_else(|| default(inner.of))], column);
            }
            Read::Message(plan) => {
                let Values::Struct(columns) = &mut column.values else { return Err(lost()) };
                self.message(plan, &bytes_of(parts)?, columns)?;
            }
            Read::Timestamp | Read::Duration => {
                let micros = micros(&bytes_of(parts)?)?;
                let (Values::Timestamp(values) | Values::DayTime(values)) = &mut column.values else {
                    return Err(lost());
                };
                values.push(micros);
            }
            Read::Symbol(symbols) => {
                let (Raw::Varint(number), Values::Text(spans)) = (raw, &mut column.values) else {
                    return Err(other_wire());
                };
                let number = number as i32;
                match symbols.get(&number) {
                    Some(symbol) => spans.push(symbol.as_bytes()),
                    None => spans.push(number.to_string().as_bytes()),
                }
            }
            Read::Plain => plain(item.of, raw, &mut column.values)?,
        }
        column.nulls.append_non_null();
        Ok(())
    }
}

/// What follows the place of the message in a payload framed by Confluent: a number of indexes and each, where 0 alone
/// is the first message.
fn after_place<'a>(framed: &'a [u8], wanted: &[i32]) -> Result<&'a [u8], Fault> {
    let mut wire = Wire::new(framed);
    let count = zigzag(wire.varint()?);
    let mut place = Vec::new();
    for _ in 0..count {
        place.push(zigzag(wire.varint()?));
    }
    if count == 0 {
        place.push(0);
    }
    if place.iter().copied().ne(wanted.iter().map(|index| i64::from(*index))) {
        return Err(Fault::malformed(format!("another message: its place in the file is {place:?}, not {wanted:?}")));
    }
    Ok(wire.rest())
}

/// Keys and values of a map's entries; of equal keys the last counts.
type Entry<'a> = (Option<Raw<'a>>, Vec<Raw<'a>>);

fn entries<'a>(seen: &[(usize, Raw<'a>)]) -> Result<Vec<Entry<'a>>, Fault> {
    let mut entries: Vec<Entry<'a>> = Vec::with_capacity(seen.len());
    let mut known: HashMap<Option<Raw<'a>>, usize> = HashMap::new();
    for (_, raw) in seen {
        let Raw::Bytes(bytes) = raw else { return Err(other_wire()) };
        let (mut key, mut value) = (None, Vec::new());
        let mut wire = Wire::new(bytes);
        while let Some((number, raw)) = wire.field()? {
            match number {
                1 => key = Some(raw),
                2 => value.push(raw),
                _ => {}
            }
        }
        match known.get(&key) {
            Some(at) => entries[*at].1 = value,
            None => {
                known.insert(key, entries.len());
                entries.push((key, value));
            }
        }
    }
    Ok(entries)
}

fn null(nullable: bool, column: &mut Column) -> Result<(), Fault> {
    if !nullable {
        return Err(Fault::new(NULL_FIELD, "is not there and must not be null"));
    }
    column.push_null();
    Ok(())
}

#[cold]
fn other_wire() -> Fault {
    Fault::malformed("has another type in the message than in its descriptor")
}

/// A plan only has values that fit their columns.
#[cold]
fn lost() -> Fault {
    Fault::wrong_type("has a value that its column was not made for")
}

fn bytes_of<'a>(parts: &[Raw<'a>]) -> Result<Vec<&'a [u8]>, Fault> {
    let bytes = parts.iter().map(|raw| match raw {
        Raw::Bytes(bytes) => Ok(*bytes),
        _ => Err(other_wire()),
    });
    bytes.collect()
}

/// Seconds and nanoseconds in microseconds.
fn micros(parts: &[&[u8]]) -> Result<i64, Fault> {
    let (mut seconds, mut nanos) = (0, 0);
    for part in parts {
        let mut wire = Wire::new(part);
        while let Some(field) = wire.field()? {
            match field {
                (1, Raw::Varint(value)) => seconds = value as i64,
                (2, Raw::Varint(value)) => nanos = i64::from(value as i32),
                _ => {}
            }
        }
    }
    let micros = seconds.checked_mul(1_000_000).and_then(|micros| micros.checked_add(nanos.div_euclid(1000)));
    micros.ok_or_else(|| Fault::wrong_type(format!("is {seconds} seconds, which its column cannot hold")))
}

/// What stands for a value that is not there.
fn default(of: i32) -> Raw<'static> {
    match of {
        of::DOUBLE | of::FIXED64 | of::SFIXED64 => Raw::Fixed64(0),
        of::FLOAT | of::FIXED32 | of::SFIXED32 => Raw::Fixed32(0),
        of::STRING | of::BYTES => Raw::Bytes(b""),
        _ => Raw::Varint(0),
    }
}

fn plain(of: i32, raw: Raw<'_>, values: &mut Values) -> Result<(), Fault> {
    match (of, raw, values) {
        (of::BOOL, Raw::Varint(value), Values::Boolean(values)) => values.append(value != 0),
        (of::FLOAT, Raw::Fixed32(bits), Values::Float32(values)) => values.push(f32::from_bits(bits)),
        (of::FLOAT, Raw::Fixed32(bits), Values::Float64(values)) => values.push(f32::from_bits(bits).into()),
        (of::DOUBLE, Raw::Fixed64(bits), Values::Float64(values)) => values.push(f64::from_bits(bits)),
        (of::STRING | of::BYTES, Raw::Bytes(bytes), Values::Binary(spans)) => spans.push(bytes),
        (of::STRING, Raw::Bytes(bytes), Values::Text(spans)) => {
            if std::str::from_utf8(bytes).is_err() {
                return Err(Fault::malformed(format!("is no UTF-8: '{}'", shown(bytes))));
            }
            spans.push(bytes);
        }
        (of, raw, values) => whole(number(of, raw).ok_or_else(other_wire)?, values)?,
    }
    Ok(())
}

/// A whole number; `None` when the wire has another type.
fn number(of: i32, raw: Raw<'_>) -> Option<i128> {
    Some(match (of, raw) {
        (of::INT32 | of::ENUM, Raw::Varint(value)) => i128::from(value as i32),
        (of::INT64, Raw::Varint(value)) => i128::from(value as i64),
        (of::UINT32, Raw::Varint(value)) => i128::from(value as u32),
        (of::UINT64, Raw::Varint(value)) => i128::from(value),
        (of::SINT32, Raw::Varint(value)) => i128::from(zigzag(value) as i32),
        (of::SINT64, Raw::Varint(value)) => i128::from(zigzag(value)),
        (of::FIXED32, Raw::Fixed32(value)) => i128::from(value),
        (of::SFIXED32, Raw::Fixed32(value)) => i128::from(value as i32),
        (of::FIXED64, Raw::Fixed64(value)) => i128::from(value),
        (of::SFIXED64, Raw::Fixed64(value)) => i128::from(value as i64),
        _ => return None,
    })
}

fn whole(value: i128, values: &mut Values) -> Result<(), Fault> {
    let large = || Fault::wrong_type(format!("is {value}, which its column cannot hold"));
    match values {
        Values::Int64(values) => values.push(i64::try_from(value).map_err(|_| large())?),
        Values::Int32(values) => values.push(i32::try_from(value).map_err(|_| large())?),
        Values::Int16(values) => values.push(i16::try_from(value).map_err(|_| large())?),
        Values::Int8(values) => values.push(i8::try_from(value).map_err(|_| large())?),
        Values::Float64(values) => values.push(value as f64),
        Values::Float32(values) => values.push(value as f32),
        Values::Decimal(values, precision, _) if value.unsigned_abs() < 10u128.pow(u32::from(*precision)) => {
            values.push(value);
        }
        Values::Decimal(..) => return Err(large()),
        _ => return Err(lost()),
    }
    Ok(())
}
