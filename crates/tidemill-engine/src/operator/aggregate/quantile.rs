//! `percentile_approx` and `approx_percentile`: percentiles within an error of 1 / accuracy of the count.
//! Values are doubles inside; the result has the type of the argument.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::lists::{list_of, lists, range};
use super::percentages::{Percentages, doubles, from_doubles};
use super::sketches::Sketches;
use super::summary::{Sample, Summary};
use super::{Built, Entry, Modifiers, expect_arguments, out_of_range};
use crate::function::{CallContext, constant, implicit_cast};
use crate::pipeline::analysis::coerce::{is_datetime, is_integer, is_numeric};
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::{Result, types};

pub const ENTRIES: &[Entry] = &[Entry { names: &["percentile_approx", "approx_percentile"], build }];

/// The accuracy when none is given.
const ACCURACY: i64 = 10_000;

fn build(context: &CallContext<'_>, mut arguments: Vec<Typed>, _: Modifiers<'_>) -> Result<Built> {
    expect_arguments(context, &arguments, 2, 3)?;
    let accuracy = match arguments.get(2) {
        Some(accuracy) => accuracy_of(accuracy, context)?,
        None => ACCURACY,
    };
    let percentages = Percentages::of(&arguments[1], context)?;
    arguments.truncate(1);
    let argument = arguments.remove(0);
    let argument = match &argument.data_type {
        of if is_numeric(of) || is_datetime(of) || matches!(of, DataType::Duration(_) | DataType::Interval(_)) => {
            argument
        }
        DataType::Null | DataType::Utf8 => implicit_cast(argument, &DataType::Float64, context)?,
        other => return Err(context.wrong_type("NUMERIC, DATE, TIMESTAMP or ANSI INTERVAL", other)),
    };
    Ok((Arc::new(Quantile { of: argument.data_type.clone(), percentages, accuracy }), vec![argument]))
}

fn accuracy_of(accuracy: &Typed, context: &CallContext<'_>) -> Result<i64> {
    if !is_integer(&accuracy.data_type) && accuracy.data_type != DataType::Null {
        return Err(context.wrong_type("INTEGRAL as its accuracy", &accuracy.data_type));
    }
    let Some(value) = constant::value(accuracy)? else {
        return Err(constant::not_constant("accuracy", &DataType::Int32, context));
    };
    match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(Some(accuracy))) if (1..=i64::from(i32::MAX)).contains(&accuracy) => Ok(accuracy),
        Ok(ScalarValue::Int64(None)) => Err(refuse::type_mismatch(
            "UNEXPECTED_NULL",
            format!("the accuracy of {} is NULL", context.name),
            context.text,
            context.at,
        )),
        _ => Err(out_of_range(context, "the accuracy", &format!("1 to {}", i32::MAX))),
    }
}

#[derive(Debug)]
struct Quantile {
    of: DataType,
    percentages: Percentages,
    accuracy: i64,
}

impl AggregateFunction for Quantile {
    fn identity(&self) -> String {
        format!("about {:?} of {}, accuracy {}", self.percentages, types::name(&self.of), self.accuracy)
    }

    fn result_type(&self) -> DataType {
        self.percentages.result(self.of.clone())
    }

    fn state_types(&self) -> Vec<DataType> {
        let lists = [DataType::Float64, DataType::Int64, DataType::Int64].map(types::array_of);
        lists.into_iter().chain([DataType::Int64]).collect()
    }

    fn merges_freely(&self) -> bool {
        false
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        let error = 1.0 / self.accuracy as f64;
        Ok(Box::new(Quantiles {
            of: self.of.clone(),
            percentages: self.percentages.clone(),
            error,
            sketches: Sketches::new(Summary::new(error)),
        }))
    }
}

struct Quantiles {
    of: DataType,
    percentages: Percentages,
    error: f64,
    sketches: Sketches<Summary>,
}

impl Accumulator for Quantiles {
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
        let read =
            |slot: &u32| self.sketches.sketch(*slot).and_then(|summary| summary.query(self.percentages.shares()));
        self.percentages.column(from_doubles, slots.iter().map(read).collect(), &self.of)
    }

    fn clear(&mut self, slots: &[u32]) {
        self.sketches.clear(slots);
    }
}

impl Saved for Quantiles {
    fn save(&mut self, slots: &[u32], _scope: Scope) -> Result<Vec<ArrayRef>> {
        let summaries = self.sketches.settled(slots);
        let samples = || summaries.iter().flat_map(|summary| summary.map_or(&[][..], Summary::samples));
        let lengths: Vec<usize> = summaries.iter().map(|summary| summary.map_or(0, |it| it.samples().len())).collect();
        let values: ArrayRef = Arc::new(Float64Array::from_iter_values(samples().map(|sample| sample.value)));
        let gaps: ArrayRef = Arc::new(Int64Array::from_iter_values(samples().map(|sample| sample.gap)));
        let spreads: ArrayRef = Arc::new(Int64Array::from_iter_values(samples().map(|sample| sample.spread)));
        let counts = Int64Array::from_iter_values(summaries.iter().map(|summary| summary.map_or(0, Summary::count)));
        let lists = [values, gaps, spreads].into_iter().map(|column| list_of(column, &lengths, None));
        let mut columns = lists.collect::<Result<Vec<_>>>()?;
        columns.push(Arc::new(counts));
        Ok(columns)
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        let (values, gaps, spreads) = (lists(&columns[0]), lists(&columns[1]), lists(&columns[2]));
        let counts = columns[3].as_primitive::<Int64Type>();
        let all_values = values.values().as_primitive::<Float64Type>();
        let (all_gaps, all_spreads) =
            (gaps.values().as_primitive::<Int64Type>(), spreads.values().as_primitive::<Int64Type>());
        for (row, &slot) in slots.iter().enumerate() {
            let samples = range(values, row).zip(range(gaps, row)).zip(range(spreads, row));
            let samples = samples.map(|((value, gap), spread)| Sample {
                value: all_values.value(value),
                gap: all_gaps.value(gap),
                spread: all_spreads.value(spread),
            });
            let summary = Summary::of(self.error, samples.collect(), counts.value(row));
            self.sketches.load(slot, (summary.count() > 0).then_some(summary));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.sketches.size()
    }
}
