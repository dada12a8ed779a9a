//! A lazy timing wheel.
//!
//! Packets only write an entry's deadline; the entry stays where it hangs and is hung further on when its tick comes.
//! Only a deadline that moves nearer moves the entry at once. There is one level and nothing cascades: a deadline beyond
//! the horizon hangs at the horizon.
//!
//! Deadlines are exact to the nanosecond. Of what ends within one tick (4.2 ms), connections go before templates,
//! so that a template outlives the connections that end with it.

use alloc::vec::Vec;

use crate::conn::id::NONE;
use crate::conn::slab::Slab;
use crate::time::Instant;

/// Nanoseconds of a tick, as a power of two.
const TICK_SHIFT: u32 = 22;
/// Ticks of the wheel: fewer for small tables, and never more than 65536 (275 seconds).
const TICKS_MIN: usize = 1 << 10;
const TICKS_MAX: usize = 1 << 16;
/// Ticks without a look at the wheel from which on rotations are skipped: 52 days, longer than anything lives.
const LONG_JUMP: u64 = 1 << 30;
/// Entries that `next_deadline` looks at.
const GLANCE: usize = 64;

#[derive(Debug)]
pub(crate) struct Wheel {
    /// First entry of each tick's list; the last one is its `wheel_prev`.
    heads: Vec<u32>,
    /// One bit for each tick that has a list.
    occupied: Vec<u64>,
    /// Everything before this tick is done.
    tick: u64,
    /// Where the walk along the current tick's list goes on, or [`NONE`] to begin.
    resume: u32,
    /// Entries that hang here.
    len: usize,
    /// Nothing hangs in a tick before this one.
    nearest: u64,
}

impl Wheel {
    /// A wheel for about `capacity` entries; `None` if there is not so much memory.
    pub(crate) fn with_capacity(capacity: usize) -> Option<Self> {
        let ticks = capacity.clamp(TICKS_MIN, TICKS_MAX).next_power_of_two().min(TICKS_MAX);
        let mut heads = Vec::new();
        heads.try_reserve_exact(ticks).ok()?;
        heads.resize(ticks, NONE);
        Some(Self { heads, occupied: alloc::vec![0; ticks / 64], tick: 0, resume: NONE, len: 0, nearest: u64::MAX })
    }

    fn place(&self, tick: u64) -> usize {
        usize::try_from(tick & (self.heads.len() as u64 - 1)).unwrap_or(0)
    }

    /// The tick where a deadline hangs: not before the present, not beyond the horizon.
    fn tick_of(&self, deadline: Instant) -> u64 {
        (deadline.as_nanos() >> TICK_SHIFT).clamp(self.tick, self.tick + self.heads.len() as u64 - 1)
    }

    /// Hangs up an entry that hangs nowhere. `now` tells an empty wheel where to begin.
    pub(crate) fn insert(&mut self, slab: &mut Slab, slot: u32, now: Instant) {
        if self.len == 0 {
            self.tick = self.tick.max(now.as_nanos() >> TICK_SHIFT);
        }
        self.hang(slab, slot);
    }

    fn hang(&mut self, slab: &mut Slab, slot: u32) {
        let tick = self.tick_of(slab.get(slot).expires);
        self.nearest = self.nearest.min(tick);
        let place = self.place(tick);
        let head = self.heads[place];
        let last = if head == NONE { slot } else { slab.get(head).wheel_prev };
        let entry = slab.get_mut(slot);
        #[expect(clippy::cast_possible_truncation, reason = "ticks are compared modulo 2^32")]
        let low = tick as u32;
        entry.wheel_tick = low;
        if head == NONE {
            (entry.wheel_next, entry.wheel_prev) = (NONE, slot);
            self.heads[place] = slot;
            self.occupied[place / 64] |= 1 << (place % 64);
        } else if entry.is_template() {
            (entry.wheel_next, entry.wheel_prev) = (NONE, last);
            slab.get_mut(last).wheel_next = slot;
            slab.get_mut(head).wheel_prev = slot;
        } else {
            (entry.wheel_next, entry.wheel_prev) = (head, last);
            slab.get_mut(head).wheel_prev = slot;
            self.heads[place] = slot;
        }
        self.len += 1;
    }

    /// Takes an entry down.
    pub(crate) fn remove(&mut self, slab: &mut Slab, slot: u32) {
        let entry = slab.get(slot);
        let (next, prev) = (entry.wheel_next, entry.wheel_prev);
        let place = self.place(u64::from(entry.wheel_tick));
        if self.resume == slot {
            self.resume = next;
        }
        let head = self.heads[place];
        if head == slot {
            self.heads[place] = next;
            if next == NONE {
                self.occupied[place / 64] &= !(1 << (place % 64));
            } else {
                slab.get_mut(next).wheel_prev = prev;
            }
        } else {
            slab.get_mut(prev).wheel_next = next;
            let after = if next == NONE { head } else { next };
            slab.get_mut(after).wheel_prev = prev;
        }
        self.len -= 1;
    }

    /// The entry's deadline was changed: hangs it nearer if it is due before its tick. A later deadline needs nothing.
    #[inline]
    pub(crate) fn moved(&mut self, slab: &mut Slab, slot: u32) {
        let entry = slab.get(slot);
        let ticks_early = entry.wheel_tick.wrapping_sub(self.low_tick());
        let due = self.tick_of(entry.expires) - self.tick;
        if due < u64::from(ticks_early) {
            self.remove(slab, slot);
            self.hang(slab, slot);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "ticks are compared modulo 2^32")]
    const fn low_tick(&self) -> u32 {
        self.tick as u32
    }

    /// True if no deadline can have come.
    pub(crate) fn is_nothing_due(&mut self, now: Instant) -> bool {
        let now_tick = now.as_nanos() >> TICK_SHIFT;
        if now_tick >= self.nearest {
            self.nearest = self.next_occupied().unwrap_or(u64::MAX);
        }
        now_tick < self.nearest
    }

    /// The entry that will be looked at next, if that is known.
    pub(crate) fn ahead(&self) -> Option<u32> {
        (self.resume != NONE).then_some(self.resume)
    }

    /// Takes down and returns the next entry whose deadline has come, in order of ticks. Looking at an entry costs one
    /// of `budget`; when that is used up, the answer is [`Due::More`].
    pub(crate) fn pop_due(&mut self, slab: &mut Slab, now: Instant, budget: &mut usize) -> Due {
        let now_tick = now.as_nanos() >> TICK_SHIFT;
        if self.len == 0 {
            self.tick = self.tick.max(now_tick);
            return Due::Nothing;
        }
        self.skip_rotations(now_tick);
        let mut slot = if self.resume == NONE { self.heads[self.place(self.tick)] } else { self.resume };
        loop {
            while slot != NONE {
                self.resume = slot;
                if *budget == 0 {
                    return Due::More;
                }
                *budget -= 1;
                let entry = slab.get(slot);
                let (next, expires) = (entry.wheel_next, entry.expires);
                if self.tick_of(expires) != self.tick {
                    self.remove(slab, slot);
                    self.hang(slab, slot);
                } else if expires <= now {
                    self.remove(slab, slot);
                    return Due::Entry(slot);
                }
                slot = next;
            }
            self.resume = NONE;
            if self.tick < now_tick && self.heads[self.place(self.tick)] == NONE {
                self.tick = self.next_occupied().map_or(now_tick, |tick| tick.min(now_tick));
            } else if self.tick >= now_tick {
                return Due::Nothing;
            }
            slot = self.heads[self.place(self.tick)];
        }
    }

    /// After a long jump in time, whole rotations are skipped but for the last: in it every entry is looked at. (What ended
    /// weeks ago then ends in the order of places, not of deadlines.)
    fn skip_rotations(&mut self, now_tick: u64) {
        let (behind, ticks) = (now_tick.saturating_sub(self.tick), self.heads.len() as u64);
        if behind > LONG_JUMP {
            self.tick += (behind / ticks - 1) * ticks;
        }
    }

    /// The first tick from the current one on that has a list.
    fn next_occupied(&self) -> Option<u64> {
        let start = self.place(self.tick);
        let words = self.occupied.len();
        // The word of the current tick twice: its upper bits first, its lower bits at the end.
        (0..=words).find_map(|step| {
            let index = (start / 64 + step) % words;
            let mut word = self.occupied[index];
            if step == 0 {
                word &= u64::MAX << (start % 64);
            } else if step == words {
                word &= !(u64::MAX << (start % 64));
            }
            (word != 0).then(|| {
                let place = index * 64 + word.trailing_zeros() as usize;
                let ahead = (place + self.heads.len() - start) % self.heads.len();
                self.tick + ahead as u64
            })
        })
    }

    /// When [`pop_due`](Self::pop_due) may next have something: never later than the nearest deadline.
    pub(crate) fn next_deadline(&self, slab: &Slab) -> Option<Instant> {
        let tick = self.next_occupied()?;
        let (start, end) = (tick << TICK_SHIFT, (tick + 1) << TICK_SHIFT);
        // By the end of the tick what hangs there though it lives longer is hung further on.
        let mut nearest = end;
        let mut slot = self.heads[self.place(tick)];
        for _ in 0..GLANCE {
            if slot == NONE {
                return Some(Instant::from_nanos(nearest.max(start)));
            }
            let entry = slab.get(slot);
            nearest = nearest.min(entry.expires.as_nanos());
            slot = entry.wheel_next;
        }
        Some(Instant::from_nanos(start))
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.heads.capacity() * size_of::<u32>() + self.occupied.capacity() * size_of::<u64>()
    }
}

/// True if a deadline passed so long ago that its order among others is lost.
pub(crate) fn is_long_past(deadline: Instant, now: Instant) -> bool {
    now.as_nanos().saturating_sub(deadline.as_nanos()) >> TICK_SHIFT > LONG_JUMP
}

/// What the wheel has for the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// This entry's deadline has come; it hangs nowhere now.
    Entry(u32),
    /// Nothing is due.
    Nothing,
    /// The budget is used up; there may be more.
    More,
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::addr::{Addr, Family};
    use crate::conn::entry::{Ends, Entry, Flags, Kind};
    use crate::service::Method;
    use proptest::prelude::*;
    use std::vec::Vec as StdVec;

    fn entry(template: bool, expires: Instant) -> Entry {
        let kind = if template { Kind::template(Family::V4, 6, false) } else { Kind::connection(Family::V4, 6) };
        let end = (Addr::UNSPECIFIED, 0);
        let ends = Ends { family: Family::V4, server_family: Family::V4, client: end, virtual_: end, server: end };
        let mut entry = Entry::new(kind, &ends, Flags::with_method(Method::Nat));
        entry.expires = expires;
        entry
    }

    fn drain(wheel: &mut Wheel, slab: &mut Slab, now: Instant) -> StdVec<u32> {
        let mut due = StdVec::new();
        while let Due::Entry(slot) = wheel.pop_due(slab, now, &mut usize::MAX.clone()) {
            due.push(slot);
        }
        due
    }

    #[test]
    fn a_connection_ends_before_the_template_that_ends_with_it() {
        let mut slab = Slab::with_capacity(8).unwrap();
        let mut wheel = Wheel::with_capacity(8).unwrap();
        let at = Instant::from_secs(5);
        for template in [true, false, true, false] {
            let slot = slab.insert(entry(template, at)).unwrap();
            wheel.insert(&mut slab, slot, Instant::ZERO);
        }
        assert!(drain(&mut wheel, &mut slab, Instant::from_nanos(at.as_nanos() - 1)).is_empty());
        let due = drain(&mut wheel, &mut slab, at);
        assert_eq!(due.iter().map(|&s| slab.get(s).is_template()).collect::<StdVec<_>>(), [false, false, true, true]);
    }

    #[test]
    fn work_is_bounded_by_the_budget() {
        let mut slab = Slab::with_capacity(100).unwrap();
        let mut wheel = Wheel::with_capacity(100).unwrap();
        for _ in 0..100 {
            let slot = slab.insert(entry(false, Instant::from_secs(900))).unwrap();
            wheel.insert(&mut slab, slot, Instant::ZERO);
        }
        let mut budget = 10;
        // They all hang at the horizon and have to be hung further on.
        assert_eq!(wheel.pop_due(&mut slab, Instant::from_secs(800), &mut budget), Due::More);
        assert_eq!(budget, 0);
        assert_eq!(wheel.pop_due(&mut slab, Instant::from_secs(800), &mut 100_000), Due::Nothing);
    }

    #[test]
    fn a_jump_of_years_costs_one_rotation() {
        let mut slab = Slab::with_capacity(8).unwrap();
        let mut wheel = Wheel::with_capacity(8).unwrap();
        let now = Instant::from_secs(1_700_000_000);
        for expires in [Instant::from_secs(5), now.plus_millis(10), now.plus_millis(900_000)] {
            let slot = slab.insert(entry(false, expires)).unwrap();
            wheel.insert(&mut slab, slot, Instant::ZERO);
        }
        let mut budget = 20;
        assert_eq!(wheel.pop_due(&mut slab, now, &mut budget), Due::Entry(0));
        assert_eq!(wheel.pop_due(&mut slab, now, &mut budget), Due::Nothing);
        assert_eq!(drain(&mut wheel, &mut slab, now.plus_millis(10)), [1]);
        assert!(drain(&mut wheel, &mut slab, now.plus_millis(899_999)).is_empty());
        assert_eq!(drain(&mut wheel, &mut slab, now.plus_millis(900_000)), [2]);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert { after_ms: u32, template: bool },
        Touch { which: prop::sample::Index, after_ms: u32 },
        Remove { which: prop::sample::Index },
        Pass { ms: u32, budget: usize },
    }

    fn op() -> impl Strategy<Value = Op> {
        let time = prop_oneof![0u32..20, 0u32..10_000, 0u32..1_000_000];
        prop_oneof![
            (time.clone(), any::<bool>()).prop_map(|(after_ms, template)| Op::Insert { after_ms, template }),
            (any::<prop::sample::Index>(), time.clone()).prop_map(|(which, after_ms)| Op::Touch { which, after_ms }),
            any::<prop::sample::Index>().prop_map(|which| Op::Remove { which }),
            (time, prop_oneof![Just(usize::MAX), 1usize..4]).prop_map(|(ms, budget)| Op::Pass { ms, budget }),
        ]
    }

    proptest! {
        /// Against a list of deadlines: everything ends exactly then, whatever was moved or removed meanwhile.
        #[test]
        fn a_wheel_finds_what_a_list_does(ops in proptest::collection::vec(op(), 1..120)) {
            let mut slab = Slab::with_capacity(64).unwrap();
            let mut wheel = Wheel::with_capacity(64).unwrap();
            let mut twin: StdVec<u32> = StdVec::new();
            let mut now = Instant::from_secs(1_000);
            for op in ops {
                match op {
                    Op::Insert { after_ms, template } if twin.len() < 64 => {
                        let slot = slab.insert(entry(template, now.plus_millis(after_ms))).unwrap();
                        wheel.insert(&mut slab, slot, now);
                        twin.push(slot);
                    }
                    Op::Touch { which, after_ms } if !twin.is_empty() => {
                        let slot = twin[which.index(twin.len())];
                        slab.get_mut(slot).expires = now.plus_millis(after_ms);
                        wheel.moved(&mut slab, slot);
                    }
                    Op::Remove { which } if !twin.is_empty() => {
                        let slot = twin.remove(which.index(twin.len()));
                        wheel.remove(&mut slab, slot);
                        slab.remove(slot);
                    }
                    Op::Pass { ms, budget } => {
                        now = now.plus_millis(ms);
                        if let Some(next) = wheel.next_deadline(&slab) {
                            let nearest = twin.iter().map(|&s| slab.get(s).expires).min().unwrap();
                            prop_assert!(next <= nearest, "never later than the nearest deadline");
                        }
                        if wheel.is_nothing_due(now) {
                            prop_assert!(twin.iter().all(|&s| slab.get(s).expires > now), "something is due");
                        }
                        let mut have = StdVec::new();
                        loop {
                            match wheel.pop_due(&mut slab, now, &mut budget.clone()) {
                                Due::Entry(slot) => have.push(slot),
                                Due::More => {}
                                Due::Nothing => break,
                            }
                        }
                        let mut want: StdVec<u32> = twin.iter().copied().filter(|&s| slab.get(s).expires <= now).collect();
                        twin.retain(|&s| slab.get(s).expires > now);
                        let ticks: StdVec<u64> = have.iter().map(|&s| slab.get(s).expires.as_nanos() >> TICK_SHIFT).collect();
                        prop_assert!(ticks.is_sorted());
                        for &slot in &have {
                            slab.remove(slot);
                        }
                        have.sort_unstable();
                        want.sort_unstable();
                        prop_assert_eq!(have, want);
                        prop_assert_eq!(wheel.len, twin.len());
                    }
                    _ => {}
                }
            }
        }
    }
}
