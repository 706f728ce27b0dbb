//! Avro bytes to values.

use super::schema::Schema;
use crate::function::datum::Datum;

/// The value in the bytes; `None` when they do not fit.
pub fn value(schema: &Schema, bytes: &[u8]) -> Option<Datum> {
    read(schema, &mut &*bytes)
}

fn read(schema: &Schema, bytes: &mut &[u8]) -> Option<Datum> {
    Some(match schema {
        Schema::Null => Datum::Null,
        Schema::Boolean => Datum::Boolean(match take(bytes, 1)? {
            [0] => false,
            [1] => true,
            _ => return None,
        }),
        Schema::Int | Schema::Date => Datum::Whole(i32::try_from(long(bytes)?).ok()?.into()),
        Schema::Long => Datum::Whole(long(bytes)?.into()),
        Schema::Timestamp { unit, .. } => Datum::Whole(long(bytes)?.checked_mul(*unit)?.into()),
        Schema::Float => Datum::Real(f32::from_le_bytes(take(bytes, 4)?.try_into().ok()?).into()),
        Schema::Double => Datum::Real(f64::from_le_bytes(take(bytes, 8)?.try_into().ok()?)),
        Schema::Bytes => Datum::Bytes(sized(bytes)?.to_vec()),
        Schema::Text => Datum::Text(std::str::from_utf8(sized(bytes)?).ok()?.to_owned()),
        Schema::Fixed(size) => Datum::Bytes(take(bytes, *size)?.to_vec()),
        Schema::Enum(symbols) => Datum::Text(symbols.get(usize::try_from(long(bytes)?).ok()?)?.clone()),
        Schema::Decimal { precision, size, .. } => {
            let digits = match size {
                Some(size) => take(bytes, *size)?,
                None => sized(bytes)?,
            };
            let unscaled = whole(digits)?;
            if unscaled.unsigned_abs() >= 10u128.pow(u32::from(*precision)) {
                return None;
            }
            Datum::Whole(unscaled)
        }
        Schema::Array(items) => {
            let mut list = vec![];
            blocks(bytes, |bytes| {
                list.push(read(items, bytes)?);
                Some(())
            })?;
            Datum::List(list)
        }
        Schema::Map(values) => {
            let mut list = vec![];
            blocks(bytes, |bytes| {
                let key = Datum::Text(std::str::from_utf8(sized(bytes)?).ok()?.to_owned());
                list.push((key, read(values, bytes)?));
                Some(())
            })?;
            Datum::Map(list)
        }
        Schema::Record(fields) => {
            Datum::Struct(fields.iter().map(|(_, of)| read(of, bytes)).collect::<Option<Vec<_>>>()?)
        }
        Schema::Union(members) => {
            let at = usize::try_from(long(bytes)?).ok()?;
            let found = read(members.get(at)?, bytes)?;
            let several = Schema::members(members);
            match (several.as_slice(), members.get(at)?) {
                (_, Schema::Null) => Datum::Null,
                ([_], _)
                | ([Schema::Int, Schema::Long] | [Schema::Long, Schema::Int], _)
                | ([Schema::Float, Schema::Double] | [Schema::Double, Schema::Float], _) => found,
                (several, _) => {
                    let mut row = vec![Datum::Null; several.len()];
                    let nulls_before = members[..at].iter().filter(|member| **member == Schema::Null).count();
                    *row.get_mut(at - nulls_before)? = found;
                    Datum::Struct(row)
                }
            }
        }
    })
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// A number of variable length, with its sign in the lowest bit.
fn long(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let [byte] = take(bytes, 1)? else { return None };
        value |= u64::from(byte & 0x7F).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

fn sized<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(long(bytes)?).ok()?;
    take(bytes, length)
}

/// Blocks of items up to an empty one. Items take at least a byte each, or their number is bounded by the
/// bytes that are left.
fn blocks(bytes: &mut &[u8], mut item: impl FnMut(&mut &[u8]) -> Option<()>) -> Option<()> {
    loop {
        let count = long(bytes)?;
        if count == 0 {
            return Some(());
        }
        if count < 0 {
            long(bytes)?;
        }
        let count = count.unsigned_abs();
        if count > bytes.len() as u64 {
            return None;
        }
        for _ in 0..count {
            item(bytes)?;
        }
    }
}

/// Two's complement, the highest byte first.
fn whole(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first()? & 0x80 != 0;
    let fill = if negative { 0xFF } else { 0 };
    let excess = bytes.len().saturating_sub(16);
    if bytes[..excess].iter().any(|byte| *byte != fill) {
        return None;
    }
    let mut all = [fill; 16];
    let rest = &bytes[excess..];
    all[16 - rest.len()..].copy_from_slice(rest);
    Some(i128::from_be_bytes(all))
}
