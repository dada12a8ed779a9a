//! The connection table: entries, and the index that finds them by what packets show.
//!
//! An entry has one key in the index, hashed of client and virtual endpoint; a NAT connection has a second, of server and
//! client. Since a flow and its reverse hash alike, one lookup finds a packet's connection from either side. Of connections
//! that have this second key in common the newest alone is in the index by it (`chain`).

use super::chain;
use super::entry::{Entry, Kind, ReplyKey, RequestKey, Side};
use super::hash::HashKey;
use super::id::NONE;
use super::index::Index;
use super::processor;
use super::slab::Slab;
use crate::addr::Family;
use crate::flow::Tuple;
use crate::persist::TemplateKey;
use crate::time::Instant;
use crate::wire::plain::Plain;

#[derive(Debug)]
pub(crate) struct Table {
    key: HashKey,
    index: Index,
    pub(crate) slab: Slab,
    /// Whether there ever was a packet that is a request of one connection and a reply of another: the client of one is
    /// the server of the other. Until then the first connection found is the right one.
    crossed: bool,
    /// How many connections have yet to learn their client's port.
    unknown_ports: u32,
}

impl Table {
    /// Room for `capacity` connections; `None` if there is not so much memory.
    pub(crate) fn with_capacity(capacity: usize, key: HashKey) -> Option<Self> {
        let keys = capacity.checked_mul(2)?;
        Some(Self {
            key,
            index: Index::with_capacity(keys)?,
            slab: Slab::with_capacity(capacity)?,
            crossed: false,
            unknown_ports: 0,
        })
    }

    /// The hash of a packet's flow.
    #[inline]
    pub(crate) fn hash(&self, tuple: &Tuple) -> u64 {
        self.key.flow(
            tuple.family,
            Kind::connection(tuple.family, tuple.protocol).salt(),
            (tuple.source, tuple.source_port),
            (tuple.destination, tuple.destination_port),
        )
    }

    /// The same of a plain packet's.
    #[inline(always)]
    pub(crate) fn hash_plain(&self, (plain, family): (&Plain, Family), bytes: &[u8]) -> u64 {
        let (source, destination) = plain.addresses(family, bytes);
        self.key.flow(
            family,
            Kind::connection(family, plain.protocol).salt(),
            (source, plain.source_port()),
            (destination, plain.destination_port()),
        )
    }

    /// First pass over a burst: the index line of each packet.
    #[inline]
    pub(crate) fn prefetch_index(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Second pass: the entry that the tags point to, if they do; of IPv6 both its lines.
    #[inline]
    pub(crate) fn prefetch_entry(&self, hash: u64, family: Family) -> Option<u32> {
        let slot = self.candidate(hash)?;
        let entry = self.slab.get(slot);
        match family {
            Family::V4 => processor::prefetch(entry),
            Family::V6 => entry.prefetch(),
        }
        Some(slot)
    }

    /// The first entry that the tags point to. Nearly always it is the right one.
    #[inline(always)]
    pub(crate) fn candidate(&self, hash: u64) -> Option<u32> {
        self.index.find(hash).next()
    }

    /// Changes whenever there may be another candidate than before, or one where there was none.
    #[inline]
    pub(crate) const fn additions(&self) -> u64 {
        self.index.additions()
    }

    /// Before an entry is removed: the index lines of its keys.
    pub(crate) fn prefetch_keys(&self, slot: u32) {
        let entry = self.slab.get(slot);
        self.index.prefetch(self.client_hash(entry));
        if let Some(hash) = self.server_hash(entry) {
            self.index.prefetch(hash);
        }
    }

    /// The connection of a packet, and the side that the packet comes from. The server's side goes first, then the
    /// newest. An entry past its deadline is not there.
    #[inline]
    pub(crate) fn find(&self, hash: u64, tuple: &Tuple, now: Instant) -> Option<(u32, Side)> {
        match tuple.family {
            Family::V4 => self.find_where(hash, tuple, now, |_| true, |_| true),
            Family::V6 => self.find_where(
                hash,
                tuple,
                now,
                |entry| entry.client() == tuple.source && entry.virtual_address() == tuple.destination,
                |entry| entry.client() == tuple.destination && entry.sends_from(tuple.source),
            ),
        }
    }

    /// The side that a plain packet comes from, if a candidate is its connection, and certainly the first of all. `rests`
    /// are those of IPv6 addresses, source and destination, in front of their last words.
    #[inline(always)]
    pub(crate) fn side_of(
        &self,
        candidate: u32,
        (plain, family): (&Plain, Family),
        rests: impl FnOnce() -> [[u32; 3]; 2],
        now: Instant,
    ) -> Option<Side> {
        let entry = self.slab.get(candidate);
        if self.crossed || entry.is_over(now) {
            return None;
        }
        let side = if entry.is_request(RequestKey::of_plain(plain, family)) {
            Side::Client
        } else if entry.is_reply(ReplyKey::of_plain(plain, family)) {
            Side::Server
        } else {
            return None;
        };
        let is_whole = match family {
            Family::V4 => true,
            Family::V6 => entry.has_rests(side, rests()),
        };
        is_whole.then_some(side)
    }

    /// The same, where the last words of addresses are not all: two tests of the whole ones.
    #[inline(always)]
    fn find_where(
        &self,
        hash: u64,
        tuple: &Tuple,
        now: Instant,
        from_client: impl Fn(&Entry) -> bool,
        from_server: impl Fn(&Entry) -> bool,
    ) -> Option<(u32, Side)> {
        let request = RequestKey::of(tuple);
        let mut found = None;
        for slot in self.index.find(hash) {
            let entry = self.slab.get(slot);
            if entry.is_request(request) && from_client(entry) {
                if found.is_none() && !entry.is_over(now) {
                    found = Some((slot, Side::Client));
                    if !self.crossed {
                        break;
                    }
                }
            } else if entry.is_reply(ReplyKey::of(tuple))
                && from_server(entry)
                && let Some(slot) = self.newest_from(slot, now)
            {
                return Some((slot, Side::Server));
            }
        }
        found
    }

    /// A connection, or if it is over the newest of the older ones that are not and that a reply could be of, too.
    #[inline]
    fn newest_from(&self, slot: u32, now: Instant) -> Option<u32> {
        if self.slab.get(slot).is_over(now) { self.newest_before(slot, now) } else { Some(slot) }
    }

    #[cold]
    fn newest_before(&self, slot: u32, now: Instant) -> Option<u32> {
        chain::older(&self.slab, slot).find(|&older| !self.slab.get(older).is_over(now))
    }

    /// The connection of a packet as a request, whatever else it may be.
    pub(crate) fn find_request(&self, tuple: &Tuple, now: Instant) -> Option<u32> {
        self.index.find(self.hash(tuple)).find(|&slot| {
            let entry = self.slab.get(slot);
            let whole = entry.client() == tuple.source && entry.virtual_address() == tuple.destination;
            entry.is_request(RequestKey::of(tuple)) && whole && !entry.is_over(now)
        })
    }

    /// The connection that waits for a client's packet from whatever port, and that this packet is for.
    #[inline]
    pub(crate) fn find_waiting(&self, tuple: &Tuple, now: Instant) -> Option<u32> {
        if self.unknown_ports == 0 { None } else { self.find_request(&Tuple { source_port: 0, ..*tuple }, now) }
    }

    /// The connection that waits so, and whose server sends from there.
    pub(crate) fn find_waiting_server(&self, tuple: &Tuple, now: Instant) -> Option<u32> {
        let is_meant = |slot: &u32| {
            let entry = self.slab.get(*slot);
            entry.kind() == Kind::connection(tuple.family, tuple.protocol).without_client_port()
                && entry.client() == tuple.destination
                && entry.sending_end() == (tuple.source, tuple.source_port)
        };
        self.index.find(self.hash(tuple)).filter(is_meant).find_map(|slot| self.newest_from(slot, now))
    }

    /// The template of a key. `same` says of a record whether it holds what the key's engine has read.
    pub(crate) fn find_template(&self, key: &TemplateKey<'_>, now: Instant, same: impl Fn(u32) -> bool) -> Option<u32> {
        let engine_hash = self.engine_hash(key.data);
        let hash =
            self.key.flow(key.kind.family(), key.kind.salt(), (key.client, 0), key.virtual_) ^ spread(engine_hash);
        self.index.find(hash).find(|&slot| {
            let entry = self.slab.get(slot);
            entry.is_template_of(key.kind, key.client, key.virtual_, engine_hash)
                && (key.data.is_empty() || same(entry.engine()))
                && !entry.is_over(now)
        })
    }

    /// The hash of what an engine keeps of a template: 0 for nothing.
    pub(crate) fn engine_hash(&self, data: &[u8]) -> u32 {
        if data.is_empty() { 0 } else { self.key.bytes(data) }
    }

    pub(crate) fn client_hash(&self, entry: &Entry) -> u64 {
        let client = (entry.client(), entry.client_port);
        let virtual_ = (entry.virtual_address(), entry.virtual_port);
        self.key.flow(entry.family(), entry.kind().salt(), client, virtual_) ^ spread(entry.engine_hash())
    }

    /// The hash of the server's side, if the entry has one of its own.
    fn server_hash(&self, entry: &Entry) -> Option<u64> {
        let server = (entry.server_address(), entry.server_port);
        let client = (entry.client(), entry.client_port);
        entry.is_translated().then(|| self.key.flow(entry.family(), entry.kind().salt(), server, client))
    }

    /// The keys of an entry: the second one only where it is another.
    fn hashes(&self, slot: u32) -> (u64, Option<u64>) {
        let entry = self.slab.get(slot);
        let client = self.client_hash(entry);
        (client, self.server_hash(entry).filter(|&server| server != client))
    }

    /// Other entries that a packet of this one could belong to. Of those that the same replies could be of only the next ones:
    /// what is done to all of them was done to the others when these came.
    #[cfg(feature = "std")]
    pub(crate) fn twins(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        let entry = self.slab.get(slot);
        let alike = move |&other: &u32| {
            let known = self.slab.get(other);
            other != slot && (known.has_client_key_of(entry) || known.has_replies_of(entry) || known.crosses(entry))
        };
        let (client, server) = self.hashes(slot);
        let found = core::iter::once(client).chain(server).flat_map(|hash| self.index.find(hash)).filter(alike);
        let (newer, older) = if entry.is_template() { (NONE, NONE) } else { entry.neighbours() };
        [newer, older].into_iter().filter(|&neighbour| neighbour != NONE).chain(found)
    }

    /// The entry of a hash that is the one that is meant.
    #[cfg(feature = "std")]
    pub(crate) fn find_by(&self, hash: u64, is_meant: impl Fn(u32) -> bool) -> Option<u32> {
        self.index.find(hash).find(|&slot| is_meant(slot))
    }

    /// Adds an entry, before those of the same key; `None` if the table is full.
    pub(crate) fn insert(&mut self, entry: Entry) -> Option<u32> {
        let slot = self.slab.insert(entry)?;
        self.link(slot);
        Some(slot)
    }

    /// Puts an entry's keys into the index.
    fn link(&mut self, slot: u32) {
        let (hash, server_hash) = self.hashes(slot);
        let Self { index, slab, crossed, unknown_ports, .. } = self;
        let entry = slab.get(slot);
        *unknown_ports += u32::from(entry.kind().lacks_client_port());
        if entry.is_template() {
            return index.insert(hash, slot, |other| slab.get(other).has_client_key_of(entry));
        }
        let (mut crosses, mut newest) = (false, NONE);
        let mut look_at = |other: u32| {
            let known = slab.get(other);
            crosses |= known.crosses(entry);
            if known.has_server_key_of(entry) && known.neighbours().0 == NONE && other != slot {
                newest = other;
            }
            known
        };
        index.insert(hash, slot, |other| look_at(other).has_client_key_of(entry));
        if let Some(hash) = server_hash {
            index.insert(hash, slot, |other| look_at(other).is_found_by(entry, entry.sending_end()));
        }
        *crossed |= crosses;
        chain::join(slab, slot, newest);
        if newest != NONE
            && let (_, Some(hash)) = self.hashes(newest)
        {
            self.index.remove(hash, newest);
        }
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.unlink(slot);
        self.slab.remove(slot);
    }

    /// Changes what an entry's keys are made of.
    pub(crate) fn rekey(&mut self, slot: u32, change: impl FnOnce(&mut Entry)) {
        self.unlink(slot);
        change(self.slab.get_mut(slot));
        self.link(slot);
    }

    fn unlink(&mut self, slot: u32) {
        let (client, server) = self.hashes(slot);
        let entry = self.slab.get(slot);
        self.unknown_ports -= u32::from(entry.kind().lacks_client_port());
        self.index.remove(client, slot);
        if entry.is_template() {
            return;
        }
        let Some(newest) = chain::leave(&mut self.slab, slot) else { return };
        if let Some(hash) = server {
            self.index.remove(hash, slot);
        }
        if newest != NONE
            && let (_, Some(hash)) = self.hashes(newest)
        {
            let Self { index, slab, .. } = self;
            let entry = slab.get(newest);
            index.insert(hash, newest, |other| slab.get(other).is_found_by(entry, entry.sending_end()));
        }
    }

    /// Takes a template out of use: no lookup finds it any more, its connections keep it.
    pub(crate) fn retire_template(&mut self, slot: u32) {
        let hash = self.client_hash(self.slab.get(slot));
        self.index.remove(hash, slot);
        self.slab.get_mut(slot).retire_template();
        let hash = self.client_hash(self.slab.get(slot));
        self.index.insert(hash, slot, |_| false);
    }

    /// Bytes of memory: entries and index.
    pub(crate) fn memory(&self) -> usize {
        self.slab.memory() + self.index.memory()
    }
}

/// The part of an engine's hash in that of a template.
#[inline]
const fn spread(engine_hash: u32) -> u64 {
    engine_hash as u64 | (engine_hash as u64) << 32
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::index::tag;
    use super::*;
    use crate::addr::Addr;
    use crate::conn::entry::{Ends, Flags};
    use crate::flow::Protocol;
    use crate::rng::Rng;
    use crate::service::Method;
    use proptest::prelude::*;
    use std::vec::Vec;

    type End = (Addr, u16);

    fn entry(client: End, virtual_: End, server: End, method: Method) -> Entry {
        let ends = Ends { family: Family::V4, server_family: Family::V4, client, virtual_, server };
        let mut kind = Kind::connection(Family::V4, Protocol::Tcp.number());
        if client.1 == 0 {
            kind = kind.without_client_port();
        }
        let mut entry = Entry::new(kind, &ends, Flags::with_method(method));
        entry.expires = Instant::MAX;
        entry
    }

    fn nat(client: End, virtual_: End, server: End) -> Entry {
        entry(client, virtual_, server, Method::Nat)
    }

    fn table(capacity: usize, seed: u64) -> Table {
        Table::with_capacity(capacity, HashKey::from_rng(&mut Rng::from_seed(seed))).unwrap()
    }

    fn packet(from: End, to: End) -> Tuple {
        Tuple {
            family: Family::V4,
            protocol: Protocol::Tcp.number(),
            source: from.0,
            source_port: from.1,
            destination: to.0,
            destination_port: to.1,
        }
    }

    fn end(host: u32, port: u16) -> End {
        (Addr::v4(0x0a00_0000 + host), port)
    }

    #[test]
    fn a_reply_is_one_even_if_a_request_is_found_before_it() {
        let (client, server) = (end(1, 4000), end(2, 80));
        for port in 0..200 {
            let mut table = table(3, 1);
            let other = table.insert(nat(end(3, port), end(4, 80), end(5, 80))).unwrap();
            let first = table.insert(nat(client, end(9, 80), server)).unwrap();
            // The other leaves a free place, perhaps in front of the first one's.
            table.remove(other);
            // The server is a client of the client.
            table.insert(nat(server, client, end(6, 80))).unwrap();
            let reply = packet(server, client);
            assert_eq!(table.find(table.hash(&reply), &reply, Instant::ZERO), Some((first, Side::Server)), "{port}");
        }
    }

    #[test]
    fn of_connections_with_one_reply_the_index_knows_one() {
        let mut table = table(10_000, 1);
        let (client, server) = (end(1, 4000), end(2, 80));
        let reply = packet(server, client);
        let known = |table: &Table| {
            let shares = |&slot: &u32| table.slab.get(slot).sending_end() == server;
            table.index.find(table.hash(&reply)).filter(shares).count()
        };
        let slots: Vec<u32> =
            (0..5_000).map(|n| table.insert(nat(client, end(1_000 + n, 80), server)).unwrap()).collect();
        assert_eq!(known(&table), 1);
        // The middle, the oldest, the newest.
        let (oldest, newest) = slots.split_at(2_500);
        for slot in newest[..1_000].iter().chain(oldest).chain(newest[1_000..].iter().rev()) {
            assert_eq!(known(&table), 1);
            table.remove(*slot);
        }
        assert_eq!(known(&table), 0);
    }

    /// The naive twin: the connections, newest first.
    #[derive(Default)]
    struct Twin(Vec<(u32, Entry)>);

    impl Twin {
        /// The newest that is not over and that this is said of.
        fn newest(&self, now: Instant, is_meant: impl Fn(&Entry) -> bool) -> Option<u32> {
            self.0.iter().find(|(_, entry)| !entry.is_over(now) && is_meant(entry)).map(|(slot, _)| *slot)
        }

        fn find(&self, tuple: &Tuple, now: Instant) -> Option<(u32, Side)> {
            let reply = self.newest(now, |entry| entry.is_reply(ReplyKey::of(tuple)));
            let request = || self.newest(now, |entry| entry.is_request(RequestKey::of(tuple)));
            reply.map(|slot| (slot, Side::Server)).or_else(|| request().map(|slot| (slot, Side::Client)))
        }

        fn find_waiting_server(&self, tuple: &Tuple, now: Instant) -> Option<u32> {
            let from = (tuple.source, tuple.source_port);
            self.newest(now, |entry| {
                entry.client_port == 0 && entry.client() == tuple.destination && entry.sending_end() == from
            })
        }

        /// Is there another connection that packets of this one could be of?
        #[cfg(feature = "std")]
        fn has_twin(&self, at: usize) -> bool {
            let (slot, entry) = &self.0[at];
            self.0.iter().any(|(other, known)| {
                let shares = known.has_client_key_of(entry) || known.has_replies_of(entry) || known.crosses(entry);
                other != slot && shares
            })
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Op {
        /// Client, virtual end, server, and when it ends.
        Insert(u16, u16, u16, bool, u64),
        Remove(prop::sample::Index),
        /// Another server, or its own client port, is known now.
        Rekey(prop::sample::Index, u16, u16),
        Wait,
    }

    fn op() -> impl Strategy<Value = Op> {
        let index = any::<prop::sample::Index>;
        prop_oneof![
            8 => (0..4u16, 0..6u16, 0..3u16, prop::bool::weighted(0.8), 0..40u64)
                .prop_map(|(client, virtual_, server, nat, ends)| Op::Insert(client, virtual_, server, nat, ends)),
            4 => index().prop_map(Op::Remove),
            1 => (index(), 1..4u16, 0..3u16).prop_map(|(which, port, server)| Op::Rekey(which, port, server)),
            1 => Just(Op::Wait),
        ]
    }

    /// Two clients, of which each has two ports; one port is not known yet.
    fn client(n: u16) -> End {
        end(1 + u32::from(n % 2), n / 2 * 4_000)
    }

    fn server(n: u16) -> End {
        end(100 + u32::from(n), 80)
    }

    /// By direct routing to addresses that no server has; one server may be a virtual end itself.
    fn made(client_: u16, virtual_: u16, server_: u16, is_nat: bool) -> Entry {
        let method = if is_nat { Method::Nat } else { Method::Dr };
        let virtual_ = if virtual_ == 0 && is_nat { server(0) } else { end(200 + u32::from(virtual_), 80) };
        entry(client(client_), virtual_, server(server_), method)
    }

    /// Where both keys of one connection look alike in a bucket, one may take the place of the other, and the order of what
    /// has the same key is lost: one in 255 connections, and with room for more than a few only if both are of one bucket.
    fn looks_alike(table: &Table, entry: &Entry) -> bool {
        let client = table.client_hash(entry);
        table.server_hash(entry).is_some_and(|server| server != client && tag(server) == tag(client))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn a_table_answers_as_a_list_does(
            capacity in 1..40usize,
            seed in any::<u64>(),
            ops in prop::collection::vec(op(), 1..100),
        ) {
            let mut table = table(capacity, seed);
            let (mut twin, mut now) = (Twin::default(), Instant::ZERO);
            for op in ops {
                match op {
                    Op::Insert(client, virtual_, server, nat, ends) => {
                        let mut entry = made(client, virtual_, server, nat);
                        if looks_alike(&table, &entry) {
                            continue;
                        }
                        entry.expires = now + core::time::Duration::from_secs(ends);
                        match table.insert(entry.clone()) {
                            Some(slot) => twin.0.insert(0, (slot, entry)),
                            None => prop_assert_eq!(twin.0.len(), capacity),
                        }
                    }
                    Op::Remove(which) if !twin.0.is_empty() => table.remove(twin.0.remove(which.index(twin.0.len())).0),
                    Op::Rekey(which, port, to) if !twin.0.is_empty() => {
                        let at = which.index(twin.0.len());
                        let other = made(0, 1, to, true);
                        let change = |entry: &mut Entry| {
                            if entry.client_port == 0 {
                                entry.learn_client_port(port);
                            } else if entry.method() == Method::Dr {
                                entry.flags = other.flags;
                            }
                        };
                        let (slot, mut entry) = twin.0[at].clone();
                        change(&mut entry);
                        if !looks_alike(&table, &entry) {
                            table.rekey(slot, change);
                            twin.0.remove(at);
                            twin.0.insert(0, (slot, entry));
                        }
                    }
                    Op::Remove(_) | Op::Rekey(..) => {}
                    Op::Wait => now += core::time::Duration::from_secs(10),
                }
                let ends = (0..4).map(client).chain((0..3).map(server)).chain((1..6).map(|n| end(200 + n, 80)));
                let ends: Vec<End> = ends.chain((1..3).flat_map(|host| (1..4).map(move |port| end(host, port)))).collect();
                for (&from, &to) in ends.iter().flat_map(|from| ends.iter().map(move |to| (from, to))) {
                    let tuple = packet(from, to);
                    prop_assert_eq!(table.find(table.hash(&tuple), &tuple, now), twin.find(&tuple, now), "{:?}", tuple);
                    let waiting = table.find_waiting_server(&packet(from, (to.0, 0)), now);
                    prop_assert_eq!(waiting, twin.find_waiting_server(&packet(from, (to.0, 0)), now));
                }
                #[cfg(feature = "std")]
                for (at, (slot, _)) in twin.0.iter().enumerate() {
                    prop_assert_eq!(table.twins(*slot).next().is_some(), twin.has_twin(at));
                }
            }
            twin.0.drain(..).for_each(|(slot, _)| table.remove(slot));
            prop_assert!(table.index.is_empty());
        }
    }
}
