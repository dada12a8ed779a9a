//! The two daemons of a director, their settings, and what both have counted.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use super::backup::Backup;
use super::master::Master;
use super::{PORT, QUEUES_MAX, SyncCounts};
use crate::config::Tunables;
use crate::control::{DaemonRole, DaemonSpec, DaemonView};
use crate::error::ControlError;

/// The group, unless told otherwise.
const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));
/// What an interface carries; the library has none to ask.
const MTU: u16 = 1500;
/// A backup takes messages at least so long.
const BACKUP_LEN_MIN: u16 = 1024;

/// The daemons that run, if any.
#[derive(Debug, Default)]
pub(crate) struct Daemons {
    pub(crate) master: Option<Box<Master>>,
    pub(crate) backup: Option<Backup>,
    /// Queues, fixed when the first daemon starts.
    queues: usize,
    pub(crate) counts: SyncCounts,
}

impl Daemons {
    /// True while a master runs: connections are offered to it.
    #[inline]
    pub(crate) const fn is_master(&self) -> bool {
        self.master.is_some()
    }

    pub(crate) const fn is_running(&self) -> bool {
        self.master.is_some() || self.backup.is_some()
    }

    pub(crate) fn start(&mut self, spec: &DaemonSpec, tunables: &Tunables) -> Result<(), ControlError> {
        let runs = match spec.role {
            DaemonRole::Master => self.master.is_some(),
            DaemonRole::Backup => self.backup.is_some(),
        };
        if runs {
            return Err(ControlError::DaemonRuns);
        }
        let queues = if self.is_running() {
            self.queues
        } else {
            usize::try_from(tunables.sync_ports).unwrap_or(1).clamp(1, QUEUES_MAX)
        };
        let view = view(spec)?;
        match spec.role {
            DaemonRole::Master => {
                let master = Master::new(view, queues).ok_or(ControlError::OutOfMemory)?;
                self.master = Some(Box::new(master));
            }
            DaemonRole::Backup => self.backup = Some(Backup { view }),
        }
        self.queues = queues;
        Ok(())
    }

    pub(crate) fn stop(&mut self, role: DaemonRole) -> Result<(), ControlError> {
        match role {
            DaemonRole::Master => {
                let master = self.master.take().ok_or(ControlError::NoDaemon)?;
                self.counts.records_abandoned += master.records_left();
            }
            DaemonRole::Backup => drop(self.backup.take().ok_or(ControlError::NoDaemon)?),
        }
        Ok(())
    }

    pub(crate) fn views(&self) -> Vec<DaemonView> {
        let master = self.master.as_ref().map(|master| &master.view);
        let backup = self.backup.as_ref().map(|backup| &backup.view);
        master.into_iter().chain(backup).cloned().collect()
    }
}

/// A daemon's settings, with what was left open.
fn view(spec: &DaemonSpec) -> Result<DaemonView, ControlError> {
    let group = spec.group.unwrap_or(GROUP);
    if !group.is_multicast() {
        return Err(ControlError::GroupNotMulticast);
    }
    // IP header and UDP header.
    let headers = if group.is_ipv4() { 28 } else { 48 };
    let shortest = match spec.role {
        DaemonRole::Master => 1,
        DaemonRole::Backup => BACKUP_LEN_MIN,
    };
    Ok(DaemonView {
        role: spec.role,
        interface: spec.interface.clone(),
        sync_id: spec.sync_id,
        max_len: spec.max_len.map_or(MTU - headers, |len| len.clamp(shortest, u16::MAX - headers)),
        group,
        port: spec.port.unwrap_or(PORT),
        ttl: spec.ttl.unwrap_or(1),
    })
}
