//! The search for connections of a burst, and nothing else: for `testkit`.

use super::Director;
use super::process::BURST;
use crate::addr::Family;
use crate::conn::id::NONE;
use crate::flow::Tuple;
use crate::testkit::lookup::LookupKey;
use crate::time::Instant;
use crate::wire::plain::Plain;

impl Director {
    /// How many of the flows have a connection: the same three passes over each burst as for packets.
    pub(crate) fn find_all(&self, now: Instant, keys: &[LookupKey]) -> usize {
        let table = &self.flows.table;
        let mut found = 0;
        for keys in keys.chunks(BURST) {
            let mut looks = [(0, NONE); BURST];
            for ((hash, _), key) in looks.iter_mut().zip(keys) {
                *hash = table.hash(&key.0);
                table.prefetch_index(*hash);
            }
            for ((hash, candidate), key) in looks.iter_mut().zip(keys) {
                *candidate = table.prefetch_entry(*hash, key.0.family).unwrap_or(NONE);
            }
            for (&(hash, candidate), key) in looks.iter().zip(keys) {
                found += usize::from(candidate != NONE && self.is_known(candidate, hash, &key.0, now));
            }
        }
        found
    }

    /// Whether a flow has a connection, of which the first candidate is known.
    #[inline]
    fn is_known(&self, candidate: u32, hash: u64, tuple: &Tuple, now: Instant) -> bool {
        let (table, rests) = (&self.flows.table, || [tuple.source.rest(), tuple.destination.rest()]);
        let at_once = Plain::of_flow(tuple).and_then(|plain| match tuple.family {
            Family::V4 => table.side_of(candidate, (&plain, Family::V4), rests, now),
            Family::V6 => table.side_of(candidate, (&plain, Family::V6), rests, now),
        });
        at_once.is_some() || table.find(hash, tuple, now).is_some()
    }
}
