//! Comparing what synchronisation masters send: the records of the whole recording, in order.
//!
//! When a message leaves is a matter of the kernel's threads, so messages are taken apart. Records that timers brought
//! about within two seconds may come in another order: the kernel's timers are late. With several ports there is an
//! order on each alone, and the kernel chooses them by an address in its memory: then the records are compared as a set.

use std::format;
use std::string::String;
use std::time::Duration;
use std::vec::Vec;

use super::listing::Compared;
use super::packet::{Fields, ICMPV6, UDP, to_hex};
use super::{Director, Frame};
use crate::{DaemonRole, DaemonView, Instant};

/// The group management of IPv4.
const IGMP: u8 = 2;
/// A kernel has no more synchronisation ports.
const PORTS: u16 = 64;
/// How far apart in time records of timers may be to be swapped.
const LATENESS: Duration = Duration::from_millis(2_100);

/// A record as it was sent: the version and the id of its message, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    version: u8,
    sync_id: u8,
    record: Vec<u8>,
}

/// What was sent by the kernel and by the library.
#[derive(Debug, Default)]
pub(super) struct Sync {
    master: Option<DaemonView>,
    backup: Option<DaemonView>,
    /// Whether more than one port was used.
    ports: bool,
    expected: Vec<Told>,
    got: Vec<Told>,
    /// For each record of ours, sent or not: when its timer fired, if one did.
    timers: Vec<Option<Instant>>,
    /// Our messages.
    messages: Vec<Vec<u8>>,
}

impl Sync {
    /// Takes note of the daemons after a step, and of how many records it brought about.
    pub(super) fn note(&mut self, director: &Director, timer: Option<Instant>) {
        let daemons = director.daemons();
        let running = |role: DaemonRole| daemons.iter().find(|daemon| daemon.role == role).cloned();
        self.backup = running(DaemonRole::Backup);
        match running(DaemonRole::Master) {
            Some(master) => {
                let known = self.timers.len() as u64 + director.sync_counts().records_abandoned;
                for _ in known..director.sync_counts().records_queued {
                    self.timers.push(timer);
                }
                self.master = Some(master);
            }
            // What was not sent by then never will be.
            None => self.timers.truncate(self.got.len()),
        }
    }

    pub(super) const fn has_master(&self) -> bool {
        self.master.is_some()
    }

    /// Takes what the library has to send.
    pub(super) fn collect(&mut self, director: &mut Director, now: Instant) {
        while let Some(message) = director.poll_sync(now) {
            let port = self.master.as_ref().map_or(message.port, |master| master.port);
            self.ports |= message.port != port;
            self.got.extend(records(message.bytes).unwrap_or_default());
            self.messages.push(message.bytes.into());
        }
    }

    /// The messages that the library has sent since they were taken last.
    pub(super) fn take_messages(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.messages)
    }

    /// Takes what the kernel sent to its group out of a step's frames, and what it says to routers about groups.
    pub(super) fn take(&mut self, frames: Vec<Frame>) -> Result<Vec<Frame>, (String, String)> {
        let mut others = Vec::new();
        for frame in frames {
            let Some(fields) = Fields::read(&frame.bytes) else {
                others.push(frame);
                continue;
            };
            let port = self.master.as_ref().and_then(|master| port_of(master, &fields, &frame.bytes));
            if let (Some(port), Some(master)) = (port, &self.master) {
                self.ports |= port != master.port;
                let payload = frame.bytes.get(fields.transport + 8..fields.len).unwrap_or_default();
                let read = records(payload).ok_or_else(|| {
                    (format!("a synchronisation message: {}", to_hex(payload)), String::from("unreadable"))
                })?;
                self.expected.extend(read);
            } else if !is_about_groups(&fields, &frame.bytes) {
                others.push(frame);
            }
        }
        Ok(others)
    }

    /// The payload of a packet for the backup daemon.
    pub(super) fn for_backup<'a>(&self, fields: &Fields, packet: &'a [u8]) -> Option<&'a [u8]> {
        port_of(self.backup.as_ref()?, fields, packet)?;
        packet.get(fields.transport + 8..fields.len)
    }

    /// Compares all.
    pub(super) fn compare(mut self) -> Compared {
        if self.ports {
            self.expected.sort();
            self.got.sort();
        } else {
            self.swap_timers();
        }
        if self.expected == self.got {
            return Ok(());
        }
        let at = self.expected.iter().zip(&self.got).take_while(|(expected, got)| expected == got).count();
        let shown = |told: &[Told]| {
            let record = told.get(at).map_or_else(
                || String::from("none"),
                |t| format!("version {} id {} {}", t.version, t.sync_id, to_hex(&t.record)),
            );
            format!("{} records told of; record {at}: {record}", told.len())
        };
        Err((shown(&self.expected), shown(&self.got)))
    }

    /// Brings records of timers into the order that the kernel sent them in, where that is within its lateness.
    fn swap_timers(&mut self) {
        for at in 0..self.expected.len().min(self.got.len()) {
            let Some(behind) = self.got[at..].iter().position(|got| *got == self.expected[at]) else { return };
            let timers = self.timers.get(at..=at + behind).unwrap_or_default();
            let close = |a: &Option<Instant>, b: &Option<Instant>| match (a, b) {
                (Some(a), Some(b)) => b.since(*a) <= LATENESS,
                _ => false,
            };
            if behind == 0 || !timers.iter().all(|timer| timers.last().is_some_and(|last| close(timer, last))) {
                continue;
            }
            self.got[at..=at + behind].rotate_right(1);
            self.timers[at..=at + behind].rotate_right(1);
        }
    }
}

/// The destination port of a packet for a daemon's group.
fn port_of(daemon: &DaemonView, fields: &Fields, packet: &[u8]) -> Option<u16> {
    let (_, port) = fields.ports(packet).filter(|_| fields.protocol == UDP && fields.destination == daemon.group)?;
    (daemon.port..daemon.port.saturating_add(PORTS)).contains(&port).then_some(port)
}

/// Membership reports: those of IPv6 are ICMPv6 types 131, 132 and 143 (RFC 3810).
fn is_about_groups(fields: &Fields, packet: &[u8]) -> bool {
    let kind = packet.get(fields.transport).copied().unwrap_or(0);
    fields.protocol == IGMP || fields.protocol == ICMPV6 && matches!(kind, 131 | 132 | 143)
}

/// A message taken apart: nothing of it but records and the padding between them.
fn records(message: &[u8]) -> Option<Vec<Told>> {
    let &[first, sync_id, ..] = message else { return None };
    let is_v1 = first == 0 && matches!(message.get(5..8), Some([1, 0, 0]));
    let (version, count, mut at) = if is_v1 { (1, message[4], 8usize) } else { (0, first, 4) };
    let word = |at: usize| Some(usize::from(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?])));
    let mut told = Vec::new();
    for _ in 0..count {
        at = if is_v1 { at.next_multiple_of(4) } else { at };
        let len = match version {
            1 => word(at + 2)? & 0xfff,
            _ if word(at + 20)? & 0x600 != 0 => 48,
            _ => 24,
        };
        told.push(Told { version, sync_id, record: message.get(at..at + len)?.into() });
        at += len;
    }
    (at == message.len() && word(2) == Some(at)).then_some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(n: u8) -> Told {
        Told { version: 1, sync_id: 0, record: std::vec![n] }
    }

    fn sync(expected: &[u8], got: &[(u8, Option<u64>)]) -> Sync {
        Sync {
            expected: expected.iter().map(|n| told(*n)).collect(),
            got: got.iter().map(|(n, _)| told(*n)).collect(),
            timers: got.iter().map(|(_, at)| at.map(Instant::from_millis)).collect(),
            ..Sync::default()
        }
    }

    #[test]
    fn only_records_of_timers_close_in_time_may_be_swapped() {
        assert!(sync(&[1, 2], &[(1, None), (2, None)]).compare().is_ok());
        assert!(sync(&[2, 1], &[(1, None), (2, None)]).compare().is_err());
        assert!(sync(&[2, 1], &[(1, Some(0)), (2, None)]).compare().is_err());
        assert!(sync(&[2, 1], &[(1, Some(0)), (2, Some(2_100))]).compare().is_ok());
        assert!(sync(&[2, 1], &[(1, Some(0)), (2, Some(2_101))]).compare().is_err());
        assert!(sync(&[1], &[(1, None), (2, None)]).compare().is_err());
    }
}
