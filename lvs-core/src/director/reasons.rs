//! How often each verdict was given, by reason: nothing is lost silently.

use super::decision::Decision;
use crate::verdict::{DropReason, PassReason, ReplyReason};

const KINDS: usize = 64;

/// Counts of verdicts by reason.
///
/// ```
/// use lvs_core::{Config, Director, DropReason, Instant, Meta, Packet};
///
/// let mut director = Director::new(Config::with_seed(7))?;
/// let _ = director.process(Instant::ZERO, &mut Packet::whole(&mut [0xff; 3]), Meta::default());
/// assert_eq!(director.reasons().dropped(DropReason::NotIp), 1);
/// # Ok::<(), lvs_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReasonCounts {
    forwarded: u64,
    passed: [u64; KINDS],
    dropped: [u64; KINDS],
    replied: [u64; KINDS],
}

impl Default for ReasonCounts {
    fn default() -> Self {
        Self { forwarded: 0, passed: [0; KINDS], dropped: [0; KINDS], replied: [0; KINDS] }
    }
}

impl ReasonCounts {
    #[inline]
    pub(super) const fn count(&mut self, decision: Decision) {
        match decision {
            Decision::ToServer { .. }
            | Decision::Elsewhere { .. }
            | Decision::ToClient { .. }
            | Decision::FromServer { .. } => self.forwarded += 1,
            Decision::Pass(reason) => self.passed[reason as usize] += 1,
            Decision::Drop(reason) => self.dropped[reason as usize] += 1,
            Decision::Reply(reason) | Decision::Relayed { reason, .. } => self.replied[reason as usize] += 1,
        }
    }

    #[inline]
    pub(super) const fn count_forwarded(&mut self) {
        self.forwarded += 1;
    }

    /// Counts what was forwarded elsewhere, which is not counted there any more.
    #[cfg(feature = "std")]
    pub(super) const fn take_forwarded(&mut self, elsewhere: &mut Self) {
        self.forwarded += elsewhere.forwarded;
        elsewhere.forwarded = 0;
    }

    /// Packets forwarded, to servers and to clients.
    #[must_use]
    pub const fn forwarded(&self) -> u64 {
        self.forwarded
    }

    /// Packets passed to the host for this reason.
    #[must_use]
    pub const fn passed(&self, reason: PassReason) -> u64 {
        self.passed[reason as usize]
    }

    /// Packets dropped for this reason.
    #[must_use]
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Packets answered with an ICMP error for this reason.
    #[must_use]
    pub const fn replied(&self, reason: ReplyReason) -> u64 {
        self.replied[reason as usize]
    }

    /// All packets.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.forwarded + [&self.passed, &self.dropped, &self.replied].into_iter().flatten().sum::<u64>()
    }
}
