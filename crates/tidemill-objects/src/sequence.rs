//! A log of objects, each made once under the next number. That an object can be made only once is the fence:
//! whoever takes a number first goes on, and a writer whose number is taken by another has lost the log.
//!
//! ```text
//! <20 digits><suffix>
//! ```

use crate::Objects;
use bytes::Bytes;
use tidemill_core::{Error, Result};

/// The open end of a log.
#[derive(Debug, Clone)]
pub struct Sequence {
    objects: Objects,
    suffix: &'static str,
    next: u64,
}

impl Sequence {
    /// Reads all that the log in `objects` holds, oldest first, each with its number. A listing that lags behind
    /// is made up for: the numbers after the last one listed are asked for one by one.
    ///
    /// # Errors
    /// The store does not answer, or an object is missing between others.
    pub async fn open(objects: Objects, suffix: &'static str) -> Result<(Sequence, Vec<(u64, Bytes)>)> {
        let names = objects.list("").await?;
        let listed = names.iter().filter_map(|name| name.strip_suffix(suffix)?.parse::<u64>().ok());
        let mut found: Vec<(u64, Bytes)> = Vec::new();
        for number in listed {
            match objects.read(&name(number, suffix)).await? {
                Some(content) => found.push((number, content)),
                // the old end was just cut off by its owner
                None if found.is_empty() => {}
                None => return Err(missing(&objects, number, suffix)),
            }
        }
        let mut next = found.last().map_or(0, |(number, _)| number + 1);
        while let Some(content) = objects.read(&name(next, suffix)).await? {
            found.push((next, content));
            next += 1;
        }
        for pair in found.windows(2) {
            if pair[1].0 != pair[0].0 + 1 {
                return Err(missing(&objects, pair[0].0 + 1, suffix));
            }
        }
        Ok((Sequence { objects, suffix, next }, found))
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

    /// Removes the object of this number, which must be the oldest.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn remove(&self, number: u64) -> Result<()> {
        self.objects.remove(&name(number, self.suffix)).await
    }
}

fn name(number: u64, suffix: &str) -> String {
    format!("{number:020}{suffix}")
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
    use crate::faulty::{Fault, Faulty};
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::time::Duration;

    fn objects(faults: Vec<Fault>, inner: &Arc<InMemory>) -> (Objects, Arc<Faulty>) {
        let faulty = Arc::new(Faulty::new(inner.clone(), faults));
        let mut objects = Objects::new(faulty.clone(), Path::from("log"), "test");
        objects.first_wait = Duration::ZERO;
        (objects, faulty)
    }

    /// One life of a writer: reads the log, takes it over, appends until it has lost it or gives up. Gives what
    /// it was told is in the log.
    async fn live(objects: Objects, name: String, appends: usize) -> Vec<String> {
        let mut acknowledged = Vec::new();
        let Ok((mut log, _)) = Sequence::open(objects, ".log").await else { return acknowledged };
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
                let (log, found) = Sequence::open(objects(vec![], &inner).0, ".log").await.unwrap();
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
            let (mut log, _) = Sequence::open(objects, ".log").await.unwrap();
            assert!(log.append(Bytes::from_static(b"x")).await.unwrap(), "{fault:?}");
            assert_eq!(faulty.met(), 1, "{fault:?} was met");
        }
    }

    #[tokio::test]
    async fn a_writer_who_was_overtaken_is_told() {
        let inner = Arc::new(InMemory::new());
        let (mut first, _) = Sequence::open(objects(vec![], &inner).0, ".log").await.unwrap();
        assert!(first.append(Bytes::from_static(b"a")).await.unwrap());
        let (mut second, found) = Sequence::open(objects(vec![], &inner).0, ".log").await.unwrap();
        assert_eq!((found.len(), second.next()), (1, 1));
        assert!(second.append(Bytes::from_static(b"b")).await.unwrap());
        assert!(!first.append(Bytes::from_static(b"c")).await.unwrap());
    }

    #[tokio::test]
    async fn a_hole_is_refused() {
        let inner = Arc::new(InMemory::new());
        let objects = objects(vec![], &inner).0;
        for number in [3, 5] {
            objects.put(&name(number, ".log"), Bytes::from_static(b"x")).await.unwrap();
        }
        let error = Sequence::open(objects, ".log").await.unwrap_err();
        assert!(error.to_string().starts_with("'00000000000000000004.log' is missing"), "{error}");
    }
}
