//! `redact`: a text without the personal data in it.

use super::LazyDetector;
use crate::function::{map_text, text_signature, texts};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use std::sync::Arc;
use tidemill_core::Result;
use tidemill_core::function::{ScalarFunction, Signature};

/// `redact(text)`: every find becomes its kind in angle brackets, such as `<EMAIL>`.
#[derive(Debug)]
pub struct Redact {
    signature: Signature,
    detector: Arc<LazyDetector>,
}

impl Redact {
    /// The function.
    pub fn new(detector: Arc<LazyDetector>) -> Self {
        let help = "replaces e-mails, phones, cards, IBANs, IPv4 addresses and US social security numbers in free text";
        Redact { signature: text_signature("redact", vec![DataType::Utf8], 1, help), detector }
    }
}

impl ScalarFunction for Redact {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn call(&self, arguments: &[ArrayRef], _rows: usize) -> Result<ArrayRef> {
        let detector = self.detector.get()?;
        map_text(texts("redact", arguments, 0)?, |_, text, redacted| {
            let mut kept = 0;
            for find in detector.find(text) {
                redacted.push_str(&text[kept..find.range.start]);
                redacted.extend(["<", find.kind.word(), ">"]);
                kept = find.range.end;
            }
            redacted.push_str(&text[kept..]);
            Ok(Some(()))
        })
    }
}
