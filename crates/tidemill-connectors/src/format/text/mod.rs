//! Values as text, both ways, by the rules of Spark: numbers, decimals, dates, times, intervals.
//! Pure functions over bytes; nothing here knows a format or a column.

pub(crate) mod decimal;
pub(crate) mod interval;
pub(crate) mod number;
pub(crate) mod time;
