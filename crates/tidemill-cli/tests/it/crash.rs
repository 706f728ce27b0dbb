//! A record that ends the process: it is found after two deaths and set aside, once; nothing else is lost.

use crate::support::{Ended, Scratch};

/// Sums what it reads, in one group a hundred records; dies on a record that holds `poison`.
const PIPELINE: &str = "
CREATE TABLE words (id INT, word STRING) WITH (connector = 'files', path = 'in', format = 'json');
CREATE TABLE sums WITH (connector = 'files', path = 'out', format = 'json');
INSERT INTO sums SELECT id, die_on(word, 'poison') AS word FROM words;
";

fn run(scratch: &Scratch) -> Ended {
    let args = ["--checkpoint", "ck", "--trigger", "available-now", "--progress", "off", "--listen", "off"];
    scratch.run(&[&["run", "p.sql"], &args[..]].concat())
}

fn letters(scratch: &Scratch) -> Vec<serde_json::Value> {
    let args = ["dlq", "list", "--records", "--checkpoint", "ck", "--format", "json"];
    let ended = scratch.run(&args);
    match ended.code {
        Some(0) => serde_json::from_str::<Vec<_>>(&ended.out).unwrap(),
        _ => vec![],
    }
}

fn records(count: usize, word: &dyn Fn(usize) -> &'static str) -> String {
    (0..count).map(|id| format!("{{\"id\":{id},\"word\":\"{}\"}}\n", word(id))).collect()
}

/// Ids of all rows that have come out, in order.
fn ids(scratch: &Scratch) -> Vec<usize> {
    let mut ids = Vec::new();
    for file in std::fs::read_dir(scratch.path().join("out")).into_iter().flatten().flatten() {
        if file.path().extension().is_none_or(|end| end != "json") {
            continue;
        }
        for line in std::fs::read_to_string(file.path()).unwrap().lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            ids.push(usize::try_from(row["id"].as_u64().unwrap()).unwrap());
        }
    }
    ids.sort_unstable();
    ids
}

#[test]
fn the_third_start_sets_the_record_aside_and_goes_on() {
    let scratch = Scratch::new();
    scratch.write("p.sql", PIPELINE);
    scratch.write("in/a.json", &records(10_000, &|id| if id == 7_777 { "some poison" } else { "word" }));
    for _ in 0..2 {
        let died = run(&scratch);
        assert_eq!(died.code, None, "it is to die: {died:?}");
        assert!(ids(&scratch).is_empty() && letters(&scratch).is_empty());
    }
    let third = run(&scratch);
    assert_eq!(third.code, Some(0), "{third:?}");
    let expected: Vec<usize> = (0..10_000).filter(|id| *id != 7_777).collect();
    assert_eq!(ids(&scratch), expected);
    let found = letters(&scratch);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["stage"], &found[0]["code"]), (&"crash".into(), &"PROCESS_DIED".into()));
    assert!(found[0]["reason"].as_str().unwrap().contains("SIGABRT, signal 6"), "{found:?}");
    let id = found[0]["id"].as_str().unwrap();
    let shown = scratch.run(&["dlq", "show", id, "--checkpoint", "ck", "--format", "json", "--unmasked"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(shown["value"], "{\"id\":7777,\"word\":\"some poison\"}");
    assert!(!scratch.path().join("ck/trial.parcel").exists());

    // what comes after is as ever, and the note is gone
    scratch.write("in/b.json", &records(3, &|_| "word"));
    assert_eq!(run(&scratch).code, Some(0));
    assert_eq!(ids(&scratch).len(), 10_002);
    assert_eq!(letters(&scratch).len(), 1);
    assert!(!scratch.path().join("ck/attempts.json").exists());
}

#[test]
fn several_records_are_found_and_neighbours_live() {
    let scratch = Scratch::new();
    scratch.write("p.sql", PIPELINE);
    let poison = [0, 1, 99];
    scratch.write("in/a.json", &records(100, &|id| if poison.contains(&id) { "poison" } else { "word" }));
    let deaths = (0..2).filter(|_| run(&scratch).code.is_none()).count();
    assert_eq!((deaths, run(&scratch).code), (2, Some(0)));
    assert_eq!(ids(&scratch), (2..99).collect::<Vec<_>>());
    assert_eq!(letters(&scratch).len(), 3);
}

#[test]
fn an_epoch_that_was_only_killed_from_outside_loses_nothing() {
    let scratch = Scratch::new();
    scratch.write("p.sql", PIPELINE);
    scratch.write("in/a.json", &records(1_000, &|_| "word"));
    let args = ["--checkpoint", "ck", "--trigger", "available-now", "--progress", "off", "--listen", "off"];
    for _ in 0..5 {
        let killed = scratch.run(&[&["run", "p.sql"], &args[..], &["--fault", "executing:1:kill"]].concat());
        assert_eq!(killed.code, None, "{killed:?}");
    }
    let ended = run(&scratch);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ids(&scratch), (0..1_000).collect::<Vec<_>>());
    assert!(letters(&scratch).is_empty());
}

#[test]
fn an_epoch_run_again_leaves_out_the_same_records() {
    for step in ["plan-torn", "plan-logged", "executing", "sink-staging", "sink-committed", "commit-torn"] {
        let scratch = Scratch::new();
        scratch.write("p.sql", PIPELINE);
        scratch.write("in/a.json", &records(100, &|id| if id == 42 { "poison" } else { "word" }));
        assert_eq!((run(&scratch).code, run(&scratch).code), (None, None));
        let args = ["--checkpoint", "ck", "--trigger", "available-now", "--progress", "off", "--listen", "off"];
        let fault = format!("{step}:1:kill");
        let killed = scratch.run(&[&["run", "p.sql"], &args[..], &["--fault", &fault]].concat());
        assert_eq!(killed.code, None, "{step} was not reached: {killed:?}");
        // the plan may have been torn, so that the records are not named in it: then they are found once more
        let starts = (0..4).take_while(|_| run(&scratch).code.is_none()).count();
        assert!(starts <= if step == "plan-torn" { 2 } else { 0 }, "{step}: died {starts} times more");
        assert_eq!(ids(&scratch), (0..100).filter(|id| *id != 42).collect::<Vec<_>>(), "{step}");
        assert_eq!(letters(&scratch).len(), 1, "{step}");
    }
}

#[test]
fn state_is_as_if_the_record_had_never_come() {
    let scratch = Scratch::new();
    scratch.write(
        "p.sql",
        "
CREATE TABLE words (id INT, word STRING) WITH (connector = 'files', path = 'in', format = 'json');
CREATE TABLE counts WITH (connector = 'console', output_mode = 'update');
INSERT INTO counts SELECT 0 AS id, die_on(max(word), 'poison') AS word, count(*) AS n FROM words;
",
    );
    scratch.write("in/a.json", &records(500, &|id| if id == 250 { "poison" } else { "a" }));
    assert_eq!((run(&scratch).code, run(&scratch).code), (None, None));
    let third = run(&scratch);
    assert_eq!(third.code, Some(0), "{third:?}");
    assert!(third.out.contains("499") && !third.out.contains("poison"), "{third:?}");
    assert_eq!(letters(&scratch).len(), 1);
}
