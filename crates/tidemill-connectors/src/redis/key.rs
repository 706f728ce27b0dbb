//! Keys made of columns: `user:{user_id}`.
//!
//! A column stands in braces; `{{` and `}}` are braces of the key itself, so that `{{{user_id}}}:sum`
//! gives `{42}:sum`, whose braces are a cluster's hash tag. So that two rows never share a key by
//! accident, `%`, `:`, `{`, `}` and control bytes of a text become `%` and two hexadecimal digits, and
//! NULL is `%NULL`.

use super::text::Texts;
use arrow::array::{Array as _, ArrayRef, AsArray};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use tidemill_core::nearest::nearest;
use tidemill_core::{Error, Result, types};

/// A checked key.
#[derive(Debug, Clone)]
pub(crate) struct KeyTemplate {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Literal(String),
    /// Positions of a column and of the fields below it.
    Column(Vec<usize>),
}

impl KeyTemplate {
    /// Reads `text` against the columns of table `table`.
    ///
    /// # Errors
    /// An open brace, a name that is no column (with the nearest), a column without text.
    pub(crate) fn parse(table: &str, text: &str, schema: &SchemaRef) -> Result<Self> {
        let wrong = |what: &str| {
            Error::invalid(format!("option 'key' of table '{table}' is '{text}': {what}"))
                .help("write a column as {column}; a brace of the key itself is doubled")
        };
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                // `}}}` after a column: the column's own brace comes first, by the loop below
                '{' | '}' if letters.peek() == Some(&letter) => {
                    letters.next();
                    literal.push(letter);
                }
                '{' => {
                    let mut name = String::new();
                    loop {
                        match letters.next() {
                            Some('}') => break,
                            Some(letter) => name.push(letter),
                            None => return Err(wrong("a brace is not closed")),
                        }
                    }
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Column(find(table, &name, schema)?));
                }
                '}' => return Err(wrong("a brace is closed that was not opened")),
                letter => literal.push(letter),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        if parts.is_empty() {
            return Err(wrong("it is empty"));
        }
        Ok(KeyTemplate { parts })
    }

    /// Columns the key is made of, by their positions.
    pub(crate) fn columns(&self) -> Vec<usize> {
        let column = |part: &Part| match part {
            Part::Column(path) => path.first().copied(),
            Part::Literal(_) => None,
        };
        self.parts.iter().filter_map(column).collect()
    }

    /// The hash tag that all keys share, or the whole key when no column is in it.
    pub(crate) fn constant_tag(&self) -> Option<String> {
        let Some(Part::Literal(first)) = self.parts.first() else { return None };
        let tag = super::slot::tag(first.as_bytes());
        match tag.and_then(|tag| std::str::from_utf8(tag).ok()) {
            Some(tag) => Some(tag.to_owned()),
            None => (self.parts.len() == 1).then(|| first.clone()),
        }
    }

    /// The keys of `rows`.
    ///
    /// # Errors
    /// A type without text.
    pub(crate) fn keys(&self, rows: &RecordBatch) -> Result<Vec<Vec<u8>>> {
        let mut keys = vec![Vec::new(); rows.num_rows()];
        for part in &self.parts {
            match part {
                Part::Literal(text) => keys.iter_mut().for_each(|key| key.extend_from_slice(text.as_bytes())),
                Part::Column(path) => {
                    let column = column(rows, path);
                    let texts = Texts::new(&column)?;
                    for (row, key) in keys.iter_mut().enumerate() {
                        match texts.get(row) {
                            None => key.extend_from_slice(b"%NULL"),
                            Some(text) if texts.is_scalar() => key.extend_from_slice(&text),
                            Some(text) => escape(&text, key),
                        }
                    }
                }
            }
        }
        Ok(keys)
    }
}

/// A column, or a field of a struct with the NULLs of the struct.
pub(crate) fn column(rows: &RecordBatch, path: &[usize]) -> ArrayRef {
    let mut found = rows.column(path[0]).clone();
    for field in &path[1..] {
        let of = found.as_struct();
        let inner = of.column(*field).clone();
        found = match of.nulls() {
            None => inner,
            Some(nulls) => {
                let nulls = arrow::buffer::NullBuffer::union(Some(nulls), inner.nulls());
                inner.to_data().into_builder().nulls(nulls).build().map_or(inner, arrow::array::make_array)
            }
        };
    }
    found
}

/// Positions of `name`, which may be `struct.field`.
///
/// # Errors
/// No such column.
pub(crate) fn find(table: &str, name: &str, schema: &SchemaRef) -> Result<Vec<usize>> {
    let mut fields = schema.fields();
    let mut path = Vec::new();
    for word in name.trim().split('.') {
        let Some(at) = fields.iter().position(|field| field.name().eq_ignore_ascii_case(word)) else {
            let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
            let error = Error::invalid(format!("table '{table}' has no column '{name}'"));
            return Err(match nearest(word, names.iter().copied()) {
                Some(near) => error.help(format!("did you mean '{near}'?")),
                None => error.help(format!("columns: {}", names.join(", "))),
            });
        };
        path.push(at);
        match fields[at].data_type() {
            DataType::Struct(inner) => fields = inner,
            of if name.split('.').count() > path.len() => {
                return Err(Error::invalid(format!(
                    "column '{word}' of table '{table}' is {}; it has no fields",
                    types::name(of)
                )));
            }
            _ => {}
        }
    }
    Ok(path)
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'%' | b':' | b'{' | b'}' | 0..=0x1F | 0x7F => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            byte => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use std::sync::Arc;
    use tidemill_core::types::parse_schema;

    fn keys(template: &str) -> Result<Vec<String>> {
        let schema: SchemaRef = Arc::new(parse_schema("id BIGINT, Name STRING").unwrap());
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![Some(-7), None])), Arc::new(StringArray::from(vec!["a:b{c}%", "d"]))];
        let rows = RecordBatch::try_new(schema.clone(), columns).unwrap();
        let keys = KeyTemplate::parse("t", template, &schema)?.keys(&rows)?;
        Ok(keys.into_iter().map(|key| String::from_utf8(key).unwrap()).collect())
    }

    #[test]
    fn columns_are_filled_in_and_texts_escaped() {
        assert_eq!(keys("user:{id}:{name}").unwrap(), ["user:-7:a%3Ab%7Bc%7D%25", "user:%NULL:d"]);
        assert_eq!(keys("{{{id}}}:x").unwrap(), ["{-7}:x", "{%NULL}:x"]);
        assert_eq!(keys("all").unwrap(), ["all", "all"]);
    }

    #[test]
    fn a_wrong_template_says_why() {
        assert!(keys("user:{nmae}").unwrap_err().report().contains("did you mean 'Name'?"));
        assert!(keys("user:{name").unwrap_err().to_string().contains("not closed"));
        assert!(keys("user:name}").unwrap_err().to_string().contains("not opened"));
        assert!(keys("{id.x}").unwrap_err().to_string().contains("has no fields"));
    }

    #[test]
    fn a_tag_is_constant_when_it_stands_before_the_first_column() {
        let schema: SchemaRef = Arc::new(parse_schema("id BIGINT").unwrap());
        let tag = |text| KeyTemplate::parse("t", text, &schema).unwrap().constant_tag();
        assert_eq!(tag("{{users}}:{id}").as_deref(), Some("users"));
        assert_eq!(tag("events").as_deref(), Some("events"));
        assert_eq!(tag("user:{id}"), None);
        assert_eq!(tag("{{{id}}}:x"), None);
    }
}
