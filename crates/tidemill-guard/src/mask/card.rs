//! `mask_card`: the last four digits, as on a receipt.

/// Cards have 12 to 19 digits (ISO/IEC 7812); of a shorter number nothing is kept.
const DIGITS_MIN: usize = 12;

/// `4111 1111 1111 1111` as `**** **** **** 1111`: keeps the last four digits, spaces and hyphens.
pub fn card(text: &str, masked: &mut String) {
    super::digits(text, 4, DIGITS_MIN, &['-', ' '], masked);
}
