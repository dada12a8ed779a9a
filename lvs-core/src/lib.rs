//! The Linux Virtual Server as a library.
#![no_std]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod addr;
mod config;
mod conn;
mod control;
mod defense;
mod director;
mod error;
mod flow;
mod forward;
mod persist;
mod proto;
mod rng;
pub mod sched;
mod service;
mod stats;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
mod time;
mod timer;
mod verdict;
mod wire;

pub use addr::Family;
pub use config::{Checksum, Config, Hook, Meta, Path, Tunables};
pub use conn::ConnId;
pub use control::*;
pub use director::*;
pub use error::{ConfigError, ControlError, RuleError};
pub use flow::{Flow, Protocol};
pub use service::*;
pub use stats::{Counters, Rates};
pub use time::Instant;
pub use timer::Timeouts;
pub use verdict::{Direction, DropReason, Forward, PassReason, Reply, ReplyReason, Verdict};
pub use wire::Packet;
