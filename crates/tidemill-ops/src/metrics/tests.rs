//! Names are kept, values are right, what is not known is absent.

use crate::record::tests::{clock, epoch, started};
use crate::{Monitor, PriceBook};
use std::collections::BTreeSet;
use std::time::Duration;

fn monitor() -> Monitor {
    let clock = clock();
    let monitor = Monitor::new(clock.clone(), PriceBook::list().unwrap());
    let listener = monitor.listener();
    listener.on_start(&started());
    listener.on_begin("events.counts");
    listener.on_epoch(&epoch(0));
    clock.advance(Duration::from_secs(2));
    monitor
}

/// Name, labels and kind of every line, without the values.
fn names(text: &str) -> BTreeSet<String> {
    let mut kind = String::new();
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            kind = typed.rsplit_once(' ').unwrap().1.to_owned();
        }
        if line.starts_with('#') {
            continue;
        }
        let (name, labels) = match line.split_once('{') {
            Some((name, rest)) => (name, rest.split_once('}').unwrap().0),
            None => (line.split_once(' ').unwrap().0, ""),
        };
        let labels: Vec<&str> = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0)).collect();
        found.insert(format!("{kind} {name}{{{}}}", labels.join(",")));
    }
    found
}

#[test]
fn names_are_kept() {
    let shown = names(&monitor().metrics());
    let kept: BTreeSet<String> =
        include_str!("names.txt").lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let gone: Vec<_> = kept.difference(&shown).collect();
    let new: Vec<_> = shown.difference(&kept).collect();
    assert!(gone.is_empty() && new.is_empty(), "gone from names.txt: {gone:#?}\nnot in names.txt: {new:#?}");
}

#[test]
fn values_are_those_of_the_epochs() {
    let text = monitor().metrics();
    for line in [
        r#"tidemill_query_status{query="events.counts",status="running"} 1.0"#,
        r#"tidemill_query_status{query="events.counts",status="failed"} 0.0"#,
        r#"tidemill_sink_retries_total{query="events.counts",sink="counts"} 1"#,
        r#"tidemill_sink_breaker{query="events.counts",sink="counts",state="open"} 1.0"#,
        r#"tidemill_sink_breaker{query="events.counts",sink="counts",state="closed"} 0.0"#,
        r#"tidemill_epochs_total{query="events.counts"} 1"#,
        r#"tidemill_source_records_total{query="events.counts",source="events"} 100"#,
        r#"tidemill_source_bytes_total{query="events.counts",source="events"} 12345"#,
        r#"tidemill_source_lag_records{query="events.counts",source="events",partition="0"} 7.0"#,
        r#"tidemill_source_lag_records{query="events.counts",source="events",partition="1"} 0.0"#,
        r#"tidemill_source_behind_seconds{query="events.counts",source="events",partition="1"} 2.5"#,
        r#"tidemill_source_lag_known{query="events.counts",source="events"} 1.0"#,
        r#"tidemill_watermark_delay_seconds{query="events.counts"} 62.0"#,
        r#"tidemill_rows_late_total{query="events.counts",operator="aggregate-0",action="dropped"} 3"#,
        r#"tidemill_state_rows{query="events.counts",operator="aggregate-0"} 50.0"#,
        r#"tidemill_state_bytes{query="events.counts",operator="aggregate-0"} 4096.0"#,
        r#"tidemill_checkpoint_age_seconds{query="events.counts"} 2.0"#,
        r#"tidemill_checkpoint_bytes_total{query="events.counts"} 512"#,
        r#"tidemill_batch_duration_seconds_sum{query="events.counts",phase="addBatch"} 0.008"#,
        r#"tidemill_end_to_end_latency_seconds_bucket{le="0.005",query="events.counts"} 2"#,
        r#"tidemill_end_to_end_latency_seconds_bucket{le="0.05",query="events.counts"} 3"#,
        r#"tidemill_end_to_end_latency_seconds_count{query="events.counts"} 3"#,
        r#"tidemill_sink_rows_total{query="events.counts",sink="counts",outcome="written"} 10"#,
        r#"tidemill_sink_rows_total{query="events.counts",sink="bad",outcome="deadletter"} 2"#,
        "# UNIT tidemill_source_bytes bytes",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\nis missing in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn an_unknown_lag_is_absent() {
    let monitor = monitor();
    let mut unknown = epoch(1);
    unknown.lag.clear();
    unknown.next_watermark = Some(0);
    monitor.listener().on_epoch(&unknown);
    let text = monitor.metrics();
    assert!(
        !text.contains("tidemill_source_lag_records{") && !text.contains("tidemill_watermark_delay_seconds{"),
        "{text}"
    );
    assert!(text.contains(r#"tidemill_source_lag_known{query="events.counts",source="events"} 0.0"#), "{text}");
}

#[test]
fn no_query_is_no_error() {
    let text = Monitor::new(clock(), PriceBook::list().unwrap()).metrics();
    assert!(text.contains("tidemill_build_info{version=") && text.ends_with("# EOF\n"), "{text}");
}
