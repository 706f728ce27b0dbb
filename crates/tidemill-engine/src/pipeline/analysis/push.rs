//! Moves conditions below watermarks and groupings where Spark's optimiser does, because it shows: a
//! row that a later WHERE drops does not raise the watermark, unless the condition reads the event
//! time itself; and a group that HAVING drops by its keys has no state.
//!
//! A condition passes projections (with the column's expression put in its place), other conditions,
//! window operators whose window it does not read, unions, and groupings of whose columns it reads only keys.
//! It is moved only if that takes it below a watermark or a grouping.
//! Source: Spark's `PushPredicateThroughNonJoin`; observed in `tumbling_filter_after_watermark`.

use super::push_join;
use super::typed::Typed;
use crate::function::native::Native;
use crate::pipeline::plan::{Attribute, Node, Plan, attribute_id, references};
use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{BinaryExpr, Case, Expr, Operator, Volatility};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tidemill_core::Result;

/// The plan with its conditions moved.
///
/// # Errors
/// A bug.
pub fn push_conditions(plan: &Arc<Plan>) -> Result<Arc<Plan>> {
    Pusher::default().plan(plan)
}

#[derive(Default)]
struct Pusher {
    done: HashMap<usize, Arc<Plan>>,
}

impl Pusher {
    fn plan(&mut self, plan: &Arc<Plan>) -> Result<Arc<Plan>> {
        let key = Arc::as_ptr(plan) as usize;
        if let Some(done) = self.done.get(&key) {
            return Ok(done.clone());
        }
        let new = self.rebuilt(plan)?;
        self.done.insert(key, new.clone());
        Ok(new)
    }

    fn rebuilt(&mut self, plan: &Arc<Plan>) -> Result<Arc<Plan>> {
        let before: Vec<Arc<Plan>> = plan.inputs().into_iter().cloned().collect();
        let inputs = before.iter().map(|input| self.plan(input)).collect::<Result<Vec<_>>>()?;
        let unchanged = before.iter().zip(&inputs).all(|(old, new)| Arc::ptr_eq(old, new));
        let plan = if unchanged { plan.clone() } else { Arc::new(plan.with_inputs(inputs)) };
        let (mut input, mut kept) = match &plan.node {
            Node::Filter { input, condition } => (input.clone(), conjuncts(condition)),
            Node::StreamJoin { .. } => return push_join::settled(&plan),
            Node::StaticJoin { .. } => return push_join::settled_static(&plan),
            Node::Explode { input, argument, outer: false, .. } => {
                return with_rows_to_take_apart(&plan, input, argument);
            }
            // a row without a time is in no window
            Node::Window { input, time, .. } if is_stable(time) => {
                let below = sunk(&Expr::IsNotNull(Box::new(time.clone())), input, false)?;
                return Ok(below.map_or(plan.clone(), |below| Arc::new(plan.with_inputs(vec![below]))));
            }
            _ => return Ok(plan),
        };
        // one that goes down may let another follow
        loop {
            let before = kept.len();
            for part in std::mem::take(&mut kept) {
                match sunk(&part, &input, false)? {
                    Some(below) => input = below,
                    None => kept.push(part),
                }
            }
            if kept.len() == before || kept.is_empty() {
                break;
            }
        }
        // what stays may still say that something below is not NULL
        for id in kept.iter().flat_map(push_join::compared).collect::<BTreeSet<u32>>() {
            let Some(attribute) = input.attribute(id) else { continue };
            let new = Expr::IsNotNull(Box::new(attribute.reference()));
            if !push_join::holds(&input, &new)?
                && let Some(below) = sunk(&new, &input, false)?
            {
                input = below;
            }
        }
        Ok(match kept.into_iter().reduce(both) {
            None => input,
            Some(condition) => filter(input, condition),
        })
    }
}

/// A generator whose input has only rows that it brings something out of.
fn with_rows_to_take_apart(plan: &Arc<Plan>, input: &Arc<Plan>, argument: &Expr) -> Result<Arc<Plan>> {
    if references(argument).is_empty() || !is_stable(argument) {
        return Ok(plan.clone());
    }
    let not_empty = Native::call("has_elements", "", DataType::Boolean, vec![argument.clone()], |arguments, rows| {
        let array = &arguments[0];
        let length = |row: usize| match array.data_type() {
            DataType::Map(..) => array.as_map().value_length(row),
            _ => array.as_list::<i32>().value_length(row),
        };
        let has = (0..rows).map(|row| array.is_valid(row) && length(row) > 0);
        Ok(Arc::new(BooleanArray::from(has.collect::<Vec<bool>>())))
    });
    Ok(match sunk(&not_empty, input, false)? {
        Some(below) => Arc::new(plan.with_inputs(vec![below])),
        None => plan.clone(),
    })
}

/// The plan with the condition below a watermark or a grouping in it; `None` when it cannot get there.
pub(super) fn sunk(condition: &Expr, plan: &Arc<Plan>, passed: bool) -> Result<Option<Arc<Plan>>> {
    let reads = references(condition);
    let here = || passed.then(|| filter(plan.clone(), condition.clone()));
    let below = |input: &Arc<Plan>, condition: &Expr, passed: bool| -> Result<Option<Arc<Plan>>> {
        Ok(sunk(condition, input, passed)?.map(|new| Arc::new(plan.with_inputs(vec![new]))))
    };
    let deeper = match &plan.node {
        Node::Watermark { input, column, .. } if !reads.contains(column) && is_stable(condition) => {
            below(input, condition, true)?
        }
        // after the conditions that are there already, which may be what keeps this one from failing
        Node::Filter { input, .. } => below(input, condition, false)?,
        Node::StreamJoin { .. } => push_join::into_join(condition, plan)?,
        // the stream is on the left, and each of its rows is there or not whatever the table has
        Node::StaticJoin { left, right, .. }
            if left.streaming && is_stable(condition) && reads.iter().all(|id| left.attribute(*id).is_some()) =>
        {
            sunk(condition, left, passed)?.map(|new| Arc::new(plan.with_inputs(vec![new, right.clone()])))
        }
        Node::Window { input, .. } | Node::Session { input, .. }
            if reads.iter().all(|id| input.attribute(*id).is_some()) =>
        {
            below(input, condition, passed)?
        }
        Node::Project { input, list } if list.iter().all(is_stable) => {
            below(input, &replaced(condition, &plan.attributes, list)?, passed)?
        }
        Node::Aggregate { input, keys, .. } if !reads.is_empty() && reads.iter().all(|id| keys.contains(id)) => {
            // a window that is a key has another name below
            let named: Option<Vec<Expr>> =
                keys.iter().map(|key| input.attribute(*key).map(Attribute::reference)).collect();
            match named {
                Some(named) => below(input, &replaced(condition, &plan.attributes[..keys.len()], &named)?, true)?,
                None => None,
            }
        }
        Node::Union { inputs, columns } if is_stable(condition) => {
            sunk_into_union(condition, plan, inputs, columns, passed)?
        }
        _ => None,
    };
    Ok(deeper.or_else(here))
}

/// The union with the condition in all of its inputs, when it gets below a watermark or a grouping in one.
fn sunk_into_union(
    condition: &Expr,
    plan: &Arc<Plan>,
    inputs: &[Arc<Plan>],
    columns: &[Vec<u32>],
    passed: bool,
) -> Result<Option<Arc<Plan>>> {
    let mut below: Vec<(Expr, Option<Arc<Plan>>)> = Vec::with_capacity(inputs.len());
    for (position, (input, columns_of)) in inputs.iter().zip(columns).enumerate() {
        let of: Option<Vec<Expr>> =
            columns_of.iter().map(|id| input.attribute(*id).map(Attribute::reference)).collect();
        let Some(of) = of else { return Ok(None) };
        // an input that stands there twice stays one
        let same = (0..position).find(|other| Arc::ptr_eq(&inputs[*other], input) && columns[*other] == *columns_of);
        let sunken = match same {
            Some(same) => below[same].clone(),
            None => {
                let condition = replaced(condition, &plan.attributes, &of)?;
                let new = sunk(&condition, input, passed)?;
                (condition, new)
            }
        };
        below.push(sunken);
    }
    if below.iter().all(|(_, new)| new.is_none()) {
        return Ok(None);
    }
    let new = below.into_iter().zip(inputs);
    let new = new.map(|((condition, new), input)| new.unwrap_or_else(|| filter(input.clone(), condition)));
    Ok(Some(Arc::new(plan.with_inputs(new.collect()))))
}

pub(super) fn filter(input: Arc<Plan>, condition: Expr) -> Arc<Plan> {
    let (attributes, streaming) = (input.attributes.clone(), input.streaming);
    Arc::new(Plan { node: Node::Filter { input, condition }, attributes, streaming })
}

pub(super) fn conjuncts(condition: &Expr) -> Vec<Expr> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            let mut parts = conjuncts(left);
            parts.extend(conjuncts(right));
            parts
        }
        Expr::Not(negated) => match opposite(negated) {
            Some(opposite) => conjuncts(&opposite),
            None => vec![condition.clone()],
        },
        // `a AND b` where b may fail on a row that a has dropped
        Expr::Case(Case { expr: None, when_then_expr, else_expr: Some(open) }) => {
            match (when_then_expr.as_slice(), &**open) {
                ([(when, then)], Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, .. }))
                    if matches!(&**when, Expr::IsFalse(decided) if decided == left)
                        && matches!(&**then, Expr::Literal(ScalarValue::Boolean(Some(false)), _)) =>
                {
                    conjuncts(open)
                }
                _ => vec![condition.clone()],
            }
        }
        other => vec![other.clone()],
    }
}

/// What `NOT` of a comparison or of `a OR b` is without it.
fn opposite(negated: &Expr) -> Option<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = negated else { return None };
    let not = |expr: &Expr| Box::new(Expr::Not(Box::new(expr.clone())));
    let op = match op {
        Operator::Or => return Some(Expr::BinaryExpr(BinaryExpr::new(not(left), Operator::And, not(right)))),
        Operator::Lt => Operator::GtEq,
        Operator::LtEq => Operator::Gt,
        Operator::Gt => Operator::LtEq,
        Operator::GtEq => Operator::Lt,
        _ => return None,
    };
    Some(Expr::BinaryExpr(BinaryExpr::new(left.clone(), op, right.clone())))
}

fn both(left: Expr, right: Expr) -> Expr {
    let typed = |expr| Typed::new(expr, DataType::Boolean, "");
    crate::function::conditional::and_or(true, typed(left), typed(right)).expr
}

/// True when the expression gives the same for the same row whenever it is computed.
pub(super) fn is_stable(expr: &Expr) -> bool {
    let volatile = expr.exists(|node| {
        Ok(matches!(node, Expr::ScalarFunction(call) if call.func.signature().volatility == Volatility::Volatile))
    });
    !volatile.unwrap_or(true)
}

/// The expression with every column of a projection replaced by what the projection computes for it.
pub(super) fn replaced(expr: &Expr, attributes: &[Attribute], list: &[Expr]) -> Result<Expr> {
    let new = expr.clone().transform(|node| {
        let position = match &node {
            Expr::Column(column) => {
                attribute_id(&column.name).and_then(|id| attributes.iter().position(|attribute| attribute.id == id))
            }
            _ => None,
        };
        Ok(match position {
            Some(position) => Transformed::yes(list[position].clone()),
            None => Transformed::no(node),
        })
    });
    new.map(|new| new.data).map_err(crate::errors::from_datafusion)
}
