//! A summary of numbers from which any percentile can be read within an error that is known before.
//! M. Greenwald and S. Khanna, "Space-efficient Online Computation of Quantile Summaries" (SIGMOD 2001),
//! with the buffer, the thresholds and the merge of Spark, so that results are Spark's.

use super::sketches::Sketch;

/// Numbers are put into the summary when so many wait.
const WAITING_MAX: usize = 50_000;
/// The summary is made smaller when it has so many samples after that.
const SAMPLES_MAX: usize = 10_000;

/// Samples a summary may have for each unit of accuracy, and at least. Spark has no such bound: merged again
/// and again with few numbers, a summary of its grows with them for ever.
const SAMPLES_MOST_OF_ACCURACY: f64 = 10.0;
const SAMPLES_MOST_LEAST: f64 = 10_000.0;

/// A number that stands for some of its neighbours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The number.
    pub value: f64,
    /// How much its least possible rank is above that of the sample before.
    pub gap: i64,
    /// How much its greatest possible rank is above its least.
    pub spread: i64,
}

/// The summary.
#[derive(Debug, Clone)]
pub struct Summary {
    error: f64,
    samples: Vec<Sample>,
    /// Numbers in the samples.
    count: i64,
    waiting: Vec<f64>,
}

impl Summary {
    /// No numbers, and the error allowed as a share of their count.
    pub fn new(error: f64) -> Self {
        Summary { error, samples: vec![], count: 0, waiting: vec![] }
    }

    /// A finished summary of these samples.
    pub fn of(error: f64, samples: Vec<Sample>, count: i64) -> Self {
        Summary { error, samples, count, waiting: vec![] }
    }

    /// The samples of a finished summary.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// How many numbers a finished summary has.
    pub fn count(&self) -> i64 {
        self.count
    }

    fn put_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let mut sorted = std::mem::take(&mut self.waiting);
        sorted.sort_unstable_by(f64::total_cmp);
        let mut merged = Vec::with_capacity(self.samples.len() + sorted.len());
        let mut next = 0;
        for (position, &value) in sorted.iter().enumerate() {
            while next < self.samples.len() && self.samples[next].value <= value {
                merged.push(self.samples[next]);
                next += 1;
            }
            self.count += 1;
            let is_end = next == self.samples.len() && position == sorted.len() - 1;
            let spread =
                if merged.is_empty() || is_end { 0 } else { (2.0 * self.error * self.count as f64).floor() as i64 };
            merged.push(Sample { value, gap: 1, spread });
        }
        merged.extend_from_slice(&self.samples[next..]);
        self.samples = merged;
    }

    fn compress(&mut self) {
        self.put_waiting();
        self.samples = compressed(&self.samples, 2.0 * self.error * self.count as f64);
    }

    /// The numbers at these shares of the way, in the order asked for; nothing of no number.
    pub fn query(&self, shares: &[f64]) -> Option<Vec<f64>> {
        let (first, last) = (self.samples.first()?, self.samples.last()?);
        let tolerance = self.samples.iter().map(|sample| sample.gap + sample.spread).max().unwrap_or(0) / 2;
        let mut order: Vec<usize> = (0..shares.len()).collect();
        order.sort_by(|left, right| shares[*left].total_cmp(&shares[*right]));
        let mut results = vec![0.0; shares.len()];
        let (mut index, mut least) = (0, first.gap);
        for position in order {
            let share = shares[position];
            results[position] = if share <= self.error {
                first.value
            } else if share >= 1.0 - self.error {
                last.value
            } else {
                let rank = (share * self.count as f64).ceil() as i64;
                self.seek(rank, tolerance, &mut index, &mut least)
            };
        }
        Some(results)
    }

    /// The first sample from `index` on that can have this rank, give or take the tolerance.
    fn seek(&self, rank: i64, tolerance: i64, index: &mut usize, least: &mut i64) -> f64 {
        while *index < self.samples.len() - 1 {
            let sample = self.samples[*index];
            if *least + sample.spread - tolerance <= rank && rank <= *least + tolerance {
                return sample.value;
            }
            *index += 1;
            *least += self.samples[*index].gap;
        }
        *least = 0;
        self.samples[*index].value
    }
}

impl Sketch for Summary {
    type Value<'a> = f64;

    fn add(&mut self, value: f64) {
        self.waiting.push(if value.is_nan() { f64::NAN } else { value });
        if self.waiting.len() >= WAITING_MAX {
            self.put_waiting();
            if self.samples.len() >= SAMPLES_MAX {
                self.compress();
            }
        }
    }

    fn finish(&mut self) {
        self.compress();
    }

    fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other.clone();
            return;
        }
        let doubt = |summary: &Summary| (2.0 * summary.error * summary.count as f64).floor() as i64;
        let (own_doubt, other_doubt) = (doubt(other), doubt(self));
        let mut merged = Vec::with_capacity(self.samples.len() + other.samples.len());
        let (mut own, mut others) = (0, 0);
        while own < self.samples.len() && others < other.samples.len() {
            let (mut sample, doubt) = if self.samples[own].value < other.samples[others].value {
                own += 1;
                (self.samples[own - 1], if others > 0 { own_doubt } else { 0 })
            } else {
                others += 1;
                (other.samples[others - 1], if own > 0 { other_doubt } else { 0 })
            };
            sample.spread += doubt;
            merged.push(sample);
        }
        merged.extend_from_slice(&self.samples[own..]);
        merged.extend_from_slice(&other.samples[others..]);
        self.error = self.error.max(other.error);
        self.count += other.count;
        let threshold = 2.0 * self.error * self.count as f64;
        self.samples = compressed(&merged, threshold);
        let most = (SAMPLES_MOST_OF_ACCURACY / self.error).max(SAMPLES_MOST_LEAST) as usize;
        let mut slack = 2.0;
        while self.samples.len() > most {
            self.samples = compressed(&self.samples, slack * threshold);
            slack *= 2.0;
        }
    }

    fn size(&self) -> usize {
        self.samples.capacity() * size_of::<Sample>() + self.waiting.capacity() * size_of::<f64>()
    }
}

/// Fewer samples: one joins the next when together they leave less doubt than the threshold.
fn compressed(samples: &[Sample], threshold: f64) -> Vec<Sample> {
    let [first, middle @ .., last] = samples else { return samples.to_vec() };
    let (mut kept, mut head) = (vec![], *last);
    for sample in middle.iter().rev() {
        if ((sample.gap + head.gap + head.spread) as f64) < threshold {
            head.gap += sample.gap;
        } else {
            kept.push(head);
            head = *sample;
        }
    }
    kept.push(head);
    if first.value <= head.value {
        kept.push(*first);
    }
    kept.reverse();
    kept
}
