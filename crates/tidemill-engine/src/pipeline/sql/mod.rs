//! Spark SQL text to relations and expressions.
//!
//! The way of a text: [`tokens`] (tokenised once, Spark's own notations rewritten to ones the parser
//! knows), the parser of the `sqlparser` crate with Spark's [`dialect`], then [`query`] and
//! [`expression`] turn its tree into ours. Nothing is looked up or typed here.

pub mod dialect;
mod expression;
mod literal;
mod nested_types;
pub mod query;
pub mod tokens;

use super::expression::Expression;
use super::relation::Relation;
use super::text::{Spot, Text};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};
use tidemill_core::{Error, Result};

/// Longest SQL text accepted, in bytes.
pub const SQL_BYTES_MAX: usize = 1 << 20;

/// Parses one query given as text, such as `spark.sql` takes.
///
/// # Errors
/// A syntax error with its place.
pub fn parse_query(sql: &str) -> Result<Relation> {
    let text = Text::new("<sql>", sql);
    let mut tokens = tokens::tokenize(sql, &text)?;
    while tokens.last().is_some_and(|last| last.token == Token::SemiColon) {
        tokens.pop();
    }
    query_of_tokens(tokens, &text)
}

/// Parses one expression given as text, such as `F.expr` takes. An alias (`a + 1 AS b`) is allowed.
///
/// # Errors
/// A syntax error with its place.
pub fn parse_expression(sql: &str) -> Result<Expression> {
    let text = Text::new("<sql>", sql);
    let mut parser = parser(tokens::tokenize(sql, &text)?);
    let item = parser.parse_select_item().map_err(|error| syntax_error(&error, &text))?;
    at_end(&mut parser, &text)?;
    let mut list = query::Converter::new(&text).select_item(item)?;
    match list.pop() {
        Some(only) if list.is_empty() => Ok(only),
        _ => Err(Error::invalid("one expression is expected here").class("PARSE_SYNTAX_ERROR")),
    }
}

/// Parses a query from tokens of a larger text.
pub fn query_of_tokens(tokens: Vec<TokenWithSpan>, text: &Text) -> Result<Relation> {
    let mut parser = parser(tokens);
    let parsed = parser.parse_query().map_err(|error| syntax_error(&error, text))?;
    at_end(&mut parser, text)?;
    query::Converter::new(text).query(*parsed)
}

/// A parser over rewritten tokens.
pub fn parser(tokens: Vec<TokenWithSpan>) -> Parser<'static> {
    Parser::new(&dialect::SPARK).with_tokens_with_locations(tokens)
}

fn at_end(parser: &mut Parser<'_>, text: &Text) -> Result<()> {
    let next = parser.peek_token();
    if next.token == Token::EOF {
        return Ok(());
    }
    Err(Error::invalid(format!("cannot read this part of the statement: unexpected `{}`", next.token))
        .class("PARSE_SYNTAX_ERROR")
        .at_if_unplaced(text.place(spot(next.span))))
}

/// A parser's error, with the place its text names.
pub fn syntax_error(error: &ParserError, text: &Text) -> Error {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message.clone(),
        ParserError::RecursionLimitExceeded => "nested too deeply".to_owned(),
    };
    let (message, at) = split_location(&message);
    let mut letters = message.chars();
    let message = letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default();
    let message: String = message;
    Error::invalid(message).class("PARSE_SYNTAX_ERROR").at_if_unplaced(text.place(at))
}

/// Cuts ` at Line: 3, Column: 7` off a parser's message.
fn split_location(message: &str) -> (&str, Spot) {
    let cut = message.rfind(" at Line: ").and_then(|at| {
        let (line, column) = message[at + 10..].split_once(", Column: ")?;
        Some((at, Spot { line: line.parse().ok()?, column: column.trim().parse().ok()?, length: 1 }))
    });
    cut.map_or((message, Spot::default()), |(at, spot)| (&message[..at], spot))
}

/// A parser's span as our spot.
pub fn spot(span: Span) -> Spot {
    let length =
        if span.start.line == span.end.line { span.end.column.saturating_sub(span.start.column).max(1) } else { 1 };
    Spot { line: span.start.line, column: span.start.column, length }
}
