//! Round-robin scheduling.
//!
//! Owns: where in the list the last flow went.
//! Follows: the `rr` scheduler of IPVS: the next eligible server after the last one, whatever the weights. A server
//! added while the turn is under way waits for the next one, since it is put before all others.

use alloc::boxed::Box;

use super::{NewFlow, Pool, PoolRefused, Scheduler, Weights, index_below};
use crate::service::ServerId;
use crate::time::Instant;

/// `rr`: every eligible server in turn.
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    /// The position that was picked last; `None` stands before the list.
    cursor: Option<usize>,
    /// Where the first turn begins, if not at the head of the list.
    draw: Option<u64>,
}

impl RoundRobin {
    /// A turn that has not begun.
    #[must_use]
    pub const fn new() -> Self {
        Self { cursor: None, draw: None }
    }
}

impl Scheduler for RoundRobin {
    fn pick(&mut self, _flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        let next = match self.cursor {
            Some(last) => last + 1,
            None => self.draw.map_or(0, |draw| index_below(draw, pool.len())),
        };
        let turn = (next..pool.len()).chain(0..next.min(pool.len()));
        let (position, server) =
            turn.filter_map(|i| Some((i, pool.get(i)?))).find(|(_, server)| server.is_eligible())?;
        (self.cursor, self.draw) = (Some(position), None);
        Some(server.id())
    }

    fn start(&mut self, _pool: &Pool<'_>, _now: Instant) -> Result<(), PoolRefused> {
        self.cursor = None;
        Ok(())
    }

    fn begin_at(&mut self, draw: Option<u64>) {
        self.draw = draw;
    }

    fn weights(&self) -> Weights {
        Weights::Fixed
    }

    fn added(&mut self, _pool: &Pool<'_>) {
        self.cursor = self.cursor.map(|last| last + 1);
    }

    fn removed(&mut self, position: usize, _pool: &Pool<'_>) {
        // If it is the last pick that leaves, its predecessor stands in: the turn goes on where it would have.
        if let Some(last) = self.cursor.filter(|&last| last >= position) {
            self.cursor = last.checked_sub(1);
        }
    }

    fn fork(&self) -> Option<Box<dyn Scheduler>> {
        Some(Box::new(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{A, Abc, B, C};
    use super::*;

    #[test]
    fn servers_take_turns_from_the_newest_on() {
        assert_eq!(Abc::new(RoundRobin::new(), [1, 1, 1]).picks(7), "CBACBAC");
    }

    #[test]
    fn a_drawn_beginning_is_where_the_first_turn_begins() {
        for (draw, picks) in [(0, "CBAC"), (1, "BACB"), (2, "ACBA"), (u64::MAX, "CBAC")] {
            let mut scheduler = RoundRobin::new();
            scheduler.begin_at(Some(draw));
            assert_eq!(Abc::new(scheduler, [1, 1, 1]).picks(4), picks);
        }
        let mut scheduler = RoundRobin::new();
        scheduler.begin_at(Some(1));
        let mut abc = Abc::new(scheduler, [1, 1, 1]);
        abc.weight(B, 0);
        assert_eq!(abc.picks(3), "ACA", "whoever may get nothing is passed over");
    }

    #[test]
    fn weights_do_not_matter_unless_zero() {
        assert_eq!(Abc::new(RoundRobin::new(), [9, 0, 1]).picks(5), "CACAC");
    }

    #[test]
    fn after_deleting_the_last_pick_its_successor_is_next() {
        let mut abc = Abc::new(RoundRobin::new(), [1, 1, 1]);
        assert_eq!(abc.picks(2), "CB");
        abc.remove(B);
        assert_eq!(abc.picks(3), "ACA");
    }

    #[test]
    fn after_deleting_the_first_of_the_list_the_turn_starts_there_again() {
        let mut abc = Abc::new(RoundRobin::new(), [1, 1, 1]);
        assert_eq!(abc.picks(1), "C");
        abc.remove(C);
        assert_eq!(abc.picks(3), "BAB");
    }

    #[test]
    fn deleting_a_server_before_or_after_the_last_pick_changes_nothing_else() {
        for (gone, then) in [(C, "ABA"), (A, "CBC")] {
            let mut abc = Abc::new(RoundRobin::new(), [1, 1, 1]);
            assert_eq!(abc.picks(2), "CB");
            abc.remove(gone);
            assert_eq!(abc.picks(3), then);
        }
    }

    #[test]
    fn a_new_server_waits_until_the_turn_is_over() {
        let mut abc = Abc::new(RoundRobin::new(), [1, 1, 1]);
        assert_eq!(abc.picks(1), "C");
        abc.add(1);
        assert_eq!(abc.picks(5), "BADCB");
    }

    #[test]
    fn the_last_pick_is_tried_last_and_may_be_picked_again() {
        let mut abc = Abc::new(RoundRobin::new(), [1, 1, 1]);
        assert_eq!(abc.picks(2), "CB");
        abc.overload(A);
        abc.overload(C);
        assert_eq!(abc.picks(2), "BB");
    }

    #[test]
    fn failing_leaves_the_turn_where_it_was() {
        let mut abc = Abc::new(RoundRobin::new(), [1, 1, 1]);
        assert_eq!(abc.picks(2), "CB");
        for server in [A, B, C] {
            abc.weight(server, 0);
        }
        assert_eq!(abc.picks(2), "--");
        for server in [A, B, C] {
            abc.weight(server, 1);
        }
        assert_eq!(abc.picks(2), "AC");
    }
}
