//! `tidemill plan`, and runs of pipelines that have changed.

use crate::support::{Ended, Scratch, WORDS};
use serde_json::Value;
use std::path::Path;

const TABLES: &str = "
CREATE TABLE words (word STRING, n INT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '1 minute')
    WITH (connector = 'files', path = 'in', format = 'json');
CREATE TABLE counts WITH (connector = 'files', path = 'out/counts', format = 'json', output_mode = 'update');
CREATE TABLE others WITH (connector = 'files', path = 'out/others', format = 'json', output_mode = 'update');
";
const SUMS: &str = "INSERT INTO counts SELECT word, sum(n) AS total FROM words GROUP BY word;";

fn run(scratch: &Scratch, more: &[&str]) -> Ended {
    let args = ["run", "p.sql", "--trigger", "available-now", "--progress", "off", "--listen", "off"];
    scratch.run(&[&args[..], more].concat())
}

fn runs(scratch: &Scratch, more: &[&str]) {
    let ended = run(scratch, more);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// The fates of operators by name, and the exit code.
fn planned(scratch: &Scratch, file: &str, more: &[&str]) -> (Option<i32>, Vec<(String, String)>) {
    let ended = scratch.run(&[&["plan", file, "--format", "json"], more].concat());
    let plans: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let operators = plans[0]["operators"].as_array().unwrap().iter();
    (ended.code, operators.map(|one| (text(&one["id"]), text(&one["fate"]))).collect())
}

/// A pipeline that sums, has run, and then changes.
fn changed(to: &str, settings: &[&str]) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("p.sql", &format!("{TABLES}{SUMS}"));
    scratch.write("in/a.json", WORDS);
    let set: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    runs(&scratch, &set);
    scratch.write("p.sql", &format!("{TABLES}{to}"));
    scratch.write("in/b.json", "{\"word\":\"a\",\"n\":10,\"ts\":\"2024-01-01T12:20:00Z\"}\n");
    scratch
}

/// The last row of a word in a table.
fn last(scratch: &Scratch, table: &str, word: &str) -> Value {
    let mut rows = rows(&scratch.path().join("out").join(table));
    rows.retain(|row| row["word"] == word);
    rows.pop().unwrap()
}

/// Rows of the files of a table, in the order they were published.
fn rows(table: &Path) -> Vec<Value> {
    let mut logs: Vec<_> =
        std::fs::read_dir(table.join("_tidemill/log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| path.extension().is_some_and(|end| end == "json"));
    logs.sort();
    let mut rows = vec![];
    for log in logs {
        let manifest: Value = serde_json::from_slice(&std::fs::read(log).unwrap()).unwrap();
        for file in manifest["files"].as_array().unwrap() {
            let content = std::fs::read_to_string(table.join(file["name"].as_str().unwrap())).unwrap();
            rows.extend(content.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
    }
    rows
}

fn fates(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(id, fate)| ((*id).to_owned(), (*fate).to_owned())).collect()
}

#[test]
fn an_insert_before_another_leaves_its_state_alone() {
    let other = "INSERT INTO others SELECT word, sum(n) AS total FROM words WHERE n > 1 GROUP BY word;";
    for settings in [&["snapshot_bytes=1"][..], &[], &["state_backend=rocksdb", "snapshot_bytes=1"]] {
        let scratch = changed(&format!("{other}{SUMS}"), settings);
        let expected = fates(&[("others/aggregate", "new"), ("counts/aggregate", "kept")]);
        assert_eq!(planned(&scratch, "p.sql", &[]), (Some(0), expected));
        let set: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        runs(&scratch, &set);
        assert_eq!(last(&scratch, "counts", "a")["total"], 15, "{settings:?}");
        assert_eq!(last(&scratch, "others", "a")["total"], 10, "{settings:?}");
    }
}

#[test]
fn an_added_function_counts_from_here_on_and_the_others_go_on() {
    // the table keeps its columns: what is new goes into the one there is
    let to =
        "INSERT INTO counts SELECT word, 10000 * count(*) + 100 * max(n) + sum(n) AS total FROM words GROUP BY word;";
    for settings in [&["snapshot_bytes=1"][..], &[]] {
        let scratch = changed(to, settings);
        assert_eq!(planned(&scratch, "p.sql", &[]), (Some(0), fates(&[("counts/aggregate", "migrated")])));
        runs(&scratch, &[]);
        assert_eq!(last(&scratch, "counts", "a")["total"], 11_015, "{settings:?}");
        // from the changes of both forms
        scratch.write("in/c.json", "{\"word\":\"a\",\"n\":20,\"ts\":\"2024-01-01T12:21:00Z\"}\n");
        runs(&scratch, &[]);
        assert_eq!(last(&scratch, "counts", "a")["total"], 22_035, "{settings:?}");
    }
}

#[test]
fn a_change_that_loses_state_has_to_be_approved() {
    let scratch = changed("INSERT INTO counts SELECT upper(word) AS word, sum(n) AS total FROM words GROUP BY 1;", &[]);
    assert_eq!(planned(&scratch, "p.sql", &[]), (Some(78), fates(&[("counts/aggregate-2", "rebuilt")])));
    run(&scratch, &[]).says(78, &["does not fit this pipeline", "losing state", "counts/aggregate", "--approve"]);
    runs(&scratch, &["--approve"]);
    assert_eq!(last(&scratch, "counts", "A")["total"], 10);
    assert_eq!(planned(&scratch, "p.sql", &[]), (Some(0), fates(&[("counts/aggregate-2", "kept")])));
    runs(&scratch, &[]);
}

#[test]
fn state_that_was_let_go_does_not_come_back() {
    let scratch = changed("INSERT INTO counts SELECT upper(word) AS word, sum(n) AS total FROM words GROUP BY 1;", &[]);
    runs(&scratch, &["--approve"]);
    scratch.write("p.sql", &format!("{TABLES}{SUMS}"));
    scratch.write("in/c.json", "{\"word\":\"a\",\"n\":7,\"ts\":\"2024-01-01T12:21:00Z\"}\n");
    let expected = fates(&[("counts/aggregate-3", "new"), ("counts/aggregate-2", "dropped")]);
    assert_eq!(planned(&scratch, "p.sql", &[]), (Some(78), expected));
    runs(&scratch, &["--approve"]);
    assert_eq!(last(&scratch, "counts", "a")["total"], 7);
}

#[test]
fn an_operator_that_is_gone_is_a_loss() {
    let scratch = changed("INSERT INTO others SELECT word, count(*) AS total FROM words GROUP BY word;", &[]);
    let expected = fates(&[("others/aggregate", "new"), ("counts/aggregate", "dropped")]);
    assert_eq!(planned(&scratch, "p.sql", &[]), (Some(78), expected));
    runs(&scratch, &["--approve"]);
    assert_eq!(last(&scratch, "others", "a")["total"], 1);
}

#[test]
fn a_hint_moves_state() {
    let to = "INSERT INTO others SELECT upper(word) AS word, sum(n) AS total FROM words GROUP BY upper(word);";
    let scratch = changed(to, &[]);
    let moved = ["--set", "state_moved=counts/aggregate = others/aggregate"];
    assert_eq!(planned(&scratch, "p.sql", &moved), (Some(0), fates(&[("counts/aggregate", "kept")])));
    run(&scratch, &["--set", "state_moved=x"]).says(78, &["state_moved takes"]);
}

#[test]
fn people_see_what_is_kept_and_how_large_it_is() {
    let scratch = changed(SUMS, &[]);
    let shown = scratch.run(&["plan", "p.sql"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for words in ["kept", "counts/aggregate", " KiB\n", "nothing is lost", "after epoch"] {
        assert!(shown.out.contains(words), "{words} is missing in\n{}", shown.out);
    }
    let nothing = scratch.run(&["plan", "p.sql", "--checkpoint", "elsewhere"]);
    assert!(nothing.code == Some(0) && nothing.out.contains("there is none yet"), "{nothing:?}");
    assert!(!scratch.path().join("elsewhere").exists(), "it only looks");
}

#[test]
fn checkpoints_of_released_versions_are_read() {
    let versions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/checkpoints");
    let mut seen = 0;
    for version in std::fs::read_dir(versions).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        seen += 1;
        let scratch = Scratch::new();
        copy(&version, scratch.path());
        let (code, operators) = planned(&scratch, "pipeline.sql", &["--checkpoint", "checkpoint"]);
        assert_eq!(code, Some(0), "{version:?}: {operators:?}");
        assert!(operators.len() == 5 && operators.iter().all(|(_, fate)| fate == "kept"), "{operators:?}");
        scratch.write("in/3.json", "{\"word\":\"a\",\"n\":10,\"ts\":\"2024-01-01T13:00:00Z\"}\n");
        let args = ["--checkpoint", "checkpoint", "--trigger", "available-now", "--progress", "off", "--listen", "off"];
        let ended = scratch.run(&[&["run", "pipeline.sql"], &args[..]].concat());
        assert_eq!(ended.code, Some(0), "{version:?}: {ended:?}");
        let mut counts = rows(&scratch.path().join("out/counts"));
        counts.sort_by_key(|row| row["word"].as_str().unwrap().to_owned());
        let counts: Vec<_> = counts
            .iter()
            .map(|row| ["c", "total", "most", "kinds"].map(|column| row[column].as_i64().unwrap()))
            .collect();
        assert_eq!(counts, [[2, 5, 4, 2], [2, 7, 5, 2], [1, 7, 7, 1]], "{version:?}");
        assert_eq!(last(&scratch, "totals", "a")["total"], 15, "{version:?}");
        assert_eq!(rows(&scratch.path().join("out/visits")).len(), 4, "{version:?}");
    }
    assert!(seen > 0);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            std::fs::copy(&entry, &target).unwrap();
        }
    }
}
