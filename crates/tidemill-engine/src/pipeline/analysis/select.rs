//! Lists of columns: `SELECT`, stars, generators.

use super::expression::Resolver;
use super::relation::{Item, first_call, typed_entry};
use super::scope::{Entry, Scope};
use super::typed::Typed;
use super::{Analyzer, Bound, refuse};
use crate::function::is_generator;
use crate::operator::aggregate::contains_aggregate;
use crate::operator::project::{compile, evaluate};
use crate::pipeline::expression::{Call, Expression};
use crate::pipeline::plan::{Attribute, Generator, Node, Plan, attribute_id, inner_schema};
use crate::pipeline::relation::Grouping;
use arrow::array::ArrayRef;
use arrow::compute::concat;
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::logical_expr::Expr;
use std::sync::Arc;
use tidemill_core::{Error, Result};

/// The position of a generator in a list, and the columns it becomes.
type Generated = (usize, Vec<Attribute>);

impl Analyzer<'_> {
    /// `SELECT list`: with aggregates in it, a grouping without keys.
    pub(super) fn select(&self, input: Bound, list: &[Expression]) -> Result<Bound> {
        let parsed = list.iter().map(parsed).collect::<Result<Vec<_>>>()?;
        if parsed.iter().any(contains_aggregate) {
            return self.aggregate(input, &[], &Grouping::Plain, &parsed, None);
        }
        let (input, parsed) = self.with_scalars(input, &parsed)?;
        let items = self.items(&input, &self.with_earlier_names(&parsed, &input.scope))?;
        self.select_items(input, items)
    }

    /// The items of a list with its stars taken apart.
    pub(super) fn items(&self, input: &Bound, list: &[Expression]) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for expression in list {
            match expression {
                Expression::Star { qualifier, except, at } => {
                    let wanted = |entry: &&Entry| {
                        !entry.hidden
                            && qualifier.last().is_none_or(|qualifier| {
                                entry.qualifier.as_ref().is_some_and(|known| input.scope.same(known, qualifier))
                            })
                            && !except.iter().any(|name| input.scope.same(name, &entry.attribute.name))
                    };
                    let found: Vec<Item> =
                        input.scope.entries().iter().filter(wanted).cloned().map(Item::Entry).collect();
                    if found.is_empty() && !qualifier.is_empty() {
                        items.extend(self.struct_star(input, qualifier, *at)?);
                        continue;
                    }
                    items.extend(found);
                }
                Expression::Call(call) if call.name == "__fields" => {
                    let typed = self.resolver(&input.scope).resolve(&call.arguments[0])?;
                    let DataType::Struct(fields) = &typed.data_type else {
                        return Err(Error::invalid(format!("`{}` is no struct, so it has no .*", typed.name))
                            .class("CANNOT_RESOLVE_STAR_EXPAND")
                            .at_if_unplaced(self.text.place(call.at)));
                    };
                    items.extend(
                        fields.iter().map(|field| Item::Written(field_of(&call.arguments[0], field.name(), call.at))),
                    );
                }
                other => items.push(Item::Written(other.clone())),
            }
        }
        Ok(items)
    }

    /// `s.*` where `s` is a struct column.
    fn struct_star(&self, input: &Bound, name: &[String], at: crate::pipeline::text::Spot) -> Result<Vec<Item>> {
        let column = Expression::Column { name: name.to_vec(), at };
        let typed = self.resolver(&input.scope).resolve(&column)?;
        let DataType::Struct(fields) = &typed.data_type else {
            return Err(Error::invalid(format!(
                "`{}` is neither a table nor a struct, so it has no .*",
                name.join(".")
            ))
            .class("CANNOT_RESOLVE_STAR_EXPAND")
            .at_if_unplaced(self.text.place(at)));
        };
        let fields = fields.iter().map(|field| Item::Written(field_of(&column, field.name(), at)));
        Ok(fields.collect())
    }

    /// Resolves items over the input: windows and generators in them become operators below.
    pub(super) fn select_items(&self, input: Bound, items: Vec<Item>) -> Result<Bound> {
        let written: Vec<&Expression> = items.iter().filter_map(written).collect();
        let (input, windows) = self.add_windows(input, &written)?;
        let (input, generated) = self.add_generator(input, &items)?;
        let mut list: Vec<(Typed, Option<String>)> = Vec::with_capacity(items.len());
        let scope = input.scope.clone();
        for (position, item) in items.iter().enumerate() {
            if let Some((at, columns)) = &generated
                && *at == position
            {
                list.extend(columns.iter().map(|attribute| {
                    let typed = Typed::new(attribute.reference(), attribute.data_type.clone(), attribute.name.clone());
                    (typed, None)
                }));
                continue;
            }
            match item {
                Item::Entry(entry) => list.push((typed_entry(entry), entry.qualifier.clone())),
                Item::Written(expression) => {
                    let mut resolver = Resolver { windows: &windows, ..self.resolver(&scope) };
                    let typed = resolver.resolve_item(expression)?;
                    let qualifier = match expression {
                        Expression::Column { .. } => qualifier_of(&scope, &typed),
                        _ => None,
                    };
                    list.push((typed, qualifier));
                }
            }
        }
        let below = (input.plan.clone(), scope);
        let (typed, qualifiers): (Vec<Typed>, Vec<Option<String>>) = list.into_iter().unzip();
        let mut bound = self.project(input, typed)?;
        for (entry, qualifier) in bound.scope.entries_mut().iter_mut().zip(qualifiers) {
            entry.qualifier = qualifier;
        }
        bound.below = Some(below);
        Ok(bound)
    }

    /// A projection of typed expressions. A plain column keeps what is known of it.
    pub(super) fn project(&self, input: Bound, list: Vec<Typed>) -> Result<Bound> {
        let mut attributes: Vec<Attribute> = Vec::with_capacity(list.len());
        for typed in &list {
            let mut attribute = self.attribute(typed.name.clone(), typed.data_type.clone());
            if let Some(source) = same_time(&typed.expr, &input.plan) {
                attribute.watermark = source.watermark;
                attribute.window_part = source.window_part;
            }
            attributes.push(attribute);
        }
        let moved: Vec<(u32, u32)> = list
            .iter()
            .zip(&attributes)
            .filter_map(|(typed, attribute)| match &typed.expr {
                Expr::Column(column) => Some((attribute_id(&column.name)?, attribute.id)),
                _ => None,
            })
            .collect();
        for attribute in &mut attributes {
            attribute.window_part = attribute
                .window_part
                .and_then(|(window, part)| moved.iter().find(|(from, _)| *from == window).map(|(_, to)| (*to, part)));
        }
        let scope = self.scope(&attributes, None);
        let streaming = input.plan.streaming;
        let list = list.into_iter().map(|typed| typed.expr).collect();
        Ok(self.bound(Plan { node: Node::Project { input: input.plan, list }, attributes, streaming }, scope))
    }

    /// Puts the one generator of a list below it; gives its position and the columns it becomes.
    fn add_generator(&self, input: Bound, items: &[Item]) -> Result<(Bound, Option<Generated>)> {
        let mut found: Option<(usize, &Call, &[String])> = None;
        for (position, item) in items.iter().enumerate() {
            let Some(expression) = written(item) else { continue };
            let (call, names): (&Expression, &[String]) = match expression {
                Expression::Alias { input, names } => (input, names),
                other => (other, &[]),
            };
            if let Expression::Call(call) = call
                && is_generator(&call.name.to_lowercase())
            {
                if found.is_some() {
                    return Err(Error::invalid("only one generator such as explode may stand in a select list")
                        .class("UNSUPPORTED_GENERATOR.MULTI_GENERATOR")
                        .at_if_unplaced(self.text.place(call.at)));
                }
                found = Some((position, call, names));
            } else if let Some((name, at)) = first_call(expression, &is_generator) {
                return Err(Error::invalid(format!("{name} can only stand on its own in a select list"))
                    .class("UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS")
                    .at_if_unplaced(self.text.place(at)));
            }
        }
        let Some((position, call, names)) = found else { return Ok((input, None)) };
        let (bound, columns) = self.generate(input, call, names, false)?;
        Ok((bound, Some((position, columns))))
    }

    /// The input with a generator's columns after its own.
    fn generate(&self, input: Bound, call: &Call, names: &[String], outer: bool) -> Result<(Bound, Vec<Attribute>)> {
        let name = call.name.to_lowercase();
        let context = crate::function::CallContext { name: &name, session: self.session, text: self.text, at: call.at };
        let typed = self.taken_apart(&input, call, &context)?;
        let (plain, outer) = match name.strip_suffix("_outer") {
            Some(plain) => (plain, true),
            None => (name.as_str(), outer),
        };
        let generator = match plain {
            "explode" => Generator::Explode,
            "posexplode" => Generator::PositionExplode,
            _ => Generator::Inline,
        };
        let mut columns = match (&typed.data_type, generator) {
            (DataType::List(element), Generator::Inline) => match element.data_type() {
                DataType::Struct(fields) => {
                    fields.iter().map(|field| self.attribute(field.name(), field.data_type().clone())).collect()
                }
                other => return Err(context.wrong_type("an ARRAY of STRUCT", other)),
            },
            (DataType::List(element), _) => vec![self.attribute("col", element.data_type().clone())],
            (DataType::Map(entries, _), Generator::Explode | Generator::PositionExplode) => {
                let (key, value) =
                    super::coerce::entry_types(entries).ok_or_else(|| Error::bug("a map without entries"))?;
                vec![self.attribute("key", key), self.attribute("value", value)]
            }
            (other, _) => return Err(context.wrong_type("an ARRAY or MAP", other)),
        };
        if generator == Generator::PositionExplode {
            columns.insert(0, self.attribute("pos", DataType::Int32));
        }
        if !names.is_empty() {
            if names.len() != columns.len() {
                return Err(Error::invalid(format!(
                    "{name} gives {} columns, but {} names are given",
                    columns.len(),
                    names.len()
                ))
                .class("UDTF_ALIAS_NUMBER_MISMATCH")
                .at_if_unplaced(self.text.place(call.at)));
            }
            columns.iter_mut().zip(names).for_each(|(column, name)| column.name.clone_from(name));
        }
        let Bound { plan, mut scope, .. } = input;
        let (mut attributes, streaming) = (plan.attributes.clone(), plan.streaming);
        attributes.extend(columns.iter().cloned());
        for attribute in &columns {
            scope.push(Entry { qualifier: None, attribute: attribute.clone(), hidden: false });
        }
        let node = Node::Explode { input: plan, generator, argument: typed.expr, outer };
        Ok((self.bound(Plan { node, attributes, streaming }, scope), columns))
    }

    /// What a generator takes apart: its argument, or the array its arguments make.
    fn taken_apart(&self, input: &Bound, call: &Call, context: &crate::function::CallContext<'_>) -> Result<Typed> {
        let wrong_count = |takes: &str| {
            Error::invalid(format!("{} takes {takes}", context.name))
                .class("WRONG_NUM_ARGS.WITHOUT_SUGGESTION")
                .at_if_unplaced(self.text.place(call.at))
        };
        let (made_by, takes) = match (context.name, call.arguments.as_slice()) {
            ("json_tuple", _) => ("__json_fields", "text and the names of fields"),
            ("stack", _) => ("__stack", "a number of rows and values"),
            (_, [argument]) => return self.resolver(&input.scope).resolve(argument),
            _ => return Err(wrong_count("one argument")),
        };
        if call.arguments.len() < 2 {
            return Err(wrong_count(takes));
        }
        let list = self.resolver(&input.scope).resolve_all(&call.arguments)?;
        crate::function::build(made_by, list, context)
    }

    /// `LATERAL VIEW`.
    pub(super) fn lateral_view(
        &self,
        input: Bound,
        generator: &Expression,
        outer: bool,
        table: &str,
        names: &[String],
    ) -> Result<Bound> {
        let call = match generator {
            Expression::Call(call) if is_generator(&call.name.to_lowercase()) => call,
            other => return Err(refuse::not_yet("LATERAL VIEW of this function", self.text, other.spot())),
        };
        let (mut bound, columns) = self.generate(input, call, names, outer)?;
        let added = bound.scope.entries().len() - columns.len();
        bound.scope.entries_mut()[added..].iter_mut().for_each(|entry| entry.qualifier = Some(table.to_owned()));
        Ok(bound)
    }
}

/// A field of a struct, under its own name.
fn field_of(input: &Expression, name: &str, at: crate::pipeline::text::Spot) -> Expression {
    Expression::Field { input: Box::new(input.clone()), field: name.to_owned(), at }.alias(name)
}

/// The expression of an item that is still to be resolved.
fn written(item: &Item) -> Option<&Expression> {
    match item {
        Item::Written(expression) => Some(expression),
        Item::Entry(_) => None,
    }
}

/// `F.expr("..")` taken apart, so that stars, aggregates and generators in it are seen.
fn parsed(expression: &Expression) -> Result<Expression> {
    Ok(match expression {
        Expression::Sql { sql } => crate::pipeline::sql::parse_expression(sql)?,
        Expression::Alias { input, names } => {
            Expression::Alias { input: Box::new(parsed(input)?), names: names.clone() }
        }
        other => other.clone(),
    })
}

fn qualifier_of(scope: &Scope, typed: &Typed) -> Option<String> {
    let Expr::Column(column) = &typed.expr else { return None };
    let id = attribute_id(&column.name)?;
    scope.entries().iter().find(|entry| entry.attribute.id == id).and_then(|entry| entry.qualifier.clone())
}

/// The column whose event time an expression still is: the column itself, or the time of its window.
fn same_time<'a>(expr: &Expr, input: &'a Plan) -> Option<&'a Attribute> {
    match expr {
        Expr::Column(column) => input.attribute(attribute_id(&column.name)?),
        Expr::ScalarFunction(call) if call.func.name() == "window_time" => {
            same_time(call.args.first()?, input).filter(|attribute| attribute.watermark.is_some())
        }
        _ => None,
    }
}

/// Rows of constant expressions, as one batch.
pub(super) fn constant_rows(rows: &[Vec<Typed>], attributes: &[Attribute]) -> Result<RecordBatch> {
    let one = RecordBatch::try_new_with_options(
        Arc::new(Schema::empty()),
        vec![],
        &RecordBatchOptions::new().with_row_count(Some(1)),
    )?;
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(attributes.len());
    for (position, attribute) in attributes.iter().enumerate() {
        let cells = rows.iter().map(|row| {
            let typed = row[position].clone();
            let zone = chrono_tz::Tz::UTC;
            let cast =
                crate::function::cast::cast(typed, &attribute.data_type, crate::function::cast::Mode::Ansi, zone);
            let typed = cast.map_err(|_| Error::bug("a constant has no common type"))?;
            evaluate(&compile(&typed.expr, &[])?, &one)
        });
        let cells = cells.collect::<Result<Vec<_>>>()?;
        let references: Vec<&dyn arrow::array::Array> = cells.iter().map(|cell| &**cell).collect();
        columns.push(concat(&references)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(inner_schema(attributes), columns, &options)?)
}
