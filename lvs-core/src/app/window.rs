//! Which segments belong to a conversation: those that acknowledge nothing that was never said.
//!
//! Follows: connection tracking in Linux 6.1.192, as far as it decides on the fate of a packet: of the four bounds of Guido
//! van Rooij, "Real Stateful TCP Packet Filtering in IP Filter" (2001), only the upper one of acknowledgments makes a
//! segment a stray. One beyond what its sender may send passes, but is not taken for something that was said.

use super::segment::Segment;
use super::sequence::{Correction, is_before};

/// One end of a connection, as the segments between both tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// Behind the last byte that it has sent.
    sent: u32,
    /// Behind the last byte that it may send: what was acknowledged and the window that was announced with it.
    allowed: u32,
    /// False until its first segment.
    is_known: bool,
    /// By how much its windows are shifted (RFC 7323 section 2), if it has said so.
    scale: Option<u8>,
}

impl End {
    /// May it send this segment by now?
    pub(crate) fn may_send(&self, segment: &Segment) -> bool {
        !is_before(self.allowed, segment.sequence)
    }
}

/// Whether a segment of `sender` to `receiver` belongs to their conversation, and both ends after it. `towards` is what
/// the receiver's stream has gained: its acknowledgments count the sender's way.
pub(crate) fn follow(sender: &mut End, receiver: &mut End, segment: &Segment, towards: &Correction) -> bool {
    if !sender.is_known {
        begin(sender, receiver, segment);
        return true;
    }
    if segment.flags.syn() {
        // Sent again, or a new beginning: the other end decides.
        return true;
    }
    let acknowledged = if segment.flags.ack() {
        segment.acknowledgment.wrapping_sub(towards.offset(segment.acknowledgment.wrapping_sub(1)))
    } else {
        receiver.sent
    };
    if is_before(receiver.sent, acknowledged) {
        return false;
    }
    if sender.may_send(segment) {
        sender.sent = later(sender.sent, segment.end());
        let window = u32::from(segment.window) << sender.scale.unwrap_or(0);
        receiver.allowed = later(receiver.allowed, acknowledged.wrapping_add(window.max(1)));
    }
    true
}

/// The first segment of an end: one that opens the connection, or one from the middle of it.
fn begin(sender: &mut End, receiver: &mut End, segment: &Segment) {
    let (sent, window) = (segment.end(), u32::from(segment.window).max(1));
    if segment.flags.syn() {
        *sender = End { sent, allowed: sent, is_known: true, scale: segment.scale };
        if !receiver.is_known {
            return;
        }
        if segment.scale.is_none() || receiver.scale.is_none() {
            // Windows are shifted only if both ends say so.
            (sender.scale, receiver.scale) = (None, None);
        }
    } else {
        *sender = End { sent, allowed: sent.wrapping_add(window), is_known: true, scale: None };
        if !receiver.is_known {
            (receiver.sent, receiver.allowed) = (segment.acknowledgment, segment.acknowledgment);
        }
    }
    receiver.allowed = later(receiver.allowed, segment.acknowledgment.wrapping_add(window));
}

const fn later(a: u32, b: u32) -> u32 {
    if is_before(a, b) { b } else { a }
}
