//! Messages become records of the log, and records rows. Pure.
//!
//! The topic is the record's key, so that the messages of a topic stay in their order; the rest of a message but its
//! payload are headers of the record.

use crate::intake::queue::{Delivery, Pushed};
use crate::topics::headers::{pack, unpack};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Int32Array, Int64Array, MapBuilder, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5::Publish;
use std::sync::Arc;
use tidemill_core::source::Records;
use tidemill_core::types::{map_of, timestamp};
use tidemill_core::{Error, Kind, Result, ResultExt as _};

/// Headers of a record.
const QOS: &str = "mqtt.qos";
const RETAIN: &str = "mqtt.retain";
const CONTENT_TYPE: &str = "mqtt.content_type";
const RESPONSE_TOPIC: &str = "mqtt.response_topic";
const CORRELATION: &str = "mqtt.correlation_data";
/// Before the name of a user property.
const USER: &str = "user.";

/// The columns of a table without a format.
pub(super) fn default_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("value", DataType::Binary, true),
        Field::new("topic", DataType::Utf8, true),
        Field::new("qos", DataType::Int32, true),
        Field::new("retain", DataType::Boolean, true),
        Field::new("properties", map_of(DataType::Utf8, DataType::Utf8), true),
        Field::new("content_type", DataType::Utf8, true),
        Field::new("response_topic", DataType::Utf8, true),
        Field::new("correlation_data", DataType::Binary, true),
        Field::new("partition", DataType::Int32, true),
        Field::new("offset", DataType::Int64, true),
        Field::new("timestamp", timestamp(), true),
    ]))
}

/// The delivery of a message; `key_property` names the user property that tells a repeat.
pub(super) fn delivery(publish: &Publish, key_property: Option<&str>) -> Delivery {
    let properties = publish.properties.as_ref();
    let qos = [b'0' + publish.qos as u8];
    let mut packed = Vec::new();
    let fixed: [(&str, Option<&[u8]>); 2] =
        [(QOS, Some(&qos)), (RETAIN, Some(if publish.retain { b"1" } else { b"0" }))];
    pack(fixed.into_iter(), &mut packed);
    let mut key = None;
    if let Some(properties) = properties {
        let text = |name, value: &'_ Option<String>| value.as_ref().map(|value| (name, value.clone().into_bytes()));
        let known = [
            text(CONTENT_TYPE, &properties.content_type),
            text(RESPONSE_TOPIC, &properties.response_topic),
            properties.correlation_data.as_ref().map(|data| (CORRELATION, data.to_vec())),
        ];
        pack(known.iter().flatten().map(|(name, value)| (*name, Some(value.as_slice()))), &mut packed);
        for (name, value) in &properties.user_properties {
            pack([(format!("{USER}{name}").as_str(), Some(value.as_bytes()))].into_iter(), &mut packed);
            if Some(name.as_str()) == key_property {
                key = Some(Bytes::copy_from_slice(value.as_bytes()));
            }
        }
    }
    let record = Pushed { key: Some(publish.topic.clone()), value: publish.payload.clone(), headers: Some(packed) };
    Delivery { records: vec![record], key }
}

/// Records as rows of `schema`, whose columns are among those of [`default_schema`].
pub(super) fn rows(schema: &SchemaRef, records: &Records, partition: u32) -> Result<RecordBatch> {
    let count = records.len();
    let header = |at: usize, name: &str| -> Option<&[u8]> {
        unpack(records.headers(at)?).find(|(key, _)| *key == name.as_bytes()).and_then(|(_, value)| value)
    };
    let text = |name: &'static str| -> ArrayRef {
        Arc::new((0..count).map(|at| header(at, name).map(String::from_utf8_lossy)).collect::<StringArray>())
    };
    let columns = schema.fields().iter().map(|field| -> Result<ArrayRef> {
        let column: ArrayRef = match field.name().to_ascii_lowercase().as_str() {
            "value" => Arc::new((0..count).map(|at| records.value(at)).collect::<BinaryArray>()),
            "topic" => {
                Arc::new((0..count).map(|at| records.key(at).map(String::from_utf8_lossy)).collect::<StringArray>())
            }
            "qos" => {
                let digit = |at| header(at, QOS).and_then(<[u8]>::first).map(|digit| i32::from(digit - b'0'));
                Arc::new((0..count).map(digit).collect::<Int32Array>())
            }
            "retain" => {
                Arc::new((0..count).map(|at| header(at, RETAIN).map(|flag| flag == b"1")).collect::<BooleanArray>())
            }
            "properties" => properties(records)?,
            "content_type" => text(CONTENT_TYPE),
            "response_topic" => text(RESPONSE_TOPIC),
            "correlation_data" => Arc::new((0..count).map(|at| header(at, CORRELATION)).collect::<BinaryArray>()),
            "partition" => Arc::new(Int32Array::from_value(partition as i32, count)),
            "offset" => Arc::new(Int64Array::from_iter_values(records.offsets.iter().map(|offset| *offset as i64))),
            "timestamp" => Arc::new(TimestampMicrosecondArray::from(records.timestamps.clone()).with_timezone("UTC")),
            other => return Err(Error::bug(format!("column '{other}' passed the check of a table without a format"))),
        };
        Ok(if column.data_type() == field.data_type() { column } else { cast(&column, field.data_type())? })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .context(Kind::Bug, || "messages do not fit their own columns".into())
}

/// User properties; of several of one name the last.
fn properties(records: &Records) -> Result<ArrayRef> {
    let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for at in 0..records.len() {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (key, value) in unpack(records.headers(at).unwrap_or_default()) {
            let Some(name) = key.strip_prefix(USER.as_bytes()) else { continue };
            let name = String::from_utf8_lossy(name).into_owned();
            pairs.retain(|(before, _)| *before != name);
            pairs.push((name, String::from_utf8_lossy(value.unwrap_or_default()).into_owned()));
        }
        for (name, value) in pairs {
            maps.keys().append_value(name);
            maps.values().append_value(value);
        }
        maps.append(true)?;
    }
    Ok(cast(&(Arc::new(maps.finish()) as ArrayRef), &map_of(DataType::Utf8, DataType::Utf8))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::PublishProperties;

    #[test]
    fn a_message_comes_back_as_a_row() {
        let mut publish = Publish::new("home/temp", QoS::ExactlyOnce, "21", None);
        publish.retain = true;
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        publish.properties = Some(PublishProperties {
            content_type: Some("text/plain".into()),
            correlation_data: Some(Bytes::from_static(b"\x00\xff")),
            user_properties: vec![pair("id", "7"), pair("mqtt.qos", "9"), pair("id", "8")],
            ..PublishProperties::default()
        });
        let delivery = delivery(&publish, Some("id"));
        assert_eq!(delivery.key.as_deref(), Some(&b"8"[..]));
        let record = &delivery.records[0];
        let (topic, value, headers) =
            (record.key.clone().unwrap(), record.value.clone(), record.headers.clone().unwrap());
        let data = [&topic[..], &value, &headers].concat();
        let (one, two) = (topic.len(), topic.len() + value.len());
        let records = Records {
            keys: vec![Some(0..one)],
            values: vec![Some(one..two)],
            headers: vec![Some(two..data.len())],
            offsets: vec![3],
            timestamps: vec![1_000_000],
            data: data.into(),
        };
        let rows = rows(&default_schema(), &records, 2).unwrap();
        let printed = arrow::util::pretty::pretty_format_batches(&[rows]).unwrap().to_string();
        let wanted = "| 3231  | home/temp | 2   | true   | {mqtt.qos: 9, id: 8} | text/plain   |                | 00ff";
        assert!(printed.contains(wanted), "{printed}");
    }
}
