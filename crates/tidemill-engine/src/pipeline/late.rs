//! `late = 'table'`: a query's late rows as one more output, written and committed with the epoch like any
//! other; with `late = 'dead_letter'` they are dead letters. They are those of the one operator of the query that drops late rows first.

use super::analysis::Analyzer;
use super::build::{Builder, Insert, unique_names};
use super::plan::{Attribute, Node, Plan};
use super::query::QueryOutput;
use super::session::session_key;
use crate::operator::late;
use crate::operator::transform_with_state::contract::TimeMode;
use std::sync::Arc;
use tidemill_core::options::snake_case;
use tidemill_core::sink::OutputMode;
use tidemill_core::{Error, Result};

impl Builder<'_> {
    /// The rows too late for an output, when its table asks for them.
    pub(super) fn late_output(
        &self,
        analyzer: &Analyzer<'_>,
        insert: &Insert,
        output: &QueryOutput,
    ) -> Result<Option<QueryOutput>> {
        let options = &output.sink.options;
        let given = |name: &str| {
            let of = self.definition(&output.sink.name)?;
            let given = of.options.iter().find(|option| snake_case(&option.key) == name)?;
            given.place.clone()
        };
        let place = || given("late").or_else(|| given("late_table")).or_else(|| self.spec.text.place(insert.at));
        let table = match (options.text("late"), options.text("late_table")) {
            (Some("dead_letter"), None) => {
                let plan = analyzer.late_rows(&output.plan).map_err(|error| error.at_if_unplaced(place()))?;
                let sink = output.sink.clone();
                return Ok(Some(QueryOutput { sink, plan, mode: OutputMode::Append, are_letters: true }));
            }
            (Some("table"), Some(table)) => table,
            (Some("table"), None) => {
                return Err(Error::invalid("late = 'table' is set without late_table")
                    .at_if_unplaced(place())
                    .help("CREATE TABLE one for the late rows, and name it: late_table = 'late_rows'"));
            }
            (_, Some(_)) => {
                return Err(Error::invalid("late_table is set without late = 'table'").at_if_unplaced(place()));
            }
            _ => return Ok(None),
        };
        let definition = self.definition(table).ok_or_else(|| {
            Error::invalid(format!("the table `{table}` for late rows does not exist"))
                .at_if_unplaced(given("late_table").or_else(place))
                .help("CREATE TABLE it first")
        })?;
        let plan = analyzer.late_rows(&output.plan).map_err(|error| error.at_if_unplaced(place()))?;
        let sink = self.sink(definition)?;
        let columns = self.catalog.table(&definition.name).map(|table| table.columns.clone());
        let plan = match columns.filter(|columns| !columns.fields().is_empty()) {
            Some(columns) => self.place(analyzer.fit(plan, &columns, &[]), definition.at)?,
            None => plan,
        };
        if sink.connector.names_columns() {
            self.place(unique_names(&plan), insert.at)?;
        }
        Ok(Some(QueryOutput { sink, plan, mode: OutputMode::Append, are_letters: false }))
    }
}

/// The late rows of a checked plan as a plan. `next` numbers its columns.
///
/// # Errors
/// Nothing in the plan drops late rows, or several operators do.
pub fn rows(plan: &Arc<Plan>, next: &dyn Fn() -> u32) -> Result<Arc<Plan>> {
    let dropping: Vec<Arc<Plan>> = plan.walk().into_iter().filter(|plan| drops(plan)).collect();
    let first: Vec<&Arc<Plan>> = dropping
        .iter()
        .filter(|plan| plan.inputs().into_iter().all(|input| !input.walk().iter().any(|below| drops(below))))
        .collect();
    let of = match first.as_slice() {
        [one] => (*one).clone(),
        [] => {
            return Err(Error::invalid("late is set, but no row of this query can be late")
                .help("rows are late behind a watermark: WATERMARK FOR ts AS ts - INTERVAL '10' MINUTE"));
        }
        several => {
            return Err(Error::invalid(format!(
                "late is set, but {} operators of this query drop late rows",
                several.len()
            ))
            .help("write a query for each of them, with a late table of its own"));
        }
    };
    let kept: Vec<Attribute> = match &of.node {
        // a late row has the columns of both sides, NULL in those of the other
        Node::StreamJoin { left, right, .. } => of_sides(&as_read(left), &as_read(right)),
        _ => of.inputs().first().map(|input| as_read(input)).unwrap_or_default(),
    };
    let columns = kept.iter().map(|attribute| attribute.id).collect();
    let unmarked = |attribute: Attribute| Attribute { id: next(), watermark: None, window_part: None, ..attribute };
    let mut attributes: Vec<Attribute> = kept.into_iter().map(unmarked).collect();
    attributes.extend(late::fields().into_iter().map(|field| Attribute {
        id: next(),
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        watermark: None,
        window_part: None,
    }));
    Ok(Arc::new(Plan { node: Node::Late { of, columns }, attributes, streaming: true }))
}

/// Columns of both sides; what is called the same on both gets the side's name before it.
fn of_sides(left: &[Attribute], right: &[Attribute]) -> Vec<Attribute> {
    let named = |side: &str, own: &[Attribute], other: &[Attribute]| -> Vec<Attribute> {
        let shared = |name: &str| other.iter().any(|attribute| attribute.name.eq_ignore_ascii_case(name));
        let renamed = |attribute: &Attribute| match shared(&attribute.name) {
            true => Attribute { name: format!("{side}_{}", attribute.name), ..attribute.clone() },
            false => attribute.clone(),
        };
        own.iter().map(renamed).collect()
    };
    [named("left", left, right), named("right", right, left)].concat()
}

/// The columns the user knows of what an operator reads: not those that a grouping adds for itself.
fn as_read(plan: &Arc<Plan>) -> Vec<Attribute> {
    let known = &below_keys(plan).attributes;
    known.iter().filter(|attribute| plan.attribute(attribute.id).is_some()).cloned().collect()
}

/// The plan below windows, computed keys and grouping sets, which keep its columns and put their own after them.
fn below_keys(plan: &Arc<Plan>) -> &Arc<Plan> {
    match &plan.node {
        Node::Window { input, .. } | Node::Session { input, .. } | Node::Expand { input, .. } => below_keys(input),
        Node::Project { input, .. } if plan.attributes.starts_with(&input.attributes) => below_keys(input),
        _ => plan,
    }
}

/// True for an operator that drops late rows.
fn drops(plan: &Plan) -> bool {
    match &plan.node {
        Node::Aggregate { input, keys, .. } => {
            let closes = |key: &u32| plan.attribute(*key).is_some_and(|attribute| attribute.watermark.is_some());
            let session = session_key(input, keys).map(|place| keys[place]);
            session.map_or_else(|| keys.iter().any(closes), |key| closes(&key))
        }
        Node::Process { spec, .. } if spec.timeouts && spec.time_mode != TimeMode::EventTime => false,
        Node::Deduplicate { input, .. } | Node::Process { input, .. } => {
            input.attributes.iter().any(|attribute| attribute.watermark.is_some())
        }
        Node::StreamJoin { left, right, .. } => {
            [left, right].iter().any(|side| side.attributes.iter().any(|attribute| attribute.watermark.is_some()))
        }
        _ => false,
    }
}
