//! Functions of Postgres that clients call about the catalogue and the session.

use super::names::{format_type, schema_name, type_number};
use super::{DATABASE, PUBLIC, World};
use crate::live::settings::{SERVER_VERSION, setting};
use arrow::array::{Array, ArrayRef, AsArray as _, BooleanArray, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::expr_fn::SimpleScalarUDF;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Signature, TypeSignature, Volatility};
use std::sync::Arc;

/// Functions that say the same whatever they are asked: visibility, privileges, comments and definitions.
const YES: &[&str] = &[
    "has_any_column_privilege",
    "has_column_privilege",
    "has_database_privilege",
    "has_function_privilege",
    "has_schema_privilege",
    "has_table_privilege",
    "pg_collation_is_visible",
    "pg_function_is_visible",
    "pg_opclass_is_visible",
    "pg_operator_is_visible",
    "pg_type_is_visible",
];
const NO: &[&str] = &[
    "has_sequence_privilege",
    "pg_is_in_recovery",
    "pg_is_other_temp_schema",
    "pg_relation_is_publishable",
    "row_security_active",
];
const NOTHING: &[&str] = &[
    "array_to_string_acl",
    "col_description",
    "obj_description",
    "pg_get_constraintdef",
    "pg_get_expr",
    "pg_get_function_arguments",
    "pg_get_function_result",
    "pg_get_functiondef",
    "pg_get_indexdef",
    "pg_get_partition_constraintdef",
    "pg_get_partkeydef",
    "pg_get_ruledef",
    "pg_get_serial_sequence",
    "pg_get_statisticsobjdef_columns",
    "pg_get_triggerdef",
    "pg_get_viewdef",
    "pg_tablespace_location",
    "shobj_description",
];
const ZERO: &[&str] = &[
    "inet_server_port",
    "pg_backend_pid",
    "pg_database_size",
    "pg_indexes_size",
    "pg_my_temp_schema",
    "pg_relation_size",
    "pg_table_size",
    "pg_total_relation_size",
    "txid_current",
];

/// All of them, for statements that see `world`.
pub(in crate::live) fn functions(world: &Arc<World>) -> Vec<Arc<ScalarUDF>> {
    let text = |text: &str| ScalarValue::from(text);
    let user = text(&world.user);
    let mut all = vec![
        constant("version", text(&format!("PostgreSQL {SERVER_VERSION} (Tidemill {})", env!("CARGO_PKG_VERSION")))),
        constant("current_database", text(DATABASE)),
        constant("current_catalog", text(DATABASE)),
        constant("current_schema", text(PUBLIC)),
        constant("pg_encoding_to_char", text("UTF8")),
        constant("pg_get_userbyid", user.clone()),
    ];
    all.extend(["current_user", "session_user", "user", "current_role"].map(|name| constant(name, user.clone())));
    all.push(constant("current_schemas", names(&[PUBLIC])));
    for (names, value) in [
        (YES, ScalarValue::from(true)),
        (NO, ScalarValue::from(false)),
        (NOTHING, ScalarValue::Utf8(None)),
        (ZERO, ScalarValue::from(0_i64)),
    ] {
        all.extend(names.iter().map(|name| constant(name, value.clone())));
    }
    let of_table = world.clone();
    let to_table = world.clone();
    all.extend([
        of_number("pg_table_is_visible", super::is_visible),
        of_numbers("format_type", format_type),
        of_numbers("tidemill_class_name", move |oid, _| {
            let of = of_table.tables.iter().find(|pinned| i64::from(pinned.table.oid) == oid);
            Some(of.map_or_else(|| oid.to_string(), |pinned| pinned.table.name.clone()))
        }),
        of_numbers("tidemill_type_name", |oid, _| {
            Some(if oid == 0 { "-".into() } else { format_type(oid, None).unwrap_or_else(|| oid.to_string()) })
        }),
        of_numbers("tidemill_schema_name", |oid, _| {
            Some(schema_name(oid).map_or_else(|| oid.to_string(), str::to_owned))
        }),
        of_numbers("pg_size_pretty", |bytes, _| Some(format!("{bytes} bytes"))),
        of_text("current_setting", DataType::Utf8, |name| ScalarValue::from(setting(name))),
        of_text("quote_ident", DataType::Utf8, |name| ScalarValue::from(quoted(name).as_str())),
        of_text("parse_ident", names(&[]).data_type(), |name| names(&name.split('.').collect::<Vec<_>>())),
        of_text("to_regtype", DataType::Int64, |name| ScalarValue::from(type_number(name).map(i64::from))),
        of_text("to_regclass", DataType::Int64, move |name| {
            ScalarValue::from(class_number(&to_table, name).map(i64::from))
        }),
    ]);
    all
}

/// The number of the relation that is called `name`.
pub(in crate::live) fn class_number(world: &World, name: &str) -> Option<u32> {
    let name = name.trim();
    let name = name.strip_prefix("public.").unwrap_or(name);
    let live = world.table(name.trim_matches('"')).map(|pinned| pinned.table.oid);
    let (schema, name) = name.split_once('.').unwrap_or(("pg_catalog", name));
    live.or_else(|| super::number(schema, name))
}

fn names(parts: &[&str]) -> ScalarValue {
    let parts: Vec<_> = parts.iter().map(|part| ScalarValue::from(part.trim_matches('"'))).collect();
    ScalarValue::List(ScalarValue::new_list_nullable(&parts, &DataType::Utf8))
}

fn quoted(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if is_plain && !name.starts_with(|first: char| first.is_ascii_digit()) && !name.is_empty() {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn any() -> Signature {
    Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], Volatility::Stable)
}

fn function(
    name: &str,
    returns: DataType,
    call: impl Fn(&[ColumnarValue]) -> Result<ColumnarValue, DataFusionError> + Send + Sync + 'static,
) -> Arc<ScalarUDF> {
    Arc::new(SimpleScalarUDF::new_with_signature(name, any(), returns, Arc::new(call)).into())
}

fn constant(name: &str, value: ScalarValue) -> Arc<ScalarUDF> {
    function(name, value.data_type(), move |_| Ok(ColumnarValue::Scalar(value.clone())))
}

/// Whether something holds for a number.
fn of_number(name: &'static str, of: impl Fn(i64) -> bool + Send + Sync + 'static) -> Arc<ScalarUDF> {
    function(name, DataType::Boolean, move |arguments| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let first = arrays.first().ok_or_else(|| DataFusionError::Plan(format!("{name} needs an argument")))?;
        let numbers = cast(first, &DataType::Int64)?;
        let flags: BooleanArray = numbers.as_primitive::<Int64Type>().iter().map(|number| number.map(&of)).collect();
        Ok(ColumnarValue::Array(Arc::new(flags)))
    })
}

/// A text of one number, and of a second one that may be missing.
fn of_numbers(
    name: &'static str,
    of: impl Fn(i64, Option<i64>) -> Option<String> + Send + Sync + 'static,
) -> Arc<ScalarUDF> {
    function(name, DataType::Utf8, move |arguments| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let numbers = |at: usize| -> Result<Option<Int64Array>, DataFusionError> {
            let Some(array) = arrays.get(at) else { return Ok(None) };
            Ok(Some(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone()))
        };
        let first = numbers(0)?.ok_or_else(|| DataFusionError::Plan(format!("{name} needs an argument")))?;
        let second = numbers(1)?;
        let second_at = |row: usize| second.as_ref().filter(|array| array.is_valid(row)).map(|array| array.value(row));
        let texts: StringArray =
            first.iter().enumerate().map(|(row, value)| value.and_then(|value| of(value, second_at(row)))).collect();
        Ok(ColumnarValue::Array(Arc::new(texts) as ArrayRef))
    })
}

/// A value of a text.
fn of_text(
    name: &'static str,
    returns: DataType,
    of: impl Fn(&str) -> ScalarValue + Send + Sync + 'static,
) -> Arc<ScalarUDF> {
    let null = ScalarValue::try_from(&returns).unwrap_or(ScalarValue::Null);
    function(name, returns, move |arguments| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let first = arrays.first().ok_or_else(|| DataFusionError::Plan(format!("{name} needs an argument")))?;
        let texts = cast(first, &DataType::Utf8)?;
        let values = texts.as_string::<i32>().iter().map(|text| text.map_or_else(|| null.clone(), &of));
        if texts.is_empty() {
            return Ok(ColumnarValue::Array(arrow::array::new_empty_array(&null.data_type())));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(values)?))
    })
}
