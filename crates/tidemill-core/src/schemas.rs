//! The contract of a schema registry: registered schemas as columns.

use crate::error::Result;
use arrow::datatypes::SchemaRef;

/// Finds registered schemas.
pub trait SchemaStore: Send + Sync {
    /// Columns of a version of `subject` in the registry at `location`; the newest when none is named.
    ///
    /// # Errors
    /// No such registry, subject or version; a schema that has no columns.
    fn columns(&self, location: &str, subject: &str, version: Option<u32>) -> Result<SchemaRef>;
}
