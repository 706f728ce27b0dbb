//! The verbs, one file each.

pub mod check;
pub mod connectors;
pub mod dlq;
pub mod explain;
pub mod isolate;
pub mod log;
pub mod new;
pub mod plan;
pub mod run;
pub mod schema;
pub mod state;
pub mod test;

/// The directory of a checkpoint, for verbs that do not work on one in an object store.
fn directory_of(text: &str) -> Result<std::path::PathBuf, String> {
    match text.split_once("://") {
        None => Ok(text.into()),
        Some(_) => {
            Err("this verb takes a directory, not a checkpoint in an object store: copy the folder here with a \
                        client of the store and name the copy, which must only be looked at"
                .into())
        }
    }
}
