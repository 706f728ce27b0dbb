//! From plans of arbitrary state to operators.

use super::keyed::{end_of, prepared, type_names};
use super::lower::{Lowering, position};
use super::{KeyedInput, KeyedStep, Step};
use crate::operator::exchange::Exchange;
use crate::operator::transform_with_state::contract::{Declarations, ProcessorSchemas, TimeMode};
use crate::operator::transform_with_state::table::TableLayout;
use crate::operator::transform_with_state::{Process, ProcessLayout};
use crate::operator::{Keyed, take_rows};
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::plan::{Attribute, Plan, ProcessSpec, inner_schema, outer_schema};
use arrow::array::UInt32Array;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::Expr;
use std::sync::Arc;
use tidemill_core::Result;

fn normalized(attribute: &Attribute) -> Expr {
    let typed = Typed::new(attribute.reference(), attribute.data_type.clone(), "");
    crate::pipeline::analysis::operator::normalized(typed).expr
}

fn attributes_of(plan: &Plan, ids: &[u32]) -> Result<Vec<Attribute>> {
    ids.iter().map(|id| Ok(plan.attributes[position(plan, *id)?].clone())).collect()
}

fn schemas(
    plan: &Plan,
    keys: &[Attribute],
    rows: &[Attribute],
    initial: Option<&Arc<Plan>>,
    spec: &ProcessSpec,
) -> Result<ProcessorSchemas> {
    let initial = match initial {
        Some(initial) => Some(outer_schema(&attributes_of(initial, &spec.initial_rows)?)),
        None => None,
    };
    Ok(ProcessorSchemas {
        key: outer_schema(keys),
        input: outer_schema(rows),
        initial,
        output: outer_schema(&plan.attributes),
    })
}

impl Lowering<'_, '_> {
    pub(super) fn process(
        &mut self,
        plan: &Arc<Plan>,
        input: &Arc<Plan>,
        spec: &ProcessSpec,
        initial: Option<&Arc<Plan>>,
    ) -> Result<usize> {
        let (keys, rows) = (attributes_of(input, &spec.keys)?, attributes_of(input, &spec.rows)?);
        let key_types: Vec<DataType> = keys.iter().map(|key| key.data_type.clone()).collect();
        let mut list: Vec<Expr> = keys.iter().map(normalized).collect();
        // the timeouts of applyInPandasWithState leave late rows in unless they go by event time
        let drops_late = !spec.timeouts || spec.time_mode == TimeMode::EventTime;
        let event = rows.iter().find(|attribute| attribute.watermark.is_some()).filter(|_| drops_late);
        let time = match event {
            Some(attribute) => {
                list.push(end_of(attribute, input)?);
                Some(list.len() - 1)
            }
            None => None,
        };
        let first_row = list.len();
        list.extend(rows.iter().map(Attribute::reference));
        let row_range = first_row..list.len();
        let late = self.late_columns(plan, input, &mut list)?;
        let schemas = schemas(plan, &keys, &rows, initial, spec)?;
        let partitions = self.options.partitions;
        let exchange = Exchange::new(&key_types, partitions)?;
        let mut first_state = self.first_state(initial, spec, &exchange)?;
        let mut processors = Vec::with_capacity(partitions);
        let mut declared = Declarations::new(spec.time_mode);
        for _ in 0..partitions {
            declared = Declarations::new(spec.time_mode);
            processors.push(spec.factory.open(&schemas, &mut declared)?);
        }
        let layout = Arc::new(ProcessLayout {
            keys: key_types.clone(),
            time,
            rows: row_range,
            input: schemas.input,
            late,
            mode: spec.time_mode,
            strict: spec.timeouts,
            output: inner_schema(&plan.attributes),
            event_time: plan.attributes.iter().position(|attribute| attribute.watermark.is_some()),
            table: TableLayout::new(key_types.clone(), declared.variables),
            dropped: declared.dropped,
        });
        let operators = processors.into_iter().map(|processor| {
            let initial = if first_state.is_empty() { None } else { Some(first_state.remove(0)) };
            Ok(Box::new(Process::new(layout.clone(), processor, initial)?) as Box<dyn Keyed>)
        });
        let kind = if spec.timeouts { "timeouts" } else { "timers" };
        let step = KeyedStep {
            partitions: operators.collect::<Result<_>>()?,
            inputs: vec![KeyedInput { step: self.plan(input)?, prepare: Arc::new(prepared(&list, input)?), exchange }],
            name: self.name("process"),
            spark_name: if spec.timeouts { "applyInPandasWithState" } else { spec.factory.spark_name() },
            layout: format!("state by [{}], {kind} by {}", type_names(&key_types), spec.time_mode.word()),
            wants_no_data: spec.time_mode == TimeMode::EventTime,
            bounds: None,
        };
        Ok(self.push(Step::Keyed(step)))
    }

    /// The rows of the initial state by partition, keys first; nothing when there is none.
    fn first_state(
        &self,
        initial: Option<&Arc<Plan>>,
        spec: &ProcessSpec,
        exchange: &Exchange,
    ) -> Result<Vec<RecordBatch>> {
        let Some(plan) = initial else { return Ok(vec![]) };
        let (keys, rows) = (attributes_of(plan, &spec.initial_keys)?, attributes_of(plan, &spec.initial_rows)?);
        let whole = self.all_rows(plan)?;
        let mut list: Vec<Expr> = keys.iter().map(normalized).collect();
        list.extend(rows.iter().map(Attribute::reference));
        let prepared = crate::operator::Transform::apply(&prepared(&list, plan)?, whole)?;
        // what the processor sees are the rows under their own names
        let mut fields: Vec<_> = prepared.schema().fields()[..keys.len()].to_vec();
        fields.extend(outer_schema(&rows).fields().iter().cloned());
        let prepared =
            RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), prepared.columns().to_vec())?;
        let routes = exchange.route(&prepared.columns()[..keys.len()], prepared.num_rows())?;
        routes.into_iter().map(|places| take_rows(&prepared, &UInt32Array::from(places))).collect()
    }
}
