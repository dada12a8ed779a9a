//! Slow start: the weight of a new server grows in the course of time.
//!
//! Owns: the weights that schedulers see, where a service has a slow start; its servers' descriptions keep the whole
//! ones.

use alloc::vec::Vec;

use super::Director;
use crate::sched::Weights;
use crate::service::service::Service;
use crate::time::Instant;

/// All weights of a service with a slow start count so many times: a share of 1 percent of weight 1 is still a whole number.
const SCALE: u32 = 100;
/// Largest weight.
const MAX: u32 = 0x7fff_ffff;

impl Director {
    /// A server is new in its service, or was edited: its weight begins to grow if it had none before, and its service has a
    /// slow start.
    pub(super) fn weight_was_set(&mut self, server: u32, before: u32) {
        let service = self.control.services.slot(self.servers.get(server).owner);
        if service.is_none_or(|slot| self.control.services.get(slot).options.slow_start.is_none()) {
            return;
        }
        let weight = self.servers.spec(server).weight;
        let record = self.servers.get_mut(server);
        if weight == 0 {
            record.grows_since = None;
        } else if before == 0 {
            record.grows_since = Some(self.now);
        }
    }

    /// A slow start was switched on, off, or changed: weights that are growing go on from where they are.
    pub(super) fn slow_start_changed(&mut self, service: u32) {
        self.grow(service);
        self.control.growth_at = self.next_growth();
    }

    /// The weights that have to grow do so.
    pub(super) fn grow_weights(&mut self, now: Instant) {
        if self.control.growth_at.is_none_or(|at| at > now) {
            return;
        }
        for service in self.control.services.slots() {
            if self.control.services.get(service).options.slow_start.is_some() {
                self.grow(service);
            }
        }
        self.control.growth_at = self.next_growth();
    }

    /// Writes the weights of a service anew and tells its scheduler which have changed.
    pub(super) fn grow(&mut self, service: u32) {
        let changed = self.settle_weights(service);
        let service = self.control.services.get_mut(service);
        for position in changed {
            service.tell(&self.servers, |scheduler, pool| scheduler.edited(position, pool));
        }
        service.tell(&self.servers, |scheduler, pool| scheduler.settled(pool));
    }

    /// Writes the weights that a service's scheduler is to see. Returns the positions of those that have changed.
    pub(super) fn settle_weights(&mut self, service: u32) -> Vec<usize> {
        let service = self.control.services.get(service);
        let slow_start = service.options.slow_start.filter(|_| meaning_of_weights(service) != Weights::Fixed);
        let scale = self.weight_scale(service);
        let mut changed = Vec::new();
        for (position, &server) in service.list.iter().enumerate() {
            let record = self.servers.get_mut(server);
            let growth =
                slow_start.zip(record.grows_since).map(|(slow_start, since)| slow_start.share(since, self.now));
            if let Some((_, None)) = growth {
                record.grows_since = None;
            }
            let share = growth.map_or(100, |(share, _)| share);
            let whole = record.spec.weight;
            let live = self.servers.live_mut(server);
            let weight = if live.is_draining() { 0 } else { effective(whole, scale, share) };
            if live.weight != weight {
                live.weight = weight;
                changed.push(position);
            }
        }
        changed
    }

    /// How many times the weights of a service count, for its scheduler.
    pub(super) fn weight_scale(&self, service: &Service) -> u32 {
        if service.options.slow_start.is_none() || meaning_of_weights(service) != Weights::Shares {
            return 1;
        }
        let heaviest = service.list.iter().map(|&server| self.servers.spec(server).weight).max().unwrap_or(0);
        SCALE.min(MAX / heaviest.max(1))
    }

    /// When a weight next has to grow.
    fn next_growth(&self) -> Option<Instant> {
        self.control.services.iter().filter_map(|service| self.next_growth_of(service)).min()
    }

    /// The same of one service.
    pub(super) fn next_growth_of(&self, service: &Service) -> Option<Instant> {
        let slow_start = service.options.slow_start?;
        let growing = service.list.iter().filter_map(|&server| self.servers.get(server).grows_since);
        growing.filter_map(|since| slow_start.share(since, self.now).1).min()
    }
}

fn meaning_of_weights(service: &Service) -> Weights {
    service.scheduler.as_ref().map_or(Weights::Fixed, |scheduler| scheduler.weights())
}

/// What counts of a weight: never nothing of something.
fn effective(weight: u32, scale: u32, percent: u32) -> u32 {
    let share = u64::from(weight) * u64::from(scale) * u64::from(percent) / 100;
    u32::try_from(share).unwrap_or(MAX).max(weight.min(1))
}
