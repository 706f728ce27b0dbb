//! The session operator: sessions by key, one accumulator a function. A row opens `[time, time + gap)`;
//! what overlaps or touches is one session, so a row may join sessions that were apart.
//!
//! A row is late by its own stretch of time, even where it would extend a session that is open; a
//! session is final when the watermark has passed its end. Complete mode drops late rows too, unlike
//! other windows (SEMANTICS section 3).

pub mod merge;
mod state;
mod store;
#[cfg(test)]
mod tests;

use super::aggregate::accumulator::{Accumulator, Scope, Selected};
use super::aggregate::keyed::CallColumns;
use super::late::LateRows;
use super::{EpochContext, Keyed, KeyedOutput, KeyedRows};
use crate::state::keys::KeyTable;
use crate::state::table::{StateShape, StateTable};
use arrow::array::{ArrayRef, AsArray, PrimitiveArray, StructArray, TimestampMicrosecondArray};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use merge::{Merged, Origin, Piece, numbers, sessions};
use std::sync::Arc;
use store::{Name, Session, Sessions};
use tidemill_core::sink::OutputMode;
use tidemill_core::{Error, Kind, Result};

/// How the operator's input and output look. The input has the key columns first (the session is not
/// among them), then the others.
#[derive(Debug, Clone)]
pub struct SessionLayout {
    /// Types of the key columns.
    pub keys: Vec<DataType>,
    /// Columns of the start and the end of what a row opens.
    pub bounds: [usize; 2],
    /// Which key of the output the session is.
    pub position: usize,
    /// True when a watermark reaches the sessions: late rows are dropped, final sessions go.
    pub evicts: bool,
    /// The functions, each with its argument columns and the column of its FILTER.
    pub calls: Vec<CallColumns>,
    /// What comes out.
    pub mode: OutputMode,
    /// True on a stream without a key beside the session, or with constants alone: there Spark fails.
    pub lacks_key: bool,
    /// Where the columns of late rows that are kept are in the input.
    pub late: Option<(usize, usize)>,
    /// The output: keys, then results.
    pub schema: SchemaRef,
}

/// One partition of the operator.
pub struct SessionAggregator {
    layout: Arc<SessionLayout>,
    keys: KeyTable,
    sessions: Sessions,
    accumulators: Vec<Box<dyn Accumulator>>,
}

/// A row of this epoch: what it opens, and where it stands.
struct Arrived {
    key: u32,
    start: i64,
    end: i64,
    input: usize,
    row: usize,
}

/// What is to be done to the accumulators, in steps: all sessions at once, each in the order of its pieces.
/// Values are merged in even steps, rows are added in odd ones.
#[derive(Default)]
struct Work {
    steps: Vec<Step>,
    /// Slots whose values have gone to others.
    emptied: Vec<u32>,
}

#[derive(Default)]
struct Step {
    /// Rows, or slots whose values go to others.
    from: Vec<u32>,
    into: Vec<u32>,
}

impl Work {
    fn add(&mut self, step: usize, from: u32, into: u32) {
        if self.steps.len() <= step {
            self.steps.resize_with(step + 1, Step::default);
        }
        self.steps[step].from.push(from);
        self.steps[step].into.push(into);
    }
}

impl SessionAggregator {
    /// An empty partition.
    ///
    /// # Errors
    /// A type that cannot be a key or cannot be kept.
    pub fn new(layout: Arc<SessionLayout>) -> Result<Self> {
        let accumulators = layout.calls.iter().map(|(function, ..)| function.accumulator()).collect::<Result<_>>()?;
        let keys = KeyTable::new(&layout.keys)?;
        Ok(SessionAggregator { layout, keys, sessions: Sessions::default(), accumulators })
    }

    /// Rows that are not late, by key and time; rows of one time in order of arrival.
    fn arrived(&mut self, inputs: &[KeyedRows], late: i64, out: &mut KeyedOutput) -> Result<Vec<Arrived>> {
        let mut arrived = Vec::with_capacity(inputs.iter().map(|input| input.select.len()).sum());
        for (number, input) in inputs.iter().enumerate() {
            let [start, end] = self.layout.bounds.map(|column| instants(input.rows.column(column)));
            let mut dropped = LateRows::new(self.layout.late);
            for &row in input.select.iter() {
                let end = end.value(row as usize);
                if self.layout.evicts && end <= late {
                    dropped.note(row, (Some(start.value(row as usize)), Some(end)), out);
                    continue;
                }
                let key = self.keys.intern(input.key(row), input.hashes[row as usize]);
                arrived.push(Arrived { key, start: start.value(row as usize), end, input: number, row: row as usize });
            }
            dropped.hand_on(&input.rows, out)?;
        }
        arrived.sort_by_key(|row| (row.key, row.start, row.end));
        Ok(arrived)
    }

    fn add(&mut self, inputs: &[KeyedRows], arrived: &[Arrived]) -> Result<()> {
        if arrived.is_empty() {
            return Ok(());
        }
        let (mut work, mut order) = (Work::default(), vec![0i64; arrived.len()]);
        for (first, of_key) in by_key(arrived) {
            let pieces = self.pieces(first, of_key);
            for merged in sessions(&pieces) {
                let pieces = &pieces[merged.pieces.clone()];
                if pieces.iter().any(|piece| matches!(piece.origin, Origin::Row(_))) {
                    let last = numbered(pieces, &mut order);
                    self.join(of_key[0].key, &merged, pieces, last, &mut work);
                }
            }
        }
        let count = self.sessions.capacity();
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.resize(count));
        let batches: Vec<&RecordBatch> = inputs.iter().map(|input| &input.rows).collect();
        let places: Vec<(usize, usize)> = arrived.iter().map(|row| (row.input, row.row)).collect();
        let rows = interleave_record_batch(&batches, &places)?;
        let order: Vec<u64> = order.into_iter().map(rising).collect();
        for (number, step) in work.steps.iter().enumerate() {
            if number % 2 == 0 {
                for accumulator in &mut self.accumulators {
                    accumulator.merge(&step.from, &step.into)?;
                }
            } else {
                self.update(&rows, step, &order)?;
            }
        }
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.clear(&work.emptied));
        self.sessions.give_back(&work.emptied);
        Ok(())
    }

    /// The rows of one key, the first being number `first`, and the kept sessions around them, in order.
    fn pieces(&self, first: usize, rows: &[Arrived]) -> Vec<Piece> {
        let (start, end) = (rows[0].start, rows.iter().map(|row| row.end).max().unwrap_or(rows[0].end));
        let kept = self.sessions.around(rows[0].key, start, end).into_iter().map(|(start, session)| Piece {
            start,
            end: session.end,
            origin: Origin::Kept { slot: session.slot, last: session.last },
        });
        let mut pieces: Vec<Piece> = kept.collect();
        pieces.extend(rows.iter().enumerate().map(|(row, arrived)| Piece {
            start: arrived.start,
            end: arrived.end,
            origin: Origin::Row((first + row) as u32),
        }));
        // where both start at once, what is kept comes first
        pieces.sort_by_key(|piece| piece.start);
        pieces
    }

    /// Notes one session of this epoch: a new one, one that goes on, or several that have become one.
    fn join(&mut self, key: u32, merged: &Merged, pieces: &[Piece], last: i64, work: &mut Work) {
        let kept: Vec<(i64, u32)> = pieces
            .iter()
            .filter_map(|piece| match piece.origin {
                Origin::Kept { slot, .. } => Some((piece.start, slot)),
                Origin::Row(_) => None,
            })
            .collect();
        let goes_on = match kept.as_slice() {
            [(start, slot)] if *start == merged.start => Some(*slot),
            _ => None,
        };
        let slot = goes_on.unwrap_or_else(|| self.sessions.new_slot());
        let mut step = 0;
        for piece in pieces {
            match piece.origin {
                Origin::Row(row) => {
                    step |= 1;
                    work.add(step, row, slot);
                }
                Origin::Kept { slot: from, .. } => {
                    step += step % 2;
                    if from != slot {
                        work.add(step, from, slot);
                    }
                }
            }
        }
        if goes_on.is_none() {
            for (start, from) in &kept {
                self.sessions.absorb((key, *start));
                work.emptied.push(*from);
            }
            self.keys.retain(key);
        }
        let scope = if goes_on.is_none() && !kept.is_empty() { Scope::Whole } else { Scope::Changes };
        self.sessions.put((key, merged.start), Session { end: merged.end, last, slot }, scope);
    }

    fn update(&mut self, rows: &RecordBatch, step: &Step, order: &[u64]) -> Result<()> {
        let all = Selected { rows: &step.from, slots: &step.into, arrival: 0, order: Some(order) };
        for ((_, columns, filter), accumulator) in self.layout.calls.iter().zip(&mut self.accumulators) {
            let arguments: Vec<ArrayRef> = columns.iter().map(|&column| rows.column(column).clone()).collect();
            match filter {
                None => accumulator.update(&arguments, all)?,
                Some(column) => {
                    let filter = rows.column(*column).as_boolean();
                    let kept = step.from.iter().zip(&step.into);
                    let (from, into): (Vec<u32>, Vec<u32>) =
                        kept.filter(|(row, _)| super::aggregate::keyed::passes(filter, **row as usize)).unzip();
                    accumulator.update(&arguments, Selected { rows: &from, slots: &into, ..all })?;
                }
            }
        }
        Ok(())
    }

    /// Rows of sessions: keys with the session in its place, then the results.
    fn rows_of(&self, all: &[(Name, Session)]) -> Result<RecordBatch> {
        let keys: Vec<u32> = all.iter().map(|((key, _), _)| *key).collect();
        let mut columns = if self.layout.keys.is_empty() { vec![] } else { self.keys.columns(&keys)? };
        columns.insert(self.layout.position, self.bounds_of(all)?);
        let slots: Vec<u32> = all.iter().map(|(_, session)| session.slot).collect();
        for accumulator in &self.accumulators {
            columns.push(accumulator.evaluate(&slots)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(all.len()));
        Ok(RecordBatch::try_new_with_options(self.layout.schema.clone(), columns, &options)?)
    }

    fn bounds_of(&self, all: &[(Name, Session)]) -> Result<ArrayRef> {
        let DataType::Struct(fields) = self.layout.schema.field(self.layout.position).data_type() else {
            return Err(Error::bug("a session is a struct"));
        };
        let column = |instants: Vec<i64>| -> ArrayRef {
            let zone = match fields[0].data_type() {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            Arc::new(TimestampMicrosecondArray::from(instants).with_timezone_opt(zone))
        };
        let starts = column(all.iter().map(|((_, start), _)| *start).collect());
        let ends = column(all.iter().map(|(_, session)| session.end).collect());
        Ok(Arc::new(StructArray::try_new(fields.clone(), vec![starts, ends], None)?))
    }

    /// Removes sessions that the watermark has passed; returns how many.
    fn remove_final(&mut self, watermark: i64) -> u64 {
        if !self.layout.evicts || self.layout.mode == OutputMode::Complete {
            return 0;
        }
        let gone = self.sessions.take_closed(watermark);
        let slots: Vec<u32> = gone.iter().map(|(_, session)| session.slot).collect();
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.clear(&slots));
        self.sessions.give_back(&slots);
        gone.iter().for_each(|((key, _), _)| self.keys.release(*key));
        gone.len() as u64
    }
}

impl Keyed for SessionAggregator {
    fn process(&mut self, context: &EpochContext, inputs: Vec<KeyedRows>) -> Result<KeyedOutput> {
        let mut out = KeyedOutput::default();
        if self.layout.lacks_key {
            return Err(Error::new(Kind::Invalid, "sessions of a stream need a key beside session_window")
                .class("STREAM_FAILED")
                .help("group by session_window(..) and a column, such as the user's id"));
        }
        let arrived = self.arrived(&inputs, context.late, &mut out)?;
        self.add(&inputs, &arrived)?;
        out.updated = self.sessions.changed() as u64;
        let shown = match self.layout.mode {
            OutputMode::Append if self.layout.evicts => self.sessions.closed(context.watermark),
            OutputMode::Complete => self.sessions.all(),
            OutputMode::Append | OutputMode::Update => vec![],
        };
        if !shown.is_empty() {
            out.rows.push(self.rows_of(&shown)?);
        }
        out.removed = self.remove_final(context.watermark);
        Ok(out)
    }

    fn state(&mut self) -> &mut dyn StateTable {
        self
    }

    fn shape(&self) -> StateShape {
        self.layout.shape()
    }
}

/// Rows of one key at a time, with the number of the first.
fn by_key(arrived: &[Arrived]) -> impl Iterator<Item = (usize, &[Arrived])> {
    let mut next = 0;
    arrived.chunk_by(|left, right| left.key == right.key).map(move |rows| {
        let first = next;
        next += rows.len();
        (first, rows)
    })
}

/// Puts the numbers of a session's rows into `order`; gives the greatest of the session.
fn numbered(pieces: &[Piece], order: &mut [i64]) -> i64 {
    let (rows, last) = numbers(pieces);
    rows.into_iter().for_each(|(row, number)| order[row as usize] = number);
    last
}

/// A number as one without a sign, in the same order.
fn rising(number: i64) -> u64 {
    number.cast_unsigned() ^ (1 << 63)
}

fn instants(column: &ArrayRef) -> &PrimitiveArray<TimestampMicrosecondType> {
    column.as_primitive()
}
