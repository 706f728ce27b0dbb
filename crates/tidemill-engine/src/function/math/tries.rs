//! `try_add` and its kin: NULL where the plain operator would fail. `pmod`, `positive`.

use crate::function::arithmetic::{OnError, arithmetic};
use crate::function::{CallContext, Entry, conditional, datetime};
use crate::pipeline::analysis::operator;
use crate::pipeline::analysis::refuse;
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::expression::BinaryOperator;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use tidemill_core::Result;

pub const ENTRIES: &[Entry] = &[
    Entry {
        names: &["try_add"],
        arguments: (2, 2),
        build: |context, given| attempt(context, given, BinaryOperator::Add),
    },
    Entry {
        names: &["try_subtract"],
        arguments: (2, 2),
        build: |context, given| attempt(context, given, BinaryOperator::Subtract),
    },
    Entry {
        names: &["try_multiply"],
        arguments: (2, 2),
        build: |context, given| attempt(context, given, BinaryOperator::Multiply),
    },
    Entry {
        names: &["try_divide"],
        arguments: (2, 2),
        build: |context, given| attempt(context, given, BinaryOperator::Divide),
    },
    Entry {
        names: &["try_mod"],
        arguments: (2, 2),
        build: |context, given| attempt(context, given, BinaryOperator::Modulo),
    },
    Entry { names: &["mod"], arguments: (2, 2), build: modulo },
    Entry {
        names: &["div"],
        arguments: (2, 2),
        build: |context, given| plain(context, given, BinaryOperator::IntegerDivide),
    },
    Entry { names: &["pmod"], arguments: (2, 2), build: positive_modulo },
    Entry { names: &["positive"], arguments: (1, 1), build: positive },
];

fn plain(context: &CallContext<'_>, mut arguments: Vec<Typed>, operator: BinaryOperator) -> Result<Typed> {
    let (right, left) = (arguments.remove(1), arguments.remove(0));
    operator::binary(operator, left, right, context.session, context.text, context.at)
}

fn modulo(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    plain(context, arguments, BinaryOperator::Modulo).map(|typed| typed.named(""))
}

fn attempt(context: &CallContext<'_>, mut arguments: Vec<Typed>, operator: BinaryOperator) -> Result<Typed> {
    let (right, left) = (arguments.remove(1), arguments.remove(0));
    let shown = format!("{}({}, {})", context.name, left.name, right.name);
    let is_interval = matches!(left.data_type, DataType::Duration(_) | DataType::Interval(_));
    if let Some(temporal) = datetime::arithmetic(operator, &left, &right, context)? {
        if operator == BinaryOperator::Divide && is_interval {
            let zero = Typed::literal(ScalarValue::Int32(Some(0)), "0");
            let is_zero =
                operator::binary(BinaryOperator::Equal, right, zero, context.session, context.text, context.at)?;
            let null = Typed::literal(ScalarValue::Null, "NULL");
            return conditional::case(vec![(is_zero, null)], Some(temporal), context).map(|typed| typed.named(shown));
        }
        return Ok(temporal.named(shown));
    }
    let (one, other) = (left.data_type.clone(), right.data_type.clone());
    match arithmetic(operator, left, right, OnError::Null) {
        Some(typed) => Ok(typed.named(shown)),
        None => Err(refuse::operand_types(context.name, &one, &other, context.text, context.at)),
    }
}

/// The remainder that is not negative: `((a % n) + n) % n` where `a % n` is below zero.
fn positive_modulo(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let (divisor, value) = (arguments.remove(1), arguments.remove(0));
    let shown = format!("pmod({}, {})", value.name, divisor.name);
    let on_error = operator::on_error(context.session);
    let (one, other) = (value.data_type.clone(), divisor.data_type.clone());
    let wrong = || refuse::operand_types("pmod", &one, &other, context.text, context.at);
    let remainder = arithmetic(BinaryOperator::Modulo, value.clone(), divisor.clone(), on_error).ok_or_else(wrong)?;
    let of = remainder.data_type.clone();
    let zero = Typed::literal(ScalarValue::Int32(Some(0)), "0");
    let compare = |left: Typed, right: Typed| {
        operator::binary(BinaryOperator::Less, left, right, context.session, context.text, context.at)
    };
    let is_negative = compare(remainder.clone(), zero)?;
    let raised =
        arithmetic(BinaryOperator::Add, remainder.clone(), divisor.clone(), OnError::Legacy).ok_or_else(wrong)?;
    let raised = arithmetic(BinaryOperator::Modulo, raised, divisor, on_error).ok_or_else(wrong)?;
    let raised = crate::function::implicit_cast(raised, &of, context)?;
    conditional::case(vec![(is_negative, raised)], Some(remainder), context).map(|typed| typed.named(shown))
}

fn positive(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let value = arguments.remove(0);
    let is_number = crate::pipeline::analysis::coerce::is_numeric(&value.data_type);
    if !is_number && !matches!(value.data_type, DataType::Duration(_) | DataType::Interval(_) | DataType::Null) {
        return Err(context.wrong_type("a number or interval", &value.data_type));
    }
    let shown = format!("(+ {})", value.name);
    Ok(value.named(shown))
}
