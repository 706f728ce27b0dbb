//! The keys of a table that is merged into: rows by key, and which file may hold which keys.
//!
//! Of a file only the hashes of its keys are kept, so that an epoch reads the files that hold its keys
//! and no others. Two null keys are equal, as in GROUP BY.

use super::table::Layout;
use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, Rows, SortField};
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use tidemill_core::nearest::nearest;
use tidemill_core::{Error, Result};

/// Hashes that are remembered; those of the files written first are forgotten first, and read again when
/// they are needed.
const HASHES_MAX: usize = 8 << 20;

/// The columns of the key.
pub(crate) struct Keys {
    pub(crate) columns: Vec<String>,
    converter: RowConverter,
}

impl Keys {
    /// The keys of a table, by the names that the user gave.
    ///
    /// # Errors
    /// A name that is no column, a type that cannot be a key.
    pub(crate) fn new(wanted: &[String], layout: &Layout) -> Result<Keys> {
        let fields = layout.schema.fields();
        let (mut columns, mut sorts) = (Vec::new(), Vec::new());
        for wanted in wanted {
            let Some(field) = fields.iter().find(|field| field.name().eq_ignore_ascii_case(wanted)) else {
                let names = fields.iter().map(|field| field.name().as_str());
                let error = Error::invalid(format!("'primary_key' names '{wanted}', which is no column"));
                return Err(match nearest(wanted, names.clone()) {
                    Some(near) => error.help(format!("did you mean '{near}'?")),
                    None => error.help(format!("columns: {}", names.collect::<Vec<_>>().join(", "))),
                });
            };
            if field.data_type().is_nested() {
                return Err(Error::invalid(format!("'primary_key' names '{wanted}', which is no plain value")));
            }
            columns.push(field.name().clone());
            sorts.push(SortField::new(field.data_type().clone()));
        }
        Ok(Keys { columns, converter: RowConverter::new(sorts)? })
    }

    /// The key of each row, as bytes that are equal when the keys are.
    ///
    /// # Errors
    /// A column is missing.
    pub(crate) fn of(&self, rows: &RecordBatch) -> Result<Rows> {
        let column = |name: &String| {
            rows.column_by_name(name).cloned().ok_or_else(|| Error::bug(format!("rows without key column '{name}'")))
        };
        let columns: Vec<ArrayRef> = self.columns.iter().map(column).collect::<Result<_>>()?;
        Ok(self.converter.convert_columns(&columns)?)
    }

    /// The hash of each row's key.
    ///
    /// # Errors
    /// As [`Keys::of`].
    pub(crate) fn hashes(&self, rows: &RecordBatch) -> Result<Vec<u64>> {
        Ok(self.of(rows)?.iter().map(|key| hash(key.as_ref())).collect())
    }
}

/// The same for equal keys, in this process.
pub(crate) fn hash(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// Hashes of the keys of the table's files.
#[derive(Default)]
pub(crate) struct Index {
    by_file: HashMap<String, Vec<u64>>,
    order: VecDeque<String>,
    hashes: usize,
}

impl Index {
    /// True when the file may hold one of the keys; `None` when nothing is known of it.
    pub(crate) fn may_hold(&self, file: &str, wanted: &[u64]) -> Option<bool> {
        let known = self.by_file.get(file)?;
        let (few, many) =
            if wanted.len() < known.len() { (wanted, known.as_slice()) } else { (known.as_slice(), wanted) };
        Some(few.iter().any(|hash| many.binary_search(hash).is_ok()))
    }

    /// Remembers the sorted hashes of a file.
    pub(crate) fn insert(&mut self, file: &str, hashes: Vec<u64>) {
        self.hashes += hashes.len();
        self.order.push_back(file.to_owned());
        if let Some(before) = self.by_file.insert(file.to_owned(), hashes) {
            self.hashes -= before.len();
        }
        while self.hashes > HASHES_MAX && self.by_file.len() > 1 {
            let Some(oldest) = self.order.pop_front() else { break };
            self.remove(&oldest);
        }
    }

    /// Forgets a file.
    pub(crate) fn remove(&mut self, file: &str) {
        if let Some(hashes) = self.by_file.remove(file) {
            self.hashes -= hashes.len();
        }
        if self.order.len() > 2 * self.by_file.len() + 16 {
            self.order.retain(|file| self.by_file.contains_key(file));
        }
    }

    /// Forgets everything: the columns have changed.
    pub(crate) fn clear(&mut self) {
        *self = Index::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_says_which_files_to_read_and_keeps_its_bound() {
        let mut index = Index::default();
        index.insert("a", vec![1, 5, 9]);
        index.insert("b", (100..200).collect());
        assert_eq!(index.may_hold("a", &[2, 5]), Some(true));
        assert_eq!(index.may_hold("b", &[2, 5]), Some(false));
        assert_eq!(index.may_hold("b", &(150..400).collect::<Vec<_>>()), Some(true));
        assert_eq!(index.may_hold("c", &[1]), None);
        index.insert("c", vec![7; HASHES_MAX]);
        assert_eq!((index.may_hold("a", &[1]), index.may_hold("c", &[7])), (None, Some(true)));
        index.remove("c");
        assert_eq!((index.hashes, index.by_file.len()), (0, 0));
    }
}
