//! Intervals as text: `10 minutes`, `1 day 2 hours`, `1-2 year to month`, `1 02:03:04.5 day to second`.

use super::{DAY, SECOND};

/// A calendar interval: months and days are not a fixed time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interval {
    /// Months, years included.
    pub months: i64,
    /// Days, weeks included.
    pub days: i64,
    /// Microseconds.
    pub micros: i64,
}

impl Interval {
    /// Reads an interval; the word `interval` before it is allowed. `None` for no interval.
    pub fn parse(text: &str) -> Option<Interval> {
        let lower = text.trim().to_lowercase();
        let text =
            lower.strip_prefix("interval").filter(|rest| !rest.starts_with(char::is_alphanumeric)).unwrap_or(&lower);
        let text = text.replace('\'', "");
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        if let Some((value, units)) = text.split_once(' ').and_then(|_| split_range(text)) {
            return range(value, units);
        }
        let mut interval = Interval::default();
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(|letter: char| !(letter.is_ascii_digit() || "+-.".contains(letter)))?;
            let (value, after) = rest.split_at(end);
            let after = after.trim_start();
            let end = after.find(|letter: char| !letter.is_alphabetic()).unwrap_or(after.len());
            interval.add(value.trim(), &after[..end])?;
            rest = after[end..].trim_start();
        }
        Some(interval)
    }

    /// The whole as microseconds, a day being 24 hours; `None` when it has months.
    pub fn fixed_micros(self) -> Option<i64> {
        if self.months != 0 {
            return None;
        }
        self.days.checked_mul(DAY)?.checked_add(self.micros)
    }

    /// The whole as microseconds with a month of 31 days, as Spark counts a watermark's delay.
    pub fn delay_micros(self) -> Option<i64> {
        self.months.checked_mul(31)?.checked_add(self.days)?.checked_mul(DAY)?.checked_add(self.micros)
    }

    fn add(&mut self, value: &str, unit: &str) -> Option<()> {
        let singular = unit.strip_suffix('s').filter(|shorter| shorter.len() > 1).unwrap_or(unit);
        if singular == "second" || singular == "s" || singular == "sec" {
            self.micros = self.micros.checked_add(seconds(value)?)?;
            return Some(());
        }
        let count: i64 = value.parse().ok()?;
        let field = match singular {
            "year" => (&mut self.months, 12),
            "month" => (&mut self.months, 1),
            "week" => (&mut self.days, 7),
            "day" | "d" => (&mut self.days, 1),
            "hour" | "h" => (&mut self.micros, 3600 * SECOND),
            "minute" | "min" | "m" => (&mut self.micros, 60 * SECOND),
            "millisecond" | "ms" | "milli" => (&mut self.micros, 1000),
            "microsecond" | "us" | "micro" => (&mut self.micros, 1),
            _ => return None,
        };
        *field.0 = field.0.checked_add(count.checked_mul(field.1)?)?;
        Some(())
    }
}

/// Cuts `1-2 year to month` into the value and its units.
fn split_range(text: &str) -> Option<(&str, (&str, &str))> {
    let (before, last) = text.rsplit_once(" to ")?;
    let (value, first) = before.rsplit_once(' ')?;
    Some((value.trim(), (first.trim(), last.trim())))
}

fn range(value: &str, units: (&str, &str)) -> Option<Interval> {
    let (negative, value) = match value.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, value.strip_prefix('+').unwrap_or(value)),
    };
    let mut interval = Interval::default();
    if units == ("year", "month") {
        let (years, months) = value.split_once('-')?;
        interval.months = years.parse::<i64>().ok()? * 12 + months.parse::<i64>().ok()?;
    } else {
        let order = ["day", "hour", "minute", "second"];
        let first = order.iter().position(|unit| *unit == units.0)?;
        let last = order.iter().position(|unit| *unit == units.1)?;
        let parts: Vec<&str> = value.split([' ', ':']).filter(|part| !part.is_empty()).collect();
        if parts.len() != last.checked_sub(first)? + 1 {
            return None;
        }
        for (part, unit) in parts.iter().zip(&order[first..=last]) {
            interval.add(part, unit)?;
        }
    }
    let sign = if negative { -1 } else { 1 };
    Some(Interval { months: sign * interval.months, days: sign * interval.days, micros: sign * interval.micros })
}

/// `1.5`, `-0.25` seconds in microseconds.
fn seconds(value: &str) -> Option<i64> {
    let (negative, unsigned) = match value.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, value.strip_prefix('+').unwrap_or(value)),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let micros = whole.checked_mul(SECOND)?.checked_add(digits.parse().ok()?)?;
    Some(if negative { -micros } else { micros })
}

/// Microseconds in the largest unit that leaves a whole number.
pub fn in_words(micros: i64) -> String {
    const UNITS: [(i64, &str); 6] = [
        (86_400_000_000, "day"),
        (3_600_000_000, "hour"),
        (60_000_000, "minute"),
        (1_000_000, "second"),
        (1_000, "millisecond"),
        (1, "microsecond"),
    ];
    if micros == 0 {
        return "0 seconds".into();
    }
    let (size, unit) = UNITS.into_iter().find(|(size, _)| micros % size == 0).unwrap_or((1, "microsecond"));
    let count = micros / size;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_is_read() {
        for (text, months, days, micros) in [
            ("10 minutes", 0, 0, 600 * SECOND),
            ("1 day 2 hours", 0, 1, 7200 * SECOND),
            ("interval 1 week", 0, 7, 0),
            ("INTERVAL '10' MINUTE", 0, 0, 600 * SECOND),
            ("1 month", 1, 0, 0),
            ("-5 seconds", 0, 0, -5 * SECOND),
            ("1.5 seconds", 0, 0, 1_500_000),
            ("1-2 year to month", 14, 0, 0),
            ("1 02:03:04.5 day to second", 0, 1, (7200 + 184) * SECOND + 500_000),
            ("0 seconds", 0, 0, 0),
            ("500 milliseconds", 0, 0, 500_000),
        ] {
            assert_eq!(Interval::parse(text), Some(Interval { months, days, micros }), "{text}");
        }
        for text in ["", "5", "minutes", "5 parsecs"] {
            assert_eq!(Interval::parse(text), None, "{text}");
        }
    }
}
