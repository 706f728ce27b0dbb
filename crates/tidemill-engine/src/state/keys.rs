//! Keys by number: every distinct key of a state partition gets a small number, which slots and sets
//! then use instead of the key. Numbers of keys that nothing refers to any more are used again.
//!
//! A key is kept as the bytes the columnar library's row format gives it, in one arena.

use ahash::RandomState;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;
use tidemill_core::Result;

/// Hashes keys the same way in every partition of one process; never stored.
pub fn hasher() -> RandomState {
    RandomState::with_seeds(0x7469_6465, 0x6d69_6c6c, 0x6b65_7973, 0x0000_0001)
}

/// A converter of key columns to rows.
///
/// # Errors
/// A type that cannot be a key.
pub fn converter(types: &[DataType]) -> Result<RowConverter> {
    Ok(RowConverter::new(types.iter().cloned().map(SortField::new).collect())?)
}

/// Arenas smaller than this are not compacted, in bytes.
const COMPACT_BYTES_MIN: usize = 1 << 20;

/// Keys by number.
pub struct KeyTable {
    converter: RowConverter,
    hasher: RandomState,
    lookup: HashTable<u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    arena: Vec<u8>,
    dead_bytes: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    hash: u64,
    start: usize,
    length: u32,
    references: u32,
}

impl KeyTable {
    /// An empty table for keys of these types.
    ///
    /// # Errors
    /// A type that cannot be a key.
    pub fn new(types: &[DataType]) -> Result<Self> {
        Ok(KeyTable {
            converter: converter(types)?,
            hasher: hasher(),
            lookup: HashTable::new(),
            entries: vec![],
            free: vec![],
            arena: vec![],
            dead_bytes: 0,
        })
    }

    /// Live keys.
    pub fn len(&self) -> usize {
        self.lookup.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.lookup.is_empty()
    }

    /// The number of a key given as row bytes and their hash; a new key starts with no references.
    pub fn intern(&mut self, key: &[u8], hash: u64) -> u32 {
        let (entries, arena) = (&self.entries, &self.arena);
        let same = |id: &u32| {
            let entry = &entries[*id as usize];
            entry.hash == hash && &arena[entry.start..entry.start + entry.length as usize] == key
        };
        if let Some(id) = self.lookup.find(hash, same) {
            return *id;
        }
        let entry = Entry { hash, start: self.arena.len(), length: key.len() as u32, references: 0 };
        self.arena.extend_from_slice(key);
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        let entries = &self.entries;
        self.lookup.insert_unique(hash, id, |id| entries[*id as usize].hash);
        id
    }

    /// Makes room for so many keys more.
    pub fn reserve(&mut self, keys: usize) {
        let entries = &self.entries;
        self.lookup.reserve(keys, |id| entries[*id as usize].hash);
        self.entries.reserve(keys.saturating_sub(self.free.len()));
    }

    /// Rows of key columns, as [`KeyTable::intern`] wants them.
    pub fn rows(&self, columns: &[ArrayRef]) -> Result<Rows> {
        Ok(self.converter.convert_columns(columns)?)
    }

    /// Hash of a key's row bytes.
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// One reference more.
    pub fn retain(&mut self, id: u32) {
        self.entries[id as usize].references += 1;
    }

    /// One reference less; with the last one the key goes.
    pub fn release(&mut self, id: u32) {
        let entry = &mut self.entries[id as usize];
        entry.references -= 1;
        if entry.references > 0 {
            return;
        }
        let hash = entry.hash;
        self.dead_bytes += entry.length as usize;
        if let Ok(occupied) = self.lookup.find_entry(hash, |known| *known == id) {
            occupied.remove();
        }
        self.free.push(id);
        if self.dead_bytes > COMPACT_BYTES_MIN && self.dead_bytes > self.arena.len() / 2 {
            self.compact();
        }
    }

    /// Removes the key again if nothing has referred to it since it was interned.
    pub fn drop_unreferenced(&mut self, id: u32) {
        if self.entries[id as usize].references == 0 {
            self.retain(id);
            self.release(id);
        }
    }

    /// The keys with these numbers, as columns.
    pub fn columns(&self, ids: &[u32]) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        let rows = ids.iter().map(|id| parser.parse(self.bytes(*id)));
        Ok(self.converter.convert_rows(rows)?)
    }

    /// Memory held, in bytes.
    pub fn size(&self) -> usize {
        self.arena.capacity() + self.entries.capacity() * size_of::<Entry>() + self.lookup.capacity() * 5
    }

    /// The row bytes of a key.
    pub fn bytes(&self, id: u32) -> &[u8] {
        let entry = &self.entries[id as usize];
        &self.arena[entry.start..entry.start + entry.length as usize]
    }

    fn compact(&mut self) {
        let mut arena = Vec::with_capacity(self.arena.len() - self.dead_bytes);
        let live: Vec<u32> = self.lookup.iter().copied().collect();
        for id in live {
            let start = arena.len();
            arena.extend_from_slice(self.bytes(id));
            self.entries[id as usize].start = start;
        }
        self.arena = arena;
        self.dead_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray, Int64Array, StringArray};
    use std::sync::Arc;

    fn intern_all(table: &mut KeyTable, columns: &[ArrayRef]) -> Vec<u32> {
        let rows = table.rows(columns).unwrap();
        let hashes: Vec<u64> = rows.iter().map(|row| table.hash(row.as_ref())).collect();
        rows.iter().zip(hashes).map(|(row, hash)| table.intern(row.as_ref(), hash)).collect()
    }

    #[test]
    fn equal_keys_share_a_number_and_columns_come_back() {
        let mut table = KeyTable::new(&[DataType::Utf8, DataType::Int64]).unwrap();
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("a"), Some("b")]));
        let number: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(1), Some(1)]));
        let ids = intern_all(&mut table, &[text, number]);
        assert_eq!(ids[0], ids[2]);
        assert_eq!(table.len(), 3);
        let columns = table.columns(&[ids[3], ids[1]]).unwrap();
        assert_eq!(columns[0].as_string::<i32>().value(0), "b");
        assert!(columns[1].is_null(1));
    }

    #[test]
    fn numbers_of_released_keys_are_used_again() {
        let mut table = KeyTable::new(&[DataType::Int64]).unwrap();
        let mut seen = 0;
        for round in 0..100i64 {
            let column: ArrayRef = Arc::new(Int64Array::from_iter_values(round * 1000..(round + 1) * 1000));
            let ids = intern_all(&mut table, &[column]);
            seen = seen.max(*ids.iter().max().unwrap());
            ids.iter().for_each(|id| table.retain(*id));
            ids.iter().for_each(|id| table.release(*id));
        }
        assert!(table.is_empty());
        assert!(seen < 1000, "{seen}");
        assert!(table.arena.len() <= 2 * COMPACT_BYTES_MIN + 20_000, "{}", table.arena.len());
    }
}
