//! The text a user wrote, and positions in it. Everything that can be wrong carries a [`Spot`]; the
//! text turns it into the place an error prints.

use serde::{Deserialize, Serialize};
use tidemill_core::Place;

/// A position in a text: line and column count from 1, length is in characters. Line 0 means the
/// thing stands in no text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Spot {
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
    /// Length in characters.
    pub length: u64,
}

impl Spot {
    /// True for a thing that stands in no text.
    pub fn is_nowhere(&self) -> bool {
        self.line == 0
    }
}

/// A text with the name people know it by: a file, or `<sql>` for a string.
#[derive(Debug, Clone, Default)]
pub struct Text {
    name: String,
    lines: Vec<String>,
}

impl Text {
    /// The text `content` of the file `name`.
    pub fn new(name: impl Into<String>, content: &str) -> Self {
        Text { name: name.into(), lines: content.lines().map(str::to_owned).collect() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where `spot` is, for an error; `None` when it stands in no text.
    pub fn place(&self, spot: Spot) -> Option<Place> {
        if spot.is_nowhere() {
            return None;
        }
        let text = self.lines.get(spot.line as usize - 1).cloned().unwrap_or_default();
        Some(Place::Text {
            file: self.name.clone(),
            line: spot.line,
            column: spot.column,
            length: spot.length.min(text.chars().count() as u64 + 1),
            text,
        })
    }
}
