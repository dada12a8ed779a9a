//! Packets past all servers: what a service of a firewall mark has no server for goes where it was meant to go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use lvs_core::Protocol;

use crate::scenarios::dice::Dice;
use crate::scenarios::farm::{Service, Target};
use crate::scenarios::network::{self, Families, SERVERS, client_address, virtual_address};
use crate::scenarios::packet;
use crate::scenarios::script::Script;
use crate::scenarios::traffic::Flow;

/// The mark of all that clients send.
const MARK: u32 = 7;

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    let v6 = script.dice.chance(40);
    way_through(script, v6);
    script.tune("cache_bypass", 1);
    let scheduler = script.dice.pick(&["rr", "lc", "sh", "wlc"]);
    let options = script.dice.pick(&["", "", "-p 60", "-o"]);
    let method = script.dice.pick(&["-m", "-g"]);
    let mut service = Service::new(Target::Mark(MARK, v6), scheduler).options(options).method(method, 0);
    service.add(script);
    if script.dice.chance(60) {
        service.add_server(script, 0, 0, "");
    }
    let mut flows: Vec<Flow> = Vec::new();
    for _ in 0..script.dice.from(24, 40) {
        match script.dice.from(0, 99) {
            0..35 => {
                let mut flow = flow(&mut script.dice, v6);
                send(script, &mut flow);
                flows.push(flow);
            }
            35..60 if !flows.is_empty() => {
                let n = script.dice.index(flows.len());
                send(script, &mut flows[n]);
            }
            60..72 if !flows.is_empty() => from_beyond(script, &flows),
            72..76 => {
                let value = script.dice.pick(&[0, 1, 1]);
                script.tune("cache_bypass", value);
            }
            76..80 if !service.servers.is_empty() => {
                let weight = script.dice.pick(&[0, 0, 1]);
                service.edit_server(script, 0, weight, "");
            }
            80..84 => script.sleep_around_a_deadline(),
            84..88 => script.sleep(Duration::from_secs(30)),
            _ => script.look(),
        }
    }
    script.look_at_connections();
    script.listen(Duration::from_millis(4500));
    script.run("-Ln --stats");
}

/// All that clients send is delivered to the host, whatever its destination; beyond a server there are networks.
fn way_through(script: &mut Script, v6: bool) {
    let mut clients = network::towards_clients(Families::One(v6));
    clients["mark"] = MARK.into();
    script.net(&clients);
    let mut servers = network::towards_servers(Families::One(v6), network::ETHERNET);
    let route = if v6 { "2001:db8:77::/64 via fd00::67" } else { "203.0.113.0/24 via 10.0.0.103" };
    servers["routes"] = vec![route].into();
    script.net(&servers);
    let ip = if v6 { "ip -6" } else { "ip" };
    script.shell(&format!("{ip} rule add fwmark {MARK} lookup 100"));
    script.shell(&format!("{ip} route add local default dev lo table 100"));
}

/// An address that clients want something of: beyond a server, beyond the clients' router, the director's, no host's.
fn destination(dice: &mut Dice, v6: bool) -> IpAddr {
    if v6 {
        let beyond = |n| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, n));
        let elsewhere = IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0x88, 0, 0, 0, 0, 8));
        return dice.weighted(&[(4, beyond(5)), (3, beyond(6)), (2, elsewhere), (1, virtual_address(true, 0))]);
    }
    dice.weighted(&[
        (4, Ipv4Addr::new(203, 0, 113, 5).into()),
        (3, Ipv4Addr::new(203, 0, 113, 6).into()),
        (2, Ipv4Addr::new(8, 8, 8, 8).into()),
        (1, Ipv4Addr::new(203, 0, 113, 255).into()),
        (1, virtual_address(false, 0)),
        (1, Ipv4Addr::new(192, 0, 2, 255).into()),
        (1, Ipv4Addr::new(224, 0, 0, 9).into()),
    ])
}

fn flow(dice: &mut Dice, v6: bool) -> Flow {
    let protocol = dice.weighted(&[(3, Protocol::Tcp), (3, Protocol::Udp), (1, Protocol::Sctp)]);
    let client = SocketAddr::new(client_address(v6, 0, dice.pick(&[1, 2, 3])), dice.port(40000, 40003));
    Flow::new(protocol, client, SocketAddr::new(destination(dice, v6), dice.pick(&[80, 53])))
}

/// A packet of a client's.
fn send(script: &mut Script, flow: &mut Flow) {
    let dice = &mut script.dice;
    let (ttl, len) = (dice.weighted(&[(8, 64), (1, 2), (1, 1)]), dice.weighted(&[(6, 1), (2, 30), (1, 1400)]));
    let packet = flow.packet().ttl(ttl).payload(&vec![b'y'; len]);
    let packet = if dice.chance(20) { packet.may_fragment() } else { packet };
    let flags = dice.weighted(&[(5, 0x02), (4, 0x10), (2, 0x11), (1, 0x04), (1, 0x12)]);
    let chunk = dice.pick(&[1, 0, 10, 14]);
    flow.send(script, &packet.flags(flags).chunk(chunk).build());
}

/// What comes back from beyond: an answer, or an error about a packet.
fn from_beyond(script: &mut Script, flows: &[Flow]) {
    let flow = script.dice.pick(flows);
    if flow.target.ip() == virtual_address(flow.target.is_ipv6(), 0) || is_for_many(flow.target.ip()) {
        return;
    }
    let packet = if script.dice.chance(30) {
        let v6 = flow.target.is_ipv6();
        let kind = if v6 { script.dice.pick(&[[1, 0], [3, 0]]) } else { script.dice.pick(&[[3, 1], [11, 0]]) };
        let about = flow.opening();
        packet::icmp(flow.target.ip(), flow.client.ip(), kind, 0, &about)
    } else {
        let flags = script.dice.pick(&[0x12, 0x10, 0x11]);
        flow.packet_back().flags(flags).chunk(2).payload(b"ok").build()
    };
    script.send(SERVERS, &packet);
}

fn is_for_many(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.is_multicast() || v4.octets()[3] == 255)
}
