//! `trunc` of dates and `date_trunc` of timestamps.

use super::{as_date, text_at};
use crate::function::native::Native;
use crate::function::{CallContext, Entry, as_text, as_timestamp};
use crate::pipeline::analysis::typed::Typed;
use crate::time::{DAY, SECOND, date_of, days_of, wall_clock, zone};
use arrow::array::{Array, ArrayRef, AsArray, Date32Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;
use std::sync::Arc;
use tidemill_core::{Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["date_trunc"], arguments: (2, 2), build: date_trunc },
    Entry { names: &["trunc"], arguments: (2, 2), build: trunc },
];

/// The unit of each row in lower case: changed once while the text stays the same.
#[derive(Default)]
struct Units {
    written: String,
    lower: String,
}

impl Units {
    fn of(&mut self, unit: &str) -> &str {
        if unit != self.written {
            unit.clone_into(&mut self.written);
            self.lower = unit.to_ascii_lowercase();
        }
        &self.lower
    }
}

/// NULL for a unit there is none of, as in Spark.
fn date_trunc(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let value = as_timestamp(arguments.remove(1), context)?;
    let unit = as_text(arguments.remove(0), context)?;
    let session = context.session.settings.time_zone();
    let arguments = vec![unit.expr, value.expr];
    let expr = Native::call("date_trunc", session.name(), types::timestamp(), arguments, move |arguments, rows| {
        let values = arguments[1].as_primitive::<TimestampMicrosecondType>();
        let mut units = Units::default();
        let cut = (0..rows).map(|row| {
            let unit = text_at(&arguments[0], row).filter(|_| values.is_valid(row))?;
            truncate(values.value(row), units.of(unit), session)
        });
        Ok(Arc::new(cut.collect::<TimestampMicrosecondArray>().with_timezone("UTC")) as ArrayRef)
    });
    Ok(Typed::new(expr, types::timestamp(), ""))
}

fn truncate(instant: i64, unit: &str, session: Tz) -> Option<i64> {
    let wall = zone::to_wall_clock(instant, session);
    let step = match unit {
        "microsecond" => Some(1),
        "millisecond" => Some(1000),
        "second" => Some(SECOND),
        "minute" => Some(60 * SECOND),
        "hour" => Some(3600 * SECOND),
        _ => None,
    };
    if let Some(step) = step {
        return Some(instant - wall.rem_euclid(step));
    }
    let date = wall_clock(wall)?.date();
    let first = if matches!(unit, "day" | "dd") { date } else { first_of(date, unit)? };
    Some(zone::from_wall_clock(i64::from(days_of(first)) * DAY, session))
}

/// The first day of the date's week, month, quarter or year.
fn first_of(date: NaiveDate, unit: &str) -> Option<NaiveDate> {
    match unit {
        "week" => date.checked_sub_days(chrono::Days::new(u64::from(date.weekday().num_days_from_monday()))),
        "month" | "mon" | "mm" => date.with_day(1),
        "quarter" => date.with_day(1)?.with_month0(date.month0() / 3 * 3),
        "year" | "yyyy" | "yy" => date.with_ordinal(1),
        _ => None,
    }
}

fn trunc(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let unit = as_text(arguments.remove(1), context)?;
    let date = as_date(arguments.remove(0), context)?;
    let expr = Native::call("trunc", "", DataType::Date32, vec![date.expr, unit.expr], |arguments, rows| {
        let dates = arguments[0].as_primitive::<Date32Type>();
        let mut units = Units::default();
        let cut = (0..rows).map(|row| {
            let unit = text_at(&arguments[1], row).filter(|_| dates.is_valid(row))?;
            first_of(date_of(dates.value(row))?, units.of(unit)).map(days_of)
        });
        Ok(Arc::new(cut.collect::<Date32Array>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Date32, ""))
}
