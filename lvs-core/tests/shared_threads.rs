//! Threads that bring packets to a shared director while others command it and let time pass, and what has to be true of
//! all they are told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lvs_core::testkit::packets::Builder;
use lvs_core::{
    Config, ConnId, Drain, Filter, Instant, Listing, Meta, Packet, PassReason, Path, Protocol, Rest, ServerId,
    SharedDirector, Verdict,
};

const VIP: &str = "192.0.2.10";
const SECOND: u64 = 1_000_000_000;
/// Longer than any connection lives.
const AGES: Duration = Duration::from_secs(40 * 86_400);

/// Two services by each method, one of them persistent.
const RULES: &str = "\
-A -t 192.0.2.10:80 -s wlc
-a -t 192.0.2.10:80 -r 10.0.0.1:8080 -m
-a -t 192.0.2.10:80 -r 10.0.0.2:8080 -m -w 2
-a -t 192.0.2.10:80 -r 10.0.0.3:8080 -m -x 40 -y 30
-A -t 192.0.2.10:81 -s rr -p 60
-a -t 192.0.2.10:81 -r 10.0.0.1:80 -g
-a -t 192.0.2.10:81 -r 10.0.0.2:80 -i
-A -u 192.0.2.10:53 -s sh
-a -u 192.0.2.10:53 -r 10.0.0.1:53 -m
-a -u 192.0.2.10:53 -r 10.0.0.2:53 -i --tun-type gre
";

fn farm(shards: usize) -> SharedDirector {
    let config = Config {
        connections: 1 << 14,
        path: Path::new(1500).tunnel_source("10.0.0.254".parse().expect("an address")),
        ..Config::with_seed(11)
    };
    let director = SharedDirector::new(config, shards).expect("a configuration");
    director.load(RULES).expect("rules");
    director
}

/// A flow of a thread's: protocol, the client's port, the service's.
type Flow = (Protocol, u16, u16);
/// A packet, and the flow that it is a request of.
type Drawn = (Vec<u8>, Option<Flow>);

/// A thread with flows of its own, which keeps to what it was told of each.
struct Worker<'a> {
    director: &'a SharedDirector,
    clock: &'a AtomicU64,
    number: usize,
    state: u64,
    /// What each flow was last said to be: its connection, and the server.
    known: BTreeMap<Flow, (ConnId, ServerId)>,
    packets: u64,
    /// Whether flows may lose their server.
    is_calm: bool,
}

impl Worker<'_> {
    fn draw(&mut self, below: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.state >> 33) % below
    }

    fn run(&mut self, bursts: usize) {
        for _ in 0..bursts {
            let packets: Vec<_> = (0..1 + self.draw(70)).map(|_| self.packet()).collect();
            self.bring(packets);
        }
    }

    /// A packet of one of the thread's flows, most of them in mid-stream.
    fn packet(&mut self) -> Drawn {
        let (protocol, port) = [(Protocol::Tcp, 80), (Protocol::Tcp, 81), (Protocol::Udp, 53)][self.draw(3) as usize];
        let own =
            u16::try_from(20_000 + self.number * 1000).expect("a port") + u16::try_from(self.draw(60)).expect("few");
        let flags = [0x10, 0x10, 0x10, 0x10, 0x10, 0x18, 2, 2, 0x11, 4][self.draw(10) as usize];
        let client: SocketAddr = format!("198.51.100.9:{own}").parse().expect("an endpoint");
        let vip: SocketAddr = format!("{VIP}:{port}").parse().expect("an endpoint");
        if self.draw(4) == 0 {
            let host = 1 + self.draw(3);
            let server = if port == 80 { format!("10.0.0.{host}:8080") } else { format!("10.0.0.{host}:{port}") };
            let server = server.parse().expect("an endpoint");
            return (Builder::new(protocol, server, client).flags(flags | 0x10).build(), None);
        }
        (Builder::new(protocol, client, vip).flags(flags).build(), Some((protocol, own, port)))
    }

    fn bring(&mut self, mut drawn: Vec<Drawn>) {
        let now = Instant::from_nanos(self.clock.fetch_add(SECOND / 1000, Ordering::Relaxed));
        let count = drawn.len();
        self.packets += count as u64;
        let flows: Vec<_> = drawn.iter().map(|(_, flow)| *flow).collect();
        let mut room: Vec<Vec<u8>> = drawn.iter_mut().map(|(bytes, _)| [&[0; 64], &bytes[..]].concat()).collect();
        let mut packets: Vec<Packet<'_>> = room
            .iter_mut()
            .map(|bytes| {
                let len = bytes.len() - 64;
                Packet::new(bytes, 64, len).expect("within its buffer")
            })
            .collect();
        let mut verdicts = vec![Verdict::Pass(PassReason::NoService); count];
        // Now and then to a shard that is another thread's.
        let shard = if self.draw(8) == 0 { self.draw(9) as usize } else { self.number };
        assert_eq!(
            self.director.process_burst(shard, now, &mut packets, &vec![Meta::default(); count], &mut verdicts),
            count
        );
        // Of packets that one burst has for a flow, those that came astray are last: only the latest says how it stands.
        for (flow, verdict) in flows.into_iter().zip(verdicts) {
            if let (Some(flow), Verdict::Forward(out)) = (flow, verdict) {
                let (connection, server) = (out.connection.expect("a connection"), out.server.expect("a server"));
                let before = self.known.insert(flow, (connection, server));
                if let Some((same, of)) = before
                    && same == connection
                    && self.is_calm
                {
                    assert_eq!(of, server, "a connection keeps its server");
                }
            }
        }
    }
}

/// Runs threads over a director, each with a shard of its own and all of them astray at times; `command` is called by yet
/// another one until they have finished. How many packets there were.
fn run(director: &SharedDirector, threads: usize, is_calm: bool, command: impl Fn(usize) + Sync) -> u64 {
    let clock = AtomicU64::new(SECOND);
    let done = AtomicBool::new(false);
    let mut workers: Vec<Worker<'_>> = (0..threads)
        .map(|number| Worker {
            director,
            clock: &clock,
            number,
            state: number as u64 + 1,
            known: BTreeMap::new(),
            packets: 0,
            is_calm,
        })
        .collect();
    std::thread::scope(|scope| {
        let commander = scope.spawn(|| {
            for turn in 0.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let now = Instant::from_nanos(clock.load(Ordering::Relaxed));
                let _ = director.advance(now, 100);
                command(turn);
                std::thread::yield_now();
            }
        });
        let running: Vec<_> = workers.iter_mut().map(|worker| scope.spawn(|| worker.run(400))).collect();
        for worker in running {
            worker.join().expect("no worker panics");
        }
        done.store(true, Ordering::Relaxed);
        commander.join().expect("no command panics");
    });
    check(director);
    workers.iter().map(|worker| worker.packets).sum()
}

/// What servers count is what is listed for them.
fn check(director: &SharedDirector) {
    while director.advance(Instant::ZERO, 1000).more {}
    let (listed, services) =
        director.with(|director| (director.connections().collect::<Vec<_>>(), director.services()));
    for server in services.iter().flat_map(|service| &service.servers) {
        let own: Vec<_> = listed.iter().filter(|connection| connection.server_id == Some(server.id)).collect();
        let (templates, plain): (Vec<_>, Vec<_>) = own.into_iter().partition(|c| c.client.port() == 0);
        let active = plain.iter().filter(|connection| connection.state == "ESTABLISHED").count();
        assert_eq!(plain.len(), (server.active + server.inactive) as usize, "{server:?}");
        assert_eq!(templates.len(), server.persistent as usize, "{server:?}");
        assert!(active <= server.active as usize, "{server:?}");
    }
}

/// Nothing is left when everything has timed out.
fn end(director: &SharedDirector) {
    while director.advance(Instant::ZERO + AGES, 1000).more {}
    assert_eq!((director.connection_count(), director.lent().iter().sum::<usize>()), (0, 0));
    for server in director.services().iter().flat_map(|service| &service.servers) {
        assert_eq!((server.active, server.inactive, server.persistent), (0, 0, 0), "{server:?}");
    }
}

#[test]
fn flows_keep_their_servers_and_every_packet_is_counted() {
    for (threads, shards) in [(2, 2), (3, 2), (4, 4)] {
        let director = farm(shards);
        let lent = AtomicU64::new(0);
        let packets = run(&director, threads, true, |_| {
            lent.fetch_max(director.lent().iter().sum::<usize>() as u64, Ordering::Relaxed);
        });
        assert_eq!(director.reasons().total(), packets);
        assert!(lent.into_inner() > 10, "connections were lent");
        let counted: u64 = director
            .services()
            .iter()
            .flat_map(|service| &service.servers)
            .map(|server| director.server_counters(server.id).expect("a server"))
            .map(|counters| counters.in_packets + counters.out_packets)
            .sum();
        assert_eq!(counted, director.reasons().forwarded());
        end(&director);
    }
}

#[test]
fn whatever_is_commanded_meanwhile() {
    let director = farm(3);
    let packets = run(&director, 3, false, |turn| {
        let servers: Vec<_> = director.services().iter().flat_map(|service| &service.servers).map(|s| s.id).collect();
        let server = servers[turn % servers.len()];
        match turn % 16 {
            0 => drop(director.run("-e -t 192.0.2.10:80 -r 10.0.0.1:8080 -m -w 0")),
            1 => drop(director.run("-e -t 192.0.2.10:80 -r 10.0.0.1:8080 -m -w 3")),
            2 => drop(director.run("-d -t 192.0.2.10:80 -r 10.0.0.2:8080")),
            3 => drop(director.run("-a -t 192.0.2.10:80 -r 10.0.0.2:8080 -m -w 2")),
            4 => drop(director.flush(&Filter::server(server))),
            5 => drop(director.drain(server, Drain::new().until(Instant::from_secs(2), Rest::Drop))),
            6 => drop(director.undrain(server)),
            7 => director.set_tunable("expire_nodest_conn", "1").expect("a tunable"),
            8 => director.set_tunable("expire_nodest_conn", "0").expect("a tunable"),
            9 => director.set_path("10.0.0.2".parse().expect("an address"), Path::new(1400)),
            10 => director.set_tunable("drop_entry", if turn % 32 < 16 { "1" } else { "0" }).expect("a tunable"),
            11 => check(&director),
            12 => drop(director.listing(&Listing::default())),
            13 => drop(director.metrics()),
            14 => drop(director.apply(RULES).expect("rules")),
            _ => {
                for connection in director.connections().iter().take(20) {
                    let again = director.connection(connection.id);
                    assert!(again.is_none_or(|again| again.client == connection.client));
                }
            }
        }
    });
    assert_eq!(director.reasons().total(), packets);
    director.apply(RULES).expect("rules");
    end(&director);
}
