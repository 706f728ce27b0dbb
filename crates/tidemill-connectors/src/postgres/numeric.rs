//! Decimals in Postgres's binary form: digits of base 10000 around the point.
//! Source: PostgreSQL 15, src/backend/utils/adt/numeric.c, `numeric_recv`.

const DIGIT: usize = 4;
const NEGATIVE: u16 = 0x4000;

/// Appends `value` / 10^`scale`.
pub(super) fn write(value: i128, scale: u16, out: &mut Vec<u8>) {
    let after = usize::from(scale);
    let mut text = format!("{:0width$}", value.unsigned_abs(), width = after + 1);
    let before = text.len() - after;
    // whole digits of base 10000 on both sides of the point
    let front = before.next_multiple_of(DIGIT) - before;
    text.insert_str(0, &"0000"[..front]);
    let back = after.next_multiple_of(DIGIT) - after;
    text.push_str(&"0000"[..back]);
    let digits: Vec<u16> = text.as_bytes().chunks(DIGIT).map(digit).collect();

    let whole = (before + front) / DIGIT;
    let first = digits.iter().position(|digit| *digit != 0).unwrap_or(digits.len());
    let end = digits.iter().rposition(|digit| *digit != 0).map_or(first, |last| last + 1);
    // both counts are below 20
    let weight = if first == digits.len() { 0 } else { whole as i16 - first as i16 - 1 };
    let sign = if value < 0 { NEGATIVE } else { 0 };
    out.extend(((end - first) as u16).to_be_bytes());
    out.extend(weight.to_be_bytes());
    out.extend(sign.to_be_bytes());
    out.extend(scale.to_be_bytes());
    for digit in &digits[first..end] {
        out.extend(digit.to_be_bytes());
    }
}

fn digit(decimals: &[u8]) -> u16 {
    decimals.iter().fold(0, |value, decimal| value * 10 + u16::from(decimal - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(value: i128, scale: u16) -> Vec<i16> {
        let mut out = Vec::new();
        write(value, scale, &mut out);
        out.chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn digits_stand_around_the_point() {
        // digits, weight, sign, scale, then the digits
        assert_eq!(words(0, 2), [0, 0, 0, 2]);
        assert_eq!(words(12_345, 0), [2, 1, 0, 0, 1, 2345]);
        assert_eq!(words(-1, 2), [1, -1, 0x4000, 2, 100]);
        assert_eq!(words(1_234_567, 2), [3, 1, 0, 2, 1, 2345, 6700]);
        assert_eq!(words(20_000, 0), [1, 1, 0, 0, 2]);
        assert_eq!(words(5, 9), [1, -3, 0, 9, 5000]);
        assert_eq!(words(i128::MAX, 0).len(), 14);
    }
}
