//! A registry by its location: a directory, or a server with Confluent's API.

use super::client::{Access, HttpRegistry};
use super::compatibility::Compatibility;
use super::draft::{Draft, Registered};
use super::schemas::{SchemaText, Schemas};
use super::store::SchemaRegistry;
use async_trait::async_trait;
use std::sync::Arc;
use tidemill_core::{Clock, Error, Result};

/// A registry, wherever it is.
#[derive(Debug, Clone)]
pub enum Registry {
    /// In a directory.
    Files(SchemaRegistry),
    /// A server.
    Http(Arc<HttpRegistry>),
}

impl Registry {
    /// The registry at a location: a path or `file://` URL, made if it is not there, or an http:// or https:// URL, or
    /// several of these with commas between. A server is not asked yet.
    ///
    /// # Errors
    /// Another kind of URL, or a directory that cannot be made.
    pub fn open(location: &str, clock: Arc<dyn Clock>) -> Result<Registry> {
        match Registry::is_url(location) {
            true => Registry::with(Access::at(location), clock),
            false => Ok(Registry::Files(SchemaRegistry::open(location)?)),
        }
    }

    /// The same, but a directory must be a registry already.
    ///
    /// # Errors
    /// As [`Registry::open`]; there is none.
    pub fn find(location: &str, clock: Arc<dyn Clock>) -> Result<Registry> {
        match Registry::is_url(location) {
            true => Registry::with(Access::at(location), clock),
            false => Ok(Registry::Files(SchemaRegistry::find(location)?)),
        }
    }

    /// A server that is reached in this way.
    ///
    /// # Errors
    /// As [`HttpRegistry::new`].
    pub fn with(access: Access, clock: Arc<dyn Clock>) -> Result<Registry> {
        Ok(Registry::Http(Arc::new(HttpRegistry::new(access, clock)?)))
    }

    /// True for the location of a server.
    pub fn is_url(location: &str) -> bool {
        ["http://", "https://"].iter().any(|scheme| location.trim_start().starts_with(scheme))
    }

    /// Adds a version to a subject, or finds the one that has this schema.
    ///
    /// # Errors
    /// A schema that is not valid, or not compatible.
    pub async fn register(&self, subject: &str, draft: &Draft) -> Result<Registered> {
        match self {
            Registry::Files(files) => {
                let (subject, draft) = (subject.to_owned(), draft.clone());
                files.aside(move |files| Ok(files.register(&subject, &draft)?)).await
            }
            Registry::Http(http) => http.register(subject, draft).await,
        }
    }

    /// One version of a subject, the newest when none is named; `None` when there is none.
    ///
    /// # Errors
    /// The registry does not answer, or refuses access.
    pub async fn version(&self, subject: &str, version: Option<u32>) -> Result<Option<Registered>> {
        match self {
            Registry::Files(files) => {
                let subject = subject.to_owned();
                files
                    .aside(move |files| match version {
                        None => files.latest(&subject),
                        Some(version) if files.versions(&subject)?.contains(&version) => {
                            files.version(&subject, version).map(Some)
                        }
                        Some(_) => Ok(None),
                    })
                    .await
            }
            Registry::Http(http) => http.version(subject, version).await,
        }
    }

    /// The same, for those that cannot do without it.
    ///
    /// # Errors
    /// There is none.
    pub async fn existing(&self, subject: &str, version: Option<u32>) -> Result<Registered> {
        match (self.version(subject, version).await?, self, version) {
            (Some(found), _, _) => Ok(found),
            (None, Registry::Files(files), version) => files.version(subject, version.unwrap_or(1)),
            (None, Registry::Http(_), Some(version)) => {
                Err(Error::invalid(format!("subject '{subject}' has no version {version} in the schema registry")))
            }
            (None, Registry::Http(_), None) => {
                Err(Error::invalid(format!("there is no subject '{subject}' in the schema registry")))
            }
        }
    }

    /// The schema with an id, with a subject and version that have it; `None` when there is none.
    ///
    /// # Errors
    /// As [`Registry::version`].
    pub async fn registered(&self, id: u32) -> Result<Option<Registered>> {
        match self {
            Registry::Files(files) => files.aside(move |files| files.by_id(id)).await,
            Registry::Http(http) => http.registered(id).await,
        }
    }

    /// Versions of a subject, ascending; empty when there is no such subject.
    ///
    /// # Errors
    /// As [`Registry::version`].
    pub async fn versions(&self, subject: &str) -> Result<Vec<u32>> {
        match self {
            Registry::Files(files) => {
                let subject = subject.to_owned();
                files.aside(move |files| files.versions(&subject)).await
            }
            Registry::Http(http) => http.versions(subject).await,
        }
    }

    /// Names of all subjects, in order.
    ///
    /// # Errors
    /// As [`Registry::version`].
    pub async fn subjects(&self) -> Result<Vec<String>> {
        match self {
            Registry::Files(files) => files.aside(SchemaRegistry::subjects).await,
            Registry::Http(http) => http.subjects().await,
        }
    }

    /// What a schema would break of the versions of a subject that its level asks for, in words; empty when it could be
    /// registered.
    ///
    /// # Errors
    /// As [`Registry::version`]; a schema that is not valid.
    pub async fn problems(&self, subject: &str, draft: &Draft) -> Result<Vec<String>> {
        match self {
            Registry::Files(files) => {
                let (subject, draft) = (subject.to_owned(), draft.clone());
                let found = files.aside(move |files| files.problems(&subject, &draft)).await?;
                Ok(found.iter().map(ToString::to_string).collect())
            }
            Registry::Http(http) => http.problems(subject, draft).await,
        }
    }

    /// What new versions of a subject must keep.
    ///
    /// # Errors
    /// As [`Registry::version`].
    pub async fn compatibility(&self, subject: &str) -> Result<Compatibility> {
        match self {
            Registry::Files(files) => {
                let subject = subject.to_owned();
                files.aside(move |files| files.compatibility(&subject)).await
            }
            Registry::Http(http) => http.compatibility(subject).await,
        }
    }

    /// Sets it.
    ///
    /// # Errors
    /// As [`Registry::version`].
    pub async fn set_compatibility(&self, subject: &str, level: Compatibility) -> Result<()> {
        match self {
            Registry::Files(files) => {
                let subject = subject.to_owned();
                files.aside(move |files| files.set_compatibility(Some(&subject), level)).await
            }
            Registry::Http(http) => http.set_compatibility(subject, level).await,
        }
    }

    /// A schema with the text of those that it names.
    ///
    /// # Errors
    /// As [`Registry::version`]; one that it names is not there.
    pub async fn text(&self, draft: &Draft) -> Result<SchemaText> {
        match self {
            Registry::Files(files) => {
                let draft = draft.clone();
                files.aside(move |files| files.text(&draft)).await
            }
            Registry::Http(http) => http.text(draft).await,
        }
    }

    fn schemas(&self) -> &dyn Schemas {
        match self {
            Registry::Files(files) => files,
            Registry::Http(http) => http.as_ref(),
        }
    }
}

#[async_trait]
impl Schemas for Registry {
    async fn by_id(&self, id: u32) -> Result<Option<Arc<SchemaText>>> {
        self.schemas().by_id(id).await
    }

    async fn newest(&self, subject: &str) -> Result<Option<(u32, Arc<SchemaText>)>> {
        self.schemas().newest(subject).await
    }

    async fn register(&self, subject: &str, schema: &SchemaText) -> Result<u32> {
        self.schemas().register(subject, schema).await
    }
}
