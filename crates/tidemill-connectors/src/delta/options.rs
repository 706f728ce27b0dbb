//! What the sink says of itself, and its options once they are checked.

use std::collections::HashMap;
use std::time::Duration;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::sink::OutputMode;
use tidemill_core::{Error, Options, Result};

pub(super) static DESCRIPTION: Description = Description {
    name: "delta",
    role: Role::Sink,
    summary: "writes a Delta Lake table, on a local disk or in an object store",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        OptionSpec::new(
            "path",
            OptionKind::Location,
            "directory or URL of the table (s3://, abfss://, az://, gs://); made when it is not there",
        )
        .required(),
        OptionSpec::new(
            "partition_by",
            OptionKind::Text,
            "columns that choose the directory, with commas between; fixed when the table is made",
        ),
        OptionSpec::new(
            "primary_key",
            OptionKind::Text,
            "columns of the key, with commas between: a row replaces the row with its key (MERGE), in update and in \
             append mode",
        )
        .aliases(&["merge_keys"]),
        OptionSpec::new(
            "merge_schema",
            OptionKind::Boolean,
            "adds columns that the table has not, and widens tinyint and smallint",
        )
        .default("false"),
        OptionSpec::new("target_file_size", OptionKind::Bytes, "a file is closed at about this size").default("64MiB"),
        OptionSpec::new(
            "auto_compact_min_files",
            OptionKind::Integer,
            "small files of a partition that are made one, beside the stream; 0: never",
        )
        .default("50"),
        OptionSpec::new(
            "vacuum_retention",
            OptionKind::Duration,
            "deletes files that no version younger than this needs, those of killed epochs among them; without it \
             nothing is deleted",
        ),
        OptionSpec::new(
            "delta.*",
            OptionKind::Text,
            "a property of a table that is made, such as delta.checkpointInterval",
        ),
        OptionSpec::new("storage.aws_secret_access_key", OptionKind::Secret, "secret key for s3://"),
        OptionSpec::new("storage.azure_storage_account_key", OptionKind::Secret, "account key for abfss:// and az://"),
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
        OptionSpec::new("storage.google_service_account_key", OptionKind::Secret, "service account as JSON, for gs://"),
        OptionSpec::new("storage.*", OptionKind::Text, "an option of the object store, such as storage.aws_region"),
    ],
    example: "connector = 'delta', path = 'data/daily_totals', partition_by = 'day'",
};

/// The options of a sink.
pub(super) struct Settings {
    pub(super) path: String,
    pub(super) storage: HashMap<String, String>,
    pub(super) partition_by: Vec<String>,
    /// Empty: rows are not merged.
    pub(super) primary_key: Vec<String>,
    pub(super) merge_schema: bool,
    pub(super) target_bytes: u64,
    /// 0: no compaction.
    pub(super) compact_files_min: usize,
    pub(super) vacuum: Option<Duration>,
    pub(super) properties: Vec<(String, String)>,
}

impl Settings {
    /// Reads checked options.
    ///
    /// # Errors
    /// Update mode without a key; a target size of nothing.
    pub(super) fn of(options: &Options, mode: OutputMode) -> Result<Settings> {
        let list = |name| options.text(name).map(in_order).unwrap_or_default();
        let with_prefix = |prefix| options.with_prefix(prefix).map(|(name, value)| (name.to_owned(), value.to_owned()));
        let primary_key: Vec<String> = list("primary_key");
        if mode == OutputMode::Update && primary_key.is_empty() {
            return Err(Error::invalid("the sink 'delta' needs option 'primary_key' in update mode").help(
                "rows of update mode replace those with their key: name its columns, such as primary_key = 'user, day'",
            ));
        }
        let target_bytes = options.bytes("target_file_size").unwrap_or_default();
        if target_bytes == 0 {
            return Err(Error::invalid("'target_file_size' is 0").help("say a size such as '64MiB'"));
        }
        Ok(Settings {
            path: options.required("path")?.to_owned(),
            storage: with_prefix("storage.").collect(),
            partition_by: list("partition_by"),
            primary_key,
            merge_schema: options.boolean("merge_schema"),
            target_bytes,
            compact_files_min: options.integer("auto_compact_min_files").unwrap_or_default() as usize,
            vacuum: options.duration("vacuum_retention"),
            properties: with_prefix("delta.").map(|(name, value)| (format!("delta.{name}"), value)).collect(),
        })
    }
}

fn in_order(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
