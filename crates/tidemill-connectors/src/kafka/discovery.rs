//! Looks at the brokers again now and then, in the background: for new partitions and topics, for those that are gone,
//! and for topics that were made again.

use super::cluster::{Cluster, Subscription};
use super::identity::TopicId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::{Kind, Offsets, Result, ResultExt, Split};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// When to look, and the look that is on its way.
pub(crate) struct Discovery {
    interval: Duration,
    looked: Duration,
    task: Option<JoinHandle<Result<Found>>>,
}

/// What a look found.
pub(crate) struct Found {
    /// New partitions and where they begin.
    pub(crate) new: Offsets,
    /// Known partitions that are not there any more.
    pub(crate) gone: Vec<Split>,
    /// The ids of the topics.
    pub(crate) ids: BTreeMap<String, TopicId>,
}

impl Discovery {
    /// The brokers were looked at `now`.
    pub(crate) fn new(interval: Duration, now: Duration) -> Discovery {
        Discovery { interval, looked: now, task: None }
    }

    /// How long until the next look.
    pub(crate) fn left(&self, now: Duration) -> Duration {
        self.interval.saturating_sub(now.saturating_sub(self.looked))
    }

    /// What a look has found that is done. Silence of the brokers is no error: they are asked again.
    ///
    /// # Errors
    /// A bug.
    pub(crate) async fn found(&mut self) -> Result<Option<Found>> {
        let Some(task) = self.task.take_if(|task| task.is_finished()) else { return Ok(None) };
        match task.await.context(Kind::Bug, || "the task that looks for new partitions ended early".into())? {
            Ok(found) => Ok(Some(found)),
            Err(error) => {
                tracing::warn!(%error, "cannot look for new Kafka partitions, trying again later");
                Ok(None)
            }
        }
    }

    /// Begins a look when it is time; `news` hears of its end.
    pub(crate) fn look(
        &mut self,
        now: Duration,
        cluster: &Cluster,
        subscription: &Subscription,
        known: &Offsets,
        news: &Arc<Notify>,
    ) {
        if self.task.is_some() || !self.left(now).is_zero() {
            return;
        }
        self.looked = now;
        let (cluster, subscription, news) = (cluster.clone(), subscription.clone(), news.clone());
        let known: BTreeSet<Split> = known.0.keys().cloned().collect();
        self.task = Some(tokio::task::spawn_blocking(move || {
            let found = found(&cluster, &subscription, &known);
            news.notify_one();
            found
        }));
    }
}

fn found(cluster: &Cluster, subscription: &Subscription, known: &BTreeSet<Split>) -> Result<Found> {
    let there = cluster.partitions(subscription)?;
    // before the starts: a topic that is made again in between is then found by the next look
    let ids = cluster.topic_ids(&there)?;
    let new = cluster.starts(there.difference(known))?;
    Ok(Found { new, gone: known.difference(&there).cloned().collect(), ids })
}
