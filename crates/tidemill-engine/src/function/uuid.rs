//! `uuid()`: another one for every row, the same ones when an epoch is run again.

use super::native::Native;
use super::{CallContext, Entry};
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::DataType;
use datafusion::logical_expr::Volatility;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use tidemill_core::Result;

pub const ENTRIES: &[Entry] = &[Entry { names: &["uuid"], arguments: (0, 0), build }];

/// Made of the epoch's instant, the place of the call in the text, and how many were made in the epoch.
fn build(context: &CallContext<'_>, _: Vec<Typed>) -> Result<Typed> {
    let clock = context.session.clock.clone();
    let place = format!("{:?}", context.at);
    let parameters = place.clone();
    let made = Mutex::new((0i64, 0u64));
    let body = move |_: &[ArrayRef], rows: usize| {
        let instant = clock.load(Ordering::Relaxed);
        let first = {
            let mut made = made.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if made.0 != instant {
                *made = (instant, 0);
            }
            made.1 += rows as u64;
            made.1 - rows as u64
        };
        let values = (first..first + rows as u64).map(|number| Some(identifier(instant, number, &place)));
        Ok(Arc::new(values.collect::<StringArray>()) as ArrayRef)
    };
    let expr = Native::call_with(Volatility::Volatile, "uuid", parameters, DataType::Utf8, vec![], Arc::new(body));
    Ok(Typed::new(expr, DataType::Utf8, ""))
}

fn identifier(instant: i64, number: u64, place: &str) -> String {
    let half = |salt: u64| {
        let mut state = (instant as u64) ^ number.rotate_left(32) ^ salt;
        for byte in place.bytes() {
            state = mixed(state ^ u64::from(byte));
        }
        mixed(state.wrapping_add(number))
    };
    let bits = u128::from(half(0x9E37_79B9_7F4A_7C15)) << 64 | u128::from(half(0xD1B5_4A32_D192_ED03));
    uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
}

/// SplitMix64.
fn mixed(state: u64) -> u64 {
    let mut state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_differ_and_repeat() {
        assert_eq!(identifier(1, 2, "a"), identifier(1, 2, "a"));
        assert_ne!(identifier(1, 2, "a"), identifier(1, 3, "a"));
        assert_ne!(identifier(1, 2, "a"), identifier(1, 2, "b"));
        assert_eq!(identifier(1, 2, "a").as_bytes()[14], b'4');
    }
}
