//! Which columns a table gets from rows that have more or wider ones (`mergeSchema`).
//!
//! Source of the rules: Spark's `SchemaMergingUtils.mergeSchemas` of Delta Lake. New columns and fields
//! of structs are added at the end and are null in old rows; `tinyint` and `smallint` become wider whole
//! numbers up to `int`, because Parquet stores them alike. Everything else needs the table rewritten.

use super::schema::for_table;
use super::table::Layout;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;
use tidemill_core::types::name;
use tidemill_core::{Error, Result};

/// The table's columns with those of the rows; `None` when it has them all.
///
/// # Errors
/// A column whose type Delta cannot change; one of a type that the table's protocol has not.
pub(crate) fn merged(layout: &Layout, rows: &SchemaRef, place: &str) -> Result<Option<SchemaRef>> {
    let rows = for_table(rows)?;
    let fields = fields(layout.schema.fields(), rows.fields(), "", place)?;
    if &fields == layout.schema.fields() {
        return Ok(None);
    }
    let had_ntz = layout.schema.fields().iter().any(|field| is_ntz(field.data_type()));
    if let Some(new) = fields.iter().find(|field| is_ntz(field.data_type())).filter(|_| !had_ntz) {
        let new = new.name();
        return Err(Error::invalid(format!(
            "column '{new}' is timestamp_ntz, which the protocol of the delta table at {place} does not have"
        ))
        .help("cast it to timestamp, or enable the table feature timestampNtz"));
    }
    Ok(Some(Arc::new(Schema::new_with_metadata(fields, layout.schema.metadata().clone()))))
}

fn is_ntz(of: &DataType) -> bool {
    matches!(of, DataType::Timestamp(TimeUnit::Microsecond, None))
}

fn fields(own: &Fields, new: &Fields, path: &str, place: &str) -> Result<Fields> {
    let is_same = |left: &Field, right: &Field| left.name().eq_ignore_ascii_case(right.name());
    let mut all = Vec::with_capacity(new.len());
    for field in own {
        all.push(match new.iter().find(|new| is_same(field, new)) {
            Some(new) => {
                let path = format!("{path}{}", field.name());
                let of = merge(field.data_type(), new.data_type(), &path, place)?;
                Arc::new(field.as_ref().clone().with_data_type(of))
            }
            None => field.clone(),
        });
    }
    let added = new.iter().filter(|new| !own.iter().any(|own| is_same(own, new)));
    all.extend(added.map(|field| Arc::new(field.as_ref().clone().with_nullable(true))));
    Ok(all.into())
}

fn merge(own: &DataType, new: &DataType, path: &str, place: &str) -> Result<DataType> {
    use DataType::{Int8, Int16, Int32, Struct};
    Ok(match (own, new) {
        (Int8, Int16 | Int32) | (Int16, Int32) => new.clone(),
        (Struct(own), Struct(new)) => Struct(fields(own, new, &format!("{path}."), place)?),
        (own, new) if own == new || super::schema::fits(own, new) => own.clone(),
        (own, new) => {
            let (own, new) = (name(own), name(new));
            return Err(Error::invalid(format!(
                "column '{path}' is {own} in the delta table at {place} and {new} in the rows, and delta cannot \
                 change the one into the other in place"
            ))
            .class("DELTA_FAILED_TO_MERGE_FIELDS")
            .help(format!(
                "cast it to {own}, or write a column of another name; only tinyint and smallint can be widened"
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_core::types::parse_schema;

    fn merged_ddl(own: &str, new: &str) -> Result<Option<String>> {
        let schema = |ddl: &str| for_table(&Arc::new(parse_schema(ddl).unwrap())).unwrap();
        let layout = Layout { schema: schema(own), partition_by: Vec::new() };
        let shown = |schema: SchemaRef| {
            let fields = schema.fields().iter().map(|field| format!("{} {}", field.name(), name(field.data_type())));
            fields.collect::<Vec<_>>().join(", ")
        };
        Ok(merged(&layout, &schema(new), "t")?.map(shown))
    }

    #[test]
    fn columns_are_added_and_small_numbers_widened() {
        assert_eq!(merged_ddl("id bigint, n int", "N smallint, ID bigint").unwrap(), None);
        assert_eq!(
            merged_ddl("id bigint, n tinyint", "n int, x string").unwrap().unwrap(),
            "id bigint, n int, x string"
        );
        let nested = merged_ddl("p struct<a:int>", "p struct<b:string>").unwrap().unwrap();
        assert_eq!(nested, "p struct<a:int,b:string>");
    }

    #[test]
    fn a_refused_change_says_why() {
        for (own, new) in [("n int", "n bigint"), ("n bigint", "n string"), ("n float", "n double")] {
            let error = merged_ddl(own, new).unwrap_err();
            assert!(error.to_string().contains("cannot change the one into the other"), "{error}");
            assert_eq!(error.error_class(), Some("DELTA_FAILED_TO_MERGE_FIELDS"));
        }
        assert!(merged_ddl("id int", "at timestamp_ntz").unwrap_err().to_string().contains("timestamp_ntz"));
    }
}
