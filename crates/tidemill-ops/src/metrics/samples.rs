//! Turns what is remembered into values of metrics.

use crate::metrics::names as name;
use crate::metrics::{Samples, Value};
use crate::monitor::Everything;
use crate::record::{Buckets, QueryRecord, Status};
use tidemill_core::retry::BreakerState;
use tidemill_engine::resilience::disk::Room;
use tidemill_engine::resilience::stall::Reason;

/// All values.
pub(super) fn of(everything: &Everything<'_>) -> Samples {
    let mut samples = Samples::default();
    for query in everything.queries {
        course(&mut samples, everything, query);
        sources(&mut samples, query);
        operators(&mut samples, query);
        times(&mut samples, query);
        sinks(&mut samples, query);
    }
    process(&mut samples, everything);
    samples
}

fn histogram(buckets: &Buckets) -> Value {
    Value::Histogram { sum: buckets.sum, count: buckets.count, buckets: buckets.buckets() }
}

fn course(samples: &mut Samples, everything: &Everything<'_>, query: &QueryRecord) {
    let id = query.name.as_str();
    let status = query.course.status(everything.now.elapsed);
    for other in Status::ALL {
        samples.add(&name::QUERY_STATUS, &[id, other.word()], Value::Count(u64::from(other == status)));
    }
    for reason in Reason::ALL {
        let waits = query.course.stall.as_ref().is_some_and(|(stall, _)| stall.reason == reason);
        samples.add(&name::QUERY_STALLED, &[id, reason.word()], Value::Count(u64::from(waits)));
    }
    for place in query.started.iter().flat_map(|started| &started.disks) {
        if let Some(room) = Room::at(place) {
            samples.add(&name::DISK_FREE, &[id, &place.display().to_string()], Value::Count(room.free));
        }
    }
    samples.add(&name::ROWS_FUTURE, &[id], Value::Count(query.totals.future_rows));
    samples.add(&name::EPOCHS, &[id], Value::Count(query.totals.epochs));
    samples.add(&name::CHECKPOINT_BYTES, &[id], Value::Count(query.totals.journal_bytes));
    if let Some(committed) = query.course.committed {
        let age = everything.now.elapsed.saturating_sub(committed).as_secs_f64();
        samples.add(&name::CHECKPOINT_AGE, &[id], Value::Number(age));
    }
    if let Some(millis) = query.watermark {
        samples.add(&name::WATERMARK, &[id], Value::Number(millis as f64 / 1000.0));
    }
    if let Some(delay) = query.watermark_delay(everything.now.micros) {
        samples.add(&name::WATERMARK_DELAY, &[id], Value::Number(delay));
    }
}

fn sources(samples: &mut Samples, query: &QueryRecord) {
    for source in &query.sources {
        let labels = [query.name.as_str(), source.name.table.as_str()];
        samples.add(&name::SOURCE_RECORDS, &labels, Value::Count(source.rows));
        samples.add(&name::SOURCE_BYTES, &labels, Value::Count(source.bytes));
        samples.add(&name::SOURCE_LAG_KNOWN, &labels, Value::Count(u64::from(source.lag().is_some())));
        for (split, behind) in &source.lag {
            samples.add(&name::SOURCE_LAG_RECORDS, &[labels[0], labels[1], split], Value::Count(*behind));
        }
        for (split, millis) in &source.behind {
            let seconds = Value::Number(*millis as f64 / 1000.0);
            samples.add(&name::SOURCE_BEHIND, &[labels[0], labels[1], split], seconds);
        }
    }
}

fn operators(samples: &mut Samples, query: &QueryRecord) {
    for operator in &query.operators {
        let labels = [query.name.as_str(), operator.id.as_str()];
        samples.add(&name::STATE_ROWS, &labels, Value::Count(operator.rows));
        samples.add(&name::STATE_BYTES, &labels, Value::Count(operator.bytes));
        samples.add(&name::STATE_ROWS_UPDATED, &labels, Value::Count(operator.updated));
        samples.add(&name::STATE_ROWS_REMOVED, &labels, Value::Count(operator.removed));
        samples.add(&name::ROWS_LATE, &[labels[0], labels[1], "dropped"], Value::Count(operator.late));
    }
}

fn times(samples: &mut Samples, query: &QueryRecord) {
    let id = query.name.as_str();
    for (phase, buckets) in &query.steps {
        samples.add(&name::BATCH_DURATION, &[id, phase], histogram(buckets));
    }
    samples.add(&name::LATENCY, &[id], histogram(&query.latency_buckets));
}

fn sinks(samples: &mut Samples, query: &QueryRecord) {
    for sink in &query.sinks {
        let labels = [query.name.as_str(), sink.name.table.as_str()];
        let outcome = if sink.dead_letters { "deadletter" } else { "written" };
        samples.add(&name::SINK_ROWS, &[labels[0], labels[1], outcome], Value::Count(sink.rows));
        samples.add(&name::SINK_BYTES, &labels, Value::Count(sink.bytes));
        samples.add(&name::SINK_COMMIT, &labels, histogram(&sink.commits));
    }
    for (sink, vitals) in query.started.iter().flat_map(|started| &started.vitals) {
        let labels = [query.name.as_str(), sink.as_str()];
        samples.add(&name::SINK_RETRIES, &labels, Value::Count(vitals.retries()));
        let Some(state) = vitals.breaker() else { continue };
        for other in BreakerState::ALL {
            let is_it = u64::from(other == state);
            samples.add(&name::SINK_BREAKER, &[labels[0], labels[1], other.word()], Value::Count(is_it));
        }
    }
}

fn process(samples: &mut Samples, everything: &Everything<'_>) {
    if everything.bill.currency == "USD" {
        for line in &everything.bill.lines {
            if let Some(amount) = line.amount {
                samples.add(&name::COST_USD, &[line.meter], Value::Number(amount));
            }
        }
        if let Some(rate) = everything.bill.per_hour {
            samples.add(&name::COST_RATE, &[], Value::Number(rate));
        }
    }
    if let Some(days) = everything.price_age_days {
        samples.add(&name::PRICE_BOOK_AGE, &[], Value::Number(days as f64));
    }
    samples.add(&name::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], Value::Count(1));
    let usage = everything.usage;
    if let Some(seconds) = usage.cpu_seconds {
        samples.add(&name::PROCESS_CPU, &[], Value::Number(seconds));
    }
    if let Some(bytes) = usage.resident_bytes {
        samples.add(&name::PROCESS_RESIDENT, &[], Value::Count(bytes));
    }
    if let Some(memory) = everything.memory {
        samples.add(&name::MEMORY_USED, &[], Value::Count(memory.used));
        samples.add(&name::MEMORY_LIMIT, &[], Value::Count(memory.limit));
    }
    if let Some(files) = usage.open_files {
        samples.add(&name::PROCESS_OPEN_FILES, &[], Value::Count(files));
    }
    samples.add(&name::PROCESS_START, &[], Value::Number(everything.began.micros as f64 / 1e6));
}
