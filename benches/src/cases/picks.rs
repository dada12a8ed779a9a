//! One pick of each scheduler, over 16 and over 1000 servers. Where loads decide, each pick becomes an active connection and an
//! older one ends, so that no two picks find the same loads.

use core::hint::black_box;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use lvs_core::sched::{NewFlow, SchedulerKind, SchedulerTunables};
use lvs_core::testkit::TestPool;
use lvs_core::{Instant, ServerSpec};

use super::Plan;
use crate::measure::{Cost, time};
use crate::report::{Limit, Report, Row};

/// What the cost may grow by where it is not to depend on the number of servers: more of them do not fit into the
/// nearest cache.
const FLAT: f64 = 1.5;
/// And where a search is to be faster than looking at each: the square root of how many times more servers there are.
const BELOW_LINEAR: f64 = 8.0;

pub(super) fn cases(plan: &Plan, report: &mut Report) {
    for kind in SchedulerKind::ALL {
        let by_load = matches!(kind.name(), "lc" | "wlc" | "sed" | "nq");
        let [few, many] = [16, 1000]
            .map(|servers| if by_load { pick_and_connect(plan, kind, servers) } else { pick(plan, kind, servers) });
        let row = Row::new(format!("pick, {} over 1000 servers", kind.name()), &many).against("over 16", &few);
        report.add(match kind.name() {
            "rr" | "wrr" | "sh" | "dh" | "mh" => row.target("T9", Limit::Ratio(FLAT)),
            "lc" | "wlc" | "sed" | "nq" => row.target("T9", Limit::Ratio(BELOW_LINEAR)),
            _ => row,
        });
    }
}

fn pick(plan: &Plan, kind: SchedulerKind, servers: u16) -> Cost {
    let mut pool = pool(kind, servers);
    let mut n = 0u32;
    time(plan.rounds, 1000, || {
        for _ in 0..1000 {
            n = n.wrapping_add(1);
            let client = SocketAddr::from((Ipv4Addr::from(n), 1000));
            let picked = pool.pick(&NewFlow::new(Instant::ZERO, 6, client, [192, 0, 2, 10].into()));
            assert!(black_box(picked).is_some(), "there is always a server");
        }
    })
}

/// How many connections there are beside the first ones.
const OPEN: usize = 512;

fn pick_and_connect(plan: &Plan, kind: SchedulerKind, servers: u16) -> Cost {
    let mut pool = pool(kind, servers);
    let flow = pool.flow([192, 0, 2, 1], 1000);
    let mut open = VecDeque::with_capacity(OPEN + 1);
    time(plan.rounds, 1000, || {
        for _ in 0..1000 {
            let picked = pool.pick(&flow).expect("there is always a server");
            pool.connect(picked, true);
            open.push_back(picked);
            if open.len() > OPEN
                && let Some(oldest) = open.pop_front()
            {
                pool.disconnect(oldest);
            }
        }
    })
}

/// A service with a scheduler and servers of weights 1 to 4, a connection at each.
///
/// # Panics
/// If the scheduler refuses them.
#[must_use]
pub(crate) fn pool(kind: SchedulerKind, servers: u16) -> TestPool {
    let mut pool = TestPool::new();
    for n in 0..servers {
        let [high, low] = n.to_be_bytes();
        let weight = if kind.name() == "ovf" { 1 << 30 } else { u32::from(n % 4) + 1 };
        let id = pool.add(ServerSpec::nat(SocketAddr::from(([10, 1, high, low], 80))).weight(weight));
        pool.connect(id, true);
    }
    pool.attach(kind.build(7, SchedulerTunables::default())).expect("a pool that suits every scheduler");
    pool
}
