//! Statistics of pairs of numbers: `corr`, `covar_pop`, `covar_samp` and the `regr_` family, in which the
//! first argument depends on the second. Pairs in which one number is NULL are passed over.

use super::figures::{Figures, Statistic};
use super::{Built, Entry, Modifiers, average, count, expect_arguments};
use crate::function::{CallContext, as_double, implicit_cast};
use crate::pipeline::analysis::coerce::is_numeric;
use crate::pipeline::analysis::typed::Typed;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit, when};
use std::sync::Arc;
use tidemill_core::Result;

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["covar_pop"], build: |context, arguments, _| of_two(context, arguments, COVAR_POP) },
    Entry { names: &["covar_samp"], build: |context, arguments, _| of_two(context, arguments, COVAR_SAMP) },
    Entry { names: &["corr"], build: |context, arguments, _| of_two(context, arguments, CORR) },
    Entry { names: &["regr_r2"], build: |context, arguments, _| of_two(context, arguments, REGR_R2) },
    Entry { names: &["regr_sxy"], build: |context, arguments, _| of_two(context, arguments, REGR_SXY) },
    Entry { names: &["regr_sxx"], build: |context, arguments, _| of_two(context, arguments, REGR_SXX) },
    Entry { names: &["regr_syy"], build: |context, arguments, _| of_two(context, arguments, REGR_SYY) },
    Entry { names: &["regr_slope"], build: |context, arguments, _| of_two(context, arguments, REGR_SLOPE) },
    Entry { names: &["regr_intercept"], build: |context, arguments, _| of_two(context, arguments, REGR_INTERCEPT) },
    Entry {
        names: &["regr_count"],
        build: |context, arguments, modifiers| {
            let arguments = numbers(context, arguments)?;
            (count::COUNT.build)(context, arguments, modifiers)
        },
    },
    Entry { names: &["regr_avgx"], build: |context, arguments, modifiers| mean_of(context, arguments, modifiers, 1) },
    Entry { names: &["regr_avgy"], build: |context, arguments, modifiers| mean_of(context, arguments, modifiers, 0) },
];

fn of_two<const N: usize>(context: &CallContext<'_>, arguments: Vec<Typed>, statistic: Statistic<N>) -> Result<Built> {
    expect_arguments(context, &arguments, 2, 2)?;
    let arguments = arguments.into_iter().map(|argument| as_double(argument, context)).collect::<Result<_>>()?;
    Ok((Arc::new(statistic), arguments))
}

fn numbers(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Vec<Typed>> {
    expect_arguments(context, &arguments, 2, 2)?;
    let number = |argument: Typed| match &argument.data_type {
        of if is_numeric(of) => Ok(argument),
        DataType::Null | DataType::Utf8 => implicit_cast(argument, &DataType::Float64, context),
        other => Err(context.wrong_type("NUMERIC", other)),
    };
    arguments.into_iter().map(number).collect()
}

/// The average of one of the two, over whole pairs.
fn mean_of(context: &CallContext<'_>, arguments: Vec<Typed>, modifiers: Modifiers<'_>, which: usize) -> Result<Built> {
    let arguments = numbers(context, arguments)?;
    let whole = arguments.iter().fold(lit(true), |all, argument| all.and(argument.expr.clone().is_not_null()));
    let Typed { expr, data_type, name, .. } = arguments[which].clone();
    let null = ScalarValue::try_from(&data_type).map_err(crate::errors::from_datafusion)?;
    let expr = when(whole, expr).otherwise(Expr::Literal(null, None)).map_err(crate::errors::from_datafusion)?;
    (average::AVG.build)(context, vec![Typed::new(expr, data_type, name)], modifiers)
}

/// Count, means of both, and the sum of the products of their distances from the means.
const PRODUCTS: Figures<4> = Figures { add: add_products, merge: merge_products };
/// And the sums of squared distances of both.
const CORRELATION: Figures<6> = Figures { add: add_correlation, merge: merge_correlation };
/// And the sum of squared distances of the second alone, as a variance has it.
const LINE: Figures<5> = Figures { add: add_line, merge: merge_line };

const COVAR_POP: Statistic<4> =
    Statistic { name: "covar_pop", arguments: 2, figures: PRODUCTS, result: |[n, .., ck]| Some(ck / n) };
const COVAR_SAMP: Statistic<4> = Statistic {
    name: "covar_samp",
    arguments: 2,
    figures: PRODUCTS,
    result: |[n, .., ck]| (*n != 1.0).then(|| ck / (n - 1.0)),
};
const CORR: Statistic<6> = Statistic {
    name: "corr",
    arguments: 2,
    figures: CORRELATION,
    result: |[n, _, _, ck, x, y]| {
        let scale = (x * y).sqrt();
        (*n != 1.0 && scale != 0.0).then(|| ck / scale)
    },
};
const REGR_R2: Statistic<6> = Statistic {
    name: "regr_r2",
    arguments: 2,
    figures: CORRELATION,
    // y comes first, so the figures called y here are those of the second
    result: |[_, _, _, ck, y, x]| match (*x == 0.0, *y == 0.0) {
        (true, _) => None,
        (_, true) => Some(1.0),
        _ => {
            let correlation = ck / (x * y).sqrt();
            Some(correlation * correlation)
        }
    },
};
const REGR_SXY: Statistic<4> =
    Statistic { name: "regr_sxy", arguments: 2, figures: PRODUCTS, result: |[.., ck]| Some(*ck) };
const REGR_SXX: Statistic<5> =
    Statistic { name: "regr_sxx", arguments: 2, figures: LINE, result: |[.., m2]| Some(*m2) };
const REGR_SYY: Statistic<5> = Statistic {
    name: "regr_syy",
    arguments: 2,
    figures: Figures { add: |figures, y, x| add_line(figures, x, y), merge: merge_line },
    result: |[.., m2]| Some(*m2),
};
const REGR_SLOPE: Statistic<5> = Statistic {
    name: "regr_slope",
    arguments: 2,
    figures: LINE,
    result: |[_, _, _, ck, m2]| (*m2 != 0.0).then(|| ck / m2),
};
const REGR_INTERCEPT: Statistic<5> = Statistic {
    name: "regr_intercept",
    arguments: 2,
    figures: LINE,
    result: |[_, x, y, ck, m2]| (*m2 != 0.0).then(|| y - ck / m2 * x),
};

fn add_products(figures: &mut [f64; 4], x: f64, y: f64) {
    let [n, x_mean, y_mean, ck] = *figures;
    let count = n + 1.0;
    let (dx, dy) = (x - x_mean, y - y_mean);
    let new_y = y_mean + dy / count;
    *figures = [count, x_mean + dx / count, new_y, ck + dx * (y - new_y)];
}

fn merge_products(into: &mut [f64; 4], from: &[f64; 4]) {
    let ([n1, x1, y1, ck1], [n2, x2, y2, ck2]) = (*into, *from);
    let count = n1 + n2;
    let (dx, dy) = (x2 - x1, y2 - y1);
    let (dx_n, dy_n) = (dx / count, dy / count);
    *into = [count, x1 + dx_n * n2, y1 + dy_n * n2, ck1 + ck2 + dx * dy_n * n1 * n2];
}

fn add_correlation(figures: &mut [f64; 6], x: f64, y: f64) {
    let [n, x_mean, y_mean, ck, x_squares, y_squares] = *figures;
    let count = n + 1.0;
    let (dx, dy) = (x - x_mean, y - y_mean);
    let (new_x, new_y) = (x_mean + dx / count, y_mean + dy / count);
    *figures = [count, new_x, new_y, ck + dx * (y - new_y), x_squares + dx * (x - new_x), y_squares + dy * (y - new_y)];
}

fn merge_correlation(into: &mut [f64; 6], from: &[f64; 6]) {
    let ([n1, x1, y1, ck1, xs1, ys1], [n2, x2, y2, ck2, xs2, ys2]) = (*into, *from);
    let count = n1 + n2;
    let (dx, dy) = (x2 - x1, y2 - y1);
    let (dx_n, dy_n) = (dx / count, dy / count);
    *into = [
        count,
        x1 + dx_n * n2,
        y1 + dy_n * n2,
        ck1 + ck2 + dx * dy_n * n1 * n2,
        xs1 + xs2 + dx * dx_n * n1 * n2,
        ys1 + ys2 + dy * dy_n * n1 * n2,
    ];
}

/// The line's y comes first; in the figures x does.
fn add_line(figures: &mut [f64; 5], y: f64, x: f64) {
    let [n, x_mean, y_mean, ck, m2] = *figures;
    let mut products = [n, x_mean, y_mean, ck];
    add_products(&mut products, x, y);
    let (delta, [count, new_x, new_y, new_ck]) = (x - x_mean, products);
    *figures = [count, new_x, new_y, new_ck, m2 + delta * (delta - delta / count)];
}

fn merge_line(into: &mut [f64; 5], from: &[f64; 5]) {
    let ([n1, x1, y1, ck1, m2_1], [n2, x2, y2, ck2, m2_2]) = (*into, *from);
    let mut products = [n1, x1, y1, ck1];
    merge_products(&mut products, &[n2, x2, y2, ck2]);
    let delta = x2 - x1;
    let m2 = m2_1 + m2_2 + delta * (delta / (n1 + n2)) * n1 * n2;
    *into = [products[0], products[1], products[2], products[3], m2];
}
