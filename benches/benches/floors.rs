//! Established NAT connections against the floors of compute and memory, and what a connection takes of memory.
//!
//! `cargo bench --bench floors`

use std::hint::black_box;

use lvs_benches::floor::{compute_ns, memory_ns};
use lvs_benches::flows::{BUFFER, LEN, OFFSET, address, established, segment};
use lvs_benches::time::median_ns;
use lvs_core::{Director, Instant, Meta, Packet, PassReason, Verdict};

const BURST: usize = 64;
const MANY: u32 = 1 << 20;
const FEW: u32 = 64;

fn main() {
    let f1 = compute_ns();
    let f2 = memory_ns();
    println!("F1  compute floor, 64 flows in the first-level cache             {f1:7.1} ns");
    println!("F2  memory floor, a random line of 64 MiB, bursts of 64          {f2:7.1} ns");

    let mut few = established(FEW, "-m", 8);
    let t1 = cost(&mut few, FEW, 1);
    row("T1  NAT, 64 flows, one at a time", t1, &[(t1 / f1, "F1", 2.0)]);
    let few_burst = cost(&mut few, FEW, BURST);
    row("    the same in bursts of 64", few_burst, &[(few_burst / f1, "F1", 2.0)]);

    if std::env::args().any(|argument| argument == "few") {
        return;
    }
    let mut many = established(MANY, "-m", 8);
    let t2 = cost(&mut many, MANY, BURST);
    row("T2  NAT, 1M random flows, bursts of 64", t2, &[(t2 / f2, "F2", 8.0), (t2 / t1, "T1", 2.2)]);
    let single = cost(&mut many, MANY, 1);
    row("    the same, one at a time", single, &[]);

    let bytes = many.memory() as f64 / f64::from(MANY);
    let met = if bytes <= 160.0 { "met" } else { "not met" };
    println!("T7  memory per NAT connection, index and timers included        {bytes:7.1} B   target 160  {met}");
    for (name, method) in [("DR", "-g"), ("TUN", "-i")] {
        let mut director = established(MANY, method, 8);
        let ns = cost(&mut director, MANY, BURST);
        row(&format!("    {name}, 1M random flows, bursts of 64"), ns, &[(ns / t2, "NAT", 1.1)]);
    }
}

fn row(name: &str, ns: f64, ratios: &[(f64, &str, f64)]) {
    print!("{name:64} {ns:7.1} ns");
    for (ratio, reference, target) in ratios {
        let met = if ratio <= target { "met" } else { "not met" };
        print!("   {ratio:.2} x {reference} (target {target}: {met})");
    }
    println!();
}

/// Nanoseconds per packet of random flows, making the packets not included.
fn cost(director: &mut Director, flows: u32, burst: usize) -> f64 {
    // Rounds are short, so that another program on the same core falls between them; each has packets of its own.
    const ROUND: usize = 1 << 13;
    const ROUNDS: usize = 101;
    const PACKETS: usize = ROUND * (ROUNDS + 1);
    let segment = segment(0x10);
    let mut state = 1u64;
    let picks: Vec<u32> = (0..PACKETS)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::try_from((state >> 32) % u64::from(flows)).expect("below the number of flows")
        })
        .collect();
    let mut buffers = vec![[0u8; BUFFER]; BURST];
    let metas = [Meta::default(); BURST];
    let mut verdicts = [Verdict::Pass(PassReason::NoService); BURST];
    let mut rounds = picks.chunks_exact(ROUND).cycle();
    let mut round = |director: Option<&mut Director>| {
        let mut director = director;
        for chunk in rounds.next().expect("it cycles").chunks_exact(BURST) {
            for (buffer, &n) in buffers.iter_mut().zip(chunk) {
                buffer[OFFSET..OFFSET + LEN].copy_from_slice(&segment);
                address(&mut buffer[OFFSET..OFFSET + LEN], n);
            }
            if let Some(director) = director.as_deref_mut() {
                let now = Instant::from_millis(2);
                let mut packets = buffers.each_mut_packet();
                if burst == 1 {
                    for (packet, verdict) in packets.iter_mut().zip(&mut verdicts) {
                        *verdict = director.process(now, packet, metas[0]);
                    }
                } else {
                    director.process_burst(now, &mut packets, &metas, &mut verdicts);
                }
                assert!(matches!(verdicts[BURST - 1], Verdict::Forward(_)));
            } else {
                black_box(&mut buffers.each_mut_packet());
            }
        }
    };
    let whole = median_ns(ROUNDS, ROUND, || round(Some(director)));
    let making = median_ns(ROUNDS, ROUND, || round(None));
    whole - making
}

trait EachPacket {
    fn each_mut_packet(&mut self) -> [Packet<'_>; BURST];
}

impl EachPacket for Vec<[u8; BUFFER]> {
    fn each_mut_packet(&mut self) -> [Packet<'_>; BURST] {
        let mut buffers = self.iter_mut();
        core::array::from_fn(|_| Packet::new(buffers.next().expect("64 buffers"), OFFSET, LEN).expect("room"))
    }
}
