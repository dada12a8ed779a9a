//! Every packet of the captures, cut off everywhere, at a director that has a service for all of them.

use lvs_core::{Checksum, Config, Director, Hook, Instant, Meta, Packet, Path, Verdict};

use common::pcap::captures;
use common::play::{Shot, agrees, shorten};

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

/// Services by mark take packets to every address and port; one for each way of forwarding.
const RULES: &str = "\
-A -f 1 -s rr
-a -f 1 -r 10.0.0.1:8080 -m
-A -f 1 -6 -s rr
-a -f 1 -6 -r [fd00::1]:8080 -m
-A -f 2 -s wlc -p 60
-a -f 2 -r 10.0.0.2 -g
-A -f 2 -6 -s wlc -p 60
-a -f 2 -6 -r fd00::2 -g
-A -f 3 -s sh
-a -f 3 -r fd00::3 -i --tun-type gue --tun-port 6080 --tun-csum
-A -f 3 -6 -s mh
-a -f 3 -6 -r 10.0.0.3 -i --tun-type gre --tun-csum
-A -f 4 -s rr -o
-a -f 4 -r 10.0.0.4 -i
-A -f 4 -6 -s none
";
const MARKS: u32 = 4;

fn director() -> Director {
    let path = Path::new(9000).tunnel_source([10, 0, 0, 254].into()).tunnel_source("fd00::fe".parse().unwrap());
    let mut director = Director::new(Config { connections: 4096, path, ..Config::with_seed(7) }).unwrap();
    director.load(RULES).unwrap();
    director.set_tunable("sloppy_tcp", "1").unwrap();
    director
}

/// Processes a packet in place; on a verdict that leaves it alone it must be alone. The buffer serves all packets in turn.
fn one(director: &mut Director, buffer: &mut [u8], pristine: &[u8], len: usize, meta: Meta) -> Verdict {
    let end = HEADROOM + len;
    buffer[..HEADROOM].fill(0xaa);
    buffer[HEADROOM..end].copy_from_slice(&pristine[..len]);
    let mut packet = Packet::new(&mut buffer[..end], HEADROOM, len).unwrap();
    let verdict = director.process(Instant::from_secs(1), &mut packet, meta);
    if matches!(verdict, Verdict::Pass(_) | Verdict::Drop(_)) {
        assert_eq!((packet.offset(), packet.len()), (HEADROOM, len), "{verdict:?}");
        assert!(buffer[..HEADROOM].iter().all(|&byte| byte == 0xaa), "{verdict:?}");
        assert_eq!(buffer[HEADROOM..end], pristine[..len], "{verdict:?}");
    }
    verdict
}

const HEADROOM: usize = 64;

#[test]
fn a_packet_cut_off_anywhere_gets_a_verdict_and_is_left_alone() {
    let mut director = director();
    let mut buffer = vec![0; 1 << 16];
    let mut packets = 0;
    for (name, capture) in captures() {
        for (number, bytes) in capture.iter().enumerate() {
            let meta = Meta::marked(1 + u32::try_from(number).unwrap() % MARKS);
            let verdict = one(&mut director, &mut buffer, bytes, bytes.len(), meta);
            let is_drop = matches!(verdict, Verdict::Drop(_));
            assert!(!is_drop, "{name}, packet {number}: {verdict:?}");
            for len in 0..bytes.len() {
                let verdict = one(&mut director, &mut buffer, bytes, len, meta);
                assert!(matches!(verdict, Verdict::Drop(_)), "{name}, packet {number}, {len} bytes: {verdict:?}");
            }
            packets += 1 + bytes.len() as u64;
        }
    }
    assert_eq!(director.reasons().total(), packets);
}

#[test]
fn a_packet_that_says_that_it_is_short_gets_the_verdict_that_was_explained() {
    let mut director = director();
    let mut forwarded = 0;
    for (name, capture) in captures() {
        for (number, bytes) in capture.iter().enumerate() {
            let mark = 1 + u32::try_from(number).unwrap() % MARKS;
            // Everything up to the end of the headers, then every thirteenth byte.
            for len in (20..bytes.len().min(90)).chain((90..bytes.len()).step_by(13)) {
                let mut short = bytes.clone();
                shorten(&mut short, len);
                let checksum = if len % 2 == 0 { Checksum::Unverified } else { Checksum::Partial };
                let hook = if len % 7 == 0 { Hook::Forward } else { Hook::Local };
                let shot = Shot::new(&short, Meta { checksum, hook, ..Meta::marked(mark) });
                let explained = shot.explain(&director, Instant::from_secs(1));
                let outcome = shot.process(&mut director, Instant::from_secs(1));
                let context = || format!("{name}, packet {number}, {len} bytes: {outcome:?}\nbut {explained:?}");
                assert!(agrees(&explained, outcome.verdict), "{}", context());
                let is_changed = matches!(outcome.verdict, Verdict::Forward(_) | Verdict::Reply(_));
                assert!(is_changed || outcome.is_untouched(&shot), "{}", context());
                forwarded += usize::from(is_changed);
            }
        }
    }
    assert!(forwarded > 10_000, "{forwarded}: the cuts reach beyond the parser");
}
