//! What may be named above a grouping: its keys.

use super::typed::Typed;
use crate::pipeline::expression::Expression;
use crate::pipeline::plan::Attribute;
use datafusion::logical_expr::Expr;
use tidemill_core::{Error, Result};

/// The keys of a grouping: each as it is written over the input, and the column it becomes.
#[derive(Debug, Default)]
pub struct Groups {
    keys: Vec<(Expr, Attribute)>,
    /// Starts and ends of windows that are keys: each as it is written over the input, and taken from its key.
    parts: Vec<(Expr, Typed)>,
    /// The column of `grouping_id()`, under `ROLLUP` and its kin.
    grouping_id: Option<Attribute>,
}

impl Groups {
    /// Groups by these keys.
    pub fn new(keys: Vec<(Expr, Attribute)>, parts: Vec<(Expr, Typed)>, grouping_id: Option<Attribute>) -> Self {
        Groups { keys, parts, grouping_id }
    }

    /// The key or part of a key that `typed` is, as it stands above the grouping.
    pub fn key(&self, typed: &Typed) -> Option<Typed> {
        if let Some((_, attribute)) = self.keys.iter().find(|(expr, _)| *expr == typed.expr) {
            return Some(Typed::new(attribute.reference(), attribute.data_type.clone(), typed.name.clone()));
        }
        let (_, part) = self.parts.iter().find(|(expr, _)| *expr == typed.expr)?;
        Some(part.clone().named(typed.name.clone()))
    }

    /// `grouping_id()` as a column above the grouping; `None` when the expression is another.
    pub fn grouping_call(&self, expression: &Expression) -> Option<Result<Typed>> {
        let Expression::Call(call) = expression else { return None };
        if !call.name.eq_ignore_ascii_case("grouping_id") || !call.arguments.is_empty() {
            return None;
        }
        Some(match &self.grouping_id {
            Some(attribute) => Ok(Typed::new(attribute.reference(), attribute.data_type.clone(), "grouping_id()")),
            None => Err(Error::invalid("grouping_id() needs ROLLUP, CUBE or GROUPING SETS")
                .class("UNSUPPORTED_GROUPING_EXPRESSION")),
        })
    }
}
