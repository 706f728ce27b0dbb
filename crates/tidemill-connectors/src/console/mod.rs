//! The console sink: every epoch as a table, as Spark's console sink prints it. For trying things out.

mod show;

pub use show::grid;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::sink::{Marker, Sink, SinkConnector, SinkRequest};
use tidemill_core::{Epoch, Error, Result};

static DESCRIPTION: Description = Description {
    name: "console",
    role: Role::Sink,
    summary: "Prints the rows of every epoch as a table.",
    guarantee: Guarantee::AtLeastOnce,
    options: &[
        OptionSpec::new("num_rows", OptionKind::Integer, "most rows of an epoch to print").default("20"),
        OptionSpec::new("truncate", OptionKind::Boolean, "cut values to 20 characters").default("true"),
    ],
    example: "connector = 'console', num_rows = '50', truncate = 'false'",
};

/// Where the tables go; one writer may serve many sinks.
pub type Output = Arc<Mutex<dyn Write + Send>>;

/// The sink `console`.
pub struct Console {
    output: Output,
}

impl Console {
    /// A console that prints to `output`.
    pub fn new(output: Output) -> Self {
        Console { output }
    }
}

impl Default for Console {
    /// A console that prints to the standard output.
    fn default() -> Self {
        Console::new(Arc::new(Mutex::new(io::stdout())))
    }
}

#[async_trait]
impl SinkConnector for Console {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn names_columns(&self) -> bool {
        false
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let options = &request.options;
        let rows_max = usize::try_from(options.integer("num_rows").unwrap_or(20)).unwrap_or(usize::MAX);
        let truncate = options.boolean("truncate");
        Ok(Box::new(Printer { output: self.output.clone(), schema: request.schema, rows_max, truncate }))
    }
}

struct Printer {
    output: Output,
    schema: arrow::datatypes::SchemaRef,
    rows_max: usize,
    truncate: bool,
}

#[async_trait]
impl Sink for Printer {
    async fn marker(&mut self) -> Result<Marker> {
        Ok(Marker::Unsupported)
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        let text = show::table(epoch, &self.schema, rows, self.rows_max, self.truncate)?;
        let mut output = self.output.lock().map_err(|_| Error::bug("the console's output broke off"))?;
        let printed = output.write_all(text.as_bytes()).and_then(|()| output.flush());
        printed.map_err(|error| Error::io("cannot print to the console", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::json::Json;
    use tidemill_core::format::Format;
    use tidemill_core::options::GivenOption;
    use tidemill_core::sink::{OutputMode, Writer};
    use tidemill_core::source::{Body, Chunk};
    use tidemill_core::types::parse_schema;
    use tidemill_core::{Incarnation, Options};

    async fn printed(ddl: &str, json: &str, given: &[(&str, &str)]) -> String {
        let schema = Arc::new(parse_schema(ddl).unwrap());
        let chunk = Chunk { split: "s".into(), body: Body::Stream { bytes: json.to_owned().into(), at: 0 } };
        let decoded = Json.decoder(schema.clone(), &Options::default()).unwrap().decode(&chunk).unwrap();
        assert_eq!(decoded.rejects, []);
        let output = Arc::new(Mutex::new(Vec::new()));
        let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
        let request = SinkRequest {
            table: "out".into(),
            schema,
            mode: OutputMode::Append,
            options: Options::check("sink 'console'", &[DESCRIPTION.options], &given).unwrap(),
            format: None,
            writer: Writer { query: "q".into(), sink: "s".into(), incarnation: Incarnation("i".into()) },
        };
        let mut sink = Console::new(output.clone()).open(request).await.unwrap();
        assert_eq!(sink.marker().await.unwrap(), Marker::Unsupported);
        sink.commit(Epoch(7), &[decoded.rows]).await.unwrap();
        let bytes = output.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn a_table_looks_as_in_spark() {
        let ddl =
            "id INT, name STRING, at TIMESTAMP, d DOUBLE, a ARRAY<INT>, m MAP<STRING, INT>, s STRUCT<x: INT, y: DATE>";
        let json = r#"{"id":1,"name":"é","at":"2024-01-01T12:00:01","d":1e10,"a":[1,null],"m":{"k":2},"s":{"x":1,"y":"2024-01-01"}}
{"id":22,"name":"a name of more than twenty letters","d":0.5}"#;
        assert_eq!(
            printed(ddl, json, &[]).await,
            "\
-------------------------------------------
Batch: 7
-------------------------------------------
+---+--------------------+-------------------+------+---------+--------+---------------+
| id|                name|                 at|     d|        a|       m|              s|
+---+--------------------+-------------------+------+---------+--------+---------------+
|  1|                   é|2024-01-01 12:00:01|1.0E10|[1, NULL]|{k -> 2}|{1, 2024-01-01}|
| 22|a name of more th...|               NULL|   0.5|     NULL|    NULL|           NULL|
+---+--------------------+-------------------+------+---------+--------+---------------+

"
        );
    }

    #[tokio::test]
    async fn rows_and_letters_are_limited_as_asked() {
        let json = "{\"b\":\"aGk=\",\"s\":\"twenty-one letters are\"}\n{\"b\":\"aGk=\"}\n{\"b\":\"aGk=\"}";
        let text = printed("b BINARY, s STRING", json, &[("numRows", "2"), ("truncate", "false")]).await;
        assert!(
            text.ends_with(
                "|b      |s                     |\n\
             +-------+----------------------+\n\
             |[68 69]|twenty-one letters are|\n\
             |[68 69]|NULL                  |\n\
             +-------+----------------------+\n\
             only showing top 2 rows\n\n"
            ),
            "{text}"
        );
    }

    #[tokio::test]
    async fn an_epoch_without_rows_is_an_empty_table() {
        assert!(printed("a INT", "", &[]).await.ends_with("+---+\n|  a|\n+---+\n+---+\n\n"));
    }
}
