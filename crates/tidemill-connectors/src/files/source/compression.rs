//! Files that are compressed as a whole, by the ending of their name, as Spark tells them.

use bytes::Bytes;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use std::io::Read;
use tidemill_core::{Error, Kind, Result, ResultExt};

/// What a compressed file may come to, in bytes.
const CONTENT_BYTES_MAX: u64 = 2 << 30;

/// Endings of compressed files that are read, and how.
const KNOWN: &[(&str, FileCompressionType)] = &[
    ("gz", FileCompressionType::GZIP),
    ("bz2", FileCompressionType::BZIP2),
    ("zst", FileCompressionType::ZSTD),
    ("xz", FileCompressionType::XZ),
];

/// Endings of compressed files that are not read.
const UNKNOWN: &[&str] = &["deflate", "lz4", "lzo", "snappy", "zip"];

/// True when the file is compressed, so that it can only be read whole.
pub(super) fn is_compressed(name: &str) -> bool {
    let ending = ending(name);
    KNOWN.iter().any(|(known, _)| ending.eq_ignore_ascii_case(known)) || is_unknown(ending)
}

/// What the compressed file `name` holds; the bytes themselves of a file that is not compressed.
///
/// # Errors
/// A compression that is not known, a damaged file, one that holds too much.
pub(super) fn content(name: &str, bytes: Bytes) -> Result<Bytes> {
    let ending = ending(name);
    if is_unknown(ending) {
        let known: Vec<&str> = KNOWN.iter().map(|(known, _)| *known).collect();
        return Err(Error::new(Kind::Data, format!("'{name}' is compressed as .{ending}, which is not read"))
            .help(format!("compress files as one of: {}", known.join(", "))));
    }
    let Some((_, kind)) = KNOWN.iter().find(|(known, _)| ending.eq_ignore_ascii_case(known)) else { return Ok(bytes) };
    let damaged = || format!("'{name}' cannot be decompressed as .{ending}");
    let reader = kind.convert_read(std::io::Cursor::new(bytes)).context(Kind::Data, damaged)?;
    let mut content = Vec::new();
    reader.take(CONTENT_BYTES_MAX + 1).read_to_end(&mut content).map_err(|cause| {
        Error::new(Kind::Data, damaged())
            .help("put the whole file in its place, or start with a new checkpoint without it")
            .caused_by(cause)
    })?;
    if content.len() as u64 > CONTENT_BYTES_MAX {
        return Err(Error::new(Kind::Data, format!("'{name}' holds more than {CONTENT_BYTES_MAX} bytes"))
            .help("write smaller files: one that is compressed is read whole"));
    }
    Ok(content.into())
}

fn is_unknown(ending: &str) -> bool {
    UNKNOWN.iter().any(|unknown| ending.eq_ignore_ascii_case(unknown))
}

fn ending(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, ending)| ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_ending() {
        assert!(is_compressed("a/b.json.gz") && is_compressed("B.CSV.BZ2") && is_compressed("x.zst"));
        assert!(!is_compressed("a.snappy.parquet") && !is_compressed("gz") && !is_compressed("a.gz/b.json"));
        let plain = Bytes::from_static(b"{}");
        assert_eq!(content("a.json", plain.clone()).unwrap(), plain);
        let error = content("a.json.lz4", plain.clone()).unwrap_err();
        assert_eq!(error.to_string(), "'a.json.lz4' is compressed as .lz4, which is not read");
        let error = content("a.json.gz", plain).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (Kind::Data, "'a.json.gz' cannot be decompressed as .gz")
        );
    }

    #[test]
    fn a_file_cut_off_is_not_taken_for_a_whole_one() {
        // "hello\n" by gzip, and by zstd as a frame of raw bytes
        let gz: &[u8] =
            &[31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 203, 72, 205, 201, 201, 231, 2, 0, 32, 48, 58, 54, 6, 0, 0, 0];
        assert_eq!(content("a.gz", Bytes::from_static(gz)).unwrap(), "hello\n");
        for length in 1..gz.len() {
            assert!(content("a.gz", Bytes::from_static(&gz[..length])).is_err(), "{length}");
        }
    }
}
