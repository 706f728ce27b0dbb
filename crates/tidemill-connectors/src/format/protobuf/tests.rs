//! Messages that protobuf's Python runtime has written, by value; bad payloads between good ones.

use super::*;
use crate::format::seen::{bytes, json, reasons};
use arrow::array::AsArray;
use arrow::datatypes::DurationMicrosecondType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;
use tidemill_core::format::Decoded;
use tidemill_core::source::{Body, Chunk, Records};
use tidemill_core::types;

/// The descriptor set of:
///
/// ```proto
/// message Other { string x = 1; }
/// message Order {
///   enum State { NEW = 0; PAID = 1; }
///   message Line { string sku = 1; sint32 count = 2; }
///   int64 id = 1; string note = 2; optional string maybe = 3; State state = 4; Line line = 5;
///   repeated Line lines = 6; repeated int32 numbers = 7; repeated string tags = 8;
///   map<string, double> props = 9; google.protobuf.Timestamp at = 10; google.protobuf.Duration took = 11;
///   google.protobuf.Int64Value wrapped = 12; uint64 big = 13; float f = 14; bool yes = 15; bytes data = 16;
///   fixed32 fix = 17; sfixed64 sfix = 18; oneof pick { string a = 19; int32 b = 20; }
///   map<int32, Line> by_number = 21; double d = 22;
/// }
/// ```
const SHOP: &str = "\
    Cv8BCh9nb29nbGUvcHJvdG9idWYvdGltZXN0YW1wLnByb3RvEg9nb29nbGUucHJvdG9idWYiOwoJVGltZXN0YW1wEhgKB3NlY29uZHMYASABKANS\
    B3NlY29uZHMSFAoFbmFub3MYAiABKAVSBW5hbm9zQoUBChNjb20uZ29vZ2xlLnByb3RvYnVmQg5UaW1lc3RhbXBQcm90b1ABWjJnb29nbGUuZ29s\
    YW5nLm9yZy9wcm90b2J1Zi90eXBlcy9rbm93bi90aW1lc3RhbXBwYvgBAaICA0dQQqoCHkdvb2dsZS5Qcm90b2J1Zi5XZWxsS25vd25UeXBlc2IG\
    cHJvdG8zCvsBCh5nb29nbGUvcHJvdG9idWYvZHVyYXRpb24ucHJvdG8SD2dvb2dsZS5wcm90b2J1ZiI6CghEdXJhdGlvbhIYCgdzZWNvbmRzGAEg\
    ASgDUgdzZWNvbmRzEhQKBW5hbm9zGAIgASgFUgVuYW5vc0KDAQoTY29tLmdvb2dsZS5wcm90b2J1ZkINRHVyYXRpb25Qcm90b1ABWjFnb29nbGUu\
    Z29sYW5nLm9yZy9wcm90b2J1Zi90eXBlcy9rbm93bi9kdXJhdGlvbnBi+AEBogIDR1BCqgIeR29vZ2xlLlByb3RvYnVmLldlbGxLbm93blR5cGVz\
    YgZwcm90bzMKhgQKHmdvb2dsZS9wcm90b2J1Zi93cmFwcGVycy5wcm90bxIPZ29vZ2xlLnByb3RvYnVmIiMKC0RvdWJsZVZhbHVlEhQKBXZhbHVl\
    GAEgASgBUgV2YWx1ZSIiCgpGbG9hdFZhbHVlEhQKBXZhbHVlGAEgASgCUgV2YWx1ZSIiCgpJbnQ2NFZhbHVlEhQKBXZhbHVlGAEgASgDUgV2YWx1\
    ZSIjCgtVSW50NjRWYWx1ZRIUCgV2YWx1ZRgBIAEoBFIFdmFsdWUiIgoKSW50MzJWYWx1ZRIUCgV2YWx1ZRgBIAEoBVIFdmFsdWUiIwoLVUludDMy\
    VmFsdWUSFAoFdmFsdWUYASABKA1SBXZhbHVlIiEKCUJvb2xWYWx1ZRIUCgV2YWx1ZRgBIAEoCFIFdmFsdWUiIwoLU3RyaW5nVmFsdWUSFAoFdmFs\
    dWUYASABKAlSBXZhbHVlIiIKCkJ5dGVzVmFsdWUSFAoFdmFsdWUYASABKAxSBXZhbHVlQoMBChNjb20uZ29vZ2xlLnByb3RvYnVmQg1XcmFwcGVy\
    c1Byb3RvUAFaMWdvb2dsZS5nb2xhbmcub3JnL3Byb3RvYnVmL3R5cGVzL2tub3duL3dyYXBwZXJzcGL4AQGiAgNHUEKqAh5Hb29nbGUuUHJvdG9i\
    dWYuV2VsbEtub3duVHlwZXNiBnByb3RvMwqOCAoKc2hvcC5wcm90bxIHc2hvcC52MRofZ29vZ2xlL3Byb3RvYnVmL3RpbWVzdGFtcC5wcm90bxoe\
    Z29vZ2xlL3Byb3RvYnVmL2R1cmF0aW9uLnByb3RvGh5nb29nbGUvcHJvdG9idWYvd3JhcHBlcnMucHJvdG8iFQoFT3RoZXISDAoBeBgBIAEoCVIB\
    eCL2BgoFT3JkZXISDgoCaWQYASABKANSAmlkEhIKBG5vdGUYAiABKAlSBG5vdGUSGQoFbWF5YmUYAyABKAlIAVIFbWF5YmWIAQESKgoFc3RhdGUY\
    BCABKA4yFC5zaG9wLnYxLk9yZGVyLlN0YXRlUgVzdGF0ZRInCgRsaW5lGAUgASgLMhMuc2hvcC52MS5PcmRlci5MaW5lUgRsaW5lEikKBWxpbmVz\
    GAYgAygLMhMuc2hvcC52MS5PcmRlci5MaW5lUgVsaW5lcxIYCgdudW1iZXJzGAcgAygFUgdudW1iZXJzEhIKBHRhZ3MYCCADKAlSBHRhZ3MSLwoF\
    cHJvcHMYCSADKAsyGS5zaG9wLnYxLk9yZGVyLlByb3BzRW50cnlSBXByb3BzEioKAmF0GAogASgLMhouZ29vZ2xlLnByb3RvYnVmLlRpbWVzdGFt\
    cFICYXQSLQoEdG9vaxgLIAEoCzIZLmdvb2dsZS5wcm90b2J1Zi5EdXJhdGlvblIEdG9vaxI1Cgd3cmFwcGVkGAwgASgLMhsuZ29vZ2xlLnByb3Rv\
    YnVmLkludDY0VmFsdWVSB3dyYXBwZWQSEAoDYmlnGA0gASgEUgNiaWcSDAoBZhgOIAEoAlIBZhIQCgN5ZXMYDyABKAhSA3llcxISCgRkYXRhGBAg\
    ASgMUgRkYXRhEhAKA2ZpeBgRIAEoB1IDZml4EhIKBHNmaXgYEiABKBBSBHNmaXgSDgoBYRgTIAEoCUgAUgFhEg4KAWIYFCABKAVIAFIBYhI5Cgli\
    eV9udW1iZXIYFSADKAsyHC5zaG9wLnYxLk9yZGVyLkJ5TnVtYmVyRW50cnlSCGJ5TnVtYmVyEgwKAWQYFiABKAFSAWQaLgoETGluZRIQCgNza3UY\
    ASABKAlSA3NrdRIUCgVjb3VudBgCIAEoEVIFY291bnQaOAoKUHJvcHNFbnRyeRIQCgNrZXkYASABKAlSA2tleRIUCgV2YWx1ZRgCIAEoAVIFdmFs\
    dWU6AjgBGlAKDUJ5TnVtYmVyRW50cnkSEAoDa2V5GAEgASgFUgNrZXkSKQoFdmFsdWUYAiABKAsyEy5zaG9wLnYxLk9yZGVyLkxpbmVSBXZhbHVl\
    OgI4ASIaCgVTdGF0ZRIHCgNORVcQABIICgRQQUlEEAFCBgoEcGlja0IICgZfbWF5YmViBnByb3RvMw==";
const WRITTEN: &str = "08ac02120368c3a91a0020012a050a0178100532050a0179100e32003a0d01feffffffffffffffff01ac024201614201624a0c0a\
    016b11000000000000f83f520908c0d490cd061088275a1608ffffffffffffffffff011080b6ca91feffffffff01620068ffffffffffffffffff01\
    750000003f780182010201028d01070000009101f8ffffffffffffffa00100aa0107080512030a017ab1010000000000000240";

fn decode_framed(ddl: &str, place: Option<Vec<i32>>, bad_fields_are_null: bool, payloads: &[&[u8]]) -> Decoded {
    let descriptors = Descriptors::parse(&STANDARD.decode(SHOP).unwrap()).unwrap();
    let schema = Arc::new(types::parse_schema(ddl).unwrap());
    let plan = Plan::new(&descriptors, "shop.v1.Order", schema.fields()).unwrap();
    let mut records = Records::default();
    let mut data = Vec::new();
    for (at, payload) in payloads.iter().enumerate() {
        records.values.push(Some(data.len()..data.len() + payload.len()));
        data.extend_from_slice(payload);
        records.keys.push(None);
        records.offsets.push(at as u64);
        records.timestamps.push(0);
    }
    records.data = data.into();
    let chunk = Chunk { split: "orders-0".into(), body: Body::Records(records) };
    MessageDecoder { schema, plan, place, bad_fields_are_null }.decode(&chunk).unwrap()
}

fn decode(ddl: &str, payloads: &[&[u8]]) -> Decoded {
    decode_framed(ddl, None, false, payloads)
}

#[test]
fn values_of_every_type_come_as_they_were_written() {
    let ddl = "id BIGINT, note STRING, maybe STRING, state STRING, line STRUCT<sku: STRING, count: INT>, \
               lines ARRAY<STRUCT<sku: STRING, count: BIGINT>>, numbers ARRAY<SMALLINT>, tags ARRAY<STRING>, \
               props MAP<STRING, DOUBLE>, at TIMESTAMP, wrapped BIGINT, big DECIMAL(20,0), f FLOAT, yes BOOLEAN, \
               data BINARY, fix BIGINT, sfix BIGINT, a STRING, b INT, by_number MAP<INT, STRUCT<sku: STRING>>, D DOUBLE";
    let decoded = decode(ddl, &[&bytes(WRITTEN), b""]);
    assert_eq!(reasons(&decoded), []);
    let by_number = decoded.rows.column_by_name("by_number").unwrap();
    assert_eq!(by_number.as_map().value_offsets(), [0, 1, 1]);
    let some: Vec<usize> = (0..decoded.rows.num_columns()).filter(|at| *at != 19).collect();
    assert_eq!(
        json(&decoded.rows.project(&some).unwrap()),
        [
            r#"{"id":300,"note":"hé","maybe":"","state":"PAID","line":{"sku":"x","count":-3},"lines":[{"sku":"y","count":7},{"sku":"","count":0}],"numbers":[1,-2,300],"tags":["a","b"],"props":{"k":1.5},"at":"2026-03-01T12:00:00.000005Z","wrapped":0,"big":18446744073709551615,"f":0.5,"yes":true,"data":"AQI=","fix":7,"sfix":-8,"b":0,"D":2.25}"#,
            r#"{"id":0,"note":"","state":"NEW","lines":[],"numbers":[],"tags":[],"props":{},"big":0,"f":0.0,"yes":false,"data":"","fix":0,"sfix":0,"D":0.0}"#
        ]
    );
    let decoded = decode("took INTERVAL DAY TO SECOND, state INT", &[&bytes(WRITTEN)]);
    let took = decoded.rows.column(0).as_primitive::<DurationMicrosecondType>();
    assert_eq!(
        (took.value(0), json(&decoded.rows.project(&[1]).unwrap())),
        (-1_500_000, vec![r#"{"state":1}"#.into()])
    );
}

#[test]
fn a_bad_payload_costs_its_neighbours_nothing() {
    let good = bytes(WRITTEN);
    let text = [&good[..], &[0x12, 1, 0xFF]].concat();
    let wire = [&good[..], &[0x09, 1, 2, 3, 4, 5, 6, 7, 8]].concat();
    let decoded = decode("id BIGINT, note STRING", &[&good, &good[..9], &[0x0F], &good, &text, &wire, &good]);
    assert_eq!(json(&decoded.rows), [r#"{"id":300,"note":"hé"}"#; 3]);
    let codes: Vec<_> = reasons(&decoded).into_iter().map(|(offset, code, _)| (offset, code)).collect();
    assert_eq!(codes, [(1, "MALFORMED"), (2, "MALFORMED"), (4, "MALFORMED"), (5, "MALFORMED")]);
    assert_eq!(decoded.rejects[0].bytes, good[..9]);
    assert_eq!(decoded.rejects[3].reason, "field 'id' has another type in the message than in its descriptor");
}

#[test]
fn fields_are_merged_as_protobuf_says() {
    // the last of a value counts, parts of a message are one, packed and single numbers are one list
    let payload =
        [0x08, 1, 0x2A, 3, 0x0A, 1, b'p', 0x38, 5, 0x08, 2, 0x2A, 2, 0x10, 6, 0x3A, 2, 7, 8, 0xFA, 0x06, 1, b'?'];
    let decoded = decode("id BIGINT, line STRUCT<sku: STRING, count: INT>, numbers ARRAY<INT>", &[&payload]);
    assert_eq!(json(&decoded.rows), [r#"{"id":2,"line":{"sku":"p","count":3},"numbers":[5,7,8]}"#]);
    let twice = [&[0x4A, 12, 0x0A, 1, b'k', 0x11][..], &[0; 8], &bytes(WRITTEN)].concat();
    assert_eq!(json(&decode("props MAP<STRING, DOUBLE>", &[&twice]).rows), [r#"{"props":{"k":1.5}}"#]);
}

#[test]
fn what_does_not_fit_is_told_or_null() {
    let good = bytes(WRITTEN);
    let decoded = decode("big BIGINT", &[&good]);
    let why = "field 'big' is 18446744073709551615, which its column cannot hold";
    assert_eq!(reasons(&decoded), [(0, "WRONG_TYPE", why)]);
    let decoded = decode("line STRING", &[&good]);
    let why = "field 'line' is shop.v1.Order.Line and cannot be read as string";
    assert_eq!(reasons(&decoded), [(0, "WRONG_TYPE", why)]);
    let decoded = decode("gone STRING, wrapped BIGINT NOT NULL", &[&good, b""]);
    assert_eq!(reasons(&decoded), [(1, "NULL_FIELD", "field 'wrapped' is not there and must not be null")]);
    let decoded = decode_framed("big BIGINT, line STRING, lines INT, id BIGINT", None, true, &[&good]);
    assert_eq!(json(&decoded.rows), [r#"{"id":300}"#]);
}

#[test]
fn confluents_frame_says_which_message_it_is() {
    let good = bytes(WRITTEN);
    let framed = |head: &[u8]| [&[0, 0, 0, 0, 9][..], head, &good].concat();
    let payloads = [framed(&[2, 2]), framed(&[0]), framed(&[4, 2, 0]), good.clone()];
    let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    let decoded = decode_framed("id BIGINT", Some(vec![1]), false, &payloads);
    assert_eq!(json(&decoded.rows), [r#"{"id":300}"#]);
    assert_eq!(decoded.rejects.len(), 3);
    assert_eq!(decoded.rejects[0].reason, "another message: its place in the file is [0], not [1]");
    let decoded = decode_framed("id BIGINT", Some(vec![0]), false, &payloads[1..2]);
    assert_eq!(decoded.rows.num_rows(), 1);
}

#[test]
fn a_message_that_is_not_there_names_the_nearest() {
    let descriptors = Descriptors::parse(&STANDARD.decode(SHOP).unwrap()).unwrap();
    let error = descriptors.message("shop.v1.Oder").unwrap_err();
    assert!(error.report().contains("did you mean 'shop.v1.Order'?"), "{}", error.report());
    assert_eq!(descriptors.place("shop.v1.Order.Line").unwrap(), [1, 0]);
    assert!(Descriptors::parse(b"no descriptors").is_err());
}
