//! SQL text inside the DataFrame API: `F.expr`, `selectExpr`, conditions given as text.

use crate::errors::OrRaise;
use pyo3::prelude::*;
use serde_json::Value;
use tidemill_core::{Error, Result};
use tidemill_engine::pipeline::sql;

/// Reads one SQL expression, an alias allowed, and gives it as JSON of the plan's expressions. Places are left
/// out: they would point into a text that the plan does not carry.
#[pyfunction]
pub fn parse_expression(py: Python<'_>, text: &str) -> PyResult<String> {
    parse(text).or_raise(py)
}

fn parse(text: &str) -> Result<String> {
    let expression = sql::parse_expression(text)?;
    let mut value = serde_json::to_value(expression)
        .map_err(|error| Error::bug("an expression cannot be written as JSON").caused_by(error))?;
    without_places(&mut value);
    Ok(value.to_string())
}

fn without_places(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("at");
            fields.values_mut().for_each(without_places);
        }
        Value::Array(items) => items.iter_mut().for_each(without_places),
        _ => {}
    }
}
