//! TCP and UDP headers (RFC 9293, RFC 768): offsets of what IPVS looks at and changes.

use crate::flow::Protocol;

pub(crate) const SOURCE_PORT: usize = 0;
pub(crate) const DESTINATION_PORT: usize = 2;

/// Shortest TCP header.
pub(crate) const TCP_MIN_LEN: usize = 20;
pub(crate) const TCP_FLAGS: usize = 13;
pub(crate) const TCP_CHECKSUM: usize = 16;

/// Length of a UDP header.
pub(crate) const UDP_LEN: usize = 8;
pub(crate) const UDP_CHECKSUM: usize = 6;

/// Length of the SCTP common header (RFC 9260); the first chunk follows.
pub(crate) const SCTP_LEN: usize = 12;

/// Bytes of the header that every packet of a protocol has, of those that are balanced.
#[inline(always)]
pub(crate) const fn fixed_len(protocol: u8) -> Option<usize> {
    match Protocol::from_number(protocol) {
        Some(Protocol::Tcp) => Some(TCP_MIN_LEN),
        Some(Protocol::Udp) => Some(UDP_LEN),
        Some(Protocol::Sctp) => Some(SCTP_LEN),
        None => None,
    }
}

/// TCP control bits as IPVS reads them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpFlags(pub(crate) u8);

impl TcpFlags {
    pub(crate) const RST: Self = Self(0x04);

    pub(crate) const fn fin(self) -> bool {
        self.0 & 0x01 != 0
    }
    pub(crate) const fn syn(self) -> bool {
        self.0 & 0x02 != 0
    }
    pub(crate) const fn rst(self) -> bool {
        self.0 & 0x04 != 0
    }
    pub(crate) const fn ack(self) -> bool {
        self.0 & 0x10 != 0
    }
}

/// Chunk types that open an association, and that end it at once.
pub(crate) const SCTP_INIT: u8 = 1;
pub(crate) const SCTP_ABORT: u8 = 6;
