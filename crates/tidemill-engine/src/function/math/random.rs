//! Random numbers and numbers of rows. An epoch that is run again gives the same ones: without a seed it is the
//! epoch's instant.
//! Source of the generator: Spark's `XORShiftRandom`, over java.util.Random.

use crate::function::native::Native;
use crate::function::{CallContext, Entry, constant, implicit_cast};
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{ArrayRef, Float64Array, Int64Array};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Volatility;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use tidemill_core::{Error, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["rand", "random"], arguments: (0, 1), build: |context, given| random(context, given, false) },
    Entry { names: &["randn"], arguments: (0, 1), build: |context, given| random(context, given, true) },
    Entry { names: &["monotonically_increasing_id"], arguments: (0, 0), build: increasing },
];

/// Counts within an epoch: starts again when the epoch's instant changes.
struct PerEpoch {
    clock: Arc<AtomicI64>,
    state: Mutex<(i64, i64)>,
}

impl PerEpoch {
    fn new(context: &CallContext<'_>) -> Self {
        PerEpoch { clock: context.session.clock.clone(), state: Mutex::new((i64::MIN, 0)) }
    }

    /// The epoch's instant, and the count before `more` is added.
    fn take(&self, more: i64) -> Result<(i64, i64)> {
        let instant = self.clock.load(Ordering::Relaxed);
        let mut state = self.state.lock().map_err(|_| Error::bug("a counter's lock is poisoned"))?;
        if state.0 != instant {
            *state = (instant, 0);
        }
        let before = state.1;
        state.1 += more;
        Ok((instant, before))
    }
}

fn random(context: &CallContext<'_>, mut arguments: Vec<Typed>, gaussian: bool) -> Result<Typed> {
    let name = if gaussian { "randn" } else { "rand" };
    let shown = format!("{name}({})", arguments.first().map_or("", |seed| &seed.name));
    let seed = match arguments.pop() {
        None => None,
        Some(seed) => match constant::value(&implicit_cast(seed, &DataType::Int64, context)?)? {
            Some(ScalarValue::Int64(seed)) => Some(seed.unwrap_or(0)),
            _ => return Err(context.wrong_type("a constant BIGINT as its seed", &DataType::Int64)),
        },
    };
    // two calls without a seed in one query are not the same numbers
    let place = i64::from(context.at.line as u32) << 32 | i64::from(context.at.column as u32);
    let batches = PerEpoch::new(context);
    let body = move |_: &[ArrayRef], rows: usize| {
        let (instant, batch) = batches.take(1)?;
        let mut generator = XorShift::new(seed.unwrap_or(instant ^ place).wrapping_add(batch));
        let numbers = (0..rows).map(|_| if gaussian { generator.gaussian() } else { generator.double() });
        Ok(Arc::new(Float64Array::from_iter_values(numbers)) as ArrayRef)
    };
    let parameters = format!("{seed:?} {place}");
    let expr = Native::call_with(Volatility::Volatile, name, parameters, DataType::Float64, vec![], Arc::new(body));
    Ok(Typed::new(expr, DataType::Float64, shown))
}

/// A number no other row of the epoch has, growing.
fn increasing(context: &CallContext<'_>, _: Vec<Typed>) -> Result<Typed> {
    let numbers = PerEpoch::new(context);
    let body = move |_: &[ArrayRef], rows: usize| {
        let (_, first) = numbers.take(rows as i64)?;
        Ok(Arc::new(Int64Array::from_iter_values(first..first + rows as i64)) as ArrayRef)
    };
    let name = "monotonically_increasing_id";
    let expr = Native::call_with(Volatility::Volatile, name, "", DataType::Int64, vec![], Arc::new(body));
    Ok(Typed::new(expr, DataType::Int64, ""))
}

/// Spark's generator.
struct XorShift {
    seed: i64,
    next_gaussian: Option<f64>,
}

impl XorShift {
    fn new(seed: i64) -> Self {
        let bytes = seed.to_be_bytes();
        let low = murmur3(&bytes, 0x3c07_4a61);
        let high = murmur3(&bytes, low);
        XorShift { seed: (i64::from(high as i32) << 32) | i64::from(low), next_gaussian: None }
    }

    fn next(&mut self, bits: u32) -> i32 {
        let mut next = self.seed ^ (self.seed << 21);
        next ^= ((next as u64) >> 35) as i64;
        next ^= next << 4;
        self.seed = next;
        (next & ((1i64 << bits) - 1)) as i32
    }

    fn double(&mut self) -> f64 {
        let high = i64::from(self.next(26)) << 27;
        (high + i64::from(self.next(27))) as f64 / (1u64 << 53) as f64
    }

    fn gaussian(&mut self) -> f64 {
        if let Some(kept) = self.next_gaussian.take() {
            return kept;
        }
        loop {
            let one = 2.0 * self.double() - 1.0;
            let other = 2.0 * self.double() - 1.0;
            let square = one * one + other * other;
            if square < 1.0 && square != 0.0 {
                let scale = (-2.0 * square.ln() / square).sqrt();
                self.next_gaussian = Some(other * scale);
                return one * scale;
            }
        }
    }
}

/// MurmurHash3 of whole words, as Scala's `MurmurHash3.bytesHash`.
fn murmur3(bytes: &[u8], seed: u32) -> u32 {
    let mut hash = seed;
    for word in bytes.chunks_exact(4) {
        let mut key = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        key = key.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        hash = (hash ^ key).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    hash ^= bytes.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_spark() {
        let mut generator = XorShift::new(42);
        assert_eq!(generator.double(), 0.619189370225301);
        assert_eq!(generator.double(), 0.5096018842446481);
        assert_eq!(XorShift::new(42).gaussian(), 2.384479054241165);
    }
}
