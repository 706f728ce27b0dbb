//! What makes epochs durable: the journal is flushed, sources let go of what is behind, the state is put into a snapshot.
//! In an object store a snapshot arrives later; there is one on its way at most.

use crate::checkpoint::ipc;
use crate::checkpoint::record::PlanRecord;
use crate::checkpoint::snapshot::{self, Manifest, Occasion, Written};
use crate::run::Running;
use std::collections::BTreeMap;
use tidemill_core::{Epoch, Result, Step};

/// A snapshot of state in memory is worth its while when this share of it (one in so many bytes) has changed.
const CHANGED_SHARE: u64 = 4;

impl Running {
    /// Begins to write what waits for the journal, at the price of the ballast if need be.
    pub(crate) async fn begin_flush(&mut self) -> Result<()> {
        match self.resumed.journal.begin().await {
            Err(error) if error.is_no_room() && self.disks.throw_ballast() => self.resumed.journal.begin().await,
            begun => begun,
        }
    }

    /// Makes the last commit durable, and lets the sources forget what is behind it.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        self.begin_flush().await?;
        self.resumed.journal.durable().await?;
        self.release().await
    }

    /// The same, when there is something to flush.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        if self.resumed.journal.has_pending() {
            self.flush().await?;
        }
        Ok(())
    }

    /// Lets the sources forget what is behind the last commit, which is durable: it went with a flush, or with the
    /// plan of the epoch that now begins. An epoch that is already being read has moved the sources on; what it
    /// began with is let go then.
    pub(crate) async fn release(&mut self) -> Result<()> {
        if std::mem::take(&mut self.unreleased) {
            for source in &mut self.sources {
                source.release().await?;
            }
        }
        Ok(())
    }

    /// Takes a snapshot when a start would have much to read.
    pub(crate) async fn snapshot_if_due(&mut self, plan: &PlanRecord) -> Result<()> {
        let settings = &self.session.settings;
        let due = self.resumed.journal.wants_snapshot(settings.snapshot_bytes().max(self.snapshot_from));
        if !due || self.is_committed(plan.epoch) || !self.resumed.recorded.is_empty() {
            return Ok(());
        }
        if let Some(remote) = &mut self.checkpoint.remote
            && remote.is_publishing().await?
        {
            return Ok(());
        }
        self.flush().await?;
        let written = self.resumed.journal.bytes_since_snapshot();
        self.snapshot_from = match self.snapshot_if_room(Occasion::Due).await? {
            // state in memory is written whole: the more there is of it, the more must have changed
            true => self.bytes_in_memory() / CHANGED_SHARE,
            // the journal still has everything; it goes on until there is more room
            false => written.saturating_add(self.session.settings.snapshot_bytes()),
        };
        Ok(())
    }

    /// A snapshot of a query that stops, unless nothing has changed or it would take long: state in memory is
    /// written whole. What is on its way to a store arrives before this ends.
    pub(crate) async fn snapshot_at_stop(&mut self) -> Result<()> {
        if let Some(remote) = &mut self.checkpoint.remote {
            remote.published().await?;
        }
        let settings = &self.session.settings;
        if !settings.snapshot_at_stop() || !self.resumed.unsaved || !self.resumed.recorded.is_empty() {
            return Ok(());
        }
        let bytes_max = settings.snapshot_bytes();
        if self.bytes_in_memory() > bytes_max {
            return Ok(());
        }
        self.snapshot_if_room(Occasion::Stop).await?;
        match &mut self.checkpoint.remote {
            Some(remote) => remote.published().await,
            None => Ok(()),
        }
    }

    /// Bytes of state that a snapshot would write; none for state in a store, of which it takes the new files.
    fn bytes_in_memory(&mut self) -> u64 {
        if self.resumed.home.is_some() {
            return 0;
        }
        let steps = self.flow.parts.iter_mut().flat_map(|part| part.keyed()).flat_map(|step| &mut step.partitions);
        steps.map(|partition| partition.state().size().bytes).sum()
    }

    /// Writes a snapshot; false when there is no room for it.
    async fn snapshot_if_room(&mut self, occasion: Occasion) -> Result<bool> {
        self.resumed.journal.confirm().await?;
        let written = match tokio::task::block_in_place(|| self.snapshot(occasion)) {
            Err(error) if error.is_no_room() => {
                tracing::warn!(error = %error.chain(), "no room for a snapshot: put off");
                return Ok(false);
            }
            written => written?,
        };
        let Some(written) = written else { return Ok(true) };
        if let (Occasion::Due, Some(oldest)) = (occasion, written.oldest) {
            let keep_from = self.keep_from(oldest);
            self.resumed.journal.roll().await?;
            self.resumed.journal.forget(keep_from)?;
        }
        if let Some(remote) = &mut self.checkpoint.remote {
            remote.publish(written.path);
        }
        Ok(true)
    }

    /// The first epoch whose records are kept when the oldest kept snapshot is of `oldest`.
    fn keep_from(&self, oldest: Epoch) -> Epoch {
        let committed = self.resumed.next.0.saturating_sub(1);
        oldest.next().min(Epoch(committed.saturating_sub(self.session.settings.epochs_retained())))
    }

    /// Writes the state after the newest epoch; `None` before the first.
    fn snapshot(&mut self, occasion: Occasion) -> Result<Option<Written>> {
        let Some(epoch) = self.resumed.next.0.checked_sub(1).map(Epoch) else { return Ok(None) };
        let mut state = BTreeMap::new();
        let in_memory = self.resumed.home.is_none();
        for step in self.flow.parts.iter_mut().flat_map(|part| part.keyed()).filter(|_| in_memory) {
            let rows =
                step.partitions.iter_mut().map(|partition| partition.state().whole()).collect::<Result<Vec<_>>>()?;
            state.insert(step.name.clone(), ipc::write(&step.partitions[0].shape().schema, &rows)?);
        }
        let snapshots = self.checkpoint.directory.join("snapshots");
        let journal_from = match occasion {
            Occasion::Due => {
                let keep_from = self.keep_from(snapshot::oldest_kept(&snapshots, epoch)?);
                self.resumed.journal.number_of(keep_from)
            }
            Occasion::Stop | Occasion::Rewrite => None,
        };
        let manifest = Manifest {
            epoch,
            offsets: self.sources.iter().map(|source| (source.table.clone(), source.offsets.clone())).collect(),
            watermarks: self.resumed.used_watermarks.clone(),
            next_watermarks: self.flow.parts.iter().map(|part| part.watermark.millis()).collect(),
            sinks: self.sinks_written(),
            files: BTreeMap::new(),
            store: None,
            replayed: self.replays.taken,
            journal_from,
        };
        let written =
            snapshot::write(&snapshots, occasion, manifest, &state, self.resumed.home.as_mut(), &self.faults)?;
        self.resumed.unsaved = false;
        self.faults.at(Step::SnapshotTaken)?;
        Ok(Some(written))
    }
}
