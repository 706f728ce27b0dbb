//! Guards personal data: masking and detecting functions now; keys, policy, audit and erasure come later.
//!
//! Must not contain: HTTP, connector code.

mod function;
pub mod hash;
pub mod mask;
pub mod pii;

use function::Masking;
use std::sync::Arc;
use tidemill_core::Registry;

/// Adds every function of this crate to `registry`.
pub fn register(registry: &mut Registry) {
    let detector = Arc::new(pii::LazyDetector::default());
    registry.add_function(Masking::new("mask_email", mask::email, "j***@example.com: hides who, keeps the domain"));
    registry.add_function(Masking::new("mask_phone", mask::phone, "+** *** *****67: keeps the last two digits"));
    registry.add_function(Masking::new("mask_card", mask::card, "**** **** **** 1111: keeps the last four digits"));
    registry.add_function(Masking::new("mask_name", mask::name, "J*** D***: keeps the first letter of each word"));
    registry.add_function(mask::MaskText::new());
    registry.add_function(hash::HashPii::new());
    registry.add_function(pii::Redact::new(detector.clone()));
    registry.add_function(pii::DetectPii::new(detector));
}
