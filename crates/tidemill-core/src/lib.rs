//! The words and contracts every other crate speaks: what a source, a format, a sink and an epoch
//! are, how a component describes itself, and what an error says.
//!
//! Must not contain: DataFusion, network clients, threads, file input or output. Outside authors
//! write connectors against exactly these contracts.

pub mod clock;
pub mod describe;
pub mod epoch;
pub mod error;
pub mod faults;
pub mod format;
pub mod function;
pub mod nearest;
pub mod offsets;
pub mod options;
pub mod registry;
pub mod retry;
pub mod schemas;
pub mod secret;
pub mod sink;
pub mod source;
pub mod state;
pub mod types;

pub use clock::{Clock, SystemClock};
pub use epoch::{Epoch, Incarnation};
pub use error::{Error, Kind, Place, Result, ResultExt};
pub use faults::{Faults, NoFaults, Step};
pub use offsets::{Offsets, Split, SplitRange};
pub use options::Options;
pub use registry::Registry;
