//! What statistics share: a few running doubles a group, and a result from them. The functions are in
//! `moments.rs` and `pairs.rs`.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use std::fmt;
use std::sync::Arc;
use tidemill_core::Result;

/// Adds a value, or a pair of values, to the figures of a group.
pub type Add<const N: usize> = fn(&mut [f64; N], f64, f64);
/// Adds the figures of one group to those of another.
pub type Merge<const N: usize> = fn(&mut [f64; N], &[f64; N]);

/// How figures run: from all zero, value by value.
#[derive(Clone, Copy)]
pub struct Figures<const N: usize> {
    /// Adds a value.
    pub add: Add<N>,
    /// Adds another group's.
    pub merge: Merge<N>,
}

/// A statistic: figures and what is read from them. The first figure is the number of values.
#[derive(Clone, Copy)]
pub struct Statistic<const N: usize> {
    /// What it is called in identities.
    pub name: &'static str,
    /// Arguments it takes; rows in which one is NULL are passed over.
    pub arguments: usize,
    /// Its figures.
    pub figures: Figures<N>,
    /// The result; NULL for `None`.
    pub result: fn(&[f64; N]) -> Option<f64>,
}

impl<const N: usize> fmt::Debug for Statistic<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl<const N: usize> AggregateFunction for Statistic<N> {
    fn identity(&self) -> String {
        self.name.to_owned()
    }

    fn result_type(&self) -> DataType {
        DataType::Float64
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Float64; N]
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Running { statistic: *self, figures: vec![] }))
    }
}

struct Running<const N: usize> {
    statistic: Statistic<N>,
    figures: Vec<[f64; N]>,
}

impl<const N: usize> Accumulator for Running<N> {
    fn resize(&mut self, count: usize) {
        self.figures.resize(count, [0.0; N]);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let first = arguments[0].as_primitive::<Float64Type>();
        let second = arguments[self.statistic.arguments - 1].as_primitive::<Float64Type>();
        let no_nulls = first.null_count() == 0 && second.null_count() == 0;
        let add = self.statistic.figures.add;
        for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
            let row = row as usize;
            if no_nulls || (first.is_valid(row) && second.is_valid(row)) {
                add(&mut self.figures[slot as usize], first.value(row), second.value(row));
            }
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        for (&from, &into) in from.iter().zip(into) {
            let other = self.figures[from as usize];
            if other[0] != 0.0 {
                (self.statistic.figures.merge)(&mut self.figures[into as usize], &other);
            }
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        let result = |slot: &u32| {
            let figures = &self.figures[*slot as usize];
            if figures[0] == 0.0 { None } else { (self.statistic.result)(figures) }
        };
        Ok(Arc::new(slots.iter().map(result).collect::<Float64Array>()))
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.figures[slot as usize] = [0.0; N]);
    }
}

impl<const N: usize> Saved for Running<N> {
    fn save(&mut self, slots: &[u32], _scope: Scope) -> Result<Vec<ArrayRef>> {
        let column = |figure: usize| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(slots.iter().map(|&slot| self.figures[slot as usize][figure])))
        };
        Ok((0..N).map(column).collect())
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        for (figure, column) in columns.iter().enumerate() {
            for (&slot, &value) in slots.iter().zip(column.as_primitive::<Float64Type>().values()) {
                self.figures[slot as usize][figure] = value;
            }
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.figures.capacity() * size_of::<[f64; N]>()
    }
}
