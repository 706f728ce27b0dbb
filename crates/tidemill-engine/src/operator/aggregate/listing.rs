//! `listagg(x, delimiter) WITHIN GROUP (ORDER BY ..)`: how collected values become one text.

use super::collect::{Collect, What};
use super::{Built, Direction, Modifiers, expect_arguments, within_group};
use crate::function::{CallContext, as_text, constant};
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::analysis::{operator, refuse};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, StringArray, UInt32Array};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::Result;

/// How values are put together.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Stands between two values.
    delimiter: Vec<u8>,
    /// Directions of the sort keys, which are the columns after the value.
    order: Vec<Direction>,
    /// Equal values count once.
    distinct: bool,
}

/// Settles the arguments: a text or bytes, the delimiter, and the keys of `WITHIN GROUP`.
///
/// # Errors
/// Values that are neither, a delimiter that is no literal or of another type.
pub fn build(context: &CallContext<'_>, mut arguments: Vec<Typed>, modifiers: Modifiers<'_>) -> Result<Built> {
    let keys = arguments.split_off(arguments.len() - modifiers.order.len());
    expect_arguments(context, &arguments, 1, 2)?;
    let delimiter = if arguments.len() == 2 { arguments.pop() } else { None };
    let written = arguments.remove(0);
    if modifiers.distinct && keys.iter().any(|key| key.expr != written.expr) {
        return Err(within_group(
            context,
            "MISMATCH_WITH_DISTINCT_INPUT",
            "with DISTINCT, the values themselves are the only thing to order by",
        ));
    }
    let value = match written.data_type {
        DataType::Binary => written,
        DataType::Null => written.widened(&DataType::Utf8),
        _ => as_text(written, context)?,
    };
    let delimiter = delimiter_of(context, delimiter, &value.data_type)?;
    let listing = Listing { delimiter, order: modifiers.order.to_vec(), distinct: modifiers.distinct };
    let kept: Vec<Typed> = std::iter::once(value).chain(keys.into_iter().map(operator::normalized)).collect();
    let of = kept.iter().map(|column| column.data_type.clone()).collect();
    Ok((Arc::new(Collect { what: What::Text(listing), of, nulls: false }), kept))
}

fn delimiter_of(context: &CallContext<'_>, delimiter: Option<Typed>, of: &DataType) -> Result<Vec<u8>> {
    let Some(delimiter) = delimiter else { return Ok(vec![]) };
    let Some(literal) = constant::value(&delimiter)? else {
        return Err(refuse::type_mismatch(
            "NON_FOLDABLE_INPUT",
            format!("the delimiter of {} must be a literal", context.name),
            context.text,
            context.at,
        ));
    };
    let both_text = *of == DataType::Utf8 && !matches!(literal, ScalarValue::Binary(_));
    let literal = if both_text { literal.cast_to(&DataType::Utf8).unwrap_or(literal) } else { literal };
    match (literal, of) {
        (literal, _) if literal.is_null() => Ok(vec![]),
        (ScalarValue::Utf8(Some(text)), DataType::Utf8) => Ok(text.into_bytes()),
        (ScalarValue::Binary(Some(bytes)), DataType::Binary) => Ok(bytes),
        _ => Err(refuse::type_mismatch(
            "DATA_DIFF_TYPES",
            format!("the values and the delimiter of {} must be of one type", context.name),
            context.text,
            context.at,
        )),
    }
}

impl Listing {
    /// Texts of the rows, of which the first `lengths[0]` make the first text, and so on; NULL of no row.
    pub fn join(&self, columns: &[ArrayRef], lengths: &[usize]) -> Result<ArrayRef> {
        let mut columns = columns.to_vec();
        let mut lengths = lengths.to_vec();
        if self.distinct {
            (columns, lengths) = distinct(&columns, &lengths)?;
        }
        if !self.order.is_empty() {
            columns = self.sorted(&columns, &lengths)?;
        }
        let bytes = arrow::compute::cast(&columns[0], &DataType::Binary)?;
        let bytes = bytes.as_binary::<i32>();
        let mut start = 0;
        let joined = lengths.iter().map(|length| {
            let rows = start..start + length;
            start += length;
            (*length > 0).then(|| rows.map(|row| bytes.value(row)).collect::<Vec<_>>().join(&self.delimiter[..]))
        });
        let joined: Vec<Option<Vec<u8>>> = joined.collect();
        if *columns[0].data_type() == DataType::Binary {
            return Ok(Arc::new(joined.iter().map(Option::as_deref).collect::<BinaryArray>()));
        }
        let texts = joined.into_iter().map(|text| text.and_then(|text| String::from_utf8(text).ok()));
        Ok(Arc::new(texts.collect::<StringArray>()))
    }

    fn sorted(&self, columns: &[ArrayRef], lengths: &[usize]) -> Result<Vec<ArrayRef>> {
        let keys = &columns[columns.len() - self.order.len()..];
        let field = |(key, direction): (&ArrayRef, &Direction)| {
            let options = SortOptions { descending: direction.descending, nulls_first: direction.nulls_first };
            SortField::new_with_options(key.data_type().clone(), options)
        };
        let converter = RowConverter::new(keys.iter().zip(&self.order).map(field).collect())?;
        let rows = converter.convert_columns(keys)?;
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        let mut start = 0;
        for length in lengths {
            order[start..start + length]
                .sort_by(|left, right| rows.row(*left as usize).cmp(&rows.row(*right as usize)));
            start += length;
        }
        let order = UInt32Array::from(order);
        Ok(columns.iter().map(|column| arrow::compute::take(column, &order, None)).collect::<Result<_, _>>()?)
    }
}

/// Equal values of a slot once, the first of them.
fn distinct(columns: &[ArrayRef], lengths: &[usize]) -> Result<(Vec<ArrayRef>, Vec<usize>)> {
    let converter = RowConverter::new(vec![SortField::new(columns[0].data_type().clone())])?;
    let rows = converter.convert_columns(&columns[..1])?;
    let (mut kept, mut kept_lengths, mut start) = (vec![], vec![], 0);
    for length in lengths {
        let mut seen = std::collections::HashSet::new();
        let before = kept.len();
        kept.extend((start..start + length).filter(|row| seen.insert(rows.row(*row))).map(|row| row as u32));
        kept_lengths.push(kept.len() - before);
        start += length;
    }
    let kept = UInt32Array::from(kept);
    let columns = columns.iter().map(|column| arrow::compute::take(column, &kept, None)).collect::<Result<_, _>>()?;
    Ok((columns, kept_lengths))
}
