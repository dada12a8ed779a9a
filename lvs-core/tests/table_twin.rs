//! The connection table against a twin that is a map of deadlines, through nothing but packets and time.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use lvs_core::testkit::packets::Builder;
use lvs_core::{Config, Direction, Director, DropReason, Instant, Meta, Protocol, ServerId, Verdict};
use proptest::prelude::*;

use common::bytes::Sliced;
use common::play::Shot;
use common::scenario::cases;

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

const CAPACITY: usize = 12;
const SERVERS: u8 = 3;

/// What the twin knows of a flow: its server, and when it ends.
#[derive(Clone, Copy, Debug)]
struct Flow {
    server: (ServerId, SocketAddr),
    ends: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    /// A datagram of a client: host, port, service.
    Request(u8, u16, u8),
    /// The server of a flow answers.
    Reply(u8, u16, u8),
    Wait(u64),
    Advance,
    /// The timeout of flows from their next packet on, in seconds.
    Timeout(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let flow = || (1..4u8, 1000..1004u16, 0..2u8);
    let wait = prop_oneof![0..3_000u64, prop::sample::select(vec![59_999, 60_000, 60_001, 299_999, 300_000, 400_000])];
    prop_oneof![
        12 => flow().prop_map(|(host, port, service)| Op::Request(host, port, service)),
        4 => flow().prop_map(|(host, port, service)| Op::Reply(host, port, service)),
        4 => wait.prop_map(Op::Wait),
        2 => Just(Op::Advance),
        1 => prop::sample::select(vec![1, 60, 300]).prop_map(Op::Timeout),
    ]
}

fn target(v6: bool, service: u8) -> SocketAddr {
    let port = 53 + u16::from(service);
    if v6 { format!("[2001:db8:c::10]:{port}") } else { format!("192.0.2.10:{port}") }.parse().unwrap()
}

fn client(v6: bool, host: u8, port: u16) -> SocketAddr {
    if v6 { format!("[2001:db8:9::{host}]:{port}") } else { format!("198.51.100.{host}:{port}") }.parse().unwrap()
}

fn director(v6: bool) -> Director {
    let mut director = Director::new(Config { connections: CAPACITY, ..Config::with_seed(7) }).unwrap();
    for service in 0..2 {
        let target = target(v6, service);
        director.run(&format!("-A -u {target} -s rr")).unwrap();
        for host in 1..=SERVERS {
            let server = if v6 {
                format!("[fd00::{host}]:{}", 5000 + u16::from(service))
            } else {
                format!("10.0.0.{host}:{}", 5000 + u16::from(service))
            };
            director.run(&format!("-a -u {target} -r {server} -m")).unwrap();
        }
    }
    director
}

fn send(director: &mut Director, now: Instant, from: SocketAddr, to: SocketAddr) -> (Verdict, Option<SocketAddr>) {
    let shot = Shot::new(&Builder::new(Protocol::Udp, from, to).payload(b"twin").build(), Meta::default());
    let outcome = shot.process(director, now);
    (outcome.verdict, Sliced::of(outcome.bytes()).map(|sliced| sliced.to()))
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn a_flow_keeps_its_server_exactly_while_the_twin_knows_it(
        v6 in any::<bool>(),
        prompt in any::<bool>(),
        ops in prop::collection::vec(op(), 1..200),
    ) {
        let mut director = director(v6);
        let mut twin: HashMap<(SocketAddr, SocketAddr), Flow> = HashMap::new();
        // Entries that have ended but were not taken away yet hold their place until the table is full.
        let mut held = 0;
        let (mut now, mut timeout) = (Instant::from_secs(1), 300);
        for op in ops {
            match op {
                Op::Wait(millis) => now += Duration::from_millis(millis),
                Op::Advance => {}
                Op::Timeout(seconds) => {
                    timeout = seconds;
                    director.set_timeouts(Duration::ZERO, Duration::ZERO, Duration::from_secs(seconds)).unwrap();
                }
                Op::Request(..) | Op::Reply(..) => {}
            }
            let before = twin.len();
            twin.retain(|_, flow| now < flow.ends);
            held += before - twin.len();
            if prompt || matches!(op, Op::Advance) {
                while director.advance(now, 2).more {}
                held = 0;
            }
            let ends = now + Duration::from_secs(timeout);
            match op {
                Op::Request(host, port, service) => {
                    let key = (client(v6, host, port), target(v6, service));
                    match (send(&mut director, now, key.0, key.1), twin.get_mut(&key)) {
                        ((Verdict::Forward(out), Some(server)), Some(flow)) => {
                            prop_assert_eq!((out.server.unwrap(), server), flow.server);
                            flow.ends = ends;
                        }
                        ((Verdict::Forward(out), Some(server)), None) => {
                            prop_assert!(twin.len() < CAPACITY);
                            // In a full table one that has ended makes room.
                            held = held.min(CAPACITY - 1 - twin.len());
                            twin.insert(key, Flow { server: (out.server.unwrap(), server), ends });
                        }
                        ((Verdict::Drop(DropReason::TableFull), _), None) => prop_assert_eq!(twin.len(), CAPACITY),
                        (other, flow) => prop_assert!(false, "{:?} for {:?}", other, flow),
                    }
                }
                Op::Reply(host, port, service) => {
                    let key = (client(v6, host, port), target(v6, service));
                    if let Some(flow) = twin.get_mut(&key) {
                        let (verdict, to) = send(&mut director, now, flow.server.1, key.0);
                        prop_assert!(matches!(verdict, Verdict::Forward(out) if out.direction == Direction::ToClient));
                        prop_assert_eq!(to, Some(key.0));
                        flow.ends = ends;
                    } else {
                        // From a port that no server has: nobody's reply, as it would be after the end of a flow.
                        let stranger = SocketAddr::new(target(v6, 0).ip(), 5999);
                        prop_assert!(matches!(send(&mut director, now, stranger, key.0).0, Verdict::Pass(_)));
                    }
                }
                Op::Wait(_) | Op::Advance | Op::Timeout(_) => {}
            }
            // The director shows what was true when it last heard of the time.
            if matches!(op, Op::Advance | Op::Request(..)) {
                compare(&director, &twin, now)?;
                prop_assert_eq!(director.connection_count(), twin.len() + held);
            }
            if let (Some(deadline), Some(first)) = (director.next_deadline(), twin.values().map(|flow| flow.ends).min()) {
                prop_assert!(deadline <= first, "{} is later than {}", deadline, first);
            }
        }
    }
}

/// The connections listed are those of the twin, with the time that is left to them.
fn compare(
    director: &Director,
    twin: &HashMap<(SocketAddr, SocketAddr), Flow>,
    now: Instant,
) -> Result<(), TestCaseError> {
    let listed: Vec<_> = director.connections().collect();
    prop_assert_eq!(listed.len(), twin.len());
    for view in listed {
        let flow = twin.get(&(view.client, view.target));
        let expected = flow.map(|flow| (flow.server.1, (flow.ends - now).as_secs()));
        prop_assert_eq!(Some((view.server, view.expires_seconds)), expected, "{:?}", view);
    }
    Ok(())
}
