//! Rows of a state table as entries of a store, and back. The key of an entry is the group of the row's key,
//! then the key and what names the row, in the columnar library's row format, which keeps order and ends
//! where it ends; the value is the rest, each row with its length before it.

use super::groups::group_of;
use super::table::StateShape;
use arrow::array::{Array, ArrayData, ArrayRef, make_array};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow::row::{RowConverter, Rows, SortField};
use std::sync::Arc;
use tidemill_core::{Error, Result};

/// Entries in the order of their keys: each its key and its value.
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// Makes entries of rows, and rows of entries.
pub struct Codec {
    schema: SchemaRef,
    key: Columns,
    entry: Columns,
    value: Columns,
}

impl Codec {
    /// For the rows of a table.
    ///
    /// # Errors
    /// A type that cannot be stored.
    pub fn new(shape: &StateShape) -> Result<Self> {
        let named: Vec<usize> = shape.keys.clone().chain(shape.names.iter().copied()).collect();
        let rest = (0..shape.schema.fields().len()).filter(|place| !named.contains(place)).collect();
        Ok(Codec {
            schema: shape.schema.clone(),
            key: Columns::new(&shape.schema, shape.keys.clone().collect())?,
            entry: Columns::new(&shape.schema, named)?,
            value: Columns::new(&shape.schema, rest)?,
        })
    }

    /// The keys of rows, as bytes.
    ///
    /// # Errors
    /// A bug.
    pub fn keys(&self, rows: &RecordBatch) -> Result<RowBytes> {
        self.key.bytes(rows)
    }

    /// Bytes that each row has as an entry: its group, its key and name, its value and that value's length.
    ///
    /// # Errors
    /// A bug.
    pub fn bytes(&self, rows: &RecordBatch) -> Result<Vec<u64>> {
        let (named, values) = (self.entry.bytes(rows)?, self.value.bytes(rows)?);
        let bytes = |row: usize| (1 + named.row(row).len() + 4 + values.row(row).len()) as u64;
        Ok((0..rows.num_rows()).map(bytes).collect())
    }

    /// What names rows: their keys and what else does, as bytes.
    ///
    /// # Errors
    /// A bug.
    pub fn names(&self, rows: &RecordBatch) -> Result<RowBytes> {
        self.entry.bytes(rows)
    }

    /// Everything else of rows, as bytes.
    ///
    /// # Errors
    /// A bug.
    pub fn values(&self, rows: &RecordBatch) -> Result<RowBytes> {
        self.value.bytes(rows)
    }

    /// Rows, which have these keys, as entries; `head` comes before the group in each entry's key.
    ///
    /// # Errors
    /// A bug.
    pub fn encode(&self, rows: &RecordBatch, keys: &RowBytes, head: &[u8]) -> Result<Entries> {
        let (named, values) = (self.entry.bytes(rows)?, self.value.bytes(rows)?);
        let place = |row: usize| [head, &[group_of(keys.row(row))], named.row(row)].concat();
        let mut places: Vec<(Vec<u8>, usize)> = (0..rows.num_rows()).map(|row| (place(row), row)).collect();
        places.sort_unstable();
        let mut entries = Entries::with_capacity(places.len());
        for (place, row) in places {
            let bytes = values.row(row);
            let length = (bytes.len() as u32).to_be_bytes();
            match entries.last_mut() {
                Some((last, value)) if *last == place => {
                    [&length[..], bytes].iter().for_each(|part| value.extend(*part))
                }
                _ => entries.push((place, [&length[..], bytes].concat())),
            }
        }
        Ok(entries)
    }

    /// Entries as rows; rows of one entry stay in their order.
    ///
    /// # Errors
    /// An entry that is damaged.
    pub fn decode<'a>(&self, entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<RecordBatch> {
        let damaged = || Error::invalid("an entry of the stored state is damaged").help("use a copy of the checkpoint");
        let (mut keys, mut values): (Vec<&[u8]>, Vec<&[u8]>) = (vec![], vec![]);
        for (entry, mut rest) in entries {
            let key = entry.get(1..).ok_or_else(damaged)?;
            while !rest.is_empty() {
                let (length, tail) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
                let (value, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(damaged)?;
                keys.push(key);
                values.push(value);
                rest = tail;
            }
        }
        let count = keys.len();
        let mut columns: Vec<Option<ArrayRef>> = vec![None; self.schema.fields().len()];
        for (columns_of, bytes) in [(&self.entry, keys), (&self.value, values)] {
            for (place, column) in columns_of.places.iter().zip(columns_of.columns(&bytes)?) {
                columns[*place] = Some(column);
            }
        }
        let columns = columns.into_iter().collect::<Option<Vec<_>>>().ok_or_else(|| Error::bug("a column is lost"))?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

/// Some columns of a table as bytes.
struct Columns {
    places: Vec<usize>,
    types: Vec<DataType>,
    converter: Option<RowConverter>,
}

/// Bytes of rows; those of no columns are empty.
pub struct RowBytes {
    rows: Option<Rows>,
    count: usize,
}

impl RowBytes {
    /// The bytes of every row.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.count).map(|row| self.row(row))
    }

    /// The bytes of one row.
    pub fn row(&self, row: usize) -> &[u8] {
        self.rows.as_ref().map_or(&[], |rows| rows.row(row).data())
    }
}

impl Columns {
    fn new(schema: &SchemaRef, places: Vec<usize>) -> Result<Self> {
        let types: Vec<DataType> = places.iter().map(|place| schema.field(*place).data_type().clone()).collect();
        let fields = types.iter().map(|of| SortField::new(without_maps(of))).collect();
        let converter = if places.is_empty() { None } else { Some(RowConverter::new(fields)?) };
        Ok(Columns { places, types, converter })
    }

    fn bytes(&self, rows: &RecordBatch) -> Result<RowBytes> {
        let count = rows.num_rows();
        let Some(converter) = &self.converter else { return Ok(RowBytes { rows: None, count }) };
        let columns = self.places.iter().zip(&self.types);
        let columns = columns.map(|(place, of)| retyped(rows.column(*place), &without_maps(of)));
        let rows = converter.convert_columns(&columns.collect::<Result<Vec<_>>>()?)?;
        Ok(RowBytes { rows: Some(rows), count })
    }

    fn columns(&self, bytes: &[&[u8]]) -> Result<Vec<ArrayRef>> {
        let Some(converter) = &self.converter else { return Ok(vec![]) };
        let parser = converter.parser();
        let columns = converter.convert_rows(bytes.iter().map(|bytes| parser.parse(bytes)))?;
        columns.iter().zip(&self.types).map(|(column, of)| retyped(column, of)).collect()
    }
}

/// A type with lists of entries for maps, which have no row format; both look the same in memory.
fn without_maps(of: &DataType) -> DataType {
    let plain = |field: &FieldRef| -> FieldRef {
        Arc::new(Field::new(field.name(), without_maps(field.data_type()), field.is_nullable()))
    };
    match of {
        DataType::Map(entries, _) | DataType::List(entries) => DataType::List(plain(entries)),
        DataType::LargeList(item) => DataType::LargeList(plain(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(plain(item), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain).collect()),
        other => other.clone(),
    }
}

/// The same values under a type that looks the same in memory.
fn retyped(array: &ArrayRef, of: &DataType) -> Result<ArrayRef> {
    if array.data_type() == of {
        return Ok(array.clone());
    }
    Ok(make_array(retyped_data(array.to_data(), of)?))
}

fn retyped_data(data: ArrayData, of: &DataType) -> Result<ArrayData> {
    let types: Vec<DataType> = match of {
        DataType::Map(item, _)
        | DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _) => vec![item.data_type().clone()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type().clone()).collect(),
        _ => vec![],
    };
    let children = data.child_data().iter().zip(&types).map(|(child, of)| retyped_data(child.clone(), of));
    let children = children.collect::<Result<Vec<_>>>()?;
    Ok(data.into_builder().data_type(of.clone()).child_data(children).build()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, ListArray, MapBuilder, StringArray, StringBuilder};
    use arrow::datatypes::{Int64Type, Schema};

    fn rows(of: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(of.into_iter().map(|(name, column)| (name, column, true))).unwrap()
    }

    fn some() -> RecordBatch {
        let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for row in 0..4 {
            maps.keys().append_value(format!("k{row}"));
            maps.values().append_option((row != 1).then_some("v"));
            maps.append(row != 2).unwrap();
        }
        let lists = [Some(vec![Some(1), None]), None, Some(vec![]), Some(vec![Some(-5)])];
        rows(vec![
            ("pane", Arc::new(Int64Array::from(vec![3, -1, 3, 3]))),
            ("key0", Arc::new(StringArray::from(vec![Some("a"), None, Some("b"), Some("b")]))),
            ("lists", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))),
            ("maps", Arc::new(maps.finish())),
        ])
    }

    fn sorted(rows: &RecordBatch) -> Vec<String> {
        let shown = arrow::util::pretty::pretty_format_batches(std::slice::from_ref(rows)).unwrap().to_string();
        let mut lines: Vec<String> = shown.lines().map(ToOwned::to_owned).collect();
        lines.sort();
        lines
    }

    fn there_and_back(names: Vec<usize>, entries_wanted: usize) {
        let before = some();
        let codec = Codec::new(&StateShape { schema: before.schema(), keys: 1..2, names }).unwrap();
        let keys = codec.keys(&before).unwrap();
        let entries = codec.encode(&before, &keys, &[]).unwrap();
        assert_eq!(entries.len(), entries_wanted);
        assert!(entries.is_sorted());
        let after = codec.decode(entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))).unwrap();
        assert_eq!(sorted(&before), sorted(&after));
        for row in 0..before.num_rows() {
            assert!(entries.iter().any(|(entry, _)| entry[1..].starts_with(keys.row(row))));
        }
    }

    #[test]
    fn rows_come_back_whatever_names_them() {
        there_and_back(vec![], 3);
        there_and_back(vec![0], 3);
        there_and_back(vec![0, 2], 4);
    }

    #[test]
    fn a_table_without_keys_has_one_entry() {
        let before = rows(vec![("value", Arc::new(Int64Array::from(vec![7])))]);
        let codec = Codec::new(&StateShape { schema: before.schema(), keys: 0..0, names: vec![] }).unwrap();
        let keys = codec.keys(&before).unwrap();
        let entries = codec.encode(&before, &keys, b"head").unwrap();
        assert_eq!(entries.iter().map(|(key, _)| &key[..]).collect::<Vec<_>>(), [b"head\0"]);
        let entries = codec.encode(&before, &keys, &[]).unwrap();
        let after = codec.decode(entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))).unwrap();
        assert_eq!(before, after);
        assert_eq!(codec.decode(std::iter::empty()).unwrap().num_rows(), 0);
    }

    #[test]
    fn a_damaged_entry_is_no_row() {
        let schema = Arc::new(Schema::new(vec![Field::new("value", DataType::Int64, true)]));
        let codec = Codec::new(&StateShape { schema, keys: 0..0, names: vec![] }).unwrap();
        assert!(codec.decode(std::iter::once((&[0][..], &[0, 0, 0, 9, 1][..]))).is_err());
    }
}
