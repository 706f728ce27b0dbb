//! What is wrong with a record, while its reading unwinds. Made only for bad records.

use crate::format::reject::{MALFORMED, MISSING_FIELD, NULL_FIELD, WRONG_TYPE, shown};
use arrow::datatypes::DataType;
use tidemill_core::types;

/// Why a record or a value in it cannot be taken.
#[derive(Debug)]
pub(super) struct Fault(Box<Detail>);

#[derive(Debug)]
struct Detail {
    code: &'static str,
    /// For malformed text: what was expected.
    expected: String,
    /// Where in the record, in bytes.
    at: usize,
    /// From the outermost field inwards.
    path: String,
}

impl Fault {
    #[cold]
    fn new(code: &'static str, expected: String, at: usize) -> Fault {
        Fault(Box::new(Detail { code, expected, at, path: String::new() }))
    }

    /// The text is not JSON.
    #[cold]
    pub fn malformed(expected: &str, at: usize) -> Fault {
        Fault::new(MALFORMED, expected.to_owned(), at)
    }

    /// The value at `at` does not fit its column.
    #[cold]
    pub fn wrong_type(at: usize) -> Fault {
        Fault::new(WRONG_TYPE, String::new(), at)
    }

    /// A value that must not be null is.
    #[cold]
    pub fn null(at: usize) -> Fault {
        Fault::new(NULL_FIELD, String::new(), at)
    }

    /// A field that must be there is not.
    #[cold]
    pub fn missing(field: &str, at: usize) -> Fault {
        let mut fault = Fault::new(MISSING_FIELD, String::new(), at);
        fault.0.path = field.to_owned();
        fault
    }

    /// True for text that is not JSON.
    pub fn is_malformed(&self) -> bool {
        self.0.code == MALFORMED
    }

    /// True for a value that does not fit its column.
    pub fn is_wrong_type(&self) -> bool {
        self.0.code == WRONG_TYPE
    }

    /// Says that it is inside the field `name` of type `of`.
    #[cold]
    pub fn inside(mut self, name: &str, of: &DataType) -> Fault {
        let detail = &mut *self.0;
        if detail.path.is_empty() && detail.code != MALFORMED {
            detail.expected = types::name(of);
        }
        detail.path = match detail.path.as_str() {
            "" => name.to_owned(),
            inner => format!("{name}.{inner}"),
        };
        self
    }

    /// The code for grouping.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The whole reason, with what stands in `record` where the fault is.
    pub fn reason(&self, record: &[u8]) -> String {
        let Detail { code, expected, at, path } = &*self.0;
        let found = match record.get(*at..) {
            Some(rest) if !rest.is_empty() => format!("'{}'", shown(token(rest))),
            _ => "the end".to_owned(),
        };
        match *code {
            MISSING_FIELD => format!("field '{path}' is missing and must not be null"),
            NULL_FIELD => format!("field '{path}' is null and must not be (byte {at})"),
            WRONG_TYPE => format!("field '{path}' must be {expected}, found {found} (byte {at})"),
            _ => format!("not valid JSON: expected {expected}, found {found} (byte {at})"),
        }
    }
}

/// The value that `rest` begins with, roughly: what to show of it.
fn token(rest: &[u8]) -> &[u8] {
    let end = match rest.first() {
        Some(b'"') => rest.iter().skip(1).position(|byte| *byte == b'"').map(|at| at + 2),
        Some(b'{' | b'[') => None,
        _ => rest.iter().skip(1).position(|byte| matches!(byte, b',' | b'}' | b']' | b' ')).map(|at| at + 1),
    };
    &rest[..end.unwrap_or(rest.len())]
}
