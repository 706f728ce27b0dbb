//! The generator through its contract: determinism, rates, ends, lateness, broken payloads.

use super::*;
use crate::format::json::Json;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampMicrosecondType;
use futures::FutureExt as _;
use std::collections::HashSet;
use std::time::Duration;
use tidemill_core::clock::ManualClock;
use tidemill_core::format::{Format, Framing};
use tidemill_core::options::GivenOption;
use tidemill_core::source::{Ask, Body, Chunk};
use tidemill_core::{Offsets, SplitRange};

const NOW: i64 = 1_767_225_600_000_000;

fn options(given: &[(&str, &str)]) -> Options {
    let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
    Options::check("source 'generator'", &[DESCRIPTION.options], &given).unwrap()
}

struct Case {
    clock: Arc<ManualClock>,
    generator: Generator,
    options: Options,
    schema: SchemaRef,
    framing: Option<Framing>,
}

impl Case {
    fn new(given: &[(&str, &str)], ddl: &str) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let schema = Arc::new(parse_schema(ddl).unwrap());
        let generator = Generator::with_clock(clock.clone());
        Case { clock, generator, options: options(given), schema, framing: None }
    }

    async fn open(&self, resume_from: Offsets) -> Result<Box<dyn Source>> {
        let request = SourceRequest {
            table: "t".into(),
            schema: self.schema.clone(),
            options: self.options.clone(),
            reads_headers: false,
            framing: self.framing,
            resume_from,
        };
        self.generator.open(request).await
    }
}

fn rows(chunks: &[Chunk]) -> RecordBatch {
    let batches: Vec<RecordBatch> = chunks
        .iter()
        .map(|chunk| match &chunk.body {
            Body::Rows { rows, .. } => rows.clone(),
            other => panic!("not rows: {other:?}"),
        })
        .collect();
    concat_batches(batches[0].schema_ref(), &batches).unwrap()
}

async fn read(source: &dyn Source, ranges: &[SplitRange]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    for range in ranges {
        chunks.extend(source.read(range).await.unwrap());
    }
    chunks
}

const START: (&str, &str) = ("start_timestamp", "2026-01-01T00:00:00Z");

#[tokio::test]
async fn the_same_position_gives_the_same_rows_however_it_is_cut() {
    let case = Case::new(&[START, ("number_of_rows", "40000"), ("late", "2%")], USER_EVENTS);
    let mut source = case.open(Offsets::default()).await.unwrap();
    let plan = source.plan(&Offsets::default(), &Ask::default()).await.unwrap();
    assert_eq!(plan, [SplitRange::new("generator-0", 0, 40_000)]);
    let whole = rows(&read(source.as_ref(), &plan).await);
    let again = case.open(Offsets::default()).await.unwrap();
    for cuts in [vec![0, 1, 2, 39_999, 40_000], vec![0, 32_768, 40_000], vec![0, 7, 20_000, 40_000]] {
        let ranges: Vec<_> = cuts.windows(2).map(|cut| SplitRange::new("generator-0", cut[0], cut[1])).collect();
        assert_eq!(rows(&read(again.as_ref(), &ranges).await), whole);
    }
    let other = Case::new(&[START, ("number_of_rows", "40000"), ("seed", "7")], USER_EVENTS);
    let range = SplitRange::new("generator-0", 0, 40_000);
    assert_ne!(rows(&read(other.open(Offsets::default()).await.unwrap().as_ref(), &[range]).await), whole);
}

#[tokio::test]
async fn a_columns_values_do_not_depend_on_the_other_columns() {
    let range = SplitRange::new("generator-0", 5, 25);
    let all = Case::new(&[START], USER_EVENTS).open(Offsets::default()).await.unwrap();
    let all = rows(&read(all.as_ref(), std::slice::from_ref(&range)).await);
    let one = Case::new(&[START], "amount DECIMAL(12,2), user_id STRING").open(Offsets::default()).await.unwrap();
    let one = rows(&read(one.as_ref(), &[range]).await);
    assert_eq!(one.column(0), all.column_by_name("amount").unwrap());
    assert_eq!(one.column(1), all.column_by_name("user_id").unwrap());
}

#[tokio::test]
async fn partitions_share_the_rows_and_event_time_runs_at_the_rate() {
    let case =
        Case::new(&[START, ("rows_per_second", "4"), ("number_of_rows", "10"), ("partitions", "3")], "ts TIMESTAMP");
    let mut source = case.open(Offsets::default()).await.unwrap();
    assert_eq!(source.latest().await.unwrap().0.values().copied().collect::<Vec<_>>(), [4, 3, 3]);
    let plan = source.plan(&Offsets::default(), &Ask::default()).await.unwrap();
    let rows = rows(&read(source.as_ref(), &plan).await);
    let mut times: Vec<i64> = rows.column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec();
    times.sort_unstable();
    assert_eq!(times, (0..10).map(|row| NOW + row * 250_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn rows_follow_the_clock_and_a_restart_goes_on_where_it_was() {
    let case = Case::new(&[("rows_per_second", "100"), ("number_of_rows", "150")], "ts TIMESTAMP");
    let mut source = case.open(Offsets::default()).await.unwrap();
    assert_eq!(source.plan(&Offsets::default(), &Ask::default()).await.unwrap(), []);
    case.clock.advance(Duration::from_secs(1));
    let plan = source.plan(&Offsets::default(), &Ask::default()).await.unwrap();
    assert_eq!(plan[0].len(), 100);
    let mut offsets = Offsets::default();
    offsets.advance(&plan);

    case.clock.advance(Duration::from_secs(3600));
    for resume_from in [offsets.clone(), Offsets::default()] {
        let mut later = case.open(resume_from).await.unwrap();
        let rest = later.plan(&offsets, &Ask::default()).await.unwrap();
        assert_eq!((rest[0].from, rest[0].len()), (plan[0].to, 50), "the end is that of the first start");
        offsets.get(&rest[0].split).unwrap();
    }
    let until = Ask { until: Some(offsets.clone()), ..Ask::default() };
    assert_eq!(source.plan(&offsets, &until).await.unwrap(), []);
    let replay = case.open(offsets).await.unwrap();
    assert_eq!(rows(&read(replay.as_ref(), &plan).await), rows(&read(source.as_ref(), &plan).await));
}

#[tokio::test]
async fn as_fast_as_asked_is_bounded_by_what_is_asked() {
    let case = Case::new(&[("rows_per_second", "0")], "id STRING, x BIGINT");
    let mut source = case.open(Offsets::default()).await.unwrap();
    let ask = Ask { bytes_max: 4800, ..Ask::default() };
    let plan = source.plan(&Offsets::default(), &ask).await.unwrap();
    assert_eq!(plan[0].len(), 100);
    source.wait().await;
    assert!(source.latest().await.unwrap().0.is_empty(), "there is no newest row");
}

#[tokio::test]
async fn waiting_takes_until_the_next_row_and_no_longer() {
    let case = Case::new(&[("rows_per_second", "50"), ("number_of_rows", "2")], "ts TIMESTAMP");
    let mut source = case.open(Offsets::default()).await.unwrap();
    assert!(source.wait().now_or_never().is_none(), "the first row is not due");
    case.clock.advance(Duration::from_millis(20));
    source.wait().await;
    let plan = source.plan(&Offsets::default(), &Ask::default()).await.unwrap();
    assert_eq!(plan[0].len(), 1);
    let mut offsets = Offsets::default();
    offsets.advance(&plan);
    case.clock.advance(Duration::from_secs(1));
    source.plan(&offsets, &Ask::default()).await.unwrap();
    assert!(source.wait().now_or_never().is_none(), "after the last row there is nothing to wait for");
}

#[tokio::test]
async fn some_rows_are_late_and_none_by_more_than_asked() {
    let case =
        Case::new(&[START, ("late", "2%"), ("late_by", "10 seconds"), ("rows_per_second", "1000")], "ts TIMESTAMP");
    let source = case.open(Offsets::default()).await.unwrap();
    let rows = rows(&read(source.as_ref(), &[SplitRange::new("generator-0", 0, 50_000)]).await);
    let times = rows.column(0).as_primitive::<TimestampMicrosecondType>().values();
    let late: Vec<i64> =
        times.iter().enumerate().map(|(row, time)| NOW + row as i64 * 1000 - time).filter(|late| *late > 0).collect();
    assert!((900..1100).contains(&late.len()), "{}", late.len());
    assert!(late.iter().all(|late| *late <= 10_000_000));
}

#[tokio::test]
async fn the_wanted_share_of_payloads_is_broken_and_only_that() {
    let ddl = "user_id STRING NOT NULL, session_id STRING, duration DOUBLE, timestamp TIMESTAMP NOT NULL";
    let mut case = Case::new(&[START, ("shape", "user-events"), ("malformed", "10%")], ddl);
    case.framing = Some(Framing::Lines);
    let source = case.open(Offsets::default()).await.unwrap();
    let chunks = read(source.as_ref(), &[SplitRange::new("generator-0", 100, 10_100)]).await;
    let Body::Records(records) = &chunks[0].body else { panic!("not records") };
    assert_eq!((records.offsets[0], records.len()), (100, 10_000));
    let payload = String::from_utf8_lossy(records.value(0).unwrap()).into_owned();
    assert!(payload.starts_with("{\"event_id\":") && payload.contains("\"phone\":"), "{payload}");

    let decoded = Json.decoder(case.schema.clone(), &Options::default()).unwrap().decode(&chunks[0]).unwrap();
    assert!((900..1100).contains(&decoded.rejects.len()), "{}", decoded.rejects.len());
    assert_eq!(decoded.rows.num_rows() + decoded.rejects.len(), 10_000);
    let codes: HashSet<&str> = decoded.rejects.iter().map(|reject| reject.code).collect();
    assert_eq!(codes, HashSet::from(["MALFORMED", "WRONG_TYPE", "MISSING_FIELD"]));

    let again = read(source.as_ref(), &[SplitRange::new("generator-0", 5_000, 5_001)]).await;
    let Body::Records(again) = &again[0].body else { panic!("not records") };
    assert_eq!(again.value(0), records.value(4_900));
}

#[tokio::test]
async fn raw_payloads_are_of_the_shape_and_break_in_every_way() {
    let mut case = Case::new(&[START, ("shape", "user-events"), ("malformed", "50%")], "value STRING");
    case.framing = Some(Framing::Payloads);
    let source = case.open(Offsets::default()).await.unwrap();
    let chunks = read(source.as_ref(), &[SplitRange::new("generator-0", 0, 500)]).await;
    let Body::Records(records) = &chunks[0].body else { panic!("not records") };
    let payloads: Vec<String> =
        (0..500).map(|row| String::from_utf8_lossy(records.value(row).unwrap()).into_owned()).collect();
    assert!(payloads.iter().any(|payload| payload.starts_with("{\"event_id\":") && payload.ends_with("Z\"}")));
    assert!(payloads.iter().all(|payload| !payload.contains("\"value\"")));
    assert!(payloads.iter().any(|payload| payload.contains("\"n/a\"")), "a wrong type");
    assert!(payloads.iter().any(|payload| payload.contains("\"yesterday\"")), "a wrong time");
}

#[tokio::test]
async fn values_fit_the_names_and_types_of_their_columns() {
    let ddl = "customerEmail STRING, phone STRING, city STRING, card_number STRING, price DECIMAL(6,2), age TINYINT, \
               created_at TIMESTAMP, birth_date DATE, lat DOUBLE, is_new BOOLEAN, tags ARRAY<STRING>, \
               attributes MAP<STRING, INT>, home STRUCT<city: STRING, zip: INT>, raw BINARY, nothing VOID";
    let source = Case::new(&[START], ddl).open(Offsets::default()).await.unwrap();
    let rows = rows(&read(source.as_ref(), &[SplitRange::new("generator-0", 0, 200)]).await);
    for row in 0..200 {
        assert!(rows.column(0).as_string::<i32>().value(row).contains("@example."));
        assert!(rows.column(1).as_string::<i32>().value(row).contains("-555-01"));
        let card = rows.column(3).as_string::<i32>().value(row);
        let sum: u32 = card
            .bytes()
            .rev()
            .enumerate()
            .map(|(at, digit)| {
                let digit = u32::from(digit - b'0') * if at % 2 == 1 { 2 } else { 1 };
                digit / 10 + digit % 10
            })
            .sum();
        assert_eq!((card.len(), sum % 10), (16, 0), "{card}");
        assert!((18..=90).contains(&rows.column(5).as_primitive::<arrow::datatypes::Int8Type>().value(row)));
    }
    assert_eq!(rows.column(14).len(), 200);
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused() {
    for (given, why) in [
        (("malformed", "1%"), "the generator makes malformed rows only as payloads of a format"),
        (("late", "2"), "the generator's option 'late' is '2', which is no share"),
        (("partitions", "0"), "the generator's option 'partitions' is 0, which is not between 1 and 1024"),
        (("start_timestamp", "soon"), "the generator's option 'start_timestamp' is 'soon', which is no time"),
    ] {
        let error = Case::new(&[given], "a INT").open(Offsets::default()).await.err().unwrap();
        assert_eq!(error.to_string(), why);
    }
    assert!(Generator::default().default_schema(&options(&[])).is_none());
    assert_eq!(Generator::default().default_schema(&options(&[("shape", "user-events")])).unwrap().fields().len(), 10);
}
