//! From checked plans to operators.

use super::{Dataflow, KeyedInput, KeyedStep, Part, Refresh, SourceColumns, Step};
use crate::operator::Transform;
use crate::operator::enrich::{Enrich, EnrichSpec};
use crate::operator::exchange::Exchange;
use crate::operator::expand::Expand;
use crate::operator::explode::Explode;
use crate::operator::limit::Limit;
use crate::operator::map_rows::MapRows;
use crate::operator::project::{Filter, Project};
use crate::operator::session_rows::SessionRows;
use crate::operator::sort::Sort;
use crate::operator::watermark::{Observed, Watch};
use crate::operator::window_rows::WindowRows;
use crate::pipeline::plan::{Attribute, Node, Plan, inner_schema, outer_schema};
use crate::pipeline::relation::JoinKind;
use crate::watermark::{WatermarkNode, WatermarkTracker};
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::Expr;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tidemill_core::sink::OutputMode;
use tidemill_core::{Error, Result, types};

/// Gives all rows of a table that is read once, by name and wanted columns.
pub type StaticTables<'a> = &'a dyn Fn(&str, &[usize], &[Attribute]) -> Result<RecordBatch>;

/// What lowering needs beside the plans.
pub struct LowerOptions<'a> {
    /// State partitions.
    pub partitions: usize,
    /// Watermark policy `max`.
    pub use_max: bool,
    /// How far ahead of the clock a row may be and still raise the watermark, in microseconds.
    pub max_future_skew: Option<i64>,
    /// How long tables may bring nothing and still hold the watermark back, in microseconds.
    pub idle_after: &'a BTreeMap<String, i64>,
    /// Tables that are read once.
    pub tables: StaticTables<'a>,
}

impl<'a> LowerOptions<'a> {
    /// Options for plans that only read tables.
    pub fn of_tables(tables: StaticTables<'a>) -> Self {
        const NONE: &BTreeMap<String, i64> = &BTreeMap::new();
        LowerOptions { partitions: 1, use_max: false, max_future_skew: None, idle_after: NONE, tables }
    }
}

/// Operators for plans and their output modes. The plans are pruned.
///
/// # Errors
/// A bug, or an expression that fails on a row of a table that is read once.
pub fn lower(roots: &[(Arc<Plan>, OutputMode)], options: &LowerOptions<'_>) -> Result<Dataflow> {
    let mut flow = Dataflow { sources: vec![], parts: vec![], outputs: roots.len(), refreshes: vec![] };
    let mut classes: Vec<(BTreeSet<usize>, OutputMode, Vec<usize>)> = Vec::new();
    let late_of: Vec<Option<Arc<Plan>>> = roots.iter().map(|(plan, _)| dropping(plan)).collect();
    for (number, (plan, mode)) in roots.iter().enumerate().filter(|(number, _)| late_of[*number].is_none()) {
        let nodes = watermark_nodes(plan);
        match classes.iter_mut().find(|(known, known_mode, _)| *known == nodes && known_mode == mode) {
            Some((_, _, members)) => members.push(number),
            None => classes.push((nodes, *mode, vec![number])),
        }
    }
    // late rows come from the operators of the output that drops them
    for (number, of) in late_of.iter().enumerate().filter_map(|(number, of)| Some((number, of.as_ref()?))) {
        let holds = |member: &usize| roots[*member].0.walk().iter().any(|plan| Arc::ptr_eq(plan, of));
        let class = classes.iter_mut().find(|(.., members)| members.iter().any(holds));
        class.ok_or_else(|| Error::bug("late rows of an operator that is not there"))?.2.push(number);
    }
    for (_, mode, members) in classes {
        let mut lowering = Lowering {
            options,
            sources: &mut flow.sources,
            refreshes: &mut flow.refreshes,
            mode,
            steps: vec![],
            done: HashMap::new(),
            watermarks: vec![],
            names: HashMap::new(),
            late: late_columns(roots),
            origins: vec![],
        };
        let mut outputs = Vec::with_capacity(members.len());
        for number in members {
            outputs.push((lowering.plan(&roots[number].0)?, number));
        }
        let nodes = lowering.watermarks.into_iter().map(|(_, node)| node);
        let watermark =
            WatermarkTracker::new(nodes.collect(), options.use_max).with_max_future_skew(options.max_future_skew);
        let (steps, outputs) = fused(lowering.steps, outputs);
        flow.parts.push(Part { mode, steps, outputs, sets_aside: false, watermark, origins: lowering.origins });
    }
    Ok(flow)
}

/// Steps with every map that is the only reader of a source or map joined to it, so that a batch goes
/// through the whole chain while it is in the processor's cache.
fn fused(steps: Vec<Step>, outputs: Vec<(usize, usize)>) -> (Vec<Step>, Vec<(usize, usize)>) {
    let mut readers = vec![0; steps.len()];
    for step in &steps {
        step.inputs().into_iter().for_each(|input| readers[input] += 1);
    }
    outputs.iter().for_each(|(step, _)| readers[*step] += 1);
    let mut fused: Vec<Step> = Vec::with_capacity(steps.len());
    let mut place: Vec<usize> = Vec::with_capacity(steps.len());
    for mut step in steps {
        step.rename_inputs(&place);
        if let Step::Map { input, chain } = &mut step {
            let input = *input;
            // of the steps already joined there, the last one is what this map reads
            let alone = place.iter().rposition(|at| *at == input).is_some_and(|original| readers[original] == 1);
            if let (true, Step::Source { chain: earlier, .. } | Step::Map { chain: earlier, .. }) =
                (alone, &mut fused[input])
            {
                earlier.append(chain);
                place.push(input);
                continue;
            }
        }
        fused.push(step);
        place.push(fused.len() - 1);
    }
    let outputs = outputs.into_iter().map(|(step, number)| (place[step], number)).collect();
    (fused, outputs)
}

/// The plan whose late rows this one has, if it has any.
fn dropping(plan: &Arc<Plan>) -> Option<Arc<Plan>> {
    plan.walk().into_iter().find_map(|plan| match &plan.node {
        Node::Late { of, .. } => Some(of.clone()),
        _ => None,
    })
}

fn late_columns(roots: &[(Arc<Plan>, OutputMode)]) -> HashMap<usize, Vec<u32>> {
    let kept = roots.iter().flat_map(|(plan, _)| plan.walk()).filter_map(|plan| match &plan.node {
        Node::Late { of, columns } => Some((Arc::as_ptr(of) as usize, columns.clone())),
        _ => None,
    });
    kept.collect()
}

fn watermark_nodes(plan: &Arc<Plan>) -> BTreeSet<usize> {
    let nodes = plan.walk().into_iter().filter(|plan| matches!(plan.node, Node::Watermark { .. }));
    nodes.map(|plan| Arc::as_ptr(&plan) as usize).collect()
}

/// The lowering of one part.
pub(super) struct Lowering<'a, 'b> {
    pub(super) options: &'a LowerOptions<'b>,
    sources: &'a mut Vec<SourceColumns>,
    refreshes: &'a mut Vec<Refresh>,
    pub(super) mode: OutputMode,
    steps: Vec<Step>,
    /// Steps of plans already lowered, by the plan's place in memory.
    done: HashMap<usize, usize>,
    /// The watermarks by number.
    watermarks: Vec<(u32, WatermarkNode)>,
    names: HashMap<&'static str, usize>,
    /// Columns of the late rows that are kept, by the place in memory of the plan that drops them.
    late: HashMap<usize, Vec<u32>>,
    /// The plans of stateful steps, by the steps' names.
    origins: Vec<(String, Arc<Plan>)>,
}

impl Lowering<'_, '_> {
    pub(super) fn plan(&mut self, plan: &Arc<Plan>) -> Result<usize> {
        let key = Arc::as_ptr(plan) as usize;
        if let Some(step) = self.done.get(&key) {
            return Ok(*step);
        }
        let step = self.node(plan)?;
        if let Step::Keyed(keyed) = &self.steps[step] {
            self.origins.push((keyed.name.clone(), plan.clone()));
        }
        self.done.insert(key, step);
        Ok(step)
    }

    pub(super) fn push(&mut self, step: Step) -> usize {
        self.steps.push(step);
        self.steps.len() - 1
    }

    fn map(&mut self, input: &Arc<Plan>, transform: impl Transform + 'static) -> Result<usize> {
        let input = self.plan(input)?;
        Ok(self.push(Step::Map { input, chain: vec![Arc::new(transform)] }))
    }

    fn node(&mut self, plan: &Arc<Plan>) -> Result<usize> {
        match &plan.node {
            Node::Source { table, columns } => {
                let source = self.source(table, columns, &plan.attributes);
                Ok(self.push(Step::Source { source, chain: vec![] }))
            }
            Node::Static { table, columns } => {
                let rows = (self.options.tables)(table, columns, &plan.attributes)?;
                Ok(self.push(Step::Values { rows }))
            }
            Node::Values { rows } => Ok(self.push(Step::Values { rows: rows.clone() })),
            Node::Project { input, list } => self.map(input, Project::new(list, &input.attributes, &plan.attributes)?),
            Node::Filter { input, condition } => self.map(input, Filter::new(condition, &input.attributes)?),
            Node::Watermark { input, column, delay, number } => {
                let column = position(input, *column)?;
                let is_window = types::is_window(&input.attributes[column].data_type);
                let observed = self.observed(*number, *delay, input);
                self.map(input, Watch { column, is_window, observed })
            }
            Node::Window { input, time, kind } => {
                self.map(input, WindowRows::new(time, *kind, &input.attributes, &plan.attributes)?)
            }
            Node::Late { of, .. } => {
                let input = self.plan(of)?;
                Ok(self.push(Step::Late { input, schema: inner_schema(&plan.attributes) }))
            }
            Node::Session { input, start, end } => {
                self.map(input, SessionRows::new(start, end, &input.attributes, &plan.attributes)?)
            }
            Node::Expand { input, lists } => self.map(input, Expand::new(lists, &input.attributes, &plan.attributes)?),
            Node::Explode { input, generator, argument, outer } => {
                let explode = Explode::new(*generator, argument, *outer, &input.attributes, &plan.attributes)?;
                self.map(input, explode)
            }
            Node::StaticJoin { left, right, kind, on, filter } => {
                self.static_join(left, right, *kind, on, filter.as_ref())
            }
            Node::StreamJoin { left, right, kind, on } => self.stream_join(plan, [left, right], *kind, on),
            Node::Union { inputs, columns } => self.union(inputs, columns, &plan.attributes),
            Node::Aggregate { input, keys, calls } => self.aggregate(plan, input, keys, calls),
            Node::Process { input, spec, initial } => self.process(plan, input, spec, initial.as_ref()),
            Node::MapRows { input, function, columns } => {
                let rows = columns.iter().map(|id| Ok(input.attributes[position(input, *id)?].clone()));
                let rows: Vec<Attribute> = rows.collect::<Result<_>>()?;
                let list: Vec<Expr> = rows.iter().map(Attribute::reference).collect();
                let step = self.map(input, Project::new(&list, &input.attributes, &rows)?)?;
                let map = MapRows {
                    function: function.clone(),
                    input: outer_schema(&rows),
                    output: outer_schema(&plan.attributes),
                    schema: inner_schema(&plan.attributes),
                };
                Ok(self.push(Step::Map { input: step, chain: vec![Arc::new(map)] }))
            }
            Node::Deduplicate { input, keys, within_watermark } => {
                self.deduplicate(plan, input, keys, *within_watermark)
            }
            Node::Sort { input, keys } => {
                let sort = Sort::new(keys, &input.attributes)?;
                let input = self.plan(input)?;
                Ok(self.push(Step::Sort { input, sort }))
            }
            Node::Limit { input, count, offset } => {
                let each_epoch = !plan.streaming || self.mode == OutputMode::Complete;
                let list: Vec<Expr> = input.attributes.iter().map(Attribute::reference).collect();
                let prepare = Arc::new(Project::new(&list, &input.attributes, &input.attributes)?);
                let step = KeyedStep {
                    inputs: vec![KeyedInput { step: self.plan(input)?, prepare, exchange: Exchange::new(&[], 1)? }],
                    partitions: vec![Box::new(Limit::new(*count, *offset, each_epoch))],
                    name: self.name("limit"),
                    spark_name: "globalLimit",
                    layout: format!("limit {count:?} {offset}"),
                    wants_no_data: false,
                    bounds: None,
                };
                Ok(self.push(Step::Keyed(step)))
            }
        }
    }

    /// What passes a watermark. Copies of one see together how far it is.
    fn observed(&mut self, number: u32, delay: i64, input: &Arc<Plan>) -> Arc<Observed> {
        if let Some((_, known)) = self.watermarks.iter().find(|(known, _)| *known == number) {
            return known.observed.clone();
        }
        // it may be idle when all that feeds it may
        let tables = input.sources();
        let idle_after = tables.iter().map(|table| self.options.idle_after.get(table).copied());
        let idle_after = idle_after.collect::<Option<Vec<i64>>>().and_then(|all| all.into_iter().max());
        let observed = Arc::new(Observed::default());
        self.watermarks.push((number, WatermarkNode::new(delay, idle_after, observed.clone())));
        observed
    }

    /// Puts the columns of late rows that `plan` keeps at the end of `list`, and tells from where to where.
    pub(super) fn late_columns(
        &self,
        plan: &Arc<Plan>,
        input: &Plan,
        list: &mut Vec<Expr>,
    ) -> Result<Option<(usize, usize)>> {
        let Some(columns) = self.late.get(&(Arc::as_ptr(plan) as usize)) else { return Ok(None) };
        let first = list.len();
        for column in columns {
            list.push(input.attributes[position(input, *column)?].reference());
        }
        Ok(Some((first, list.len())))
    }

    /// The places of the columns of late rows that the join `plan` keeps, in the rows of each side.
    pub(super) fn late_places(&self, plan: &Arc<Plan>, sides: [&Arc<Plan>; 2]) -> Result<Option<[Vec<usize>; 2]>> {
        let Some(columns) = self.late.get(&(Arc::as_ptr(plan) as usize)) else { return Ok(None) };
        let (left, right): (Vec<u32>, Vec<u32>) =
            columns.iter().partition(|column| sides[0].attribute(**column).is_some());
        let places = |side: &Plan, columns: Vec<u32>| -> Result<Vec<usize>> {
            columns.into_iter().map(|column| position(side, column)).collect()
        };
        Ok(Some([places(sides[0], left)?, places(sides[1], right)?]))
    }

    pub(super) fn name(&mut self, kind: &'static str) -> String {
        let number = self.names.entry(kind).or_insert(0);
        *number += 1;
        format!("{}-{kind}-{}", self.mode.word(), *number - 1)
    }

    fn source(&mut self, table: &str, columns: &[usize], attributes: &[Attribute]) -> usize {
        let same =
            |known: &SourceColumns| known.table == table && known.columns == columns && known.attributes == attributes;
        match self.sources.iter().position(same) {
            Some(number) => number,
            None => {
                let source = SourceColumns {
                    table: table.to_owned(),
                    columns: columns.to_vec(),
                    attributes: attributes.to_vec(),
                };
                self.sources.push(source);
                self.sources.len() - 1
            }
        }
    }

    fn union(&mut self, inputs: &[Arc<Plan>], columns: &[Vec<u32>], attributes: &[Attribute]) -> Result<usize> {
        let mut steps = Vec::with_capacity(inputs.len());
        for (input, ids) in inputs.iter().zip(columns) {
            let list = ids
                .iter()
                .map(|id| Ok(input.attributes[position(input, *id)?].reference()))
                .collect::<Result<Vec<_>>>()?;
            steps.push(self.map(input, Project::new(&list, &input.attributes, attributes)?)?);
        }
        Ok(self.push(Step::Union { inputs: steps }))
    }

    /// All rows of a plan that does not stream.
    pub(super) fn all_rows(&self, plan: &Arc<Plan>) -> Result<RecordBatch> {
        all_rows(plan, self.options)
    }

    fn static_join(
        &mut self,
        left: &Arc<Plan>,
        right: &Arc<Plan>,
        kind: JoinKind,
        on: &[(Expr, Expr)],
        filter: Option<&Expr>,
    ) -> Result<usize> {
        let table = self.all_rows(right)?;
        let spec = EnrichSpec { kind, stream: &left.attributes, table: &right.attributes, on, filter };
        let join = Arc::new(Enrich::new(&spec, table)?);
        let reads: BTreeSet<String> = right.walk().iter().filter_map(|plan| table_of(plan)).collect();
        if left.streaming && !reads.is_empty() {
            self.refreshes.push(Refresh { plan: right.clone(), reads, join: join.clone() });
        }
        let input = self.plan(left)?;
        Ok(self.push(Step::Map { input, chain: vec![join] }))
    }
}

fn table_of(plan: &Plan) -> Option<String> {
    match &plan.node {
        Node::Static { table, .. } => Some(table.clone()),
        _ => None,
    }
}

/// All rows of a plan that does not stream.
///
/// # Errors
/// An expression that fails on a row.
pub fn all_rows(plan: &Arc<Plan>, options: &LowerOptions<'_>) -> Result<RecordBatch> {
    if plan.streaming {
        return Err(Error::bug("a stream is joined as a table"));
    }
    let flow = lower(&[(plan.clone(), OutputMode::Complete)], options)?;
    super::execute::all_rows(flow, plan)
}

pub(super) fn position(plan: &Plan, id: u32) -> Result<usize> {
    plan.attributes
        .iter()
        .position(|attribute| attribute.id == id)
        .ok_or_else(|| Error::bug(format!("column number {id} is not in its plan")))
}
