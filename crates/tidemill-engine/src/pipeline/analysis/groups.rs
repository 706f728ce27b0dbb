//! What may be named above a grouping: its keys.

use super::expression::Resolver;
use super::typed::Typed;
use crate::pipeline::expression::{Call, Expression};
use crate::pipeline::plan::Attribute;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, Operator};
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

    /// `grouping_id(..)` or `grouping(key)` above the grouping; `None` when the expression is another.
    pub fn grouping_call(&self, expression: &Expression, below: &mut Resolver<'_>) -> Option<Result<Typed>> {
        let Expression::Call(call) = expression else { return None };
        let name = call.name.to_lowercase();
        (name == "grouping_id" || name == "grouping").then(|| self.grouping(call, &name, below))
    }

    fn grouping(&self, call: &Call, name: &str, below: &mut Resolver<'_>) -> Result<Typed> {
        let place = below.text.place(call.at);
        let Some(attribute) = &self.grouping_id else {
            return Err(Error::invalid(format!("{name}() needs ROLLUP, CUBE or GROUPING SETS"))
                .class("UNSUPPORTED_GROUPING_EXPRESSION")
                .at_if_unplaced(place));
        };
        let arguments = below.resolve_all(&call.arguments)?;
        let names: Vec<&str> = arguments.iter().map(|argument| argument.name.as_str()).collect();
        let shown = format!("{name}({})", names.join(", "));
        let positions: Option<Vec<usize>> =
            arguments.iter().map(|argument| self.keys.iter().position(|(expr, _)| *expr == argument.expr)).collect();
        let id = attribute.reference();
        match (name, positions.as_deref()) {
            ("grouping", Some([position])) => {
                let shift = i64::try_from(self.keys.len() - 1 - position).unwrap_or(0);
                let bit = bit_and(bit_shift(id, shift), 1);
                Ok(Typed::new(Expr::Cast(Cast::new(Box::new(bit), DataType::Int8)), DataType::Int8, shown))
            }
            ("grouping_id", Some(positions))
                if positions.is_empty() || positions.iter().copied().eq(0..self.keys.len()) =>
            {
                Ok(Typed::new(id, attribute.data_type.clone(), shown))
            }
            ("grouping", _) => Err(Error::invalid("grouping() takes one of the columns that are grouped by")
                .class("GROUPING_COLUMN_MISMATCH")
                .at_if_unplaced(place)),
            _ => Err(Error::invalid("grouping_id() takes all columns that are grouped by, in their order, or none")
                .class("GROUPING_ID_COLUMN_MISMATCH")
                .at_if_unplaced(place)),
        }
    }
}

fn bit_shift(of: Expr, by: i64) -> Expr {
    binary(of, Operator::BitwiseShiftRight, by)
}

fn bit_and(of: Expr, mask: i64) -> Expr {
    binary(of, Operator::BitwiseAnd, mask)
}

fn binary(left: Expr, operator: Operator, right: i64) -> Expr {
    let right = Expr::Literal(ScalarValue::Int64(Some(right)), None);
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))
}
