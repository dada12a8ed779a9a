//! What `lblc` and `lblcr` remember of the addresses that clients write to.
//!
//! Owns: a table of 1024 buckets by target address, and the timer that clears it out.
//! Leaves to others: what is remembered of an address.
//! Follows: the tables of the `lblc` and `lblcr` schedulers of IPVS. Every minute the table is looked at: every 30th
//! time, entries that were not used for the expiration time are dropped; otherwise, if there are more than 16384, some
//! that were not used for six minutes. There are never more than 24576.

use alloc::vec::Vec;
use core::time::Duration;

use super::hash_bits;
use crate::addr::Addr;
use crate::time::Instant;

/// A table from target addresses to what is remembered of them.
///
/// Memory is taken when an address is new, at most for twice the entries that the table may have, and given back when
/// many expire.
#[derive(Clone, Debug)]
pub(super) struct TargetTable<T> {
    buckets: Vec<Vec<Entry<T>>>,
    len: usize,
    expiration: Duration,
    timer: Timer,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    target: Addr,
    last_used: Instant,
    remembered: T,
}

#[derive(Clone, Debug)]
struct Timer {
    /// When the table is next looked at. `None` before the start and at the end of time.
    due: Option<Instant>,
    /// The number of this look, from 1 to [`FULL_EVERY`].
    counter: u64,
    /// The bucket that the last partial look ended with.
    rover: usize,
}

impl Timer {
    const STOPPED: Self = Self { due: None, counter: 1, rover: 0 };
}

impl<T> TargetTable<T> {
    pub(super) fn new(expiration: Duration) -> Self {
        let mut buckets = Vec::new();
        buckets.resize_with(BUCKETS, Vec::new);
        Self { buckets, len: 0, expiration, timer: Timer::STOPPED }
    }

    /// Forgets everything; the timer runs from `now`.
    pub(super) fn start(&mut self, now: Instant) {
        self.buckets.iter_mut().for_each(|bucket| *bucket = Vec::new());
        self.len = 0;
        self.timer = Timer { due: later(now, PERIOD_NS), ..Timer::STOPPED };
    }

    /// Entries unused for this long go at the next full look.
    pub(super) const fn set_expiration(&mut self, expiration: Duration) {
        self.expiration = expiration;
    }

    /// What is remembered of an address, which counts as a use of it.
    pub(super) fn find(&mut self, target: Addr, now: Instant) -> Option<&mut T> {
        let entry = self.buckets[bucket_of(target)].iter_mut().find(|entry| entry.target == target)?;
        entry.last_used = now;
        Some(&mut entry.remembered)
    }

    /// Remembers something of an address that is not in the table, if there is room.
    pub(super) fn insert(&mut self, target: Addr, now: Instant, remembered: T) {
        if self.len < LEN_MAX {
            self.buckets[bucket_of(target)].push(Entry { target, last_used: now, remembered });
            self.len += 1;
        }
    }

    /// All that is remembered.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.buckets.iter().flatten().map(|entry| &entry.remembered)
    }

    /// When the table is next looked at.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.timer.due
    }

    /// Looks at the table as often as it was due up to `now`, each time as if it were done in time.
    ///
    /// Looks that cannot drop anything are not done one by one: time may have leapt by years.
    pub(super) fn tick(&mut self, now: Instant) {
        while let Some(due) = self.timer.due.filter(|&due| due <= now) {
            let missed = (now.as_nanos() - due.as_nanos()) / PERIOD_NS + 1;
            let done =
                if self.len <= LEN_AIM { self.look_relaxed(due, missed) } else { self.look_pressed(due, missed) };
            self.timer.due = later(due, done.saturating_mul(PERIOD_NS));
        }
    }

    /// All the looks missed, with few entries: only the last of the full ones among them matters. Returns how many.
    fn look_relaxed(&mut self, due: Instant, missed: u64) -> u64 {
        let first_full = FULL_EVERY - self.timer.counter;
        let Some(since_first) = missed.checked_sub(first_full + 1) else {
            self.timer.counter += missed;
            return missed;
        };
        let since_last = since_first % FULL_EVERY;
        let last_full = missed - 1 - since_last;
        self.drop_expired(at(due, last_full));
        self.timer.counter = 1 + since_last;
        missed
    }

    /// One look with many entries; more if nothing can change before. Returns how many.
    fn look_pressed(&mut self, due: Instant, missed: u64) -> u64 {
        let before = self.len;
        if self.timer.counter == FULL_EVERY {
            self.drop_expired(due);
            self.timer.counter = 1;
            return 1;
        }
        self.drop_some(due);
        if self.len < before {
            return 1;
        }
        // The counter stands still under pressure, so that until the first entry is old enough each look is like this.
        let oldest = self.buckets.iter().flatten().map(|entry| entry.last_used).min().unwrap_or(due);
        let wait = (oldest + IDLE_MIN).since(due).as_nanos().div_ceil(u128::from(PERIOD_NS));
        u64::try_from(wait).unwrap_or(u64::MAX).clamp(1, missed)
    }

    /// A full look.
    fn drop_expired(&mut self, now: Instant) {
        for bucket in 0..BUCKETS {
            self.sweep(bucket, now, self.expiration);
        }
    }

    /// A partial look: goes on after the last one's bucket until enough are dropped.
    fn drop_some(&mut self, now: Instant) {
        let goal = ((self.len - LEN_AIM) * 4 / 3).min(LEN_AIM / 2);
        let aim = self.len - goal;
        for _ in 0..BUCKETS {
            self.timer.rover = (self.timer.rover + 1) % BUCKETS;
            self.sweep(self.timer.rover, now, IDLE_MIN);
            if self.len <= aim {
                return;
            }
        }
    }

    /// Drops the entries of a bucket that were not used for `idle`.
    fn sweep(&mut self, bucket: usize, now: Instant, idle: Duration) {
        let bucket = &mut self.buckets[bucket];
        let before = bucket.len();
        bucket.retain(|entry| now < entry.last_used + idle);
        self.len -= before - bucket.len();
        if bucket.capacity() > 2 * bucket.len() + SPARE_ENTRIES {
            bucket.shrink_to(bucket.len() + SPARE_ENTRIES);
        }
    }
}

fn bucket_of(target: Addr) -> usize {
    hash_bits(target.fold(), BUCKET_BITS) as usize
}

/// An instant that can be represented, or none.
fn later(instant: Instant, nanos: u64) -> Option<Instant> {
    instant.as_nanos().checked_add(nanos).map(Instant::from_nanos)
}

/// The instant of the look after `due` and `looks` more.
const fn at(due: Instant, looks: u64) -> Instant {
    Instant::from_nanos(due.as_nanos().saturating_add(looks.saturating_mul(PERIOD_NS)))
}

/// The kernel's defaults (`CONFIG_IP_VS_LBLC_TAB_BITS`, `CONFIG_IP_VS_LBLCR_TAB_BITS`).
const BUCKET_BITS: u32 = 10;
const BUCKETS: usize = 1 << BUCKET_BITS;
/// Entries that are left in peace until they expire.
const LEN_AIM: usize = 16 * BUCKETS;
/// No more entries are made.
const LEN_MAX: usize = LEN_AIM * 3 / 2;
/// Between two looks.
const PERIOD_NS: u64 = 60_000_000_000;
/// Every so many looks is a full one.
const FULL_EVERY: u64 = 30;
/// Under pressure entries go that were not used for this long.
const IDLE_MIN: Duration = Duration::from_secs(6 * 60);
/// Room that a bucket keeps for new entries.
const SPARE_ENTRIES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const MINUTE: u64 = 60;

    fn minute(minutes: u64) -> Instant {
        Instant::from_secs(minutes * MINUTE)
    }

    fn started(expiration: Duration) -> TargetTable<u32> {
        let mut table = TargetTable::new(expiration);
        table.start(Instant::ZERO);
        table
    }

    /// As many addresses, in as many buckets as possible.
    fn fill(table: &mut TargetTable<u32>, count: usize, now: Instant) {
        for word in 0..u32::try_from(count).unwrap() {
            table.insert(Addr::v4(word), now, word);
        }
    }

    #[test]
    fn the_sizes_are_the_kernels() {
        assert_eq!((BUCKETS, LEN_AIM, LEN_MAX), (1024, 16384, 24576));
    }

    #[test]
    fn no_more_than_the_maximum_is_stored() {
        let mut table = started(DAY);
        fill(&mut table, LEN_MAX + 10, Instant::ZERO);
        assert_eq!((table.len, table.iter().count()), (24576, 24576));
        assert_eq!(table.find(Addr::v4(24576), Instant::ZERO), None);
        assert_eq!(table.find(Addr::v4(24575), Instant::ZERO), Some(&mut 24575));
    }

    #[test]
    fn the_first_full_look_comes_after_half_an_hour() {
        let mut table = started(Duration::from_secs(1));
        fill(&mut table, 1, Instant::ZERO);
        assert_eq!(table.due(), Some(minute(1)));
        table.tick(Instant::from_millis(30 * 60_000 - 1));
        assert_eq!((table.len, table.due()), (1, Some(minute(30))));
        table.tick(minute(30));
        assert_eq!((table.len, table.due()), (0, Some(minute(31))));
        fill(&mut table, 1, minute(31));
        table.tick(minute(59));
        assert_eq!(table.len, 1);
        table.tick(minute(60));
        assert_eq!(table.len, 0);
    }

    #[test]
    fn an_entry_expires_exactly_when_it_was_unused_for_the_expiration_time() {
        let mut table = started(Duration::from_secs(600));
        table.insert(Addr::v4(1), minute(20), 1);
        table.insert(Addr::v4(2), Instant::from_millis(20 * 60_000 + 1), 2);
        table.tick(minute(30));
        assert_eq!(table.find(Addr::v4(1), minute(30)), None);
        assert_eq!(table.find(Addr::v4(2), minute(30)), Some(&mut 2));
    }

    #[test]
    fn a_use_puts_expiry_off() {
        let mut table = started(Duration::from_secs(1800));
        fill(&mut table, 2, Instant::ZERO);
        table.find(Addr::v4(0), minute(1));
        table.tick(minute(30));
        assert_eq!(table.iter().collect::<Vec<_>>(), [&0]);
    }

    #[test]
    fn under_pressure_idle_entries_go_by_the_goal() {
        let mut table = started(DAY);
        fill(&mut table, LEN_AIM + 300, Instant::ZERO);
        table.tick(minute(5));
        assert_eq!((table.len, table.timer.rover), (LEN_AIM + 300, 0));
        table.tick(minute(6));
        // The goal is 400, at 16 or 17 a bucket; the look begins after bucket 0 and stops with the bucket that
        // reaches the goal.
        assert!((LEN_AIM - 117..=LEN_AIM - 100).contains(&table.len), "{}", table.len);
        assert!((23..=25).contains(&table.timer.rover), "{}", table.timer.rover);
        assert!(!table.buckets[0].is_empty() && table.buckets[1].is_empty());
    }

    #[test]
    fn the_goal_is_at_most_half_the_aim() {
        let mut table = started(DAY);
        fill(&mut table, LEN_MAX, Instant::ZERO);
        table.tick(minute(6));
        assert!((LEN_AIM - 24..=LEN_AIM).contains(&table.len), "{}", table.len);
    }

    #[test]
    fn pressure_holds_the_full_look_up() {
        let mut table = started(DAY);
        fill(&mut table, LEN_AIM + 1, Instant::ZERO);
        for now in 1..=5 {
            table.tick(minute(now));
        }
        assert_eq!(table.timer.counter, 1);
        table.tick(minute(6));
        assert_eq!((table.timer.counter, table.len <= LEN_AIM), (1, true));
        table.tick(minute(7));
        assert_eq!(table.timer.counter, 2);
    }

    #[test]
    fn a_full_look_that_is_due_goes_before_a_partial_one() {
        let mut table = started(Duration::from_secs(1));
        table.tick(minute(29));
        assert_eq!(table.timer.counter, 30);
        fill(&mut table, LEN_MAX, minute(29));
        table.tick(minute(30));
        assert_eq!((table.len, table.timer.counter), (0, 1));
    }

    #[test]
    fn one_late_call_does_what_many_calls_in_time_do() {
        for (count, minutes) in
            [(0, 400), (100, 29), (100, 30), (100, 3_000), (LEN_MAX, 5), (LEN_MAX, 8), (LEN_MAX, 90)]
        {
            let mut prompt = started(Duration::from_secs(4_000));
            for word in 0..u32::try_from(count).unwrap() {
                prompt.insert(Addr::v4(word), Instant::from_secs(u64::from(word % 55)), word);
            }
            let mut late = prompt.clone();
            for now in 1..=minutes {
                prompt.tick(minute(now));
            }
            late.tick(minute(minutes));
            assert_eq!(std::format!("{late:?}"), std::format!("{prompt:?}"), "{count} entries, {minutes} minutes");
        }
    }

    #[test]
    fn a_leap_to_the_end_of_time_ends() {
        let mut table = started(DAY);
        fill(&mut table, LEN_MAX, Instant::ZERO);
        table.tick(Instant::MAX);
        assert_eq!(table.len, 0);
        let mut table = started(DAY);
        fill(&mut table, LEN_MAX, Instant::MAX);
        table.tick(Instant::MAX);
        assert_eq!((table.len, table.due()), (LEN_MAX, None));
        table.start(Instant::MAX);
        assert_eq!(table.due(), None);
        table.tick(Instant::MAX);
    }

    #[test]
    fn memory_is_given_back() {
        let mut table = started(Duration::from_secs(1));
        fill(&mut table, LEN_MAX, Instant::ZERO);
        // Six looks under pressure hold the full one up.
        table.tick(minute(36));
        assert_eq!(table.len, 0);
        assert!(table.buckets.iter().all(|bucket| bucket.capacity() <= SPARE_ENTRIES));
    }
}
