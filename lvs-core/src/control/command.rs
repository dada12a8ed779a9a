//! One `ipvsadm` line as a value: what the reader makes of it, and what the director carries out.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use alloc::string::String;

use crate::service::{ServerSpec, ServiceKey, ServiceSpec};

/// A command of `ipvsadm`.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `-A`: add a service.
    AddService(ServiceSpec),
    /// `-E`: change a service.
    EditService(ServiceSpec),
    /// `-D`: delete a service.
    RemoveService(ServiceKey),
    /// `-C`: delete all services.
    Clear,
    /// `-a`: add a server.
    AddServer(ServiceKey, ServerSpec),
    /// `-e`: change a server.
    EditServer(ServiceKey, ServerSpec),
    /// `-d`: delete a server.
    RemoveServer(ServiceKey, SocketAddr),
    /// `-R`: read more rules; here the rules that follow in the same text.
    Restore,
    /// `-S`: write the rules.
    Save,
    /// `-L`: list.
    List(Listing),
    /// `-Z`: set counters to zero, of one service or of all.
    Zero(Option<ServiceKey>),
    /// `--set`: change timeouts; zero leaves one as it is.
    SetTimeouts {
        /// Of an established TCP connection.
        tcp: Duration,
        /// Of a TCP connection after a FIN.
        tcp_fin: Duration,
        /// Of a UDP flow.
        udp: Duration,
    },
    /// `--start-daemon`: begin synchronising connections.
    StartDaemon(DaemonSpec),
    /// `--stop-daemon`: stop it.
    StopDaemon(DaemonRole),
    /// `-h`: the options.
    Help,
    /// `-v`: the version.
    Version,
}

/// What `-L` shows and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// What is listed.
    pub content: Content,
    /// Only this service.
    pub service: Option<ServiceKey>,
    /// The columns of a service listing.
    pub columns: Columns,
    /// Counters in full instead of rounded to K, M, G, T (`--exact`).
    pub exact: bool,
    /// In the order of the tables instead of sorted (`--nosort`).
    pub unsorted: bool,
    /// With persistence engine columns in a connection listing (`-c --persistent-conn`).
    pub engine_columns: bool,
}

/// What a listing is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Services and their servers.
    #[default]
    Services,
    /// Connections (`-c`).
    Connections,
    /// The three timeouts that `--set` changes (`--timeout`).
    Timeouts,
    /// The synchronisation daemons (`--daemon`).
    Daemons,
}

/// The columns of a service listing. Of several asked for, `ipvsadm` takes the first in this order: statistics,
/// rates, thresholds, persistent connections, tunnels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Columns {
    /// Method, weight, active and inactive connections.
    #[default]
    Plain,
    /// Counters (`--stats`).
    Stats,
    /// Rates (`--rate`).
    Rate,
    /// Thresholds (`--thresholds`).
    Thresholds,
    /// Persistence templates (`--persistent-conn`).
    Persistent,
    /// Tunnel kinds (`--tun-info`).
    Tunnel,
}

/// The role of a synchronisation daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DaemonRole {
    /// Sends its connections.
    Master,
    /// Receives them.
    Backup,
}

/// A synchronisation daemon, as `--start-daemon` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonSpec {
    /// Master or backup.
    pub role: DaemonRole,
    /// The interface for multicast (`eth0` by default). The library has none: this is for listings, and for the program
    /// that sends and receives.
    pub interface: String,
    /// 0 to 255; a backup of id 0 takes messages of every id.
    pub sync_id: u8,
    /// Longest message in bytes, if given.
    pub max_len: Option<u16>,
    /// Multicast group, if given.
    pub group: Option<IpAddr>,
    /// UDP port, if given.
    pub port: Option<u16>,
    /// Time to live, if given.
    pub ttl: Option<u8>,
}

impl DaemonSpec {
    /// A daemon with what `ipvsadm` takes if nothing is given.
    #[must_use]
    pub fn new(role: DaemonRole) -> Self {
        let interface = String::from("eth0");
        Self { role, interface, sync_id: 0, max_len: None, group: None, port: None, ttl: None }
    }
}
