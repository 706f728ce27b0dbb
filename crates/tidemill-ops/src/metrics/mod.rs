//! The metrics as OpenMetrics text. Names are for ever: `names.txt` holds them, a test compares.

mod names;
mod samples;
#[cfg(test)]
mod tests;

use crate::monitor::Everything;
use names::{ALL, Kind, Metric};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, LabelSetEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;

/// Media type of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One value of a metric.
#[derive(Debug, Clone)]
enum Value {
    Count(u64),
    Number(f64),
    Histogram { sum: f64, count: u64, buckets: Vec<(f64, u64)> },
}

/// A value with its labels.
type Sample = (Vec<(&'static str, String)>, Value);

/// Values of all metrics, by name. What is not known is not in it.
#[derive(Debug, Default)]
struct Samples(BTreeMap<&'static str, Vec<Sample>>);

impl Samples {
    /// Adds a value; `labels` are in the order of the metric's own.
    fn add(&mut self, metric: &Metric, labels: &[&str], value: Value) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "{}", metric.name);
        let labels = metric.labels.iter().copied().zip(labels.iter().map(|label| (*label).to_owned())).collect();
        self.0.entry(metric.name).or_default().push((labels, value));
    }
}

/// The metrics of everything a monitor knows.
pub(crate) fn text(everything: &Everything<'_>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(samples::of(everything)));
    let mut text = String::new();
    // a String takes everything: there is no error
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in ALL {
            let Some(samples) = self.0.get(metric.name) else { continue };
            let unit = metric.unit();
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut family = encoder.encode_descriptor(metric.stem(), metric.help, unit.as_ref(), kind)?;
            for (labels, value) in samples {
                encode_one(family.encode_family(&Labels(labels))?, metric.kind, value)?;
            }
        }
        Ok(())
    }
}

fn encode_one(mut encoder: MetricEncoder<'_>, kind: Kind, value: &Value) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Value::Count(count)) => encoder.encode_counter::<NoLabelSet, u64, f64>(count, None),
        (Kind::Counter, Value::Number(number)) => encoder.encode_counter::<NoLabelSet, f64, f64>(number, None),
        (_, Value::Count(count)) => encoder.encode_gauge(&(*count as f64)),
        (_, Value::Number(number)) => encoder.encode_gauge(number),
        (_, Value::Histogram { sum, count, buckets }) => {
            encoder.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)
        }
    }
}

/// Labels of one value.
#[derive(Debug)]
struct Labels<'a>(&'a [(&'static str, String)]);

impl prometheus_client::encoding::EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        use prometheus_client::encoding::{EncodeLabelKey, EncodeLabelValue};
        for (name, text) in self.0 {
            let mut label = encoder.encode_label();
            let mut key = label.encode_label_key()?;
            EncodeLabelKey::encode(name, &mut key)?;
            let mut value = key.encode_label_value()?;
            EncodeLabelValue::encode(&text.as_str(), &mut value)?;
            value.finish()?;
        }
        Ok(())
    }
}
