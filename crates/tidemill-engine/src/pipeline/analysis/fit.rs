//! The rows of a query as those of the table they are written to.

use super::relation::typed_entry;
use super::typed::Typed;
use super::{Analyzer, Bound};
use crate::function::{CallContext, implicit_cast};
use crate::pipeline::plan::Plan;
use crate::pipeline::text::Spot;
use arrow::datatypes::DataType;
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

impl Analyzer<'_> {
    /// The plan with the columns of the table it is written to: by position, or by name when the
    /// statement names the columns; NULL for columns it does not name.
    ///
    /// # Errors
    /// A wrong number of columns, or a type that does not fit without loss of meaning.
    pub fn fit(&self, plan: Arc<Plan>, table: &arrow::datatypes::Schema, named: &[String]) -> Result<Arc<Plan>> {
        let expected = if named.is_empty() { table.fields().len() } else { named.len() };
        if plan.attributes.len() != expected {
            let class =
                if plan.attributes.len() > expected { "TOO_MANY_DATA_COLUMNS" } else { "NOT_ENOUGH_DATA_COLUMNS" };
            return Err(Error::invalid(format!(
                "the query has {} columns, the table takes {expected}",
                plan.attributes.len()
            ))
            .class(format!("INSERT_COLUMN_ARITY_MISMATCH.{class}")));
        }
        let scope = self.scope(&plan.attributes, None);
        let context = CallContext { name: "INSERT", session: self.session, text: self.text, at: Spot::default() };
        let mut list = Vec::with_capacity(table.fields().len());
        for (position, field) in table.fields().iter().enumerate() {
            let source = match named.is_empty() {
                true => Some(position),
                false => named.iter().position(|name| scope.same(name, field.name())),
            };
            let typed = match source {
                Some(source) => typed_entry(&scope.entries()[source]),
                None => Typed::literal(datafusion::common::ScalarValue::Null, ""),
            };
            let (from, to) = (typed.data_type.clone(), field.data_type());
            let fits = super::coerce::common(&from, to).as_ref() == Some(to)
                || (super::coerce::is_numeric(&from) && super::coerce::is_numeric(to))
                || (*to == DataType::Utf8 && !from.is_nested());
            if !fits {
                return Err(Error::invalid(format!(
                    "the column `{}` of the table is of type {}, the query gives {}",
                    field.name(),
                    types::name(to).to_uppercase(),
                    types::name(&from).to_uppercase()
                ))
                .class("INCOMPATIBLE_DATA_FOR_TABLE.CANNOT_SAFELY_CAST")
                .help("CAST the column in the query"));
            }
            list.push(implicit_cast(typed, to, &context)?.named(field.name()));
        }
        let bound = Bound { plan, scope, below: None };
        Ok(self.project(bound, list)?.plan)
    }
}
