//! What there is to show of a director at one moment: plain values, filled by the director, written by `save`,
//! `listing` and `proc`.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::command::DaemonRole;
use crate::conn::ConnId;
use crate::director::ServerState;
use crate::service::{ServerId, ServerSpec, ServiceId, ServiceSpec};
use crate::stats::{Counters, Rates};
use crate::time::Instant;

/// A service and its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// Its id.
    pub id: ServiceId,
    /// The service as it was described last.
    pub spec: ServiceSpec,
    /// Counters of the service, those of servers that have left it included, as of the latest two-second tick.
    pub stats: Counters,
    /// Rates of the service.
    pub rates: Rates,
    /// The servers in list order: the newest first.
    pub servers: Vec<ServerView>,
}

#[cfg(test)]
impl ServiceView {
    /// A service that has seen no packet, with servers in list order.
    #[must_use]
    pub(crate) fn new(spec: ServiceSpec, servers: Vec<ServerView>) -> Self {
        let id = ServiceId { slot: 0, generation: 0 };
        Self { id, spec, stats: Counters::default(), rates: Rates::default(), servers }
    }
}

/// A real server of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerView {
    /// Its id.
    pub id: ServerId,
    /// The server as it was described last.
    pub spec: ServerSpec,
    /// Connections in an active state.
    pub active: u32,
    /// Connections that are not active.
    pub inactive: u32,
    /// Persistence templates.
    pub persistent: u32,
    /// Whether it is in service, being drained, or removed.
    pub state: ServerState,
    /// Counters of the server, as of the latest two-second tick.
    pub stats: Counters,
    /// Rates of the server.
    pub rates: Rates,
}

#[cfg(test)]
impl ServerView {
    /// A server that has seen no packet.
    #[must_use]
    pub(crate) fn new(spec: ServerSpec) -> Self {
        let (stats, rates) = (Counters::default(), Rates::default());
        let id = ServerId { slot: 0, generation: 0 };
        Self { id, spec, active: 0, inactive: 0, persistent: 0, state: ServerState::Active, stats, rates }
    }
}

/// A connection, or a persistence template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionView {
    /// Its id.
    pub id: ConnId,
    /// The id of its real server.
    pub server_id: Option<ServerId>,
    /// The IP protocol number; 0 for a template that holds for every protocol of a firewall mark.
    pub protocol: u8,
    /// The client; of a template, its network and port 0.
    pub client: SocketAddr,
    /// The virtual address. For protocol 0 the kernel keeps the firewall mark there, as the first four bytes of an
    /// address of the client's family, most significant first: mark 5 is 0.0.0.5, or 0:5::.
    pub target: SocketAddr,
    /// The real server.
    pub server: SocketAddr,
    /// The protocol's state by its kernel name, such as `ESTABLISHED`.
    pub state: &'static str,
    /// Whole seconds until it expires.
    pub expires_seconds: u64,
    /// When it expires, unless a packet comes.
    pub expires: Instant,
    /// How long it lives after each packet.
    pub timeout: Duration,
    /// What the persistence engine keeps with it.
    pub engine: Option<EngineView>,
    /// True for a persistence template.
    pub is_template: bool,
    /// True if synchronisation brought it.
    pub synced: bool,
}

#[cfg(test)]
impl ConnectionView {
    /// A connection without time and engine.
    #[must_use]
    pub(crate) const fn new(
        protocol: u8,
        client: SocketAddr,
        target: SocketAddr,
        server: SocketAddr,
        state: &'static str,
    ) -> Self {
        let (expires, timeout) = (Instant::ZERO, Duration::ZERO);
        let (id, server_id) = (ConnId { slot: 0, generation: 0 }, None);
        Self {
            id,
            server_id,
            protocol,
            client,
            target,
            server,
            state,
            expires_seconds: 0,
            expires,
            timeout,
            engine: None,
            is_template: false,
            synced: false,
        }
    }
}

/// What a persistence engine keeps with a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineView {
    /// The engine's name, such as `sip`.
    pub name: String,
    /// Its data, such as a Call-ID. Bytes above 127 stand as the characters that they are in ISO 8859-1.
    pub data: String,
}

/// The three timeouts that `--set` changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutsView {
    /// Of an established TCP connection.
    pub tcp: Duration,
    /// Of a TCP connection after a FIN.
    pub tcp_fin: Duration,
    /// Of a UDP flow.
    pub udp: Duration,
}

/// A synchronisation daemon that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonView {
    /// Master or backup.
    pub role: DaemonRole,
    /// The interface for multicast.
    pub interface: String,
    /// The sync id.
    pub sync_id: u8,
    /// Longest message in bytes.
    pub max_len: u16,
    /// Multicast group.
    pub group: IpAddr,
    /// UDP port.
    pub port: u16,
    /// Time to live.
    pub ttl: u8,
}
