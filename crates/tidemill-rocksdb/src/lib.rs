//! Keyed state larger than memory, in RocksDB.
//!
//! One database holds the state of all operators of a query. It is a working copy: nothing is written
//! ahead, because the journal of the checkpoint already is; a copy of the database is part of a snapshot.
//!
//! A leaf crate of its own because RocksDB takes longer to compile than everything else together.

mod options;
mod store;

use std::sync::Arc;
use store::RocksStore;
use tidemill_core::state::{StateBackend, StateRequest, StateStore};
use tidemill_core::{Registry, Result};

/// Adds the backend `rocksdb`.
pub fn register(registry: &mut Registry) {
    registry.add_state_backend(RocksDb);
}

/// The backend `rocksdb`.
#[derive(Debug, Default)]
pub struct RocksDb;

impl StateBackend for RocksDb {
    fn name(&self) -> &'static str {
        "rocksdb"
    }

    fn open(&self, request: &StateRequest) -> Result<Arc<dyn StateStore>> {
        Ok(Arc::new(RocksStore::open(request)?))
    }
}
