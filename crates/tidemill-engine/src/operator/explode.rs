//! A row once for every element of an array or entry of a map: `explode`, `posexplode`, `inline` and
//! their `outer` forms, which keep a row whose collection is empty or NULL.

use super::project::{compile, evaluate};
use super::{Transform, take_rows};
use crate::pipeline::plan::{Attribute, Generator, inner_schema};
use arrow::array::{Array, ArrayRef, AsArray, Int32Array, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use std::sync::Arc;
use tidemill_core::{Error, Result};

/// Takes collections apart.
pub struct Explode {
    generator: Generator,
    argument: Arc<dyn PhysicalExpr>,
    outer: bool,
    schema: SchemaRef,
}

impl Explode {
    /// `output` is the input and the new columns.
    pub fn new(
        generator: Generator,
        argument: &Expr,
        outer: bool,
        input: &[Attribute],
        output: &[Attribute],
    ) -> Result<Self> {
        Ok(Explode { generator, argument: compile(argument, input)?, outer, schema: inner_schema(output) })
    }
}

impl Transform for Explode {
    fn apply(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let collections = evaluate(&self.argument, &rows)?;
        let (offsets, parts) = parts(&collections)?;
        let (mut from, mut elements, mut positions) = (vec![], vec![], vec![]);
        for row in 0..rows.num_rows() {
            let range = offsets[row]..offsets[row + 1];
            if collections.is_null(row) || range.is_empty() {
                if self.outer {
                    from.push(row as u32);
                    elements.push(None);
                    positions.push(None);
                }
                continue;
            }
            for (position, element) in range.enumerate() {
                from.push(row as u32);
                elements.push(Some(element as u32));
                positions.push(Some(position as i32));
            }
        }
        let mut columns = take_rows(&rows, &UInt32Array::from(from))?.columns().to_vec();
        if self.generator == Generator::PositionExplode {
            columns.push(Arc::new(Int32Array::from(positions)));
        }
        let elements = UInt32Array::from(elements);
        for part in self.columns_of(parts) {
            columns.push(take(&part, &elements, None)?);
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

impl Explode {
    /// `inline` gives a column a field, the others the parts as they are.
    fn columns_of(&self, parts: Vec<ArrayRef>) -> Vec<ArrayRef> {
        match self.generator {
            Generator::Inline => parts
                .iter()
                .flat_map(|part| {
                    let structs = part.as_struct();
                    (0..structs.num_columns())
                        .filter_map(|field| crate::function::nested::take_field(structs, field).ok())
                })
                .collect(),
            _ => parts,
        }
    }
}

/// Offsets of a list or map, and its values, or keys and values.
fn parts(collections: &ArrayRef) -> Result<(Vec<usize>, Vec<ArrayRef>)> {
    let whole = |offsets: &[i32]| offsets.iter().map(|offset| *offset as usize).collect();
    match collections.data_type() {
        DataType::List(_) => {
            let list = collections.as_list::<i32>();
            Ok((whole(list.value_offsets()), vec![list.values().clone()]))
        }
        DataType::Map(..) => {
            let map = collections.as_map();
            Ok((whole(map.value_offsets()), vec![map.keys().clone(), map.values().clone()]))
        }
        DataType::Null => Ok((vec![0; collections.len() + 1], vec![collections.slice(0, 0)])),
        other => Err(Error::bug(format!("{other} cannot be exploded"))),
    }
}
