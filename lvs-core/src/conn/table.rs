//! The connection table: entries, and the index that finds them by what packets show.
//!
//! An entry has one key in the index, hashed of client and virtual endpoint; a NAT connection has a second, of server and
//! client. Since a flow and its reverse hash alike, one lookup finds a packet's connection from either side.

use super::entry::{Entry, Kind, ReplyKey, RequestKey, Side};
use super::hash::HashKey;
use super::index::Index;
use super::processor;
use super::slab::Slab;
use crate::addr::{Addr, Family};
use crate::flow::Tuple;
use crate::persist::TemplateKey;
use crate::service::Method;
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

    /// The side that a plain packet comes from, if a candidate is its connection, and certainly the first of all. `whole`
    /// are the whole addresses of IPv6.
    #[inline(always)]
    pub(crate) fn side_of(
        &self,
        candidate: u32,
        (plain, family): (&Plain, Family),
        whole: impl FnOnce() -> (Addr, Addr),
        now: Instant,
    ) -> Option<Side> {
        let entry = self.slab.get(candidate);
        if self.crossed || entry.is_over(now) {
            return None;
        }
        let is_v4 = matches!(family, Family::V4);
        let (source, destination) = if is_v4 { (Addr::UNSPECIFIED, Addr::UNSPECIFIED) } else { whole() };
        if entry.is_request(RequestKey::of_plain(plain, family)) {
            let is_request = is_v4 || entry.client() == source && entry.virtual_address() == destination;
            return is_request.then_some(Side::Client);
        }
        if entry.is_reply(ReplyKey::of_plain(plain, family)) {
            let is_reply = is_v4 || entry.client() == destination && entry.sends_from(source);
            return is_reply.then_some(Side::Server);
        }
        None
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
            } else if entry.is_reply(ReplyKey::of(tuple)) && from_server(entry) && !entry.is_over(now) {
                return Some((slot, Side::Server));
            }
        }
        found
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
        self.index.find(self.hash(tuple)).find(|&slot| {
            let entry = self.slab.get(slot);
            entry.kind() == Kind::connection(tuple.family, tuple.protocol).without_client_port()
                && entry.client() == tuple.destination
                && entry.sending_end() == (tuple.source, tuple.source_port)
                && !entry.is_over(now)
        })
    }

    /// The template of a key. `same` says of a record whether it holds what the key's engine has read.
    pub(crate) fn find_template(&self, key: &TemplateKey<'_>, now: Instant, same: impl Fn(u32) -> bool) -> Option<u32> {
        let engine_hash = self.engine_hash(key.data);
        let hash =
            self.key.flow(key.kind.family(), key.kind.salt(), (key.client, 0), key.virtual_) ^ spread(engine_hash);
        self.index.find(hash).find(|&slot| {
            let entry = self.slab.get(slot);
            entry.is_template_of(key.kind, key.client, key.virtual_, engine_hash)
                && (key.data.is_empty() || same(entry.engine))
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
        self.key.flow(entry.family(), entry.kind().salt(), client, virtual_) ^ spread(entry.engine_hash)
    }

    /// The hash of the server's side, if the entry has one of its own.
    fn server_hash(&self, entry: &Entry) -> Option<u64> {
        let translated = matches!(entry.method(), Method::Nat) && !entry.is_template();
        let server = (entry.server_address(), entry.server_port);
        let client = (entry.client(), entry.client_port);
        translated.then(|| self.key.flow(entry.family(), entry.kind().salt(), server, client))
    }

    /// The other entries that a packet of this one could belong to.
    #[cfg(feature = "std")]
    pub(crate) fn twins(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        let entry = self.slab.get(slot);
        let alike = move |&other: &u32| {
            let known = self.slab.get(other);
            other != slot && (known.has_client_key_of(entry) || known.has_server_key_of(entry) || known.crosses(entry))
        };
        let hashes = [Some(self.client_hash(entry)), self.server_hash(entry)];
        hashes.into_iter().flatten().flat_map(|hash| self.index.find(hash)).filter(alike)
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
        let entry = self.slab.get(slot);
        self.unknown_ports += u32::from(entry.kind().lacks_client_port());
        let (hash, server_hash) = (self.client_hash(entry), self.server_hash(entry));
        let Self { index, slab, crossed, .. } = self;
        let entry = slab.get(slot);
        let mut crosses = false;
        index.insert(hash, slot, |other| {
            crosses |= slab.get(other).crosses(entry);
            slab.get(other).has_client_key_of(entry)
        });
        if let Some(hash) = server_hash {
            index.insert(hash, slot, |other| {
                crosses |= slab.get(other).crosses(entry);
                slab.get(other).has_server_key_of(entry)
            });
        }
        *crossed |= crosses;
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
        let entry = self.slab.get(slot);
        self.unknown_ports -= u32::from(entry.kind().lacks_client_port());
        let (client, server) = (self.client_hash(entry), self.server_hash(entry));
        self.index.remove(client, slot);
        if let Some(server) = server {
            self.index.remove(server, slot);
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
    use super::*;
    use crate::addr::Addr;
    use crate::conn::entry::{Ends, Flags};
    use crate::flow::Protocol;
    use crate::rng::Rng;

    type End = (Addr, u16);

    fn nat(client: End, virtual_: End, server: End) -> Entry {
        let ends = Ends { family: Family::V4, server_family: Family::V4, client, virtual_, server };
        let kind = Kind::connection(Family::V4, Protocol::Tcp.number());
        let mut entry = Entry::new(kind, &ends, Flags::with_method(Method::Nat));
        entry.expires = Instant::MAX;
        entry
    }

    #[test]
    fn a_reply_is_one_even_if_a_request_is_found_before_it() {
        let end = |host: u32, port| (Addr::v4(0x0a00_0000 + host), port);
        let (client, server) = (end(1, 4000), end(2, 80));
        for port in 0..200 {
            let mut table = Table::with_capacity(3, HashKey::from_rng(&mut Rng::from_seed(1))).unwrap();
            let other = table.insert(nat(end(3, port), end(4, 80), end(5, 80))).unwrap();
            let first = table.insert(nat(client, end(9, 80), server)).unwrap();
            // The other leaves a free place, perhaps in front of the first one's.
            table.remove(other);
            // The server is a client of the client.
            table.insert(nat(server, client, end(6, 80))).unwrap();
            let reply = Tuple {
                family: Family::V4,
                protocol: Protocol::Tcp.number(),
                source: server.0,
                source_port: server.1,
                destination: client.0,
                destination_port: client.1,
            };
            assert_eq!(table.find(table.hash(&reply), &reply, Instant::ZERO), Some((first, Side::Server)), "{port}");
        }
    }
}
