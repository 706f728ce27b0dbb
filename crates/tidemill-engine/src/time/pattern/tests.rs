//! Patterns, both ways.

use super::*;

#[test]
fn patterns_format_and_parse() {
    let instant = crate::time::text::parse_timestamp("2024-01-05T10:07:08.120Z", Tz::UTC).unwrap();
    for (pattern, text) in [
        ("yyyy-MM-dd HH:mm:ss.SSS", "2024-01-05 10:07:08.120"),
        ("dd/MMM/yyyy:HH:mm:ss.SSS Z", "05/Jan/2024:10:07:08.120 +0000"),
        ("d MMMM yyyy, h:mm:ss.SSS a", "5 January 2024, 10:07:08.120 AM"),
        ("yyyyMMdd'T'HHmmssSSSX", "20240105T100708120Z"),
        ("yyyy-DDD k:mm:ss.SS VV", "2024-005 10:07:08.12 UTC"),
    ] {
        let compiled = Pattern::compile(pattern).unwrap();
        assert_eq!(compiled.format(instant, Tz::UTC), text);
        assert_eq!(compiled.parse(text, Tz::UTC), Some(instant), "{pattern}");
    }
    assert_eq!(Pattern::compile("EEEE Q QQQ QQQQ G").unwrap().format(instant, Tz::UTC), "Friday 1 Q1 1st quarter AD");
}

#[test]
fn what_does_not_fit_is_refused() {
    let parse = |pattern: &str, text: &str| Pattern::for_parsing(pattern).unwrap().parse(text, Tz::UTC);
    for (pattern, text) in [
        ("yyyy-MM-dd", "2024-13-01"),
        ("yyyy-MM-dd", "2024-02-30"),
        ("yyyy-MM-dd", "2024-1-5"),
        ("yyyy-MM-dd", "2024-01-05x"),
        ("yyyy", "12024"),
        ("ss.SSS", "12.1234"),
    ] {
        assert_eq!(parse(pattern, text), None, "{pattern} {text}");
    }
    assert_eq!(parse("yyyy[-MM]", "2024"), parse("yyyy-MM", "2024-01"));
    assert_eq!(parse("yyyy-M-d", "2024-01-05"), parse("yyyyMMdd", "20240105"));
}

#[test]
fn classes_are_those_of_spark() {
    for (pattern, parsing, class) in [
        ("yyyy-bb", false, "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER"),
        ("YYYY", false, "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION"),
        ("EEE dd", true, "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION"),
        ("Q", true, "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER"),
        ("yyyy'", false, "INVALID_DATETIME_PATTERN.WITH_SUGGESTION"),
    ] {
        let error = compile(pattern, parsing).unwrap_err();
        assert_eq!(error.error_class(), Some(class), "{pattern}");
    }
}
