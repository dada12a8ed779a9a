//! The search for connections of a burst, and nothing else: for `testkit`.

use super::Director;
use super::process::BURST;
use crate::testkit::lookup::LookupKey;
use crate::time::Instant;

impl Director {
    /// How many of the flows have a connection: the same three passes over each burst as for packets.
    pub(crate) fn find_all(&self, now: Instant, keys: &[LookupKey]) -> usize {
        let table = &self.flows.table;
        let mut found = 0;
        for keys in keys.chunks(BURST) {
            let mut hashes = [0; BURST];
            for (hash, key) in hashes.iter_mut().zip(keys) {
                *hash = table.hash(&key.0);
                table.prefetch_index(*hash);
            }
            for (hash, key) in hashes.iter().zip(keys) {
                let _ = table.prefetch_entry(*hash, key.0.family);
            }
            for (hash, key) in hashes.iter().zip(keys) {
                found += usize::from(table.find(*hash, &key.0, now).is_some());
            }
        }
        found
    }
}
