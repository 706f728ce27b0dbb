//! `array_sort`, with or without a comparator. With one it is a merge sort of all rows at once: every round
//! compares one pair of each merge that is going on.

use super::{Applied, HigherOrder, Program};
use crate::function::lists::Lists;
use crate::function::native::Native;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int32Type};
use std::ops::Range;
use tidemill_core::{Error, Kind, Result};

pub const ENTRIES: &[HigherOrder] = &[HigherOrder { names: &["array_sort"], arguments: (1, 2), build: array_sort }];

fn array_sort(applied: &mut Applied<'_, '_>) -> Result<Typed> {
    let (list, element) = applied.array(0)?;
    if applied.count() == 1 {
        applied.shown.push(DEFAULT_COMPARATOR.into());
        return crate::function::array::order::ascending_nulls_last(&applied.context(), list);
    }
    let lambda = applied.lambda(1, &[element.clone(), element])?;
    if !matches!(lambda.body.data_type, DataType::Int32 | DataType::Null) {
        return Err(applied.context().wrong_type("a lambda that gives an INT", &lambda.body.data_type));
    }
    let lambda = lambda.with_body(|body| Ok(body.widened(&DataType::Int32)))?;
    let result = list.data_type.clone();
    let arguments = std::iter::once(list.expr).chain(lambda.captured()).collect();
    let text = lambda.text();
    let program = lambda.program();
    let expr = Native::call("array_sort", text, result.clone(), arguments, move |arguments, _| {
        let elements = Lists::of(&arguments[0]).elements()?;
        let order = sorted(&elements.values, &elements.lengths, |left, right| {
            compare(&program, &elements.values, left, right, &arguments[1..], &elements.rows)
        })?;
        let values = take(&elements.values, &UInt32Array::from(order), None)?;
        elements.with_values(values)
    });
    Ok(Typed::new(expr, result, ""))
}

/// How Spark shows the comparator that stands for none.
const DEFAULT_COMPARATOR: &str = "lambdafunction((IF(((namedlambdavariable() IS NULL) AND (namedlambdavariable() IS \
     NULL)), 0, (IF((namedlambdavariable() IS NULL), 1, (IF((namedlambdavariable() IS NULL), -1, \
     (IF((namedlambdavariable() < namedlambdavariable()), -1, (IF((namedlambdavariable() > namedlambdavariable()), 1, \
     0)))))))))), namedlambdavariable(), namedlambdavariable())";

fn compare(
    program: &Program,
    values: &ArrayRef,
    left: Vec<u32>,
    right: Vec<u32>,
    outer: &[ArrayRef],
    rows: &UInt32Array,
) -> Result<Vec<bool>> {
    let (left, right) = (UInt32Array::from(left), UInt32Array::from(right));
    let of = take(rows, &left, None)?;
    let of = of.as_primitive::<arrow::datatypes::UInt32Type>();
    let compared = program.run(vec![take(values, &left, None)?, take(values, &right, None)?], outer, of)?;
    if compared.null_count() > 0 {
        return Err(Error::new(Kind::Data, "the comparator of array_sort gave NULL for two values")
            .class("COMPARATOR_RETURNS_NULL")
            .help("give a negative number, 0 or a positive number for every pair of values"));
    }
    Ok(compared.as_primitive::<Int32Type>().values().iter().map(|found| *found <= 0).collect())
}

/// A merge of two runs that lie side by side.
struct Merge {
    left: Range<usize>,
    right: Range<usize>,
    merged: Vec<u32>,
    start: usize,
}

/// The places of the values in order, row by row. `in_order` says for pairs of places whether the first may stay first.
fn sorted(
    values: &ArrayRef,
    lengths: &[usize],
    in_order: impl Fn(Vec<u32>, Vec<u32>) -> Result<Vec<bool>>,
) -> Result<Vec<u32>> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let mut width = 1;
    while width < longest {
        let mut merges = merges(lengths, width);
        loop {
            let open: Vec<usize> = (0..merges.len())
                .filter(|index| !merges[*index].left.is_empty() && !merges[*index].right.is_empty())
                .collect();
            if open.is_empty() {
                break;
            }
            let left = open.iter().map(|index| order[merges[*index].left.start]).collect();
            let right = open.iter().map(|index| order[merges[*index].right.start]).collect();
            for (index, stays) in open.iter().zip(in_order(left, right)?) {
                let merge = &mut merges[*index];
                let from = if stays { &mut merge.left } else { &mut merge.right };
                merge.merged.push(order[from.start]);
                from.start += 1;
            }
        }
        for merge in merges {
            let mut merged = merge.merged;
            merged.extend_from_slice(&order[merge.left]);
            merged.extend_from_slice(&order[merge.right]);
            order[merge.start..merge.start + merged.len()].copy_from_slice(&merged);
        }
        width *= 2;
    }
    Ok(order)
}

/// Pairs of neighbouring runs of `width` values.
fn merges(lengths: &[usize], width: usize) -> Vec<Merge> {
    let (mut merges, mut offset) = (vec![], 0);
    for length in lengths {
        let end = offset + length;
        let mut start = offset;
        while start + width < end {
            let middle = start + width;
            let stop = (middle + width).min(end);
            merges.push(Merge { left: start..middle, right: middle..stop, merged: vec![], start });
            start = stop;
        }
        offset = end;
    }
    merges
}
