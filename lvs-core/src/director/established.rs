//! The most frequent packet: one of a TCP or UDP connection that goes on as it was.
//!
//! Nothing here that the general way (`process`, `track`, `transmit`) would not do, only less to ask: a connection that is
//! anything but plain, a packet that changes its state, a path that it does not fit through, are left to that, untouched.

use super::transmit::{translation_in, translation_out};
use super::{Director, Gate, Settings};
use crate::addr::Family;
use crate::config::{Hook, Meta};
use crate::conn::ConnId;
use crate::conn::entry::{Entry, Flags, Side};
use crate::conn::id::NONE;
use crate::flow::Protocol;
use crate::forward::nat::translate_plain;
use crate::forward::{decrement_ttl, tun};
use crate::proto::{Input, tcp};
use crate::service::Method;
use crate::service::server::{Live, Servers};
use crate::stats::Counters;
use crate::time::Instant;
use crate::verdict::{Direction, Forward, Verdict};
use crate::wire::packet::Packet;
use crate::wire::plain::{self, Plain};

impl Director {
    /// Takes a plain packet along its connection, of which the first candidate is known; the connection. Else nothing has
    /// changed: the connection that was found, if one was, is handed on. (The family is said beside the packet: where it
    /// is a constant, so is what follows from it.)
    #[inline(always)]
    pub(super) fn go_straight_by(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        plain: (&Plain, Family),
        (candidate, hash): (u32, u64),
        verdict: &mut Verdict,
    ) -> Result<u32, Option<(u32, Side)>> {
        let rests = || plain::rests(packet.bytes());
        match self.flows.table.side_of(candidate, plain, rests, now) {
            Some(side) => self.go_along(now, packet, meta, plain, (candidate, side), verdict),
            None => self.go_another_way(now, packet, meta, *plain.0, hash, verdict),
        }
    }

    /// The same if the first candidate is not the packet's connection.
    #[cold]
    #[inline(never)]
    fn go_another_way(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        plain: Plain,
        hash: u64,
        verdict: &mut Verdict,
    ) -> Result<u32, Option<(u32, Side)>> {
        let found = self.flows.table.find(hash, &plain.tuple(packet.bytes()), now).ok_or(None)?;
        self.go_along(now, packet, meta, (&plain, plain.family), found, verdict)
    }

    #[inline(always)]
    fn go_along(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        plain: (&Plain, Family),
        (slot, side): (u32, Side),
        verdict: &mut Verdict,
    ) -> Result<u32, Option<(u32, Side)>> {
        let gone = match side {
            Side::Client => self.go_on(now, packet, meta, plain, (slot, Side::Client), verdict),
            Side::Server => self.go_on(now, packet, meta, plain, (slot, Side::Server), verdict),
        };
        gone.map_or(Err(Some((slot, side))), |()| Ok(slot))
    }

    /// Takes a packet along; `None`, with nothing changed, if it is not to go straight. (The side is a constant, like the
    /// family: each pair of them has code of its own.)
    #[inline(always)]
    fn go_on(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        (plain, family): (&Plain, Family),
        (slot, side): (u32, Side),
        verdict: &mut Verdict,
    ) -> Option<()> {
        if self.gate(family) != Gate::OPEN {
            return None;
        }
        let entry = self.flows.table.slab.get_mut(slot);
        let (input, is_plain) = match side {
            Side::Client if entry.flags.contains(Flags::NO_OUTPUT) => (Input::ClientOnly, entry.is_plain()),
            Side::Client => (Input::Client, entry.is_plain()),
            Side::Server => (Input::Server, entry.is_plain_nat()),
        };
        if !is_plain || !stays_as_it_is(entry, plain, input, &self.settings, &self.servers) {
            return None;
        }
        let (live, server) = self.servers.live_and_id(entry.server)?;
        if !live.is_plain() {
            return None;
        }
        if side == Side::Client && (!fits(live, plain) || meta.hook != Hook::Local || self.daemons.is_master()) {
            return None;
        }
        let method = match side {
            Side::Client => entry.method(),
            Side::Server => Method::Nat,
        };
        match (side, method) {
            (Side::Client, Method::Nat) => {
                translate_plain(packet.bytes_mut_if_any()?, (plain, family), &translation_in(entry), meta.checksum)?;
                packet.truncate(plain.len.into());
            }
            (Side::Server, _) => {
                translate_plain(packet.bytes_mut_if_any()?, (plain, family), &translation_out(entry), meta.checksum)?;
                packet.truncate(plain.len.into());
            }
            (Side::Client, Method::Dr) => {
                packet.truncate(plain.len.into());
                decrement_ttl(packet.bytes_mut(), family);
            }
            (Side::Client, Method::Tun) => return self.go_through_tunnel(now, packet, *plain, slot, verdict),
        }
        account(now, plain, entry, side, self.flows.counters.get_mut(server.slot as usize));
        self.reasons.count_forwarded();
        *verdict = Verdict::Forward(Forward {
            next_hop: match side {
                Side::Client => live.address,
                Side::Server => plain.addresses(family, packet.bytes()).1.to_ip(family),
            },
            direction: match side {
                Side::Client => Direction::ToServer,
                Side::Server => Direction::ToClient,
            },
            method,
            connection: Some(ConnId { slot, generation: entry.generation }),
            server: Some(server),
        });
        Some(())
    }

    /// The same for a packet that goes to its server in a tunnel.
    #[inline(never)]
    fn go_through_tunnel(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        plain: Plain,
        slot: u32,
        verdict: &mut Verdict,
    ) -> Option<()> {
        let entry = self.flows.table.slab.get(slot);
        let (live, server) = self.servers.live_and_id(entry.server)?;
        let (next_hop, bytes) = (live.address, packet.bytes());
        let inner = tun::Inner::of_plain(&plain, plain.family, bytes);
        let hash = || self.flows.table.hash_plain((&plain, plain.family), bytes);
        let (outer, mtu) = self.outer(entry, live.mtu, hash).ok()?;
        if plain.len > mtu || tun::obstacle(packet, &inner, &outer).is_some() {
            return None;
        }
        packet.truncate(inner.len);
        tun::encapsulate(packet, &inner, &outer);
        self.identification = self.identification.wrapping_add(1);
        self.way_was_met(server.slot);
        let entry = self.flows.table.slab.get_mut(slot);
        account(now, &plain, entry, Side::Client, self.flows.counters.get_mut(server.slot as usize));
        self.reasons.count_forwarded();
        *verdict = Verdict::Forward(Forward {
            next_hop,
            direction: Direction::ToServer,
            method: Method::Tun,
            connection: Some(ConnId { slot, generation: entry.generation }),
            server: Some(server),
        });
        Some(())
    }
}

/// A packet has gone along its connection: time and counts.
#[inline(always)]
fn account(now: Instant, plain: &Plain, entry: &mut Entry, side: Side, counters: Option<&mut Counters>) {
    entry.touch(now);
    if side == Side::Client {
        entry.in_packets = entry.in_packets.wrapping_add(1);
    }
    match (counters, side) {
        (Some(counters), Side::Client) => counters.count_in(plain.len.into()),
        (Some(counters), Side::Server) => counters.count_out(plain.len.into()),
        (None, _) => {}
    }
}

/// True if a packet need not be answered with an error on its way to a server, or cut.
#[inline(always)]
const fn fits(live: &Live, plain: &Plain) -> bool {
    plain.ttl > 1 && plain.len <= live.mtu
}

/// True if neither the state nor the timeout of a connection changes, and nothing is to be told to what is above it.
#[inline(always)]
fn stays_as_it_is(entry: &Entry, plain: &Plain, input: Input, settings: &Settings, servers: &Servers) -> bool {
    let timeouts = settings.timeouts_of(entry.server, servers);
    match plain.protocol {
        TCP => {
            tcp::stays(entry.state, input, plain.tcp_flags, settings.secure_tcp)
                && timeouts.tcp_ms(entry.state) == entry.timeout_ms
        }
        UDP => entry.control == NONE && timeouts.udp_ms() == entry.timeout_ms,
        _ => false,
    }
}

const TCP: u8 = Protocol::Tcp.number();
const UDP: u8 = Protocol::Udp.number();

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
