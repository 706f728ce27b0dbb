//! `min` and `max`, `bool_and` and `bool_or`: extremes of any type that has an order; NaN is the largest number, NULLs are passed over.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::{Built, Entry, Modifiers, expect_arguments, not_ordered};
use crate::function::CallContext;
use crate::pipeline::analysis::coerce::is_groupable;
use crate::pipeline::analysis::operator::normalized;
use crate::pipeline::analysis::typed::Typed;
use crate::state::keys::converter;
use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, PrimitiveArray, new_empty_array};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow::row::RowConverter;
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["min"], build: |context, arguments, modifiers| build(context, arguments, modifiers, false) },
    Entry { names: &["max"], build: |context, arguments, modifiers| build(context, arguments, modifiers, true) },
    // of conditions: FALSE is less than TRUE
    Entry { names: &["bool_and", "every"], build: |context, arguments, _| of_conditions(context, arguments, false) },
    Entry {
        names: &["bool_or", "any", "some"],
        build: |context, arguments, _| of_conditions(context, arguments, true),
    },
];

fn of_conditions(context: &CallContext<'_>, mut arguments: Vec<Typed>, largest: bool) -> Result<Built> {
    expect_arguments(context, &arguments, 1, 1)?;
    let argument = arguments.remove(0);
    let argument = match argument.data_type {
        DataType::Boolean => argument,
        DataType::Null => argument.widened(&DataType::Boolean),
        ref other => return Err(context.wrong_type("BOOLEAN", other)),
    };
    Ok((Arc::new(Extreme { largest, of: DataType::Boolean }), vec![argument]))
}

fn build(
    context: &CallContext<'_>,
    mut arguments: Vec<Typed>,
    _: Modifiers<'_>,
    largest: bool,
) -> Result<(Arc<dyn AggregateFunction>, Vec<Typed>)> {
    expect_arguments(context, &arguments, 1, 1)?;
    let argument = normalized(arguments.remove(0));
    if !is_groupable(&argument.data_type) {
        return Err(not_ordered(context, &argument.data_type));
    }
    Ok((Arc::new(Extreme { largest, of: argument.data_type.clone() }), vec![argument]))
}

#[derive(Debug)]
struct Extreme {
    largest: bool,
    of: DataType,
}

impl AggregateFunction for Extreme {
    fn identity(&self) -> String {
        format!("{} of {}", if self.largest { "max" } else { "min" }, types::name(&self.of))
    }

    fn result_type(&self) -> DataType {
        self.of.clone()
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![self.of.clone()]
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        fn of<T: ArrowPrimitiveType>(function: &Extreme) -> Box<dyn Accumulator>
        where
            T::Native: ArrowNativeTypeOp,
        {
            Box::new(Extremes::<T> { largest: function.largest, of: function.of.clone(), values: vec![] })
        }
        Ok(match self.of {
            DataType::Int8 => of::<Int8Type>(self),
            DataType::Int16 => of::<Int16Type>(self),
            DataType::Int32 => of::<Int32Type>(self),
            DataType::Int64 => of::<Int64Type>(self),
            DataType::Float32 => of::<Float32Type>(self),
            DataType::Float64 => of::<Float64Type>(self),
            DataType::Date32 => of::<Date32Type>(self),
            DataType::Timestamp(..) => of::<TimestampMicrosecondType>(self),
            _ => Box::new(RowExtremes {
                largest: self.largest,
                of: self.of.clone(),
                converter: converter(std::slice::from_ref(&self.of))?,
                values: vec![],
            }),
        })
    }
}

/// Extremes of numbers and times.
struct Extremes<T: ArrowPrimitiveType> {
    largest: bool,
    of: DataType,
    values: Vec<Option<T::Native>>,
}

impl<T: ArrowPrimitiveType> Extremes<T>
where
    T::Native: ArrowNativeTypeOp,
{
    fn offer(&mut self, slot: usize, value: T::Native) {
        let better = match self.values[slot] {
            None => true,
            Some(best) if self.largest => value.is_gt(best),
            Some(best) => value.is_lt(best),
        };
        if better {
            self.values[slot] = Some(value);
        }
    }
}

impl<T: ArrowPrimitiveType> Accumulator for Extremes<T>
where
    T::Native: ArrowNativeTypeOp,
{
    fn resize(&mut self, count: usize) {
        self.values.resize(count, None);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let values = arguments[0].as_primitive::<T>();
        for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
            if values.is_valid(row as usize) {
                self.offer(slot as usize, values.value(row as usize));
            }
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        for (&from, &into) in from.iter().zip(into) {
            if let Some(value) = self.values[from as usize] {
                self.offer(into as usize, value);
            }
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        let values = slots.iter().map(|&slot| self.values[slot as usize]).collect::<PrimitiveArray<T>>();
        Ok(Arc::new(values.with_data_type(self.of.clone())))
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.values[slot as usize] = None);
    }
}

impl<T: ArrowPrimitiveType> Saved for Extremes<T>
where
    T::Native: ArrowNativeTypeOp,
{
    fn save(&mut self, slots: &[u32], _scope: Scope) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(slots)?])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        for (&slot, value) in slots.iter().zip(columns[0].as_primitive::<T>().iter()) {
            self.values[slot as usize] = value;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<Option<T::Native>>()
    }
}

/// Extremes of any other type: the row format's bytes have the order of the values.
struct RowExtremes {
    largest: bool,
    of: DataType,
    converter: RowConverter,
    values: Vec<Option<Box<[u8]>>>,
}

impl RowExtremes {
    fn better(&self, slot: usize, value: &[u8]) -> bool {
        match &self.values[slot] {
            None => true,
            Some(best) if self.largest => value > &**best,
            Some(best) => value < &**best,
        }
    }
}

impl Accumulator for RowExtremes {
    fn resize(&mut self, count: usize) {
        self.values.resize(count, None);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let rows = self.converter.convert_columns(&arguments[..1])?;
        for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
            let value = rows.row(row as usize);
            if arguments[0].is_valid(row as usize) && self.better(slot as usize, value.as_ref()) {
                self.values[slot as usize] = Some(value.as_ref().into());
            }
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        for (&from, &into) in from.iter().zip(into) {
            if let Some(value) = self.values[from as usize].clone()
                && self.better(into as usize, &value)
            {
                self.values[into as usize] = Some(value);
            }
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        let values = slots.iter().map(|&slot| self.values[slot as usize].as_deref());
        optional_rows(&self.converter, &self.of, values.collect())
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.values[slot as usize] = None);
    }
}

impl Saved for RowExtremes {
    fn save(&mut self, slots: &[u32], _scope: Scope) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(slots)?])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        let rows = self.converter.convert_columns(&columns[..1])?;
        for (row, &slot) in slots.iter().enumerate() {
            self.values[slot as usize] = columns[0].is_valid(row).then(|| rows.row(row).as_ref().into());
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<Option<Box<[u8]>>>()
            + self.values.iter().flatten().map(|value| value.len()).sum::<usize>()
    }
}

/// Row bytes back to a column; `None` is NULL.
pub fn optional_rows(converter: &RowConverter, of: &DataType, values: Vec<Option<&[u8]>>) -> Result<ArrayRef> {
    let parser = converter.parser();
    let present = converter.convert_rows(values.iter().flatten().map(|bytes| parser.parse(bytes)))?;
    let present = present.into_iter().next().ok_or_else(|| Error::bug("no column in a row"))?;
    if values.iter().all(Option::is_some) {
        return Ok(if present.is_empty() { new_empty_array(of) } else { present });
    }
    let mut next = 0u32;
    let positions = values.iter().map(|value| {
        value.map(|_| {
            next += 1;
            next - 1
        })
    });
    Ok(arrow::compute::take(&present, &positions.collect::<arrow::array::UInt32Array>(), None)?)
}
