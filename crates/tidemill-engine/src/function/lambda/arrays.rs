//! `transform`, `filter`, `exists`, `forall` and `zip_with`.

use super::{Applied, HigherOrder, Lambda};
use crate::function::lists::{Lists, Picks};
use crate::function::native::Native;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use std::sync::Arc;
use tidemill_core::{Result, types};

pub const ENTRIES: &[HigherOrder] = &[
    HigherOrder { names: &["transform"], arguments: (2, 2), build: transform },
    HigherOrder { names: &["filter"], arguments: (2, 2), build: filter },
    HigherOrder { names: &["exists"], arguments: (2, 2), build: |applied| quantified(applied, true) },
    HigherOrder { names: &["forall"], arguments: (2, 2), build: |applied| quantified(applied, false) },
    HigherOrder { names: &["zip_with"], arguments: (3, 3), build: zip_with },
];

/// The array, the lambda over its values, or values and positions, and the arguments of the call.
fn over_array(applied: &mut Applied<'_, '_>, with_position: bool) -> Result<(DataType, Lambda, Vec<Expr>)> {
    let (list, element) = applied.array(0)?;
    let mut types = vec![element.clone()];
    if with_position && applied.parameters(1) > 1 {
        types.push(DataType::Int32);
    }
    let lambda = applied.lambda(1, &types)?;
    let arguments = std::iter::once(list.expr).chain(lambda.captured()).collect();
    Ok((element, lambda, arguments))
}

/// A lambda that is a condition.
pub fn condition(applied: &Applied<'_, '_>, lambda: Lambda) -> Result<Lambda> {
    let context = applied.context();
    lambda.with_body(|body| match &body.data_type {
        DataType::Boolean | DataType::Null => Ok(body.widened(&DataType::Boolean)),
        other => Err(context.wrong_type("a lambda that gives a BOOLEAN", other)),
    })
}

fn transform(applied: &mut Applied<'_, '_>) -> Result<Typed> {
    let (_, lambda, arguments) = over_array(applied, true)?;
    let result = types::array_of(lambda.body.data_type.clone());
    let (text, with_position) = (lambda.text(), lambda.parameters.len() > 1);
    let program = lambda.program();
    let expr = Native::call("transform", text, result.clone(), arguments, move |arguments, _| {
        let elements = Lists::of(&arguments[0]).elements()?;
        let mut parameters = vec![elements.values.clone()];
        parameters.extend(with_position.then(|| elements.positions()));
        let values = program.run(parameters, &arguments[1..], &elements.rows)?;
        elements.with_values(values)
    });
    Ok(Typed::new(expr, result, ""))
}

fn filter(applied: &mut Applied<'_, '_>) -> Result<Typed> {
    let (element, lambda, arguments) = over_array(applied, true)?;
    let lambda = condition(applied, lambda)?;
    let result = types::array_of(element.clone());
    let (text, with_position) = (lambda.text(), lambda.parameters.len() > 1);
    let program = lambda.program();
    let expr = Native::call("filter", text, result.clone(), arguments, move |arguments, rows| {
        let elements = Lists::of(&arguments[0]).elements()?;
        let mut parameters = vec![elements.values.clone()];
        parameters.extend(with_position.then(|| elements.positions()));
        let kept = program.run(parameters, &arguments[1..], &elements.rows)?;
        let kept = kept.as_boolean();
        let (mut picks, mut place) = (Picks::new(rows), 0);
        for (row, length) in elements.lengths.iter().enumerate() {
            picks.extend(0, (place..place + length).filter(|at| kept.is_valid(*at) && kept.value(*at)));
            place += length;
            if arguments[0].is_null(row) { picks.end_null() } else { picks.end() }
        }
        picks.build(&element, &[&elements.values])
    });
    Ok(Typed::new(expr, result, ""))
}

/// `exists` and `forall`: three-valued, NULL when a NULL leaves it open.
fn quantified(applied: &mut Applied<'_, '_>, exists: bool) -> Result<Typed> {
    let (_, lambda, arguments) = over_array(applied, false)?;
    let lambda = condition(applied, lambda)?;
    let text = lambda.text();
    let program = lambda.program();
    let name = if exists { "exists" } else { "forall" };
    let expr = Native::call(name, text, DataType::Boolean, arguments, move |arguments, _| {
        let elements = Lists::of(&arguments[0]).elements()?;
        let holds = program.run(vec![elements.values.clone()], &arguments[1..], &elements.rows)?;
        let holds = holds.as_boolean();
        let mut place = 0;
        let answers = elements.lengths.iter().enumerate().map(|(row, length)| {
            let places = place..place + length;
            place += length;
            if arguments[0].is_null(row) {
                return None;
            }
            let decided = places.clone().any(|at| holds.is_valid(at) && holds.value(at) == exists);
            match decided || !places.into_iter().any(|at| holds.is_null(at)) {
                true => Some(decided == exists),
                false => None,
            }
        });
        Ok(Arc::new(answers.collect::<BooleanArray>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Boolean, ""))
}

/// Values at the same place; the shorter array is filled up with NULLs.
fn zip_with(applied: &mut Applied<'_, '_>) -> Result<Typed> {
    let (left, left_element) = applied.array(0)?;
    let (right, right_element) = applied.array(1)?;
    let lambda = applied.lambda(2, &[left_element, right_element])?;
    let result = types::array_of(lambda.body.data_type.clone());
    let arguments = [left.expr, right.expr].into_iter().chain(lambda.captured()).collect();
    let text = lambda.text();
    let program = lambda.program();
    let expr = Native::call("zip_with", text, result.clone(), arguments, move |arguments, rows| {
        let (left, right) = (Lists::of(&arguments[0]), Lists::of(&arguments[1]));
        let (mut lefts, mut rights, mut of) = (vec![], vec![], vec![]);
        let mut lengths = Vec::with_capacity(rows);
        for row in 0..rows {
            let (Some(one), Some(other)) = (left.range(row), right.range(row)) else {
                lengths.push(0);
                continue;
            };
            let length = one.len().max(other.len());
            lengths.push(length);
            let at = |range: &std::ops::Range<usize>, place: usize| {
                (place < range.len()).then(|| (range.start + place) as u32)
            };
            lefts.extend((0..length).map(|place| at(&one, place)));
            rights.extend((0..length).map(|place| at(&other, place)));
            of.extend(std::iter::repeat_n(row as u32, length));
        }
        let parameters = vec![
            take(left.values(), &UInt32Array::from(lefts), None)?,
            take(right.values(), &UInt32Array::from(rights), None)?,
        ];
        let values = program.run(parameters, &arguments[2..], &UInt32Array::from(of))?;
        let nulls = arrow::buffer::NullBuffer::union(arguments[0].nulls(), arguments[1].nulls());
        let field = Arc::new(arrow::datatypes::Field::new_list_field(values.data_type().clone(), true));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(arrow::array::ListArray::try_new(field, offsets, values, nulls)?) as ArrayRef)
    });
    Ok(Typed::new(expr, result, ""))
}
