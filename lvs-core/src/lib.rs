//! The Linux Virtual Server (IPVS) as a library.
//!
//! A program hands a [`Director`] packets and the time; it answers with a [`Verdict`] where each packet goes, and rewrites
//! the packet in place. Nothing here opens a socket, reads a clock or starts a thread. Behaviour is that of IPVS in Linux
//! 6.1.192: same picks, same bytes, same states, same listings.
//!
//! ```
//! use lvs_core::{Config, Director, Instant, Meta, Packet, Verdict};
//! use lvs_core::testkit::packets;
//!
//! let mut director = Director::new(Config::with_seed(7))?;
//! director.load("-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.0.0.53:53 -m")?;
//!
//! let mut query = packets::udp("198.51.100.1:5353", "192.0.2.10:53").payload(b"?").build();
//! let mut packet = Packet::whole(&mut query);
//! let verdict = director.process(Instant::from_millis(1), &mut packet, Meta::default());
//! assert!(matches!(verdict, Verdict::Forward(out) if out.next_hop.to_string() == "10.0.0.53"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What to know
//!
//! - **Rules** are `ipvsadm` lines ([`Director::run`], [`Director::load`]) or plain values ([`Director::add_service`],
//!   [`Director::add_server`]); [`Director::listing`] and [`Director::save`] write what `ipvsadm` writes.
//! - **Packets** lie in buffers of the caller's ([`Packet`]), best with some headroom. [`Director::process_burst`] is the
//!   fast way; [`Meta`] carries what only the host knows of a packet.
//! - **Time** is an argument. [`Director::advance`] ends connections whose time is over; [`Director::next_deadline`] says
//!   when it has something to do.
//! - **Refusals** have names ([`PassReason`], [`DropReason`], [`ReplyReason`]) and are counted ([`Director::reasons`]).
//!   [`Director::explain`] says where a packet would go, and changes nothing.
//! - **Operation**: [`Director::apply`] brings the rules to a wanted configuration, [`Director::drain`] takes a server out
//!   gently, [`Director::flush`] ends connections, [`Director::poll_event`] tells what happened, [`Director::metrics`] what
//!   was counted.
//! - **Several threads**: a [`Director`] is used from one thread at a time. [`SharedDirector`] is for several, each with a
//!   shard of the connections, and answers alike.
//! - **Memory** for connections is fixed by [`Config::connections`]; a full table refuses new ones, or drops half-open ones
//!   for them ([`Admission`]).
//! - **Beyond the kernel**, and off by default: [`ServiceOptions`] (timeouts of a service, slow start, where turns begin),
//!   [`Admission`], [`Kernel`] for picks as older kernels make them.
//! - **Schedulers** are in [`sched`]; one's own implements [`sched::Scheduler`].
//!
//! # Features
//!
//! - `std` (default): [`SharedDirector`], which needs locks. Without it the crate needs `alloc` alone.
//! - `testkit`: packet builders, pools for testing schedulers, the scheduler contract, the player of recordings.

#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod addr;
mod app;
mod config;
mod conn;
mod control;
mod defense;
mod director;
mod error;
mod event;
mod flow;
mod forward;
mod persist;
mod proto;
mod rng;
pub mod sched;
mod service;
#[cfg(feature = "std")]
mod shared;
mod stats;
mod sync;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
mod time;
mod timer;
mod verdict;
mod wire;

pub use addr::Family;
pub use config::{Admission, Checksum, Config, Hook, Kernel, Meta, Path, Tunables};
pub use conn::{ConnId, Evictions};
pub use control::{
    Columns, Command, ConnectionView, Content, DaemonRole, DaemonSpec, DaemonView, EngineView, Listing, ServerView,
    ServiceView, TimeoutsView, parse_line, parse_rules,
};
pub use director::{
    Advanced, Applied, CandidateValues, Choice, Director, Drain, Explanation, Filter, Flushed, Found, ReasonCounts,
    Rest, Rewrite, ServerState,
};
pub use error::{ApplyError, ConfigError, ControlError, RuleError};
pub use event::{ConnectionEvent, Event, Gone};
pub use flow::{Flow, Protocol};
pub use proto::{FlowState, SctpState, TcpState};
pub use service::{
    GueChecksum, Method, Netmask, Persistence, SchedulerFlags, ServerId, ServerSpec, ServiceId, ServiceKey,
    ServiceOptions, ServiceSpec, SlowStart, Tunnel,
};
#[cfg(feature = "std")]
pub use shared::SharedDirector;
pub use stats::{Counters, Rates};
pub use sync::{SyncCounts, SyncIgnored, SyncMessage, SyncReceived};
pub use time::Instant;
pub use timer::Timeouts;
pub use verdict::{Direction, DropReason, Forward, PassReason, Reply, ReplyReason, Verdict};
pub use wire::Packet;

/// The crate's README is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
