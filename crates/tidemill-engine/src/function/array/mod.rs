//! Functions of arrays. Each picks values of its arguments into new lists (`lists::Picks`), or compares
//! values in their comparable form (`lists::comparable`).

pub mod combine;
pub mod order;
pub mod search;
pub mod sequence;
pub mod shape;

use super::{CallContext, implicit_cast};
use crate::pipeline::analysis::coerce;
use crate::pipeline::analysis::typed::Typed;
use arrow::datatypes::DataType;
use tidemill_core::{Result, types};

/// An argument that must be an array; gives the type of its elements too. NULL is an array of NULLs.
pub fn array_argument(typed: Typed, context: &CallContext<'_>) -> Result<(Typed, DataType)> {
    match &typed.data_type {
        DataType::List(element) => {
            let element = element.data_type().clone();
            Ok((typed, element))
        }
        DataType::Null => Ok((typed.widened(&types::array_of(DataType::Null)), DataType::Null)),
        other => Err(context.wrong_type("an ARRAY", other)),
    }
}

/// An array and a value, both brought to one type of elements.
fn with_value(mut arguments: Vec<Typed>, context: &CallContext<'_>) -> Result<(Typed, Typed, DataType)> {
    let value = arguments.remove(1);
    let (list, element) = array_argument(arguments.remove(0), context)?;
    let common = coerce::common_strict(&element, &value.data_type);
    let Some(common) = common.filter(|common| context.name == "array_contains" || keeps(common, &element, &value))
    else {
        return Err(context.wrong_type(&format!("a value of type {}", types::name(&element)), &value.data_type));
    };
    let list = implicit_cast(list, &types::array_of(common.clone()), context)?;
    let value = implicit_cast(value, &common, context)?;
    Ok((list, value, common))
}

/// True when a type holds both without more digits than the wider of them: Spark asks for this where a value
/// becomes part of an array.
fn keeps(common: &DataType, element: &DataType, value: &Typed) -> bool {
    let has_decimal = |of: &DataType| matches!(of, DataType::Decimal128(..));
    if !has_decimal(element) && !has_decimal(&value.data_type) {
        return true;
    }
    *common == *element || *common == value.data_type
}

/// Arrays brought to one type of elements.
fn alike(arguments: Vec<Typed>, context: &CallContext<'_>) -> Result<(Vec<Typed>, DataType)> {
    let mut common = DataType::Null;
    let mut lists = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let (list, element) = array_argument(argument, context)?;
        let Some(wider) = coerce::common_strict(&common, &element) else {
            return Err(context.wrong_type(&format!("arrays of {}", types::name(&common)), &list.data_type));
        };
        common = wider;
        lists.push(list);
    }
    let to = types::array_of(common.clone());
    let lists = lists.into_iter().map(|list| implicit_cast(list, &to, context)).collect::<Result<_>>()?;
    Ok((lists, common))
}

/// Values that can be compared and so sorted or looked for: no maps at any depth.
fn expect_orderable(of: &DataType, context: &CallContext<'_>) -> Result<()> {
    if coerce::is_groupable(of) { Ok(()) } else { Err(context.wrong_type("values that can be compared", of)) }
}
