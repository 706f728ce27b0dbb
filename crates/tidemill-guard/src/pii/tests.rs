//! What is found and what is not, as tables; the functions as SQL calls them.

use crate::register;
use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use std::sync::Arc;
use tidemill_core::Registry;

fn call(function: &str, texts: &[Option<&str>]) -> Vec<Option<String>> {
    let mut registry = Registry::default();
    register(&mut registry);
    let function = registry.functions().iter().find(|known| known.signature().name == function).unwrap();
    let texts: ArrayRef = Arc::new(texts.iter().copied().collect::<StringArray>());
    let result = function.call(std::slice::from_ref(&texts), texts.len()).unwrap();
    result.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

fn redact(text: &str) -> String {
    call("redact", &[Some(text)])[0].clone().unwrap()
}

#[test]
fn personal_data_is_replaced_by_its_kind() {
    for (text, expected) in [
        ("write to jane.doe+x@mail.example.co.uk.", "write to <EMAIL>."),
        ("<jörg@exämple.de>, 王@例え.jp", "<<EMAIL>>, <EMAIL>"),
        ("call +49 170 1234567 or (212) 555-0123!", "call <PHONE> or <PHONE>!"),
        ("+1 (212) 555-0123 +44 (0)20 7946 0958", "<PHONE> <PHONE>"),
        ("tel:0170/1234567; 01 23 45 67 89; 2125550123", "tel:<PHONE>; <PHONE>; <PHONE>"),
        ("(0170 1234567)", "(<PHONE>)"),
        ("paid with 4111 1111 1111 1111 today", "paid with <CARD> today"),
        ("order 77 5500-0000-0000-0004 12", "order 77 <CARD> 12"),
        ("378282246310005,6011111111111117", "<CARD>,<CARD>"),
        ("IBAN DE89 3704 0044 0532 0130 00 THANKS", "IBAN <IBAN> THANKS"),
        ("gb29nwbk60161331926819", "<IBAN>"),
        ("from 192.168.1.17:8080, 10.0.0.1", "from <IP>:8080, <IP>"),
        ("ssn 123-45-6789 / 123 45 6789", "ssn <SSN> / <SSN>"),
        ("a@b.de 123-45-6789 a@b.de", "<EMAIL> <SSN> <EMAIL>"),
        ("", ""),
    ] {
        assert_eq!(redact(text), expected, "of {text:?}");
    }
}

#[test]
fn look_alikes_stay() {
    for text in [
        "no data here, größe 10",
        "jane@localhost and @handle",
        "4111 1111 1111 1112",
        "41111111111111111111111111",
        "0.4111111111111111",
        "DE89 3704 0044 0532 0130 01",
        "XX89 3704 0044 0532 0130 00",
        "256.1.1.1 1.2.3.4.5 01.2.3.4",
        "000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000 123-45 6789",
        "at 2026-08-30 10:15:30.123456 and 01.02.2026 12:30",
        "1700000000 1700000000000 order 12345678",
        "3.14159265358979 -0.5 1,234,567.89",
        "a1b2c3d4e5f60718293a4b5c6d7e8f90",
    ] {
        assert_eq!(redact(text), text);
    }
}

#[test]
fn kinds_are_named_once_and_null_stays_null() {
    let kinds = call("detect_pii", &[Some("a@b.de b@c.de +49 170 1234567"), Some("nothing"), None, Some("")]);
    assert_eq!(kinds, [Some("EMAIL,PHONE".into()), Some(String::new()), None, Some(String::new())]);
    assert_eq!(call("redact", &[None]), [None]);
}

#[test]
fn very_long_texts_take_linear_time() {
    for piece in ["a", "@", "1", "1 ", "1-", "a@", "a@b.", "DE89 ", "0 ", "+1", "1.", "(0"] {
        let long = piece.repeat((1 << 17) / piece.len());
        assert!(redact(&long).len() <= 2 * long.len());
    }
    let padded = format!("{} jane@example.com", "x ".repeat(1 << 19));
    assert!(redact(&padded).ends_with("x  <EMAIL>"));
}

#[test]
fn every_function_describes_itself_and_keeps_null() {
    let mut registry = Registry::default();
    register(&mut registry);
    let names: Vec<&str> = registry.functions().iter().map(|function| &*function.signature().name).collect();
    assert_eq!(
        names,
        ["mask_email", "mask_phone", "mask_card", "mask_name", "mask_text", "hash_pii", "redact", "detect_pii"]
    );
    for function in registry.functions() {
        let arguments = &function.signature().arguments;
        let nulls: Vec<ArrayRef> = arguments.iter().map(|of| arrow::array::new_null_array(of, 2)).collect();
        let result = function.call(&nulls, 2).unwrap();
        assert_eq!((result.len(), result.null_count()), (2, 2), "{}", function.signature().name);
        assert!(!function.signature().help.is_empty());
    }
}
