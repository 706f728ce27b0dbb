//! What `run` shows while it runs: a line that moves, or a line of JSON an epoch.

use crate::output;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidemill_core::Clock;
use tidemill_engine::progress::{EpochReport, Listener, iso};

/// What to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ProgressKind {
    /// A line that moves.
    Bar,
    /// Every epoch's report on standard output, a line of JSON each.
    Json,
    /// Nothing.
    Off,
}

/// Least time between two changes of the line.
const REDRAW: Duration = Duration::from_millis(100);

/// Shows progress.
pub struct Shown {
    kind: ProgressKind,
    bar: ProgressBar,
    clock: Arc<dyn Clock>,
    totals: Mutex<Totals>,
}

#[derive(Default)]
struct Totals {
    rows: u64,
    dead_letters: u64,
    drawn_at: Option<Duration>,
    rows_drawn: u64,
    rate: f64,
}

impl Shown {
    /// Shows progress on standard error, or JSON on standard output.
    pub fn new(kind: ProgressKind, clock: Arc<dyn Clock>) -> Self {
        let visible = kind == ProgressKind::Bar && std::io::stderr().is_terminal();
        let bar = if visible { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Shown { kind, bar, clock, totals: Mutex::default() }
    }

    /// A line beside the moving one.
    pub fn note(&self, text: &str) {
        self.bar.suspend(|| output::note(text));
    }

    /// Takes the moving line away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn redraw(&self, report: &EpochReport) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.rows += report.progress.num_input_rows;
        totals.dead_letters += report.progress.dead_letters;
        let now = self.clock.elapsed();
        let since = totals.drawn_at.map(|drawn| now.saturating_sub(drawn));
        if since.is_some_and(|since| since < REDRAW) {
            return;
        }
        if let Some(since) = since {
            totals.rate = (totals.rows - totals.rows_drawn) as f64 / since.as_secs_f64();
        }
        (totals.drawn_at, totals.rows_drawn) = (Some(now), totals.rows);
        let progress = &report.progress;
        let mut line = format!("epoch {}  {} rows  {:.0} rows/s", progress.batch_id, totals.rows, totals.rate);
        if let Some(latency) = progress.latency_ms {
            line += &format!("  latency p50 {:.1} ms p99 {:.1} ms", latency.p50, latency.p99);
        }
        if let Some(millis) = report.next_watermark.filter(|millis| *millis > 0) {
            line += &format!("  watermark {}", iso(millis.saturating_mul(1000)));
        }
        if totals.dead_letters > 0 {
            line += &format!("  {} dead letters", totals.dead_letters);
        }
        self.bar.set_message(line);
        self.bar.tick();
    }
}

impl Listener for Shown {
    fn on_epoch(&self, report: &EpochReport) {
        match self.kind {
            ProgressKind::Off => {}
            ProgressKind::Json => output::line(serde_json::to_string(&report.progress).unwrap_or_default()),
            ProgressKind::Bar => self.redraw(report),
        }
    }
}
