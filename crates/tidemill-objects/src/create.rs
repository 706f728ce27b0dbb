//! Making an object if there is none. The answer of a store alone cannot be believed: a request that is sent
//! again after a lost answer meets its own object ("already exists"), and a time-out says nothing at all. So
//! whatever is not a plain yes is settled by reading the object back: its content says whose it is.

use crate::{Objects, open};
use bytes::Bytes;
use object_store::{ObjectStore, PutMode, PutOptions};
use tidemill_core::{Error, Kind, Result};

/// How often an object is tried to be made.
const TRIES_MAX: u32 = 8;

impl Objects {
    /// Makes the object `name` if there is none; false when another one is there. `content` must be such that
    /// nobody else can have written it: it carries a word of chance.
    ///
    /// # Errors
    /// The store refuses, or does not answer clearly in [`TRIES_MAX`] tries: then it may be there or not.
    pub async fn create(&self, name: &str, content: Bytes) -> Result<bool> {
        let path = self.path(name);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let mut wait = self.first_wait;
        let mut last = String::new();
        for _ in 0..TRIES_MAX {
            match self.store.put_opts(&path, content.clone().into(), options.clone()).await {
                Ok(_) => return Ok(true),
                Err(error) => match self.failed("make", name, &error) {
                    clear if matches!(clear.kind(), Kind::Denied | Kind::Invalid) => return Err(clear),
                    _ => last = open::without_queries(&error.to_string()),
                },
            }
            match self.read(name).await {
                Ok(Some(there)) => return Ok(there == content),
                Ok(None) => {}
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        let place = self.place();
        Err(Error::new(
            Kind::Again,
            format!("'{place}' did not say in {TRIES_MAX} tries whether '{name}' was made: {last}"),
        )
        .help("start again when the store answers: what was made is found then"))
    }
}
