//! A shard: the copies of connections that are lent to it, and a director that takes packets along them.

use alloc::vec::Vec;

use super::home::{Home, Seat};
use crate::config::{Config, Meta};
use crate::conn::{ConnId, processor};
use crate::director::{Arrival, Director, Glance, LastPass};
use crate::error::ConfigError;
use crate::time::Instant;
use crate::timer::wheel::Due;
use crate::verdict::Verdict;
use crate::wire::Packet;

/// A packet's connection is lent to another shard than the one that the packet came to: to this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LentTo(pub(super) usize);

/// What one lock of a shard guards.
#[derive(Debug)]
pub(super) struct Shard {
    director: Director,
    loans: Loans,
}

/// What a shard knows of its copies beside them.
#[derive(Debug)]
struct Loans {
    number: u32,
    /// By slot of a copy: the connection that it is one of.
    originals: Vec<ConnId>,
    /// The version of the home that this shard has heard of.
    version: usize,
}

impl Shard {
    pub(super) fn new(config: &Config, number: u32, shards: u32) -> Result<Self, ConfigError> {
        let director = Director::for_shard(config, number, shards)?;
        let mut originals = Vec::new();
        originals.try_reserve_exact(director.capacity()).map_err(|_| ConfigError::OutOfMemory)?;
        Ok(Self { director, loans: Loans { number, originals, version: 0 } })
    }

    /// Processes up to 64 packets. Of the answer each bit stands for a packet whose connection is lent to another shard;
    /// nothing was done to those.
    pub(super) fn burst(
        &mut self,
        home: &Seat,
        now: Instant,
        packets: &mut [Packet<'_>],
        metas: &[Meta],
        verdicts: &mut [Verdict],
    ) -> u64 {
        self.hear(home);
        let now = self.director.time(now);
        let Self { director, loans } = self;
        let mut last = ByCopy { loans, home, now, this: 1, astray: 0 };
        director.in_passes(packets, metas, verdicts, &mut last);
        last.astray
    }

    /// Processes one packet.
    pub(super) fn process(
        &mut self,
        home: &Seat,
        now: Instant,
        packet: &mut Packet<'_>,
        meta: Meta,
        verdict: &mut Verdict,
    ) -> Result<(), LentTo> {
        self.hear(home);
        let now = self.director.time(now);
        let Self { director, loans } = self;
        let glance = director.look_at_one(packet, meta);
        loans.conclude(director, home, packet, Arrival { now, meta, glance: &glance }, verdict)
    }

    /// Hears of what has changed at home, if anything has.
    pub(super) fn hear(&mut self, home: &Seat) {
        if self.loans.version != home.version() {
            self.loans.catch_up(&mut self.director, &mut home.lock());
        }
    }

    /// Hands back what is lent here of a connection.
    pub(super) fn hand_back(&mut self, home: &mut Home, slot: u32) {
        self.loans.hand_back(&mut self.director, &mut home.director, slot);
    }

    /// Hands back everything.
    pub(super) fn hand_back_all(&mut self, home: &mut Home) {
        self.loans.hand_back_all(&mut self.director, &mut home.director);
    }

    /// Hands back what has come to its deadline. False if the budget was used up on the way.
    pub(super) fn hand_back_due(&mut self, home: &Seat, now: Instant, budget: &mut usize) -> bool {
        let mut at_home = None;
        loop {
            match self.director.pop_due(now, budget) {
                Due::Nothing => return true,
                Due::More => return false,
                Due::Entry(copy) => {
                    let home = at_home.get_or_insert_with(|| home.lock());
                    let original = self.loans.originals[copy as usize];
                    let copy = self.director.let_go(copy);
                    if let Some(slot) = home.director.slot_of(original) {
                        home.director.take_back(slot, &copy);
                    }
                }
            }
        }
    }

    /// Hands over what was counted here.
    pub(super) fn settle(&mut self, home: &mut Home) {
        self.director.settle_with(&mut home.director);
    }

    /// When the next deadline of a copy may come.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.director.next_due()
    }

    /// How many connections are lent here.
    pub(super) const fn lent(&self) -> usize {
        self.director.connection_count()
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.director.memory() + self.loans.originals.capacity() * size_of::<ConnId>()
    }
}

/// The last pass over a burst: by a copy, or not.
struct ByCopy<'a> {
    loans: &'a mut Loans,
    home: &'a Seat,
    now: Instant,
    /// The bit of the packet whose turn it is, and those of packets that came astray.
    this: u64,
    astray: u64,
}

impl LastPass for ByCopy<'_> {
    #[inline]
    fn prefetch(&self, slot: u32) {
        if let Some(original) = self.loans.originals.get(slot as usize) {
            processor::prefetch(original);
        }
    }

    #[inline(always)]
    fn conclude(
        &mut self,
        director: &mut Director,
        packet: &mut Packet<'_>,
        meta: Meta,
        glance: &Glance,
        verdict: &mut Verdict,
    ) {
        let arrival = Arrival { now: self.now, meta, glance };
        if self.loans.conclude(director, self.home, packet, arrival, verdict).is_err() {
            self.astray |= self.this;
        }
        self.this <<= 1;
    }
}

impl Loans {
    /// What becomes of a packet: straight along a copy, or whatever the home says.
    #[inline(always)]
    fn conclude(
        &mut self,
        shard: &mut Director,
        home: &Seat,
        packet: &mut Packet<'_>,
        arrival: Arrival<'_>,
        verdict: &mut Verdict,
    ) -> Result<(), LentTo> {
        match shard.go_straight(arrival.now, packet, arrival.meta, arrival.glance, verdict) {
            Ok(copy) => {
                self.name(copy, verdict);
                Ok(())
            }
            Err(_) => self.ask(shard, home, packet, arrival, verdict),
        }
    }

    /// The verdict on a packet that went by a copy names the connection.
    #[inline]
    fn name(&self, copy: u32, verdict: &mut Verdict) {
        if let Verdict::Forward(forward) = verdict {
            forward.connection = self.originals.get(copy as usize).copied();
        }
    }

    /// Everything but the straight way: the packet is processed at home, with its connection brought there before. A
    /// connection that then goes on as it was is lent.
    #[inline(never)]
    fn ask(
        &mut self,
        shard: &mut Director,
        home: &Seat,
        packet: &mut Packet<'_>,
        arrival: Arrival<'_>,
        verdict: &mut Verdict,
    ) -> Result<(), LentTo> {
        let mut guard = home.lock();
        let at_home = &mut *guard;
        self.catch_up(shard, at_home);
        for slot in at_home.director.subjects(arrival.now, packet, arrival.meta).into_iter().flatten() {
            match at_home.director.lent_to(slot) {
                Some(number) if number == self.number => self.hand_back(shard, &mut at_home.director, slot),
                Some(number) => return Err(LentTo(number as usize)),
                None => {}
            }
        }
        let news = at_home.director.news();
        match at_home.director.conclude_here(packet, arrival, verdict) {
            Some(slot) => self.borrow(shard, &mut at_home.director, slot),
            None => at_home.director.recall_twins(),
        }
        if at_home.director.news() != news {
            home.publish(at_home);
            self.catch_up(shard, at_home);
        }
        Ok(())
    }

    /// Borrows a connection, if it may be lent and there is room.
    fn borrow(&mut self, shard: &mut Director, home: &mut Director, slot: u32) {
        if !home.may_be_lent(slot) {
            return;
        }
        let (id, entry) = home.entry(slot);
        let Some(copy) = shard.put_up(entry.clone()) else { return };
        match self.originals.get_mut(copy as usize) {
            Some(place) => *place = id,
            // Slots are taken in order, and there is room for all of them.
            None => self.originals.push(id),
        }
        home.lend(slot, self.number);
    }

    /// Hands back what is lent of a connection.
    fn hand_back(&self, shard: &mut Director, home: &mut Director, slot: u32) {
        let (id, _) = home.entry(slot);
        if let Some(copy) = self.copy_of(shard, id, home.hash_of(slot)) {
            home.take_back(slot, &shard.take_down(copy));
        }
    }

    fn copy_of(&self, shard: &Director, id: ConnId, hash: u64) -> Option<u32> {
        shard.find_copy(hash, |copy| self.originals.get(copy as usize) == Some(&id))
    }

    /// Hands back copies; one of a connection that is gone is thrown away.
    fn hand_back_these(&self, shard: &mut Director, home: &mut Director, copies: &[u32]) {
        for &copy in copies {
            let original = home.slot_of(self.originals[copy as usize]);
            let copy = shard.take_down(copy);
            if let Some(slot) = original {
                home.take_back(slot, &copy);
            }
        }
    }

    fn hand_back_all(&self, shard: &mut Director, home: &mut Director) {
        let copies: Vec<u32> = shard.copies().collect();
        self.hand_back_these(shard, home, &copies);
    }

    /// Hears of what has changed at home since the last time.
    fn catch_up(&mut self, shard: &mut Director, home: &mut Home) {
        if self.version == home.version() {
            return;
        }
        self.version = home.version();
        while let Some(recall) = home.director.next_recall(self.number) {
            let copy = self.copy_of(shard, recall.of, recall.hash);
            self.hand_back_these(shard, &mut home.director, copy.as_slice());
        }
        if !home.director.lends() {
            self.hand_back_all(shard, &mut home.director);
        }
        let unmet: Vec<u32> = home.director.unmet_servers().flat_map(|server| shard.tunnels_to(server)).collect();
        self.hand_back_these(shard, &mut home.director, &unmet);
        shard.learn_from(&home.director);
    }
}
