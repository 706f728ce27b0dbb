//! Watermarks.

use super::{Analyzer, Bound};
use crate::pipeline::plan::{Node, Plan};
use crate::pipeline::text::Spot;
use crate::time::interval::Interval;
use arrow::datatypes::DataType;
use tidemill_core::{Error, Result, types};

impl Analyzer<'_> {
    /// The number of the watermark that is written like this; the same relation read twice has one.
    pub(super) fn watermark_number(&self, written: String) -> u32 {
        *self.watermarks.borrow_mut().entry(written).or_insert_with(|| self.numbers.next())
    }

    pub(super) fn watermark(&self, bound: Bound, column: &str, delay: &str, number: u32, at: Spot) -> Result<Bound> {
        let name: Vec<String> = column.split('.').map(str::to_owned).collect();
        let (attribute, rest) = bound.scope.find(&name, self.text, at)?;
        let place = || self.text.place(at);
        let is_window = types::is_window(&attribute.data_type);
        if !rest.is_empty() || !(is_window || matches!(attribute.data_type, DataType::Timestamp(_, Some(_)))) {
            return Err(Error::invalid(format!(
                "the event time must be a column of type TIMESTAMP; `{column}` is of type {}",
                types::name(&attribute.data_type).to_uppercase()
            ))
            .class("EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE")
            .at_if_unplaced(place()));
        }
        let interval = Interval::parse(delay).ok_or_else(|| {
            Error::invalid(format!("'{delay}' is not a time such as '10 minutes'"))
                .class("CANNOT_PARSE_INTERVAL")
                .at_if_unplaced(place())
        })?;
        let delay = interval.delay_micros().filter(|micros| *micros >= 0).ok_or_else(|| {
            Error::invalid(format!("the delay of a watermark is 0 or more, not {delay}"))
                .class("_LEGACY_ERROR_TEMP_3157")
                .at_if_unplaced(place())
        })?;
        if !bound.plan.streaming {
            return Ok(bound);
        }
        if bound.plan.attributes.iter().any(|known| known.watermark.is_some()) {
            return Err(Error::invalid("a watermark is already set on this stream")
                .class("_LEGACY_ERROR_TEMP_3102")
                .at_if_unplaced(place())
                .help("a stream has one event-time column; remove one of the two"));
        }
        let Bound { plan, mut scope, .. } = bound;
        let mut attributes = plan.attributes.clone();
        attributes.iter_mut().filter(|known| known.id == attribute.id).for_each(|known| known.watermark = Some(delay));
        let with_mark = scope.entries_mut().iter_mut().filter(|entry| entry.attribute.id == attribute.id);
        with_mark.for_each(|entry| entry.attribute.watermark = Some(delay));
        let node = Node::Watermark { input: plan, column: attribute.id, delay, number };
        Ok(self.bound(Plan { node, attributes, streaming: true }, scope))
    }
}
