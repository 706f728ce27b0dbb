//! Text columns: what a column of a certain name says. What is a user's own (name, e-mail, city) is the
//! same in every row of that user.

use super::random::{Random, mix};
use super::rows::Row;
use super::words::{
    BROWSERS, CATEGORIES, CHANNELS, COLORS, COMPANIES, CURRENCIES, DEVICES, EVENT_TYPES, FIRST_NAMES, LANGUAGES,
    LAST_NAMES, NOUNS, PAGES, PLACES, PRODUCTS, STATUSES, STREETS, SYSTEMS,
};
use std::fmt::Write as _;

/// Appends the text of one row.
pub(super) type Make = fn(&Row, &mut Random, &mut String);

/// Endings of column names, word by word, and what such columns say. The first that fits counts.
const MAKERS: &[(&[&str], Make)] = &[
    (&["user_id", "customer_id", "account_id", "member_id", "client_id", "person_id", "user"], user_id),
    (&["session_id", "session"], session_id),
    (&["event_type", "event_name", "action", "activity", "event"], event_type),
    (&["id", "uuid", "guid", "key"], unique_id),
    (&["email", "mail", "email_address"], email),
    (&["phone", "mobile", "phone_number", "telephone"], phone),
    (&["first_name", "given_name"], |row, _, out| out.push_str(own(row, 1).one_of(FIRST_NAMES))),
    (&["last_name", "surname", "family_name"], |row, _, out| out.push_str(own(row, 2).one_of(LAST_NAMES))),
    (&["username", "user_name", "login", "nickname", "handle"], username),
    (&["product", "product_name", "item", "item_name"], |_, random, out| out.push_str(random.one_of(PRODUCTS))),
    (&["company", "company_name", "organization", "merchant", "vendor"], |_, random, out| {
        out.push_str(random.one_of(COMPANIES));
    }),
    (&["name", "full_name", "customer"], full_name),
    (&["country", "country_code"], |row, _, out| out.push_str(place(row).0)),
    (&["city", "town", "location"], |row, _, out| out.push_str(place(row).1)),
    (&["address", "street"], address),
    (&["zip", "zip_code", "postcode", "postal_code"], |row, _, out| number(out, own(row, 5).between(10_000, 99_999))),
    (&["ssn", "social_security_number"], social_security_number),
    (&["card_number", "credit_card", "card"], card_number),
    (&["currency", "currency_code"], |_, random, out| out.push_str(random.one_of(CURRENCIES))),
    (&["category", "type", "kind", "segment"], |_, random, out| out.push_str(random.one_of(CATEGORIES))),
    (&["status", "state"], |_, random, out| out.push_str(random.one_of(STATUSES))),
    (&["url", "link", "uri", "referrer", "referer"], url),
    (&["page", "path", "screen"], |_, random, out| {
        let _ = write!(out, "/{}", random.one_of(PAGES));
    }),
    (&["ip", "ip_address", "host_ip"], |row, _, out| {
        let bits = mix(row.user ^ 0x19);
        let _ = write!(out, "198.51.{}.{}", 100 + bits % 4, bits >> 8 & 0xFF);
    }),
    (&["device", "device_type", "platform"], |row, _, out| out.push_str(own(row, 6).one_of(DEVICES))),
    (&["browser", "user_agent"], |row, _, out| out.push_str(own(row, 7).one_of(BROWSERS))),
    (&["os", "operating_system"], |row, _, out| out.push_str(own(row, 8).one_of(SYSTEMS))),
    (&["channel", "source", "medium"], |_, random, out| out.push_str(random.one_of(CHANNELS))),
    (&["language", "locale"], |row, _, out| out.push_str(own(row, 9).one_of(LANGUAGES))),
    (&["color", "colour"], |_, random, out| out.push_str(random.one_of(COLORS))),
    (&["description", "comment", "message", "text", "note", "title", "body"], sentence),
];

/// What a text column of this name says.
pub(super) fn maker(name: &str) -> Make {
    let known = MAKERS.iter().find(|(endings, _)| endings.iter().any(|ending| ends_with(name, ending)));
    known.map_or(word, |(_, make)| *make)
}

/// True when the words of `name` end with those of `ending`: `user_email` with `email`.
pub(super) fn ends_with(name: &str, ending: &str) -> bool {
    name.strip_suffix(ending).is_some_and(|before| before.is_empty() || before.ends_with('_'))
}

/// Random numbers that belong to the row's user.
fn own(row: &Row, purpose: u64) -> Random {
    Random::new(row.user, purpose, 0x05E2)
}

fn place(row: &Row) -> (&'static str, &'static str) {
    PLACES[own(row, 3).below(PLACES.len() as u64) as usize]
}

fn user_id(row: &Row, _: &mut Random, out: &mut String) {
    // Writing to a string cannot fail, here and below.
    let _ = write!(out, "u{:06}", row.user);
}

fn session_id(row: &Row, _: &mut Random, out: &mut String) {
    let _ = write!(out, "s{:07x}", row.session & 0xFFF_FFFF);
}

fn event_type(_: &Row, random: &mut Random, out: &mut String) {
    let mut left = random.below(1000);
    for (name, share) in EVENT_TYPES {
        if left < *share {
            return out.push_str(name);
        }
        left -= share;
    }
}

fn unique_id(_: &Row, random: &mut Random, out: &mut String) {
    let (high, low) = (random.bits(), random.bits());
    let _ = write!(
        out,
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xFFFF,
        high & 0xFFF,
        low >> 50 | 0x8000,
        low & 0xFFFF_FFFF_FFFF
    );
}

fn names(row: &Row) -> (&'static str, &'static str) {
    (own(row, 1).one_of(FIRST_NAMES), own(row, 2).one_of(LAST_NAMES))
}

fn full_name(row: &Row, _: &mut Random, out: &mut String) {
    let (first, last) = names(row);
    let _ = write!(out, "{first} {last}");
}

fn username(row: &Row, _: &mut Random, out: &mut String) {
    let (first, _) = names(row);
    let _ = write!(out, "{}{}", first.to_lowercase(), row.user);
}

fn email(row: &Row, _: &mut Random, out: &mut String) {
    let (first, last) = names(row);
    let domain = own(row, 4).one_of(&["example.com", "example.org", "example.net"]);
    let _ = write!(out, "{}.{}{}@{domain}", first.to_lowercase(), last.to_lowercase(), row.user);
}

fn phone(row: &Row, _: &mut Random, out: &mut String) {
    let mut own = own(row, 10);
    let _ = write!(out, "+1-{}-555-01{:02}", own.between(201, 989), own.below(100));
}

fn address(row: &Row, _: &mut Random, out: &mut String) {
    let mut own = own(row, 11);
    let _ = write!(out, "{} {}, {}", own.between(1, 240), own.one_of(STREETS), place(row).1);
}

/// Numbers that begin with 9 are never given to anyone.
fn social_security_number(row: &Row, _: &mut Random, out: &mut String) {
    let mut own = own(row, 12);
    let _ = write!(out, "{}-{:02}-{:04}", own.between(900, 999), own.between(1, 99), own.between(1, 9999));
}

/// A number of the right form, its last digit after Luhn.
fn card_number(row: &Row, _: &mut Random, out: &mut String) {
    let payload = 400_000_000_000_000 + own(row, 13).below(100_000_000_000_000);
    let digits = payload.to_string();
    let sum: u32 = digits
        .bytes()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(digit - b'0') * if at % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    let _ = write!(out, "{digits}{}", (10 - sum % 10) % 10);
}

fn url(_: &Row, random: &mut Random, out: &mut String) {
    let _ = write!(out, "https://shop.example.com/{}/{}", random.one_of(PAGES), random.below(10_000));
}

fn sentence(_: &Row, random: &mut Random, out: &mut String) {
    for number in 0..random.between(3, 8) {
        let space = if number == 0 { "" } else { " " };
        let _ = write!(out, "{space}{}", random.one_of(NOUNS));
    }
}

fn word(_: &Row, random: &mut Random, out: &mut String) {
    let _ = write!(out, "{}-{}", random.one_of(NOUNS), random.below(100));
}

fn number(out: &mut String, value: i64) {
    let _ = write!(out, "{value}");
}
