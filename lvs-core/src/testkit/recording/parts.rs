//! Fragments on their way into the host: put together before the director sees a packet, as a kernel does.

use std::net::IpAddr;
use std::time::Duration;
use std::vec::Vec;

use super::packet::{Fields, Part, reassemble};
use crate::Instant;

/// What the fragments of one packet share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    source: IpAddr,
    destination: IpAddr,
    identification: u32,
    protocol: u8,
}

#[derive(Debug)]
struct Queue {
    key: Key,
    since: Instant,
    /// Offset and end of each fragment's payload, in order, and the fragment.
    parts: Vec<(usize, usize, Vec<u8>)>,
}

/// A packet as it arrived, or put together of fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    /// What its fragments shared.
    pub(super) key: Option<Key>,
    pub(super) bytes: Vec<u8>,
    /// Its length, or that of its largest fragment.
    pub(super) largest: usize,
}

#[derive(Debug, Default)]
pub(super) struct Parts {
    queues: Vec<Queue>,
}

impl Key {
    pub(super) const fn of(fields: &Fields, part: &Part) -> Self {
        let protocol = if fields.source.is_ipv4() { fields.protocol } else { 0 };
        let (source, destination) = (fields.source, fields.destination);
        Self { source, destination, identification: part.identification, protocol }
    }
}

impl Parts {
    /// Takes a fragment in; the packet, if it is the last that was missing.
    pub(super) fn add(&mut self, fields: &Fields, part: &Part, bytes: &[u8], now: Instant) -> Option<Whole> {
        let life = Duration::from_secs(if fields.source.is_ipv4() { 30 } else { 60 });
        self.queues.retain(|queue| now < queue.since + life);
        let key = Key::of(fields, part);
        let at = match self.queues.iter().position(|queue| queue.key == key) {
            Some(at) => at,
            None => {
                self.queues.push(Queue { key, since: now, parts: Vec::new() });
                self.queues.len() - 1
            }
        };
        let (start, end) = (part.offset, part.offset + part.len);
        let queue = &mut self.queues[at];
        if queue.parts.iter().any(|(a, b, _)| start >= *a && end <= *b) {
            return None;
        }
        if queue.parts.iter().any(|(a, b, _)| start < *b && end > *a) {
            // Overlapping parts are nobody's packet (RFC 5722).
            self.queues.remove(at);
            return None;
        }
        queue.parts.push((start, end, bytes.get(..fields.len)?.to_vec()));
        queue.parts.sort();
        let frames: Vec<Vec<u8>> = queue.parts.iter().map(|(_, _, bytes)| bytes.clone()).collect();
        if frames.len() < 2 {
            return None;
        }
        let whole = reassemble(&frames)?;
        self.queues.remove(at);
        Some(Whole { key: Some(key), bytes: whole, largest: frames.iter().map(Vec::len).max()? })
    }
}
