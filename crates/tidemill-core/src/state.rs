//! The contract of a store for keyed state that does not fit in memory: an ordered map of bytes that can
//! be written to at once and copied as it is.
//!
//! The engine says what keys and values mean. A store is a working copy: what makes state survive is the
//! checkpoint, so a store need not survive the process.

use crate::error::Result;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A kind of store, by name.
pub trait StateBackend: Send + Sync {
    /// What users write: `rocksdb`.
    fn name(&self) -> &'static str;

    /// Opens the store in a directory, or makes an empty one there.
    ///
    /// # Errors
    /// The directory cannot be read or written, or holds something else.
    fn open(&self, request: &StateRequest) -> Result<Arc<dyn StateStore>>;
}

/// What a store needs to open.
#[derive(Debug, Clone)]
pub struct StateRequest {
    /// Its directory. Only this process uses it.
    pub directory: PathBuf,
    /// Memory it may hold for everything, in bytes.
    pub memory_bytes: u64,
}

/// One change of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateChange {
    /// A key gets a value.
    Put(Vec<u8>, Vec<u8>),
    /// A key goes.
    Delete(Vec<u8>),
}

/// Sizes of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreSize {
    /// Memory held: buffers and caches, in bytes.
    pub memory_bytes: u64,
    /// Files, in bytes.
    pub disk_bytes: u64,
}

/// A file of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedFile {
    /// Its name in the store's directory, which the store needs it to have.
    pub name: String,
    /// True when it never changes: copies that have it share it.
    pub immutable: bool,
}

/// Sees a key and its value; false ends the scan.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> Result<bool> + 'a;

/// A store: keys in the order of their bytes.
pub trait StateStore: Send + Sync {
    /// The values of keys, in their order.
    ///
    /// # Errors
    /// The disk fails.
    fn get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>>;

    /// Shows the entries whose keys begin with each of these prefixes, prefix by prefix.
    ///
    /// # Errors
    /// The disk fails, or the visitor.
    fn scan_prefixes(&self, prefixes: &[Vec<u8>], visit: &mut Visitor<'_>) -> Result<()>;

    /// Shows the entries from the key `from` on, up to `until`, which is not among them.
    ///
    /// # Errors
    /// The disk fails, or the visitor.
    fn scan(&self, from: &[u8], until: &[u8], visit: &mut Visitor<'_>) -> Result<()>;

    /// Makes all changes, or none.
    ///
    /// # Errors
    /// The disk fails.
    fn write(&self, changes: Vec<StateChange>) -> Result<()>;

    /// Puts a copy of the whole store into a directory that does not exist yet. What it shares with the
    /// store costs nothing.
    ///
    /// # Errors
    /// The disk fails.
    fn copy_to(&self, directory: &Path) -> Result<Vec<CopiedFile>>;

    /// Lets go of the room that deleted keys still take.
    ///
    /// # Errors
    /// The disk fails.
    fn compact(&self) -> Result<()>;

    /// Gives memory back: what waits in buffers is written to files.
    ///
    /// # Errors
    /// The disk fails.
    fn relieve(&self) -> Result<()> {
        Ok(())
    }

    /// Its sizes.
    fn size(&self) -> StoreSize;
}
