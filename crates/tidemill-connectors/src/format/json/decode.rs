//! JSON text to columns, without rows between: every value goes from the bytes to its column in one
//! step. A record that cannot be taken is cut off all columns again and becomes a reject.
//!
//! The rules of values (which text fits which type) are in `value.rs`; here are records and objects.

use super::fault::Fault;
use super::scan::Cursor;
use super::shape::{Object, Place};
use super::value::ValueReader;
use crate::format::column::Column;
use crate::format::reject::MALFORMED;
use crate::format::rows::{Rows, lines, lines_about};
use arrow::datatypes::SchemaRef;
use tidemill_core::format::{Decoded, Decoder};
use tidemill_core::source::{Body, Chunk};
use tidemill_core::{Error, Result};

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
                let mut records = self.records(&chunk.split, bytes, lines_about(bytes))?;
                lines(bytes, *at).for_each(|(offset, line)| records.add(offset, line));
                records.rows.finish()
            }
            Body::Records(payloads) => {
                let mut records = self.records(&chunk.split, &payloads.data, payloads.len())?;
                for (index, offset) in payloads.offsets.iter().enumerate() {
                    match payloads.value(index) {
                        Some(payload) => records.add(*offset, payload),
                        None => {
                            records.rows.reject(*offset, b"", MALFORMED, "the payload is null (a tombstone)".into())
                        }
                    }
                }
                records.rows.finish()
            }
            Body::Rows { .. } => Err(Error::bug(format!("'{}' gave rows where JSON was expected", chunk.split))),
        }
    }
}

/// The records of one chunk as they are read.
struct Records {
    rows: Rows,
    object: Object,
    values: ValueReader,
}

impl JsonDecoder {
    fn records(&self, split: &str, data: &[u8], capacity: usize) -> Result<Records> {
        Ok(Records {
            rows: Rows::new(self.schema.clone(), split, data, capacity)?,
            object: self.object.clone(),
            values: ValueReader::new(self.bad_fields_are_null),
        })
    }
}

impl Records {
    /// Adds one record.
    #[inline]
    fn add(&mut self, offset: u64, record: &[u8]) {
        match self.read(record) {
            Ok(()) => self.rows.keep(),
            Err(fault) => {
                let fault = whole_fault(fault, record);
                self.rows.reject(offset, record, fault.code(), fault.reason(record));
            }
        }
    }

    #[inline]
    fn read(&mut self, record: &[u8]) -> Result<(), Fault> {
        if let Some(at) = self.rows.not_text(record) {
            return Err(Fault::malformed("UTF-8", at));
        }
        let mut cursor = Cursor::new(record);
        cursor.skip_space();
        if cursor.peek() != b'{' {
            return Err(Fault::malformed("an object", cursor.at));
        }
        let row = self.rows.count();
        object(&mut self.values, &mut self.object, &mut self.rows.columns, row, &mut cursor)?;
        cursor.end()
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
