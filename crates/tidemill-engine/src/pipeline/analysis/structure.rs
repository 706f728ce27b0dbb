//! `struct(..)`: a struct of its arguments, which name its fields.

use super::expression::Resolver;
use super::scope::Entry;
use super::typed::Typed;
use crate::function::nested;
use crate::pipeline::expression::{Call, Expression};
use crate::pipeline::text::Spot;
use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use tidemill_core::{Error, Result};

impl Resolver<'_> {
    /// `struct(a, t.b, c AS d, e + 1)`: names are those of columns, fields and aliases, else `col` and a number.
    pub(super) fn structure(&mut self, call: &Call) -> Result<Typed> {
        let (mut names, mut values, mut shown) = (vec![], vec![], vec![]);
        for argument in &call.arguments {
            if let Expression::Star { qualifier, .. } = argument {
                for (name, value) in self.star(qualifier)? {
                    shown.push(if value.name == name { name.clone() } else { format!("{} AS {name}", value.name) });
                    names.push(name);
                    values.push(value);
                }
                continue;
            }
            let value = self.resolve(argument)?;
            let name = match argument {
                Expression::Column { name, .. } => name.last().cloned(),
                Expression::Field { field, .. } => Some(field.clone()),
                Expression::Alias { names, .. } => names.first().cloned(),
                _ if argument_is_column(&value) => Some(value.name.clone()),
                _ => None,
            };
            shown.push(match argument {
                Expression::Alias { input, names } => {
                    format!("{} AS {}", self.resolve(input)?.name, names.join(", "))
                }
                _ => value.name.clone(),
            });
            names.push(name.unwrap_or_else(|| format!("col{}", names.len() + 1)));
            values.push(value);
        }
        Ok(nested::structure(names, values).named(format!("struct({})", shown.join(", "))))
    }

    /// The columns of a table, or the fields of a struct, that `qualifier.*` stands for; all columns without one.
    fn star(&mut self, qualifier: &[String]) -> Result<Vec<(String, Typed)>> {
        let of_table = |entry: &&Entry| {
            let same = |name: &String| entry.qualifier.as_ref().is_some_and(|known| self.scope.same(known, name));
            !entry.hidden && qualifier.last().is_none_or(same)
        };
        let columns: Vec<Expression> = self
            .scope
            .entries()
            .iter()
            .filter(of_table)
            .map(|entry| Expression::column(entry.attribute.name.clone()))
            .collect();
        if !columns.is_empty() {
            return columns
                .iter()
                .map(|column| self.resolve(column).map(|typed| (typed.name.clone(), typed)))
                .collect();
        }
        let structure = Expression::Column { name: qualifier.to_vec(), at: Spot::default() };
        let typed = self.resolve(&structure)?;
        let DataType::Struct(fields) = &typed.data_type else {
            return Err(Error::invalid(format!("`{}` is no struct, so it has no .*", qualifier.join(".")))
                .class("CANNOT_RESOLVE_STAR_EXPAND"));
        };
        fields
            .iter()
            .map(|field| {
                let part = Expression::Field {
                    input: Box::new(structure.clone()),
                    field: field.name().clone(),
                    at: Spot::default(),
                };
                self.resolve(&part).map(|typed| (field.name().clone(), typed))
            })
            .collect()
    }
}

/// True for a value that is a column as it stands, such as what a grouping made of it.
fn argument_is_column(value: &Typed) -> bool {
    matches!(value.expr, Expr::Column(_)) && value.name != "namedlambdavariable()"
}
