//! Addresses as the tables hold them: four words, and a family beside them.
//!
//! Owns: the conversion from and to [`core::net`] and from packet bytes; the folding that the hash schedulers use.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Internet Protocol version of an address, a service or a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Family {
    /// Internet Protocol version 4 (RFC 791).
    V4 = 4,
    /// Internet Protocol version 6 (RFC 8200).
    V6 = 6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The place of a family where something is kept of both.
    #[inline]
    pub(crate) const fn index(self) -> usize {
        (self as usize >> 1) & 1
    }

    /// Bytes of one address: 4 or 16.
    #[must_use]
    pub const fn address_len(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }
}

/// An address of either family: words in host order; an IPv4 address is the **last** word, the others are zero.
///
/// The last word is what the first cache line of a connection entry holds, so that IPv4 never touches the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Addr(pub(crate) [u32; 4]);

impl Addr {
    pub(crate) const UNSPECIFIED: Self = Self([0; 4]);

    pub(crate) const fn v4(word: u32) -> Self {
        Self([0, 0, 0, word])
    }

    /// The first eight bytes, and the others.
    #[inline]
    pub(crate) fn halves(self) -> [u64; 2] {
        let [a, b, c, d] = self.0.map(u64::from);
        [a << 32 | b, c << 32 | d]
    }

    /// The words in front of the last.
    #[inline]
    pub(crate) const fn rest(self) -> [u32; 3] {
        [self.0[0], self.0[1], self.0[2]]
    }

    pub(crate) const fn last(self) -> u32 {
        self.0[3]
    }

    pub(crate) fn from_v6(bytes: &[u8; 16]) -> Self {
        let word = |i: usize| u32::from_be_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        Self([word(0), word(4), word(8), word(12)])
    }

    pub(crate) fn from_ip(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(a) => Self::v4(u32::from_be_bytes(a.octets())),
            IpAddr::V6(a) => Self::from_v6(&a.octets()),
        }
    }

    pub(crate) fn to_ip(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from(self.0[3])),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(self.to_v6_bytes())),
        }
    }

    pub(crate) const fn to_v4_bytes(self) -> [u8; 4] {
        self.0[3].to_be_bytes()
    }

    pub(crate) fn to_v6_bytes(self) -> [u8; 16] {
        let mut out = [0; 16];
        for (chunk, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(self.0) {
            *chunk = word.to_be_bytes();
        }
        out
    }

    /// The first `len` bits, the others zero.
    pub(crate) fn prefix(self, len: u8) -> Self {
        Self(core::array::from_fn(|i| {
            let kept = usize::from(len).saturating_sub(i * 32);
            self.0[i] & u32::MAX.checked_shl(32 - u32::try_from(kept.min(32)).unwrap_or(32)).unwrap_or(0)
        }))
    }

    /// The address as one word, as the kernel's hash schedulers take it: IPv4 itself, IPv6 the exclusive or of its
    /// four words.
    pub(crate) const fn fold(self) -> u32 {
        self.0[0] ^ self.0[1] ^ self.0[2] ^ self.0[3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_round_trip() {
        for text in ["192.0.2.1", "0.0.0.0", "2001:db8::1:2", "::", "ffff:eeee:dddd:cccc:bbbb:aaaa:9999:8888"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(Addr::from_ip(ip).to_ip(Family::of(ip)), ip);
        }
    }

    #[test]
    fn a_prefix_keeps_its_bits_alone() {
        let all = Addr([u32::MAX; 4]);
        assert_eq!(all.prefix(128), all);
        assert_eq!(all.prefix(0), Addr::UNSPECIFIED);
        assert_eq!(all.prefix(33), Addr([u32::MAX, 0x8000_0000, 0, 0]));
        assert_eq!(all.prefix(64), Addr([u32::MAX, u32::MAX, 0, 0]));
    }

    #[test]
    fn folding_takes_host_order_words() {
        assert_eq!(Addr::from_ip("192.168.1.1".parse().unwrap()).fold(), 0xc0a8_0101);
        assert_eq!(
            Addr::from_ip("1:2:3:4:5:6:7:8".parse().unwrap()).fold(),
            0x0001_0002 ^ 0x0003_0004 ^ 0x0005_0006 ^ 0x0007_0008
        );
    }
}
