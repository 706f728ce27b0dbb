//! The condition of a join of two streams, taken apart: keys, what is about one side only, and the
//! bounds that comparisons of the two event times set for the state.
//!
//! Source of the rules: SEMANTICS section 6 (Spark's `StreamingJoinHelper`, whose arithmetic this follows).

use super::plan::{Attribute, Plan, attribute_id, references};
use crate::function::native::Native;
use crate::operator::join::bounds::{JoinBounds, RangeBound, SideBound};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, Operator, ScalarUDFImpl};
use std::collections::BTreeSet;

/// Two expressions that must be equal.
#[derive(Debug, Clone)]
pub struct JoinKey {
    /// Over the left side.
    pub left: Expr,
    /// Over the right side.
    pub right: Expr,
    /// True when NULL equals NULL.
    pub null_safe: bool,
}

/// A condition taken apart.
#[derive(Debug, Clone, Default)]
pub struct JoinCondition {
    /// What must be equal.
    pub keys: Vec<JoinKey>,
    /// What is about the left side only.
    pub left_only: Vec<Expr>,
    /// What is about the right side only.
    pub right_only: Vec<Expr>,
    /// The rest.
    pub both: Vec<Expr>,
}

impl JoinCondition {
    /// Takes apart what is joined by AND.
    pub fn new(parts: &[Expr], left: &Plan, right: &Plan) -> Self {
        let mut condition = JoinCondition::default();
        for part in parts {
            if let Some(key) = key(part, left, right) {
                condition.keys.push(key);
                continue;
            }
            let (on_left, on_right) = (reads_only(part, left), reads_only(part, right));
            if on_left {
                condition.left_only.push(part.clone());
            }
            if on_right {
                condition.right_only.push(part.clone());
            }
            if !on_left && !on_right {
                condition.both.push(part.clone());
            }
        }
        condition
    }

    /// All but the keys.
    pub fn rest(&self) -> Vec<Expr> {
        self.left_only.iter().chain(&self.right_only).chain(&self.both).cloned().collect()
    }

    /// The key that is an event time, or a window of one, on the left or else on the right.
    pub fn event_key(&self, left: &Plan, right: &Plan) -> Option<usize> {
        let is_event = |expr: &Expr, side: &Plan| match expr {
            Expr::Column(column) => attribute_id(&column.name)
                .and_then(|id| side.attribute(id))
                .is_some_and(|attribute| attribute.watermark.is_some()),
            _ => false,
        };
        // the two keys of `<=>` are no plain columns for Spark
        let plain = |key: &JoinKey| !key.null_safe;
        let on_left = self.keys.iter().position(|key| plain(key) && is_event(&key.left, left));
        on_left.or_else(|| self.keys.iter().position(|key| plain(key) && is_event(&key.right, right)))
    }
}

fn reads_only(expr: &Expr, side: &Plan) -> bool {
    references(expr).into_iter().all(|id| side.attribute(id).is_some())
}

fn key(part: &Expr, left: &Plan, right: &Plan) -> Option<JoinKey> {
    let Expr::BinaryExpr(BinaryExpr { left: first, op, right: second }) = part else { return None };
    let null_safe = match op {
        Operator::Eq => false,
        Operator::IsNotDistinctFrom => true,
        _ => return None,
    };
    let over = |expr: &Expr, side: &Plan| !references(expr).is_empty() && reads_only(expr, side);
    for (one, other) in [(first, second), (second, first)] {
        if over(one, left) && over(other, right) {
            return Some(JoinKey { left: (**one).clone(), right: (**other).clone(), null_safe });
        }
    }
    None
}

/// When the rows of both sides go.
pub fn state_bounds(condition: &JoinCondition, left: &Plan, right: &Plan) -> JoinBounds {
    if condition.event_key(left, right).is_some() {
        return JoinBounds { left: SideBound::Watermark, right: SideBound::Watermark };
    }
    let rest = condition.rest();
    let of = |side: &Plan, other: &Plan| {
        let ranges = bounds(&rest, side, other);
        match event_time(side) {
            Some(_) if !ranges.is_empty() => SideBound::Range(ranges),
            _ => SideBound::Never,
        }
    };
    JoinBounds { left: of(left, right), right: of(right, left) }
}

/// The event time of a side.
pub fn event_time(side: &Plan) -> Option<&Attribute> {
    side.attributes.iter().find(|attribute| attribute.watermark.is_some())
}

/// What the comparisons say of the rows of `side` when the watermark of `other` is known; empty for
/// nothing.
pub fn bounds(parts: &[Expr], side: &Plan, other: &Plan) -> Vec<RangeBound> {
    if other.attributes.iter().all(|attribute| attribute.watermark.is_none()) {
        return vec![];
    }
    parts.iter().filter_map(|part| bound(part, side, other)).collect()
}

fn bound(part: &Expr, side: &Plan, other: &Plan) -> Option<RangeBound> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = part else { return None };
    let (less, more, strict) = match op {
        Operator::Lt => (left, right, true),
        Operator::LtEq => (left, right, false),
        Operator::Gt => (right, left, true),
        Operator::GtEq => (right, left, false),
        _ => return None,
    };
    let all: BTreeSet<u32> = references(part);
    let of = |plan: &Plan| all.iter().filter(|id| plan.attribute(**id).is_some()).count();
    if of(side) > 1 || of(other) > 1 {
        return None;
    }
    // less - more < 0, as a sum of terms
    let mut terms = Vec::new();
    collect(less, false, &mut terms)?;
    collect(more, true, &mut terms)?;
    let (own, rest): (Vec<Term>, Vec<Term>) =
        terms.into_iter().partition(|term| matches!(term.of, TermOf::Column(id) if side.attribute(id).is_some()));
    if rest.is_empty() || !matches!(own.as_slice(), [Term { negative: true, .. }]) {
        return None;
    }
    let mut bound = RangeBound { watermarks: 0.0, shift: 0.0, strict };
    for term in rest {
        let sign = if term.negative { -1.0 } else { 1.0 };
        match term.of {
            TermOf::Micros(micros) => bound.shift += sign * micros,
            TermOf::Column(id) if other.attribute(id).is_some_and(has_watermark) => bound.watermarks += sign,
            TermOf::Column(_) => return None,
        }
    }
    Some(bound)
}

fn has_watermark(attribute: &Attribute) -> bool {
    attribute.watermark.is_some()
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Term {
    negative: bool,
    of: TermOf,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum TermOf {
    Column(u32),
    Micros(f64),
}

/// Adds the terms of an expression that is a sum; `None` when it is something else.
fn collect(expr: &Expr, negative: bool, terms: &mut Vec<Term>) -> Option<()> {
    match expr {
        Expr::Column(column) => {
            let of = TermOf::Column(attribute_id(&column.name)?);
            terms.push(Term { negative, of });
            Some(())
        }
        Expr::Literal(value, _) => {
            terms.push(Term { negative, of: TermOf::Micros(micros(value)?) });
            Some(())
        }
        Expr::Cast(Cast { expr, field }) => {
            is_time_or_number(field.data_type()).then(|| collect(expr, negative, terms))?
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let flipped = match op {
                Operator::Plus => negative,
                Operator::Minus => !negative,
                _ => return None,
            };
            collect(left, negative, terms)?;
            collect(right, flipped, terms)
        }
        Expr::Negative(expr) => collect(expr, !negative, terms),
        other => {
            let (native, arguments) = Native::of(other)?;
            let flipped = match native.name() {
                "cast" => {
                    return is_time_or_number(native.result()).then(|| collect(&arguments[0], negative, terms))?;
                }
                "normalize_float" => return collect(&arguments[0], negative, terms),
                "add" => negative,
                "subtract" => !negative,
                // the parameters start with the sign
                "add_interval" => negative != native.parameters().starts_with('-'),
                _ => return None,
            };
            collect(arguments.first()?, negative, terms)?;
            collect(arguments.get(1)?, flipped, terms)
        }
    }
}

fn is_time_or_number(of: &DataType) -> bool {
    of.is_numeric() || matches!(of, DataType::Timestamp(_, Some(_)))
}

/// Numbers are seconds.
fn micros(value: &ScalarValue) -> Option<f64> {
    match value {
        ScalarValue::DurationMicrosecond(micros) => micros.map(|micros| micros as f64),
        other if other.data_type().is_numeric() => match other.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(seconds))) => Some(seconds * 1e6),
            _ => None,
        },
        _ => None,
    }
}
