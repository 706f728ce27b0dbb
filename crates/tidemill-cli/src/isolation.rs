//! Starts this program once more, to try records on which it may end. The other half is `cmd/isolate.rs`.

use crate::cmd::isolate::{PASSED, READY};
use async_trait::async_trait;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tidemill_core::{Error, Kind, Result, ResultExt};
use tidemill_engine::dead_letter::crash::{Isolation, Tried};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// Longest time a process may try records.
const TRIAL_TIME_MAX: Duration = Duration::from_secs(600);

/// Tries records in a process of their own.
pub struct OwnProcess {
    /// The pipeline.
    pub file: PathBuf,
    /// Settings of the command line.
    pub set: Vec<String>,
}

#[async_trait]
impl Isolation for OwnProcess {
    async fn attempt(&self, query: &str, parcel: &Path, ranges: &[Range<usize>]) -> Result<Tried> {
        let program = std::env::current_exe().context(Kind::Io, || "cannot find the program itself".into())?;
        let mut command = Command::new(program);
        command.arg("isolate").arg(&self.file).arg("--query").arg(query).arg("--records").arg(parcel);
        for setting in &self.set {
            command.arg("--set").arg(setting);
        }
        for range in ranges {
            command.arg("--range").arg(format!("{}..{}", range.start, range.end));
        }
        // it ends when its input does: with us, however we end
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let tried = tokio::time::timeout(TRIAL_TIME_MAX, watched(command)).await;
        tried.unwrap_or_else(|_| Err(no_answer(format!("not done after {} s", TRIAL_TIME_MAX.as_secs()))))
    }
}

async fn watched(mut command: Command) -> Result<Tried> {
    let mut child = command.spawn().context(Kind::Io, || "cannot start a process that tries records".into())?;
    let Some(said) = child.stdout.take() else { return Err(Error::bug("a child without an output")) };
    let (mut ready, mut passed) = (false, 0);
    let mut lines = BufReader::new(said).lines();
    while let Some(line) = lines.next_line().await.context(Kind::Io, || "cannot hear a child".into())? {
        ready |= line == READY;
        passed += usize::from(line == PASSED);
    }
    let ended = ended_of(&mut child).await?;
    match (ready, ended) {
        (true, None) => Ok(Tried { passed, died: None }),
        (true, Some(how)) => Ok(Tried { passed, died: Some(how) }),
        (false, how) => Err(no_answer(how.unwrap_or_else(|| "said nothing".into()))),
    }
}

/// How a child ended; `None` for well.
async fn ended_of(child: &mut tokio::process::Child) -> Result<Option<String>> {
    // dropping its input is what a child takes for our end
    let input = child.stdin.take();
    let status = child.wait().await.context(Kind::Io, || "cannot wait for a child".into())?;
    drop(input);
    if status.code() == Some(i32::from(Kind::Again.exit_code())) {
        return Err(no_answer("ended early".into()));
    }
    Ok((!status.success()).then(|| how(status)))
}

fn how(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(number), _) => match NAMES.iter().find(|(known, _)| *known == number) {
            Some((_, name)) => format!("{name}, signal {number}"),
            None => format!("signal {number}"),
        },
        (None, code) => format!("exit code {}", code.unwrap_or_default()),
    }
}

/// The signals a process dies of by its own doing, and those that others end it with.
const NAMES: &[(i32, &str)] = &[
    (4, "SIGILL"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (11, "SIGSEGV"),
    (15, "SIGTERM"),
    (24, "SIGXCPU"),
    (31, "SIGSYS"),
];

fn no_answer(why: String) -> Error {
    Error::new(Kind::Again, format!("the process that tries records gave no answer: {why}"))
}
