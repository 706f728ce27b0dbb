//! Dead letters of rows that are no records any more: results on which an expression fails, and late rows.

use crate::support::{Ended, Scratch};
use serde_json::Value;

fn run(scratch: &Scratch, more: &[&str]) -> Ended {
    let args = ["--checkpoint", "ck", "--trigger", "available-now", "--progress", "off", "--listen", "off"];
    scratch.run(&[&["run", "p.sql"], &args[..], more].concat())
}

/// Stage, code, source and row of every letter.
fn letters(scratch: &Scratch) -> Vec<(String, String, String, Value)> {
    let dlq = |args: &[&str]| -> Value {
        let ended = scratch.run(&[&["dlq"], args, &["--checkpoint", "ck", "--format", "json"]].concat());
        serde_json::from_str(&ended.out).unwrap_or(Value::Array(vec![]))
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let listed = dlq(&["list", "--records"]);
    let all = listed.as_array().unwrap().iter().map(|letter| {
        let shown = dlq(&["show", letter["id"].as_str().unwrap(), "--unmasked"]);
        let row = serde_json::from_str(shown["value"].as_str().unwrap()).unwrap();
        (text(&letter["stage"]), text(&letter["code"]), text(&letter["source"]), row)
    });
    all.collect()
}

fn rows(scratch: &Scratch) -> Vec<Value> {
    let files = std::fs::read_dir(scratch.path().join("out")).into_iter().flatten().flatten();
    let files = files.filter(|file| file.path().extension().is_some_and(|end| end == "json"));
    let mut rows: Vec<Value> = files
        .flat_map(|file| {
            let text = std::fs::read_to_string(file.path()).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>()
        })
        .collect();
    rows.sort_by_key(ToString::to_string);
    rows
}

const WINDOWS: &str = "SET on_error = 'dead_letter';
CREATE TABLE words (word STRING, n INT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '1 minute')
    WITH (connector = 'files', path = 'in', format = 'json');
CREATE TABLE shares WITH (connector = 'files', path = 'out', format = 'json'LATE);
INSERT INTO shares SELECT word, WHAT AS share FROM words GROUP BY window(ts, '1 minute'), word;
";

fn row(word: &str, n: i32, minute: u32) -> String {
    format!("{{\"word\":\"{word}\",\"n\":{n},\"ts\":\"2024-01-01T12:{minute:02}:10Z\"}}\n")
}

#[test]
fn a_result_on_which_an_expression_fails_is_set_aside_and_the_others_go_on() {
    for step in ["", "executing:1:kill", "state-put:1:kill", "sink-committed:1:kill", "sink-committed:2:kill"] {
        let scratch = Scratch::new();
        scratch.write("p.sql", &WINDOWS.replace("LATE", "").replace("WHAT", "100 div sum(n)"));
        let first = [row("a", 4, 0), row("zero", 1, 0), row("zero", -1, 0), row("b", 5, 0), row("end", 1, 9)];
        scratch.write("in/a.json", &first.concat());
        if !step.is_empty() {
            let killed = run(&scratch, &["--fault", step]);
            assert_eq!(killed.code, None, "{step}: {killed:?}");
        }
        let ended = run(&scratch, &[]);
        assert_eq!(ended.code, Some(0), "{step}: {ended:?}");
        let shares = [r#"{"word":"a","share":25}"#, r#"{"word":"b","share":20}"#];
        assert_eq!(rows(&scratch), shares.map(|row| serde_json::from_str::<Value>(row).unwrap()), "{step}");
        let found = letters(&scratch);
        assert_eq!(found.len(), 1, "{step}: {found:?}");
        let (stage, code, source, row) = &found[0];
        assert_eq!((stage.as_str(), code.as_str(), source.as_str()), ("expression", "DIVIDE_BY_ZERO", "shares"));
        assert_eq!(row["word"], "zero", "{step}: {row}");
    }
}

#[test]
fn what_a_second_aggregate_reads_is_set_aside_before_its_state() {
    let scratch = Scratch::new();
    let query = "SET on_error = 'dead_letter';
CREATE TABLE words (word STRING, n INT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '1 minute')
    WITH (connector = 'files', path = 'in', format = 'json');
CREATE TABLE shares WITH (connector = 'files', path = 'out', format = 'json');
CREATE VIEW sums AS SELECT window, word, sum(n) AS n FROM words GROUP BY window(ts, '1 minute'), word;
INSERT INTO shares SELECT sum(100 div n) AS share FROM sums GROUP BY window(window, '2 minutes');
";
    scratch.write("p.sql", query);
    let first = [row("a", 4, 0), row("zero", 0, 0), row("b", 5, 1), row("end", 1, 9), row("end", 1, 19)];
    scratch.write("in/a.json", &first.concat());
    let ended = run(&scratch, &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(rows(&scratch).contains(&serde_json::json!({"share": 45})), "{:?}", rows(&scratch));
    assert_eq!(letters(&scratch).len(), 1);
}

#[test]
fn without_the_setting_such_a_result_stops_the_query() {
    let scratch = Scratch::new();
    let query = WINDOWS.replace("SET on_error = 'dead_letter';", "");
    scratch.write("p.sql", &query.replace("LATE", "").replace("WHAT", "100 div sum(n)"));
    scratch.write("in/a.json", &[row("zero", 0, 0), row("end", 1, 9)].concat());
    run(&scratch, &[]).says(65, &["DIVIDE_BY_ZERO"]);
}

#[test]
fn late_rows_become_dead_letters_when_their_table_asks() {
    for kill in ["", "state-put:1:kill", "sink-committed:1:kill"] {
        let scratch = Scratch::new();
        scratch.write("p.sql", &WINDOWS.replace("LATE", ", late = 'dead_letter'").replace("WHAT", "sum(n)"));
        scratch.write("in/a.json", &[row("a", 1, 0), row("end", 1, 9)].concat());
        assert_eq!(run(&scratch, &[]).code, Some(0));
        scratch.write("in/b.json", &[row("a", 7, 0), row("c", 3, 12), row("b", 8, 1), row("end", 1, 20)].concat());
        if !kill.is_empty() {
            assert_eq!(run(&scratch, &["--fault", kill]).code, None, "{kill}");
        }
        let ended = run(&scratch, &[]);
        assert_eq!(ended.code, Some(0), "{kill}: {ended:?}");
        let found = letters(&scratch);
        let words: Vec<_> = found.iter().map(|(.., row)| (row["word"].as_str().unwrap(), row["n"].clone())).collect();
        assert_eq!(words, [("a", 7.into()), ("b", 8.into())], "{kill}: {found:?}");
        assert!(found.iter().all(|(stage, code, source, row)| {
            (stage.as_str(), code.as_str(), source.as_str()) == ("late", "LATE_ROW", "shares")
                && row.get("late_epoch").is_none()
        }));
        assert_eq!(rows(&scratch).len(), 3, "{kill}: {:?}", rows(&scratch));
    }
    let scratch = Scratch::new();
    scratch.write("p.sql", &WINDOWS.replace("LATE", ", late = 'dead_letter'").replace("WHAT", "sum(n)"));
    let explained = scratch.run(&["explain", "p.sql"]);
    assert!(explained.out.contains("=> dead letters (late rows of shares)"), "{explained:?}");
}
