//! What a real kernel was seen to do, and the library once did not.

use lvs_core::testkit::packets;
use lvs_core::{Config, Director, Instant, Meta, Packet, Path, Verdict};

fn director(lines: &[&str]) -> Director {
    let mut director = Director::new(Config::with_seed(1)).unwrap();
    director.set_path("10.0.0.101".parse().unwrap(), Path::new(1500).tunnel_source("10.0.0.1".parse().unwrap()));
    for line in lines {
        director.run(line).unwrap();
    }
    director
}

/// The packet that a packet leaves as.
fn forwarded(director: &mut Director, now: Instant, packet: &[u8]) -> Vec<u8> {
    let mut buffer = [&[0; 128], packet].concat();
    let mut packet = Packet::new(&mut buffer, 128, packet.len()).unwrap();
    let verdict = director.process(now, &mut packet, Meta::default());
    assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
    packet.bytes().to_vec()
}

#[test]
fn padding_behind_a_packet_stays_outside_of_tunnels() {
    let plain = packets::udp("198.51.100.1:5353", "192.0.2.10:53").build();
    let padded = [&plain[..], &[0; 6]].concat();
    for tunnel in ["ipip", "gre", "gre --tun-csum", "gue --tun-port 6080", "gue --tun-port 6080 --tun-csum"] {
        let server = format!("-a -u 192.0.2.10:53 -r 10.0.0.101 -i --tun-type {tunnel}");
        let mut director = director(&["-A -u 192.0.2.10:53 -s rr", &server]);
        let mut without = forwarded(&mut director, Instant::ZERO, &plain);
        let mut with = forwarded(&mut director, Instant::ZERO, &padded);
        for packet in [&mut without, &mut with] {
            packet[4..6].fill(0); // The identification, and the header checksum that covers it.
            packet[10..12].fill(0);
        }
        assert_eq!(with, without, "{tunnel}");
    }
}

#[test]
fn a_server_that_a_new_service_takes_up_shows_what_its_last_tick_had_not() {
    let services = ["-A -u 192.0.2.10:53 -s rr", "-a -u 192.0.2.10:53 -r 10.0.0.101 -g"];
    let mut director = director(&services);
    let packet = packets::udp("198.51.100.1:5353", "192.0.2.10:53").build();
    let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
    while director.advance(at(0), usize::MAX).more {}
    forwarded(&mut director, at(0), &packet);
    while director.advance(at(5), usize::MAX).more {}
    forwarded(&mut director, at(5), &packet);
    for line in ["-D -u 192.0.2.10:53", services[0], services[1]] {
        director.run(line).unwrap();
    }
    let shown = |director: &mut Director| {
        let listing = director.run("-Ln --stats").unwrap();
        let packets = |line: &str| line.split_whitespace().rev().nth(3).unwrap().to_string();
        listing.lines().skip(3).map(packets).collect::<Vec<_>>()
    };
    assert_eq!(shown(&mut director), ["0", "0"]);
    while director.advance(at(8), usize::MAX).more {}
    assert_eq!(shown(&mut director), ["0", "1"], "the service, the server");
}

#[test]
fn a_template_of_a_quiesced_server_is_put_aside_even_if_there_is_no_other() {
    let mut director = director(&["-A -u 192.0.2.10:53 -s rr -p 60", "-a -u 192.0.2.10:53 -r 10.0.0.101 -g"]);
    director.set_tunable("expire_quiescent_template", "1").unwrap();
    forwarded(&mut director, Instant::ZERO, &packets::udp("198.51.100.1:5353", "192.0.2.10:53").build());
    director.run("-e -u 192.0.2.10:53 -r 10.0.0.101 -g -w 0").unwrap();
    let mut buffer = [&[0; 128][..], &packets::udp("198.51.100.1:5354", "192.0.2.10:53").build()].concat();
    let len = buffer.len() - 128;
    let verdict = director.process(Instant::ZERO, &mut Packet::new(&mut buffer, 128, len).unwrap(), Meta::default());
    assert!(matches!(verdict, Verdict::Reply(_)), "{verdict:?}");
    let listing = director.proc_file("ip_vs_conn").unwrap();
    assert!(listing.contains("UDP C6336401 0000 C000020A FFFF 0A000065 FFFF NONE"), "{listing}");
}

#[test]
fn the_templates_of_a_removed_server_go_with_its_connections() {
    let lines = ["-A -t 192.0.2.10:80 -s rr -p 60", "-a -t 192.0.2.10:80 -r 10.0.0.101 -g"];
    let mut director = director(&lines);
    director.set_tunable("expire_nodest_conn", "1").unwrap();
    let segment = || packets::tcp("198.51.100.1:5353", "192.0.2.10:80");
    forwarded(&mut director, Instant::ZERO, &segment().syn().build());
    forwarded(&mut director, Instant::ZERO, &segment().flags(0x10).build());
    assert!(director.proc_file("ip_vs_conn").unwrap().contains("ASSURED"));
    director.run("-d -t 192.0.2.10:80 -r 10.0.0.101").unwrap();
    assert_eq!(director.connections().count(), 0);
}
