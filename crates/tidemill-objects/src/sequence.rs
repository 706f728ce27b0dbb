//! A log of objects, each made once under the next number. That an object can be made only once is the fence:
//! whoever takes a number first goes on, and a writer whose number is taken by another has lost the log.
//!
//! ```text
//! <20 digits><suffix>
//! ```

use crate::Objects;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use tidemill_core::{Error, Result};

/// The open end of a log.
#[derive(Debug, Clone)]
pub struct Sequence {
    objects: Objects,
    suffix: &'static str,
    next: u64,
}

/// How many objects are read at once.
const READS_AT_ONCE: usize = 32;

impl Sequence {
    /// Reads all that the log in `objects` holds from number `from` on, oldest first, each with its number. What is
    /// before is no longer part of it. A listing that lags behind is made up for: the numbers after the last one
    /// listed are asked for one by one.
    ///
    /// # Errors
    /// The store does not answer, or an object is missing before others ([`tidemill_core::Kind::Invalid`]).
    pub async fn open(objects: Objects, suffix: &'static str, from: u64) -> Result<(Sequence, Vec<(u64, Bytes)>)> {
        let names = objects.list("").await?;
        let last = names.iter().filter_map(|name| number(name, suffix)).max();
        let end = last.map_or(from, |last| last + 1).max(from);
        let reads = (from..end).map(|number| {
            let objects = &objects;
            async move { Ok::<_, Error>((number, objects.read(&name(number, suffix)).await?)) }
        });
        let read: Vec<_> = futures::stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
        let whole = read.into_iter().map(|(number, content)| match content {
            Some(content) => Ok((number, content)),
            None => Err(missing(&objects, number, suffix)),
        });
        let mut found = whole.collect::<Result<Vec<_>>>()?;
        let mut sequence = Sequence { objects, suffix, next: end };
        found.extend(sequence.read_on().await?);
        Ok((sequence, found))
    }

    /// Reads what others have appended since.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn read_on(&mut self) -> Result<Vec<(u64, Bytes)>> {
        let mut found = Vec::new();
        while let Some(content) = self.objects.read(&name(self.next, self.suffix)).await? {
            found.push((self.next, content));
            self.next += 1;
        }
        Ok(found)
    }

    /// True when another writer has taken the next number: this one has lost the log.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn is_overtaken(&self) -> Result<bool> {
        Ok(self.objects.read(&name(self.next, self.suffix)).await?.is_some())
    }

    /// Number of the next object.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Adds `content`, which nobody else can have written; false when another writer has taken the number.
    ///
    /// # Errors
    /// As [`Objects::create`].
    pub async fn append(&mut self, content: Bytes) -> Result<bool> {
        let made = self.objects.create(&name(self.next, self.suffix), content).await?;
        if made {
            self.next += 1;
        }
        Ok(made)
    }

    /// Removes the objects before `from` of the log in `objects`: nobody may read them any more.
    ///
    /// # Errors
    /// The store does not answer: some may be gone.
    pub async fn remove_before(objects: &Objects, suffix: &str, from: u64) -> Result<()> {
        let names = objects.list("").await?;
        let old = names.into_iter().filter(|name| number(name, suffix).is_some_and(|number| number < from));
        objects.remove_all(old.collect()).await
    }
}

fn name(number: u64, suffix: &str) -> String {
    format!("{number:020}{suffix}")
}

fn number(name: &str, suffix: &str) -> Option<u64> {
    name.strip_suffix(suffix)?.parse().ok()
}

fn missing(objects: &Objects, number: u64, suffix: &str) -> Error {
    Error::invalid(format!(
        "'{}' is missing in '{}', though later ones are there",
        name(number, suffix),
        objects.place()
    ))
    .help("restore it from a backup, or start over with a new place")
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::time::Duration;
    use tidemill_testkit::faulty::{Fault, Faulty};

    fn objects(faults: Vec<Fault>, inner: &Arc<InMemory>) -> (Objects, Arc<Faulty<InMemory>>) {
        let faulty = Arc::new(Faulty::new(inner.clone(), faults));
        let objects = Objects::new(faulty.clone(), Path::from("log"), "test").waiting(Duration::ZERO);

        (objects, faulty)
    }

    /// One life of a writer: reads the log, takes it over, appends until it has lost it or gives up. Gives what
    /// it was told is in the log.
    async fn live(objects: Objects, name: String, appends: usize) -> Vec<String> {
        let mut acknowledged = Vec::new();
        let Ok((mut log, _)) = Sequence::open(objects, ".log", 0).await else { return acknowledged };
        for number in 0..appends {
            let record = format!("{name}/{number}");
            match log.append(Bytes::from(record.clone())).await {
                Ok(true) => acknowledged.push(record),
                // lost, or unclear: a writer stops
                Ok(false) | Err(_) => break,
            }
            tokio::task::yield_now().await;
        }
        acknowledged
    }

    fn fault() -> impl Strategy<Value = Fault> {
        prop_oneof![
            4 => Just(Fault::None),
            1 => Just(Fault::FailsBefore),
            1 => Just(Fault::FailsAfter),
            1 => Just(Fault::Conflict),
            1 => Just(Fault::SaysExistsAfter),
            1 => Just(Fault::StaleList),
            1 => Just(Fault::Slow),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Whatever the store does to its answers: what a writer was told is in the log, once and in its order; and
        /// after a writer's object comes none of one who started before it and was overtaken.
        #[test]
        fn nothing_is_lost_or_doubled(
            lives in prop::collection::vec((prop::collection::vec(fault(), 0..20), 1usize..6), 1..5),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let inner = Arc::new(InMemory::new());
                let started = lives.iter().enumerate().map(|(number, (faults, appends))| {
                    live(objects(faults.clone(), &inner).0, format!("w{number}"), *appends)
                });
                let told: Vec<Vec<String>> = futures::future::join_all(started).await;
                let (log, found) = Sequence::open(objects(vec![], &inner).0, ".log", 0).await.unwrap();
                let found: Vec<String> = found.iter().map(|(_, bytes)| String::from_utf8(bytes.to_vec()).unwrap()).collect();
                assert_eq!(log.next(), found.len() as u64);
                let mut distinct = found.clone();
                distinct.sort();
                distinct.dedup();
                assert_eq!(distinct.len(), found.len(), "doubled: {found:?}");
                for (number, told) in told.iter().enumerate() {
                    let held: Vec<&String> = found.iter().filter(|record| record.starts_with(&format!("w{number}/"))).collect();
                    assert!(held.len() >= told.len() && held.iter().zip(told).all(|(held, told)| *held == told), "{told:?} is not in {found:?}");
                    // one more than it was told: the last answer was lost
                    assert!(held.len() <= told.len() + 1, "{held:?}");
                }
            });
        }
    }

    #[tokio::test]
    async fn every_fault_is_met_and_survived() {
        for fault in [Fault::FailsBefore, Fault::FailsAfter, Fault::Conflict, Fault::SaysExistsAfter] {
            let inner = Arc::new(InMemory::new());
            let (objects, faulty) = objects(vec![Fault::None, Fault::None, fault], &inner);
            let (mut log, _) = Sequence::open(objects, ".log", 0).await.unwrap();
            assert!(log.append(Bytes::from_static(b"x")).await.unwrap(), "{fault:?}");
            assert_eq!(faulty.met(), 1, "{fault:?} was met");
        }
    }

    #[tokio::test]
    async fn a_writer_who_was_overtaken_is_told() {
        let inner = Arc::new(InMemory::new());
        let (mut first, _) = Sequence::open(objects(vec![], &inner).0, ".log", 0).await.unwrap();
        assert!(first.append(Bytes::from_static(b"a")).await.unwrap());
        let (mut second, found) = Sequence::open(objects(vec![], &inner).0, ".log", 0).await.unwrap();
        assert_eq!((found.len(), second.next()), (1, 1));
        assert!(second.append(Bytes::from_static(b"b")).await.unwrap());
        assert!(!first.append(Bytes::from_static(b"c")).await.unwrap());
    }

    #[tokio::test]
    async fn a_hole_is_refused_unless_it_is_before_the_log() {
        let inner = Arc::new(InMemory::new());
        let objects = objects(vec![], &inner).0;
        for number in [1, 3, 5, 6] {
            objects.put(&name(number, ".log"), Bytes::from_static(b"x")).await.unwrap();
        }
        for (from, missing) in
            [(0, "'00000000000000000000.log' is missing"), (3, "'00000000000000000004.log' is missing")]
        {
            let error = Sequence::open(objects.clone(), ".log", from).await.unwrap_err();
            assert!(error.to_string().starts_with(missing), "{error}");
        }
        let (log, found) = Sequence::open(objects.clone(), ".log", 5).await.unwrap();
        assert_eq!((found.len(), log.next()), (2, 7));
        Sequence::remove_before(&objects, ".log", 5).await.unwrap();
        assert_eq!(objects.list("").await.unwrap(), [name(5, ".log"), name(6, ".log")]);
    }

    #[tokio::test]
    async fn what_others_appended_is_read_and_then_the_log_is_taken() {
        let inner = Arc::new(InMemory::new());
        let (mut first, _) = Sequence::open(objects(vec![], &inner).0, ".log", 0).await.unwrap();
        let (mut second, _) = Sequence::open(objects(vec![], &inner).0, ".log", 0).await.unwrap();
        assert!(first.append(Bytes::from_static(b"a")).await.unwrap());
        assert!(second.is_overtaken().await.unwrap() && !first.is_overtaken().await.unwrap());
        assert!(!second.append(Bytes::from_static(b"b")).await.unwrap());
        assert_eq!(second.read_on().await.unwrap(), [(0, Bytes::from_static(b"a"))]);
        assert!(second.append(Bytes::from_static(b"b")).await.unwrap());
        assert!(first.is_overtaken().await.unwrap());
    }
}
