//! What goes wrong ends with one clear message and the right exit code, and loses nothing.

use crate::support::{COUNT, Scratch, WORDS, finish};
use std::io::{BufRead, BufReader};

const ONCE: [&str; 6] = ["--trigger", "available-now", "--progress", "off", "--listen", "127.0.0.1:0"];

fn run_count(scratch: &Scratch, checkpoint: &str) -> crate::support::Ended {
    let mut args = vec!["run", "p.sql", "--checkpoint", checkpoint];
    args.extend(ONCE);
    scratch.run(&args)
}

/// Sum of `n` over the published Parquet files.
fn published(scratch: &Scratch) -> usize {
    let log = scratch.path().join("out/_tidemill/log");
    std::fs::read_dir(log).map_or(0, Iterator::count)
}

#[test]
fn no_such_pipeline() {
    Scratch::new().run(&["run", "nothing.sql"]).says(64, &["cannot read the pipeline nothing.sql"]);
}

#[test]
fn an_unknown_column_points_at_the_text_and_names_the_nearest() {
    let scratch = Scratch::new();
    scratch.write("p.sql", &COUNT.replace("sum(n)", "sum(nn)"));
    scratch.run(&["check", "p.sql"]).says(78, &["p.sql:5:", "no column", "`nn`", "did you mean `n`?", "^"]);
}

#[test]
fn a_type_mismatch_points_at_the_text() {
    let scratch = Scratch::new();
    scratch.write("p.sql", &COUNT.replace("sum(n)", "sum(n + ts)"));
    scratch.run(&["check", "p.sql"]).says(78, &["p.sql:5:", "INT", "TIMESTAMP", "DATATYPE_MISMATCH"]);
}

#[test]
fn a_misspelled_option_names_the_nearest() {
    let scratch = Scratch::new();
    scratch.write("p.sql", &COUNT.replace("path = 'in'", "path = 'in', maxFilesPerTriger = 1"));
    scratch
        .run(&["check", "p.sql"])
        .says(78, &["p.sql:3:", "maxFilesPerTriger", "did you mean 'max_files_per_trigger'?"]);
}

#[test]
fn an_unset_variable_is_named() {
    let scratch = Scratch::new();
    scratch.write("p.sql", &COUNT.replace("'in'", "'${NO_SUCH_VARIABLE}'"));
    scratch.run(&["check", "p.sql"]).says(78, &["p.sql:3:", "NO_SUCH_VARIABLE", ":-default"]);
}

#[test]
fn no_such_directory() {
    let scratch = Scratch::new();
    scratch.write("p.sql", COUNT);
    run_count(&scratch, "ckpt").says(78, &["in"]);
}

#[test]
fn an_unreachable_broker_is_named_within_bounded_time() {
    let scratch = Scratch::new();
    let kafka = "connector = 'kafka', bootstrap_servers = '127.0.0.1:1', topic = 'words', connect_timeout = '1 second'";
    scratch.write("p.sql", &COUNT.replace("connector = 'files', path = 'in'", kafka));
    run_count(&scratch, "ckpt").says(75, &["127.0.0.1:1"]);
}

#[test]
fn a_checkpoint_that_cannot_be_written() {
    let scratch = Scratch::new();
    scratch.write("p.sql", COUNT);
    scratch.write("in/a.json", WORDS);
    scratch.write("file", "not a directory");
    run_count(&scratch, "file/ckpt").says(74, &["cannot make the directory", "file"]);
}

#[test]
fn a_second_process_on_the_same_checkpoint_is_fenced() {
    let scratch = Scratch::new();
    scratch.write("p.sql", COUNT);
    scratch.write("in/a.json", WORDS);
    let mut first =
        scratch.start(&["run", "p.sql", "--checkpoint", "ckpt", "--progress", "json", "--listen", "127.0.0.1:0"]);
    let mut reports = BufReader::new(first.stdout.take().unwrap()).lines();
    let report = reports.find(|line| line.as_ref().is_ok_and(|line| line.contains("batchId")));
    assert!(report.is_some());
    run_count(&scratch, "ckpt").says(76, &["another process", &first.id().to_string()]);
    // the first goes on, drains at SIGTERM and ends well
    rustix::process::kill_process(rustix::process::Pid::from_child(&first), rustix::process::Signal::TERM).unwrap();
    drop(reports);
    assert_eq!(finish(first).code, Some(0));
}

#[test]
fn a_checkpoint_of_another_pipeline() {
    let scratch = Scratch::new();
    scratch.write("in/a.json", WORDS);
    scratch.write("p.sql", COUNT);
    assert_eq!(run_count(&scratch, "ckpt").code, Some(0));
    scratch.write("p.sql", &COUNT.replace("sum(n)", "max(n)"));
    run_count(&scratch, "ckpt").says(78, &["does not fit this pipeline", "sum", "max"]);
    scratch.write("p.sql", &format!("SET name = 'other';{COUNT}"));
    run_count(&scratch, "ckpt").says(78, &["belongs to the pipeline 'p'", "'other'"]);
    let before = published(&scratch);
    scratch.write("p.sql", COUNT);
    assert_eq!(run_count(&scratch, "ckpt").code, Some(0));
    assert_eq!(published(&scratch), before);
}

#[test]
fn a_deleted_checkpoint_is_not_started_over_in_silence() {
    let scratch = Scratch::new();
    scratch.write("in/a.json", WORDS);
    scratch.write("p.sql", COUNT);
    assert_eq!(run_count(&scratch, "ckpt").code, Some(0));
    run_count(&scratch, "new").says(78, &["another checkpoint", "--new-incarnation append"]);
    let mut args = vec!["run", "p.sql", "--checkpoint", "newer", "--new-incarnation", "append"];
    args.extend(ONCE);
    assert_eq!(scratch.run(&args).code, Some(0));
}

#[test]
fn records_that_break_the_schema_are_kept_with_the_reason_and_the_others_go_on() {
    let scratch = Scratch::new();
    scratch.write("p.sql", COUNT);
    scratch.write(
        "in/a.json",
        &format!("{WORDS}{{\"word\":\"a\",\"n\":\"many\",\"ts\":\"2024-01-01T12:00:30Z\"}}\nnot json\n"),
    );
    let ended = run_count(&scratch, "ckpt");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let letters = scratch.path().join("ckpt/dead_letters");
    let file = std::fs::read_dir(letters)
        .unwrap()
        .flatten()
        .find(|entry| entry.path().extension().is_some_and(|end| end == "parquet"));
    let bytes = std::fs::read(file.unwrap().path()).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("not json") && text.contains("WRONG_TYPE") && text.contains("MALFORMED"));
}

#[test]
fn a_truncated_last_record_of_the_epoch_log_is_passed_over() {
    let scratch = Scratch::new();
    scratch.write("p.sql", COUNT);
    scratch.write("in/a.json", WORDS);
    assert_eq!(run_count(&scratch, "ckpt").code, Some(0));
    let published_before = published(&scratch);
    let journal = scratch.path().join("ckpt/journal/00000000000000000000.log");
    let bytes = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &bytes[..bytes.len() - 3]).unwrap();
    let ended = run_count(&scratch, "ckpt");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(published(&scratch), published_before, "an epoch was written twice");
    // damage in the middle is named and nothing is written
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    run_count(&scratch, "ckpt").says(78, &["00000000000000000000.log is damaged at byte"]);
    assert_eq!(published(&scratch), published_before);
}
