//! What clients look up before they ask for rows: `pg_catalog` and `information_schema` over the live tables, as far
//! as psql, drivers, ORMs and dashboards read them. Made anew for every statement that names them.
//!
//! `relations` is what relations there are, `rows` what stands in those that are not always empty, `functions` the
//! functions that go with them, `names` the numbers of things.

pub(super) mod functions;
pub(super) mod names;
mod relations;
mod rows;

use super::server::LiveTable;
use super::types::Shown;
use arrow::array::{
    Array as _, ArrayRef, BooleanArray, Float32Array, Int16Array, Int32Array, Int64Array, ListArray, StringArray,
    UInt32Array,
};
use arrow::array::{ListBuilder, StringBuilder};
use arrow::datatypes::{Field, Int16Type, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use relations::RELATIONS;
use std::borrow::Cow;
use std::sync::Arc;
use tidemill_core::{Error, Result};

/// The one database; clients may call it as they like.
pub(super) const DATABASE: &str = "tidemill";
/// Schema of the live tables.
pub(super) const PUBLIC: &str = "public";

/// What there is while a statement runs.
#[derive(Debug)]
pub(super) struct World {
    /// The live tables, each with the rows the statement sees.
    pub(super) tables: Vec<Arc<Pinned>>,
    /// Who asks.
    pub(super) user: String,
}

/// A live table and the rows that a statement sees.
#[derive(Debug)]
pub(super) struct Pinned {
    pub(super) table: Arc<LiveTable>,
    pub(super) snapshot: Arc<super::table::Snapshot>,
    pub(super) columns: Vec<Shown>,
}

impl World {
    /// The live table of that name.
    pub(super) fn table(&self, name: &str) -> Option<&Arc<Pinned>> {
        self.tables.iter().find(|pinned| pinned.table.name == name)
    }
}

/// A relation of the catalogue.
struct Relation {
    schema: &'static str,
    name: &'static str,
    /// Columns, each `name:type` or `name:type=value` with what stands in it when a row says nothing. Types: `o` oid,
    /// `t` text, `c` text of one letter, `s`, `i`, `l` integers of 2, 4, 8 bytes, `f` real, `b` boolean, `v` list of
    /// numbers, `a` list of texts; lists are NULL.
    columns: &'static str,
    /// Its rows; `None` when it is always empty.
    rows: Option<fn(&World) -> Vec<Row>>,
}

/// A row: what differs from the columns' defaults.
type Row = Vec<(&'static str, Cell)>;

/// A value.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Text(Cow<'static, str>),
    Number(i64),
    Flag(bool),
}

impl From<&'static str> for Cell {
    fn from(text: &'static str) -> Self {
        Cell::Text(text.into())
    }
}
impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text.into())
    }
}
impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Cell::Number(number.into())
    }
}
impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Cell::Number(number)
    }
}
impl From<bool> for Cell {
    fn from(flag: bool) -> Self {
        Cell::Flag(flag)
    }
}

/// The schemas of the catalogue.
pub(super) const SCHEMAS: &[&str] = &["pg_catalog", "information_schema", "tidemill"];

/// Names of a schema's relations.
pub(super) fn names(schema: &str) -> Vec<String> {
    RELATIONS.iter().filter(|relation| relation.schema == schema).map(|relation| relation.name.to_owned()).collect()
}

/// True for a relation of `pg_catalog`.
pub(super) fn is_known(name: &str) -> bool {
    find("pg_catalog", name).is_some()
}

/// True for a relation that never has rows.
pub(super) fn is_always_empty(schema: Option<&str>, name: &str) -> bool {
    find(schema.unwrap_or("pg_catalog"), name).is_some_and(|relation| relation.rows.is_none())
}

/// Numbers of the catalogue's own relations begin here.
const CATALOG_OIDS: u32 = 12_000;

/// The number of a relation of the catalogue.
fn number(schema: &str, name: &str) -> Option<u32> {
    let with_numbers = RELATIONS.iter().zip(CATALOG_OIDS..);
    with_numbers.into_iter().find(|(of, _)| of.schema == schema && of.name == name).map(|(_, oid)| oid)
}

/// True for a relation that needs no schema before its name: a live table, or one of `pg_catalog`.
fn is_visible(oid: i64) -> bool {
    let own = usize::try_from(oid - i64::from(CATALOG_OIDS)).ok().and_then(|at| RELATIONS.get(at));
    own.is_none_or(|relation| relation.schema == "pg_catalog")
}

fn find(schema: &str, name: &str) -> Option<&'static Relation> {
    RELATIONS.iter().find(|relation| relation.schema == schema && relation.name == name)
}

/// The rows of a relation; `None` when there is no such relation.
///
/// # Errors
/// A relation that is written down wrongly, which is a bug.
pub(super) fn read(schema: &str, name: &str, world: &World) -> Result<Option<RecordBatch>> {
    let Some(relation) = find(schema, name) else {
        return Ok(None);
    };
    let rows = relation.rows.map_or_else(Vec::new, |rows| rows(world));
    let (mut fields, mut arrays) = (vec![], vec![]);
    for column in relation.columns.split_whitespace() {
        let wrong = || Error::bug(format!("column '{column}' of relation '{name}' is written down wrongly"));
        let (name, kind) = column.split_once(':').ok_or_else(wrong)?;
        let (kind, default) = kind.split_once('=').map_or((kind, None), |(kind, value)| (kind, Some(value)));
        let cells: Vec<Option<Cell>> = rows
            .iter()
            .map(|row| row.iter().find(|(of, _)| *of == name).map(|(_, cell)| cell.clone()))
            .map(|cell| cell.or_else(|| default.map(|value| cell_of(kind, value))))
            .collect();
        let array = array(kind, &cells).ok_or_else(wrong)?;
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(Some(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?))
}

fn cell_of(kind: &str, value: &str) -> Cell {
    match kind {
        "b" => Cell::Flag(value == "t"),
        "t" | "c" => Cell::Text(value.to_owned().into()),
        _ => Cell::Number(value.parse().unwrap_or(0)),
    }
}

fn array(kind: &str, cells: &[Option<Cell>]) -> Option<ArrayRef> {
    let numbers = || {
        cells.iter().map(|cell| match cell {
            Some(Cell::Number(number)) => Some(*number),
            _ => None,
        })
    };
    Some(match kind {
        "o" => Arc::new(numbers().map(|number| number.and_then(|it| u32::try_from(it).ok())).collect::<UInt32Array>()),
        "s" => Arc::new(numbers().map(|number| number.and_then(|it| i16::try_from(it).ok())).collect::<Int16Array>()),
        "i" => Arc::new(numbers().map(|number| number.and_then(|it| i32::try_from(it).ok())).collect::<Int32Array>()),
        "l" => Arc::new(numbers().collect::<Int64Array>()),
        "f" => Arc::new(numbers().map(|number| number.map(|it| it as f32)).collect::<Float32Array>()),
        "b" => Arc::new(
            cells
                .iter()
                .map(|cell| match cell {
                    Some(Cell::Flag(flag)) => Some(*flag),
                    _ => None,
                })
                .collect::<BooleanArray>(),
        ),
        "t" | "c" => Arc::new(
            cells
                .iter()
                .map(|cell| match cell {
                    Some(Cell::Text(text)) => Some(text.as_ref()),
                    _ => None,
                })
                .collect::<StringArray>(),
        ),
        // nothing fills these
        "a" => {
            let mut lists = ListBuilder::new(StringBuilder::new());
            cells.iter().for_each(|_| lists.append_null());
            Arc::new(lists.finish())
        }
        "v" => {
            Arc::new(ListArray::from_iter_primitive::<Int16Type, _, _>(cells.iter().map(|_| None::<Vec<Option<i16>>>)))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_relation_can_be_read_and_fills_only_columns_it_has() {
        let world = World { tables: vec![], user: "me".into() };
        for relation in RELATIONS {
            let batch = read(relation.schema, relation.name, &world).unwrap().unwrap();
            assert!(batch.num_columns() > 0, "{}", relation.name);
            for row in relation.rows.map_or_else(Vec::new, |rows| rows(&world)) {
                for (name, _) in row {
                    assert!(batch.schema().index_of(name).is_ok(), "{}.{name}", relation.name);
                }
            }
        }
        assert!(is_always_empty(None, "pg_inherits") && !is_always_empty(None, "pg_class"));
    }
}
