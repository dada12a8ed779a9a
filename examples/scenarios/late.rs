//! When a kernel's timers may still be on their way.
//!
//! A kernel's timer fires late, by up to an eighth of its length, and how late depends on when the kernel was started;
//! the library's fire exactly. A scenario that does anything while some connection's time is over, and the kernel's
//! timer may not have fired yet, would record chance. So `Late` knows those windows, and the script sleeps through them.
//!
//! A template whose time is over while connections hold it lives on for 60 seconds at a time. Each such round may be late
//! anew, so until the template's timer is set by a new connection its rest is not looked at.

use std::collections::BTreeMap;
use std::time::Duration;

use lvs_core::{ConnId, ConnectionView, Director, Instant};

/// A kernel's tick.
const TICK: Duration = Duration::from_millis(4);
/// What a connection is kept for each time that its own time is over while others depend on it.
const ROUND: Duration = Duration::from_secs(60);
/// The least distance kept from a window.
const MARGIN: Duration = Duration::from_millis(400);

/// How long a connection may still be found that a packet has ended: its timer is due at once, and fires with the next tick.
const ENDING: Duration = Duration::from_millis(12);

/// The windows of a scenario, up to now.
#[derive(Debug, Default)]
pub(crate) struct Late {
    known: BTreeMap<ConnId, ConnectionView>,
    /// Windows of connections that are gone here: until then the kernel may have them.
    closing: Vec<Instant>,
    /// How much later than here the kernel's next round may be.
    rounds: BTreeMap<ConnId, Duration>,
}

/// A window: nothing is to happen from the first instant to the second.
type Window = (Instant, Instant);

/// How much later than its deadline a timer of this length may fire.
fn lateness(timeout: Duration) -> Duration {
    let ticks = timeout.as_nanos() / TICK.as_nanos();
    let level = (0..8).find(|level| ticks < 63 << (3 * level)).unwrap_or(8);
    TICK * ((1 << (3 * level)) + 1)
}

/// May others depend on it: a template, or a control connection of FTP?
fn may_be_held(view: &ConnectionView) -> bool {
    view.client.port() == 0 || view.target.port() == 21
}

/// For how many rounds a connection was kept between two looks, if that is what happened.
fn rounds(before: &ConnectionView, after: &ConnectionView) -> Option<u32> {
    let longer = after.expires.since(before.expires).as_nanos();
    let is_whole = longer > 0 && longer.is_multiple_of(ROUND.as_nanos());
    is_whole.then(|| u32::try_from(longer / ROUND.as_nanos()).ok())?
}

impl Late {
    /// Takes up what a step changed.
    pub(crate) fn note(&mut self, director: &Director, now: Instant, margin: Duration) {
        let current: BTreeMap<ConnId, ConnectionView> = director.connections().map(|view| (view.id, view)).collect();
        for (key, view) in &self.known {
            let late = self.rounds.get(key).copied().unwrap_or_default() + lateness(view.timeout);
            match current.get(key) {
                None if view.expires <= now => self.closing.push(view.expires + late + MARGIN + margin),
                None => self.closing.push(now + ENDING),
                Some(after) if view.expires <= now && may_be_held(view) && rounds(view, after).is_some() => {
                    let more = rounds(view, after).unwrap_or_default().saturating_sub(1);
                    self.rounds.insert(*key, late + lateness(ROUND) * more);
                }
                Some(after) if after.expires != view.expires => drop(self.rounds.remove(key)),
                Some(_) => {}
            }
        }
        self.closing.retain(|until| *until > now);
        self.rounds.retain(|key, _| current.contains_key(key));
        self.known = current;
    }

    /// May connections be looked at: does none of them have a rest that the kernel's timers made uncertain?
    #[must_use]
    pub(crate) fn may_look(&self) -> bool {
        self.rounds.is_empty()
    }

    /// The first instant, `wanted` or later, at which no timer is on its way.
    #[must_use]
    pub(crate) fn settled(&self, wanted: Instant, margin: Duration) -> Instant {
        let windows = self.windows(wanted, margin + MARGIN);
        let all: Vec<Window> = windows.into_iter().map(|(_, window)| window).collect();
        after_all(wanted, &all)
    }

    /// Might, before an instant, the timer of a connection and that of another that depends on it fire in either order?
    #[must_use]
    pub(crate) fn is_doubtful(&self, until: Instant, margin: Duration) -> bool {
        let windows = self.windows(until, margin + MARGIN);
        let (held, plain): (Vec<_>, Vec<_>) = windows
            .iter()
            .filter_map(|(view, window)| Some(((*view)?, window)))
            .partition(|(view, _)| may_be_held(view));
        held.iter().any(|(template, round)| {
            let depends = |view: &ConnectionView| view.server.ip() == template.server.ip();
            round.0 <= until && plain.iter().any(|(view, end)| depends(view) && end.0 <= round.1 && round.0 <= end.1)
        })
    }

    /// All windows up to shortly after `until`, each with the connection that it is of, if that is still there.
    fn windows(&self, until: Instant, margin: Duration) -> Vec<(Option<&ConnectionView>, Window)> {
        let mut windows: Vec<(Option<&ConnectionView>, Window)> =
            self.closing.iter().map(|until| (None, (Instant::ZERO, *until))).collect();
        for (key, view) in &self.known {
            let late = self.rounds.get(key).copied().unwrap_or_default() + lateness(view.timeout);
            let mut window = (earlier(view.expires, margin), view.expires + late + margin);
            windows.push((Some(view), window));
            while may_be_held(view) && window.0 <= until + ROUND {
                window = (window.0 + ROUND, window.1 + ROUND + lateness(ROUND));
                windows.push((Some(view), window));
            }
        }
        windows
    }

    /// The deadline of some connection, by number.
    #[must_use]
    pub(crate) fn deadline(&self, n: usize) -> Option<(Instant, Duration)> {
        let count = self.known.len();
        let view = self.known.values().nth(n.checked_rem(count)?)?;
        Some((view.expires, lateness(view.timeout)))
    }
}

/// So much earlier.
fn earlier(at: Instant, by: Duration) -> Instant {
    let nanos = u64::try_from(by.as_nanos()).expect("short");
    Instant::from_nanos(at.as_nanos().saturating_sub(nanos))
}

/// The first instant from `wanted` on that no window holds.
fn after_all(wanted: Instant, windows: &[Window]) -> Instant {
    let mut at = wanted;
    while let Some(window) = windows.iter().find(|window| window.0 <= at && at < window.1) {
        at = window.1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_windows_are_left_one_after_the_other() {
        let at = Instant::from_secs;
        let windows = [(at(5), at(9)), (at(8), at(12)), (at(20), at(30))];
        assert_eq!(after_all(at(4), &windows), at(4));
        assert_eq!(after_all(at(6), &windows), at(12));
        assert_eq!(after_all(at(30), &windows), at(30));
    }

    #[test]
    fn a_minute_is_late_by_up_to_two_seconds() {
        assert_eq!(lateness(ROUND), Duration::from_millis(2052));
    }
}
