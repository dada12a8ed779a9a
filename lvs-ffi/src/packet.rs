//! The packet path: bursts of packets in, one result each.

use core::array;
use core::mem::MaybeUninit;
use core::net::IpAddr;

use lvs_core::{Checksum, Direction, Director, Hook, Instant, Meta, Method, Packet, PassReason, Verdict};

use crate::lvs_direction::{LVS_TO_CLIENT, LVS_TO_SERVER};
use crate::lvs_method::{LVS_METHOD_DR, LVS_METHOD_NAT, LVS_METHOD_TUN};
use crate::lvs_status::{self, LVS_ERR_ARGUMENT};
use crate::lvs_verdict::{LVS_DROP, LVS_FORWARD, LVS_PASS, LVS_REPLY};
use crate::{lvs_connection_id, lvs_director, lvs_server_id, ptr, status::boundary};

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
    /// Bytes of the packet.
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
    /// The real server, if it is forwarded.
    pub server: lvs_server_id,
    /// The connection, if it is forwarded on one.
    pub connection: lvs_connection_id,
}

/// Packets that are handed to the director at once. A single one goes without the arrays that such a burst needs: with
/// them it takes 250 ns instead of 50.
const BURST: usize = 64;

/// Processes packets in order. Each gets its result at the same place of the other array.
///
/// A bad packet is no error, it gets its verdict. With LVS_PASS and LVS_DROP its bytes are as they were. Only if a record
/// is not as this header says is the call refused, and then no packet was looked at and no result written:
/// LVS_ERR_ARGUMENT for a packet beyond its buffer, an unknown flag or a reserved field that is not 0, LVS_ERR_NULL for
/// a buffer. Buffers of packets of one call must not overlap. Bursts of 64 are several times faster than single packets
/// once there are many connections. One thread at a time per handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lvs_director_process(
    director: *mut lvs_director,
    now_ns: u64,
    packets: *const lvs_packet,
    results: *mut lvs_result,
    count: usize,
) -> lvs_status {
    boundary(|| {
        // SAFETY: the contract of the crate: valid for this call, or null.
        let (mut handle, packets, results) =
            unsafe { (lvs_director::borrow(director)?, ptr::array(packets, count)?, ptr::array_out(results, count)?) };
        packets.iter().try_for_each(check)?;
        // SAFETY: the contract of this function: valid for this call, and no part of another packet's buffer.
        let open = |packet: &lvs_packet| unsafe { ptr::bytes(packet.base, packet.capacity as usize) };
        process(&mut *handle.director, Instant::from_nanos(now_ns), packets, open, results)
    })
}

/// Whatever answers packets.
pub(crate) trait Answers {
    fn one(&mut self, now: Instant, packet: &mut Packet<'_>, meta: Meta) -> Verdict;
    fn burst(&mut self, now: Instant, packets: &mut [Packet<'_>], metas: &[Meta], verdicts: &mut [Verdict]);
}

impl Answers for Director {
    fn one(&mut self, now: Instant, packet: &mut Packet<'_>, meta: Meta) -> Verdict {
        self.process(now, packet, meta)
    }

    fn burst(&mut self, now: Instant, packets: &mut [Packet<'_>], metas: &[Meta], verdicts: &mut [Verdict]) {
        self.process_burst(now, packets, metas, verdicts);
    }
}

/// Processes packets whose records were checked; `open` has the buffer of one.
pub(crate) fn process<'a>(
    answers: &mut impl Answers,
    now: Instant,
    packets: &[lvs_packet],
    open: impl Fn(&lvs_packet) -> Result<&'a mut [u8], lvs_status>,
    results: &mut [MaybeUninit<lvs_result>],
) -> Result<(), lvs_status> {
    let open = |packet: &lvs_packet| {
        Packet::new(open(packet)?, packet.offset as usize, packet.length as usize).ok_or(LVS_ERR_ARGUMENT)
    };
    let mut bursts = packets.chunks(BURST).zip(results.chunks_mut(BURST));
    bursts.try_for_each(|(packets, results)| process_burst(answers, now, packets, open, results))
}

/// Processes up to [`BURST`] packets.
fn process_burst<'a>(
    answers: &mut impl Answers,
    now: Instant,
    given: &[lvs_packet],
    open: impl Fn(&lvs_packet) -> Result<Packet<'a>, lvs_status>,
    results: &mut [MaybeUninit<lvs_result>],
) -> Result<(), lvs_status> {
    if let ([given], [result]) = (given, &mut *results) {
        let mut packet = open(given)?;
        let verdict = answers.one(now, &mut packet, meta_of(given));
        result.write(result_of(&packet, verdict));
        return Ok(());
    }
    let mut packets: [Packet<'a>; BURST] = array::from_fn(|_| Packet::whole(&mut []));
    let mut metas = [Meta::default(); BURST];
    for ((given, packet), meta) in given.iter().zip(&mut packets).zip(&mut metas) {
        (*packet, *meta) = (open(given)?, meta_of(given));
    }
    let mut verdicts = [Verdict::Pass(PassReason::NoService); BURST];
    answers.burst(now, &mut packets[..given.len()], &metas, &mut verdicts);
    for ((result, packet), verdict) in results.iter_mut().zip(&packets).zip(verdicts) {
        result.write(result_of(packet, verdict));
    }
    Ok(())
}

/// Refuses what the header does not allow, before anything is done.
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

pub(crate) fn meta_of(packet: &lvs_packet) -> Meta {
    let flag = |flag: u32| packet.flags & flag != 0;
    Meta {
        mark: packet.mark,
        hook: if flag(LVS_PACKET_HOOK_FORWARD) { Hook::Forward } else { Hook::Local },
        checksum: if flag(LVS_PACKET_CHECKSUM_PARTIAL) {
            Checksum::Partial
        } else if flag(LVS_PACKET_CHECKSUM_VERIFIED) {
            Checksum::Verified
        } else {
            Checksum::Unverified
        },
        from_host: flag(LVS_PACKET_FROM_HOST),
    }
}

pub(crate) fn result_of(packet: &Packet<'_>, verdict: Verdict) -> lvs_result {
    let mut result = lvs_result {
        verdict: LVS_PASS as u8,
        reason: 0,
        direction: 0,
        method: 0,
        offset: saturated(packet.offset()),
        length: saturated(packet.len()),
        next_hop_family: 0,
        next_hop: [0; 16],
        server: lvs_server_id::NONE,
        connection: lvs_connection_id::NONE,
    };
    match verdict {
        Verdict::Pass(reason) => result.reason = reason as u8,
        Verdict::Drop(reason) => (result.verdict, result.reason) = (LVS_DROP as u8, reason as u8),
        Verdict::Reply(reply) => {
            (result.verdict, result.reason) = (LVS_REPLY as u8, reply.reason as u8);
            put_next_hop(&mut result, reply.next_hop);
        }
        Verdict::Forward(forward) => {
            result.verdict = LVS_FORWARD as u8;
            result.direction = direction_of(forward.direction);
            result.method = method_of(forward.method);
            put_next_hop(&mut result, forward.next_hop);
            (result.server, result.connection) = (forward.server.into(), forward.connection.into());
        }
    }
    result
}

fn put_next_hop(result: &mut lvs_result, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            result.next_hop_family = 4;
            result.next_hop[..4].copy_from_slice(&address.octets());
        }
        IpAddr::V6(address) => (result.next_hop_family, result.next_hop) = (6, address.octets()),
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

/// Places and lengths fit into 32 bits: buffers are described with so many, and tables have no more places.
fn saturated(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
