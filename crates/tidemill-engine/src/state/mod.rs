//! Keyed state: keys by number, the table an operator's state is, and the same kept in a store when it is
//! larger than memory.
//!
//! In memory an operator holds all its rows. With a store it holds the rows of one epoch ([`stored`]): those of
//! the keys that came in, and of keys whose time has come ([`wanted`]). [`space`] says where a row is in the store,
//! [`codec`] how it looks there, [`groups`] which partition has it. [`offline`] reads and changes the state of a
//! checkpoint from outside.

pub mod codec;
pub mod groups;
pub mod home;
pub mod keys;
pub mod limits;
pub mod offline;
pub mod reader;
pub mod space;
pub mod stored;
pub mod table;
pub mod wanted;
