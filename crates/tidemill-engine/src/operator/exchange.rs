//! Hands every row to the partition of its key. Nothing is copied: partitions share the batch and
//! each gets the numbers of its rows.

use super::KeyedRows;
use crate::state::groups::{group_of, partition_of};
use crate::state::keys::{converter, hasher};
use ahash::RandomState;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, Rows};
use std::sync::Arc;
use tidemill_core::Result;

/// Splits batches by key.
pub struct Exchange {
    converter: Option<RowConverter>,
    keys: usize,
    hasher: RandomState,
    partitions: usize,
    by_groups: bool,
}

impl Exchange {
    /// The first columns of a batch are its keys, of these types. Without keys all rows go to the
    /// first partition.
    ///
    /// # Errors
    /// A type that cannot be a key.
    pub fn new(types: &[DataType], partitions: usize) -> Result<Self> {
        let converter = if types.is_empty() { None } else { Some(converter(types)?) };
        Ok(Exchange { converter, keys: types.len(), hasher: hasher(), partitions, by_groups: false })
    }

    /// Hands out whole key groups from now on: for operators whose rows are in a store.
    pub fn hand_out_groups(&mut self) {
        self.by_groups = true;
    }

    /// Number of partitions.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// The batch's rows, a list a partition.
    ///
    /// # Errors
    /// A key that cannot be read.
    pub fn split(&self, rows: RecordBatch, arrival: u64) -> Result<Vec<KeyedRows>> {
        let count = rows.num_rows();
        let Some(converter) = &self.converter else {
            let hashes: Arc<[u64]> = vec![0; count].into();
            let mut parts =
                vec![KeyedRows { rows, keys: None, hashes, select: Arc::new([]), arrival, port: 0 }; self.partitions];
            parts[0].select = (0..count as u32).collect();
            return Ok(parts);
        };
        let keys = converter.convert_columns(&rows.columns()[..self.keys])?;
        let hashes: Arc<[u64]> = (0..count).map(|row| self.hasher.hash_one(keys.row(row).data())).collect();
        let selects = self.select(&keys, &hashes);
        let keys = Arc::new(keys);
        let part = |select: Vec<u32>| KeyedRows {
            rows: rows.clone(),
            keys: Some(keys.clone()),
            hashes: hashes.clone(),
            select: select.into(),
            arrival,
            port: 0,
        };
        Ok(selects.into_iter().map(part).collect())
    }

    /// Row numbers by partition, for keys given as columns.
    pub fn route(&self, keys: &[ArrayRef], rows: usize) -> Result<Vec<Vec<u32>>> {
        let Some(converter) = &self.converter else {
            let mut routes = vec![vec![]; self.partitions];
            routes[0] = (0..rows as u32).collect();
            return Ok(routes);
        };
        let keys = converter.convert_columns(keys)?;
        let hashes: Vec<u64> = (0..rows).map(|row| self.hasher.hash_one(keys.row(row).data())).collect();
        Ok(self.select(&keys, &hashes))
    }

    fn select(&self, keys: &Rows, hashes: &[u64]) -> Vec<Vec<u32>> {
        let mut selects = vec![Vec::with_capacity(hashes.len() / self.partitions + 1); self.partitions];
        for (row, hash) in hashes.iter().enumerate() {
            // the high bits: the low ones choose the place inside a partition's table
            let partition = match self.by_groups {
                false => (((hash >> 32) * self.partitions as u64) >> 32) as usize,
                true => partition_of(group_of(keys.row(row).data()), self.partitions),
            };
            selects[partition].push(row as u32);
        }
        selects
    }
}
