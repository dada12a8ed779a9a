//! What a service can do beyond the kernel's: all of it off by default, none of it in rules or listings.

use core::time::Duration;

use crate::error::ControlError;
use crate::time::Instant;
use crate::timer::Timeouts;

/// What can be switched on for a service with [`Director::set_service_options`](crate::Director::set_service_options).
/// By default the service is as the kernel's.
///
/// ```
/// use core::time::Duration;
/// use lvs_core::{Config, Director, FlowState, ServiceOptions, ServiceSpec, SlowStart, Timeouts};
///
/// let mut director = Director::new(Config::with_seed(7))?;
/// let dns = director.add_service(ServiceSpec::udp("192.0.2.10:53".parse()?).scheduler("rr"))?;
/// director.set_service_options(dns, ServiceOptions {
///     timeouts: Some(Timeouts::default().with(FlowState::Udp, Duration::from_secs(10))?),
///     slow_start: Some(SlowStart::over(Duration::from_secs(60))),
///     begins_anywhere: true,
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceOptions {
    /// Timeouts of its own, instead of the director's. `ipvsadm --set` then has no effect on it.
    pub timeouts: Option<Timeouts>,
    /// Whether new servers get their share of flows bit by bit.
    pub slow_start: Option<SlowStart>,
    /// Whether `rr`, `wrr` and `swrr` begin their turn at a server drawn from the director's seed, so that several
    /// directors of one configuration do not all begin at the same server. The kernel begins at the head of the list.
    pub begins_anywhere: bool,
}

/// How the weight of a server grows that is new, or had weight 0 before: evenly, from a smallest share of it to all of
/// it. The weight in listings and rules is the whole one all the time.
///
/// What schedulers make of it: with `wrr wlc lblc lblcr sed nq twos swrr` and schedulers of one's own that say so, the
/// server gets flows by its grown weight (all weights of the service count a hundredfold, so that a weight of 1 can grow
/// as well); with `ovf` it takes so many connections. `rr lc dh sh mh fo` look at no weight, or at weights as ranks or
/// places: for them nothing changes. `nq` gives an idle server a flow whatever its weight.
///
/// Servers that are added together grow together: between them only their weights count. The share grows in steps of one
/// percent, as [`advance`](crate::Director::advance) is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlowStart {
    /// From the smallest share to all of it, 1 second to 31 days.
    pub duration: Duration,
    /// The smallest share in percent, 1 to 100: at least so much from the beginning.
    pub least_percent: u8,
}

/// Longest slow start, as long as the longest timeout.
const MAX: Duration = Duration::from_secs(2_678_400);
const WHOLE: u32 = 100;

impl SlowStart {
    /// From a tenth to all of the weight in this time.
    #[must_use]
    pub const fn over(duration: Duration) -> Self {
        Self { duration, least_percent: 10 }
    }

    pub(crate) fn check(&self) -> Result<(), ControlError> {
        if self.duration < Duration::from_secs(1) || self.duration > MAX {
            return Err(ControlError::TimeoutRange);
        }
        if (1..=100).contains(&self.least_percent) { Ok(()) } else { Err(ControlError::ShareRange) }
    }

    /// What counts of a weight, in percent, when a server has been there since some moment; and when more will.
    pub(crate) fn share(&self, since: Instant, now: Instant) -> (u32, Option<Instant>) {
        let (passed, whole) = (now.since(since).as_nanos(), self.duration.as_nanos().max(1));
        let steps = u32::try_from(passed * u128::from(WHOLE) / whole).unwrap_or(WHOLE);
        if steps >= WHOLE {
            return (WHOLE, None);
        }
        let nanos = (whole * u128::from(steps + 1)).div_ceil(u128::from(WHOLE));
        let next = since + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        (steps.max(u32::from(self.least_percent)), Some(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_evenly_in_steps_of_a_percent() {
        let slow = SlowStart { duration: Duration::from_secs(50), least_percent: 10 };
        let since = Instant::from_secs(1_000);
        let at = |millis| slow.share(since, since + Duration::from_millis(millis));
        assert_eq!(at(0), (10, Some(Instant::from_millis(1_000_500))));
        assert_eq!(at(4_999), (10, Some(Instant::from_millis(1_005_000))));
        assert_eq!(at(25_000), (50, Some(Instant::from_millis(1_025_500))));
        assert_eq!(at(25_499), (50, Some(Instant::from_millis(1_025_500))));
        assert_eq!(at(49_999), (99, Some(Instant::from_millis(1_050_000))));
        assert_eq!(at(50_000), (100, None));
    }

    #[test]
    fn the_next_step_is_one_indeed() {
        let slow = SlowStart { duration: Duration::from_nanos(3_333_333_333), least_percent: 1 };
        let (mut now, mut shares) = (Instant::ZERO, 0);
        while let (_, Some(next)) = slow.share(Instant::ZERO, now) {
            let before = slow.share(Instant::ZERO, Instant::from_nanos(next.as_nanos() - 1)).0;
            now = next;
            assert!(slow.share(Instant::ZERO, now).0 > before || before == 1);
            shares += 1;
        }
        assert_eq!(shares, 100);
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let slow = |seconds, least_percent| SlowStart { duration: Duration::from_secs(seconds), least_percent };
        assert_eq!(slow(0, 10).check(), Err(ControlError::TimeoutRange));
        assert_eq!(slow(2_678_401, 10).check(), Err(ControlError::TimeoutRange));
        assert_eq!([slow(1, 0).check(), slow(1, 101).check()], [Err(ControlError::ShareRange); 2]);
        assert_eq!([slow(1, 1).check(), slow(2_678_400, 100).check()], [Ok(()); 2]);
    }
}
