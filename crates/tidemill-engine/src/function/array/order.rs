//! The order of an array's values: `array_sort`, `sort_array`, `array_max`, `array_min`, `reverse`.

use super::{array_argument, expect_orderable};
use crate::function::lists::{Lists, Picks, comparable};
use crate::function::native::Native;
use crate::function::{CallContext, Entry};
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use tidemill_core::{Error, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["sort_array"], arguments: (1, 2), build: sort_array },
    Entry { names: &["array_max"], arguments: (1, 1), build: |context, arguments| extreme(context, arguments, true) },
    Entry { names: &["array_min"], arguments: (1, 1), build: |context, arguments| extreme(context, arguments, false) },
    Entry { names: &["reverse"], arguments: (1, 1), build: reverse },
];

/// `array_sort` without a comparator.
pub fn ascending_nulls_last(context: &CallContext<'_>, list: Typed) -> Result<Typed> {
    sorted(context, list, false, false, "array_sort").map(|typed| typed.named(""))
}

/// Ascending with NULLs first, or descending with NULLs last.
fn sort_array(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let ascending = match arguments.get(1) {
        None => true,
        Some(given) => match given.as_literal() {
            Some(ScalarValue::Boolean(Some(ascending))) => *ascending,
            _ => return Err(context.wrong_type("a boolean literal as its second argument", &given.data_type)),
        },
    };
    let shown = format!("sort_array({}, {ascending})", arguments[0].name);
    let list = arguments.remove(0);
    sorted(context, list, !ascending, ascending, "sort_array").map(|typed| typed.named(shown))
}

fn sorted(
    context: &CallContext<'_>,
    list: Typed,
    descending: bool,
    nulls_first: bool,
    name: &'static str,
) -> Result<Typed> {
    let (list, element) = array_argument(list, context)?;
    expect_orderable(&element, context)?;
    let result = list.data_type.clone();
    let parameters = format!("{descending} {nulls_first}");
    let expr = Native::call(name, parameters, result.clone(), vec![list.expr], move |arguments, rows| {
        let lists = Lists::of(&arguments[0]);
        let keys = comparable(&[lists.values()])?;
        let keys = keys.first().ok_or_else(|| Error::bug("one column was encoded"))?;
        let mut picks = Picks::new(rows);
        for row in 0..rows {
            let Some(range) = lists.range(row) else {
                picks.end_null();
                continue;
            };
            let (nulls, mut places): (Vec<usize>, Vec<usize>) = range.partition(|place| lists.values().is_null(*place));
            match descending {
                true => places.sort_by(|left, right| keys.row(*right).cmp(&keys.row(*left))),
                false => places.sort_by(|left, right| keys.row(*left).cmp(&keys.row(*right))),
            }
            let (first, last) = if nulls_first { (nulls, places) } else { (places, nulls) };
            picks.extend(0, first);
            picks.extend(0, last);
            picks.end();
        }
        picks.build(&element, &[lists.values()])
    });
    Ok(Typed::new(expr, result, ""))
}

/// NULLs are passed over; NaN is the largest.
fn extreme(context: &CallContext<'_>, mut arguments: Vec<Typed>, largest: bool) -> Result<Typed> {
    let (list, element) = array_argument(arguments.remove(0), context)?;
    expect_orderable(&element, context)?;
    let expr =
        Native::call("array_extreme", largest.to_string(), element.clone(), vec![list.expr], move |arguments, rows| {
            let lists = Lists::of(&arguments[0]);
            let keys = comparable(&[lists.values()])?;
            let keys = keys.first().ok_or_else(|| Error::bug("one column was encoded"))?;
            let places = (0..rows).map(|row| {
                let places = lists.range(row)?.filter(|place| lists.values().is_valid(*place));
                // the first of equal values, as Spark keeps it
                let best = places.reduce(|best, place| {
                    let order = keys.row(place).cmp(&keys.row(best));
                    if (largest && order.is_gt()) || (!largest && order.is_lt()) { place } else { best }
                });
                best.map(|place| place as u32)
            });
            Ok(take(lists.values(), &places.collect::<UInt32Array>(), None)?)
        });
    Ok(Typed::new(expr, element, ""))
}

/// Of an array; text goes the way of text.
fn reverse(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    if !matches!(arguments[0].data_type, DataType::List(_)) {
        return crate::function::of_text("reverse", context, arguments);
    }
    let list = arguments.remove(0);
    let result = list.data_type.clone();
    let expr = Native::call("reverse_array", "", result.clone(), vec![list.expr], |arguments, rows| {
        let lists = Lists::of(&arguments[0]);
        let mut picks = Picks::new(rows);
        for row in 0..rows {
            match lists.range(row) {
                Some(range) => {
                    picks.extend(0, range.rev());
                    picks.end();
                }
                None => picks.end_null(),
            }
        }
        picks.build(arguments[0].as_list::<i32>().values().data_type(), &[lists.values()])
    });
    Ok(Typed::new(expr, result, ""))
}
