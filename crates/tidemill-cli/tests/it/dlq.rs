//! Dead letters of expressions, their limits, and `tidemill dlq`.

use crate::support::{Ended, Scratch};

/// Divides; writes what came out as JSON.
fn pipeline(settings: &str, quotient: &str) -> String {
    format!(
        "{settings}
CREATE TABLE pairs (id INT, n INT) WITH (connector = 'files', path = 'in', format = 'json');
CREATE TABLE shares WITH (connector = 'files', path = 'out', format = 'parquet');
INSERT INTO shares SELECT id, {quotient} AS share FROM pairs WHERE id >= 0;
"
    )
}

/// `count` records from `first` on; every tenth cannot be divided by.
fn records(first: u32, count: u32) -> String {
    (first..first + count).map(|id| format!("{{\"id\":{id},\"n\":{}}}\n", id % 10)).collect()
}

fn run(scratch: &Scratch) -> Ended {
    scratch.run(&[
        "run",
        "p.sql",
        "--checkpoint",
        "ck",
        "--trigger",
        "available-now",
        "--progress",
        "off",
        "--listen",
        "off",
    ])
}

fn dlq(scratch: &Scratch, args: &[&str]) -> serde_json::Value {
    let ended = scratch.run(&[&["dlq"], args, &["--checkpoint", "ck", "--format", "json"]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

#[test]
fn a_record_that_fails_an_expression_fails_the_query_unless_asked() {
    let scratch = Scratch::new();
    scratch.write("p.sql", &pipeline("", "100 div n"));
    scratch.write("in/a.json", &records(0, 20));
    run(&scratch).says(65, &["DIVIDE_BY_ZERO"]);
    assert_eq!(scratch.published_rows(), 0);
}

#[test]
fn failing_records_are_set_aside_with_their_bytes_and_replayed_once() {
    let scratch = Scratch::new();
    scratch.write("p.sql", &pipeline("SET on_error = 'dead_letter';", "100 div n"));
    scratch.write("in/a.json", &format!("{}not json\n", records(0, 95)));
    let ended = run(&scratch);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(scratch.published_rows(), 85);

    let groups = dlq(&scratch, &["list"]);
    assert_eq!(groups[0]["count"], 10);
    assert_eq!((&groups[0]["stage"], &groups[0]["code"]), (&"expression".into(), &"DIVIDE_BY_ZERO".into()));
    assert_eq!((&groups[1]["stage"], &groups[1]["count"]), (&"decode".into(), &1.into()));
    let records_30 = dlq(&scratch, &["list", "--records", "--code", "DIVIDE_BY_ZERO"]);
    let id = records_30[3]["id"].as_str().unwrap();
    let masked = dlq(&scratch, &["show", id]);
    assert_eq!(masked["value"], "{\"id\":\"<number>\",\"n\":\"<number>\"}");
    assert!(!scratch.path().join("ck/audit.jsonl").exists());
    assert_eq!(dlq(&scratch, &["show", id, "--unmasked"])["value"], "{\"id\":30,\"n\":0}");
    let audit = std::fs::read_to_string(scratch.path().join("ck/audit.jsonl")).unwrap();
    assert!(audit.lines().count() == 1 && audit.contains(id) && audit.contains("\"uid\":"), "{audit}");
    let unnoted = scratch.run(&["dlq", "show", id, "--table", "ck/dead_letters", "--unmasked"]);
    unnoted.says(64, &["only where that can be noted", "--checkpoint"]);

    // they fail again as long as nothing is mended, each under an id of its own
    assert_eq!(dlq(&scratch, &["replay", "--id", id])["records"], 1);
    assert_eq!(run(&scratch).code, Some(0));
    let again = dlq(&scratch, &["list", "--records", "--code", "DIVIDE_BY_ZERO"]);
    assert_eq!(again.as_array().unwrap().len(), 11);
    assert_eq!(again[10]["id"], format!("{id}/replay-1"));

    // and go through when it is
    scratch.write("p.sql", &pipeline("SET on_error = 'dead_letter';", "100 div nullif(n, 0)"));
    let replayed = dlq(&scratch, &["replay", "--code", "DIVIDE_BY_ZERO"]);
    assert_eq!((&replayed["records"], &replayed["already_replayed"]), (&10.into(), &1.into()));
    assert_eq!(run(&scratch).code, Some(0));
    assert_eq!(scratch.published_rows(), 95);

    // once: not by another start, and not by another replay
    assert!(dlq(&scratch, &["replay", "--code", "DIVIDE_BY_ZERO"])["replay"].is_null());
    scratch.write("in/b.json", &records(101, 5));
    assert_eq!(run(&scratch).code, Some(0));
    assert_eq!(scratch.published_rows(), 100);
}

#[test]
fn too_many_bad_records_stop_the_query_before_anything_is_written() {
    let scratch = Scratch::new();
    let limit = "SET on_error = 'dead_letter'; SET dead_letter_max_rate = 0.05;";
    scratch.write("p.sql", &pipeline(limit, "100 div n"));
    scratch.write("in/a.json", &records(0, 200));
    run(&scratch).says(65, &["20 of the 200 records", "dead_letter_max_rate", "DEAD_LETTER_RATE_EXCEEDED"]);
    assert_eq!(scratch.published_rows(), 0);
    // the same records are tried again, and none is lost, when the query is mended
    scratch.write("p.sql", &pipeline(limit, "100 div nullif(n, 0)"));
    assert_eq!(run(&scratch).code, Some(0));
    assert_eq!(scratch.published_rows(), 200);
}

#[test]
fn a_replay_that_is_killed_at_any_step_is_done_once() {
    for step in ["planned", "plan-torn", "plan-logged", "executing", "state-put", "sink-staging", "sink-committed"] {
        let scratch = Scratch::new();
        let table = "SET on_error = 'dead_letter'; SET dead_letter = 'letters';
            CREATE TABLE letters WITH (connector = 'delta', path = 'letters');";
        scratch.write("p.sql", &pipeline(table, "100 div n"));
        scratch.write("in/a.json", &records(0, 100));
        assert_eq!(run(&scratch).code, Some(0));
        assert_eq!(scratch.published_rows(), 90);
        // half of the letters can be divided now, the others fail once more
        scratch.write("p.sql", &pipeline(table, "100 div if(id < 50, 1, n)"));
        assert_eq!(dlq(&scratch, &["replay", "--all", "--table", "letters"])["records"], 10);
        let fault = format!("{step}:1:kill");
        let killed = ["run", "p.sql", "--checkpoint", "ck", "--trigger", "available-now", "--progress", "off"];
        let killed = scratch.run(&[&killed[..], &["--listen", "off", "--fault", &fault]].concat());
        assert_eq!(killed.code, None, "{step} was not reached: {killed:?}");
        assert_eq!(run(&scratch).code, Some(0), "{step}");
        assert_eq!(scratch.published_rows(), 95, "{step}");
        let letters = dlq(&scratch, &["list", "--records", "--table", "letters"]);
        let again = letters.as_array().unwrap().iter().filter(|letter| letter["replay"] == 1).count();
        assert_eq!((letters.as_array().unwrap().len(), again), (15, 5), "{step}");
    }
}

#[test]
fn what_is_missing_is_said() {
    let scratch = Scratch::new();
    scratch.run(&["dlq", "list"]).says(64, &["--checkpoint DIR"]);
    scratch.run(&["dlq", "list", "--checkpoint", "ck"]).says(64, &["there are no dead letters"]);
    scratch.run(&["dlq", "replay", "--checkpoint", "ck", "--all"]).says(64, &["there is no checkpoint in ck"]);
}
