//! When a connection is to be told of: after so many packets, on a change of state, or after a while.
//!
//! Follows: the rules of Linux 6.1.192 and its tunables `sync_threshold`, `sync_refresh_period`, `sync_retries` and
//! `sync_persist_mode`. Times are in its ticks, modulo 2^32; the lowest two bits of when a connection is to be told of
//! again count the tries.

use crate::config::Tunables;
use crate::conn::entry::Entry;
use crate::flow::Protocol;
use crate::proto::{sctp, tcp};
use crate::time::Instant;

/// Kernel ticks per second.
const HZ: u32 = 250;
const TICK_NANOS: u64 = 1_000_000_000 / HZ as u64;
const TICK_MS: u32 = 1_000 / HZ;
/// The bits that count tries.
const TRIES: u32 = 3;

/// The tunables that decide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// A connection is told of after so many packets,
    pub(crate) threshold: i32,
    /// and then each time after so many, if not 0.
    pub(crate) period: i32,
    /// Or when it was last told of so long ago, in ticks, if not 0,
    refresh: u32,
    /// and so many times again soon after.
    retries: u32,
    templates_only: bool,
}

impl Rules {
    pub(crate) fn of(tunables: &Tunables) -> Self {
        let (threshold, period) = tunables.sync_threshold;
        Self {
            threshold,
            period,
            refresh: u32::try_from(tunables.sync_refresh_period).unwrap_or(0).saturating_mul(HZ),
            retries: u32::try_from(tunables.sync_retries).unwrap_or(0),
            templates_only: tunables.sync_persist_mode != 0,
        }
    }
}

/// Ticks since the origin of time, modulo 2^32.
#[expect(clippy::cast_possible_truncation, reason = "ticks are compared modulo 2^32")]
pub(crate) const fn ticks(now: Instant) -> u32 {
    (now.as_nanos() / TICK_NANOS) as u32
}

/// What a connection made now notes of when it was told of.
pub(crate) const fn never_told(now: Instant) -> u32 {
    ticks(now) & !TRIES
}

/// Whether a connection is to be told of after that many packets; if so, takes note that it was.
pub(crate) fn is_needed(entry: &mut Entry, under_template: bool, packets: i32, now: Instant, rules: &Rules) -> bool {
    let is_template = entry.is_template();
    if !is_template && rules.templates_only && under_template {
        return false;
    }
    let Some(at_once) = change(entry) else { return false };
    let timeout = entry.timeout_ms / TICK_MS;
    let mut until = ticks(now).wrapping_add(timeout) & !TRIES;
    if !at_once {
        match refreshed(entry.told_until, until, timeout, ticks(now), rules) {
            Some(with_tries) => until = with_tries,
            None => return false,
        }
        let counts = if rules.period > 0 {
            is_template || packets % rules.period == rules.threshold
        } else {
            rules.refresh > 0 || packets == rules.threshold
        };
        if !counts {
            return false;
        }
    }
    (entry.told_state, entry.told_until) = (entry.state, until);
    true
}

/// Whether a change of state is to be told of at once; `None` for a state that is not told of at all. That a connection
/// is established can wait for its packets.
fn change(entry: &Entry) -> Option<bool> {
    if entry.is_template() {
        return Some(false);
    }
    let (told, established) = match Protocol::from_number(entry.protocol()) {
        Some(Protocol::Tcp) => {
            const TOLD: [u8; 5] = [tcp::ESTABLISHED, tcp::FIN_WAIT, tcp::TIME_WAIT, tcp::CLOSE, tcp::CLOSE_WAIT];
            (TOLD.contains(&entry.state), tcp::ESTABLISHED)
        }
        Some(Protocol::Sctp) => {
            const TOLD: [u8; 5] = [
                sctp::ESTABLISHED,
                sctp::SHUTDOWN_SENT,
                sctp::SHUTDOWN_RECEIVED,
                sctp::SHUTDOWN_ACK_SENT,
                sctp::CLOSED,
            ];
            (TOLD.contains(&entry.state), sctp::ESTABLISHED)
        }
        Some(Protocol::Udp) | None => return Some(false),
    };
    told.then_some(entry.state != entry.told_state && entry.state != established)
}

/// Whether the refresh period lets a connection be told of; then until when that holds, with the tries so far.
fn refreshed(told_until: u32, until: u32, timeout: u32, now: u32, rules: &Rules) -> Option<u32> {
    if rules.refresh == 0 {
        return Some(until);
    }
    let moved = until.wrapping_sub(told_until).cast_signed().unsigned_abs();
    if moved >= rules.refresh.min((timeout / 2).max(10 * HZ)) {
        return Some(until);
    }
    let tries = told_until & TRIES;
    let next_try = told_until.wrapping_sub(timeout).wrapping_add(rules.refresh >> 3);
    let too_early = now.wrapping_sub(next_try).cast_signed() < 0;
    (tries < rules.retries && !too_early).then_some(until | (tries + 1))
}
