//! `tidemill run`

use clap::Args;
use tidemill_core::Result;

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Run {}

impl Run {
    /// Runs the verb.
    pub fn run(self) -> Result<u8> {
        Ok(0)
    }
}
