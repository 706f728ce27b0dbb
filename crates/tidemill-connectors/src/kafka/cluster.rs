//! What the brokers say: which topics and partitions there are, and where they begin and end.
//!
//! Blocking, each call with a timeout; callers move it to a blocking thread.

use super::client::{Context, failed, gather_troubles};
use crate::topics::{split, topic_partition};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::nearest::nearest;
use tidemill_core::{Error, Offsets, Result, Split};

/// A topic that seems to be gone is looked for this often, with this pause between.
const GONE_LOOKS: u32 = 5;
const GONE_PAUSE: Duration = Duration::from_millis(500);

/// Which topics a table reads.
#[derive(Debug, Clone)]
pub(crate) enum Subscription {
    /// These; each must be there.
    Topics(Vec<String>),
    /// Every one whose whole name matches, now or later.
    Pattern(Regex),
}

impl Subscription {
    /// True when the table reads `topic`.
    pub(crate) fn includes(&self, topic: &str) -> bool {
        match self {
            Subscription::Topics(topics) => topics.iter().any(|wanted| wanted == topic),
            Subscription::Pattern(pattern) => pattern.is_match(topic),
        }
    }
}

/// A connection for questions.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) consumer: Arc<BaseConsumer<Context>>,
    pub(crate) brokers: String,
    pub(crate) timeout: Duration,
}

impl Cluster {
    /// Refuses a subscription that names a topic that does not exist.
    ///
    /// # Errors
    /// That, or no broker answers, or access is refused.
    pub(crate) fn check(&self, subscription: &Subscription) -> Result<()> {
        let Subscription::Topics(topics) = subscription else { return Ok(()) };
        topics.iter().try_for_each(|topic| match self.count(topic)? {
            Some(_) => Ok(()),
            None => Err(self.missing(topic)),
        })
    }

    /// Every partition of the subscribed topics that exist.
    ///
    /// # Errors
    /// No broker answers, or access is refused.
    pub(crate) fn partitions(&self, subscription: &Subscription) -> Result<BTreeSet<Split>> {
        let mut found = BTreeSet::new();
        match subscription {
            Subscription::Topics(topics) => {
                for topic in topics {
                    let count = self.count(topic)?.unwrap_or(0);
                    found.extend((0..count).map(|partition| split(topic, partition)));
                }
            }
            Subscription::Pattern(pattern) => {
                for (topic, count) in self.topics()?.into_iter().filter(|(topic, _)| pattern.is_match(topic)) {
                    found.extend((0..count).map(|partition| split(&topic, partition)));
                }
            }
        }
        Ok(found)
    }

    /// Number of partitions of a topic; `None` when there is no such topic.
    pub(crate) fn count(&self, topic: &str) -> Result<Option<u32>> {
        let metadata = self.consumer.fetch_metadata(Some(topic), self.timeout);
        let metadata = metadata.map_err(|error| self.failed(&format!("cannot look for topic '{topic}'"), &error))?;
        let Some(about) = metadata.topics().iter().find(|about| about.name() == topic) else { return Ok(None) };
        use rdkafka::types::RDKafkaRespErr as Code;
        match about.error() {
            None => Ok(Some(about.partitions().len() as u32)),
            Some(Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART | Code::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) => Ok(None),
            Some(other) => {
                let error = rdkafka::error::KafkaError::MetadataFetch(other.into());
                Err(self.failed(&format!("cannot look for topic '{topic}'"), &error))
            }
        }
    }

    fn topics(&self) -> Result<Vec<(String, u32)>> {
        let metadata = self.consumer.fetch_metadata(None, self.timeout);
        let metadata = metadata.map_err(|error| self.failed("cannot list the topics", &error))?;
        let visible =
            metadata.topics().iter().filter(|about| !about.name().starts_with("__") && about.error().is_none());
        Ok(visible.map(|about| (about.name().to_owned(), about.partitions().len() as u32)).collect())
    }

    fn missing(&self, topic: &str) -> Error {
        let known: Vec<String> = self.topics().unwrap_or_default().into_iter().map(|(name, _)| name).collect();
        let error = Error::invalid(format!("there is no topic '{topic}' at {}", self.brokers))
            .class("UNKNOWN_TOPIC_OR_PARTITION");
        match nearest(topic, known.iter().map(String::as_str)) {
            Some(near) => error.help(format!("did you mean '{near}'?")),
            None => error.help("make the topic first, or check its name and that the user may read it"),
        }
    }

    /// Oldest offset of each of the partitions.
    ///
    /// # Errors
    /// No broker answers, or access is refused.
    pub(crate) fn starts<'a>(&self, splits: impl IntoIterator<Item = &'a Split>) -> Result<Offsets> {
        self.offsets(splits, Offset::Beginning)
    }

    /// End of each of the partitions for a reader of committed records: the last stable offset.
    ///
    /// # Errors
    /// No broker answers, or access is refused.
    pub(crate) fn ends<'a>(&self, splits: impl IntoIterator<Item = &'a Split>) -> Result<Offsets> {
        self.offsets(splits, Offset::End)
    }

    /// Oldest offset and end of a partition; `None` when it is gone. A broker that has just started may
    /// not know its topics yet, so that is asked more than once.
    ///
    /// # Errors
    /// No broker answers, or access is refused.
    pub(crate) fn bounds(&self, split: &Split) -> Result<Option<(u64, u64)>> {
        let (topic, partition) = topic_partition(split)?;
        for _ in 0..GONE_LOOKS {
            if self.count(topic)?.is_some_and(|count| count > partition) {
                return Ok(self.starts([split])?.get(split).zip(self.ends([split])?.get(split)));
            }
            std::thread::sleep(GONE_PAUSE);
        }
        Ok(None)
    }

    /// One request a broker for all of its partitions. The "timestamps" -2 and -1 stand for the two ends
    /// in the protocol (ListOffsets).
    fn offsets<'a>(&self, splits: impl IntoIterator<Item = &'a Split>, which: Offset) -> Result<Offsets> {
        let mut asked = TopicPartitionList::new();
        let failed = |error: &rdkafka::error::KafkaError| self.failed("cannot ask for offsets", error);
        for split in splits {
            let (topic, partition) = topic_partition(split)?;
            asked.add_partition_offset(topic, partition as i32, which).map_err(|error| failed(&error))?;
        }
        let mut offsets = Offsets::default();
        if asked.count() == 0 {
            return Ok(offsets);
        }
        let answered = self.consumer.offsets_for_times(asked, self.timeout).map_err(|error| failed(&error))?;
        for one in answered.elements() {
            one.error().map_err(|error| failed(&error))?;
            let Offset::Offset(offset) = one.offset() else {
                return Err(Error::bug(format!("a broker gave {:?} as an end of {}", one.offset(), one.topic())));
            };
            offsets.0.insert(split(one.topic(), one.partition() as u32), offset.max(0) as u64);
        }
        Ok(offsets)
    }

    fn failed(&self, what: &str, error: &rdkafka::error::KafkaError) -> Error {
        gather_troubles(&self.consumer);
        failed(what, &self.brokers, error, &self.consumer.client().context().0)
    }
}
