//! Joins with a table, which keep no state. Those of two streams are in `stream_join`.

use super::expression::condition;
use super::relation::conjuncts;
use super::scope::Entry;
use super::typed::Typed;
use super::{Analyzer, Bound, operator, refuse};
use crate::pipeline::expression::{BinaryOperator, Expression};
use crate::pipeline::plan::{Attribute, Node, Plan, references};
use crate::pipeline::relation::JoinKind;
use crate::pipeline::text::Spot;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidemill_core::Result;

impl Analyzer<'_> {
    pub(super) fn join(
        &self,
        left: Bound,
        right: Bound,
        kind: JoinKind,
        on: Option<&Expression>,
        using: &[String],
        at: Spot,
    ) -> Result<Bound> {
        if left.plan.streaming && right.plan.streaming {
            return self.stream_join(left, right, kind, on, using, at);
        }
        let both = left.scope.clone().beside(right.scope.clone());
        let (mut equal, mut rest): (Vec<(Expr, Expr)>, Vec<Typed>) = (vec![], vec![]);
        for name in using {
            let parts = vec![name.clone()];
            let (left_key, _) = left.scope.find(&parts, self.text, at)?;
            let (right_key, _) = right.scope.find(&parts, self.text, at)?;
            let sides = [left_key, right_key].map(|key| Typed::new(key.reference(), key.data_type.clone(), key.name));
            let [left_key, right_key] = sides;
            equal.push(self.equal_sides(left_key, right_key, at)?);
        }
        for part in on.map(conjuncts).unwrap_or_default() {
            match self.equality(part, &left, &right)? {
                Some(pair) => equal.push(pair),
                None => {
                    let typed = self.resolver(&both).resolve(part)?;
                    rest.push(condition(typed, "the join condition", self.text, part.spot())?);
                }
            }
        }
        let filter = rest
            .into_iter()
            .map(|typed| typed.expr)
            .reduce(|left, right| crate::function::conditional::and_or(true, boolean(left), boolean(right)).expr);
        let kind = match kind {
            JoinKind::Inner if equal.is_empty() && filter.is_none() => JoinKind::Cross,
            other => other,
        };
        let joined = self.static_join(left, right, kind, equal, filter, at)?;
        match (using.is_empty(), kind) {
            (true, _) => Ok(joined),
            (false, JoinKind::FullOuter) => self.coalesce_using(joined, using, at),
            (false, _) => self.merge_using(joined, using, kind),
        }
    }

    /// `a = b` with one side over each input; the two sides in their common type.
    pub(super) fn equality(&self, part: &Expression, left: &Bound, right: &Bound) -> Result<Option<(Expr, Expr)>> {
        let Expression::Binary { operator: BinaryOperator::Equal, left: first, right: second, at } = part else {
            return Ok(None);
        };
        for (one, other) in [(first, second), (second, first)] {
            let over_left = self.resolver(&left.scope).resolve(one);
            let over_right = self.resolver(&right.scope).resolve(other);
            let ambiguous = self.resolver(&right.scope).resolve(one).is_ok() && is_bare(one);
            if let (Ok(over_left), Ok(over_right), false) = (over_left, over_right, ambiguous)
                && !references(&over_left.expr).is_empty()
                && !references(&over_right.expr).is_empty()
            {
                return self.equal_sides(over_left, over_right, *at).map(Some);
            }
        }
        Ok(None)
    }

    pub(super) fn equal_sides(&self, left: Typed, right: Typed, at: Spot) -> Result<(Expr, Expr)> {
        let context = crate::function::CallContext { name: "=", session: self.session, text: self.text, at };
        let (mut sides, _) = super::expression::to_common(vec![left, right], &context)?;
        let (right, left) = (sides.remove(1), sides.remove(0));
        Ok((operator::normalized(left).expr, operator::normalized(right).expr))
    }

    /// A join in which at most one side streams. The operator wants the stream on its left.
    pub(super) fn static_join(
        &self,
        left: Bound,
        right: Bound,
        kind: JoinKind,
        on: Vec<(Expr, Expr)>,
        filter: Option<Expr>,
        at: Spot,
    ) -> Result<Bound> {
        let refused = |side: &str, other: &str| {
            let name = kind.spark_name();
            let message = format!(
                "a {name} join with a stream on the {side} and a table on the {other} keeps rows of the table, which never ends"
            );
            Err(refuse::unsupported(message, self.text, at))
        };
        match (left.plan.streaming, right.plan.streaming, kind) {
            (true, false, JoinKind::RightOuter | JoinKind::FullOuter) => return refused("left", "right"),
            (false, true, JoinKind::LeftOuter | JoinKind::FullOuter | JoinKind::LeftSemi | JoinKind::LeftAnti) => {
                return refused("right", "left");
            }
            (false, false, JoinKind::FullOuter) => return Ok(self.full_join(left, right, on, filter)),
            (true, true, _) => return Err(refuse::not_yet("IN over a stream", self.text, at)),
            _ => {}
        }
        let scope = match kind {
            JoinKind::LeftSemi | JoinKind::LeftAnti => left.scope.clone(),
            _ => left.scope.clone().beside(right.scope.clone()),
        };
        let swap = right.plan.streaming || kind == JoinKind::RightOuter;
        let streaming = left.plan.streaming || right.plan.streaming;
        let attributes = |first: &Plan, second: &Plan| match kind {
            JoinKind::LeftSemi | JoinKind::LeftAnti => first.attributes.clone(),
            _ => first.attributes.iter().chain(&second.attributes).cloned().collect::<Vec<Attribute>>(),
        };
        let wanted = attributes(&left.plan, &right.plan);
        let plan = if swap {
            let kind = if kind == JoinKind::RightOuter { JoinKind::LeftOuter } else { kind };
            let on = on.into_iter().map(|(left, right)| (right, left)).collect();
            let attributes = attributes(&right.plan, &left.plan);
            let node = Node::StaticJoin { left: right.plan, right: left.plan, kind, on, filter };
            let joined = Arc::new(Plan { node, attributes, streaming });
            let list = wanted.iter().map(Attribute::reference).collect();
            Plan { node: Node::Project { input: joined, list }, attributes: wanted, streaming }
        } else {
            let node = Node::StaticJoin { left: left.plan, right: right.plan, kind, on, filter };
            Plan { node, attributes: wanted, streaming }
        };
        Ok(self.bound(plan, scope))
    }

    /// A full outer join of two tables: all rows of the left one with what they meet, then the rows of the
    /// right one that meet nothing.
    fn full_join(&self, left: Bound, right: Bound, on: Vec<(Expr, Expr)>, filter: Option<Expr>) -> Bound {
        let scope = left.scope.beside(right.scope);
        let (left, right) = (left.plan, right.plan);
        let attributes: Vec<Attribute> = left.attributes.iter().chain(&right.attributes).cloned().collect();
        let swapped = on.iter().map(|(left, right)| (right.clone(), left.clone())).collect();
        let join = |first: &Arc<Plan>, second: &Arc<Plan>, kind, on, attributes| {
            let node =
                Node::StaticJoin { left: first.clone(), right: second.clone(), kind, on, filter: filter.clone() };
            Arc::new(Plan { node, attributes, streaming: false })
        };
        let met = join(&left, &right, JoinKind::LeftOuter, on, attributes.clone());
        let alone = join(&right, &left, JoinKind::LeftAnti, swapped, right.attributes.clone());
        let nothing = |of: &Attribute| Typed::literal(ScalarValue::Null, "").widened(&of.data_type).expr;
        let list = left.attributes.iter().map(nothing).chain(right.attributes.iter().map(Attribute::reference));
        let node = Node::Project { input: alone, list: list.collect() };
        let renumbered = attributes.iter().map(|of| self.attribute(&of.name, of.data_type.clone())).collect();
        let alone = Arc::new(Plan { node, attributes: renumbered, streaming: false });
        let ids = |plan: &Plan| -> Vec<u32> { plan.attributes.iter().map(|attribute| attribute.id).collect() };
        let columns = vec![ids(&met), ids(&alone)];
        let node = Node::Union { inputs: vec![met, alone], columns };
        self.bound(Plan { node, attributes, streaming: false }, scope)
    }

    /// After `USING (k)`: one `k` first, of the side that has all rows, then the other columns.
    pub(super) fn merge_using(&self, joined: Bound, using: &[String], kind: JoinKind) -> Result<Bound> {
        let scope = joined.scope.clone();
        let is_key = |entry: &Entry| using.iter().any(|name| scope.same(name, &entry.attribute.name));
        let mut keys = Vec::with_capacity(using.len());
        for name in using {
            let found: Vec<&Entry> =
                scope.entries().iter().filter(|entry| scope.same(name, &entry.attribute.name)).collect();
            let chosen = if kind == JoinKind::RightOuter { found.last() } else { found.first() };
            keys.extend(chosen.map(|entry| (*entry).clone()));
        }
        let rest: Vec<Entry> =
            scope.entries().iter().filter(|entry| !is_key(entry) && !entry.hidden).cloned().collect();
        let ids: BTreeSet<u32> = keys.iter().map(|entry| entry.attribute.id).collect();
        let hidden: Vec<Entry> = scope
            .entries()
            .iter()
            .filter(|entry| is_key(entry) && !ids.contains(&entry.attribute.id))
            .cloned()
            .collect();
        let mut bound = joined;
        *bound.scope.entries_mut() = keys
            .into_iter()
            .chain(rest)
            .chain(hidden.into_iter().map(|entry| Entry { hidden: true, ..entry }))
            .collect();
        let visible: Vec<Entry> = bound.scope.entries().to_vec();
        let list: Vec<Expr> = visible.iter().map(|entry| entry.attribute.reference()).collect();
        let attributes = visible.iter().map(|entry| entry.attribute.clone()).collect();
        let streaming = bound.plan.streaming;
        let plan = Plan { node: Node::Project { input: bound.plan, list }, attributes, streaming };
        Ok(self.bound(plan, bound.scope))
    }
}

impl Analyzer<'_> {
    /// Without the columns that a name finds but `*` does not, where all columns count.
    pub(super) fn shown(&self, bound: Bound) -> Bound {
        if bound.scope.entries().iter().all(|entry| !entry.hidden) {
            return bound;
        }
        let Bound { plan, mut scope, .. } = bound;
        scope.entries_mut().retain(|entry| !entry.hidden);
        let attributes: Vec<Attribute> = scope.entries().iter().map(|entry| entry.attribute.clone()).collect();
        let (list, streaming) = (attributes.iter().map(Attribute::reference).collect(), plan.streaming);
        self.bound(Plan { node: Node::Project { input: plan, list }, attributes, streaming }, scope)
    }
}

fn boolean(expr: Expr) -> Typed {
    Typed::new(expr, arrow::datatypes::DataType::Boolean, "")
}

/// True for a name without a table before it, which may mean a column of either side.
fn is_bare(expression: &Expression) -> bool {
    matches!(expression, Expression::Column { name, .. } if name.len() == 1)
}
