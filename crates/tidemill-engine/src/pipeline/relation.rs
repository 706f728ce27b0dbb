//! Relations as the user wrote them: the one plan that SQL and the DataFrame API both build, and
//! that the engine, `check`, `explain`, `test` and Spark all read.

use super::expression::{Expression, SortKey};
use super::text::Spot;
use serde::{Deserialize, Serialize};

/// A relation as written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "node", rename_all = "snake_case")]
pub enum Relation {
    /// A table or view of the catalog, by name.
    Table {
        name: Vec<String>,
        #[serde(default)]
        at: Spot,
    },
    /// A relation with one row and no columns: `SELECT 1`.
    OneRow,
    /// `VALUES (1, 'a'), (2, 'b')`; columns are `col1`, `col2`, ...
    Values { rows: Vec<Vec<Expression>> },
    /// `(..) AS name (columns)`.
    Alias {
        input: Box<Relation>,
        name: String,
        #[serde(default)]
        columns: Vec<String>,
    },
    /// `SELECT list`. Generators such as `explode` may stand in the list.
    Project { input: Box<Relation>, list: Vec<Expression> },
    /// `WHERE`.
    Filter { input: Box<Relation>, condition: Expression },
    /// `GROUP BY`. SQL lists every output in `list`; the DataFrame API lists the aggregates alone and
    /// sets `keep_groups`, and the grouping columns come before them.
    Aggregate {
        input: Box<Relation>,
        #[serde(default)]
        groups: Vec<Expression>,
        #[serde(default)]
        grouping: Grouping,
        list: Vec<Expression>,
        #[serde(default)]
        having: Option<Expression>,
        #[serde(default)]
        keep_groups: bool,
    },
    /// A join.
    Join {
        left: Box<Relation>,
        right: Box<Relation>,
        kind: JoinKind,
        #[serde(default)]
        condition: Option<Expression>,
        #[serde(default)]
        using: Vec<String>,
        #[serde(default)]
        at: Spot,
    },
    /// `UNION ALL`, by position or by name.
    Union {
        inputs: Vec<Relation>,
        #[serde(default)]
        by_name: bool,
        #[serde(default)]
        allow_missing_columns: bool,
    },
    /// `EXCEPT` and `INTERSECT`. Streams refuse them.
    SetOperation { left: Box<Relation>, right: Box<Relation>, operation: String },
    /// SQL's `SELECT DISTINCT`: a grouping by every column.
    Distinct { input: Box<Relation> },
    /// `dropDuplicates` and `distinct` of the DataFrame API: the first row of each key. No columns
    /// means all of them.
    Deduplicate {
        input: Box<Relation>,
        #[serde(default)]
        columns: Vec<String>,
        #[serde(default)]
        within_watermark: bool,
    },
    /// `ORDER BY`.
    Sort { input: Box<Relation>, keys: Vec<SortKey> },
    /// `LIMIT` and `OFFSET`.
    Limit {
        input: Box<Relation>,
        #[serde(default)]
        count: Option<u64>,
        #[serde(default)]
        offset: u64,
    },
    /// `withWatermark(column, delay)`.
    Watermark {
        input: Box<Relation>,
        column: String,
        delay: String,
        #[serde(default)]
        at: Spot,
    },
    /// `withColumn`: replaces columns of the same name, adds the others at the end.
    WithColumns { input: Box<Relation>, columns: Vec<(String, Expression)> },
    /// `drop`: names that are not there are passed over.
    Drop { input: Box<Relation>, columns: Vec<String> },
    /// `withColumnRenamed`: names that are not there are passed over.
    Rename { input: Box<Relation>, columns: Vec<(String, String)> },
    /// `toDF(names)`.
    ToColumns { input: Box<Relation>, names: Vec<String> },
    /// `LATERAL VIEW [OUTER] explode(..) t AS a, b`.
    LateralView { input: Box<Relation>, generator: Expression, outer: bool, table: String, columns: Vec<String> },
    /// A window table function: the input's columns, then `window_start`, `window_end`, `window_time`.
    WindowTable {
        input: Box<Relation>,
        function: WindowFunction,
        column: String,
        sizes: Vec<String>,
        #[serde(default)]
        at: Spot,
    },
    /// `transformWithState` and `applyInPandasWithState`.
    Process(Box<Process>),
    /// `mapInArrow` and `mapInPandas`: whole batches through a function of the program; `output` is DDL.
    MapRows { input: Box<Relation>, function: String, output: String },
    /// SQL text over named relations (`spark.sql("SELECT .. FROM {e}", e=df)`).
    Sql {
        sql: String,
        #[serde(default)]
        relations: Vec<(String, Relation)>,
    },
}

impl Relation {
    /// The relations it reads, subqueries in conditions among them.
    pub fn inputs(&self) -> Vec<&Relation> {
        match self {
            Relation::Table { .. } | Relation::OneRow | Relation::Values { .. } => vec![],
            Relation::Filter { input, condition } => {
                let mut inputs = vec![&**input];
                subqueries(condition, &mut inputs);
                inputs
            }
            Relation::Alias { input, .. }
            | Relation::Project { input, .. }
            | Relation::Aggregate { input, .. }
            | Relation::Distinct { input }
            | Relation::Deduplicate { input, .. }
            | Relation::Sort { input, .. }
            | Relation::Limit { input, .. }
            | Relation::Watermark { input, .. }
            | Relation::WithColumns { input, .. }
            | Relation::Drop { input, .. }
            | Relation::Rename { input, .. }
            | Relation::ToColumns { input, .. }
            | Relation::LateralView { input, .. }
            | Relation::MapRows { input, .. }
            | Relation::WindowTable { input, .. } => vec![input],
            Relation::Process(process) => {
                let initial = process.initial.as_ref().map(|initial| &initial.input);
                std::iter::once(&process.input).chain(initial).collect()
            }
            Relation::Join { left, right, .. } | Relation::SetOperation { left, right, .. } => vec![left, right],
            Relation::Union { inputs, .. } => inputs.iter().collect(),
            Relation::Sql { relations, .. } => relations.iter().map(|(_, relation)| relation).collect(),
        }
    }
}

fn subqueries<'a>(expression: &'a Expression, out: &mut Vec<&'a Relation>) {
    if let Expression::InSubquery { query, .. }
    | Expression::Exists { query, .. }
    | Expression::Subquery { query, .. } = expression
    {
        out.push(query);
    }
    expression.children().into_iter().for_each(|child| subqueries(child, out));
}

/// Arbitrary state by key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// The rows.
    pub input: Relation,
    /// What they are grouped by.
    pub groups: Vec<Expression>,
    /// Name of the processor among the program's extensions.
    pub processor: String,
    /// Its name for people.
    #[serde(default)]
    pub shown: Option<String>,
    /// The columns that come out, as DDL.
    pub output: String,
    /// The output mode it is written for.
    pub mode: String,
    /// What timers go by: `none`, `processingTime`, `eventTime`.
    pub time_mode: String,
    /// The column that comes out as event time.
    #[serde(default)]
    pub event_time: Option<String>,
    /// What it begins with.
    #[serde(default)]
    pub initial: Option<InitialState>,
    /// True for the timeouts of `applyInPandasWithState`.
    #[serde(default)]
    pub timeouts: bool,
}

/// What arbitrary state begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InitialState {
    /// The rows, which do not stream.
    pub input: Relation,
    /// What they are grouped by.
    pub groups: Vec<Expression>,
}

/// How a `GROUP BY` groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// By all expressions together.
    #[default]
    Plain,
    /// `ROLLUP(..)` of all expressions.
    Rollup,
    /// `CUBE(..)` of all expressions.
    Cube,
    /// `GROUPING SETS`: indices into the expressions.
    Sets(Vec<Vec<usize>>),
}

impl Grouping {
    /// The sets of key positions that rows are grouped by; `None` for a plain grouping.
    pub fn sets(&self, keys: usize) -> Option<Vec<Vec<usize>>> {
        match self {
            Grouping::Plain => None,
            Grouping::Rollup => Some((0..=keys).rev().map(|length| (0..length).collect()).collect()),
            Grouping::Cube => {
                let of_mask = |mask: usize| (0..keys).filter(|key| mask & (1 << (keys - 1 - key)) == 0).collect();
                Some((0..1 << keys).map(of_mask).collect())
            }
            Grouping::Sets(sets) => Some(sets.clone()),
        }
    }
}

/// A window table function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowFunction {
    /// `TUMBLE(table, column, size [, offset])`.
    Tumble,
    /// `HOP(table, column, slide, size [, offset])`.
    Hop,
    /// `CUMULATE(table, column, step, size [, offset])`.
    Cumulate,
    /// `SESSION(table, column, gap)`.
    Session,
}

/// The kinds of join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinKind {
    Inner,
    Cross,
    LeftOuter,
    RightOuter,
    FullOuter,
    LeftSemi,
    LeftAnti,
}

impl JoinKind {
    /// The name Spark's messages use.
    pub fn spark_name(self) -> &'static str {
        match self {
            JoinKind::Inner => "Inner",
            JoinKind::Cross => "Cross",
            JoinKind::LeftOuter => "LeftOuter",
            JoinKind::RightOuter => "RightOuter",
            JoinKind::FullOuter => "FullOuter",
            JoinKind::LeftSemi => "LeftSemi",
            JoinKind::LeftAnti => "LeftAnti",
        }
    }
}
