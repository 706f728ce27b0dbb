//! Reads records as their [`Plan`] says, value by value into the columns. After a fault the columns may hold part of
//! the record: the caller cuts it off.

use super::input::Input;
use super::plan::{Lack, Part, Plan, Record, Skip, Slot, Step};
use crate::format::column::{Column, Values};
use crate::format::fault::Fault;
use crate::format::reject::shown;
use crate::format::text::time;

/// Deepest nesting of a type in itself that is passed over.
const DEPTH_MAX: u32 = 64;

/// Reads the records of one plan.
pub(super) struct Reading<'a> {
    pub plan: &'a Plan,
    /// A value that its column cannot hold is NULL.
    pub bad_fields_are_null: bool,
}

impl Reading<'_> {
    /// Reads a record that takes up all of `bytes`.
    pub fn record(&self, bytes: &[u8], columns: &mut [Column]) -> Result<(), Fault> {
        let mut input = Input::new(bytes);
        self.fields(&self.plan.root, &mut input, columns)?;
        match input.left() {
            0 => Ok(()),
            more => Err(input.malformed(&format!("{more} bytes after the record"))),
        }
    }

    fn fields(&self, record: &Record, input: &mut Input<'_>, columns: &mut [Column]) -> Result<(), Fault> {
        for part in &record.parts {
            match part {
                Part::Skip(skip) => self.skip(skip, input, 0)?,
                Part::Read(at, slot) => self.slot(slot, input, &mut columns[*at])?,
            }
        }
        record.lacks.iter().try_for_each(|lack| self.lack(lack, &mut columns[lack.column]))
    }

    fn lack(&self, lack: &Lack, column: &mut Column) -> Result<(), Fault> {
        match &lack.default {
            Some((bytes, slot)) => self.slot(slot, &mut Input::new(bytes), column),
            None if lack.nullable => {
                column.push_null();
                Ok(())
            }
            None => Err(Fault::missing(&lack.name)),
        }
    }

    fn slot(&self, slot: &Slot, input: &mut Input<'_>, column: &mut Column) -> Result<(), Fault> {
        let (start, rows) = (*input, column.len());
        let step = match &slot.step {
            Step::Union(branches) => &branches[input.choice(branches.len(), "branch")?],
            step => step,
        };
        if let Step::Null = step {
            return null(slot, column);
        }
        if let Step::Members(branches) = step {
            let at = input.choice(branches.len(), "branch")?;
            return match &branches[at] {
                None => null(slot, column),
                Some((member, inner)) => self.member(*member, inner, input, column),
            };
        }
        match self.value(step, input, column) {
            Ok(()) => Ok(()),
            Err(fault) if fault.is_wrong_type() && self.bad_fields_are_null && slot.nullable => {
                column.truncate(rows);
                column.push_null();
                *input = start;
                self.skip(&slot.skip, input, 0)
            }
            Err(fault) => Err(fault.inside(&slot.name)),
        }
    }

    /// A branch of a union that is a struct of all branches.
    fn member(&self, at: usize, slot: &Slot, input: &mut Input<'_>, column: &mut Column) -> Result<(), Fault> {
        let Values::Struct(parts) = &mut column.values else { return Err(lost()) };
        for (number, part) in parts.iter_mut().enumerate() {
            if number != at {
                part.push_null();
            }
        }
        match parts.get_mut(at) {
            Some(part) => self.slot(slot, input, part)?,
            None => self.skip(&slot.skip, input, 0)?,
        }
        column.nulls.append_non_null();
        Ok(())
    }

    #[inline]
    fn value(&self, step: &Step, input: &mut Input<'_>, column: &mut Column) -> Result<(), Fault> {
        match (step, &mut column.values) {
            (Step::Misfit(why, skip), _) => {
                self.skip(skip, input, 0)?;
                return Err(Fault::wrong_type(why.as_str()));
            }
            (Step::Boolean, Values::Boolean(values)) => values.append(input.boolean()?),
            (Step::Int(unit), values) => number(i64::from(input.int()?), *unit, values)?,
            (Step::Long(unit), values) => number(input.long()?, *unit, values)?,
            (Step::Float, Values::Float32(values)) => values.push(f32::from_le_bytes(input.array()?)),
            (Step::Float, Values::Float64(values)) => values.push(f32::from_le_bytes(input.array()?).into()),
            (Step::Double, Values::Float64(values)) => values.push(f64::from_le_bytes(input.array()?)),
            (Step::Bytes, Values::Binary(spans)) => spans.push(input.sized()?),
            (Step::Fixed(size), Values::Binary(spans)) => spans.push(input.take(*size)?),
            (Step::Text, Values::Binary(spans)) => spans.push(input.sized()?),
            (Step::Text, Values::Timestamp(values)) => {
                let text = input.sized()?;
                let instant = time::parse(text).and_then(time::Written::instant);
                values.push(instant.ok_or_else(|| Fault::wrong_type(format!("is no time: '{}'", shown(text))))?);
            }
            (Step::Text, Values::Text(spans)) => {
                let text = input.sized()?;
                if std::str::from_utf8(text).is_err() {
                    return Err(Fault::wrong_type(format!("is no UTF-8: '{}'", shown(text))));
                }
                spans.push(text);
            }
            (Step::Enum(symbols), Values::Text(spans)) => {
                spans.push(symbols[input.choice(symbols.len(), "symbol")?].as_bytes());
            }
            (Step::Decimal(size, unit), Values::Decimal(values, precision, _)) => {
                let digits = match size {
                    Some(size) => input.take(*size)?,
                    None => input.sized()?,
                };
                let unscaled = whole(digits).and_then(|digits| digits.checked_mul(*unit));
                let fits = unscaled.filter(|digits| digits.unsigned_abs() < 10u128.pow(u32::from(*precision)));
                values.push(fits.ok_or_else(|| Fault::wrong_type(format!("has more than {precision} digits")))?);
            }
            (Step::List(slot), Values::List { ends, items }) => {
                loop {
                    let count = input.block()?;
                    if count == 0 {
                        break;
                    }
                    for _ in 0..count {
                        self.slot(slot, input, items)?;
                    }
                }
                ends.push(items.len() as i32);
            }
            (Step::Map(slot), Values::Map { ends, keys, values }) => {
                loop {
                    let count = input.block()?;
                    if count == 0 {
                        break;
                    }
                    for _ in 0..count {
                        key(input, keys)?;
                        self.slot(slot, input, values)?;
                    }
                }
                ends.push(keys.len() as i32);
            }
            (Step::Record(record), Values::Struct(parts)) => self.fields(record, input, parts)?,
            _ => return Err(lost()),
        }
        column.nulls.append_non_null();
        Ok(())
    }

    fn skip(&self, skip: &Skip, input: &mut Input<'_>, depth: u32) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(input.malformed("nested too deep"));
        }
        match skip {
            Skip::Nothing => Ok(()),
            Skip::Bytes(count) => input.take(*count).map(drop),
            Skip::Long => input.long().map(drop),
            Skip::Sized => input.sized().map(drop),
            Skip::Blocks(item) | Skip::Pairs(item) => loop {
                let count = input.block()?;
                if count == 0 {
                    return Ok(());
                }
                for _ in 0..count {
                    if let Skip::Pairs(_) = skip {
                        input.sized()?;
                    }
                    self.skip(item, input, depth)?;
                }
            },
            Skip::All(parts) => parts.iter().try_for_each(|part| self.skip(part, input, depth)),
            Skip::Union(branches) => {
                let at = input.choice(branches.len(), "branch")?;
                self.skip(&branches[at], input, depth)
            }
            Skip::Named(name) => match self.plan.recursive.get(name) {
                Some(skip) => self.skip(skip, input, depth + 1),
                None => Err(lost()),
            },
        }
    }
}

fn null(slot: &Slot, column: &mut Column) -> Result<(), Fault> {
    if !slot.nullable {
        return Err(Fault::null(&slot.name));
    }
    column.push_null();
    Ok(())
}

/// A plan only has steps that fit their columns.
#[cold]
fn lost() -> Fault {
    Fault::wrong_type("has a value that its column was not made for")
}

fn key(input: &mut Input<'_>, keys: &mut Column) -> Result<(), Fault> {
    let text = input.sized()?;
    let Values::Text(spans) = &mut keys.values else { return Err(lost()) };
    if std::str::from_utf8(text).is_err() {
        return Err(Fault::wrong_type(format!("has a key that is no UTF-8: '{}'", shown(text))));
    }
    spans.push(text);
    keys.nulls.append_non_null();
    Ok(())
}

/// A whole number, times so much, into a column of numbers or times.
#[inline]
fn number(value: i64, unit: i64, values: &mut Values) -> Result<(), Fault> {
    let large = || Fault::wrong_type(format!("is {value}, which its column cannot hold"));
    match values {
        Values::Int64(values) => values.push(value),
        Values::Int32(values) | Values::Date(values) => values.push(i32::try_from(value).map_err(|_| large())?),
        Values::Timestamp(values) | Values::TimestampNtz(values) => {
            values.push(value.checked_mul(unit).ok_or_else(large)?);
        }
        Values::Float64(values) => values.push(value as f64),
        Values::Float32(values) => values.push(value as f32),
        Values::Int16(values) => values.push(i16::try_from(value).map_err(|_| large())?),
        Values::Int8(values) => values.push(i8::try_from(value).map_err(|_| large())?),
        _ => return Err(lost()),
    }
    Ok(())
}

/// Two's complement, the highest byte first; `None` when it takes more than 16 bytes.
fn whole(bytes: &[u8]) -> Option<i128> {
    let fill = if bytes.first().is_some_and(|first| first & 0x80 != 0) { 0xFF } else { 0 };
    let (excess, digits) = bytes.split_at(bytes.len().saturating_sub(16));
    let mut all = [fill; 16];
    all[16 - digits.len()..].copy_from_slice(digits);
    let value = i128::from_be_bytes(all);
    let is_same_sign = (value < 0) == (fill == 0xFF);
    (excess.iter().all(|byte| *byte == fill) && is_same_sign).then_some(value)
}
