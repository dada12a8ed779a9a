//! Operation: time, drains, flushes, events.

use lvs_core::{ControlError, Drain, Event};
use pyo3::prelude::*;

use super::SharedDirector;
use super::rules::{server_of, service_of};
use crate::convert::{Endpoint, Key, instant, seconds};
use crate::director::{BUDGET, Which, drain_how};
use crate::errors::Error;
use crate::records::{Classes, key_text};

#[pymethods]
impl SharedDirector {
    /// As Director.advance.
    #[pyo3(signature = (now, *, budget = None))]
    fn advance(&self, py: Python<'_>, now: f64, budget: Option<usize>) -> PyResult<bool> {
        let (director, now) = (self.open()?, instant(now)?);
        Ok(py.detach(|| match budget {
            Some(budget) => director.advance(now, budget).more,
            None => {
                while director.advance(now, BUDGET).more {}
                false
            }
        }))
    }

    /// As Director.next_deadline.
    fn next_deadline(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        let director = self.open()?;
        Ok(py.detach(|| director.next_deadline()).map(seconds))
    }

    /// As Director.drain.
    #[pyo3(signature = (service, address, *, deadline = None, rest = "keep", keep_templates = false, remove = false))]
    #[expect(clippy::too_many_arguments, reason = "they are named")]
    fn drain(
        &self,
        py: Python<'_>,
        service: Key,
        address: Endpoint,
        deadline: Option<f64>,
        rest: &str,
        keep_templates: bool,
        remove: bool,
    ) -> PyResult<()> {
        let how = drain_how(deadline, rest, keep_templates, remove)?;
        self.drain_by(py, service, address, how)
    }

    /// As Director.undrain.
    fn undrain(&self, py: Python<'_>, service: Key, address: Endpoint) -> PyResult<()> {
        let director = self.open()?;
        let ended = py.detach(|| director.undrain(server_of(&director, service.0, address)?));
        Ok(ended.map_err(Error::Control)?)
    }

    /// As Director.drained.
    fn drained(slf: Bound<'_, Self>, service: Key, address: Endpoint) -> SharedDrainedBlock {
        SharedDrainedBlock { director: slf.unbind(), service, address }
    }

    /// As Director.flush.
    #[pyo3(signature = (*, service = None, server = None, client = None, protocol = None, state = None))]
    fn flush(
        &self,
        py: Python<'_>,
        service: Option<Key>,
        server: Option<Endpoint>,
        client: Option<&Bound<'_, PyAny>>,
        protocol: Option<&str>,
        state: Option<&str>,
    ) -> PyResult<usize> {
        let (director, which) = (self.open()?, Which::new(service, server, client, protocol, state)?);
        let ended = py.detach(|| {
            let service = |service| service_of(&director, service);
            let server = |service, address| server_of(&director, service, address);
            director.flush(&which.filter(service, server)?)
        });
        Ok(ended.map_err(Error::Control)?)
    }

    /// As Director.events.
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let director = self.open()?;
        let (events, views) = py.detach(|| {
            let events: Vec<Event> = std::iter::from_fn(|| director.poll_event()).collect();
            let of_servers = events.iter().any(|event| crate::director::server_of(event).is_some());
            (events, if of_servers { director.services() } else { Vec::new() })
        });
        let classes = Classes::import(py)?;
        let named = events.into_iter().map(|event| {
            let id = crate::director::server_of(&event);
            let view = views.iter().find(|view| view.servers.iter().any(|server| Some(server.id) == id));
            let address = id.and_then(|id| director.server(id)).map(|server| server.spec.address.to_string());
            classes.event(event, (view.map(|view| key_text(&view.spec.key)), address))
        });
        named.collect()
    }

    /// As Director.missed_events.
    fn missed_events(&self, py: Python<'_>) -> PyResult<u64> {
        let director = self.open()?;
        Ok(py.detach(|| director.missed_events()))
    }
}

impl SharedDirector {
    fn drain_by(&self, py: Python<'_>, service: Key, address: Endpoint, how: Drain) -> PyResult<()> {
        let director = self.open()?;
        let begun = py.detach(|| director.drain(server_of(&director, service.0, address)?, how));
        Ok(begun.map_err(Error::Control)?)
    }
}

/// A block of code during which a server is drained.
#[pyclass(frozen, module = "lvs._lvs", name = "_SharedDrained")]
#[derive(Debug)]
pub(crate) struct SharedDrainedBlock {
    director: Py<SharedDirector>,
    service: Key,
    address: Endpoint,
}

#[pymethods]
impl SharedDrainedBlock {
    fn __enter__(&self, py: Python<'_>) -> PyResult<()> {
        self.director.get().drain_by(py, self.service, self.address, Drain::new())
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let director = self.director.get().open()?;
        let ended = py.detach(|| director.undrain(server_of(&director, self.service.0, self.address)?));
        // It may have been removed meanwhile: then there is nothing to take back.
        match ended {
            Err(ControlError::NoSuchServer | ControlError::NoSuchService) | Ok(()) => Ok(()),
            Err(other) => Err(Error::Control(other).into()),
        }
    }
}
