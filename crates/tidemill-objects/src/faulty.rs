//! An object store that breaks its answers, in the ways real ones do. For tests.

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// 503, nothing was done.
    FailsBefore,
    /// A time-out after it was done.
    FailsAfter,
    /// 409: nothing was done, though the answer reads "already exists".
    Conflict,
    /// 412 about what this very request has written.
    SaysExistsAfter,
    /// A listing without its last entry.
    StaleList,
}

/// The store: one fault a request, in order, then none.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<InMemory>,
    faults: Mutex<VecDeque<Fault>>,
    met: AtomicUsize,
}

impl Faulty {
    /// Breaks the answers of `inner`.
    pub fn new(inner: Arc<InMemory>, faults: Vec<Fault>) -> Self {
        Faulty { inner, faults: Mutex::new(faults.into()), met: AtomicUsize::new(0) }
    }

    /// How many faults had an effect.
    pub fn met(&self) -> usize {
        self.met.load(Ordering::SeqCst)
    }

    fn next(&self) -> Fault {
        self.faults.lock().unwrap().pop_front().unwrap_or(Fault::None)
    }

    fn fails(&self) -> Error {
        self.met.fetch_add(1, Ordering::SeqCst);
        Error::Generic { store: "faulty", source: "planted".into() }
    }

    fn exists(&self, path: &Path) -> Error {
        self.met.fetch_add(1, Ordering::SeqCst);
        Error::AlreadyExists { path: path.to_string(), source: "planted".into() }
    }
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.next() {
            Fault::FailsBefore => Err(self.fails()),
            Fault::Conflict => Err(self.exists(path)),
            Fault::FailsAfter => {
                let _ = self.inner.put_opts(path, payload, options).await;
                Err(self.fails())
            }
            Fault::SaysExistsAfter => {
                let _ = self.inner.put_opts(path, payload, options).await;
                Err(self.exists(path))
            }
            Fault::None | Fault::StaleList => self.inner.put_opts(path, payload, options).await,
        }
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        match self.next() {
            Fault::FailsBefore | Fault::FailsAfter => Err(self.fails()),
            _ => self.inner.get_opts(path, options).await,
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.next() {
            Fault::FailsBefore | Fault::FailsAfter => futures::stream::iter([Err(self.fails())]).boxed(),
            Fault::StaleList => {
                let listed: Vec<_> = futures::executor::block_on(self.inner.list(prefix).collect());
                let kept = listed.len().saturating_sub(1);
                self.met.fetch_add(1, Ordering::SeqCst);
                futures::stream::iter(listed.into_iter().take(kept)).boxed()
            }
            _ => self.inner.list(prefix),
        }
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
