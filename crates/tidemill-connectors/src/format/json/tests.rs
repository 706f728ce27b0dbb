//! Tables of JSON texts and what becomes of them.

use super::Json;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use std::sync::Arc;
use tidemill_core::Options;
use tidemill_core::format::{Decoded, Format, Payloads, REASON_BYTES_MAX};
use tidemill_core::options::GivenOption;
use tidemill_core::source::{Body, Chunk, Records};
use tidemill_core::types::parse_schema;

fn options(given: &[(&str, &str)]) -> Options {
    let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
    Options::check("format 'json'", &[Json.describe().options], &given).unwrap()
}

pub(super) fn schema(ddl: &str) -> SchemaRef {
    Arc::new(parse_schema(ddl).unwrap())
}

pub(super) fn decode_at(schema: SchemaRef, given: &[(&str, &str)], bytes: impl Into<Bytes>, at: u64) -> Decoded {
    let chunk = Chunk { split: "s".into(), body: Body::Stream { bytes: bytes.into(), at } };
    Json.decoder(schema, &options(given)).unwrap().decode(&chunk).unwrap()
}

pub(super) fn decode(ddl: &str, text: &str) -> Decoded {
    decode_at(schema(ddl), &[], text.to_owned(), 0)
}

pub(super) fn encode(rows: &RecordBatch, given: &[(&str, &str)]) -> String {
    let mut payloads = Payloads::default();
    let encoder = Json.encoder(rows.schema(), &options(given)).unwrap().unwrap();
    encoder.encode(rows, &mut payloads).unwrap();
    payloads.iter().map(|payload| String::from_utf8(payload.to_vec()).unwrap() + "\n").collect()
}

/// What becomes of `value` in a column of type `of`: its JSON when it is written again, or the code.
fn becomes(of: &str, value: &str) -> String {
    let decoded = decode(&format!("a {of}"), &format!("{{\"a\":{value}}}\n"));
    match decoded.rejects.as_slice() {
        [] => {
            let text = encode(&decoded.rows, &[("ignore_null_fields", "false")]);
            text.trim().strip_prefix("{\"a\":").unwrap().strip_suffix('}').unwrap().to_owned()
        }
        [reject] => {
            assert_eq!(decoded.rows.num_rows(), 0);
            reject.code.to_owned()
        }
        _ => panic!("one record gave {} rejects", decoded.rejects.len()),
    }
}

const WRONG: &str = "WRONG_TYPE";
const BAD: &str = "MALFORMED";

/// Types, values, and what becomes of them.
const VALUES: &[(&str, &str, &str)] = &[
    ("string", r#""plain""#, r#""plain""#),
    ("string", r#""""#, r#""""#),
    ("string", r#""q\"b\\s\/\b\f\n\r\t""#, r#""q\"b\\s/\b\f\n\r\t""#),
    ("string", r#""\u0041\u00e9\u20ac\ud83d\ude00""#, "\"A\u{e9}\u{20ac}\u{1f600}\""),
    ("string", r#""\u001f\u0000""#, r#""\u001F\u0000""#),
    ("string", r#""\ud83d""#, BAD),
    ("string", r#""\ud83d\u0041""#, BAD),
    ("string", r#""\ude00""#, BAD),
    ("string", r#""\x""#, BAD),
    ("string", r#""\u12g4""#, BAD),
    ("string", "\"tab\there\"", BAD),
    ("string", r#""open"#, BAD),
    ("string", "5", "\"5\""),
    ("string", "-1.50e+3", "\"-1.50e+3\""),
    ("string", "true", "\"true\""),
    ("string", "NaN", "\"NaN\""),
    ("string", r#"{"x": [1, "y"]}"#, r#""{\"x\": [1, \"y\"]}""#),
    ("string", "[1, 2]", "\"[1, 2]\""),
    ("string", "null", "null"),
    ("string", "nul", BAD),
    ("string", "01", BAD),
    ("boolean", "true", "true"),
    ("boolean", "false", "false"),
    ("boolean", "1", WRONG),
    ("boolean", "\"true\"", WRONG),
    ("boolean", "tru", BAD),
    ("boolean", "truex", BAD),
    ("tinyint", "-128", "-128"),
    ("tinyint", "128", WRONG),
    ("smallint", "32767", "32767"),
    ("smallint", "-32769", WRONG),
    ("int", "5", "5"),
    ("int", "-0", "0"),
    ("int", "2147483648", WRONG),
    ("int", "5.5", WRONG),
    ("int", "5.0", WRONG),
    ("int", "1e2", WRONG),
    ("int", "\"7\"", WRONG),
    ("int", "true", WRONG),
    ("int", "{}", WRONG),
    ("int", "NaN", WRONG),
    ("int", "-", BAD),
    ("int", "+1", BAD),
    ("int", "1.", BAD),
    ("int", "--1", BAD),
    ("int", "x", BAD),
    ("bigint", "9223372036854775807", "9223372036854775807"),
    ("bigint", "9223372036854775808", WRONG),
    ("double", "5", "5.0"),
    ("double", "0.1", "0.1"),
    ("double", "-2.5e-3", "-0.0025"),
    ("double", "1e400", "\"Infinity\""),
    ("double", "123456789012345678901234567890", "1.2345678901234568E29"),
    ("double", "\"NaN\"", "\"NaN\""),
    ("double", "\"Infinity\"", "\"Infinity\""),
    ("double", "\"INF\"", "\"Infinity\""),
    ("double", "\"+INF\"", "\"Infinity\""),
    ("double", "\"-INF\"", "\"-Infinity\""),
    ("double", "\"-Infinity\"", "\"-Infinity\""),
    ("double", "NaN", "\"NaN\""),
    ("double", "-Infinity", "\"-Infinity\""),
    ("double", "\"1.5\"", WRONG),
    ("double", "\"nan\"", WRONG),
    ("double", "nan", BAD),
    ("double", "Inf", BAD),
    ("float", "0.1", "0.1"),
    ("float", "16777217", "1.6777216E7"),
    ("float", "\"-INF\"", "\"-Infinity\""),
    ("decimal(6,2)", "12.345", "12.35"),
    ("decimal(6,2)", "-12.345", "-12.35"),
    ("decimal(6,2)", "\"9.1\"", "9.10"),
    ("decimal(6,2)", "\"1,234.5\"", "1234.50"),
    ("decimal(6,2)", "1e2", "100.00"),
    ("decimal(6,2)", "10000", WRONG),
    ("decimal(6,2)", "9999.995", WRONG),
    ("decimal(6,2)", "\"x\"", WRONG),
    ("decimal(6,2)", "\"\"", WRONG),
    ("decimal(6,2)", "true", WRONG),
    ("decimal(38,0)", "99999999999999999999999999999999999999", "99999999999999999999999999999999999999"),
    ("date", "\"2024-02-29\"", "\"2024-02-29\""),
    ("date", "\"2024-02-29T10:00:00Z\"", "\"2024-02-29\""),
    ("date", "\"2023-02-29\"", WRONG),
    ("date", "19000", WRONG),
    ("timestamp", "\"2024-01-01\"", "\"2024-01-01T00:00:00.000Z\""),
    ("timestamp", "\"2024-01-01 12:00:01.5\"", "\"2024-01-01T12:00:01.500Z\""),
    ("timestamp", "\"2024-01-01T12:00:01.123456789+02:00\"", "\"2024-01-01T10:00:01.123456Z\""),
    ("timestamp", "\"2024-01-01T12:00:01\\u005a\"", "\"2024-01-01T12:00:01.000Z\""),
    ("timestamp", "1704110400", "\"2024-01-01T12:00:00.000Z\""),
    ("timestamp", "-1", "\"1969-12-31T23:59:59.000Z\""),
    ("timestamp", "1704110400.5", WRONG),
    ("timestamp", "9223372036854775807", WRONG),
    ("timestamp", "\"soon\"", WRONG),
    ("timestamp", "\"\"", WRONG),
    ("timestamp_ntz", "\"2024-01-01T12:00:00.5\"", "\"2024-01-01T12:00:00.500\""),
    ("timestamp_ntz", "\"2024-01-01T12:00:00Z\"", WRONG),
    ("timestamp_ntz", "5", WRONG),
    ("binary", "\"aGk=\"", "\"aGk=\""),
    ("binary", "\"aGk\"", "\"aGk=\""),
    ("binary", "\"a*\"", WRONG),
    ("binary", "5", WRONG),
    (
        "interval day to second",
        "\"INTERVAL '1 02:03:04.5' DAY TO SECOND\"",
        "\"INTERVAL '1 02:03:04.5' DAY TO SECOND\"",
    ),
    ("interval year to month", "\"1-2\"", "\"INTERVAL '1-2' YEAR TO MONTH\""),
    ("void", "{\"any\":[1]}", "null"),
    ("array<int>", "[1, null ,3]", "[1,null,3]"),
    ("array<int>", "[ ]", "[]"),
    ("array<int>", "[1,\"x\"]", WRONG),
    ("array<int>", "[1,]", BAD),
    ("array<int>", "[,1]", BAD),
    ("array<int>", "[1 2]", BAD),
    ("array<int>", "[1", BAD),
    ("array<int>", "{}", WRONG),
    ("array<array<string>>", "[[],[\"a\",null],null]", "[[],[\"a\",null],null]"),
    ("map<string,int>", "{\"k\":1, \"l\":null}", "{\"k\":1,\"l\":null}"),
    ("map<string,int>", "{\"k\":1,\"l\":2,\"k\":3}", "{\"l\":2,\"k\":3}"),
    ("map<string,int>", "{\"\\u006b\":1,\"k\":3}", "{\"k\":3}"),
    ("map<string,int>", "{}", "{}"),
    ("map<string,int>", "[]", WRONG),
    ("map<string,array<map<string,double>>>", "{\"a\":[{\"b\":1},{}]}", "{\"a\":[{\"b\":1.0},{}]}"),
    (
        "struct<x:int,y:array<struct<z:string>>>",
        "{\"y\":[{\"z\":\"v\"},{},null],\"x\":1}",
        "{\"x\":1,\"y\":[{\"z\":\"v\"},{\"z\":null},null]}",
    ),
    ("struct<x:int>", "5", WRONG),
    ("struct<x:int>", "{\"x\":\"1\"}", WRONG),
    ("struct<x:int>", "{\"x\":1", BAD),
];

#[test]
fn every_type_takes_what_spark_takes() {
    for (of, value, expected) in VALUES {
        assert_eq!(becomes(of, value), *expected, "{value} in a column {of}");
    }
}

#[test]
fn a_bad_field_is_null_where_asked_for_as_in_spark() {
    let ddl = "a INT, b STRUCT<c: STRING, d: ARRAY<INT>>, m MAP<STRING, INT>";
    for (text, expected) in [
        (r#"{"a":1,"b":{"c":"x","d":[1,2,3]},"e":null}"#, r#"{"a":1,"b":{"c":"x","d":[1,2,3]},"m":null}"#),
        (r#"{"a":"7","b":{"c":5}}"#, r#"{"a":null,"b":{"c":"5","d":null},"m":null}"#),
        (r#"{"a":2.5}"#, r#"{"a":null,"b":null,"m":null}"#),
        (r#"{"b":{"d":[1,"x",{"y":[2]},3]}}"#, r#"{"a":null,"b":{"c":null,"d":[1,null,null,3]},"m":null}"#),
        (r#"{"b":[1],"m":{"k":true,"l":4}}"#, r#"{"a":null,"b":null,"m":{"k":null,"l":4}}"#),
        (r#"{"a":1,"a":"x"}"#, r#"{"a":null,"b":null,"m":null}"#),
    ] {
        let decoded = decode_at(schema(ddl), &[("badFields", "null")], text, 0);
        assert_eq!(decoded.rejects, []);
        assert_eq!(encode(&decoded.rows, &[("ignore_null_fields", "false")]).trim(), expected, "{text}");
    }
    for text in [r#"{"a":"x""#, r#"{"a":"x","b":}"#, r#"{"a":["x]}"#] {
        let decoded = decode_at(schema(ddl), &[("bad_fields", "null")], text, 0);
        assert_eq!(decoded.rejects[0].code, "MALFORMED", "{text}");
    }
    let required = decode_at(schema("a INT NOT NULL"), &[("bad_fields", "null")], r#"{"a":"x"}"#, 0);
    assert_eq!(required.rejects[0].code, "WRONG_TYPE");
}

#[test]
fn a_reject_tells_where_it_was_and_why_and_neighbours_stay() {
    let text = "{\"a\":1,\"b\":[1,2],\"s\":\"x\"}\r\n\
                \n  \t\r\n\
                {\"s\":\"gone\",\"b\":[3,\"y\"],\"a\":2}\n\
                not json\n\
                {\"a\":3}\n\
                {\"b\":[4],\"a\":null}\n\
                {\"b\":[]}\n\
                [1]\n\
                {\"a\":4,\"b\":[5]} x\n\
                {\"a\":5,\"b\":null}";
    let decoded = decode_at(schema("a INT NOT NULL, b ARRAY<INT>, s STRING"), &[], text, 1000);
    assert_eq!(
        encode(&decoded.rows, &[]),
        "{\"a\":1,\"b\":[1,2],\"s\":\"x\"}\n{\"a\":3}\n{\"a\":5}\n",
        "only good rows, nothing of the bad ones"
    );
    assert_eq!(decoded.rows.column(1).as_list::<i32>().values().len(), 2);
    assert_eq!(decoded.rows.column(2).as_string::<i32>().value_data(), b"x");
    let told: Vec<_> = decoded.rejects.iter().map(|reject| (reject.code, reject.reason.as_str())).collect();
    assert_eq!(
        told,
        [
            ("WRONG_TYPE", "field 'b.item' must be int, found '\"y\"' (byte 19)"),
            ("MALFORMED", "not valid JSON: expected an object, found 'not' (byte 0)"),
            ("NULL_FIELD", "field 'a' is null and must not be (byte 13)"),
            ("MISSING_FIELD", "field 'a' is missing and must not be null"),
            ("MALFORMED", "not valid JSON: expected an object, found '[1]' (byte 0)"),
            ("MALFORMED", "not valid JSON: expected nothing after the object, found 'x' (byte 16)"),
        ]
    );
    for reject in &decoded.rejects {
        let at = reject.offset as usize - 1000;
        assert_eq!(&text.as_bytes()[at..at + reject.bytes.len()], reject.bytes, "the raw bytes, at their place");
    }
}

#[test]
fn keys_match_in_their_case_first_and_the_last_of_equal_ones_wins() {
    for (ddl, text, expected) in [
        ("a INT", r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        ("a INT", r#"{"A":1}"#, r#"{"a":1}"#),
        ("a INT", r#"{"a":1,"A":2}"#, r#"{"a":1}"#),
        ("a INT", r#"{"A":2,"a":1}"#, r#"{"a":1}"#),
        ("a INT", r#"{"A":1,"A":2}"#, r#"{"a":2}"#),
        ("a INT, A INT", r#"{"A":1,"a":2}"#, r#"{"a":2,"A":1}"#),
        ("a INT", r#"{"\u0061":3}"#, r#"{"a":3}"#),
        ("`a b` INT, É INT", r#"{ "a b" : 1 , "é" : 2 }"#, r#"{"a b":1,"É":2}"#),
        ("a STRUCT<b: INT>", r#"{"a":{"b":1},"a":{}}"#, r#"{"a":{}}"#),
        ("a ARRAY<INT>", r#"{"a":[1,2],"a":[3]}"#, r#"{"a":[3]}"#),
        ("a STRING", r#"{"a":"x","a":null}"#, "{}"),
        ("a STRING", r#"{"b":{"a":"no"},"c":[{"a":"no"}],"a":"yes","d":1.5e3}"#, r#"{"a":"yes"}"#),
    ] {
        let decoded = decode(ddl, text);
        assert_eq!(decoded.rejects, [], "{text}");
        assert_eq!(encode(&decoded.rows, &[]).trim(), expected, "{text}");
    }
}

#[test]
fn keys_may_come_go_and_change_places_from_record_to_record() {
    let text = r#"{"a":1,"x":0,"b":"p","c":true}
{"a":2,"b":"q","c":false}
{"c":true,"b":"r","x":{"a":9},"a":3}
{"y":[],"a":4,"x":0,"b":"s","c":true}
{"a":5,"x":0,"b":"t","c":true}
{}"#;
    let decoded = decode("a INT, b STRING, c BOOLEAN", text);
    assert_eq!(decoded.rejects, []);
    assert_eq!(
        encode(&decoded.rows, &[]),
        "{\"a\":1,\"b\":\"p\",\"c\":true}\n{\"a\":2,\"b\":\"q\",\"c\":false}\n{\"a\":3,\"b\":\"r\",\"c\":true}\n\
         {\"a\":4,\"b\":\"s\",\"c\":true}\n{\"a\":5,\"b\":\"t\",\"c\":true}\n{}\n"
    );
}

#[test]
fn skipped_values_are_checked_all_the_same() {
    for (text, good) in [
        (r#"{"z":{"a":[1,{"b":null}],"c":"\u00e9"},"a":1}"#, true),
        (r#"{"z":[[[]]],"a":1}"#, true),
        (r#"{"z":-Infinity,"a":1}"#, true),
        (r#"{"z":[1,2,"a":1}"#, false),
        (r#"{"z":{"k"},"a":1}"#, false),
        (r#"{"z":{"k":1,},"a":1}"#, false),
        (r#"{"z":tru,"a":1}"#, false),
        (r#"{"z":01,"a":1}"#, false),
        (r#"{"z":"\q","a":1}"#, false),
        (r#"{"z":,"a":1}"#, false),
        (r#"{z:1,"a":1}"#, false),
        (r#"{"z" 1,"a":1}"#, false),
        (r#"{"a":1,}"#, false),
        (r#"{,"a":1}"#, false),
        (r#"{"a":1}}"#, false),
        (r#"{"a":1"#, false),
        (r#"{"#, false),
        (r#"{"a"#, false),
        (r#"{"a":"#, false),
        (r#"""#, false),
        ("{\"a\":1}\u{0}", false),
        ("null", false),
    ] {
        let decoded = decode("a INT", text);
        assert_eq!(decoded.rows.num_rows() == 1, good, "{text}");
        assert!(good || decoded.rejects[0].code == "MALFORMED", "{text}");
    }
}

#[test]
fn nesting_deeper_than_the_limit_is_malformed_and_harmless() {
    let nested = |depth: usize| format!("{{\"z\":{}1{},\"a\":1}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(decode("a INT", &nested(63)).rows.num_rows(), 1);
    assert_eq!(decode("a INT", &nested(64)).rejects[0].code, "MALFORMED");
    assert_eq!(decode("a INT", &nested(1_000_000)).rejects[0].code, "MALFORMED");
    let long = &decode("a INT", &format!("{{\"a\":\"{}\"}}", "é".repeat(5000))).rejects[0];
    assert!(long.reason.len() <= REASON_BYTES_MAX);
}

#[test]
fn bytes_that_are_not_text_spoil_only_their_record() {
    let decoded = decode_at(
        schema("a STRING"),
        &[],
        b"\xEF\xBB\xBF{\"a\":\"1\"}\n{\"a\":\"\xFF\"}\n{\"a\":\"\xC3\xA9\"}\n".to_vec(),
        0,
    );
    assert_eq!(encode(&decoded.rows, &[]), "{\"a\":\"1\"}\n{\"a\":\"é\"}\n");
    assert_eq!((decoded.rejects[0].code, decoded.rejects[0].offset), ("MALFORMED", 13));
    assert!(decoded.rejects[0].reason.contains("UTF-8"), "{}", decoded.rejects[0].reason);
}

#[test]
fn records_are_read_payload_by_payload() {
    let data = b"{\"a\":1}\n{\n \"a\" : 2\n} {\"a\":3}{\"a\":4}";
    let values = vec![Some(0..8), Some(8..20), None, Some(21..35), Some(20..20)];
    let records = Records {
        data: Bytes::from_static(data),
        keys: vec![None; 5],
        offsets: vec![7, 8, 9, 20, 21],
        timestamps: vec![0; 5],
        values,
        ..Records::default()
    };
    let chunk = Chunk { split: "t-0".into(), body: Body::Records(records) };
    let decoded = Json.decoder(schema("a INT"), &options(&[])).unwrap().decode(&chunk).unwrap();
    assert_eq!(encode(&decoded.rows, &[]), "{\"a\":1}\n{\"a\":2}\n");
    let told: Vec<_> = decoded.rejects.iter().map(|reject| (reject.offset, reject.code)).collect();
    assert_eq!(told, [(9, "MALFORMED"), (20, "MALFORMED"), (21, "MALFORMED")]);
}

#[test]
fn no_column_at_all_still_counts_the_records() {
    let decoded = decode_at(Arc::new(Schema::empty()), &[], "{\"a\":1}\n{}\nx\n", 0);
    assert_eq!((decoded.rows.num_rows(), decoded.rejects.len()), (2, 1));
}

#[test]
fn types_that_json_cannot_hold_are_refused_when_the_decoder_is_made() {
    for ddl in ["a MAP<INT, STRING>", "a ARRAY<MAP<DATE, INT>>"] {
        assert!(Json.decoder(schema(ddl), &options(&[])).is_err(), "{ddl}");
    }
}

#[test]
fn rows_are_written_as_spark_writes_them() {
    let ddl = "id INT, s STRING, d DOUBLE, ts TIMESTAMP, a ARRAY<INT>, m MAP<STRING, INT>, dc DECIMAL(10,2)";
    let text = "{\"id\":1,\"s\":\"q\\\"uo\\\\te/é\",\"d\":1.0,\"ts\":\"2024-01-01T12:00:01.500000Z\",\"a\":[1,null],\
                \"m\":{\"k\":null},\"dc\":\"1.50\"}\n{\"id\":2,\"d\":\"NaN\"}\n";
    assert_eq!(
        encode(&decode(ddl, text).rows, &[]),
        "{\"id\":1,\"s\":\"q\\\"uo\\\\te/é\",\"d\":1.0,\"ts\":\"2024-01-01T12:00:01.500Z\",\"a\":[1,null],\
         \"m\":{\"k\":null},\"dc\":1.50}\n{\"id\":2,\"d\":\"NaN\"}\n"
    );
}
