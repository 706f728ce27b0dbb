//! The source `statestore`: the state of a checkpoint as a table, under Spark's name for it. It may be the
//! checkpoint of a query that runs; what is read is a snapshot.

use super::columns::Columns;
use super::saved::SavedState;
use crate::state::home::StateBackends;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::source::{Ask, Body, Chunk, Source, SourceConnector, SourceRequest};
use tidemill_core::{Epoch, Error, Offsets, Options, Registry, Result, SplitRange};

/// Its name.
pub const NAME: &str = "statestore";
/// Memory for reading a store, in bytes.
const READ_BYTES: u64 = 64 << 20;
/// About how many bytes a row of state has, to keep within the bytes of an epoch.
const ROW_BYTES: u64 = 100;

static DESCRIPTION: Description = Description {
    name: NAME,
    role: Role::Source,
    summary: "The state of an operator, from a snapshot in the checkpoint of a query that runs or stands.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        OptionSpec::new("path", OptionKind::Location, "directory of the checkpoint").required(),
        OptionSpec::new(
            "operator",
            OptionKind::Text,
            "the operator, by its name or its number in `tidemill state ls`; default: the only one there is",
        )
        .aliases(&["operator_id"]),
        OptionSpec::new(
            "epoch",
            OptionKind::Integer,
            "the state after this epoch, of which there must be a snapshot; default: the newest snapshot",
        )
        .aliases(&["batch_id"]),
    ],
    example: "connector = 'statestore', path = 'checkpoints/counts', operator = 'counts/aggregate', static = 'true'",
};

/// The source.
pub struct StateStoreSource {
    backends: StateBackends,
}

impl StateStoreSource {
    /// Reads the stores that a registry knows.
    pub fn new(registry: &Registry) -> Self {
        let known = registry.state_backends().to_vec();
        StateStoreSource { backends: StateBackends { chosen: None, known, memory_bytes: READ_BYTES } }
    }

    fn opened(&self, options: &Options, epoch: Option<Epoch>) -> Result<(SavedState, String, Columns)> {
        let path = options.text("path").unwrap_or(".");
        let epoch = epoch.or(options.integer("epoch").map(Epoch));
        let mut state = SavedState::open(Path::new(path), None, epoch, &self.backends)?;
        let operator = state.operator(options.text("operator"))?;
        let columns = state.columns(&operator)?;
        Ok((state, operator, columns))
    }
}

#[async_trait]
impl SourceConnector for StateStoreSource {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn schema(&self, options: &Options) -> Result<Option<SchemaRef>> {
        Ok(Some(self.opened(options, None)?.2.schema().clone()))
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn Source>> {
        // a query goes on with the snapshot it began with
        let began = request.resume_from.0.keys().next().and_then(|split| split.to_string().parse().ok()).map(Epoch);
        let (mut state, operator, columns) = self.opened(&request.options, began)?;
        let places = request.schema.fields().iter().map(|field| {
            columns.schema().index_of(field.name()).map_err(|_| {
                let names: Vec<&str> = columns.schema().fields().iter().map(|field| field.name().as_str()).collect();
                Error::invalid(format!("the state of {operator} has no column `{}`", field.name()))
                    .help(format!("its columns are {}", names.join(", ")))
            })
        });
        let places = places.collect::<Result<Vec<usize>>>()?;
        let (rows, epoch) = (state.count(&operator)?, state.epoch);
        let state = Mutex::new(state);
        Ok(Box::new(StateTable { state, operator, columns, schema: request.schema, places, rows, epoch }))
    }
}

struct StateTable {
    state: Mutex<SavedState>,
    operator: String,
    columns: Columns,
    /// The columns that are wanted, and their places among all.
    schema: SchemaRef,
    places: Vec<usize>,
    rows: u64,
    epoch: Epoch,
}

impl StateTable {
    fn shown(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let shown = self.columns.outward(rows)?;
        let columns = self.places.iter().zip(self.schema.fields()).map(|(place, field)| {
            let column = shown.column(*place);
            arrow::compute::cast(column, field.data_type()).map_err(Error::from)
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let columns: Vec<Arc<dyn arrow::array::Array>> = columns.collect::<Result<_>>()?;
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    fn split(&self) -> String {
        self.epoch.to_string()
    }
}

#[async_trait]
impl Source for StateTable {
    async fn latest(&mut self) -> Result<Offsets> {
        let mut offsets = Offsets::default();
        offsets.advance(&[SplitRange::new(self.split(), 0, self.rows)]);
        Ok(offsets)
    }

    async fn plan(&mut self, from: &Offsets, ask: &Ask) -> Result<Vec<SplitRange>> {
        let range = SplitRange::new(self.split(), 0, self.rows);
        let start = from.get(&range.split).unwrap_or(0);
        let rows_max = if ask.bytes_max == 0 { u64::MAX } else { (ask.bytes_max / ROW_BYTES).max(1) };
        let end = start.saturating_add(rows_max).min(self.rows);
        Ok(if start < end { vec![SplitRange::new(self.split(), start, end)] } else { vec![] })
    }

    async fn read(&self, range: &SplitRange) -> Result<Vec<Chunk>> {
        let (mut at, mut chunks) = (0, vec![]);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.rows(&self.operator, &mut |rows| {
            let count = rows.num_rows() as u64;
            let (from, until) = (range.from.max(at), range.to.min(at + count));
            if from < until {
                let rows = self.shown(&rows.slice((from - at) as usize, (until - from) as usize))?;
                chunks.push(Chunk { split: range.split.clone(), body: Body::Rows { rows, at: from } });
            }
            at += count;
            Ok(at < range.to)
        })?;
        Ok(chunks)
    }

    async fn wait(&mut self) {
        // a snapshot does not change
        std::future::pending::<()>().await;
    }
}
