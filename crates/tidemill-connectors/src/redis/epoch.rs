//! Writes an epoch's changes and its number, slot by slot, in scripts (`epoch.lua`).
//!
//! One server: every part of an epoch is one script; the last sets the marker. A cluster: each slot has a
//! marker of its own, and the marker of the whole is set when all slots hold the epoch. A part that met a
//! broken connection is not sent alone again: the epoch begins anew, since the server may have lost parts
//! that it had acknowledged.

use super::errors::{explain, is_passing};
use super::link::{Link, Target, open_checked};
use super::slot;
use crate::retry::{Patience, Retry};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use redis::{RedisError, Script};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::retry::{Class, Failure as Failed, Policy, Vitals};
use tidemill_core::sink::{Marker, Writer};
use tidemill_core::{Epoch, Error, Kind, Result, SystemClock};

/// Slots of a cluster that are written at a time.
const SLOTS_AT_ONCE: usize = 16;
/// Most arguments of one script; Redis takes about a million.
const ARGUMENTS_MAX: usize = 400_000;
/// Most bytes of one script's arguments, unless one change is larger.
const PART_BYTES_MAX: usize = 8 << 20;
/// Adds an entry to a stream: its number in the epoch, a bound, then the fields.
pub(crate) const APPEND: &str = "append";
/// What the log calls the other side.
const SYSTEM: &str = "redis";
const PAUSE_MIN: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// One command of `epoch.lua` on one key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) key: Vec<u8>,
    /// The word `epoch.lua` knows.
    pub(crate) word: &'static str,
    pub(crate) arguments: Vec<Vec<u8>>,
}

impl Change {
    pub(crate) fn new(key: &[u8], word: &'static str, arguments: Vec<Vec<u8>>) -> Self {
        Change { key: key.to_vec(), word, arguments }
    }
}

/// What the writer of epochs needs to know.
pub(crate) struct Settings {
    pub(crate) table: String,
    pub(crate) target: Target,
    pub(crate) writer: Writer,
    /// The tag that all keys share; without one, the slots of a cluster have markers of their own.
    pub(crate) tag: Option<String>,
    /// The rows of an epoch are the whole result.
    pub(crate) complete: bool,
    /// Most changes of one script.
    pub(crate) part_changes: usize,
    /// Replicas that must have an epoch before it counts.
    pub(crate) replicas: u64,
    pub(crate) replicas_timeout: Duration,
    /// How long trouble that may pass is waited for.
    pub(crate) retry_timeout: Duration,
}

/// Writes epochs.
pub(crate) struct EpochWriter {
    settings: Settings,
    patience: Patience,
    write: Script,
    claim: Script,
    link: Option<Link>,
    /// Generation and nonce of ours, once the marker was claimed.
    owner: Option<(String, String)>,
    /// What the marker of each slot is known to hold; the whole one's under `None`.
    held: HashMap<Option<u16>, Option<u64>>,
    /// A tag for each slot, where slots have markers of their own.
    tags: Vec<String>,
}

/// Why an attempt ended.
enum Failure {
    Redis(RedisError),
    /// An earlier part is gone.
    PartLost,
    Final(Error),
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Failure::Redis(error)
    }
}

impl EpochWriter {
    /// Connects.
    ///
    /// # Errors
    /// The server cannot be reached, or is not what the options say.
    pub(crate) async fn open(settings: Settings) -> Result<Self> {
        // every script compares what is held, so that sending one twice changes nothing
        let policy = Policy::within(settings.retry_timeout).pauses(PAUSE_MIN, PAUSE_MAX);
        let patience = Patience::new(policy, SYSTEM, Arc::new(SystemClock::new()));
        let mut retry = patience.begin();
        let link = loop {
            match open_checked(&settings.target, &settings.table).await {
                Ok(link) => break link,
                Err(error) => retry.wait(Failed::by_kind(error)).await?,
            }
        };
        let tags = if settings.target.is_cluster() && settings.tag.is_none() { slot::tags() } else { Vec::new() };
        Ok(EpochWriter {
            settings,
            patience,
            write: Script::new(include_str!("epoch.lua")),
            claim: Script::new(include_str!("claim.lua")),
            link: Some(link),
            owner: None,
            held: HashMap::new(),
            tags,
        })
    }

    /// What the marker says, and makes us its owner: a process that wrote before writes nothing more.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub(crate) async fn marker(&mut self) -> Result<Marker> {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let mut retry = self.patience.begin();
        let (generation, fields): (String, BTreeMap<String, String>) = loop {
            let keys = [self.marker_key(None)];
            let link = self.link.take();
            let asked = match or_open(link, &self.settings.target).await {
                Ok(link) => self.link.insert(link).run(&self.claim, &keys, &[nonce.clone().into_bytes()]).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(answer) => break answer,
                Err(error) => self.wait_out(error, &mut retry, "read the marker").await?,
            }
        };
        self.owner = Some((generation, nonce));
        self.held.clear();
        let prefix = self.settings.writer.prefix();
        let epoch_fields = fields.iter().filter(|(field, _)| *field != "owner" && !field.contains('/'));
        let entries: Vec<(String, u64)> =
            epoch_fields.filter_map(|(field, epoch)| Some((format!("{prefix}{field}"), epoch.parse().ok()?))).collect();
        let marker =
            crate::marker::find(&self.settings.writer, entries.iter().map(|(id, epoch)| (id.as_str(), *epoch)));
        self.held.insert(None, if let Marker::At(epoch) = &marker { Some(epoch.0) } else { None });
        Ok(marker)
    }

    /// Writes the changes, in their order, and the epoch.
    ///
    /// # Errors
    /// We were replaced, the server went back behind an epoch it had acknowledged, or it stays away.
    pub(crate) async fn commit(&mut self, epoch: Epoch, changes: Vec<Change>) -> Result<()> {
        if self.owner.is_none() {
            self.marker().await?;
        }
        let slots = self.by_slot(changes);
        let doing = format!("write epoch {epoch} of table '{}'", self.settings.table);
        let mut retry = self.patience.begin();
        loop {
            match self.attempt(epoch, &slots).await {
                Ok(()) => return Ok(()),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Redis(error)) => self.wait_out(error, &mut retry, &doing).await?,
                Err(Failure::PartLost) => {
                    let error = Error::new(Kind::Again, format!("cannot {doing}: the server loses parts of it"));
                    retry.wait(Failed::new(Class::Transient, error)).await?;
                }
            }
        }
    }

    /// Waits after trouble that may pass, and forgets the connection; any other is the query's error.
    async fn wait_out(&mut self, error: RedisError, retry: &mut Retry, doing: &str) -> Result<()> {
        self.link = None;
        let class = if is_passing(&self.settings.target, &error) { Class::Ambiguous } else { Class::Permanent };
        retry.wait(Failed::new(class, explain(&self.settings.target, doing, error))).await
    }

    /// Retries.
    pub(crate) fn vitals(&self) -> Arc<Vitals> {
        self.patience.vitals().clone()
    }

    /// A connection of its own: that of the epochs may be gone after a failure.
    pub(crate) async fn connected(&self) -> Result<Link> {
        Link::open(&self.settings.target).await.map_err(|error| self.explained("connect", error))
    }

    /// An answer of the server as the query's error.
    pub(crate) fn explained(&self, doing: &str, error: RedisError) -> Error {
        explain(&self.settings.target, doing, error)
    }

    /// The changes by the slot whose marker they are under; `None` is the whole one's.
    fn by_slot(&self, changes: Vec<Change>) -> BTreeMap<Option<u16>, Vec<Change>> {
        let mut slots: BTreeMap<Option<u16>, Vec<Change>> = BTreeMap::new();
        for change in changes {
            let slot = if self.tags.is_empty() { None } else { Some(slot::of(&change.key)) };
            slots.entry(slot).or_default().push(change);
        }
        slots.values_mut().for_each(|changes| make_repeatable(changes, self.settings.part_changes));
        slots
    }

    fn marker_key(&self, slot: Option<u16>) -> Vec<u8> {
        let Writer { query, sink, .. } = &self.settings.writer;
        match (slot, &self.settings.tag) {
            (Some(slot), _) => format!("tidemill:{{{}}}:{query}/{sink}", self.tags[usize::from(slot)]),
            (None, Some(tag)) => format!("tidemill:{{{tag}}}:{query}/{sink}"),
            (None, None) => format!("tidemill:{{{query}/{sink}}}"),
        }
        .into_bytes()
    }

    /// Writes all slots, then the marker of the whole.
    async fn attempt(&mut self, epoch: Epoch, slots: &BTreeMap<Option<u16>, Vec<Change>>) -> Result<(), Failure> {
        let link = self.link.take();
        let link = or_open(link, &self.settings.target).await?;
        let own = slots.iter().filter_map(|(slot, changes)| Some(((*slot)?, changes)));
        let writes: Vec<BoxFuture<'_, Result<Option<u16>, Failure>>> = own
            .map(|(slot, changes)| {
                self.write_slot(&link, epoch, Some(slot), changes).map_ok(move |()| Some(slot)).boxed()
            })
            .collect();
        let written: Vec<Option<u16>> =
            futures::stream::iter(writes).buffer_unordered(SLOTS_AT_ONCE).try_collect().await?;
        let whole = slots.get(&None).map_or(&[][..], Vec::as_slice);
        self.write_slot(&link, epoch, None, whole).await?;
        if self.settings.replicas > 0 {
            self.wait_for_replicas(&link, epoch).await?;
        }
        self.link = Some(link);
        self.held.extend(written.into_iter().chain([None]).map(|slot| (slot, Some(epoch.0))));
        Ok(())
    }

    async fn wait_for_replicas(&self, link: &Link, epoch: Epoch) -> Result<(), Failure> {
        let (wanted, timeout) = (self.settings.replicas, self.settings.replicas_timeout);
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        // WAIT counts from the last write of its connection, and this one may be new
        let (generation, nonce) = self.owner.clone().unwrap_or_default();
        let (marker, owner) = (self.marker_key(None), format!("{generation}/{nonce}"));
        link.send::<redis::Value>(redis::cmd("HSET").arg(marker).arg("owner").arg(owner)).await?;
        let have: u64 = link.send(redis::cmd("WAIT").arg(wanted).arg(timeout_ms)).await?;
        if have >= wanted {
            return Ok(());
        }
        let said = format!(
            "epoch {epoch} of table '{}' is on {have} of the {wanted} replicas that option 'replicas_ack' asks for, after {timeout:?}",
            self.settings.table
        );
        Err(Failure::Final(
            Error::new(Kind::Again, said).help("start replicas, or lower 'replicas_ack'; nothing is written twice"),
        ))
    }

    /// Writes what belongs under one marker, in as many scripts as it takes.
    async fn write_slot(
        &self,
        link: &Link,
        epoch: Epoch,
        slot: Option<u16>,
        changes: &[Change],
    ) -> Result<(), Failure> {
        let parts = parts(changes, self.settings.part_changes);
        let count = parts.len();
        for (number, part) in parts.into_iter().enumerate() {
            let (keys, arguments) = self.script_input(epoch, slot, part, number, number + 1 == count);
            let (answer, detail): (String, String) = link.run(&self.write, &keys, &arguments).await?;
            match answer.as_str() {
                "OK" => {}
                "DONE" => return Ok(()),
                "PART" => return Err(Failure::PartLost),
                "BACK" => return Err(self.went_back(link, epoch, slot, &detail).await),
                answer => return Err(Failure::Final(self.refused(answer, &detail))),
            }
        }
        Ok(())
    }

    fn script_input(
        &self,
        epoch: Epoch,
        slot: Option<u16>,
        part: &[Change],
        number: usize,
        is_last: bool,
    ) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let marker = self.marker_key(slot);
        let index = [marker.as_slice(), b":keys"].concat();
        let fresh = [marker.as_slice(), b":keys:new"].concat();
        let mut keys = vec![marker, index, fresh];
        let flag = |flag: bool| if flag { "1" } else { "0" }.to_owned();
        let held = match self.held.get(&slot) {
            None => String::new(),
            Some(None) => "-".to_owned(),
            Some(Some(epoch)) => epoch.to_string(),
        };
        let (generation, nonce) = self.owner.clone().unwrap_or_default();
        let head = [
            generation,
            nonce,
            self.settings.writer.incarnation.to_string(),
            epoch.to_string(),
            held,
            number.to_string(),
            flag(is_last),
            flag(self.settings.complete),
            flag(slot.is_some()),
        ];
        let mut arguments: Vec<Vec<u8>> = head.into_iter().map(String::into_bytes).collect();
        for change in part {
            keys.push(change.key.clone());
            arguments.push(change.word.into());
            arguments.push(change.arguments.len().to_string().into_bytes());
            arguments.extend_from_slice(&change.arguments);
        }
        (keys, arguments)
    }

    /// The server holds less than it acknowledged: the engine is to write again from there.
    async fn went_back(&self, link: &Link, epoch: Epoch, slot: Option<u16>, stored: &str) -> Failure {
        let server = self.settings.target.shown();
        if slot.is_some() {
            // what one node of a cluster has lost is written again from the marker of the whole
            let (marker, field) = (self.marker_key(None), self.settings.writer.incarnation.to_string());
            let command = match stored {
                "" => redis::cmd("HDEL").arg(marker).arg(field).to_owned(),
                stored => redis::cmd("HSET").arg(marker).arg(field).arg(stored).to_owned(),
            };
            if let Err(error) = link.send::<redis::Value>(&command).await {
                return Failure::Redis(error);
            }
        }
        let known = self.held.get(&slot).copied().flatten();
        let known = known.map_or_else(|| "none".to_owned(), |epoch| epoch.to_string());
        let stored = if stored.is_empty() { "none" } else { stored };
        Failure::Final(
            Error::new(
                Kind::Again,
                format!(
                    "table '{}': Redis at {server} went back: it had acknowledged epoch {known} and now holds {stored}, \
                     so that epoch {epoch} may not follow",
                    self.settings.table
                ),
            )
            .help("a failover or a crash has lost writes; the same command goes on from what the server holds"),
        )
    }

    fn refused(&self, answer: &str, detail: &str) -> Error {
        let (table, server) = (&self.settings.table, self.settings.target.shown());
        match answer {
            "FENCED" => Error::new(
                Kind::Fenced,
                format!("table '{table}': another process has taken over this query's keys in Redis at {server} ({detail})"),
            )
            .help("do not start this one again while the other runs"),
            "TYPE" => Error::new(Kind::Data, format!("table '{table}': key {detail} in Redis at {server}"))
                .help("remove it, choose other keys, or another shape"),
            "NEWER" => Error::new(
                Kind::Data,
                format!("table '{table}': stream {detail} in Redis at {server} holds entries of another writer with later ids"),
            )
            .help("a stream has one writing query: choose another key"),
            other => Error::bug(format!("epoch.lua answered '{other}' ({detail})")),
        }
    }
}

/// Sorts the entries of streams when they take several scripts. After a crash the rows of an epoch may come
/// in another order, and an entry that is there already must be the one with its number.
fn make_repeatable(changes: &mut [Change], changes_max: usize) {
    if parts(changes, changes_max).len() == 1 || !changes.iter().any(|change| change.word == APPEND) {
        return;
    }
    changes.sort_by(|left, right| {
        let order = |change: &Change| (change.key.clone(), change.word);
        order(left).cmp(&order(right)).then_with(|| left.arguments.get(2..).cmp(&right.arguments.get(2..)))
    });
    for (number, change) in changes.iter_mut().filter(|change| change.word == APPEND).enumerate() {
        change.arguments[0] = number.to_string().into_bytes();
    }
}

/// The connection there is, or a new one.
async fn or_open(link: Option<Link>, target: &Target) -> Result<Link, RedisError> {
    match link {
        Some(link) => Ok(link),
        None => Link::open(target).await,
    }
}

/// The changes in pieces that are not too large for a script; one, empty, when there are none.
fn parts(changes: &[Change], changes_max: usize) -> Vec<&[Change]> {
    let mut parts = Vec::new();
    let (mut start, mut arguments, mut bytes) = (0, 0, 0);
    for (at, change) in changes.iter().enumerate() {
        let size: usize = change.key.len() + change.arguments.iter().map(Vec::len).sum::<usize>();
        let full = at - start >= changes_max || arguments + change.arguments.len() > ARGUMENTS_MAX;
        if at > start && (full || bytes + size > PART_BYTES_MAX) {
            parts.push(&changes[start..at]);
            (start, arguments, bytes) = (at, 0, 0);
        }
        arguments += change.arguments.len() + 3;
        bytes += size;
    }
    parts.push(&changes[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_bounded_and_keep_the_order() {
        let changes: Vec<Change> = (0..5).map(|at| Change::new(&[at], "delete", vec![])).collect();
        let sizes: Vec<usize> = parts(&changes, 2).iter().map(|part| part.len()).collect();
        assert_eq!(sizes, [2, 2, 1]);
        assert_eq!(parts(&changes, 2).concat(), changes);
        assert_eq!(parts(&[], 2).len(), 1);
        let wide: Vec<Change> =
            (0..3).map(|at| Change::new(&[at], "value", vec![vec![0; PART_BYTES_MAX - 9]])).collect();
        assert_eq!(parts(&wide, 100).len(), 3);
    }

    #[test]
    fn entries_in_several_parts_have_the_same_numbers_in_whatever_order_they_come() {
        let entry = |number: &str, value: &str| {
            Change::new(b"s", APPEND, [number, "", "f", value].map(|word| word.as_bytes().to_vec()).to_vec())
        };
        let mut one = vec![entry("0", "a"), entry("1", "b"), entry("2", "a")];
        let mut other = vec![entry("0", "a"), entry("1", "a"), entry("2", "b")];
        let as_it_came = one.clone();
        make_repeatable(&mut one, 3);
        assert_eq!(one, as_it_came);
        make_repeatable(&mut one, 2);
        make_repeatable(&mut other, 2);
        assert_eq!(one, other);
    }
}
