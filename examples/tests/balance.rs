//! The example `balance`, from outside: what it prints, and what it writes.

mod support;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lvs_core::testkit::packets;
use lvs_core::{DropReason, PassReason};
use lvs_examples::balance::{Arguments, Failure, Frame, Link, Player, Resolution, Writer, flow, run};
use support::{
    bare, captured, checksums, frames, is_tunnelled, normalized, packet, save, stamped, target, with_transport_checksum,
};

/// Carries out the example; returns what it printed and how it ended.
fn balance(arguments: &Arguments) -> (String, Result<(), Failure>) {
    let mut out = Vec::new();
    let result = run(arguments, &mut out);
    (String::from_utf8(out).expect("the report is a text"), result)
}

fn arguments(out: &Path) -> Arguments {
    Arguments { rules: None, pcap: None, out: Some(out.to_path_buf()), explain: None, burst: 64 }
}

/// The example on a capture of the repository, without trouble: what it printed, and the packets it wrote.
fn balanced(capture: &str, name: &str) -> (String, Vec<Frame>) {
    let out = target(name);
    let (text, result) = balance(&Arguments { pcap: Some(captured(capture)), ..arguments(&out) });
    assert!(result.is_ok(), "{result:?}");
    (text, frames(&out))
}

fn rules(name: &str, text: &str) -> PathBuf {
    let path = target(name);
    fs::write(&path, text).expect("the target directory takes files");
    path
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_takes_nothing_is_found_out_before_any_packet() {
    let refused = Writer::create(Path::new("/dev/full"), Link::Ethernet, Resolution::MicroSecond).expect_err("full");
    assert!(refused.to_string().starts_with("cannot write /dev/full: "), "{refused}");
    let (text, result) = balance(&arguments(Path::new("/dev/full")));
    assert_eq!(text, "");
    assert_eq!(result.expect_err("full").to_string(), format!("error: {refused}"));
}

// The default run.

#[test]
fn the_default_run_balances_everything_and_restores_every_reply() {
    let (text, written) = balanced("web.pcap", "default.pcap");
    let listing = [
        "TCP  192.0.2.10:53                       1        6        4      311      432",
        "TCP  192.0.2.10:80                      71      398      373    26949    73750",
        "TCP  192.0.2.10:8080                     5       30       20     1889     1762",
        "UDP  192.0.2.10:53                      18       18       18     1522     1804",
        "TCP  [2001:db8:c::10]:53                 1        6        0      430        0",
        "TCP  [2001:db8:c::10]:80                71      396        0    34640        0",
        "TCP  [2001:db8:c::10]:8080               5       30        0     2519        0",
        "UDP  [2001:db8:c::10]:53                17       17        0     1765        0",
    ];
    let summary = [
        "     901 sent on to servers",
        "     415 sent on to clients",
        "       6 passed to the host: unsupported-protocol",
        "     412 replies that servers send past the director (direct routing, tunnels)",
        "       2 not IP, left alone",
        "415 of 415 replies played through NAT came out as they were captured, byte for byte",
    ];
    for line in listing.iter().chain(&summary) {
        assert!(text.lines().any(|printed| printed == *line), "{line}\nis missing in\n{text}");
    }
    assert!(text.contains("1736 packets of"), "{text}");
    assert_eq!(written.len(), 901 + 415);
}

#[test]
fn the_report_is_narrow_and_neat() {
    let (text, _) = balanced("web.pcap", "neat.pcap");
    for line in text.lines().filter(|line| !line.contains(".pcap")) {
        assert!(line.chars().count() < 100, "{line}");
        assert_eq!(line, line.trim_end(), "blanks at the end");
    }
    let bars: Vec<usize> = text.lines().map(|line| line.matches('#').count()).filter(|&length| length > 0).collect();
    assert_eq!(bars.iter().max(), Some(&30), "a server that got all has the longest bar");
}

#[test]
fn every_written_checksum_is_right() {
    for capture in ["web.pcap", "one-connection.pcapng", "one-connection-raw.pcap"] {
        let (_, written) = balanced(capture, &format!("checksums-{capture}"));
        let right: usize = written.iter().map(|frame| checksums(packet(frame)).expect("right")).sum();
        assert!(right >= written.len(), "at least one for every packet");
    }
}

#[test]
fn tshark_finds_no_bad_checksum() {
    let out = target("tshark.pcap");
    assert!(balance(&arguments(&out)).1.is_ok());
    let select = |filter: &str| {
        let checks = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE"];
        let output = Command::new("tshark")
            .args(checks.iter().flat_map(|check| ["-o", check]))
            .args(["-n", "-Y", filter, "-r"])
            .arg(&out)
            .output();
        output.ok().filter(|output| output.status.success()).map(|o| String::from_utf8_lossy(&o.stdout).lines().count())
    };
    let Some(bad) = select("ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0") else {
        eprintln!("tshark is not installed: not asked");
        return;
    };
    assert_eq!(bad, 0);
    assert_eq!(select("tcp.checksum.status == 1 || udp.checksum.status == 1"), Some(901 + 415), "tshark did look");
}

#[test]
fn tcpdump_finds_no_bad_checksum() {
    let out = target("tcpdump.pcap");
    assert!(balance(&arguments(&out)).1.is_ok());
    let Ok(output) = Command::new("tcpdump").args(["-nvv", "-r"]).arg(&out).output() else {
        eprintln!("tcpdump is not installed: not asked");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("(correct)"), "tcpdump did look");
    let is_bad = |line: &&str| ["incorrect", "bad cksum", "bad udp cksum"].iter().any(|bad| line.contains(bad));
    assert_eq!(text.lines().find(is_bad), None);
}

// What is in the output.

#[test]
fn replies_come_out_as_they_were_captured_frame_and_time_included() {
    let (_, written) = balanced("web.pcap", "replies.pcap");
    let of_service = |frames: Vec<Frame>| -> Vec<(Duration, Vec<u8>)> {
        let is_reply =
            |frame: &&Frame| packet(frame).first() == Some(&0x45) && packet(frame)[12..16] == [192, 0, 2, 10];
        frames.iter().filter(is_reply).map(|frame| (frame.time, frame.data.clone())).collect()
    };
    let (written, captured) = (of_service(written), of_service(frames(&captured("web.pcap"))));
    assert_eq!(captured.len(), 415);
    assert_eq!(written, captured);
}

#[test]
fn servers_get_what_clients_sent_in_its_order_and_at_its_time() {
    let (_, written) = balanced("web.pcap", "requests.pcap");
    let sent: Vec<_> = frames(&captured("web.pcap"))
        .iter()
        .filter(|frame| flow(packet(frame)).is_some_and(|flow| is_virtual(flow.destination)))
        .map(|frame| (frame.time, normalized(packet(frame), 1)))
        .collect();
    let got: Vec<_> = written
        .iter()
        .filter(|frame| !flow(packet(frame)).is_some_and(|flow| is_virtual(flow.source)))
        .map(|frame| (frame.time, normalized(bare(packet(frame)), 0)))
        .collect();
    assert_eq!(got, sent);
}

fn is_virtual(address: SocketAddr) -> bool {
    ["192.0.2.10", "2001:db8:c::10"].contains(&address.ip().to_string().as_str())
}

#[test]
fn every_connection_stays_with_one_server() {
    let (_, written) = balanced("web.pcap", "affinity.pcap");
    let mut servers: HashMap<_, Vec<u8>> = HashMap::new();
    let mut connections: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for frame in written.iter().filter(|frame| !flow(packet(frame)).is_some_and(|flow| is_virtual(flow.source))) {
        let flow = flow(bare(packet(frame))).expect("a packet with ports");
        let hardware = frame.data[..6].to_vec();
        let first = servers.entry((flow.protocol, flow.source)).or_insert_with(|| {
            *connections.entry(hardware.clone()).or_default() += 1;
            hardware.clone()
        });
        assert_eq!(*first, hardware, "{flow}");
    }
    assert_eq!(connections.values().sum::<u32>(), 189);
    assert_eq!(connections.get(&vec![2, 0, 10, 0, 0, 101]), Some(&28), "two services are on 10.0.0.101");
}

#[test]
fn tunnels_are_those_of_the_rules() {
    let (_, written) = balanced("web.pcap", "tunnels.pcap");
    let tunnelled = written.iter().filter(|frame| is_tunnelled(packet(frame))).count();
    assert_eq!(tunnelled, 6 + 30 + 17);
    let across_v4 = written.iter().filter(|frame| packet(frame)[9] == 41 && packet(frame)[0] == 0x45).count();
    assert_eq!(across_v4, 18);
}

// Other inputs.

#[test]
fn pcapng_and_raw_ip_give_the_same_packets() {
    let (ethernet_text, ethernet) = balanced("one-connection.pcapng", "one-ethernet.pcap");
    let (raw_text, raw) = balanced("one-connection-raw.pcap", "one-raw.pcap");
    assert!(ethernet.iter().all(|frame| frame.link == Link::Ethernet) && raw.iter().all(|f| f.link == Link::Raw));
    let packets = |frames: &[Frame]| -> Vec<_> { frames.iter().map(|f| (f.time, packet(f).to_vec())).collect() };
    assert_eq!(packets(&ethernet), packets(&raw));
    assert_eq!(ethernet.len(), 10);
    for text in [ethernet_text, raw_text] {
        assert!(text.contains("4 of 4 replies played"), "{text}");
    }
}

#[test]
fn the_size_of_bursts_makes_no_difference() {
    let results: Vec<_> = [1, 7, 64, 1024]
        .into_iter()
        .map(|burst| {
            let out = target(&format!("burst-{burst}.pcap"));
            let (text, result) = balance(&Arguments { burst, ..arguments(&out) });
            assert!(result.is_ok(), "{result:?}");
            let report: Vec<String> = text.lines().filter(|l| !l.contains(".pcap")).map(String::from).collect();
            (report, fs::read(&out).expect("written a moment ago"))
        })
        .collect();
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn packets_that_are_passed_or_dropped_stay_as_they_are_and_are_not_written() {
    let good = packets::tcp("198.51.100.9:40000", "192.0.2.10:80");
    let mut wrong_sum = good.clone().syn().build();
    wrong_sum[10] ^= 0x40;
    let cut_off = good.clone().syn().payload(&[7; 100]).build()[..90].to_vec();
    // A later part of a packet that is for nobody here.
    let mut fragment = packets::udp("198.51.100.9:40000", "192.0.2.99:53").may_fragment().payload(&[7; 64]).build();
    (fragment[7], fragment[11]) = (1, fragment[11] - 1);
    let elsewhere = packets::udp("198.51.100.9:40000", "192.0.2.99:53").payload(b"?").build();
    let mid_stream = good.payload(b"more").build();
    let mut player = Player::new("-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.1 -m", 64, None).unwrap();
    for frame in stamped([wrong_sum, cut_off, fragment, elsewhere, mid_stream, vec![], vec![0xff; 30]]) {
        player.take(frame);
    }
    player.finish();
    assert_eq!((player.sent().count(), player.faults()), (0, &[][..]));
    let reasons = player.director().reasons();
    assert_eq!(
        [DropReason::IpChecksum, DropReason::TruncatedIp, DropReason::NotIp].map(|reason| reasons.dropped(reason)),
        [1, 1, 2]
    );
    assert_eq!(
        [PassReason::Fragment, PassReason::NoService, PassReason::NotAnOpening].map(|reason| reasons.passed(reason)),
        [1, 1, 1]
    );
}

#[test]
fn every_packet_is_accounted_for() {
    let mut player = Player::new(lvs_examples::balance::DEFAULT_RULES, 64, None).unwrap();
    for frame in frames(&captured("web.pcap")) {
        player.take(frame);
    }
    player.finish();
    let tally = player.tally();
    let around = tally.direct + tally.one_packet + tally.vlan + tally.not_ip;
    assert_eq!(tally.packets, around + player.director().reasons().total());
    assert_eq!(player.director().reasons().forwarded(), tally.to_servers + tally.to_clients);
}

#[test]
fn frames_with_a_vlan_tag_are_counted_and_left_alone() {
    let mut all = frames(&captured("one-connection.pcapng"));
    all[3].data.splice(12..12, [0x81, 0x00, 0x00, 0x07]);
    let (source, out) = (target("vlan-in.pcap"), target("vlan-out.pcap"));
    save(&source, &all);
    let (text, result) = balance(&Arguments { pcap: Some(source), ..arguments(&out) });
    assert!(result.is_ok() && text.contains("       1 with a VLAN tag, left alone"), "{text}");
}

#[test]
fn a_client_without_a_server_gets_an_icmp_error() {
    let (rules, out) = (rules("nobody.rules", "-A -t 192.0.2.10:80 -s rr\n"), target("nobody.pcap"));
    let (text, result) =
        balance(&Arguments { rules: Some(rules), pcap: Some(captured("one-connection.pcapng")), ..arguments(&out) });
    assert!(result.is_ok() && text.contains("       1 answered with an ICMP error: no-destination"), "{text}");
    let (written, all) = (frames(&out), frames(&captured("one-connection.pcapng")));
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].data[..6], all[0].data[6..12], "it goes back to where the packet came from");
    assert_eq!((packet(&written[0])[9], packet(&written[0])[20], packet(&written[0])[21]), (1, 3, 3));
    assert_eq!(checksums(packet(&written[0])), Ok(2));
}

#[test]
fn checksums_left_to_a_network_card_come_out_right() {
    let mut all = frames(&captured("one-connection-raw.pcap"));
    for frame in all.iter_mut().filter(|frame| frame.data[12..16] == [192, 0, 2, 10]) {
        with_transport_checksum(&mut frame.data, 0x1234);
    }
    let (source, out) = (target("offload-in.pcap"), target("offload-out.pcap"));
    save(&source, &all);
    let (text, result) = balance(&Arguments { pcap: Some(source), ..arguments(&out) });
    assert!(result.is_ok(), "{result:?}");
    assert!(text.contains("0 of 4 replies") && text.contains("4 more but for a checksum"), "{text}");
    assert!(frames(&out).iter().all(|frame| checksums(packet(frame)) == Ok(2)));
}

#[test]
fn a_reply_that_does_not_come_out_is_an_error() {
    let query = packets::udp("198.51.100.9:5353", "192.0.2.10:53").payload(b"who").build();
    let reply = packets::udp("192.0.2.10:53", "198.51.100.9:5353").payload(b"me").build();
    let mut late: Vec<Frame> = stamped([query, reply]).collect();
    late[1].time += Duration::from_secs(400);
    let (source, out) = (target("late-in.pcap"), target("late-out.pcap"));
    save(&source, &late);
    let (text, result) = balance(&Arguments { pcap: Some(source), ..arguments(&out) });
    let failure = result.unwrap_err();
    assert_eq!(failure.exit_code(), 1);
    assert!(failure.to_string().contains("packet 2: a reply from 10.0.0.54:53 was not taken back"), "{failure}");
    assert!(text.contains("0 of 1 replies"), "{text}");
}

#[test]
fn replies_in_one_packet_scheduling_are_counted_apart() {
    let rules = rules("once.rules", "-A -u 192.0.2.10:53 -s rr -o\n-a -u 192.0.2.10:53 -r 10.0.0.53:53 -m\n");
    let query = packets::udp("198.51.100.9:5353", "192.0.2.10:53").payload(b"who").build();
    let reply = packets::udp("192.0.2.10:53", "198.51.100.9:5353").payload(b"me").build();
    let (source, out) = (target("once-in.pcap"), target("once-out.pcap"));
    save(&source, &stamped([query, reply]).collect::<Vec<_>>());
    let (text, result) = balance(&Arguments { rules: Some(rules), pcap: Some(source), ..arguments(&out) });
    assert!(result.is_ok() && text.contains("       1 replies in one-packet scheduling"), "{text}");
}

// Explanations.

#[test]
fn a_packet_is_explained_as_it_was_just_before_it() {
    let explain = |number| balance(&Arguments { explain: Some(number), ..arguments(&target("explain.pcap")) });
    let (opening, result) = explain(3);
    assert!(result.is_ok());
    assert!(opening.starts_with("Packet 3 at 0.000019s: as captured\n"), "{opening}");
    assert!(opening.contains("choice:  wlc chooses 10.0.0.103:8080\n"), "{opening}");
    let (reply, _) = explain(4);
    assert!(reply.starts_with("Packet 4 at 0.000032s: as 10.0.0.103:8080 would have sent it\n"), "{reply}");
    assert!(reply.contains("found:   a connection in SYN_RECV"), "{reply}");
    assert!(explain(1).0.starts_with("Packet 1 at 0.000000s: it is no IP packet"));
    assert!(explain(18).0.starts_with("Packet 18 at 0.020052s: a reply that its server sends past the director"));
    let (_, result) = explain(1737);
    let failure = result.unwrap_err();
    assert_eq!(failure.to_string(), "error: there is no packet 1737 to explain: the capture has 1736");
    assert_eq!(failure.exit_code(), 2);
}

#[test]
fn explaining_changes_nothing() {
    let (plain, explained) = (target("plain.pcap"), target("explained.pcap"));
    assert!(balance(&arguments(&plain)).1.is_ok());
    assert!(balance(&Arguments { explain: Some(700), ..arguments(&explained) }).1.is_ok());
    assert_eq!(fs::read(plain).unwrap(), fs::read(explained).unwrap());
}

// What goes wrong.

#[test]
fn a_wrong_rule_is_shown_with_a_mark_under_the_word() {
    let path = rules("wrong.rules", "# web\n-A -t 192.0.2.10:80 -s fastest\n");
    let (text, result) = balance(&Arguments { rules: Some(path.clone()), ..arguments(&target("wrong.pcap")) });
    let failure = result.unwrap_err();
    let expected = format!(
        "{}:2:24: `fastest`: no such scheduler\n    -A -t 192.0.2.10:80 -s fastest\n    {}^^^^^^^",
        path.display(),
        " ".repeat(23)
    );
    assert_eq!(failure.to_string(), expected);
    assert_eq!((failure.exit_code(), text.as_str()), (2, ""));
}

#[test]
fn a_rule_without_its_end_is_marked_behind_it() {
    let path = rules("short.rules", "-A -t 192.0.2.10:80 -s\n");
    let failure = balance(&Arguments { rules: Some(path), ..arguments(&target("short.pcap")) }).1.unwrap_err();
    let text = failure.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains(":1:23: the line ends; expected "), "{text}");
    assert_eq!(lines[2].len(), lines[1].len() + 1, "{text}");
}

#[test]
fn files_that_are_not_there_are_named() {
    let nowhere = target("nowhere").join("no.pcap");
    let capture = Arguments { pcap: Some(nowhere.clone()), ..arguments(&target("none.pcap")) };
    let rules = Arguments { rules: Some(nowhere.clone()), ..arguments(&target("none.pcap")) };
    for asked in [capture, rules] {
        let failure = balance(&asked).1.unwrap_err();
        assert_eq!(failure.exit_code(), 1);
        assert!(failure.to_string().starts_with(&format!("error: {}: ", nowhere.display())), "{failure}");
    }
}

#[test]
fn what_is_no_capture_is_refused() {
    let out = target("refused.pcap");
    let no_captures: [&[u8]; 4] = [b"", b"\xd4\xc3", b"-A -t 192.0.2.10:80 -s rr", &[0x0a, 0x0d, 0x0d, 0x0a, 0, 0]];
    for bytes in no_captures {
        let path = target("no-capture.pcap");
        fs::write(&path, bytes).unwrap();
        let failure = balance(&Arguments { pcap: Some(path), ..arguments(&out) }).1.unwrap_err();
        assert!(failure.to_string().contains("no-capture.pcap: not a capture: "), "{failure}");
    }
}

#[test]
fn another_link_type_is_refused_by_its_name() {
    let mut bytes = fs::read(captured("one-connection-raw.pcap")).unwrap();
    bytes[20] = 113;
    let path = target("cooked.pcap");
    fs::write(&path, bytes).unwrap();
    let failure = balance(&Arguments { pcap: Some(path), ..arguments(&target("refused-link.pcap")) }).1.unwrap_err();
    assert!(failure.to_string().contains("link type LINUX_SLL is not known here"), "{failure}");
}

#[test]
fn a_capture_that_breaks_off_is_balanced_up_to_there() {
    for (capture, length) in [("one-connection-raw.pcap", 700), ("one-connection.pcapng", 1000)] {
        let (path, out) = (target(&format!("cut-{capture}")), target(&format!("cut-out-{capture}")));
        fs::write(&path, &fs::read(captured(capture)).unwrap()[..length]).unwrap();
        let (text, result) = balance(&Arguments { pcap: Some(path), ..arguments(&out) });
        let failure = result.unwrap_err();
        assert_eq!(failure.exit_code(), 1);
        assert!(failure.to_string().contains(": broken behind packet 5: it ends too early"), "{failure}");
        assert!(text.contains("5 packets of") && text.contains("2 of 2 replies"), "{text}");
        assert_eq!(frames(&out).len(), 5);
    }
}

#[test]
fn no_file_of_bytes_makes_it_panic() {
    for capture in ["one-connection-raw.pcap", "one-connection.pcapng"] {
        let good = fs::read(captured(capture)).unwrap();
        for at in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            let (path, out) = (target(&format!("bad-{capture}")), target(&format!("bad-out-{capture}")));
            fs::write(&path, bad).unwrap();
            let _ = balance(&Arguments { pcap: Some(path), ..arguments(&out) });
        }
    }
}

#[test]
fn a_capture_is_not_overwritten_by_its_own_output() {
    let path = target("own.pcap");
    fs::copy(captured("one-connection-raw.pcap"), &path).unwrap();
    let failure = balance(&Arguments { pcap: Some(path.clone()), ..arguments(&path) }).1.unwrap_err();
    assert!(failure.to_string().contains("would overwrite the capture"), "{failure}");
    assert_eq!(fs::read(path).unwrap(), fs::read(captured("one-connection-raw.pcap")).unwrap());
}

// The program itself.

/// The program, which `cargo test` builds unless single tests are asked for.
fn program() -> Option<Command> {
    let tests = std::env::current_exe().ok()?;
    let path = tests.parent()?.parent()?.join("examples").join("balance");
    path.exists().then(|| Command::new(path))
}

#[test]
fn the_program_runs_without_arguments_and_ends_as_it_says() {
    let Some(mut program) = program() else {
        eprintln!("the program was not built: not run");
        return;
    };
    let output = program.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
    assert!(String::from_utf8_lossy(&output.stdout).contains("415 of 415 replies"));
    let wrong = rules("program.rules", "-Q\n");
    let status = |arguments: &[&str]| self::program().unwrap().args(arguments).output().unwrap().status.code();
    assert_eq!(status(&["--rules", wrong.to_str().unwrap()]), Some(2));
    assert_eq!(status(&["--pcap", "/nowhere.pcap"]), Some(1));
    assert_eq!(status(&["--burst", "0"]), Some(2));
    assert_eq!(status(&["--help"]), Some(0));
}
