//! Two threads on one director: whoever receives packets steers them by `shard_of`, so that requests and replies of a flow
//! meet at the thread that has its connection.

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use lvs_core::testkit::packets::Builder;
use lvs_core::{Config, Instant, Listing, Meta, Packet, PassReason, Protocol, SharedDirector, Verdict};

const RULES: &str = "\
-A -t 192.0.2.10:80 -s wlc
-a -t 192.0.2.10:80 -r 10.0.0.1:8080 -m
-a -t 192.0.2.10:80 -r 10.0.0.2:8080 -m -w 2
-A -u 192.0.2.10:53 -s rr
-a -u 192.0.2.10:53 -r 10.0.0.1:53 -m
-a -u 192.0.2.10:53 -r 10.0.0.2:53 -m
";
const WORKERS: usize = 2;
const CLIENTS: u16 = 500;
/// What a client sends: a SYN, and then the rest of a conversation.
const FLAGS: [u8; 6] = [0x02, 0x10, 0x18, 0x10, 0x18, 0x10];
const BURST: usize = 64;

/// A packet on its way, and when it came.
type Frame = (Instant, Vec<u8>);

/// A thread that takes packets: where it is handed them, and where it says what left.
struct Worker {
    packets: Sender<Frame>,
    left: Receiver<Frame>,
}

/// Balances conversations of many clients with two threads, and writes what each did.
///
/// # Errors
/// If the director takes its rules badly, or `out` what is written.
pub fn run(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let director = SharedDirector::new(Config::with_seed(7), WORKERS)?;
    director.load(RULES)?;
    let mut replies = 0;
    let counts = thread::scope(|threads| {
        let (workers, running): (Vec<_>, Vec<_>) = (0..WORKERS)
            .map(|shard| {
                let ((packets, taken), (leaving, left)) = (channel(), channel());
                let director = &director;
                (Worker { packets, left }, threads.spawn(move || work(director, shard, &taken, &leaving)))
            })
            .unzip();
        for (round, flags) in (1..).zip(FLAGS) {
            let now = Instant::from_secs(round);
            let forwarded = exchange(&director, &workers, now, requests(flags));
            let answers =
                exchange(&director, &workers, now, forwarded.iter().map(|bytes| reply(bytes, flags)).collect());
            replies += answers.iter().filter(|bytes| bytes[12..16] == [192, 0, 2, 10]).count();
            // Whoever has nothing better to do lets time pass.
            while director.advance(now, 1000).more {}
        }
        // Without anybody who hands them packets the workers come to their end.
        drop(workers);
        running.into_iter().map(|worker| worker.join().expect("no worker panics")).collect::<Vec<_>>()
    });
    for (shard, (count, lent)) in counts.iter().zip(director.lent()).enumerate() {
        writeln!(out, "worker {shard}: {count} packets, {lent} connections")?;
    }
    writeln!(out, "{replies} replies from the virtual address")?;
    write!(out, "{}", director.listing(&Listing::default())?)?;
    Ok(())
}

/// Hands packets to the workers, each to the one that has its flow, and returns what leaves.
fn exchange(director: &SharedDirector, workers: &[Worker], now: Instant, packets: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut waiting = [0; WORKERS];
    for mut bytes in packets {
        let shard = director.shard_of(&Packet::whole(&mut bytes));
        waiting[shard] += 1;
        workers[shard].packets.send((now, bytes)).expect("the worker takes packets until we go");
    }
    let left = |(worker, count): (&Worker, usize)| worker.left.iter().take(count).map(|(_, bytes)| bytes).collect();
    workers.iter().zip(waiting).flat_map(|each| -> Vec<Vec<u8>> { left(each) }).collect()
}

/// A worker: bursts of whatever is there, at its own shard. Returns how many packets it took.
fn work(director: &SharedDirector, shard: usize, taken: &Receiver<Frame>, leaving: &Sender<Frame>) -> usize {
    let mut count = 0;
    while let Ok(first) = taken.recv() {
        let now = first.0;
        let mut frames: Vec<Frame> = std::iter::once(first).chain(taken.try_iter()).take(BURST).collect();
        let mut packets: Vec<Packet<'_>> = frames.iter_mut().map(|(_, bytes)| Packet::whole(bytes)).collect();
        let mut verdicts = [Verdict::Pass(PassReason::NoService); BURST];
        count += director.process_burst(shard, now, &mut packets, &[Meta::default(); BURST], &mut verdicts);
        for (frame, verdict) in frames.into_iter().zip(verdicts) {
            assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
            if leaving.send(frame).is_err() {
                return count;
            }
        }
    }
    count
}

/// A packet of each client to each service.
fn requests(flags: u8) -> Vec<Vec<u8>> {
    let services = [(Protocol::Tcp, 80), (Protocol::Udp, 53)];
    let request = |client: u16, (protocol, port): (Protocol, u16)| {
        let client = SocketAddr::from(([198, 51, 100, 9], 40_000 + client));
        Builder::new(protocol, client, ([192, 0, 2, 10], port).into()).flags(flags).build()
    };
    (0..CLIENTS).flat_map(|client| services.map(|service| request(client, service))).collect()
}

/// What a server answers to a packet as it comes there.
fn reply(packet: &[u8], flags: u8) -> Vec<u8> {
    let end = |address: usize, port: usize| {
        let octets: [u8; 4] = packet[address..address + 4].try_into().expect("four octets");
        SocketAddr::from((octets, u16::from_be_bytes([packet[port], packet[port + 1]])))
    };
    let protocol = Protocol::from_number(packet[9]).expect("a protocol that is balanced");
    Builder::new(protocol, end(16, 22), end(12, 20)).flags(flags | 0x10).build()
}
