//! What the project's own tests stand on. Nothing here is shipped.

pub mod faulty;
pub mod protocol;
pub mod tidy;
