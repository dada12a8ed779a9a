//! A connection moves on: its state, its time, the counts that follow from both.

use crate::conn::entry::{Entry, Flags, Side};
use crate::conn::id::NONE;
use crate::flow::Protocol;
use crate::proto::{Input, sctp, tcp};
use crate::service::server::Servers;
use crate::timer::Timeouts;
use crate::wire::packet::Packet;
use crate::wire::parse::{Parsed, Shape};
use crate::wire::transport;

/// What a state change means for the template above a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    Completed,
    Nothing,
}

/// Takes a packet into account: state, timeout, the active count of the server.
#[inline(always)]
pub(super) fn track(
    entry: &mut Entry,
    side: Side,
    parsed: &Parsed,
    packet: &Packet<'_>,
    timeouts: &Timeouts,
    secure: bool,
    servers: &mut Servers,
) -> Handshake {
    match Protocol::from_number(entry.protocol()) {
        Some(Protocol::Tcp) => {
            if parsed.shape < Shape::Whole {
                return Handshake::Nothing;
            }
            let input = input(entry, side);
            let state = tcp::next(entry.state, input, parsed.tcp_flags, secure);
            entry.timeout_ms = timeouts.tcp_ms(state);
            if state == entry.state {
                return Handshake::Nothing;
            }
            change(entry, state, tcp::is_active(state), state == tcp::ESTABLISHED, servers)
        }
        Some(Protocol::Udp) => {
            entry.timeout_ms = timeouts.udp_ms();
            if side == Side::Server { Handshake::Completed } else { Handshake::Nothing }
        }
        Some(Protocol::Sctp) => track_sctp(entry, side, parsed, packet, timeouts, servers),
        None => Handshake::Nothing,
    }
}

#[inline(never)]
fn track_sctp(
    entry: &mut Entry,
    side: Side,
    parsed: &Parsed,
    packet: &Packet<'_>,
    timeouts: &Timeouts,
    servers: &mut Servers,
) -> Handshake {
    let chunks = packet.bytes().get(parsed.transport + transport::SCTP_LEN..parsed.len).unwrap_or_default();
    let Some(event) = sctp::Event::of(chunks) else { return Handshake::Nothing };
    let input = input(entry, side);
    let state = sctp::next(entry.state, input, event);
    entry.timeout_ms = timeouts.sctp_ms(state);
    if state == entry.state {
        return Handshake::Nothing;
    }
    let established = state == sctp::ESTABLISHED;
    change(entry, state, established, established, servers)
}

/// The state that a client's TCP segment would bring a connection to.
#[cold]
pub(super) fn state_after(entry: &Entry, parsed: &Parsed, secure: bool) -> u8 {
    let half = entry.flags.contains(Flags::NO_OUTPUT);
    tcp::next(entry.state, if half { Input::ClientOnly } else { Input::Client }, parsed.tcp_flags, secure)
}

/// Which table a packet is looked up in. The first packet of the server ends the half conversation.
#[inline]
fn input(entry: &mut Entry, side: Side) -> Input {
    match side {
        Side::Server => {
            entry.flags.clear(Flags::NO_OUTPUT);
            Input::Server
        }
        Side::Client if entry.flags.contains(Flags::NO_OUTPUT) => Input::ClientOnly,
        Side::Client => Input::Client,
    }
}

/// Another state: the server's active count may follow.
pub(super) fn change(
    entry: &mut Entry,
    state: u8,
    active: bool,
    established: bool,
    servers: &mut Servers,
) -> Handshake {
    entry.state = state;
    if entry.server != NONE {
        let live = servers.live_mut(entry.server);
        let counted = !entry.flags.contains(Flags::INACTIVE);
        if active && !counted {
            live.active += 1;
            entry.flags.clear(Flags::INACTIVE);
        } else if !active && counted {
            live.active = live.active.saturating_sub(1);
            entry.flags.set(Flags::INACTIVE);
        }
    }
    if established { Handshake::Completed } else { Handshake::Nothing }
}
