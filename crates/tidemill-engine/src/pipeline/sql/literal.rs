//! Literals of the parser's tree: which Spark type a written number, text or typed text has.
//! Source of the rules: Spark SQL reference, "Literals".

use super::spot;
use crate::pipeline::expression::Expression;
use crate::pipeline::text::Spot;
use datafusion::sql::sqlparser::ast::{Value, ValueWithSpan};
use tidemill_core::{Error, Result};

/// A literal value.
pub fn value(value: ValueWithSpan) -> Result<Expression> {
    let at = spot(value.span);
    Ok(match value.value {
        Value::Number(digits, is_long) => number(&digits, if is_long { "L" } else { "" }, at)?,
        Value::SingleQuotedString(text)
        | Value::DoubleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::SingleQuotedRawStringLiteral(text)
        | Value::DoubleQuotedRawStringLiteral(text)
        | Value::TripleSingleQuotedString(text) => typed("string", text, at),
        Value::HexStringLiteral(text) => typed("binary", text, at),
        Value::Boolean(value) => typed("boolean", value.to_string(), at),
        Value::Null => Expression::Literal { data_type: "void".into(), text: None, at },
        other => {
            return Err(Error::invalid(format!("the literal `{other}` is not Spark SQL")).class("PARSE_SYNTAX_ERROR"));
        }
    })
}

/// A number with Spark's suffix: none, L, S, Y, D, F or BD. Without one, whole numbers are int,
/// bigint or decimal as they fit; with a point they are decimal; with an exponent double.
pub fn number(digits: &str, suffix: &str, at: Spot) -> Result<Expression> {
    let data_type = match suffix {
        "L" => "bigint".into(),
        "S" => "smallint".into(),
        "Y" => "tinyint".into(),
        "D" => "double".into(),
        "F" => "float".into(),
        "BD" => decimal_type(digits)?,
        _ if digits.contains(['e', 'E']) => "double".into(),
        _ if digits.contains('.') => decimal_type(digits)?,
        _ if digits.parse::<i32>().is_ok() => "int".into(),
        _ if digits.parse::<i64>().is_ok() => "bigint".into(),
        _ => decimal_type(digits)?,
    };
    Ok(typed(&data_type, digits.to_owned(), at))
}

/// The smallest decimal type that holds the digits: `1.50` is decimal(3,2), `0.5` is decimal(1,1).
fn decimal_type(digits: &str) -> Result<String> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0').len();
    let (precision, scale) = ((whole + fraction.len()).max(1), fraction.len());
    if precision > 38 {
        return Err(Error::invalid(format!("the number {digits} has more than 38 digits"))
            .class("NUMERIC_OUT_OF_SUPPORTED_RANGE"));
    }
    Ok(format!("decimal({precision},{scale})"))
}

fn typed(data_type: &str, text: String, at: Spot) -> Expression {
    Expression::Literal { data_type: data_type.to_owned(), text: Some(text), at }
}
