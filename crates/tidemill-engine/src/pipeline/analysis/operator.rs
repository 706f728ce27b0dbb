//! Operators between two typed expressions.

use super::coerce::{self, is_datetime};
use super::expression::condition;
use super::typed::Typed;
use super::{Session, refuse};
use crate::function::arithmetic::{OnError, arithmetic};
use crate::function::{self, CallContext, conditional, datetime};
use crate::pipeline::expression::BinaryOperator;
use crate::pipeline::text::{Spot, Text};
use arrow::datatypes::DataType;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use tidemill_core::Result;

/// A typed operator.
///
/// # Errors
/// Operands that do not fit.
pub fn binary(
    operator: BinaryOperator,
    left: Typed,
    right: Typed,
    session: &Session,
    text: &Text,
    at: Spot,
) -> Result<Typed> {
    let context = CallContext { name: operator.symbol(), session, text, at };
    let mismatch = || refuse::operand_types(operator.symbol(), &left.data_type, &right.data_type, text, at);
    match operator {
        BinaryOperator::Add
        | BinaryOperator::Subtract
        | BinaryOperator::Multiply
        | BinaryOperator::Divide
        | BinaryOperator::Modulo
        | BinaryOperator::IntegerDivide => {
            if let Some(temporal) = datetime::arithmetic(operator, &left, &right, &context)? {
                return Ok(temporal);
            }
            arithmetic(operator, left.clone(), right.clone(), on_error(session)).ok_or_else(mismatch)
        }
        BinaryOperator::And | BinaryOperator::Or => {
            let name = format!("({} {} {})", left.name, operator.symbol(), right.name);
            let left = condition(left, "the left side", text, at)?;
            let right = condition(right, "the right side", text, at)?;
            Ok(conditional::and_or(operator == BinaryOperator::And, left, right).named(name))
        }
        BinaryOperator::Concat => function::build("concat", vec![left, right], &context),
        BinaryOperator::BitAnd | BinaryOperator::BitOr | BinaryOperator::BitXor => {
            bitwise(operator, left.clone(), right.clone()).ok_or_else(mismatch)
        }
        BinaryOperator::ShiftLeft | BinaryOperator::ShiftRight | BinaryOperator::ShiftRightUnsigned => {
            function::build(operator.symbol(), vec![left, right], &context)
        }
        _ => comparison(operator, left.clone(), right.clone(), &context)?.ok_or_else(mismatch),
    }
}

/// What arithmetic does under the session's rules.
pub fn on_error(session: &Session) -> OnError {
    if session.settings.ansi() { OnError::Fail } else { OnError::Legacy }
}

fn bitwise(operator: BinaryOperator, left: Typed, right: Typed) -> Option<Typed> {
    let name = format!("({} {} {})", left.name, operator.symbol(), right.name);
    let common = coerce::common_numeric(&left.data_type, &right.data_type).filter(coerce::is_integer)?;
    let op = match operator {
        BinaryOperator::BitAnd => Operator::BitwiseAnd,
        BinaryOperator::BitOr => Operator::BitwiseOr,
        _ => Operator::BitwiseXor,
    };
    let expr = joined(left.widened(&common).expr, op, right.widened(&common).expr);
    Some(Typed::new(expr, common, name))
}

/// `None` when the types cannot be compared.
fn comparison(operator: BinaryOperator, left: Typed, right: Typed, context: &CallContext<'_>) -> Result<Option<Typed>> {
    let name = match operator {
        BinaryOperator::NotEqual => format!("(NOT ({} = {}))", left.name, right.name),
        _ => format!("({} {} {})", left.name, operator.symbol(), right.name),
    };
    let Some(common) = coerce::common(&left.data_type, &right.data_type) else { return Ok(None) };
    if !coerce::is_groupable(&common) {
        return Ok(None);
    }
    let op = match operator {
        BinaryOperator::Equal => Operator::Eq,
        BinaryOperator::NotEqual => Operator::NotEq,
        BinaryOperator::NullSafeEqual => Operator::IsNotDistinctFrom,
        BinaryOperator::Less => Operator::Lt,
        BinaryOperator::LessOrEqual => Operator::LtEq,
        BinaryOperator::Greater => Operator::Gt,
        _ => Operator::GtEq,
    };
    let left = function::implicit_cast(left, &common, context)?;
    let right = function::implicit_cast(right, &common, context)?;
    let expr = joined(normalized(left).expr, op, normalized(right).expr);
    Ok(Some(Typed::new(expr, DataType::Boolean, name)))
}

/// Floating-point values with one zero and one NaN: -0.0 equals 0.0, NaN equals NaN and is largest.
pub fn normalized(typed: Typed) -> Typed {
    if !coerce::is_float(&typed.data_type) {
        return typed;
    }
    function::math::normalized_float(typed)
}

fn joined(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// True when two types can be compared by an operator.
pub fn comparable(left: &DataType, right: &DataType) -> bool {
    (is_datetime(left) && is_datetime(right)) || coerce::common(left, right).is_some()
}
