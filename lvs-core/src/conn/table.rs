//! The connection table: entries, and the index that finds them by what packets show.
//!
//! An entry has one key in the index, hashed of client and virtual endpoint; a NAT connection has a second, of server and
//! client. Since a flow and its reverse hash alike, one lookup finds a packet's connection from either side.

use super::entry::{Entry, Kind, Side};
use super::hash::HashKey;
use super::index::Index;
use super::prefetch;
use super::slab::Slab;
use crate::addr::Addr;
use crate::flow::Tuple;
use crate::service::Method;
use crate::time::Instant;

#[derive(Debug)]
pub(crate) struct Table {
    key: HashKey,
    index: Index,
    pub(crate) slab: Slab,
}

impl Table {
    /// Room for `capacity` connections; `None` if there is not so much memory.
    pub(crate) fn with_capacity(capacity: usize, key: HashKey) -> Option<Self> {
        let keys = capacity.checked_mul(2)?;
        Some(Self { key, index: Index::with_capacity(keys)?, slab: Slab::with_capacity(capacity)? })
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

    /// First pass over a burst: the index line of each packet.
    #[inline]
    pub(crate) fn prefetch_index(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Second pass: the entry that the tags point to.
    #[inline]
    pub(crate) fn prefetch_entry(&self, hash: u64) {
        self.index.find(hash, |slot| {
            prefetch::read(self.slab.get(slot));
            Some(())
        });
    }

    /// The connection of a packet, and the side that the packet comes from. The server's side goes first, then the
    /// newest. An entry past its deadline is not there.
    #[inline]
    pub(crate) fn find(&self, hash: u64, tuple: &Tuple, now: Instant) -> Option<(u32, Side)> {
        let mut request = None;
        let reply = self.index.find(hash, |slot| {
            let entry = self.slab.get(slot);
            match entry.side_of(tuple) {
                Some(_) if entry.is_over(now) => None,
                Some(Side::Server) => Some(slot),
                Some(Side::Client) => {
                    request.get_or_insert(slot);
                    None
                }
                None => None,
            }
        });
        match (reply, request) {
            (Some(slot), _) => Some((slot, Side::Server)),
            (None, Some(slot)) => Some((slot, Side::Client)),
            (None, None) => None,
        }
    }

    /// The connection of a packet as a request, whatever else it may be.
    pub(crate) fn find_request(&self, tuple: &Tuple, now: Instant) -> Option<u32> {
        self.index.find(self.hash(tuple), |slot| {
            let entry = self.slab.get(slot);
            (entry.side_of(tuple) == Some(Side::Client) && !entry.is_over(now)).then_some(slot)
        })
    }

    /// The template of a client and a virtual endpoint.
    pub(crate) fn find_template(&self, kind: Kind, client: Addr, virtual_: (Addr, u16), now: Instant) -> Option<u32> {
        let hash = self.template_hash(kind, client, virtual_);
        self.index.find(hash, |slot| {
            let entry = self.slab.get(slot);
            (entry.is_template_of(kind, client, virtual_) && !entry.is_over(now)).then_some(slot)
        })
    }

    fn template_hash(&self, kind: Kind, client: Addr, virtual_: (Addr, u16)) -> u64 {
        self.key.flow(kind.family(), kind.salt(), (client, 0), virtual_)
    }

    fn client_hash(&self, entry: &Entry) -> u64 {
        let client = (entry.client(), entry.client_port);
        let virtual_ = (entry.virtual_address(), entry.virtual_port);
        self.key.flow(entry.family(), entry.kind().salt(), client, virtual_)
    }

    /// The hash of the server's side, if the entry has one of its own.
    fn server_hash(&self, entry: &Entry) -> Option<u64> {
        let translated = matches!(entry.method(), Method::Nat) && !entry.is_template();
        let server = (entry.server_address(), entry.server_port);
        let client = (entry.client(), entry.client_port);
        translated.then(|| self.key.flow(entry.family(), entry.kind().salt(), server, client))
    }

    /// Adds an entry, before those of the same key; `None` if the table is full.
    pub(crate) fn insert(&mut self, entry: Entry) -> Option<u32> {
        let slot = self.slab.insert(entry)?;
        let Self { index, slab, .. } = self;
        let entry = slab.get(slot);
        let client = (entry.client(), entry.client_port);
        let virtual_ = (entry.virtual_address(), entry.virtual_port);
        let server = (entry.server_address(), entry.server_port);
        let key = &self.key;
        let hash = key.flow(entry.family(), entry.kind().salt(), client, virtual_);
        index.insert(hash, slot, |other| {
            let other = slab.get(other);
            other.kind() == entry.kind()
                && (other.client(), other.client_port) == client
                && (other.virtual_address(), other.virtual_port) == virtual_
        });
        if matches!(entry.method(), Method::Nat) && !entry.is_template() {
            let hash = key.flow(entry.family(), entry.kind().salt(), server, client);
            index.insert(hash, slot, |other| {
                let other = slab.get(other);
                other.kind() == entry.kind()
                    && matches!(other.method(), Method::Nat)
                    && (other.client(), other.client_port) == client
                    && (other.server_address(), other.server_port) == server
            });
        }
        Some(slot)
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, slot: u32) {
        let entry = self.slab.get(slot);
        let (client, server) = (self.client_hash(entry), self.server_hash(entry));
        self.index.remove(client, slot);
        if let Some(server) = server {
            self.index.remove(server, slot);
        }
        self.slab.remove(slot);
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
