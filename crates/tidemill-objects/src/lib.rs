//! A folder in an object store, with the one thing commits need of it: an object that is made if there is
//! none, and a true answer to whether it was we who made it.
//!
//! Knows no engine and no connector. Which names objects have and what is in them is their affair.

mod create;
mod look;
pub mod open;
pub mod sequence;
mod transfer;

pub use look::Object;
pub use open::is_object_store;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::{Error, Kind, Result};

/// A folder in an object store.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    /// The URL, for messages.
    place: String,
    /// How long the first wait before another try is; each wait is twice the one before.
    first_wait: Duration,
}

impl Objects {
    /// The folder `folder` of `store`; `place` is what messages call it.
    pub fn new(store: Arc<dyn ObjectStore>, folder: Path, place: impl Into<String>) -> Self {
        Objects { store, folder, place: place.into(), first_wait: Duration::from_millis(50) }
    }

    /// What messages call it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The folder `name` in this one.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        let place = format!("{}/{name}", self.place.trim_end_matches('/'));
        Objects { folder: self.path(name), place, ..self.clone() }
    }

    /// What the object `name` holds; `None` when there is none.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn read(&self, name: &str) -> Result<Option<Bytes>> {
        let got = match self.store.get(&self.path(name)).await {
            Ok(got) => got.bytes().await,
            Err(error) => Err(error),
        };
        match got {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", name, &error)),
        }
    }

    /// Writes the object `name`, whose name nobody else uses: trying again changes nothing.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn put(&self, name: &str, content: Bytes) -> Result<()> {
        let put = self.store.put(&self.path(name), content.into()).await;
        put.map(|_| ()).map_err(|error| self.failed("write", name, &error))
    }

    /// The names in the folder `below` and in those below it, from here, in order. Empty for all.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list(&self, below: &str) -> Result<Vec<String>> {
        let folder = self.path(below);
        let found: Vec<_> =
            self.store.list(Some(&folder)).try_collect().await.map_err(|error| self.failed("list", below, &error))?;
        let mut names: Vec<String> = found.iter().filter_map(|object| self.name_of(&object.location)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Removes an object; one that is gone already is no error.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn remove(&self, name: &str) -> Result<()> {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", name, &error)),
        }
    }

    /// Removes objects, in no order; those that are gone already are no error.
    ///
    /// # Errors
    /// The store does not answer: some may be gone.
    pub async fn remove_all(&self, names: Vec<String>) -> Result<()> {
        let paths: Vec<_> = names.iter().map(|name| Ok(self.path(name))).collect();
        let removed = self.store.delete_stream(futures::stream::iter(paths).boxed());
        let failed = |error: object_store::Error| match error {
            object_store::Error::NotFound { .. } => None,
            error => Some(self.failed("remove objects", "", &error)),
        };
        let mut failures = removed.filter_map(|gone| std::future::ready(gone.err().and_then(failed)));
        failures.next().await.map_or(Ok(()), Err)
    }

    /// Finds out whether this store really refuses to make an object that is there: makes one twice.
    ///
    /// # Errors
    /// It does not, so that two writers could both believe in their commits; or it does not answer.
    pub async fn probe(&self) -> Result<()> {
        let name = format!("_tidemill/probe-{}", uuid::Uuid::new_v4().simple());
        let first = self.create(&name, Bytes::from_static(b"first")).await?;
        let second = self.create(&name, Bytes::from_static(b"second")).await?;
        self.remove(&name).await?;
        if first && !second {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "'{}' replaces an object though it is told not to: nothing can be exactly once \
                                    there",
            self.place
        ))
        .help(
            "use a store with conditional writes (S3, Azure Blob Storage, Google Cloud Storage), and leave \
                   option 'aws_conditional_put' as it is",
        ))
    }

    /// The same folder with this first wait before another try.
    #[must_use]
    pub fn waiting(self, first_wait: Duration) -> Self {
        Objects { first_wait, ..self }
    }

    fn path(&self, name: &str) -> Path {
        let below = name.trim_matches('/');
        let whole = match (self.folder.as_ref(), below) {
            (folder, "") => folder.to_owned(),
            ("", below) => below.to_owned(),
            (folder, below) => format!("{folder}/{below}"),
        };
        // names are taken as they are: those of partitions are encoded already
        Path::parse(&whole).unwrap_or_else(|_| Path::from(whole))
    }

    /// The name in this folder.
    fn name_of(&self, path: &Path) -> Option<String> {
        path.as_ref().strip_prefix(self.folder.as_ref()).map(|name| name.trim_start_matches('/').to_owned())
    }

    fn failed(&self, what: &str, name: &str, error: &object_store::Error) -> Error {
        let kind = match error {
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => Kind::Denied,
            object_store::Error::NotSupported { .. }
            | object_store::Error::NotImplemented { .. }
            | object_store::Error::InvalidPath { .. }
            | object_store::Error::UnknownConfigurationKey { .. } => Kind::Invalid,
            _ => Kind::Again,
        };
        Error::new(
            kind,
            format!("cannot {what} '{name}' in '{}': {}", self.place, open::without_queries(&error.to_string())),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    fn objects() -> Objects {
        Objects::new(Arc::new(InMemory::new()), Path::from("a/b"), "memory:///a/b")
    }

    #[tokio::test]
    async fn objects_are_written_listed_read_and_removed() {
        let objects = objects();
        objects.put("x/day=2026-01-01 10%3A00/part", Bytes::from_static(b"1")).await.unwrap();
        objects.below("x").put("y", Bytes::from_static(b"2")).await.unwrap();
        assert_eq!(objects.list("").await.unwrap(), ["x/day=2026-01-01 10%3A00/part", "x/y"]);
        assert_eq!(objects.read("x/y").await.unwrap().unwrap(), "2");
        objects.remove("x/y").await.unwrap();
        objects.remove("x/y").await.unwrap();
        assert_eq!(objects.read("x/y").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_store_that_keeps_its_word_passes_the_probe_and_keeps_nothing_of_it() {
        let objects = objects();
        objects.probe().await.unwrap();
        assert!(objects.list("").await.unwrap().is_empty());
    }
}
