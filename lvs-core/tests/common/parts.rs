//! Packets cut into fragments, and fragments put together, the obvious way (RFC 791, RFC 8200 section 4.5).

use super::bytes::refresh_ip;

const IDENTIFICATION: u8 = 7;

/// Cuts a packet without extension headers behind so many bytes of its payload each; every cut is rounded to eight. A packet that is
/// not longer stays as it is.
pub(crate) fn split(packet: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let is_v4 = packet[0] >> 4 == 4;
    let header = if is_v4 { usize::from(packet[0] & 15) * 4 } else { 40 };
    let payload = &packet[header..];
    if cuts.first().is_none_or(|&cut| cut >= payload.len()) {
        return vec![packet.to_vec()];
    }
    let mut parts = Vec::new();
    let mut at = 0;
    for &cut in cuts.iter().chain([&payload.len()]) {
        let end = if cut >= payload.len() { payload.len() } else { (at + cut.max(8) / 8 * 8).min(payload.len()) };
        if at == payload.len() {
            break;
        }
        let more = end < payload.len();
        parts.push(part(&packet[..header], &payload[at..end], at, more));
        at = end;
    }
    parts
}

fn part(header: &[u8], payload: &[u8], at: usize, more: bool) -> Vec<u8> {
    let mut bytes = header.to_vec();
    let offset = u16::try_from(at).expect("a packet");
    if header[0] >> 4 == 4 {
        let word = u16::from_be_bytes([header[6], header[7]]) & 0x4000 | (offset / 8) | if more { 0x2000 } else { 0 };
        bytes[6..8].copy_from_slice(&word.to_be_bytes());
        let len = u16::try_from(header.len() + payload.len()).expect("a packet");
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        refresh_ip(&mut bytes);
    } else {
        let word = (offset | u16::from(more)).to_be_bytes();
        bytes[6] = 44;
        bytes.extend([header[6], 0, word[0], word[1], 0, 0, 0, IDENTIFICATION]);
        let len = u16::try_from(8 + payload.len()).expect("a packet");
        bytes[4..6].copy_from_slice(&len.to_be_bytes());
    }
    bytes.extend(payload);
    bytes
}

/// Puts fragments together, in whatever order they are; `None` unless they are exactly one packet's.
pub(crate) fn join(parts: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut sorted: Vec<(usize, bool, &[u8], &Vec<u8>)> = parts.iter().map(|part| read(part)).collect::<Option<_>>()?;
    sorted.sort_by_key(|(at, ..)| *at);
    let (first_at, _, _, first) = *sorted.first()?;
    let is_v4 = first[0] >> 4 == 4;
    let mut whole = if is_v4 { first[..usize::from(first[0] & 15) * 4].to_vec() } else { first[..40].to_vec() };
    let header = whole.len();
    if first_at != 0 {
        return None;
    }
    for (n, (at, more, payload, part)) in sorted.iter().enumerate() {
        let same_packet = if is_v4 {
            part[4..6] == first[4..6] && part[9] == first[9] && part[12..20] == first[12..20]
        } else {
            part[8..40] == first[8..40] && part[44..48] == first[44..48]
        };
        if !same_packet || *at != whole.len() - header || *more != (n + 1 < sorted.len()) {
            return None;
        }
        whole.extend(*payload);
    }
    if is_v4 {
        let len = u16::try_from(whole.len()).ok()?;
        whole[2..4].copy_from_slice(&len.to_be_bytes());
        let word = u16::from_be_bytes([whole[6], whole[7]]) & 0x4000;
        whole[6..8].copy_from_slice(&word.to_be_bytes());
        refresh_ip(&mut whole);
    } else {
        whole[6] = first[40];
        let len = u16::try_from(whole.len() - 40).ok()?;
        whole[4..6].copy_from_slice(&len.to_be_bytes());
    }
    Some(whole)
}

/// Offset, whether more follow, payload.
fn read(part: &Vec<u8>) -> Option<(usize, bool, &[u8], &Vec<u8>)> {
    let word = |at: usize| Some(u16::from_be_bytes([*part.get(at)?, *part.get(at + 1)?]));
    if part.first()? >> 4 == 4 {
        let flags = word(6)?;
        Some((usize::from(flags & 0x1fff) * 8, flags & 0x2000 != 0, part.get(usize::from(part[0] & 15) * 4..)?, part))
    } else {
        let flags = word(42)?;
        (part[6] == 44).then_some((usize::from(flags & 0xfff8), flags & 1 != 0, part.get(48..)?, part))
    }
}
