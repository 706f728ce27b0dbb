//! What is wrong with a binary record, while its reading unwinds: what the decoders of Avro and Protobuf share.
//! Made only for bad records.

use super::reject::{MALFORMED, MISSING_FIELD, NULL_FIELD, WRONG_TYPE};

/// Why a record or a value in it cannot be taken.
#[derive(Debug)]
pub(crate) struct Fault(Box<Detail>);

#[derive(Debug)]
struct Detail {
    code: &'static str,
    what: String,
    /// From the outermost field inwards.
    path: String,
}

impl Fault {
    /// Of a code, with what is wrong.
    #[cold]
    pub fn new(code: &'static str, what: impl Into<String>) -> Fault {
        Fault(Box::new(Detail { code, what: what.into(), path: String::new() }))
    }

    /// The bytes are not the format at all.
    #[cold]
    pub fn malformed(what: impl Into<String>) -> Fault {
        Fault::new(MALFORMED, what)
    }

    /// A value that its column cannot hold.
    #[cold]
    pub fn wrong_type(what: impl Into<String>) -> Fault {
        Fault::new(WRONG_TYPE, what)
    }

    /// A value that must not be null is.
    #[cold]
    pub fn null(name: &str) -> Fault {
        Fault::new(NULL_FIELD, "is null and must not be").inside(name)
    }

    /// A field that must be there is not.
    #[cold]
    pub fn missing(name: &str) -> Fault {
        Fault::new(MISSING_FIELD, "is missing and must not be null").inside(name)
    }

    /// True for a value that its column cannot hold.
    pub fn is_wrong_type(&self) -> bool {
        self.0.code == WRONG_TYPE
    }

    /// Says that it is inside the field `name`.
    #[cold]
    pub fn inside(mut self, name: &str) -> Fault {
        self.0.path = match self.0.path.as_str() {
            "" => name.to_owned(),
            inner => format!("{name}.{inner}"),
        };
        self
    }

    /// The code for grouping.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The whole reason.
    pub fn reason(self) -> String {
        let Detail { what, path, .. } = *self.0;
        if path.is_empty() { what } else { format!("field '{path}' {what}") }
    }
}
