//! The faults of one query: names it at every step, so that callers need not.

use std::sync::Arc;
use tidemill_core::{Faults, Result, Step};

/// Whoever may break the steps of this query.
#[derive(Debug, Clone)]
pub struct QueryFaults {
    query: Arc<str>,
    faults: Arc<dyn Faults>,
}

impl QueryFaults {
    /// Those of a query by name.
    pub fn new(query: &str, faults: Arc<dyn Faults>) -> Self {
        QueryFaults { query: query.into(), faults }
    }

    /// None.
    pub fn none() -> Self {
        QueryFaults::new("", Arc::new(tidemill_core::NoFaults))
    }

    /// The query is at a step.
    ///
    /// # Errors
    /// The step is to fail.
    pub fn at(&self, step: Step) -> Result<()> {
        self.faults.at(&self.query, step)
    }

    /// True when the next write at this step is to be made in two halves.
    pub fn tears(&self, step: Step) -> bool {
        self.faults.tears(&self.query, step)
    }
}
