//! The packet path: bursts of packets in, one result each.

use core::mem::MaybeUninit;
use core::net::IpAddr;

use lvs_core::{Checksum, Direction, Director, Hook, Instant, Meta, Method, Packet, PassReason, Verdict};

use crate::handle::Inner;
use crate::lvs_direction::{LVS_TO_CLIENT, LVS_TO_SERVER};
use crate::lvs_method::{LVS_METHOD_DR, LVS_METHOD_NAT, LVS_METHOD_TUN};
use crate::lvs_status::{self, LVS_ERR_ARGUMENT};
use crate::lvs_verdict::{self, LVS_DROP, LVS_FORWARD, LVS_PASS, LVS_REPLY};
use crate::{lvs_connection_id, lvs_director, lvs_server_id, ptr};

/// Flag of a packet: its IPv4 header checksum was found right, so it is not looked at again.
pub const LVS_PACKET_CHECKSUM_VERIFIED: u32 = 1;
/// Flag of a packet: as verified, and its transport checksum field holds the sum of the pseudo-header alone, for the
/// network card to complete.
pub const LVS_PACKET_CHECKSUM_PARTIAL: u32 = 2;
/// Flag of a packet: seen on its way through the host, where only replies of real servers are taken up.
pub const LVS_PACKET_HOOK_FORWARD: u32 = 4;
/// Flag of a packet: the host itself sent it.
pub const LVS_PACKET_FROM_HOST: u32 = 8;

const FLAGS: u32 =
    LVS_PACKET_CHECKSUM_VERIFIED | LVS_PACKET_CHECKSUM_PARTIAL | LVS_PACKET_HOOK_FORWARD | LVS_PACKET_FROM_HOST;

/// The verdict of lvs_director_explain where nobody can tell.
pub const LVS_VERDICT_UNKNOWN: u8 = 255;

/// Where a packet lies: length bytes from base + offset on, beginning with the IP header. It is rewritten there, and may
/// move and grow within capacity bytes from base on; 60 bytes in front of it are enough for every tunnel and ICMP error.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct lvs_packet {
    /// The buffer. All of it has been written to.
    pub base: *mut u8,
    /// Bytes of the buffer.
    pub capacity: u32,
    /// Where the packet begins.
    pub offset: u32,
    /// Bytes of the packet. Bytes behind the end of the IP packet, such as padding of Ethernet, do no harm: what is
    /// rewritten goes without them.
    pub length: u32,
    /// The firewall mark, 0 for none.
    pub mark: u32,
    /// LVS_PACKET_*, or 0.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

/// What became of a packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct lvs_result {
    /// LVS_PASS, LVS_FORWARD, LVS_REPLY or LVS_DROP.
    pub verdict: u8,
    /// LVS_PASS_*, LVS_REPLY_* or LVS_DROP_*; 0 if it is forwarded.
    pub reason: u8,
    /// LVS_TO_SERVER or LVS_TO_CLIENT if it is forwarded, else 0.
    pub direction: u8,
    /// LVS_METHOD_* if it is forwarded, else 0.
    pub method: u8,
    /// Where the packet, or the answer in its place, begins now.
    pub offset: u32,
    /// Its bytes now.
    pub length: u32,
    /// 4 or 6 if it is forwarded or replied to, else 0.
    pub next_hop_family: u32,
    /// Where to send it: the first 4 or all 16 bytes, most significant first; the rest is 0.
    pub next_hop: [u8; 16],
    /// The real server, if it is forwarded to or from one; else the index is LVS_NONE.
    pub server: lvs_server_id,
    /// The connection, if it is forwarded on one; else the index is LVS_NONE.
    pub connection: lvs_connection_id,
}

/// Packets that are handed to the director at once. A single one goes without the arrays and passes of a burst, which
/// would cost it a fifth more.
const BURST: usize = 64;

/// Processes packets in order. Each gets its result at the same place of the other array. The records stay as they are:
/// where a packet is by then its result tells.
///
/// A bad packet is no error, it gets its verdict. With LVS_PASS and LVS_DROP its bytes are as they were. Only if a record
/// is not as this header says is the call refused, and then no packet was looked at and no result written:
/// LVS_ERR_ARGUMENT for a packet beyond its buffer, an unknown flag or a reserved field that is not 0, LVS_ERR_NULL for
/// a buffer that is NULL with a capacity that is not 0. Buffers of packets of one call must not overlap. Bursts of 64 are
/// several times faster than single packets once there are many connections. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_process(
    director: *mut lvs_director,
    now_ns: u64,
    packets: *const lvs_packet,
    results: *mut lvs_result,
    count: usize,
) -> lvs_status {
    let work = |inner: &mut Inner| match count {
        0 => Ok(()),
        // SAFETY: the contract of this function: valid for this call, or null; no packet in another's buffer.
        _ => unsafe { process(&mut *inner.director, Instant::from_nanos(now_ns), packets, results, count) },
    };
    // SAFETY: the contract of the crate: a live handle, or null.
    unsafe { lvs_director::enter(director, work) }
}

/// Whatever answers packets.
pub(crate) trait Answers {
    fn one(&mut self, now: Instant, packet: &mut Packet<'_>, meta: Meta, verdict: &mut Verdict);
    fn burst(&mut self, now: Instant, packets: &mut [Packet<'_>], metas: &[Meta], verdicts: &mut [Verdict]);
}

impl Answers for Director {
    #[inline]
    fn one(&mut self, now: Instant, packet: &mut Packet<'_>, meta: Meta, verdict: &mut Verdict) {
        self.process_into(now, packet, meta, verdict);
    }

    fn burst(&mut self, now: Instant, packets: &mut [Packet<'_>], metas: &[Meta], verdicts: &mut [Verdict]) {
        self.process_burst(now, packets, metas, verdicts);
    }
}

/// Processes packets. Refuses all if a record is wrong. Apart from the call, which has so fewer registers to save where
/// there is nothing to do.
///
/// # Safety
/// Null, or arrays of so many elements, which nobody else uses during the call; and so are the buffers of the packets, of
/// which none is a part of another.
#[inline(never)]
pub(crate) unsafe fn process(
    answers: &mut impl Answers,
    now: Instant,
    packets: *const lvs_packet,
    results: *mut lvs_result,
    count: usize,
) -> Result<(), lvs_status> {
    if count == 1 {
        // SAFETY: the caller's promise.
        let (given, result) = unsafe { (ptr::one(packets)?, ptr::output(results)?) };
        check(given)?;
        // SAFETY: the caller's promise, and the check.
        let mut packet = unsafe { open(given) };
        let mut verdict = Verdict::Pass(PassReason::NoService);
        answers.one(now, &mut packet, meta_of(given), &mut verdict);
        put_result(&packet, &verdict, result);
        return Ok(());
    }
    // SAFETY: the caller's promise.
    unsafe { process_bursts(answers, now, ptr::array(packets, count)?, ptr::array_out(results, count)?) }
}

/// More than one packet. The arrays that this takes are not for calls with less.
///
/// # Safety
/// The buffers are as for [`process`].
#[inline(never)]
unsafe fn process_bursts(
    answers: &mut impl Answers,
    now: Instant,
    packets: &[lvs_packet],
    results: &mut [MaybeUninit<lvs_result>],
) -> Result<(), lvs_status> {
    packets.iter().try_for_each(check)?;
    // As many as there are: to write all the places anew would take as long as to find the connections.
    let mut opened = [const { MaybeUninit::uninit() }; BURST];
    let mut metas = [const { MaybeUninit::uninit() }; BURST];
    let mut verdicts = [const { MaybeUninit::uninit() }; BURST];
    for (given, results) in packets.chunks(BURST).zip(results.chunks_mut(BURST)) {
        // SAFETY: the caller's promise, and the check.
        let packets = ptr::fill(&mut opened, given.iter().map(|given| unsafe { open(given) }));
        let metas = ptr::fill(&mut metas, given.iter().map(meta_of));
        let verdicts = ptr::fill(&mut verdicts, given.iter().map(|_| Verdict::Pass(PassReason::NoService)));
        answers.burst(now, packets, metas, verdicts);
        for ((result, packet), verdict) in results.iter_mut().zip(packets).zip(verdicts) {
            put_result(packet, verdict, result);
        }
    }
    Ok(())
}

/// Refuses a record that is not as the header says.
#[inline]
pub(crate) fn check(packet: &lvs_packet) -> Result<(), lvs_status> {
    if packet.capacity != 0 {
        ptr::check_array(packet.base, packet.capacity as usize)?;
    }
    let end = u64::from(packet.offset) + u64::from(packet.length);
    if end > u64::from(packet.capacity) || packet.flags & !FLAGS != 0 || packet.reserved != 0 {
        return Err(LVS_ERR_ARGUMENT);
    }
    Ok(())
}

/// The packet of a record.
///
/// No error could be in its place: the length of its buffer would share four of its bytes with that, be written in two
/// halves, and whoever reads it whole would have to wait for both.
///
/// # Safety
/// The record was [checked](check), and nobody else uses its buffer during `'a`.
#[inline]
pub(crate) unsafe fn open<'a>(given: &lvs_packet) -> Packet<'a> {
    // SAFETY: the caller's promise.
    let buffer = unsafe { ptr::bytes_there(given.base, given.capacity as usize) };
    Packet::new(buffer, given.offset as usize, given.length as usize).unwrap_or_else(|| Packet::whole(&mut []))
}

/// What a packet's record says beside its bytes. Its flags were [checked](check).
#[inline]
pub(crate) fn meta_of(packet: &lvs_packet) -> Meta {
    Meta { mark: packet.mark, ..METAS[(packet.flags & FLAGS) as usize] }
}

/// What all flags together say, looked up: to take them apart costs each packet more than its mark.
static METAS: [Meta; FLAGS as usize + 1] = {
    let mut metas = [Meta::marked(0); FLAGS as usize + 1];
    let mut flags = 0;
    while flags <= FLAGS {
        metas[flags as usize] = Meta {
            mark: 0,
            hook: if flags & LVS_PACKET_HOOK_FORWARD != 0 { Hook::Forward } else { Hook::Local },
            checksum: if flags & LVS_PACKET_CHECKSUM_PARTIAL != 0 {
                Checksum::Partial
            } else if flags & LVS_PACKET_CHECKSUM_VERIFIED != 0 {
                Checksum::Verified
            } else {
                Checksum::Unverified
            },
            from_host: flags & LVS_PACKET_FROM_HOST != 0,
        };
        flags += 1;
    }
    metas
};

/// Writes what became of a packet.
///
/// The verdict is looked at where it lies, and the next hop is written apart for each family: a copy of sixteen bytes
/// would have to wait for the four of an IPv4 address, which were written a moment ago.
#[inline(always)]
pub(crate) fn put_result(packet: &Packet<'_>, verdict: &Verdict, out: &mut MaybeUninit<lvs_result>) {
    // Nearly all packets: asked first, they need no table to find their way.
    if let Verdict::Forward(forward) = verdict {
        let result = out.write(lvs_result {
            direction: direction_of(forward.direction),
            method: method_of(forward.method),
            ..plain(packet, LVS_FORWARD, 0)
        });
        if let Some(server) = forward.server {
            result.server = server.into();
        }
        if let Some(connection) = forward.connection {
            result.connection = connection.into();
        }
        put_hop(result, &forward.next_hop);
    } else {
        put_other(packet, verdict, out);
    }
}

/// The same in general.
#[inline(never)]
fn put_other(packet: &Packet<'_>, verdict: &Verdict, out: &mut MaybeUninit<lvs_result>) {
    let (name, reason, next_hop) = match verdict {
        Verdict::Pass(reason) => (LVS_PASS, *reason as u8, None),
        Verdict::Forward(forward) => (LVS_FORWARD, 0, Some(forward.next_hop)),
        Verdict::Reply(reply) => (LVS_REPLY, reply.reason as u8, Some(reply.next_hop)),
        Verdict::Drop(reason) => (LVS_DROP, *reason as u8, None),
    };
    let result = out.write(plain(packet, name, reason));
    if let Some(next_hop) = next_hop {
        put_hop(result, &next_hop);
    }
}

/// A result that names no next hop, server or connection.
#[inline(always)]
fn plain(packet: &Packet<'_>, verdict: lvs_verdict, reason: u8) -> lvs_result {
    lvs_result {
        verdict: verdict as u8,
        reason,
        direction: 0,
        method: 0,
        offset: in_buffer(packet.offset()),
        length: in_buffer(packet.len()),
        next_hop_family: 0,
        next_hop: [0; 16],
        server: lvs_server_id::NONE,
        connection: lvs_connection_id::NONE,
    }
}

#[inline]
fn put_hop(result: &mut lvs_result, address: &IpAddr) {
    match address {
        IpAddr::V4(address) => {
            result.next_hop_family = 4;
            result.next_hop[..4].copy_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            result.next_hop_family = 6;
            result.next_hop = address.octets();
        }
    }
}

const fn direction_of(direction: Direction) -> u8 {
    match direction {
        Direction::ToServer => LVS_TO_SERVER as u8,
        Direction::ToClient => LVS_TO_CLIENT as u8,
    }
}

pub(crate) const fn method_of(method: Method) -> u8 {
    match method {
        Method::Nat => LVS_METHOD_NAT as u8,
        Method::Dr => LVS_METHOD_DR as u8,
        Method::Tun => LVS_METHOD_TUN as u8,
    }
}

/// Places and lengths in a buffer fit into 32 bits: the caller described it with so many.
const fn in_buffer(number: usize) -> u32 {
    number as u32
}
