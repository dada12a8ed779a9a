//! The tables of `ipvsadm -L -n`, to the byte: services, connections, timeouts, daemons.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use super::command::{Columns, DaemonRole, Listing};
use super::order;
use super::proc::{VERSION_LINE, protocol_name};
use super::save::{shown_mask, signed, write_flags};
use super::values::{Written, WrittenEndpoint};
use super::view::{ConnectionView, DaemonView, EngineView, ServerView, ServiceView, TimeoutsView};
use crate::addr::Family;
use crate::service::{GueChecksum, Method, ServiceKey, ServiceSpec, Tunnel};
use crate::stats::Rates;

/// Services and their servers (`-L -n`), of all services or of the one that was asked for: only the former has the
/// line with the version.
pub(crate) fn listing(services: &[ServiceView], listing: &Listing) -> String {
    let mut text = String::new();
    write_services(&mut text, services, listing).expect("a string takes everything");
    text
}

fn write_services(out: &mut String, services: &[ServiceView], listing: &Listing) -> fmt::Result {
    if listing.service.is_none() {
        writeln!(out, "{VERSION_LINE}")?;
    }
    out.write_str(title(listing.columns))?;
    let services = if listing.unsorted { services.iter().collect() } else { order::services(services) };
    services.into_iter().try_for_each(|service| {
        write_service(out, service, listing)?;
        servers_of(service, listing).into_iter().try_for_each(|server| write_server(out, server, listing))
    })
}

fn servers_of<'a>(service: &'a ServiceView, listing: &Listing) -> Vec<&'a ServerView> {
    if listing.unsorted { service.servers.iter().collect() } else { order::servers(&service.servers) }
}

/// The two lines above the services, trailing blanks included.
const fn title(columns: Columns) -> &'static str {
    match columns {
        Columns::Plain => concat!(
            "Prot LocalAddress:Port Scheduler Flags\n",
            "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"
        ),
        Columns::Stats => concat!(
            "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n",
            "  -> RemoteAddress:Port\n"
        ),
        Columns::Rate => concat!(
            "Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS\n",
            "  -> RemoteAddress:Port\n"
        ),
        Columns::Thresholds => concat!(
            "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn \n",
            "  -> RemoteAddress:Port\n"
        ),
        Columns::Persistent => concat!(
            "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn \n",
            "  -> RemoteAddress:Port\n"
        ),
        Columns::Tunnel => concat!(
            "Prot LocalAddress:Port Scheduler Flags\n",
            "  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn\n"
        ),
    }
}

// Service lines.

fn write_service(out: &mut String, service: &ServiceView, listing: &Listing) -> fmt::Result {
    let name = service_name(&service.spec.key);
    match listing.columns {
        Columns::Stats => writeln!(out, "{name:<33}{}", columns(&service.stats.row(), listing.exact)),
        Columns::Rate => writeln!(out, "{name:<33}{}", columns(&service.rates.row(), listing.exact)),
        _ => write_description(out, &name, &service.spec),
    }
}

fn service_name(key: &ServiceKey) -> String {
    match *key {
        ServiceKey::Address { protocol, address } => format!("{:<4} {}", protocol.name(), WrittenEndpoint(address)),
        ServiceKey::Mark { mark, family: Family::V4 } => format!("FWM  {}", signed(mark)),
        ServiceKey::Mark { mark, family: Family::V6 } => format!("FWM  {} IPv6", signed(mark)),
    }
}

fn write_description(out: &mut String, name: &str, spec: &ServiceSpec) -> fmt::Result {
    write!(out, "{name} {}", spec.scheduler)?;
    write_flags(out, spec, " (", ")")?;
    if let Some(persistence) = spec.persistence {
        write!(out, " persistent {}", persistence.timeout.as_secs())?;
        if let Some(mask) = shown_mask(spec) {
            write!(out, " mask {mask}")?;
        }
        if let Some(engine) = &spec.engine {
            write!(out, " pe {engine}")?;
        }
    }
    out.write_str(if spec.one_packet { " ops\n" } else { "\n" })
}

// Server lines.

fn write_server(out: &mut String, server: &ServerView, listing: &Listing) -> fmt::Result {
    let ServerView { spec, active, inactive, persistent, .. } = server;
    let (method, weight) = (spec.method.name(), signed(spec.weight));
    write!(out, "  -> {:<28}", format!("{}", WrittenEndpoint(spec.address)))?;
    match listing.columns {
        Columns::Plain => write!(out, " {method:<7} {weight:<6} {active:<10} {inactive:<10}")?,
        Columns::Stats => out.write_str(&columns(&server.stats.row(), listing.exact))?,
        Columns::Rate => write_server_rates(out, &server.rates, listing.exact)?,
        Columns::Thresholds => write!(out, " {:<10} {:<10} {active:<10} {inactive:<10}", spec.upper, spec.lower)?,
        Columns::Persistent => write!(out, " {:<9} {persistent:<11} {active:<10} {inactive:<10}", spec.weight)?,
        Columns::Tunnel => {
            let info = tunnel_info(spec.method, spec.tunnel);
            write!(out, " {method:<7} {info:<13} {weight:<6} {active:<10} {inactive:<10}")?;
        }
    }
    out.write_char('\n')
}

/// Only the bytes of a server are ever rounded.
fn write_server_rates(out: &mut String, rates: &Rates, exact: bool) -> fmt::Result {
    let [conns, in_packets, out_packets, bytes @ ..] = rates.row();
    write!(out, " {conns:>8} {in_packets:>8} {out_packets:>8}{}", columns(&bytes, exact))
}

fn tunnel_info(method: Method, tunnel: Tunnel) -> String {
    match (method, tunnel) {
        (Method::Nat | Method::Dr, _) => String::from("n/a"),
        (Method::Tun, Tunnel::Ipip) => String::from("ipip"),
        (Method::Tun, Tunnel::Gre { checksum }) => String::from(if checksum { "gre:+c" } else { "gre:-c" }),
        (Method::Tun, Tunnel::Gue { port, checksum }) => {
            let checksum = match checksum {
                GueChecksum::None => "-c",
                GueChecksum::Csum => "+c",
                GueChecksum::Remcsum => "r+c",
            };
            format!("gue:{port}:{checksum}")
        }
    }
}

// Numbers.

fn columns(numbers: &[u64], exact: bool) -> String {
    numbers.iter().map(|&number| if exact { exact_column(number) } else { rounded_column(number) }).collect()
}

/// At least nine places, and a blank in front however long the number is.
fn exact_column(number: u64) -> String {
    format!(" {number:>8}")
}

/// Numbers below each bound are shown in units of the second number.
const UNITS: [(u64, u64, &str); 4] = [
    (100_000_000, 1, ""),
    (1_000_000_000, 1_000, "K"),
    (100_000_000_000, 1_000_000, "M"),
    (100_000_000_000_000, 1_000_000_000, "G"),
];

fn rounded_column(number: u64) -> String {
    let largest = (u64::MAX, 1_000_000_000_000, "T");
    let (_, unit, letter) = UNITS.into_iter().find(|(bound, ..)| number < *bound).unwrap_or(largest);
    format!("{:>9}", format!("{}{letter}", number / unit))
}

// Connections, timeouts, daemons.

/// Connections (`-L -n -c`), with the columns of persistence engines if asked for.
pub(crate) fn connections(connections: &[ConnectionView], listing: &Listing) -> String {
    let mut text = String::from("IPVS connection entries\n");
    text.push_str("pro expire state       source             virtual            destination");
    text.push_str(if listing.engine_columns { "        pe name          pe_data\n" } else { "\n" });
    connections
        .iter()
        .try_for_each(|connection| write_connection(&mut text, connection, listing.engine_columns))
        .expect("a string takes everything");
    text
}

fn write_connection(out: &mut String, connection: &ConnectionView, engine_columns: bool) -> fmt::Result {
    let protocol = protocol_name(connection.protocol);
    let (minutes, seconds) = (connection.expires_seconds / 60, connection.expires_seconds % 60);
    let expire = format!("{minutes:02}:{seconds:02}");
    let [client, target, server] = [connection.client, connection.target, connection.server]
        .map(|address| format!("{}", WrittenEndpoint(address)));
    write!(out, "{protocol:<3} {expire:<6} {:<11} {client:<18} {target:<18} ", connection.state)?;
    match &connection.engine {
        Some(EngineView { name, data }) if engine_columns => writeln!(out, "{server:<16} {name:<18} {data}"),
        _ => writeln!(out, "{server}"),
    }
}

/// The three timeouts (`-L --timeout`).
pub(crate) fn timeouts(timeouts: &TimeoutsView) -> String {
    let [tcp, tcp_fin, udp] = [timeouts.tcp, timeouts.tcp_fin, timeouts.udp].map(|timeout| timeout.as_secs());
    format!("Timeout (tcp tcpfin udp): {tcp} {tcp_fin} {udp}\n")
}

/// The synchronisation daemons that run (`-L --daemon`).
pub(crate) fn daemons(daemons: &[DaemonView]) -> String {
    daemons.iter().map(daemon).collect()
}

fn daemon(daemon: &DaemonView) -> String {
    let DaemonView { role, interface, sync_id, max_len, group, port, ttl } = daemon;
    let role = match role {
        DaemonRole::Master => "master",
        DaemonRole::Backup => "backup",
    };
    let group = Written(*group);
    format!(
        "{role} sync daemon (mcast={interface}, syncid={sync_id}, maxlen={max_len}, group={group}, port={port}, ttl={ttl})\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse_line;
    use super::super::{Command, view::ServerView};
    use super::*;
    use crate::service::ServerSpec;
    use crate::stats::Counters;
    use alloc::vec;
    use core::time::Duration;

    fn asked(line: &str) -> Listing {
        match parse_line(line).unwrap() {
            Command::List(listing) => listing,
            other => panic!("{other:?} is no listing"),
        }
    }

    fn service(line: &str, servers: Vec<ServerView>) -> ServiceView {
        match parse_line(line).unwrap() {
            Command::AddService(spec) => ServiceView::new(spec, servers),
            other => panic!("{other:?} is no service"),
        }
    }

    fn server(line: &str, [active, inactive, persistent]: [u32; 3]) -> ServerView {
        match parse_line(line).unwrap() {
            Command::AddServer(_, spec) => ServerView { active, inactive, persistent, ..ServerView::new(spec) },
            other => panic!("{other:?} is no server"),
        }
    }

    /// Services of a recording on Linux 6.1, in the order of the kernel's tables.
    fn recorded() -> Vec<ServiceView> {
        let web = vec![
            server("-a -t 192.0.2.10:80 -r 10.0.0.103 -i --tun-type gre -w 7", [0, 0, 0]),
            server("-a -t 192.0.2.10:80 -r fd00::66 -i -x 8 -y 1", [0, 0, 0]),
        ];
        let marked = vec![
            server("-a -f 3 -r 10.0.0.105 -m -w 2 -x 6 -y 2", [0, 0, 0]),
            server("-a -f 3 -r 10.0.0.104 -i --tun-type gue --tun-port 6080 --tun-remcsum", [1, 0, 1]),
        ];
        vec![
            service("-A -u 192.0.2.10:53 -s rr -o", vec![]),
            service("-A -t [2001:db8:c::10]:443 -s dh -p", vec![]),
            service("-A -t 192.0.2.10:80 -s lblcr --pe sip", web),
            service("-A -t 192.0.2.11:80 -s sh -b sh-fallback,sh-port -p 77 -M 255.0.255.0", vec![]),
            service("-A -f 4 -6 -s ovf", vec![]),
            service("-A -f 3 -s nq -p 100 --pe sip", marked),
        ]
    }

    #[test]
    fn a_plain_listing_is_sorted() {
        let expected = [
            "IP Virtual Server version 1.2.1 (size=4096)",
            "Prot LocalAddress:Port Scheduler Flags",
            "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
            "TCP  192.0.2.10:80 lblcr",
            "  -> [fd00::66]:80                Tunnel  1      0          0         ",
            "  -> 10.0.0.103:80                Tunnel  7      0          0         ",
            "TCP  192.0.2.11:80 sh (sh-fallback,sh-port) persistent 77 mask 255.0.255.0",
            "UDP  192.0.2.10:53 rr ops",
            "TCP  [2001:db8:c::10]:443 dh persistent 360",
            "FWM  3 nq persistent 100 pe sip",
            "  -> 10.0.0.104:0                 Tunnel  1      1          0         ",
            "  -> 10.0.0.105:0                 Masq    2      0          0         ",
            "FWM  4 IPv6 ovf",
            "",
        ];
        assert_eq!(listing(&recorded(), &asked("-Ln")), expected.join("\n"));
    }

    /// The services of `recorded` in three layouts: a service line is plain, only title and servers differ.
    #[test]
    fn layouts_differ_in_title_and_server_lines() {
        for (line, expected) in [
            (
                "-Ln --thresholds",
                [
                    "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn ",
                    "  -> RemoteAddress:Port",
                    "  -> [fd00::66]:80                8          1          0          0         ",
                    "  -> 10.0.0.104:0                 0          0          1          0         ",
                ],
            ),
            (
                "-Ln --persistent-conn",
                [
                    "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn ",
                    "  -> RemoteAddress:Port",
                    "  -> [fd00::66]:80                1         0           0          0         ",
                    "  -> 10.0.0.104:0                 1         1           1          0         ",
                ],
            ),
            (
                "-Ln --tun-info",
                [
                    "Prot LocalAddress:Port Scheduler Flags",
                    "  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn",
                    "  -> [fd00::66]:80                Tunnel  ipip          1      0          0         ",
                    "  -> 10.0.0.104:0                 Tunnel  gue:6080:r+c  1      1          0         ",
                ],
            ),
        ] {
            let text = listing(&recorded(), &asked(line));
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!([lines[1], lines[2], lines[4], lines[10]], expected, "{line}");
            assert_eq!(lines[9], "FWM  3 nq persistent 100 pe sip");
        }
    }

    #[test]
    fn a_listing_of_one_service_has_no_version_line() {
        let one = service("-A -f 3 -s nq -p 100", vec![]);
        let expected = "\
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
FWM  3 nq persistent 100
";
        assert_eq!(listing(&[one], &asked("-Ln -f 3")), expected);
    }

    #[test]
    fn the_order_of_the_tables_stays_if_asked_for() {
        let text = listing(&recorded(), &asked("-Ln --nosort"));
        assert!(text.lines().nth(3).unwrap().starts_with("UDP  192.0.2.10:53"));
        assert!(text.lines().nth(6).unwrap().starts_with("  -> 10.0.0.103:80"));
    }

    #[test]
    fn counters_are_exact_or_rounded() {
        let mut web = service("-A -t [2001:db8:c::10]:80", vec![]);
        web.stats =
            Counters { connections: 14, in_packets: 28, out_packets: 14, in_bytes: 1_234_567_890_123, out_bytes: 840 };
        web.servers =
            vec![ServerView { stats: web.stats, ..ServerView::new(ServerSpec::nat("[fd00::65]:80".parse().unwrap())) }];
        let rounded = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  [2001:db8:c::10]:80                14       28       14    1234G      840
  -> [fd00::65]:80                      14       28       14    1234G      840
";
        assert_eq!(listing(core::slice::from_ref(&web), &asked("-Ln --stats")), rounded);
        let exact = "TCP  [2001:db8:c::10]:80                14       28       14 1234567890123      840";
        assert_eq!(listing(&[web], &asked("-Ln --stats --exact")).lines().nth(3), Some(exact));
    }

    #[test]
    fn rates_of_servers_round_bytes_only() {
        let rates = Rates {
            connections: 123_456_789,
            in_packets: 123_456_789,
            out_packets: 3,
            in_bytes: 123_456_789,
            out_bytes: 99_999_999,
        };
        let fast = ServerView { rates, ..ServerView::new(ServerSpec::nat("10.0.0.1:80".parse().unwrap())) };
        let web = ServiceView { rates, ..service("-A -t 192.0.2.10:80", vec![fast]) };
        let expected = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS
  -> RemoteAddress:Port
TCP  192.0.2.10:80                 123456K  123456K        3  123456K 99999999
  -> 10.0.0.1:80                  123456789 123456789        3  123456K 99999999
";
        assert_eq!(listing(&[web], &asked("-Ln --rate")), expected);
    }

    #[test]
    fn numbers_are_rounded_by_size() {
        for (number, shown) in [
            (0, "        0"),
            (99_999_999, " 99999999"),
            (100_000_000, "  100000K"),
            (999_999_999, "  999999K"),
            (1_000_000_000, "    1000M"),
            (99_999_999_999, "   99999M"),
            (100_000_000_000, "     100G"),
            (99_999_999_999_999, "   99999G"),
            (100_000_000_000_000, "     100T"),
            (u64::MAX, "18446744T"),
        ] {
            assert_eq!(rounded_column(number), shown);
        }
    }

    #[test]
    fn titles_are_as_wide_as_their_columns() {
        for (layout, names) in [
            (Columns::Stats, ["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"]),
            (Columns::Rate, ["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"]),
        ] {
            let columns: String = names.iter().map(|name| format!(" {name:>8}")).collect();
            assert_eq!(
                title(layout).lines().next(),
                Some(format!("{:<33}{columns}", "Prot LocalAddress:Port").as_str())
            );
        }
    }

    #[test]
    fn tunnels_are_named_with_port_and_checksum() {
        for (line, info) in [
            ("-a -f 1 -r 10.0.0.1 -m", "n/a"),
            ("-a -f 1 -r 10.0.0.1", "n/a"),
            ("-a -f 1 -r 10.0.0.1 -i", "ipip"),
            ("-a -f 1 -r 10.0.0.1 -i --tun-type gre", "gre:-c"),
            ("-a -f 1 -r 10.0.0.1 -i --tun-type gre --tun-csum", "gre:+c"),
            ("-a -f 1 -r 10.0.0.1 -i --tun-type gue --tun-port 7", "gue:7:-c"),
            ("-a -f 1 -r 10.0.0.1 -i --tun-type gue --tun-port 7 --tun-csum", "gue:7:+c"),
        ] {
            let spec = server(line, [0; 3]).spec;
            assert_eq!(tunnel_info(spec.method, spec.tunnel), info, "{line}");
        }
    }

    fn connection(client: &str, target: &str, server: &str) -> ConnectionView {
        let [client, target, server] = [client, target, server].map(|address| address.parse().unwrap());
        ConnectionView { expires_seconds: 897, ..ConnectionView::new(6, client, target, server, "ESTABLISHED") }
    }

    #[test]
    fn connections_show_engines_if_asked_for() {
        let plain = connection("1.2.3.4:5555", "10.0.0.1:80", "192.168.0.1:80");
        let engine = Some(EngineView { name: "sip".into(), data: "call@host".into() });
        let call = ConnectionView { protocol: 17, state: "UDP", expires_seconds: 6000, engine, ..plain.clone() };
        let both = [plain, call];
        let without = "\
IPVS connection entries
pro expire state       source             virtual            destination
TCP 14:57  ESTABLISHED 1.2.3.4:5555       10.0.0.1:80        192.168.0.1:80
UDP 100:00 UDP         1.2.3.4:5555       10.0.0.1:80        192.168.0.1:80
";
        assert_eq!(connections(&both, &asked("-Lnc")), without);
        let with = "\
IPVS connection entries
pro expire state       source             virtual            destination        pe name          pe_data
TCP 14:57  ESTABLISHED 1.2.3.4:5555       10.0.0.1:80        192.168.0.1:80
UDP 100:00 UDP         1.2.3.4:5555       10.0.0.1:80        192.168.0.1:80   sip                call@host
";
        assert_eq!(connections(&both, &asked("-Lnc --persistent-conn")), with);
    }

    #[test]
    fn timeouts_and_daemons_take_a_line_each() {
        let [tcp, tcp_fin, udp] = [900, 120, 300].map(Duration::from_secs);
        assert_eq!(timeouts(&TimeoutsView { tcp, tcp_fin, udp }), "Timeout (tcp tcpfin udp): 900 120 300\n");
        let master = DaemonView {
            role: DaemonRole::Master,
            interface: "eth0".into(),
            sync_id: 0,
            max_len: 1472,
            group: "224.0.0.81".parse().unwrap(),
            port: 8848,
            ttl: 1,
        };
        let expected = "master sync daemon (mcast=eth0, syncid=0, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)\n";
        assert_eq!(daemons(&[master]), expected);
        assert_eq!(daemons(&[]), "");
    }
}
