//! An expression that has been looked up and typed.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Cast, Expr};

/// A typed expression and the name its column gets when the user gives none.
#[derive(Debug, Clone)]
pub struct Typed {
    /// The expression over inner columns.
    pub expr: Expr,
    /// Its type.
    pub data_type: DataType,
    /// The name Spark would give it.
    pub name: String,
    /// What it was called before the user gave it this name.
    pub alias_of: Option<String>,
}

impl Typed {
    /// A typed expression.
    pub fn new(expr: Expr, data_type: DataType, name: impl Into<String>) -> Self {
        Typed { expr, data_type, name: name.into(), alias_of: None }
    }

    /// A literal.
    pub fn literal(value: ScalarValue, name: impl Into<String>) -> Self {
        let data_type = value.data_type();
        Typed { expr: Expr::Literal(value, None), data_type, name: name.into(), alias_of: None }
    }

    /// The value, when it is a literal.
    pub fn as_literal(&self) -> Option<&ScalarValue> {
        match &self.expr {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        }
    }

    /// The text, when it is a string literal that is not NULL.
    pub fn as_text(&self) -> Option<&str> {
        match self.as_literal() {
            Some(ScalarValue::Utf8(Some(text))) => Some(text),
            _ => None,
        }
    }

    /// The same under another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self.alias_of = None;
        self
    }

    /// The same under a name the user gave it.
    #[must_use]
    pub fn aliased(mut self, name: &str) -> Self {
        let old = std::mem::replace(&mut self.name, name.to_owned());
        self.alias_of = Some(old);
        self
    }

    /// How it reads inside a larger expression: `v + 1 AS w`.
    pub fn shown(&self) -> String {
        match &self.alias_of {
            Some(old) if *old != self.name => format!("{old} AS {}", self.name),
            _ => self.name.clone(),
        }
    }

    /// A cast that cannot fail or lose anything, by the columnar library's kernel.
    #[must_use]
    pub fn widened(self, to: &DataType) -> Self {
        if self.data_type == *to {
            return self;
        }
        let expr = match self.expr {
            Expr::Literal(value, _) if value.cast_to(to).is_ok() => match value.cast_to(to) {
                Ok(value) => Expr::Literal(value, None),
                Err(_) => Expr::Literal(value, None),
            },
            expr => Expr::Cast(Cast::new(Box::new(expr), to.clone())),
        };
        Typed { expr, data_type: to.clone(), name: self.name, alias_of: self.alias_of }
    }
}
