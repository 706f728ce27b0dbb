//! What came of one table, as rows inside the engine: its decoder, and the columns that go on. Needs no
//! source, so records can be decoded wherever they are.

use crate::bad_records::{self, Policy};
use crate::dataflow::SourceColumns;
use crate::pipeline::plan::{inner_schema, outer_schema};
use crate::pipeline::query::SourceTable;
use arrow::array::ArrayRef;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::sync::Arc;
use tidemill_core::format::{Decoder, Framing, Reject};
use tidemill_core::source::{Body, Chunk};
use tidemill_core::{Error, Kind, Place, Result, Split};

/// Decodes the chunks of a table.
pub struct TableDecoder {
    /// The table.
    pub table: String,
    /// How its format finds records; `None` when the source makes rows itself.
    pub framing: Option<Framing>,
    /// It reads the headers of records.
    pub reads_headers: bool,
    /// What the rows are called inside the engine.
    pub inner: SchemaRef,
    decoder: Option<Box<dyn Decoder>>,
    /// What the source is asked for: the columns that are read, and those that are only checked.
    requested: SchemaRef,
    /// The decoded columns that go on; `None` is the one for corrupt records.
    kept: Vec<Option<usize>>,
    policy: Policy,
    /// The rows under the names people know.
    named: SchemaRef,
}

impl TableDecoder {
    /// For the columns that a query reads of a table.
    ///
    /// # Errors
    /// A column the format cannot give.
    pub fn new(table: &SourceTable, columns: &SourceColumns) -> Result<Self> {
        let declared = &table.columns;
        // columns that must not be NULL are decoded even if nobody reads them: a record is checked whole
        let unread = (0..declared.fields().len())
            .filter(|position| !columns.columns.contains(position) && !declared.field(*position).is_nullable());
        let (policy, corrupt) = match &table.format {
            Some(_) => Policy::of(&table.name, declared, &table.options)?,
            None => (Policy::Aside, None),
        };
        let by_position = table.format.as_ref().is_some_and(|format| format.by_position());
        let wanted: Vec<usize> = match by_position {
            true => (0..declared.fields().len()).filter(|position| corrupt != Some(*position)).collect(),
            false => {
                let read = columns.columns.iter().copied().filter(|position| corrupt != Some(*position));
                read.chain(unread).collect()
            }
        };
        let place = |column: &usize| wanted.iter().position(|wanted| wanted == column);
        let kept = columns.columns.iter().map(place).collect();
        let requested: SchemaRef = Arc::new(Schema::new(
            wanted.iter().map(|position| declared.fields()[*position].clone()).collect::<Vec<_>>(),
        ));
        let decoder = match &table.format {
            Some(format) => Some(format.decoder(requested.clone(), &table.options)?),
            None => None,
        };
        Ok(TableDecoder {
            table: table.name.clone(),
            framing: table.format.as_ref().map(|format| format.framing()),
            reads_headers: table.format.as_ref().is_some_and(|format| format.reads_headers()),
            inner: inner_schema(&columns.attributes),
            decoder,
            requested,
            kept,
            policy,
            named: outer_schema(&columns.attributes),
        })
    }

    /// The columns a source is asked for.
    pub fn requested(&self) -> &SchemaRef {
        &self.requested
    }

    /// Looks up outside what the records of these chunks need; called before they are decoded.
    ///
    /// # Errors
    /// What is asked does not answer.
    pub async fn prepare(&self, chunks: &[Chunk]) -> Result<()> {
        match &self.decoder {
            Some(decoder) => decoder.prepare(chunks).await,
            None => Ok(()),
        }
    }

    /// The good rows of a chunk, and its bad records.
    ///
    /// # Errors
    /// A file that cannot be read at all, and names the record it begins with; a bad record of a table that fails then.
    pub fn decode(&self, chunk: Chunk) -> Result<(Split, RecordBatch, Vec<Reject>)> {
        let split = chunk.split.clone();
        let mut corrupt = None;
        let (columns, count, rejects) = match (chunk.body, &self.decoder) {
            (Body::Rows { rows, .. }, _) => (rows.columns().to_vec(), rows.num_rows(), vec![]),
            (body, Some(decoder)) => {
                let place = self.place_of(&split, &body);
                let chunk = Chunk { split: chunk.split, body };
                let decoded = decoder.decode(&chunk).map_err(|error| error.at_if_unplaced(Some(place)))?;
                let (rows, rejects) = (decoded.rows, decoded.rejects);
                match (self.policy, rejects.first()) {
                    (Policy::Fail, Some(bad)) => return Err(bad_records::failure(&self.table, &split, bad)),
                    (Policy::Null, Some(_)) => {
                        let (columns, texts) = bad_records::with_nulls(&chunk.body, self.framing, &rows, &rejects)?;
                        let count = rows.num_rows() + rejects.len();
                        let texts: ArrayRef = Arc::new(texts);
                        corrupt = Some(texts);
                        (columns, count, vec![])
                    }
                    _ => (rows.columns().to_vec(), rows.num_rows(), rejects),
                }
            }
            (_, None) => {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("table '{}' reads bytes but names no format", self.table),
                )
                .help("add format = 'json' to its options"));
            }
        };
        let kept = self.kept.iter().map(|position| match position {
            Some(position) => columns[*position].clone(),
            None => corrupt.clone().unwrap_or_else(|| bad_records::none(count)),
        });
        let columns = kept.collect();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let renamed = RecordBatch::try_new_with_options(self.inner.clone(), columns, &options)?;
        Ok((split, renamed, rejects))
    }

    /// A row as a JSON object, with the names people know.
    pub fn json(&self, rows: &RecordBatch, row: usize) -> String {
        json(&self.named, rows, row)
    }

    /// Where a body begins, for errors that concern all of it.
    fn place_of(&self, split: &Split, body: &Body) -> Place {
        let offset = match body {
            Body::Stream { at, .. } | Body::Rows { at, .. } => *at,
            Body::Records(records) => records.offsets.first().copied().unwrap_or(0),
        };
        Place::Record { source: self.table.clone(), partition: split.to_string(), offset }
    }
}

/// A row as a JSON object, under the names of `schema`; empty when a value has no JSON.
pub fn json(schema: &SchemaRef, rows: &RecordBatch, row: usize) -> String {
    let named = RecordBatch::try_new(schema.clone(), rows.slice(row, 1).columns().to_vec());
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    let written = named.and_then(|named| writer.write(&named)).and_then(|()| writer.finish());
    match written {
        Ok(()) => String::from_utf8_lossy(&writer.into_inner()).trim_end().to_owned(),
        Err(_) => String::new(),
    }
}
