//! Hashes: `hash` (Murmur3) and `xxhash64` over values of every type, and digests of bytes.
//! Source: Spark's `Murmur3_x86_32` and `XXH64`, seed 42; observed in the golden cases `hash_*`.

use super::native::Native;
use super::{CallContext, Entry, MANY, as_int, implicit_cast, library};
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalYearMonthType, TimestampMicrosecondType,
};
use datafusion_spark::function::hash as spark;
use std::sync::Arc;
use tidemill_core::{Error, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["hash"], arguments: (1, MANY), build: |context, arguments| hashed(context, arguments, false) },
    Entry { names: &["xxhash64"], arguments: (1, MANY), build: |context, arguments| hashed(context, arguments, true) },
    Entry {
        names: &["md5"],
        arguments: (1, 1),
        build: |context, mut arguments| {
            let argument = bytes(arguments.remove(0), context)?;
            library::call(datafusion::functions::crypto::md5(), vec![argument])
        },
    },
    Entry {
        names: &["sha1", "sha"],
        arguments: (1, 1),
        build: |context, mut arguments| library::call(spark::sha1(), vec![bytes(arguments.remove(0), context)?]),
    },
    Entry {
        names: &["sha2"],
        arguments: (2, 2),
        build: |context, mut arguments| {
            let bits = as_int(arguments.remove(1), context)?;
            library::call(spark::sha2(), vec![bytes(arguments.remove(0), context)?, bits])
        },
    },
    Entry {
        names: &["crc32"],
        arguments: (1, 1),
        build: |context, mut arguments| library::call(spark::crc32(), vec![bytes(arguments.remove(0), context)?]),
    },
];

/// Text as bytes, or bytes.
fn bytes(argument: Typed, context: &CallContext<'_>) -> Result<Typed> {
    match argument.data_type {
        DataType::Binary => Ok(argument),
        DataType::Utf8 | DataType::Null => implicit_cast(argument, &DataType::Binary, context),
        ref other => Err(context.wrong_type("BINARY", other)),
    }
}

fn hashed(context: &CallContext<'_>, arguments: Vec<Typed>, wide: bool) -> Result<Typed> {
    if arguments.iter().any(|argument| has_map(&argument.data_type)) {
        return Err(refuse::type_mismatch(
            "HASH_MAP_TYPE",
            format!("{} takes no maps: equal maps may have their entries in another order", context.name),
            context.text,
            context.at,
        ));
    }
    let names = arguments.iter().map(|argument| argument.name.clone()).collect::<Vec<_>>().join(", ");
    let result = if wide { DataType::Int64 } else { DataType::Int32 };
    let list = arguments.into_iter().map(|argument| argument.expr).collect();
    let expr = Native::call(context.name, "", result.clone(), list, move |arguments, rows| {
        let each = (0..rows).map(|row| {
            arguments.iter().try_fold(42, |seed, column| {
                if wide { value::<Xx>(column, row, seed) } else { value::<Murmur>(column, row, seed) }
            })
        });
        let each = each.collect::<Result<Vec<i64>>>()?;
        Ok(match wide {
            true => Arc::new(Int64Array::from(each)) as ArrayRef,
            false => Arc::new(each.into_iter().map(|hash| Some(hash as i32)).collect::<Int32Array>()),
        })
    });
    Ok(Typed::new(expr, result, format!("{}({names})", context.name)))
}

fn has_map(of: &DataType) -> bool {
    match of {
        DataType::Map(..) => true,
        DataType::List(element) => has_map(element.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_map(field.data_type())),
        _ => false,
    }
}

/// A hash over the three kinds of values there are; the seed is the hash so far.
trait Hash {
    fn int(value: i32, seed: i64) -> i64;
    fn long(value: i64, seed: i64) -> i64;
    fn bytes(value: &[u8], seed: i64) -> i64;
}

/// NULL leaves the seed as it is; what is nested goes in one by one.
fn value<H: Hash>(array: &ArrayRef, row: usize, seed: i64) -> Result<i64> {
    if array.is_null(row) {
        return Ok(seed);
    }
    Ok(match array.data_type() {
        DataType::Null => seed,
        DataType::Boolean => H::int(i32::from(array.as_boolean().value(row)), seed),
        DataType::Int8 => H::int(array.as_primitive::<Int8Type>().value(row).into(), seed),
        DataType::Int16 => H::int(array.as_primitive::<Int16Type>().value(row).into(), seed),
        DataType::Int32 => H::int(array.as_primitive::<Int32Type>().value(row), seed),
        DataType::Int64 => H::long(array.as_primitive::<Int64Type>().value(row), seed),
        DataType::Date32 => H::int(array.as_primitive::<Date32Type>().value(row), seed),
        DataType::Timestamp(..) => H::long(array.as_primitive::<TimestampMicrosecondType>().value(row), seed),
        DataType::Duration(_) => H::long(array.as_primitive::<DurationMicrosecondType>().value(row), seed),
        DataType::Interval(_) => H::int(array.as_primitive::<IntervalYearMonthType>().value(row), seed),
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            let plain = if value == 0.0 { 0.0 } else { value };
            H::int(if plain.is_nan() { 0x7fc0_0000 } else { plain.to_bits() as i32 }, seed)
        }
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            let plain = if value == 0.0 { 0.0 } else { value };
            H::long(if plain.is_nan() { 0x7ff8_0000_0000_0000 } else { plain.to_bits() as i64 }, seed)
        }
        DataType::Decimal128(precision, _) => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            match *precision <= 18 {
                true => H::long(value as i64, seed),
                false => H::bytes(shortest(&value.to_be_bytes()), seed),
            }
        }
        DataType::Utf8 => H::bytes(array.as_string::<i32>().value(row).as_bytes(), seed),
        DataType::Binary => H::bytes(array.as_binary::<i32>().value(row), seed),
        DataType::List(_) => {
            let values = array.as_list::<i32>().value(row);
            (0..values.len()).try_fold(seed, |seed, element| value::<H>(&values, element, seed))?
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().try_fold(seed, |seed, column| value::<H>(column, row, seed))?
        }
        other => return Err(Error::bug(format!("{other} has no hash"))),
    })
}

/// The hash of a text alone, as `%h` prints it.
pub fn of_text(text: &str) -> i32 {
    Murmur::bytes(text.as_bytes(), 42) as i32
}

/// The fewest bytes a two's complement number needs.
pub fn shortest(bytes: &[u8]) -> &[u8] {
    let fill = if bytes[0] & 0x80 == 0 { 0 } else { 0xFF };
    let mut start = 0;
    while start + 1 < bytes.len() && bytes[start] == fill && (bytes[start + 1] ^ fill) & 0x80 == 0 {
        start += 1;
    }
    &bytes[start..]
}

/// Murmur3, 32 bits.
struct Murmur;

impl Murmur {
    fn mix(hash: u32, word: u32) -> u32 {
        let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    }

    fn finish(hash: u32, length: usize) -> i64 {
        let mut hash = hash ^ length as u32;
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        i64::from((hash ^ (hash >> 16)) as i32)
    }
}

impl Hash for Murmur {
    fn int(value: i32, seed: i64) -> i64 {
        Murmur::finish(Murmur::mix(seed as u32, value as u32), 4)
    }

    fn long(value: i64, seed: i64) -> i64 {
        let low = Murmur::mix(seed as u32, value as u32);
        Murmur::finish(Murmur::mix(low, (value as u64 >> 32) as u32), 8)
    }

    /// Spark mixes each byte of the tail as a word of its own.
    fn bytes(value: &[u8], seed: i64) -> i64 {
        let mut words = value.chunks_exact(4);
        let mut hash = seed as u32;
        for word in &mut words {
            hash = Murmur::mix(hash, u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        }
        for byte in words.remainder() {
            hash = Murmur::mix(hash, i32::from(*byte as i8) as u32);
        }
        Murmur::finish(hash, value.len())
    }
}

/// XXH64.
struct Xx;

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

impl Xx {
    fn finish(hash: u64) -> i64 {
        let mut hash = (hash ^ (hash >> 33)).wrapping_mul(P2);
        hash = (hash ^ (hash >> 29)).wrapping_mul(P3);
        (hash ^ (hash >> 32)) as i64
    }

    fn round(hash: u64, word: u64) -> u64 {
        hash.wrapping_add(word.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
    }

    fn eight(hash: u64, word: u64) -> u64 {
        (hash ^ Xx::round(0, word)).rotate_left(27).wrapping_mul(P1).wrapping_add(P4)
    }

    fn four(hash: u64, word: u32) -> u64 {
        (hash ^ u64::from(word).wrapping_mul(P1)).rotate_left(23).wrapping_mul(P2).wrapping_add(P3)
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

impl Hash for Xx {
    fn int(value: i32, seed: i64) -> i64 {
        Xx::finish(Xx::four((seed as u64).wrapping_add(P5).wrapping_add(4), value as u32))
    }

    fn long(value: i64, seed: i64) -> i64 {
        Xx::finish(Xx::eight((seed as u64).wrapping_add(P5).wrapping_add(8), value as u64))
    }

    fn bytes(value: &[u8], seed: i64) -> i64 {
        let seed = seed as u64;
        let mut stripes = value.chunks_exact(32);
        let mut hash = seed.wrapping_add(P5);
        if value.len() >= 32 {
            let mut lanes =
                [seed.wrapping_add(P1).wrapping_add(P2), seed.wrapping_add(P2), seed, seed.wrapping_sub(P1)];
            for stripe in &mut stripes {
                for (lane, part) in lanes.iter_mut().zip(stripe.chunks_exact(8)) {
                    *lane = Xx::round(*lane, word(part));
                }
            }
            let [one, two, three, four] = lanes;
            hash = one.rotate_left(1).wrapping_add(two.rotate_left(7)).wrapping_add(three.rotate_left(12));
            hash = hash.wrapping_add(four.rotate_left(18));
            for lane in lanes {
                hash = (hash ^ Xx::round(0, lane)).wrapping_mul(P1).wrapping_add(P4);
            }
        }
        hash = hash.wrapping_add(value.len() as u64);
        let mut eights = stripes.remainder().chunks_exact(8);
        for part in &mut eights {
            hash = Xx::eight(hash, word(part));
        }
        let mut fours = eights.remainder().chunks_exact(4);
        for part in &mut fours {
            hash = Xx::four(hash, word(part) as u32);
        }
        for byte in fours.remainder() {
            hash = (hash ^ u64::from(*byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
        }
        Xx::finish(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_spark() {
        // SELECT hash('Spark'), xxhash64('Spark'), hash(1), xxhash64(1L)
        assert_eq!(Murmur::bytes(b"Spark", 42), 228_093_765);
        assert_eq!(Murmur::int(1, 42), -559_580_957);
        assert_eq!(Xx::bytes(b"Spark", 42), -4_294_468_057_691_064_905);
        assert_eq!(Xx::long(1, 42), -7_001_672_635_703_045_582);
    }

    #[test]
    fn numbers_are_cut_to_the_bytes_they_need() {
        assert_eq!(shortest(&127i128.to_be_bytes()), [0x7F]);
        assert_eq!(shortest(&128i128.to_be_bytes()), [0, 0x80]);
        assert_eq!(shortest(&(-128i128).to_be_bytes()), [0x80]);
        assert_eq!(shortest(&0i128.to_be_bytes()), [0]);
    }
}
