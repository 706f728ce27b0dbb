//! What is written into a file: Parquet, Avro, or a line a row.

use ::parquet::arrow::ArrowWriter;
use ::parquet::file::properties::WriterProperties;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_avro::compression::CompressionCodec;
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroOcfFormat;
use std::io::{BufWriter, Write};
use tidemill_core::format::{Encoder, Payloads};
use tidemill_core::{Error, Kind, Result, ResultExt};

/// Writes rows into files of one kind.
pub(super) enum Contents {
    /// Apache Parquet.
    Parquet(Box<WriterProperties>),
    /// Avro object container files.
    Avro(Option<CompressionCodec>),
    /// A payload of the format a line, in files that end in `extension`.
    Lines {
        /// Makes the payloads.
        encoder: Box<dyn Encoder>,
        /// The format's name.
        extension: &'static str,
    },
}

impl Contents {
    /// How the files' names end.
    pub fn extension(&self) -> &'static str {
        match self {
            Contents::Parquet(_) => "parquet",
            Contents::Avro(_) => "avro",
            Contents::Lines { extension, .. } => extension,
        }
    }

    /// A column of a type that cannot be written is refused before the first row.
    ///
    /// # Errors
    /// There is one.
    pub fn check(&self, schema: &SchemaRef, table: &str) -> Result<()> {
        match self {
            Contents::Parquet(_) => ArrowWriter::try_new(Vec::new(), schema.clone(), None)
                .map(drop)
                .context(Kind::Invalid, || format!("sink '{table}' has a column that Parquet cannot hold")),
            Contents::Avro(_) => self
                .write(Vec::new(), schema, &[RecordBatch::new_empty(schema.clone())])
                .map(drop)
                .context(Kind::Invalid, || format!("sink '{table}' has a column that Avro cannot hold")),
            Contents::Lines { .. } => Ok(()),
        }
    }

    /// Writes the batches, whose columns are those of `schema`, and gives back how many rows they have.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write<W: Write + Send>(&self, file: W, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<u64> {
        let failed = |cause| Error::io("the rows could not be written", cause);
        match self {
            Contents::Parquet(properties) => {
                let context = || "the rows could not be written".to_owned();
                let writer = ArrowWriter::try_new(file, schema.clone(), Some((**properties).clone()));
                let mut writer = writer.context(Kind::Io, context)?;
                batches.iter().try_for_each(|batch| writer.write(batch)).context(Kind::Io, context)?;
                writer.finish().context(Kind::Io, context)?;
            }
            Contents::Avro(codec) => {
                let context = || "the rows could not be written".to_owned();
                let builder = WriterBuilder::new(schema.as_ref().clone()).with_compression(*codec);
                let mut writer = builder.build::<_, AvroOcfFormat>(BufWriter::new(file)).context(Kind::Io, context)?;
                batches.iter().try_for_each(|batch| writer.write(batch)).context(Kind::Io, context)?;
                writer.finish().context(Kind::Io, context)?;
                writer.into_inner().flush().map_err(failed)?;
            }
            Contents::Lines { encoder, .. } => {
                let mut file = BufWriter::new(file);
                if let Some(header) = encoder.header() {
                    file.write_all(&header).and_then(|()| file.write_all(b"\n")).map_err(failed)?;
                }
                let mut payloads = Payloads::default();
                for batch in batches {
                    encoder.encode(batch, &mut payloads)?;
                    for line in payloads.iter() {
                        file.write_all(line).and_then(|()| file.write_all(b"\n")).map_err(failed)?;
                    }
                    payloads.data.clear();
                    payloads.ends.clear();
                }
                file.flush().map_err(failed)?;
            }
        }
        Ok(batches.iter().map(|batch| batch.num_rows() as u64).sum())
    }
}
