//! `stddev`, `variance`, `skewness` and `kurtosis`, of a sample or a population, and `product`. Central
//! moments are kept so that they can be added to and merged without losing digits: B. P. Welford (1962)
//! for one value, P. Pébay (2008), SAND2008-6212, for two groups, in the order of operations Spark uses.

use super::figures::{Figures, Statistic};
use super::{Built, Entry, expect_arguments};
use crate::function::{CallContext, as_double};
use crate::pipeline::analysis::typed::Typed;
use std::sync::Arc;
use tidemill_core::Result;

pub const ENTRIES: &[Entry] = &[
    Entry {
        names: &["stddev", "stddev_samp", "std"],
        build: |context, arguments, _| of_one(context, arguments, STDDEV_SAMP),
    },
    Entry { names: &["stddev_pop"], build: |context, arguments, _| of_one(context, arguments, STDDEV_POP) },
    Entry { names: &["variance", "var_samp"], build: |context, arguments, _| of_one(context, arguments, VAR_SAMP) },
    Entry { names: &["var_pop"], build: |context, arguments, _| of_one(context, arguments, VAR_POP) },
    Entry { names: &["skewness"], build: |context, arguments, _| of_one(context, arguments, SKEWNESS) },
    Entry { names: &["kurtosis"], build: |context, arguments, _| of_one(context, arguments, KURTOSIS) },
    Entry { names: &["product"], build: |context, arguments, _| of_one(context, arguments, PRODUCT) },
];

fn of_one<const N: usize>(
    context: &CallContext<'_>,
    mut arguments: Vec<Typed>,
    statistic: Statistic<N>,
) -> Result<Built> {
    expect_arguments(context, &arguments, 1, 1)?;
    let argument = as_double(arguments.remove(0), context)?;
    Ok((Arc::new(statistic), vec![argument]))
}

/// Count, mean and the sum of squared distances from the mean.
const SECOND: Figures<3> = Figures { add: add_second, merge: merge_second };
/// And the sum of cubed distances.
const THIRD: Figures<4> = Figures { add: add_third, merge: merge_third };
/// And the sum of the fourth powers.
const FOURTH: Figures<5> = Figures { add: add_fourth, merge: merge_fourth };

const STDDEV_SAMP: Statistic<3> = Statistic {
    name: "stddev_samp",
    arguments: 1,
    figures: SECOND,
    result: |[n, _, m2]| (*n != 1.0).then(|| (m2 / (n - 1.0)).sqrt()),
};
const STDDEV_POP: Statistic<3> =
    Statistic { name: "stddev_pop", arguments: 1, figures: SECOND, result: |[n, _, m2]| Some((m2 / n).sqrt()) };
const VAR_SAMP: Statistic<3> = Statistic {
    name: "var_samp",
    arguments: 1,
    figures: SECOND,
    result: |[n, _, m2]| (*n != 1.0).then(|| m2 / (n - 1.0)),
};
const VAR_POP: Statistic<3> =
    Statistic { name: "var_pop", arguments: 1, figures: SECOND, result: |[n, _, m2]| Some(m2 / n) };
const SKEWNESS: Statistic<4> = Statistic {
    name: "skewness",
    arguments: 1,
    figures: THIRD,
    result: |[n, _, m2, m3]| (*m2 != 0.0).then(|| n.sqrt() * m3 / (m2 * m2 * m2).sqrt()),
};
const KURTOSIS: Statistic<5> = Statistic {
    name: "kurtosis",
    arguments: 1,
    figures: FOURTH,
    result: |[n, _, m2, _, m4]| (*m2 != 0.0).then(|| n * m4 / (m2 * m2) - 3.0),
};
const PRODUCT: Statistic<2> = Statistic {
    name: "product",
    arguments: 1,
    figures: Figures {
        add: |figures, value, _| *figures = [1.0, if figures[0] == 0.0 { value } else { figures[1] * value }],
        merge: |into, from| *into = [1.0, if into[0] == 0.0 { from[1] } else { into[1] * from[1] }],
    },
    result: |[_, product]| Some(*product),
};

fn add_second(figures: &mut [f64; 3], value: f64, _: f64) {
    let [n, mean, m2] = *figures;
    let count = n + 1.0;
    let delta = value - mean;
    let delta_n = delta / count;
    *figures = [count, mean + delta_n, m2 + delta * (delta - delta_n)];
}

fn merge_second(into: &mut [f64; 3], from: &[f64; 3]) {
    let ([n1, mean1, m2_1], [n2, mean2, m2_2]) = (*into, *from);
    let count = n1 + n2;
    let delta = mean2 - mean1;
    let delta_n = delta / count;
    *into = [count, mean1 + delta_n * n2, m2_1 + m2_2 + delta * delta_n * n1 * n2];
}

fn add_third(figures: &mut [f64; 4], value: f64, _: f64) {
    let mut all = [figures[0], figures[1], figures[2], figures[3], 0.0];
    add_fourth(&mut all, value, 0.0);
    figures.copy_from_slice(&all[..4]);
}

fn merge_third(into: &mut [f64; 4], from: &[f64; 4]) {
    let mut all = [into[0], into[1], into[2], into[3], 0.0];
    merge_fourth(&mut all, &[from[0], from[1], from[2], from[3], 0.0]);
    into.copy_from_slice(&all[..4]);
}

fn add_fourth(figures: &mut [f64; 5], value: f64, _: f64) {
    let [n, mean, m2, m3, m4] = *figures;
    let count = n + 1.0;
    let delta = value - mean;
    let delta_n = delta / count;
    let (delta2, delta_n2) = (delta * delta, delta_n * delta_n);
    let new_m2 = m2 + delta * (delta - delta_n);
    let new_m3 = m3 - 3.0 * delta_n * new_m2 + delta * (delta2 - delta_n2);
    let new_m4 = m4 - 4.0 * delta_n * new_m3 - 6.0 * delta_n2 * new_m2 + delta * (delta * delta2 - delta_n * delta_n2);
    *figures = [count, mean + delta_n, new_m2, new_m3, new_m4];
}

fn merge_fourth(into: &mut [f64; 5], from: &[f64; 5]) {
    let ([n1, mean1, m2_1, m3_1, m4_1], [n2, mean2, m2_2, m3_2, m4_2]) = (*into, *from);
    let count = n1 + n2;
    let delta = mean2 - mean1;
    let delta_n = delta / count;
    let m2 = m2_1 + m2_2 + delta * delta_n * n1 * n2;
    let m3 = m3_1 + m3_2 + delta_n * delta_n * delta * n1 * n2 * (n1 - n2) + 3.0 * delta_n * (n1 * m2_2 - n2 * m2_1);
    let m4 = m4_1
        + m4_2
        + delta_n * delta_n * delta_n * delta * n1 * n2 * (n1 * n1 - n1 * n2 + n2 * n2)
        + 6.0 * delta_n * delta_n * (n1 * n1 * m2_2 + n2 * n2 * m2_1)
        + 4.0 * delta_n * (n1 * m3_2 - n2 * m3_1);
    *into = [count, mean1 + delta_n * n2, m2, m3, m4];
}
