//! Tools for testing: schedulers, one's own included, and whole directors.
//!
//! `packets` builds packets, `pool` a service without a director, `contract` says what every scheduler keeps to,
//! `recording` plays what a real kernel did, `fuzz` says what holds for any input.

pub mod contract;
pub mod fuzz;
pub mod packets;
mod pool;
#[cfg(feature = "testkit")]
pub mod recording;
mod talk;

pub use contract::Promises;
pub use pool::TestPool;
