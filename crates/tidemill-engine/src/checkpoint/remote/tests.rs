//! A checkpoint in a store that breaks its answers, lost by one owner to the next, on machine after machine.

use super::owned::Owned;
use super::*;
use crate::checkpoint::journal::Journal;
use crate::checkpoint::record::{CommitRecord, PlanRecord};
use crate::checkpoint::snapshot::{self, Manifest, Occasion, Snapshots};
use crate::faults::QueryFaults;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::{Incarnation, SystemClock};
use tidemill_testkit::faulty::{Fault, Faulty};

fn remote(inner: &Arc<InMemory>, faults: Vec<Fault>, directory: &Path) -> (Remote, Arc<Faulty<InMemory>>) {
    let store = Arc::new(Faulty::new(inner.clone(), faults));
    let objects = Objects::new(store.clone(), ObjectPath::from("ck"), "test").waiting(Duration::ZERO);
    // a store that does not answer ends a life here
    let patience = Patience::new(Arc::new(SystemClock::new()), "test", Duration::ZERO);
    (Remote::new(objects, directory, patience), store)
}

fn metadata() -> Metadata {
    Metadata {
        format: crate::checkpoint::metadata::FORMAT,
        pipeline: "p".into(),
        incarnation: Incarnation::mint(),
        made_by: "test".into(),
        operators: BTreeMap::new(),
        sources: vec![],
        identities: BTreeMap::new(),
        parts: vec![],
        retired: BTreeSet::new(),
    }
}

fn plan(epoch: u64) -> Record {
    let (epoch, ranges) = (Epoch(epoch), BTreeMap::new());
    let (watermarks, tables) = (vec![], BTreeMap::new());
    let (crashed, refused) = (vec![], vec![]);
    let (timestamp, has_data, replay) = (0, true, None);
    Record::Plan(PlanRecord { epoch, timestamp, ranges, has_data, watermarks, tables, replay, crashed, refused })
}

fn commit(epoch: u64, writer: &str) -> Record {
    let sinks = BTreeMap::from([(writer.to_owned(), Epoch(epoch))]);
    Record::Commit(CommitRecord { epoch: Epoch(epoch), next_watermarks: vec![], sinks })
}

/// The newest epoch a checkpoint holds, and a check that everything up to it is there.
fn newest(held: &Held, directory: &Path) -> Option<u64> {
    let commits: Vec<u64> = held
        .records
        .iter()
        .filter(|record| matches!(record, Record::Commit(_)))
        .map(|record| record.epoch().0)
        .collect();
    let commits: BTreeSet<u64> = commits.into_iter().collect();
    let snapshots = Snapshots::list(&directory.join("snapshots")).unwrap();
    let snapshot = snapshots.newest(Epoch(u64::MAX)).map(|snapshot| {
        let state = &snapshot.state["counts"];
        assert_eq!(*state, snapshot.manifest.epoch.0.to_le_bytes(), "the snapshot is that of its epoch");
        snapshot.manifest.epoch.0
    });
    let last = commits.last().copied().max(snapshot);
    let first = snapshot.map_or(0, |snapshot| snapshot + 1);
    for epoch in first..last.map_or(0, |last| last + 1) {
        assert!(commits.contains(&epoch), "epoch {epoch} of {last:?} is gone; the snapshot is of {snapshot:?}");
    }
    last
}

/// A life on a machine of its own: takes the checkpoint and commits `epochs`, or fewer if the store does not let it.
/// Gives what it was told is durable.
async fn live(inner: &Arc<InMemory>, faults: Vec<Fault>, writer: &str, epochs: u64) -> Result<Vec<u64>> {
    let directory = tempfile::tempdir().unwrap();
    let (remote, _) = remote(inner, faults, directory.path());
    let mut held = remote.read().await?;
    let log = match remote.take(&mut held, writer).await? {
        Some(log) => log,
        None => {
            held = remote.read().await?;
            remote.taken(&held, writer)?
        }
    };
    let next = newest(&held, directory.path()).map_or(0, |last| last + 1);
    if held.metadata.is_none() {
        remote.add_metadata(&mut held, &metadata()).await?;
    }
    let mut owned = Owned::new(remote, held, writer.to_owned()).await?;
    let mut journal = Journal::of_objects(log);
    let mut told = vec![];
    for epoch in next..next + epochs {
        journal.add(&plan(epoch))?;
        let planned = journal.flush().await;
        journal.add(&commit(epoch, writer))?;
        if planned.is_err() || journal.flush().await.is_err() {
            break;
        }
        told.push(epoch);
        if epoch % 3 == 2 && matches!(owned.is_publishing().await, Ok(false)) {
            let snapshots = directory.path().join("snapshots");
            let keep_from = snapshot::oldest_kept(&snapshots, Epoch(epoch))?.next();
            let state = BTreeMap::from([("counts".to_owned(), epoch.to_le_bytes().to_vec())]);
            let manifest = Manifest {
                epoch: Epoch(epoch),
                offsets: BTreeMap::new(),
                watermarks: vec![],
                next_watermarks: vec![],
                sinks: BTreeMap::new(),
                files: BTreeMap::new(),
                store: None,
                replayed: 0,
                journal_from: journal.number_of(keep_from),
            };
            let path = snapshot::write(&snapshots, Occasion::Due, manifest, &state, None, &QueryFaults::none())?.path;
            journal.roll().await?;
            journal.forget(keep_from)?;
            owned.publish(path);
        }
        tokio::task::yield_now().await;
    }
    // the last upload may be cut off by the end, or not
    if epochs.is_multiple_of(2) {
        let _ = owned.published().await;
    }
    Ok(told)
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        12 => Just(Fault::None),
        1 => Just(Fault::FailsBefore),
        1 => Just(Fault::FailsAfter),
        1 => Just(Fault::Conflict),
        1 => Just(Fault::SaysExistsAfter),
        1 => Just(Fault::StaleList),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// One life after the other, in a store with faults: what one was told is durable the next finds.
    #[test]
    fn nothing_that_was_durable_is_lost(
        lives in prop::collection::vec((prop::collection::vec(fault(), 0..80), 1u64..9), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let inner = Arc::new(InMemory::new());
            let mut last = None;
            for (number, (faults, epochs)) in lives.into_iter().enumerate() {
                // a start that fails has taken nothing back
                let told = live(&inner, faults, &format!("w{number}"), epochs).await.unwrap_or_default();
                last = told.last().copied().max(last);
                let directory = tempfile::tempdir().unwrap();
                let held = remote(&inner, vec![], directory.path()).0.read().await.unwrap();
                let found = newest(&held, directory.path());
                assert!(found >= last, "{last:?} was durable, {found:?} is there");
                last = found;
            }
        });
    }
}

#[tokio::test]
async fn the_owner_before_loses_its_next_write_and_a_reader_takes_nothing() {
    let inner = Arc::new(InMemory::new());
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, _) = remote(&inner, vec![], here.path());
    let mut held = first.read().await.unwrap();
    first.add_metadata(&mut held, &metadata()).await.unwrap();
    let mut journal = Journal::of_objects(first.take(&mut held, "first").await.unwrap().unwrap());
    journal.add(&plan(0)).unwrap();
    journal.flush().await.unwrap();
    let (second, _) = remote(&inner, vec![], there.path());
    assert_eq!(second.read().await.unwrap().records, [plan(0)]);
    journal.add(&commit(0, "first")).unwrap();
    journal.flush().await.unwrap();
    let mut held = second.read().await.unwrap();
    // the owner goes on in between: then the start has to read again
    journal.add(&plan(1)).unwrap();
    journal.flush().await.unwrap();
    assert!(second.take(&mut held, "second").await.unwrap().is_none());
    let held = second.read().await.unwrap();
    assert_eq!(held.records.len(), 3);
    let log = second.taken(&held, "second").unwrap();
    assert!(second.taken(&held, "third").is_err());
    journal.add(&commit(1, "first")).unwrap();
    assert_eq!(journal.flush().await.unwrap_err().kind(), Kind::Fenced);
    let mut journal = Journal::of_objects(log);
    journal.add(&plan(1)).unwrap();
    journal.flush().await.unwrap();
}

#[tokio::test]
async fn the_query_waits_for_a_store_that_does_not_answer() {
    let inner = Arc::new(InMemory::new());
    let directory = tempfile::tempdir().unwrap();
    // more failures than one write is tried for
    let (_, store) = remote(&inner, vec![Fault::FailsBefore; 40], directory.path());
    let patient = Patience::new(Arc::new(SystemClock::new()), "test", Duration::from_secs(60));
    let objects = Objects::new(store.clone(), ObjectPath::from("ck"), "test").waiting(Duration::ZERO);
    let written = patient.wait("write", || objects.create("x", bytes::Bytes::from_static(b"1"))).await.unwrap();
    assert!(written && store.met() == 40, "{}", store.met());
    let (_, store) = remote(&inner, vec![Fault::FailsBefore; 40], directory.path());
    let objects = Objects::new(store, ObjectPath::from("ck"), "test").waiting(Duration::ZERO);
    let impatient = Patience::new(Arc::new(SystemClock::new()), "test", Duration::ZERO);
    let error = impatient.wait("write", || objects.create("y", bytes::Bytes::from_static(b"1"))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Again);
}

#[tokio::test]
async fn a_store_of_state_is_shared_between_snapshots_and_kept_while_one_names_it() {
    use crate::state::home::{StoreCopy, StoreFile};
    let inner = Arc::new(InMemory::new());
    let directory = tempfile::tempdir().unwrap();
    let (remote, _) = remote(&inner, vec![], directory.path());
    let snapshots = directory.path().join("snapshots");
    std::fs::create_dir_all(snapshots.join("shared")).unwrap();
    let mut held = remote.read().await.unwrap();
    remote.add_metadata(&mut held, &metadata()).await.unwrap();
    let _log = remote.take(&mut held, "w").await.unwrap().unwrap();
    for epoch in 0..4u64 {
        // each has a file of its own, one of the snapshot before, and small ones
        let files = [epoch.saturating_sub(1), epoch].into_iter().map(|of| {
            let (content, name) = (format!("state {of}"), format!("{of:06}.sst"));
            let shared = format!("{of:06}-x.sst");
            std::fs::write(snapshots.join("shared").join(&shared), &content).unwrap();
            StoreFile {
                name,
                shared: Some(shared),
                bytes: content.len() as u64,
                crc32: crc32fast::hash(content.as_bytes()),
            }
        });
        let files: Vec<_> = files.collect();
        let manifest = Manifest {
            epoch: Epoch(epoch),
            offsets: BTreeMap::new(),
            watermarks: vec![],
            next_watermarks: vec![],
            sinks: BTreeMap::new(),
            files: BTreeMap::new(),
            store: Some(StoreCopy { backend: "test".into(), files }),
            replayed: 0,
            journal_from: Some(0),
        };
        let path = snapshots.join(format!("{epoch:020}-aaaaaaaa"));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
        if let Some(old) = epoch.checked_sub(2) {
            std::fs::remove_dir_all(snapshots.join(format!("{old:020}-aaaaaaaa"))).unwrap();
        }
        remote.clone().publish(path, "w".into()).await.unwrap();
    }
    assert!(log::is_of(&remote.objects.below("journal"), "w").await.unwrap());
    let there = remote.objects.list("snapshots").await.unwrap();
    let shared: Vec<&String> = there.iter().filter(|name| name.contains("shared")).collect();
    assert_eq!(
        shared,
        ["snapshots/shared/000001-x.sst", "snapshots/shared/000002-x.sst", "snapshots/shared/000003-x.sst"]
    );
    assert_eq!(there.len(), 5, "{there:?}");
    // on another machine, and once more where a file was damaged
    let other = tempfile::tempdir().unwrap();
    snapshots::bring(&remote.objects, other.path()).await.unwrap();
    let file = other.path().join("snapshots/shared/000002-x.sst");
    std::fs::write(&file, "damaged").unwrap();
    snapshots::bring(&remote.objects, other.path()).await.unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "state 2");
}

#[tokio::test]
async fn a_new_checkpoint_with_nothing_but_its_fence_is_new() {
    let inner = Arc::new(InMemory::new());
    let directory = tempfile::tempdir().unwrap();
    let (remote, _) = remote(&inner, vec![], directory.path());
    let mut held = remote.read().await.unwrap();
    // killed before it wrote the metadata
    drop(remote.take(&mut held, "first").await.unwrap().unwrap());
    let mut held = remote.read().await.unwrap();
    assert!(held.metadata.is_none() && held.records.is_empty());
    let mut journal = Journal::of_objects(remote.take(&mut held, "second").await.unwrap().unwrap());
    journal.add(&plan(0)).unwrap();
    journal.flush().await.unwrap();
    let error = remote.read().await.err().unwrap();
    assert!(error.to_string().contains("metadata is missing"), "{error}");
}
