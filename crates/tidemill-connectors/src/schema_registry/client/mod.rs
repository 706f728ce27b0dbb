//! A client of Confluent's schema registry API, which Confluent Platform and Cloud, Karapace, Apicurio (`/apis/ccompat/v7`)
//! and Redpanda have.
//!
//! A schema that was found by its id is kept, within a bound: an id never changes its meaning. A registry that does not
//! answer is asked again within `retry_timeout`, another of its URLs first, and never taken for one that has no such
//! schema. While most requests fail a breaker holds them back.
//!
//! | file | subject |
//! |---|---|
//! | `access.rs` | where the registry is, and how to be let in |
//! | `cache.rs` | schemas by id |
//! | `request.rs` | one request, tried until it is answered |
//! | `verdict.rs` | what an answer, or none, means |
//! | `wire.rs` | the JSON of the API; the server reads and writes the same |

mod access;
mod cache;
mod request;
mod verdict;
pub(super) mod wire;

pub use access::Access;

use super::compatibility::Compatibility;
use super::draft::{Draft, Reference, Registered};
use super::schemas::{SchemaKind, SchemaText, Schemas};
use async_trait::async_trait;
use cache::Cache;
use request::Courier;
use reqwest::Method;
use serde_json::{Value, json};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tidemill_core::retry::Vitals;
use tidemill_core::{Clock, Error, Result};
use verdict::Answer;
use wire::{Body, segment};

/// How deep schemas may name each other.
const REFERENCES_DEEP_MAX: usize = 32;

/// A registry that is asked over HTTP.
pub struct HttpRegistry {
    courier: Courier,
    cache: Mutex<Cache>,
}

impl fmt::Debug for HttpRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRegistry").field("at", &self.courier.shown()).finish_non_exhaustive()
    }
}

impl HttpRegistry {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// A URL that is none, or certificates that cannot be read.
    pub fn new(access: Access, clock: Arc<dyn Clock>) -> Result<HttpRegistry> {
        let cache = Mutex::new(Cache::new(access.schemas_max));
        Ok(HttpRegistry { courier: Courier::new(access, clock)?, cache })
    }

    /// Retries, and the state of the breaker.
    pub fn vitals(&self) -> Arc<Vitals> {
        self.courier.vitals()
    }

    /// Adds a version to a subject, or finds the one that has this schema.
    ///
    /// # Errors
    /// The registry does not take it: it says why.
    pub async fn register(&self, subject: &str, draft: &Draft) -> Result<Registered> {
        let path = format!("/subjects/{}", segment(subject));
        let body = wire::of_draft(draft);
        self.post(&format!("{path}/versions"), &body).await?;
        // some registries answer with no more than the id
        let found = self.post(&path, &body).await?;
        found.registered(subject, None)
    }

    /// One version of a subject, the newest when none is named; `None` when there is none.
    ///
    /// # Errors
    /// The registry does not answer, or refuses access.
    pub async fn version(&self, subject: &str, version: Option<u32>) -> Result<Option<Registered>> {
        let number = version.map_or_else(|| "latest".to_owned(), |version| version.to_string());
        let found = self.get::<Body>(&format!("/subjects/{}/versions/{number}", segment(subject))).await?;
        found.map(|body| body.registered(subject, version)).transpose()
    }

    /// The schema with an id, with a subject and version that have it; `None` when there is none.
    ///
    /// # Errors
    /// As [`HttpRegistry::version`].
    pub async fn registered(&self, id: u32) -> Result<Option<Registered>> {
        let Some(body) = self.get::<Body>(&format!("/schemas/ids/{id}")).await? else { return Ok(None) };
        let places: Option<Vec<Body>> = self.get(&format!("/schemas/ids/{id}/versions")).await?;
        let first = places.unwrap_or_default().into_iter().next().unwrap_or_default();
        let subject = first.subject.or_else(|| body.subject.clone()).unwrap_or_default();
        let version = first.version.or(body.version).or(Some(0));
        Body { id: Some(id), version, ..body }.registered(&subject, version).map(Some)
    }

    /// Versions of a subject, ascending; empty when there is no such subject.
    ///
    /// # Errors
    /// As [`HttpRegistry::version`].
    pub async fn versions(&self, subject: &str) -> Result<Vec<u32>> {
        Ok(self.get(&format!("/subjects/{}/versions", segment(subject))).await?.unwrap_or_default())
    }

    /// Names of all subjects.
    ///
    /// # Errors
    /// As [`HttpRegistry::version`].
    pub async fn subjects(&self) -> Result<Vec<String>> {
        let mut subjects: Vec<String> = self.get("/subjects").await?.unwrap_or_default();
        subjects.sort();
        Ok(subjects)
    }

    /// What a schema would break of the versions of a subject, in the registry's words; empty when nothing, or when
    /// there is no such subject.
    ///
    /// # Errors
    /// As [`HttpRegistry::version`]; a schema that is not valid.
    pub async fn problems(&self, subject: &str, draft: &Draft) -> Result<Vec<String>> {
        let path = format!("/compatibility/subjects/{}/versions", segment(subject));
        let body = wire::of_draft(draft);
        let found = match self.ask(Method::POST, &format!("{path}?verbose=true"), Some(&body)).await? {
            Some(found) => found,
            // registries that compare with one version only
            None => match self.ask(Method::POST, &format!("{path}/latest?verbose=true"), Some(&body)).await? {
                Some(found) => found,
                None => return Ok(Vec::new()),
            },
        };
        let messages = found.get("messages").and_then(Value::as_array);
        let messages: Vec<String> = messages
            .into_iter()
            .flatten()
            .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
            .collect();
        match found.get("is_compatible").and_then(Value::as_bool) {
            Some(true) => Ok(Vec::new()),
            Some(false) if messages.is_empty() => Ok(vec!["the registry says that it is not compatible".to_owned()]),
            Some(false) => Ok(messages),
            None => Err(self.courier.nonsense(&path, &found.to_string())),
        }
    }

    /// What new versions of a subject must keep.
    ///
    /// # Errors
    /// As [`HttpRegistry::version`]; a level that is not known here.
    pub async fn compatibility(&self, subject: &str) -> Result<Compatibility> {
        for path in [format!("/config/{}", segment(subject)), "/config".to_owned()] {
            let found: Option<Value> = self.get(&path).await?;
            let level = found.as_ref().and_then(|found| found.get("compatibilityLevel")).and_then(Value::as_str);
            if let Some(level) = level {
                return Compatibility::parse(level);
            }
        }
        Ok(Compatibility::default())
    }

    /// Sets it.
    ///
    /// # Errors
    /// The registry does not do it: it says why.
    pub async fn set_compatibility(&self, subject: &str, level: Compatibility) -> Result<()> {
        let path = format!("/config/{}", segment(subject));
        self.ask(Method::PUT, &path, Some(&json!({"compatibility": level.word()}))).await?;
        Ok(())
    }

    /// A schema with the text of those that it names.
    ///
    /// # Errors
    /// As [`HttpRegistry::version`]; one that it names is not there.
    pub async fn text(&self, draft: &Draft) -> Result<SchemaText> {
        self.text_within(draft.clone(), 0).await
    }

    async fn text_within(&self, draft: Draft, depth: usize) -> Result<SchemaText> {
        if depth > REFERENCES_DEEP_MAX {
            return Err(Error::invalid(format!("schemas name each other deeper than {REFERENCES_DEEP_MAX}")));
        }
        let mut references = Vec::with_capacity(draft.references.len());
        for Reference { name, subject, version } in &draft.references {
            // a version that is deleted still serves those that name it
            let path = format!("/subjects/{}/versions/{version}?deleted=true", segment(subject));
            let Some(named) = self.get::<Body>(&path).await? else {
                let what = format!("the reference '{name}' names version {version} of '{subject}', which is not there");
                return Err(Error::invalid(what));
            };
            let named = named.registered(subject, Some(*version))?.draft();
            let text = Box::pin(self.text_within(named, depth + 1)).await?;
            references.push((name.clone(), Arc::new(text)));
        }
        Ok(SchemaText { kind: draft.kind, text: draft.text, references })
    }

    /// Registers a schema, and before it those that it names, each under its name as the subject.
    ///
    /// # Errors
    /// As [`HttpRegistry::register`].
    pub async fn register_text(&self, subject: &str, schema: &SchemaText) -> Result<Registered> {
        let mut references = Vec::with_capacity(schema.references.len());
        for (name, named) in &schema.references {
            let Registered { subject, version, .. } = Box::pin(self.register_text(name, named)).await?;
            references.push(Reference { name: name.clone(), subject, version });
        }
        self.register(subject, &Draft { kind: schema.kind, text: schema.text.clone(), references }).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Body> {
        match self.ask(Method::POST, path, Some(body)).await? {
            Some(answer) => self.read(path, answer),
            None => Err(self.courier.nonsense(path, "that there is nothing")),
        }
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        self.ask(Method::GET, path, None).await?.map(|answer| self.read(path, answer)).transpose()
    }

    fn read<T: serde::de::DeserializeOwned>(&self, path: &str, answer: Value) -> Result<T> {
        let said = answer.to_string();
        serde_json::from_value(answer).map_err(|_| self.courier.nonsense(path, &said))
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Option<Value>> {
        Ok(match self.courier.ask(method, path, body).await? {
            Answer::Said(value) => Some(value),
            Answer::Nothing => None,
        })
    }
}

#[async_trait]
impl Schemas for HttpRegistry {
    async fn by_id(&self, id: u32) -> Result<Option<Arc<SchemaText>>> {
        if let Some(known) = locked(&self.cache).get(id) {
            return Ok(Some(known));
        }
        let Some(body) = self.get::<Body>(&format!("/schemas/ids/{id}")).await? else { return Ok(None) };
        let draft = Body { id: Some(id), version: Some(0), ..body }.registered("", None)?.draft();
        let text = Arc::new(self.text(&draft).await?);
        locked(&self.cache).put(id, text.clone());
        Ok(Some(text))
    }

    async fn newest(&self, subject: &str) -> Result<Option<(u32, Arc<SchemaText>)>> {
        let Some(found) = self.version(subject, None).await? else { return Ok(None) };
        if let Some(known) = locked(&self.cache).get(found.id) {
            return Ok(Some((found.id, known)));
        }
        let text = Arc::new(self.text(&found.draft()).await?);
        locked(&self.cache).put(found.id, text.clone());
        Ok(Some((found.id, text)))
    }

    async fn register(&self, subject: &str, schema: &SchemaText) -> Result<u32> {
        Ok(self.register_text(subject, schema).await?.id)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kinds by the words of the API; Avro when there is none.
fn kind(word: Option<&str>) -> Result<SchemaKind> {
    word.map_or(Ok(SchemaKind::Avro), SchemaKind::parse)
}
