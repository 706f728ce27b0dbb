//! Lists of values by slot, as columns: how collections come out and are saved.

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::Field;
use std::sync::Arc;
use tidemill_core::Result;

/// A column of lists over their values, one after the other.
///
/// # Errors
/// Lengths that do not add up to the values: a bug.
pub fn list_of(values: ArrayRef, lengths: &[usize], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    Ok(Arc::new(ListArray::try_new(field, offsets, values, nulls)?))
}

/// A saved column of lists.
pub fn lists(column: &ArrayRef) -> &ListArray {
    column.as_list::<i32>()
}

/// Where the values of a list are.
pub fn range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize
}
