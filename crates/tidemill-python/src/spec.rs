//! A pipeline as Python describes it: JSON with names, settings, tables and plans, and Arrow rows beside it.

use crate::arrow_data::{Rows, spark_columns};
use crate::parts;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use tidemill_connectors::memory::{MemorySource, MemoryStore};
use tidemill_core::options::GivenOption;
use tidemill_core::{Error, Registry, Result, types};
use tidemill_engine::pipeline::build::{Insert, PipelineSpec};
use tidemill_engine::pipeline::relation::Relation;
use tidemill_engine::pipeline::settings::parse_output_mode;
use tidemill_engine::pipeline::statement::{ColumnDefinition, ColumnKind, TableDefinition};
use tidemill_engine::pipeline::text::{Spot, Text};

/// A pipeline as JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    name: String,
    #[serde(default)]
    settings: BTreeMap<String, String>,
    #[serde(default)]
    tables: Vec<SpecTable>,
    inserts: Vec<SpecInsert>,
}

/// A table that is read or written. One whose rows are given beside the JSON has no columns here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecTable {
    name: String,
    /// Name, type in DDL, whether it may be NULL.
    #[serde(default)]
    columns: Vec<(String, String, bool)>,
    /// Event-time column and delay.
    #[serde(default)]
    watermark: Option<(String, String)>,
    #[serde(default)]
    options: BTreeMap<String, String>,
}

/// A plan whose rows go to a table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecInsert {
    table: String,
    relation: Relation,
    #[serde(default)]
    mode: Option<String>,
}

/// The pipeline that `text` describes; `given` are the rows of tables that Python holds. Those tables are
/// added to `registry` as its source `memory`.
///
/// # Errors
/// Text that describes no pipeline, a type that does not exist.
pub fn read(text: &str, given: HashMap<String, Rows>, registry: &mut Registry) -> Result<PipelineSpec> {
    let spec: Spec = parts::json("the pipeline", text)?;
    let text = user_text(spec.inserts.iter().map(|insert| &insert.relation));
    let mut pipeline = PipelineSpec { name: spec.name, text, ..PipelineSpec::default() };
    pipeline.settings.extend(spec.settings.iter().map(|(key, value)| GivenOption::new(key, value)));
    for table in spec.tables {
        pipeline.tables.push(definition(table)?);
    }
    let store = MemoryStore::new();
    for (name, rows) in given {
        pipeline.tables.push(held(&name, &rows)?);
        let table = store.table(&name);
        rows.batches.into_iter().for_each(|batch| table.push(batch));
    }
    registry.add_source(MemorySource::new(store));
    for insert in spec.inserts {
        let mode = insert.mode.map(|word| {
            parse_output_mode(&word).ok_or_else(|| {
                Error::invalid(format!("there is no output mode '{word}'"))
                    .class("STREAMING_OUTPUT_MODE.INVALID")
                    .help("output modes: append, update, complete")
            })
        });
        pipeline.inserts.push(Insert {
            table: insert.table,
            columns: vec![],
            query: insert.relation,
            mode: mode.transpose()?,
            at: Spot::default(),
        });
    }
    Ok(pipeline)
}

/// The SQL text that places in errors point into, if there is one in the plans.
fn user_text<'a>(relations: impl Iterator<Item = &'a Relation>) -> Text {
    let (mut open, mut texts): (Vec<&Relation>, Vec<&str>) = (relations.collect(), Vec::new());
    while let Some(relation) = open.pop() {
        if let Relation::Sql { sql, .. } = relation {
            texts.push(sql);
        }
        open.extend(relation.inputs());
    }
    match texts.as_slice() {
        [only] => Text::new("<sql>", only),
        _ => Text::new("<python>", ""),
    }
}

fn definition(table: SpecTable) -> Result<TableDefinition> {
    let columns = table.columns.into_iter().map(|(name, of, nullable)| {
        let kind = ColumnKind::Stored { data_type: types::parse_type(&of)?, nullable };
        Ok(ColumnDefinition { name, kind })
    });
    Ok(TableDefinition {
        name: table.name,
        columns: columns.collect::<Result<_>>()?,
        watermark: table.watermark.map(|(column, delay)| (column, delay, Spot::default())),
        options: table.options.into_iter().map(|(key, value)| GivenOption::new(key, value)).collect(),
        at: Spot::default(),
    })
}

/// A table whose rows are in memory and are read once.
fn held(name: &str, rows: &Rows) -> Result<TableDefinition> {
    let columns = spark_columns(&rows.schema)?
        .into_iter()
        .map(|(name, data_type, nullable)| ColumnDefinition { name, kind: ColumnKind::Stored { data_type, nullable } });
    Ok(TableDefinition {
        name: name.to_owned(),
        columns: columns.collect(),
        watermark: None,
        options: vec![GivenOption::new("connector", "memory"), GivenOption::new("static", "true")],
        at: Spot::default(),
    })
}
