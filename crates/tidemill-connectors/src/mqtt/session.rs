//! A session with a broker: sends messages and returns when the broker has acknowledged each of them. A connection
//! that is lost is made again, and what was not acknowledged is sent again, in its order.
//!
//! Nobody else polls the client's event loop while messages are sent, so what is in its queues is known: after a loss
//! all of it is in `pending`, which the client sends again when the broker still has the session, and throws away when
//! it has not. In the second case the messages are given to it anew.

use super::connection::Target;
use super::errors::{as_ack, lost, not_taken};
use super::message::Message;
use crate::retry::Retry;
use bytes::Bytes;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Packet, PubAckReason, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, Request};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::retry::Policy;
use tidemill_core::{Clock, Error, Kind, Result};

/// Room for what is not messages: a subscription, a farewell.
const OTHER_REQUESTS: usize = 8;
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
const FAREWELL: Duration = Duration::from_secs(1);

/// A session, with a connection or between two.
pub(super) struct Session {
    client: AsyncClient,
    event_loop: EventLoop,
    clock: Arc<dyn Clock>,
    broker: String,
    retry_timeout: Duration,
    is_persistent: bool,
    inflight_max: usize,
    /// What the broker takes at once.
    receive_max: usize,
}

/// Messages that are being sent.
struct Flight<'a> {
    messages: &'a [Message],
    /// Given to the client and not seen on the wire, in their order.
    queued: VecDeque<usize>,
    /// On the wire and not acknowledged, by packet id.
    sent: HashMap<u16, usize>,
    /// The connection was lost since they were given to the client.
    was_lost: bool,
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// The broker does not answer for as long as is waited, or refuses.
    pub async fn open(target: Target, clock: Arc<dyn Clock>) -> Result<Self> {
        let inflight_max = usize::from(target.inflight_max);
        let (client, event_loop) = AsyncClient::new(target.options, inflight_max + OTHER_REQUESTS);
        let mut session = Session {
            client,
            event_loop,
            clock,
            broker: target.shown,
            retry_timeout: target.retry_timeout,
            is_persistent: target.is_persistent,
            inflight_max,
            receive_max: inflight_max,
        };
        loop {
            match session.event_loop.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(answer))) => {
                    session.connected(&answer);
                    return Ok(session);
                }
                Ok(_) => {}
                // at a start a broker that is away is an error: the user may have mistyped where it is
                Err(error) => return Err(lost(&session.broker, error).error),
            }
        }
    }

    fn connected(&mut self, answer: &ConnAck) {
        let taken = answer.properties.as_ref().and_then(|properties| properties.receive_max);
        self.receive_max = self.inflight_max.min(taken.map_or(usize::MAX, usize::from)).max(1);
        // the first session of a process is a new one; a connection that is lost goes on with it
        if self.is_persistent {
            self.event_loop.options.set_clean_start(false);
        }
    }

    /// Sends `messages`, as many at a time as the broker takes, and returns when it has them all.
    ///
    /// # Errors
    /// A message is refused, or the broker is away for too long. Some messages may be there then.
    pub async fn send(&mut self, messages: &[Message]) -> Result<()> {
        let mut from = 0;
        while from < messages.len() {
            let to = messages.len().min(from + self.receive_max);
            self.fly(&messages[from..to]).await?;
            from = to;
        }
        Ok(())
    }

    async fn fly(&mut self, messages: &[Message]) -> Result<()> {
        let mut flight = Flight { messages, queued: VecDeque::new(), sent: HashMap::new(), was_lost: false };
        self.give(&mut flight, (0..messages.len()).collect())?;
        let mut retry = self.retry();
        while !flight.is_over() {
            match self.event_loop.poll().await {
                Ok(event) => {
                    if self.happened(&mut flight, event)? {
                        retry = self.retry();
                    }
                }
                Err(error) => {
                    self.lose(&mut flight)?;
                    retry.wait(lost(&self.broker, error)).await?;
                }
            }
        }
        Ok(())
    }

    fn retry(&self) -> Retry {
        let policy = Policy::within(self.retry_timeout).pauses(PAUSE_MIN, PAUSE_MAX);
        Retry::new(policy, "mqtt", self.clock.clone())
    }

    /// Gives messages to the client.
    fn give(&self, flight: &mut Flight<'_>, which: Vec<usize>) -> Result<()> {
        for at in which {
            let message = &flight.messages[at];
            let (topic, payload) = (message.topic.clone(), message.payload.clone());
            let properties = message.properties.clone();
            self.client
                .try_publish_with_properties(topic, message.quality, message.retain, payload, properties)
                .map_err(|error| Error::bug("the MQTT client does not take a message").caused_by(error))?;
            flight.queued.push_back(at);
        }
        Ok(())
    }

    /// Takes note of an event; true when it is an answer of the broker.
    fn happened(&mut self, flight: &mut Flight<'_>, event: Event) -> Result<bool> {
        match event {
            Event::Outgoing(Outgoing::Publish(id)) => flight.went_out(id),
            Event::Incoming(Packet::PubAck(answer)) => self.acknowledged(flight, answer.pkid, answer.reason)?,
            Event::Incoming(Packet::PubRec(answer)) => match as_ack(answer.reason) {
                PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {}
                reason => self.acknowledged(flight, answer.pkid, reason)?,
            },
            Event::Incoming(Packet::PubComp(answer)) => {
                self.acknowledged(flight, answer.pkid, PubAckReason::Success)?;
            }
            Event::Incoming(Packet::ConnAck(answer)) => {
                self.connected(&answer);
                if flight.was_lost && !answer.session_present {
                    let all = flight.take_all();
                    self.give(flight, all)?;
                }
                flight.was_lost = false;
                return Ok(false);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn acknowledged(&self, flight: &mut Flight<'_>, id: u16, reason: PubAckReason) -> Result<()> {
        let Some(at) = flight.sent.remove(&id) else { return Ok(()) };
        not_taken(&self.broker, &flight.messages[at].topic, reason).map_or(Ok(()), Err)
    }

    /// After a loss: what has happened before it is taken note of, and what the client will send again is put in order.
    fn lose(&mut self, flight: &mut Flight<'_>) -> Result<()> {
        for event in std::mem::take(&mut self.event_loop.state.events) {
            // a stale welcome says nothing about the next connection
            if !matches!(event, Event::Incoming(Packet::ConnAck(_))) {
                self.happened(flight, event)?;
            }
        }
        self.event_loop.clean();
        let pending = std::mem::take(&mut self.event_loop.pending);
        let place = |request: &Request| match request {
            Request::PubRel(_) => 0,
            Request::Publish(publish) if publish.pkid != 0 => 1 + flight.sent.get(&publish.pkid).copied().unwrap_or(0),
            _ => usize::MAX,
        };
        let mut pending: Vec<Request> = pending.into_iter().map(repeated).collect();
        pending.sort_by_key(place);
        self.event_loop.pending = pending.into();
        flight.was_lost = true;
        Ok(())
    }

    /// The retained message of `topic`; `None` when there is none within `patience`, or it may not be read.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn retained(&mut self, topic: &str, patience: Duration) -> Result<Option<Bytes>> {
        let asked = self.client.try_subscribe(topic, QoS::AtLeastOnce);
        asked.map_err(|error| Error::bug("the MQTT client does not take a subscription").caused_by(error))?;
        let mut found = None;
        let reading = async {
            loop {
                match self.event_loop.poll().await {
                    Ok(Event::Incoming(Packet::Publish(publish))) if publish.topic == topic.as_bytes() => {
                        found = Some(publish.payload);
                        return Ok(());
                    }
                    Ok(Event::Incoming(Packet::SubAck(answer))) => {
                        let is_taken = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
                        if !answer.return_codes.iter().all(is_taken) {
                            tracing::warn!(topic, "the broker does not let the marker of the epoch be read");
                            return Ok(());
                        }
                    }
                    Ok(_) => {}
                    Err(error) => return Err(lost(&self.broker, error).error),
                }
            }
        };
        match tokio::time::timeout(patience, reading).await {
            Ok(read) => read?,
            Err(_) => tracing::debug!(topic, "there is no marker of an epoch"),
        }
        let done = self.client.try_unsubscribe(topic);
        done.map_err(|error| Error::bug("the MQTT client does not end a subscription").caused_by(error))?;
        Ok(found)
    }

    /// Keeps a quiet connection alive; ends with the connection, which the next messages make again.
    pub async fn idle(&mut self) -> ConnectionError {
        loop {
            if let Err(error) = self.event_loop.poll().await {
                return error;
            }
        }
    }

    /// Takes leave of the broker, which then need not wait for us.
    ///
    /// # Errors
    /// None that matters: all messages are there.
    pub async fn leave(&mut self) -> Result<()> {
        if self.client.try_disconnect().is_err() {
            return Err(Error::new(Kind::Bug, "the MQTT client does not take its leave"));
        }
        let leaving = async {
            while !matches!(self.event_loop.poll().await, Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(_)) {}
        };
        let _ = tokio::time::timeout(FAREWELL, leaving).await;
        Ok(())
    }
}

impl Flight<'_> {
    fn is_over(&self) -> bool {
        self.queued.is_empty() && self.sent.is_empty()
    }

    /// A message is on the wire: the next one that was given, or one that is sent again. Without an id it is done.
    fn went_out(&mut self, id: u16) {
        if id != 0 && self.sent.contains_key(&id) {
            return;
        }
        if let Some(at) = self.queued.pop_front().filter(|_| id != 0) {
            self.sent.insert(id, at);
        }
    }

    /// All that is not acknowledged, in its order, none of which the client has any more.
    fn take_all(&mut self) -> Vec<usize> {
        let mut all: Vec<usize> = self.queued.drain(..).chain(self.sent.drain().map(|(_, at)| at)).collect();
        all.sort_unstable();
        all
    }
}

/// A message that was on the wire before says so.
fn repeated(request: Request) -> Request {
    match request {
        Request::Publish(mut publish) if publish.pkid != 0 => {
            publish.dup = true;
            Request::Publish(publish)
        }
        other => other,
    }
}
