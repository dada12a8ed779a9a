//! Tools for testing: schedulers, one's own included, and whole directors.
//!
//! `packets` builds packets, `pool` a service without a director, `contract` says what every scheduler keeps to,
//! `recording` plays what a real kernel did, `fuzz` says what holds for any input,
//! `lookup` searches for connections and does nothing else, `long_way` processes packets without a short cut.

pub mod contract;
pub mod fuzz;
pub mod long_way;
pub mod lookup;
pub mod packets;
mod pool;
#[cfg(feature = "testkit")]
pub mod recording;
mod talk;

pub use contract::Promises;
pub use pool::TestPool;
