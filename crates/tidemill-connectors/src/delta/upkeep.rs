//! What keeps a table's log and folder small, beside the stream: checkpoints of the log, commits that
//! they make needless, and files that no kept version names.
//!
//! A failure is only reported: the table is whole without.

use super::errors::failed;
use super::home::Home;
use super::table::Table;
use deltalake::DeltaTable;
use deltalake::checkpoints::{cleanup_metadata, create_checkpoint};
use deltalake::operations::vacuum::VacuumMode;
use deltalake::table::config::TablePropertiesExt;
use std::time::Duration;
use tidemill_core::{Clock, Error, Result};
use tokio::task::JoinHandle;

/// Needless commits are looked for with every so many checkpoints: that lists the whole log.
const CHECKPOINTS_A_CLEANUP: u64 = 10;
/// How often files are looked for that no kept version names.
const VACUUM_INTERVAL: Duration = Duration::from_secs(3_600);
/// Files younger than this may belong to a commit that is just being written.
const RETENTION_MIN: Duration = Duration::from_secs(3_600);

/// Does the upkeep of one table, one task at a time.
pub(crate) struct Upkeep {
    /// Deletes files that no version younger than this names.
    vacuum: Option<Duration>,
    vacuum_due_micros: i64,
    /// Version of the last checkpoint that was begun.
    checkpoint: u64,
    task: Option<JoinHandle<DeltaTable>>,
}

struct Work {
    checkpoint: bool,
    cleanup: bool,
    vacuum: Option<Duration>,
}

impl Upkeep {
    /// For a table that was just opened.
    ///
    /// # Errors
    /// A retention that is too short for the table's readers and writers.
    pub(crate) fn new(vacuum: Option<Duration>, table: &Table) -> Result<Upkeep> {
        if let Some(asked) = vacuum {
            let least = table.state()?.table_config().deleted_file_retention_duration().max(RETENTION_MIN);
            if asked < least {
                let place = &table.home.place;
                let (asked, least) = (asked.as_secs(), least.as_secs());
                return Err(Error::invalid(format!(
                    "'vacuum_retention' is {asked} seconds, less than the {least} seconds that the delta table at \
                     {place} keeps removed files"
                ))
                .help("readers may still need them; the table's property is delta.deletedFileRetentionDuration, at least 1 hour"));
            }
        }
        Ok(Upkeep { vacuum, vacuum_due_micros: i64::MIN, checkpoint: table.version(), task: None })
    }

    /// Begins what is due.
    pub(crate) async fn tend(&mut self, table: &mut Table, clock: &dyn Clock) {
        let Ok(state) = table.state() else { return };
        let config = state.table_config();
        let (version, interval) = (table.version(), config.checkpoint_interval().get());
        let now = clock.now_micros();
        let is_due = |after: u64| version / interval > after / interval || (version + 1).is_multiple_of(interval);
        let checkpoint = version > self.checkpoint && is_due(self.checkpoint);
        let vacuum = self.vacuum.filter(|_| now >= self.vacuum_due_micros);
        if !checkpoint && vacuum.is_none() {
            return;
        }
        let is_tenth = (version / interval).is_multiple_of(CHECKPOINTS_A_CLEANUP);
        let cleanup = checkpoint && is_tenth && config.enable_expired_log_cleanup();
        if let Some(task) = self.task.take()
            && let Ok(delta) = task.await
            && delta.version() >= table.delta.version()
        {
            table.delta = delta;
        }
        if checkpoint {
            self.checkpoint = version;
        }
        if vacuum.is_some() {
            self.vacuum_due_micros = now.saturating_add(VACUUM_INTERVAL.as_micros() as i64);
        }
        let (home, delta) = (table.home.clone(), table.delta.clone());
        let work = Work { checkpoint, cleanup, vacuum };
        self.task = Some(tokio::spawn(async move { work.run(&home, delta, version).await }));
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Work {
    async fn run(self, home: &Home, mut delta: DeltaTable, version: u64) -> DeltaTable {
        if let Err(error) = self.on(home, &mut delta, version).await {
            let error = error.chain();
            tracing::warn!(table = home.place, version, error, "the upkeep of the delta table is not done");
        }
        delta
    }

    async fn on(&self, home: &Home, delta: &mut DeltaTable, version: u64) -> Result<()> {
        let failure = |error| failed("read the log of", &home.place, error);
        if delta.version().is_none_or(|loaded| loaded < version) {
            delta.update_incremental(Some(version)).await.map_err(failure)?;
        }
        if self.checkpoint {
            let version = delta.version().unwrap_or(version);
            let failure = |error| failed("make a checkpoint of", &home.place, error);
            create_checkpoint(delta, None).await.map_err(failure)?;
            let prefix = format!("{version:020}.checkpoint");
            home.sync_log(|name| name.starts_with(&prefix) || name == "_last_checkpoint")?;
        }
        if self.cleanup {
            let failure = |error| failed("clean up the log of", &home.place, error);
            cleanup_metadata(delta, None).await.map_err(failure)?;
        }
        if let Some(retention) = self.vacuum {
            vacuum(home, delta, retention).await?;
        }
        Ok(())
    }
}

/// Deletes the files that no version younger than `retention` names, those of killed epochs among them.
/// The library only says which they are: its own commits of a vacuum are not durable on a local disk.
async fn vacuum(home: &Home, delta: &DeltaTable, retention: Duration) -> Result<()> {
    let failure = |error| failed("vacuum", &home.place, error);
    let retention = chrono::Duration::from_std(retention)
        .map_err(|_| Error::invalid(format!("'vacuum_retention' of {} seconds is too long", retention.as_secs())))?;
    let asked = delta.clone().vacuum().with_retention_period(retention).with_mode(VacuumMode::Full);
    let (_, found) = asked.with_dry_run(true).await.map_err(failure)?;
    let log = delta.log_store();
    for file in &found.files_deleted {
        home.delete(&log, file).await?;
    }
    if !found.files_deleted.is_empty() {
        let files = found.files_deleted.len();
        tracing::info!(table = home.place, files, "deleted files that no kept version of the delta table names");
    }
    Ok(())
}
