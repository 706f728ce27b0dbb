//! Aggregate functions and the operator that keeps them by key. A function is one entry in the file
//! of its family; the families are listed once, in [`FAMILIES`].

pub mod accumulator;
mod average;
mod count;
mod distinct;
mod extreme;
pub mod keyed;
mod ordered;
mod panes;
mod sum;

use crate::function::CallContext;
use crate::pipeline::analysis::expression::{Resolver, condition};
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::expression::{Call, Expression};
use accumulator::AggregateFunction;
use datafusion::logical_expr::Expr;
use std::sync::Arc;
use tidemill_core::{Error, Result};

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
#[derive(Debug, Clone, Copy)]
pub struct Modifiers {
    /// `IGNORE NULLS` or `RESPECT NULLS`, if either.
    pub ignore_nulls: Option<bool>,
    /// The session's ANSI rules.
    pub ansi: bool,
}

/// A function, and its arguments cast to what it takes.
pub type Built = (Arc<dyn AggregateFunction>, Vec<Typed>);

/// An aggregate function by name.
pub struct Entry {
    /// Its names, lower case.
    pub names: &'static [&'static str],
    /// Settles the argument types: the function, and the arguments cast to what it takes.
    pub build: fn(&CallContext<'_>, Vec<Typed>, Modifiers) -> Result<Built>,
}

/// Every family of aggregate functions.
const FAMILIES: &[&[Entry]] = &[count::ENTRIES, sum::ENTRIES, average::ENTRIES, extreme::ENTRIES, ordered::ENTRIES];

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
    if !call.within_group.is_empty() {
        return Err(below.context(name, call.at).not_yet("WITHIN GROUP"));
    }
    let mut arguments = if star { vec![] } else { below.resolve_all(&call.arguments)? };
    let shown = shown_name(call, name, star, &arguments);
    if star && !name.starts_with("count") {
        return Err(Error::invalid(format!("{name}(*) is not a function; only count(*) is"))
            .class("INVALID_USAGE_OF_STAR_OR_REGEX")
            .at_if_unplaced(below.text.place(call.at)));
    }
    let filter = call.filter.as_deref().map(|filter| {
        let typed = below.resolve(filter)?;
        condition(typed, "the FILTER", below.text, filter.spot())
    });
    let filter = filter.transpose()?;
    let shown = match &filter {
        Some(filter) => format!("{shown} FILTER (WHERE {})", filter.name),
        None => shown,
    };
    let filter = filter.map(|typed| typed.expr);
    let modifiers = Modifiers { ignore_nulls: call.ignore_nulls, ansi: below.session.settings.ansi() };
    let context = below.context(name, call.at);
    if name == "count" && arguments.iter().all(|argument| argument.as_literal().is_some_and(|value| !value.is_null())) {
        arguments.clear();
    }
    let function = if call.distinct {
        distinct::build(&context, entry, arguments, modifiers)?
    } else {
        (entry.build)(&context, arguments, modifiers)?
    };
    let (function, arguments) = function;
    let arguments = arguments.into_iter().map(|argument| argument.expr).collect();
    Ok((AggregateCall { function, arguments, filter }, shown))
}

fn shown_name(call: &Call, name: &str, star: bool, arguments: &[Typed]) -> String {
    // the second argument of first and last says IGNORE NULLS
    let shown = match name {
        "first" | "last" | "first_value" | "last_value" | "any_value" => 1,
        _ => arguments.len(),
    };
    let list: Vec<&str> = arguments.iter().take(shown).map(|argument| argument.name.as_str()).collect();
    let list = if star { "1".to_owned() } else { list.join(", ") };
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    format!("{name}({distinct}{list})")
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
