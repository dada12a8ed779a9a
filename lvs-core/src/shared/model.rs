//! The protocol under a scheduler of threads (`shuttle`), which takes turns wherever a lock or the version is touched: a
//! few thousand orders of what threads may do to each other, all of the code being the real one.
//!
//! Run by `make model`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use shuttle::Runner;
use shuttle::scheduler::{PctScheduler, RandomScheduler};

use super::SharedDirector;
use crate::testkit::packets;
use crate::{Config, Direction, Filter, Instant, Meta, Packet, Verdict};

/// Orders that are tried of each scene: drawn, and with few changes of threads at the worst places.
const DRAWN: usize = 1000;
const FEW_CHANGES: (usize, usize) = (1000, 3);

const RULES: &str = "-A -u 192.0.2.10:53 -s wlc\n-a -u 192.0.2.10:53 -r 10.0.0.1:53 -m\n\
    -A -u 192.0.2.11:53 -s wlc\n-a -u 192.0.2.11:53 -r 10.0.0.1:53 -m";
const CLIENT: &str = "198.51.100.1:5353";
const SERVER: &str = "10.0.0.1:53";

fn in_all_orders(scene: impl Fn() + Send + Sync + 'static) {
    let scene = Arc::new(scene);
    let again = Arc::clone(&scene);
    let mut config = shuttle::Config::new();
    // Bursts lie on the stack.
    config.stack_size = 1 << 20;
    Runner::new(RandomScheduler::new(DRAWN), config.clone()).run(move || scene());
    Runner::new(PctScheduler::new(FEW_CHANGES.1, FEW_CHANGES.0), config).run(move || again());
}

fn at(seconds: u64) -> Instant {
    Instant::from_secs(seconds)
}

/// A director of two shards with a flow that is lent to the first.
fn with_a_flow() -> Arc<SharedDirector> {
    let config = Config { connections: 8, fragments: 4, engine_templates: 1, ..Config::with_seed(7) };
    let director = SharedDirector::new(config, 2).expect("a configuration");
    director.load(RULES).expect("rules");
    (0..3).for_each(|_| assert!(is_forwarded(bring(&director, 0, at(1), CLIENT, "192.0.2.10:53"))));
    assert_eq!(director.lent(), [1, 0]);
    Arc::new(director)
}

/// Brings a packet to a shard.
fn bring(director: &SharedDirector, shard: usize, now: Instant, from: &str, to: &str) -> Verdict {
    let mut bytes = packets::udp(from, to).build();
    let mut verdicts = [Verdict::Pass(crate::PassReason::NoService)];
    let mut burst = [Packet::whole(&mut bytes)];
    director.process_burst(shard, now, &mut burst, &[Meta::default()], &mut verdicts);
    verdicts[0]
}

fn is_forwarded(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Forward(_))
}

/// Runs threads to their end.
fn together(director: &Arc<SharedDirector>, acts: Vec<fn(&SharedDirector)>) {
    let threads: Vec<_> = acts
        .into_iter()
        .map(|act| {
            let director = Arc::clone(director);
            shuttle::thread::spawn(move || act(&director))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
    is_sound(director);
}

/// Each copy has its original, each lent original its copy, and servers count what there is.
fn is_sound(director: &SharedDirector) {
    for shard in &director.shards {
        shard.0.lock().hear(&director.home);
    }
    let copies: usize = director.lent().iter().sum();
    {
        let home = director.home.lock();
        let slots = 0..u32::try_from(home.director.capacity()).expect("a few");
        let lent = |&slot: &u32| home.director.slot_in_use(slot) && home.director.lent_to(slot).is_some();
        assert_eq!(slots.filter(lent).count(), copies);
    }
    let connections = director.connections();
    let counted: u32 = director.services().iter().flat_map(|s| &s.servers).map(|s| s.active + s.inactive).sum();
    assert!(connections.len() <= counted as usize, "those past their deadline may still count");
    assert_eq!(director.lent(), [0, 0]);
    director.advance(at(100_000), 1000);
    assert_eq!(director.connection_count(), 0);
}

#[test]
fn one_flow_at_two_shards_stays_one() {
    in_all_orders(|| {
        let director = with_a_flow();
        together(
            &director,
            alloc::vec![
                |director| assert!(is_forwarded(bring(director, 0, at(2), CLIENT, "192.0.2.10:53"))),
                |director| assert!(is_forwarded(bring(director, 1, at(2), CLIENT, "192.0.2.10:53"))),
                |director| assert!(is_forwarded(bring(director, 1, at(2), SERVER, CLIENT))),
            ],
        );
        assert_eq!(director.reasons().forwarded(), 6);
    });
}

#[test]
fn a_flow_outlives_its_deadline_if_a_packet_was_first() {
    in_all_orders(|| {
        let director = with_a_flow();
        together(
            &director,
            alloc::vec![
                |director| assert!(is_forwarded(bring(director, 0, at(300), CLIENT, "192.0.2.10:53"))),
                |director| _ = director.advance(at(301), 100),
                |director| assert!(director.connections().len() <= 1),
            ],
        );
    });
}

#[test]
fn nothing_goes_to_a_server_that_was_removed() {
    in_all_orders(|| {
        let director = with_a_flow();
        director.set_tunable("expire_nodest_conn", "1").expect("a tunable");
        together(
            &director,
            alloc::vec![
                |director| _ = bring(director, 0, at(2), CLIENT, "192.0.2.10:53"),
                |director| _ = bring(director, 1, at(2), CLIENT, "192.0.2.10:53"),
                |director| {
                    director.run("-d -u 192.0.2.10:53 -r 10.0.0.1:53").expect("the server");
                    assert!(!is_forwarded(bring(director, 0, at(2), CLIENT, "192.0.2.10:53")));
                    assert!(!is_forwarded(bring(director, 1, at(2), CLIENT, "192.0.2.10:53")));
                },
            ],
        );
    });
}

#[test]
fn what_is_flushed_is_gone_at_every_shard() {
    in_all_orders(|| {
        let director = with_a_flow();
        together(
            &director,
            alloc::vec![
                |director| assert!(is_forwarded(bring(director, 0, at(2), CLIENT, "192.0.2.10:53"))),
                |director| assert!(is_forwarded(bring(director, 1, at(2), CLIENT, "192.0.2.10:53"))),
                |director| _ = director.flush(&Filter::all()).expect("a filter"),
            ],
        );
        assert_eq!(director.reasons().forwarded(), 5);
    });
}

#[test]
fn a_reply_that_fits_two_flows_goes_to_the_newer() {
    in_all_orders(|| {
        let director = with_a_flow();
        let threads: Vec<fn(&SharedDirector)> = alloc::vec![
            |director| _ = bring(director, 0, at(2), CLIENT, "192.0.2.10:53"),
            |director| _ = bring(director, 1, at(2), CLIENT, "192.0.2.11:53"),
            |director| _ = bring(director, 0, at(2), SERVER, CLIENT),
        ];
        let spawned: Vec<_> = threads
            .into_iter()
            .map(|act| {
                let director = Arc::clone(&director);
                shuttle::thread::spawn(move || act(&director))
            })
            .collect();
        spawned.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
        let connection = |verdict| match verdict {
            Verdict::Forward(out) => out.connection,
            other => panic!("{other:?}"),
        };
        let newer = connection(bring(&director, 1, at(2), CLIENT, "192.0.2.11:53"));
        for shard in [0, 1] {
            let reply = bring(&director, shard, at(2), SERVER, CLIENT);
            assert!(matches!(reply, Verdict::Forward(out) if out.direction == Direction::ToClient));
            assert_eq!(connection(reply), newer);
        }
        is_sound(&director);
    });
}
