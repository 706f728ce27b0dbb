//! Bills by hand, and books that are not right.

use crate::cost::bill::{Bill, Used, short};
use crate::cost::book::PriceBook;
use std::time::Duration;
use tidemill_core::Kind;

fn used() -> Used {
    Used {
        cpu_seconds: Some(7200.0),
        peak_bytes: Some(2 << 30),
        elapsed: Duration::from_secs(3600),
        rows_in: 4_000_000,
        bytes_in: 5_000_000_000,
        bytes_out: 2_000_000_000,
    }
}

#[test]
fn a_bill_is_the_sum_of_its_lines() {
    let bill = Bill::of(&used(), &PriceBook::list().unwrap());
    let amounts: Vec<_> = bill.lines.iter().map(|line| (line.meter, line.amount)).collect();
    assert_eq!(
        amounts,
        [
            ("cpu", Some(2.0 * 0.04048)),
            ("memory", Some(2.0 * 0.004445)),
            ("ingress", None),
            ("egress", Some(2.0 * 0.02)),
            ("storage", Some(2.0 * 0.08)),
        ]
    );
    let total = 0.08096 + 0.00889 + 0.04 + 0.16;
    assert!((bill.total - total).abs() < 1e-12);
    assert!((bill.per_million_events.unwrap() - total / 4.0).abs() < 1e-12);
    assert!((bill.per_hour.unwrap() - total).abs() < 1e-12);
    assert_eq!((bill.as_of.as_deref(), bill.unpriced.as_slice()), (Some("2026-03-10"), &["ingress"][..]));
    assert_eq!(bill.lines[0].formula, "2.00 vCPU-hour x 0.04048 USD = 0.0810");
    assert_eq!(bill.lines[2].formula, "5.00 GB: unpriced");
}

#[test]
fn what_is_not_known_has_no_price() {
    let used = Used { cpu_seconds: None, rows_in: 0, elapsed: Duration::ZERO, ..used() };
    let bill = Bill::of(&used, &PriceBook::list().unwrap());
    assert_eq!(bill.lines[0].formula, "not measured on this system");
    assert_eq!((bill.lines[0].amount, bill.per_million_events, bill.per_hour), (None, None, None));
    assert_eq!(bill.unpriced, ["cpu", "ingress"]);
}

#[test]
fn a_book_that_prices_nothing_says_so() {
    let book = PriceBook { name: "none".into(), currency: "EUR".into(), prices: vec![] };
    let bill = Bill::of(&used(), &book);
    assert_eq!((bill.total, bill.as_of, bill.unpriced.len()), (0.0, None, 5));
    assert_eq!(book.age_days(0), None);
}

#[test]
fn the_age_of_the_book_is_that_of_its_oldest_price() {
    let noon = 1_773_144_000_000_000; // 2026-03-10T12:00:00Z
    let book = PriceBook::list().unwrap();
    assert_eq!(book.age_days(noon), Some(0));
    assert_eq!(book.age_days(noon + 90 * 86_400_000_000), Some(90));
}

#[test]
fn a_wrong_book_is_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("prices.json");
    let price = |rest: &str| {
        format!("{{\"name\":\"n\",\"currency\":\"EUR\",\"prices\":[{{\"region\":\"r\",\"source\":\"s\",{rest}}}]}}")
    };
    for (text, words) in [
        ("{".to_owned(), "cannot be used"),
        (price(r#""meter":"gpu","unit":"h","price":1"#), "'gpu'"),
        (price(r#""meter":"cpu","unit":"second","price":1"#), "give it for one vCPU-hour"),
        (price(r#""meter":"cpu","unit":"vCPU-hour","price":-1"#), "costs -1"),
        (price(r#""meter":"cpu","unit":"vCPU-hour","price":1,"as_of":"March""#), "2026-01-31"),
        (price(r#""meter":"cpu","unit":"vCPU-hour","price":1,"prize":2"#), "prize"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = PriceBook::read(&path).unwrap_err();
        assert!(error.kind() == Kind::Invalid && error.report().contains(words), "{}", error.report());
    }
    assert_eq!(PriceBook::read(&directory.path().join("none.json")).unwrap_err().kind(), Kind::Usage);
    std::fs::write(&path, price(r#""meter":"cpu","unit":"vCPU-hour","price":1"#)).unwrap();
    assert_eq!(PriceBook::read(&path).unwrap().price("cpu").map(|price| price.price), Some(1.0));
}

#[test]
fn numbers_are_short() {
    for (number, text) in
        [(0.0, "0"), (1234.5, "1234"), (12.34, "12.3"), (0.0810123, "0.0810"), (0.00000123, "0.00000123")]
    {
        assert_eq!(short(number), text);
    }
}
