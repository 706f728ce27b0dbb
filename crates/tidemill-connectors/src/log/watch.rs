//! Waits for news in files that other processes write: at once where the system reports changes, and by
//! looking again after a bounded time where it does not.

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How long a change may go unnoticed where the system reports none.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Watches directories.
pub(crate) struct Watch {
    changed: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// A watch of nothing.
    pub(crate) fn new() -> Self {
        let changed = Arc::new(Notify::new());
        let wake = changed.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // our own reads are events too
            if event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
                wake.notify_one();
            }
        });
        Watch { changed, watcher: watcher.ok() }
    }

    /// Adds the files of `directory`, not those below it.
    pub(crate) fn add(&mut self, directory: &Path) {
        if let Some(watcher) = &mut self.watcher
            && let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive)
        {
            tracing::debug!(directory = %directory.display(), %error, "cannot watch a directory, looking again instead");
        }
    }

    /// Returns once `has_news` says so.
    pub(crate) async fn until(&self, has_news: impl Fn() -> bool) {
        while !has_news() {
            let _ = tokio::time::timeout(LOOK_AGAIN, self.changed.notified()).await;
        }
    }
}
