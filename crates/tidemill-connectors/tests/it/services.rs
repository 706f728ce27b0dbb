//! The real services the tests talk to: those the environment names, or ones of our own, started once
//! for the whole binary by tests/services and ended with it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// A Kafka broker.
pub fn kafka() -> &'static str {
    static BOOTSTRAP: OnceLock<String> = OnceLock::new();
    BOOTSTRAP.get_or_init(|| std::env::var("KAFKA_BOOTSTRAP").unwrap_or_else(|_| start("kafka", "KAFKA_BOOTSTRAP")))
}

/// Starts one service, which ends when our end of its standard input closes: with this process.
fn start(kind: &str, variable: &str) -> String {
    static RUNNING: OnceLock<Child> = OnceLock::new();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/services/services.py");
    let mut child = Command::new("python3")
        .args([program, "run", kind])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs tests/services");
    let prefix = format!("export {variable}=");
    let mut value = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if let Some(given) = line.strip_prefix(&prefix) {
            value = Some(given.to_owned());
        }
        if line == "ready" {
            break;
        }
    }
    RUNNING.get_or_init(|| child);
    value.unwrap_or_else(|| panic!("{kind} did not start; its log is above"))
}
