//! Files of rows of state: Parquet, or a line of JSON a row, as the name of the file ends.

use arrow::datatypes::SchemaRef;
use arrow::json::reader::ReaderBuilder;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use tidemill_core::{Error, Kind, Result, ResultExt};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Parquet,
    Json,
}

fn form(path: &Path) -> Result<Form> {
    match path.extension().map(|end| end.to_string_lossy().to_lowercase()).as_deref() {
        Some("parquet") => Ok(Form::Parquet),
        Some("json" | "jsonl" | "ndjson") => Ok(Form::Json),
        _ => Err(Error::new(Kind::Usage, format!("what kind of file is {}?", path.display()))
            .help("its name ends in .parquet, .json or .jsonl")),
    }
}

type JsonWriter = arrow::json::writer::Writer<BufWriter<File>, LineDelimited>;

/// Writes rows to a file that is there only when it is whole.
pub struct Writer {
    path: PathBuf,
    partial: PathBuf,
    form: Form,
    parquet: Option<ArrowWriter<File>>,
    json: Option<JsonWriter>,
    rows: u64,
}

impl Writer {
    /// A file of this name.
    pub fn new(path: &Path) -> Result<Writer> {
        let partial = path.with_file_name(format!(".{}.part", path.file_name().unwrap_or_default().to_string_lossy()));
        Ok(Writer { path: path.to_owned(), partial, form: form(path)?, parquet: None, json: None, rows: 0 })
    }

    fn create(&self) -> Result<File> {
        File::create(&self.partial).map_err(|error| Error::io(format!("cannot write {}", self.path.display()), error))
    }

    /// Adds rows.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let failed = || format!("cannot write {}", self.path.display());
        match self.form {
            Form::Parquet => {
                if self.parquet.is_none() {
                    let writer = ArrowWriter::try_new(self.create()?, rows.schema(), None);
                    self.parquet = Some(writer.context(Kind::Io, failed)?);
                }
                if let Some(writer) = &mut self.parquet {
                    writer.write(rows).context(Kind::Io, || format!("cannot write {}", self.path.display()))?;
                }
            }
            Form::Json => {
                if self.json.is_none() {
                    let file = BufWriter::new(self.create()?);
                    self.json = Some(WriterBuilder::new().with_explicit_nulls(true).build(file));
                }
                if let Some(writer) = &mut self.json {
                    writer.write(rows).context(Kind::Io, || format!("cannot write {}", self.path.display()))?;
                }
            }
        }
        self.rows += rows.num_rows() as u64;
        Ok(())
    }

    /// Ends the file, which has these columns even when it has no rows; gives how many it has.
    pub fn finish(mut self, schema: &SchemaRef) -> Result<u64> {
        if self.rows == 0 {
            self.write(&RecordBatch::new_empty(schema.clone()))?;
        }
        let failed = || format!("cannot write {}", self.path.display());
        if let Some(writer) = self.parquet.take() {
            writer.close().context(Kind::Io, failed)?;
        }
        if let Some(mut writer) = self.json.take() {
            writer.finish().context(Kind::Io, failed)?;
            writer.into_inner().into_inner().map_err(|error| Error::io(failed(), error.into_error()))?;
        }
        let named = File::open(&self.partial)
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(&self.partial, &self.path));
        named.map_err(|error| Error::io(failed(), error))?;
        Ok(self.rows)
    }
}

/// The rows of a file; lines of JSON are read as these columns, and may have no others.
///
/// # Errors
/// A file that is not what its name says; a line that does not fit.
pub fn read(path: &Path, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let form = form(path)?;
    let file = File::open(path).map_err(|error| {
        let kind = if error.kind() == std::io::ErrorKind::NotFound { Kind::Usage } else { Kind::Io };
        Error::new(kind, format!("cannot read {}", path.display())).caused_by(error)
    })?;
    let failed = || format!("{} cannot be read as rows of this state", path.display());
    match form {
        Form::Parquet => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build());
            let rows = reader.context(Kind::Invalid, failed)?;
            rows.map(|rows| rows.context(Kind::Invalid, failed)).collect()
        }
        Form::Json => {
            let builder = ReaderBuilder::new(schema.clone()).with_strict_mode(true);
            let rows = builder.build(BufReader::new(file)).context(Kind::Invalid, failed)?;
            rows.map(|rows| rows.context(Kind::Invalid, failed)).collect()
        }
    }
}
