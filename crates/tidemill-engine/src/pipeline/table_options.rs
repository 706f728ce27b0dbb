//! The options that every table takes, whatever its connector and format.

use crate::bad_records::{BAD_RECORDS, CORRUPT_COLUMN};
use crate::resilience::flow;
use std::sync::Arc;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::format::Format;

/// Options every table takes, beside those of its connector and format.
pub const TABLE_OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("connector", OptionKind::Text, "what the table reads from or writes to").required(),
    OptionSpec::new("format", OptionKind::Text, "how its records are encoded"),
    OptionSpec::new("static", OptionKind::Boolean, "read the whole table once, before the stream starts")
        .default("false"),
    OptionSpec::new(
        "refresh",
        OptionKind::Boolean,
        "read a static table again before an epoch when it has changed; default: true for delta, else false",
    ),
    OptionSpec::new(
        "schema_registry",
        OptionKind::Location,
        "registry of the table's schema; its columns are those of schema_subject, and a format finds the schemas there that \
         payloads name",
    ),
    OptionSpec::new("schema_subject", OptionKind::Text, "subject in the registry"),
    OptionSpec::new("schema_version", OptionKind::Integer, "version of the subject; default: the newest"),
    BAD_RECORDS,
    CORRUPT_COLUMN,
    OptionSpec::new(
        "output_mode",
        OptionKind::Choice(&["append", "update", "complete"]),
        "what the rows written to the table mean; default: the setting output_mode",
    ),
    OptionSpec::new(
        "idle_timeout",
        OptionKind::Duration,
        "how long the table may bring nothing and still hold the watermark back; default: for ever",
    ),
];

/// Options of every table that is written, after those of its connector.
const LATE_OPTIONS: &[OptionSpec] = &[
    OptionSpec::new(
        "late",
        OptionKind::Choice(&["drop", "table", "dead_letter"]),
        "what becomes of rows too late for the query that writes to the table: they are counted, and with table \
         written to late_table, with dead_letter set aside as dead letters of stage late; default: drop",
    ),
    OptionSpec::new(
        "late_table",
        OptionKind::Text,
        "table that takes those rows, each with the window that was over and the watermark",
    ),
];

/// What a table may be given: options of every table, of its connector and of its format.
pub(super) fn option_groups<'a>(
    connector: &'a [OptionSpec],
    format: Option<&Arc<dyn Format>>,
) -> Vec<&'a [OptionSpec]> {
    let mut groups: Vec<&[OptionSpec]> = vec![TABLE_OPTIONS, connector];
    groups.extend(format.map(|format| format.describe().options));
    // a connector may have an option of the same name
    groups.extend([LATE_OPTIONS, flow::OPTIONS]);
    groups
}
