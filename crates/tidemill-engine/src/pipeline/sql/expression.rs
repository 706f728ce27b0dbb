//! Expressions of the parser's tree to ours.

use super::query::Converter;
use super::{literal, spot, tokens};
use crate::pipeline::expression::{BinaryOperator, Call, Expression, SortKey};
use crate::pipeline::text::Spot;
use datafusion::sql::sqlparser::ast::{self, AccessExpr, Expr, FunctionArg, FunctionArgExpr, Spanned, Subscript};
use tidemill_core::{Error, Result};

impl Converter<'_> {
    /// One expression.
    pub fn expression(&mut self, expr: Expr) -> Result<Expression> {
        let at = spot(expr.span());
        Ok(match expr {
            Expr::Identifier(name) => Expression::Column { at: spot(name.span), name: vec![name.value] },
            Expr::CompoundIdentifier(parts) => {
                Expression::Column { name: parts.into_iter().map(|part| part.value).collect(), at }
            }
            Expr::CompoundFieldAccess { root, access_chain } => self.access(*root, access_chain, at)?,
            Expr::Nested(inner) => self.expression(*inner)?,
            Expr::Value(value) => literal::value(value)?,
            Expr::TypedString(typed) => {
                let text = typed.value.value.into_string().unwrap_or_default();
                Expression::Literal { data_type: typed.data_type.to_string(), text: Some(text), at }
            }
            Expr::Interval(interval) => self.interval(interval, at)?,
            Expr::BinaryOp { left, op, right } => self.binary(*left, &op, *right, at)?,
            Expr::UnaryOp { op, expr } => self.unary(op, *expr, at)?,
            Expr::IsNull(inner) => self.named("isnull", vec![*inner], at)?,
            Expr::IsNotNull(inner) => self.named("isnotnull", vec![*inner], at)?,
            Expr::IsTrue(inner) => self.named("__istrue", vec![*inner], at)?,
            Expr::IsNotTrue(inner) => not(self.named("__istrue", vec![*inner], at)?, at),
            Expr::IsFalse(inner) => self.named("__isfalse", vec![*inner], at)?,
            Expr::IsNotFalse(inner) => not(self.named("__isfalse", vec![*inner], at)?, at),
            Expr::IsUnknown(inner) => self.named("isnull", vec![*inner], at)?,
            Expr::IsNotUnknown(inner) => self.named("isnotnull", vec![*inner], at)?,
            Expr::IsNotDistinctFrom(left, right) => self.operator(BinaryOperator::NullSafeEqual, *left, *right, at)?,
            Expr::IsDistinctFrom(left, right) => {
                not(self.operator(BinaryOperator::NullSafeEqual, *left, *right, at)?, at)
            }
            Expr::InList { expr, list, negated } => {
                Expression::InList { input: Box::new(self.expression(*expr)?), list: self.expressions(list)?, negated }
            }
            Expr::InSubquery { expr, subquery, negated } => Expression::InSubquery {
                input: Box::new(self.expression(*expr)?),
                query: Box::new(self.query(*subquery)?),
                negated,
            },
            Expr::Between { expr, negated, low, high } => self.between(*expr, negated, *low, *high, at)?,
            Expr::Like { negated, expr, pattern, escape_char, .. } => {
                self.like("like", negated, *expr, *pattern, escape_char, at)?
            }
            Expr::ILike { negated, expr, pattern, escape_char, .. } => {
                self.like("ilike", negated, *expr, *pattern, escape_char, at)?
            }
            Expr::RLike { negated, expr, pattern, .. } => self.like("rlike", negated, *expr, *pattern, None, at)?,
            Expr::Cast { kind, expr, data_type, .. } => Expression::Cast {
                input: Box::new(self.expression(*expr)?),
                data_type: type_name(&data_type),
                try_cast: matches!(kind, ast::CastKind::TryCast | ast::CastKind::SafeCast),
                at,
            },
            Expr::Case { operand, conditions, else_result, .. } => Expression::Case {
                operand: operand.map(|operand| self.expression(*operand).map(Box::new)).transpose()?,
                branches: conditions
                    .into_iter()
                    .map(|when| Ok((self.expression(when.condition)?, self.expression(when.result)?)))
                    .collect::<Result<_>>()?,
                otherwise: else_result.map(|otherwise| self.expression(*otherwise).map(Box::new)).transpose()?,
            },
            Expr::Lambda(lambda) => Expression::Lambda {
                parameters: lambda.params.iter().map(|parameter| parameter.name.value.clone()).collect(),
                body: Box::new(self.expression(*lambda.body)?),
            },
            Expr::Function(function) => self.function(function)?,
            Expr::Tuple(values) => self.named("struct", values, at)?,
            Expr::Wildcard(_) => Expression::Star { qualifier: vec![], except: vec![], at },
            Expr::Array(array) => self.named("array", array.elem, at)?,
            special => self.special_form(special, at)?,
        })
    }

    /// A list of expressions.
    pub fn expressions(&mut self, list: Vec<Expr>) -> Result<Vec<Expression>> {
        list.into_iter().map(|expr| self.expression(expr)).collect()
    }

    /// Functions that SQL gives a syntax of their own.
    fn special_form(&mut self, expr: Expr, at: Spot) -> Result<Expression> {
        match expr {
            Expr::Extract { field, expr, .. } => {
                let field = Expression::literal("string", field.to_string());
                let input = self.expression(*expr)?;
                Ok(Expression::call("extract", vec![field, input], at))
            }
            Expr::Position { expr, r#in } => self.named("locate", vec![*expr, *r#in], at),
            Expr::Substring { expr, substring_from, substring_for, shorthand, .. } => {
                let arguments = [Some(expr), substring_from, substring_for].into_iter().flatten().map(|part| *part);
                self.named(if shorthand { "substr" } else { "substring" }, arguments.collect(), at)
            }
            Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
                let name = match trim_where {
                    Some(ast::TrimWhereField::Leading) => "ltrim",
                    Some(ast::TrimWhereField::Trailing) => "rtrim",
                    _ => "trim",
                };
                let what = trim_what.map(|what| *what).or(trim_characters.and_then(|list| list.into_iter().next()));
                let mut arguments = Vec::with_capacity(2);
                arguments.extend(what.map(|what| self.expression(what)).transpose()?);
                arguments.push(self.expression(*expr)?);
                Ok(Expression::call(name, arguments, at))
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let arguments = [Some(expr), Some(overlay_what), Some(overlay_from), overlay_for];
                self.named("overlay", arguments.into_iter().flatten().map(|part| *part).collect(), at)
            }
            Expr::Ceil { expr, field: ast::CeilFloorKind::Scale(scale) } => {
                let scale = literal::value(scale)?;
                Ok(Expression::call("ceil", vec![self.expression(*expr)?, scale], at))
            }
            Expr::Floor { expr, field: ast::CeilFloorKind::Scale(scale) } => {
                let scale = literal::value(scale)?;
                Ok(Expression::call("floor", vec![self.expression(*expr)?, scale], at))
            }
            Expr::Ceil { expr, .. } => self.named("ceil", vec![*expr], at),
            Expr::Floor { expr, .. } => self.named("floor", vec![*expr], at),
            Expr::Exists { subquery, negated } => {
                Ok(Expression::Exists { query: Box::new(self.query(*subquery)?), negated, at })
            }
            Expr::Subquery(query) => Ok(Expression::Subquery { query: Box::new(self.query(*query)?), at }),
            other => Err(self.refuse(&format!("the expression `{other}` is not supported"), at)),
        }
    }

    fn named(&mut self, name: &str, arguments: Vec<Expr>, at: Spot) -> Result<Expression> {
        Ok(Expression::call(name, self.expressions(arguments)?, at))
    }

    fn operator(&mut self, operator: BinaryOperator, left: Expr, right: Expr, at: Spot) -> Result<Expression> {
        Ok(Expression::binary(operator, self.expression(left)?, self.expression(right)?, at))
    }

    fn binary(&mut self, left: Expr, op: &ast::BinaryOperator, right: Expr, at: Spot) -> Result<Expression> {
        let operator = match op {
            ast::BinaryOperator::Plus => BinaryOperator::Add,
            ast::BinaryOperator::Minus => BinaryOperator::Subtract,
            ast::BinaryOperator::Multiply => BinaryOperator::Multiply,
            ast::BinaryOperator::Divide => BinaryOperator::Divide,
            ast::BinaryOperator::MyIntegerDivide => BinaryOperator::IntegerDivide,
            ast::BinaryOperator::Modulo => BinaryOperator::Modulo,
            ast::BinaryOperator::Eq => BinaryOperator::Equal,
            ast::BinaryOperator::NotEq => BinaryOperator::NotEqual,
            ast::BinaryOperator::Spaceship => BinaryOperator::NullSafeEqual,
            ast::BinaryOperator::Lt => BinaryOperator::Less,
            ast::BinaryOperator::LtEq => BinaryOperator::LessOrEqual,
            ast::BinaryOperator::Gt => BinaryOperator::Greater,
            ast::BinaryOperator::GtEq => BinaryOperator::GreaterOrEqual,
            ast::BinaryOperator::And => BinaryOperator::And,
            ast::BinaryOperator::Or => BinaryOperator::Or,
            ast::BinaryOperator::BitwiseAnd => BinaryOperator::BitAnd,
            ast::BinaryOperator::BitwiseOr => BinaryOperator::BitOr,
            ast::BinaryOperator::BitwiseXor => BinaryOperator::BitXor,
            ast::BinaryOperator::PGBitwiseShiftLeft => BinaryOperator::ShiftLeft,
            ast::BinaryOperator::PGBitwiseShiftRight => BinaryOperator::ShiftRight,
            ast::BinaryOperator::Custom(symbol) if symbol == ">>>" => BinaryOperator::ShiftRightUnsigned,
            ast::BinaryOperator::StringConcat => BinaryOperator::Concat,
            other => return Err(self.refuse(&format!("the operator `{other}` is not Spark SQL"), at)),
        };
        self.operator(operator, left, right, at)
    }

    fn unary(&mut self, op: ast::UnaryOperator, expr: Expr, at: Spot) -> Result<Expression> {
        match op {
            ast::UnaryOperator::Not | ast::UnaryOperator::BangNot => self.named("not", vec![expr], at),
            ast::UnaryOperator::Plus => Ok(match self.expression(expr)? {
                literal @ Expression::Literal { .. } => literal,
                inner => Expression::call("positive", vec![inner], at),
            }),
            ast::UnaryOperator::BitwiseNot => self.named("bitwise_not", vec![expr], at),
            ast::UnaryOperator::Minus => Ok(match self.expression(expr)? {
                Expression::Literal { data_type, text: Some(text), at: spot }
                    if !matches!(data_type.as_str(), "string" | "interval") && !text.starts_with('-') =>
                {
                    negative_literal(&data_type, &text, spot)
                }
                inner => Expression::call("-", vec![inner], at),
            }),
            other => Err(self.refuse(&format!("the operator `{other}` is not Spark SQL"), at)),
        }
    }

    fn between(&mut self, expr: Expr, negated: bool, low: Expr, high: Expr, at: Spot) -> Result<Expression> {
        let above = self.operator(BinaryOperator::GreaterOrEqual, expr.clone(), low, at)?;
        let below = self.operator(BinaryOperator::LessOrEqual, expr, high, at)?;
        let both = Expression::binary(BinaryOperator::And, above, below, at);
        Ok(if negated { not(both, at) } else { both })
    }

    fn like(
        &mut self,
        name: &str,
        negated: bool,
        expr: Expr,
        pattern: Expr,
        escape: Option<ast::ValueWithSpan>,
        at: Spot,
    ) -> Result<Expression> {
        if let Expr::Function(list) = &pattern
            && let quantity @ ("__any" | "__all") = list.name.to_string().as_str()
        {
            let function = format!("__{}{name}{}", if negated { "not_" } else { "" }, &quantity[1..]);
            let Expression::Call(patterns) = self.expression(pattern)? else {
                return Err(self.refuse("a list of patterns is expected here", at));
            };
            if patterns.arguments.is_empty() {
                return Err(Error::invalid("the list of patterns is empty")
                    .class("INVALID_SQL_SYNTAX.EMPTY_QUANTIFIED_PATTERN"));
            }
            let arguments = std::iter::once(self.expression(expr)?).chain(patterns.arguments);
            return Ok(Expression::call(&function, arguments.collect(), at));
        }
        let mut arguments = vec![self.expression(expr)?, self.expression(pattern)?];
        arguments.extend(escape.map(literal::value).transpose()?);
        let like = Expression::call(name, arguments, at);
        Ok(if negated { not(like, at) } else { like })
    }

    fn interval(&mut self, interval: ast::Interval, at: Spot) -> Result<Expression> {
        match self.expression(*interval.value)? {
            Expression::Literal { text: Some(text), .. } => {
                Ok(Expression::Literal { data_type: "interval".into(), text: Some(text), at })
            }
            _ => Err(self.refuse("an interval literal has a number and a unit, such as INTERVAL 10 MINUTES", at)),
        }
    }

    fn access(&mut self, root: Expr, chain: Vec<AccessExpr>, at: Spot) -> Result<Expression> {
        let mut input = self.expression(root)?;
        for step in chain {
            input = match step {
                AccessExpr::Dot(Expr::Identifier(name)) => match input {
                    Expression::Column { name: mut parts, at } => {
                        parts.push(name.value);
                        Expression::Column { name: parts, at }
                    }
                    other => Expression::Field { input: Box::new(other), at: spot(name.span), field: name.value },
                },
                AccessExpr::Dot(Expr::Wildcard(_)) => Expression::call("__fields", vec![input], at),
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    let index = Box::new(self.expression(index)?);
                    Expression::Index { input: Box::new(input), index, at }
                }
                other => return Err(self.refuse(&format!("`{other}` is not supported here"), at)),
            };
        }
        Ok(input)
    }

    fn function(&mut self, function: ast::Function) -> Result<Expression> {
        let name = function.name.to_string().replace('`', "");
        let at = function.name.0.first().map(|part| spot(part.span())).unwrap_or_default();
        let (arguments, distinct, clauses) = match function.args {
            ast::FunctionArguments::None => (vec![], false, vec![]),
            ast::FunctionArguments::List(list) => {
                let distinct = list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct);
                (self.arguments(list.args, name.eq_ignore_ascii_case("struct"), at)?, distinct, list.clauses)
            }
            ast::FunctionArguments::Subquery(_) => return Err(self.refuse("a subquery cannot be an argument", at)),
        };
        if name == tokens::NUMBER {
            return match arguments.as_slice() {
                [
                    Expression::Literal { text: Some(digits), at, .. },
                    Expression::Literal { text: Some(suffix), .. },
                ] => literal::number(digits, suffix, *at),
                _ => Err(Error::bug("a number with a suffix was rewritten wrongly")),
            };
        }
        let (name, arguments) = with_unit(name, arguments);
        let in_arguments = clauses.into_iter().find_map(|clause| match clause {
            ast::FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => Some(treatment),
            _ => None,
        });
        let nulls = function.null_treatment.or(in_arguments);
        let call = Call {
            name,
            arguments,
            distinct,
            filter: function.filter.map(|filter| self.expression(*filter).map(Box::new)).transpose()?,
            ignore_nulls: nulls.map(|treatment| matches!(treatment, ast::NullTreatment::IgnoreNulls)),
            within_group: self.sort_keys(function.within_group)?,
            at,
        };
        match function.over {
            None => Ok(Expression::Call(call)),
            Some(ast::WindowType::WindowSpec(spec)) => Ok(Expression::Over {
                function: Box::new(Expression::Call(call)),
                partition_by: self.expressions(spec.partition_by)?,
                order_by: self.sort_keys(spec.order_by)?,
            }),
            Some(ast::WindowType::NamedWindow(_)) => Err(self.refuse("named windows are not supported", at)),
        }
    }

    /// The arguments of a call; those of `struct` keep their names.
    fn arguments(&mut self, arguments: Vec<FunctionArg>, names: bool, at: Spot) -> Result<Vec<Expression>> {
        let mut list = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let value = match argument {
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } if names => {
                    list.push(self.expression(value)?.alias(name.value));
                    continue;
                }
                FunctionArg::Unnamed(value) => value,
                FunctionArg::Named { arg, .. } | FunctionArg::ExprNamed { arg, .. } => arg,
            };
            list.push(match value {
                FunctionArgExpr::Expr(Expr::Named { expr, name }) => self.expression(*expr)?.alias(name.value),
                FunctionArgExpr::Expr(expr) => self.expression(expr)?,
                FunctionArgExpr::Wildcard | FunctionArgExpr::WildcardWithOptions(_) => {
                    Expression::Star { qualifier: vec![], except: vec![], at }
                }
                FunctionArgExpr::QualifiedWildcard(name) => Expression::Star {
                    qualifier: name.to_string().split('.').map(str::to_owned).collect(),
                    except: vec![],
                    at,
                },
            });
        }
        Ok(list)
    }

    /// The keys of an `ORDER BY`.
    pub fn sort_keys(&mut self, keys: Vec<ast::OrderByExpr>) -> Result<Vec<SortKey>> {
        keys.into_iter()
            .map(|key| {
                Ok(SortKey {
                    by: self.expression(key.expr)?,
                    descending: key.options.asc == Some(false),
                    nulls_first: key.options.nulls_first,
                })
            })
            .collect()
    }
}

/// `timestampadd(HOUR, 1, ts)`, `dateadd(HOUR, 1, ts)`: the unit is written as a name, and is text here.
fn with_unit(name: String, mut arguments: Vec<Expression>) -> (String, Vec<Expression>) {
    let plain = match name.to_ascii_lowercase().as_str() {
        "timestampadd" | "dateadd" | "date_add" => "timestampadd",
        "timestampdiff" | "timediff" | "datediff" | "date_diff" => "timestampdiff",
        _ => return (name, arguments),
    };
    let unit = match arguments.first() {
        Some(Expression::Column { name: parts, at }) if arguments.len() == 3 => match parts.as_slice() {
            [unit] if crate::function::datetime::units::is_unit(unit) => (unit.clone(), *at),
            _ => return (name, arguments),
        },
        _ => return (name, arguments),
    };
    arguments[0] = Expression::Literal { data_type: "string".into(), text: Some(unit.0), at: unit.1 };
    (plain.to_owned(), arguments)
}

/// The name of a type; one in angle brackets is one quoted word.
fn type_name(data_type: &ast::DataType) -> String {
    match data_type {
        ast::DataType::Custom(name, arguments) if arguments.is_empty() => super::query::name_parts(name).join("."),
        other => other.to_string(),
    }
}

fn not(inner: Expression, at: Spot) -> Expression {
    Expression::call("not", vec![inner], at)
}

/// `-2147483648` is an int although `2147483648` is not.
fn negative_literal(data_type: &str, text: &str, at: Spot) -> Expression {
    // only doubles and floats have a zero below zero
    let is_zero =
        !matches!(data_type, "double" | "float") && !text.contains(['1', '2', '3', '4', '5', '6', '7', '8', '9']);
    let text = if is_zero { text.to_owned() } else { format!("-{text}") };
    let data_type = match data_type {
        "bigint" if text.parse::<i32>().is_ok() && text == i32::MIN.to_string() => "int".to_owned(),
        "decimal(19,0)" if text.parse::<i64>().is_ok() => "bigint".to_owned(),
        other => other.to_owned(),
    };
    Expression::Literal { data_type, text: Some(text), at }
}
