//! Where a new query begins. Pure.

use super::position::{Mark, Place, is_sequence};
use super::shards::Shards;
use std::collections::BTreeMap;
use tidemill_core::{Error, Options, Result};

/// The options that say it.
pub(super) const POSITION: &str = "starting_position";
pub(super) const TIMESTAMP: &str = "starting_timestamp";

/// Clocks of two machines differ by less, in milliseconds.
const CLOCKS_MILLIS: i64 = 60_000;

/// Where a new query begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Starting {
    /// With the oldest records.
    Horizon,
    /// With what comes from now on.
    Latest,
    /// With the first records from a time on, in milliseconds since 1970.
    Time(i64),
    /// After a sequence number in each shard.
    After(BTreeMap<String, String>),
}

impl Starting {
    /// From the options of a table.
    ///
    /// # Errors
    /// They say nothing that can be done.
    pub fn new(options: &Options) -> Result<Starting> {
        let text = options.required(POSITION)?.trim();
        let time = options.text(TIMESTAMP);
        match (text.to_ascii_lowercase().as_str(), time) {
            ("at_timestamp", Some(time)) => return Ok(Starting::Time(millis(time)?)),
            ("at_timestamp", None) => {
                return Err(Error::invalid("option 'starting_position' is at_timestamp, and no time is given")
                    .help("set option 'starting_timestamp', such as '2026-11-26T12:00:00Z'"));
            }
            (_, Some(_)) => {
                return Err(Error::invalid("option 'starting_timestamp' is given, and the query does not begin there")
                    .help("set starting_position = 'at_timestamp', or leave the time out"));
            }
            ("trim_horizon" | "earliest", None) => return Ok(Starting::Horizon),
            ("latest", None) => return Ok(Starting::Latest),
            _ => {}
        }
        let after: Option<BTreeMap<String, String>> = serde_json::from_str(text).ok();
        let after = after.filter(|after| !after.is_empty() && after.values().all(|sequence| is_sequence(sequence)));
        after.map(Starting::After).ok_or_else(|| {
            Error::invalid(format!("option 'starting_position' is '{text}', which is no position"))
                .help(r#"write latest, trim_horizon, at_timestamp, or {"shardId-000000000000": "4957..."}"#)
        })
    }

    /// Where each shard begins that there is at the start; `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// A shard is named that the stream does not have.
    pub fn marks(&self, stream: &str, shards: &Shards, now: i64) -> Result<BTreeMap<String, Mark>> {
        let all = |mark: Mark| Ok(shards.0.keys().map(|id| (id.clone(), mark.clone())).collect());
        let after = match self {
            Starting::Horizon => return all(Mark::Horizon),
            Starting::Latest => return all(Mark::Since(now)),
            Starting::Time(time) if *time > now.saturating_add(CLOCKS_MILLIS) => {
                return Err(Error::invalid("option 'starting_timestamp' is a time to come")
                    .help("give a time that has been; starting_position = 'latest' begins now"));
            }
            Starting::Time(time) => return all(Mark::Time(*time)),
            Starting::After(after) => after,
        };
        if let Some(unknown) = after.keys().find(|id| !shards.0.contains_key(*id)) {
            let there: Vec<&str> = shards.0.keys().map(String::as_str).collect();
            return Err(Error::invalid(format!(
                "option 'starting_position' names '{unknown}', which is no shard of Kinesis stream '{stream}'"
            ))
            .help(format!("its shards are {}", there.join(", "))));
        }
        let mark = |id: &String| match after.get(id) {
            Some(sequence) => Mark::After(Place { sequence: sequence.as_str().into(), sub: None }, now),
            // whoever has read on in a child has read its parents
            None if after.keys().any(|named| shards.is_before(id, named)) => Mark::End,
            None => Mark::Horizon,
        };
        Ok(shards.0.keys().map(|id| (id.clone(), mark(id))).collect())
    }
}

/// A time as ISO 8601 or in milliseconds since 1970.
fn millis(text: &str) -> Result<i64> {
    let iso = || chrono::DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_millis());
    text.parse().or_else(|_| iso()).map_err(|cause| {
        Error::invalid(format!("option 'starting_timestamp' is '{text}', which is no time"))
            .caused_by(cause)
            .help("write ISO 8601 with a zone, such as '2026-11-26T12:00:00Z', or milliseconds since 1970")
    })
}

#[cfg(test)]
mod tests {
    use super::super::shards::Shard;
    use super::*;
    use tidemill_core::describe::{OptionKind, OptionSpec};
    use tidemill_core::options::GivenOption;

    fn starting(position: &str, time: Option<&str>) -> Result<Starting> {
        let specs = [POSITION, TIMESTAMP].map(|name| OptionSpec::new(name, OptionKind::Text, ""));
        let mut given = vec![GivenOption::new(POSITION, position)];
        given.extend(time.map(|time| GivenOption::new(TIMESTAMP, time)));
        Starting::new(&Options::check("source 'kinesis'", &[&specs], &given).unwrap())
    }

    #[test]
    fn words_times_and_sequence_numbers_are_read() {
        assert_eq!(starting("TRIM_HORIZON", None).unwrap(), Starting::Horizon);
        assert_eq!(starting("latest", None).unwrap(), Starting::Latest);
        let noon = Starting::Time(1_764_158_400_000);
        assert_eq!(starting("at_timestamp", Some("2025-11-26T12:00:00Z")).unwrap(), noon);
        assert_eq!(starting("at_timestamp", Some("1764158400000")).unwrap(), noon);
        for (position, time, says) in [
            ("at_timestamp", None, "no time is given"),
            ("latest", Some("5"), "does not begin there"),
            ("at_timestamp", Some("noon"), "which is no time"),
            ("newest", None, "which is no position"),
            (r#"{"shardId-000000000000": "x"}"#, None, "which is no position"),
            ("{}", None, "which is no position"),
        ] {
            let error = starting(position, time).unwrap_err();
            assert!(error.to_string().contains(says) && error.help_text().is_some(), "{}", error.report());
        }
    }

    #[test]
    fn whoever_begins_in_a_child_has_read_its_parents() {
        let shard = |id: &str, parents: &[&str]| {
            let parents = parents.iter().map(|parent| (*parent).to_owned()).collect();
            (id.to_owned(), Shard { id: id.to_owned(), parents, hashes: (0, 1) })
        };
        let shards = Shards([shard("a", &[]), shard("b", &[]), shard("c", &["a"])].into());
        let marks = starting(r#"{"c": "12"}"#, None).unwrap().marks("s", &shards, 7).unwrap();
        let place = Place { sequence: "12".into(), sub: None };
        assert_eq!((&marks["a"], &marks["b"], &marks["c"]), (&Mark::End, &Mark::Horizon, &Mark::After(place, 7)));
        let future = starting("at_timestamp", Some("100000")).unwrap();
        assert!(future.marks("s", &shards, 7).unwrap_err().to_string().contains("a time to come"));
        assert_eq!(future.marks("s", &shards, 99_000).unwrap()["a"], Mark::Time(100_000));
        let error = starting(r#"{"x": "12"}"#, None).unwrap().marks("s", &shards, 7).unwrap_err();
        assert!(error.report().contains("its shards are a, b, c"), "{}", error.report());
    }
}
