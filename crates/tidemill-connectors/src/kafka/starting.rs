//! Where a new query begins: positions, or the first records from a time on. Pure.
//!
//! Source: Spark, "Structured Streaming + Kafka Integration Guide": `startingTimestamp`, which goes before
//! `startingOffsetsByTimestamp`, which goes before `startingOffsets`; `startingOffsetsByTimestampStrategy`.

use super::source_options::{STARTING_BY_TIMESTAMP, STARTING_OFFSETS, STARTING_STRATEGY, STARTING_TIMESTAMP};
use crate::topics::starting::Starting;
use std::collections::BTreeMap;
use tidemill_core::{Error, Options, Result};

/// What the options say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// Positions.
    Offsets(Starting),
    /// The first record from a time on. `or_end`: where there is none, the end; otherwise that is an error.
    Times { times: Times, or_end: bool },
}

/// Milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Times {
    /// The same for all partitions.
    All(i64),
    /// By topic and partition; every partition must be there.
    Each(BTreeMap<String, BTreeMap<u32, i64>>),
}

impl Beginning {
    /// Reads the options.
    ///
    /// # Errors
    /// A value that cannot be read.
    pub(crate) fn of(options: &Options) -> Result<Beginning> {
        let or_end = options.text(STARTING_STRATEGY.name).is_some_and(|word| word.eq_ignore_ascii_case("latest"));
        if let Some(millis) = options.integer(STARTING_TIMESTAMP.name) {
            let millis = i64::try_from(millis).unwrap_or(i64::MAX);
            return Ok(Beginning::Times { times: Times::All(millis), or_end });
        }
        match options.text(STARTING_BY_TIMESTAMP.name) {
            Some(text) => Ok(Beginning::Times { times: Times::Each(each(text)?), or_end }),
            None => Ok(Beginning::Offsets(Starting::parse(options.required(STARTING_OFFSETS.name)?)?)),
        }
    }
}

impl Times {
    /// That of a partition.
    ///
    /// # Errors
    /// The option names none.
    pub(crate) fn of(&self, topic: &str, partition: u32) -> Result<i64> {
        match self {
            Times::All(millis) => Ok(*millis),
            Times::Each(each) => each.get(topic).and_then(|times| times.get(&partition)).copied().ok_or_else(|| {
                let option = STARTING_BY_TIMESTAMP.name;
                Error::invalid(format!("'{option}' names no time for partition {partition} of '{topic}'"))
                    .help("name every partition, or use starting_timestamp for all of them")
            }),
        }
    }
}

fn each(text: &str) -> Result<BTreeMap<String, BTreeMap<u32, i64>>> {
    serde_json::from_str(text).map_err(|cause| {
        Error::invalid(format!("option '{}' is '{text}', which is not JSON of times", STARTING_BY_TIMESTAMP.name))
            .help(r#"write {"topic": {"0": 1767225600000, "1": 1767225600000}}, in milliseconds since 1970"#)
            .caused_by(cause)
    })
}

#[cfg(test)]
mod tests {
    use super::super::source_options::DESCRIPTION;
    use super::*;
    use tidemill_core::options::GivenOption;

    fn beginning(given: &[(&str, &str)]) -> Result<Beginning> {
        let mut all = vec![GivenOption::new("bootstrap_servers", "b:1"), GivenOption::new("topic", "t")];
        all.extend(given.iter().map(|(key, value)| GivenOption::new(*key, *value)));
        Beginning::of(&Options::check("source 'kafka'", &[DESCRIPTION.options], &all)?)
    }

    #[test]
    fn sparks_names_and_their_order_hold() {
        let each = r#"{"t": {"0": 5, "1": 6}}"#;
        let given = [("startingOffsets", "earliest"), ("startingOffsetsByTimestamp", each)];
        let Beginning::Times { times, or_end: false } = beginning(&given).unwrap() else { panic!("not by time") };
        assert_eq!(times.of("t", 1).unwrap(), 6);
        assert!(times.of("t", 2).unwrap_err().to_string().contains("partition 2 of 't'"));
        let given = [("startingTimestamp", "7"), given[1], ("startingOffsetsByTimestampStrategy", "latest")];
        let all = Beginning::Times { times: Times::All(7), or_end: true };
        assert_eq!(beginning(&given).unwrap(), all);
        assert!(matches!(beginning(&[]).unwrap(), Beginning::Offsets(_)));
        let error = beginning(&[("startingOffsetsByTimestamp", r#"{"t": 5}"#)]).unwrap_err();
        assert!(error.to_string().contains("is not JSON of times"), "{error}");
        assert!(beginning(&[("startingOffsetsByTimestampStrategy", "never")]).is_err());
    }
}
