//! A table that is open for writing: what it holds, as of the newest version known.
//!
//! Commits are laid at the version after the newest one known, without a look at the log: whoever was
//! faster is noticed because the version is taken, and then only the new commits are read. So the cost
//! of a commit does not grow with the log.

use super::errors::failed;
use super::home::{Home, LOG, Put};
use super::live::Live;
use super::schema;
use crate::durable::Disk;
use arrow::datatypes::{Schema, SchemaRef};
use deltalake::DeltaTable;
use deltalake::kernel::transaction::{CommitBuilder, TableReference};
use deltalake::kernel::{Action, Metadata, StructType, new_metadata};
use deltalake::logstore::{CommitOrBytes, LogStoreRef, get_actions};
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::table::state::DeltaTableState;
use std::collections::HashMap;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result};

/// Where a commit says which attempt wrote it; Spark's name for the same thing.
const TOKEN: &str = "txnId";
/// Properties of a table that ask a writer for more than this one does.
const UNSUPPORTED_PROPERTIES: &[&str] = &["delta.constraints.", "delta.columnMapping.mode", "delta.enableRowTracking"];

/// What must stay as it is while a table is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    /// Columns, in the table's order, those of the partitions among them.
    pub(crate) schema: SchemaRef,
    /// Names of the columns that choose the directory.
    pub(crate) partition_by: Vec<String>,
}

impl Layout {
    /// The same with some of the columns.
    pub(crate) fn only(&self, columns: &[String]) -> Layout {
        let fields = self.schema.fields().iter().filter(|field| columns.contains(field.name()));
        let schema = Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()));
        Layout { schema, partition_by: self.partition_by.clone() }
    }
}

/// How a commit ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is in the table.
    Committed,
    /// It is not: others took the version. What they did is known now.
    Overtaken,
    /// It is not there yet, and may still come.
    Unclear(Error),
}

/// An open table.
pub(crate) struct Table {
    pub(crate) home: Home,
    /// What the table holds as of [`Table::version`].
    pub(crate) live: Live,
    /// As of some version, with columns and properties that still hold.
    pub(super) delta: DeltaTable,
    /// Newest version known: a loaded one, or one that we wrote or read after it.
    version: u64,
}

impl Table {
    /// Opens the table; `None` when there is none.
    ///
    /// # Errors
    /// The place cannot be read, or the table asks for more than this writer can do.
    pub(crate) async fn open(home: Home) -> Result<Option<Table>> {
        let mut delta = home.table()?;
        let failure = |error| failed("open", &home.place, error);
        if !delta.log_store().is_delta_table_location().await.map_err(failure)? {
            return Ok(None);
        }
        delta.load().await.map_err(failure)?;
        let version = delta.version().unwrap_or(0);
        let live = Live::of(delta.snapshot().map_err(failure)?, 0);
        let table = Table { home, live, delta, version };
        table.check_supported()?;
        Ok(Some(table))
    }

    /// Makes a table with these columns, all of which may be null.
    ///
    /// # Errors
    /// A column type that Delta has not, an unknown partition column, a place that cannot be written.
    pub(crate) async fn create(
        home: Home,
        schema: &SchemaRef,
        partition_by: &[String],
        properties: &[(String, String)],
    ) -> Result<Table> {
        let columns = schema::for_table(schema)?;
        let partition_by = partition_by.iter().map(|name| schema::find(&columns, name)).collect::<Result<Vec<_>>>()?;
        let kernel: StructType = schema::to_kernel(&columns)?;
        let metadata = new_metadata(&kernel, &partition_by, properties.to_vec());
        let metadata = metadata.map_err(|error| failed("create", &home.place, error.into()))?;
        let protocol = schema::protocol(&columns)?;
        let delta = home.table()?;
        if let Some(directory) = home.directory() {
            Disk::default().create_directory(&directory.join(LOG))?;
        }
        let operation = DeltaOperation::Create {
            mode: SaveMode::ErrorIfExists,
            location: delta.log_store().root_url().clone(),
            protocol: protocol.clone(),
            metadata: metadata.clone(),
        };
        let actions = vec![Action::Protocol(protocol), Action::Metadata(metadata)];
        let log = delta.log_store();
        let commit = encode(&home, &log, None, actions, operation, "").await?;
        match home.put_commit(&log, 0, commit).await? {
            // whoever else has just made it: what counts is the table that is there
            Put::Done | Put::Taken => {}
            Put::Unclear(error) => {
                return Table::open(home).await?.ok_or(error);
            }
        }
        Table::open(home).await?.ok_or_else(|| Error::bug("a table that was just made is not there"))
    }

    /// What must stay as it is while the table is written.
    ///
    /// # Errors
    /// The library cannot give the schema.
    pub(crate) fn layout(&self) -> Result<Layout> {
        let state = self.state()?;
        let partition_by = state.metadata().partition_columns().iter().map(ToString::to_string).collect();
        Ok(Layout { schema: schema::from_kernel(state.schema().as_ref())?, partition_by })
    }

    /// Columns, partitions and properties.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub(crate) fn metadata(&self) -> Result<Metadata> {
        Ok(self.state()?.metadata().clone())
    }

    /// The newest epoch of an application.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) async fn transaction(&self, app_id: &str) -> Result<Option<u64>> {
        let found = match self.live.epoch(app_id) {
            Some(epoch) => Some(epoch),
            None => {
                let found = self.state()?.transaction_version(self.delta.log_store().as_ref(), app_id).await;
                found.map_err(|error| failed("read the transactions of", &self.home.place, error))?
            }
        };
        Ok(found.and_then(|version| u64::try_from(version).ok()))
    }

    /// The log.
    pub(crate) fn log(&self) -> LogStoreRef {
        self.delta.log_store()
    }

    /// Newest version known.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Reads the log whole.
    ///
    /// # Errors
    /// The log cannot be read, or the table now asks for more than this writer can do.
    pub(crate) async fn reload(&mut self) -> Result<()> {
        let updated = self.delta.update_incremental(None).await;
        updated.map_err(|error| failed("read the log of", &self.home.place, error))?;
        self.version = self.delta.version().unwrap_or(self.version);
        self.live = Live::of(self.state()?, self.live.added());
        self.check_supported()
    }

    /// Lays the actions at the next version. `token` tells this attempt from all others.
    ///
    /// # Errors
    /// The table's protocol does not allow the actions; a local disk failed.
    pub(crate) async fn commit(
        &mut self,
        actions: Vec<Action>,
        operation: DeltaOperation,
        token: &str,
    ) -> Result<Outcome> {
        let log = self.delta.log_store();
        let commit = encode(&self.home, &log, Some(self.state()?), actions.clone(), operation, token).await?;
        let put = self.home.put_commit(&log, self.version + 1, commit).await?;
        if matches!(put, Put::Done) {
            return self.take_in(&actions).await.map(|()| Outcome::Committed);
        }
        // a taken version may be our own: the store applied a write and lost its answer
        match (self.read_next().await, put) {
            (Ok(Some(found)), _) if is_of(&found, token) => self.take_in(&found).await.map(|()| Outcome::Committed),
            (Ok(Some(found)), _) => {
                self.take_in(&found).await?;
                self.look().await?;
                Ok(Outcome::Overtaken)
            }
            (Ok(None), Put::Unclear(error)) => Ok(Outcome::Unclear(error)),
            (Ok(None), _) => {
                self.reload().await?;
                Ok(Outcome::Overtaken)
            }
            (Err(error), _) => Ok(Outcome::Unclear(error)),
        }
    }

    /// Reads the commits after the newest version known.
    ///
    /// # Errors
    /// As [`Table::reload`].
    pub(crate) async fn look(&mut self) -> Result<()> {
        while let Some(actions) = self.read_next().await? {
            self.take_in(&actions).await?;
        }
        Ok(())
    }

    /// The commit after the newest version known.
    async fn read_next(&self) -> Result<Option<Vec<Action>>> {
        let (version, log) = (self.version + 1, self.delta.log_store());
        let failure = |error| failed("read the log of", &self.home.place, error);
        let Some(content) = log.read_commit_entry(version).await.map_err(failure)? else { return Ok(None) };
        get_actions(version, &content).map(Some).map_err(failure)
    }

    /// The next version holds these actions.
    async fn take_in(&mut self, actions: &[Action]) -> Result<()> {
        self.version += 1;
        match self.live.apply(actions) {
            true => Ok(()),
            false => self.reload().await,
        }
    }

    pub(super) fn state(&self) -> Result<&DeltaTableState> {
        self.delta.snapshot().map_err(|error| failed("read", &self.home.place, error))
    }

    fn check_supported(&self) -> Result<()> {
        let state = self.state()?;
        let place = &self.home.place;
        let asked = state.metadata().configuration().iter().find(|(name, value)| {
            let is_asked = UNSUPPORTED_PROPERTIES.iter().any(|property| name.starts_with(property));
            is_asked && !matches!(value.to_ascii_lowercase().as_str(), "none" | "false")
        });
        if let Some((name, value)) = asked {
            return Err(Error::invalid(format!(
                "the delta table at {place} has {name} = {value}, which this sink cannot keep"
            )));
        }
        for field in state.schema().fields() {
            if let Some(rule) = ["delta.invariants", "delta.generationExpression"]
                .iter()
                .find(|key| field.metadata().contains_key(**key))
            {
                let column = field.name();
                return Err(Error::invalid(format!(
                    "column '{column}' of the delta table at {place} has {rule}, which this sink cannot keep"
                )));
            }
        }
        let retention = "delta.setTransactionRetentionDuration";
        if let Some(kept) = state.metadata().configuration().get(retention) {
            tracing::warn!(
                table = place,
                kept,
                "{retention} is set: after a longer stop an epoch would be written twice"
            );
        }
        Ok(())
    }
}

/// True for the commit that was written with this token.
fn is_of(actions: &[Action], token: &str) -> bool {
    actions.iter().any(|action| match action {
        Action::CommitInfo(info) => info.info.get(TOKEN).and_then(|value| value.as_str()) == Some(token),
        _ => false,
    })
}

/// Serialises the actions as the library does, with its check of the protocol.
async fn encode(
    home: &Home,
    log: &LogStoreRef,
    state: Option<&DeltaTableState>,
    actions: Vec<Action>,
    operation: DeltaOperation,
    token: &str,
) -> Result<CommitOrBytes> {
    let table = state.map(|state| state as &dyn TableReference);
    let metadata = HashMap::from([(TOKEN.to_owned(), token.into())]);
    let prepared = CommitBuilder::default().with_actions(actions).with_app_metadata(metadata);
    let prepared = prepared.build(table, log.clone(), operation).into_prepared_commit_future().await;
    let prepared = prepared.map_err(|error| match failed("commit to", &home.place, error) {
        error if error.kind() == Kind::Again => error,
        error => error.help("the table's protocol or properties do not allow this write"),
    })?;
    Ok(prepared.commit_or_bytes().clone())
}
