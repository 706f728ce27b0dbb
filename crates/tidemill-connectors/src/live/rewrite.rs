//! Statements as Postgres has them, brought into the form that DataFusion plans. Trees go in and out; nothing here
//! reads rows.
//!
//! | in Postgres | here |
//! |---|---|
//! | `$1` | its literal (`parameters.rs`) |
//! | `pg_catalog.f(x)`, `a OPERATOR(pg_catalog.~) b`, `COLLATE ...` | `f(x)`, `a ~ b`, left out |
//! | `pg_class` | `pg_catalog.pg_class` |
//! | `'t'::regclass`, `oid::regclass`, `::regtype`, `::regnamespace` | the number, or the name, of the thing |
//! | `::name`, `::"char"`, `::oid` and others that are only Postgres's | text and integers |
//! | `x = ANY('{a,b}')`, `x <> ALL(...)` | `x IN (...)`, or `array_has` |
//! | a query over relations that are always empty (`vacuous.rs`) | no rows, NULL or false |
//! | two columns of a SELECT that are written alike | the second under another name |

use super::catalog::functions::class_number;
use super::catalog::names::{schema_number, type_number};
use super::catalog::{self, World};
use super::parameters::{array, elements};
use super::vacuous;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, Statement,
    TableFactor, Value, VisitMut as _, VisitorMut,
};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Why a statement cannot be rewritten: SQLSTATE and message.
pub(super) type Refused = (&'static str, String);

/// Rewrites `statement`, with `parameters` in the place of `$1` and so on (none: they stay).
///
/// # Errors
/// A parameter that was not given; a name after which there is nothing.
pub(super) fn rewrite(statement: &mut Statement, world: &World, parameters: Option<&[Expr]>) -> Result<(), Refused> {
    match statement.visit(&mut Rewriter { world, parameters }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(why) => Err(why),
    }
}

struct Rewriter<'a> {
    world: &'a World,
    parameters: Option<&'a [Expr]>,
}

impl VisitorMut for Rewriter<'_> {
    type Break = Refused;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Refused> {
        vacuous::empty(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Refused> {
        tell_apart(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<Refused> {
        if let [.., schema, table] = name.0.as_slice() {
            name.0 = vec![schema.clone(), table.clone()];
        } else if let Some(table) = last(name)
            && catalog::is_known(&table)
            && self.world.table(&table).is_none()
        {
            name.0.insert(0, ObjectNamePart::Identifier(Ident::new("pg_catalog")));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Refused> {
        // a function in FROM: DataFusion has them without a schema
        if let TableFactor::Table { name, args: Some(_), .. } = factor {
            name.0.drain(..name.0.len().saturating_sub(1));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Refused> {
        vacuous::value(expr);
        schemas_in_path(expr);
        if let Expr::Subquery(query) = expr {
            vacuous::one_row(query);
        }
        if let (Expr::Value(held), Some(parameters)) = (&*expr, self.parameters)
            && let Value::Placeholder(name) = &held.value
        {
            let at = name.trim_start_matches('$').parse::<usize>().ok().and_then(|at| at.checked_sub(1));
            match at.and_then(|at| parameters.get(at)) {
                Some(literal) => *expr = Expr::Nested(Box::new(literal.clone())),
                None => return ControlFlow::Break(("42P02", format!("there is no parameter {name}"))),
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Refused> {
        match self.changed(expr) {
            Ok(Some(changed)) => *expr = changed,
            Ok(None) => {}
            Err(why) => return ControlFlow::Break(why),
        }
        ControlFlow::Continue(())
    }
}

impl Rewriter<'_> {
    /// What stands in the place of `expr`, whose parts have been visited.
    fn changed(&self, expr: &mut Expr) -> Result<Option<Expr>, Refused> {
        Ok(match expr {
            Expr::Collate { expr, .. } => Some(expr.as_ref().clone()),
            Expr::Function(function) => {
                if let Some(name) = last(&function.name) {
                    function.name = ObjectName::from(Ident::new(name));
                }
                None
            }
            Expr::BinaryOp { op: op @ BinaryOperator::PGCustomBinaryOperator(_), .. } => {
                if let Some(known) = operator(op) {
                    *op = known;
                }
                None
            }
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                if let Some(escape) = escape_char.take().and_then(|escape| escape.value.into_string()) {
                    **pattern = escaped(pattern, &escape);
                }
                None
            }
            Expr::Cast { kind, expr, data_type, .. } => self.cast(kind, expr, data_type)?,
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => any(left, right, false),
            Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => any(left, right, true),
            _ => None,
        })
    }

    fn cast(&self, kind: &CastKind, expr: &Expr, data_type: &mut DataType) -> Result<Option<Expr>, Refused> {
        let to = match data_type {
            DataType::Regclass => "regclass".to_owned(),
            DataType::Custom(name, _) => last(name).unwrap_or_default(),
            DataType::Array(ArrayElemTypeDef::SquareBracket(item, _)) => {
                if let DataType::Custom(name, _) = item.as_ref() {
                    **item = builtin(&last(name).unwrap_or_default()).unwrap_or(DataType::Varchar(None));
                }
                let Some(text) = text_of(expr) else { return Ok(None) };
                let items = elements(&text).map_err(|why| ("22P02", why.to_string()))?;
                let item = |value: Option<String>| Expr::Cast {
                    kind: kind.clone(),
                    expr: Box::new(Expr::Value(value.map_or(Value::Null, Value::SingleQuotedString).into())),
                    data_type: item.as_ref().clone(),
                    array: false,
                    format: None,
                };
                return Ok(Some(array(items.into_iter().map(item).collect())));
            }
            _ => return Ok(None),
        };
        let named = text_of(expr);
        let number = |number: Option<u32>, what: &str, name: &str| match name
            .parse::<u32>()
            .ok()
            .or(number)
            .or(name.is_empty().then_some(0))
        {
            Some(number) => Ok(Some(Expr::Value(Value::Number(number.to_string(), false).into()))),
            None => Err(("42P01", format!("there is no {what} '{name}'"))),
        };
        match (to.as_str(), named) {
            ("regclass", Some(name)) => number(class_number(self.world, &name), "relation", &name),
            ("regtype", Some(name)) => number(type_number(&name), "type", &name),
            ("regnamespace", Some(name)) => number(schema_number(&name), "schema", &name),
            ("regclass", None) => Ok(Some(call("tidemill_class_name", vec![expr.clone()]))),
            ("regtype", None) => Ok(Some(call("tidemill_type_name", vec![expr.clone()]))),
            ("regnamespace", None) => Ok(Some(call("tidemill_schema_name", vec![expr.clone()]))),
            (other, _) => {
                if let Some(known) = builtin(other) {
                    *data_type = known;
                }
                Ok(None)
            }
        }
    }
}

/// The type of DataFusion for one that only Postgres has.
fn builtin(name: &str) -> Option<DataType> {
    Some(match name {
        "name" | "char" | "bpchar" | "citext" | "unknown" | "cstring" | "regproc" | "regprocedure" | "regoper"
        | "regrole" | "text" | "jsonb" | "inet" | "aclitem" | "int2vector" | "oidvector" | "pg_node_tree" => {
            DataType::Varchar(None)
        }
        "oid" | "xid" | "cid" => DataType::BigInt(None),
        "int2" => DataType::SmallInt(None),
        "int4" => DataType::Integer(None),
        "int8" => DataType::BigInt(None),
        "bool" => DataType::Boolean,
        "float8" => DataType::DoublePrecision,
        "float4" => DataType::Real,
        _ => return None,
    })
}

/// The last part of a name, as Postgres folds it.
pub(super) fn last(name: &ObjectName) -> Option<String> {
    let ident = name.0.last()?.as_ident()?;
    Some(if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() })
}

/// Membership in the search path, which dashboards take apart with `generate_series`: it is the one schema.
fn schemas_in_path(expr: &mut Expr) {
    if let Expr::InSubquery { expr: of, subquery, negated } = expr
        && subquery.to_string().contains("current_setting('search_path')")
    {
        let list = vec![Expr::Value(Value::SingleQuotedString(catalog::PUBLIC.into()).into())];
        *expr = Expr::InList { expr: of.clone(), list, negated: *negated };
    }
}

/// A pattern of LIKE whose escape is a backslash, the only one that DataFusion has.
fn escaped(pattern: &Expr, escape: &str) -> Expr {
    let text = |text: &str| Expr::Value(Value::SingleQuotedString(text.to_owned()).into());
    if escape == "\\" {
        return pattern.clone();
    }
    let doubled = call("replace", vec![pattern.clone(), text("\\"), text("\\\\")]);
    call("replace", vec![doubled, text(escape), text("\\")])
}

fn operator(op: &BinaryOperator) -> Option<BinaryOperator> {
    let BinaryOperator::PGCustomBinaryOperator(parts) = op else { return None };
    Some(match parts.last()?.as_str() {
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "||" => BinaryOperator::StringConcat,
        _ => return None,
    })
}

/// A text that is written out, in brackets or not.
fn text_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Nested(inner) => text_of(inner),
        Expr::Value(held) => match &held.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// `left = ANY(right)`, or `left <> ALL(right)` when `negated`, of an array. A subquery stays.
fn any(left: &Expr, right: &Expr, negated: bool) -> Option<Expr> {
    let mut right = right;
    while let Expr::Nested(inner) = right {
        right = inner;
    }
    let list = match right {
        Expr::Subquery(_) => return None,
        Expr::Array(array) => Some(array.elem.clone()),
        other => text_of(other).and_then(|text| elements(&text).ok()).map(|items| {
            let literal =
                |item: Option<String>| Expr::Value(item.map_or(Value::Null, Value::SingleQuotedString).into());
            items.into_iter().map(literal).collect()
        }),
    };
    Some(match list {
        Some(list) if list.is_empty() => Expr::Value(Value::Boolean(negated).into()),
        Some(list) => Expr::InList { expr: Box::new(left.clone()), list, negated },
        None => {
            let has = call("array_has", vec![right.clone(), left.clone()]);
            if negated {
                Expr::UnaryOp { op: datafusion::sql::sqlparser::ast::UnaryOperator::Not, expr: Box::new(has) }
            } else {
                has
            }
        }
    })
}

/// A call of a function.
pub(super) fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))).collect();
    Expr::Function(Function {
        name: ObjectName::from(Ident::new(name)),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// Gives columns that are written alike, or that a star may stand for as well, names of their own.
fn tell_apart(select: &mut Select) {
    let mut seen = HashSet::new();
    let has_star = select.projection.iter().any(is_star);
    for (at, item) in select.projection.iter_mut().enumerate() {
        if let SelectItem::UnnamedExpr(expr) = item {
            let is_column = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
            if !seen.insert(expr.to_string()) || (has_star && is_column) {
                let alias = Ident::with_quote('"', format!("{} {at}", shown_name(expr)));
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
    }
}

fn is_star(item: &SelectItem) -> bool {
    matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
}

/// Names of a statement's columns up to a star, as Postgres gives them; `None` for those that DataFusion names as well.
pub(super) fn shown_names(statement: &Statement) -> Vec<Option<String>> {
    let Statement::Query(query) = statement else { return vec![] };
    let mut body = query.body.as_ref();
    loop {
        use datafusion::sql::sqlparser::ast::SetExpr;
        match body {
            SetExpr::Query(inner) => body = inner.body.as_ref(),
            SetExpr::SetOperation { left, .. } => body = left.as_ref(),
            SetExpr::Select(select) => {
                return select
                    .projection
                    .iter()
                    .take_while(|item| !is_star(item))
                    .map(|item| match item {
                        SelectItem::UnnamedExpr(expr) => Some(shown_name(expr)),
                        _ => None,
                    })
                    .collect();
            }
            _ => return vec![],
        }
    }
}

/// The name Postgres gives a column. Source: PostgreSQL 15, parse_target.c, `FigureColname`.
fn shown_name(expr: &Expr) -> String {
    let folded =
        |ident: &Ident| if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() };
    match expr {
        Expr::Identifier(ident) => folded(ident),
        Expr::CompoundIdentifier(parts) => parts.last().map_or_else(String::new, folded),
        Expr::Function(function) => last(&function.name).unwrap_or_default(),
        Expr::Cast { expr, data_type, .. } => match shown_name(expr) {
            name if name == "?column?" => data_type.to_string().to_lowercase(),
            name => name,
        },
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => shown_name(inner),
        Expr::Case { .. } => "case".into(),
        Expr::Array(_) => "array".into(),
        Expr::Exists { .. } => "exists".into(),
        Expr::Extract { .. } => "extract".into(),
        Expr::Substring { .. } => "substring".into(),
        Expr::Trim { .. } => "btrim".into(),
        Expr::Ceil { .. } => "ceil".into(),
        Expr::Floor { .. } => "floor".into(),
        _ => "?column?".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn rewritten(sql: &str) -> String {
        let world = World { tables: vec![], user: "me".into() };
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        match rewrite(&mut statement, &world, None) {
            Ok(()) => statement.to_string(),
            Err((code, why)) => format!("{code} {why}"),
        }
    }

    #[test]
    fn what_only_postgres_has_is_gone() {
        for (given, expected) in [
            (
                "SELECT c.oid FROM pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(t)$' COLLATE pg_catalog.default \
                 AND pg_catalog.pg_table_is_visible(c.oid)",
                "SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relname ~ '^(t)$' AND pg_table_is_visible(c.oid)",
            ),
            ("SELECT a::pg_catalog.regtype::pg_catalog.text FROM x", "SELECT tidemill_type_name(a)::VARCHAR FROM x"),
            ("SELECT 'int4'::regtype::oid", "SELECT 23::BIGINT"),
            ("SELECT 1 FROM t WHERE k = ANY('{r,v}')", "SELECT 1 FROM t WHERE k IN ('r', 'v')"),
            ("SELECT 1 FROM t WHERE k = ANY(ARRAY['r', 'v'])", "SELECT 1 FROM t WHERE k IN ('r', 'v')"),
            ("SELECT 1 FROM t WHERE k = ANY('{}'::text[])", "SELECT 1 FROM t WHERE false"),
            ("SELECT 1 FROM t WHERE k <> ALL(b)", "SELECT 1 FROM t WHERE NOT array_has(b, k)"),
            (
                "SELECT 1 FROM t WHERE k LIKE 'a/_%' ESCAPE '/'",
                "SELECT 1 FROM t WHERE k LIKE replace(replace('a/_%', '\\', '\\\\'), '/', '\\')",
            ),
            (
                "SELECT (SELECT typname FROM pg_type WHERE oid = a) FROM x",
                "SELECT (SELECT first_value(typname) FROM pg_catalog.pg_type WHERE oid = a) FROM x",
            ),
            ("SELECT 'pg_catalog.pg_class'::regclass::oid", "SELECT 12000::BIGINT"),
            ("SELECT '', '' FROM db.public.t", "SELECT '', '' AS \"?column? 1\" FROM public.t"),
            ("SELECT a.x, a.* FROM a", "SELECT a.x AS \"x 0\", a.* FROM a"),
            ("SELECT 'nowhere'::regclass", "42P01 there is no relation 'nowhere'"),
        ] {
            assert_eq!(rewritten(given), expected);
        }
    }

    #[test]
    fn columns_have_the_names_of_postgres() {
        let sql = "SELECT a.B, count(*), 'x', lower(c)::text, CASE WHEN a THEN 1 END, version() AS v FROM a";
        let statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        let names: Vec<_> = shown_names(&statement).into_iter().map(Option::unwrap_or_default).collect();
        assert_eq!(names, ["b", "count", "?column?", "lower", "case", ""]);
    }
}
