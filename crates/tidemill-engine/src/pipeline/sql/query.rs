//! Queries of the parser's tree to relations.

use super::{spot, tokens};
use crate::operator::aggregate::contains_aggregate;
use crate::pipeline::expression::{Call, Expression};
use crate::pipeline::relation::{Grouping, JoinKind, Relation, WindowFunction};
use crate::pipeline::text::{Spot, Text};
use datafusion::sql::sqlparser::ast::{
    self, Expr, GroupByExpr, GroupByWithModifier, JoinConstraint, JoinOperator, LimitClause, ObjectName, Query, Select,
    SelectItem, SetExpr, SetOperator, SetQuantifier, Spanned, TableAlias, TableFactor, TableWithJoins,
};
use tidemill_core::{Error, Result};

/// Turns the parser's tree into ours. Holds the text, for places, and the `WITH` relations in scope.
pub struct Converter<'a> {
    text: &'a Text,
    common: Vec<(String, Relation)>,
}

impl<'a> Converter<'a> {
    /// A converter for a piece of `text`.
    pub fn new(text: &'a Text) -> Self {
        Converter { text, common: vec![] }
    }

    /// An error for what Spark SQL or Tidemill does not have.
    pub fn refuse(&self, message: &str, at: Spot) -> Error {
        Error::invalid(message.to_owned()).class("PARSE_SYNTAX_ERROR").at_if_unplaced(self.text.place(at))
    }

    /// A whole query, with `WITH`, `ORDER BY` and `LIMIT`.
    pub fn query(&mut self, query: Query) -> Result<Relation> {
        let in_scope = self.common.len();
        for common in query.with.into_iter().flat_map(|with| with.cte_tables) {
            let relation = self.query(*common.query)?;
            let relation = aliased(relation, Some(common.alias.clone()));
            self.common.push((common.alias.name.value, relation));
        }
        let mut relation = self.set_expression(*query.body)?;
        if let Some(order) = query.order_by {
            let ast::OrderByKind::Expressions(keys) = order.kind else {
                return Err(self.refuse("ORDER BY ALL is not supported", Spot::default()));
            };
            relation = Relation::Sort { input: Box::new(relation), keys: self.sort_keys(keys)? };
        }
        if let Some(clause) = query.limit_clause {
            relation = self.limit(relation, clause)?;
        }
        self.common.truncate(in_scope);
        Ok(relation)
    }

    fn limit(&mut self, input: Relation, clause: LimitClause) -> Result<Relation> {
        let (limit, offset) = match clause {
            LimitClause::LimitOffset { limit, offset, .. } => (limit, offset.map(|offset| offset.value)),
            LimitClause::OffsetCommaLimit { offset, limit } => (Some(limit), Some(offset)),
        };
        let mut whole = |expr: Option<Expr>| match expr.map(|expr| self.expression(expr)).transpose()? {
            None => Ok(None),
            Some(Expression::Literal { text: Some(text), at, .. }) => text
                .parse::<u64>()
                .map(Some)
                .map_err(|_| self.refuse("LIMIT and OFFSET take a whole number, 0 or more", at)),
            Some(other) => Err(self.refuse("LIMIT and OFFSET take a number", other.spot())),
        };
        let (count, offset) = (whole(limit)?, whole(offset)?.unwrap_or(0));
        Ok(Relation::Limit { input: Box::new(input), count, offset })
    }

    fn set_expression(&mut self, body: SetExpr) -> Result<Relation> {
        match body {
            SetExpr::Select(select) => self.select(*select),
            SetExpr::Query(query) => self.query(*query),
            SetExpr::Values(values) => Ok(Relation::Values {
                rows: values.rows.into_iter().map(|row| self.expressions(row.content)).collect::<Result<_>>()?,
            }),
            SetExpr::Table(table) => {
                let name = table.table_name.unwrap_or_default();
                Ok(Relation::Table { name: vec![name], at: Spot::default() })
            }
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                self.set_operation(op, set_quantifier, *left, *right)
            }
            other => Err(self.refuse(&format!("only queries are supported here, not `{other}`"), Spot::default())),
        }
    }

    fn set_operation(
        &mut self,
        operator: SetOperator,
        quantifier: SetQuantifier,
        left: SetExpr,
        right: SetExpr,
    ) -> Result<Relation> {
        let (left, right) = (self.set_expression(left)?, self.set_expression(right)?);
        if operator != SetOperator::Union {
            let operation = operator.to_string().to_uppercase();
            return Ok(Relation::SetOperation { left: Box::new(left), right: Box::new(right), operation });
        }
        let by_name =
            matches!(quantifier, SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName);
        let union = Relation::Union { inputs: vec![left, right], by_name, allow_missing_columns: false };
        Ok(match quantifier {
            SetQuantifier::All | SetQuantifier::AllByName => union,
            _ => Relation::Distinct { input: Box::new(union) },
        })
    }

    fn select(&mut self, select: Select) -> Result<Relation> {
        let mut relation = self.from(select.from)?;
        for view in select.lateral_views {
            relation = Relation::LateralView {
                input: Box::new(relation),
                generator: self.expression(view.lateral_view)?,
                outer: view.outer,
                table: view.lateral_view_name.to_string(),
                columns: view.lateral_col_alias.into_iter().map(|name| name.value).collect(),
            };
        }
        if let Some(condition) = select.selection {
            relation = Relation::Filter { input: Box::new(relation), condition: self.expression(condition)? };
        }
        let mut list = Vec::new();
        for item in select.projection {
            list.extend(self.select_item(item)?);
        }
        let (groups, grouping) = self.group_by(select.group_by, &list)?;
        let having = select.having.map(|having| self.expression(having)).transpose()?;
        relation = if groups.is_empty() && having.is_none() {
            Relation::Project { input: Box::new(relation), list }
        } else {
            Relation::Aggregate { input: Box::new(relation), groups, grouping, list, having, keep_groups: false }
        };
        Ok(match select.distinct {
            None | Some(ast::Distinct::All) => relation,
            Some(ast::Distinct::Distinct) => Relation::Distinct { input: Box::new(relation) },
            Some(ast::Distinct::On(_)) => {
                return Err(self.refuse("DISTINCT ON is not Spark SQL", Spot::default()));
            }
        })
    }

    /// One item of a select list; several expressions never, but the caller collects them all.
    pub fn select_item(&mut self, item: SelectItem) -> Result<Vec<Expression>> {
        let at = spot(item.span());
        Ok(vec![match item {
            SelectItem::UnnamedExpr(expr) => self.expression(expr)?,
            SelectItem::ExprWithAlias { expr, alias } => self.expression(expr)?.alias(alias.value),
            SelectItem::ExprWithAliases { expr, aliases } => Expression::Alias {
                input: Box::new(self.expression(expr)?),
                names: aliases.into_iter().map(|name| name.value).collect(),
            },
            SelectItem::Wildcard(options) => {
                Expression::Star { qualifier: vec![], except: except_columns(&options), at }
            }
            SelectItem::QualifiedWildcard(kind, options) => match kind {
                ast::SelectItemQualifiedWildcardKind::ObjectName(name) => {
                    Expression::Star { qualifier: name_parts(&name), except: except_columns(&options), at }
                }
                ast::SelectItemQualifiedWildcardKind::Expr(expr) => {
                    Expression::call("__fields", vec![self.expression(expr)?], at)
                }
            },
        }])
    }

    fn group_by(&mut self, group_by: GroupByExpr, list: &[Expression]) -> Result<(Vec<Expression>, Grouping)> {
        let (expressions, modifiers) = match group_by {
            GroupByExpr::All(modifiers) => {
                let plain = list.iter().filter(|item| !contains_aggregate(item)).cloned().collect();
                return Ok((plain, modifier(&modifiers)));
            }
            GroupByExpr::Expressions(expressions, modifiers) => (expressions, modifiers),
        };
        let mut elements =
            expressions.into_iter().map(|element| self.grouping_element(element)).collect::<Result<Vec<_>>>()?;
        if elements.iter().all(|(_, grouping)| *grouping == Grouping::Plain) {
            return Ok((elements.into_iter().flat_map(|(keys, _)| keys).collect(), modifier(&modifiers)));
        }
        if elements.len() == 1 {
            return Ok(elements.remove(0));
        }
        Ok(product(elements))
    }

    /// An element of `GROUP BY`: its keys, and how they group.
    fn grouping_element(&mut self, element: Expr) -> Result<(Vec<Expression>, Grouping)> {
        let is_call = |function: &ast::Function, name: &str| function.name.to_string().eq_ignore_ascii_case(name);
        Ok(match element {
            Expr::Rollup(sets) => (self.expressions(flatten(sets))?, Grouping::Rollup),
            Expr::Cube(sets) => (self.expressions(flatten(sets))?, Grouping::Cube),
            Expr::GroupingSets(sets) => self.grouping_sets(sets)?,
            Expr::Function(function) if is_call(&function, "rollup") => {
                (self.call_arguments(function)?, Grouping::Rollup)
            }
            Expr::Function(function) if is_call(&function, "cube") => (self.call_arguments(function)?, Grouping::Cube),
            key => (vec![self.expression(key)?], Grouping::Plain),
        })
    }

    fn call_arguments(&mut self, function: ast::Function) -> Result<Vec<Expression>> {
        match self.expression(Expr::Function(function))? {
            Expression::Call(Call { arguments, .. }) => Ok(arguments),
            _ => Err(Error::bug("a call became something else")),
        }
    }

    fn grouping_sets(&mut self, sets: Vec<Vec<Expr>>) -> Result<(Vec<Expression>, Grouping)> {
        let mut all: Vec<Expression> = Vec::new();
        let mut indices = Vec::new();
        for set in sets {
            let mut members = Vec::new();
            for expression in self.expressions(set)? {
                let index = all.iter().position(|known| *known == expression).unwrap_or_else(|| {
                    all.push(expression);
                    all.len() - 1
                });
                members.push(index);
            }
            indices.push(members);
        }
        Ok((all, Grouping::Sets(indices)))
    }

    fn from(&mut self, tables: Vec<TableWithJoins>) -> Result<Relation> {
        let mut relation: Option<Relation> = None;
        for table in tables {
            let next = self.table_with_joins(table)?;
            relation = Some(match relation {
                None => next,
                Some(left) => join(left, next, JoinKind::Cross, None, vec![], Spot::default()),
            });
        }
        Ok(relation.unwrap_or(Relation::OneRow))
    }

    fn table_with_joins(&mut self, table: TableWithJoins) -> Result<Relation> {
        let mut left = self.table_factor(table.relation)?;
        for step in table.joins {
            let at = spot(step.relation.span());
            let right = self.table_factor(step.relation)?;
            let (kind, constraint) = match step.join_operator {
                JoinOperator::Join(on) | JoinOperator::Inner(on) => (JoinKind::Inner, on),
                JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (JoinKind::LeftOuter, on),
                JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (JoinKind::RightOuter, on),
                JoinOperator::FullOuter(on) => (JoinKind::FullOuter, on),
                JoinOperator::CrossJoin(on) => (JoinKind::Cross, on),
                JoinOperator::Semi(on) | JoinOperator::LeftSemi(on) => (JoinKind::LeftSemi, on),
                JoinOperator::Anti(on) | JoinOperator::LeftAnti(on) => (JoinKind::LeftAnti, on),
                _ => return Err(self.refuse("this kind of join is not Spark SQL", at)),
            };
            let (condition, using) = match constraint {
                JoinConstraint::On(condition) => (Some(self.expression(condition)?), vec![]),
                JoinConstraint::Using(names) => (None, names.iter().map(ToString::to_string).collect()),
                JoinConstraint::None => (None, vec![]),
                JoinConstraint::Natural => return Err(self.refuse("NATURAL JOIN is not supported", at)),
            };
            left = join(left, right, kind, condition, using, at);
        }
        Ok(left)
    }

    fn table_factor(&mut self, factor: TableFactor) -> Result<Relation> {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let at = spot(name.span());
                let parts = name_parts(&name);
                let common = self
                    .common
                    .iter()
                    .rev()
                    .find(|(known, _)| parts.len() == 1 && known.eq_ignore_ascii_case(&parts[0]));
                let relation = match common {
                    Some((_, relation)) => relation.clone(),
                    None => Relation::Table { name: parts, at },
                };
                Ok(aliased(relation, alias))
            }
            TableFactor::Table { name, alias, args: Some(arguments), .. } => {
                let at = spot(name.span());
                let arguments = arguments.args.into_iter().map(unnamed).collect::<Option<Vec<_>>>();
                let arguments = arguments.ok_or_else(|| self.refuse("`*` is not a table argument", at))?;
                Ok(aliased(self.table_function(&name.to_string(), arguments, at)?, alias))
            }
            TableFactor::TableFunction { expr: Expr::Function(function), alias } => {
                let at = spot(function.name.span());
                let ast::FunctionArguments::List(list) = function.args else {
                    return Err(self.refuse("a table function needs arguments", at));
                };
                let arguments = list.args.into_iter().map(unnamed).collect::<Option<Vec<_>>>();
                let arguments = arguments.ok_or_else(|| self.refuse("`*` is not a table argument", at))?;
                Ok(aliased(self.table_function(&function.name.to_string(), arguments, at)?, alias))
            }
            TableFactor::Derived { subquery, alias, .. } => Ok(aliased(self.query(*subquery)?, alias)),
            TableFactor::NestedJoin { table_with_joins, alias } => {
                Ok(aliased(self.table_with_joins(*table_with_joins)?, alias))
            }
            other => Err(self.refuse(&format!("`{other}` is not supported in FROM"), spot(other.span()))),
        }
    }

    fn table_function(&mut self, name: &str, mut arguments: Vec<Expr>, at: Spot) -> Result<Relation> {
        if arguments.is_empty() {
            return Err(self.refuse(&format!("the table function {name} needs a table"), at));
        }
        let input = Box::new(match arguments.remove(0) {
            Expr::Subquery(query) => self.query(*query)?,
            Expr::Identifier(table) => {
                let name = ObjectName(vec![ast::ObjectNamePart::Identifier(table)]);
                self.table_factor(plain_table(name))?
            }
            Expr::CompoundIdentifier(parts) => {
                let parts = parts.into_iter().map(ast::ObjectNamePart::Identifier).collect();
                self.table_factor(plain_table(ObjectName(parts)))?
            }
            _ => return Err(self.refuse(&format!("the first argument of {name} is a table"), at)),
        });
        let column = match arguments.first().cloned().map(|column| self.expression(column)).transpose()? {
            Some(Expression::Column { name, .. }) => name.join("."),
            Some(Expression::Call(Call { name, arguments, .. })) if name.eq_ignore_ascii_case("descriptor") => {
                match arguments.as_slice() {
                    [Expression::Column { name, .. }] => name.join("."),
                    _ => return Err(self.refuse("DESCRIPTOR takes one column", at)),
                }
            }
            _ => return Err(self.refuse(&format!("the second argument of {name} is the time column"), at)),
        };
        let mut sizes = Vec::new();
        for size in arguments.drain(1..) {
            match self.expression(size)? {
                Expression::Literal { text: Some(text), .. } => sizes.push(text),
                other => return Err(self.refuse("a window size is an interval such as '5 minutes'", other.spot())),
            }
        }
        match name.to_ascii_lowercase().as_str() {
            tokens::WATERMARK => {
                Ok(Relation::Watermark { input, column, delay: sizes.into_iter().next().unwrap_or_default(), at })
            }
            "tumble" => Ok(Relation::WindowTable { input, function: WindowFunction::Tumble, column, sizes, at }),
            "hop" => Ok(Relation::WindowTable { input, function: WindowFunction::Hop, column, sizes, at }),
            "cumulate" => Ok(Relation::WindowTable { input, function: WindowFunction::Cumulate, column, sizes, at }),
            "session" => Ok(Relation::WindowTable { input, function: WindowFunction::Session, column, sizes, at }),
            _ => Err(self.refuse(&format!("there is no table function called {name}"), at).help(TABLE_FUNCTIONS)),
        }
    }
}

const TABLE_FUNCTIONS: &str = "table functions: TUMBLE(table, column, size), HOP(table, column, slide, size), \
    CUMULATE(table, column, step, size), SESSION(table, column, gap)";

fn join(
    left: Relation,
    right: Relation,
    kind: JoinKind,
    condition: Option<Expression>,
    using: Vec<String>,
    at: Spot,
) -> Relation {
    Relation::Join { left: Box::new(left), right: Box::new(right), kind, condition, using, at }
}

fn aliased(relation: Relation, alias: Option<TableAlias>) -> Relation {
    match alias {
        None => relation,
        Some(alias) => Relation::Alias {
            input: Box::new(relation),
            name: alias.name.value,
            columns: alias.columns.into_iter().map(|column| column.name.value).collect(),
        },
    }
}

fn plain_table(name: ObjectName) -> TableFactor {
    TableFactor::Table {
        name,
        alias: None,
        args: None,
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    }
}

fn unnamed(argument: ast::FunctionArg) -> Option<Expr> {
    let value = match argument {
        ast::FunctionArg::Unnamed(value) => value,
        ast::FunctionArg::Named { arg, .. } | ast::FunctionArg::ExprNamed { arg, .. } => arg,
    };
    match value {
        ast::FunctionArgExpr::Expr(expr) => Some(expr),
        _ => None,
    }
}

/// The parts of a dotted name, without quotes.
pub fn name_parts(name: &ObjectName) -> Vec<String> {
    name.0.iter().map(|part| part.as_ident().map_or_else(|| part.to_string(), |ident| ident.value.clone())).collect()
}

fn except_columns(options: &ast::WildcardAdditionalOptions) -> Vec<String> {
    let Some(except) = &options.opt_except else { return vec![] };
    std::iter::once(&except.first_element).chain(&except.additional_elements).map(|name| name.value.clone()).collect()
}

fn flatten(sets: Vec<Vec<Expr>>) -> Vec<Expr> {
    sets.into_iter().flatten().collect()
}

fn modifier(modifiers: &[GroupByWithModifier]) -> Grouping {
    match modifiers.first() {
        Some(GroupByWithModifier::Rollup) => Grouping::Rollup,
        Some(GroupByWithModifier::Cube) => Grouping::Cube,
        _ => Grouping::Plain,
    }
}

/// `GROUP BY a, ROLLUP(b, c), CUBE(d)`: every set of one element with every set of the others.
fn product(elements: Vec<(Vec<Expression>, Grouping)>) -> (Vec<Expression>, Grouping) {
    let (mut all, mut sets): (Vec<Expression>, Vec<Vec<usize>>) = (vec![], vec![vec![]]);
    for (keys, grouping) in elements {
        let alternatives = grouping.sets(keys.len()).unwrap_or_else(|| vec![(0..keys.len()).collect()]);
        let places: Vec<usize> = keys
            .into_iter()
            .map(|key| {
                all.iter().position(|known| *known == key).unwrap_or_else(|| {
                    all.push(key);
                    all.len() - 1
                })
            })
            .collect();
        let with = |set: &Vec<usize>, more: &Vec<usize>| -> Vec<usize> {
            set.iter().copied().chain(more.iter().map(|key| places[*key])).collect()
        };
        sets =
            sets.iter().flat_map(|set| alternatives.iter().map(|more| with(set, more)).collect::<Vec<_>>()).collect();
    }
    (all, Grouping::Sets(sets))
}
