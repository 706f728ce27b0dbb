//! The randomness of pauses. Clients that failed together must not come back together.

use std::time::Duration;

/// A stream of random fractions: splitmix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators").
#[derive(Debug, Clone)]
pub struct Jitter(u64);

impl Jitter {
    /// The same seed gives the same pauses.
    pub fn seeded(seed: u64) -> Self {
        Jitter(seed)
    }

    /// Pauses that no other process has.
    pub fn unique() -> Self {
        Jitter(uuid::Uuid::new_v4().as_u64_pair().1)
    }

    /// A time from zero up to `limit`.
    pub fn up_to(&mut self, limit: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        limit.mul_f64((bits >> 11) as f64 / (1u64 << 53) as f64)
    }
}
