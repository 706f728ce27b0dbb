//! Sketches of Apache DataSketches as values: what `hll_sketch_agg` gives, estimated and united.

use super::native::Native;
use super::{CallContext, Entry};
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datasketches::hll::{HllSketch, HllType, HllUnion};
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["hll_sketch_estimate"], arguments: (1, 1), build: estimate },
    Entry { names: &["hll_union"], arguments: (2, 3), build: union },
];

/// One byte a register, as in Spark.
pub const HLL: HllType = HllType::Hll8;
/// What saved state is to errors.
pub const DIFFERENT: &str = "a saved sketch";

/// A sketch of its bytes.
///
/// # Errors
/// Bytes that are no sketch.
pub fn read(bytes: &[u8], function: &str) -> Result<HllSketch> {
    HllSketch::deserialize(bytes).map_err(|error| {
        Error::new(Kind::Data, format!("{function} takes the bytes of an HLL sketch, such as hll_sketch_agg gives"))
            .class("HLL_INVALID_INPUT_SKETCH_BUFFER")
            .caused_by(error)
    })
}

/// The bytes of a sketch as Spark writes them: while it is small a table with free places, where the library
/// writes only what is in it. Values whose places in the table collide may stand in each other's.
pub fn bytes(sketch: &HllSketch) -> Vec<u8> {
    const LIST: u8 = 0;
    const SET: u8 = 1;
    const COMPACT: u8 = 8;
    const KEY: u32 = (1 << 26) - 1;
    let compact = sketch.serialize();
    let head = match compact.get(7).map(|mode| mode & 3) {
        Some(LIST) => 8,
        Some(SET) => 12,
        _ => return compact,
    };
    let lg_places = u32::from(compact[4]);
    let mut table = vec![0u32; 1 << lg_places];
    for (number, coupon) in compact[head..].as_chunks::<4>().0.iter().enumerate() {
        let coupon = u32::from_le_bytes(*coupon);
        let mut place = if head == 8 { number } else { coupon as usize };
        place &= table.len() - 1;
        while table[place] != 0 {
            place = (place + (((coupon & KEY) >> lg_places) | 1) as usize) & (table.len() - 1);
        }
        table[place] = coupon;
    }
    let mut bytes = compact[..head].to_vec();
    bytes[5] &= !COMPACT;
    table.iter().for_each(|coupon| bytes.extend(coupon.to_le_bytes()));
    bytes
}

/// What both sketches have seen, in the size of the smaller.
///
/// # Errors
/// A bug.
pub fn unite(left: &HllSketch, right: &HllSketch) -> Result<HllSketch> {
    let lg_k = left.lg_config_k().min(right.lg_config_k());
    let mut union = HllUnion::new(lg_k).map_err(|error| Error::bug("sketches cannot be united").caused_by(error))?;
    union.update(left);
    union.update(right);
    Ok(union.to_sketch(HLL))
}

/// The error of sketches that do not go together.
pub fn different(left: &HllSketch, right: &HllSketch, function: &str) -> Error {
    let (left, right) = (left.lg_config_k(), right.lg_config_k());
    Error::new(Kind::Data, format!("{function} has sketches of different lgConfigK, {left} and {right}"))
        .class("HLL_UNION_DIFFERENT_LG_K")
        .help("give true as allowDifferentLgConfigK")
}

fn estimate(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let sketch = binary(arguments.remove(0), context)?;
    let shown = format!("hll_sketch_estimate({})", sketch.name);
    let expr = Native::call("hll_sketch_estimate", "", DataType::Int64, vec![sketch.expr], |arguments, _| {
        let sketches = arguments[0].as_binary::<i32>();
        let estimates = sketches.iter().map(|bytes| {
            // to the nearest, halves up, as Java rounds
            bytes.map(|bytes| Ok((read(bytes, "hll_sketch_estimate")?.estimate() + 0.5).floor() as i64)).transpose()
        });
        Ok(Arc::new(estimates.collect::<Result<Int64Array>>()?) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int64, shown))
}

fn union(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let flag = match arguments.len() {
        3 => arguments.remove(2),
        _ => Typed::literal(ScalarValue::Boolean(Some(false)), "false"),
    };
    if flag.data_type != DataType::Boolean {
        return Err(context.wrong_type("BOOLEAN as allowDifferentLgConfigK", &flag.data_type));
    }
    let (left, right) = (binary(arguments.remove(0), context)?, binary(arguments.remove(0), context)?);
    let shown = format!("hll_union({}, {}, {})", left.name, right.name, flag.name);
    let arguments = vec![left.expr, right.expr, flag.expr];
    let expr = Native::call("hll_union", "", DataType::Binary, arguments, |arguments, rows| {
        let (left, right) = (arguments[0].as_binary::<i32>(), arguments[1].as_binary::<i32>());
        let may_differ = arguments[2].as_boolean();
        let united = (0..rows).map(|row| {
            if left.is_null(row) || right.is_null(row) || may_differ.is_null(row) {
                return Ok(None);
            }
            let (left, right) = (read(left.value(row), "hll_union")?, read(right.value(row), "hll_union")?);
            if !may_differ.value(row) && left.lg_config_k() != right.lg_config_k() {
                return Err(different(&left, &right, "hll_union"));
            }
            Ok(Some(bytes(&unite(&left, &right)?)))
        });
        Ok(Arc::new(united.collect::<Result<BinaryArray>>()?) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Binary, shown))
}

fn binary(argument: Typed, context: &CallContext<'_>) -> Result<Typed> {
    match argument.data_type {
        DataType::Binary => Ok(argument),
        DataType::Null => Ok(argument.widened(&DataType::Binary)),
        ref other => Err(context.wrong_type("BINARY", other)),
    }
}
