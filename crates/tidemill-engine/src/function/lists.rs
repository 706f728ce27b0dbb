//! Lists as functions see them: ranges over values, new lists put together of values of others, and
//! values in a form that compares as Spark compares them.

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, UInt32Array, new_empty_array, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Field};
use arrow::row::{RowConverter, Rows, SortField};
use std::ops::Range;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result};

/// Most values the lists made for one batch of rows may have together.
pub const VALUES_MAX: usize = 1 << 28;

/// A column of lists.
pub struct Lists<'a> {
    list: &'a ListArray,
}

impl<'a> Lists<'a> {
    /// The lists of a column whose type is a list.
    pub fn of(array: &'a ArrayRef) -> Self {
        Lists { list: array.as_list::<i32>() }
    }

    /// How many there are.
    pub fn rows(&self) -> usize {
        self.list.len()
    }

    /// The places of a row's values; `None` for NULL.
    pub fn range(&self, row: usize) -> Option<Range<usize>> {
        if self.list.is_null(row) {
            return None;
        }
        let offsets = self.list.value_offsets();
        Some(offsets[row] as usize..offsets[row + 1] as usize)
    }

    /// The values of all rows.
    pub fn values(&self) -> &'a ArrayRef {
        self.list.values()
    }

    /// The values of the rows that are not NULL, one after the other.
    pub fn elements(&self) -> Result<Elements> {
        let mut rows = Vec::with_capacity(self.values().len());
        let mut places = Vec::with_capacity(self.values().len());
        let mut lengths = Vec::with_capacity(self.rows());
        for row in 0..self.rows() {
            let range = self.range(row).unwrap_or(0..0);
            lengths.push(range.len());
            rows.extend(std::iter::repeat_n(row as u32, range.len()));
            places.extend(range.map(|place| place as u32));
        }
        let whole = places.len() == self.values().len() && places.first().is_none_or(|first| *first == 0);
        let values = if whole { self.values().clone() } else { take(self.values(), &UInt32Array::from(places), None)? };
        Ok(Elements { values, rows: UInt32Array::from(rows), lengths, nulls: self.list.nulls().cloned() })
    }
}

/// The values of lists, each with the row it is of.
pub struct Elements {
    /// The values.
    pub values: ArrayRef,
    /// The row of each value.
    pub rows: UInt32Array,
    /// How many values each row has.
    pub lengths: Vec<usize>,
    /// Which rows are NULL.
    pub nulls: Option<NullBuffer>,
}

impl Elements {
    /// The place of each value in its list, counted from 0.
    pub fn positions(&self) -> ArrayRef {
        let positions = self.lengths.iter().flat_map(|length| 0..*length as i32);
        Arc::new(arrow::array::Int32Array::from_iter_values(positions))
    }

    /// Lists of the same lengths with other values.
    pub fn with_values(self, values: ArrayRef) -> Result<ArrayRef> {
        let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        Ok(Arc::new(ListArray::try_new(field, offsets, values, self.nulls)?))
    }
}

/// New lists of values picked from several columns.
#[derive(Default)]
pub struct Picks {
    order: Vec<(usize, usize)>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
    done: usize,
}

impl Picks {
    /// For this many rows.
    pub fn new(rows: usize) -> Self {
        Picks { lengths: Vec::with_capacity(rows), valid: Vec::with_capacity(rows), ..Picks::default() }
    }

    /// Adds the value at a place of a source to the row's list.
    pub fn push(&mut self, source: usize, place: usize) {
        self.order.push((source, place));
    }

    /// Adds all values of a range.
    pub fn extend(&mut self, source: usize, places: impl IntoIterator<Item = usize>) {
        self.order.extend(places.into_iter().map(|place| (source, place)));
    }

    /// Adds a NULL.
    pub fn push_null(&mut self) {
        self.order.push((usize::MAX, 0));
    }

    /// The row's list is complete.
    pub fn end(&mut self) {
        self.lengths.push(self.order.len() - self.done);
        self.valid.push(true);
        self.done = self.order.len();
    }

    /// The row is NULL.
    pub fn end_null(&mut self) {
        self.order.truncate(self.done);
        self.lengths.push(0);
        self.valid.push(false);
    }

    /// The lists, of values of the type `element`.
    ///
    /// # Errors
    /// More than [`VALUES_MAX`] values.
    pub fn build(mut self, element: &DataType, sources: &[&ArrayRef]) -> Result<ArrayRef> {
        check_size(self.order.len())?;
        let missing = new_null_array(element, 1);
        let last = sources.len();
        for (source, _) in &mut self.order {
            *source = (*source).min(last);
        }
        let mut columns: Vec<&dyn Array> = sources.iter().map(|source| &***source).collect();
        columns.push(&*missing);
        let values = match self.order.is_empty() {
            true => new_empty_array(element),
            false => interleave(&columns, &self.order)?,
        };
        let nulls = NullBuffer::from(self.valid);
        let field = Arc::new(Field::new_list_field(element.clone(), true));
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        Ok(Arc::new(ListArray::try_new(field, offsets, values, Some(nulls))?))
    }
}

/// Refuses lists that together are too long.
///
/// # Errors
/// More than [`VALUES_MAX`] values.
pub fn check_size(values: usize) -> Result<()> {
    if values <= VALUES_MAX {
        return Ok(());
    }
    Err(Error::new(Kind::Data, format!("arrays of {values} values are to be made; at most {VALUES_MAX} fit"))
        .class("COLLECTION_SIZE_LIMIT_EXCEEDED.PARAMETER"))
}

/// Values in a form that compares as Spark does: NULL first, NaN one value and the largest, -0.0 as 0.0.
/// All arrays are of one type; rows of all of them can be compared.
///
/// # Errors
/// A type that has no order: a map.
pub fn comparable(arrays: &[&ArrayRef]) -> Result<Vec<Rows>> {
    let Some(first) = arrays.first() else { return Ok(vec![]) };
    let converter = RowConverter::new(vec![SortField::new(first.data_type().clone())])?;
    arrays.iter().map(|array| Ok(converter.convert_columns(&[normalized(array)?])?)).collect()
}

/// Floating-point values at any depth with one zero and one NaN.
fn normalized(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Float32 | DataType::Float64 => super::math::normalize(array),
        DataType::List(field) if has_floats(field.data_type()) => {
            let list = array.as_list::<i32>();
            let values = normalized(list.values())?;
            Arc::new(ListArray::try_new(field.clone(), list.offsets().clone(), values, list.nulls().cloned())?)
        }
        DataType::Struct(fields) if has_floats(array.data_type()) => {
            let structs = array.as_struct();
            let columns = structs.columns().iter().map(normalized).collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, structs.nulls().cloned())?)
        }
        _ => array.clone(),
    })
}

fn has_floats(of: &DataType) -> bool {
    match of {
        DataType::Float32 | DataType::Float64 => true,
        DataType::List(field) => has_floats(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_floats(field.data_type())),
        _ => false,
    }
}
