//! `map_filter`, `map_zip_with`, `transform_keys` and `transform_values`.

use super::arrays::condition;
use super::{Applied, HigherOrder, Lambda};
use crate::function::implicit_cast;
use crate::function::lists::comparable;
use crate::function::map::{Maps, map_array};
use crate::function::native::Native;
use crate::pipeline::analysis::coerce;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{interleave, take};
use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use std::collections::HashMap;
use tidemill_core::{Error, Result, types};

pub const ENTRIES: &[HigherOrder] = &[
    HigherOrder { names: &["map_filter"], arguments: (2, 2), build: map_filter },
    HigherOrder { names: &["map_zip_with"], arguments: (3, 3), build: map_zip_with },
    HigherOrder { names: &["transform_keys"], arguments: (2, 2), build: transform_keys },
    HigherOrder { names: &["transform_values"], arguments: (2, 2), build: transform_values },
];

/// The map's key and value types, the lambda over keys and values, and the arguments of the call.
fn over_map(applied: &mut Applied<'_, '_>) -> Result<((DataType, DataType), Lambda, Vec<Expr>)> {
    let (map, key, value) = applied.map(0)?;
    let lambda = applied.lambda(1, &[key.clone(), value.clone()])?;
    let arguments = std::iter::once(map.expr).chain(lambda.captured()).collect();
    Ok(((key, value), lambda, arguments))
}

fn map_filter(applied: &mut Applied<'_, '_>) -> Result<Typed> {
    let ((key, value), lambda, arguments) = over_map(applied)?;
    let lambda = condition(applied, lambda)?;
    let result = types::map_of(key, value);
    let (text, of) = (lambda.text(), result.clone());
    let program = lambda.program();
    let expr = Native::call("map_filter", text, result.clone(), arguments, move |arguments, _| {
        let maps = Maps::of(&arguments[0])?;
        let kept = program.run(vec![maps.keys.clone(), maps.values.clone()], &arguments[1..], &maps.rows)?;
        let kept = kept.as_boolean();
        let (mut places, mut place) = (vec![], 0);
        let mut lengths = Vec::with_capacity(maps.lengths.len());
        for length in &maps.lengths {
            let before = places.len();
            places
                .extend((place..place + length).filter(|at| kept.is_valid(*at) && kept.value(*at)).map(|at| at as u32));
            lengths.push(places.len() - before);
            place += length;
        }
        let places = UInt32Array::from(places);
        let (keys, values) = (take(&maps.keys, &places, None)?, take(&maps.values, &places, None)?);
        map_array(&of, lengths, keys, values, maps.nulls)
    });
    Ok(Typed::new(expr, result, ""))
}

fn transform_values(applied: &mut Applied<'_, '_>) -> Result<Typed> {
    let ((key, _), lambda, arguments) = over_map(applied)?;
    let result = types::map_of(key, lambda.body.data_type.clone());
    let (text, of) = (lambda.text(), result.clone());
    let program = lambda.program();
    let expr = Native::call("transform_values", text, result.clone(), arguments, move |arguments, _| {
        let maps = Maps::of(&arguments[0])?;
        let values = program.run(vec![maps.keys.clone(), maps.values], &arguments[1..], &maps.rows)?;
        map_array(&of, maps.lengths, maps.keys, values, maps.nulls)
    });
    Ok(Typed::new(expr, result, ""))
}

/// Keys must not be NULL, and each stand once.
fn transform_keys(applied: &mut Applied<'_, '_>) -> Result<Typed> {
    let ((_, value), lambda, arguments) = over_map(applied)?;
    if matches!(lambda.body.data_type, DataType::Map(..)) {
        return Err(applied.context().wrong_type("a lambda that gives no MAP", &lambda.body.data_type));
    }
    let result = types::map_of(lambda.body.data_type.clone(), value);
    let (text, of) = (lambda.text(), result.clone());
    let program = lambda.program();
    let expr = Native::call("transform_keys", text, result.clone(), arguments, move |arguments, _| {
        let maps = Maps::of(&arguments[0])?;
        let keys = program.run(vec![maps.keys, maps.values.clone()], &arguments[1..], &maps.rows)?;
        crate::function::map::check_keys(&keys, &maps.lengths)?;
        map_array(&of, maps.lengths, keys, maps.values, maps.nulls)
    });
    Ok(Typed::new(expr, result, ""))
}

/// Every key of two maps, with NULL for the map that lacks it.
fn map_zip_with(applied: &mut Applied<'_, '_>) -> Result<Typed> {
    let (left, left_key, left_value) = applied.map(0)?;
    let (right, right_key, right_value) = applied.map(1)?;
    let Some(key) = coerce::common(&left_key, &right_key) else {
        return Err(applied.context().wrong_type("two maps with keys of one type", &right.data_type));
    };
    let lambda = applied.lambda(2, &[key.clone(), left_value.clone(), right_value.clone()])?;
    let left = implicit_cast(left, &types::map_of(key.clone(), left_value), &applied.context())?;
    let right = implicit_cast(right, &types::map_of(key.clone(), right_value), &applied.context())?;
    let result = types::map_of(key, lambda.body.data_type.clone());
    let arguments = [left.expr, right.expr].into_iter().chain(lambda.captured()).collect();
    let (text, of) = (lambda.text(), result.clone());
    let program = lambda.program();
    let expr = Native::call("map_zip_with", text, result.clone(), arguments, move |arguments, rows| {
        let (left, right) = (Maps::of(&arguments[0])?, Maps::of(&arguments[1])?);
        let union = KeyUnion::of(&left, &right, rows)?;
        let parameters = vec![
            union.keys(&left, &right)?,
            take(&left.values, &UInt32Array::from(union.lefts), None)?,
            take(&right.values, &UInt32Array::from(union.rights), None)?,
        ];
        let keys = parameters[0].clone();
        let values = program.run(parameters, &arguments[2..], &UInt32Array::from(union.rows))?;
        let nulls = arrow::buffer::NullBuffer::union(arguments[0].nulls(), arguments[1].nulls());
        map_array(&of, union.lengths, keys, values, nulls)
    });
    Ok(Typed::new(expr, result, ""))
}

/// The keys of two maps, row by row, each once; where each stands in either map.
#[derive(Default)]
struct KeyUnion {
    lefts: Vec<Option<u32>>,
    rights: Vec<Option<u32>>,
    rows: Vec<u32>,
    lengths: Vec<usize>,
}

impl KeyUnion {
    fn of(left: &Maps, right: &Maps, rows: usize) -> Result<KeyUnion> {
        let encoded = comparable(&[&left.keys, &right.keys])?;
        let [left_keys, right_keys] = encoded.as_slice() else { return Err(Error::bug("two columns of keys")) };
        let mut union = KeyUnion::default();
        let (mut left_start, mut right_start) = (0, 0);
        for row in 0..rows {
            let (one, other) =
                (left_start..left_start + left.lengths[row], right_start..right_start + right.lengths[row]);
            (left_start, right_start) = (one.end, other.end);
            if left.is_null(row) || right.is_null(row) {
                union.lengths.push(0);
                continue;
            }
            let known: HashMap<_, _> = other.clone().map(|place| (right_keys.row(place), place)).collect();
            let mut seen = std::collections::HashSet::new();
            for place in one.clone() {
                seen.insert(left_keys.row(place));
                union.lefts.push(Some(place as u32));
                union.rights.push(known.get(&left_keys.row(place)).map(|found| *found as u32));
            }
            for place in other.filter(|place| !seen.contains(&right_keys.row(*place))) {
                union.lefts.push(None);
                union.rights.push(Some(place as u32));
            }
            let length = union.lefts.len() - union.rows.len();
            union.lengths.push(length);
            union.rows.extend(std::iter::repeat_n(row as u32, length));
        }
        Ok(union)
    }

    fn keys(&self, left: &Maps, right: &Maps) -> Result<ArrayRef> {
        if self.rows.is_empty() {
            return Ok(left.keys.slice(0, 0));
        }
        let order: Vec<(usize, usize)> = self
            .lefts
            .iter()
            .zip(&self.rights)
            .map(|(left, right)| match left {
                Some(place) => (0, *place as usize),
                None => (1, right.unwrap_or(0) as usize),
            })
            .collect();
        Ok(interleave(&[&*left.keys, &*right.keys], &order)?)
    }
}
