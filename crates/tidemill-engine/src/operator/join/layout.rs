//! How the inputs, the output and the state of a join look.

use super::bounds::JoinBounds;
use crate::pipeline::relation::JoinKind;
use crate::state::table::StateShape;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use std::sync::Arc;

/// What both sides have in common.
pub struct JoinLayout {
    /// Types of the key columns, which come first on both sides.
    pub keys: Vec<DataType>,
    /// For every key, whether NULL equals NULL (`<=>`).
    pub null_safe: Vec<bool>,
    /// Inner, left outer, right outer, full outer or left semi.
    pub kind: JoinKind,
    /// The left and the right side.
    pub sides: [SideLayout; 2],
    /// When rows go.
    pub bounds: JoinBounds,
    /// What must be true of a pair beside the keys.
    pub filter: Option<PairFilter>,
    /// The output: the columns of both rows, or of the left row for a semi join.
    pub schema: SchemaRef,
}

/// One side: the keys, then the columns named here, then the row.
pub struct SideLayout {
    /// Column of the event time that makes rows late, when a watermark reaches here.
    pub late: Option<usize>,
    /// Column of the time by which rows go.
    pub expiry: Option<usize>,
    /// Column that is true for rows that may match at all.
    pub passes: Option<usize>,
    /// Column where the row itself starts.
    pub first_row: usize,
    /// The row.
    pub schema: SchemaRef,
    /// True when rows that match nothing come out with NULLs.
    pub preserved: bool,
}

/// A condition over some columns of a left and a right row.
pub struct PairFilter {
    /// The condition.
    pub condition: Arc<dyn PhysicalExpr>,
    /// The columns of the left and of the right row that it reads.
    pub columns: [Vec<usize>; 2],
    /// These columns.
    pub schema: SchemaRef,
}

/// Columns of the state table before the keys.
pub(super) const STATE_COLUMNS: usize = 5;

impl JoinLayout {
    /// The state table: what happened to a row, its side, its number, its expiry, whether it has
    /// matched; its key; its columns, after NULLs for the columns of the other side.
    pub(super) fn state_shape(&self) -> StateShape {
        let mut fields = vec![
            Field::new("change", DataType::Int8, false),
            Field::new("side", DataType::Int8, false),
            Field::new("number", DataType::UInt64, false),
            Field::new("expiry", DataType::Int64, false),
            Field::new("matched", DataType::Boolean, false),
        ];
        let keys = self.keys.iter().enumerate();
        fields.extend(keys.map(|(index, of)| Field::new(format!("key{index}"), of.clone(), true)));
        for (side, word) in self.sides.iter().zip(["left", "right"]) {
            let columns = side.schema.fields().iter().enumerate();
            fields
                .extend(columns.map(|(index, of)| Field::new(format!("{word}{index}"), of.data_type().clone(), true)));
        }
        let keys = STATE_COLUMNS..STATE_COLUMNS + self.keys.len();
        StateShape { schema: Arc::new(Schema::new(fields)), keys, names: vec![1, 2] }
    }
}
