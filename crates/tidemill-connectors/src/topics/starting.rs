//! Where a new query begins: `earliest`, `latest`, or Spark's JSON `{"topic": {"0": 23, "1": -2}}`
//! with -2 for earliest and -1 for latest.
//!
//! Source: Spark, "Structured Streaming + Kafka Integration Guide", `startingOffsets`.

use std::collections::BTreeMap;
use tidemill_core::{Error, Result};

/// A place in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The oldest record there is.
    Earliest,
    /// After the newest record there is.
    Latest,
    /// A position.
    At(u64),
}

/// The value of `starting_offsets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Starting {
    /// The same for all partitions.
    All(Start),
    /// By topic and partition; every partition of a named topic must be there.
    Each(BTreeMap<String, BTreeMap<u32, Start>>),
}

impl Starting {
    /// Parses the option's value.
    pub(crate) fn parse(text: &str) -> Result<Starting> {
        match text.trim().to_ascii_lowercase().as_str() {
            "earliest" => return Ok(Starting::All(Start::Earliest)),
            "latest" => return Ok(Starting::All(Start::Latest)),
            _ => {}
        }
        let wrong = || {
            Error::invalid(format!("option 'starting_offsets' is '{text}', which is not earliest, latest or JSON"))
                .help(r#"write JSON as {"topic": {"0": 23, "1": -2}}; -2 is earliest, -1 is latest"#)
        };
        let topics: BTreeMap<String, BTreeMap<String, i64>> =
            serde_json::from_str(text).map_err(|cause| wrong().caused_by(cause))?;
        let mut each = BTreeMap::new();
        for (topic, partitions) in topics {
            let mut starts = BTreeMap::new();
            for (partition, offset) in partitions {
                let start = match offset {
                    -2 => Start::Earliest,
                    -1 => Start::Latest,
                    offset => Start::At(u64::try_from(offset).map_err(|_| wrong())?),
                };
                starts.insert(partition.parse().map_err(|_| wrong())?, start);
            }
            each.insert(topic, starts);
        }
        Ok(Starting::Each(each))
    }

    /// Where a partition that is there when the query starts begins.
    pub(crate) fn of(&self, topic: &str, partition: u32) -> Result<Start> {
        match self {
            Starting::All(start) => Ok(*start),
            Starting::Each(each) => {
                each.get(topic).and_then(|starts| starts.get(&partition)).copied().ok_or_else(|| {
                    Error::invalid(format!(
                        "'starting_offsets' names no position for partition {partition} of '{topic}'"
                    ))
                    .help("name every partition: -2 is earliest, -1 is latest")
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_json_are_read_and_a_missing_partition_is_an_error() {
        assert_eq!(Starting::parse("Latest").unwrap(), Starting::All(Start::Latest));
        let each = Starting::parse(r#"{"a": {"0": 23, "1": -2, "2": -1}}"#).unwrap();
        assert_eq!(each.of("a", 0).unwrap(), Start::At(23));
        assert_eq!(each.of("a", 1).unwrap(), Start::Earliest);
        assert_eq!(each.of("a", 2).unwrap(), Start::Latest);
        assert!(each.of("a", 3).unwrap_err().to_string().contains("partition 3 of 'a'"));
        for wrong in ["newest", r#"{"a": 3}"#, r#"{"a": {"x": 1}}"#, r#"{"a": {"0": -3}}"#] {
            assert!(Starting::parse(wrong).unwrap_err().to_string().contains("earliest, latest or JSON"), "{wrong}");
        }
    }
}
