//! Types in angle brackets after `AS` (`CAST(x AS map<string, array<int>>)`), made one token: the parser reads
//! them as the name of a type, and `types::parse_type` reads that.

use super::tokens::is_word;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// Puts every type in angle brackets into one quoted word.
pub fn nested_types(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while index < tokens.len() {
        let after = index.checked_sub(1).and_then(|before| tokens.get(before));
        let is_type = ["ARRAY", "MAP", "STRUCT"].iter().any(|name| is_word(tokens.get(index), name))
            && (is_word(after, "AS") || after.is_some_and(|token| token.token == Token::DoubleColon))
            && matches!(tokens.get(index + 1), Some(TokenWithSpan { token: Token::Lt | Token::Neq, .. }));
        let length = if is_type { length(&tokens[index..]) } else { None };
        let Some(length) = length else {
            out.push(tokens[index].clone());
            index += 1;
            continue;
        };
        let text: Vec<String> = tokens[index..index + length].iter().map(|token| token.token.to_string()).collect();
        let word = Word { value: text.join(" "), quote_style: Some('`'), keyword: Keyword::NoKeyword };
        out.push(TokenWithSpan { token: Token::Word(word), span: tokens[index].span });
        index += length;
    }
    out
}

/// How many tokens the type that starts here has; `None` when its brackets do not close.
fn length(tokens: &[TokenWithSpan]) -> Option<usize> {
    let mut open = 0i32;
    for (index, token) in tokens.iter().enumerate() {
        open += match &token.token {
            Token::Lt => 1,
            Token::Gt => -1,
            Token::ShiftRight => -2,
            Token::Neq | Token::Word(_) | Token::Comma | Token::Colon | Token::Number(..) => 0,
            Token::LParen | Token::RParen => 0,
            _ => return None,
        };
        if index > 0 && open <= 0 {
            return (open == 0).then_some(index + 1);
        }
    }
    None
}
