//! The state of one partition of a processor: typed variables and timers by key, and the log of what was changed.
//!
//! A key is a small number while the partition lives ([`KeyTable`]); every entry, timer and line of the log refers
//! to it once. Times are milliseconds.

use super::contract::{Variable, VariableKind};
use crate::state::keys::{KeyTable, converter};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::row::RowConverter;
use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry};
use std::sync::Arc;
use tidemill_core::{Error, Result};

pub use datafusion::common::ScalarValue;

/// A typed value: one scalar a field.
pub type StateRow = Arc<[ScalarValue]>;

/// Expiry of what is kept for ever.
pub const NEVER: i64 = i64::MAX;

/// What one line of the log does; the numbers are in saved state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A value, or a value of a map, is set.
    Put = 0,
    /// A value goes to the end of a list.
    Append = 1,
    /// A variable of a key is emptied.
    Clear = 2,
    /// A key of a map goes.
    Remove = 3,
    /// What has expired up to an instant goes.
    Expire = 4,
    /// A timer is set.
    Timer = 5,
    /// A timer goes.
    TimerGone = 6,
}

/// Number of variable of changes that belong to none.
pub const NO_VARIABLE: u32 = u32::MAX;

/// One line of the log.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// What is done.
    pub change: Change,
    /// To which variable.
    pub variable: u32,
    /// Of which key.
    pub key: u32,
    /// Key of a map.
    pub map_key: Option<StateRow>,
    /// The value.
    pub row: Option<StateRow>,
    /// When a timer is due, or up to when what has expired goes.
    pub time: i64,
    /// When the value expires.
    pub expiry: i64,
}

#[derive(Debug, Clone)]
struct Kept {
    row: StateRow,
    expiry: i64,
}

/// Entries of a map in the order of their keys' bytes.
type Entries = BTreeMap<Box<[u8]>, (StateRow, Kept)>;

enum Content {
    Value(HashMap<u32, Kept>),
    List(HashMap<u32, Vec<Kept>>),
    Map { of_key: HashMap<u32, Entries>, converter: RowConverter },
}

struct Held {
    variable: Variable,
    content: Content,
}

/// State of one partition.
pub struct PartitionState {
    keys: KeyTable,
    held: Vec<Held>,
    timers: BTreeSet<(i64, u32)>,
    timers_of: HashMap<u32, BTreeSet<i64>>,
    /// When something of a variable of a key expires next: at most one entry for each.
    expiries: BTreeSet<(i64, u32, u32)>,
    expires: HashMap<(u32, u32), i64>,
    log: Vec<LogLine>,
    /// The line of the log that holds the newest value of a variable with one value.
    newest: HashMap<(u32, u32), usize>,
    /// Keys that are looked at in this epoch.
    held_keys: Vec<u32>,
    now: i64,
    entries: u64,
    bytes: u64,
    updated: u64,
    removed: u64,
}

fn size_of_row(row: &StateRow) -> u64 {
    row.iter().map(|value| value.size() as u64).sum::<u64>() + 48
}

impl PartitionState {
    /// An empty state for keys of these types.
    ///
    /// # Errors
    /// A type that cannot be a key.
    pub fn new(keys: &[DataType], variables: &[Variable]) -> Result<Self> {
        let held = variables.iter().map(|variable| {
            let content = match &variable.kind {
                VariableKind::Value => Content::Value(HashMap::new()),
                VariableKind::List => Content::List(HashMap::new()),
                VariableKind::Map(fields) => {
                    let types: Vec<DataType> = fields.iter().map(|field| field.data_type().clone()).collect();
                    Content::Map { of_key: HashMap::new(), converter: converter(&types)? }
                }
            };
            Ok(Held { variable: variable.clone(), content })
        });
        Ok(PartitionState {
            keys: KeyTable::new(keys)?,
            held: held.collect::<Result<_>>()?,
            timers: BTreeSet::new(),
            timers_of: HashMap::new(),
            expiries: BTreeSet::new(),
            expires: HashMap::new(),
            log: vec![],
            newest: HashMap::new(),
            held_keys: vec![],
            now: 0,
            entries: 0,
            bytes: 0,
            updated: 0,
            removed: 0,
        })
    }

    /// The keys.
    pub fn keys(&mut self) -> &mut KeyTable {
        &mut self.keys
    }

    /// Columns of keys, a row for each number.
    ///
    /// # Errors
    /// A bug.
    pub fn key_columns(&self, keys: &[u32]) -> Result<Vec<ArrayRef>> {
        self.keys.columns(keys)
    }

    /// The variable with this number.
    pub fn variable(&self, number: usize) -> &Variable {
        &self.held[number].variable
    }

    /// Number of the variable called `name`.
    pub fn variable_named(&self, name: &str) -> Option<usize> {
        self.held.iter().position(|held| held.variable.name == name)
    }

    /// Ends the epoch: lets go what has expired, and the keys that were held.
    pub fn end(&mut self) {
        self.expire_due();
        for key in std::mem::take(&mut self.held_keys) {
            self.keys.release(key);
        }
    }

    /// Sets the instant of the epoch.
    pub fn begin(&mut self, now: i64) {
        self.now = now;
        (self.updated, self.removed) = (0, 0);
    }

    /// Entries changed and removed since the epoch began.
    pub fn counts(&self) -> (u64, u64) {
        (self.updated, self.removed)
    }

    /// Entries kept, and memory held in bytes.
    pub fn size(&self) -> (u64, u64) {
        let timers = self.timers.len() * 64 + self.expires.len() * 64;
        (self.entries, self.bytes + (self.keys.size() + timers) as u64)
    }

    fn expiry_of(&self, variable: usize) -> i64 {
        self.held[variable].variable.ttl_ms.map_or(NEVER, |ttl| self.now.saturating_add(ttl))
    }

    fn note(&mut self, line: LogLine) {
        self.keys.retain(line.key);
        self.log.push(line);
    }

    fn line(&self, change: Change, variable: usize, key: u32) -> LogLine {
        LogLine { change, variable: variable as u32, key, map_key: None, row: None, time: 0, expiry: NEVER }
    }

    // --- one value ---------------------------------------------------------------------------------

    /// The value of a key, unless it has expired.
    pub fn value(&self, variable: usize, key: u32) -> Option<StateRow> {
        let Content::Value(values) = &self.held[variable].content else { return None };
        values.get(&key).filter(|kept| kept.expiry > self.now).map(|kept| kept.row.clone())
    }

    /// Sets the value of a key.
    pub fn put_value(&mut self, variable: usize, key: u32, row: StateRow) {
        let expiry = self.expiry_of(variable);
        let line = LogLine { row: Some(row.clone()), expiry, ..self.line(Change::Put, variable, key) };
        match self.newest.get(&(variable as u32, key)) {
            Some(place) => self.log[*place] = line,
            None => {
                self.newest.insert((variable as u32, key), self.log.len());
                self.note(line);
            }
        }
        self.updated += 1;
        self.keep_value(variable, key, row, expiry);
    }

    /// Sets a value without noting it.
    pub fn keep_value(&mut self, variable: usize, key: u32, row: StateRow, expiry: i64) {
        let Content::Value(values) = &mut self.held[variable].content else { return };
        self.bytes += size_of_row(&row);
        match values.insert(key, Kept { row, expiry }) {
            Some(old) => self.bytes -= size_of_row(&old.row),
            None => {
                self.entries += 1;
                self.keys.retain(key);
            }
        }
        self.schedule(variable, key, expiry);
    }

    // --- lists -------------------------------------------------------------------------------------

    /// The list of a key, without what has expired.
    pub fn list(&self, variable: usize, key: u32) -> Vec<StateRow> {
        let Content::List(lists) = &self.held[variable].content else { return vec![] };
        let list = lists.get(&key).into_iter().flatten();
        list.filter(|kept| kept.expiry > self.now).map(|kept| kept.row.clone()).collect()
    }

    /// Puts a value at the end of a key's list.
    pub fn append(&mut self, variable: usize, key: u32, row: StateRow) {
        let expiry = self.expiry_of(variable);
        self.note(LogLine { row: Some(row.clone()), expiry, ..self.line(Change::Append, variable, key) });
        self.updated += 1;
        self.keep_item(variable, key, row, expiry);
    }

    /// Puts a value at the end of a list without noting it.
    pub fn keep_item(&mut self, variable: usize, key: u32, row: StateRow, expiry: i64) {
        let Content::List(lists) = &mut self.held[variable].content else { return };
        self.bytes += size_of_row(&row);
        self.entries += 1;
        lists.entry(key).or_default().push(Kept { row, expiry });
        self.keys.retain(key);
        self.schedule(variable, key, expiry);
    }

    // --- maps --------------------------------------------------------------------------------------

    fn encoded(&self, variable: usize, map_key: &StateRow) -> Result<Box<[u8]>> {
        let Content::Map { converter, .. } = &self.held[variable].content else {
            return Err(Error::bug("a key of a map is asked of a variable that is none"));
        };
        let columns = map_key.iter().map(ScalarValue::to_array).collect::<datafusion::common::Result<Vec<_>>>();
        let columns = columns.map_err(crate::errors::from_datafusion)?;
        Ok(converter.convert_columns(&columns)?.row(0).data().into())
    }

    /// The value of a key's map under a key of the map.
    ///
    /// # Errors
    /// A key of the map that cannot be one.
    pub fn map_value(&self, variable: usize, key: u32, map_key: &StateRow) -> Result<Option<StateRow>> {
        let encoded = self.encoded(variable, map_key)?;
        let Content::Map { of_key, .. } = &self.held[variable].content else { return Ok(None) };
        let found = of_key.get(&key).and_then(|map| map.get(&encoded));
        Ok(found.filter(|(_, kept)| kept.expiry > self.now).map(|(_, kept)| kept.row.clone()))
    }

    /// The entries of a key's map in the order of its keys, without what has expired.
    pub fn map(&self, variable: usize, key: u32) -> Vec<(StateRow, StateRow)> {
        let Content::Map { of_key, .. } = &self.held[variable].content else { return vec![] };
        let entries = of_key.get(&key).into_iter().flat_map(BTreeMap::values);
        entries.filter(|(_, kept)| kept.expiry > self.now).map(|(key, kept)| (key.clone(), kept.row.clone())).collect()
    }

    /// Sets a value of a key's map.
    ///
    /// # Errors
    /// A key of the map that cannot be one.
    pub fn put_map(&mut self, variable: usize, key: u32, map_key: StateRow, row: StateRow) -> Result<()> {
        let expiry = self.expiry_of(variable);
        let line = self.line(Change::Put, variable, key);
        self.note(LogLine { map_key: Some(map_key.clone()), row: Some(row.clone()), expiry, ..line });
        self.updated += 1;
        self.keep_entry(variable, key, map_key, row, expiry)
    }

    /// Sets a value of a map without noting it.
    ///
    /// # Errors
    /// A key of the map that cannot be one.
    pub fn keep_entry(
        &mut self,
        variable: usize,
        key: u32,
        map_key: StateRow,
        row: StateRow,
        expiry: i64,
    ) -> Result<()> {
        let encoded = self.encoded(variable, &map_key)?;
        let Content::Map { of_key, .. } = &mut self.held[variable].content else { return Ok(()) };
        self.bytes += size_of_row(&row) + size_of_row(&map_key);
        match of_key.entry(key).or_default().insert(encoded, (map_key, Kept { row, expiry })) {
            Some((old_key, old)) => self.bytes -= size_of_row(&old.row) + size_of_row(&old_key),
            None => {
                self.entries += 1;
                self.keys.retain(key);
            }
        }
        self.schedule(variable, key, expiry);
        Ok(())
    }

    /// Takes a key out of a key's map; false when it is not there.
    ///
    /// # Errors
    /// A key of the map that cannot be one.
    pub fn remove_map(&mut self, variable: usize, key: u32, map_key: StateRow) -> Result<bool> {
        // the key's last reference may be this entry
        self.keys.retain(key);
        let there = self.forget_entry(variable, key, &map_key);
        if matches!(there, Ok(true)) {
            self.note(LogLine { map_key: Some(map_key), ..self.line(Change::Remove, variable, key) });
            self.removed += 1;
        }
        self.keys.release(key);
        there
    }

    /// Takes a key out of a map without noting it.
    ///
    /// # Errors
    /// A key of the map that cannot be one.
    pub fn forget_entry(&mut self, variable: usize, key: u32, map_key: &StateRow) -> Result<bool> {
        let encoded = self.encoded(variable, map_key)?;
        let Content::Map { of_key, .. } = &mut self.held[variable].content else { return Ok(false) };
        let Entry::Occupied(mut map) = of_key.entry(key) else { return Ok(false) };
        let Some((old_key, old)) = map.get_mut().remove(&encoded) else { return Ok(false) };
        if map.get().is_empty() {
            map.remove();
        }
        self.bytes -= size_of_row(&old.row) + size_of_row(&old_key);
        self.entries -= 1;
        self.keys.release(key);
        Ok(true)
    }

    // --- all kinds ---------------------------------------------------------------------------------

    /// True when the variable holds something for the key.
    pub fn exists(&self, variable: usize, key: u32) -> bool {
        let live = |kept: &Kept| kept.expiry > self.now;
        match &self.held[variable].content {
            Content::Value(values) => values.get(&key).is_some_and(live),
            Content::List(lists) => lists.get(&key).is_some_and(|list| list.iter().any(live)),
            Content::Map { of_key, .. } => of_key.get(&key).is_some_and(|map| map.values().any(|(_, kept)| live(kept))),
        }
    }

    /// Empties a variable of a key.
    pub fn clear(&mut self, variable: usize, key: u32) {
        self.newest.remove(&(variable as u32, key));
        self.keys.retain(key);
        let gone = self.forget(variable, key);
        if gone > 0 {
            self.note(self.line(Change::Clear, variable, key));
            self.removed += gone;
        }
        self.keys.release(key);
    }

    /// Empties a variable of a key without noting it; gives the number of entries.
    pub fn forget(&mut self, variable: usize, key: u32) -> u64 {
        self.retain_entries(variable, key, |_| false)
    }

    /// Keeps the entries that fit; gives the number of the others.
    fn retain_entries(&mut self, variable: usize, key: u32, fits: impl Fn(i64) -> bool) -> u64 {
        let (mut gone, mut bytes) = (0, 0);
        match &mut self.held[variable].content {
            Content::Value(values) => {
                if values.get(&key).is_some_and(|kept| !fits(kept.expiry))
                    && let Some(kept) = values.remove(&key)
                {
                    (gone, bytes) = (1, size_of_row(&kept.row));
                }
            }
            Content::List(lists) => {
                if let Entry::Occupied(mut list) = lists.entry(key) {
                    list.get_mut().retain(|kept| {
                        let stays = fits(kept.expiry);
                        gone += u64::from(!stays);
                        bytes += if stays { 0 } else { size_of_row(&kept.row) };
                        stays
                    });
                    if list.get().is_empty() {
                        list.remove();
                    }
                }
            }
            Content::Map { of_key, .. } => {
                if let Entry::Occupied(mut map) = of_key.entry(key) {
                    map.get_mut().retain(|_, (map_key, kept)| {
                        let stays = fits(kept.expiry);
                        gone += u64::from(!stays);
                        bytes += if stays { 0 } else { size_of_row(&kept.row) + size_of_row(map_key) };
                        stays
                    });
                    if map.get().is_empty() {
                        map.remove();
                    }
                }
            }
        }
        self.bytes -= bytes;
        self.entries -= gone;
        (0..gone).for_each(|_| self.keys.release(key));
        gone
    }

    // --- TTL ---------------------------------------------------------------------------------------

    fn schedule(&mut self, variable: usize, key: u32, expiry: i64) {
        if expiry == NEVER {
            return;
        }
        let place = (variable as u32, key);
        match self.expires.get(&place) {
            Some(known) if *known <= expiry => {}
            known => {
                if let Some(known) = known {
                    self.expiries.remove(&(*known, place.0, place.1));
                } else {
                    self.keys.retain(key);
                }
                self.expires.insert(place, expiry);
                self.expiries.insert((expiry, place.0, place.1));
            }
        }
    }

    /// Lets go what has expired by the epoch's instant.
    fn expire_due(&mut self) {
        while let Some(&(expiry, variable, key)) = self.expiries.first().filter(|(expiry, ..)| *expiry <= self.now) {
            let now = self.now;
            self.keys.retain(key);
            let gone = self.expire(variable as usize, key, now);
            if gone > 0 {
                self.newest.remove(&(variable, key));
                self.note(LogLine { time: now, ..self.line(Change::Expire, variable as usize, key) });
                self.removed += gone;
            }
            // an entry that was written anew expires later
            if self.expiries.contains(&(expiry, variable, key)) {
                self.unschedule(variable, key, expiry);
            }
            self.keys.release(key);
        }
    }

    fn unschedule(&mut self, variable: u32, key: u32, expiry: i64) {
        self.expiries.remove(&(expiry, variable, key));
        self.expires.remove(&(variable, key));
        self.keys.release(key);
    }

    /// Lets go what of a variable of a key has expired by `now`, without noting it.
    pub fn expire(&mut self, variable: usize, key: u32, now: i64) -> u64 {
        let gone = self.retain_entries(variable, key, |expiry| expiry > now);
        let place = (variable as u32, key);
        let next = match &self.held[variable].content {
            Content::Value(values) => values.get(&key).map(|kept| kept.expiry),
            Content::List(lists) => lists.get(&key).and_then(|list| list.iter().map(|kept| kept.expiry).min()),
            Content::Map { of_key, .. } => {
                of_key.get(&key).and_then(|map| map.values().map(|(_, kept)| kept.expiry).min())
            }
        };
        if let Some(known) = self.expires.get(&place).copied() {
            match next {
                Some(next) if next != NEVER => {
                    self.expiries.remove(&(known, place.0, place.1));
                    self.expires.insert(place, next);
                    self.expiries.insert((next, place.0, place.1));
                }
                _ => self.unschedule(place.0, key, known),
            }
        }
        gone
    }

    // --- timers ------------------------------------------------------------------------------------

    /// Sets a timer of a key.
    pub fn register_timer(&mut self, key: u32, time: i64) {
        if self.keep_timer(key, time) {
            self.note(LogLine { variable: NO_VARIABLE, time, ..self.line(Change::Timer, 0, key) });
        }
    }

    /// Sets a timer without noting it; false when it is set already.
    pub fn keep_timer(&mut self, key: u32, time: i64) -> bool {
        let is_new = self.timers.insert((time, key));
        if is_new {
            self.timers_of.entry(key).or_default().insert(time);
            self.keys.retain(key);
        }
        is_new
    }

    /// Takes a timer of a key away.
    pub fn delete_timer(&mut self, key: u32, time: i64) {
        self.keys.retain(key);
        if self.forget_timer(key, time) {
            self.note(LogLine { variable: NO_VARIABLE, time, ..self.line(Change::TimerGone, 0, key) });
        }
        self.keys.release(key);
    }

    /// Takes a timer away without noting it; false when there is none.
    pub fn forget_timer(&mut self, key: u32, time: i64) -> bool {
        if !self.timers.remove(&(time, key)) {
            return false;
        }
        if let Entry::Occupied(mut timers) = self.timers_of.entry(key) {
            timers.get_mut().remove(&time);
            if timers.get().is_empty() {
                timers.remove();
            }
        }
        self.keys.release(key);
        true
    }

    /// The timers of a key, in order.
    pub fn timers(&self, key: u32) -> Vec<i64> {
        self.timers_of.get(&key).into_iter().flatten().copied().collect()
    }

    /// Holds a key until the end of the epoch, and so its number.
    pub fn hold(&mut self, key: u32) {
        self.keys.retain(key);
        self.held_keys.push(key);
    }

    /// The timers that are due by `time`, in the order of their times, then of their keys, which are held.
    pub fn due(&mut self, time: i64) -> Vec<(u32, i64)> {
        let mut due: Vec<(u32, i64)> =
            self.timers.iter().take_while(|(at, _)| *at <= time).map(|(at, key)| (*key, *at)).collect();
        due.sort_by(|left, right| (left.1, self.keys.bytes(left.0)).cmp(&(right.1, self.keys.bytes(right.0))));
        due.iter().for_each(|(key, _)| self.hold(*key));
        due
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<i64> {
        self.timers.first().map(|(time, _)| *time)
    }

    // --- saving ------------------------------------------------------------------------------------

    /// The log since this was last called. What refers to keys does so until [`PartitionState::logged`].
    pub fn take_log(&mut self) -> Vec<LogLine> {
        self.newest.clear();
        std::mem::take(&mut self.log)
    }

    /// Lines of the log have been written.
    pub fn logged(&mut self, lines: &[LogLine]) {
        lines.iter().for_each(|line| self.keys.release(line.key));
    }

    /// Everything, as lines of a log.
    pub fn everything(&self) -> Vec<LogLine> {
        let mut lines = Vec::with_capacity(self.entries as usize + self.timers.len());
        for (variable, held) in self.held.iter().enumerate() {
            let line = |change, key: &u32, kept: &Kept| LogLine {
                row: Some(kept.row.clone()),
                expiry: kept.expiry,
                ..self.line(change, variable, *key)
            };
            match &held.content {
                Content::Value(values) => {
                    lines.extend(values.iter().map(|(key, kept)| line(Change::Put, key, kept)));
                }
                Content::List(lists) => lists
                    .iter()
                    .for_each(|(key, list)| lines.extend(list.iter().map(|kept| line(Change::Append, key, kept)))),
                Content::Map { of_key, .. } => of_key.iter().for_each(|(key, map)| {
                    let entry = |(map_key, kept): &(StateRow, Kept)| LogLine {
                        map_key: Some(map_key.clone()),
                        ..line(Change::Put, key, kept)
                    };
                    lines.extend(map.values().map(entry));
                }),
            }
        }
        let timer = |(time, key): &(i64, u32)| LogLine {
            variable: NO_VARIABLE,
            time: *time,
            ..self.line(Change::Timer, 0, *key)
        };
        lines.extend(self.timers.iter().map(timer));
        lines
    }
}
