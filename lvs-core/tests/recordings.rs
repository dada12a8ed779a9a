//! What a real kernel did, played against the library; and proof that the player would notice a difference.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use lvs_core::testkit::recording::{play, play_fragments};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")
}

fn read(path: &Path) -> String {
    let mut text = String::new();
    GzDecoder::new(File::open(path).expect("a recording")).read_to_string(&mut text).expect("text");
    text
}

/// Every recording of some families, by name.
fn recordings(families: &[&str]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = std::fs::read_dir(folder())
        .expect("the folder of recordings")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "gz"))
        .map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), path))
        .filter(|(name, _)| families.iter().any(|family| name.starts_with(family)))
        .map(|(name, path)| (name, read(&path)))
        .collect();
    found.sort();
    found
}

/// Plays families and says which steps differ.
fn differences(families: &[&str], at_least: usize) -> String {
    let recordings = recordings(families);
    assert!(recordings.len() >= at_least, "only {} recordings of {families:?}", recordings.len());
    let mut report = String::new();
    for (name, text) in recordings {
        let played = play(&text).expect("a readable recording");
        assert_eq!(played.steps, text.lines().count(), "{name}: every step was played");
        for difference in played.differences {
            report += &format!("{name}:\n{difference}\n");
        }
    }
    report
}

macro_rules! families {
    ($($test:ident: $families:expr, $count:literal;)+) => { $(
        #[test]
        fn $test() {
            let report = differences(&$families, $count);
            assert!(report.is_empty(), "{report}");
        }
    )+ };
}

families! {
    every_scheduler_picks_as_the_kernel_does: ["sched-"], 52;
    tcp_states_are_the_kernels: ["tcp-"], 13;
    timeouts_are_the_kernels: ["timeouts-"], 5;
    services_are_found_in_the_kernels_order: ["lookup-"], 10;
    packets_are_forwarded_byte_for_byte_as_the_kernel_does: ["forwarding-"], 29;
    persistence_is_the_kernels: ["persistence-"], 17;
    policies_are_the_kernels: ["policies-"], 33;
    sctp_states_are_the_kernels: ["sctp-"], 11;
    icmp_errors_find_their_connection: ["icmp-"], 20;
    counters_and_rates_are_the_kernels: ["statistics-"], 7;
    listings_are_ipvsadms_in_every_combination: ["listings-"], 8;
    synchronisation_masters_tell_what_the_kernel_tells: ["sync-master-"], 16;
    synchronisation_backups_take_what_the_kernel_takes: ["sync-backup-"], 20;
    a_kernels_backup_takes_what_our_master_tells: ["sync-ours-"], 15;
    ftp_data_finds_its_way: ["ftp-"], 45;
    fragments_put_together_by_the_host_are_the_kernels: ["fragments-"], 15;
    defences_act_as_the_kernels_do: ["defence-"], 5;
    errors_about_tunnels_become_errors_for_the_client: ["tunnel-errors-"], 17;
    calls_stay_with_their_server: ["sip-"], 15;
    packets_that_nobody_takes_go_past_all_servers: ["bypass-"], 16;
    ipsec_goes_where_its_key_exchange_goes: ["ipsec-"], 9;
    rules_and_listings_are_ipvsadms: ["control-"], 25;
}

/// Fragments that the director is given as they come: what leaves, put together, is the kernel's packet. The steps that
/// differ are those that `DIFFERENCES.md` is about.
#[test]
fn fragments_as_they_come_are_the_kernels_put_together() {
    let known: [(&str, &[usize]); 5] = [
        // Each part fits where all of them together do not: nothing is refused for their sum.
        ("fragments-mtu-001", &[9, 13, 17, 24]),
        // A UDP checksum that was absent stays so; a refused packet counts with its first part alone.
        ("fragments-nat-902", &[6, 8, 20]),
        // Later parts that come first; a duplicated first part counts again; overlapping ones go through.
        ("fragments-order-001", &[7, 20, 22, 31, 33]),
        // SCTP whose port changes.
        ("fragments-sctp-001", &[6, 12]),
        // Atomic fragments keep their header, and count with it.
        ("fragments-v6-nat-001", &[19]),
    ];
    // Generated ones have their parts in any order, which only a host can do with.
    let in_order = recordings(&["fragments-"]).into_iter().filter(|(name, _)| !name.starts_with("fragments-9"));
    for (name, text) in in_order {
        let played = play_fragments(&text).expect("a readable recording");
        let differing: Vec<usize> = played.differences.iter().map(|difference| difference.step).collect();
        let known = known.iter().find(|(known, _)| name.starts_with(known)).map_or(&[][..], |(_, steps)| steps);
        let report: Vec<String> = played.differences.iter().map(ToString::to_string).collect();
        assert_eq!(differing, known, "{name}:\n{}", report.join("\n"));
    }
}

/// A recording of plain NAT with packets both ways and listings: every kind of step that a change can be made to.
fn sample() -> Vec<Value> {
    let text = read(&folder().join("sched-wlc-001.jsonl.gz"));
    let steps: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(differing(&steps), 0, "the sample itself agrees");
    steps
}

fn differing(steps: &[Value]) -> usize {
    let text: Vec<String> = steps.iter().map(Value::to_string).collect();
    play(&text.join("\n")).expect("still a recording").differences.len()
}

/// Changes each step that a test picks out, one at a time, and makes sure that each change is noticed.
fn each_change_is_noticed(pick: impl Fn(&Value) -> bool, change: impl Fn(&mut Value)) {
    let steps = sample();
    let picked: Vec<usize> = (0..steps.len()).filter(|&n| pick(&steps[n])).collect();
    assert!(!picked.is_empty(), "the sample has such steps");
    for n in picked {
        let mut changed = steps.clone();
        change(&mut changed[n]);
        assert_ne!(changed[n], steps[n], "step {n} was changed");
        assert!(differing(&changed) > 0, "the change of step {n} goes unnoticed: {}", changed[n]);
    }
}

fn forwarded(step: &Value) -> bool {
    step["step"]["op"] == "tx" && step["out"].as_array().is_some_and(|out| out.len() == 1)
}

fn connection_listing(step: &Value) -> bool {
    step["step"]["file"] == "ip_vs_conn"
}

fn service_listing(step: &Value) -> bool {
    step["step"]["args"] == "-Ln"
}

fn edit(value: &mut Value, edit: impl Fn(&str) -> String) {
    *value = Value::String(edit(value.as_str().expect("a text")));
}

fn edit_lines(value: &mut Value, edit_lines: impl Fn(&mut Vec<String>)) {
    edit(value, |text| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        edit_lines(&mut lines);
        lines.join("\n") + "\n"
    });
}

#[test]
fn a_flipped_byte_in_what_the_kernel_sent_is_noticed() {
    each_change_is_noticed(forwarded, |step| {
        edit(&mut step["out"][0]["hex"], |hex| {
            // The window of TCP, or the last byte but one of a datagram: covered by no field that is masked.
            let at = hex.len() - 4;
            let digit = if &hex[at..=at] == "0" { "1" } else { "0" };
            format!("{}{digit}{}", &hex[..at], &hex[at + 1..])
        });
    });
}

#[test]
fn another_next_hop_is_noticed() {
    each_change_is_noticed(forwarded, |step| {
        edit(&mut step["out"][0]["dmac"], |mac| {
            let last = if mac.ends_with('a') { "b" } else { "a" };
            format!("{}{last}", &mac[..mac.len() - 1])
        });
    });
}

#[test]
fn a_packet_that_did_not_leave_is_noticed() {
    each_change_is_noticed(forwarded, |step| step["out"] = Value::Array(Vec::new()));
}

#[test]
fn a_packet_too_many_is_noticed() {
    each_change_is_noticed(forwarded, |step| {
        let copy = step["out"][0].clone();
        step["out"].as_array_mut().expect("frames").push(copy);
    });
}

#[test]
fn another_interface_is_noticed() {
    each_change_is_noticed(forwarded, |step| step["out"][0]["if"] = Value::String("other".into()));
}

#[test]
fn a_missing_connection_is_noticed() {
    each_change_is_noticed(connection_listing, |step| edit_lines(&mut step["stdout"], |lines| drop(lines.remove(1))));
}

#[test]
fn an_extra_connection_is_noticed() {
    each_change_is_noticed(connection_listing, |step| {
        edit_lines(&mut step["stdout"], |lines| lines.push(lines[1].clone()));
    });
}

#[test]
fn another_state_is_noticed() {
    each_change_is_noticed(connection_listing, |step| {
        edit_lines(&mut step["stdout"], |lines| {
            let state = lines[1].split_whitespace().nth(7).expect("a state").to_owned();
            lines[1] = lines[1].replace(&state, if state == "LISTEN" { "CLOSE" } else { "LISTEN" });
        });
    });
}

#[test]
fn an_expiry_off_by_two_seconds_is_noticed_and_one_by_one_second_is_not() {
    let shift = |by: i64| {
        move |step: &mut Value| {
            edit_lines(&mut step["stdout"], |lines| {
                let seconds = lines[1].split_whitespace().nth(8).expect("seconds").to_owned();
                let shifted = (seconds.parse::<i64>().expect("a number") + by).to_string();
                let at = lines[1].rfind(&seconds).expect("it is there");
                lines[1].replace_range(at..at + seconds.len(), &shifted);
            });
        }
    };
    each_change_is_noticed(connection_listing, shift(2));
    let mut steps = sample();
    let listing = steps.iter_mut().find(|step| connection_listing(step)).expect("a listing");
    shift(1)(listing);
    assert_eq!(differing(&steps), 0);
}

#[test]
fn another_weight_in_a_listing_is_noticed() {
    each_change_is_noticed(service_listing, |step| {
        edit_lines(&mut step["stdout"], |lines| {
            let server = lines.iter_mut().find(|line| line.contains("Masq")).expect("a server");
            *server = server.replacen("Masq    ", "Masq    9", 1);
        });
    });
}

#[test]
fn another_count_of_connections_is_noticed() {
    each_change_is_noticed(service_listing, |step| {
        edit_lines(&mut step["stdout"], |lines| {
            let server = lines.iter_mut().find(|line| line.contains("Masq")).expect("a server");
            let trimmed = server.trim_end().len();
            server.replace_range(trimmed - 1..trimmed, "7");
        });
    });
}

#[test]
fn another_exit_status_is_noticed() {
    each_change_is_noticed(|step| step["step"]["op"] == "ipvsadm", |step| step["rc"] = Value::from(255));
}

#[test]
fn a_reset_that_the_host_did_not_send_is_noticed() {
    let text = read(&folder().join("lookup-001.jsonl.gz"));
    let steps: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let resets: Vec<usize> = (0..steps.len())
        .filter(|&n| forwarded(&steps[n]) && steps[n]["out"][0]["if"] == steps[n]["step"]["if"])
        .collect();
    assert!(resets.len() > 10, "the host answered several packets");
    for n in resets {
        let mut changed = steps.clone();
        changed[n]["out"] = Value::Array(Vec::new());
        assert!(differing(&changed) > 0, "step {n}");
    }
}

#[test]
fn a_record_that_the_kernel_did_not_tell_is_noticed() {
    let text = read(&folder().join("sync-master-001.jsonl.gz"));
    let steps: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    // The last byte of a message is the server's address in its last record.
    let to_group = |frame: &Value| frame["dmac"] == "01005e000051";
    let told = |step: &Value| step["out"].as_array().is_some_and(|out| out.iter().any(to_group));
    let messages: Vec<usize> = (0..steps.len()).filter(|&n| told(&steps[n])).collect();
    assert!(messages.len() >= 3, "the kernel sent messages");
    for n in messages {
        let (mut flipped, mut lost) = (steps.clone(), steps.clone());
        let out = flipped[n]["out"].as_array_mut().expect("frames");
        let frame = out.iter_mut().find(|frame| to_group(frame)).expect("a message");
        edit(&mut frame["hex"], |hex| format!("{}ff", &hex[..hex.len() - 2]));
        lost[n]["out"].as_array_mut().expect("frames").retain(|frame| !to_group(frame));
        assert!(differing(&flipped) > 0 && differing(&lost) > 0, "step {n}");
    }
}

#[test]
fn a_text_that_is_no_recording_is_refused_with_its_line() {
    let error =
        play("{\"step\": {\"op\": \"sleep\", \"ms\": 1}, \"t_ms\": 0, \"out\": []}\nnonsense").expect_err("refused");
    assert_eq!(error.line, 2);
}
