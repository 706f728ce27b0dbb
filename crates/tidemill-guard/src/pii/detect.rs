//! `detect_pii`: which kinds of personal data a text holds.

use super::LazyDetector;
use crate::function::{map_text, text_signature, texts};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidemill_core::Result;
use tidemill_core::function::{ScalarFunction, Signature};

/// `detect_pii(text)`: the kinds found, each once, in alphabetical order: `EMAIL,PHONE`. Empty when
/// nothing is found.
#[derive(Debug)]
pub struct DetectPii {
    signature: Signature,
    detector: Arc<LazyDetector>,
}

impl DetectPii {
    /// The function.
    pub fn new(detector: Arc<LazyDetector>) -> Self {
        let help = "kinds of personal data in the text, such as EMAIL,PHONE; empty when none is found";
        DetectPii { signature: text_signature("detect_pii", vec![DataType::Utf8], 1, help), detector }
    }
}

impl ScalarFunction for DetectPii {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn call(&self, arguments: &[ArrayRef], _rows: usize) -> Result<ArrayRef> {
        let detector = self.detector.get()?;
        map_text(texts("detect_pii", arguments, 0)?, |_, text, kinds| {
            let found: BTreeSet<&str> = detector.find(text).iter().map(|find| find.kind.word()).collect();
            for (number, kind) in found.into_iter().enumerate() {
                kinds.extend([if number == 0 { "" } else { "," }, kind]);
            }
            Ok(Some(()))
        })
    }
}
