//! Among many servers the schedulers that look for the least do not look at all of them; what they pick is what a look at all of
//! them picks, whatever happened to the servers before.

use std::time::Duration;

use lvs_core::sched::{Candidate, Pool, SchedulerKind, SchedulerTunables};
use lvs_core::testkit::TestPool;
use lvs_core::testkit::packets::{self, Builder};
use lvs_core::{
    CandidateValues, Config, Director, Drain, Filter, Found, Instant, Kernel, Meta, Packet, ServerId, ServerSpec,
    ServiceId, ServiceOptions, SlowStart, Verdict,
};
use proptest::prelude::*;

/// So few servers, and two more, are on both sides of where schedulers begin to remember.
const ABOUT_FEW: u16 = 31;

/// What happens to a pool. A server is a number, to be taken modulo the servers that there are.
#[derive(Clone, Copy, Debug)]
enum Event {
    Add(u32),
    Remove(u16),
    Weigh(u16, u32),
    Limit(u16, u32, u32),
    Connect(u16, bool),
    Disconnect(u16),
    Activate(u16),
    Deactivate(u16),
    Count(u16, u32, u32),
    /// So many connections at one server after the other: more than is remembered.
    Flood(u16),
    Restart,
    Pick,
}

fn event() -> impl Strategy<Value = Event> {
    let weight = || prop_oneof![1 => Just(0u32), 6 => 1..6u32, 1 => Just(u32::MAX), 1 => any::<u32>()];
    let connections = || prop_oneof![8 => 0..9u32, 1 => any::<u32>()];
    prop_oneof![
        2 => weight().prop_map(Event::Add),
        2 => any::<u16>().prop_map(Event::Remove),
        4 => (any::<u16>(), weight()).prop_map(|(server, weight)| Event::Weigh(server, weight)),
        3 => (any::<u16>(), 0..5u32, 0..5u32).prop_map(|(server, upper, lower)| Event::Limit(server, upper, lower)),
        12 => (any::<u16>(), any::<bool>()).prop_map(|(server, active)| Event::Connect(server, active)),
        8 => any::<u16>().prop_map(Event::Disconnect),
        4 => any::<u16>().prop_map(Event::Activate),
        4 => any::<u16>().prop_map(Event::Deactivate),
        4 => (any::<u16>(), connections(), connections()).prop_map(|(server, all, active)| Event::Count(server, all, active)),
        1 => any::<u16>().prop_map(Event::Flood),
        1 => Just(Event::Restart),
        24 => Just(Event::Pick),
    ]
}

/// A pool and the servers in it, the latest last.
struct Many {
    pool: TestPool,
    ids: Vec<ServerId>,
    added: u16,
    kind: SchedulerKind,
}

impl Many {
    fn new(kind: SchedulerKind, kernel: Kernel, servers: u16) -> Self {
        let mut pool = TestPool::new().kernel(kernel);
        pool.attach(kind.build(7, SchedulerTunables::default())).unwrap();
        let mut many = Self { pool, ids: Vec::new(), added: 0, kind };
        (0..servers).for_each(|n| many.happen(Event::Add(u32::from(n % 4) + 1)));
        many
    }

    fn id(&self, server: u16) -> Option<ServerId> {
        let at = usize::from(server).checked_rem(self.ids.len())?;
        Some(self.ids[at])
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Add(weight) => {
                let [high, low] = self.added.to_be_bytes();
                self.added += 1;
                let spec = ServerSpec::nat(([10, 0, high, low], 80).into()).weight(weight);
                self.ids.push(self.pool.add(spec));
            }
            Event::Restart => self.pool.restart().unwrap(),
            Event::Flood(count) => {
                for server in 0..count % 500 {
                    self.happen(Event::Connect(server, server % 3 == 0));
                }
            }
            Event::Pick => self.check(),
            Event::Remove(server)
            | Event::Weigh(server, _)
            | Event::Limit(server, ..)
            | Event::Connect(server, _)
            | Event::Disconnect(server)
            | Event::Activate(server)
            | Event::Deactivate(server)
            | Event::Count(server, ..) => {
                if let Some(id) = self.id(server) {
                    self.happen_to(id, event);
                }
            }
        }
    }

    fn happen_to(&mut self, id: ServerId, event: Event) {
        match event {
            Event::Remove(_) => {
                self.pool.remove(id);
                self.ids.retain(|&other| other != id);
            }
            Event::Weigh(_, weight) => self.pool.set_weight(id, weight),
            Event::Limit(_, upper, lower) => self.pool.edit(id, self.pool.spec(id).thresholds(upper, lower)),
            Event::Connect(_, active) => self.pool.connect(id, active),
            Event::Disconnect(_) => self.pool.disconnect(id),
            Event::Activate(_) => self.pool.activate(id),
            Event::Deactivate(_) => self.pool.deactivate(id),
            Event::Count(_, connections, active) => self.pool.set_connections(id, connections, active.min(connections)),
            Event::Add(_) | Event::Flood(_) | Event::Restart | Event::Pick => {}
        }
    }

    /// The pick is the one of a look at all; a copy of the scheduler answers the same, and so does one that begins.
    fn check(&mut self) {
        let flow = self.pool.flow([192, 168, 1, 1], 1_024);
        let wanted = least(self.kind, &self.pool.pool());
        let mut copy = self.pool.scheduler().unwrap().fork().unwrap();
        assert_eq!(copy.pick(&flow, &self.pool.pool()), wanted, "a copy of {}", self.kind);
        assert_eq!(self.pool.pick(&flow), wanted, "{}", self.kind);
        let mut anew = self.kind.build(7, SchedulerTunables::default());
        assert_eq!(anew.pick(&flow, &self.pool.pool()), wanted, "{} from the beginning", self.kind);
    }
}

/// The first server of the list that is less loaded than all before, and not more than any after.
fn least(kind: SchedulerKind, pool: &Pool<'_>) -> Option<ServerId> {
    let eligible = || pool.iter().filter(Candidate::is_eligible);
    let signed = |number: u32| i128::from(number.cast_signed());
    let least = |load: &dyn Fn(&Candidate<'_>) -> i128| {
        let exceeds =
            |a: &Candidate<'_>, b: &Candidate<'_>| load(a) * i128::from(b.weight()) > load(b) * i128::from(a.weight());
        eligible().reduce(|best, server| if exceeds(&best, &server) { server } else { best })
    };
    let expected = |server: &Candidate<'_>| signed(server.active().wrapping_add(1));
    let heaviest = |may: &dyn Fn(&Candidate<'_>) -> bool| {
        eligible().filter(may).reduce(|best, server| if server.weight() > best.weight() { server } else { best })
    };
    let found = match kind {
        SchedulerKind::LeastConnection => eligible().min_by_key(Candidate::overhead),
        SchedulerKind::WeightedLeastConnection => least(&|server| signed(server.overhead())),
        SchedulerKind::ShortestExpectedDelay => least(&expected),
        SchedulerKind::NeverQueue => eligible().find(|server| server.active() == 0).or_else(|| least(&expected)),
        SchedulerKind::WeightedFailover => heaviest(&|_| true),
        SchedulerKind::WeightedOverflow => heaviest(&|server| server.active() <= server.weight()),
        other => panic!("{other} is none of these"),
    };
    found.map(|server| server.id())
}

const KINDS: [SchedulerKind; 6] = [
    SchedulerKind::WeightedFailover,
    SchedulerKind::WeightedOverflow,
    SchedulerKind::LeastConnection,
    SchedulerKind::WeightedLeastConnection,
    SchedulerKind::ShortestExpectedDelay,
    SchedulerKind::NeverQueue,
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn the_pick_is_that_of_a_look_at_all(
        servers in prop_oneof![Just(ABOUT_FEW), 60..70u16, 100..300u16],
        older in any::<bool>(),
        events in prop::collection::vec(event(), 1..300),
    ) {
        let kernel = if older { Kernel::Older } else { Kernel::V6_1_192 };
        for kind in KINDS {
            let mut many = Many::new(kind, kernel, servers);
            events.iter().for_each(|&event| many.happen(event));
            many.check();
        }
    }
}

/// Whoever is picked gets a connection, as in life: no two picks look at the same loads.
#[test]
fn servers_are_filled_as_a_look_at_all_would() {
    for kind in KINDS.into_iter().skip(2) {
        let mut many = Many::new(kind, Kernel::default(), 200);
        let mut picked = std::collections::HashSet::new();
        for n in 0..2_000u16 {
            many.check();
            let id = many.pool.pick(&many.pool.flow([192, 168, 1, 1], n)).unwrap();
            picked.insert(id);
            many.pool.connect(id, n % 5 > 0);
            many.happen(Event::Disconnect(n.wrapping_mul(7)));
        }
        assert!(picked.len() > 50, "{kind}: {} servers", picked.len());
    }
}

const VIP: &str = "192.0.2.10:80";

/// A director with a service of many servers, to which everything happens that can happen to servers.
struct Life {
    director: Director,
    service: ServiceId,
    now: Instant,
    port: u16,
    picked: std::collections::BTreeSet<ServerId>,
}

impl Life {
    fn new(servers: u8) -> Self {
        let mut director = Director::new(Config { connections: 400, ..Config::with_seed(7) }).unwrap();
        // A service that takes the first slot, and leaves it to the one that is looked at.
        director.load(&format!("-A -t {VIP} -s wlc\n-a -t {VIP} -r 10.0.0.1:80 -m\n")).unwrap();
        let first = director.services()[0].id;
        director.remove_service(first).unwrap();
        director.load(&format!("-A -t {VIP} -s wlc\n")).unwrap();
        let service = director.services()[0].id;
        let mut life = Self {
            director,
            service,
            now: Instant::from_secs(100),
            port: 1_024,
            picked: std::collections::BTreeSet::new(),
        };
        (0..servers).for_each(|host| life.add(host));
        life
    }

    fn add(&mut self, host: u8) {
        let weight = u32::from(host % 5);
        let spec = ServerSpec::nat(([10, 0, 0, host], 80).into()).weight(weight).thresholds(u32::from(host % 3) * 4, 0);
        let _ = self.director.add_server(self.service, spec);
    }

    fn server(&self, host: u8) -> Option<ServerId> {
        let servers = self.director.service(self.service).unwrap().servers;
        servers.iter().find(|server| server.spec.address == ([10, 0, 0, host], 80).into()).map(|server| server.id)
    }

    fn send(&mut self, packet: &Builder) -> Verdict {
        let bytes = packet.build();
        let mut buffer = [&[0; 64], &bytes[..]].concat();
        let mut packet = Packet::new(&mut buffer, 64, bytes.len()).unwrap();
        self.director.process(self.now, &mut packet, Meta::default())
    }

    /// A connection begins; perhaps it is established, and perhaps it ends.
    fn connect(&mut self, goes_on: bool, ends: bool) {
        self.port += 1;
        let client = format!("198.51.100.9:{}", self.port);
        let syn = packets::tcp(&client, VIP).syn();
        let mut bytes = syn.build();
        let len = bytes.len();
        let packet = Packet::new(&mut bytes, 0, len).unwrap();
        let Found::Service { choice: Some(choice), .. } =
            self.director.explain(self.now, &packet, Meta::default()).found
        else {
            panic!("a new flow of the service")
        };
        let wanted = least_by_weight(&choice.candidates);
        assert_eq!(choice.server, wanted);
        let Verdict::Forward(out) = self.send(&syn) else {
            assert_eq!(wanted, None);
            return;
        };
        assert_eq!(out.server, wanted);
        self.picked.extend(wanted);
        if goes_on {
            let end = self.director.server(out.server.unwrap()).unwrap().spec.address.to_string();
            let _ = self.send(&packets::tcp(&end, &client).flags(0x12));
            let _ = self.send(&packets::tcp(&client, VIP).flags(0x10));
        }
        if ends {
            let _ = self.send(&packets::tcp(&client, VIP).flags(0x04));
        }
    }

    fn rest(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        while self.director.advance(self.now, 1_000).more {}
    }

    fn slow_start(&mut self, begins: bool) {
        let slow_start = begins.then_some(SlowStart { duration: Duration::from_secs(30), least_percent: 10 });
        self.director.set_service_options(self.service, ServiceOptions { slow_start, ..Default::default() }).unwrap();
    }

    fn operate(&mut self, host: u8, what: u8) {
        let address = ([10, 0, 0, host], 80).into();
        let Some(server) = self.server(host) else { return self.add(host) };
        match what % 8 {
            0 => self.director.remove_server(self.service, address).unwrap(),
            1 => self.director.drain(server, Drain::default()).unwrap(),
            2 => self.director.undrain(server).unwrap(),
            3 => assert!(self.director.flush(&Filter::server(server)).is_ok()),
            4 => self.slow_start(host.is_multiple_of(2)),
            5 => {
                let text = format!("-e -t {VIP} -r 10.0.0.{host}:80 -m -w {} -x {}", host % 7, host % 4 * 3);
                self.director.run(&text).unwrap();
            }
            6 => self.rest(u64::from(host)),
            _ => self.rest(1),
        }
    }
}

/// `wlc` over what `explain` says of the servers.
fn least_by_weight(candidates: &[CandidateValues]) -> Option<ServerId> {
    let eligible = candidates.iter().filter(|server| server.effective_weight > 0 && !server.overloaded);
    let overhead = |server: &CandidateValues| u64::from(server.active * 257 + server.inactive);
    let exceeds = |a: &CandidateValues, b: &CandidateValues| {
        overhead(a) * u64::from(b.effective_weight) > overhead(b) * u64::from(a.effective_weight)
    };
    eligible.reduce(|best, server| if exceeds(best, server) { server } else { best }).map(|server| server.id)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn a_director_picks_as_a_look_at_all_would(
        servers in 30..80u8,
        steps in prop::collection::vec((any::<bool>(), any::<bool>(), prop::option::weighted(0.3, (0..80u8, any::<u8>()))), 200..400),
    ) {
        let mut life = Life::new(servers);
        for (goes_on, ends, operation) in steps {
            life.connect(goes_on, ends);
            if let Some((host, what)) = operation {
                life.operate(host, what);
            }
        }
        prop_assert!(life.picked.len() > 5, "{} servers", life.picked.len());
    }
}
