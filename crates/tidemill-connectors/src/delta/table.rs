//! A table that is open for writing: its state as of the last look, and the newest version known.
//!
//! Commits are laid at the version after the newest one known, without a look at the log: whoever was
//! faster is noticed because the version is taken. So the cost of a commit does not grow with the log.

use super::errors::failed;
use super::home::{Home, LOG, Put};
use super::schema;
use crate::durable::Disk;
use arrow::datatypes::SchemaRef;
use deltalake::DeltaTable;
use deltalake::checkpoints::{cleanup_metadata, create_checkpoint};
use deltalake::kernel::transaction::{CommitBuilder, TableReference};
use deltalake::kernel::{Action, Add, Remove, StructType, new_metadata};
use deltalake::logstore::LogStoreRef;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::table::config::TablePropertiesExt;
use deltalake::table::state::DeltaTableState;
use tidemill_core::{Error, Kind, Result};

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

/// An open table.
pub(crate) struct Table {
    pub(crate) home: Home,
    delta: DeltaTable,
    /// Newest version known: the loaded one, or one that we wrote after it.
    version: u64,
    /// The table's files, if we have just replaced all of them.
    own_files: Option<Vec<Add>>,
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
        let table = Table { home, delta, version, own_files: None };
        table.check_supported()?;
        Ok(Some(table))
    }

    /// Makes a table with these columns, all of which may be null.
    ///
    /// # Errors
    /// A column type that Delta has not, an unknown partition column, a place that cannot be written.
    pub(crate) async fn create(home: Home, schema: &SchemaRef, partition_by: &[String]) -> Result<Table> {
        let columns = schema::for_table(schema)?;
        let partition_by = partition_by.iter().map(|name| schema::find(&columns, name)).collect::<Result<Vec<_>>>()?;
        let kernel: StructType = schema::to_kernel(&columns)?;
        let none: [(String, String); 0] = [];
        let metadata =
            new_metadata(&kernel, &partition_by, none).map_err(|error| failed("create", &home.place, error.into()))?;
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
        match put(&home, &log, None, 0, actions, operation).await? {
            // whoever else has just made it: what counts is the table that is there
            Put::Done | Put::Taken => {}
            Put::Unclear(error) => return Err(error),
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

    /// The newest epoch of an application.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) async fn transaction(&self, app_id: &str) -> Result<Option<u64>> {
        let found = self.state()?.transaction_version(self.delta.log_store().as_ref(), app_id).await;
        let found = found.map_err(|error| failed("read the transactions of", &self.home.place, error))?;
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

    /// Reads the log on.
    ///
    /// # Errors
    /// The log cannot be read, or the table now asks for more than this writer can do.
    pub(crate) async fn reload(&mut self) -> Result<()> {
        let updated = self.delta.update_incremental(None).await;
        updated.map_err(|error| failed("read the log of", &self.home.place, error))?;
        self.version = self.delta.version().unwrap_or(self.version);
        self.own_files = None;
        self.check_supported()
    }

    /// What removes all files of the table.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) async fn remove_all(&mut self, now_millis: i64) -> Result<Vec<Action>> {
        if let Some(own) = &self.own_files {
            return Ok(own.iter().map(|add| Action::Remove(removal(add, now_millis))).collect());
        }
        if self.state()?.version() != self.version {
            self.reload().await?;
        }
        Ok(self.state()?.log_data().iter().map(|file| Action::Remove(file.remove_action(true))).collect())
    }

    /// Lays the actions at the next version.
    ///
    /// # Errors
    /// The table's protocol does not allow the actions.
    pub(crate) async fn commit(&mut self, actions: Vec<Action>, operation: DeltaOperation) -> Result<Put> {
        let replaces = matches!(operation, DeltaOperation::Write { mode: SaveMode::Overwrite, .. });
        let files = replaces.then(|| {
            actions.iter().filter_map(|action| match action {
                Action::Add(add) => Some(add.clone()),
                _ => None,
            })
        });
        let files = files.map(Iterator::collect);
        let log = self.delta.log_store();
        let outcome = put(&self.home, &log, Some(self.state()?), self.version + 1, actions, operation).await?;
        if matches!(outcome, Put::Done) {
            self.version += 1;
            self.own_files = files;
        }
        Ok(outcome)
    }

    /// Makes a checkpoint of the log when it is time, and deletes commits that it makes needless. A
    /// failure is only reported: the table is whole without.
    pub(crate) async fn tend(&mut self) {
        let Ok(state) = self.state() else { return };
        let interval = state.table_config().checkpoint_interval().get();
        if !(self.version + 1).is_multiple_of(interval) {
            return;
        }
        let version = self.version;
        if let Err(error) = self.checkpoint(version).await {
            tracing::warn!(table = self.home.place, version, %error, "cannot make a checkpoint of the delta log");
        }
    }

    async fn checkpoint(&mut self, version: u64) -> Result<()> {
        let failure = |error| failed("make a checkpoint of", &self.home.place, error);
        self.delta.update_incremental(Some(version)).await.map_err(failure)?;
        create_checkpoint(&self.delta, None).await.map_err(failure)?;
        let prefix = format!("{version:020}.checkpoint");
        self.home.sync_log(|name| name.starts_with(&prefix) || name == "_last_checkpoint")?;
        if self.state()?.table_config().enable_expired_log_cleanup() {
            cleanup_metadata(&self.delta, None).await.map_err(failure)?;
        }
        Ok(())
    }

    fn state(&self) -> Result<&DeltaTableState> {
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

/// Serialises the actions as the library does (with its check of the protocol) and writes the commit.
async fn put(
    home: &Home,
    log: &LogStoreRef,
    state: Option<&DeltaTableState>,
    version: u64,
    actions: Vec<Action>,
    operation: DeltaOperation,
) -> Result<Put> {
    let table = state.map(|state| state as &dyn TableReference);
    let prepared = CommitBuilder::default().with_actions(actions).build(table, log.clone(), operation);
    let prepared = prepared.into_prepared_commit_future().await;
    let prepared = prepared.map_err(|error| match failed("commit to", &home.place, error) {
        error if error.kind() == Kind::Again => error,
        error => error.help("the table's protocol or properties do not allow this write"),
    })?;
    let commit = prepared.commit_or_bytes().clone();
    drop(prepared);
    home.put_commit(log, version, commit).await
}

fn removal(add: &Add, now_millis: i64) -> Remove {
    Remove {
        path: add.path.clone(),
        data_change: true,
        deletion_timestamp: Some(now_millis),
        extended_file_metadata: Some(true),
        partition_values: Some(add.partition_values.clone()),
        size: Some(add.size),
        tags: add.tags.clone(),
        deletion_vector: add.deletion_vector.clone(),
        base_row_id: add.base_row_id,
        default_row_commit_version: add.default_row_commit_version,
    }
}
