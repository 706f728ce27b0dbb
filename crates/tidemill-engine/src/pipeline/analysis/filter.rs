//! Conditions.

use super::expression::{Resolver, condition};
use super::relation::{conjuncts, first_call};
use super::{Analyzer, Bound};
use crate::function::is_generator;
use crate::pipeline::expression::{BinaryOperator, Expression};
use crate::pipeline::plan::{Attribute, Node, Plan};
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
                Expression::Exists { query, negated, at } => bound = self.exists(bound, query, *negated, *at)?,
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
        let Bound { plan: input, scope, below } = bound.clone();
        let (with_values, whole) = self.with_scalars(bound, std::slice::from_ref(&whole))?;
        let whole = whole.into_iter().next().ok_or_else(|| Error::bug("a condition is missing"))?;
        // a window of a condition is a column that nothing else sees
        let (with_windows, windows) = self.add_windows(with_values, &[&whole])?;
        let typed = Resolver { windows: &windows, ..self.resolver(&with_windows.scope) }.resolve(&whole)?;
        let typed = condition(typed, "the condition", self.text, whole.spot())?;
        let plan = with_windows.plan;
        let (attributes, streaming) = (plan.attributes.clone(), plan.streaming);
        let plan = Arc::new(Plan { node: Node::Filter { input: plan, condition: typed.expr }, attributes, streaming });
        if plan.attributes.len() == input.attributes.len() {
            return Ok(Bound { plan, scope, below });
        }
        let list = input.attributes.iter().map(Attribute::reference).collect();
        let plan = Plan { node: Node::Project { input: plan, list }, attributes: input.attributes.clone(), streaming };
        Ok(self.bound(plan, scope))
    }
}
