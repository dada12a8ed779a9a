//! ICMP errors about the director's own tunnels: what a router on the way to a server says becomes an error for the client.
//!
//! Follows: IPVS, over IPv4. A router that wants smaller packets teaches the way to the server its MTU; what the client is
//! told is the MTU that its last packet to that server met with, less the tunnel's headers.

use core::net::IpAddr;
use core::time::Duration;

use super::Director;
use super::decision::Decision;
use crate::addr::{Addr, Family};
use crate::config::{Hook, Meta};
use crate::conn::id::NONE;
use crate::flow::Tuple;
use crate::forward::icmp::is_right;
use crate::service::Method;
use crate::service::server::Met;
use crate::time::Instant;
use crate::verdict::{DropReason, PassReason, ReplyReason};
use crate::wire::icmp::{self, IcmpError};
use crate::wire::packet::Packet;
use crate::wire::parse::Parsed;
use crate::wire::quote::{self, ICMP_HEADER, TunnelQuote};
use crate::wire::{be16, ipv4};

/// "Destination unreachable", and its code "fragmentation needed" (RFC 792, RFC 1191).
const FRAGMENTATION_NEEDED: [u8; 2] = [3, 4];
/// No path is believed to be narrower (the stack of Linux 6.1.192).
const NARROWEST: u16 = 552;
/// What an IPv4 host has to get through in one piece (RFC 791).
const SMALLEST: u16 = 68;
/// So long is a path believed to be narrow.
const LEARNED_FOR: Duration = Duration::from_secs(600);

/// An error about a tunnel packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct TunnelError {
    /// The connection of the packet in the tunnel.
    pub(super) slot: u32,
    /// Where the packet in the tunnel begins in the error.
    at: usize,
    tuple: Tuple,
    /// The server that the tunnel leads to, and the bytes of the tunnel's headers.
    remote: Addr,
    overhead: u16,
    kind: [u8; 2],
    word: [u8; 4],
}

impl Director {
    /// The connection of the packet that is quoted inside a tunnel of ours. `None` if it is no such error.
    pub(super) fn tunnel_error(
        &self,
        now: Instant,
        bytes: &[u8],
        parsed: &Parsed,
    ) -> Option<Result<TunnelError, Decision>> {
        let quoted = parsed.transport + ICMP_HEADER;
        let outer = quote::read_tunnel(bytes.get(quoted..parsed.len)?)?;
        let TunnelQuote { remote, tunnel, at, .. } = outer;
        if !self.servers.has_tunnel(remote.to_ip(Family::V4), tunnel) {
            return outer.is_nothing_else.then_some(Err(Decision::Pass(PassReason::NoConnection)));
        }
        let at = quoted + at;
        let quote = bytes.get(at..parsed.len).and_then(|inner| quote::read(inner, Family::V4));
        let Some(quote) = quote else { return Some(Err(Decision::Pass(PassReason::UnsupportedProtocol))) };
        let found = if quote.has_ports { self.flows.table.find_request(&quote.tuple, now) } else { None };
        let Some(slot) = found else { return Some(Err(Decision::Pass(PassReason::NoConnection))) };
        if !is_right(bytes, parsed) {
            return Some(Err(Decision::Drop(DropReason::IcmpChecksum)));
        }
        let header: [u8; ICMP_HEADER] = bytes.get(parsed.transport..quoted).and_then(|h| h.first_chunk().copied())?;
        let [a, b, _, _, word @ ..] = header;
        let overhead = u16::try_from(outer.at).unwrap_or(u16::MAX);
        Some(Ok(TunnelError { slot, at, tuple: quote.tuple, remote, overhead, kind: [a, b], word }))
    }

    /// What the client is to be told, and from which address; or why it is told nothing.
    pub(super) fn tunnel_reply(&self, bytes: &[u8], error: &TunnelError) -> Result<(IcmpError, Addr), DropReason> {
        let mut told = IcmpError::Relayed(error.kind, error.word);
        if error.kind == FRAGMENTATION_NEEDED {
            if be16(bytes, error.at + ipv4::FRAGMENT) & ipv4::DONT_FRAGMENT == 0 {
                return Err(DropReason::TunnelErrorLearned);
            }
            let server = self.flows.table.slab.get(error.slot).server;
            let met = if server == NONE { Met::Nothing } else { self.servers.get(server).met };
            let mtu = match met {
                Met::Nothing => reported_mtu(error),
                Met::Plain(mtu) => mtu,
                Met::Learned => self.servers.live(server).mtu,
            };
            told = IcmpError::TooBig(if mtu > SMALLEST + error.overhead { mtu - error.overhead } else { mtu });
        }
        let parsed = Parsed { tuple: error.tuple, ..Parsed::UNKNOWN };
        self.error_source(&parsed).map(|source| (told, source))
    }

    /// Learns from an error about a tunnel packet, and tells the client.
    pub(super) fn relay(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        parsed: &Parsed,
        error: &TunnelError,
    ) -> Decision {
        if error.kind == FRAGMENTATION_NEEDED {
            self.learn_mtu(now, error.remote.to_ip(Family::V4), reported_mtu(error));
        }
        let (told, source) = match self.tunnel_reply(packet.bytes(), error) {
            Ok(reply) => reply,
            Err(reason) => return Decision::Drop(reason),
        };
        let entry = self.flows.table.slab.get(error.slot);
        let (server, translated) = (entry.server, entry.method() == Method::Nat);
        self.count_out(server, parsed.len - error.at);
        packet.truncate(parsed.len);
        packet.cut_front(error.at);
        let tos = packet.bytes().get(ipv4::TOS).copied().unwrap_or(0);
        let inner = Parsed { tuple: error.tuple, len: parsed.len - error.at, tos, ..Parsed::UNKNOWN };
        icmp::replace(packet, &inner, told, source);
        if !translated {
            self.count_out(server, packet.len());
        }
        Decision::Relayed { connection: error.slot, reason: ReplyReason::TunnelError }
    }

    /// Learns from an error that is for the host, about a datagram of its own: it need not quote enough to tell which tunnel
    /// it is about. (A kernel's host does, for all that it sends.)
    #[cold]
    pub(super) fn learn_in_passing(
        &mut self,
        now: Instant,
        bytes: &[u8],
        meta: Meta,
        parsed: &Parsed,
        decision: Decision,
    ) {
        let is_for_host = matches!(decision, Decision::Pass(_)) && meta.hook == Hook::Local;
        if !is_for_host || parsed.tuple.family != Family::V4 {
            return;
        }
        let message = bytes.get(parsed.transport..parsed.len).unwrap_or_default();
        let Some((header, quoted)) = message.split_first_chunk::<ICMP_HEADER>() else { return };
        let [a, b, _, _, _, _, high, low] = *header;
        let mtu = u16::from_be_bytes([high, low]);
        if [a, b] == FRAGMENTATION_NEEDED
            && mtu > 0
            && let Some(receiver) = quote::datagram_receiver(quoted)
            && is_right(bytes, parsed)
        {
            self.learn_mtu(now, receiver.to_ip(Family::V4), mtu);
        }
    }

    /// The way to an address is narrower than was thought. Wider again it is believed to be only after ten minutes. Anybody
    /// can say so, so that only servers of the address are looked at.
    fn learn_mtu(&mut self, now: Instant, address: IpAddr, reported: u16) {
        let mut next = self.servers.latest_at(address);
        while next != NONE {
            let slot = next;
            next = self.servers.before(slot);
            let mtu = self.servers.live(slot).mtu;
            let record = self.servers.get(slot);
            // The way of direct routing, once taken, stays what it was.
            let taken = self.flows.counters.get(slot as usize).is_some_and(|counters| counters.in_packets > 0);
            let is_fixed = record.spec.method == Method::Dr && taken && record.learned_until.is_none();
            if reported > mtu || is_fixed {
                continue;
            }
            let learned = mtu.min(reported.max(NARROWEST));
            if learned != mtu || record.learned_until.is_none() {
                self.servers.lessons = self.servers.lessons.wrapping_add(1);
            }
            self.servers.learn(slot, learned, now + LEARNED_FOR);
        }
        self.control.relearn_at = self.servers.first_to_forget().map(|(_, until)| until);
    }

    /// Forgets what was learned ten minutes ago.
    pub(super) fn forget_learned(&mut self, now: Instant) {
        while let Some((slot, _)) = self.servers.first_to_forget().filter(|&(_, until)| until <= now) {
            self.apply_path(slot);
        }
        self.control.relearn_at = self.servers.first_to_forget().map(|(_, until)| until);
    }
}

fn reported_mtu(error: &TunnelError) -> u16 {
    be16(&error.word, 2)
}
