//! Envelopes to rows: each is decoded by the format inside, then the columns of its row are those after the change, or
//! before it when the row was deleted.

use super::layout::{AFTER, BEFORE, Layout, MILLIS, OP, Origin, PAYLOAD, SOURCE};
use super::time::{Unit, times};
use crate::format::reject::{MALFORMED, MISSING_FIELD, NULL_FIELD, UNCHANGED_VALUE, WRONG_TYPE, reject};
use crate::format::whole::column_of;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListBuilder, RecordBatchOptions, StringArray, StringBuilder,
    StructArray, TimestampMicrosecondArray,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{filter, nullif};
use arrow::datatypes::{DataType, Fields, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidemill_core::format::{Decoded, Decoder, Reject};
use tidemill_core::source::{Body, Chunk, Records};
use tidemill_core::types::timestamp;
use tidemill_core::{Error, Kind, Result, ResultExt};

/// What Debezium writes for a large value that the database did not send.
const UNSENT: &str = "__debezium_unavailable_value";

/// Decodes changes.
pub(super) struct ChangeDecoder {
    pub layout: Layout,
    /// Decodes the envelope.
    pub inner: Box<dyn Decoder>,
    /// Of numbers that are times.
    pub unit: Unit,
}

#[async_trait]
impl Decoder for ChangeDecoder {
    async fn prepare(&self, chunks: &[Chunk]) -> Result<()> {
        self.inner.prepare(chunks).await
    }

    fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        let Body::Records(records) = &chunk.body else {
            let split = &chunk.split;
            return Err(Error::invalid(format!("changes of Debezium are single payloads, and '{split}' has none")));
        };
        let present: Vec<usize> = (0..records.len()).filter(|at| records.values[*at].is_some()).collect();
        let numbered = Records {
            data: records.data.clone(),
            values: present.iter().map(|at| records.values[*at].clone()).collect(),
            keys: vec![None; present.len()],
            offsets: (0..present.len() as u64).collect(),
            timestamps: vec![0; present.len()],
            headers: Vec::new(),
        };
        let decoded = self.inner.decode(&Chunk { split: chunk.split.clone(), body: Body::Records(numbered) })?;
        let mut rejects: BTreeMap<usize, Reject> = BTreeMap::new();
        for mut bad in decoded.rejects {
            let record = present[bad.offset as usize];
            bad.offset = records.offsets[record];
            rejects.insert(record, bad);
        }
        let of_rows: Vec<usize> = present.into_iter().filter(|record| !rejects.contains_key(record)).collect();
        let mut changes = Changes::new(&self.layout, &decoded.rows)?;
        let rows = changes.rows(self.unit)?;
        for (row, fault) in changes.faults {
            if let Fault::Bad(code, reason) = fault {
                let record = of_rows[row];
                let bytes = records.value(record).unwrap_or_default();
                rejects.insert(record, reject(records.offsets[record], bytes, code, reason));
            }
        }
        Ok(Decoded { rows, rejects: rejects.into_values().collect() })
    }
}

/// Why an envelope gives no row.
enum Fault {
    /// There is nothing to give.
    Nothing,
    Bad(&'static str, String),
}

/// The envelopes of one chunk.
struct Changes<'a> {
    layout: &'a Layout,
    before: StructArray,
    after: StructArray,
    source: StructArray,
    operations: StringArray,
    millis: Int64Array,
    faults: BTreeMap<usize, Fault>,
}

impl<'a> Changes<'a> {
    fn new(layout: &'a Layout, envelopes: &RecordBatch) -> Result<Self> {
        let wrapped = envelopes.columns().get(PAYLOAD).map(|payload| payload.as_struct());
        let part = |at: usize| -> Result<ArrayRef> {
            let outer = envelopes.column(at);
            let Some(wrapped) = wrapped.filter(|wrapped| wrapped.null_count() < wrapped.len()) else {
                return Ok(outer.clone());
            };
            let is_wrapped = BooleanArray::from_iter((0..wrapped.len()).map(|row| Some(wrapped.is_valid(row))));
            Ok(zip(&is_wrapped, wrapped.column(at), outer)?)
        };
        Ok(Changes {
            layout,
            before: part(BEFORE)?.as_struct().clone(),
            after: part(AFTER)?.as_struct().clone(),
            source: part(SOURCE)?.as_struct().clone(),
            operations: part(OP)?.as_string::<i32>().clone(),
            millis: part(MILLIS)?.as_primitive::<Int64Type>().clone(),
            faults: BTreeMap::new(),
        })
    }

    /// The rows, without those that are faulty.
    fn rows(&mut self, unit: Unit) -> Result<RecordBatch> {
        let count = self.operations.len();
        (0..count).for_each(|row| self.check(row));
        let deleted = (0..count).map(|row| Some(self.operation(row) == Some("d")));
        let deleted = BooleanArray::from_iter(deleted);
        let columns = self.layout.columns.clone();
        let mut current = Vec::with_capacity(columns.len());
        for (at, field) in columns.iter().enumerate() {
            let column = zip(&deleted, self.before.column(at), self.after.column(at))?;
            current.push(self.timed(&column, field.name(), field.data_type(), unit));
        }
        let unsent = self.unsent(&mut current)?;
        let layout = self.layout;
        let schema = layout.schema.clone();
        let mut arrays = Vec::with_capacity(schema.fields().len());
        for (field, origin) in schema.fields().iter().zip(&layout.origins) {
            let column: ArrayRef = match origin {
                Origin::Column(at) => current[*at].clone(),
                Origin::Operation => Arc::new(self.operations.clone()),
                Origin::Changed => self.changed(),
                Origin::Lsn => self.number("lsn"),
                Origin::Transaction => self.number("txId"),
                Origin::Before => self.row_before(field.data_type(), unit)?,
                Origin::Source => parts_of(&self.source, field.data_type())?,
                Origin::Unchanged => unsent.clone(),
            };
            if !field.is_nullable() {
                for row in (0..count).filter(|row| column.is_null(*row)) {
                    let why = format!("field '{}' is null and must not be", field.name());
                    self.faults.entry(row).or_insert(Fault::Bad(NULL_FIELD, why));
                }
            }
            arrays.push(column);
        }
        let good = BooleanArray::from_iter((0..count).map(|row| Some(!self.faults.contains_key(&row))));
        let arrays = arrays.iter().map(|array| filter(array, &good)).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(good.true_count()));
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    }

    fn operation(&self, row: usize) -> Option<&str> {
        self.operations.is_valid(row).then(|| self.operations.value(row))
    }

    /// An envelope must say what happened, and have the row it happened to.
    fn check(&mut self, row: usize) {
        let lacks = |part: &StructArray| part.is_null(row);
        let missing = |name: &str| Fault::Bad(MISSING_FIELD, format!("not a change of Debezium: '{name}' is missing"));
        let fault = match self.operation(row) {
            Some("c" | "r" | "u") if lacks(&self.after) => missing("after"),
            Some("d") if lacks(&self.before) => missing("before"),
            Some("c" | "r" | "u" | "d" | "t") => return,
            // a message in the log of Postgres, of no row
            Some("m") => Fault::Nothing,
            Some(other) => Fault::Bad(MALFORMED, format!("not a change of Debezium: 'op' is '{other}'")),
            None => missing("op"),
        };
        self.faults.insert(row, fault);
    }

    /// A column of a row, its times made of text.
    fn timed(&mut self, column: &ArrayRef, name: &str, wanted: &DataType, unit: Unit) -> ArrayRef {
        if column.data_type() == wanted {
            return column.clone();
        }
        let (times, bad) = times(column, wanted, unit);
        for row in bad {
            let text = column.as_string::<i32>().value(row);
            let wanted = tidemill_core::types::name(wanted);
            let mut why = format!("field '{name}' must be {wanted}, found '{text}'");
            if unit == Unit::Unknown && text.parse::<i64>().is_ok() {
                why += "; option 'debezium_time_unit' says what such numbers are";
            }
            self.faults.entry(row).or_insert(Fault::Bad(WRONG_TYPE, why));
        }
        times
    }

    /// The names of the columns of each row whose value was not sent, which become NULL. Where nobody reads them such a
    /// row is faulty: NULL would be a lie.
    fn unsent(&mut self, columns: &mut [ArrayRef]) -> Result<ArrayRef> {
        let mut names: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        let fields = self.layout.columns.clone();
        for (field, column) in fields.iter().zip(columns) {
            let Some(text) = column.as_string_opt::<i32>() else { continue };
            let is_unsent: BooleanArray = text.iter().map(|text| Some(text == Some(UNSENT))).collect();
            if is_unsent.true_count() > 0 {
                for row in (0..text.len()).filter(|row| is_unsent.value(*row)) {
                    names.entry(row).or_default().push(field.name());
                }
                *column = nullif(&*column, &is_unsent)?;
            }
        }
        if !self.layout.tells_unchanged() {
            for (row, names) in &names {
                let why =
                    format!("the value of '{}' was not sent; read _unchanged to tell such rows", names.join("', '"));
                self.faults.entry(*row).or_insert(Fault::Bad(UNCHANGED_VALUE, why));
            }
        }
        let mut lists = ListBuilder::new(StringBuilder::new());
        for row in 0..self.operations.len() {
            for name in names.get(&row).into_iter().flatten() {
                lists.values().append_value(name);
            }
            lists.append(true);
        }
        let lists: ArrayRef = Arc::new(lists.finish());
        Ok(lists)
    }

    /// When it was changed: as the database says, else when Debezium saw it.
    fn changed(&self) -> ArrayRef {
        let of_source = self.number("ts_ms");
        let of_source = of_source.as_primitive::<Int64Type>();
        let micros = (0..self.millis.len()).map(|row| {
            let millis = [of_source, &self.millis].into_iter().find(|of| of.is_valid(row)).map(|of| of.value(row));
            millis.and_then(|millis| millis.checked_mul(1000))
        });
        let micros: TimestampMicrosecondArray = micros.collect();
        Arc::new(micros.with_data_type(timestamp()))
    }

    /// A number that the source says.
    fn number(&self, name: &str) -> ArrayRef {
        let column = self.source.column_by_name(name).filter(|column| *column.data_type() == DataType::Int64);
        column.cloned().unwrap_or_else(|| Arc::new(Int64Array::new_null(self.source.len())))
    }

    fn row_before(&mut self, wanted: &DataType, unit: Unit) -> Result<ArrayRef> {
        let DataType::Struct(fields) = wanted else { return Ok(Arc::new(self.before.clone())) };
        let before = self.before.clone();
        let known = Schema::new(before.fields().clone());
        let columns: Vec<ArrayRef> = fields
            .iter()
            .filter_map(|field| {
                let column = before.column(column_of(&known, field.name())?).clone();
                Some(self.timed(&column, field.name(), field.data_type(), unit))
            })
            .collect();
        structure(fields, columns, &before)
    }
}

/// Some fields of a struct.
fn parts_of(of: &StructArray, wanted: &DataType) -> Result<ArrayRef> {
    let DataType::Struct(fields) = wanted else { return Ok(Arc::new(of.clone())) };
    let known = Schema::new(of.fields().clone());
    let columns = fields.iter().filter_map(|field| Some(of.column(column_of(&known, field.name())?).clone()));
    structure(fields, columns.collect(), of)
}

/// A struct of these columns, NULL where `like` is.
fn structure(fields: &Fields, columns: Vec<ArrayRef>, like: &StructArray) -> Result<ArrayRef> {
    let made = StructArray::try_new_with_length(fields.clone(), columns, like.nulls().cloned(), like.len());
    let made = made.context(Kind::Data, || "a field that must not be NULL has no value in a change".into());
    Ok(Arc::new(made.map_err(|error| error.help("declare the fields of _before and _source without NOT NULL"))?))
}
