//! A query that found no room in the middle of an epoch is closed, waits, and is opened again from its checkpoint:
//! the way every crash is recovered from, without the crash. A failed sync is not such a case; it ends the process.

use super::disk::Disks;
use super::stall::{LOOK_AGAIN, Reason, Stall};
use crate::pipeline::query::Query;
use crate::run::Running;
use crate::start::{Kept, StartOptions, open};
use crate::turn::Turns;
use std::path::PathBuf;
use std::time::Duration;
use tidemill_core::{Error, Result};

/// Longest wait between two attempts while the disks look as if there were room.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Runs a query to its end, over every want of room.
///
/// # Errors
/// What made it fail; the want of room when it is to stop meanwhile.
pub(crate) async fn keep_running(
    mut running: Running,
    query: &Query,
    options: &StartOptions,
    kept: &Kept,
) -> Result<()> {
    let mut wait = LOOK_AGAIN;
    loop {
        let places = running.disks.places().to_vec();
        let (turns, outcome) = run(running, &query.name).await;
        let Err(error) = outcome else { return Ok(()) };
        let Some(turns) = turns.filter(|_| error.is_no_room()) else { return Err(error) };
        if turns.has_run() {
            wait = LOOK_AGAIN;
        }
        running = again(&places, query, options, kept, error, &mut wait).await?;
        running.turns.go_on(turns);
    }
}

/// A panic of the loop is an error of ours.
async fn run(mut running: Running, name: &str) -> (Option<Turns>, Result<()>) {
    let task = tokio::spawn(async move {
        let outcome = running.run().await;
        (running.turns, outcome)
    });
    match task.await {
        Ok((turns, outcome)) => (Some(turns), outcome),
        Err(panic) => (None, Err(Error::bug(format!("the query {name} panicked")).caused_by(panic))),
    }
}

/// Waits for room, and opens the query.
async fn again(
    places: &[PathBuf],
    query: &Query,
    options: &StartOptions,
    kept: &Kept,
    mut error: Error,
    wait: &mut Duration,
) -> Result<Running> {
    let limits = query.session.settings.disk_limits();
    let mut disks = Disks::new(&options.checkpoint.directory, places.iter().skip(1).cloned(), limits);
    disks.throw_ballast();
    let told = |stall: &Stall, first: bool| {
        if first {
            tracing::warn!(query = query.name, reason = stall.reason.word(), "{stall}; the query goes on by itself");
        }
        options.listeners.iter().for_each(|listener| listener.on_stall(&query.name, stall));
    };
    told(&Stall { reason: Reason::Disk, message: error.chain() }, true);
    loop {
        if !kept.signals.rest(*wait).await {
            return Err(error);
        }
        if let Some(stall) = disks.look() {
            told(&stall, false);
            *wait = LOOK_AGAIN;
            continue;
        }
        *wait = (*wait * 2).min(WAIT_MAX);
        match open(query, options, kept).await {
            Ok(running) => {
                tracing::info!(query = query.name, "there is room again");
                options.listeners.iter().for_each(|listener| listener.on_resume(&query.name));
                return Ok(running);
            }
            Err(other) if other.is_no_room() => error = other,
            Err(other) => return Err(other),
        }
    }
}
