//! Names of archives, as option `archive_name_format` writes them: Azure's words in braces, and the second in
//! which the window was opened. Pure.

use crate::names::is_plain;
use chrono::DateTime;
use tidemill_core::nearest::nearest;
use tidemill_core::{Error, Result};

/// Azure's own format.
pub(super) const DEFAULT: &str = "{Namespace}/{EventHub}/{PartitionId}/{Year}/{Month}/{Day}/{Hour}/{Minute}/{Second}";

/// Words that may stand in braces.
const WORDS: [&str; 9] = ["Namespace", "EventHub", "PartitionId", "Year", "Month", "Day", "Hour", "Minute", "Second"];
/// Those without which two archives would have one name.
const NEEDED: usize = 2;

/// A format that was checked.
#[derive(Debug, Clone)]
pub(super) struct ArchiveNames {
    format: String,
}

impl ArchiveNames {
    /// From the options of table `table`.
    ///
    /// # Errors
    /// A word that is not known or is missing, a name that cannot be part of a path.
    pub fn new(table: &str, format: &str, namespace: &str, event_hub: &str) -> Result<Self> {
        for (option, name) in [("namespace", namespace), ("event_hub", event_hub)] {
            if !is_plain(name) {
                return Err(Error::invalid(format!(
                    "option '{option}' of table '{table}' is '{name}', which cannot be part of a path"
                ))
                .help("use letters, digits, '.', '_' and '-'"));
            }
        }
        let wrong = |why: String| Error::invalid(format!("option 'archive_name_format' of table '{table}': {why}"));
        for word in format.split('{').skip(1) {
            let word = word.split('}').next().unwrap_or(word);
            if !WORDS.contains(&word) {
                let error = wrong(format!("'{{{word}}}' is not known"));
                let help = nearest(word, WORDS).map_or_else(
                    || format!("words are {}", WORDS.map(|word| format!("{{{word}}}")).join(", ")),
                    |near| format!("did you mean '{{{near}}}'?"),
                );
                return Err(error.help(help));
            }
        }
        if let Some(missing) = WORDS[NEEDED..].iter().find(|word| !format.contains(&format!("{{{word}}}"))) {
            return Err(wrong(format!("'{{{missing}}}' is missing, so that two archives could have one name")));
        }
        let format = format.replace("{Namespace}", namespace).replace("{EventHub}", event_hub);
        let names = ArchiveNames { format };
        let example = names.of("0", 0);
        if example.split('/').any(|part| !is_plain(part)) || example.starts_with("_tidemill") {
            return Err(wrong(format!("it gives '{example}', which is no path below that of the table"))
                .help("use letters, digits, '.', '_' and '-', with '/' between folders"));
        }
        Ok(names)
    }

    /// The name of the archive of a window of `partition` that was opened in `second` since 1970.
    pub fn of(&self, partition: &str, second: i64) -> String {
        let time = DateTime::from_timestamp(second, 0).unwrap_or_default();
        let mut name = self.format.replace("{PartitionId}", partition);
        for (word, digits) in [
            ("{Year}", "%Y"),
            ("{Month}", "%m"),
            ("{Day}", "%d"),
            ("{Hour}", "%H"),
            ("{Minute}", "%M"),
            ("{Second}", "%S"),
        ] {
            name = name.replace(word, &time.format(digits).to_string());
        }
        format!("{name}.avro")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_azure() {
        let names = ArchiveNames::new("t", DEFAULT, "mynamespace", "myeventhub").unwrap();
        assert_eq!(names.of("0", 1_512_702_197), "mynamespace/myeventhub/0/2017/12/08/03/03/17.avro");
        let other = "{EventHub}/y={Year}/{Month}{Day}/{Hour}{Minute}{Second}-{PartitionId}";
        assert!(ArchiveNames::new("t", other, "n", "h").is_err(), "'=' is no plain letter");
        let flat = other.replace("y=", "");
        assert_eq!(ArchiveNames::new("t", &flat, "n", "h").unwrap().of("1", 0), "h/1970/0101/000000-1.avro");
    }

    #[test]
    fn a_format_that_could_give_one_name_twice_is_refused() {
        let error = |format: &str| ArchiveNames::new("t", format, "n", "h").unwrap_err().report();
        assert!(error("{Namespace}/{PartitionID}").contains("did you mean '{PartitionId}'?"));
        assert!(error(&DEFAULT.replace("/{Second}", "")).contains("'{Second}' is missing"));
        assert!(error(&format!("../{DEFAULT}")).contains("no path below"));
        assert!(error(&format!("_tidemill/{DEFAULT}")).contains("no path below"));
        assert!(ArchiveNames::new("t", DEFAULT, "a/b", "h").unwrap_err().to_string().contains("'namespace'"));
    }
}
