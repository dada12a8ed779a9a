//! What state a flow is in: one table per protocol, looked up and never reasoned about.

pub(crate) mod sctp;
mod states;
pub(crate) mod tcp;
pub(crate) mod udp;

pub use states::{FlowState, SctpState, TcpState};

use crate::conn::entry::Entry;
use crate::flow::Protocol;

/// Where a packet comes from, as the tables see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Input {
    /// From the client.
    Client = 0,
    /// From the server.
    Server = 1,
    /// From the client, and no packet of the server was ever seen (direct routing, tunnels).
    ClientOnly = 2,
}

/// The name of a connection's state in listings.
pub(crate) fn state_name(entry: &Entry) -> &'static str {
    if entry.is_template() {
        return if entry.is_assured() { "ASSURED" } else { "NONE" };
    }
    match Protocol::from_number(entry.protocol()) {
        Some(Protocol::Tcp) => tcp::name(entry.state),
        Some(Protocol::Udp) => udp::NAME,
        Some(Protocol::Sctp) => sctp::name(entry.state),
        None => "ERR!",
    }
}
