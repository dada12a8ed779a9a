//! FTP, whose servers and clients name addresses and ports inside the control connection.

use std::net::SocketAddr;

use lvs_core::Protocol;
use lvs_core::testkit::packets::Builder;

use crate::scenarios::dice::Dice;
use crate::scenarios::farm::Service;
use crate::scenarios::network::{CLIENTS, Families, SERVERS, virtual_address};
use crate::scenarios::packet::{Answer, Head};
use crate::scenarios::script::Script;
use crate::scenarios::traffic::{Flow, Traffic};

const CONTROL: u16 = 21;

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    let v6 = script.dice.chance(50);
    script.network(Families::One(v6));
    script.shell("modprobe ip_vs_ftp");
    if script.dice.chance(50) {
        script.tune("conntrack", 1);
    }
    let options = script.dice.pick(&["", "-p 300"]);
    let mut service = Service::tcp(v6, CONTROL, "rr").options(options);
    service.add_with_servers(script, 2);
    let mut traffic = Traffic::from_networks(1);
    for _ in 0..script.dice.from(2, 4) {
        let flow = traffic.flow(&mut script.dice, &service);
        if let Some(mut session) = Session::open(script, flow) {
            for _ in 0..script.dice.from(2, 6) {
                session.transfer(script);
            }
            if script.dice.chance(30) {
                script.sleep_around_a_deadline();
            }
        }
        script.look_at_connections();
    }
    script.run("-Ln");
}

/// A control connection: what each side has sent so far.
pub(super) struct Session {
    flow: Flow,
    server: SocketAddr,
    /// The client's next sequence number.
    client_next: u32,
    /// The server's, as the server counts.
    server_next: u32,
    /// The same as the client counts: the director may have changed the length of what it said.
    server_seen: u32,
    next_port: u16,
}

impl Session {
    pub(super) fn open(script: &mut Script, mut flow: Flow) -> Option<Self> {
        flow.establish(script);
        let sent = script.sent(flow.reached?)?.clone();
        let server = Head::read(&sent.packet)?.receiver(&sent.packet)?;
        let next_port = flow.client.port() + 100;
        Some(Self { flow, server, client_next: 1001, server_next: 5001, server_seen: 5001, next_port })
    }

    /// Has the director changed the length of something?
    pub(super) const fn is_shifted(&self) -> bool {
        self.server_next != self.server_seen
    }

    /// The client says something, and the server acknowledges it.
    pub(super) fn say(&mut self, script: &mut Script, text: &str) {
        let packet = self.flow.packet().flags(0x18).numbers(self.client_next, self.server_seen);
        self.flow.send(script, &packet.payload(text.as_bytes()).build());
        self.client_next += u32::try_from(text.len()).expect("a line");
    }

    /// The server says something, and the client acknowledges it.
    pub(super) fn reply(&mut self, script: &mut Script, text: &str) {
        let packet = Builder::new(Protocol::Tcp, self.server, self.flow.client)
            .flags(0x18)
            .numbers(self.server_next, self.client_next)
            .payload(text.as_bytes())
            .build();
        let step = script.send(SERVERS, &packet);
        let grown = script.sent(step).map_or(packet.len(), |sent| sent.packet.len());
        let said = u32::try_from(text.len()).expect("a line");
        self.server_next += said;
        self.server_seen += said;
        self.server_seen = (self.server_seen + u32::try_from(grown).expect("a packet"))
            .wrapping_sub(u32::try_from(packet.len()).expect("a packet"));
        if script.dice.chance(80) {
            let ack = self.flow.packet().flags(0x10).numbers(self.client_next, self.server_seen);
            self.flow.send(script, &ack.build());
        }
        if script.dice.chance(8) {
            script.send(SERVERS, &packet);
        }
    }

    /// A command, the answer, and the data connection, if there is one.
    pub(super) fn transfer(&mut self, script: &mut Script) {
        self.next_port += 1;
        let port = script.dice.port(30000, 60000);
        let v6 = self.flow.client.is_ipv6();
        match script.dice.from(0, 9) {
            0..2 => {
                self.say(script, "NOOP\r\n");
                self.reply(script, "200 OK\r\n");
            }
            2..6 => {
                let extended = v6 || script.dice.chance(40);
                let asked = asked(&mut script.dice, extended, v6);
                self.say(script, &asked);
                let named = passive(&mut script.dice, self.server, port, extended);
                self.reply(script, &named);
                self.passive_data(script, port);
            }
            6..9 => {
                let named = active(&mut script.dice, SocketAddr::new(self.flow.client.ip(), port));
                self.say(script, &named);
                self.reply(script, "200 PORT command successful\r\n");
                self.active_data(script, port);
            }
            _ => script.look_at_connections(),
        }
    }

    fn passive_data(&self, script: &mut Script, port: u16) {
        let client = SocketAddr::new(self.flow.client.ip(), self.next_port);
        let mut data = Flow::new(Protocol::Tcp, client, SocketAddr::new(virtual_address(client.is_ipv6(), 0), port));
        data.establish(script);
        if script.dice.chance(50) {
            data.segment(script, 0x11);
            data.answer(script, &Answer::Tcp(0x11));
        }
        script.look_at_connections();
    }

    /// The server opens it, from port 20.
    fn active_data(&self, script: &mut Script, port: u16) {
        let (from, to) = (SocketAddr::new(self.server.ip(), 20), SocketAddr::new(self.flow.client.ip(), port));
        script.send(SERVERS, &Builder::new(Protocol::Tcp, from, to).syn().build());
        let back = Builder::new(Protocol::Tcp, to, SocketAddr::new(self.flow.target.ip(), 20));
        script.send(CLIENTS, &back.flags(0x12).numbers(9000, 1001).build());
        let on = Builder::new(Protocol::Tcp, from, to).flags(0x10).numbers(1001, 9001);
        script.send(SERVERS, &on.build());
        script.look_at_connections();
    }
}

/// The command that asks for a passive connection.
fn asked(dice: &mut Dice, extended: bool, v6: bool) -> String {
    let number = if v6 { 2 } else { 1 };
    if extended {
        dice.weighted(&[
            (5, "EPSV\r\n".to_string()),
            (2, format!("EPSV {number}\r\n")),
            (1, "epsv\r\n".into()),
            (1, "EPSV ALL\r\n".into()),
        ])
    } else {
        dice.pick(&["PASV\r\n", "PASV\r\n", "pasv\r\n", "NOOP\r\nPASV\r\n", "PASV \r\n"]).into()
    }
}

/// The server's answer to it.
fn passive(dice: &mut Dice, server: SocketAddr, port: u16, extended: bool) -> String {
    if extended {
        let family = if server.is_ipv6() { 2 } else { 1 };
        let plain = format!("229 Entering Extended Passive Mode (|||{port}|)\r\n");
        let whole = format!("229 ok (|{family}|{}|{port}|)\r\n", server.ip());
        let other = format!("229 (!!!{port}!) done\r\n");
        return dice.weighted(&[(5, plain), (2, whole), (1, other), (1, format!("229 no port {port}\r\n"))]);
    }
    let (high, low) = (port / 256, port % 256);
    let numbers = format!("{},{high},{low}", server.ip().to_string().replace('.', ","));
    dice.weighted(&[
        (5, format!("227 Entering Passive Mode ({numbers}).\r\n")),
        (2, format!("227 at {numbers}\r\n")),
        (1, format!("227 Entering Passive Mode ({numbers},9)\r\n")),
        (1, format!("227 (({numbers}))\r\n")),
        (1, format!("227 wrong (10,0,0,300,{high},{low})\r\n")),
    ])
}

/// The client's word of where it listens.
fn active(dice: &mut Dice, at: SocketAddr) -> String {
    let family = if at.is_ipv6() { 2 } else { 1 };
    let extended = format!("EPRT |{family}|{}|{}|\r\n", at.ip(), at.port());
    if at.is_ipv6() {
        return dice.weighted(&[(5, extended.clone()), (1, extended.replace('|', "!")), (1, extended.to_lowercase())]);
    }
    let numbers = format!("{},{},{}", at.ip().to_string().replace('.', ","), at.port() / 256, at.port() % 256);
    dice.weighted(&[
        (4, format!("PORT {numbers}\r\n")),
        (1, format!("port  {numbers}\r\n")),
        (1, format!("PORT {numbers},1\r\n")),
        (3, extended),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios::network::server_address;

    #[test]
    fn ports_are_written_as_two_numbers() {
        let server = SocketAddr::new(server_address(false, 0), 0);
        let mut dice = Dice::new("ftp", 1);
        let texts: Vec<String> = (0..50).map(|_| passive(&mut dice, server, 0x1234, false)).collect();
        assert!(texts.contains(&"227 Entering Passive Mode (10,0,0,101,18,52).\r\n".to_string()));
    }
}
