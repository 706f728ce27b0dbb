//! `_tidemill`: what Python needs of the engine, as few functions and classes as possible. The API people
//! see is `python/tidemill/`.
//!
//! Must not contain: names, defaults or shapes of that API.

mod aggregates;
mod arrow_data;
mod cases;
mod engine;
mod errors;
mod evaluate;
mod expressions;
mod foreach;
mod from_python;
mod functions;
mod parts;
mod processors;
mod query;
mod rows;
mod schemas;
mod sources;
mod spec;
mod stdout;
mod to_python;
mod write;

use pyo3::prelude::*;

/// The module; `tidemill` imports it, people do not.
#[pymodule]
fn _tidemill(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // two TLS providers are compiled in, and a client that has to guess panics; one that is set already stays
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("FOREACH_BATCH", engine::FOREACH_BATCH)?;
    module.add("TidemillError", module.py().get_type::<errors::TidemillError>())?;
    module.add_class::<engine::Engine>()?;
    module.add_class::<query::Query>()?;
    module.add_class::<schemas::SchemaFiles>()?;
    module.add_function(wrap_pyfunction!(cases::run_case, module)?)?;
    module.add_function(wrap_pyfunction!(schemas::schema_from_ddl, module)?)?;
    module.add_function(wrap_pyfunction!(expressions::parse_expression, module)?)?;
    module.add_function(wrap_pyfunction!(rows::from_rows, module)?)?;
    module.add_function(wrap_pyfunction!(rows::to_rows, module)?)?;
    module.add_function(wrap_pyfunction!(rows::show, module)?)?;
    Ok(())
}
