//! `max_by(x, y, k)` and `min_by(x, y, k)`: the values of the k rows with the largest or smallest `y`, best
//! first; of equal ones the earlier row stays.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::extreme::optional_rows;
use super::lists::{list_of, lists, range};
use super::{Built, out_of_range};
use crate::function::{CallContext, constant};
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use crate::state::keys::converter;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::RowConverter;
use std::cmp::Ordering;
use std::sync::Arc;
use tidemill_core::{Result, types};

/// Most values a slot may keep.
const ROWS_MAX: i64 = 100_000;

/// The function over a value, what it is ordered by, and how many to keep.
///
/// # Errors
/// A number that is no literal, or out of range.
pub fn build(context: &CallContext<'_>, arguments: Vec<Typed>, count: &Typed, largest: bool) -> Result<Built> {
    let literal = constant::value(count)?.and_then(|literal| literal.cast_to(&DataType::Int64).ok());
    let Some(literal) = literal else {
        return Err(refuse::type_mismatch(
            "NON_FOLDABLE_INPUT",
            format!("the third argument of {} must be a constant", context.name),
            context.text,
            context.at,
        ));
    };
    let count = match literal {
        datafusion::common::ScalarValue::Int64(Some(count)) if (1..=ROWS_MAX).contains(&count) => count as usize,
        _ => return Err(out_of_range(context, "the third argument", &format!("1 to {ROWS_MAX}"))),
    };
    let (of, by) = (arguments[0].data_type.clone(), arguments[1].data_type.clone());
    Ok((Arc::new(Best { largest, count, of, by }), arguments))
}

#[derive(Debug)]
struct Best {
    largest: bool,
    count: usize,
    of: DataType,
    by: DataType,
}

impl AggregateFunction for Best {
    fn identity(&self) -> String {
        let end = if self.largest { "largest" } else { "smallest" };
        format!("{} of the {} {end} {}", types::name(&self.of), self.count, types::name(&self.by))
    }

    fn result_type(&self) -> DataType {
        types::array_of(self.of.clone())
    }

    fn state_types(&self) -> Vec<DataType> {
        [self.of.clone(), self.by.clone(), DataType::Int64].map(types::array_of).to_vec()
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Tops {
            largest: self.largest,
            count: self.count,
            of: self.of.clone(),
            by: self.by.clone(),
            values: converter(std::slice::from_ref(&self.of))?,
            orders: converter(std::slice::from_ref(&self.by))?,
            tops: vec![],
        }))
    }
}

#[derive(Clone)]
struct Row {
    order: Box<[u8]>,
    number: u64,
    value: Option<Box<[u8]>>,
}

struct Tops {
    largest: bool,
    count: usize,
    of: DataType,
    by: DataType,
    values: RowConverter,
    orders: RowConverter,
    /// The best rows of every slot, best first.
    tops: Vec<Vec<Row>>,
}

impl Tops {
    /// Where a row would stand, if among the best.
    fn position(&self, slot: usize, order: &[u8], number: u64) -> Option<usize> {
        let before = |known: &Row| match known.order.as_ref().cmp(order) {
            Ordering::Equal => known.number < number,
            Ordering::Greater => self.largest,
            Ordering::Less => !self.largest,
        };
        let position = self.tops[slot].partition_point(before);
        (position < self.count).then_some(position)
    }

    fn insert(&mut self, slot: usize, position: usize, row: Row) {
        let top = &mut self.tops[slot];
        top.insert(position, row);
        top.truncate(self.count);
    }

    fn columns(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let tops = || slots.iter().map(|&slot| &self.tops[slot as usize]);
        let rows = || tops().flatten();
        let values = optional_rows(&self.values, &self.of, rows().map(|row| row.value.as_deref()).collect())?;
        let orders = optional_rows(&self.orders, &self.by, rows().map(|row| Some(&*row.order)).collect())?;
        let numbers = Int64Array::from_iter_values(rows().map(|row| row.number as i64));
        let lengths: Vec<usize> = tops().map(Vec::len).collect();
        [values, orders, Arc::new(numbers)].into_iter().map(|column| list_of(column, &lengths, None)).collect()
    }
}

impl Accumulator for Tops {
    fn resize(&mut self, count: usize) {
        self.tops.resize(count, vec![]);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let values = self.values.convert_columns(&arguments[..1])?;
        let orders = self.orders.convert_columns(&arguments[1..])?;
        for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
            let (row, number) = (row as usize, selected.number(row));
            if arguments[1].is_null(row) {
                continue;
            }
            let order = orders.row(row);
            if let Some(position) = self.position(slot as usize, order.as_ref(), number) {
                let value = arguments[0].is_valid(row).then(|| values.row(row).as_ref().into());
                self.insert(slot as usize, position, Row { order: order.as_ref().into(), number, value });
            }
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        for (&from, &into) in from.iter().zip(into) {
            for row in self.tops[from as usize].clone() {
                if let Some(position) = self.position(into as usize, &row.order, row.number) {
                    self.insert(into as usize, position, row);
                }
            }
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        let tops = || slots.iter().map(|&slot| &self.tops[slot as usize]);
        let values = tops().flatten().map(|row| row.value.as_deref()).collect();
        let lengths: Vec<usize> = tops().map(Vec::len).collect();
        let nulls = lengths.iter().map(|length| *length > 0).collect::<NullBuffer>();
        list_of(optional_rows(&self.values, &self.of, values)?, &lengths, Some(nulls))
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.tops[slot as usize] = vec![]);
    }
}

impl Saved for Tops {
    fn save(&mut self, slots: &[u32], _scope: Scope) -> Result<Vec<ArrayRef>> {
        self.columns(slots)
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        let (values, orders, numbers) = (lists(&columns[0]), lists(&columns[1]), lists(&columns[2]));
        let value_rows = self.values.convert_columns(std::slice::from_ref(values.values()))?;
        let order_rows = self.orders.convert_columns(std::slice::from_ref(orders.values()))?;
        let numbers_of = numbers.values().as_primitive::<Int64Type>();
        for (row, &slot) in slots.iter().enumerate() {
            let elements = range(values, row).zip(range(orders, row)).zip(range(numbers, row));
            let rows = elements.map(|((value, order), number)| Row {
                order: order_rows.row(order).as_ref().into(),
                number: numbers_of.value(number) as u64,
                value: values.values().is_valid(value).then(|| value_rows.row(value).as_ref().into()),
            });
            self.tops[slot as usize] = rows.collect();
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let row = |row: &Row| size_of::<Row>() + row.order.len() + row.value.as_ref().map_or(0, |value| value.len());
        self.tops.capacity() * size_of::<Vec<Row>>() + self.tops.iter().flatten().map(row).sum::<usize>()
    }
}
