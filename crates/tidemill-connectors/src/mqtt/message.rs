//! Rows become messages. Pure.

use super::options::quality;
use crate::topics::payload::RecordEncoder;
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use tidemill_core::nearest::nearest;
use tidemill_core::sink::SinkRequest;
use tidemill_core::types::{self, name};
use tidemill_core::{Epoch, Error, Kind, Result};

const TOPIC_BYTES_MAX: usize = 65_535;

/// A message to be sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    pub topic: String,
    pub quality: QoS,
    pub retain: bool,
    pub payload: Bytes,
    pub properties: PublishProperties,
}

/// How rows of one table become messages.
pub(super) struct Messages {
    encoder: RecordEncoder,
    topic: Option<String>,
    topic_column: Option<usize>,
    properties: Option<usize>,
    /// What every message has.
    fixed: PublishProperties,
    /// The writer, when messages say who and which epoch they are of.
    writer: Option<String>,
    quality: QoS,
    retain: bool,
}

impl Messages {
    /// From the options of the table and its columns.
    ///
    /// # Errors
    /// No topic, a column that is not there or of a type that does not serve.
    pub fn new(request: &SinkRequest) -> Result<Self> {
        let (table, options) = (&request.table, &request.options);
        let encoder = RecordEncoder::new(request)?;
        let topic = options.text("topic").map(str::to_owned);
        let find = |option: &str| options.text(option).map(|name| column(request, option, name)).transpose();
        let topic_column = find("topic_column")?;
        match (&topic, topic_column, encoder.has_topic_column()) {
            (Some(_), Some(_), _) => {
                return Err(Error::invalid(format!(
                    "options 'topic' and 'topic_column' of table '{table}' exclude each other"
                )));
            }
            (None, None, false) => {
                return Err(Error::invalid(format!("table '{table}' needs option 'topic' or 'topic_column'")));
            }
            _ => {}
        }
        if let Some(topic) = &topic {
            check_topic(topic, Kind::Invalid)
                .map_err(|error| error.help(format!("see option 'topic' of table '{table}'")))?;
        }
        let properties = find("user_properties")?;
        if let Some(at) = properties {
            let of = request.schema.field(at).data_type();
            if *of != types::map_of(DataType::Utf8, DataType::Utf8) {
                return Err(Error::invalid(format!(
                    "option 'user_properties' of table '{table}' names a column of type {}; it must be map<string,string>",
                    name(of)
                )));
            }
        }
        let expiry = options.duration("message_expiry_interval");
        Ok(Messages {
            encoder,
            topic,
            topic_column,
            properties,
            fixed: PublishProperties {
                content_type: options.text("content_type").map(str::to_owned),
                message_expiry_interval: expiry.map(|expiry| u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX)),
                ..PublishProperties::default()
            },
            writer: options.boolean("epoch_properties").then(|| request.writer.id()),
            quality: quality(options),
            retain: options.boolean("retain"),
        })
    }

    /// Makes known what readers of the messages need; called before the first rows.
    ///
    /// # Errors
    /// As [`RecordEncoder::prepare`].
    pub async fn prepare(&self) -> Result<()> {
        self.encoder.prepare().await
    }

    /// The messages of `rows`, in their order.
    ///
    /// # Errors
    /// A row without a topic, or with one that is none.
    pub fn of(&self, epoch: Epoch, rows: &RecordBatch) -> Result<Vec<Message>> {
        let encoded = self.encoder.encode(rows)?;
        let topics = self.topic_column.map(|at| cast(rows.column(at), &DataType::Utf8)).transpose()?;
        let mut messages = Vec::with_capacity(encoded.count);
        for row in 0..encoded.count {
            let named = match &topics {
                Some(topics) => topics.is_valid(row).then(|| topics.as_string::<i32>().value(row)),
                None => self.topic.as_deref().or_else(|| encoded.topic(row)),
            };
            let topic = named.ok_or_else(|| Error::new(Kind::Data, "a row for an MQTT broker has no topic"))?;
            check_topic(topic, Kind::Data)?;
            let mut properties = self.fixed.clone();
            if let Some(writer) = &self.writer {
                properties.user_properties = vec![
                    ("tidemill-writer".to_owned(), writer.clone()),
                    ("tidemill-epoch".to_owned(), epoch.to_string()),
                ];
            }
            self.add_properties(rows, row, &mut properties.user_properties);
            messages.push(Message {
                topic: topic.to_owned(),
                quality: self.quality,
                retain: self.retain,
                payload: Bytes::copy_from_slice(encoded.value(row).unwrap_or_default()),
                properties,
            });
        }
        Ok(messages)
    }

    fn add_properties(&self, rows: &RecordBatch, row: usize, out: &mut Vec<(String, String)>) {
        let Some(maps) = self.properties.map(|at| rows.column(at).as_map()).filter(|maps| maps.is_valid(row)) else {
            return;
        };
        let entries = maps.value(row);
        let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1).as_string::<i32>());
        for at in (0..entries.len()).filter(|at| values.is_valid(*at)) {
            out.push((keys.value(at).to_owned(), values.value(at).to_owned()));
        }
    }
}

/// A topic that can be published to.
pub(super) fn check_topic(topic: &str, kind: Kind) -> Result<()> {
    if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX || topic.contains(['+', '#', '\0']) {
        let shown: String = topic.chars().take(100).collect();
        return Err(Error::new(kind, format!("'{shown}' is no topic of MQTT that can be written to"))
            .help("a topic has 1 to 65535 bytes, and no '+' or '#'"));
    }
    Ok(())
}

fn column(request: &SinkRequest, option: &str, wanted: &str) -> Result<usize> {
    let names = request.schema.fields().iter().map(|field| field.name().as_str());
    names.clone().position(|name| name.eq_ignore_ascii_case(wanted)).ok_or_else(|| {
        let table = &request.table;
        let error =
            Error::invalid(format!("option '{option}' names '{wanted}', which is no column of table '{table}'"));
        match nearest(wanted, names.clone()) {
            Some(near) => error.help(format!("did you mean '{near}'?")),
            None => error.help(format!("columns: {}", names.collect::<Vec<_>>().join(", "))),
        }
    })
}
