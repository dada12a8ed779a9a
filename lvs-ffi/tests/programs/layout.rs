//! Sizes and offsets of every record, as both languages see them: `tests/layout.txt` has them, `LVS_BLESS=1` writes it
//! anew.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::mem::{align_of, offset_of, size_of};
use std::process::Command;

use lvs::*;

use crate::build::{STRICT, compiler, run, scratch, sources};

/// Rows of a record: itself with its size and alignment, then each field with its offset and size.
macro_rules! rows {
    ($($record:ident { $($field:ident),+ $(,)? })+) => {{
        fn size_of_field<R, F>(_: impl Fn(&R) -> &F) -> usize {
            size_of::<F>()
        }
        let mut rows = String::new();
        $(
            writeln!(rows, "{} {} {}", stringify!($record), size_of::<$record>(), align_of::<$record>()).expect("memory");
            $(
                let size = size_of_field(|record: &$record| &record.$field);
                let (name, offset) = (stringify!($field), offset_of!($record, $field));
                writeln!(rows, "{}.{name} {offset} {size}", stringify!($record)).expect("memory");
            )+
        )+
        rows
    }};
}

fn rows() -> String {
    rows! {
        lvs_address { family, reserved, port, bytes }
        lvs_service_id { index, generation }
        lvs_server_id { index, generation }
        lvs_connection_id { index, generation }
        lvs_path { mtu, unreachable, reserved, tunnel_source_v4, tunnel_source_v6 }
        lvs_config {
            size, connections, seed, events, fragments, engine_templates, kernel, admission, reserved, path,
        }
        lvs_applied {
            size, services_added, services_changed, services_removed, services_unchanged,
            servers_added, servers_changed, servers_removed, servers_unchanged,
        }
        lvs_packet { base, capacity, offset, length, mark, flags, reserved }
        lvs_result {
            verdict, reason, direction, method, offset, length, next_hop_family, next_hop, server, connection,
        }
        lvs_counters { connections, in_packets, out_packets, in_bytes, out_bytes }
        lvs_rates { connections, in_packets, out_packets, in_bytes, out_bytes }
        lvs_stats {
            size, connections, capacity, reserved, memory, missed_events, evicted_expired, evicted_half_open,
            evicted_single, evicted_fragments, dropped_entries, counters, rates,
        }
        lvs_service {
            size, mark, address, flags, persistence, netmask_v4, netmask_v6, protocol, reserved, scheduler, engine,
        }
        lvs_service_info { size, servers, id, counters, rates }
        lvs_service_options { size, flags, slow_start_ms, slow_start_percent, timeouts }
        lvs_server {
            size, weight, address, method, tunnel, tunnel_checksum, reserved, tunnel_port, reserved2, upper, lower,
        }
        lvs_server_info {
            size, state, id, deadline_ns, active, inactive, persistent, reserved, counters, rates,
        }
        lvs_drain { size, flags, deadline_ns, rest, reserved }
        lvs_connection {
            size, protocol, flags, reserved, id, server_id, client, target, server, reserved2, expires_ns, timeout_ns,
            state,
        }
        lvs_filter { size, protocol, prefix, reserved, server, service, client, state }
        lvs_event {
            kind, gone, protocol, flags, count, server_id, connection, client, target, server, reserved,
        }
        lvs_timeouts { size, udp_ms, tcp_ms, sctp_ms }
        lvs_daemon { size, role, group, max_length, sync_id, ttl, interface }
        lvs_sync_message { length, group, ttl, reserved }
        lvs_sync_received { created, updated, skipped, refused }
        lvs_sync_counts {
            size, reserved, records_queued, messages_sent, records_sent, records_dropped, records_abandoned,
            messages_received, created, updated, ignored,
        }
        lvs_new_flow { now_ns, client, target, protocol, reserved }
        lvs_candidate {
            id, address, weight, last_weight, active, connections, overhead, overloaded, eligible, reserved,
        }
        lvs_scheduler { size, weights, pick, changed, next_tick, tick, fork, release, user }
        lvs_change { size, mark, service, server, kind, protocol, reserved }
        lvs_wanted { service, servers, server_count }
    }
}

fn committed() -> String {
    let path = sources().join("tests/layout.txt");
    if std::env::var_os("LVS_BLESS").is_some() {
        fs::write(&path, rows()).expect("it can be written");
    }
    fs::read_to_string(path).expect("it is there")
}

/// On machines with pointers of eight bytes: on others some rows are others.
#[test]
#[cfg(target_pointer_width = "64")]
fn records_lie_in_memory_as_they_always_did() {
    assert_eq!(rows(), committed(), "LVS_BLESS=1 accepts it, and the ABI number changes with it");
}

#[test]
#[cfg(target_pointer_width = "64")]
fn c_sees_the_same_layout() {
    let mut program = String::from("#include <lvs.h>\n#include <stdalign.h>\n");
    for row in committed().lines() {
        let words: Vec<&str> = row.split(' ').collect();
        let [name, first, second] = words[..] else { panic!("three words: {row}") };
        let (a, b) = match name.split_once('.') {
            None => (format!("sizeof({name})"), format!("alignof({name})")),
            Some((record, field)) => {
                (format!("offsetof({record}, {field})"), format!("sizeof((({record} *)0)->{field})"))
            }
        };
        writeln!(program, "_Static_assert({a} == {first} && {b} == {second}, \"{name}\");").expect("memory");
    }
    let Some(compiler) = compiler("CC", "cc") else { return };
    let source = scratch("layout").join("layout.c");
    fs::write(&source, program).expect("the folder is there");
    let mut command = Command::new(compiler);
    command.args(["-std=c11", "-fsyntax-only"]).args(STRICT).arg("-I").arg(sources().join("../include")).arg(source);
    run(&mut command).unwrap_or_else(|complaint| panic!("{complaint}"));
}

#[test]
fn every_field_of_every_record_has_its_row() {
    let header = fs::read_to_string(sources().join("../include/lvs.h")).expect("it is committed");
    let mut fields = BTreeSet::new();
    for part in header.split("\ntypedef struct ").skip(1) {
        let Some((record, body)) = part.split_once(" {\n") else { continue };
        let Some((body, _)) = body.split_once("\n} ").filter(|_| !record.contains(';')) else { continue };
        fields.insert(String::from(record));
        for line in body.lines().map(str::trim).filter(|line| line.ends_with(';')) {
            let name = match line.split_once("(*") {
                Some((_, function)) => function.split(')').next(),
                None => {
                    line.trim_end_matches(';').split('[').next().and_then(|line| line.split([' ', '*']).next_back())
                }
            };
            fields.insert(format!("{record}.{}", name.expect("a field has a name")));
        }
    }
    let rows: BTreeSet<String> = rows().lines().filter_map(|row| Some(String::from(row.split_once(' ')?.0))).collect();
    assert_eq!(fields, rows);
}
