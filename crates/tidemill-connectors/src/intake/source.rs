//! A topic that one listener of this process fills, as a source.

use super::options::Keeping;
use super::queue::Intake;
use super::writer::{self, Keeper};
use crate::log::LogWriter;
use crate::log::source::{LogSource, Reading, Rows};
use crate::topics::split;
use crate::topics::starting::{Start, Starting};
use async_trait::async_trait;
use std::sync::Arc;
use tidemill_core::source::{Ask, Chunk, Source, SourceRequest};
use tidemill_core::{Clock, Offsets, Result, SplitRange};
use tokio::task::JoinHandle;

/// The source; its listener ends with it.
pub(crate) struct PushedSource {
    log: LogSource,
    intake: Intake,
    topic: String,
    partitions: u32,
    listener: JoinHandle<()>,
}

/// A topic that is open, before anybody listens.
pub(crate) struct Opened {
    log: LogSource,
    /// Where a listener hands in.
    pub(crate) intake: Intake,
    topic: String,
    partitions: u32,
}

/// Opens the topic for appending. A predecessor in this process may hold it for a moment longer.
///
/// # Errors
/// Another process has it, or it is damaged.
pub(crate) async fn open_log(keeping: &Keeping, clock: &dyn Clock) -> Result<LogWriter> {
    writer::open(keeping, clock).await
}

/// Opens the topic for reading too, at the positions of the checkpoint.
///
/// # Errors
/// It is damaged, or does not hold the positions.
pub(crate) fn open(
    log: LogWriter,
    keeping: &Keeping,
    request: &SourceRequest,
    rows: Option<Rows>,
    clock: Arc<dyn Clock>,
) -> Result<Opened> {
    let (partitions, ends) = (log.partitions(), log.ends().to_vec());
    let reading = Reading {
        table: request.table.clone(),
        root: keeping.root.clone(),
        topics: vec![keeping.topic.clone()],
        starting: Starting::All(Start::Earliest),
        records_max: request.options.integer("max_offsets_per_trigger"),
        fail_on_data_loss: request.options.boolean("fail_on_data_loss"),
        reader: request.table.clone(),
        rows,
    };
    let source = LogSource::open(reading, &request.resume_from)?;
    let committed = positions(&keeping.topic, partitions, &request.resume_from);
    let open = source.backlog_bytes(&request.resume_from)?;
    let (intake, queue) = Intake::new(keeping, committed, &ends, open);
    let keeper = Keeper::new(log, keeping, clock, intake.shared.clone())?;
    tokio::spawn(keeper.run(queue));
    Ok(Opened { log: source, intake, topic: keeping.topic.clone(), partitions })
}

impl Opened {
    /// The source, with the task of its listener.
    pub(crate) fn with(self, listener: JoinHandle<()>) -> PushedSource {
        let Opened { log, intake, topic, partitions } = self;
        PushedSource { log, intake, topic, partitions, listener }
    }
}

fn positions(topic: &str, partitions: u32, offsets: &Offsets) -> Vec<u64> {
    (0..partitions).map(|partition| offsets.get(&split(topic, partition)).unwrap_or(0)).collect()
}

#[async_trait]
impl Source for PushedSource {
    async fn latest(&mut self) -> Result<Offsets> {
        self.log.latest().await
    }

    async fn plan(&mut self, from: &Offsets, ask: &Ask) -> Result<Vec<SplitRange>> {
        self.intake.check()?;
        self.log.plan(from, ask).await
    }

    async fn read(&self, range: &SplitRange) -> Result<Vec<Chunk>> {
        self.log.read(range).await
    }

    async fn wait(&mut self) {
        tokio::select! {
            () = self.log.wait() => {}
            () = self.intake.failed() => {}
        }
    }

    async fn release(&mut self, offsets: &Offsets) -> Result<()> {
        self.log.release(offsets).await?;
        self.intake.shared.commit(positions(&self.topic, self.partitions, offsets));
        Ok(())
    }
}

impl Drop for PushedSource {
    fn drop(&mut self) {
        self.listener.abort();
    }
}
