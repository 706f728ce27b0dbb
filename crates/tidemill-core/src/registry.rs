//! The components a program knows, by name. Built once in the program's `main` and handed to the
//! engine; there is no global one.

use crate::describe::Description;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::function::ScalarFunction;
use crate::nearest::nearest;
use crate::schemas::SchemaStore;
use crate::sink::SinkConnector;
use crate::source::SourceConnector;
use crate::state::StateBackend;
use std::sync::Arc;

/// Sources, sinks, formats and functions, by name.
#[derive(Clone, Default)]
pub struct Registry {
    sources: Vec<Arc<dyn SourceConnector>>,
    sinks: Vec<Arc<dyn SinkConnector>>,
    formats: Vec<Arc<dyn Format>>,
    functions: Vec<Arc<dyn ScalarFunction>>,
    schemas: Option<Arc<dyn SchemaStore>>,
    state_backends: Vec<Arc<dyn StateBackend>>,
}

impl Registry {
    /// Adds a source.
    pub fn add_source(&mut self, source: impl SourceConnector + 'static) {
        self.sources.push(Arc::new(source));
    }

    /// Adds a sink.
    pub fn add_sink(&mut self, sink: impl SinkConnector + 'static) {
        self.sinks.push(Arc::new(sink));
    }

    /// Adds a format.
    pub fn add_format(&mut self, format: impl Format + 'static) {
        self.formats.push(Arc::new(format));
    }

    /// Adds a function.
    pub fn add_function(&mut self, function: impl ScalarFunction + 'static) {
        self.functions.push(Arc::new(function));
    }

    /// Sets where registered schemas are found.
    pub fn set_schemas(&mut self, schemas: impl SchemaStore + 'static) {
        self.schemas = Some(Arc::new(schemas));
    }

    /// Where registered schemas are found.
    ///
    /// # Errors
    /// This program has no schema registry.
    pub fn schemas(&self) -> Result<&Arc<dyn SchemaStore>> {
        self.schemas.as_ref().ok_or_else(|| Error::invalid("this program has no schema registry"))
    }

    /// The source called `name`.
    ///
    /// # Errors
    /// No such source; names the nearest, and says when there is a sink of that name.
    pub fn source(&self, name: &str) -> Result<Arc<dyn SourceConnector>> {
        let known = self.sources.iter().find(|source| source.describe().name.eq_ignore_ascii_case(name));
        known.cloned().ok_or_else(|| {
            let is_sink = self.sinks.iter().any(|sink| sink.describe().name.eq_ignore_ascii_case(name));
            unknown("source", name, is_sink.then_some("sink"), self.sources.iter().map(|source| source.describe().name))
        })
    }

    /// The sink called `name`.
    ///
    /// # Errors
    /// No such sink; names the nearest, and says when there is a source of that name.
    pub fn sink(&self, name: &str) -> Result<Arc<dyn SinkConnector>> {
        let known = self.sinks.iter().find(|sink| sink.describe().name.eq_ignore_ascii_case(name));
        known.cloned().ok_or_else(|| {
            let is_source = self.sources.iter().any(|source| source.describe().name.eq_ignore_ascii_case(name));
            unknown("sink", name, is_source.then_some("source"), self.sinks.iter().map(|sink| sink.describe().name))
        })
    }

    /// The format called `name`.
    ///
    /// # Errors
    /// No such format; names the nearest.
    pub fn format(&self, name: &str) -> Result<Arc<dyn Format>> {
        let known = self.formats.iter().find(|format| format.describe().name.eq_ignore_ascii_case(name));
        known
            .cloned()
            .ok_or_else(|| unknown("format", name, None, self.formats.iter().map(|format| format.describe().name)))
    }

    /// The functions of crates beside the engine.
    pub fn functions(&self) -> &[Arc<dyn ScalarFunction>] {
        &self.functions
    }

    /// Adds a kind of store for state.
    pub fn add_state_backend(&mut self, backend: impl StateBackend + 'static) {
        self.state_backends.push(Arc::new(backend));
    }

    /// The kinds of store for state.
    pub fn state_backends(&self) -> &[Arc<dyn StateBackend>] {
        &self.state_backends
    }

    /// The kind of store for state called `name`.
    ///
    /// # Errors
    /// This program has none of that name.
    pub fn state_backend(&self, name: &str) -> Result<Arc<dyn StateBackend>> {
        let known = self.state_backends.iter().find(|backend| backend.name().eq_ignore_ascii_case(name));
        let names = || self.state_backends.iter().map(|backend| backend.name());
        known.cloned().ok_or_else(|| unknown("state backend", name, None, std::iter::once("memory").chain(names())))
    }

    /// Every component's description: sources, sinks, formats.
    pub fn descriptions(&self) -> Vec<&'static Description> {
        let sources = self.sources.iter().map(|source| source.describe());
        let sinks = self.sinks.iter().map(|sink| sink.describe());
        let formats = self.formats.iter().map(|format| format.describe());
        sources.chain(sinks).chain(formats).collect()
    }
}

fn unknown<'a>(role: &str, name: &str, is_a: Option<&str>, known: impl Iterator<Item = &'a str>) -> Error {
    let known: Vec<&str> = known.collect();
    let error = Error::invalid(match is_a {
        Some(other) => format!("'{name}' is a {other}, not a {role}"),
        None => format!("there is no {role} called '{name}'"),
    });
    match nearest(name, known.iter().copied()) {
        Some(near) if is_a.is_none() => error.help(format!("did you mean '{near}'?")),
        _ => error.help(format!("{role}s: {}", known.join(", "))),
    }
}
