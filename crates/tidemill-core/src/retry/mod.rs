//! Trying again, and knowing when not to: what everything that talks to an outside system shares.
//!
//! | file | subject |
//! |---|---|
//! | `failure.rs` | a failed attempt, and whether another may help |
//! | `policy.rs` | pauses that grow, with full jitter, and the time that bounds them all |
//! | `jitter.rs` | the randomness of pauses, seeded by whoever wants to repeat it |
//! | `budget.rs` | retries are a fraction of requests, so that an outage is not multiplied |
//! | `breaker.rs` | a system that fails is left alone for a while, then asked by one request |
//! | `vitals.rs` | retries and the breaker's state, for metrics |
//! | `after.rs` | how long a server asks to be left alone (`Retry-After`) |
//!
//! Everything here decides and nothing waits: callers pass the time in ([`crate::Clock::elapsed`]) and get pauses
//! out. Must not contain: sleeping, threads, a clock of its own.

mod after;
mod breaker;
mod budget;
mod failure;
mod jitter;
mod policy;
mod vitals;

pub use after::parse_retry_after;
pub use breaker::{Admission, Breaker, BreakerSettings, BreakerState, Permit};
pub use budget::{Budget, BudgetSettings};
pub use failure::{Class, Failure};
pub use jitter::Jitter;
pub use policy::{Attempts, Policy};
pub use vitals::Vitals;
