//! Puts records until the stream has every one. Of a request that gets through in part, what was refused goes first
//! into the next one: in its order, and before any later record.

use super::batch;
use super::errors::{Asked, failed, refused};
use super::record::Record;
use crate::retry::Retry;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::BuildError;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::retry::{Failure, Policy};
use tidemill_core::{Clock, Error, Result};

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A stream that records are put to.
pub(super) struct Stream {
    pub client: Client,
    /// Its name or ARN.
    pub name: String,
    pub ordered: bool,
    pub retry_timeout: Duration,
    pub clock: Arc<dyn Clock>,
}

impl Stream {
    /// Finds out whether the stream is there. Who may write and not describe it finds out at the first record.
    ///
    /// # Errors
    /// There is none, or AWS cannot be reached.
    pub async fn check(&self) -> Result<()> {
        let request = self.client.describe_stream_summary();
        let request = if self.is_arn() { request.stream_arn(&self.name) } else { request.stream_name(&self.name) };
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let may_not = error.as_service_error().is_some_and(|error| error.is_access_denied_exception());
                if may_not { Ok(()) } else { Err(failed(&self.name, Asked::Put, error).error) }
            }
        }
    }

    /// Puts all records, and returns when the stream has them.
    ///
    /// # Errors
    /// The stream refuses some for good, or takes none for too long. Others may be in the stream then.
    pub async fn put(&self, records: Vec<Record>) -> Result<()> {
        let mut left: VecDeque<Record> = records.into();
        let mut retry = self.retry();
        while !left.is_empty() {
            let count = batch::length(&left, self.ordered);
            let sent: Vec<Record> = left.drain(..count).collect();
            let outcome = self.request(&sent).await?;
            if outcome.taken > 0 {
                retry = self.retry();
            }
            if let Some(failure) = outcome.failure {
                let mut not_taken = outcome.not_taken;
                // before everything else, in their order
                for record in not_taken.drain(..).rev() {
                    left.push_front(record);
                }
                retry.wait(failure).await?;
            }
        }
        Ok(())
    }

    fn retry(&self) -> Retry {
        let policy = Policy::within(self.retry_timeout).pauses(PAUSE_MIN, PAUSE_MAX);
        Retry::new(policy, "kinesis", self.clock.clone())
    }

    async fn request(&self, records: &[Record]) -> Result<Outcome> {
        let entries: Result<Vec<_>, BuildError> = records.iter().map(entry).collect();
        let entries = entries.map_err(|error| Error::bug("a record for Kinesis is not whole").caused_by(error))?;
        let request = self.client.put_records().set_records(Some(entries));
        let request = if self.is_arn() { request.stream_arn(&self.name) } else { request.stream_name(&self.name) };
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let failure = Some(failed(&self.name, Asked::Put, error));
                return Ok(Outcome { taken: 0, not_taken: records.to_vec(), failure });
            }
        };
        let results = answer.records();
        if results.len() != records.len() {
            let (answered, asked) = (results.len(), records.len());
            return Err(Error::bug(format!("Kinesis answers {answered} of {asked} records of stream '{}'", self.name)));
        }
        let (mut not_taken, mut failure): (Vec<Record>, Option<Failure>) = (Vec::new(), None);
        for (record, result) in records.iter().zip(results) {
            if let Some(code) = result.error_code() {
                not_taken.push(record.clone());
                failure.get_or_insert_with(|| {
                    refused(&self.name, Asked::Put, code, result.error_message().unwrap_or_default())
                });
            }
        }
        Ok(Outcome { taken: records.len() - not_taken.len(), not_taken, failure })
    }

    fn is_arn(&self) -> bool {
        self.name.starts_with("arn:")
    }
}

/// What has become of the records of a request.
struct Outcome {
    taken: usize,
    not_taken: Vec<Record>,
    failure: Option<Failure>,
}

fn entry(record: &Record) -> Result<PutRecordsRequestEntry, BuildError> {
    PutRecordsRequestEntry::builder()
        .partition_key(&record.key)
        .set_explicit_hash_key(record.hash_key.clone())
        .data(Blob::new(record.data.clone()))
        .build()
}
