//! Rules and settings.

use lvs_core::{Applied, ControlError, ServerId, ServiceId, ServiceKey, ServiceSpec};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::SharedDirector;
use crate::convert::{Address, Endpoint, Key, Several, family, kind, service};
use crate::director::{ServerWish, Wanted, Wish, listing_line, named_tunables, path, server_spec, tunable_text};
use crate::errors::Error;
use crate::records::{Classes, key_text};

#[pymethods]
impl SharedDirector {
    /// As Director.load.
    fn load(&self, py: Python<'_>, rules: &str) -> PyResult<()> {
        let director = self.open()?;
        Ok(py.detach(|| director.load(rules)).map_err(Error::Rule)?)
    }

    /// As Director.run: every line of ipvsadm.
    fn run(&self, py: Python<'_>, line: &str) -> PyResult<String> {
        let director = self.open()?;
        Ok(py.detach(|| director.run(line)).map_err(Error::Rule)?)
    }

    /// As Director.apply.
    fn apply<'py>(&self, py: Python<'py>, rules: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (director, wanted) = (self.open()?, Wanted::new(rules)?);
        let applied: Result<Applied, Error> = py.detach(|| match wanted {
            Wanted::Text(text) => director.apply(&text).map_err(Error::Rule),
            Wanted::Values(all) => director.apply_specs(&all).map_err(Error::Apply),
        });
        Classes::import(py)?.applied(&applied?)
    }

    /// As Director.save.
    fn save(&self, py: Python<'_>) -> PyResult<String> {
        let director = self.open()?;
        Ok(py.detach(|| director.save()))
    }

    /// As Director.listing.
    #[pyo3(signature = (options = ""))]
    fn listing(&self, py: Python<'_>, options: &str) -> PyResult<String> {
        let line = listing_line(options)?;
        self.run(py, line.as_deref().unwrap_or("-L -n"))
    }

    /// As Director.add_service, of a scheduler with a name.
    #[pyo3(signature = (
        protocol, address, *, scheduler = None, flags = None, one_packet = false, persistence = None,
        netmask = None, engine = None, family = "ipv4",
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are named")]
    fn add_service(
        &self,
        py: Python<'_>,
        protocol: &str,
        address: &Bound<'_, PyAny>,
        scheduler: Option<&Bound<'_, PyAny>>,
        flags: Option<Several<String>>,
        one_packet: bool,
        persistence: Option<f64>,
        netmask: Option<&Bound<'_, PyAny>>,
        engine: Option<String>,
        family: &str,
    ) -> PyResult<String> {
        let spec = ServiceSpec::new(service(protocol, address, self::family(family)?)?);
        let wish = Wish { flags, one_packet: Some(one_packet), persistence, netmask, engine };
        let spec = scheduled(wish.of(spec)?, scheduler)?;
        let (director, key) = (self.open()?, key_text(&spec.key));
        py.detach(|| director.add_service(spec)).map_err(Error::Control)?;
        Ok(key)
    }

    /// As Director.edit_service, of a scheduler with a name.
    #[pyo3(signature = (
        service, *, scheduler = None, flags = None, one_packet = None, persistence = None, netmask = None, engine = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are named")]
    fn edit_service(
        &self,
        py: Python<'_>,
        service: Key,
        scheduler: Option<&Bound<'_, PyAny>>,
        flags: Option<Several<String>>,
        one_packet: Option<bool>,
        persistence: Option<f64>,
        netmask: Option<&Bound<'_, PyAny>>,
        engine: Option<String>,
    ) -> PyResult<()> {
        let director = self.open()?;
        let mut views = py.detach(|| director.services());
        views.retain(|view| view.spec.key == service.0);
        let spec = views.pop().ok_or(Error::Control(ControlError::NoSuchService))?.spec;
        let spec = scheduled(Wish { flags, one_packet, persistence, netmask, engine }.of(spec)?, scheduler)?;
        py.detach(|| director.edit_service(spec)).map_err(Error::Control)?;
        Ok(())
    }

    /// As Director.remove_service.
    fn remove_service(&self, py: Python<'_>, service: Key) -> PyResult<()> {
        let director = self.open()?;
        Ok(py.detach(|| director.remove_service(service_of(&director, service.0)?)).map_err(Error::Control)?)
    }

    /// As Director.clear.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        let director = self.open()?;
        py.detach(|| director.clear());
        Ok(())
    }

    /// As Director.add_server.
    #[pyo3(signature = (service, address, *, method = "dr", weight = 1, upper = 0, lower = 0, tunnel = "ipip"))]
    #[expect(clippy::too_many_arguments, reason = "they are named")]
    fn add_server(
        &self,
        py: Python<'_>,
        service: Key,
        address: Endpoint,
        method: &str,
        weight: u32,
        upper: u32,
        lower: u32,
        tunnel: &str,
    ) -> PyResult<()> {
        let spec = server_spec(address, method, weight, upper, lower, tunnel)?;
        let director = self.open()?;
        py.detach(|| director.add_server(service_of(&director, service.0)?, spec)).map_err(Error::Control)?;
        Ok(())
    }

    /// As Director.edit_server.
    #[pyo3(signature = (service, address, *, method = None, weight = None, upper = None, lower = None, tunnel = None))]
    #[expect(clippy::too_many_arguments, reason = "they are named")]
    fn edit_server(
        &self,
        py: Python<'_>,
        service: Key,
        address: Endpoint,
        method: Option<&str>,
        weight: Option<u32>,
        upper: Option<u32>,
        lower: Option<u32>,
        tunnel: Option<&str>,
    ) -> PyResult<()> {
        let change = ServerWish::new(method, weight, upper, lower, tunnel)?;
        let director = self.open()?;
        let edited = py.detach(|| {
            let server = server_of(&director, service.0, address)?;
            let spec = director.server(server).ok_or(ControlError::NoSuchServer)?.spec;
            director.edit_server(service_of(&director, service.0)?, change.of(spec))
        });
        edited.map_err(Error::Control)?;
        Ok(())
    }

    /// As Director.remove_server.
    fn remove_server(&self, py: Python<'_>, service: Key, address: Endpoint) -> PyResult<()> {
        let director = self.open()?;
        let removed = py.detach(|| director.remove_server(service_of(&director, service.0)?, address.0));
        Ok(removed.map_err(Error::Control)?)
    }

    /// As Director.zero.
    #[pyo3(signature = (service = None))]
    fn zero(&self, py: Python<'_>, service: Option<Key>) -> PyResult<()> {
        let director = self.open()?;
        let done = py.detach(|| {
            let service = service.map(|service| service_of(&director, service.0)).transpose()?;
            director.with(|director| director.zero(service))
        });
        Ok(done.map_err(Error::Control)?)
    }

    /// As Director.tunables.
    fn tunables<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let director = self.open()?;
        named_tunables(py, &py.detach(|| director.tunables()))
    }

    /// As Director.set_tunable.
    fn set_tunable(&self, py: Python<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let (director, text) = (self.open()?, tunable_text(value)?);
        Ok(py.detach(|| director.set_tunable(name, &text)).map_err(Error::Control)?)
    }

    /// As Director.set_path.
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
        let (director, path) = (self.open()?, path(mtu, tunnel_source_v4, tunnel_source_v6, reachable)?);
        py.detach(|| director.set_path(address.0, path));
        Ok(())
    }
}

pub(super) fn service_of(director: &lvs_core::SharedDirector, key: ServiceKey) -> Result<ServiceId, ControlError> {
    director.find_service(&key).ok_or(ControlError::NoSuchService)
}

pub(super) fn server_of(
    director: &lvs_core::SharedDirector,
    key: ServiceKey,
    address: Endpoint,
) -> Result<ServerId, ControlError> {
    director.find_server(service_of(director, key)?, address.0).ok_or(ControlError::NoSuchServer)
}

/// A scheduler by its name.
fn scheduled(mut spec: ServiceSpec, scheduler: Option<&Bound<'_, PyAny>>) -> PyResult<ServiceSpec> {
    if let Some(scheduler) = scheduler {
        let wrong = || {
            let kind = kind(scheduler);
            PyTypeError::new_err(format!("a SharedDirector takes the name of a scheduler, not {kind}"))
        };
        spec.scheduler = scheduler.cast::<PyString>().map_err(|_| wrong())?.to_string();
    }
    Ok(spec)
}
