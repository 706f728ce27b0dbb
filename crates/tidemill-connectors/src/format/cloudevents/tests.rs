//! Events as other SDKs write them, by value.

use super::*;
use crate::format::seen::{json, reasons};
use crate::topics::headers::pack;
use std::sync::Arc;
use tidemill_core::format::Decoded;
use tidemill_core::options::GivenOption;
use tidemill_core::source::{Body, Chunk, Records};
use tidemill_core::types;

type Given<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)]);

fn decode(ddl: &str, given: &[(&str, &str)], records: &[Given<'_>]) -> Decoded {
    let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
    let options = Options::check("table", &[DESCRIPTION.options], &given).unwrap();
    let decoder = CloudEvents.decoder(Arc::new(types::parse_schema(ddl).unwrap()), &options).unwrap();
    let (mut data, mut body) = (Vec::new(), Records::default());
    for (at, (payload, headers)) in records.iter().enumerate() {
        let from = data.len();
        data.extend_from_slice(payload.unwrap_or_default().as_bytes());
        body.values.push(payload.map(|_| from..data.len()));
        let from = data.len();
        pack(headers.iter().map(|(key, value)| (*key, Some(value.as_bytes()))), &mut data);
        body.headers.push((!headers.is_empty()).then_some(from..data.len()));
        body.keys.push(None);
        body.offsets.push(50 + at as u64);
        body.timestamps.push(0);
    }
    body.data = data.into();
    decoder.decode(&Chunk { split: "events-0".into(), body: Body::Records(body) }).unwrap()
}

const EVENT: &str = r#"{"specversion":"1.0","id":"a1","source":"/shop","type":"order.made","time":"2026-03-01T13:00:00+01:00","tenant":7,"data":{"id":5,"name":"x\u00e9"}}"#;
const COLUMNS: &str = "ce_id STRING, ce_time TIMESTAMP, ce_tenant STRING, id BIGINT, name STRING";
const ROW: &str = r#"{"ce_id":"a1","ce_time":"2026-03-01T12:00:00.000Z","ce_tenant":"7","id":5,"name":"xé"}"#;

#[test]
fn structured_batched_and_binary_events_are_the_same_rows() {
    let batch = format!("[{EVENT}, {EVENT}]");
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", "a1"),
        ("ce_source", "/shop"),
        ("ce_type", "order.made"),
        ("ce_time", "2026-03-01T12:00:00Z"),
        ("ce_tenant", "7"),
        ("content-type", "application/json"),
    ];
    let http = [
        ("ce-specversion", "1.0"),
        ("CE-ID", "%611"),
        ("ce-source", "/shop"),
        ("ce-type", "order.made"),
        ("ce-time", "2026-03-01T12%3A00:00Z"),
        ("ce-tenant", "7"),
    ];
    let base64 =
        EVENT.replace(r#""data":{"id":5,"name":"x\u00e9"}"#, r#""data_base64":"eyJpZCI6NSwibmFtZSI6InjDqSJ9""#);
    let records: [Given<'_>; 5] = [
        (Some(EVENT), &[][..]),
        (Some(&*batch), &[]),
        (Some(r#"{"id":5,"name":"xé"}"#), &headers),
        (Some(&*base64), &[("trace", "t")]),
        (Some(r#"{"id":5,"name":"xé"}"#), &http),
    ];
    let decoded = decode(COLUMNS, &[], &records);
    assert_eq!(reasons(&decoded), []);
    assert_eq!(json(&decoded.rows), [ROW; 6]);
}

#[test]
fn bad_events_are_told_and_their_neighbours_stay() {
    let no_id = EVENT.replace(r#""id":"a1","#, "");
    let old = EVENT.replace(r#""1.0""#, r#""0.3""#);
    let wrong = EVENT.replace(r#""id":5"#, r#""id":"five""#);
    let bad_time = EVENT.replace("2026-03-01T13", "soon");
    let batch = format!("[{EVENT},{wrong},{EVENT}]");
    let records = [EVENT, &no_id, "{", EVENT, &old, &wrong, &batch, &bad_time, EVENT].map(|text| (Some(text), &[][..]));
    let mut records = records.to_vec();
    records.push((None, &[]));
    let decoded = decode(COLUMNS, &[], &records);
    assert_eq!(json(&decoded.rows), [ROW; 5]);
    let codes: Vec<_> = reasons(&decoded).into_iter().map(|(offset, code, _)| (offset, code)).collect();
    assert_eq!(
        codes,
        [
            (51, "MISSING_FIELD"),
            (52, "MALFORMED"),
            (54, "MALFORMED"),
            (55, "WRONG_TYPE"),
            (56, "WRONG_TYPE"),
            (57, "WRONG_TYPE"),
            (59, "MALFORMED"),
        ]
    );
    assert_eq!(decoded.rejects[0].reason, "not a CloudEvent: 'id' is missing");
    assert_eq!(decoded.rejects[4].bytes, wrong.as_bytes(), "of a batch, the event alone");
}

#[test]
fn data_may_be_missing_or_taken_as_it_is() {
    let none = EVENT.replace(r#","data":{"id":5,"name":"x\u00e9"}"#, "");
    let text = EVENT.replace(r#"{"id":5,"name":"x\u00e9"}"#, r#""plain\n""#);
    let records = [EVENT, &none, &text].map(|text| (Some(text), &[][..]));
    let decoded = decode("data STRING, ce_type STRING", &[("cloudevents_data", "raw")], &records);
    assert_eq!(
        json(&decoded.rows),
        [
            r#"{"data":"{\"id\":5,\"name\":\"x\\u00e9\"}","ce_type":"order.made"}"#,
            r#"{"ce_type":"order.made"}"#,
            r#"{"data":"plain\n","ce_type":"order.made"}"#,
        ]
    );
    let decoded = decode("id BIGINT, ce_subject STRING NOT NULL", &[], &records[1..2]);
    assert_eq!(reasons(&decoded), [(50, "NULL_FIELD", "field 'ce_subject' is null and must not be")]);
    let decoded = decode("id BIGINT", &[], &records[1..2]);
    assert_eq!(json(&decoded.rows), ["{}"]);
}

#[test]
fn columns_of_other_types_are_refused() {
    let schema = Arc::new(types::parse_schema("ce_id BIGINT").unwrap());
    let error = CloudEvents.decoder(schema, &Options::default()).err().unwrap();
    assert_eq!(error.to_string(), "column 'ce_id' of format 'cloudevents' is string, not bigint");
}
