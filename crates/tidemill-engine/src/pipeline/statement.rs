//! The statements of a pipeline file: `CREATE TABLE`, `CREATE VIEW`, `INSERT INTO`, `SET`.

use super::expression::Expression;
use super::relation::Relation;
use super::sql::{self, query::Converter, tokens};
use super::text::{Spot, Text};
use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};
use tidemill_core::nearest::nearest;
use tidemill_core::options::GivenOption;
use tidemill_core::{Error, Result, types};

/// One statement.
#[derive(Debug, Clone)]
pub enum Statement {
    /// A source, a sink or a static table.
    CreateTable(TableDefinition),
    /// A named query.
    CreateView { name: String, query: Relation, at: Spot },
    /// A query whose rows go to a table.
    Insert { table: String, columns: Vec<String>, query: Relation, at: Spot },
    /// A setting.
    Set(GivenOption),
}

/// The event-time column of a table, the delay, and where it stands.
pub type DeclaredWatermark = (String, String, Spot);

/// A `CREATE TABLE`.
#[derive(Debug, Clone)]
pub struct TableDefinition {
    /// Its name.
    pub name: String,
    /// Declared columns, in order.
    pub columns: Vec<ColumnDefinition>,
    /// `WATERMARK FOR column AS column - delay`: the column and the delay.
    pub watermark: Option<DeclaredWatermark>,
    /// The `WITH` list.
    pub options: Vec<GivenOption>,
    /// Where its name stands.
    pub at: Spot,
}

/// A column of a `CREATE TABLE`.
#[derive(Debug, Clone)]
pub struct ColumnDefinition {
    /// Its name, in the case it was written.
    pub name: String,
    /// What it is.
    pub kind: ColumnKind,
}

/// What a column is.
#[derive(Debug, Clone)]
pub enum ColumnKind {
    /// A column of the table's rows.
    Stored { data_type: DataType, nullable: bool },
    /// `name AS expression`: computed from the other columns.
    Computed(Expression),
}

/// Parses a whole pipeline file.
///
/// # Errors
/// The first syntax error, with its place.
pub fn parse(content: &str, text: &Text) -> Result<Vec<Statement>> {
    let tokens = tokens::tokenize(content, text)?;
    let statements = tokens.split(|token| token.token == Token::SemiColon);
    let statements = statements.map(|statement| {
        let eof = |token: &&TokenWithSpan| token.token != Token::EOF;
        statement.iter().filter(eof).cloned().collect::<Vec<_>>()
    });
    statements
        .filter(|statement| !statement.is_empty())
        .map(|statement| StatementParser::new(statement, text)?.statement())
        .collect()
}

struct StatementParser<'a> {
    parser: Parser<'static>,
    tokens: Vec<TokenWithSpan>,
    text: &'a Text,
}

impl<'a> StatementParser<'a> {
    fn new(tokens: Vec<TokenWithSpan>, text: &'a Text) -> Result<Self> {
        let end = tokens.last().map_or(Location::empty(), |last| last.span.end);
        let mut with_end = tokens.clone();
        with_end.push(TokenWithSpan { token: Token::EOF, span: Span::new(end, end) });
        Ok(StatementParser { parser: sql::parser(with_end), tokens, text })
    }

    fn statement(mut self) -> Result<Statement> {
        let first = self.parser.peek_token();
        match &first.token {
            Token::Word(word) => match word.keyword {
                Keyword::CREATE => self.create(),
                Keyword::INSERT => self.insert(),
                Keyword::SET => self.set(),
                Keyword::SELECT | Keyword::WITH => Err(self.error(
                    "a query whose rows go nowhere",
                    first.span.into(),
                    "write INSERT INTO a_sink SELECT ..",
                )),
                _ => {
                    let known = ["CREATE", "INSERT", "SET"];
                    let help = match nearest(&word.value, known) {
                        Some(near) => format!("did you mean {near}?"),
                        None => "statements: CREATE TABLE, CREATE VIEW, INSERT INTO, SET".to_owned(),
                    };
                    Err(self.error(&format!("there is no statement `{}`", word.value), first.span.into(), &help))
                }
            },
            other => Err(self.error(
                &format!("a statement cannot start with `{other}`"),
                first.span.into(),
                "statements: CREATE TABLE, CREATE VIEW, INSERT INTO, SET",
            )),
        }
    }

    fn create(&mut self) -> Result<Statement> {
        self.parser.next_token();
        let _ = self.parser.parse_keywords(&[Keyword::OR, Keyword::REPLACE]);
        self.eat_word("STREAMING");
        let _ = self.parser.parse_one_of_keywords(&[Keyword::TEMPORARY, Keyword::TEMP, Keyword::GLOBAL]);
        if self.parser.parse_keyword(Keyword::VIEW) {
            return self.create_view();
        }
        self.expect(|parser| parser.expect_keyword(Keyword::TABLE).map(|_| ()))?;
        let _ = self.parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
        let (name, at) = self.name()?;
        let (mut columns, mut watermark) = (vec![], None);
        if self.parser.consume_token(&Token::LParen) {
            (columns, watermark) = self.columns()?;
        }
        let options = self.table_options()?;
        self.end()?;
        Ok(Statement::CreateTable(TableDefinition { name, columns, watermark, options, at }))
    }

    fn create_view(&mut self) -> Result<Statement> {
        let _ = self.parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
        let (name, at) = self.name()?;
        self.expect(|parser| parser.expect_keyword(Keyword::AS).map(|_| ()))?;
        Ok(Statement::CreateView { name, query: self.rest_as_query()?, at })
    }

    fn insert(&mut self) -> Result<Statement> {
        self.parser.next_token();
        let overwrite = self.parser.peek_token();
        if self.parser.parse_keyword(Keyword::OVERWRITE) {
            return Err(self.error(
                "INSERT OVERWRITE does not fit a stream",
                overwrite.span.into(),
                "write INSERT INTO, and set output_mode = 'complete' to replace the whole result at each epoch",
            ));
        }
        self.expect(|parser| parser.expect_keyword(Keyword::INTO).map(|_| ()))?;
        let _ = self.parser.parse_keyword(Keyword::TABLE);
        let (table, at) = self.name()?;
        let mut columns = Vec::new();
        if self.parser.peek_token().token == Token::LParen && !self.parenthesis_opens_query() {
            self.parser.next_token();
            loop {
                columns.push(self.name()?.0);
                if !self.parser.consume_token(&Token::Comma) {
                    break;
                }
            }
            self.expect(|parser| parser.expect_token(&Token::RParen).map(|_| ()))?;
        }
        Ok(Statement::Insert { table, columns, query: self.rest_as_query()?, at })
    }

    fn parenthesis_opens_query(&self) -> bool {
        matches!(self.parser.peek_nth_token(1).token,
            Token::Word(ref word) if matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES))
    }

    fn set(&mut self) -> Result<Statement> {
        let words = &self.tokens[1..];
        let equals = words.iter().position(|token| token.token == Token::Eq);
        let Some(equals) = equals.filter(|&at| at > 0 && at + 1 < words.len()) else {
            let at = self.tokens[0].span.into();
            return Err(self.error("cannot read this SET", at, "write SET key = value"));
        };
        let place = self.text.place(tokens::token_spot(&words[0]));
        Ok(Statement::Set(GivenOption { key: joined(&words[..equals]), value: joined(&words[equals + 1..]), place }))
    }

    fn columns(&mut self) -> Result<(Vec<ColumnDefinition>, Option<DeclaredWatermark>)> {
        let (mut columns, mut watermark) = (Vec::new(), None);
        loop {
            let next = self.parser.peek_token();
            if is_word(&next, "WATERMARK") && is_word(&self.parser.peek_nth_token(1), "FOR") {
                if watermark.is_some() {
                    return Err(self.error(
                        "a second WATERMARK",
                        next.span.into(),
                        "a table has one event-time column",
                    ));
                }
                watermark = Some(self.watermark()?);
            } else {
                columns.push(self.column()?);
            }
            if !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        self.expect(|parser| parser.expect_token(&Token::RParen).map(|_| ()))?;
        Ok((columns, watermark))
    }

    fn column(&mut self) -> Result<ColumnDefinition> {
        let (name, _) = self.name()?;
        if self.parser.parse_keyword(Keyword::AS) {
            let expr = self.expect(Parser::parse_expr)?;
            let computed = Converter::new(self.text).expression(expr)?;
            return Ok(ColumnDefinition { name, kind: ColumnKind::Computed(computed) });
        }
        let at = self.parser.peek_token();
        let data_type = types::parse_type(&self.written_type())
            .map_err(|error| error.at_if_unplaced(self.text.place(sql::spot(at.span))))?;
        let mut nullable = true;
        loop {
            if self.parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]) {
                nullable = false;
            } else if self.parser.parse_keyword(Keyword::COMMENT) {
                self.parser.next_token();
            } else if !self.parser.parse_keyword(Keyword::NULL) {
                break;
            }
        }
        Ok(ColumnDefinition { name, kind: ColumnKind::Stored { data_type, nullable } })
    }

    /// The text of a type, as far as it goes. (The parser of the crate has another notation for maps.)
    fn written_type(&mut self) -> String {
        let (mut written, mut depth) = (String::new(), 0);
        loop {
            let next = self.parser.peek_token().token;
            let change = match &next {
                Token::EOF => break,
                Token::Comma if depth == 0 => break,
                Token::Word(word) if depth == 0 && ends_type(word.keyword) => break,
                Token::Lt | Token::LParen => 1,
                Token::Gt | Token::RParen => -1,
                Token::ShiftRight => -2,
                _ => 0,
            };
            depth += change;
            if depth < 0 {
                break;
            }
            written += &format!("{next} ");
            self.parser.next_token();
        }
        written
    }

    /// `WATERMARK FOR ts AS ts - INTERVAL '10 minutes'`, or `AS ts` for no delay.
    fn watermark(&mut self) -> Result<(String, String, Spot)> {
        let at = self.parser.next_token().span;
        self.parser.next_token();
        let (column, _) = self.name()?;
        let wrong = "a watermark is written WATERMARK FOR ts AS ts - INTERVAL '10 minutes'";
        self.expect(|parser| parser.expect_keyword(Keyword::AS).map(|_| ()))?;
        let expr = self.expect(Parser::parse_expr)?;
        let delay = match Converter::new(self.text).expression(expr)? {
            Expression::Column { name, .. } if name.join(".").eq_ignore_ascii_case(&column) => "0 seconds".to_owned(),
            Expression::Binary { operator: super::expression::BinaryOperator::Subtract, left, right, .. } => {
                match (*left, *right) {
                    (Expression::Column { name, .. }, Expression::Literal { text: Some(delay), .. })
                        if name.join(".").eq_ignore_ascii_case(&column) =>
                    {
                        delay
                    }
                    _ => return Err(self.error("cannot read this watermark", at.into(), wrong)),
                }
            }
            _ => return Err(self.error("cannot read this watermark", at.into(), wrong)),
        };
        Ok((column, delay, sql::spot(at)))
    }

    /// `WITH (key = 'value', ..)`, or Spark's `USING connector OPTIONS (key 'value', ..)`.
    fn table_options(&mut self) -> Result<Vec<GivenOption>> {
        let mut options = Vec::new();
        if self.parser.parse_keyword(Keyword::USING) {
            let (connector, at) = self.name()?;
            let place = self.text.place(at);
            options.push(GivenOption { key: "connector".into(), value: connector, place });
        }
        let listed = self.parser.parse_one_of_keywords(&[Keyword::WITH, Keyword::OPTIONS, Keyword::TBLPROPERTIES]);
        if listed.is_some() {
            self.expect(|parser| parser.expect_token(&Token::LParen).map(|_| ()))?;
            while self.parser.peek_token().token != Token::RParen {
                options.push(self.option()?);
                if !self.parser.consume_token(&Token::Comma) {
                    break;
                }
            }
            self.expect(|parser| parser.expect_token(&Token::RParen).map(|_| ()))?;
        }
        Ok(options)
    }

    fn option(&mut self) -> Result<GivenOption> {
        let first = self.parser.peek_token();
        let mut key = String::new();
        loop {
            let token = self.parser.next_token();
            match token.token {
                Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => key.push_str(&text),
                Token::Word(word) => key.push_str(&word.value),
                other => {
                    let message = format!("an option starts with its name, not with `{other}`");
                    return Err(self.error(&message, first.span.into(), "write key = 'value'"));
                }
            }
            if !self.parser.consume_token(&Token::Period) {
                break;
            }
            key.push('.');
        }
        let _ = self.parser.consume_token(&Token::Eq);
        let value = self.parser.next_token();
        let text = match value.token {
            Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => text,
            Token::Number(digits, _) => digits,
            Token::Word(word) if word.quote_style.is_none() => word.value,
            other => {
                let message = format!("the value of option '{key}' is `{other}`");
                return Err(self.error(&message, value.span.into(), "write key = 'value'"));
            }
        };
        Ok(GivenOption { key, value: text, place: self.text.place(sql::spot(first.span)) })
    }

    fn rest_as_query(&mut self) -> Result<Relation> {
        let next = self.parser.peek_token().span;
        let start = self.tokens.iter().position(|token| token.span == next).unwrap_or(self.tokens.len());
        if start == self.tokens.len() {
            let last = self.tokens[start - 1].span.into();
            return Err(self.error("a query is missing here", last, "write .. SELECT .."));
        }
        let mut tokens = self.tokens[start..].to_vec();
        let end = tokens[tokens.len() - 1].span.end;
        tokens.push(TokenWithSpan { token: Token::EOF, span: Span::new(end, end) });
        sql::query_of_tokens(tokens, self.text)
    }

    fn name(&mut self) -> Result<(String, Spot)> {
        let at = sql::spot(self.parser.peek_token().span);
        let name = self.expect(|parser| parser.parse_object_name(false))?;
        Ok((sql::query::name_parts(&name).join("."), at))
    }

    fn eat_word(&mut self, wanted: &str) {
        if is_word(&self.parser.peek_token(), wanted) {
            self.parser.next_token();
        }
    }

    fn end(&mut self) -> Result<()> {
        let next = self.parser.peek_token();
        if next.token == Token::EOF {
            return Ok(());
        }
        Err(self.error(&format!("unexpected `{}`", next.token), next.span.into(), "statements end with `;`"))
    }

    fn expect<T>(&mut self, parse: impl FnOnce(&mut Parser<'static>) -> Result<T, ParserError>) -> Result<T> {
        parse(&mut self.parser).map_err(|error| sql::syntax_error(&error, self.text))
    }

    fn error(&self, message: &str, at: SpanSpot, help: &str) -> Error {
        Error::invalid(message.to_owned())
            .class("PARSE_SYNTAX_ERROR")
            .at_if_unplaced(self.text.place(at.0))
            .help(help.to_owned())
    }
}

struct SpanSpot(Spot);

impl From<Span> for SpanSpot {
    fn from(span: Span) -> Self {
        SpanSpot(sql::spot(span))
    }
}

/// True for a word that stands after a column's type.
fn ends_type(word: Keyword) -> bool {
    matches!(word, Keyword::NOT | Keyword::NULL | Keyword::COMMENT)
}

fn is_word(token: &TokenWithSpan, wanted: &str) -> bool {
    tokens::is_word(Some(token), wanted)
}

/// Tokens as the text they stood for: quotes taken off, a space where there was one.
fn joined(tokens: &[TokenWithSpan]) -> String {
    let mut text = String::new();
    for (index, token) in tokens.iter().enumerate() {
        if index > 0 && tokens[index - 1].span.end != token.span.start {
            text.push(' ');
        }
        match &token.token {
            Token::SingleQuotedString(value) | Token::DoubleQuotedString(value) => text.push_str(value),
            Token::Word(word) => text.push_str(&word.value),
            other => text.push_str(&other.to_string()),
        }
    }
    text
}

#[cfg(test)]
mod tests;
