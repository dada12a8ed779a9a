//! The contract of schedulers, kept by all of IPVS and by one that a user might write.

use lvs_core::ServerId;
use lvs_core::sched::{self, NewFlow, Pool, Scheduler, SchedulerKind};
use lvs_core::testkit::Promises;

lvs_core::scheduler_contract! {
    rr => sched::RoundRobin::new(),
    wrr => sched::WeightedRoundRobin::new(),
    lc => sched::LeastConnection::new(),
    wlc => sched::WeightedLeastConnection::new(),
    lblc (Promises::of(SchedulerKind::LocalityLeastConnection)) => sched::LocalityLeastConnection::default(),
    lblcr => sched::ReplicatedLocalityLeastConnection::default(),
    dh (Promises::of(SchedulerKind::DestinationHash)) => sched::DestinationHash::new(),
    sh (Promises::of(SchedulerKind::SourceHash)) => sched::SourceHash::new(),
    sed => sched::ShortestExpectedDelay::new(),
    nq => sched::NeverQueue::new(),
    mh (Promises::of(SchedulerKind::Maglev)) => sched::Maglev::new(),
    fo => sched::WeightedFailover::new(),
    ovf (Promises::of(SchedulerKind::WeightedOverflow)) => sched::WeightedOverflow::new(),
    twos => sched::TwoChoices::new(7),
    swrr => sched::SmoothWeightedRoundRobin::new(),
    rr_drawn => drawn(sched::RoundRobin::new()),
    wrr_drawn => drawn(sched::WeightedRoundRobin::new()),
    swrr_drawn => drawn(sched::SmoothWeightedRoundRobin::new()),
    users_own => FewestConnections,
}

/// The same scheduler, its turns beginning somewhere.
fn drawn<S: Scheduler>(mut scheduler: S) -> S {
    scheduler.begin_at(Some(11));
    scheduler
}

/// Always the eligible server with the fewest connections, whatever its weight.
#[derive(Debug)]
struct FewestConnections;

impl Scheduler for FewestConnections {
    fn pick(&mut self, _flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        pool.iter().filter(|s| s.is_eligible()).min_by_key(|s| s.connections()).map(|s| s.id())
    }
}

mod suite {
    //! The suite notices what it is meant to notice.

    use super::*;
    use lvs_core::sched::SchedulerTunables;
    use lvs_core::testkit::contract;

    /// Always the first server of the list, come what may.
    #[derive(Debug)]
    struct First;

    impl Scheduler for First {
        fn pick(&mut self, _flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
            pool.get(0).map(|s| s.id())
        }
    }

    /// The server that it once picked, even after that has left, but not without a weight.
    #[derive(Debug, Default)]
    struct Loyal(Option<ServerId>);

    impl Scheduler for Loyal {
        fn pick(&mut self, _flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
            let found = pool.iter().find(|s| s.is_eligible()).map(|s| s.id());
            let kept = self.0.filter(|&id| pool.find(id).is_none_or(|s| s.weight() > 0));
            self.0 = kept.or(found);
            self.0
        }
    }

    /// Copies a round-robin turn as if it had not begun.
    #[derive(Debug)]
    struct Forgetful(sched::RoundRobin);

    impl Scheduler for Forgetful {
        fn pick(&mut self, flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
            self.0.pick(flow, pool)
        }

        fn fork(&self) -> Option<Box<dyn Scheduler>> {
            Some(Box::new(Self(sched::RoundRobin::new())))
        }
    }

    #[test]
    #[should_panic(expected = "has no weight")]
    fn a_pick_without_weight_is_noticed() {
        contract::a_pick_may_get_the_flow(|| Box::new(First), Promises::ALL);
    }

    #[test]
    #[should_panic(expected = "is not of")]
    fn a_pick_of_a_server_that_has_left_is_noticed() {
        let promises = Promises { avoids_overloaded: false, ..Promises::ALL };
        contract::a_pick_may_get_the_flow(|| Box::new(Loyal::default()), promises);
    }

    #[test]
    #[should_panic(expected = "after all servers have left")]
    fn a_pick_from_a_pool_that_was_emptied_is_noticed() {
        contract::an_empty_pool_yields_nothing(|| Box::new(Loyal::default()));
    }

    #[test]
    #[should_panic(expected = "is overloaded")]
    fn lblc_picks_overloaded_servers() {
        contract::a_pick_may_get_the_flow(|| Box::new(sched::LocalityLeastConnection::default()), Promises::ALL);
    }

    #[test]
    #[should_panic(expected = "no pick from")]
    fn ovf_fails_though_servers_are_eligible() {
        contract::an_eligible_server_is_found(|| Box::new(sched::WeightedOverflow::new()), Promises::ALL);
    }

    #[test]
    #[should_panic(expected = "no pick from")]
    fn dh_fails_though_servers_are_eligible() {
        contract::an_eligible_server_is_found(|| Box::new(sched::DestinationHash::new()), Promises::ALL);
    }

    #[test]
    #[should_panic(expected = "no pick from")]
    fn sh_fails_though_servers_are_eligible() {
        contract::an_eligible_server_is_found(|| Box::new(sched::SourceHash::new()), Promises::ALL);
    }

    #[test]
    #[should_panic(expected = "no pick from")]
    fn mh_fails_though_servers_are_eligible() {
        contract::an_eligible_server_is_found(|| Box::new(sched::Maglev::new()), Promises::ALL);
    }

    #[test]
    #[should_panic(expected = "step")]
    fn a_copy_that_answers_otherwise_is_noticed() {
        contract::a_fork_answers_alike_and_changes_nothing(
            || Box::new(Forgetful(sched::RoundRobin::new())),
            Promises::ALL,
        );
    }

    #[test]
    fn the_registry_builds_schedulers_that_keep_their_promises() {
        for kind in SchedulerKind::ALL {
            contract::a_pick_may_get_the_flow(|| kind.build(1, SchedulerTunables::default()), Promises::of(kind));
        }
    }
}
