//! Who has looked at values: a line of JSON in `audit.jsonl` of the checkpoint, written before they are shown.

use crate::wiring;
use serde::Serialize;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use tidemill_core::{Error, Kind, Result, ResultExt};

#[derive(Serialize)]
struct Line<'l> {
    at: String,
    action: &'l str,
    id: &'l str,
    /// Number of the operating system's user.
    uid: u32,
    pid: u32,
}

/// Notes, durably, that a letter is shown with its values.
///
/// # Errors
/// It cannot be noted: nothing is to be shown then.
pub fn unmasked(checkpoint: &Path, id: &str) -> Result<()> {
    let line = Line {
        at: super::letters::iso(wiring::clock().now_micros()),
        action: "dlq show --unmasked",
        id,
        uid: rustix::process::getuid().as_raw(),
        pid: std::process::id(),
    };
    let mut line = serde_json::to_vec(&line).context(Kind::Bug, || "an audit line has no JSON".into())?;
    line.push(b'\n');
    let file = checkpoint.join("audit.jsonl");
    let written = OpenOptions::new().create(true).append(true).open(&file).and_then(|mut open| {
        open.write_all(&line)?;
        open.sync_all()
    });
    written.map_err(|error| {
        Error::io(format!("cannot note in {} that values are shown", file.display()), error)
            .help("values are shown only when that is noted; without --unmasked they are masked")
    })
}
