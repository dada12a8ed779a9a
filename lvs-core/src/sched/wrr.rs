//! Weighted round-robin scheduling.
//!
//! Owns: where the turn is, and the weight that a server needs to take part in it.
//! Follows: the `wrr` scheduler of IPVS: the threshold goes down from the highest weight in steps of the greatest
//! common divisor, and in each round all servers of at least that weight take a turn. Each change of the service puts
//! the turn back to the start of the list but keeps the threshold; since a service grows server by server, its first
//! round thus gives every server one flow.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{NewFlow, Pool, PoolRefused, Scheduler, gcd, index_below};
use crate::rng::Rng;
use crate::service::ServerId;
use crate::time::Instant;

/// `wrr`: every eligible server in turn, the heavier ones more often.
#[derive(Clone, Debug)]
pub struct WeightedRoundRobin {
    /// The position that was picked last; `None` stands before the list.
    cursor: Option<usize>,
    /// The weight that takes part in this round.
    threshold: u32,
    /// The threshold of the first round; 0 if no server has a weight. Lower than the highest weight by `step - 1`, so
    /// that the last round's is 1.
    highest: u32,
    /// How far the threshold goes down from round to round: the greatest common divisor of the weights.
    step: u32,
    /// Draws where turns begin, if not at the head of the list.
    draws: Option<Rng>,
    census: Census,
}

impl WeightedRoundRobin {
    /// A turn that has not begun.
    #[must_use]
    pub const fn new() -> Self {
        Self { cursor: None, threshold: 0, highest: 0, step: 1, draws: None, census: Census::new() }
    }

    /// The position that a turn begins after, where that is drawn; `None` is before the list.
    fn draw(&mut self, pool: &Pool<'_>) -> Option<usize> {
        index_below(self.draws.as_mut()?.next_u64(), pool.len()).checked_sub(1)
    }

    fn measure(&mut self) {
        self.step = self.census.divisor.max(1);
        self.highest = self.census.heaviest().saturating_sub(self.step - 1);
    }

    /// The pool changed: back to the start of the list, with the threshold on the new ladder.
    fn adapt(&mut self) {
        self.cursor = None;
        self.measure();
        if self.threshold > self.highest || self.threshold == 0 {
            self.threshold = self.highest;
        } else if self.step > 1 {
            self.threshold = self.threshold / self.step * self.step + 1;
        }
    }

    /// The first position within `from..to` that takes part.
    fn find(&self, from: usize, to: usize, pool: &Pool<'_>) -> Option<usize> {
        let takes_part = |position| {
            pool.get(position).is_some_and(|server| !server.is_overloaded() && server.weight() >= self.threshold)
        };
        (from..to).find(|&position| takes_part(position))
    }

    /// The threshold of the next round. False if it had to start from the top again.
    const fn lower(&mut self) -> bool {
        let goes_on = self.threshold > self.step;
        self.threshold = if goes_on { self.threshold - self.step } else { self.highest };
        goes_on
    }

    /// Passes over rounds that nobody takes part in, except the last one: the outcome is the same, but a large
    /// weight on an overloaded server must not cost as many walks through the list.
    fn skip_idle_rounds(&mut self, pool: &Pool<'_>) {
        let eligible = pool.iter().filter(|server| !server.is_overloaded());
        let busy = eligible.map(|server| server.weight()).max().unwrap_or(0).max(self.step);
        if self.threshold > busy {
            self.threshold -= (self.threshold - busy).div_ceil(self.step) * self.step;
        }
    }

    /// The next position, once nobody after `begin` took part in the round. Leaves the cursor where the kernel does
    /// when there is none.
    fn find_in_later_rounds(&mut self, begin: Option<usize>, pool: &Pool<'_>) -> Option<usize> {
        let wrapped = !self.lower();
        if wrapped && begin.is_none() {
            self.cursor = None;
            return None;
        }
        // All rounds from here on start at the head of the list. A pick that began in the last round has seen the
        // servers after its beginning already; when it comes to the last round again, only the others are left.
        let stop = begin.filter(|_| wrapped);
        loop {
            self.skip_idle_rounds(pool);
            let last = stop.filter(|_| self.threshold <= self.step);
            let end = last.map_or(pool.len(), |last| last + 1);
            if let Some(position) = self.find(0, end, pool) {
                return Some(position);
            }
            if last.is_some() || !self.lower() {
                self.cursor = last;
                return None;
            }
        }
    }
}

impl Scheduler for WeightedRoundRobin {
    fn pick(&mut self, _flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        if self.highest == 0 {
            return None;
        }
        let begin = self.cursor.or_else(|| self.draw(pool));
        let position = self
            .find(begin.map_or(0, |last| last + 1), pool.len(), pool)
            .or_else(|| self.find_in_later_rounds(begin, pool))?;
        self.cursor = Some(position);
        pool.get(position).map(|server| server.id())
    }

    fn start(&mut self, pool: &Pool<'_>, _now: Instant) -> Result<(), PoolRefused> {
        self.cursor = None;
        self.census.take(pool);
        self.measure();
        self.threshold = self.highest;
        Ok(())
    }

    fn begin_at(&mut self, draw: Option<u64>) {
        self.draws = draw.map(Rng::from_seed);
    }

    fn added(&mut self, pool: &Pool<'_>) {
        self.census.added(pool);
        self.adapt();
    }

    fn removed(&mut self, position: usize, pool: &Pool<'_>) {
        self.census.removed(position, pool);
        self.adapt();
    }

    fn edited(&mut self, position: usize, pool: &Pool<'_>) {
        self.census.edited(position, pool);
        self.adapt();
    }

    fn fork(&self) -> Option<Box<dyn Scheduler>> {
        Some(Box::new(self.clone()))
    }
}

impl Default for WeightedRoundRobin {
    fn default() -> Self {
        Self::new()
    }
}

/// The weights of a pool, counted, so that a change of one server is worked out without a look at the others. The threshold
/// depends on every change on the way, so that none can be passed over.
#[derive(Clone, Debug)]
struct Census {
    /// From the last server of the list to the first: a new one comes at the end.
    weights: Vec<u32>,
    /// How many servers have a weight.
    counts: BTreeMap<u32, u32>,
    /// The greatest common divisor of the weights.
    divisor: u32,
}

impl Census {
    const fn new() -> Self {
        Self { weights: Vec::new(), counts: BTreeMap::new(), divisor: 0 }
    }

    fn take(&mut self, pool: &Pool<'_>) {
        *self = Self::new();
        for server in pool.iter() {
            self.weights.push(server.weight());
            self.count(server.weight());
        }
        self.weights.reverse();
    }

    fn added(&mut self, pool: &Pool<'_>) {
        match pool.get(0).map(|server| server.weight()) {
            Some(weight) if self.weights.len() + 1 == pool.len() => {
                self.weights.push(weight);
                self.count(weight);
            }
            _ => self.take(pool),
        }
    }

    fn removed(&mut self, position: usize, pool: &Pool<'_>) {
        match pool.len().checked_sub(position) {
            Some(place) if self.weights.len() == pool.len() + 1 => {
                let weight = self.weights.remove(place);
                self.discount(weight);
            }
            _ => self.take(pool),
        }
    }

    fn edited(&mut self, position: usize, pool: &Pool<'_>) {
        let place = pool.len().wrapping_sub(position).wrapping_sub(1);
        match (self.weights.get_mut(place), pool.get(position).map(|server| server.weight())) {
            (Some(old), Some(new)) => {
                let old = core::mem::replace(old, new);
                self.count(new);
                self.discount(old);
            }
            _ => self.take(pool),
        }
    }

    fn heaviest(&self) -> u32 {
        self.counts.last_key_value().map_or(0, |(&weight, _)| weight)
    }

    fn count(&mut self, weight: u32) {
        *self.counts.entry(weight).or_insert(0) += 1;
        self.divisor = gcd(self.divisor, weight);
    }

    /// One server less has this weight. If it was the last, the divisor of the others may be greater, not less.
    fn discount(&mut self, weight: u32) {
        let Some(count) = self.counts.get_mut(&weight) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        self.counts.remove(&weight);
        let least = core::mem::take(&mut self.divisor);
        for &weight in self.counts.keys() {
            self.divisor = gcd(self.divisor, weight);
            if self.divisor == least {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{A, Abc, B, C};
    use super::*;
    use crate::rng::Rng;
    use crate::service::ServerSpec;
    use crate::testkit::TestPool;
    use core::net::SocketAddr;

    fn wrr(weights: [u32; 3]) -> Abc {
        Abc::new(WeightedRoundRobin::new(), weights)
    }

    fn numbers(weights: [u32; 3]) -> [u32; 3] {
        let mut wrr = WeightedRoundRobin::new();
        let mut pool = TestPool::new();
        wrr.start(&pool.pool(), Instant::ZERO).unwrap();
        for (host, weight) in (1..).zip(weights) {
            pool.add(ServerSpec::nat(SocketAddr::from(([10, 0, 0, host], 80))).weight(weight));
            wrr.added(&pool.pool());
        }
        [wrr.step, wrr.highest, wrr.threshold]
    }

    #[test]
    fn a_service_built_server_by_server_begins_with_the_last_round() {
        assert_eq!(numbers([4, 3, 2]), [1, 4, 1]);
        assert_eq!(numbers([1, 2, 3]), [1, 3, 1]);
        assert_eq!(numbers([2, 4, 6]), [2, 5, 1]);
        assert_eq!(numbers([5, 1, 1]), [1, 5, 1]);
        assert_eq!(numbers([0, 0, 0]), [1, 0, 0]);
    }

    #[test]
    fn heavier_servers_take_part_in_more_rounds() {
        assert_eq!(wrr([4, 3, 2]).picks(21), "CBAABACBACBAABACBACBA");
        assert_eq!(wrr([1, 2, 3]).picks(15), "CBACCBCBACCBCBA");
        assert_eq!(wrr([5, 1, 1]).picks(14), "CBAAAAACBAAAAA");
    }

    #[test]
    fn a_drawn_beginning_leaves_the_proportions_alone() {
        let mut firsts = std::collections::BTreeSet::new();
        for draw in 0..20 {
            let mut scheduler = WeightedRoundRobin::new();
            scheduler.begin_at(Some(draw));
            let mut abc = Abc::new(scheduler, [4, 3, 2]);
            let picks = abc.picks(100);
            firsts.insert(picks.chars().next());
            for (letter, weight) in [('A', 4), ('B', 3), ('C', 2)] {
                let count = picks.matches(letter).count() * 9;
                assert!(count.abs_diff(weight * 100) <= 27, "{picks}");
            }
        }
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn an_eligible_server_is_found_from_any_beginning() {
        for draw in 0..20 {
            let mut scheduler = WeightedRoundRobin::new();
            scheduler.begin_at(Some(draw));
            let mut abc = Abc::new(scheduler, [1, 9, 5]);
            abc.overload(B);
            abc.weight(C, 0);
            assert_eq!(abc.picks(3), "AAA");
        }
    }

    #[test]
    fn a_common_divisor_of_the_weights_changes_nothing() {
        assert_eq!(wrr([2, 4, 6]).picks(30), wrr([1, 2, 3]).picks(30));
    }

    #[test]
    fn starting_on_a_whole_service_begins_with_the_first_round() {
        let mut abc = wrr([4, 3, 2]);
        abc.pool.attach(Box::new(WeightedRoundRobin::new())).unwrap();
        assert_eq!(abc.picks(9), "ABACBACBA");
    }

    #[test]
    fn an_edit_goes_back_to_the_head_and_lowers_the_threshold() {
        let mut abc = wrr([4, 3, 2]);
        assert_eq!(abc.picks(4), "CBAA");
        abc.weight(A, 1);
        assert_eq!(abc.picks(8), "BCBCBABC");
    }

    #[test]
    fn servers_without_weight_take_no_part() {
        let mut abc = wrr([0, 2, 1]);
        assert_eq!(abc.picks(6), "CBBCBB");
        abc.weight(B, 0);
        abc.weight(C, 0);
        assert_eq!(abc.picks(2), "--");
        abc.weight(A, 9);
        assert_eq!(abc.picks(2), "AA");
    }

    #[test]
    fn a_huge_overloaded_weight_does_not_cost_as_many_rounds() {
        let mut abc = wrr([1, 0x7fff_ffff, 1]);
        abc.overload(B);
        assert_eq!(abc.picks(6), "CACACA");
        abc.overload(A);
        abc.overload(C);
        assert_eq!(abc.picks(2), "--");
    }

    /// The rules as they are written down: one traversal after the other, without a shortcut.
    struct Reference {
        cursor: Option<ServerId>,
        cw: i64,
        mw: i64,
        di: i64,
    }

    impl Reference {
        fn recalc(&mut self, pool: &Pool<'_>) {
            let weights: Vec<i64> = pool.iter().map(|s| i64::from(s.weight())).filter(|&w| w > 0).collect();
            let heaviest = weights.iter().copied().max().unwrap_or(0);
            self.di = (1..=heaviest).rev().find(|d| weights.iter().all(|w| w % d == 0)).unwrap_or(1);
            self.mw = heaviest - (self.di - 1);
            self.cursor = None;
        }

        fn hook(&mut self, pool: &Pool<'_>) {
            self.recalc(pool);
            if self.cw > self.mw || self.cw == 0 {
                self.cw = self.mw;
            } else if self.di > 1 {
                self.cw = (self.cw / self.di) * self.di + 1;
            }
        }

        fn pick(&mut self, pool: &Pool<'_>) -> Option<ServerId> {
            if self.mw == 0 {
                return None;
            }
            let list: Vec<_> = pool.iter().collect();
            let entry = self.cursor;
            let mut from = entry.map_or(0, |id| list.iter().position(|s| s.id() == id).unwrap() + 1);
            let (mut full, mut wrapped) = (false, false);
            loop {
                for server in &list[from..] {
                    if !server.is_overloaded() && i64::from(server.weight()) >= self.cw {
                        self.cursor = Some(server.id());
                        return self.cursor;
                    }
                    if full && wrapped && self.cw <= self.di && Some(server.id()) == entry {
                        return None;
                    }
                }
                let threshold = self.cw;
                self.cw -= self.di;
                if self.cw <= 0 {
                    self.cw = self.mw;
                    if entry.is_none() || (full && threshold <= self.di) {
                        self.cursor = None;
                        return None;
                    }
                    wrapped = true;
                }
                (full, from) = (true, 0);
            }
        }
    }

    /// One change of the pool, told to both; or none, only connections coming and going.
    fn change(rng: &mut Rng, pool: &mut TestPool, wrr: &mut WeightedRoundRobin, reference: &mut Reference) {
        let weight = [0, 1, 1, 2, 3, 4, 6, 9, 10, 40][rng.up_to(9) as usize];
        let upper = [0, 0, 0, 1, 2][rng.up_to(4) as usize];
        let count = pool.pool().len();
        let position = rng.up_to(u32::try_from(count.max(1)).unwrap() - 1) as usize;
        let Some(id) = pool.pool().get(position).map(|s| s.id()).filter(|_| count > 7 || rng.up_to(9) > 0) else {
            let host = rng.next_u64().to_be_bytes();
            pool.add(ServerSpec::nat(SocketAddr::from(([10, host[0], host[1], host[2]], 80))).weight(weight));
            wrr.added(&pool.pool());
            return reference.hook(&pool.pool());
        };
        match rng.up_to(11) {
            0 => {
                pool.remove(id);
                wrr.removed(position, &pool.pool());
                reference.hook(&pool.pool());
            }
            1 | 2 => {
                pool.edit(id, pool.spec(id).weight(weight).thresholds(upper, 0));
                wrr.edited(position, &pool.pool());
                reference.hook(&pool.pool());
            }
            3..=5 => pool.connect(id, false),
            6..=8 => pool.disconnect(id),
            _ => {}
        }
    }

    #[test]
    fn long_histories_go_as_the_written_rules_say() {
        for seed in 0..60 {
            let mut rng = Rng::from_seed(seed);
            let mut pool = TestPool::new();
            let mut wrr = WeightedRoundRobin::new();
            wrr.start(&pool.pool(), Instant::ZERO).unwrap();
            let mut reference = Reference { cursor: None, cw: 0, mw: 0, di: 1 };
            let flow = pool.flow([192, 168, 1, 1], 0);
            for step in 0..400 {
                change(&mut rng, &mut pool, &mut wrr, &mut reference);
                for _ in 0..rng.up_to(4) {
                    let expected = reference.pick(&pool.pool());
                    assert_eq!(wrr.pick(&flow, &pool.pool()), expected, "seed {seed}, step {step}");
                    assert_eq!(i64::from(wrr.threshold), reference.cw, "seed {seed}, step {step}");
                    let cursor = wrr.cursor.and_then(|position| pool.pool().get(position)).map(|server| server.id());
                    assert_eq!(cursor, reference.cursor, "seed {seed}, step {step}");
                    let eligible = pool.pool().iter().any(|server| server.is_eligible());
                    assert_eq!(expected.is_some(), eligible, "seed {seed}, step {step}");
                }
            }
        }
    }
}
