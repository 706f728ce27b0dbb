//! Wall clocks of one zone as those of another: `from_utc_timestamp`, `to_utc_timestamp`, `convert_timezone`.

use super::text_at;
use crate::function::native::Native;
use crate::function::{CallContext, Entry, as_text, as_timestamp, cast_to};
use crate::pipeline::analysis::typed::Typed;
use crate::time::zone::Zone;
use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["from_utc_timestamp"], arguments: (2, 2), build: |context, given| shifted(context, given, true) },
    Entry { names: &["to_utc_timestamp"], arguments: (2, 2), build: |context, given| shifted(context, given, false) },
    Entry { names: &["convert_timezone"], arguments: (2, 3), build: convert_timezone },
    Entry { names: &["current_timezone"], arguments: (0, 0), build: current_timezone },
];

/// A zone by its name.
///
/// # Errors
/// There is none of that name.
pub fn zone_named(name: &str) -> Result<Zone> {
    Zone::parse(name).ok_or_else(|| {
        Error::new(Kind::Data, format!("there is no time zone '{name}'"))
            .class("INVALID_TIMEZONE")
            .help("write a region such as Europe/Vienna, or an offset such as +02:00")
    })
}

/// The zone of each row: looked up once while the name stays the same.
#[derive(Default)]
struct Zones(Option<(String, Zone)>);

impl Zones {
    fn of(&mut self, name: &str) -> Result<Zone> {
        match &self.0 {
            Some((known, zone)) if known == name => Ok(*zone),
            _ => {
                let zone = zone_named(name)?;
                self.0 = Some((name.to_owned(), zone));
                Ok(zone)
            }
        }
    }
}

/// A timestamp whose wall clock in UTC is that in the zone, or the other way round.
fn shifted(context: &CallContext<'_>, mut arguments: Vec<Typed>, from_utc: bool) -> Result<Typed> {
    let zone = as_text(arguments.remove(1), context)?;
    let value = as_timestamp(arguments.remove(0), context)?;
    let arguments = vec![value.expr, zone.expr];
    let parameters = from_utc.to_string();
    let expr = Native::call("utc_timestamp", parameters, types::timestamp(), arguments, move |arguments, rows| {
        let values = arguments[0].as_primitive::<TimestampMicrosecondType>();
        let mut zones = Zones::default();
        let shifted = (0..rows).map(|row| match text_at(&arguments[1], row) {
            Some(name) if values.is_valid(row) => {
                let (zone, value) = (zones.of(name)?, values.value(row));
                Ok(Some(if from_utc { zone.to_wall_clock(value) } else { zone.from_wall_clock(value) }))
            }
            _ => Ok(None),
        });
        let shifted = shifted.collect::<Result<TimestampMicrosecondArray>>()?;
        Ok(Arc::new(shifted.with_timezone("UTC")) as ArrayRef)
    });
    Ok(Typed::new(expr, types::timestamp(), ""))
}

/// `convert_timezone([from,] to, wall clock)`.
fn convert_timezone(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    if arguments.len() == 2 {
        let current = current_timezone(context, vec![])?;
        arguments.insert(0, current.named("current_timezone()"));
    }
    let shown: Vec<String> = arguments.iter().map(|argument| argument.name.clone()).collect();
    let value = cast_to(arguments.remove(2), &types::timestamp_ntz(), false, context)?;
    let (to, from) = (as_text(arguments.remove(1), context)?, as_text(arguments.remove(0), context)?);
    let arguments = vec![from.expr, to.expr, value.expr];
    let expr = Native::call("convert_timezone", "", types::timestamp_ntz(), arguments, |arguments, rows| {
        let values = arguments[2].as_primitive::<TimestampMicrosecondType>();
        let (mut froms, mut tos) = (Zones::default(), Zones::default());
        let converted = (0..rows).map(|row| match (text_at(&arguments[0], row), text_at(&arguments[1], row)) {
            (Some(from), Some(to)) if values.is_valid(row) => {
                let instant = froms.of(from)?.from_wall_clock(values.value(row));
                Ok(Some(tos.of(to)?.to_wall_clock(instant)))
            }
            _ => Ok(None),
        });
        Ok(Arc::new(converted.collect::<Result<TimestampMicrosecondArray>>()?) as ArrayRef)
    });
    Ok(Typed::new(expr, types::timestamp_ntz(), format!("convert_timezone({})", shown.join(", "))))
}

fn current_timezone(context: &CallContext<'_>, _: Vec<Typed>) -> Result<Typed> {
    let name = context.session.settings.time_zone().name();
    Ok(Typed::literal(ScalarValue::from(name), "").named(""))
}
