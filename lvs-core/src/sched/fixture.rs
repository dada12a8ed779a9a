//! The three servers that the scheduler tests speak of: A, B and C, added in this order, hence listed C, B, A.

use core::net::SocketAddr;
use std::string::String;
use std::vec::Vec;

use super::{NewFlow, Scheduler};
use crate::service::{ServerId, ServerSpec};
use crate::testkit::TestPool;

pub(super) const A: usize = 0;
pub(super) const B: usize = 1;
pub(super) const C: usize = 2;

pub(super) struct Abc {
    pub(super) pool: TestPool,
    ids: Vec<ServerId>,
}

impl Abc {
    /// The scheduler is started on the empty service, and the servers are added one after the other.
    pub(super) fn new(scheduler: impl Scheduler + 'static, weights: [u32; 3]) -> Self {
        let mut abc = Self { pool: TestPool::new().scheduled_by(scheduler), ids: Vec::new() };
        for weight in weights {
            abc.add(weight);
        }
        abc
    }

    /// The next server in the alphabet.
    pub(super) fn add(&mut self, weight: u32) {
        let host = u8::try_from(self.ids.len() + 1).unwrap();
        let id = self.pool.add(ServerSpec::nat(SocketAddr::from(([10, 0, 0, host], 80))).weight(weight));
        self.ids.push(id);
    }

    pub(super) fn id(&self, server: usize) -> ServerId {
        self.ids[server]
    }

    pub(super) fn remove(&mut self, server: usize) {
        self.pool.remove(self.ids[server]);
    }

    pub(super) fn weight(&mut self, server: usize, weight: u32) {
        self.pool.set_weight(self.ids[server], weight);
    }

    /// Sets the upper threshold to what the server has, so that it is overloaded; connects first if it is idle.
    pub(super) fn overload(&mut self, server: usize) {
        let id = self.ids[server];
        if self.pool.pool().find(id).unwrap().connections() == 0 {
            self.pool.connect(id, false);
        }
        let connections = self.pool.pool().find(id).unwrap().connections();
        let spec = self.pool.spec(id).thresholds(connections, 0);
        self.pool.edit(id, spec);
    }

    /// New connections, active or not.
    pub(super) fn connect(&mut self, server: usize, count: usize, active: bool) {
        for _ in 0..count {
            self.pool.connect(self.ids[server], active);
        }
    }

    /// The letter of a pick, `-` for none.
    pub(super) fn letter(&self, pick: Option<ServerId>) -> char {
        let Some(id) = pick else { return '-' };
        let index = self.ids.iter().position(|&known| known == id).unwrap();
        char::from(b'A' + u8::try_from(index).unwrap())
    }

    /// The pick for a flow that is then not made.
    pub(super) fn pick_for(&mut self, flow: &NewFlow) -> char {
        let pick = self.pool.pick(flow);
        self.letter(pick)
    }

    /// The picks for TCP flows of one client that leave no connection.
    pub(super) fn picks(&mut self, count: usize) -> String {
        (0..count).map(|_| self.pick_for(&self.pool.flow([192, 168, 1, 1], 1234))).collect()
    }

    /// The same, but each pick becomes an active connection.
    pub(super) fn active_picks(&mut self, count: usize) -> String {
        let mut letters = String::new();
        for _ in 0..count {
            let flow = self.pool.flow([192, 168, 1, 1], 1234);
            let pick = self.pool.pick(&flow);
            if let Some(id) = pick {
                self.pool.connect(id, true);
            }
            letters.push(self.letter(pick));
        }
        letters
    }
}
