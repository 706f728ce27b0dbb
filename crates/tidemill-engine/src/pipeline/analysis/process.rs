//! Arbitrary state by key, and functions of whole batches.

use super::expression::Resolver;
use super::refuse::UNSUPPORTED_STREAM;
use super::typed::Typed;
use super::{Analyzer, Bound};
use crate::operator::transform_with_state::contract::TimeMode;
use crate::pipeline::expression::Expression;
use crate::pipeline::plan::{Attribute, Node, Plan, ProcessSpec, attribute_id};
use crate::pipeline::relation::{Process, Relation};
use crate::pipeline::settings::parse_output_mode;
use datafusion::logical_expr::Expr;
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

/// Rows with what they are grouped by: the plan, the columns that are the key, the columns of the rows.
type KeyedRows = (Arc<Plan>, Vec<u32>, Vec<u32>);

impl Analyzer<'_> {
    pub(super) fn process(&self, process: &Process) -> Result<Bound> {
        let time_mode = TimeMode::parse(&process.time_mode)?;
        let mode = parse_output_mode(&process.mode).ok_or_else(|| {
            Error::invalid(format!("there is no output mode '{}'", process.mode))
                .class("STREAMING_OUTPUT_MODE.INVALID")
                .help("output modes: append, update, complete")
        })?;
        let (input, keys, rows) = self.keyed_rows(&process.input, &process.groups)?;
        let delay = rows.iter().filter_map(|id| input.attribute(*id)?.watermark).next();
        if process.timeouts && time_mode == TimeMode::EventTime && delay.is_none() && input.streaming {
            return Err(without_watermark(true));
        }
        let mut spec = ProcessSpec {
            keys,
            rows,
            initial_keys: vec![],
            initial_rows: vec![],
            name: process.shown.clone().unwrap_or_else(|| process.processor.clone()),
            factory: self.session.extensions.processor(&process.processor)?,
            mode,
            time_mode,
            timeouts: process.timeouts,
        };
        let initial = match &process.initial {
            Some(initial) => {
                let (plan, keys, rows) = self.keyed_rows(&initial.input, &initial.groups)?;
                check_initial(&plan, &keys, &input, &spec.keys)?;
                (spec.initial_keys, spec.initial_rows) = (keys, rows);
                Some(plan)
            }
            None => None,
        };
        let mut attributes = self.output(&process.output)?;
        if let Some(name) = &process.event_time {
            let names: Vec<String> = attributes.iter().map(|attribute| attribute.name.clone()).collect();
            let column = attributes.iter_mut().find(|attribute| attribute.name.eq_ignore_ascii_case(name));
            let column = column.ok_or_else(|| {
                Error::invalid(format!("the event-time column `{name}` is not among the columns that come out"))
                    .class("UNRESOLVED_COLUMN.WITH_SUGGESTION")
                    .help(format!("columns: {}", names.join(", ")))
            })?;
            if column.data_type != types::timestamp() && column.data_type != types::timestamp_ntz() {
                return Err(Error::invalid(format!(
                    "the event-time column `{name}` is {}, not TIMESTAMP",
                    types::name(&column.data_type).to_uppercase()
                ))
                .class("EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE"));
            }
            column.watermark = Some(delay.ok_or_else(|| without_watermark(false))?);
        }
        let streaming = input.streaming;
        let scope = self.scope(&attributes, None);
        let node = Node::Process { input, spec: Arc::new(spec), initial };
        Ok(self.bound(Plan { node, attributes, streaming }, scope))
    }

    pub(super) fn map_rows(&self, input: &Relation, function: &str, output: &str) -> Result<Bound> {
        let function = self.session.extensions.map(function)?;
        let bound = self.relation(input)?;
        let input = self.visible(bound)?.plan;
        let attributes = self.output(output)?;
        let (streaming, scope) = (input.streaming, self.scope(&attributes, None));
        let columns = input.attributes.iter().map(|attribute| attribute.id).collect();
        let node = Node::MapRows { input, function, columns };
        Ok(self.bound(Plan { node, attributes, streaming }, scope))
    }

    fn output(&self, ddl: &str) -> Result<Vec<Attribute>> {
        let schema = types::parse_schema(ddl)?;
        Ok(schema.fields().iter().map(|field| self.attribute(field.name(), field.data_type().clone())).collect())
    }

    /// The columns people see of a relation, and those it is grouped by; computed ones come last.
    fn keyed_rows(&self, relation: &Relation, groups: &[Expression]) -> Result<KeyedRows> {
        if groups.is_empty() {
            return Err(Error::invalid("state is kept by key: group by a column first").class(UNSUPPORTED_STREAM));
        }
        let bound = self.relation(relation)?;
        let bound = self.visible(bound)?;
        let rows: Vec<u32> = bound.plan.attributes.iter().map(|attribute| attribute.id).collect();
        let (bound, windows) = self.add_windows(bound, &groups.iter().collect::<Vec<_>>())?;
        let resolver = || Resolver { windows: &windows, ..self.resolver(&bound.scope) };
        let resolved = groups.iter().map(|group| resolver().resolve_item(group));
        let resolved = resolved.collect::<Result<Vec<Typed>>>()?;
        let own = |typed: &Typed| match &typed.expr {
            Expr::Column(column) => attribute_id(&column.name),
            _ => None,
        };
        let (plan, mut keys) = (bound.plan, Vec::with_capacity(groups.len()));
        let (mut list, mut attributes): (Vec<Expr>, Vec<Attribute>) =
            (plan.attributes.iter().map(Attribute::reference).collect(), plan.attributes.clone());
        for typed in &resolved {
            keys.push(match own(typed) {
                Some(id) => id,
                None => {
                    let attribute = self.attribute(typed.name.clone(), typed.data_type.clone());
                    list.push(typed.expr.clone());
                    attributes.push(attribute.clone());
                    attribute.id
                }
            });
        }
        if attributes.len() == plan.attributes.len() {
            return Ok((plan, keys, rows));
        }
        let streaming = plan.streaming;
        Ok((Arc::new(Plan { node: Node::Project { input: plan, list }, attributes, streaming }), keys, rows))
    }
}

fn without_watermark(timeouts: bool) -> Error {
    let what = if timeouts { "timeouts by event time" } else { "event-time columns that come out" };
    Error::invalid(format!("{what} need a watermark on the rows"))
        .class(if timeouts { UNSUPPORTED_STREAM } else { "CANNOT_ASSIGN_EVENT_TIME_COLUMN_WITHOUT_WATERMARK" })
        .help("declare it before the grouping: df.withWatermark(\"ts\", \"10 minutes\")")
}

/// The initial state does not stream, and its keys are of the types of the rows' keys.
fn check_initial(plan: &Plan, keys: &[u32], input: &Plan, input_keys: &[u32]) -> Result<()> {
    if plan.streaming {
        return Err(Error::invalid("the initial state cannot be a stream")
            .class(UNSUPPORTED_STREAM)
            .help("read it with session.read, or make it with createDataFrame"));
    }
    let types_of = |plan: &Plan, ids: &[u32]| -> Vec<String> {
        ids.iter().filter_map(|id| plan.attribute(*id)).map(|attribute| types::name(&attribute.data_type)).collect()
    };
    let (initial, rows) = (types_of(plan, keys), types_of(input, input_keys));
    if initial == rows {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the initial state is grouped by [{}], the rows by [{}]",
        initial.join(", ").to_uppercase(),
        rows.join(", ").to_uppercase()
    ))
    .class("STATE_STORE_KEY_SCHEMA_NOT_COMPATIBLE")
    .help("group both by columns of the same types, in the same order"))
}
