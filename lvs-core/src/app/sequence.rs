//! Sequence numbers after a payload has changed its length: each end must see its own count of bytes.
//!
//! Follows: what Linux 6.1.192 does for helpers. Of each direction the latest change is remembered, and the sum of all
//! before it, so that segments around the latest change come out right, early and late ones too; what is older than
//! the change before it does not.

/// What one direction of a connection has gained or lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Correction {
    /// Where the segment begins whose length was changed last, as its sender counts.
    at: u32,
    /// What is added up to there, and behind.
    before: u32,
    after: u32,
}

impl Correction {
    /// Where the latest change was, the sum of all changes and that of those before it, as synchronisation tells them.
    pub(crate) const fn parts(&self) -> [u32; 3] {
        [self.at, self.after, self.before]
    }

    /// The same back again.
    pub(crate) const fn from_parts([at, after, before]: [u32; 3]) -> Self {
        Self { at, before, after }
    }

    /// A segment that begins at `sequence`, as its sender counts, has changed its length from one to another.
    pub(crate) const fn resized(&mut self, sequence: u32, from: usize, to: usize) {
        let by = difference(from, to);
        if by != 0 && (self.before == self.after || is_before(self.at, sequence)) {
            *self = Self { at: sequence, before: self.after, after: self.after.wrapping_add(by) };
        }
    }

    /// A sequence number of this direction, as its sender counts, for the receiver.
    pub(crate) const fn forth(&self, sequence: u32) -> u32 {
        sequence.wrapping_add(self.offset(sequence))
    }

    /// A number that the receiver acknowledges, for the sender.
    pub(crate) const fn back(&self, acknowledged: u32) -> u32 {
        let by = if is_before(self.at, acknowledged.wrapping_sub(self.before)) { self.after } else { self.before };
        acknowledged.wrapping_sub(by)
    }

    /// What is added at a sequence number.
    pub(crate) const fn offset(&self, sequence: u32) -> u32 {
        if is_before(self.at, sequence) { self.after } else { self.before }
    }

    /// True if nothing was ever changed.
    pub(crate) const fn is_none(&self) -> bool {
        self.before == 0 && self.after == 0
    }
}

#[expect(clippy::cast_possible_truncation, reason = "payloads are shorter than 64 KiB")]
const fn difference(from: usize, to: usize) -> u32 {
    (to as u32).wrapping_sub(from as u32)
}

/// Sequence numbers go round (RFC 9293 section 3.4): the shorter way decides.
pub(crate) const fn is_before(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() < 0
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn the_resized_segment_itself_is_counted_as_before() {
        let mut correction = Correction::default();
        correction.resized(5000, 30, 33);
        assert_eq!([5000, 5001, 5030].map(|n| correction.forth(n)), [5000, 5004, 5033]);
        assert_eq!([5000, 5033].map(|n| correction.back(n)), [5000, 5030]);
        correction.resized(5030, 20, 18);
        assert_eq!([5030, 5050].map(|n| correction.forth(n)), [5033, 5051]);
        assert_eq!([5033, 5051].map(|n| correction.back(n)), [5030, 5050]);
    }

    #[test]
    fn a_segment_sent_again_is_counted_once() {
        let mut correction = Correction::default();
        correction.resized(7, 30, 33);
        let once = correction;
        correction.resized(7, 30, 33);
        correction.resized(9, 30, 30);
        assert_eq!(correction, once);
    }

    /// A stream as both ends see it: where each segment begins there and here.
    struct Twin {
        there: Vec<u32>,
        here: Vec<u32>,
    }

    proptest! {
        #[test]
        fn both_ends_count_their_own_bytes(
            start: u32,
            segments in proptest::collection::vec((1usize..1000, 0usize..1000), 1..40),
            late in proptest::collection::vec(any::<proptest::sample::Index>(), 40),
        ) {
            let mut correction = Correction::default();
            let mut twin = Twin { there: std::vec![start], here: std::vec![start] };
            // From which segment on things are remembered: the latest change but one.
            let (mut known_from, mut latest) = (0, 0);
            for (n, &(from, to)) in segments.iter().enumerate() {
                let (there, here) = (twin.there[n], twin.here[n]);
                prop_assert_eq!(correction.forth(there), here, "in order");
                correction.resized(there, from, to);
                if from != to {
                    (known_from, latest) = (latest, n + 1);
                }
                twin.there.push(there.wrapping_add(u32::try_from(from).unwrap()));
                twin.here.push(here.wrapping_add(u32::try_from(to).unwrap()));
                // Sent again, late or early, and acknowledged, as far back as the change before the latest.
                let pick = known_from + late[n].index(n + 2 - known_from);
                prop_assert_eq!(correction.forth(twin.there[pick]), twin.here[pick], "again");
                if to > 0 {
                    prop_assert_eq!(correction.back(twin.here[pick]), twin.there[pick], "acknowledged");
                }
            }
        }
    }
}
