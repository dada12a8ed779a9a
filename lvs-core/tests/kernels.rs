//! What kernels of different age do differently, worked out by hand.

use std::time::Duration;

use lvs_core::sched::{Scheduler, SchedulerKind, SchedulerTunables};
use lvs_core::testkit::{TestPool, packets};
use lvs_core::{
    Config, ControlError, Director, Instant, Kernel, Meta, Packet, ReplyReason, ServerSpec, ServiceSpec, Verdict,
};

fn scheduler(name: &str) -> Box<dyn Scheduler> {
    SchedulerKind::from_name(name).unwrap().build(7, SchedulerTunables::default())
}

/// One server has one active connection, the one before it in the list 256 inactive ones.
///
/// Linux 6.1.192 counts 257 and 256: the second is the lighter. Older kernels count 256 and 256, and take the first of
/// the list.
fn pick_at_256(kernel: Kernel, name: &str) -> &'static str {
    let mut pool = TestPool::new().kernel(kernel);
    pool.attach(scheduler(name)).unwrap();
    let inactive = pool.add(ServerSpec::nat("10.0.0.1:80".parse().unwrap()));
    let active = pool.add(ServerSpec::nat("10.0.0.2:80".parse().unwrap()));
    pool.set_connections(active, 1, 1);
    pool.set_connections(inactive, 256, 0);
    let pick = pool.pick(&pool.flow([192, 168, 1, 1], 1)).unwrap();
    if pick == active { "one active" } else { "256 inactive" }
}

#[test]
fn an_active_connection_weighs_257_or_256_others() {
    for name in ["lc", "wlc", "lblc", "lblcr"] {
        assert_eq!(pick_at_256(Kernel::V6_1_192, name), "256 inactive", "{name}");
        assert_eq!(pick_at_256(Kernel::Older, name), "one active", "{name}");
    }
    for name in ["sed", "nq"] {
        assert_eq!(pick_at_256(Kernel::V6_1_192, name), pick_at_256(Kernel::Older, name), "{name}");
    }
}

#[test]
fn the_shown_overhead_is_the_one_compared() {
    for (kernel, overhead) in [(Kernel::V6_1_192, 3 * 257 + 4), (Kernel::Older, 3 * 256 + 4)] {
        let mut pool = TestPool::new().kernel(kernel);
        let id = pool.add(ServerSpec::nat("10.0.0.1:80".parse().unwrap()));
        pool.set_connections(id, 7, 3);
        assert_eq!(pool.pool().get(0).unwrap().overhead(), overhead);
    }
}

/// Overload after each of: six connections, an upper threshold of 4, of 8, one connection less each.
fn overload_through_edits(kernel: Kernel) -> Vec<bool> {
    let mut pool = TestPool::new().kernel(kernel);
    let id = pool.add(ServerSpec::nat("10.0.0.1:80".parse().unwrap()));
    (0..6).for_each(|_| pool.connect(id, false));
    let mut seen = Vec::new();
    let mut look = |pool: &TestPool| seen.push(pool.pool().get(0).unwrap().is_overloaded());
    look(&pool);
    pool.edit(id, pool.spec(id).thresholds(4, 0));
    look(&pool);
    pool.connect(id, false);
    look(&pool);
    pool.edit(id, pool.spec(id).thresholds(8, 0));
    look(&pool);
    for _ in 0..2 {
        pool.disconnect(id);
        look(&pool);
    }
    seen
}

#[test]
fn a_change_of_thresholds_is_judged_at_once_or_with_the_next_connection() {
    // Seven connections when the upper threshold becomes 8, hence the lower one 6: still overloaded, until there are
    // five. Older kernels forget the overload as soon as the upper threshold is raised.
    assert_eq!(overload_through_edits(Kernel::V6_1_192), [false, true, true, true, true, false]);
    assert_eq!(overload_through_edits(Kernel::Older), [false, false, true, false, false, false]);
}

#[test]
fn up_and_down_alone_both_do_the_same() {
    for kernel in [Kernel::V6_1_192, Kernel::Older] {
        for (upper, lower, ends_at) in [(4, 0, 2), (5, 0, 3), (4, 2, 1), (1, 0, 0), (7, 0, 5)] {
            let mut pool = TestPool::new().kernel(kernel);
            let id = pool.add(ServerSpec::nat("10.0.0.1:80".parse().unwrap()).thresholds(upper, lower));
            let overloaded = |pool: &TestPool| pool.pool().get(0).unwrap().is_overloaded();
            for count in 1..=upper {
                pool.connect(id, false);
                assert_eq!(overloaded(&pool), count == upper, "{kernel:?} {upper}/{lower}: {count} connections");
            }
            for count in (0..upper).rev() {
                pool.disconnect(id);
                assert_eq!(overloaded(&pool), count > ends_at, "{kernel:?} {upper}/{lower}: {count} connections");
            }
        }
    }
}

fn web(kernel: Kernel, spec: ServiceSpec) -> (Director, lvs_core::ServiceId) {
    let mut director = Director::new(Config { kernel, ..Config::with_seed(7) }).unwrap();
    let service = director.add_service(spec.scheduler("wlc")).unwrap();
    (director, service)
}

fn open(director: &mut Director, client: u8) -> Verdict {
    const ROOM: usize = 64;
    let syn = packets::tcp(&format!("198.51.100.{client}:40000"), "192.0.2.10:80").syn().build();
    let mut buffer = [&[0; ROOM], &syn[..]].concat();
    let mut packet = Packet::new(&mut buffer, ROOM, syn.len()).unwrap();
    director.process(Instant::from_millis(1), &mut packet, Meta::default())
}

#[test]
fn a_lowered_threshold_refuses_at_once_or_one_connection_later() {
    let service = || ServiceSpec::tcp("192.0.2.10:80".parse().unwrap());
    let server = ServerSpec::nat("10.0.0.1:80".parse().unwrap());
    for (kernel, admitted) in [(Kernel::V6_1_192, 0), (Kernel::Older, 1)] {
        let (mut director, id) = web(kernel, service());
        director.add_server(id, server).unwrap();
        (1..=3).for_each(|client| assert!(matches!(open(&mut director, client), Verdict::Forward(_))));
        director.edit_server(id, server.thresholds(2, 0)).unwrap();
        let verdicts: Vec<Verdict> = (10..14).map(|client| open(&mut director, client)).collect();
        let forwarded = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Forward(_))).count();
        assert_eq!(forwarded, admitted, "{kernel:?}");
        assert!(matches!(verdicts[3], Verdict::Reply(reply) if reply.reason == ReplyReason::NoDestination));
    }
}

#[test]
fn a_template_that_goes_lets_older_kernels_look_again() {
    // One connection and its template. The upper threshold is 1: overloaded. When both are gone nobody is.
    for kernel in [Kernel::V6_1_192, Kernel::Older] {
        let spec = ServiceSpec::tcp("192.0.2.10:80".parse().unwrap()).persistent(Duration::from_secs(5));
        let (mut director, id) = web(kernel, spec);
        director.add_server(id, ServerSpec::nat("10.0.0.1:80".parse().unwrap()).thresholds(1, 0)).unwrap();
        assert!(matches!(open(&mut director, 1), Verdict::Forward(_)));
        assert!(matches!(open(&mut director, 2), Verdict::Reply(_)));
        while director.advance(Instant::from_secs(200), 1000).more {}
        assert!(matches!(open(&mut director, 3), Verdict::Forward(_)), "{kernel:?}");
    }
}

#[test]
fn the_largest_upper_threshold() {
    for (kernel, outcome) in [(Kernel::V6_1_192, Err(ControlError::ThresholdRange)), (Kernel::Older, Ok(()))] {
        let (mut director, id) = web(kernel, ServiceSpec::tcp("192.0.2.10:80".parse().unwrap()));
        let spec = ServerSpec::nat("10.0.0.1:80".parse().unwrap()).thresholds(0x8000_0000, 5);
        assert_eq!(director.add_server(id, spec).map(|_| ()), outcome);
        let spec = ServerSpec { lower: 6, upper: 5, ..spec };
        assert_eq!(director.add_server(id, spec).map(|_| ()), Err(ControlError::ThresholdRange));
    }
}
