//! One text, or one value of bytes, a slot: all of them in a few blocks, written over in place where the new one fits.

use super::cells::Cells;
use arrow::array::{Array, ArrayRef, AsArray, GenericByteArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::ByteArrayType;
use std::marker::PhantomData;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result};

/// Cells that hold less than this are not compacted, in bytes.
const COMPACT_BYTES_MIN: usize = 1 << 20;
/// A new block is as large as all before it, within these bounds, in bytes: values are never moved to make room for more.
const BLOCK_BYTES_MIN: usize = 1 << 10;
const BLOCK_BYTES_MAX: usize = 4 << 20;

/// Cells of texts or bytes with offsets of 32 bits.
pub struct TextCells<T: ByteArrayType<Offset = i32>> {
    of: PhantomData<T>,
    places: Vec<Place>,
    blocks: Blocks,
    /// Bytes of the blocks that no slot has room in.
    lost: usize,
}

/// Where a slot's value is; `length` is [`NULL`] when there is none.
#[derive(Clone, Copy)]
struct Place {
    block: u32,
    start: u32,
    length: u32,
    room: u32,
}

const NULL: u32 = u32::MAX;
const EMPTY: Place = Place { block: 0, start: 0, length: NULL, room: 0 };

/// Bytes one after another.
#[derive(Default)]
struct Blocks {
    blocks: Vec<Vec<u8>>,
    /// Bytes in all of them.
    held: usize,
}

impl Blocks {
    /// Appends a value, whole in one block.
    fn push(&mut self, value: &[u8]) -> Place {
        let has_room = |block: &Vec<u8>| block.capacity() - block.len() >= value.len();
        if !self.blocks.last().is_some_and(has_room) {
            let bytes = self.held.clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX).max(value.len());
            self.blocks.push(Vec::with_capacity(bytes));
        }
        let number = self.blocks.len() - 1;
        let block = &mut self.blocks[number];
        let (start, length) = (block.len() as u32, value.len() as u32);
        block.extend_from_slice(value);
        self.held += value.len();
        Place { block: number as u32, start, length, room: length }
    }

    fn bytes(&self, place: Place) -> &[u8] {
        let start = place.start as usize;
        if place.length == 0 { &[] } else { &self.blocks[place.block as usize][start..start + place.length as usize] }
    }

    fn write_over(&mut self, place: Place, value: &[u8]) {
        let start = place.start as usize;
        if !value.is_empty() {
            self.blocks[place.block as usize][start..start + value.len()].copy_from_slice(value);
        }
    }

    fn capacity(&self) -> usize {
        self.blocks.iter().map(Vec::capacity).sum()
    }
}

impl<T: ByteArrayType<Offset = i32>> Default for TextCells<T> {
    fn default() -> Self {
        TextCells { of: PhantomData, places: vec![], blocks: Blocks::default(), lost: 0 }
    }
}

impl<T: ByteArrayType<Offset = i32>> TextCells<T> {
    fn set(&mut self, slot: u32, value: &[u8]) {
        let place = &mut self.places[slot as usize];
        if place.room as usize >= value.len() {
            place.length = value.len() as u32;
            self.blocks.write_over(*place, value);
            return;
        }
        self.lost += place.room as usize;
        *place = self.blocks.push(value);
    }

    fn value(&self, slot: u32) -> Option<&[u8]> {
        let place = self.places[slot as usize];
        (place.length != NULL).then(|| self.blocks.bytes(place))
    }

    fn compact_if_worth_it(&mut self) {
        if self.lost <= COMPACT_BYTES_MIN || self.lost <= self.blocks.held / 2 {
            return;
        }
        let mut blocks = Blocks::default();
        for place in &mut self.places {
            *place = match place.length {
                NULL => EMPTY,
                _ => blocks.push(self.blocks.bytes(*place)),
            };
        }
        (self.blocks, self.lost) = (blocks, 0);
    }
}

impl<T: ByteArrayType<Offset = i32>> Cells for TextCells<T> {
    fn resize(&mut self, count: usize) {
        self.places.resize(count, EMPTY);
    }

    fn put(&mut self, column: &ArrayRef, rows: &[u32], slots: &[u32]) -> Result<()> {
        let column = column.as_bytes::<T>();
        let (offsets, bytes) = (column.value_offsets(), column.value_data());
        for (&row, &slot) in rows.iter().zip(slots) {
            let row = row as usize;
            match column.is_valid(row) {
                true => self.set(slot, &bytes[offsets[row] as usize..offsets[row + 1] as usize]),
                false => self.places[slot as usize].length = NULL,
            }
        }
        self.compact_if_worth_it();
        Ok(())
    }

    fn copy(&mut self, from: u32, into: u32) {
        match self.value(from).map(<[u8]>::to_vec) {
            Some(value) => self.set(into, &value),
            None => self.places[into as usize].length = NULL,
        }
    }

    fn clear(&mut self, slot: u32) {
        let place = &mut self.places[slot as usize];
        self.lost += place.room as usize;
        *place = EMPTY;
    }

    fn column(&self, slots: &[u32]) -> Result<ArrayRef> {
        let lengths = slots.iter().map(|slot| self.value(*slot).map_or(0, <[u8]>::len));
        let total: usize = lengths.clone().sum();
        if i32::try_from(total).is_err() {
            let groups = slots.len();
            let message = format!("the texts of {groups} groups have {total} bytes together, more than a column holds");
            return Err(Error::new(Kind::Io, message)
                .help("smaller epochs or more partitions (SET parallelism) have fewer groups each"));
        }
        let mut bytes = Vec::with_capacity(total);
        slots.iter().filter_map(|slot| self.value(*slot)).for_each(|value| bytes.extend_from_slice(value));
        let is_valid = |slot: &u32| self.places[*slot as usize].length != NULL;
        let nulls = NullBuffer::from_iter(slots.iter().map(is_valid));
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(GenericByteArray::<T>::try_new(offsets, Buffer::from_vec(bytes), nulls)?))
    }

    fn size(&self) -> usize {
        self.blocks.capacity() + self.places.capacity() * size_of::<Place>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;
    use arrow::datatypes::Utf8Type;

    fn texts(cells: &TextCells<Utf8Type>, slots: &[u32]) -> Vec<Option<String>> {
        let column = cells.column(slots).unwrap();
        column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn values_are_replaced_by_shorter_and_longer_ones_and_by_null() {
        let mut cells = TextCells::<Utf8Type>::default();
        cells.resize(3);
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some("kangaroo"), None, Some("emu"), Some("")]));
        cells.put(&column, &[0, 2, 1], &[0, 1, 2]).unwrap();
        assert_eq!(texts(&cells, &[2, 0, 1]), [None, some("kangaroo"), some("emu")]);
        cells.put(&column, &[2, 0, 3], &[0, 1, 2]).unwrap();
        assert_eq!(texts(&cells, &[0, 1, 2]), [some("emu"), some("kangaroo"), some("")]);
        cells.put(&column, &[1, 0], &[1, 0]).unwrap();
        cells.copy(0, 2);
        cells.clear(0);
        assert_eq!(texts(&cells, &[0, 1, 2]), [None, None, some("kangaroo")]);
    }

    #[test]
    fn what_is_written_over_does_not_pile_up() {
        let mut cells = TextCells::<Utf8Type>::default();
        cells.resize(1_000);
        let slots: Vec<u32> = (0..1_000).collect();
        for length in 0..200 {
            let column: ArrayRef =
                Arc::new(StringArray::from_iter_values((0..1_000).map(|n| format!("{n:0>length$}"))));
            cells.put(&column, &slots, &slots).unwrap();
        }
        assert_eq!(texts(&cells, &[7])[0].as_deref().map(str::len), Some(199));
        assert!(cells.size() < 4 * COMPACT_BYTES_MIN, "{}", cells.size());
    }

    #[test]
    fn a_value_may_be_longer_than_a_block() {
        let mut cells = TextCells::<Utf8Type>::default();
        cells.resize(2);
        let long = "long".repeat(BLOCK_BYTES_MAX / 4 + 1);
        let column: ArrayRef = Arc::new(StringArray::from(vec!["", "short", long.as_str()]));
        cells.put(&column, &[0, 2], &[0, 1]).unwrap();
        cells.put(&column, &[1], &[0]).unwrap();
        assert_eq!(texts(&cells, &[1, 0]), [some(&long), some("short")]);
        cells.put(&column, &[0], &[1]).unwrap();
        assert_eq!(texts(&cells, &[1, 0]), [some(""), some("short")]);
    }
}
