//! Decimals as text. A decimal is its unscaled value: 12.34 of `decimal(6,2)` is 1234.

use super::number::power_of_ten;
use std::io::Write as _;

/// Most digits a decimal has.
const PRECISION_MAX: usize = 38;

/// Reads `text` (sign, digits, point, exponent; digits on one side of the point are enough) and rounds
/// half up to `scale`. `None` when it is no number or has more than `precision` digits.
pub(crate) fn parse(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let (mantissa_end, point) = mantissa_span(text, start)?;
    let exponent = match text.get(mantissa_end) {
        None => 0,
        Some(b'e' | b'E') => match power_of_ten(text, mantissa_end + 1)? {
            (power, end) if end == text.len() => power,
            _ => return None,
        },
        Some(_) => return None,
    };
    let digits = text[start..mantissa_end].iter().filter(|byte| **byte != b'.').map(|byte| byte - b'0');
    let before_point = i64::from(exponent) + (point - start) as i64;
    let unscaled = round(digits, before_point + i64::from(scale))?;
    let fits = unscaled < 10i128.checked_pow(u32::from(precision))?;
    fits.then_some(if negative { -unscaled } else { unscaled })
}

/// End of the digits and point that begin at `start`, and where the point is or would be.
fn mantissa_span(text: &[u8], start: usize) -> Option<(usize, usize)> {
    let (mut at, mut point) = (start, None);
    while let Some(byte) = text.get(at) {
        match byte {
            b'0'..=b'9' => {}
            b'.' if point.is_none() => point = Some(at),
            _ => break,
        }
        at += 1;
    }
    let digits = at - start - usize::from(point.is_some());
    (digits > 0).then_some((at, point.unwrap_or(at)))
}

/// The number made of the first `keep` of `digits` (filled up with zeros), rounded half up by the
/// digit after them. `None` beyond what a decimal can hold.
fn round(digits: impl Iterator<Item = u8>, keep: i64) -> Option<i128> {
    let mut value: i128 = 0;
    let mut seen: i64 = 0;
    for digit in digits {
        if seen >= keep {
            let up = seen == keep && digit >= 5;
            return value.checked_add(i128::from(up));
        }
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
        seen += 1;
    }
    if value == 0 || keep <= seen {
        return Some(value);
    }
    let zeros = keep - seen;
    if zeros > PRECISION_MAX as i64 {
        return None;
    }
    value.checked_mul(10i128.pow(zeros as u32))
}

/// Prints an unscaled value with its point: 1234 of scale 2 is `12.34`.
pub(crate) fn write(value: i128, scale: i8, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let scale = scale.max(0) as usize;
    if value < 0 {
        out.push(b'-');
    }
    let size = value.unsigned_abs();
    if scale == 0 {
        let _ = write!(out, "{size}");
        return;
    }
    let power = 10u128.pow(scale as u32);
    let _ = write!(out, "{}.{:0scale$}", size / power, size % power);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_round_half_up_and_stop_at_their_precision() {
        for (text, precision, scale, expected) in [
            ("12.345", 6, 2, Some(1235)),
            ("-12.345", 6, 2, Some(-1235)),
            ("12.3449999", 6, 2, Some(1234)),
            ("9.1", 6, 2, Some(910)),
            ("9999.995", 6, 2, None),
            ("9999.994", 6, 2, Some(999_999)),
            ("0.004", 6, 2, Some(0)),
            ("0.005", 6, 2, Some(1)),
            ("0.0005", 6, 2, Some(0)),
            ("1e3", 6, 2, Some(100_000)),
            ("1e4", 6, 2, None),
            ("1e-400", 6, 2, Some(0)),
            ("0e999999999999", 6, 2, Some(0)),
            ("1e999999999999", 6, 2, None),
            ("+.5", 6, 2, Some(50)),
            ("5.", 6, 2, Some(500)),
            ("5", 1, 0, Some(5)),
            ("99999999999999999999999999999999999999", 38, 0, Some(10i128.pow(38) - 1)),
            ("0.10000000000000000000000000000000000000000000000001", 3, 1, Some(1)),
            ("000000000000000000000000000000000000000000000000000007", 3, 0, Some(7)),
        ] {
            assert_eq!(parse(text.as_bytes(), precision, scale), expected, "{text}");
        }
        for text in ["", "-", ".", "1e", "1.2.3", "1 ", "abc", "1e5x", "NaN"] {
            assert_eq!(parse(text.as_bytes(), 38, 2), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_decimal_reads_back(value in -(10i128.pow(38) - 1)..10i128.pow(38), scale in 0i8..=38) {
            let mut out = Vec::new();
            write(value, scale, &mut out);
            prop_assert_eq!(parse(&out, 38, scale), Some(value));
        }
    }
}
