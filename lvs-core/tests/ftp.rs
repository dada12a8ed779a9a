//! The FTP helper from outside: both ends of a control connection, whatever they say, and the refusals.

use lvs_core::testkit::{fuzz, packets};
use lvs_core::{Config, ControlError, Director, DropReason, Found, Instant, Meta, Packet, Verdict};
use proptest::prelude::*;

const CLIENT: &str = "198.51.100.7:40000";
const VIRTUAL: &str = "192.0.2.10:21";
const SERVER: &str = "10.0.0.7:21";
const NOW: Instant = Instant::from_secs(1);

fn director(connections: usize) -> Director {
    let mut director = Director::new(Config { connections, ..Config::with_seed(7) }).unwrap();
    director.set_ftp_ports(&[21]).unwrap();
    director.load("-A -t 192.0.2.10:21 -s rr\n-a -t 192.0.2.10:21 -r 10.0.0.7 -m").unwrap();
    director
}

fn send(director: &mut Director, packet: &packets::Builder) -> (Verdict, Vec<u8>) {
    let (mut buffer, len) = (packet.build_in(8), packet.build().len());
    let mut packet = Packet::new(&mut buffer, 8, len).unwrap();
    let verdict = director.process(NOW, &mut packet, Meta::default());
    (verdict, packet.bytes().to_vec())
}

fn segment(from_client: bool, numbers: (u32, u32), text: &str) -> packets::Builder {
    let (source, target) = if from_client { (CLIENT, VIRTUAL) } else { (SERVER, CLIENT) };
    packets::tcp(source, target).numbers(numbers.0, numbers.1).payload(text.as_bytes())
}

/// A control connection of which the client has sent 1000 and the server 5000.
fn established(connections: usize) -> Director {
    let mut director = director(connections);
    for packet in [
        segment(true, (1000, 0), "").syn(),
        segment(false, (5000, 1001), "").flags(0x12),
        segment(true, (1001, 5001), ""),
    ] {
        assert!(matches!(send(&mut director, &packet).0, Verdict::Forward(_)));
    }
    director
}

#[test]
fn a_longer_announcement_needs_room_and_is_left_alone_without() {
    let mut director = established(64);
    assert!(matches!(send(&mut director, &segment(true, (1001, 5001), "PASV\r\n")).0, Verdict::Forward(_)));
    let answer = segment(false, (5001, 1007), "227 (10,0,0,7,200,1)\r\n").build();
    let mut buffer = answer.clone();
    let mut packet = Packet::whole(&mut buffer);
    let told = director.explain(NOW, &packet, Meta::default()).verdict;
    assert_eq!(director.process(NOW, &mut packet, Meta::default()), Verdict::Drop(DropReason::NoTailroom));
    assert_eq!(told, Some(Verdict::Drop(DropReason::NoTailroom)));
    assert_eq!(buffer, answer);
    assert_eq!(director.connection_count(), 1, "no data connection either");

    let (verdict, bytes) = send(&mut director, &segment(false, (5001, 1007), "227 (10,0,0,7,200,1)\r\n"));
    assert!(matches!(verdict, Verdict::Forward(_)));
    let right = packets::tcp(VIRTUAL, CLIENT).numbers(5001, 1007).payload(b"227 (192,0,2,10,200,1)\r\n").build();
    assert_eq!(bytes, right);
}

#[test]
fn a_full_table_refuses_the_command_that_needs_a_connection() {
    let mut director = established(1);
    let command = segment(true, (1001, 5001), "PORT 198,51,100,7,200,1\r\n");
    assert_eq!(send(&mut director, &command).0, Verdict::Drop(DropReason::TableFull));
}

#[test]
fn a_wrong_checksum_is_not_passed_on_with_a_right_one() {
    let mut director = established(64);
    let mut bytes = segment(false, (5001, 1001), "220 hello\r\n").build();
    *bytes.last_mut().unwrap() ^= 1;
    let verdict = director.process(NOW, &mut Packet::whole(&mut bytes), Meta::default());
    assert_eq!(verdict, Verdict::Drop(DropReason::TransportChecksum));
}

#[test]
fn an_expected_data_connection_is_found_by_explain_and_learns_its_port() {
    let mut director = established(64);
    let _ = send(&mut director, &segment(true, (1001, 5001), "EPSV\r\n"));
    let _ = send(&mut director, &segment(false, (5001, 1007), "229 (|||50000|)\r\n"));
    let syn = packets::tcp("198.51.100.7:41000", "192.0.2.10:50000").syn();
    let mut buffer = syn.build();
    let told = director.explain(NOW, &Packet::whole(&mut buffer), Meta::default());
    assert!(matches!(told.found, Found::Connection { state: "LISTEN", .. }), "{told}");
    let (verdict, bytes) = send(&mut director, &syn);
    assert_eq!(told.verdict, Some(verdict));
    assert_eq!(bytes, packets::tcp("198.51.100.7:41000", "10.0.0.7:50000").syn().ttl(63).build());
    assert!(director.connections().any(|connection| connection.client.port() == 41000));
    let answer = packets::tcp("10.0.0.7:50000", "198.51.100.7:41000").flags(0x12);
    assert!(matches!(send(&mut director, &answer).0, Verdict::Forward(_)));
    let other = packets::tcp("198.51.100.7:41001", "192.0.2.10:50000").syn();
    assert!(matches!(send(&mut director, &other).0, Verdict::Pass(_)), "it was for one");
}

#[test]
fn ports_are_checked_and_zero_stands_for_none() {
    let mut director = director(64);
    assert_eq!(director.set_ftp_ports(&[21, 0, 2121, 21]), Err(ControlError::PortTwice));
    assert_eq!(director.set_ftp_ports(&[1, 2, 3, 4, 5, 6, 7, 8, 9]), Err(ControlError::TooManyPorts));
    assert_eq!(director.ftp_ports().collect::<Vec<_>>(), [21], "nothing has changed");
    assert_eq!(director.set_ftp_ports(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 0]), Ok(()));
    assert_eq!(director.ftp_ports().count(), 8);
    assert_eq!(director.set_ftp_ports(&[]), Ok(()));
    assert_eq!(director.proc_file("ip_vs_app").as_deref(), Some("prot port    usecnt name\n"));
}

/// What the two ends say, as the fuzz target reads it: mostly whole phrases, in any order.
fn talk() -> impl Strategy<Value = Vec<u8>> {
    let phrase = (any::<bool>(), 0u8..16, 1024u16..).prop_map(|(from_server, which, number)| {
        let [low, high] = number.to_le_bytes();
        vec![u8::from(from_server), which, low, high]
    });
    let again = any::<bool>().prop_map(|from_server| vec![6 | u8::from(from_server), 0, 0, 0]);
    let raw = (any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(from_server, bytes)| {
        [vec![8 | u8::from(from_server), u8::try_from(bytes.len()).unwrap(), 0, 0], bytes].concat()
    });
    let said = prop_oneof![8 => phrase, 2 => again, 1 => raw];
    (any::<u8>(), prop::collection::vec(said, 0..60))
        .prop_map(|(settings, said)| [vec![settings], said.concat()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn whatever_is_said_both_ends_see_streams_without_gaps(talk in talk()) {
        fuzz::ftp(&talk);
    }
}
