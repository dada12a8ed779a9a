//! Which packets belong together: a flow's requests, its replies, and errors about it.
//!
//! Nothing depends on it but speed. A packet that comes to another shard than its flow's is processed rightly, at the
//! price of two more locks.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::addr::Addr;
use crate::conn::hash::HashKey;
use crate::director::Director;
use crate::flow::Tuple;
use crate::rng::Rng;
use crate::wire::ipsec;
use crate::wire::parse::{Parsed, Shape};
use crate::wire::quote::{self, ICMP_HEADER};

/// What tells clients from servers: the addresses of services and servers, as of a version of the rules.
#[derive(Debug)]
pub(super) struct Steering {
    key: HashKey,
    /// Sorted, both.
    virtual_: Vec<IpAddr>,
    servers: Vec<IpAddr>,
    pub(super) rules: usize,
}

impl Steering {
    pub(super) fn new(seed: u64) -> Self {
        let key = HashKey::from_rng(&mut Rng::from_seed(seed));
        Self { key, virtual_: Vec::new(), servers: Vec::new(), rules: 0 }
    }

    /// Takes over the addresses of a version of the rules.
    pub(super) fn learn_from(&mut self, home: &Director, rules: usize) {
        let (mut virtual_, mut servers) = home.own_addresses();
        for addresses in [&mut virtual_, &mut servers] {
            addresses.sort_unstable();
            addresses.dedup();
        }
        (self.virtual_, self.servers, self.rules) = (virtual_, servers, rules);
    }

    /// The shard of a packet's client, out of `shards`. What no flow can be read from belongs to the first.
    pub(super) fn shard_of(&self, bytes: &[u8], shards: usize) -> usize {
        let Some(tuple) = flow_of(bytes) else { return 0 };
        let (address, port) = self.client_of(&tuple);
        let hash = self.key.flow(tuple.family, 0, (address, port), (Addr::UNSPECIFIED, 0));
        usize::try_from(((hash >> 32) * shards as u64) >> 32).unwrap_or(0)
    }

    /// A packet to a service is its client's. Else one from a service or a server is for a client, and any other is a
    /// client's, to wherever (services by firewall mark).
    fn client_of(&self, tuple: &Tuple) -> (Addr, u16) {
        let (source, destination) = (tuple.source.to_ip(tuple.family), tuple.destination.to_ip(tuple.family));
        let is_reply = self.virtual_.binary_search(&destination).is_err()
            && (self.servers.binary_search(&source).is_ok() || self.virtual_.binary_search(&source).is_ok());
        if is_reply { (tuple.destination, tuple.destination_port) } else { (tuple.source, tuple.source_port) }
    }
}

/// The flow of a packet: of an error the one that it is about, as a packet that goes the error's way.
fn flow_of(bytes: &[u8]) -> Option<Tuple> {
    let mut parsed = Parsed::UNKNOWN;
    parsed.read(bytes, false).ok()?;
    let tuple = parsed.tuple;
    match parsed.shape {
        Shape::Ipsec => Some(ipsec::key_exchange(&tuple)),
        shape if parsed.is_icmp() && shape != Shape::Fragment => {
            let quoted = bytes.get(parsed.transport + ICMP_HEADER..parsed.len);
            let quote = quoted.and_then(|quoted| quote::read(quoted, tuple.family));
            Some(quote.map_or(tuple, |quote| quote.answer()))
        }
        _ => Some(tuple),
    }
}
