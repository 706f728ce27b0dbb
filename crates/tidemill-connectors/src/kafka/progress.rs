//! Shows how far a query is in a consumer group, where tools for lag look. Only what is committed is shown, and nothing
//! depends on it: the checkpoint has the positions.

use super::client::Context;
use super::identity;
use crate::topics::topic_partition;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::thread;
use std::time::Duration;
use tidemill_core::Offsets;

/// The group is written at most this often.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a query that ends waits for the group to know its last position.
const END_WAIT: Duration = Duration::from_secs(2);
const END_POLL: Duration = Duration::from_millis(5);

/// What the group is still to be told.
#[derive(Default)]
pub(crate) struct GroupProgress {
    pending: Option<Offsets>,
    told: Option<Duration>,
}

impl GroupProgress {
    /// The positions are committed.
    pub(crate) fn note(&mut self, offsets: &Offsets) {
        self.pending = Some(identity::partitions(offsets));
    }

    /// How long until the group may be told, if there is anything to tell.
    pub(crate) fn due_in(&self, now: Duration) -> Option<Duration> {
        let waited = self.told.map_or(INTERVAL, |told| now.saturating_sub(told));
        self.pending.is_some().then(|| INTERVAL.saturating_sub(waited))
    }

    /// Tells the group when it is time.
    pub(crate) fn tell(&mut self, consumer: &BaseConsumer<Context>, now: Duration) {
        if self.due_in(now).is_some_and(|left| left.is_zero()) {
            self.told = Some(now);
            self.send(consumer);
        }
    }

    /// Tells the group now, and waits for its answer for a short time.
    pub(crate) fn finish(&mut self, consumer: &BaseConsumer<Context>) {
        self.send(consumer);
        for _ in 0..END_WAIT.as_millis() / END_POLL.as_millis() {
            if consumer.client().context().0.shown.is_answered() {
                return;
            }
            thread::sleep(END_POLL);
        }
        tracing::debug!("the consumer group has not answered; it may show an older position");
    }

    fn send(&mut self, consumer: &BaseConsumer<Context>) {
        let Some(offsets) = self.pending.take() else { return };
        let mut positions = TopicPartitionList::new();
        for (split, offset) in &offsets.0 {
            let Ok((topic, partition)) = topic_partition(split) else { continue };
            let _ = positions.add_partition_offset(topic, partition as i32, Offset::Offset(*offset as i64));
        }
        if positions.count() == 0 {
            return;
        }
        let shown = &consumer.client().context().0.shown;
        shown.asked();
        if let Err(error) = consumer.commit(&positions, CommitMode::Async) {
            shown.answered(Err(&error));
        }
    }
}
