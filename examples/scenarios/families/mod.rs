//! What scenarios can be about, a file for each family.

mod bypass;
mod defence;
mod forwarding;
mod fragments;
mod ftp;
mod icmp;
mod ipsec;
mod lookup;
mod persistence;
mod policies;
mod rules;
mod sched;
mod sctp;
mod sip;
mod statistics;
mod sync_backup;
mod sync_master;
mod sync_ours;
mod tcp;
mod timeouts;
mod tunnel_errors;

use super::script::Script;

/// A family: its name, and what writes a scenario.
type Family = (&'static str, fn(&mut Script));

/// All of them.
pub(crate) const FAMILIES: &[Family] = &[
    ("sched-rr", |script| sched::write(script, "rr")),
    ("sched-wrr", |script| sched::write(script, "wrr")),
    ("sched-lc", |script| sched::write(script, "lc")),
    ("sched-wlc", |script| sched::write(script, "wlc")),
    ("sched-sed", |script| sched::write(script, "sed")),
    ("sched-nq", |script| sched::write(script, "nq")),
    ("sched-fo", |script| sched::write(script, "fo")),
    ("sched-ovf", |script| sched::write(script, "ovf")),
    ("sched-dh", |script| sched::write(script, "dh")),
    ("sched-sh", |script| sched::write(script, "sh")),
    ("sched-mh", |script| sched::write(script, "mh")),
    ("sched-lblc", |script| sched::write(script, "lblc")),
    ("sched-lblcr", |script| sched::write(script, "lblcr")),
    ("tcp", tcp::write),
    ("timeouts", timeouts::write),
    ("lookup", lookup::write),
    ("forwarding", forwarding::write),
    ("persistence", persistence::write),
    ("policies", policies::write),
    ("sctp", sctp::write),
    ("icmp", icmp::write),
    ("control", rules::write),
    ("statistics", statistics::write),
    ("listings", statistics::write_listings),
    ("ftp", ftp::write),
    ("sip", sip::write),
    ("sync-master", sync_master::write),
    ("sync-backup", sync_backup::write),
    ("sync-ours", |script| sync_ours::write(script, sync_ours::Told::Connections)),
    ("sync-ours-sip", |script| sync_ours::write(script, sync_ours::Told::Calls)),
    ("sync-ours-ftp", |script| sync_ours::write(script, sync_ours::Told::Transfers)),
    ("fragments", fragments::write),
    ("tunnel-errors", tunnel_errors::write),
    ("defence", defence::write),
    ("ipsec", ipsec::write),
    ("bypass", bypass::write),
];
