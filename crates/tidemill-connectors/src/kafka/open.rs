//! What a Kafka source finds out once: its topics, its client, and where each partition begins.

use super::client::misconfigured;
use super::cluster::{Cluster, Subscription};
use super::connection::Connection;
use super::options as given;
use super::source_options::STARTING_STRATEGY;
use super::starting::Beginning;
use crate::topics::starting::{Start, Starting};
use crate::topics::{names, topic_partition};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidemill_core::{Error, Kind, Offsets, Options, Result, ResultExt, Split};

/// Which topics the options name.
///
/// # Errors
/// None or several of the options, or one that cannot be read.
pub(crate) fn subscription(table: &str, options: &Options) -> Result<Subscription> {
    let (topics, pattern, assign) =
        (options.text("subscribe").map(names), options.text("subscribe_pattern"), options.text("assign"));
    match (topics, pattern, assign) {
        (Some(topics), None, None) if !topics.is_empty() => Ok(Subscription::Topics(topics)),
        (None, Some(pattern), None) => {
            Regex::new(&format!("^(?:{pattern})$")).map(Subscription::Pattern).context(Kind::Invalid, || {
                format!("option 'subscribe_pattern' of table '{table}' is no regular expression")
            })
        }
        (None, None, Some(assign)) => assigned(table, assign),
        _ => Err(Error::invalid(format!(
            "table '{table}' needs one of the options 'subscribe', 'subscribe_pattern' and 'assign'"
        ))
        .help(
            r#"subscribe = 'a,b' names topics; subscribe_pattern = 'events-.*' matches them; assign = '{"a": [0, 1]}' names partitions"#,
        )),
    }
}

fn assigned(table: &str, text: &str) -> Result<Subscription> {
    let wrong = || {
        Error::invalid(format!("option 'assign' of table '{table}' is '{text}', which is no list of partitions"))
            .help(r#"write JSON as {"topic": [0, 1], "other": [2]}"#)
    };
    let topics: BTreeMap<String, BTreeSet<u32>> =
        serde_json::from_str(text).map_err(|cause| wrong().caused_by(cause))?;
    let is_empty = topics.is_empty() || topics.values().any(BTreeSet::is_empty);
    if is_empty { Err(wrong()) } else { Ok(Subscription::Partitions(topics)) }
}

/// The client: it never joins a group, fetches only what it is told to, and sees committed records.
///
/// # Errors
/// A property that is not allowed or wrong.
pub(crate) fn connection(table: &str, options: &Options, buffer_bytes: u64) -> Result<Arc<Connection>> {
    let group = options.text("group_id").map_or_else(|| format!("tidemill-{}", uuid::Uuid::new_v4()), str::to_owned);
    // librdkafka's own queues: a bound for each partition
    let queue_kbytes = (buffer_bytes / 1024 / 4).clamp(1_024, 65_536).to_string();
    let config = given::configure(
        table,
        options,
        &[
            ("group.id", &group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("auto.offset.reset", "error"),
            ("isolation.level", "read_committed"),
            ("allow.auto.create.topics", "false"),
            ("fetch.wait.max.ms", "500"),
            ("fetch.queue.backoff.ms", "5"),
            ("fetch.error.backoff.ms", "100"),
            ("queued.max.messages.kbytes", &queue_kbytes),
            ("reconnect.backoff.max.ms", "2000"),
            ("socket.keepalive.enable", "true"),
        ],
    )?;
    Connection::open(config).map(Arc::new).map_err(|error| misconfigured(table, error))
}

/// Where every partition begins that `resume_from` does not hold, and which of these must be pinned.
///
/// # Errors
/// A topic that does not exist, a position that a partition has not, no answer from the brokers.
pub(crate) fn first_positions(
    cluster: &Cluster,
    subscription: &Subscription,
    beginning: &Beginning,
    resume_from: &Offsets,
) -> Result<(Offsets, BTreeSet<Split>)> {
    cluster.check(subscription)?;
    let splits = cluster.partitions(subscription)?;
    let starts = cluster.starts(&splits)?;
    // partitions that came after a query has begun are read whole
    if !resume_from.0.is_empty() {
        return Ok((starts, BTreeSet::new()));
    }
    let ends = cluster.ends(&splits)?;
    match beginning {
        Beginning::Offsets(starting) => by_offsets(starting, starts, &ends),
        Beginning::Times { times, or_end } => {
            let asked = splits.iter().map(|split| {
                let (topic, partition) = topic_partition(split)?;
                Ok((split.clone(), times.of(topic, partition)?))
            });
            let asked = asked.collect::<Result<BTreeMap<Split, i64>>>()?;
            let mut first = cluster.first_since(&asked)?;
            for (split, millis) in asked {
                match (first.get(&split), or_end) {
                    (Some(_), _) => {}
                    (None, true) => {
                        let end = ends.get(&split).unwrap_or(0);
                        first.0.insert(split, end);
                    }
                    (None, false) => return Err(nothing_since(&split, millis)?),
                }
            }
            let pinned = first.0.keys().cloned().collect();
            Ok((first, pinned))
        }
    }
}

fn by_offsets(starting: &Starting, mut first: Offsets, ends: &Offsets) -> Result<(Offsets, BTreeSet<Split>)> {
    let mut pinned = BTreeSet::new();
    for (split, position) in &mut first.0 {
        let (topic, partition) = topic_partition(split)?;
        let end = ends.get(split).unwrap_or(*position);
        match starting.of(topic, partition)? {
            Start::Earliest => continue,
            Start::Latest => *position = end,
            Start::At(offset) if (*position..=end).contains(&offset) => *position = offset,
            Start::At(offset) => {
                let place = format!("topic '{topic}', partition {partition}, which holds {position} to {end}");
                return Err(Error::invalid(format!("'starting_offsets' is {offset} for {place}")));
            }
        }
        pinned.insert(split.clone());
    }
    Ok((first, pinned))
}

/// Spark's strategy `error`.
fn nothing_since(split: &str, millis: i64) -> Result<Error> {
    let (topic, partition) = topic_partition(split)?;
    Ok(Error::invalid(format!(
        "topic '{topic}', partition {partition} has no record of the time {millis} (milliseconds since 1970) or later"
    ))
    .help(format!("set {} = 'latest' to begin at the end of such partitions", STARTING_STRATEGY.name)))
}

#[cfg(test)]
mod tests {
    use super::super::source_options::DESCRIPTION;
    use super::*;
    use tidemill_core::options::GivenOption;

    fn subscribed(given: &[(&str, &str)]) -> Result<Subscription> {
        let mut all = vec![GivenOption::new("bootstrap_servers", "b:1")];
        all.extend(given.iter().map(|(key, value)| GivenOption::new(*key, *value)));
        subscription("t", &Options::check("source 'kafka'", &[DESCRIPTION.options], &all)?)
    }

    #[test]
    fn one_of_three_ways_says_what_is_read() {
        let read = subscribed(&[("assign", r#"{"a-b": [0, 2], "c": [1]}"#)]).unwrap();
        assert!(read.includes("a-b", 2) && read.includes("c", 1));
        assert!(!read.includes("a-b", 1) && !read.includes("d", 0));
        let read = subscribed(&[("subscribePattern", "a|b.*")]).unwrap();
        assert!(read.includes("bc", 9) && !read.includes("ab", 0), "the whole name must match");
        for wrong in [r#"{"a": 1}"#, r#"{"a": []}"#, "{}", "a", r#"{"a": [-1]}"#] {
            let error = subscribed(&[("assign", wrong)]).unwrap_err();
            assert!(error.report().contains("no list of partitions"), "{}", error.report());
        }
        for wrong in [&[][..], &[("topic", "a"), ("assign", r#"{"a": [0]}"#)], &[("topic", " ,")]] {
            assert!(subscribed(wrong).unwrap_err().to_string().contains("needs one of the options"));
        }
    }
}
