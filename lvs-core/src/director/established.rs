//! The most frequent packet: one of a TCP or UDP connection that goes on as it was.
//!
//! Nothing here that the general way (`process`, `track`, `transmit`) would not do, only less to ask: a connection that is
//! anything but plain, a packet that changes its state, a path that it does not fit through, are left to that, untouched.

use super::Director;
use super::decision::Outcome;
use super::transmit::plan_out;
use crate::config::{Checksum, Meta};
use crate::conn::ConnId;
use crate::conn::entry::{Entry, Flags, Side};
use crate::conn::id::NONE;
use crate::forward::{decrement_ttl, rewrite};
use crate::proto::{Input, tcp};
use crate::service::Method;
use crate::service::server::Live;
use crate::time::Instant;
use crate::verdict::{Direction, Forward, Verdict};
use crate::wire::packet::Packet;
use crate::wire::parse::Parsed;

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
        if !entry.is_plain_nat() || !self.stays_as_it_is(entry, parsed, side) {
            return None;
        }
        let live = self.servers.live(entry.server);
        if side == Side::Client && !fits(live, parsed) || !live.is_plain() {
            return None;
        }
        let plan = match side {
            Side::Client => self.plan_nat(entry, true),
            Side::Server => plan_out(entry),
        };
        rewrite(packet, parsed, &plan, meta.checksum).ok()?;
        self.account(now, parsed, (slot, side), Method::Nat, verdict);
        Some(())
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
        self.account(now, parsed, (slot, Side::Client), method, verdict);
        Some(())
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
    ) {
        let entry = self.flows.table.slab.get_mut(slot);
        entry.touch(now);
        let connection = Some(ConnId { slot, generation: entry.generation });
        let server = Some(self.servers.id(entry.server));
        let counters = self.flows.counters.get_mut(entry.server as usize);
        let (next_hop, direction) = match side {
            Side::Client => {
                entry.in_packets = entry.in_packets.wrapping_add(1);
                (self.servers.live(entry.server).address, Direction::ToServer)
            }
            Side::Server => (parsed.tuple.destination.to_ip(parsed.tuple.family), Direction::ToClient),
        };
        *verdict = Verdict::Forward(Forward { next_hop, direction, method, connection, server });
        match (counters, side) {
            (Some(counters), Side::Client) => counters.count_in(parsed.len),
            (Some(counters), Side::Server) => counters.count_out(parsed.len),
            (None, _) => {}
        }
        self.reasons.count_forwarded();
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
