//! An epoch's rows as requests.

use super::key::Keys;
use super::options::Shape;
use crate::format::json::encode::JsonEncoder;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use std::ops::Range;
use tidemill_core::format::{Encoder, Payloads};
use tidemill_core::sink::{OutputMode, SinkRequest, Writer};
use tidemill_core::{Epoch, Error, Result};

/// A request, but for what all have in common.
pub(super) struct Letter {
    /// What tells it apart, the same whenever it is sent.
    pub(super) key: String,
    pub(super) body: Bytes,
    /// What it holds, for messages.
    pub(super) what: String,
}

/// Makes the requests of epochs.
pub(super) struct Bodies {
    encoder: Box<dyn Encoder>,
    shape: Shape,
    /// All rows in one request, in the order of the query: the result replaces the one before.
    is_complete: bool,
    rows_max: usize,
    bytes_max: usize,
    writer: Writer,
}

impl Bodies {
    /// For the rows of a table.
    ///
    /// # Errors
    /// A format that does not write, or does not fit the shape.
    pub(super) fn new(request: &SinkRequest, shape: Shape) -> Result<Self> {
        let (table, options) = (&request.table, &request.options);
        let is_complete = request.mode == OutputMode::Complete;
        if is_complete && shape == Shape::Row {
            return Err(Error::invalid(format!(
                "table '{table}': a complete result replaces the one before, which requests of one row cannot say"
            ))
            .help("set body = 'array' for one request an epoch, or use output mode append or update"));
        }
        let encoder = match &request.format {
            None => Box::new(JsonEncoder::new(request.schema.clone(), false)?),
            Some(format) => {
                let name = format.describe().name;
                if shape != Shape::Row && name != "json" {
                    return Err(Error::invalid(format!("table '{table}': a batch is JSON, not '{name}'"))
                        .help("set format = 'json', or body = 'row'"));
                }
                format
                    .encoder(request.schema.clone(), options)?
                    .ok_or_else(|| Error::invalid(format!("format '{name}' only reads; table '{table}' writes")))?
            }
        };
        let limit = |given: Option<u64>| given.map_or(usize::MAX, |given| usize::try_from(given).unwrap_or(usize::MAX));
        Ok(Bodies {
            encoder,
            shape,
            is_complete,
            rows_max: limit(options.integer("batch_rows")).max(1),
            bytes_max: limit(options.bytes("batch_bytes")),
            writer: request.writer.clone(),
        })
    }

    /// Makes known what readers of the bodies need; called before the first rows.
    ///
    /// # Errors
    /// As [`Encoder::prepare`].
    pub async fn prepare(&self) -> Result<()> {
        self.encoder.prepare().await
    }

    /// The requests of an epoch.
    ///
    /// # Errors
    /// Rows that cannot be encoded.
    pub(super) fn letters(&self, epoch: Epoch, rows: &[RecordBatch]) -> Result<Vec<Letter>> {
        let mut payloads = Payloads::default();
        rows.iter().try_for_each(|batch| self.encoder.encode(batch, &mut payloads))?;
        let mut keys = Keys::new(&self.writer, epoch);
        let mut letter = |body: Vec<u8>, what: String| {
            let key = keys.next(&body);
            Letter { what: format!("{what} of epoch {epoch}"), key, body: body.into() }
        };
        let payloads: Vec<&[u8]> = payloads.iter().collect();
        if self.shape == Shape::Row {
            let rows = payloads.iter().enumerate();
            return Ok(rows.map(|(at, row)| letter(row.to_vec(), format!("row {}", at + 1))).collect());
        }
        if self.is_complete {
            return Ok(vec![letter(self.joined(&payloads), format!("the {} rows", payloads.len()))]);
        }
        let mut sorted = payloads;
        // when the epoch is sent again, its rows may come in another order
        sorted.sort_unstable();
        let batches = cuts(&sorted, self.rows_max, self.bytes_max);
        let count = batches.len();
        let batches = batches.into_iter().enumerate();
        Ok(batches
            .map(|(at, range)| {
                let what = format!("batch {} of {count} ({} rows)", at + 1, range.len());
                letter(self.joined(&sorted[range]), what)
            })
            .collect())
    }

    fn joined(&self, rows: &[&[u8]]) -> Vec<u8> {
        match self.shape {
            Shape::Array => [b"[", rows.join(&b","[..]).as_slice(), b"]"].concat(),
            Shape::Row | Shape::Lines => rows.iter().flat_map(|row| [*row, b"\n"]).collect::<Vec<_>>().concat(),
        }
    }
}

/// Where batches begin and end: full ones first, none empty.
fn cuts(rows: &[&[u8]], rows_max: usize, bytes_max: usize) -> Vec<Range<usize>> {
    let mut cuts = Vec::new();
    let (mut start, mut bytes) = (0, 0_usize);
    for (at, row) in rows.iter().enumerate() {
        // one more for what separates rows
        let size = row.len() + 1;
        if at > start && (at - start >= rows_max || bytes.saturating_add(size) > bytes_max) {
            cuts.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    if start < rows.len() {
        cuts.push(start..rows.len());
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::super::options::OPTIONS;
    use super::*;
    use arrow::array::{Int64Array, RecordBatch};
    use std::sync::Arc;
    use tidemill_core::options::GivenOption;
    use tidemill_core::types::parse_schema;
    use tidemill_core::{Incarnation, Options};

    fn request(mode: OutputMode, given: &[(&str, &str)]) -> SinkRequest {
        let given: Vec<_> =
            [("url", "http://a")].iter().chain(given).map(|(key, value)| GivenOption::new(*key, *value)).collect();
        SinkRequest {
            table: "t".into(),
            schema: Arc::new(parse_schema("id BIGINT").unwrap()),
            mode,
            options: Options::check("sink 'http'", &[OPTIONS], &given).unwrap(),
            format: None,
            writer: Writer { query: "q".into(), sink: "s".into(), incarnation: Incarnation("i".into()) },
        }
    }

    fn letters(mode: OutputMode, shape: Shape, given: &[(&str, &str)], ids: &[i64]) -> Vec<Letter> {
        let request = request(mode, given);
        let rows = ids.iter().map(|id| {
            let column = Arc::new(Int64Array::from(vec![*id]));
            RecordBatch::try_new(request.schema.clone(), vec![column]).unwrap()
        });
        Bodies::new(&request, shape).unwrap().letters(Epoch(3), &rows.collect::<Vec<_>>()).unwrap()
    }

    fn texts(letters: &[Letter]) -> Vec<&str> {
        letters.iter().map(|letter| std::str::from_utf8(&letter.body).unwrap()).collect()
    }

    #[test]
    fn rows_go_in_their_order_and_equal_ones_have_keys_of_their_own() {
        let letters = letters(OutputMode::Append, Shape::Row, &[], &[2, 1, 2]);
        assert_eq!(texts(&letters), ["{\"id\":2}", "{\"id\":1}", "{\"id\":2}"]);
        assert_eq!(letters[2].what, "row 3 of epoch 3");
        assert!(letters[0].key.ends_with("/0") && letters[2].key.ends_with("/1"));
        assert_ne!(letters[0].key, letters[2].key);
    }

    #[test]
    fn batches_are_the_same_in_whatever_order_rows_come() {
        let given = &[("batch_rows", "2")];
        let one = letters(OutputMode::Update, Shape::Array, given, &[3, 1, 2]);
        let other = letters(OutputMode::Update, Shape::Array, given, &[2, 3, 1]);
        assert_eq!(texts(&one), ["[{\"id\":1},{\"id\":2}]", "[{\"id\":3}]"]);
        assert_eq!(texts(&one), texts(&other));
        let keys = |letters: &[Letter]| letters.iter().map(|letter| letter.key.clone()).collect::<Vec<_>>();
        assert_eq!(keys(&one), keys(&other));
        assert_eq!(one[0].what, "batch 1 of 2 (2 rows) of epoch 3");
        let lines = letters(OutputMode::Append, Shape::Lines, &[("batch_bytes", "20")], &[1, 2, 3]);
        assert_eq!(texts(&lines), ["{\"id\":1}\n{\"id\":2}\n", "{\"id\":3}\n"]);
    }

    #[test]
    fn a_complete_result_is_one_request_in_its_order_even_when_it_is_empty() {
        let given = &[("batch_rows", "1")];
        let all = letters(OutputMode::Complete, Shape::Array, given, &[3, 1, 2]);
        assert_eq!(texts(&all), ["[{\"id\":3},{\"id\":1},{\"id\":2}]"]);
        assert_eq!(texts(&letters(OutputMode::Complete, Shape::Array, given, &[])), ["[]"]);
        assert!(Bodies::new(&request(OutputMode::Complete, &[]), Shape::Row).is_err());
    }
}
