//! Tries records: all that a query does with them, from decoding on, over operators that hold nothing. What
//! comes out is thrown away, and so is an error: the only question is whether the process lives.

use super::parcel;
use super::pieces::Piece;
use crate::checkpoint::record::PlanRecord;
use crate::dataflow::execute::Workers;
use crate::decode::TableDecoder;
use crate::operator::EpochContext;
use crate::pipeline::query::Query;
use crate::start::build;
use crate::tables::Tables;
use arrow::record_batch::RecordBatch;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::Ordering;
use tidemill_core::{Error, Result};

/// The records of an epoch, and what is needed to run a query over them.
pub struct Trial<'q> {
    query: &'q Query,
    tables: &'q Tables,
    plan: PlanRecord,
    pieces: Vec<Piece>,
    decoders: BTreeMap<String, TableDecoder>,
    workers: Workers,
}

impl<'q> Trial<'q> {
    /// Of the records that `pieces` have.
    ///
    /// # Errors
    /// A query that cannot be built.
    pub fn new(query: &'q Query, tables: &'q Tables, plan: PlanRecord, pieces: Vec<Piece>) -> Result<Self> {
        let decoders = decoders(query, tables)?;
        let workers = Workers::new(query.session.settings.parallelism())?;
        Ok(Trial { query, tables, plan, pieces, decoders, workers })
    }

    /// Of the records in a file that [`parcel::write`] has written.
    ///
    /// # Errors
    /// As [`Trial::new`]; a file that cannot be read.
    pub fn of_parcel(query: &'q Query, tables: &'q Tables, file: &Path) -> Result<Self> {
        let decoders = decoders(query, tables)?;
        let framing = decoders.iter().map(|(table, decoder)| (table.as_str(), decoder.framing)).collect();
        let (plan, pieces) = parcel::read(file, &framing)?;
        let workers = Workers::new(query.session.settings.parallelism())?;
        Ok(Trial { query, tables, plan, pieces, decoders, workers })
    }

    /// Looks up what the records need to be decoded; called before the first attempt.
    ///
    /// # Errors
    /// What is asked does not answer.
    pub async fn prepare(&self) -> Result<()> {
        for (table, decoder) in &self.decoders {
            let of = self.pieces.iter().filter(|piece| piece.table == *table);
            decoder.prepare(&of.map(|piece| piece.chunk.clone()).collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    /// Does everything with some of the records. It comes back, or the process ends.
    pub fn attempt(&self, records: &Range<usize>) {
        if let Err(error) = self.run(records) {
            // the query will meet it again where it is told what to do about it
            tracing::debug!(error = %error.chain(), "a trial failed, and lives");
        }
    }

    fn run(&self, records: &Range<usize>) -> Result<()> {
        self.query.session.clock.store(self.plan.timestamp, Ordering::Relaxed);
        let mut rows: BTreeMap<&str, Vec<RecordBatch>> = BTreeMap::new();
        let mut first = 0;
        for piece in &self.pieces {
            let end = first + piece.count();
            let wanted = records.start.max(first)..records.end.min(end);
            if !wanted.is_empty() {
                let decoder = self.decoders.get(&piece.table);
                let decoder = decoder.ok_or_else(|| Error::bug(format!("nothing reads {}", piece.table)))?;
                let (_, read, _) = decoder.decode(piece.cut(wanted.start - first..wanted.end - first))?;
                rows.entry(&piece.table).or_default().push(read);
            }
            first = end;
        }
        let mut flow = build(self.query, self.tables)?;
        let by_source: Vec<Vec<RecordBatch>> =
            flow.sources.iter().map(|source| rows.remove(source.table.as_str()).unwrap_or_default()).collect();
        for (number, part) in flow.parts.iter_mut().enumerate() {
            let marks = self.plan.watermarks.get(number);
            let micros = |millis: Option<i64>| millis.unwrap_or(0).saturating_mul(1000);
            let context = EpochContext {
                epoch: self.plan.epoch,
                late: micros(marks.map(|marks| marks.late)),
                watermark: micros(marks.map(|marks| marks.current)),
                timestamp: self.plan.timestamp,
                has_data: self.plan.has_data,
            };
            part.run(&by_source, &context, &self.workers)?;
        }
        Ok(())
    }
}

fn decoders(query: &Query, tables: &Tables) -> Result<BTreeMap<String, TableDecoder>> {
    let flow = build(query, tables)?;
    let of = |table: &String| {
        let columns = flow.sources.iter().find(|columns| columns.table == *table);
        columns.ok_or_else(|| Error::bug(format!("nothing reads the table {table}")))
    };
    let sources = query.sources.iter();
    sources.map(|source| Ok((source.name.clone(), TableDecoder::new(source, of(&source.name)?)?))).collect()
}
