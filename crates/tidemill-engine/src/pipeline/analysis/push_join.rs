//! Conditions and joins: what Spark's optimiser moves to one side of a join, and what it adds there. It
//! shows, because a row that is dropped below a watermark does not raise it and is not in the state.
//!
//! - WHERE and ON about one side go to that side, where the kind of join allows it; WHERE about both
//!   sides of an inner join joins its condition.
//! - WHERE that no row of NULLs passes makes an outer join an inner one.
//! - A side whose rows come out only when they match has no NULL in what the condition compares, and
//!   what holds for one of two equal columns holds for the other.
//!
//! Source: Spark's `PushPredicateThroughJoin`, `EliminateOuterJoin` and `InferFiltersFromConstraints`.

use super::push::{conjuncts, filter, is_stable, replaced, sunk};
use crate::operator::project::{compile, evaluate};
use crate::pipeline::plan::{Attribute, Node, Plan, attribute_id, inner_schema, references};
use crate::pipeline::relation::JoinKind;
use arrow::array::{Array, AsArray, new_null_array};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use std::collections::BTreeSet;
use std::sync::Arc;
use tidemill_core::Result;

/// A join of two streams with what stands in its condition about one side moved to that side.
///
/// # Errors
/// A bug.
pub fn settled(plan: &Arc<Plan>) -> Result<Arc<Plan>> {
    let Node::StreamJoin { left, right, kind, on } = &plan.node else { return Ok(plan.clone()) };
    let mut sides = [left.clone(), right.clone()];
    let mut kept = Vec::with_capacity(on.len());
    let mut moved = 0;
    for part in on {
        match side_of(part, &sides).filter(|side| loses_rows(*kind)[*side] && is_stable(part)) {
            Some(side) => {
                sides[side] = under(&sides[side], part)?;
                moved += 1;
            }
            None => kept.push(part.clone()),
        }
    }
    let mut added = 0;
    for side in (0..2).filter(|side| loses_rows(*kind)[*side]) {
        for new in implied(on, &sides, side)? {
            if !holds(&sides[side], &new)? {
                sides[side] = under(&sides[side], &new)?;
                added += 1;
            }
        }
    }
    if moved + added == 0 {
        return Ok(plan.clone());
    }
    let [left, right] = sides;
    let node = Node::StreamJoin { left, right, kind: *kind, on: kept };
    Ok(Arc::new(Plan { node, attributes: plan.attributes.clone(), streaming: plan.streaming }))
}

/// A join with a table whose stream has no NULL in keys that must match.
///
/// # Errors
/// A bug.
pub fn settled_static(plan: &Arc<Plan>) -> Result<Arc<Plan>> {
    let Node::StaticJoin { left, right, kind, on, .. } = &plan.node else { return Ok(plan.clone()) };
    if !left.streaming || !matches!(kind, JoinKind::Inner | JoinKind::LeftSemi) {
        return Ok(plan.clone());
    }
    let mut stream = left.clone();
    for (key, _) in on {
        for column in compared(key) {
            if let Some(attribute) = stream.attribute(column) {
                let new = Expr::IsNotNull(Box::new(attribute.reference()));
                if !holds(&stream, &new)? {
                    stream = under(&stream, &new)?;
                }
            }
        }
    }
    if Arc::ptr_eq(&stream, left) {
        Ok(plan.clone())
    } else {
        Ok(Arc::new(plan.with_inputs(vec![stream, right.clone()])))
    }
}

/// A condition above a join of two streams, taken into it; `None` when it has to stay above.
///
/// # Errors
/// A bug.
pub fn into_join(condition: &Expr, plan: &Arc<Plan>) -> Result<Option<Arc<Plan>>> {
    let Node::StreamJoin { left, right, kind, on } = &plan.node else { return Ok(None) };
    let mut sides = [left.clone(), right.clone()];
    let kind = stronger(*kind, condition, &sides)?;
    let with = |sides: [Arc<Plan>; 2], on: Vec<Expr>| {
        let [left, right] = sides;
        let node = Node::StreamJoin { left, right, kind, on };
        settled(&Arc::new(Plan { node, attributes: plan.attributes.clone(), streaming: plan.streaming }))
    };
    if !is_stable(condition) {
        return Ok(None);
    }
    match side_of(condition, &sides) {
        Some(side) if keeps_rows(kind)[side] => {
            sides[side] = under(&sides[side], condition)?;
            with(sides, on.clone()).map(Some)
        }
        _ if kind == JoinKind::Inner => {
            let on = on.iter().cloned().chain([condition.clone()]).collect();
            with(sides, on).map(Some)
        }
        // the kind alone may have changed
        _ => match &plan.node {
            Node::StreamJoin { kind: before, .. } if *before != kind => {
                Ok(Some(filter(with(sides, on.clone())?, condition.clone())))
            }
            _ => Ok(None),
        },
    }
}

/// For each side, whether its rows come out only when they match: a condition of ON may drop them early.
fn loses_rows(kind: JoinKind) -> [bool; 2] {
    match kind {
        JoinKind::LeftOuter => [false, true],
        JoinKind::RightOuter => [true, false],
        JoinKind::FullOuter => [false, false],
        _ => [true, true],
    }
}

/// For each side, whether its columns come out as they are: a condition of WHERE may drop rows early.
fn keeps_rows(kind: JoinKind) -> [bool; 2] {
    match kind {
        JoinKind::LeftOuter | JoinKind::LeftSemi => [true, false],
        JoinKind::RightOuter => [false, true],
        JoinKind::FullOuter => [false, false],
        _ => [true, true],
    }
}

/// The side all columns of an expression are of.
fn side_of(expr: &Expr, sides: &[Arc<Plan>; 2]) -> Option<usize> {
    let reads = references(expr);
    let of = |side: &usize| !reads.is_empty() && reads.iter().all(|id| sides[*side].attribute(*id).is_some());
    (0..2).find(of)
}

/// The plan with a condition in it, as deep as it goes.
fn under(plan: &Arc<Plan>, condition: &Expr) -> Result<Arc<Plan>> {
    Ok(sunk(condition, plan, false)?.unwrap_or_else(|| filter(plan.clone(), condition.clone())))
}

/// The kind of a join above which a condition stands: NULLs for the rows of a side that matched nothing
/// are in vain when none of them passes.
fn stronger(kind: JoinKind, condition: &Expr, sides: &[Arc<Plan>; 2]) -> Result<JoinKind> {
    let rejects = [rejects_nulls(condition, &sides[0])?, rejects_nulls(condition, &sides[1])?];
    Ok(match (kind, rejects) {
        (JoinKind::LeftOuter, [_, true]) | (JoinKind::RightOuter, [true, _]) | (JoinKind::FullOuter, [true, true]) => {
            JoinKind::Inner
        }
        (JoinKind::FullOuter, [true, false]) => JoinKind::LeftOuter,
        (JoinKind::FullOuter, [false, true]) => JoinKind::RightOuter,
        (other, _) => other,
    })
}

/// True when no row passes in which all columns of this side are NULL.
fn rejects_nulls(condition: &Expr, side: &Plan) -> Result<bool> {
    let reads = references(condition);
    if compared(condition).iter().any(|id| side.attribute(*id).is_some()) {
        return Ok(true);
    }
    if reads.is_empty() || reads.iter().any(|id| side.attribute(*id).is_none()) {
        return Ok(false);
    }
    let columns: Vec<Attribute> =
        side.attributes.iter().filter(|attribute| reads.contains(&attribute.id)).cloned().collect();
    let nulls = columns.iter().map(|attribute| new_null_array(&attribute.data_type, 1)).collect();
    let row = RecordBatch::try_new(inner_schema(&columns), nulls)?;
    let Ok(value) = evaluate(&compile(condition, &columns)?, &row) else { return Ok(false) };
    let value = value.as_boolean_opt();
    Ok(value.is_some_and(|value| value.is_null(0) || !value.value(0)))
}

/// What follows from a condition for the rows of one side.
fn implied(on: &[Expr], sides: &[Arc<Plan>; 2], side: usize) -> Result<Vec<Expr>> {
    let own = &sides[side];
    let mut all: Vec<Expr> = Vec::new();
    for part in on {
        for id in compared(part) {
            if let Some(attribute) = own.attribute(id) {
                all.push(Expr::IsNotNull(Box::new(attribute.reference())));
            }
        }
    }
    // what is known of the other of two equal columns
    let mut known: Vec<Expr> = on.to_vec();
    filters(&sides[1 - side], &mut known)?;
    for (mine, other) in equal_columns(on, sides, side) {
        for part in known.iter().filter(|part| side_of(part, sides) == Some(1 - side) && is_stable(part)) {
            if references(part) == BTreeSet::from([other.id]) && !matches!(part, Expr::IsNotNull(_)) {
                all.push(replaced(part, std::slice::from_ref(&other), &[mine.reference()])?);
            }
        }
    }
    Ok(all)
}

/// Pairs of columns that are equal: of this side, of the other.
fn equal_columns(on: &[Expr], sides: &[Arc<Plan>; 2], side: usize) -> Vec<(Attribute, Attribute)> {
    let column = |expr: &Expr| match expr {
        Expr::Column(column) => attribute_id(&column.name),
        _ => None,
    };
    let mut pairs = Vec::new();
    for part in on {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = part else { continue };
        for (one, other) in [(left, right), (right, left)] {
            let mine = column(one).and_then(|id| sides[side].attribute(id));
            let theirs = column(other).and_then(|id| sides[1 - side].attribute(id));
            if let (Some(mine), Some(theirs)) = (mine, theirs) {
                pairs.push((mine.clone(), theirs.clone()));
            }
        }
    }
    pairs
}

/// The conditions that rows of a plan are known to fulfil, over its columns.
fn filters(plan: &Arc<Plan>, out: &mut Vec<Expr>) -> Result<()> {
    match &plan.node {
        Node::Filter { input, condition } => {
            out.extend(conjuncts(condition));
            filters(input, out)
        }
        Node::Watermark { input, .. } => filters(input, out),
        Node::Project { input, list } => {
            let mut below = Vec::new();
            filters(input, &mut below)?;
            let (columns, names): (Vec<Attribute>, Vec<Expr>) = list
                .iter()
                .zip(&plan.attributes)
                .filter_map(|(expr, attribute)| match expr {
                    Expr::Column(column) => {
                        Some((input.attribute(attribute_id(&column.name)?)?.clone(), attribute.reference()))
                    }
                    _ => None,
                })
                .unzip();
            for part in below {
                let part = replaced(&part, &columns, &names)?;
                if references(&part).iter().all(|id| plan.attribute(*id).is_some()) {
                    out.push(part);
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// True when the rows of a plan are known to fulfil a condition.
pub(super) fn holds(plan: &Arc<Plan>, condition: &Expr) -> Result<bool> {
    let mut known = Vec::new();
    filters(plan, &mut known)?;
    Ok(known.contains(condition))
}

/// The columns that make an expression NULL when they are NULL themselves.
pub(super) fn compared(expr: &Expr) -> Vec<u32> {
    const STRICT: [&str; 8] = [
        "normalize_float",
        "cast",
        "add_interval",
        "add_months",
        "add",
        "subtract",
        "get_field",
        "date_from_unix_date",
    ];
    let mut columns = Vec::new();
    let walked = expr.apply(|node| {
        Ok(match node {
            Expr::Column(column) => {
                columns.extend(attribute_id(&column.name));
                TreeNodeRecursion::Continue
            }
            Expr::BinaryExpr(BinaryExpr { op, .. })
                if !matches!(
                    op,
                    Operator::And | Operator::Or | Operator::IsNotDistinctFrom | Operator::IsDistinctFrom
                ) =>
            {
                TreeNodeRecursion::Continue
            }
            Expr::Cast(_) | Expr::Not(_) | Expr::Negative(_) => TreeNodeRecursion::Continue,
            Expr::ScalarFunction(call) if STRICT.contains(&call.func.name()) => TreeNodeRecursion::Continue,
            _ => TreeNodeRecursion::Jump,
        })
    });
    if walked.is_ok() { columns } else { vec![] }
}
