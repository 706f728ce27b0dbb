//! A session that receives. A message is acknowledged when it is durable in the log: until then the broker keeps it, and
//! sends it again over the next connection.
//!
//! Three tasks: one polls the client, so that the connection stays alive; one hands messages to the log, in their order
//! and when there is room; one acknowledges them. An acknowledgement is of its connection: over the next one its packet
//! id may mean another message, so what is left of a lost connection is dropped, and its messages come again.

use super::arrival;
use super::connection::Target;
use super::errors::lost;
use crate::intake::queue::{Delivery, Intake, Kept, Refusal};
use crate::retry::Retry;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Filter, Packet, Publish, RetainForwardRule, SubAck, SubscribeReasonCode};
use rumqttc::v5::mqttbytes::{QoS, matches};
use rumqttc::v5::{AsyncClient, Event, EventLoop, Request};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidemill_core::retry::Policy;
use tidemill_core::{Clock, Error, Kind, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Room for what is not acknowledgements.
const OTHER_REQUESTS: usize = 16;
/// How long an acknowledgement waits when the client's queue is full.
const ACK_PAUSE: Duration = Duration::from_millis(5);

/// What is received, and how.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    pub(super) filters: Vec<String>,
    pub(super) quality: QoS,
    /// The user property that tells a repeat.
    pub(super) key_property: Option<String>,
    pub(super) fail_on_data_loss: bool,
}

/// A session with the broker.
pub(super) struct Listener {
    client: AsyncClient,
    event_loop: EventLoop,
    subscription: Subscription,
    clock: Arc<dyn Clock>,
    broker: String,
    retry_timeout: Duration,
    inflight_max: usize,
    held: Arc<Held>,
}

/// What the tasks share of the session.
#[derive(Default)]
struct Held {
    /// Number of the connection.
    connection: AtomicU64,
    /// Messages of quality 2 that were handed to the log and not released by the broker: packet ids, and hashes of what
    /// they are of, since a broker that was set back may give an id to another message.
    unreleased: Mutex<HashMap<u16, u64>>,
    /// Held while an acknowledgement goes to the client, and while what is left of a connection is dropped.
    acknowledging: Mutex<()>,
}

impl Held {
    /// True for a message of quality 2 that was handed to the log before; notes it.
    fn is_repeat(&self, publish: &Publish) -> bool {
        let mut hasher = DefaultHasher::new();
        (&publish.topic, &publish.payload).hash(&mut hasher);
        let content = hasher.finish();
        locked(&self.unreleased).insert(publish.pkid, content) == Some(content) && publish.dup
    }
}

/// A message, and the connection it came over.
struct Arrived {
    publish: Publish,
    connection: u64,
}

/// A message in the log, or on its way there.
struct Handed {
    arrived: Arrived,
    outcome: oneshot::Receiver<Result<Kept, Refusal>>,
}

impl Listener {
    /// A session of `target`, not connected yet.
    pub(super) fn new(target: Target, subscription: Subscription, clock: Arc<dyn Clock>) -> Self {
        let inflight_max = usize::from(target.inflight_max);
        let (client, event_loop) = AsyncClient::new(target.options, 2 * inflight_max + OTHER_REQUESTS);
        let mut listener = Listener {
            client,
            event_loop,
            subscription,
            clock,
            broker: target.shown,
            retry_timeout: target.retry_timeout,
            inflight_max,
            held: Arc::default(),
        };
        listener.expect_releases();
        listener
    }

    /// Connects and subscribes; true when the broker had kept the session, and messages that have come meanwhile. With
    /// `patience` a broker that is away is waited for.
    ///
    /// # Errors
    /// The broker refuses, or is away.
    pub(super) async fn open(&mut self, patience: bool) -> Result<(bool, Vec<Publish>)> {
        let mut retry = self.retry();
        let (mut was_kept, mut early) = (false, Vec::new());
        loop {
            match self.event_loop.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(answer))) => {
                    was_kept = answer.session_present;
                    self.subscribe()?;
                }
                Ok(Event::Incoming(Packet::SubAck(answer))) => {
                    self.subscribed(&answer)?;
                    return Ok((was_kept, early));
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => early.push(publish),
                Ok(_) => {}
                Err(error) if patience => {
                    early.clear();
                    self.lose();
                    retry.wait(lost(&self.broker, error)).await?;
                }
                // the user may have mistyped where it is
                Err(error) => return Err(lost(&self.broker, error).error),
            }
        }
    }

    /// Receives until the broker refuses, or is away for too long.
    pub(super) async fn run(self, early: Vec<Publish>, intake: Intake) {
        let (arrived, arriving) = mpsc::channel(self.inflight_max);
        let (handed, handing) = mpsc::channel(self.inflight_max);
        // they end with this task
        let mut tasks = JoinSet::new();
        let (held, key_property) = (self.held.clone(), self.subscription.key_property.clone());
        tasks.spawn(hand_in(arriving, handed, intake.clone(), held.clone(), key_property));
        tasks.spawn(acknowledge(handing, self.client.clone(), held));
        if let Err(error) = self.receive(early, arrived).await {
            intake.fail(error);
        }
    }

    async fn receive(mut self, early: Vec<Publish>, arrived: mpsc::Sender<Arrived>) -> Result<()> {
        for publish in early {
            self.came(publish, &arrived).await;
        }
        let mut retry = self.retry();
        let mut is_lost = false;
        loop {
            match self.event_loop.poll().await {
                Ok(Event::Incoming(Packet::Publish(publish))) => self.came(publish, &arrived).await,
                Ok(Event::Incoming(Packet::PubRel(release))) => {
                    locked(&self.held.unreleased).remove(&release.pkid);
                }
                Ok(Event::Incoming(Packet::ConnAck(answer))) => {
                    is_lost = self.connected_again(&answer)?;
                    retry = self.retry();
                }
                Ok(Event::Incoming(Packet::SubAck(answer))) => {
                    self.subscribed(&answer)?;
                    if std::mem::take(&mut is_lost) {
                        session_lost(&self.broker, self.subscription.fail_on_data_loss)?;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    for publish in self.lose() {
                        self.came(publish, &arrived).await;
                    }
                    retry.wait(lost(&self.broker, error)).await?;
                }
            }
        }
    }

    /// After a connection was made again; true when the session was lost.
    fn connected_again(&mut self, answer: &ConnAck) -> Result<bool> {
        tracing::info!(broker = self.broker, session = answer.session_present, "connected again");
        if !answer.session_present {
            locked(&self.held.unreleased).clear();
        }
        self.subscribe()?;
        Ok(!answer.session_present)
    }

    /// A message has come.
    async fn came(&mut self, publish: Publish, arrived: &mpsc::Sender<Arrived>) {
        let topic = String::from_utf8_lossy(&publish.topic);
        let connection = self.held.connection.load(Ordering::Acquire);
        let is_wanted = self.subscription.filters.iter().any(|filter| matches(&topic, topics_of(filter)));
        let unacknowledged = publish.qos == QoS::AtMostOnce;
        if !is_wanted {
            // of a filter that the session had before and the options name no more
            tracing::debug!(%topic, "a message of an earlier subscription is passed over");
            let _ = self.client.try_ack(&publish);
        } else if unacknowledged {
            if arrived.try_send(Arrived { publish, connection }).is_err() {
                tracing::warn!("a message of quality 0 is lost: there is no room for it");
            }
        } else {
            // the broker sends no more than there is room for, so that this hardly ever waits
            let _ = arrived.send(Arrived { publish, connection }).await;
        }
    }

    fn subscribe(&self) -> Result<()> {
        let filters = self.subscription.filters.iter().map(|path| Filter {
            path: path.clone(),
            qos: self.subscription.quality,
            nolocal: false,
            preserve_retain: true,
            // a connection that is made again does not bring retained messages once more
            retain_forward_rule: RetainForwardRule::OnNewSubscribe,
        });
        self.client.try_subscribe_many(filters).map_err(|error| {
            Error::invalid("the MQTT client does not take the filters of option 'topic'").caused_by(error)
        })
    }

    fn subscribed(&self, answer: &SubAck) -> Result<()> {
        for (filter, code) in self.subscription.filters.iter().zip(&answer.return_codes) {
            let kind = match code {
                SubscribeReasonCode::Success(_) => continue,
                SubscribeReasonCode::NotAuthorized => Kind::Denied,
                _ => Kind::Invalid,
            };
            let text =
                format!("the MQTT broker at {} does not take the subscription '{filter}': {code:?}", self.broker);
            return Err(Error::new(kind, text).help("see option 'topic' and the broker's access rules"));
        }
        Ok(())
    }

    /// Drops what is left of a connection; gives the messages that nobody will send again.
    fn lose(&mut self) -> Vec<Publish> {
        let held = self.held.clone();
        let _acknowledging = locked(&held.acknowledging);
        held.connection.fetch_add(1, Ordering::AcqRel);
        self.event_loop.clean();
        self.event_loop.pending.retain(|request| !matches!(request, Request::PubAck(_) | Request::PubRec(_)));
        // a subscription is made anew by every connection
        self.event_loop.pending.retain(|request| !matches!(request, Request::Subscribe(_)));
        let unread = std::mem::take(&mut self.event_loop.state.events);
        self.expect_releases();
        let once = |event| match event {
            Event::Incoming(Packet::Publish(publish)) if publish.qos == QoS::AtMostOnce => Some(publish),
            _ => None,
        };
        unread.into_iter().filter_map(once).collect()
    }

    /// A broker that goes on with a session releases messages of quality 2 that came over an earlier connection, of
    /// which the client knows nothing: it would take that for a broken protocol, again and again. So it is told of
    /// every packet id that a message might have had.
    fn expect_releases(&mut self) {
        if self.subscription.quality != QoS::ExactlyOnce {
            return;
        }
        for pkid in 1..=u16::MAX {
            let publish = Publish { qos: QoS::ExactlyOnce, pkid, ..Publish::default() };
            let _ = self.event_loop.state.handle_incoming_packet(Packet::Publish(publish));
            self.event_loop.state.events.clear();
        }
    }

    fn retry(&self) -> Retry {
        let policy = Policy::within(self.retry_timeout).pauses(PAUSE_MIN, PAUSE_MAX);
        Retry::new(policy, "mqtt", self.clock.clone())
    }
}

/// The broker has not kept a session that was there: what was published meanwhile is lost.
///
/// # Errors
/// That, unless the table goes on nevertheless.
pub(super) fn session_lost(broker: &str, fails: bool) -> Result<()> {
    let text = format!("the MQTT broker at {broker} has not kept the session: messages published meanwhile are lost");
    if fails {
        return Err(Error::new(Kind::Data, text).help(
            "a new session is there: start the query again to go on with it; keep sessions on the broker's disk, and raise \
             'session_expiry_interval'; fail_on_data_loss = 'false' goes on by itself",
        ));
    }
    tracing::warn!("{text}");
    Ok(())
}

/// Hands messages to the log, in their order.
async fn hand_in(
    mut arriving: mpsc::Receiver<Arrived>,
    handed: mpsc::Sender<Handed>,
    intake: Intake,
    held: Arc<Held>,
    key_property: Option<String>,
) {
    while let Some(arrived) = arriving.recv().await {
        intake.caught_up().await;
        let publish = &arrived.publish;
        let bytes = (publish.payload.len() + publish.topic.len()) as u64;
        let Some(room) = intake.room_in_time(bytes).await else { return };
        let is_old = arrived.connection != held.connection.load(Ordering::Acquire);
        let delivery = match publish.qos {
            QoS::AtMostOnce => arrival::delivery(publish, key_property.as_deref()),
            // it comes again
            _ if is_old => continue,
            QoS::ExactlyOnce if held.is_repeat(publish) => Delivery::default(),
            _ => arrival::delivery(publish, key_property.as_deref()),
        };
        let Some(outcome) = intake.hand_in_in_time(delivery, room).await else { return };
        if handed.send(Handed { arrived, outcome }).await.is_err() {
            return;
        }
    }
}

/// Acknowledges what is durable.
async fn acknowledge(mut handing: mpsc::Receiver<Handed>, client: AsyncClient, held: Arc<Held>) {
    while let Some(Handed { arrived, outcome }) = handing.recv().await {
        // what is not kept is not acknowledged; the source says why
        let Ok(Ok(_)) = outcome.await else { return };
        while !acknowledged(&arrived, &client, &held) {
            tokio::time::sleep(ACK_PAUSE).await;
        }
    }
}

/// True when it is done, or not to be done any more.
fn acknowledged(arrived: &Arrived, client: &AsyncClient, held: &Held) -> bool {
    let _acknowledging = locked(&held.acknowledging);
    arrived.connection != held.connection.load(Ordering::Acquire) || client.try_ack(&arrived.publish).is_ok()
}

/// The topics of a shared subscription, or of any other.
fn topics_of(filter: &str) -> &str {
    match filter.strip_prefix("$share/").and_then(|shared| shared.split_once('/')) {
        Some((_, topics)) => topics,
        None => filter,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
