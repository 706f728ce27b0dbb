//! A scalar function of our own as DataFusion wants it: name, result type, and a plain function over
//! arrays.

use crate::errors::to_datafusion;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use tidemill_core::Result;

/// The body: arguments, each with `rows` values, to a result with `rows` values.
pub type Body = Arc<dyn Fn(&[ArrayRef], usize) -> Result<ArrayRef> + Send + Sync>;

/// A scalar function over arrays. Two are the same when name, parameters and result type are: what
/// the body captures must be in `parameters`.
pub struct Native {
    name: String,
    parameters: String,
    result: DataType,
    signature: Signature,
    body: Body,
}

impl Native {
    /// A call of a pure function on `arguments`.
    pub fn call(
        name: impl Into<String>,
        parameters: impl Into<String>,
        result: DataType,
        arguments: Vec<Expr>,
        body: impl Fn(&[ArrayRef], usize) -> Result<ArrayRef> + Send + Sync + 'static,
    ) -> Expr {
        Self::call_with(Volatility::Immutable, name, parameters, result, arguments, Arc::new(body))
    }

    /// A call of a function of the given volatility.
    pub fn call_with(
        volatility: Volatility,
        name: impl Into<String>,
        parameters: impl Into<String>,
        result: DataType,
        arguments: Vec<Expr>,
        body: Body,
    ) -> Expr {
        // any number of arguments does not mean none
        let signature =
            if arguments.is_empty() { Signature::nullary(volatility) } else { Signature::variadic_any(volatility) };
        let native = Native { name: name.into(), parameters: parameters.into(), result, signature, body };
        Expr::ScalarFunction(datafusion::logical_expr::expr::ScalarFunction::new_udf(
            Arc::new(ScalarUDF::new_from_impl(native)),
            arguments,
        ))
    }
}

impl Native {
    /// The function of our own that an expression calls, and its arguments.
    pub fn of(expr: &Expr) -> Option<(&Native, &[Expr])> {
        let Expr::ScalarFunction(call) = expr else { return None };
        let function: &dyn std::any::Any = call.func.inner().as_ref();
        Some((function.downcast_ref()?, &call.args))
    }

    /// What the body captures, as text.
    pub fn parameters(&self) -> &str {
        &self.parameters
    }

    /// Type of the result.
    pub fn result(&self) -> &DataType {
        &self.result
    }
}

impl std::fmt::Debug for Native {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}<{}>", self.name, self.parameters)
    }
}

impl PartialEq for Native {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.parameters == other.parameters && self.result == other.result
    }
}

impl Eq for Native {}

impl Hash for Native {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.parameters.hash(state);
    }
}

impl ScalarUDFImpl for Native {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(self.result.clone())
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let constant = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let pure = self.signature.volatility == Volatility::Immutable;
        let length = if constant && pure && !arguments.args.is_empty() { 1 } else { rows };
        let arrays = arguments
            .args
            .iter()
            .map(|argument| argument.to_array(length))
            .collect::<datafusion::common::Result<Vec<_>>>()?;
        let result = (self.body)(&arrays, length).map_err(to_datafusion)?;
        if length == rows {
            Ok(ColumnarValue::Array(result))
        } else {
            Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&result, 0)?))
        }
    }
}
