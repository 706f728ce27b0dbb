//! Feast's online store as a sink.

use super::entity::feature_field;
use super::protobuf;
use super::repo;
use super::rows::{FeatureRow, Layout};
use super::sqlite::Store;
use crate::redis::epoch::{Change, EpochWriter, Settings};
use crate::redis::options::{
    CLUSTER, COMMAND_TIMEOUT, CONNECT_TIMEOUT, DB, PASSWORD, REPLICAS_ACK, REPLICAS_TIMEOUT, RETRY_TIMEOUT,
    SCRIPT_ROWS, SENTINEL_MASTER, SENTINEL_PASSWORD, SSL_CA_LOCATION, URL, USERNAME, duration, target,
};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::retry::Vitals;
use tidemill_core::sink::{Marker, OutputMode, Sink, SinkConnector, SinkRequest, Writer};
use tidemill_core::{Epoch, Error, Kind, Options, Result, ResultExt as _};

static DESCRIPTION: Description = Description {
    name: "feast",
    role: Role::Sink,
    summary: "Features of entities in Feast's online store, on Redis or SQLite, as get_online_features reads them. Features \
              with a newer event timestamp stay.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        OptionSpec::new(
            "repo",
            OptionKind::Location,
            "folder with a feature_store.yaml, from which project and online store are taken; options given here count more",
        ),
        OptionSpec::new("project", OptionKind::Text, "Feast's project; needed without 'repo'"),
        OptionSpec::new("feature_view", OptionKind::Text, "the feature view").required(),
        OptionSpec::new(
            "entities",
            OptionKind::Text,
            "columns that are the view's join keys, with commas between; whole numbers are Feast's Int64 unless written \
             'name:int32'",
        )
        .required(),
        OptionSpec::new(
            "event_timestamp",
            OptionKind::Text,
            "the timestamp or window column that tells when the features were true; of a window its end",
        )
        .aliases(&["timestamp_field"])
        .required(),
        OptionSpec::new("features", OptionKind::Text, "columns that are features, with commas between; all others if left out"),
        OptionSpec::new("online_store", OptionKind::Choice(&["redis", "sqlite"]), "where Feast keeps features; redis if left out"),
        OptionSpec::new("path", OptionKind::Location, "file of the SQLite store, as in feature_store.yaml"),
        OptionSpec::new("ttl", OptionKind::Duration, "an entity expires so long after its last write (Redis)")
            .aliases(&["key_ttl"]),
        URL,
        SCRIPT_ROWS,
        CLUSTER,
        SENTINEL_MASTER,
        SENTINEL_PASSWORD,
        USERNAME,
        PASSWORD,
        DB,
        SSL_CA_LOCATION,
        CONNECT_TIMEOUT,
        COMMAND_TIMEOUT,
        RETRY_TIMEOUT,
        REPLICAS_ACK,
        REPLICAS_TIMEOUT,
    ],
    example: "connector = 'feast', project = 'shop', feature_view = 'user_stats', entities = 'user_id', \
              event_timestamp = 'window', url = 'redis://localhost:6379'",
};

/// Opens Feast's online store as a sink.
pub struct FeastSinkConnector;

#[async_trait]
impl SinkConnector for FeastSinkConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn modes(&self) -> &'static [OutputMode] {
        &[OutputMode::Append, OutputMode::Update]
    }

    fn guarantee(&self, options: &Options) -> Guarantee {
        let is_cluster = match options.text("repo") {
            // a file that cannot be read is told when the sink is opened
            Some(folder) => {
                repo::filled("feast", folder, options, DESCRIPTION.options).is_ok_and(|all| all.boolean("cluster"))
            }
            None => options.boolean("cluster"),
        };
        if is_cluster { Guarantee::Idempotent } else { DESCRIPTION.guarantee }
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let table = &request.table;
        let options = &match request.options.text("repo") {
            Some(folder) => repo::filled(table, folder, &request.options, DESCRIPTION.options)?,
            None => request.options.clone(),
        };
        let layout = Layout::new(table, options, &request.schema)?;
        let is_sqlite = options.text("online_store").is_some_and(|store| store.eq_ignore_ascii_case("sqlite"));
        let needs = |option: &str, store: &str| {
            Error::invalid(format!("table '{table}' needs option '{option}' for Feast's store in {store}"))
        };
        if is_sqlite {
            let path = PathBuf::from(options.text("path").ok_or_else(|| needs("path", "SQLite"))?);
            let patience = duration(options, "retry_timeout", 60);
            let layout = Arc::new(layout);
            let opening = layout.clone();
            let store = blocking(move || Store::open(&path, &opening, patience)).await?;
            return Ok(Box::new(SqliteSink { layout, writer: request.writer, store: Arc::new(Mutex::new(store)) }));
        }
        if options.text("url").is_none() {
            return Err(needs("url", "Redis"));
        }
        let part_changes = options.integer("script_rows").unwrap_or(5_000).max(1);
        let settings = Settings {
            table: table.clone(),
            target: target(table, options)?,
            writer: request.writer.clone(),
            // keys are what Feast makes of entities: there is no tag in them
            tag: None,
            complete: false,
            part_changes: usize::try_from(part_changes).unwrap_or(usize::MAX),
            replicas: options.integer("replicas_ack").unwrap_or(0),
            replicas_timeout: duration(options, "replicas_timeout", 5),
            retry_timeout: duration(options, "retry_timeout", 60),
        };
        let fields = layout.features.iter().map(|(name, _)| feature_field(&layout.view, name)).collect();
        let ttl = options.duration("ttl");
        Ok(Box::new(RedisSink { layout, fields, ttl, writer: EpochWriter::open(settings).await? }))
    }
}

struct RedisSink {
    layout: Layout,
    /// The field of each feature in an entity's hash.
    fields: Vec<Vec<u8>>,
    ttl: Option<Duration>,
    writer: EpochWriter,
}

impl RedisSink {
    fn change(&self, row: FeatureRow) -> Change {
        let key = [row.entity.as_slice(), self.layout.project.as_bytes()].concat();
        let ttl = self.ttl.map_or_else(String::new, |ttl| ttl.as_millis().to_string());
        let stamp = format!("_ts:{}", self.layout.view).into_bytes();
        let mut arguments = vec![stamp, protobuf::timestamp(row.at), ttl.into_bytes()];
        for (field, (message, _)) in self.fields.iter().zip(row.values) {
            arguments.extend([field.clone(), message]);
        }
        Change { key, word: "newer", arguments }
    }
}

#[async_trait]
impl Sink for RedisSink {
    fn vitals(&self) -> Option<Arc<Vitals>> {
        Some(self.writer.vitals())
    }

    async fn marker(&mut self) -> Result<Marker> {
        self.writer.marker().await
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        let mut changes = Vec::new();
        for rows in rows {
            changes.extend(self.layout.rows(rows)?.into_iter().map(|row| self.change(row)));
        }
        self.writer.commit(epoch, changes).await
    }
}

struct SqliteSink {
    layout: Arc<Layout>,
    writer: Writer,
    store: Arc<Mutex<Store>>,
}

#[async_trait]
impl Sink for SqliteSink {
    async fn marker(&mut self) -> Result<Marker> {
        let (store, writer) = (self.store.clone(), self.writer.clone());
        blocking(move || store.lock().unwrap_or_else(PoisonError::into_inner).marker(&writer)).await
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        let (store, writer, layout) = (self.store.clone(), self.writer.clone(), self.layout.clone());
        let rows = rows.to_vec();
        blocking(move || {
            let rows = rows.iter().map(|rows| layout.rows(rows)).collect::<Result<Vec<_>>>()?;
            let rows: Vec<FeatureRow> = rows.into_iter().flatten().collect();
            store.lock().unwrap_or_else(PoisonError::into_inner).commit(&writer, epoch, &layout, &rows)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context(Kind::Bug, || "the thread that writes to SQLite ended early".into())?
}
