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

/// The units an interval can be shown in, the largest first.
const SHOWN: [&str; 4] = ["DAY", "HOUR", "MINUTE", "SECOND"];

/// Spark's name of the interval literal `text`: `10 minutes` is `INTERVAL '10' MINUTE`. `None` for no interval,
/// or one with both months and days.
pub fn literal_name(text: &str) -> Option<String> {
    let parsed = Interval::parse(text)?;
    let lower = text.to_lowercase();
    let words = lower.split(|letter: char| !letter.is_alphabetic()).filter(|word| !word.is_empty());
    let units: Vec<&str> = words.map(|word| word.strip_suffix('s').unwrap_or(word)).collect();
    let has = |unit: &str| units.contains(&unit);
    if has("year") || has("month") {
        let months = parsed.months;
        return (parsed.days == 0 && parsed.micros == 0).then(|| match (has("year"), has("month")) {
            (true, true) => months_text(months),
            (true, false) => format!("INTERVAL '{}' YEAR", months / 12),
            _ => format!("INTERVAL '{months}' MONTH"),
        });
    }
    let rank = |unit: &&str| match *unit {
        "week" | "day" | "d" => Some(0),
        "hour" | "h" => Some(1),
        "minute" | "min" | "m" => Some(2),
        "interval" | "to" => None,
        _ => Some(3),
    };
    let first = units.iter().filter_map(rank).min()?;
    let last = units.iter().filter_map(rank).max()?;
    Some(micros_text(parsed.fixed_micros()?, first, last))
}

/// Months as Spark shows them: `INTERVAL '1-2' YEAR TO MONTH`.
pub fn months_text(months: i64) -> String {
    let sign = if months < 0 { "-" } else { "" };
    let months = months.unsigned_abs();
    format!("INTERVAL '{sign}{}-{}' YEAR TO MONTH", months / 12, months % 12)
}

/// Microseconds as Spark shows them, from one unit to another: 0 is a day, 3 a second.
pub fn micros_text(micros: i64, first: usize, last: usize) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let whole = micros.unsigned_abs();
    let sizes: [u64; 4] = [86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000];
    let mut text = String::new();
    let mut rest = whole;
    for (unit, size) in sizes.into_iter().enumerate().take(last.min(3) + 1).skip(first) {
        let (count, left) = (rest / size, rest % size);
        rest = left;
        text += match unit {
            _ if unit == first => "",
            1 => " ",
            _ => ":",
        };
        text += &if unit == 0 { count.to_string() } else { format!("{count:02}") };
    }
    if last == 3 && rest != 0 {
        text += &format!(".{rest:06}");
        text.truncate(text.trim_end_matches('0').len());
    }
    let units = match first == last {
        true => SHOWN[first].to_owned(),
        false => format!("{} TO {}", SHOWN[first], SHOWN[last.min(3)]),
    };
    format!("INTERVAL '{sign}{text}' {units}")
}

/// A calendar interval as Spark shows it: `1 years 2 months 3 days 4 hours 5 minutes 6.5 seconds`.
pub fn calendar_text(months: i64, days: i64, micros: i64) -> String {
    let mut parts: Vec<String> = vec![];
    let mut push = |count: i64, unit: &str| {
        if count != 0 {
            parts.push(format!("{count} {unit}"));
        }
    };
    push(months / 12, "years");
    push(months % 12, "months");
    push(days, "days");
    push(micros / (3600 * SECOND), "hours");
    push(micros / (60 * SECOND) % 60, "minutes");
    let seconds = micros % (60 * SECOND);
    if seconds != 0 {
        let sign = if seconds < 0 { "-" } else { "" };
        let (whole, fraction) = (seconds.abs() / SECOND, seconds.abs() % SECOND);
        let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:06}") };
        let text = format!("{sign}{whole}{fraction}");
        let text = if text.contains('.') { text.trim_end_matches('0') } else { &text };
        parts.push(format!("{text} seconds"));
    }
    if parts.is_empty() { "0 seconds".into() } else { parts.join(" ") }
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
