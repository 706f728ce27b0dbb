//! Sessions of random rows equal a plain computation, whatever the split into epochs and partitions of
//! time, and with the state written and read between any two of them.

use super::{SessionAggregator, SessionLayout};
use crate::operator::aggregate;
use crate::operator::aggregate::accumulator::{AggregateFunction, Scope};
use crate::operator::exchange::Exchange;
use crate::operator::{EpochContext, Keyed};
use crate::pipeline::analysis::Session;
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::settings::Settings;
use crate::pipeline::text::{Spot, Text};
use arrow::array::{ArrayRef, AsArray, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::Expr;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidemill_core::sink::OutputMode;
use tidemill_core::{Epoch, types};

const KEYS: i64 = 3;

/// A row: key, time, gap, value.
type Row = (i64, i64, i64, i64);

/// A session: key, start, end; count, sum, distinct values, values in order.
type Found = (i64, i64, i64, i64, i64, i64, Vec<i64>);

/// Numbers that follow from a seed (xorshift), so that a failure can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as i64
    }
}

fn function(name: &str) -> Arc<dyn AggregateFunction> {
    let session = Session::new(Settings::check(&[]).unwrap(), &[]);
    let (text, at) = (Text::default(), Spot::default());
    let context = crate::function::CallContext { name, session: &session, text: &text, at };
    let modifiers = aggregate::Modifiers { ansi: true, ..Default::default() };
    let column = Typed::new(Expr::Column("v".into()), DataType::Int64, "v");
    (aggregate::find(name).unwrap().build)(&context, vec![column], modifiers).unwrap().0
}

fn layout(mode: OutputMode) -> Arc<SessionLayout> {
    let calls = ["count", "sum", "collect_set", "collect_list"];
    let calls: Vec<_> = calls.into_iter().map(|name| (function(name), vec![3], None)).collect();
    let mut fields = vec![Field::new("k", DataType::Int64, true), Field::new("session", types::window(), true)];
    fields.extend(calls.iter().map(|(function, ..)| Field::new("r", function.result_type(), true)));
    Arc::new(SessionLayout {
        keys: vec![DataType::Int64],
        bounds: [1, 2],
        position: 1,
        evicts: mode == OutputMode::Append,
        calls,
        mode,
        lacks_key: false,
        late: None,
        schema: Arc::new(Schema::new(fields)),
    })
}

fn batch(rows: &[Row]) -> RecordBatch {
    let numbers = |of: &dyn Fn(&Row) -> i64| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(of(row))).collect::<Int64Array>())
    };
    let instants = |of: &dyn Fn(&Row) -> i64| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(of)).with_timezone("UTC"))
    };
    let columns = [
        ("k", numbers(&|row| row.0)),
        ("start", instants(&|row| row.1)),
        ("end", instants(&|row| row.1 + row.2)),
        ("v", numbers(&|row| row.3)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn found(rows: &RecordBatch) -> Vec<Found> {
    let numbers = |column: usize| rows.column(column).as_primitive::<Int64Type>().clone();
    let session = rows.column(1).as_struct();
    let bound = |part: usize| session.column(part).as_primitive::<TimestampMicrosecondType>().clone();
    let (keys, starts, ends) = (numbers(0), bound(0), bound(1));
    let (counts, sums) = (numbers(2), numbers(3));
    let (sets, lists) = (rows.column(4).as_list::<i32>(), rows.column(5).as_list::<i32>());
    (0..rows.num_rows())
        .map(|row| {
            let list = lists.value(row).as_primitive::<Int64Type>().values().to_vec();
            (
                keys.value(row),
                starts.value(row),
                ends.value(row),
                counts.value(row),
                sums.value(row),
                sets.value_length(row).into(),
                list,
            )
        })
        .collect()
}

/// The sessions of rows, from the definition: rows of a key by time, joined while they overlap or touch.
fn by_definition(rows: &[Row]) -> Vec<Found> {
    let mut by_key: BTreeMap<i64, Vec<Row>> = BTreeMap::new();
    rows.iter().for_each(|row| by_key.entry(row.0).or_default().push(*row));
    let mut all: Vec<Found> = Vec::new();
    for (key, mut rows) in by_key {
        rows.sort_by_key(|row| (row.1, row.1 + row.2));
        let mut open: Option<Found> = None;
        for row in rows {
            match &mut open {
                Some(session) if row.1 <= session.2 => {
                    session.2 = session.2.max(row.1 + row.2);
                    session.6.push(row.3);
                }
                _ => all.extend(open.replace((key, row.1, row.1 + row.2, 0, 0, 0, vec![row.3]))),
            }
        }
        all.extend(open);
    }
    for session in &mut all {
        session.3 = session.6.len() as i64;
        session.4 = session.6.iter().sum();
        let mut values = session.6.clone();
        values.sort_unstable();
        values.dedup();
        session.5 = values.len() as i64;
    }
    all
}

/// Values of a session without their order: which rows came together decides it.
fn unordered(mut all: Vec<Found>) -> Vec<Found> {
    all.iter_mut().for_each(|session| session.6.sort_unstable());
    all.sort();
    all
}

/// Runs epochs; after each the state goes through what is written and read, by changes or whole.
fn run(epochs: &[Vec<Row>], layout: &Arc<SessionLayout>, random: &mut Random, watermarks: &[i64]) -> Vec<Vec<Found>> {
    let exchange = Exchange::new(&layout.keys, 1).unwrap();
    let mut operator = SessionAggregator::new(layout.clone()).unwrap();
    let mut replayed = SessionAggregator::new(layout.clone()).unwrap();
    let mut shown = Vec::new();
    for (number, rows) in epochs.iter().enumerate() {
        let (late, watermark) = (watermarks[number], watermarks[number + 1]);
        let context = EpochContext { epoch: Epoch(number as u64), late, watermark, timestamp: 0, has_data: true };
        let inputs = rows.chunks(3).flat_map(|rows| exchange.split(batch(rows), 0).unwrap()).collect();
        let out = operator.process(&context, inputs).unwrap();
        shown.push(out.rows.iter().flat_map(found).collect());
        if let Some(changes) = operator.state().changes().unwrap() {
            let all: Vec<u32> = (0..changes.num_rows() as u32).collect();
            replayed.state().load(&changes, &all, Scope::Changes).unwrap();
        }
        replayed.state().evict(watermark).unwrap();
        let (kept, read) = (operator.state().whole().unwrap(), replayed.state().whole().unwrap());
        assert_eq!(kept.num_rows(), read.num_rows(), "sessions after replaying changes");
        if random.below(2) == 0 {
            let all: Vec<u32> = (0..read.num_rows() as u32).collect();
            let of = if random.below(2) == 0 { &read } else { &kept };
            operator = SessionAggregator::new(layout.clone()).unwrap();
            operator.state().load(of, &all, Scope::Whole).unwrap();
            replayed = SessionAggregator::new(layout.clone()).unwrap();
            replayed.state().load(of, &all, Scope::Whole).unwrap();
        }
    }
    shown
}

fn random_rows(random: &mut Random, count: i64) -> Vec<Row> {
    let mut row = |number| (random.below(KEYS), random.below(120) - 20, 1 + random.below(9), number % 7);
    (0..count).map(&mut row).collect()
}

fn split(random: &mut Random, rows: &[Row]) -> Vec<Vec<Row>> {
    let mut epochs = vec![vec![]];
    for row in rows {
        if random.below(5) == 0 {
            epochs.push(vec![]);
        }
        epochs.last_mut().unwrap().push(*row);
    }
    epochs
}

#[test]
fn any_split_into_epochs_gives_the_sessions_of_the_definition() {
    let layout = layout(OutputMode::Complete);
    for seed in 1..80u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let count = random.below(60);
        let rows = random_rows(&mut random, count);
        let epochs = split(&mut random, &rows);
        let marks = vec![i64::MIN; epochs.len() + 1];
        let shown = run(&epochs, &layout, &mut random, &marks);
        let last = shown.last().cloned().unwrap_or_default();
        assert_eq!(unordered(last), unordered(by_definition(&rows)), "seed {seed}");
    }
}

#[test]
fn one_epoch_has_values_in_order_of_time() {
    let layout = layout(OutputMode::Complete);
    for seed in 1..40u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let rows = random_rows(&mut random, 50);
        let mut last = run(std::slice::from_ref(&rows), &layout, &mut random, &[i64::MIN; 2]).remove(0);
        last.sort();
        let mut expected = by_definition(&rows);
        expected.sort();
        assert_eq!(last, expected, "seed {seed}");
    }
}

#[test]
fn what_closes_comes_out_once_and_is_never_seen_again() {
    let layout = layout(OutputMode::Append);
    for seed in 1..80u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let count = random.below(80);
        let rows = random_rows(&mut random, count);
        let mut epochs = split(&mut random, &rows);
        epochs.push(vec![]);
        let mut marks = vec![i64::MIN];
        for _ in &epochs {
            marks.push(marks[marks.len() - 1].max(random.below(160) - 40));
        }
        *marks.last_mut().unwrap() = 1_000;
        // rows that are late by their own stretch of time are dropped; the others are all in some session
        let kept: usize =
            epochs.iter().zip(&marks).map(|(rows, late)| rows.iter().filter(|row| row.1 + row.2 > *late).count()).sum();
        let shown = run(&epochs, &layout, &mut random, &marks);
        assert_eq!(shown.iter().flatten().map(|session| session.3).sum::<i64>(), kept as i64, "seed {seed}");
        for (number, sessions) in shown.iter().enumerate() {
            assert!(sessions.iter().all(|session| session.2 <= marks[number + 1]), "seed {seed}");
        }
    }
}
