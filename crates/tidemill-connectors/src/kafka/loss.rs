//! Records that are gone before they were read: the query stops, or goes on and says what it lost.

use super::client::is_denied;
use super::fetch::Part;
use super::identity::{self, TopicId};
use super::source::{KafkaSource, blocking};
use crate::topics::topic_partition;
use rdkafka::error::RDKafkaErrorCode;
use tidemill_core::{Error, Kind, Offsets, Result, Split, SplitRange};

/// What is said with every loss.
const HELP: &str = "set fail_on_data_loss = 'false' to go on with what is there, or start with a new checkpoint";

/// The error for a topic that is not the one that the checkpoint holds positions of.
pub(super) fn made_again(topic: &str) -> Error {
    Error::new(
        Kind::Data,
        format!("topic '{topic}' was deleted and made again: it has another id than the one that was read"),
    )
    .class("TOPIC_RECREATED")
    .help(HELP)
}

impl KafkaSource {
    /// Topics that were made again are read from their beginning, when that is allowed: the ranges that say so to the
    /// checkpoint. All partitions of a topic at once, since the id is that of all.
    ///
    /// # Errors
    /// It is not allowed, or the brokers do not answer.
    pub(super) async fn start_over(&mut self, topics: &[(String, TopicId)], from: &Offsets) -> Result<Vec<SplitRange>> {
        let mut ranges = Vec::new();
        for (topic, id) in topics {
            if self.fail_on_data_loss {
                return Err(made_again(topic));
            }
            let is_of = |split: &Split| topic_partition(split).is_ok_and(|(of, _)| of == topic);
            let known: Vec<Split> = self.first.0.keys().filter(|split| is_of(split)).cloned().collect();
            let (cluster, asked) = (self.cluster.clone(), known.clone());
            let starts = blocking("ask Kafka for offsets", move || cluster.starts(&asked)).await?;
            tracing::warn!(topic, "the topic was deleted and made again; it is read from its beginning");
            for split in known {
                let part = self.fetcher.part(&split);
                let start = starts.get(&split).unwrap_or(0);
                if !self.fetcher.repositioned(&part, start, self.cluster.timeout).await {
                    return Ok(Vec::new());
                }
                self.gaps.remove(&split);
                self.first.0.insert(split.clone(), start);
                ranges.push(SplitRange::new(split, start, start));
            }
            // partitions that the new topic has not, or not yet
            let old = from.0.keys().filter(|split| is_of(split) && !self.first.0.contains_key(*split));
            ranges.extend(old.map(|split| SplitRange::new(split.clone(), 0, 0)));
            ranges.push(id.pin(topic));
        }
        Ok(ranges)
    }

    /// The topics of `from` that were made again since.
    pub(super) fn remade(&self, from: &Offsets) -> Vec<(String, TopicId)> {
        identity::made_again(&self.ids, from).into_iter().map(|(topic, id)| (topic.to_owned(), id)).collect()
    }

    /// What stands in the way of reading on from `from`, where fetching has stopped: the position to go
    /// on from, or an error.
    pub(super) async fn settle(&self, part: &Part, from: u64, failure: RDKafkaErrorCode) -> Result<u64> {
        let (topic, partition) = topic_partition(&part.split)?;
        if is_denied(failure) {
            return Err(Error::new(Kind::Denied, format!("the brokers refuse topic '{topic}': {failure}")));
        }
        let (cluster, split) = (self.cluster.clone(), part.split.clone());
        let bounds = match blocking("ask Kafka for offsets", move || cluster.bounds(&split)).await {
            // as with any other silence of the brokers: the same position is tried again
            Err(error) if error.kind() == Kind::Again => {
                tracing::warn!(split = %part.split, error = error.chain(), "the brokers do not answer, trying again");
                return Ok(from);
            }
            bounds => bounds?,
        };
        let place = format!("topic '{topic}', partition {partition}");
        let (message, onward) = match bounds {
            None => (format!("{place}: it was deleted, and was read up to offset {from}"), from),
            Some((start, _)) if from < start => {
                (format!("{place}: offsets {from} to {start} were deleted before they were read"), start)
            }
            Some((start, end)) if from > end => {
                let why = "the topic was made again or cut";
                (format!("{place}: the position is {from}, and the partition ends at {end}: {why}"), start)
            }
            Some(_) => return Ok(from),
        };
        if self.fail_on_data_loss {
            return Err(Error::new(Kind::Data, message).help(HELP));
        }
        tracing::warn!(topic, partition, from, onward, "{message}");
        Ok(onward)
    }
}
