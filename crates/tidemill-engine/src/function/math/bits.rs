//! Bits of whole numbers: shifts, `~`, `bit_count`, `getbit`.

use crate::function::native::Native;
use crate::function::{CallContext, Entry, as_int, implicit_cast};
use crate::pipeline::analysis::coerce::is_integer;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, Int8Array, Int32Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int8Type, Int16Type, Int32Type, Int64Type};
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result};

pub const ENTRIES: &[Entry] = &[
    Entry {
        names: &["shiftleft", "<<"],
        arguments: (2, 2),
        build: |context, given| shift(context, given, Shift::Left),
    },
    Entry {
        names: &["shiftright", ">>"],
        arguments: (2, 2),
        build: |context, given| shift(context, given, Shift::Right),
    },
    Entry {
        names: &["shiftrightunsigned", ">>>"],
        arguments: (2, 2),
        build: |context, given| shift(context, given, Shift::RightUnsigned),
    },
    Entry { names: &["bitwise_not", "~"], arguments: (1, 1), build: not },
    Entry { names: &["bit_count"], arguments: (1, 1), build: bit_count },
    Entry { names: &["getbit", "bit_get"], arguments: (2, 2), build: get_bit },
];

#[derive(Debug, Clone, Copy)]
enum Shift {
    Left,
    Right,
    RightUnsigned,
}

/// By the last five bits of the count, or the last six for a bigint, as the JVM shifts.
fn shift(context: &CallContext<'_>, mut arguments: Vec<Typed>, shift: Shift) -> Result<Typed> {
    let shown = match context.name {
        name if name.starts_with(['<', '>']) => format!("({} {name} {})", arguments[0].name, arguments[1].name),
        name => format!("{name}({}, {})", arguments[0].name, arguments[1].name),
    };
    let by = as_int(arguments.remove(1), context)?;
    let value = arguments.remove(0);
    let of = match &value.data_type {
        DataType::Int64 => DataType::Int64,
        of if is_integer(of) || matches!(of, DataType::Null | DataType::Utf8) => DataType::Int32,
        other => return Err(context.wrong_type("an INT or BIGINT", other)),
    };
    let value = implicit_cast(value, &of, context)?;
    let arguments = vec![value.expr, by.expr];
    let expr = Native::call("shift", format!("{shift:?} {of}"), of.clone(), arguments, move |arguments, _| {
        let by = arguments[1].as_primitive::<Int32Type>();
        Ok(match arguments[0].data_type() {
            DataType::Int64 => {
                let values = arguments[0].as_primitive::<Int64Type>();
                let shifted: Int64Array = arrow::compute::binary(values, by, |value: i64, by: i32| match shift {
                    Shift::Left => value.wrapping_shl(by as u32),
                    Shift::Right => value.wrapping_shr(by as u32),
                    Shift::RightUnsigned => (value as u64).wrapping_shr(by as u32) as i64,
                })?;
                Arc::new(shifted) as ArrayRef
            }
            _ => {
                let values = arguments[0].as_primitive::<Int32Type>();
                let shifted: Int32Array = arrow::compute::binary(values, by, |value: i32, by: i32| match shift {
                    Shift::Left => value.wrapping_shl(by as u32),
                    Shift::Right => value.wrapping_shr(by as u32),
                    Shift::RightUnsigned => (value as u32).wrapping_shr(by as u32) as i32,
                })?;
                Arc::new(shifted)
            }
        })
    });
    Ok(Typed::new(expr, of, shown))
}

fn not(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let value = arguments.remove(0);
    let of = value.data_type.clone();
    if !is_integer(&of) {
        return Err(context.wrong_type("a whole number", &of));
    }
    let shown = format!("~{}", value.name);
    let expr = Native::call("bitwise_not", of.to_string(), of.clone(), vec![value.expr], |arguments, _| {
        let array = &arguments[0];
        Ok(match array.data_type() {
            DataType::Int8 => {
                Arc::new(array.as_primitive::<Int8Type>().unary::<_, Int8Type>(|value| !value)) as ArrayRef
            }
            DataType::Int16 => Arc::new(array.as_primitive::<Int16Type>().unary::<_, Int16Type>(|value| !value)),
            DataType::Int32 => Arc::new(array.as_primitive::<Int32Type>().unary::<_, Int32Type>(|value| !value)),
            _ => Arc::new(array.as_primitive::<Int64Type>().unary::<_, Int64Type>(|value| !value)),
        })
    });
    Ok(Typed::new(expr, of, shown))
}

/// Of a number widened to 64 bits.
fn bit_count(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let value = arguments.remove(0);
    if !is_integer(&value.data_type) && !matches!(value.data_type, DataType::Boolean | DataType::Null) {
        return Err(context.wrong_type("a whole number or BOOLEAN", &value.data_type));
    }
    let expr = Native::call("bit_count", "", DataType::Int32, vec![value.expr], |arguments, _| {
        let wide = cast(&arguments[0], &DataType::Int64)?;
        let counts: Int32Array = wide.as_primitive::<Int64Type>().unary(|value| value.count_ones() as i32);
        Ok(Arc::new(counts) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int32, ""))
}

fn get_bit(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let position = as_int(arguments.remove(1), context)?;
    let value = arguments.remove(0);
    let bits: i32 = match &value.data_type {
        DataType::Int8 => 8,
        DataType::Int16 => 16,
        DataType::Int32 => 32,
        DataType::Int64 | DataType::Null => 64,
        other => return Err(context.wrong_type("a whole number", other)),
    };
    let value = implicit_cast(value, &DataType::Int64, context)?;
    let arguments = vec![value.expr, position.expr];
    let expr = Native::call("getbit", bits.to_string(), DataType::Int8, arguments, move |arguments, rows| {
        let values = arguments[0].as_primitive::<Int64Type>();
        let positions = arguments[1].as_primitive::<Int32Type>();
        let found = (0..rows).map(|row| {
            if values.is_null(row) || positions.is_null(row) {
                return Ok(None);
            }
            let position = positions.value(row);
            if !(0..bits).contains(&position) {
                return Err(Error::new(Kind::Data, format!("there is no bit {position}: they are 0 to {}", bits - 1))
                    .class("INVALID_PARAMETER_VALUE.BIT_POSITION_RANGE"));
            }
            Ok(Some((values.value(row) >> position & 1) as i8))
        });
        Ok(Arc::new(found.collect::<Result<Int8Array>>()?) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int8, ""))
}
