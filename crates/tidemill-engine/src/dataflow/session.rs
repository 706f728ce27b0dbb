//! From a grouping by sessions to its operator.

use super::keyed::{place_calls, prepared, type_names};
use super::lower::{Lowering, position};
use super::{KeyedInput, KeyedStep, Step};
use crate::function::native::Native;
use crate::function::nested;
use crate::operator::aggregate::AggregateCall;
use crate::operator::exchange::Exchange;
use crate::operator::session::{SessionAggregator, SessionLayout};
use crate::pipeline::plan::{Attribute, Node, Plan, inner_schema};
use arrow::array::AsArray;
use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use std::sync::Arc;
use tidemill_core::sink::OutputMode;
use tidemill_core::{Error, Result};

impl Lowering<'_, '_> {
    /// A grouping whose key number `place` is a session.
    pub(super) fn sessions(
        &mut self,
        plan: &Arc<Plan>,
        input: &Arc<Plan>,
        keys: &[u32],
        place: usize,
        calls: &[AggregateCall],
    ) -> Result<usize> {
        let attributes =
            keys.iter().map(|key| Ok(&input.attributes[position(input, *key)?])).collect::<Result<Vec<_>>>()?;
        let others = attributes.iter().enumerate().filter(|(number, _)| *number != place);
        let (mut list, key_types): (Vec<Expr>, Vec<_>) =
            others.map(|(_, attribute)| (attribute.reference(), attribute.data_type.clone())).unzip();
        let bounds = [list.len(), list.len() + 1];
        let session = attributes[place];
        list.extend([bound(session, input, 0)?, bound(session, input, 1)?]);
        let calls = place_calls(calls, &mut list);
        let late = self.late_columns(plan, input, &mut list)?;
        let layout = Arc::new(SessionLayout {
            keys: key_types.clone(),
            bounds,
            position: place,
            evicts: session.watermark.is_some(),
            calls,
            mode: self.mode,
            lacks_key: plan.streaming && others_are_constant(input, keys, place),
            late,
            schema: inner_schema(&plan.attributes),
        });
        let partitions = if key_types.is_empty() { 1 } else { self.options.partitions };
        let operators = (0..partitions).map(|_| Ok(Box::new(SessionAggregator::new(layout.clone())?) as _));
        let functions: Vec<String> = layout.calls.iter().map(|(function, ..)| function.identity()).collect();
        let step = KeyedStep {
            partitions: operators.collect::<Result<_>>()?,
            inputs: vec![KeyedInput {
                step: self.plan(input)?,
                prepare: Arc::new(prepared(&list, input)?),
                exchange: Exchange::new(&key_types, partitions)?,
            }],
            name: self.name("session"),
            spark_name: "sessionWindowStateStoreSaveExec",
            layout: format!("sessions by [{}], {}: {}", type_names(&key_types), self.mode.word(), functions.join(", ")),
            wants_no_data: session.watermark.is_some() && self.mode != OutputMode::Complete,
            bounds: None,
        };
        Ok(self.push(Step::Keyed(step)))
    }
}

/// True when every key beside the session is one value for all rows: such keys go before a query runs.
fn others_are_constant(input: &Plan, keys: &[u32], session: usize) -> bool {
    let constant = |key: &u32| match &input.node {
        Node::Project { list, .. } => {
            let position = input.attributes.iter().position(|attribute| attribute.id == *key);
            position.is_some_and(|position| matches!(list[position], Expr::Literal(..)))
        }
        _ => false,
    };
    keys.iter().enumerate().filter(|(place, _)| *place != session).all(|(_, key)| constant(key))
}

/// The start or the end of a window or session, which is a column of `input`.
pub(super) fn bound(window: &Attribute, input: &Plan, part: usize) -> Result<Expr> {
    let window = &input.attributes[position(input, window.id)?];
    let DataType::Struct(fields) = &window.data_type else { return Err(Error::bug("a window is a struct")) };
    let of = fields.get(part).ok_or_else(|| Error::bug("a window has a start and an end"))?.data_type().clone();
    let parameters = format!("window bound {part}");
    Ok(Native::call("get_field", parameters, of, vec![window.reference()], move |arguments, _| {
        nested::take_field(arguments[0].as_struct(), part)
    }))
}
