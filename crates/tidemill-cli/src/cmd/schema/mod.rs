//! `tidemill schema`: schemas in a registry, which is a directory or a server with Confluent's API.

mod change;
mod compare;
mod draft;
mod infer;
mod lines;
mod look;
mod serve;

use crate::wiring;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use tidemill_connectors::schema_registry::{Access, Registry};
use tidemill_core::secret::Secret;
use tidemill_core::{Error, Result};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Schema {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Add a version to a subject; a schema that it has already stays the version it is.
    Register(change::Register),
    /// Print a schema.
    Get(look::Get),
    /// List the subjects, or the versions of one.
    List(look::List),
    /// Say whether a schema could be registered, and what it breaks if not. Exit code 78 when it could not.
    Check(compare::Check),
    /// Compare two versions of a subject, or a version and a file.
    Diff(compare::Diff),
    /// Say what a new version means for those who write and read: who must change first, what becomes of fields.
    EvolvePlan(compare::EvolvePlan),
    /// Show or set what new versions of a subject must keep.
    Compatibility(change::Level),
    /// Infer a schema from sample records: JSON, CSV, Parquet, Avro.
    Infer(infer::Infer),
    /// Serve a registry in a directory over HTTP, with Confluent's API.
    Serve(serve::Serve),
}

impl Schema {
    /// Runs the verb.
    pub fn run(self) -> Result<u8> {
        match self.verb {
            Verb::Register(verb) => verb.run(),
            Verb::Get(verb) => verb.run(),
            Verb::List(verb) => verb.run(),
            Verb::Check(verb) => verb.run(),
            Verb::Diff(verb) => verb.run(),
            Verb::EvolvePlan(verb) => verb.run(),
            Verb::Compatibility(verb) => verb.run(),
            Verb::Infer(verb) => verb.run(),
            Verb::Serve(verb) => verb.run(),
        }
    }
}

/// Where the registry is.
#[derive(Debug, Args)]
struct Place {
    /// Directory of the registry, or the http:// or https:// URL of a server; several URLs with commas between.
    #[arg(short, long, value_name = "PLACE", env = "TIDEMILL_SCHEMA_REGISTRY", hide_env_values = true)]
    registry: String,

    /// File of certificates to trust instead of the system's, PEM.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// User and password of a server, as user:password.
const USER_INFO: &str = "TIDEMILL_SCHEMA_REGISTRY_USER_INFO";
/// A bearer token of a server.
const TOKEN: &str = "TIDEMILL_SCHEMA_REGISTRY_TOKEN";

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Place {
    /// The registry, which must be there unless `is_new` allows to make it.
    fn opened(&self, is_new: bool) -> Result<Registry> {
        let clock = wiring::clock();
        if !Registry::is_url(&self.registry) {
            return if is_new { Registry::open(&self.registry, clock) } else { Registry::find(&self.registry, clock) };
        }
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut access = Access::at(&self.registry);
        if let Some(user_info) = variable(USER_INFO) {
            access = access.user_info(&user_info)?;
        }
        access.bearer = variable(TOKEN).map(Secret::new);
        access.ca = self.ca.clone();
        Registry::with(access, clock)
    }

    /// Asks the registry.
    fn ask<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
        wiring::choose_cryptography();
        wiring::runtime()?.block_on(work)
    }
}

fn json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::bug("it has no JSON").caused_by(error))?;
    crate::output::line(text);
    Ok(())
}
