//! The verbs, one file each.

pub mod check;
pub mod connectors;
pub mod dlq;
pub mod explain;
pub mod new;
pub mod plan;
pub mod run;
pub mod test;
