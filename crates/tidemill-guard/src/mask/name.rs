//! `mask_name`: initials.

use super::STARS;

/// `Jane van Doe` as `J*** v*** D***`: the first letter of each word, whatever its length. Spaces stay.
pub fn name(text: &str, masked: &mut String) {
    let mut in_word = false;
    for letter in text.chars() {
        if letter.is_whitespace() {
            masked.push(letter);
        } else if !in_word {
            masked.push(letter);
            masked.push_str(STARS);
        }
        in_word = !letter.is_whitespace();
    }
}
