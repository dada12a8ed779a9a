//! The floors: what the work costs at the very least, measured in the same run.

use core::hint::black_box;

use lvs_core::{Family, Protocol};

use crate::measure::{Cost, Subject, time};
use crate::traffic::{Buffer, Draws, LEN, Template};

/// F1, compute: parse, verify the IPv4 checksum, hash, look up in a table that is in the first-level cache, count,
/// rewrite address, port and both checksums. Straight-line code with nothing that a library needs: no verdicts, no
/// timers, no states, no other protocol.
#[derive(Debug)]
pub struct Compute {
    table: Vec<Slot>,
    handled: u64,
}

impl Compute {
    /// With the first `flows` flows in the table, at most 64.
    #[must_use]
    pub fn new(flows: u32) -> Self {
        let mut table = vec![Slot::default(); 256];
        for n in 0..flows.min(64) {
            let mut buffer = Buffer::EMPTY;
            Template::request(Family::V4, Protocol::Tcp).write(&mut buffer, n);
            let (hash, key) = key_of(buffer.packet());
            let mut at = hash as usize & (table.len() - 1);
            while table[at].key != 0 {
                at = (at + 1) & (table.len() - 1);
            }
            table[at] = Slot { key, packets: 0, bytes: 0, target: 0xac10_0001, ip_delta: 1, tcp_delta: 1, state: 1 };
        }
        Self { table, handled: 0 }
    }
}

impl Subject for Compute {
    fn handle(&mut self, buffers: &mut [Buffer], work: bool) {
        if work {
            for buffer in &mut *buffers {
                self.handled += u64::from(forward(buffer.packet(), &mut self.table));
            }
        }
        black_box(buffers);
    }

    fn handled(&self) -> u64 {
        self.handled
    }
}

#[derive(Clone, Copy, Debug, Default)]
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

/// A hash that could be keyed: two folded multiplications.
#[inline]
pub(crate) fn hash(a: u64, b: u64) -> u64 {
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    };
    fold(fold(a ^ 0x9e37_79b9_7f4a_7c15, b ^ 0xbf58_476d_1ce4_e5b9), 0x94d0_49bb_1331_11eb)
}

fn key_of(packet: &[u8; LEN]) -> (u64, u64) {
    let (a, b) = (u64::from(be32(packet, 12)), u64::from(be32(packet, 16)));
    let ports = u64::from(be32(packet, 20));
    let key = a << 32 ^ b ^ ports << 16;
    (hash(key, ports), key | 1)
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

/// F2, memory: a random cache line out of 64 MiB.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Fetched in bursts of 64.
    pub burst: Cost,
    /// One after the other, each telling where the next one is.
    pub chased: Cost,
}

#[derive(Clone)]
#[repr(align(64))]
struct Line([u64; 8]);

const LINES: u32 = 1 << 20;
const ROUND: usize = 1 << 14;

/// Measures both.
#[must_use]
pub fn memory(rounds: usize) -> Memory {
    let mut draws = Draws::new();
    let mut lines: Vec<Line> = (0..u64::from(LINES)).map(|n| Line([n; 8])).collect();
    // One cycle through all of them.
    for n in (1..LINES).rev() {
        let other = draws.below(n) as usize;
        let (a, b) = (lines[n as usize].0[0], lines[other].0[0]);
        (lines[n as usize].0[0], lines[other].0[0]) = (b, a);
    }
    Memory { burst: fetched(&lines, rounds), chased: chased(&lines, rounds) }
}

fn fetched(lines: &[Line], rounds: usize) -> Cost {
    let mut draws = Draws::new();
    let picks: Vec<usize> = (0..LINES).map(|_| draws.below(LINES) as usize).collect();
    let mut turns = picks.chunks_exact(ROUND).cycle();
    let mut sum = 0u64;
    let cost = time(rounds, ROUND, || {
        for burst in turns.next().expect("it cycles").chunks_exact(64) {
            for &pick in burst {
                prefetch(&lines[pick]);
            }
            for &pick in burst {
                sum = sum.wrapping_add(lines[pick].0[0]);
            }
        }
    });
    black_box(sum);
    cost
}

fn chased(lines: &[Line], rounds: usize) -> Cost {
    let mut at = 0;
    let cost = time(rounds, ROUND, || {
        for _ in 0..ROUND {
            at = usize::try_from(lines[at].0[0]).expect("an index");
        }
    });
    black_box(at);
    cost
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
