//! Saved state of other fields than a processor now declares: fields may have been added and numbers widened; what
//! would lose or guess something is refused, and the error says what to do.

use super::contract::{Variable, VariableKind};
use super::table::{FIRST_KEY, KIND, MAP_KEY, TableLayout, VERSION};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, StructArray, new_null_array};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Fields, Schema};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidemill_core::{Error, Result, types};

/// Rows that were saved under another schema, as rows of this layout. `dropped` are variables whose state goes.
///
/// # Errors
/// A variable that is gone or of another kind, a field that is gone or of a type that cannot hold every value.
pub fn migrated(layout: &TableLayout, dropped: &[String], operator: &str, rows: &RecordBatch) -> Result<RecordBatch> {
    let saved = rows.schema();
    check_variables(layout, dropped, operator, &saved)?;
    let schema = {
        for (number, variable) in layout.variables.iter().enumerate() {
            bump(layout, number, variable, &saved);
        }
        layout.schema()
    };
    let mut columns = rows.columns()[..FIRST_KEY + layout.keys.len() + 2].to_vec();
    for field in &schema.fields()[columns.len()..] {
        let variable = field.name().strip_suffix(MAP_KEY).unwrap_or(field.name());
        columns.push(match rows.column_by_name(field.name()) {
            Some(column) => {
                let place = Place { operator, variable, path: String::new() };
                place.check(column.data_type(), field.data_type())?;
                adapted(column, field.data_type())?
            }
            None => new_null_array(field.data_type(), rows.num_rows()),
        });
    }
    let rows = RecordBatch::try_new(schema, columns)?;
    without(&rows, dropped)
}

/// The version of a variable's fields goes up when what was saved has others.
fn bump(layout: &TableLayout, number: usize, variable: &Variable, saved: &Schema) {
    let Ok(field) = saved.field_with_name(&variable.name) else { return };
    let stored: u32 = field.metadata().get(VERSION).and_then(|version| version.parse().ok()).unwrap_or(1);
    let now = layout.schema();
    let same = |name: &str| match (saved.field_with_name(name), now.field_with_name(name)) {
        (Ok(saved), Ok(now)) => saved.data_type() == now.data_type(),
        (saved, now) => saved.is_ok() == now.is_ok(),
    };
    let same = same(&variable.name) && same(&format!("{}{MAP_KEY}", variable.name));
    layout.versions[number].fetch_max(if same { stored } else { stored + 1 }, Ordering::Relaxed);
}

fn check_variables(layout: &TableLayout, dropped: &[String], operator: &str, saved: &Schema) -> Result<()> {
    for field in saved.fields() {
        let Some(kind) = field.metadata().get(KIND) else { continue };
        let name = field.name();
        match layout.variables.iter().find(|variable| variable.name == *name) {
            Some(now) if now.kind.word() != kind => {
                return Err(Error::invalid(format!(
                    "the state variable '{name}' of the operator {operator} was a {kind} and is now a {}",
                    now.kind.word()
                ))
                .class("STATE_STORE_INVALID_VARIABLE_TYPE_CHANGE")
                .help(format!("make it a {kind} again, or give the new variable another name")));
            }
            Some(_) => {}
            None if dropped.contains(name) => {}
            None => {
                return Err(Error::invalid(format!(
                    "the checkpoint has state of the variable '{name}' of the operator {operator}, which is no longer declared"
                ))
                .class("STATE_STORE_VALUE_SCHEMA_NOT_COMPATIBLE")
                .help(format!(
                    "declare it under its old name; or call handle.deleteIfExists(\"{name}\") in init to let its state go"
                )));
            }
        }
    }
    Ok(())
}

/// Rows of variables that are not dropped.
fn without(rows: &RecordBatch, dropped: &[String]) -> Result<RecordBatch> {
    if dropped.is_empty() {
        return Ok(rows.clone());
    }
    let names = rows.column(1).as_string::<i32>();
    let stays = names.iter().map(|name| Some(!name.is_some_and(|name| dropped.iter().any(|gone| gone == name))));
    Ok(filter_record_batch(rows, &stays.collect::<BooleanArray>())?)
}

/// Where in a state variable a difference is.
struct Place<'a> {
    operator: &'a str,
    variable: &'a str,
    path: String,
}

impl Place<'_> {
    fn inner(&self, name: &str) -> Place<'_> {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Place { operator: self.operator, variable: self.variable, path }
    }

    /// Checks that values of the saved type can all be values of the declared one.
    fn check(&self, saved: &DataType, now: &DataType) -> Result<()> {
        match (saved, now) {
            (saved, now) if saved == now => Ok(()),
            (DataType::Struct(saved), DataType::Struct(now)) => {
                for field in saved {
                    match now.find(field.name()) {
                        Some((_, declared)) => {
                            self.inner(field.name()).check(field.data_type(), declared.data_type())?
                        }
                        None => return Err(self.inner(field.name()).gone(field.data_type(), now)),
                    }
                }
                Ok(())
            }
            (DataType::List(saved), DataType::List(now)) => {
                self.inner("element").check(saved.data_type(), now.data_type())
            }
            (DataType::Map(saved, _), DataType::Map(now, _)) => self.check(saved.data_type(), now.data_type()),
            (saved, now) if widens(saved, now) => Ok(()),
            (saved, now) => Err(self.refused(saved, now)),
        }
    }

    fn what(&self) -> String {
        format!("the field '{}' of the state variable '{}' of the operator {}", self.path, self.variable, self.operator)
    }

    fn refused(&self, saved: &DataType, now: &DataType) -> Error {
        let (saved, now) = (types::name(saved).to_uppercase(), types::name(now).to_uppercase());
        Error::invalid(format!("{} was {saved} and is now {now}, which cannot hold every {saved}", self.what()))
            .class("STATE_STORE_VALUE_SCHEMA_NOT_COMPATIBLE")
            .help(format!("give the field the type {saved} again, or add a field of the type {now} under another name"))
    }

    fn gone(&self, saved: &DataType, now: &Fields) -> Error {
        let names: Vec<&str> = now.iter().map(|field| field.name().as_str()).collect();
        Error::invalid(format!(
            "{} ({}) is no longer there: fields now: {}",
            self.what(),
            types::name(saved).to_uppercase(),
            names.join(", ")
        ))
        .class("STATE_STORE_VALUE_SCHEMA_NOT_COMPATIBLE")
        .help("keep the field under its old name; fields can be added, and not renamed or taken away")
    }
}

/// True when every value of the one type is a value of the other.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, Null};
    match (from, to) {
        (Null, _) => true,
        (Int8, Int16 | Int32 | Int64 | Float32 | Float64)
        | (Int16, Int32 | Int64 | Float32 | Float64)
        | (Int32, Int64 | Float64)
        | (Float32, Float64) => true,
        (Decimal128(old, old_scale), Decimal128(new, new_scale)) => {
            let whole = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
            new_scale >= old_scale && whole(*new, *new_scale) >= whole(*old, *old_scale)
        }
        _ => false,
    }
}

/// A column of the saved type as one of the declared type.
fn adapted(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    match to {
        to if column.data_type() == to => Ok(column.clone()),
        DataType::Struct(fields) => {
            let saved = column.as_struct();
            let columns = fields.iter().map(|field| match saved.column_by_name(field.name()) {
                Some(column) => adapted(column, field.data_type()),
                None => Ok(new_null_array(field.data_type(), saved.len())),
            });
            let columns = columns.collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, saved.nulls().cloned())?))
        }
        DataType::List(field) => {
            let saved = column.as_list::<i32>();
            let values = adapted(saved.values(), field.data_type())?;
            Ok(Arc::new(ListArray::try_new(field.clone(), saved.offsets().clone(), values, saved.nulls().cloned())?))
        }
        DataType::Map(entries, ordered) => {
            let saved = column.as_map();
            let whole: ArrayRef = Arc::new(saved.entries().clone());
            let values = adapted(&whole, entries.data_type())?.as_struct().clone();
            let nulls = saved.nulls().cloned();
            Ok(Arc::new(MapArray::try_new(entries.clone(), saved.offsets().clone(), values, nulls, *ordered)?))
        }
        _ => Ok(cast(column, to)?),
    }
}

/// Kinds and fields of variables, for messages.
pub fn described(variables: &[Variable]) -> String {
    let one = |variable: &Variable| {
        let fields = |fields: &Fields| types::name(&DataType::Struct(fields.clone()));
        match &variable.kind {
            VariableKind::Map(keys) => {
                format!("{} map of {} to {}", variable.name, fields(keys), fields(&variable.fields))
            }
            kind => format!("{} {} of {}", variable.name, kind.word(), fields(&variable.fields)),
        }
    };
    variables.iter().map(one).collect::<Vec<_>>().join(", ")
}
