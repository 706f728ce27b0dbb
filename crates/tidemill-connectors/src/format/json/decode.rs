//! JSON text to columns, without rows between: every value goes from the bytes to its column in one
//! step. A record that cannot be taken is cut off all columns again and becomes a reject.
//!
//! The rules of values (which text fits which type) are in `value.rs`; here are records and objects.

use super::fault::Fault;
use super::scan::Cursor;
use super::shape::{Object, Place};
use super::value::ValueReader;
use crate::format::column::{CHUNK_BYTES_MAX, Column, finish_all};
use crate::format::reject::{MALFORMED, reject};
use arrow::array::RecordBatchOptions;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tidemill_core::format::{Decoded, Decoder, Reject};
use tidemill_core::source::{Body, Chunk};
use tidemill_core::{Error, Kind, Result};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Decodes JSON records to the columns of a schema.
pub(super) struct JsonDecoder {
    schema: SchemaRef,
    object: Object,
    bad_fields_are_null: bool,
}

impl JsonDecoder {
    /// A decoder to the columns of `schema`.
    ///
    /// # Errors
    /// A column type that JSON cannot hold.
    pub fn new(schema: SchemaRef, bad_fields_are_null: bool) -> Result<Self> {
        for field in schema.fields() {
            Column::new(field.data_type(), 0)?;
        }
        Ok(JsonDecoder { object: Object::new(schema.fields())?, schema, bad_fields_are_null })
    }
}

impl Decoder for JsonDecoder {
    fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        match &chunk.body {
            Body::Stream { bytes, at } => {
                let mut rows = Rows::new(self, &chunk.split, bytes, rows_about(bytes))?;
                rows.add_lines(bytes, *at);
                rows.finish()
            }
            Body::Records(records) => {
                let mut rows = Rows::new(self, &chunk.split, &records.data, records.len())?;
                for (index, offset) in records.offsets.iter().enumerate() {
                    match records.value(index) {
                        Some(payload) => rows.add(*offset, payload),
                        None => rows.reject(*offset, b"", MALFORMED, "the payload is null (a tombstone)".into()),
                    }
                }
                rows.finish()
            }
            Body::Rows { .. } => Err(Error::bug(format!("'{}' gave rows where JSON was expected", chunk.split))),
        }
    }
}

/// About how many lines `bytes` hold, judged by the first.
fn rows_about(bytes: &[u8]) -> usize {
    let line = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    bytes.len() / line.max(16) + 1
}

/// The rows of one chunk as they grow.
struct Rows<'a> {
    decoder: &'a JsonDecoder,
    object: Object,
    columns: Vec<Column>,
    count: usize,
    rejects: Vec<Reject>,
    values: ValueReader,
    /// The whole chunk is known to be UTF-8, so that no record has to be looked at again.
    all_text: bool,
}

impl<'a> Rows<'a> {
    fn new(decoder: &'a JsonDecoder, split: &str, data: &[u8], capacity: usize) -> Result<Self> {
        if data.len() > CHUNK_BYTES_MAX {
            return Err(Error::new(Kind::Data, format!("a piece of '{split}' has {} bytes", data.len())).help(
                format!("at most {CHUNK_BYTES_MAX} can be decoded at once: lower the source's bytes per epoch"),
            ));
        }
        let fields = decoder.schema.fields();
        let columns = fields.iter().map(|field| Column::new(field.data_type(), capacity)).collect::<Result<_>>()?;
        Ok(Rows {
            decoder,
            object: decoder.object.clone(),
            columns,
            count: 0,
            rejects: Vec::new(),
            values: ValueReader::new(decoder.bad_fields_are_null),
            all_text: std::str::from_utf8(data).is_ok(),
        })
    }

    /// Adds every line of `bytes` that is not blank; the first byte stands at `at` in its split.
    fn add_lines(&mut self, bytes: &[u8], at: u64) {
        let mut start = if at == 0 && bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        for end in memchr::memchr_iter(b'\n', bytes).chain([bytes.len()]) {
            let line = &bytes[start..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
                self.add(at + start as u64, line);
            }
            start = end + 1;
        }
    }

    /// Adds one record.
    #[inline]
    fn add(&mut self, offset: u64, record: &[u8]) {
        match self.read(record) {
            Ok(()) => self.count += 1,
            Err(fault) => {
                self.columns.iter_mut().for_each(|column| column.truncate(self.count));
                let fault = whole_fault(fault, record);
                self.reject(offset, record, fault.code(), fault.reason(record));
            }
        }
    }

    #[inline]
    fn read(&mut self, record: &[u8]) -> Result<(), Fault> {
        if !self.all_text
            && let Err(error) = std::str::from_utf8(record)
        {
            return Err(Fault::malformed("UTF-8", error.valid_up_to()));
        }
        let mut cursor = Cursor::new(record);
        cursor.skip_space();
        if cursor.peek() != b'{' {
            return Err(Fault::malformed("an object", cursor.at));
        }
        object(&mut self.values, &mut self.object, &mut self.columns, self.count, &mut cursor)?;
        cursor.end()
    }

    fn reject(&mut self, offset: u64, record: &[u8], code: &'static str, reason: String) {
        self.rejects.push(reject(offset, record, code, reason));
    }

    fn finish(self) -> Result<Decoded> {
        let schema = self.decoder.schema.clone();
        let arrays = finish_all(self.columns, schema.fields())?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        Ok(Decoded { rows: RecordBatch::try_new_with_options(schema, arrays, &options)?, rejects: self.rejects })
    }
}

/// A value may be wrong in a record that is no JSON at all: then that is what is wrong with it.
#[cold]
fn whole_fault(fault: Fault, record: &[u8]) -> Fault {
    if fault.is_malformed() {
        return fault;
    }
    let mut cursor = Cursor::new(record);
    cursor.skip_space();
    match cursor.skip_value().and_then(|()| cursor.end()) {
        Ok(()) => fault,
        Err(malformed) => malformed,
    }
}

/// Reads the object at the cursor into `columns`, which have `row` rows before and one more after.
/// After a fault they may have some of it: the caller cuts it off.
#[inline]
pub(super) fn object(
    values: &mut ValueReader,
    object: &mut Object,
    columns: &mut [Column],
    row: usize,
    cursor: &mut Cursor<'_>,
) -> Result<(), Fault> {
    object.begin();
    let mut found = 0;
    if !cursor.open(b'}')? {
        loop {
            match object.key(cursor)? {
                None => cursor.skip_value()?,
                Some(wanted) => {
                    let place = object.place(wanted);
                    let (field, column) = (&object.fields[wanted.field], &mut columns[wanted.field]);
                    match place {
                        Place::New => found += 1,
                        Place::Again => column.truncate(row),
                        Place::Shadowed => {}
                    }
                    match place {
                        Place::Shadowed => cursor.skip_value()?,
                        _ => values.field(field, &mut object.shapes[wanted.field], column, cursor)?,
                    }
                }
            }
            if !cursor.more(b'}')? {
                break;
            }
        }
    }
    if found < columns.len() {
        fill_missing(object, columns, cursor.at)?;
    }
    Ok(())
}

/// A field without a key is NULL, if it may be.
fn fill_missing(object: &Object, columns: &mut [Column], at: usize) -> Result<(), Fault> {
    for (index, column) in columns.iter_mut().enumerate() {
        if object.lacks(index) {
            let field = &object.fields[index];
            if !field.is_nullable() {
                return Err(Fault::missing(field.name(), at));
            }
            column.push_null();
        }
    }
    Ok(())
}
