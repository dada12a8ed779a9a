//! What is kept of a real server: its description, and the small record that the packet path shares.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::addresses::{Addresses, Learned};
use super::changes::Changes;
use super::key::{ServerId, ServiceId, ServiceKey};
use super::roster::Roster;
use super::spec::ServerSpec;
use super::{Method, Tunnel};
use crate::addr::Addr;
use crate::config::{Kernel, Path};
use crate::conn::hash::HashKey;
use crate::conn::id::NONE;
use crate::stats::estimator::Estimator;
use crate::time::Instant;
use crate::wire::quote::TunnelKind;

/// The record of a real server that control and connections share: counted on state transitions, never per packet.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Live {
    /// Connections in an active state.
    pub(crate) active: u32,
    /// All connections but templates.
    pub(crate) total: u32,
    /// Persistence templates.
    pub(crate) persistent: u32,
    pub(crate) weight: u32,
    /// The latest weight that was not 0.
    pub(crate) last_weight: u32,
    upper: u32,
    /// The lower threshold in force: the configured one, or three quarters of the upper one.
    lower: u32,
    /// The way there, in short: its MTU, whether there is a route, whether the server is this host.
    pub(crate) mtu: u16,
    pub(crate) reachable: bool,
    pub(crate) local: bool,
    /// Its address, and how often its slot was taken before: what a verdict says of it.
    pub(crate) address: IpAddr,
    generation: u32,
    /// The slot of the service that it is in, if any.
    service: u32,
    standing: Standing,
    drain: DrainBits,
    overloaded: bool,
    /// Whose counting and overload these are.
    kernel: Kernel,
    /// The number of its service's own timeouts; 0 for the director's.
    pub(crate) profile: u16,
}

impl Live {
    const fn new(spec: &ServerSpec, kernel: Kernel) -> Self {
        Self {
            active: 0,
            total: 0,
            persistent: 0,
            weight: 0,
            last_weight: 0,
            upper: 0,
            lower: 0,
            mtu: 0,
            reachable: true,
            local: false,
            address: spec.address.ip(),
            generation: 0,
            service: NONE,
            standing: Standing::IN_SERVICE,
            drain: DrainBits::NONE,
            overloaded: false,
            kernel,
            profile: 0,
        }
    }

    pub(crate) const fn is_available(&self) -> bool {
        self.standing.is_in_service()
    }

    pub(crate) const fn standing(&self) -> Standing {
        self.standing
    }

    pub(crate) const fn is_draining(&self) -> bool {
        self.drain.0 & DrainBits::DRAINING != 0
    }

    /// True if a draining server is empty: no connection, and no template that still counts.
    pub(crate) const fn is_drained(&self) -> bool {
        self.is_draining() && self.total == 0 && (self.persistent == 0 || self.gives_templates_up())
    }

    /// True for a draining server whose templates bring it no new connections.
    pub(crate) const fn gives_templates_up(&self) -> bool {
        self.drain.0 & DrainBits::GIVES_TEMPLATES_UP != 0
    }

    /// True if nothing stands between a connection and its server.
    #[inline]
    pub(crate) const fn is_plain(&self) -> bool {
        self.standing.0 == Standing::IN_SERVICE.0 && self.reachable && !self.local
    }

    pub(crate) const fn is_overloaded(&self) -> bool {
        self.overloaded
    }

    /// Connections that are not active.
    pub(crate) const fn inactive(&self) -> u32 {
        self.total.saturating_sub(self.active)
    }

    /// True while a connection or a template points here.
    pub(crate) const fn is_referenced(&self) -> bool {
        self.total > 0 || self.persistent > 0
    }

    /// What the least-connection schedulers compare: an active connection counts 257 times as much as another, in older
    /// kernels 256 times.
    pub(crate) const fn overhead(&self) -> u32 {
        let others = match self.kernel {
            Kernel::V6_1_192 => self.total,
            Kernel::Older => self.inactive(),
        };
        self.active.wrapping_shl(8).wrapping_add(others)
    }

    /// A connection was bound. At the upper threshold the server is overloaded.
    pub(crate) const fn bind(&mut self) {
        self.total = self.total.wrapping_add(1);
        match self.kernel {
            Kernel::V6_1_192 if self.total == self.upper => self.overloaded = self.total >= self.lower,
            Kernel::V6_1_192 => {}
            Kernel::Older => self.judge_at_bind(),
        }
    }

    /// A connection is gone. Below the lower threshold the overload is over.
    pub(crate) const fn unbind(&mut self) {
        let before = self.total;
        self.total = before.saturating_sub(1);
        match self.kernel {
            Kernel::V6_1_192 if before == self.lower => self.overloaded = self.upper != 0 && self.total >= self.upper,
            Kernel::V6_1_192 => {}
            Kernel::Older => self.judge_at_unbind(),
        }
    }

    /// A template was bound. It counts as no connection, but older kernels take the occasion to look at the others.
    pub(crate) const fn bind_template(&mut self) {
        self.persistent += 1;
        if let Kernel::Older = self.kernel {
            self.judge_at_bind();
        }
    }

    /// A template is gone.
    pub(crate) const fn unbind_template(&mut self) {
        self.persistent = self.persistent.saturating_sub(1);
        if let Kernel::Older = self.kernel {
            self.judge_at_unbind();
        }
    }

    const fn judge_at_bind(&mut self) {
        if self.upper != 0 && self.total >= self.upper {
            self.overloaded = true;
        }
    }

    const fn judge_at_unbind(&mut self) {
        if self.upper == 0 || self.total < self.lower {
            self.overloaded = false;
        }
    }

    /// Takes over weight and thresholds of a new description.
    fn configure(&mut self, spec: &ServerSpec, is_new: bool) {
        self.weight = if self.is_draining() { 0 } else { spec.weight };
        if is_new || spec.weight != 0 {
            self.last_weight = spec.weight;
        }
        let lower = if spec.lower != 0 { spec.lower } else { spec.upper - (spec.upper >> 2) };
        self.upper = spec.upper;
        self.lower = lower;
    }

    /// The overload flag after a change of thresholds, of which the upper one was `before`.
    const fn judge_overload(&mut self, before: u32) {
        match self.kernel {
            Kernel::V6_1_192 if self.upper == 0 || self.total < self.lower => self.overloaded = false,
            Kernel::V6_1_192 if self.total >= self.upper => self.overloaded = true,
            Kernel::Older if self.upper == 0 || self.upper > before => self.overloaded = false,
            Kernel::V6_1_192 | Kernel::Older => {}
        }
    }
}

const _: () = assert!(size_of::<Live>() == 64, "one cache line");

/// Whether packets of a server's connections go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing(u8);

impl Standing {
    /// Nothing stands in the way.
    pub(crate) const IN_SERVICE: Self = Self(0);
    /// It has left its service.
    const REMOVED: u8 = 1;
    /// It was drained up to a deadline, and what is left is dropped, or reset.
    const DROPS: u8 = 2;
    const RESETS: u8 = 4;

    /// True while the server is in its service.
    #[inline]
    pub(crate) const fn is_in_service(self) -> bool {
        self.0 & Self::REMOVED == 0
    }

    /// True if packets of its connections go nowhere any more.
    #[inline]
    pub(crate) const fn is_cut_off(self) -> bool {
        self.0 & (Self::DROPS | Self::RESETS) != 0
    }

    /// True if their senders are told.
    pub(crate) const fn resets(self) -> bool {
        self.0 & Self::RESETS != 0
    }
}

/// What a drain means for new connections.
#[derive(Clone, Copy, Debug)]
struct DrainBits(u8);

impl DrainBits {
    const NONE: Self = Self(0);
    const DRAINING: u8 = 1;
    const GIVES_TEMPLATES_UP: u8 = 2;
    /// It was noted that the last connection is gone.
    const NOTED: u8 = 4;
}

/// The way that the last packet by tunnel to a server took. A kernel keeps it until the next packet: what it then learns
/// of the way changes one that was learned before, and leaves the plain one as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// There was no packet.
    Nothing,
    /// The way as the host told it, of this MTU.
    Plain(u16),
    /// A way that was learned.
    Learned,
}

/// A real server as the control plane knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) spec: ServerSpec,
    /// The service it belongs, or belonged, to.
    pub(crate) service: ServiceKey,
    /// That very service: a service of the same key made anew is another.
    pub(crate) owner: ServiceId,
    /// When the trash first found it without connections.
    pub(crate) idle_since: Option<Instant>,
    /// When its slow start began, as long as it lasts.
    pub(crate) grows_since: Option<Instant>,
    /// Source of tunnels to it.
    pub(crate) tunnel_source: Addr,
    /// Whether its address is, or ever was, one that NAT hides.
    hidden: bool,
    /// The way that the last packet by tunnel took.
    pub(crate) met: Met,
    /// How long an MTU that a router told is to be believed.
    pub(crate) learned_until: Option<Instant>,
    pub(crate) estimator: Estimator,
}

/// All real servers of a director, those in the trash included. A slot is reused only when nothing points to it.
#[derive(Debug)]
pub(crate) struct Servers {
    live: Vec<Live>,
    records: Vec<Option<Server>>,
    free: Vec<u32>,
    /// Servers whose drain seems to be over.
    drained: Vec<u32>,
    kernel: Kernel,
    /// What changed lately, by the slot of the service.
    changes: Vec<Changes>,
    /// The servers of each address.
    addresses: Addresses,
    /// Those of whose way something was learned.
    learned: Learned,
    /// The servers in services that are reached by tunnels, by address and UDP port.
    tunnels: Roster<(IpAddr, u16)>,
    /// The servers in services that were once reached by NAT, by address and port.
    by_end: Roster<SocketAddr>,
    /// How often a packet has changed what is known of the way to a server.
    pub(crate) lessons: u32,
}

impl Servers {
    pub(crate) fn new(kernel: Kernel, hash: &HashKey) -> Self {
        Self {
            live: Vec::new(),
            records: Vec::new(),
            free: Vec::new(),
            drained: Vec::new(),
            kernel,
            changes: Vec::new(),
            addresses: Addresses::new(hash.clone()),
            learned: Learned::new(),
            tunnels: Roster::new(hash.clone()),
            by_end: Roster::new(hash.clone()),
            lessons: 0,
        }
    }

    pub(crate) const fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Slots in use or once used: every slot is below this.
    pub(crate) fn slots(&self) -> usize {
        self.live.len()
    }

    /// Takes over all that packets of existing connections are told of servers.
    #[cfg(feature = "std")]
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.live.clone_from(&other.live);
        self.records.clone_from(&other.records);
    }

    /// The addresses of all servers in use.
    #[cfg(feature = "std")]
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.records.iter().flatten().map(|server| server.spec.address.ip())
    }

    #[inline]
    pub(crate) fn live(&self, slot: u32) -> &Live {
        &self.live[slot as usize]
    }

    /// The record of a server and its id; `None` for no server.
    #[inline(always)]
    pub(crate) fn live_and_id(&self, slot: u32) -> Option<(&Live, ServerId)> {
        let live = self.live.get(slot as usize)?;
        Some((live, ServerId { slot, generation: live.generation }))
    }

    /// The record of a server that is none of a service: an address, and the way there.
    pub(crate) fn stranger(&self, address: IpAddr, path: &Path, local: bool) -> Live {
        let spec = ServerSpec::nat(SocketAddr::new(address, 0));
        Live { mtu: path.mtu, reachable: path.reachable, local, ..Live::new(&spec, self.kernel) }
    }

    /// The record, to be changed.
    #[inline]
    pub(crate) fn live_mut(&mut self, slot: u32) -> &mut Live {
        let live = &mut self.live[slot as usize];
        if let Some(changes) = self.changes.get_mut(live.service as usize) {
            changes.note(slot);
        }
        live
    }

    /// The changes in the service that a server is in, if it has so many servers that they are noted.
    pub(crate) fn changes(&self, slot: u32) -> Option<&Changes> {
        self.changes.get(self.live(slot).service as usize).filter(|changes| changes.are_noted())
    }

    /// A server is in this service from now on; in none for `NONE`.
    fn join(&mut self, slot: u32, service: u32) {
        let before = core::mem::replace(&mut self.live[slot as usize].service, service);
        if service != NONE && self.changes.len() <= service as usize {
            self.changes.resize_with(service as usize + 1, Changes::default);
        }
        for (service, joined) in [(before, false), (service, true)] {
            if let Some(changes) = self.changes.get_mut(service as usize) {
                changes.note_list(joined);
            }
        }
    }

    pub(crate) fn id(&self, slot: u32) -> ServerId {
        ServerId { slot, generation: self.live(slot).generation }
    }

    /// The record of a slot in use.
    pub(crate) fn get(&self, slot: u32) -> &Server {
        self.records[slot as usize].as_ref().expect("a slot that a service, the trash or a connection names is in use")
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut Server {
        self.records[slot as usize].as_mut().expect("a slot that a service, the trash or a connection names is in use")
    }

    pub(crate) fn spec(&self, slot: u32) -> &ServerSpec {
        &self.get(slot).spec
    }

    /// The slot of an id that names something, in a service or in the trash.
    pub(crate) fn slot(&self, id: ServerId) -> Option<u32> {
        let known = self.live.get(id.slot as usize).is_some_and(|live| live.generation == id.generation);
        (known && self.records[id.slot as usize].is_some()).then_some(id.slot)
    }

    /// True for a slot that a server has, in a service or in the trash.
    pub(crate) fn is_in_use(&self, slot: u32) -> bool {
        self.records.get(slot as usize).is_some_and(Option::is_some)
    }

    /// True if the id names a server that is in a service now.
    pub(crate) fn is_available(&self, id: ServerId) -> bool {
        self.slot(id).is_some_and(|slot| self.live(slot).is_available())
    }

    /// The NAT server of an address and port that serves a protocol, or a firewall mark, which stands for every protocol.
    pub(crate) fn at(&self, end: SocketAddr, protocol: u8) -> Option<u32> {
        self.by_end.latest_first(&end).find(|&slot| {
            let server = self.get(slot);
            let serves = match server.service {
                ServiceKey::Address { protocol: served, .. } => served.number() == protocol,
                ServiceKey::Mark { .. } => true,
            };
            serves && server.spec.method == Method::Nat
        })
    }

    /// A server is found by its address and port as soon as it is reached by NAT.
    fn list(&mut self, slot: u32) {
        let spec = self.get(slot).spec;
        if spec.method == Method::Nat {
            self.by_end.enter(spec.address, slot);
        }
    }

    /// Takes a slot for a server that is new to the director, and makes it available. `None` if there are 2^32.
    pub(crate) fn insert(&mut self, spec: ServerSpec, service: ServiceKey, owner: ServiceId) -> Option<u32> {
        let server = Server {
            spec,
            service,
            owner,
            idle_since: None,
            grows_since: None,
            tunnel_source: Addr::UNSPECIFIED,
            hidden: spec.method == Method::Nat,
            met: Met::Nothing,
            learned_until: None,
            estimator: Estimator::default(),
        };
        let mut live = Live::new(&spec, self.kernel);
        live.configure(&spec, true);
        live.judge_overload(0);
        let slot = if let Some(slot) = self.free.pop() {
            live.generation = self.live[slot as usize].generation;
            self.live[slot as usize] = live;
            self.records[slot as usize] = Some(server);
            slot
        } else {
            let slot = u32::try_from(self.live.len()).ok()?;
            self.live.push(live);
            self.records.push(Some(server));
            slot
        };
        self.join(slot, owner.slot);
        self.addresses.enter(spec.address.ip(), slot, spec.method == Method::Nat);
        self.learned.make_room(slot);
        self.list(slot);
        self.list_tunnel(slot);
        Some(slot)
    }

    fn list_tunnel(&mut self, slot: u32) {
        let spec = self.spec(slot);
        if spec.method == Method::Tun {
            let end = (spec.address.ip(), tunnel_kind(spec).port());
            self.tunnels.enter(end, slot);
        }
    }

    /// True if a tunnel of this kind leads to a server of this address. Of several servers at one address and port the
    /// latest alone counts, as in Linux 6.1.192.
    pub(crate) fn has_tunnel(&self, address: IpAddr, kind: TunnelKind) -> bool {
        let latest = self.tunnels.latest_first(&(address, kind.port())).next();
        latest.is_some_and(|slot| tunnel_kind(self.spec(slot)) == kind)
    }

    /// Takes note that a server's address is hidden by NAT. It stays so while its connections may live.
    fn hide(&mut self, slot: u32) {
        let server = self.get_mut(slot);
        if server.spec.method == Method::Nat && !server.hidden {
            server.hidden = true;
            let address = server.spec.address.ip();
            self.addresses.hide(address);
        }
    }

    /// True for the address of a server that NAT hides.
    pub(crate) fn is_hidden(&self, address: IpAddr) -> bool {
        self.addresses.is_hidden(address)
    }

    /// The latest server of an address, in a service or in the trash, or [`NONE`](crate::conn::id::NONE).
    pub(crate) fn latest_at(&self, address: IpAddr) -> u32 {
        self.addresses.latest(address)
    }

    /// The one of the same address that came before another.
    pub(crate) fn before(&self, slot: u32) -> u32 {
        self.addresses.before(slot)
    }

    /// The way to a server is narrower than was thought, and is believed to be so for a time. Later lessons hold longer.
    pub(crate) fn learn(&mut self, slot: u32, mtu: u16, until: Instant) {
        self.forget(slot);
        self.live_mut(slot).mtu = mtu;
        self.get_mut(slot).learned_until = Some(until);
        self.learned.enter(slot);
    }

    /// What was learned of the way to a server holds no longer.
    pub(crate) fn forget(&mut self, slot: u32) {
        let record = self.records.get_mut(slot as usize).and_then(Option::as_mut);
        if record.is_some_and(|server| server.learned_until.take().is_some()) {
            self.learned.leave(slot);
        }
    }

    /// The server of which nothing was learned for the longest time, and how long that holds.
    pub(crate) fn first_to_forget(&self) -> Option<(u32, Instant)> {
        let slot = self.learned.oldest()?;
        Some((slot, self.get(slot).learned_until?))
    }

    /// Takes a server back from the trash under a new description; its connection counts and its overload survive.
    pub(crate) fn revive(&mut self, slot: u32, spec: ServerSpec, owner: ServiceId) {
        let server = self.get_mut(slot);
        server.met = Met::Nothing;
        let thresholds = (server.spec.upper, server.spec.lower);
        (server.spec, server.owner, server.idle_since) = (spec, owner, None);
        let live = self.live_mut(slot);
        (live.standing, live.drain) = (Standing::IN_SERVICE, DrainBits::NONE);
        live.configure(&spec, true);
        if thresholds != (spec.upper, spec.lower) {
            live.judge_overload(thresholds.0);
        }
        self.join(slot, owner.slot);
        self.hide(slot);
        self.list(slot);
        self.list_tunnel(slot);
    }

    /// Gives a server another description. Its address stays.
    pub(crate) fn edit(&mut self, slot: u32, spec: ServerSpec) {
        // A tunnel that stays as it was keeps its place.
        let before = self.spec(slot);
        let same_tunnel = (before.method, before.tunnel) == (spec.method, spec.tunnel);
        if !same_tunnel {
            self.tunnels.leave(slot);
        }
        let server = self.get_mut(slot);
        let thresholds = (server.spec.upper, server.spec.lower);
        server.spec = spec;
        let live = self.live_mut(slot);
        live.configure(&spec, false);
        if thresholds != (spec.upper, spec.lower) {
            live.judge_overload(thresholds.0);
        }
        self.hide(slot);
        self.list(slot);
        if !same_tunnel {
            self.list_tunnel(slot);
        }
    }

    /// The server has left its service; its connections still point to it.
    pub(crate) fn retire(&mut self, slot: u32) {
        self.tunnels.leave(slot);
        let live = self.live_mut(slot);
        live.standing.0 |= Standing::REMOVED;
        live.drain = DrainBits::NONE;
        self.join(slot, NONE);
        self.by_end.leave(slot);
    }

    /// The server gets no new connections, whatever its weight.
    pub(crate) fn drain(&mut self, slot: u32, gives_templates_up: bool) {
        let live = self.live_mut(slot);
        let templates = if gives_templates_up { DrainBits::GIVES_TEMPLATES_UP } else { 0 };
        live.drain = DrainBits(DrainBits::DRAINING | templates);
        live.standing = Standing::IN_SERVICE;
        live.weight = 0;
        // So that noting one needs no memory.
        self.drained.reserve(self.live.len());
        self.has_drained(slot);
    }

    /// The server has its weight again.
    pub(crate) fn undrain(&mut self, slot: u32) {
        let weight = self.spec(slot).weight;
        let live = self.live_mut(slot);
        (live.standing, live.drain, live.weight) = (Standing::IN_SERVICE, DrainBits::NONE, weight);
    }

    /// What is left at a draining server goes nowhere from now on.
    pub(crate) fn cut_off(&mut self, slot: u32, resets: bool) {
        self.live_mut(slot).standing.0 |= if resets { Standing::RESETS } else { Standing::DROPS };
    }

    /// A connection of a draining server is gone, perhaps the last one: notes that, once.
    #[cold]
    pub(crate) fn has_drained(&mut self, slot: u32) {
        let live = self.live_mut(slot);
        if live.is_drained() && live.drain.0 & DrainBits::NOTED == 0 {
            live.drain.0 |= DrainBits::NOTED;
            self.drained.push(slot);
        }
    }

    /// The servers that were noted as drained since the last time.
    pub(crate) fn take_drained(&mut self) -> Option<u32> {
        let slot = self.drained.pop()?;
        self.live_mut(slot).drain.0 &= !DrainBits::NOTED;
        Some(slot)
    }

    pub(crate) const fn any_drained(&self) -> bool {
        !self.drained.is_empty()
    }

    /// Nothing points to the server any more: its slot may be taken by another.
    pub(crate) fn free(&mut self, slot: u32) {
        self.forget(slot);
        if let Some(server) = self.records[slot as usize].take() {
            self.addresses.leave(server.spec.address.ip(), slot, server.hidden);
        }
        let live = self.live_mut(slot);
        live.generation = live.generation.wrapping_add(1);
        self.free.push(slot);
    }
}

const fn tunnel_kind(spec: &ServerSpec) -> TunnelKind {
    match spec.tunnel {
        Tunnel::Ipip => TunnelKind::Ipip,
        Tunnel::Gue { port, .. } => TunnelKind::Gue(port),
        Tunnel::Gre { .. } => TunnelKind::Gre,
    }
}
