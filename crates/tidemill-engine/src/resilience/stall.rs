//! A query that waits for something to be mended outside, and goes on by itself when it is.

use crate::run::Running;
use crate::start::Signals;
use std::fmt;
use std::time::Duration;
use tidemill_core::Result;

/// Time between two looks at what a stalled query waits for.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What a stalled query waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Room on a disk.
    Disk,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 1] = [Reason::Disk];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Disk => "disk",
        }
    }
}

/// Why a query stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stall {
    /// What it waits for.
    pub reason: Reason,
    /// What is short, where and how much.
    pub message: String,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stalled ({}): {}", self.reason.word(), self.message)
    }
}

impl Signals {
    /// Lets time pass; false when the query is to stop, at once.
    pub async fn rest(&self, time: Duration) -> bool {
        let passed = tokio::time::sleep(time);
        tokio::pin!(passed);
        while !self.stop_asked() {
            tokio::select! {
                () = &mut passed => return true,
                () = self.wait() => {}
            }
        }
        false
    }
}

impl Running {
    /// Waits until there is room for an epoch; false when the query is to stop before there is.
    ///
    /// # Errors
    /// The last commit cannot be written, and not for want of room.
    pub(crate) async fn find_room(&mut self) -> Result<bool> {
        let Some(first) = self.disks.look() else { return Ok(true) };
        if let Err(error) = self.flush().await
            && !error.is_no_room()
        {
            return Err(error);
        }
        self.reporter.stalled(&first);
        while let Some(stall) = {
            if !self.signals.rest(LOOK_AGAIN).await {
                return Ok(false);
            }
            self.disks.look()
        } {
            self.reporter.still_stalled(&stall);
        }
        self.reporter.resumed();
        Ok(true)
    }
}
