//! Ctrl-C and SIGTERM: the first drains and ends well, the second stops at once, and neither loses
//! anything.

use crate::support::{COUNT, Scratch, WORDS, finish};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::Child;

/// Rows of a later minute, which let the windows of [`WORDS`] close.
const LATER: &str = "{\"word\":\"c\",\"n\":8,\"ts\":\"2024-01-01T13:00:00Z\"}\n";

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Runs what there is to its end; gives what it prints.
fn rest(scratch: &Scratch) -> String {
    let args = ["run", "p.sql", "--checkpoint", "ckpt", "--trigger", "available-now", "--listen", "127.0.0.1:0"];
    let mut child = scratch.start(&args);
    let mut out = child.stdout.take().unwrap();
    let printed = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        text
    });
    let ended = finish(child);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    printed.join().unwrap()
}

/// Runs until the first epoch is reported, signals, and then runs what has come meanwhile.
fn drains(signal: Signal) {
    let scratch = Scratch::new();
    scratch.write("p.sql", COUNT);
    scratch.write("in/a.json", WORDS);
    let args = ["run", "p.sql", "--checkpoint", "ckpt", "--progress", "json", "--listen", "127.0.0.1:0"];
    let mut first = scratch.start(&args);
    let mut reports = BufReader::new(first.stdout.take().unwrap()).lines();
    assert!(reports.any(|line| line.is_ok_and(|line| line.contains("batchId"))));
    send(&first, signal);
    let remaining = std::thread::spawn(move || reports.count());
    let ended = finish(first);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.contains("stopping after the running epoch"), "{}", ended.err);
    remaining.join().unwrap();
    scratch.write("in/b.json", LATER);
    rest(&scratch);
    assert_eq!(scratch.published_rows(), 3, "a and b of 12:00, a of 12:09");
}

#[test]
fn ctrl_c_drains_and_ends_well() {
    drains(Signal::INT);
}

#[test]
fn sigterm_drains_and_ends_well() {
    drains(Signal::TERM);
}

/// A pipeline whose first epoch never ends by itself: nobody reads what the console prints. It is printing already.
fn printing(scratch: &Scratch, options: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let console = "connector = 'console', num_rows = 100000";
    scratch.write(
        "p.sql",
        &format!(
            "{}\nINSERT INTO shown SELECT * FROM words;",
            COUNT.replace("CREATE TABLE counts", &format!("CREATE TABLE shown WITH ({console});\nCREATE TABLE counts"))
        ),
    );
    scratch.write("in/a.json", &WORDS.repeat(5_000));
    let args = ["run", "p.sql", "--checkpoint", "ckpt", "--progress", "off", "--listen", "127.0.0.1:0"];
    let mut child = scratch.start(&[&args, options].concat());
    let mut shown = BufReader::new(child.stdout.take().unwrap());
    shown.read_line(&mut String::new()).unwrap();
    (child, shown)
}

/// The epoch that was cut off is run whole by the next start.
fn is_whole(scratch: &Scratch) {
    let printed = rest(scratch);
    assert_eq!(printed.matches("12:09").count(), 5_000, "the epoch that was cut off is shown whole");
    assert_eq!(scratch.published_rows(), 2, "a and b of 12:00");
}

#[test]
fn the_second_ctrl_c_stops_at_once() {
    let scratch = Scratch::new();
    let (mut first, shown) = printing(&scratch, &[]);
    send(&first, Signal::INT);
    let mut told = BufReader::new(first.stderr.take().unwrap()).lines();
    assert!(told.any(|line| line.is_ok_and(|line| line.contains("once more stops at once"))));
    assert!(first.try_wait().unwrap().is_none(), "it drains");
    send(&first, Signal::INT);
    assert_eq!(finish(first).code, Some(75));
    drop(shown);
    is_whole(&scratch);
}

#[test]
fn an_epoch_that_does_not_end_is_cut_off_after_the_grace() {
    let scratch = Scratch::new();
    let (first, shown) = printing(&scratch, &["--set", "shutdown_grace=200ms"]);
    send(&first, Signal::TERM);
    let ended = finish(first);
    assert_eq!(ended.code, Some(75), "{ended:?}");
    assert!(ended.err.contains("longer than shutdown_grace (0.2 s)"), "{}", ended.err);
    drop(shown);
    is_whole(&scratch);
}
