//! Looks up and types one expression.

use super::groups::Groups;
use super::scope::Scope;
use super::typed::Typed;
use super::{Session, coerce, literal, operator, refuse};
use crate::function::{self, CallContext, conditional, nested};
use crate::operator::aggregate::{self, AggregateCall};
use crate::pipeline::expression::{BinaryOperator, Call, Expression};
use crate::pipeline::plan::Attribute;
use crate::pipeline::sql;
use crate::pipeline::text::{Spot, Text};
use arrow::datatypes::DataType;
use datafusion::logical_expr::{Cast, Expr};
use std::cell::Cell;
use tidemill_core::{Error, Result};

/// The aggregate calls met while the expressions above a grouping are resolved, each once.
#[derive(Debug, Default)]
pub struct Collected {
    /// The calls and the columns they become.
    pub aggregates: Vec<(AggregateCall, Attribute)>,
}

/// Gives attributes their numbers.
#[derive(Debug, Default)]
pub struct Numbers(Cell<u32>);

impl Numbers {
    /// A number no other attribute of the plan has.
    pub fn next(&self) -> u32 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }
}

/// Resolves expressions over one scope.
pub struct Resolver<'a> {
    /// The session.
    pub session: &'a Session,
    /// The columns in scope.
    pub scope: &'a Scope,
    /// The user's text, for places.
    pub text: &'a Text,
    /// Numbers for new attributes.
    pub numbers: &'a Numbers,
    /// Columns that stand for `window(..)` calls below: the call without its place, and the column.
    pub windows: &'a [(Call, Attribute)],
    /// Set above a grouping: what may be named there.
    pub groups: Option<&'a Groups>,
    /// Set where aggregate functions are allowed.
    pub collected: Option<&'a mut Collected>,
}

impl Resolver<'_> {
    /// Resolves one expression.
    ///
    /// # Errors
    /// An unknown name, types that do not fit, a function in a place where it cannot be.
    pub fn resolve(&mut self, expression: &Expression) -> Result<Typed> {
        if let Some(found) = self.group_key(expression)? {
            return Ok(found);
        }
        match expression {
            Expression::Column { name, at } => self.column(name, *at),
            Expression::Star { at, .. } => Err(Error::invalid("`*` cannot stand here")
                .class("INVALID_USAGE_OF_STAR_OR_REGEX")
                .at_if_unplaced(self.text.place(*at))),
            Expression::Literal { data_type, text, at } => literal::typed(data_type, text.as_deref(), self.session)
                .map_err(|error| error.at_if_unplaced(self.text.place(*at))),
            Expression::Call(call) => self.call(call),
            Expression::Binary { operator: op, left, right, at } => {
                let name = self.between(expression)?;
                let (left, right) = (self.resolve(left)?, self.resolve(right)?);
                let typed = operator::binary(*op, left, right, self.session, self.text, *at)?;
                Ok(match name {
                    Some(name) => typed.named(name),
                    None => typed,
                })
            }
            Expression::Cast { input, data_type, try_cast, at } => {
                let input = self.resolve(input)?;
                self.cast(input, data_type, *try_cast, *at)
            }
            Expression::Case { operand, branches, otherwise } => {
                self.case(operand.as_deref(), branches, otherwise.as_deref())
            }
            Expression::InList { input, list, negated } => {
                let at = expression.spot();
                let input = self.resolve(input)?;
                let list = self.resolve_all(list)?;
                conditional::in_list(input, list, *negated, &self.context("in", at))
            }
            Expression::Exists { .. } => {
                Err(self.misplaced("EXISTS anywhere but as a condition of WHERE joined by AND", expression))
            }
            Expression::Subquery { .. } => {
                Err(self.misplaced("a query as a value anywhere but in WHERE and in a list", expression))
            }
            Expression::InSubquery { .. } => {
                Err(self.misplaced("IN (SELECT ..) anywhere but as a condition of WHERE joined by AND", expression))
            }
            Expression::Alias { input, names } => match names.as_slice() {
                [name] => Ok(self.resolve(input)?.aliased(name)),
                _ => {
                    // a generator that is not there yet is refused by its own name
                    self.resolve(input)?;
                    Err(Error::invalid("several names for one column")
                        .class("MULTI_ALIAS_WITHOUT_GENERATOR")
                        .at_if_unplaced(self.text.place(input.spot())))
                }
            },
            Expression::Field { input, field, at } => self.field(input, field, *at),
            Expression::Index { input, index, at } => {
                let (input, index) = (self.resolve(input)?, self.resolve(index)?);
                nested::index(input, index, &self.context("[]", *at))
            }
            Expression::Lambda { .. } => Err(function::lambda::misplaced(&self.context("this", expression.spot()))),
            Expression::Over { function, .. } => {
                Err(Error::invalid("a function over a window of rows (OVER) does not fit a stream: rows never end")
                    .class("NON_TIME_WINDOW_NOT_SUPPORTED_IN_STREAMING")
                    .at_if_unplaced(self.text.place(function.spot()))
                    .help("group by window(..), or work on batch.toPandas() in foreachBatch"))
            }
            Expression::Sql { sql } => self.resolve(&sql::parse_expression(sql)?),
        }
    }

    fn field(&mut self, input: &Expression, field: &str, at: Spot) -> Result<Typed> {
        let input = self.resolve(input)?;
        let is_map = matches!(input.data_type, DataType::Map(..));
        let name = if is_map { format!("{}[{field}]", input.name) } else { format!("{}.{field}", input.name) };
        nested::field(input, field, self.scope, &self.context("field", at)).map(|typed| typed.named(name))
    }

    /// A query where none can stand yet.
    fn misplaced(&self, what: &str, expression: &Expression) -> Error {
        refuse::not_yet(what, self.text, expression.spot())
    }

    /// Resolves an item of a list or a key of a grouping: a cast of a column keeps the column's name, and a field
    /// of a struct has the field's.
    ///
    /// # Errors
    /// As [`Resolver::resolve`].
    pub fn resolve_item(&mut self, expression: &Expression) -> Result<Typed> {
        let typed = self.resolve(expression)?;
        let parsed = match expression {
            Expression::Sql { sql } => Some(sql::parse_expression(sql)?),
            _ => None,
        };
        let written = parsed.as_ref().unwrap_or(expression);
        if let Expression::Column { name, .. } = written
            && matches!(&typed.expr, Expr::ScalarFunction(_))
            && let Some(last) = name.last()
        {
            // a field of a struct has its own name
            return Ok(typed.named(last.clone()));
        }
        let Expression::Cast { input, .. } = written else { return Ok(typed) };
        let Expression::Column { name, at } = &**input else { return Ok(typed) };
        Ok(match self.scope.find(name, self.text, *at) {
            Ok((attribute, [])) => typed.named(attribute.name),
            _ => typed,
        })
    }

    /// Spark's name of `a BETWEEN b AND c`, which is written here as its two comparisons at one place.
    fn between(&mut self, expression: &Expression) -> Result<Option<String>> {
        let Expression::Binary { operator: BinaryOperator::And, left, right, at } = expression else { return Ok(None) };
        let (
            Expression::Binary { operator: BinaryOperator::GreaterOrEqual, left: tested, right: low, at: first },
            Expression::Binary { operator: BinaryOperator::LessOrEqual, left: again, right: high, at: second },
        ) = (&**left, &**right)
        else {
            return Ok(None);
        };
        if *at == Spot::default() || at != first || at != second || tested != again {
            return Ok(None);
        }
        let [tested, low, high] = [self.resolve(tested)?, self.resolve(low)?, self.resolve(high)?];
        Ok(Some(format!("between({}, {}, {})", tested.name, low.name, high.name)))
    }

    /// Resolves several.
    pub fn resolve_all(&mut self, list: &[Expression]) -> Result<Vec<Typed>> {
        list.iter().map(|expression| self.resolve(expression)).collect()
    }

    /// What a function needs to know of its call.
    pub fn context<'b>(&'b self, name: &'b str, at: Spot) -> CallContext<'b> {
        CallContext { name, session: self.session, text: self.text, at }
    }

    /// Above a grouping: the key this expression is, if it is one.
    fn group_key(&mut self, expression: &Expression) -> Result<Option<Typed>> {
        let Some(groups) = self.groups else { return Ok(None) };
        let mut below = Resolver {
            session: self.session,
            scope: self.scope,
            text: self.text,
            numbers: self.numbers,
            windows: self.windows,
            groups: None,
            collected: None,
        };
        if let Some(found) = groups.grouping_call(expression, &mut below) {
            return found.map(Some);
        }
        if matches!(expression, Expression::Alias { .. } | Expression::Literal { .. } | Expression::Star { .. })
            || aggregate::contains_aggregate(expression)
        {
            return Ok(None);
        }
        match below.resolve(expression) {
            Ok(typed) => Ok(groups.key(&typed)),
            Err(error) if matches!(expression, Expression::Column { .. }) => Err(error),
            Err(_) => Ok(None),
        }
    }

    fn column(&mut self, name: &[String], at: Spot) -> Result<Typed> {
        let (attribute, fields) = self.scope.find(name, self.text, at)?;
        let mut typed = Typed::new(attribute.reference(), attribute.data_type.clone(), attribute.name.clone());
        let is_variable = self.scope.variables().contains(&attribute);
        if is_variable {
            typed = typed.named("namedlambdavariable()");
        } else if let Some(groups) = self.groups {
            typed = groups.key(&typed).ok_or_else(|| {
                Error::invalid(format!("`{}` is neither grouped by nor inside an aggregate function", attribute.name))
                    .class("MISSING_AGGREGATION")
                    .at_if_unplaced(self.text.place(at))
                    .help("add it to GROUP BY, or wrap it in first() or another aggregate")
            })?;
        }
        if let [first, rest @ ..] = fields {
            let mut shown = format!("{}.{first}", if is_variable { "namedlambdavariable()" } else { &attribute.name });
            rest.iter().for_each(|field| shown += &format!(".{field}"));
            for field in fields {
                typed = nested::field(typed, field, self.scope, &self.context("field", at))?;
            }
            typed.name = shown;
        }
        Ok(typed)
    }

    fn cast(&mut self, input: Typed, data_type: &str, try_cast: bool, at: Spot) -> Result<Typed> {
        let to =
            tidemill_core::types::parse_type(data_type).map_err(|error| error.at_if_unplaced(self.text.place(at)))?;
        if input.data_type == to && matches!(to, DataType::Timestamp(..)) {
            // as in Spark, what was cast is no longer the column that the watermark is on
            let expr = Expr::Cast(Cast::new(Box::new(input.expr), to.clone()));
            return Ok(Typed { expr, ..input });
        }
        function::cast_to(input, &to, try_cast, &self.context("cast", at))
    }

    fn case(
        &mut self,
        operand: Option<&Expression>,
        branches: &[(Expression, Expression)],
        otherwise: Option<&Expression>,
    ) -> Result<Typed> {
        let at = branches.first().map(|(when, _)| when.spot()).unwrap_or_default();
        let operand = operand.map(|operand| self.resolve(operand)).transpose()?;
        let mut resolved = Vec::with_capacity(branches.len());
        for (when, then) in branches {
            let mut condition = self.resolve(when)?;
            if let Some(operand) = &operand {
                let equal = BinaryOperator::Equal;
                condition = operator::binary(equal, operand.clone(), condition, self.session, self.text, at)?;
            }
            resolved.push((condition, self.resolve(then)?));
        }
        let otherwise = otherwise.map(|otherwise| self.resolve(otherwise)).transpose()?;
        conditional::case(resolved, otherwise, &self.context("case", at))
    }

    fn call(&mut self, call: &Call) -> Result<Typed> {
        let name = call.name.to_lowercase();
        if function::is_window(&name) {
            return self.window(call, &name);
        }
        if let Some(entry) = aggregate::find(&name) {
            return self.aggregate(call, &name, entry);
        }
        if function::is_generator(&name) {
            return Err(Error::invalid(format!("{name} can only stand on its own in a select list"))
                .class("UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS")
                .at_if_unplaced(self.text.place(call.at)));
        }
        let (extra, place) = (call.distinct || call.filter.is_some(), call.at);
        if extra {
            return Err(Error::invalid(format!(
                "DISTINCT and FILTER belong to aggregate functions, and {name} is none"
            ))
            .class("INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX")
            .at_if_unplaced(self.text.place(place)));
        }
        if let Some(entry) = function::lambda::find(&name) {
            return function::lambda::build(entry, call, self);
        }
        function::expect_known(&name, &self.context(&name, call.at))?;
        if call.arguments.iter().any(|argument| matches!(argument, Expression::Lambda { .. })) {
            return Err(function::lambda::misplaced(&self.context(&name, call.at)));
        }
        if name == "struct" {
            return self.structure(call);
        }
        let arguments = self.resolve_all(&call.arguments)?;
        function::build(&name, arguments, &self.context(&name, call.at))
    }

    fn window(&mut self, call: &Call, name: &str) -> Result<Typed> {
        let plain = Call { at: Spot::default(), name: name.to_owned(), ..strip_places(call) };
        match self.windows.iter().find(|(known, _)| *known == plain) {
            Some((_, attribute)) => {
                let typed = Typed::new(attribute.reference(), attribute.data_type.clone(), attribute.name.clone());
                match self.groups {
                    Some(groups) => groups.key(&typed).ok_or_else(|| {
                        Error::invalid(format!("{name}(..) here is not the one in GROUP BY"))
                            .class("MISSING_AGGREGATION")
                            .at_if_unplaced(self.text.place(call.at))
                    }),
                    None => Ok(typed),
                }
            }
            None => Err(refuse::not_yet(&format!("{name}(..) in this place"), self.text, call.at)),
        }
    }

    fn aggregate(&mut self, call: &Call, name: &str, entry: &aggregate::Entry) -> Result<Typed> {
        if self.collected.is_none() {
            return Err(Error::invalid(format!("the aggregate function {name} cannot stand here"))
                .class("INVALID_WHERE_CONDITION")
                .at_if_unplaced(self.text.place(call.at))
                .help("aggregates belong in the select list, HAVING or ORDER BY of a grouped query"));
        }
        let mut below = Resolver {
            session: self.session,
            scope: self.scope,
            text: self.text,
            numbers: self.numbers,
            windows: self.windows,
            groups: None,
            collected: None,
        };
        let (built, shown) = aggregate::build(call, name, entry, &mut below)?;
        let numbers = self.numbers;
        let Some(collected) = self.collected.as_deref_mut() else {
            return Err(Error::bug("aggregates are not collected"));
        };
        let attribute = match collected.aggregates.iter().find(|(known, _)| *known == built) {
            Some((_, attribute)) => attribute.clone(),
            None => {
                let attribute = Attribute {
                    id: numbers.next(),
                    name: shown.clone(),
                    data_type: built.function.result_type(),
                    watermark: None,
                    window_part: None,
                };
                collected.aggregates.push((built, attribute.clone()));
                attribute
            }
        };
        Ok(Typed::new(attribute.reference(), attribute.data_type.clone(), shown))
    }
}

/// The call without any place in it, so that two calls written the same are equal.
pub fn strip_places(call: &Call) -> Call {
    Call {
        name: call.name.to_lowercase(),
        arguments: call.arguments.iter().map(strip).collect(),
        at: Spot::default(),
        ..call.clone()
    }
}

pub fn strip(expression: &Expression) -> Expression {
    let nowhere = Spot::default();
    match expression {
        Expression::Column { name, .. } => Expression::Column { name: name.clone(), at: nowhere },
        Expression::Literal { data_type, text, .. } => {
            Expression::Literal { data_type: data_type.clone(), text: text.clone(), at: nowhere }
        }
        Expression::Call(call) => Expression::Call(strip_places(call)),
        Expression::Binary { operator, left, right, .. } => {
            Expression::binary(*operator, strip(left), strip(right), nowhere)
        }
        Expression::Cast { input, data_type, try_cast, .. } => Expression::Cast {
            input: Box::new(strip(input)),
            data_type: data_type.clone(),
            try_cast: *try_cast,
            at: nowhere,
        },
        Expression::Field { input, field, .. } => {
            Expression::Field { input: Box::new(strip(input)), field: field.clone(), at: nowhere }
        }
        other => other.clone(),
    }
}

/// Checks that a typed expression is a condition; NULL and text literals become boolean.
pub fn condition(typed: Typed, what: &str, text: &Text, at: Spot) -> Result<Typed> {
    use arrow::datatypes::DataType;
    match &typed.data_type {
        DataType::Boolean => Ok(typed),
        DataType::Null => Ok(typed.widened(&DataType::Boolean)),
        other => Err(refuse::type_mismatch(
            "FILTER_NOT_BOOLEAN",
            format!("{what} is of type {}, not BOOLEAN", tidemill_core::types::name(other).to_uppercase()),
            text,
            at,
        )),
    }
}

/// The common type of several expressions, and each widened to it.
pub fn to_common(list: Vec<Typed>, context: &CallContext<'_>) -> Result<(Vec<Typed>, DataType)> {
    let common = coerce::common_of(list.iter().map(|typed| &typed.data_type)).ok_or_else(|| {
        let kinds: Vec<String> =
            list.iter().map(|typed| tidemill_core::types::name(&typed.data_type).to_uppercase()).collect();
        refuse::type_mismatch(
            "DATA_DIFF_TYPES",
            format!("{} takes values of one type, not {}", context.name, kinds.join(", ")),
            context.text,
            context.at,
        )
    })?;
    let widened =
        list.into_iter().map(|typed| function::implicit_cast(typed, &common, context)).collect::<Result<_>>()?;
    Ok((widened, common))
}
