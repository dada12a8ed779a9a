//! How services and servers are named: by what packets show, and by id.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use crate::addr::Family;
use crate::flow::Protocol;

/// Where FTP services listen, and where their active data connections come from.
pub(crate) const FTP_PORT: u16 = 21;
pub(crate) const FTP_DATA_PORT: u16 = 20;

/// What identifies a virtual service.
///
/// ```
/// use lvs_core::{Protocol, ServiceKey};
///
/// let key = ServiceKey::address(Protocol::Tcp, "192.0.2.10:80".parse()?);
/// assert_eq!(key.to_string(), "TCP 192.0.2.10:80");
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKey {
    /// A protocol, an address and a port; port 0 stands for every port.
    Address {
        /// The transport protocol.
        protocol: Protocol,
        /// The virtual address and port.
        address: SocketAddr,
    },
    /// A firewall mark: every packet that carries it, whatever its protocol, address and port.
    Mark {
        /// The mark, never 0.
        mark: u32,
        /// The family of the packets.
        family: Family,
    },
}

impl ServiceKey {
    /// The service of an address and port.
    #[must_use]
    pub const fn address(protocol: Protocol, address: SocketAddr) -> Self {
        Self::Address { protocol, address }
    }

    /// The service of a firewall mark.
    #[must_use]
    pub const fn mark(mark: u32, family: Family) -> Self {
        Self::Mark { mark, family }
    }

    /// The family of the packets that the service takes.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Address { address, .. } => Family::of(address.ip()),
            Self::Mark { family, .. } => *family,
        }
    }

    /// The port: 0 for firewall marks and for "every port".
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self {
            Self::Address { address, .. } => address.port(),
            Self::Mark { .. } => 0,
        }
    }

    /// The virtual address, if the service has one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Address { address, .. } => Some(address.ip()),
            Self::Mark { .. } => None,
        }
    }

    /// True for a firewall-mark service.
    #[must_use]
    pub const fn is_mark(&self) -> bool {
        matches!(self, Self::Mark { .. })
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { protocol, address } => write!(f, "{protocol} {address}"),
            Self::Mark { mark, family: Family::V4 } => write!(f, "FWM {mark}"),
            Self::Mark { mark, family: Family::V6 } => write!(f, "FWM {mark} IPv6"),
        }
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)+) => { $(
        $(#[$doc])*
        ///
        /// An id stays valid until what it names is removed; after that it finds nothing, even if a new one takes its
        /// place.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name { pub(crate) slot: u32, pub(crate) generation: u32 }

        impl $name {
            /// The id of these two numbers, as [`index`](Self::index) and [`generation`](Self::generation) told them.
            /// Others find nothing.
            #[must_use]
            pub const fn from_parts(index: u32, generation: u32) -> Self { Self { slot: index, generation } }

            /// The place in its table: small, dense, reused after removal. Good as an array index beside the director.
            #[must_use]
            pub const fn index(self) -> usize { self.slot as usize }

            /// How often the place was taken before: two things of one index differ in it.
            #[must_use]
            pub const fn generation(self) -> u32 { self.generation }
        }
    )+ };
}

ids! {
    /// Names a virtual service of one director.
    ServiceId;
    /// Names a real server of one service of one director.
    ServerId;
}
