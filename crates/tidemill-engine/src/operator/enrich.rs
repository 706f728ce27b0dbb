//! Joins rows with a table that is read whole: the table is kept as a hash table by its keys, until it
//! is replaced because it has changed. Keeps no state of the stream.

use super::project::{compile, evaluate};
use super::{Transform, take_rows};
use crate::pipeline::plan::{Attribute, inner_schema};
use crate::pipeline::relation::JoinKind;
use crate::state::keys::{converter, hasher};
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow::row::RowConverter;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use hashbrown::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tidemill_core::{Error, Result};

/// What joins with what.
pub struct EnrichSpec<'a> {
    /// Inner, cross, left outer, left semi or left anti: the stream is on the left.
    pub kind: JoinKind,
    /// Columns of the stream.
    pub stream: &'a [Attribute],
    /// Columns of the table.
    pub table: &'a [Attribute],
    /// Pairs of expressions that must be equal: over the stream, over the table.
    pub on: &'a [(Expr, Expr)],
    /// What else must be true, over the columns of both.
    pub filter: Option<&'a Expr>,
}

/// Joins batches with a table.
pub struct Enrich {
    kind: JoinKind,
    stream_keys: Vec<Arc<dyn PhysicalExpr>>,
    table_keys: Vec<Arc<dyn PhysicalExpr>>,
    table: RwLock<Arc<Table>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    both: SchemaRef,
}

/// The table as it was when it was read last.
struct Table {
    rows: RecordBatch,
    lookup: Option<Lookup>,
}

struct Lookup {
    converter: RowConverter,
    rows: HashMap<Box<[u8]>, Vec<u32>, ahash::RandomState>,
}

impl Enrich {
    /// Builds the hash table over all rows of the table.
    ///
    /// # Errors
    /// An expression that fails on a row of the table.
    pub fn new(spec: &EnrichSpec<'_>, rows: RecordBatch) -> Result<Self> {
        if !matches!(
            spec.kind,
            JoinKind::Inner | JoinKind::Cross | JoinKind::LeftOuter | JoinKind::LeftSemi | JoinKind::LeftAnti
        ) {
            return Err(Error::bug("a join with a table preserves the table"));
        }
        let both: Vec<Attribute> = spec.stream.iter().chain(spec.table).cloned().collect();
        let stream_keys = spec.on.iter().map(|(key, _)| compile(key, spec.stream)).collect::<Result<Vec<_>>>()?;
        let table_keys = spec.on.iter().map(|(_, key)| compile(key, spec.table)).collect::<Result<Vec<_>>>()?;
        let filter = spec.filter.map(|filter| compile(filter, &both)).transpose()?;
        let table = RwLock::new(Arc::new(Table::new(rows, &table_keys)?));
        Ok(Enrich { kind: spec.kind, stream_keys, table_keys, table, filter, both: inner_schema(&both) })
    }

    /// From now on the table has these rows.
    ///
    /// # Errors
    /// An expression that fails on a row of the table.
    pub fn replace(&self, rows: RecordBatch) -> Result<()> {
        let new = Arc::new(Table::new(rows, &self.table_keys)?);
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Pairs of a stream row and a table row that fit.
    fn pairs(&self, rows: &RecordBatch, table: &Table) -> Result<(Vec<u32>, Vec<u32>)> {
        let (left, right) = match &table.lookup {
            Some(lookup) => lookup.pairs(rows, &self.stream_keys)?,
            None => {
                let table = table.rows.num_rows() as u32;
                (0..rows.num_rows() as u32).flat_map(|row| (0..table).map(move |other| (row, other))).unzip()
            }
        };
        let Some(filter) = &self.filter else { return Ok((left, right)) };
        let passes = evaluate(filter, &self.beside(rows, table, &left, &right)?)?;
        let passes = passes.as_boolean();
        let kept = (0..left.len()).filter(|pair| passes.is_valid(*pair) && passes.value(*pair));
        Ok(kept.map(|pair| (left[pair], right[pair])).unzip())
    }

    fn beside(&self, rows: &RecordBatch, table: &Table, left: &[u32], right: &[u32]) -> Result<RecordBatch> {
        let mut columns = take_rows(rows, &UInt32Array::from(left.to_vec()))?.columns().to_vec();
        columns.extend(take_rows(&table.rows, &UInt32Array::from(right.to_vec()))?.columns().to_vec());
        let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(left.len()));
        Ok(RecordBatch::try_new_with_options(self.both.clone(), columns, &options)?)
    }

    /// Every stream row, in order, with its table rows or NULLs.
    fn outer(&self, rows: &RecordBatch, table: &Table, left: &[u32], right: &[u32]) -> Result<RecordBatch> {
        let (mut from, mut with) = (Vec::with_capacity(rows.num_rows()), Vec::with_capacity(rows.num_rows()));
        let mut next = 0;
        for row in 0..rows.num_rows() as u32 {
            let first = next;
            while next < left.len() && left[next] == row {
                from.push(row);
                with.push(Some(right[next]));
                next += 1;
            }
            if next == first {
                from.push(row);
                with.push(None);
            }
        }
        let with = UInt32Array::from(with);
        let mut columns = take_rows(rows, &UInt32Array::from(from))?.columns().to_vec();
        for column in table.rows.columns() {
            let empty = column.is_empty();
            columns.push(if empty {
                new_null_array(column.data_type(), with.len())
            } else {
                take(column, &with, None)?
            });
        }
        Ok(RecordBatch::try_new(self.both.clone(), columns)?)
    }
}

impl Transform for Enrich {
    fn apply(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let table = self.table();
        let (left, right) = self.pairs(&rows, &table)?;
        match self.kind {
            JoinKind::LeftOuter => self.outer(&rows, &table, &left, &right),
            JoinKind::LeftSemi | JoinKind::LeftAnti => {
                let mut matched = vec![false; rows.num_rows()];
                left.iter().for_each(|row| matched[*row as usize] = true);
                let wanted = self.kind == JoinKind::LeftSemi;
                let kept = (0..rows.num_rows() as u32).filter(|row| matched[*row as usize] == wanted);
                take_rows(&rows, &kept.collect::<UInt32Array>())
            }
            _ => self.beside(&rows, &table, &left, &right),
        }
    }
}

impl Table {
    fn new(rows: RecordBatch, keys: &[Arc<dyn PhysicalExpr>]) -> Result<Self> {
        let lookup = if keys.is_empty() { None } else { Some(Lookup::new(&rows, keys)?) };
        Ok(Table { rows, lookup })
    }
}

impl Lookup {
    fn new(table: &RecordBatch, keys: &[Arc<dyn PhysicalExpr>]) -> Result<Self> {
        let columns = keys.iter().map(|key| evaluate(key, table)).collect::<Result<Vec<ArrayRef>>>()?;
        let types: Vec<_> = columns.iter().map(|column| column.data_type().clone()).collect();
        let converter = converter(&types)?;
        let keys = converter.convert_columns(&columns)?;
        let mut rows: HashMap<Box<[u8]>, Vec<u32>, ahash::RandomState> = HashMap::with_hasher(hasher());
        for row in 0..table.num_rows() {
            if columns.iter().all(|column| column.is_valid(row)) {
                rows.entry_ref(keys.row(row).data()).or_default().push(row as u32);
            }
        }
        Ok(Lookup { converter, rows })
    }

    fn pairs(&self, rows: &RecordBatch, keys: &[Arc<dyn PhysicalExpr>]) -> Result<(Vec<u32>, Vec<u32>)> {
        let columns = keys.iter().map(|key| evaluate(key, rows)).collect::<Result<Vec<_>>>()?;
        let keys = self.converter.convert_columns(&columns)?;
        let (mut left, mut right) = (vec![], vec![]);
        for row in 0..rows.num_rows() {
            if columns.iter().any(|column| column.is_null(row)) {
                continue;
            }
            for other in self.rows.get(keys.row(row).data()).into_iter().flatten() {
                left.push(row as u32);
                right.push(*other);
            }
        }
        Ok((left, right))
    }
}
