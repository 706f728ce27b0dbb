//! However rows are split into epochs and slots, and in whatever order the slots are merged, an aggregate
//! gives one result; so does one that was saved and loaded on the way.

use super::accumulator::{Accumulator, AggregateFunction, Scope, Selected};
use super::{Direction, Modifiers};
use crate::function::CallContext;
use crate::pipeline::analysis::Session;
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::settings::Settings;
use crate::pipeline::text::{Spot, Text};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use std::sync::Arc;

/// Numbers that repeat with their seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.below(8) == 0 { None } else { Some(value(self)) }
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// An aggregate, the columns it takes (i: bigint, d: double, s: string, b: boolean) and its constants.
struct Subject {
    name: &'static str,
    columns: &'static str,
    constants: Vec<ScalarValue>,
    distinct: bool,
    order: &'static [Direction],
}

fn subject(name: &'static str, columns: &'static str) -> Subject {
    Subject { name, columns, constants: vec![], distinct: false, order: &[] }
}

fn with(name: &'static str, columns: &'static str, constants: Vec<ScalarValue>) -> Subject {
    Subject { constants, ..subject(name, columns) }
}

impl Subject {
    fn built(&self) -> (Arc<dyn AggregateFunction>, Vec<(String, DataType)>) {
        let session = Session::new(Settings::check(&[]).unwrap(), &[]);
        let (text, at) = (Text::default(), Spot::default());
        let context = CallContext { name: self.name, session: &session, text: &text, at };
        let column = |column: char| {
            let of = match column {
                'i' => DataType::Int64,
                'd' => DataType::Float64,
                's' => DataType::Utf8,
                _ => DataType::Boolean,
            };
            Typed::new(Expr::Column(column.to_string().into()), of, column.to_string())
        };
        let mut arguments: Vec<Typed> = self.columns.chars().map(column).collect();
        let place = arguments.len() - self.order.len();
        let constants = self.constants.iter().map(|constant| Typed::literal(constant.clone(), ""));
        arguments.splice(place..place, constants);
        let modifiers = Modifiers { ansi: true, distinct: self.distinct, order: self.order, ..Modifiers::default() };
        let entry = super::find(self.name).unwrap();
        let built = match self.distinct {
            true => super::distinct::build(&context, entry, arguments, modifiers),
            false => (entry.build)(&context, arguments, modifiers),
        };
        let (function, arguments) = built.unwrap();
        let used = |argument: &Typed| {
            let columns = argument.expr.column_refs();
            (columns.into_iter().next().map(|column| column.name.clone()).unwrap(), argument.data_type.clone())
        };
        (function, arguments.iter().map(used).collect())
    }
}

fn exact() -> Vec<Subject> {
    const DOWN: &[Direction] = &[Direction { descending: true, nulls_first: false }];
    let half = || vec![ScalarValue::Float64(Some(0.5))];
    let sketch = || [half(), half(), vec![ScalarValue::Int32(Some(1))]].concat();
    let mut subjects = vec![
        subject("count", "i"),
        subject("count", "is"),
        subject("count_if", "b"),
        subject("sum", "i"),
        subject("avg", "i"),
        subject("min", "s"),
        subject("max", "d"),
        subject("bool_and", "b"),
        subject("bool_or", "b"),
        subject("bit_and", "i"),
        subject("bit_or", "i"),
        subject("bit_xor", "i"),
        subject("first", "s"),
        subject("last", "i"),
        with("first", "d", vec![ScalarValue::Boolean(Some(true))]),
        with("last", "s", vec![ScalarValue::Boolean(Some(true))]),
        subject("max_by", "si"),
        subject("min_by", "id"),
        subject("max_by", "bs"),
        with("max_by", "si", vec![ScalarValue::Int32(Some(3))]),
        with("min_by", "is", vec![ScalarValue::Int32(Some(4))]),
        subject("collect_list", "i"),
        subject("collect_list", "s"),
        subject("collect_set", "s"),
        subject("collect_set", "d"),
        subject("listagg", "s"),
        Subject { order: DOWN, ..with("listagg", "si", vec![ScalarValue::from("-")]) },
        with("percentile", "i", half()),
        with("percentile", "d", vec![ScalarValue::Float64(Some(0.3))]),
        Subject { order: DOWN, ..with("percentile_cont", "", half()) },
        subject("median", "d"),
        subject("mode", "s"),
        subject("mode", "i"),
        with("count_min_sketch", "i", sketch()),
        with("count_min_sketch", "s", sketch()),
        subject("approx_count_distinct", "i"),
        subject("approx_count_distinct", "s"),
    ];
    // the key of WITHIN GROUP is an argument too
    subjects.iter_mut().filter(|subject| subject.name == "percentile_cont").for_each(|subject| subject.columns = "i");
    let distinct = ["count", "sum", "avg", "bit_xor"].map(|name| Subject { distinct: true, ..subject(name, "i") });
    subjects.into_iter().chain(distinct).collect()
}

/// Doubles are rounded at every step, so their last digits depend on the order.
fn rounded() -> Vec<Subject> {
    let singles = ["stddev", "stddev_pop", "variance", "var_pop", "skewness", "kurtosis", "sum", "avg"];
    let pairs = ["corr", "covar_pop", "covar_samp", "regr_slope", "regr_intercept", "regr_r2", "regr_sxx", "regr_syy"];
    let singles = singles.map(|name| subject(name, "d"));
    singles.into_iter().chain(pairs.map(|name| subject(name, "di"))).collect()
}

struct Rows {
    columns: Vec<(char, ArrayRef)>,
    count: u32,
}

impl Rows {
    fn new(random: &mut Random, count: u32) -> Self {
        let texts = ["pear", "fig", "", "apple", "Zed"];
        let i: Int64Array = (0..count).map(|_| random.maybe(|random| random.below(9) as i64 - 4)).collect();
        let d: Float64Array = (0..count).map(|_| random.maybe(|random| random.below(41) as f64 / 4.0 - 5.0)).collect();
        let s: StringArray = (0..count).map(|_| random.maybe(|random| texts[random.below(5) as usize])).collect();
        let b: BooleanArray = (0..count).map(|_| random.maybe(|random| random.below(2) == 0)).collect();
        let columns: Vec<(char, ArrayRef)> =
            vec![('i', Arc::new(i)), ('d', Arc::new(d)), ('s', Arc::new(s)), ('b', Arc::new(b))];
        Rows { columns, count }
    }

    fn arguments(&self, names: &[(String, DataType)], hash: bool) -> Vec<ArrayRef> {
        let find = |(name, of): &(String, DataType)| {
            let column = self.columns.iter().find(|(known, _)| name.starts_with(*known)).unwrap().1.clone();
            if hash { Arc::new(hashes(&column)) } else { arrow::compute::cast(&column, of).unwrap() }
        };
        names.iter().map(find).collect()
    }
}

/// What stands for the hash expression, which is none of the accumulator's business.
fn hashes(column: &ArrayRef) -> Int64Array {
    let text = arrow::compute::cast(column, &DataType::Utf8).unwrap();
    let hash = |text: &str| {
        text.bytes().fold(7i64, |hash, byte| (hash ^ i64::from(byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15u64 as i64))
    };
    text.as_string::<i32>().iter().map(|text| text.map(hash)).collect()
}

fn update(accumulator: &mut dyn Accumulator, arguments: &[ArrayRef], rows: &[u32], slots: &[u32], epoch: u64) {
    accumulator.update(arguments, Selected { rows, slots, arrival: epoch << 32, order: None }).unwrap();
}

/// Moves the state through the columns it is saved in.
fn reloaded(function: &dyn AggregateFunction, from: &mut dyn Accumulator, slots: u32) -> Box<dyn Accumulator> {
    let all: Vec<u32> = (0..slots).collect();
    let columns = from.save(&all, Scope::Whole).unwrap();
    let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
    assert_eq!(types, function.state_types(), "{}", function.identity());
    let mut into = function.accumulator().unwrap();
    into.resize(slots as usize);
    into.load(&all, &columns, Scope::Whole).unwrap();
    into
}

fn check(subject: &Subject, random: &mut Random, same: impl Fn(&ArrayRef, &ArrayRef) -> bool) {
    let (function, names) = subject.built();
    let rows = Rows::new(random, 60);
    let arguments = rows.arguments(&names, subject.name == "approx_count_distinct");
    let all: Vec<u32> = (0..rows.count).collect();
    let mut whole = function.accumulator().unwrap();
    whole.resize(1);
    update(&mut *whole, &arguments, &all, &vec![0; all.len()], 0);
    let expected = whole.evaluate(&[0]).unwrap();
    assert_eq!(expected.data_type(), &function.result_type(), "{}", function.identity());

    // slots 1..=5 are slices, slot 0 is where they are put together
    let mut split = function.accumulator().unwrap();
    let mut logged = function.accumulator().unwrap();
    split.resize(6);
    logged.resize(6);
    let (mut start, mut epoch) = (0, 0);
    while start < rows.count {
        let end = (start + 1 + random.below(20) as u32).min(rows.count);
        let part: Vec<u32> = (start..end).collect();
        let slots: Vec<u32> = part.iter().map(|_| 1 + random.below(5) as u32).collect();
        // numbers go up from epoch to epoch, whatever the rows are called
        update(&mut *split, &arguments, &part, &slots, epoch);
        let mut changed = slots.clone();
        changed.sort_unstable();
        changed.dedup();
        let changes = split.save(&changed, Scope::Changes).unwrap();
        logged.load(&changed, &changes, Scope::Changes).unwrap();
        if random.below(4) == 0 {
            split = reloaded(&*function, &mut *split, 6);
        }
        (start, epoch) = (end, epoch + 1);
    }
    for mut parts in [split, logged] {
        let mut order = [1, 2, 3, 4, 5];
        random.shuffle(&mut order);
        order.iter().for_each(|from| parts.merge(&[*from], &[0]).unwrap());
        let found = parts.evaluate(&[0]).unwrap();
        assert!(same(&expected, &found), "{}: {expected:?}, in parts {found:?}", function.identity());
        parts.clear(&[0, 1, 2, 3, 4, 5]);
        parts.merge(&[1], &[0]).unwrap();
        let mut empty = function.accumulator().unwrap();
        empty.resize(1);
        assert_eq!(&parts.evaluate(&[0]).unwrap(), &empty.evaluate(&[0]).unwrap(), "{} cleared", function.identity());
    }
}

#[test]
fn splits_and_merges_change_nothing() {
    for seed in 1..30 {
        let mut random = Random(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        for subject in exact() {
            check(&subject, &mut random, |expected, found| expected == found);
        }
    }
}

#[test]
fn splits_and_merges_change_only_last_digits() {
    let close = |expected: &ArrayRef, found: &ArrayRef| {
        let (expected, found) = (expected.as_primitive::<Float64Type>(), found.as_primitive::<Float64Type>());
        expected.is_null(0) == found.is_null(0)
            && (expected.is_null(0)
                || (expected.value(0) - found.value(0)).abs() <= 1e-9 * expected.value(0).abs().max(1.0))
    };
    for seed in 1..30 {
        let mut random = Random(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        for subject in rounded() {
            check(&subject, &mut random, close);
        }
    }
}

#[test]
fn summaries_stay_within_their_error_and_small() {
    use super::sketches::Sketch;
    use super::summary::Summary;
    let mut random = Random(77);
    for accuracy in [20u64, 100, 1000] {
        let error = 1.0 / accuracy as f64;
        let mut kept = Summary::new(error);
        let mut all = vec![];
        for _ in 0..40 {
            let mut fresh = Summary::new(error);
            for _ in 0..2500 {
                let value = random.below(1_000_000) as f64;
                fresh.add(value);
                all.push(value);
            }
            fresh.finish();
            kept.merge(&fresh);
        }
        all.sort_by(f64::total_cmp);
        for share in [0.01, 0.25, 0.5, 0.9, 0.999] {
            let found = kept.query(&[share]).unwrap()[0];
            let rank = all.partition_point(|value| *value < found) as f64;
            assert!((rank - share * all.len() as f64).abs() <= 2.0 * error * all.len() as f64, "{accuracy} {share}");
        }
        assert!(kept.samples().len() as u64 <= (10 * accuracy).max(10_000), "{} for {accuracy}", kept.samples().len());
    }
}

#[test]
fn summaries_of_many_small_epochs_stay_small() {
    use super::sketches::Sketch;
    use super::summary::Summary;
    let (mut random, mut kept, mut all) = (Random(78), Summary::new(0.0001), vec![]);
    for _ in 0..3000 {
        let mut fresh = Summary::new(0.0001);
        for _ in 0..100 {
            let value = random.below(1_000_000) as f64;
            fresh.add(value);
            all.push(value);
        }
        fresh.finish();
        kept.merge(&fresh);
    }
    assert!(kept.samples().len() <= 100_000, "{}", kept.samples().len());
    all.sort_by(f64::total_cmp);
    for share in [0.01, 0.5, 0.999] {
        let found = kept.query(&[share]).unwrap()[0];
        let rank = all.partition_point(|value| *value < found) as f64;
        assert!((rank - share * all.len() as f64).abs() <= 0.001 * all.len() as f64, "{share}: {rank}");
    }
}
