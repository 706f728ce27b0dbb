//! Checks one relation, node by node.

use super::expression::Resolver;
use super::scope::{Entry, Scope};
use super::typed::Typed;
use super::{Analyzer, Bound, Parameter, refuse};
use crate::pipeline::expression::{BinaryOperator, Expression};
use crate::pipeline::plan::{Attribute, Node, Plan};
use crate::pipeline::relation::Relation;
use crate::pipeline::sql;
use crate::pipeline::text::Spot;
use tidemill_core::{Error, Result};

impl Analyzer<'_> {
    pub(super) fn relation(&self, relation: &Relation) -> Result<Bound> {
        match relation {
            Relation::Table { name, at } => self.table(name, *at),
            Relation::OneRow => self.values(&[vec![]]),
            Relation::Values { rows } => self.values(rows),
            Relation::Alias { input, name, columns } => self.alias(input, name, columns),
            Relation::Project { input, list } => {
                let input = self.relation(input)?;
                self.select(input, list)
            }
            Relation::Filter { input, condition } => {
                let input = self.relation(input)?;
                self.filter(input, condition)
            }
            Relation::Aggregate { input, groups, grouping, list, having, keep_groups } => {
                let input = self.relation(input)?;
                if *keep_groups {
                    let all: Vec<Expression> = groups.iter().chain(list).cloned().collect();
                    return self.aggregate(input, groups, grouping, &all, None);
                }
                self.aggregate(input, groups, grouping, list, having.as_ref())
            }
            Relation::Join { left, right, kind, condition, using, at } => {
                let (left, right) = (self.relation(left)?, self.relation(right)?);
                self.join(left, right, *kind, condition.as_ref(), using, *at)
            }
            Relation::Union { inputs, by_name, allow_missing_columns } => {
                let inputs = inputs.iter().map(|input| self.relation(input)).collect::<Result<Vec<_>>>()?;
                self.union(inputs, *by_name, *allow_missing_columns)
            }
            Relation::SetOperation { left, right, operation } => {
                let streaming = self.relation(left)?.plan.streaming || self.relation(right)?.plan.streaming;
                let nowhere = Spot::default();
                Err(match streaming {
                    true => refuse::unsupported(format!("{operation} does not fit a stream"), self.text, nowhere),
                    false => refuse::not_yet(operation, self.text, nowhere),
                })
            }
            Relation::Distinct { input } => {
                let input = self.relation(input)?;
                self.distinct(input)
            }
            Relation::Deduplicate { input, columns, within_watermark } => {
                let input = self.relation(input)?;
                self.deduplicate(input, columns, *within_watermark)
            }
            Relation::Sort { input, keys } => {
                let bound = self.relation(input)?;
                self.sort(bound, input, keys)
            }
            Relation::Limit { input, count, offset } => {
                let Bound { plan, scope, .. } = self.relation(input)?;
                if plan.streaming && *offset > 0 {
                    return Err(refuse::unsupported("OFFSET does not fit a stream", self.text, Spot::default()));
                }
                let (attributes, streaming) = (plan.attributes.clone(), plan.streaming);
                let node = Node::Limit { input: plan, count: *count, offset: *offset };
                Ok(self.bound(Plan { node, attributes, streaming }, scope))
            }
            Relation::Watermark { input, column, delay, at } => {
                let number = self.watermark_number(format!("{relation:?}"));
                let input = self.relation(input)?;
                self.watermark(input, column, delay, number, *at)
            }
            Relation::WithColumns { input, columns } => {
                let input = self.relation(input)?;
                self.with_columns(input, columns)
            }
            Relation::Drop { input, columns } => {
                let mut bound = self.relation(input)?;
                let scope = bound.scope.clone();
                let dropped = |entry: &Entry| columns.iter().any(|name| scope.same(name, &entry.attribute.name));
                bound.scope.entries_mut().retain(|entry| !dropped(entry));
                self.visible(bound)
            }
            Relation::Rename { input, columns } => {
                let mut bound = self.relation(input)?;
                for (from, to) in columns {
                    let scope = bound.scope.clone();
                    for entry in
                        bound.scope.entries_mut().iter_mut().filter(|entry| scope.same(from, &entry.attribute.name))
                    {
                        entry.attribute.name.clone_from(to);
                    }
                }
                self.renamed(bound)
            }
            Relation::ToColumns { input, names } => {
                let mut bound = self.relation(input)?;
                self.expect_columns(names.len(), bound.scope.entries().len())?;
                for (entry, name) in bound.scope.entries_mut().iter_mut().zip(names) {
                    entry.attribute.name.clone_from(name);
                }
                self.renamed(bound)
            }
            Relation::LateralView { input, generator, outer, table, columns } => {
                let input = self.relation(input)?;
                self.lateral_view(input, generator, *outer, table, columns)
            }
            Relation::WindowTable { input, function, column, sizes, at } => {
                let input = self.relation(input)?;
                self.window_table(input, *function, column, sizes, *at)
            }
            Relation::Process(process) => self.process(process),
            Relation::MapRows { input, function, output } => self.map_rows(input, function, output),
            Relation::Sql { sql, relations } => self.sql(sql, relations),
        }
    }

    pub(super) fn resolver<'b>(&'b self, scope: &'b Scope) -> Resolver<'b> {
        Resolver {
            session: self.session,
            scope,
            text: self.text,
            numbers: &self.numbers,
            windows: &[],
            groups: None,
            collected: None,
        }
    }

    pub(super) fn scope(&self, attributes: &[Attribute], qualifier: Option<&str>) -> Scope {
        Scope::new(attributes, qualifier, self.session.settings.case_sensitive())
    }

    pub(super) fn alias(&self, input: &Relation, name: &str, columns: &[String]) -> Result<Bound> {
        let mut bound = self.relation(input)?;
        bound.scope.entries_mut().retain(|entry| !entry.hidden);
        if !columns.is_empty() {
            self.expect_columns(columns.len(), bound.scope.entries().len())?;
            for (entry, column) in bound.scope.entries_mut().iter_mut().zip(columns) {
                entry.attribute.name.clone_from(column);
            }
            bound = self.renamed(bound)?;
        }
        for entry in bound.scope.entries_mut() {
            entry.qualifier = Some(name.to_owned());
        }
        bound.below = None;
        Ok(bound)
    }

    pub(super) fn expect_columns(&self, given: usize, there: usize) -> Result<()> {
        if given == there {
            return Ok(());
        }
        Err(Error::invalid(format!("{given} names are given for {there} columns")).class("ASSIGNMENT_ARITY_MISMATCH"))
    }

    /// The bound relation with exactly the columns that are in its scope.
    pub(super) fn visible(&self, bound: Bound) -> Result<Bound> {
        let list: Vec<Typed> = bound.scope.entries().iter().filter(|entry| !entry.hidden).map(typed_entry).collect();
        self.project(bound, list)
    }

    /// The names of the scope become the names of the plan.
    pub(super) fn renamed(&self, bound: Bound) -> Result<Bound> {
        let Bound { plan, scope, .. } = bound;
        let attributes: Vec<Attribute> = scope.entries().iter().map(|entry| entry.attribute.clone()).collect();
        let reference = |attribute: &Attribute| plan.attribute(attribute.id).map(Attribute::reference);
        let list = attributes.iter().map(reference).collect::<Option<Vec<_>>>();
        let list = list.ok_or_else(|| Error::bug("a column in scope is not in its plan"))?;
        let attributes: Vec<Attribute> =
            attributes.into_iter().map(|attribute| Attribute { id: self.numbers.next(), ..attribute }).collect();
        let streaming = plan.streaming;
        let mut renamed = scope.clone();
        for (entry, attribute) in renamed.entries_mut().iter_mut().zip(&attributes) {
            entry.attribute = attribute.clone();
        }
        Ok(self.bound(Plan { node: Node::Project { input: plan, list }, attributes, streaming }, renamed))
    }

    pub(super) fn with_columns(&self, bound: Bound, columns: &[(String, Expression)]) -> Result<Bound> {
        let replaced: Vec<Expression> =
            columns.iter().map(|(name, expression)| expression.clone().alias(name.clone())).collect();
        let mut used = vec![false; columns.len()];
        let mut list = Vec::new();
        for entry in bound.scope.entries().iter().filter(|entry| !entry.hidden) {
            let position = columns.iter().position(|(name, _)| bound.scope.same(name, &entry.attribute.name));
            match position {
                Some(position) => {
                    used[position] = true;
                    list.push(Item::Written(replaced[position].clone()));
                }
                None => list.push(Item::Entry(entry.clone())),
            }
        }
        list.extend(
            replaced.into_iter().zip(used).filter(|(_, used)| !used).map(|(expression, _)| Item::Written(expression)),
        );
        self.select_items(bound, list)
    }

    fn sql(&self, text: &str, relations: &[(String, Relation)]) -> Result<Bound> {
        let mut text = text.to_owned();
        let depth = self.parameters.borrow().len();
        for (name, relation) in relations {
            let inner = format!("__argument_{name}");
            text = text.replace(&format!("{{{name}}}"), &inner);
            for name in [inner, name.clone()] {
                self.parameters.borrow_mut().push(Parameter { name, relation: relation.clone(), before: depth });
            }
        }
        let bound = sql::parse_query(&text).and_then(|parsed| self.relation(&parsed));
        self.parameters.borrow_mut().truncate(depth);
        bound
    }
}

/// An item of a list of columns: as written, or a column already found.
#[derive(Clone)]
pub(super) enum Item {
    /// To be resolved.
    Written(Expression),
    /// A column in scope.
    Entry(Entry),
}

/// A column in scope as an expression.
pub(super) fn typed_entry(entry: &Entry) -> Typed {
    Typed::new(entry.attribute.reference(), entry.attribute.data_type.clone(), entry.attribute.name.clone())
}

/// The parts of a condition joined by AND.
pub(super) fn conjuncts(expression: &Expression) -> Vec<&Expression> {
    match expression {
        Expression::Binary { operator: BinaryOperator::And, left, right, .. } => {
            let mut parts = conjuncts(left);
            parts.extend(conjuncts(right));
            parts
        }
        other => vec![other],
    }
}

/// The first call whose lower-case name fits, and its place.
pub(super) fn first_call(expression: &Expression, fits: &dyn Fn(&str) -> bool) -> Option<(String, Spot)> {
    match expression {
        Expression::Call(call) if fits(&call.name.to_lowercase()) => Some((call.name.clone(), call.at)),
        Expression::Over { .. } => None,
        other => other.children().into_iter().find_map(|child| first_call(child, fits)),
    }
}
