//! The order of rows.

use super::relation::typed_entry;
use super::typed::Typed;
use super::{Analyzer, Bound, refuse};
use crate::pipeline::expression::{Expression, SortKey};
use crate::pipeline::plan::{Node, Plan, SortBy};
use crate::pipeline::relation::Relation;
use std::sync::Arc;
use tidemill_core::{Result, types};

impl Analyzer<'_> {
    /// Sorts by columns of the input, by columns below its projection, or by what its grouping gives.
    pub(super) fn sort(&self, bound: Bound, input: &Relation, keys: &[SortKey]) -> Result<Bound> {
        let width = bound.scope.entries().len();
        let all = self.by_all(&bound, keys);
        let keys = all.as_deref().unwrap_or(keys);
        let error = match self.sort_by_columns(bound.clone(), input, keys) {
            Ok(sorted) => return Ok(sorted),
            Err(error) => error,
        };
        let Some((longer, keys)) = self.with_keys_in_list(&bound, input, keys) else { return Err(error) };
        let Ok(below) = self.relation(&longer) else { return Err(error) };
        let mut sorted = self.sort_by_columns(below, &longer, &keys)?;
        sorted.scope.entries_mut().truncate(width);
        self.visible(sorted)
    }

    /// `ORDER BY ALL`: every column from left to right, unless one is called so.
    fn by_all(&self, bound: &Bound, keys: &[SortKey]) -> Option<Vec<SortKey>> {
        let [SortKey { by: Expression::Column { name, at }, descending, nulls_first }] = keys else { return None };
        let [only] = name.as_slice() else { return None };
        if !only.eq_ignore_ascii_case("all") || bound.scope.find(name, self.text, *at).is_ok() {
            return None;
        }
        let columns = bound.scope.entries().iter().filter(|entry| !entry.hidden);
        let position = |number: usize| Expression::Literal {
            data_type: "int".into(),
            text: Some((number + 1).to_string()),
            at: *at,
        };
        let key = |(number, _)| SortKey { by: position(number), descending: *descending, nulls_first: *nulls_first };
        Some(columns.enumerate().map(key).collect())
    }

    /// `ORDER BY` of a grouping by expressions that are not in its list: the grouping with them at the
    /// end of its list, and the keys by the names they have there.
    fn with_keys_in_list(&self, bound: &Bound, input: &Relation, keys: &[SortKey]) -> Option<(Relation, Vec<SortKey>)> {
        let Relation::Aggregate { list, .. } = input else { return None };
        let (mut longer, mut keys) = (list.clone(), keys.to_vec());
        for (number, key) in keys.iter_mut().enumerate() {
            if self.output_position(&key.by, list, bound).is_some()
                || self.resolver(&bound.scope).resolve(&key.by).is_ok()
            {
                continue;
            }
            let name = format!("__order_{number}");
            longer.push(self.with_list_names(&key.by, list, &bound.scope).alias(name.clone()));
            key.by = Expression::column(name);
        }
        let mut input = input.clone();
        if let Relation::Aggregate { list, .. } = &mut input {
            *list = longer;
        }
        Some((input, keys))
    }

    fn sort_by_columns(&self, bound: Bound, input: &Relation, keys: &[SortKey]) -> Result<Bound> {
        let list: &[Expression] = match input {
            Relation::Project { list, .. } | Relation::Aggregate { list, .. } => list,
            _ => &[],
        };
        let mut by = Vec::with_capacity(keys.len());
        let mut hidden = Vec::new();
        for key in keys {
            let typed = match self.output_position(&key.by, list, &bound) {
                Some(typed) => Ok(typed),
                None => self.resolver(&bound.scope).resolve(&key.by),
            };
            let typed = match (typed, &bound.below) {
                (Ok(typed), _) => typed,
                (Err(error), None) => return Err(error),
                (Err(error), Some((_, below))) => {
                    let typed = self.resolver(below).resolve(&key.by).map_err(|_| error)?;
                    hidden.push(typed.clone());
                    typed
                }
            };
            if !super::coerce::is_groupable(&typed.data_type) {
                return Err(refuse::type_mismatch(
                    "INVALID_ORDERING_TYPE",
                    format!("`{}` of type {} has no order", typed.name, types::name(&typed.data_type)),
                    self.text,
                    key.by.spot(),
                ));
            }
            let nulls_first = key.nulls_first.unwrap_or(!key.descending);
            by.push((typed, key.descending, nulls_first));
        }
        self.sorted(bound, by, hidden)
    }

    /// Adds the hidden columns, sorts, and takes them away again.
    pub(super) fn sorted(&self, bound: Bound, by: Vec<(Typed, bool, bool)>, hidden: Vec<Typed>) -> Result<Bound> {
        let visible = bound.clone();
        let mut bound = bound;
        let mut replaced = Vec::new();
        if let (false, Node::Project { input, list }) = (hidden.is_empty(), &visible.plan.node) {
            let (mut attributes, mut list) = (visible.plan.attributes.clone(), list.clone());
            for typed in hidden {
                let attribute = self.attribute(typed.name.clone(), typed.data_type.clone());
                replaced.push((typed.expr.clone(), attribute.reference()));
                list.push(typed.expr);
                attributes.push(attribute);
            }
            let plan = Plan {
                node: Node::Project { input: input.clone(), list },
                attributes,
                streaming: visible.plan.streaming,
            };
            bound.plan = Arc::new(plan);
        }
        let keys = by.into_iter().map(|(typed, descending, nulls_first)| {
            let by = replaced.iter().find(|(from, _)| *from == typed.expr).map_or(typed.expr, |(_, to)| to.clone());
            SortBy { by, descending, nulls_first }
        });
        let keys = keys.collect();
        let Bound { plan, scope, .. } = bound;
        let (attributes, streaming) = (plan.attributes.clone(), plan.streaming);
        let sorted = self.bound(Plan { node: Node::Sort { input: plan, keys }, attributes, streaming }, scope);
        if replaced.is_empty() { Ok(sorted) } else { self.visible(sorted) }
    }

    /// `ORDER BY 2`, or `ORDER BY sum(v)` where that is an item of the select list.
    pub(super) fn output_position(&self, by: &Expression, list: &[Expression], bound: &Bound) -> Option<Typed> {
        let entries = bound.scope.entries();
        let position = match by {
            Expression::Literal { data_type, text: Some(text), .. } if data_type == "int" => {
                text.parse::<usize>().ok()?.checked_sub(1)?
            }
            Expression::Column { .. } => return None,
            other => {
                let wanted = super::expression::strip(other);
                let item = |item: &Expression| match item {
                    Expression::Alias { input, .. } => super::expression::strip(input),
                    plain => super::expression::strip(plain),
                };
                (list.len() == entries.len()).then(|| list.iter().position(|candidate| item(candidate) == wanted))??
            }
        };
        entries.get(position).map(typed_entry)
    }
}
