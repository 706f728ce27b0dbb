//! Aggregate functions and the operator that keeps them by key. A function is one entry in the file
//! of its family; the families are listed once, in [`FAMILIES`].

pub mod accumulator;
mod arrived;
mod average;
mod best;
mod bins;
mod bitmap;
mod bits;
mod cells;
mod collect;
mod contest;
mod count;
mod count_min;
mod distinct;
mod distinct_about;
mod extreme;
mod figures;
mod frequent;
mod histogram;
mod hll;
mod hyperloglog;
mod interval;
pub mod keyed;
mod listing;
mod lists;
mod moments;
mod pairs;
mod panes;
mod percentages;
mod percentile;
mod pick;
mod quantile;
mod shown;
mod sketches;
mod sum;
mod summary;
mod tally;
#[cfg(test)]
mod tests;
mod text_cells;
mod top_k;
pub mod user;

use crate::errors::from_datafusion;
use crate::function::CallContext;
use crate::pipeline::analysis::expression::{Resolver, condition};
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::expression::{Call, Expression, SortKey};
use crate::pipeline::plan::Attribute;
use accumulator::AggregateFunction;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, when};
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

/// An aggregate call of a plan.
#[derive(Debug, Clone)]
pub struct AggregateCall {
    /// The function.
    pub function: Arc<dyn AggregateFunction>,
    /// Its arguments over the input's columns.
    pub arguments: Vec<Expr>,
    /// `FILTER (WHERE ..)`.
    pub filter: Option<Expr>,
}

impl PartialEq for AggregateCall {
    fn eq(&self, other: &Self) -> bool {
        self.function.identity() == other.function.identity()
            && self.arguments == other.arguments
            && self.filter == other.filter
    }
}

/// How a call was written, beyond its arguments.
#[derive(Debug, Clone, Copy, Default)]
pub struct Modifiers<'a> {
    /// `IGNORE NULLS` or `RESPECT NULLS`, if either.
    pub ignore_nulls: Option<bool>,
    /// The session's ANSI rules.
    pub ansi: bool,
    /// `DISTINCT`; what the function does not look after itself, [`distinct`] does.
    pub distinct: bool,
    /// Directions of the keys of `WITHIN GROUP`, which are the last arguments.
    pub order: &'a [Direction],
}

/// The direction of a sort key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// Largest first.
    pub descending: bool,
    /// NULLs before everything else.
    pub nulls_first: bool,
}

/// A function, and its arguments cast to what it takes.
pub type Built = (Arc<dyn AggregateFunction>, Vec<Typed>);

/// An aggregate function by name.
pub struct Entry {
    /// Its names, lower case.
    pub names: &'static [&'static str],
    /// Settles the argument types: the function, and the arguments cast to what it takes.
    pub build: fn(&CallContext<'_>, Vec<Typed>, Modifiers<'_>) -> Result<Built>,
}

/// Every family of aggregate functions.
const FAMILIES: &[&[Entry]] = &[
    count::ENTRIES,
    sum::ENTRIES,
    average::ENTRIES,
    extreme::ENTRIES,
    pick::ENTRIES,
    collect::ENTRIES,
    bits::ENTRIES,
    bitmap::ENTRIES,
    moments::ENTRIES,
    pairs::ENTRIES,
    percentile::ENTRIES,
    quantile::ENTRIES,
    histogram::ENTRIES,
    distinct_about::ENTRIES,
    top_k::ENTRIES,
    count_min::ENTRIES,
    hll::ENTRIES,
    user::ENTRIES,
];

/// Functions that take `WITHIN GROUP`, and how many keys they must have there.
const ORDERED: &[(&str, Option<usize>)] =
    &[("percentile_cont", Some(1)), ("percentile_disc", Some(1)), ("listagg", None), ("string_agg", None)];

/// Functions that take `IGNORE NULLS` and `RESPECT NULLS`.
const NULLABLE: &[&str] =
    &["first", "first_value", "last", "last_value", "any_value", "collect_list", "array_agg", "collect_set"];

/// The aggregate function called `name`, lower case.
pub fn find(name: &str) -> Option<&'static Entry> {
    FAMILIES.iter().flat_map(|family| family.iter()).find(|entry| entry.names.contains(&name))
}

/// Names of all aggregate functions.
pub fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|family| family.iter()).flat_map(|entry| entry.names.iter().copied())
}

/// True when an aggregate function is called in the expression; `OVER` makes it none.
pub fn contains_aggregate(expression: &Expression) -> bool {
    match expression {
        Expression::Over { .. } => false,
        Expression::Call(call) if find(&call.name.to_lowercase()).is_some() => true,
        Expression::Call(call)
            if ["grouping", "grouping_id"].iter().any(|name| call.name.eq_ignore_ascii_case(name)) =>
        {
            true
        }
        Expression::Sql { sql } => {
            crate::pipeline::sql::parse_expression(sql).is_ok_and(|parsed| contains_aggregate(&parsed))
        }
        other => other.children().into_iter().any(contains_aggregate),
    }
}

/// Types an aggregate call over the input's columns, and gives the name its column gets.
///
/// # Errors
/// Arguments that do not fit, a modifier the function does not take.
pub fn build(call: &Call, name: &str, entry: &Entry, below: &mut Resolver<'_>) -> Result<(AggregateCall, String)> {
    let star = matches!(call.arguments.as_slice(), [Expression::Star { qualifier, .. }] if qualifier.is_empty());
    let nested = call.arguments.iter().any(contains_aggregate);
    if nested {
        return Err(Error::invalid(format!("{name} cannot aggregate an aggregate"))
            .class("NESTED_AGGREGATE_FUNCTION")
            .at_if_unplaced(below.text.place(call.at))
            .help("aggregate in a sub-select first"));
    }
    if call.ignore_nulls.is_some() && !NULLABLE.contains(&name) {
        return Err(Error::invalid(format!("{name} does not take IGNORE NULLS or RESPECT NULLS"))
            .class("INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX")
            .at_if_unplaced(below.text.place(call.at)));
    }
    let keys = sort_keys(call, name, below)?;
    let mut arguments = match star {
        true if call.distinct => all_columns(below),
        true => vec![],
        false => below.resolve_all(&call.arguments)?,
    };
    let shown = shown::name(call, name, star, &arguments, &keys);
    if star && !name.starts_with("count") {
        return Err(Error::invalid(format!("{name}(*) is not a function; only count(*) is"))
            .class("WRONG_NUM_ARGS.WITHOUT_SUGGESTION")
            .at_if_unplaced(below.text.place(call.at)));
    }
    let filter = call.filter.as_deref().map(|filter| filter_of(filter, below)).transpose()?;
    let shown = match &filter {
        Some(filter) => format!("{shown} FILTER (WHERE {})", filter.name),
        None => shown,
    };
    let filter = filter.map(|typed| typed.expr);
    let context = below.context(name, call.at);
    if name == "count" && arguments.iter().all(|argument| argument.as_literal().is_some_and(|value| !value.is_null())) {
        if arguments.is_empty() && !star {
            return Err(Error::invalid("count takes one argument or more; count(*) counts rows")
                .class("WRONG_NUM_ARGS.WITH_SUGGESTION")
                .at_if_unplaced(below.text.place(call.at)));
        }
        arguments.clear();
    }
    let (keys, order): (Vec<Typed>, Vec<Direction>) = keys.into_iter().unzip();
    arguments.extend(keys);
    let modifiers = Modifiers {
        ignore_nulls: call.ignore_nulls,
        ansi: below.session.settings.ansi(),
        distinct: call.distinct,
        order: &order,
    };
    let function = if call.distinct && !ORDERED.iter().any(|(ordered, _)| *ordered == name) {
        distinct::build(&context, entry, arguments, modifiers)?
    } else {
        (entry.build)(&context, arguments, modifiers)?
    };
    let (function, arguments) = function;
    let arguments = arguments.into_iter().map(|argument| only_where(filter.as_ref(), argument));
    let arguments = arguments.collect::<Result<_>>()?;
    Ok((AggregateCall { function, arguments, filter }, shown))
}

/// An argument that is computed only for rows that pass the filter: it may fail for the others.
fn only_where(filter: Option<&Expr>, argument: Typed) -> Result<Expr> {
    match (filter, argument.expr) {
        (None, expr) | (_, expr @ (Expr::Column(_) | Expr::Literal(..))) => Ok(expr),
        (Some(filter), expr) => {
            let null = ScalarValue::try_from(&argument.data_type).map_err(from_datafusion)?;
            when(filter.clone(), expr).otherwise(Expr::Literal(null, None)).map_err(from_datafusion)
        }
    }
}

fn filter_of(filter: &Expression, below: &mut Resolver<'_>) -> Result<Typed> {
    let typed = below.resolve(filter)?;
    condition(typed, "the FILTER", below.text, filter.spot())
        .map_err(|error| error.class("INVALID_AGGREGATE_FILTER.NOT_BOOLEAN"))
}

fn all_columns(below: &Resolver<'_>) -> Vec<Typed> {
    let column =
        |attribute: &Attribute| Typed::new(attribute.reference(), attribute.data_type.clone(), attribute.name.clone());
    below.scope.entries().iter().map(|entry| column(&entry.attribute)).collect()
}

/// The keys of `WITHIN GROUP`, where the function takes that many.
fn sort_keys(call: &Call, name: &str, below: &mut Resolver<'_>) -> Result<Vec<(Typed, Direction)>> {
    let context = below.context(name, call.at);
    match ORDERED.iter().find(|(ordered, _)| *ordered == name) {
        // mode takes it when it has no argument
        None if name == "mode" && call.arguments.is_empty() => expect_keys(&context, call, 1)?,
        None if name == "mode" => expect_keys(&context, call, 0)?,
        None if !call.within_group.is_empty() => {
            return Err(Error::invalid(format!("{name} does not take WITHIN GROUP"))
                .class("INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX")
                .at_if_unplaced(below.text.place(call.at)));
        }
        Some((_, Some(_))) if call.arguments.len() != 1 => {
            return Err(Error::invalid(format!("{name} takes 1 argument, not {}", call.arguments.len()))
                .class("WRONG_NUM_ARGS.WITHOUT_SUGGESTION")
                .at_if_unplaced(below.text.place(call.at)));
        }
        Some((_, Some(count))) => expect_keys(&context, call, *count)?,
        _ => {}
    }
    let key = |key: &SortKey| {
        let direction =
            Direction { descending: key.descending, nulls_first: key.nulls_first.unwrap_or(!key.descending) };
        Ok((below.resolve(&key.by)?, direction))
    };
    call.within_group.iter().map(key).collect()
}

fn expect_keys(context: &CallContext<'_>, call: &Call, count: usize) -> Result<()> {
    if call.distinct {
        return Err(within_group(context, "DISTINCT_UNSUPPORTED", "it does not take DISTINCT"));
    }
    match call.within_group.len() {
        given if given == count => Ok(()),
        0 => Err(within_group(context, "WITHIN_GROUP_MISSING", "it needs WITHIN GROUP (ORDER BY ..)")),
        given => Err(within_group(
            context,
            "WRONG_NUM_ORDERINGS",
            &format!("it takes {count} keys in WITHIN GROUP, not {given}"),
        )),
    }
}

/// A call whose `WITHIN GROUP` is wrong.
pub fn within_group(context: &CallContext<'_>, detail_class: &str, message: &str) -> Error {
    Error::invalid(format!("{}: {message}", context.name))
        .class(format!("INVALID_WITHIN_GROUP_EXPRESSION.{detail_class}"))
        .at_if_unplaced(context.text.place(context.at))
}

/// Values that have no order.
pub fn not_ordered(context: &CallContext<'_>, of: &DataType) -> Error {
    refuse::type_mismatch(
        "INVALID_ORDERING_TYPE",
        format!("{} takes values that have an order, not {}", context.name, types::name(of).to_uppercase()),
        context.text,
        context.at,
    )
}

/// A constant argument that is out of range.
pub fn out_of_range(context: &CallContext<'_>, what: &str, range: &str) -> Error {
    refuse::type_mismatch(
        "VALUE_OUT_OF_RANGE",
        format!("{what} of {} must be {range}", context.name),
        context.text,
        context.at,
    )
}

/// The number of arguments a function takes.
pub fn expect_arguments(context: &CallContext<'_>, arguments: &[Typed], least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&arguments.len()) {
        return Ok(());
    }
    let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
    Err(Error::invalid(format!("{} takes {expected} arguments, not {}", context.name, arguments.len()))
        .class("WRONG_NUM_ARGS.WITHOUT_SUGGESTION")
        .at_if_unplaced(context.text.place(context.at)))
}
