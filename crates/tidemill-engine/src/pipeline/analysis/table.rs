//! Tables, views and rows of values.

use super::{Analyzer, Bound};
use crate::pipeline::catalog::{Named, Table};
use crate::pipeline::expression::Expression;
use crate::pipeline::plan::{Attribute, Node, Plan};
use crate::pipeline::relation::Relation;
use crate::pipeline::text::Spot;
use std::sync::Arc;
use tidemill_core::{Error, Result};

impl Analyzer<'_> {
    pub(super) fn table(&self, name: &[String], at: Spot) -> Result<Bound> {
        let joined = name.join(".");
        if let Some((relation, before)) = self.parameter(&joined) {
            // what a parameter stands for was named where the text was given: it does not see the text's parameters
            let hidden = self.parameters.borrow_mut().split_off(before);
            let bound = self.relation(&relation);
            self.parameters.borrow_mut().extend(hidden);
            let mut bound = self.shown(bound?);
            for entry in bound.scope.entries_mut() {
                entry.qualifier = name.last().cloned();
            }
            return Ok(bound);
        }
        let known = self.catalog.get(&joined).or_else(|| self.catalog.get(name.last()?));
        let named = match known {
            Some(named) => named.clone(),
            None => self.catalog.find(&joined).map_err(|error| error.at_if_unplaced(self.text.place(at)))?.clone(),
        };
        let key = joined.to_lowercase();
        let cached = self.shared.borrow().get(&key).cloned();
        let plan = match cached {
            Some(plan) => plan,
            None => {
                let plan = match &named {
                    Named::View(relation) => self.shown(self.relation(relation)?).plan,
                    Named::Table(table) => self.base_table(table)?,
                };
                self.shared.borrow_mut().insert(key, plan.clone());
                plan
            }
        };
        let plan = self.renumbered(plan);
        let scope = self.scope(&plan.attributes, name.last().map(String::as_str));
        Ok(Bound { plan, scope, below: None })
    }

    /// The relation a name stands for in the SQL text being checked, and how many parameters were there before
    /// those of the text.
    fn parameter(&self, name: &str) -> Option<(Relation, usize)> {
        let parameters = self.parameters.borrow();
        let found = parameters.iter().rev().find(|parameter| parameter.name.eq_ignore_ascii_case(name));
        found.map(|parameter| (parameter.relation.clone(), parameter.before))
    }

    pub(super) fn base_table(&self, table: &Arc<Table>) -> Result<Arc<Plan>> {
        let attributes: Vec<Attribute> = table
            .columns
            .fields()
            .iter()
            .map(|field| self.attribute(field.name(), field.data_type().clone()))
            .collect();
        let columns = (0..attributes.len()).collect();
        let node = match table.is_static {
            true => Node::Static { table: table.name.clone(), columns },
            false => Node::Source { table: table.name.clone(), columns },
        };
        let scope = self.scope(&attributes, None);
        let mut bound = self.bound(Plan { node, attributes, streaming: !table.is_static }, scope);
        for (name, expression) in &table.computed {
            bound = self.with_columns(bound, &[(name.clone(), expression.clone())])?;
        }
        if let Some((column, delay, at)) = &table.watermark {
            let number = self.watermark_number(format!("table {}", table.name));
            bound = self.watermark(bound, column, delay, number, *at)?;
        }
        Ok(bound.plan)
    }

    /// The same columns under new numbers, so that a table read twice has two sets of columns.
    pub(super) fn renumbered(&self, plan: Arc<Plan>) -> Arc<Plan> {
        let mut attributes = plan.attributes.clone();
        let old: Vec<u32> = attributes.iter().map(|attribute| attribute.id).collect();
        attributes.iter_mut().for_each(|attribute| attribute.id = self.numbers.next());
        let new: Vec<u32> = attributes.iter().map(|attribute| attribute.id).collect();
        for attribute in &mut attributes {
            attribute.window_part = attribute.window_part.and_then(|(window, part)| {
                old.iter().position(|id| *id == window).map(|position| (new[position], part))
            });
        }
        let (list, streaming) = (plan.attributes.iter().map(Attribute::reference).collect(), plan.streaming);
        Arc::new(Plan { node: Node::Project { input: plan, list }, attributes, streaming })
    }

    pub(super) fn values(&self, rows: &[Vec<Expression>]) -> Result<Bound> {
        let scope = self.scope(&[], None);
        let mut resolver = self.resolver(&scope);
        let typed = rows.iter().map(|row| resolver.resolve_all(row)).collect::<Result<Vec<_>>>()?;
        let width = typed.first().map_or(0, Vec::len);
        if typed.iter().any(|row| row.len() != width) {
            return Err(Error::invalid("the rows of VALUES have different numbers of columns")
                .class("INVALID_INLINE_TABLE.NUM_COLUMNS_MISMATCH"));
        }
        let mut attributes = Vec::with_capacity(width);
        for column in 0..width {
            let of = super::coerce::common_of(typed.iter().map(|row| &row[column].data_type)).ok_or_else(|| {
                Error::invalid(format!("column {} of VALUES has values of different types", column + 1))
                    .class("INVALID_INLINE_TABLE.INCOMPATIBLE_TYPES_IN_INLINE_TABLE")
            })?;
            attributes.push(self.attribute(format!("col{}", column + 1), of));
        }
        let rows = super::select::constant_rows(&typed, &attributes)?;
        let scope = self.scope(&attributes, None);
        Ok(self.bound(Plan { node: Node::Values { rows }, attributes, streaming: false }, scope))
    }
}
