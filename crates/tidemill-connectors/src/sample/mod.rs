//! Files of sample records, and the columns that such records have: for schemas that nobody has written down yet.

mod guess;
mod json_schema;
mod read;

pub use json_schema::arrow_to_json_schema;
pub use read::{Kind, Sample, read};
