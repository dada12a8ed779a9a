//! Source-hashing scheduling.
//!
//! Owns: 256 slots dealt to the servers by weight; which slot a client falls into.
//! Follows: the `sh` scheduler of IPVS. A server of weight 0 still gets one slot per round, where it takes no flow;
//! weights beyond 256 leave nothing for the servers further down the list.

use alloc::boxed::Box;
use core::mem;

use super::{NewFlow, Pool, PoolRefused, Scheduler, Weights, hash_bits};
use crate::service::{SchedulerFlags, ServerId};
use crate::time::Instant;

/// `sh`: the server that belongs to the client's address, and to its port if [`SchedulerFlags::PORT`] is set.
///
/// If that server cannot take the flow the pick fails, unless [`SchedulerFlags::FALLBACK`] is set.
#[derive(Clone, Debug)]
pub struct SourceHash {
    /// Positions in the list.
    slots: [u32; SLOTS],
}

impl SourceHash {
    /// All slots empty.
    #[must_use]
    pub const fn new() -> Self {
        Self { slots: [EMPTY; SLOTS] }
    }

    /// Deals the slots: to each server as many in a row as its weight says, and round again.
    fn deal(&mut self, pool: &Pool<'_>) {
        self.slots = [EMPTY; SLOTS];
        let mut left = &mut self.slots[..];
        while !left.is_empty() && !pool.is_empty() {
            for (position, server) in (0..).zip(pool.iter()) {
                let share = left.len().min(server.weight().max(1) as usize);
                let (its_own, rest) = mem::take(&mut left).split_at_mut(share);
                its_own.fill(position);
                left = rest;
            }
        }
    }

    fn eligible(&self, slot: u32, pool: &Pool<'_>) -> Option<ServerId> {
        let position = self.slots[slot as usize % SLOTS];
        pool.get(position as usize).filter(|server| server.is_eligible()).map(|server| server.id())
    }

    /// The first server that can take the flow, from slot `2 * home` on: that is where the kernel begins.
    fn fall_back(&self, home: u32, pool: &Pool<'_>) -> Option<ServerId> {
        let first = home.wrapping_mul(2);
        (0..SLOTS as u32).find_map(|offset| self.eligible(first.wrapping_add(offset), pool))
    }
}

impl Default for SourceHash {
    fn default() -> Self {
        Self::new()
    }
}

impl Scheduler for SourceHash {
    fn pick(&mut self, flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        let port = u32::from(flow.hashed_port(pool.flags()));
        let home = hash_bits(flow.client.fold().wrapping_add(port), SLOT_BITS);
        self.eligible(home, pool).or_else(|| {
            let falls_back = pool.flags().contains(SchedulerFlags::FALLBACK);
            falls_back.then(|| self.fall_back(home, pool)).flatten()
        })
    }

    fn start(&mut self, pool: &Pool<'_>, _now: Instant) -> Result<(), PoolRefused> {
        self.deal(pool);
        Ok(())
    }

    fn added(&mut self, pool: &Pool<'_>) {
        self.deal(pool);
    }

    fn removed(&mut self, _position: usize, pool: &Pool<'_>) {
        self.deal(pool);
    }

    fn edited(&mut self, _position: usize, pool: &Pool<'_>) {
        self.deal(pool);
    }

    fn weights(&self) -> Weights {
        Weights::Fixed
    }

    fn fork(&self) -> Option<Box<dyn Scheduler>> {
        Some(Box::new(self.clone()))
    }
}

/// The kernel's default (`CONFIG_IP_VS_SH_TAB_BITS`).
const SLOT_BITS: u32 = 8;
const SLOTS: usize = 1 << SLOT_BITS;
/// A position that no list reaches.
const EMPTY: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::super::fixture::{A, Abc, B, C};
    use super::*;
    use crate::testkit::TestPool;
    use std::string::String;

    const CLIENTS: [[u8; 4]; 4] = [[192, 168, 1, 1], [192, 168, 1, 2], [192, 168, 1, 3], [10, 1, 2, 3]];

    fn letters(abc: &mut Abc, port: u16) -> String {
        CLIENTS.iter().map(|&client| abc.pick_for(&abc.pool.flow(client, port))).collect()
    }

    fn dealt(weights: [u32; 3]) -> SourceHash {
        let mut sh = SourceHash::new();
        sh.deal(&Abc::new(SourceHash::new(), weights).pool.pool());
        sh
    }

    #[test]
    fn slots_are_dealt_by_weight_in_list_order() {
        assert_eq!(dealt([1, 2, 1]).slots[..10], [0, 1, 1, 2, 0, 1, 1, 2, 0, 1]);
    }

    #[test]
    fn a_server_without_weight_gets_one_slot_a_round() {
        assert_eq!(dealt([1, 2, 0]).slots[..10], [0, 1, 1, 2, 0, 1, 1, 2, 0, 1]);
    }

    #[test]
    fn a_huge_weight_leaves_nothing_for_the_rest_of_the_list() {
        assert_eq!(dealt([1, 300, 1]).slots[..], *[&[0][..], &[1; 255]].concat());
        assert_eq!(dealt([1, 0x7fff_ffff, 0x7fff_ffff]).slots, [0; SLOTS]);
    }

    #[test]
    fn the_client_address_decides() {
        assert_eq!(letters(&mut Abc::new(SourceHash::new(), [1, 2, 1]), 1234), "CBCB");
    }

    #[test]
    fn the_client_port_decides_too_on_request() {
        let mut abc = Abc::new(SourceHash::new(), [1, 2, 1]);
        abc.pool.set_flags(SchedulerFlags::PORT);
        assert_eq!(letters(&mut abc, 1234), "BABA");
        assert_eq!(letters(&mut abc, 0), "CBCB");
    }

    #[test]
    fn a_server_that_cannot_take_the_flow_is_not_replaced_by_default() {
        let mut abc = Abc::new(SourceHash::new(), [1, 2, 1]);
        abc.weight(C, 0);
        assert_eq!(letters(&mut abc, 0), "-B-B");
        abc.overload(B);
        assert_eq!(letters(&mut abc, 0), "----");
    }

    #[test]
    fn falling_back_begins_at_twice_the_slot() {
        let mut abc = Abc::new(SourceHash::new(), [1, 2, 1]);
        abc.pool.set_flags(SchedulerFlags::FALLBACK);
        // The round is C B B A with weight 0 as with weight 1. Client .1 falls into 136, probes 16 (C) and 17 (B);
        // .3 falls into 76, probes 152 (C) and 153 (B).
        abc.weight(C, 0);
        assert_eq!(letters(&mut abc, 0), "BBBB");
        // Client .2 falls into 234 (B), probes 212 (C), 213 and 214 (B), 215 (A).
        abc.overload(B);
        assert_eq!(letters(&mut abc, 0), "AAAA");
        abc.overload(A);
        assert_eq!(letters(&mut abc, 0), "----");
    }

    #[test]
    fn an_empty_service_falls_back_on_nothing() {
        let mut pool = TestPool::new().scheduled_by(SourceHash::new()).flags(SchedulerFlags::FALLBACK);
        assert_eq!(pool.pick(&pool.flow([192, 168, 1, 1], 0)), None);
    }

    #[test]
    fn every_change_deals_anew() {
        let mut abc = Abc::new(SourceHash::new(), [1, 1, 1]);
        assert_eq!(letters(&mut abc, 0), "BCBA");
        abc.weight(B, 2);
        assert_eq!(letters(&mut abc, 0), "CBCB");
        abc.remove(B);
        assert_eq!(letters(&mut abc, 0), "CCCC");
        abc.add(1);
        assert_eq!(letters(&mut abc, 0), "CDCA");
    }
}
