//! The schemas of a registry, by the ids that payloads carry: looked up once each, before the payloads are decoded, and
//! kept as what a decoder makes of them.
//!
//! A registry that does not answer is waited for and then stops the query: its records are not bad. An id that it does
//! not know is asked for again for a while, since a replica may lag behind; then its records are bad.

use crate::schema_registry::of_table;
use crate::schema_registry::schemas::{SchemaText, Schemas};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::{Error, Kind, Options, Result};

/// The option that says how long an unknown id is asked for.
pub(crate) const SCHEMA_WAIT: OptionSpec = OptionSpec::new(
    "schema_wait",
    OptionKind::Duration,
    "how long a schema id that the registry does not know is asked for again before its records are bad; a registry that \
     does not answer stops the query instead",
)
.default("5 seconds");

/// Pauses between questions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pauses {
    /// For an id that is not known.
    pub unknown: Duration,
    /// For a registry that does not answer: the first, which doubles up to 25 times as much.
    pub away: Duration,
}

const PAUSES: Pauses = Pauses { unknown: Duration::from_millis(500), away: Duration::from_millis(200) };
/// How often a registry that does not answer is asked again, in about a minute.
const AWAY_TIMES_MAX: u32 = 16;
/// Ids that are remembered as unknown.
const MISSING_MAX: usize = 10_000;

/// What becomes of the records of an id.
#[derive(Debug)]
pub(crate) enum Known<P> {
    /// They can be read so.
    Plan(P),
    /// They cannot, and why.
    Useless(String),
}

/// What is known of the ids seen so far.
pub(crate) struct Registered<P> {
    schemas: Arc<dyn Schemas>,
    /// How often an id that is not known is asked for again.
    unknown_times_max: u32,
    pauses: Pauses,
    known: Mutex<BTreeMap<u32, Arc<Known<P>>>>,
    /// Ids that were waited for in vain. They are asked for once more with each batch they come in.
    missing: Mutex<BTreeSet<u32>>,
}

impl<P> Registered<P> {
    /// The registry that the options of a table name.
    ///
    /// # Errors
    /// They name none, or there is none.
    pub fn of_table(format: &str, options: &Options) -> Result<Self> {
        let schemas = of_table::to_read(options)?.ok_or_else(|| {
            Error::invalid(format!("format '{format}' with Confluent's framing needs the option 'schema_registry'"))
                .help("payloads carry the id of their schema; name the registry that knows it")
        })?;
        let wait = options.duration(SCHEMA_WAIT.name).unwrap_or_default();
        let times = wait.as_millis().div_ceil(PAUSES.unknown.as_millis());
        Ok(Registered::new(schemas, u32::try_from(times).unwrap_or(u32::MAX), PAUSES))
    }

    /// Of a registry, where an unknown id is asked for again so often.
    pub fn new(schemas: Arc<dyn Schemas>, unknown_times_max: u32, pauses: Pauses) -> Self {
        Registered { schemas, unknown_times_max, pauses, known: Mutex::default(), missing: Mutex::default() }
    }

    /// What is known of an id.
    pub fn get(&self, id: u32) -> Option<Arc<Known<P>>> {
        lock(&self.known).get(&id).cloned()
    }

    /// Looks up the ids that are not known yet; `plan` makes of a schema what the decoder needs, and says why it cannot.
    ///
    /// # Errors
    /// The registry does not answer, or refuses access.
    pub async fn learn(&self, ids: BTreeSet<u32>, plan: impl Fn(&SchemaText) -> Result<P>) -> Result<()> {
        let mut left: Vec<u32> = ids.into_iter().filter(|id| self.get(*id).is_none()).collect();
        let mut times = 0;
        loop {
            let mut unknown = Vec::new();
            for id in left {
                match self.ask(id).await? {
                    None => unknown.push(id),
                    Some(found) => {
                        let known = plan(&found).map_or_else(|why| Known::Useless(why.chain()), Known::Plan);
                        lock(&self.missing).remove(&id);
                        lock(&self.known).insert(id, Arc::new(known));
                    }
                }
            }
            let fresh = unknown.iter().any(|id| !lock(&self.missing).contains(id));
            if !fresh || times >= self.unknown_times_max {
                let mut missing = lock(&self.missing);
                if missing.len() > MISSING_MAX {
                    missing.clear();
                }
                missing.extend(unknown);
                return Ok(());
            }
            left = unknown;
            tokio::time::sleep(self.pauses.unknown).await;
            times += 1;
        }
    }

    /// Asks for one id; a registry that does not answer is asked again for a while.
    async fn ask(&self, id: u32) -> Result<Option<Arc<SchemaText>>> {
        let mut times = 0;
        loop {
            match self.schemas.by_id(id).await {
                Err(error) if error.kind() == Kind::Again && times < AWAY_TIMES_MAX => {
                    tracing::warn!(schema = id, error = error.chain(), "the schema registry does not answer");
                    tokio::time::sleep(self.pauses.away * (1u32 << times).min(25)).await;
                    times += 1;
                }
                answer => return answer,
            }
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
