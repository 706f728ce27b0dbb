//! `histogram_numeric(x, bins)`: centres and counts of bins as an array of structs; the centres have the
//! type of the argument.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::bins::{Bin, Bins};
use super::lists::{list_of, lists, range};
use super::percentages::{doubles, from_doubles};
use super::sketches::Sketches;
use super::{Built, Entry, Modifiers, expect_arguments, out_of_range};
use crate::function::{CallContext, constant, implicit_cast};
use crate::pipeline::analysis::coerce::{is_datetime, is_integer, is_numeric};
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Float64Type};
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::{Result, types};

pub const ENTRIES: &[Entry] = &[Entry { names: &["histogram_numeric"], build }];

fn build(context: &CallContext<'_>, mut arguments: Vec<Typed>, _: Modifiers<'_>) -> Result<Built> {
    expect_arguments(context, &arguments, 2, 2)?;
    let bins = bins_of(&arguments.remove(1), context)?;
    let argument = arguments.remove(0);
    let argument = match &argument.data_type {
        of if is_numeric(of) || is_datetime(of) || matches!(of, DataType::Duration(_) | DataType::Interval(_)) => {
            argument
        }
        DataType::Null | DataType::Utf8 => implicit_cast(argument, &DataType::Float64, context)?,
        other => return Err(context.wrong_type("NUMERIC, DATE, TIMESTAMP or ANSI INTERVAL", other)),
    };
    Ok((Arc::new(Histogram { of: argument.data_type.clone(), bins }), vec![argument]))
}

fn bins_of(bins: &Typed, context: &CallContext<'_>) -> Result<usize> {
    if !is_integer(&bins.data_type) && bins.data_type != DataType::Null {
        return Err(context.wrong_type("INT as its second argument", &bins.data_type));
    }
    let Some(value) = constant::value(bins)? else {
        return Err(constant::not_constant("nb", &DataType::Int32, context));
    };
    match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(Some(bins))) if (2..=i64::from(i32::MAX)).contains(&bins) => Ok(bins as usize),
        Ok(ScalarValue::Int64(None)) => Err(refuse::type_mismatch(
            "UNEXPECTED_NULL",
            format!("the number of bins of {} is NULL", context.name),
            context.text,
            context.at,
        )),
        _ => Err(out_of_range(context, "the number of bins", &format!("2 to {}", i32::MAX))),
    }
}

#[derive(Debug)]
struct Histogram {
    of: DataType,
    bins: usize,
}

fn fields(of: &DataType) -> Fields {
    Fields::from(vec![Field::new("x", of.clone(), true), Field::new("y", DataType::Float64, true)])
}

impl AggregateFunction for Histogram {
    fn identity(&self) -> String {
        format!("histogram of {} in {} bins", types::name(&self.of), self.bins)
    }

    fn result_type(&self) -> DataType {
        types::array_of(DataType::Struct(fields(&self.of)))
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![types::array_of(DataType::Float64); 2]
    }

    fn merges_freely(&self) -> bool {
        false
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        let sketches = Sketches::new(Bins::new(self.bins));
        Ok(Box::new(Histograms { of: self.of.clone(), bins: self.bins, sketches }))
    }
}

struct Histograms {
    of: DataType,
    bins: usize,
    sketches: Sketches<Bins>,
}

impl Accumulator for Histograms {
    fn resize(&mut self, count: usize) {
        self.sketches.resize(count);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let values = doubles(&arguments[0])?;
        self.sketches.add(selected, |row| arguments[0].is_valid(row).then(|| values[row]));
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        self.sketches.merge(from, into);
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        let sketches: Vec<_> = slots.iter().map(|slot| self.sketches.sketch(*slot)).collect();
        let bins = || sketches.iter().flatten().flat_map(|sketch| sketch.bins());
        let centres = from_doubles(&Float64Array::from_iter_values(bins().map(|bin| bin.x)), &self.of)?;
        let counts: ArrayRef = Arc::new(Float64Array::from_iter_values(bins().map(|bin| bin.y)));
        let lengths: Vec<usize> =
            sketches.iter().map(|sketch| sketch.as_ref().map_or(0, |sketch| sketch.bins().len())).collect();
        let nulls = lengths.iter().map(|length| *length > 0).collect::<NullBuffer>();
        let pairs = StructArray::try_new(fields(&self.of), vec![centres, counts], None)?;
        list_of(Arc::new(pairs), &lengths, Some(nulls))
    }

    fn clear(&mut self, slots: &[u32]) {
        self.sketches.clear(slots);
    }
}

impl Saved for Histograms {
    fn save(&mut self, slots: &[u32], _scope: Scope) -> Result<Vec<ArrayRef>> {
        let sketches = self.sketches.settled(slots);
        let bins = || sketches.iter().flat_map(|sketch| sketch.map_or(&[][..], Bins::bins));
        let lengths: Vec<usize> = sketches.iter().map(|sketch| sketch.map_or(0, |it| it.bins().len())).collect();
        let centres: ArrayRef = Arc::new(Float64Array::from_iter_values(bins().map(|bin| bin.x)));
        let counts: ArrayRef = Arc::new(Float64Array::from_iter_values(bins().map(|bin| bin.y)));
        [centres, counts].into_iter().map(|column| list_of(column, &lengths, None)).collect()
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        let (centres, counts) = (lists(&columns[0]), lists(&columns[1]));
        let all_centres = centres.values().as_primitive::<Float64Type>();
        let all_counts = counts.values().as_primitive::<Float64Type>();
        for (row, &slot) in slots.iter().enumerate() {
            let bins = range(centres, row).zip(range(counts, row));
            let bins: Vec<Bin> = bins.map(|(x, y)| Bin { x: all_centres.value(x), y: all_counts.value(y) }).collect();
            self.sketches.load(slot, (!bins.is_empty()).then(|| Bins::of(self.bins, bins)));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.sketches.size()
    }
}
