//! Queries inside expressions. `IN`, `EXISTS` and their negations become semi and anti joins, also where
//! the inner query names columns of the outer one in its WHERE; a query that stands for a value becomes a
//! join with its one row.

use super::scope::{Entry, Scope};
use super::{Analyzer, Bound, refuse};
use crate::pipeline::expression::{BinaryOperator, Expression};
use crate::pipeline::relation::{Grouping, JoinKind, Relation};
use crate::pipeline::text::Spot;
use std::cell::RefCell;
use tidemill_core::{Error, Result};

/// An inner query beside an outer one: its columns under names nothing else has.
struct Inner {
    bound: Bound,
    /// Its columns as they were called.
    named: Scope,
    /// What its WHERE says of the outer query's columns.
    conditions: Vec<Expression>,
    /// Its list, where it names the outer query's columns.
    list: Vec<Expression>,
}

/// What Spark calls a query that stands for a value.
const SCALAR: &str = "scalarsubquery()";

impl Analyzer<'_> {
    /// `input [NOT] IN (query)` as a condition. NOT IN is never true once the query gives a NULL.
    pub(super) fn in_subquery(
        &self,
        bound: Bound,
        input: &Expression,
        query: &Relation,
        negated: bool,
    ) -> Result<Bound> {
        let inner = self.inner(query)?;
        let at = input.spot();
        let item = match inner.list.as_slice() {
            [only] => self.inside(without_alias(only), &inner.named),
            [] if inner.bound.scope.entries().len() == 1 => Expression::column(unique(0)),
            _ => {
                return Err(Error::invalid("the query of IN must have one column")
                    .class("DATATYPE_MISMATCH.IN_SUBQUERY_LENGTH_MISMATCH")
                    .at_if_unplaced(self.text.place(at)));
            }
        };
        let equal = Expression::binary(BinaryOperator::Equal, input.clone(), item, at);
        let matches = match negated {
            true => {
                let unknown = Expression::call("isnull", vec![equal.clone()], at);
                Expression::binary(BinaryOperator::Or, equal, unknown, at)
            }
            false => equal,
        };
        self.beside(bound, inner, Some(matches), negated, at)
    }

    /// `[NOT] EXISTS (query)` as a condition.
    pub(super) fn exists(&self, bound: Bound, query: &Relation, negated: bool, at: Spot) -> Result<Bound> {
        let inner = self.inner(query)?;
        self.beside(bound, inner, None, negated, at)
    }

    /// The rows of `bound` for which the inner query has, or has not, a row that fits.
    fn beside(
        &self,
        bound: Bound,
        inner: Inner,
        matches: Option<Expression>,
        negated: bool,
        at: Spot,
    ) -> Result<Bound> {
        let conditions = inner.conditions.iter().map(|condition| self.inside(condition, &inner.named));
        let on = matches.into_iter().chain(conditions).reduce(both);
        let kind = if negated { JoinKind::LeftAnti } else { JoinKind::LeftSemi };
        self.join(bound, inner.bound, kind, on.as_ref(), &[], at)
    }

    fn inner(&self, query: &Relation) -> Result<Inner> {
        let alone = match self.relation(query) {
            Ok(bound) => {
                let named = bound.scope.clone();
                return Ok(Inner { bound: self.uniquely_named(bound)?, named, conditions: vec![], list: vec![] });
            }
            Err(error) => error,
        };
        // it names columns of the outer query: its WHERE becomes the condition of the join
        let Relation::Project { input, list } = query else { return Err(alone) };
        let Relation::Filter { input, condition } = &**input else { return Err(alone) };
        let bound = self.relation(input)?;
        let named = bound.scope.clone();
        let conditions = super::relation::conjuncts(condition).into_iter().cloned().collect();
        Ok(Inner { bound: self.uniquely_named(bound)?, named, conditions, list: list.clone() })
    }

    fn uniquely_named(&self, mut bound: Bound) -> Result<Bound> {
        for (number, entry) in bound.scope.entries_mut().iter_mut().enumerate() {
            entry.attribute.name = unique(number);
            entry.qualifier = None;
        }
        self.renamed(bound)
    }

    /// The expression with every name that the inner query knows as its unique name.
    fn inside(&self, expression: &Expression, named: &Scope) -> Expression {
        let Expression::Column { name, at } = expression else {
            return expression.map_children(&|child| self.inside(child, named));
        };
        let Ok((attribute, rest)) = named.find(name, self.text, *at) else { return expression.clone() };
        let same = |entry: &Entry| entry.attribute.id == attribute.id;
        match named.entries().iter().position(same) {
            None => expression.clone(),
            Some(number) => {
                let name = std::iter::once(unique(number)).chain(rest.iter().cloned()).collect();
                Expression::Column { name, at: *at }
            }
        }
    }

    /// The expressions with every query that stands for a value as a column, and the input with these
    /// columns beside its own.
    pub(super) fn with_scalars(&self, bound: Bound, list: &[Expression]) -> Result<(Bound, Vec<Expression>)> {
        let found: RefCell<Vec<(Relation, Spot)>> = RefCell::default();
        let list: Vec<Expression> = list.iter().map(|expression| taken_out(expression, &found)).collect();
        let mut bound = bound;
        for (number, (query, at)) in found.into_inner().into_iter().enumerate() {
            bound = self.beside_value(bound, query, number, at)?;
        }
        Ok((bound, list))
    }

    fn beside_value(&self, bound: Bound, query: Relation, number: usize, at: Spot) -> Result<Bound> {
        let one = Relation::Aggregate {
            input: Box::new(Relation::ToColumns { input: Box::new(query), names: vec!["value".into()] }),
            groups: vec![],
            grouping: Grouping::Plain,
            list: vec![Expression::call(
                "__only",
                vec![
                    Expression::call("count", vec![Expression::Star { qualifier: vec![], except: vec![], at }], at),
                    Expression::call("first", vec![Expression::column("value")], at),
                ],
                at,
            )],
            having: None,
            keep_groups: false,
        };
        let mut table = self.relation(&one).map_err(|error| error.at_if_unplaced(self.text.place(at)))?;
        if table.plan.streaming {
            return Err(refuse::unsupported("a query over a stream stands for a value", self.text, at));
        }
        for entry in table.scope.entries_mut() {
            entry.attribute.name = SCALAR.into();
        }
        let mut table = self.renamed(table)?;
        for entry in table.scope.entries_mut() {
            entry.qualifier = Some(qualifier(number));
            entry.hidden = true;
        }
        self.static_join(bound, table, JoinKind::Cross, vec![], None, at)
    }
}

fn taken_out(expression: &Expression, found: &RefCell<Vec<(Relation, Spot)>>) -> Expression {
    match expression {
        Expression::Subquery { query, at } => {
            let mut found = found.borrow_mut();
            found.push(((**query).clone(), *at));
            Expression::Column { name: vec![qualifier(found.len() - 1), SCALAR.into()], at: *at }
        }
        other => other.map_children(&|child| taken_out(child, found)),
    }
}

fn unique(number: usize) -> String {
    format!("__subquery_{number}")
}

fn qualifier(number: usize) -> String {
    format!("__scalar_{number}")
}

fn without_alias(expression: &Expression) -> &Expression {
    match expression {
        Expression::Alias { input, .. } => input,
        other => other,
    }
}

fn both(left: Expression, right: Expression) -> Expression {
    Expression::binary(BinaryOperator::And, left, right, Spot::default())
}
