//! The rows that one side of a join keeps: columns in chunks, and for every row a slot that says where
//! it is, which rows of its key come before and after it, and when it goes.

use arrow::array::{Array, ArrayRef};
use arrow::compute::{concat_batches, interleave};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::collections::BTreeMap;
use tidemill_core::Result;

/// Expiry of a row that never goes.
pub const NEVER: i64 = i64::MAX;

const NONE: u32 = u32::MAX;

/// Rows are looked up for their expiry in spans of 2 to this power microseconds: about a second.
const SPAN_BITS: u32 = 20;

/// A chunk of this many rows is not joined with another any more.
const CHUNK_ROWS: usize = 8192;

/// Dead rows below this number are not worth to be cleared away.
const DEAD_ROWS_MIN: usize = 4096;

/// A row to keep.
#[derive(Debug, Clone, Copy)]
pub struct NewRow {
    /// Number of its key.
    pub key: u32,
    /// Its own number, unique in the operator.
    pub number: u64,
    /// The instant that closes it, in microseconds.
    pub expiry: i64,
    /// True when it has matched.
    pub matched: bool,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    row: NewRow,
    chunk: u32,
    place: u32,
    before: u32,
    after: u32,
    kept: bool,
}

struct Chunk {
    rows: RecordBatch,
    /// The slot of each row; a slot that is used for another row by now does not point back.
    slots: Vec<u32>,
    bytes: usize,
}

/// The first and the last row of a key.
#[derive(Debug, Clone, Copy)]
struct Chain {
    first: u32,
    last: u32,
}

/// The rows of one side.
pub struct Rows {
    schema: SchemaRef,
    chunks: Vec<Chunk>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// By key number.
    chains: Vec<Chain>,
    expiries: BTreeMap<i64, Vec<u32>>,
    live: usize,
}

impl Rows {
    /// No rows.
    pub fn new(schema: SchemaRef) -> Self {
        Rows { schema, chunks: vec![], slots: vec![], free: vec![], chains: vec![], expiries: BTreeMap::new(), live: 0 }
    }

    /// Keeps the rows of a batch; gives their slots.
    ///
    /// # Errors
    /// A bug: columns of another schema.
    pub fn add(&mut self, rows: RecordBatch, fresh: &[NewRow]) -> Result<Vec<u32>> {
        let chunk = self.chunks.len() as u32;
        let mut slots = Vec::with_capacity(fresh.len());
        for (place, row) in fresh.iter().enumerate() {
            let chain = self.chain(row.key);
            let before = chain.last;
            let new = Slot { row: *row, chunk, place: place as u32, before, after: NONE, kept: true };
            let slot = match self.free.pop() {
                Some(slot) => {
                    self.slots[slot as usize] = new;
                    slot
                }
                None => {
                    self.slots.push(new);
                    (self.slots.len() - 1) as u32
                }
            };
            let chain = self.chain(row.key);
            chain.last = slot;
            if before == NONE {
                chain.first = slot;
            } else {
                self.slots[before as usize].after = slot;
            }
            if row.expiry != NEVER {
                self.expiries.entry(row.expiry >> SPAN_BITS).or_default().push(slot);
            }
            slots.push(slot);
        }
        self.live += fresh.len();
        let bytes = rows.get_array_memory_size();
        self.chunks.push(Chunk { rows, slots: slots.clone(), bytes });
        Ok(slots)
    }

    fn chain(&mut self, key: u32) -> &mut Chain {
        if self.chains.len() <= key as usize {
            self.chains.resize(key as usize + 1, Chain { first: NONE, last: NONE });
        }
        &mut self.chains[key as usize]
    }

    /// The rows of a key, in order of arrival.
    pub fn of_key(&self, key: u32) -> impl Iterator<Item = u32> + '_ {
        let mut next = self.chains.get(key as usize).map_or(NONE, |chain| chain.first);
        std::iter::from_fn(move || {
            let slot = next;
            next = self.slots.get(slot as usize)?.after;
            Some(slot)
        })
    }

    /// Lets a row go. Its columns stay until the chunk is cleared away.
    pub fn remove(&mut self, slot: u32) {
        let Slot { row, before, after, .. } = self.slots[slot as usize];
        match before {
            NONE => self.chain(row.key).first = after,
            before => self.slots[before as usize].after = after,
        }
        match after {
            NONE => self.chain(row.key).last = before,
            after => self.slots[after as usize].before = before,
        }
        self.slots[slot as usize].kept = false;
        self.live -= 1;
        self.free.push(slot);
    }

    /// Rows whose expiry is at this bound or before; each once, no longer found by this.
    pub fn expired(&mut self, bound: i64) -> Vec<u32> {
        let span = bound >> SPAN_BITS;
        let later = self.expiries.split_off(&span);
        let whole = std::mem::replace(&mut self.expiries, later);
        let mut over = Vec::new();
        let mut seen = |slots: Vec<u32>, rows: &[Slot], span: i64| {
            let mut later = Vec::new();
            for slot in slots {
                let Slot { row, kept, .. } = rows[slot as usize];
                // a slot may have been given to another row since
                match kept && row.expiry >> SPAN_BITS == span {
                    true if row.expiry <= bound => over.push(slot),
                    true => later.push(slot),
                    false => {}
                }
            }
            later
        };
        for (span, slots) in whole {
            seen(slots, &self.slots, span);
        }
        if let Some(slots) = self.expiries.remove(&span) {
            let later = seen(slots, &self.slots, span);
            if !later.is_empty() {
                self.expiries.insert(span, later);
            }
        }
        over.sort_unstable();
        over.dedup();
        over
    }

    /// Columns of these rows.
    ///
    /// # Errors
    /// A bug: a type that cannot be gathered.
    pub fn columns(&self, slots: &[u32], wanted: &[usize]) -> Result<Vec<ArrayRef>> {
        let places: Vec<(usize, usize)> = slots
            .iter()
            .map(|slot| (self.slots[*slot as usize].chunk as usize, self.slots[*slot as usize].place as usize))
            .collect();
        let mut columns = Vec::with_capacity(wanted.len());
        for &column in wanted {
            let arrays: Vec<&dyn Array> = self.chunks.iter().map(|chunk| chunk.rows.column(column).as_ref()).collect();
            columns.push(interleave(&arrays, &places)?);
        }
        Ok(columns)
    }

    /// These rows.
    ///
    /// # Errors
    /// A bug: a type that cannot be gathered.
    pub fn take(&self, slots: &[u32]) -> Result<RecordBatch> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let columns = if slots.is_empty() {
            RecordBatch::new_empty(self.schema.clone()).columns().to_vec()
        } else {
            self.columns(slots, &all)?
        };
        let options = RecordBatchOptions::new().with_row_count(Some(slots.len()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// Number of a row's key.
    pub fn key(&self, slot: u32) -> u32 {
        self.slots[slot as usize].row.key
    }

    /// A row's own number.
    pub fn number(&self, slot: u32) -> u64 {
        self.slots[slot as usize].row.number
    }

    /// The instant that closes a row.
    pub fn expiry(&self, slot: u32) -> i64 {
        self.slots[slot as usize].row.expiry
    }

    /// True when a row has matched.
    pub fn is_marked(&self, slot: u32) -> bool {
        self.slots[slot as usize].row.matched
    }

    /// True when the slot has a row.
    pub fn is_kept(&self, slot: u32) -> bool {
        self.slots[slot as usize].kept
    }

    /// Notes that a row has matched; true the first time.
    pub fn mark(&mut self, slot: u32) -> bool {
        !std::mem::replace(&mut self.slots[slot as usize].row.matched, true)
    }

    /// Every row's slot, in order of arrival.
    pub fn all(&self) -> Vec<u32> {
        let mut slots: Vec<u32> = (0..self.slots.len() as u32).filter(|slot| self.slots[*slot as usize].kept).collect();
        slots.sort_unstable_by_key(|slot| self.number(*slot));
        slots
    }

    /// Rows kept.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Chunks the rows are in.
    #[cfg(test)]
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Memory held, in bytes.
    pub fn bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.bytes + chunk.slots.capacity() * 4).sum();
        chunks
            + self.slots.capacity() * size_of::<Slot>()
            + self.chains.capacity() * size_of::<Chain>()
            + self.live * 4
            + self.expiries.len() * 48
    }

    /// Joins small chunks, so that few are left, and clears dead rows away, so that they never are more
    /// than those kept. Every row is moved a few times in its life.
    ///
    /// # Errors
    /// A bug: a type that cannot be gathered.
    pub fn tidy(&mut self) -> Result<()> {
        let total: usize = self.chunks.iter().map(|chunk| chunk.slots.len()).sum();
        if self.live == 0 {
            self.chunks.clear();
            return Ok(());
        }
        if total - self.live > self.live + DEAD_ROWS_MIN {
            return self.gather(0);
        }
        let sizes: Vec<usize> = self.chunks.iter().map(|chunk| chunk.slots.len()).collect();
        let mut first = sizes.len() - 1;
        let mut rows = sizes[first];
        while first > 0 && rows < CHUNK_ROWS && sizes[first - 1] < CHUNK_ROWS && sizes[first - 1] <= rows * 2 + 16 {
            first -= 1;
            rows += sizes[first];
        }
        if first + 1 < sizes.len() { self.gather(first) } else { Ok(()) }
    }

    /// The live rows of the chunks from `first` on in one chunk.
    fn gather(&mut self, first: usize) -> Result<()> {
        let mut parts = Vec::new();
        let mut slots = Vec::new();
        for (number, chunk) in self.chunks.iter().enumerate().skip(first) {
            let points_back = |(place, slot): &(usize, &u32)| {
                let known = self.slots[**slot as usize];
                known.kept && known.chunk as usize == number && known.place as usize == *place
            };
            let kept: Vec<u32> =
                chunk.slots.iter().enumerate().filter(points_back).map(|(place, _)| place as u32).collect();
            slots.extend(kept.iter().map(|place| chunk.slots[*place as usize]));
            parts.push(match kept.len() == chunk.slots.len() {
                true => chunk.rows.clone(),
                false => crate::operator::take_rows(&chunk.rows, &kept.into())?,
            });
        }
        let rows = concat_batches(&self.schema, &parts)?;
        for (place, slot) in slots.iter().enumerate() {
            let slot = &mut self.slots[*slot as usize];
            (slot.chunk, slot.place) = (first as u32, place as u32);
        }
        self.chunks.truncate(first);
        let bytes = rows.get_array_memory_size();
        self.chunks.push(Chunk { rows, slots, bytes });
        Ok(())
    }
}
