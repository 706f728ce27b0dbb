//! `tidemill dlq show`: one record, its values masked unless that is asked for and noted.

use super::letters::Letter;
use super::{Format, Place, audit, json, mask};
use crate::output;
use clap::Args;
use serde::Serialize;
use tidemill_core::{Error, Kind, Result};

/// Bytes of a record that are printed.
const SHOWN_BYTES_MAX: usize = 64 << 10;

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Id of the record.
    id: String,
    #[command(flatten)]
    place: Place,
    /// Show values as they are; who looked is noted in audit.jsonl of the checkpoint.
    #[arg(long)]
    unmasked: bool,
    /// Print the bytes in hexadecimal.
    #[arg(long, requires = "unmasked")]
    hex: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    letter: Letter,
    value_bytes: usize,
    masked: bool,
    value: String,
}

impl Show {
    pub(super) fn run(self) -> Result<u8> {
        let letters = self.place.letters()?;
        let (letter, value) = letters.find(&self.id).ok_or_else(|| {
            Error::new(Kind::Usage, format!("there is no dead letter '{}'", self.id))
                .help("`tidemill dlq list --records` names them")
        })?;
        let (letter, shown) = if self.unmasked {
            let checkpoint = self.place.checkpoint.as_deref().ok_or_else(|| {
                Error::new(Kind::Usage, "values are shown only where that can be noted")
                    .help("--checkpoint DIR of the query beside --table: its audit.jsonl says who looked")
            })?;
            audit::unmasked(checkpoint, &letter.id)?;
            (letter, self.plain(&value))
        } else {
            (letter.masked()?, cut(&mask::value(&value)).to_owned())
        };
        if self.format == Format::Json {
            json(&Whole { letter, value_bytes: value.len(), masked: !self.unmasked, value: shown })?;
            return Ok(0);
        }
        for (name, text) in letter.fields() {
            output::line(format!("{name:<10} {text}"));
        }
        output::line(format!("\n{shown}"));
        if !self.unmasked {
            output::note("values are masked; --unmasked shows them, and notes that");
        }
        if value.len() > SHOWN_BYTES_MAX {
            output::note(format!("the first {SHOWN_BYTES_MAX} of {} bytes", value.len()));
        }
        Ok(0)
    }

    fn plain(&self, value: &[u8]) -> String {
        let bytes = &value[..value.len().min(SHOWN_BYTES_MAX)];
        match (self.hex, std::str::from_utf8(bytes)) {
            (false, Ok(text)) => text.to_owned(),
            _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

/// The beginning of a text, cut between characters.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(SHOWN_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
