//! `sequence(start, stop[, step])`: whole numbers, dates and timestamps, both ends included.

use crate::function::lists::check_size;
use crate::function::native::Native;
use crate::function::{CallContext, Entry, implicit_cast};
use crate::pipeline::analysis::coerce;
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use crate::time::{DAY, calendar};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, DurationMicrosecondType, Field, Int64Type, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
};
use chrono_tz::Tz;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result, types};

pub const ENTRIES: &[Entry] = &[Entry { names: &["sequence"], arguments: (2, 3), build: sequence }];

fn sequence(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let step = if arguments.len() == 3 { arguments.pop() } else { None };
    let (stop, start) = (arguments.remove(1), arguments.remove(0));
    let wrong = || {
        refuse::type_mismatch(
            "SEQUENCE_WRONG_INPUT_TYPES",
            "sequence takes whole numbers, or dates or timestamps with an interval as step".to_owned(),
            context.text,
            context.at,
        )
    };
    let mut common = coerce::common_strict(&start.data_type, &stop.data_type).ok_or_else(wrong)?;
    let numeric_step = step.as_ref().filter(|step| coerce::is_integer(&step.data_type));
    if let (Some(step), true) = (numeric_step, coerce::is_integer(&common)) {
        common = coerce::common(&common, &step.data_type).ok_or_else(wrong)?;
    }
    let is_interval = |of: &DataType| matches!(of, DataType::Duration(_) | DataType::Interval(_));
    let fits = match &common {
        of if coerce::is_integer(of) => {
            step.as_ref().is_none_or(|step| coerce::is_integer(&step.data_type) || step.data_type == DataType::Null)
        }
        of if coerce::is_datetime(of) => {
            step.as_ref().is_none_or(|step| is_interval(&step.data_type) || step.data_type == DataType::Null)
        }
        _ => false,
    };
    if !fits {
        return Err(wrong());
    }
    let result = types::array_of(common.clone());
    let session = match &common {
        DataType::Timestamp(_, Some(_)) => context.session.settings.time_zone(),
        _ => Tz::UTC,
    };
    let mut expressions =
        vec![implicit_cast(start, &common, context)?.expr, implicit_cast(stop, &common, context)?.expr];
    if let Some(step) = step {
        let step = if is_interval(&step.data_type) { step } else { implicit_cast(step, &common, context)? };
        expressions.push(step.expr);
    }
    let parameters = format!("{common} {session}");
    let expr = Native::call("sequence", parameters, result.clone(), expressions, move |arguments, rows| {
        sequences(arguments, rows, &common, session)
    });
    Ok(Typed::new(expr, result, ""))
}

/// How far it is from one value to the next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Fixed(i64),
    Calendar { months: i64, days: i64, micros: i64 },
}

fn sequences(arguments: &[ArrayRef], rows: usize, of: &DataType, session: Tz) -> Result<ArrayRef> {
    let starts = as_numbers(&arguments[0])?;
    let stops = as_numbers(&arguments[1])?;
    let (mut values, mut lengths, mut valid) = (vec![], Vec::with_capacity(rows), Vec::with_capacity(rows));
    for row in 0..rows {
        let before = values.len();
        let is_null = arguments.iter().any(|argument| argument.is_null(row));
        valid.push(!is_null);
        if !is_null {
            let (start, stop) = (starts.value(row), stops.value(row));
            let step = match arguments.get(2) {
                Some(steps) => step_of(steps, row, of)?,
                None if coerce::is_datetime(of) => {
                    Step::Calendar { months: 0, days: if start <= stop { 1 } else { -1 }, micros: 0 }
                }
                None => Step::Fixed(if start <= stop { 1 } else { -1 }),
            };
            match step {
                Step::Fixed(step) => fixed(start, stop, step, &mut values)?,
                Step::Calendar { months, days, micros } if *of == DataType::Date32 => {
                    let mut instants = vec![];
                    by_calendar(start * DAY, stop * DAY, (months, days, micros), session, &mut instants)?;
                    values.extend(instants.into_iter().map(|instant| instant.div_euclid(DAY)));
                }
                Step::Calendar { months, days, micros } => {
                    by_calendar(start, stop, (months, days, micros), session, &mut values)?;
                }
            }
        }
        lengths.push(values.len() - before);
    }
    let values = Arc::new(Int64Array::from(values)) as ArrayRef;
    let values = match of {
        DataType::Date32 => cast(&cast(&values, &DataType::Int32)?, of)?,
        _ => cast(&values, of)?,
    };
    let field = Arc::new(Field::new_list_field(of.clone(), true));
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), values, Some(NullBuffer::from(valid)))?))
}

fn as_numbers(array: &ArrayRef) -> Result<Int64Array> {
    let numbers = match array.data_type() {
        DataType::Date32 => cast(&cast(array, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(array, &DataType::Int64)?,
    };
    Ok(numbers.as_primitive::<Int64Type>().clone())
}

fn step_of(steps: &ArrayRef, row: usize, of: &DataType) -> Result<Step> {
    let (months, days, micros) = match steps.data_type() {
        DataType::Interval(IntervalUnit::YearMonth) => {
            (i64::from(steps.as_primitive::<IntervalYearMonthType>().value(row)), 0, 0)
        }
        DataType::Interval(_) => {
            let step = steps.as_primitive::<IntervalMonthDayNanoType>().value(row);
            (i64::from(step.months), i64::from(step.days), step.nanoseconds / 1000)
        }
        DataType::Duration(_) => {
            let micros = steps.as_primitive::<DurationMicrosecondType>().value(row);
            (0, micros / DAY, micros % DAY)
        }
        _ => return Ok(Step::Fixed(as_numbers(steps)?.value(row))),
    };
    if *of == DataType::Date32 && micros != 0 {
        return Err(Error::new(Kind::Data, "a sequence of dates takes steps of whole days, months or years")
            .class("_LEGACY_ERROR_TEMP_3242"));
    }
    Ok(Step::Calendar { months, days, micros })
}

fn wrong_boundaries() -> Error {
    Error::new(Kind::Data, "the step of a sequence leads away from its stop, or is 0")
        .help("the step's sign must be that of stop - start")
}

fn fixed(start: i64, stop: i64, step: i64, values: &mut Vec<i64>) -> Result<()> {
    let leads = (step > 0 && start <= stop) || (step < 0 && start >= stop) || (step == 0 && start == stop);
    if !leads {
        return Err(wrong_boundaries());
    }
    let count = if step == 0 { 0 } else { (i128::from(stop) - i128::from(start)) / i128::from(step) };
    check_size(usize::try_from(count).unwrap_or(usize::MAX).saturating_add(values.len()))?;
    values.extend((0..=count as i64).map(|index| start.wrapping_add(index.wrapping_mul(step))));
    Ok(())
}

fn by_calendar(
    start: i64,
    stop: i64,
    (months, days, micros): (i64, i64, i64),
    session: Tz,
    values: &mut Vec<i64>,
) -> Result<()> {
    const MONTH: i64 = 28 * DAY;
    let estimate = i128::from(months) * i128::from(MONTH) + i128::from(days) * i128::from(DAY) + i128::from(micros);
    let leads = (estimate > 0 && start <= stop) || (estimate < 0 && start >= stop) || (estimate == 0 && start == stop);
    if !leads {
        return Err(wrong_boundaries());
    }
    let count = if estimate == 0 { 0 } else { (i128::from(stop) - i128::from(start)) / estimate };
    check_size(usize::try_from(count).unwrap_or(usize::MAX).saturating_add(values.len()))?;
    let mut index = 0i64;
    loop {
        let next = calendar::add(start, index * months, index * days, index.saturating_mul(micros), session);
        match next {
            Some(next) if (estimate >= 0 && next <= stop) || (estimate < 0 && next >= stop) => values.push(next),
            _ => return Ok(()),
        }
        if estimate == 0 {
            return Ok(());
        }
        index += 1;
    }
}
