//! The store: keys and values of one database.

use crate::options::{Memory, unlogged};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DB, DEFAULT_COLUMN_FAMILY_NAME, ReadOptions, WriteBatch};
use std::path::{Path, PathBuf};
use tidemill_core::state::{CopiedFile, StateChange, StateRequest, StateStore, StoreSize, Visitor};
use tidemill_core::{Error, Kind, Result};

/// Keys that are looked up at once: so many blocks are held at most.
const KEYS_AT_ONCE: usize = 1024;
/// Files that are not copied: the database makes them anew.
const NOT_COPIED: [&str; 3] = ["LOCK", "LOG", "IDENTITY"];

/// An open database.
pub struct RocksStore {
    database: DB,
    memory: Memory,
    directory: PathBuf,
}

impl RocksStore {
    /// Opens the database, or makes an empty one.
    ///
    /// # Errors
    /// The directory cannot be read or written, or holds something else.
    pub fn open(request: &StateRequest) -> Result<Self> {
        let memory = Memory::new(request.memory_bytes);
        let options = memory.database_options();
        let only = ColumnFamilyDescriptor::new(DEFAULT_COLUMN_FAMILY_NAME, options.clone());
        let database = DB::open_cf_descriptors(&options, &request.directory, [only])
            .map_err(|error| failed("opened", &request.directory, error))?;
        Ok(RocksStore { database, memory, directory: request.directory.clone() })
    }

    fn family(&self) -> Result<&ColumnFamily> {
        self.database.cf_handle(DEFAULT_COLUMN_FAMILY_NAME).ok_or_else(|| Error::bug("the database has no family"))
    }

    fn error(&self, what: &str, cause: rocksdb::Error) -> Error {
        failed(what, &self.directory, cause)
    }

    fn property(&self, name: &str) -> u64 {
        self.database.property_int_value(name).ok().flatten().unwrap_or(0)
    }
}

impl StateStore for RocksStore {
    fn get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut values = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_AT_ONCE) {
            for found in self.database.batched_multi_get_cf(self.family()?, keys, keys.is_sorted()) {
                let found = found.map_err(|error| self.error("read", error))?;
                values.push(found.map(|value| value.to_vec()));
            }
        }
        Ok(values)
    }

    fn scan_prefixes(&self, prefixes: &[Vec<u8>], visit: &mut Visitor<'_>) -> Result<()> {
        let mut entries = self.database.raw_iterator();
        for prefix in prefixes {
            entries.seek(prefix);
            while let Some((key, value)) = entries.item() {
                if !key.starts_with(prefix) || !visit(key, value)? {
                    break;
                }
                entries.next();
            }
            entries.status().map_err(|error| self.error("read", error))?;
        }
        Ok(())
    }

    fn scan(&self, from: &[u8], until: &[u8], visit: &mut Visitor<'_>) -> Result<()> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(until);
        let mut entries = self.database.raw_iterator_opt(options);
        entries.seek(from);
        while let Some((key, value)) = entries.item() {
            if !visit(key, value)? {
                break;
            }
            entries.next();
        }
        entries.status().map_err(|error| self.error("read", error))
    }

    fn write(&self, changes: Vec<StateChange>) -> Result<()> {
        let mut batch = WriteBatch::default();
        for change in changes {
            match change {
                StateChange::Put(key, value) => batch.put(key, value),
                StateChange::Delete(key) => batch.delete(key),
            }
        }
        self.database.write_opt(batch, &unlogged()).map_err(|error| self.error("written", error))
    }

    fn copy_to(&self, directory: &Path) -> Result<Vec<CopiedFile>> {
        Checkpoint::new(&self.database)
            .and_then(|checkpoint| checkpoint.create_checkpoint(directory))
            .map_err(|error| self.error("copied", error))?;
        let listed = std::fs::read_dir(directory)
            .map_err(|error| Error::io(format!("cannot list {}", directory.display()), error))?;
        let names = listed.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let kept = names.filter(|name| !NOT_COPIED.contains(&name.as_str()));
        let mut files: Vec<CopiedFile> =
            kept.map(|name| CopiedFile { immutable: name.ends_with(".sst"), name }).collect();
        files.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(files)
    }

    fn compact(&self) -> Result<()> {
        self.database.flush().map_err(|error| self.error("written", error))?;
        self.database.compact_range::<&[u8], &[u8]>(None, None);
        Ok(())
    }

    fn relieve(&self) -> Result<()> {
        self.database.flush().map_err(|error| self.error("written", error))
    }

    fn size(&self) -> StoreSize {
        let memory_bytes = self.memory.cache.get_usage() as u64;
        let disk_bytes = self.property("rocksdb.live-sst-files-size");
        StoreSize { memory_bytes, disk_bytes }
    }
}

fn failed(what: &str, directory: &Path, cause: rocksdb::Error) -> Error {
    Error::new(Kind::Io, format!("the state in {} cannot be {what}", directory.display()))
        .help("see whether the disk is full or failing; the checkpoint is not touched by this")
        .caused_by(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(directory: &Path) -> RocksStore {
        RocksStore::open(&StateRequest { directory: directory.to_owned(), memory_bytes: 8 << 20 }).unwrap()
    }

    fn put(key: &str, value: &str) -> StateChange {
        StateChange::Put(key.into(), value.into())
    }

    fn all(store: &RocksStore) -> Vec<(String, String)> {
        let mut found = vec![];
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        store
            .scan(b"", &[0xff], &mut |key, value| {
                found.push((text(key), text(value)));
                Ok(true)
            })
            .unwrap();
        found
    }

    #[test]
    fn what_is_written_is_found_by_key_prefix_and_range() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory.path().join("db"));
        store.write(vec![put("a1", "x"), put("a2", "y"), put("b1", "z"), put("a3", "-")]).unwrap();
        store.write(vec![StateChange::Delete("a3".into())]).unwrap();
        let found = store.get(&["b1".into(), "a3".into(), "a1".into()]).unwrap();
        assert_eq!(found, [Some(b"z".to_vec()), None, Some(b"x".to_vec())]);
        let mut seen = vec![];
        let mut visit = |key: &[u8], _: &[u8]| {
            seen.push(String::from_utf8(key.to_vec()).unwrap());
            Ok(true)
        };
        store.scan_prefixes(&["b".into(), "none".into(), "a".into()], &mut visit).unwrap();
        assert_eq!(seen, ["b1", "a1", "a2"]);
        assert_eq!(all(&store).len(), 3);
    }

    #[test]
    fn a_copy_is_the_store_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let store_now = store(&directory.path().join("db"));
        store_now.write(vec![put("k", "old")]).unwrap();
        let copy = directory.path().join("copy");
        let files = store_now.copy_to(&copy).unwrap();
        store_now.write(vec![put("k", "new")]).unwrap();
        assert!(files.iter().any(|file| file.immutable), "{files:?}");
        assert!(files.iter().all(|file| copy.join(&file.name).is_file()));
        assert_eq!(all(&store(&copy)), [("k".to_owned(), "old".to_owned())]);
    }

    #[test]
    fn memory_stays_under_its_limit() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory.path().join("db"));
        for round in 0..40u32 {
            let entry = |key: u32| StateChange::Put((round * 20_000 + key).to_be_bytes().to_vec(), vec![7; 100]);
            store.write((0..20_000).map(entry).collect()).unwrap();
        }
        let keys: Vec<Vec<u8>> = (0..800_000u32).step_by(7).map(|key| key.to_be_bytes().to_vec()).collect();
        assert!(store.get(&keys).unwrap().iter().all(Option::is_some));
        assert!(store.size().memory_bytes <= 9 << 20, "{:?}", store.size());
        store.compact().unwrap();
        assert!(store.size().disk_bytes > 0);
    }
}
