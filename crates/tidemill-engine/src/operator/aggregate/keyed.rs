//! The aggregate operator: groups by key and pane, one accumulator a function.
//!
//! Append mode keeps sliding windows as slices and puts a window together when it closes, unless the order
//! of merging matters to a function; update and complete mode keep a group a window, because they show
//! each change. When groups come out and when
//! they go is the table in SEMANTICS (section 3): a group is late or final by `end <= watermark`.

use super::accumulator::{Accumulator, AggregateFunction, Scope, Selected};
use super::panes::{FOREVER, Panes};
use crate::operator::late::LateRows;
use crate::operator::window::WindowKind;
use crate::operator::{EpochContext, Keyed, KeyedOutput, KeyedRows};
use crate::state::keys::KeyTable;
use crate::state::table::{StateShape, StateSize, StateTable, Wake};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StructArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use tidemill_core::Result;
use tidemill_core::sink::OutputMode;

/// What decides the pane of a group.
#[derive(Debug, Clone, PartialEq)]
pub enum PaneBy {
    /// Nothing: groups stay for ever.
    Nothing,
    /// The window of the row's time, which is column `time` of the input. The window is key number
    /// `position` of the output.
    Window { kind: WindowKind, time: usize, position: usize },
    /// A key that is an event time or a window of one: input column `column` has its instant, or its end. A
    /// window has its start in `start`.
    Key { column: usize, start: Option<usize> },
}

/// A function, its argument columns and the column of its FILTER.
pub type CallColumns = (Arc<dyn AggregateFunction>, Vec<usize>, Option<usize>);

/// How the operator's input and output look. The input has the key columns first (a window that the
/// operator itself assigns is not among them), then the others.
#[derive(Debug, Clone)]
pub struct AggregateLayout {
    /// Types of the key columns.
    pub keys: Vec<DataType>,
    /// What decides the pane.
    pub pane: PaneBy,
    /// True when a watermark reaches the groups: late rows are dropped, final groups go.
    pub evicts: bool,
    /// The functions, each with its argument columns and the column of its FILTER.
    pub calls: Vec<CallColumns>,
    /// What comes out.
    pub mode: OutputMode,
    /// True for an aggregate without keys, which has one row even over nothing.
    pub global: bool,
    /// Where the columns of late rows that are kept are in the input.
    pub late: Option<(usize, usize)>,
    /// The output: keys, then results.
    pub schema: SchemaRef,
}

/// One partition of the operator.
pub struct Aggregator {
    layout: Arc<AggregateLayout>,
    keys: KeyTable,
    panes: Panes,
    accumulators: Vec<Box<dyn Accumulator>>,
    /// Scratch: slot of each key number while a window is put together.
    assembled: Vec<u32>,
    owns_global: bool,
}

const NO_SLOT: u32 = u32::MAX;

/// What is late in an epoch, and where it goes.
struct Late<'a> {
    /// Windows that end here or before are over; [`FOREVER`] when none is.
    until: i64,
    dropped: &'a mut LateRows,
    out: &'a mut KeyedOutput,
}

impl Late<'_> {
    fn is_over(&self, end: i64) -> bool {
        self.until != FOREVER && end <= self.until
    }

    fn note(&mut self, row: u32, kind: WindowKind, place: i64) {
        self.dropped.note(row, (Some(kind.start(place)), Some(place + kind.reach())), self.out);
    }
}

impl Aggregator {
    /// An empty partition. `owns_global` is true for the one partition that holds a global aggregate.
    ///
    /// # Errors
    /// A type that cannot be a key or cannot be kept.
    pub fn new(layout: Arc<AggregateLayout>, owns_global: bool) -> Result<Self> {
        let accumulators = layout.calls.iter().map(|(function, ..)| function.accumulator()).collect::<Result<_>>()?;
        let keys = KeyTable::new(&layout.keys)?;
        let panes = Panes::default();
        let mut aggregator = Aggregator { layout, keys, panes, accumulators, assembled: vec![], owns_global };
        if aggregator.layout.global && owns_global {
            let key = aggregator.keys.intern(&[], 0);
            aggregator.slot(FOREVER, key);
            aggregator.resize();
        }
        Ok(aggregator)
    }

    fn slot(&mut self, place: i64, key: u32) -> u32 {
        let (slot, is_new) = self.panes.slot(place, key);
        if is_new {
            self.keys.retain(key);
        }
        slot
    }

    fn resize(&mut self) {
        let count = self.panes.capacity();
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.resize(count));
    }

    /// True when groups are kept a slice, not a window: when a window is only shown whole, and is the same
    /// put together from slices.
    fn keeps_slices(&self) -> bool {
        self.layout.mode == OutputMode::Append
            && self.layout.calls.iter().all(|(function, ..)| function.merges_freely())
    }

    fn add(&mut self, input: &KeyedRows, late: i64, out: &mut KeyedOutput) -> Result<()> {
        let (mut rows, mut slots) = (Vec::with_capacity(input.select.len()), Vec::with_capacity(input.select.len()));
        let late = if self.layout.evicts { late } else { FOREVER };
        let mut dropped = LateRows::new(self.layout.late);
        match self.layout.pane.clone() {
            PaneBy::Nothing => {
                for &row in input.select.iter() {
                    let key = self.keys.intern(input.key(row), input.hashes[row as usize]);
                    slots.push(self.slot(FOREVER, key));
                    rows.push(row);
                }
            }
            PaneBy::Key { column, start } => {
                let times = instants(input.rows.column(column));
                let starts = start.map(|start| instants(input.rows.column(start)));
                for &row in input.select.iter() {
                    let place = if times.is_valid(row as usize) { times.value(row as usize) } else { FOREVER };
                    if place != FOREVER && place <= late {
                        let window = starts.map(|starts| (starts.value(row as usize), place)).unzip();
                        dropped.note(row, window, out);
                        continue;
                    }
                    let key = self.keys.intern(input.key(row), input.hashes[row as usize]);
                    slots.push(self.slot(place, key));
                    rows.push(row);
                }
            }
            PaneBy::Window { kind, time, .. } => {
                let times = instants(input.rows.column(time));
                let mut late = Late { until: late, dropped: &mut dropped, out };
                self.add_windowed(input, kind, times, &mut late, &mut rows, &mut slots);
            }
        }
        dropped.hand_on(&input.rows, out)?;
        self.resize();
        slots.iter().for_each(|slot| self.panes.touch(*slot));
        self.update(input, &rows, &slots)
    }

    /// The slots of rows by their window or slice. Rows without a time belong to none.
    fn add_windowed(
        &mut self,
        input: &KeyedRows,
        kind: WindowKind,
        times: &TimestampMicrosecondArray,
        late: &mut Late<'_>,
        rows: &mut Vec<u32>,
        slots: &mut Vec<u32>,
    ) {
        let (slices, width, length) = (self.keeps_slices(), kind.slice_width(), kind.reach());
        let (mut slice, mut last_end) = (0i64, FOREVER);
        for &row in input.select.iter() {
            if times.is_null(row as usize) {
                continue;
            }
            let instant = times.value(row as usize);
            if last_end == FOREVER || !(slice..slice + width).contains(&instant) {
                slice = kind.slice(instant);
                last_end = kind.last_end(slice);
            }
            if last_end <= late.until {
                kind.windows(slice).for_each(|window| late.note(row, kind, window));
                continue;
            }
            let key = self.keys.intern(input.key(row), input.hashes[row as usize]);
            if slices {
                let mut open = false;
                for window in kind.windows(slice) {
                    if !late.is_over(window + length) {
                        open = true;
                        break;
                    }
                    late.note(row, kind, window);
                }
                if open {
                    slots.push(self.slot(slice, key));
                    rows.push(row);
                } else {
                    self.keys.drop_unreferenced(key);
                }
                continue;
            }
            for window in kind.windows(slice) {
                if late.is_over(window + length) {
                    late.note(row, kind, window);
                    continue;
                }
                slots.push(self.slot(window, key));
                rows.push(row);
            }
            self.keys.drop_unreferenced(key);
        }
    }

    fn update(&mut self, input: &KeyedRows, rows: &[u32], slots: &[u32]) -> Result<()> {
        for ((_, columns, filter), accumulator) in self.layout.calls.iter().zip(&mut self.accumulators) {
            let arguments: Vec<ArrayRef> = columns.iter().map(|&column| input.rows.column(column).clone()).collect();
            match filter {
                None => {
                    accumulator.update(&arguments, Selected { rows, slots, arrival: input.arrival, order: None })?
                }
                Some(column) => {
                    let passes = input.rows.column(*column).as_boolean();
                    let pass = |row: u32| passes.is_valid(row as usize) && passes.value(row as usize);
                    let kept = rows.iter().zip(slots).filter(|(row, _)| pass(**row));
                    let (rows, slots): (Vec<u32>, Vec<u32>) = kept.map(|(row, slot)| (*row, *slot)).unzip();
                    let selected = Selected { rows: &rows, slots: &slots, arrival: input.arrival, order: None };
                    accumulator.update(&arguments, selected)?;
                }
            }
        }
        Ok(())
    }

    /// Rows of groups: keys with the window in its place, then the results.
    fn rows_of(&self, slots: &[u32], window: impl Fn(u32) -> i64) -> Result<RecordBatch> {
        let keys: Vec<u32> = slots.iter().map(|&slot| self.panes.key(slot)).collect();
        let mut columns = self.keys.columns(&keys)?;
        if let PaneBy::Window { kind, position, .. } = &self.layout.pane {
            let places: Vec<i64> = slots.iter().map(|&slot| window(slot)).collect();
            columns.insert(*position, window_column(&places, *kind, self.layout.schema.field(*position).data_type())?);
        }
        for accumulator in &self.accumulators {
            columns.push(accumulator.evaluate(slots)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(slots.len()));
        Ok(RecordBatch::try_new_with_options(self.layout.schema.clone(), columns, &options)?)
    }

    /// Append mode: groups whose end the watermark has passed in this epoch.
    fn closed(&mut self, context: &EpochContext) -> Result<Vec<RecordBatch>> {
        let PaneBy::Window { kind, .. } = self.layout.pane.clone() else {
            let slots: Vec<u32> = self
                .panes
                .before(context.watermark.saturating_add(1))
                .flat_map(|place| self.panes.slots(place).to_vec())
                .collect();
            return if slots.is_empty() { Ok(vec![]) } else { Ok(vec![self.rows_of(&slots, |_| 0)?]) };
        };
        let (late, watermark, length) = (context.late, context.watermark, kind.reach());
        let closes = |window: &i64| late < window + length && window + length <= watermark;
        if !self.keeps_slices() {
            let closing: Vec<i64> = self.panes.before(watermark).filter(closes).collect();
            let of_window = |window: i64| {
                let slots = self.panes.slots(window).to_vec();
                self.rows_of(&slots, |_| window)
            };
            return closing.into_iter().map(of_window).collect();
        }
        let closing: BTreeSet<i64> =
            self.panes.before(watermark).flat_map(|slice| kind.windows(slice)).filter(closes).collect();
        let mut batches = Vec::with_capacity(closing.len());
        for window in closing {
            let start = kind.start(window);
            let slices: Vec<i64> = self.panes.before(window + length).filter(|slice| *slice >= start).collect();
            let batch = match slices.as_slice() {
                [only] => {
                    let slots = self.panes.slots(*only).to_vec();
                    self.rows_of(&slots, |_| window)?
                }
                _ => self.assemble(&slices, window)?,
            };
            batches.push(batch);
        }
        Ok(batches)
    }

    /// A window from its slices.
    fn assemble(&mut self, slices: &[i64], window: i64) -> Result<RecordBatch> {
        let (mut from, mut into, mut borrowed) = (vec![], vec![], vec![]);
        for slice in slices {
            for slot in self.panes.slots(*slice).to_vec() {
                let key = self.panes.key(slot);
                if self.assembled.len() <= key as usize {
                    self.assembled.resize(key as usize + 1, NO_SLOT);
                }
                if self.assembled[key as usize] == NO_SLOT {
                    self.assembled[key as usize] = self.panes.borrow_slot(key);
                    borrowed.push(self.assembled[key as usize]);
                }
                from.push(slot);
                into.push(self.assembled[key as usize]);
            }
        }
        self.resize();
        for accumulator in &mut self.accumulators {
            accumulator.merge(&from, &into)?;
        }
        let batch = self.rows_of(&borrowed, |_| window)?;
        for accumulator in &mut self.accumulators {
            accumulator.clear(&borrowed);
        }
        borrowed.iter().for_each(|slot| self.assembled[self.panes.key(*slot) as usize] = NO_SLOT);
        self.panes.give_back(&borrowed);
        Ok(batch)
    }

    /// Removes groups that the watermark has passed; returns how many.
    fn remove_final(&mut self, watermark: i64) -> u64 {
        if !self.layout.evicts || self.layout.mode == OutputMode::Complete {
            return 0;
        }
        let gone: Vec<i64> = match &self.layout.pane {
            PaneBy::Nothing => vec![],
            PaneBy::Key { .. } => self.panes.before(watermark.saturating_add(1)).collect(),
            PaneBy::Window { kind, .. } => {
                let slices = self.keeps_slices();
                let end = |place: i64| if slices { kind.last_end(place) } else { place + kind.reach() };
                self.panes.before(watermark).filter(|place| end(*place) <= watermark).collect()
            }
        };
        let mut removed = 0;
        for place in gone {
            let slots = self.panes.remove(place);
            self.accumulators.iter_mut().for_each(|accumulator| accumulator.clear(&slots));
            slots.iter().for_each(|slot| self.keys.release(self.panes.key(*slot)));
            removed += slots.len() as u64;
        }
        removed
    }

    fn state_rows(&mut self, slots: &[u32], scope: Scope) -> Result<RecordBatch> {
        let keys: Vec<u32> = slots.iter().map(|&slot| self.panes.key(slot)).collect();
        let places = slots.iter().map(|&slot| self.panes.place(slot));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(places))];
        columns.extend(self.keys.columns(&keys)?);
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.save(slots, scope)?);
        }
        Ok(RecordBatch::try_new(self.shape().schema, columns)?)
    }

    fn state_columns(&self) -> Vec<Range<usize>> {
        let mut next = 1 + self.layout.keys.len();
        let ranges = self.layout.calls.iter().map(|(function, ..)| {
            let range = next..next + function.state_types().len();
            next = range.end;
            range
        });
        ranges.collect()
    }
}

impl Keyed for Aggregator {
    fn process(&mut self, context: &EpochContext, inputs: Vec<KeyedRows>) -> Result<KeyedOutput> {
        let mut out = KeyedOutput::default();
        let late = if self.layout.mode == OutputMode::Complete { FOREVER } else { context.late };
        for input in &inputs {
            self.add(input, late, &mut out)?;
        }
        out.updated = self.panes.changes().len() as u64;
        out.rows = match self.layout.mode {
            OutputMode::Append if self.layout.evicts => self.closed(context)?,
            OutputMode::Append => vec![],
            OutputMode::Update | OutputMode::Complete => {
                let whole = self.layout.mode == OutputMode::Complete || self.layout.global;
                let slots = if whole { self.panes.all() } else { self.panes.changes().to_vec() };
                if slots.is_empty() { vec![] } else { vec![self.rows_of(&slots, |slot| self.panes.place(slot))?] }
            }
        };
        out.removed = self.remove_final(context.watermark);
        Ok(out)
    }

    fn state(&mut self) -> &mut dyn StateTable {
        self
    }

    fn shape(&self) -> StateShape {
        let mut fields = vec![Field::new("pane", DataType::Int64, false)];
        let keys = self.layout.keys.iter().enumerate();
        fields.extend(keys.map(|(index, of)| Field::new(format!("key{index}"), of.clone(), true)));
        for (call, (function, ..)) in self.layout.calls.iter().enumerate() {
            let types = function.state_types().into_iter().enumerate();
            fields.extend(types.map(|(index, of)| Field::new(format!("value{call}_{index}"), of, true)));
        }
        let names = if matches!(self.layout.pane, PaneBy::Window { .. }) { vec![0] } else { vec![] };
        StateShape { schema: Arc::new(Schema::new(fields)), keys: 1..1 + self.layout.keys.len(), names }
    }
}

impl StateTable for Aggregator {
    fn changes(&mut self) -> Result<Option<RecordBatch>> {
        let slots = self.panes.take_changes();
        if slots.is_empty() { Ok(None) } else { self.state_rows(&slots, Scope::Changes).map(Some) }
    }

    fn whole(&mut self) -> Result<RecordBatch> {
        let slots = self.panes.all();
        self.state_rows(&slots, Scope::Whole)
    }

    fn load(&mut self, rows: &RecordBatch, select: &[u32], scope: Scope) -> Result<()> {
        let selected = arrow::compute::take_record_batch(rows, &arrow::array::UInt32Array::from(select.to_vec()))?;
        let places = selected.column(0).as_primitive::<Int64Type>();
        let columns: Vec<ArrayRef> = selected.columns()[self.shape().keys].to_vec();
        let keys = if columns.is_empty() { None } else { Some(self.keys.rows(&columns)?) };
        let mut slots = Vec::with_capacity(select.len());
        self.panes.reserve(select.len());
        self.keys.reserve(select.len());
        for row in 0..selected.num_rows() {
            let key = match &keys {
                None => self.keys.intern(&[], 0),
                Some(keys) => {
                    let bytes = keys.row(row).data();
                    let hash = self.keys.hash(bytes);
                    self.keys.intern(bytes, hash)
                }
            };
            slots.push(self.slot(places.value(row), key));
        }
        self.resize();
        for (range, accumulator) in self.state_columns().into_iter().zip(&mut self.accumulators) {
            accumulator.load(&slots, &selected.columns()[range], scope)?;
        }
        Ok(())
    }

    fn evict(&mut self, watermark: i64) -> Result<()> {
        self.remove_final(watermark);
        Ok(())
    }

    fn size(&self) -> StateSize {
        let values: usize = self.accumulators.iter().map(|accumulator| accumulator.size()).sum();
        StateSize { rows: self.panes.len() as u64, bytes: (values + self.keys.size() + self.panes.size()) as u64 }
    }

    fn clear(&mut self) -> Result<()> {
        *self = Aggregator::new(self.layout.clone(), self.owns_global)?;
        Ok(())
    }

    fn wakes(&self, rows: &RecordBatch, watermark: i64) -> Vec<Option<Wake>> {
        let places = rows.column(0).as_primitive::<Int64Type>().values().iter();
        if !self.layout.evicts || self.layout.mode == OutputMode::Complete {
            return vec![None; rows.num_rows()];
        }
        let slices = self.keeps_slices();
        let next = |place: i64| match &self.layout.pane {
            PaneBy::Nothing => i64::MAX,
            PaneBy::Key { .. } => place,
            // a slice is needed whenever one of its windows closes
            PaneBy::Window { kind, .. } if slices => {
                let ends = kind.windows(place).map(|window| window + kind.reach());
                ends.filter(|end| *end > watermark).min().unwrap_or(kind.last_end(place))
            }
            PaneBy::Window { kind, .. } => place + kind.reach(),
        };
        places.map(|place| Wake::at_watermark(next(*place))).collect()
    }

    fn reads_all(&self) -> bool {
        self.layout.mode == OutputMode::Complete || self.layout.global
    }
}

fn instants(column: &ArrayRef) -> &TimestampMicrosecondArray {
    column.as_primitive::<TimestampMicrosecondType>()
}

/// Windows, given by their places, as a column of structs of this type.
pub fn window_column(places: &[i64], kind: WindowKind, data_type: &DataType) -> Result<ArrayRef> {
    let DataType::Struct(fields) = data_type else {
        return Err(tidemill_core::Error::bug("a window is a struct"));
    };
    let zone = match fields.first().map(|field| field.data_type()) {
        Some(DataType::Timestamp(_, zone)) => zone.clone(),
        _ => return Err(tidemill_core::Error::bug("a window has a start")),
    };
    let instants = |bound: &dyn Fn(i64) -> i64| -> ArrayRef {
        let bounds = places.iter().map(|place| bound(*place));
        Arc::new(TimestampMicrosecondArray::from_iter_values(bounds).with_timezone_opt(zone.clone()))
    };
    let (starts, ends) = (instants(&|place| kind.start(place)), instants(&|place| place + kind.reach()));
    Ok(Arc::new(StructArray::try_new(fields.clone(), vec![starts, ends], None::<arrow::buffer::NullBuffer>)?))
}

/// True where a filter column passes a row.
pub fn passes(filter: &BooleanArray, row: usize) -> bool {
    filter.is_valid(row) && filter.value(row)
}
