//! The one plan, checked: every name is an attribute with a type, every expression is typed, every
//! operator knows what it needs. The engine builds its operators from this; `explain` prints it.
//!
//! Attributes have numbers that are unique in a plan, so two columns of one name never collide, and
//! a rename costs nothing. Inside expressions an attribute appears as the column `name#number`.

use super::relation::JoinKind;
use crate::operator::aggregate::AggregateCall;
use crate::operator::map_rows::RowsFunction;
use crate::operator::transform_with_state::contract::{ProcessorFactory, TimeMode};
use crate::operator::window::WindowKind;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::Column;
use datafusion::logical_expr::Expr;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidemill_core::sink::OutputMode;

/// A column of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Number, unique in a plan.
    pub id: u32,
    /// Name, in the case the user wrote.
    pub name: String,
    /// Type.
    pub data_type: DataType,
    /// Delay in microseconds, for an event-time column or a window of one.
    pub watermark: Option<i64>,
    /// For a column that is the start or end of a window column: which, and of which attribute.
    pub window_part: Option<(u32, WindowPart)>,
}

/// A part of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowPart {
    /// Its first instant.
    Start,
    /// The instant after its last.
    End,
}

impl Attribute {
    /// The column's name inside expressions and batches.
    pub fn column_name(&self) -> String {
        format!("{}#{}", self.name, self.id)
    }

    /// A reference to it.
    pub fn reference(&self) -> Expr {
        Expr::Column(Column::new_unqualified(self.column_name()))
    }

    /// As a field of a batch inside the engine.
    pub fn field(&self) -> Field {
        Field::new(self.column_name(), self.data_type.clone(), true)
    }
}

/// The number in a column's inner name.
pub fn attribute_id(column_name: &str) -> Option<u32> {
    column_name.rsplit_once('#').and_then(|(_, id)| id.parse().ok())
}

/// The schema of batches inside the engine.
pub fn inner_schema(attributes: &[Attribute]) -> SchemaRef {
    Arc::new(Schema::new(attributes.iter().map(Attribute::field).collect::<Vec<_>>()))
}

/// The schema people see.
pub fn outer_schema(attributes: &[Attribute]) -> SchemaRef {
    let fields = attributes.iter().map(|attribute| Field::new(&attribute.name, attribute.data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A checked relation.
#[derive(Debug)]
pub struct Plan {
    /// What it does.
    pub node: Node,
    /// Its columns, in order.
    pub attributes: Vec<Attribute>,
    /// True when rows keep coming.
    pub streaming: bool,
}

/// What a plan does.
#[derive(Debug, Clone)]
pub enum Node {
    /// Rows of a streaming table. `columns` are positions in the table's declared columns.
    Source { table: String, columns: Vec<usize> },
    /// Rows of a table that is read once.
    Static { table: String, columns: Vec<usize> },
    /// Rows written in the plan itself.
    Values { rows: RecordBatch },
    /// One expression a column.
    Project { input: Arc<Plan>, list: Vec<Expr> },
    /// Rows for which the condition is true.
    Filter { input: Arc<Plan>, condition: Expr },
    /// Watches the event time of rows that pass. `number` is that of the watermark as written: one that
    /// several branches of a query share is one watermark, also after conditions were pushed below its copies.
    Watermark { input: Arc<Plan>, column: u32, delay: i64, number: u32 },
    /// Adds a window column: a row once for every window it is in. The column is the last one.
    Window { input: Arc<Plan>, time: Expr, kind: WindowKind },
    /// Adds the stretch of time a row opens for a session; the column is the last one. A grouping by it
    /// merges what overlaps or touches. Rows for which it is empty go no further.
    Session { input: Arc<Plan>, start: Expr, end: Expr },
    /// The rows that the stateful operator `of` drops because they are late: `columns` of its inputs,
    /// then the columns of [`crate::operator::late`].
    Late { of: Arc<Plan>, columns: Vec<u32> },
    /// A row once for every list (`ROLLUP`, `CUBE`).
    Expand { input: Arc<Plan>, lists: Vec<Vec<Expr>> },
    /// A row once for every element (`explode` and its kin); the new columns come last.
    Explode { input: Arc<Plan>, generator: Generator, argument: Expr, outer: bool },
    /// Groups. `keys` are columns of the input; the aggregates come after them.
    Aggregate { input: Arc<Plan>, keys: Vec<u32>, calls: Vec<AggregateCall> },
    /// The first row of each key.
    Deduplicate { input: Arc<Plan>, keys: Vec<u32>, within_watermark: bool },
    /// Arbitrary state by key; `initial` is what it begins with.
    Process { input: Arc<Plan>, spec: Arc<ProcessSpec>, initial: Option<Arc<Plan>> },
    /// Whole batches through a function, which sees these columns.
    MapRows { input: Arc<Plan>, function: Arc<dyn RowsFunction>, columns: Vec<u32> },
    /// A join with a table that is read once, or of two such tables.
    StaticJoin { left: Arc<Plan>, right: Arc<Plan>, kind: JoinKind, on: Vec<(Expr, Expr)>, filter: Option<Expr> },
    /// A join of two streams: inner, left outer, right outer, full outer or left semi. All of `on` must be true.
    StreamJoin { left: Arc<Plan>, right: Arc<Plan>, kind: JoinKind, on: Vec<Expr> },
    /// Rows of all inputs. `columns` has, for every input, the numbers of the columns that become the
    /// union's, in order.
    Union { inputs: Vec<Arc<Plan>>, columns: Vec<Vec<u32>> },
    /// All rows in order.
    Sort { input: Arc<Plan>, keys: Vec<SortBy> },
    /// The first rows.
    Limit { input: Arc<Plan>, count: Option<u64>, offset: u64 },
}

/// Functions that make rows of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generator {
    /// An array's elements, or a map's keys and values.
    Explode,
    /// The same with the position first.
    PositionExplode,
    /// An array of structs, a column a field.
    Inline,
}

/// A checked sort key.
#[derive(Debug, Clone)]
pub struct SortBy {
    /// What to order by.
    pub by: Expr,
    /// Descending order.
    pub descending: bool,
    /// NULLs first.
    pub nulls_first: bool,
}

/// What arbitrary state is kept by, and by whom.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// Columns of the input that are the key.
    pub keys: Vec<u32>,
    /// Columns of the input that the processor sees.
    pub rows: Vec<u32>,
    /// Columns of the initial state that are the key.
    pub initial_keys: Vec<u32>,
    /// Columns of the initial state that the processor sees.
    pub initial_rows: Vec<u32>,
    /// The processor's name, for people.
    pub name: String,
    /// Who keeps it.
    pub factory: Arc<dyn ProcessorFactory>,
    /// The output mode the processor is written for.
    pub mode: OutputMode,
    /// What timers go by.
    pub time_mode: TimeMode,
    /// True for the timeouts of applyInPandasWithState, which are due once their instant has passed.
    pub timeouts: bool,
}

impl Node {
    fn inputs_mut(&mut self) -> Vec<&mut Arc<Plan>> {
        match self {
            Node::Source { .. } | Node::Static { .. } | Node::Values { .. } => vec![],
            Node::Project { input, .. }
            | Node::Filter { input, .. }
            | Node::Watermark { input, .. }
            | Node::Window { input, .. }
            | Node::Session { input, .. }
            | Node::Expand { input, .. }
            | Node::Explode { input, .. }
            | Node::Aggregate { input, .. }
            | Node::Deduplicate { input, .. }
            | Node::Sort { input, .. }
            | Node::Limit { input, .. }
            | Node::MapRows { input, .. }
            | Node::Late { of: input, .. } => vec![input],
            Node::Process { input, initial, .. } => std::iter::once(input).chain(initial).collect(),
            Node::StaticJoin { left, right, .. } | Node::StreamJoin { left, right, .. } => vec![left, right],
            Node::Union { inputs, .. } => inputs.iter_mut().collect(),
        }
    }
}

impl Plan {
    /// The plans it reads.
    pub fn inputs(&self) -> Vec<&Arc<Plan>> {
        match &self.node {
            Node::Source { .. } | Node::Static { .. } | Node::Values { .. } => vec![],
            Node::Project { input, .. }
            | Node::Filter { input, .. }
            | Node::Watermark { input, .. }
            | Node::Window { input, .. }
            | Node::Session { input, .. }
            | Node::Expand { input, .. }
            | Node::Explode { input, .. }
            | Node::Aggregate { input, .. }
            | Node::Deduplicate { input, .. }
            | Node::Sort { input, .. }
            | Node::Limit { input, .. }
            | Node::MapRows { input, .. }
            | Node::Late { of: input, .. } => vec![input],
            Node::Process { input, initial, .. } => std::iter::once(input).chain(initial).collect(),
            Node::StaticJoin { left, right, .. } | Node::StreamJoin { left, right, .. } => vec![left, right],
            Node::Union { inputs, .. } => inputs.iter().collect(),
        }
    }

    /// The same plan over other inputs; as many as it has.
    pub fn with_inputs(&self, inputs: Vec<Arc<Plan>>) -> Plan {
        let mut node = self.node.clone();
        node.inputs_mut().into_iter().zip(inputs).for_each(|(old, new)| *old = new);
        Plan { node, attributes: self.attributes.clone(), streaming: self.streaming }
    }

    /// The attribute with this number.
    pub fn attribute(&self, id: u32) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.id == id)
    }

    /// Every plan below and including this one, inputs first, shared ones once.
    pub fn walk(self: &Arc<Plan>) -> Vec<Arc<Plan>> {
        fn visit(plan: &Arc<Plan>, seen: &mut BTreeSet<usize>, out: &mut Vec<Arc<Plan>>) {
            if !seen.insert(Arc::as_ptr(plan) as usize) {
                return;
            }
            for input in plan.inputs() {
                visit(input, seen, out);
            }
            out.push(plan.clone());
        }
        let (mut seen, mut out) = (BTreeSet::new(), Vec::new());
        visit(self, &mut seen, &mut out);
        out
    }

    /// The streaming tables it reads.
    pub fn sources(self: &Arc<Plan>) -> BTreeSet<String> {
        let sources = self.walk().into_iter().filter_map(|plan| match &plan.node {
            Node::Source { table, .. } => Some(table.clone()),
            _ => None,
        });
        sources.collect()
    }
}

/// Numbers of the attributes an expression reads.
pub fn references(expr: &Expr) -> BTreeSet<u32> {
    expr.column_refs().into_iter().filter_map(|column| attribute_id(&column.name)).collect()
}
