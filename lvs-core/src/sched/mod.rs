//! Who gets a new flow: one small trait, one file per scheduler.
//!
//! A scheduler chooses among the real servers of one service. It sees them through a [`Pool`], in the service's **list
//! order**: a new server comes first, editing one moves none.
//!
//! `load` compares connections per weight, `tournament` finds the least of many servers, `targets` remembers addresses that
//! clients write to; the other files are named as `ipvsadm -s` names their schedulers.

use alloc::boxed::Box;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use crate::addr::{Addr, Family};
use crate::flow::Protocol;
use crate::service::changes::Changes;
use crate::service::server::{Live, Servers};
use crate::service::{SchedulerFlags, ServerId};
use crate::time::Instant;

mod dh;
#[cfg(test)]
mod fixture;
mod fo;
mod lblc;
mod lblcr;
mod lc;
mod load;
mod mh;
mod nq;
mod ovf;
mod rr;
mod sed;
mod sh;
mod swrr;
mod targets;
mod tournament;
mod twos;
mod wlc;
mod wrr;

pub use dh::DestinationHash;
pub use fo::WeightedFailover;
pub use lblc::LocalityLeastConnection;
pub use lblcr::ReplicatedLocalityLeastConnection;
pub use lc::LeastConnection;
pub use mh::Maglev;
pub use nq::NeverQueue;
pub use ovf::WeightedOverflow;
pub use rr::RoundRobin;
pub use sed::ShortestExpectedDelay;
pub use sh::SourceHash;
pub use swrr::SmoothWeightedRoundRobin;
pub use twos::TwoChoices;
pub use wlc::WeightedLeastConnection;
pub use wrr::WeightedRoundRobin;

/// Chooses the real server of each new flow of one service.
///
/// Only [`pick`](Scheduler::pick) is required. The hooks tell of changes to the pool, after they happened.
///
/// ```
/// use lvs_core::sched::{NewFlow, Pool, Scheduler};
/// use lvs_core::ServerId;
///
/// /// Always the eligible server with the fewest connections, whatever its weight.
/// #[derive(Debug)]
/// struct FewestConnections;
///
/// impl Scheduler for FewestConnections {
///     fn pick(&mut self, _flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
///         pool.iter().filter(|s| s.is_eligible()).min_by_key(|s| s.connections()).map(|s| s.id())
///     }
/// }
/// ```
pub trait Scheduler: Send + fmt::Debug {
    /// Chooses the real server of a new flow, or `None` when none can take it.
    ///
    /// The answer must be the id of a server of `pool`; any other is taken as `None`.
    fn pick(&mut self, flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId>;

    /// Takes up a service: `pool` is all there is, and no earlier choice counts. Timers run from `now`.
    ///
    /// # Errors
    /// If the scheduler cannot work on such a pool; the service then does not get this scheduler.
    fn start(&mut self, pool: &Pool<'_>, now: Instant) -> Result<(), PoolRefused> {
        let _ = (pool, now);
        Ok(())
    }

    /// Where the turn begins: at a position drawn from this number, or at the head of the list for `None`. Schedulers
    /// without a turn have nothing to do; the others take it up the next time that a turn begins.
    fn begin_at(&mut self, draw: Option<u64>) {
        let _ = draw;
    }

    /// What a server's weight means to this scheduler: what a [slow start](crate::SlowStart) may do to it.
    fn weights(&self) -> Weights {
        Weights::Shares
    }

    /// The tunables that concern schedulers have these values from now on.
    fn tuned(&mut self, tunables: &SchedulerTunables) {
        let _ = tunables;
    }

    /// A server was added, at position 0.
    fn added(&mut self, pool: &Pool<'_>) {
        let _ = pool;
    }

    /// The server that was at `position` has left the pool.
    fn removed(&mut self, position: usize, pool: &Pool<'_>) {
        let _ = (position, pool);
    }

    /// The server at `position` was edited.
    fn edited(&mut self, position: usize, pool: &Pool<'_>) {
        let _ = (position, pool);
    }

    /// The changes that the hooks told of, one or a row of them, are made, and flows may come. What need not be done after
    /// each of them belongs here.
    fn settled(&mut self, pool: &Pool<'_>) {
        let _ = pool;
    }

    /// The next instant at which [`tick`](Scheduler::tick) wants to be called, if ever.
    ///
    /// Ask again after `start`, `pick` and `tick`. Calling `tick` early or late is harmless.
    fn next_tick(&self) -> Option<Instant> {
        None
    }

    /// Time passed.
    fn tick(&mut self, now: Instant) {
        let _ = now;
    }

    /// True while the scheduler remembers this server, though it may have left the pool: a removed server is not
    /// forgotten before.
    fn remembers(&self, server: ServerId) -> bool {
        let _ = server;
        false
    }

    /// A copy that would answer the same, so that `explain` can ask without changing anything. `None` if this
    /// scheduler cannot be copied; `explain` then says so.
    fn fork(&self) -> Option<Box<dyn Scheduler>> {
        None
    }
}

/// What the weights of servers mean to a scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weights {
    /// Proportions: if all are multiplied by one number, the picks are the same.
    Shares,
    /// Numbers of connections, which mean something by themselves.
    Limits,
    /// Nothing but whether a server may get flows at all; or ranks, or places of a hash table, which are better left
    /// alone.
    Fixed,
}

/// The scheduler cannot work on this pool: it has more servers than its table has places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolRefused;

impl fmt::Display for PoolRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("more servers than the scheduler's table has places")
    }
}

impl core::error::Error for PoolRefused {}

/// The tunables (`sysctl net.ipv4.vs.*`) that schedulers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SchedulerTunables {
    /// How long `lblc` remembers a target address that no new flow came for.
    pub lblc_expiration: Duration,
    /// The same for `lblcr`, and how long it leaves a set of servers unchanged before it takes one away.
    pub lblcr_expiration: Duration,
}

impl Default for SchedulerTunables {
    /// 24 hours each.
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self { lblc_expiration: day, lblcr_expiration: day }
    }
}

/// The schedulers of IPVS, and `swrr`, which is not of the kernel. `none`, the absence of one, is not among them.
///
/// ```
/// use lvs_core::sched::{SchedulerKind, SchedulerTunables};
///
/// let kind = SchedulerKind::from_name("sh").expect("source hashing is one of them");
/// assert_eq!(kind, SchedulerKind::SourceHash);
/// let scheduler = kind.build(0, SchedulerTunables::default());
/// assert_eq!(scheduler.next_tick(), None);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchedulerKind {
    /// `rr`: [`RoundRobin`].
    RoundRobin,
    /// `wrr`: [`WeightedRoundRobin`].
    WeightedRoundRobin,
    /// `lc`: [`LeastConnection`].
    LeastConnection,
    /// `wlc`: [`WeightedLeastConnection`], the default of `ipvsadm`.
    WeightedLeastConnection,
    /// `lblc`: [`LocalityLeastConnection`].
    LocalityLeastConnection,
    /// `lblcr`: [`ReplicatedLocalityLeastConnection`].
    ReplicatedLocalityLeastConnection,
    /// `dh`: [`DestinationHash`].
    DestinationHash,
    /// `sh`: [`SourceHash`].
    SourceHash,
    /// `sed`: [`ShortestExpectedDelay`].
    ShortestExpectedDelay,
    /// `nq`: [`NeverQueue`].
    NeverQueue,
    /// `mh`: [`Maglev`].
    Maglev,
    /// `fo`: [`WeightedFailover`].
    WeightedFailover,
    /// `ovf`: [`WeightedOverflow`].
    WeightedOverflow,
    /// `twos`: [`TwoChoices`].
    TwoChoices,
    /// `swrr`: [`SmoothWeightedRoundRobin`]; no kernel has it.
    SmoothWeightedRoundRobin,
}

impl SchedulerKind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::RoundRobin,
        Self::WeightedRoundRobin,
        Self::LeastConnection,
        Self::WeightedLeastConnection,
        Self::LocalityLeastConnection,
        Self::ReplicatedLocalityLeastConnection,
        Self::DestinationHash,
        Self::SourceHash,
        Self::ShortestExpectedDelay,
        Self::NeverQueue,
        Self::Maglev,
        Self::WeightedFailover,
        Self::WeightedOverflow,
        Self::TwoChoices,
        Self::SmoothWeightedRoundRobin,
    ];

    /// The name that `ipvsadm -s` takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "rr",
            Self::WeightedRoundRobin => "wrr",
            Self::LeastConnection => "lc",
            Self::WeightedLeastConnection => "wlc",
            Self::LocalityLeastConnection => "lblc",
            Self::ReplicatedLocalityLeastConnection => "lblcr",
            Self::DestinationHash => "dh",
            Self::SourceHash => "sh",
            Self::ShortestExpectedDelay => "sed",
            Self::NeverQueue => "nq",
            Self::Maglev => "mh",
            Self::WeightedFailover => "fo",
            Self::WeightedOverflow => "ovf",
            Self::TwoChoices => "twos",
            Self::SmoothWeightedRoundRobin => "swrr",
        }
    }

    /// The scheduler of a name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// True for those that a kernel has too, so that its `ipvsadm -R` would take the name.
    #[must_use]
    pub const fn is_of_kernel(self) -> bool {
        !matches!(self, Self::SmoothWeightedRoundRobin)
    }

    /// A scheduler of this kind, to be [started](Scheduler::start) on a service. Only `twos` draws on the seed.
    #[must_use]
    pub fn build(self, seed: u64, tunables: SchedulerTunables) -> Box<dyn Scheduler> {
        match self {
            Self::RoundRobin => Box::new(RoundRobin::new()),
            Self::WeightedRoundRobin => Box::new(WeightedRoundRobin::new()),
            Self::LeastConnection => Box::new(LeastConnection::new()),
            Self::WeightedLeastConnection => Box::new(WeightedLeastConnection::new()),
            Self::LocalityLeastConnection => Box::new(LocalityLeastConnection::new(tunables.lblc_expiration)),
            Self::ReplicatedLocalityLeastConnection => {
                Box::new(ReplicatedLocalityLeastConnection::new(tunables.lblcr_expiration))
            }
            Self::DestinationHash => Box::new(DestinationHash::new()),
            Self::SourceHash => Box::new(SourceHash::new()),
            Self::ShortestExpectedDelay => Box::new(ShortestExpectedDelay::new()),
            Self::NeverQueue => Box::new(NeverQueue::new()),
            Self::Maglev => Box::new(Maglev::new()),
            Self::WeightedFailover => Box::new(WeightedFailover::new()),
            Self::WeightedOverflow => Box::new(WeightedOverflow::new()),
            Self::TwoChoices => Box::new(TwoChoices::new(seed)),
            Self::SmoothWeightedRoundRobin => Box::new(SmoothWeightedRoundRobin::new()),
        }
    }
}

impl fmt::Display for SchedulerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a scheduler may know of the packet that opens a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewFlow {
    pub(crate) now: Instant,
    pub(crate) family: Family,
    pub(crate) protocol: u8,
    pub(crate) client: Addr,
    pub(crate) client_port: u16,
    pub(crate) target: Addr,
}

impl NewFlow {
    /// A flow for trying out a scheduler: `protocol` is the IP protocol number, `target` the address that the client
    /// wrote to. Both addresses are of one family; if not, both are taken as `client`'s.
    #[must_use]
    pub fn new(now: Instant, protocol: u8, client: core::net::SocketAddr, target: IpAddr) -> Self {
        Self {
            now,
            family: Family::of(client.ip()),
            protocol,
            client: Addr::from_ip(client.ip()),
            client_port: client.port(),
            target: Addr::from_ip(target),
        }
    }

    /// When the packet came.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The client's address.
    #[must_use]
    pub fn client(&self) -> IpAddr {
        self.client.to_ip(self.family)
    }

    /// The client's port, 0 if the protocol has none.
    #[must_use]
    pub const fn client_port(&self) -> u16 {
        self.client_port
    }

    /// The address that the client wrote to: the virtual address, or any for firewall-mark services.
    #[must_use]
    pub fn target(&self) -> IpAddr {
        self.target.to_ip(self.family)
    }

    /// The IP protocol number.
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The client's port where it counts for hashing: the service asks for it, and the protocol has ports that IPVS
    /// knows.
    const fn hashed_port(&self, flags: SchedulerFlags) -> u16 {
        if flags.contains(SchedulerFlags::PORT) && Protocol::from_number(self.protocol).is_some() {
            self.client_port
        } else {
            0
        }
    }
}

/// The real servers of a service, in list order.
#[derive(Clone, Copy)]
pub struct Pool<'a> {
    list: &'a [u32],
    servers: &'a Servers,
    flags: SchedulerFlags,
    family: Family,
}

impl<'a> Pool<'a> {
    pub(crate) const fn new(list: &'a [u32], servers: &'a Servers, flags: SchedulerFlags, family: Family) -> Self {
        Self { list, servers, flags, family }
    }

    /// How many servers there are, those included that take no connection.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.list.len()
    }

    /// True if there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The server at a position of the list.
    #[must_use]
    pub fn get(&self, position: usize) -> Option<Candidate<'a>> {
        self.list.get(position).map(|&slot| self.candidate(slot))
    }

    /// The server of an id, if it is in the pool.
    #[must_use]
    pub fn find(&self, id: ServerId) -> Option<Candidate<'a>> {
        self.servers.is_available(id).then(|| self.candidate(id.slot))
    }

    /// The server of an id that a scheduler [remembers](Scheduler::remembers), even if it has left the pool.
    pub(crate) fn recall(&self, id: ServerId) -> Option<Candidate<'a>> {
        self.servers.slot(id).map(|slot| self.candidate(slot))
    }

    /// The servers from the first of the list to the last.
    pub fn iter(&self) -> impl Iterator<Item = Candidate<'a>> + use<'a> {
        let servers = self.servers;
        self.list.iter().map(move |&slot| Candidate { slot, live: servers.live(slot), servers })
    }

    /// The scheduler flags of the service.
    #[must_use]
    pub const fn flags(&self) -> SchedulerFlags {
        self.flags
    }

    /// The family of the service.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// What changed lately, if there are so many servers that it is noted.
    fn changes(&self) -> Option<&'a Changes> {
        self.servers.changes(*self.list.first()?)
    }

    fn candidate(&self, slot: u32) -> Candidate<'a> {
        Candidate { slot, live: self.servers.live(slot), servers: self.servers }
    }
}

impl fmt::Debug for Pool<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One real server, as a scheduler sees it.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    slot: u32,
    live: &'a Live,
    servers: &'a Servers,
}

impl Candidate<'_> {
    /// The server's id.
    #[must_use]
    pub fn id(&self) -> ServerId {
        self.servers.id(self.slot)
    }

    /// The server's address.
    #[must_use]
    pub fn address(&self) -> core::net::SocketAddr {
        self.servers.spec(self.slot).address
    }

    /// The weight; 0 for none of the new flows.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.live.weight
    }

    /// The weight before it was last set to 0: what `mh` builds its table from.
    #[must_use]
    pub fn last_weight(&self) -> u32 {
        self.live.last_weight
    }

    /// Connections in an active state of their protocol. UDP flows never are.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.live.active
    }

    /// All connections, active or not.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.live.total
    }

    /// True if the server has reached its upper threshold and not yet fallen below its lower one.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        self.live.is_overloaded()
    }

    /// True if the server may get a new flow: it has a weight and is not overloaded.
    #[must_use]
    pub fn is_eligible(&self) -> bool {
        self.live.weight > 0 && !self.live.is_overloaded()
    }

    /// What the least-connection schedulers compare: 257 times the active connections and the inactive ones, or 256
    /// times with [`Kernel::Older`](crate::Kernel::Older).
    #[must_use]
    pub fn overhead(&self) -> u32 {
        self.live.overhead()
    }
}

impl fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("id", &self.id())
            .field("address", &self.address())
            .field("weight", &self.weight())
            .field("active", &self.active())
            .field("connections", &self.connections())
            .field("overloaded", &self.is_overloaded())
            .finish()
    }
}

/// The multiplicative hash of the kernel's hash schedulers: the top `bits` bits of `word` times 0x61c88647.
pub(crate) const fn hash_bits(word: u32, bits: u32) -> u32 {
    word.wrapping_mul(0x61c8_8647) >> (32 - bits)
}

/// A position of a list of this length, drawn from a number; 0 for an empty list.
fn index_below(draw: u64, len: usize) -> usize {
    usize::try_from(draw.checked_rem(len as u64).unwrap_or(0)).unwrap_or(0)
}

/// The greatest common divisor; of 0 and any number that number.
const fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::ServerSpec;
    use crate::testkit::TestPool;

    #[test]
    fn every_kind_has_a_name_that_finds_it() {
        for kind in SchedulerKind::ALL {
            assert_eq!(SchedulerKind::from_name(kind.name()), Some(kind));
        }
    }

    #[test]
    fn all_but_one_are_of_the_kernel() {
        let mut own = SchedulerKind::ALL.into_iter().filter(|kind| !kind.is_of_kernel());
        assert_eq!((own.next(), own.next()), (Some(SchedulerKind::SmoothWeightedRoundRobin), None));
    }

    #[test]
    fn no_scheduling_at_all_is_no_scheduler() {
        assert_eq!(SchedulerKind::from_name("none"), None);
        assert_eq!(SchedulerKind::from_name(""), None);
        assert_eq!(SchedulerKind::from_name("RR"), None);
    }

    #[test]
    fn the_multiplicative_hash_has_the_known_values() {
        let hash = |text: &str, bits| hash_bits(Addr::from_ip(text.parse().unwrap()).fold(), bits);
        assert_eq!(hash("192.168.1.1", 8), 136);
        assert_eq!(hash("192.168.1.2", 8), 234);
        assert_eq!(hash("192.168.1.3", 8), 76);
        assert_eq!(hash("10.1.2.3", 8), 2);
        assert_eq!(hash("192.168.1.1", 10), 547);
    }

    #[test]
    fn hooks_that_tell_what_did_not_happen_do_no_harm() {
        let mut pool = TestPool::new();
        for host in 1..=3 {
            pool.add(ServerSpec::nat(([10, 0, 0, host], 80).into()));
        }
        let (three, none) = (pool.pool(), TestPool::new());
        let flow = pool.flow([192, 168, 1, 1], 1234);
        for kind in SchedulerKind::ALL {
            let mut scheduler = kind.build(1, SchedulerTunables::default());
            for (position, pool) in [(0, three), (usize::MAX, three), (2, none.pool()), (7, three), (0, none.pool())] {
                scheduler.pick(&flow, &pool);
                scheduler.removed(position, &three);
                scheduler.pick(&flow, &none.pool());
                scheduler.edited(position, &pool);
                scheduler.tick(Instant::MAX);
                scheduler.pick(&flow, &three);
                scheduler.added(&none.pool());
                scheduler.tick(Instant::ZERO);
                scheduler.pick(&flow, &three);
                scheduler.start(&pool, Instant::MAX).unwrap();
            }
        }
    }

    #[test]
    fn ports_count_only_on_request_and_only_where_there_are_some() {
        let port = |protocol, flags| {
            let flow =
                NewFlow::new(Instant::ZERO, protocol, "192.168.1.1:1234".parse().unwrap(), "10.0.0.9".parse().unwrap());
            flow.hashed_port(flags)
        };
        assert_eq!([6, 17, 132, 50].map(|protocol| port(protocol, SchedulerFlags::PORT)), [1234, 1234, 1234, 0]);
        assert_eq!(port(6, SchedulerFlags::FALLBACK), 0);
    }
}
