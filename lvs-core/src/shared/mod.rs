//! A director for several threads.
//!
//! # The protocol, on one page
//!
//! There is one **home**: a [`Director`](crate::Director) like any other, behind a lock. It has every service, every server
//! and every connection, and does whatever a director does. And there are **shards**, each behind a lock of its own: to
//! them the home *lends* connections that go on as they were. A lent connection has a *copy* at one shard, and packets that
//! change nothing but its deadline and its counts, which are nearly all of an established flow, go by the copy alone
//! (`director/established.rs`). For everything else the shard *asks* the home.
//!
//! **Who holds what.** A burst holds its shard's lock from beginning to end, and the home's while one of its packets is
//! processed there. Locks are taken in one order: shards by number, then the home; whoever holds a shard takes no other
//! but the home. So nobody waits in a circle.
//!
//! **What is true at any time:**
//! 1. A connection is either at home, or it is lent (`Flags::LENT`) and has one copy, at the shard whose number it
//!    carries. Lending and handing back need both locks.
//! 2. Of a lent connection the deadline and the count of packets are the copy's; all else is the original's and does not
//!    change. The original never ends by itself.
//! 3. No other connection shares a packet with a lent one.
//!
//! **A packet**: its shard looks for a copy. If the packet goes straight along that, it is done with. Else, with the home's lock:
//! a copy of the connection that the packet is about (for an error: the quoted one) is handed back; the home processes the
//! packet; if its connection went on as it was, and may be lent, it is lent to this shard. Is the copy at *another* shard,
//! then nothing is done, and after the burst, when its lock is free, the packet is processed at that one.
//!
//! **Commands** take all locks, so that no packet sees half of one, and what a command has changed holds for every packet
//! that is looked at after it. Before they begin, shards hand over their counters; where each connection is looked at,
//! they hand back all copies. Afterwards the home's *version* grows. A shard compares it once per burst, a plain load,
//! and *catches up* if it lags: it throws away copies of connections that the command has ended, hands back what is not
//! to be lent any more, and takes over servers and settings.
//!
//! **Time**: `advance` goes from shard to shard and has copies handed back whose deadline has come; then the home ends them.
//!
//! **Why it is right.** All that is difficult is done by the home alone, one packet after the other, by the code that a
//! single director runs. The copies take a way that is defined by changing nothing else. `tests/shared.rs` plays the same
//! traffic to both and finds the same verdicts, bytes, listings and counts; `model` has a scheduler of threads look for races.
//!
//! The price: what opens, changes or ends a connection takes the home's lock, some five packets of each TCP
//! connection; and so does each packet of what is never lent: traffic that is of no service, of services with FTP,
//! of persistent UDP services, of SCTP, in fragments, while connections are synchronised and while `drop_entry` or
//! `nat_icmp_send` is set.
//!
//! `shard` is what one lock guards, `home` the home's, `steer` says which packets belong together, `control` is the
//! control plane, `time` is `advance`.

mod control;
mod home;
mod lock;
#[cfg(all(test, model))]
mod model;
mod shard;
mod steer;
mod time;

use alloc::vec::Vec;
use core::fmt;

use crate::config::{Config, Meta};
use crate::director::Director;
use crate::error::ConfigError;
use crate::time::Instant;
use crate::verdict::{PassReason, Verdict};
use crate::wire::Packet;
use home::{Home, Seat};
use lock::{AtomicUsize, Mutex, MutexGuard, Ordering, RwLock};
use shard::{LentTo, Shard};
use steer::Steering;

/// Packets that are looked ahead at, and the most that a shard is locked for at a time.
const BURST: usize = 64;
/// So many shards are enough for anybody's processors.
const MOST_SHARDS: usize = 1024;

/// A [`Director`] for several threads: each of its calls may be made by any thread at any time.
///
/// It answers as a [`Director`] does, flow by flow. Its connections are spread over *shards*, so that threads which bring
/// packets to different shards do not wait for each other as long as flows go on. One shard for each thread is right: each
/// thread calls [`process_burst`](Self::process_burst) with its own number.
///
/// # Which packet to which shard
///
/// Any packet may be brought to any shard: the answer is the same. It is fast where the packets of one flow, its replies
/// included, come to the same one. For services by direct routing and tunnels, whose replies do not pass through here,
/// whatever spreads flows over threads does that, such as a network card that hashes addresses and ports. Replies of NAT
/// servers show another address than requests: there [`shard_of`](Self::shard_of) tells where a packet's flow belongs.
///
/// # What is different from a `Director`
///
/// - A connection takes more memory while it is lent to a shard: see [`memory`](Self::memory).
/// - The identification of outer IPv4 headers is numbered by each shard for itself.
/// - What has come to its deadline makes room in a full table when [`advance`](Self::advance) has come by, and not before.
/// - Threads tell different times. Whatever two of them share lives by the latest.
///
/// ```
/// use lvs_core::{Config, Instant, Meta, Packet, PassReason, SharedDirector, Verdict};
/// use lvs_core::testkit::packets;
///
/// let director = SharedDirector::new(Config::with_seed(7), 2)?;
/// director.load("-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.101:8080 -m")?;
/// std::thread::scope(|threads| {
///     for shard in 0..director.shards() {
///         let director = &director;
///         threads.spawn(move || {
///             let client = format!("198.51.100.9:{}", 40_000 + shard);
///             let mut buffer = packets::tcp(&client, "192.0.2.10:80").syn().build();
///             let mut verdicts = [Verdict::Pass(PassReason::NoService)];
///             let mut burst = [Packet::whole(&mut buffer)];
///             director.process_burst(shard, Instant::from_millis(5), &mut burst, &[Meta::default()], &mut verdicts);
///             assert!(matches!(verdicts, [Verdict::Forward(_)]));
///         });
///     }
/// });
/// assert_eq!(director.connection_count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SharedDirector {
    shards: Vec<Apart>,
    home: Seat,
    steering: RwLock<Steering>,
    /// Grows with each command.
    rules: AtomicUsize,
}

/// A shard, on cache lines of its own.
#[repr(align(128))]
struct Apart(Mutex<Shard>);

/// Everything, with all locks held.
struct All<'a> {
    shards: Vec<MutexGuard<'a, Shard>>,
    home: MutexGuard<'a, Home>,
}

impl SharedDirector {
    /// Builds a director without services, of so many shards; 0 counts as 1, and more than 1024 as 1024.
    ///
    /// ```
    /// use lvs_core::{Config, SharedDirector};
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 4)?;
    /// assert_eq!((director.shards(), director.connection_count()), (4, 0));
    /// # Ok::<(), lvs_core::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Director::new`]: [`ConfigError`] if the table would have no room, too much, or more than there is memory for.
    pub fn new(config: Config, shards: usize) -> Result<Self, ConfigError> {
        let count = u32::try_from(shards.clamp(1, MOST_SHARDS)).unwrap_or(1);
        let steering = RwLock::new(Steering::new(config.seed));
        let shard = |number| Shard::new(&config, number, count).map(|shard| Apart(Mutex::new(shard)));
        let shards = (0..count).map(shard).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { shards, home: Seat::new(Director::new(config)?), steering, rules: AtomicUsize::new(0) })
    }

    /// How many shards there are.
    #[must_use]
    pub const fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Processes packets in order, as [`Director::process_burst`] does, at a shard: `verdicts[i]` is that of `packets[i]`,
    /// with `metas[i]`. As many are processed as the shortest of the three has; returns how many. Shards are numbered from
    /// 0; a number that is too large goes round.
    ///
    /// The shard is locked once for each 64 packets. Packets whose connection is with another shard come last.
    ///
    /// ```
    /// use lvs_core::{Config, Instant, Meta, Packet, PassReason, SharedDirector, Verdict};
    /// use lvs_core::testkit::packets;
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// director.run("-A -u 192.0.2.10:53 -s rr")?;
    /// let mut buffers = [packets::udp("198.51.100.1:53", "192.0.2.99:53").build(), vec![0; 9]];
    /// let mut burst: Vec<Packet> = buffers.iter_mut().map(|b| Packet::whole(b)).collect();
    /// let mut verdicts = [Verdict::Pass(PassReason::NoService); 2];
    /// assert_eq!(director.process_burst(1, Instant::ZERO, &mut burst, &[Meta::default(); 2], &mut verdicts), 2);
    /// assert!(matches!(verdicts, [Verdict::Pass(_), Verdict::Drop(_)]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process_burst(
        &self,
        shard: usize,
        now: Instant,
        packets: &mut [Packet<'_>],
        metas: &[Meta],
        verdicts: &mut [Verdict],
    ) -> usize {
        let count = packets.len().min(metas.len()).min(verdicts.len());
        let (packets, metas, verdicts) = (&mut packets[..count], &metas[..count], &mut verdicts[..count]);
        let shard = shard % self.shards.len();
        let chunks = packets.chunks_mut(BURST).zip(metas.chunks(BURST)).zip(verdicts.chunks_mut(BURST));
        for ((packets, metas), verdicts) in chunks {
            let mut astray = self.shards[shard].0.lock().burst(&self.home, now, packets, metas, verdicts);
            while astray != 0 {
                let at = astray.trailing_zeros() as usize;
                verdicts[at] = self.process_at(shard, now, &mut packets[at], metas[at]);
                astray &= astray - 1;
            }
        }
        count
    }

    /// Processes one packet, as [`Director::process`] does, at the shard where its flow belongs.
    ///
    /// ```
    /// use lvs_core::{Config, Instant, Meta, Packet, PassReason, SharedDirector, Verdict};
    /// use lvs_core::testkit::packets;
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 2)?;
    /// director.run("-A -t 192.0.2.10:80")?;
    /// let mut syn = packets::tcp("198.51.100.9:40000", "192.0.2.10:443").syn().build();
    /// let verdict = director.process(Instant::ZERO, &mut Packet::whole(&mut syn), Meta::default());
    /// assert_eq!(verdict, Verdict::Pass(PassReason::NoService));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process(&self, now: Instant, packet: &mut Packet<'_>, meta: Meta) -> Verdict {
        self.process_at(self.shard_of(packet), now, packet, meta)
    }

    /// Goes from shard to shard until the packet is where its connection is. Each further step means that another thread
    /// has moved the connection on in between.
    fn process_at(&self, shard: usize, now: Instant, packet: &mut Packet<'_>, meta: Meta) -> Verdict {
        let mut verdict = Verdict::Pass(PassReason::NoService);
        let mut at = shard;
        loop {
            match self.shards[at].0.lock().process(&self.home, now, packet, meta, &mut verdict) {
                Ok(()) => return verdict,
                Err(LentTo(other)) => at = other,
            }
        }
    }

    /// The shard that a packet's flow belongs to: below [`shards`](Self::shards), and the same for all packets of a flow.
    ///
    /// It is chosen by the client's address and port, and so is that of replies and of ICMP errors about the flow. A
    /// packet to the address of a service is its client's; another one, if it comes from the address of a service or of a server,
    /// is a reply; any other is a client's, for a service by firewall mark. Later parts of fragmented packets show no
    /// ports, and are chosen by the address alone. Where that guesses wrong (a server that is itself a client of a service by
    /// firewall mark), packets take longer and nothing else.
    ///
    /// What has changed with the rules is known from the next call on. A network card that can be told a hash function for
    /// flows may spare one this: see [the type](Self).
    ///
    /// ```
    /// use lvs_core::{Config, Packet, SharedDirector};
    /// use lvs_core::testkit::packets;
    ///
    /// let director = SharedDirector::new(Config::with_seed(7), 8)?;
    /// director.load("-A -t 192.0.2.10:80\n-a -t 192.0.2.10:80 -r 10.0.0.101:8080 -m")?;
    /// let mut request = packets::tcp("198.51.100.9:40000", "192.0.2.10:80").syn().build();
    /// let mut reply = packets::tcp("10.0.0.101:8080", "198.51.100.9:40000").flags(0x10).build();
    /// let shard = director.shard_of(&Packet::whole(&mut request));
    /// assert_eq!(director.shard_of(&Packet::whole(&mut reply)), shard);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn shard_of(&self, packet: &Packet<'_>) -> usize {
        let shards = self.shards.len();
        if shards == 1 {
            return 0;
        }
        let rules = self.rules.load(Ordering::Acquire);
        let steering = self.steering.read();
        if steering.rules == rules {
            return steering.shard_of(packet.bytes(), shards);
        }
        drop(steering);
        let mut steering = self.steering.write();
        steering.learn_from(&self.home.lock().director, rules);
        steering.shard_of(packet.bytes(), shards)
    }

    /// Takes all locks; counters are where they belong, and while nothing is lent all connections are.
    fn all(&self) -> All<'_> {
        let mut shards: Vec<_> = self.shards.iter().map(|shard| shard.0.lock()).collect();
        let mut home = self.home.lock();
        for shard in &mut shards {
            shard.settle(&mut home);
            if !home.director.lends() {
                shard.hand_back_all(&mut home);
            }
        }
        All { shards, home }
    }

    /// What can be seen of everything but lent connections.
    fn see<R>(&self, look: impl FnOnce(&Director) -> R) -> R {
        look(&self.all().home.director)
    }

    /// The same with all connections at home.
    fn see_whole<R>(&self, look: impl FnOnce(&Director) -> R) -> R {
        look(&self.all().whole().home.director)
    }

    /// Changes what packets depend on.
    fn change_state<R>(&self, change: impl FnOnce(&mut Director) -> R) -> R {
        let mut all = self.all();
        let answer = change(&mut all.home.director);
        self.home.publish(&mut all.home);
        answer
    }

    /// Changes the rules.
    fn change<R>(&self, change: impl FnOnce(&mut Director) -> R) -> R {
        let answer = self.change_state(change);
        self.rules.fetch_add(1, Ordering::AcqRel);
        answer
    }
}

impl All<'_> {
    /// Brings all connections home.
    fn whole(mut self) -> Self {
        for shard in &mut self.shards {
            shard.hand_back_all(&mut self.home);
        }
        self
    }
}

impl fmt::Debug for SharedDirector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedDirector").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}
