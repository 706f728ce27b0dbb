//! Kafka against a real broker.

mod records;
mod sink;
mod source;

use crate::services;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;

pub const TIMEOUT: Duration = Duration::from_secs(20);

pub fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", services::kafka());
    config
}

pub fn admin() -> AdminClient<DefaultClientContext> {
    client().create().unwrap()
}

/// Makes a topic of a name of its own.
pub async fn topic(partitions: i32) -> String {
    let name = format!("t-{}", uuid::Uuid::new_v4());
    make_topic(&name, partitions).await;
    name
}

pub async fn make_topic(name: &str, partitions: i32) {
    let new = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for result in admin().create_topics([&new], &AdminOptions::new()).await.unwrap() {
        result.unwrap();
    }
}

/// A producer; with an id, one that has begun a transaction.
pub fn producer(transactional_id: Option<&str>) -> BaseProducer {
    let mut config = client();
    if let Some(id) = transactional_id {
        config.set("transactional.id", id);
    }
    let producer: BaseProducer = config.create().unwrap();
    if transactional_id.is_some() {
        producer.init_transactions(TIMEOUT).unwrap();
        producer.begin_transaction().unwrap();
    }
    producer
}

pub fn send(producer: &BaseProducer, topic: &str, partition: i32, values: &[String]) {
    for value in values {
        producer.send(BaseRecord::<str, str>::to(topic).partition(partition).payload(value).key("k")).unwrap();
    }
    // `flush` of this version of the client sleeps 100 ms at a time
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(1));
    }
}

/// Writes `<from>` to `<to - 1>` to a partition.
pub fn produce(topic: &str, partition: i32, range: std::ops::Range<u64>) {
    send(&producer(None), topic, partition, &numbers(range));
}

pub fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}
