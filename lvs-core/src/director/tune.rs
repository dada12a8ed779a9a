//! Settings that change while the director runs: tunables and timeouts.

use core::time::Duration;

use super::Director;
use crate::config::Tunables;
use crate::error::ControlError;
use crate::sched::SchedulerTunables;
use crate::timer::Timeouts;

impl Director {
    /// The kernel's settings as they are.
    #[must_use]
    pub const fn tunables(&self) -> &Tunables {
        &self.settings.tunables
    }

    /// Changes a setting by its kernel name, such as `net.ipv4.vs.conn_reuse_mode`; the prefix may be left out.
    ///
    /// # Errors
    /// [`ControlError::NoSuchTunable`], [`ControlError::TunableRange`]; then nothing has changed.
    pub fn set_tunable(&mut self, name: &str, value: &str) -> Result<(), ControlError> {
        let before = self.scheduler_tunables();
        self.settings.tunables.set(name, value)?;
        if name.ends_with("drop_packet") {
            self.drop_packet.tuned(&self.settings.tunables);
        }
        let after = self.scheduler_tunables();
        if before != after {
            for service in self.control.services.iter_mut() {
                if let Some(scheduler) = service.scheduler.as_mut() {
                    scheduler.tuned(&after);
                }
            }
        }
        Ok(())
    }

    /// The timeouts as they are.
    #[must_use]
    pub const fn timeouts(&self) -> &Timeouts {
        &self.settings.timeouts
    }

    /// Changes the timeouts of established TCP connections, of those in FIN_WAIT, and of UDP flows, as `ipvsadm --set`;
    /// zero leaves one as it is. A connection takes up a new timeout with its next packet.
    ///
    /// # Errors
    /// [`ControlError::TimeoutRange`] for more than 31 days or parts of a second; then nothing has changed.
    pub fn set_timeouts(&mut self, tcp: Duration, tcp_fin: Duration, udp: Duration) -> Result<(), ControlError> {
        self.settings.timeouts.set(tcp, tcp_fin, udp)
    }

    pub(super) fn scheduler_tunables(&self) -> SchedulerTunables {
        let seconds = |value: i32| Duration::from_secs(u64::try_from(value).unwrap_or(0));
        SchedulerTunables {
            lblc_expiration: seconds(self.settings.tunables.lblc_expiration),
            lblcr_expiration: seconds(self.settings.tunables.lblcr_expiration),
        }
    }
}
