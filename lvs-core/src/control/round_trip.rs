//! Rules written are rules read: whatever can be described comes back from the save format.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use alloc::string::String;
use alloc::vec::Vec;
use proptest::prelude::*;

use super::command::Command;
use super::parse::{parse_line, parse_rules};
use super::save::save;
use super::view::{ServerView, ServiceView};
use crate::addr::Family;
use crate::flow::Protocol;
use crate::service::{
    GueChecksum, Method, Netmask, Persistence, SchedulerFlags, ServerSpec, ServiceKey, ServiceSpec, Tunnel,
};

fn address(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::V4 => any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))).boxed(),
        Family::V6 => any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))).boxed(),
    }
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

/// Marks above 2147483647 are written as negative numbers, which nothing reads.
fn key() -> impl Strategy<Value = ServiceKey> {
    let socket = family().prop_flat_map(address).prop_flat_map(|ip| (Just(ip), 1..=u16::MAX));
    prop_oneof![
        (prop::sample::select(&Protocol::ALL[..]), socket)
            .prop_map(|(protocol, (ip, port))| ServiceKey::address(protocol, SocketAddr::new(ip, port))),
        (1..=0x7fff_ffff_u32, family()).prop_map(|(mark, family)| ServiceKey::mark(mark, family)),
    ]
}

fn netmask(family: Family) -> BoxedStrategy<Option<Netmask>> {
    // The mask that takes the whole address is not written.
    let mask = match family {
        Family::V4 => (0..u32::MAX).prop_map(|bits| Netmask::V4(Ipv4Addr::from_bits(bits))).boxed(),
        Family::V6 => (1..128_u8).prop_map(Netmask::V6).boxed(),
    };
    prop::option::of(mask).boxed()
}

fn persistence(family: Family) -> impl Strategy<Value = (Option<Persistence>, Option<Netmask>)> {
    let given = (1..=2_678_400_u64, netmask(family));
    prop::option::of(given).prop_map(|given| match given {
        Some((seconds, mask)) => (Some(Persistence { timeout: Duration::from_secs(seconds) }), mask),
        // A mask without persistence is not written.
        None => (None, None),
    })
}

/// A scheduler, and flags that it has names for.
fn scheduling() -> impl Strategy<Value = (&'static str, SchedulerFlags)> {
    let scheduler = prop::sample::select(&["rr", "wlc", "none", "sh", "mh", "mine"][..]);
    (scheduler, any::<[bool; 3]>()).prop_map(|(scheduler, chosen)| {
        let all = [SchedulerFlags::FALLBACK, SchedulerFlags::PORT, SchedulerFlags::THIRD];
        let named = if matches!(scheduler, "sh" | "mh") { 2 } else { 3 };
        let flags = all.into_iter().zip(chosen).take(named).filter(|(_, is_chosen)| *is_chosen);
        (scheduler, flags.fold(SchedulerFlags::NONE, |flags, (flag, _)| flags.with(flag)))
    })
}

fn service() -> impl Strategy<Value = ServiceSpec> {
    let rest = |key: ServiceKey| {
        (Just(key), scheduling(), persistence(key.family()), prop::option::of("[a-z]{1,16}"), any::<bool>())
    };
    key().prop_flat_map(rest).prop_map(|(key, (scheduler, flags), (persistence, netmask), engine, one_packet)| {
        let may_one_packet =
            matches!(key, ServiceKey::Mark { .. } | ServiceKey::Address { protocol: Protocol::Udp, .. });
        let scheduler = String::from(scheduler);
        ServiceSpec { key, scheduler, flags, one_packet: one_packet && may_one_packet, persistence, netmask, engine }
    })
}

fn tunnel() -> impl Strategy<Value = Tunnel> {
    let checksum = prop::sample::select(&[GueChecksum::None, GueChecksum::Csum, GueChecksum::Remcsum][..]);
    prop_oneof![
        Just(Tunnel::Ipip),
        any::<bool>().prop_map(|checksum| Tunnel::Gre { checksum }),
        (1..=u16::MAX, checksum).prop_map(|(port, checksum)| Tunnel::Gue { port, checksum }),
    ]
}

/// A server that this service can have: of another family only through a tunnel, with another port only where that is
/// not forced. Thresholds are not written.
fn server(key: ServiceKey) -> impl Strategy<Value = ServerSpec> {
    let method = prop::sample::select(&[Method::Nat, Method::Dr, Method::Tun][..]);
    let target = (method, family()).prop_flat_map(move |(method, other)| {
        (Just(method), address(if method == Method::Tun { other } else { key.family() }))
    });
    (target, any::<u16>(), 0..=0x7fff_ffff_u32, tunnel()).prop_map(move |((method, ip), port, weight, tunnel)| {
        let port = if key.is_mark() || method == Method::Nat { port } else { key.port() };
        let tunnel = if method == Method::Tun { tunnel } else { Tunnel::Ipip };
        ServerSpec::new(SocketAddr::new(ip, port), method).weight(weight).tunnel(tunnel)
    })
}

fn service_with_servers() -> impl Strategy<Value = (ServiceSpec, Vec<ServerSpec>)> {
    service().prop_flat_map(|spec| {
        let servers = prop::collection::vec(server(spec.key), 0..5);
        (Just(spec), servers)
    })
}

/// What the rules add, in the order of the text.
fn read(text: &str) -> (Vec<ServiceSpec>, Vec<(ServiceKey, ServerSpec)>) {
    let (mut services, mut servers) = (Vec::new(), Vec::new());
    for (_, command) in parse_rules(text).unwrap() {
        match command {
            Command::AddService(spec) => services.push(spec),
            Command::AddServer(key, spec) => servers.push((key, spec)),
            other => panic!("a save holds no {other:?}"),
        }
    }
    (services, servers)
}

proptest! {
    #[test]
    fn saved_rules_read_back((spec, servers) in service_with_servers()) {
        let view = ServiceView::new(spec.clone(), servers.iter().copied().map(ServerView::new).collect());
        let text = save(&[view]);
        let (services, read_servers) = read(&text);
        prop_assert_eq!(services, [spec.clone()], "{}", text);
        prop_assert_eq!(read_servers.len(), servers.len());
        for server in servers {
            prop_assert!(read_servers.contains(&(spec.key, server)), "{:?} is not in\n{}", server, text);
        }
    }

    #[test]
    fn saving_what_was_read_changes_nothing(services in prop::collection::vec(service(), 0..8)) {
        let text = save(&services.iter().cloned().map(|spec| ServiceView::new(spec, Vec::new())).collect::<Vec<_>>());
        let views: Vec<_> = read(&text).0.into_iter().map(|spec| ServiceView::new(spec, Vec::new())).collect();
        prop_assert_eq!(save(&views).lines().count(), text.lines().count());
        for view in views {
            let line = save(core::slice::from_ref(&view));
            prop_assert_eq!(parse_line(line.trim_end()).unwrap(), Command::AddService(view.spec));
        }
    }
}
