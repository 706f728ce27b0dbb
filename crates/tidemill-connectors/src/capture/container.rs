//! Avro object container files of Event Hubs Capture. A part is a whole one; an archive is put together from the
//! blocks of its parts, which are not decoded for it: only their sync markers are changed.
//!
//! Sources: "Capture streaming events" of Azure's documentation (the schema); Avro 1.11 specification, "Object
//! Container Files".

use super::bag;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_avro::compression::CompressionCodec;
use arrow_avro::schema::SCHEMA_METADATA_KEY;
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroOcfFormat;
use std::collections::HashMap;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result, ResultExt};

/// Event Hubs Capture's own schema.
const SCHEMA: &str = r#"{"type":"record","name":"EventData","namespace":"Microsoft.ServiceBus.Messaging","fields":[{"name":"SequenceNumber","type":"long"},{"name":"Offset","type":"string"},{"name":"EnqueuedTimeUtc","type":"string"},{"name":"SystemProperties","type":{"type":"map","values":["long","double","string","bytes"]}},{"name":"Properties","type":{"type":"map","values":["long","double","string","bytes"]}},{"name":"Body","type":["null","bytes"]}]}"#;

const MAGIC: &[u8] = b"Obj\x01";
const SYNC_BYTES: usize = 16;

/// The columns of [`SCHEMA`].
pub(super) fn schema() -> SchemaRef {
    let map = |name: &str| Field::new(name, bag::data_type(), false);
    let fields = vec![
        Field::new("SequenceNumber", DataType::Int64, false),
        Field::new("Offset", DataType::Utf8, false),
        Field::new("EnqueuedTimeUtc", DataType::Utf8, false),
        map("SystemProperties"),
        map("Properties"),
        Field::new("Body", DataType::Binary, true),
    ];
    let metadata = HashMap::from([(SCHEMA_METADATA_KEY.to_owned(), SCHEMA.to_owned())]);
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

/// A whole file of `events`, whose columns are those of [`schema`].
///
/// # Errors
/// A bug: the columns are ours.
pub(super) fn part(events: &RecordBatch, codec: Option<CompressionCodec>) -> Result<Vec<u8>> {
    let context = || "events cannot be written as Avro".to_owned();
    let builder = WriterBuilder::new(schema().as_ref().clone()).with_compression(codec);
    let mut writer = builder.build::<_, AvroOcfFormat>(Vec::new()).context(Kind::Bug, context)?;
    writer.write(events).context(Kind::Bug, context)?;
    writer.finish().context(Kind::Bug, context)?;
    Ok(writer.into_inner())
}

/// What an archive begins with.
pub(super) fn header(codec: Option<CompressionCodec>, sync: &[u8; SYNC_BYTES]) -> Vec<u8> {
    let codec = if codec.is_some() { "deflate" } else { "null" };
    let mut header = MAGIC.to_vec();
    put_long(&mut header, 2);
    for text in ["avro.schema", SCHEMA, "avro.codec", codec] {
        put_long(&mut header, text.len() as i64);
        header.extend_from_slice(text.as_bytes());
    }
    put_long(&mut header, 0);
    header.extend_from_slice(sync);
    header
}

/// The blocks of the part `file`, with `sync` after each.
///
/// # Errors
/// The file `name` is damaged.
pub(super) fn blocks(name: &str, file: &[u8], sync: &[u8; SYNC_BYTES]) -> Result<Vec<u8>> {
    rewritten(file, sync).ok_or_else(|| {
        Error::invalid(format!("'{name}' is damaged: it is no Avro file of ours"))
            .help("the events in it are in no archive yet: restore the file from a backup")
    })
}

fn rewritten(file: &[u8], sync: &[u8; SYNC_BYTES]) -> Option<Vec<u8>> {
    let mut left = Cursor(file);
    if left.take(MAGIC.len())? != MAGIC {
        return None;
    }
    // the map of metadata: blocks of pairs, until one of none
    loop {
        let pairs = match left.long()? {
            0 => break,
            // a negative count is followed by the size of the block in bytes
            count if count < 0 => left.long().and(count.checked_neg())?,
            count => count,
        };
        for _ in 0..pairs.checked_mul(2)? {
            let length = left.length()?;
            left.take(length)?;
        }
    }
    let own = left.take(SYNC_BYTES)?;
    let mut out = Vec::with_capacity(left.0.len());
    while !left.0.is_empty() {
        let (count, length) = (left.long()?, left.length()?);
        put_long(&mut out, count);
        put_long(&mut out, length as i64);
        out.extend_from_slice(left.take(length)?);
        if left.take(SYNC_BYTES)? != own {
            return None;
        }
        out.extend_from_slice(sync);
    }
    Some(out)
}

/// What is left to be read.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(count)?;
        self.0 = left;
        Some(taken)
    }

    /// A number in Avro's zigzag form.
    fn long(&mut self) -> Option<i64> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = *self.take(1)?.first()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some((number >> 1) as i64 ^ -((number & 1) as i64));
            }
        }
        None
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.long()?).ok()
    }
}

fn put_long(out: &mut Vec<u8>, number: i64) {
    let mut zigzag = ((number << 1) ^ (number >> 63)) as u64;
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for number in [0, 1, -1, 63, -64, 64, 300, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            put_long(&mut bytes, number);
            assert_eq!(Cursor(&bytes).long(), Some(number));
        }
    }

    #[test]
    fn a_part_that_is_cut_off_or_changed_is_found_out() {
        let sync = [7; SYNC_BYTES];
        let mut whole = header(None, &[1; SYNC_BYTES]);
        assert_eq!(rewritten(&whole, &sync), Some(Vec::new()));
        put_long(&mut whole, 1);
        put_long(&mut whole, 2);
        whole.extend_from_slice(b"ab");
        whole.extend_from_slice(&[1; SYNC_BYTES]);
        assert_eq!(rewritten(&whole, &sync), Some([&[2, 4, b'a', b'b'][..], &sync].concat()));
        for length in 0..whole.len() {
            let is_whole = length == header(None, &sync).len();
            assert_eq!(rewritten(&whole[..length], &sync).is_some(), is_whole, "{length} bytes");
        }
        let last = whole.len() - 1;
        whole[last] ^= 1;
        assert!(blocks("x", &whole, &sync).unwrap_err().to_string().contains("'x' is damaged"));
    }
}
