//! Arguments that must not depend on a row: their value, worked out while the query is analyzed.

use super::CallContext;
use crate::errors::from_datafusion;
use crate::operator::project::{compile_over, evaluate};
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{Expr, Volatility};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

/// The value of an expression without columns; `None` when it has some or changes from call to call.
///
/// # Errors
/// What the expression fails with.
pub fn value(typed: &Typed) -> Result<Option<ScalarValue>> {
    if let Some(value) = typed.as_literal() {
        return Ok(Some(value.clone()));
    }
    let varies = typed.expr.exists(|node| {
        Ok(match node {
            Expr::Column(_) => true,
            Expr::ScalarFunction(call) => call.func.signature().volatility != Volatility::Immutable,
            _ => false,
        })
    });
    if varies.map_err(from_datafusion)? {
        return Ok(None);
    }
    let schema = Arc::new(Schema::empty());
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(schema.clone(), vec![], &options)?;
    let array = evaluate(&compile_over(&typed.expr, &schema)?, &row)?;
    ScalarValue::try_from_array(&array, 0).map(Some).map_err(from_datafusion)
}

/// The text of a constant argument; `None` for NULL.
///
/// # Errors
/// The argument is no constant.
pub fn text(typed: &Typed, what: &str, context: &CallContext<'_>) -> Result<Option<String>> {
    match value(typed)? {
        Some(ScalarValue::Utf8(text)) => Ok(text),
        Some(ScalarValue::Null) => Ok(None),
        _ => Err(not_constant(what, &DataType::Utf8, context)),
    }
}

/// The error for an argument that must be a constant and is none.
pub fn not_constant(what: &str, of: &DataType, context: &CallContext<'_>) -> Error {
    refuse::type_mismatch(
        "NON_FOLDABLE_INPUT",
        format!("`{what}` of {} must be a constant of type {}", context.name, types::name(of).to_uppercase()),
        context.text,
        context.at,
    )
}

/// Options given as `map('name', 'value', ..)`, by lower-case name.
///
/// # Errors
/// No map, or one that is no map of text.
pub fn options(typed: &Typed, context: &CallContext<'_>) -> Result<BTreeMap<String, String>> {
    let wrong = |class: &str, why: String| {
        Error::invalid(format!("the options of {} are not valid: {why}", context.name))
            .class(class)
            .help("write them as map('name', 'value', ..)")
            .at_if_unplaced(context.text.place(context.at))
    };
    if !matches!(typed.data_type, DataType::Map(..)) {
        return Err(wrong("INVALID_OPTIONS.NON_MAP_FUNCTION", "they are no map".into()));
    }
    let of_text = types::map_of(DataType::Utf8, DataType::Utf8);
    let empty = types::map_of(DataType::Null, DataType::Null);
    if types::name(&typed.data_type) != types::name(&of_text) && types::name(&typed.data_type) != types::name(&empty) {
        let shown = types::name(&typed.data_type).to_uppercase();
        return Err(wrong("INVALID_OPTIONS.NON_STRING_TYPE", format!("keys and values must be text, not {shown}")));
    }
    let Some(ScalarValue::Map(map)) = value(typed)? else {
        return Err(wrong("INVALID_OPTIONS.NON_MAP_FUNCTION", "they are no constant".into()));
    };
    let (Some(keys), Some(values)) = (map.keys().as_string_opt::<i32>(), map.values().as_string_opt::<i32>()) else {
        return Ok(BTreeMap::new());
    };
    let pairs = (0..keys.len()).filter(|entry| values.is_valid(*entry));
    Ok(pairs.map(|entry| (keys.value(entry).to_lowercase(), values.value(entry).to_owned())).collect())
}
