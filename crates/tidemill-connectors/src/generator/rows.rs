//! Rows made from their number: who, when, and a value for every declared column. The same number gives
//! the same row, and a column's values do not depend on which other columns are asked for.

use super::number::{Spread, moment, spread};
use super::random::{Random, Zipf, mix};
use super::text::{Make, maker};
use crate::format::column::{Column, Values, finish_all, map_entry};
use arrow::array::RecordBatchOptions;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use tidemill_core::options::snake_case;
use tidemill_core::{Error, Result};

/// What the values of one row are made from.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Number over all partitions.
    pub index: u64,
    /// When it is due, in microseconds since 1970.
    pub due: i64,
    /// When its event happened: as due, or earlier when it is late.
    pub time: i64,
    /// Number of the user.
    pub user: u64,
    /// Identity of the user's session.
    pub session: u64,
}

/// How rows are made.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    pub seed: u64,
    pub users: Arc<Zipf>,
    /// Share of late rows, 0 to 1.
    pub late: f64,
    /// How late they are at most, in microseconds.
    pub late_by: u64,
}

/// Purposes of random numbers that belong to no column.
const WHO: u64 = 1;
const WHEN: u64 = 2;
const DEVICE: u64 = 3;

impl Recipe {
    /// Row number `index`, which is due at `due`.
    pub fn row(&self, index: u64, due: i64) -> Row {
        let user = self.users.user(&mut Random::new(self.seed, index, WHO));
        let mut when = Random::new(self.seed, index, WHEN);
        let late = if when.unit() < self.late { 1 + when.below(self.late_by.max(1)) } else { 0 };
        let time = due.saturating_sub_unsigned(late);
        // A session lasts five minutes to half an hour; one event in four is of a second device.
        let habits = mix(user ^ 0xABCD);
        let length = 300_000_000 + (habits % 1_500_000_000) as i64;
        let number = time.saturating_add((habits % 300_000_000) as i64).div_euclid(length);
        let device = u64::from(Random::new(self.seed, index, DEVICE).below(4) == 0);
        let session = mix(user << 24 ^ (number as u64) << 1 ^ device);
        Row { index, due, time, user, session }
    }
}

/// How the values of one column are made.
enum Filler {
    Void,
    Boolean,
    Number(Spread),
    Moment(String),
    Text(Make),
    Binary,
    Interval,
    Struct(Vec<Filler>),
    List(Box<Filler>),
    Map(Box<Filler>, Box<Filler>),
}

/// Makes rows of a schema.
pub(super) struct Filling {
    schema: SchemaRef,
    /// One a column, with the purpose of its random numbers.
    fillers: Vec<(u64, Filler)>,
}

impl Filling {
    /// For rows of `schema`.
    ///
    /// # Errors
    /// A column type outside `tidemill_core::types`.
    pub fn new(schema: SchemaRef) -> Result<Self> {
        let fillers = schema.fields().iter().map(|field| {
            Column::new(field.data_type(), 0)?;
            let name = snake_case(field.name());
            let purpose = name.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)));
            Ok((purpose, Filler::new(&name, field.data_type())?))
        });
        let fillers = fillers.collect::<Result<_>>()?;
        Ok(Filling { schema, fillers })
    }

    /// The columns of `rows`.
    ///
    /// # Errors
    /// A bug: columns that do not line up.
    pub fn batch(&self, seed: u64, rows: &[Row]) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.fillers.len());
        for (field, (purpose, filler)) in self.schema.fields().iter().zip(&self.fillers) {
            let mut column = Column::new(field.data_type(), rows.len())?;
            let mut text = String::new();
            for row in rows {
                let mut random = Random::new(seed, row.index, *purpose);
                filler.push(row, &mut random, &mut column, &mut text)?;
            }
            columns.push(column);
        }
        let arrays = finish_all(columns, self.schema.fields())?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?)
    }
}

impl Filler {
    fn new(name: &str, of: &DataType) -> Result<Filler> {
        Ok(match of {
            DataType::Null => Filler::Void,
            DataType::Boolean => Filler::Boolean,
            DataType::Date32 | DataType::Timestamp(..) => Filler::Moment(name.to_owned()),
            DataType::Utf8 => Filler::Text(maker(name)),
            DataType::Binary => Filler::Binary,
            DataType::Duration(_) | DataType::Interval(_) => Filler::Interval,
            DataType::Struct(fields) => {
                let inner = fields.iter().map(|field| Filler::new(&snake_case(field.name()), field.data_type()));
                Filler::Struct(inner.collect::<Result<_>>()?)
            }
            // The elements of `tags` are like a column `tag`.
            DataType::List(item) => {
                let single = name.strip_suffix('s').unwrap_or(name);
                Filler::List(Box::new(Filler::new(single, item.data_type())?))
            }
            DataType::Map(entries, _) => {
                let (key, value) = map_entry(entries.data_type())?;
                Filler::Map(Box::new(Filler::new("attribute", key)?), Box::new(Filler::new("attribute", value)?))
            }
            _ => Filler::Number(spread(name)),
        })
    }

    /// Adds the value of `row`. `text` is room to write in.
    fn push(&self, row: &Row, random: &mut Random, column: &mut Column, text: &mut String) -> Result<()> {
        match (self, &mut column.values) {
            (Filler::Void, _) => {
                column.nulls.append_null();
                return Ok(());
            }
            (Filler::Boolean, Values::Boolean(values)) => values.append(random.below(2) == 0),
            (Filler::Moment(name), Values::Timestamp(values) | Values::TimestampNtz(values)) => {
                values.push(moment(name, row, random));
            }
            (Filler::Moment(name), Values::Date(values)) => {
                values.push(moment(name, row, random).div_euclid(86_400_000_000) as i32);
            }
            (Filler::Text(make), Values::Text(spans)) => {
                text.clear();
                make(row, random, text);
                spans.push(text.as_bytes());
            }
            (Filler::Binary, Values::Binary(spans)) => {
                spans.push(&[random.bits().to_le_bytes(), random.bits().to_le_bytes()].concat());
            }
            (Filler::Interval, Values::DayTime(values)) => values.push(random.between(0, 3_600_000_000)),
            (Filler::Interval, Values::YearMonth(values)) => values.push(random.between(0, 36) as i32),
            (Filler::Number(spread), values) => {
                let (value, digits) = spread.value(row, random);
                push_number(value, digits, values)?;
            }
            (Filler::Struct(fillers), Values::Struct(columns)) => {
                fillers.iter().zip(columns).try_for_each(|(filler, column)| filler.push(row, random, column, text))?;
            }
            (Filler::List(filler), Values::List { ends, items }) => {
                (0..random.below(4)).try_for_each(|_| filler.push(row, random, items, text))?;
                ends.push(items.len() as i32);
            }
            (Filler::Map(key, value), Values::Map { ends, keys, values }) => {
                let entries = random.below(2);
                (0..entries).try_for_each(|_| key.push(row, random, keys, text))?;
                (0..entries).try_for_each(|_| value.push(row, random, values, text))?;
                ends.push(keys.len() as i32);
            }
            _ => return Err(Error::bug("a column of the generator has another type than its filler")),
        }
        column.nulls.append_non_null();
        Ok(())
    }
}

/// Adds `value`, which has so many `digits` after its point, as the column's type; it is cut to the
/// type's range.
fn push_number(value: f64, digits: u32, values: &mut Values) -> Result<()> {
    match values {
        Values::Int8(values) => values.push(value as i8),
        Values::Int16(values) => values.push(value as i16),
        Values::Int32(values) => values.push(value as i32),
        Values::Int64(values) => values.push(value as i64),
        Values::Float32(values) => values.push(value as f32),
        Values::Float64(values) => values.push(value),
        Values::Decimal(values, precision, scale) => {
            let scale = u32::try_from(*scale).unwrap_or(0);
            let shown = digits.min(scale);
            let unscaled = (value * 10f64.powi(shown as i32)).round() as i128;
            values.push((unscaled * 10i128.pow(scale - shown)) % 10i128.pow(u32::from(*precision)));
        }
        _ => return Err(Error::bug("a number has no such column")),
    }
    Ok(())
}
