//! How many files an epoch takes: by the user's limits and the engine's. Pure.

use super::scan::DataFile;
use tidemill_core::source::Ask;
use tidemill_core::{Error, Options, Result};

/// Most files of an epoch when the user names no limit, as in Spark.
const FILES_MAX: u64 = 1_000;

/// What the user allows an epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    files_max: u64,
    bytes_max: Option<u64>,
}

impl Limits {
    /// # Errors
    /// A limit of nothing.
    pub fn of(options: &Options) -> Result<Self> {
        let (files, bytes) = (options.integer("max_files_per_trigger"), options.bytes("max_bytes_per_trigger"));
        for (name, given) in [("max_files_per_trigger", files), ("max_bytes_per_trigger", bytes)] {
            if given == Some(0) {
                return Err(Error::invalid(format!("option '{name}' is 0, and nothing would ever be read")));
            }
        }
        let unlimited = if bytes.is_some() { u64::MAX } else { FILES_MAX };
        Ok(Limits { files_max: files.unwrap_or(unlimited), bytes_max: bytes })
    }
}

/// The room that an epoch has left.
#[derive(Debug)]
pub(super) struct Admission {
    files: u64,
    bytes: u64,
    is_first: bool,
}

impl Admission {
    pub fn new(limits: Limits, ask: &Ask) -> Self {
        let asked = if ask.bytes_max == 0 { u64::MAX } else { ask.bytes_max };
        let (files, bytes) = match ask.rate_limited {
            true => (limits.files_max, limits.bytes_max.unwrap_or(u64::MAX)),
            false => (u64::MAX, u64::MAX),
        };
        Admission { files, bytes: bytes.min(asked), is_first: true }
    }

    /// How many of `files` it takes, in their order. A file is taken whole, and one at least in an epoch.
    pub fn take(&mut self, files: &[DataFile]) -> u64 {
        let mut taken = 0;
        for file in files {
            if self.files == 0 || (file.bytes > self.bytes && !self.is_first) {
                // what comes after is not smaller for us: the order of files is kept
                self.files = 0;
                break;
            }
            self.is_first = false;
            self.files -= 1;
            self.bytes = self.bytes.saturating_sub(file.bytes);
            taken += 1;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use tidemill_core::describe::OptionKind;
    use tidemill_core::describe::OptionSpec;
    use tidemill_core::options::GivenOption;

    fn files(sizes: &[u64]) -> Vec<DataFile> {
        let file =
            |bytes: &u64| DataFile { path: "x".into(), bytes: *bytes, partition: HashMap::new(), has_vector: false };
        sizes.iter().map(file).collect()
    }

    fn limits(given: &[(&str, &str)]) -> Limits {
        let specs = [
            OptionSpec::new("max_files_per_trigger", OptionKind::Integer, ""),
            OptionSpec::new("max_bytes_per_trigger", OptionKind::Bytes, ""),
        ];
        let given: Vec<GivenOption> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
        Limits::of(&Options::check("t", &[&specs], &given).unwrap()).unwrap()
    }

    #[test]
    fn an_epoch_takes_whole_files_in_order_up_to_its_limits() {
        let ask = |rate_limited, bytes_max| Ask { until: None, rate_limited, bytes_max };
        let take =
            |given: &[(&str, &str)], ask: &Ask, sizes: &[u64]| Admission::new(limits(given), ask).take(&files(sizes));
        assert_eq!(take(&[], &ask(true, 0), &[5; 2000]), 1000);
        assert_eq!(take(&[], &ask(false, 0), &[5; 2000]), 2000);
        assert_eq!(take(&[("max_files_per_trigger", "3")], &ask(true, 0), &[5; 9]), 3);
        assert_eq!(take(&[("max_bytes_per_trigger", "12b")], &ask(true, 0), &[5; 9]), 2);
        assert_eq!(take(&[("max_bytes_per_trigger", "2b")], &ask(true, 0), &[5; 9]), 1, "one at least");
        assert_eq!(take(&[], &ask(false, 11), &[5, 5, 5, 1]), 2, "no later file goes ahead");
    }

    #[test]
    fn several_versions_share_the_room_of_an_epoch() {
        let mut admission =
            Admission::new(limits(&[("max_files_per_trigger", "3")]), &Ask { rate_limited: true, ..Ask::default() });
        assert_eq!(
            [admission.take(&files(&[1, 1])), admission.take(&files(&[1, 1])), admission.take(&files(&[1]))],
            [2, 1, 0]
        );
    }
}
