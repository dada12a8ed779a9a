//! What a user says about a service or a server: plain values, checked when they are applied.

use alloc::string::String;
use core::fmt;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use super::key::ServiceKey;
use crate::addr::Family;
use crate::flow::Protocol;

/// A virtual service, as `ipvsadm -A` describes it.
///
/// ```
/// use core::time::Duration;
/// use lvs_core::ServiceSpec;
///
/// let web = ServiceSpec::tcp("192.0.2.10:80".parse()?).scheduler("rr").persistent(Duration::from_secs(300));
/// assert_eq!(web.scheduler, "rr");
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSpec {
    /// What identifies the service.
    pub key: ServiceKey,
    /// The scheduler's name (`wlc` by default); `none` for no scheduling at all.
    pub scheduler: String,
    /// Flags that `sh` and `mh` read.
    pub flags: SchedulerFlags,
    /// One-packet scheduling: every UDP packet is scheduled anew, no connection is kept.
    pub one_packet: bool,
    /// Persistence, if wanted.
    pub persistence: Option<Persistence>,
    /// Bits of the client address that count for persistence. `None` for all of them. Kept apart from
    /// [`persistence`](Self::persistence) since `ipvsadm` takes a mask without it.
    pub netmask: Option<Netmask>,
    /// The persistence engine's name, if one is wanted (`sip`).
    pub engine: Option<String>,
}

impl ServiceSpec {
    /// A service with the defaults of `ipvsadm`: scheduler `wlc`, no persistence.
    #[must_use]
    pub fn new(key: ServiceKey) -> Self {
        Self {
            key,
            scheduler: String::from("wlc"),
            flags: SchedulerFlags::NONE,
            one_packet: false,
            persistence: None,
            netmask: None,
            engine: None,
        }
    }

    /// A TCP service.
    #[must_use]
    pub fn tcp(address: SocketAddr) -> Self {
        Self::new(ServiceKey::address(Protocol::Tcp, address))
    }

    /// A UDP service.
    #[must_use]
    pub fn udp(address: SocketAddr) -> Self {
        Self::new(ServiceKey::address(Protocol::Udp, address))
    }

    /// A firewall-mark service.
    #[must_use]
    pub fn mark(mark: u32, family: Family) -> Self {
        Self::new(ServiceKey::mark(mark, family))
    }

    /// The same service with another scheduler.
    #[must_use]
    pub fn scheduler(mut self, name: &str) -> Self {
        self.scheduler = String::from(name);
        self
    }

    /// The same service with scheduler flags.
    #[must_use]
    pub const fn flags(mut self, flags: SchedulerFlags) -> Self {
        self.flags = flags;
        self
    }

    /// The same service with persistence.
    #[must_use]
    pub const fn persistent(mut self, timeout: Duration) -> Self {
        self.persistence = Some(Persistence { timeout });
        self
    }

    /// The same service with one-packet scheduling.
    #[must_use]
    pub const fn one_packet(mut self) -> Self {
        self.one_packet = true;
        self
    }
}

/// How long a client stays with its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// How long a template lives after the last new connection under it, in whole seconds from 1 s to 31 days.
    pub timeout: Duration,
}

impl Persistence {
    /// What `-p` without a number means: 360 seconds.
    pub const DEFAULT: Self = Self { timeout: Duration::from_secs(360) };
}

/// The part of a client's address that counts for persistence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Netmask {
    /// Any IPv4 bit pattern, though a prefix such as 255.255.255.0 is usual.
    V4(Ipv4Addr),
    /// An IPv6 prefix length from 1 to 128.
    V6(u8),
}

/// Scheduler flags of a service (`ipvsadm -b`). Only `sh` and `mh` read them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SchedulerFlags(u8);

impl SchedulerFlags {
    /// None at all.
    pub const NONE: Self = Self(0);
    /// `sh-fallback`, `mh-fallback`, `flag-1`: try other servers when the hashed one cannot take the connection.
    pub const FALLBACK: Self = Self(0x08);
    /// `sh-port`, `mh-port`, `flag-2`: hash the client's port too.
    pub const PORT: Self = Self(0x10);
    /// `flag-3`: kept and shown, read by no scheduler.
    pub const THIRD: Self = Self(0x20);

    /// Both sets of flags.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if no flag is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// How packets reach a real server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// Network address translation ("masquerading", `-m`).
    Nat,
    /// Direct routing ("gatewaying", `-g`): unchanged, to the server's link-layer address.
    #[default]
    Dr,
    /// Encapsulated to the server (`-i`).
    Tun,
}

impl Method {
    /// The word in listings: `Masq`, `Route`, `Tunnel`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nat => "Masq",
            Self::Dr => "Route",
            Self::Tun => "Tunnel",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a tunnelled packet is wrapped in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tunnel {
    /// IP in IP (RFC 2003, RFC 2473): an outer IP header and nothing else.
    #[default]
    Ipip,
    /// Generic UDP encapsulation.
    Gue {
        /// UDP port of the server.
        port: u16,
        /// What is protected by a checksum.
        checksum: GueChecksum,
    },
    /// Generic routing encapsulation (RFC 2784).
    Gre {
        /// Whether the GRE header carries a checksum.
        checksum: bool,
    },
}

/// Checksums of generic UDP encapsulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GueChecksum {
    /// No UDP checksum (`--tun-nocsum`).
    #[default]
    None,
    /// A UDP checksum (`--tun-csum`).
    Csum,
    /// Remote checksum offload (`--tun-remcsum`).
    Remcsum,
}

/// A real server of a service, as `ipvsadm -a` describes it.
///
/// ```
/// use lvs_core::ServerSpec;
///
/// let server = ServerSpec::nat("10.0.0.101:8080".parse()?).weight(2).thresholds(100, 80);
/// assert_eq!((server.weight, server.upper), (2, 100));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerSpec {
    /// Address and port. Port 0 keeps the port that packets come for.
    pub address: SocketAddr,
    /// How packets reach it.
    pub method: Method,
    /// What tunnelled packets are wrapped in; without meaning for other methods.
    pub tunnel: Tunnel,
    /// Share of new connections, 0 to 2147483647; 0 for none (quiesced).
    pub weight: u32,
    /// Upper threshold: at so many connections no new one is scheduled. 0 for no limit.
    pub upper: u32,
    /// Lower threshold: below so many connections an overloaded server takes new ones again. 0 for three quarters of
    /// the upper one.
    pub lower: u32,
}

impl ServerSpec {
    /// A server of weight 1 without thresholds.
    #[must_use]
    pub const fn new(address: SocketAddr, method: Method) -> Self {
        Self { address, method, tunnel: Tunnel::Ipip, weight: 1, upper: 0, lower: 0 }
    }

    /// A server reached by NAT.
    #[must_use]
    pub const fn nat(address: SocketAddr) -> Self {
        Self::new(address, Method::Nat)
    }

    /// A server reached by direct routing.
    #[must_use]
    pub const fn dr(address: SocketAddr) -> Self {
        Self::new(address, Method::Dr)
    }

    /// A server reached by an IP-in-IP tunnel.
    #[must_use]
    pub const fn tun(address: SocketAddr) -> Self {
        Self::new(address, Method::Tun)
    }

    /// The same server with another weight.
    #[must_use]
    pub const fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// The same server with thresholds.
    #[must_use]
    pub const fn thresholds(mut self, upper: u32, lower: u32) -> Self {
        (self.upper, self.lower) = (upper, lower);
        self
    }

    /// The same server with another kind of tunnel.
    #[must_use]
    pub const fn tunnel(mut self, tunnel: Tunnel) -> Self {
        self.tunnel = tunnel;
        self
    }
}
