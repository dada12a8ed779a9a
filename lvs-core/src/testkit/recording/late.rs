//! Connections that a kernel still shows although their time is over.
//!
//! The kernel's timers fire late: a timer of so many ticks fires on the next multiple of 1, 8, 64, 512 … ticks after it
//! is due, counted from the kernel's boot, which no recording tells. The library ends a connection at its very deadline;
//! so within that window, and only there, a listing of the kernel may have what ours has not.

use std::collections::BTreeMap;
use std::format;
use std::net::{IpAddr, SocketAddr};
use std::string::{String, ToString};
use std::time::Duration;
use std::vec::Vec;

use super::listing::{Compared, same_text};
use crate::{ConnectionView, Director, Instant, Protocol};

/// What identifies a connection while it exists: templates of an engine differ in what it keeps alone.
type Key = (u8, SocketAddr, SocketAddr, SocketAddr, Option<String>);

/// The connections whose deadline has passed, and that the kernel may still have.
#[derive(Debug, Default)]
pub(super) struct Late {
    known: BTreeMap<Key, ConnectionView>,
    late: Vec<(ConnectionView, Instant)>,
}

const TICK: Duration = Duration::from_millis(4);

/// How much later than its deadline the kernel may end a connection.
fn window(timeout: Duration) -> Duration {
    let ticks = timeout.as_nanos() / TICK.as_nanos();
    let level = (0..8).find(|level| ticks < 63 << (3 * level)).unwrap_or(8);
    TICK * ((1 << (3 * level)) + 1)
}

fn key(view: &ConnectionView) -> Key {
    let kept = view.engine.as_ref().map(|engine| engine.data.clone());
    (view.protocol, view.client, view.target, view.server, kept)
}

impl Late {
    /// Looks at the connections after time has passed and before anything else happens.
    pub(super) fn passed(&mut self, director: &Director, now: Instant) {
        let current: BTreeMap<Key, ConnectionView> = director.connections().map(|view| (key(&view), view)).collect();
        for view in self.known.values() {
            if view.expires <= now && !current.contains_key(&key(view)) {
                self.late.push((view.clone(), view.expires + window(view.timeout)));
            }
        }
        self.late.retain(|(view, until)| *until >= now && !current.contains_key(&key(view)));
        self.known = current;
    }

    /// Takes note of the connections after a step.
    pub(super) fn note(&mut self, director: &Director) {
        self.known = director.connections().map(|view| (key(&view), view)).collect();
    }

    /// These connections as `/proc/net/ip_vs_conn` shows them, or `ip_vs_conn_sync` with where they come from, without the
    /// seconds left and with single blanks.
    pub(super) fn rows(&self, with_origin: bool) -> Vec<String> {
        let row = |view: &ConnectionView| {
            let ends = [view.client, view.target, view.server].map(end).join(" ");
            let origin = match (with_origin, view.synced) {
                (false, _) => "",
                (true, false) => " LOCAL",
                (true, true) => " SYNC",
            };
            format!("{} {ends} {}{origin}", protocol_name(view.protocol), view.state)
        };
        self.late.iter().map(|(view, _)| row(view)).collect()
    }

    /// Service listings that are equal, but for counts of connections that the kernel may still have.
    pub(super) fn same_listing(&self, expected: &str, got: &str) -> Compared {
        if self.late.is_empty() || expected.lines().count() != got.lines().count() {
            return same_text(expected, got);
        }
        let explained = expected.lines().zip(got.lines()).all(|(e, g)| e == g || self.explains(e, g));
        if explained { Ok(()) } else { same_text(expected, got) }
    }

    /// Is the recorded line of a server ours with some of the late connections added?
    fn explains(&self, expected: &str, got: &str) -> bool {
        let columns = |line: &str| line.split_whitespace().map(ToString::to_string).collect::<Vec<String>>();
        let (expected, got) = (columns(expected), columns(got));
        let (Some(server), Some(split)) = (got.get(1), got.len().checked_sub(2)) else { return false };
        if expected.len() != got.len() || expected[..split] != got[..split] {
            return false;
        }
        let late = self.late.iter().filter(|(view, _)| format!("{}", view.server) == *server).count();
        let more = |column: usize| {
            let (e, g) = (expected[column].parse::<usize>().ok()?, got[column].parse::<usize>().ok()?);
            e.checked_sub(g)
        };
        matches!((more(split), more(split + 1)), (Some(active), Some(inactive)) if active + inactive <= late)
    }
}

fn protocol_name(number: u8) -> String {
    match Protocol::from_number(number) {
        Some(protocol) => protocol.name().to_string(),
        None if number == 0 => "IP".to_string(),
        None => format!("IP_{number}"),
    }
}

/// An endpoint in hexadecimal digits: `0A000001 0050`.
fn end(endpoint: SocketAddr) -> String {
    let port = endpoint.port();
    match endpoint.ip() {
        IpAddr::V4(address) => format!("{:08X} {port:04X}", address.to_bits()),
        IpAddr::V6(address) => {
            let groups: Vec<String> = address.segments().iter().map(|group| format!("{group:04x}")).collect();
            format!("{} {port:04X}", groups.join(":"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_those_of_the_kernels_wheel() {
        let ticks = |n: u32| TICK * n;
        assert_eq!(window(ticks(62)), ticks(2));
        assert_eq!(window(ticks(2500)), ticks(65));
        assert_eq!(window(ticks(4032)), ticks(513));
        assert_eq!(window(ticks(32256)), ticks(4097));
    }
}
