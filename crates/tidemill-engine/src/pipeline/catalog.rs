//! The tables and views of a pipeline, by name.

use super::expression::Expression;
use super::relation::Relation;
use super::statement::DeclaredWatermark;
use super::text::Spot;
use arrow::datatypes::SchemaRef;
use std::sync::Arc;
use tidemill_core::nearest::nearest;
use tidemill_core::{Error, Result};

/// A table.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name, in the case it was written.
    pub name: String,
    /// Stored columns.
    pub columns: SchemaRef,
    /// Computed columns, after the stored ones.
    pub computed: Vec<(String, Expression)>,
    /// Event-time column and delay.
    pub watermark: Option<DeclaredWatermark>,
    /// True for a table that is read once, before the stream starts.
    pub is_static: bool,
    /// Where its name stands.
    pub at: Spot,
}

/// A name of the catalog.
#[derive(Debug, Clone)]
pub enum Named {
    /// A table.
    Table(Arc<Table>),
    /// A view.
    View(Arc<Relation>),
}

/// Tables and views. Names are not case-sensitive.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    names: Vec<(String, Named)>,
}

impl Catalog {
    /// Adds a table.
    ///
    /// # Errors
    /// The name is taken.
    pub fn add_table(&mut self, table: Table) -> Result<()> {
        self.add(table.name.clone(), Named::Table(Arc::new(table)))
    }

    /// Adds a view.
    ///
    /// # Errors
    /// The name is taken.
    pub fn add_view(&mut self, name: &str, relation: Relation) -> Result<()> {
        self.add(name.to_owned(), Named::View(Arc::new(relation)))
    }

    fn add(&mut self, name: String, named: Named) -> Result<()> {
        if self.get(&name).is_some() {
            return Err(Error::invalid(format!("there are two tables or views called `{name}`"))
                .class("TABLE_OR_VIEW_ALREADY_EXISTS"));
        }
        self.names.push((name, named));
        Ok(())
    }

    /// What `name` is.
    pub fn get(&self, name: &str) -> Option<&Named> {
        self.names.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, named)| named)
    }

    /// What `name` is.
    ///
    /// # Errors
    /// Nothing; names the nearest table or view.
    pub fn find(&self, name: &str) -> Result<&Named> {
        self.get(name).ok_or_else(|| {
            let error =
                Error::invalid(format!("there is no table or view called `{name}`")).class("TABLE_OR_VIEW_NOT_FOUND");
            let known: Vec<&str> = self.names.iter().map(|(known, _)| known.as_str()).collect();
            match nearest(name, known.iter().copied()) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None if known.is_empty() => error,
                None => error.help(format!("tables and views: {}", known.join(", "))),
            }
        })
    }

    /// The table called `name`, if it is one.
    pub fn table(&self, name: &str) -> Option<&Arc<Table>> {
        match self.get(name) {
            Some(Named::Table(table)) => Some(table),
            _ => None,
        }
    }
}
