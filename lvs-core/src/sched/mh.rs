//! Maglev hashing scheduling.
//!
//! Owns: a table of 4093 places shared out by weight, and its hash functions.
//! Follows: the `mh` scheduler of IPVS on 64-bit machines, and "Maglev: A Fast and Reliable Software Network Load
//! Balancer" (Eisenbud and others, 2016). The table is made from the latest weights that were not 0: a quiesced server
//! keeps its places, and other clients keep their servers.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::{Candidate, NewFlow, Pool, PoolRefused, Scheduler, Weights, gcd};
use crate::addr::{Addr, Family};
use crate::service::{SchedulerFlags, ServerId};
use crate::time::Instant;

/// `mh`: the server that belongs to the client's address, and to its port if [`SchedulerFlags::PORT`] is set; changes
/// to the service move few other clients.
///
/// When one of so many servers leaves, at most so many of the other servers' clients get another server too
/// (`tests/picks.rs` measures it):
///
/// | servers | of equal weight | of weights 1 to 4 |
/// |---|---|---|
/// | 3 | 0.2 % | 0.2 % |
/// | 10 | 1.6 % | 1.7 % |
/// | 50 | 2.9 % | 3.8 % |
/// | 100 | 3.3 % | 2.1 % |
///
/// None at all when a server is quiesced by weight 0, which keeps its places. With `sh`, nearly all do.
///
/// If that server cannot take the flow the pick fails, unless [`SchedulerFlags::FALLBACK`] is set. A service may have
/// up to 4093 servers.
#[derive(Clone, Debug)]
pub struct Maglev {
    /// Indices into `members`.
    places: Box<[u16]>,
    /// The list that the table was made from: a table that could not be made anew goes on with the servers it knows.
    members: Vec<ServerId>,
    /// The pool has changed, and the table is to be made anew.
    is_stale: bool,
}

impl Maglev {
    /// All places empty.
    #[must_use]
    pub fn new() -> Self {
        Self { places: alloc::vec![EMPTY; PLACES].into_boxed_slice(), members: Vec::new(), is_stale: false }
    }

    /// Makes the table anew.
    fn populate(&mut self, pool: &Pool<'_>) -> Result<(), PoolRefused> {
        if pool.len() > PLACES {
            return Err(PoolRefused);
        }
        self.take(pool, 0);
        Ok(())
    }

    /// Makes the table of the servers from a position on.
    fn take(&mut self, pool: &Pool<'_>, from: usize) {
        self.is_stale = false;
        self.members.clear();
        self.members.extend(pool.iter().skip(from).map(|server| server.id()));
        self.places.fill(EMPTY);
        self.claim_all(&mut claimants(pool, from));
    }

    /// The table is to be made anew: of a row of changes the last one alone counts. A pool that has outgrown the table leaves
    /// it as it is, as in the kernel; new servers then get no flow.
    const fn changed(&mut self, pool: &Pool<'_>) {
        self.is_stale |= pool.len() <= PLACES;
    }

    /// Lets the claimants take places in turn until none is left.
    fn claim_all(&mut self, claimants: &mut [Claimant]) {
        if claimants.is_empty() {
            return;
        }
        let mut left = PLACES;
        while left > 0 {
            for claimant in claimants.iter_mut() {
                let turn = left.min(claimant.quota as usize);
                for _ in 0..turn {
                    claimant.claim(&mut self.places);
                }
                left -= turn;
            }
        }
    }

    /// The server of a place. `None` for an empty table; `Some(None)` if the server cannot take the flow.
    fn at(&self, place: u32, pool: &Pool<'_>) -> Option<Option<ServerId>> {
        let id = *self.members.get(usize::from(self.places[place as usize]))?;
        Some(pool.find(id).filter(Candidate::is_eligible).map(|server| server.id()))
    }

    /// The first server that can take the flow, over places that the same hash gives for other offsets.
    fn fall_back(&self, client: u32, home: u32, pool: &Pool<'_>) -> Option<ServerId> {
        let offsets = (home..PLACES_U32).chain(0..home);
        offsets
            .map(|offset| self.at(place(client.wrapping_add(offset)), pool))
            .take_while(Option::is_some)
            .find_map(Option::flatten)
    }
}

impl Default for Maglev {
    fn default() -> Self {
        Self::new()
    }
}

impl Scheduler for Maglev {
    fn pick(&mut self, flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        self.settled(pool);
        let port = u32::from(flow.hashed_port(pool.flags()));
        let client = flow.client.fold().wrapping_add(port);
        let home = place(client);
        self.at(home, pool)?.or_else(|| {
            let falls_back = pool.flags().contains(SchedulerFlags::FALLBACK);
            falls_back.then(|| self.fall_back(client, home, pool)).flatten()
        })
    }

    fn start(&mut self, pool: &Pool<'_>, _now: Instant) -> Result<(), PoolRefused> {
        self.populate(pool)
    }

    fn added(&mut self, pool: &Pool<'_>) {
        // One too many: the last table is that of the pool without it.
        if self.is_stale && pool.len() > PLACES {
            self.take(pool, 1);
        }
        self.changed(pool);
    }

    fn removed(&mut self, _position: usize, pool: &Pool<'_>) {
        self.changed(pool);
    }

    fn edited(&mut self, _position: usize, pool: &Pool<'_>) {
        self.changed(pool);
    }

    fn settled(&mut self, pool: &Pool<'_>) {
        if self.is_stale {
            let _ = self.populate(pool);
        }
    }

    fn weights(&self) -> Weights {
        Weights::Fixed
    }

    fn fork(&self) -> Option<Box<dyn Scheduler>> {
        Some(Box::new(self.clone()))
    }
}

/// A server on its way through its own permutation of the places.
struct Claimant {
    index: u16,
    /// The next place to try, or the one it took last.
    at: u32,
    step: u32,
    /// Places per turn, at least one.
    quota: u32,
}

impl Claimant {
    fn new(index: u16, server: &Candidate<'_>, family: Family, quota: u32) -> Self {
        let key = fold_as(family, server.address().ip()).wrapping_add(u32::from(server.address().port()));
        Self { index, at: place(key), step: hash(SECOND_KEY, key) % (PLACES_U32 - 1) + 1, quota }
    }

    /// Takes the next free place; there must be one. No place becomes free again, so that all turns together pass
    /// each place once: the whole table costs at most servers times places steps, and about nine per place mostly.
    fn claim(&mut self, places: &mut [u16]) {
        while places[self.at as usize] != EMPTY {
            self.at += self.step;
            if self.at >= PLACES_U32 {
                self.at -= PLACES_U32;
            }
        }
        places[self.at as usize] = self.index;
    }
}

/// The servers from a position on that have ever had a weight, in list order, with their quotas: the weights without their common divisor,
/// halved until the largest has six bits.
fn claimants(pool: &Pool<'_>, from: usize) -> Vec<Claimant> {
    let servers = || pool.iter().skip(from);
    let divisor = servers().fold(0, |divisor, server| gcd(divisor, server.last_weight()));
    let heaviest = servers().map(|server| server.last_weight()).max().unwrap_or(0);
    let bits = heaviest.checked_div(divisor).map_or(0, |weight| u32::BITS - weight.leading_zeros());
    let shift = bits.saturating_sub(QUOTA_BITS);
    let claimant = |(index, server): (u16, Candidate<'_>)| {
        let share = server.last_weight().checked_div(divisor).filter(|&share| share > 0)?;
        Some(Claimant::new(index, &server, pool.family(), (share >> shift).max(1)))
    };
    (0..EMPTY).zip(servers()).filter_map(claimant).collect()
}

/// An address as one word, as a service of `family` sees it: an IPv4 service takes the first word, even of an IPv6
/// address.
fn fold_as(family: Family, address: IpAddr) -> u32 {
    let words = Addr::from_ip(address);
    match (family, address) {
        (Family::V4, IpAddr::V6(_)) => words.0[0],
        _ => words.fold(),
    }
}

/// The place that a client, or a server's first claim, falls on.
const fn place(key: u32) -> u32 {
    hash(FIRST_KEY, key) % PLACES_U32
}

/// SipHash-1-3 (Aumasson, Bernstein, 2012) of one 32-bit word under a key whose halves are equal, cut to 32 bits.
const fn hash(key: u64, word: u32) -> u32 {
    let block = (4 << 56) | word as u64;
    let mut v = [
        0x736f_6d65_7073_6575 ^ key,
        0x646f_7261_6e64_6f6d ^ key,
        0x6c79_6765_6e65_7261 ^ key,
        0x7465_6462_7974_6573 ^ key ^ block,
    ];
    v = sip_round(v);
    v[0] ^= block;
    v[2] ^= 0xff;
    v = sip_round(sip_round(sip_round(v)));
    low_half(v[0] ^ v[1] ^ v[2] ^ v[3])
}

const fn sip_round([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    [a, b, c, d]
}

/// The low 32 bits: the kernel's hash function returns no more.
const fn low_half(word: u64) -> u32 {
    word as u32
}

/// The kernel's default (`CONFIG_IP_VS_MH_TAB_INDEX` 12), a prime.
const PLACES: usize = 4093;
const PLACES_U32: u32 = PLACES as u32;
/// Half of that index.
const QUOTA_BITS: u32 = 6;
/// An index that no member has.
const EMPTY: u16 = u16::MAX;
const FIRST_KEY: u64 = 2_654_435_761;
const SECOND_KEY: u64 = 2_654_446_892;

#[cfg(test)]
mod tests {
    use super::super::fixture::{A, Abc, B, C};
    use super::*;
    use crate::service::ServerSpec;
    use crate::testkit::TestPool;
    use core::net::SocketAddr;
    use std::string::String;
    use std::vec;

    const CLIENTS: [[u8; 4]; 4] = [[192, 168, 1, 1], [192, 168, 1, 2], [192, 168, 1, 3], [10, 1, 2, 3]];

    fn letters(abc: &mut Abc, port: u16) -> String {
        CLIENTS.iter().map(|&client| abc.pick_for(&abc.pool.flow(client, port))).collect()
    }

    fn populated(abc: &Abc) -> Maglev {
        let mut mh = Maglev::new();
        mh.populate(&abc.pool.pool()).unwrap();
        mh
    }

    /// The letters of all places, and how many A, B and C have.
    fn table(weights: [u32; 3]) -> (String, [usize; 3]) {
        let abc = Abc::new(Maglev::new(), weights);
        let mh = populated(&abc);
        let all: String = mh.places.iter().map(|&index| abc.letter(Some(mh.members[usize::from(index)]))).collect();
        let count = ['A', 'B', 'C'].map(|letter| all.matches(letter).count());
        (all, count)
    }

    fn word(text: &str) -> u32 {
        Addr::from_ip(text.parse().unwrap()).fold()
    }

    #[test]
    fn the_hash_has_the_known_values() {
        assert_eq!(hash(FIRST_KEY, 0), 0x1d5a_77c2);
        assert_eq!(hash(SECOND_KEY, 0), 0xf882_433f);
        assert_eq!(hash(FIRST_KEY, word("192.168.1.1")), 0xd3f1_b4d3);
    }

    #[test]
    fn clients_fall_on_the_known_places() {
        let clients = ["192.168.1.1", "192.168.1.2", "192.168.1.3", "10.1.2.3"].map(word);
        assert_eq!(clients.map(place), [2456, 811, 3321, 1263]);
        assert_eq!(clients.map(|client| place(client + 1234)), [61, 482, 3516, 3211]);
    }

    #[test]
    fn falling_back_hashes_again_from_the_place_on() {
        let client = word("192.168.1.1");
        let home = place(client);
        assert_eq!([0, 1, 2, 3].map(|n| place(client + home + n)), [3069, 1670, 310, 546]);
    }

    #[test]
    fn servers_walk_the_known_permutations() {
        let abc = Abc::new(Maglev::new(), [1, 1, 1]);
        let walks: Vec<_> = claimants(&abc.pool.pool(), 0).iter().map(|c| (c.at, c.step, c.quota)).collect();
        assert_eq!(walks, [(1631, 3453, 1), (1231, 3544, 1), (3167, 700, 1)]);
    }

    #[test]
    fn equal_weights_share_the_table_equally() {
        let (all, count) = table([1, 1, 1]);
        assert_eq!((&all[..10], count), ("ABBCCABCCA", [1364, 1364, 1365]));
    }

    #[test]
    fn a_server_that_never_had_a_weight_gets_no_place() {
        let (all, count) = table([1, 2, 0]);
        assert_eq!((&all[..10], count), ("ABBBAABBBA", [1364, 2729, 0]));
    }

    #[test]
    fn large_weights_are_scaled_down() {
        let abc = Abc::new(Maglev::new(), [100, 1, 1]);
        let quotas: Vec<_> = claimants(&abc.pool.pool(), 0).iter().map(|c| c.quota).collect();
        assert_eq!(quotas, [1, 1, 50]);
        let (all, count) = table([100, 1, 1]);
        assert_eq!((&all[..10], count), ("AAAAAAAAAA", [3935, 79, 79]));
    }

    #[test]
    fn the_largest_weights_are_scaled_to_six_bits() {
        let abc = Abc::new(Maglev::new(), [0x7fff_ffff, 0x7fff_fffe, 1]);
        let quotas: Vec<_> = claimants(&abc.pool.pool(), 0).iter().map(|c| c.quota).collect();
        assert_eq!(quotas, [1, 63, 63]);
    }

    #[test]
    fn the_client_address_decides() {
        assert_eq!(letters(&mut Abc::new(Maglev::new(), [1, 1, 1]), 1234), "ACBA");
        assert_eq!(letters(&mut Abc::new(Maglev::new(), [1, 2, 0]), 1234), "ABBA");
        assert_eq!(letters(&mut Abc::new(Maglev::new(), [100, 1, 1]), 1234), "AAAA");
    }

    #[test]
    fn the_client_port_decides_too_on_request() {
        for (weights, picks) in [([1, 1, 1], "BCBA"), ([1, 2, 0], "BBBA"), ([100, 1, 1], "AAAA")] {
            let mut abc = Abc::new(Maglev::new(), weights);
            abc.pool.set_flags(SchedulerFlags::PORT);
            assert_eq!(letters(&mut abc, 1234), picks);
        }
    }

    #[test]
    fn quiescing_a_server_moves_nobody() {
        let mut abc = Abc::new(Maglev::new(), [1, 1, 1]);
        let before = populated(&abc);
        abc.weight(C, 0);
        assert_eq!(populated(&abc).places, before.places);
        assert_eq!(letters(&mut abc, 0), "A-BA");
    }

    #[test]
    fn falling_back_takes_the_first_server_that_can() {
        let mut abc = Abc::new(Maglev::new(), [1, 1, 1]);
        abc.pool.set_flags(SchedulerFlags::FALLBACK);
        abc.weight(A, 0);
        let mh = populated(&abc);
        let probes = [3069, 1670, 310, 546].map(|at: usize| abc.letter(Some(mh.members[usize::from(mh.places[at])])));
        let expected = *probes.iter().find(|&&letter| letter != 'A').unwrap();
        assert_eq!(letters(&mut abc, 0).chars().next(), Some(expected));
        abc.overload(B);
        assert_eq!(letters(&mut abc, 0), "CCCC");
        abc.overload(C);
        assert_eq!(letters(&mut abc, 0), "----");
    }

    #[test]
    fn without_weights_the_table_is_empty() {
        let mut abc = Abc::new(Maglev::new(), [0, 0, 0]);
        abc.pool.set_flags(SchedulerFlags::FALLBACK);
        assert!(populated(&abc).places.iter().all(|&index| index == EMPTY));
        assert_eq!(letters(&mut abc, 0), "----");
        abc.weight(B, 3);
        assert_eq!(letters(&mut abc, 0), "BBBB");
    }

    #[test]
    fn every_change_makes_the_table_anew() {
        let mut abc = Abc::new(Maglev::new(), [1, 2, 1]);
        abc.remove(C);
        assert_eq!(letters(&mut abc, 0), "ABBA");
        abc.weight(B, 1);
        abc.add(1);
        let fresh = letters(&mut Abc::new(Maglev::new(), [1, 1, 1]), 0);
        assert_eq!(fresh, "ACBA");
        assert_eq!(populated(&abc).members.len(), 3);
    }

    fn many(count: usize) -> TestPool {
        let mut pool = TestPool::new();
        for i in 0..count {
            let host = u32::from_be_bytes([10, 0, 0, 0]) + u32::try_from(i).unwrap();
            pool.add(ServerSpec::nat(SocketAddr::from((host.to_be_bytes(), 80))));
        }
        pool
    }

    #[test]
    fn as_many_servers_as_places_get_one_each() {
        let pool = many(PLACES);
        let mut mh = Maglev::new();
        mh.start(&pool.pool(), Instant::ZERO).unwrap();
        let mut taken = vec![0; PLACES];
        mh.places.iter().for_each(|&index| taken[usize::from(index)] += 1);
        assert!(taken.iter().all(|&places| places == 1));
    }

    #[test]
    fn more_servers_than_places_are_refused_and_leave_the_table_as_it_was() {
        let mut pool = many(PLACES);
        let mut mh = Maglev::new();
        mh.start(&pool.pool(), Instant::ZERO).unwrap();
        let flow = pool.flow([192, 168, 1, 1], 0);
        let before = mh.pick(&flow, &pool.pool());
        pool.add(ServerSpec::nat("10.99.0.1:80".parse().unwrap()));
        mh.added(&pool.pool());
        assert_eq!(mh.pick(&flow, &pool.pool()), before);
        pool.add(ServerSpec::nat("10.99.0.2:80".parse().unwrap()));
        mh.added(&pool.pool());
        pool.remove(before.unwrap());
        mh.removed(7, &pool.pool());
        assert_eq!(mh.pick(&flow, &pool.pool()), None);
        assert_eq!(mh.start(&pool.pool(), Instant::ZERO), Err(PoolRefused));
    }

    #[test]
    fn a_row_of_changes_leaves_the_table_that_each_of_them_would_have_left() {
        let mut pool = many(PLACES - 1);
        let [mut at_once, mut one_by_one] = [Maglev::new(), Maglev::new()];
        at_once.start(&pool.pool(), Instant::ZERO).unwrap();
        one_by_one.start(&pool.pool(), Instant::ZERO).unwrap();
        let tell = |pool: &TestPool, each: &mut dyn FnMut(&mut Maglev, &Pool<'_>)| {
            each(&mut at_once, &pool.pool());
            each(&mut one_by_one, &pool.pool());
            one_by_one.settled(&pool.pool());
        };
        let mut tell = tell;
        let first = pool.pool().get(0).unwrap().id();
        pool.set_weight(first, 5);
        tell(&pool, &mut |mh, pool| mh.edited(0, pool));
        // One finds room, and three do not.
        for host in 1..=4 {
            pool.add(ServerSpec::nat(SocketAddr::from(([10, 99, 0, host], 80))));
            tell(&pool, &mut |mh, pool| mh.added(pool));
        }
        pool.remove(first);
        tell(&pool, &mut |mh, pool| mh.removed(4, pool));
        at_once.settled(&pool.pool());
        assert!(pool.pool().len() > PLACES && at_once.members.contains(&first), "the last table that could be made");
        assert_eq!((&at_once.members, &at_once.places), (&one_by_one.members, &one_by_one.places));
    }

    #[test]
    fn an_address_is_folded_by_the_family_of_the_service() {
        let server: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(fold_as(Family::V4, server), 0x2001_0db8);
        assert_eq!(fold_as(Family::V6, server), 0x2001_0db9);
        let server: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(fold_as(Family::V4, server), fold_as(Family::V6, server));
    }
}
