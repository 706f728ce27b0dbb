//! How fast JSON becomes columns, on one thread: our decoder beside arrow-json, on the same bytes.
//! `cargo run --release --example json_decode [rows] [rounds]`

#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use std::fmt::Write as _;
use std::sync::Arc;
use tidemill_connectors::format::json::Json;
use tidemill_core::format::Format;
use tidemill_core::source::{Body, Chunk};
use tidemill_core::types::parse_schema;
use tidemill_core::{Clock, Options, Result, SystemClock};

const WANTED: &str = "user_id STRING, session_id STRING, duration DOUBLE, timestamp TIMESTAMP";
const ALL: &str = "event_id STRING, user_id STRING, session_id STRING, event_type STRING, duration DOUBLE, \
                   amount STRING, timestamp TIMESTAMP";
const ALL_DECIMAL: &str = "event_id STRING, user_id STRING, session_id STRING, event_type STRING, duration DOUBLE, \
                           amount DECIMAL(12,2), timestamp TIMESTAMP";

fn main() -> Result<()> {
    let argument = |index: usize, default: usize| {
        std::env::args().nth(index).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (rows, rounds) = (argument(1, 500_000), argument(2, 5));
    let data = Bytes::from(events(rows));
    println!("{rows} events, {} bytes each", data.len() / rows.max(1));
    for (name, ddl) in [("4 of 7 fields", WANTED), ("7 fields", ALL), ("7 fields, one a decimal", ALL_DECIMAL)] {
        let schema = Arc::new(parse_schema(ddl)?);
        for _ in 0..rounds {
            let ours = seconds(|| decode(&schema, &data))?;
            let theirs = seconds(|| arrow_json(&schema, &data))?;
            let rate = |seconds: f64| rows as f64 / seconds / 1e6;
            println!("{name}: ours {:.2} M rows/s, arrow-json {:.2} M rows/s", rate(ours), rate(theirs));
        }
    }
    Ok(())
}

/// Decodes in pieces of 4 MiB, as the files source gives them.
fn decode(schema: &SchemaRef, data: &Bytes) -> Result<usize> {
    let decoder = Json.decoder(schema.clone(), &Options::default())?;
    let (mut rows, mut start) = (0, 0);
    while start < data.len() {
        let end = (start + (4 << 20)).min(data.len());
        let end = data[end..].iter().position(|byte| *byte == b'\n').map_or(data.len(), |at| end + at + 1);
        let body = Body::Stream { bytes: data.slice(start..end), at: start as u64 };
        rows += decoder.decode(&Chunk { split: "events".into(), body })?.rows.num_rows();
        start = end;
    }
    Ok(rows)
}

fn arrow_json(schema: &SchemaRef, data: &Bytes) -> Result<usize> {
    // It knows zones by name only with a feature that we do not need.
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Timestamp(..) => field.as_ref().clone().with_data_type(instant.clone()),
        _ => field.as_ref().clone(),
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let reader = arrow::json::ReaderBuilder::new(schema).with_batch_size(8192).build(data.as_ref())?;
    let mut rows = 0;
    for batch in reader {
        rows += batch?.num_rows();
    }
    Ok(rows)
}

fn seconds(work: impl FnOnce() -> Result<usize>) -> Result<f64> {
    let clock = SystemClock::new();
    std::hint::black_box(work()?);
    Ok(clock.elapsed().as_secs_f64())
}

/// User events like those of the benchmark: seven fields, about 176 bytes.
fn events(rows: usize) -> Vec<u8> {
    let mut out = String::with_capacity(rows * 180);
    let mut state = 42u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let types = ["page_view", "click", "add_cart", "purchase", "search", "login", "logout", "share"];
    for row in 0..rows {
        let second = row / 700;
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{{\"event_id\":\"{:08x}-{:04x}-{:04x}\",\"user_id\":\"u{:06}\",\"session_id\":\"s{:07x}\",\
             \"event_type\":\"{}\",\"duration\":{}.{:03},\"amount\":\"{}.{:02}\",\
             \"timestamp\":\"2026-01-01T{:02}:{:02}:{:02}.{:03}Z\"}}",
            next(1 << 30),
            next(1 << 16),
            next(1 << 16),
            next(100_000),
            next(1 << 28),
            types[next(8) as usize],
            next(120),
            next(1000),
            next(1000),
            next(100),
            second / 3600 % 24,
            second / 60 % 60,
            second % 60,
            next(1000),
        );
    }
    out.into_bytes()
}
