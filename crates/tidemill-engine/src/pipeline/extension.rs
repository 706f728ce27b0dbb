//! What a program that embeds the engine brings of its own for pipelines to name: stateful processors,
//! aggregate functions, and functions of whole batches. (Functions of columns are in the registry, as `ScalarFunction`.)

use crate::operator::aggregate::user::UserAggregate;
use crate::operator::map_rows::RowsFunction;
use crate::operator::transform_with_state::contract::ProcessorFactory;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidemill_core::nearest::nearest;
use tidemill_core::{Error, Result};

/// What a program brings, by name.
#[derive(Debug, Clone, Default)]
pub struct Extensions {
    processors: BTreeMap<String, Arc<dyn ProcessorFactory>>,
    maps: BTreeMap<String, Arc<dyn RowsFunction>>,
    aggregates: BTreeMap<String, Arc<dyn UserAggregate>>,
}

impl Extensions {
    /// Adds a stateful processor, or puts it in the place of the one of that name.
    pub fn add_processor(&mut self, name: impl Into<String>, factory: impl ProcessorFactory + 'static) {
        self.processors.insert(name.into(), Arc::new(factory));
    }

    /// Adds a function of batches, or puts it in the place of the one of that name.
    pub fn add_map(&mut self, name: impl Into<String>, function: impl RowsFunction + 'static) {
        self.maps.insert(name.into(), Arc::new(function));
    }

    /// Adds an aggregate function, or puts it in the place of the one of that name.
    pub fn add_aggregate(&mut self, name: impl Into<String>, function: impl UserAggregate + 'static) {
        self.aggregates.insert(name.into(), Arc::new(function));
    }

    /// The aggregate function called `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn aggregate(&self, name: &str) -> Result<Arc<dyn UserAggregate>> {
        find(&self.aggregates, "aggregate function", name)
    }

    /// The stateful processor called `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn processor(&self, name: &str) -> Result<Arc<dyn ProcessorFactory>> {
        find(&self.processors, "stateful processor", name)
    }

    /// The function of batches called `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn map(&self, name: &str) -> Result<Arc<dyn RowsFunction>> {
        find(&self.maps, "function of batches", name)
    }
}

fn find<T: ?Sized>(known: &BTreeMap<String, Arc<T>>, role: &str, name: &str) -> Result<Arc<T>> {
    known.get(name).cloned().ok_or_else(|| {
        let error = Error::invalid(format!("this program has no {role} called '{name}'"));
        match nearest(name, known.keys().map(String::as_str)) {
            Some(near) => error.help(format!("did you mean '{near}'?")),
            None => error.help("add it to the pipeline's extensions before the pipeline is checked"),
        }
    })
}
