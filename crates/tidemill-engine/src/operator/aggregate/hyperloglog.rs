//! How many different values there are, about: a register for each of many groups of hashes holds the
//! longest run of leading zeros seen. S. Heule, M. Nunkesser and A. Hall, "HyperLogLog in Practice" (EDBT
//! 2013), with linear counting below its thresholds and its bias correction, in the form Spark has them.

/// Measured raw estimates and their biases, by precision from 4 on; published as the appendix of the paper.
const TABLES: &str = include_str!("hyperloglog_bias.txt");
/// Estimates up to these are made by linear counting, by precision from 4 on.
const THRESHOLDS: [f64; 15] = [
    10.0, 20.0, 40.0, 80.0, 220.0, 400.0, 900.0, 1800.0, 3100.0, 6500.0, 15500.0, 20000.0, 50000.0, 120_000.0,
    350_000.0,
];
/// How many neighbours in the table make up a bias.
const NEIGHBOURS: usize = 6;

/// Precision and tables.
#[derive(Debug, Clone)]
pub struct Estimator {
    precision: u32,
    raw: Vec<f64>,
    bias: Vec<f64>,
}

impl Estimator {
    /// The precision that keeps the relative standard deviation; `None` when that is too large or not
    /// above zero.
    pub fn precision(deviation: f64) -> Option<u32> {
        let precision = (2.0 * (1.106 / deviation).ln() / 2f64.ln()).ceil();
        (4.0..=24.0).contains(&precision).then_some(precision as u32)
    }

    /// An estimator of a precision: so many bits of a hash choose its register.
    pub fn new(precision: u32) -> Self {
        let mut lines = TABLES.lines().filter(|line| !line.starts_with('#'));
        let skip = 2 * precision.saturating_sub(4) as usize;
        let numbers = |line: Option<&str>| -> Vec<f64> {
            line.unwrap_or_default().split_whitespace().filter_map(|number| number.parse().ok()).collect()
        };
        let raw = numbers(lines.nth(skip));
        let bias = numbers(lines.next());
        Estimator { precision, raw, bias }
    }

    /// How many registers there are.
    pub fn registers(&self) -> usize {
        1 << self.precision
    }

    /// The register of a hash, and what it would hold.
    pub fn place(&self, hash: u64) -> (u32, u8) {
        let padding = 1u64 << (self.precision - 1);
        let zeros = (hash << self.precision | padding).leading_zeros() + 1;
        ((hash >> (64 - self.precision)) as u32, zeros as u8)
    }

    /// The estimate: `registers` are those that are not zero.
    pub fn estimate(&self, registers: impl Iterator<Item = u8> + Clone) -> i64 {
        let m = self.registers() as f64;
        let empty = self.registers() - registers.clone().count();
        // sums of powers of two do not depend on their order
        let inverse: f64 = empty as f64 + registers.map(|zeros| 1.0 / (1u64 << zeros) as f64).sum::<f64>();
        let estimate = self.alpha() * m * m / inverse;
        let corrected = || {
            if self.precision < 19 && estimate < 5.0 * m { estimate - self.bias_of(estimate) } else { estimate }
        };
        let result = if empty > 0 {
            let counted = m * (m / empty as f64).ln();
            let threshold = THRESHOLDS.get(self.precision as usize - 4);
            let small = threshold.is_some_and(|threshold| counted <= *threshold);
            if small || estimate <= 2.5 * m { counted } else { corrected() }
        } else {
            corrected()
        };
        (result + 0.5).floor() as i64
    }

    fn alpha(&self) -> f64 {
        match self.precision {
            4 => 0.673,
            5 => 0.697,
            6 => 0.709,
            _ => 0.7213 / (1.0 + 1.079 / self.registers() as f64),
        }
    }

    /// Where the estimate stands among the measured ones, which are not quite in order: halving as Java does.
    fn position(&self, estimate: f64) -> usize {
        let (mut low, mut high) = (0, self.raw.len());
        while low < high {
            let middle = (low + high - 1) / 2;
            if self.raw[middle] < estimate {
                low = middle + 1;
            } else if self.raw[middle] > estimate {
                high = middle;
            } else {
                return middle;
            }
        }
        low
    }

    fn bias_of(&self, estimate: f64) -> f64 {
        let nearest = self.position(estimate);
        let distance = |at: usize| (estimate - self.raw[at]).powi(2);
        let mut low = (nearest + 1).saturating_sub(NEIGHBOURS);
        let mut high = (low + NEIGHBOURS).min(self.raw.len());
        while high < self.raw.len() && distance(high) < distance(low) {
            low += 1;
            high += 1;
        }
        self.bias[low..high].iter().sum::<f64>() / (high - low) as f64
    }
}
