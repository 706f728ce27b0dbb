//! The house is tidy.

use std::path::Path;
use tidemill_testkit::tidy;

fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn files_have_one_subject() {
    none(&tidy::long_files(&tidy::sources(root(), &["crates"])));
}

#[test]
fn functions_fit_on_a_page() {
    none(&tidy::long_functions(&tidy::sources(root(), &["crates"])));
}

#[test]
fn files_say_what_they_are_for() {
    none(&tidy::without_purpose(&tidy::sources(root(), &["crates"])));
}

#[test]
fn nothing_is_left_undone() {
    none(&tidy::leftovers(&tidy::sources(root(), &["crates", "tests"])));
}

#[test]
fn crates_use_only_what_stands_below_them() {
    none(&tidy::wrong_dependencies(root()));
}
