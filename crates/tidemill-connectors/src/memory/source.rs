//! The memory source: the rows that a program adds to a table, in order. One split; a position is a row.

use super::{MemoryStore, MemoryTable};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::source::{Ask, Body, Chunk, Source, SourceConnector, SourceRequest};
use tidemill_core::{Error, Kind, Offsets, Result, SplitRange};

static DESCRIPTION: Description = Description {
    name: "memory",
    role: Role::Source,
    summary: "Rows that the program adds to a table in memory.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[OptionSpec::new(
        "table",
        OptionKind::Text,
        "name of the table in memory; without it that of the source",
    )],
    example: "connector = 'memory', table = 'events'",
};

/// The name of the only split.
const SPLIT: &str = "rows";

/// The source `memory`.
pub struct MemorySource {
    store: MemoryStore,
}

impl MemorySource {
    /// A source of the tables in `store`.
    pub fn new(store: MemoryStore) -> Self {
        MemorySource { store }
    }
}

#[async_trait]
impl SourceConnector for MemorySource {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn Source>> {
        let name = request.options.text("table").unwrap_or(&request.table);
        Ok(Box::new(Memory { table: self.store.table(name), schema: request.schema, planned: 0 }))
    }
}

struct Memory {
    table: MemoryTable,
    schema: SchemaRef,
    /// Position after the newest plan.
    planned: u64,
}

impl Memory {
    /// The columns of `rows` that are asked for.
    fn project(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.schema.fields().iter().map(|field| {
            let column = rows.column_by_name(field.name()).cloned();
            column.ok_or_else(|| Error::invalid(format!("the rows in memory have no column '{}'", field.name())))
        });
        let columns = columns.collect::<Result<_>>()?;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

#[async_trait]
impl Source for Memory {
    async fn latest(&mut self) -> Result<Offsets> {
        Ok(Offsets::from_iter([(SPLIT.into(), self.table.row_count() as u64)]))
    }

    async fn plan(&mut self, from: &Offsets, ask: &Ask) -> Result<Vec<SplitRange>> {
        let start = from.get(SPLIT).unwrap_or(0);
        let mut end = self.table.row_count() as u64;
        if let Some(until) = &ask.until {
            end = end.min(until.get(SPLIT).unwrap_or(0));
        }
        self.planned = end.max(start);
        Ok(if end > start { vec![SplitRange::new(SPLIT, start, end)] } else { Vec::new() })
    }

    async fn read(&self, range: &SplitRange) -> Result<Vec<Chunk>> {
        let (mut chunks, mut position) = (Vec::new(), 0);
        for (_, rows) in self.table.batches() {
            let (start, end) = (range.from.max(position), range.to.min(position + rows.num_rows() as u64));
            if start < end {
                let rows = rows.slice((start - position) as usize, (end - start) as usize);
                let body = Body::Rows { rows: self.project(&rows)?, at: start };
                chunks.push(Chunk { split: range.split.clone(), body });
            }
            position += rows.num_rows() as u64;
        }
        if position < range.to {
            return Err(Error::new(
                Kind::Data,
                format!("the table in memory has {position} rows, and {range} is asked for"),
            )
            .help("rows in memory do not outlive the program: start with a new checkpoint"));
        }
        Ok(chunks)
    }

    async fn wait(&mut self) {
        // Listen first, then look, so that rows added in between are not missed.
        let changed = self.table.changed.notified();
        if self.table.row_count() as u64 <= self.planned {
            changed.await;
        }
    }
}
