//! Masks for values whose meaning is known: one file a kind. What a mask does not understand it hides
//! whole.
//!
//! Must not contain: detection in free text (that is `pii`).

mod card;
mod email;
mod name;
mod phone;
#[cfg(test)]
mod tests;
mod text;

pub use card::card;
pub use email::email;
pub use name::name;
pub use phone::phone;
pub use text::{MaskText, hide};

/// What stands for hidden letters. Three of them stand for any number where the length would tell too much.
const STAR: char = '*';
const STARS: &str = "***";

/// Hides every digit but the last `keep`, and every other character that is not one of `separators`.
/// Keeps no digit of a text with fewer than `least` digits.
fn digits(text: &str, keep: usize, least: usize, separators: &[char], masked: &mut String) {
    let count = text.chars().filter(|letter| letter.is_numeric()).count();
    let keep = if count < least { 0 } else { keep };
    let mut seen = 0;
    for letter in text.chars() {
        seen += usize::from(letter.is_numeric());
        let is_kept = (letter.is_numeric() && seen + keep > count) || separators.contains(&letter);
        masked.push(if is_kept { letter } else { STAR });
    }
}
