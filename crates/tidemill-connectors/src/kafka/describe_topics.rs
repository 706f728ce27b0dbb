//! Asks the brokers for the ids of topics.
//!
//! The client library can do it and its Rust binding cannot (`DescribeTopics`), so this file calls the library itself,
//! and is the only one of the project with code that the compiler does not check. It must not do anything else.
#![expect(unsafe_code, reason = "rdkafka has no call for DescribeTopics; each block says why it is sound")]

use super::client::Context;
use super::identity::TopicId;
use rdkafka::bindings::{
    rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new, rd_kafka_AdminOptions_set_request_timeout,
    rd_kafka_AdminOptions_t, rd_kafka_DescribeTopics, rd_kafka_DescribeTopics_result_topics,
    rd_kafka_TopicCollection_destroy, rd_kafka_TopicCollection_of_topic_names, rd_kafka_TopicCollection_t,
    rd_kafka_TopicDescription_error, rd_kafka_TopicDescription_name, rd_kafka_TopicDescription_topic_id,
    rd_kafka_Uuid_least_significant_bits, rd_kafka_Uuid_most_significant_bits, rd_kafka_admin_op_t,
    rd_kafka_error_code, rd_kafka_event_DescribeTopics_result, rd_kafka_event_destroy, rd_kafka_event_error,
    rd_kafka_event_t, rd_kafka_queue_destroy, rd_kafka_queue_new, rd_kafka_queue_poll, rd_kafka_queue_t,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

/// The ids of those of the topics that are there. A broker older than 2.8, and a system that only speaks Kafka's
/// protocol, may not know any.
///
/// # Errors
/// The brokers do not answer within `timeout`, or refuse.
pub(crate) fn topic_ids(
    consumer: &BaseConsumer<Context>,
    topics: &[&str],
    timeout: Duration,
) -> Result<BTreeMap<String, TopicId>, KafkaError> {
    // a name with a zero byte is none that a topic can have
    let names: Vec<CString> = topics.iter().filter_map(|topic| CString::new(*topic).ok()).collect();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let event = ask(consumer, &names, millis).ok_or(failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT))?;
    // SAFETY: `event` holds an event until it is dropped, at the end of this function.
    let error = unsafe { rd_kafka_event_error(event.0) };
    if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Err(failed(error));
    }
    let mut count = 0;
    // SAFETY: as above; of an event of another kind the library gives a null pointer, which is looked for.
    let described = unsafe {
        match rd_kafka_event_DescribeTopics_result(event.0) {
            result if result.is_null() => return Err(failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__FAIL)),
            result => rd_kafka_DescribeTopics_result_topics(result, &mut count),
        }
    };
    let mut ids = BTreeMap::new();
    for at in 0..count {
        // SAFETY: the library gave an array of `count` descriptions, which live as long as the event. Name and id of a
        // description are never null.
        let (code, name, id) = unsafe {
            let one = *described.add(at);
            let id = rd_kafka_TopicDescription_topic_id(one);
            let id = (rd_kafka_Uuid_most_significant_bits(id), rd_kafka_Uuid_least_significant_bits(id));
            let name = CStr::from_ptr(rd_kafka_TopicDescription_name(one)).to_string_lossy().into_owned();
            (rd_kafka_error_code(rd_kafka_TopicDescription_error(one)), name, id)
        };
        // one that is not there, or may not be looked at: others say so
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            ids.extend(TopicId::new(id.0, id.1).map(|id| (name, id)));
        }
    }
    Ok(ids)
}

fn failed(code: RDKafkaRespErr) -> KafkaError {
    KafkaError::MetadataFetch(code.into())
}

/// The library's answer, or `None` when there is none in time.
fn ask(consumer: &BaseConsumer<Context>, names: &[CString], timeout_millis: i32) -> Option<Event> {
    let client = consumer.client().native_ptr();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: `client` lives as long as `consumer`, which is borrowed. `pointers` are of strings that end with zero and
    // outlive the call, which copies them. What is made is given back when its owner is dropped, after its last use:
    // the library keeps what it needs of collection and options in the request.
    unsafe {
        let queue = Queue(rd_kafka_queue_new(client));
        let topics = Topics(rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()));
        let kind = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = AdminOptions(rd_kafka_AdminOptions_new(client, kind));
        // a time that the library does not take leaves its own, a minute
        rd_kafka_AdminOptions_set_request_timeout(options.0, timeout_millis, std::ptr::null_mut(), 0);
        rd_kafka_DescribeTopics(client, topics.0, options.0, queue.0);
        let event = rd_kafka_queue_poll(queue.0, timeout_millis.saturating_add(1_000));
        (!event.is_null()).then_some(Event(event))
    }
}

struct Queue(*mut rd_kafka_queue_t);
struct Topics(*mut rd_kafka_TopicCollection_t);
struct AdminOptions(*mut rd_kafka_AdminOptions_t);
struct Event(*mut rd_kafka_event_t);

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_queue_new`, and given back once.
        unsafe { rd_kafka_queue_destroy(self.0) }
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_TopicCollection_of_topic_names`, and given back once.
        unsafe { rd_kafka_TopicCollection_destroy(self.0) }
    }
}

impl Drop for AdminOptions {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_AdminOptions_new`, and given back once.
        unsafe { rd_kafka_AdminOptions_destroy(self.0) }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: taken from a queue, not null, and given back once.
        unsafe { rd_kafka_event_destroy(self.0) }
    }
}
