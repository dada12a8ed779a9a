//! Two threads on a shared director, each with flows of its own at its own shard.

use core::hint::black_box;
use core::net::{IpAddr, Ipv4Addr};
use std::sync::Barrier;

use lvs_core::{Config, Family, Meta, Method, Packet, PassReason, Path, Protocol, SharedDirector, Verdict};

use super::{Plan, say};
use crate::machine::{stay_on, undisturbed_ns};
use crate::measure::{Cost, Library, median, packets};
use crate::report::{Limit, Report, Row};
use crate::scene::{BURST, NOW, Scene};
use crate::traffic::{Buffer, LEN, OFFSET, Random, Sequence, Template, Traffic};

/// Packets of a round of one thread: long enough to be worth starting two at once.
const ROUND: usize = 1 << 16;
const THREADS: usize = 2;

pub(super) fn cases(plan: &Plan, report: &mut Report) {
    for (method, name) in [(Method::Nat, "NAT"), (Method::Dr, "DR"), (Method::Tun, "TUN")] {
        for flows in [plan.few, plan.many] {
            let scene = Scene::nat(flows).method(method);
            let director = established(&scene);
            let [alone, together] = one_and_two(plan.rounds.min(41), &director, flows);
            let case = |threads: &str| format!("shared, {threads}, {name}, {} flows, bursts of 64", say(flows));
            let row = Row::new(case("two threads"), &together).with(flows, BURST, 1.0).against("one thread", &alone);
            let target = if method == Method::Nat { "T11" } else { "" };
            // In this much of the time of one thread: 1.8 times as many packets.
            report.add(row.target(target, Limit::Ratio(1.0 / 1.8)));
            if method == Method::Nat {
                let mut single = scene.established();
                let mut traffic = Random::of(Template::request(Family::V4, Protocol::Tcp), flows);
                let [one] = packets(plan.rounds, BURST, [(&mut Library::new(&mut single, BURST), &mut traffic)]);
                let row = Row::new(case("one thread"), &alone).with(flows, BURST, 1.0);
                report.add(row.against("a director of its own", &one));
            }
        }
    }
}

/// A director with flows that are all lent, half of them to each shard.
fn established(scene: &Scene) -> SharedDirector {
    let tunnel = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 254));
    let config = Config {
        connections: scene.flows as usize,
        path: Path::new(1500).tunnel_source(tunnel),
        ..Config::with_seed(7)
    };
    let director = SharedDirector::new(config, THREADS).expect("room for the flows");
    director.load(&scene.empty().save()).expect("the scene's rules");
    let request = Template::request(scene.family, scene.protocol);
    for shard in 0..THREADS {
        let (first, count) = (first(scene.flows, shard), scene.flows / THREADS as u32);
        for template in [Template::opening(scene.family, scene.protocol), request.clone(), request.clone()] {
            play(&director, shard, &mut Sequence::new(template, first), count as usize);
        }
    }
    assert_eq!(director.lent(), [scene.flows as usize / THREADS; THREADS]);
    director
}

/// The first flow of a shard's.
fn first(flows: u32, shard: usize) -> u32 {
    flows / THREADS as u32 * shard as u32
}

/// What a packet costs one thread that is alone, and two together: the time in which both have handled one, by two.
fn one_and_two(rounds: usize, director: &SharedDirector, flows: u32) -> [Cost; 2] {
    let barrier = &Barrier::new(THREADS);
    let times: Vec<_> = std::thread::scope(|threads| {
        let spawned: Vec<_> = (0..THREADS)
            .map(|shard| {
                threads.spawn(move || {
                    stay_on(shard);
                    let template = Template::request(Family::V4, Protocol::Tcp);
                    let mut traffic = Random::of(template, flows / THREADS as u32).from(first(flows, shard));
                    let mut round = |work| round(director, shard, &mut traffic, work);
                    let (mut alone, mut together) = (Vec::new(), Vec::new());
                    for number in 0..=rounds {
                        barrier.wait();
                        // By turns, so that no core is always the one.
                        if number % THREADS == shard {
                            alone.push(round(true) - round(false));
                        }
                        barrier.wait();
                        let both = round(true);
                        barrier.wait();
                        together.push(both - round(false));
                    }
                    (alone, together)
                })
            })
            .collect();
        spawned.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    });
    let alone: Vec<f64> = times.iter().flat_map(|(alone, _)| alone).copied().collect();
    // Each thread's own time: the slower one's is that of both.
    let (one, other) = (&times[0].1, &times[1].1);
    let together = one.iter().zip(other).map(|(a, b)| a.max(*b) / THREADS as f64);
    [Cost { ns: median(&alone), samples: alone }, Cost::of(together.collect())]
}

/// Nanoseconds of a packet, those of making it included.
fn round(director: &SharedDirector, shard: usize, traffic: &mut Random, work: bool) -> f64 {
    traffic.start();
    let start = undisturbed_ns();
    if work {
        play(director, shard, traffic, ROUND);
    } else {
        let mut buffers = [Buffer::EMPTY; BURST];
        for _ in 0..ROUND / BURST {
            traffic.fill(&mut buffers);
            black_box(&mut buffers);
        }
    }
    (undisturbed_ns() - start) as f64 / ROUND as f64
}

/// Packets at a shard, all forwarded.
fn play(director: &SharedDirector, shard: usize, traffic: &mut impl Traffic, count: usize) {
    let mut buffers = [Buffer::EMPTY; BURST];
    let mut left = count;
    while left > 0 {
        let now = left.min(BURST);
        traffic.fill(&mut buffers[..now]);
        let mut packets =
            buffers.each_mut().map(|buffer| Packet::new(&mut buffer.0, OFFSET, LEN).expect("room for a packet"));
        let mut verdicts = [Verdict::Pass(PassReason::NoService); BURST];
        director.process_burst(shard, NOW, &mut packets[..now], &[Meta::default(); BURST], &mut verdicts);
        assert!(verdicts[..now].iter().all(|verdict| matches!(verdict, Verdict::Forward(_))));
        left -= now;
    }
}
