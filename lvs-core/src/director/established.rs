//! The most frequent packet: one of a TCP or UDP connection that goes on as it was.
//!
//! Nothing here that the general way (`process`, `track`, `transmit`) would not do, only less to ask: a connection that is
//! anything but plain, a packet that changes its state, a path that it does not fit through, are left to that, untouched.

use super::Director;
use super::transmit::Outcome;
use crate::addr::Family;
use crate::config::{Checksum, Meta};
use crate::conn::ConnId;
use crate::conn::entry::{Entry, Flags, Side};
use crate::conn::slab::NONE;
use crate::forward::nat::TTL_DELTA;
use crate::forward::{decrement_ttl, rewrite};
use crate::proto::{Input, tcp};
use crate::service::Method;
use crate::service::server::Live;
use crate::time::Instant;
use crate::verdict::{Direction, Forward, Verdict};
use crate::wire::packet::Packet;
use crate::wire::parse::Parsed;
use crate::wire::{be16, ipv4, ipv6, put16, transport};

impl Director {
    /// Takes a packet along its NAT connection; `None`, with nothing changed, if it is not of the plain kind. The packet's
    /// transport header is whole.
    #[inline(always)]
    pub(super) fn go_on(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
        (slot, side): (u32, Side),
        verdict: &mut Verdict,
    ) -> Option<()> {
        let entry = self.flows.table.slab.get(slot);
        if !entry.is_plain_nat() || meta.checksum == Checksum::Partial || !self.stays_as_it_is(entry, parsed, side) {
            return None;
        }
        let live = self.servers.live(entry.server);
        if side == Side::Client && !fits(live, parsed) || !live.is_plain() {
            return None;
        }
        translate(packet, parsed, entry, side)?;
        self.account(now, parsed, (slot, side), Method::Nat, verdict)
    }

    /// The same for direct routing and tunnels, towards the server.
    #[inline(never)]
    pub(super) fn go_on_unchanged(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        parsed: &Parsed,
        slot: u32,
        verdict: &mut Verdict,
    ) -> Option<()> {
        let entry = self.flows.table.slab.get(slot);
        if !entry.is_plain() || !self.stays_as_it_is(entry, parsed, Side::Client) {
            return None;
        }
        let (live, method) = (self.servers.live(entry.server), entry.method());
        if !fits(live, parsed) || !live.is_plain() {
            return None;
        }
        match method {
            Method::Nat => return None,
            Method::Dr => {
                packet.truncate(parsed.len);
                decrement_ttl(packet.bytes_mut(), parsed.tuple.family);
            }
            Method::Tun => {
                let server = entry.server;
                let Outcome::Send(plan) = self.plan_tun(entry, parsed, live.mtu) else { return None };
                rewrite(packet, parsed, &plan, Checksum::Verified).ok()?;
                self.identification = self.identification.wrapping_add(1);
                self.way_was_met(server);
            }
        }
        self.account(now, parsed, (slot, Side::Client), method, verdict)
    }

    /// A packet has gone along its connection: time, counts, verdict.
    #[inline(always)]
    fn account(
        &mut self,
        now: Instant,
        parsed: &Parsed,
        (slot, side): (u32, Side),
        method: Method,
        verdict: &mut Verdict,
    ) -> Option<()> {
        let entry = self.flows.table.slab.get_mut(slot);
        entry.touch(now);
        let connection = Some(ConnId { slot, generation: entry.generation });
        let server = Some(self.servers.id(entry.server));
        let counters = self.flows.counters.get_mut(entry.server as usize);
        match side {
            Side::Client => {
                entry.in_packets = entry.in_packets.wrapping_add(1);
                let (next_hop, direction) = (self.servers.live(entry.server).address, Direction::ToServer);
                *verdict = Verdict::Forward(Forward { next_hop, direction, method, connection, server });
                counters?.count_in(parsed.len);
            }
            Side::Server => {
                let (next_hop, direction) = (parsed.tuple.destination.to_ip(parsed.tuple.family), Direction::ToClient);
                *verdict = Verdict::Forward(Forward { next_hop, direction, method, connection, server });
                counters?.count_out(parsed.len);
            }
        }
        self.reasons.count_forwarded();
        Some(())
    }

    /// True if neither the state nor the timeout of a connection changes, and nothing is to be told to what is above it.
    #[inline(always)]
    fn stays_as_it_is(&self, entry: &Entry, parsed: &Parsed, side: Side) -> bool {
        let timeouts = self.settings.timeouts_of(entry.server, &self.servers);
        if parsed.is_tcp() {
            let half_seen = entry.flags.contains(Flags::NO_OUTPUT);
            let input = match side {
                Side::Client if half_seen => Input::ClientOnly,
                Side::Client => Input::Client,
                Side::Server if half_seen => return false,
                Side::Server => Input::Server,
            };
            let secure = self.settings.secure_tcp;
            let state = tcp::next(entry.state, input, parsed.tcp_flags, secure);
            !parsed.tcp_flags.syn() && state == entry.state && timeouts.tcp_ms(state) == entry.timeout_ms
        } else {
            parsed.is_udp() && entry.control == NONE && timeouts.udp_ms() == entry.timeout_ms
        }
    }
}

impl Entry {
    /// True for a NAT connection with a server and nothing out of the ordinary.
    #[inline]
    const fn is_plain_nat(&self) -> bool {
        self.flags.has_only(Flags::INACTIVE.and(Flags::SYNCED)) && self.server != NONE
    }

    /// The same for any method: a connection with a server and nothing out of the ordinary.
    #[inline]
    const fn is_plain(&self) -> bool {
        self.flags.has_only(Flags::METHODS.and(Flags::INACTIVE).and(Flags::SYNCED).and(Flags::NO_OUTPUT))
            && self.server != NONE
    }
}

/// True if a packet need not be answered with an error on its way to a server, or cut.
#[inline(always)]
fn fits(live: &Live, parsed: &Parsed) -> bool {
    parsed.ttl > 1 && parsed.len <= usize::from(live.mtu)
}

/// Network address translation, as `forward::nat` does it; `None`, with nothing done, for a UDP datagram whose checksum has
/// to be made.
#[inline(always)]
fn translate(packet: &mut Packet<'_>, parsed: &Parsed, entry: &Entry, side: Side) -> Option<()> {
    let (headers, segment) = packet.bytes_mut().split_at_mut_checked(parsed.transport)?;
    let check_at = if parsed.is_tcp() { transport::TCP_CHECKSUM } else { transport::UDP_CHECKSUM };
    let old = be16(segment.get(check_at..check_at + 2)?, 0);
    if old == 0 && parsed.is_udp() {
        return None;
    }
    let (address, port, port_at) = match side {
        Side::Client => (entry.server_address(), entry.server_port, transport::DESTINATION_PORT),
        Side::Server => (entry.virtual_address(), entry.virtual_port, transport::SOURCE_PORT),
    };
    match parsed.tuple.family {
        Family::V4 => {
            let header: &mut [u8; ipv4::MIN_LEN] = headers.first_chunk_mut()?;
            let (at, delta) = match side {
                Side::Client => (ipv4::DESTINATION, entry.ip_delta.plus(TTL_DELTA)),
                Side::Server => (ipv4::SOURCE, entry.ip_delta.reversed()),
            };
            header[at..at + 4].copy_from_slice(&address.to_v4_bytes());
            header[ipv4::TTL] = header[ipv4::TTL].wrapping_sub(u8::from(side == Side::Client));
            let checksum = delta.apply(be16(header, ipv4::CHECKSUM));
            put16(header, ipv4::CHECKSUM, checksum);
        }
        Family::V6 => {
            let header: &mut [u8; ipv6::LEN] = headers.first_chunk_mut()?;
            let at = match side {
                Side::Client => ipv6::DESTINATION,
                Side::Server => ipv6::SOURCE,
            };
            header[at..at + 16].copy_from_slice(&address.to_v6_bytes());
            header[ipv6::HOP_LIMIT] = header[ipv6::HOP_LIMIT].wrapping_sub(u8::from(side == Side::Client));
        }
    }
    let delta = match side {
        Side::Client => entry.transport_delta,
        Side::Server => entry.transport_delta.reversed(),
    };
    let new = delta.apply(old);
    put16(segment, port_at, port);
    // Zero would say that there is none (RFC 768).
    put16(segment, check_at, if new == 0 && parsed.is_udp() { 0xffff } else { new });
    packet.truncate(parsed.len);
    Some(())
}
