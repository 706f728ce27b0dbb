//! Properties of events: maps whose values are long, double, string or bytes, as columns of Arrow.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, MapArray, RecordBatch, StringArray, StructArray,
    UnionArray,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::{can_cast_types, cast};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Float64Type, Int64Type, UnionFields, UnionMode};
use std::sync::Arc;
use tidemill_core::types::name;
use tidemill_core::{Error, Result};

/// Arrow's type of a map of properties.
pub(super) fn data_type() -> DataType {
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry_fields()), false)), false)
}

fn entry_fields() -> Fields {
    let value = DataType::Union(value_fields(), UnionMode::Dense);
    Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, false)])
}

/// The branches, in the order of Capture's schema.
fn value_fields() -> UnionFields {
    let branches = [DataType::Int64, DataType::Float64, DataType::Utf8, DataType::Binary];
    let names = ["long", "double", "string", "bytes"];
    let fields = names.iter().zip(branches).map(|(name, of)| Arc::new(Field::new(*name, of, false)) as FieldRef);
    (0_i8..).zip(fields).collect()
}

/// The value of a property.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Long(i64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// The properties of events, one after the other.
#[derive(Debug, Default)]
pub(super) struct Bags {
    keys: Vec<String>,
    values: Vec<Value>,
    ends: Vec<i32>,
}

impl Bags {
    /// The properties in a column of maps of `rows`, and a text under a key of its own; a value that is NULL is
    /// left out.
    ///
    /// # Errors
    /// A bug: the column is no map that [`check`] lets pass.
    pub fn read(rows: &RecordBatch, column: Option<usize>, text: Option<(&str, usize)>) -> Result<Bags> {
        let mut bags = Bags::default();
        let maps = column.map(|at| Maps::new(rows.column(at))).transpose()?;
        let texts = text.map(|(key, at)| Ok::<_, Error>((key, cast(rows.column(at), &DataType::Utf8)?))).transpose()?;
        for row in 0..rows.num_rows() {
            if let Some(maps) = &maps {
                maps.row(row, &mut bags);
            }
            if let Some((key, texts)) = texts.as_ref().filter(|(_, texts)| texts.is_valid(row)) {
                bags.push(key, Value::Text(texts.as_string::<i32>().value(row).to_owned()));
            }
            bags.ends.push(i32::try_from(bags.keys.len()).unwrap_or(i32::MAX));
        }
        Ok(bags)
    }

    fn push(&mut self, key: &str, value: Value) {
        self.keys.push(key.to_owned());
        self.values.push(value);
    }

    /// As a column.
    ///
    /// # Errors
    /// A bug: the parts do not fit.
    pub fn finish(self) -> Result<ArrayRef> {
        let (mut longs, mut doubles, mut texts, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut branches, mut places) = (Vec::new(), Vec::new());
        let mut take = |branch: i8, place: usize| {
            branches.push(branch);
            places.push(place as i32);
        };
        for value in self.values {
            match value {
                Value::Long(value) => {
                    take(0, longs.len());
                    longs.push(value);
                }
                Value::Double(value) => {
                    take(1, doubles.len());
                    doubles.push(value);
                }
                Value::Text(value) => {
                    take(2, texts.len());
                    texts.push(value);
                }
                Value::Bytes(value) => {
                    take(3, bytes.len());
                    bytes.push(value);
                }
            }
        }
        let children: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(longs)),
            Arc::new(Float64Array::from(doubles)),
            Arc::new(StringArray::from(texts)),
            Arc::new(BinaryArray::from_iter_values(bytes)),
        ];
        let places = Some(ScalarBuffer::from(places));
        let values = UnionArray::try_new(value_fields(), ScalarBuffer::from(branches), places, children)?;
        let keys: ArrayRef = Arc::new(StringArray::from(self.keys));
        let entries = StructArray::try_new(entry_fields(), vec![keys, Arc::new(values)], None)?;
        let offsets = OffsetBuffer::new(std::iter::once(0).chain(self.ends).collect());
        let field = Arc::new(Field::new("entries", DataType::Struct(entry_fields()), false));
        Ok(Arc::new(MapArray::try_new(field, offsets, entries, None, false)?))
    }
}

/// A map from text to what can be a property.
///
/// # Errors
/// The column is of another type.
pub(super) fn check(table: &str, field: &Field) -> Result<()> {
    let fits = match field.data_type() {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => {
                matches!(pair[0].data_type(), DataType::Utf8) && can_cast_types(pair[1].data_type(), &DataType::Utf8)
            }
            _ => false,
        },
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "column '{}' of table '{table}' is {}; properties of events are a map from string to a number, string or binary",
        field.name(),
        name(field.data_type())
    )))
}

/// A column of maps, its values in the type they are written in.
struct Maps {
    maps: MapArray,
    keys: StringArray,
    values: ArrayRef,
}

impl Maps {
    fn new(column: &ArrayRef) -> Result<Self> {
        let maps = column.as_map().clone();
        let of = match maps.values().data_type() {
            DataType::Binary => DataType::Binary,
            of if of.is_integer() => DataType::Int64,
            of if of.is_floating() => DataType::Float64,
            _ => DataType::Utf8,
        };
        let (keys, values) = (maps.keys().as_string::<i32>().clone(), cast(maps.values(), &of)?);
        Ok(Maps { maps, keys, values })
    }

    fn row(&self, row: usize, bags: &mut Bags) {
        if self.maps.is_null(row) {
            return;
        }
        let ends = self.maps.value_offsets();
        for at in ends[row] as usize..ends[row + 1] as usize {
            if self.values.is_null(at) {
                continue;
            }
            let value = match self.values.data_type() {
                DataType::Int64 => Value::Long(self.values.as_primitive::<Int64Type>().value(at)),
                DataType::Float64 => Value::Double(self.values.as_primitive::<Float64Type>().value(at)),
                DataType::Binary => Value::Bytes(self.values.as_binary::<i32>().value(at).to_vec()),
                _ => Value::Text(self.values.as_string::<i32>().value(at).to_owned()),
            };
            bags.push(self.keys.value(at), value);
        }
    }
}
