//! The errors of analysis, with Spark's classes and our words.

use super::scope::Scope;
use crate::pipeline::text::{Spot, Text};
use arrow::datatypes::DataType;
use tidemill_core::nearest::{nearest, ranked};
use tidemill_core::{Error, types};

/// The class most of Spark's refusals of streaming plans share.
pub const UNSUPPORTED_STREAM: &str = "_LEGACY_ERROR_TEMP_3102";

/// No column of that name.
pub fn unknown_column(name: &str, scope: &Scope, text: &Text, at: Spot) -> Error {
    let names = scope.names();
    let class =
        if names.is_empty() { "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION" } else { "UNRESOLVED_COLUMN.WITH_SUGGESTION" };
    let error = Error::invalid(format!("no column, variable or function parameter named `{name}`"))
        .class(class)
        .at_if_unplaced(text.place(at));
    let last = name.rsplit('.').next().unwrap_or(name);
    match nearest(last, names.iter().map(String::as_str)) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None if names.is_empty() => error,
        None => {
            let some = ranked(last, names.iter().map(String::as_str), 5);
            error.help(format!("columns here: {}", some.join(", ")))
        }
    }
}

/// Several columns of that name.
pub fn ambiguous_column(name: &str, candidates: &[String], text: &Text, at: Spot) -> Error {
    Error::invalid(format!("`{name}` is ambiguous: it could be {}", candidates.join(" or ")))
        .class("AMBIGUOUS_REFERENCE")
        .at_if_unplaced(text.place(at))
        .help("write the table's name before it")
}

/// An operator or function whose arguments do not fit.
pub fn type_mismatch(detail_class: &str, message: impl Into<String>, text: &Text, at: Spot) -> Error {
    Error::invalid(message).class(format!("DATATYPE_MISMATCH.{detail_class}")).at_if_unplaced(text.place(at))
}

/// The two sides of an operator do not fit.
pub fn operand_types(symbol: &str, left: &DataType, right: &DataType, text: &Text, at: Spot) -> Error {
    let (left, right) = (types::name(left).to_uppercase(), types::name(right).to_uppercase());
    type_mismatch(
        "BINARY_OP_DIFF_TYPES",
        format!("`{symbol}` cannot take {left} on its left and {right} on its right"),
        text,
        at,
    )
    .help("CAST one side to the type of the other")
}

/// What is valid in Spark but not built here yet, or refused on streams.
pub fn unsupported(message: impl Into<String>, text: &Text, at: Spot) -> Error {
    Error::invalid(message).class(UNSUPPORTED_STREAM).at_if_unplaced(text.place(at))
}

/// What Spark has and this version does not: never a wrong answer, always this sentence.
pub fn not_yet(what: &str, text: &Text, at: Spot) -> Error {
    Error::invalid(format!("{what} is not supported by this version of Tidemill"))
        .class("UNSUPPORTED_FEATURE")
        .at_if_unplaced(text.place(at))
        .help("docs/roadmap.md lists what is there and what comes next")
}
