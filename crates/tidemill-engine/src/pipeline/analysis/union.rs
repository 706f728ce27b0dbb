//! `UNION ALL`, by position or by name.

use super::typed::Typed;
use super::{Analyzer, Bound, coerce, refuse};
use crate::pipeline::plan::{Attribute, Node, Plan};
use crate::pipeline::text::Spot;
use datafusion::common::ScalarValue;
use tidemill_core::{Error, Result, types};

impl Analyzer<'_> {
    pub(super) fn union(&self, inputs: Vec<Bound>, by_name: bool, allow_missing: bool) -> Result<Bound> {
        let streaming = inputs.iter().any(|input| input.plan.streaming);
        if streaming && inputs.iter().any(|input| !input.plan.streaming) {
            return Err(refuse::unsupported(
                "a union of a stream and a table that is read once does not fit a stream",
                self.text,
                Spot::default(),
            ));
        }
        let names = self.union_names(&inputs, by_name, allow_missing);
        let mut columns: Vec<Vec<Typed>> = Vec::with_capacity(inputs.len());
        for input in &inputs {
            columns.push(match by_name {
                true => self.columns_by_name(input, &names, allow_missing)?,
                false => visible(input),
            });
        }
        let width = columns[0].len();
        if let Some(other) = columns.iter().find(|list| list.len() != width) {
            return Err(Error::invalid(format!(
                "a union needs as many columns on both sides, not {width} and {}",
                other.len()
            ))
            .class("NUM_COLUMNS_MISMATCH"));
        }
        let mut attributes = Vec::with_capacity(width);
        for position in 0..width {
            let of = coerce::common_of(columns.iter().map(|list| &list[position].data_type)).ok_or_else(|| {
                let kinds: Vec<String> = columns.iter().map(|list| types::name(&list[position].data_type)).collect();
                Error::invalid(format!("column {} of a union is of the types {}", position + 1, kinds.join(" and ")))
                    .class("INCOMPATIBLE_COLUMN_TYPE")
            })?;
            attributes.push(self.attribute(columns[0][position].name.clone(), of));
        }
        self.united(inputs, columns, attributes, streaming)
    }

    fn united(
        &self,
        inputs: Vec<Bound>,
        columns: Vec<Vec<Typed>>,
        mut attributes: Vec<Attribute>,
        streaming: bool,
    ) -> Result<Bound> {
        let context =
            crate::function::CallContext { name: "union", session: self.session, text: self.text, at: Spot::default() };
        let (mut plans, mut ids) = (Vec::new(), Vec::new());
        for (number, (input, list)) in inputs.into_iter().zip(columns).enumerate() {
            let cast = list
                .into_iter()
                .zip(&attributes)
                .map(|(typed, attribute)| crate::function::implicit_cast(typed, &attribute.data_type, &context));
            let projected = self.project(input, cast.collect::<Result<_>>()?)?;
            if number == 0 {
                for (attribute, first) in attributes.iter_mut().zip(&projected.plan.attributes) {
                    attribute.watermark = first.watermark;
                }
            }
            ids.push(projected.plan.attributes.iter().map(|attribute| attribute.id).collect());
            plans.push(projected.plan);
        }
        let scope = self.scope(&attributes, None);
        Ok(self.bound(Plan { node: Node::Union { inputs: plans, columns: ids }, attributes, streaming }, scope))
    }

    fn union_names(&self, inputs: &[Bound], by_name: bool, allow_missing: bool) -> Vec<String> {
        let mut names: Vec<String> = visible(&inputs[0]).into_iter().map(|typed| typed.name).collect();
        if by_name && allow_missing {
            for typed in inputs[1..].iter().flat_map(visible) {
                if !names.iter().any(|name| inputs[0].scope.same(name, &typed.name)) {
                    names.push(typed.name);
                }
            }
        }
        names
    }

    fn columns_by_name(&self, input: &Bound, names: &[String], allow_missing: bool) -> Result<Vec<Typed>> {
        let there = visible(input);
        if !allow_missing && there.len() != names.len() {
            return Err(Error::invalid(format!(
                "a union by name needs the same columns on both sides, not {} and {}",
                names.len(),
                there.len()
            ))
            .class("NUM_COLUMNS_MISMATCH"));
        }
        names
            .iter()
            .map(|name| match there.iter().find(|typed| input.scope.same(&typed.name, name)) {
                Some(typed) => Ok(typed.clone()),
                None if allow_missing => Ok(Typed::literal(ScalarValue::Null, name.clone())),
                None => Err(refuse::unknown_column(name, &input.scope, self.text, Spot::default())),
            })
            .collect()
    }
}

fn visible(input: &Bound) -> Vec<Typed> {
    input.scope.entries().iter().filter(|entry| !entry.hidden).map(super::relation::typed_entry).collect()
}
