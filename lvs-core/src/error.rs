//! Why the control plane refuses: one small error per kind of operation, and where in a text it went wrong.

use alloc::string::String;
use core::fmt;
use core::net::SocketAddr;

use crate::service::ServiceKey;

/// Why a change to services, servers or settings was refused. Nothing was changed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControlError {
    /// A service with this key exists already.
    ServiceExists,
    /// No service has this key.
    NoSuchService,
    /// No scheduler has this name.
    NoSuchScheduler,
    /// No persistence engine has this name.
    NoSuchEngine,
    /// The service has a server of this address and port already.
    ServerExists,
    /// The service has no server of this address and port.
    NoSuchServer,
    /// A server of another family than its service can only be reached through a tunnel.
    FamilyNeedsTunnel,
    /// A scheduler of one's own needs a name of 1 to 15 printable ASCII characters that is one word in a rule.
    SchedulerName,
    /// The weight is above 2147483647.
    WeightRange,
    /// The lower threshold is above the upper one, or the upper one above 2147483647.
    ThresholdRange,
    /// The address cannot be a real server's: unspecified, multicast, broadcast, or IPv6 link-local.
    AddressNotUnicast,
    /// The IPv6 prefix length for persistence is not within 1 to 128, or the mask is of the other family.
    NetmaskRange,
    /// A firewall mark of 0 means "no mark".
    MarkZero,
    /// A GUE tunnel needs a UDP port.
    TunnelPort,
    /// More servers than the scheduler's table has places.
    TooManyServers,
    /// No room for another service or server.
    Full,
    /// A timeout is out of range.
    TimeoutRange,
    /// A share is not within 1 to 100 percent.
    ShareRange,
    /// No state of a connection has this name.
    NoSuchState,
    /// No tunable has this name.
    NoSuchTunable,
    /// The tunable does not take this value.
    TunableRange,
    /// A synchronisation daemon of this role runs already.
    DaemonRuns,
    /// No synchronisation daemon of this role runs.
    NoDaemon,
    /// Synchronisation cannot tell of servers of another family than their service: such servers and daemons exclude
    /// each other.
    MixedFamilies,
    /// The group of a synchronisation daemon is no multicast address.
    GroupNotMulticast,
    /// There is not so much memory.
    OutOfMemory,
    /// A port is named twice.
    PortTwice,
    /// A helper has at most eight ports.
    TooManyPorts,
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServiceExists => "service already exists: edit it, or remove it first",
            Self::NoSuchService => "no such service: add it first",
            Self::NoSuchScheduler => "no such scheduler",
            Self::NoSuchEngine => "no such persistence engine",
            Self::ServerExists => "server already exists in this service: edit it, or remove it first",
            Self::NoSuchServer => "no such server in this service",
            Self::FamilyNeedsTunnel => "a server of another address family needs the tunnel method",
            Self::SchedulerName => "a scheduler's name is one word of 1 to 15 printable characters",
            Self::WeightRange => "weight out of range: 0 to 2147483647",
            Self::ThresholdRange => "threshold out of range: lower <= upper <= 2147483647",
            Self::AddressNotUnicast => "server address is not unicast",
            Self::NetmaskRange => "netmask out of range: an IPv4 mask, or an IPv6 prefix length of 1 to 128",
            Self::MarkZero => "firewall mark must not be 0",
            Self::TunnelPort => "a GUE tunnel needs a port",
            Self::TooManyServers => "more servers than the scheduler's table has places",
            Self::Full => "no room for another service or server",
            Self::TimeoutRange => "timeout out of range",
            Self::ShareRange => "share out of range: 1 to 100 percent",
            Self::NoSuchState => {
                "no such state: expected ESTABLISHED, SYN_SENT, SYN_RECV, FIN_WAIT, TIME_WAIT, CLOSE, CLOSE_WAIT, \
                 LAST_ACK, LISTEN, SYNACK, UDP, INIT1, INIT, C-SENT, C-REPLIED, C-WAIT, COOKIE, C-ECHOED, S-SENT, \
                 S-RECEIVED, S-ACK-SENT, REJECTED, CLOSED or NONE"
            }
            Self::NoSuchTunable => "no such tunable",
            Self::TunableRange => "value out of range for this tunable",
            Self::DaemonRuns => "a synchronisation daemon of this role runs already: stop it first",
            Self::NoDaemon => "no synchronisation daemon of this role runs",
            Self::MixedFamilies => {
                "a server of another address family than its service and synchronisation exclude each other"
            }
            Self::GroupNotMulticast => "the group is not a multicast address",
            Self::OutOfMemory => "not enough memory",
            Self::PortTwice => "a port is named twice",
            Self::TooManyPorts => "a helper has at most eight ports",
        })
    }
}

impl core::error::Error for ControlError {}

/// Why a wanted configuration was refused, and which part of it. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplyError {
    /// The service.
    pub service: ServiceKey,
    /// Its server, if that is to blame.
    pub server: Option<SocketAddr>,
    /// Why.
    pub error: ControlError,
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.server {
            Some(server) => write!(f, "service {}, server {server}: {}", self.service, self.error),
            None => write!(f, "service {}: {}", self.service, self.error),
        }
    }
}

impl core::error::Error for ApplyError {}

/// Why a line of rules was refused, and where. Nothing of the line was applied.
///
/// ```
/// use lvs_core::{Config, Director};
///
/// let mut director = Director::new(Config::with_seed(7))?;
/// let error = director.run("-A -t 192.0.2.10:80 -s fastest").unwrap_err();
/// assert_eq!((error.line, error.column, error.word.as_str()), (1, 24, "fastest"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The line, from 1.
    pub line: u32,
    /// The column where the word starts, in characters from 1; one past the end of the line if a word is missing.
    pub column: u32,
    /// The word that is wrong; empty if one is missing.
    pub word: String,
    /// What was expected there, or why the word cannot be had.
    pub expected: String,
    /// The refusal by the control plane behind it, if the line itself was well formed.
    pub control: Option<ControlError>,
    /// What `ipvsadm` exits with: 2 for what it refuses itself, 255 for what the kernel refuses, an option that does not
    /// exist or a value that is missing, 1 for a listing of a service that does not exist.
    pub exit_status: u8,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        if self.word.is_empty() {
            write!(f, "the line ends; expected {}", self.expected)
        } else if self.control.is_some() {
            write!(f, "`{}`: {}", self.word, self.expected)
        } else {
            write!(f, "`{}`: expected {}", self.word, self.expected)
        }
    }
}

impl core::error::Error for RuleError {}

/// Why a director could not be built.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfigError {
    /// Room for no connection at all.
    NoConnections,
    /// Room for more connections than slots can number (2^31).
    TooManyConnections,
    /// There is not so much memory.
    OutOfMemory,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoConnections => "the connection table needs room for at least one connection",
            Self::TooManyConnections => "the connection table cannot hold more than 2^31 connections",
            Self::OutOfMemory => "not enough memory for a connection table of that size",
        })
    }
}

impl core::error::Error for ConfigError {}
