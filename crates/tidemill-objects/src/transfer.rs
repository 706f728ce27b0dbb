//! Files of this machine to objects and back. Large ones go in parts, so that memory holds a few of them only.

use crate::Objects;
use futures::StreamExt;
use object_store::{ObjectStoreExt, PutPayload};
use std::path::Path;
use tidemill_core::{Error, Kind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Files up to this size go in one request; larger ones in parts of it, in bytes.
const PART_BYTES: usize = 16 << 20;

impl Objects {
    /// Writes the object `name`, whose name nobody else uses, from a file: trying again changes nothing.
    ///
    /// # Errors
    /// The file cannot be read; the store does not answer.
    pub async fn put_file(&self, name: &str, file: &Path) -> Result<()> {
        let unread = |error| Error::io(format!("cannot read {}", file.display()), error);
        let mut from = tokio::fs::File::open(file).await.map_err(unread)?;
        let first = part(&mut from).await.map_err(unread)?;
        if first.len() < PART_BYTES {
            return self.put(name, first.into()).await;
        }
        let failed = |error: object_store::Error| self.failed("write", name, &error);
        let mut upload = self.store.put_multipart(&self.path(name)).await.map_err(failed)?;
        let mut next = first;
        let sent = loop {
            if next.is_empty() {
                break upload.complete().await.map(|_| ()).map_err(failed);
            }
            if let Err(error) = upload.put_part(PutPayload::from(next)).await {
                break Err(failed(error));
            }
            next = match part(&mut from).await {
                Ok(next) => next,
                Err(error) => break Err(unread(error)),
            };
        };
        if sent.is_err() {
            // what is left of it costs money only; the error that counts is the one before
            let _ = upload.abort().await;
        }
        sent
    }

    /// Writes what the object `name` holds into a file, and gives its length and CRC-32; `None` when there is no
    /// such object.
    ///
    /// # Errors
    /// The file cannot be written; the store does not answer, or breaks off.
    pub async fn bring_file(&self, name: &str, file: &Path) -> Result<Option<(u64, u32)>> {
        let got = match self.store.get(&self.path(name)).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed("read", name, &error)),
        };
        let unwritten = |error| Error::io(format!("cannot write {}", file.display()), error);
        let mut to = tokio::fs::File::create(file).await.map_err(unwritten)?;
        let (mut bytes, mut sum, size) = (0, crc32fast::Hasher::new(), got.meta.size);
        let mut stream = got.into_stream();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| self.failed("read", name, &error))?;
            to.write_all(&piece).await.map_err(unwritten)?;
            sum.update(&piece);
            bytes += piece.len() as u64;
        }
        to.sync_all().await.map_err(unwritten)?;
        if bytes != size {
            let place = self.place();
            return Err(Error::new(
                Kind::Again,
                format!("'{place}' broke off after {bytes} of {size} bytes of '{name}'"),
            ));
        }
        Ok(Some((bytes, sum.finalize())))
    }
}

/// The next part of a file; shorter only at its end.
async fn part(from: &mut tokio::fs::File) -> std::io::Result<Vec<u8>> {
    let mut part = Vec::new();
    from.take(PART_BYTES as u64).read_to_end(&mut part).await?;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;
    use object_store::path::Path as ObjectPath;
    use std::sync::Arc;

    #[tokio::test]
    async fn files_come_back_as_they_went_in_one_request_and_in_parts() {
        let directory = tempfile::tempdir().unwrap();
        let objects = Objects::new(Arc::new(InMemory::new()), ObjectPath::from("a"), "test");
        for length in [0, 7, PART_BYTES - 1, PART_BYTES, 2 * PART_BYTES + 5] {
            let content: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let (from, to) = (directory.path().join("from"), directory.path().join("to"));
            std::fs::write(&from, &content).unwrap();
            objects.put_file("x", &from).await.unwrap();
            let brought = objects.bring_file("x", &to).await.unwrap();
            assert_eq!(brought, Some((length as u64, crc32fast::hash(&content))), "{length}");
            assert!(std::fs::read(&to).unwrap() == content, "{length}");
        }
        assert_eq!(objects.bring_file("y", &directory.path().join("to")).await.unwrap(), None);
    }
}
