//! Conditions, and `IN` with a query.

use super::expression::{condition, to_common};
use super::relation::{conjuncts, first_call, typed_entry};
use super::{Analyzer, Bound, refuse};
use crate::function::{CallContext, is_generator};
use crate::pipeline::expression::{BinaryOperator, Expression};
use crate::pipeline::plan::{Node, Plan};
use crate::pipeline::relation::{JoinKind, Relation};
use crate::pipeline::text::Spot;
use std::sync::Arc;
use tidemill_core::{Error, Result};

impl Analyzer<'_> {
    pub(super) fn filter(&self, mut bound: Bound, expression: &Expression) -> Result<Bound> {
        let mut plain = Vec::new();
        for part in conjuncts(expression) {
            match part {
                Expression::InSubquery { input, query, negated } => {
                    bound = self.in_subquery(bound, input, query, *negated)?
                }
                other => plain.push(other),
            }
        }
        let Some(whole) = plain
            .iter()
            .map(|part| (*part).clone())
            .reduce(|left, right| Expression::binary(BinaryOperator::And, left, right, Spot::default()))
        else {
            return Ok(bound);
        };
        if let Some(call) =
            first_call(&whole, &|name| crate::operator::aggregate::find(name).is_some() || is_generator(name))
        {
            return Err(Error::invalid(format!("{} cannot stand in WHERE", call.0))
                .class("INVALID_WHERE_CONDITION")
                .at_if_unplaced(self.text.place(call.1))
                .help("filter on aggregates with HAVING"));
        }
        let typed = self.resolver(&bound.scope).resolve(&whole)?;
        let typed = condition(typed, "the condition", self.text, whole.spot())?;
        let Bound { plan, scope, below } = bound;
        let (attributes, streaming) = (plan.attributes.clone(), plan.streaming);
        let plan = Plan { node: Node::Filter { input: plan, condition: typed.expr }, attributes, streaming };
        Ok(Bound { plan: Arc::new(plan), scope, below })
    }

    pub(super) fn in_subquery(
        &self,
        bound: Bound,
        input: &Expression,
        query: &Relation,
        negated: bool,
    ) -> Result<Bound> {
        if negated {
            return Err(refuse::not_yet("NOT IN (SELECT ..)", self.text, input.spot()));
        }
        let table = self.relation(query)?;
        if table.plan.attributes.len() != 1 {
            return Err(Error::invalid("the query of IN must have one column")
                .class("DATATYPE_MISMATCH.IN_SUBQUERY_LENGTH_MISMATCH"));
        }
        let left = self.resolver(&bound.scope).resolve(input)?;
        let right = typed_entry(&table.scope.entries()[0]);
        let context = CallContext { name: "IN", session: self.session, text: self.text, at: input.spot() };
        let (mut sides, _) = to_common(vec![left, right], &context)?;
        let on = vec![(sides.remove(0).expr, sides.remove(0).expr)];
        self.static_join(bound, table, JoinKind::LeftSemi, on, None, input.spot())
    }
}
