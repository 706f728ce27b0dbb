//! Names of archives: which partition one is of, and when its window began. Azure's words in braces, as the sink
//! `capture` writes them. Pure.

use regex::Regex;
use tidemill_core::nearest::nearest;
use tidemill_core::{Error, Result};

/// Azure's own format.
pub(crate) const DEFAULT: &str = "{Namespace}/{EventHub}/{PartitionId}/{Year}/{Month}/{Day}/{Hour}/{Minute}/{Second}";

/// The words, and what stands for each. Those of the time in the order in which they count.
const WORDS: [(&str, &str); 9] = [
    ("Namespace", "[^/]+"),
    ("EventHub", ""),
    ("PartitionId", r"\d+"),
    ("Year", r"\d{4}"),
    ("Month", r"\d\d"),
    ("Day", r"\d\d"),
    ("Hour", r"\d\d"),
    ("Minute", r"\d\d"),
    ("Second", r"\d\d"),
];
/// Where the words of the time begin.
const TIME: usize = 3;

/// A format, for the archives of one event hub.
#[derive(Debug, Clone)]
pub(crate) struct Layout(Regex);

/// What a name says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    pub(crate) partition: u32,
    /// Year, month, day, hour, minute and second.
    time: [u32; 6],
    pub(crate) name: String,
}

impl Layout {
    /// From the option `archive_name_format` of table `table`.
    ///
    /// # Errors
    /// A word that is not known or is missing.
    pub(crate) fn new(table: &str, format: &str, event_hub: &str) -> Result<Layout> {
        let wrong = |why: String| Error::invalid(format!("option 'archive_name_format' of table '{table}': {why}"));
        let known = || WORDS.iter().map(|(word, _)| *word);
        let (mut pattern, mut rest) = (String::from("^"), format);
        let mut seen: Vec<&str> = Vec::new();
        while let Some((before, after)) = rest.split_once('{') {
            pattern.push_str(&regex::escape(before));
            let (word, after) = after.split_once('}').ok_or_else(|| wrong("a '{' without a '}'".into()))?;
            let Some((word, stands)) = WORDS.iter().find(|(known, _)| *known == word) else {
                let error = wrong(format!("'{{{word}}}' is not known"));
                return Err(match nearest(word, known()) {
                    Some(near) => error.help(format!("did you mean '{{{near}}}'?")),
                    None => error.help(format!("words are {}", known().collect::<Vec<_>>().join(", "))),
                });
            };
            let stands = if *word == "EventHub" { regex::escape(event_hub) } else { (*stands).to_owned() };
            // a word that is there again says nothing new
            pattern += &if seen.contains(word) { format!("(?:{stands})") } else { format!("(?P<{word}>{stands})") };
            seen.push(word);
            rest = after;
        }
        pattern += &format!(r"{}\.avro$", regex::escape(rest));
        if let Some((missing, _)) = WORDS[TIME - 1..].iter().find(|(word, _)| !seen.contains(word)) {
            return Err(wrong(format!("'{{{missing}}}' is missing, so that archives have no order")));
        }
        Regex::new(&pattern).map(Layout).map_err(|cause| wrong("it cannot be read".into()).caused_by(cause))
    }

    /// What a name says; `None` for a file that is no archive of the event hub.
    pub(crate) fn read(&self, name: &str) -> Option<Named> {
        let found = self.0.captures(name)?;
        let number = |word: &str| found.name(word)?.as_str().parse().ok();
        let mut time = [0; 6];
        for (part, (word, _)) in time.iter_mut().zip(&WORDS[TIME..]) {
            *part = number(word)?;
        }
        Some(Named { partition: number("PartitionId")?, time, name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_azure_say_partition_and_time() {
        let layout = Layout::new("t", DEFAULT, "or.ders").unwrap();
        let read = |name: &str| layout.read(name);
        let first = read("shop/or.ders/12/2026/01/09/10/00/59.avro").unwrap();
        assert_eq!((first.partition, first.time), (12, [2026, 1, 9, 10, 0, 59]));
        let later = read("another/or.ders/12/2026/01/10/00/00/00.avro").unwrap();
        assert!(first < later);
        for other in
            ["shop/orXders/1/2026/01/09/10/00/59.avro", "_tidemill/x.avro", "shop/or.ders/1/2026/01/09/10/00/59.part"]
        {
            assert_eq!(read(other), None, "{other}");
        }
        let flat =
            Layout::new("t", "{EventHub}/{Year}-{Month}-{Day}/{Hour}{Minute}{Second}_{PartitionId}", "h").unwrap();
        assert_eq!(flat.read("h/2026-02-03/040506_7.avro").unwrap().time, [2026, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_format_without_order_is_refused() {
        let error = |format: &str| Layout::new("t", format, "h").unwrap_err().report();
        assert!(error("{PartitionID}").contains("did you mean '{PartitionId}'?"));
        assert!(error(&DEFAULT.replace("{Day}", "x")).contains("'{Day}' is missing"));
        assert!(error(&DEFAULT.replace("{PartitionId}", "x")).contains("'{PartitionId}' is missing"));
        assert!(error("{Year").contains("without a '}'"));
    }
}
