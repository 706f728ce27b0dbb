//! The page of `run`, its routes, and the summary at the end.

use crate::support::{Scratch, finish};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::{Duration, Instant};

/// A stream that never ends, with bad records and late rows in it.
const EVENTS: &str = "
SET trigger = 'processing-time 100ms';
CREATE TABLE events (WATERMARK FOR timestamp AS timestamp - INTERVAL '1 second') WITH (connector = 'generator',
    shape = 'user-events', rows_per_second = 2000, late = '1%', malformed = '1%', format = 'json');
CREATE TABLE counts WITH (connector = 'files', path = 'out', format = 'parquet');
INSERT INTO counts SELECT window, country, count(*) AS n FROM events GROUP BY window(timestamp, '1 second'), country;
";

/// From this many rows on the summary has figures for a million events.
const ROWS_PRICED: u64 = 1_000;

/// A run, and where its page is.
struct Run {
    child: Child,
    err: BufReader<std::process::ChildStderr>,
    address: String,
}

impl Run {
    fn start(scratch: &Scratch, listen: &str) -> Self {
        let mut child = scratch.start(&["run", "events.sql", "--checkpoint", "ckpt", "--listen", listen]);
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        err.read_line(&mut first).unwrap();
        let address = first.trim().strip_prefix("page: http://").unwrap_or_else(|| panic!("not a page: {first}"));
        Run { child, err, address: address.to_owned() }
    }

    /// Status and text of an answer.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }

    fn json(&self, path: &str) -> Value {
        let (_, answer) = self.get(path);
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// The query, as soon as it has written something.
    fn wait_for_rows(&self) -> Value {
        let started = Instant::now();
        loop {
            let query = self.json("/queries")["queries"][0].clone();
            let enough = query["rowsIn"].as_u64() >= Some(ROWS_PRICED);
            if enough && query["rowsOut"].as_u64() > Some(0) && query["deadLetters"].as_u64() > Some(0) {
                return query;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "no rows: {query}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses Ctrl-C; gives the exit code and what it printed since.
    fn interrupt(mut self) -> (Option<i32>, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let mut err = String::new();
        self.err.read_to_string(&mut err).unwrap();
        (finish(self.child).code, err)
    }
}

#[test]
fn a_run_is_seen_while_it_runs_and_summed_up_when_it_ends() {
    let scratch = Scratch::new();
    scratch.write("events.sql", EVENTS);
    let run = Run::start(&scratch, "127.0.0.1:0");
    let query = run.wait_for_rows();
    assert_eq!(query["status"], "running", "{query}");
    assert!(query["rowsIn"].as_u64() > query["rowsOut"].as_u64(), "{query}");
    let name = query["name"].as_str().unwrap().to_owned();
    for (path, words) in [
        ("/", "<title>Tidemill</title>"),
        ("/page.css", ":root"),
        ("/page.js", "import"),
        ("/livez", "ok"),
        ("/readyz", r#""ready":true"#),
        ("/metrics", "tidemill_source_records_total{query="),
        ("/metrics", "# EOF"),
        ("/queries", r#""perMillionEvents""#),
    ] {
        let (status, answer) = run.get(path);
        assert!(status == 200 && answer.contains(words), "{path} lacks {words}: {answer}");
    }
    let reports = run.json(&format!("/queries/{name}/progress?last=3"));
    let last = &reports.as_array().unwrap()[reports.as_array().unwrap().len() - 1];
    assert!(last["durationMs"]["triggerExecution"].as_f64() > Some(0.0), "{last}");
    assert_eq!(last["sinks"].as_array().map(Vec::len), Some(1), "{last}");
    assert_eq!(run.get("/queries/none/progress").0, 404);
    let (code, err) = run.interrupt();
    assert_eq!(code, Some(0), "{err}");
    for words in [
        "events: stopped",
        "rows in",
        "counts (files)",
        "dead letters",
        "late rows",
        "latency p50",
        "per million events",
    ] {
        assert!(err.contains(words), "{words} is missing in\n{err}");
    }
}

#[test]
fn a_taken_port_is_an_error_when_it_was_asked_for() {
    let scratch = Scratch::new();
    scratch.write("events.sql", EVENTS);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    scratch.run(&["run", "events.sql", "--listen", &address]).says(74, &[&address, "'off' for no page"]);
    scratch.run(&["run", "events.sql", "--listen", "nowhere"]).says(64, &["'nowhere' is no address", "127.0.0.1:4040"]);
}

#[test]
fn a_page_can_be_left_out_and_prices_replaced() {
    let scratch = Scratch::new();
    scratch.write("events.sql", &EVENTS.replace("2000,", "2000, number_of_rows = 100,"));
    let prices = r#"{"name": "ours", "currency": "EUR", "prices": [
        {"meter": "cpu", "unit": "vCPU-hour", "price": 1, "region": "here", "source": "contract", "as_of": "2026-01-31"}]}"#;
    scratch.write("prices.json", prices);
    let args = ["run", "events.sql", "--listen", "off", "--trigger", "available-now"];
    let ended = scratch.run(&[&args[..], &["--set", "price_book=prices.json"]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.err.contains("page:") && ended.err.contains("events: done"), "{}", ended.err);
    assert!(ended.err.contains("EUR") && ended.err.contains("prices of 2026-01-31"), "{}", ended.err);
    assert!(ended.err.contains("memory: "), "{}", ended.err);
    scratch.run(&[&args[..], &["--price-book", "none.json"]].concat()).says(64, &["none.json"]);
    let quiet = scratch.run(&[&args[..], &["--progress", "off"]].concat());
    assert_eq!((quiet.code, quiet.err.as_str()), (Some(0), ""));
    let quieter = scratch.run(&["-q", "run", "events.sql", "--listen", "127.0.0.1:0", "--trigger", "available-now"]);
    assert_eq!((quieter.code, quieter.err.as_str()), (Some(0), ""));
}
