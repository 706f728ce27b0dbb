//! A table made ready to be written: made when it is not there, widened when that was asked for, and
//! checked against the rows to come.

use super::evolve::merged;
use super::home::Home;
use super::schema::{check, to_kernel};
use super::table::{Layout, Outcome, Table};
use arrow::datatypes::SchemaRef;
use deltalake::kernel::{Action, MetadataExt};
use deltalake::protocol::{DeltaOperation, SaveMode};
use tidemill_core::{Error, Kind, Result, ResultExt};

/// Times that other writers may be faster before a change of columns is given up.
const ATTEMPTS_MAX: u32 = 10;

/// What the rows to come ask of a table.
pub(crate) struct Asked<'a> {
    pub(crate) schema: &'a SchemaRef,
    pub(crate) partition_by: &'a [String],
    /// Columns that the table has not are added, and narrow ones widened.
    pub(crate) merge_schema: bool,
    /// For a table that is made.
    pub(crate) properties: &'a [(String, String)],
}

/// Opens the table, or makes it; checks that the rows fit.
///
/// # Errors
/// As [`Table::open`], [`Table::create`] and [`check`]; other partition columns than the table has; a
/// change of columns that Delta does not allow.
pub(crate) async fn open(home: Home, asked: &Asked<'_>) -> Result<(Table, Layout)> {
    let mut table = match Table::open(home.clone()).await? {
        Some(table) => table,
        None => Table::create(home, asked.schema, asked.partition_by, asked.properties).await?,
    };
    let mut layout = table.layout()?;
    let same = |left: &String, right: &String| left.eq_ignore_ascii_case(right);
    let is_same = layout.partition_by.len() == asked.partition_by.len()
        && layout.partition_by.iter().zip(asked.partition_by).all(|(left, right)| same(left, right));
    if !asked.partition_by.is_empty() && !is_same {
        let (place, has) = (&table.home.place, layout.partition_by.join(", "));
        let wanted = asked.partition_by.join(", ");
        return Err(Error::invalid(format!("the delta table at {place} is partitioned by [{has}], not by [{wanted}]")));
    }
    if asked.merge_schema {
        layout = evolve(&mut table, layout, asked.schema).await?;
    }
    check(&layout, asked.schema, &table.home.place)?;
    Ok((table, layout))
}

/// Gives the table the columns of the rows that it has not.
async fn evolve(table: &mut Table, mut layout: Layout, rows: &SchemaRef) -> Result<Layout> {
    let token = uuid::Uuid::new_v4().to_string();
    for _ in 0..ATTEMPTS_MAX {
        let Some(schema) = merged(&layout, rows, &table.home.place)? else { return Ok(layout) };
        let metadata = table.metadata()?.with_schema(&to_kernel(&schema)?);
        let metadata = metadata.context(Kind::Bug, || "the library refuses the table's new columns".into())?;
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        match table.commit(vec![Action::Metadata(metadata)], operation, &token).await? {
            Outcome::Committed | Outcome::Overtaken => layout = table.layout()?,
            Outcome::Unclear(error) => return Err(error),
        }
    }
    let place = &table.home.place;
    Err(Error::new(Kind::Again, format!("other writers of the delta table at {place} were always faster")))
}
