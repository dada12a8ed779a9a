//! Counters, and the two-second tick on which listings and rates are renewed.
//!
//! Packets are counted at their real server; services and the director are sums, formed when a tick or a reader wants
//! them.
//!
//! Follows: the kernel's estimator: what is reported is the snapshot of the last tick, less what a zeroing took off.

pub(crate) mod estimator;

use core::ops::{AddAssign, Sub, SubAssign};

/// What is counted of a server, a service or the whole director. Bytes are those of IP packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Packets to clients, of those that pass through the director.
    pub out_packets: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Bytes to clients.
    pub out_bytes: u64,
}

impl Counters {
    #[inline]
    pub(crate) const fn count_in(&mut self, bytes: usize) {
        self.in_packets = self.in_packets.wrapping_add(1);
        self.in_bytes = self.in_bytes.wrapping_add(bytes as u64);
    }

    #[inline]
    pub(crate) const fn count_out(&mut self, bytes: usize) {
        self.out_packets = self.out_packets.wrapping_add(1);
        self.out_bytes = self.out_bytes.wrapping_add(bytes as u64);
    }

    /// In the order of listings.
    pub(crate) const fn row(self) -> [u64; 5] {
        [self.connections, self.in_packets, self.out_packets, self.in_bytes, self.out_bytes]
    }

    const fn from_array([connections, in_packets, out_packets, in_bytes, out_bytes]: [u64; 5]) -> Self {
        Self { connections, in_packets, out_packets, in_bytes, out_bytes }
    }

    fn zip(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        let (a, b) = (self.row(), other.row());
        Self::from_array(core::array::from_fn(|i| with(a[i], b[i])))
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        *self = self.zip(other, u64::wrapping_add);
    }
}

impl SubAssign for Counters {
    fn sub_assign(&mut self, other: Self) {
        *self = self.zip(other, u64::wrapping_sub);
    }
}

impl Sub for Counters {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.zip(other, u64::wrapping_sub)
    }
}

impl core::iter::Sum for Counters {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |mut sum, part| {
            sum += part;
            sum
        })
    }
}

/// The same per second, as the estimator sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Connections per second.
    pub connections: u64,
    /// Packets from clients per second.
    pub in_packets: u64,
    /// Packets to clients per second.
    pub out_packets: u64,
    /// Bytes from clients per second.
    pub in_bytes: u64,
    /// Bytes to clients per second.
    pub out_bytes: u64,
}

impl Rates {
    /// In the order of listings.
    pub(crate) const fn row(self) -> [u64; 5] {
        [self.connections, self.in_packets, self.out_packets, self.in_bytes, self.out_bytes]
    }
}
