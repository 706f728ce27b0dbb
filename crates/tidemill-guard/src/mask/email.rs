//! `mask_email`: hides who, keeps where.

use super::STARS;
use super::text::hide;

/// `jane.doe@example.com` as `j***@example.com`; a text that is no e-mail address is hidden whole.
pub fn email(text: &str, masked: &mut String) {
    let parts = text.rsplit_once('@').filter(|(local, domain)| is_local(local) && is_domain(domain));
    match parts {
        Some((local, domain)) => {
            masked.extend(local.chars().take(1));
            masked.push_str(STARS);
            masked.push('@');
            masked.push_str(domain);
        }
        None => hide(text, 0, masked),
    }
}

fn is_local(text: &str) -> bool {
    !text.is_empty() && !text.contains(|letter: char| letter.is_whitespace() || matches!(letter, '@' | '"' | ',' | ';'))
}

fn is_domain(text: &str) -> bool {
    let mut labels = text.split('.');
    text.contains('.')
        && labels
            .all(|label| !label.is_empty() && label.chars().all(|letter| letter.is_alphanumeric() || letter == '-'))
}
