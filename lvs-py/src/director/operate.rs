//! Operation: time, drains, flushes, events, synchronisation.

use std::net::IpAddr;

use lvs_core::{ControlError, DaemonSpec, Drain, Event, Filter, Protocol, Rest, ServerId, ServiceId, ServiceKey};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{BUDGET, Director, State};
use crate::convert::{Address, Endpoint, Key, instant, net, protocol, rest, role, seconds, value_error};
use crate::errors::Error;
use crate::packets::bytes_of;
use crate::records::{Classes, key_text};

#[pymethods]
impl Director {
    /// Let time pass up to a moment in seconds: connections end, counters and rates are renewed, drains come to their end.
    ///
    /// With a budget, about so many connections and servers are looked at. Returns whether there is more to do: without a
    /// budget there never is.
    #[pyo3(signature = (now, *, budget = None))]
    fn advance(&self, py: Python<'_>, now: f64, budget: Option<usize>) -> PyResult<bool> {
        let now = instant(now)?;
        self.with_others_running(py, |state| {
            let mut step = || state.director.advance(now, budget.unwrap_or(BUDGET)).more;
            if budget.is_some() {
                return step();
            }
            while step() {}
            false
        })
    }

    /// When advance has something to do next, in seconds; None for never.
    ///
    /// Ask again after everything that takes packets, time or rules.
    fn next_deadline(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        self.with(py, |state| state.director.next_deadline().map(seconds))
    }

    /// Take a server out gently: it gets no new connections, those it has go on.
    ///
    /// - deadline: when it is over, in seconds of the director's time; rest says what becomes of connections that are
    ///   left then: "keep", "drop" or "reset".
    /// - keep_templates: whether persistent clients still reach it with new connections.
    /// - remove: whether it is removed from its service when it is drained.
    ///
    /// Events tell of the end. Raises NotFoundError.
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
        self.with(py, |state| state.drain(service.0, address, how))?.map_err(Error::Control)?;
        Ok(())
    }

    /// End a drain: the server has its weight again. Raises NotFoundError.
    fn undrain(&self, py: Python<'_>, service: Key, address: Endpoint) -> PyResult<()> {
        self.with(py, |state| state.undrain(service.0, address))?.map_err(Error::Control)?;
        Ok(())
    }

    /// Return a context manager that drains a server at the beginning of a with block and ends the drain after it.
    ///
    /// The block raises NotFoundError at its beginning, and nothing at its end if the server has been removed meanwhile.
    fn drained(slf: Bound<'_, Self>, service: Key, address: Endpoint) -> DrainedBlock {
        DrainedBlock { director: slf.unbind(), service: service.0, address }
    }

    /// End connections and templates at once and return how many: those that have everything in common with what is
    /// named; all of them if nothing is.
    ///
    /// - service: of the servers that it has now; server, an address and port, goes with it and means that one alone.
    /// - client: of clients in a net such as "198.51.100.0/24".
    /// - protocol: "tcp", "udp" or "sctp"; state: by its name in listings, such as "SYN_RECV".
    ///
    /// Nobody is told: their next packets are those of no connection. Raises NotFoundError; then nothing has changed.
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
        let which = Which::new(service, server, client, protocol, state)?;
        let ended = self.with_others_running(py, |state| {
            let filter =
                which.filter(|service| state.service(service), |service, address| state.server(service, address));
            state.director.flush(&filter?)
        })?;
        Ok(ended.map_err(Error::Control)?)
    }

    /// Return what happened since the last call, oldest first. Without Director(events=...) nothing is told.
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let events = self.with(py, |state| {
            let events: Vec<Event> = std::iter::from_fn(|| state.director.poll_event()).collect();
            state.named(events)
        })?;
        let classes = Classes::import(py)?;
        events.into_iter().map(|(event, server)| classes.event(event, server)).collect()
    }

    /// How many events found no room and were lost.
    fn missed_events(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |state| state.director.missed_events())
    }
}

on_both!({
    /// Return the servers of an IP address, whatever their service and port: pairs of a service's key and an address.
    fn servers_at(&self, py: Python<'_>, address: Address) -> PyResult<Vec<(String, String)>> {
        self.with(py, |state| {
            let there = state.director.servers_at(address.0);
            let views = state.director.services();
            let all = views.iter().flat_map(|view| view.servers.iter().map(move |server| (view, server)));
            all.filter(|(_, server)| there.contains(&server.id))
                .map(|(view, server)| (key_text(&view.spec.key), server.spec.address.to_string()))
                .collect()
        })
    }

    /// End connections and templates as flush does, in parts: look at up to budget places of the table from place on.
    ///
    /// Returns how many were ended and the place to go on from, None at the end. What begins in between may be missed.
    #[pyo3(signature = (
        place = 0, *, budget, service = None, server = None, client = None, protocol = None, state = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are named")]
    fn flush_some(
        &self,
        py: Python<'_>,
        place: usize,
        budget: usize,
        service: Option<Key>,
        server: Option<Endpoint>,
        client: Option<&Bound<'_, PyAny>>,
        protocol: Option<&str>,
        state: Option<&str>,
    ) -> PyResult<(usize, Option<usize>)> {
        let which = Which::new(service, server, client, protocol, state)?;
        let mut place = place;
        let flushed = self.with(py, |state| {
            let filter =
                which.filter(|service| state.service(service), |service, address| state.server(service, address));
            state.director.flush_some(&filter?, &mut place, budget)
        })?;
        let flushed = flushed.map_err(Error::Control)?;
        Ok((flushed.ended, flushed.more.then_some(place)))
    }

    /// Begin to synchronise connections, as ipvsadm --start-daemon.
    ///
    /// role is "master" or "backup"; a backup of sync_id 0 takes messages of every id. Raises ExistsError if one of this
    /// role runs, and ControlError. Then nothing has changed.
    #[pyo3(signature = (
        role, *, interface = "eth0", sync_id = 0, max_len = None, group = None, port = None, ttl = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are named")]
    fn start_daemon(
        &self,
        py: Python<'_>,
        role: &str,
        interface: &str,
        sync_id: u8,
        max_len: Option<u16>,
        group: Option<Address>,
        port: Option<u16>,
        ttl: Option<u8>,
    ) -> PyResult<()> {
        let spec = DaemonSpec {
            interface: interface.to_owned(),
            sync_id,
            max_len,
            group: group.map(|group| group.0),
            port,
            ttl,
            ..DaemonSpec::new(self::role(role)?)
        };
        self.with(py, |state| state.director.start_daemon(&spec))?.map_err(Error::Control)?;
        Ok(())
    }

    /// Stop the daemon of a role, "master" or "backup". Raises NotFoundError.
    fn stop_daemon(&self, py: Python<'_>, role: &str) -> PyResult<()> {
        let role = self::role(role)?;
        self.with(py, |state| state.director.stop_daemon(role))?.map_err(Error::Control)?;
        Ok(())
    }

    /// Return the daemons that run, the master first.
    fn daemons<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let classes = Classes::import(py)?;
        self.with(py, |state| state.director.daemons())?.iter().map(|daemon| classes.daemon(daemon)).collect()
    }

    /// Return the master's messages that are to be sent at a moment in seconds.
    ///
    /// A message that is not full leaves when it is two seconds old: next_deadline says when.
    fn sync_messages<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let now = instant(now)?;
        let messages = self.with(py, |state| {
            let mut messages = Vec::new();
            while let Some(message) = state.director.poll_sync(now) {
                messages.push((message.bytes.to_vec(), message.group.to_string(), message.port, message.ttl));
            }
            messages
        })?;
        let classes = Classes::import(py)?;
        messages.iter().map(|(data, group, port, ttl)| classes.sync_message(data, group, *port, *ttl)).collect()
    }

    /// Take a message that the backup received at a moment in seconds, and return what became of it.
    #[pyo3(signature = (message, *, now))]
    fn receive_sync<'py>(&self, py: Python<'py>, message: &Bound<'py, PyAny>, now: f64) -> PyResult<Bound<'py, PyAny>> {
        let (now, bytes) = (instant(now)?, bytes_of(message)?);
        let received = self.with(py, |state| state.director.receive_sync(now, &bytes))?;
        Classes::import(py)?.sync_received(received)
    }

    /// Return what synchronisation has counted, by name; what was not taken under "ignored:" and the reason.
    fn sync_counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.with(py, |state| state.director.sync_counts().clone())?;
        let all = PyDict::new(py);
        let named = [
            ("records_queued", counts.records_queued),
            ("messages_sent", counts.messages_sent),
            ("records_sent", counts.records_sent),
            ("records_dropped", counts.records_dropped),
            ("records_abandoned", counts.records_abandoned),
            ("messages_received", counts.messages_received),
            ("created", counts.created),
            ("updated", counts.updated),
        ];
        named.into_iter().try_for_each(|(name, count)| all.set_item(name, count))?;
        for reason in lvs_core::SyncIgnored::ALL {
            all.set_item(format!("ignored:{}", reason.name()), counts.ignored(*reason))?;
        }
        Ok(all)
    }
});

/// How a user wants a server to be drained.
pub(crate) fn drain_how(deadline: Option<f64>, rest: &str, keep_templates: bool, remove: bool) -> PyResult<Drain> {
    let rest: Rest = self::rest(rest)?;
    let mut how = Drain::new();
    if let Some(deadline) = deadline {
        let deadline = instant(deadline)
            .map_err(|_| value_error(String::from("deadline must be a number of seconds from 0 on")))?;
        how = how.until(deadline, rest);
    }
    if keep_templates {
        how = how.keep_templates();
    }
    if remove {
        how = how.then_remove();
    }
    Ok(how)
}

/// Which connections a user means.
pub(crate) struct Which<'a> {
    service: Option<(ServiceKey, Option<Endpoint>)>,
    client: Option<(IpAddr, u8)>,
    protocol: Option<Protocol>,
    state: Option<&'a str>,
}

impl<'a> Which<'a> {
    pub(crate) fn new(
        service: Option<Key>,
        server: Option<Endpoint>,
        client: Option<&Bound<'_, PyAny>>,
        protocol: Option<&str>,
        state: Option<&'a str>,
    ) -> PyResult<Self> {
        let client = client.map(net).transpose()?;
        let protocol = protocol.map(self::protocol).transpose()?;
        if service.is_none() && server.is_some() {
            return Err(value_error(String::from("a server is named together with its service")));
        }
        Ok(Self { service: service.map(|service| (service.0, server)), client, protocol, state })
    }

    pub(crate) fn filter(
        &self,
        service_of: impl FnOnce(ServiceKey) -> Result<ServiceId, ControlError>,
        server_of: impl FnOnce(ServiceKey, Endpoint) -> Result<ServerId, ControlError>,
    ) -> Result<Filter, ControlError> {
        let mut filter = match self.service {
            Some((service, Some(server))) => Filter::server(server_of(service, server)?),
            Some((service, None)) => Filter::service(service_of(service)?),
            None => Filter::all(),
        };
        if let Some((net, prefix)) = self.client {
            filter = filter.client(net, prefix);
        }
        if let Some(protocol) = self.protocol {
            filter = filter.protocol(protocol);
        }
        if let Some(state) = self.state {
            filter = filter.state(state)?;
        }
        Ok(filter)
    }
}

/// A server named for people: the key of its service and its address, as far as they are known.
type Named = (Option<String>, Option<String>);

impl State {
    pub(super) fn server(&self, service: ServiceKey, address: Endpoint) -> Result<ServerId, ControlError> {
        self.director.find_server(self.service(service)?, address.0).ok_or(ControlError::NoSuchServer)
    }

    fn drain(&mut self, service: ServiceKey, address: Endpoint, how: Drain) -> Result<(), ControlError> {
        let server = self.server(service, address)?;
        self.director.drain(server, how)?;
        self.drained.retain(|(id, ..)| *id != server);
        self.drained.push((server, service, address.0));
        Ok(())
    }

    fn undrain(&mut self, service: ServiceKey, address: Endpoint) -> Result<(), ControlError> {
        let server = self.server(service, address)?;
        self.director.undrain(server)?;
        self.drained.retain(|(id, ..)| *id != server);
        Ok(())
    }

    /// Events, each with a name for the server that it is about.
    fn named(&mut self, events: Vec<Event>) -> Vec<(Event, Named)> {
        let mut views = None;
        let mut named = Vec::with_capacity(events.len());
        for event in events {
            let Some(id) = server_of(&event) else {
                named.push((event, (None, None)));
                continue;
            };
            let drained = self.drained.iter().find(|(server, ..)| *server == id);
            let name = match drained {
                Some((_, service, address)) => (Some(key_text(service)), Some(address.to_string())),
                None => {
                    let views = views.get_or_insert_with(|| self.director.services());
                    let service = views.iter().find(|view| view.servers.iter().any(|server| server.id == id));
                    let address = self.address(id).map(|address| address.to_string());
                    (service.map(|view| key_text(&view.spec.key)), address)
                }
            };
            if matches!(event, Event::Drained { removed: true, .. }) {
                self.drained.retain(|(server, ..)| *server != id);
            }
            named.push((event, name));
        }
        named
    }
}

/// The server that an event is about.
pub(crate) const fn server_of(event: &Event) -> Option<ServerId> {
    match event {
        Event::Overloaded(id)
        | Event::Relieved(id)
        | Event::DrainDeadline { server: id, .. }
        | Event::Drained { server: id, .. } => Some(*id),
        _ => None,
    }
}

/// A block of code during which a server is drained.
#[pyclass(frozen, module = "lvs._lvs", name = "_Drained")]
#[derive(Debug)]
pub(crate) struct DrainedBlock {
    director: Py<Director>,
    service: ServiceKey,
    address: Endpoint,
}

#[pymethods]
impl DrainedBlock {
    fn __enter__(&self, py: Python<'_>) -> PyResult<()> {
        let director = self.director.get();
        director.with(py, |state| state.drain(self.service, self.address, Drain::new()))?.map_err(Error::Control)?;
        Ok(())
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let ended = self.director.get().with(py, |state| state.undrain(self.service, self.address))?;
        // It may have been removed meanwhile: then there is nothing to take back.
        match ended {
            Err(ControlError::NoSuchServer | ControlError::NoSuchService) | Ok(()) => Ok(()),
            Err(other) => Err(Error::Control(other).into()),
        }
    }
}
