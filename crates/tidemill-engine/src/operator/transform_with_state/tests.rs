//! A Rust processor through the operator: its log replayed gives the same state, in other partitions too; TTL, timers
//! and late rows by the clock and watermark of the epoch.

use super::contract::{Declarations, ProcessorFactory, ProcessorSchemas, TimeMode, Variable, VariableKind};
use super::state::ScalarValue;
use super::table::TableLayout;
use super::{KeyHandle, Process, ProcessLayout, RustProcessor, StatefulProcessor, TimerValues};
use crate::operator::aggregate::accumulator::Scope;
use crate::operator::exchange::Exchange;
use crate::operator::{EpochContext, Keyed};
use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use tidemill_core::{Epoch, Result, types};

/// Keeps a sum for ever, the last value for two seconds, all values in a list and a count by value in a map.
#[derive(Default)]
struct Ledger {
    sum: usize,
    last: usize,
    list: usize,
    map: usize,
}

fn number(value: i64) -> Arc<[ScalarValue]> {
    [ScalarValue::Int64(Some(value))].into()
}

fn value_of(row: Option<Arc<[ScalarValue]>>) -> i64 {
    match row.as_deref() {
        Some([ScalarValue::Int64(Some(value))]) => *value,
        _ => -1,
    }
}

fn out(key: &KeyHandle<'_>, values: [i64; 4]) -> Result<Option<RecordBatch>> {
    let mut columns: Vec<ArrayRef> = key.key()?;
    columns.extend(values.into_iter().map(|value| Arc::new(Int64Array::from(vec![value])) as ArrayRef));
    Ok(Some(RecordBatch::try_new(output(), columns)?))
}

fn output() -> Arc<Schema> {
    let mut fields = vec![Field::new("k", DataType::Utf8, true)];
    fields.extend(["sum", "last", "items", "keys"].map(|name| Field::new(name, DataType::Int64, true)));
    Arc::new(Schema::new(fields))
}

impl StatefulProcessor for Ledger {
    fn init(&mut self, _: &ProcessorSchemas, declare: &mut Declarations) -> Result<()> {
        let fields = || vec![Field::new("v", DataType::Int64, true)].into();
        let mut variable = |name: &str, kind, ttl_ms| {
            declare.variable(Variable { name: name.to_owned(), kind, fields: fields(), ttl_ms })
        };
        self.sum = variable("sum", VariableKind::Value, None)?;
        self.last = variable("last", VariableKind::Value, Some(2_000))?;
        self.list = variable("list", VariableKind::List, Some(2_000))?;
        self.map = variable("map", VariableKind::Map(fields()), None)?;
        Ok(())
    }

    fn handle_input_rows(
        &mut self,
        rows: &RecordBatch,
        timers: &TimerValues,
        key: &mut KeyHandle<'_>,
    ) -> Result<Option<RecordBatch>> {
        for value in rows.column(1).as_primitive::<Int64Type>().values() {
            key.set_value(self.sum, number(value_of(key.value(self.sum)).max(0) + value));
            key.set_value(self.last, number(*value));
            key.append(self.list, number(*value));
            let before = value_of(key.map_value(self.map, &number(value % 3))?).max(0);
            key.set_map_value(self.map, number(value % 3), number(before + 1))?;
        }
        key.register_timer(timers.processing_time_ms + 1_500);
        let (items, keys) = (key.list(self.list).len() as i64, key.map(self.map).len() as i64);
        out(key, [value_of(key.value(self.sum)), value_of(key.value(self.last)), items, keys])
    }

    fn handle_expired_timer(
        &mut self,
        _: i64,
        _: &TimerValues,
        key: &mut KeyHandle<'_>,
    ) -> Result<Option<RecordBatch>> {
        key.remove_map_key(self.map, number(0))?;
        out(key, [-2, value_of(key.value(self.last)), key.timers().len() as i64, key.map(self.map).len() as i64])
    }
}

fn operators(partitions: usize) -> (Exchange, Vec<Process>) {
    let input = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("v", DataType::Int64, true),
        Field::new("ts", types::timestamp(), true),
    ]));
    let key = Arc::new(Schema::new(vec![Field::new("k", DataType::Utf8, true)]));
    let schemas = ProcessorSchemas { key, input: input.clone(), initial: None, output: output() };
    let factory = RustProcessor::new("ledger", Ledger::default);
    let mut declare = Declarations::new(TimeMode::ProcessingTime);
    factory.open(&schemas, &mut declare).unwrap();
    let layout = Arc::new(ProcessLayout {
        keys: vec![DataType::Utf8],
        time: Some(1),
        rows: 2..5,
        input,
        late: None,
        mode: TimeMode::ProcessingTime,
        strict: false,
        output: output(),
        event_time: None,
        table: TableLayout::new(vec![DataType::Utf8], declare.variables),
        dropped: vec![],
    });
    let one = || {
        let mut declare = Declarations::new(TimeMode::ProcessingTime);
        Process::new(layout.clone(), factory.open(&schemas, &mut declare).unwrap(), None).unwrap()
    };
    (Exchange::new(&[DataType::Utf8], partitions).unwrap(), (0..partitions).map(|_| one()).collect())
}

/// Rows of key, value and second, in the operator's layout.
fn batch(rows: &[(&str, i64, i64)]) -> RecordBatch {
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0)));
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
    let times = rows.iter().map(|row| row.2 * 1_000_000);
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"));
    let columns = [("0", keys.clone()), ("1", times.clone()), ("k", keys), ("v", values), ("ts", times)];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn found(batch: &RecordBatch) -> Vec<(String, [i64; 4])> {
    let keys = batch.column(0).as_string::<i32>();
    let values = |row| std::array::from_fn(|place| batch.column(place + 1).as_primitive::<Int64Type>().value(row));
    (0..batch.num_rows()).map(|row| (keys.value(row).to_owned(), values(row))).collect()
}

type Epochs<'a> = &'a [(i64, i64, &'a [(&'a str, i64, i64)])];

/// Second of the clock, second of the watermark, rows.
const EPOCHS: Epochs<'_> = &[
    (10, 0, &[("b", 1, 5), ("a", 2, 5), ("a", 3, 6)]),
    (11, 3, &[("a", 5, 3), ("a", 6, 4)]),
    (12, 3, &[]),
    (13, 3, &[("c", 9, 9)]),
    (20, 3, &[("a", 3, 9)]),
];

/// What every epoch gives; with `restart` the state of each epoch goes to new operators, by log or whole.
fn run(restart: Option<(usize, bool)>) -> Vec<Vec<(String, [i64; 4])>> {
    let (mut exchange, mut partitions) = operators(2);
    let (mut shown, mut late) = (Vec::new(), 0);
    let mut log: Vec<RecordBatch> = Vec::new();
    for (number, (clock, watermark, rows)) in EPOCHS.iter().enumerate() {
        let watermark = watermark * 1_000_000;
        let context = EpochContext {
            epoch: Epoch(number as u64),
            late: watermark,
            watermark,
            timestamp: clock * 1_000_000,
            has_data: !rows.is_empty(),
        };
        let mut parts = exchange.split(batch(rows), 0).unwrap().into_iter();
        let mut given = Vec::new();
        for partition in &mut partitions {
            let output = partition.process(&context, parts.next().into_iter().collect()).unwrap();
            late += output.late;
            given.extend(output.rows.iter().flat_map(found));
            log.extend(partition.state().changes().unwrap());
        }
        given.sort();
        shown.push(given);
        if let Some((count, whole)) = restart {
            let rows = match whole {
                true => partitions.iter_mut().map(|partition| partition.state().whole().unwrap()).collect(),
                false => log.clone(),
            };
            (exchange, partitions) = operators(count);
            for rows in &rows {
                let routes = exchange.route(&rows.columns()[2..3], rows.num_rows()).unwrap();
                for (partition, select) in partitions.iter_mut().zip(routes) {
                    partition.state().load(rows, &select, Scope::Changes).unwrap();
                }
            }
        }
    }
    assert_eq!(late, 1);
    shown
}

fn row(key: &str, values: [i64; 4]) -> (String, [i64; 4]) {
    (key.to_owned(), values)
}

#[test]
fn state_timers_and_ttl_by_epoch() {
    let shown = run(None);
    assert_eq!(shown[0], [row("a", [5, 3, 2, 2]), row("b", [1, 1, 1, 1])]);
    // the row at second 3 is late; what was written at 10 has not expired at 11
    assert_eq!(shown[1], [row("a", [11, 6, 3, 2])]);
    // at 12 the timers of 11.5 are due, and what was written at 10 has expired
    assert_eq!(shown[2], [row("a", [-2, 6, 2, 1]), row("b", [-2, -1, 1, 1])]);
    // that of 12.5 too; the value of 11 has expired
    assert_eq!(shown[3], [row("a", [-2, -1, 1, 1]), row("c", [9, 9, 1, 1])]);
    assert_eq!(shown[4], [row("a", [14, 3, 1, 2]), row("c", [-2, -1, 1, 0])]);
}

#[test]
fn the_log_and_snapshots_rebuild_it_in_any_number_of_partitions() {
    let straight = run(None);
    for partitions in [1, 2, 3] {
        for whole in [false, true] {
            assert_eq!(run(Some((partitions, whole))), straight, "{partitions} partitions, whole {whole}");
        }
    }
}

#[test]
fn nothing_is_left_of_keys_without_state() {
    let (exchange, mut partitions) = operators(1);
    for number in 0..50i64 {
        let context = EpochContext {
            epoch: Epoch(number as u64),
            late: 0,
            watermark: 0,
            timestamp: number * 10_000_000,
            has_data: true,
        };
        let keys: Vec<String> = (0..100).map(|key| format!("{number}-{key}")).collect();
        let rows: Vec<(&str, i64, i64)> = keys.iter().map(|key| (key.as_str(), 3, 1)).collect();
        let parts = exchange.split(batch(&rows), 0).unwrap();
        partitions[0].process(&context, parts).unwrap();
        partitions[0].state().changes().unwrap();
    }
    // a sum for each key, and of the last epoch a last value, a list of one and a map of one
    assert_eq!(partitions[0].state().size().rows, 50 * 100 + 3 * 100);
}
