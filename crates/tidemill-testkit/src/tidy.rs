//! Rules of the house that no compiler checks: how long a file and a function may be, which crate may
//! use which, what a file starts with, what may not be written in any of them.
//!
//! Every rule gives a list of complaints, `file:line: what is wrong`; an empty list is a tidy house.

use std::fs;
use std::path::{Path, PathBuf};

/// Most lines of code in a file, its tests not counted.
pub const FILE_LINES_MAX: usize = 500;
/// Most lines in a function.
pub const FUNCTION_LINES_MAX: usize = 70;

/// Which crates a crate may use; those that ship must not use the ones that do not.
pub const MAY_USE: &[(&str, &[&str])] = &[
    ("tidemill-core", &[]),
    ("tidemill-guard", &["tidemill-core"]),
    ("tidemill-objects", &["tidemill-core"]),
    ("tidemill-engine", &["tidemill-core", "tidemill-objects"]),
    ("tidemill-connectors", &["tidemill-core", "tidemill-objects"]),
    ("tidemill-rocksdb", &["tidemill-core"]),
    ("tidemill-ops", &["tidemill-core", "tidemill-engine", "tidemill-guard"]),
    ("tidemill-cli", SHIPPED),
    ("tidemill-python", SHIPPED),
    ("tidemill-testkit", &["tidemill-core", "tidemill-engine", "tidemill-connectors"]),
];

/// What a program is put together from.
const SHIPPED: &[&str] =
    &["tidemill-core", "tidemill-engine", "tidemill-connectors", "tidemill-guard", "tidemill-rocksdb", "tidemill-ops"];

/// A source file: its path from the root, and its text.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path from the repository's root.
    pub path: PathBuf,
    /// Text.
    pub text: String,
}

/// All Rust files under the directories, in order of their paths.
///
/// # Panics
/// A directory cannot be read.
#[allow(clippy::panic)]
pub fn sources(root: &Path, directories: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for directory in directories {
        walk(&root.join(directory), &mut found);
    }
    let mut sources: Vec<Source> = found
        .into_iter()
        .map(|path| match fs::read_to_string(&path) {
            Ok(text) => Source { path: path.strip_prefix(root).unwrap_or(&path).to_owned(), text },
            Err(cause) => panic!("cannot read {}: {cause}", path.display()),
        })
        .collect();
    sources.sort_by(|left, right| left.path.cmp(&right.path));
    sources
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("target") {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Files with more code than one subject needs.
pub fn long_files(sources: &[Source]) -> Vec<String> {
    let long = |source: &Source| {
        let lines = code(source).len();
        let says = || format!("{}:1: {lines} lines of code, at most {FILE_LINES_MAX}", source.path.display());
        (lines > FILE_LINES_MAX).then(says)
    };
    sources.iter().filter(|source| !is_test(source)).filter_map(long).collect()
}

/// Functions longer than a page. A function ends at the `}` that stands as far in as its `fn`.
pub fn long_functions(sources: &[Source]) -> Vec<String> {
    let mut long = Vec::new();
    for source in sources {
        let lines: Vec<&str> = source.text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            // what a trait only declares has no end of its own
            let Some(name) = function_name(line).filter(|_| !line.ends_with(';')) else { continue };
            let end = format!("{}}}", " ".repeat(line.len() - line.trim_start().len()));
            let Some(length) = lines[start..].iter().position(|line| *line == end) else { continue };
            if length + 1 > FUNCTION_LINES_MAX && !is_list(&lines[start..start + length]) {
                let (path, at, length) = (source.path.display(), start + 1, length + 1);
                long.push(format!("{path}:{at}: {name} has {length} lines, at most {FUNCTION_LINES_MAX}"));
            }
        }
    }
    long
}

/// A function that is nothing but one `match` may be as long as there are cases.
fn is_list(function: &[&str]) -> bool {
    let body = function.iter().skip_while(|line| !line.trim_end().ends_with('{')).nth(1);
    body.is_some_and(|first| first.trim_start().starts_with("match "))
        && function.last().is_some_and(|last| last.trim() == "}")
}

fn function_name(line: &str) -> Option<&str> {
    let rest = line.trim_start();
    let signature = ["pub ", "pub(crate) ", "pub(super) ", ""].iter().find_map(|prefix| {
        let rest = rest.strip_prefix(prefix)?;
        let rest = rest.strip_prefix("async ").unwrap_or(rest);
        rest.strip_prefix("fn ")
    })?;
    signature.split(['(', '<']).next()
}

/// Files that do not begin by saying what they are for.
pub fn without_purpose(sources: &[Source]) -> Vec<String> {
    let silent = |source: &&Source| !source.text.starts_with("//!") && !is_test(source);
    sources.iter().filter(silent).map(|source| format!("{}:1: begins with no `//!`", source.path.display())).collect()
}

/// Words that say work was left undone, or where the file was written.
pub fn leftovers(sources: &[Source]) -> Vec<String> {
    let undone = ["TODO", "FIXME", "XXX", "HACK"].map(str::to_owned);
    let places = ["home", "root", "work"].map(|folder| format!("/{folder}/"));
    let words: Vec<String> = undone.into_iter().chain(places).collect();
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !source.path.ends_with("tidy.rs")) {
        for (number, line) in source.text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{}: '{word}'", source.path.display(), number + 1));
            }
        }
    }
    found
}

/// Dependencies between crates against the direction of [`MAY_USE`]. Development dependencies may go to
/// the test kit and the connectors.
///
/// # Panics
/// A manifest cannot be read.
#[allow(clippy::panic)]
pub fn wrong_dependencies(root: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root.join("crates")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let manifest = entry.path().join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else { panic!("cannot read {}", manifest.display()) };
        let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| *known == name) else {
            wrong.push(format!("crates/{name}: which crates it may use is not written down in tidy.rs"));
            continue;
        };
        let used = text.lines().skip_while(|line| *line != "[dependencies]").skip(1);
        for line in used.take_while(|line| !line.starts_with('[')) {
            let used = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if used.starts_with("tidemill-") && !allowed.contains(&used) {
                wrong.push(format!("crates/{name}/Cargo.toml: {name} must not use {used}"));
            }
        }
    }
    wrong
}

/// Lines of code: no tests, no comments, no empty lines.
fn code(source: &Source) -> Vec<&str> {
    let before_tests = source.text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    before_tests.filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//")).collect()
}

fn is_test(source: &Source) -> bool {
    source.path.ends_with("tests.rs") || source.path.components().any(|part| part.as_os_str() == "tests")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: String) -> Source {
        Source { path: path.into(), text }
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let long = "let x = 1;\n".repeat(FILE_LINES_MAX + 1);
        let tested = format!("let x = 1;\n#[cfg(test)]\n{long}");
        let found = long_files(&[source("a.rs", long.clone()), source("b.rs", tested), source("it/tests.rs", long)]);
        assert_eq!(found, ["a.rs:1: 501 lines of code, at most 500"]);
    }

    #[test]
    fn a_long_function_is_found() {
        let function =
            |lines: usize| format!("    pub async fn f<T>(x: T) {{\n{}    }}\n", "        x;\n".repeat(lines));
        let found = long_functions(&[source("a.rs", function(68)), source("b.rs", function(69))]);
        assert_eq!(found, ["b.rs:1: f has 71 lines, at most 70"]);
    }

    #[test]
    fn what_was_left_undone_is_found() {
        let found = leftovers(&[source("a.rs", "//! A.\n// TODO: b\n".into())]);
        assert_eq!(found, ["a.rs:2: 'TODO'"]);
        assert_eq!(without_purpose(&[source("a.rs", "use b;".into())]), ["a.rs:1: begins with no `//!`"]);
    }
}
