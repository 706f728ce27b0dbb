//! Expressions as the user wrote them: names not yet looked up, types not yet known. SQL and the
//! DataFrame API both build these; analysis turns them into typed ones.

use super::relation::Relation;
use super::text::Spot;
use serde::{Deserialize, Serialize};

/// An expression as written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "node", rename_all = "snake_case")]
pub enum Expression {
    /// A name, possibly qualified or with fields: `a`, `t.a`, `window.start`.
    Column {
        name: Vec<String>,
        #[serde(default)]
        at: Spot,
    },
    /// `*`, `t.*`, `* EXCEPT (a)`.
    Star {
        #[serde(default)]
        qualifier: Vec<String>,
        #[serde(default)]
        except: Vec<String>,
        #[serde(default)]
        at: Spot,
    },
    /// A literal: its type in DDL and its text; no text is NULL. Binary text is hexadecimal, an
    /// `interval` is text such as `1 day 2 hours`.
    Literal {
        data_type: String,
        text: Option<String>,
        #[serde(default)]
        at: Spot,
    },
    /// A function call.
    Call(Call),
    /// An operator between two expressions.
    Binary {
        operator: BinaryOperator,
        left: Box<Expression>,
        right: Box<Expression>,
        #[serde(default)]
        at: Spot,
    },
    /// `CAST(input AS data_type)` or `TRY_CAST`.
    Cast {
        input: Box<Expression>,
        data_type: String,
        #[serde(default)]
        try_cast: bool,
        #[serde(default)]
        at: Spot,
    },
    /// `CASE [operand] WHEN .. THEN .. ELSE .. END`.
    Case {
        #[serde(default)]
        operand: Option<Box<Expression>>,
        branches: Vec<(Expression, Expression)>,
        #[serde(default)]
        otherwise: Option<Box<Expression>>,
    },
    /// `input [NOT] IN (list)`.
    InList {
        input: Box<Expression>,
        list: Vec<Expression>,
        #[serde(default)]
        negated: bool,
    },
    /// `input [NOT] IN (SELECT ..)`.
    InSubquery {
        input: Box<Expression>,
        query: Box<Relation>,
        #[serde(default)]
        negated: bool,
    },
    /// `[NOT] EXISTS (SELECT ..)`.
    Exists {
        query: Box<Relation>,
        #[serde(default)]
        negated: bool,
        #[serde(default)]
        at: Spot,
    },
    /// `(SELECT ..)` that stands for a value.
    Subquery {
        query: Box<Relation>,
        #[serde(default)]
        at: Spot,
    },
    /// A name for the result; several for a generator that gives several columns.
    Alias { input: Box<Expression>, names: Vec<String> },
    /// `input.field`.
    Field {
        input: Box<Expression>,
        field: String,
        #[serde(default)]
        at: Spot,
    },
    /// `input[index]`.
    Index {
        input: Box<Expression>,
        index: Box<Expression>,
        #[serde(default)]
        at: Spot,
    },
    /// `x -> body`, `(x, y) -> body`.
    Lambda { parameters: Vec<String>, body: Box<Expression> },
    /// A function over a non-time window, `rank() OVER (..)`. Streams refuse it.
    Over {
        function: Box<Expression>,
        #[serde(default)]
        partition_by: Vec<Expression>,
        #[serde(default)]
        order_by: Vec<SortKey>,
    },
    /// SQL text to be parsed (`F.expr`).
    Sql { sql: String },
}

/// A function call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Name of the function, in any case.
    pub name: String,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Vec<Expression>,
    /// `count(DISTINCT a)`.
    #[serde(default)]
    pub distinct: bool,
    /// `FILTER (WHERE ..)`.
    #[serde(default)]
    pub filter: Option<Box<Expression>>,
    /// `IGNORE NULLS` or `RESPECT NULLS`.
    #[serde(default)]
    pub ignore_nulls: Option<bool>,
    /// `WITHIN GROUP (ORDER BY ..)`.
    #[serde(default)]
    pub within_group: Vec<SortKey>,
    /// Where the name stands.
    #[serde(default)]
    pub at: Spot,
}

/// An operator between two expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BinaryOperator {
    Add,
    Subtract,
    Multiply,
    Divide,
    /// `div`: whole-number division.
    IntegerDivide,
    Modulo,
    Equal,
    NotEqual,
    /// `<=>`: NULL equals NULL.
    NullSafeEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
    /// `>>>`: zeros come in from the left.
    ShiftRightUnsigned,
    /// `||`.
    Concat,
}

impl BinaryOperator {
    /// How SQL writes it.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOperator::Add => "+",
            BinaryOperator::Subtract => "-",
            BinaryOperator::Multiply => "*",
            BinaryOperator::Divide => "/",
            BinaryOperator::IntegerDivide => "div",
            BinaryOperator::Modulo => "%",
            BinaryOperator::Equal => "=",
            BinaryOperator::NotEqual => "!=",
            BinaryOperator::NullSafeEqual => "<=>",
            BinaryOperator::Less => "<",
            BinaryOperator::LessOrEqual => "<=",
            BinaryOperator::Greater => ">",
            BinaryOperator::GreaterOrEqual => ">=",
            BinaryOperator::And => "AND",
            BinaryOperator::Or => "OR",
            BinaryOperator::BitAnd => "&",
            BinaryOperator::BitOr => "|",
            BinaryOperator::BitXor => "^",
            BinaryOperator::ShiftLeft => "<<",
            BinaryOperator::ShiftRight => ">>",
            BinaryOperator::ShiftRightUnsigned => ">>>",
            BinaryOperator::Concat => "||",
        }
    }
}

/// A key of `ORDER BY`. Without `nulls_first`, NULLs come first when ascending and last when descending.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SortKey {
    /// What to order by.
    pub by: Expression,
    /// True for descending order.
    #[serde(default)]
    pub descending: bool,
    /// Where NULLs go, when the user says.
    #[serde(default)]
    pub nulls_first: Option<bool>,
}

impl Expression {
    /// A plain column.
    pub fn column(name: impl Into<String>) -> Expression {
        Expression::Column { name: vec![name.into()], at: Spot::default() }
    }

    /// A call of `name`.
    pub fn call(name: &str, arguments: Vec<Expression>, at: Spot) -> Expression {
        Expression::Call(Call {
            name: name.to_owned(),
            arguments,
            distinct: false,
            filter: None,
            ignore_nulls: None,
            within_group: vec![],
            at,
        })
    }

    /// A literal of the type `data_type`.
    pub fn literal(data_type: &str, text: impl Into<String>) -> Expression {
        Expression::Literal { data_type: data_type.to_owned(), text: Some(text.into()), at: Spot::default() }
    }

    /// The expression under a name.
    #[must_use]
    pub fn alias(self, name: impl Into<String>) -> Expression {
        Expression::Alias { input: Box::new(self), names: vec![name.into()] }
    }

    /// An operator between two expressions.
    pub fn binary(operator: BinaryOperator, left: Expression, right: Expression, at: Spot) -> Expression {
        Expression::Binary { operator, left: Box::new(left), right: Box::new(right), at }
    }

    /// Where it stands: the spot of the expression itself, or the first one inside it.
    pub fn spot(&self) -> Spot {
        match self {
            Expression::Column { at, .. }
            | Expression::Star { at, .. }
            | Expression::Literal { at, .. }
            | Expression::Binary { at, .. }
            | Expression::Cast { at, .. }
            | Expression::Field { at, .. }
            | Expression::Index { at, .. }
            | Expression::Exists { at, .. }
            | Expression::Subquery { at, .. }
                if !at.is_nowhere() =>
            {
                *at
            }
            Expression::Call(call) if !call.at.is_nowhere() => call.at,
            other => other.children().into_iter().map(Expression::spot).find(|at| !at.is_nowhere()).unwrap_or_default(),
        }
    }

    /// The expressions directly inside this one. Subqueries are not expressions.
    pub fn children(&self) -> Vec<&Expression> {
        match self {
            Expression::Column { .. }
            | Expression::Star { .. }
            | Expression::Literal { .. }
            | Expression::Exists { .. }
            | Expression::Subquery { .. }
            | Expression::Sql { .. } => vec![],
            Expression::Call(call) => {
                let filter = call.filter.as_deref();
                call.arguments.iter().chain(filter).chain(call.within_group.iter().map(|key| &key.by)).collect()
            }
            Expression::Binary { left, right, .. } => vec![left, right],
            Expression::Cast { input, .. }
            | Expression::Alias { input, .. }
            | Expression::Field { input, .. }
            | Expression::InSubquery { input, .. } => vec![input],
            Expression::Index { input, index, .. } => vec![input, index],
            Expression::Case { operand, branches, otherwise } => operand
                .as_deref()
                .into_iter()
                .chain(branches.iter().flat_map(|(when, then)| [when, then]))
                .chain(otherwise.as_deref())
                .collect(),
            Expression::InList { input, list, .. } => std::iter::once(&**input).chain(list).collect(),
            Expression::Lambda { body, .. } => vec![body],
            Expression::Over { function, partition_by, order_by } => {
                std::iter::once(&**function).chain(partition_by).chain(order_by.iter().map(|key| &key.by)).collect()
            }
        }
    }

    /// The expression with `change` applied to every expression directly inside it; keys of an order,
    /// `FILTER` and subqueries stay.
    #[must_use]
    pub fn map_children(&self, change: &dyn Fn(&Expression) -> Expression) -> Expression {
        let boxed = |inner: &Expression| Box::new(change(inner));
        let mut changed = self.clone();
        match &mut changed {
            Expression::Call(call) => call.arguments.iter_mut().for_each(|inner| *inner = change(inner)),
            Expression::Binary { left, right, .. } => (*left, *right) = (boxed(left), boxed(right)),
            Expression::Cast { input, .. } | Expression::Alias { input, .. } | Expression::Field { input, .. } => {
                *input = boxed(input);
            }
            Expression::Index { input, index, .. } => (*input, *index) = (boxed(input), boxed(index)),
            Expression::Case { operand, branches, otherwise } => {
                *operand = operand.as_deref().map(boxed);
                branches.iter_mut().for_each(|(when, then)| (*when, *then) = (change(when), change(then)));
                *otherwise = otherwise.as_deref().map(boxed);
            }
            Expression::InList { input, list, .. } => {
                *input = boxed(input);
                list.iter_mut().for_each(|inner| *inner = change(inner));
            }
            _ => {}
        }
        changed
    }
}
