//! Which columns of the envelope are read for the columns that are wanted: nothing else of it is decoded. Pure.

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use std::sync::Arc;
use tidemill_core::types::{array_of, name, timestamp};
use tidemill_core::{Error, Result};

/// What a wanted column is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A column of the table, by its place among those of a row.
    Column(usize),
    Operation,
    Changed,
    Lsn,
    Transaction,
    Before,
    Source,
    Unchanged,
}

const METADATA: &[(&str, Origin)] = &[
    ("_op", Origin::Operation),
    ("_ts", Origin::Changed),
    ("_lsn", Origin::Lsn),
    ("_xid", Origin::Transaction),
    ("_before", Origin::Before),
    ("_source", Origin::Source),
    ("_unchanged", Origin::Unchanged),
];

/// The parts of an envelope, in the order of its columns.
pub(super) const BEFORE: usize = 0;
pub(super) const AFTER: usize = 1;
pub(super) const SOURCE: usize = 2;
pub(super) const OP: usize = 3;
pub(super) const MILLIS: usize = 4;
/// All of them, where Debezium wraps them.
pub(super) const PAYLOAD: usize = 5;

/// The columns that are wanted, and those that are read.
pub(super) struct Layout {
    /// What is wanted.
    pub schema: SchemaRef,
    pub origins: Vec<Origin>,
    /// Names and types of the columns of the table that are wanted.
    pub columns: Fields,
    /// Columns of the row before the change; the first are those of `columns`.
    before: Fields,
    source: Fields,
    is_text: bool,
}

impl Layout {
    /// For the columns of `schema`. `is_text` where times may be numbers or text, as in JSON.
    ///
    /// # Errors
    /// A metadata column of another type.
    pub fn new(schema: SchemaRef, is_text: bool) -> Result<Layout> {
        let (mut columns, mut origins): (Vec<FieldRef>, _) = (Vec::new(), Vec::new());
        let mut before: Vec<FieldRef> = Vec::new();
        let mut source =
            ["ts_ms", "lsn", "txId"].map(|name| Arc::new(Field::new(name, DataType::Int64, true))).to_vec();
        for field in schema.fields() {
            let known = METADATA.iter().find(|(name, _)| name.eq_ignore_ascii_case(field.name()));
            let Some((name, origin)) = known else {
                origins.push(Origin::Column(columns.len()));
                columns.push(field.clone());
                continue;
            };
            origins.push(*origin);
            match (origin, field.data_type()) {
                (Origin::Before, DataType::Struct(fields)) => before = fields.to_vec(),
                (Origin::Source, DataType::Struct(fields)) => {
                    let is_own = |own: &FieldRef| fields.iter().any(|field| field.name() == own.name());
                    source.retain(|own| !is_own(own));
                    source = fields.iter().cloned().chain(source).collect();
                }
                (Origin::Before | Origin::Source, other) => return Err(wrong(name, "a STRUCT", other)),
                (origin, of) => {
                    let wanted = match origin {
                        Origin::Operation => DataType::Utf8,
                        Origin::Changed => timestamp(),
                        Origin::Unchanged => array_of(DataType::Utf8),
                        _ => DataType::Int64,
                    };
                    if !of.equals_datatype(&wanted) {
                        return Err(wrong(name, &self::name(&wanted), of));
                    }
                }
            }
        }
        let of_row = |field: &FieldRef| columns.iter().find(|column| column.name() == field.name());
        for field in &before {
            if let Some(column) = of_row(field).filter(|column| column.data_type() != field.data_type()) {
                return Err(wrong(&format!("_before.{}", field.name()), &name(column.data_type()), field.data_type()));
            }
        }
        before.retain(|field| of_row(field).is_none());
        let before = columns.iter().cloned().chain(before).collect();
        Ok(Layout { schema, origins, columns: columns.into(), before, source: source.into(), is_text })
    }

    /// What is read of every record.
    pub fn envelope(&self) -> SchemaRef {
        let part = |name: &str, of: DataType| Field::new(name, of, true);
        let row = |fields: &Fields| DataType::Struct(fields.iter().map(|field| self.loose(field)).collect());
        let source = self.source.iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
        let mut parts = vec![
            part("before", row(&self.before)),
            part("after", row(&self.columns)),
            part("source", DataType::Struct(source.collect())),
            part("op", DataType::Utf8),
            part("ts_ms", DataType::Int64),
        ];
        if self.is_text {
            parts.push(part("payload", DataType::Struct(parts.clone().into())));
        }
        Arc::new(Schema::new(parts))
    }

    /// A column as it is read: NULL until it is known which row of the two counts, a time as its text.
    fn loose(&self, field: &FieldRef) -> FieldRef {
        let of = match field.data_type() {
            DataType::Timestamp(..) | DataType::Date32 if self.is_text => DataType::Utf8,
            of => of.clone(),
        };
        Arc::new(Field::new(field.name(), of, true))
    }

    /// True when `_unchanged` is wanted.
    pub fn tells_unchanged(&self) -> bool {
        self.origins.contains(&Origin::Unchanged)
    }
}

fn wrong(column: &str, wanted: &str, of: &DataType) -> Error {
    Error::invalid(format!("column '{column}' of a Debezium format is {wanted}, not {}", name(of)))
}
