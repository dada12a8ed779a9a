//! A TCP reset (RFC 9293 section 3.10.7.1), built in place of the segment that draws it.

use super::checksum::{Sum, pseudo_tail};
use super::packet::Packet;
use super::parse::Parsed;
use super::{ipv4, ipv6, put16, transport};
use crate::addr::Family;

const TCP: u8 = 6;
const SEQUENCE: usize = 4;
const ACKNOWLEDGEMENT: usize = 8;
const DATA_OFFSET: usize = 12;
const RST: u8 = 0x04;
const RST_ACK: u8 = 0x14;

/// Replaces a TCP segment, whose fixed header is there, by the reset that its sender believes. A reset draws none.
pub(crate) fn replace(packet: &mut Packet<'_>, parsed: &Parsed) {
    let segment = answer(packet.bytes(), parsed);
    let ip_len = match parsed.tuple.family {
        Family::V4 => ipv4::MIN_LEN,
        Family::V6 => ipv6::LEN,
    };
    let (source, destination) = (parsed.tuple.destination, parsed.tuple.source);
    packet.truncate(ip_len + segment.len());
    let bytes = packet.bytes_mut();
    let Some(place) = bytes.get_mut(ip_len..ip_len + segment.len()) else { return };
    place.copy_from_slice(&segment);
    let (addresses, len) = match parsed.tuple.family {
        Family::V4 => {
            ipv4::Header {
                tos: 0,
                total_length: u16::try_from(ip_len + segment.len()).unwrap_or(u16::MAX),
                identification: 0,
                dont_fragment: true,
                ttl: 64,
                protocol: TCP,
                source: source.to_v4_bytes(),
                destination: destination.to_v4_bytes(),
            }
            .write(bytes);
            (ipv4::SOURCE..ipv4::DESTINATION + 4, segment.len())
        }
        Family::V6 => {
            ipv6::Header {
                traffic_class: 0,
                payload_length: u16::try_from(segment.len()).unwrap_or(u16::MAX),
                next_header: TCP,
                hop_limit: 64,
                source: source.to_v6_bytes(),
                destination: destination.to_v6_bytes(),
            }
            .write(bytes);
            (ipv6::SOURCE..ipv6::DESTINATION + 16, segment.len())
        }
    };
    let pseudo = pseudo_tail(TCP, u32::try_from(len).unwrap_or(u32::MAX));
    let addresses = Sum::of(bytes.get(addresses).unwrap_or_default());
    let checksum = Sum::of(bytes.get(ip_len..).unwrap_or_default()).plus(addresses).plus(pseudo).checksum();
    put16(bytes, ip_len + transport::TCP_CHECKSUM, checksum);
}

/// The header of the reset, with a checksum of 0: where the segment acknowledges, the reset begins there; else it
/// acknowledges the segment.
fn answer(bytes: &[u8], parsed: &Parsed) -> [u8; transport::TCP_MIN_LEN] {
    let header = bytes.get(parsed.transport..).unwrap_or_default();
    let word = |at: usize| header.get(at..at + 4).and_then(|w| w.first_chunk().copied()).map_or(0, u32::from_be_bytes);
    let header_len = usize::from(header.get(DATA_OFFSET).copied().unwrap_or_default() >> 4) * 4;
    let flags = parsed.tcp_flags;
    let payload = parsed.len.saturating_sub(parsed.transport + header_len);
    let occupied = u32::try_from(payload).unwrap_or(u32::MAX) + u32::from(flags.syn()) + u32::from(flags.fin());
    let (sequence, acknowledgement, bits) =
        if flags.ack() { (word(ACKNOWLEDGEMENT), 0, RST) } else { (0, word(SEQUENCE).wrapping_add(occupied), RST_ACK) };
    let mut reset = [0; transport::TCP_MIN_LEN];
    put16(&mut reset, transport::SOURCE_PORT, parsed.tuple.destination_port);
    put16(&mut reset, transport::DESTINATION_PORT, parsed.tuple.source_port);
    reset[SEQUENCE..ACKNOWLEDGEMENT].copy_from_slice(&sequence.to_be_bytes());
    reset[ACKNOWLEDGEMENT..DATA_OFFSET].copy_from_slice(&acknowledgement.to_be_bytes());
    reset[DATA_OFFSET] = 5 << 4;
    reset[transport::TCP_FLAGS] = bits;
    reset
}
