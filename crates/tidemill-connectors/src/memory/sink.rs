//! The memory sink: an epoch's rows and number, in one step under a lock.

use super::{MemoryStore, MemoryTable};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::sink::{Marker, OutputMode, Sink, SinkConnector, SinkRequest, Writer};
use tidemill_core::{Epoch, Result};

static DESCRIPTION: Description = Description {
    name: "memory",
    role: Role::Sink,
    summary: "A table in memory that the program reads. Exactly once for as long as the program runs.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[OptionSpec::new("table", OptionKind::Text, "name of the table in memory; without it that of the sink")],
    example: "connector = 'memory', table = 'results'",
};

/// The sink `memory`.
pub struct MemorySink {
    store: MemoryStore,
}

impl MemorySink {
    /// A sink whose tables are in `store`.
    pub fn new(store: MemoryStore) -> Self {
        MemorySink { store }
    }
}

#[async_trait]
impl SinkConnector for MemorySink {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn names_columns(&self) -> bool {
        false
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let name = request.options.text("table").unwrap_or(&request.table);
        let replace = request.mode == OutputMode::Complete;
        Ok(Box::new(Memory { table: self.store.table(name), writer: request.writer, replace }))
    }
}

struct Memory {
    table: MemoryTable,
    writer: Writer,
    replace: bool,
}

#[async_trait]
impl Sink for Memory {
    async fn marker(&mut self) -> Result<Marker> {
        Ok(self.table.marker(&self.writer))
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        self.table.commit(&self.writer, epoch, rows, self.replace);
        Ok(())
    }
}
