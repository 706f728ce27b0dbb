//! From a relation as written to a checked plan: names are looked up, types settled, Spark's rules
//! for streams enforced. Read [`relation`] first; [`expression`] does the same for expressions.

mod aggregate;
pub mod coerce;
mod deduplicate;
pub mod expression;
mod filter;
mod fit;
mod groups;
mod join;
mod literal;
pub mod operator;
mod process;
pub mod prune;
mod push;
mod push_join;
pub mod refuse;
mod relation;
pub mod scope;
mod select;
mod session;
mod sort;
mod stream_join;
mod structure;
mod subquery;
mod support;
mod table;
pub mod typed;
mod union;
mod watermark;
mod windows;

use super::catalog::Catalog;
use super::extension::Extensions;
use super::late;
use super::plan::{Attribute, Plan};
use super::relation::Relation;
use super::settings::Settings;
use super::text::Text;
use expression::Numbers;
use scope::Scope;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use tidemill_core::function::ScalarFunction;
use tidemill_core::sink::OutputMode;
use tidemill_core::{Error, Result};

/// What holds for all expressions of a query.
pub struct Session {
    /// Settings.
    pub settings: Settings,
    /// Functions of crates beside the engine.
    pub functions: Vec<Arc<dyn ScalarFunction>>,
    /// What the program brings: processors, functions of batches.
    pub extensions: Extensions,
    /// The running epoch's instant, in microseconds: what `current_timestamp()` gives.
    pub clock: Arc<AtomicI64>,
}

impl Session {
    /// A session with these settings and functions.
    pub fn new(settings: Settings, functions: &[Arc<dyn ScalarFunction>]) -> Self {
        Session { settings, functions: functions.to_vec(), extensions: Extensions::default(), clock: Arc::default() }
    }
}

/// A checked relation and the names that find its columns.
#[derive(Debug, Clone)]
struct Bound {
    plan: Arc<Plan>,
    scope: Scope,
    /// What stood below a projection, for ORDER BY of columns that are not in the select list.
    below: Option<(Arc<Plan>, Scope)>,
}

/// A relation that a name in an SQL text stands for.
struct Parameter {
    name: String,
    relation: Relation,
    /// How many parameters there were before those of its text.
    before: usize,
}

/// Checks the relations of one pipeline. Tables and views that several queries read are checked once
/// and shared in their plans.
pub struct Analyzer<'a> {
    session: &'a Session,
    catalog: &'a Catalog,
    text: &'a Text,
    numbers: Numbers,
    shared: RefCell<HashMap<String, Arc<Plan>>>,
    /// Numbers of watermarks, by the relation as written.
    watermarks: RefCell<HashMap<String, u32>>,
    /// Relations named for one SQL text (`spark.sql("..{e}..", e=df)`).
    parameters: RefCell<Vec<Parameter>>,
    /// What no stream can do in any output mode; said after what the output mode itself forbids, as Spark does.
    refused: RefCell<Option<Error>>,
}

impl<'a> Analyzer<'a> {
    /// An analyzer over a catalog; `text` is what places point into.
    pub fn new(session: &'a Session, catalog: &'a Catalog, text: &'a Text) -> Self {
        Analyzer {
            session,
            catalog,
            text,
            numbers: Numbers::default(),
            shared: RefCell::default(),
            watermarks: RefCell::default(),
            parameters: RefCell::default(),
            refused: RefCell::default(),
        }
    }

    /// Checks a relation.
    ///
    /// # Errors
    /// The first thing that is wrong with it, with its place.
    pub fn analyze(&self, relation: &Relation) -> Result<Arc<Plan>> {
        push::push_conditions(&self.shown(self.relation(relation)?).plan)
    }

    /// Checks that a plan fits a stream in an output mode.
    ///
    /// # Errors
    /// What Spark refuses too, with its class.
    pub fn check_mode(&self, plan: &Arc<Plan>, mode: OutputMode) -> Result<()> {
        support::check_mode(plan, mode)?;
        self.refused.take().map_or(Ok(()), Err)?;
        support::check_operators(plan, mode)
    }

    /// Keeps the first of the errors that [`Analyzer::check_mode`] is to give.
    fn refuse(&self, error: Error) {
        self.refused.borrow_mut().get_or_insert(error);
    }

    /// The rows a checked plan drops because they are late, as a plan.
    ///
    /// # Errors
    /// As [`late::rows`].
    pub fn late_rows(&self, plan: &Arc<Plan>) -> Result<Arc<Plan>> {
        late::rows(plan, &|| self.numbers.next())
    }

    fn attribute(&self, name: impl Into<String>, data_type: arrow::datatypes::DataType) -> Attribute {
        Attribute { id: self.numbers.next(), name: name.into(), data_type, watermark: None, window_part: None }
    }

    fn bound(&self, plan: Plan, scope: Scope) -> Bound {
        Bound { plan: Arc::new(plan), scope, below: None }
    }
}
