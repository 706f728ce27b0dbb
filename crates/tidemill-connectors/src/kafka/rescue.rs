//! Finds out that a client knows no living broker any more, and gets one that does.
//!
//! librdkafka drops brokers that the cluster's metadata does not name, as it does not name one that is being restarted.
//! When those it kept die next, it may know dead ones only, and what it does about that (KIP-899, KIP-1102) does not
//! always bring it back to the brokers it was configured with. So whenever a broker did not answer, the client is asked
//! for metadata; if it gets none and a new client does, the new one takes its place.

use super::client::is_silence;
use super::connection::{Connection, SharedConsumer};
use rdkafka::consumer::Consumer;
use std::sync::Arc;
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;
use tidemill_core::Clock;

/// Time between two looks while brokers do not answer.
const PAUSE: Duration = Duration::from_secs(2);
/// A client that gets no metadata in this time is cut off.
const PATIENCE: Duration = Duration::from_secs(3);

/// Watches over the client of a source.
pub(crate) struct Rescue {
    connection: Arc<Connection>,
    clock: Arc<dyn Clock>,
    looked: Option<Duration>,
    look: Option<JoinHandle<Option<SharedConsumer>>>,
}

impl Rescue {
    pub(crate) fn new(connection: Arc<Connection>, clock: Arc<dyn Clock>) -> Rescue {
        Rescue { connection, clock, looked: None, look: None }
    }

    /// A client to go on with, when the present one is cut off and another is not. Never waits: looks are made by a
    /// thread of their own, which wakes the caller. `topic` is any that is read.
    pub(crate) fn replacement(&mut self, topic: &str) -> Option<SharedConsumer> {
        if let Some(done) = self.look.take_if(|look| look.is_finished()) {
            return done.join().ok().flatten();
        }
        let consumer = self.connection.consumer();
        let now = self.clock.elapsed();
        let is_early = self.looked.is_some_and(|looked| now.saturating_sub(looked) < PAUSE);
        if self.look.is_some() || is_early || !consumer.client().context().0.is_uneasy() {
            return None;
        }
        self.looked = Some(now);
        let (connection, topic, caller) = (self.connection.clone(), topic.to_owned(), thread::current());
        let look = move || looked(&connection, &consumer, &topic, &caller);
        self.look = thread::Builder::new().name("kafka-rescue".into()).spawn(look).ok();
        None
    }
}

fn looked(connection: &Connection, present: &SharedConsumer, topic: &str, caller: &Thread) -> Option<SharedConsumer> {
    // before the question: trouble that comes while it is answered calls for another
    let troubles = &present.client().context().0;
    troubles.set_uneasy(false);
    if is_heard(present, topic) {
        return None;
    }
    troubles.set_uneasy(true);
    let fresh = connection.fresh().ok().filter(|fresh| is_heard(fresh, topic));
    if fresh.is_some() {
        caller.unpark();
    }
    fresh
}

/// True when a broker answers, whatever it says.
fn is_heard(consumer: &SharedConsumer, topic: &str) -> bool {
    match consumer.fetch_metadata(Some(topic), PATIENCE) {
        Ok(_) => true,
        Err(error) => !error.rdkafka_error_code().is_some_and(is_silence),
    }
}
