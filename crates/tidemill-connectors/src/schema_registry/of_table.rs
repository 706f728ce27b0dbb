//! The registry that the options of a table name, as formats ask for it.

use super::place::Registry;
use super::schemas::Schemas;
use std::sync::Arc;
use tidemill_core::{Options, Result, SystemClock};

/// The registry, if the options name one.
///
/// # Errors
/// There is none in that directory, or a URL that cannot be one.
pub(crate) fn to_read(options: &Options) -> Result<Option<Arc<dyn Schemas>>> {
    let Some(location) = options.text("schema_registry") else { return Ok(None) };
    Ok(Some(Arc::new(Registry::find(location, Arc::new(SystemClock::new()))?)))
}

/// The same; a directory is made if it is not there.
///
/// # Errors
/// It cannot be made.
pub(crate) fn to_write(options: &Options) -> Result<Option<Arc<dyn Schemas>>> {
    let Some(location) = options.text("schema_registry") else { return Ok(None) };
    Ok(Some(Arc::new(Registry::open(location, Arc::new(SystemClock::new()))?)))
}
