//! How bytes leave: pure functions of a packet and a plan. No table is known here.
//!
//! Each function first makes sure that it can finish; a packet that cannot be rewritten stays as it was.

pub(crate) mod icmp;
pub(crate) mod nat;
pub(crate) mod tun;

use crate::addr::Family;
use crate::config::Checksum;
use crate::verdict::DropReason;
use crate::wire::packet::Packet;
use crate::wire::parse::{Parsed, Shape};
use crate::wire::{ipv4, ipv6};

/// What is to be done to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing.
    AsIs,
    /// Translate an address and a port.
    Nat(nat::Translation),
    /// Take one off the TTL.
    Dr,
    /// Take one off the TTL, and wrap it up.
    Tun(tun::Outer),
}

/// Why a plan cannot be carried out on a packet, if so.
#[inline(always)]
pub(crate) fn obstacle(packet: &Packet<'_>, parsed: &Parsed, plan: &Plan) -> Option<DropReason> {
    match plan {
        Plan::AsIs | Plan::Dr => None,
        Plan::Nat(_) if parsed.shape == Shape::Whole => None,
        Plan::Nat(to) => nat::obstacle(packet.bytes(), parsed, to),
        Plan::Tun(outer) => tun::obstacle(packet, &parsed.into(), outer),
    }
}

/// Carries a plan out. Where there is an [obstacle], the packet stays as it is.
#[inline(always)]
pub(crate) fn rewrite(
    packet: &mut Packet<'_>,
    parsed: &Parsed,
    plan: &Plan,
    checksum: Checksum,
) -> Result<(), DropReason> {
    if let Some(reason) = obstacle(packet, parsed, plan) {
        return Err(reason);
    }
    packet.truncate(parsed.len);
    match plan {
        Plan::AsIs => {}
        Plan::Nat(translation) => nat::translate(packet.bytes_mut(), parsed, translation, checksum),
        Plan::Dr => decrement_ttl(packet.bytes_mut(), parsed.tuple.family),
        Plan::Tun(outer) => tun::encapsulate(packet, &parsed.into(), outer),
    }
    Ok(())
}

/// The same for a later part of a fragmented packet, which has no transport header.
pub(crate) fn rewrite_part(packet: &mut Packet<'_>, parsed: &Parsed, plan: &Plan) -> Result<(), DropReason> {
    let Plan::Nat(to) = plan else { return rewrite(packet, parsed, plan, Checksum::Verified) };
    packet.truncate(parsed.len);
    nat::translate_address(packet.bytes_mut(), parsed.tuple.family, to);
    Ok(())
}

/// Takes one off the TTL or hop limit.
#[inline]
pub(crate) fn decrement_ttl(bytes: &mut [u8], family: Family) {
    match family {
        Family::V4 => ipv4::decrement_ttl(bytes),
        Family::V6 => ipv6::decrement_hop_limit(bytes),
    }
}
