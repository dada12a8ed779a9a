//! What is printed: the listing of `ipvsadm`, who got how much, and what became of the packets.

use std::fmt::Write;

use lvs_core::{
    Columns, Counters, DropReason, Family, Listing, PassReason, ReplyReason, ServerView, ServiceKey, ServiceView,
};

use super::player::Player;

/// Columns of a bar that stands for all connections of a service.
const BAR: usize = 30;
/// No line is longer.
const WIDTH: usize = 99;
/// What stands between two columns.
const GAP: usize = 2;
const HEADER: [&str; 7] = ["server", "method", "weight", "conns", "packets", "bytes", "share"];

/// Everything there is to say when a capture was played.
#[must_use]
pub fn report(player: &Player, capture: &str) -> String {
    let statistics = Listing { columns: Columns::Stats, ..Listing::default() };
    let mut text = player.director().listing(&statistics).expect("no service in particular was asked for");
    text.push('\n');
    text.push_str(&chart(&sorted(player.director().services())));
    text.push('\n');
    text.push_str(&summary(player, capture));
    text
}

/// Services and their servers by address.
fn sorted(mut services: Vec<ServiceView>) -> Vec<ServiceView> {
    let rank = |service: &ServiceView| match service.spec.key {
        ServiceKey::Address { protocol, address } => (0, address.is_ipv6(), Some((protocol, address))),
        ServiceKey::Mark { mark, family } => (mark, family == Family::V6, None),
    };
    services.sort_by_key(rank);
    for service in &mut services {
        service.servers.sort_by_key(|server| server.spec.address);
    }
    services
}

// Servers and their shares.

fn chart(services: &[ServiceView]) -> String {
    let rows: Vec<Vec<[String; 7]>> = services.iter().map(rows).collect();
    let total = totals(services.iter().map(|service| service.stats));
    let every = || rows.iter().flatten().chain([&total]);
    let widths: [usize; 7] =
        std::array::from_fn(|i| every().map(|row| row[i].len()).chain([HEADER[i].len()]).max().unwrap_or(0));
    let used = GAP + widths.iter().sum::<usize>() + HEADER.len() * GAP;
    let bar = WIDTH.saturating_sub(used).clamp(10, BAR);

    let mut text = line(&HEADER.map(String::from), &widths, "");
    for (service, rows) in services.iter().zip(&rows) {
        text.push_str(&format!("{} {}\n", service.spec.key, service.spec.scheduler));
        for (row, server) in rows.iter().zip(&service.servers) {
            let length = share(server.stats.connections, service.stats.connections, bar as u64);
            text.push_str(&line(row, &widths, &"#".repeat(usize::try_from(length).unwrap_or(0))));
        }
    }
    text.push_str(&line(&total, &widths, ""));
    text
}

fn rows(service: &ServiceView) -> Vec<[String; 7]> {
    let row = |server: &ServerView| {
        let per_mille = share(server.stats.connections, service.stats.connections, 1000);
        let mut row = numbers(server.stats);
        row[0] = server.spec.address.to_string();
        row[1] = server.spec.method.to_string();
        row[2] = server.spec.weight.to_string();
        row[6] = format!("{}.{}%", per_mille / 10, per_mille % 10);
        row
    };
    service.servers.iter().map(row).collect()
}

fn totals(services: impl Iterator<Item = Counters>) -> [String; 7] {
    let mut row = numbers(services.sum());
    row[0] = String::from("all");
    row
}

fn numbers(counters: Counters) -> [String; 7] {
    let mut row = [const { String::new() }; 7];
    row[3] = counters.connections.to_string();
    row[4] = (counters.in_packets + counters.out_packets).to_string();
    row[5] = (counters.in_bytes + counters.out_bytes).to_string();
    row
}

/// `part` of `whole` in parts of `unit`, rounded.
fn share(part: u64, whole: u64, unit: u64) -> u64 {
    (part * unit + whole / 2).checked_div(whole).unwrap_or(0)
}

/// Words to the left, numbers to the right, no blanks at the end.
fn line(row: &[String; 7], widths: &[usize; 7], bar: &str) -> String {
    let mut text = String::new();
    for (i, (cell, &width)) in row.iter().zip(widths).enumerate() {
        let gap = " ".repeat(GAP);
        let padded = if i < 2 { format!("{gap}{cell:<width$}") } else { format!("{gap}{cell:>width$}") };
        text.push_str(&padded);
    }
    text.push_str("  ");
    text.push_str(bar);
    format!("{}\n", text.trim_end())
}

// What became of the packets.

fn summary(player: &Player, capture: &str) -> String {
    let (tally, reasons) = (player.tally(), player.director().reasons());
    let mut lines: Vec<(u64, String)> = vec![
        (tally.to_servers, String::from("sent on to servers")),
        (tally.to_clients, String::from("sent on to clients")),
    ];
    let replied = ReplyReason::ALL.iter().map(|&r| (reasons.replied(r), format!("answered with an ICMP error: {r}")));
    let passed = PassReason::ALL.iter().map(|&r| (reasons.passed(r), format!("passed to the host: {r}")));
    let dropped = DropReason::ALL.iter().map(|&r| (reasons.dropped(r), format!("dropped: {r}")));
    lines.extend(replied.chain(passed).chain(dropped));
    lines.extend([
        (tally.direct, String::from("replies that servers send past the director (direct routing, tunnels)")),
        (tally.one_packet, String::from("replies in one-packet scheduling, which knows of no connection")),
        (tally.vlan, String::from("with a VLAN tag, left alone")),
        (tally.not_ip, String::from("not IP, left alone")),
    ]);
    let seconds = player.duration().as_secs_f64();
    let mut text = format!("{} packets of {capture}, {seconds:.1} seconds:\n", tally.packets);
    for (count, what) in lines.into_iter().filter(|&(count, _)| count > 0) {
        writeln!(text, "{count:>8} {what}").expect("a string takes everything");
    }
    text.push_str(&replies(player));
    text
}

fn replies(player: &Player) -> String {
    let tally = player.tally();
    let mut text = format!(
        "{} of {} replies played through NAT came out as they were captured, byte for byte\n",
        tally.identical, tally.replies
    );
    if tally.mended > 0 {
        writeln!(text, "{} more but for a checksum, which was wrong or missing in the capture", tally.mended)
            .expect("a string takes everything");
    }
    text
}
