//! Power-of-two-choices scheduling.
//!
//! Owns: the random draws.
//! Follows: the `twos` scheduler of IPVS: two servers are drawn by weight, the less loaded one for its weight takes
//! the flow. Both the sum of the weights and the products are 32-bit numbers that wrap.

use alloc::boxed::Box;

use super::{Candidate, NewFlow, Pool, Scheduler};
use crate::rng::Rng;
use crate::service::ServerId;

/// `twos`: of two eligible servers drawn at random, heavier ones more likely, the one with less load for its weight.
#[derive(Clone, Debug)]
pub struct TwoChoices {
    rng: Rng,
}

impl TwoChoices {
    /// All draws are determined by `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { rng: Rng::from_seed(seed) }
    }

    /// The sum of the weights is drawn too, so that the first server is likelier than its weight says by one.
    fn draw(&mut self, weights: i32) -> i32 {
        self.rng.up_to(weights.cast_unsigned()).cast_signed()
    }
}

impl Scheduler for TwoChoices {
    fn pick(&mut self, _flow: &NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        let weights = eligible(pool).map(|server| weight(&server)).reduce(i32::wrapping_add)?;
        let draws = [self.draw(weights), self.draw(weights)];
        choose(pool, draws).map(|server| server.id())
    }

    fn fork(&self) -> Option<Box<dyn Scheduler>> {
        Some(Box::new(self.clone()))
    }
}

/// Of the servers that the two draws fall on, the second if it is less loaded, otherwise the first.
fn choose<'a>(pool: &Pool<'a>, draws: [i32; 2]) -> Option<Candidate<'a>> {
    let [first, second] = draws.map(|draw| at(pool, draw));
    let (first, second) = (first?, second?);
    let load_of_first = weight(&second).wrapping_mul(overhead(&first));
    let load_of_second = weight(&first).wrapping_mul(overhead(&second));
    Some(if load_of_first > load_of_second { second } else { first })
}

/// The server whose share a draw falls into. A draw beyond all shares, which only a sum that wrapped can give, falls
/// to the last one.
fn at<'a>(pool: &Pool<'a>, mut draw: i32) -> Option<Candidate<'a>> {
    let mut last = None;
    for server in eligible(pool) {
        last = Some(server);
        draw = draw.wrapping_sub(weight(&server));
        if draw <= 0 {
            break;
        }
    }
    last
}

fn eligible<'a>(pool: &Pool<'a>) -> impl Iterator<Item = Candidate<'a>> + use<'a> {
    pool.iter().filter(Candidate::is_eligible)
}

fn weight(server: &Candidate<'_>) -> i32 {
    server.weight().cast_signed()
}

fn overhead(server: &Candidate<'_>) -> i32 {
    server.overhead().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{A, Abc, B, C};
    use super::*;

    const DRAWS: u32 = 100_000;

    /// How many of `DRAWS` picks fall on A, B and C.
    fn shares(abc: &mut Abc) -> [u32; 3] {
        let mut counts = [0; 3];
        let flow = abc.pool.flow([192, 168, 1, 1], 1234);
        for _ in 0..DRAWS {
            let letter = abc.pick_for(&flow);
            counts[usize::from(u8::try_from(letter).unwrap() - b'A')] += 1;
        }
        counts
    }

    /// Asserts that a share is what its probability says, with a tolerance of some six standard deviations.
    fn assert_share(count: u32, numerator: u32, denominator: u32) {
        let expected = DRAWS * numerator / denominator;
        assert!(count.abs_diff(expected) < 1000, "{count} of {DRAWS}, expected {expected}");
    }

    fn chosen(abc: &Abc, draws: [i32; 2]) -> char {
        abc.letter(choose(&abc.pool.pool(), draws).map(|server| server.id()))
    }

    #[test]
    fn the_less_loaded_of_two_draws_takes_the_flow() {
        let mut abc = Abc::new(TwoChoices::new(0), [1, 1, 1]);
        abc.connect(C, 1, true);
        assert_eq!(chosen(&abc, [0, 3]), 'A');
        assert_eq!(chosen(&abc, [3, 0]), 'A');
        assert_eq!(chosen(&abc, [0, 1]), 'C');
        assert_eq!(chosen(&abc, [2, 3]), 'B');
    }

    #[test]
    fn draws_fall_into_shares_in_list_order() {
        let abc = Abc::new(TwoChoices::new(0), [3, 2, 1]);
        let letters = [0, 1, 2, 3, 4, 5, 6].map(|draw| chosen(&abc, [draw, draw]));
        assert_eq!(letters, ['C', 'C', 'B', 'B', 'A', 'A', 'A']);
    }

    #[test]
    fn the_first_server_is_drawn_as_if_heavier_by_one() {
        let mut abc = Abc::new(TwoChoices::new(1), [3, 2, 1]);
        let [a, b, c] = shares(&mut abc);
        assert_share(c, 2, 7);
        assert_share(b, 2, 7);
        assert_share(a, 3, 7);
    }

    #[test]
    fn servers_that_take_no_flow_are_not_drawn() {
        let mut abc = Abc::new(TwoChoices::new(2), [3, 2, 0]);
        let [a, b, c] = shares(&mut abc);
        assert_share(b, 3, 6);
        assert_share(a, 3, 6);
        assert_eq!(c, 0);
        abc.overload(B);
        assert_eq!(shares(&mut abc), [DRAWS, 0, 0]);
        abc.overload(A);
        assert_eq!(abc.picks(1), "-");
    }

    #[test]
    fn a_loaded_server_is_picked_only_if_drawn_twice() {
        let mut abc = Abc::new(TwoChoices::new(3), [1, 1, 1]);
        abc.connect(C, 1, true);
        // C is drawn with 2/4, A and B with 1/4 each. Of A and B the first draw counts, unless it is C.
        let [a, b, c] = shares(&mut abc);
        assert_share(c, 4, 16);
        assert_share(b, 6, 16);
        assert_share(a, 6, 16);
    }

    #[test]
    fn load_counts_in_proportion_to_weight() {
        let mut abc = Abc::new(TwoChoices::new(0), [0, 3, 1]);
        abc.connect(C, 1, true);
        abc.connect(B, 2, true);
        assert_eq!(chosen(&abc, [0, 2]), 'B');
        abc.connect(B, 1, true);
        assert_eq!(chosen(&abc, [0, 2]), 'C');
        assert_eq!(chosen(&abc, [2, 0]), 'B');
    }

    #[test]
    fn products_wrap_at_32_bits() {
        let mut abc = Abc::new(TwoChoices::new(0), [0, 1 << 30, 1]);
        abc.connect(C, 4, false);
        // 2^30 * 4 is 0: not more than the 0 of B.
        assert_eq!(chosen(&abc, [0, 2]), 'C');
        abc.connect(C, 1, false);
        assert_eq!(chosen(&abc, [0, 2]), 'B');
    }

    #[test]
    fn a_sum_of_weights_that_wraps_still_yields_a_server() {
        let mut abc = Abc::new(TwoChoices::new(4), [0x7fff_ffff; 3]);
        assert!((0..1000).all(|_| abc.picks(1) != "-"));
        let mut abc = Abc::new(TwoChoices::new(5), [0x7fff_ffff, 0x7fff_ffff, 2]);
        assert!((0..1000).all(|_| abc.picks(1) != "-"));
    }

    #[test]
    fn one_seed_one_story() {
        let picks = |seed| Abc::new(TwoChoices::new(seed), [1, 2, 3]).picks(50);
        assert_eq!(picks(7), picks(7));
        assert_ne!(picks(7), picks(8));
    }
}
