//! Arrow rows as Python rows, and rows as text.

use crate::arrow_data::Rows;
use crate::errors::OrRaise;
use crate::parts;
use crate::to_python::Tools;
use arrow::datatypes::SchemaRef;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3_arrow::PyTable;
use std::sync::Arc;
use tidemill_core::types;
use tidemill_engine::case::values::to_batch;

/// Every row of `table` as `struct_of(names, values)`; structs inside rows too.
#[pyfunction]
pub fn to_rows<'py>(py: Python<'py>, table: PyTable, struct_of: Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let rows = Rows::from_python(table).or_raise(py)?;
    let tools = Tools::new(struct_of, true)?;
    let names = PyTuple::new(py, rows.schema.fields().iter().map(|field| field.name()))?;
    let mut out = Vec::with_capacity(rows.batches.iter().map(|batch| batch.num_rows()).sum());
    for batch in &rows.batches {
        out.extend(tools.rows(&names, batch.columns(), batch.num_rows())?);
    }
    Ok(out)
}

/// The first `rows_max` rows of `table` as text, after Spark's `show`; values are cut to `letters_max` letters
/// unless that is None.
#[pyfunction]
#[pyo3(signature = (table, rows_max, letters_max = None))]
pub fn show(py: Python<'_>, table: PyTable, rows_max: usize, letters_max: Option<usize>) -> PyResult<String> {
    let shown = |rows: Rows| tidemill_connectors::console::grid(&rows.schema, &rows.batches, rows_max, letters_max);
    Rows::from_python(table).and_then(shown).or_raise(py)
}

/// Rows given as JSON in the notation of case files (see `tidemill_engine::case::values`), with the columns of
/// a schema in DDL.
#[pyfunction]
pub fn from_rows(py: Python<'_>, ddl: &str, json: &str) -> PyResult<PyTable> {
    let read = || {
        let schema: SchemaRef = Arc::new(types::parse_schema(ddl)?);
        let rows: Vec<Vec<serde_json::Value>> = parts::json("the rows", json)?;
        to_batch(&schema, &rows)
    };
    let batch = py.detach(read).or_raise(py)?;
    let schema = batch.schema();
    PyTable::try_new(vec![batch], schema)
}
