//! The epoch loop. One epoch: plan, log, read, state, sink, commit. Everything else in the engine is
//! called from here.

use crate::checkpoint::ipc;
use crate::checkpoint::record::{CommitRecord, PlanRecord, PlannedWatermark, Record};
use crate::dataflow::Dataflow;
use crate::dataflow::execute::{PartResult, Workers};
use crate::dataflow::lower::{self, LowerOptions};
use crate::dead_letter::crash::attempts::Attempts;
use crate::dead_letter::rate::Rate;
use crate::dead_letter::replay::Replays;
use crate::dead_letter::screen::Screen;
use crate::dead_letter::unplaced::LateRows;
use crate::deliver::{Delivered, Delivery};
use crate::faults::QueryFaults;
use crate::ingest::{Ingest, Read};
use crate::operator::EpochContext;
use crate::operator::watermark::EventTimes;
use crate::pipeline::plan::Attribute;
use crate::pipeline::query::Query;
use crate::recover::{Checkpoint, Resumed};
use crate::report::{Done, Measured, Reporter};
use crate::resilience::disk::Disks;
use crate::resilience::pressure::Pressure;
use crate::start::Signals;
use crate::state::home::StateHome;
use crate::state::limits::StateLimits;
use crate::tables::Tables;
use crate::turn::{Turn, Turns};
use crate::{dead_letter, pipeline::analysis::Session};
use arrow::record_batch::RecordBatch;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidemill_core::source::Ask;
use tidemill_core::{Clock, Epoch, Error, Kind, Offsets, Result, SplitRange, Step};

/// A query that runs.
pub struct Running {
    /// What it was built from.
    pub(crate) query: Query,
    pub(crate) name: String,
    pub(crate) session: Arc<Session>,
    pub(crate) sources: Vec<Ingest>,
    /// The tables beside the stream.
    pub(crate) tables: Tables,
    pub(crate) flow: Dataflow,
    /// The sinks of the outputs, in their order, then that of the dead letters if there is one.
    pub(crate) sinks: Vec<Delivery>,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) resumed: Resumed,
    pub(crate) workers: Workers,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) turns: Turns,
    pub(crate) signals: Arc<Signals>,
    pub(crate) faults: QueryFaults,
    pub(crate) reporter: Reporter,
    pub(crate) rate: Rate,
    pub(crate) replays: Replays,
    pub(crate) attempts: Attempts,
    pub(crate) disks: Disks,
    pub(crate) pressure: Pressure,
    /// Bytes of journal before which no snapshot is made, whatever the setting says.
    pub(crate) snapshot_from: u64,
    /// The outputs after those with sinks: late rows that become dead letters.
    pub(crate) late: Vec<LateRows>,
    pub(crate) limits: StateLimits,
    /// True when there is a commit that the sources have not been told of.
    pub(crate) unreleased: bool,
}

/// What an epoch has computed.
pub(crate) struct Computed {
    pub(crate) parts: Vec<PartResult>,
    /// Dead letters.
    pub(crate) letters: Vec<RecordBatch>,
    event_times: Vec<Option<EventTimes>>,
}

impl Running {
    /// Runs epochs until the query is stopped, has done all it was asked to, or fails.
    ///
    /// # Errors
    /// What made it fail. What was committed stays.
    pub async fn run(&mut self) -> Result<()> {
        let outcome = self.epochs().await;
        if outcome.is_err() {
            // whoever fails and says so has not died
            self.attempts.failed(self.resumed.next);
        }
        outcome
    }

    async fn epochs(&mut self) -> Result<()> {
        self.turns.stamp(self.resumed.instant);
        while let Some((mut plan, mut measured)) = self.next_plan().await? {
            self.spare_memory(plan.epoch).await?;
            self.turns.stamp(plan.timestamp);
            self.reporter.begin();
            self.faults.at(Step::Planned)?;
            self.log(&plan, &mut measured).await?;
            self.refresh(&plan).await?;
            let mut reads = self.read(&plan, &mut measured).await?;
            self.spare_memory(plan.epoch).await?;
            self.set_aside(&plan, &mut reads).await?;
            self.faults.at(Step::Executing)?;
            let mut computed = self.compute(&plan, &reads, &mut measured)?;
            self.faults.at(Step::StatePut)?;
            let stored = self.resumed.home.as_ref().map(StateHome::disk_bytes);
            self.limits.check(computed.parts.iter().flat_map(|part| &part.operators), stored)?;
            self.ours().await?;
            let delivered = self.deliver(&mut plan, &mut computed, &mut measured).await?;
            self.commit(&plan, &mut measured)?;
            self.pressure.ran(self.clock.elapsed(), &reads, measured.took());
            self.report(&plan, &reads, &computed, delivered, measured);
            self.snapshot_if_due(&plan).await?;
        }
        self.settle().await?;
        for sink in &mut self.sinks {
            sink.finish().await?;
        }
        self.snapshot_at_stop().await
    }

    /// The next epoch: one that the log holds, new rows, or a watermark that has moved. Waits for one;
    /// `None` when there will be none.
    async fn next_plan(&mut self) -> Result<Option<(PlanRecord, Measured)>> {
        self.rescale_if_asked()?;
        if !self.resumed.recorded.is_empty() && !self.find_room().await? {
            return Ok(None);
        }
        if let Some(recorded) = self.resumed.recorded.pop_front() {
            return Ok(Some((recorded, Measured::start(&*self.clock))));
        }
        loop {
            if self.signals.stop_asked() || !self.find_room().await? {
                return Ok(None);
            }
            self.rescale_if_asked()?;
            let asked = self.signals.drain_asked();
            match self.turns.now(&*self.clock, asked) {
                Turn::Go => {}
                Turn::Over => return Ok(None),
                Turn::Wait(time) => {
                    self.flush().await?;
                    self.signals.sleep(time).await;
                    continue;
                }
            }
            let mut measured = Measured::start(&*self.clock);
            let ranges = self.new_ranges().await?;
            let now = self.turns.instant(&*self.clock);
            self.flow.parts.iter_mut().for_each(|part| part.watermark.settle(now));
            let has_data = ranges.values().any(|ranges| !ranges.is_empty());
            let replay = self.replays.waiting()?;
            if has_data || replay.is_some() || self.no_data_due() {
                measured.planned(&*self.clock);
                let tables = self.tables.newest().await?;
                let plan = self.plan(ranges, tables, has_data || replay.is_some());
                return Ok(Some((PlanRecord { replay, ..plan }, measured)));
            }
            self.settle().await?;
            if let Some(wait) = self.pressure.held() {
                self.signals.rest(wait).await;
                continue;
            }
            if self.turns.nothing_new(&*self.clock) {
                return Ok(None);
            }
            self.signals.drained(asked);
            self.reporter.idle();
            self.wait().await;
        }
    }

    async fn new_ranges(&mut self) -> Result<BTreeMap<String, Vec<SplitRange>>> {
        let (mut ranges, now) = (BTreeMap::new(), self.clock.elapsed());
        let limited = self.turns.is_rate_limited();
        let bytes_max = if limited { self.pressure.epoch_bytes(now) } else { u64::MAX };
        for source in &mut self.sources {
            source.look(now).await;
            if self.turns.is_bounded() && !self.turns.has_bound(&source.table) {
                let bound = source.bound().await?;
                self.turns.set_bound(&source.table, bound);
            }
            let allowed = if limited { self.pressure.allow(&source.table, now, bytes_max) } else { Some(bytes_max) };
            let Some(bytes_max) = allowed else { continue };
            let ask = Ask { until: self.turns.bound(&source.table), rate_limited: limited, bytes_max };
            let mut planned = source.plan(&ask).await?;
            if limited && !self.turns.is_bounded() {
                planned = self.pressure.worth(&source.table, now, planned);
            }
            ranges.insert(source.table.clone(), planned);
        }
        Ok(ranges)
    }

    /// True when an epoch without rows would bring something out: the watermark is higher than the one
    /// the last epoch of this run used, and an operator waits for that.
    fn no_data_due(&self) -> bool {
        let rose = |(part, used): (&crate::dataflow::Part, &i64)| part.no_data_due(*used, part.watermark.millis());
        self.session.settings.no_data_epochs()
            && self.turns.allows_no_data()
            && (self.flow.parts.iter().zip(&self.resumed.used_watermarks).any(rose)
                || self.flow.alarm().is_some_and(|alarm| alarm <= self.turns.instant(&*self.clock)))
    }

    fn plan(
        &mut self,
        ranges: BTreeMap<String, Vec<SplitRange>>,
        tables: BTreeMap<String, Offsets>,
        has_data: bool,
    ) -> PlanRecord {
        let watermarks = self.flow.parts.iter().zip(&self.resumed.used_watermarks);
        let watermarks =
            watermarks.map(|(part, used)| PlannedWatermark { late: *used, current: part.watermark.millis() });
        let ranges = ranges.into_iter().filter(|(_, ranges)| !ranges.is_empty()).collect();
        PlanRecord {
            epoch: self.resumed.next,
            timestamp: self.turns.instant(&*self.clock),
            ranges,
            has_data,
            watermarks: watermarks.collect(),
            tables,
            replay: None,
            crashed: vec![],
            refused: vec![],
        }
    }

    /// Step 2. From here the epoch is deterministic. The commit of the epoch before goes with it. An object store
    /// takes its time: steps 3 and 4 go on meanwhile, [`Running::ours`] waits for it.
    async fn log(&mut self, plan: &PlanRecord, measured: &mut Measured) -> Result<()> {
        if !self.is_logged(plan.epoch) {
            self.resumed.journal.add(&Record::Plan(plan.clone()))?;
            self.begin_flush().await?;
        }
        measured.logged(&*self.clock);
        if !self.resumed.journal.is_in_flight() {
            self.faults.at(Step::PlanLogged)?;
            self.release().await?;
        }
        Ok(())
    }

    /// Before step 5: the plan is durable, and the checkpoint still ours.
    async fn ours(&mut self) -> Result<()> {
        if self.resumed.journal.is_in_flight() {
            self.resumed.journal.durable().await?;
            self.faults.at(Step::PlanLogged)?;
            self.release().await?;
        }
        self.resumed.journal.confirm().await
    }

    /// True for an epoch that was committed before this run and is run again for a sink that lost it.
    pub(crate) fn is_committed(&self, epoch: Epoch) -> bool {
        self.resumed.committed.is_some_and(|committed| epoch <= committed)
    }

    fn is_logged(&self, epoch: Epoch) -> bool {
        self.is_committed(epoch)
    }

    /// Brings the joins with tables to what the epoch is to see of them.
    async fn refresh(&mut self, plan: &PlanRecord) -> Result<()> {
        let changed = self.tables.bring_to(&plan.tables).await?;
        let tables = &self.tables;
        let rows_of = |name: &str, columns: &[usize], attributes: &[Attribute]| tables.rows(name, columns, attributes);
        self.flow.refreshes.iter().filter(|refresh| !refresh.reads.is_disjoint(&changed)).try_for_each(|refresh| {
            let rows = lower::all_rows(&refresh.plan, &LowerOptions::of_tables(&rows_of))?;
            refresh.join.replace(rows)
        })
    }

    /// Step 3.
    async fn read(&mut self, plan: &PlanRecord, measured: &mut Measured) -> Result<Vec<(String, Read)>> {
        let mut reads = Vec::with_capacity(self.sources.len());
        for source in &mut self.sources {
            let ranges = plan.ranges.get(&source.table).map_or(&[][..], Vec::as_slice);
            let chunks = source.fetch(ranges).await?;
            let read = tokio::task::block_in_place(|| source.decode_but(&plan.crashed, chunks, &self.workers))?;
            source.advance(ranges);
            reads.push((source.table.clone(), read));
        }
        if let Some(number) = plan.replay {
            for (table, chunks) in self.replays.chunks(number)? {
                let source = self.sources.iter().find(|source| source.table == table);
                let source = source.ok_or_else(|| not_read(&table, number))?;
                source.decoder.prepare(&chunks).await?;
                let read = tokio::task::block_in_place(|| source.replay(number, &plan.crashed, chunks, &self.workers))?;
                reads.push((table, read));
            }
            self.replays.taken = number;
        }
        measured.read(&*self.clock);
        Ok(reads)
    }

    /// Takes the records out that would fail the query, when it asks for that; stops when there are too
    /// many bad ones.
    async fn set_aside(&mut self, plan: &PlanRecord, reads: &mut [(String, Read)]) -> Result<()> {
        if self.session.settings.sets_aside() {
            let screen = Screen::new(&self.flow.parts);
            for (number, wanted) in self.flow.sources.iter().enumerate() {
                let ranges = plan.ranges.get(&wanted.table).map_or(&[][..], Vec::as_slice);
                let Some(source) = self.sources.iter().find(|source| source.table == wanted.table) else { continue };
                for (_, read) in reads.iter_mut().filter(|(table, _)| *table == wanted.table) {
                    let bad = tokio::task::block_in_place(|| screen.bad(number, &read.rows, &self.workers))?;
                    source.set_aside(read, &bad, ranges).await?;
                }
            }
        }
        let records: u64 = reads.iter().map(|(_, read)| read.row_count() + read.letters.len() as u64).sum();
        let bad: u64 = reads.iter().map(|(_, read)| read.letters.len() as u64).sum();
        self.rate.take(plan.timestamp, records, bad)
    }

    /// Step 4.
    fn compute(&mut self, plan: &PlanRecord, reads: &[(String, Read)], measured: &mut Measured) -> Result<Computed> {
        self.session.clock.store(plan.timestamp, Ordering::Relaxed);
        let rows: Vec<Vec<RecordBatch>> = reads.iter().map(|(_, read)| read.rows.clone()).collect();
        let by_source: Vec<Vec<RecordBatch>> = self
            .flow
            .sources
            .iter()
            .map(|wanted| {
                let of = reads.iter().zip(&rows).filter(|((table, _), _)| *table == wanted.table);
                of.flat_map(|(_, rows)| rows.iter().cloned()).collect()
            })
            .collect();
        let mut parts = Vec::with_capacity(self.flow.parts.len());
        let mut event_times = Vec::with_capacity(self.flow.parts.len());
        for (part, watermark) in self.flow.parts.iter_mut().zip(&plan.watermarks) {
            let context = EpochContext {
                epoch: plan.epoch,
                late: watermark.late.saturating_mul(1000),
                watermark: watermark.current.saturating_mul(1000),
                timestamp: plan.timestamp,
                has_data: plan.has_data,
            };
            part.watermark.begin(plan.timestamp);
            parts.push(tokio::task::block_in_place(|| part.run(&by_source, &context, &self.workers))?);
            event_times.push(part.watermark.advance(plan.timestamp));
        }
        self.resumed.used_watermarks = plan.watermarks.iter().map(|watermark| watermark.current).collect();
        let unplaced = self.unplaced(plan, &mut parts)?;
        let of_records = reads.iter().flat_map(|(table, read)| read.letters.iter().map(move |letter| (table, letter)));
        let letters = of_records.chain(unplaced.iter().map(|(table, letter)| (table, letter)));
        let letters = letters.map(|(table, letter)| (table.as_str(), letter));
        let letters = dead_letter::rows(&self.name, plan.epoch, plan.timestamp, letters)?.into_iter().collect();
        measured.computed(&*self.clock);
        Ok(Computed { parts, letters, event_times })
    }

    /// Step 6. Changes of state and the commit are written with the next plan, or when nothing comes.
    fn commit(&mut self, plan: &PlanRecord, measured: &mut Measured) -> Result<()> {
        let mut journal_bytes = 0;
        let is_committed = self.is_committed(plan.epoch);
        for step in self.flow.parts.iter_mut().flat_map(|part| part.keyed()) {
            let mut changed = Vec::new();
            for partition in &mut step.partitions {
                changed.extend(partition.state().changes()?);
            }
            if !changed.is_empty() && !is_committed {
                let rows = ipc::write(&step.partitions[0].shape().schema, &changed)?;
                journal_bytes += rows.len() as u64;
                self.resumed.journal.add(&Record::Changes { epoch: plan.epoch, operator: step.name.clone(), rows })?;
            }
        }
        if !is_committed {
            self.resumed.journal.add(&Record::Commit(CommitRecord {
                epoch: plan.epoch,
                next_watermarks: self.flow.parts.iter().map(|part| part.watermark.millis()).collect(),
                sinks: self.sinks_written(),
            }))?;
        }
        self.resumed.unsaved |= !is_committed;
        self.unreleased |= !is_committed;
        self.sources.iter_mut().for_each(Ingest::commit);
        self.resumed.next = plan.epoch.next();
        self.turns.ran(&*self.clock);
        measured.committed(&*self.clock, journal_bytes);
        Ok(())
    }

    pub(crate) fn sinks_written(&self) -> BTreeMap<String, Epoch> {
        self.sinks.iter().filter_map(|sink| Some((sink.table.clone(), sink.last?))).collect()
    }

    fn report(
        &mut self,
        plan: &PlanRecord,
        reads: &[(String, Read)],
        computed: &Computed,
        delivered: Vec<Delivered>,
        measured: Measured,
    ) {
        // parts that are gone declare none
        let mut declared =
            self.flow.parts.iter().zip(&plan.watermarks).filter(|(part, _)| part.watermark.is_declared());
        let watermark = declared.next().map(|(part, used)| (used.current, part.watermark.millis()));
        self.reporter.epoch(&Done {
            plan,
            reads,
            sources: &self.sources,
            operators: computed.parts.iter().flat_map(|part| &part.operators).collect(),
            delivered: &delivered,
            outputs: self.flow.outputs,
            event_times: computed.event_times.iter().copied().flatten().next(),
            watermark,
            letters: computed.letters.iter().map(|letters| letters.num_rows() as u64).sum(),
            visible: self.clock.now_micros(),
            measured,
        });
    }

    /// Time until a table that brings nothing no longer holds a watermark back.
    fn time_to_idle(&self) -> Option<Duration> {
        let now = self.turns.instant(&*self.clock);
        let next = self.flow.parts.iter().filter_map(|part| part.watermark.next_idle(now)).min()?;
        Some(Duration::from_micros(u64::try_from(next - now).unwrap_or(0)))
    }

    /// How long until an operator wants an epoch without rows.
    fn time_to_alarm(&self) -> Option<Duration> {
        let alarm = self.flow.alarm().filter(|_| self.session.settings.no_data_epochs())?;
        // an epoch's instant is in milliseconds for timers
        let left = alarm.saturating_sub(self.turns.instant(&*self.clock)).saturating_add(1000);
        Some(Duration::from_micros(u64::try_from(left).unwrap_or(0)))
    }

    async fn wait(&mut self) {
        let longest = [self.time_to_idle(), self.time_to_alarm()].into_iter().flatten().min();
        let longest = longest.unwrap_or(Duration::from_secs(3600));
        let waits = self.sources.iter_mut().map(|source| Box::pin(source.wait()));
        let waits: Vec<_> = waits.collect();
        if waits.is_empty() {
            self.signals.sleep(longest).await;
            return;
        }
        tokio::select! {
            _ = futures::future::select_all(waits) => {}
            () = self.signals.sleep(longest) => {}
            () = self.replays.arrival() => {}
        }
    }
}

/// A replay of records of a table that the query no longer reads.
fn not_read(table: &str, number: u64) -> Error {
    Error::new(
        Kind::Invalid,
        format!("replay {number} has records of the table '{table}', which the query does not read"),
    )
    .help("replay them with the pipeline that set them aside")
}

/// Plans that are waiting to be run again.
pub type Recorded = VecDeque<PlanRecord>;

/// Offsets by source table.
pub type SourceOffsets = BTreeMap<String, Offsets>;
