//! Waits for the records of a planned range, and takes exactly these.

use super::client::failed;
use super::fetch::Part;
use super::source::KafkaSource;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use std::ops::Range;
use tidemill_core::source::Records;
use tidemill_core::{Error, Result, SplitRange};

impl KafkaSource {
    /// The records of `range`, once they are fetched.
    pub(super) async fn fetched(&self, range: &SplitRange) -> Result<Vec<Records>> {
        let part = self.fetcher.part(&range.split);
        let (mut out, mut wanted) = (Vec::new(), range.from..range.to);
        let begun = part.generation();
        let mut asked = None;
        loop {
            let changed = part.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let generation = part.generation();
            match look(&part, &mut wanted, generation > begun, &mut out) {
                Look::Done => {
                    self.fetcher.room();
                    return Ok(out);
                }
                Look::Position(position) if asked != Some(generation) => {
                    self.fetcher.position(&part, position);
                    asked = Some(generation);
                }
                Look::Position(_) | Look::Wait => self.fetcher.room(),
            }
            if let Some(failure) = part.failure() {
                wanted.start = self.settle(&part, wanted.start, failure).await?.min(wanted.end);
                if wanted.is_empty() {
                    return Ok(out);
                }
                self.fetcher.position(&part, wanted.start);
            }
            if tokio::time::timeout(self.read_timeout, changed).await.is_err() {
                return Err(self.silent(range));
            }
        }
    }

    fn silent(&self, range: &SplitRange) -> Error {
        let what = format!("no records of {range} came in {} s from Kafka", self.read_timeout.as_secs());
        let error = rdkafka::error::KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
        failed(&what, &self.cluster.brokers, &error, &self.cluster.connection.consumer().client().context().0)
    }
}

/// What a reader does next.
enum Look {
    /// All of the range that exists was taken.
    Done,
    /// The records are not on their way: fetch from here.
    Position(u64),
    /// They are.
    Wait,
}

/// Takes what there is of `wanted`, and moves its start. `is_repositioned`: the partition was positioned
/// after the range was known, so meeting its end means that nothing is left in the range (its last
/// offsets were compacted away or are a transaction's own); an end that was met before proves nothing.
fn look(part: &Part, wanted: &mut Range<u64>, is_repositioned: bool, out: &mut Vec<Records>) -> Look {
    let mut buffer = part.buffer();
    if part.generation() == 0 || wanted.start < buffer.start || wanted.start > buffer.next {
        return Look::Position(wanted.start);
    }
    if buffer.take(wanted, out) {
        return Look::Done;
    }
    wanted.start = buffer.next;
    match (buffer.at_end, is_repositioned) {
        (true, true) => {
            buffer.skip_to(wanted.end);
            Look::Done
        }
        (true, false) => Look::Position(buffer.next),
        (false, _) => Look::Wait,
    }
}
