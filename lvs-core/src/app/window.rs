//! Which segments belong to a conversation: those that both ends can have sent, seen from the middle.
//!
//! Follows: Guido van Rooij, "Real Stateful TCP Packet Filtering in IP Filter" (2001), as Linux does: the four bounds of
//! its section on sequence numbers. A segment outside cannot be corrected.

use super::segment::Segment;
use super::sequence::{Correction, is_before};

/// One end of a connection, as the segments between both tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// Behind the last byte that it has sent.
    sent: u32,
    /// Behind the last byte that it may send: what was acknowledged and the window that was announced with it.
    allowed: u32,
    /// The largest window that it has announced; 0 until its first segment.
    window: u32,
    /// By how much its windows are shifted (RFC 7323 section 2), if it has said so.
    scale: Option<u8>,
}

/// How far an acknowledgment may lie behind, at least.
const OLDEST: u32 = 66_000;

/// Whether a segment of `sender` to `receiver` belongs to their conversation, and both ends after it. `towards` is what
/// the receiver's stream has gained: its acknowledgments count the sender's way.
pub(crate) fn follow(sender: &mut End, receiver: &mut End, segment: &Segment, towards: &Correction) -> bool {
    let end = segment.end();
    if sender.window == 0 || segment.flags.syn() {
        return begin(sender, receiver, segment, end);
    }
    let acknowledged = if segment.flags.ack() {
        segment.acknowledgment.wrapping_sub(towards.offset(segment.acknowledgment.wrapping_sub(1)))
    } else {
        receiver.sent
    };
    let belongs = !is_before(sender.allowed, segment.sequence)
        && !is_before(end, sender.sent.wrapping_sub(receiver.window))
        && !is_before(receiver.sent, acknowledged)
        && !is_before(acknowledged, receiver.sent.wrapping_sub(sender.window.max(OLDEST)));
    if belongs {
        let window = u32::from(segment.window) << sender.scale.unwrap_or(0);
        sender.window = sender.window.max(window);
        sender.sent = later(sender.sent, end);
        let allowed = acknowledged.wrapping_add(window.max(1));
        receiver.allowed = later(receiver.allowed, allowed);
    }
    belongs
}

/// The first segment of an end: one that opens the connection, or one from the middle of it.
fn begin(sender: &mut End, receiver: &mut End, segment: &Segment, end: u32) -> bool {
    if segment.flags.syn() && sender.window != 0 {
        // Sent again, or a new beginning: the other end decides.
        return true;
    }
    let window = u32::from(segment.window).max(1);
    if segment.flags.syn() {
        *sender = End { sent: end, allowed: end, window, scale: segment.scale };
        if receiver.window == 0 {
            return true;
        }
        if segment.scale.is_none() || receiver.scale.is_none() {
            // Windows are shifted only if both ends say so.
            (sender.scale, receiver.scale) = (None, None);
        }
    } else {
        *sender = End { sent: end, allowed: end.wrapping_add(window), window, scale: None };
    }
    if receiver.window == 0 {
        (receiver.sent, receiver.allowed) = (segment.acknowledgment, segment.acknowledgment);
    }
    receiver.allowed = later(receiver.allowed, segment.acknowledgment.wrapping_add(window));
    true
}

const fn later(a: u32, b: u32) -> u32 {
    if is_before(a, b) { b } else { a }
}
