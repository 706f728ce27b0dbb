//! Delta tables that are read: as a stream, or whole beside one.

mod admission;
mod change;
mod columns;
mod log;
mod position;
mod scan;
mod start;
mod stream;
mod whole;

use super::errors::failed;
use super::home::Home;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use std::collections::HashMap;
use stream::DeltaStream;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::source::{Source, SourceConnector, SourceRequest};
use tidemill_core::{Error, Kind, Options, Result, ResultExt};
use whole::DeltaTableSource;

static DESCRIPTION: Description = Description {
    name: "delta",
    role: Role::Source,
    summary: "reads a Delta Lake table as a stream: its rows as they are, then those of each new version; or whole \
              beside a stream (static = 'true'), and again when it has a new version",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        OptionSpec::new("path", OptionKind::Location, "directory or URL of the table (s3://, abfss://, az://, gs://)")
            .required(),
        OptionSpec::new(
            "starting_version",
            OptionKind::Text,
            "where a new query begins: with the changes of this version, or with those after it was started \
             ('latest'); default: with all rows of the table",
        ),
        OptionSpec::new(
            "starting_timestamp",
            OptionKind::Text,
            "where a new query begins: with the changes made at this time or later, such as '2026-01-31T12:30:00Z'",
        ),
        OptionSpec::new(
            "max_files_per_trigger",
            OptionKind::Integer,
            "most files of one epoch; default: 1000, or none when max_bytes_per_trigger is given",
        ),
        OptionSpec::new("max_bytes_per_trigger", OptionKind::Bytes, "about how many bytes of files one epoch reads"),
        OptionSpec::new(
            "ignore_deletes",
            OptionKind::Boolean,
            "pass over versions that only delete rows; without it such a version stops the query",
        )
        .default("false"),
        OptionSpec::new(
            "skip_change_commits",
            OptionKind::Boolean,
            "pass over versions that change or delete rows; without it such a version stops the query",
        )
        .default("false"),
        OptionSpec::new(
            "ignore_changes",
            OptionKind::Boolean,
            "of versions that change or delete rows, read the files they write: rows that did not change come again",
        )
        .default("false"),
        OptionSpec::new(
            "evolve",
            OptionKind::Choice(&["fail", "ignore"]),
            "when the table gets other columns: 'fail' says which and stops, and a restart reads on with the new \
             ones; \
             'ignore' reads on with the old ones",
        )
        .default("fail"),
        OptionSpec::new(
            "fail_on_data_loss",
            OptionKind::Boolean,
            "stop when versions or files that were not read yet are gone; false goes on with a warning",
        )
        .default("true"),
        OptionSpec::new(
            "poll_interval",
            OptionKind::Duration,
            "how often to look for a new version; default: 100ms on a local disk, 1s in an object store",
        ),
        OptionSpec::new("storage.aws_secret_access_key", OptionKind::Secret, "secret key for s3://"),
        OptionSpec::new(
            "storage.azure_storage_account_key",
            OptionKind::Secret,
            "account key for abfss:// and \
                         az://",
        ),
        OptionSpec::new(
            "storage.azure_storage_client_secret",
            OptionKind::Secret,
            "client secret for abfss:// and az://",
        ),
        OptionSpec::new(
            "storage.azure_storage_sas_token",
            OptionKind::Secret,
            "access signature for abfss:// and az://",
        ),
        OptionSpec::new(
            "storage.google_service_account_key",
            OptionKind::Secret,
            "service account as JSON, for \
                         gs://",
        ),
        OptionSpec::new("storage.*", OptionKind::Text, "an option of the object store, such as storage.aws_region"),
    ],
    example: "connector = 'delta', path = 'data/orders', max_files_per_trigger = '100'",
};

/// Opens a Delta table to read it.
pub struct DeltaSourceConnector;

#[async_trait]
impl SourceConnector for DeltaSourceConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn schema(&self, options: &Options) -> Result<Option<SchemaRef>> {
        let home = home(options)?;
        let look = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.context(Kind::Io, || "cannot start a thread".into())?;
            runtime.block_on(async {
                let mut table = home.table()?;
                table.load().await.map_err(|error| failed("open", &home.place, error))?;
                let state = table.snapshot().map_err(|error| failed("read", &home.place, error))?;
                columns::of(state, &home.place).map(Some)
            })
        };
        // whoever asks may be waiting inside a runtime already
        std::thread::spawn(look).join().map_err(|_| Error::bug("the thread that looks at a delta table ended early"))?
    }

    fn reads_whole(&self) -> bool {
        true
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn Source>> {
        let home = home(&request.options)?;
        Ok(match request.options.boolean("static") {
            true => Box::new(DeltaTableSource::open(home, request.schema).await?),
            false => Box::new(DeltaStream::open(home, request).await?),
        })
    }
}

fn home(options: &Options) -> Result<Home> {
    let storage: HashMap<String, String> =
        options.with_prefix("storage.").map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Home::existing(options.required("path")?, storage)
}
