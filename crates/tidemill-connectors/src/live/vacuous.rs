//! Queries over relations of the catalogue that never have rows, such as triggers, policies and indexes. There is
//! nothing to plan in them, so whatever they are written with need not be known.

use super::catalog;
use super::rewrite::{call, last};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArguments, GroupByExpr, JoinOperator, ObjectName, Query, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins, Value, Visit as _, Visitor,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use std::ops::ControlFlow;

/// Functions that make a row of no rows.
const AGGREGATES: &[&str] =
    &["count", "sum", "min", "max", "avg", "array_agg", "string_agg", "bool_and", "bool_or", "every"];

/// A query without rows and with the same columns takes the place of one that is known to have none.
pub(super) fn empty(query: &mut Query) {
    if query.with.is_some() || !has_no_rows(&query.body) {
        return;
    }
    let Some(names) = column_names(&query.body) else { return };
    let columns: Vec<_> =
        names.iter().map(|name| format!("CAST(NULL AS VARCHAR) AS \"{}\"", name.replace('"', "\"\""))).collect();
    let text = format!("SELECT {} WHERE false", columns.join(", "));
    let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(&text).and_then(|mut parser| parser.parse_query());
    if let Ok(parsed) = parsed {
        query.body = parsed.body;
        query.order_by = None;
    }
}

/// The value of an expression that asks such a query.
pub(super) fn value(expr: &mut Expr) {
    let value = match expr {
        Expr::Subquery(query) if is_empty(query) => Value::Null,
        Expr::Exists { subquery, negated } if is_empty(subquery) => Value::Boolean(*negated),
        Expr::InSubquery { subquery, negated, .. } if is_empty(subquery) => Value::Boolean(*negated),
        Expr::Function(function) => match &function.args {
            FunctionArguments::Subquery(query) if is_empty(query) => Value::Null,
            _ => return,
        },
        _ => return,
    };
    *expr = Expr::Value(value.into());
}

fn is_empty(query: &Query) -> bool {
    query.with.is_none() && has_no_rows(&query.body)
}

fn has_no_rows(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => {
            select.from.iter().any(is_without_rows) && (is_grouped(select) || !aggregates(select))
        }
        SetExpr::Query(query) => is_empty(query),
        SetExpr::SetOperation { left, right, .. } => has_no_rows(left) && has_no_rows(right),
        _ => false,
    }
}

/// True when one of the relations that are joined, other than from outside, has no rows.
fn is_without_rows(from: &TableWithJoins) -> bool {
    let mut is_empty = factor(&from.relation);
    for join in &from.joins {
        match join.join_operator {
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => {
                is_empty |= factor(&join.relation)
            }
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => {}
            _ => return false,
        }
    }
    is_empty
}

fn factor(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Table { name, args: None, .. } => named(name),
        // options of relations: there are none
        TableFactor::Table { name, args: Some(arguments), .. } => {
            last(name).as_deref() == Some("unnest")
                && arguments.args.iter().any(|of| of.to_string().ends_with("reloptions"))
        }
        TableFactor::Derived { subquery, .. } => is_empty(subquery),
        TableFactor::NestedJoin { table_with_joins, .. } => is_without_rows(table_with_joins),
        _ => false,
    }
}

fn named(name: &ObjectName) -> bool {
    let schema =
        name.0.len().checked_sub(2).and_then(|at| name.0[at].as_ident()).map(|ident| ident.value.to_lowercase());
    last(name).is_some_and(|table| catalog::is_always_empty(schema.as_deref(), &table))
}

fn is_grouped(select: &Select) -> bool {
    match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(by, _) => !by.is_empty(),
    }
}

fn aggregates(select: &Select) -> bool {
    struct Look {
        /// Queries inside of queries: what they aggregate is theirs.
        depth: usize,
    }
    impl Visitor for Look {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function) if self.depth == 0 && is_aggregate(&function.name) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    select.projection.visit(&mut Look { depth: 0 }).is_break()
}

fn is_aggregate(name: &ObjectName) -> bool {
    last(name).is_some_and(|name| AGGREGATES.contains(&name.as_str()))
}

/// A scalar subquery over the catalogue that looks one row up. Postgres takes it as it is; DataFusion wants to see
/// that there is one row at most.
pub(super) fn one_row(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let is_plain = query.limit_clause.is_none() && query.with.is_none() && select.distinct.is_none();
    if !is_plain
        || is_grouped(select)
        || aggregates(select)
        || !select.from.iter().any(|from| is_catalog(&from.relation))
    {
        return;
    }
    let [item] = select.projection.as_mut_slice() else { return };
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            *expr = call("first_value", vec![expr.clone()])
        }
        _ => {}
    }
    query.order_by = None;
}

fn is_catalog(factor: &TableFactor) -> bool {
    matches!(factor, TableFactor::Table { name, args: None, .. } if last(name).is_some_and(|table| catalog::is_known(&table)))
}

/// Names of the columns; `None` when a star stands for some.
fn column_names(body: &SetExpr) -> Option<Vec<String>> {
    match body {
        SetExpr::Select(select) => select
            .projection
            .iter()
            .enumerate()
            .map(|(at, item)| match item {
                SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
                SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(ident.value.clone()),
                SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => Some(parts.last()?.value.clone()),
                SelectItem::UnnamedExpr(_) => Some(format!("column {at}")),
                _ => None,
            })
            .collect(),
        SetExpr::Query(query) => column_names(&query.body),
        SetExpr::SetOperation { left, .. } => column_names(left),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(sql: &str) -> Query {
        *Parser::new(&PostgreSqlDialect {}).try_with_sql(sql).unwrap().parse_query().unwrap()
    }

    #[test]
    fn what_can_have_rows_is_left_alone() {
        for sql in [
            "SELECT inhparent FROM pg_catalog.pg_inherits",
            "SELECT c.relname FROM pg_class c, pg_inherits i WHERE c.oid = i.inhparent",
            "SELECT 1 FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid LEFT JOIN pg_am a ON true",
            "SELECT polname FROM pg_policy UNION SELECT tgname FROM pg_trigger ORDER BY 1",
            "SELECT prattrs, (SELECT string_agg(b, ',') FROM x) FROM pg_publication_rel",
            "SELECT k, count(*) FROM (SELECT tgname AS k FROM pg_trigger) AS t GROUP BY k",
        ] {
            let mut query = query(sql);
            empty(&mut query);
            assert!(query.to_string().ends_with("WHERE false"), "{query}");
        }
        for sql in [
            "SELECT relname FROM pg_class",
            "SELECT count(*) FROM pg_trigger",
            "SELECT * FROM pg_trigger",
            "SELECT c.relname FROM pg_class c LEFT JOIN pg_index i ON i.indrelid = c.oid",
            "SELECT tgname FROM pg_trigger UNION SELECT relname FROM pg_class",
            "SELECT tgname FROM pg_trigger FULL JOIN pg_class ON true",
            "SELECT id FROM other.pg_trigger",
        ] {
            let mut changed = query(sql);
            empty(&mut changed);
            assert_eq!(changed, query(sql));
        }
    }
}
