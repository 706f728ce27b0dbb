//! Contests between the rows of a group: which row an aggregate that picks one (`first`, `max_by`) picks.
//! Every slot keeps what its best row is judged by, and that row's number.

use super::accumulator::{Scope, Selected};
use super::extreme::optional_rows;
use crate::state::keys::converter;
use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow::row::RowConverter;
use std::cmp::Ordering;
use std::sync::Arc;
use tidemill_core::Result;

/// Rows, or slots, that have won, and the slots they have won, in turn.
#[derive(Default)]
pub struct Wins {
    /// What won.
    pub from: Vec<u32>,
    /// The slot it won.
    pub slots: Vec<u32>,
}

impl Wins {
    fn push(&mut self, from: u32, slot: u32) {
        self.from.push(from);
        self.slots.push(slot);
    }
}

/// A contest in every slot.
pub trait Contest: Send {
    /// Makes slots `0..count` exist.
    fn resize(&mut self, count: usize);
    /// Lets rows compete by their values in `column`.
    fn offer(&mut self, column: &ArrayRef, selected: Selected<'_>, wins: &mut Wins) -> Result<()>;
    /// Lets the best of slot `from[i]` compete in slot `into[i]`.
    fn merge(&mut self, from: &[u32], into: &[u32], wins: &mut Wins);
    /// Makes slots empty.
    fn clear(&mut self, slots: &[u32]);
    /// Columns to save: what the best rows are judged by, and their numbers.
    fn save(&self, slots: &[u32]) -> Result<Vec<ArrayRef>>;
    /// Puts saved columns back.
    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], scope: Scope) -> Result<()>;
    /// Memory held, in bytes.
    fn size(&self) -> usize;
}

/// No row has competed in the slot.
const NOBODY: u64 = u64::MAX;

fn numbers(of: &[u64], slots: &[u32]) -> ArrayRef {
    let number = |slot: &u32| Some(of[*slot as usize]).filter(|number| *number != NOBODY).map(|number| number as i64);
    Arc::new(slots.iter().map(number).collect::<Int64Array>())
}

fn load_numbers(of: &mut [u64], slots: &[u32], column: &ArrayRef) {
    for (&slot, number) in slots.iter().zip(column.as_primitive::<Int64Type>()) {
        of[slot as usize] = number.map_or(NOBODY, |number| number as u64);
    }
}

/// The first or the last row wins.
pub struct ByArrival {
    first: bool,
    ignore_nulls: bool,
    numbers: Vec<u64>,
}

impl ByArrival {
    /// An empty contest; rows with a NULL may be left out.
    pub fn new(first: bool, ignore_nulls: bool) -> Self {
        ByArrival { first, ignore_nulls, numbers: vec![] }
    }

    fn wins(&self, slot: u32, number: u64) -> bool {
        match self.numbers[slot as usize] {
            NOBODY => true,
            known if self.first => number < known,
            known => number >= known,
        }
    }
}

impl Contest for ByArrival {
    fn resize(&mut self, count: usize) {
        self.numbers.resize(count, NOBODY);
    }

    fn offer(&mut self, column: &ArrayRef, selected: Selected<'_>, wins: &mut Wins) -> Result<()> {
        for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
            let number = selected.number(row);
            if self.wins(slot, number) && !(self.ignore_nulls && column.is_null(row as usize)) {
                self.numbers[slot as usize] = number;
                wins.push(row, slot);
            }
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32], wins: &mut Wins) {
        for (&from, &into) in from.iter().zip(into) {
            let number = self.numbers[from as usize];
            if number != NOBODY && self.wins(into, number) {
                self.numbers[into as usize] = number;
                wins.push(from, into);
            }
        }
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.numbers[slot as usize] = NOBODY);
    }

    fn save(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![numbers(&self.numbers, slots)])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        load_numbers(&mut self.numbers, slots, &columns[0]);
        Ok(())
    }

    fn size(&self) -> usize {
        self.numbers.capacity() * size_of::<u64>()
    }
}

/// The row with the largest or smallest value wins; of equal ones the last. NULLs do not compete.
///
/// # Errors
/// A type that has no order.
pub fn by_value(largest: bool, of: &DataType) -> Result<Box<dyn Contest>> {
    fn flat<T: ArrowPrimitiveType>(largest: bool, of: &DataType) -> Box<dyn Contest>
    where
        T::Native: ArrowNativeTypeOp,
    {
        Box::new(ByNumber::<T> { largest, of: of.clone(), best: vec![], numbers: vec![] })
    }
    Ok(match of {
        DataType::Int8 => flat::<Int8Type>(largest, of),
        DataType::Int16 => flat::<Int16Type>(largest, of),
        DataType::Int32 => flat::<Int32Type>(largest, of),
        DataType::Int64 => flat::<Int64Type>(largest, of),
        DataType::Float32 => flat::<Float32Type>(largest, of),
        DataType::Float64 => flat::<Float64Type>(largest, of),
        DataType::Date32 => flat::<Date32Type>(largest, of),
        DataType::Timestamp(..) => flat::<TimestampMicrosecondType>(largest, of),
        DataType::Decimal128(..) => flat::<Decimal128Type>(largest, of),
        _ => Box::new(ByBytes {
            largest,
            of: of.clone(),
            converter: converter(std::slice::from_ref(of))?,
            best: vec![],
            numbers: vec![],
        }),
    })
}

/// True when a row beats the known best: by its value, or by coming later.
fn beats(order: Ordering, largest: bool, number: u64, known: u64) -> bool {
    match order {
        Ordering::Equal => number >= known,
        Ordering::Greater => largest,
        Ordering::Less => !largest,
    }
}

struct ByNumber<T: ArrowPrimitiveType> {
    largest: bool,
    of: DataType,
    best: Vec<T::Native>,
    numbers: Vec<u64>,
}

impl<T: ArrowPrimitiveType> ByNumber<T>
where
    T::Native: ArrowNativeTypeOp,
{
    fn compete(&mut self, slot: u32, value: T::Native, number: u64) -> bool {
        let known = self.numbers[slot as usize];
        let won = known == NOBODY || beats(value.compare(self.best[slot as usize]), self.largest, number, known);
        if won {
            (self.best[slot as usize], self.numbers[slot as usize]) = (value, number);
        }
        won
    }
}

impl<T: ArrowPrimitiveType> Contest for ByNumber<T>
where
    T::Native: ArrowNativeTypeOp,
{
    fn resize(&mut self, count: usize) {
        self.best.resize(count, T::Native::default());
        self.numbers.resize(count, NOBODY);
    }

    fn offer(&mut self, column: &ArrayRef, selected: Selected<'_>, wins: &mut Wins) -> Result<()> {
        let values = column.as_primitive::<T>();
        for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
            if values.is_valid(row as usize) && self.compete(slot, values.value(row as usize), selected.number(row)) {
                wins.push(row, slot);
            }
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32], wins: &mut Wins) {
        for (&from, &into) in from.iter().zip(into) {
            let (value, number) = (self.best[from as usize], self.numbers[from as usize]);
            if number != NOBODY && self.compete(into, value, number) {
                wins.push(from, into);
            }
        }
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.numbers[slot as usize] = NOBODY);
    }

    fn save(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let held = |slot: &u32| (self.numbers[*slot as usize] != NOBODY).then(|| self.best[*slot as usize]);
        let best = slots.iter().map(held).collect::<PrimitiveArray<T>>().with_data_type(self.of.clone());
        Ok(vec![Arc::new(best), numbers(&self.numbers, slots)])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        for (&slot, &value) in slots.iter().zip(columns[0].as_primitive::<T>().values()) {
            self.best[slot as usize] = value;
        }
        load_numbers(&mut self.numbers, slots, &columns[1]);
        Ok(())
    }

    fn size(&self) -> usize {
        self.best.capacity() * size_of::<T::Native>() + self.numbers.capacity() * size_of::<u64>()
    }
}

/// For every other type: the row format's bytes have the order of the values.
struct ByBytes {
    largest: bool,
    of: DataType,
    converter: RowConverter,
    best: Vec<Box<[u8]>>,
    numbers: Vec<u64>,
}

impl ByBytes {
    fn wins(&self, slot: u32, value: &[u8], number: u64) -> bool {
        let known = self.numbers[slot as usize];
        known == NOBODY || beats(value.cmp(&self.best[slot as usize]), self.largest, number, known)
    }
}

impl Contest for ByBytes {
    fn resize(&mut self, count: usize) {
        self.best.resize(count, Box::default());
        self.numbers.resize(count, NOBODY);
    }

    fn offer(&mut self, column: &ArrayRef, selected: Selected<'_>, wins: &mut Wins) -> Result<()> {
        let rows = self.converter.convert_columns(std::slice::from_ref(column))?;
        for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
            let (value, number) = (rows.row(row as usize), selected.number(row));
            if column.is_valid(row as usize) && self.wins(slot, value.as_ref(), number) {
                self.best[slot as usize] = value.as_ref().into();
                self.numbers[slot as usize] = number;
                wins.push(row, slot);
            }
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32], wins: &mut Wins) {
        for (&from, &into) in from.iter().zip(into) {
            let number = self.numbers[from as usize];
            if number != NOBODY && self.wins(into, &self.best[from as usize], number) {
                self.best[into as usize] = self.best[from as usize].clone();
                self.numbers[into as usize] = number;
                wins.push(from, into);
            }
        }
    }

    fn clear(&mut self, slots: &[u32]) {
        for &slot in slots {
            self.best[slot as usize] = Box::default();
            self.numbers[slot as usize] = NOBODY;
        }
    }

    fn save(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let held = |slot: &u32| (self.numbers[*slot as usize] != NOBODY).then(|| &*self.best[*slot as usize]);
        let best = optional_rows(&self.converter, &self.of, slots.iter().map(held).collect())?;
        Ok(vec![best, numbers(&self.numbers, slots)])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        let rows = self.converter.convert_columns(&columns[..1])?;
        for (row, &slot) in slots.iter().enumerate() {
            self.best[slot as usize] = rows.row(row).as_ref().into();
        }
        load_numbers(&mut self.numbers, slots, &columns[1]);
        Ok(())
    }

    fn size(&self) -> usize {
        self.best.capacity() * size_of::<Box<[u8]>>()
            + self.best.iter().map(|value| value.len()).sum::<usize>()
            + self.numbers.capacity() * size_of::<u64>()
    }
}
