//! Settings that change while the director runs: tunables and timeouts.

use core::time::Duration;

use super::Director;
use crate::config::{Admission, Tunables};
use crate::conn::Evictions;
use crate::error::ControlError;
use crate::sched::SchedulerTunables;
use crate::timer::Timeouts;

impl Director {
    /// The kernel's settings as they are.
    ///
    /// ```
    /// use lvs_core::{Config, Director};
    ///
    /// let director = Director::new(Config::with_seed(7))?;
    /// assert_eq!(director.tunables().conn_reuse_mode, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn tunables(&self) -> &Tunables {
        &self.settings.tunables
    }

    /// Changes a setting by its kernel name, such as `net.ipv4.vs.conn_reuse_mode`; the prefix may be left out.
    ///
    /// ```
    /// use lvs_core::{Config, ControlError, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.set_tunable("net.ipv4.vs.expire_nodest_conn", "1")?;
    /// assert_eq!(director.set_tunable("expire_nodest_conn", "maybe"), Err(ControlError::TunableRange));
    /// assert_eq!(director.set_tunable("expire", "1"), Err(ControlError::NoSuchTunable));
    /// assert_eq!(director.tunables().expire_nodest_conn, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::NoSuchTunable`], [`ControlError::TunableRange`]; then nothing has changed.
    pub fn set_tunable(&mut self, name: &str, value: &str) -> Result<(), ControlError> {
        let mut tunables = self.settings.tunables.clone();
        tunables.set(name, value)?;
        self.adopt(tunables);
        Ok(())
    }

    /// Changes all settings at once: start from [`tunables`](Director::tunables) and change what is to be changed.
    ///
    /// ```
    /// use lvs_core::{Config, ControlError, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let mut tunables = director.tunables().clone();
    /// tunables.expire_nodest_conn = 1;
    /// tunables.sync_threshold = (3, 30);
    /// director.set_tunables(tunables.clone())?;
    ///
    /// tunables.sync_threshold = (30, 3);
    /// tunables.expire_nodest_conn = 0;
    /// assert_eq!(director.set_tunables(tunables), Err(ControlError::TunableRange));
    /// assert_eq!(director.tunables().expire_nodest_conn, 1, "nothing of it was taken");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::TunableRange`] if one of them is [refused](Tunables::check); then nothing has changed.
    pub fn set_tunables(&mut self, tunables: Tunables) -> Result<(), ControlError> {
        tunables.check()?;
        self.adopt(tunables);
        Ok(())
    }

    /// Takes over settings that are in order. A defence's mode that is written as it was changes nothing.
    fn adopt(&mut self, tunables: Tunables) {
        let modes = |of: &Tunables| (of.drop_entry, of.drop_packet, of.secure_tcp);
        let mode_changes = modes(&tunables) != modes(&self.settings.tunables);
        let before = self.scheduler_tunables();
        self.settings.tunables = tunables;
        if mode_changes {
            self.defences_were_tuned();
        }
        self.open_or_close();
        let after = self.scheduler_tunables();
        if before != after {
            for service in self.control.services.iter_mut() {
                if let Some(scheduler) = service.scheduler.as_mut() {
                    scheduler.tuned(&after);
                }
            }
        }
    }

    /// Changes what a full table does about a new connection.
    ///
    /// ```
    /// use lvs_core::{Admission, Config, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// director.set_admission(Admission::EvictHalfOpen);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn set_admission(&mut self, admission: Admission) {
        self.settings.admission = admission;
    }

    /// How many connections went so that others had room in a full table.
    #[must_use]
    pub const fn evictions(&self) -> Evictions {
        self.flows.evictions
    }

    /// The timeouts as they are.
    #[must_use]
    pub const fn timeouts(&self) -> &Timeouts {
        &self.settings.timeouts
    }

    /// Changes the timeouts of established TCP connections, of those in FIN_WAIT, and of UDP flows, as `ipvsadm --set`;
    /// zero leaves one as it is. A connection takes up a new timeout with its next packet.
    ///
    /// ```
    /// use core::time::Duration;
    /// use lvs_core::{Config, ControlError, Director};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let seconds = Duration::from_secs;
    /// director.set_timeouts(seconds(7200), Duration::ZERO, seconds(30))?;
    /// assert_eq!((director.timeouts().tcp(), director.timeouts().tcp_fin()), (seconds(7200), seconds(120)));
    /// let refused = director.set_timeouts(seconds(60), Duration::from_millis(1500), Duration::ZERO);
    /// assert_eq!(refused, Err(ControlError::TimeoutRange));
    /// assert_eq!(director.timeouts().tcp(), seconds(7200), "nothing of it was taken");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
