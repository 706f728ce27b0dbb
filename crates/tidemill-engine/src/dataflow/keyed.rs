//! From plans that keep state to operators that do.

use super::lower::{Lowering, position};
use super::{KeyedInput, KeyedStep, Step, session};
use crate::function::nested;
use crate::operator::aggregate::AggregateCall;
use crate::operator::aggregate::keyed::{AggregateLayout, Aggregator, CallColumns, PaneBy};
use crate::operator::deduplicate::{Deduplicate, DeduplicateLayout, Expiry};
use crate::operator::exchange::Exchange;
use crate::operator::project::Project;
use crate::operator::window::WindowKind;
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::plan::{Attribute, Node, Plan, inner_schema, references};
use crate::pipeline::session::session_key;
use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use std::sync::Arc;
use tidemill_core::sink::OutputMode;
use tidemill_core::{Result, types};

/// The expressions an aggregate computes from its input's rows, and where each of them is.
struct AggregateColumns {
    list: Vec<Expr>,
    key_types: Vec<DataType>,
    pane: PaneBy,
    /// A function, the places of its arguments, and the place of its filter.
    calls: Vec<CallColumns>,
}

impl Lowering<'_, '_> {
    pub(super) fn aggregate(
        &mut self,
        plan: &Arc<Plan>,
        input: &Arc<Plan>,
        keys: &[u32],
        calls: &[AggregateCall],
    ) -> Result<usize> {
        if let Some(place) = session_key(input, keys) {
            return self.sessions(plan, input, keys, place, calls);
        }
        let window = window_key(input, keys, calls);
        let base = window.as_ref().map_or(input, |window| window.below);
        let event_key =
            keys.iter().filter_map(|key| plan.attribute(*key)).find(|attribute| attribute.watermark.is_some());
        let mut columns = aggregate_columns(base, keys, window.as_ref(), event_key, calls)?;
        let late = self.late_columns(plan, base, &mut columns.list)?;
        let layout = Arc::new(AggregateLayout {
            keys: columns.key_types.clone(),
            pane: columns.pane,
            evicts: event_key.is_some(),
            calls: columns.calls,
            mode: self.mode,
            global: keys.is_empty(),
            late,
            schema: inner_schema(&plan.attributes),
        });
        let wants_no_data = (event_key.is_some() && self.mode != OutputMode::Complete)
            || (plan.streaming && self.mode == OutputMode::Update);
        let prepare = Arc::new(prepared(&columns.list, base)?);
        let partitions = if columns.key_types.is_empty() { 1 } else { self.options.partitions };
        let operators = (0..partitions).map(|number| Ok(Box::new(Aggregator::new(layout.clone(), number == 0)?) as _));
        let step = KeyedStep {
            partitions: operators.collect::<Result<_>>()?,
            inputs: vec![KeyedInput {
                step: self.plan(base)?,
                prepare,
                exchange: Exchange::new(&columns.key_types, partitions)?,
            }],
            name: self.name("aggregate"),
            spark_name: "stateStoreSave",
            layout: describe_aggregate(&layout),
            wants_no_data,
            bounds: None,
        };
        Ok(self.push(Step::Keyed(step)))
    }

    pub(super) fn deduplicate(
        &mut self,
        plan: &Arc<Plan>,
        input: &Arc<Plan>,
        keys: &[u32],
        within_watermark: bool,
    ) -> Result<usize> {
        super::join::one_event_time(input)?;
        let keys =
            keys.iter().map(|key| Ok(input.attributes[position(input, *key)?].clone())).collect::<Result<Vec<_>>>()?;
        let normalized = |attribute: &Attribute| {
            let typed = Typed::new(attribute.reference(), attribute.data_type.clone(), "");
            crate::pipeline::analysis::operator::normalized(typed).expr
        };
        let mut list: Vec<Expr> = keys.iter().map(normalized).collect();
        let event = input.attributes.iter().find(|attribute| attribute.watermark.is_some());
        let time = match event {
            Some(attribute) => {
                list.push(end_of(attribute, input)?);
                Some(list.len() - 1)
            }
            None => None,
        };
        let expiry = match event {
            Some(attribute) if within_watermark => Expiry::After(attribute.watermark.unwrap_or(0)),
            Some(attribute) if keys.iter().any(|key| key.id == attribute.id) => Expiry::EventTime,
            _ => Expiry::Never,
        };
        let first_output = list.len();
        list.extend(input.attributes.iter().map(Attribute::reference));
        let outputs = list.len();
        let late = self.late_columns(plan, input, &mut list)?;
        let types: Vec<DataType> = keys.iter().map(|key| key.data_type.clone()).collect();
        let layout = Arc::new(DeduplicateLayout {
            keys: types.clone(),
            time,
            expiry,
            outputs: first_output..outputs,
            late,
            schema: inner_schema(&input.attributes),
        });
        let partitions = self.options.partitions;
        let operators = (0..partitions).map(|_| Ok(Box::new(Deduplicate::new(layout.clone())?) as _));
        let step = KeyedStep {
            partitions: operators.collect::<Result<_>>()?,
            inputs: vec![KeyedInput {
                step: self.plan(input)?,
                prepare: Arc::new(prepared(&list, input)?),
                exchange: Exchange::new(&types, partitions)?,
            }],
            name: self.name("deduplicate"),
            spark_name: if within_watermark { "dedupeWithinWatermark" } else { "dedupe" },
            layout: format!("deduplicate by [{}], {expiry:?}", type_names(&types)),
            // the event time itself may be gone
            wants_no_data: has_watermark(input),
            bounds: None,
        };
        Ok(self.push(Step::Keyed(step)))
    }
}

fn has_watermark(plan: &Plan) -> bool {
    matches!(plan.node, Node::Watermark { .. }) || plan.inputs().into_iter().any(|input| has_watermark(input))
}

/// A window that is a key and nothing else: it becomes the panes of the aggregate below it.
struct WindowKey<'a> {
    below: &'a Arc<Plan>,
    time: &'a Expr,
    kind: WindowKind,
    /// Its place among the keys.
    place: usize,
}

fn window_key<'a>(input: &'a Arc<Plan>, keys: &[u32], calls: &[AggregateCall]) -> Option<WindowKey<'a>> {
    let Node::Window { input: below, time, kind } = &input.node else { return None };
    let window = input.attributes.last()?.id;
    let mut read = calls.iter().flat_map(|call| call.arguments.iter().chain(&call.filter));
    if read.any(|expr| references(expr).contains(&window)) {
        return None;
    }
    let place = keys.iter().position(|key| *key == window)?;
    Some(WindowKey { below, time, kind: *kind, place })
}

fn aggregate_columns(
    base: &Arc<Plan>,
    keys: &[u32],
    window: Option<&WindowKey<'_>>,
    event_key: Option<&Attribute>,
    calls: &[AggregateCall],
) -> Result<AggregateColumns> {
    let (mut list, mut key_types): (Vec<Expr>, Vec<DataType>) = (Vec::new(), Vec::new());
    for (place, key) in keys.iter().enumerate() {
        if window.is_none_or(|window| place != window.place) {
            let attribute = &base.attributes[position(base, *key)?];
            list.push(attribute.reference());
            key_types.push(attribute.data_type.clone());
        }
    }
    let pane = match (window, event_key) {
        (Some(window), _) => {
            list.push(window.time.clone());
            PaneBy::Window { kind: window.kind, time: list.len() - 1, position: window.place }
        }
        (None, Some(attribute)) => {
            list.push(end_of(attribute, base)?);
            let column = list.len() - 1;
            let start =
                types::is_window(&attribute.data_type).then(|| session::bound(attribute, base, 0)).transpose()?;
            let start = start.map(|start| {
                list.push(start);
                list.len() - 1
            });
            PaneBy::Key { column, start }
        }
        (None, None) => PaneBy::Nothing,
    };
    let calls = place_calls(calls, &mut list);
    Ok(AggregateColumns { list, key_types, pane, calls })
}

/// Puts the arguments and filters of calls at the end of `list`.
pub(super) fn place_calls(calls: &[AggregateCall], list: &mut Vec<Expr>) -> Vec<CallColumns> {
    let mut placed = Vec::with_capacity(calls.len());
    for call in calls {
        let first = list.len();
        list.extend(call.arguments.iter().cloned());
        let arguments = (first..list.len()).collect();
        let filter = call.filter.as_ref().map(|filter| {
            list.push(filter.clone());
            list.len() - 1
        });
        placed.push((call.function.clone(), arguments, filter));
    }
    placed
}

/// What two checkpoints must agree on for their state to fit.
fn describe_aggregate(layout: &AggregateLayout) -> String {
    let functions: Vec<String> = layout.calls.iter().map(|(function, ..)| function.identity()).collect();
    let pane = match &layout.pane {
        PaneBy::Nothing => "none".to_owned(),
        PaneBy::Window { kind, .. } => kind.to_string(),
        PaneBy::Key { .. } => "key".to_owned(),
    };
    format!("aggregate by [{}] in {pane}, {}: {}", type_names(&layout.keys), layout.mode.word(), functions.join(", "))
}

pub(super) fn type_names(all: &[DataType]) -> String {
    all.iter().map(types::name).collect::<Vec<_>>().join(", ")
}

/// The columns of an operator's layout; their names do not matter.
pub(super) fn prepared(list: &[Expr], input: &Plan) -> Result<Project> {
    let schema = inner_schema(&input.attributes);
    let attributes = list.iter().enumerate().map(|(number, expr)| {
        let compiled = crate::operator::project::compile(expr, &input.attributes)?;
        let data_type = compiled.data_type(&schema).map_err(crate::errors::from_datafusion)?;
        Ok(Attribute { id: number as u32, name: "c".into(), data_type, watermark: None, window_part: None })
    });
    Project::new(list, &input.attributes, &attributes.collect::<Result<Vec<_>>>()?)
}

/// The instant that closes a group: the event time itself, or the end of its window.
pub(super) fn end_of(attribute: &Attribute, input: &Plan) -> Result<Expr> {
    let attribute = &input.attributes[position(input, attribute.id)?];
    if !types::is_window(&attribute.data_type) {
        return Ok(attribute.reference());
    }
    Ok(window_end(attribute.reference()))
}

/// The end of a window.
pub(super) fn window_end(window: Expr) -> Expr {
    crate::function::native::Native::call(
        "get_field",
        "window end",
        types::timestamp(),
        vec![window],
        |arguments, _| nested::take_field(arrow::array::AsArray::as_struct(&arguments[0]), 1),
    )
}
