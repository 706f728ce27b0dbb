//! Checks one relation, node by node.

use super::expression::{Resolver, condition};
use super::scope::{Entry, Scope};
use super::typed::Typed;
use super::{Analyzer, Bound, refuse};
use crate::function::is_generator;
use crate::pipeline::catalog::{Named, Table};
use crate::pipeline::expression::{BinaryOperator, Expression, SortKey};
use crate::pipeline::plan::{Attribute, Node, Plan, SortBy};
use crate::pipeline::relation::{Grouping, JoinKind, Relation};
use crate::pipeline::sql;
use crate::pipeline::text::Spot;
use crate::time::interval::Interval;
use arrow::datatypes::DataType;
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

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
                let input = self.relation(input)?;
                self.watermark(input, column, delay, *at)
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

    fn table(&self, name: &[String], at: Spot) -> Result<Bound> {
        let joined = name.join(".");
        let parameter = self
            .parameters
            .borrow()
            .iter()
            .rev()
            .find(|(known, _)| *known == joined)
            .map(|(_, relation)| relation.clone());
        if let Some(relation) = parameter {
            return self.relation(&relation);
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
                    Named::View(relation) => self.relation(relation)?.plan,
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

    fn base_table(&self, table: &Arc<Table>) -> Result<Arc<Plan>> {
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
            bound = self.watermark(bound, column, delay, *at)?;
        }
        Ok(bound.plan)
    }

    /// The same columns under new numbers, so that a table read twice has two sets of columns.
    fn renumbered(&self, plan: Arc<Plan>) -> Arc<Plan> {
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

    fn values(&self, rows: &[Vec<Expression>]) -> Result<Bound> {
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

    fn alias(&self, input: &Relation, name: &str, columns: &[String]) -> Result<Bound> {
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

    fn expect_columns(&self, given: usize, there: usize) -> Result<()> {
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
    fn renamed(&self, bound: Bound) -> Result<Bound> {
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

    fn filter(&self, mut bound: Bound, expression: &Expression) -> Result<Bound> {
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

    fn in_subquery(&self, bound: Bound, input: &Expression, query: &Relation, negated: bool) -> Result<Bound> {
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
        let context =
            crate::function::CallContext { name: "IN", session: self.session, text: self.text, at: input.spot() };
        let (mut sides, _) = super::expression::to_common(vec![left, right], &context)?;
        let on = vec![(sides.remove(0).expr, sides.remove(0).expr)];
        self.static_join(bound, table, JoinKind::LeftSemi, on, None, input.spot())
    }

    fn sort(&self, bound: Bound, input: &Relation, keys: &[SortKey]) -> Result<Bound> {
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
    fn sorted(&self, bound: Bound, by: Vec<(Typed, bool, bool)>, hidden: Vec<Typed>) -> Result<Bound> {
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
    fn output_position(&self, by: &Expression, list: &[Expression], bound: &Bound) -> Option<Typed> {
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

    fn watermark(&self, bound: Bound, column: &str, delay: &str, at: Spot) -> Result<Bound> {
        let name: Vec<String> = column.split('.').map(str::to_owned).collect();
        let (attribute, rest) = bound.scope.find(&name, self.text, at)?;
        let place = || self.text.place(at);
        let is_window = attribute.data_type == types::window();
        if !rest.is_empty() || !(is_window || matches!(attribute.data_type, DataType::Timestamp(_, Some(_)))) {
            return Err(Error::invalid(format!(
                "the event time must be a column of type TIMESTAMP; `{column}` is of type {}",
                types::name(&attribute.data_type).to_uppercase()
            ))
            .class("EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE")
            .at_if_unplaced(place()));
        }
        let interval = Interval::parse(delay).ok_or_else(|| {
            Error::invalid(format!("'{delay}' is not a time such as '10 minutes'"))
                .class("CANNOT_PARSE_INTERVAL")
                .at_if_unplaced(place())
        })?;
        let delay = interval.delay_micros().filter(|micros| *micros >= 0).ok_or_else(|| {
            Error::invalid(format!("the delay of a watermark is 0 or more, not {delay}"))
                .class("_LEGACY_ERROR_TEMP_3157")
                .at_if_unplaced(place())
        })?;
        if !bound.plan.streaming {
            return Ok(bound);
        }
        if bound.plan.attributes.iter().any(|known| known.watermark.is_some()) {
            return Err(Error::invalid("a watermark is already set on this stream")
                .class("_LEGACY_ERROR_TEMP_3102")
                .at_if_unplaced(place())
                .help("a stream has one event-time column; remove one of the two"));
        }
        let Bound { plan, mut scope, .. } = bound;
        let mut attributes = plan.attributes.clone();
        attributes.iter_mut().filter(|known| known.id == attribute.id).for_each(|known| known.watermark = Some(delay));
        let with_mark = scope.entries_mut().iter_mut().filter(|entry| entry.attribute.id == attribute.id);
        with_mark.for_each(|entry| entry.attribute.watermark = Some(delay));
        let node = Node::Watermark { input: plan, column: attribute.id, delay };
        Ok(self.bound(Plan { node, attributes, streaming: true }, scope))
    }

    fn with_columns(&self, bound: Bound, columns: &[(String, Expression)]) -> Result<Bound> {
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

    fn deduplicate(&self, bound: Bound, columns: &[String], within_watermark: bool) -> Result<Bound> {
        let Bound { plan, scope, .. } = bound;
        let mut keys = Vec::new();
        for name in columns {
            let parts = vec![name.clone()];
            let (attribute, _) = scope.find(&parts, self.text, Spot::default())?;
            keys.push(attribute.id);
        }
        if columns.is_empty() {
            keys = plan.attributes.iter().map(|attribute| attribute.id).collect();
        }
        for key in &keys {
            if plan.attribute(*key).is_some_and(|attribute| !super::coerce::is_groupable(&attribute.data_type)) {
                return Err(refuse::unsupported(
                    "a MAP column cannot be a key of dropDuplicates",
                    self.text,
                    Spot::default(),
                ));
            }
        }
        if within_watermark && plan.streaming && plan.attributes.iter().all(|attribute| attribute.watermark.is_none()) {
            return Err(refuse::unsupported(
                "dropDuplicatesWithinWatermark needs a watermark",
                self.text,
                Spot::default(),
            )
            .help("call withWatermark first"));
        }
        let (attributes, streaming) = (plan.attributes.clone(), plan.streaming);
        let node = Node::Deduplicate { input: plan, keys, within_watermark };
        Ok(self.bound(Plan { node, attributes, streaming }, scope))
    }

    /// The plan with the columns of the table it is written to: by position, or by name when the
    /// statement names the columns; NULL for columns it does not name.
    ///
    /// # Errors
    /// A wrong number of columns, or a type that does not fit without loss of meaning.
    pub fn fit(&self, plan: Arc<Plan>, table: &arrow::datatypes::Schema, named: &[String]) -> Result<Arc<Plan>> {
        let expected = if named.is_empty() { table.fields().len() } else { named.len() };
        if plan.attributes.len() != expected {
            let class =
                if plan.attributes.len() > expected { "TOO_MANY_DATA_COLUMNS" } else { "NOT_ENOUGH_DATA_COLUMNS" };
            return Err(Error::invalid(format!(
                "the query has {} columns, the table takes {expected}",
                plan.attributes.len()
            ))
            .class(format!("INSERT_COLUMN_ARITY_MISMATCH.{class}")));
        }
        let scope = self.scope(&plan.attributes, None);
        let context = crate::function::CallContext {
            name: "INSERT",
            session: self.session,
            text: self.text,
            at: Spot::default(),
        };
        let mut list = Vec::with_capacity(table.fields().len());
        for (position, field) in table.fields().iter().enumerate() {
            let source = match named.is_empty() {
                true => Some(position),
                false => named.iter().position(|name| scope.same(name, field.name())),
            };
            let typed = match source {
                Some(source) => typed_entry(&scope.entries()[source]),
                None => Typed::literal(datafusion::common::ScalarValue::Null, ""),
            };
            let (from, to) = (typed.data_type.clone(), field.data_type());
            let fits = super::coerce::common(&from, to).as_ref() == Some(to)
                || (super::coerce::is_numeric(&from) && super::coerce::is_numeric(to))
                || (*to == DataType::Utf8 && !from.is_nested());
            if !fits {
                return Err(Error::invalid(format!(
                    "the column `{}` of the table is of type {}, the query gives {}",
                    field.name(),
                    types::name(to).to_uppercase(),
                    types::name(&from).to_uppercase()
                ))
                .class("INCOMPATIBLE_DATA_FOR_TABLE.CANNOT_SAFELY_CAST")
                .help("CAST the column in the query"));
            }
            list.push(crate::function::implicit_cast(typed, to, &context)?.named(field.name()));
        }
        let bound = Bound { plan, scope, below: None };
        Ok(self.project(bound, list)?.plan)
    }

    fn distinct(&self, bound: Bound) -> Result<Bound> {
        let names: Vec<Expression> = vec![Expression::Star { qualifier: vec![], except: vec![], at: Spot::default() }];
        let items = self.items(&bound, &names)?;
        self.aggregate_items(bound, items, &Grouping::Plain)
    }

    fn sql(&self, text: &str, relations: &[(String, Relation)]) -> Result<Bound> {
        let mut text = text.to_owned();
        let depth = self.parameters.borrow().len();
        for (name, relation) in relations {
            let inner = format!("__argument_{name}");
            text = text.replace(&format!("{{{name}}}"), &inner);
            self.parameters.borrow_mut().push((inner, relation.clone()));
            self.parameters.borrow_mut().push((name.clone(), relation.clone()));
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
