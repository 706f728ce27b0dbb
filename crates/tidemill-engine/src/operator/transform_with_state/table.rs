//! State of a processor as a table: each row is one line of the log ([`super::state::Change`]), so changes and
//! snapshots have one form. Columns: what is done, the variable's name, the key's columns, an instant, the expiry,
//! and for each variable a struct of its fields (for a map also of its keys).

use super::contract::{Variable, VariableKind};
use super::state::{Change, LogLine, NEVER, NO_VARIABLE, PartitionState, StateRow};
use crate::state::table::{Clock, Wake};
use arrow::array::{Array, ArrayRef, AsArray, Int8Array, Int64Array, StringArray, StructArray, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int8Type, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tidemill_core::{Error, Result};

/// Place of the first key column.
pub const FIRST_KEY: usize = 2;
/// Name of the metadata that tells a variable's kind.
pub const KIND: &str = "kind";
/// Name of the metadata that tells the version of a variable's fields.
pub const VERSION: &str = "version";
/// What is put behind a variable's name for the column of a map's keys.
pub const MAP_KEY: &str = "\u{1f}key";

/// How the table of an operator is laid out; shared by its partitions.
#[derive(Debug)]
pub struct TableLayout {
    /// Types of the key columns.
    pub keys: Vec<DataType>,
    /// The variables.
    pub variables: Vec<Variable>,
    /// The version of each variable's fields: how often they have changed since the state began.
    pub versions: Vec<AtomicU32>,
}

fn nullable(fields: &Fields) -> Fields {
    fields.iter().map(|field| Field::new(field.name(), field.data_type().clone(), true)).collect()
}

impl TableLayout {
    /// The layout for variables of the first version.
    pub fn new(keys: Vec<DataType>, variables: Vec<Variable>) -> Self {
        let versions = variables.iter().map(|_| AtomicU32::new(1)).collect();
        TableLayout { keys, variables, versions }
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        let mut fields =
            vec![Field::new("change", DataType::Int8, false), Field::new("variable", DataType::Utf8, true)];
        let keys = self.keys.iter().enumerate();
        fields.extend(keys.map(|(number, of)| Field::new(format!("key{number}"), of.clone(), true)));
        fields.push(Field::new("time", DataType::Int64, true));
        fields.push(Field::new("expiry", DataType::Int64, true));
        for (variable, version) in self.variables.iter().zip(&self.versions) {
            let metadata = HashMap::from([
                (KIND.to_owned(), variable.kind.word().to_owned()),
                (VERSION.to_owned(), version.load(Ordering::Relaxed).to_string()),
            ]);
            let of = DataType::Struct(nullable(&variable.fields));
            fields.push(Field::new(&variable.name, of, true).with_metadata(metadata));
            if let VariableKind::Map(keys) = &variable.kind {
                let of = DataType::Struct(nullable(keys));
                fields.push(Field::new(format!("{}{MAP_KEY}", variable.name), of, true));
            }
        }
        Arc::new(Schema::new(fields))
    }

    /// The columns that, with the key, name a row of what is kept: the variable and a map's key.
    pub fn names(&self) -> Vec<usize> {
        let schema = self.schema();
        let map_keys = schema.fields().iter().enumerate().filter(|(_, field)| field.name().ends_with(MAP_KEY));
        std::iter::once(1).chain(map_keys.map(|(place, _)| place)).collect()
    }

    /// When rows of what is kept are to be looked at: timers by `clock`, `late` milliseconds after their
    /// instant, and what expires by the time of epochs.
    pub fn wakes(&self, rows: &RecordBatch, clock: Clock, late: i64) -> Vec<Option<Wake>> {
        let first = FIRST_KEY + self.keys.len();
        let (names, times) = (rows.column(1), rows.column(first).as_primitive::<Int64Type>());
        let expiries = rows.column(first + 1).as_primitive::<Int64Type>();
        let wake = |row: usize| {
            if names.is_null(row) {
                let at = times.value(row).saturating_add(late).saturating_mul(1000);
                return Some(Wake { clock, at });
            }
            let at = expiries.is_valid(row).then(|| expiries.value(row).saturating_mul(1000));
            at.map(|at| Wake { clock: Clock::Epoch, at })
        };
        (0..rows.num_rows()).map(wake).collect()
    }

    /// Lines of a log as rows.
    ///
    /// # Errors
    /// A bug: a value that is not of its field's type.
    pub fn rows(&self, lines: &[LogLine], state: &PartitionState) -> Result<RecordBatch> {
        let schema = self.schema();
        let names = lines
            .iter()
            .map(|line| (line.variable != NO_VARIABLE).then(|| self.variables[line.variable as usize].name.as_str()));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int8Array::from_iter_values(lines.iter().map(|line| line.change as i8))),
            Arc::new(names.collect::<StringArray>()),
        ];
        columns.extend(state.key_columns(&lines.iter().map(|line| line.key).collect::<Vec<_>>())?);
        columns.push(Arc::new(Int64Array::from_iter_values(lines.iter().map(|line| line.time))));
        let expiries = lines.iter().map(|line| (line.expiry != NEVER).then_some(line.expiry));
        columns.push(Arc::new(expiries.collect::<Int64Array>()));
        for (number, variable) in self.variables.iter().enumerate() {
            let of_variable = |line: &LogLine| line.variable == number as u32;
            let values = lines.iter().map(|line| line.row.as_ref().filter(|_| of_variable(line)));
            columns.push(struct_column(&nullable(&variable.fields), values.collect())?);
            if let VariableKind::Map(keys) = &variable.kind {
                let values = lines.iter().map(|line| line.map_key.as_ref().filter(|_| of_variable(line)));
                columns.push(struct_column(&nullable(keys), values.collect())?);
            }
        }
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    /// Does again what the selected rows say.
    ///
    /// # Errors
    /// Rows that are not of this layout.
    pub fn replay(&self, rows: &RecordBatch, select: &[u32], state: &mut PartitionState) -> Result<()> {
        let damaged =
            || Error::invalid("the saved state of a processor is damaged").help("use a copy of the checkpoint");
        let changes = rows.column(0).as_primitive::<Int8Type>();
        let names = rows.column(1).as_string::<i32>();
        let keys = state.keys().rows(&rows.columns()[FIRST_KEY..FIRST_KEY + self.keys.len()])?;
        let times = rows.column(FIRST_KEY + self.keys.len()).as_primitive::<Int64Type>();
        let expiries = rows.column(FIRST_KEY + self.keys.len() + 1).as_primitive::<Int64Type>();
        let columns = self.columns(rows)?;
        for &row in select {
            let row = row as usize;
            let bytes = keys.row(row).data();
            let hash = state.keys().hash(bytes);
            let key = state.keys().intern(bytes, hash);
            let time = times.value(row);
            let expiry = if expiries.is_null(row) { NEVER } else { expiries.value(row) };
            if names.is_null(row) {
                match changes.value(row) {
                    change if change == Change::Timer as i8 => drop(state.keep_timer(key, time)),
                    change if change == Change::TimerGone as i8 => drop(state.forget_timer(key, time)),
                    _ => return Err(damaged()),
                }
            } else {
                let named = |variable: &Variable| variable.name == names.value(row);
                let number = self.variables.iter().position(named).ok_or_else(damaged)?;
                let (values, map_keys) = &columns[number];
                let value = struct_row(values, row)?;
                let map_key = map_keys.as_ref().map(|keys| struct_row(keys, row)).transpose()?.flatten();
                match (changes.value(row), value, map_key) {
                    (0, Some(value), Some(map_key)) => state.keep_entry(number, key, map_key, value, expiry)?,
                    (0, Some(value), None) => state.keep_value(number, key, value, expiry),
                    (1, Some(value), _) => state.keep_item(number, key, value, expiry),
                    (2, ..) => drop(state.forget(number, key)),
                    (3, _, Some(map_key)) => drop(state.forget_entry(number, key, &map_key)?),
                    (4, ..) => drop(state.expire(number, key, time)),
                    _ => return Err(damaged()),
                }
            }
            state.keys().drop_unreferenced(key);
        }
        Ok(())
    }

    /// For each variable the column of its values, and that of a map's keys.
    fn columns<'a>(&self, rows: &'a RecordBatch) -> Result<Vec<(&'a StructArray, Option<&'a StructArray>)>> {
        let column = |name: &str| {
            let found = rows.column_by_name(name).and_then(|column| column.as_struct_opt());
            found.ok_or_else(|| Error::bug(format!("the state variable {name} has no column")))
        };
        let of = |variable: &Variable| {
            let keys = matches!(variable.kind, VariableKind::Map(_))
                .then(|| column(&format!("{}{MAP_KEY}", variable.name)))
                .transpose()?;
            Ok((column(&variable.name)?, keys))
        };
        self.variables.iter().map(of).collect()
    }
}

/// A column of structs; NULL where there is none.
fn struct_column(fields: &Fields, rows: Vec<Option<&StateRow>>) -> Result<ArrayRef> {
    let nulls: NullBuffer = rows.iter().map(Option::is_some).collect::<Vec<bool>>().into();
    if fields.is_empty() {
        return Ok(Arc::new(StructArray::new_empty_fields(rows.len(), Some(nulls))));
    }
    let column = |(place, field): (usize, &FieldRef)| {
        if nulls.null_count() == rows.len() {
            return Ok(new_null_array(field.data_type(), rows.len()));
        }
        let absent = ScalarValue::try_from(field.data_type()).map_err(crate::errors::from_datafusion)?;
        let values = rows.iter().map(|row| row.map_or_else(|| absent.clone(), |row| row[place].clone()));
        ScalarValue::iter_to_array(values).map_err(crate::errors::from_datafusion)
    };
    let columns = fields.iter().enumerate().map(column).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, Some(nulls))?))
}

/// One struct as a typed value; `None` for NULL.
pub fn struct_row(column: &StructArray, row: usize) -> Result<Option<StateRow>> {
    if column.is_null(row) {
        return Ok(None);
    }
    row_of(column.columns(), row).map(Some)
}

/// One row of columns as a typed value.
///
/// # Errors
/// A type that has no single values.
pub fn row_of(columns: &[ArrayRef], row: usize) -> Result<StateRow> {
    let values = columns.iter().map(|column| ScalarValue::try_from_array(column, row));
    values.collect::<datafusion::common::Result<StateRow>>().map_err(crate::errors::from_datafusion)
}

/// The values of one field of typed values, as a column.
///
/// # Errors
/// A bug: values of several types.
pub fn column_of(rows: &[StateRow], place: usize, of: &DataType) -> Result<ArrayRef> {
    if rows.is_empty() {
        return Ok(new_null_array(of, 0));
    }
    ScalarValue::iter_to_array(rows.iter().map(|row| row[place].clone())).map_err(crate::errors::from_datafusion)
}
