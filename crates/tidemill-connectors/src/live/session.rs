//! A connection: what comes over it, in the simple and in the extended protocol.
//!
//! A transaction changes nothing: every statement sees the newest epoch of each table, as in Postgres's `READ
//! COMMITTED`. It is remembered all the same, because drivers look at it.

use super::parameters;
use super::query::{Planner, Question, read_only, refusal};
use super::settings::setting;
use async_trait::async_trait;
use datafusion::sql::sqlparser::ast::{Expr, Ident, Set, Statement, Value};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use futures::{Sink, StreamExt as _};
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::stmt::QueryParser;
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, METADATA_USER, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::TransactionStatus;
use std::fmt::Debug;
use std::sync::Arc;

/// Answers the clients of a server.
pub(super) struct Service {
    reader: Arc<Reader>,
}

/// Reads statements.
pub(super) struct Reader {
    planner: Planner,
}

/// A statement that has been read.
#[derive(Debug, Clone)]
pub(super) enum Prepared {
    Question(Box<Question>),
    Begin,
    /// `COMMIT` or `ROLLBACK`.
    End(&'static str),
    Set(String, String),
    Show(String),
    /// Something that has no effect here, with its tag.
    Nothing(&'static str),
}

impl Service {
    pub(super) fn new(planner: Planner) -> Self {
        Service { reader: Arc::new(Reader { planner }) }
    }

    async fn answer<C: ClientInfo + Send + Sync>(
        &self,
        client: &mut C,
        prepared: &Prepared,
        literals: &[Expr],
        format: &Format,
    ) -> PgWireResult<Response> {
        let has_failed = matches!(client.transaction_status(), TransactionStatus::Error);
        if has_failed && !matches!(prepared, Prepared::End(_)) {
            return Err(refusal(
                "25P02",
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(match prepared {
            Prepared::Question(question) => {
                let world = self.reader.planner.world(&user(client));
                Response::Query(self.reader.planner.run(question, literals, format, &world).await?)
            }
            Prepared::Begin => Response::TransactionStart(Tag::new("BEGIN")),
            Prepared::End(_) if has_failed => Response::TransactionEnd(Tag::new("ROLLBACK")),
            Prepared::End(word) => Response::TransactionEnd(Tag::new(word)),
            Prepared::Set(name, value) => {
                remember(client, name, value)?;
                Response::Execution(Tag::new("SET"))
            }
            Prepared::Show(name) => Response::Query(show(client, name, format)?),
            Prepared::Nothing(tag) => Response::Execution(Tag::new(tag)),
        })
    }
}

impl Reader {
    async fn read(&self, statement: Statement, known: &[Option<Type>], user: &str) -> PgWireResult<Prepared> {
        Ok(match statement {
            Statement::Query(_) | Statement::Explain { .. } => {
                let world = self.planner.world(user);
                Prepared::Question(Box::new(self.planner.read(statement, known, &world).await?))
            }
            Statement::StartTransaction { .. } => Prepared::Begin,
            Statement::Commit { .. } => Prepared::End("COMMIT"),
            Statement::Rollback { savepoint: Some(_), .. } => Prepared::Nothing("ROLLBACK"),
            Statement::Rollback { .. } => Prepared::End("ROLLBACK"),
            Statement::Savepoint { .. } => Prepared::Nothing("SAVEPOINT"),
            Statement::ReleaseSavepoint { .. } => Prepared::Nothing("RELEASE"),
            Statement::Set(Set::SingleAssignment { variable, values, .. }) => {
                let values: Vec<_> = values.iter().map(text_of).collect();
                Prepared::Set(variable.to_string().to_lowercase(), values.join(", "))
            }
            Statement::Set(_) => Prepared::Nothing("SET"),
            Statement::Reset(_) => Prepared::Nothing("RESET"),
            Statement::ShowVariable { variable } => Prepared::Show(variable_name(&variable)),
            Statement::Discard { .. } => Prepared::Nothing("DISCARD ALL"),
            Statement::Deallocate { .. } => Prepared::Nothing("DEALLOCATE"),
            Statement::Close { .. } => Prepared::Nothing("CLOSE CURSOR"),
            Statement::UNLISTEN { .. } => Prepared::Nothing("UNLISTEN"),
            Statement::Declare { .. }
            | Statement::Fetch { .. }
            | Statement::Copy { .. }
            | Statement::Prepare { .. } => {
                return Err(refusal(
                    "0A000",
                    "live tables answer SELECT; cursors, COPY and PREPARE in SQL are not supported",
                ));
            }
            _ => return Err(read_only()),
        })
    }
}

fn statements(text: &str) -> PgWireResult<Vec<Statement>> {
    Parser::parse_sql(&PostgreSqlDialect {}, text).map_err(|error| refusal("42601", error.to_string()))
}

fn user(client: &impl ClientInfo) -> String {
    client.metadata().get(METADATA_USER).cloned().unwrap_or_else(|| "tidemill".into())
}

fn text_of(value: &Expr) -> String {
    match value {
        Expr::Value(held) => match &held.value {
            Value::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

fn variable_name(parts: &[Ident]) -> String {
    let name: Vec<_> = parts.iter().map(|part| part.value.to_lowercase()).collect();
    match name.join(" ").as_str() {
        "time zone" => "timezone".into(),
        "transaction isolation level" => "transaction_isolation".into(),
        other => other.to_owned(),
    }
}

/// Where what a client sets is kept, beside what it said when it connected.
fn slot(name: &str) -> String {
    format!("set {name}")
}

fn remember<C: ClientInfo>(client: &mut C, name: &str, value: &str) -> PgWireResult<()> {
    let is = |word: &str| value.eq_ignore_ascii_case(word);
    if name == "client_encoding" && !["utf8", "utf-8", "unicode", "default"].iter().any(|word| is(word)) {
        return Err(refusal("22023", format!("live tables speak UTF8 only, not '{value}'")));
    }
    // times are always shown in UTC, so the zone stays what it is
    if name != "timezone" && setting(name).is_some() {
        client.metadata_mut().insert(slot(name), value.to_owned());
    }
    Ok(())
}

fn show<C: ClientInfo>(client: &C, name: &str, format: &Format) -> PgWireResult<QueryResponse> {
    let value = client.metadata().get(&slot(name)).map(String::as_str).or_else(|| setting(name));
    let value = value.ok_or_else(|| refusal("42704", format!("unrecognized configuration parameter \"{name}\"")))?;
    let fields = Arc::new(shown(name, format));
    let mut row = DataRowEncoder::new(fields.clone());
    row.encode_field(&value)?;
    Ok(QueryResponse::new(fields, futures::stream::iter([Ok(row.take_row())]).boxed()))
}

fn shown(name: &str, format: &Format) -> Vec<FieldInfo> {
    vec![FieldInfo::new(name.to_owned(), None, None, Type::TEXT, format.format_for(0))]
}

#[async_trait]
impl SimpleQueryHandler for Service {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let mut responses = vec![];
        for statement in statements(query)? {
            let prepared = self.reader.read(statement, &[], &user(client)).await?;
            responses.push(self.answer(client, &prepared, &[], &Format::UnifiedText).await?);
        }
        Ok(responses)
    }
}

#[async_trait]
impl ExtendedQueryHandler for Service {
    type Statement = Prepared;
    type QueryParser = Reader;

    fn query_parser(&self) -> Arc<Reader> {
        self.reader.clone()
    }

    async fn do_query<C>(&self, client: &mut C, portal: &Portal<Prepared>, _max_rows: usize) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let prepared = &portal.statement.statement;
        let mut literals = vec![];
        if let Prepared::Question(question) = prepared {
            if portal.parameters.len() != question.parameters.len() {
                let (given, needed) = (portal.parameters.len(), question.parameters.len());
                return Err(refusal("08P01", format!("{given} parameters were given, the statement has {needed}")));
            }
            for (at, (bytes, of)) in portal.parameters.iter().zip(&question.parameters).enumerate() {
                let format = match &portal.parameter_format {
                    Format::Individual(codes) => {
                        codes.get(at).map_or(FieldFormat::Text, |code| FieldFormat::from(*code))
                    }
                    all => all.format_for(at),
                };
                let literal = parameters::literal(bytes.as_ref(), of, format);
                literals.push(literal.map_err(|why| refusal("22P03", format!("parameter ${}: {why}", at + 1)))?);
            }
        }
        self.answer(client, prepared, &literals, &portal.result_column_format).await
    }
}

#[async_trait]
impl QueryParser for Reader {
    type Statement = Prepared;

    async fn parse_sql<C>(&self, client: &C, sql: &str, types: &[Option<Type>]) -> PgWireResult<Option<Prepared>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let mut statements = statements(sql)?;
        if statements.len() > 1 {
            return Err(refusal("42601", "cannot insert multiple commands into a prepared statement"));
        }
        match statements.pop() {
            Some(statement) => Ok(Some(self.read(statement, types, &user(client)).await?)),
            None => Ok(None),
        }
    }

    fn get_parameter_types(&self, statement: &Prepared) -> PgWireResult<Vec<Type>> {
        Ok(match statement {
            Prepared::Question(question) => question.parameters.clone(),
            _ => vec![],
        })
    }

    fn get_result_schema(&self, statement: &Prepared, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        let format = format.unwrap_or(&Format::UnifiedText);
        Ok(match statement {
            Prepared::Question(question) => question.describe(format),
            Prepared::Show(name) => shown(name, format),
            _ => vec![],
        })
    }
}
