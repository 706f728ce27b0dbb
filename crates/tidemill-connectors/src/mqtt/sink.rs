//! MQTT as a sink: an epoch's messages, then a retained one that remembers it.

use super::connection::{self, duration};
use super::message::{Message, Messages, check_topic};
use super::options::{self, OPTIONS};
use super::session::Session;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tidemill_core::describe::{Description, Guarantee, Role};
use tidemill_core::sink::{Marker, Sink, SinkConnector, SinkRequest, Writer};
use tidemill_core::{Clock, Epoch, Error, Kind, Options, Result, ResultExt as _, SystemClock};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

static DESCRIPTION: Description = Description {
    name: "mqtt",
    role: Role::Sink,
    summary: "A message a row to a broker of MQTT 5. An epoch is done when the broker has acknowledged all of its messages \
              (qos 1 or 2). A crash in the middle of an epoch sends all of it again; a retained message remembers the \
              newest epoch, so that a crash after it does not. With qos 0 messages may be lost.",
    guarantee: Guarantee::AtLeastOnce,
    options: OPTIONS,
    example: "connector = 'mqtt', url = 'mqtt://localhost:1883', topic = 'alerts', qos = '1', format = 'json'",
};

/// Opens MQTT as a sink.
pub struct MqttSinkConnector {
    clock: Arc<dyn Clock>,
}

impl Default for MqttSinkConnector {
    fn default() -> Self {
        MqttSinkConnector { clock: Arc::new(SystemClock::new()) }
    }
}

#[async_trait]
impl SinkConnector for MqttSinkConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn guarantee(&self, options: &Options) -> Guarantee {
        if options::quality(options) == QoS::AtMostOnce { Guarantee::None } else { DESCRIPTION.guarantee }
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let options = &request.options;
        let messages = Messages::new(&request)?;
        messages.prepare().await?;
        let client_id = format!("tidemill-{}-{}", request.writer.query, request.writer.sink);
        let target = connection::target(&request.table, options, &client_id)?;
        let marker = Remembered::topic(&request)?;
        let mut session = Session::open(target, self.clock.clone()).await?;
        let held = match &marker {
            Some(topic) => {
                let found = session.retained(topic, duration(options, "marker_timeout", 1)).await?;
                found.and_then(|found| Remembered::epoch(&found, &request.writer))
            }
            None => None,
        };
        Ok(Box::new(MqttSink { messages, idle: Some(Idle::new(session)), marker, writer: request.writer, held }))
    }
}

/// What the retained message says.
#[derive(Serialize, Deserialize)]
struct Remembered {
    writer: String,
    epoch: Epoch,
}

impl Remembered {
    /// Its topic, unless there is to be none.
    fn topic(request: &SinkRequest) -> Result<Option<String>> {
        let level = |name: &str| name.replace(['+', '#', '/', '\0'], "_");
        let topic = match request.options.text("marker_topic").map(str::trim) {
            Some("") => return Ok(None),
            Some(topic) => topic.to_owned(),
            None => format!("tidemill/{}/{}", level(&request.writer.query), level(&request.writer.sink)),
        };
        check_topic(&topic, Kind::Invalid)?;
        Ok(Some(topic))
    }

    /// The epoch in a message, if it is of `writer`.
    fn epoch(payload: &[u8], writer: &Writer) -> Option<Epoch> {
        let remembered: Remembered = serde_json::from_slice(payload).ok()?;
        (remembered.writer == writer.id()).then_some(remembered.epoch)
    }

    fn message(topic: &str, writer: &Writer, epoch: Epoch) -> Result<Message> {
        let text = serde_json::to_vec(&Remembered { writer: writer.id(), epoch })
            .map_err(|error| Error::bug("a marker cannot be written as JSON").caused_by(error))?;
        Ok(Message {
            topic: topic.to_owned(),
            quality: QoS::AtLeastOnce,
            retain: true,
            payload: Bytes::from(text),
            properties: PublishProperties::default(),
        })
    }
}

/// A session that nobody uses, kept alive by a task of its own.
struct Idle {
    wanted: Arc<Notify>,
    task: JoinHandle<Session>,
}

impl Idle {
    fn new(session: Session) -> Self {
        let wanted = Arc::new(Notify::new());
        Idle { task: tokio::spawn(keep(session, wanted.clone())), wanted }
    }

    /// Ends the task, and gives the session.
    async fn wake(self) -> Result<Session> {
        self.wanted.notify_one();
        self.task.await.context(Kind::Bug, || "the MQTT session broke off".into())
    }
}

/// Keeps a session alive until it is wanted. A connection that ends meanwhile is left alone: the next messages make
/// another.
async fn keep(mut session: Session, wanted: Arc<Notify>) -> Session {
    tokio::select! {
        () = wanted.notified() => return session,
        error = session.idle() => tracing::info!(error = %error, "a quiet connection to the MQTT broker has ended"),
    }
    wanted.notified().await;
    session
}

struct MqttSink {
    messages: Messages,
    /// The session; none after an error.
    idle: Option<Idle>,
    marker: Option<String>,
    writer: Writer,
    /// The newest epoch that the broker remembers.
    held: Option<Epoch>,
}

impl Drop for MqttSink {
    fn drop(&mut self) {
        if let Some(idle) = &self.idle {
            idle.task.abort();
        }
    }
}

impl MqttSink {
    async fn session(&mut self) -> Result<Session> {
        match self.idle.take() {
            Some(idle) => idle.wake().await,
            None => Err(Error::new(Kind::Again, "the MQTT sink takes no epoch after one that failed")),
        }
    }
}

#[async_trait]
impl Sink for MqttSink {
    async fn marker(&mut self) -> Result<Marker> {
        // a broker may forget what it retains: what it remembers only saves a repeat, and never stops a query
        Ok(Marker::Unsupported)
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        if self.held.is_some_and(|held| held >= epoch) {
            tracing::info!(epoch = epoch.0, "the MQTT broker has this epoch already");
            return Ok(());
        }
        let messages: Vec<Vec<Message>> =
            rows.iter().map(|rows| self.messages.of(epoch, rows)).collect::<Result<_>>()?;
        let mut session = self.session().await?;
        session.send(&messages.concat()).await?;
        if let Some(topic) = &self.marker {
            session.send(&[Remembered::message(topic, &self.writer, epoch)?]).await?;
        }
        self.idle = Some(Idle::new(session));
        self.held = Some(epoch);
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        self.session().await?.leave().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_core::Incarnation;

    #[test]
    fn what_is_remembered_is_that_of_one_checkpoint() {
        let writer = |incarnation: &str| Writer {
            query: "q".into(),
            sink: "s".into(),
            incarnation: Incarnation(incarnation.into()),
        };
        let message = Remembered::message("m", &writer("a"), Epoch(7)).unwrap();
        assert_eq!(Remembered::epoch(&message.payload, &writer("a")), Some(Epoch(7)));
        assert_eq!(Remembered::epoch(&message.payload, &writer("b")), None);
        assert_eq!(Remembered::epoch(b"hello", &writer("a")), None);
        assert!(message.retain);
    }
}
