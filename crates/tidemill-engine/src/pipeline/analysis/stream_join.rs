//! Joins of two streams: which there are, and that outer ones end.

use super::expression::condition;
use super::relation::{conjuncts, typed_entry};
use super::scope::Entry;
use super::typed::Typed;
use super::{Analyzer, Bound, push, refuse};
use crate::function::CallContext;
use crate::pipeline::expression::Expression;
use crate::pipeline::join_condition::{JoinCondition, bounds};
use crate::pipeline::plan::{Node, Plan};
use crate::pipeline::relation::JoinKind;
use crate::pipeline::text::Spot;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use tidemill_core::Result;

impl Analyzer<'_> {
    pub(super) fn stream_join(
        &self,
        left: Bound,
        right: Bound,
        kind: JoinKind,
        on: Option<&Expression>,
        using: &[String],
        at: Spot,
    ) -> Result<Bound> {
        let name = kind.spark_name();
        if kind == JoinKind::LeftAnti {
            let message = format!("a {name} join of two streams: that a row matches nothing is never certain");
            return Err(refuse::unsupported(message, self.text, at));
        }
        let mut parts: Vec<Expr> = Vec::new();
        for name in using {
            let names = vec![name.clone()];
            let (left_key, _) = left.scope.find(&names, self.text, at)?;
            let (right_key, _) = right.scope.find(&names, self.text, at)?;
            let [left_key, right_key] =
                [left_key, right_key].map(|key| Typed::new(key.reference(), key.data_type.clone(), key.name));
            parts.push(equal(self.equal_sides(left_key, right_key, at)?));
        }
        let both = left.scope.clone().beside(right.scope.clone());
        for part in on.map(conjuncts).unwrap_or_default() {
            match self.equality(part, &left, &right)? {
                Some(pair) => parts.push(equal(pair)),
                None => {
                    let typed = self.resolver(&both).resolve(part)?;
                    parts
                        .extend(push::conjuncts(&condition(typed, "the join condition", self.text, part.spot())?.expr));
                }
            }
        }
        if !matches!(kind, JoinKind::Inner | JoinKind::Cross) && !ends(kind, &parts, &left.plan, &right.plan) {
            let message = format!(
                "a {name} join of two streams needs a watermark in its keys, or one on the nullable side and a range of time in its condition"
            );
            self.refuse(refuse::unsupported(message, self.text, at)
                .help("set watermarks on both streams and compare their event times in ON, for example: AND b.ts BETWEEN a.ts AND a.ts + INTERVAL 1 HOUR"));
        }
        let attributes = match kind {
            JoinKind::LeftSemi => left.plan.attributes.clone(),
            _ => left.plan.attributes.iter().chain(&right.plan.attributes).cloned().collect(),
        };
        let scope = if kind == JoinKind::LeftSemi { left.scope } else { both };
        let kind = if kind == JoinKind::Cross { JoinKind::Inner } else { kind };
        let node = Node::StreamJoin { left: left.plan, right: right.plan, kind, on: parts };
        let joined = self.bound(Plan { node, attributes, streaming: true }, scope);
        match (using.is_empty(), kind) {
            (true, _) => Ok(joined),
            (false, JoinKind::FullOuter) => self.coalesce_using(joined, using, at),
            (false, _) => self.merge_using(joined, using, kind),
        }
    }
}

impl Analyzer<'_> {
    /// After `FULL OUTER JOIN .. USING (k)`: one `k` first, of the side that has one, then the other columns.
    pub(super) fn coalesce_using(&self, joined: Bound, using: &[String], at: Spot) -> Result<Bound> {
        let Bound { plan, scope, .. } = joined;
        let mut merged = self.scope(&[], None);
        let (mut list, mut attributes) = (Vec::new(), Vec::new());
        for name in using {
            let sides = scope.entries().iter().filter(|entry| scope.same(name, &entry.attribute.name));
            let sides: Vec<Typed> = sides.map(typed_entry).collect();
            let context = CallContext { name: "coalesce", session: self.session, text: self.text, at };
            let key = crate::function::build("coalesce", sides, &context)?;
            let attribute = self.attribute(name.clone(), key.data_type.clone());
            merged.push(Entry { qualifier: None, attribute: attribute.clone(), hidden: false });
            list.push(key.expr);
            attributes.push(attribute);
        }
        let is_key = |entry: &Entry| using.iter().any(|name| scope.same(name, &entry.attribute.name));
        for entry in scope.entries() {
            let hidden = entry.hidden || is_key(entry);
            merged.push(Entry { hidden, ..entry.clone() });
            list.push(entry.attribute.reference());
            attributes.push(entry.attribute.clone());
        }
        let streaming = plan.streaming;
        Ok(self.bound(Plan { node: Node::Project { input: plan, list }, attributes, streaming }, merged))
    }
}

fn equal((left, right): (Expr, Expr)) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), Operator::Eq, Box::new(right)))
}

/// True when the rows that an outer or semi join waits with are certain to go some day.
fn ends(kind: JoinKind, parts: &[Expr], left: &Plan, right: &Plan) -> bool {
    if JoinCondition::new(parts, left, right).event_key(left, right).is_some() {
        return true;
    }
    let of_left = || !bounds(parts, left, right).is_empty();
    let of_right = || !bounds(parts, right, left).is_empty();
    match kind {
        JoinKind::RightOuter => of_right(),
        JoinKind::FullOuter => of_left() || of_right(),
        _ => of_left(),
    }
}
