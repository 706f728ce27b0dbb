//! A histogram of a fixed number of bins that numbers are added to one by one. Y. Ben-Haim and E. Tom-Tov,
//! "A Streaming Parallel Decision Tree Algorithm" (JMLR 2010), algorithms 1 and 2; of bins equally close one
//! pair is joined by a fixed sequence of random numbers, the one Java gives, so that results are Spark's.

use super::sketches::Sketch;

/// A bin: its centre and how many numbers it stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Its centre.
    pub x: f64,
    /// How many numbers.
    pub y: f64,
}

/// The histogram.
#[derive(Debug, Clone)]
pub struct Bins {
    most: usize,
    bins: Vec<Bin>,
    dice: Dice,
}

impl Bins {
    /// No numbers, and the number of bins.
    pub fn new(most: usize) -> Self {
        Bins { most, bins: vec![], dice: Dice::new() }
    }

    /// A histogram of these bins.
    pub fn of(most: usize, bins: Vec<Bin>) -> Self {
        Bins { most, bins, dice: Dice::new() }
    }

    /// The bins, smallest centre first.
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// Where a number belongs: the bin with that centre, or the one it would stand before.
    fn position(&self, value: f64) -> usize {
        let (mut bin, mut left, mut right) = (0, 0, self.bins.len());
        while left < right {
            bin = usize::midpoint(left, right);
            if self.bins[bin].x > value {
                right = bin;
            } else if self.bins[bin].x < value {
                bin += 1;
                left = bin;
            } else {
                break;
            }
        }
        bin
    }

    fn trim(&mut self) {
        while self.bins.len() > self.most {
            let gap = |bins: &[Bin], at: usize| bins[at + 1].x - bins[at].x;
            let (mut smallest, mut place, mut equal) = (gap(&self.bins, 0), 0, 1);
            for at in 1..self.bins.len() - 1 {
                let found = gap(&self.bins, at);
                if found < smallest {
                    (smallest, place, equal) = (found, at, 1);
                } else if found == smallest {
                    equal += 1;
                    if self.dice.next() <= 1.0 / f64::from(equal) {
                        place = at;
                    }
                }
            }
            let next = self.bins.remove(place + 1);
            let joined = &mut self.bins[place];
            let total = joined.y + next.y;
            joined.x *= joined.y / total;
            joined.x += next.x / total * next.y;
            joined.y = total;
        }
    }
}

impl Sketch for Bins {
    type Value<'a> = f64;

    fn add(&mut self, value: f64) {
        let bin = self.position(value);
        match self.bins.get_mut(bin) {
            Some(known) if known.x == value => known.y += 1.0,
            _ => {
                self.bins.insert(bin, Bin { x: value, y: 1.0 });
                self.trim();
            }
        }
    }

    fn finish(&mut self) {}

    fn merge(&mut self, other: &Self) {
        self.dice = Dice::new();
        if self.bins.is_empty() {
            self.bins.clone_from(&other.bins);
            return;
        }
        self.bins.extend_from_slice(&other.bins);
        self.bins.sort_by(|left, right| left.x.total_cmp(&right.x));
        self.trim();
    }

    fn size(&self) -> usize {
        self.bins.capacity() * size_of::<Bin>()
    }
}

/// Random numbers as `java.util.Random` gives them after its documentation.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    const SEED: i32 = 31_183;
    const FACTOR: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;

    fn new() -> Self {
        Dice::of(Self::SEED)
    }

    /// Those of a seed.
    pub fn of(seed: i32) -> Self {
        Dice((i64::from(seed) as u64 ^ Self::FACTOR) & Self::MASK)
    }

    /// The next number, 0 up to the bound.
    pub fn below(&mut self, bound: i32) -> i32 {
        loop {
            let bits = self.bits(31) as i32;
            let value = bits % bound;
            // the last, short stretch of the range would make small numbers more likely
            if bits.wrapping_sub(value).wrapping_add(bound - 1) >= 0 {
                return value;
            }
        }
    }

    fn bits(&mut self, count: u32) -> u64 {
        self.0 = (self.0.wrapping_mul(Self::FACTOR) + 0xB) & Self::MASK;
        self.0 >> (48 - count)
    }

    /// The next number, 0 up to 1.
    fn next(&mut self) -> f64 {
        let (high, low) = (self.bits(26), self.bits(27));
        ((high << 27) + low) as f64 / (1u64 << 53) as f64
    }
}
