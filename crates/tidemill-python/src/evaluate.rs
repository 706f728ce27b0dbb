//! Plans over rows that are there already: their columns, their rows, what they do.

use crate::arrow_data::Rows;
use crate::engine::{Known, Shared};
use crate::spec;
use arrow::array::RecordBatchOptions;
use arrow::record_batch::RecordBatch;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidemill_core::{Error, Options, Result, types};
use tidemill_engine::dataflow::execute::all_rows;
use tidemill_engine::pipeline::build::PipelineSpec;
use tidemill_engine::pipeline::explain;
use tidemill_engine::pipeline::plan::outer_schema;
use tidemill_engine::pipeline::query::{Query, SinkTable};
use tidemill_engine::start::build;
use tidemill_engine::tables::Tables;

/// Columns of the first plan, as DDL.
///
/// # Errors
/// What is wrong with the plan.
pub fn schema(registry: Known, text: &str, given: HashMap<String, Rows>) -> Result<String> {
    let query = checked(registry, text, given)?;
    Ok(types::schema_ddl(&outer_schema(&query.outputs[0].plan.attributes)))
}

/// The first plan as data flows, a line a step. Where its rows go is not said: nowhere yet.
///
/// # Errors
/// What is wrong with the plan.
pub fn explained(registry: Known, text: &str, given: HashMap<String, Rows>) -> Result<String> {
    let whole = explain::query(&checked(registry, text, given)?);
    let steps = whole.lines().filter(|line| line.starts_with("  #")).map(str::trim_start);
    Ok(steps.collect::<Vec<_>>().join("\n"))
}

/// All rows of the first plan.
///
/// # Errors
/// It reads a stream; a table that cannot be read; what an expression fails with.
pub fn rows(shared: &Shared, registry: Known, text: &str, given: HashMap<String, Rows>) -> Result<Rows> {
    let query = checked(registry, text, given)?;
    let plan = query.outputs[0].plan.clone();
    if plan.streaming {
        return Err(Error::invalid("the rows of a stream cannot be asked for: they never end")
            .class("_LEGACY_ERROR_TEMP_3102")
            .help("start a query with df.writeStream ... .start()"));
    }
    query.session.clock.store(shared.clock.now_micros(), Ordering::Relaxed);
    let inner = all_rows(build(&query, &shared.block_on(Tables::read(&query))?)?, &plan)?;
    let schema = outer_schema(&plan.attributes);
    let options = RecordBatchOptions::new().with_row_count(Some(inner.num_rows()));
    let rows = RecordBatch::try_new_with_options(schema.clone(), inner.columns().to_vec(), &options)?;
    Ok(Rows { schema, batches: vec![rows] })
}

/// The first query, with its rows going nowhere.
fn checked((mut registry, extensions): Known, text: &str, given: HashMap<String, Rows>) -> Result<Query> {
    let pipeline = PipelineSpec { extensions, ..spec::read(text, given, &mut registry)? };
    let connector = registry.sink("memory")?;
    let taker =
        SinkTable { name: "rows".into(), connector: Arc::clone(&connector), format: None, options: Options::default() };
    pipeline.check_rows(taker, &registry)
}
