//! From a join of two streams to its operator.

use super::keyed::{end_of, prepared, type_names};
use super::lower::Lowering;
use super::{KeyedInput, KeyedStep, Step};
use crate::operator::exchange::Exchange;
use crate::operator::join::bounds::SideBound;
use crate::operator::join::{Join, JoinLayout, PairFilter, SideLayout};
use crate::operator::project::compile;
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::join_condition::{JoinCondition, event_time, state_bounds};
use crate::pipeline::plan::{Attribute, Plan, inner_schema, references};
use crate::pipeline::relation::JoinKind;
use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

/// One side before it is built: what its rows are prepared to, and where things are in that.
struct Side<'p> {
    plan: &'p Arc<Plan>,
    list: Vec<Expr>,
    late: Option<usize>,
    expiry: Option<usize>,
    passes: Option<usize>,
    first_row: usize,
}

impl Lowering<'_, '_> {
    pub(super) fn stream_join(
        &mut self,
        plan: &Arc<Plan>,
        sides: [&Arc<Plan>; 2],
        kind: JoinKind,
        on: &[Expr],
    ) -> Result<usize> {
        let [left, right] = sides;
        one_event_time(left)?;
        one_event_time(right)?;
        let condition = JoinCondition::new(on, left, right);
        if condition.keys.is_empty() {
            return Err(Error::invalid("a join of two streams without an equality of their columns")
                .class("_LEGACY_ERROR_TEMP_1181")
                .help("add one to the condition, for example: ON a.id = b.id AND .."));
        }
        let bounds = state_bounds(&condition, left, right);
        let event_key = condition.event_key(left, right);
        let left_keys = condition.keys.iter().map(|key| key.left.clone()).collect();
        let right_keys = condition.keys.iter().map(|key| key.right.clone()).collect();
        let built = [
            side(left, left_keys, event_key, &bounds.left, &condition.left_only)?,
            side(right, right_keys, event_key, &bounds.right, &condition.right_only)?,
        ];
        let key_types = built[0].list[..condition.keys.len()].iter().map(|key| type_of(key, left));
        let key_types: Vec<DataType> = key_types.collect::<Result<_>>()?;
        let layout = Arc::new(JoinLayout {
            keys: key_types.clone(),
            null_safe: condition.keys.iter().map(|key| key.null_safe).collect(),
            kind,
            sides: [built[0].layout(preserves(kind, 0)), built[1].layout(preserves(kind, 1))],
            bounds: bounds.clone(),
            filter: pair_filter(&condition.both, left, right)?,
            schema: inner_schema(&plan.attributes),
        });
        let partitions = self.options.partitions;
        let late = self.late_places(plan, sides)?;
        let operators = (0..partitions).map(|_| Ok(Box::new(Join::new(layout.clone())?.keep_late(late.clone())) as _));
        let mut inputs = Vec::with_capacity(2);
        // the right side first: reports name what is downstream first, then from left to right
        for side in built.iter().rev() {
            inputs.push(KeyedInput {
                step: self.plan(side.plan)?,
                prepare: Arc::new(prepared(&side.list, side.plan)?),
                exchange: Exchange::new(&key_types, partitions)?,
            });
        }
        inputs.reverse();
        let step = KeyedStep {
            inputs,
            partitions: operators.collect::<Result<_>>()?,
            name: self.name("join"),
            spark_name: "symmetricHashJoin",
            layout: described(kind, &key_types, sides),
            wants_no_data: bounds.is_bounded(),
            bounds: Some(bounds),
        };
        Ok(self.push(Step::Keyed(step)))
    }
}

/// True for a side whose rows come out also when they match nothing.
fn preserves(kind: JoinKind, side: usize) -> bool {
    match kind {
        JoinKind::FullOuter => true,
        JoinKind::LeftOuter => side == 0,
        JoinKind::RightOuter => side == 1,
        _ => false,
    }
}

/// What two checkpoints must agree on for their state to fit.
fn described(kind: JoinKind, keys: &[DataType], sides: [&Arc<Plan>; 2]) -> String {
    let [left, right] = sides.map(|side| {
        type_names(&side.attributes.iter().map(|attribute| attribute.data_type.clone()).collect::<Vec<_>>())
    });
    format!("{} join by [{}] of [{left}] and [{right}]", kind.spark_name(), type_names(keys))
}

impl Side<'_> {
    fn layout(&self, preserved: bool) -> SideLayout {
        SideLayout {
            late: self.late,
            expiry: self.expiry,
            passes: self.passes,
            first_row: self.first_row,
            schema: inner_schema(&self.plan.attributes),
            preserved,
        }
    }
}

pub(super) fn one_event_time(side: &Plan) -> Result<()> {
    let names = side.attributes.iter().filter(|attribute| attribute.watermark.is_some());
    let names: Vec<&str> = names.map(|attribute| attribute.name.as_str()).collect();
    if names.len() < 2 {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the input of a stateful operator has several event-time columns: {}",
        names.join(", ")
    ))
    .class("MULTIPLE_EVENT_TIME_COLUMNS")
    .help("leave all but one out of the SELECT below it, or CAST them"))
}

fn side<'p>(
    plan: &'p Arc<Plan>,
    keys: Vec<Expr>,
    event_key: Option<usize>,
    bound: &SideBound,
    only: &[Expr],
) -> Result<Side<'p>> {
    let mut list = keys;
    let mut place = |expr: Expr| {
        list.push(expr);
        list.len() - 1
    };
    let late = event_time(plan).map(|attribute| end_of(attribute, plan)).transpose()?.map(&mut place);
    let expiry = match (bound, event_key) {
        (SideBound::Watermark, Some(key)) => Some(key),
        (SideBound::Range(_), _) => late,
        _ => None,
    };
    let passes = only.iter().cloned().reduce(both).map(&mut place);
    let mut side = Side { plan, list, late, expiry, passes, first_row: 0 };
    if let (SideBound::Watermark, Some(key)) = (bound, expiry) {
        side.expiry = Some(side.end_of_key(key)?);
    }
    side.first_row = side.list.len();
    side.list.extend(plan.attributes.iter().map(Attribute::reference));
    Ok(side)
}

impl Side<'_> {
    /// The column of the instant that closes a key: the key itself, or the end of the window it is.
    fn end_of_key(&mut self, key: usize) -> Result<usize> {
        let of = type_of(&self.list[key], self.plan)?;
        if !types::is_window(&of) {
            return Ok(key);
        }
        self.list.push(super::keyed::window_end(self.list[key].clone()));
        Ok(self.list.len() - 1)
    }
}

fn type_of(expr: &Expr, side: &Plan) -> Result<DataType> {
    let compiled = compile(expr, &side.attributes)?;
    compiled.data_type(&inner_schema(&side.attributes)).map_err(crate::errors::from_datafusion)
}

fn both(left: Expr, right: Expr) -> Expr {
    let typed = |expr| Typed::new(expr, DataType::Boolean, "");
    crate::function::conditional::and_or(true, typed(left), typed(right)).expr
}

fn pair_filter(parts: &[Expr], left: &Plan, right: &Plan) -> Result<Option<PairFilter>> {
    let Some(condition) = parts.iter().cloned().reduce(both) else { return Ok(None) };
    let reads = references(&condition);
    let of = |side: &Plan| -> Vec<usize> {
        let all = side.attributes.iter().enumerate();
        all.filter(|(_, attribute)| reads.contains(&attribute.id)).map(|(position, _)| position).collect()
    };
    let columns = [of(left), of(right)];
    let attributes: Vec<Attribute> = columns[0]
        .iter()
        .map(|position| left.attributes[*position].clone())
        .chain(columns[1].iter().map(|position| right.attributes[*position].clone()))
        .collect();
    let (condition, schema) = (compile(&condition, &attributes)?, inner_schema(&attributes));
    Ok(Some(PairFilter { condition, columns, schema }))
}
