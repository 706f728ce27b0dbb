//! Columns of a table as a stream reads them, and what of a table this reader does not understand.

use crate::delta::schema;
use arrow::datatypes::{Field, Schema, SchemaRef};
use deltalake::table::state::DeltaTableState;
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

/// What a table may ask of its readers: what is of no matter here, and what is looked at file by file.
const FEATURES: &[&str] = &[
    "timestampNtz",
    "v2Checkpoint",
    "vacuumProtocolCheck",
    "deletionVectors",
    "typeWidening",
    "typeWidening-preview",
    // by the mode, which is a property
    "columnMapping",
];

/// The columns of a table in the engine's types.
///
/// # Errors
/// A type the engine has not.
pub(super) fn of(state: &DeltaTableState, place: &str) -> Result<SchemaRef> {
    let stored = schema::from_kernel(state.schema().as_ref())?;
    let fields = stored.fields().iter().map(|field| {
        let data_type = types::parse_type(&types::name(field.data_type())).map_err(|cause| {
            let (name, of) = (field.name(), types::name(field.data_type()));
            Error::invalid(format!("column '{name}' of the delta table at {place} is {of}, which cannot be read"))
                .caused_by(cause)
        })?;
        Ok(Field::new(field.name(), data_type, field.is_nullable()))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

/// The columns that choose the directory, as the table stores them.
///
/// # Errors
/// A type that Arrow has not.
pub(super) fn partition_by(state: &DeltaTableState) -> Result<Vec<Field>> {
    let stored = schema::from_kernel(state.schema().as_ref())?;
    let names = state.metadata().partition_columns();
    names.iter().map(|name| Ok(stored.field_with_name(name)?.clone())).collect()
}

/// Checks that the table's files mean what they say.
///
/// # Errors
/// The table asks its readers for something that this one does not do.
pub(super) fn check_readable(state: &DeltaTableState, place: &str) -> Result<()> {
    let mode = state.metadata().configuration().get("delta.columnMapping.mode");
    if let Some(mode) = mode.filter(|mode| !mode.eq_ignore_ascii_case("none")) {
        return Err(Error::invalid(format!(
            "the delta table at {place} has delta.columnMapping.mode = {mode}, which a stream cannot read"
        ))
        .help("write the rows into a table without column mapping, and read that"));
    }
    let protocol = serde_json::to_value(state.protocol()).unwrap_or_default();
    let asked = protocol["readerFeatures"].as_array().into_iter().flatten().filter_map(|feature| feature.as_str());
    match asked.into_iter().find(|feature| !FEATURES.contains(feature)) {
        None => Ok(()),
        Some(feature) => Err(Error::invalid(format!(
            "the delta table at {place} asks its readers for '{feature}', which a stream cannot read"
        ))
        .help(format!("known are: {}", FEATURES.join(", ")))),
    }
}

/// Checks that the table has the columns that are asked for.
///
/// # Errors
/// It has not.
pub(super) fn check_wanted(wanted: &Schema, table: &Schema, place: &str) -> Result<()> {
    let is_known = |name: &str| table.fields().iter().any(|known| known.name().eq_ignore_ascii_case(name));
    match wanted.fields().iter().find(|field| !is_known(field.name())) {
        None => Ok(()),
        Some(field) => {
            let names: Vec<&str> = table.fields().iter().map(|field| field.name().as_str()).collect();
            Err(Error::invalid(format!("the delta table at {place} has no column '{}'", field.name()))
                .help(format!("its columns are: {}", names.join(", "))))
        }
    }
}

/// What has become of the columns, a change after the other; empty when nothing has.
pub(super) fn changes(before: &Schema, after: &Schema) -> Vec<String> {
    let mut told = Vec::new();
    for field in after.fields() {
        let is = types::name(field.data_type());
        match before.field_with_name(field.name()) {
            Err(_) => told.push(format!("added '{}' {is}", field.name())),
            Ok(old) if types::name(old.data_type()) != is => {
                told.push(format!("changed '{}' from {} to {is}", field.name(), types::name(old.data_type())));
            }
            Ok(old) if old.is_nullable() != field.is_nullable() => {
                let now = if field.is_nullable() { "may be null" } else { "must not be null" };
                told.push(format!("'{}' {now}", field.name()));
            }
            Ok(_) => {}
        }
    }
    let gone = before.fields().iter().filter(|field| after.field_with_name(field.name()).is_err());
    told.extend(gone.map(|field| format!("dropped '{}'", field.name())));
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_of_columns_is_told() {
        let schema = |ddl| types::parse_schema(ddl).unwrap();
        let before = schema("a INT, b STRING, c DATE NOT NULL");
        assert!(changes(&before, &before).is_empty());
        assert_eq!(
            changes(&before, &schema("a BIGINT, c DATE, d STRUCT<x: INT>")),
            ["changed 'a' from int to bigint", "'c' may be null", "added 'd' struct<x:int>", "dropped 'b'"]
        );
        let error = check_wanted(&schema("A INT, z INT"), &before, "t").unwrap_err();
        assert_eq!(error.to_string(), "the delta table at t has no column 'z'");
    }
}
