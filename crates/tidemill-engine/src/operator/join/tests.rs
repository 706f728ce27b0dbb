//! Random rows against a model that keeps everything in lists, with the state saved, moved between
//! partitions and loaded after every epoch.

use super::bounds::{JoinBounds, RangeBound, SideBound};
use super::*;
use crate::operator::aggregate::accumulator::Scope;
use crate::operator::exchange::Exchange;
use crate::pipeline::plan::{Attribute, inner_schema};
use arrow::array::{Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use proptest::prelude::*;
use std::collections::BTreeMap;

const SECOND: i64 = 1_000_000;

/// Key, seconds, number.
type Row = (Option<i64>, Option<i64>, i64);

fn attributes(first: u32) -> Vec<Attribute> {
    let of = |id: u32, name: &str, data_type: DataType| Attribute {
        id: first + id,
        name: name.into(),
        data_type,
        watermark: None,
        window_part: None,
    };
    vec![of(0, "id", DataType::Int64), of(1, "at", tidemill_core::types::timestamp()), of(2, "n", DataType::Int64)]
}

/// `l.id = r.id AND r.at >= l.at AND r.at <= l.at + 5 seconds`, bounded on both sides.
fn layout(kind: JoinKind) -> Arc<JoinLayout> {
    let (left, right) = (attributes(0), attributes(10));
    let side = |attributes: &[Attribute], preserved| SideLayout {
        late: Some(1),
        expiry: Some(1),
        passes: None,
        first_row: 2,
        schema: inner_schema(attributes),
        preserved,
    };
    let times = [left[1].clone(), right[1].clone()];
    let at_least = BinaryExpr::new(Box::new(times[1].reference()), Operator::GtEq, Box::new(times[0].reference()));
    let shift = |shift: f64| SideBound::Range(vec![RangeBound { watermarks: 1.0, shift, strict: false }]);
    let both: Vec<Attribute> = left.iter().chain(&right).cloned().collect();
    Arc::new(JoinLayout {
        keys: vec![DataType::Int64],
        null_safe: vec![false],
        kind,
        sides: [
            side(&left, matches!(kind, JoinKind::LeftOuter | JoinKind::FullOuter)),
            side(&right, matches!(kind, JoinKind::RightOuter | JoinKind::FullOuter)),
        ],
        bounds: JoinBounds { left: shift(-5.0 * SECOND as f64), right: shift(0.0) },
        filter: Some(PairFilter {
            condition: crate::operator::project::compile(&Expr::BinaryExpr(at_least), &times).unwrap(),
            columns: [vec![1], vec![1]],
            schema: inner_schema(&times),
        }),
        schema: inner_schema(if kind == JoinKind::LeftSemi { &left } else { &both }),
    })
}

/// A batch as the operator gets it: key, time, then the row.
fn prepared(rows: &[Row]) -> RecordBatch {
    let ids = Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.0))) as ArrayRef;
    let times = TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.1.map(|at| at * SECOND)));
    let times = Arc::new(times.with_timezone("UTC")) as ArrayRef;
    let numbers = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))) as ArrayRef;
    let columns = [("k", ids.clone()), ("t", times.clone()), ("id", ids), ("at", times), ("n", numbers)];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// The numbers of the left and right row of every row that came out.
fn numbers(batches: &[RecordBatch]) -> Vec<(Option<i64>, Option<i64>)> {
    let mut all = Vec::new();
    for batch in batches {
        let column = |at: usize| batch.columns().get(at).map(|column| column.as_primitive::<Int64Type>().clone());
        let (left, right) = (column(2).unwrap(), column(5));
        for row in 0..batch.num_rows() {
            let of = |column: &Int64Array| column.is_valid(row).then(|| column.value(row));
            all.push((of(&left), right.as_ref().and_then(of)));
        }
    }
    all.sort_unstable();
    all
}

/// The rules with lists.
#[derive(Default)]
struct Model {
    rows: [Vec<(Row, bool)>; 2],
}

impl Model {
    fn epoch(
        &mut self,
        kind: JoinKind,
        new: [&[Row]; 2],
        late: i64,
        watermark: i64,
    ) -> Vec<(Option<i64>, Option<i64>)> {
        let mut out = Vec::new();
        let fits = |left: &Row, right: &Row| {
            left.0.is_some() && left.0 == right.0 && left.1.zip(right.1).is_some_and(|(left, right)| right >= left)
        };
        for (side, rows) in new.iter().enumerate() {
            for row in rows.iter().filter(|row| row.1.is_none_or(|at| at > late)) {
                let mut matched = false;
                for (other, other_matched) in &mut self.rows[1 - side] {
                    let (left, right) = if side == 0 { (row, &*other) } else { (&*other, row) };
                    if !fits(left, right) || (kind == JoinKind::LeftSemi && side == 1 && *other_matched) {
                        continue;
                    }
                    if kind == JoinKind::LeftSemi {
                        if !(side == 0 && matched) {
                            out.push((Some(left.2), None));
                        }
                    } else {
                        out.push((Some(left.2), Some(right.2)));
                    }
                    (matched, *other_matched) = (true, true);
                }
                self.rows[side].push((*row, matched));
            }
        }
        for side in 0..2 {
            let bound = watermark - if side == 0 { 5 } else { 0 };
            let preserved = kind == JoinKind::FullOuter
                || (kind == JoinKind::LeftOuter && side == 0)
                || (kind == JoinKind::RightOuter && side == 1);
            // not strict: gone one millisecond after the bound is reached
            let over = |row: &(Row, bool)| row.0.1.is_some_and(|at| at < bound);
            for (row, _) in self.rows[side].iter().filter(|row| over(row) && preserved && !row.1) {
                out.push(if side == 0 { (Some(row.2), None) } else { (None, Some(row.2)) });
            }
            self.rows[side].retain(|row| !(over(row) || kind == JoinKind::LeftSemi && side == 0 && row.1));
        }
        out.sort_unstable();
        out
    }

    fn len(&self) -> usize {
        self.rows.iter().map(Vec::len).sum()
    }
}

/// Partitions as a step has them.
struct Step {
    layout: Arc<JoinLayout>,
    exchange: Exchange,
    partitions: Vec<Join>,
}

impl Step {
    fn new(layout: &Arc<JoinLayout>, partitions: usize) -> Self {
        Step {
            layout: layout.clone(),
            exchange: Exchange::new(&layout.keys, partitions).unwrap(),
            partitions: (0..partitions).map(|_| Join::new(layout.clone()).unwrap()).collect(),
        }
    }

    fn run(&mut self, context: &EpochContext, sides: [&[Row]; 2]) -> Vec<(Option<i64>, Option<i64>)> {
        let mut inputs = vec![vec![]; self.partitions.len()];
        let mut arrival = context.epoch.0 << 32;
        for (port, rows) in sides.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            for (partition, part) in self.exchange.split(prepared(rows), arrival).unwrap().into_iter().enumerate() {
                inputs[partition].push(KeyedRows { port, ..part });
            }
            arrival += rows.len() as u64;
        }
        let run = self.partitions.iter_mut().zip(inputs);
        let out: Vec<RecordBatch> = run.flat_map(|(join, input)| join.process(context, input).unwrap().rows).collect();
        numbers(&out)
    }

    fn load(&mut self, rows: &RecordBatch, scope: Scope) {
        let routes = self.exchange.route(&rows.columns()[self.layout.state_shape().keys], rows.num_rows()).unwrap();
        for (join, select) in self.partitions.iter_mut().zip(routes) {
            join.load(rows, &select, scope).unwrap();
        }
    }

    fn len(&self) -> usize {
        self.partitions.iter().map(|join| join.size().rows as usize).sum()
    }
}

fn rows() -> impl Strategy<Value = Vec<(Option<i64>, Option<i64>)>> {
    let key = prop_oneof![8 => (0..4i64).prop_map(Some), 1 => Just(None)];
    let at = prop_oneof![12 => (0..40i64).prop_map(Some), 1 => Just(None)];
    prop::collection::vec((key, at), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn it_gives_what_the_rules_say_and_survives_a_restart_after_every_epoch(
        kind in prop::sample::select(vec![
            JoinKind::Inner, JoinKind::LeftOuter, JoinKind::RightOuter, JoinKind::FullOuter, JoinKind::LeftSemi,
        ]),
        epochs in prop::collection::vec((rows(), rows(), 0..8i64), 1..8),
    ) {
        let layout = layout(kind);
        let (mut model, mut straight, mut log) = (Model::default(), Step::new(&layout, 1), Vec::new());
        let (mut late, mut watermark, mut number) = (0, 0, 0);
        for (epoch, (left, right, rise)) in epochs.into_iter().enumerate() {
            let mut numbered = |rows: Vec<(Option<i64>, Option<i64>)>| -> Vec<Row> {
                rows.into_iter().map(|(key, at)| { number += 1; (key, at, number) }).collect()
            };
            let (left, right) = (numbered(left), numbered(right));
            let context = EpochContext {
                epoch: Epoch(epoch as u64), late: late * SECOND, watermark: watermark * SECOND, timestamp: 0, has_data: true,
            };
            let expected = model.epoch(kind, [&left, &right], late, watermark);
            prop_assert_eq!(&straight.run(&context, [&left, &right]), &expected);
            prop_assert_eq!(straight.len(), model.len());
            // the same from the log of changes, in other partitions
            let mut restored = Step::new(&layout, 1 + epoch % 3);
            for (rows, mark) in &log {
                let rows: &Option<RecordBatch> = rows;
                rows.iter().for_each(|rows| restored.load(rows, Scope::Changes));
                restored.partitions.iter_mut().try_for_each(|join| join.evict(*mark)).unwrap();
            }
            prop_assert_eq!(&restored.run(&context, [&left, &right]), &expected);
            log.push((straight.partitions[0].changes().unwrap(), context.watermark));
            // and from a snapshot
            let whole = straight.partitions[0].whole().unwrap();
            straight = Step::new(&layout, 1);
            straight.load(&whole, Scope::Whole);
            prop_assert_eq!(straight.len(), model.len());
            (late, watermark) = (watermark, watermark + rise);
        }
    }
}

#[test]
fn rows_of_one_key_stay_in_order_when_chunks_are_joined() {
    let schema = inner_schema(&attributes(0));
    let mut rows = Rows::new(schema.clone());
    let mut expected = BTreeMap::new();
    for number in 0..300u64 {
        let batch = prepared(&[(Some(1), Some(number as i64), number as i64)]);
        let own = RecordBatch::try_new(schema.clone(), batch.columns()[2..].to_vec()).unwrap();
        let new = NewRow { key: (number % 7) as u32, number, expiry: number as i64 * SECOND, matched: false };
        rows.add(own, &[new]).unwrap();
        expected.entry(number % 7).or_insert_with(Vec::new).push(number as i64);
        rows.tidy().unwrap();
    }
    assert!(rows.chunks() < 20, "{} chunks", rows.chunks());
    for slot in rows.expired(100 * SECOND) {
        rows.remove(slot);
    }
    rows.tidy().unwrap();
    assert_eq!(rows.len(), 199);
    for (key, numbers) in expected {
        let slots: Vec<u32> = rows.of_key(key as u32).collect();
        let kept: Vec<i64> = numbers.into_iter().filter(|number| *number > 100).collect();
        assert_eq!(rows.take(&slots).unwrap().column(2).as_primitive::<Int64Type>().values(), &kept);
    }
}
