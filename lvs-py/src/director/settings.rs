//! Settings: the kernel's tunables, timeouts, what a service does beyond the kernel's, and what the host is like.

use std::collections::BTreeMap;

use lvs_core::{ControlError, Path, ServiceOptions, SlowStart, Timeouts, Tunables};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::{Director, v4, v6};
use crate::convert::{Address, Key, Several, admission, duration, kind, states, value_error};
use crate::errors::Error;
use crate::records::Classes;

#[pymethods]
impl Director {
    /// Return the kernel's settings by their names below net.ipv4.vs: ints, sync_threshold a pair of them.
    fn tunables<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        named_tunables(py, &self.with(py, |state| state.director.tunables().clone())?)
    }

    /// Change a setting by its kernel name, such as "conn_reuse_mode"; net.ipv4.vs. may stand in front.
    ///
    /// The value is an int, a bool, a pair of ints for sync_threshold, or a text as for sysctl. Raises NotFoundError and
    /// ControlError; then nothing has changed.
    fn set_tunable(&self, py: Python<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let text = tunable_text(value)?;
        self.with(py, |state| state.director.set_tunable(name, &text))?.map_err(Error::Control)?;
        Ok(())
    }

    /// Say what the way to a server is like: the largest IP packet in bytes, where tunnels come from, and whether there is
    /// a way at all.
    #[pyo3(signature = (address, *, mtu = 1500, tunnel_source_v4 = None, tunnel_source_v6 = None, reachable = true))]
    fn set_path(
        &self,
        py: Python<'_>,
        address: Address,
        mtu: u16,
        tunnel_source_v4: Option<Address>,
        tunnel_source_v6: Option<Address>,
        reachable: bool,
    ) -> PyResult<()> {
        let path = path(mtu, tunnel_source_v4, tunnel_source_v6, reachable)?;
        self.with(py, |state| state.director.set_path(address.0, path))
    }
}

on_both!({
    /// Return the timeout of every state, in seconds, by names such as "TCP ESTABLISHED", "SCTP INIT" and "UDP".
    fn timeouts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let timeouts = self.with(py, |state| state.director.timeouts().clone())?;
        let all = PyDict::new(py);
        states().try_for_each(|(name, state)| all.set_item(name, timeouts.of(state).as_secs_f64()))?;
        Ok(all)
    }

    /// Change timeouts by their states, in seconds: {"TCP SYN_RECV": 5.0}. States that are not named stay as they are.
    ///
    /// A connection takes up a new timeout with its next packet. Raises ValueError for what is no state, and ControlError;
    /// then nothing has changed.
    fn set_timeouts(&self, py: Python<'_>, timeouts: &Bound<'_, PyAny>) -> PyResult<()> {
        let timeouts = by_state(timeouts)?;
        let changed = self.with(py, |state| state.director.timeouts().clone())?;
        let changed = timeouts_with(changed, &timeouts)?;
        self.with(py, |state| state.director.set_state_timeouts(changed))
    }

    /// Return what a service does beyond the kernel's. Raises NotFoundError.
    fn service_options<'py>(&self, py: Python<'py>, service: Key) -> PyResult<Bound<'py, PyAny>> {
        let options = self
            .with(py, |state| {
                let id = state.service(service.0)?;
                state.director.service_options(id).cloned().ok_or(ControlError::NoSuchService)
            })?
            .map_err(Error::Control)?;
        Classes::import(py)?.options(&options)
    }

    /// Change what a service does beyond the kernel's, to a ServiceOptions.
    ///
    /// Timeouts of a service are the director's of this moment but for those that are named. Raises NotFoundError,
    /// ControlError, and ValueError for what is no state; then nothing has changed.
    fn set_service_options(&self, py: Python<'_>, service: Key, options: &Bound<'_, PyAny>) -> PyResult<()> {
        if !options.hasattr("slow_start")? {
            let message = format!("options must be ServiceOptions, not {}", kind(options));
            return Err(PyTypeError::new_err(message));
        }
        let own = options.getattr("timeouts")?;
        let own = if own.is_none() { None } else { Some(by_state(&own)?) };
        let slow_start = options.getattr("slow_start")?;
        let slow_start = if slow_start.is_none() {
            None
        } else {
            let duration = duration(slow_start.getattr("duration")?.extract()?)?;
            Some(SlowStart { duration, least_percent: slow_start.getattr("least_percent")?.extract()? })
        };
        let begins_anywhere = options.getattr("begins_anywhere")?.extract()?;
        let all = self.with(py, |state| state.director.timeouts().clone())?;
        let timeouts = own.map(|own| timeouts_with(all, &own)).transpose()?;
        let options = ServiceOptions { timeouts, slow_start, begins_anywhere };
        self.with(py, |state| state.director.set_service_options(state.service(service.0)?, options))?
            .map_err(Error::Control)?;
        Ok(())
    }

    /// Forget what set_path said of a server.
    fn clear_path(&self, py: Python<'_>, address: Address) -> PyResult<()> {
        self.with(py, |state| state.director.clear_path(address.0))
    }

    /// Say what the host's own addresses are; with none, every address that packets come for is the host's.
    fn set_local_addresses(&self, py: Python<'_>, addresses: Several<Address>) -> PyResult<()> {
        let addresses = addresses.0.into_iter().map(|address| address.0).collect();
        self.with(py, |state| state.director.set_local_addresses(addresses))
    }

    /// Say what the broadcast addresses of the host's IPv4 networks are.
    fn set_broadcast_addresses(&self, py: Python<'_>, addresses: Several<Address>) -> PyResult<()> {
        let addresses: Option<Vec<_>> =
            addresses.0.into_iter().map(|address| v4(Some(address))).collect::<PyResult<_>>()?;
        self.with(py, |state| state.director.set_broadcast_addresses(addresses.unwrap_or_default()))
    }

    /// Say what the host's addresses towards its clients are: where ICMP errors come from.
    #[pyo3(signature = (v4 = None, v6 = None))]
    fn set_client_side_addresses(&self, py: Python<'_>, v4: Option<Address>, v6: Option<Address>) -> PyResult<()> {
        let (v4, v6) = (super::v4(v4)?, super::v6(v6)?);
        self.with(py, |state| state.director.set_client_side_addresses(v4, v6))
    }

    /// Change what a full table does about a new connection: "refuse", "evict-half-open" or
    /// "evict-half-open-and-single".
    fn set_admission(&self, py: Python<'_>, admission: &str) -> PyResult<()> {
        let admission = self::admission(admission)?;
        self.with(py, |state| state.director.set_admission(admission))
    }

    /// Say how many pages of memory the host has available: automatic defences follow it.
    fn set_available_memory(&self, py: Python<'_>, pages: u64) -> PyResult<()> {
        self.with(py, |state| state.director.set_available_memory(pages))
    }

    /// Change the ports whose services get the FTP helper; none for no helper. Raises ControlError.
    fn set_ftp_ports(&self, py: Python<'_>, ports: Several<u16>) -> PyResult<()> {
        self.with(py, |state| state.director.set_ftp_ports(&ports.0))?.map_err(Error::Control)?;
        Ok(())
    }

    /// Return the ports whose services get the FTP helper.
    fn ftp_ports(&self, py: Python<'_>) -> PyResult<Vec<u16>> {
        self.with(py, |state| state.director.ftp_ports().collect())
    }
});

/// Tunables by their names.
pub(crate) fn named_tunables<'py>(py: Python<'py>, tunables: &Tunables) -> PyResult<Bound<'py, PyDict>> {
    let all = PyDict::new(py);
    for name in Tunables::NAMES {
        let text = tunables.get(name).unwrap_or_default();
        let numbers: Vec<i32> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let value = match numbers[..] {
            [one] => one.into_py_any(py)?,
            [one, two] => (one, two).into_py_any(py)?,
            _ => text.into_py_any(py)?,
        };
        all.set_item(name, value)?;
    }
    Ok(all)
}

/// The value of a tunable as sysctl takes it.
pub(crate) fn tunable_text(value: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(text) = value.cast::<PyString>() {
        Ok(text.to_string())
    } else if let Ok((one, two)) = value.extract::<(i64, i64)>() {
        Ok(format!("{one} {two}"))
    } else if let Ok(flag) = value.extract::<bool>() {
        Ok(u8::from(flag).to_string())
    } else {
        Ok(value.extract::<i64>()?.to_string())
    }
}

/// What the way to a server is like.
pub(crate) fn path(mtu: u16, from_v4: Option<Address>, from_v6: Option<Address>, reachable: bool) -> PyResult<Path> {
    let mut path = Path { reachable, ..Path::new(mtu) };
    path.tunnel_source_v4 = v4(from_v4)?.unwrap_or(path.tunnel_source_v4);
    path.tunnel_source_v6 = v6(from_v6)?.unwrap_or(path.tunnel_source_v6);
    Ok(path)
}

/// Seconds by the names of states, from any mapping.
fn by_state(timeouts: &Bound<'_, PyAny>) -> PyResult<BTreeMap<String, f64>> {
    timeouts.py().get_type::<PyDict>().call1((timeouts,))?.extract()
}

fn timeouts_with(mut timeouts: Timeouts, changes: &BTreeMap<String, f64>) -> PyResult<Timeouts> {
    for (name, seconds) in changes {
        let state = states().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let wrong = || value_error(format!("{name:?} is not a state, such as 'TCP ESTABLISHED' or 'UDP'"));
        let (_, state) = state.ok_or_else(wrong)?;
        timeouts = timeouts.with(state, duration(*seconds)?).map_err(Error::Control)?;
    }
    Ok(timeouts)
}
