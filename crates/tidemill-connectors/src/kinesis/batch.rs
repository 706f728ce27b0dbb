//! Which records a request takes. Pure.
//!
//! Source: "PutRecords" of the Kinesis Data Streams API reference: at most 500 records and 5 MiB, keys included, with
//! each request.

use super::record::Record;
use std::collections::HashSet;

pub(super) const RECORDS_MAX: usize = 500;
pub(super) const BYTES_MAX: usize = 5 << 20;

/// How many of the first records go with the next request; one at least. With `ordered` no two of them have the same
/// key: one that is not taken then cannot be overtaken by a later one of its key.
pub(super) fn length<'a>(records: impl IntoIterator<Item = &'a Record>, ordered: bool) -> usize {
    let (mut count, mut bytes, mut keys) = (0, 0, HashSet::new());
    for record in records {
        bytes += record.bytes();
        let fits = count < RECORDS_MAX && bytes <= BYTES_MAX;
        if count > 0 && (!fits || (ordered && keys.contains(record.key.as_str()))) {
            break;
        }
        keys.insert(record.key.as_str());
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(sizes: &[usize]) -> Vec<Record> {
        let record =
            |(at, size): (usize, &usize)| Record { key: (at % 7).to_string(), hash_key: None, data: vec![0; *size] };
        sizes.iter().enumerate().map(record).collect()
    }

    #[test]
    fn requests_stay_within_the_limits_and_take_one_record_at_least() {
        assert_eq!(length(&records(&[1; 501]), false), 500);
        assert_eq!(length(&records(&[1 << 20; 6]), false), 4, "keys count, too");
        assert_eq!(length(&records(&[BYTES_MAX + 1, 1]), false), 1);
        assert_eq!(length(&records(&[]), false), 0);
    }

    #[test]
    fn an_ordered_request_has_each_key_once() {
        assert_eq!(length(&records(&[1; 20]), true), 7);
        assert_eq!(length(&records(&[1; 5]), true), 5);
    }
}
