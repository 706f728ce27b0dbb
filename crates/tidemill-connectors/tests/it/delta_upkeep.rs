//! Delta tables that are merged into, compacted, widened and vacuumed while others write to them too.

use crate::support::{batch, payloads, schema, sink_request};
use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Int64Type, SchemaRef};
use deltalake::datafusion::prelude::{SessionContext, col, lit};
use deltalake::protocol::SaveMode;
use deltalake::{DeltaTable, DeltaTableBuilder};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tidemill_connectors::delta::DeltaSinkConnector;
use tidemill_core::sink::{OutputMode, Sink, SinkConnector};
use tidemill_core::types::parse_schema;
use tidemill_core::{Epoch, Error, Result};

async fn open_as(path: &Path, mode: OutputMode, schema: SchemaRef, extra: &[(&str, &str)]) -> Result<Box<dyn Sink>> {
    let connector = DeltaSinkConnector::default();
    let mut given = vec![("path", path.to_str().unwrap())];
    given.extend_from_slice(extra);
    let mut request = sink_request(&connector, &given, "one", mode)?;
    request.schema = schema;
    connector.open(request).await
}

async fn refused(path: &Path, mode: OutputMode, schema: SchemaRef, extra: &[(&str, &str)]) -> Error {
    open_as(path, mode, schema, extra).await.map(|_| ()).unwrap_err()
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

/// Every row as `id -> name`; fails when an id is there twice.
async fn by_id(path: &Path) -> BTreeMap<i64, String> {
    let mut all = BTreeMap::new();
    for rows in query(path, "SELECT id, CAST(name AS STRING) AS name FROM t").await {
        let names = arrow::compute::cast(rows.column(1), &arrow::datatypes::DataType::Utf8).unwrap();
        let (ids, names) = (rows.column(0).as_primitive::<Int64Type>(), names.as_string::<i32>());
        for at in 0..rows.num_rows() {
            let name = if names.is_valid(at) { names.value(at) } else { "null" };
            assert_eq!(all.insert(ids.value(at), name.to_owned()), None, "id {} is there twice", ids.value(at));
        }
    }
    all
}

fn named(rows: impl IntoIterator<Item = (i64, String)>) -> RecordBatch {
    let (ids, names): (Vec<i64>, Vec<String>) = rows.into_iter().unzip();
    let columns: Vec<Arc<dyn Array>> = vec![Arc::new(Int64Array::from(ids)), Arc::new(StringArray::from(names))];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn files(table: &DeltaTable) -> usize {
    table.snapshot().unwrap().log_data().num_files()
}

/// Commits of the log by their operation.
fn operations(path: &Path) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(path.join("_delta_log")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(&path).unwrap();
            let info: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
            let operation = info["commitInfo"]["operation"].as_str().unwrap().to_owned();
            *found.entry(operation).or_default() += 1;
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_of_many_epochs_stay_few() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let extra = [("auto_compact_min_files", "10"), ("delta.checkpointInterval", "50")];
    let mut sink = open_as(path, OutputMode::Append, schema(), &extra).await.unwrap();
    let mut most = 0;
    for epoch in 0..300_u64 {
        sink.commit(Epoch(epoch), &[batch(epoch as i64..epoch as i64 + 1)]).await.unwrap();
        if epoch % 60 == 59 {
            // a writer of another process takes the next version
            let id = 1_000 + epoch as i64;
            table(path).await.write(vec![batch(id..id + 1)]).with_save_mode(SaveMode::Append).await.unwrap();
            most = most.max(files(&table(path).await));
        }
    }
    assert!(most <= 60, "{most} files");
    let expected = payloads((0..300).chain([1_059, 1_119, 1_179, 1_239, 1_299]));
    let found: Vec<String> = by_id(path).await.into_iter().map(|(id, name)| format!("{id}:{name}")).collect();
    assert_eq!(found.into_iter().collect::<std::collections::BTreeSet<_>>(), expected);
    assert!(operations(path)["OPTIMIZE"] >= 5, "{:?}", operations(path));
    assert!(path.join("_delta_log/_last_checkpoint").exists());
    let state = table(path).await;
    let held = state.snapshot().unwrap().transaction_version(state.log_store().as_ref(), "tidemill/q/s/one").await;
    assert_eq!(held.unwrap(), Some(299));
}

/// Epochs of random-looking keys, with another process that appends, deletes and optimizes: what is there
/// is what a map would hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_keeps_one_row_a_key_whatever_others_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let extra = [("merge_keys", "ID"), ("auto_compact_min_files", "8")];
    let mut sink = open_as(path, OutputMode::Update, schema(), &extra).await.unwrap();
    let mut expected = BTreeMap::new();
    for epoch in 0..60_u64 {
        let keys = (0..20_i64).map(|at| (epoch as i64 * 7 + at * at * 31) % 200);
        // the second row of a key in an epoch replaces the first
        let rows: Vec<_> = keys.flat_map(|key| [(key, "first".to_owned()), (key, format!("e{epoch}"))]).collect();
        expected.extend(rows.iter().cloned());
        sink.commit(Epoch(epoch), &[named(rows[..15].to_vec()), named(rows[15..].to_vec())]).await.unwrap();
        match epoch % 15 {
            4 => {
                let id = 10_000 + epoch as i64;
                table(path).await.write(vec![batch(id..id + 1)]).with_save_mode(SaveMode::Append).await.unwrap();
                expected.insert(id, format!("n{}", id % 10));
            }
            8 => {
                table(path).await.delete().with_predicate(col("id").lt(lit(20_i64))).await.unwrap();
                expected.retain(|id, _| *id >= 20);
            }
            12 => {
                table(path).await.optimize().await.unwrap();
            }
            _ => {}
        }
        if epoch % 20 == 19 {
            // a new process, which knows nothing of the files
            sink = open_as(path, OutputMode::Update, schema(), &extra).await.unwrap();
        }
    }
    assert_eq!(by_id(path).await, expected);
    assert_eq!(operations(path)["MERGE"], 60, "one commit an epoch");
    sink.commit(Epoch(59), &[named([(1, "again".to_owned())])]).await.unwrap();
    assert_eq!(by_id(path).await, expected, "a replayed epoch is not merged again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_touches_no_file_without_its_keys_and_moves_rows_between_partitions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let extra = [("primary_key", "id"), ("partition_by", "name"), ("auto_compact_min_files", "0")];
    let mut sink = open_as(path, OutputMode::Update, schema(), &extra).await.unwrap();
    sink.commit(Epoch(0), &[named((0..10).map(|id| (id, "low".into())))]).await.unwrap();
    sink.commit(Epoch(1), &[named((10..20).map(|id| (id, "high".into())))]).await.unwrap();
    let before: Vec<String> = table(path).await.get_file_uris().unwrap().collect();
    sink.commit(Epoch(2), &[named([(3, "high".into()), (30, "high".into())])]).await.unwrap();
    let after: Vec<String> = table(path).await.get_file_uris().unwrap().collect();
    let high = before.iter().find(|file| file.contains("name=high")).unwrap();
    assert!(after.contains(high), "the file of keys 10 to 19 stays as it is");
    let found = by_id(path).await;
    assert_eq!((found.len(), found[&3].as_str(), found[&4].as_str()), (21, "high", "low"));
    let error = refused(path, OutputMode::Update, schema(), &[]).await;
    assert!(error.report().contains("needs option 'primary_key' in update mode"), "{}", error.report());
    let error = refused(path, OutputMode::Update, schema(), &[("primary_key", "nam")]).await;
    assert!(error.report().contains("did you mean 'name'?"), "{}", error.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_added_and_widened_when_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ddl = |text: &str| Arc::new(parse_schema(text).unwrap());
    let row = |schema: &SchemaRef, json: &str| {
        let mut reader = arrow::json::ReaderBuilder::new(schema.clone()).build(json.as_bytes()).unwrap();
        reader.next().unwrap().unwrap()
    };
    let narrow = ddl("id bigint, n smallint, p struct<a:int>");
    let mut sink = open_as(path, OutputMode::Append, narrow.clone(), &[]).await.unwrap();
    sink.commit(Epoch(0), &[row(&narrow, r#"{"id":1,"n":7,"p":{"a":1}}"#)]).await.unwrap();
    let wide = ddl("id bigint, n int, p struct<a:int,b:string>, note string");
    let error = refused(path, OutputMode::Append, wide.clone(), &[]).await;
    assert!(error.to_string().contains("column 'n' is smallint"), "{error}");
    let asked = [("mergeSchema", "true"), ("primary_key", "id")];
    let mut wider = open_as(path, OutputMode::Append, wide.clone(), &asked).await.unwrap();
    let content = r#"{"id":2,"n":70000,"p":{"a":2,"b":"x"},"note":"new"}"#;
    wider.commit(Epoch(1), &[row(&wide, content)]).await.unwrap();
    // the narrow writer finds the table changed, and goes on
    sink.commit(Epoch(2), &[row(&narrow, r#"{"id":3,"n":9,"p":{"a":3}}"#)]).await.unwrap();
    // a row of before the change is merged with one of after
    wider = open_as(path, OutputMode::Append, wide.clone(), &asked).await.unwrap();
    wider.commit(Epoch(3), &[row(&wide, r#"{"id":1,"n":70001,"p":{"a":1,"b":"y"},"note":"changed"}"#)]).await.unwrap();
    let back = query(path, "SELECT id, n, p, note FROM t ORDER BY id").await;
    let printed = arrow::util::pretty::pretty_format_batches(&back).unwrap().to_string();
    for line in [
        "| 1  | 70001 | {a: 1, b: y} | changed |",
        "| 2  | 70000 | {a: 2, b: x} | new     |",
        "| 3  | 9     | {a: 3, b: }  |         |",
    ] {
        assert!(printed.contains(line), "{line} is not in\n{printed}");
    }
    let error = refused(path, OutputMode::Append, ddl("id string"), &asked).await;
    assert!(error.to_string().contains("cannot change the one into the other in place"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_killed_epochs_are_deleted_once_they_are_old() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut sink = open_as(path, OutputMode::Append, schema(), &[]).await.unwrap();
    sink.commit(Epoch(0), &[batch(0..5)]).await.unwrap();
    drop(sink);
    let live: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    let live = live.iter().find(|path| path.extension().is_some_and(|extension| extension == "parquet")).unwrap();
    let (old, young) =
        (path.join("part-00000-old-c000.snappy.parquet"), path.join("part-00000-young-c000.snappy.parquet"));
    for file in [&old, &young] {
        std::fs::copy(live, file).unwrap();
    }
    let long_ago = SystemTime::now() - Duration::from_secs(9 * 86_400);
    for file in [&old, live] {
        File::options().write(true).open(file).unwrap().set_modified(long_ago).unwrap();
    }
    let error = refused(path, OutputMode::Append, schema(), &[("vacuum_retention", "1 hour")]).await;
    assert!(error.report().contains("less than the 604800 seconds"), "{}", error.report());
    let mut sink = open_as(path, OutputMode::Append, schema(), &[("vacuum_retention", "7 days")]).await.unwrap();
    sink.commit(Epoch(1), &[batch(5..6)]).await.unwrap();
    let begun = Instant::now();
    while old.exists() && begun.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!old.exists() && young.exists() && live.exists());
    assert_eq!(by_id(path).await.len(), 6);
}

/// The long form, for figures: `cargo test --test it -- --ignored --nocapture ten_thousand_epochs`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; prints figures"]
async fn ten_thousand_epochs() {
    for (mode, key) in [(OutputMode::Append, None), (OutputMode::Update, Some("id"))] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let extra: Vec<_> = key.map(|key| ("primary_key", key)).into_iter().collect();
        let mut sink = open_as(path, mode, schema(), &extra).await.unwrap();
        let (mut took, mut most) = (Vec::new(), 0);
        for epoch in 0..10_000_u64 {
            // ten rows, half of them new keys and half of the epoch before
            let from = epoch as i64 * 5;
            let begun = Instant::now();
            sink.commit(Epoch(epoch), &[batch(from..from + 10)]).await.unwrap();
            took.push(begun.elapsed().as_secs_f64() * 1e3);
            if epoch % 1_000 == 997 {
                let (table, part) = (table(path).await, &took[took.len() - 100..]);
                most = most.max(files(&table));
                let mean = part.iter().sum::<f64>() / 100.0;
                eprintln!("{mode:?} {epoch:5}: mean of 100 {mean:.2} ms, {} files", files(&table));
            }
        }
        let sum = |part: &[f64]| part.iter().sum::<f64>();
        let median = |part: &[f64]| {
            let mut sorted = part.to_vec();
            sorted.sort_by(f64::total_cmp);
            sorted[sorted.len() / 2]
        };
        let (first, last) = (&took[..100], &took[9_900..]);
        eprintln!(
            "{mode:?}: first hundred {:.0} ms (median {:.2}), last hundred {:.0} ms (median {:.2}), ratio {:.2}, at most {most} files",
            sum(first),
            median(first),
            sum(last),
            median(last),
            sum(last) / sum(first)
        );
        let rows = query(path, "SELECT id FROM t").await.iter().map(RecordBatch::num_rows).sum::<usize>();
        assert_eq!(rows, if key.is_some() { 50_005 } else { 100_000 });
        assert!(most <= 250, "{most} files");
    }
}
