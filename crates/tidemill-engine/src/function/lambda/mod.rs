//! Functions that take lambdas: `transform(a, x -> x + 1)`. A lambda's body is resolved with its
//! parameters in scope, and closed over the outer columns it names: these become arguments of the call.
//! At run time the body is evaluated once over the values of all rows, never value by value.

mod arrays;
mod fold;
mod maps;
mod sort;

use super::CallContext;
use crate::errors::from_datafusion;
use crate::operator::project::{compile_over, evaluate};
use crate::pipeline::analysis::expression::Resolver;
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::expression::{Call, Expression};
use crate::pipeline::plan::Attribute;
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use std::sync::{Arc, OnceLock};
use tidemill_core::{Error, Result};

/// A function that takes lambdas.
pub struct HigherOrder {
    /// Its names, lower case.
    pub names: &'static [&'static str],
    /// Fewest and most arguments.
    pub arguments: (usize, usize),
    /// Types it.
    pub build: fn(&mut Applied<'_, '_>) -> Result<Typed>,
}

const FAMILIES: &[&[HigherOrder]] = &[arrays::ENTRIES, fold::ENTRIES, maps::ENTRIES, sort::ENTRIES];

/// The function called `name`, if it takes lambdas.
pub fn find(name: &str) -> Option<&'static HigherOrder> {
    FAMILIES.iter().flat_map(|family| family.iter()).find(|entry| entry.names.contains(&name))
}

/// Every name.
pub fn names() -> Vec<&'static str> {
    FAMILIES.iter().flat_map(|family| family.iter()).flat_map(|entry| entry.names.iter().copied()).collect()
}

/// Types the call of a function that takes lambdas.
///
/// # Errors
/// A wrong number of arguments, values or lambdas that do not fit.
pub fn build(entry: &HigherOrder, call: &Call, resolver: &mut Resolver<'_>) -> Result<Typed> {
    let name = call.name.to_lowercase();
    let (least, most) = entry.arguments;
    if call.arguments.len() < least || call.arguments.len() > most {
        let context = resolver.context(&name, call.at);
        return Err(super::wrong_count(&name, least, most, call.arguments.len(), &context));
    }
    let mut applied = Applied { resolver, call, name: &name, shown: vec![] };
    let typed = (entry.build)(&mut applied)?;
    let shown = applied.shown.join(", ");
    Ok(if typed.name.is_empty() { typed.named(format!("{name}({shown})")) } else { typed })
}

/// A lambda where none can stand.
pub fn misplaced(context: &CallContext<'_>) -> Error {
    Error::invalid(format!("{} takes no lambda", context.name))
        .class("INVALID_LAMBDA_FUNCTION_CALL.NON_HIGHER_ORDER_FUNCTION")
        .at_if_unplaced(context.text.place(context.at))
}

/// A call whose arguments are resolved one by one: the types of the first are those of the lambdas' parameters.
pub struct Applied<'a, 'b> {
    resolver: &'a mut Resolver<'b>,
    call: &'a Call,
    name: &'a str,
    shown: Vec<String>,
}

impl Applied<'_, '_> {
    /// How many arguments there are.
    pub fn count(&self) -> usize {
        self.call.arguments.len()
    }

    /// The call, for errors and casts.
    pub fn context(&self) -> CallContext<'_> {
        self.resolver.context(self.name, self.call.at)
    }

    /// The argument at a position as a value.
    pub fn value(&mut self, position: usize) -> Result<Typed> {
        let typed = self.resolver.resolve(&self.call.arguments[position])?;
        self.shown.push(typed.name.clone());
        Ok(typed)
    }

    /// An argument that must be an array; gives the type of its elements too.
    pub fn array(&mut self, position: usize) -> Result<(Typed, DataType)> {
        let typed = self.value(position)?;
        match &typed.data_type {
            DataType::List(element) => {
                let element = element.data_type().clone();
                Ok((typed, element))
            }
            DataType::Null => Ok((typed.widened(&tidemill_core::types::array_of(DataType::Null)), DataType::Null)),
            other => Err(self.context().wrong_type("an ARRAY", other)),
        }
    }

    /// An argument that must be a map; gives the types of its keys and values too.
    pub fn map(&mut self, position: usize) -> Result<(Typed, DataType, DataType)> {
        let typed = self.value(position)?;
        let kinds = match &typed.data_type {
            DataType::Map(entries, _) => crate::pipeline::analysis::coerce::entry_types(entries),
            _ => None,
        };
        match kinds {
            Some((key, value)) => Ok((typed, key, value)),
            None => Err(self.context().wrong_type("a MAP", &typed.data_type)),
        }
    }

    /// How many parameters the lambda at a position has; 0 for a value.
    pub fn parameters(&self, position: usize) -> usize {
        match &self.call.arguments[position] {
            Expression::Lambda { parameters, .. } => parameters.len(),
            _ => 0,
        }
    }

    /// The argument at a position as a lambda over parameters of these types. A plain value is a lambda
    /// that passes over its parameters.
    pub fn lambda(&mut self, position: usize, types: &[DataType]) -> Result<Lambda> {
        let (names, body): (Vec<String>, &Expression) = match &self.call.arguments[position] {
            Expression::Lambda { parameters, body } => (parameters.clone(), body),
            value => ((0..types.len()).map(|index| format!("col{index}")).collect(), value),
        };
        if names.len() != types.len() {
            return Err(self.wrong("NUM_ARGS_MISMATCH", &names, types.len()));
        }
        let mut scope = self.resolver.scope.clone();
        if names.iter().enumerate().any(|(index, name)| names[..index].iter().any(|other| scope.same(name, other))) {
            return Err(self.wrong("DUPLICATE_ARG_NAMES", &names, types.len()));
        }
        let around = scope.variables().len() as u32;
        let parameters: Vec<Attribute> = names
            .iter()
            .zip(types)
            .enumerate()
            .map(|(index, (name, data_type))| Attribute {
                // numbered by depth, from the other end than columns: lambdas written alike are equal
                id: u32::MAX - around - index as u32,
                name: name.clone(),
                data_type: data_type.clone(),
                watermark: None,
                window_part: None,
            })
            .collect();
        scope.push_variables(&parameters);
        let mut inner = Resolver {
            session: self.resolver.session,
            scope: &scope,
            text: self.resolver.text,
            numbers: self.resolver.numbers,
            windows: self.resolver.windows,
            groups: self.resolver.groups,
            collected: self.resolver.collected.as_deref_mut(),
        };
        if crate::operator::aggregate::contains_aggregate(body) {
            return Err(inner.context(self.name, self.call.at).not_yet("an aggregate function inside a lambda"));
        }
        let body = inner.resolve(body)?;
        let variables = vec!["namedlambdavariable()"; parameters.len()].join(", ");
        self.shown.push(format!("lambdafunction({}, {variables})", body.name));
        Lambda::new(body, &parameters)
    }

    fn wrong(&self, class: &str, names: &[String], expected: usize) -> Error {
        Error::invalid(format!(
            "the lambda ({}) of {} takes {} parameters; it is given {expected}, each with a name of its own",
            names.join(", "),
            self.name,
            names.len()
        ))
        .class(format!("INVALID_LAMBDA_FUNCTION_CALL.{class}"))
        .at_if_unplaced(self.resolver.text.place(self.call.at))
    }
}

/// A lambda whose body is typed.
pub struct Lambda {
    /// The body.
    pub body: Typed,
    parameters: Vec<String>,
    captured: Vec<Expr>,
}

impl Lambda {
    fn new(body: Typed, parameters: &[Attribute]) -> Result<Lambda> {
        let parameters: Vec<String> = parameters.iter().map(Attribute::column_name).collect();
        let mut captured: Vec<Expr> = vec![];
        body.expr
            .apply(|node| {
                if let Expr::Column(column) = node
                    && !parameters.contains(&column.name)
                    && !captured.contains(node)
                {
                    captured.push(node.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
            .map_err(from_datafusion)?;
        Ok(Lambda { body, parameters, captured })
    }

    /// The lambda with its body cast.
    pub fn with_body(mut self, body: impl FnOnce(Typed) -> Result<Typed>) -> Result<Lambda> {
        self.body = body(self.body)?;
        Ok(self)
    }

    /// What tells this lambda from others: for the parameters of a `Native`.
    pub fn text(&self) -> String {
        format!("{:?} -> {}", self.parameters, self.body.expr)
    }

    /// The outer columns, as arguments of the call.
    pub fn captured(&self) -> impl Iterator<Item = Expr> + '_ {
        self.captured.iter().cloned()
    }

    /// Ready to run.
    pub fn program(self) -> Program {
        let outer = self.captured.into_iter().filter_map(|column| match column {
            Expr::Column(column) => Some(column.name),
            _ => None,
        });
        let parameters = self.parameters.len();
        let names = self.parameters.into_iter().chain(outer).collect();
        Program { body: self.body.expr, names, parameters, compiled: OnceLock::new() }
    }
}

/// A lambda's body over a batch of its parameters and the outer columns.
pub struct Program {
    body: Expr,
    names: Vec<String>,
    parameters: usize,
    compiled: OnceLock<Arc<dyn PhysicalExpr>>,
}

impl Program {
    /// How many outer columns it has.
    pub fn outer(&self) -> usize {
        self.names.len() - self.parameters
    }

    /// The body's values. Outer columns have a value a row; `rows` says the row of each parameter's value.
    ///
    /// # Errors
    /// What the body fails with.
    pub fn run(&self, parameters: Vec<ArrayRef>, outer: &[ArrayRef], rows: &UInt32Array) -> Result<ArrayRef> {
        let mut columns = parameters;
        for column in outer {
            columns.push(take(column, rows, None)?);
        }
        let fields =
            self.names.iter().zip(&columns).map(|(name, column)| Field::new(name, column.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let compiled = match self.compiled.get() {
            Some(compiled) => compiled.clone(),
            None => {
                let compiled = compile_over(&self.body, &schema)?;
                self.compiled.get_or_init(|| compiled).clone()
            }
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        evaluate(&compiled, &RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}
