//! The network that every scenario plays in: clients behind a router, virtual addresses on one interface of the director,
//! real servers on another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

/// The interface towards the clients.
pub(crate) const CLIENTS: &str = "cl0";
/// A second one, whose packets carry a firewall mark.
pub(crate) const MARKED: &str = "cl1";
/// The interface towards the real servers.
pub(crate) const SERVERS: &str = "rs0";
/// As many real servers can there be in each family.
pub(crate) const SERVERS_MAX: u8 = 5;
/// The MTU of Ethernet.
pub(crate) const ETHERNET: u16 = 1500;

/// A virtual address of the director's: 0 or 1.
#[must_use]
pub(crate) fn virtual_address(v6: bool, n: u8) -> IpAddr {
    if v6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 0x10 + u16::from(n)).into()
    } else {
        Ipv4Addr::new(192, 0, 2, 10 + n).into()
    }
}

/// A real server's address, from 0.
#[must_use]
pub(crate) fn server_address(v6: bool, n: u8) -> IpAddr {
    if v6 {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x65 + u16::from(n)).into()
    } else {
        Ipv4Addr::new(10, 0, 0, 101 + n).into()
    }
}

/// A client's address: the network from 0, the host from 1.
#[must_use]
pub(crate) fn client_address(v6: bool, network: u8, host: u8) -> IpAddr {
    if v6 {
        Ipv6Addr::new(0x2001, 0xdb8, 9, network.into(), 0, 0, 0, host.into()).into()
    } else {
        Ipv4Addr::new(198, 51, 100 + network, host).into()
    }
}

/// Which addresses there are: fewer come up sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Families {
    /// One family's, IPv6 or not.
    One(bool),
    /// Both families'.
    Both,
}

impl Families {
    /// Those of some that are of these families.
    fn choose<T: Clone>(self, v4: &[T], v6: &[T]) -> Vec<T> {
        match self {
            Self::One(false) => v4.to_vec(),
            Self::One(true) => v6.to_vec(),
            Self::Both => [v4, v6].concat(),
        }
    }
}

/// The interface towards the clients, as a step.
pub(crate) fn towards_clients(families: Families) -> Value {
    json!({
        "op": "net", "if": CLIENTS,
        "addr": families.choose(
            &["192.0.2.1/24", "192.0.2.10/32", "192.0.2.11/32"],
            &["2001:db8:c::1/64", "2001:db8:c::10/128", "2001:db8:c::11/128"],
        ),
        "neigh": families.choose(&["192.0.2.254"], &["2001:db8:c::fe"]),
        "routes": families.choose(&["default via 192.0.2.254"], &["default via 2001:db8:c::fe"]),
        "mtu": ETHERNET,
    })
}

/// The interface towards the real servers, as a step.
pub(crate) fn towards_servers(families: Families, mtu: u16) -> Value {
    let all = |v6| (0..SERVERS_MAX).map(|n| server_address(v6, n).to_string()).collect::<Vec<_>>();
    json!({
        "op": "net", "if": SERVERS,
        "addr": families.choose(&["10.0.0.1/16"], &["fd00::1/64"]),
        "neigh": families.choose(&all(false), &all(true)),
        "routes": [], "mtu": mtu,
    })
}

/// An interface whose packets carry a mark, as a step.
#[must_use]
pub(crate) fn with_mark(mark: u32) -> Value {
    json!({ "op": "net", "if": MARKED, "mark": mark })
}

/// How many commands a `net` step takes, to guess how long it lasts.
#[must_use]
pub(crate) fn commands(step: &Value) -> u32 {
    let count = |name: &str| step[name].as_array().map_or(0, Vec::len);
    let marks = if step["mark"].is_null() { 0 } else { 2 };
    u32::try_from(1 + marks + count("addr") + count("neigh") + count("routes")).expect("a few")
}
