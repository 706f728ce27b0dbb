//! `aggregate` (`reduce`): one value of all, step by step. A step is taken for every row that has a value
//! left, at once.

use super::{Applied, HigherOrder};
use crate::function::implicit_cast;
use crate::function::lists::Lists;
use crate::function::native::Native;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, UInt32Array, new_null_array};
use arrow::compute::{interleave, is_null, nullif, take};
use tidemill_core::Result;

pub const ENTRIES: &[HigherOrder] =
    &[HigherOrder { names: &["aggregate", "reduce"], arguments: (3, 4), build: aggregate }];

fn aggregate(applied: &mut Applied<'_, '_>) -> Result<Typed> {
    let (list, element) = applied.array(0)?;
    let zero = applied.value(1)?;
    let so_far = zero.data_type.clone();
    let merge = applied.lambda(2, &[so_far.clone(), element])?;
    if !super::super::same_type(&merge.body.data_type, &so_far) {
        return Err(applied.context().wrong_type(
            &format!("a lambda that gives {}, the type of its start value", tidemill_core::types::name(&so_far)),
            &merge.body.data_type,
        ));
    }
    let merge = merge.with_body(|body| implicit_cast(body, &so_far, &applied.context()))?;
    let finish = if applied.count() == 4 { Some(applied.lambda(3, std::slice::from_ref(&so_far))?) } else { None };
    if finish.is_none() {
        applied.shown.push("lambdafunction(namedlambdavariable(), namedlambdavariable())".into());
    }
    let result = finish.as_ref().map_or(so_far, |finish| finish.body.data_type.clone());
    let arguments = [list.expr, zero.expr].into_iter().chain(merge.captured());
    let arguments = arguments.chain(finish.iter().flat_map(|finish| finish.captured())).collect();
    let text = format!("{} {:?}", merge.text(), finish.as_ref().map(super::Lambda::text));
    let (merge, finish) = (merge.program(), finish.map(super::Lambda::program));
    let expr = Native::call("aggregate", text, result.clone(), arguments, move |arguments, rows| {
        let (outer, last) = arguments[2..].split_at(merge.outer());
        let folded = fold(&arguments[0], &arguments[1], outer, &merge)?;
        let Some(finish) = &finish else { return Ok(folded) };
        let all = UInt32Array::from_iter_values(0..rows as u32);
        let finished = finish.run(vec![folded], last, &all)?;
        Ok(nullif(&finished, &is_null(&arguments[0])?)?)
    });
    Ok(Typed::new(expr, result, ""))
}

fn fold(list: &ArrayRef, zero: &ArrayRef, outer: &[ArrayRef], merge: &super::Program) -> Result<ArrayRef> {
    let lists = Lists::of(list);
    let missing = new_null_array(zero.data_type(), 1);
    // the value of each row: the step it was made in, and its place there
    let mut found = vec![(0, 0); lists.rows()];
    let mut steps = vec![missing];
    let mut active: Vec<(u32, std::ops::Range<usize>)> =
        (0..lists.rows()).filter_map(|row| Some((row as u32, lists.range(row)?))).collect();
    let rows = UInt32Array::from_iter_values(active.iter().map(|(row, _)| *row));
    let mut so_far = take(zero, &rows, None)?;
    loop {
        let mut left = Vec::with_capacity(active.len());
        let mut places = Vec::with_capacity(active.len());
        for (place, (row, range)) in active.into_iter().enumerate() {
            match range.is_empty() {
                true => found[row as usize] = (steps.len(), place),
                false => {
                    places.push(place as u32);
                    left.push((row, range));
                }
            }
        }
        steps.push(so_far.clone());
        if left.is_empty() {
            break;
        }
        let before = take(&so_far, &UInt32Array::from(places), None)?;
        let next = UInt32Array::from_iter_values(left.iter().map(|(_, range)| range.start as u32));
        let rows = UInt32Array::from_iter_values(left.iter().map(|(row, _)| *row));
        so_far = merge.run(vec![before, take(lists.values(), &next, None)?], outer, &rows)?;
        active = left.into_iter().map(|(row, range)| (row, range.start + 1..range.end)).collect();
    }
    let steps: Vec<&dyn Array> = steps.iter().map(|step| &**step).collect();
    Ok(interleave(&steps, &found)?)
}
