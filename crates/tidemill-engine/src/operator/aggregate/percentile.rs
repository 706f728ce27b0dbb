//! `percentile`, `percentile_cont`, `percentile_disc` and `median`, exact: every value is counted. `mode`,
//! the most frequent value; of equally frequent ones the smallest, or what `WITHIN GROUP` says.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::percentages::{Percentages, doubles, from_doubles};
use super::tally::{Sorted, Tallies};
use super::{Built, Entry, Modifiers, expect_arguments};
use crate::function::{CallContext, constant, implicit_cast};
use crate::pipeline::analysis::coerce::{is_datetime, is_integer, is_numeric};
use crate::pipeline::analysis::operator::normalized;
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["percentile"], build: percentile },
    Entry {
        names: &["percentile_cont"],
        build: |context, arguments, modifiers| within_group(context, arguments, modifiers, true),
    },
    Entry {
        names: &["percentile_disc"],
        build: |context, arguments, modifiers| within_group(context, arguments, modifiers, false),
    },
    Entry { names: &["median"], build: median },
    Entry { names: &["mode"], build: mode },
];

fn percentile(context: &CallContext<'_>, mut arguments: Vec<Typed>, _: Modifiers<'_>) -> Result<Built> {
    expect_arguments(context, &arguments, 2, 3)?;
    let frequency = if arguments.len() == 3 { arguments.pop() } else { None };
    let percentages = Percentages::of(&arguments.remove(1), context)?;
    let value = measurable(arguments.remove(0), context)?;
    let read = Read::Percentile { percentages, interpolate: true, descending: false };
    let mut kept = vec![value];
    if let Some(frequency) = frequency {
        kept.push(match &frequency.data_type {
            of if is_integer(of) || *of == DataType::Null => frequency.widened(&DataType::Int64),
            other => return Err(context.wrong_type("INTEGRAL as its third argument", other)),
        });
    }
    Ok((Arc::new(OfAll { of: kept[0].data_type.clone(), read }), kept))
}

fn within_group(
    context: &CallContext<'_>,
    mut arguments: Vec<Typed>,
    modifiers: Modifiers<'_>,
    interpolate: bool,
) -> Result<Built> {
    let key = arguments.pop().ok_or_else(|| Error::bug("a percentile without a key"))?;
    expect_arguments(context, &arguments, 1, 1)?;
    let percentages = Percentages::of(&arguments.remove(0), context)?;
    let value = measurable(key, context)?;
    let descending = modifiers.order.first().is_some_and(|key| key.descending);
    let read = Read::Percentile { percentages, interpolate, descending };
    Ok((Arc::new(OfAll { of: value.data_type.clone(), read }), vec![value]))
}

fn median(context: &CallContext<'_>, mut arguments: Vec<Typed>, _: Modifiers<'_>) -> Result<Built> {
    expect_arguments(context, &arguments, 1, 1)?;
    let value = measurable(arguments.remove(0), context)?;
    let read = Read::Percentile { percentages: Percentages::one(0.5), interpolate: true, descending: false };
    Ok((Arc::new(OfAll { of: value.data_type.clone(), read }), vec![value]))
}

/// Numbers and intervals.
fn measurable(argument: Typed, context: &CallContext<'_>) -> Result<Typed> {
    match &argument.data_type {
        of if is_numeric(of) || matches!(of, DataType::Duration(_) | DataType::Interval(_)) => Ok(normalized(argument)),
        DataType::Null | DataType::Utf8 => Ok(normalized(implicit_cast(argument, &DataType::Float64, context)?)),
        of if is_datetime(of) => Err(Error::invalid(format!(
            "{} takes numbers and intervals, not {}",
            context.name,
            types::name(of).to_uppercase()
        ))
        .class("UNSUPPORTED_TIME_TYPE")
        .at_if_unplaced(context.text.place(context.at))),
        other => Err(context.wrong_type("NUMERIC or ANSI INTERVAL", other)),
    }
}

fn mode(context: &CallContext<'_>, mut arguments: Vec<Typed>, modifiers: Modifiers<'_>) -> Result<Built> {
    expect_arguments(context, &arguments, 1, 2)?;
    if let Some(deterministic) = (arguments.len() == 2).then(|| arguments.pop()).flatten() {
        match constant::value(&deterministic)? {
            Some(ScalarValue::Boolean(Some(_))) => {}
            Some(literal) if literal.is_null() => {
                return Err(refuse::type_mismatch(
                    "UNEXPECTED_NULL",
                    "the second argument of mode is NULL",
                    context.text,
                    context.at,
                ));
            }
            Some(_) => {
                return Err(Error::invalid("the second argument of mode must be true or false")
                    .class("UNEXPECTED_INPUT_TYPE")
                    .at_if_unplaced(context.text.place(context.at)));
            }
            None => return Err(constant::not_constant("deterministic", &DataType::Boolean, context)),
        }
    }
    let value = normalized(arguments.remove(0));
    let largest = modifiers.order.first().is_some_and(|key| key.descending);
    Ok((Arc::new(OfAll { of: value.data_type.clone(), read: Read::Mode { largest } }), vec![value]))
}

/// What is read from the counted values.
#[derive(Debug, Clone)]
enum Read {
    Percentile { percentages: Percentages, interpolate: bool, descending: bool },
    Mode { largest: bool },
}

/// A function of all values of a group.
#[derive(Debug)]
struct OfAll {
    of: DataType,
    read: Read,
}

impl AggregateFunction for OfAll {
    fn identity(&self) -> String {
        format!("{:?} of {}", self.read, types::name(&self.of))
    }

    fn result_type(&self) -> DataType {
        match &self.read {
            Read::Percentile { percentages, .. } => percentages.result(measure(&self.of)),
            Read::Mode { .. } => self.of.clone(),
        }
    }

    fn state_types(&self) -> Vec<DataType> {
        Tallies::state_types(&self.of)
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        let (of, read) = (self.of.clone(), self.read.clone());
        Ok(Box::new(All { tallies: Tallies::new(&of)?, of, read }))
    }
}

/// The type a percentile of values of a type has.
fn measure(of: &DataType) -> DataType {
    match of {
        DataType::Duration(_) | DataType::Interval(_) => of.clone(),
        _ => DataType::Float64,
    }
}

struct All {
    of: DataType,
    read: Read,
    tallies: Tallies,
}

impl Accumulator for All {
    fn resize(&mut self, count: usize) {
        self.tallies.resize(count);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let Some(frequency) = arguments.get(1) else {
            return self.tallies.add(&arguments[0], selected, |_| Ok(1));
        };
        let frequency = frequency.as_primitive::<Int64Type>();
        self.tallies.add(&arguments[0], selected, |row| match frequency.value(row) {
            _ if frequency.is_null(row) => Ok(0),
            times if times < 0 => Err(Error::new(Kind::Data, format!("a frequency of percentile is {times}"))
                .class("NEGATIVE_VALUES_IN_FREQUENCY_EXPRESSION")
                .help("a frequency says how often a value counts: 0 or more")),
            times => Ok(times),
        })
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        self.tallies.merge(from, into);
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        let sorted = self.tallies.sorted(slots)?;
        match &self.read {
            Read::Mode { largest } => most_frequent(&sorted, *largest),
            Read::Percentile { percentages, interpolate, descending } => {
                let values = doubles(&sorted.values)?;
                let mut start = 0;
                let results = sorted.lengths.iter().map(|length| {
                    let rows = start..start + length;
                    start += length;
                    let pairs = values[rows.clone()].iter().copied().zip(sorted.counts[rows].iter().copied());
                    let mut total = 0;
                    let accumulate = |(value, count)| {
                        total += count;
                        (value, total)
                    };
                    let accumulated: Vec<(f64, i64)> = match descending {
                        false => pairs.map(accumulate).collect(),
                        true => pairs.rev().map(accumulate).collect(),
                    };
                    let at = |share: &f64| match interpolate {
                        true => interpolated(&accumulated, *share),
                        false => discrete(&accumulated, *share),
                    };
                    (*length > 0).then(|| percentages.shares().iter().map(at).collect::<Vec<f64>>())
                });
                percentages.column(from_doubles, results.collect(), &measure(&self.of))
            }
        }
    }

    fn clear(&mut self, slots: &[u32]) {
        self.tallies.clear(slots);
    }
}

impl Saved for All {
    fn save(&mut self, slots: &[u32], scope: Scope) -> Result<Vec<ArrayRef>> {
        self.tallies.save(slots, scope)
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], scope: Scope) -> Result<()> {
        self.tallies.load(slots, columns, scope)
    }

    fn size(&self) -> usize {
        self.tallies.size()
    }
}

fn most_frequent(sorted: &Sorted, largest: bool) -> Result<ArrayRef> {
    let mut start = 0u32;
    let positions = sorted.lengths.iter().map(|length| {
        let rows = start..start + *length as u32;
        start += *length as u32;
        let better = |best: u32, row: u32| match sorted.counts[row as usize].cmp(&sorted.counts[best as usize]) {
            std::cmp::Ordering::Greater => row,
            std::cmp::Ordering::Equal if largest => row,
            _ => best,
        };
        rows.reduce(better)
    });
    Ok(arrow::compute::take(&sorted.values, &positions.collect::<UInt32Array>(), None)?)
}

/// The value at a share of the way from the first to the last, between two where it falls between.
fn interpolated(accumulated: &[(f64, i64)], share: f64) -> f64 {
    let last = accumulated.last().map_or(0, |(_, total)| total - 1);
    let position = last as f64 * share;
    let (lower, higher) = (position.floor(), position.ceil());
    let at = |position: f64| accumulated.partition_point(|(_, total)| *total < position as i64 + 1);
    let (lower_index, higher_index) = (at(lower), at(higher));
    let value = |index: usize| accumulated.get(index).map_or(f64::NAN, |(value, _)| *value);
    if lower_index == higher_index {
        return value(lower_index);
    }
    (higher - position) * value(lower_index) + (position - lower) * value(higher_index)
}

/// The first value that at least this share of all values do not exceed.
fn discrete(accumulated: &[(f64, i64)], share: f64) -> f64 {
    let total = accumulated.last().map_or(0, |(_, total)| *total);
    let rank = (total as f64 * share).ceil() as i64;
    let index = accumulated.partition_point(|(_, total)| *total < rank);
    accumulated.get(index).map_or(f64::NAN, |(value, _)| *value)
}
