//! Records of the Kinesis Producer Library, of which each holds many user records. Pure.
//!
//! Source: "KPL Aggregated Record Format" (aggregation-format.md of awslabs/amazon-kinesis-producer), and
//! `AggregatorUtil` of the Kinesis Client Library: what looks like such a record and is none is a user record itself.

use bytes::Bytes;
use md5::{Digest, Md5};
use prost::Message;

const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const DIGEST_BYTES: usize = 16;

#[derive(Clone, PartialEq, Message)]
struct AggregatedRecord {
    #[prost(string, repeated, tag = "1")]
    partition_key_table: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    explicit_hash_key_table: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<AggregatedPart>,
}

#[derive(Clone, PartialEq, Message)]
struct AggregatedPart {
    #[prost(uint64, required, tag = "1")]
    partition_key_index: u64,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "bytes", required, tag = "3")]
    data: Bytes,
}

/// A user record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UserRecord {
    /// Its number in the aggregated record, from 0.
    pub number: u32,
    /// Its partition key.
    pub key: String,
    /// The hash key that decides its shard.
    pub hash: u128,
    /// Its payload.
    pub data: Bytes,
}

/// The user records of an aggregated record; `None` when `data` is a user record itself.
pub(super) fn user_records(data: &Bytes) -> Option<Vec<UserRecord>> {
    let content_end = data.len().checked_sub(DIGEST_BYTES)?;
    if data.get(..MAGIC.len())? != MAGIC || content_end < MAGIC.len() {
        return None;
    }
    let content = data.slice(MAGIC.len()..content_end);
    if Md5::digest(&content)[..] != data[content_end..] {
        return None;
    }
    let aggregated = AggregatedRecord::decode(content).ok()?;
    let user_record = |(number, part): (usize, &AggregatedPart)| {
        let key = aggregated.partition_key_table.get(usize::try_from(part.partition_key_index).ok()?)?;
        let hash = match part.explicit_hash_key_index {
            Some(at) => aggregated.explicit_hash_key_table.get(usize::try_from(at).ok()?)?.parse().ok()?,
            None => hash_of(key),
        };
        Some(UserRecord { number: u32::try_from(number).ok()?, key: key.clone(), hash, data: part.data.clone() })
    };
    aggregated.records.iter().enumerate().map(user_record).collect()
}

/// The hash key of a partition key.
fn hash_of(key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(key.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aggregated(parts: &[(u64, Option<u64>, &'static [u8])]) -> Vec<u8> {
        let part = |(key, hash, data): &(u64, Option<u64>, &'static [u8])| AggregatedPart {
            partition_key_index: *key,
            explicit_hash_key_index: *hash,
            data: Bytes::from_static(data),
        };
        let content = AggregatedRecord {
            partition_key_table: vec!["a".into(), "b".into()],
            explicit_hash_key_table: vec!["12".into()],
            records: parts.iter().map(part).collect(),
        };
        let content = content.encode_to_vec();
        [&MAGIC[..], &content, &Md5::digest(&content)].concat()
    }

    #[test]
    fn user_records_come_out_with_their_keys() {
        let records = user_records(&aggregated(&[(0, None, b"one"), (1, Some(0), b"")]).into()).unwrap();
        // MD5 of "a", from RFC 1321
        let hash = 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661;
        let one = UserRecord { number: 0, key: "a".into(), hash, data: Bytes::from_static(b"one") };
        let two = UserRecord { number: 1, key: "b".into(), hash: 12, data: Bytes::new() };
        assert_eq!(records, [one, two]);
    }

    #[test]
    fn what_only_looks_aggregated_is_a_user_record() {
        let whole = aggregated(&[(0, None, b"one")]);
        let mut torn = whole.clone();
        torn[6] ^= 1;
        let no_key = aggregated(&[(5, None, b"one")]);
        for data in [torn, no_key, whole[..whole.len() - 1].to_vec(), MAGIC.to_vec(), b"{}".to_vec(), vec![]] {
            assert_eq!(user_records(&data.into()), None);
        }
        assert_eq!(user_records(&aggregated(&[]).into()), Some(vec![]), "none at all");
    }
}
