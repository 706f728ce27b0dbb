//! Changes as Debezium's connectors write them, by value.

use super::*;
use crate::format::seen::{bytes, json, reasons};
use std::sync::Arc;
use tidemill_core::format::Decoded;
use tidemill_core::options::GivenOption;
use tidemill_core::source::{Body, Chunk, Records};
use tidemill_core::types;

const COLUMNS: &str = "id BIGINT, name STRING, at TIMESTAMP, day DATE, _op STRING, _ts TIMESTAMP, _lsn BIGINT, _xid BIGINT, \
                       _before STRUCT<name: STRING>, _source STRUCT<db: STRING, table: STRING>, _unchanged ARRAY<STRING>";
const SOURCE: &str = r#""source":{"version":"3.2.0.Final","connector":"postgresql","ts_ms":1772366400005,"db":"shop","schema":"public","table":"orders","txId":771,"lsn":24023128}"#;

fn chunk(payloads: &[Option<&[u8]>]) -> Chunk {
    let mut records = Records::default();
    let mut data = Vec::new();
    for (at, payload) in payloads.iter().enumerate() {
        records.values.push(payload.map(|payload| data.len()..data.len() + payload.len()));
        data.extend_from_slice(payload.unwrap_or_default());
        records.keys.push(None);
        records.offsets.push(100 + at as u64);
        records.timestamps.push(0);
    }
    records.data = data.into();
    Chunk { split: "orders-0".into(), body: Body::Records(records) }
}

fn decode(ddl: &str, given: &[(&str, &str)], payloads: &[Option<&str>]) -> Decoded {
    let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
    let options = Options::check("table", &[JSON.options], &given).unwrap();
    let decoder = DebeziumJson.decoder(Arc::new(types::parse_schema(ddl).unwrap()), &options).unwrap();
    let payloads: Vec<_> = payloads.iter().map(|payload| payload.map(str::as_bytes)).collect();
    decoder.decode(&chunk(&payloads)).unwrap()
}

fn change(op: &str, before: &str, after: &str) -> String {
    format!(r#"{{"before":{before},"after":{after},{SOURCE},"transaction":null,"op":"{op}","ts_ms":1772366400999}}"#)
}

#[test]
fn every_change_is_a_row_bare_or_wrapped_and_null_payloads_are_passed_over() {
    let row = r#"{"id":1,"name":"a","at":1772366400000123,"day":20513}"#;
    let next = r#"{"id":1,"name":"b","at":"2026-03-01T12:00:00.000124Z","day":"2026-03-02"}"#;
    let wrapped = format!(
        r#"{{"schema":{{"type":"struct","fields":[{{"field":"op","type":"string"}}]}},"payload":{}}}"#,
        change("u", row, next)
    );
    let key = r#"{"id":1,"name":null,"at":null,"day":null}"#;
    let payloads = [
        change("r", "null", row),
        wrapped,
        change("d", key, "null"),
        change("t", "null", "null"),
        change("m", "null", "null"),
        change("c", "null", row),
    ];
    let mut payloads: Vec<Option<&str>> = payloads.iter().map(|payload| Some(payload.as_str())).collect();
    payloads.insert(3, None);
    let decoded = decode(COLUMNS, &[("debezium_time_unit", "micros")], &payloads);
    assert_eq!(reasons(&decoded), []);
    let tail = r#""_lsn":24023128,"_xid":771,"#;
    let source = r#""_source":{"db":"shop","table":"orders"},"_unchanged":[]}"#;
    let ts = r#""_ts":"2026-03-01T12:00:00.005Z","#;
    let first = r#""id":1,"name":"a","at":"2026-03-01T12:00:00.000123Z","day":"2026-03-01","#;
    assert_eq!(
        json(&decoded.rows),
        [
            format!(r#"{{{first}"_op":"r",{ts}{tail}{source}"#),
            format!(
                r#"{{"id":1,"name":"b","at":"2026-03-01T12:00:00.000124Z","day":"2026-03-02","_op":"u",{ts}{tail}"_before":{{"name":"a"}},{source}"#
            ),
            format!(r#"{{"id":1,"_op":"d",{ts}{tail}"_before":{{}},{source}"#),
            format!(r#"{{"_op":"t",{ts}{tail}{source}"#),
            format!(r#"{{{first}"_op":"c",{ts}{tail}{source}"#),
        ]
    );
}

#[test]
fn what_is_no_change_is_told_and_its_neighbours_stay() {
    let good = change("c", "null", r#"{"id":7,"at":"2026-03-01T12:00:00Z"}"#);
    let no_row = change("u", r#"{"id":7}"#, "null");
    let other = change("x", "null", r#"{"id":7}"#);
    let number = change("c", "null", r#"{"id":7,"at":1772366400000}"#);
    let null = change("c", "null", r#"{"id":null}"#);
    let payloads =
        [&*good, "{\"before\":", &*no_row, r#"{"id":1}"#, &*good, &*other, &*number, &*null, &*good].map(Some);
    let decoded = decode("id BIGINT NOT NULL, at TIMESTAMP", &[], &payloads);
    assert_eq!(json(&decoded.rows), vec![r#"{"id":7,"at":"2026-03-01T12:00:00.000Z"}"#; 3]);
    assert_eq!(decoded.rejects[0].bytes, b"{\"before\":");
    let told = reasons(&decoded);
    assert_eq!(
        told.iter().map(|(offset, code, _)| (*offset, *code)).collect::<Vec<_>>(),
        [
            (101, "MALFORMED"),
            (102, "MISSING_FIELD"),
            (103, "MISSING_FIELD"),
            (105, "MALFORMED"),
            (106, "WRONG_TYPE"),
            (107, "NULL_FIELD"),
        ]
    );
    assert_eq!(told[1].2, "not a change of Debezium: 'after' is missing");
    assert_eq!(told[2].2, "not a change of Debezium: 'op' is missing");
    assert!(told[4].2.ends_with("option 'debezium_time_unit' says what such numbers are"), "{}", told[4].2);
}

#[test]
fn a_value_that_was_not_sent_is_never_passed_off_as_data() {
    let toasted = change("u", "null", r#"{"id":7,"name":"__debezium_unavailable_value"}"#);
    let decoded = decode("id BIGINT, name STRING", &[], &[Some(&toasted)]);
    assert_eq!(decoded.rows.num_rows(), 0);
    assert_eq!(decoded.rejects[0].code, "UNCHANGED_VALUE");
    let decoded = decode("id BIGINT, name STRING, _unchanged ARRAY<STRING>", &[], &[Some(&toasted)]);
    assert_eq!(json(&decoded.rows), [r#"{"id":7,"_unchanged":["name"]}"#]);
    let decoded = decode("id BIGINT", &[], &[Some(&toasted)]);
    assert_eq!(json(&decoded.rows), [r#"{"id":7}"#], "a column that nobody reads");
}

#[test]
fn columns_of_other_types_are_refused() {
    let refused = |ddl: &str| {
        let schema = Arc::new(types::parse_schema(ddl).unwrap());
        DebeziumJson.decoder(schema, &Options::default()).err().unwrap().to_string()
    };
    assert_eq!(refused("_op INT"), "column '_op' of a Debezium format is string, not int");
    assert_eq!(refused("_before STRING"), "column '_before' of a Debezium format is a STRUCT, not string");
}

#[test]
fn the_same_in_avro() {
    let row = r#"{"type":"record","name":"Value","fields":[{"name":"id","type":"long"},
        {"name":"at","type":{"type":"long","connect.version":1,"connect.name":"io.debezium.time.MicroTimestamp"}},
        {"name":"zoned","type":{"type":"string","connect.name":"io.debezium.time.ZonedTimestamp"}}]}"#;
    let schema = format!(
        r#"{{"type":"record","name":"Envelope","namespace":"shop.public.orders","fields":[
            {{"name":"before","type":["null",{row}],"default":null}},{{"name":"after","type":["null","Value"],"default":null}},
            {{"name":"source","type":{{"type":"record","name":"Source","fields":[{{"name":"ts_ms","type":"long"}},
                {{"name":"db","type":"string"}},{{"name":"lsn","type":["null","long"]}}]}}}},
            {{"name":"op","type":"string"}},{{"name":"ts_ms","type":["null","long"]}}]}}"#
    );
    let given = [GivenOption::new("avro_framing", "none"), GivenOption::new("avro_schema", schema.as_str())];
    let options = Options::check("table", &[AVRO.options], &given).unwrap();
    let ddl = "id BIGINT, at TIMESTAMP, zoned TIMESTAMP, _op STRING, _lsn BIGINT, _before STRUCT<id: BIGINT>";
    let decoder = DebeziumAvro.decoder(Arc::new(types::parse_schema(ddl).unwrap()), &options).unwrap();
    // bytes as fastavro 1.13 writes them
    let created = bytes(
        "00020af6c1f8daa6fda50632323032362d30332d30315431333a30303a30302b30313a30308aa8a89495670873686f70029a01026300",
    );
    let deleted = bytes(
        "020af6c1f8daa6fda50632323032362d30332d30315431333a30303a30302b30313a3030008aa8a89495670873686f70029a01026400",
    );
    let decoded = decoder.decode(&chunk(&[Some(&created), None, Some(&created[1..]), Some(&deleted)])).unwrap();
    let row = r#""id":5,"at":"2026-03-01T12:00:00.000123Z","zoned":"2026-03-01T12:00:00.000Z""#;
    assert_eq!(
        json(&decoded.rows),
        [format!(r#"{{{row},"_op":"c","_lsn":77}}"#), format!(r#"{{{row},"_op":"d","_lsn":77,"_before":{{"id":5}}}}"#)]
    );
    assert_eq!(reasons(&decoded).iter().map(|(offset, ..)| *offset).collect::<Vec<_>>(), [102]);
}
