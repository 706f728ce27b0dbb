//! Text to tokens, and Spark's own notations rewritten at the level of tokens to ones the parser
//! reads. Positions stay those of the user's text.
//!
//! | written | rewritten |
//! |---|---|
//! | `1BD`, `1Y`, `2S`, `3D`, `4F` | `__number('1', 'BD')` |
//! | `INTERVAL 10 MINUTES 30 SECONDS`, `INTERVAL '2' DAY` | `INTERVAL '10 minutes 30 seconds'` |
//! | `t WATERMARK ts DELAY OF INTERVAL 10 MINUTES` | `__watermark(t, ts, INTERVAL '10 minutes')` |
//! | `TUMBLE(TABLE t, ..)` | `TUMBLE(t, ..)` |
//! | `struct(a AS x, b)` | `struct(x => a, b)` |
//! | `s LIKE ANY (..)`, `s ILIKE ALL (..)` | `s LIKE __any(..)`, `s ILIKE __all(..)` |
//! | `trim(LEADING FROM s)`, `trim('x', s)` | `ltrim(s)`, `trim('x', s)`, `trim` no longer a keyword |
//! | `exists(array, x -> ..)` | the same, `exists` no longer a keyword |

use super::dialect::SPARK;
use super::{spot, syntax_error};
use crate::pipeline::text::{Spot, Text};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer, Word};
use tidemill_core::{Error, Result};

/// The function a number with a suffix becomes.
pub const NUMBER: &str = "__number";
/// The table function a `WATERMARK` clause becomes.
pub const WATERMARK: &str = "__watermark";

/// Tokenises `sql` and rewrites Spark's notations.
///
/// # Errors
/// Text that cannot be cut into tokens: an open quote, a stray character.
pub fn tokenize(sql: &str, text: &Text) -> Result<Vec<TokenWithSpan>> {
    if sql.len() > super::SQL_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the SQL text is {} bytes long; at most {} are read",
            sql.len(),
            super::SQL_BYTES_MAX
        )));
    }
    let tokens = Tokenizer::new(&SPARK, sql)
        .tokenize_with_location()
        .map_err(|error| syntax_error(&ParserError::TokenizerError(error.to_string()), text))?;
    let tokens = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let tokens = super::nested_types::nested_types(tokens);
    Ok(watermarks(quantified_patterns(struct_names(trims(exists_calls(table_arguments(intervals(number_suffixes(
        tokens,
    )))))))))
}

/// True for the unquoted word `wanted`.
pub fn is_word(token: Option<&TokenWithSpan>, wanted: &str) -> bool {
    matches!(token, Some(TokenWithSpan { token: Token::Word(word), .. })
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

/// Where a token stands.
pub fn token_spot(token: &TokenWithSpan) -> Spot {
    spot(token.span)
}

fn at(token: Token, span: Span) -> TokenWithSpan {
    TokenWithSpan { token, span }
}

fn word(value: &str, span: Span) -> TokenWithSpan {
    at(Token::Word(Word { value: value.to_owned(), quote_style: None, keyword: Keyword::NoKeyword }), span)
}

fn text_token(value: String, span: Span) -> TokenWithSpan {
    at(Token::SingleQuotedString(value), span)
}

fn number_suffixes(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let suffix = match &token.token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
            _ => String::new(),
        };
        let number = out.last().and_then(|last| match &last.token {
            Token::Number(digits, false) if last.span.end == token.span.start => Some((digits.clone(), last.span)),
            _ => None,
        });
        match (number, suffix.as_str()) {
            (Some((digits, span)), "BD" | "Y" | "S" | "D" | "F") => {
                out.pop();
                out.extend([
                    word(NUMBER, span),
                    at(Token::LParen, span),
                    text_token(digits, span),
                    at(Token::Comma, span),
                    text_token(suffix, span),
                    at(Token::RParen, span),
                ]);
            }
            _ => out.push(token),
        }
    }
    out
}

const UNITS: [&str; 9] = ["year", "month", "week", "day", "hour", "minute", "second", "millisecond", "microsecond"];

fn unit(token: Option<&TokenWithSpan>) -> Option<&'static str> {
    let Some(TokenWithSpan { token: Token::Word(word), .. }) = token else { return None };
    let name = word.value.to_ascii_lowercase();
    UNITS.into_iter().find(|unit| name == *unit || name.strip_suffix('s') == Some(unit))
}

fn intervals(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while index < tokens.len() {
        let start = index;
        out.push(tokens[index].clone());
        index += 1;
        if !is_word(tokens.get(start), "INTERVAL") {
            continue;
        }
        let mut text = Vec::new();
        while let Some((piece, used)) = interval_piece(&tokens[index..]) {
            text.push(piece);
            index += used;
        }
        if !text.is_empty() {
            out.push(text_token(text.join(" "), tokens[start].span));
        }
    }
    out
}

/// `[-] value unit [TO unit]` at the start of `tokens`: its text and how many tokens it takes.
fn interval_piece(tokens: &[TokenWithSpan]) -> Option<(String, usize)> {
    let (sign, rest) = match tokens.first()?.token {
        Token::Minus => ("-", &tokens[1..]),
        _ => ("", tokens),
    };
    let value = match &rest.first()?.token {
        Token::Number(digits, _) => digits.clone(),
        Token::SingleQuotedString(text) => text.clone(),
        _ => return None,
    };
    let first = unit(rest.get(1))?;
    let used = sign.len() + 2;
    match (is_word(rest.get(2), "TO"), unit(rest.get(3))) {
        (true, Some(last)) => Some((format!("{sign}{value} {first} to {last}"), used + 2)),
        _ => Some((format!("{sign}{value} {first}"), used)),
    }
}

fn table_arguments(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_table_argument = |index: usize| {
        let before = |back: usize| index.checked_sub(back).and_then(|at| tokens.get(at));
        let function = |token: Option<&TokenWithSpan>| {
            ["TUMBLE", "HOP", "SESSION", "CUMULATE"].iter().any(|name| is_word(token, name))
        };
        is_word(tokens.get(index), "TABLE")
            && match before(1).map(|token| &token.token) {
                Some(Token::LParen) => function(before(2)),
                Some(Token::RArrow) => is_word(before(2), "DATA"),
                _ => false,
            }
    };
    let keep: Vec<bool> = (0..tokens.len()).map(|index| !is_table_argument(index)).collect();
    tokens.into_iter().zip(keep).filter_map(|(token, keep)| keep.then_some(token)).collect()
}

fn exists_calls(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    for index in 0..tokens.len() {
        let is_call = is_word(tokens.get(index), "EXISTS")
            && tokens.get(index + 1).is_some_and(|next| next.token == Token::LParen)
            && !["SELECT", "WITH", "VALUES", "FROM", "TABLE"].iter().any(|start| is_word(tokens.get(index + 2), start));
        if is_call {
            tokens[index] = word("exists", tokens[index].span);
        }
    }
    tokens
}

/// `trim` with its characters or its side left out, or with a comma, is a call like any other.
fn trims(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while index < tokens.len() {
        let is_call =
            is_word(tokens.get(index), "TRIM") && tokens.get(index + 1).is_some_and(|next| next.token == Token::LParen);
        if !is_call {
            out.push(tokens[index].clone());
            index += 1;
            continue;
        }
        let sides = [("BOTH", "trim"), ("LEADING", "ltrim"), ("TRAILING", "rtrim")];
        let side = sides.iter().find(|(side, _)| is_word(tokens.get(index + 2), side));
        match side {
            Some((_, function)) if is_word(tokens.get(index + 3), "FROM") => {
                out.extend([word(function, tokens[index].span), tokens[index + 1].clone()]);
                index += 4;
            }
            None if has_comma(&tokens[index + 1..]) => {
                out.push(word("trim", tokens[index].span));
                index += 1;
            }
            _ => {
                out.push(tokens[index].clone());
                index += 1;
            }
        }
    }
    out
}

/// True when the parenthesis `tokens` start with has a comma of its own.
fn has_comma(tokens: &[TokenWithSpan]) -> bool {
    let mut open = 0i32;
    for token in tokens {
        match token.token {
            Token::LParen => open += 1,
            Token::RParen => open -= 1,
            Token::Comma if open == 1 => return true,
            _ => {}
        }
        if open == 0 {
            break;
        }
    }
    false
}

/// `LIKE ANY ('a', 'b')`: the list becomes the arguments of a call.
fn quantified_patterns(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    for index in 1..tokens.len() {
        let after_like = is_word(tokens.get(index - 1), "LIKE") || is_word(tokens.get(index - 1), "ILIKE");
        if !after_like || tokens.get(index + 1).is_none_or(|next| next.token != Token::LParen) {
            continue;
        }
        let span = tokens[index].span;
        if is_word(tokens.get(index), "ALL") {
            tokens[index] = word("__all", span);
        } else if is_word(tokens.get(index), "ANY") || is_word(tokens.get(index), "SOME") {
            tokens[index] = word("__any", span);
        }
    }
    tokens
}

fn struct_names(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    // where the argument of each open parenthesis starts in `out`; None outside of a struct
    let mut starts: Vec<Option<usize>> = vec![];
    for (index, token) in tokens.iter().enumerate() {
        if matches!(token.token, Token::Comma | Token::RParen)
            && let Some(Some(start)) = starts.last().copied()
            && out.len() >= start + 3
            && is_word(out.get(out.len() - 2), "AS")
            && let Some(TokenWithSpan { token: Token::Word(_), span }) = out.last().cloned()
            && let Some(name) = out.pop()
        {
            out.pop();
            out.splice(start..start, [name, at(Token::RArrow, span)]);
        }
        out.push(token.clone());
        match token.token {
            Token::LParen => {
                let in_struct = index > 0 && is_word(tokens.get(index - 1), "STRUCT");
                starts.push(in_struct.then_some(out.len()));
            }
            Token::RParen => drop(starts.pop()),
            Token::Comma => {
                if let Some(Some(start)) = starts.last_mut() {
                    *start = out.len();
                }
            }
            _ => {}
        }
    }
    out
}

fn watermarks(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while index < tokens.len() {
        let is_clause = is_word(tokens.get(index), "WATERMARK")
            && is_word(tokens.get(index + 2), "DELAY")
            && is_word(tokens.get(index + 3), "OF")
            && is_word(tokens.get(index + 4), "INTERVAL");
        let interval = tokens.get(index + 5).map(|token| &token.token);
        match (is_clause, interval, factor_start(&out)) {
            (true, Some(Token::SingleQuotedString(_)), Some(start)) => {
                let span = tokens[index].span;
                out.splice(start..start, [word(WATERMARK, span), at(Token::LParen, span)]);
                out.extend([at(Token::Comma, span), tokens[index + 1].clone(), at(Token::Comma, span)]);
                out.extend([tokens[index + 4].clone(), tokens[index + 5].clone(), at(Token::RParen, span)]);
                index += 6;
            }
            _ => {
                out.push(tokens[index].clone());
                index += 1;
            }
        }
    }
    out
}

/// Where the table factor that ends `tokens` starts: a dotted name, a call or a subquery.
fn factor_start(tokens: &[TokenWithSpan]) -> Option<usize> {
    let mut start = tokens.len().checked_sub(1)?;
    if tokens[start].token == Token::RParen {
        let mut open = 0i32;
        loop {
            match tokens[start].token {
                Token::RParen => open += 1,
                Token::LParen => open -= 1,
                _ => {}
            }
            if open == 0 {
                break;
            }
            start = start.checked_sub(1)?;
        }
        let is_name = |token: &TokenWithSpan| matches!(&token.token, Token::Word(word) if matches!(word.keyword, Keyword::NoKeyword));
        if start > 0 && is_name(&tokens[start - 1]) {
            start -= 1;
        }
        return Some(start);
    }
    while start >= 2 && tokens[start - 1].token == Token::Period {
        start -= 2;
    }
    Some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(sql: &str) -> String {
        let tokens = tokenize(sql, &Text::new("<sql>", sql)).unwrap();
        tokens.iter().map(|token| token.token.to_string()).collect::<Vec<_>>().join(" ").replace(" EOF", "")
    }

    #[test]
    fn intervals_become_one_text() {
        assert_eq!(rewritten("INTERVAL 10 MINUTES 30 SECONDS"), "INTERVAL '10 minute 30 second'");
        assert_eq!(rewritten("INTERVAL '1-2' YEAR TO MONTH"), "INTERVAL '1-2 year to month'");
        assert_eq!(rewritten("INTERVAL '10 minutes'"), "INTERVAL '10 minutes'");
        assert_eq!(rewritten("INTERVAL -5 HOURS"), "INTERVAL '-5 hour'");
    }

    #[test]
    fn suffixes_become_calls_but_aliases_do_not() {
        assert_eq!(rewritten("1BD"), "__number ( '1' , 'BD' )");
        assert_eq!(rewritten("1 d"), "1 d");
    }

    #[test]
    fn names_in_a_struct_become_named_arguments() {
        assert_eq!(
            rewritten("struct(a AS x, f(b, c) AS y, cast(d AS int), e)"),
            "struct ( x => a , y => f ( b , c ) , cast ( d AS int ) , e )"
        );
    }

    #[test]
    fn a_watermark_clause_wraps_its_table() {
        assert_eq!(
            rewritten("FROM db.t WATERMARK ts DELAY OF INTERVAL 1 HOUR AS e"),
            "FROM __watermark ( db . t , ts , INTERVAL '1 hour' ) AS e"
        );
        assert_eq!(
            rewritten("FROM (SELECT 1) WATERMARK ts DELAY OF INTERVAL '1 hour'"),
            "FROM __watermark ( ( SELECT 1 ) , ts , INTERVAL '1 hour' )"
        );
    }
}
