//! How long a connection lives in each state after its latest packet.
//!
//! Follows: the kernel's default timeouts; `ipvsadm --set` changes three of them.

use core::time::Duration;

use crate::error::ControlError;
use crate::proto::{sctp, tcp};

/// The timeouts of a director, in milliseconds by state.
#[derive(Clone, Debug)]
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
