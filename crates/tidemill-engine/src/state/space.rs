//! Where the state of an operator is in a store:
//!
//! ```text
//! operator 0 group key name     -> rows       a row of state, or several that share key and name
//! operator clock instant group key -> nothing  look at the key when the clock has reached the instant
//! ffff name                     -> operator   the number of an operator
//! fffe operator group           -> count      rows in a group
//! fffd operator                 -> shape      columns of the rows
//! ```
//!
//! `operator` has two bytes, the second place and `group` one each, instants eight, all ordered as they
//! compare. An entry of a clock is a reminder, never a fact: what it points to may have changed.

use super::groups::group_of;
use super::table::{Clock, StateShape, Wake};
use crate::checkpoint::ipc;
use std::ops::Range;
use std::sync::Arc;
use tidemill_core::state::{StateChange, StateStore};
use tidemill_core::{Error, Result};

const NAMES: [u8; 2] = [0xff, 0xff];
const COUNTS: [u8; 2] = [0xff, 0xfe];
const SHAPES: [u8; 2] = [0xff, 0xfd];
/// Changes that are written at once while a space is emptied.
const CHANGES_AT_ONCE: usize = 1 << 16;
const ROWS: u8 = 0;
/// Operator and kind, before an entry of rows.
const ROW_HEAD: usize = 3;
/// Operator, clock, instant and group, before the key of a reminder.
const WAKE_HEAD: usize = 12;

/// The part of a store that is an operator's.
#[derive(Clone)]
pub struct Space {
    store: Arc<dyn StateStore>,
    operator: [u8; 2],
}

/// The operators a store knows, with their numbers.
///
/// # Errors
/// The disk fails.
pub fn operators(store: &dyn StateStore) -> Result<Vec<(String, u16)>> {
    let mut known = vec![];
    let mut visit = |key: &[u8], value: &[u8]| {
        let number = <[u8; 2]>::try_from(value).map_err(|_| Error::invalid("the stored state is damaged"))?;
        known.push((String::from_utf8_lossy(&key[NAMES.len()..]).into_owned(), u16::from_be_bytes(number)));
        Ok(true)
    };
    store.scan_prefixes(&[NAMES.to_vec()], &mut visit)?;
    Ok(known)
}

impl Space {
    /// The space of the operator called `name`; `None` if the store does not know it.
    ///
    /// # Errors
    /// The disk fails.
    pub fn find(store: &Arc<dyn StateStore>, name: &str) -> Result<Option<Space>> {
        let known = operators(&**store)?.into_iter().find(|(known, _)| known == name);
        Ok(known.map(|(_, number)| Space { store: store.clone(), operator: number.to_be_bytes() }))
    }

    /// An empty space for the operator called `name`, instead of the one it may have had.
    ///
    /// # Errors
    /// The disk fails.
    pub fn make(store: &Arc<dyn StateStore>, name: &str, shape: &StateShape) -> Result<Space> {
        let number = operators(&**store)?.iter().map(|(_, number)| number + 1).max().unwrap_or(0).to_be_bytes();
        let place = [shape.keys.start, shape.keys.end].into_iter().chain(shape.names.iter().copied());
        let mut described: Vec<u8> = vec![shape.names.len() as u8];
        described.extend(place.flat_map(|place| (place as u16).to_be_bytes()));
        described.extend(ipc::write(&shape.schema, &[])?);
        store.write(vec![
            StateChange::Put([&NAMES[..], name.as_bytes()].concat(), number.to_vec()),
            StateChange::Put([SHAPES, number].concat(), described),
        ])?;
        Ok(Space { store: store.clone(), operator: number })
    }

    /// The columns of its rows.
    ///
    /// # Errors
    /// The disk fails; damage.
    pub fn shape(&self) -> Result<StateShape> {
        let damaged = || Error::invalid("the stored state is damaged").help("use a copy of the checkpoint");
        let described = self.store.get(&[[SHAPES, self.operator].concat()])?.pop().flatten().ok_or_else(damaged)?;
        let (names, rest) = described.split_first().ok_or_else(damaged)?;
        let (places, schema) = rest.split_at_checked((usize::from(*names) + 2) * 2).ok_or_else(damaged)?;
        let places = places.chunks_exact(2).map(|place| usize::from(u16::from_be_bytes([place[0], place[1]])));
        let places: Vec<usize> = places.collect();
        let schema = ipc::schema(schema, "the columns of stored state")?;
        Ok(StateShape { schema, keys: places[0]..places[1], names: places[2..].to_vec() })
    }

    /// Removes everything that is in it.
    ///
    /// # Errors
    /// The disk fails.
    pub fn empty(self) -> Result<()> {
        let counts = [COUNTS, self.operator].concat();
        for prefix in [self.operator.to_vec(), counts, [SHAPES, self.operator].concat()] {
            loop {
                let mut changes = vec![];
                self.store.scan_prefixes(std::slice::from_ref(&prefix), &mut |key, _| {
                    changes.push(StateChange::Delete(key.to_vec()));
                    Ok(changes.len() < CHANGES_AT_ONCE)
                })?;
                if changes.is_empty() {
                    break;
                }
                self.store.write(changes)?;
            }
        }
        Ok(())
    }

    /// Removes it with its name.
    ///
    /// # Errors
    /// The disk fails.
    pub fn forget(self, name: &str) -> Result<()> {
        let store = self.store.clone();
        self.empty()?;
        store.write(vec![StateChange::Delete([&NAMES[..], name.as_bytes()].concat())])
    }

    /// The store.
    pub fn store(&self) -> &dyn StateStore {
        &*self.store
    }

    fn head(&self, kind: u8) -> [u8; 3] {
        [self.operator[0], self.operator[1], kind]
    }

    /// What the key of an entry of rows begins with.
    pub fn rows_head(&self) -> [u8; ROW_HEAD] {
        self.head(ROWS)
    }

    /// Where the entries of a key's rows are, or begin.
    pub fn place_of(&self, key: &[u8]) -> Vec<u8> {
        [&self.rows_head()[..], &[group_of(key)], key].concat()
    }

    /// The entry at a place.
    pub fn entry_at(place: &[u8]) -> &[u8] {
        &place[ROW_HEAD..]
    }

    /// From and until of the entries of rows in these groups.
    pub fn rows(&self, groups: &Range<u16>) -> [Vec<u8>; 2] {
        let bound = |group: u16| match u8::try_from(group) {
            Ok(group) => [&self.head(ROWS)[..], &[group]].concat(),
            Err(_) => self.head(ROWS + 1).to_vec(),
        };
        [bound(groups.start), bound(groups.end)]
    }

    /// Key of a reminder.
    pub fn wake(&self, wake: Wake, key: &[u8]) -> Vec<u8> {
        [&self.head(wake.clock as u8)[..], &ordered(wake.at), &[group_of(key)], key].concat()
    }

    /// The instant of the first reminder of a clock, of keys in these groups.
    ///
    /// # Errors
    /// The disk fails.
    pub fn next(&self, clock: Clock, groups: &Range<u16>) -> Result<Option<i64>> {
        let mut next = None;
        self.reminders(clock, i64::MAX, groups, &mut |reminder, _| {
            next = reminder.get(3..11).and_then(|bytes| bytes.try_into().ok()).map(instant);
            false
        })?;
        Ok(next)
    }

    /// Shows the reminders of a clock up to an instant, of keys in these groups, each with its key, until the visitor
    /// says that it is enough.
    ///
    /// # Errors
    /// The disk fails.
    pub fn reminders(
        &self,
        clock: Clock,
        until: i64,
        groups: &Range<u16>,
        see: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<()> {
        let head = self.head(clock as u8);
        let end = match until.checked_add(1) {
            Some(after) => [&head[..], &ordered(after)].concat(),
            None => self.head(clock as u8 + 1).to_vec(),
        };
        self.store.scan(&head, &end, &mut |reminder, _| {
            let is_ours = groups.contains(&u16::from(reminder[WAKE_HEAD - 1]));
            Ok(!is_ours || see(reminder, &reminder[WAKE_HEAD..]))
        })
    }

    fn count_key(&self, group: u8) -> Vec<u8> {
        [&COUNTS[..], &self.operator, &[group]].concat()
    }

    /// Rows in each of these groups.
    ///
    /// # Errors
    /// The disk fails.
    pub fn counts(&self, groups: &Range<u16>) -> Result<Vec<u64>> {
        let keys: Vec<Vec<u8>> = groups.clone().map(|group| self.count_key(group as u8)).collect();
        let known = self.store.get(&keys)?;
        let count =
            |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
        Ok(known.into_iter().map(count).collect())
    }

    /// The change that notes how many rows a group has.
    pub fn counted(&self, group: u8, count: u64) -> StateChange {
        StateChange::Put(self.count_key(group), count.to_be_bytes().to_vec())
    }
}

/// An instant so that bytes compare as instants do.
fn ordered(at: i64) -> [u8; 8] {
    ((at as u64) ^ (1 << 63)).to_be_bytes()
}

fn instant(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)) as i64
}
