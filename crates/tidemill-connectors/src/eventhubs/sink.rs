//! Event Hubs as a sink, through Kafka's. Rows may have the columns that our source gives.

use super::connection::Connection;
use super::options::{
    CLIENT, CLIENT_SECRET, CONNECTION_STRING, EVENT_HUB, MANAGED_IDENTITY, NAMESPACE, TENANT, TOKEN_ENDPOINT,
    TOKEN_SCOPE,
};
use crate::kafka::KafkaSinkConnector;
use crate::kafka::preset::{CONNECT_TIMEOUT, PASSED_ON, SINK, TRANSACTION_TIMEOUT, WRITE_TIMEOUT};
use crate::topics::key::{KEY, KEY_FORMAT};
use crate::topics::payload::{HEADERS, PARTITION};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::sync::Arc;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::options::GivenOption;
use tidemill_core::retry::Vitals;
use tidemill_core::sink::{Marker, Refused, Sink, SinkConnector, SinkRequest};
use tidemill_core::{Epoch, Options, Result};

/// Event Hubs closes a connection on which a request of more than 1,046,528 bytes comes.
const REQUEST_BYTES_MAX: &str = "1000000";
/// Event Hubs takes 20 seconds at least for its own; a minute is recommended.
const REQUEST_TIMEOUT_MS: &str = "60000";
const EXACTLY_ONCE: &str = "exactly-once";

static DESCRIPTION: Description = Description {
    name: "eventhubs",
    role: Role::Sink,
    summary: "writes events to an event hub of Azure Event Hubs over its Kafka endpoint (not in the Basic tier), in requests of \
              a size that it takes. Without a format: the columns value (or body), key (or partitionKey), headers (or \
              properties) and partition",
    // of the default: see `delivery`
    guarantee: Guarantee::AtLeastOnce,
    options: &[
        CONNECTION_STRING,
        EVENT_HUB,
        NAMESPACE,
        TENANT,
        CLIENT,
        CLIENT_SECRET,
        MANAGED_IDENTITY.default("false"),
        TOKEN_ENDPOINT,
        TOKEN_SCOPE,
        KEY,
        KEY_FORMAT,
        HEADERS,
        PARTITION,
        OptionSpec::new(
            "compression",
            OptionKind::Choice(&["none", "gzip"]),
            "how batches of events are compressed; Event Hubs knows no other way",
        )
        .default("none"),
        OptionSpec::new(
            "delivery",
            OptionKind::Choice(&["at-least-once", EXACTLY_ONCE]),
            "exactly-once writes an epoch in one transaction, which needs the Premium or Dedicated tier",
        )
        .default("at-least-once"),
        TRANSACTION_TIMEOUT.default("60 seconds"),
        WRITE_TIMEOUT.default("5 minutes"),
        CONNECT_TIMEOUT,
        PASSED_ON,
    ],
    example: "connector = 'eventhubs', event_hub = 'results', connection_string = 'Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=write;SharedAccessKey=..', key = 'user_id', format = 'json'",
};

/// Options that go to Kafka's sink as they are.
const HANDED_ON: [OptionSpec; 5] = [KEY, KEY_FORMAT, HEADERS, PARTITION, CONNECT_TIMEOUT];
const NAMED: [&str; 4] = ["compression", "delivery", TRANSACTION_TIMEOUT.name, WRITE_TIMEOUT.name];

/// Opens Event Hubs as a sink.
#[derive(Default)]
pub struct EventHubsSinkConnector(KafkaSinkConnector);

#[async_trait]
impl SinkConnector for EventHubsSinkConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn guarantee(&self, options: &Options) -> Guarantee {
        let is_exact = options.text("delivery").is_some_and(|delivery| delivery.eq_ignore_ascii_case(EXACTLY_ONCE));
        if is_exact { Guarantee::ExactlyOnce } else { DESCRIPTION.guarantee }
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let connection = Connection::of(&request.table, &request.options)?;
        let of_kafka = of_kafka(&request, &connection)?;
        let schema = match &request.format {
            Some(_) => request.schema.clone(),
            None => renamed(&request.schema),
        };
        let options = request.options.clone().with(of_kafka);
        let inner = self.0.open(SinkRequest { options, schema: schema.clone(), ..request }).await?;
        Ok(Box::new(EventHubsSink { inner, schema }))
    }
}

/// The options of Kafka's sink.
fn of_kafka(request: &SinkRequest, connection: &Connection) -> Result<Options> {
    let options = &request.options;
    let mut given = connection.given(options);
    given.push(GivenOption::new("topic", connection.event_hub(&request.table)?));
    for (name, value) in
        [("kafka.message.max.bytes", REQUEST_BYTES_MAX), ("kafka.request.timeout.ms", REQUEST_TIMEOUT_MS)]
    {
        if options.text(name).is_none() {
            given.push(GivenOption::new(name, value));
        }
    }
    for name in HANDED_ON.iter().map(|spec| spec.name).chain(NAMED) {
        given.extend(options.text(name).map(|value| GivenOption::new(name, value)));
    }
    Options::check(&format!("table '{}'", request.table), &[SINK.options], &given)
}

/// The names of Event Hubs' columns as those of Kafka's, unless a column has that name already.
fn renamed(schema: &SchemaRef) -> SchemaRef {
    let has = |name: &str| schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
    let rename = |field: &Arc<Field>| {
        let name = match field.name().to_ascii_lowercase().as_str() {
            "body" => "value",
            "partitionkey" => "key",
            "properties" => "headers",
            _ => return field.clone(),
        };
        if has(name) { field.clone() } else { Arc::new(field.as_ref().clone().with_name(name)) }
    };
    Arc::new(Schema::new(schema.fields().iter().map(rename).collect::<Vec<_>>()))
}

struct EventHubsSink {
    inner: Box<dyn Sink>,
    schema: SchemaRef,
}

impl EventHubsSink {
    fn renamed(&self, rows: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
        let renamed = |rows: &RecordBatch| RecordBatch::try_new(self.schema.clone(), rows.columns().to_vec());
        Ok(rows.iter().map(renamed).collect::<std::result::Result<Vec<_>, _>>()?)
    }
}

#[async_trait]
impl Sink for EventHubsSink {
    fn vitals(&self) -> Option<Arc<Vitals>> {
        self.inner.vitals()
    }

    async fn marker(&mut self) -> Result<Marker> {
        self.inner.marker().await
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        let rows = self.renamed(rows)?;
        self.inner.commit(epoch, &rows).await
    }

    async fn finish(&mut self) -> Result<()> {
        self.inner.finish().await
    }

    async fn refused(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<Vec<Refused>> {
        let rows = self.renamed(rows)?;
        self.inner.refused(epoch, &rows).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::DataType;

    #[test]
    fn columns_of_event_hubs_are_written_as_kafkas() {
        let of = |names: &[&str]| -> Vec<String> {
            let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
            renamed(&Arc::new(Schema::new(fields))).fields().iter().map(|field| field.name().clone()).collect()
        };
        assert_eq!(of(&["body", "partitionKey", "properties", "partition"]), ["value", "key", "headers", "partition"]);
        assert_eq!(of(&["body", "value"]), ["body", "value"]);
    }
}
