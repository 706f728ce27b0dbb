//! Runs a case: builds its pipeline, feeds its batches, compares what comes out.

use super::compare::difference;
use super::connect::{CaseSink, CaseSource, SINK, SOURCE, Stage};
use super::format::{Case, ExpectedError};
use super::life::{Life, Watcher};
use super::values::{to_batch, to_rows, to_schema};
use crate::pipeline::build::{Insert, PipelineSpec};
use crate::pipeline::query::Query;
use crate::pipeline::relation::Relation;
use crate::pipeline::settings::{Trigger, parse_output_mode};
use crate::pipeline::sql;
use crate::pipeline::statement::{ColumnDefinition, ColumnKind, TableDefinition};
use crate::pipeline::text::{Spot, Text};
use crate::progress::EpochReport;
use crate::start::StartOptions;
use arrow::datatypes::SchemaRef;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tidemill_core::options::GivenOption;
use tidemill_core::{Clock, Error, NoFaults, Registry, Result, types};

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As expected.
    Passed,
    /// Otherwise: what differs.
    Failed(String),
    /// It uses something that this version does not have, and was refused with an error that says so.
    Unsupported(String),
    /// Not run: why.
    Skipped(String),
}

/// How cases are run.
#[derive(Clone)]
pub struct RunOptions {
    /// Functions and their registry.
    pub registry: Registry,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// State partitions and threads. When there are several, every start takes the next of them.
    pub parallelism: Vec<usize>,
    /// Where state is kept, as the setting `state_backend` says it. When there are several, every start takes
    /// the next of them.
    pub state_backend: Vec<String>,
    /// What happens to the query between batches.
    pub between: Between,
    /// Parallelisms that the running query is given, the next after every batch; none for those it has.
    pub rescale: Vec<usize>,
}

/// Changes of state after which a case with a store makes a snapshot.
const SNAPSHOT_BYTES: &str = "2000";

/// What happens to the query between batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Between {
    /// Only what the case asks for.
    #[default]
    Nothing,
    /// It is stopped and started.
    Stop,
    /// It is killed when the sink has the last epoch and the journal does not know it yet, and started.
    Kill,
}

/// Runs the SQL form of a case; a case without one is skipped.
pub async fn run_sql(case: &Case, options: &RunOptions, scratch: &Path) -> Outcome {
    let Some(text) = &case.query.sql else { return Outcome::Skipped("it has no SQL form".into()) };
    let expected = case.expect_error_sql.as_ref().or(case.expect_error.as_ref());
    match sql::parse_query(text) {
        Ok(relation) => Runner { case, options, scratch, expected }.run(&relation, text, true).await,
        Err(error) => verdict_of_error(&error, "analysis", expected),
    }
}

/// Runs a case with a query that was built through the DataFrame API.
pub async fn run_relation(case: &Case, relation: &Relation, options: &RunOptions, scratch: &Path) -> Outcome {
    let runner = Runner { case, options, scratch, expected: case.expect_error.as_ref() };
    runner.run(relation, "", false).await
}

/// What a failure means for the case; `phase` is `analysis` or `runtime`.
pub fn verdict_of_error(error: &Error, phase: &str, expected: Option<&ExpectedError>) -> Outcome {
    let class = error.error_class().unwrap_or("none");
    if class == "UNSUPPORTED_FEATURE" {
        return Outcome::Unsupported(error.report());
    }
    let Some(expected) = expected else { return Outcome::Failed(error.report()) };
    // most of Spark's refusals share one class: there it counts that we refuse too
    let any_class = expected.class.starts_with("_LEGACY_ERROR_TEMP") || expected.class.is_empty();
    if any_class || same_class(class, &expected.class) {
        return Outcome::Passed;
    }
    Outcome::Failed(format!(
        "expected the {} error {}, got {class} in {phase}:\n{}",
        expected.phase,
        expected.class,
        error.report()
    ))
}

fn same_class(ours: &str, theirs: &str) -> bool {
    let main = |class: &str| class.split('.').next().unwrap_or(class).to_owned();
    ours == theirs || main(ours) == main(theirs)
}

struct Runner<'a> {
    case: &'a Case,
    options: &'a RunOptions,
    scratch: &'a Path,
    expected: Option<&'a ExpectedError>,
}

impl Runner<'_> {
    async fn run(&self, relation: &Relation, text: &str, with_watermarks: bool) -> Outcome {
        let stage = Arc::new(Stage::default());
        let (parallelism, backends) = (&self.options.parallelism, &self.options.state_backend);
        let starts = parallelism.len().max(backends.len());
        let layouts = parallelism.iter().cycle().zip(backends.iter().cycle()).take(starts);
        let pipeline = |layout| self.pipeline(relation, text, with_watermarks, layout, &stage);
        let queries = match layouts.map(pipeline).collect::<Result<Vec<_>>>() {
            Ok(queries) => queries,
            Err(error) => return verdict_of_error(&error, "analysis", self.expected),
        };
        if let Some(expected) = self.expected.filter(|expected| expected.phase == "analysis") {
            return Outcome::Failed(format!(
                "expected the analysis error {}, but the query is accepted",
                expected.class
            ));
        }
        let Some(wrong) = queries.first().map(|query| self.wrong_schema(query)) else {
            return Outcome::Skipped("no parallelism or no state backend is given".into());
        };
        if let Some(wrong) = wrong {
            return Outcome::Failed(wrong);
        }
        match self.batches(&queries, &stage).await {
            Ok(None) => match self.expected {
                Some(expected) => Outcome::Failed(format!("expected the error {}, but nothing failed", expected.class)),
                None => Outcome::Passed,
            },
            Ok(Some(difference)) => Outcome::Failed(difference),
            Err(error) => verdict_of_error(&error, "runtime", self.expected),
        }
    }

    fn pipeline(
        &self,
        relation: &Relation,
        text: &str,
        with_watermarks: bool,
        (parallelism, backend): (&usize, &String),
        stage: &Arc<Stage>,
    ) -> Result<Query> {
        let case = self.case;
        let mut registry = self.options.registry.clone();
        registry.add_source(CaseSource(stage.clone()));
        registry.add_sink(CaseSink(stage.clone()));
        let mut spec =
            PipelineSpec { name: case.name.clone(), text: Text::new("<sql>", text), ..PipelineSpec::default() };
        spec.settings.extend(case.conf.iter().map(|(key, value)| GivenOption::new(key, value)));
        spec.settings.push(GivenOption::new("parallelism", parallelism.to_string()));
        spec.settings.push(GivenOption::new("state_backend", backend));
        // a start is to find what a kill leaves
        spec.settings.push(GivenOption::new("snapshot_at_stop", "false"));
        if !backend.eq_ignore_ascii_case("memory") {
            // what starts find is then a snapshot, or one and the changes after it
            spec.settings.push(GivenOption::new("snapshot_bytes", SNAPSHOT_BYTES));
        }
        for stream in case.schema.keys() {
            let mut table = table(stream, &case.stream_columns(stream)?, SOURCE)?;
            table.options.extend(case.source_options.iter().map(|(key, value)| GivenOption::new(key, value)));
            if with_watermarks {
                table.watermark =
                    case.watermark.get(stream).map(|mark| (mark.column.clone(), mark.delay.clone(), Spot::default()));
            }
            spec.tables.push(table);
        }
        for (name, content) in &case.tables {
            let mut table = table(name, &content.schema, SOURCE)?;
            table.options.push(GivenOption::new("static", "true"));
            spec.tables.push(table);
        }
        spec.tables.push(table("out", &[], SINK)?);
        let mode = parse_output_mode(&case.output_mode).ok_or_else(|| {
            Error::invalid(format!("there is no output mode {}", case.output_mode))
                .class("STREAMING_OUTPUT_MODE.INVALID")
        })?;
        spec.inserts.push(Insert {
            table: "out".into(),
            columns: vec![],
            query: relation.clone(),
            mode: Some(mode),
            at: Spot::default(),
        });
        spec.check(&registry)?.pop().ok_or_else(|| Error::bug("a case without a query"))
    }

    fn wrong_schema(&self, query: &Query) -> Option<String> {
        let expected = self.case.output_schema.as_ref()?;
        let attributes = query.outputs[0].plan.attributes.iter();
        let actual: Vec<(String, String)> =
            attributes.map(|attribute| (attribute.name.clone(), types::name(&attribute.data_type))).collect();
        (actual != *expected).then(|| format!("expected the columns {expected:?}, got {actual:?}"))
    }

    async fn batches(&self, queries: &[Query], stage: &Arc<Stage>) -> Result<Option<String>> {
        let case = self.case;
        for (name, content) in &case.tables {
            stage.push(name, to_batch(&to_schema(&content.schema)?, &content.rows)?);
        }
        stage.publish();
        let schemas = case.schema.keys().map(|stream| Ok((stream.clone(), to_schema(&case.stream_columns(stream)?)?)));
        let schemas: BTreeMap<String, SchemaRef> = schemas.collect::<Result<_>>()?;
        let mut life = self.life(queries, stage)?;
        let compared = life.compared(self.options.between);
        for (number, batch) in case.batches.iter().enumerate() {
            if self.options.between != Between::Nothing || case.restart_before.contains_key(&number.to_string()) {
                life.end().await?;
            }
            for (stream, rows) in batch {
                let schema =
                    schemas.get(stream).ok_or_else(|| Error::invalid(format!("the case has no stream {stream}")))?;
                for file in rows.files() {
                    stage.push(stream, to_batch(schema, file)?);
                }
            }
            // told before the rows are there: a query that runs takes them at once
            if case.fail_in_batch.contains(&number) {
                stage.fail_next();
            }
            stage.publish();
            if case.fail_in_batch.contains(&number) && !life.fails().await? {
                return Ok(Some(format!("batch {number} was to fail in the sink and did not")));
            }
            life.work_off().await?;
            if let Some(difference) = self.compare(number, stage, &life, compared || number == 0)? {
                life.end().await?;
                return Ok(Some(format!("batch {number}: {difference}")));
            }
            if let Some(next) = self.options.rescale.iter().cycle().nth(number) {
                life.rescale(*next).await?;
            }
        }
        life.end().await?;
        Ok(None)
    }

    fn life<'l>(&self, queries: &'l [Query], stage: &Arc<Stage>) -> Result<Life<'l>> {
        let checkpoint = self.scratch.join("checkpoint");
        let killed = (self.options.between == Between::Kill).then(|| self.scratch.join("killed"));
        if let Some(killed) = &killed {
            stage.keep_as_killed(checkpoint.clone(), killed.clone());
        }
        let watcher = Arc::new(Watcher::default());
        let options = StartOptions {
            checkpoint: checkpoint.into(),
            trigger: self.trigger()?,
            accept_foreign: false,
            dead_letter: None,
            clock: self.options.clock.clone(),
            isolation: None,
            faults: Arc::new(NoFaults),
            listeners: vec![watcher.clone()],
        };
        Ok(Life { queries, options, killed, watcher, replays: false, starts: 0, running: None })
    }

    fn trigger(&self) -> Result<Trigger> {
        match &self.case.trigger {
            None => Ok(Trigger::Asap),
            Some(trigger) => Trigger::parse(trigger.interval.as_deref().unwrap_or(&trigger.mode)),
        }
    }

    /// `exact`: the rows must be those of the case. Otherwise the watermark may only not be ahead of it; that of
    /// a case with restarts of its own may be, since a kill lets an epoch be seen again.
    fn compare(&self, number: usize, stage: &Stage, life: &Life, exact: bool) -> Result<Option<String>> {
        let case = self.case;
        let mut rows = Vec::new();
        for batch in stage.take_out() {
            rows.extend(to_rows(&batch)?);
        }
        let columns: Vec<String> = case.output_schema.iter().flatten().map(|(name, _)| name.clone()).collect();
        if exact
            && let Some(expected) = case.expected.get(number)
            && let Some(difference) = difference(&rows, expected, case.ordered, &case.compare, &columns)
        {
            return Ok(Some(difference));
        }
        let report = life.watcher.last();
        let watermark = report.as_ref().and_then(|report| report.next_watermark).unwrap_or(0);
        if let Some(expected) = case.expected_watermark_ms_after_batch.as_ref().and_then(|all| all.get(number))
            && !case.watermark.is_empty()
            && if exact { watermark != *expected } else { watermark > *expected && !life.restarts_itself(case) }
        {
            return Ok(Some(format!("expected the watermark {expected} ms after it, got {watermark} ms")));
        }
        let late = life.watcher.take_late();
        if let Some(expected) = case.late_rows_dropped.get(number)
            && self.options.between == Between::Nothing
            && counts_late_rows(&case.state_operators)
            && *expected != late
        {
            return Ok(Some(format!("expected {expected} late rows to be dropped, got {late}")));
        }
        Ok(report.filter(|_| exact && !life.keeps_slices()).and_then(|report| self.wrong_state(number, &report)))
    }

    /// State rows are compared where Spark counts what we count: sliding windows are kept as slices here,
    /// and under ORDER BY Spark runs the aggregation twice.
    fn wrong_state(&self, number: usize, report: &EpochReport) -> Option<String> {
        let expected = self.case.expected_state_rows.get(number)?;
        let operators = &report.progress.state_operators;
        let names: Vec<&str> = operators.iter().map(|operator| operator.operator_name.as_str()).collect();
        if self.case.ordered || names != self.case.state_operators.iter().map(String::as_str).collect::<Vec<_>>() {
            return None;
        }
        let actual: Vec<u64> = operators.iter().map(|operator| operator.num_rows_total).collect();
        (actual != *expected).then(|| format!("expected {expected:?} state rows, got {actual:?}"))
    }
}

/// True when Spark drops late rows one by one, as we do: an aggregation of its drops groups of a file.
fn counts_late_rows(operators: &[String]) -> bool {
    let one_by_one = ["symmetricHashJoin", "dedupe", "dedupeWithinWatermark"];
    !operators.is_empty() && operators.iter().all(|name| one_by_one.contains(&name.as_str()))
}

/// An error that others hold too, as one of our own.
pub fn unshared(error: Arc<Error>) -> Error {
    let copy = Error::new(error.kind(), error.chain()).at_if_unplaced(error.place().cloned());
    let copy = match error.error_class() {
        Some(class) => copy.class(class),
        None => copy,
    };
    match error.help_text() {
        Some(help) => copy.help(help),
        None => copy,
    }
}

fn table(name: &str, columns: &[(String, String)], connector: &str) -> Result<TableDefinition> {
    let columns = columns.iter().map(|(name, of)| {
        let kind = ColumnKind::Stored { data_type: types::parse_type(of)?, nullable: true };
        Ok(ColumnDefinition { name: name.clone(), kind })
    });
    Ok(TableDefinition {
        name: name.to_owned(),
        columns: columns.collect::<Result<_>>()?,
        watermark: None,
        options: vec![GivenOption::new("connector", connector)],
        at: Spot::default(),
    })
}
