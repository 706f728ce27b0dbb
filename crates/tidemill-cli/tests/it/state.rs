//! `tidemill state`: what a checkpoint holds is shown, taken out, changed, copied and checked.

use crate::support::{Ended, Scratch, WORDS, finish};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

const WORDS_TABLE: &str = "
CREATE TABLE words (word STRING, n INT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '1 minute')
    WITH (connector = 'files', path = 'in', format = 'json');
CREATE TABLE counts WITH (connector = 'files', path = 'out', format = 'json', output_mode = 'update');
";
const SUMS: &str = "INSERT INTO counts SELECT word, sum(n) AS total, count(*) AS c FROM words GROUP BY word;";
const WINDOWS: &str = "INSERT INTO counts SELECT window, word, max(n) AS most FROM words
    GROUP BY window(ts, '10 minutes', '5 minutes'), word;";
const BACKENDS: [&str; 2] = ["state_backend=memory", "state_backend=rocksdb"];

fn run(scratch: &Scratch, set: &[&str]) {
    let args =
        ["run", "p.sql", "--checkpoint", "ck", "--trigger", "available-now", "--progress", "off", "--listen", "off"];
    let set: Vec<&str> = set.iter().flat_map(|setting| ["--set", setting]).collect();
    let ended = scratch.run(&[&args[..], &set].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

fn ran(query: &str, set: &[&str]) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("p.sql", &format!("{WORDS_TABLE}{query}"));
    scratch.write("in/a.json", WORDS);
    run(&scratch, set);
    scratch
}

fn state(scratch: &Scratch, args: &[&str]) -> Ended {
    let ended = scratch.run(&[&["state"], args].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

/// The rows of the state, in the order of their text.
fn shown(scratch: &Scratch, args: &[&str]) -> Vec<Value> {
    let out = state(scratch, &[&["show", "--limit", "0", "--format", "json"], args].concat()).out;
    let mut lines: Vec<&str> = out.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Rows of the result table, later ones of a word in place of earlier ones.
fn total(scratch: &Scratch, word: &str) -> i64 {
    let logs = files_below(&scratch.path().join("out/_tidemill/log"));
    let mut last = None;
    for log in logs.iter().filter(|path| path.extension().is_some_and(|end| end == "json")) {
        let manifest: Value = serde_json::from_slice(&std::fs::read(log).unwrap()).unwrap();
        for file in manifest["files"].as_array().unwrap() {
            let rows =
                std::fs::read_to_string(scratch.path().join("out").join(file["name"].as_str().unwrap())).unwrap();
            for row in rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
                if row["word"] == word {
                    last = row["total"].as_i64();
                }
            }
        }
    }
    last.unwrap()
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

#[test]
fn the_journal_and_a_snapshot_show_the_same_state() {
    for query in [SUMS, WINDOWS] {
        let mut all = vec![];
        for backend in BACKENDS {
            let saved = ran(query, &[backend]);
            let by_snapshot = shown(&saved, &["ck"]);
            assert!(by_snapshot.len() >= 2, "{by_snapshot:?}");
            assert_eq!(by_snapshot, shown(&saved, &["ck", "--pipeline", "p.sql"]));
            let killed = ran(query, &[backend, "snapshot_at_stop=false"]);
            scratch_is_clean(&killed);
            assert_eq!(by_snapshot, shown(&killed, &["ck", "--pipeline", "p.sql", "--set", backend]));
            scratch_is_clean(&killed);
            let ended = killed.run(&["state", "show", "ck"]);
            ended.says(64, &["has no snapshot", "--pipeline"]);
            all.push(by_snapshot);
        }
        assert_eq!(all[0], all[1], "{query}");
    }
}

fn scratch_is_clean(scratch: &Scratch) {
    let left = files_below(&scratch.path().join("ck"));
    assert!(!left.iter().any(|path| path.display().to_string().contains(".reading-")), "{left:?}");
}

#[test]
fn rows_are_picked_by_a_condition_and_sizes_add_up() {
    for backend in BACKENDS {
        let scratch = ran(SUMS, &[backend]);
        let rows = shown(&scratch, &["ck", "--where", "word = 'a' AND count > 1"]);
        assert_eq!((rows.len(), &rows[0]["word"]), (1, &Value::from("a")));
        assert!(shown(&scratch, &["ck", "--where", "word LIKE 'z%'"]).is_empty());
        scratch.run(&["state", "show", "ck", "--where", "wrd = 'a'"]).says(78, &["wrd", "did you mean `word`?"]);
        scratch.run(&["state", "show", "ck", "--operator", "nothing"]).says(64, &["counts/aggregate"]);
        let sizes: Value = serde_json::from_str(&state(&scratch, &["size", "ck", "--format", "json"]).out).unwrap();
        let groups = sizes[0]["groups"].as_array().unwrap();
        let sum = |of: &str| groups.iter().map(|group| group[of].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum("rows"), sum("bytes")), (2, sizes[0]["bytes"].as_u64().unwrap()));
        assert_eq!(sizes[0]["largest"].as_array().unwrap().len(), 2);
        let list: Value = serde_json::from_str(&state(&scratch, &["ls", "ck", "--format", "json"]).out).unwrap();
        assert_eq!(
            (&list["operators"][0]["rows"], &list["operators"][0]["keys"][0]),
            (&2.into(), &"words.word".into())
        );
    }
}

/// Exports the state, changes a number in the file, imports it; gives what the import said.
fn edited(scratch: &Scratch, backend: &str, file: &str, mode: &str) -> Ended {
    scratch.run(&["state", "import", "ck", "--pipeline", "p.sql", "--set", backend, "--from", file, "--mode", mode])
}

#[test]
fn an_edited_row_is_what_the_query_goes_on_with_and_is_on_record() {
    for backend in BACKENDS {
        let scratch = ran(SUMS, &[backend]);
        state(&scratch, &["export", "ck", "--to", "all.jsonl"]);
        state(&scratch, &["export", "ck", "--to", "all.parquet"]);
        let rows = std::fs::read_to_string(scratch.path().join("all.jsonl")).unwrap();
        let line = rows.lines().find(|line| line.contains("\"word\":\"a\"")).unwrap();
        let mut row: Value = serde_json::from_str(line).unwrap();
        let sum = row.as_object().unwrap().iter().find(|(_, value)| **value == 5).unwrap().0.clone();
        row[&sum] = 1000.into();
        scratch.write("edit.jsonl", &format!("{row}\n"));
        assert_eq!(edited(&scratch, backend, "edit.jsonl", "upsert").code, Some(0));
        assert_eq!(shown(&scratch, &["ck", "--where", &format!("{sum} = 1000")]).len(), 1);

        scratch.write("in/b.json", "{\"word\":\"a\",\"n\":1,\"ts\":\"2024-01-01T12:20:00Z\"}\n");
        run(&scratch, &[backend]);
        assert_eq!(total(&scratch, "a"), 1001, "{backend}");

        // all as it was, from the other kind of file
        assert_eq!(edited(&scratch, backend, "all.parquet", "replace").code, Some(0));
        let sums: Vec<i64> = shown(&scratch, &["ck"]).iter().map(|row| row[&sum].as_i64().unwrap()).collect();
        assert_eq!(sums, [5, 2]);
        assert_eq!(edited(&scratch, backend, "edit.jsonl", "delete").code, Some(0));
        assert_eq!(shown(&scratch, &["ck"]).len(), 1);

        let audit = state(&scratch, &["ls", "ck", "--audit", "--format", "json"]).out;
        let lines: Vec<Value> = serde_json::from_str(&audit).unwrap();
        let said: Vec<(&Value, &Value, &Value)> =
            lines.iter().map(|line| (&line["mode"], &line["rows_before"], &line["rows_after"])).collect();
        assert_eq!(
            said,
            [
                (&"upsert".into(), &2.into(), &2.into()),
                (&"replace".into(), &2.into(), &2.into()),
                (&"delete".into(), &2.into(), &1.into())
            ]
        );
        assert_ne!(lines[0]["digest_before"], lines[0]["digest_after"]);
        assert_eq!(lines[0]["digest_before"], lines[1]["digest_after"], "the same rows have the same digest");
        assert_eq!(state(&scratch, &["verify", "ck"]).code, Some(0));
    }
}

#[test]
fn windows_that_were_put_back_close_as_they_would_have() {
    let closing = WINDOWS.replace("INSERT", "SET output_mode = 'append';\nINSERT");
    let pipeline = format!("{}{closing}", WORDS_TABLE.replace(", output_mode = 'update'", ""));
    let mut ends = vec![];
    for backend in BACKENDS {
        for then in BACKENDS {
            for imports in [false, true] {
                let scratch = Scratch::new();
                scratch.write("p.sql", &pipeline);
                scratch.write("in/a.json", WORDS);
                run(&scratch, &[backend]);
                if imports {
                    state(&scratch, &["export", "ck", "--to", "all.parquet"]);
                    assert_eq!(edited(&scratch, backend, "all.parquet", "replace").code, Some(0));
                }
                let before = scratch.published_rows();
                scratch.write("in/b.json", "{\"word\":\"z\",\"n\":1,\"ts\":\"2024-01-01T13:00:00Z\"}\n");
                run(&scratch, &[then]);
                ends.push((before, scratch.published_rows()));
            }
        }
    }
    // a and b until 12:05; both until 12:10, a until 12:15
    assert!(ends.iter().all(|end| *end == (2, 5)), "{ends:?}");
}

#[test]
fn a_file_that_does_not_fit_changes_nothing() {
    let scratch = ran(SUMS, &[]);
    let before = shown(&scratch, &["ck"]);
    let memory = BACKENDS[0];
    for (content, words) in [
        ("{\"word\":\"a\",\"nonsense\":1}\n", &["nonsense"][..]),
        ("{\"word\":\"a\",\"count\":\"many\"}\n", &["count"]),
        ("not json\n", &["bad.jsonl"]),
    ] {
        scratch.write("bad.jsonl", content);
        edited(&scratch, memory, "bad.jsonl", "upsert").says(78, words);
    }
    state(&scratch, &["export", "ck", "--to", "all.jsonl"]);
    let twice = std::fs::read_to_string(scratch.path().join("all.jsonl")).unwrap().repeat(2);
    scratch.write("twice.jsonl", &twice);
    edited(&scratch, memory, "twice.jsonl", "upsert").says(78, &["two rows are for one key"]);
    edited(&scratch, memory, "none.jsonl", "upsert").says(64, &["none.jsonl"]);
    scratch.run(&["state", "import", "ck", "--from", "all.jsonl"]).says(64, &["--pipeline"]);
    assert_eq!(before, shown(&scratch, &["ck"]));
    assert_eq!(state(&scratch, &["ls", "ck", "--audit"]).out.trim(), "nothing was changed by hand");
}

#[test]
fn a_flipped_byte_in_any_file_is_named() {
    for backend in BACKENDS {
        let scratch = ran(SUMS, &[backend]);
        state(&scratch, &["export", "ck", "--to", "all.parquet"]);
        assert_eq!(edited(&scratch, backend, "all.parquet", "upsert").code, Some(0));
        scratch.write("in/b.json", WORDS);
        run(&scratch, &[backend]);
        assert_eq!(state(&scratch, &["verify", "ck"]).code, Some(0));
        state(&scratch, &["backup", "ck", "bk"]);
        for directory in ["ck", "bk"] {
            let files = files_below(&scratch.path().join(directory));
            let counts = |path: &&PathBuf| {
                let name = path.strip_prefix(scratch.path().join(directory)).unwrap();
                !name.starts_with("state") && !name.starts_with("lock") && path.metadata().unwrap().len() > 0
            };
            for file in files.iter().filter(counts) {
                let whole = std::fs::read(file).unwrap();
                for place in [0, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
                    let mut flipped = whole.clone();
                    flipped[place] ^= 1;
                    std::fs::write(file, &flipped).unwrap();
                    let ended = scratch.run(&["state", "verify", directory]);
                    let name = file.strip_prefix(scratch.path().join(directory)).unwrap().display().to_string();
                    assert!(ended.out.contains(&name), "{name}, byte {place}: {ended:?}");
                    assert_eq!(ended.code, Some(78), "{name}, byte {place}: {ended:?}");
                }
                std::fs::write(file, &whole).unwrap();
            }
            assert_eq!(state(&scratch, &["verify", directory]).code, Some(0));
        }
    }
}

/// A file that is there as a whole: the query that runs takes it at once.
fn arrive(scratch: &Scratch, name: &str) {
    let written = scratch.write(&format!("coming/{name}.json"), WORDS);
    std::fs::rename(written, scratch.path().join(format!("in/{name}.json"))).unwrap();
}

#[test]
fn a_copy_made_while_the_query_runs_goes_on_by_itself() {
    for backend in BACKENDS {
        let scratch = Scratch::new();
        scratch.write("p.sql", &format!("{WORDS_TABLE}{SUMS}"));
        scratch.write("in/a.json", WORDS);
        let running = scratch.start(&[
            "run",
            "p.sql",
            "--checkpoint",
            "ck",
            "--trigger",
            "asap",
            "--progress",
            "off",
            "--listen",
            "off",
            "--set",
            backend,
            "--set",
            "snapshot_bytes=1",
        ]);
        let log = scratch.path().join("out/_tidemill/log");
        for number in 0.. {
            assert!(number < 3000, "nothing was committed");
            if files_below(&log).len() > 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            arrive(&scratch, &format!("more-{number}"));
        }
        for copy in ["one", "two", "three"] {
            state(&scratch, &["backup", "ck", copy]);
            assert_eq!(state(&scratch, &["verify", copy]).code, Some(0));
            assert!(!shown(&scratch, &[copy, "--pipeline", "p.sql"]).is_empty());
            arrive(&scratch, copy);
        }
        scratch.run(&["state", "compact", "ck"]).says(76, &["another process"]);
        kill_process(Pid::from_child(&running), Signal::TERM).unwrap();
        assert_eq!(finish(running).code, Some(0));
        scratch.run(&["state", "backup", "ck", "three"]).says(64, &["there already"]);
        scratch.run(&["state", "restore", "three", "ck"]).says(64, &["there already"]);
        state(&scratch, &["backup", "ck", "last"]);
        let before = shown(&scratch, &["ck"]);
        std::fs::remove_dir_all(scratch.path().join("ck")).unwrap();
        state(&scratch, &["restore", "last", "ck"]);
        assert_eq!(before, shown(&scratch, &["ck"]));
        let known = total(&scratch, "a");
        scratch.write("in/z.json", WORDS);
        run(&scratch, &[backend]);
        assert_eq!(total(&scratch, "a"), known + 5);
    }
}

#[test]
fn what_was_let_go_leaves_the_store() {
    let two = "
CREATE TABLE others WITH (connector = 'files', path = 'others', format = 'json', output_mode = 'update');
INSERT INTO others SELECT word, max(n) AS most FROM words GROUP BY word;";
    for backend in BACKENDS {
        let scratch = ran(&format!("{two}{SUMS}"), &[backend]);
        scratch.write("p.sql", &format!("{WORDS_TABLE}{SUMS}"));
        scratch.write("in/b.json", WORDS);
        run(&scratch, &[backend, "state_loss=approve"]);
        let before = shown(&scratch, &["ck"]);
        let said = state(&scratch, &["compact", "ck"]).out;
        assert_eq!(said.contains("let go: others/aggregate"), backend.ends_with("rocksdb"), "{said}");
        assert_eq!(before, shown(&scratch, &["ck"]));
        let again = state(&scratch, &["compact", "ck", "--pipeline", "p.sql", "--set", backend]).out;
        assert!(!again.contains("let go"), "{again}");
        let snapshots = files_below(&scratch.path().join("ck/snapshots"));
        assert_eq!(snapshots.iter().filter(|path| path.ends_with("manifest.json")).count(), 1, "{snapshots:?}");
        assert_eq!(state(&scratch, &["verify", "ck"]).code, Some(0));
        scratch.write("in/c.json", WORDS);
        let known = total(&scratch, "a");
        run(&scratch, &[backend]);
        assert_eq!(total(&scratch, "a"), known + 5);
    }
}

#[test]
fn state_is_a_table_of_a_pipeline() {
    for backend in BACKENDS {
        let scratch = ran(SUMS, &[backend]);
        scratch.write(
            "q.sql",
            "CREATE TABLE s WITH (connector = 'statestore', path = 'ck', operatorId = '0');
             CREATE TABLE t WITH (connector = 'files', path = 'q', format = 'json');
             INSERT INTO t SELECT word, count FROM s WHERE count > 1;",
        );
        let args = ["run", "q.sql", "--trigger", "available-now", "--progress", "off", "--listen", "off"];
        for _ in 0..2 {
            let ended = scratch.run(&args);
            assert_eq!(ended.code, Some(0), "{ended:?}");
        }
        let rows: Vec<String> = files_below(&scratch.path().join("q"))
            .iter()
            .filter(|path| !path.display().to_string().contains("_tidemill"))
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        assert_eq!(rows, ["{\"word\":\"a\",\"count\":2}\n"]);
        let gone = scratch.run(&["check", "gone.sql"]);
        assert_eq!(gone.code, Some(64));
        scratch.write(
            "gone.sql",
            "CREATE TABLE s WITH (connector = 'statestore', path = 'no');
             CREATE TABLE t WITH (connector = 'console'); INSERT INTO t SELECT * FROM s;",
        );
        scratch.run(&["check", "gone.sql"]).says(64, &["there is no checkpoint in no"]);
    }
}

#[test]
fn a_program_on_loopback_is_told_another_parallelism() {
    let scratch = Scratch::new();
    scratch.write("p.sql", &format!("{WORDS_TABLE}{SUMS}"));
    scratch.write("in/a.json", WORDS);
    let mut running = scratch.start(&[
        "run",
        "p.sql",
        "--checkpoint",
        "ck",
        "--trigger",
        "asap",
        "--listen",
        "127.0.0.1:0",
        "--progress",
        "json",
    ]);
    let mut said = BufReader::new(running.stderr.take().unwrap()).lines();
    let address = said.find_map(|line| line.unwrap().strip_prefix("page: http://").map(str::to_owned)).unwrap();
    let mut epochs = BufReader::new(running.stdout.take().unwrap()).lines();
    assert!(epochs.next().unwrap().unwrap().contains("\"batchId\":0"));
    let post = |path: &str, more: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "POST {path} HTTP/1.1\r\nHost: {address}\r\n{more}Connection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(post("/parallelism?parallelism=3", "").starts_with("HTTP/1.1 202"));
    for (path, more, code) in [
        ("/parallelism?parallelism=0", "", "400"),
        ("/parallelism?parallelism=257", "", "400"),
        ("/parallelism?parallelism=2&query=none", "", "404"),
        ("/parallelism?parallelism=2", "Origin: http://evil.example\r\n", "403"),
        ("/parallelism?parallelism=2", "Sec-Fetch-Site: cross-site\r\n", "403"),
        ("/queries", "", "405"),
    ] {
        let answer = post(path, more);
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{path}: {answer}");
    }
    arrive(&scratch, "more");
    assert!(epochs.any(|line| line.unwrap().contains("\"numInputRows\":3")));
    kill_process(Pid::from_child(&running), Signal::TERM).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(0));
    assert_eq!(total(&scratch, "a"), 10);
}

#[test]
fn more_state_than_its_limit_stops_the_run() {
    for (backend, limit, words) in [
        (BACKENDS[0], "state_limit_rows=1", "the operator counts/aggregate keeps 2 rows of state"),
        (BACKENDS[1], "state_limit_rows=1", "the operator counts/aggregate keeps 2 rows of state"),
        (BACKENDS[0], "state_limit_bytes=1", "the operator counts/aggregate keeps"),
    ] {
        let scratch = Scratch::new();
        scratch.write("p.sql", &format!("{WORDS_TABLE}{SUMS}"));
        scratch.write("in/a.json", WORDS);
        let args =
            ["run", "p.sql", "--trigger", "available-now", "--progress", "off", "--listen", "off", "--set", backend];
        scratch.run(&[&args[..], &["--set", limit]].concat()).says(78, &["STATE_LIMIT_EXCEEDED", words, "raise"]);
        assert_eq!(scratch.published_rows(), 0);
        assert_eq!(scratch.run(&args).code, Some(0));
        assert_eq!(total(&scratch, "a"), 5);
    }
}
