//! What a live table holds: pieces of rows, of which some have been replaced, and where the row of a key is.
//! Nothing here waits or reads; the sink calls it, and readers see only the [`Snapshot`]s it gives out.
//!
//! Pieces are merged so that each is more than twice as large as the one after it: an epoch costs as much as its
//! rows, and a table of a million rows has about twenty pieces.

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use std::collections::HashMap;
use std::sync::Arc;
use tidemill_core::{Epoch, Error, Kind, Result};

/// What the options of a table say about its rows.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) table: String,
    pub(super) schema: SchemaRef,
    /// Columns of the key; none when every row is kept.
    pub(super) key: Vec<usize>,
    pub(super) rows_max: usize,
    /// What happens with more rows: the oldest go, or the query stops.
    pub(super) evicts: bool,
    /// A timestamp column, and how many microseconds a row may be behind the newest.
    pub(super) retention: Option<(usize, i64)>,
}

/// The rows after an epoch. Never changed, so a reader may take its time.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) epoch: Option<Epoch>,
    pub(super) schema: SchemaRef,
    pub(super) rows: usize,
    pieces: Vec<Piece>,
}

impl Snapshot {
    /// The rows, oldest first.
    ///
    /// # Errors
    /// Arrow cannot filter a piece.
    pub(super) fn batches(&self) -> Result<Vec<RecordBatch>> {
        self.pieces.iter().filter(|piece| piece.count > 0).map(Piece::current).collect()
    }

    /// Memory of the rows, replaced ones included, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.rows.get_array_memory_size()).sum()
    }
}

#[derive(Debug, Clone)]
struct Piece {
    /// Rises from piece to piece.
    id: u64,
    rows: RecordBatch,
    /// False for a row that has been replaced; `None` when there is none.
    live: Option<Arc<Vec<bool>>>,
    count: usize,
    /// The least value of the retention column.
    oldest: i64,
}

impl Piece {
    fn new(id: u64, rows: RecordBatch, rules: &Rules) -> Self {
        let oldest =
            times(&rows, rules).map_or(i64::MAX, |times| times.into_iter().flatten().min().unwrap_or(i64::MAX));
        Piece { id, live: None, count: rows.num_rows(), rows, oldest }
    }

    fn is_live(&self, row: usize) -> bool {
        self.live.as_ref().is_none_or(|live| live[row])
    }

    fn kill(&mut self, row: usize) {
        if self.is_live(row) {
            let rows = self.rows.num_rows();
            Arc::make_mut(self.live.get_or_insert_with(|| Arc::new(vec![true; rows])))[row] = false;
            self.count -= 1;
        }
    }

    fn current(&self) -> Result<RecordBatch> {
        Ok(match &self.live {
            None => self.rows.clone(),
            Some(live) => filter_record_batch(&self.rows, &BooleanArray::from(live.as_ref().clone()))?,
        })
    }
}

/// The table, as its one writer has it.
pub(super) struct Content {
    rules: Rules,
    pieces: Vec<Piece>,
    /// Piece and row of each key.
    places: HashMap<Box<[u8]>, (u64, u32)>,
    keys: Option<RowConverter>,
    next: u64,
    epoch: Option<Epoch>,
    /// The greatest value there has been in the retention column.
    newest: i64,
}

impl Content {
    /// An empty table.
    ///
    /// # Errors
    /// A key of a type that cannot be compared.
    pub(super) fn new(rules: Rules) -> Result<Self> {
        let fields = rules.key.iter().map(|at| SortField::new(rules.schema.field(*at).data_type().clone()));
        let keys = if rules.key.is_empty() { None } else { Some(RowConverter::new(fields.collect())?) };
        Ok(Content { rules, pieces: vec![], places: HashMap::new(), keys, next: 0, epoch: None, newest: i64::MIN })
    }

    /// The rows as they are now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let rows = self.row_count();
        Snapshot { epoch: self.epoch, schema: self.rules.schema.clone(), rows, pieces: self.pieces.clone() }
    }

    /// The greatest value there has been in the retention column.
    pub(super) fn newest(&self) -> i64 {
        self.newest
    }

    /// Takes in an epoch's rows: instead of what there is if `replace`. `newest` is that of a saved table.
    ///
    /// # Errors
    /// More rows than may be, in a table that evicts none. The table must not be used after an error.
    pub(super) fn apply(&mut self, epoch: Epoch, rows: &[RecordBatch], replace: bool, newest: i64) -> Result<()> {
        if replace {
            self.pieces.clear();
            self.places.clear();
        }
        let rows = concat_batches(&self.rules.schema, rows)?;
        if rows.num_rows() > 0 {
            self.add(rows)?;
        }
        self.newest = self.newest.max(newest);
        self.retire()?;
        self.bound()?;
        self.tidy()?;
        self.epoch = Some(epoch);
        Ok(())
    }

    fn row_count(&self) -> usize {
        self.pieces.iter().map(|piece| piece.count).sum()
    }

    /// One more piece, whose rows replace those of their keys.
    fn add(&mut self, rows: RecordBatch) -> Result<()> {
        let id = self.next;
        self.next += 1;
        if let Some(times) = times(&rows, &self.rules) {
            self.newest = self.newest.max(times.into_iter().flatten().max().unwrap_or(i64::MIN));
        }
        let keys = self.keys_of(&rows)?;
        self.pieces.push(Piece::new(id, rows, &self.rules));
        for (row, key) in keys.into_iter().enumerate() {
            // a piece holds the rows of an epoch, which are far below four billion
            if let Some((piece, row)) = self.places.insert(key, (id, row as u32)) {
                self.kill(piece, row as usize);
            }
        }
        Ok(())
    }

    fn kill(&mut self, id: u64, row: usize) {
        if let Ok(at) = self.pieces.binary_search_by_key(&id, |piece| piece.id) {
            self.pieces[at].kill(row);
        }
    }

    /// The key of each row; empty without a key.
    fn keys_of(&self, rows: &RecordBatch) -> Result<Vec<Box<[u8]>>> {
        let Some(converter) = &self.keys else {
            return Ok(vec![]);
        };
        let columns: Vec<_> = self.rules.key.iter().map(|at| rows.column(*at).clone()).collect();
        Ok(converter.convert_columns(&columns)?.iter().map(|key| key.as_ref().into()).collect())
    }

    /// Removes rows that are too far behind the newest one.
    fn retire(&mut self) -> Result<()> {
        let Some((_, span)) = self.rules.retention else {
            return Ok(());
        };
        let bound = self.newest.saturating_sub(span);
        for at in 0..self.pieces.len() {
            if self.pieces[at].oldest >= bound {
                continue;
            }
            let old: Vec<usize> = times(&self.pieces[at].rows, &self.rules)
                .map(|times| (0..times.len()).filter(|row| times[*row].is_some_and(|time| time < bound)).collect())
                .unwrap_or_default();
            self.remove(at, &old)?;
            self.pieces[at].oldest = bound;
        }
        Ok(())
    }

    /// Keeps the table within its bound.
    fn bound(&mut self) -> Result<()> {
        let mut over = self.row_count().saturating_sub(self.rules.rows_max);
        if over > 0 && !self.rules.evicts {
            let Rules { table, rows_max, .. } = &self.rules;
            let held = self.row_count();
            return Err(Error::new(Kind::Data, format!("the live table '{table}' would hold {held} rows, which is more than max_rows = {rows_max}"))
                .help("raise 'max_rows', drop old rows with 'retention', or say on_full = 'evict' to drop the rows that were written longest ago"));
        }
        for at in 0..self.pieces.len() {
            if over == 0 {
                break;
            }
            let piece = &self.pieces[at];
            let oldest: Vec<usize> = (0..piece.rows.num_rows()).filter(|row| piece.is_live(*row)).take(over).collect();
            over -= oldest.len();
            self.remove(at, &oldest)?;
        }
        Ok(())
    }

    /// Removes rows of a piece, and what is known of their keys.
    fn remove(&mut self, at: usize, rows: &[usize]) -> Result<()> {
        let keys = if rows.is_empty() { vec![] } else { self.keys_of(&self.pieces[at].rows)? };
        for row in rows {
            if !self.pieces[at].is_live(*row) {
                continue;
            }
            self.pieces[at].kill(*row);
            if let Some(key) = keys.get(*row) {
                self.places.remove(key);
            }
        }
        Ok(())
    }

    /// Merges pieces, and rewrites those of which more than half is gone.
    fn tidy(&mut self) -> Result<()> {
        self.pieces.retain(|piece| piece.count > 0);
        for at in 0..self.pieces.len() {
            if self.pieces[at].count * 2 < self.pieces[at].rows.num_rows() {
                let rows = self.pieces[at].current()?;
                self.put(at, rows)?;
            }
        }
        while let [.., before, last] = self.pieces.as_slice() {
            if before.count > last.count * 2 {
                break;
            }
            let rows = concat_batches(&self.rules.schema, &[before.current()?, last.current()?])?;
            self.pieces.pop();
            self.put(self.pieces.len() - 1, rows)?;
        }
        Ok(())
    }

    /// Puts rows in the place of a piece. All of them are live.
    fn put(&mut self, at: usize, rows: RecordBatch) -> Result<()> {
        let id = self.pieces[at].id;
        for (row, key) in self.keys_of(&rows)?.into_iter().enumerate() {
            self.places.insert(key, (id, row as u32));
        }
        self.pieces[at] = Piece::new(id, rows, &self.rules);
        Ok(())
    }
}

/// Values of the retention column in microseconds, one a row.
fn times(rows: &RecordBatch, rules: &Rules) -> Option<Vec<Option<i64>>> {
    let (column, _) = rules.retention?;
    Some(rows.column(column).as_primitive_opt::<TimestampMicrosecondType>()?.iter().collect())
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
