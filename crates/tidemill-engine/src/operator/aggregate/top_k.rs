//! `approx_top_k(x, k, tracked)`: the k most frequent values and how often they came, exactly while there
//! are no more different ones than are tracked.

use super::accumulator::{Accumulator, AggregateFunction, Saved, Scope, Selected};
use super::extreme::optional_rows;
use super::frequent::{Frequent, Item};
use super::lists::{list_of, lists, range};
use super::sketches::Sketches;
use super::{Built, Entry, Modifiers, expect_arguments};
use crate::function::{CallContext, constant};
use crate::pipeline::analysis::coerce::is_integer;
use crate::pipeline::analysis::operator::normalized;
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use crate::state::keys::converter;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StructArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Fields, Float32Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use arrow::row::RowConverter;
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

pub const ENTRIES: &[Entry] = &[Entry { names: &["approx_top_k"], build }];

/// How many values when it is not said, how many are tracked then, and the most that may be.
const COUNT: i64 = 5;
const TRACKED: i64 = 10_000;
const TRACKED_MOST: i64 = 1_000_000;

fn build(context: &CallContext<'_>, mut arguments: Vec<Typed>, _: Modifiers<'_>) -> Result<Built> {
    expect_arguments(context, &arguments, 1, 3)?;
    let count = number(arguments.get(1), COUNT, "k", context)?;
    let tracked = number(arguments.get(2), TRACKED, "maxItemsTracked", context)?;
    let wrong = |class: &str, message: String| {
        Error::invalid(message).class(class).at_if_unplaced(context.text.place(context.at))
    };
    if count <= 0 || tracked <= 0 {
        return Err(wrong("APPROX_TOP_K_NON_POSITIVE_ARG", format!("the numbers of {} must be above 0", context.name)));
    }
    if tracked > TRACKED_MOST {
        let message = format!("{} tracks at most {TRACKED_MOST} values, not {tracked}", context.name);
        return Err(wrong("APPROX_TOP_K_MAX_ITEMS_TRACKED_EXCEEDS_LIMIT", message));
    }
    if tracked < count {
        let message = format!("{} cannot give {count} values when it tracks {tracked}", context.name);
        return Err(wrong("APPROX_TOP_K_MAX_ITEMS_TRACKED_LESS_THAN_K", message));
    }
    arguments.truncate(1);
    let argument = normalized(arguments.remove(0));
    let fits = match &argument.data_type {
        DataType::Boolean | DataType::Float32 | DataType::Float64 | DataType::Utf8 | DataType::Date32 => true,
        DataType::Timestamp(..) | DataType::Decimal128(..) => true,
        other => is_integer(other),
    };
    if !fits {
        return Err(refuse::type_mismatch(
            "TYPE_CHECK_FAILURE_WITH_HINT",
            format!("{} takes no {}", context.name, types::name(&argument.data_type).to_uppercase()),
            context.text,
            context.at,
        ));
    }
    let (count, tracked) = (count as usize, tracked as usize);
    Ok((Arc::new(TopK { of: argument.data_type.clone(), count, tracked }), vec![argument]))
}

fn number(argument: Option<&Typed>, default: i64, what: &str, context: &CallContext<'_>) -> Result<i64> {
    let Some(argument) = argument else { return Ok(default) };
    if !is_integer(&argument.data_type) {
        return Err(context.wrong_type("INT", &argument.data_type));
    }
    match constant::value(argument)?.map(|value| value.cast_to(&DataType::Int64)) {
        Some(Ok(ScalarValue::Int64(Some(number)))) => Ok(number),
        Some(_) => Err(Error::invalid(format!("`{what}` of {} is NULL", context.name))
            .class("APPROX_TOP_K_NULL_ARG")
            .at_if_unplaced(context.text.place(context.at))),
        None => Err(constant::not_constant(what, &DataType::Int32, context)),
    }
}

#[derive(Debug)]
struct TopK {
    of: DataType,
    count: usize,
    tracked: usize,
}

fn fields(of: &DataType) -> Fields {
    Fields::from(vec![Field::new("item", of.clone(), true), Field::new("count", DataType::Int64, true)])
}

impl AggregateFunction for TopK {
    fn identity(&self) -> String {
        format!("{} most frequent {} of {}", self.count, types::name(&self.of), self.tracked)
    }

    fn result_type(&self) -> DataType {
        types::array_of(DataType::Struct(fields(&self.of)))
    }

    fn state_types(&self) -> Vec<DataType> {
        let lists = [self.of.clone(), DataType::Int64].map(types::array_of);
        lists.into_iter().chain([DataType::Int64, DataType::Int64]).collect()
    }

    fn merges_freely(&self) -> bool {
        false
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(TopKs {
            of: self.of.clone(),
            count: self.count,
            tracked: self.tracked,
            converter: converter(std::slice::from_ref(&self.of))?,
            sketches: Sketches::new(Frequent::new(self.tracked)),
        }))
    }
}

struct TopKs {
    of: DataType,
    count: usize,
    tracked: usize,
    converter: RowConverter,
    sketches: Sketches<Frequent>,
}

impl TopKs {
    /// The values of a column as items.
    fn items(&self, column: &ArrayRef) -> Result<Vec<Item>> {
        let rows = self.converter.convert_columns(std::slice::from_ref(column))?;
        let codes = codes(column)?;
        Ok(rows.iter().zip(codes).map(|(row, code)| Item { bytes: row.as_ref().into(), code }).collect())
    }

    fn column(&self, items: Vec<Option<&Item>>) -> Result<ArrayRef> {
        optional_rows(&self.converter, &self.of, items.into_iter().map(|item| item.map(|item| &*item.bytes)).collect())
    }
}

/// Java's `hashCode` of every value; where it has none that is simple, one of our own.
fn codes(column: &ArrayRef) -> Result<Vec<i32>> {
    let fold = |value: i64| (value ^ ((value as u64) >> 32) as i64) as i32;
    let of_text =
        |text: &str| text.encode_utf16().fold(0i32, |code, unit| code.wrapping_mul(31).wrapping_add(unit.into()));
    Ok(match column.data_type() {
        DataType::Boolean => {
            let truth = |value: bool| if value { 1231 } else { 1237 };
            column.as_boolean().iter().map(|value| value.map_or(0, truth)).collect()
        }
        DataType::Utf8 => column.as_string::<i32>().iter().map(|text| text.map_or(0, of_text)).collect(),
        DataType::Date32 => column.as_primitive::<Date32Type>().values().to_vec(),
        DataType::Float32 => {
            column.as_primitive::<Float32Type>().values().iter().map(|value| value.to_bits() as i32).collect()
        }
        DataType::Float64 => {
            column.as_primitive::<Float64Type>().values().iter().map(|value| fold(value.to_bits() as i64)).collect()
        }
        DataType::Timestamp(..) => {
            column.as_primitive::<TimestampMicrosecondType>().values().iter().map(|value| fold(*value)).collect()
        }
        DataType::Decimal128(..) => {
            column.as_primitive::<Decimal128Type>().values().iter().map(|value| fold(*value as i64)).collect()
        }
        DataType::Int64 => column.as_primitive::<Int64Type>().values().iter().map(|value| fold(*value)).collect(),
        _ => {
            let whole = arrow::compute::cast(column, &DataType::Int64)?;
            whole.as_primitive::<Int64Type>().values().iter().map(|value| *value as i32).collect()
        }
    })
}

impl Accumulator for TopKs {
    fn resize(&mut self, count: usize) {
        self.sketches.resize(count);
    }

    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let items = self.items(&arguments[0])?;
        let item = |row: usize| arguments[0].is_valid(row).then(|| items[row].clone());
        self.sketches.add(selected, |row| Some(item(row)));
        Ok(())
    }

    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()> {
        self.sketches.merge(from, into);
        Ok(())
    }

    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef> {
        let sketches: Vec<_> = slots.iter().map(|slot| self.sketches.sketch(*slot)).collect();
        let tops: Vec<_> =
            sketches.iter().map(|sketch| sketch.as_ref().map_or(vec![], |map| map.top(self.count))).collect();
        let items = self.column(tops.iter().flatten().map(|(item, _)| *item).collect())?;
        let counts = Int64Array::from_iter_values(tops.iter().flatten().map(|(_, count)| *count));
        let lengths: Vec<usize> = tops.iter().map(Vec::len).collect();
        let pairs = StructArray::try_new(fields(&self.of), vec![items, Arc::new(counts)], None)?;
        list_of(Arc::new(pairs), &lengths, None)
    }

    fn clear(&mut self, slots: &[u32]) {
        self.sketches.clear(slots);
    }
}

impl Saved for TopKs {
    fn save(&mut self, slots: &[u32], _scope: Scope) -> Result<Vec<ArrayRef>> {
        let maps: Vec<Option<Frequent>> = self.sketches.settled(slots).into_iter().map(|map| map.cloned()).collect();
        let items: Vec<Vec<_>> =
            maps.iter().map(|map| map.as_ref().map_or(vec![], |map| map.placed().collect())).collect();
        let lengths: Vec<usize> = items.iter().map(Vec::len).collect();
        let values = self.column(items.iter().flatten().map(|(item, _)| Some(item)).collect())?;
        let counts = Int64Array::from_iter_values(items.iter().flatten().map(|(_, count)| *count));
        let figure = |read: fn(&Frequent) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(maps.iter().map(|map| map.as_ref().map_or(0, read))))
        };
        Ok(vec![
            list_of(values, &lengths, None)?,
            list_of(Arc::new(counts), &lengths, None)?,
            figure(Frequent::taken),
            figure(Frequent::nulls),
        ])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], _scope: Scope) -> Result<()> {
        let (values, counts) = (lists(&columns[0]), lists(&columns[1]));
        let items = self.items(values.values())?;
        let numbers = counts.values().as_primitive::<Int64Type>();
        let (taken, nulls) = (columns[2].as_primitive::<Int64Type>(), columns[3].as_primitive::<Int64Type>());
        for (row, &slot) in slots.iter().enumerate() {
            let pairs = range(values, row).zip(range(counts, row));
            let pairs = pairs.map(|(value, count)| (items[value].clone(), numbers.value(count))).collect();
            let map = Frequent::of(self.tracked, pairs, taken.value(row), nulls.value(row));
            self.sketches.load(slot, Some(map));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.sketches.size()
    }
}
