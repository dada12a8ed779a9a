//! One thing at a time, for looking closely: a packet of each kind, the search alone, rules and listings.
//!
//! `cargo bench --bench stages -- established` runs those with that word in their names. Criterion's times include the
//! making of a packet (the row `packet/make`); `make bench` takes it off.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use lvs_benches::scene::{BURST, NOW, Scene, client, service_address};
use lvs_benches::traffic::{Buffer, LEN, OFFSET, Random, Template, Traffic};
use lvs_core::testkit::lookup::{LookupKey, lookup};
use lvs_core::{Director, Family, Flow, Listing, Meta, Method, Packet, PassReason, Protocol, Verdict, parse_line};

const FLOWS: u32 = 1 << 16;

fn group<'a>(c: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(500));
    group
}

fn packets(c: &mut Criterion) {
    let nat = Scene::nat(FLOWS);
    let request = |scene: Scene| (scene, vec![Template::request(scene.family, scene.protocol)]);
    let cases = [
        ("nat", request(nat)),
        ("nat-udp", request(nat.protocol(Protocol::Udp))),
        ("nat-v6", request(nat.family(Family::V6))),
        ("dr", request(nat.method(Method::Dr))),
        ("tun", request(nat.method(Method::Tun))),
        ("reply", (nat, nat.replies())),
        ("icmp-error", (nat, vec![Template::error_from_outside()])),
    ];
    let mut group = group(c, "established");
    group.throughput(Throughput::Elements(BURST as u64));
    for (name, (scene, templates)) in cases {
        let mut director = scene.established();
        let mut traffic = Random::new(templates, FLOWS);
        group.bench_function(name, |bencher| bencher.iter(|| burst(&mut director, &mut traffic)));
        assert_eq!(director.reasons().total(), director.reasons().forwarded(), "every packet was forwarded");
    }
    group.finish();
}

fn burst(director: &mut Director, traffic: &mut Random) {
    let mut buffers = [Buffer::EMPTY; BURST];
    traffic.fill(&mut buffers);
    let mut packets = buffers.each_mut().map(|buffer| Packet::new(&mut buffer.0, OFFSET, LEN).expect("room"));
    let mut verdicts = [Verdict::Pass(PassReason::NoService); BURST];
    director.process_burst(NOW, &mut packets, &[Meta::default(); BURST], &mut verdicts);
    let _ = black_box(verdicts);
}

fn parts(c: &mut Criterion) {
    let mut traffic = Random::of(Template::request(Family::V4, Protocol::Tcp), FLOWS);
    let mut buffers = [Buffer::EMPTY; BURST];
    let director = Scene::nat(FLOWS).established();
    let destination = service_address(Family::V4);
    let flow = |n: u32| Flow { protocol: 6, source: client(Family::V4, n * 997 % FLOWS), destination };
    let keys: Vec<LookupKey> = (0..64).map(|n| LookupKey::from(&flow(n))).collect();
    let mut group = group(c, "packet");
    group.throughput(Throughput::Elements(BURST as u64));
    group.bench_function("make", |bencher| bencher.iter(|| traffic.fill(black_box(&mut buffers))));
    group.bench_function("lookup", |bencher| bencher.iter(|| lookup(&director, NOW, black_box(&keys))));
    group.throughput(Throughput::Elements(1));
    group.bench_function("explain", |bencher| {
        let packet = Packet::new(&mut buffers[0].0, OFFSET, LEN).expect("room");
        bencher.iter(|| director.explain(NOW, black_box(&packet), Meta::default()));
    });
    group.finish();
}

fn control(c: &mut Criterion) {
    let mut director = Scene::nat(1).scheduled("wlc", 100).empty();
    let mut group = group(c, "control");
    group.bench_function("parse-line", |bencher| {
        bencher.iter(|| parse_line(black_box("-a -t 192.0.2.10:80 -r 10.0.0.1:8080 -m -w 5 -x 100 -y 80")));
    });
    group.bench_function("edit-server-of-100", |bencher| {
        bencher
            .iter(|| director.run(black_box("-e -t 192.0.2.10:80 -r 172.16.0.1:8080 -m -w 5")).expect("it is there"));
    });
    group.bench_function("save-100-servers", |bencher| bencher.iter(|| director.save()));
    group.bench_function("list-100-servers", |bencher| {
        bencher.iter(|| director.listing(black_box(&Listing::default())).expect("a listing"));
    });
    group.finish();
}

criterion_group!(benches, packets, parts, control);
criterion_main!(benches);
