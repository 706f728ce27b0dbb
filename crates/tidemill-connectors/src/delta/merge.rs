//! MERGE by key: the files that hold keys of the epoch are written anew without them, and the epoch's
//! rows beside them. One commit removes the old files, adds the new ones and names the epoch.
//!
//! Cost: reads and writes the files that hold one of the epoch's keys, whole, and no others.

use super::files::{self, Shape, Written};
use super::keys::{Index, Keys, hash};
use super::ranges::Range;
use super::read;
use super::schema::fit;
use super::table::{Layout, Table};
use arrow::array::{BooleanArray, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::record_batch::RecordBatch;
use deltalake::kernel::Add;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tidemill_core::{Error, Result};

/// Merges row sets into a table.
pub(crate) struct Merger {
    pub(crate) keys: Arc<Keys>,
    index: Index,
}

/// What a merge comes to, at one version of the table.
pub(crate) struct Merge {
    /// Files that are replaced.
    pub(crate) removed: Vec<Add>,
    /// Files that are new.
    pub(crate) written: Vec<Written>,
}

/// The keys of an epoch.
struct Wanted {
    keys: HashSet<Box<[u8]>>,
    hashes: Vec<u64>,
    range: Range,
}

impl Merger {
    /// For a table with this key.
    pub(crate) fn new(keys: Keys) -> Merger {
        Merger { keys: Arc::new(keys), index: Index::default() }
    }

    /// The table's columns have changed.
    ///
    /// # Errors
    /// The key is no longer among them.
    pub(crate) fn relearn(&mut self, layout: &Layout) -> Result<()> {
        self.keys = Arc::new(Keys::new(&self.keys.columns, layout)?);
        self.index.clear();
        Ok(())
    }

    /// Writes what the table's files become. Of rows with one key the last counts.
    ///
    /// # Errors
    /// The table cannot be read or written; rows that do not fit; a file with a deletion vector.
    pub(crate) async fn plan(&mut self, table: &Table, shape: &Shape<'_>, rows: &[RecordBatch]) -> Result<Merge> {
        let place = &table.home.place;
        let newest = newest(&self.keys, shape.layout, rows, place)?;
        if newest.num_rows() == 0 {
            return Ok(Merge { removed: Vec::new(), written: Vec::new() });
        }
        let wanted = self.wanted(shape.layout, &newest)?;
        let log = table.log();
        let (mut removed, mut rows) = (Vec::new(), Vec::new());
        for add in self.candidates(table, shape.layout, &wanted).await? {
            let content = read::content(&table.home, &log, &add).await?;
            let (before, of_file) = (rows.len(), read::rows(content, &add, shape.layout, None, place)?);
            let mut is_touched = false;
            for batch in of_file {
                let stays: BooleanArray =
                    self.keys.of(&batch)?.iter().map(|key| Some(!wanted.keys.contains(key.as_ref()))).collect();
                is_touched |= stays.false_count() > 0;
                rows.push(filter_record_batch(&batch, &stays)?);
            }
            match is_touched {
                true => removed.push(add),
                // two keys with one hash
                false => rows.truncate(before),
            }
        }
        // apart: the next epoch's keys are often this one's, and would have the old rows written anew
        let mut written = files::write(&table.home, &log, shape, &rows).await?;
        written.extend(files::write(&table.home, &log, shape, &[newest]).await?);
        Ok(Merge { removed, written })
    }

    /// The plan was committed.
    pub(crate) fn done(&mut self, removed: &[Add], written: &[Written]) {
        removed.iter().for_each(|add| self.index.remove(&add.path));
        written.iter().for_each(|file| self.index.insert(&file.add.path, file.hashes.clone()));
    }

    fn wanted(&self, layout: &Layout, newest: &RecordBatch) -> Result<Wanted> {
        let rows = self.keys.of(newest)?;
        let keys: HashSet<Box<[u8]>> = rows.iter().map(|key| key.as_ref().into()).collect();
        let mut hashes: Vec<u64> = keys.iter().map(|key| hash(key)).collect();
        hashes.sort_unstable();
        Ok(Wanted { keys, hashes, range: Range::of(&self.keys.columns, layout, newest) })
    }

    /// The files that hold one of the keys, but for equal hashes.
    async fn candidates(&mut self, table: &Table, layout: &Layout, wanted: &Wanted) -> Result<Vec<Add>> {
        let log = table.log();
        let mut found = Vec::new();
        for add in table.live.files() {
            let mut may_hold = self.index.may_hold(&add.path, &wanted.hashes);
            if may_hold.is_none() && wanted.range.may_be_in(add) {
                let content = read::content(&table.home, &log, add).await?;
                let mut hashes = Vec::new();
                for batch in read::rows(content, add, layout, Some(&self.keys.columns), &table.home.place)? {
                    hashes.extend(self.keys.hashes(&batch)?);
                }
                hashes.sort_unstable();
                hashes.dedup();
                self.index.insert(&add.path, hashes);
                may_hold = self.index.may_hold(&add.path, &wanted.hashes);
            }
            if may_hold == Some(true) {
                found.push(add.clone());
            }
        }
        Ok(found)
    }
}

/// The last row of each key, in the table's columns.
fn newest(keys: &Keys, layout: &Layout, rows: &[RecordBatch], place: &str) -> Result<RecordBatch> {
    let fitted = rows.iter().map(|rows| fit(layout, rows, place)).collect::<Result<Vec<_>>>()?;
    let all = concat_batches(&layout.schema, &fitted)?;
    let of_rows = keys.of(&all)?;
    let mut last: HashMap<&[u8], u32> = HashMap::with_capacity(all.num_rows());
    for row in 0..all.num_rows() {
        let at = u32::try_from(row).map_err(|_| Error::invalid("an epoch of more than 4294967295 rows"))?;
        last.insert(of_rows.row(row).data(), at);
    }
    if last.len() == all.num_rows() {
        return Ok(all);
    }
    let mut kept: Vec<u32> = last.into_values().collect();
    kept.sort_unstable();
    Ok(take_record_batch(&all, &UInt32Array::from(kept))?)
}
