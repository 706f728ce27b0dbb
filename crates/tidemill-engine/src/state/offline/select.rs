//! Picks rows of state by a condition in SQL: the engine's own expressions over the columns people see.

use super::source::NAME;
use crate::dataflow::execute::all_rows;
use crate::pipeline::build::{Insert, PipelineSpec};
use crate::pipeline::plan::inner_schema;
use crate::pipeline::query::{Query, SinkTable};
use crate::pipeline::sql;
use crate::pipeline::statement::{ColumnDefinition, ColumnKind, TableDefinition};
use crate::pipeline::text::{Spot, Text};
use crate::start::lowered;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use tidemill_core::options::GivenOption;
use tidemill_core::{Options, Registry, Result};

/// The name of the state in a condition, for those who want to say it.
const TABLE: &str = "state";

/// A condition over the rows of a state.
pub struct Selection {
    query: Query,
    schema: SchemaRef,
}

impl Selection {
    /// For rows of these columns.
    ///
    /// # Errors
    /// A condition that is not one, or names a column that is not there.
    pub fn new(schema: &SchemaRef, condition: &str, registry: &Registry) -> Result<Selection> {
        let text = format!("SELECT * FROM {TABLE} WHERE {condition}");
        let columns = schema.fields().iter().map(|field| ColumnDefinition {
            name: field.name().clone(),
            kind: ColumnKind::Stored { data_type: field.data_type().clone(), nullable: field.is_nullable() },
        });
        let options = [("connector", NAME), ("path", "."), ("static", "true")];
        let table = TableDefinition {
            name: TABLE.into(),
            columns: columns.collect(),
            watermark: None,
            options: options.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect(),
            at: Spot::default(),
        };
        let query = sql::parse_query(&text)?;
        let insert = Insert { table: TABLE.into(), columns: vec![], query, mode: None, at: Spot::default() };
        let spec = PipelineSpec {
            name: TABLE.into(),
            text: Text::new("<where>", &text),
            tables: vec![table],
            inserts: vec![insert],
            ..PipelineSpec::default()
        };
        // nothing goes there: the rows are taken
        let sink = registry.sink("console")?;
        let taker = SinkTable { name: TABLE.into(), connector: sink, format: None, options: Options::default() };
        Ok(Selection { query: spec.check_rows(taker, registry)?, schema: schema.clone() })
    }

    /// The rows for which the condition is true.
    ///
    /// # Errors
    /// The condition fails on a row.
    pub fn of(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let flow = lowered(&self.query, &|_, columns, attributes| {
            let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
            let columns = columns.iter().map(|column| rows.column(*column).clone()).collect();
            Ok(RecordBatch::try_new_with_options(inner_schema(attributes), columns, &options)?)
        })?;
        let picked = all_rows(flow, &self.query.outputs[0].plan)?;
        let options = RecordBatchOptions::new().with_row_count(Some(picked.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), picked.columns().to_vec(), &options)?)
    }
}
