//! Which of many records end the process: halves what died until single records are known. Pure; whoever
//! tries the records says what became of each trial. A record is believed to be the one only when the
//! process has died of it twice, so that a signal from outside sets nothing aside.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A search that can be interrupted by a death at any time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// How many records are searched through.
    pub records: usize,
    /// What is to be tried, the next last, with the deaths it has cost.
    pending: Vec<(Range<usize>, u32)>,
    /// The records that end the process, and how it ended.
    pub found: Vec<(usize, String)>,
}

impl Search {
    /// Through so many records.
    pub fn over(records: usize) -> Self {
        let all = (records > 0).then_some((0..records, 0));
        Search { records, pending: all.into_iter().collect(), found: vec![] }
    }

    /// What is to be tried, the next first; empty when the search is over.
    pub fn to_try(&self) -> Vec<Range<usize>> {
        self.pending.iter().rev().map(|(range, _)| range.clone()).collect()
    }

    /// The next trial did no harm.
    pub fn passed(&mut self) {
        self.pending.pop();
    }

    /// The process died in the next trial.
    pub fn died(&mut self, how: &str) {
        let Some((range, deaths)) = self.pending.pop() else { return };
        match range.len() {
            1 if deaths > 0 => self.found.push((range.start, how.to_owned())),
            1 => self.pending.push((range, 1)),
            length => {
                let middle = range.start + length / 2;
                self.pending.push((middle..range.end, 0));
                self.pending.push((range.start..middle, 0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches with a process that dies of `poison`; gives what was found, and the deaths it took.
    fn searched(records: usize, poison: &[usize]) -> (Vec<usize>, usize) {
        let (mut search, mut deaths) = (Search::over(records), 0);
        while let Some(next) = search.to_try().first() {
            match poison.iter().any(|record| next.contains(record)) {
                true => {
                    deaths += 1;
                    search.died("SIGSEGV");
                }
                false => search.passed(),
            }
        }
        (search.found.into_iter().map(|(record, _)| record).collect(), deaths)
    }

    #[test]
    fn exactly_the_poison_is_found_in_about_as_many_deaths_as_halvings() {
        assert_eq!(searched(10_000, &[7_777]), (vec![7_777], 15));
        assert_eq!(searched(8, &[0, 3, 7]).0, [0, 3, 7]);
        assert_eq!(searched(1, &[0]), (vec![0], 2));
    }

    #[test]
    fn without_poison_one_trial_is_enough() {
        assert_eq!(searched(10_000, &[]), (vec![], 0));
        assert_eq!(searched(0, &[]), (vec![], 0));
    }

    #[test]
    fn a_signal_from_outside_sets_nothing_aside() {
        let mut search = Search::over(1);
        search.died("SIGKILL");
        assert_eq!(search.to_try(), Search::over(1).to_try());
        search.passed();
        assert!(search.found.is_empty() && search.to_try().is_empty());
    }
}
