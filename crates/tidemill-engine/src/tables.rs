//! Tables beside the stream: read whole before it starts, and once more before an epoch when they have
//! changed and the pipeline follows them.
//!
//! What an epoch sees of them is in its plan, so an epoch that is run again sees the same.

use crate::ingest::{Ingest, read_whole};
use crate::pipeline::plan::{Attribute, inner_schema};
use crate::pipeline::query::{Query, SourceTable};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::collections::{BTreeMap, BTreeSet};
use tidemill_core::{Error, Offsets, Result};

/// The tables of one query.
#[derive(Default)]
pub struct Tables {
    tables: BTreeMap<String, Table>,
}

struct Table {
    source: SourceTable,
    rows: RecordBatch,
    /// What of it has been read.
    read: Offsets,
    /// Tells how far it is now; `None` for a table that is read once.
    watch: Option<Ingest>,
}

impl Tables {
    /// Reads all of a query's tables.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub async fn read(query: &Query) -> Result<Self> {
        let mut tables = BTreeMap::new();
        for source in &query.tables {
            let placed = |error| query.placed(&source.name, error);
            let (rows, read) = read_whole(source, None).await.map_err(placed)?;
            let watch = match source.is_followed() {
                true => Some(Ingest::of_whole(source).await.map_err(placed)?),
                false => None,
            };
            tables.insert(source.name.clone(), Table { source: source.clone(), rows, read, watch });
        }
        Ok(Tables { tables })
    }

    /// The rows of a table, in the columns that a plan reads.
    ///
    /// # Errors
    /// A bug: a table that the query has not.
    pub fn rows(&self, name: &str, columns: &[usize], attributes: &[Attribute]) -> Result<RecordBatch> {
        let table = self.tables.get(name).ok_or_else(|| Error::bug(format!("the table {name} was not read")))?;
        // a plan that only counts rows reads no column
        let options = RecordBatchOptions::new().with_row_count(Some(table.rows.num_rows()));
        let columns = columns.iter().map(|column| table.rows.column(*column).clone()).collect();
        Ok(RecordBatch::try_new_with_options(inner_schema(attributes), columns, &options)?)
    }

    /// How far the followed tables are now.
    ///
    /// # Errors
    /// A table that cannot be reached.
    pub async fn newest(&mut self) -> Result<BTreeMap<String, Offsets>> {
        let mut newest = BTreeMap::new();
        for (name, table) in &mut self.tables {
            if let Some(watch) = &mut table.watch {
                newest.insert(name.clone(), watch.latest().await?);
            }
        }
        Ok(newest)
    }

    /// Reads the tables that are not as an epoch is to see them; gives their names.
    ///
    /// # Errors
    /// A table that cannot be read, or not any more as it was.
    pub async fn bring_to(&mut self, pinned: &BTreeMap<String, Offsets>) -> Result<BTreeSet<String>> {
        let mut changed = BTreeSet::new();
        for (name, until) in pinned {
            let Some(table) = self.tables.get_mut(name).filter(|table| table.read != *until) else { continue };
            (table.rows, table.read) = read_whole(&table.source, Some(until.clone())).await?;
            changed.insert(name.clone());
        }
        Ok(changed)
    }
}
