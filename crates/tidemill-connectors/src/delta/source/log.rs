//! A table's log as a stream reads it: version by version, each with the files whose rows are new.

use super::change::{Allowed, new_files};
use super::columns;
use super::scan::DataFile;
use crate::delta::errors::{failed, store_failed};
use crate::delta::home::{Home, LOG};
use arrow::datatypes::SchemaRef;
use deltalake::DeltaTable;
use deltalake::kernel::Action;
use deltalake::logstore::{LogStoreRef, get_actions};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tidemill_core::{Error, Kind, Result};

/// Commits that are read at once when a stream is behind.
const COMMITS_AT_ONCE: u64 = 16;

/// How often a version that is not there is only asked for before the log is listed, to find out whether later ones
/// are.
const MISSES_MAX: u32 = 60;

/// Files of a version whose rows are new.
pub(super) type Files = Arc<Vec<DataFile>>;

/// An open log.
pub(super) struct Log {
    pub home: Home,
    store: LogStoreRef,
    /// The table's id.
    pub id: String,
    /// The table's columns when the stream was opened, at version [`Log::opened_at`].
    pub columns: SchemaRef,
    pub opened_at: u64,
    allowed: Allowed,
    /// Changes of columns are passed over.
    ignores_columns: bool,
    /// Newest version known.
    latest: u64,
    /// Times in a row that the next version was not there.
    misses: u32,
    known: Mutex<Known>,
}

/// What has been read and may be asked for again.
#[derive(Default)]
struct Known {
    commits: BTreeMap<u64, Files>,
    snapshot: Option<(u64, Files)>,
}

impl Log {
    /// The log of a table that is loaded.
    ///
    /// # Errors
    /// A table that this reader does not understand.
    pub fn of(home: Home, table: &DeltaTable, allowed: Allowed, ignores_columns: bool) -> Result<Log> {
        let state = table.snapshot().map_err(|error| failed("read", &home.place, error))?;
        columns::check_readable(state, &home.place)?;
        Ok(Log {
            store: table.log_store(),
            id: state.metadata().id().to_owned(),
            columns: columns::of(state, &home.place)?,
            opened_at: state.version(),
            latest: state.version(),
            allowed,
            ignores_columns,
            misses: 0,
            known: Mutex::default(),
            home,
        })
    }

    /// Looks for newer versions, and gives the newest.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn latest(&mut self) -> Result<u64> {
        let store = self.store.object_store(None);
        loop {
            match store.head(&commit_path(self.latest + 1)).await {
                Ok(_) => self.latest += 1,
                Err(object_store::Error::NotFound { .. }) => return Ok(self.latest),
                Err(error) => return Err(store_failed("read the log of", &self.home.place, error)),
            }
        }
    }

    /// The files of `version`: all that the table held then for one before `log`, the new ones for others; `None` when
    /// the log has no such version.
    ///
    /// # Errors
    /// The log cannot be read; a commit that a stream of new rows cannot tell; other columns.
    pub async fn files(&self, version: u64, log: u64) -> Result<Option<Files>> {
        match version < log {
            true => self.snapshot(version).await.map(Some),
            false => self.changes(version).await,
        }
    }

    /// Forgets what was read of versions before `version`.
    pub fn forget_before(&mut self, version: u64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.commits = known.commits.split_off(&version);
        known.snapshot.take_if(|(of, _)| *of < version);
    }

    /// The first version after a gap that begins with `version`; `None` when the log only ends there.
    ///
    /// # Errors
    /// The log cannot be listed.
    pub async fn after_gap(&mut self, version: u64) -> Result<Option<u64>> {
        self.misses += 1;
        if version > self.latest && !self.misses.is_multiple_of(MISSES_MAX) {
            return Ok(None);
        }
        let versions = self.versions().await?;
        let next = versions.into_iter().map(|(found, _)| found).find(|found| *found >= version);
        self.latest = self.latest.max(next.unwrap_or(0));
        // it may have come since it was asked for
        Ok(next.filter(|next| *next != version))
    }

    /// The versions of which there are commits, in order, each with the time of its file in microseconds.
    ///
    /// # Errors
    /// The log cannot be listed.
    pub async fn versions(&self) -> Result<Vec<(u64, i64)>> {
        let store = self.store.object_store(None);
        let listed: Vec<_> = store
            .list(Some(&Path::from(LOG)))
            .try_collect()
            .await
            .map_err(|error| store_failed("list the log of", &self.home.place, error))?;
        let version = |name: &str| name.strip_suffix(".json").filter(|digits| digits.len() == 20)?.parse().ok();
        let of = |object: &object_store::ObjectMeta| {
            Some((version(object.location.filename()?)?, object.last_modified.timestamp_micros()))
        };
        let mut versions: Vec<(u64, i64)> = listed.iter().filter_map(of).collect();
        versions.sort_unstable();
        Ok(versions)
    }

    /// All files of the table in `version`, the oldest first, as Delta's own source orders them.
    async fn snapshot(&self, version: u64) -> Result<Files> {
        if let Some((_, files)) = self.known().snapshot.as_ref().filter(|(of, _)| *of == version) {
            return Ok(files.clone());
        }
        let table = self.at(version).await?;
        let state = table.snapshot().map_err(|error| failed("read", &self.home.place, error))?;
        columns::check_readable(state, &self.home.place)?;
        let data = state.log_data();
        // the replacement that the library names (its own Arrow columns) holds no vectors
        #[allow(deprecated, reason = "the one way to get a whole add action")]
        let mut adds: Vec<_> = data.iter().map(|file| file.add_action()).collect();
        adds.sort_by(|a, b| (a.modification_time, &a.path).cmp(&(b.modification_time, &b.path)));
        let files: Files = Arc::new(adds.iter().map(DataFile::of).collect());
        self.known().snapshot = Some((version, files.clone()));
        Ok(files)
    }

    /// The table as it was.
    async fn at(&self, version: u64) -> Result<DeltaTable> {
        let mut table = self.home.table()?;
        table.load_version(version).await.map_err(|error| {
            let error = failed(&format!("read version {version} of"), &self.home.place, error);
            if error.kind() != Kind::Invalid {
                return error;
            }
            let place = &self.home.place;
            Error::new(Kind::Data, format!("version {version} of the delta table at {place} is gone from its log"))
                .help(
                    "keep the log for as long as a stream may be behind (delta.logRetentionDuration); start \
                       with a new checkpoint",
                )
                .caused_by(error)
        })?;
        Ok(table)
    }

    /// The new files of `version`; `None` when there is no such commit.
    async fn changes(&self, version: u64) -> Result<Option<Files>> {
        if let Some(files) = self.known().commits.get(&version) {
            return Ok(Some(files.clone()));
        }
        let last = self.latest.min(version + COMMITS_AT_ONCE - 1).max(version);
        let mut reads = futures::stream::iter(version..=last)
            .map(|version| async move { Ok::<_, Error>((version, self.commit(version).await?)) })
            .buffered(COMMITS_AT_ONCE as usize);
        let mut found = None;
        // what stops at a later version stops when that one's turn has come
        while let Some(Ok((read, Some(files)))) = match reads.next().await {
            Some(Err(error)) if found.is_none() => return Err(error),
            next => next,
        } {
            if read == version {
                found = Some(files.clone());
            }
            self.known().commits.insert(read, files);
        }
        Ok(found)
    }

    async fn commit(&self, version: u64) -> Result<Option<Files>> {
        let failure = |error| failed(&format!("read version {version} of the log of"), &self.home.place, error);
        let Some(content) = self.store.read_commit_entry(version).await.map_err(failure)? else { return Ok(None) };
        let actions = get_actions(version, &content).map_err(failure)?;
        let is_changed = actions.iter().any(|action| matches!(action, Action::Metadata(_) | Action::Protocol(_)));
        if is_changed && version > self.opened_at {
            self.check_change(version).await?;
        }
        new_files(version, actions, self.allowed, &self.home.place).map(|files| Some(Arc::new(files)))
    }

    /// The table has other columns or properties from `version` on.
    async fn check_change(&self, version: u64) -> Result<()> {
        let (table, place) = (self.at(version).await?, &self.home.place);
        let state = table.snapshot().map_err(|error| failed("read", place, error))?;
        columns::check_readable(state, place)?;
        let changes = columns::changes(&self.columns, columns::of(state, place)?.as_ref()).join(", ");
        if changes.is_empty() {
            return Ok(());
        }
        if self.ignores_columns {
            tracing::warn!(
                table = place,
                version,
                changes,
                "the table's columns have changed, reading on with the old ones"
            );
            return Ok(());
        }
        Err(Error::new(
            Kind::Data,
            format!(
                "version {version} of the delta table at {place} has other columns: \
                                            {changes}"
            ),
        )
        .class("DELTA_SCHEMA_CHANGED_WITH_VERSION")
        .help(
            "start the query again to read on with the columns as they are now, or set evolve = 'ignore' to \
                   read on with those it began with",
        ))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store of the table's files.
    pub fn files_store(&self) -> Arc<dyn object_store::ObjectStore> {
        self.store.object_store(None)
    }
}

fn commit_path(version: u64) -> Path {
    Path::from(format!("{LOG}/{version:020}.json"))
}
