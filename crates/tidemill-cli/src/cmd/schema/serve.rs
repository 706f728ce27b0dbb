//! `tidemill schema serve`: a registry in a directory over HTTP, until it is stopped.

use crate::{output, wiring};
use clap::Args;
use std::path::{Path, PathBuf};
use tidemill_connectors::schema_registry::{SchemaRegistry, ServeOptions, Served};
use tidemill_core::secret::Secret;
use tidemill_core::{Error, Kind, Result};

#[derive(Debug, Args)]
pub struct Serve {
    /// Directory of the registry; made when it is not there.
    directory: String,

    /// Address and port to listen on; port 0 takes a free one. Beyond this machine users must be named.
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDRESS")]
    listen: String,

    /// File with users who may ask, user:password on each line. Without it everybody on this machine may.
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
}

impl Serve {
    pub fn run(self) -> Result<u8> {
        let users = self.users.as_deref().map(users).transpose()?.unwrap_or_default();
        let registry = SchemaRegistry::open(&self.directory)?;
        let options = ServeOptions { listen: self.listen, users };
        wiring::runtime()?.block_on(async {
            let mut signals = wiring::Signals::new()?;
            let served = Served::bind(registry, &options).await?;
            output::line(format!("serving {} at http://{}", self.directory, served.address()));
            tokio::select! {
                () = served.run() => {}
                () = signals.next() => {}
            }
            Ok(0)
        })
    }
}

fn users(path: &Path) -> Result<Vec<(String, Secret)>> {
    let text = std::fs::read_to_string(path).map_err(|cause| {
        let kind = if cause.kind() == std::io::ErrorKind::NotFound { Kind::Usage } else { Kind::Io };
        Error::new(kind, format!("cannot read the users in {}", path.display())).caused_by(cause)
    })?;
    let mut users = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Some((user, password)) = line.trim().split_once(':') else {
            return Err(Error::invalid(format!("line {} of {} is not user:password", number + 1, path.display())));
        };
        users.push((user.to_owned(), Secret::new(password)));
    }
    match users.is_empty() {
        true => Err(Error::invalid(format!("{} names no user", path.display()))),
        false => Ok(users),
    }
}
