//! What the embedded log and Kafka share: topics with partitions of records with offsets.
//!
//! Must not do I/O, and must not know which of the two it serves.

pub(crate) mod columns;
pub(crate) mod headers;
pub(crate) mod key;
pub(crate) mod limit;
pub(crate) mod payload;
pub(crate) mod starting;

use tidemill_core::{Error, Offsets, Result, Split};

/// The split of a partition: `<topic>-<partition>`.
pub(crate) fn split(topic: &str, partition: u32) -> Split {
    Split::from(format!("{topic}-{partition}"))
}

/// Topic and partition of a split.
pub(crate) fn topic_partition(split: &str) -> Result<(&str, u32)> {
    split
        .rsplit_once('-')
        .and_then(|(topic, partition)| Some((topic, partition.parse().ok()?)))
        .ok_or_else(|| Error::invalid(format!("'{split}' is not a split of this source: expected <topic>-<partition>")))
}

/// The names in a comma separated list.
pub(crate) fn names(list: &str) -> Vec<String> {
    let mut names: Vec<String> =
        list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// Refuses positions that the options no longer ask for: their records would be dropped in silence.
pub(crate) fn check_subscribed(
    table: &str,
    resume_from: &Offsets,
    is_subscribed: impl Fn(&str, u32) -> bool,
) -> Result<()> {
    for split in resume_from.0.keys() {
        let (topic, partition) = topic_partition(split)?;
        if !is_subscribed(topic, partition) {
            return Err(Error::invalid(format!(
                "the checkpoint holds a position of topic '{topic}', partition {partition}, which table '{table}' no \
                 longer reads"
            ))
            .help("name the topic again, or start with a new checkpoint"));
        }
    }
    Ok(())
}
