//! The sink behind `foreachBatch`: hands each epoch's rows to a Python function, which is called with the
//! interpreter's lock held, once an epoch, on a thread that may block.
//!
//! Guarantee: at least once, with the same batch id and the same rows. An epoch whose function raised or
//! whose process died is run again at the next start; the function may use the id to tell.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use pyo3::prelude::*;
use pyo3_arrow::PyTable;
use std::sync::Arc;
use tidemill_core::describe::{Description, Guarantee, Role};
use tidemill_core::sink::{Marker, Sink, SinkConnector, SinkRequest, Writer};
use tidemill_core::{Epoch, Error, Kind, Result, ResultExt};

/// Name of the sink in a pipeline.
pub const NAME: &str = "foreach_batch";

static DESCRIPTION: Description = Description {
    name: NAME,
    role: Role::Sink,
    summary: "Calls a Python function with each epoch's rows and number. At least once: after a failure the same \
              rows come again under the same number.",
    guarantee: Guarantee::AtLeastOnce,
    options: &[],
    example: "",
};

/// The sink `foreach_batch`.
pub struct ForeachBatch {
    function: Arc<Py<PyAny>>,
}

impl ForeachBatch {
    /// A sink that calls `function(rows, batch_id, (query, sink, incarnation))`.
    pub fn new(function: Py<PyAny>) -> Self {
        ForeachBatch { function: Arc::new(function) }
    }
}

#[async_trait]
impl SinkConnector for ForeachBatch {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    /// As in Spark, epochs without rows are heard of too.
    fn every_epoch(&self) -> bool {
        true
    }

    fn names_columns(&self) -> bool {
        false
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Called { function: self.function.clone(), schema: request.schema, writer: request.writer }))
    }
}

struct Called {
    function: Arc<Py<PyAny>>,
    schema: SchemaRef,
    writer: Writer,
}

#[async_trait]
impl Sink for Called {
    async fn marker(&mut self) -> Result<Marker> {
        Ok(Marker::Unsupported)
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        let (function, schema, rows) = (self.function.clone(), self.schema.clone(), rows.to_vec());
        let who = (self.writer.query.clone(), self.writer.sink.clone(), self.writer.incarnation.0.clone());
        let called = tokio::task::spawn_blocking(move || {
            Python::try_attach(|py| {
                let table = PyTable::try_new(rows, schema)?.into_pyobject(py)?;
                function.call1(py, (table, epoch.0, who)).map(drop)
            })
        });
        match called.await.context(Kind::Bug, || "the call of a Python function broke off".into())? {
            Some(Ok(())) => Ok(()),
            Some(Err(raised)) => Err(failed(epoch, &self.writer.query, raised)),
            None => Err(Error::new(Kind::Again, "Python is shutting down while a query runs")
                .help("stop queries, or wait for them, before the program ends")),
        }
    }
}

fn failed(epoch: Epoch, query: &str, raised: PyErr) -> Error {
    Error::new(
        Kind::Again,
        format!("the function given to foreachBatch failed in batch {epoch} of the query '{query}'"),
    )
    .class("FOREACH_BATCH_USER_FUNCTION_ERROR")
    .help("the batch is not committed: it comes again with the same id and rows when the query is started again")
    .caused_by(raised)
}
