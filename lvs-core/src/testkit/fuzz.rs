//! What fuzzers run: each takes any bytes and panics if something does not hold that always should.
//!
//! The fuzz targets call these, and so does the test suite with the corpus, so that every input found once is tried for
//! ever.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::talk::{Talk, phrase};
use crate::config::{Checksum, Config, Hook, Meta, Path};
use crate::control::{Command, DaemonRole, DaemonSpec, parse_line, parse_rules};
use crate::director::{Director, Explanation, Found};
use crate::error::RuleError;
use crate::persist::sip::call_id;
use crate::service::ServiceKey;
use crate::sync::SyncReceived;
use crate::time::Instant;
use crate::verdict::{Forward, Verdict};
use crate::wire::Packet;

/// Packets at a director that has a service for each of them.
///
/// The input is a sequence of records: a byte of `control`, a byte of time, two bytes of length (the first one
/// the lower half), and the packet. A record that ends early ends the input. The first byte of all chooses settings.
///
/// # Panics
/// If a packet that is passed or dropped is changed, if `explain` says something else than `process`, if packets are not
/// counted, or connections not counted right.
pub fn packets(data: &[u8]) {
    let Some((&settings, mut rest)) = data.split_first() else { return };
    let mut director = balanced(settings);
    let mut now = Instant::from_secs(1);
    let mut count = 0;
    while let Some((&[control, time, low, high], after)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes([low, high])).min(after.len());
        let (packet, after) = after.split_at(len);
        rest = after;
        // From nothing at all to some 17 minutes.
        now += Duration::from_millis(u64::from(time).pow(2) * u64::from(time >> 4));
        Control(control).process(&mut director, now, packet);
        count += 1;
        assert_eq!(director.reasons().total(), count, "every packet is counted");
        assert!(director.connection_count() <= director.capacity());
    }
    count_connections(&mut director, now);
}

/// Rules as text.
///
/// # Panics
/// If an error points outside of its line, if rules that are saved are not the same when loaded, or if a line that was
/// refused has changed something.
pub fn rules(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Err(error) = parse_rules(&text) {
        points_into(&text, &error);
    }
    let mut director = director(16);
    for line in text.lines() {
        let before = director.save();
        match director.run(line) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.line, 1);
                points_into(line, &error);
                assert_eq!(director.save(), before, "{line} was refused: {error}");
            }
        }
    }
    loads_what_it_saved(&director);
    let mut loaded = self::director(16);
    if let Err(error) = loaded.load(&text) {
        points_into(&text, &error);
    }
}

/// What both ends of an FTP control connection say: the first byte chooses the family and where they begin to count, then
/// a byte says who speaks and how, and the following ones what: a phrase with a number in it, or so many bytes as they are.
///
/// # Panics
/// If an end sees a gap in the other's stream or an acknowledgment of what it has not sent, if a checksum or a length is
/// wrong, or if `explain` says something else than `process`.
pub fn ftp(data: &[u8]) {
    let Some((&settings, mut rest)) = data.split_first() else { return };
    let start = if settings & 2 == 0 { 1000 } else { u32::MAX - u32::from(settings) };
    let mut talk = Talk::established(settings & 1 == 1, start, start.wrapping_mul(5));
    while let Some((&[how, what, low, high], after)) = rest.split_first_chunk() {
        rest = after;
        let from_client = how & 1 == 0;
        if how & 6 == 6 {
            talk.say_again(from_client);
        } else if how & 8 == 0 {
            let text = phrase(what, u16::from_le_bytes([low, high]));
            talk.send(from_client, 0x18, text.as_bytes());
        } else {
            let (text, after) = rest.split_at(usize::from(what).min(rest.len()));
            rest = after;
            talk.send(from_client, 0x18, text);
        }
    }
}

/// The payload of a datagram as a SIP message.
///
/// # Panics
/// If a Call-ID is longer than 255 bytes, is nowhere in the message, or does not end its line.
pub fn sip(data: &[u8]) {
    let Ok(value) = call_id(data) else { return };
    assert!((1..=255).contains(&value.len()));
    let end = value.as_ptr_range().end as usize - data.as_ptr_range().start as usize;
    assert!(data.get(..end).is_some_and(|start| start.ends_with(value)));
    assert!(matches!(data.get(end), Some(b'\r' | b'\n')));
}

/// Rules and packets in any order: a byte says what happens, the following ones with what.
///
/// # Panics
/// As [`packets`] and [`rules`].
pub fn operations(data: &[u8]) {
    let mut director = director(8);
    let mut now = Instant::from_secs(1);
    for &[what, with, more] in data.as_chunks::<3>().0 {
        let pick = |texts: &[&str]| String::from(texts[usize::from(with) % texts.len()]);
        match what % 8 {
            0 => {
                let _ =
                    director.run(&alloc::format!("{} {}", pick(&["-A", "-E", "-D"]), service(more, with & 0x80 != 0)));
            }
            1 | 2 => {
                let verb = pick(&["-a", "-a", "-e", "-d"]);
                let line = alloc::format!("{verb} {} {}", selector(more), server(more, with, verb == "-d"));
                let _ = director.run(&line);
            }
            3 => {
                let name = pick(crate::config::Tunables::NAMES);
                let _ = director.set_tunable(&name, &alloc::format!("{}", more % 4));
            }
            4 => {
                now += Duration::from_millis(u64::from(with) * u64::from(more));
                let mut calls = 0u32;
                while director.advance(now, usize::from(with % 4)).more && with % 4 > 0 {
                    calls += 1;
                    assert!(calls < 100_000, "time comes to an end");
                }
            }
            _ => {
                let packet = segment(what, with, more);
                Control(what & 0xe0 | 0x0f).process(&mut director, now, &packet);
            }
        }
    }
    loads_what_it_saved(&director);
    count_connections(&mut director, now);
}

/// Synchronisation messages at a backup that is a master too, with packets in between.
///
/// The input is a sequence of pieces: a byte that says what, a byte of time, a byte of length, and the bytes. What: a message
/// as it is, one whose header is put right (version 0 or 1, with as many records as the upper bits say), or a packet.
///
/// # Panics
/// If what the master sends is refused by another backup, or connections are not counted right.
pub fn sync(data: &[u8]) {
    let Some((&settings, mut rest)) = data.split_first() else { return };
    let mut director = director(16);
    if settings & 1 == 0 {
        director.load(SERVICES_OF_ONE_FAMILY).expect("rules");
    }
    let _ = director.set_tunable("sync_threshold", "0 1");
    let _ = director.set_tunable("sync_version", if settings & 2 == 0 { "1" } else { "0" });
    let mut other = self::director(16);
    for (director, role) in [(&mut director, DaemonRole::Backup), (&mut other, DaemonRole::Backup)] {
        director.start_daemon(&DaemonSpec::new(role)).expect("the first of its role");
    }
    director.start_daemon(&DaemonSpec::new(DaemonRole::Master)).expect("the first of its role");
    let mut now = Instant::from_secs(1);
    while let Some((&[what, time, len], after)) = rest.split_first_chunk() {
        let (bytes, after) = after.split_at(usize::from(len).min(after.len()));
        rest = after;
        now += Duration::from_millis(u64::from(time).pow(2));
        let (count, whole) = (what >> 2, len.wrapping_add(8));
        let _ = match what & 3 {
            0 => director.receive_sync(now, bytes),
            1 if bytes.len() == usize::from(len) && len < 248 => {
                director.receive_sync(now, &[&[0, 0, 0, whole, count, 1, 0, 0], bytes].concat())
            }
            2 if bytes.len() == usize::from(len) && len < 248 => {
                director.receive_sync(now, &[&[count, 0, 0, len + 4], bytes].concat())
            }
            _ => {
                Control(what | 0x80).process(&mut director, now, bytes);
                SyncReceived::default()
            }
        };
        while director.advance(now, 100).more {}
        while let Some(message) = director.poll_sync(now) {
            let received = other.receive_sync(now, message.bytes);
            assert_eq!(received.refused, None, "{:02x?}", message.bytes);
        }
        assert_eq!(
            director.proc_file("ip_vs_conn_sync").map(|text| text.lines().count()),
            Some(director.connections().count() + 1)
        );
    }
    count_connections(&mut director, now);
    count_connections(&mut other, now);
}

/// How a packet comes: mark in the lowest 3 bits, then a bit for the hook, two for what is known of checksums (the fourth
/// value: sent by the host itself), two for the headroom.
#[derive(Clone, Copy)]
struct Control(u8);

impl Control {
    fn meta(self) -> Meta {
        let (checksum, from_host) = match self.0 >> 4 & 3 {
            0 => (Checksum::Unverified, false),
            1 => (Checksum::Verified, false),
            2 => (Checksum::Partial, false),
            _ => (Checksum::Verified, true),
        };
        let hook = if self.0 & 8 == 0 { Hook::Local } else { Hook::Forward };
        Meta { mark: u32::from(self.0 & 7), hook, checksum, from_host }
    }

    fn process(self, director: &mut Director, now: Instant, bytes: &[u8]) {
        let headroom = [0, 20, 60, 128][usize::from(self.0 >> 6)];
        let mut buffer: Vec<u8> = alloc::vec![0xaa; headroom];
        buffer.extend(bytes);
        let pristine = buffer.clone();
        let mut packet = Packet::new(&mut buffer, headroom, bytes.len()).expect("within its buffer");
        let before = shown(director);
        let explained = director.explain(now, &packet, self.meta());
        assert_eq!(shown(director), before, "to explain changes nothing");
        let verdict = director.process(now, &mut packet, self.meta());
        assert!(agrees(&explained, verdict), "{verdict:?}, but explained: {explained:?}");
        let place = (packet.offset(), packet.len());
        if matches!(verdict, Verdict::Pass(_) | Verdict::Drop(_)) {
            assert_eq!((place, &buffer), ((headroom, bytes.len()), &pristine), "{verdict:?} leaves a packet as it was");
        }
    }
}

/// What can be seen of a director at little cost.
fn shown(director: &Director) -> (usize, u64, Option<Instant>) {
    (director.connection_count(), director.reasons().total(), director.next_deadline())
}

/// A connection that does not exist yet is not named in advance.
fn agrees(explained: &Explanation, verdict: Verdict) -> bool {
    let is_new = matches!(explained.found, Found::Service { .. });
    match (explained.verdict, verdict) {
        (None, _) => true,
        (Some(Verdict::Forward(said)), Verdict::Forward(done)) if is_new => {
            said == Forward { connection: None, ..done }
        }
        (Some(said), done) => said == done,
    }
}

/// Everything has been counted, and nothing is left when its time is over.
fn count_connections(director: &mut Director, now: Instant) {
    while director.advance(now, 1000).more {}
    assert_eq!(director.connections().count(), director.connection_count());
    while director.advance(now + Duration::from_secs(10 * 86_400 + 2 * 2_678_400), 1000).more {}
    assert_eq!(director.connection_count(), 0);
    for server in director.services().iter().flat_map(|service| &service.servers) {
        assert_eq!((server.active, server.inactive, server.persistent), (0, 0, 0), "{server:?}");
    }
}

/// A column is within its line, or one past the end of it.
fn points_into(text: &str, error: &RuleError) {
    let line = text.lines().nth(error.line as usize - 1).unwrap_or_default();
    let length = line.chars().count();
    assert!((1..=length + 1).contains(&(error.column as usize)), "{error} in {line:?}");
}

/// The same rules, if not the same order: a circle of addresses, each a little more than a third of all apart from the
/// next, has no order.
fn loads_what_it_saved(director: &Director) {
    let saved = director.save();
    // Marks of the upper half are saved as negative numbers, which nothing reads: so does `ipvsadm`.
    let is_high = |key: &ServiceKey| matches!(key, ServiceKey::Mark { mark, .. } if mark.cast_signed() < 0);
    if director.services().iter().any(|service| is_high(&service.spec.key)) {
        return;
    }
    let mut again = self::director(1);
    if let Err(error) = again.load(&saved) {
        panic!("{error}\nin what was saved:\n{saved}");
    }
    let lines = |text: &str| {
        let mut lines: Vec<Command> =
            text.lines().map(|line| parse_line(line).expect("a line that was saved")).collect();
        lines.sort_by_cached_key(|command| alloc::format!("{command:?}"));
        lines
    };
    assert_eq!(lines(&again.save()), lines(&saved));
}

fn director(connections: usize) -> Director {
    let path = Path::new(1500).tunnel_source(IpAddr::from([10, 0, 0, 254]));
    Director::new(Config { connections, path, ..Config::with_seed(7) }).expect("a configuration that is right")
}

/// A director with a service for every packet: by mark, one for each way of forwarding.
fn balanced(settings: u8) -> Director {
    let mut director = director([4, 64][usize::from(settings & 1)]);
    director.load(SERVICES).expect("rules that are right");
    for (bit, (name, value)) in TUNABLES.into_iter().enumerate() {
        if settings >> (bit + 1) & 1 == 1 {
            director.set_tunable(name, value).expect("a setting there is");
        }
    }
    director
}

const SERVICES: &str = "\
-A -t 192.0.2.10:80 -s wrr
-a -t 192.0.2.10:80 -r 10.0.0.1:8080 -m -w 3
-a -t 192.0.2.10:80 -r 10.0.0.2 -g
-A -u [2001:db8:c::10]:53 -s rr
-a -u [2001:db8:c::10]:53 -r [fd00::1]:5353 -m
-A -f 1 -s rr
-a -f 1 -r 10.0.0.1:8080 -m
-A -f 1 -6 -s rr
-a -f 1 -6 -r [fd00::1]:8080 -m
-A -f 2 -s wlc -p 60
-a -f 2 -r 10.0.0.2 -g -x 3
-A -f 2 -6 -s lblcr -p 60 -M 64
-a -f 2 -6 -r fd00::2 -g
-A -f 3 -s sh
-a -f 3 -r fd00::3 -i --tun-type gue --tun-port 6080 --tun-csum
-A -f 3 -6 -s mh
-a -f 3 -6 -r 10.0.0.3 -i --tun-type gre --tun-csum
-A -f 4 -s twos -o
-a -f 4 -r 10.0.0.4 -m
-a -f 4 -r 10.0.0.5 -i
-A -f 4 -6 -s ovf
-a -f 4 -6 -r fd00::4 -i --tun-type gue --tun-port 6080
-A -f 6 -s rr -p 60 -M 0.0.0.0 --pe sip
-a -f 6 -r 10.0.0.6:5060 -m
-A -f 5 -s dh
-a -f 5 -r 10.0.0.5 -m -w 0
";

const SERVICES_OF_ONE_FAMILY: &str = "\
-A -t 192.0.2.10:80 -s rr
-a -t 192.0.2.10:80 -r 10.0.0.1:8080 -m
-a -t 192.0.2.10:80 -r 10.0.0.2 -g
-A -u [2001:db8:c::10]:53 -s rr -p 60
-a -u [2001:db8:c::10]:53 -r [fd00::1]:5353 -m
-A -f 2 -s wlc -p 60
-a -f 2 -r 10.0.0.2 -g -x 3
-a -f 2 -r 10.0.0.3 -i
";

const TUNABLES: [(&str, &str); 7] = [
    ("sloppy_tcp", "1"),
    ("sloppy_sctp", "1"),
    ("secure_tcp", "3"),
    ("conn_reuse_mode", "2"),
    ("drop_packet", "3"),
    ("pmtu_disc", "0"),
    ("expire_quiescent_template", "1"),
];

fn selector(which: u8) -> &'static str {
    const SELECTORS: [&str; 6] = [
        "-t 192.0.2.10:80",
        "-u 192.0.2.10:53",
        "-t [2001:db8:c::10]:80",
        "-f 7",
        "-f 7 -6",
        "--sctp-service 192.0.2.10:80",
    ];
    SELECTORS[usize::from(which) % SELECTORS.len()]
}

fn service(which: u8, is_persistent: bool) -> String {
    const SCHEDULERS: [&str; 14] =
        ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "mh", "fo", "ovf", "twos"];
    let persistence = if is_persistent { " -p 60" } else { "" };
    alloc::format!("{} -s {}{persistence}", selector(which), SCHEDULERS[usize::from(which >> 3) % SCHEDULERS.len()])
}

fn server(service: u8, which: u8, is_bare: bool) -> String {
    let is_v6 = selector(service).contains([':', '6'])
        && (selector(service).contains("db8") || selector(service).contains("-6"));
    let net = if is_v6 { "fd00::" } else { "10.0.0." };
    let host = 1 + (which >> 2) % 4;
    if is_bare {
        return alloc::format!("-r {net}{host}");
    }
    let method = ["-m", "-g", "-i", "-i --tun-type gre"][usize::from(which >> 4 & 3)];
    alloc::format!("-r {net}{host} {method} -w {} -x {}", which >> 6, service >> 6)
}

/// A packet of one of few flows, or a reply in one.
fn segment(what: u8, with: u8, more: u8) -> Vec<u8> {
    use super::packets::{Builder, tcp, udp};
    let client = alloc::format!("198.51.100.1:{}", 40_000 + u16::from(with & 3));
    let client_v6 = alloc::format!("[2001:db8:9::1]:{}", 40_000 + u16::from(with & 3));
    let server = alloc::format!("10.0.0.{}:80", 1 + (with >> 2) % 4);
    let builder: Builder = match with >> 5 {
        0 | 1 => tcp(&client, "192.0.2.10:80"),
        2 => udp(&client, "192.0.2.10:53"),
        3 => tcp(&client_v6, "[2001:db8:c::10]:80"),
        4 => tcp(&server, &client),
        5 => tcp("192.0.2.10:80", &client),
        6 => udp(&server.replace(":80", ":53"), &client),
        _ => tcp(&client, "192.0.2.77:8080"),
    };
    builder.flags(more & 0x3f).ttl(if what & 0x10 == 0 { 64 } else { more >> 4 }).build()
}
