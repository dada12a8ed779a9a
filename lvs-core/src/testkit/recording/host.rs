//! The host around the director, as a recording's `net` steps describe it: interfaces, neighbours, routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::string::String;
use std::vec::Vec;

use serde_json::Value;

use super::packet::{
    Fields, ICMP, ICMPV6, TCP, UDP, describe, error_for, has_dont_fragment, header_is_right, is_damaged, mac_of,
    reset_for, same_own_packet,
};
use crate::{Direction, Director, Path, Verdict};

/// An IPv6 packet with nothing in it.
const NO_NEXT_HEADER: u8 = 59;

/// One interface.
#[derive(Debug)]
struct Interface {
    name: String,
    mark: u32,
    mtu: usize,
    neighbours: Vec<IpAddr>,
    /// Destination network and the neighbour that leads there.
    routes: Vec<(Network, IpAddr)>,
    addresses: Vec<(IpAddr, u8)>,
}

#[derive(Clone, Copy, Debug)]
struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        let bits = |ip: IpAddr| match ip {
            IpAddr::V4(a) => u128::from(a.to_bits()) << 96,
            IpAddr::V6(a) => a.to_bits(),
        };
        let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
        self.address.is_ipv4() == address.is_ipv4() && (bits(self.address) ^ bits(address)) & mask == 0
    }
}

/// Where a packet leaves: the interface, the neighbour's Ethernet address, the largest packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) interface: String,
    pub(super) mac: String,
    pub(super) mtu: usize,
}

#[derive(Debug, Default)]
pub(super) struct Host {
    interfaces: Vec<Interface>,
    /// Firewall marks, and whether of IPv4, whose packets are delivered to the host whatever their destination.
    taken: Vec<(u32, bool)>,
}

impl Host {
    /// Takes up a `net` step, and tells the director what it has to know of it. `None` if the step is malformed.
    pub(super) fn add(&mut self, step: &Value, director: &mut Director) -> Option<()> {
        let texts = |name: &str| step[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut interface = Interface {
            name: step["if"].as_str()?.into(),
            mark: u32::try_from(step["mark"].as_u64().unwrap_or(0)).ok()?,
            mtu: usize::try_from(step["mtu"].as_u64().unwrap_or(1500)).ok()?,
            neighbours: texts("neigh").map(|text| text.parse().ok()).collect::<Option<_>>()?,
            routes: Vec::new(),
            addresses: Vec::new(),
        };
        for text in texts("addr") {
            let (address, prefix) = text.split_once('/')?;
            interface.addresses.push((address.parse().ok()?, prefix.parse().ok()?));
        }
        for text in texts("routes") {
            let (network, neighbour) = text.split_once(" via ")?;
            let neighbour: IpAddr = neighbour.trim().parse().ok()?;
            interface.routes.push((network_of(network, neighbour)?, neighbour));
        }
        self.interfaces.push(interface);
        self.tell(director);
        Some(())
    }

    /// Makes every way wider by so much, for a packet that was put together of fragments shorter than itself by that.
    pub(super) fn widen(&self, director: &mut Director, by: usize) {
        self.tell_paths(director, by);
    }

    /// Tells the director what it has to know.
    fn tell(&self, director: &mut Director) {
        let own = self.interfaces.iter().flat_map(|i| i.addresses.iter().map(|(address, _)| *address));
        director.set_local_addresses(own.collect());
        let networks = self.interfaces.iter().flat_map(|i| i.addresses.iter());
        director
            .set_broadcast_addresses(networks.filter_map(|&(address, prefix)| broadcast(address, prefix)).collect());
        self.tell_paths(director, 0);
        let mut towards_clients = (None, None);
        for interface in &self.interfaces {
            for (network, _) in &interface.routes {
                match interface.address(network.address.is_ipv4()) {
                    Some(IpAddr::V4(address)) if network.prefix == 0 => towards_clients.0 = Some(address),
                    Some(IpAddr::V6(address)) if network.prefix == 0 => towards_clients.1 = Some(address),
                    _ => {}
                }
            }
        }
        // What is taken without being the host's cannot be answered from there. Over IPv4 the host tries just that; over IPv6
        // it takes another address, the one that it got last.
        if self.taken.iter().any(|(_, is_v4)| *is_v4) {
            towards_clients.0 = None;
        }
        if self.taken.iter().any(|(_, is_v4)| !*is_v4) {
            let of_clients = self.interfaces.iter().find(|i| i.routes.iter().any(|(network, _)| network.prefix == 0));
            towards_clients.1 = of_clients
                .and_then(|interface| interface.addresses.iter().rev().find_map(|(address, _)| v6_of(*address)));
        }
        director.set_client_side_addresses(towards_clients.0, towards_clients.1);
    }

    pub(super) fn has(&self, interface: &str) -> bool {
        self.interfaces.iter().any(|i| i.name == interface)
    }

    fn tell_paths(&self, director: &mut Director, wider_by: usize) {
        for interface in &self.interfaces {
            let mtu = u16::try_from(interface.mtu.saturating_add(wider_by)).unwrap_or(u16::MAX);
            for &neighbour in &interface.neighbours {
                let mut path = Path::new(mtu);
                if let Some(source) = interface.address(neighbour.is_ipv4()) {
                    path = path.tunnel_source(source);
                }
                director.set_path(neighbour, path);
            }
        }
    }

    /// Takes up a command of the shell. What matters is a rule by which packets of a mark are the host's own, whatever
    /// their destination: `ip rule add fwmark 7 lookup 100`.
    pub(super) fn command(&mut self, text: &str, director: &mut Director) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (is_v4, rest) = match words.as_slice() {
            ["ip", "-6", rest @ ..] => (false, rest),
            ["ip", rest @ ..] => (true, rest),
            _ => return,
        };
        if let ["rule", "add", "fwmark", mark, "lookup", _] = rest {
            self.taken.extend(mark.parse().map(|mark| (mark, is_v4)));
            self.tell(director);
        }
    }

    /// Whether a packet that arrives there is delivered to the host itself.
    pub(super) fn takes(&self, destination: IpAddr, interface: &str) -> bool {
        self.owns(destination) || self.taken.contains(&(self.mark(interface), destination.is_ipv4()))
    }

    pub(super) fn mark(&self, interface: &str) -> u32 {
        self.interfaces.iter().find(|i| i.name == interface).map_or(0, |i| i.mark)
    }

    pub(super) fn owns(&self, address: IpAddr) -> bool {
        self.interfaces.iter().any(|i| i.addresses.iter().any(|(own, _)| *own == address))
    }

    /// The way to an address: a neighbour, a host on a connected network, or where a route leads.
    pub(super) fn way(&self, address: IpAddr) -> Option<Way> {
        let way = |interface: &Interface, hop: IpAddr| Way {
            interface: interface.name.clone(),
            mac: mac_of(hop),
            mtu: interface.mtu,
        };
        if let Some(interface) = self.interfaces.iter().find(|i| i.neighbours.contains(&address)) {
            return Some(way(interface, address));
        }
        let routes = self.interfaces.iter().flat_map(|i| i.routes.iter().map(move |(network, hop)| (i, network, *hop)));
        routes
            .filter(|(_, network, _)| network.contains(address))
            .max_by_key(|(_, network, _)| network.prefix)
            .map(|(interface, _, hop)| way(interface, hop))
    }

    /// What the host's own stack does with a packet that it is to forward, before the director sees it: an error to the
    /// sender, by type, code and second word, or nothing. Of a packet put together the `largest` fragment has to fit.
    pub(super) fn refuses(&self, fields: &Fields, packet: &[u8], largest: usize) -> Option<([u8; 2], u16)> {
        let is_v4 = fields.source.is_ipv4();
        let Some(way) = self.way(fields.destination) else { return Some((if is_v4 { [3, 0] } else { [1, 0] }, 0)) };
        if fields.ttl <= 1 {
            return Some((if is_v4 { [11, 0] } else { [3, 0] }, 0));
        }
        let must_fit = !is_v4 || has_dont_fragment(packet);
        let mtu = u16::try_from(way.mtu).unwrap_or(u16::MAX);
        (must_fit && fields.len.min(largest) > way.mtu).then_some((if is_v4 { [3, 4] } else { [2, 0] }, mtu))
    }

    /// What it does with a packet that was put together, after the director has had its say: "don't fragment" on the
    /// parts holds for the way to a client or past the director, even if the whole would fit.
    pub(super) fn refuses_again(&self, verdict: &Verdict, packet: &[u8]) -> Option<([u8; 2], u16)> {
        let fields = Fields::read(packet)?;
        let is_the_hosts_to_send = match verdict {
            Verdict::Forward(out) => out.direction == Direction::ToClient,
            Verdict::Pass(_) => !self.owns(fields.destination),
            _ => false,
        };
        let must_stay_whole = is_the_hosts_to_send && fields.source.is_ipv4() && has_dont_fragment(packet);
        let way = self.way(fields.destination).filter(|_| must_stay_whole)?;
        Some(([3, 4], u16::try_from(way.mtu).unwrap_or(u16::MAX)))
    }
}

impl Interface {
    fn address(&self, v4: bool) -> Option<IpAddr> {
        self.addresses.iter().map(|(address, _)| *address).find(|address| address.is_ipv4() == v4)
    }
}

/// The broadcast address of an interface's network, if it has one.
fn broadcast(address: IpAddr, prefix: u8) -> Option<Ipv4Addr> {
    let IpAddr::V4(address) = address else { return None };
    (prefix < 31).then(|| Ipv4Addr::from_bits(address.to_bits() | (u32::MAX >> prefix)))
}

const fn v6_of(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address),
    }
}

fn network_of(text: &str, neighbour: IpAddr) -> Option<Network> {
    if text.trim() == "default" {
        return Some(Network { address: neighbour, prefix: 0 });
    }
    let (address, prefix) = text.trim().split_once('/')?;
    Some(Network { address: address.parse().ok()?, prefix: prefix.parse().ok()? })
}

/// Is this what the host answers to a packet that was passed to it, for one of its own addresses? An error says what was
/// expected.
pub(super) fn answers_passed(fields: &Fields, packet: &[u8], answers: &[Vec<u8>]) -> Result<(), String> {
    let kind = packet.get(fields.transport).copied();
    let wanted = match (fields.protocol, kind) {
        _ if is_damaged(fields, packet) => Wanted::Nothing,
        (TCP, _) => {
            let is_reset = packet.get(fields.transport + 13).is_some_and(|flags| flags & 4 != 0);
            if is_reset { Wanted::Nothing } else { Wanted::Reset }
        }
        (UDP, _) if fields.source.is_ipv4() => Wanted::Error([3, 3], 0),
        (UDP, _) => Wanted::Error([1, 4], 0),
        (ICMP, Some(8)) => Wanted::Echo(0),
        (ICMPV6, Some(128)) => Wanted::Echo(129),
        (ICMP | ICMPV6 | NO_NEXT_HEADER, _) => Wanted::Nothing,
        _ if fields.source.is_ipv4() => Wanted::Error([3, 2], 0),
        _ => Wanted::Error([4, 1], fields.protocol_at),
    };
    let right = match (wanted, answers) {
        (Wanted::Nothing, []) => true,
        (Wanted::Nothing, _) | (_, []) => false,
        (wanted, [answer]) => wanted.is(fields, packet, answer),
        _ => false,
    };
    let seen: Vec<String> = answers.iter().map(|answer| describe(answer)).collect();
    if right { Ok(()) } else { Err(std::format!("{} by the host, not {seen:?}", wanted.name())) }
}

/// What the host answers to a packet for one of its own addresses, where nobody listens.
pub(super) fn answer_of(packet: &[u8]) -> Option<Vec<u8>> {
    let fields = Fields::read(packet)?;
    let is_reset = packet.get(fields.transport + 13).is_some_and(|flags| flags & 4 != 0);
    let unreachable = if fields.source.is_ipv4() { [3, 3] } else { [1, 4] };
    match fields.protocol {
        _ if is_damaged(&fields, packet) => None,
        TCP if !is_reset => reset_for(&fields, packet),
        UDP => Some(error_for(&fields, packet, unreachable, 0, fields.destination)),
        _ => None,
    }
}

/// Is this the host's error about a packet, of a type and code, and with this second word?
pub(super) fn is_host_error(fields: &Fields, packet: &[u8], kind: [u8; 2], word: u16, answer: &[u8]) -> bool {
    Fields::read(answer)
        .filter(|seen| seen.source.is_ipv4() == fields.source.is_ipv4())
        .is_some_and(|seen| same_own_packet(&error_for(fields, packet, kind, word, seen.source), answer))
}

#[derive(Clone, Copy, Debug)]
enum Wanted {
    Nothing,
    Reset,
    /// Type and code, and the second word.
    Error([u8; 2], u16),
    Echo(u8),
}

impl Wanted {
    fn is(self, fields: &Fields, packet: &[u8], answer: &[u8]) -> bool {
        let Some(seen) = Fields::read(answer) else { return false };
        let ends = seen.source == fields.destination && seen.destination == fields.source;
        match self {
            Self::Nothing => false,
            Self::Reset => reset_for(fields, packet).is_some_and(|reset| same_own_packet(&reset, answer)),
            Self::Error(kind, word) => ends && is_host_error(fields, packet, kind, word, answer),
            Self::Echo(kind) => {
                let head = fields.transport + 4;
                ends && header_is_right(answer)
                    && answer.get(seen.transport..seen.transport + 2) == Some(&[kind, 0])
                    && answer.get(seen.transport + 4..seen.len) == packet.get(head..fields.len)
            }
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no answer",
            Self::Reset => "one reset",
            Self::Error(..) => "one ICMP error",
            Self::Echo(_) => "one echo reply",
        }
    }
}
