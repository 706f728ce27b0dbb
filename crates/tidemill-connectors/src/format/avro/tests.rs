//! Payloads that fastavro has written, by value; schemas that change; bad payloads between good ones.

use super::*;
use crate::format::json::Json;
use crate::format::registered::{Pauses, Registered};
use crate::format::seen::{bytes, json, reasons};
use crate::schema_registry::schemas::{SchemaKind, SchemaText, Schemas};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tidemill_core::format::{Decoded, Payloads};
use tidemill_core::options::GivenOption;
use tidemill_core::source::{Body, Chunk, Records};
use tidemill_core::{Error, Kind, types};

const ORDER: &str = r#"{"type":"record","name":"shop.Order","fields":[{"name":"id","type":"long"},
    {"name":"note","type":["null","string"]},
    {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"tags","type":{"type":"array","items":"string"}},{"name":"props","type":{"type":"map","values":"double"}},
    {"name":"state","type":{"type":"enum","name":"State","symbols":["NEW","PAID"]}},
    {"name":"line","type":{"type":"record","name":"Line","fields":[{"name":"sku","type":"string"},
        {"name":"count","type":"int"}]}},
    {"name":"either","type":["int","string"]},{"name":"next","type":["null","Line"]}]}"#;
/// An order, and the fingerprint of its schema, as fastavro 1.13 gives them.
const WRITTEN: &str =
    "d804020c68c3a96c6c6f04fb2e8aa8a89495670402610462630002026b000000000000f83f00020278050202650202790e";
const FINGERPRINT: &str = "9c6bb0b00ce1e2c5";
const TREE: &str = r#"{"type":"record","name":"shop.Order","fields":[{"name":"id","type":"int"},
    {"name":"tree","type":{"type":"record","name":"Node","fields":[{"name":"v","type":"int"},
        {"name":"kids","type":{"type":"array","items":"Node"}}]}},
    {"name":"comment","type":"string"}]}"#;
const TREE_WRITTEN: &str = "0e02040400060208000000046f6b";

fn chunk(payloads: &[Vec<u8>]) -> Chunk {
    let mut records = Records::default();
    let mut data = Vec::new();
    for (at, payload) in payloads.iter().enumerate() {
        records.values.push(Some(data.len()..data.len() + payload.len()));
        data.extend_from_slice(payload);
        records.keys.push(None);
        records.offsets.push(10 + at as u64);
        records.timestamps.push(0);
    }
    records.data = data.into();
    Chunk { split: "orders-0".into(), body: Body::Records(records) }
}

fn options(given: &[(&str, &str)]) -> Options {
    let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
    Options::check("table", &[settings::OPTIONS], &given).unwrap()
}

fn decode(ddl: &str, given: &[(&str, &str)], payloads: &[Vec<u8>]) -> Decoded {
    let schema = Arc::new(types::parse_schema(ddl).unwrap());
    Avro.decoder(schema, &options(given)).unwrap().decode(&chunk(payloads)).unwrap()
}

#[test]
fn values_of_every_type_come_as_they_were_written() {
    let ddl = "id BIGINT, note STRING, price DECIMAL(10,3), at TIMESTAMP, tags ARRAY<STRING>, props MAP<STRING, DOUBLE>, \
               state STRING, line STRUCT<sku: STRING, count: INT>, either STRUCT<member0: INT, member1: STRING>, \
               next STRUCT<count: SMALLINT>";
    let decoded = decode(ddl, &[("avro_schema", ORDER)], &[bytes(WRITTEN)]);
    assert_eq!(reasons(&decoded), []);
    assert_eq!(
        json(&decoded.rows),
        [
            r#"{"id":300,"note":"héllo","price":-12.340,"at":"2026-03-01T12:00:00.005Z","tags":["a","bc"],"props":{"k":1.5},"state":"PAID","line":{"sku":"x","count":-3},"either":{"member1":"e"},"next":{"count":7}}"#
        ]
    );
}

#[test]
fn fields_that_nobody_reads_are_passed_over() {
    let decoded = decode("next STRUCT<sku: STRING>, AT BIGINT", &[("avro_schema", ORDER)], &[bytes(WRITTEN)]);
    assert_eq!(json(&decoded.rows), [r#"{"next":{"sku":"y"},"AT":1772366400005}"#]);
    let decoded = decode("comment STRING", &[("avro_schema", TREE)], &[bytes(TREE_WRITTEN)]);
    assert_eq!(json(&decoded.rows), [r#"{"comment":"ok"}"#], "behind a record within itself");
}

#[test]
fn a_bad_payload_costs_its_neighbours_nothing() {
    let good = || bytes(WRITTEN);
    let (cut, more) = (good()[..20].to_vec(), [good(), vec![0]].concat());
    let mut wrong_branch = good();
    wrong_branch[2] = 8;
    let payloads = [good(), cut.clone(), vec![], good(), more, wrong_branch, good()];
    let decoded = decode("id BIGINT, tags ARRAY<STRING>", &[("avro_schema", ORDER)], &payloads);
    assert_eq!(json(&decoded.rows), vec![r#"{"id":300,"tags":["a","bc"]}"#; 3]);
    let told: Vec<_> = decoded.rejects.iter().map(|reject| (reject.offset, reject.code)).collect();
    assert_eq!(told, [(11, "MALFORMED"), (12, "MALFORMED"), (14, "MALFORMED"), (15, "MALFORMED")]);
    assert_eq!(decoded.rejects[0].bytes, cut);
    assert!(decoded.rejects[2].reason.contains("1 bytes after the record"), "{}", decoded.rejects[2].reason);
    assert!(decoded.rejects[3].reason.contains("branch 4 of 2"), "{}", decoded.rejects[3].reason);
}

#[test]
fn a_value_that_does_not_fit_is_told_or_null() {
    let given = [("avro_schema", ORDER)];
    let decoded = decode("id TINYINT, note STRING", &given, &[bytes(WRITTEN)]);
    assert_eq!(reasons(&decoded), [(10, "WRONG_TYPE", "field 'id' is 300, which its column cannot hold")]);
    let decoded = decode("state BIGINT, id BIGINT", &given, &[bytes(WRITTEN)]);
    let why = "field 'state' is written as enum shop.State and cannot be read as bigint";
    assert_eq!(reasons(&decoded), [(10, "WRONG_TYPE", why)]);
    let decoded = decode("line STRUCT<sku: STRING NOT NULL, gone: INT NOT NULL>", &given, &[bytes(WRITTEN)]);
    assert_eq!(reasons(&decoded), [(10, "MISSING_FIELD", "field 'line.gone' is missing and must not be null")]);

    let given = [("avro_schema", ORDER), ("bad_fields", "null")];
    let decoded = decode("id TINYINT, state BIGINT, tags ARRAY<INT>, note STRING", &given, &[bytes(WRITTEN)]);
    assert_eq!(json(&decoded.rows), [r#"{"tags":[null,null],"note":"héllo"}"#]);
}

#[test]
fn a_single_object_is_checked_by_its_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let files = format!("{}, {}", file("tree.avsc", TREE), file("order.avsc", ORDER));
    let framed = |fingerprint: &str, body: &str| [vec![0xC3, 0x01], bytes(fingerprint), bytes(body)].concat();
    let tree: String = settings::fingerprint(TREE).unwrap().to_le_bytes().map(|byte| format!("{byte:02x}")).concat();
    let payloads = [
        framed(FINGERPRINT, WRITTEN),
        framed(&tree, TREE_WRITTEN),
        framed("0102030405060708", WRITTEN),
        bytes(WRITTEN),
    ];
    let given = [("avro_framing", "single-object"), ("avro_schema_file", files.as_str())];
    let decoded = decode("id BIGINT, note STRING", &given, &payloads);
    assert_eq!(json(&decoded.rows), [r#"{"id":300,"note":"héllo"}"#, r#"{"id":7}"#]);
    let told = reasons(&decoded);
    assert_eq!(told[0], (12, "UNKNOWN_SCHEMA", "no schema that was given has the fingerprint 0807060504030201"));
    assert_eq!(told[1].1, "MALFORMED");
    assert!(told[1].2.contains("it begins with D8 04 02 0C"), "{}", told[1].2);
}

/// Answers after so many failures; knows schema 1 and 2, and 3, which no one can read.
#[derive(Debug)]
struct Fake {
    failures: AtomicU32,
    asked: AtomicU32,
}

#[async_trait]
impl Schemas for Fake {
    async fn by_id(&self, id: u32) -> Result<Option<Arc<SchemaText>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let failed = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if failed.is_ok() {
            return Err(Error::new(Kind::Again, "the registry is away"));
        }
        let text = match id {
            1 => ORDER,
            2 => TREE,
            3 => "{",
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(SchemaText { kind: SchemaKind::Avro, text: text.into(), references: vec![] })))
    }

    async fn newest(&self, _: &str) -> Result<Option<(u32, Arc<SchemaText>)>> {
        Ok(None)
    }

    async fn register(&self, _: &str, _: &SchemaText) -> Result<u32> {
        Ok(9)
    }
}

fn confluent(id: u8, body: &str) -> Vec<u8> {
    [vec![0, 0, 0, 0, id], bytes(body)].concat()
}

fn of_registry(ddl: &str, failures: u32) -> (MessageDecoder, Arc<Fake>) {
    let fake = Arc::new(Fake { failures: AtomicU32::new(failures), asked: AtomicU32::new(0) });
    let reader = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},
        {"name":"remark","type":"string","aliases":["comment","note"],"default":"none"},
        {"name":"tags","type":{"type":"array","items":"string"},"default":["x","y"]},
        {"name":"line","type":["null",{"type":"record","name":"L","fields":[{"name":"sku","type":"string"},
            {"name":"size","type":"int","default":5}]}],"default":null}]}"#;
    let pauses = Pauses { unknown: Duration::ZERO, away: Duration::ZERO };
    let mut settings = Settings::of(&options(&[("avro_schema", reader)])).unwrap();
    settings.framing = settings::AvroFraming::Confluent;
    let registered = Some(Registered::new(fake.clone(), 2, pauses));
    (MessageDecoder::new(Arc::new(types::parse_schema(ddl).unwrap()), settings, registered).unwrap(), fake)
}

#[tokio::test]
async fn many_writers_in_one_batch_each_by_its_schema() {
    let ddl = "id BIGINT NOT NULL, remark STRING, tags ARRAY<STRING>, line STRUCT<sku: STRING, size: INT>";
    let (decoder, fake) = of_registry(ddl, 3);
    let payloads = [
        confluent(2, TREE_WRITTEN),
        confluent(1, WRITTEN),
        confluent(3, WRITTEN),
        confluent(4, WRITTEN),
        vec![1, 0, 0, 0, 1],
        confluent(2, TREE_WRITTEN),
    ];
    let chunk = chunk(&payloads);
    decoder.prepare(std::slice::from_ref(&chunk)).await.unwrap();
    let decoded = decoder.decode(&chunk).unwrap();
    let tree = r#"{"id":7,"remark":"ok","tags":["x","y"]}"#;
    let order = r#"{"id":300,"remark":"héllo","tags":["a","bc"],"line":{"sku":"x","size":5}}"#;
    assert_eq!(json(&decoded.rows), [tree, order, tree]);
    let told: Vec<_> = decoded.rejects.iter().map(|reject| (reject.offset, reject.code)).collect();
    assert_eq!(told, [(12, "UNKNOWN_SCHEMA"), (13, "UNKNOWN_SCHEMA"), (14, "MALFORMED")]);
    assert_eq!(decoded.rejects[1].reason, "the registry has no schema 4");

    let asked = fake.asked.swap(0, Ordering::SeqCst);
    assert_eq!(asked, 9, "three failures, four schemas, and the unknown one twice more");
    decoder.prepare(std::slice::from_ref(&chunk)).await.unwrap();
    assert_eq!(fake.asked.load(Ordering::SeqCst), 1, "only the unknown one, once");
}

#[tokio::test]
async fn a_registry_that_stays_away_stops_the_query_and_rejects_nothing() {
    let (decoder, _) = of_registry("id BIGINT", u32::MAX);
    let error = decoder.prepare(&[chunk(&[confluent(1, WRITTEN)])]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Again);
}

#[tokio::test]
async fn rows_are_written_as_they_are_read_with_each_framing() {
    let folder = tempfile::tempdir().unwrap();
    let registry = folder.path().join("schemas");
    let ddl = "id BIGINT NOT NULL, note STRING, price DECIMAL(6,2), at TIMESTAMP, day DATE, small TINYINT, tags ARRAY<STRING>, \
               props MAP<STRING, DOUBLE>, line STRUCT<sku: STRING, count: INT>, data BINARY, yes BOOLEAN, f FLOAT";
    let schema = Arc::new(types::parse_schema(ddl).unwrap());
    let lines = "{\"id\":1,\"note\":\"é\",\"price\":-12.34,\"at\":\"2026-03-01T12:00:00.000005Z\",\"day\":\"2026-03-01\",\
                 \"small\":-5,\"tags\":[\"a\",null],\"props\":{\"k\":1.5},\"line\":{\"sku\":\"x\"},\"data\":\"AQI=\",\"yes\":true,\
                 \"f\":0.5}\n{\"id\":2}\n";
    let body = Body::Stream { bytes: lines.into(), at: 0 };
    let rows = Json.decoder(schema.clone(), &Options::default()).unwrap();
    let rows = rows.decode(&Chunk { split: "in".into(), body }).unwrap().rows;
    for framing in ["none", "single-object", "confluent"] {
        let written = crate::schema_registry::arrow_to_avro(&schema, "r").unwrap();
        let mut given = vec![("avro_framing", framing), ("avro_record_name", "r")];
        if framing == "confluent" {
            given.extend([("schema_registry", registry.to_str().unwrap()), ("avro_subject", "out-value")]);
        } else {
            given.push(("avro_schema", &written));
        }
        let registry = tidemill_core::describe::OptionSpec::new(
            "schema_registry",
            tidemill_core::describe::OptionKind::Location,
            "of every table",
        );
        let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
        let options = Options::check("table", &[settings::OPTIONS, &[registry]], &given).unwrap();
        let encoder = Avro.encoder(schema.clone(), &options).unwrap().unwrap();
        encoder.prepare().await.unwrap();
        let mut payloads = Payloads::default();
        encoder.encode(&rows, &mut payloads).unwrap();
        let chunk = chunk(&payloads.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
        let decoder = Avro.decoder(schema.clone(), &options).unwrap();
        decoder.prepare(std::slice::from_ref(&chunk)).await.unwrap();
        let decoded = decoder.decode(&chunk).unwrap();
        assert_eq!(reasons(&decoded), []);
        assert_eq!(json(&decoded.rows), json(&rows), "{framing}");
    }
}

#[test]
fn a_schema_that_the_columns_do_not_fit_is_refused() {
    let refused = |ddl: &str, schema: &str| {
        let columns = Arc::new(types::parse_schema(ddl).unwrap());
        Avro.encoder(columns, &options(&[("avro_schema", schema)])).err().unwrap().to_string()
    };
    let one = |of: &str| format!(r#"{{"type":"record","name":"r","fields":[{{"name":"id","type":{of}}}]}}"#);
    assert_eq!(refused("id STRING", &one("\"long\"")), "column 'id' is string, which the Avro schema has as long");
    assert_eq!(
        refused("id BIGINT, more STRING", &one("\"long\"")),
        "the Avro schema has no field for the column 'more'"
    );
    assert_eq!(
        refused("more STRING", &one("\"long\"")),
        "the Avro schema has a field 'id', and there is no such column"
    );
    let columns = Arc::new(types::parse_schema("id STRING").unwrap());
    let schema = one(r#"{"type":"enum","name":"e","symbols":["A"]}"#);
    let encoder = Avro.encoder(columns.clone(), &options(&[("avro_schema", &schema)])).unwrap().unwrap();
    let rows = |text: Option<&str>| {
        let column = Arc::new(arrow::array::StringArray::from(vec![text]));
        RecordBatch::try_new(columns.clone(), vec![column]).unwrap()
    };
    for (text, why) in [(Some("B"), "column 'id' is 'B' in a row"), (None, "column 'id' is NULL in a row")] {
        let error = encoder.encode(&rows(text), &mut Payloads::default()).unwrap_err();
        assert_eq!((error.kind(), error.to_string().starts_with(why)), (Kind::Data, true), "{error}");
    }
}
