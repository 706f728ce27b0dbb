//! Keyed state larger than memory, in RocksDB.
