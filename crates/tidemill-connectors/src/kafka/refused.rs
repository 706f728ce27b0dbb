//! Which records the brokers refuse for good: they are sent once more, in halves, in transactions that are
//! aborted. Readers of committed records see nothing of it; a record that is too large for the client itself
//! is not even sent.

use super::lives::Lives;
use super::transaction::{Session, is_refused};
use crate::topics::payload::Encoded;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::ops::Range;
use tidemill_core::sink::{REFUSED_ROWS_MAX, Refused};
use tidemill_core::{Error, Kind, Result};

impl Lives {
    /// The refused records, by their number over all batches.
    ///
    /// # Errors
    /// Brokers that do not answer; more than [`REFUSED_ROWS_MAX`].
    pub(super) fn refused(&mut self, records: &[Encoded]) -> Result<Vec<Refused>> {
        let count = records.iter().map(|batch| batch.count).sum();
        let (mut pending, mut refused) = (Vec::new(), Vec::new());
        pending.push(0..count);
        while let Some(range) = pending.pop().filter(|range| !range.is_empty()) {
            let Some(told) = self.tried(records, &range)? else { continue };
            if range.len() > 1 {
                let middle = range.start + range.len() / 2;
                pending.extend([middle..range.end, range.start..middle]);
                continue;
            }
            if refused.len() == REFUSED_ROWS_MAX {
                return Err(Error::new(Kind::Data, format!("the brokers refuse more than {REFUSED_ROWS_MAX} records"))
                    .caused_by(told));
            }
            let (code, reason) = words(&told);
            refused.push(Refused { row: range.start, code: code.to_owned(), reason: reason.to_owned() });
        }
        Ok(refused)
    }

    /// Sends some records in a life of the producer that is thrown away when they are refused.
    fn tried(&mut self, records: &[Encoded], range: &Range<usize>) -> Result<Option<KafkaError>> {
        let session = self.session_taken()?;
        let told = session.try_to_send(records, range)?;
        if told.is_none() {
            self.put_back(session);
        }
        Ok(told)
    }
}

impl Session {
    /// Sends some records and takes them back; gives what is said against them, if it is for good.
    fn try_to_send(&self, records: &[Encoded], range: &Range<usize>) -> Result<Option<KafkaError>> {
        match self.sent_and_aborted(records, range) {
            Ok(()) => Ok(None),
            Err(error) if is_refused(&error) => Ok(Some(error)),
            Err(error) => Err(self.failed("cannot find out which records are refused", &error)),
        }
    }
}

fn words(error: &KafkaError) -> (&'static str, &'static str) {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
            ("MESSAGE_TOO_LARGE", "the record is larger than the client (kafka.message.max.bytes) or the topic takes")
        }
        Some(RDKafkaErrorCode::UnknownPartition) => ("UNKNOWN_PARTITION", "the topic has no such partition"),
        Some(RDKafkaErrorCode::InvalidTopic) => ("INVALID_TOPIC", "the row names no topic that can be"),
        _ => ("INVALID_RECORD", "the brokers say that the record is not valid"),
    }
}
