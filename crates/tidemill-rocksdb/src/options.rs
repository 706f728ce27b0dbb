//! How the database is set up: one limit for all memory, no log of its own, filters for keys that are
//! not there.

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, LogLevel, Options, WriteBufferManager, WriteOptions};

/// Share of the memory that writes may wait in.
const WRITE_SHARE: u64 = 3;
/// A buffer of writes that is this large becomes a file, in bytes.
const BUFFER_BYTES_MAX: u64 = 64 << 20;
/// And never smaller than this.
const BUFFER_BYTES_MIN: u64 = 64 << 10;
/// Bits a key in the filters: one key in a hundred that is not there is looked for in vain.
const FILTER_BITS: f64 = 10.0;
/// Bytes of a block: a key that is looked up costs the reading of one.
const BLOCK_BYTES: usize = 4 << 10;

/// What holds the memory, and how it is set up.
pub struct Memory {
    /// Blocks, indexes and filters that have been read, and the buffers of writes, which are charged to it.
    pub cache: Cache,
    /// The buffers of writes.
    pub buffers: WriteBufferManager,
    buffer_bytes: u64,
}

impl Memory {
    /// Everything within so many bytes.
    pub fn new(bytes: u64) -> Memory {
        let cache = Cache::new_lru_cache(bytes as usize);
        let writes = bytes / WRITE_SHARE;
        let buffers = WriteBufferManager::new_write_buffer_manager_with_cache(writes as usize, true, cache.clone());
        Memory { cache, buffers, buffer_bytes: (writes / 2).clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX) }
    }

    /// The options of the database.
    pub fn database_options(&self) -> Options {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.cache);
        table.set_block_size(BLOCK_BYTES);
        table.set_bloom_filter(FILTER_BITS, false);
        // indexes and filters count as well: without this they grow with the state
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_optimize_filters_for_memory(true);

        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&table);
        options.set_write_buffer_manager(&self.buffers);
        options.set_write_buffer_size(self.buffer_bytes as usize);
        options.set_max_write_buffer_number(3);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_level_compaction_dynamic_level_bytes(true);
        options.increase_parallelism(2);
        options.set_keep_log_file_num(1);
        options.set_log_level(LogLevel::Warn);
        options
    }
}

/// Writes go to the buffer alone: the checkpoint's journal is the log.
pub fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}
