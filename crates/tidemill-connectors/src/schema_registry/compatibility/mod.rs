//! What a new version of a schema must keep, and what it breaks.
//!
//! | level | a new version is compared with | so that |
//! |---|---|---|
//! | NONE | nothing | |
//! | BACKWARD | the newest version | readers with the new schema read data of the one before |
//! | FORWARD | the newest version | readers with the schema before read data of the new one |
//! | FULL | the newest version | both |
//! | .._TRANSITIVE | all versions | the same for all of them |
//!
//! The names of the levels are those of Confluent's registry. The rules: Avro specification 1.12, "Schema Resolution"
//! (`avro.rs`); for JSON Schema (`json/`) and Protobuf (`protobuf.rs`) those that Confluent documents under "Schema
//! Evolution and Compatibility". All is pure.

mod avro;
mod json;
mod protobuf;

use super::parsed::Parsed;
use serde::{Deserialize, Serialize};
use std::fmt;
use tidemill_core::{Error, Result};

/// What a new version of a schema must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Compatibility {
    /// Readers with the new schema read data of the one before.
    #[default]
    Backward,
    /// Readers with the new schema read data of all versions.
    BackwardTransitive,
    /// Readers with the schema before read data of the new one.
    Forward,
    /// Readers with any version read data of the new one.
    ForwardTransitive,
    /// Backward and forward.
    Full,
    /// Backward and forward, with all versions.
    FullTransitive,
    /// Nothing.
    None,
}

impl Compatibility {
    /// Every level.
    pub const ALL: [Compatibility; 7] = [
        Compatibility::Backward,
        Compatibility::BackwardTransitive,
        Compatibility::Forward,
        Compatibility::ForwardTransitive,
        Compatibility::Full,
        Compatibility::FullTransitive,
        Compatibility::None,
    ];

    /// The word for it in Confluent's API.
    pub fn word(self) -> &'static str {
        match self {
            Compatibility::Backward => "BACKWARD",
            Compatibility::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Compatibility::Forward => "FORWARD",
            Compatibility::ForwardTransitive => "FORWARD_TRANSITIVE",
            Compatibility::Full => "FULL",
            Compatibility::FullTransitive => "FULL_TRANSITIVE",
            Compatibility::None => "NONE",
        }
    }

    /// Reads the word; letters may be small.
    ///
    /// # Errors
    /// Another word.
    pub fn parse(word: &str) -> Result<Compatibility> {
        let known = Compatibility::ALL.into_iter().find(|level| level.word().eq_ignore_ascii_case(word));
        known.ok_or_else(|| {
            let all = Compatibility::ALL.map(Compatibility::word).join(", ");
            Error::invalid(format!("there is no level of compatibility '{word}'")).help(format!("levels: {all}"))
        })
    }

    /// True when all versions count, not only the newest.
    pub fn is_transitive(self) -> bool {
        use Compatibility as C;
        matches!(self, C::BackwardTransitive | C::ForwardTransitive | C::FullTransitive)
    }

    fn is_backward(self) -> bool {
        use Compatibility as C;
        matches!(self, C::Backward | C::BackwardTransitive | C::Full | C::FullTransitive)
    }

    fn is_forward(self) -> bool {
        use Compatibility as C;
        matches!(self, C::Forward | C::ForwardTransitive | C::Full | C::FullTransitive)
    }
}

impl fmt::Display for Compatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compatibility::Backward | Compatibility::BackwardTransitive => "backward",
            Compatibility::Forward | Compatibility::ForwardTransitive => "forward",
            Compatibility::Full | Compatibility::FullTransitive => "fully",
            Compatibility::None => "not at all",
        })
    }
}

/// One thing that a schema breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where: names of fields joined with `.` for Avro, a JSON pointer for JSON Schema, a message and a field's number
    /// for Protobuf; empty for the schema itself.
    pub path: String,
    /// What, in words.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.is_empty() {
            true => write!(f, "the schema: {}", self.what),
            false => write!(f, "{}: {}", self.path, self.what),
        }
    }
}

/// What the data of the other schema is called in messages.
const OLD_DATA: &str = "data of the version before";
const NEW_DATA: &str = "new data";

/// What `new` breaks of `old`; empty when it is compatible.
pub fn problems(level: Compatibility, new: &Parsed, old: &Parsed) -> Vec<Difference> {
    let mut found = Vec::new();
    if level.is_backward() {
        found.extend(unreadable(new, old, OLD_DATA));
    }
    if level.is_forward() {
        found.extend(unreadable(old, new, NEW_DATA));
    }
    if let (Parsed::Protobuf(new), Parsed::Protobuf(old), true) = (new, old, level != Compatibility::None) {
        found.extend(protobuf::reused(new, old));
    }
    let mut distinct: Vec<Difference> = Vec::with_capacity(found.len());
    for one in found {
        if !distinct.contains(&one) {
            distinct.push(one);
        }
    }
    distinct
}

/// What keeps readers with one schema from reading data written with another; `data` is what messages call that.
fn unreadable(reader: &Parsed, writer: &Parsed, data: &'static str) -> Vec<Difference> {
    match (reader, writer) {
        (Parsed::Avro(reader), Parsed::Avro(writer)) => avro::unreadable(reader, writer, data),
        (Parsed::Json(reader), Parsed::Json(writer)) => json::unreadable(reader, writer, data),
        (Parsed::Protobuf(reader), Parsed::Protobuf(writer)) => protobuf::unreadable(reader, writer, data),
        _ => {
            let what = format!("{data} is {}, which cannot be read as {}", language(writer), language(reader));
            vec![Difference { path: String::new(), what }]
        }
    }
}

fn language(schema: &Parsed) -> &'static str {
    match schema {
        Parsed::Avro(_) => "Avro",
        Parsed::Json(_) => "JSON",
        Parsed::Protobuf(_) => "Protobuf",
    }
}
