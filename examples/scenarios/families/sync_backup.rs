//! What a synchronisation backup makes of a master's messages, right ones and wrong ones.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lvs_core::Protocol;
use lvs_core::testkit::packets::Builder;

use crate::scenarios::dice::Dice;
use crate::scenarios::farm::{self, Service, Target};
use crate::scenarios::network::{CLIENTS, Families, client_address, server_address, virtual_address};
use crate::scenarios::script::Script;
use crate::scenarios::traffic::Flow;

const NO_OUTPUT: u32 = 0x80;
const INACTIVE: u32 = 0x100;
const SEQUENCES: u32 = 0x600;
const NO_CLIENT_PORT: u32 = 0x800;
const TEMPLATE: u32 = 0x1000;
const ONE_PACKET: u32 = 0x2000;

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    script.network(Families::Both);
    let id = script.dice.pick(&[0, 0, 7]);
    script.run(format!("--start-daemon backup --mcast-interface cl0 --syncid {id}"));
    script.run("-L --daemon");
    let v6 = script.dice.chance(40);
    let mut services = Vec::new();
    for (protocol, port) in [(Protocol::Tcp, 80), (Protocol::Udp, 53), (Protocol::Sctp, 3868)] {
        let method = farm::method(&mut script.dice);
        let options = script.dice.pick(&["", "-p 100"]);
        let target = Target::Address(protocol, virtual_address(v6, 0), port);
        let mut service = Service::new(target, "rr").options(options).method(method, 8080);
        service.set_up(script, 3);
        services.push(service);
    }
    let mut told: Vec<Record> = Vec::new();
    for _ in 0..script.dice.from(10, 18) {
        match script.dice.from(0, 9) {
            0..5 => {
                let count = script.dice.from(1, 4);
                let records: Vec<Record> = (0..count).map(|_| record(&mut script.dice, v6, &told)).collect();
                let version = if v6 { 1 } else { script.dice.pick(&[1, 1, 0]) };
                let message = message(&mut script.dice, version, id, &records);
                let sender = SocketAddr::new(IpAddr::from([192, 0, 2, 253]), 50000);
                let group = SocketAddr::new(IpAddr::from([224, 0, 0, 81]), 8848);
                script.send(CLIENTS, &Builder::new(Protocol::Udp, sender, group).payload(&message).ttl(1).build());
                // The daemon reads it in its own time.
                script.sleep(Duration::from_millis(100));
                told.extend(records);
            }
            5..8 if !told.is_empty() => {
                let record = script.dice.pick(&told);
                let mut flow = record.flow();
                let flags = script.dice.pick(&[0x10, 0x10, 0x11, 0x02, 0x04]);
                let packet = flow.packet().flags(flags).chunk(0).payload(b"on").build();
                flow.send(script, &packet);
            }
            8 => script.sleep_around_a_deadline(),
            _ => {
                let n = script.dice.index(services.len());
                if script.dice.chance(50) { services[n].change(script) } else { script.run("-Ln") }
            }
        }
        script.look_at_connections();
    }
    script.run("-Ln");
}

/// A connection, as a master tells of it.
#[derive(Clone, Debug)]
struct Record {
    protocol: u8,
    flags: u32,
    state: u16,
    client: SocketAddr,
    target: SocketAddr,
    server: SocketAddr,
    mark: u32,
    timeout: u32,
}

impl Record {
    fn flow(&self) -> Flow {
        let protocol = match self.protocol {
            17 => Protocol::Udp,
            132 => Protocol::Sctp,
            _ => Protocol::Tcp,
        };
        Flow::new(protocol, self.client, self.target)
    }

    fn version_1(&self) -> Vec<u8> {
        let octets = |address: SocketAddr| match address.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let mut bytes = vec![u8::from(self.client.is_ipv6()), self.protocol, 0, 0];
        bytes.extend(self.flags.to_be_bytes());
        bytes.extend(self.state.to_be_bytes());
        for end in [self.client, self.target, self.server] {
            bytes.extend(end.port().to_be_bytes());
        }
        bytes.extend(self.mark.to_be_bytes());
        bytes.extend(self.timeout.to_be_bytes());
        for end in [self.client, self.target, self.server] {
            bytes.extend(octets(end));
        }
        if self.flags & SEQUENCES != 0 {
            bytes.extend([1, 24]);
            bytes.extend([0; 24]);
        }
        let len = u16::try_from(bytes.len()).expect("short").to_be_bytes();
        bytes[2..4].copy_from_slice(&len);
        bytes
    }

    fn version_0(&self) -> Vec<u8> {
        let mut bytes = vec![0, self.protocol];
        for end in [self.client, self.target, self.server] {
            bytes.extend(end.port().to_be_bytes());
        }
        for end in [self.client, self.target, self.server] {
            if let IpAddr::V4(ip) = end.ip() {
                bytes.extend(ip.octets());
            }
        }
        bytes.extend(&self.flags.to_be_bytes()[2..]);
        bytes.extend(self.state.to_be_bytes());
        if self.flags & SEQUENCES != 0 {
            bytes.extend([0; 24]);
        }
        bytes
    }
}

/// A record: a new one, or one told before, in another state.
fn record(dice: &mut Dice, v6: bool, told: &[Record]) -> Record {
    let state = dice.weighted(&[(6, 1), (2, 4), (2, 5), (1, 7), (1, 6), (1, 3), (1, 11), (1, 99)]);
    let inactive = if matches!(state, 1 | 3) { 0 } else { INACTIVE };
    if !told.is_empty() && dice.chance(40) {
        let mut record = dice.pick(told);
        if record.flags & TEMPLATE == 0 && record.protocol == 6 {
            record.state = state;
            record.flags = record.flags & !INACTIVE | inactive;
        }
        if dice.chance(15) {
            record.server.set_ip(server_address(v6, dice.pick(&[0, 1, 2, 3])));
        }
        return record;
    }
    let (protocol, port) =
        dice.weighted(&[(6, (6, 80)), (3, (17, 53)), (2, (132, 3868)), (1, (6, 8888)), (1, (47, 80))]);
    let client_port = dice.port(20000, 20009);
    let host = dice.pick(&[1, 2, 3]);
    let server_port = dice.pick(&[port, 8080, 8080]);
    let method = dice.pick(&[0, 0, 2, 3]);
    let mut record = Record {
        protocol,
        flags: method | if method == 0 { 0 } else { NO_OUTPUT } | if protocol == 6 { inactive } else { INACTIVE },
        state: if protocol == 6 { state } else { dice.pick(&[0, 0, 0, 1, 14]) },
        client: SocketAddr::new(client_address(v6, 0, host), client_port),
        target: SocketAddr::new(virtual_address(v6, 0), port),
        server: SocketAddr::new(server_address(v6, dice.pick(&[0, 1, 2, 3, 4])), server_port),
        mark: 0,
        timeout: dice.pick(&[0, 30, 100, 900]),
    };
    match dice.from(0, 19) {
        0..3 => {
            record.flags = record.flags & !INACTIVE | TEMPLATE;
            record.client.set_port(0);
            record.state = dice.pick(&[0, 1, 1, 2]);
        }
        3 => record.flags |= ONE_PACKET,
        4 => record.flags |= TEMPLATE | NO_CLIENT_PORT,
        5 => record.flags |= SEQUENCES,
        _ => {}
    }
    record
}

/// A message of these records; now and then a damaged one.
fn message(dice: &mut Dice, version: u8, id: u8, records: &[Record]) -> Vec<u8> {
    let count = u8::try_from(records.len()).expect("few");
    let id = if dice.chance(8) { id.wrapping_add(1) } else { id };
    let mut bytes = if version == 1 { vec![0, id, 0, 0, count, 1, 0, 0] } else { vec![count, id, 0, 0] };
    for record in records {
        if version == 1 {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend(record.version_1());
        } else {
            bytes.extend(record.version_0());
        }
    }
    let len = u16::try_from(bytes.len()).expect("short").to_be_bytes();
    bytes[2..4].copy_from_slice(&len);
    match dice.from(0, 19) {
        0 => drop(bytes.pop()),
        1 => {
            let at = dice.index(bytes.len());
            bytes[at] ^= 1 << dice.from(0, 7);
        }
        2 => {
            let last = bytes.len() - 5;
            bytes.truncate(last);
            let len = u16::try_from(last).expect("short").to_be_bytes();
            bytes[2..4].copy_from_slice(&len);
        }
        _ => {}
    }
    bytes
}
