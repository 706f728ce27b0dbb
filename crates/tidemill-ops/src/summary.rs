//! The closing summary of a run, as numbers and as text.

use crate::cost::{Bill, short};

use crate::monitor::Everything;
use crate::record::{LatencyHistogram, Percentiles};
use std::fmt::Write as _;

/// Fewest rows from which a figure for a million is told.
const ROWS_MIN: u64 = 1000;

/// What happened in a run, over all its queries.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Seconds since the monitor was made.
    pub seconds: f64,
    /// Good rows read.
    pub rows_in: u64,
    /// Each sink's table, connector and rows; those of the dead letters are not among them.
    pub sinks: Vec<(String, &'static str, u64)>,
    /// Bad records.
    pub dead_letters: u64,
    /// Rows dropped because they were late.
    pub late_rows: u64,
    /// Epochs committed.
    pub epochs: u64,
    /// The longest epoch, in milliseconds.
    pub longest_epoch: f64,
    /// Time from a row's entry into its source to its commit in every sink, in milliseconds; `None` when no
    /// source knows when its rows entered.
    pub latency: Option<Percentiles>,
    /// Processor time of the process, in seconds; `None` when not known.
    pub cpu_seconds: Option<f64>,
    /// The most memory it had, in bytes; `None` when not known.
    pub peak_bytes: Option<u64>,
    /// What it cost.
    pub bill: Bill,
}

impl Summary {
    pub(crate) fn of(everything: &Everything<'_>) -> Self {
        let mut latency = LatencyHistogram::default();
        everything.queries.iter().for_each(|query| latency.merge(&query.latency));
        let sum = |of: fn(&crate::record::query::Totals) -> u64| {
            everything.queries.iter().map(|query| of(&query.totals)).sum()
        };
        let sinks = everything.queries.iter().flat_map(|query| &query.sinks).filter(|sink| !sink.dead_letters);
        Summary {
            seconds: everything.now.elapsed.saturating_sub(everything.began.elapsed).as_secs_f64(),
            rows_in: sum(|totals| totals.rows_in),
            sinks: sinks.map(|sink| (sink.name.table.clone(), sink.name.connector, sink.rows)).collect(),
            dead_letters: sum(|totals| totals.dead_letters),
            late_rows: sum(|totals| totals.late_rows),
            epochs: sum(|totals| totals.epochs),
            longest_epoch: everything.queries.iter().map(|query| query.longest_epoch).fold(0.0, f64::max),
            latency: latency.percentiles(),
            cpu_seconds: everything.cpu_seconds,
            peak_bytes: everything.usage.peak_bytes,
            bill: everything.bill.clone(),
        }
    }

    /// The text people see: one line a fact, aligned, without a line for what is not known.
    pub fn text(&self) -> String {
        let mut table = Table::default();
        let rate = (self.rows_in as f64 / self.seconds.max(0.001)).round() as u64;
        table.row("rows in", &grouped(self.rows_in), &format!("{} rows/s over {}", grouped(rate), time(self.seconds)));
        for (place, (sink, connector, rows)) in self.sinks.iter().enumerate() {
            table.row(if place == 0 { "rows out" } else { "" }, &grouped(*rows), &format!("{sink} ({connector})"));
        }
        table.row("dead letters", &grouped(self.dead_letters), "");
        table.row("late rows", &grouped(self.late_rows), "");
        let longest = format!("the longest took {}", millis(self.longest_epoch));
        table.row("epochs", &grouped(self.epochs), if self.epochs > 0 { &longest } else { "" });
        if let Some(Percentiles { p50, p95, p99, .. }) = self.latency {
            table.row("latency p50", &millis(p50), &format!("p95 {}, p99 {}", millis(p95), millis(p99)));
        }
        self.processor(&mut table);
        self.cost(&mut table);
        table.text()
    }

    /// What a figure of the whole run is for a million events; `None` for too few to say.
    fn per_million(&self, whole: f64) -> Option<f64> {
        (self.rows_in >= ROWS_MIN).then(|| whole * 1e6 / self.rows_in as f64)
    }

    fn processor(&self, table: &mut Table) {
        let Some(seconds) = self.cpu_seconds else { return };
        let memory = self.peak_bytes.map(|peak| format!(", {} MiB of memory at most", grouped(peak >> 20)));
        let note = format!("{} in all{}", time(seconds), memory.unwrap_or_default());
        match self.per_million(seconds) {
            Some(each) => table.row("CPU", &format!("{} s", short(each)), &format!("per million events; {note}")),
            None => table.row("CPU", "", &note),
        }
    }

    fn cost(&self, table: &mut Table) {
        let bill = &self.bill;
        if bill.unpriced.len() == bill.lines.len() {
            return;
        }
        let of = bill.as_of.as_ref().map_or_else(|| "prices without a date".into(), |day| format!("prices of {day}"));
        let note = format!("{} {} in all; {of}", short(bill.total), bill.currency);
        match self.per_million(bill.total) {
            Some(each) => table.row("cost", &short(each), &format!("{} per million events; {note}", bill.currency)),
            None => table.row("cost", "", &note),
        }
        for line in bill.lines.iter().filter(|line| line.quantity != Some(0.0)) {
            table.row("", "", &format!("{}: {}", line.meter, line.formula));
        }
    }
}

/// Lines of a name, a value to the right, and a note.
#[derive(Default)]
struct Table(Vec<(String, String, String)>);

impl Table {
    fn row(&mut self, name: &str, value: &str, note: &str) {
        self.0.push((name.to_owned(), value.to_owned(), note.to_owned()));
    }

    fn text(&self) -> String {
        let width = |of: fn(&(String, String, String)) -> &String| {
            self.0.iter().map(|row| of(row).chars().count()).max().unwrap_or_default()
        };
        let (names, values) = (width(|row| &row.0), width(|row| &row.1));
        let mut text = String::new();
        for (name, value, note) in &self.0 {
            let line = format!("  {name:<names$}  {value:>values$}  {note}");
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text.truncate(text.trim_end().len());
        text
    }
}

/// Digits in threes.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn millis(millis: f64) -> String {
    if millis >= 10_000.0 { time(millis / 1000.0) } else { format!("{} ms", short(millis)) }
}

fn time(seconds: f64) -> String {
    match seconds {
        under if under < 120.0 => format!("{under:.1} s"),
        under if under < 7200.0 => format!("{:.0} min {:02.0} s", (under / 60.0).floor(), (under % 60.0).floor()),
        long => format!("{:.0} h {:02.0} min", (long / 3600.0).floor(), (long % 3600.0 / 60.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::PriceBook;
    use crate::cost::Used;
    use std::time::Duration;

    #[test]
    fn the_text_is_aligned_and_says_what_is_known() {
        let used = Used {
            cpu_seconds: Some(3.0),
            peak_bytes: Some(100 << 20),
            elapsed: Duration::from_secs(10),
            rows_in: 1_234_567,
            ..Used::default()
        };
        let summary = Summary {
            seconds: 10.0,
            rows_in: 1_234_567,
            sinks: vec![("counts".into(), "delta", 4_321), ("all".into(), "files", 1_234_555)],
            dead_letters: 12,
            late_rows: 0,
            epochs: 42,
            longest_epoch: 98.76,
            latency: Some(Percentiles { p50: 1.5, p95: 22.33, p99: 140.0, max: 200.0, count: 9 }),
            cpu_seconds: Some(3.0),
            peak_bytes: Some(100 << 20),
            bill: Bill::of(&used, &PriceBook::list().unwrap()),
        };
        assert_eq!(
            summary.text(),
            "  rows in       1,234,567  123,457 rows/s over 10.0 s
  rows out          4,321  counts (delta)
                1,234,555  all (files)
  dead letters         12
  late rows             0
  epochs               42  the longest took 98.8 ms
  latency p50     1.50 ms  p95 22.3 ms, p99 140 ms
  CPU              2.43 s  per million events; 3.0 s in all, 100 MiB of memory at most
  cost          0.0000283  USD per million events; 0.0000349 USD in all; prices of 2026-03-10
                           cpu: 0.000833 vCPU-hour x 0.04048 USD = 0.0000337
                           memory: 0.000271 GiB-hour x 0.004445 USD = 0.00000121"
        );
    }

    #[test]
    fn a_run_without_rows_has_no_cost_per_million() {
        let bill = Bill::of(&Used::default(), &PriceBook::list().unwrap());
        let summary = Summary {
            seconds: 7300.0,
            rows_in: 0,
            sinks: vec![],
            dead_letters: 0,
            late_rows: 0,
            epochs: 0,
            longest_epoch: 0.0,
            latency: None,
            cpu_seconds: None,
            peak_bytes: None,
            bill,
        };
        let text = summary.text();
        assert!(
            !text.contains("per million") && !text.contains("CPU") && text.contains("0 rows/s over 2 h 01 min"),
            "{text}"
        );
    }

    #[test]
    fn digits_stand_in_threes() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
