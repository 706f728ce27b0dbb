//! Every mask as a table of what goes in and what comes out.

use super::*;

type Mask = fn(&str, &mut String);

fn check(mask: Mask, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let mut masked = String::new();
        mask(text, &mut masked);
        assert_eq!(masked, *expected, "of {text:?}");
    }
}

#[test]
fn an_email_keeps_its_first_letter_and_domain() {
    check(
        email,
        &[
            ("jane.doe@example.com", "j***@example.com"),
            ("j@example.com", "j***@example.com"),
            ("jörg+news@exämple.de", "j***@exämple.de"),
            ("Ünal@mail.co.uk", "Ü***@mail.co.uk"),
            ("", ""),
            ("jane", "****"),
            ("@example.com", "************"),
            ("jane@", "*****"),
            ("jane@localhost", "**************"),
            ("jane@example..com", "*****************"),
            ("a@b@example.com", "***************"),
            ("two words@example.com", "*********************"),
            ("jane@example.com, joe@example.com", "*********************************"),
            (" jane@example.com", "*****************"),
            ("日本語", "***"),
        ],
    );
}

#[test]
fn a_phone_keeps_two_digits_and_its_punctuation() {
    check(
        phone,
        &[
            ("+49 170 1234567", "+** *** *****67"),
            ("(212) 555-0123", "(***) ***-**23"),
            ("0170/1234567", "****/*****67"),
            ("112", "***"),
            ("1234", "****"),
            ("", ""),
            ("call 5550123 now", "**** *****23 ***"),
            ("٠١٢٣٤٥٦٧", "******٦٧"),
            ("📞 5550123", "* *****23"),
        ],
    );
}

#[test]
fn a_card_keeps_four_digits() {
    check(
        card,
        &[
            ("4111 1111 1111 1111", "**** **** **** 1111"),
            ("4111-1111-1111-1111", "****-****-****-1111"),
            ("378282246310005", "***********0005"),
            ("4111x1111x1111x1111", "***************1111"),
            ("12345", "*****"),
            ("", ""),
        ],
    );
}

#[test]
fn a_name_keeps_its_initials() {
    check(
        name,
        &[
            ("Jane van Doe", "J*** v*** D***"),
            ("O'Brien-Smith", "O***"),
            ("X", "X***"),
            (" Éva  Ó ", " É***  Ó*** "),
            ("王小明", "王***"),
            ("", ""),
        ],
    );
}

#[test]
fn a_text_keeps_what_it_is_told_to() {
    for (text, keep, expected) in [
        ("secret", 0, "******"),
        ("secret", 2, "****et"),
        ("secret", 6, "******"),
        ("secret", 99, "******"),
        ("größe", 1, "****e"),
        ("", 3, ""),
    ] {
        let mut masked = String::new();
        hide(text, keep, &mut masked);
        assert_eq!(masked, expected, "of {text:?}, keeping {keep}");
    }
}

#[test]
fn a_very_long_text_is_masked_whole() {
    let long = "a".repeat(3 << 20);
    for mask in [email as Mask, phone, card] {
        let mut masked = String::new();
        mask(&long, &mut masked);
        assert_eq!(masked.len(), long.len());
        assert!(masked.bytes().all(|byte| byte == b'*'));
    }
}
