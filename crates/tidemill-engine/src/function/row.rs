//! Functions that are written for one row: the arguments of a row by position, a value back.

use super::CallContext;
use super::datum::{self, Datum};
use super::native::Native;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use tidemill_core::Result;

/// The arguments in one row. An argument is read as the type it has.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    columns: &'a [ArrayRef],
    row: usize,
}

impl<'a> Row<'a> {
    /// How many arguments there are.
    pub fn count(&self) -> usize {
        self.columns.len()
    }

    pub fn is_null(&self, index: usize) -> bool {
        self.columns[index].is_null(self.row)
    }

    pub fn text(&self, index: usize) -> &'a str {
        self.columns[index].as_string::<i32>().value(self.row)
    }

    pub fn text_if(&self, index: usize) -> Option<&'a str> {
        (!self.is_null(index)).then(|| self.text(index))
    }

    pub fn bytes(&self, index: usize) -> &'a [u8] {
        self.columns[index].as_binary::<i32>().value(self.row)
    }

    pub fn int(&self, index: usize) -> i32 {
        self.columns[index].as_primitive::<Int32Type>().value(self.row)
    }

    pub fn long(&self, index: usize) -> i64 {
        self.columns[index].as_primitive::<Int64Type>().value(self.row)
    }

    pub fn double(&self, index: usize) -> f64 {
        self.columns[index].as_primitive::<Float64Type>().value(self.row)
    }

    /// The column an argument is in, and the row.
    pub fn column(&self, index: usize) -> (&'a ArrayRef, usize) {
        (&self.columns[index], self.row)
    }
}

/// A call that is NULL where an argument is.
pub fn strict(
    context: &CallContext<'_>,
    result: DataType,
    arguments: Vec<Typed>,
    body: impl Fn(Row<'_>) -> Result<Datum> + Send + Sync + 'static,
) -> Typed {
    strict_with(context, "", result, arguments, body)
}

/// As [`strict`]; `parameters` says what the body captures.
pub fn strict_with(
    context: &CallContext<'_>,
    parameters: impl Into<String>,
    result: DataType,
    arguments: Vec<Typed>,
    body: impl Fn(Row<'_>) -> Result<Datum> + Send + Sync + 'static,
) -> Typed {
    call(context, parameters, result, arguments, move |row| {
        if (0..row.count()).any(|index| row.is_null(index)) { Ok(Datum::Null) } else { body(row) }
    })
}

/// A call whose body looks at NULLs itself. `parameters` says what the body captures.
pub fn call(
    context: &CallContext<'_>,
    parameters: impl Into<String>,
    result: DataType,
    arguments: Vec<Typed>,
    body: impl Fn(Row<'_>) -> Result<Datum> + Send + Sync + 'static,
) -> Typed {
    let of = result.clone();
    let list = arguments.into_iter().map(|argument| argument.expr).collect();
    let expr = Native::call(context.name, parameters, result.clone(), list, move |columns, rows| {
        let values = (0..rows).map(|row| body(Row { columns, row }));
        datum::column(&of, values.collect::<Result<Vec<_>>>()?)
    });
    Typed::new(expr, result, "")
}

impl From<String> for Datum {
    fn from(text: String) -> Self {
        Datum::Text(text)
    }
}

impl From<&str> for Datum {
    fn from(text: &str) -> Self {
        Datum::Text(text.to_owned())
    }
}

impl From<Vec<u8>> for Datum {
    fn from(bytes: Vec<u8>) -> Self {
        Datum::Bytes(bytes)
    }
}

impl From<bool> for Datum {
    fn from(value: bool) -> Self {
        Datum::Boolean(value)
    }
}

impl From<i32> for Datum {
    fn from(value: i32) -> Self {
        Datum::Whole(i128::from(value))
    }
}

impl From<i64> for Datum {
    fn from(value: i64) -> Self {
        Datum::Whole(i128::from(value))
    }
}

impl<T: Into<Datum>> From<Option<T>> for Datum {
    fn from(value: Option<T>) -> Self {
        value.map_or(Datum::Null, Into::into)
    }
}
