//! The bill: one line a meter, with its formula.

use crate::cost::book::{METERS, PriceBook};
use serde::Serialize;
use std::time::Duration;

/// What a run used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Used {
    /// Processor time of the process, in seconds; `None` when not known.
    pub cpu_seconds: Option<f64>,
    /// The most memory it had at a time, in bytes; `None` when not known.
    pub peak_bytes: Option<u64>,
    /// How long it ran.
    pub elapsed: Duration,
    /// Good rows read.
    pub rows_in: u64,
    /// Bytes read from the sources.
    pub bytes_in: u64,
    /// Size of the rows written as Arrow arrays, in bytes: before the sinks' formats and compression.
    pub bytes_out: u64,
}

/// What a meter costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The meter.
    pub meter: &'static str,
    /// What was measured.
    pub what: &'static str,
    /// How many units; `None` when not known.
    pub quantity: Option<f64>,
    /// The unit.
    pub unit: &'static str,
    /// Price of a unit; `None` when the book has none.
    pub price: Option<f64>,
    /// What it costs; `None` without a quantity or a price.
    pub amount: Option<f64>,
    /// How that was computed, or why it was not.
    pub formula: String,
    /// Where the price is from: service, region and day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priced_by: Option<String>,
}

/// What a run costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bill {
    /// Name of the price book.
    pub book: String,
    /// Currency of all amounts.
    pub currency: String,
    /// Oldest day of a price that was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// One line a meter.
    pub lines: Vec<Line>,
    /// Sum of the lines that have an amount.
    pub total: f64,
    /// Meters without an amount.
    pub unpriced: Vec<&'static str>,
    /// The total divided by the good rows read, times a million; `None` without rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_million_events: Option<f64>,
    /// The total divided by the time, in an hour; `None` in the first second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<f64>,
}

impl Used {
    /// What a meter measured, in the meter's own small unit, and in words.
    fn measured(&self, meter: &str) -> (&'static str, Option<f64>) {
        let byte_seconds = |bytes: u64| bytes as f64 * self.elapsed.as_secs_f64();
        match meter {
            "cpu" => ("processor time", self.cpu_seconds),
            "memory" => ("peak memory for the whole time", self.peak_bytes.map(byte_seconds)),
            "ingress" => ("bytes read", Some(self.bytes_in as f64)),
            "egress" => ("rows written, before compression", Some(self.bytes_out as f64)),
            _ => ("rows written, before compression, kept a month", Some(self.bytes_out as f64)),
        }
    }
}

impl Bill {
    /// The bill for what was used.
    pub fn of(used: &Used, book: &PriceBook) -> Self {
        let lines: Vec<Line> = METERS.iter().map(|meter| line(*meter, used, book)).collect();
        let total: f64 = lines.iter().filter_map(|line| line.amount).sum();
        let seconds = used.elapsed.as_secs_f64();
        let of_line = |line: &Line| book.price(line.meter).and_then(|price| price.as_of.clone());
        Bill {
            book: book.name.clone(),
            currency: book.currency.clone(),
            as_of: lines.iter().filter(|line| line.amount.is_some()).filter_map(of_line).min(),
            unpriced: lines.iter().filter(|line| line.amount.is_none()).map(|line| line.meter).collect(),
            total,
            per_million_events: (used.rows_in > 0).then(|| total * 1e6 / used.rows_in as f64),
            per_hour: (seconds >= 1.0).then(|| total * 3600.0 / seconds),
            lines,
        }
    }
}

fn line((meter, unit, divisor): (&'static str, &'static str, f64), used: &Used, book: &PriceBook) -> Line {
    let (what, measured) = used.measured(meter);
    let quantity = measured.map(|measured| measured / divisor);
    let price = book.price(meter);
    let amount = quantity.zip(price).map(|(quantity, price)| quantity * price.price);
    let formula = match (quantity, price) {
        (None, _) => "not measured on this system".to_owned(),
        (Some(quantity), None) => format!("{} {unit}: unpriced", short(quantity)),
        (Some(quantity), Some(price)) => {
            format!(
                "{} {unit} x {} {} = {}",
                short(quantity),
                price.price,
                book.currency,
                short(amount.unwrap_or_default())
            )
        }
    };
    let priced_by = price.map(|price| {
        let known = [price.service.as_deref(), Some(price.region.as_str()), price.as_of.as_deref()];
        known.into_iter().flatten().collect::<Vec<_>>().join(", ")
    });
    Line { meter, what, quantity, unit, price: price.map(|price| price.price), amount, formula, priced_by }
}

/// A number with three significant digits; never with an exponent.
pub fn short(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return "0".into();
    }
    let digits = number.abs().log10().floor() as i32;
    format!("{number:.*}", (2 - digits).clamp(0, 12) as usize)
}
