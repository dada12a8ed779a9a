//! What every scheduler keeps to, as a suite that runs against any.
//!
//! Each check plays seeded random histories: servers come, go and change, connections come and go, time passes, flags
//! change, and in between flows are scheduled. A failure names the seed.
//!
//! [`scheduler_contract!`](crate::scheduler_contract) makes a test of each check.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use super::pool::TestPool;
use crate::rng::Rng;
use crate::sched::{NewFlow, Scheduler, SchedulerKind};
use crate::service::{SchedulerFlags, ServerId, ServerSpec};

/// What a scheduler promises beyond the least: to pick only servers of the pool, and only such that have a weight.
///
/// | scheduler | `always_picks` | `avoids_overloaded` | why not |
/// |---|---|---|---|
/// | `rr` `wrr` `swrr` `lc` `wlc` `sed` `nq` `fo` `twos` `lblcr` | yes | yes | |
/// | `lblc` | yes | no | a remembered server is not asked whether it is overloaded |
/// | `ovf` | no | yes | a server with more active connections than its weight takes none |
/// | `dh` | no | yes | the server of the address is not replaced |
/// | `sh` | no | yes | the same without the fallback flag; with it, a server may have got no slot |
/// | `mh` | no | yes | the same; with the flag, not every place of the table is tried |
///
/// `wrr` keeps the first promise since its last round, in which every weight takes part, always comes before it gives
/// up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promises {
    /// If a server may get a flow, one is picked.
    pub always_picks: bool,
    /// No overloaded server is picked.
    pub avoids_overloaded: bool,
    /// Made the same way and having seen the same, it picks the same.
    pub is_deterministic: bool,
}

impl Promises {
    /// Everything.
    pub const ALL: Self = Self { always_picks: true, avoids_overloaded: true, is_deterministic: true };

    /// What a scheduler of IPVS promises.
    #[must_use]
    pub const fn of(kind: SchedulerKind) -> Self {
        match kind {
            SchedulerKind::LocalityLeastConnection => Self { avoids_overloaded: false, ..Self::ALL },
            SchedulerKind::WeightedOverflow
            | SchedulerKind::DestinationHash
            | SchedulerKind::SourceHash
            | SchedulerKind::Maglev => Self { always_picks: false, ..Self::ALL },
            _ => Self::ALL,
        }
    }
}

/// An empty pool yields nothing, whether it was always empty or has become so.
///
/// # Panics
/// If the scheduler does not keep to that.
pub fn an_empty_pool_yields_nothing(make: impl Fn() -> Box<dyn Scheduler>) {
    for seed in SEEDS {
        let mut story = Story::new(seed, make());
        for flags in FLAGS {
            story.pool.set_flags(flags);
            assert_eq!(story.pick(), None, "seed {seed}");
        }
        for _ in 0..STEPS / 10 {
            story.step();
            story.pick();
        }
        while let Some(first) = story.pool.pool().get(0) {
            let id = first.id();
            story.pool.remove(id);
        }
        assert_eq!(story.pick(), None, "seed {seed}, after all servers have left");
    }
}

/// A pick is a server of the pool, has a weight, and is not overloaded if that is promised.
///
/// # Panics
/// If the scheduler does not keep to that.
pub fn a_pick_may_get_the_flow(make: impl Fn() -> Box<dyn Scheduler>, promises: Promises) {
    for seed in SEEDS {
        let mut story = Story::new(seed, make());
        for step in 0..STEPS {
            story.step();
            let Some(id) = story.pick() else { continue };
            let pool = story.pool.pool();
            let server = pool.iter().find(|server| server.id() == id);
            let server = server.unwrap_or_else(|| panic!("seed {seed}, step {step}: {id:?} is not of {pool:?}"));
            assert!(server.weight() > 0, "seed {seed}, step {step}: {server:?} has no weight");
            let overload = promises.avoids_overloaded && server.is_overloaded();
            assert!(!overload, "seed {seed}, step {step}: {server:?} is overloaded");
        }
    }
}

/// If a server may get a flow, one is picked, if that is promised.
///
/// # Panics
/// If the scheduler does not keep to that.
pub fn an_eligible_server_is_found(make: impl Fn() -> Box<dyn Scheduler>, promises: Promises) {
    for seed in SEEDS.filter(|_| promises.always_picks) {
        let mut story = Story::new(seed, make());
        for step in 0..STEPS {
            story.step();
            let pick = story.pick();
            let pool = story.pool.pool();
            let is_one_eligible = pool.iter().any(|server| server.is_eligible());
            assert!(pick.is_some() || !is_one_eligible, "seed {seed}, step {step}: no pick from {pool:?}");
        }
    }
}

/// Two schedulers made the same way pick the same, if that is promised.
///
/// # Panics
/// If the scheduler does not keep to that.
pub fn one_history_one_story(make: impl Fn() -> Box<dyn Scheduler>, promises: Promises) {
    for seed in SEEDS.filter(|_| promises.is_deterministic) {
        assert_eq!(picks(seed, make(), |_| {}), picks(seed, make(), |_| {}), "seed {seed}");
    }
}

/// A copy picks what the original then picks, and the original does not notice. Nothing is checked of schedulers that
/// cannot be copied.
///
/// # Panics
/// If the scheduler does not keep to that.
pub fn a_fork_answers_alike_and_changes_nothing(make: impl Fn() -> Box<dyn Scheduler>, promises: Promises) {
    for seed in SEEDS {
        let mut story = Story::new(seed, make());
        for step in 0..STEPS {
            story.step();
            let flow = story.flow();
            let Some(mut fork) = story.fork() else { continue };
            let answer = fork.pick(&flow, &story.pool.pool());
            assert_eq!(story.pool.pick(&flow), answer, "seed {seed}, step {step}");
        }
        if promises.is_deterministic {
            assert_eq!(picks(seed, make(), ask_a_fork), picks(seed, make(), |_| {}), "seed {seed}: a copy was noticed");
        }
    }
}

/// Ticks may come late, early or twice, and starting anew is possible at any time: nothing of it panics.
///
/// # Panics
/// If the scheduler does.
pub fn ticks_and_starts_at_any_time_are_harmless(make: impl Fn() -> Box<dyn Scheduler>) {
    for seed in SEEDS {
        let mut story = Story::new(seed, make());
        for _ in 0..STEPS {
            story.step();
            match story.rng.up_to(20) {
                0 => drop(story.pool.restart()),
                1 => story.pool.advance(Duration::from_secs(3600 * 24 * 365 * 100)),
                2 => story.tick_a_fork(),
                _ => {}
            }
            story.pick();
        }
    }
}

/// All checks, for a scheduler that `make` makes.
///
/// # Panics
/// If the scheduler does not keep to one of them.
pub fn scheduler_contract(make: impl Fn() -> Box<dyn Scheduler>, promises: Promises) {
    an_empty_pool_yields_nothing(&make);
    a_pick_may_get_the_flow(&make, promises);
    an_eligible_server_is_found(&make, promises);
    one_history_one_story(&make, promises);
    a_fork_answers_alike_and_changes_nothing(&make, promises);
    ticks_and_starts_at_any_time_are_harmless(&make);
}

/// Makes a module of tests for each scheduler named: one test for each check of the [contract](crate::testkit::contract).
///
/// What a scheduler does not promise is said in parentheses; by default it promises [everything](Promises::ALL).
///
/// ```
/// use lvs_core::sched::{LeastConnection, LocalityLeastConnection};
/// use lvs_core::testkit::Promises;
///
/// lvs_core::scheduler_contract! {
///     lc => LeastConnection::new(),
///     lblc (Promises { avoids_overloaded: false, ..Promises::ALL }) => LocalityLeastConnection::default(),
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! scheduler_contract {
    ($($name:ident $(($promises:expr))? => $make:expr),+ $(,)?) => { $(
        mod $name {
            #[allow(unused_imports, reason = "the expressions may or may not need them")]
            use super::*;
            use $crate::testkit::contract;

            fn make() -> ::std::boxed::Box<dyn $crate::sched::Scheduler> {
                ::std::boxed::Box::new($make)
            }

            fn promises() -> contract::Promises {
                [$($promises,)? contract::Promises::ALL][0]
            }

            #[test]
            fn an_empty_pool_yields_nothing() {
                contract::an_empty_pool_yields_nothing(make);
            }

            #[test]
            fn a_pick_may_get_the_flow() {
                contract::a_pick_may_get_the_flow(make, promises());
            }

            #[test]
            fn an_eligible_server_is_found() {
                contract::an_eligible_server_is_found(make, promises());
            }

            #[test]
            fn one_history_one_story() {
                contract::one_history_one_story(make, promises());
            }

            #[test]
            fn a_fork_answers_alike_and_changes_nothing() {
                contract::a_fork_answers_alike_and_changes_nothing(make, promises());
            }

            #[test]
            fn ticks_and_starts_at_any_time_are_harmless() {
                contract::ticks_and_starts_at_any_time_are_harmless(make);
            }
        }
    )+ };
}

/// The picks of a whole history, with something done before each.
fn picks(seed: u64, scheduler: Box<dyn Scheduler>, before: impl Fn(&Story)) -> Vec<Option<ServerId>> {
    let mut story = Story::new(seed, scheduler);
    let mut picks = Vec::new();
    for _ in 0..STEPS {
        story.step();
        before(&story);
        picks.push(story.pick());
    }
    picks
}

/// Asks a copy for flows that the original will not see.
fn ask_a_fork(story: &Story) {
    let mut elsewhere = story.rng.clone();
    elsewhere.next_u64();
    if let Some(mut fork) = story.fork() {
        for _ in 0..3 {
            fork.pick(&flow_at(&mut elsewhere, &story.pool), &story.pool.pool());
        }
    }
}

/// A random history of one service.
struct Story {
    rng: Rng,
    pool: TestPool,
}

impl Story {
    fn new(seed: u64, scheduler: Box<dyn Scheduler>) -> Self {
        let mut pool = TestPool::new();
        pool.attach(scheduler).expect("an empty pool is no reason to refuse");
        Self { rng: Rng::from_seed(seed), pool }
    }

    /// Something happens.
    fn step(&mut self) {
        match (self.rng.up_to(13), self.any_server()) {
            (0 | 1, _) | (_, None) => self.add(),
            (2, Some(id)) => self.pool.remove(id),
            (3 | 4, Some(id)) => self.edit(id),
            (5..=7, Some(id)) => self.connect(id),
            (8, Some(id)) => self.pool.disconnect(id),
            (9, Some(id)) => self.pool.activate(id),
            (10, Some(id)) => self.pool.deactivate(id),
            (11, _) => self.pass_time(),
            (12, _) => self.change_flags(),
            _ => {}
        }
    }

    fn pick(&mut self) -> Option<ServerId> {
        let flow = self.flow();
        self.pool.pick(&flow)
    }

    fn flow(&mut self) -> NewFlow {
        flow_at(&mut self.rng, &self.pool)
    }

    fn fork(&self) -> Option<Box<dyn Scheduler>> {
        self.pool.scheduler()?.fork()
    }

    /// Time that stands still or goes backwards; only a copy sees it.
    fn tick_a_fork(&mut self) {
        let Some(mut fork) = self.fork() else { return };
        let moments = [self.pool.now(), crate::Instant::MAX, crate::Instant::ZERO, self.pool.now()];
        for now in moments {
            fork.tick(now);
            let flow = self.flow();
            fork.pick(&flow, &self.pool.pool());
        }
    }

    fn any_server(&mut self) -> Option<ServerId> {
        let last = u32::try_from(self.pool.pool().len()).ok()?.checked_sub(1)?;
        let position = self.rng.up_to(last) as usize;
        self.pool.pool().get(position).map(|server| server.id())
    }

    /// A server of an address that the pool does not have; there are few, so that servers come back.
    fn add(&mut self) {
        let host = one_of(&mut self.rng, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let address = SocketAddr::from(([10, 0, 0, host], 80));
        if self.pool.pool().iter().all(|server| server.address() != address) {
            let spec = self.described(ServerSpec::nat(address));
            self.pool.add(spec);
        }
    }

    fn edit(&mut self, id: ServerId) {
        let spec = self.described(self.pool.spec(id));
        self.pool.edit(id, spec);
    }

    fn described(&mut self, spec: ServerSpec) -> ServerSpec {
        let weight = one_of(&mut self.rng, &[0, 0, 1, 1, 1, 2, 3, 4, 10, 300, 0x7fff_ffff]);
        let upper = one_of(&mut self.rng, &[0, 0, 1, 2, 5]);
        let lower = if upper > 1 { one_of(&mut self.rng, &[0, 1, 2]) } else { 0 };
        spec.weight(weight).thresholds(upper, lower)
    }

    fn connect(&mut self, id: ServerId) {
        let active = self.rng.up_to(1) == 1;
        self.pool.connect(id, active);
    }

    fn pass_time(&mut self) {
        let seconds = one_of(&mut self.rng, &[1, 59, 60, 1_800, 7_200, 90_000]);
        self.pool.advance(Duration::from_secs(seconds));
    }

    fn change_flags(&mut self) {
        let flags = one_of(&mut self.rng, &FLAGS);
        self.pool.set_flags(flags);
    }
}

fn flow_at(rng: &mut Rng, pool: &TestPool) -> NewFlow {
    let [a, b, c, d, e, f, ..] = rng.next_u64().to_be_bytes();
    let target = IpAddr::V4(Ipv4Addr::new(198, 51, 100, e % 8));
    let client = SocketAddr::from(([a, b, c, d], u16::from(f)));
    NewFlow::new(pool.now(), one_of(rng, &[6, 17, 132, 50]), client, target)
}

fn one_of<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    let last = u32::try_from(choices.len() - 1).expect("a short list of choices");
    choices[rng.up_to(last) as usize]
}

const SEEDS: core::ops::Range<u64> = 0..12;
const STEPS: u32 = 300;
const FLAGS: [SchedulerFlags; 4] = [
    SchedulerFlags::NONE,
    SchedulerFlags::FALLBACK,
    SchedulerFlags::PORT,
    SchedulerFlags::FALLBACK.with(SchedulerFlags::PORT),
];
