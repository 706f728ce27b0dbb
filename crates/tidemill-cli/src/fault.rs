//! `--fault`, in debug builds only: breaks the program at a step of an epoch, to test what follows.
//!
//! A pipeline can ask for a death of its own: the function `die_on(value, text)` gives the value, and aborts the
//! process at one that contains the text.
//!
//! `[query/]step:hit[+micros]:kill|stop|error`: at the given hit of a step the process kills itself with
//! SIGKILL, stops itself with SIGSTOP, or the step fails. With `+micros` a thread does it that much later,
//! while the step's work goes on.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::DataType;
use rustix::process::{Signal, getpid, kill_process};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tidemill_core::function::{ScalarFunction, Signature};
use tidemill_core::{Error, Faults, Kind, Result, Step};

/// `die_on(value, text)`: a record that ends the process.
#[derive(Debug)]
pub struct DieOn(Signature);

impl DieOn {
    /// The function.
    pub fn new() -> Self {
        let arguments = vec![DataType::Utf8, DataType::Utf8];
        let help = "the value; ends the process when the value contains the text";
        DieOn(Signature { name: "die_on".into(), arguments, required: 2, result: DataType::Utf8, help })
    }
}

impl ScalarFunction for DieOn {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn call(&self, arguments: &[ArrayRef], _rows: usize) -> Result<ArrayRef> {
        let (values, texts) = (arguments[0].as_string::<i32>(), arguments[1].as_string::<i32>());
        let mut both = values.iter().zip(texts).filter_map(|(value, text)| Some((value?, text?)));
        if both.any(|(value, text)| value.contains(text)) {
            std::process::abort();
        }
        Ok(arguments[0].clone())
    }
}

/// The faults of a command line.
#[derive(Debug, Default)]
pub struct Planned(Vec<Fault>);

#[derive(Debug)]
struct Fault {
    query: Option<String>,
    step: Step,
    hit: u64,
    later: Duration,
    action: Action,
    hits: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Stop,
    Error,
}

impl Planned {
    /// Reads what the command line says.
    ///
    /// # Errors
    /// A fault that does not read.
    pub fn parse(texts: &[String]) -> Result<Self> {
        texts.iter().map(|text| Fault::parse(text)).collect::<Result<_>>().map(Planned)
    }

    fn of<'a>(&'a self, query: &'a str, step: Step) -> impl Iterator<Item = &'a Fault> {
        let is_of = move |fault: &&Fault| fault.step == step && fault.query.as_deref().is_none_or(|of| of == query);
        self.0.iter().filter(is_of)
    }
}

impl Fault {
    fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            let steps = Step::ALL.map(Step::word).join(", ");
            Error::new(Kind::Usage, format!("--fault takes [query/]step:hit[+micros]:kill|stop|error, not '{text}'"))
                .help(format!("the steps are {steps}"))
        };
        let (query, rest) = text.split_once('/').map_or((None, text), |(query, rest)| (Some(query.to_owned()), rest));
        let parts: Vec<&str> = rest.split(':').collect();
        let [step, hit, action] = parts[..] else { return Err(wrong()) };
        let (hit, micros) = hit.split_once('+').unwrap_or((hit, "0"));
        let action = match action {
            "kill" => Action::Kill,
            "stop" => Action::Stop,
            "error" => Action::Error,
            _ => return Err(wrong()),
        };
        Ok(Fault {
            query,
            step: Step::parse(step).ok_or_else(wrong)?,
            hit: hit.parse().ok().filter(|hit| *hit > 0).ok_or_else(wrong)?,
            later: Duration::from_micros(micros.parse().map_err(|_| wrong())?),
            action,
            hits: AtomicU64::new(0),
        })
    }

    fn act(&self) -> Result<()> {
        // the harness that asked for it counts these lines: a fault that never came has tested nothing
        tracing::warn!(step = self.step.word(), hit = self.hit, "fault");
        let (action, later) = (self.action, self.later);
        if action == Action::Error {
            return Err(Error::new(Kind::Io, format!("the step {} was told to fail", self.step)));
        }
        if later.is_zero() {
            signal(action);
            return Ok(());
        }
        std::thread::spawn(move || {
            std::thread::sleep(later);
            signal(action);
        });
        Ok(())
    }
}

fn signal(action: Action) {
    let sent = kill_process(getpid(), if action == Action::Kill { Signal::KILL } else { Signal::STOP });
    if let Err(error) = sent {
        tracing::error!(%error, "the fault could not signal its own process");
    }
}

impl Faults for Planned {
    fn at(&self, query: &str, step: Step) -> Result<()> {
        self.of(query, step).try_for_each(|fault| {
            let hit = fault.hits.fetch_add(1, Ordering::SeqCst) + 1;
            if hit == fault.hit { fault.act() } else { Ok(()) }
        })
    }

    fn tears(&self, query: &str, step: Step) -> bool {
        self.of(query, step).any(|fault| fault.hits.load(Ordering::SeqCst) + 1 == fault.hit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_comes_at_its_hit_and_only_to_its_query() {
        let faults = Planned::parse(&["a/planned:2:error".into(), "plan-torn:1:error".into()]).unwrap();
        assert!(faults.at("b", Step::Planned).is_ok() && faults.at("b", Step::Planned).is_ok());
        assert!(faults.at("a", Step::Planned).is_ok());
        assert!(faults.at("a", Step::Planned).is_err());
        assert!(faults.at("a", Step::Planned).is_ok());
        assert!(faults.tears("b", Step::PlanTorn) && faults.at("b", Step::PlanTorn).is_err());
        assert!(!faults.tears("b", Step::PlanTorn));
    }

    #[test]
    fn what_does_not_read_is_refused() {
        for text in ["planned", "planned:0:kill", "never:1:kill", "planned:1:explode", "planned:1+x:kill"] {
            assert_eq!(Planned::parse(&[text.into()]).unwrap_err().kind(), Kind::Usage, "{text}");
        }
    }
}
