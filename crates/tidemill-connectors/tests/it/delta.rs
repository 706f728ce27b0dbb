//! Delta tables on a local disk: read back through the library, replays, foreign writers, crashes.

use crate::support::{batch, payloads, schema, sink, sink_request};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use deltalake::datafusion::prelude::SessionContext;
use deltalake::kernel::Transaction;
use deltalake::kernel::transaction::CommitProperties;
use deltalake::protocol::SaveMode as DeltaSaveMode;
use deltalake::{DeltaTable, DeltaTableBuilder};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidemill_connectors::delta::{DeltaSinkConnector, SaveMode, TableWrite, Written, write_table};
use tidemill_core::sink::{Marker, OutputMode, Sink, SinkConnector};
use tidemill_core::types::parse_schema;
use tidemill_core::{Epoch, Incarnation, Kind, Result, SystemClock};

async fn open(path: &Path, incarnation: &str, extra: &[(&str, &str)]) -> Result<Box<dyn Sink>> {
    let mut given = vec![("path", path.to_str().unwrap())];
    given.extend_from_slice(extra);
    sink(&DeltaSinkConnector::default(), &given, incarnation).await
}

async fn table(path: &Path) -> DeltaTable {
    let url = url::Url::from_directory_path(path).unwrap();
    DeltaTableBuilder::from_url(url).unwrap().load().await.unwrap()
}

async fn query(path: &Path, sql: &str) -> Vec<RecordBatch> {
    let context = SessionContext::new();
    context.register_table("t", table(path).await.table_provider().await.unwrap()).unwrap();
    context.sql(sql).await.unwrap().collect().await.unwrap()
}

/// Number of rows, and the distinct rows as `id:name`.
async fn rows(path: &Path) -> (usize, BTreeSet<String>) {
    let batches = query(path, "SELECT id, CAST(name AS STRING) AS name FROM t").await;
    let mut all = Vec::new();
    for batch in batches {
        let names = arrow::compute::cast(batch.column(1), &arrow::datatypes::DataType::Utf8).unwrap();
        let (ids, names) = (batch.column(0).as_primitive::<Int64Type>(), names.as_string::<i32>());
        all.extend((0..batch.num_rows()).map(|at| format!("{}:{}", ids.value(at), names.value(at))));
    }
    (all.len(), all.into_iter().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn epochs_append_and_a_restart_knows_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/table");
    let mut sink = open(&path, "one", &[]).await.unwrap();
    assert_eq!(sink.marker().await.unwrap(), Marker::Absent);
    sink.commit(Epoch(0), &[batch(0..10), batch(10..20)]).await.unwrap();
    sink.commit(Epoch(1), &[]).await.unwrap();
    sink.commit(Epoch(2), &[batch(20..30)]).await.unwrap();
    assert_eq!(sink.marker().await.unwrap(), Marker::At(Epoch(2)));
    assert_eq!(rows(&path).await, (30, payloads(0..30)));
    let state = table(&path).await;
    let known = state.snapshot().unwrap().transaction_version(state.log_store().as_ref(), "tidemill/q/s/one").await;
    assert_eq!((state.version(), known.unwrap()), (Some(3), Some(2)));

    let mut again = open(&path, "one", &[]).await.unwrap();
    assert_eq!(again.marker().await.unwrap(), Marker::At(Epoch(2)));
    again.commit(Epoch(2), &[batch(20..30)]).await.unwrap();
    assert_eq!(rows(&path).await, (30, payloads(0..30)), "a replayed epoch is not written again");
    let mut other = open(&path, "two", &[]).await.unwrap();
    assert_eq!(other.marker().await.unwrap(), Marker::Foreign(Incarnation("one".into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn complete_replaces_everything_in_one_version() {
    let folder = tempfile::tempdir().unwrap();
    let connector = DeltaSinkConnector::default();
    let given = [("path", folder.path().to_str().unwrap())];
    let request = sink_request(&connector, &given, "one", OutputMode::Complete).unwrap();
    let mut first = connector.open(request.clone()).await.unwrap();
    for epoch in 0..3 {
        first.commit(Epoch(epoch), &[batch(0..10 + epoch as i64)]).await.unwrap();
    }
    assert_eq!(rows(folder.path()).await, (12, payloads(0..12)));
    let foreign = table(folder.path()).await;
    foreign.write(vec![batch(100..101)]).with_save_mode(DeltaSaveMode::Append).await.unwrap();
    assert_eq!(rows(folder.path()).await.0, 13);
    first.commit(Epoch(3), &[batch(0..5)]).await.unwrap();
    assert_eq!(rows(folder.path()).await, (5, payloads(0..5)), "the foreign row is replaced too");
    drop(first);
    let mut again = connector.open(request).await.unwrap();
    again.commit(Epoch(4), &[batch(7..8)]).await.unwrap();
    assert_eq!(rows(folder.path()).await, (1, payloads(7..8)));
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_writers_take_versions_and_nothing_is_lost_or_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open(folder.path(), "one", &[]).await.unwrap();
    for epoch in 0..20 {
        let from = epoch as i64 * 10;
        let foreign = table(folder.path()).await;
        foreign.write(vec![batch(from + 1_000..from + 1_010)]).with_save_mode(DeltaSaveMode::Append).await.unwrap();
        sink.commit(Epoch(epoch), &[batch(from..from + 10)]).await.unwrap();
    }
    let expected: BTreeSet<_> = payloads((0..200).chain(1_000..1_200));
    assert_eq!(rows(folder.path()).await, (400, expected));
    assert_eq!(table(folder.path()).await.version(), Some(40));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twin_that_wrote_the_epoch_first_is_believed_and_one_ahead_fences() {
    let folder = tempfile::tempdir().unwrap();
    let mut zombie = open(folder.path(), "one", &[]).await.unwrap();
    zombie.commit(Epoch(0), &[batch(0..5)]).await.unwrap();
    let mut heir = open(folder.path(), "one", &[]).await.unwrap();
    heir.commit(Epoch(1), &[batch(5..10)]).await.unwrap();
    zombie.commit(Epoch(1), &[batch(5..10)]).await.unwrap();
    assert_eq!(rows(folder.path()).await, (10, payloads(0..10)));
    heir.commit(Epoch(2), &[batch(10..15)]).await.unwrap();
    heir.commit(Epoch(3), &[batch(15..20)]).await.unwrap();
    let error = zombie.commit(Epoch(2), &[batch(10..15)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Fenced, "{error}");
    assert_eq!(rows(folder.path()).await, (20, payloads(0..20)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_files_and_commit_leaves_only_litter() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open(folder.path(), "one", &[]).await.unwrap();
    sink.commit(Epoch(0), &[batch(0..5)]).await.unwrap();
    sink.commit(Epoch(1), &[batch(5..10)]).await.unwrap();
    drop(sink);
    // what is there when the process died just before the commit file got its name
    std::fs::remove_file(folder.path().join("_delta_log/00000000000000000002.json")).unwrap();
    std::fs::write(folder.path().join("_delta_log/.00000000000000000002.json.torn"), b"{\"add\":").unwrap();
    let mut again = open(folder.path(), "one", &[]).await.unwrap();
    assert_eq!(again.marker().await.unwrap(), Marker::At(Epoch(0)));
    assert_eq!(rows(folder.path()).await, (5, payloads(0..5)));
    again.commit(Epoch(1), &[batch(5..10)]).await.unwrap();
    assert_eq!(rows(folder.path()).await, (10, payloads(0..10)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_incarnation_is_found_in_a_checkpoint_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open(folder.path(), "one", &[]).await.unwrap();
    sink.commit(Epoch(0), &[batch(0..5)]).await.unwrap();
    drop(sink);
    deltalake::checkpoints::create_checkpoint(&table(folder.path()).await, None).await.unwrap();
    for version in 0..2 {
        std::fs::remove_file(folder.path().join(format!("_delta_log/{version:020}.json"))).unwrap();
    }
    let mut other = open(folder.path(), "two", &[]).await.unwrap();
    assert_eq!(other.marker().await.unwrap(), Marker::Foreign(Incarnation("one".into())));
    other.commit(Epoch(0), &[batch(5..6)]).await.unwrap();
    assert_eq!(other.marker().await.unwrap(), Marker::At(Epoch(0)));
    assert_eq!(open(folder.path(), "one", &[]).await.unwrap().marker().await.unwrap(), Marker::At(Epoch(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cost_of_a_commit_does_not_grow() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open(folder.path(), "one", &[]).await.unwrap();
    let mut took = Vec::new();
    for epoch in 0..230_u64 {
        let begun = Instant::now();
        sink.commit(Epoch(epoch), &[batch(epoch as i64..epoch as i64 + 1)]).await.unwrap();
        took.push(begun.elapsed());
    }
    let median = |part: &[Duration]| {
        let mut sorted = part.to_vec();
        sorted.sort();
        sorted[sorted.len() / 2]
    };
    let (first, last) = (median(&took[..50]), median(&took[180..]));
    eprintln!("a commit: median of the first 50 {first:?}, of the last 50 {last:?}, with a checkpoint {:?}", took[198]);
    assert!(last < first * 4 + Duration::from_millis(20), "{first:?} became {last:?}");
    let log = folder.path().join("_delta_log");
    assert!(log.join("_last_checkpoint").exists() && log.join(format!("{:020}.checkpoint.parquet", 199)).exists());
    assert_eq!(rows(folder.path()).await, (230, payloads(0..230)));
}

fn every_type() -> (SchemaRef, RecordBatch) {
    let ddl = "day date, kind string, id bigint, ok boolean, price decimal(10,2), at timestamp, wall timestamp_ntz, \
               tags array<string>, attrs map<string,int>, place struct<city:string,zip:int>";
    let schema = Arc::new(parse_schema(ddl).unwrap());
    let lines = r#"{"day":"2024-01-31","kind":"a/b c","id":1,"ok":true,"price":"1.25","at":"2024-01-31T10:00:00Z","wall":"2024-01-31T10:00:00","tags":["x",null],"attrs":{"k":1},"place":{"city":"Oslo","zip":150}}
{"day":"2024-02-01","kind":null,"id":2,"ok":null,"price":null,"at":null,"wall":null,"tags":null,"attrs":null,"place":null}"#;
    let mut reader = arrow::json::ReaderBuilder::new(schema.clone()).build(lines.as_bytes()).unwrap();
    (schema, reader.next().unwrap().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_and_partitions_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let (schema, rows) = every_type();
    let connector = DeltaSinkConnector::default();
    let given = [("path", folder.path().to_str().unwrap()), ("partition_by", "DAY, kind")];
    let mut request = sink_request(&connector, &given, "one", OutputMode::Append).unwrap();
    request.schema = schema;
    let mut sink = connector.open(request).await.unwrap();
    sink.commit(Epoch(0), &[rows]).await.unwrap();
    assert!(folder.path().join("day=2024-01-31/kind=a%2Fb%20c").is_dir());
    let back = query(folder.path(), "SELECT * FROM t ORDER BY id").await;
    let printed = arrow::util::pretty::pretty_format_batches(&back).unwrap().to_string();
    for cell in ["2024-01-31", "a/b c", "1.25", "2024-01-31T10:00:00Z", "[x, ]", "{k: 1}", "{city: Oslo, zip: 150}"] {
        assert!(printed.contains(cell), "{cell} is not in\n{printed}");
    }
    let of_day = query(folder.path(), "SELECT id FROM t WHERE day = DATE '2024-02-01' AND kind IS NULL").await;
    assert_eq!(of_day.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    let other = [("path", folder.path().to_str().unwrap()), ("partition_by", "kind")];
    let mut request = sink_request(&connector, &other, "one", OutputMode::Append).unwrap();
    request.schema = every_type().0;
    assert!(connector.open(request).await.map(|_| ()).unwrap_err().to_string().contains("partitioned by [day, kind]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_or_cannot_be_written_says_why() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path(), "one", &[]).await.unwrap());
    let connector = DeltaSinkConnector::default();
    let mut request =
        sink_request(&connector, &[("path", folder.path().to_str().unwrap())], "one", OutputMode::Append).unwrap();
    request.schema = Arc::new(parse_schema("id string, name string").unwrap());
    let error = connector.open(request).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("column 'id' is bigint") && error.to_string().contains("string in the rows"));

    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let error = open(&file.join("table"), "one", &[]).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Io);
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    let error = open(&folder.path().join("p"), "one", &[("partition_by", "nam")]).await.map(|_| ()).unwrap_err();
    assert!(error.report().contains("did you mean 'name'?"), "{}", error.report());
    let error = sink(&connector, &[("path", "gopher://x/y")], "one").await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{}", error.report());

    let strict = folder.path().join("strict");
    drop(open(&strict, "one", &[]).await.unwrap());
    let properties = HashMap::from([("delta.appendOnly".to_owned(), "true".to_owned())]);
    table(&strict).await.set_tbl_properties().with_properties(properties).await.unwrap();
    let mut request =
        sink_request(&connector, &[("path", strict.to_str().unwrap())], "one", OutputMode::Complete).unwrap();
    request.schema = schema();
    let mut sink = connector.open(request).await.unwrap();
    sink.commit(Epoch(0), &[batch(0..1)]).await.unwrap();
    let error = sink.commit(Epoch(1), &[batch(0..1)]).await.unwrap_err();
    assert!(error.report().contains("do not allow this write"), "{}", error.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_write_has_sparks_modes_and_is_idempotent_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    let (place, clock, schema) = (path.to_str().unwrap(), SystemClock::new(), schema());
    let write =
        |mode, transaction| TableWrite { path: place, mode, partition_by: &[], storage: HashMap::new(), transaction };
    let append = write(SaveMode::Append, Some(("job", 7)));
    assert_eq!(write_table(&append, &schema, &[batch(0..5)], &clock).await.unwrap(), Written::Version(1));
    assert_eq!(write_table(&append, &schema, &[batch(0..5)], &clock).await.unwrap(), Written::Nothing);
    let plain = write(SaveMode::Append, None);
    assert_eq!(write_table(&plain, &schema, &[batch(5..6)], &clock).await.unwrap(), Written::Version(2));
    assert_eq!(rows(&path).await, (6, payloads(0..6)));
    let ignore = write(SaveMode::Ignore, None);
    assert_eq!(write_table(&ignore, &schema, &[batch(9..10)], &clock).await.unwrap(), Written::Nothing);
    let strict = write(SaveMode::ErrorIfExists, None);
    let error = write_table(&strict, &schema, &[batch(9..10)], &clock).await.unwrap_err();
    assert_eq!(error.error_class(), Some("DELTA_PATH_EXISTS"));
    let overwrite = write(SaveMode::Overwrite, None);
    assert_eq!(write_table(&overwrite, &schema, &[batch(9..10)], &clock).await.unwrap(), Written::Version(3));
    assert_eq!(rows(&path).await, (1, payloads(9..10)));
}

/// The library's own writer and ours see each other's transactions as the same thing.
#[tokio::test(flavor = "multi_thread")]
async fn the_librarys_transactions_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open(folder.path(), "one", &[]).await.unwrap();
    let mark = CommitProperties::default().with_application_transaction(Transaction::new("tidemill/q/s/one", 4));
    table(folder.path()).await.write(vec![batch(0..3)]).with_commit_properties(mark).await.unwrap();
    assert_eq!(sink.marker().await.unwrap(), Marker::At(Epoch(4)));
}
