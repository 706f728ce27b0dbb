//! One statement of a client: from text to tree, to plan, to rows. Only questions are answered; nothing can be written.

use super::catalog::functions::functions;
use super::catalog::{self, DATABASE, PUBLIC, SCHEMAS, World};
use super::rewrite::{rewrite, shown_names};
use super::server::Tables;
use super::types::{self, Shown};
use super::{encode, parameters};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemTable, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::execution::context::{SQLOptions, SessionConfig, SessionState};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{FunctionRegistry as _, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::sql::parser::Statement as Planned;
use datafusion::sql::sqlparser::ast::{Expr, Statement, Value, Visit as _, Visitor};
use futures::{Stream, StreamExt as _};
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::{FieldInfo, QueryResponse};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::data::DataRow;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::{Kind, Result, ResultExt as _};
use tokio::time::{Instant, timeout_at};

/// Tasks a query is split into.
const PARTITIONS: usize = 2;
/// A statement has at most as many parameters as the protocol can count.
const PARAMETERS_MAX: usize = 65_535;

/// Plans and runs statements over the tables of a server.
pub(super) struct Planner {
    base: SessionState,
    tables: Arc<Tables>,
    timeout: Duration,
}

/// A question that has been read.
#[derive(Debug, Clone)]
pub(super) struct Question {
    statement: Statement,
    /// Types of its parameters: what the client says, or what they are compared with.
    pub(super) parameters: Vec<Type>,
    columns: Arc<Vec<Shown>>,
}

impl Question {
    /// What a client is told of the columns.
    pub(super) fn describe(&self, format: &Format) -> Vec<FieldInfo> {
        self.columns.iter().enumerate().map(|(at, column)| column.info(at, format)).collect()
    }
}

impl Planner {
    /// For the tables of a server. A query may take `timeout`, all of them together `bytes_max` of memory.
    ///
    /// # Errors
    /// DataFusion cannot be set up.
    pub(super) fn new(tables: Arc<Tables>, timeout: Duration, bytes_max: usize) -> Result<Self> {
        let mut config = SessionConfig::new()
            .with_target_partitions(PARTITIONS)
            .with_create_default_catalog_and_schema(false)
            .with_default_catalog_and_schema(DATABASE, PUBLIC);
        config.options_mut().sql_parser.map_string_types_to_utf8view = false;
        config.options_mut().execution.time_zone = Some("UTC".into());
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(bytes_max)))
            .build_arc()
            .context(Kind::Bug, || "DataFusion cannot be set up".into())?;
        let base =
            SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features().build();
        Ok(Planner { base, tables, timeout })
    }

    /// Everything as it is now, for `user`.
    pub(super) fn world(&self, user: &str) -> Arc<World> {
        self.tables.world(user)
    }

    /// Reads a question: types of its parameters, of which the client may know some, and of its columns.
    ///
    /// # Errors
    /// A name that is not there, and whatever else does not fit.
    pub(super) async fn read(
        &self,
        statement: Statement,
        known: &[Option<Type>],
        world: &Arc<World>,
    ) -> PgWireResult<Question> {
        let count = placeholders(&statement).max(known.len());
        let mut of: Vec<Option<Type>> = known.iter().cloned().map(|of| of.filter(|of| *of != Type::UNKNOWN)).collect();
        of.resize(count, None);
        if of.iter().any(Option::is_none) {
            self.infer(&statement, world, &mut of).await;
        }
        let parameters: Vec<Type> = of.into_iter().map(|of| of.unwrap_or(Type::TEXT)).collect();
        let examples: Vec<Expr> = parameters.iter().map(parameters::example).collect();
        let (_, plan) = self.plan(&statement, world, Some(&examples)).await?;
        let columns = Arc::new(named(&plan, &statement)?);
        Ok(Question { statement, parameters, columns })
    }

    /// Fills in the types that the plan tells: a parameter has the type of what it is compared with.
    async fn infer(&self, statement: &Statement, world: &Arc<World>, of: &mut [Option<Type>]) {
        let Ok((_, plan)) = self.plan(statement, world, None).await else { return };
        let Ok(told) = plan.get_parameter_types() else { return };
        for (name, kind) in told {
            let at = name.trim_start_matches('$').parse::<usize>().ok().and_then(|at| at.checked_sub(1));
            if let (Some(slot), Some(kind)) = (at.and_then(|at| of.get_mut(at)), kind)
                && slot.is_none()
            {
                *slot = Some(types::parameter(&kind));
            }
        }
    }

    /// The rows of a question.
    ///
    /// # Errors
    /// A plan that cannot be run.
    pub(super) async fn run(
        &self,
        question: &Question,
        literals: &[Expr],
        format: &Format,
        world: &Arc<World>,
    ) -> PgWireResult<QueryResponse> {
        let deadline = Instant::now() + self.timeout;
        let (state, plan) = self.plan(&question.statement, world, Some(literals)).await?;
        let physical =
            timeout_at(deadline, state.create_physical_plan(&plan)).await.map_err(|_| late())?.map_err(told)?;
        let batches = execute_stream(physical, state.task_ctx()).map_err(told)?;
        let columns = question.columns.clone();
        let fields = Arc::new(question.describe(format));
        Ok(QueryResponse::new(fields, rows(batches, columns, format.clone(), deadline)))
    }

    async fn plan(
        &self,
        statement: &Statement,
        world: &Arc<World>,
        literals: Option<&[Expr]>,
    ) -> PgWireResult<(SessionState, LogicalPlan)> {
        let mut statement = statement.clone();
        rewrite(&mut statement, world, literals).map_err(|(code, why)| refusal(code, why))?;
        let mut state = SessionStateBuilder::new_from_existing(self.base.clone())
            .with_catalog_list(Arc::new(Catalogs(world.clone())))
            .build();
        // what now() gives is that of one instant
        state.mark_start_execution();
        for function in functions(world) {
            state.register_udf(function).map_err(told)?;
        }
        let plan = state.statement_to_plan(Planned::Statement(Box::new(statement))).await.map_err(told)?;
        let only_questions = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        only_questions.verify_plan(&plan).map_err(|_| read_only())?;
        Ok((state, plan))
    }
}

/// The columns of a plan under the names of Postgres.
fn named(plan: &LogicalPlan, statement: &Statement) -> PgWireResult<Vec<Shown>> {
    let names = shown_names(statement);
    let fields = plan.schema().fields().iter().enumerate();
    fields
        .map(|(at, field)| {
            let name = names.get(at).and_then(Option::as_deref).unwrap_or(field.name());
            Shown::new(name, field.data_type()).map_err(|error| refusal("0A000", error.to_string()))
        })
        .collect()
}

/// Rows as they come, until the deadline.
fn rows<B>(
    batches: B,
    columns: Arc<Vec<Shown>>,
    format: Format,
    deadline: Instant,
) -> impl Stream<Item = PgWireResult<DataRow>> + Send
where
    B: Stream<Item = Result<RecordBatch, DataFusionError>> + Send + Unpin + 'static,
{
    let next = move |mut batches: Option<B>| {
        let (columns, format) = (columns.clone(), format.clone());
        async move {
            let mut stream = batches.take()?;
            let batch = match timeout_at(deadline, stream.next()).await {
                Err(_) => Err(late()),
                Ok(None) => return None,
                Ok(Some(batch)) => batch.map_err(told),
            };
            let rows = batch.and_then(|batch| {
                encode::rows(&batch, &columns, &format).map_err(|error| refusal("22000", error.chain()))
            });
            Some(match rows {
                Ok(rows) => (rows.into_iter().map(Ok).collect::<Vec<_>>(), Some(stream)),
                Err(error) => (vec![Err(error)], None),
            })
        }
    };
    futures::stream::unfold(Some(batches), next).map(futures::stream::iter).flatten()
}

/// How many parameters a statement has.
fn placeholders(statement: &Statement) -> usize {
    struct Count(usize);
    impl Visitor for Count {
        type Break = ();
        fn pre_visit_value(&mut self, value: &datafusion::sql::sqlparser::ast::ValueWithSpan) -> ControlFlow<()> {
            if let Value::Placeholder(name) = &value.value {
                self.0 = self.0.max(name.trim_start_matches('$').parse().unwrap_or(0)).min(PARAMETERS_MAX);
            }
            ControlFlow::Continue(())
        }
    }
    let mut count = Count(0);
    let _ = statement.visit(&mut count);
    count.0
}

/// A refusal with its SQLSTATE.
pub(super) fn refusal(code: &str, why: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".into(), code.into(), why.into())))
}

/// What someone hears who wants to write.
pub(super) fn read_only() -> PgWireError {
    let mut info = ErrorInfo::new("ERROR".into(), "25006".into(), "live tables can be read only".into());
    info.hint = Some("the query that fills them is a pipeline of Tidemill".into());
    PgWireError::UserError(Box::new(info))
}

fn late() -> PgWireError {
    refusal("57014", "canceling statement due to statement timeout (option 'statement_timeout' of the live table)")
}

/// What DataFusion says, with the SQLSTATE of Postgres where there is one.
fn told(error: DataFusionError) -> PgWireError {
    let why = error.strip_backtrace();
    let code = match error.find_root() {
        DataFusionError::SQL(..) => "42601",
        DataFusionError::SchemaError(inner, _) => match inner.as_ref() {
            SchemaError::FieldNotFound { .. } => "42703",
            SchemaError::AmbiguousReference { .. } => "42702",
            _ => "42P16",
        },
        DataFusionError::Plan(text) if text.contains("table '") && text.contains("not found") => "42P01",
        DataFusionError::Plan(text) if text.contains("Invalid function") => "42883",
        DataFusionError::Plan(_) => "42000",
        DataFusionError::NotImplemented(_) => "0A000",
        DataFusionError::ResourcesExhausted(_) => "53200",
        DataFusionError::ArrowError(..) | DataFusionError::Execution(_) => "22000",
        _ => "XX000",
    };
    refusal(code, why)
}

/// The catalogue of one statement.
#[derive(Debug)]
struct Catalogs(Arc<World>);

impl CatalogProviderList for Catalogs {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![DATABASE.into()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == DATABASE).then(|| Arc::new(Database(self.0.clone())) as Arc<dyn CatalogProvider>)
    }
}

#[derive(Debug)]
struct Database(Arc<World>);

impl CatalogProvider for Database {
    fn schema_names(&self) -> Vec<String> {
        SCHEMAS.iter().chain([&PUBLIC]).map(|name| (*name).to_owned()).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let name = SCHEMAS.iter().chain([&PUBLIC]).copied().find(|known| *known == name)?;
        Some(Arc::new(Schema { name, world: self.0.clone() }))
    }
}

#[derive(Debug)]
struct Schema {
    name: &'static str,
    world: Arc<World>,
}

#[async_trait]
impl SchemaProvider for Schema {
    fn table_names(&self) -> Vec<String> {
        if self.name == PUBLIC {
            return self.world.tables.iter().map(|pinned| pinned.table.name.clone()).collect();
        }
        catalog::names(self.name)
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let external = |error: tidemill_core::Error| DataFusionError::External(Box::new(error));
        let (schema, batches) = if self.name == PUBLIC {
            let Some(pinned) = self.world.table(name) else { return Ok(None) };
            (pinned.snapshot.schema.clone(), pinned.snapshot.batches().map_err(external)?)
        } else {
            let Some(batch) = catalog::read(self.name, name, &self.world).map_err(external)? else { return Ok(None) };
            (batch.schema(), vec![batch])
        };
        Ok(Some(Arc::new(MemTable::try_new(schema, vec![batches])?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}
