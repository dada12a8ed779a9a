//! A packet never makes the director allocate, whatever it brings about: everything was reserved when it was built.
//!
//! Two schedulers are no part of this promise: `lblc` and `lblcr` remember each address that clients write to, and a new
//! one takes memory. Rules, listings and `explain` allocate, too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use common::bytes::refresh_ip;
use common::parts::split;
use lvs_core::sched::SchedulerKind;
use lvs_core::testkit::packets::Builder;
use lvs_core::{Config, Director, DropReason, Instant, Meta, Packet, Path, Protocol, SharedDirector, Verdict};

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

/// The system's allocator, which counts what each thread asks it for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // Fails only while a thread ends, when nobody counts any more.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it came; counting touches a thread-local number only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

const ROOM: usize = 128;

fn rules(scheduler: &str) -> String {
    let tunnels = ["--tun-type ipip", "--tun-type gre --tun-csum", "--tun-type gue --tun-port 6080 --tun-csum"];
    let mut text = String::new();
    let (v4, v6) = ("192.0.2.10", "[2001:db8:c::10]");
    for (service, address) in [("-t", v4), ("-u", v4), ("--sctp-service", v4), ("-t", v6), ("-u", v6)] {
        for (port, options) in [(80, ""), (81, " -p 60")] {
            text += &format!("-A {service} {address}:{port} -s {scheduler}{options}\n");
            let net = if address == v4 { "10.0.0." } else { "fd00::" };
            text += &format!("-a {service} {address}:{port} -r {net}1 -m -w 3 -x 40\n");
            text += &format!("-a {service} {address}:{port} -r {net}2 -g -w 2\n");
            for (n, tunnel) in tunnels.iter().enumerate() {
                text += &format!("-a {service} {address}:{port} -r {net}{} -i {tunnel}\n", n + 3);
            }
        }
    }
    text += &format!("-A -u {v4}:83 -s {scheduler} -p 60 --pe sip\n-a -u {v4}:83 -r 10.0.0.1 -m\n");
    text + &format!("-A -u {v4}:82 -s {scheduler} -o\n-a -u {v4}:82 -r 10.0.0.1 -m\n-A -f 3 -s {scheduler}\n")
}

/// Packets of all kinds: openings, middles, ends, replies, and such that are refused.
fn mixture() -> Vec<(Vec<u8>, Meta)> {
    let mut packets = Vec::new();
    for n in 0..400u16 {
        for protocol in Protocol::ALL {
            let v6 = n % 3 == 0 && protocol != Protocol::Sctp;
            let (client, vip, server) = if v6 {
                ("[2001:db8:9::1]", "[2001:db8:c::10]", "[fd00::1]")
            } else {
                ("198.51.100.1", "192.0.2.10", "10.0.0.1")
            };
            let client = format!("{client}:{}", 1024 + n / 4).parse().unwrap();
            let (vip, server) = (format!("{vip}:{}", 80 + n % 4), format!("{server}:{}", 80 + n % 4));
            let (vip, server) = (vip.parse().unwrap(), server.parse().unwrap());
            let payload = match n % 8 {
                3 => format!("x\r\ni: call-{}\r\n", n % 48).into_bytes(),
                _ => vec![0x55; usize::from(n % 7) * 230],
            };
            for (flags, chunk) in [(2, 1), (0x10, 10), (0x11, 7), (4, 6)] {
                let request = Builder::new(protocol, client, vip).flags(flags).chunk(chunk).payload(&payload);
                let request = request.ttl(if n % 11 == 0 { 1 } else { 64 }).options(usize::from(n % 3));
                let meta = if n % 13 == 0 { Meta::marked(3) } else { Meta::default() };
                packets.push((request.build(), meta));
                packets.push((Builder::new(protocol, server, client).flags(flags | 0x10).build(), Meta::default()));
            }
        }
        packets.push((vec![0x45; usize::from(n % 60)], Meta::default()));
        packets.extend(parts(n));
    }
    packets
}

/// A datagram in parts, and a later part of another that nobody has seen.
fn parts(n: u16) -> Vec<(Vec<u8>, Meta)> {
    let (client, vip) = (format!("198.51.100.2:{}", 1024 + n), format!("192.0.2.10:{}", 80 + n % 3));
    let whole = Builder::new(Protocol::Udp, client.parse().unwrap(), vip.parse().unwrap());
    let whole = whole.may_fragment().payload(&[0x66; 500]).build();
    let mut parts = split(&whole, &[200, 200]);
    parts.push(parts[1].clone());
    for (part, identification) in parts.iter_mut().zip([n, n, n, !n]) {
        part[4..6].copy_from_slice(&identification.to_be_bytes());
        refresh_ip(part);
    }
    parts.into_iter().map(|part| (part, Meta::default())).collect()
}

/// A way to servers on which tunnels have a source.
fn path() -> Path {
    Path::new(1500).tunnel_source([10, 0, 0, 254].into()).tunnel_source("fd00::fe".parse().unwrap())
}

#[test]
fn no_packet_allocates() {
    let mixture = mixture();
    let remembers = |kind: &SchedulerKind| matches!(kind.name(), "lblc" | "lblcr");
    for kind in SchedulerKind::ALL.into_iter().filter(|kind| !remembers(kind)) {
        let config = Config { connections: 300, fragments: 30, path: path(), ..Config::with_seed(7) };
        let mut director = Director::new(config).unwrap();
        director.load(&rules(kind.name())).unwrap();
        let mut buffers: Vec<Vec<u8>> = mixture.iter().map(|(bytes, _)| [&[0; ROOM], &bytes[..]].concat()).collect();
        let (singly, together) = buffers.split_at_mut(mixture.len() / 2);
        let metas: Vec<Meta> = mixture.iter().map(|(_, meta)| *meta).collect();
        let (mut forwarded, mut refused, mut full) = (0, 0, 0);
        let mut tally = |verdict: &Verdict| match verdict {
            Verdict::Forward(_) => forwarded += 1,
            Verdict::Drop(DropReason::TableFull) => full += 1,
            _ => refused += 1,
        };

        let start = Instant::from_secs(1);
        let allocations = allocations_of(|| {
            for (n, (buffer, meta)) in singly.iter_mut().zip(&metas).enumerate() {
                let now = start + Duration::from_millis(n as u64);
                let len = buffer.len() - ROOM;
                let mut packet = Packet::new(buffer, ROOM, len).unwrap();
                tally(&director.process(now, &mut packet, *meta));
            }
        });
        assert_eq!(allocations, 0, "{kind}, one by one");

        // Half of the connections end; their places are taken again.
        while director.advance(start + Duration::from_secs(70), 1000).more {}
        let mut packets: Vec<Packet<'_>> = together
            .iter_mut()
            .map(|buffer| {
                let len = buffer.len() - ROOM;
                Packet::new(buffer, ROOM, len).unwrap()
            })
            .collect();
        let mut verdicts = vec![Verdict::Drop(DropReason::NotIp); packets.len()];
        let metas = &metas[mixture.len() / 2..];
        let allocations = allocations_of(|| {
            director.process_burst(start + Duration::from_secs(70), &mut packets, metas, &mut verdicts);
        });
        assert_eq!(allocations, 0, "{kind}, in bursts");
        verdicts.iter().for_each(&mut tally);

        let before = director.connection_count();
        let allocations = allocations_of(|| while director.advance(start + Duration::from_secs(2000), 50).more {});
        assert_eq!(allocations, 0, "{kind}, as time passes");
        assert!(before > 100 && director.connection_count() == 0);
        assert!(forwarded > 1000 && refused > 500, "{kind}: {forwarded} forwarded, {refused} refused");
        assert!(director.evicted_fragments() > 100);
        assert!(full > 10, "{kind}: {full} found no room");
    }
}

#[test]
fn no_pick_among_many_servers_allocates() {
    let is_asked = |kind: &SchedulerKind| !matches!(kind.name(), "lblc" | "lblcr");
    for kind in SchedulerKind::ALL.into_iter().filter(is_asked) {
        let mut director = Director::new(Config { connections: 300, ..Config::with_seed(7) }).unwrap();
        let vip = "192.0.2.10:80";
        let server = |n: u16| format!("-t {vip} -r 10.0.0.{n}:80");
        let lines = (1..=200).map(|n| format!("-a {} -m -w 50\n", server(n)));
        director.load(&(format!("-A -t {vip} -s {kind}\n") + &lines.collect::<String>())).unwrap();
        let mut ports = 1024..;
        for n in 1..=100 {
            // The list changes, so that what is remembered of it begins anew.
            director.run(&format!("-d {}", server(n))).unwrap();
            director.run(&format!("-a {} -m", server(n))).unwrap();
            for port in ports.by_ref().take(2) {
                let client = format!("198.51.100.2:{port}").parse().unwrap();
                let mut bytes = Builder::new(Protocol::Tcp, client, vip.parse().unwrap()).flags(2).build();
                let len = bytes.len();
                let mut packet = Packet::new(&mut bytes, 0, len).unwrap();
                let mut verdict = Verdict::Drop(DropReason::NotIp);
                let allocations = allocations_of(|| {
                    verdict = director.process(Instant::from_secs(1), &mut packet, Meta::default());
                });
                assert!(matches!(verdict, Verdict::Forward(_)), "{kind}: {verdict:?}");
                assert_eq!(allocations, 0, "{kind}");
            }
        }
    }
}

#[test]
fn no_packet_allocates_at_a_shard() {
    let config = Config { connections: 300, fragments: 30, path: path(), ..Config::with_seed(7) };
    let director = SharedDirector::new(config, 2).unwrap();
    director.load(&rules("wlc").replace(" --pe sip", "")).unwrap();
    let start = Instant::from_secs(1);
    let mut buffers: Vec<(Vec<u8>, Meta)> = Vec::new();
    for (bytes, meta) in mixture() {
        // Flows go on for a while.
        for _ in 0..3 {
            buffers.push(([&[0; ROOM], &bytes[..]].concat(), meta));
        }
    }
    let mut forwarded = 0;
    let mut process = |n: usize, (buffer, meta): &mut (Vec<u8>, Meta)| {
        let len = buffer.len() - ROOM;
        let mut packet = Packet::new(buffer, ROOM, len).unwrap();
        let now = start + Duration::from_millis(n as u64);
        forwarded += usize::from(matches!(director.process(now, &mut packet, *meta), Verdict::Forward(_)));
    };
    // Shards hear of the rules, and so does who steers.
    assert!(!director.advance(start, 1000).more);
    process(0, &mut buffers[0]);
    let mut lent = 0;
    for (n, packet) in buffers.iter_mut().enumerate().skip(1) {
        assert_eq!(allocations_of(|| process(n, packet)), 0);
        lent = lent.max(director.lent().iter().sum::<usize>());
    }
    assert!(forwarded > 1000 && lent > 20, "{forwarded} forwarded, {lent} lent at a time");
}

#[test]
fn synchronisation_allocates_nothing() {
    use lvs_core::{DaemonRole, DaemonSpec};
    let [mut master, mut backup] = [DaemonRole::Master, DaemonRole::Backup].map(|role| {
        let mut director = Director::new(Config { connections: 3000, path: path(), ..Config::with_seed(7) }).unwrap();
        director.load(&rules("rr")).unwrap();
        director.set_tunable("sync_threshold", "0 1").unwrap();
        director.start_daemon(&DaemonSpec::new(role)).unwrap();
        director
    });
    let start = Instant::from_secs(1);
    let mut buffers: Vec<(Vec<u8>, Meta)> =
        mixture().into_iter().map(|(bytes, meta)| ([&[0; ROOM], &bytes[..]].concat(), meta)).collect();
    let mut taken = 0;
    let allocations = allocations_of(|| {
        for (n, (buffer, meta)) in buffers.iter_mut().enumerate() {
            let now = start + Duration::from_millis(n as u64);
            let len = buffer.len() - ROOM;
            let _ = master.process(now, &mut Packet::new(buffer, ROOM, len).unwrap(), *meta);
            while let Some(message) = master.poll_sync(now) {
                let received = backup.receive_sync(now, message.bytes);
                taken += received.created + received.updated;
            }
        }
        while master.advance(start + Duration::from_secs(500), 50).more {}
    });
    assert_eq!(allocations, 0);
    assert!(taken > 500, "{taken} records");
}

#[test]
fn the_defences_allocate_nothing() {
    let config = Config { connections: 5000, events: 20_000, path: path(), ..Config::with_seed(7) };
    let mut director = Director::new(config).unwrap();
    director.load(&rules("rr")).unwrap();
    for name in ["drop_entry", "drop_packet", "secure_tcp"] {
        director.set_tunable(name, "1").unwrap();
    }
    let start = Instant::from_secs(1);
    let syn = |n: u16| {
        let client = format!("198.51.100.2:{}", 1024 + n).parse().unwrap();
        let vip = format!("192.0.2.10:{}", 80 + n % 2).parse().unwrap();
        (Builder::new(Protocol::Tcp, client, vip).flags(2).build(), Meta::default())
    };
    for (bytes, meta) in mixture().into_iter().chain((0..500).map(syn)) {
        let mut buffer = [&[0; ROOM], &bytes[..]].concat();
        let _ = director.process(start, &mut Packet::new(&mut buffer, ROOM, bytes.len()).unwrap(), meta);
    }
    let before = director.connection_count();
    director.set_available_memory(0);
    let allocations = allocations_of(|| while director.advance(start + Duration::from_secs(60), 50).more {});
    assert_eq!((allocations, director.tunables().drop_entry), (0, 2));
    let mut dropped = 0;
    while let Some(event) = director.poll_event() {
        dropped += usize::from(matches!(event, lvs_core::Event::Gone(_, lvs_core::Gone::Dropped)));
    }
    assert!(before > 800 && dropped > 50 && director.missed_events() == 0, "{before} and {dropped}");
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(Box::new(7)))), 1);
}

#[test]
fn the_ftp_helper_does_not_allocate() {
    let mut director = Director::new(Config { connections: 16, ..Config::with_seed(7) }).unwrap();
    director.set_ftp_ports(&[21]).unwrap();
    director.load("-A -t 192.0.2.10:21 -s rr\n-a -t 192.0.2.10:21 -r 10.0.0.7 -m").unwrap();
    let [client, virtual_, server] = ["198.51.100.7:40000", "192.0.2.10:21", "10.0.0.7:21"];
    let segment = |source: &str, target: &str, numbers: (u32, u32), text: &str| {
        let builder = Builder::new(Protocol::Tcp, source.parse().unwrap(), target.parse().unwrap());
        builder.numbers(numbers.0, numbers.1).payload(text.as_bytes())
    };
    let packets = [
        segment(client, virtual_, (1000, 0), "").syn(),
        segment(server, client, (5000, 1001), "").flags(0x12),
        segment(client, virtual_, (1001, 5001), "PASV\r\n"),
        segment(server, client, (5001, 1007), "227 (10,0,0,7,200,1)\r\n"),
        segment(client, virtual_, (1007, 5024), "PORT 198,51,100,7,200,1\r\n"),
        segment("198.51.100.7:41000", "192.0.2.10:51201", (1, 0), "").syn(),
    ];
    for packet in packets {
        let (mut buffer, len) = (packet.build_in(ROOM), packet.build().len());
        let mut packet = Packet::new(&mut buffer, ROOM, len).unwrap();
        let mut verdict = None;
        let process = || verdict = Some(director.process(Instant::from_secs(1), &mut packet, Meta::default()));
        assert_eq!(allocations_of(process), 0);
        assert!(matches!(verdict, Some(Verdict::Forward(_))), "{verdict:?}");
    }
    assert_eq!(director.connection_count(), 3);
}
