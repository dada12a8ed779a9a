//! Calls that stay with their server by Call-ID.

use std::time::Duration;

use lvs_core::Protocol;
use lvs_core::testkit::packets::Builder;

use crate::scenarios::dice::Dice;
use crate::scenarios::farm::{Service, Target};
use crate::scenarios::network::{Families, SERVERS, client_address, server_address, virtual_address};
use crate::scenarios::packet::Answer;
use crate::scenarios::script::Script;
use crate::scenarios::traffic::Traffic;

const SIP: u16 = 5060;

/// Writes a scenario.
pub(super) fn write(script: &mut Script) {
    let v6 = script.dice.chance(50);
    script.network(Families::One(v6));
    script.shell("modprobe ip_vs_pe_sip");
    let address = virtual_address(v6, 0);
    let any = if v6 { "-M 1" } else { "-M 0.0.0.0" };
    let mask = script.dice.pick(&["", any]);
    let single = script.dice.pick(&["", " -o"]);
    let method = script.dice.weighted(&[(3, "-m".to_string()), (1, "-g".into()), (1, "-i".into())]);
    let scheduler = script.dice.pick(&["rr", "wlc", "sh"]);
    let options = format!("--pe sip -p 60 {mask}{single}");
    let mut service = Service::new(Target::Address(Protocol::Udp, address, SIP), scheduler)
        .options(options.trim_end())
        .method(method, SIP);
    service.set_up(script, 3);
    script.run("-S -n");
    let mut traffic = Traffic::from_networks(1);
    for _ in 0..script.dice.from(20, 32) {
        match script.dice.from(0, 19) {
            0..12 => {
                let mut flow = traffic.flow(&mut script.dice, &service);
                flow.client.set_port(script.dice.pick(&[5060, 5062, flow.client.port()]));
                let message = message(&mut script.dice);
                let packet = flow.packet().payload(message.as_bytes()).build();
                flow.send(script, &packet);
                if script.dice.chance(50) {
                    flow.answer(script, &Answer::Udp { zero_checksum: false });
                }
            }
            12..14 => from_server(script, v6),
            14 => service.change(script),
            15 => script.sleep_around_a_deadline(),
            16 => script.sleep(Duration::from_secs(61)),
            17 => script.list_connections("-Lnc --persistent-conn"),
            18 => script.look_at_connections(),
            _ => script.run("-Ln --persistent-conn"),
        }
    }
    script.look_at_connections();
}

/// A server calls a client.
fn from_server(script: &mut Script, v6: bool) {
    let message = message(&mut script.dice);
    let n = script.dice.pick(&[0, 1, 2]);
    let to = client_address(v6, 0, script.dice.pick(&[1, 2, 20]));
    let port = script.dice.weighted(&[(5, SIP), (1, 5070)]);
    let packet = Builder::new(Protocol::Udp, (server_address(v6, n), port).into(), (to, SIP).into());
    script.send(SERVERS, &packet.payload(message.as_bytes()).build());
}

/// A request, with a Call-ID that may be written in many ways.
pub(super) fn message(dice: &mut Dice) -> String {
    let call = dice.pick(&["a1b2c3", "f81d4fae-7dec", "x", "call.7", "3848276298220188511"]);
    let host = dice.pick(&["", "@host", "@192.0.2.7", "@"]);
    let name = dice.weighted(&[
        (10, "Call-ID"),
        (2, "call-id"),
        (3, "i"),
        (1, "I"),
        (1, "Call-IdX"),
        (1, "X-Call-ID"),
        (1, "In"),
    ]);
    let colon = dice.weighted(&[(10, ": "), (3, ":"), (2, "\t : "), (1, ":\r\n "), (1, " ")]);
    let end = dice.weighted(&[(12, "\r\n"), (2, "\n"), (1, " \r\n"), (1, ";x\r\n"), (1, "")]);
    let before =
        dice.weighted(&[(4, "INVITE sip:bob@example.com SIP/2.0\r\n"), (3, "SIP/2.0 200 OK\nVia: x\n"), (1, "")]);
    let after = dice.pick(&["CSeq: 1 INVITE\r\n\r\n", "\r\n", "i: other@call\r\n", ""]);
    let long = "z".repeat(dice.pick(&[254, 255, 256, 300]));
    let value = if dice.chance(5) { long } else { format!("{call}{host}") };
    format!("{before}{name}{colon}{value}{end}{after}")
}
