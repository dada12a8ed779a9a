//! Parts of fragmented packets.
//!
//! A kernel puts the parts together before IPVS sees the packet. Here nothing is held back: the first part is processed as
//! the packet that it begins, what became of it is remembered for a while, and the later parts, which show no ports, follow
//! it. All parts together are then what the whole packet would have become.

use super::Director;
use super::decision::{Decision, Outcome};
use super::icmp::{ErrorCourse, as_opening};
use super::process::is_gone;
use super::transmit::plan_out;
use crate::addr::Family;
use crate::config::{Hook, Meta};
use crate::conn::entry::{Entry, Flags, Side};
use crate::conn::fragments::{Lead, PartKey};
use crate::conn::id::NONE;
use crate::flow::Protocol;
use crate::forward::{Plan, rewrite_part};
use crate::service::Method;
use crate::time::Instant;
use crate::verdict::{DropReason, PassReason};
use crate::wire::ipv6;
use crate::wire::packet::Packet;
use crate::wire::parse::{Parsed, Shape};

/// ICMPv6, which needs no ports.
const ICMPV6: u8 = 58;

/// Which part of its packet a fragment is, and what it is taken for.
#[derive(Clone, Copy, Debug)]
pub(super) enum PartCourse {
    /// The first: it is processed as the whole packet would be.
    First(Parsed),
    /// A later one, with the protocol and ports of the first, and what it follows.
    Later(Parsed, Followed),
    /// It goes no way of ours.
    Done(Decision),
}

/// What a later part follows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Followed {
    Connection(u32, Side),
    OnePacket(u32),
}

impl Director {
    /// A part of a fragmented packet.
    #[cold]
    pub(super) fn fragment(&mut self, now: Instant, packet: &mut Packet<'_>, meta: Meta, parsed: &Parsed) -> Decision {
        if !self.fragments.is_on() {
            return Decision::Pass(PassReason::Fragment);
        }
        let (key, offset) = key_of(packet.bytes(), parsed);
        let course = self.part_course(now, packet.bytes(), meta, parsed);
        let (tuple, decision) = match course {
            PartCourse::Later(parsed, followed) => return self.follow(now, packet, &parsed, followed),
            PartCourse::Done(decision) => (parsed.tuple, decision),
            PartCourse::First(first) => {
                let hash = self.flows.table.hash(&first.tuple);
                let found = self.flows.table.find(hash, &first.tuple, now);
                let decision = self.balance(now, packet, meta, &first, found);
                self.count_without_fragment_header(decision, parsed.tuple.family);
                (first.tuple, decision)
            }
        };
        if offset == 0 {
            let lead = self.lead(decision);
            if lead == Lead::Passed && !self.is_of_interest(meta, parsed) {
                // Its later parts are passed without a record, too.
                self.fragments.forget(&key);
            } else {
                self.fragments.remember(key, tuple, lead, now);
            }
        }
        decision
    }

    /// How often the memory for first parts was too small: so many were forgotten before their time.
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let director = Director::new(Config { fragments: 64, ..Config::with_seed(7) })?;
    /// assert_eq!(director.evicted_fragments(), 0);
    /// # Ok::<(), lvs_core::ConfigError>(())
    /// ```
    #[must_use]
    pub const fn evicted_fragments(&self) -> u64 {
        self.fragments.evicted()
    }

    /// What a part is taken for. Changes nothing.
    pub(super) fn part_course(&self, now: Instant, bytes: &[u8], meta: Meta, parsed: &Parsed) -> PartCourse {
        if !self.fragments.is_on() {
            return PartCourse::Done(Decision::Pass(PassReason::Fragment));
        }
        let (key, offset) = key_of(bytes, parsed);
        if offset == 0 {
            return self.first_part(now, bytes, meta, &parsed.as_first_part(bytes));
        }
        match self.fragments.find(&key, now) {
            None => PartCourse::Done(self.without_first(meta, parsed)),
            Some((Lead::Passed, _)) => PartCourse::Done(Decision::Pass(PassReason::Fragment)),
            Some((Lead::Dropped, _)) => PartCourse::Done(Decision::Drop(DropReason::FragmentOfDropped)),
            Some((Lead::Connection(id, side), tuple)) => match self.flows.table.slab.find(id) {
                Some(slot) if self.is_cut_off(self.flows.table.slab.get(slot).server) => {
                    PartCourse::Done(Decision::Drop(DropReason::Drained))
                }
                Some(slot)
                    if side == Side::Client && is_gone(self.flows.table.slab.get(slot).server, &self.servers) =>
                {
                    PartCourse::Done(Decision::Drop(DropReason::ServerGone))
                }
                Some(slot) => PartCourse::Later(Parsed { tuple, ..*parsed }, Followed::Connection(slot, side)),
                None => PartCourse::Done(Decision::Drop(DropReason::FragmentWithoutFirst)),
            },
            Some((Lead::OnePacket(id), tuple)) => match self.servers.slot(id) {
                Some(slot) if self.servers.is_available(id) => {
                    PartCourse::Later(Parsed { tuple, ..*parsed }, Followed::OnePacket(slot))
                }
                _ => PartCourse::Done(Decision::Drop(DropReason::ServerGone)),
            },
        }
    }

    /// Does this part go from a server to a client?
    pub(super) fn is_part_of_reply(&self, now: Instant, bytes: &[u8], meta: Meta, parsed: &Parsed) -> bool {
        match self.part_course(now, bytes, meta, parsed) {
            PartCourse::First(first) => {
                let hash = self.flows.table.hash(&first.tuple);
                matches!(self.flows.table.find(hash, &first.tuple, now), Some((_, Side::Server)))
            }
            PartCourse::Later(_, followed) => matches!(followed, Followed::Connection(_, Side::Server)),
            PartCourse::Done(_) => false,
        }
    }

    fn first_part(&self, now: Instant, bytes: &[u8], meta: Meta, first: &Parsed) -> PartCourse {
        if first.is_icmp() {
            return PartCourse::Done(self.first_part_of_icmp(now, bytes, meta, first));
        }
        PartCourse::Done(match first.shape {
            Shape::FirstPart => return PartCourse::First(*first),
            Shape::Unsupported => Decision::Pass(PassReason::UnsupportedProtocol),
            Shape::Ipsec => Decision::Pass(PassReason::Fragment),
            _ if self.is_of_interest(meta, first) => Decision::Drop(DropReason::TinyFragment),
            _ => Decision::Pass(PassReason::Fragment),
        })
    }

    /// Neither can the checksum of an error be seen to be right, nor may it be mended, without all of it. Other messages
    /// are the host's.
    fn first_part_of_icmp(&self, now: Instant, bytes: &[u8], meta: Meta, first: &Parsed) -> Decision {
        match self.error_course(now, bytes, meta, first) {
            ErrorCourse::Done(Decision::Pass(reason)) => Decision::Pass(reason),
            ErrorCourse::Schedule { quote } if self.service_for(meta, &as_opening(first, &quote)).is_err() => {
                Decision::Pass(PassReason::NoConnection)
            }
            _ => Decision::Drop(DropReason::FragmentedError),
        }
    }

    /// A later part of which nothing is known. The host's own traffic is left alone; what may be for a server, or come from
    /// one whose address nobody is to see, goes nowhere.
    fn without_first(&self, meta: Meta, parsed: &Parsed) -> Decision {
        if self.is_of_interest(meta, parsed) {
            Decision::Drop(DropReason::FragmentWithoutFirst)
        } else {
            Decision::Pass(PassReason::Fragment)
        }
    }

    /// Could a part of whose ports nothing is known belong to a connection, or open one?
    fn is_of_interest(&self, meta: Meta, parsed: &Parsed) -> bool {
        let (family, protocol) = (parsed.tuple.family, parsed.tuple.protocol);
        let may_be_balanced = match family {
            Family::V4 => Protocol::from_number(protocol).is_some(),
            // Other headers may come before that of the transport protocol.
            Family::V6 => protocol != ICMPV6,
        };
        let (source, destination) = (parsed.tuple.source.to_ip(family), parsed.tuple.destination.to_ip(family));
        may_be_balanced
            && (self.servers.is_hidden(source)
                || meta.hook == Hook::Local && self.control.services.may_be_for(destination, protocol, meta.mark))
    }

    /// What later parts are to do after this.
    fn lead(&self, decision: Decision) -> Lead {
        let slab = &self.flows.table.slab;
        match decision {
            // Past all servers, or on behalf of the service, once: later parts of that are not followed.
            Decision::ToServer { server: NONE, connection: NONE, .. } | Decision::FromServer { .. } => Lead::Dropped,
            Decision::ToServer { server, connection: NONE, .. } => Lead::OnePacket(self.servers.id(server)),
            Decision::ToServer { connection, .. } | Decision::Elsewhere { connection, .. } => {
                Lead::Connection(slab.id(connection), Side::Client)
            }
            Decision::ToClient { connection } => Lead::Connection(slab.id(connection), Side::Server),
            Decision::Pass(_) => Lead::Passed,
            Decision::Drop(_) | Decision::Reply(_) | Decision::Relayed { .. } => Lead::Dropped,
        }
    }

    /// A packet counts once, with the length that it has without its fragment headers.
    fn count_without_fragment_header(&mut self, decision: Decision, family: Family) {
        let (server, is_in) = match decision {
            Decision::ToServer { server, .. } | Decision::Elsewhere { server, .. } => (server, true),
            Decision::ToClient { connection } => (self.flows.table.slab.get(connection).server, false),
            _ => return,
        };
        if family == Family::V6
            && let Some(counters) = self.flows.counters_mut(server)
        {
            let bytes = if is_in { &mut counters.in_bytes } else { &mut counters.out_bytes };
            *bytes = bytes.saturating_sub(ipv6::FRAGMENT_LEN as u64);
        }
    }

    /// A later part goes where the first went. It counts with what it adds to the packet's length.
    fn follow(&mut self, now: Instant, packet: &mut Packet<'_>, parsed: &Parsed, followed: Followed) -> Decision {
        let payload = u64::try_from(parsed.len - parsed.transport).unwrap_or(0);
        match followed {
            Followed::Connection(slot, side) => {
                let entry = self.flows.table.slab.get(slot);
                let server = entry.server;
                let (outcome, sent) = match side {
                    Side::Client => {
                        let method = entry.method();
                        let sent = if entry.flags.contains(Flags::ELSEWHERE) && method == Method::Nat {
                            Decision::Elsewhere { server, connection: slot }
                        } else {
                            Decision::ToServer { server, connection: slot, method }
                        };
                        (self.plan_in(entry, parsed), sent)
                    }
                    Side::Server => (Outcome::Send(plan_out(entry)), Decision::ToClient { connection: slot }),
                };
                self.flows.touch(slot, now);
                if !is_gone(server, &self.servers) {
                    self.count_bytes(server, side, payload);
                }
                self.send_part(packet, parsed, &outcome, sent)
            }
            Followed::OnePacket(server) => {
                let entry = self.one_packet_entry(server, parsed);
                let outcome = self.plan_in(&entry, parsed);
                self.count_bytes(server, Side::Client, payload);
                let sent = Decision::ToServer { server, connection: NONE, method: entry.method() };
                self.send_part(packet, parsed, &outcome, sent)
            }
        }
    }

    fn count_bytes(&mut self, server: u32, side: Side, bytes: u64) {
        if let Some(counters) = self.flows.counters_mut(server) {
            let counted = match side {
                Side::Client => &mut counters.in_bytes,
                Side::Server => &mut counters.out_bytes,
            };
            *counted = counted.wrapping_add(bytes);
        }
    }

    /// What the connection of a packet that had none of its own was like.
    pub(super) fn one_packet_entry(&self, server: u32, parsed: &Parsed) -> Entry {
        self.entry_to(server, self.servers.spec(server).address.port(), parsed)
    }

    fn send_part(&mut self, packet: &mut Packet<'_>, parsed: &Parsed, outcome: &Outcome, sent: Decision) -> Decision {
        let server = if let Decision::ToServer { server, .. } = sent { server } else { NONE };
        let plan = match outcome {
            Outcome::Send(plan) => plan,
            Outcome::Refuse(refusal) => return self.refuse(packet, parsed, *refusal),
        };
        if let Err(reason) = rewrite_part(packet, parsed, plan) {
            return Decision::Drop(reason);
        }
        if let Plan::Tun(_) = plan {
            self.identification = self.identification.wrapping_add(1);
            self.way_was_met(server);
        }
        sent
    }
}

/// What the parts of a packet have in common, and this one's offset.
fn key_of(bytes: &[u8], parsed: &Parsed) -> (PartKey, u16) {
    let (identification, offset) = parsed.part(bytes);
    let tuple = &parsed.tuple;
    let protocol = match tuple.family {
        Family::V4 => tuple.protocol,
        Family::V6 => 0,
    };
    let key = PartKey {
        family: tuple.family,
        protocol,
        identification,
        source: tuple.source,
        destination: tuple.destination,
    };
    (key, offset)
}
