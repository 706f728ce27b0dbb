//! What the program prints. Results go to standard output, everything else to standard error; a
//! reader that goes away is no error of ours.

use std::io::Write;
use tidemill_core::Error;

/// A line of the result.
pub fn line(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
}

/// A line beside the result.
pub fn note(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
}

/// The one error the program ends with.
pub fn error(error: &Error) {
    note(error.report());
}
