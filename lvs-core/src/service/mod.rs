//! What is balanced: virtual services and their real servers.
//!
//! `spec` is how a user describes them, `options` what can be switched on beyond the kernel, `key` how they are found,
//! `server` what is kept of a real server, `addresses` whose address is whose, `changes` which of many changed lately, `roster` lists those that have an end in
//! common, `list` is the list of a service's servers, `service` what is kept of a service, `table` finds services in the kernel's order, `trash` keeps removed servers
//! for a while.

pub(crate) mod addresses;
pub(crate) mod changes;
pub(crate) mod key;
pub(crate) mod list;
pub(crate) mod options;
pub(crate) mod roster;
pub(crate) mod server;
#[expect(clippy::module_inception, reason = "the noun of the folder and of the file are the same")]
pub(crate) mod service;
pub(crate) mod spec;
pub(crate) mod table;
pub(crate) mod trash;

pub use key::{ServerId, ServiceId, ServiceKey};
pub use options::{ServiceOptions, SlowStart};
pub use spec::{GueChecksum, Method, Netmask, Persistence, SchedulerFlags, ServerSpec, ServiceSpec, Tunnel};
