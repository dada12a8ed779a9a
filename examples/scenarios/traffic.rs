//! Clients that talk to services, and the real servers' answers.

use std::net::SocketAddr;

use lvs_core::Protocol;
use lvs_core::testkit::packets::Builder;

use super::dice::Dice;
use super::farm::{Service, Target};
use super::network::{CLIENTS, MARKED, SERVERS, client_address, virtual_address};
use super::packet::Answer;
use super::script::{Script, Sent};

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// Two ends that talk.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    /// Over what.
    pub(crate) protocol: Protocol,
    /// The client.
    pub(crate) client: SocketAddr,
    /// The virtual address.
    pub(crate) target: SocketAddr,
    /// Where the client's packets arrive.
    pub(crate) interface: &'static str,
    /// The step of the latest packet that reached a server.
    pub(crate) reached: Option<usize>,
}

impl Flow {
    /// A flow of its own, over the usual interface.
    #[must_use]
    pub(crate) const fn new(protocol: Protocol, client: SocketAddr, target: SocketAddr) -> Self {
        Self { protocol, client, target, interface: CLIENTS, reached: None }
    }

    /// A packet of the client's, to be made up.
    #[must_use]
    pub(crate) fn packet(&self) -> Builder {
        Builder::new(self.protocol, self.client, self.target)
    }

    /// A packet of the server's as the client is to see it.
    #[must_use]
    pub(crate) fn packet_back(&self) -> Builder {
        Builder::new(self.protocol, self.target, self.client)
    }

    /// The client sends.
    pub(crate) fn send(&mut self, script: &mut Script, packet: &[u8]) -> usize {
        let step = script.send(self.interface, packet);
        if script.sent(step).is_some_and(Sent::reached_server) {
            self.reached = Some(step);
        }
        step
    }

    /// The client sends a segment with these flags.
    pub(crate) fn segment(&mut self, script: &mut Script, flags: u8) -> usize {
        let first = flags & SYN != 0 && flags & ACK == 0;
        let packet = self.packet().flags(flags);
        let packet = if first { packet.build() } else { packet.numbers(1001, 5001).build() };
        self.send(script, &packet)
    }

    /// The server answers the latest packet that reached it: through the director, if it can be told what it received;
    /// else, behind a tunnel, with what it makes of the packet inside.
    pub(crate) fn answer(&self, script: &mut Script, answer: &Answer) {
        let Some(step) = self.reached else { return };
        if script.sent(step).is_some_and(Sent::is_plain) {
            script.answer(step, answer);
        } else if let Some(back) = self.packet_for(answer) {
            script.send(SERVERS, &back);
        }
    }

    fn packet_for(&self, answer: &Answer) -> Option<Vec<u8>> {
        match answer {
            Answer::Tcp(flags) => Some(self.packet_back().flags(*flags).numbers(5000, 1001).build()),
            Answer::Udp { zero_checksum: true } => Some(self.packet_back().payload(b"ok").no_checksum().build()),
            Answer::Udp { zero_checksum: false } => Some(self.packet_back().payload(b"ok").build()),
            Answer::Sctp(chunk) => Some(self.packet_back().chunk(*chunk).build()),
            Answer::Icmp { .. } => None,
        }
    }

    /// The packet that opens it.
    #[must_use]
    pub(crate) fn opening(&self) -> Vec<u8> {
        match self.protocol {
            Protocol::Tcp => self.packet().syn().build(),
            Protocol::Udp => self.packet().payload(b"x").build(),
            _ => self.packet().chunk(1).build(),
        }
    }

    /// Opens it, and has the server agree.
    pub(crate) fn establish(&mut self, script: &mut Script) {
        let opening = self.opening();
        self.send(script, &opening);
        match self.protocol {
            Protocol::Tcp => {
                self.answer(script, &Answer::Tcp(SYN | ACK));
                self.segment(script, ACK);
            }
            Protocol::Udp => self.answer(script, &Answer::Udp { zero_checksum: false }),
            _ => {
                self.answer(script, &Answer::Sctp(2));
                let echo = self.packet().chunk(10).build();
                self.send(script, &echo);
                self.answer(script, &Answer::Sctp(11));
            }
        }
    }
}

/// Who talks in a scenario.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    flows: Vec<Flow>,
    next_port: u16,
    /// The number of the last network that clients come from.
    networks: u8,
}

impl Traffic {
    /// Clients of so many networks, and one more.
    pub(crate) fn from_networks(networks: u8) -> Self {
        Self { networks, ..Self::default() }
    }

    /// One thing that happens: a new flow, another packet of an old one, an answer.
    pub(crate) fn act(&mut self, script: &mut Script, services: &[Service]) {
        match script.dice.from(0, 99) {
            0..45 => self.open(script, services),
            45..80 => self.go_on(script),
            _ => self.answer(script),
        }
    }

    /// A new flow to one of the services, sometimes from a port that was used before.
    pub(crate) fn open(&mut self, script: &mut Script, services: &[Service]) {
        let service = script.dice.pick(services);
        let mut flow = self.flow(&mut script.dice, &service);
        let opening = flow.opening();
        flow.send(script, &opening);
        if script.dice.chance(40) {
            self.answer_flow(script, &flow);
        }
        if flow.protocol == Protocol::Tcp && script.dice.chance(50) {
            flow.segment(script, ACK);
        }
        self.flows.push(flow);
    }

    /// A flow that a service would take.
    pub(crate) fn flow(&mut self, dice: &mut Dice, service: &Service) -> Flow {
        let v6 = service.is_v6();
        let (protocol, target, interface) = match service.target {
            Target::Address(protocol, address, 0) => {
                (protocol, SocketAddr::new(address, dice.pick(&[80, 443, 5000])), CLIENTS)
            }
            Target::Address(protocol, address, port) => (protocol, SocketAddr::new(address, port), CLIENTS),
            Target::Mark(..) => {
                let protocol = dice.weighted(&[(3, Protocol::Tcp), (2, Protocol::Udp)]);
                let address = virtual_address(v6, dice.pick(&[0, 1]));
                (protocol, SocketAddr::new(address, dice.pick(&[80, 443, 53])), MARKED)
            }
        };
        self.next_port += u16::try_from(dice.from(1, 6)).expect("small");
        let fresh = 20000 + self.next_port;
        let port = dice.weighted(&[(8, fresh), (1, 7000), (1, 7001)]);
        let network = u8::try_from(dice.from(0, self.networks.into())).expect("few networks");
        let host = u8::try_from(dice.from(1, 9)).expect("few hosts");
        let client = SocketAddr::new(client_address(v6, network, host), port);
        Flow { protocol, client, target, interface, reached: None }
    }

    /// Another packet of an old flow; sometimes a new flow with the same ends.
    pub(crate) fn go_on(&mut self, script: &mut Script) {
        let Some(n) = self.some(script) else { return };
        let flow = &mut self.flows[n];
        match flow.protocol {
            Protocol::Tcp => {
                let flags = script.dice.weighted(&[
                    (5, ACK),
                    (3, ACK | 8),
                    (4, ACK | FIN),
                    (2, RST),
                    (1, RST | ACK),
                    (4, SYN),
                    (1, SYN | ACK),
                    (1, FIN),
                ]);
                flow.segment(script, flags);
            }
            Protocol::Udp => {
                let packet = flow.packet().payload(b"again").build();
                flow.send(script, &packet);
            }
            _ => {
                let chunk = script.dice.pick(&[0, 0, 1, 3, 6, 7, 8, 10, 11, 14]);
                let packet = flow.packet().chunk(chunk).build();
                flow.send(script, &packet);
            }
        }
    }

    /// A server's answer.
    pub(crate) fn answer(&mut self, script: &mut Script) {
        if let Some(n) = self.some(script) {
            let flow = self.flows[n].clone();
            self.answer_flow(script, &flow);
        }
    }

    fn answer_flow(&self, script: &mut Script, flow: &Flow) {
        let dice = &mut script.dice;
        let answer = match flow.protocol {
            Protocol::Tcp => Answer::Tcp(dice.weighted(&[
                (6, SYN | ACK),
                (4, ACK),
                (3, ACK | FIN),
                (1, RST),
                (1, RST | ACK),
                (1, SYN),
                (1, FIN),
            ])),
            Protocol::Udp => Answer::Udp { zero_checksum: dice.chance(20) && !flow.client.is_ipv6() },
            _ => Answer::Sctp(dice.pick(&[0, 2, 2, 3, 6, 7, 8, 11, 11, 14])),
        };
        flow.answer(script, &answer);
    }

    fn some(&self, script: &mut Script) -> Option<usize> {
        let recent = self.flows.len().min(12);
        (recent > 0).then(|| self.flows.len() - 1 - script.dice.index(recent))
    }
}
