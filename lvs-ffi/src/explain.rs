//! Where a packet would go, and why.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use lvs_core::{Explanation, Instant, Meta, Packet};

use crate::lvs_status;
use crate::packet::{check, meta_of, open, put_result};
use crate::{
    LVS_VERDICT_UNKNOWN, lvs_connection_id, lvs_director, lvs_packet, lvs_result, lvs_server_id, ptr, status::boundary,
};

/// Says in a few lines what lvs_director_process would do with a packet and why, and changes nothing, the packet
/// included. needed is as for lvs_director_run.
///
/// result, if not NULL, is written on LVS_OK and on LVS_ERR_SPACE: the result to expect, but that offset and length are
/// those of the packet. Its verdict is LVS_VERDICT_UNKNOWN if the service's scheduler cannot be asked without being
/// changed. A wrong record is refused as by lvs_director_process. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_explain(
    director: *const lvs_director,
    now_ns: u64,
    packet: *const lvs_packet,
    result: *mut lvs_result,
    out: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null; the packet's buffer as well.
        let (handle, given, packet, result, out, needed) = unsafe {
            let handle = lvs_director::borrow(director)?;
            let given = ptr::one(packet)?;
            check(given)?;
            (
                handle,
                given,
                open(given),
                ptr::wanted(result)?,
                ptr::array_out(out.cast(), capacity)?,
                ptr::wanted(needed)?,
            )
        };
        let explanation = explained(given, &packet, result, |packet, meta| {
            handle.director.explain(Instant::from_nanos(now_ns), packet, meta)
        });
        ptr::put_text(&explanation.to_string(), out, needed)
    })
}

/// Asks a director about a packet, and writes the result to expect.
pub(crate) fn explained(
    given: &lvs_packet,
    packet: &Packet<'_>,
    result: Option<&mut MaybeUninit<lvs_result>>,
    ask: impl FnOnce(&Packet<'_>, Meta) -> Explanation,
) -> Explanation {
    let explanation = ask(packet, meta_of(given));
    match (result, explanation.verdict) {
        (Some(result), Some(verdict)) => put_result(packet, &verdict, result),
        (Some(result), None) => _ = result.write(unknown(given)),
        (None, _) => {}
    }
    explanation
}

const fn unknown(packet: &lvs_packet) -> lvs_result {
    lvs_result {
        verdict: LVS_VERDICT_UNKNOWN,
        reason: 0,
        direction: 0,
        method: 0,
        offset: packet.offset,
        length: packet.length,
        next_hop_family: 0,
        next_hop: [0; 16],
        server: lvs_server_id::NONE,
        connection: lvs_connection_id::NONE,
    }
}
