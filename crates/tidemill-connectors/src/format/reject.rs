//! The making of rejects, and the option that says when there are any: the same for every format.

use tidemill_core::Options;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::format::{REASON_BYTES_MAX, Reject};

/// Not the format at all.
pub(crate) const MALFORMED: &str = "MALFORMED";
/// A value that its column's type cannot hold.
pub(crate) const WRONG_TYPE: &str = "WRONG_TYPE";
/// A column that must be there is not.
pub(crate) const MISSING_FIELD: &str = "MISSING_FIELD";
/// A column that must not be NULL is.
pub(crate) const NULL_FIELD: &str = "NULL_FIELD";
/// Written with a schema that is not known, or of no use.
pub(crate) const UNKNOWN_SCHEMA: &str = "UNKNOWN_SCHEMA";
/// A large value that was not sent, where nobody asks which they are.
pub(crate) const UNCHANGED_VALUE: &str = "UNCHANGED_VALUE";

/// The option that decides what becomes of a value of the wrong type.
pub(crate) const BAD_FIELDS: OptionSpec = OptionSpec::new(
    "bad_fields",
    OptionKind::Choice(&["reject", "null"]),
    "a value that does not fit its column: 'reject' the record, or make the value NULL, as Spark does",
)
.default("reject");

/// True when a value of the wrong type becomes NULL.
pub(crate) fn bad_fields_are_null(options: &Options) -> bool {
    options.text(BAD_FIELDS.name).is_some_and(|word| word.eq_ignore_ascii_case("null"))
}

/// A reject of the record `bytes` at `offset`; a reason that is too long is cut.
pub(crate) fn reject(offset: u64, bytes: &[u8], code: &'static str, mut reason: String) -> Reject {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    Reject { offset, bytes: bytes.to_vec(), code, reason }
}

/// The beginning of a value as a reason shows it.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 60;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_MAX)]);
    if bytes.len() > SHOWN_MAX { format!("{text}...") } else { text.into_owned() }
}
