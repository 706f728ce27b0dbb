//! The files sink on an object store, and what it writes that is not Parquet.

use super::*;
use crate::files::manifest::Log;
use crate::format::avro::Avro;
use crate::format::csv::Csv;
use arrow::array::{ArrayRef, Int64Array, StringArray};
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use std::path::Path;
use tempfile::TempDir;
use tidemill_core::format::{Decoded, Format};
use tidemill_core::options::GivenOption;
use tidemill_core::sink::{OutputMode, Writer};
use tidemill_core::source::{Body, Chunk};
use tidemill_core::types::parse_schema;
use tidemill_core::{Incarnation, Kind};

fn request(path: &str, format: Option<Arc<dyn Format>>, given: &[(&str, &str)]) -> SinkRequest {
    let given: Vec<_> =
        [&("path", path)].into_iter().chain(given).map(|(key, value)| GivenOption::new(*key, *value)).collect();
    let of_format = format.as_ref().map_or(&[] as &[OptionSpec], |format| format.describe().options);
    SinkRequest {
        table: "out".into(),
        schema: Arc::new(parse_schema("n BIGINT, day STRING").unwrap()),
        mode: OutputMode::Append,
        options: Options::check("sink 'files'", &[DESCRIPTION.options, of_format], &given).unwrap(),
        format,
        writer: Writer { query: "q".into(), sink: "s".into(), incarnation: Incarnation("11111111-aaaa".into()) },
    }
}

fn rows(numbers: std::ops::Range<i64>) -> Vec<RecordBatch> {
    let schema = Arc::new(parse_schema("n BIGINT, day STRING").unwrap());
    let days = StringArray::from_iter_values(numbers.clone().map(|number| format!("d{}", number % 2)));
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(numbers)), Arc::new(days)];
    vec![RecordBatch::try_new(schema, columns).unwrap()]
}

/// Works on a folder of a store, on a thread that may block.
async fn on_store<T: Send + 'static>(
    store: &Arc<InMemory>,
    work: impl FnOnce(Place) -> Result<T> + Send + 'static,
) -> Result<T> {
    let objects = Objects::new(store.clone(), ObjectPath::from("a/out"), "s3://bucket/a/out");
    let place = Place::Store { objects, runtime: tokio::runtime::Handle::current() };
    blocking(move || work(place)).await
}

fn open(place: Place, given: &[(&str, &str)]) -> Result<Directory> {
    let request = request("unused", None, given);
    let partitioning = Partitioning::new(request.options.required("partition_by")?, &request.schema, "out")?;
    let contents = contents(&request)?;
    Directory::open(place, request, contents, partitioning, None)
}

#[tokio::test]
async fn a_store_is_published_to_by_manifest_and_a_twin_is_fenced() {
    let store = Arc::new(InMemory::new());
    on_store(&store, |place| {
        let mut first = open(place.clone(), &[("partition_by", "day")])?;
        let mut twin = open(place.clone(), &[("partition_by", "day")])?;
        first.commit(Epoch(0), &rows(0..4))?;
        assert_eq!(twin.commit(Epoch(0), &rows(0..4)).unwrap_err().kind(), Kind::Fenced);
        let names: Vec<String> = Log::open(place.clone())?.published.into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["day=d0/part-0-0-11111111.parquet", "day=d1/part-0-1-11111111.parquet"]);
        assert_eq!(open(place, &[("partition_by", "day")])?.marker()?, Marker::At(Epoch(0)));
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_a_killed_writer_left_in_a_store_is_removed_at_the_next_start() {
    let store = Arc::new(InMemory::new());
    on_store(&store, |place| {
        open(place.clone(), &[])?.commit(Epoch(0), &rows(0..1))?;
        for name in ["part-1-0-11111111.parquet", "part-1-0-22222222.parquet", "day=x/part-1-1-11111111.parquet"] {
            place.write(name, |file| file.write_all(b"half").map_err(|error| Error::io("", error)))?;
        }
        open(place.clone(), &[])?;
        assert_eq!(place.files()?, ["part-0-0-11111111.parquet", "part-1-0-22222222.parquet"], "another's is left");
        Ok(())
    })
    .await
    .unwrap();
}

/// Writes rows with a format and reads them back with it.
async fn there_and_back(format: Arc<dyn Format>, given: &[(&str, &str)]) -> Decoded {
    let root = TempDir::new().unwrap();
    let request = request(root.path().to_str().unwrap(), Some(format.clone()), given);
    let (schema, options) = (request.schema.clone(), request.options.clone());
    let mut sink = FilesSink::default().open(request).await.unwrap();
    sink.commit(Epoch(0), &rows(0..5)).await.unwrap();
    let name = format!("part-0-0-11111111.{}", format.describe().name);
    let bytes = std::fs::read(Path::new(root.path()).join(&name)).unwrap();
    let body = Body::Stream { bytes: bytes.into(), at: 0 };
    format.decoder(schema, &options).unwrap().decode(&Chunk { split: name.as_str().into(), body }).unwrap()
}

#[tokio::test]
async fn avro_and_csv_come_back_as_they_were_written() {
    for compression in ["none", "snappy", "zstd", "deflate"] {
        let read = there_and_back(Arc::new(Avro), &[("compression", compression)]).await;
        assert_eq!((&read.rows, read.rejects.len()), (&rows(0..5)[0], 0), "{compression}");
    }
    for header in ["true", "false"] {
        let read = there_and_back(Arc::new(Csv), &[("header", header)]).await;
        assert_eq!((&read.rows, read.rejects.len()), (&rows(0..5)[0], 0));
    }
}

#[tokio::test]
async fn a_compression_that_the_format_has_not_is_refused() {
    for (format, compression) in [(Arc::new(Avro) as Arc<dyn Format>, "lz4"), (Arc::new(Csv), "zstd")] {
        let root = TempDir::new().unwrap();
        let request = request(root.path().to_str().unwrap(), Some(format), &[("compression", compression)]);
        let error = FilesSink::default().open(request).await.err().unwrap();
        assert!(error.to_string().contains(&format!("with '{compression}'")), "{error}");
    }
}
