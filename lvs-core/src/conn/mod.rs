//! Who has which flow: the connection table.
//!
//! `entry` is one connection, `id` names one, `hash` is the keyed hash of flows, `index` the buckets of one cache line each
//! and `tags` how they are searched, `slab` the entries, `table` both together, `chain` the order of those that one reply
//! could be of, `lists` those of each server, `flows` the connections as a whole, `fragments` what later parts of packets
//! follow, `room` what goes when the table is full, `processor` the one place that needs unsafe code.

mod chain;
pub(crate) mod entry;
pub(crate) mod flows;
pub(crate) mod fragments;
pub(crate) mod hash;
pub(crate) mod id;
pub(crate) mod index;
pub(crate) mod lists;
pub(crate) mod processor;
pub(crate) mod room;
pub(crate) mod slab;
pub(crate) mod table;
mod tags;

pub use flows::Evictions;
pub use id::ConnId;
