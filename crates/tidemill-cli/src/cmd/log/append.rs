//! `tidemill log append`: lines of standard input become records.

use super::{Keeping, Topic};
use crate::output;
use clap::Args;
use memchr::memchr;
use std::io::Read as _;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use tidemill_connectors::log::{Append as Records, LogRecord, LogWriter};
use tidemill_core::{Clock, Error, Kind, Result, SystemClock};

/// Bytes read at a time.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that are read ahead.
const PIECES_MAX: usize = 64;
/// Longest line.
const LINE_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Args)]
pub(super) struct Append {
    #[command(flatten)]
    topic: Topic,

    /// Partitions of a topic that is not there yet.
    #[arg(long)]
    partitions: Option<u32>,

    /// What stands before this text is the record's key, whose hash chooses the partition.
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,

    /// Most records that become durable together; what is there is not kept waiting for more.
    #[arg(long, default_value_t = 10_000)]
    batch: u32,

    #[command(flatten)]
    keeping: Keeping,
}

impl Append {
    pub(super) fn run(self) -> Result<u8> {
        let clock = SystemClock::new();
        let mut writer = LogWriter::open(&self.topic.log, &self.topic.topic, self.keeping.options(self.partitions))?;
        let began = clock.elapsed();
        let mut lines = Lines::of_input();
        let mut total = 0;
        loop {
            let mut records = writer.begin(total);
            let count = self.fill(&mut records, &mut lines)?;
            if count == 0 {
                break;
            }
            writer.commit(records, None, clock.now_micros())?;
            total += count;
        }
        let seconds = clock.elapsed().saturating_sub(began).as_secs_f64();
        let rate = total as f64 / seconds.max(1e-9);
        output::note(format!("{total} records appended in {seconds:.2} s ({rate:.0} a second)"));
        Ok(0)
    }

    /// Adds lines until the batch is full or no more are there at the moment; how many.
    fn fill(&self, records: &mut Records, lines: &mut Lines) -> Result<u64> {
        let mut count = 0;
        while count < self.batch.max(1) {
            let Some(line) = lines.next(count == 0)? else { break };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let parts = self.key_separator.as_deref().and_then(|separator| split(line, separator.as_bytes()));
            let (key, value) = parts.map_or((None, line), |(key, value)| (Some(key), value));
            records.push_by_key(&LogRecord { key, value: Some(value), ..LogRecord::default() })?;
            count += 1;
        }
        Ok(u64::from(count))
    }
}

fn split<'a>(line: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = line.windows(separator.len().max(1)).position(|part| part == separator)?;
    Some((&line[..at], &line[at + separator.len()..]))
}

/// Lines of standard input, which a thread reads while the disk works.
struct Lines {
    pieces: Receiver<std::io::Result<Vec<u8>>>,
    /// What was read, up to where it was used, and where the search for the next end of a line goes on.
    held: Vec<u8>,
    used: usize,
    searched: usize,
    is_over: bool,
}

impl Lines {
    fn of_input() -> Self {
        let (send, pieces) = sync_channel(PIECES_MAX);
        std::thread::spawn(move || read(&send));
        Lines { pieces, held: Vec::new(), used: 0, searched: 0, is_over: false }
    }

    /// The next line without its end; `None` at the end of the input, or when there is none now and it is not to be
    /// waited for.
    fn next(&mut self, waits: bool) -> Result<Option<&[u8]>> {
        loop {
            if let Some(length) = memchr(b'\n', &self.held[self.searched..]) {
                let line = self.used..self.searched + length;
                (self.used, self.searched) = (line.end + 1, line.end + 1);
                return Ok(Some(&self.held[line]));
            }
            self.searched = self.held.len();
            if self.held.len() - self.used > LINE_BYTES_MAX {
                return Err(Error::new(Kind::Data, format!("a line has more than {LINE_BYTES_MAX} bytes"))
                    .help("records are lines: is the input text?"));
            }
            if self.is_over {
                // the last line may lack its end
                let line = self.used..self.held.len();
                self.used = line.end;
                return Ok(Some(&self.held[line]).filter(|line| !line.is_empty()));
            }
            let piece = match waits {
                true => self.pieces.recv().ok(),
                false => match self.pieces.try_recv() {
                    Err(TryRecvError::Empty) => return Ok(None),
                    piece => piece.ok(),
                },
            };
            self.held.drain(..self.used);
            (self.used, self.searched) = (0, self.searched - self.used);
            match piece {
                Some(piece) => {
                    let piece = piece.map_err(|cause| Error::io("cannot read standard input", cause))?;
                    self.held.extend_from_slice(&piece);
                }
                None => self.is_over = true,
            }
        }
    }
}

/// Reads standard input until its end, or until nobody takes it any more.
fn read(send: &SyncSender<std::io::Result<Vec<u8>>>) {
    let mut input = std::io::stdin().lock();
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let read = match input.read(&mut piece) {
            Ok(0) => return,
            Ok(count) => {
                piece.truncate(count);
                Ok(piece)
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(cause) => Err(cause),
        };
        if send.send(read).is_err() {
            return;
        }
    }
}
