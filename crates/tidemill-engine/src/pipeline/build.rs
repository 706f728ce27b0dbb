//! From a pipeline as written to checked queries: tables find their connectors, options are checked,
//! queries analysed. Nothing is connected to.

use super::analysis::{Analyzer, Session, prune::prune};
use super::catalog::{Catalog, Table};
use super::extension::Extensions;
use super::plan::Plan;
use super::query::{Query, QueryOutput, SinkTable, SourceTable};
use super::relation::Relation;
use super::settings::{Settings, parse_output_mode};
use super::statement::{ColumnKind, Statement, TableDefinition};
use super::table_options::option_groups;
use super::text::{Spot, Text};
use crate::state::groups::KEY_GROUPS;
use crate::state::home::StateBackends;
use arrow::datatypes::{Field, Schema, SchemaRef};
use std::collections::BTreeSet;
use std::sync::Arc;
use tidemill_core::describe::Guarantee;
use tidemill_core::format::Format;
use tidemill_core::options::GivenOption;
use tidemill_core::sink::OutputMode;
use tidemill_core::{Error, Options, Registry, Result};

/// A pipeline as written, from SQL or from the DataFrame API.
#[derive(Debug, Clone, Default)]
pub struct PipelineSpec {
    /// Its name, unless a setting gives one.
    pub name: String,
    /// Settings; later ones replace earlier ones.
    pub settings: Vec<GivenOption>,
    /// Tables.
    pub tables: Vec<TableDefinition>,
    /// Views.
    pub views: Vec<(String, Relation, Spot)>,
    /// Queries whose rows go to a table.
    pub inserts: Vec<Insert>,
    /// What the program brings for pipelines to name.
    pub extensions: Extensions,
    /// The user's text.
    pub text: Text,
}

/// A query whose rows go to a table.
#[derive(Debug, Clone)]
pub struct Insert {
    /// The table.
    pub table: String,
    /// The table's columns the rows are for, when they are named.
    pub columns: Vec<String>,
    /// The rows.
    pub query: Relation,
    /// What the rows mean, when the query says it.
    pub mode: Option<OutputMode>,
    /// Where it stands.
    pub at: Spot,
}

impl PipelineSpec {
    /// The pipeline of an SQL text.
    ///
    /// # Errors
    /// The first syntax error.
    pub fn from_sql(name: &str, content: &str, text: Text) -> Result<Self> {
        let mut spec = PipelineSpec { name: name.to_owned(), ..PipelineSpec::default() };
        for statement in super::statement::parse(content, &text)? {
            match statement {
                Statement::CreateTable(table) => spec.tables.push(table),
                Statement::CreateView { name, query, at } => spec.views.push((name, query, at)),
                Statement::Insert { table, columns, query, at } => {
                    spec.inserts.push(Insert { table, columns, query, mode: None, at });
                }
                Statement::Set(option) => spec.settings.push(option),
            }
        }
        spec.text = text;
        Ok(spec)
    }

    /// Checks everything that can be checked without connecting.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn check(&self, registry: &Registry) -> Result<Vec<Query>> {
        Builder::new(self, registry)?.queries()
    }

    /// Checks the first query without what its sink asks: for the columns of a relation, and for rows
    /// that the caller takes itself. `taker` stands where the sink would.
    ///
    /// # Errors
    /// As [`PipelineSpec::check`].
    pub fn check_rows(&self, taker: SinkTable, registry: &Registry) -> Result<Query> {
        let builder = Builder::new(self, registry)?;
        let analyzer = Analyzer::new(&builder.session, &builder.catalog, &self.text);
        let insert = self.inserts.first().ok_or_else(|| Error::bug("no query to check"))?;
        let plan = builder.place(analyzer.analyze(&insert.query), insert.at)?;
        let plan = prune(&[plan])?.pop().ok_or_else(|| Error::bug("a plan was pruned away"))?;
        builder.query(
            self.name.clone(),
            vec![QueryOutput { sink: taker, plan, mode: OutputMode::Complete, are_letters: false }],
        )
    }
}

pub(super) struct Builder<'a> {
    pub(super) spec: &'a PipelineSpec,
    registry: &'a Registry,
    session: Arc<Session>,
    pub(super) catalog: Catalog,
    /// Tables that are read somewhere.
    read: BTreeSet<String>,
}

impl<'a> Builder<'a> {
    fn new(spec: &'a PipelineSpec, registry: &'a Registry) -> Result<Self> {
        let settings = Settings::check(&spec.settings)?;
        for name in &settings.ignored {
            tracing::info!(setting = %name, "this Spark setting has no effect here");
        }
        let session = Session::new(settings, registry.functions());
        let session = Arc::new(Session { extensions: spec.extensions.clone(), ..session });
        let mut builder = Builder { spec, registry, session, catalog: Catalog::default(), read: BTreeSet::new() };
        builder.read = builder.tables_read();
        for table in &spec.tables {
            let entry = builder.table(table)?;
            builder.catalog.add_table(entry).map_err(|error| error.at_if_unplaced(spec.text.place(table.at)))?;
        }
        for (name, query, at) in &spec.views {
            builder
                .catalog
                .add_view(name, query.clone())
                .map_err(|error| error.at_if_unplaced(spec.text.place(*at)))?;
        }
        Ok(builder)
    }

    /// Names that stand in FROM of a view or query.
    fn tables_read(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let relations = self
            .spec
            .views
            .iter()
            .map(|(_, query, _)| query)
            .chain(self.spec.inserts.iter().map(|insert| &insert.query));
        relations.for_each(|relation| table_names(relation, &mut names));
        names
    }

    pub(super) fn place<T>(&self, result: Result<T>, at: Spot) -> Result<T> {
        result.map_err(|error| error.at_if_unplaced(self.spec.text.place(at)))
    }

    /// The table's columns as the catalog wants them.
    fn table(&self, definition: &TableDefinition) -> Result<Table> {
        let (mut stored, mut computed) = (Vec::new(), Vec::new());
        for column in &definition.columns {
            match &column.kind {
                ColumnKind::Stored { data_type, nullable } => {
                    stored.push(Field::new(&column.name, data_type.clone(), *nullable));
                }
                ColumnKind::Computed(expression) => computed.push((column.name.clone(), expression.clone())),
            }
        }
        let mut columns: SchemaRef = Arc::new(Schema::new(stored));
        if let Some(registered) = self.registered_columns(definition)? {
            columns = self.place(fitting(&columns, registered), definition.at)?;
        }
        let is_read = self.read.contains(&definition.name.to_lowercase());
        if columns.fields().is_empty() && is_read {
            columns = self.default_columns(definition)?;
        }
        let is_static = definition
            .options
            .iter()
            .any(|option| option.key.eq_ignore_ascii_case("static") && option.value.eq_ignore_ascii_case("true"));
        Ok(Table {
            name: definition.name.clone(),
            columns,
            computed,
            watermark: definition.watermark.clone(),
            is_static,
            at: definition.at,
        })
    }

    /// Columns of the registered schema the table names, if it names one.
    fn registered_columns(&self, definition: &TableDefinition) -> Result<Option<SchemaRef>> {
        let option = |name: &str| {
            definition.options.iter().find(|option| tidemill_core::options::snake_case(&option.key) == name)
        };
        let (Some(registry), Some(subject)) = (option("schema_registry"), option("schema_subject")) else {
            let finds_schemas = option("schema_subject").is_none()
                && self.format(definition)?.is_some_and(|format| format.reads_registry());
            return match option("schema_registry").or(option("schema_subject")) {
                None => Ok(None),
                // its format looks up what the payloads name
                Some(_) if finds_schemas => Ok(None),
                Some(alone) => Err(Error::invalid("schema_registry and schema_subject go together")
                    .at_if_unplaced(alone.place.clone())),
            };
        };
        let version = option("schema_version").map(|version| {
            let number = version.value.parse();
            number.map_err(|_| {
                Error::invalid(format!("schema_version is '{}', not a number", version.value))
                    .at_if_unplaced(version.place.clone())
            })
        });
        let version = version.transpose()?;
        let found = self.registry.schemas()?.columns(&registry.value, &subject.value, version);
        found.map(Some).map_err(|error| error.at_if_unplaced(subject.place.clone()))
    }

    fn default_columns(&self, definition: &TableDefinition) -> Result<SchemaRef> {
        let connector = self.place(self.registry.source(&connector_name(definition)?), definition.at)?;
        let format = self.format(definition)?;
        let groups = option_groups(connector.describe().options, format.as_ref());
        let owner = format!("table '{}'", definition.name);
        let options = self.place(Options::check(&owner, &groups, &definition.options), definition.at)?;
        self.place(connector.schema(&options), definition.at)?.ok_or_else(|| {
            Error::invalid(format!("table '{}' is read but has no columns", definition.name))
                .at_if_unplaced(self.spec.text.place(definition.at))
                .help("declare them: CREATE TABLE name (a STRING, ..)")
        })
    }

    fn format(&self, definition: &TableDefinition) -> Result<Option<Arc<dyn Format>>> {
        let given = definition.options.iter().find(|option| option.key.eq_ignore_ascii_case("format"));
        let Some(given) = given else { return Ok(None) };
        self.registry.format(&given.value).map(Some).map_err(|error| error.at_if_unplaced(given.place.clone()))
    }

    pub(super) fn definition(&self, name: &str) -> Option<&'a TableDefinition> {
        self.spec.tables.iter().find(|table| table.name.eq_ignore_ascii_case(name))
    }

    fn queries(&self) -> Result<Vec<Query>> {
        if self.spec.inserts.is_empty() {
            return Err(Error::invalid("the pipeline writes nothing").help("add INSERT INTO a_table SELECT .."));
        }
        let analyzer = Analyzer::new(&self.session, &self.catalog, &self.spec.text);
        let mut outputs: Vec<QueryOutput> = Vec::new();
        for insert in &self.spec.inserts {
            let output = self.output(&analyzer, insert)?;
            let late = self.late_output(&analyzer, insert, &output)?;
            outputs.push(output);
            outputs.extend(late);
        }
        for (number, output) in outputs.iter().enumerate().filter(|(_, output)| !output.are_letters) {
            if outputs[..number].iter().any(|known| known.sink.name.eq_ignore_ascii_case(&output.sink.name)) {
                return Err(Error::invalid(format!("two queries write to the table '{}'", output.sink.name))
                    .at_if_unplaced(self.definition(&output.sink.name).and_then(|table| self.spec.text.place(table.at)))
                    .help("join the two with UNION ALL, or give each a table of its own"));
            }
        }
        let plans: Vec<Arc<Plan>> = outputs.iter().map(|output| output.plan.clone()).collect();
        for (output, plan) in outputs.iter_mut().zip(prune(&plans)?) {
            output.plan = plan;
        }
        let name = self.session.settings.name().unwrap_or(&self.spec.name).to_owned();
        let groups = connected(outputs);
        let several = groups.len() > 1;
        groups
            .into_iter()
            .map(|outputs| {
                let name = if several { format!("{name}.{}", outputs[0].sink.name) } else { name.clone() };
                self.query(name, outputs)
            })
            .collect()
    }

    fn output(&self, analyzer: &Analyzer<'_>, insert: &Insert) -> Result<QueryOutput> {
        let Some(definition) = self.definition(&insert.table) else {
            return self.place(
                self.catalog.find(&insert.table).and_then(|_| {
                    Err(Error::invalid(format!("`{}` is a view; rows are inserted into tables", insert.table)))
                }),
                insert.at,
            );
        };
        let plan = self.place(analyzer.analyze(&insert.query), insert.at)?;
        let own_mode =
            definition.options.iter().find(|option| tidemill_core::options::snake_case(&option.key) == "output_mode");
        let mode = insert
            .mode
            .or_else(|| own_mode.and_then(|option| parse_output_mode(&option.value)))
            .unwrap_or_else(|| self.session.settings.output_mode());
        let mode_place = own_mode.and_then(|option| option.place.clone()).or_else(|| self.spec.text.place(insert.at));
        analyzer.check_mode(&plan, mode).map_err(|error| error.at_if_unplaced(mode_place.clone()))?;
        let table = self.catalog.table(&definition.name);
        let columns = table.map(|table| table.columns.clone()).filter(|columns| !columns.fields().is_empty());
        let plan = match columns {
            Some(columns) => self.place(analyzer.fit(plan, &columns, &insert.columns), insert.at)?,
            None => plan,
        };
        let sink = self.sink(definition)?;
        if sink.connector.names_columns() {
            self.place(unique_names(&plan), insert.at)?;
        }
        if !sink.connector.modes().contains(&mode) {
            let modes: Vec<&str> = sink.connector.modes().iter().map(|mode| mode.word()).collect();
            return Err(Error::invalid(format!(
                "the sink '{}' does not take output mode {}",
                sink.connector.describe().name,
                mode.word()
            ))
            .class("STREAMING_OUTPUT_MODE.UNSUPPORTED_DATASOURCE")
            .at_if_unplaced(mode_place)
            .help(format!("it takes: {}", modes.join(", "))));
        }
        Ok(QueryOutput { sink, plan, mode, are_letters: false })
    }

    pub(super) fn sink(&self, definition: &TableDefinition) -> Result<SinkTable> {
        let connector = self.connector(definition, |name| self.registry.sink(name))?;
        let format = self.format(definition)?;
        let groups = option_groups(connector.describe().options, format.as_ref());
        let owner = format!("table '{}' (sink '{}')", definition.name, connector.describe().name);
        let options = self.place(Options::check(&owner, &groups, &definition.options), definition.at)?;
        Ok(SinkTable { name: definition.name.clone(), connector, format, options })
    }

    fn source(&self, name: &str) -> Result<SourceTable> {
        let definition =
            self.definition(name).ok_or_else(|| Error::bug(format!("the table {name} has no definition")))?;
        let connector = self.connector(definition, |name| self.registry.source(name))?;
        let format = self.format(definition)?;
        let groups = option_groups(connector.describe().options, format.as_ref());
        let owner = format!("table '{}' (source '{}')", definition.name, connector.describe().name);
        let options = self.place(Options::check(&owner, &groups, &definition.options), definition.at)?;
        let columns = self.catalog.table(name).map(|table| table.columns.clone());
        let columns = columns.ok_or_else(|| Error::bug(format!("the table {name} has no columns")))?;
        Ok(SourceTable { name: definition.name.clone(), connector, format, options, columns })
    }

    fn connector<T>(&self, definition: &TableDefinition, find: impl Fn(&str) -> Result<T>) -> Result<T> {
        let given = definition.options.iter().find(|option| option.key.eq_ignore_ascii_case("connector"));
        let name = self.place(connector_name(definition), definition.at)?;
        find(&name).map_err(|error| error.at_if_unplaced(given.and_then(|given| given.place.clone())))
    }

    /// Where the settings say that state is kept.
    fn state(&self) -> Result<StateBackends> {
        let settings = &self.session.settings;
        let chosen = settings.state_backend().map(|name| self.registry.state_backend(name)).transpose()?;
        if chosen.is_some() && settings.parallelism() > usize::from(KEY_GROUPS) {
            let parallelism = settings.parallelism();
            return Err(Error::invalid(format!(
                "state in a store has {KEY_GROUPS} key groups, and parallelism is {parallelism}"
            ))
            .help(format!("SET parallelism to {KEY_GROUPS} or less")));
        }
        let known = self.registry.state_backends().to_vec();
        Ok(StateBackends { chosen, known, memory_bytes: settings.state_memory() })
    }

    fn query(&self, name: String, outputs: Vec<QueryOutput>) -> Result<Query> {
        let (mut sources, mut tables): (BTreeSet<String>, BTreeSet<String>) = (BTreeSet::new(), BTreeSet::new());
        for plan in outputs.iter().flat_map(|output| output.plan.walk()) {
            match &plan.node {
                super::plan::Node::Source { table, .. } => sources.insert(table.clone()),
                super::plan::Node::Static { table, .. } => tables.insert(table.clone()),
                _ => continue,
            };
        }
        let (late_letters, outputs): (Vec<_>, Vec<_>) = outputs.into_iter().partition(|output| output.are_letters);
        let dead_letter = match self.session.settings.dead_letter() {
            Some(table) => {
                let definition = self.definition(table).ok_or_else(|| {
                    Error::invalid(format!("the dead-letter table `{table}` does not exist"))
                        .help("CREATE TABLE it first")
                })?;
                Some(self.sink(definition)?)
            }
            None => None,
        };
        let tables_defined = self.spec.tables.iter();
        let places = tables_defined.filter_map(|table| Some((table.name.clone(), self.spec.text.place(table.at)?)));
        let query = Query {
            name,
            session: self.session.clone(),
            sources: sources.iter().map(|source| self.source(source)).collect::<Result<_>>()?,
            tables: tables.iter().map(|table| self.source(table)).collect::<Result<_>>()?,
            outputs,
            late_letters,
            dead_letter,
            state: self.state()?,
            text: self.spec.text.clone(),
            places: places.collect(),
        };
        check_delivery(&query)?;
        Ok(query)
    }
}

/// The registered columns; columns the table declares as well must be among them with the same type.
fn fitting(declared: &Schema, registered: SchemaRef) -> Result<SchemaRef> {
    if declared.fields().is_empty() {
        return Ok(registered);
    }
    for field in declared.fields() {
        match registered.field_with_name(field.name()) {
            Ok(known) if known.data_type() == field.data_type() => {}
            Ok(known) => {
                return Err(Error::invalid(format!(
                    "the column `{}` is declared as {}, but registered as {}",
                    field.name(),
                    tidemill_core::types::name(field.data_type()).to_uppercase(),
                    tidemill_core::types::name(known.data_type()).to_uppercase()
                )));
            }
            Err(_) => {
                return Err(Error::invalid(format!("the column `{}` is not in the registered schema", field.name()))
                    .help("register a version that has it, or take it away"));
            }
        }
    }
    Ok(Arc::new(declared.clone()))
}

fn connector_name(definition: &TableDefinition) -> Result<String> {
    let given = definition.options.iter().find(|option| option.key.eq_ignore_ascii_case("connector"));
    given.map(|given| given.value.clone()).ok_or_else(|| {
        Error::invalid(format!("table '{}' needs option 'connector'", definition.name))
            .help("write WITH (connector = 'kafka', ..); `tidemill connectors` lists them")
    })
}

fn check_delivery(query: &Query) -> Result<()> {
    let wanted = match query.session.settings.delivery() {
        "exactly-once" => Guarantee::Idempotent,
        "at-least-once" => Guarantee::AtLeastOnce,
        _ => return Ok(()),
    };
    let weak = query.outputs.iter().find(|output| query.guarantee(output) < wanted);
    match weak {
        None => Ok(()),
        Some(output) => Err(Error::invalid(format!(
            "delivery '{}' is asked for, but rows reach the table '{}' {}",
            query.session.settings.delivery(),
            output.sink.name,
            query.guarantee(output).words()
        ))
        .help("`tidemill explain` shows which source or sink is the weak one")),
    }
}

pub(super) fn unique_names(plan: &Plan) -> Result<()> {
    let mut seen = BTreeSet::new();
    match plan.attributes.iter().find(|attribute| !seen.insert(attribute.name.to_lowercase())) {
        None => Ok(()),
        Some(twice) => Err(Error::invalid(format!("two columns of the result are called `{}`", twice.name))
            .class("COLUMN_ALREADY_EXISTS")
            .help("give one of them another name with AS")),
    }
}

/// Outputs in groups that share a source.
fn connected(outputs: Vec<QueryOutput>) -> Vec<Vec<QueryOutput>> {
    let mut groups: Vec<(BTreeSet<String>, Vec<QueryOutput>)> = Vec::new();
    for output in outputs {
        let mut sources = output.plan.sources();
        let mut members = Vec::new();
        let (touching, apart): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|(known, _)| !known.is_disjoint(&sources));
        groups = apart;
        for (known, earlier) in touching {
            sources.extend(known);
            members.extend(earlier);
        }
        members.push(output);
        groups.push((sources, members));
    }
    groups.into_iter().map(|(_, members)| members).collect()
}

/// The table names a relation reads, lower case.
fn table_names(relation: &Relation, names: &mut BTreeSet<String>) {
    if let Relation::Table { name, .. } = relation {
        names.insert(name.join(".").to_lowercase());
    }
    relation.inputs().into_iter().for_each(|input| table_names(input, names));
}
