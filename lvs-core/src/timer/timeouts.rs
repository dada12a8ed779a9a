//! How long a connection lives in each state after its latest packet.
//!
//! Follows: the kernel's default timeouts; `ipvsadm --set` changes three of them. That every state's can be changed, and
//! those of one service, the kernel does not offer.

use alloc::vec::Vec;
use core::time::Duration;

use crate::error::ControlError;
use crate::proto::{FlowState, sctp, tcp};

/// The timeouts of a director or of a service, by state. Those of [`default`](Timeouts::default) are the kernel's.
///
/// ```
/// use core::time::Duration;
/// use lvs_core::{FlowState, TcpState, Timeouts};
///
/// let quick = Timeouts::default()
///     .with(FlowState::Udp, Duration::from_secs(10))?
///     .with(FlowState::Tcp(TcpState::SynReceived), Duration::from_millis(2_500))?;
/// assert_eq!(quick.of(FlowState::Tcp(TcpState::Established)), Duration::from_secs(900));
/// assert_eq!(quick.of(FlowState::Udp), Duration::from_secs(10));
/// # Ok::<(), lvs_core::ControlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    tcp: [u32; tcp::STATES],
    sctp: [u32; sctp::STATES],
    udp: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { tcp: tcp::TIMEOUTS_MS, sctp: sctp::TIMEOUTS_MS, udp: 300_000 }
    }
}

/// `ipvsadm` takes no more; the kernel's limit is above it.
const MAX: Duration = Duration::from_secs(2_678_400);

impl Timeouts {
    pub(crate) fn tcp_ms(&self, state: u8) -> u32 {
        self.tcp.get(usize::from(state)).copied().unwrap_or(2_000)
    }

    pub(crate) fn sctp_ms(&self, state: u8) -> u32 {
        self.sctp.get(usize::from(state)).copied().unwrap_or(2_000)
    }

    pub(crate) const fn udp_ms(&self) -> u32 {
        self.udp
    }

    /// How long a flow lives in a state without a packet.
    #[must_use]
    pub fn of(&self, state: FlowState) -> Duration {
        let millis = match state {
            FlowState::Tcp(state) => self.tcp_ms(state as u8),
            FlowState::Sctp(state) => self.sctp_ms(state as u8),
            FlowState::Udp => self.udp,
        };
        Duration::from_millis(u64::from(millis))
    }

    /// The same timeouts but for one, which is cut to whole milliseconds.
    ///
    /// # Errors
    /// [`ControlError::TimeoutRange`] for less than a millisecond or more than 31 days.
    pub fn with(mut self, state: FlowState, timeout: Duration) -> Result<Self, ControlError> {
        let millis = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        if millis == 0 || timeout > MAX {
            return Err(ControlError::TimeoutRange);
        }
        match state {
            FlowState::Tcp(state) => self.tcp[state as usize] = millis,
            FlowState::Sctp(state) => self.sctp[state as usize] = millis,
            FlowState::Udp => self.udp = millis,
        }
        Ok(self)
    }

    /// Of an established TCP connection: 900 s unless changed.
    #[must_use]
    pub fn tcp(&self) -> Duration {
        Duration::from_millis(u64::from(self.tcp_ms(tcp::ESTABLISHED)))
    }

    /// Of a TCP connection in FIN_WAIT: 120 s unless changed.
    #[must_use]
    pub fn tcp_fin(&self) -> Duration {
        Duration::from_millis(u64::from(self.tcp_ms(tcp::FIN_WAIT)))
    }

    /// Of a UDP flow: 300 s unless changed.
    #[must_use]
    pub fn udp(&self) -> Duration {
        Duration::from_millis(u64::from(self.udp))
    }

    /// Changes the three timeouts that `ipvsadm --set` does; zero leaves one as it is.
    ///
    /// A connection takes up a new timeout with its next packet.
    ///
    /// # Errors
    /// [`ControlError::TimeoutRange`] for more than 31 days or a part of a second; then none is changed.
    pub fn set(&mut self, tcp: Duration, tcp_fin: Duration, udp: Duration) -> Result<(), ControlError> {
        let whole = |d: Duration| d.subsec_nanos() == 0 && d <= MAX;
        if ![tcp, tcp_fin, udp].into_iter().all(whole) {
            return Err(ControlError::TimeoutRange);
        }
        let set = |place: &mut u32, value: Duration| {
            if !value.is_zero() {
                *place = u32::try_from(value.as_millis()).unwrap_or(u32::MAX);
            }
        };
        set(&mut self.tcp[usize::from(tcp::ESTABLISHED)], tcp);
        set(&mut self.tcp[usize::from(tcp::FIN_WAIT)], tcp_fin);
        set(&mut self.udp, udp);
        Ok(())
    }
}

/// The timeouts of services that have their own. Servers carry the number of their service's; 0 stands for the
/// director's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profiles(Vec<Timeouts>);

impl Profiles {
    /// True if no service has timeouts of its own: then no packet needs to look for them.
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, number: u16) -> Option<&Timeouts> {
        self.0.get(usize::from(number).checked_sub(1)?)
    }

    /// The number of such timeouts, new ones in a place that is not `used`. `None` if there are 65535 already.
    pub(crate) fn number_of(&mut self, timeouts: &Timeouts, used: impl Fn(u16) -> bool) -> Option<u16> {
        let number = |index: usize| u16::try_from(index + 1).ok();
        if let Some(index) = self.0.iter().position(|known| known == timeouts) {
            return number(index);
        }
        match (0..self.0.len()).find(|&index| number(index).is_some_and(|number| !used(number))) {
            Some(index) => {
                self.0[index] = timeouts.clone();
                number(index)
            }
            None => {
                let last = number(self.0.len())?;
                self.0.push(timeouts.clone());
                Some(last)
            }
        }
    }

    /// Forgets the last ones that nobody uses.
    pub(crate) fn trim(&mut self, used: impl Fn(u16) -> bool) {
        while u16::try_from(self.0.len()).is_ok_and(|last| last > 0 && !used(last)) {
            self.0.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{SctpState, TcpState};

    #[test]
    fn the_default_profile_is_the_kernels() {
        let timeouts = Timeouts::default();
        let tcp = TcpState::ALL.map(|state| timeouts.of(FlowState::Tcp(state)).as_secs());
        assert_eq!(tcp, [2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120]);
        let sctp = SctpState::ALL.map(|state| timeouts.of(FlowState::Sctp(state)).as_secs());
        assert_eq!(sctp, [2, 4, 61, 61, 61, 61, 61, 61, 900, 61, 61, 61, 4, 61]);
        assert_eq!(timeouts.of(FlowState::Udp).as_secs(), 300);
    }

    #[test]
    fn each_state_has_a_timeout_of_its_own() {
        let all = TcpState::ALL.map(FlowState::Tcp).into_iter().chain(SctpState::ALL.map(FlowState::Sctp));
        let all: Vec<FlowState> = all.chain([FlowState::Udp]).collect();
        for &changed in &all {
            let timeouts = Timeouts::default().with(changed, Duration::from_millis(1_234)).unwrap();
            for &state in &all {
                let expected =
                    if state == changed { Duration::from_millis(1_234) } else { Timeouts::default().of(state) };
                assert_eq!(timeouts.of(state), expected, "{changed:?} {state:?}");
            }
        }
    }

    #[test]
    fn timeouts_out_of_range_are_refused() {
        for timeout in [Duration::ZERO, Duration::from_micros(999), MAX + Duration::from_nanos(1), Duration::MAX] {
            assert_eq!(Timeouts::default().with(FlowState::Udp, timeout), Err(ControlError::TimeoutRange));
        }
        assert!(Timeouts::default().with(FlowState::Udp, MAX).is_ok());
    }

    #[test]
    fn numbers_are_shared_and_used_again() {
        let udp = |seconds| Timeouts::default().with(FlowState::Udp, Duration::from_secs(seconds)).unwrap();
        let mut profiles = Profiles::default();
        assert_eq!(profiles.number_of(&udp(1), |_| true), Some(1));
        assert_eq!(profiles.number_of(&udp(2), |_| true), Some(2));
        assert_eq!(profiles.number_of(&udp(1), |_| true), Some(1));
        assert_eq!(profiles.number_of(&udp(3), |number| number != 1), Some(1));
        assert_eq!(profiles.get(1), Some(&udp(3)));
        assert_eq!((profiles.get(0), profiles.get(3)), (None, None));
        profiles.trim(|number| number == 1);
        assert_eq!((profiles.get(1), profiles.get(2)), (Some(&udp(3)), None));
        profiles.trim(|_| false);
        assert!(profiles.is_empty());
    }
}
