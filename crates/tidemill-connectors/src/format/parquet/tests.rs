//! Parquet files made here, and what becomes of their columns.

use super::*;
use crate::format::json::Json;
use crate::format::reject::NULL_FIELD;
use arrow::array::{
    ArrayRef, Decimal128Array, DictionaryArray, Float32Array, Int16Array, Int32Array, Int64Array, LargeStringArray,
    StringArray, TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::Int32Type;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use std::sync::Arc;
use tidemill_core::format::Payloads;
use tidemill_core::types::parse_schema;

fn file(columns: Vec<(&str, ArrayRef)>) -> Bytes {
    let rows = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name.to_owned(), column, true)),
    )
    .unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    bytes.into()
}

fn decode(ddl: &str, bytes: Bytes) -> Result<Decoded> {
    let decoder = Parquet.decoder(Arc::new(parse_schema(ddl).unwrap()), &Options::default()).unwrap();
    decoder.decode(&Chunk { split: "a/b.parquet".into(), body: Body::Stream { bytes, at: 0 } })
}

fn json(rows: &RecordBatch) -> Vec<String> {
    let mut payloads = Payloads::default();
    Json.encoder(rows.schema(), &Options::default()).unwrap().unwrap().encode(rows, &mut payloads).unwrap();
    payloads.iter().map(|payload| String::from_utf8(payload.to_vec()).unwrap()).collect()
}

#[test]
fn columns_are_found_by_name_and_missing_ones_are_null() {
    let bytes = file(vec![
        ("a", Arc::new(Int32Array::from(vec![Some(1), None]))),
        ("B", Arc::new(StringArray::from(vec!["x", "y"]))),
        ("unused", Arc::new(Int64Array::from(vec![7, 8]))),
    ]);
    let decoded = decode("b STRING, c ARRAY<INT>, a INT", bytes.clone()).unwrap();
    assert_eq!(json(&decoded.rows), [r#"{"b":"x","a":1}"#, r#"{"b":"y"}"#]);
    assert_eq!(decode("c INT", bytes.clone()).unwrap().rows.num_rows(), 2);
    let error = decode("c INT NOT NULL", bytes).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (Kind::Data, "'a/b.parquet' has no column 'c', which must not be null")
    );
}

#[test]
fn values_widen_when_nothing_is_lost() {
    let millis = Arc::new(TimestampMillisecondArray::from(vec![1500]).with_timezone("+00:00"));
    let nanos = Arc::new(TimestampNanosecondArray::from(vec![1_500_000]));
    let words: DictionaryArray<Int32Type> = vec!["w"].into_iter().collect();
    let bytes = file(vec![
        ("i", Arc::new(Int16Array::from(vec![5]))),
        ("f", Arc::new(Float32Array::from(vec![0.5]))),
        ("d", Arc::new(Decimal128Array::from(vec![125]).with_precision_and_scale(5, 2).unwrap())),
        ("t", millis),
        ("n", nanos),
        ("s", Arc::new(LargeStringArray::from(vec!["long"]))),
        ("w", Arc::new(words)),
    ]);
    let ddl = "i BIGINT, f DOUBLE, d DECIMAL(20,4), t TIMESTAMP, n TIMESTAMP, s STRING, w STRING";
    assert_eq!(
        json(&decode(ddl, bytes.clone()).unwrap().rows),
        [
            r#"{"i":5,"f":0.5,"d":1.2500,"t":"1970-01-01T00:00:01.500Z","n":"1970-01-01T00:00:00.001500Z","s":"long","w":"w"}"#
        ]
    );
    assert_eq!(json(&decode("i DECIMAL(5,0), n TIMESTAMP_NTZ, s BINARY", bytes.clone()).unwrap().rows).len(), 1);
    for (ddl, from, to) in [
        ("i TINYINT", "smallint", "tinyint"),
        ("i DECIMAL(6,2)", "smallint", "decimal(6,2)"),
        ("i STRING", "smallint", "string"),
        ("f INT", "float", "int"),
        ("d DECIMAL(5,1)", "decimal(5,2)", "decimal(5,1)"),
        ("d DOUBLE", "decimal(5,2)", "double"),
        ("t TIMESTAMP_NTZ", "timestamp", "timestamp_ntz"),
        ("s INT", "string", "int"),
    ] {
        let error = decode(ddl, bytes.clone()).unwrap_err();
        assert_eq!(error.kind(), Kind::Data);
        let expected = format!("column '{}' of 'a/b.parquet' is {from} and cannot be read as {to}", &ddl[..1]);
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

#[test]
fn nanoseconds_are_not_cut_off_in_silence() {
    let bytes = file(vec![("n", Arc::new(TimestampNanosecondArray::from(vec![1])) as ArrayRef)]);
    assert!(decode("n TIMESTAMP", bytes).unwrap_err().to_string().ends_with("it has nanoseconds"));
}

#[test]
fn nested_columns_conform_field_by_field() {
    let text = r#"{"o":{"x":1,"y":[{"z":2}]},"m":{"k":3}}"#;
    let narrow = Arc::new(parse_schema("o STRUCT<x: INT, y: ARRAY<STRUCT<z: INT>>>, m MAP<STRING, INT>").unwrap());
    let chunk = Chunk { split: "s".into(), body: Body::Stream { bytes: Bytes::from_static(text.as_bytes()), at: 0 } };
    let rows = Json.decoder(narrow, &Options::default()).unwrap().decode(&chunk).unwrap().rows;
    let bytes = file(vec![("o", rows.column(0).clone()), ("m", rows.column(1).clone())]);
    let decoded =
        decode("o STRUCT<y: ARRAY<STRUCT<z: BIGINT, new: STRING>>, X: DOUBLE>, m MAP<STRING, BIGINT>", bytes).unwrap();
    assert_eq!(json(&decoded.rows), [r#"{"o":{"y":[{"z":2}],"X":1.0},"m":{"k":3}}"#]);
}

#[test]
fn a_row_that_is_null_where_it_must_not_be_is_rejected_alone() {
    let bytes = file(vec![
        ("a", Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]))),
        ("b", Arc::new(StringArray::from(vec!["x", "y", "z"]))),
    ]);
    let decoded = decode("a INT NOT NULL, b STRING", bytes).unwrap();
    assert_eq!(json(&decoded.rows), [r#"{"a":1,"b":"x"}"#, r#"{"a":3,"b":"z"}"#]);
    let reject = &decoded.rejects[0];
    assert_eq!(
        (reject.offset, reject.code, reject.bytes.as_slice()),
        (1, NULL_FIELD, br#"{"a":null,"b":"y"}"#.as_slice())
    );
}

#[test]
fn a_file_that_is_not_parquet_is_named() {
    for bytes in [Bytes::new(), Bytes::from_static(b"PAR1"), Bytes::from_static(b"{\"a\":1}\n")] {
        let error = decode("a INT", bytes).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Data, "'a/b.parquet' cannot be read as Parquet"));
    }
    let mut cut = file(vec![("a", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]).to_vec();
    cut.truncate(cut.len() - 9);
    assert_eq!(decode("a INT", cut.into()).unwrap_err().kind(), Kind::Data);
}
