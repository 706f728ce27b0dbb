//! One value a slot, of any type: flat for numbers and times, an arena for texts, row bytes for the rest. What aggregates
//! keep that pick a value (`first`, `max_by`).

use super::extreme::optional_rows;
use super::text_cells::TextCells;
use crate::state::keys::converter;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, UInt32Array, new_null_array};
use arrow::datatypes::{
    BinaryType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType, Utf8Type,
};
use arrow::row::RowConverter;
use tidemill_core::Result;

/// One value a slot; NULL at first.
pub trait Cells: Send {
    /// Makes slots `0..count` exist.
    fn resize(&mut self, count: usize);
    /// Puts `column[rows[i]]` into slot `slots[i]`, for every i in turn.
    fn put(&mut self, column: &ArrayRef, rows: &[u32], slots: &[u32]) -> Result<()>;
    /// Copies a slot's value to another.
    fn copy(&mut self, from: u32, into: u32);
    /// Makes a slot NULL.
    fn clear(&mut self, slot: u32);
    /// The values of some slots.
    fn column(&self, slots: &[u32]) -> Result<ArrayRef>;
    /// Memory held, in bytes.
    fn size(&self) -> usize;
}

/// Cells for values of a type.
///
/// # Errors
/// A type that cannot be kept.
pub fn cells(of: &DataType) -> Result<Box<dyn Cells>> {
    fn flat<T: ArrowPrimitiveType>(of: &DataType) -> Box<dyn Cells> {
        Box::new(Flat::<T> { of: of.clone(), values: vec![], valid: vec![] })
    }
    Ok(match of {
        DataType::Null => Box::new(Nothing),
        DataType::Int8 => flat::<Int8Type>(of),
        DataType::Int16 => flat::<Int16Type>(of),
        DataType::Int32 => flat::<Int32Type>(of),
        DataType::Int64 => flat::<Int64Type>(of),
        DataType::Float32 => flat::<Float32Type>(of),
        DataType::Float64 => flat::<Float64Type>(of),
        DataType::Date32 => flat::<Date32Type>(of),
        DataType::Timestamp(..) => flat::<TimestampMicrosecondType>(of),
        DataType::Decimal128(..) => flat::<Decimal128Type>(of),
        DataType::Utf8 => Box::new(TextCells::<Utf8Type>::default()),
        DataType::Binary => Box::new(TextCells::<BinaryType>::default()),
        _ => Box::new(Rows { of: of.clone(), converter: converter(std::slice::from_ref(of))?, values: vec![] }),
    })
}

/// Cells of type NULL.
struct Nothing;

impl Cells for Nothing {
    fn resize(&mut self, _: usize) {}

    fn put(&mut self, _: &ArrayRef, _: &[u32], _: &[u32]) -> Result<()> {
        Ok(())
    }

    fn copy(&mut self, _: u32, _: u32) {}

    fn clear(&mut self, _: u32) {}

    fn column(&self, slots: &[u32]) -> Result<ArrayRef> {
        Ok(new_null_array(&DataType::Null, slots.len()))
    }

    fn size(&self) -> usize {
        0
    }
}

struct Flat<T: ArrowPrimitiveType> {
    of: DataType,
    values: Vec<T::Native>,
    valid: Vec<bool>,
}

impl<T: ArrowPrimitiveType> Cells for Flat<T> {
    fn resize(&mut self, count: usize) {
        self.values.resize(count, T::Native::default());
        self.valid.resize(count, false);
    }

    fn put(&mut self, column: &ArrayRef, rows: &[u32], slots: &[u32]) -> Result<()> {
        let column = column.as_primitive::<T>();
        for (&row, &slot) in rows.iter().zip(slots) {
            self.values[slot as usize] = column.value(row as usize);
            self.valid[slot as usize] = column.is_valid(row as usize);
        }
        Ok(())
    }

    fn copy(&mut self, from: u32, into: u32) {
        self.values[into as usize] = self.values[from as usize];
        self.valid[into as usize] = self.valid[from as usize];
    }

    fn clear(&mut self, slot: u32) {
        self.valid[slot as usize] = false;
    }

    fn column(&self, slots: &[u32]) -> Result<ArrayRef> {
        let value = |slot: &u32| self.valid[*slot as usize].then(|| self.values[*slot as usize]);
        let values = slots.iter().map(value).collect::<PrimitiveArray<T>>();
        Ok(std::sync::Arc::new(values.with_data_type(self.of.clone())))
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.valid.capacity()
    }
}

struct Rows {
    of: DataType,
    converter: RowConverter,
    values: Vec<Option<Box<[u8]>>>,
}

impl Cells for Rows {
    fn resize(&mut self, count: usize) {
        self.values.resize(count, None);
    }

    fn put(&mut self, column: &ArrayRef, rows: &[u32], slots: &[u32]) -> Result<()> {
        let wanted = arrow::compute::take(column, &UInt32Array::from(rows.to_vec()), None)?;
        let bytes = self.converter.convert_columns(std::slice::from_ref(&wanted))?;
        for (row, &slot) in slots.iter().enumerate() {
            self.values[slot as usize] = wanted.is_valid(row).then(|| bytes.row(row).as_ref().into());
        }
        Ok(())
    }

    fn copy(&mut self, from: u32, into: u32) {
        self.values[into as usize] = self.values[from as usize].clone();
    }

    fn clear(&mut self, slot: u32) {
        self.values[slot as usize] = None;
    }

    fn column(&self, slots: &[u32]) -> Result<ArrayRef> {
        let values = slots.iter().map(|&slot| self.values[slot as usize].as_deref());
        optional_rows(&self.converter, &self.of, values.collect())
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<Option<Box<[u8]>>>()
            + self.values.iter().flatten().map(|value| value.len()).sum::<usize>()
    }
}
