//! Where a new stream begins: with the table as it is, or with a version of the log.

use super::log::Log;
use super::position::Standing;
use crate::format::text::time;
use tidemill_core::{Error, Kind, Options, Result};

/// Where the options say a new stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// With all rows of the table, then with what changes.
    Snapshot,
    /// With what changes from now on.
    Latest,
    /// With what changed in this version.
    Version(u64),
    /// With what changed at this time or later, in microseconds.
    Time(i64),
}

impl Start {
    /// # Errors
    /// Both options, or a value that is neither a version nor a time.
    pub fn of(options: &Options) -> Result<Start> {
        match (options.text("starting_version"), options.text("starting_timestamp")) {
            (Some(_), Some(_)) => {
                Err(Error::invalid("starting_version and starting_timestamp are both given").help("keep one of them"))
            }
            (None, None) => Ok(Start::Snapshot),
            (Some(word), None) if word.eq_ignore_ascii_case("latest") => Ok(Start::Latest),
            (Some(number), None) => number.trim().parse().map(Start::Version).map_err(|_| {
                Error::invalid(format!("starting_version is '{number}', which is neither a version nor 'latest'"))
            }),
            (None, Some(text)) => {
                let time = time::parse(text.trim().as_bytes()).and_then(time::Written::instant);
                time.map(Start::Time).ok_or_else(|| {
                    Error::invalid(format!("starting_timestamp is '{text}', which is no time"))
                        .help("write it as '2026-01-31', or '2026-01-31T12:30:00Z'; without a zone it is UTC")
                })
            }
        }
    }

    /// Where that is in the table.
    ///
    /// # Errors
    /// A version or a time that the log has not, or has no more.
    pub async fn standing(self, log: &Log, fail_on_data_loss: bool) -> Result<Standing> {
        let (latest, place) = (log.opened_at, &log.home.place);
        match self {
            Start::Snapshot => Ok(Standing::at_snapshot(latest)),
            Start::Latest => Ok(Standing::at_log(latest + 1)),
            Start::Version(version) => {
                let versions = log.versions().await?;
                let oldest = versions.first().map_or(latest, |(version, _)| *version);
                if version > latest + 1 || (version < oldest && fail_on_data_loss) {
                    return Err(Error::new(
                        Kind::Data,
                        format!(
                            "starting_version is {version}, and the log of the delta table at {place} holds \
                                 the versions {oldest} to {latest}"
                        ),
                    )
                    .class("DELTA_TIME_TRAVEL_INVALID_BEGIN_VALUE")
                    .help("name one of them, or none to begin with all rows of the table"));
                }
                if version < oldest {
                    tracing::warn!(
                        table = place,
                        from = version,
                        to = oldest,
                        "versions are gone from the log, beginning with the oldest"
                    );
                }
                Ok(Standing::at_log(version.max(oldest)))
            }
            Start::Time(time) => {
                let versions = log.versions().await?;
                first_at_or_after(&versions, time).map(Standing::at_log).ok_or_else(|| {
                    Error::invalid(format!(
                        "no version of the delta table at {place} is as new as \
                                            starting_timestamp"
                    ))
                    .class("DELTA_TIMESTAMP_GREATER_THAN_COMMIT")
                    .help("name an earlier time, or starting_version = 'latest'")
                })
            }
        }
    }
}

/// The first version made at `time` or after it. Files whose clocks went back count as made with the version before.
fn first_at_or_after(versions: &[(u64, i64)], time: i64) -> Option<u64> {
    let mut newest = i64::MIN;
    versions.iter().find_map(|(version, made)| {
        newest = newest.max(*made);
        (newest >= time).then_some(*version)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_core::describe::{OptionKind, OptionSpec};
    use tidemill_core::options::GivenOption;

    fn start(given: &[(&str, &str)]) -> Result<Start> {
        let specs = [
            OptionSpec::new("starting_version", OptionKind::Text, ""),
            OptionSpec::new("starting_timestamp", OptionKind::Text, ""),
        ];
        let given: Vec<GivenOption> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
        Start::of(&Options::check("t", &[&specs], &given).unwrap())
    }

    #[test]
    fn a_beginning_is_a_version_or_a_time() {
        assert_eq!(start(&[]).unwrap(), Start::Snapshot);
        assert_eq!(start(&[("startingVersion", "latest")]).unwrap(), Start::Latest);
        assert_eq!(start(&[("startingVersion", "12")]).unwrap(), Start::Version(12));
        assert_eq!(start(&[("startingTimestamp", "1970-01-01T00:00:01Z")]).unwrap(), Start::Time(1_000_000));
        assert!(start(&[("startingVersion", "-1")]).is_err());
        assert!(start(&[("startingTimestamp", "yesterday")]).is_err());
        assert!(start(&[("startingVersion", "1"), ("startingTimestamp", "2026-01-01")]).is_err());
    }

    #[test]
    fn a_time_means_the_first_version_that_is_not_older() {
        let versions = [(3, 100), (4, 90), (5, 200)];
        let first = |time| first_at_or_after(&versions, time);
        assert_eq!([first(50), first(100), first(101), first(201)], [Some(3), Some(3), Some(5), None]);
    }
}
