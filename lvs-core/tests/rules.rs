//! What `parse_line` makes of `ipvsadm` lines: tables of lines that the real one was asked, and generated nonsense.

use core::net::SocketAddr;
use core::time::Duration;

use lvs_core::{
    Columns, Command, Content, DaemonRole, DaemonSpec, Family, GueChecksum, Listing, Netmask, Protocol, SchedulerFlags,
    ServerSpec, ServiceKey, ServiceSpec, Tunnel, parse_line, parse_rules,
};
use proptest::prelude::*;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn tcp(text: &str) -> ServiceKey {
    ServiceKey::address(Protocol::Tcp, at(text))
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn reads_as(table: &[(&str, Command)]) {
    for (line, command) in table {
        assert_eq!(parse_line(line).as_ref(), Ok(command), "{line}");
        assert_eq!(parse_line(&format!("ipvsadm {line}")).as_ref(), Ok(command), "{line}");
    }
}

/// Each line is refused at this column for this word; no word stands for the end of the line.
fn refused(table: &[(&str, u32, &str)]) {
    for &(line, column, word) in table {
        match parse_line(line) {
            Err(error) => assert_eq!((error.column, error.word.as_str()), (column, word), "{line}: {error}"),
            Ok(command) => panic!("{line} was read as {command:?}"),
        }
    }
}

#[test]
fn services_are_read_with_their_defaults() {
    let web = ServiceSpec::tcp(at("192.0.2.10:80"));
    let masked = |mask| ServiceSpec { netmask: Some(mask), ..web.clone().persistent(seconds(300)) };
    reads_as(&[
        ("-A -t 192.0.2.10:80", Command::AddService(web.clone())),
        ("--add-service --tcp-service=192.0.2.10:80 --scheduler=", Command::AddService(web.clone())),
        ("-At 192.0.2.10:80 -s ''", Command::AddService(web.clone())),
        ("-E -t 192.0.2.10:80 -s none --sort", Command::EditService(web.clone().scheduler("none"))),
        ("-A -t 192.0.2.10:80 -srr -p60", Command::AddService(web.clone().scheduler("rr").persistent(seconds(60)))),
        ("-A -t 192.0.2.10:80 -p", Command::AddService(web.clone().persistent(seconds(360)))),
        ("-A -t 192.0.2.10:80 -p --", Command::AddService(web.clone().persistent(seconds(360)))),
        ("-A -p -t 192.0.2.10:80", Command::AddService(web.clone().persistent(seconds(360)))),
        ("-A -t 192.0.2.10:80 -p ' +0060'", Command::AddService(web.clone().persistent(seconds(60)))),
        (
            "-A -t 192.0.2.10 -p 2678400",
            Command::AddService(ServiceSpec::tcp(at("192.0.2.10:0")).persistent(seconds(2_678_400))),
        ),
        (
            "-A -t 192.0.2.10:80 -p 300 -M 255.255.255.0",
            Command::AddService(masked(Netmask::V4([255, 255, 255, 0].into()))),
        ),
        ("-A -M 24 -t 192.0.2.10:80 -p 300", Command::AddService(masked(Netmask::V4([0, 0, 0, 24].into())))),
        ("-A -u 192.0.2.10:53 -o", Command::AddService(ServiceSpec::udp(at("192.0.2.10:53")).one_packet())),
        ("-A -t 2001:db8::1 -p 9", Command::AddService(ServiceSpec::tcp(at("[2001:db8::1]:0")).persistent(seconds(9)))),
        ("-A -f 4294967295 -o", Command::AddService(ServiceSpec::mark(u32::MAX, Family::V4).one_packet())),
        ("-A -f 4 -6 -s ovf", Command::AddService(ServiceSpec::mark(4, Family::V6).scheduler("ovf"))),
        (
            "-D --sctp-service 192.0.2.10:3868",
            Command::RemoveService(ServiceKey::address(Protocol::Sctp, at("192.0.2.10:3868"))),
        ),
        ("-D -t 192.0.2.10", Command::RemoveService(tcp("192.0.2.10:0"))),
        ("-D -t 192.0.2:80", Command::RemoveService(tcp("192.0.0.2:80"))),
        ("-D -t 0xc000020a:80", Command::RemoveService(tcp("192.0.2.10:80"))),
        ("-Z", Command::Zero(None)),
        ("-Z -f 3", Command::Zero(Some(ServiceKey::mark(3, Family::V4)))),
    ]);
}

#[test]
fn scheduler_flags_and_engines_belong_to_a_service() {
    let hashed = ServiceSpec::tcp(at("192.0.2.10:80")).scheduler("sh");
    let both = SchedulerFlags::FALLBACK.with(SchedulerFlags::PORT);
    let sip = ServiceSpec { engine: Some("sip".into()), ..hashed.clone() };
    reads_as(&[
        ("-A -t 192.0.2.10:80 -s sh -b sh-fallback,sh-port", Command::AddService(hashed.clone().flags(both))),
        ("-A -t 192.0.2.10:80 -b flag-1,,flag-2,flag-1 -s sh", Command::AddService(hashed.clone().flags(both))),
        ("-A -t 192.0.2.10:80 -s sh --pe sip", Command::AddService(sip)),
    ]);
    refused(&[
        ("-A -t 192.0.2.10:80 -s sed -b sh-port", 31, "sh-port"),
        ("-A -t 192.0.2.10:80 -b sh-port", 24, "sh-port"),
        ("-A -t 192.0.2.10:80 -s sh -b sh-port,mh-port", 38, "mh-port"),
        ("-A -t 192.0.2.10:80 -s sh -b port", 30, "port"),
    ]);
}

#[test]
fn the_port_of_a_server_depends_on_the_method() {
    let web = tcp("192.0.2.10:80");
    let marked = ServiceKey::mark(3, Family::V4);
    let add = |key, server| Command::AddServer(key, server);
    reads_as(&[
        ("-a -t 192.0.2.10:80 -r 10.0.0.1", add(web, ServerSpec::dr(at("10.0.0.1:80")))),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1:8080", add(web, ServerSpec::dr(at("10.0.0.1:80")))),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1:8080 -g", add(web, ServerSpec::dr(at("10.0.0.1:80")))),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1:8080 -i", add(web, ServerSpec::tun(at("10.0.0.1:80")))),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1:8080 -m", add(web, ServerSpec::nat(at("10.0.0.1:8080")))),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1:0 -m", add(web, ServerSpec::nat(at("10.0.0.1:0")))),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1 -m", add(web, ServerSpec::nat(at("10.0.0.1:80")))),
        ("-a -f 3 -r 10.0.0.1", add(marked, ServerSpec::dr(at("10.0.0.1:0")))),
        ("-a -f 3 -r 10.0.0.1:8080", add(marked, ServerSpec::dr(at("10.0.0.1:8080")))),
        ("-d -t 192.0.2.10:80 -r 10.0.0.1", Command::RemoveServer(web, at("10.0.0.1:80"))),
        ("-d -t 192.0.2.10:80 -r 10.0.0.1:8080", Command::RemoveServer(web, at("10.0.0.1:8080"))),
        ("-d -t 192.0.2.10:80 -r [fd00::66]:8080", Command::RemoveServer(web, at("[fd00::66]:8080"))),
        ("-d -f 3 -r 10.0.0.1", Command::RemoveServer(marked, at("10.0.0.1:0"))),
    ]);
}

#[test]
fn servers_have_weights_thresholds_and_tunnels() {
    let web = tcp("192.0.2.10:80");
    let other = ServerSpec::tun(at("[fd00::66]:80"));
    let gue = |checksum| other.tunnel(Tunnel::Gue { port: 6080, checksum });
    let add = |server| Command::AddServer(web, server);
    reads_as(&[
        (
            "-e -t 192.0.2.10:80 -r 10.0.0.1 -w 2147483647 -x 7 -y 9",
            Command::EditServer(web, ServerSpec::dr(at("10.0.0.1:80")).weight(2_147_483_647).thresholds(7, 9)),
        ),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1 -mw0", add(ServerSpec::nat(at("10.0.0.1:80")).weight(0))),
        ("-a -t 192.0.2.10:80 -r fd00::66 -i", add(other)),
        ("-a -t 192.0.2.10:80 -r fd00::66 -i --tun-type ipip", add(other)),
        ("-a -t 192.0.2.10:80 -r fd00::66 --tun-type gre -i", add(other.tunnel(Tunnel::Gre { checksum: false }))),
        (
            "-a -t 192.0.2.10:80 -r fd00::66 -i --tun-type gre --tun-csum",
            add(other.tunnel(Tunnel::Gre { checksum: true })),
        ),
        ("-a -t 192.0.2.10:80 -r fd00::66 -i --tun-type gue --tun-port 6080", add(gue(GueChecksum::None))),
        (
            "-a -t 192.0.2.10:80 -r fd00::66 -i --tun-remcsum --tun-port=6080 --tun-type=gue",
            add(gue(GueChecksum::Remcsum)),
        ),
    ]);
    refused(&[
        ("-a -t 192.0.2.10:80 -r [fd00::66]:80 -m -w 0", 24, "[fd00::66]:80"),
        ("-a -f 4 -6 -r 10.0.0.101", 15, "10.0.0.101"),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1 --tun-type ipip", 33, "--tun-type"),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1 -i --tun-type vxlan", 47, "vxlan"),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1 -i --tun-type gue", 50, ""),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1 -i --tun-port 6080", 36, "--tun-port"),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1 -i --tun-type gre --tun-remcsum", 51, "--tun-remcsum"),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1 -i --tun-type gue --tun-port 0", 62, "0"),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1 -i --tun-type gue --tun-port 1 --tun-csum --tun-nocsum", 75, "--tun-nocsum"),
    ]);
}

#[test]
fn listings_say_what_and_how() {
    let whole = Listing::default();
    let one = |key| Listing { service: Some(key), ..whole };
    let columns = |columns| Listing { columns, ..whole };
    let content = |content| Listing { content, ..whole };
    let engines = Listing { columns: Columns::Persistent, engine_columns: true, ..content(Content::Connections) };
    reads_as(&[
        ("", Command::List(whole)),
        ("-L", Command::List(whole)),
        ("-ln", Command::List(whole)),
        ("--list --numeric --syncid 7", Command::List(whole)),
        ("-Ln -f 4 -6", Command::List(one(ServiceKey::mark(4, Family::V6)))),
        ("-Ln --stats --exact", Command::List(Listing { exact: true, ..columns(Columns::Stats) })),
        ("-Ln --thresholds --rate --stats", Command::List(columns(Columns::Stats))),
        ("-Ln --persistent-conn --thresholds", Command::List(columns(Columns::Thresholds))),
        ("-Ln --rate --nosort", Command::List(Listing { unsorted: true, ..columns(Columns::Rate) })),
        ("-Ln --tun-info", Command::List(columns(Columns::Tunnel))),
        ("-Lnc", Command::List(content(Content::Connections))),
        ("-Lnc --persistent-conn", Command::List(engines)),
        ("-L --timeout", Command::List(content(Content::Timeouts))),
        ("-L --daemon", Command::List(content(Content::Daemons))),
    ]);
    refused(&[
        ("-Lc --stats", 5, "--stats"),
        ("-L --rate -c", 11, "-c"),
        ("-L --timeout --daemon", 14, "--daemon"),
        ("-L -t 192.0.2.10:80 -c", 21, "-c"),
        ("-L -t 192.0.2.10:80 -u 192.0.2.10:53", 21, "-u"),
    ]);
}

#[test]
fn timeouts_and_daemons_are_read() {
    let master = DaemonSpec {
        role: DaemonRole::Master,
        interface: "eth0".into(),
        sync_id: 0,
        max_len: None,
        group: None,
        port: None,
        ttl: None,
    };
    let full = DaemonSpec {
        role: DaemonRole::Backup,
        interface: "cl0".into(),
        sync_id: 255,
        max_len: Some(65_507),
        group: Some([224, 0, 0, 81].into()),
        port: Some(8848),
        ttl: Some(1),
    };
    reads_as(&[
        ("--set 500 45 0", Command::SetTimeouts { tcp: seconds(500), tcp_fin: seconds(45), udp: Duration::ZERO }),
        ("--start-daemon master", Command::StartDaemon(master)),
        (
            "--start-daemon backup --mcast-interface cl0 --syncid 255 --sync-maxlen 65507 --mcast-group 224.0.0.81 \
             --mcast-port 8848 --mcast-ttl 1",
            Command::StartDaemon(full),
        ),
        ("--stop-daemon backup --syncid 1", Command::StopDaemon(DaemonRole::Backup)),
    ]);
    refused(&[
        ("--set 500 45", 13, ""),
        ("--set 500 45 90 1", 17, "1"),
        ("--set 500 -45 90", 11, "-45"),
        ("--set 500 45 2678401", 14, "2678401"),
        ("--start-daemon", 15, ""),
        ("--start-daemon slave", 16, "slave"),
        ("--start-daemon master --syncid 256", 32, "256"),
        ("--start-daemon master --sync-maxlen 0", 37, "0"),
        ("--start-daemon master --mcast-ttl 256", 35, "256"),
        ("--stop-daemon master --mcast-ttl 1", 22, "--mcast-ttl"),
    ]);
}

#[test]
fn commands_without_options_take_none() {
    reads_as(&[
        ("-C", Command::Clear),
        ("--restore", Command::Restore),
        ("-S -n", Command::Save),
        ("-h -Q whatever", Command::Help),
        ("-vQ", Command::Version),
    ]);
    refused(&[
        ("-C -t 1.1.1.1:1", 4, "-t"),
        ("-C now", 4, "now"),
        ("-C -C", 4, "-C"),
        ("-Cn", 1, "-Cn"),
        ("-S -t 192.0.2.10:80", 4, "-t"),
    ]);
}

#[test]
fn options_are_known_and_complete() {
    refused(&[
        ("-Q", 1, "-Q"),
        ("-t 192.0.2.10:80 -A", 1, "-t"),
        ("now -L", 1, "now"),
        ("--", 1, "--"),
        ("-A", 3, ""),
        ("-A -t", 6, ""),
        ("-A -t ", 7, ""),
        ("-A --tcp 192.0.2.10:80", 4, "--tcp"),
        ("-A -t 192.0.2.10:80 --ops=yes", 21, "--ops=yes"),
        ("-A -t 192.0.2.10:80 -w 1", 21, "-w"),
        ("-A -t 192.0.2.10:80 -s rr -s rr", 27, "-s"),
        ("-A -t 192.0.2.10:80 -u 192.0.2.10:53", 21, "-u"),
        ("-A -6 -f 4", 4, "-6"),
        ("-A -t [2001:db8::1]:80 -6", 24, "-6"),
        ("-a -t 192.0.2.10:80", 20, ""),
        ("-a -r 10.0.0.1", 15, ""),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1 -g -m", 36, "-m"),
        ("-d -t 192.0.2.10:80 -r 10.0.0.1 -m", 33, "-m"),
        ("-D -t 192.0.2.10:80 -- -s", 24, "-s"),
        ("-A -t 192.0.2.10:80 -s 'rr", 24, "'rr"),
    ]);
}

#[test]
fn values_are_within_their_limits() {
    refused(&[
        ("-A -t 192.0.2.10:0 -s fo", 7, "192.0.2.10:0"),
        ("-E -t 192.0.2.10", 7, "192.0.2.10"),
        ("-A -t 192.0.2.10:80 -s mh -o", 27, "-o"),
        ("-A -t 192.0.2.10:65536", 7, "192.0.2.10:65536"),
        ("-A -t 192.0.2.10:http", 7, "192.0.2.10:http"),
        ("-A -t [192.0.2.10]:80", 7, "[192.0.2.10]:80"),
        ("-A -t www:80", 7, "www:80"),
        ("-a -t [2001:db8::1]:80 -r [fd00::65] -i", 27, "[fd00::65]"),
        ("-A -f 0", 7, "0"),
        ("-A -f 4294967296", 7, "4294967296"),
        ("-A -f 0x10", 7, "0x10"),
        ("-A -t 192.0.2.10:80 -p 0", 24, "0"),
        ("-A -t 192.0.2.10:80 -p2678401", 23, "2678401"),
        ("-A -t 192.0.2.10:80 -p -5", 24, "-5"),
        ("-A -t 192.0.2.10:80 -p 300 -M 255.255.0.256", 31, "255.255.0.256"),
        ("-A -t [2001:db8::1]:80 -p 300 -M 255.255.0.0", 34, "255.255.0.0"),
        ("-A -t [2001:db8::1]:80 -p 300 -M 129", 34, "129"),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1 -w 2147483648", 36, "2147483648"),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1 -w -1", 36, "-1"),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1 --weight=heavy", 42, "heavy"),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1 --weight=", 33, "--weight="),
        ("-a -t 192.0.2.10:80 -r 10.0.0.1 -x 1k", 36, "1k"),
        ("-L --syncid 256", 13, "256"),
    ]);
}

#[test]
fn a_text_is_read_line_by_line() {
    let rules = parse_rules("# web\r\n\r\n  -C\r\nipvsadm -Z\n\t# done\n").unwrap();
    assert_eq!(rules, [(3, Command::Clear), (4, Command::Zero(None))]);
    let error = parse_rules("-C\n\n-A -t\r\n-Q\n").unwrap_err();
    assert_eq!((error.line, error.column, error.word.as_str()), (3, 6, ""));
}

/// A column points at a word of the line, or one past its end.
fn points_into(line: &str) -> Result<(), TestCaseError> {
    let Err(error) = parse_line(line) else { return Ok(()) };
    let length = u32::try_from(line.chars().count()).unwrap();
    prop_assert!((1..=length + 1).contains(&error.column), "{} in {:?}", error, line);
    if !line.contains(['\'', '"']) {
        let rest: String = line.chars().skip(error.column as usize - 1).collect();
        prop_assert!(rest.starts_with(&error.word), "{} in {:?}", error, line);
    }
    Ok(())
}

/// Words that make lines which are nearly right.
const WORDS: [&str; 64] = [
    "-A",
    "-E",
    "-D",
    "-a",
    "-e",
    "-d",
    "-L",
    "-Ln",
    "-Z",
    "-S",
    "-C",
    "--set",
    "--start-daemon",
    "--stop-daemon",
    "-t",
    "-u",
    "--sctp-service",
    "-f",
    "-6",
    "-s",
    "-srr",
    "-p",
    "-p60",
    "-M",
    "--pe",
    "-o",
    "-b",
    "-r",
    "-g",
    "-m",
    "-i",
    "-w",
    "-x",
    "-y",
    "--tun-type",
    "--tun-port",
    "--tun-csum",
    "--tun-remcsum",
    "--syncid",
    "-c",
    "--stats",
    "--sort",
    "--exact",
    "--",
    "rr",
    "wlc",
    "none",
    "sip",
    "192.0.2.10:80",
    "192.0.2.10",
    "[fd00::1]:80",
    "fd00::1",
    "0",
    "1",
    "64",
    "-1",
    "2147483648",
    "255.255.255.0",
    "master",
    "gue",
    "gre",
    "sh-port,flag-3",
    "é",
    "--weight=é",
];

proptest! {
    #[test]
    fn any_text_is_read_or_refused_in_place(line in any::<String>()) {
        points_into(&line)?;
        let _ = parse_rules(&line);
    }

    #[test]
    fn any_mix_of_options_is_read_or_refused_in_place(
        words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..12),
        blanks in " {0,2}",
    ) {
        points_into(&format!("{blanks}{}{blanks}", words.join(" ")))?;
    }

    #[test]
    fn any_mix_of_letters_is_read_or_refused_in_place(line in "-[A-Za-z0-9=]{0,6}( {1,2}[-A-Za-z0-9:.,'\"\\[\\]=]{1,8}){0,6}") {
        points_into(&line)?;
    }
}
