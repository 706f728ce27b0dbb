//! The requests to Kinesis that reading needs, each once: who calls decides what a failure means.

use super::super::errors::{Asked, failed};
use super::position::{Mark, Place};
use super::shards::{Shard, Shards};
use crate::retry::Patience;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Record, RecordDistributionStrategy, ShardIteratorType};
use std::collections::BTreeMap;
use tidemill_core::retry::{Class, Failure};
use tidemill_core::{Error, Kind, Result};

/// The codes that mean something else than trouble.
pub(super) const EXPIRED: &str = "ExpiredIteratorException";
pub(super) const GONE: &str = "ResourceNotFoundException";
const NOT_TAKEN: &str = "InvalidArgumentException";

/// Most records of an answer.
pub(super) const RECORDS_MAX: usize = 10_000;

/// A stream that is read.
#[derive(Clone)]
pub(super) struct Stream {
    client: Client,
    /// As the options name it: a name or an ARN.
    given: String,
    /// Its name.
    pub name: String,
    /// False when Kinesis spreads records over the shards, whatever their keys.
    pub is_by_key: bool,
    pub patience: Patience,
}

/// What a stream says of itself.
pub(super) struct Summary {
    /// When it was made, in milliseconds since 1970.
    pub created: u64,
    /// How long it keeps records, in milliseconds.
    pub retention: i64,
    /// False when it spreads records over its shards, whatever their keys.
    pub is_by_key: bool,
}

/// Where an iterator begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Begin {
    /// With the oldest record.
    Horizon,
    /// After the newest record there is now.
    Latest,
    /// With the first record from a time on, in milliseconds since 1970.
    Time(i64),
    /// With a record.
    At(Place),
    /// After a record.
    After(Place),
}

/// An answer of a shard.
pub(super) struct Page {
    pub records: Vec<Record>,
    /// The iterator of the next one; `None` at the end of a closed shard.
    pub next: Option<String>,
    /// How far it is behind the newest record, in milliseconds.
    pub behind: Option<u64>,
}

impl Stream {
    /// The stream that the options name.
    pub fn new(client: Client, given: &str, patience: Patience) -> Self {
        let name = given.rsplit_once('/').map_or(given, |(_, name)| name).to_owned();
        Stream { client, given: given.to_owned(), name, is_by_key: true, patience }
    }

    fn arn(&self) -> Option<String> {
        self.given.starts_with("arn:").then(|| self.given.clone())
    }

    fn plain(&self) -> Option<String> {
        self.arn().is_none().then(|| self.given.clone())
    }

    /// What it says of itself; `None` when the caller may read and not describe it.
    ///
    /// # Errors
    /// There is none, or AWS does not answer for too long.
    pub async fn summary(&self) -> Result<Option<Summary>> {
        let mut retry = self.patience.begin();
        loop {
            let request = self.client.describe_stream_summary();
            let request = request.set_stream_name(self.plain()).set_stream_arn(self.arn());
            match request.send().await {
                Ok(answer) => {
                    let Some(said) = answer.stream_description_summary() else { return Ok(None) };
                    let created = said.stream_creation_timestamp().to_millis().unwrap_or(0);
                    let retention = i64::from(said.retention_period_hours()) * 3_600_000;
                    let is_by_key = said.record_distribution_strategy() != Some(&RecordDistributionStrategy::Auto);
                    return Ok(Some(Summary { created: created.unsigned_abs(), retention, is_by_key }));
                }
                Err(error) if error.as_service_error().is_some_and(|error| error.is_access_denied_exception()) => {
                    return Ok(None);
                }
                Err(error) => retry.wait(failed(&self.given, Asked::Read, error)).await?,
            }
        }
    }

    /// Its shards, those that are closed too as long as it keeps records of them.
    ///
    /// # Errors
    /// There is none, or AWS does not answer for too long.
    pub async fn shards(&self) -> Result<Shards> {
        let (mut found, mut next) = (BTreeMap::new(), None::<String>);
        let mut retry = self.patience.begin();
        loop {
            let request = self.client.list_shards();
            let request = match &next {
                Some(token) => request.next_token(token),
                None => request.set_stream_name(self.plain()).set_stream_arn(self.arn()),
            };
            match request.send().await {
                Ok(answer) => {
                    for shard in answer.shards() {
                        let shard = self.shard(shard)?;
                        found.insert(shard.id.clone(), shard);
                    }
                    next = answer.next_token().map(str::to_owned);
                    if next.is_none() {
                        return Ok(Shards(found));
                    }
                    retry = self.patience.begin();
                }
                Err(error) => retry.wait(failed(&self.given, Asked::Read, error)).await?,
            }
        }
    }

    fn shard(&self, shard: &aws_sdk_kinesis::types::Shard) -> Result<Shard> {
        let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
        let hashes = shard.hash_key_range().filter(|_| self.is_by_key).map_or(Some((0, u128::MAX)), |range| {
            let number = |text: &str| text.parse::<u128>().ok();
            Some((number(range.starting_hash_key())?, number(range.ending_hash_key())?))
        });
        let id = shard.shard_id().to_owned();
        let hashes = hashes.ok_or_else(|| {
            Error::bug(format!("Kinesis names no hash keys of shard '{id}' of stream '{}'", self.given))
        })?;
        Ok(Shard { id, parents: parents.into_iter().flatten().map(str::to_owned).collect(), hashes })
    }

    /// An iterator of a shard.
    pub async fn iterator(&self, shard: &str, begin: &Begin) -> Result<String, Failure> {
        let request = self.client.get_shard_iterator().shard_id(shard);
        let request = request.set_stream_name(self.plain()).set_stream_arn(self.arn());
        let request = match begin {
            Begin::Horizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Begin::Latest => request.shard_iterator_type(ShardIteratorType::Latest),
            Begin::Time(millis) => {
                let time = DateTime::from_millis(*millis);
                request.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(time)
            }
            Begin::At(place) => request
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .starting_sequence_number(&*place.sequence),
            Begin::After(place) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(&*place.sequence),
        };
        match request.send().await {
            Ok(answer) => answer
                .shard_iterator()
                .map(str::to_owned)
                .ok_or_else(|| Failure::by_kind(Error::bug(format!("Kinesis gives no iterator of shard '{shard}'")))),
            Err(error) => Err(self.begin_failed(begin, failed(&self.given, Asked::Read, error))),
        }
    }

    /// A time that the clock of Kinesis has not come to yet is refused, and will come.
    fn begin_failed(&self, begin: &Begin, failure: Failure) -> Failure {
        match begin {
            Begin::Time(_) if failure.code.as_deref() == Some(NOT_TAKEN) => {
                Failure { class: Class::Transient, ..failure }
            }
            _ => failure,
        }
    }

    /// The next records of an iterator, so many at most.
    pub async fn records(&self, iterator: &str, records_max: usize) -> Result<Page, Failure> {
        let limit = records_max.clamp(1, RECORDS_MAX) as i32;
        let request = self.client.get_records().shard_iterator(iterator).limit(limit).set_stream_arn(self.arn());
        match request.send().await {
            Ok(answer) => Ok(Page {
                behind: answer.millis_behind_latest().map(|millis| millis.max(0).unsigned_abs()),
                next: answer.next_shard_iterator,
                records: answer.records,
            }),
            Err(error) => Err(failed(&self.given, Asked::Read, error)),
        }
    }

    /// The loss of records of a shard, or of all, that were not read yet.
    pub fn lost(&self, shard: Option<&str>, what: &str) -> Error {
        let shard = shard.map_or(String::new(), |shard| format!(", shard '{shard}'"));
        Error::new(Kind::Data, format!("Kinesis stream '{}'{shard}: {what}", self.given))
            .help("set fail_on_data_loss = 'false' to go on with what is there, or start with a new checkpoint")
    }
}

/// Where reading goes on, and the record that must then come first: one that was read, whose absence shows that the
/// stream has dropped what came after it, or one that was read in part. With `may_be_lost` the stream may have dropped
/// records since the mark was made.
pub(super) fn begin(mark: &Mark, may_be_lost: bool) -> Option<(Begin, Option<Place>)> {
    Some(match mark {
        Mark::Horizon => (Begin::Horizon, None),
        Mark::Time(millis) | Mark::Since(millis) => (Begin::Time(*millis), None),
        Mark::After(place, _) if place.sub.is_some() || may_be_lost => (Begin::At(place.clone()), Some(place.clone())),
        Mark::After(place, _) => (Begin::After(place.clone()), None),
        Mark::End => return None,
    })
}
