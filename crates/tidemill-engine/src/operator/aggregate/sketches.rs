//! Sketches by slot: small summaries of many values whose result depends on the order in which parts
//! are put together. As in Spark, the rows of an epoch make a sketch of their own, which is then merged
//! into what the slot has.

use super::accumulator::Selected;
use std::borrow::Cow;
use std::collections::HashMap;

/// A summary of values.
pub trait Sketch: Clone + Send {
    /// What is added to it.
    type Value<'a>;
    /// Adds a value.
    fn add(&mut self, value: Self::Value<'_>);
    /// Ends a run of additions; the sketch can be merged and read.
    fn finish(&mut self);
    /// Adds another sketch; both are finished.
    fn merge(&mut self, other: &Self);
    /// Memory held beyond the value itself, in bytes.
    fn size(&self) -> usize;
}

/// Sketches by slot.
pub struct Sketches<S> {
    empty: S,
    slots: Vec<Option<S>>,
    /// What the rows of the running epoch add.
    fresh: HashMap<u32, S>,
    epoch: u64,
}

impl<S: Sketch> Sketches<S> {
    /// No values yet.
    pub fn new(empty: S) -> Self {
        Sketches { empty, slots: vec![], fresh: HashMap::new(), epoch: 0 }
    }

    /// Makes slots `0..count` exist.
    pub fn resize(&mut self, count: usize) {
        self.slots.resize(count, None);
    }

    /// Adds values; those that are `None` are passed over.
    pub fn add<'a>(&mut self, selected: Selected<'_>, value: impl Fn(usize) -> Option<S::Value<'a>>) {
        // arrival numbers count within an epoch in their lower half
        let epoch = selected.arrival >> 32;
        if epoch != self.epoch {
            self.settle();
            self.epoch = epoch;
        }
        for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
            let Some(value) = value(row as usize) else { continue };
            match selected.order {
                None => self.fresh.entry(slot).or_insert_with(|| self.empty.clone()).add(value),
                // in a session every row is a session of its own first
                Some(_) => {
                    let mut own = self.empty.clone();
                    own.add(value);
                    self.put(slot, own);
                }
            }
        }
    }

    /// Merges what the epoch has added.
    fn settle(&mut self) {
        for (slot, fresh) in std::mem::take(&mut self.fresh) {
            self.put(slot, fresh);
        }
    }

    fn put(&mut self, slot: u32, mut fresh: S) {
        fresh.finish();
        match &mut self.slots[slot as usize] {
            Some(kept) => kept.merge(&fresh),
            none => *none = Some(fresh),
        }
    }

    /// The sketch of a slot, if it has one.
    pub fn sketch(&self, slot: u32) -> Option<Cow<'_, S>> {
        let kept = self.slots[slot as usize].as_ref();
        let Some(fresh) = self.fresh.get(&slot) else { return kept.map(Cow::Borrowed) };
        let mut fresh = fresh.clone();
        fresh.finish();
        Some(Cow::Owned(match kept {
            Some(kept) => {
                let mut kept = kept.clone();
                kept.merge(&fresh);
                kept
            }
            None => fresh,
        }))
    }

    /// Merges the sketch of slot `from[i]` into that of slot `into[i]`.
    pub fn merge(&mut self, from: &[u32], into: &[u32]) {
        self.settle();
        for (&from, &into) in from.iter().zip(into) {
            let Some(source) = self.slots[from as usize].take() else { continue };
            match &mut self.slots[into as usize] {
                Some(kept) => kept.merge(&source),
                none => *none = Some(source.clone()),
            }
            self.slots[from as usize] = Some(source);
        }
    }

    /// Makes slots empty.
    pub fn clear(&mut self, slots: &[u32]) {
        for slot in slots {
            self.slots[*slot as usize] = None;
            self.fresh.remove(slot);
        }
    }

    /// The sketches of some slots, to be saved.
    pub fn settled(&mut self, slots: &[u32]) -> Vec<Option<&S>> {
        self.settle();
        slots.iter().map(|slot| self.slots[*slot as usize].as_ref()).collect()
    }

    /// Puts a saved sketch back.
    pub fn load(&mut self, slot: u32, sketch: Option<S>) {
        self.fresh.remove(&slot);
        self.slots[slot as usize] = sketch;
    }

    /// Memory held, in bytes.
    pub fn size(&self) -> usize {
        let held = |sketch: &S| size_of::<S>() + sketch.size();
        self.slots.capacity() * size_of::<Option<S>>()
            + self.slots.iter().flatten().map(S::size).sum::<usize>()
            + self.fresh.values().map(held).sum::<usize>()
    }
}
