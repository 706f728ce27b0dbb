//! When the stretch of time ends that a row opens for a session: its time and the gap of `session_window`.
//! A gap that is no interval gives NULL, and the row opens nothing.

use super::CallContext;
use super::native::Native;
use crate::pipeline::analysis::typed::Typed;
use crate::time::interval::Interval;
use crate::time::{DAY, date_of, days_of, zone};
use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType, IntervalUnit, TimestampMicrosecondType};
use chrono::Months;
use datafusion::logical_expr::Expr;
use std::sync::Arc;
use tidemill_core::{Error, Result};

/// The instant `gap` after `time`.
///
/// # Errors
/// A gap that is not an interval or the text of one.
pub fn after(time: &Typed, gap: Typed, context: &CallContext<'_>) -> Result<Expr> {
    if !matches!(gap.data_type, DataType::Utf8 | DataType::Null | DataType::Interval(IntervalUnit::MonthDayNano)) {
        let given = tidemill_core::types::name(&gap.data_type).to_uppercase();
        return Err(Error::invalid(format!("the gap of a session is an interval such as '5 minutes', not {given}"))
            .class("_LEGACY_ERROR_TEMP_1040")
            .help("write it as text: '5 minutes'")
            .at_if_unplaced(context.text.place(context.at)));
    }
    let gap = if gap.data_type == DataType::Null { gap.widened(&DataType::Utf8) } else { gap };
    let of = time.data_type.clone();
    // wall clocks have no zone
    let session = match of {
        DataType::Timestamp(_, Some(_)) => context.session.settings.time_zone(),
        _ => chrono_tz::Tz::UTC,
    };
    let result = of.clone();
    let parameters = format!("{session} {}", gap.data_type);
    Ok(Native::call("session_end", parameters, of, vec![time.expr.clone(), gap.expr], move |arguments, _| {
        let times = arguments[0].as_primitive::<TimestampMicrosecondType>();
        let gaps = Gaps::new(&arguments[1])?;
        let mut known = None;
        let ends: PrimitiveArray<TimestampMicrosecondType> = (0..times.len())
            .map(|row| {
                let gap = gaps.at(row, &mut known)?;
                if times.is_valid(row) { plus(times.value(row), gap, session) } else { None }
            })
            .collect();
        Ok(Arc::new(ends.with_data_type(result.clone())) as ArrayRef)
    }))
}

/// Gaps of a batch.
enum Gaps<'a> {
    Text(&'a arrow::array::StringArray),
    Calendar(&'a PrimitiveArray<IntervalMonthDayNanoType>),
}

impl<'a> Gaps<'a> {
    fn new(column: &'a ArrayRef) -> Result<Self> {
        match column.data_type() {
            DataType::Utf8 => Ok(Gaps::Text(column.as_string())),
            DataType::Interval(IntervalUnit::MonthDayNano) => Ok(Gaps::Calendar(column.as_primitive())),
            other => Err(Error::bug(format!("a gap of type {other}"))),
        }
    }

    /// The gap of a row. `known` is the text last read and what it means: texts repeat.
    fn at(&self, row: usize, known: &mut Option<(&'a str, Option<Interval>)>) -> Option<Interval> {
        match self {
            Gaps::Text(column) => {
                let text = column.is_valid(row).then(|| column.value(row))?;
                match known {
                    Some((same, meaning)) if *same == text => *meaning,
                    _ => known.insert((text, Interval::parse(text))).1,
                }
            }
            Gaps::Calendar(column) => {
                let value = column.is_valid(row).then(|| column.value(row))?;
                let (months, days) = (i64::from(value.months), i64::from(value.days));
                Some(Interval { months, days, micros: value.nanoseconds / 1000 })
            }
        }
    }
}

/// Months and days are counted on the wall clock of the zone, the rest in time that passes.
fn plus(instant: i64, gap: Interval, zone: chrono_tz::Tz) -> Option<i64> {
    if gap.months == 0 && gap.days == 0 {
        return instant.checked_add(gap.micros);
    }
    let wall = zone::to_wall_clock(instant, zone);
    let date = date_of(i32::try_from(wall.div_euclid(DAY)).ok()?)?;
    let months = Months::new(u32::try_from(gap.months.unsigned_abs()).ok()?);
    let date = if gap.months >= 0 { date.checked_add_months(months) } else { date.checked_sub_months(months) };
    let day = i64::from(days_of(date?)).checked_add(gap.days)?;
    let wall = day.checked_mul(DAY)?.checked_add(wall.rem_euclid(DAY))?;
    zone::from_wall_clock(wall, zone).checked_add(gap.micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_the_calendar() {
        let of = |text: &str| Interval::parse(text).unwrap();
        let instant = |text: &str| crate::time::text::parse_timestamp(text, chrono_tz::Tz::UTC).unwrap();
        let moved = plus(instant("2024-01-31 12:00:00"), of("1 month 5 minutes"), chrono_tz::Tz::UTC);
        assert_eq!(moved, Some(instant("2024-02-29 12:05:00")));
        assert_eq!(plus(7, of("-5 microseconds"), chrono_tz::Tz::UTC), Some(2));
    }
}
