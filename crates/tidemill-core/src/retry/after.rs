//! The header `Retry-After` (RFC 9110, 10.2.3): seconds, or the date at which to come back.

use std::time::Duration;

/// The pause a server asks for, from the header's value and the time of the wall clock in microseconds since 1970.
/// `None` for a value that is neither seconds nor a date; zero for a date that has passed.
pub fn parse_retry_after(value: &str, now_micros: i64) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // more digits than fit are a very long time
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let at = chrono::DateTime::parse_from_rfc2822(value).ok()?;
    let micros = at.timestamp_micros().saturating_sub(now_micros);
    Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood_and_nothing_else() {
        let now = 1_445_412_420_000_000; // Wed, 21 Oct 2015 07:27:00 GMT
        let seconds = |value| parse_retry_after(value, now).map(|pause| pause.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds(" 0 "), Some(0));
        assert_eq!(seconds("99999999999999999999999"), Some(u64::from(u32::MAX)));
        assert_eq!(seconds("Wed, 21 Oct 2015 07:28:00 GMT"), Some(60));
        assert_eq!(seconds("Wed, 21 Oct 2015 07:26:00 GMT"), Some(0));
        for wrong in ["", "-1", "1.5", "soon"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
