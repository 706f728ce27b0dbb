//! The value of a query that stands for a value: at most one row.

use super::Entry;
use super::native::Native;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use tidemill_core::{Error, Kind};

/// `__only(number of rows, value)`: written by the analyzer, never by a user.
pub const ENTRIES: &[Entry] = &[Entry {
    names: &["__only"],
    arguments: (2, 2),
    build: |_, mut arguments| {
        let value = arguments.remove(1);
        let result = value.data_type.clone();
        let list = vec![arguments.remove(0).expr, value.expr];
        let expr = Native::call("__only", "", result.clone(), list, |arguments, _| {
            let rows = arguments[0].as_primitive::<Int64Type>();
            if rows.values().iter().any(|rows| *rows > 1) {
                return Err(Error::new(Kind::Data, "a query that stands for a value gives more than one row")
                    .class("SCALAR_SUBQUERY_TOO_MANY_ROWS")
                    .help("add LIMIT 1 or an aggregate to the query in parentheses"));
            }
            Ok(arguments[1].clone())
        });
        Ok(Typed::new(expr, result, value.name))
    },
}];
