//! `mask_phone`: enough to recognise one's own number, not enough to call it.

/// A number this short loses all its digits: two of four would be half of it.
const DIGITS_MIN: usize = 5;

/// `+49 170 1234567` as `+** *** *****67`: keeps the last two digits and the punctuation.
pub fn phone(text: &str, masked: &mut String) {
    super::digits(text, 2, DIGITS_MIN, &['+', '-', '.', '/', '(', ')', ' '], masked);
}
