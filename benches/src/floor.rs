//! The floors: what the work costs at the very least, measured in the same run.

use core::hint::black_box;

use crate::flows::{LEN, address, segment};
use crate::time::median_ns;

/// F1, compute: parse, verify the IPv4 checksum, hash, look up in a table that is in the first-level cache, count,
/// rewrite address, port and both checksums. Straight-line code with nothing that a library needs: no verdicts, no
/// timers, no states, no other protocol.
#[must_use]
pub fn compute_ns() -> f64 {
    const FLOWS: u32 = 64;
    let mut table = vec![Slot::default(); 256];
    let mut packets: Vec<[u8; LEN]> = Vec::new();
    for n in 0..FLOWS {
        let mut packet = segment(0x10);
        address(&mut packet, n);
        let (hash, key) = key_of(&packet);
        let mut at = hash as usize % table.len();
        while table[at].key != 0 {
            at = (at + 1) % table.len();
        }
        table[at] = Slot { key, packets: 0, bytes: 0, target: 0xac10_0001, ip_delta: 1, tcp_delta: 1, state: 1 };
        packets.push(packet);
    }
    let mut work = packets.clone();
    let whole = median_ns(51, FLOWS as usize * 100, || {
        for _ in 0..100 {
            for (packet, fresh) in work.iter_mut().zip(&packets) {
                packet.copy_from_slice(black_box(fresh));
                black_box(forward(packet, &mut table));
            }
        }
    });
    let copying = median_ns(51, FLOWS as usize * 100, || {
        for _ in 0..100 {
            for (packet, fresh) in work.iter_mut().zip(&packets) {
                packet.copy_from_slice(black_box(fresh));
                black_box(&packet);
            }
        }
    });
    whole - copying
}

#[derive(Clone, Copy, Default)]
struct Slot {
    key: u64,
    packets: u64,
    bytes: u64,
    target: u32,
    ip_delta: u16,
    tcp_delta: u16,
    state: u8,
}

fn be32(packet: &[u8; LEN], at: usize) -> u32 {
    u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]])
}

fn be16(packet: &[u8; LEN], at: usize) -> u16 {
    u16::from_be_bytes([packet[at], packet[at + 1]])
}

fn key_of(packet: &[u8; LEN]) -> (u64, u64) {
    let (a, b) = (u64::from(be32(packet, 12)), u64::from(be32(packet, 16)));
    let ports = u64::from(be32(packet, 20));
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    };
    let key = a << 32 ^ b ^ ports << 16;
    (fold(fold(key ^ 0x9e37_79b9_7f4a_7c15, ports ^ 0xbf58_476d_1ce4_e5b9), 0x94d0_49bb_1331_11eb), key | 1)
}

fn forward(packet: &mut [u8; LEN], table: &mut [Slot]) -> bool {
    if packet[0] != 0x45 || usize::from(be16(packet, 2)) > LEN || be16(packet, 6) & 0x3fff != 0 {
        return false;
    }
    let sum: u64 = (0..5).map(|n| u64::from(be32(packet, n * 4))).sum();
    if fold16(sum) != 0xffff || packet[8] <= 1 {
        return false;
    }
    let (hash, key) = key_of(packet);
    let mask = table.len() - 1;
    let mut at = hash as usize & mask;
    while table[at].key != key {
        if table[at].key == 0 {
            return false;
        }
        at = (at + 1) & mask;
    }
    let slot = &mut table[at];
    slot.packets += 1;
    slot.bytes += LEN as u64;
    slot.state = STATES[usize::from(slot.state & 7)][usize::from(packet[33] & 7)];
    packet[16..20].copy_from_slice(&slot.target.to_be_bytes());
    packet[8] -= 1;
    let ip = !fold16(u64::from(!be16(packet, 10)) + u64::from(slot.ip_delta) + 0xfeff);
    packet[10..12].copy_from_slice(&ip.to_be_bytes());
    let tcp = !fold16(u64::from(!be16(packet, 36)) + u64::from(slot.tcp_delta));
    packet[36..38].copy_from_slice(&tcp.to_be_bytes());
    packet[22..24].copy_from_slice(&8080u16.to_be_bytes());
    true
}

static STATES: [[u8; 8]; 8] = [[1; 8]; 8];

fn fold16(sum: u64) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// F2, memory: a random cache line out of 64 MiB, fetched in bursts of 64.
#[must_use]
pub fn memory_ns() -> f64 {
    const LINES: usize = 1 << 20;
    #[derive(Clone)]
    #[repr(align(64))]
    struct Line([u64; 8]);
    let lines: Vec<Line> = (0..LINES as u64).map(|n| Line([n; 8])).collect();
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as usize & (LINES - 1)
    };
    let picks: Vec<usize> = (0..LINES).map(|_| next()).collect();
    let mut sum = 0u64;
    const ROUND: usize = 1 << 14;
    let mut rounds = picks.chunks_exact(ROUND).cycle();
    let ns = median_ns(LINES / ROUND - 1, ROUND, || {
        for burst in rounds.next().expect("it cycles").chunks_exact(64) {
            for &pick in burst {
                prefetch(&lines[pick]);
            }
            for &pick in burst {
                sum = sum.wrapping_add(lines[pick].0[0]);
            }
        }
    });
    black_box(sum);
    ns
}

fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching never faults, and the address is that of a live reference.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(value).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
