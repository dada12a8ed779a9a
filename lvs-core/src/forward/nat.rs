//! Network address translation: one address, one port, and the checksums that cover them.
//!
//! Follows: NAT of IPVS. TCP and UDP checksums are updated by the difference (RFC 1624), so that errors stay errors; an
//! absent UDP checksum is computed and put in; the CRC of SCTP, which covers ports alone, is computed anew when the port
//! changes.

use crate::addr::{Addr, Family};
use crate::config::Checksum;
use crate::flow::Protocol;
use crate::verdict::{Direction, DropReason};
use crate::wire::checksum::{Delta, Sum, pseudo_tail};
use crate::wire::parse::{Parsed, Shape};
use crate::wire::plain::Plain;
use crate::wire::{be16, crc32c, ipv4, ipv6, put16, transport};

/// The new address and port of a packet: its destination on the way to the server, its source on the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Translation {
    pub(crate) direction: Direction,
    pub(crate) address: Addr,
    pub(crate) port: u16,
    /// What the new address adds to a sum.
    pub(crate) address_delta: Delta,
    /// What the new address and the new port add.
    pub(crate) transport_delta: Delta,
    /// Whether one is taken off the TTL.
    pub(crate) decrement_ttl: bool,
}

/// Taking one off the TTL takes 0x0100 off the sum of the IPv4 header.
const TTL_DELTA: Delta = Delta::without(0x0100);

/// Why a packet that is not [whole](Shape::Whole) cannot be translated, if so.
#[cold]
pub(crate) fn obstacle(bytes: &[u8], parsed: &Parsed, to: &Translation) -> Option<DropReason> {
    match parsed.shape {
        Shape::FirstPart if parsed.is_sctp() => {
            let old_port = be16(bytes, parsed.transport + port_at(to.direction));
            // The CRC covers what the other parts hold.
            (old_port != to.port).then_some(DropReason::FragmentedSctp)
        }
        Shape::FirstPart | Shape::Fragment | Shape::Ipsec => None,
        _ => Some(DropReason::TruncatedTransport),
    }
}

/// Rewrites a packet in place. Its transport header is whole.
#[inline(always)]
pub(crate) fn translate(bytes: &mut [u8], parsed: &Parsed, to: &Translation, checksum: Checksum) {
    translate_address(bytes, parsed.tuple.family, to);
    translate_transport(bytes, parsed, to, checksum);
}

/// The same for a plain packet of TCP or UDP with a checksum; `None`, with nothing changed, for any other. (The family is
/// said once more, so that for each of them offsets are constants.)
#[inline(always)]
pub(crate) fn translate_plain(
    bytes: &mut [u8],
    (plain, family): (&Plain, Family),
    to: &Translation,
    checksum: Checksum,
) -> Option<()> {
    let segment = bytes.get_mut(Plain::transport(family)..)?;
    match plain.protocol {
        TCP => translate_tcp(segment.first_chunk_mut()?, to, checksum),
        UDP => translate_udp(segment.first_chunk_mut()?, to, checksum)?,
        _ => return None,
    }
    translate_address(bytes, family, to);
    Some(())
}

const TCP: u8 = Protocol::Tcp.number();
const UDP: u8 = Protocol::Udp.number();

/// The IP header alone.
#[inline(always)]
pub(crate) fn translate_address(bytes: &mut [u8], family: Family, to: &Translation) {
    match family {
        Family::V4 => {
            let at = match to.direction {
                Direction::ToServer => ipv4::DESTINATION,
                Direction::ToClient => ipv4::SOURCE,
            };
            let Some(header) = bytes.first_chunk_mut::<{ ipv4::MIN_LEN }>() else { return };
            header[at..at + 4].copy_from_slice(&to.address.to_v4_bytes());
            let mut delta = to.address_delta;
            if to.decrement_ttl {
                header[ipv4::TTL] = header[ipv4::TTL].wrapping_sub(1);
                delta = delta.plus(TTL_DELTA);
            }
            delta.mend(header, ipv4::CHECKSUM);
        }
        Family::V6 => {
            let at = match to.direction {
                Direction::ToServer => ipv6::DESTINATION,
                Direction::ToClient => ipv6::SOURCE,
            };
            bytes[at..at + 16].copy_from_slice(&to.address.to_v6_bytes());
            if to.decrement_ttl {
                ipv6::decrement_hop_limit(bytes);
            }
        }
    }
}

#[inline(always)]
const fn port_at(direction: Direction) -> usize {
    match direction {
        Direction::ToServer => transport::DESTINATION_PORT,
        Direction::ToClient => transport::SOURCE_PORT,
    }
}

#[inline(always)]
fn translate_transport(bytes: &mut [u8], parsed: &Parsed, to: &Translation, checksum: Checksum) {
    let port_at = port_at(to.direction);
    let segment = bytes.get_mut(parsed.transport..).unwrap_or_default();
    if parsed.is_tcp()
        && let Some(header) = segment.first_chunk_mut()
    {
        return translate_tcp(header, to, checksum);
    }
    if parsed.is_udp()
        && let Some(header) = segment.first_chunk_mut()
        && translate_udp(header, to, checksum).is_some()
    {
        return;
    }
    match Protocol::from_number(parsed.tuple.protocol) {
        Some(Protocol::Udp) => {
            put16(segment, port_at, to.port);
            complete_udp(bytes, parsed, to, checksum);
        }
        Some(Protocol::Sctp) => {
            let old_port = be16(segment, port_at);
            put16(segment, port_at, to.port);
            if old_port != to.port || checksum == Checksum::Partial && parsed.shape == Shape::Whole {
                let crc = crc32c::sctp(segment);
                if let Some(field) = segment.get_mut(8..12) {
                    field.copy_from_slice(&crc.to_le_bytes());
                }
            }
        }
        // Packets of IPsec have no ports, and no checksum that an address is part of.
        _ => {}
    }
}

#[inline(always)]
fn translate_tcp(header: &mut [u8; transport::TCP_MIN_LEN], to: &Translation, checksum: Checksum) {
    put16(header, port_at(to.direction), to.port);
    update(header, transport::TCP_CHECKSUM, to, checksum);
}

/// `None`, with nothing changed, for a datagram without a checksum, or whose checksum is left to the network card.
#[inline(always)]
fn translate_udp(header: &mut [u8; transport::UDP_LEN], to: &Translation, checksum: Checksum) -> Option<()> {
    if be16(header, transport::UDP_CHECKSUM) == 0 || checksum == Checksum::Partial {
        return None;
    }
    put16(header, port_at(to.direction), to.port);
    to.transport_delta.mend(header, transport::UDP_CHECKSUM);
    if be16(header, transport::UDP_CHECKSUM) == 0 {
        put16(header, transport::UDP_CHECKSUM, shown(0));
    }
    Some(())
}

/// A checksum by the difference; of one left to the network card only the pseudo-header is there to be changed.
#[inline]
fn update(segment: &mut [u8], at: usize, to: &Translation, checksum: Checksum) {
    match checksum {
        Checksum::Partial => to.address_delta.mend_sum(segment, at),
        Checksum::Unverified | Checksum::Verified => to.transport_delta.mend(segment, at),
    }
}

/// The checksum of a datagram that has none, or whose checksum is left to the network card.
#[cold]
fn complete_udp(bytes: &mut [u8], parsed: &Parsed, to: &Translation, checksum: Checksum) {
    let segment = &mut bytes[parsed.transport..];
    if checksum == Checksum::Partial {
        return update(segment, transport::UDP_CHECKSUM, to, checksum);
    }
    if parsed.shape == Shape::FirstPart {
        // It would cover what the other parts hold: there is none before as after (RFC 768).
        return;
    }
    let len = u32::try_from(segment.len()).unwrap_or(u32::MAX);
    let sum = Sum::of(segment).plus(pseudo_tail(parsed.tuple.protocol, len));
    let new = sum.plus(address_sum(bytes, parsed.tuple.family)).checksum();
    put16(&mut bytes[parsed.transport..], transport::UDP_CHECKSUM, shown(new));
}

/// A checksum as UDP shows it: zero would say that there is none (RFC 768).
const fn shown(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

/// The sum of both addresses, which stand side by side in either header.
fn address_sum(bytes: &[u8], family: Family) -> Sum {
    match family {
        Family::V4 => Sum::of(&bytes[ipv4::SOURCE..ipv4::DESTINATION + 4]),
        Family::V6 => Sum::of(&bytes[ipv6::SOURCE..ipv6::DESTINATION + 16]),
    }
}
