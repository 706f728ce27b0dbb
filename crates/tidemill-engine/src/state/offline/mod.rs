//! The state of a checkpoint from outside: reading it, changing it, copying it, checking it. What `tidemill state`,
//! the source `statestore` and `tidemill.read_state` work with.
//!
//! Without the pipeline the state is that of a snapshot. Epochs after it are in the journal as changes that only the
//! operators understand; with the pipeline they are done again, and the state is that after the newest commit.
//!
//! [`saved`] brings the state to where it can be read, [`columns`] gives its columns the names people know,
//! [`select`] picks rows; [`rewrite`] makes a new snapshot, [`audit`] keeps the record of it.

pub mod audit;
pub mod backup;
pub mod columns;
pub mod overview;
pub mod rewrite;
pub mod saved;
pub mod select;
pub mod sizes;
pub mod source;
pub mod verify;
