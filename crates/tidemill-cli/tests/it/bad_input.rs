//! What goes wrong ends with one clear message and the right exit code, and loses nothing.

use crate::support::{COUNT, Scratch, WORDS, finish};
use std::io::{BufRead, BufReader};

const ONCE: [&str; 6] = ["--trigger", "available-now", "--progress", "off", "--listen", "127.0.0.1:0"];

fn run_count(scratch: &Scratch, checkpoint: &str) -> crate::support::Ended {
    let mut args = vec!["run", "p.sql", "--checkpoint", checkpoint];
    args.extend(ONCE);
    scratch.run(&args)
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
    run_count(&scratch, "ckpt").says(78, &["there is no file or directory 'in'", "p.sql:2:14", "option 'path'"]);
    // nothing has begun: the same checkpoint is good once the directory is there
    scratch.write("in/a.json", WORDS);
    assert_eq!(run_count(&scratch, "ckpt").code, Some(0));
    assert_eq!(scratch.published_rows(), 2);
}

#[test]
fn a_file_that_is_not_of_the_format_is_named() {
    let scratch = Scratch::new();
    scratch.write("p.sql", &COUNT.replace("path = 'in', format = 'json'", "path = 'in', format = 'parquet'"));
    scratch.write("in/a.parquet", WORDS);
    run_count(&scratch, "ckpt").says(65, &["'a.parquet' cannot be read as Parquet", "words, partition a.parquet"]);
    assert_eq!(scratch.published_rows(), 0);
}

#[test]
fn an_unreachable_broker_is_named_within_bounded_time() {
    let scratch = Scratch::new();
    let kafka = "connector = 'kafka', bootstrap_servers = '127.0.0.1:1', topic = 'words', connect_timeout = '1 second'";
    scratch.write("p.sql", &COUNT.replace("connector = 'files', path = 'in'", kafka));
    let ended = run_count(&scratch, "ckpt");
    ended.says(75, &["cannot look for topic 'words' at 127.0.0.1:1", "Connection refused", "p.sql:2:14"]);
    assert!(!ended.err.contains("WARN"), "the error says it all: {}", ended.err);
    // as a sink
    let kafka = kafka.replace("topic = 'words'", "topic = 'counts', format = 'json'");
    scratch.write("p.sql", &COUNT.replace("connector = 'files', path = 'out', format = 'parquet'", &kafka));
    scratch.write("in/a.json", WORDS);
    run_count(&scratch, "ckpt").says(75, &["cannot reach Kafka at 127.0.0.1:1", "p.sql:4:14"]);
}

#[test]
fn a_checkpoint_that_cannot_be_written() {
    let scratch = Scratch::new();
    scratch.write("p.sql", COUNT);
    scratch.write("in/a.json", WORDS);
    scratch.write("file", "not a directory");
    run_count(&scratch, "file/ckpt").says(74, &["cannot make the directory", "file"]);
    run_count(&scratch, "/proc/ckpt").says(74, &["cannot make the directory /proc/ckpt"]);
    assert_eq!(scratch.published_rows(), 0);
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
    assert_eq!(run_count(&scratch, "ckpt").code, Some(0));
    assert_eq!(scratch.published_rows(), 2);
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
    let before = scratch.published_rows();
    scratch.write("p.sql", COUNT);
    assert_eq!(run_count(&scratch, "ckpt").code, Some(0));
    assert_eq!(scratch.published_rows(), before);
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
    let published_before = scratch.published_rows();
    let journal = scratch.path().join("ckpt/journal/00000000000000000000.log");
    let bytes = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &bytes[..bytes.len() - 3]).unwrap();
    let ended = run_count(&scratch, "ckpt");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(scratch.published_rows(), published_before, "an epoch was written twice");
}

/// Each kind of damage is named, nothing is written, and the checkpoint goes on once it is mended.
#[test]
fn a_damaged_checkpoint_is_named_and_goes_on_when_it_is_restored() {
    let scratch = Scratch::new();
    scratch.write("p.sql", COUNT);
    scratch.write("in/a.json", WORDS);
    assert_eq!(run_count(&scratch, "ckpt").code, Some(0));
    scratch.write("in/b.json", "{\"word\":\"c\",\"n\":8,\"ts\":\"2024-01-01T13:00:00Z\"}\n");
    let flip = |bytes: &[u8]| bytes.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == 30)).collect::<Vec<_>>();
    let cut = |_: &[u8]| b"{".to_vec();
    let (journal, metadata) = ("ckpt/journal/00000000000000000000.log", "ckpt/metadata.json");
    type Damage<'a> = (&'a str, &'a dyn Fn(&[u8]) -> Vec<u8>, &'a str, &'a str);
    let damages: [Damage<'_>; 2] = [
        (journal, &flip, "00000000000000000000.log is damaged at byte 8", "this checkpoint has planned no epoch yet"),
        (metadata, &cut, "metadata.json is damaged", "metadata.json is missing, but there is a journal"),
    ];
    for (file, damage, damaged, missing) in damages {
        let path = scratch.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, damage(&whole)).unwrap();
        run_count(&scratch, "ckpt").says(78, &[damaged, "restore the file from a copy"]);
        std::fs::remove_file(&path).unwrap();
        run_count(&scratch, "ckpt").says(78, &[missing]);
        std::fs::write(&path, whole).unwrap();
        assert_eq!(scratch.published_rows(), 2);
    }
    assert_eq!(run_count(&scratch, "ckpt").code, Some(0));
    assert_eq!(scratch.published_rows(), 3);
}

#[test]
fn a_copy_of_a_checkpoint_that_the_sink_has_left_behind_is_refused() {
    let scratch = Scratch::new();
    scratch.write("p.sql", COUNT);
    scratch.write("in/a.json", WORDS);
    assert_eq!(run_count(&scratch, "ckpt").code, Some(0));
    let copied = std::process::Command::new("cp").args(["-r", "ckpt", "copy"]).current_dir(scratch.path()).status();
    assert!(copied.unwrap().success());
    scratch.write("in/b.json", "{\"word\":\"c\",\"n\":8,\"ts\":\"2024-01-01T13:00:00Z\"}\n");
    assert_eq!(run_count(&scratch, "ckpt").code, Some(0));
    run_count(&scratch, "copy").says(78, &["the sink counts holds epoch", "the checkpoint was copied or restored"]);
    assert_eq!(scratch.published_rows(), 3);
}
