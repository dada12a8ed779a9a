//! Lending connections: what the home of a shared director and its shards do to each other's tables.
//!
//! The home has every connection, and is a director like any other. Of a connection that goes on as it was it lends a copy
//! to a shard, which is a director too: one that takes the straight way (`established`) and no other. What that way
//! changes is the copy's until it comes back, deadline and count of packets; what it counts is the shard's until the two
//! settle. As long as it is lent, the original has no deadline.
//!
//! Leaves to others: who holds which lock when (`shared`).

use alloc::vec::Vec;
use core::net::IpAddr;

use super::fragment::{Followed, PartCourse};
use super::icmp::ErrorCourse;
use super::ipsec::IpsecCourse;
use super::process::Glance;
use super::{Director, Gate};
use crate::config::{Config, Meta};
use crate::conn::ConnId;
use crate::conn::entry::{Entry, Flags, Side};
use crate::conn::flows::Recall;
use crate::conn::id::NONE;
use crate::error::ConfigError;
use crate::flow::Protocol;
use crate::proto::tcp;
use crate::service::server::Met;
use crate::service::{Method, ServiceKey};
use crate::stats::Counters;
use crate::time::Instant;
use crate::timer::wheel::Due;
use crate::verdict::Verdict;
use crate::wire::packet::Packet;
use crate::wire::parse::{Parsed, Shape};

/// A packet's circumstances, as a shard hands them on to the home.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) now: Instant,
    pub(crate) meta: Meta,
    pub(crate) glance: &'a Glance,
}

/// Of the home.
impl Director {
    /// Whether connections are lent at all: not while anything but packets may change or look at each of them.
    pub(crate) fn lends(&self) -> bool {
        // Without a service of its family a packet is not looked at, at a shard as at home.
        let is_open = |gate: &Gate| *gate == Gate::OPEN || *gate == Gate::NO_SERVICE;
        self.gates.iter().all(is_open) && !self.daemons.is_running() && self.settings.tunables.drop_entry == 0
    }

    /// The connections that a packet is about: those that have to be at home before it is processed here.
    pub(crate) fn subjects(&self, now: Instant, packet: &Packet<'_>, meta: Meta) -> [Option<u32>; 2] {
        let now = self.now.max(now);
        let Ok((parsed, found)) = self.read(now, packet, meta) else { return [None; 2] };
        let answered = if meta.from_host { self.flows.table.find_request(&parsed.tuple.reversed(), now) } else { None };
        [self.subject(now, packet.bytes(), meta, &parsed, found), answered]
    }

    fn subject(
        &self,
        now: Instant,
        bytes: &[u8],
        meta: Meta,
        parsed: &Parsed,
        found: Option<(u32, Side)>,
    ) -> Option<u32> {
        let table = &self.flows.table;
        match parsed.shape {
            Shape::Whole | Shape::PortsOnly => found.map(|(slot, _)| slot),
            Shape::Fragment => match self.part_course(now, bytes, meta, parsed) {
                PartCourse::First(first) => {
                    table.find(table.hash(&first.tuple), &first.tuple, now).map(|(slot, _)| slot)
                }
                PartCourse::Later(_, Followed::Connection(slot, _)) => Some(slot),
                PartCourse::Later(..) | PartCourse::Done(_) => None,
            },
            Shape::Ipsec => match self.ipsec_course(now, meta, parsed) {
                IpsecCourse::Follow { slot, .. } | IpsecCourse::End { slot } => Some(slot),
                IpsecCourse::Done(_) => None,
            },
            _ if parsed.is_icmp() => match self.error_course(now, bytes, meta, parsed) {
                ErrorCourse::Follow { slot, .. } => Some(slot),
                ErrorCourse::Tunnel(error) => Some(error.slot),
                ErrorCourse::Schedule { .. } | ErrorCourse::Done(_) => None,
            },
            _ => None,
        }
    }

    /// Processes a packet that was looked at elsewhere. If its connection has gone on as it was, that connection.
    pub(crate) fn conclude_here(
        &mut self,
        packet: &mut Packet<'_>,
        arrival: Arrival<'_>,
        verdict: &mut Verdict,
    ) -> Option<u32> {
        let meta = arrival.meta;
        let now = self.see(arrival.now);
        self.flows.latest = NONE;
        match self.go_straight(now, packet, meta, &arrival.glance.with_candidate(self), verdict) {
            Ok(slot) => Some(slot),
            Err(search) => {
                self.conclude_at_length(now, packet, meta, search, verdict);
                None
            }
        }
    }

    /// Whether a connection that goes on as it was may do so elsewhere. One of whose client a single packet was seen may be
    /// over with it; one that shares packets with another has to be where that is.
    pub(crate) fn may_be_lent(&self, slot: u32) -> bool {
        let entry = self.flows.table.slab.get(slot);
        let settled = match Protocol::from_number(entry.protocol()) {
            Some(Protocol::Tcp) => entry.state == tcp::ESTABLISHED,
            Some(Protocol::Udp) => true,
            Some(Protocol::Sctp) | None => false,
        };
        settled
            && self.lends()
            && entry.in_packets > 1
            && entry.controlled == 0
            && self.flows.table.twins(slot).next().is_none()
    }

    /// Lends a connection to a shard: its copy, and whose copy that is.
    pub(crate) fn lend(&mut self, slot: u32, shard: u32) {
        let entry = self.flows.table.slab.get_mut(slot);
        entry.flags.set(Flags::LENT);
        (entry.helper, entry.expires) = (shard, Instant::MAX);
    }

    /// A connection, with its id.
    pub(crate) fn entry(&self, slot: u32) -> (ConnId, &Entry) {
        (self.flows.table.slab.id(slot), self.flows.table.slab.get(slot))
    }

    /// The slot of an id, as long as the connection is there.
    pub(crate) fn slot_of(&self, id: ConnId) -> Option<u32> {
        self.flows.table.slab.find(id)
    }

    /// True for the slot of a connection.
    #[cfg(all(test, model))]
    pub(crate) fn slot_in_use(&self, slot: u32) -> bool {
        slot < self.flows.table.slab.used() && self.flows.table.slab.get(slot).is_live()
    }

    /// The hash by which the copy of a connection is found.
    pub(crate) fn hash_of(&self, slot: u32) -> u64 {
        self.flows.table.client_hash(self.flows.table.slab.get(slot))
    }

    /// The shard that a connection is lent to.
    pub(crate) fn lent_to(&self, slot: u32) -> Option<u32> {
        let entry = self.flows.table.slab.get(slot);
        entry.flags.contains(Flags::LENT).then_some(entry.helper)
    }

    /// A copy has come back: its deadline and its count are the original's again.
    pub(crate) fn take_back(&mut self, slot: u32, copy: &Entry) {
        let entry = self.flows.table.slab.get_mut(slot);
        entry.flags.clear(Flags::LENT);
        (entry.helper, entry.expires, entry.in_packets) = (NONE, copy.expires, copy.in_packets);
        self.flows.wheel.moved(&mut self.flows.table.slab, slot);
    }

    /// Calls back what shares packets with the connection that the latest packet made, if it made one.
    pub(crate) fn recall_twins(&mut self) {
        if self.flows.latest == NONE || !self.flows.table.slab.get(self.flows.latest).is_live() {
            return;
        }
        let slab = &self.flows.table.slab;
        let lent = |&twin: &u32| slab.get(twin).flags.contains(Flags::LENT);
        // Nearly always there is none, and nothing is allocated.
        let twins: Vec<u32> = self.flows.table.twins(self.flows.latest).filter(lent).collect();
        twins.into_iter().for_each(|twin| self.flows.recall(twin));
    }

    /// What shards have to hear of although no command was given: changes whenever there is such news.
    pub(crate) const fn news(&self) -> (u32, u32) {
        (self.servers.lessons, self.flows.recalled)
    }

    /// A copy that this shard is to hand back, or throw away if there is no such connection any more.
    pub(crate) fn next_recall(&mut self, shard: u32) -> Option<Recall> {
        self.flows.recalls.get_mut(shard as usize)?.pop()
    }

    /// Servers whose note of the way that the last packet took is not what the next packet will note.
    pub(crate) fn unmet_servers(&self) -> impl Iterator<Item = u32> + '_ {
        (0..u32::try_from(self.servers.slots()).unwrap_or(u32::MAX)).filter(|&slot| {
            self.servers.is_in_use(slot) && {
                let server = self.servers.get(slot);
                let next = match server.learned_until {
                    Some(_) => Met::Learned,
                    None => Met::Plain(self.servers.live(slot).mtu),
                };
                (server.spec.method == Method::Tun || server.met != Met::Nothing) && server.met != next
            }
        })
    }

    /// Whether [`advance`](Director::advance) would do more than [`end_due`](Director::end_due).
    pub(crate) fn has_chores(&self, now: Instant) -> bool {
        self.next_chore().is_some_and(|at| at <= self.now.max(now)) || self.servers.any_drained()
    }

    /// The addresses of services, and of servers.
    pub(crate) fn own_addresses(&self) -> (Vec<IpAddr>, Vec<IpAddr>) {
        let virtual_ = self.control.services.iter().filter_map(|service| match service.key() {
            ServiceKey::Address { address, .. } => Some(address.ip()),
            ServiceKey::Mark { .. } => None,
        });
        (virtual_.collect(), self.servers.addresses().collect())
    }
}

/// Of a shard.
impl Director {
    /// A director for one shard of `shards`: it has room for its share of the connections and some more, and nothing else.
    pub(crate) fn for_shard(config: &Config, shard: u32, shards: u32) -> Result<Self, ConfigError> {
        let share = config.connections.div_ceil(shards as usize);
        let connections = (share + share / 4 + 64).min(config.connections);
        let config = Config { connections, events: 0, fragments: 0, ..config.clone() };
        let mut director = Self::new(config)?;
        director.gates = [Gate::OPEN; 2];
        // Headers of tunnels that leave at the same time should not be numbered alike.
        let first = (u64::from(shard) + 1) * (1 << 16) / (u64::from(shards) + 1);
        director.identification = u16::try_from(first).unwrap_or(0);
        Ok(director)
    }

    /// Puts up the copy of a connection; `None` if there is no room for it.
    pub(crate) fn put_up(&mut self, copy: Entry) -> Option<u32> {
        let server = copy.server;
        let slot = self.flows.table.insert(copy)?;
        self.flows.wheel.insert(&mut self.flows.table.slab, slot, self.now);
        self.flows.lists.push(slot, server);
        Some(slot)
    }

    /// The copy that is meant, of those with a hash.
    pub(crate) fn find_copy(&self, hash: u64, is_meant: impl Fn(u32) -> bool) -> Option<u32> {
        self.flows.table.find_by(hash, is_meant)
    }

    /// Takes a copy down.
    pub(crate) fn take_down(&mut self, slot: u32) -> Entry {
        self.flows.wheel.remove(&mut self.flows.table.slab, slot);
        self.let_go(slot)
    }

    /// The same for one that hangs in no tick any more.
    pub(crate) fn let_go(&mut self, slot: u32) -> Entry {
        let copy = self.flows.table.slab.get(slot).clone();
        self.flows.lists.remove(slot, copy.server);
        self.flows.table.remove(slot);
        copy
    }

    /// The next copy whose deadline has come.
    pub(crate) fn pop_due(&mut self, now: Instant, budget: &mut usize) -> Due {
        let now = self.see(now);
        self.flows.wheel.pop_due(&mut self.flows.table.slab, now, budget)
    }

    /// When the next deadline of a copy may come.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.flows.wheel.next_deadline(&self.flows.table.slab)
    }

    /// One of the copies, if there are any.
    pub(crate) fn copies(&self) -> impl Iterator<Item = u32> + '_ {
        self.flows.table.slab.slots()
    }

    /// The copies of connections through tunnels to a server.
    pub(crate) fn tunnels_to(&self, server: u32) -> Vec<u32> {
        let slab = &self.flows.table.slab;
        self.flows.lists.of(server).filter(|&slot| slab.get(slot).method() == Method::Tun).collect()
    }

    /// Takes over what the straight way asks of the home's servers and settings.
    pub(crate) fn learn_from(&mut self, home: &Self) {
        self.servers.copy_from(&home.servers);
        self.settings.clone_from(&home.settings);
        self.gates = home.gates;
        let servers = home.servers.slots();
        if self.flows.counters.len() < servers {
            // Two shards' counters may come to lie side by side: there is room between them, so that no two threads write
            // to one cache line, or to a pair of them.
            const APART: usize = 128usize.div_ceil(size_of::<Counters>());
            self.flows.counters.reserve_exact(servers + APART - self.flows.counters.len());
            self.flows.counters.resize(servers, Counters::default());
        }
        if let Some(last) = servers.checked_sub(1) {
            self.flows.lists.make_server(u32::try_from(last).unwrap_or(NONE));
        }
    }

    /// Hands over what was counted here.
    pub(crate) fn settle_with(&mut self, home: &mut Self) {
        home.now = home.now.max(self.now);
        if self.reasons.forwarded() == 0 {
            return;
        }
        home.reasons.take_forwarded(&mut self.reasons);
        for (counted, total) in self.flows.counters.iter_mut().zip(&mut home.flows.counters) {
            *total += core::mem::take(counted);
        }
    }

    /// The time as it is here.
    pub(crate) fn time(&mut self, now: Instant) -> Instant {
        self.see(now)
    }
}
