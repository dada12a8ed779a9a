//! What a service can do beyond the kernel's, switched on and off.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::Director;
use crate::error::ControlError;
use crate::service::{ServiceId, ServiceOptions};
use crate::timer::Timeouts;

impl Director {
    /// Switches on what a service is to do beyond the kernel's, and off what it is not to do any more. Editing the
    /// service or its servers leaves the options as they are, removing the service forgets them; rules and listings know
    /// nothing of them.
    ///
    /// Connections take up other timeouts with their next packet.
    ///
    /// ```
    /// use core::time::Duration;
    /// use lvs_core::{Config, Director, FlowState, ServiceOptions, ServiceSpec, Timeouts};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let dns = director.add_service(ServiceSpec::udp("192.0.2.10:53".parse()?))?;
    /// let quick = Timeouts::default().with(FlowState::Udp, Duration::from_secs(10))?;
    /// director.set_service_options(dns, ServiceOptions { timeouts: Some(quick), ..ServiceOptions::default() })?;
    /// assert!(director.service_options(dns).unwrap().timeouts.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ControlError::NoSuchService`]; [`ControlError::TimeoutRange`] and [`ControlError::ShareRange`] for a slow start
    /// out of range; [`ControlError::Full`] if 65535 services have timeouts of their own, each others. Then nothing has
    /// changed.
    pub fn set_service_options(&mut self, service: ServiceId, options: ServiceOptions) -> Result<(), ControlError> {
        let slot = self.control.services.slot(service).ok_or(ControlError::NoSuchService)?;
        options.slow_start.map_or(Ok(()), |slow_start| slow_start.check())?;
        self.set_profile(slot, options.timeouts.as_ref())?;
        self.set_beginning(slot, options.begins_anywhere);
        let service = self.control.services.get_mut(slot);
        let slow_start = service.options.slow_start;
        service.options = options;
        if service.options.slow_start != slow_start {
            self.slow_start_changed(slot);
        }
        Ok(())
    }

    /// What a service does beyond the kernel's.
    #[must_use]
    pub fn service_options(&self, service: ServiceId) -> Option<&ServiceOptions> {
        self.control.services.slot(service).map(|slot| &self.control.services.get(slot).options)
    }

    /// Changes the timeouts of every state, for all services that have none of their own. A connection takes up a new
    /// timeout with its next packet. [`set_timeouts`](Director::set_timeouts) changes the three that `ipvsadm` knows.
    ///
    /// ```
    /// use core::time::Duration;
    /// use lvs_core::{Config, Director, FlowState, TcpState};
    ///
    /// let mut director = Director::new(Config::with_seed(7))?;
    /// let impatient = director.timeouts().clone().with(FlowState::Tcp(TcpState::SynReceived), Duration::from_secs(5))?;
    /// director.set_state_timeouts(impatient);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_state_timeouts(&mut self, timeouts: Timeouts) {
        self.settings.timeouts = timeouts;
    }

    /// Gives a service timeouts of its own, or takes them away: the number that stands for them goes to its servers,
    /// those in the trash included.
    fn set_profile(&mut self, slot: u32, timeouts: Option<&Timeouts>) -> Result<(), ControlError> {
        let Self { settings, servers, control, .. } = self;
        let id = control.services.get(slot).id;
        let slots = 0..u32::try_from(servers.slots()).unwrap_or(u32::MAX);
        let mut its = Vec::new();
        let mut others = BTreeSet::new();
        for server in slots.filter(|&server| servers.is_in_use(server)) {
            if servers.get(server).owner == id {
                its.push(server);
            } else {
                others.insert(servers.live(server).profile);
            }
        }
        others.extend(control.services.iter().filter(|service| service.id != id).map(|service| service.profile));
        let profile = match timeouts {
            Some(timeouts) => {
                settings.profiles.number_of(timeouts, |number| others.contains(&number)).ok_or(ControlError::Full)?
            }
            None => 0,
        };
        for server in its {
            servers.live_mut(server).profile = profile;
        }
        control.services.get_mut(slot).profile = profile;
        settings.profiles.trim(|number| number == profile || others.contains(&number));
        Ok(())
    }

    /// Where the turn of a service's scheduler begins.
    fn set_beginning(&mut self, slot: u32, anywhere: bool) {
        let service = self.control.services.get_mut(slot);
        if anywhere == service.draw.is_some() {
            return;
        }
        service.draw = anywhere.then(|| self.control.rng.next_u64());
        if let Some(scheduler) = service.scheduler.as_mut() {
            scheduler.begin_at(service.draw);
        }
    }
}
