//! The search for connections alone, so that it can be measured apart from all else that happens to a packet.

use crate::addr::{Addr, Family};
use crate::director::Director;
use crate::flow::{Flow, Tuple};
use crate::time::Instant;

/// A flow as the connection table compares it, made beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupKey(pub(crate) Tuple);

impl From<&Flow> for LookupKey {
    /// Both ends of the flow are taken to be of the source's family.
    fn from(flow: &Flow) -> Self {
        Self(Tuple {
            family: if flow.source.is_ipv4() { Family::V4 } else { Family::V6 },
            protocol: flow.protocol,
            source: Addr::from_ip(flow.source.ip()),
            destination: Addr::from_ip(flow.destination.ip()),
            source_port: flow.source.port(),
            destination_port: flow.destination.port(),
        })
    }
}

/// How many of the flows have a connection, found as [`Director::process_burst`] finds them: hashed, and the memory of 64
/// of them fetched at once.
///
/// ```
/// use lvs_core::testkit::lookup::{LookupKey, lookup};
/// use lvs_core::{Config, Director, Flow, Instant};
///
/// let director = Director::new(Config::with_seed(7))?;
/// let flow = Flow { protocol: 6, source: "198.51.100.9:40000".parse()?, destination: "192.0.2.10:80".parse()? };
/// assert_eq!(lookup(&director, Instant::ZERO, &[LookupKey::from(&flow)]), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn lookup(director: &Director, now: Instant, keys: &[LookupKey]) -> usize {
    director.find_all(now, keys)
}
