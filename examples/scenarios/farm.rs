//! Virtual services and their real servers, as a scenario knows them.

use std::net::{IpAddr, SocketAddr};

use lvs_core::Protocol;

use super::dice::Dice;
use super::network::{SERVERS_MAX, server_address, virtual_address};
use super::script::Script;

/// The schedulers that a kernel has. `twos` is newer than many kernels' builds, and draws at random.
pub(crate) const SCHEDULERS: [&str; 13] =
    ["rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf", "dh", "sh", "mh", "lblc", "lblcr"];

/// What a service balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An address and port.
    Address(Protocol, IpAddr, u16),
    /// A firewall mark, of IPv6 packets or IPv4 ones.
    Mark(u32, bool),
}

/// A virtual service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// What it balances.
    pub(crate) target: Target,
    /// Its scheduler.
    pub(crate) scheduler: String,
    /// Its other options, ready to be written: persistence, flags.
    pub(crate) options: String,
    /// How its servers are reached: `-m`, `-g` or `-i` with what belongs to it. Never changed, since a kernel's servers keep
    /// a route that all methods share.
    pub(crate) method: String,
    /// The family of its servers.
    pub servers_v6: bool,
    /// The port of its servers.
    pub(crate) server_port: u16,
    /// Which of the servers it has.
    pub(crate) servers: Vec<u8>,
}

impl Service {
    /// A TCP service of the first virtual address with servers reached by NAT.
    #[must_use]
    pub(crate) fn tcp(v6: bool, port: u16, scheduler: &str) -> Self {
        Self::new(Target::Address(Protocol::Tcp, virtual_address(v6, 0), port), scheduler)
    }

    /// A service with NAT and servers on the same port.
    #[must_use]
    pub(crate) fn new(target: Target, scheduler: &str) -> Self {
        let (servers_v6, server_port) = match target {
            Target::Address(_, address, port) => (address.is_ipv6(), port),
            Target::Mark(_, v6) => (v6, 0),
        };
        Self {
            target,
            scheduler: scheduler.into(),
            options: String::new(),
            method: "-m".into(),
            servers_v6,
            server_port,
            servers: Vec::new(),
        }
    }

    /// The same with other options.
    #[must_use]
    pub(crate) fn options(mut self, options: impl Into<String>) -> Self {
        self.options = options.into();
        self
    }

    /// The same with servers reached otherwise, on another port where the method can change it.
    #[must_use]
    pub(crate) fn method(mut self, method: impl Into<String>, port: u16) -> Self {
        self.method = method.into();
        if self.method == "-m" || matches!(self.target, Target::Mark(..)) {
            self.server_port = port;
        }
        self
    }

    /// True if it balances IPv6 packets.
    #[must_use]
    pub(crate) const fn is_v6(&self) -> bool {
        match self.target {
            Target::Address(_, address, _) => address.is_ipv6(),
            Target::Mark(_, v6) => v6,
        }
    }

    /// How ipvsadm names it.
    #[must_use]
    pub(crate) fn selector(&self) -> String {
        match self.target {
            Target::Address(protocol, address, port) => {
                let option = match protocol {
                    Protocol::Udp => "-u",
                    Protocol::Sctp => "--sctp-service",
                    _ => "-t",
                };
                format!("{option} {}", SocketAddr::new(address, port))
            }
            Target::Mark(mark, true) => format!("-f {mark} -6"),
            Target::Mark(mark, false) => format!("-f {mark}"),
        }
    }

    /// How ipvsadm names a server of it.
    #[must_use]
    pub(crate) fn server(&self, n: u8) -> String {
        SocketAddr::new(server_address(self.servers_v6, n), self.server_port).to_string()
    }

    /// Adds it.
    pub(crate) fn add(&self, script: &mut Script) {
        script.run(format!("-A {} -s {} {}", self.selector(), self.scheduler, self.options).trim_end());
    }

    /// Adds it, with the first so many servers, alike.
    pub(crate) fn add_with_servers(&mut self, script: &mut Script, servers: u8) {
        self.add(script);
        for n in 0..servers {
            self.add_server(script, n, 1, "");
        }
    }

    /// Edits it into what it is now.
    pub(crate) fn edit(&self, script: &mut Script) {
        script.run(format!("-E {} -s {} {}", self.selector(), self.scheduler, self.options).trim_end());
    }

    /// Adds a server with a weight and, perhaps, thresholds.
    pub(crate) fn add_server(&mut self, script: &mut Script, n: u8, weight: u32, thresholds: &str) {
        if !self.servers.contains(&n) {
            self.servers.push(n);
        }
        self.server_command(script, "-a", n, weight, thresholds);
    }

    /// Edits a server.
    pub(crate) fn edit_server(&self, script: &mut Script, n: u8, weight: u32, thresholds: &str) {
        self.server_command(script, "-e", n, weight, thresholds);
    }

    fn server_command(&self, script: &mut Script, command: &str, n: u8, weight: u32, thresholds: &str) {
        let (selector, server, method) = (self.selector(), self.server(n), &self.method);
        script.run(format!("{command} {selector} -r {server} {method} -w {weight} {thresholds}").trim_end());
    }

    /// Removes a server.
    pub(crate) fn remove_server(&mut self, script: &mut Script, n: u8) {
        self.servers.retain(|&known| known != n);
        script.run(format!("-d {} -r {}", self.selector(), self.server(n)));
    }

    /// Adds it with some servers.
    pub(crate) fn set_up(&mut self, script: &mut Script, servers: u8) {
        self.add(script);
        for n in 0..servers {
            let weight = weight(&mut script.dice);
            let limits = if script.dice.chance(15) { thresholds(&mut script.dice) } else { String::new() };
            self.add_server(script, n, weight, &limits);
        }
    }

    /// Changes something: a weight, thresholds, a server less or more, the scheduler.
    pub(crate) fn change(&mut self, script: &mut Script) {
        let present = self.servers.clone();
        let absent: Vec<u8> = (0..SERVERS_MAX).filter(|n| !present.contains(n)).collect();
        let dice = &mut script.dice;
        let (heavy, limits) = (weight(dice), if dice.chance(25) { thresholds(dice) } else { String::new() });
        match dice.from(0, 9) {
            0..4 if !present.is_empty() => {
                let n = dice.pick(&present);
                self.edit_server(script, n, heavy, &limits);
            }
            4..6 if present.len() > 1 => {
                let n = dice.pick(&present);
                self.remove_server(script, n);
            }
            6..9 if !absent.is_empty() => {
                let n = dice.pick(&absent);
                self.add_server(script, n, heavy, &limits);
            }
            _ => {
                if dice.chance(30) {
                    self.scheduler = dice.pick(&SCHEDULERS).into();
                }
                self.edit(script);
            }
        }
    }
}

/// A weight: small ones, none, equal ones, large ones.
pub(crate) fn weight(dice: &mut Dice) -> u32 {
    let small = dice.from(1, 5);
    dice.weighted(&[(10, 1), (12, small), (4, 0), (2, 10), (2, 100), (1, 65535)])
}

/// Thresholds.
pub(crate) fn thresholds(dice: &mut Dice) -> String {
    let upper = dice.from(1, 6);
    let lower = dice.from(0, upper);
    if dice.chance(50) { format!("-x {upper}") } else { format!("-x {upper} -y {lower}") }
}

/// A method, with what belongs to it. Tunnels may lead to servers of the other family.
pub(crate) fn method(dice: &mut Dice) -> String {
    let tunnel = tunnel(dice);
    dice.weighted(&[(5, "-m".to_string()), (3, "-g".to_string()), (3, tunnel)])
}

/// A kind of tunnel.
pub(crate) fn tunnel(dice: &mut Dice) -> String {
    let port = dice.pick(&[6080, 5555]);
    let gue = dice.pick(&["", " --tun-nocsum", " --tun-csum", " --tun-remcsum"]);
    let gre = dice.pick(&["", " --tun-nocsum", " --tun-csum"]);
    match dice.from(0, 3) {
        0 => "-i".into(),
        1 => "-i --tun-type ipip".into(),
        2 => format!("-i --tun-type gue --tun-port {port}{gue}"),
        _ => format!("-i --tun-type gre{gre}"),
    }
}
