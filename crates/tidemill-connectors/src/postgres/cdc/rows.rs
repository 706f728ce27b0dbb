//! Changes to columns: which column of the table or of its metadata each column asked for is, and the values.

use super::buffer::{Operation, Row};
use super::message::{Relation, Value, values};
use super::position::shown;
use super::types;
use crate::format::column::{Column, Values, finish_all};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::sync::Arc;
use tidemill_core::types::{array_of, name as type_name, timestamp};
use tidemill_core::{Error, Kind, Result};

/// The columns of metadata.
pub(super) const OPERATION: &str = "_op";
pub(super) const LSN: &str = "_lsn";
pub(super) const NUMBER: &str = "_seq";
pub(super) const XID: &str = "_xid";
pub(super) const COMMITTED: &str = "_ts";
pub(super) const UNCHANGED: &str = "_unchanged";
pub(super) const BEFORE: &str = "_before";

/// What a column that is asked for is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A column of the table, by its place.
    Column(usize),
    /// The table has none of the name.
    Missing,
    Operation,
    Lsn,
    Number,
    Xid,
    Committed,
    Unchanged,
    Before,
}

/// What becomes of values that have no place in the columns asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Policies {
    /// A value that its type cannot hold is NULL; else the query stops.
    pub(super) bad_is_null: bool,
    /// A value that was not sent, where nobody reads which they are, is NULL; else the query stops.
    pub(super) unchanged_is_null: bool,
}

/// A column that cannot be read from a table as it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    Missing(String),
    /// Its name and the type it is asked for as.
    Type(String, String),
}

/// The metadata columns, in order, with the row before the change if that is wanted.
pub(super) fn metadata(before: Option<&Fields>) -> Vec<Field> {
    let field = |name: &str, of: DataType| Field::new(name, of, true);
    let mut fields = vec![
        field(OPERATION, DataType::Utf8),
        field(LSN, DataType::Int64),
        field(NUMBER, DataType::Int64),
        field(XID, DataType::Int64),
        field(COMMITTED, timestamp()),
        field(UNCHANGED, array_of(DataType::Utf8)),
    ];
    fields.extend(before.map(|before| field(BEFORE, DataType::Struct(before.clone()))));
    fields
}

/// All columns of a table, then the metadata.
pub(super) fn default_schema(relation: &Relation, with_before: bool) -> SchemaRef {
    let columns = relation.columns.iter();
    let columns =
        columns.map(|column| Field::new(&column.name, types::default_type(column.oid, column.modifier), true));
    let columns: Fields = columns.collect();
    let metadata = metadata(with_before.then_some(&columns));
    Arc::new(Schema::new(columns.iter().cloned().chain(metadata.into_iter().map(Arc::new)).collect::<Vec<_>>()))
}

/// Checks what is asked of the metadata, which is the same for every state of the table.
///
/// # Errors
/// A metadata column of another type.
pub(super) fn check_metadata(table: &str, schema: &Schema) -> Result<()> {
    for known in metadata(None) {
        let asked = schema.fields().iter().find(|field| field.name() == known.name());
        if let Some(asked) = asked.filter(|asked| !asked.data_type().equals_datatype(known.data_type())) {
            let (is, wanted) = (type_name(asked.data_type()), type_name(known.data_type()));
            return Err(Error::invalid(format!("column '{}' of table '{table}' is {wanted}, not {is}", known.name())));
        }
    }
    match schema.fields().iter().find(|field| field.name() == BEFORE).map(|field| field.data_type()) {
        None | Some(DataType::Struct(_)) => Ok(()),
        Some(other) => {
            let message = format!("column '{BEFORE}' of table '{table}' is a STRUCT, not {}", type_name(other));
            Err(Error::invalid(message).help("declare the columns of the table within it that you need"))
        }
    }
}

/// The first column of `schema` that `relation` cannot fill.
pub(super) fn misfit(schema: &Schema, relation: &Relation) -> Option<Misfit> {
    schema.fields().iter().find_map(|field| match (origin(field, relation), field.data_type()) {
        (Origin::Before, DataType::Struct(fields)) => {
            fields.iter().find_map(|field| misfit_of(field, by_name(field, relation), relation))
        }
        (origin, _) => misfit_of(field, origin, relation),
    })
}

fn misfit_of(field: &Field, origin: Origin, relation: &Relation) -> Option<Misfit> {
    match origin {
        Origin::Missing => Some(Misfit::Missing(field.name().clone())),
        Origin::Column(at) if !types::fits(field.data_type(), relation.columns[at].oid) => {
            Some(Misfit::Type(field.name().clone(), type_name(field.data_type())))
        }
        _ => None,
    }
}

fn origin(field: &Field, relation: &Relation) -> Origin {
    match field.name().as_str() {
        OPERATION => Origin::Operation,
        LSN => Origin::Lsn,
        NUMBER => Origin::Number,
        XID => Origin::Xid,
        COMMITTED => Origin::Committed,
        UNCHANGED => Origin::Unchanged,
        BEFORE => Origin::Before,
        _ => by_name(field, relation),
    }
}

fn by_name(field: &Field, relation: &Relation) -> Origin {
    let columns = || relation.columns.iter();
    let exact = columns().position(|column| column.name == *field.name());
    let found = exact.or_else(|| columns().position(|column| column.name.eq_ignore_ascii_case(field.name())));
    found.map_or(Origin::Missing, Origin::Column)
}

/// Makes batches of the columns of `schema`.
///
/// # Errors
/// With `policies` that stop: a value that does not fit its column or was not sent; names column and position.
pub(super) fn batch(schema: &SchemaRef, rows: &[Row], policies: Policies) -> Result<RecordBatch> {
    let fields = schema.fields();
    let columns = fields.iter().map(|field| Column::new(field.data_type(), rows.len()));
    let mut maker = Maker {
        schema: schema.clone(),
        columns: columns.collect::<Result<_>>()?,
        policies,
        tells_unchanged: fields.iter().any(|field| field.name() == UNCHANGED),
    };
    let mut at = 0;
    while at < rows.len() {
        let relation = &rows[at].relation;
        let same = rows[at..].iter().take_while(|row| Arc::ptr_eq(&row.relation, relation)).count();
        let origins: Vec<Origin> = fields.iter().map(|field| origin(field, relation)).collect();
        rows[at..at + same].iter().try_for_each(|row| maker.add(row, &origins))?;
        at += same;
    }
    let arrays = finish_all(maker.columns, fields)?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema.clone(), arrays, &options).map_err(|cause| {
        Error::new(Kind::Data, "a column that must not be NULL has no value in a change")
            .help("declare the columns without NOT NULL: deleted rows come with their key alone")
            .caused_by(cause)
    })
}

struct Maker {
    schema: SchemaRef,
    columns: Vec<Column>,
    policies: Policies,
    tells_unchanged: bool,
}

impl Maker {
    fn add(&mut self, row: &Row, origins: &[Origin]) -> Result<()> {
        let old: Vec<Value<'_>> = row.old.as_deref().map(|tuple| values(tuple).collect()).unwrap_or_default();
        let new: Vec<Value<'_>> = row.new.as_deref().map(|tuple| values(tuple).collect()).unwrap_or_default();
        let is_delete = row.operation == Operation::Delete;
        // what an update did not send, an old row that came whole has
        let current = |at: usize| match new.get(at) {
            Some(Value::Unchanged) if row.relation.is_full => old.get(at).copied().unwrap_or(Value::Unchanged),
            Some(value) => *value,
            None if is_delete => old.get(at).copied().unwrap_or(Value::Null),
            None => Value::Null,
        };
        for (number, origin) in origins.iter().enumerate() {
            match origin {
                Origin::Column(at) => self.value(number, row, *at, current(*at))?,
                Origin::Before => self.before(number, row, &old)?,
                Origin::Unchanged => {
                    let names = row.relation.columns.iter().enumerate();
                    let names = names.filter(|(at, _)| current(*at) == Value::Unchanged);
                    let names: Vec<&str> = names.map(|(_, column)| column.name.as_str()).collect();
                    texts(&mut self.columns[number], &names);
                }
                origin => metadatum(&mut self.columns[number], *origin, row),
            }
        }
        Ok(())
    }

    fn value(&mut self, number: usize, row: &Row, at: usize, value: Value<'_>) -> Result<()> {
        let column = &mut self.columns[number];
        match value {
            Value::Text(text) => {
                if types::push(column, text).is_none() {
                    if !self.policies.bad_is_null {
                        return Err(bad(row, at, self.schema.field(number)));
                    }
                    column.push_null();
                }
            }
            Value::Unchanged if !self.tells_unchanged && !self.policies.unchanged_is_null => {
                return Err(unsent(row, at));
            }
            Value::Unchanged | Value::Null => column.push_null(),
        }
        Ok(())
    }

    fn before(&mut self, number: usize, row: &Row, old: &[Value<'_>]) -> Result<()> {
        let DataType::Struct(fields) = self.schema.field(number).data_type().clone() else {
            return Err(Error::bug(format!("'{BEFORE}' is no struct")));
        };
        let column = &mut self.columns[number];
        if row.old.is_none() {
            column.push_null();
            return Ok(());
        }
        let Values::Struct(parts) = &mut column.values else {
            return Err(Error::bug(format!("'{BEFORE}' is no struct")));
        };
        for (field, part) in fields.iter().zip(parts) {
            let at = match by_name(field, &row.relation) {
                Origin::Column(at) => at,
                _ => usize::MAX,
            };
            match old.get(at) {
                Some(Value::Text(text)) if types::push(part, text).is_some() => {}
                Some(Value::Text(_)) if !self.policies.bad_is_null => return Err(bad(row, at, field)),
                _ => part.push_null(),
            }
        }
        column.nulls.append_non_null();
        Ok(())
    }
}

fn metadatum(column: &mut Column, origin: Origin, row: &Row) {
    let transaction = &row.transaction;
    let number = match (origin, row.operation) {
        // positions are far below 2^63
        (Origin::Lsn, _) => Some(transaction.lsn as i64),
        (Origin::Number, Operation::Read) => None,
        (Origin::Number, _) => Some(row.number as i64),
        (Origin::Xid, _) => transaction.xid.map(i64::from),
        (Origin::Committed, _) => Some(transaction.committed_at),
        _ => None,
    };
    match (&mut column.values, number) {
        (Values::Int64(values) | Values::Timestamp(values), Some(number)) => values.push(number),
        (Values::Text(spans), _) if origin == Origin::Operation => spans.push(row.operation.letter().as_bytes()),
        _ => return column.push_null(),
    }
    column.nulls.append_non_null();
}

fn texts(column: &mut Column, texts: &[&str]) {
    let Values::List { ends, items } = &mut column.values else { return };
    for text in texts {
        if let Values::Text(spans) = &mut items.values {
            spans.push(text.as_bytes());
        }
        items.nulls.append_non_null();
    }
    ends.push(items.len() as i32);
    column.nulls.append_non_null();
}

fn place(row: &Row) -> String {
    let relation = &row.relation;
    let at = shown(row.transaction.lsn);
    format!("table '{}.{}', change {} of the transaction at {at}", relation.schema, relation.name, row.number)
}

/// The value is not repeated: it may be personal.
fn bad(row: &Row, at: usize, field: &Field) -> Error {
    let (place, name, of) = (place(row), &row.relation.columns[at].name, type_name(field.data_type()));
    Error::new(Kind::Data, format!("{place}: the value of column '{name}' has no place in {of}"))
        .help("declare the column as STRING, or set bad_values = 'null'")
}

fn unsent(row: &Row, at: usize) -> Error {
    let (place, name) = (place(row), &row.relation.columns[at].name);
    let relation = &row.relation;
    let message = format!("{place}: the large value of column '{name}' did not change, so Postgres did not send it");
    Error::new(Kind::Data, message).help(format!(
        "ALTER TABLE {}.{} REPLICA IDENTITY FULL has it sent from then on; or read the column '{UNCHANGED}', which names such \
         columns; or set unchanged_values = 'null'",
        relation.schema, relation.name
    ))
}

#[cfg(test)]
mod tests {
    use super::super::buffer::Transaction;
    use super::super::message::RelationColumn;
    use super::super::message::tests::row as tuple;
    use super::*;

    const STOP: Policies = Policies { bad_is_null: false, unchanged_is_null: false };

    fn relation(is_full: bool) -> Arc<Relation> {
        let column = |name: &str, is_key, oid| RelationColumn { name: name.into(), is_key, oid, modifier: -1 };
        let columns = vec![column("id", true, 23), column("Note", is_full, 25), column("day", is_full, 1082)];
        Arc::new(Relation { id: 7, schema: "public".into(), name: "t".into(), is_full, columns })
    }

    fn change(operation: Operation, old: Option<&[&str]>, new: Option<&[&str]>, is_full: bool) -> Row {
        let transaction = Arc::new(Transaction { lsn: 16, committed_at: 1_000_000, xid: Some(9) });
        let (old, new) = (old.map(tuple), new.map(tuple));
        Row { operation, transaction, number: 2, relation: relation(is_full), old, new }
    }

    fn json(schema: &SchemaRef, rows: &[Row]) -> Vec<String> {
        let rows = batch(schema, rows, STOP).unwrap();
        let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
        writer.write(&rows).unwrap();
        writer.finish().unwrap();
        String::from_utf8(writer.into_inner()).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn changes_become_flat_rows_with_metadata() {
        let schema = default_schema(&relation(false), true);
        let rows = [
            change(Operation::Create, None, Some(&["1", "a", "2026-01-02"]), false),
            change(Operation::Delete, Some(&["1", "~", "~"]), None, false),
            change(Operation::Update, Some(&["1", "old", "~"]), Some(&["1", "^", "~"]), true),
        ];
        assert_eq!(
            json(&schema, &rows),
            [
                r#"{"id":1,"Note":"a","day":"2026-01-02","_op":"c","_lsn":16,"_seq":2,"_xid":9,"_ts":"1970-01-01T00:00:01Z","_unchanged":[]}"#,
                r#"{"id":1,"_op":"d","_lsn":16,"_seq":2,"_xid":9,"_ts":"1970-01-01T00:00:01Z","_unchanged":[],"_before":{"id":1}}"#,
                r#"{"id":1,"Note":"old","_op":"u","_lsn":16,"_seq":2,"_xid":9,"_ts":"1970-01-01T00:00:01Z","_unchanged":[],"_before":{"id":1,"Note":"old"}}"#,
            ]
        );
    }

    #[test]
    fn a_value_that_was_not_sent_is_never_passed_off_as_null() {
        let all = default_schema(&relation(false), false);
        let update = [change(Operation::Update, None, Some(&["1", "^", "~"]), false)];
        assert!(json(&all, &update)[0].contains(r#""_unchanged":["Note"]"#));
        let without: SchemaRef = Arc::new(all.project(&[0, 1]).unwrap());
        let error = batch(&without, &update, STOP).unwrap_err();
        assert!(error.report().contains("REPLICA IDENTITY FULL"), "{}", error.report());
        let null = Policies { unchanged_is_null: true, ..STOP };
        assert_eq!(batch(&without, &update, null).unwrap().column(1).null_count(), 1);
    }

    #[test]
    fn a_bad_value_is_named_by_its_place_and_not_shown() {
        let schema = default_schema(&relation(false), false);
        let rows = [change(Operation::Create, None, Some(&["1", "a", "infinity"]), false)];
        let report = batch(&schema, &rows, STOP).unwrap_err().report();
        assert!(report.contains("'day'") && report.contains("0/10") && !report.contains("infinity"), "{report}");
        let null = Policies { bad_is_null: true, ..STOP };
        assert_eq!(batch(&schema, &rows, null).unwrap().column(2).null_count(), 1);
    }

    #[test]
    fn columns_that_a_table_cannot_fill_are_found() {
        let field = |name: &str, of| Field::new(name, of, true);
        let asked = |fields: Vec<Field>| misfit(&Schema::new(fields), &relation(false));
        assert_eq!(asked(vec![field("note", DataType::Utf8), field("_op", DataType::Utf8)]), None, "as in SQL");
        assert_eq!(asked(vec![field("gone", DataType::Utf8)]), Some(Misfit::Missing("gone".into())));
        assert_eq!(asked(vec![field("id", DataType::Int16)]), Some(Misfit::Type("id".into(), "smallint".into())));
        let before = DataType::Struct(vec![field("id", DataType::Int64), field("gone", DataType::Utf8)].into());
        assert_eq!(asked(vec![field("_before", before)]), Some(Misfit::Missing("gone".into())));
        assert!(check_metadata("t", &Schema::new(vec![field("_ts", DataType::Utf8)])).is_err());
    }
}
