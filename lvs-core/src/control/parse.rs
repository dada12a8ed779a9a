//! One `ipvsadm` line, or a text of many, as commands.
//!
//! Owns: what the options of a line mean together: defaults, ports of real servers, tunnels, families.
//! Leaves to others: what exists (the director says so), and splitting (`scan`).
//! Follows: ipvsadm 1.31 as Debian builds it. Names are never resolved, neither hosts nor ports.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::command::{Columns, Command, Content, DaemonRole, DaemonSpec, Listing};
use super::options::{CHECKSUMS, METHODS, Name, Opt, SELECTORS, TIMEOUT_SECONDS_MAX, TUNNEL, Verb, dashed, noun};
use super::scan::{Given, Line};
use super::values::{self, Endpoint};
use super::{flags, words};
use crate::addr::Family;
use crate::error::{ControlError, RuleError};
use crate::flow::Protocol;
use crate::service::{
    GueChecksum, Method, Netmask, Persistence, SchedulerFlags, ServerSpec, ServiceKey, ServiceSpec, Tunnel,
};

/// Reads one line of `ipvsadm` options, with or without the word `ipvsadm` in front.
///
/// A line without options is a listing. The line stands for itself: whether a service exists, or a scheduler of that
/// name, is found out when the command is carried out.
///
/// # Errors
/// Where the line goes wrong, if `ipvsadm` would refuse it as written.
///
/// ```
/// use lvs_core::{Command, ServiceSpec, parse_line};
///
/// let command = parse_line("-A -t 192.0.2.10:80 -s rr")?;
/// assert_eq!(command, Command::AddService(ServiceSpec::tcp("192.0.2.10:80".parse()?).scheduler("rr")));
///
/// let error = parse_line("-a -t 192.0.2.10:80 -r 10.0.0.101 -w heavy").unwrap_err();
/// assert_eq!(error.to_string(), "line 1, column 38: `heavy`: expected a weight from 0 to 2147483647");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn parse_line(line: &str) -> Result<Command, RuleError> {
    match Line::read(&words::split(line)?)? {
        Some(line) => command(&line),
        None => Ok(Command::List(Listing::default())),
    }
}

/// Reads a text of rules, such as `ipvsadm -S` writes: each command with the number of its line, from 1. Blank lines
/// and lines that begin with `#` are skipped.
///
/// # Errors
/// For the first line that [`parse_line`] refuses.
///
/// ```
/// use lvs_core::parse_rules;
///
/// let rules = parse_rules("# web\n-A -t 192.0.2.10:80\n-a -t 192.0.2.10:80 -r 10.0.0.101 -m\n")?;
/// assert_eq!(rules.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3]);
///
/// let error = parse_rules("-C\n-A -t 192.0.2.10\n").unwrap_err();
/// assert_eq!((error.line, error.column), (2, 7));
/// # Ok::<(), lvs_core::RuleError>(())
/// ```
pub fn parse_rules(text: &str) -> Result<Vec<(u32, Command)>, RuleError> {
    rule_lines(text)
        .map(|(number, line)| match parse_line(line) {
            Ok(command) => Ok((number, command)),
            Err(error) => Err(RuleError { line: number, ..error }),
        })
        .collect()
}

/// The lines of a text that hold a rule, with their numbers.
pub(crate) fn rule_lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    let is_rule = |line: &str| !line.trim_start().is_empty() && !line.trim_start().starts_with('#');
    (1..).zip(text.lines()).filter(move |(_, line)| is_rule(line))
}

/// The refusal of a well-formed line by the control plane: it points at the word that is to blame.
pub(crate) fn refusal(line: &str, control: ControlError) -> RuleError {
    let at = |error: RuleError| RuleError { control: Some(control), exit_status: 255, ..error };
    let split = words::split(line);
    let read = split.as_ref().ok().and_then(|split| Line::read(split).ok().flatten());
    match read {
        Some(read) if read.command.what == Verb::List => {
            RuleError { exit_status: 1, ..at(read.command.word.wrong(control.to_string())) }
        }
        Some(read) => {
            let blamed = blamed(control).iter().find_map(|&option| read.option(option));
            let expected = control.to_string();
            at(blamed
                .map_or_else(|| read.command.word.wrong(expected.as_str()), |given| given.wrong(expected.as_str())))
        }
        None => at(words::missing(words::past_end(line), control.to_string())),
    }
}

/// The options that an error is about, in the order in which they are looked for. None of them: the command itself.
const fn blamed(error: ControlError) -> &'static [Opt] {
    match error {
        ControlError::ServiceExists | ControlError::NoSuchService | ControlError::MarkZero => SELECTORS.options,
        ControlError::NoSuchScheduler | ControlError::SchedulerName => &[Opt::Scheduler],
        ControlError::NoSuchEngine => &[Opt::Engine],
        ControlError::ServerExists
        | ControlError::NoSuchServer
        | ControlError::FamilyNeedsTunnel
        | ControlError::AddressNotUnicast => &[Opt::RealServer],
        ControlError::WeightRange => &[Opt::Weight],
        ControlError::ThresholdRange => &[Opt::Lower, Opt::Upper],
        ControlError::NetmaskRange => &[Opt::Netmask],
        ControlError::TunnelPort => &[Opt::TunPort, Opt::TunType],
        ControlError::TooManyServers => &[Opt::RealServer, Opt::Scheduler],
        ControlError::TimeoutRange => &[Opt::Persistent],
        _ => &[],
    }
}

pub(crate) fn command(line: &Line<'_>) -> Result<Command, RuleError> {
    Ok(match line.command.what {
        Verb::AddService => Command::AddService(service(line)?),
        Verb::EditService => Command::EditService(service(line)?),
        Verb::DeleteService => Command::RemoveService(needed_key(line)?),
        Verb::Clear => Command::Clear,
        Verb::AddServer => {
            let key = needed_key(line)?;
            Command::AddServer(key, server(line, &key)?)
        }
        Verb::EditServer => {
            let key = needed_key(line)?;
            Command::EditServer(key, server(line, &key)?)
        }
        Verb::DeleteServer => {
            let key = needed_key(line)?;
            Command::RemoveServer(key, named_server(line, &key)?)
        }
        Verb::Restore => Command::Restore,
        Verb::Save => Command::Save,
        Verb::List => Command::List(listing(line)?),
        Verb::Zero => Command::Zero(key(line)?),
        Verb::Set => timeouts(line)?,
        Verb::StartDaemon => Command::StartDaemon(daemon(line)?),
        Verb::StopDaemon => Command::StopDaemon(role(&line.command)?),
        Verb::Help => Command::Help,
        Verb::Version => Command::Version,
    })
}

// Services.

/// The service that a line names.
fn key(line: &Line<'_>) -> Result<Option<ServiceKey>, RuleError> {
    let Some(selector) = line.one_of(SELECTORS) else { return Ok(None) };
    let Some(protocol) = protocol_of(selector.what) else { return mark(line).map(Some) };
    let Endpoint { ip, port } = endpoint(selector)?;
    Ok(Some(ServiceKey::address(protocol, SocketAddr::new(ip, port.unwrap_or(0)))))
}

/// The protocol of an option that names a service by its address.
pub(crate) const fn protocol_of(selector: Opt) -> Option<Protocol> {
    match selector {
        Opt::Tcp => Some(Protocol::Tcp),
        Opt::Udp => Some(Protocol::Udp),
        Opt::Sctp => Some(Protocol::Sctp),
        _ => None,
    }
}

fn mark(line: &Line<'_>) -> Result<ServiceKey, RuleError> {
    let family = if line.has(Opt::Ipv6) { Family::V6 } else { Family::V4 };
    let mark = line.number(Opt::Mark)?.expect("the line names a mark");
    Ok(ServiceKey::mark(mark, family))
}

pub(crate) fn needed_key(line: &Line<'_>) -> Result<ServiceKey, RuleError> {
    key(line).map(|key| key.expect("the command needs a service, and a line without one is refused before"))
}

pub(crate) fn service(line: &Line<'_>) -> Result<ServiceSpec, RuleError> {
    let key = needed_key(line)?;
    let persistence = persistence(line)?;
    check_port(line, &key, persistence)?;
    let scheduler = scheduler(line);
    let flags = match line.option(Opt::Flags).and_then(|given| given.value.as_ref()) {
        Some(list) => flags::read(list, &scheduler)?,
        None => SchedulerFlags::NONE,
    };
    Ok(ServiceSpec {
        key,
        flags,
        scheduler,
        one_packet: one_packet(line, &key)?,
        persistence,
        netmask: netmask(line, key.family())?,
        engine: line.option(Opt::Engine).map(|given| String::from(given.text())).filter(|name| !name.is_empty()),
    })
}

/// An empty name stands for the default, too.
fn scheduler(line: &Line<'_>) -> String {
    match line.option(Opt::Scheduler).map_or("", Given::text) {
        "" => String::from("wlc"),
        name => String::from(name),
    }
}

fn persistence(line: &Line<'_>) -> Result<Option<Persistence>, RuleError> {
    if !line.has(Opt::Persistent) {
        return Ok(None);
    }
    let timeout = line.number(Opt::Persistent)?.map(|seconds| Duration::from_secs(seconds.into()));
    Ok(Some(timeout.map_or(Persistence::DEFAULT, |timeout| Persistence { timeout })))
}

/// A service for every port would send one client's connections everywhere, unless it is persistent.
fn check_port(line: &Line<'_>, key: &ServiceKey, persistence: Option<Persistence>) -> Result<(), RuleError> {
    if key.is_mark() || key.port() != 0 || persistence.is_some() {
        return Ok(());
    }
    let selector = line.one_of(SELECTORS).expect("the key was made from it");
    Err(selector.wrong("a port from 1 to 65535, or -p: a service for every port has to be persistent"))
}

fn one_packet(line: &Line<'_>, key: &ServiceKey) -> Result<bool, RuleError> {
    let Some(given) = line.option(Opt::OnePacket) else { return Ok(false) };
    match key {
        ServiceKey::Address { protocol: Protocol::Tcp | Protocol::Sctp, .. } => {
            Err(given.word.wrong("one-packet scheduling (-o) only with -u or -f"))
        }
        _ => Ok(true),
    }
}

fn netmask(line: &Line<'_>, family: Family) -> Result<Option<Netmask>, RuleError> {
    let Some(given) = line.option(Opt::Netmask) else { return Ok(None) };
    let (mask, expected) = match family {
        Family::V4 => (values::ipv4(given.text()).map(Netmask::V4), "an IPv4 mask such as 255.255.255.0"),
        Family::V6 => (values::prefix_length(given.text()).map(Netmask::V6), "an IPv6 prefix length from 1 to 128"),
    };
    mask.map(Some).ok_or_else(|| given.wrong(expected))
}

fn endpoint(given: &Given<'_, Opt>) -> Result<Endpoint, RuleError> {
    values::endpoint(given.text()).ok_or_else(|| {
        let noun = noun(Name::Opt(given.what));
        given.wrong(format!("{noun}, such as 192.0.2.10:80, 2001:db8::1 or [2001:db8::1]:80"))
    })
}

// Real servers.

pub(crate) fn server(line: &Line<'_>, key: &ServiceKey) -> Result<ServerSpec, RuleError> {
    let method = method(line);
    let given = line.option(Opt::RealServer).expect("the command needs a real server");
    let Endpoint { ip, port } = endpoint(given)?;
    if Family::of(ip) != key.family() && method != Method::Tun {
        return Err(given.wrong("an address of the service's family, or -i: another family takes a tunnel"));
    }
    // Direct routing and tunnels leave the port of a packet alone, so that a server listens on the service's.
    let port = if key.is_mark() || method == Method::Nat { port } else { None };
    Ok(ServerSpec {
        address: SocketAddr::new(ip, port.unwrap_or_else(|| key.port())),
        method,
        tunnel: tunnel(line)?,
        weight: line.number(Opt::Weight)?.unwrap_or(1),
        upper: line.number(Opt::Upper)?.unwrap_or(0),
        lower: line.number(Opt::Lower)?.unwrap_or(0),
    })
}

/// The server of `-d`: without a method, the port counts as it was given.
fn named_server(line: &Line<'_>, key: &ServiceKey) -> Result<SocketAddr, RuleError> {
    let given = line.option(Opt::RealServer).expect("the command needs a real server");
    let Endpoint { ip, port } = endpoint(given)?;
    Ok(SocketAddr::new(ip, port.unwrap_or_else(|| key.port())))
}

fn method(line: &Line<'_>) -> Method {
    match line.one_of(METHODS).map(|given| given.what) {
        Some(Opt::Masquerading) => Method::Nat,
        Some(Opt::Ipip) => Method::Tun,
        _ => Method::Dr,
    }
}

/// A kind of tunnel, and the options that go with it.
struct TunnelKind {
    name: &'static str,
    may: &'static [Opt],
    make: fn(&Line<'_>) -> Result<Tunnel, RuleError>,
}

const TUNNELS: [TunnelKind; 3] = [
    TunnelKind { name: "ipip", may: &[], make: |_| Ok(Tunnel::Ipip) },
    TunnelKind { name: "gre", may: &[Opt::TunNocsum, Opt::TunCsum], make: gre },
    TunnelKind { name: "gue", may: &[Opt::TunPort, Opt::TunNocsum, Opt::TunCsum, Opt::TunRemcsum], make: gue },
];

fn tunnel(line: &Line<'_>) -> Result<Tunnel, RuleError> {
    let Some(first) = line.one_of(TUNNEL) else { return Ok(Tunnel::Ipip) };
    if !line.has(Opt::Ipip) {
        return Err(first.word.wrong("-i beside tunnel options"));
    }
    let kind = tunnel_kind(line)?;
    let is_foreign = |option: &&Opt| **option != Opt::TunType && !kind.may.contains(option);
    if let Some(foreign) = TUNNEL.options.iter().filter(is_foreign).find_map(|&option| line.option(option)) {
        return Err(foreign.word.wrong(format!("an option of tunnel type {}", kind.name)));
    }
    (kind.make)(line)
}

fn tunnel_kind(line: &Line<'_>) -> Result<&'static TunnelKind, RuleError> {
    let Some(given) = line.option(Opt::TunType) else { return Ok(&TUNNELS[0]) };
    TUNNELS.iter().find(|kind| kind.name == given.text()).ok_or_else(|| given.wrong(noun(Name::Opt(Opt::TunType))))
}

fn gre(line: &Line<'_>) -> Result<Tunnel, RuleError> {
    Ok(Tunnel::Gre { checksum: line.has(Opt::TunCsum) })
}

fn gue(line: &Line<'_>) -> Result<Tunnel, RuleError> {
    let port = line.number(Opt::TunPort)?.and_then(|port| u16::try_from(port).ok());
    let Some(port) = port else { return Err(line.missing("the port of the GUE tunnel: --tun-port")) };
    let checksum = match line.one_of(CHECKSUMS).map(|given| given.what) {
        Some(Opt::TunCsum) => GueChecksum::Csum,
        Some(Opt::TunRemcsum) => GueChecksum::Remcsum,
        _ => GueChecksum::None,
    };
    Ok(Tunnel::Gue { port, checksum })
}

// Listings, timeouts, daemons.

/// What decides the columns of a listing; of several the first in this order counts.
const LAYOUTS: [(Opt, Columns); 5] = [
    (Opt::Stats, Columns::Stats),
    (Opt::Rate, Columns::Rate),
    (Opt::Thresholds, Columns::Thresholds),
    (Opt::PersistentConn, Columns::Persistent),
    (Opt::TunInfo, Columns::Tunnel),
];

const CONTENTS: [(Opt, Content); 3] =
    [(Opt::Connection, Content::Connections), (Opt::Timeout, Content::Timeouts), (Opt::Daemon, Content::Daemons)];

fn listing(line: &Line<'_>) -> Result<Listing, RuleError> {
    let content = CONTENTS.iter().find(|(option, _)| line.has(*option)).map_or(Content::Services, |row| row.1);
    Ok(Listing {
        content,
        service: key(line)?,
        columns: LAYOUTS.iter().find(|(option, _)| line.has(*option)).map_or(Columns::Plain, |row| row.1),
        exact: line.has(Opt::Exact),
        unsorted: line.has(Opt::Nosort),
        engine_columns: content == Content::Connections && line.has(Opt::PersistentConn),
    })
}

fn timeouts(line: &Line<'_>) -> Result<Command, RuleError> {
    let mut seconds = [Duration::ZERO; 3];
    let names = line.command.what.grammar().operands;
    for ((word, expected), seconds) in line.operands.iter().zip(names).zip(&mut seconds) {
        let value = values::number(word.text(), 0..=TIMEOUT_SECONDS_MAX).ok_or_else(|| word.wrong(*expected))?;
        *seconds = Duration::from_secs(value);
    }
    let [tcp, tcp_fin, udp] = seconds;
    Ok(Command::SetTimeouts { tcp, tcp_fin, udp })
}

fn role(command: &Given<'_, Verb>) -> Result<DaemonRole, RuleError> {
    match command.text() {
        "master" => Ok(DaemonRole::Master),
        "backup" => Ok(DaemonRole::Backup),
        _ => Err(command.wrong(format!("master or backup after {}", dashed(Name::Verb(command.what))))),
    }
}

fn daemon(line: &Line<'_>) -> Result<DaemonSpec, RuleError> {
    let word = |option| line.number(option).map(|value| value.and_then(|value| u16::try_from(value).ok()));
    let byte = |option| line.number(option).map(|value| value.and_then(|value| u8::try_from(value).ok()));
    Ok(DaemonSpec {
        role: role(&line.command)?,
        interface: String::from(line.option(Opt::McastInterface).map_or("eth0", Given::text)),
        sync_id: byte(Opt::SyncId)?.unwrap_or(0),
        max_len: word(Opt::SyncMaxlen)?,
        group: group(line)?,
        port: word(Opt::McastPort)?,
        ttl: byte(Opt::McastTtl)?,
    })
}

fn group(line: &Line<'_>) -> Result<Option<IpAddr>, RuleError> {
    let Some(given) = line.option(Opt::McastGroup) else { return Ok(None) };
    let group = given.text().parse().ok().filter(IpAddr::is_multicast);
    group.map(Some).ok_or_else(|| given.wrong("a multicast address, such as 224.0.0.81"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `ipvsadm` leaves.
    #[test]
    fn a_refusal_tells_who_refused() {
        for (line, status) in [
            ("-A -t 192.0.2.10:80 -w 5", 2),
            ("-A -t 192.0.2.10:80 -p x", 2),
            ("-A -t 192.0.2.10:80 extra", 2),
            ("-A -t 192.0.2.10:80 -Q", 255),
            ("-A -t", 255),
            ("--list=5", 255),
            ("-t 192.0.2.10:80 -A", 255),
            // The option that does not exist counts first, wherever it stands.
            ("-A -t 192.0.2.10:80 -p x -Q", 255),
            ("-A -t 192.0.2.10:80 extra -w 5 --no-such-option", 255),
        ] {
            assert_eq!(parse_line(line).unwrap_err().exit_status, status, "{line}");
        }
        assert_eq!(refusal("-D -f 1", ControlError::NoSuchService).exit_status, 255);
        assert_eq!(refusal("-L -f 1", ControlError::NoSuchService).exit_status, 1);
    }

    #[test]
    fn a_refusal_points_at_the_word_to_blame() {
        for (line, control, column, word) in [
            ("-A -t 192.0.2.10:80 -s fastest", ControlError::NoSuchScheduler, 24, "fastest"),
            ("-A -t 192.0.2.10:80 -s fastest", ControlError::ServiceExists, 7, "192.0.2.10:80"),
            ("-A -t 192.0.2.10:80 --pe=voice", ControlError::NoSuchEngine, 26, "voice"),
            ("-a -f 1 -r 10.0.0.1 -x 7 -y 9", ControlError::ThresholdRange, 29, "9"),
            ("-a -f 1 -r 224.0.0.1", ControlError::AddressNotUnicast, 12, "224.0.0.1"),
            ("ipvsadm --start-daemon master", ControlError::DaemonRuns, 9, "--start-daemon"),
        ] {
            let error = refusal(line, control);
            assert_eq!((error.column, error.word.as_str(), error.control), (column, word, Some(control)), "{line}");
            assert_eq!(error.expected, control.to_string());
        }
    }
}
