//! Rows become changes of keys. Pure: what a row does to Redis is decided here and nowhere else.

use super::epoch::{APPEND, Change};
use super::key::{KeyTemplate, column, find};
use super::text::Texts;
use crate::format::json::encode::JsonEncoder;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, DurationMicrosecondType, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use std::collections::HashSet;
use std::time::Duration;
use tidemill_core::format::{Encoder as _, Payloads};
use tidemill_core::{Error, Options, Result, types};

/// Most columns of a hash or stream entry: what Lua can hand to a command.
const COLUMNS_MAX: usize = 2_000;
const MILLISECOND: i64 = 1_000;

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A hash, a field a column.
    Hash,
    /// The row as JSON.
    Json,
    /// One column.
    Text,
    /// Entries of a stream, a field a column.
    Stream,
}

impl Shape {
    fn named(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "json" => Shape::Json,
            "string" => Shape::Text,
            "stream" => Shape::Stream,
            _ => Shape::Hash,
        }
    }
}

/// How rows of one table become changes.
pub(crate) struct Plan {
    key: KeyTemplate,
    pub(crate) shape: Shape,
    /// The column of shape `string`.
    value: Option<usize>,
    /// Columns that are written, by position.
    columns: Vec<usize>,
    /// Columns all of which are NULL in a row that deletes its key.
    tombstone: Vec<usize>,
    delete: Option<Vec<usize>>,
    replace: bool,
    ttl: Option<Duration>,
    ttl_column: Option<Vec<usize>>,
    expire_at: Option<Vec<usize>>,
    entries_max: Option<u64>,
}

impl Plan {
    /// From the options of table `table`.
    ///
    /// # Errors
    /// A column that is not there or of a type that does not serve.
    pub(crate) fn new(table: &str, options: &Options, schema: &SchemaRef) -> Result<Self> {
        let shape = Shape::named(options.required("shape")?);
        let key = KeyTemplate::parse(table, options.required("key")?, schema)?;
        let path = |option: &str| options.text(option).map(|name| find(table, name, schema)).transpose();
        let (delete, ttl_column, expire_at) = (path("delete_column")?, path("ttl_column")?, path("expire_at")?);
        check(table, "delete_column", delete.as_deref(), schema, |of| *of == DataType::Boolean, "boolean")?;
        let is_ttl = |of: &DataType| of.is_integer() || matches!(of, DataType::Duration(_));
        check(table, "ttl_column", ttl_column.as_deref(), schema, is_ttl, "an interval or a whole number of seconds")?;
        let is_time = |of: &DataType| matches!(of, DataType::Timestamp(..)) || types::is_window(of);
        check(table, "expire_at", expire_at.as_deref(), schema, is_time, "a timestamp or a window")?;

        // what only steers is not written
        let steers = |at: &usize| [&delete, &ttl_column].into_iter().flatten().any(|path| path[..] == [*at]);
        let columns: Vec<usize> = (0..schema.fields().len()).filter(|at| !steers(at)).collect();
        if columns.len() > COLUMNS_MAX {
            return Err(Error::invalid(format!("table '{table}' has more than {COLUMNS_MAX} columns for a Redis key")));
        }
        let in_key = key.columns();
        let tombstone: Vec<usize> = columns.iter().copied().filter(|at| !in_key.contains(at)).collect();
        let value = match shape {
            Shape::Text => Some(value_column(table, options.text("value"), schema, &tombstone)?),
            _ => None,
        };
        let entries_max = options.integer("stream_entries_max");
        let ttl = options.duration("ttl");
        let replace = options.boolean("replace");
        Ok(Plan { key, shape, value, columns, tombstone, delete, replace, ttl, ttl_column, expire_at, entries_max })
    }

    /// The hash tag that all keys share.
    pub(crate) fn constant_tag(&self) -> Option<String> {
        self.key.constant_tag()
    }

    /// The changes of an epoch, in the order of its rows. Of rows with the same key only the last counts,
    /// unless each adds to what is there.
    ///
    /// # Errors
    /// A type that cannot be written.
    pub(crate) fn changes(&self, epoch: &[RecordBatch]) -> Result<Vec<Change>> {
        let adds = self.shape == Shape::Stream || (self.shape == Shape::Hash && !self.replace);
        let mut number = 0_u64;
        let mut batches = Vec::with_capacity(epoch.len());
        for rows in epoch {
            let before = number;
            number += rows.num_rows() as u64;
            batches.push((before, rows));
        }
        if adds {
            let changes = batches.into_iter().map(|(before, rows)| self.batch(rows, before, None));
            return Ok(changes.collect::<Result<Vec<_>>>()?.concat());
        }
        // from the last row to the first, so that the first of a key met is the one that counts
        let mut seen = HashSet::new();
        let mut pieces = Vec::with_capacity(batches.len());
        for (before, rows) in batches.into_iter().rev() {
            pieces.push(self.batch(rows, before, Some(&mut seen))?);
        }
        pieces.reverse();
        Ok(pieces.concat())
    }

    /// The key of each row.
    ///
    /// # Errors
    /// A type that has no text.
    pub(crate) fn keys(&self, rows: &RecordBatch) -> Result<Vec<Vec<u8>>> {
        self.key.keys(rows)
    }

    fn batch(&self, rows: &RecordBatch, before: u64, seen: Option<&mut HashSet<Vec<u8>>>) -> Result<Vec<Change>> {
        let keys = self.key.keys(rows)?;
        let counts: Vec<bool> = match seen {
            None => vec![true; keys.len()],
            Some(seen) => {
                let mut counts: Vec<bool> = keys.iter().rev().map(|key| seen.insert(key.clone())).collect();
                counts.reverse();
                counts
            }
        };
        let written = Written::new(self, rows)?;
        let mut changes = Vec::with_capacity(keys.len());
        for (row, key) in keys.iter().enumerate().filter(|(row, _)| counts[*row]) {
            written.row(row, key, before + row as u64, &mut changes);
        }
        Ok(changes)
    }
}

/// The column of shape `string`: the one that is named, or the only one that is not in the key.
fn value_column(table: &str, named: Option<&str>, schema: &SchemaRef, others: &[usize]) -> Result<usize> {
    match (named, others) {
        (Some(name), _) => match find(table, name, schema)?.as_slice() {
            [at] => Ok(*at),
            _ => Err(Error::invalid(format!("option 'value' of table '{table}' takes a column, not a field of one"))),
        },
        (None, [only]) => Ok(*only),
        (None, others) => Err(Error::invalid(format!(
            "table '{table}' has {} columns outside its key; shape 'string' writes one",
            others.len()
        ))
        .help("name it with option 'value', or use shape 'hash' or 'json'")),
    }
}

fn check(
    table: &str,
    option: &str,
    path: Option<&[usize]>,
    schema: &SchemaRef,
    fits: impl Fn(&DataType) -> bool,
    wanted: &str,
) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let mut of = schema.field(path[0]).data_type();
    for field in &path[1..] {
        if let DataType::Struct(fields) = of {
            of = fields[*field].data_type();
        }
    }
    if fits(of) {
        return Ok(());
    }
    let name = types::name(of);
    Err(Error::invalid(format!(
        "option '{option}' of table '{table}' names a column of type {name}; it must be {wanted}"
    )))
}

/// One batch, column by column.
struct Written<'a> {
    plan: &'a Plan,
    rows: &'a RecordBatch,
    names: Vec<&'a [u8]>,
    texts: Vec<Texts<'a>>,
    json: Payloads,
    delete: Option<BooleanArray>,
    /// Time to live in milliseconds.
    ttl: Option<Int64Array>,
    /// Milliseconds since 1970.
    expire_at: Option<Int64Array>,
}

impl<'a> Written<'a> {
    fn new(plan: &'a Plan, rows: &'a RecordBatch) -> Result<Self> {
        let mut json = Payloads::default();
        let written: Vec<usize> = plan.value.map_or_else(|| plan.columns.clone(), |value| vec![value]);
        if plan.shape == Shape::Json {
            let rows = rows.project(&written)?;
            JsonEncoder::new(rows.schema(), false)?.encode(&rows, &mut json)?;
        }
        let texts = match plan.shape {
            Shape::Json => Vec::new(),
            _ => written.iter().map(|at| Texts::new(rows.column(*at))).collect::<Result<_>>()?,
        };
        let schema = rows.schema_ref();
        let names = written.iter().map(|at| schema.field(*at).name().as_bytes()).collect();
        let delete = plan.delete.as_ref().map(|path| column(rows, path).as_boolean().clone());
        let ttl = plan.ttl_column.as_ref().map(|path| ttl_ms(&column(rows, path))).transpose()?;
        let expire_at = plan.expire_at.as_ref().map(|path| instant_ms(&column(rows, path))).transpose()?;
        Ok(Written { plan, rows, names, texts, json, delete, ttl, expire_at })
    }

    fn row(&self, row: usize, key: &[u8], number: u64, out: &mut Vec<Change>) {
        if self.plan.shape == Shape::Stream {
            let bound = self.plan.entries_max.map_or_else(String::new, |max| max.to_string());
            let mut entry = vec![number.to_string().into_bytes(), bound.into_bytes()];
            entry.extend(self.fields(row).0);
            // an entry has a field at least
            if entry.len() == 2 {
                entry.extend([Vec::new(), Vec::new()]);
            }
            out.push(Change::new(key, APPEND, entry));
        } else if self.deletes(row) {
            out.push(Change::new(key, "delete", Vec::new()));
            return;
        } else {
            self.value(row, key, out);
        }
        self.expiry(row, key, out);
    }

    fn value(&self, row: usize, key: &[u8], out: &mut Vec<Change>) {
        match self.plan.shape {
            Shape::Json => {
                let start = if row == 0 { 0 } else { self.json.ends[row - 1] };
                out.push(Change::new(key, "value", vec![self.json.data[start..self.json.ends[row]].to_vec()]));
            }
            Shape::Text => out.push(Change::new(key, "value", vec![self.texts[0].get(row).unwrap_or_default()])),
            Shape::Hash | Shape::Stream => {
                let (set, missing) = self.fields(row);
                if self.plan.replace {
                    let change =
                        if set.is_empty() { Change::new(key, "delete", set) } else { Change::new(key, "hash", set) };
                    out.push(change);
                    return;
                }
                if !set.is_empty() {
                    out.push(Change::new(key, "merge", set));
                }
                if !missing.is_empty() {
                    out.push(Change::new(key, "forget", missing));
                }
            }
        }
    }

    /// Names and values of the columns that are not NULL, and the names of the others.
    fn fields(&self, row: usize) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let (mut set, mut missing) = (Vec::with_capacity(2 * self.names.len()), Vec::new());
        for (name, texts) in self.names.iter().zip(&self.texts) {
            match texts.get(row) {
                Some(value) => set.extend([name.to_vec(), value]),
                None => missing.push(name.to_vec()),
            }
        }
        (set, missing)
    }

    /// True when the row says so, or has nothing but its key.
    fn deletes(&self, row: usize) -> bool {
        if self.delete.as_ref().is_some_and(|delete| delete.is_valid(row) && delete.value(row)) {
            return true;
        }
        let nothing =
            |columns: &[usize]| !columns.is_empty() && columns.iter().all(|at| self.rows.column(*at).is_null(row));
        match self.plan.value {
            Some(value) => nothing(&[value]),
            None => nothing(&self.plan.tombstone),
        }
    }

    fn expiry(&self, row: usize, key: &[u8], out: &mut Vec<Change>) {
        let fixed = self.plan.ttl.map(|ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
        let valid = |array: &Option<Int64Array>| {
            array.as_ref().filter(|array| array.is_valid(row)).map(|array| array.value(row))
        };
        if let Some(at) = valid(&self.expire_at) {
            let at = at.saturating_add(fixed.unwrap_or(0)).to_string();
            out.push(Change::new(key, "expire_at", vec![at.into_bytes()]));
        } else if let Some(ttl) = valid(&self.ttl).or(fixed) {
            out.push(Change::new(key, "expire", vec![ttl.to_string().into_bytes()]));
        }
    }
}

/// Times to live in milliseconds, from an interval or from seconds.
fn ttl_ms(array: &ArrayRef) -> Result<Int64Array> {
    if matches!(array.data_type(), DataType::Duration(_)) {
        let micros = array.as_primitive::<DurationMicrosecondType>();
        return Ok(micros.iter().map(|micros| micros.map(|micros| micros / MILLISECOND)).collect());
    }
    let seconds = cast(array, &DataType::Int64)?;
    Ok(seconds
        .as_primitive::<arrow::datatypes::Int64Type>()
        .iter()
        .map(|s| s.map(|s| s.saturating_mul(1_000)))
        .collect())
}

/// Instants in milliseconds; of a window, its end.
fn instant_ms(array: &ArrayRef) -> Result<Int64Array> {
    let ends;
    let array = match array.data_type() {
        DataType::Struct(_) => {
            ends = array.as_struct().column(1).clone();
            &ends
        }
        _ => array,
    };
    let micros = match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => array.clone(),
        _ => cast(array, &types::timestamp())?,
    };
    Ok(micros
        .as_primitive::<TimestampMicrosecondType>()
        .iter()
        .map(|at| at.map(|at| at.div_euclid(MILLISECOND)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::options::OPTIONS;
    use super::*;
    use crate::format::json::Json;
    use std::sync::Arc;
    use tidemill_core::format::Format as _;
    use tidemill_core::options::GivenOption;
    use tidemill_core::source::{Body, Chunk};
    use tidemill_core::types::parse_schema;

    fn changes(ddl: &str, json: &str, given: &[(&str, &str)]) -> Result<Vec<String>> {
        let schema: SchemaRef = Arc::new(parse_schema(ddl).unwrap());
        let chunk = Chunk { split: "s".into(), body: Body::Stream { bytes: json.to_owned().into(), at: 0 } };
        let rows = Json.decoder(schema.clone(), &Options::default()).unwrap().decode(&chunk).unwrap().rows;
        let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
        let options = Options::check("sink 'redis'", &[&OPTIONS[1..]], &given).unwrap();
        let changes = Plan::new("t", &options, &schema)?.changes(&[rows])?;
        Ok(changes
            .into_iter()
            .map(|change| {
                let words = [change.key, change.word.into()].into_iter().chain(change.arguments);
                words.map(|word| String::from_utf8(word).unwrap()).collect::<Vec<_>>().join(" ")
            })
            .collect())
    }

    const DDL: &str = "id INT, n BIGINT, at TIMESTAMP, tags ARRAY<STRING>";
    const ROWS: &str = r#"{"id":1,"n":5,"at":"2026-01-01T00:00:00.25Z","tags":["a"]}
{"id":2,"n":7}
{"id":1,"n":6}
{"id":3}"#;

    #[test]
    fn the_last_row_of_a_key_counts_and_one_with_nothing_else_deletes() {
        assert_eq!(
            changes(DDL, ROWS, &[("key", "k:{id}")]).unwrap(),
            ["k:2 hash id 2 n 7", "k:1 hash id 1 n 6", "k:3 delete"]
        );
        assert_eq!(
            changes(DDL, ROWS, &[("key", "k:{id}"), ("shape", "json")]).unwrap(),
            [r#"k:2 value {"id":2,"n":7}"#, r#"k:1 value {"id":1,"n":6}"#, "k:3 delete"]
        );
    }

    #[test]
    fn without_replace_fields_are_set_and_removed_row_by_row() {
        assert_eq!(
            changes(DDL, ROWS, &[("key", "k:{id}"), ("replace", "false")]).unwrap(),
            [
                r#"k:1 merge id 1 n 5 at 2026-01-01T00:00:00.250Z tags ["a"]"#,
                "k:2 merge id 2 n 7",
                "k:2 forget at tags",
                "k:1 merge id 1 n 6",
                "k:1 forget at tags",
                "k:3 delete"
            ]
        );
    }

    #[test]
    fn a_stream_has_an_entry_a_row_numbered_in_the_epoch() {
        let given = [("key", "s"), ("shape", "stream"), ("stream_entries_max", "9")];
        assert_eq!(
            changes("id INT", "{\"id\":1}\n{\"id\":2}", &given).unwrap(),
            ["s append 0 9 id 1", "s append 1 9 id 2"]
        );
    }

    #[test]
    fn keys_expire_after_a_time_of_their_row_or_at_an_instant() {
        let json = r#"{"id":1,"v":"x","s":3,"w":{"start":"1970-01-01T00:00:00Z","end":"1970-01-01T00:00:05Z"}}
{"id":2,"v":"y"}"#;
        let ddl = "id INT, v STRING, s INT, w STRUCT<start: TIMESTAMP, end: TIMESTAMP>";
        let base = [("key", "{id}"), ("shape", "string"), ("value", "v"), ("ttl", "10 seconds")];
        let with = |option| changes(ddl, json, &[&base[..], &[option]].concat()).unwrap();
        assert_eq!(with(("ttl_column", "s")), ["1 value x", "1 expire 3000", "2 value y", "2 expire 10000"]);
        assert_eq!(with(("expire_at", "w")), ["1 value x", "1 expire_at 15000", "2 value y", "2 expire 10000"]);
        assert!(changes(ddl, json, &[&base[..], &[("expire_at", "v")]].concat()).is_err());
    }

    #[test]
    fn a_column_says_which_rows_delete() {
        let given = [("key", "{id}"), ("shape", "string"), ("delete_column", "gone")];
        let json = "{\"id\":1,\"v\":\"x\",\"gone\":true}\n{\"id\":2,\"v\":\"y\",\"gone\":false}\n{\"id\":3}";
        assert_eq!(
            changes("id INT, v STRING, gone BOOLEAN", json, &given).unwrap(),
            ["1 delete", "2 value y", "3 delete"]
        );
    }
}
