//! Commits in an object store that loses answers, is slow to show writes and shares the table with others.

use super::*;
use crate::delta::home::Home;
use crate::delta::marks;
use crate::delta::open::{Asked, open};
use arrow::array::{AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use std::collections::BTreeSet;
use std::sync::Mutex;
use tidemill_core::clock::ManualClock;

/// What the store does with one conditional put of a commit.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// 503, nothing applied.
    Refused,
    /// 503, but applied.
    AnswerLost,
    /// Applied; the client's own retry then meets its own object (412).
    MeetsItself,
    /// Another writer takes the version first.
    Overtaken,
    /// 503, not applied; then another writer takes the version.
    RefusedAndOvertaken,
}

#[derive(Debug)]
struct Flaky {
    inner: InMemory,
    faults: Mutex<Vec<Fault>>,
    fired: Mutex<usize>,
}

impl std::fmt::Display for Flaky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Flaky")
    }
}

fn unavailable() -> object_store::Error {
    object_store::Error::Generic { store: "flaky", source: "503 Slow Down".into() }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let is_commit = options.mode == PutMode::Create && location.as_ref().contains("_delta_log");
        let fault = if is_commit { self.faults.lock().unwrap().pop() } else { None }.unwrap_or(Fault::None);
        if fault != Fault::None {
            *self.fired.lock().unwrap() += 1;
        }
        let foreign = PutPayload::from_static(br#"{"txn":{"appId":"other","version":1}}"#);
        let put = async |payload| self.inner.put_opts(location, payload, options.clone()).await;
        match fault {
            Fault::None => put(payload).await,
            Fault::Refused => Err(unavailable()),
            Fault::AnswerLost => put(payload).await.and(Err(unavailable())),
            Fault::MeetsItself => {
                put(payload.clone()).await?;
                put(payload).await
            }
            Fault::Overtaken => {
                put(foreign).await?;
                put(payload).await
            }
            Fault::RefusedAndOvertaken => put(foreign).await.and(Err(unavailable())),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn flaky(faults: &[Fault]) -> (Arc<Flaky>, Home) {
    let mut faults = faults.to_vec();
    faults.reverse();
    let store = Arc::new(Flaky { inner: InMemory::new(), faults: Mutex::new(faults), fired: Mutex::new(0) });
    (store.clone(), Home::in_store(store))
}

fn rows(ids: std::ops::Range<i64>) -> RecordBatch {
    let kinds: StringArray = ids.clone().map(|id| Some(if id % 2 == 0 { "a/b" } else { "c" })).collect();
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from_iter_values(ids)) as _),
        ("kind", Arc::new(kinds) as _),
    ])
    .unwrap()
}

async fn opened(home: &Home, partition_by: &[String]) -> (Table, Layout) {
    let schema = rows(0..1).schema();
    open(home.clone(), &Asked { schema: &schema, partition_by, merge_schema: false, properties: &[] }).await.unwrap()
}

/// The ids in the table's files, as a reader with no memory of ours finds them.
async fn ids(home: &Home) -> Vec<i64> {
    let table = Table::open(home.clone()).await.unwrap().unwrap();
    let layout = table.layout().unwrap();
    let mut ids = Vec::new();
    for add in table.live.files() {
        let content = crate::delta::read::content(home, &table.log(), add).await.unwrap();
        for batch in crate::delta::read::rows(content, add, &layout, None, "t").unwrap() {
            ids.extend(batch.column(0).as_primitive::<Int64Type>().values());
        }
    }
    ids.sort_unstable();
    ids
}

struct Writer {
    table: Table,
    layout: Layout,
    change: Change,
}

impl Writer {
    async fn new(home: &Home, key: Option<&str>) -> Writer {
        let (table, layout) = opened(home, &[]).await;
        let change = match key {
            None => Change::Append,
            Some(key) => Change::Merge(Merger::new(Keys::new(&[key.to_owned()], &layout).unwrap())),
        };
        Writer { table, layout, change }
    }

    async fn commit(&mut self, id: &str, epoch: u64, rows: RecordBatch) -> Result<bool> {
        let (schema, clock) = (rows.schema(), ManualClock::at(1_000_000));
        let rows = [rows];
        let commit = Commit { rows: &rows, schema: &schema, transaction: Some((id, epoch)), target_bytes: 1 << 20 };
        commit.run(&mut self.table, &mut self.layout, &mut self.change, &clock).await
    }
}

const Q: &str = "tidemill/q/s/i";

#[tokio::test(flavor = "multi_thread")]
async fn conditional_puts_decide_who_commits() {
    let (_, home) = flaky(&[]);
    let partition_by = ["kind".to_owned()];
    let (table, layout) = opened(&home, &partition_by).await;
    let mut first = Writer { table, layout, change: Change::Append };
    let mut second = Writer::new(&home, None).await;
    assert!(first.commit(Q, 0, rows(0..4)).await.unwrap());
    assert!(!second.commit(Q, 0, rows(0..4)).await.unwrap(), "it is there already");
    assert!(second.commit("tidemill/r/s/i", 7, rows(4..5)).await.unwrap());
    first.change = Change::Replace;
    assert!(first.commit(Q, 1, rows(5..8)).await.unwrap());
    let error = second.commit(Q, 0, rows(0..4)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Fenced);
    let found = marks::scan(&home, &first.table.log()).await.unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [(Q.to_owned(), 1), ("tidemill/r/s/i".to_owned(), 7)]);
    assert_eq!((second.table.version(), second.table.live.len()), (3, 2), "a file for each kind");
    assert!(second.table.live.files().any(|add| add.path.starts_with("kind=a%2Fb/")));
    assert_eq!(ids(&home).await, [5, 6, 7]);
}

/// Every fault at every one of the first puts, alone and in pairs, for appends and for merges: no epoch is
/// lost and none is there twice.
#[tokio::test(flavor = "multi_thread")]
async fn no_lost_answer_loses_or_doubles_an_epoch() {
    use Fault::{AnswerLost, MeetsItself, None, Overtaken, Refused, RefusedAndOvertaken};
    let faults = [None, Refused, AnswerLost, MeetsItself, Overtaken, RefusedAndOvertaken];
    for key in [Option::None, Some("id")] {
        for first in faults {
            for second in faults {
                for third in [None, AnswerLost, Overtaken] {
                    let plan = [first, second, third];
                    // the table is made before faults begin
                    let (store, home) = flaky(&[&[None], plan.as_slice()].concat());
                    let mut writer = Writer::new(&home, key).await;
                    for epoch in 0..4 {
                        let from = epoch as i64 * 10;
                        writer.commit(Q, epoch, rows(from..from + 10)).await.unwrap();
                        assert!(!writer.commit(Q, epoch, rows(from..from + 10)).await.unwrap_or(false));
                    }
                    let expected: Vec<i64> = (0..40).collect();
                    assert_eq!(ids(&home).await, expected, "{key:?} {plan:?}");
                    let due = plan.iter().filter(|fault| **fault != None).count();
                    assert_eq!(*store.fired.lock().unwrap(), due, "{plan:?}");
                    let held = Table::open(home.clone()).await.unwrap().unwrap().transaction(Q).await.unwrap();
                    assert_eq!(held, Some(3));
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_never_answers_is_given_up_and_the_epoch_found_at_the_next_start() {
    let (_, home) = flaky(&[&[Fault::None][..], &[Fault::Refused; 5], &[Fault::None]].concat());
    let mut writer = Writer::new(&home, None).await;
    let error = writer.commit(Q, 0, rows(0..5)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Again);
    let mut again = Writer::new(&home, None).await;
    assert_eq!(again.table.transaction(Q).await.unwrap(), None);
    assert!(again.commit(Q, 0, rows(0..5)).await.unwrap());
    assert_eq!(ids(&home).await, [0, 1, 2, 3, 4]);
}

/// Two writers of two queries merge into one table at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn merges_of_two_writers_keep_each_others_rows() {
    let (_, home) = flaky(&[]);
    let mut writers = Vec::new();
    for _ in 0..2 {
        writers.push(Writer::new(&home, Some("id")).await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (at, mut writer) in writers.into_iter().enumerate() {
        tasks.spawn(async move {
            let from = at as i64 * 5;
            for epoch in 0..10_u64 {
                let moved = from + epoch as i64 * 10;
                // the rows of the epoch before come again
                let again = rows((moved - 10).max(from)..moved + 5);
                writer.commit(&format!("tidemill/{at}/s/i"), epoch, again).await.unwrap();
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let found = ids(&home).await;
    let distinct: BTreeSet<i64> = found.iter().copied().collect();
    assert_eq!(found.len(), distinct.len(), "a key is there twice");
    assert_eq!(distinct, (0..100).collect());
}
