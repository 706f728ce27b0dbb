//! An object store that breaks its answers, in the ways real ones do.

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
    /// The answer takes its time; a part of an upload as well.
    Slow,
}

/// How long a slow answer takes.
const SLOW: Duration = Duration::from_millis(20);

/// The store: one fault a request, in order, then none. Parts of an upload and removals are requests too.
#[derive(Debug)]
pub struct Faulty<T> {
    inner: Arc<T>,
    planned: Arc<Planned>,
}

#[derive(Debug)]
struct Planned {
    faults: Mutex<VecDeque<Fault>>,
    met: AtomicUsize,
}

impl Planned {
    fn next(&self) -> Fault {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(Fault::None)
    }

    fn fails(&self) -> Error {
        self.met.fetch_add(1, Ordering::SeqCst);
        Error::Generic { store: "faulty", source: "planted".into() }
    }

    fn exists(&self, path: &Path) -> Error {
        self.met.fetch_add(1, Ordering::SeqCst);
        Error::AlreadyExists { path: path.to_string(), source: "planted".into() }
    }

    async fn takes_its_time(&self, fault: Fault) {
        if fault == Fault::Slow {
            self.met.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(SLOW).await;
        }
    }
}

impl<T: ObjectStore> Faulty<T> {
    /// Breaks the answers of `inner`.
    pub fn new(inner: Arc<T>, faults: Vec<Fault>) -> Self {
        let planned = Planned { faults: Mutex::new(faults.into()), met: AtomicUsize::new(0) };
        Faulty { inner, planned: Arc::new(planned) }
    }

    /// How many faults had an effect.
    pub fn met(&self) -> usize {
        self.planned.met.load(Ordering::SeqCst)
    }
}

impl<T> std::fmt::Display for Faulty<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl<T: ObjectStore> ObjectStore for Faulty<T> {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = self.planned.next();
        self.planned.takes_its_time(fault).await;
        match fault {
            Fault::FailsBefore => Err(self.planned.fails()),
            Fault::Conflict => Err(self.planned.exists(path)),
            Fault::FailsAfter => {
                let _ = self.inner.put_opts(path, payload, options).await;
                Err(self.planned.fails())
            }
            Fault::SaysExistsAfter => {
                let _ = self.inner.put_opts(path, payload, options).await;
                Err(self.planned.exists(path))
            }
            Fault::None | Fault::StaleList | Fault::Slow => self.inner.put_opts(path, payload, options).await,
        }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        match self.planned.next() {
            Fault::FailsBefore | Fault::FailsAfter => Err(self.planned.fails()),
            _ => {
                let inner = self.inner.put_multipart_opts(path, options).await?;
                Ok(Box::new(FaultyUpload { inner, planned: self.planned.clone() }))
            }
        }
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.planned.next();
        self.planned.takes_its_time(fault).await;
        match fault {
            Fault::FailsBefore | Fault::FailsAfter => Err(self.planned.fails()),
            _ => self.inner.get_opts(path, options).await,
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.planned.next() {
            Fault::FailsBefore | Fault::FailsAfter => futures::stream::iter([Err(self.planned.fails())]).boxed(),
            Fault::StaleList => {
                let listed: Vec<_> = futures::executor::block_on(self.inner.list(prefix).collect());
                let kept = listed.len().saturating_sub(1);
                self.planned.met.fetch_add(1, Ordering::SeqCst);
                futures::stream::iter(listed.into_iter().take(kept)).boxed()
            }
            _ => self.inner.list(prefix),
        }
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, planned) = (self.inner.clone(), self.planned.clone());
        let each = paths.then(move |path| {
            let (inner, planned) = (inner.clone(), planned.clone());
            async move {
                match planned.next() {
                    Fault::FailsBefore => Err(planned.fails()),
                    fault => {
                        let mut gone = inner.delete_stream(futures::stream::iter([path]).boxed());
                        let gone = gone.next().await.unwrap_or_else(|| Err(planned.fails()));
                        if fault == Fault::FailsAfter { Err(planned.fails()) } else { gone }
                    }
                }
            }
        });
        each.boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// An upload in parts, each of which may fail or be slow.
#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    planned: Arc<Planned>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let planned = self.planned.clone();
        match planned.next() {
            Fault::FailsBefore | Fault::FailsAfter => Box::pin(async move { Err(planned.fails()) }),
            fault => {
                let sent = self.inner.put_part(data);
                Box::pin(async move {
                    planned.takes_its_time(fault).await;
                    sent.await
                })
            }
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        match self.planned.next() {
            Fault::FailsBefore => Err(self.planned.fails()),
            fault => {
                let done = self.inner.complete().await?;
                if fault == Fault::FailsAfter { Err(self.planned.fails()) } else { Ok(done) }
            }
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
