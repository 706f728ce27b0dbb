//! What the brokers say: which topics and partitions there are, and where they begin and end.
//!
//! Blocking, each call with a timeout; callers move it to a blocking thread.

use super::client::{failed, gather_troubles, is_silence};
use super::connection::Connection;
use super::describe_topics::topic_ids;
use super::identity::TopicId;
use crate::topics::{split, topic_partition};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::nearest::nearest;
use tidemill_core::{Error, Offsets, Result, Split};

/// A topic that seems to be gone is looked for this often, with this pause between.
const GONE_LOOKS: u32 = 5;
const GONE_PAUSE: Duration = Duration::from_millis(500);

/// A partition without a leader is asked about this often, with this pause between.
const MOVING_LOOKS: u32 = 40;
const MOVING_PAUSE: Duration = Duration::from_millis(250);

/// Which topics a table reads.
#[derive(Debug, Clone)]
pub(crate) enum Subscription {
    /// These; each must be there.
    Topics(Vec<String>),
    /// Every one whose whole name matches, now or later.
    Pattern(Regex),
    /// These partitions of these topics; each must be there.
    Partitions(BTreeMap<String, BTreeSet<u32>>),
}

impl Subscription {
    /// True when the table reads the partition.
    pub(crate) fn includes(&self, topic: &str, partition: u32) -> bool {
        match self {
            Subscription::Topics(topics) => topics.iter().any(|wanted| wanted == topic),
            Subscription::Pattern(pattern) => pattern.is_match(topic),
            Subscription::Partitions(assigned) => assigned.get(topic).is_some_and(|of| of.contains(&partition)),
        }
    }
}

/// A connection for questions.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) connection: Arc<Connection>,
    pub(crate) brokers: String,
    pub(crate) timeout: Duration,
}

impl Cluster {
    /// Refuses a subscription that names a topic or a partition that does not exist.
    ///
    /// # Errors
    /// That, or no broker answers, or access is refused.
    pub(crate) fn check(&self, subscription: &Subscription) -> Result<()> {
        match subscription {
            Subscription::Pattern(_) => Ok(()),
            Subscription::Topics(topics) => topics.iter().try_for_each(|topic| self.partition_count(topic).map(|_| ())),
            Subscription::Partitions(assigned) => assigned.iter().try_for_each(|(topic, partitions)| {
                let count = self.partition_count(topic)?;
                match partitions.iter().find(|partition| **partition >= count) {
                    None => Ok(()),
                    Some(missing) => Err(Error::invalid(format!(
                        "there is no partition {missing} of topic '{topic}' at {}: it has {count}, from 0 on",
                        self.brokers
                    ))
                    .class("UNKNOWN_TOPIC_OR_PARTITION")
                    .help("correct the option 'assign'")),
                }
            }),
        }
    }

    /// Every partition of the subscription that exists.
    ///
    /// # Errors
    /// No broker answers, or access is refused.
    pub(crate) fn partitions(&self, subscription: &Subscription) -> Result<BTreeSet<Split>> {
        let counts: Vec<(String, u32)> = match subscription {
            Subscription::Pattern(pattern) => {
                self.topics()?.into_iter().filter(|(topic, _)| pattern.is_match(topic)).collect()
            }
            Subscription::Topics(topics) => self.counts(topics.iter())?,
            Subscription::Partitions(assigned) => self.counts(assigned.keys())?,
        };
        let all = counts.iter().flat_map(|(topic, count)| (0..*count).map(move |partition| (topic, partition)));
        let wanted = all.filter(|(topic, partition)| subscription.includes(topic, *partition));
        Ok(wanted.map(|(topic, partition)| split(topic, partition)).collect())
    }

    /// The ids of the topics of the partitions, where the brokers know any.
    ///
    /// # Errors
    /// No broker answers.
    pub(crate) fn topic_ids<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a Split>,
    ) -> Result<BTreeMap<String, TopicId>> {
        let topics: BTreeSet<&str> =
            partitions.into_iter().filter_map(|split| topic_partition(split).ok()).map(|(topic, _)| topic).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        match topic_ids(&self.connection.consumer(), &topics, self.timeout) {
            Ok(ids) => Ok(ids),
            Err(error) if error.rdkafka_error_code().is_some_and(is_silence) => {
                Err(self.failed("cannot ask for the ids of topics", &error))
            }
            // the question is not one that every system answers
            Err(error) => {
                tracing::debug!(%error, "the brokers tell no ids of topics");
                Ok(BTreeMap::new())
            }
        }
    }

    fn counts<'a>(&self, topics: impl Iterator<Item = &'a String>) -> Result<Vec<(String, u32)>> {
        topics.map(|topic| Ok((topic.clone(), self.count(topic)?.unwrap_or(0)))).collect()
    }

    fn partition_count(&self, topic: &str) -> Result<u32> {
        self.count(topic)?.ok_or_else(|| self.missing(topic))
    }

    /// Number of partitions of a topic; `None` when there is no such topic.
    pub(crate) fn count(&self, topic: &str) -> Result<Option<u32>> {
        let metadata = self.connection.consumer().fetch_metadata(Some(topic), self.timeout);
        let metadata = metadata.map_err(|error| self.failed(&format!("cannot look for topic '{topic}'"), &error))?;
        let Some(about) = metadata.topics().iter().find(|about| about.name() == topic) else { return Ok(None) };
        use rdkafka::types::RDKafkaRespErr as Code;
        match about.error() {
            None => Ok(Some(about.partitions().len() as u32)),
            Some(Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART | Code::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) => Ok(None),
            Some(other) => {
                let error = KafkaError::MetadataFetch(other.into());
                Err(self.failed(&format!("cannot look for topic '{topic}'"), &error))
            }
        }
    }

    fn topics(&self) -> Result<Vec<(String, u32)>> {
        let metadata = self.connection.consumer().fetch_metadata(None, self.timeout);
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
        self.offsets(splits.into_iter().map(|split| (split, Offset::Beginning)))
    }

    /// End of each of the partitions for a reader of committed records: the last stable offset.
    ///
    /// # Errors
    /// No broker answers, or access is refused.
    pub(crate) fn ends<'a>(&self, splits: impl IntoIterator<Item = &'a Split>) -> Result<Offsets> {
        self.offsets(splits.into_iter().map(|split| (split, Offset::End)))
    }

    /// Of each of the partitions the first record whose time is that in milliseconds or later; a partition without one
    /// is absent.
    ///
    /// # Errors
    /// No broker answers, or access is refused.
    pub(crate) fn first_since(&self, times: &BTreeMap<Split, i64>) -> Result<Offsets> {
        self.offsets(times.iter().map(|(split, millis)| (split, Offset::Offset(*millis))))
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
    fn offsets<'a>(&self, asked: impl Iterator<Item = (&'a Split, Offset)>) -> Result<Offsets> {
        let mut question = TopicPartitionList::new();
        let failed = |error: &KafkaError| self.failed("cannot ask for offsets", error);
        for (split, which) in asked {
            let (topic, partition) = topic_partition(split)?;
            question.add_partition_offset(topic, partition as i32, which).map_err(|error| failed(&error))?;
        }
        let mut offsets = Offsets::default();
        if question.count() == 0 {
            return Ok(offsets);
        }
        let answered = self.answered(&question).map_err(|error| failed(&error))?;
        for one in answered.elements() {
            one.error().map_err(|error| failed(&error))?;
            match one.offset() {
                Offset::Offset(offset) => {
                    offsets.0.insert(split(one.topic(), one.partition() as u32), offset.max(0) as u64);
                }
                // the answer for a time after the newest record
                Offset::End => {}
                other => return Err(Error::bug(format!("a broker gave {other:?} as an offset of {}", one.topic()))),
            }
        }
        Ok(offsets)
    }

    /// The answer to a question about offsets. A topic that was just made, and one whose leaders move, is asked about
    /// again: the client may know a leader that is none yet, or none any more.
    fn answered(&self, question: &TopicPartitionList) -> KafkaResult<TopicPartitionList> {
        let consumer = self.connection.consumer();
        let mut looks = 1;
        loop {
            let answered = consumer.offsets_for_times(question.clone(), self.timeout);
            if looks == MOVING_LOOKS || !is_without_leader(&answered) {
                return answered;
            }
            looks += 1;
            std::thread::sleep(MOVING_PAUSE);
            // has the client learn the leaders
            for topic in question.elements().iter().map(TopicPartitionListElem::topic).collect::<BTreeSet<_>>() {
                consumer.fetch_metadata(Some(topic), self.timeout)?;
            }
        }
    }

    fn failed(&self, what: &str, error: &KafkaError) -> Error {
        let client = self.connection.consumer();
        gather_troubles(&client);
        failed(what, &self.brokers, error, &client.client().context().0)
    }
}

fn is_without_leader(answered: &KafkaResult<TopicPartitionList>) -> bool {
    match answered {
        Err(error) => is_moving(error),
        Ok(answered) => answered.elements().iter().any(|one| one.error().is_err_and(|error| is_moving(&error))),
    }
}

/// True when the partition's leader is another than the client knows, or none yet.
fn is_moving(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(
            Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::ReplicaNotAvailable
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::KafkaStorageError
                | Code::OffsetNotAvailable
        )
    )
}
