//! Where a checkpoint is: a directory of this machine, or a folder in an object store with a working copy here.

use super::remote::Remote;
use super::remote::patience::Patience;
use crate::pipeline::settings::Settings;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidemill_core::options::GivenOption;
use tidemill_core::{Clock, Error, Result};
use tidemill_objects::{Objects, is_object_store};

/// Where working copies are unless the setting `checkpoint_copy` says so.
const COPIES: &str = ".tidemill/copies";

/// Where a checkpoint is.
#[derive(Debug, Clone)]
pub struct Place {
    /// The directory, or the working copy of what is in a store.
    pub directory: PathBuf,
    store: Option<Store>,
}

#[derive(Debug, Clone)]
struct Store {
    objects: Objects,
    settings: Settings,
}

impl From<PathBuf> for Place {
    fn from(directory: PathBuf) -> Self {
        Place { directory, store: None }
    }
}

impl Place {
    /// The checkpoint of a query at `location`: a path, or the URL of a folder in an object store, whose options are
    /// in `settings`. Nothing is read yet.
    ///
    /// # Errors
    /// A URL or an option that no store knows; options of a store for a directory.
    pub fn open(location: &str, query: &str, settings: &Settings) -> Result<Place> {
        if !is_object_store(location) {
            return match location.split_once("://") {
                None => Ok(PathBuf::from(location).into()),
                Some(("file", path)) => Ok(PathBuf::from(path).into()),
                Some((scheme, _)) => Err(Error::invalid(format!("the checkpoint '{location}' cannot be opened: {scheme}:// is no place for one"))
                    .help("write a path, or s3://bucket/path, abfss://container@account.dfs.core.windows.net/path, az://container/path, gs://bucket/path")),
            };
        }
        let given = settings.storage();
        let prefix = tidemill_objects::open::PREFIX;
        let options = given.iter().filter_map(|option| Some((option.key.strip_prefix(prefix)?, option.value.as_str())));
        let objects = Objects::open(location, options)?;
        // of two checkpoints of one name each has a copy of its own
        let own = format!("{query}-{:08x}", crc32fast::hash(location.as_bytes()));
        let copies = settings.checkpoint_copy().map_or_else(|| PathBuf::from(COPIES), PathBuf::from);
        Ok(Place { directory: copies.join(own), store: Some(Store { objects, settings: settings.clone() }) })
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        match &self.store {
            Some(store) => store.objects.place().to_owned(),
            None => self.directory.display().to_string(),
        }
    }

    /// The folder `name` in it, and the options a table needs to be there.
    pub fn below(&self, name: &str) -> (String, Vec<GivenOption>) {
        match &self.store {
            Some(store) => (store.objects.below(name).place().to_owned(), store.settings.storage()),
            None => (self.directory.join(name).display().to_string(), vec![]),
        }
    }

    /// What is in the store, if it is in one; the working copy is in `directory`.
    pub fn remote(&self, clock: &Arc<dyn Clock>, directory: &Path) -> Option<Remote> {
        let store = self.store.as_ref()?;
        let patience = Patience::new(clock.clone(), store.objects.place(), store.settings.checkpoint_timeout());
        Some(Remote::new(store.objects.clone(), directory, patience))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(given: &[(&str, &str)]) -> Settings {
        let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
        Settings::check(&given).unwrap()
    }

    #[test]
    fn a_directory_is_one_and_a_store_has_a_copy_here() {
        let place = Place::open("a/b", "q", &settings(&[])).unwrap();
        assert_eq!((place.name(), place.below("x").0), ("a/b".into(), "a/b/x".into()));
        let given = settings(&[("storage.aws_region", "eu-west-1"), ("checkpoint_copy", "/fast")]);
        let place = Place::open("s3://bucket/a", "q", &given).unwrap();
        assert!(place.directory.starts_with("/fast") && place.name() == "s3://bucket/a", "{place:?}");
        let (path, options) = place.below("dead_letters");
        assert_eq!((path.as_str(), options[0].key.as_str()), ("s3://bucket/a/dead_letters", "storage.aws_region"));
    }

    #[test]
    fn places_that_are_none_are_refused_and_no_secret_is_shown() {
        let error = Place::open("hdfs://host/a", "q", &settings(&[])).unwrap_err();
        assert!(error.to_string().contains("hdfs:// is no place"), "{error}");
        let given = settings(&[("storage.aws_secret_access_key", "hidden"), ("storage.azure_x", "1")]);
        assert!(!format!("{given:?}").contains("hidden"));
        let error = Place::open("s3://bucket/a", "q", &given).unwrap_err();
        assert!(error.to_string().contains("no option 'azure_x'"), "{error}");
    }
}
