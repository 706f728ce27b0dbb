//! Tables of CSV texts and what becomes of them.

use super::Csv;
use crate::format::json::Json;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::Arc;
use tidemill_core::format::{Decoded, Format, Payloads};
use tidemill_core::options::GivenOption;
use tidemill_core::source::{Body, Chunk, Records};
use tidemill_core::types::parse_schema;
use tidemill_core::{Kind, Options, Result};

fn options(given: &[(&str, &str)]) -> Options {
    let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
    Options::check("format 'csv'", &[Csv.describe().options], &given).unwrap()
}

fn try_decode(ddl: &str, given: &[(&str, &str)], text: &str, at: u64) -> Result<Decoded> {
    let chunk = Chunk { split: "f.csv".into(), body: Body::Stream { bytes: text.to_owned().into(), at } };
    Csv.decoder(Arc::new(parse_schema(ddl)?), &options(given))?.decode(&chunk)
}

fn decode(ddl: &str, given: &[(&str, &str)], text: &str) -> Decoded {
    try_decode(ddl, given, text, 0).unwrap()
}

fn json(rows: &RecordBatch) -> String {
    let mut payloads = Payloads::default();
    let encoder = Json.encoder(rows.schema(), &Options::default()).unwrap().unwrap();
    encoder.encode(rows, &mut payloads).unwrap();
    payloads.iter().map(|payload| String::from_utf8(payload.to_vec()).unwrap() + "\n").collect()
}

/// What becomes of `value` alone on a line, in a column of type `of`.
fn becomes(of: &str, value: &str) -> String {
    let decoded = decode(&format!("a {of}, b INT"), &[("header", "false")], &format!("{value},1\n"));
    match decoded.rejects.as_slice() {
        [] => json(&decoded.rows).trim().replace("\"b\":1", "").replace(",}", "}"),
        rejects => rejects[0].code.to_owned(),
    }
}

#[test]
fn every_flat_type_takes_what_spark_takes() {
    const WRONG: &str = "WRONG_TYPE";
    for (of, value, expected) in [
        ("string", "x y", r#"{"a":"x y"}"#),
        ("string", " x ", r#"{"a":" x "}"#),
        ("string", "", "{}"),
        ("string", "\"\"", "{}"),
        ("string", "\"a,b\"", r#"{"a":"a,b"}"#),
        ("string", "\"say \"\"hi\"\"\"", r#"{"a":"say \"hi\""}"#),
        ("string", r#""say \"hi\" \\ \n""#, r#"{"a":"say \"hi\" \\ \\n"}"#),
        ("string", "a\"b", r#"{"a":"a\"b"}"#),
        ("string", "é", "{\"a\":\"é\"}"),
        ("boolean", "TRUE", r#"{"a":true}"#),
        ("boolean", "yes", WRONG),
        ("tinyint", "-128", r#"{"a":-128}"#),
        ("tinyint", "128", WRONG),
        ("int", "+7", r#"{"a":7}"#),
        ("int", "\"7\"", r#"{"a":7}"#),
        ("int", " 7", WRONG),
        ("int", "7.0", WRONG),
        ("bigint", "9223372036854775807", r#"{"a":9223372036854775807}"#),
        ("double", "1e3", r#"{"a":1000.0}"#),
        ("double", ".5", r#"{"a":0.5}"#),
        ("double", "-Inf", r#"{"a":"-Infinity"}"#),
        ("double", "inf", WRONG),
        ("double", "x", WRONG),
        ("float", "0.1", r#"{"a":0.1}"#),
        ("decimal(6,2)", "12.345", r#"{"a":12.35}"#),
        ("decimal(6,2)", "12345", WRONG),
        ("date", "2024-02-29", r#"{"a":"2024-02-29"}"#),
        ("timestamp", "2024-01-01 12:00:00+01:00", r#"{"a":"2024-01-01T11:00:00.000Z"}"#),
        ("timestamp", "1704110400", WRONG),
        ("timestamp_ntz", "2024-01-01T12:00", r#"{"a":"2024-01-01T12:00:00.000"}"#),
        ("binary", "hi", r#"{"a":"aGk="}"#),
        ("interval year to month", "1-2", r#"{"a":"INTERVAL '1-2' YEAR TO MONTH"}"#),
    ] {
        assert_eq!(becomes(of, value), expected, "{value} in a column {of}");
    }
}

#[test]
fn a_bad_record_is_rejected_alone_and_says_why() {
    let text = "a,b\n1,x\n\n2\n3,y,z\n,q\nx,r\n\"4,s\n\"5\"6,t\n7,\"u\"\r\n";
    let decoded = decode("a INT NOT NULL, b STRING", &[], text);
    assert_eq!(json(&decoded.rows), "{\"a\":1,\"b\":\"x\"}\n{\"a\":7,\"b\":\"u\"}\n");
    let told: Vec<_> =
        decoded.rejects.iter().map(|reject| (reject.offset, reject.code, reject.reason.as_str())).collect();
    assert_eq!(
        told,
        [
            (9, "MALFORMED", "only 1 values where there are 2 columns"),
            (11, "MALFORMED", "more than 2 values where there are 2 columns"),
            (17, "NULL_FIELD", "column 'a' is null and must not be"),
            (20, "WRONG_TYPE", "column 'a' must be int, found 'x'"),
            (24, "MALFORMED", "a quote is not closed (byte 0)"),
            (29, "MALFORMED", "there is text after a closing quote (byte 3)"),
        ]
    );
    assert_eq!(decoded.rejects[1].bytes, b"3,y,z");
}

#[test]
fn options_change_the_dialect() {
    let text = "b;'a;b';NA\n1;'it''s';x\n";
    let given = [("header", "false"), ("sep", ";"), ("quote", "'"), ("nullValue", "NA")];
    let decoded = decode("a STRING, b STRING, c STRING", &given, text);
    assert_eq!(json(&decoded.rows), "{\"a\":\"b\",\"b\":\"a;b\"}\n{\"a\":\"1\",\"b\":\"it's\",\"c\":\"x\"}\n");
    let kept = decode("a STRING, b STRING", &[("header", "false"), ("null_value", "-")], "\"\",\n");
    assert_eq!(json(&kept.rows), "{\"a\":\"\"}\n", "in quotes no length is not NULL when NULL has another name");
    let tabs = decode("a INT, b INT", &[("delimiter", "\\t")], "A\tB\n1\t2\n");
    assert_eq!(json(&tabs.rows), "{\"a\":1,\"b\":2}\n");
    let null = decode("a INT, b INT", &[("bad_fields", "null")], "a,b\nx,2\n");
    assert_eq!(json(&null.rows), "{\"b\":2}\n");
    assert!(try_decode("a INT", &[("delimiter", "||")], "", 0).is_err());
}

#[test]
fn only_the_start_of_a_file_has_a_header_and_it_must_fit() {
    let later = try_decode("a INT, b INT", &[], "1,2\n", 100).unwrap();
    assert_eq!(json(&later.rows), "{\"a\":1,\"b\":2}\n");
    let error = try_decode("a INT, b INT", &[], "b,a\n1,2\n", 0).unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    assert_eq!(error.to_string(), "the header of 'f.csv' is (b, a), not (a, b)");
}

#[test]
fn types_with_fields_are_refused() {
    assert!(try_decode("a ARRAY<INT>", &[], "", 0).unwrap_err().to_string().contains("column 'a' is array<int>"));
}

#[test]
fn records_have_no_header() {
    let records = Records {
        data: Bytes::from_static(b"1,2\r\n3"),
        values: vec![Some(0..5), Some(5..6), None],
        keys: vec![None; 3],
        offsets: vec![4, 5, 6],
        timestamps: vec![0; 3],
        ..Records::default()
    };
    let chunk = Chunk { split: "t-0".into(), body: Body::Records(records) };
    let decoder = Csv.decoder(Arc::new(parse_schema("a INT, b INT").unwrap()), &options(&[])).unwrap();
    let decoded = decoder.decode(&chunk).unwrap();
    assert_eq!(json(&decoded.rows), "{\"a\":1,\"b\":2}\n");
    assert_eq!(decoded.rejects.iter().map(|reject| reject.offset).collect::<Vec<_>>(), [5, 6]);
}

proptest! {
    #[test]
    fn quoted_text_reads_back(values in prop::collection::vec("[a-c,\"\\\\' é]{1,10}", 2..3)) {
        let quoted = |text: &String| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let line = values.iter().map(quoted).collect::<Vec<_>>().join(",");
        let decoded = decode("a STRING, b STRING", &[("header", "false")], &line);
        prop_assert_eq!(&decoded.rejects, &[]);
        let expected = serde_json::json!({ "a": values[0], "b": values[1] });
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&json(&decoded.rows)).unwrap(), expected);
    }

    #[test]
    fn arbitrary_lines_never_panic_and_never_vanish(text in "[a-c,\"\\\\\n\r 0-9]{0,60}") {
        let decoded = decode("a STRING, b INT", &[("header", "false")], &text);
        let lines = text.split('\n').filter(|line| !line.trim_matches([' ', '\t', '\r']).is_empty()).count();
        prop_assert_eq!(decoded.rows.num_rows() + decoded.rejects.len(), lines);
    }
}
