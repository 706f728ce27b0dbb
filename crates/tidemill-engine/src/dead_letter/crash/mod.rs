//! A record that ends the process: no error tells of it, so it is found by what it does. After two deaths in
//! a row in one epoch ([`attempts`]) the next start tries the epoch's records ([`trial`]), half of them at a
//! time ([`search`]), in a process of their own where the program can start one ([`Isolation`], fed by
//! [`parcel`]), else in its own, which then dies a few times more. What is found is written into the epoch's
//! plan and left out of it from then on ([`pieces`]): run again, the epoch leaves out the same records.
//!
//! Reading, and what a sink does with rows, is not tried: a death there is not of a record.

pub mod attempts;
pub mod parcel;
pub mod pieces;
pub mod search;
pub mod trial;

use crate::checkpoint::record::{CrashedRecord, PlanRecord};
use crate::dead_letter::replay::Replays;
use crate::ingest::Ingest;
use crate::pipeline::query::Query;
use crate::recover::Resumed;
use crate::tables::Tables;
use async_trait::async_trait;
use attempts::Attempts;
use pieces::Piece;
use search::Search;
use std::ops::Range;
use std::path::Path;
use tidemill_core::{Error, Kind, Place, Result};
use trial::Trial;

/// More records than this of one epoch are no poison: something else is wrong.
const FOUND_MAX: usize = 100;

/// Where records can be tried, and the death of the process is no loss.
#[async_trait]
pub trait Isolation: Send + Sync {
    /// Tries ranges of the records in `parcel` one after the other, until all are tried or the process dies.
    ///
    /// # Errors
    /// Nothing can be tried there.
    async fn attempt(&self, query: &str, parcel: &Path, ranges: &[Range<usize>]) -> Result<Tried>;
}

/// What became of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// So many ranges, from the first on, did no harm.
    pub passed: usize,
    /// How the process ended in the next one, if it has.
    pub died: Option<String>,
}

/// What a search is about.
pub struct Suspects<'s> {
    /// The query.
    pub query: &'s Query,
    /// Its tables beside the stream.
    pub tables: &'s Tables,
    /// Its sources, open.
    pub sources: &'s [Ingest],
    /// Directory of the checkpoint.
    pub checkpoint: &'s Path,
    /// Where to try records; `None` for this process.
    pub isolation: Option<&'s dyn Isolation>,
}

impl Suspects<'_> {
    /// Notes that the epoch which is planned and not committed will be run; finds the records of it that end
    /// the process, when it has ended too often, and names them in its plan.
    ///
    /// # Errors
    /// The disk; records that cannot be read; too many that end the process.
    pub async fn examine(&self, resumed: &mut Resumed) -> Result<Attempts> {
        let committed = resumed.committed;
        let is_open = |plan: &&mut PlanRecord| committed.is_none_or(|committed| plan.epoch > committed);
        let open = resumed.recorded.iter_mut().find(is_open);
        let mut attempts = Attempts::read(self.checkpoint);
        let suspicious = attempts.start(open.as_ref().map(|plan| plan.epoch))?;
        let Some(plan) = open.filter(|_| suspicious) else { return Ok(attempts) };
        let pieces = self.pieces(plan).await?;
        let records = pieces.iter().map(Piece::count).sum();
        tracing::warn!(
            epoch = plan.epoch.0,
            records,
            "the process has died twice in this epoch: its records are tried"
        );
        let search = attempts.search(records);
        let found = match self.isolation {
            Some(isolation) => self.search_apart(isolation, plan, &pieces, search).await?,
            None => self.search_here(&mut attempts, plan, &pieces, search).await?,
        };
        let named = found.iter().map(|(record, how)| self.named(&pieces, *record, how)).collect::<Result<Vec<_>>>()?;
        match named.len() {
            0 => tracing::warn!(epoch = plan.epoch.0, "no record ends the process: the epoch is run once more"),
            count => tracing::warn!(epoch = plan.epoch.0, count, "records that end the process are set aside"),
        }
        plan.crashed.extend(named);
        attempts.searched(plan.epoch)?;
        Ok(attempts)
    }

    /// The records of an epoch, without those that are known already.
    async fn pieces(&self, plan: &PlanRecord) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut add = |source: &Ingest, replay: u64, chunks| {
            let framing = source.decoder.framing;
            let (chunks, _) = pieces::without(&plan.crashed, &source.table, replay, framing, chunks);
            pieces.extend(chunks.into_iter().map(|chunk| Piece::new(&source.table, replay, framing, chunk)));
        };
        for source in self.sources {
            let ranges = plan.ranges.get(&source.table).map_or(&[][..], Vec::as_slice);
            add(source, 0, source.fetch(ranges).await?);
        }
        if let Some(number) = plan.replay {
            for (table, chunks) in Replays::new(self.checkpoint, 0).chunks(number)? {
                // a table that is not read any more is refused when the epoch is run
                self.sources
                    .iter()
                    .filter(|source| source.table == table)
                    .for_each(|of| add(of, number, chunks.clone()));
            }
        }
        Ok(pieces)
    }

    /// Searches in processes of their own. Where none can be started, nothing is found and the epoch is run.
    async fn search_apart(
        &self,
        isolation: &dyn Isolation,
        plan: &PlanRecord,
        pieces: &[Piece],
        mut search: Search,
    ) -> Result<Vec<(usize, String)>> {
        let parcel = self.checkpoint.join("trial.parcel");
        parcel::write(&parcel, plan, pieces)?;
        let mut outcome = Ok(());
        while outcome.is_ok() && !search.to_try().is_empty() && search.found.len() <= FOUND_MAX {
            match isolation.attempt(&self.query.name, &parcel, &search.to_try()).await {
                Ok(tried) => {
                    (0..tried.passed).for_each(|_| search.passed());
                    tried.died.iter().for_each(|how| search.died(how));
                }
                Err(error) => outcome = Err(error),
            }
        }
        let removed = std::fs::remove_file(&parcel);
        removed.map_err(|error| Error::io(format!("cannot remove {}", parcel.display()), error))?;
        match outcome {
            Ok(()) => self.bounded(plan, search),
            Err(error) => {
                tracing::warn!(error = %error.chain(), "records cannot be tried apart");
                Ok(vec![])
            }
        }
    }

    /// Searches in this process, which ends at every record that ends it; the next start goes on.
    async fn search_here(
        &self,
        attempts: &mut Attempts,
        plan: &PlanRecord,
        pieces: &[Piece],
        mut search: Search,
    ) -> Result<Vec<(usize, String)>> {
        let again = |piece: &Piece| {
            let framing = self.sources.iter().find(|source| source.table == piece.table);
            let framing = framing.and_then(|source| source.decoder.framing);
            Piece::new(&piece.table, piece.replay, framing, piece.chunk.clone())
        };
        let trial = Trial::new(self.query, self.tables, plan.clone(), pieces.iter().map(again).collect())?;
        trial.prepare().await?;
        while let Some(range) = search.to_try().first().filter(|_| search.found.len() <= FOUND_MAX) {
            attempts.trying(plan.epoch, &search)?;
            tokio::task::block_in_place(|| trial.attempt(range));
            search.passed();
        }
        self.bounded(plan, search)
    }

    fn bounded(&self, plan: &PlanRecord, search: Search) -> Result<Vec<(usize, String)>> {
        if search.found.len() <= FOUND_MAX {
            return Ok(search.found);
        }
        Err(Error::new(
            Kind::Data,
            format!(
                "more than {FOUND_MAX} records of epoch {} end the process of query {}",
                plan.epoch, self.query.name
            ),
        )
        .help("this is no single bad record: look for a function or a library that ends the process"))
    }

    /// The record of a number, as the plan names it.
    fn named(&self, pieces: &[Piece], record: usize, how: &str) -> Result<CrashedRecord> {
        let mut first = 0;
        for piece in pieces {
            if record - first >= piece.count() {
                first += piece.count();
                continue;
            }
            let (split, offset) = (piece.chunk.split.clone(), piece.position(record - first));
            let source = self.sources.iter().find(|source| source.table == piece.table);
            if piece.is_whole_file(source.and_then(|source| source.decoder.framing)) {
                let place = Place::Record { source: piece.table.clone(), partition: split.to_string(), offset };
                return Err(Error::new(Kind::Data, format!("the process ends ({how}) whenever this file is read"))
                    .at(place)
                    .help(
                        "its format is read whole, so the record cannot be set aside: take the file away or mend it",
                    ));
            }
            let (table, replay, how) = (piece.table.clone(), piece.replay, how.to_owned());
            return Ok(CrashedRecord { table, replay, split, offset, how });
        }
        Err(Error::bug(format!("the epoch has no record {record}")))
    }
}
