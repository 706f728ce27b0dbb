//! Waiting for changes of a directory: the system announces them where it can, and a look now and then
//! finds what it did not announce.

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How many times less often to look where changes are announced.
const ANNOUNCED: u32 = 10;

/// A watched directory.
pub(super) struct Watch {
    changed: Arc<Notify>,
    pause: Duration,
    /// Announces changes while it lives.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Watches `root`, and what is below it if `deep`. Looks every `poll_interval` where changes are not
    /// announced, and where `ages`: time alone makes a file readable then.
    pub fn new(root: &Path, deep: bool, poll_interval: Option<Duration>, ages: bool) -> Self {
        let poll_interval = poll_interval.unwrap_or(Duration::from_millis(100));
        let changed = Arc::new(Notify::new());
        let watcher = watcher(root, deep, changed.clone())
            .inspect_err(|error| {
                tracing::warn!(path = %root.display(), error = %error, "changes are not announced here, polling \
                        instead");
            })
            .ok();
        let pause = if watcher.is_some() && !ages { poll_interval.saturating_mul(ANNOUNCED) } else { poll_interval };
        Watch { changed, pause, _watcher: watcher }
    }

    /// Where nothing announces changes: looks every `pause`.
    pub fn unannounced(pause: Duration) -> Self {
        Watch { changed: Arc::new(Notify::new()), pause, _watcher: None }
    }

    /// Returns when there may be something new.
    pub async fn wait(&self) {
        tokio::select! {
            () = self.changed.notified() => {}
            () = tokio::time::sleep(self.pause) => {}
        }
    }
}

fn watcher(root: &Path, deep: bool, changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // Our own reading is announced too.
        let is_reading = event.is_ok_and(|event| match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            EventKind::Access(_) => true,
            _ => false,
        });
        if !is_reading {
            changed.notify_one();
        }
    })?;
    watcher.watch(root, if deep { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive })?;
    Ok(watcher)
}
