//! Instants to wall clocks and back, in a zone. Gaps and overlaps are resolved as java.time does: a
//! wall clock in an overlap is the earlier instant, one in a gap is moved forward by the gap.

use chrono::{Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

/// The wall clock of an instant, both in microseconds since 1970-01-01T00:00.
pub fn to_wall_clock(instant: i64, zone: Tz) -> i64 {
    instant + offset_seconds(instant, zone) * super::SECOND
}

/// Offset of the zone at an instant, in seconds east of UTC.
pub fn offset_seconds(instant: i64, zone: Tz) -> i64 {
    if zone == Tz::UTC {
        return 0;
    }
    match super::wall_clock(instant) {
        Some(utc) => i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()),
        None => 0,
    }
}

/// The instant of a wall clock, both in microseconds since 1970-01-01T00:00.
pub fn from_wall_clock(wall: i64, zone: Tz) -> i64 {
    if zone == Tz::UTC {
        return wall;
    }
    let Some(local) = super::wall_clock(wall) else { return wall };
    match zone.offset_from_local_datetime(&local) {
        chrono::LocalResult::Single(offset) | chrono::LocalResult::Ambiguous(offset, _) => {
            wall - i64::from(offset.fix().local_minus_utc()) * super::SECOND
        }
        chrono::LocalResult::None => {
            let before = local - TimeDelta::days(1);
            let offset = match zone.offset_from_local_datetime(&before) {
                chrono::LocalResult::Single(offset) | chrono::LocalResult::Ambiguous(offset, _) => offset,
                chrono::LocalResult::None => return wall,
            };
            wall - i64::from(offset.fix().local_minus_utc()) * super::SECOND
        }
    }
}

/// An offset such as `Z`, `UTC`, `+05:30`, `-8`, `GMT+1`, `UTC+02:00`, in seconds east of UTC.
pub fn parse_offset(text: &str) -> Option<i64> {
    let rest = ["UTC", "GMT", "UT"].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    if rest.is_empty() || rest == "Z" {
        return (!text.is_empty()).then_some(0);
    }
    let (sign, digits) = match rest.as_bytes()[0] {
        b'+' => (1, &rest[1..]),
        b'-' => (-1, &rest[1..]),
        _ => return None,
    };
    let parts: Vec<&str> = match (digits.contains(':'), digits.len()) {
        (true, _) => digits.split(':').collect(),
        (false, 1 | 2) => vec![digits],
        (false, 4) => vec![&digits[..2], &digits[2..]],
        (false, 6) => vec![&digits[..2], &digits[2..4], &digits[4..]],
        _ => return None,
    };
    let mut seconds = 0i64;
    for (part, weight) in parts.iter().zip([3600, 60, 1]) {
        if part.is_empty() || part.len() > 2 || !part.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        seconds += part.parse::<i64>().ok()? * weight;
    }
    (parts.len() <= 3 && seconds <= 18 * 3600).then_some(sign * seconds)
}

/// Short names of zones that java.time reads, and the regions they stand for.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
];

/// A zone by name or fixed offset, as an instant-to-offset rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// A region.
    Named(Tz),
    /// A fixed offset in seconds east of UTC.
    Fixed(i64),
}

impl Zone {
    /// Reads `Europe/Vienna`, `UTC`, `+05:30`.
    pub fn parse(name: &str) -> Option<Zone> {
        if let Some(offset) = parse_offset(name) {
            return Some(Zone::Fixed(offset));
        }
        let region = SHORT_NAMES.iter().find(|(short, _)| *short == name).map_or(name, |(_, region)| *region);
        region.parse().ok().map(Zone::Named)
    }

    /// The wall clock of an instant, in microseconds.
    pub fn to_wall_clock(self, instant: i64) -> i64 {
        match self {
            Zone::Named(zone) => to_wall_clock(instant, zone),
            Zone::Fixed(offset) => instant + offset * super::SECOND,
        }
    }

    /// The instant of a wall clock, in microseconds.
    pub fn from_wall_clock(self, wall: i64) -> i64 {
        match self {
            Zone::Named(zone) => from_wall_clock(wall, zone),
            Zone::Fixed(offset) => wall - offset * super::SECOND,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_move_forward_and_overlaps_are_the_earlier_instant() {
        let at = |text: &str| super::super::text::parse_timestamp(text, Tz::UTC).unwrap();
        let zone = Tz::America__New_York;
        assert_eq!(from_wall_clock(at("2024-03-10 02:30:00"), zone), at("2024-03-10 07:30:00"));
        assert_eq!(from_wall_clock(at("2024-11-03 01:30:00"), zone), at("2024-11-03 05:30:00"));
        assert_eq!(to_wall_clock(at("2024-07-01 12:00:00"), zone), at("2024-07-01 08:00:00"));
    }

    #[test]
    fn offsets_are_read() {
        assert_eq!(parse_offset("+05:30"), Some(19_800));
        assert_eq!(parse_offset("-8"), Some(-28_800));
        assert_eq!(parse_offset("GMT+1"), Some(3_600));
        assert_eq!(parse_offset("Z"), Some(0));
        assert_eq!(parse_offset("Europe/Vienna"), None);
    }
}
