//! `GROUP BY`: keys, aggregates, and what stands above them.

use super::expression::{Collected, Resolver, condition};
use super::groups::Groups;
use super::relation::{Item, typed_entry};
use super::typed::Typed;
use super::windows::Windows;
use super::{Analyzer, Bound, coerce, operator, refuse};
use crate::function::{CallContext, nested};
use crate::operator::aggregate::contains_aggregate;
use crate::pipeline::expression::Expression;
use crate::pipeline::plan::{Attribute, Node, Plan, WindowPart, attribute_id, references};
use crate::pipeline::relation::Grouping;
use crate::pipeline::session::is_session;
use crate::pipeline::text::Spot;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use tidemill_core::{Error, Result, types};

/// A key: as it is written over the input, and the column it becomes.
struct Key {
    expr: Expr,
    attribute: Attribute,
}

impl Analyzer<'_> {
    /// A grouping with an SQL list above it.
    pub(super) fn aggregate(
        &self,
        input: Bound,
        groups: &[Expression],
        grouping: &Grouping,
        list: &[Expression],
        having: Option<&Expression>,
    ) -> Result<Bound> {
        let list = &self.with_earlier_names(list, &input.scope);
        let groups = groups.iter().map(|group| self.written_group(group, list, &input)).collect::<Result<Vec<_>>>()?;
        if let Some(group) = groups.iter().find(|group| contains_aggregate(group)) {
            return Err(Error::invalid("an aggregate function cannot be grouped by")
                .class("GROUP_BY_AGGREGATE")
                .at_if_unplaced(self.text.place(group.spot())));
        }
        let written: Vec<&Expression> = groups.iter().chain(list).chain(having).collect();
        let (input, windows) = self.add_windows(input, &written)?;
        let keys = self.keys(&input, &groups, &windows)?;
        let items = self.items(&input, list)?;
        let (input, keys, grouping_id) = self.prepare_keys(input, keys, grouping)?;
        let known = Groups::new(
            keys.iter().map(|key| (key.expr.clone(), key.attribute.clone())).collect(),
            self.window_parts(&input, &keys)?,
            grouping_id.clone(),
        );
        let (scope, mut collected) = (input.scope.clone(), Collected::default());
        let mut above = Vec::with_capacity(items.len());
        for item in &items {
            let mut resolver = Resolver {
                windows: &windows,
                groups: Some(&known),
                collected: Some(&mut collected),
                ..self.resolver(&scope)
            };
            above.push(match item {
                Item::Written(expression) => resolver.resolve_item(expression)?,
                Item::Entry(entry) => known.key(&typed_entry(entry)).ok_or_else(|| {
                    Error::invalid(format!(
                        "`{}` is neither grouped by nor inside an aggregate function",
                        entry.attribute.name
                    ))
                    .class("MISSING_AGGREGATION")
                })?,
            });
        }
        let having = having.map(|having| {
            let having = self.with_list_names(having, list, &scope);
            let mut resolver = Resolver {
                windows: &windows,
                groups: Some(&known),
                collected: Some(&mut collected),
                ..self.resolver(&scope)
            };
            let typed = resolver.resolve(&having)?;
            condition(typed, "HAVING", self.text, having.spot())
        });
        let having = having.transpose()?;
        let mut bound = self.grouped(input, &keys, grouping_id, collected);
        if let Some(having) = having {
            let Bound { plan, scope, .. } = bound;
            let (attributes, streaming) = (plan.attributes.clone(), plan.streaming);
            let node = Node::Filter { input: plan, condition: having.expr };
            bound = self.bound(Plan { node, attributes, streaming }, scope);
        }
        self.project(bound, above)
    }

    /// `SELECT DISTINCT`: every column is a key.
    pub(super) fn aggregate_items(&self, input: Bound, items: Vec<Item>, grouping: &Grouping) -> Result<Bound> {
        let mut keys = Vec::with_capacity(items.len());
        for item in &items {
            let Item::Entry(entry) = item else { return Err(Error::bug("a star gives columns")) };
            let typed = typed_entry(entry);
            self.check_key(&typed, Spot::default())?;
            let attribute = Attribute { id: self.numbers.next(), ..entry.attribute.clone() };
            keys.push(Key { expr: typed.expr, attribute });
        }
        let (input, keys, grouping_id) = self.prepare_keys(input, keys, grouping)?;
        let list = keys.iter().map(|key| {
            Typed::new(key.attribute.reference(), key.attribute.data_type.clone(), key.attribute.name.clone())
        });
        let list = list.collect();
        let bound = self.grouped(input, &keys, grouping_id, Collected::default());
        self.project(bound, list)
    }

    /// A group as it is meant: `GROUP BY 1`, or a name of the list that is no column.
    fn written_group(&self, group: &Expression, list: &[Expression], input: &Bound) -> Result<Expression> {
        match group {
            Expression::Literal { data_type, text: Some(text), at } if data_type == "int" => {
                let position: usize = text.parse().unwrap_or(0);
                let item = position.checked_sub(1).and_then(|position| list.get(position)).ok_or_else(|| {
                    Error::invalid(format!("GROUP BY {text} is not a position of the select list"))
                        .class("GROUP_BY_POS_OUT_OF_RANGE")
                        .at_if_unplaced(self.text.place(*at))
                })?;
                if contains_aggregate(item) {
                    return Err(Error::invalid(format!("GROUP BY {text} is an aggregate function in the select list"))
                        .class("GROUP_BY_POS_AGGREGATE")
                        .at_if_unplaced(self.text.place(*at)));
                }
                Ok(unaliased(item).clone())
            }
            Expression::Column { name, .. } if name.len() == 1 => {
                if self.resolver(&input.scope).resolve(group).is_ok() {
                    return Ok(group.clone());
                }
                Ok(self.list_item(&name[0], list, &input.scope).unwrap_or(group).clone())
            }
            other => Ok(other.clone()),
        }
    }

    fn list_item<'b>(&self, name: &str, list: &'b [Expression], scope: &super::scope::Scope) -> Option<&'b Expression> {
        list.iter().find_map(|item| match item {
            Expression::Alias { input, names } if names.len() == 1 && scope.same(&names[0], name) => Some(&**input),
            _ => None,
        })
    }

    /// An item of a list may use the names of items before it that are no columns of the input.
    pub(super) fn with_earlier_names(&self, list: &[Expression], scope: &super::scope::Scope) -> Vec<Expression> {
        list.iter().fold(Vec::with_capacity(list.len()), |mut earlier, item| {
            let item = self.with_names_of(item, &earlier, scope);
            earlier.push(item);
            earlier
        })
    }

    fn with_names_of(
        &self,
        expression: &Expression,
        earlier: &[Expression],
        scope: &super::scope::Scope,
    ) -> Expression {
        match expression {
            Expression::Column { name, at } if scope.find(name, self.text, *at).is_err() => {
                self.with_list_names(expression, earlier, scope)
            }
            Expression::Column { .. } => expression.clone(),
            Expression::Call(call) if crate::operator::aggregate::find(&call.name.to_lowercase()).is_some() => {
                expression.clone()
            }
            other => other.map_children(&|inner| self.with_names_of(inner, earlier, scope)),
        }
    }

    /// HAVING and ORDER BY may use names of the list, anywhere but inside an aggregate function.
    pub(super) fn with_list_names(
        &self,
        expression: &Expression,
        list: &[Expression],
        scope: &super::scope::Scope,
    ) -> Expression {
        match expression {
            Expression::Column { name, at } => match self.list_item(&name[0], list, scope) {
                Some(item) => name[1..].iter().fold(item.clone(), |input, field| Expression::Field {
                    input: Box::new(input),
                    field: field.clone(),
                    at: *at,
                }),
                None => expression.clone(),
            },
            Expression::Call(call) if crate::operator::aggregate::find(&call.name.to_lowercase()).is_some() => {
                expression.clone()
            }
            Expression::Sql { sql } => match crate::pipeline::sql::parse_expression(sql) {
                Ok(parsed) => self.with_list_names(&parsed, list, scope),
                Err(_) => expression.clone(),
            },
            other => other.map_children(&|inner| self.with_list_names(inner, list, scope)),
        }
    }

    fn keys(&self, input: &Bound, groups: &[Expression], windows: &Windows) -> Result<Vec<Key>> {
        let mut keys: Vec<Key> = Vec::with_capacity(groups.len());
        for group in groups {
            let typed = Resolver { windows, ..self.resolver(&input.scope) }.resolve_item(group)?;
            self.check_key(&typed, group.spot())?;
            let typed = self.window_instead_of_part(typed, input);
            if keys.iter().any(|key| key.expr == typed.expr) {
                continue;
            }
            let mut attribute = self.attribute(typed.name.clone(), typed.data_type.clone());
            if let Expr::Column(column) = &typed.expr
                && let Some(source) = attribute_id(&column.name).and_then(|id| input.plan.attribute(id))
            {
                attribute.watermark = source.watermark;
            }
            keys.push(Key { expr: typed.expr, attribute });
        }
        Ok(keys)
    }

    fn check_key(&self, typed: &Typed, at: Spot) -> Result<()> {
        if coerce::is_groupable(&typed.data_type) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "`{}` of type {} cannot be grouped by",
            typed.name,
            types::name(&typed.data_type).to_uppercase()
        ))
        .class("GROUP_EXPRESSION_TYPE_IS_NOT_ORDERABLE")
        .at_if_unplaced(self.text.place(at)))
    }

    /// The start or end of a window groups as the window does; it is taken apart again above.
    fn window_instead_of_part(&self, typed: Typed, input: &Bound) -> Typed {
        let Expr::Column(column) = &typed.expr else { return typed };
        let part =
            attribute_id(&column.name).and_then(|id| input.plan.attribute(id)).and_then(|known| known.window_part);
        match part.and_then(|(window, _)| input.plan.attribute(window)) {
            Some(window) => Typed::new(window.reference(), window.data_type.clone(), "window"),
            None => typed,
        }
    }

    /// The start and end columns of windows that are keys, each as it stands in the input and above the grouping.
    fn window_parts(&self, input: &Bound, keys: &[Key]) -> Result<Vec<(Expr, Typed)>> {
        let context = CallContext { name: "window", session: self.session, text: self.text, at: Spot::default() };
        let mut parts = Vec::new();
        for attribute in &input.plan.attributes {
            let Some((window, part)) = attribute.window_part else { continue };
            let Some(window) = input.plan.attribute(window).map(Attribute::reference) else { continue };
            let Some(key) = keys.iter().find(|key| key.expr == window) else { continue };
            let name = match part {
                WindowPart::Start => "start",
                WindowPart::End => "end",
            };
            let whole = Typed::new(key.attribute.reference(), key.attribute.data_type.clone(), "window");
            parts.push((attribute.reference(), nested::field(whole, name, &input.scope, &context)?));
        }
        Ok(parts)
    }

    /// Makes every key a column of the input: computed ones by a projection, those of ROLLUP and its
    /// kin by repeating rows. Gives the keys with the columns they are above the grouping.
    fn prepare_keys(
        &self,
        input: Bound,
        keys: Vec<Key>,
        grouping: &Grouping,
    ) -> Result<(Bound, Vec<Key>, Option<Attribute>)> {
        let sets = grouping.sets(keys.len());
        let input = self.computed_keys(input, &keys)?;
        let Some(sets) = sets else { return Ok((input, keys, None)) };
        if keys.iter().any(|key| is_session(&input.plan, key.attribute.id)) {
            return Err(refuse::unsupported(
                "a session window in ROLLUP, CUBE or GROUPING SETS",
                self.text,
                Spot::default(),
            ));
        }
        let grouping_id = self.attribute("grouping_id()", DataType::Int64);
        let passed: Vec<Attribute> = input
            .plan
            .attributes
            .iter()
            .filter(|known| !keys.iter().any(|key| key.attribute.id == known.id))
            .cloned()
            .collect();
        let mut lists = Vec::with_capacity(sets.len());
        for set in &sets {
            let mut list: Vec<Expr> = passed.iter().map(Attribute::reference).collect();
            let mut mask = 0i64;
            for (position, key) in keys.iter().enumerate() {
                if set.contains(&position) {
                    list.push(key.attribute.reference());
                } else {
                    mask |= 1 << (keys.len() - 1 - position);
                    let null =
                        ScalarValue::try_from(&key.attribute.data_type).map_err(crate::errors::from_datafusion)?;
                    list.push(Expr::Literal(null, None));
                }
            }
            list.push(Expr::Literal(ScalarValue::Int64(Some(mask)), None));
            lists.push(list);
        }
        let mut attributes = passed;
        let expanded: Vec<Key> = keys
            .into_iter()
            .map(|key| Key { expr: key.expr, attribute: Attribute { id: self.numbers.next(), ..key.attribute } })
            .collect();
        attributes.extend(expanded.iter().map(|key| key.attribute.clone()));
        attributes.push(grouping_id.clone());
        let Bound { plan, scope, .. } = input;
        let streaming = plan.streaming;
        let bound = self.bound(Plan { node: Node::Expand { input: plan, lists }, attributes, streaming }, scope);
        Ok((bound, expanded, Some(grouping_id)))
    }

    /// The input with every key as a column under the key's own number. A projection that computes
    /// keys goes below a window operator where it can, so that the grouping sees the window at once.
    fn computed_keys(&self, input: Bound, keys: &[Key]) -> Result<Bound> {
        let Bound { plan, scope, .. } = input;
        let with_keys = |below: &std::sync::Arc<Plan>, wanted: &dyn Fn(&Key) -> bool| {
            let (mut list, mut attributes): (Vec<Expr>, Vec<Attribute>) =
                below.attributes.iter().map(|attribute| (attribute.reference(), attribute.clone())).unzip();
            for key in keys.iter().filter(|key| wanted(key)) {
                let typed = Typed::new(key.expr.clone(), key.attribute.data_type.clone(), "");
                list.push(operator::normalized(typed).expr);
                attributes.push(key.attribute.clone());
            }
            Plan { node: Node::Project { input: below.clone(), list }, attributes, streaming: below.streaming }
        };
        let window = match &plan.node {
            Node::Window { input, time, kind } => {
                plan.attributes.last().map(|window| (input, time, kind, window.clone()))
            }
            _ => None,
        };
        let Some((below, time, kind, window)) = window else {
            return Ok(self.bound(with_keys(&plan, &|_| true), scope));
        };
        let is_window = |key: &Key| key.expr == window.reference();
        let uses_window = |key: &Key| references(&key.expr).contains(&window.id);
        if keys.iter().any(|key| uses_window(key) && !is_window(key)) || !keys.iter().any(is_window) {
            return Ok(self.bound(with_keys(&plan, &|_| true), scope));
        }
        let computed = std::sync::Arc::new(with_keys(below, &|key| !is_window(key)));
        let mut attributes = computed.attributes.clone();
        let key = keys.iter().find(|key| is_window(key)).map_or(window.id, |key| key.attribute.id);
        attributes.push(Attribute { id: key, ..window });
        let streaming = computed.streaming;
        let node = Node::Window { input: computed, time: time.clone(), kind: *kind };
        Ok(self.bound(Plan { node, attributes, streaming }, scope))
    }

    fn grouped(&self, input: Bound, keys: &[Key], grouping_id: Option<Attribute>, collected: Collected) -> Bound {
        let mut attributes: Vec<Attribute> = keys.iter().map(|key| key.attribute.clone()).collect();
        attributes.extend(grouping_id);
        let key_ids = attributes.iter().map(|attribute| attribute.id).collect();
        let (calls, results): (Vec<_>, Vec<_>) = collected.aggregates.into_iter().unzip();
        attributes.extend(results);
        let scope = self.scope(&attributes, None);
        let streaming = input.plan.streaming;
        let node = Node::Aggregate { input: input.plan, keys: key_ids, calls };
        self.bound(Plan { node, attributes, streaming }, scope)
    }
}

fn unaliased(expression: &Expression) -> &Expression {
    match expression {
        Expression::Alias { input, .. } => input,
        other => other,
    }
}
