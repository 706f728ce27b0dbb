//! Objects as readers see them: how long they are, when they were written and which writing it was.

use crate::Objects;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use std::ops::Range;
use tidemill_core::Result;

/// An object, as a listing or a read tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name in the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// When it was written, in microseconds since 1970.
    pub modified: i64,
    /// Which writing of it this is; `None` where the store does not tell.
    pub tag: Option<String>,
}

impl Objects {
    /// The objects in the folder, and if `deep` those in the folders below, too; otherwise the names of these folders
    /// are beside.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn objects(&self, deep: bool) -> Result<(Vec<Object>, Vec<String>)> {
        let folder = self.path("");
        let failed = |error| self.failed("list", "", &error);
        let (found, folders) = match deep {
            true => (self.store.list(Some(&folder)).try_collect().await.map_err(failed)?, Vec::new()),
            false => {
                let listed = self.store.list_with_delimiter(Some(&folder)).await.map_err(failed)?;
                (listed.objects, listed.common_prefixes)
            }
        };
        let folders = folders.iter().filter_map(|path| self.name_of(path)).collect();
        Ok((found.iter().filter_map(|meta| self.object(meta)).collect(), folders))
    }

    /// The object `name`; `None` when there is none.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn look(&self, name: &str) -> Result<Option<Object>> {
        match self.store.head(&self.path(name)).await {
            Ok(meta) => Ok(self.object(&meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look at", name, &error)),
        }
    }

    /// A part of the object `name`, and what the object is now; `None` when there is none. An empty part is not asked
    /// for.
    ///
    /// # Errors
    /// The store does not answer, or the object is shorter.
    pub async fn read_part(&self, name: &str, part: Range<u64>) -> Result<Option<(Bytes, Object)>> {
        if part.is_empty() {
            return Ok(self.look(name).await?.map(|object| (Bytes::new(), object)));
        }
        let options = GetOptions { range: Some(GetRange::Bounded(part)), ..GetOptions::default() };
        let got = match self.store.get_opts(&self.path(name), options).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed("read", name, &error)),
        };
        let object = self.object(&got.meta);
        let bytes = got.bytes().await.map_err(|error| self.failed("read", name, &error))?;
        Ok(object.map(|object| (bytes, object)))
    }

    fn object(&self, meta: &ObjectMeta) -> Option<Object> {
        Some(Object {
            name: self.name_of(&meta.location)?,
            bytes: meta.size,
            modified: meta.last_modified.timestamp_micros(),
            // Azure gives it with quotes when an object is read, and without when it is listed
            tag: meta.e_tag.as_deref().map(|tag| tag.trim_matches('"').to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use std::sync::Arc;

    #[tokio::test]
    async fn objects_are_listed_level_by_level_or_all_and_read_in_parts() {
        let objects = Objects::new(Arc::new(InMemory::new()), Path::from("a/b"), "memory:///a/b");
        for (name, content) in [("x", "0123456789"), ("below/y", "yy"), ("below/deep/z", "zzz")] {
            objects.put(name, Bytes::from_static(content.as_bytes())).await.unwrap();
        }
        let (here, folders) = objects.objects(false).await.unwrap();
        assert_eq!(here.iter().map(|object| (&*object.name, object.bytes)).collect::<Vec<_>>(), [("x", 10)]);
        assert_eq!(folders, ["below"]);
        let (mut all, folders) = objects.objects(true).await.unwrap();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(all.iter().map(|object| &*object.name).collect::<Vec<_>>(), ["below/deep/z", "below/y", "x"]);
        assert!(folders.is_empty());
        let (part, object) = objects.read_part("x", 3..7).await.unwrap().unwrap();
        assert_eq!((part, &object), (Bytes::from_static(b"3456"), &here[0]));
        let (nothing, object) = objects.read_part("x", 10..10).await.unwrap().unwrap();
        assert_eq!((nothing.len(), object), (0, here[0].clone()));
        assert_eq!(objects.look("z").await.unwrap(), None);
        assert_eq!(objects.read_part("z", 0..1).await.unwrap(), None);
    }
}
