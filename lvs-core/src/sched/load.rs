//! Load in proportion to weight, compared without dividing.
//!
//! Owns: the comparison that `wlc`, `sed`, `nq`, `lblc` and `lblcr` share, what others compare in its terms, and the walk
//! through a list that looks for the least.
//! Follows: IPVS, which takes a load as a signed 32-bit number and multiplies in 64 bits, where nothing overflows.

use super::Candidate;

/// Connections per weight, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    connections: i64,
    weight: i64,
}

impl Load {
    /// Less than any other.
    pub(super) const IDLE: Self = Self { connections: -1, weight: 0 };
    /// In place of a load that does not count.
    pub(super) const NONE: Self = Self { connections: 0, weight: 0 };

    /// What `wlc` compares: active connections count 257 times as much as others.
    pub(super) fn overhead(server: &Candidate<'_>) -> Self {
        Self::new(server.overhead().cast_signed(), server.weight())
    }

    /// What `sed` compares: the active connections, the new one included.
    pub(super) fn expected(server: &Candidate<'_>) -> Self {
        Self::new(server.active().cast_signed().wrapping_add(1), server.weight())
    }

    /// What `lc` compares: the overhead as an unsigned number, whatever the weight.
    pub(super) fn unweighted(server: &Candidate<'_>) -> Self {
        Self { connections: i64::from(server.overhead()), weight: 1 }
    }

    /// What `fo` and `ovf` compare: the heavier, the less.
    pub(super) fn lightness(server: &Candidate<'_>) -> Self {
        Self { connections: -i64::from(server.weight()), weight: 1 }
    }

    fn new(connections: i32, weight: u32) -> Self {
        Self { connections: i64::from(connections), weight: i64::from(weight) }
    }

    /// True if a server of this load is worse off than one of the other. Never so if the other has no weight, unless
    /// that is idle.
    pub(super) const fn exceeds(self, other: Self) -> bool {
        self.connections * other.weight > other.connections * self.weight
    }
}

/// The server of least load among those that may get a flow; the first of several.
pub(super) fn least<'a>(
    servers: impl Iterator<Item = Candidate<'a>>,
    load: impl Fn(&Candidate<'a>) -> Load,
) -> Option<Candidate<'a>> {
    let mut eligible = servers.filter(Candidate::is_eligible);
    let mut best = eligible.next()?;
    let mut best_load = load(&best);
    for server in eligible {
        let its_load = load(&server);
        if best_load.exceeds(its_load) {
            (best, best_load) = (server, its_load);
        }
    }
    Some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_the_largest_numbers_do_not_overflow() {
        let (full, light) = (Load::new(i32::MAX, u32::MAX), Load::new(i32::MAX, i32::MAX.cast_unsigned()));
        assert!(light.exceeds(full));
        assert!(!full.exceeds(light));
        assert!(!Load::new(i32::MIN, u32::MAX).exceeds(Load::new(i32::MIN, u32::MAX)));
    }

    #[test]
    fn nothing_is_less_than_idle() {
        assert!(Load::new(i32::MIN, u32::MAX).exceeds(Load::IDLE) && Load::new(i32::MIN, 1).exceeds(Load::IDLE));
        assert!(!Load::IDLE.exceeds(Load::new(i32::MIN, 1)) && !Load::IDLE.exceeds(Load::IDLE));
    }

    #[test]
    fn no_load_exceeds_that_of_a_server_without_weight() {
        assert!(!Load::new(i32::MAX, 1).exceeds(Load::new(0, 0)));
    }
}
