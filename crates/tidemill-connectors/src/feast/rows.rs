//! Rows as Feast sees them: an entity, the instant of its features, the features.

use super::entity::{self, Key};
use super::value;
use crate::redis::key::{column, find};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use tidemill_core::{Error, Kind, Options, Result, types};

/// What the options name.
pub(super) struct Layout {
    pub(super) project: String,
    pub(super) view: String,
    /// Join keys in the order of their names, which is that of the serialized key.
    names: Vec<String>,
    /// The column of each, and whether its numbers have 32 bits.
    keys: Vec<(usize, bool)>,
    event_timestamp: Vec<usize>,
    /// Names and columns of the features.
    pub(super) features: Vec<(String, usize)>,
}

/// One row.
pub(super) struct FeatureRow {
    /// The entity's key, serialized.
    pub(super) entity: Vec<u8>,
    /// Microseconds since 1970.
    pub(super) at: i64,
    /// A `Value` message for each feature, and its text.
    pub(super) values: Vec<(Vec<u8>, Option<String>)>,
}

impl Layout {
    /// Checks the options of table `table` against its columns.
    ///
    /// # Errors
    /// A column that is not there or of a type Feast has not.
    pub(super) fn new(table: &str, options: &Options, schema: &SchemaRef) -> Result<Self> {
        let project = options.text("project").ok_or_else(|| {
            Error::invalid(format!(
                "table '{table}' needs option 'project', or 'repo' with a feature_store.yaml that names one"
            ))
        })?;
        let mut keys = Vec::new();
        for entry in list(options.required("entities")?) {
            let (name, kind) =
                entry.split_once(':').map_or((entry, None), |(name, kind)| (name.trim(), Some(kind.trim())));
            let at = plain(table, "entities", name, schema)?;
            let is_int32 = kind.is_some_and(|kind| kind.eq_ignore_ascii_case("int32"));
            let of = schema.field(at).data_type();
            let fits = of.is_integer() || matches!(of, DataType::Utf8 | DataType::Binary | DataType::Timestamp(..));
            if !fits || (is_int32 && matches!(of, DataType::Int64)) {
                let name_of = types::name(of);
                return Err(Error::invalid(format!(
                    "column '{name}' of table '{table}' is {name_of} and cannot be that entity"
                ))
                .help(
                    "an entity is a whole number, a string, binary or a timestamp; name:int32 for one of Feast's Int32",
                ));
            }
            keys.push((schema.field(at).name().clone(), at, is_int32));
        }
        if keys.is_empty() {
            return Err(Error::invalid(format!("option 'entities' of table '{table}' names no column")));
        }
        keys.sort();
        let event_timestamp = find(table, options.required("event_timestamp")?, schema)?;
        let of = schema.field(event_timestamp[0]).data_type();
        if event_timestamp.len() == 1 && !matches!(of, DataType::Timestamp(..)) && !types::is_window(of) {
            return Err(Error::invalid(format!(
                "option 'event_timestamp' of table '{table}' names a column of type {}; it must be a timestamp or a window",
                types::name(of)
            )));
        }
        let features: Vec<usize> = match options.text("features") {
            Some(names) => list(names).map(|name| plain(table, "features", name, schema)).collect::<Result<_>>()?,
            None => {
                let taken = |at: &usize| keys.iter().any(|(_, key, _)| key == at) || event_timestamp[0] == *at;
                (0..schema.fields().len()).filter(|at| !taken(at)).collect()
            }
        };
        if features.is_empty() {
            return Err(Error::invalid(format!(
                "table '{table}' has no features: every column is an entity or the timestamp"
            )));
        }
        for at in &features {
            value::check(table, schema.field(*at).name(), schema.field(*at).data_type())?;
        }
        Ok(Layout {
            project: project.to_owned(),
            view: options.required("feature_view")?.to_owned(),
            names: keys.iter().map(|(name, ..)| name.clone()).collect(),
            keys: keys.iter().map(|(_, at, is_int32)| (*at, *is_int32)).collect(),
            event_timestamp,
            features: features.into_iter().map(|at| (schema.field(at).name().clone(), at)).collect(),
        })
    }

    /// The rows of a batch, in order.
    ///
    /// # Errors
    /// An entity or timestamp that is NULL, a NULL inside an array.
    pub(super) fn rows(&self, rows: &RecordBatch) -> Result<Vec<FeatureRow>> {
        let instants = instants(&column(rows, &self.event_timestamp))?;
        let instants = instants.as_primitive::<TimestampMicrosecondType>();
        let missing = |what: &str, row: usize| {
            Error::new(Kind::Data, format!("{what} is NULL in row {row} of an epoch for feature view '{}'", self.view))
                .help("leave such rows out, with WHERE ... IS NOT NULL")
        };
        let mut found = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            if instants.is_null(row) {
                return Err(missing("the event timestamp", row));
            }
            let mut keys = Vec::with_capacity(self.keys.len());
            for ((at, is_int32), name) in self.keys.iter().zip(&self.names) {
                let array = rows.column(*at);
                if array.is_null(row) {
                    return Err(missing(&format!("entity '{name}'"), row));
                }
                keys.push(key(array, row, *is_int32));
            }
            let values = self.features.iter().map(|(name, at)| {
                let array = rows.column(*at);
                let message = value::message(array, row).map_err(|error| {
                    let help = error.help_text().unwrap_or_default().to_owned();
                    Error::new(error.kind(), format!("feature '{name}' of view '{}'", self.view))
                        .help(help)
                        .caused_by(error)
                })?;
                Ok((message, value::shown(array, row)))
            });
            found.push(FeatureRow {
                entity: entity::serialize(&self.names, &keys),
                at: instants.value(row),
                values: values.collect::<Result<_>>()?,
            });
        }
        Ok(found)
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty())
}

fn plain(table: &str, option: &str, name: &str, schema: &SchemaRef) -> Result<usize> {
    match find(table, name, schema)?.as_slice() {
        [at] => Ok(*at),
        _ => Err(Error::invalid(format!(
            "option '{option}' of table '{table}' takes columns, not fields of one: '{name}'"
        ))),
    }
}

/// Instants; of windows, their ends.
fn instants(array: &ArrayRef) -> Result<ArrayRef> {
    let array = match array.data_type() {
        DataType::Struct(_) => array.as_struct().column(1).clone(),
        _ => array.clone(),
    };
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(array),
        _ => Ok(cast(&array, &types::timestamp())?),
    }
}

fn key(array: &ArrayRef, row: usize, is_int32: bool) -> Key {
    match array.data_type() {
        DataType::Utf8 => Key::Text(value::raw(array, row)),
        DataType::Binary => Key::Bytes(value::raw(array, row)),
        of => {
            let number = value::whole(array, row).unwrap_or_default();
            match (of, i32::try_from(number)) {
                (DataType::Timestamp(..), _) => Key::Timestamp(number),
                (_, Ok(number)) if is_int32 => Key::Int32(number),
                _ => Key::Int64(number),
            }
        }
    }
}
