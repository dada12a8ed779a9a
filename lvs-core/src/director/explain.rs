//! What would happen to a packet, and why, with nothing changed.
//!
//! The same stages as `process`, each asked instead of told.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use super::decision::{Decision, Followed, Outcome, Refusal};
use super::drain::CutOff;
use super::fragment::{Followed as PartFollowed, PartCourse};
use super::helper::Control;
use super::icmp::{ErrorCourse, as_opening};
use super::ipsec::IpsecCourse;
use super::outbound::ServerCourse;
use super::process::not_balanced;
use super::schedule::{new_flow, no_destination, port_mismatch};
use super::track::state_after;
use super::transmit::plan_out;
use super::{Director, Gate};
use crate::config::{Checksum, Hook, Meta};
use crate::conn::entry::{Entry, Flags, Side};
use crate::conn::id::{ConnId, NONE};
use crate::flow::Flow;
use crate::forward::icmp::is_right;
use crate::forward::{Plan, obstacle};
use crate::persist;
use crate::proto::state_name;
use crate::service::{Method, ServerId, ServiceKey};
use crate::time::Instant;
use crate::verdict::{Direction, DropReason, Forward, PassReason, Reply, ReplyReason, Verdict};
use crate::wire::icmp;
use crate::wire::packet::Packet;
use crate::wire::parse::{Parsed, Shape, parse};

/// What [`Director::explain`] says of a packet. `Display` writes it in a few lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The flow that the packet shows, if it can be read.
    pub flow: Option<Flow>,
    /// What was found for it.
    pub found: Found,
    /// What [`process`](Director::process) would answer; a connection that does not exist yet is `None` in it. `None`
    /// altogether if the service's scheduler cannot be asked without being changed.
    pub verdict: Option<Verdict>,
    /// What would be written into the packet.
    pub rewrite: Option<Rewrite>,
}

/// What was found for a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Neither a connection nor a service.
    Nothing,
    /// A connection that the packet goes on with.
    Connection {
        /// Which.
        id: ConnId,
        /// Which way the packet goes.
        direction: Direction,
        /// Its state, before the packet.
        state: &'static str,
        /// The real server's end.
        server: SocketAddr,
    },
    /// A service whose scheduler chooses, or whose template decides.
    Service {
        /// Which.
        key: ServiceKey,
        /// The choice, if it came to one.
        choice: Option<Choice>,
    },
}

/// How a new flow gets its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The scheduler's name.
    pub scheduler: String,
    /// True if a persistence template decides, and the scheduler is not asked.
    pub by_template: bool,
    /// The server, if one takes the flow.
    pub server: Option<ServerId>,
    /// The values that decided: every server of the service, in list order.
    pub candidates: Vec<CandidateValues>,
}

/// What a scheduler knows of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandidateValues {
    /// Which.
    pub id: ServerId,
    /// Its address and port.
    pub address: SocketAddr,
    /// Its weight.
    pub weight: u32,
    /// What the scheduler takes for its weight: another number where the service has a [slow start](crate::SlowStart),
    /// which multiplies all weights by 100 and takes a share of those that are growing.
    pub effective_weight: u32,
    /// Its active connections.
    pub active: u32,
    /// Its inactive connections.
    pub inactive: u32,
    /// Whether it has reached its upper threshold.
    pub overloaded: bool,
}

/// What would be written into a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// A new destination.
    Destination(SocketAddr),
    /// A new source.
    Source(SocketAddr),
    /// Only the TTL.
    Ttl,
    /// An outer header.
    Tunnel {
        /// Its source.
        source: IpAddr,
        /// Its destination.
        destination: IpAddr,
    },
}

/// What became of a packet on its way through the stages.
struct Course {
    found: Found,
    verdict: Option<Verdict>,
    rewrite: Option<Rewrite>,
}

impl Course {
    const fn ends(found: Found, verdict: Verdict) -> Self {
        Self { found, verdict: Some(verdict), rewrite: None }
    }
}

impl Director {
    /// Says where a packet would go and why. Changes nothing, and agrees with [`process`](Director::process) on the
    /// same packet at the same time.
    ///
    /// ```
    /// use lvs_core::{Config, Director, Instant, Meta, Packet};
    /// use lvs_core::testkit::packets;
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.run("-A -t 192.0.2.10:80 -s rr")?;
    /// director.run("-a -t 192.0.2.10:80 -r 10.0.0.101:8080 -m")?;
    /// let mut syn = packets::tcp("198.51.100.9:40000", "192.0.2.10:80").syn().build();
    /// let why = director.explain(Instant::ZERO, &Packet::whole(&mut syn), Meta::default());
    /// assert!(why.to_string().contains("rr chooses 10.0.0.101:8080"), "{why}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn explain(&self, now: Instant, packet: &Packet<'_>, meta: Meta) -> Explanation {
        let now = self.now.max(now);
        let (flow, course) = match parse(packet.bytes(), meta.checksum == Checksum::Unverified) {
            Ok(parsed) => (Some(parsed.tuple.flow()), self.course(now, packet, meta, &parsed)),
            Err(reason) => (None, Course::ends(Found::Nothing, Verdict::Drop(reason))),
        };
        Explanation { flow, found: course.found, verdict: course.verdict, rewrite: course.rewrite }
    }

    fn course(&self, now: Instant, packet: &Packet<'_>, meta: Meta, parsed: &Parsed) -> Course {
        let found = self.flows.table.find(self.flows.table.hash(&parsed.tuple), &parsed.tuple, now);
        if let Some(decision) = self.at_gate(now, packet.bytes(), meta, parsed, found) {
            return Course::ends(Found::Nothing, self.verdict(decision, parsed));
        }
        if let Some(decision) = not_balanced(parsed, meta.hook) {
            return match parsed.shape {
                Shape::Fragment => self.course_of_part(now, packet, meta, parsed),
                Shape::Ipsec => self.course_of_ipsec(now, packet, meta, parsed),
                _ if parsed.is_icmp() => self.course_of_error(now, packet, meta, parsed),
                _ => Course::ends(Found::Nothing, self.verdict(decision, parsed)),
            };
        }
        self.course_of_flow(now, packet, meta, parsed)
    }

    /// A part of a fragmented packet goes with the first.
    fn course_of_part(&self, now: Instant, packet: &Packet<'_>, meta: Meta, parsed: &Parsed) -> Course {
        match self.part_course(now, packet.bytes(), meta, parsed) {
            PartCourse::Done(decision) => Course::ends(Found::Nothing, self.verdict(decision, parsed)),
            PartCourse::First(first) => self.course_of_flow(now, packet, meta, &first),
            PartCourse::Later(parsed, PartFollowed::Connection(slot, Side::Server)) => {
                self.course_sent(packet, &parsed, slot)
            }
            PartCourse::Later(parsed, PartFollowed::Connection(slot, Side::Client)) => {
                let entry = self.flows.table.slab.get(slot);
                self.course_in(packet, &parsed, self.found(slot, Direction::ToServer), entry, Some(slot))
            }
            PartCourse::Later(parsed, PartFollowed::OnePacket(server)) => {
                let entry = self.one_packet_entry(server, &parsed);
                self.course_in(packet, &parsed, Found::Nothing, &entry, None)
            }
        }
    }

    fn course_of_flow(&self, now: Instant, packet: &Packet<'_>, meta: Meta, parsed: &Parsed) -> Course {
        let found = self.flows.table.find(self.flows.table.hash(&parsed.tuple), &parsed.tuple, now);
        if self.gate(parsed.tuple.family).contains(Gate::SERVERS)
            && !matches!(found, Some((_, Side::Server)))
            && let Some(course) = self.course_of_server(now, packet, meta, parsed)
        {
            return course;
        }
        match found {
            Some((slot, Side::Server)) => self.course_out(now, packet, meta, parsed, slot),
            _ if meta.hook == Hook::Forward => Course::ends(Found::Nothing, Verdict::Pass(PassReason::Forwarded)),
            Some((slot, Side::Client)) => self.course_request(now, packet, meta, parsed, slot),
            None => match self.flows.table.find_waiting(&parsed.tuple, now) {
                Some(slot) => self.course_request(now, packet, meta, parsed, slot),
                None => self.course_new(now, packet, meta, parsed),
            },
        }
    }

    /// A packet of the client on a connection.
    fn course_request(&self, now: Instant, packet: &Packet<'_>, meta: Meta, parsed: &Parsed, slot: u32) -> Course {
        let found = self.found(slot, Direction::ToServer);
        match self.connection_for(slot, parsed) {
            Followed::Keep => {
                let entry = self.flows.table.slab.get(slot);
                let course = self.course_in(packet, parsed, found, entry, Some(slot));
                self.course_helped(now, packet, meta, parsed, (slot, entry), course)
            }
            Followed::Drop => Course::ends(found, Verdict::Drop(DropReason::ServerGone)),
            Followed::End | Followed::Shadow if self.is_watched(packet, meta, parsed, slot) => {
                Course::ends(found, Verdict::Drop(DropReason::ServerGone))
            }
            Followed::CutOff => Course::ends(found, self.verdict_cut_off(packet, parsed, slot, Side::Client)),
            Followed::Shadow => self.course_new(now, packet, meta, parsed),
            Followed::End => {
                let course = self.course_new(now, packet, meta, parsed);
                let ended = course.verdict == Some(Verdict::Pass(PassReason::NotAnOpening));
                let verdict = if ended { Some(Verdict::Pass(PassReason::ConnectionEnded)) } else { course.verdict };
                Course { verdict, ..course }
            }
        }
    }

    /// The same for a packet that is about to leave, with what a helper of its connection has to say.
    fn course_helped(
        &self,
        now: Instant,
        packet: &Packet<'_>,
        meta: Meta,
        parsed: &Parsed,
        (slot, entry): (u32, &Entry),
        course: Course,
    ) -> Course {
        if !matches!(course.verdict, Some(Verdict::Forward(_))) {
            return course;
        }
        if entry.flags.intersects(Flags::DATA) && !self.watch_data(packet, meta, parsed, entry).goes_on {
            return Course::ends(course.found, Verdict::Drop(DropReason::TransportChecksum));
        }
        if !entry.flags.contains(Flags::HELPED) {
            return course;
        }
        let state = state_after(entry, parsed, self.settings.secure_tcp);
        let wish = self.hear_client(now, packet, meta, parsed, Control { slot, entry, state });
        match wish.map_or_else(Some, |wish| wish.obstacle(true)) {
            Some(reason) => Course::ends(course.found, Verdict::Drop(reason)),
            None => course,
        }
    }

    /// An ICMP error goes where the packet that it quotes belongs.
    fn course_of_error(&self, now: Instant, packet: &Packet<'_>, meta: Meta, parsed: &Parsed) -> Course {
        match self.error_course(now, packet.bytes(), meta, parsed) {
            ErrorCourse::Done(decision) => Course::ends(Found::Nothing, self.verdict(decision, parsed)),
            ErrorCourse::Tunnel(error) => {
                let decision = match self.tunnel_reply(packet.bytes(), &error) {
                    Ok(_) => Decision::Relayed { connection: error.slot, reason: ReplyReason::TunnelError },
                    Err(reason) => Decision::Drop(reason),
                };
                Course::ends(self.found(error.slot, Direction::ToClient), self.verdict(decision, parsed))
            }
            ErrorCourse::Follow { slot, side: Side::Server, .. } => {
                let found = self.found(slot, Direction::ToClient);
                let entry = self.flows.table.slab.get(slot);
                let source = SocketAddr::new(entry.virtual_address().to_ip(entry.family()), entry.virtual_port);
                let translated = entry.method() == Method::Nat;
                let verdict = Some(self.verdict(Decision::ToClient { connection: slot }, parsed));
                Course { found, verdict, rewrite: translated.then_some(Rewrite::Source(source)) }
            }
            ErrorCourse::Follow { slot, side: Side::Client, .. } => {
                let whole = Parsed { shape: Shape::Whole, ..*parsed };
                let entry = self.flows.table.slab.get(slot);
                self.course_in(packet, &whole, self.found(slot, Direction::ToServer), entry, Some(slot))
            }
            ErrorCourse::Schedule { quote } => {
                let course = self.course_new(now, packet, meta, &as_opening(parsed, &quote));
                match course.verdict {
                    Some(Verdict::Forward(out)) if out.method == Method::Nat && !is_right(packet.bytes(), parsed) => {
                        Course::ends(course.found, Verdict::Drop(DropReason::IcmpChecksum))
                    }
                    _ => course,
                }
            }
        }
    }

    /// A packet of IPsec goes where its key exchange goes.
    fn course_of_ipsec(&self, now: Instant, packet: &Packet<'_>, meta: Meta, parsed: &Parsed) -> Course {
        match self.ipsec_course(now, meta, parsed) {
            IpsecCourse::Done(decision) => Course::ends(Found::Nothing, self.verdict(decision, parsed)),
            IpsecCourse::End { slot } => {
                Course::ends(self.found(slot, Direction::ToServer), Verdict::Pass(PassReason::ConnectionEnded))
            }
            IpsecCourse::Follow { slot, side: Side::Server } => self.course_out(now, packet, meta, parsed, slot),
            IpsecCourse::Follow { slot, side: Side::Client } => {
                let entry = self.flows.table.slab.get(slot);
                self.course_in(packet, parsed, self.found(slot, Direction::ToServer), entry, Some(slot))
            }
        }
    }

    /// A packet that no connection knows as a server's, if it is one nevertheless.
    fn course_of_server(&self, now: Instant, packet: &Packet<'_>, meta: Meta, parsed: &Parsed) -> Option<Course> {
        match self.server_course(packet.bytes(), meta, parsed) {
            ServerCourse::Nothing => None,
            ServerCourse::Unknown { server } => {
                let verdict = match self.error_source_towards(server, meta.hook, parsed) {
                    Ok(_) => answered(packet, parsed, ReplyReason::NoConnection),
                    Err(reason) => Verdict::Drop(reason),
                };
                Some(Course::ends(Found::Nothing, verdict))
            }
            ServerCourse::Begins(beginning) => {
                let key = *self.control.services.get(beginning.service).key();
                let found = Found::Service { key, choice: None };
                if let Some(reason) = self.no_room_to_begin(now, &beginning) {
                    return Some(Course::ends(found, Verdict::Drop(reason)));
                }
                let verdict = Verdict::Forward(Forward {
                    next_hop: parsed.tuple.destination.to_ip(parsed.tuple.family),
                    direction: Direction::ToClient,
                    method: Method::Nat,
                    connection: None,
                    server: Some(self.servers.id(beginning.server)),
                });
                let rewrite = Some(Rewrite::Source(beginning.virtual_));
                Some(Course { found, verdict: Some(verdict), rewrite })
            }
        }
    }

    fn found(&self, slot: u32, direction: Direction) -> Found {
        let entry = self.flows.table.slab.get(slot);
        Found::Connection {
            id: self.flows.table.slab.id(slot),
            direction,
            state: state_name(entry),
            server: server_end(entry),
        }
    }

    fn course_out(&self, now: Instant, packet: &Packet<'_>, meta: Meta, parsed: &Parsed, slot: u32) -> Course {
        let entry = self.flows.table.slab.get(slot);
        let found = self.found(slot, Direction::ToClient);
        if self.is_cut_off(entry.server) {
            return Course::ends(found, self.verdict_cut_off(packet, parsed, slot, Side::Server));
        }
        if entry.flags.contains(Flags::HELPED) {
            let wish = self.hear_server(now, packet, meta, parsed, Control { slot, entry, state: entry.state });
            if let Some(reason) = wish.map_or_else(Some, |wish| wish.obstacle(false)) {
                return Course::ends(found, Verdict::Drop(reason));
            }
        }
        self.course_sent(packet, parsed, slot)
    }

    /// A packet to the client that nothing has to be read of.
    fn course_sent(&self, packet: &Packet<'_>, parsed: &Parsed, slot: u32) -> Course {
        let entry = self.flows.table.slab.get(slot);
        let (plan, found) = (plan_out(entry), self.found(slot, Direction::ToClient));
        if let Some(reason) = obstacle(packet, parsed, &plan) {
            return Course::ends(found, Verdict::Drop(reason));
        }
        let family = parsed.tuple.family;
        let source = SocketAddr::new(entry.virtual_address().to_ip(family), entry.virtual_port);
        Course {
            found,
            rewrite: (entry.method() == Method::Nat).then_some(Rewrite::Source(source)),
            verdict: Some(Verdict::Forward(Forward {
                next_hop: parsed.tuple.destination.to_ip(family),
                direction: Direction::ToClient,
                method: entry.method(),
                connection: Some(self.flows.table.slab.id(slot)),
                server: (entry.server != NONE).then(|| self.servers.id(entry.server)),
            })),
        }
    }

    /// The verdict on a packet of a connection whose server was drained up to its deadline.
    fn verdict_cut_off(&self, packet: &Packet<'_>, parsed: &Parsed, slot: u32, side: Side) -> Verdict {
        match self.answer_cut_off(slot, parsed, side) {
            CutOff::Silence => Verdict::Drop(DropReason::Drained),
            CutOff::Unreachable => self.refusal(packet, parsed, Refusal::Error(ReplyReason::Drained)),
            CutOff::Reset => self.verdict(Decision::Reply(ReplyReason::Reset), parsed),
        }
    }

    fn course_in(
        &self,
        packet: &Packet<'_>,
        parsed: &Parsed,
        found: Found,
        entry: &Entry,
        slot: Option<u32>,
    ) -> Course {
        let plan = match self.plan_in(entry, parsed) {
            Outcome::Send(plan) => plan,
            Outcome::Refuse(refusal) => return Course::ends(found, self.refusal(packet, parsed, refusal)),
        };
        if let Some(reason) = obstacle(packet, parsed, &plan) {
            return Course::ends(found, Verdict::Drop(reason));
        }
        let (method, rewrite) = match plan {
            Plan::Nat(_) => (Method::Nat, Rewrite::Destination(server_end(entry))),
            Plan::Tun(outer) => (
                Method::Tun,
                Rewrite::Tunnel {
                    source: outer.source.to_ip(outer.family),
                    destination: outer.destination.to_ip(outer.family),
                },
            ),
            Plan::Dr | Plan::AsIs => (Method::Dr, Rewrite::Ttl),
        };
        let verdict = Verdict::Forward(Forward {
            next_hop: self.next_hop(entry),
            direction: Direction::ToServer,
            method,
            connection: slot.map(|slot| self.flows.table.slab.id(slot)),
            server: (entry.server != NONE).then(|| self.servers.id(entry.server)),
        });
        Course { found, verdict: Some(verdict), rewrite: Some(rewrite) }
    }

    fn course_new(&self, now: Instant, packet: &Packet<'_>, meta: Meta, parsed: &Parsed) -> Course {
        let slot = match self.service_for(meta, parsed) {
            Ok(slot) => slot,
            Err(refusal) => return Course::ends(Found::Nothing, self.refusal(packet, parsed, refusal)),
        };
        let service = self.control.services.get(slot);
        let bare = Found::Service { key: *service.key(), choice: None };
        if self.defence.would_drop() {
            return Course::ends(bare, Verdict::Drop(DropReason::DropPacket));
        }
        if let Err(refusal) = self.may_be_scheduled(now, meta, parsed) {
            return Course::ends(bare, self.refusal(packet, parsed, refusal));
        }
        let persistent = service.spec.persistence.is_some();
        let key = if persistent {
            match persist::template_key(service, parsed, packet.bytes()) {
                Ok(key) => Some(key),
                Err(reason) => return Course::ends(bare, Verdict::Drop(reason)),
            }
        } else {
            None
        };
        let template = if let Some(key) = &key {
            self.valid_template(now, key)
        } else if let Some(refusal) = port_mismatch(service, parsed) {
            return Course::ends(bare, self.refusal(packet, parsed, refusal));
        } else {
            None
        };
        let server = match template {
            Some(template) => Some(self.flows.table.slab.get(template).server),
            None => match service.would_pick(&new_flow(now, parsed), &self.servers) {
                Some(server) => server,
                None => return Course { found: bare, verdict: None, rewrite: None },
            },
        };
        let found = Found::Service { key: *service.key(), choice: Some(self.choice(slot, template.is_some(), server)) };
        let mut entry = match server {
            Some(server) => {
                let port = self.port_at(service, server, parsed, persistent);
                self.new_connection(slot, server, port, parsed, meta)
            }
            None if self.goes_past(slot, parsed, no_destination(service, parsed)) => {
                self.past_connection(slot, parsed, meta)
            }
            None => return Course::ends(found, self.refusal(packet, parsed, no_destination(service, parsed))),
        };
        let needs_template = key.as_ref().filter(|_| template.is_none() && server.is_some());
        let kept = template.unwrap_or(NONE);
        if let Some(reason) = self.full(now, needs_template, entry.is_one_packet(), kept) {
            return Course::ends(found, Verdict::Drop(reason));
        }
        if self.flows.is_helped(&entry) && !parsed.is_quoted {
            entry.flags.set(Flags::HELPED);
        }
        let course = self.course_in(packet, parsed, found, &entry, None);
        self.course_helped(now, packet, meta, parsed, (NONE, &entry), course)
    }

    fn choice(&self, service: u32, by_template: bool, server: Option<u32>) -> Choice {
        let service = self.control.services.get(service);
        let values = |slot: &u32| {
            let live = self.servers.live(*slot);
            CandidateValues {
                id: self.servers.id(*slot),
                address: self.servers.spec(*slot).address,
                weight: self.servers.spec(*slot).weight,
                effective_weight: live.weight,
                active: live.active,
                inactive: live.inactive(),
                overloaded: live.is_overloaded(),
            }
        };
        Choice {
            scheduler: service.scheduler_name().clone(),
            by_template,
            server: server.map(|slot| self.servers.id(slot)),
            candidates: service.list.iter().map(values).collect(),
        }
    }

    /// The verdict that a refusal comes to.
    fn refusal(&self, packet: &Packet<'_>, parsed: &Parsed, refusal: Refusal) -> Verdict {
        let reason = match refusal.unanswered(parsed) {
            Refusal::Pass(reason) => return Verdict::Pass(reason),
            Refusal::Drop(reason) => return Verdict::Drop(reason),
            Refusal::TooBig(_) => ReplyReason::TooBig,
            Refusal::Error(reason) => reason,
        };
        match self.error_source(parsed) {
            Ok(_) => answered(packet, parsed, reason),
            Err(reason) => Verdict::Drop(reason),
        }
    }
}

/// The verdict on a packet about which an error is due.
fn answered(packet: &Packet<'_>, parsed: &Parsed, reason: ReplyReason) -> Verdict {
    if icmp::has_room(packet, parsed) {
        Verdict::Reply(Reply { next_hop: parsed.tuple.source.to_ip(parsed.tuple.family), reason })
    } else {
        Verdict::Drop(DropReason::NoHeadroom)
    }
}

fn server_end(entry: &Entry) -> SocketAddr {
    SocketAddr::new(entry.server_address().to_ip(entry.server_family()), entry.server_port)
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.flow {
            Some(flow) => writeln!(f, "packet:  {flow}")?,
            None => writeln!(f, "packet:  unreadable")?,
        }
        match &self.found {
            Found::Nothing => writeln!(f, "found:   no connection, no service")?,
            Found::Connection { direction, state, server, .. } => {
                let side = match direction {
                    Direction::ToServer => "client",
                    Direction::ToClient => "server",
                };
                writeln!(f, "found:   a connection in {state} with {server}; this packet is of its {side}")?;
            }
            Found::Service { key, choice } => {
                writeln!(f, "found:   service {key}")?;
                if let Some(choice) = choice {
                    choice.fmt(f)?;
                }
            }
        }
        match self.rewrite {
            Some(Rewrite::Destination(to)) => writeln!(f, "rewrite: destination to {to}, TTL less one")?,
            Some(Rewrite::Source(from)) => writeln!(f, "rewrite: source to {from}")?,
            Some(Rewrite::Ttl) => writeln!(f, "rewrite: TTL less one")?,
            Some(Rewrite::Tunnel { source, destination }) => {
                writeln!(f, "rewrite: TTL less one, wrapped up from {source} to {destination}")?;
            }
            None => {}
        }
        match self.verdict {
            Some(Verdict::Forward(out)) => write!(f, "verdict: forward to {} ({})", out.next_hop, out.method),
            Some(Verdict::Reply(reply)) => write!(f, "verdict: answer {} ({})", reply.next_hop, reply.reason),
            Some(Verdict::Pass(reason)) => write!(f, "verdict: pass ({reason})"),
            Some(Verdict::Drop(reason)) => write!(f, "verdict: drop ({reason})"),
            None => f.write_str("verdict: unknown, the scheduler cannot be asked without being changed"),
        }
    }
}

impl Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chosen = self.candidates.iter().find(|candidate| Some(candidate.id) == self.server);
        match chosen {
            Some(chosen) if self.by_template => writeln!(f, "choice:  its template has {}", chosen.address)?,
            Some(chosen) => writeln!(f, "choice:  {} chooses {}", self.scheduler, chosen.address)?,
            None => writeln!(f, "choice:  {} finds nobody", self.scheduler)?,
        }
        for c in &self.candidates {
            let mark = if Some(c.id) == self.server { '*' } else { ' ' };
            let overload = if c.overloaded { ", overloaded" } else { "" };
            write!(f, "       {mark} {}: weight {}", c.address, c.weight)?;
            if c.effective_weight != c.weight {
                write!(f, " (counts as {})", c.effective_weight)?;
            }
            writeln!(f, ", active {}, inactive {}{overload}", c.active, c.inactive)?;
        }
        Ok(())
    }
}
