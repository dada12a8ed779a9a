//! What a director tells of itself: services, servers, connections, counters.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lvs_core::{ConnectionView, DropReason, PassReason, ReasonCounts, ReplyReason};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Director;
use crate::convert::{Endpoint, Key};
use crate::errors::Error;
use crate::records::Classes;
use crate::verdicts::connection_id;

#[pymethods]
impl Director {
    /// Return the services as a Table of Service records, each with its servers, in no order that lasts.
    fn services<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let views = self.with_others_running(py, |state| state.director.services())?;
        let classes = Classes::import(py)?;
        classes.table("Service", views.iter().map(|view| classes.service(view)).collect::<PyResult<_>>()?)
    }

    /// Return the servers, of one service or of all, as a Table of Server records. Raises NotFoundError.
    #[pyo3(signature = (service = None))]
    fn servers<'py>(&self, py: Python<'py>, service: Option<Key>) -> PyResult<Bound<'py, PyAny>> {
        let views = self.with_others_running(py, |state| {
            if let Some(service) = service {
                state.service(service.0)?;
            }
            Ok(state.director.services())
        })?;
        let mut views = views.map_err(Error::Control)?;
        if let Some(service) = service {
            views.retain(|view| view.spec.key == service.0);
        }
        let classes = Classes::import(py)?;
        let all = views.iter().flat_map(|view| view.servers.iter().map(|server| (&view.spec.key, server)));
        classes.table("Server", all.map(|(key, server)| classes.server(key, server)).collect::<PyResult<_>>()?)
    }

    /// Return the connections and templates of this moment as a Table of Connection records, in no particular order.
    fn connections<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let views: Vec<_> = self.with_others_running(py, |state| state.director.connections().collect())?;
        let classes = Classes::import(py)?;
        classes.table("Connection", views.iter().map(|view| classes.connection(view)).collect::<PyResult<_>>()?)
    }

    /// Return an iterator over the connections and templates, which takes them from the table in parts: packets may be
    /// processed in between, and what begins or ends meanwhile is told or not.
    fn iter_connections(slf: Bound<'_, Self>) -> ConnectionIterator {
        ConnectionIterator { director: slf.unbind(), part: Mutex::default() }
    }

    /// Return the connection of an id, as Forward and Connection have it, if it still exists.
    fn connection<'py>(&self, py: Python<'py>, id: u64) -> PyResult<Option<Bound<'py, PyAny>>> {
        let view = self.with(py, |state| state.director.connection(connection_id(id)))?;
        view.map(|view| Classes::import(py)?.connection(&view)).transpose()
    }

    /// How many connections and templates there are, those included whose time is over and that advance has not taken
    /// away yet.
    fn connection_count(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |state| state.director.connection_count())
    }

    /// Return what the whole director has counted, as of the latest two-second tick.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Classes::import(py)?.counters(self.with(py, |state| state.director.counters())?)
    }

    /// Return what a server has counted up to this moment, never set to zero. Raises NotFoundError.
    fn server_counters<'py>(&self, py: Python<'py>, service: Key, address: Endpoint) -> PyResult<Bound<'py, PyAny>> {
        let counters = self.with(py, |state| {
            let id = state.server(service.0, address)?;
            state.director.server_counters(id).ok_or(lvs_core::ControlError::NoSuchServer)
        })?;
        Classes::import(py)?.counters(counters.map_err(Error::Control)?)
    }

    /// Return how often each verdict was given, by pairs such as ("pass", "no-service") and ("forward", ""). Those that
    /// were never given are left out.
    fn reasons<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        reason_counts(py, &self.with(py, |state| state.director.reasons().clone())?)
    }

    /// Bytes of memory that connections and fragments take, reserved when the director was built.
    fn memory(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |state| state.director.memory())
    }

    /// Return everything that is counted in the Prometheus text format.
    fn metrics(&self, py: Python<'_>) -> PyResult<String> {
        self.with_others_running(py, |state| state.director.metrics())
    }
}

on_both!({
    /// Return the rates of the whole director.
    fn rates<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Classes::import(py)?.rates(self.with(py, |state| state.director.rates())?)
    }

    /// Return how many connections went so that others had room in a full table, by kind: expired, half_open, single.
    fn evictions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let evictions = self.with(py, |state| state.director.evictions())?;
        let all = PyDict::new(py);
        all.set_item("expired", evictions.expired)?;
        all.set_item("half_open", evictions.half_open)?;
        all.set_item("single", evictions.single)?;
        Ok(all)
    }

    /// How many first parts of fragmented packets were forgotten for want of room.
    fn evicted_fragments(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |state| state.director.evicted_fragments())
    }

    /// How many connections the drop_entry defence has ended.
    fn dropped_entries(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |state| state.director.dropped_entries())
    }

    /// Return what the kernel shows in a file of /proc/net: ip_vs, ip_vs_conn, ip_vs_conn_sync, ip_vs_stats or
    /// ip_vs_app. Raises NotFoundError for other names.
    fn proc_file(&self, py: Python<'_>, name: &str) -> PyResult<String> {
        let text = self.with(py, |state| state.director.proc_file(name))?;
        text.ok_or_else(|| crate::errors::not_found(format!("there is no file {name:?}")))
    }
});

/// The connections of a director, part by part.
#[pyclass(frozen, module = "lvs._lvs", name = "_ConnectionIterator")]
#[derive(Debug)]
pub(crate) struct ConnectionIterator {
    director: Py<Director>,
    part: Mutex<Part>,
}

/// What was taken from the table and not yet told, and where the next part begins.
#[derive(Debug, Default)]
struct Part {
    views: VecDeque<ConnectionView>,
    place: usize,
}

/// Connections in a part.
const PART: usize = 1024;

#[pymethods]
impl ConnectionIterator {
    const fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let next = self.part().views.pop_front();
        let next = if next.is_some() { next } else { self.fetch(py)? };
        next.map(|view| Classes::import(py)?.connection(&view)).transpose()
    }
}

impl ConnectionIterator {
    fn part(&self) -> MutexGuard<'_, Part> {
        self.part.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next part, and of it the first one.
    fn fetch(&self, py: Python<'_>) -> PyResult<Option<ConnectionView>> {
        let place = self.part().place;
        let views = self.director.get().with_others_running(py, |state| {
            state.director.connections_from(place).take(PART).collect::<VecDeque<_>>()
        })?;
        let mut part = self.part();
        // Another thread may have been faster.
        if let Some(last) = views.back()
            && part.place == place
        {
            part.place = last.id.index() + 1;
            part.views = views;
        }
        Ok(part.views.pop_front())
    }
}

/// How often each verdict was given, for those that were.
pub(crate) fn reason_counts<'py>(py: Python<'py>, counts: &ReasonCounts) -> PyResult<Bound<'py, PyDict>> {
    let passed = PassReason::ALL.iter().map(|reason| ("pass", reason.name(), counts.passed(*reason)));
    let dropped = DropReason::ALL.iter().map(|reason| ("drop", reason.name(), counts.dropped(*reason)));
    let replied = ReplyReason::ALL.iter().map(|reason| ("reply", reason.name(), counts.replied(*reason)));
    let all = PyDict::new(py);
    let forwarded = [("forward", "", counts.forwarded())];
    for (verdict, reason, count) in forwarded.into_iter().chain(passed).chain(dropped).chain(replied) {
        if count > 0 {
            all.set_item((verdict, reason), count)?;
        }
    }
    Ok(all)
}
