//! The sessions of one partition: by key and start, by end for those a watermark will close, and what
//! has changed since the changes were last taken. Values are in accumulators, by slot.

use crate::operator::aggregate::accumulator::Scope;
use std::collections::{BTreeMap, BTreeSet};

/// Key number and start: what names a session.
pub type Name = (u32, i64);

/// A session that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The instant after its last.
    pub end: i64,
    /// The greatest number of its rows.
    pub last: i64,
    /// Where its values are.
    pub slot: u32,
}

/// The sessions of one partition.
#[derive(Default)]
pub struct Sessions {
    sessions: BTreeMap<Name, Session>,
    ends: BTreeSet<(i64, Name)>,
    slots: usize,
    free: Vec<u32>,
    changed: BTreeMap<Name, Scope>,
    gone: BTreeSet<Name>,
}

impl Sessions {
    /// Slots ever made; accumulators hold this many.
    pub fn capacity(&self) -> usize {
        self.slots
    }

    /// Sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// A slot that nobody uses.
    pub fn new_slot(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            (self.slots - 1) as u32
        })
    }

    /// Gives slots back; the caller has emptied them.
    pub fn give_back(&mut self, slots: &[u32]) {
        self.free.extend(slots);
    }

    /// Sessions of a key that start or end within `first..=last`, earliest first.
    pub fn around(&self, key: u32, first: i64, last: i64) -> Vec<(i64, Session)> {
        let before = self.sessions.range((key, i64::MIN)..(key, first)).next_back();
        let before = before.filter(|(_, session)| session.end >= first);
        let within = self.sessions.range((key, first)..=(key, last));
        before.into_iter().chain(within).map(|((_, start), session)| (*start, *session)).collect()
    }

    /// Keeps a session, or what has become of it. `scope` says how much of it is to be saved.
    pub fn put(&mut self, name: Name, session: Session, scope: Scope) {
        if let Some(before) = self.sessions.insert(name, session) {
            self.ends.remove(&(before.end, name));
        }
        self.ends.insert((session.end, name));
        let known = self.changed.entry(name).or_insert(scope);
        if scope == Scope::Whole {
            *known = Scope::Whole;
        }
    }

    /// Takes a session out because it has become part of another; its slot stays taken.
    pub fn absorb(&mut self, name: Name) -> Option<Session> {
        let session = self.take_out(name)?;
        self.gone.insert(name);
        Some(session)
    }

    fn take_out(&mut self, name: Name) -> Option<Session> {
        let session = self.sessions.remove(&name)?;
        self.ends.remove(&(session.end, name));
        self.changed.remove(&name);
        Some(session)
    }

    /// Takes out the sessions that end at `watermark` or before; their slots stay taken.
    pub fn take_closed(&mut self, watermark: i64) -> Vec<(Name, Session)> {
        self.closed(watermark)
            .into_iter()
            .filter_map(|(name, _)| self.take_out(name).map(|session| (name, session)))
            .collect()
    }

    /// The sessions that end at `watermark` or before, earliest first.
    pub fn closed(&self, watermark: i64) -> Vec<(Name, Session)> {
        let ended = self.ends.range(..(watermark.saturating_add(1), (0, i64::MIN)));
        ended.filter_map(|(_, name)| self.sessions.get(name).map(|session| (*name, *session))).collect()
    }

    /// Every session, by key and start.
    pub fn all(&self) -> Vec<(Name, Session)> {
        self.sessions.iter().map(|(name, session)| (*name, *session)).collect()
    }

    /// The session of this name.
    pub fn get(&self, name: Name) -> Option<Session> {
        self.sessions.get(&name).copied()
    }

    /// Sessions changed since this was last called, with how much of each is to be saved, and the names
    /// of those that have become part of others.
    pub fn take_changes(&mut self) -> (Vec<(Name, Session, Scope)>, Vec<Name>) {
        let changed = std::mem::take(&mut self.changed);
        let changed =
            changed.into_iter().filter_map(|(name, scope)| self.get(name).map(|session| (name, session, scope)));
        (changed.collect(), std::mem::take(&mut self.gone).into_iter().collect())
    }

    /// Forgets the changes.
    pub fn forget_changes(&mut self) {
        self.changed.clear();
        self.gone.clear();
    }

    /// How many sessions have changed since the changes were last taken.
    pub fn changed(&self) -> usize {
        self.changed.len()
    }

    /// Memory held, in bytes.
    pub fn size(&self) -> usize {
        self.sessions.len() * (size_of::<Name>() * 2 + size_of::<Session>() + 32) + self.free.capacity() * 4
    }
}
