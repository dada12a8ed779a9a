//! What leaves: the plan for a packet of a connection, and the errors that are sent instead.
//!
//! Follows: the transmitters of IPVS, in their order: route, local server, TTL, MTU.

use core::net::IpAddr;

use super::Director;
use super::decision::{Decision, Outcome, Refusal};
use super::track::{Handshake, track};
use crate::addr::{Addr, Family};
use crate::config::{Hook, Meta};
use crate::conn::entry::{Entry, Flags, Side};
use crate::conn::flows::{bind, unbind};
use crate::conn::id::NONE;
use crate::forward::nat::Translation;
use crate::forward::{Plan, decrement_ttl, rewrite, tun};
use crate::service::server::Live;
use crate::service::server::Met;
use crate::service::{Method, Tunnel};
use crate::stats::Counters;
use crate::time::Instant;
use crate::verdict::{Direction, DropReason, Forward, PassReason, ReplyReason, Verdict};
use crate::wire::icmp::{self, IcmpError};
use crate::wire::packet::Packet;
use crate::wire::parse::Parsed;
use crate::wire::{ipv4, ipv6};

/// Methods by their numbers. Of a connection without a server any can be there.
const NAT: u16 = 0;
const TUN: u16 = 2;
const DR: u16 = 3;
const BYPASS: u16 = 4;

impl Director {
    /// A packet of the client on its way to the server of a connection.
    #[inline(never)]
    pub(super) fn forward_in(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
        slot: u32,
    ) -> Decision {
        let secure = self.settings.secure_tcp;
        let entry = self.flows.table.slab.get_mut(slot);
        let (before, timeouts) = (entry.timeout_ms, self.settings.timeouts_of(entry.server, &self.servers));
        let handshake = track(entry, Side::Client, parsed, packet, timeouts, secure, &mut self.servers);
        entry.in_packets = entry.in_packets.wrapping_add(1);
        entry.touch(now);
        let (control, server, shortened) = (entry.control, entry.server, entry.timeout_ms < before);
        if let Some(counters) = self.flows.counters_mut(server) {
            counters.count_in(parsed.len);
        }
        if shortened || control != NONE {
            self.flows.follow_up(slot, control, handshake == Handshake::Completed);
        }
        let entry = self.flows.table.slab.get(slot);
        let decision = if entry.flags.intersects(Flags::UNUSUAL) {
            self.forward_unusual(now, packet, meta, parsed, slot)
        } else {
            let outcome = self.plan_in(entry, parsed);
            self.send_in(packet, meta, parsed, &outcome, server, slot)
        };
        if self.daemons.is_master() {
            self.offer(now, slot, self.flows.table.slab.get(slot).in_packets.cast_signed());
        }
        decision
    }

    /// The packet of a connection that is over with it.
    pub(super) fn forward_once(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
        mut entry: Entry,
    ) -> Decision {
        bind(&entry, &mut self.servers, &mut self.flows.events);
        track(&mut entry, Side::Client, parsed, packet, &self.settings.timeouts, false, &mut self.servers);
        if let Some(counters) = self.flows.counters_mut(entry.server) {
            counters.count_in(parsed.len);
        }
        let outcome = self.plan_in(&entry, parsed);
        let decision = self.send_in(packet, meta, parsed, &outcome, entry.server, NONE);
        if entry.control != NONE {
            self.offer_controller(now, entry.control);
        }
        unbind(&entry, &mut self.servers, &mut self.flows.events);
        decision
    }

    /// What a packet of the client meets with on its way.
    #[inline(always)]
    pub(super) fn plan_in(&self, entry: &Entry, parsed: &Parsed) -> Outcome {
        if entry.server == NONE {
            return self.plan_unbound(entry, parsed);
        }
        self.plan_to(entry, parsed, self.servers.live(entry.server))
    }

    /// The same for a connection that synchronisation brought and that no server here is known for.
    #[cold]
    fn plan_unbound(&self, entry: &Entry, parsed: &Parsed) -> Outcome {
        let address = self.next_hop(entry);
        let path = self.control.paths.get(&address).unwrap_or(&self.control.default_path);
        let local = address.is_loopback() || self.settings.is_local(address);
        match entry.flags.method_number() {
            NAT | DR => self.plan_to(entry, parsed, &self.servers.stranger(address, path, local)),
            // All this comes before a tunnel is looked for.
            TUN if local || !path.reachable || parsed.ttl <= 1 => {
                self.plan_to(entry, parsed, &self.servers.stranger(address, path, local))
            }
            BYPASS if !local && !self.settings.local.is_empty() => {
                self.plan_to(entry, parsed, &self.servers.stranger(address, path, local))
            }
            TUN | BYPASS => Outcome::Refuse(Refusal::Drop(DropReason::NoServer)),
            _ => Outcome::Refuse(Refusal::Pass(PassReason::LocalServer)),
        }
    }

    /// Where the packets of a client go: to the server, or past all servers to where they were going anyway.
    pub(super) fn next_hop(&self, entry: &Entry) -> IpAddr {
        let elsewhere = entry.flags.contains(Flags::ELSEWHERE) && entry.method() == Method::Nat;
        if entry.server != NONE && !elsewhere {
            return self.servers.live(entry.server).address;
        }
        match entry.flags.method_number() {
            BYPASS => entry.virtual_address().to_ip(entry.family()),
            _ => entry.server_address().to_ip(entry.server_family()),
        }
    }

    /// The verdict on a packet that leaves on a connection without a server.
    #[cold]
    pub(super) fn to_unbound(&self, connection: u32, method: Method, parsed: &Parsed) -> Verdict {
        let known = connection != NONE;
        Verdict::Forward(Forward {
            next_hop: if known {
                self.next_hop(self.flows.table.slab.get(connection))
            } else {
                parsed.tuple.destination.to_ip(parsed.tuple.family)
            },
            direction: Direction::ToServer,
            method,
            connection: known.then(|| self.flows.table.slab.id(connection)),
            server: None,
        })
    }

    #[inline(always)]
    fn plan_to(&self, entry: &Entry, parsed: &Parsed, live: &Live) -> Outcome {
        if !live.reachable {
            return Outcome::Refuse(Refusal::Error(ReplyReason::NoRoute));
        }
        if live.local {
            let from_outside = !parsed.tuple.source.to_ip(parsed.tuple.family).is_loopback();
            return match entry.method() {
                Method::Nat if live.address.is_loopback() && from_outside => {
                    Outcome::Refuse(Refusal::Drop(DropReason::Loopback))
                }
                Method::Nat => Outcome::Send(Plan::Nat(Translation { decrement_ttl: false, ..translation_in(entry) })),
                Method::Dr | Method::Tun => Outcome::Refuse(Refusal::Pass(PassReason::LocalServer)),
            };
        }
        if parsed.ttl <= 1 {
            return Outcome::Refuse(Refusal::Error(ReplyReason::TtlExceeded));
        }
        match entry.method() {
            Method::Nat => self.within_mtu(parsed, live.mtu, Plan::Nat(translation_in(entry))),
            Method::Dr => self.within_mtu(parsed, live.mtu, Plan::Dr),
            Method::Tun => match self.outer(entry, live.mtu, || self.flows.table.hash(&parsed.tuple)) {
                Err(reason) => Outcome::Refuse(Refusal::Drop(reason)),
                Ok((outer, _)) if parsed.tuple.family == Family::V4 && !outer.copy_dont_fragment => {
                    Outcome::Send(Plan::Tun(outer))
                }
                Ok((outer, mtu)) => self.within_mtu(parsed, mtu, Plan::Tun(outer)),
            },
        }
    }

    /// The plan, if the packet may be so long.
    #[inline]
    fn within_mtu(&self, parsed: &Parsed, mtu: u16, plan: Plan) -> Outcome {
        let too_long = parsed.len > usize::from(mtu);
        let may_be_cut = parsed.tuple.family == Family::V4 && !parsed.dont_fragment;
        // An IPv4 error is sent whatever its length: there would be nobody to tell.
        if too_long && !may_be_cut && !(parsed.tuple.family == Family::V4 && parsed.is_icmp()) {
            return Outcome::Refuse(Refusal::TooBig(mtu));
        }
        Outcome::Send(plan)
    }

    /// What a packet to a server is to be wrapped in, and how long it may be inside that. `hash` is that of its flow.
    #[inline]
    pub(super) fn outer(
        &self,
        entry: &Entry,
        mtu: u16,
        hash: impl FnOnce() -> u64,
    ) -> Result<(tun::Outer, u16), DropReason> {
        let family = entry.server_family();
        let server = self.servers.get(entry.server);
        let tunnel = server.spec.tunnel;
        let inner_mtu = mtu.saturating_sub(tun::overhead(family, tunnel));
        let smallest = match family {
            Family::V4 => ipv4::SMALLEST_MTU,
            Family::V6 => ipv6::SMALLEST_MTU,
        };
        if server.tunnel_source == Addr::UNSPECIFIED {
            return Err(DropReason::NoTunnelSource);
        }
        if inner_mtu < smallest {
            return Err(DropReason::TunnelMtu);
        }
        let outer = tun::Outer {
            family,
            source: server.tunnel_source,
            destination: entry.server_address(),
            tunnel,
            copy_dont_fragment: self.settings.tunables.pmtu_disc != 0,
            identification: self.identification,
            source_port: if tunnel == Tunnel::Ipip { 0 } else { gue_port(hash()) },
        };
        Ok((outer, inner_mtu))
    }

    /// Carries out what was found for a packet of the client.
    #[inline(always)]
    pub(super) fn send_in(
        &mut self,
        packet: &mut Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
        outcome: &Outcome,
        server: u32,
        connection: u32,
    ) -> Decision {
        let plan = match outcome {
            Outcome::Send(plan) => plan,
            Outcome::Refuse(refusal) => {
                self.way_was_met(server);
                let decision = self.refuse(packet, parsed, *refusal);
                if let Decision::Reply(_) = decision {
                    self.account_error(connection, server, packet.len());
                }
                return decision;
            }
        };
        if let Err(reason) = rewrite(packet, parsed, plan, meta.checksum) {
            return Decision::Drop(reason);
        }
        let method = match plan {
            Plan::Nat(_) => Method::Nat,
            Plan::Tun(_) => {
                self.identification = self.identification.wrapping_add(1);
                self.way_was_met(server);
                Method::Tun
            }
            Plan::Dr | Plan::AsIs => Method::Dr,
        };
        Decision::ToServer { server, connection, method }
    }

    /// Takes note of the MTU that a packet to a server met with: what its client is told if a router refuses another.
    #[inline(never)]
    pub(super) fn way_was_met(&mut self, server: u32) {
        if server != NONE {
            let mtu = self.servers.live(server).mtu;
            let record = self.servers.get_mut(server);
            record.met = if record.learned_until.is_some() { Met::Learned } else { Met::Plain(mtu) };
        }
    }

    /// An ICMP error of the director's own leaves through the host, where it is seen as a packet of the connection to
    /// the client; where addresses are translated it is not recognised as such.
    fn account_error(&mut self, connection: u32, server: u32, len: usize) {
        if connection == NONE || self.flows.table.slab.get(connection).method() == Method::Nat {
            return;
        }
        if let Some(counters) = self.flows.counters_mut(server) {
            counters.count_out(len);
        }
    }

    /// A packet to the client, from the server of a connection.
    #[inline(never)]
    pub(super) fn reply(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
        slot: u32,
    ) -> Decision {
        let entry = self.flows.table.slab.get(slot);
        if self.is_cut_off(entry.server) {
            return self.cut_off(now, packet, parsed, slot, Side::Server);
        }
        let helped;
        let (plan, flags) = (plan_out(entry), entry.flags);
        if flags.intersects(Flags::DATA) {
            self.overhear_data(packet, meta, parsed, slot);
        }
        let parsed = if flags.contains(Flags::HELPED) {
            match self.help_server(now, packet, meta, parsed, slot) {
                Ok(changed) => helped = changed,
                Err(reason) => return Decision::Drop(reason),
            }
            &helped
        } else {
            parsed
        };
        if let Err(reason) = rewrite(packet, parsed, &plan, meta.checksum) {
            return Decision::Drop(reason);
        }
        let secure = self.settings.secure_tcp;
        let entry = self.flows.table.slab.get_mut(slot);
        let (before, timeouts) = (entry.timeout_ms, self.settings.timeouts_of(entry.server, &self.servers));
        let handshake = track(entry, Side::Server, parsed, packet, timeouts, secure, &mut self.servers);
        entry.touch(now);
        let (control, server, shortened) = (entry.control, entry.server, entry.timeout_ms < before);
        if shortened || control != NONE {
            self.flows.follow_up(slot, control, handshake == Handshake::Completed);
        }
        self.count_out(server, parsed.len);
        Decision::ToClient { connection: slot }
    }

    /// A packet that is about a connection, counted at its server.
    pub(super) fn count_in(&mut self, server: u32, len: usize) {
        if let Some(counters) = self.counters_in_service(server) {
            counters.count_in(len);
        }
    }

    /// A packet to a client, counted at its server.
    #[inline]
    pub(super) fn count_out(&mut self, server: u32, len: usize) {
        if let Some(counters) = self.counters_in_service(server) {
            counters.count_out(len);
        }
    }

    /// The counters of a server, unless it has left its service.
    #[inline]
    fn counters_in_service(&mut self, server: u32) -> Option<&mut Counters> {
        if server == NONE || !self.servers.live(server).is_available() {
            return None;
        }
        self.flows.counters_mut(server)
    }

    /// Passes, drops or answers a packet.
    #[cold]
    pub(super) fn refuse(&self, packet: &mut Packet<'_>, parsed: &Parsed, refusal: Refusal) -> Decision {
        let (reason, error, after_hop) = match refusal.unanswered(parsed) {
            Refusal::Pass(reason) => return Decision::Pass(reason),
            Refusal::Drop(reason) => return Decision::Drop(reason),
            Refusal::TooBig(mtu) => (ReplyReason::TooBig, IcmpError::TooBig(mtu), true),
            Refusal::Error(reason) => {
                let error = match reason {
                    ReplyReason::TtlExceeded => IcmpError::TimeExceeded,
                    ReplyReason::NoRoute => IcmpError::NoRoute,
                    ReplyReason::NoDestination
                    | ReplyReason::NoConnection
                    | ReplyReason::TooBig
                    | ReplyReason::TunnelError
                    | ReplyReason::Drained
                    | ReplyReason::Reset => IcmpError::PortUnreachable,
                };
                (reason, error, false)
            }
        };
        let source = match self.error_source(parsed) {
            Ok(source) => source,
            Err(reason) => return Decision::Drop(reason),
        };
        if after_hop && icmp::has_room(packet, parsed) {
            // The hop was taken off before the length was looked at: the quoted header shows it.
            decrement_ttl(packet.bytes_mut(), parsed.tuple.family);
        }
        Self::answer(packet, parsed, error, source, reason)
    }

    /// Replaces a packet by an error about it.
    pub(super) fn answer(
        packet: &mut Packet<'_>,
        parsed: &Parsed,
        error: IcmpError,
        source: Addr,
        reason: ReplyReason,
    ) -> Decision {
        if !icmp::has_room(packet, parsed) {
            return Decision::Drop(DropReason::NoHeadroom);
        }
        icmp::replace(packet, parsed, error, source);
        Decision::Reply(reason)
    }

    /// The source of an error about a packet: where the packet was going if that is the host's own address, else the
    /// host's address towards the clients.
    pub(super) fn error_source(&self, parsed: &Parsed) -> Result<Addr, DropReason> {
        let (destination, family) = (parsed.tuple.destination, parsed.tuple.family);
        may_be_told(parsed)?;
        if self.settings.local.is_empty() || self.is_own(destination, family) {
            return Ok(destination);
        }
        self.address_towards_clients(family)
    }

    /// The same for an error to a server: else the host's address on that side.
    pub(super) fn error_source_towards(&self, server: u32, hook: Hook, parsed: &Parsed) -> Result<Addr, DropReason> {
        let (destination, family) = (parsed.tuple.destination, parsed.tuple.family);
        may_be_told(parsed)?;
        if self.is_own(destination, family) || hook == Hook::Local && self.settings.local.is_empty() {
            return Ok(destination);
        }
        let own = self.servers.get(server).tunnel_source;
        if own == Addr::UNSPECIFIED { self.address_towards_clients(family) } else { Ok(own) }
    }

    fn address_towards_clients(&self, family: Family) -> Result<Addr, DropReason> {
        let own = match family {
            Family::V4 => self.settings.address_v4.map(IpAddr::V4),
            Family::V6 => self.settings.address_v6.map(IpAddr::V6),
        };
        own.map(Addr::from_ip).ok_or(DropReason::NoErrorSource)
    }

    /// True for an address that was told to be the host's own.
    pub(super) fn is_own(&self, address: Addr, family: Family) -> bool {
        self.settings.is_local(address.to_ip(family))
    }
}

/// Refuses errors to those who are no single host.
fn may_be_told(parsed: &Parsed) -> Result<(), DropReason> {
    let is_told = is_one_host(parsed.tuple.source.to_ip(parsed.tuple.family));
    if is_told { Ok(()) } else { Err(DropReason::NoErrorTarget) }
}

/// An address that an error may be sent to (RFC 1122 section 3.2.2, RFC 4443 section 2.4).
fn is_one_host(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(a) if a.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || is_broadcast)
}

/// The plan for a packet of the server.
#[inline(always)]
pub(super) fn plan_out(entry: &Entry) -> Plan {
    match entry.method() {
        Method::Nat => Plan::Nat(translation_out(entry)),
        Method::Dr | Method::Tun => Plan::AsIs,
    }
}

/// What NAT makes of a client's packet.
#[inline(always)]
pub(super) fn translation_in(entry: &Entry) -> Translation {
    Translation {
        direction: Direction::ToServer,
        address: entry.server_address(),
        port: entry.server_port,
        address_delta: entry.ip_delta,
        transport_delta: entry.transport_delta,
        decrement_ttl: true,
    }
}

/// What it makes of the server's.
#[inline(always)]
pub(super) fn translation_out(entry: &Entry) -> Translation {
    Translation {
        direction: Direction::ToClient,
        address: entry.virtual_address(),
        port: entry.virtual_port,
        address_delta: entry.ip_delta.reversed(),
        transport_delta: entry.transport_delta.reversed(),
        decrement_ttl: false,
    }
}

/// The UDP source port of a flow's GUE packets: a local port as the kernel chooses them, one for each flow.
fn gue_port(hash: u64) -> u16 {
    const FIRST: u64 = 32768;
    const COUNT: u64 = 60999 - FIRST;
    u16::try_from(FIRST + (((hash >> 32) * COUNT) >> 32)).unwrap_or(u16::MAX)
}

/// The flags of a new connection to a server.
pub(super) fn new_flags(method: Method) -> Flags {
    let mut flags = Flags::with_method(method);
    flags.set(Flags::INACTIVE);
    if method != Method::Nat {
        flags.set(Flags::NO_OUTPUT);
    }
    flags
}
