//! Groups by pane: a pane is a stretch of event time that goes as a whole when the watermark has
//! passed it (a slice, a window, one instant), or the one pane that never goes. Each group of a pane
//! has a slot in the accumulators; slots of panes that are gone are used again.

use hashbrown::HashTable;
use std::collections::BTreeMap;

/// The pane of groups that no watermark ever reaches.
pub const FOREVER: i64 = i64::MIN;

/// Groups by pane.
#[derive(Default)]
pub struct Panes {
    panes: BTreeMap<i64, Pane>,
    /// The pane that never goes, by key number: it has nearly all of them.
    forever: Forever,
    keys: Vec<u32>,
    places: Vec<i64>,
    changed: Vec<bool>,
    free: Vec<u32>,
    /// Slots changed since the changes were last taken.
    changes: Vec<u32>,
}

#[derive(Default)]
struct Pane {
    /// Key number and slot.
    lookup: HashTable<(u32, u32)>,
    slots: Vec<u32>,
}

#[derive(Default)]
struct Forever {
    lookup: Vec<u32>,
    slots: Vec<u32>,
}

const NO_SLOT: u32 = u32::MAX;

impl Forever {
    fn find(&self, key: u32) -> Option<u32> {
        self.lookup.get(key as usize).copied().filter(|slot| *slot != NO_SLOT)
    }

    fn insert(&mut self, key: u32, slot: u32) {
        if self.lookup.len() <= key as usize {
            self.lookup.resize(key as usize + 1, NO_SLOT);
        }
        self.lookup[key as usize] = slot;
        self.slots.push(slot);
    }
}

/// Spreads key numbers, which are small and dense, over the table.
fn spread(key: u32) -> u64 {
    u64::from(key).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Panes {
    /// Slots ever made; accumulators hold this many.
    pub fn capacity(&self) -> usize {
        self.keys.len()
    }

    /// Groups there are.
    pub fn len(&self) -> usize {
        self.keys.len() - self.free.len()
    }

    /// Slot of a group, and whether it is new.
    pub fn slot(&mut self, place: i64, key: u32) -> (u32, bool) {
        if place == FOREVER {
            if let Some(slot) = self.forever.find(key) {
                return (slot, false);
            }
            let slot = self.new_slot(place, key);
            self.forever.insert(key, slot);
            return (slot, true);
        }
        let pane = self.panes.entry(place).or_default();
        if let Some((_, slot)) = pane.lookup.find(spread(key), |(known, _)| *known == key) {
            return (*slot, false);
        }
        let slot = self.new_slot(place, key);
        let pane = self.panes.entry(place).or_default();
        pane.lookup.insert_unique(spread(key), (key, slot), |(key, _)| spread(*key));
        pane.slots.push(slot);
        (slot, true)
    }

    fn new_slot(&mut self, place: i64, key: u32) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.keys[slot as usize] = key;
                self.places[slot as usize] = place;
                slot
            }
            None => {
                self.keys.push(key);
                self.places.push(place);
                self.changed.push(false);
                (self.keys.len() - 1) as u32
            }
        }
    }

    /// Makes room for so many groups more.
    pub fn reserve(&mut self, groups: usize) {
        let fresh = groups.saturating_sub(self.free.len());
        self.keys.reserve(fresh);
        self.places.reserve(fresh);
        self.changed.reserve(fresh);
    }

    /// A slot that belongs to no pane, for a result put together from others; give it back with
    /// [`Panes::give_back`].
    pub fn borrow_slot(&mut self, key: u32) -> u32 {
        self.new_slot(FOREVER, key)
    }

    /// Gives borrowed slots back.
    pub fn give_back(&mut self, slots: &[u32]) {
        self.free.extend(slots);
    }

    /// Marks a slot as changed.
    pub fn touch(&mut self, slot: u32) {
        if !std::mem::replace(&mut self.changed[slot as usize], true) {
            self.changes.push(slot);
        }
    }

    /// Slots changed since this was last called.
    pub fn take_changes(&mut self) -> Vec<u32> {
        let changes = std::mem::take(&mut self.changes);
        changes.iter().for_each(|slot| self.changed[*slot as usize] = false);
        changes
    }

    /// Slots changed and not yet taken.
    pub fn changes(&self) -> &[u32] {
        &self.changes
    }

    /// Key number of a slot.
    pub fn key(&self, slot: u32) -> u32 {
        self.keys[slot as usize]
    }

    /// Pane of a slot.
    pub fn place(&self, slot: u32) -> i64 {
        self.places[slot as usize]
    }

    /// Panes that the watermark can reach and that start before `end`, earliest first.
    pub fn before(&self, end: i64) -> impl Iterator<Item = i64> + '_ {
        self.panes.range(..end).map(|(place, _)| *place)
    }

    /// Slots of one pane, in the order their groups came.
    pub fn slots(&self, place: i64) -> &[u32] {
        if place == FOREVER { &self.forever.slots } else { self.panes.get(&place).map_or(&[], |pane| &pane.slots) }
    }

    /// Every slot, by pane.
    pub fn all(&self) -> Vec<u32> {
        let others = self.panes.values().flat_map(|pane| pane.slots.iter());
        self.forever.slots.iter().chain(others).copied().collect()
    }

    /// Removes a pane that the watermark can reach; its slots are free after the caller has cleared them.
    pub fn remove(&mut self, place: i64) -> Vec<u32> {
        let Some(pane) = self.panes.remove(&place) else { return vec![] };
        if pane.slots.iter().any(|slot| self.changed[*slot as usize]) {
            let gone = |slot: &u32| self.places[*slot as usize] == place;
            self.changes.iter().filter(|slot| gone(slot)).for_each(|slot| self.changed[*slot as usize] = false);
            self.changes.retain(|slot| self.changed[*slot as usize]);
        }
        self.free.extend(&pane.slots);
        pane.slots
    }

    /// Memory held, in bytes.
    pub fn size(&self) -> usize {
        let pane = |pane: &Pane| pane.lookup.capacity() * 9 + pane.slots.capacity() * 4;
        let forever = (self.forever.lookup.capacity() + self.forever.slots.capacity()) * 4;
        self.keys.capacity() * 13 + forever + self.panes.values().map(pane).sum::<usize>()
    }
}
