//! `hll_sketch_agg(x, lgConfigK)` and `hll_union_agg(sketch, allowDifferentLgConfigK)`: sketches of Apache
//! DataSketches, by its own library.
//!
//! A sketch that has been united with another estimates in another way than one that has seen every value
//! itself. Spark unites what an epoch brings with what there was, and so it is here.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::{Built, Entry, Modifiers, expect_arguments};
use crate::function::sketch::{self, DIFFERENT, HLL, bytes, read, unite};
use crate::function::{CallContext, constant};
use crate::pipeline::analysis::coerce::is_integer;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::ScalarValue;
use datasketches::hash::value::raw_bytes::from_slice;
use datasketches::hll::HllSketch;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result};

pub const ENTRIES: &[Entry] =
    &[Entry { names: &["hll_sketch_agg"], build: sketch_agg }, Entry { names: &["hll_union_agg"], build: union_agg }];

/// Registers of a sketch when nothing is said: two to the power of this.
const LG_K: u8 = 12;

fn sketch_agg(context: &CallContext<'_>, mut arguments: Vec<Typed>, _: Modifiers<'_>) -> Result<Built> {
    expect_arguments(context, &arguments, 1, 2)?;
    let lg_k = match arguments.get(1) {
        None => LG_K,
        Some(given) => {
            let value = constant::value(given)?;
            let value = value.ok_or_else(|| constant::not_constant("lgConfigK", &DataType::Int32, context))?;
            let value = value.cast_to(&DataType::Int32).map_err(crate::errors::from_datafusion)?;
            match value {
                ScalarValue::Int32(Some(lg_k)) if (4..=21).contains(&lg_k) => lg_k as u8,
                other => {
                    let message = format!("lgConfigK of {} must be from 4 to 21, not {other}", context.name);
                    let error = Error::new(Kind::Data, message).class("HLL_INVALID_LG_K");
                    return Err(error.at_if_unplaced(context.text.place(context.at)));
                }
            }
        }
    };
    let argument = arguments.remove(0);
    let argument = match &argument.data_type {
        of if is_integer(of) || *of == DataType::Null => argument.widened(&DataType::Int64),
        DataType::Utf8 => argument.widened(&DataType::Binary),
        DataType::Binary => argument,
        other => return Err(context.wrong_type("INT, BIGINT, STRING or BINARY", other)),
    };
    Ok((Arc::new(Hll { of: Input::Values { lg_k } }), vec![argument]))
}

fn union_agg(context: &CallContext<'_>, mut arguments: Vec<Typed>, _: Modifiers<'_>) -> Result<Built> {
    expect_arguments(context, &arguments, 1, 2)?;
    let different = match arguments.get(1).map(constant::value).transpose()?.flatten() {
        None if arguments.len() == 2 => {
            return Err(constant::not_constant("allowDifferentLgConfigK", &DataType::Boolean, context));
        }
        Some(ScalarValue::Boolean(Some(different))) => different,
        _ => false,
    };
    let argument = arguments.remove(0);
    match argument.data_type {
        DataType::Binary => Ok((Arc::new(Hll { of: Input::Sketches { different } }), vec![argument])),
        ref other => Err(context.wrong_type("BINARY", other)),
    }
}

/// What comes in.
#[derive(Debug, Clone, Copy)]
enum Input {
    Values { lg_k: u8 },
    Sketches { different: bool },
}

#[derive(Debug)]
struct Hll {
    of: Input,
}

impl AggregateFunction for Hll {
    fn identity(&self) -> String {
        match self.of {
            Input::Values { lg_k } => format!("hll sketch, 2^{lg_k} registers"),
            Input::Sketches { different } => format!("union of hll sketches, of different sizes: {different}"),
        }
    }

    fn result_type(&self) -> DataType {
        DataType::Binary
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Binary]
    }

    fn merges_freely(&self) -> bool {
        false
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Sketches { of: self.of, slots: vec![] }))
    }
}

struct Sketches {
    of: Input,
    slots: Vec<Slot>,
}

/// What a slot had before the epoch, and what the epoch has brought; `None` before the first value.
#[derive(Clone, Default)]
struct Slot {
    known: Option<HllSketch>,
    fresh: Option<HllSketch>,
}

impl Slot {
    fn whole(&self) -> Result<Option<HllSketch>> {
        match (&self.known, &self.fresh) {
            (Some(known), Some(fresh)) => unite(known, fresh).map(Some),
            (one, other) => Ok(one.as_ref().or(other.as_ref()).cloned()),
        }
    }
}

impl Sketches {
    fn empty(&self) -> Result<HllSketch> {
        let lg_k = if let Input::Values { lg_k } = self.of { lg_k } else { LG_K };
        HllSketch::new(lg_k, HLL).map_err(|error| Error::bug("a sketch cannot be made").caused_by(error))
    }

    fn add(&mut self, slot: usize, more: HllSketch) -> Result<()> {
        let before = self.slots[slot].known.as_ref();
        let may_differ = matches!(self.of, Input::Sketches { different: true });
        if let Some(before) = before.filter(|before| !may_differ && before.lg_config_k() != more.lg_config_k()) {
            return Err(sketch::different(before, &more, "hll_union_agg"));
        }
        self.slots[slot].fresh = Some(match &self.slots[slot].fresh {
            None => more,
            Some(known) => {
                if !may_differ && known.lg_config_k() != more.lg_config_k() {
                    return Err(sketch::different(known, &more, "hll_union_agg"));
                }
                unite(known, &more)?
            }
        });
        Ok(())
    }
}

impl Accumulator for Sketches {
    fn resize(&mut self, count: usize) {
        self.slots.resize(count, Slot::default());
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let values = &arguments[0];
        let empty = self.empty()?;
        let valid = selected.rows.iter().zip(selected.slots).filter(|(row, _)| values.is_valid(**row as usize));
        for (&row, &slot) in valid {
            let (row, slot) = (row as usize, slot as usize);
            if let Input::Sketches { .. } = self.of {
                self.add(slot, read(values.as_binary::<i32>().value(row), "hll_union_agg")?)?;
                continue;
            }
            let sketch = self.slots[slot].fresh.get_or_insert_with(|| empty.clone());
            match values.as_primitive_opt::<Int64Type>() {
                Some(numbers) => sketch.update(numbers.value(row)),
                None => {
                    let bytes = values.as_binary::<i32>().value(row);
                    if !bytes.is_empty() {
                        sketch.update(from_slice(bytes));
                    }
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        for (&from, &into) in from.iter().zip(into) {
            if let Some(more) = self.slots[from as usize].whole()? {
                self.add(into as usize, more)?;
            }
        }
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        let empty = self.empty()?;
        let of = |slot: &u32| Ok(bytes(self.slots[*slot as usize].whole()?.as_ref().unwrap_or(&empty)));
        Ok(Arc::new(BinaryArray::from_iter_values(slots.iter().map(of).collect::<Result<Vec<_>>>()?)))
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|slot| self.slots[*slot as usize] = Slot::default());
    }
}

impl Saved for Sketches {
    fn save(&mut self, slots: &[u32], _scope: Scope) -> Result<Vec<ArrayRef>> {
        let mut saved = Vec::with_capacity(slots.len());
        for &slot in slots {
            let slot = &mut self.slots[slot as usize];
            slot.known = slot.whole()?;
            slot.fresh = None;
            saved.push(slot.known.as_ref().map(HllSketch::serialize));
        }
        Ok(vec![Arc::new(saved.into_iter().collect::<BinaryArray>())])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        let saved = columns[0].as_binary::<i32>();
        for (row, &slot) in slots.iter().enumerate() {
            let sketch = saved.is_valid(row).then(|| read(saved.value(row), DIFFERENT)).transpose()?;
            self.slots[slot as usize] = Slot { known: sketch, fresh: None };
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let sketches: usize = self
            .slots
            .iter()
            .flat_map(|slot| [&slot.known, &slot.fresh])
            .flatten()
            .map(HllSketch::estimated_size)
            .sum();
        self.slots.capacity() * size_of::<Slot>() + sketches
    }
}
