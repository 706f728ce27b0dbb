//! The verbs, run as people run them.

use crate::support::{COUNT, Scratch, WORDS};

#[test]
fn a_new_pipeline_checks_and_its_case_passes() {
    let scratch = Scratch::new();
    assert_eq!(scratch.run(&["new", "visits"]).code, Some(0));
    let checked = scratch.run(&["check", "visits/pipeline.sql"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let tested = scratch.run(&["test", "visits/cases"]);
    assert_eq!(
        (tested.code, tested.out.lines().last()),
        (Some(0), Some("1 passed, 0 failed, 0 skipped")),
        "{tested:?}"
    );
    scratch.run(&["new", "visits"]).says(64, &["is there already"]);
}

#[test]
fn explain_shows_the_flow_and_the_guarantee() {
    let scratch = Scratch::new();
    scratch.write("p.sql", COUNT);
    let explained = scratch.run(&["explain", "p.sql"]);
    assert_eq!(explained.code, Some(0), "{explained:?}");
    for words in
        ["source words (files)", "tumbling window of 1 minute", "=> counts (files, append)", "exactly once: words"]
    {
        assert!(explained.out.contains(words), "{words} is missing in\n{}", explained.out);
    }
}

#[test]
fn a_weaker_delivery_of_a_sink_is_explained_and_refused_where_more_is_asked() {
    let scratch = Scratch::new();
    let kafka = "connector = 'kafka', kafka.bootstrap.servers = '127.0.0.1:1', topic = 't', format = 'json', \
                 delivery = 'at-least-once'";
    scratch.write("p.sql", &COUNT.replace("connector = 'files', path = 'out', format = 'parquet'", kafka));
    let explained = scratch.run(&["explain", "p.sql"]);
    assert!(explained.out.contains("at least once: words"), "{}", explained.out);
    assert!(explained.out.contains("counts (kafka, at least once)"), "{}", explained.out);
    scratch
        .run(&["check", "p.sql", "--set", "delivery=exactly-once"])
        .says(78, &["reach the table 'counts' at least once"]);
}

#[test]
fn connectors_describe_themselves_to_people_and_programs() {
    let scratch = Scratch::new();
    let text = scratch.run(&["connectors"]).out;
    assert!(
        ["kafka", "files", "delta", "log", "generator", "console", "json"].iter().all(|name| text.contains(name)),
        "{text}"
    );
    let json: serde_json::Value = serde_json::from_str(&scratch.run(&["connectors", "--format", "json"]).out).unwrap();
    assert!(json.as_array().unwrap().iter().any(|one| one["name"] == "kafka" && one["role"] == "sink"));
    scratch.run(&["connectors", "kafak"]).says(64, &["did you mean 'kafka'?"]);
}

#[test]
fn a_pipeline_runs_and_goes_on_where_it_stopped() {
    let scratch = Scratch::new();
    scratch.write(
        "p.sql",
        &COUNT.replace("connector = 'files', path = 'out', format = 'parquet'", "connector = 'console'"),
    );
    scratch.write("in/a.json", WORDS);
    let args = [
        "run",
        "p.sql",
        "--checkpoint",
        "ckpt",
        "--trigger",
        "available-now",
        "--progress",
        "off",
        "--listen",
        "127.0.0.1:0",
    ];
    let first = scratch.run(&args);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.out.contains("2024-01-01 12:00") && first.out.contains('a'), "{}", first.out);
    let again = scratch.run(&args);
    assert!(again.code == Some(0) && !again.out.contains("Batch"), "{again:?}");
    scratch.write("in/b.json", "{\"word\":\"c\",\"n\":7,\"ts\":\"2024-01-01T12:30:00Z\"}\n");
    let third = scratch.run(&args);
    assert!(third.out.contains("12:09") && !third.out.contains("12:00"), "{}", third.out);
}

#[test]
fn a_pipeline_goes_on_from_a_snapshot_of_its_last_epoch() {
    let scratch = Scratch::new();
    scratch.write("p.sql", COUNT);
    scratch.write("in/a.json", WORDS);
    let args = ["run", "p.sql", "--trigger", "available-now", "--set", "snapshot_bytes=1", "--listen", "127.0.0.1:0"];
    for _ in 0..2 {
        let ended = scratch.run(&args);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

#[test]
fn help_names_every_verb() {
    let help = Scratch::new().run(&["--help"]);
    assert_eq!(help.code, Some(0));
    for verb in ["run", "check", "explain", "plan", "test", "connectors", "new"] {
        assert!(help.out.contains(verb), "{}", help.out);
    }
}
