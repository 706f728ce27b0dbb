//! Structs with a field more, replaced or left out: `Column.withField` and `Column.dropFields`. SQL has no
//! notation for them, so their names cannot be written there.

use super::native::Native;
use super::{CallContext, Entry, MANY, constant_text};
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, StructArray, new_null_array};
use arrow::datatypes::{DataType, Field, Fields};
use std::sync::Arc;
use tidemill_core::{Error, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["__with_field"], arguments: (3, 3), build: with_field },
    Entry { names: &["__drop_fields"], arguments: (2, MANY), build: drop_fields },
];

/// `struct.withField(name, value)`: every field of that name replaced, or one more at the end.
fn with_field(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let value = arguments.remove(2);
    let name = constant_text(&arguments[1], "a field's name", context)?;
    let input = arguments.remove(0);
    let old = fields_of(&input, "withField", context)?;
    let added = Arc::new(Field::new(&name, value.data_type.clone(), true));
    let mut sources: Vec<Option<usize>> = Vec::with_capacity(old.len() + 1);
    let mut fields = Vec::with_capacity(old.len() + 1);
    for (position, field) in old.iter().enumerate() {
        let replaced = same(field.name(), &name, context);
        sources.push((!replaced).then_some(position));
        fields.push(if replaced { added.clone() } else { field.clone() });
    }
    if sources.iter().all(Option::is_some) {
        sources.push(None);
        fields.push(added);
    }
    Ok(updated("with_field", input, vec![value], fields.into(), sources))
}

/// `struct.dropFields(names)`: names that are not there are passed over.
fn drop_fields(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let input = arguments.remove(0);
    let names =
        arguments.iter().map(|name| constant_text(name, "a field's name", context)).collect::<Result<Vec<_>>>()?;
    let old = fields_of(&input, "dropFields", context)?;
    let dropped = |field: &Field| names.iter().any(|name| same(field.name(), name, context));
    let kept: Vec<usize> = (0..old.len()).filter(|position| !dropped(&old[*position])).collect();
    if kept.is_empty() {
        return Err(Error::invalid("dropFields leaves no field in the struct")
            .class("DATATYPE_MISMATCH.CANNOT_DROP_ALL_FIELDS")
            .at_if_unplaced(context.text.place(context.at)));
    }
    let fields: Fields = kept.iter().map(|position| old[*position].clone()).collect();
    Ok(updated("drop_fields", input, vec![], fields, kept.into_iter().map(Some).collect()))
}

/// The struct with these fields: each the input's field at a position, or the value.
fn updated(name: &str, input: Typed, values: Vec<Typed>, fields: Fields, sources: Vec<Option<usize>>) -> Typed {
    let result = DataType::Struct(fields.clone());
    let shown = format!("update_fields({})", input.name);
    let arguments = std::iter::once(input).chain(values).map(|argument| argument.expr).collect();
    let parameters = format!("{sources:?} {result}");
    let expr = Native::call(name, parameters, result.clone(), arguments, move |arguments, rows| {
        let old = arguments[0].as_struct();
        let nothing = |field: &Field| new_null_array(field.data_type(), rows);
        let columns = fields.iter().zip(&sources).map(|(field, source)| match source {
            Some(position) => old.column(*position).clone(),
            None => arguments.get(1).cloned().unwrap_or_else(|| nothing(field)),
        });
        Ok(Arc::new(StructArray::try_new(fields.clone(), columns.collect(), old.nulls().cloned())?) as ArrayRef)
    });
    Typed::new(expr, result, shown)
}

fn fields_of(input: &Typed, method: &str, context: &CallContext<'_>) -> Result<Fields> {
    match &input.data_type {
        DataType::Struct(fields) => Ok(fields.clone()),
        other => Err(CallContext { name: method, ..*context }.wrong_type("a STRUCT", other)),
    }
}

fn same(left: &str, right: &str, context: &CallContext<'_>) -> bool {
    match context.session.settings.case_sensitive() {
        true => left == right,
        false => left.to_lowercase() == right.to_lowercase(),
    }
}
