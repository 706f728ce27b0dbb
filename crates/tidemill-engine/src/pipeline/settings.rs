//! The settings of a pipeline: `SET key = value`, `--set key=value`, and Spark configurations. One
//! table says which exist; Spark's names are aliases of ours.

use crate::dead_letter::rate::Limits;
use crate::resilience;
use chrono_tz::Tz;
use std::time::Duration;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::options::{GivenOption, Options};
use tidemill_core::sink::OutputMode;
use tidemill_core::{Error, Result};
use tidemill_objects::open::{PREFIX, STORAGE};

/// Every setting there is.
pub const SETTINGS: &[OptionSpec] = &[
    OptionSpec::new(
        "name",
        OptionKind::Text,
        "name of the pipeline; markers in sinks carry it. Default: the file's name",
    )
    .aliases(&["pipeline.name", "spark.app.name", "query_name"]),
    OptionSpec::new(
        "checkpoint",
        OptionKind::Location,
        "directory of the checkpoint, or a folder in an object store: s3://, abfss://, az:// or gs://",
    )
    .aliases(&["checkpoint_location", "spark.sql.streaming.checkpointLocation"]),
    OptionSpec::new(
        "checkpoint_copy",
        OptionKind::Location,
        "directory for the working copies of checkpoints in object stores; default: .tidemill/copies",
    ),
    OptionSpec::new(
        "checkpoint_timeout",
        OptionKind::Duration,
        "how long a running query waits for the store of its checkpoint before it ends with code 75",
    )
    .default("15m"),
    OptionSpec::new(
        "trigger",
        OptionKind::Text,
        "'available-now', 'once', 'processing-time 1s', 'asap'; default: as soon as rows arrive, at the pace the sinks like",
    ),
    OptionSpec::new(
        "output_mode",
        OptionKind::Choice(&["append", "update", "complete"]),
        "what the rows of a sink mean, unless its table says",
    )
    .default("append"),
    OptionSpec::new(
        "delivery",
        OptionKind::Choice(&["exactly-once", "at-least-once", "best-effort"]),
        "refuse a pipeline that cannot promise this",
    )
    .default("best-effort"),
    OptionSpec::new(
        "dead_letter",
        OptionKind::Text,
        "table that takes bad records; default: Parquet files in the checkpoint",
    ),
    OptionSpec::new(
        "on_error",
        OptionKind::Choice(&["fail", "dead_letter"]),
        "a record on which an expression or a function of yours fails: fail the query as Spark does, or set it aside",
    )
    .default("fail"),
    OptionSpec::new(
        "dead_letter_max_rate",
        OptionKind::Number,
        "stop when more than this share (0 to 1) of a minute's records become dead letters; default: no limit",
    ),
    OptionSpec::new(
        "dead_letter_max_per_minute",
        OptionKind::Integer,
        "stop when more records than this become dead letters in a minute; default: no limit",
    ),
    OptionSpec::new("time_zone", OptionKind::Text, "session time zone")
        .default("UTC")
        .aliases(&["spark.sql.session.timeZone"]),
    OptionSpec::new(
        "ansi",
        OptionKind::Boolean,
        "overflow, division by zero and bad casts fail instead of giving NULL",
    )
    .default("true")
    .aliases(&["spark.sql.ansi.enabled"]),
    OptionSpec::new("case_sensitive", OptionKind::Boolean, "names match by case")
        .default("false")
        .aliases(&["spark.sql.caseSensitive"]),
    OptionSpec::new("watermark_policy", OptionKind::Choice(&["min", "max"]), "how several watermarks become one")
        .default("min")
        .aliases(&["spark.sql.streaming.multipleWatermarkPolicy"]),
    OptionSpec::new(
        "max_future_skew",
        OptionKind::Duration,
        "rows whose event time is further ahead of the clock go on, but do not raise the watermark; default: they do",
    ),
    OptionSpec::new("no_data_epochs", OptionKind::Boolean, "run an epoch without rows when the watermark has moved")
        .default("true")
        .aliases(&["spark.sql.streaming.noDataMicroBatches.enabled"]),
    OptionSpec::new("parallelism", OptionKind::Integer, "state partitions and worker threads; 0: one a core")
        .default("0"),
    OptionSpec::new("epoch_bytes_max", OptionKind::Bytes, "about how many bytes one epoch reads at most")
        .default("64MiB"),
    OptionSpec::new(
        "snapshot_bytes",
        OptionKind::Bytes,
        "changes of state written before a new snapshot is made; a quarter of the state in memory where that is more",
    )
    .default("64MiB"),
    OptionSpec::new(
        "snapshot_at_stop",
        OptionKind::Boolean,
        "make a snapshot when the query stops, unless state in memory is larger than `snapshot_bytes`: a start then \
         replays nothing, and tools can read the state",
    )
    .default("true"),
    OptionSpec::new(
        "state_backend",
        OptionKind::Text,
        "where state is kept: 'memory', or 'rocksdb' when it is larger than memory",
    )
    .default("memory")
    .aliases(&["spark.sql.streaming.stateStore.providerClass"]),
    OptionSpec::new(
        "state_memory",
        OptionKind::Bytes,
        "memory that state in a store may hold: buffers, cache, indexes; the rows of one epoch come on top",
    )
    .default("256MiB"),
    OptionSpec::new(
        "state_limit_rows",
        OptionKind::Integer,
        "rows of state an operator may keep: with more the query stops, from 80 % on it warns; default: no limit",
    ),
    OptionSpec::new(
        "state_limit_bytes",
        OptionKind::Bytes,
        "the same in bytes, of memory for an operator or of disk for the whole store; default: no limit",
    ),
    OptionSpec::new(
        "state_loss",
        OptionKind::Choice(&["refuse", "approve"]),
        "what to do when the pipeline has changed so that state of its checkpoint is lost; `--approve` for one run",
    )
    .default("refuse"),
    OptionSpec::new(
        "state_moved",
        OptionKind::Text,
        "whose state an operator goes on with, as `tidemill plan` names them: 'old = new, old = new'",
    ),
    OptionSpec::new("epochs_retained", OptionKind::Integer, "committed epochs whose plans are kept").default("100"),
    OptionSpec::new(
        "price_book",
        OptionKind::Location,
        "JSON file with the prices of the cost figures; default: list prices",
    ),
];

/// Checked settings.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) options: Options,
    /// Spark configurations that have no effect here, as they were given.
    pub ignored: Vec<String>,
    time_zone: Tz,
}

impl Settings {
    /// Checks what was given; a later value of a key replaces an earlier one.
    ///
    /// # Errors
    /// An unknown key that is not Spark's, a value that is not of its type.
    pub fn check(given: &[GivenOption]) -> Result<Settings> {
        let mut last: Vec<GivenOption> = Vec::new();
        let mut ignored = Vec::new();
        for option in given {
            match canonical(&option.key) {
                Some(name) => {
                    last.retain(|known| known.key != name);
                    last.push(GivenOption { key: name.to_owned(), ..option.clone() });
                }
                None if option.key.starts_with("spark.") => ignored.push(option.key.clone()),
                None => {
                    last.retain(|known| known.key != option.key);
                    last.push(option.clone());
                }
            }
        }
        let groups = [SETTINGS, resilience::settings::SETTINGS, &STORAGE];
        let options = Options::check("the pipeline", &groups, &last)?;
        let zone = options.text("time_zone").unwrap_or("UTC");
        let time_zone = parse_time_zone(zone).ok_or_else(|| {
            Error::invalid(format!("there is no time zone called '{zone}'"))
                .class("INVALID_CONF_VALUE.TIME_ZONE")
                .help("write a name such as 'Europe/Vienna'")
        })?;
        Ok(Settings { options, ignored, time_zone })
    }

    /// Name of the pipeline, when it is set.
    pub fn name(&self) -> Option<&str> {
        self.options.text("name")
    }

    /// Directory of the checkpoint, when it is set.
    pub fn checkpoint(&self) -> Option<&str> {
        self.options.text("checkpoint")
    }

    /// Directory for the working copies of checkpoints in object stores, when it is set.
    pub fn checkpoint_copy(&self) -> Option<&str> {
        self.options.text("checkpoint_copy")
    }

    /// How long a running query waits for the store of its checkpoint.
    pub fn checkpoint_timeout(&self) -> Duration {
        self.options.duration("checkpoint_timeout").unwrap_or(Duration::from_secs(900))
    }

    /// The options of the checkpoint's store, as a table there is given them.
    pub fn storage(&self) -> Vec<GivenOption> {
        let given = self.options.with_prefix(PREFIX);
        given.map(|(name, value)| GivenOption::new(format!("{PREFIX}{name}"), value)).collect()
    }

    /// The trigger, as written.
    pub fn trigger(&self) -> Option<&str> {
        self.options.text("trigger")
    }

    /// What the rows of a sink mean unless its table says.
    pub fn output_mode(&self) -> OutputMode {
        parse_output_mode(self.options.text("output_mode").unwrap_or("append")).unwrap_or(OutputMode::Append)
    }

    /// The promise the user asks for.
    pub fn delivery(&self) -> &str {
        self.options.text("delivery").unwrap_or("best-effort")
    }

    /// Table for bad records, when it is set.
    pub fn dead_letter(&self) -> Option<&str> {
        self.options.text("dead_letter")
    }

    /// Records that fail an expression become dead letters.
    pub fn sets_aside(&self) -> bool {
        self.options.text("on_error").is_some_and(|word| word.eq_ignore_ascii_case("dead_letter"))
    }

    /// How many dead letters are too many.
    pub fn dead_letter_limits(&self) -> Limits {
        Limits {
            share: self.options.number("dead_letter_max_rate"),
            per_minute: self.options.integer("dead_letter_max_per_minute"),
        }
    }

    /// The session's time zone.
    pub fn time_zone(&self) -> Tz {
        self.time_zone
    }

    /// ANSI rules on.
    pub fn ansi(&self) -> bool {
        self.options.boolean("ansi")
    }

    /// Names match by case.
    pub fn case_sensitive(&self) -> bool {
        self.options.boolean("case_sensitive")
    }

    /// True for the policy `max`.
    pub fn watermark_is_max(&self) -> bool {
        self.options.text("watermark_policy") == Some("max")
    }

    /// How far ahead of the clock a row may be and still raise the watermark, in microseconds.
    pub fn max_future_skew(&self) -> Option<i64> {
        let skew = self.options.duration("max_future_skew")?;
        Some(i64::try_from(skew.as_micros()).unwrap_or(i64::MAX))
    }

    /// Epochs without rows are allowed.
    pub fn no_data_epochs(&self) -> bool {
        self.options.boolean("no_data_epochs")
    }

    /// State partitions and worker threads.
    pub fn parallelism(&self) -> usize {
        match self.options.integer("parallelism") {
            None | Some(0) => std::thread::available_parallelism().map_or(1, usize::from),
            Some(count) => count as usize,
        }
    }

    /// About how many bytes one epoch reads at most.
    pub fn epoch_bytes_max(&self) -> u64 {
        self.options.bytes("epoch_bytes_max").unwrap_or(64 << 20)
    }

    /// Changes of state written before a new snapshot is made, in bytes.
    pub fn snapshot_bytes(&self) -> u64 {
        self.options.bytes("snapshot_bytes").unwrap_or(64 << 20)
    }

    /// A query that stops makes a snapshot.
    pub fn snapshot_at_stop(&self) -> bool {
        self.options.boolean("snapshot_at_stop")
    }

    /// Name of the store that keeps state; `None` for memory. Spark's class names are understood.
    pub fn state_backend(&self) -> Option<&str> {
        match self.options.text("state_backend").unwrap_or("memory") {
            name if name.eq_ignore_ascii_case("memory") || name.ends_with("HDFSBackedStateStoreProvider") => None,
            name if name.ends_with("RocksDBStateStoreProvider") => Some("rocksdb"),
            name => Some(name),
        }
    }

    /// Memory that state in a store may hold, in bytes.
    pub fn state_memory(&self) -> u64 {
        self.options.bytes("state_memory").unwrap_or(256 << 20)
    }

    /// Rows of state an operator may keep.
    pub fn state_limit_rows(&self) -> Option<u64> {
        self.options.integer("state_limit_rows")
    }

    /// Bytes of state an operator may keep in memory, or all of them in a store.
    pub fn state_limit_bytes(&self) -> Option<u64> {
        self.options.bytes("state_limit_bytes")
    }

    /// State may be lost to a change of the pipeline.
    pub fn approves_loss(&self) -> bool {
        self.options.text("state_loss").is_some_and(|word| word.eq_ignore_ascii_case("approve"))
    }

    /// Names of operators in the checkpoint, each with the operator that goes on with its state.
    ///
    /// # Errors
    /// Anything but `old = new, old = new`.
    pub fn state_moved(&self) -> Result<Vec<(String, String)>> {
        let Some(text) = self.options.text("state_moved") else { return Ok(vec![]) };
        let pairs = text.split(',').map(|pair| match pair.split_once('=') {
            Some((old, new)) if !old.trim().is_empty() && !new.trim().is_empty() => {
                Ok((old.trim().to_owned(), new.trim().to_owned()))
            }
            _ => Err(Error::invalid(format!("state_moved takes 'old = new, ..', not '{}'", pair.trim()))
                .help("`tidemill plan` shows the names")),
        });
        pairs.collect()
    }

    /// File with the prices of the cost figures, when it is set.
    pub fn price_book(&self) -> Option<&str> {
        self.options.text("price_book")
    }

    /// Committed epochs whose plans are kept.
    pub fn epochs_retained(&self) -> u64 {
        self.options.integer("epochs_retained").unwrap_or(100)
    }
}

/// Our name of a setting in any accepted spelling.
fn canonical(key: &str) -> Option<&'static str> {
    let snake = tidemill_core::options::snake_case(key);
    SETTINGS
        .iter()
        .chain(resilience::settings::SETTINGS)
        .find(|spec| spec.name == snake || spec.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(key)))
        .map(|spec| spec.name)
}

/// `append`, `update` or `complete`, in any case.
pub fn parse_output_mode(word: &str) -> Option<OutputMode> {
    [OutputMode::Append, OutputMode::Update, OutputMode::Complete]
        .into_iter()
        .find(|mode| mode.word().eq_ignore_ascii_case(word))
}

/// A zone by name; `Z`, `UTC` and `GMT` are UTC.
pub fn parse_time_zone(name: &str) -> Option<Tz> {
    match name {
        "Z" | "UTC" | "GMT" | "Etc/UTC" => Some(Tz::UTC),
        other => other.parse().ok(),
    }
}

/// When epochs start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// As soon as there are rows, at the pace the sinks like: what holds when the user sets no trigger.
    Asap,
    /// At multiples of the interval of the clock's epoch; an interval of zero is as soon as there are
    /// rows, whatever the sinks like.
    ProcessingTime(Duration),
    /// What is there at the start, in as many epochs as the limits need, then stop.
    AvailableNow,
    /// What is there at the start in one epoch without limits, then stop.
    Once,
}

impl Trigger {
    /// Reads `available-now`, `once`, `processing-time 1s`, `1 second`, and Spark's spellings.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<Trigger> {
        let words = text.trim().to_lowercase().replace('_', "-");
        let interval = words
            .strip_prefix("processing-time")
            .or_else(|| words.strip_prefix("processingtime"))
            .unwrap_or(&words)
            .trim_matches([' ', '=', '(', ')', '\'', '"']);
        match words.as_str() {
            "available-now" | "availablenow" => return Ok(Trigger::AvailableNow),
            "once" => return Ok(Trigger::Once),
            "asap" => return Ok(Trigger::ProcessingTime(Duration::ZERO)),
            "" => return Ok(Trigger::Asap),
            _ => {}
        }
        match tidemill_core::options::parse_duration(interval) {
            Ok(interval) => Ok(Trigger::ProcessingTime(interval)),
            Err(_) => Err(Error::invalid(format!("there is no trigger '{text}'"))
                .help("triggers: available-now, once, asap, 'processing-time 1s'")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spark_s_names_are_ours() {
        let settings = Settings::check(&[
            GivenOption::new("spark.sql.session.timeZone", "America/New_York"),
            GivenOption::new("spark.sql.shuffle.partitions", "2"),
            GivenOption::new("watermarkPolicy", "max"),
        ])
        .unwrap();
        assert_eq!(settings.time_zone(), Tz::America__New_York);
        assert!(settings.watermark_is_max());
        assert_eq!(settings.ignored, ["spark.sql.shuffle.partitions"]);
        assert!(Settings::check(&[GivenOption::new("triger", "once")]).unwrap_err().report().contains("'trigger'"));
    }

    #[test]
    fn triggers_are_read_in_every_spelling() {
        for (text, trigger) in [
            ("available-now", Trigger::AvailableNow),
            ("availableNow", Trigger::AvailableNow),
            ("once", Trigger::Once),
            ("processing-time 1s", Trigger::ProcessingTime(Duration::from_secs(1))),
            ("ProcessingTime(10 seconds)", Trigger::ProcessingTime(Duration::from_secs(10))),
            ("1 minute", Trigger::ProcessingTime(Duration::from_secs(60))),
            ("asap", Trigger::ProcessingTime(Duration::ZERO)),
            ("0 seconds", Trigger::ProcessingTime(Duration::ZERO)),
        ] {
            assert_eq!(Trigger::parse(text).unwrap(), trigger, "{text}");
        }
        assert!(Trigger::parse("sometimes").is_err());
    }
}
