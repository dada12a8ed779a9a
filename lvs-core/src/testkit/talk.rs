//! An FTP control connection through a director, with somebody at both ends who watches the stream of bytes.
//!
//! Each end knows what it has sent and what it has seen, as TCP does, and nothing of the other's count.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::packets::{Builder, tcp};
use crate::config::{Config, Meta};
use crate::director::Director;
use crate::time::Instant;
use crate::verdict::{DropReason, Verdict};
use crate::wire::Packet;
use crate::wire::be32;

const CLIENT: [&str; 2] = ["198.51.100.7:40000", "[2001:db8:9::7]:40000"];
const VIRTUAL: [&str; 2] = ["192.0.2.10:21", "[2001:db8:c::10]:21"];
const SERVER: [&str; 2] = ["10.0.0.101:2100", "[fd00::101]:2100"];

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const SYN_ACK: u8 = 0x12;

/// One end: what it has sent, and what it has seen of the other.
#[derive(Clone, Debug, Default)]
struct End {
    next: u32,
    seen: u32,
    /// What it sent last: where that began, and what it was.
    last: Option<(u32, Vec<u8>)>,
}

/// The connection and both its ends.
#[derive(Debug)]
pub(super) struct Talk {
    director: Director,
    is_v6: bool,
    client: End,
    server: End,
    now: Instant,
}

impl Talk {
    /// An established connection; both ends begin to count somewhere.
    pub(super) fn established(is_v6: bool, client: u32, server: u32) -> Self {
        let mut director = Director::new(Config { connections: 64, ..Config::with_seed(7) }).expect("a configuration");
        director.set_ftp_ports(&[21]).expect("a port");
        let which = usize::from(is_v6);
        let rules = format!("-A -t {0}\n-a -t {0} -r {1} -m", VIRTUAL[which], SERVER[which]);
        director.load(&rules).expect("rules that are right");
        let end = |next| End { next, ..End::default() };
        let (client, server) = (end(client), end(server));
        let mut talk = Self { director, is_v6, client, server, now: Instant::from_secs(1) };
        talk.send(true, SYN, b"");
        talk.send(false, SYN_ACK, b"");
        talk.send(true, ACK, b"");
        talk
    }

    /// An end says something, which arrives where the other one waits for it.
    ///
    /// # Panics
    /// If what arrives is no packet of the connection, if its numbers or checksums are wrong, or if `explain` had said
    /// something else.
    pub(super) fn send(&mut self, from_client: bool, flags: u8, text: &[u8]) {
        let (sender, receiver) = self.ends(from_client);
        let (sequence, acknowledged, expected, sent) = (sender.next, sender.seen, receiver.seen, receiver.next);
        let Some(arrived) = self.carry(from_client, flags, sequence, acknowledged, text) else { return };
        let one = u32::from(flags & SYN != 0);
        let is_first = flags & SYN != 0;
        assert!(is_first || arrived.sequence == expected, "the stream goes on: {} {expected}", arrived.sequence);
        assert!(
            flags & ACK == 0 || arrived.acknowledged == sent,
            "all is acknowledged: {} {sent}",
            arrived.acknowledged
        );
        if from_client {
            assert_eq!(arrived.text, text, "nobody changes what a client says");
            if !text.is_empty() {
                // A client that goes on has seen the answer: it is not said again.
                self.server.last = None;
            }
        }
        let len = |text: &[u8]| u32::try_from(text.len()).expect("a segment") + one;
        let (sender, receiver) = self.ends(from_client);
        receiver.seen = arrived.sequence.wrapping_add(len(&arrived.text));
        sender.next = sequence.wrapping_add(len(text));
        sender.last = Some((sequence, text.to_vec()));
    }

    /// An end says again what it said last.
    ///
    /// # Panics
    /// As [`send`](Self::send).
    pub(super) fn say_again(&mut self, from_client: bool) {
        let (sender, _) = self.ends(from_client);
        let acknowledged = sender.seen;
        if let Some((sequence, text)) = sender.last.clone() {
            // Whether it arrives where the first one did is told by the corrections' own test.
            let _ = self.carry(from_client, ACK, sequence, acknowledged, &text);
        }
    }

    fn ends(&mut self, from_client: bool) -> (&mut End, &mut End) {
        if from_client { (&mut self.client, &mut self.server) } else { (&mut self.server, &mut self.client) }
    }

    /// Takes a segment through the director; nothing if it was dropped for want of room.
    fn carry(
        &mut self,
        from_client: bool,
        flags: u8,
        sequence: u32,
        acknowledged: u32,
        text: &[u8],
    ) -> Option<Arrived> {
        let which = usize::from(self.is_v6);
        let (source, target) = if from_client { (CLIENT, VIRTUAL) } else { (SERVER, CLIENT) };
        let builder = tcp(source[which], target[which]).flags(flags).numbers(sequence, acknowledged).payload(text);
        let mut buffer = builder.build_in(8);
        let len = buffer.len() - 8;
        // Eight bytes in front and eight behind: an announcement may need both.
        buffer.extend([0; 8]);
        let mut packet = Packet::new(&mut buffer, 8, len).expect("made so");
        let before = packet.bytes().to_vec();
        let told = self.director.explain(self.now, &packet, Meta::default());
        let verdict = self.director.process(self.now, &mut packet, Meta::default());
        assert_eq!(told.verdict.map(without_connection), Some(without_connection(verdict)), "{told}");
        match verdict {
            Verdict::Forward(_) => {}
            Verdict::Drop(DropReason::TableFull) => {
                assert_eq!(packet.bytes(), before, "a packet that is dropped stays as it is");
                return None;
            }
            other => panic!("{other:?}"),
        }
        let ends = if from_client { [CLIENT, SERVER] } else { [VIRTUAL, CLIENT] };
        Some(Arrived::read(packet.bytes(), ends.map(|end| end[which]), flags, if from_client { 63 } else { 64 }))
    }
}

/// A connection that is not there yet has no number.
fn without_connection(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Forward(out) => Verdict::Forward(crate::Forward { connection: None, ..out }),
        other => other,
    }
}

/// A segment as its receiver sees it.
struct Arrived {
    sequence: u32,
    acknowledged: u32,
    text: Vec<u8>,
}

impl Arrived {
    /// Reads a segment, and makes sure that it is the one that anybody would build of its numbers and its text.
    fn read(bytes: &[u8], [source, target]: [&str; 2], flags: u8, ttl: u8) -> Self {
        let target_at: SocketAddr = target.parse().expect("an end");
        let transport = if matches!(target_at.ip(), IpAddr::V4(_)) { 20 } else { 40 };
        let arrived = Self {
            sequence: be32(bytes, transport + 4),
            acknowledged: be32(bytes, transport + 8),
            text: bytes.get(transport + 20..).unwrap_or_default().to_vec(),
        };
        let numbers = (arrived.sequence, arrived.acknowledged);
        let right: Builder =
            tcp(source, target).flags(flags).numbers(numbers.0, numbers.1).payload(&arrived.text).ttl(ttl);
        assert_eq!(bytes, right.build(), "addresses, lengths and checksums are right");
        arrived
    }
}

/// What an end may say of itself, whole or in parts.
pub(super) fn phrase(which: u8, number: u16) -> String {
    let [high, low] = number.to_be_bytes();
    match which % 16 {
        0 => "PASV\r\n".into(),
        1 => "EPSV\r\n".into(),
        2 => format!("227 Entering Passive Mode (10,0,0,101,{high},{low}).\r\n"),
        3 => format!("229 Entering Extended Passive Mode (|||{number}|)\r\n"),
        4 => format!("PORT 198,51,100,7,{high},{low}\r\n"),
        5 => format!("EPRT |1|198.51.100.7|{number}|\r\n"),
        6 => format!("EPRT |2|2001:db8:9::7|{number}|\r\n"),
        7 => format!("229 (|2|fd00::101|{number}|)\r\n"),
        8 => format!("227 1{}0,0,0,101,0{high},{low}", high & 1),
        9 => format!("229 (!!!000{number}!) and more\r\n"),
        10 => "227 (1,1,1,1,1,1)\r\n".into(),
        11 => "227 (200,200,200,200,200,200)\r\n".into(),
        12 => "EPSV 2\r\n".into(),
        13 => format!("150 {number}\r\n"),
        14 => "EPSV 1\r\n".into(),
        _ => String::new(),
    }
}
