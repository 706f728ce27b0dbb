//! Reads a store from outside: the rows of an operator, a batch at a time.

use super::codec::Codec;
use super::groups::KEY_GROUPS;
use super::space::Space;
use arrow::record_batch::RecordBatch;
use tidemill_core::Result;

/// Entries of a batch.
const ENTRIES_AT_ONCE: usize = 1 << 16;

/// Shows every row of an operator, in the order of key groups and keys, as they were written, until the visitor
/// says that it is enough.
///
/// # Errors
/// The disk fails, an entry is damaged, or the visitor fails.
pub fn rows(space: &Space, visit: &mut dyn FnMut(RecordBatch) -> Result<bool>) -> Result<()> {
    let codec = Codec::new(&space.shape()?)?;
    let [mut from, until] = space.rows(&(0..KEY_GROUPS));
    loop {
        let mut entries: Vec<(Vec<u8>, Vec<u8>)> = vec![];
        let mut last = vec![];
        space.store().scan(&from, &until, &mut |place, value| {
            entries.push((Space::entry_at(place).to_vec(), value.to_vec()));
            last = place.to_vec();
            Ok(entries.len() < ENTRIES_AT_ONCE)
        })?;
        if entries.is_empty() {
            return Ok(());
        }
        let rows = codec.decode(entries.iter().map(|(entry, value)| (&entry[..], &value[..])))?;
        if !visit(rows)? {
            return Ok(());
        }
        last.push(0);
        from = last;
    }
}
