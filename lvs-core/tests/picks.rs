//! Whoever may get a flow is found; and how few clients move when servers come and go.

use lvs_core::sched::{Maglev, NewFlow, Scheduler, SchedulerKind, SchedulerTunables, SourceHash};
use lvs_core::testkit::{Promises, TestPool};
use lvs_core::{SchedulerFlags, ServerId, ServerSpec};
use proptest::prelude::*;

/// A server: weight, upper threshold, connections, and how many of them are active.
type Server = (u32, u32, u32, u32);

fn server() -> impl Strategy<Value = Server> {
    let weight = prop_oneof![2 => Just(0u32), 5 => 1..5u32, 1 => Just(300u32)];
    let upper = prop_oneof![3 => Just(0u32), 1 => 1..4u32];
    (weight, upper, 0..6u32, 0..6u32)
        .prop_map(|(weight, upper, count, active)| (weight, upper, count, active.min(count)))
}

fn pool(servers: &[Server], kind: SchedulerKind, flags: SchedulerFlags) -> TestPool {
    let mut pool = TestPool::new().flags(flags);
    pool.attach(kind.build(7, SchedulerTunables::default())).unwrap();
    for (host, &(weight, upper, count, active)) in (1u8..).zip(servers) {
        let spec = ServerSpec::nat(([10, 0, 0, host], 80).into());
        // Quiesced servers had a weight before, as those have that are drained.
        let id = pool.add(spec);
        pool.set_weight(id, weight);
        (0..count).for_each(|n| pool.connect(id, n < active));
        pool.edit(id, pool.spec(id).thresholds(upper, 0));
    }
    pool
}

fn flow(pool: &TestPool, client: u32) -> NewFlow {
    let [a, b, c, d] = client.to_be_bytes();
    pool.flow([a, b, c, d], 1_024)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// The promise of every scheduler, and of those that do not always keep it the reason why not.
    #[test]
    fn an_eligible_server_is_found(
        servers in prop::collection::vec(server(), 1..12),
        clients in prop::collection::vec(any::<u32>(), 1..20),
        fallback in any::<bool>(),
    ) {
        for kind in SchedulerKind::ALL {
            let flags = if fallback { SchedulerFlags::FALLBACK } else { SchedulerFlags::NONE };
            let mut pool = pool(&servers, kind, flags);
            for &client in &clients {
                let flow = flow(&pool, client);
                let pick = pool.pick(&flow);
                let eligible: Vec<_> = pool.pool().iter().filter(|server| server.is_eligible()).collect();
                let (all, none) = (eligible.len() == pool.pool().len(), eligible.is_empty());
                match kind {
                    _ if none => prop_assert_eq!(pick, None, "{}", kind),
                    _ if Promises::of(kind).always_picks => prop_assert!(pick.is_some(), "{kind}"),
                    // A weight is the number of connections that a server takes.
                    SchedulerKind::WeightedOverflow => {
                        let has_room = eligible.iter().any(|server| server.active() <= server.weight());
                        prop_assert_eq!(pick.is_some(), has_room, "{}", kind);
                    }
                    // The hash decides, and the server that it falls on may be one that takes nothing. If all do, none fails.
                    _ => prop_assert!(pick.is_some() || !all, "{kind}"),
                }
            }
        }
    }

    /// With its fallback flag `sh` looks at every slot. A weight below 20 leaves no server of these without one.
    #[test]
    fn source_hashing_with_fallback_finds_an_eligible_server(
        servers in prop::collection::vec(server().prop_map(|(weight, upper, count, active)| (weight.min(20), upper, count, active)), 1..12),
        client in any::<u32>(),
    ) {
        let mut pool = pool(&servers, SchedulerKind::SourceHash, SchedulerFlags::FALLBACK);
        let flow = flow(&pool, client);
        let pick = pool.pick(&flow);
        let is_one_eligible = pool.pool().iter().any(|server| server.is_eligible());
        prop_assert_eq!(pick.is_some(), is_one_eligible);
    }
}

/// Ten thousand clients, and the server of each.
fn servers_of(pool: &mut TestPool) -> Vec<Option<ServerId>> {
    (0..10_000u32)
        .map(|n| {
            let flow = flow(pool, n.wrapping_mul(0x9e37_79b9));
            pool.pick(&flow)
        })
        .collect()
}

fn hashed(weights: &[u32], scheduler: impl Scheduler + 'static) -> (TestPool, Vec<ServerId>) {
    let mut pool = TestPool::new().scheduled_by(scheduler);
    let ids = weights.iter().enumerate().map(|(n, &weight)| {
        let [high, low] = u16::try_from(n).unwrap().to_be_bytes();
        pool.add(ServerSpec::nat(([10, 0, high, low], 80).into()).weight(weight))
    });
    let ids = ids.collect();
    (pool, ids)
}

/// Of the clients of servers that stay, how many in a thousand get another server when the `gone`-th leaves.
fn moved(weights: &[u32], gone: usize, scheduler: impl Scheduler + 'static) -> usize {
    let (mut pool, ids) = hashed(weights, scheduler);
    let before = servers_of(&mut pool);
    pool.remove(ids[gone]);
    let after = servers_of(&mut pool);
    let stays: Vec<_> = before.iter().zip(&after).filter(|(old, _)| **old != Some(ids[gone])).collect();
    stays.iter().filter(|(old, new)| old != new).count() * 1_000 / stays.len()
}

/// The most that was found in thousandths, whichever of five servers leaves: the table of `Maglev`'s documentation.
const PUBLISHED: [(u32, usize, usize); 4] = [(3, 2, 2), (10, 16, 17), (50, 29, 38), (100, 33, 21)];

#[test]
fn few_clients_of_others_move_when_a_server_leaves() {
    for (count, equal, weighted) in PUBLISHED {
        for (weights, published) in
            [(vec![1; count as usize], equal), ((0..count).map(|n| 1 + n % 4).collect(), weighted)]
        {
            let leaves = (0..5).map(|n| n * weights.len() / 5);
            let most = leaves.map(|gone| moved(&weights, gone, Maglev::new())).max().unwrap();
            assert!(most <= published, "{count} servers: {most} of 1000 clients move");
        }
    }
    let by_source = moved(&[1; 10], 5, SourceHash::new());
    assert!(by_source > 500, "the same of sh: {by_source}");
}

#[test]
fn clients_are_shared_out_by_weight() {
    let weights = [1, 2, 3, 4, 10];
    let (mut pool, ids) = hashed(&weights, Maglev::new());
    let servers = servers_of(&mut pool);
    for (id, weight) in ids.iter().zip(weights) {
        let share = servers.iter().filter(|server| **server == Some(*id)).count() * 20 / weight as usize;
        assert!(share.abs_diff(servers.len()) <= servers.len() / 8, "weight {weight}: {share}");
    }
}

#[test]
fn nobody_elses_client_moves_when_a_server_is_drained() {
    let (mut pool, ids) = hashed(&[1, 2, 3, 4], Maglev::new());
    let before = servers_of(&mut pool);
    pool.set_weight(ids[2], 0);
    let after = servers_of(&mut pool);
    for (old, new) in before.iter().zip(&after) {
        assert_eq!(*new, old.filter(|id| *id != ids[2]), "its own have none, without the fallback flag");
    }
    pool.set_flags(SchedulerFlags::FALLBACK);
    let after = servers_of(&mut pool);
    assert!(after.iter().all(|server| server.is_some_and(|id| id != ids[2])));
    assert!(before.iter().zip(&after).all(|(old, new)| *old == Some(ids[2]) || old == new));
}
