//! What there is to see.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::SharedDirector;
use super::rules::{server_of, service_of};
use crate::convert::{Endpoint, Key};
use crate::director::reason_counts;
use crate::errors::Error;
use crate::records::Classes;
use crate::verdicts::connection_id;

#[pymethods]
impl SharedDirector {
    /// As Director.services.
    fn services<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let director = self.open()?;
        let views = py.detach(|| director.services());
        let classes = Classes::import(py)?;
        classes.table("Service", views.iter().map(|view| classes.service(view)).collect::<PyResult<_>>()?)
    }

    /// As Director.servers.
    #[pyo3(signature = (service = None))]
    fn servers<'py>(&self, py: Python<'py>, service: Option<Key>) -> PyResult<Bound<'py, PyAny>> {
        let director = self.open()?;
        let views = py.detach(|| {
            service.map(|service| service_of(&director, service.0)).transpose()?;
            Ok(director.services())
        });
        let mut views = views.map_err(Error::Control)?;
        views.retain(|view| service.is_none_or(|service| view.spec.key == service.0));
        let classes = Classes::import(py)?;
        let all = views.iter().flat_map(|view| view.servers.iter().map(|server| (&view.spec.key, server)));
        classes.table("Server", all.map(|(key, server)| classes.server(key, server)).collect::<PyResult<_>>()?)
    }

    /// As Director.connections. It brings all connections home: where there are millions, not for every second.
    fn connections<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let director = self.open()?;
        let views = py.detach(|| director.connections());
        let classes = Classes::import(py)?;
        classes.table("Connection", views.iter().map(|view| classes.connection(view)).collect::<PyResult<_>>()?)
    }

    /// As Director.connection.
    fn connection<'py>(&self, py: Python<'py>, id: u64) -> PyResult<Option<Bound<'py, PyAny>>> {
        let director = self.open()?;
        let view = py.detach(|| director.connection(connection_id(id)));
        view.map(|view| Classes::import(py)?.connection(&view)).transpose()
    }

    /// As Director.connection_count.
    fn connection_count(&self, py: Python<'_>) -> PyResult<usize> {
        let director = self.open()?;
        Ok(py.detach(|| director.connection_count()))
    }

    /// How many connections each shard has at this moment; the others are at home.
    fn lent(&self, py: Python<'_>) -> PyResult<Vec<usize>> {
        let director = self.open()?;
        Ok(py.detach(|| director.lent()))
    }

    /// As Director.counters.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let director = self.open()?;
        Classes::import(py)?.counters(py.detach(|| director.counters()))
    }

    /// As Director.server_counters.
    fn server_counters<'py>(&self, py: Python<'py>, service: Key, address: Endpoint) -> PyResult<Bound<'py, PyAny>> {
        let director = self.open()?;
        let counters = py.detach(|| {
            let server = server_of(&director, service.0, address)?;
            director.server_counters(server).ok_or(lvs_core::ControlError::NoSuchServer)
        });
        Classes::import(py)?.counters(counters.map_err(Error::Control)?)
    }

    /// As Director.reasons.
    fn reasons<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let director = self.open()?;
        reason_counts(py, &py.detach(|| director.reasons()))
    }

    /// As Director.memory.
    fn memory(&self, py: Python<'_>) -> PyResult<usize> {
        let director = self.open()?;
        Ok(py.detach(|| director.memory()))
    }

    /// As Director.metrics.
    fn metrics(&self, py: Python<'_>) -> PyResult<String> {
        let director = self.open()?;
        Ok(py.detach(|| director.metrics()))
    }
}
