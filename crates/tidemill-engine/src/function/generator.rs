//! What generators take apart when it is no array of the user's: the rows of `stack`.

use super::native::Native;
use super::{CallContext, Entry, MANY, as_int, constant};
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, ListArray, StructArray, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::{Result, types};

pub const ENTRIES: &[Entry] = &[Entry { names: &["__stack"], arguments: (2, MANY), build: stack }];

/// `stack(n, a, b, ..)`: an array of `n` structs, filled row by row; what is missing at the end is NULL.
fn stack(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let wrong = |class: &str, why: String| refuse::type_mismatch(class, why, context.text, context.at);
    let count = match constant::value(&as_int(arguments.remove(0), context)?)? {
        Some(ScalarValue::Int32(Some(count))) => count,
        _ => return Err(wrong("NON_FOLDABLE_INPUT", "the number of rows of stack must be a constant".into())),
    };
    let Some(rows) = usize::try_from(count).ok().filter(|rows| *rows > 0) else {
        return Err(wrong("VALUE_OUT_OF_RANGE", format!("stack makes 1 row or more, not {count}")));
    };
    let width = arguments.len().div_ceil(rows);
    let mut kinds: Vec<DataType> = vec![DataType::Null; width];
    for (position, argument) in arguments.iter().enumerate() {
        let kind = &mut kinds[position % width];
        if *kind == DataType::Null {
            kind.clone_from(&argument.data_type);
        } else if argument.data_type != DataType::Null && argument.data_type != *kind {
            let (one, other) = (types::name(kind), types::name(&argument.data_type));
            let why = format!("column {} of stack is of type {one} and of type {other}", position % width);
            return Err(wrong("STACK_COLUMN_DIFF_TYPES", why));
        }
    }
    let fields: Fields =
        kinds.iter().enumerate().map(|(index, kind)| Field::new(format!("col{index}"), kind.clone(), true)).collect();
    let result = types::array_of(DataType::Struct(fields.clone()));
    let arguments = arguments.into_iter().enumerate().map(|(position, argument)| {
        if argument.data_type == DataType::Null { argument.widened(&kinds[position % width]) } else { argument }.expr
    });
    let parameters = format!("{rows} {result}");
    let expr = Native::call("stack", parameters, result.clone(), arguments.collect(), move |arguments, given| {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(width);
        for (column, field) in fields.iter().enumerate() {
            let missing = new_null_array(field.data_type(), given.max(1));
            let values: Vec<&dyn Array> = (0..rows)
                .map(|row| arguments.get(row * width + column).map_or(&*missing, |values| &**values))
                .collect();
            let order: Vec<(usize, usize)> =
                (0..given).flat_map(|place| (0..rows).map(move |row| (row, place))).collect();
            columns.push(match order.is_empty() {
                true => new_null_array(field.data_type(), 0),
                false => interleave(&values, &order)?,
            });
        }
        let structs = StructArray::try_new(fields.clone(), columns, None)?;
        let field = Arc::new(Field::new_list_field(DataType::Struct(fields.clone()), true));
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(rows, given));
        Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(structs), None)?) as ArrayRef)
    });
    Ok(Typed::new(expr, result, ""))
}
