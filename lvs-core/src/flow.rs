//! What identifies a flow: protocol, two addresses, two ports.

use core::fmt;
use core::net::SocketAddr;

use crate::addr::{Addr, Family};

/// The protocols that IPVS balances, by their IP protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// Transmission Control Protocol (RFC 9293).
    Tcp = 6,
    /// User Datagram Protocol (RFC 768).
    Udp = 17,
    /// Stream Control Transmission Protocol (RFC 9260).
    Sctp = 132,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// The protocol with an IP protocol number, if IPVS balances it.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            132 => Some(Self::Sctp),
            _ => None,
        }
    }

    /// The IP protocol number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name in listings: `TCP`, `UDP`, `SCTP`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One direction of a flow, as a packet shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// IP protocol number (RFC 5237): 6 for TCP, 17 for UDP.
    pub protocol: u8,
    /// Where the packet comes from.
    pub source: SocketAddr,
    /// Where it is going.
    pub destination: SocketAddr,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Protocol::from_number(self.protocol) {
            Some(protocol) => write!(f, "{protocol} {} -> {}", self.source, self.destination),
            None => write!(f, "protocol {} {} -> {}", self.protocol, self.source, self.destination),
        }
    }
}

/// The same as the tables compare it: addresses as words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) family: Family,
    pub(crate) protocol: u8,
    pub(crate) source: Addr,
    pub(crate) destination: Addr,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
}

impl Tuple {
    /// The other direction.
    pub(crate) const fn reversed(&self) -> Self {
        Self {
            family: self.family,
            protocol: self.protocol,
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }

    pub(crate) fn flow(&self) -> Flow {
        Flow {
            protocol: self.protocol,
            source: SocketAddr::new(self.source.to_ip(self.family), self.source_port),
            destination: SocketAddr::new(self.destination.to_ip(self.family), self.destination_port),
        }
    }
}
