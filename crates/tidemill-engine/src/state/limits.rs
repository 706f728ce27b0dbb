//! Limits of state: a query whose state grows without end stops with a clear error before the machine stops it.
//!
//! They are looked at after an epoch has been computed and before anything of it is written, so what stops there has
//! committed nothing of the epoch.

use crate::dataflow::execute::OperatorReport;
use crate::pipeline::settings::Settings;
use std::collections::BTreeSet;
use tidemill_core::{Error, Kind, Result};

/// The share of a limit from which on there is a warning, in percent.
const WARN_PERCENT: u64 = 80;

/// How much state an operator may keep.
#[derive(Debug, Default)]
pub struct StateLimits {
    rows_max: Option<u64>,
    bytes_max: Option<u64>,
    /// The operators that have been warned of, with what they have much of.
    warned: BTreeSet<(String, &'static str)>,
}

impl StateLimits {
    /// Those that a pipeline sets.
    pub fn of(settings: &Settings) -> StateLimits {
        let (rows_max, bytes_max) = (settings.state_limit_rows(), settings.state_limit_bytes());
        StateLimits { rows_max, bytes_max, warned: BTreeSet::new() }
    }

    /// Compares what operators keep after an epoch with the limits. `stored` are the bytes of the store that has the
    /// state of all of them; `None` when it is in memory.
    ///
    /// # Errors
    /// An operator keeps more.
    pub fn check<'a>(
        &mut self,
        operators: impl Iterator<Item = &'a OperatorReport>,
        stored: Option<u64>,
    ) -> Result<()> {
        for operator in operators {
            let name = format!("the operator {}", operator.name);
            self.compare(&name, "rows", "state_limit_rows", operator.state.rows, self.rows_max)?;
            if stored.is_none() {
                self.compare(&name, "bytes", "state_limit_bytes", operator.state.bytes, self.bytes_max)?;
            }
        }
        match stored {
            Some(bytes) => self.compare("the store", "bytes", "state_limit_bytes", bytes, self.bytes_max),
            None => Ok(()),
        }
    }

    fn compare(&mut self, who: &str, unit: &'static str, setting: &str, has: u64, most: Option<u64>) -> Result<()> {
        let Some(most) = most else { return Ok(()) };
        if has > most {
            let message = format!("{who} keeps {has} {unit} of state, and {setting} is {most}");
            return Err(Error::new(Kind::Invalid, message).class("STATE_LIMIT_EXCEEDED").help(format!(
                "nothing of the epoch was committed. Let keys go (a watermark with a window, dropDuplicatesWithinWatermark, a \
                 TTL), move state to disk (SET state_backend = 'rocksdb'), or raise {setting}; `tidemill state size` shows \
                 which keys hold most"
            )));
        }
        let key = (who.to_owned(), unit);
        if u128::from(has) * 100 < u128::from(most) * u128::from(WARN_PERCENT) {
            self.warned.remove(&key);
        } else if self.warned.insert(key) {
            tracing::warn!(%who, %unit, %has, limit = most, "state is near its limit, {setting}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::table::StateSize;
    use tidemill_core::options::GivenOption;

    fn limits(settings: &[(&str, &str)]) -> StateLimits {
        let given: Vec<GivenOption> = settings.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
        StateLimits::of(&Settings::check(&given).unwrap())
    }

    fn operator(rows: u64, bytes: u64) -> OperatorReport {
        OperatorReport {
            name: "counts/aggregate".into(),
            state: StateSize { rows, bytes },
            ..OperatorReport::default()
        }
    }

    #[test]
    fn more_than_the_limit_is_refused_by_name() {
        let mut limits = limits(&[("state_limit_rows", "100"), ("state_limit_bytes", "1KiB")]);
        limits.check([operator(100, 1024)].iter(), None).unwrap();
        for (operator, stored, words) in [
            (operator(101, 0), None, ["counts/aggregate keeps 101 rows", "state_limit_rows is 100"]),
            (operator(0, 1025), None, ["counts/aggregate keeps 1025 bytes", "state_limit_bytes is 1024"]),
            (operator(0, 9999), Some(1025), ["the store keeps 1025 bytes", "state_limit_bytes is 1024"]),
        ] {
            let error = limits.check([operator].iter(), stored).unwrap_err();
            assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
        }
        limits.check([operator(0, 9999)].iter(), Some(10)).unwrap();
    }

    #[test]
    fn a_warning_comes_once_until_there_is_less() {
        let mut limits = limits(&[("state_limit_rows", "100")]);
        for (rows, warned) in [(79, 0), (80, 1), (99, 1), (50, 0), (90, 1)] {
            limits.check([operator(rows, 0)].iter(), None).unwrap();
            assert_eq!(limits.warned.len(), warned, "{rows}");
        }
    }
}
