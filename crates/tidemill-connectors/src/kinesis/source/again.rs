//! Reads a planned range once more: after a crash, or to find out where a bad row came from. What comes must be what was
//! planned.

use super::poll::Reading;
use super::position::{Mark, Place, order};
use super::record::UserRecord;
use super::shards::Shard;
use super::stream::{Begin, EXPIRED, GONE, Page, RECORDS_MAX};
use std::cmp::Ordering;
use tidemill_core::retry::Failure;
use tidemill_core::{Result, SplitRange};

/// The records from `first` to `last` of a shard, which are those of `range`.
///
/// # Errors
/// Some are gone, or Kinesis does not answer for too long.
pub(super) async fn read(
    reading: &Reading,
    shard: &Shard,
    range: &SplitRange,
    first: &Place,
    last: &Place,
) -> Result<Vec<UserRecord>> {
    let mut found = Vec::new();
    let mut retry = reading.stream.patience.begin();
    let mut next = iterator(reading, shard, first).await?;
    while let Some(iterator) = next.take() {
        next = match reading.stream.records(&iterator, RECORDS_MAX).await {
            Ok(page) => {
                retry = reading.stream.patience.begin();
                let more = page.next.clone();
                match take(page, shard, first, last, &mut found) {
                    true => None,
                    false => {
                        tokio::time::sleep(reading.poll_interval).await;
                        more
                    }
                }
            }
            // begun afresh: the records found so far come again
            Err(failure) if failure.code.as_deref() == Some(EXPIRED) => {
                found.clear();
                self::iterator(reading, shard, first).await?
            }
            Err(failure) if failure.code.as_deref() == Some(GONE) => {
                gone(reading, shard, range, &failure)?;
                None
            }
            Err(failure) => {
                retry.wait(failure).await?;
                Some(iterator)
            }
        };
    }
    if found.len() as u64 != range.len() {
        let (planned, there) = (range.len(), found.len());
        let what = format!("{planned} records from {first} to {last} were planned to be read, and {there} are there");
        reading.lost(&*shard.id, &what)?;
    }
    Ok(found)
}

async fn iterator(reading: &Reading, shard: &Shard, first: &Place) -> Result<Option<String>> {
    let mut retry = reading.stream.patience.begin();
    loop {
        match reading.stream.iterator(&shard.id, &Begin::At(first.clone())).await {
            Ok(iterator) => return Ok(Some(iterator)),
            Err(failure) if failure.code.as_deref() == Some(GONE) => {
                let what = format!("the planned record {first} is not there any more ({})", failure.error);
                return reading.lost(&*shard.id, &what).map(|()| None);
            }
            Err(failure) => retry.wait(failure).await?,
        }
    }
}

fn gone(reading: &Reading, shard: &Shard, range: &SplitRange, failure: &Failure) -> Result<()> {
    reading.lost(&*shard.id, &format!("the planned range {range} is not there any more ({})", failure.error))
}

/// Takes the records of the range out of an answer; true when no more of them can come.
fn take(page: Page, shard: &Shard, first: &Place, last: &Place, found: &mut Vec<UserRecord>) -> bool {
    let is_end = page.records.is_empty() && page.behind == Some(0);
    let mut is_done = false;
    for record in page.records.into_iter().flat_map(|record| UserRecord::of(record, shard)) {
        if is_after(&record, last) {
            is_done = true;
        } else if !is_before(&record, first) {
            is_done |= record.end() == *last;
            found.push(record);
        }
    }
    is_done || is_end
}

fn is_before(record: &UserRecord, first: &Place) -> bool {
    match order(&record.place.sequence, &first.sequence) {
        Ordering::Equal => record.place.sub < first.sub,
        ordering => ordering == Ordering::Less,
    }
}

fn is_after(record: &UserRecord, last: &Place) -> bool {
    match order(&record.place.sequence, &last.sequence) {
        // no number stands for all of the record
        Ordering::Equal => last.sub.is_some_and(|last| record.place.sub.is_some_and(|sub| sub > last)),
        ordering => ordering == Ordering::Greater,
    }
}

/// The first and the last record of a planned range; `None` when the plan is not of this source.
pub(super) fn ends(range: &SplitRange) -> Option<(Place, Place)> {
    match Mark::parse(&range.split, &range.to_name).ok()? {
        Mark::After(last, _) => Some((Place::parse(&range.from_name)?, last)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn record(sequence: &str, sub: Option<u32>, is_last: bool) -> UserRecord {
        let place = Place { sequence: sequence.into(), sub };
        UserRecord { place, is_last, arrived: 0, key: None, data: Bytes::new() }
    }

    #[test]
    fn a_range_begins_and_ends_inside_of_aggregated_records() {
        let place = |text: &str| Place::parse(text).unwrap();
        let part = record("12", Some(2), false);
        assert!(
            is_before(&part, &place("12/3")) && !is_before(&part, &place("12/2")) && !is_before(&part, &place("9"))
        );
        assert!(is_after(&part, &place("12/1")) && !is_after(&part, &place("12/2")) && !is_after(&part, &place("12")));
        assert!(
            is_after(&record("100", None, true), &place("99")) && is_before(&record("99", None, true), &place("100"))
        );
        assert_eq!(record("12", Some(4), true).end(), place("12"));
    }

    #[test]
    fn a_range_without_its_ends_is_not_of_this_source() {
        let range = SplitRange { from_name: "7".into(), to_name: "9 seen 4".into(), ..SplitRange::new("s", 0, 2) };
        assert_eq!(ends(&range), Some((Place::parse("7").unwrap(), Place::parse("9").unwrap())));
        assert_eq!(ends(&SplitRange::new("s", 0, 2)), None);
    }
}
