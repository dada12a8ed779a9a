//! The files of `/proc/net`: `ip_vs`, `ip_vs_conn`, `ip_vs_conn_sync`, `ip_vs_stats`, `ip_vs_stats_percpu`, `ip_vs_app`, in
//! the order of the tables.

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write};
use core::net::{IpAddr, SocketAddr};

use super::view::{ConnectionView, EngineView, ServerView, ServiceView};
use crate::addr::Family;
use crate::flow::Protocol;
use crate::service::{Netmask, ServiceKey, ServiceSpec};
use crate::stats::{Counters, Rates};

/// The first line of listings. The size is that of the kernel's connection table, always 4096 buckets here.
pub(crate) const VERSION_LINE: &str = "IP Virtual Server version 1.2.1 (size=4096)";

/// Kernel ticks per second, in which `ip_vs` gives the persistence timeout.
const TICKS_PER_SECOND: u64 = 250;

/// Services and servers (`/proc/net/ip_vs`).
pub(crate) fn services(services: &[ServiceView]) -> String {
    let mut text = format!("{VERSION_LINE}\n");
    text.push_str("Prot LocalAddress:Port Scheduler Flags\n");
    text.push_str("  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n");
    services
        .iter()
        .try_for_each(|service| {
            write_service(&mut text, &service.spec)?;
            service.servers.iter().try_for_each(|server| write_server(&mut text, server))
        })
        .expect("a string takes everything");
    text
}

fn write_service(out: &mut String, spec: &ServiceSpec) -> fmt::Result {
    let scheduler = &spec.scheduler;
    let one_packet = if spec.one_packet { "ops " } else { "" };
    match spec.key {
        // The kernel leaves a second blank after the scheduler of an IPv4 service, and never shows one-packet
        // scheduling of an IPv6 one.
        ServiceKey::Address { protocol, address: address @ SocketAddr::V4(_) } => {
            write!(out, "{protocol}  {} {scheduler} {one_packet} ", endpoint(address))?;
        }
        ServiceKey::Address { protocol, address } => write!(out, "{protocol}  {} {scheduler} ", endpoint(address))?,
        ServiceKey::Mark { mark, .. } => write!(out, "FWM  {mark:08X} {scheduler} {one_packet}")?,
    }
    if let Some(persistence) = spec.persistence {
        let ticks = persistence.timeout.as_secs() * TICKS_PER_SECOND;
        write!(out, "persistent {ticks} {:08X}", mask_word(spec))?;
    }
    out.write_char('\n')
}

/// The kernel prints the mask through a conversion from network order, which an IPv6 prefix length never was in.
fn mask_word(spec: &ServiceSpec) -> u32 {
    match (spec.netmask, spec.key.family()) {
        (Some(Netmask::V4(mask)), _) => mask.to_bits(),
        (Some(Netmask::V6(prefix)), _) => u32::from(prefix).swap_bytes(),
        (None, Family::V4) => u32::MAX,
        (None, Family::V6) => 128u32.swap_bytes(),
    }
}

fn write_server(out: &mut String, server: &ServerView) -> fmt::Result {
    let ServerView { spec, active, inactive, .. } = server;
    let (address, method) = (endpoint(spec.address), spec.method.name());
    writeln!(out, "  -> {address}      {method:<7} {:<6} {active:<10} {inactive:<10}", spec.weight)
}

fn endpoint(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(_) => format!("{}:{:04X}", Full(address.ip()), address.port()),
        IpAddr::V6(_) => format!("[{}]:{:04X}", Full(address.ip()), address.port()),
    }
}

/// Connections (`/proc/net/ip_vs_conn`).
pub(crate) fn connections(connections: &[ConnectionView]) -> String {
    let mut text = String::from("Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n");
    connections
        .iter()
        .try_for_each(|connection| write_connection(&mut text, connection))
        .expect("a string takes everything");
    text
}

/// Connections and where they come from (`/proc/net/ip_vs_conn_sync`).
pub(crate) fn synced_connections(connections: &[ConnectionView]) -> String {
    let mut text = String::from("Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires\n");
    connections
        .iter()
        .try_for_each(|connection| {
            write_ends(&mut text, connection)?;
            let origin = if connection.synced { "SYNC" } else { "LOCAL" };
            writeln!(text, "{:<11} {origin:<6} {:>7}", connection.state, connection.expires_seconds)
        })
        .expect("a string takes everything");
    text
}

fn write_connection(out: &mut String, connection: &ConnectionView) -> fmt::Result {
    write_ends(out, connection)?;
    write!(out, "{:<11} {:>7}", connection.state, connection.expires_seconds)?;
    if let Some(EngineView { name, data }) = &connection.engine {
        write!(out, " {name} {data}")?;
    }
    out.write_char('\n')
}

fn write_ends(out: &mut String, connection: &ConnectionView) -> fmt::Result {
    write!(out, "{:<3} ", protocol_name(connection.protocol))?;
    [connection.client, connection.target, connection.server]
        .iter()
        .try_for_each(|end| write!(out, "{} {:04X} ", Full(end.ip()), end.port()))
}

/// The name of a protocol in connection listings: `IP` stands for all, and one that is not balanced has its number.
pub(crate) fn protocol_name(number: u8) -> String {
    match Protocol::from_number(number) {
        Some(protocol) => String::from(protocol.name()),
        None if number == 0 => String::from("IP"),
        None => format!("IP_{number}"),
    }
}

/// Helpers (`/proc/net/ip_vs_app`): ports, and the connections to each.
pub(crate) fn helpers(users: &[(u16, usize)]) -> String {
    let mut text = String::from("prot port    usecnt name\n");
    users
        .iter()
        .try_for_each(|(port, count)| writeln!(text, "TCP  {port:<7} {count:<6} {:<17}", "ftp"))
        .expect("a string takes everything");
    text
}

/// Totals (`/proc/net/ip_vs_stats`), in hexadecimal.
pub(crate) fn stats(stats: &Counters, rates: &Rates) -> String {
    format!("{STATS_TITLE}{}\n{RATES_TITLE}{}", stats_row(stats.row()), stats_row(rates.row()))
}

/// The same for a machine of one processor (`/proc/net/ip_vs_stats_percpu`): what it has counted up to this moment, never
/// zeroed, then what is reported.
pub(crate) fn stats_by_processor(counted: &Counters, reported: &Counters, rates: &Rates) -> String {
    let (title, first) = (PROCESSORS_TITLE, stats_row(counted.row()));
    let (total, rates) = (stats_row(reported.row()), stats_row(rates.row()));
    format!("{title}  0 {first}  ~ {total}\n    {RATES_TITLE}    {rates}")
}

const PROCESSORS_TITLE: &str = concat!(
    "       Total Incoming Outgoing         Incoming         Outgoing\n",
    "CPU    Conns  Packets  Packets            Bytes            Bytes\n"
);
const STATS_TITLE: &str = concat!(
    "   Total Incoming Outgoing         Incoming         Outgoing\n",
    "   Conns  Packets  Packets            Bytes            Bytes\n"
);
const RATES_TITLE: &str = " Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n";

fn stats_row([conns, in_packets, out_packets, in_bytes, out_bytes]: [u64; 5]) -> String {
    format!("{conns:>8X} {in_packets:>8X} {out_packets:>8X} {in_bytes:>16X} {out_bytes:>16X}\n")
}

/// An address with all its digits: eight in upper case for IPv4, eight groups of four in lower case for IPv6.
struct Full(IpAddr);

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{:08X}", address.to_bits()),
            IpAddr::V6(address) => {
                let [first, rest @ ..] = address.segments();
                write!(f, "{first:04x}")?;
                rest.iter().try_for_each(|group| write!(f, ":{group:04x}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::parse::parse_line;
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn service(line: &str, servers: &[&str]) -> ServiceView {
        let servers = servers.iter().map(|line| match parse_line(line).unwrap() {
            Command::AddServer(_, spec) => ServerView::new(spec),
            other => panic!("{other:?} is no server"),
        });
        match parse_line(line).unwrap() {
            Command::AddService(spec) => ServiceView::new(spec, servers.collect()),
            other => panic!("{other:?} is no service"),
        }
    }

    /// `/proc/net/ip_vs` on Linux 6.1.
    const RECORDED: [&str; 12] = [
        "IP Virtual Server version 1.2.1 (size=4096)",
        "Prot LocalAddress:Port Scheduler Flags",
        "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn",
        "TCP  C000020A:0050 lblcr  ",
        "  -> 0A000067:0050      Masq    7      0          0         ",
        "  -> [fd00:0000:0000:0000:0000:0000:0000:0066]:0050      Tunnel  1      0          0         ",
        "TCP  C000020A:0000 fo  persistent 25000 FFFFFFFF",
        "SCTP  C000020A:0F1C sh  ",
        "TCP  [2001:0db8:000c:0000:0000:0000:0000:0010]:01BB dh persistent 90000 80000000",
        "FWM  00000003 lblc ",
        "FWM  00000005 wrr persistent 90000 FFFF0000",
        "",
    ];

    #[test]
    fn services_are_written_as_the_kernel_writes_them() {
        let nat = "-a -t 192.0.2.10:80 -r 10.0.0.103 -m -w 7";
        let tunnel = "-a -t 192.0.2.10:80 -r fd00::66 -i";
        let views = [
            service("-A -t 192.0.2.10:80 -s lblcr", &[nat, tunnel]),
            service("-A -t 192.0.2.10 -s fo -p 100", &[]),
            service("-A --sctp-service 192.0.2.10:3868 -s sh", &[]),
            service("-A -t [2001:db8:c::10]:443 -s dh -p", &[]),
            service("-A -f 3 -s lblc", &[]),
            service("-A -f 5 -s wrr -p -M 255.255.0.0", &[]),
        ];
        assert_eq!(services(&views), RECORDED.join("\n"));
    }

    #[test]
    fn one_packet_scheduling_shows_except_for_ipv6() {
        for (line, row) in [
            ("-A -u 10.0.0.1:53 -o", "UDP  0A000001:0035 wlc ops  "),
            ("-A -u [fd00::1]:53 -o", "UDP  [fd00:0000:0000:0000:0000:0000:0000:0001]:0035 wlc "),
            ("-A -f 1 -o", "FWM  00000001 wlc ops "),
        ] {
            assert_eq!(services(&[service(line, &[])]).lines().nth(3), Some(row), "{line}");
        }
    }

    fn connection(protocol: u8, addresses: [&str; 3], state: &'static str, expires_seconds: u64) -> ConnectionView {
        let [client, target, server] = addresses.map(|address| address.parse().unwrap());
        ConnectionView { expires_seconds, ..ConnectionView::new(protocol, client, target, server, state) }
    }

    #[test]
    fn connections_are_written_as_the_kernel_writes_them() {
        let v6 = ["[2001:db8:9::13]:20054", "[2001:db8:c::10]:80", "[fd00::66]:80"];
        let mut views: Vec<_> = vec![
            connection(6, v6, "ESTABLISHED", 899),
            connection(17, ["198.51.100.39:20063", "192.0.2.10:53", "10.0.0.102:53"], "UDP", 299),
            connection(0, ["198.51.102.8:0", "0.0.0.5:0", "10.0.0.102:0"], "NONE", 359),
            connection(132, ["198.51.102.5:20003", "192.0.2.10:3868", "10.0.0.102:3868"], "ESTABLISHED", 0),
        ];
        views[3].engine = Some(EngineView { name: "sip".into(), data: "call@host".into() });
        let expected = "\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP 2001:0db8:0009:0000:0000:0000:0000:0013 4E56 2001:0db8:000c:0000:0000:0000:0000:0010 0050 fd00:0000:0000:0000:0000:0000:0000:0066 0050 ESTABLISHED     899
UDP C6336427 4E5F C000020A 0035 0A000066 0035 UDP             299
IP  C6336608 0000 00000005 0000 0A000066 0000 NONE            359
SCTP C6336605 4E23 C000020A 0F1C 0A000066 0F1C ESTABLISHED       0 sip call@host
";
        assert_eq!(connections(&views), expected);
    }

    #[test]
    fn totals_are_hexadecimal() {
        let totals =
            Counters { connections: 0xab, in_packets: 2, out_packets: 3, in_bytes: 0x1_0000_0000, out_bytes: 5 };
        let rates = Rates { connections: 10, ..Rates::default() };
        let expected = concat!(
            "   Total Incoming Outgoing         Incoming         Outgoing\n",
            "   Conns  Packets  Packets            Bytes            Bytes\n",
            "      AB        2        3        100000000                5\n",
            "\n",
            " Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n",
            "       A        0        0                0                0\n",
        );
        assert_eq!(stats(&totals, &rates), expected);
    }

    /// On Linux 6.1, after a zeroing.
    #[test]
    fn each_processor_shows_what_it_has_counted_up_to_now() {
        let counted = Counters { connections: 6, in_packets: 0x16, out_packets: 6, in_bytes: 0x9b0, out_bytes: 0xf0 };
        let reported = Counters { connections: 5, in_packets: 0x12, out_packets: 5, in_bytes: 0x7e4, out_bytes: 0xc8 };
        let rates = Rates { in_packets: 2, in_bytes: 0xbd, out_bytes: 0x13, ..Rates::default() };
        let expected = concat!(
            "       Total Incoming Outgoing         Incoming         Outgoing\n",
            "CPU    Conns  Packets  Packets            Bytes            Bytes\n",
            "  0        6       16        6              9B0               F0\n",
            "  ~        5       12        5              7E4               C8\n",
            "\n",
            "     Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n",
            "           0        2        0               BD               13\n",
        );
        assert_eq!(stats_by_processor(&counted, &reported, &rates), expected);
    }
}
