//! CASE, COALESCE, IN, AND, OR and the functions that are short for them.

use super::native::Native;
use super::{CallContext, Entry, MANY};
use crate::pipeline::analysis::coerce;
use crate::pipeline::analysis::expression::{condition, to_common};
use crate::pipeline::analysis::operator;
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::expression::BinaryOperator;
use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Case, InList};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, Volatility};
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["coalesce"], arguments: (1, MANY), build: |context, arguments| coalesce(arguments, context) },
    Entry { names: &["nvl", "ifnull"], arguments: (2, 2), build: |context, arguments| coalesce(arguments, context) },
    Entry { names: &["nvl2"], arguments: (3, 3), build: nvl2 },
    Entry { names: &["nullif"], arguments: (2, 2), build: nullif },
    Entry { names: &["nanvl"], arguments: (2, 2), build: nanvl },
    Entry { names: &["zeroifnull"], arguments: (1, 1), build: zero_if_null },
    Entry { names: &["nullifzero"], arguments: (1, 1), build: null_if_zero },
    Entry { names: &["equal_null"], arguments: (2, 2), build: equal_null },
    Entry { names: &["assert_true"], arguments: (1, 2), build: assert_true },
    Entry { names: &["raise_error"], arguments: (1, 1), build: raise_error },
    Entry { names: &["if", "iff"], arguments: (3, 3), build: if_then },
    Entry { names: &["isnull"], arguments: (1, 1), build: |_, arguments| unary(arguments, "IS NULL", Expr::IsNull) },
    Entry {
        names: &["isnotnull"],
        arguments: (1, 1),
        build: |_, arguments| unary(arguments, "IS NOT NULL", Expr::IsNotNull),
    },
    Entry { names: &["__istrue"], arguments: (1, 1), build: |_, arguments| unary(arguments, "IS TRUE", Expr::IsTrue) },
    Entry {
        names: &["__isfalse"],
        arguments: (1, 1),
        build: |_, arguments| unary(arguments, "IS FALSE", Expr::IsFalse),
    },
    Entry { names: &["not", "!"], arguments: (1, 1), build: not },
    Entry { names: &["greatest"], arguments: (2, MANY), build: |context, arguments| extreme(arguments, context, true) },
    Entry { names: &["least"], arguments: (2, MANY), build: |context, arguments| extreme(arguments, context, false) },
];

/// `CASE`: branches and otherwise of one type; a branch is computed only for the rows it decides.
pub fn case(branches: Vec<(Typed, Typed)>, otherwise: Option<Typed>, context: &CallContext<'_>) -> Result<Typed> {
    let mut name = String::from("CASE");
    for (when, then) in &branches {
        name += &format!(" WHEN {} THEN {}", when.name, then.name);
    }
    if let Some(otherwise) = &otherwise {
        name += &format!(" ELSE {}", otherwise.name);
    }
    let (conditions, mut results): (Vec<Typed>, Vec<Typed>) = branches.into_iter().unzip();
    let has_otherwise = otherwise.is_some();
    results.extend(otherwise);
    let (mut results, common) = to_common(results, context)?;
    let otherwise = if has_otherwise { results.pop() } else { None };
    let mut when_then = Vec::with_capacity(conditions.len());
    for (when, then) in conditions.into_iter().zip(results) {
        let when = condition(when, "a CASE condition", context.text, context.at)?;
        when_then.push((Box::new(when.expr), Box::new(then.expr)));
    }
    let expr = Expr::Case(Case::new(None, when_then, otherwise.map(|otherwise| Box::new(otherwise.expr))));
    Ok(Typed::new(expr, common, name + " END"))
}

/// The first value that is not NULL; later ones are computed only where the earlier are NULL.
fn coalesce(arguments: Vec<Typed>, context: &CallContext<'_>) -> Result<Typed> {
    let (mut arguments, common) = to_common(arguments, context)?;
    let last = arguments.pop().map(|last| Box::new(last.expr));
    if arguments.is_empty() {
        return Ok(Typed::new(last.map_or(Expr::Literal(ScalarValue::Null, None), |last| *last), common, ""));
    }
    let branches = arguments
        .into_iter()
        .map(|argument| (Box::new(Expr::IsNotNull(Box::new(argument.expr.clone()))), Box::new(argument.expr)));
    Ok(Typed::new(Expr::Case(Case::new(None, branches.collect(), last)), common, ""))
}

fn nvl2(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let test = arguments.remove(0);
    let test = Typed::new(Expr::IsNotNull(Box::new(test.expr)), DataType::Boolean, test.name);
    let otherwise = arguments.pop();
    let then = arguments.remove(0);
    case(vec![(test, then)], otherwise, context).map(|typed| typed.named(""))
}

/// The second value where the first is NaN; both floating-point.
fn nanvl(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let single = arguments.iter().all(|argument| argument.data_type == DataType::Float32);
    let to = if single { DataType::Float32 } else { DataType::Float64 };
    let values = arguments.into_iter().map(|argument| super::implicit_cast(argument, &to, context));
    let mut values = values.collect::<Result<Vec<_>>>()?;
    let (replacement, value) = (values.remove(1), values.remove(0));
    let is_nan = super::math::is_nan(context, vec![value.clone()])?;
    case(vec![(is_nan, replacement)], Some(value), context).map(|typed| typed.named(""))
}

fn nullif(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let (second, first) = (arguments.remove(1), arguments.remove(0));
    let equal =
        operator::binary(BinaryOperator::Equal, first.clone(), second, context.session, context.text, context.at)?;
    let null = Typed::literal(ScalarValue::Null, "NULL");
    case(vec![(equal, null)], Some(first), context).map(|typed| typed.named(""))
}

fn zero() -> Typed {
    Typed::literal(ScalarValue::Int32(Some(0)), "0")
}

fn zero_if_null(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    coalesce(vec![arguments.remove(0), zero()], context)
}

fn null_if_zero(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    nullif(context, vec![arguments.remove(0), zero()])
}

/// `<=>` as a function.
fn equal_null(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let (right, left) = (arguments.remove(1), arguments.remove(0));
    operator::binary(BinaryOperator::NullSafeEqual, left, right, context.session, context.text, context.at)
        .map(|typed| typed.named(""))
}

fn raised(message: &str) -> Error {
    Error::new(Kind::Data, message).class("USER_RAISED_EXCEPTION")
}

/// NULL where the condition is true; elsewhere the query fails.
fn assert_true(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let message = if arguments.len() == 2 { arguments.pop() } else { None };
    let test = condition(arguments.remove(0), "the argument of assert_true", context.text, context.at)?;
    let message = message.unwrap_or_else(|| {
        let text = format!("'{}' is not true!", test.name);
        Typed::literal(ScalarValue::Utf8(Some(text.clone())), text)
    });
    let shown = format!("assert_true({}, {})", test.name, message.name);
    let message = super::as_text(message, context)?;
    let body = |arguments: &[ArrayRef], rows: usize| {
        let (holds, messages) = (arguments[0].as_boolean(), arguments[1].as_string::<i32>());
        match (0..rows).find(|row| holds.is_null(*row) || !holds.value(*row)) {
            Some(row) => Err(raised(if messages.is_valid(row) { messages.value(row) } else { "" })),
            None => Ok(new_null_array(&DataType::Null, rows)),
        }
    };
    let arguments = vec![test.expr, message.expr];
    let expr = Native::call_with(Volatility::Volatile, "assert_true", "", DataType::Null, arguments, Arc::new(body));
    Ok(Typed::new(expr, DataType::Null, shown))
}

/// Fails for every row it is computed for.
fn raise_error(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let message = super::as_text(arguments.remove(0), context)?;
    let body = |arguments: &[ArrayRef], rows: usize| {
        let messages = arguments[0].as_string::<i32>();
        match rows {
            0 => Ok(new_null_array(&DataType::Null, 0)),
            _ => Err(raised(if messages.is_valid(0) { messages.value(0) } else { "" })),
        }
    };
    let arguments = vec![message.expr];
    let expr = Native::call_with(Volatility::Volatile, "raise_error", "", DataType::Null, arguments, Arc::new(body));
    Ok(Typed::new(expr, DataType::Null, ""))
}

fn if_then(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let otherwise = arguments.pop();
    let (then, test) = (arguments.remove(1), arguments.remove(0));
    let name = format!("(IF({}, {}, {}))", test.name, then.name, otherwise.as_ref().map_or("", |typed| &typed.name));
    case(vec![(test, then)], otherwise, context).map(|typed| typed.named(name))
}

fn unary(mut arguments: Vec<Typed>, words: &str, of: fn(Box<Expr>) -> Expr) -> Result<Typed> {
    let argument = arguments.remove(0);
    let name = format!("({} {words})", argument.name);
    Ok(Typed::new(of(Box::new(argument.expr)), DataType::Boolean, name))
}

fn not(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let argument = condition(arguments.remove(0), "the operand of NOT", context.text, context.at)?;
    let name = format!("(NOT {})", argument.name);
    Ok(Typed::new(Expr::Not(Box::new(argument.expr)), DataType::Boolean, name))
}

/// NULLs are passed over; NaN is the largest double.
fn extreme(arguments: Vec<Typed>, context: &CallContext<'_>, largest: bool) -> Result<Typed> {
    let mut kinds = arguments.iter().map(|argument| &argument.data_type);
    if kinds.clone().try_fold(DataType::Null, |common, of| coerce::common_strict(&common, of)).is_none() {
        let last = kinds.next_back().unwrap_or(&DataType::Null);
        return Err(context.wrong_type("values of one type", last));
    }
    let (arguments, common) = to_common(arguments, context)?;
    if !coerce::is_groupable(&common) {
        return Err(context.wrong_type("values that can be compared", &common));
    }
    let list = arguments.into_iter().map(|argument| argument.expr).collect();
    let parameters = format!("{largest} {common}");
    let of = common.clone();
    let expr = Native::call("extreme", parameters, common.clone(), list, move |arguments, rows| {
        let columns: Vec<&ArrayRef> = arguments.iter().collect();
        let keys = super::lists::comparable(&columns)?;
        let missing = new_null_array(&of, 1);
        let mut sources: Vec<&dyn Array> = arguments.iter().map(|column| &**column).collect();
        sources.push(&*missing);
        let order: Vec<(usize, usize)> = (0..rows)
            .map(|row| {
                let there = (0..columns.len()).filter(|column| columns[*column].is_valid(row));
                let best = there.reduce(|best, column| {
                    let order = keys[column].row(row).cmp(&keys[best].row(row));
                    if (largest && order.is_gt()) || (!largest && order.is_lt()) { column } else { best }
                });
                best.map_or((columns.len(), 0), |column| (column, row))
            })
            .collect();
        match order.is_empty() {
            true => Ok(new_null_array(&of, 0)),
            false => Ok(arrow::compute::interleave(&sources, &order)?),
        }
    });
    Ok(Typed::new(expr, common, ""))
}

/// `input IN (list)`: NULL when nothing matches and a NULL is among them.
pub fn in_list(input: Typed, list: Vec<Typed>, negated: bool, context: &CallContext<'_>) -> Result<Typed> {
    let names: Vec<String> = list.iter().map(|typed| typed.name.clone()).collect();
    let name = format!("({} IN ({}))", input.name, names.join(", "));
    let name = if negated { format!("(NOT {name})") } else { name };
    let (mut all, _) = to_common(std::iter::once(input).chain(list).collect(), context)?;
    if !coerce::is_groupable(&all[0].data_type) {
        return Err(context.wrong_type("values that can be compared", &all[0].data_type));
    }
    let input = operator::normalized(all.remove(0));
    let list = all.into_iter().map(|typed| operator::normalized(typed).expr).collect();
    Ok(Typed::new(Expr::InList(InList::new(Box::new(input.expr), list, negated)), DataType::Boolean, name))
}

/// AND and OR. When the right side can fail, it is computed only for the rows the left side leaves
/// open, as Spark does: `a <> 0 AND 10 / a > 1` never divides by zero.
pub fn and_or(is_and: bool, left: Typed, right: Typed) -> Typed {
    let op = if is_and { Operator::And } else { Operator::Or };
    let joined = |left: Expr, right: Expr| Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
    if !can_fail(&right.expr) {
        return Typed::new(joined(left.expr, right.expr), DataType::Boolean, "");
    }
    let decided =
        if is_and { Expr::IsFalse(Box::new(left.expr.clone())) } else { Expr::IsTrue(Box::new(left.expr.clone())) };
    let decision = Expr::Literal(ScalarValue::Boolean(Some(!is_and)), None);
    let open = joined(left.expr, right.expr);
    let expr = Expr::Case(Case::new(None, vec![(Box::new(decided), Box::new(decision))], Some(Box::new(open))));
    Typed::new(expr, DataType::Boolean, "")
}

/// True for an expression that may fail on some row: it calls a function other than the plain ones.
fn can_fail(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    const SAFE: [&str; 6] = ["normalize_float", "lower", "upper", "coalesce", "get_field", "like"];
    expr.exists(|node| Ok(matches!(node, Expr::ScalarFunction(call) if !SAFE.contains(&call.func.name()))))
        .unwrap_or(true)
}
