//! ICMP errors that come from outside, about packets of connections.
//!
//! Follows: IPVS. An error of a client, or of a router on its side, goes to the server of the connection that it quotes;
//! one from the server's side goes to the client. Neither state nor time of the connection changes.

use super::Director;
use super::decision::{Decision, Outcome, Refusal, Scheduled};
use super::tunnel_error::TunnelError;
use crate::addr::Family;
use crate::config::{Hook, Meta};
use crate::conn::entry::{Entry, Side};
use crate::conn::flows::{bind, unbind};
use crate::conn::id::NONE;
use crate::forward::icmp::{Translation, is_right, translate};
use crate::forward::{Plan, decrement_ttl};
use crate::service::Method;
use crate::time::Instant;
use crate::verdict::{Direction, DropReason, PassReason};
use crate::wire::ipv4;
use crate::wire::packet::Packet;
use crate::wire::parse::{Parsed, Shape};
use crate::wire::quote::{self, ICMP_HEADER, Quote};

/// What is to become of an error, as far as it can be told without changing anything.
#[derive(Clone, Copy, Debug)]
pub(super) enum ErrorCourse {
    /// To the server or the client of this connection.
    Follow { slot: u32, side: Side, quote: Quote },
    /// No connection, and the quoted packet may make one.
    Schedule { quote: Quote },
    /// An error about a tunnel of ours.
    Tunnel(TunnelError),
    /// Nothing of ours.
    Done(Decision),
}

/// The types that are errors and are looked at.
const fn is_error(family: Family, kind: u8) -> bool {
    match family {
        Family::V4 => matches!(kind, 3 | 4 | 11),
        Family::V6 => kind < 128,
    }
}

impl Director {
    /// An ICMP packet.
    #[cold]
    pub(super) fn icmp(&mut self, now: Instant, packet: &mut Packet<'_>, meta: Meta, parsed: &Parsed) -> Decision {
        match self.error_course(now, packet.bytes(), meta, parsed) {
            ErrorCourse::Done(decision) => {
                self.learn_in_passing(now, packet.bytes(), meta, parsed, decision);
                decision
            }
            ErrorCourse::Tunnel(error) => self.relay(now, packet, parsed, &error),
            ErrorCourse::Follow { slot, side: Side::Server, quote } => self.error_out(packet, parsed, slot, &quote),
            ErrorCourse::Follow { slot, side: Side::Client, quote } => {
                self.error_in(packet, parsed, slot, &quote, meta.hook)
            }
            ErrorCourse::Schedule { quote } => {
                match self.schedule(now, meta, &as_opening(parsed, &quote), packet.bytes()) {
                    Ok(Scheduled::Connection(slot)) => {
                        match self.damaged(packet, parsed, self.flows.table.slab.get(slot)) {
                            Some(refusal) => self.refuse(packet, parsed, refusal),
                            None => self.error_in(packet, parsed, slot, &quote, meta.hook),
                        }
                    }
                    Ok(Scheduled::OnePacket(entry)) => self.error_in_once(packet, parsed, &entry, &quote, meta.hook),
                    Err(refusal) => self.refuse(packet, parsed, refusal),
                }
            }
        }
    }

    pub(super) fn error_course(&self, now: Instant, bytes: &[u8], meta: Meta, parsed: &Parsed) -> ErrorCourse {
        let unsupported = ErrorCourse::Done(Decision::Pass(PassReason::UnsupportedProtocol));
        if parsed.shape == Shape::Fragment {
            return ErrorCourse::Done(Decision::Pass(PassReason::Fragment));
        }
        let message = bytes.get(parsed.transport..parsed.len).unwrap_or_default();
        let Some(header) = message.first_chunk::<ICMP_HEADER>() else {
            return ErrorCourse::Done(Decision::Drop(DropReason::TruncatedTransport));
        };
        if !is_error(parsed.tuple.family, header[0]) {
            return unsupported;
        }
        if meta.hook == Hook::Local
            && parsed.tuple.family == Family::V4
            && let Some(found) = self.tunnel_error(now, bytes, parsed)
        {
            return found.map_or_else(ErrorCourse::Done, ErrorCourse::Tunnel);
        }
        let Some(quote) = quote::read(&message[ICMP_HEADER..], parsed.tuple.family) else { return unsupported };
        let answer = quote.answer();
        let found =
            if quote.has_ports { self.flows.table.find(self.flows.table.hash(&answer), &answer, now) } else { None };
        match found {
            Some((slot, _)) if self.is_cut_off(self.flows.table.slab.get(slot).server) => {
                ErrorCourse::Done(Decision::Drop(DropReason::Drained))
            }
            Some((slot, side)) => {
                let translated = self.flows.table.slab.get(slot).method() == Method::Nat;
                if translated && !is_right(bytes, parsed) {
                    return ErrorCourse::Done(Decision::Drop(DropReason::IcmpChecksum));
                }
                ErrorCourse::Follow { slot, side, quote }
            }
            None if self.may_open(&quote) => ErrorCourse::Schedule { quote },
            // Whoever wants to make a connection of what has no ports cannot go on with it.
            None if !quote.has_ports && self.settings.tunables.schedule_icmp != 0 => {
                ErrorCourse::Done(Decision::Drop(DropReason::TruncatedTransport))
            }
            None => ErrorCourse::Done(Decision::Pass(PassReason::NoConnection)),
        }
    }

    /// Whether a quoted packet that no connection knows may make one.
    fn may_open(&self, quote: &Quote) -> bool {
        quote.has_ports && !quote.is_ipsec() && self.settings.tunables.schedule_icmp != 0
    }

    /// From the server's side to the client: it comes from the virtual address, whoever sent it.
    fn error_out(&mut self, packet: &mut Packet<'_>, parsed: &Parsed, slot: u32, quote: &Quote) -> Decision {
        packet.truncate(parsed.len);
        let entry = self.flows.table.slab.get(slot);
        let server = entry.server;
        if entry.method() == Method::Nat {
            let to = Translation {
                direction: Direction::ToClient,
                address: entry.virtual_address(),
                port: entry.virtual_port,
            };
            translate(packet.bytes_mut(), parsed, quote, &to);
        }
        self.count_out(server, parsed.len);
        Decision::ToClient { connection: slot }
    }

    /// From the client's side to the server.
    fn error_in(&mut self, packet: &mut Packet<'_>, parsed: &Parsed, slot: u32, quote: &Quote, hook: Hook) -> Decision {
        let entry = self.flows.table.slab.get_mut(slot);
        if entry.method() != Method::Nat {
            entry.in_packets = entry.in_packets.wrapping_add(1);
        }
        let server = entry.server;
        self.count_in(server, parsed.len);
        let outcome = self.plan_in(self.flows.table.slab.get(slot), parsed);
        let to = to_server(self.flows.table.slab.get(slot));
        self.send_error_in(packet, parsed, &outcome, (server, slot), quote, &to, hook)
    }

    /// The same on a connection that is over with it.
    fn error_in_once(
        &mut self,
        packet: &mut Packet<'_>,
        parsed: &Parsed,
        entry: &Entry,
        quote: &Quote,
        hook: Hook,
    ) -> Decision {
        bind(entry, &mut self.servers, &mut self.flows.events);
        let decision = if let Some(refusal) = self.damaged(packet, parsed, entry) {
            self.refuse(packet, parsed, refusal)
        } else {
            self.count_in(entry.server, parsed.len);
            let outcome = self.plan_in(entry, parsed);
            self.send_error_in(packet, parsed, &outcome, (entry.server, NONE), quote, &to_server(entry), hook)
        };
        unbind(entry, &mut self.servers, &mut self.flows.events);
        decision
    }

    /// What ends an error whose checksum is wrong, if addresses are to be translated. The connection that it has made stays.
    fn damaged(&self, packet: &Packet<'_>, parsed: &Parsed, entry: &Entry) -> Option<Refusal> {
        if entry.method() != Method::Nat || is_right(packet.bytes(), parsed) {
            return None;
        }
        Some(match self.plan_in(entry, parsed) {
            Outcome::Send(_) => Refusal::Drop(DropReason::IcmpChecksum),
            Outcome::Refuse(refusal) => refusal,
        })
    }

    /// Carries out what was found for an error of the client's side.
    #[expect(clippy::too_many_arguments, reason = "what was found for a packet, and the packet")]
    fn send_error_in(
        &mut self,
        packet: &mut Packet<'_>,
        parsed: &Parsed,
        outcome: &Outcome,
        (server, connection): (u32, u32),
        quote: &Quote,
        to: &Translation,
        hook: Hook,
    ) -> Decision {
        let decision = if let Outcome::Send(Plan::Nat(plan)) = outcome {
            packet.truncate(parsed.len);
            if plan.decrement_ttl {
                decrement_ttl(packet.bytes_mut(), parsed.tuple.family);
            }
            translate(packet.bytes_mut(), parsed, quote, to);
            Decision::ToServer { server, connection, method: Method::Nat }
        } else {
            self.send_in(packet, Meta { hook, ..Meta::default() }, parsed, outcome, server, connection)
        };
        let is_sent = matches!(decision, Decision::ToServer { .. });
        if is_sent && server != NONE && packet.len() > usize::from(self.servers.live(server).mtu) {
            // An error never draws another: it may be cut, whatever it says.
            ipv4::allow_fragments(packet.bytes_mut());
        }
        decision
    }
}

/// How an error is rewritten for a connection's server.
fn to_server(entry: &Entry) -> Translation {
    Translation { direction: Direction::ToServer, address: entry.server_address(), port: entry.server_port }
}

/// The packet that an error quotes, turned round, as one that opens a connection.
pub(super) fn as_opening(parsed: &Parsed, quote: &Quote) -> Parsed {
    Parsed { tuple: quote.answer(), shape: Shape::Whole, is_quoted: true, ..*parsed }
}
