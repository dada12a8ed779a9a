//! The director: the only place where the stages meet.
//!
//! `process` takes packets through the stages, `schedule` finds a server for a new flow, `track` moves a connection on,
//! `slow_start` lets weights grow, `options` is what can be switched on beyond the kernel,
//! `transmit` decides what leaves, `fragment` takes parts of packets, `icmp` errors from outside, `tunnel_error` those about
//! tunnels, `ipsec` packets of IPsec, `outbound` what servers send of their own, `helper` reads and changes what connections
//! with a helper say, `timers` is the passing of time, `defend` is self-defence, `sync` tells other directors of connections,
//! `explain` says what would happen, `lend` is a shared director's: its shards carry packets along connections that are lent
//! to them; `services`, `views` and `tune` are the control plane: changing, showing, setting;
//! `apply` changes whole configurations, `drain` takes a server out of service gently, `flush` ends connections, `events`
//! tells what happened, `metrics` counts it.

mod apply;
mod decision;
mod defend;
mod drain;
mod established;
mod events;
mod explain;
mod flush;
mod fragment;
mod helper;
mod icmp;
mod ipsec;
#[cfg(feature = "std")]
mod lend;
#[cfg(any(test, feature = "testkit"))]
mod lookup;
mod metrics;
mod options;
mod outbound;
mod process;
mod reasons;
mod schedule;
mod services;
mod slow_start;
mod sync;
mod timers;
mod track;
mod transmit;
mod tune;
mod tunnel_error;
mod views;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use self::process::BURST;
use crate::addr::Family;
use crate::config::{Admission, Config, Path, Tunables};
use crate::conn::flows::Flows;
use crate::conn::fragments::Fragments;
use crate::conn::hash::HashKey;
use crate::conn::id::NONE;
use crate::defense::Defence;
use crate::error::ConfigError;
use crate::rng::Rng;
use crate::service::server::Servers;
use crate::service::table::Services;
use crate::service::trash::Trash;
use crate::stats::Counters;
use crate::stats::estimator::Estimator;
use crate::sync::daemons::Daemons;
use crate::time::Instant;
use crate::timer::{Profiles, Timeouts};

pub use apply::Applied;
use drain::Draining;
pub use drain::{Drain, Rest, ServerState};
pub use explain::{CandidateValues, Choice, Explanation, Found, Rewrite};
pub use flush::{Filter, Flushed};
#[cfg(feature = "std")]
pub(crate) use lend::Arrival;
pub(crate) use process::Glance;
#[cfg(feature = "std")]
pub(crate) use process::LastPass;
pub use reasons::ReasonCounts;
pub use timers::Advanced;

/// One load balancer: services, servers, connections, and the packet path.
///
/// A director owns all its state and is used from one thread at a time; it may move between threads. It does no I/O and
/// reads no clock: packets and the time are handed to it.
///
/// ```
/// use lvs_core::{Config, Director, Instant, Meta, Packet, Verdict};
///
/// let mut director = Director::new(Config::with_seed(7))?;
/// director.run("-A -t 192.0.2.10:80 -s rr")?;
/// director.run("-a -t 192.0.2.10:80 -r 10.0.0.101:8080 -m")?;
///
/// let mut buffer = lvs_core::testkit::packets::tcp("198.51.100.9:40000", "192.0.2.10:80").syn().build();
/// let mut packet = Packet::whole(&mut buffer);
/// match director.process(Instant::from_millis(5), &mut packet, Meta::default()) {
///     Verdict::Forward(out) => assert_eq!(out.next_hop.to_string(), "10.0.0.101"),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Director {
    control: Control,
    flows: Flows,
    fragments: Fragments,
    /// What control and flows share: a record of each real server.
    servers: Servers,
    settings: Settings,
    reasons: ReasonCounts,
    defence: Defence,
    /// Draws what `drop_entry` looks at.
    defence_rng: Rng,
    /// The look that is under way.
    sweep: Option<defend::Sweep>,
    dropped_entries: u64,
    daemons: Daemons,
    /// For packets of IPv4, and of IPv6.
    gates: [Gate; 2],
    /// The latest time seen.
    now: Instant,
    /// Identification of the next outer IPv4 header.
    identification: u16,
    /// Room for what is seen of a burst; none while one is under way.
    glances: Option<Box<[Glance; BURST]>>,
}

/// What the packet path asks before anything else: may packets simply be taken?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gate(u8);

impl Gate {
    const OPEN: Self = Self(0);
    /// There is no service of the packet's family.
    const NO_SERVICE: Self = Self(1 << 0);
    /// A synchronisation backup that leaves balancing to its master: only packets of servers are taken.
    const BACKUP_ONLY: Self = Self(1 << 1);
    /// A packet that no connection knows may be a server's, and that matters.
    const SERVERS: Self = Self(1 << 2);

    const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    const fn with(self, other: Self, is_set: bool) -> Self {
        if is_set { Self(self.0 | other.0) } else { self }
    }
}

/// What is balanced: touched by the control plane, by new flows, and by nothing else.
#[derive(Debug)]
struct Control {
    services: Services,
    /// Removed servers that connections may still point to, and when they are next looked at.
    trash: Trash,
    trash_at: Option<Instant>,
    /// Removed servers that may have connections which `expire_nodest_conn` would end.
    gone: BTreeSet<u32>,
    /// Servers that are being drained, and the nearest of their deadlines.
    drains: BTreeMap<u32, Draining>,
    drain_at: Option<Instant>,
    /// When the defences' next second has passed; never while all of them are off.
    defend_at: Option<Instant>,
    /// When the MTU of a way that was learned is next to be forgotten.
    relearn_at: Option<Instant>,
    paths: BTreeMap<IpAddr, Path>,
    default_path: Path,
    /// What removed services had counted.
    retired: Counters,
    estimator: Estimator,
    /// When listings are next renewed.
    estimate_at: Option<Instant>,
    /// The service that a renewal goes on with.
    estimate_from: u32,
    /// When a scheduler next wants to be told the time.
    schedulers_at: Option<Instant>,
    /// When a weight next grows.
    growth_at: Option<Instant>,
    rng: Rng,
}

/// What the packet path only reads.
#[derive(Clone, Debug)]
struct Settings {
    tunables: Tunables,
    /// The defence `secure_tcp` acts.
    secure_tcp: bool,
    timeouts: Timeouts,
    /// Timeouts of services that have their own.
    profiles: Profiles,
    admission: Admission,
    /// Sorted.
    local: Vec<IpAddr>,
    /// Of the host's networks.
    broadcast: Vec<Ipv4Addr>,
    address_v4: Option<Ipv4Addr>,
    address_v6: Option<Ipv6Addr>,
}

impl Settings {
    /// Is this address one of the host's own?
    fn is_local(&self, address: IpAddr) -> bool {
        self.local.binary_search(&address).is_ok()
    }

    /// Is this an address that one host has, as far as is known?
    fn is_unicast(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => {
                let of_many = a.is_multicast() || a.is_broadcast() || self.broadcast.contains(&a);
                !(a.is_unspecified() || a.is_loopback() || of_many)
            }
            IpAddr::V6(a) => !(a.is_unspecified() || a.is_loopback() || a.is_multicast()),
        }
    }

    /// Is this a source that no host has, so that a packet from it ends before it could be balanced? (IPv6 packets from the
    /// unspecified address do not.)
    fn is_impossible_source(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => a.octets()[0] == 0 || a.is_multicast() || a.is_broadcast() || self.broadcast.contains(&a),
            IpAddr::V6(a) => a.is_multicast(),
        }
    }

    /// The timeouts of a connection to a server.
    #[inline]
    fn timeouts_of(&self, server: u32, servers: &Servers) -> &Timeouts {
        if self.profiles.is_empty() { &self.timeouts } else { self.timeouts_of_its_service(server, servers) }
    }

    #[inline(never)]
    fn timeouts_of_its_service(&self, server: u32, servers: &Servers) -> &Timeouts {
        let profile = if server == NONE { 0 } else { servers.live(server).profile };
        self.profiles.get(profile).unwrap_or(&self.timeouts)
    }
}

impl Director {
    /// Builds a director without services.
    ///
    /// # Errors
    /// [`ConfigError`] if the table would have no room, too much, or more than there is memory for.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        if config.connections == 0 {
            return Err(ConfigError::NoConnections);
        }
        if config.connections > 1 << 31 || config.fragments > 1 << 31 {
            return Err(ConfigError::TooManyConnections);
        }
        let mut rng = Rng::from_seed(config.seed);
        let key = HashKey::from_rng(&mut rng);
        let fragments = Fragments::with_capacity(config.fragments, key.clone()).ok_or(ConfigError::OutOfMemory)?;
        let records = config.engine_templates;
        let flows = Flows::with_capacity(config.connections, records, key.clone(), config.events)
            .ok_or(ConfigError::OutOfMemory)?;
        Ok(Self {
            control: Control {
                trash: Trash::new(key.clone()),
                services: Services::new(key.clone()),
                trash_at: None,
                gone: BTreeSet::new(),
                drains: BTreeMap::new(),
                drain_at: None,
                relearn_at: None,
                defend_at: None,
                paths: BTreeMap::new(),
                default_path: config.path,
                retired: Counters::default(),
                estimator: Estimator::default(),
                estimate_at: None,
                estimate_from: 0,
                schedulers_at: None,
                growth_at: None,
                rng,
            },
            flows,
            fragments,
            servers: Servers::new(config.kernel, &key),
            settings: Settings {
                tunables: Tunables::default(),
                secure_tcp: false,
                timeouts: Timeouts::default(),
                profiles: Profiles::default(),
                admission: config.admission,
                local: sorted(config.local_addresses),
                broadcast: Vec::new(),
                address_v4: config.address_v4,
                address_v6: config.address_v6,
            },
            reasons: ReasonCounts::default(),
            defence: Defence::default(),
            defence_rng: Rng::from_seed(!config.seed),
            sweep: None,
            dropped_entries: 0,
            daemons: Daemons::default(),
            gates: [Gate::NO_SERVICE; 2],
            now: Instant::ZERO,
            glances: Some(Glance::of_a_burst()),
            identification: 0,
        })
    }

    /// Takes note of the time. Time that goes backwards stands still.
    #[inline]
    fn see(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// Settles, after a change to what it depends on, whether packets are simply taken.
    fn open_or_close(&mut self) {
        let (tunables, services) = (&self.settings.tunables, &self.control.services);
        let gate = Gate::OPEN
            .with(Gate::BACKUP_ONLY, tunables.backup_only != 0 && self.daemons.backup.is_some())
            .with(Gate::SERVERS, tunables.nat_icmp_send != 0 || services.have_engine());
        for family in [Family::V4, Family::V6] {
            self.gates[family.index()] = gate.with(Gate::NO_SERVICE, !services.have(family));
        }
    }

    /// What stands before packets of a family.
    #[inline]
    fn gate(&self, family: Family) -> Gate {
        self.gates[family.index()]
    }
}

fn sorted(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_unstable();
    addresses
}

impl fmt::Debug for Director {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Director")
            .field("services", &self.control.services.iter().count())
            .field("connections", &self.flows.table.slab.len())
            .field("capacity", &self.flows.table.slab.capacity())
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}
