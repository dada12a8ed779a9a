//! What was counted, as numbers and as text.

use core::ffi::c_char;

use lvs_core::{Counters, Director, DropReason, PassReason, Rates, ReasonCounts, ReplyReason};

use crate::lvs_status::{self, LVS_ERR_ARGUMENT, LVS_ERR_NOT_FOUND};
use crate::{director::number, lvs_director, ptr, status::boundary};

/// What is counted of a server, a service or the whole director. Bytes are those of IP packets.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct lvs_counters {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Packets to clients, of those that pass through the director.
    pub out_packets: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Bytes to clients.
    pub out_bytes: u64,
}

impl From<Counters> for lvs_counters {
    fn from(counters: Counters) -> Self {
        let Counters { connections, in_packets, out_packets, in_bytes, out_bytes } = counters;
        Self { connections, in_packets, out_packets, in_bytes, out_bytes }
    }
}

/// The same per second, as of the latest two-second tick.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct lvs_rates {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Packets to clients.
    pub out_packets: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Bytes to clients.
    pub out_bytes: u64,
}

impl From<Rates> for lvs_rates {
    fn from(rates: Rates) -> Self {
        Self {
            connections: rates.connections,
            in_packets: rates.in_packets,
            out_packets: rates.out_packets,
            in_bytes: rates.in_bytes,
            out_bytes: rates.out_bytes,
        }
    }
}

/// A director as a whole.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_stats {
    /// sizeof(lvs_stats), put there by the caller.
    pub size: u32,
    /// Connections and templates there are, those included whose deadline has come and that wait for
    /// lvs_director_advance.
    pub connections: u32,
    /// Room for so many.
    pub capacity: u32,
    /// 0.
    pub reserved: u32,
    /// Bytes of memory that connections and fragments take, reserved when the director was built.
    pub memory: u64,
    /// Events that found no room and were lost.
    pub missed_events: u64,
    /// Connections past their deadline that went so that others had room in a full table.
    pub evicted_expired: u64,
    /// Half-open ones that did.
    pub evicted_half_open: u64,
    /// UDP flows of one packet that did.
    pub evicted_single: u64,
    /// First parts of fragmented packets that did.
    pub evicted_fragments: u64,
    /// Connections that the defence drop_entry has ended.
    pub dropped_entries: u64,
    /// Counters, as of the latest two-second tick.
    pub counters: lvs_counters,
    /// Rates.
    pub rates: lvs_rates,
}

impl ptr::Growing for lvs_stats {}

impl From<&Director> for lvs_stats {
    fn from(director: &Director) -> Self {
        let evictions = director.evictions();
        Self {
            size: 0,
            connections: number(director.connection_count()),
            capacity: number(director.capacity()),
            reserved: 0,
            memory: director.memory() as u64,
            missed_events: director.missed_events(),
            evicted_expired: evictions.expired,
            evicted_half_open: evictions.half_open,
            evicted_single: evictions.single,
            evicted_fragments: director.evicted_fragments(),
            dropped_entries: director.dropped_entries(),
            counters: director.counters().into(),
            rates: director.rates().into(),
        }
    }
}

/// Writes what there is to know of the director as a whole; put the size into *out first. One thread at a time per
/// handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_stats(director: *const lvs_director, out: *mut lvs_stats) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out) = unsafe { (lvs_director::borrow(director)?, ptr::sized_out(out)?) };
        out.write(lvs_stats::from(&*handle.director));
        Ok(())
    })
}

/// Writes how many packets got a verdict for a reason: LVS_FORWARD with 0, LVS_PASS with LVS_PASS_*, LVS_REPLY with
/// LVS_REPLY_*, LVS_DROP with LVS_DROP_*. LVS_ERR_ARGUMENT for other numbers. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_count(
    director: *const lvs_director,
    verdict: u32,
    reason: u32,
    out: *mut u64,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out) = unsafe { (lvs_director::borrow(director)?, ptr::output(out)?) };
        out.write(count_of(handle.director.reasons(), verdict, reason)?);
        Ok(())
    })
}

/// The count of a verdict and a reason, if there are such.
pub(crate) fn count_of(counts: &ReasonCounts, verdict: u32, reason: u32) -> Result<u64, lvs_status> {
    fn find<T: Copy>(all: &[T], is: impl Fn(T) -> bool) -> Result<T, lvs_status> {
        all.iter().copied().find(|&one| is(one)).ok_or(LVS_ERR_ARGUMENT)
    }
    Ok(match (verdict, reason) {
        (0, _) => counts.passed(find(PassReason::ALL, |one| one as u32 == reason)?),
        (1, 0) => counts.forwarded(),
        (2, _) => counts.replied(find(ReplyReason::ALL, |one| one as u32 == reason)?),
        (3, _) => counts.dropped(find(DropReason::ALL, |one| one as u32 == reason)?),
        _ => return Err(LVS_ERR_ARGUMENT),
    })
}

/// Writes all counts in the text format of Prometheus; needed is as for lvs_director_run. One thread at a time per
/// handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_metrics(
    director: *const lvs_director,
    out: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, out, needed) =
            unsafe { (lvs_director::borrow(director)?, ptr::array_out(out.cast(), capacity)?, ptr::wanted(needed)?) };
        ptr::put_text(&handle.director.metrics(), out, needed)
    })
}

/// Writes what the kernel shows in a file of /proc/net: ip_vs, ip_vs_conn, ip_vs_conn_sync, ip_vs_stats or ip_vs_app;
/// needed is as for lvs_director_run. LVS_ERR_NOT_FOUND for other names. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_proc_file(
    director: *const lvs_director,
    name: *const c_char,
    name_length: usize,
    out: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (handle, name, out, needed) = unsafe {
            (
                lvs_director::borrow(director)?,
                ptr::text(name, name_length)?,
                ptr::array_out(out.cast(), capacity)?,
                ptr::wanted(needed)?,
            )
        };
        ptr::put_text(&handle.director.proc_file(name).ok_or(LVS_ERR_NOT_FOUND)?, out, needed)
    })
}
