//! Numbers that look random and depend only on a seed and a row's number, so that any row can be made
//! again, alone and in any order.

/// A small generator: splitmix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators").
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

/// Scrambles 64 bits.
pub(super) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

impl Random {
    /// The numbers of row `index` for one purpose.
    pub fn new(seed: u64, index: u64, purpose: u64) -> Self {
        Random(mix(seed ^ mix(index.wrapping_add(mix(purpose)))))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number from 0 up to `limit`, which it does not reach.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }

    /// A fraction from 0 up to 1, which it does not reach.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of `all`.
    pub fn one_of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// Zipf's law: of n users, the k-th most active one is k times less active than the first.
#[derive(Debug)]
pub(super) struct Zipf {
    /// Share of the first k users.
    shares: Vec<f64>,
}

impl Zipf {
    /// Over `users` users, at least one.
    pub fn new(users: usize) -> Self {
        let mut sum = 0.0;
        let sums = (1..=users.max(1)).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        let mut shares: Vec<f64> = sums.collect();
        shares.iter_mut().for_each(|share| *share /= sum);
        Zipf { shares }
    }

    /// A user, by number; the active ones are spread over all numbers.
    pub fn user(&self, random: &mut Random) -> u64 {
        let wanted = random.unit();
        let users = self.shares.len() as u64;
        let rank = self.shares.partition_point(|share| *share < wanted) as u64;
        (rank.min(users - 1) * 48_271 + 11) % users
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_users_make_most_rows() {
        let zipf = Zipf::new(1000);
        let mut rows = vec![0u32; 1000];
        (0..100_000).for_each(|index| rows[zipf.user(&mut Random::new(42, index, 1)) as usize] += 1);
        rows.sort_unstable_by(|a, b| b.cmp(a));
        let first_ten: u32 = rows[..10].iter().sum();
        assert!((35_000..45_000).contains(&first_ten), "{first_ten}");
        assert!(rows.iter().filter(|count| **count > 0).count() > 950);
    }
}
