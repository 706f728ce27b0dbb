//! A scratch directory with a pipeline in it, and the program.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest time a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A scratch directory.
pub struct Scratch(tempfile::TempDir);

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Scratch {
    pub fn new() -> Self {
        Scratch(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file; makes its directory.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.args(args).current_dir(self.path()).env_remove("TIDEMILL_LOG").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[&str]) -> Ended {
        finish(self.command(args).spawn().unwrap())
    }

    /// Rows that the files sink has published in `out`.
    pub fn published_rows(&self) -> u64 {
        let manifests = std::fs::read_dir(self.path().join("out/_tidemill/log")).into_iter().flatten().flatten();
        let rows = manifests.filter(|file| file.path().extension().is_some_and(|end| end == "json")).map(|file| {
            let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
            manifest["files"].as_array().unwrap().iter().map(|file| file["rows"].as_u64().unwrap()).sum::<u64>()
        });
        rows.sum()
    }

    /// Starts the program.
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }
}

/// Waits for a command; a command that does not end fails the test.
pub fn finish(mut child: Child) -> Ended {
    let started = Instant::now();
    // a pipe that nobody reads holds up who writes much
    let (out, err) = (drained(child.stdout.take()), drained(child.stderr.take()));
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
            let (out, err) = (out.join().unwrap(), err.join().unwrap());
            panic!("the command did not end: {out}{err}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ended { code: child.wait().unwrap().code(), out: out.join().unwrap(), err: err.join().unwrap() }
}

/// What comes through a pipe until its end; nothing for one that is not there.
fn drained(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_string(&mut text).unwrap();
        }
        text
    })
}

impl Ended {
    /// Asserts that it ended with one clear message: this code, these words, and one error only.
    #[track_caller]
    pub fn says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "missing {word:?} in\n{}", self.err);
        }
        assert_eq!(self.err.lines().filter(|line| line.starts_with("error")).count(), 1, "{}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

/// A pipeline that counts the words of `in/*.json` a minute and writes Parquet to `out`.
pub const COUNT: &str = "
CREATE TABLE words (word STRING, n INT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '1 minute')
    WITH (connector = 'files', path = 'in', format = 'json');
CREATE TABLE counts WITH (connector = 'files', path = 'out', format = 'parquet');
INSERT INTO counts SELECT window, word, sum(n) AS n FROM words GROUP BY window(ts, '1 minute'), word;
";

/// Rows of one file.
pub const WORDS: &str = r#"{"word":"a","n":1,"ts":"2024-01-01T12:00:10Z"}
{"word":"b","n":2,"ts":"2024-01-01T12:00:20Z"}
{"word":"a","n":4,"ts":"2024-01-01T12:09:00Z"}
"#;
