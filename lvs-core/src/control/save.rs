//! The save format: rules that build the same services again (`ipvsadm -S -n`).
//!
//! Thresholds are not part of it, nor is the order of servers.

use alloc::string::String;
use core::fmt;

use super::values::WrittenEndpoint;
use super::view::{ServerView, ServiceView};
use super::{flags, order};
use crate::addr::Family;
use crate::flow::Protocol;
use crate::service::{GueChecksum, Method, Netmask, ServiceKey, ServiceSpec, Tunnel};

/// Services as rules: each service and its servers, sorted.
pub(crate) fn save(services: &[ServiceView]) -> String {
    let mut text = String::new();
    write(&mut text, services).expect("a string takes everything");
    text
}

fn write(out: &mut String, services: &[ServiceView]) -> fmt::Result {
    order::services(services).into_iter().try_for_each(|service| {
        write_service(out, &service.spec)?;
        order::servers(&service.servers).into_iter().try_for_each(|server| write_server(out, &service.spec.key, server))
    })
}

fn write_service(out: &mut impl fmt::Write, spec: &ServiceSpec) -> fmt::Result {
    write!(out, "-A {} -s {}", Selector(&spec.key), spec.scheduler)?;
    if let Some(persistence) = spec.persistence {
        write!(out, " -p {}", persistence.timeout.as_secs())?;
        if let Some(mask) = shown_mask(spec) {
            write!(out, " -M {mask}")?;
        }
    }
    if let Some(engine) = &spec.engine {
        write!(out, " --pe {engine}")?;
    }
    if spec.one_packet {
        out.write_str(" -o")?;
    }
    write_flags(out, spec, " -b ", "")?;
    out.write_char('\n')
}

fn write_server(out: &mut impl fmt::Write, key: &ServiceKey, server: &ServerView) -> fmt::Result {
    let spec = &server.spec;
    let method = match spec.method {
        Method::Nat => "-m",
        Method::Dr => "-g",
        Method::Tun => "-i",
    };
    let address = WrittenEndpoint(spec.address);
    write!(out, "-a {} -r {address} {method} -w {}", Selector(key), signed(spec.weight))?;
    if spec.method == Method::Tun {
        write_tunnel(out, spec.tunnel)?;
    }
    out.write_char('\n')
}

fn write_tunnel(out: &mut impl fmt::Write, tunnel: Tunnel) -> fmt::Result {
    match tunnel {
        Tunnel::Ipip => out.write_str(" --tun-type ipip"),
        Tunnel::Gre { checksum } => write!(out, " --tun-type gre --tun-{}", if checksum { "csum" } else { "nocsum" }),
        Tunnel::Gue { port, checksum } => {
            let checksum = match checksum {
                GueChecksum::None => "nocsum",
                GueChecksum::Csum => "csum",
                GueChecksum::Remcsum => "remcsum",
            };
            write!(out, " --tun-type gue --tun-port {port} --tun-{checksum}")
        }
    }
}

/// Flags by their names, with something before and after; nothing at all if no flag has a name.
pub(crate) fn write_flags(out: &mut impl fmt::Write, spec: &ServiceSpec, before: &str, after: &str) -> fmt::Result {
    let mut separator = before;
    for name in flags::names(&spec.scheduler, spec.flags) {
        write!(out, "{separator}{name}")?;
        separator = ",";
    }
    if separator == before { Ok(()) } else { out.write_str(after) }
}

/// The netmask, unless it is the one that takes the whole address.
pub(crate) fn shown_mask(spec: &ServiceSpec) -> Option<Mask> {
    match spec.netmask? {
        Netmask::V6(128) => None,
        Netmask::V4(mask) if mask.is_broadcast() => None,
        mask => Some(Mask(mask)),
    }
}

/// A netmask as `-M` takes it.
pub(crate) struct Mask(Netmask);

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Netmask::V4(mask) => mask.fmt(f),
            Netmask::V6(prefix) => prefix.fmt(f),
        }
    }
}

/// `ipvsadm` prints marks and weights as signed numbers.
pub(crate) const fn signed(number: u32) -> i32 {
    number.cast_signed()
}

/// The options that select a service.
struct Selector<'a>(&'a ServiceKey);

impl fmt::Display for Selector<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.0 {
            ServiceKey::Address { protocol, address } => {
                let option = match protocol {
                    Protocol::Tcp => "-t",
                    Protocol::Udp => "-u",
                    Protocol::Sctp => "--sctp-service",
                };
                write!(f, "{option} {}", WrittenEndpoint(address))
            }
            ServiceKey::Mark { mark, family: Family::V4 } => write!(f, "-f {}", signed(mark)),
            ServiceKey::Mark { mark, family: Family::V6 } => write!(f, "-f {} -6", signed(mark)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse_rules;
    use super::super::{Command, view::ServerView};
    use super::*;
    use alloc::vec::Vec;

    /// Services as rules describe them, in the kernel's list order: the newest first.
    fn described(rules: &str) -> Vec<ServiceView> {
        let mut services: Vec<ServiceView> = Vec::new();
        for (_, command) in parse_rules(rules).unwrap() {
            match command {
                Command::AddService(spec) => services.insert(0, ServiceView::new(spec, Vec::new())),
                Command::AddServer(_, spec) => services[0].servers.insert(0, ServerView::new(spec)),
                other => panic!("{other:?} describes no service"),
            }
        }
        services
    }

    #[test]
    fn a_save_is_what_ipvsadm_wrote() {
        for recorded in [RECORDED_TUNNELS, RECORDED_SCTP] {
            assert_eq!(save(&described(recorded)), recorded);
        }
    }

    /// `ipvsadm -S -n` on Linux 6.1.
    const RECORDED_TUNNELS: &str = "\
-A -t 192.0.2.10:0 -s fo -p 100
-a -t 192.0.2.10:0 -r 10.0.0.102:0 -m -w 2
-A -t 192.0.2.10:80 -s lblcr --pe sip
-a -t 192.0.2.10:80 -r [fd00::65]:80 -i -w 2 --tun-type gue --tun-port 6080 --tun-nocsum
-a -t 192.0.2.10:80 -r [fd00::66]:80 -i -w 1 --tun-type ipip
-a -t 192.0.2.10:80 -r 10.0.0.102:80 -i -w 1 --tun-type gre --tun-nocsum
-a -t 192.0.2.10:80 -r 10.0.0.104:80 -i -w 1 --tun-type gre --tun-nocsum
-A -t 192.0.2.11:80 -s dh -p 360 -M 255.0.255.0
-a -t 192.0.2.11:80 -r 10.0.0.102:80 -i -w 1 --tun-type gre --tun-nocsum
-A -u 192.0.2.10:53 -s nq
-a -u 192.0.2.10:53 -r 10.0.0.103:53 -i -w 7 --tun-type ipip
-A -f 4 -6 -s ovf
";
    const RECORDED_SCTP: &str = "\
-A -t 192.0.2.10:0 -s ovf -p 300 -M 255.255.0.0
-a -t 192.0.2.10:0 -r 10.0.0.103:0 -g -w 1
-A -t 192.0.2.11:80 -s sh -p 77
-a -t 192.0.2.11:80 -r 10.0.0.103:80 -m -w 0
-A -u 192.0.2.10:53 -s fo -p 360
-a -u 192.0.2.10:53 -r 10.0.0.102:53 -g -w 2
-A --sctp-service 192.0.2.10:3868 -s lblc -p 77
-a --sctp-service 192.0.2.10:3868 -r [fd00::66]:3868 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum
-A -f 3 -s nq -p 77
-a -f 3 -r 10.0.0.104:0 -i -w 1 --tun-type gre --tun-nocsum
-a -f 3 -r 10.0.0.105:0 -m -w 2
";

    #[test]
    fn the_parts_of_a_service_have_an_order() {
        let rules = "-A -u 10.0.0.1:80 -b sh-port,sh-fallback -o --pe sip -M 255.255.255.0 -p 300 -s sh";
        let saved = "-A -u 10.0.0.1:80 -s sh -p 300 -M 255.255.255.0 --pe sip -o -b sh-fallback,sh-port\n";
        assert_eq!(save(&described(rules)), saved);
    }

    #[test]
    fn defaults_and_what_has_no_name_are_left_out() {
        for (rules, saved) in [
            ("-A -t 10.0.0.1:80 -p -M 255.255.255.255", "-A -t 10.0.0.1:80 -s wlc -p 360\n"),
            ("-A -t [fd00::1]:80 -p -M 128", "-A -t [fd00::1]:80 -s wlc -p 360\n"),
            ("-A -t 10.0.0.1:80 -M 255.0.0.0", "-A -t 10.0.0.1:80 -s wlc\n"),
            ("-A -t 10.0.0.1:80 -s sh -b flag-3", "-A -t 10.0.0.1:80 -s sh\n"),
            ("-A -f 4294967295", "-A -f -1 -s wlc\n"),
        ] {
            assert_eq!(save(&described(rules)), saved, "{rules}");
        }
    }
}
