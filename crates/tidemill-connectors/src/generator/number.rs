//! Number and time columns: which range a column of a certain name has, and how its values spread.

use super::random::Random;
use super::rows::Row;
use super::text::ends_with;

/// How the values of a number column spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Spread {
    /// Even, from the first to the second, with so many digits after the point.
    Even(f64, f64, u32),
    /// Many small and few large, up to the number, with so many digits after the point.
    Skewed(f64, u32),
    /// The number of the row's user.
    User,
    /// The row's event time in milliseconds since 1970.
    EventTime,
    /// An HTTP status.
    HttpStatus,
}

/// Endings of column names and the spread of such columns. The first that fits counts.
const SPREADS: &[(&[&str], Spread)] = &[
    (&["user_id", "customer_id", "account_id", "member_id"], Spread::User),
    (&["id", "key", "number"], Spread::Even(1.0, 1_000_000.0, 0)),
    (&["timestamp", "event_time", "ts", "time", "ts_ms", "at"], Spread::EventTime),
    (&["status_code", "http_status", "status", "code"], Spread::HttpStatus),
    (&["duration", "latency", "elapsed", "seconds", "response_time"], Spread::Skewed(120.0, 3)),
    (&["duration_ms", "latency_ms", "millis", "ms"], Spread::Skewed(120_000.0, 0)),
    (&["amount", "price", "total", "cost", "fee", "value", "revenue", "balance"], Spread::Skewed(1000.0, 2)),
    (&["quantity", "count", "items", "units"], Spread::Skewed(10.0, 0)),
    (&["age"], Spread::Even(18.0, 90.0, 0)),
    (&["year"], Spread::Even(1990.0, 2026.0, 0)),
    (&["rating", "stars"], Spread::Even(1.0, 5.0, 0)),
    (&["percent", "percentage", "humidity"], Spread::Even(0.0, 100.0, 1)),
    (&["ratio", "rate", "score", "probability", "confidence"], Spread::Even(0.0, 1.0, 4)),
    (&["temperature", "temp"], Spread::Even(-10.0, 35.0, 1)),
    (&["latitude", "lat"], Spread::Even(-60.0, 70.0, 5)),
    (&["longitude", "lon", "lng"], Spread::Even(-180.0, 180.0, 5)),
    (&["speed", "weight", "height", "distance"], Spread::Even(0.0, 200.0, 1)),
    (&["bytes", "size", "length"], Spread::Skewed(1_000_000.0, 0)),
    (&["zip", "zip_code", "postcode", "postal_code"], Spread::Even(10_000.0, 99_999.0, 0)),
    (&["port"], Spread::Even(1024.0, 65_535.0, 0)),
];

/// The spread of a number column of this name.
pub(super) fn spread(name: &str) -> Spread {
    let known = SPREADS.iter().find(|(endings, _)| endings.iter().any(|ending| ends_with(name, ending)));
    known.map_or(Spread::Even(0.0, 1000.0, 3), |(_, spread)| *spread)
}

impl Spread {
    /// A value and how many digits it has after the point.
    pub fn value(self, row: &Row, random: &mut Random) -> (f64, u32) {
        let (value, digits) = match self {
            Spread::Even(low, high, digits) => (low + random.unit() * (high - low), digits),
            Spread::Skewed(high, digits) => (high * random.unit() * random.unit(), digits),
            Spread::User => (row.user as f64, 0),
            Spread::EventTime => ((row.time / 1000) as f64, 0),
            Spread::HttpStatus => {
                let at = random.below(100);
                (if at < 90 { 200.0 } else { [301.0, 400.0, 404.0, 429.0, 500.0][(at % 5) as usize] }, 0)
            }
        };
        let power = f64::from(10u32.pow(digits));
        ((value * power).round() / power, digits)
    }
}

const DAY: i64 = 86_400_000_000;
const YEAR: i64 = 365 * DAY;

/// The time in a time column of this name: the event's own, but for a few that are long past.
pub(super) fn moment(name: &str, row: &Row, random: &mut Random) -> i64 {
    const BIRTHS: &[&str] = &["birth", "birthday", "birth_date", "date_of_birth", "dob", "born"];
    const SIGN_UPS: &[&str] = &["registered_at", "signed_up_at", "signup_date", "joined_at"];
    let named = |endings: &[&str]| endings.iter().any(|ending| ends_with(name, ending));
    if named(BIRTHS) {
        let day = Random::new(row.user, 14, 0x05E2).between(20 * 365, 60 * 365);
        return -20 * YEAR + (day - 20 * 365) * DAY;
    }
    if named(SIGN_UPS) { row.time - random.between(0, 3 * YEAR) } else { row.time }
}
