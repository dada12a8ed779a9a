//! What a kernel's backup makes of what the library's own master tells.
//!
//! The master is a scenario of its own that nobody plays: it is rehearsed, and its messages are packets of the one that is.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lvs_core::Protocol;
use lvs_core::testkit::packets::Builder;

use super::{ftp, sip};
use crate::scenarios::farm::{self, Service, Target};
use crate::scenarios::network::{CLIENTS, Families, virtual_address};
use crate::scenarios::packet::Answer;
use crate::scenarios::script::Script;
use crate::scenarios::traffic::Traffic;

/// What the master has to tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Connections and templates of any protocol.
    Connections,
    /// Templates with Call-IDs.
    Calls,
    /// Connections whose sequence numbers have shifted, and their data connections.
    Transfers,
}

/// Writes a scenario.
pub(super) fn write(script: &mut Script, told: Told) {
    let mut pair = Pair::new(script, told);
    for _ in 0..script.dice.from(2, 3) {
        pair.talk();
        pair.tell(script);
        pair.look(script);
    }
    pair.fail_over(script);
    script.look_at_connections();
    script.run("-Ln");
}

/// The master, and what its backup has to know.
struct Pair {
    told: Told,
    master: Script,
    services: Vec<Service>,
    traffic: Traffic,
    sessions: Vec<ftp::Session>,
}

impl Pair {
    /// Both with the same rules; the backup may lack a server.
    fn new(script: &mut Script, told: Told) -> Self {
        let mut master = Script::new("sync-ours, the master", script.dice.from(0, 999_999).into());
        let v6 = script.dice.chance(40);
        let id = script.dice.from(0, 255);
        for (script, role) in [(&mut master, "master"), (&mut *script, "backup")] {
            script.network(Families::Both);
            match told {
                Told::Connections => {}
                Told::Calls => script.shell("modprobe ip_vs_pe_sip"),
                Told::Transfers => script.shell("modprobe ip_vs_ftp"),
            }
            script.run(format!("--start-daemon {role} --mcast-interface cl0 --syncid {id}"));
        }
        let version = if v6 || told == Told::Calls { 1 } else { script.dice.pick(&[1, 1, 0]) };
        master.tune("sync_version", version);
        master.tune("sync_threshold", script.dice.pick(&["'1 2'", "'0 1'", "'3 5'"]));
        let mut services = services(script, told, v6);
        let lacks = script.dice.chance(20);
        for service in &mut services {
            service.add(&mut master);
            service.add(script);
            for n in 0..3 {
                service.add_server(&mut master, n, 1, "");
                if !(lacks && n == 2) {
                    service.add_server(script, n, 1, "");
                }
            }
        }
        Self { told, master, services, traffic: Traffic::from_networks(1), sessions: Vec::new() }
    }

    /// Clients and servers talk through the master.
    fn talk(&mut self) {
        let master = &mut self.master;
        for _ in 0..master.dice.from(6, 12) {
            match self.told {
                Told::Connections => self.traffic.act(master, &self.services),
                Told::Calls => {
                    let mut flow = self.traffic.flow(&mut master.dice, &self.services[0]);
                    let message = sip::message(&mut master.dice);
                    for _ in 0..2 {
                        let packet = flow.packet().payload(message.as_bytes()).build();
                        flow.send(master, &packet);
                        flow.answer(master, &Answer::Udp { zero_checksum: false });
                    }
                }
                Told::Transfers if self.sessions.len() < 3 => {
                    let flow = self.traffic.flow(&mut master.dice, &self.services[0]);
                    self.sessions.extend(ftp::Session::open(master, flow));
                }
                Told::Transfers => {
                    let n = master.dice.index(self.sessions.len());
                    self.sessions[n].transfer(master);
                }
            }
        }
    }

    /// The backup hears of it.
    fn tell(&mut self, script: &mut Script) {
        self.master.listen(Duration::from_millis(3500));
        let sender = SocketAddr::new(IpAddr::from([192, 0, 2, 253]), 50000);
        let group = SocketAddr::new(IpAddr::from([224, 0, 0, 81]), 8848);
        for message in self.master.take_messages() {
            script.send(CLIENTS, &Builder::new(Protocol::Udp, sender, group).payload(&message).ttl(1).build());
            // The daemon reads it in its own time.
            script.sleep(Duration::from_millis(100));
        }
    }

    fn look(&self, script: &mut Script) {
        script.look_at_connections();
        if script.dice.chance(50) {
            script.list_connections(if self.told == Told::Calls { "-Lnc --persistent-conn" } else { "-Lnc" });
        }
        script.run("-Ln");
    }

    /// The master is gone, and the clients go on with the backup.
    fn fail_over(&mut self, script: &mut Script) {
        // A kernel does not mend the checksum of what was shifted by another.
        for session in self.sessions.iter_mut().filter(|session| !session.is_shifted()) {
            session.say(script, "NOOP\r\n");
            session.reply(script, "200 OK\r\n");
        }
        if self.told == Told::Connections {
            for _ in 0..script.dice.from(6, 10) {
                self.traffic.go_on(script);
                script.look_at_connections();
            }
        }
    }
}

fn services(script: &mut Script, told: Told, v6: bool) -> Vec<Service> {
    let address = virtual_address(v6, 0);
    match told {
        Told::Calls => {
            let target = Target::Address(Protocol::Udp, address, 5060);
            vec![Service::new(target, "rr").options("--pe sip -p 60").method("-m", 5060)]
        }
        Told::Transfers => {
            let options = script.dice.pick(&["", "-p 300"]);
            vec![Service::tcp(v6, 21, "rr").options(options)]
        }
        Told::Connections => [(Protocol::Tcp, 80), (Protocol::Udp, 53), (Protocol::Sctp, 3868)]
            .map(|(protocol, port)| {
                let method = farm::method(&mut script.dice);
                let options = script.dice.pick(&["", "", "-p 100"]);
                Service::new(Target::Address(protocol, address, port), "rr").options(options).method(method, 8080)
            })
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backup_has_nothing_but_what_its_master_has() {
        let kinds =
            [(Told::Connections, "sync-ours"), (Told::Calls, "sync-ours-sip"), (Told::Transfers, "sync-ours-ftp")];
        for (told, family) in kinds {
            for seed in 0..6 {
                let mut script = Script::new(family, seed);
                let mut pair = Pair::new(&mut script, told);
                pair.talk();
                pair.tell(&mut script);
                let ends = |script: &Script| {
                    let views = script.director().connections();
                    let mut ends: Vec<String> = views
                        .map(|v| format!("{} {} {} {} {:?}", v.protocol, v.client, v.target, v.server, v.engine))
                        .collect();
                    ends.sort();
                    ends
                };
                let (master, backup) = (ends(&pair.master), ends(&script));
                assert!(!backup.is_empty(), "{family} {seed}");
                assert!(backup.iter().all(|end| master.contains(end)), "{family} {seed}: {backup:?} not of {master:?}");
            }
        }
    }
}
