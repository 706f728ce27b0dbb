//! The price book: prices of meters, with region, unit, currency, date and source, as a JSON file.
//!
//! ```json
//! {
//!   "name": "our prices", "currency": "EUR",
//!   "prices": [
//!     { "meter": "cpu", "unit": "vCPU-hour", "price": 0.031, "region": "eu-central-1",
//!       "as_of": "2026-05-01", "source": "contract 4711" }
//!   ]
//! }
//! ```
//!
//! Meters and their units: see [`METERS`]. A meter that a book does not price is shown as unpriced; it
//! is never taken for free.

use serde::{Deserialize, Serialize};
use std::path::Path;
use tidemill_core::{Error, Kind, Result};

/// Largest file that is read, in bytes.
const BOOK_BYTES_MAX: u64 = 1 << 20;

/// Every meter, the unit of its price, and how many of what is measured make one.
pub const METERS: [(&str, &str, f64); 5] = [
    ("cpu", "vCPU-hour", 3600.0),
    ("memory", "GiB-hour", (1u64 << 30) as f64 * 3600.0),
    ("ingress", "GB", 1e9),
    ("egress", "GB", 1e9),
    ("storage", "GB-month", 1e9),
];

/// A price list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceBook {
    /// What people call it.
    pub name: String,
    /// ISO 4217 code of all its prices.
    pub currency: String,
    /// Prices, at most one a meter.
    pub prices: Vec<Price>,
}

/// The price of a meter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// What is measured: `cpu`, `memory`, `ingress`, `egress` or `storage`.
    pub meter: String,
    /// What the price is for.
    pub unit: String,
    /// Price of one unit.
    pub price: f64,
    /// Who sells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// What is sold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Where.
    pub region: String,
    /// Day for which the price is known, as `2026-01-31`; absent when the source gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Where the price is from.
    pub source: String,
    /// How sure that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<String>,
}

impl PriceBook {
    /// The list prices that come with the program.
    ///
    /// # Errors
    /// None: a test reads it.
    pub fn list() -> Result<Self> {
        Self::parse("the price book of the program", include_str!("prices.json"))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read, that is no price book, an unknown meter, another unit than the meter's.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = format!("the price book {}", path.display());
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::new(Kind::Usage, format!("cannot read {shown}")).caused_by(error),
            _ => Error::io(format!("cannot read {shown}"), error),
        };
        let bytes = std::fs::metadata(path).map_err(failed)?.len();
        if bytes > BOOK_BYTES_MAX {
            return Err(Error::invalid(format!("{shown} has {bytes} bytes, more than {BOOK_BYTES_MAX}")));
        }
        Self::parse(&shown, &std::fs::read_to_string(path).map_err(failed)?)
    }

    fn parse(shown: &str, text: &str) -> Result<Self> {
        let book: PriceBook = serde_json::from_str(text).map_err(|error| {
            Error::new(Kind::Invalid, format!("{shown} cannot be used"))
                .caused_by(error)
                .help("a price book is JSON with name, currency and prices; each price has meter, unit, price, region, source")
        })?;
        for (number, price) in book.prices.iter().enumerate() {
            let Some((_, unit, _)) = METERS.iter().find(|(meter, _, _)| *meter == price.meter) else {
                let known = METERS.map(|(meter, _, _)| meter).join(", ");
                return Err(Error::invalid(format!("{shown} prices a meter '{}', which there is not", price.meter))
                    .help(format!("meters: {known}")));
            };
            if price.unit != *unit {
                let (meter, given) = (&price.meter, &price.unit);
                return Err(Error::invalid(format!("{shown} gives the price of '{meter}' for one {given}"))
                    .help(format!("give it for one {unit}")));
            }
            if !price.price.is_finite() || price.price < 0.0 {
                return Err(Error::invalid(format!("{shown} says '{}' costs {}", price.meter, price.price)));
            }
            if book.prices[..number].iter().any(|other| other.meter == price.meter) {
                return Err(Error::invalid(format!("{shown} has two prices of '{}'", price.meter)));
            }
            if price.as_of.as_deref().is_some_and(|day| parse_day(day).is_none()) {
                return Err(Error::invalid(format!("{shown} has an 'as_of' that is no day: {:?}", price.as_of))
                    .help("write it as 2026-01-31"));
            }
        }
        Ok(book)
    }

    /// The price of a meter.
    pub fn price(&self, meter: &str) -> Option<&Price> {
        self.prices.iter().find(|price| price.meter == meter)
    }

    /// The oldest day for which a price is known.
    pub fn as_of(&self) -> Option<&str> {
        self.prices.iter().filter_map(|price| price.as_of.as_deref()).min()
    }

    /// Days since then; `now` is microseconds since 1970.
    pub fn age_days(&self, now: i64) -> Option<i64> {
        let since = parse_day(self.as_of()?)?.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros();
        Some((now - since).div_euclid(86_400_000_000))
    }
}

fn parse_day(text: &str) -> Option<chrono::NaiveDate> {
    chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
}
