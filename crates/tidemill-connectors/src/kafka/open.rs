//! What a Kafka source finds out once: its topics, its client, and where each partition begins.

use super::client::{Context, misconfigured};
use super::cluster::{Cluster, Subscription};
use super::options as given;
use crate::topics::starting::{Start, Starting};
use crate::topics::{names, topic_partition};
use rdkafka::consumer::BaseConsumer;
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Offsets, Options, Result, ResultExt, Split};

/// Which topics the options name.
///
/// # Errors
/// None or both of the options, or a pattern that cannot be read.
pub(crate) fn subscription(table: &str, options: &Options) -> Result<Subscription> {
    match (options.text("subscribe").map(names), options.text("subscribe_pattern")) {
        (Some(topics), None) if !topics.is_empty() => Ok(Subscription::Topics(topics)),
        (None, Some(pattern)) => {
            Regex::new(&format!("^(?:{pattern})$")).map(Subscription::Pattern).context(Kind::Invalid, || {
                format!("option 'subscribe_pattern' of table '{table}' is no regular expression")
            })
        }
        _ => {
            Err(Error::invalid(format!("table '{table}' needs one of the options 'subscribe' and 'subscribe_pattern'"))
                .help("subscribe = 'a,b' names topics; subscribe_pattern = 'events-.*' matches them"))
        }
    }
}

/// The client: it never joins a group, fetches only what it is told to, and sees committed records.
///
/// # Errors
/// A property that is not allowed or wrong.
pub(crate) fn consumer(table: &str, options: &Options, buffer_bytes: u64) -> Result<Arc<BaseConsumer<Context>>> {
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
            ("topic.metadata.refresh.interval.ms", "30000"),
        ],
    )?;
    let consumer = config.create_with_context(Context::default()).map_err(|error| misconfigured(table, error))?;
    Ok(Arc::new(consumer))
}

/// Where every partition begins that `resume_from` does not hold, and which of these must be pinned.
///
/// # Errors
/// A topic that does not exist, a position that a partition has not, no answer from the brokers.
pub(crate) fn first_positions(
    cluster: &Cluster,
    subscription: &Subscription,
    starting: &Starting,
    resume_from: &Offsets,
) -> Result<(Offsets, BTreeSet<Split>)> {
    cluster.check(subscription)?;
    let splits = cluster.partitions(subscription)?;
    let mut first = cluster.starts(&splits)?;
    let mut pinned = BTreeSet::new();
    if resume_from.0.is_empty() {
        let ends = cluster.ends(&splits)?;
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
    }
    Ok((first, pinned))
}
