//! A packet in a buffer that the caller owns, with room in front of it.

use core::fmt;

/// An IP packet somewhere in a buffer of the caller's.
///
/// The bytes before it are the headroom: a tunnel's outer headers and ICMP errors grow into it.
/// [`HEADROOM`](Packet::HEADROOM) bytes are enough for all of them. An ICMP error for which the headroom is too small
/// makes use of what the buffer holds behind the packet.
///
/// ```
/// use lvs_core::Packet;
///
/// let mut buffer = [0u8; 2048];                       // 128 bytes of headroom, then a packet of 40 bytes
/// let packet = Packet::new(&mut buffer, 128, 40).unwrap();
/// assert_eq!((packet.headroom(), packet.len(), packet.offset()), (128, 40, 128));
/// ```
pub struct Packet<'a> {
    buffer: &'a mut [u8],
    offset: usize,
    len: usize,
}

impl<'a> Packet<'a> {
    /// Headroom that is enough for whatever may be put in front of a packet: the headers of an ICMPv6 error take 48
    /// bytes, those of a tunnel over IPv6 40, 48 with GRE and 52 with GUE.
    pub const HEADROOM: usize = 64;

    /// The packet of `len` bytes at `offset` of `buffer`, beginning with its IP header; `None` if that is not within
    /// the buffer.
    #[must_use]
    pub fn new(buffer: &'a mut [u8], offset: usize, len: usize) -> Option<Self> {
        let end = offset.checked_add(len)?;
        (end <= buffer.len()).then_some(Self { buffer, offset, len })
    }

    /// The packet that fills a whole buffer: it can be rewritten by NAT and sent on by direct routing, but there is no
    /// room for tunnels and ICMP errors.
    #[must_use]
    pub fn whole(buffer: &'a mut [u8]) -> Self {
        let len = buffer.len();
        Self { buffer, offset: 0, len }
    }

    /// The packet's bytes, from the IP header on.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let Some(rest) = self.buffer.get(self.offset..) else { return &[] };
        rest.get(..self.len).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes_mut_if_any().unwrap_or_default()
    }

    /// The same; always there, which a compiler cannot know.
    #[inline(always)]
    pub(crate) fn bytes_mut_if_any(&mut self) -> Option<&mut [u8]> {
        self.buffer.get_mut(self.offset..)?.get_mut(..self.len)
    }

    /// Where the packet begins in the buffer. Tunnels and ICMP errors move it.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes of the packet.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True if there is not a single byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes in front of the packet.
    #[must_use]
    pub const fn headroom(&self) -> usize {
        self.offset
    }

    /// Bytes behind the packet.
    #[must_use]
    pub fn tailroom(&self) -> usize {
        self.buffer.len() - self.offset - self.len
    }

    /// Cuts off what is behind the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Replaces `removed` bytes at `at` by others. What is behind them moves towards the end of the buffer if there is
    /// room, else what is in front of them into the headroom; false, and nothing done, if both together are too small.
    pub(crate) fn splice(&mut self, at: usize, removed: usize, bytes: &[u8]) -> bool {
        let Some(behind) = at.checked_add(removed).filter(|&behind| behind <= self.len) else { return false };
        let grown = bytes.len().saturating_sub(removed);
        let forward = grown.saturating_sub(self.tailroom());
        if forward > self.offset {
            return false;
        }
        let offset = self.offset - forward;
        self.buffer.copy_within(self.offset + behind..self.offset + self.len, offset + at + bytes.len());
        self.buffer.copy_within(self.offset..self.offset + at, offset);
        self.len = self.len - removed + bytes.len();
        self.offset = offset;
        self.buffer[offset + at..offset + at + bytes.len()].copy_from_slice(bytes);
        true
    }

    /// True if [`splice`](Self::splice) finds room for so many more bytes in a packet of `len`.
    pub(crate) fn has_room_for(&self, len: usize, more: usize) -> bool {
        self.buffer.len() - self.offset - len.min(self.len) + self.offset >= more
    }

    /// Gives the first `n` bytes to the headroom.
    pub(crate) fn cut_front(&mut self, n: usize) {
        let n = n.min(self.len);
        (self.offset, self.len) = (self.offset + n, self.len - n);
    }

    /// True if the first `kept` bytes can stand behind `front` new ones somewhere in the buffer.
    pub(crate) fn has_room(&self, front: usize, kept: usize) -> bool {
        self.offset >= front || self.buffer.len() >= front + kept.min(self.len)
    }

    /// Takes `n` bytes of the headroom into the packet; false, and nothing done, if there are fewer.
    pub(crate) fn grow_front(&mut self, n: usize) -> bool {
        match self.offset.checked_sub(n) {
            Some(offset) => {
                (self.offset, self.len) = (offset, self.len + n);
                true
            }
            None => false,
        }
    }

    /// Moves the packet towards the end of the buffer so that `n` bytes are in front of it; false, and nothing done,
    /// if the buffer is too small.
    pub(crate) fn make_headroom(&mut self, n: usize) -> bool {
        if self.offset >= n {
            return true;
        }
        if self.buffer.len() < n + self.len {
            return false;
        }
        self.buffer.copy_within(self.offset..self.offset + self.len, n);
        self.offset = n;
        true
    }
}

impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet").field("offset", &self.offset).field("bytes", &self.bytes()).finish()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn a_packet_outside_of_its_buffer_is_refused() {
        assert!(Packet::new(&mut [0; 10], 4, 7).is_none());
        assert!(Packet::new(&mut [0; 10], usize::MAX, 2).is_none());
    }

    #[test]
    fn growing_without_room_changes_nothing() {
        let mut buffer = [0; 40];
        let mut packet = Packet::new(&mut buffer, 10, 30).unwrap();
        assert!(!packet.grow_front(20));
        assert_eq!((packet.offset(), packet.len()), (10, 30));
    }

    #[test]
    fn a_part_grows_backwards_first_and_then_into_the_headroom() {
        for (tail, shown, offset) in [(9, "pac-KET-et", 4), (2, "pac-KET-et", 2), (0, "pac-KET-et", 0)] {
            let mut buffer = std::vec![b'.'; 4 + 6 + tail];
            buffer[4..10].copy_from_slice(b"packet");
            let mut packet = Packet::new(&mut buffer, 4, 6).unwrap();
            assert!(packet.has_room_for(6, 4) && !packet.has_room_for(6, 5 + tail));
            assert!(packet.splice(3, 1, b"-KET-"));
            assert_eq!((packet.bytes(), packet.offset()), (shown.as_bytes(), offset));
        }
        let mut buffer = *b".packet";
        let mut packet = Packet::new(&mut buffer, 1, 6).unwrap();
        assert!(!packet.splice(3, 1, b"---") && !packet.splice(3, 4, b"") && !packet.has_room_for(6, 2));
        assert_eq!((packet.bytes(), packet.offset()), (&b"packet"[..], 1));
        assert!(packet.splice(1, 4, b"") && packet.splice(0, 0, b"--"));
        assert_eq!(packet.bytes(), b"--pt");
    }

    #[test]
    fn room_behind_becomes_room_in_front() {
        let mut buffer = *b"..packet........";
        let mut packet = Packet::new(&mut buffer, 2, 6).unwrap();
        assert!(packet.make_headroom(10));
        assert_eq!((packet.headroom(), packet.bytes()), (10, &b"packet"[..]));
        assert!(!packet.make_headroom(11));
    }
}
