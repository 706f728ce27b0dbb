//! State under the names people know. Inside, the columns of an operator are called `key0`, `value0_0`; outside
//! they have the names of the columns and functions they are of. Instants are timestamps, and what never happens is
//! NULL.

use crate::checkpoint::metadata::Remembered;
use crate::evolve::identity::{Call, Identity};
use crate::operator::transform_with_state::table::MAP_KEY;
use arrow::array::{Array, ArrayRef, AsArray, Int8Array, Int64Array, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

/// How the columns of an operator look from outside.
pub struct Columns {
    inner: SchemaRef,
    outer: SchemaRef,
    /// For each column inside, what it is outside.
    shown: Vec<Shown>,
}

/// A column from outside.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shown {
    /// As it is.
    Same,
    /// An instant in microseconds; the value is shown as NULL.
    Instant { none: i64 },
    /// Not at all: it always has this value.
    Hidden { value: i64 },
}

/// What a pane is that is of no window.
const NO_PANE: i64 = i64::MIN;
/// An expiry that never comes.
const NEVER: i64 = i64::MAX;

impl Columns {
    /// For the columns of an operator, of which the checkpoint remembers this and whose layout is this.
    pub fn new(inner: SchemaRef, remembered: Option<&Remembered>, layout: &str) -> Columns {
        let identity = remembered.map(|remembered| &remembered.identity);
        let names = Names { identity, keys: key_names(identity, &inner) };
        let (mut shown, mut fields, mut taken) = (vec![], vec![], vec![]);
        for field in inner.fields() {
            let how = how(field, identity, layout);
            shown.push(how);
            let name = names.of(field.name(), &inner);
            let name = crate::evolve::identity::unused(&name, |name| taken.iter().any(|known| known == name));
            let data_type = match how {
                Shown::Same => field.data_type().clone(),
                Shown::Instant { .. } => types::timestamp(),
                Shown::Hidden { .. } => continue,
            };
            taken.push(name.clone());
            fields.push(Field::new(name, data_type, how != Shown::Same || field.is_nullable()));
        }
        Columns { inner, outer: Arc::new(Schema::new(fields)), shown }
    }

    /// The columns from outside.
    pub fn schema(&self) -> &SchemaRef {
        &self.outer
    }

    /// The columns that are the key, from outside.
    pub fn keys(&self) -> Vec<usize> {
        let visible = self.inner.fields().iter().zip(&self.shown);
        let visible = visible.filter(|(_, shown)| !matches!(shown, Shown::Hidden { .. }));
        visible.enumerate().filter(|(_, (field, _))| is_key(field.name())).map(|(place, _)| place).collect()
    }

    /// Rows as they are shown.
    ///
    /// # Errors
    /// A bug: rows of other columns.
    pub fn outward(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = vec![];
        for (column, shown) in rows.columns().iter().zip(&self.shown) {
            match shown {
                Shown::Same => columns.push(column.clone()),
                Shown::Instant { none } => {
                    let instants = column.as_primitive::<Int64Type>().iter();
                    let instants = instants.map(|at| at.filter(|at| at != none));
                    let instants: TimestampMicrosecondArray = instants.collect();
                    columns.push(Arc::new(instants.with_timezone_opt(zone(&types::timestamp()))));
                }
                Shown::Hidden { .. } => {}
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.outer.clone(), columns, &options)?)
    }

    /// Rows that were shown, perhaps changed, as the operator has them.
    ///
    /// # Errors
    /// A column is missing, too many, or holds a value that the state's column cannot.
    pub fn inward(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let schema = rows.schema();
        if let Some(field) = schema.fields().iter().find(|field| self.outer.index_of(field.name()).is_err()) {
            let names: Vec<&str> = self.outer.fields().iter().map(|field| field.name().as_str()).collect();
            return Err(Error::invalid(format!("the state has no column `{}`", field.name()))
                .class("STDS_INVALID_OPTION_VALUE")
                .help(format!("its columns are {}", names.join(", "))));
        }
        let mut outer = self.outer.fields().iter();
        let mut columns: Vec<ArrayRef> = vec![];
        for (field, shown) in self.inner.fields().iter().zip(&self.shown) {
            if let Shown::Hidden { value } = shown {
                columns.push(match field.data_type() {
                    DataType::Int8 => Arc::new(Int8Array::from_value(*value as i8, rows.num_rows())),
                    _ => Arc::new(Int64Array::from_value(*value, rows.num_rows())),
                });
                continue;
            }
            let Some(named) = outer.next() else { return Err(Error::bug("a column of the state is lost")) };
            let column = rows.column_by_name(named.name()).ok_or_else(|| {
                Error::invalid(format!("the column `{}` of the state is missing in the rows", named.name()))
                    .help("`tidemill state export` writes all of them")
            })?;
            let column = converted(column, named)?;
            columns.push(match shown {
                Shown::Instant { none } => {
                    let instants = column.as_primitive::<TimestampMicrosecondType>().iter();
                    Arc::new(Int64Array::from_iter_values(instants.map(|at| at.unwrap_or(*none))))
                }
                _ => column,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(self.inner.clone(), columns, &options)
            .map_err(|error| Error::invalid("the rows do not fit the state").caused_by(error))
    }
}

fn converted(column: &ArrayRef, to: &Field) -> Result<ArrayRef> {
    let does_not_fit = || {
        let (is, wanted) = (types::name(column.data_type()), types::name(to.data_type()));
        format!("the column `{}` of the state is {wanted}; the rows have {is} that cannot be it", to.name())
    };
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let cast = cast_with_options(column, to.data_type(), &options)
        .map_err(|error| Error::invalid(does_not_fit()).caused_by(error))?;
    if !to.is_nullable() && cast.null_count() > 0 {
        return Err(Error::invalid(format!("the column `{}` of the state is never NULL", to.name())));
    }
    Ok(cast)
}

fn zone(of: &DataType) -> Option<Arc<str>> {
    match of {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    }
}

fn how(field: &Field, identity: Option<&Identity>, layout: &str) -> Shown {
    let kind = identity.map_or("", |identity| identity.kind.as_str());
    match field.name().as_str() {
        "pane" if layout.contains(" in none, ") => Shown::Hidden { value: NO_PANE },
        "pane" => Shown::Instant { none: NO_PANE },
        "expiry" if layout.starts_with("deduplicate") && layout.ends_with("Never") => Shown::Hidden { value: NEVER },
        "expiry" if layout.starts_with("deduplicate") => Shown::Instant { none: NEVER },
        "start" | "end" if kind == "session" && *field.data_type() == DataType::Int64 => {
            Shown::Instant { none: i64::MIN }
        }
        "change" if layout.contains("join") || kind == "join" => Shown::Hidden { value: 0 },
        _ => Shown::Same,
    }
}

/// True for a column of the key, by its name inside.
pub fn is_key(name: &str) -> bool {
    numbered(name, "key").is_some()
}

fn numbered(name: &str, prefix: &str) -> Option<usize> {
    name.strip_prefix(prefix)?.parse().ok()
}

/// The names of keys; a window that is kept as a pane has no column.
fn key_names(identity: Option<&Identity>, inner: &Schema) -> Vec<String> {
    let count = inner.fields().iter().filter(|field| is_key(field.name())).count();
    let mut keys: Vec<&str> = identity.iter().flat_map(|identity| &identity.keys).map(String::as_str).collect();
    if keys.len() > count {
        keys.retain(|key| !key.starts_with("window of ") && !key.starts_with("session from "));
    }
    if keys.len() != count {
        keys.clear();
    }
    let short = |key: &str| key.split(" = ").next().and_then(plain).map(str::to_owned);
    let named = keys.into_iter().enumerate();
    named.map(|(number, key)| short(key).unwrap_or_else(|| format!("key{number}"))).collect()
}

/// The column's name in `table.column`, when it is nothing more.
fn plain(text: &str) -> Option<&str> {
    let name = text.rsplit('.').next().unwrap_or(text);
    let is_word = |text: &str| !text.is_empty() && text.chars().all(|one| one.is_alphanumeric() || one == '_');
    (text.split('.').all(is_word) && !name.starts_with(|one: char| one.is_ascii_digit())).then_some(name)
}

struct Names<'a> {
    identity: Option<&'a Identity>,
    keys: Vec<String>,
}

impl Names<'_> {
    fn of(&self, inside: &str, schema: &Schema) -> String {
        let calls = self.identity.map_or(&[][..], |identity| identity.calls.as_slice());
        if let Some(number) = numbered(inside, "key") {
            return self.keys.get(number).cloned().unwrap_or_else(|| inside.to_owned());
        }
        if let Some((call, part)) = inside.strip_prefix("value").and_then(|rest| rest.split_once('_'))
            && let Some(call) = call.parse::<usize>().ok().and_then(|call| calls.get(call))
        {
            let prefix = inside.trim_end_matches(part);
            let only = schema.fields().iter().filter(|field| field.name().starts_with(prefix)).count() == 1;
            let name = call_name(call);
            return if only { name } else { format!("{name}_{part}") };
        }
        // a join's calls are the columns of the left rows, then those of the right ones
        let lefts = schema.fields().iter().filter(|field| numbered(field.name(), "left").is_some()).count();
        for (prefix, first) in [("left", 0), ("right", lefts)] {
            if let Some(column) = numbered(inside, prefix).and_then(|number| plain(&calls.get(first + number)?.of)) {
                return format!("{prefix}_{column}");
            }
        }
        if let Some(variable) = inside.strip_suffix(MAP_KEY) {
            return format!("{variable}_key");
        }
        inside.to_owned()
    }
}

/// `sum_amount` for `sum(events.amount)`, `count` for `count(*)`.
fn call_name(call: &Call) -> String {
    let function = call.function.split(['(', '<', ' ']).next().unwrap_or(&call.function);
    match plain(&call.of).filter(|of| of.parse::<f64>().is_err()) {
        Some(of) => format!("{function}_{of}"),
        None => function.to_owned(),
    }
}
