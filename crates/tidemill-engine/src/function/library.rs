//! Functions of other libraries: DataFusion's own, its Spark collection, and those a crate beside
//! the engine brings through the registry.

use super::native::Native;
use super::{CallContext, implicit_cast};
use crate::errors::from_datafusion;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::{DataType, Field};
use datafusion::logical_expr::expr::ScalarFunction as Call;
use datafusion::logical_expr::{Expr, ReturnFieldArgs, ScalarUDF, Volatility};
use std::sync::Arc;
use tidemill_core::Result;
use tidemill_core::function::ScalarFunction;

/// A call of a library function whose arguments are already of the right types. The result is cast
/// to the type Spark gives, when the library gives a close one (a view, an unsigned number).
pub fn call(function: Arc<ScalarUDF>, arguments: Vec<Typed>) -> Result<Typed> {
    let fields: Vec<_> =
        arguments.iter().map(|argument| Arc::new(Field::new("argument", argument.data_type.clone(), true))).collect();
    let scalars: Vec<_> = arguments.iter().map(Typed::as_literal).collect();
    let returned = function
        .return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &scalars })
        .map_err(from_datafusion)?;
    let expressions = arguments.into_iter().map(|argument| argument.expr).collect();
    let expr = Expr::ScalarFunction(Call::new_udf(function, expressions));
    let typed = Typed::new(expr, returned.data_type().clone(), "");
    let plain = match returned.data_type() {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        other => other.clone(),
    };
    Ok(typed.widened(&plain))
}

/// A call of a function from the registry: arguments are cast to its types, absent ones are NULL. One that
/// takes anything gets its arguments as they are.
pub fn external(function: &Arc<dyn ScalarFunction>, arguments: Vec<Typed>, context: &CallContext<'_>) -> Result<Typed> {
    let signature = function.signature();
    let volatility = if function.is_deterministic() { Volatility::Immutable } else { Volatility::Volatile };
    if function.takes_anything() {
        let (function, result) = (function.clone(), signature.result.clone());
        let (name, body) = (function.signature().name.to_string(), function.clone());
        let expressions = arguments.into_iter().map(|argument| argument.expr).collect();
        let body = Arc::new(move |given: &[ArrayRef], rows: usize| body.call(given, rows));
        let expr = Native::call_with(volatility, name, "registry", result.clone(), expressions, body);
        return Ok(Typed::new(expr, result, ""));
    }
    let most = signature.arguments.len();
    if arguments.len() < signature.required || arguments.len() > most {
        return Err(super::wrong_count(&signature.name, signature.required, most, arguments.len(), context));
    }
    let mut expressions = Vec::with_capacity(most);
    let mut wanted = signature.arguments.iter();
    for (argument, to) in arguments.into_iter().zip(&mut wanted) {
        expressions.push(implicit_cast(argument, to, context)?.expr);
    }
    let absent: Vec<DataType> = wanted.cloned().collect();
    let (function, result) = (function.clone(), signature.result.clone());
    let name = signature.name.to_string();
    let body = move |given: &[ArrayRef], rows: usize| {
        let rest = absent.iter().map(|of| new_null_array(of, rows));
        let all: Vec<ArrayRef> = given.iter().cloned().chain(rest).collect();
        function.call(&all, rows)
    };
    let expr = Native::call_with(volatility, name, "registry", result.clone(), expressions, Arc::new(body));
    Ok(Typed::new(expr, result, ""))
}
