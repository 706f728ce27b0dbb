//! Numbers as text: the grammar of JSON taken apart in one pass, and doubles printed as Java does.

use std::io::Write as _;

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Whole numbers up to here are exact in a double.
const EXACT_MAX: u64 = 1 << 53;

/// Digits that surely fit `u64`.
const DIGITS_MAX: usize = 19;

/// A number taken apart: its value is `mantissa` times ten to the `exponent`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number<'a> {
    /// The text it was read from.
    pub text: &'a [u8],
    negative: bool,
    mantissa: u64,
    exponent: i32,
    /// Written without a point and without an exponent.
    whole: bool,
    /// `mantissa` holds every digit.
    complete: bool,
}

impl<'a> Number<'a> {
    /// Reads the number that `bytes` begin with, by the grammar of JSON; its end is where `text` ends.
    #[inline]
    pub fn scan(bytes: &'a [u8]) -> Option<Number<'a>> {
        let negative = bytes.first() == Some(&b'-');
        let start = usize::from(negative);
        let (mut mantissa, mut at) = digits(bytes, start, 0);
        let integer_digits = at - start;
        if integer_digits == 0 || (integer_digits > 1 && bytes[start] == b'0') {
            return None;
        }
        let mut count = integer_digits;
        let (mut exponent, mut whole) = (0i32, true);
        if bytes.get(at) == Some(&b'.') {
            let (both, end) = digits(bytes, at + 1, mantissa);
            let fraction_digits = end - at - 1;
            if fraction_digits == 0 {
                return None;
            }
            (mantissa, at, whole) = (both, end, false);
            count += fraction_digits;
            exponent = -(fraction_digits.min(i32::MAX as usize) as i32);
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            let (power, end) = power_of_ten(bytes, at + 1)?;
            exponent = exponent.saturating_add(power);
            (at, whole) = (end, false);
        }
        Some(Number { text: &bytes[..at], negative, mantissa, exponent, whole, complete: count <= DIGITS_MAX })
    }

    /// As a 64-bit integer; `None` with a point, an exponent, or out of range.
    #[inline]
    pub fn integer(&self) -> Option<i64> {
        if !self.whole || !self.complete {
            return None;
        }
        if self.negative { 0i64.checked_sub_unsigned(self.mantissa) } else { i64::try_from(self.mantissa).ok() }
    }

    /// As a double, correctly rounded.
    #[inline]
    pub fn double(&self) -> f64 {
        // Both operands are exact, so the one operation rounds correctly (Clinger, 1990).
        if self.complete && self.mantissa <= EXACT_MAX && self.exponent.unsigned_abs() < POWERS.len() as u32 {
            let power = POWERS[self.exponent.unsigned_abs() as usize];
            let value = if self.exponent < 0 { self.mantissa as f64 / power } else { self.mantissa as f64 * power };
            return if self.negative { -value } else { value };
        }
        lexical_core::parse(self.text).unwrap_or(f64::NAN)
    }

    /// As a float, correctly rounded.
    pub fn float(&self) -> f32 {
        lexical_core::parse(self.text).unwrap_or(f32::NAN)
    }
}

/// Adds the digits from `at` on to `value` (which wraps beyond [`DIGITS_MAX`]); gives the end too.
#[inline]
fn digits(bytes: &[u8], mut at: usize, mut value: u64) -> (u64, usize) {
    while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0'))
        && digit < 10
    {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (value, at)
}

/// The signed exponent at `at` (it saturates) and its end.
pub(crate) fn power_of_ten(bytes: &[u8], mut at: usize) -> Option<(i32, usize)> {
    let negative = bytes.get(at) == Some(&b'-');
    at += usize::from(matches!(bytes.get(at), Some(b'-' | b'+')));
    let start = at;
    let mut value = 0i32;
    while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
        value = value.saturating_mul(10).saturating_add(i32::from(digit - b'0'));
        at += 1;
    }
    (at > start).then_some((if negative { -value } else { value }, at))
}

/// The values that are not numbers, as Spark's sources write them.
pub(crate) fn not_a_number(text: &[u8]) -> Option<f64> {
    match text {
        b"NaN" => Some(f64::NAN),
        b"Infinity" | b"+Infinity" | b"INF" | b"+INF" => Some(f64::INFINITY),
        b"-Infinity" | b"-INF" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// Prints a double as Java does: plain from 1.0E-3 up to 1.0E7, else with an exponent.
pub(crate) fn write_double(value: f64, out: &mut Vec<u8>) {
    let size = value.abs();
    write_java(size == 0.0 || (1e-3..1e7).contains(&size), &value, value.is_finite(), out);
}

/// Prints a float as Java does; it has fewer digits than the same value as a double.
pub(crate) fn write_float(value: f32, out: &mut Vec<u8>) {
    let size = value.abs();
    write_java(size == 0.0 || (1e-3..1e7).contains(&size), &value, value.is_finite(), out);
}

fn write_java<F>(plain: bool, value: &F, finite: bool, out: &mut Vec<u8>)
where
    F: std::fmt::Debug + std::fmt::LowerExp + PartialOrd + Default,
{
    // Writing to a vector cannot fail.
    if !finite {
        let text = if *value > F::default() {
            "Infinity"
        } else if *value < F::default() {
            "-Infinity"
        } else {
            "NaN"
        };
        out.extend_from_slice(text.as_bytes());
    } else if plain {
        let _ = write!(out, "{value:?}");
    } else {
        let start = out.len();
        let _ = write!(out, "{value:e}");
        let exponent = out[start..].iter().position(|byte| *byte == b'e').map_or(out.len(), |at| start + at);
        let has_point = out[start..exponent].contains(&b'.');
        out[exponent] = b'E';
        if !has_point {
            out.splice(exponent..exponent, *b".0");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_follow_the_grammar_of_json() {
        for (text, end) in [("0", 1), ("-0", 2), ("12,", 2), ("1.5e+3}", 6), ("1E5", 3), ("10]", 2)] {
            assert_eq!(Number::scan(text.as_bytes()).map(|number| number.text.len()), Some(end), "{text}");
        }
        for text in ["", "-", "01", "-01", "1.", ".5", "1.e5", "1e", "1e+", "+1", "a"] {
            assert!(Number::scan(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn integers_stop_at_64_bits() {
        let integer = |text: &str| Number::scan(text.as_bytes()).and_then(|number| number.integer());
        assert_eq!(integer("9223372036854775807"), Some(i64::MAX));
        assert_eq!(integer("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer("-0"), Some(0));
        for text in ["9223372036854775808", "-9223372036854775809", "100000000000000000000", "5.0", "1e2"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn doubles_print_as_java_prints_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.001, "0.001"),
            (1e-4, "1.0E-4"),
            (12_345_678.0, "1.2345678E7"),
            (9_999_999.5, "9999999.5"),
            (1e21, "1.0E21"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let mut out = Vec::new();
            write_double(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
        let mut out = Vec::new();
        write_float(0.1, &mut out);
        assert_eq!(out, b"0.1");
    }

    proptest! {
        #[test]
        fn every_double_reads_back(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let mut out = Vec::new();
            write_double(value, &mut out);
            let back = Number::scan(&out).unwrap();
            prop_assert_eq!(back.text.len(), out.len());
            prop_assert_eq!(back.double().to_bits(), bits);
        }

        #[test]
        fn short_numbers_round_as_the_standard_library_does(text in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,10})?(e[+-]?[0-9]{1,3})?") {
            let ours = Number::scan(text.as_bytes()).unwrap();
            prop_assert_eq!(ours.double().to_bits(), text.parse::<f64>().unwrap().to_bits());
            prop_assert_eq!(ours.float().to_bits(), text.parse::<f32>().unwrap().to_bits());
        }
    }
}
