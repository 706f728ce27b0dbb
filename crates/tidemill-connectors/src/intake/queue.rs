//! Deliveries on their way to the log: how many may wait, and what becomes of them.

use crate::intake::options::Keeping;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidemill_core::{Error, Kind};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

/// Most deliveries that wait for the disk.
const DELIVERIES_MAX: usize = 8192;
/// What a delivery takes beside its bytes.
const DELIVERY_BYTES: u64 = 512;
/// Appends that are not committed are counted in steps of so many bytes.
const STEP_BYTES: u64 = 1 << 20;

/// A record that was pushed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pushed {
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Bytes,
    /// Packed as the topics of this crate pack headers.
    pub(crate) headers: Option<Vec<u8>>,
}

/// What is written whole or not at all.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    pub(crate) records: Vec<Pushed>,
    /// Another delivery of the same key is the same delivery.
    pub(crate) key: Option<Bytes>,
}

/// What has become of a delivery that is durable.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// It was there before.
    pub(crate) is_repeat: bool,
    /// The end of each partition with it.
    pub(crate) ends: Arc<[u64]>,
}

/// Why a delivery was not taken; it is nowhere, or nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no room at the moment.
    Full,
    /// The query is too far behind.
    Behind,
    /// The log has failed; the query stops or is opened again.
    Failed,
}

/// Room for a delivery.
#[derive(Debug)]
pub(crate) struct Room(#[expect(dead_code, reason = "given back when dropped")] OwnedSemaphorePermit);

/// A delivery in the queue.
pub(super) struct Waiting {
    pub(super) delivery: Delivery,
    pub(super) done: oneshot::Sender<Result<Kept, Refusal>>,
    _room: Room,
}

/// What a listener and its source share.
pub(super) struct Shared {
    failed: AtomicBool,
    failure: Mutex<Option<Error>>,
    failed_now: Notify,
    /// Appended and not committed: the ends of an append, and its bytes.
    open: Mutex<VecDeque<(Arc<[u64]>, u64)>>,
    open_bytes: AtomicU64,
    open_bytes_max: u64,
    committed: watch::Sender<Vec<u64>>,
}

/// Where deliveries are handed in.
#[derive(Clone)]
pub(crate) struct Intake {
    queue: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    room_kib: u32,
    pub(super) shared: Arc<Shared>,
}

impl Intake {
    /// An intake of which `committed` is committed by partition, and `open` bytes before `ends` are not; and the other
    /// end of its queue.
    pub(super) fn new(
        keeping: &Keeping,
        committed: Vec<u64>,
        ends: &[u64],
        open: u64,
    ) -> (Intake, mpsc::Receiver<Waiting>) {
        let (queue, waiting) = mpsc::channel(DELIVERIES_MAX);
        let room_kib = u32::try_from(keeping.queue_bytes_max.div_ceil(1024)).unwrap_or(u32::MAX);
        let shared = Shared {
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
            failed_now: Notify::new(),
            open: Mutex::new(VecDeque::from([(ends.into(), open)])),
            open_bytes: AtomicU64::new(open),
            open_bytes_max: keeping.backlog_bytes_max,
            committed: watch::Sender::new(committed),
        };
        let room = Arc::new(Semaphore::new(room_kib as usize));
        (Intake { queue, room, room_kib, shared: Arc::new(shared) }, waiting)
    }

    /// Room for a delivery of up to `bytes`.
    ///
    /// # Errors
    /// There is none now.
    pub(crate) fn room(&self, bytes: u64) -> Result<Room, Refusal> {
        if self.shared.failed.load(Ordering::Acquire) {
            return Err(Refusal::Failed);
        }
        if self.is_behind() {
            return Err(Refusal::Behind);
        }
        match self.room.clone().try_acquire_many_owned(self.kib(bytes)) {
            Ok(permit) => Ok(Room(permit)),
            Err(_) => Err(Refusal::Full),
        }
    }

    /// The same, and waits until there is.
    pub(crate) async fn room_in_time(&self, bytes: u64) -> Option<Room> {
        self.room.clone().acquire_many_owned(self.kib(bytes)).await.ok().map(Room)
    }

    /// Hands a delivery in; the outcome comes when it is durable.
    ///
    /// # Errors
    /// Too many wait.
    pub(crate) fn hand_in(
        &self,
        delivery: Delivery,
        room: Room,
    ) -> Result<oneshot::Receiver<Result<Kept, Refusal>>, Refusal> {
        let (done, outcome) = oneshot::channel();
        match self.queue.try_send(Waiting { delivery, done, _room: room }) {
            Ok(()) => Ok(outcome),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Refusal::Full),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Refusal::Failed),
        }
    }

    /// The same, and waits for a place in the queue.
    pub(crate) async fn hand_in_in_time(
        &self,
        delivery: Delivery,
        room: Room,
    ) -> Option<oneshot::Receiver<Result<Kept, Refusal>>> {
        let (done, outcome) = oneshot::channel();
        self.queue.send(Waiting { delivery, done, _room: room }).await.ok().map(|()| outcome)
    }

    /// True while the query is too far behind.
    pub(crate) fn is_behind(&self) -> bool {
        self.shared.open_bytes.load(Ordering::Relaxed) >= self.shared.open_bytes_max
    }

    /// Returns when everything before `ends` is committed.
    pub(crate) async fn committed(&self, ends: &[u64]) {
        let mut committed = self.shared.committed.subscribe();
        let all = |there: &Vec<u64>| ends.iter().zip(there).all(|(end, there)| end <= there);
        // the sender lives as long as we do
        let _ = committed.wait_for(all).await;
    }

    /// Returns when the query is not too far behind.
    pub(crate) async fn caught_up(&self) {
        let mut committed = self.shared.committed.subscribe();
        while self.is_behind() {
            if committed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Stops the source with an error: nothing more comes in.
    pub(crate) fn fail(&self, error: Error) {
        self.shared.fail(error);
    }

    /// Why nothing more comes in.
    ///
    /// # Errors
    /// That.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.shared.check()
    }

    /// Returns when nothing more comes in.
    pub(super) async fn failed(&self) {
        self.shared.failed_now.notified().await;
    }

    fn kib(&self, bytes: u64) -> u32 {
        let kib = (bytes + DELIVERY_BYTES).div_ceil(1024);
        u32::try_from(kib).unwrap_or(u32::MAX).min(self.room_kib)
    }
}

impl Shared {
    /// Everything before `committed` is durable in the checkpoint.
    pub(super) fn commit(&self, committed: Vec<u64>) {
        let mut open = self.open();
        let mut done = 0;
        while open.front().is_some_and(|(ends, _)| ends.iter().zip(&committed).all(|(end, there)| end <= there)) {
            done += open.pop_front().map_or(0, |(_, bytes)| bytes);
        }
        self.open_bytes.fetch_sub(done, Ordering::Relaxed);
        drop(open);
        self.committed.send_replace(committed);
    }

    /// `bytes` were appended, up to `ends`.
    pub(super) fn appended(&self, ends: &Arc<[u64]>, bytes: u64) {
        let mut open = self.open();
        self.open_bytes.fetch_add(bytes, Ordering::Relaxed);
        match open.back_mut() {
            Some((last, step)) if *step < STEP_BYTES => {
                *step += bytes;
                *last = ends.clone();
            }
            _ => open.push_back((ends.clone(), bytes)),
        }
    }

    /// Notes why nothing can be kept any more.
    pub(super) fn fail(&self, error: Error) {
        tracing::error!(error = error.chain(), "what is pushed cannot be kept");
        self.failed.store(true, Ordering::Release);
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.failed_now.notify_one();
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Why nothing can be kept any more.
    ///
    /// # Errors
    /// That.
    fn check(&self) -> Result<(), Error> {
        if !self.has_failed() {
            return Ok(());
        }
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        Err(failure.unwrap_or_else(|| Error::new(Kind::Io, "what is pushed could not be kept")))
    }

    fn open(&self) -> MutexGuard<'_, VecDeque<(Arc<[u64]>, u64)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
