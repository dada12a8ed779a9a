//! Rules: texts of `ipvsadm`, and services and servers one by one.

use std::time::Duration;

use lvs_core::{
    ControlError, Listing, Method, Persistence, ServerSpec, ServiceId, ServiceKey, ServiceSpec, Tunnel, parse_line,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::{Director, State};
use crate::convert::{Endpoint, Key, Several, duration, family, flags, kind, method, netmask, service, value_error};
use crate::errors::Error;
use crate::records::{Classes, key_text, tunnel};
use crate::scheduler::PythonScheduler;

#[pymethods]
impl Director {
    /// Carry out a text of ipvsadm lines. Blank lines and lines that begin with # are skipped.
    ///
    /// Raises RuleError. If a line cannot be read, none was carried out; if one is refused, those before it were.
    fn load(&self, py: Python<'_>, rules: &str) -> PyResult<()> {
        Ok(self.with_others_running(py, |state| state.director.load(rules))?.map_err(Error::Rule)?)
    }

    /// Carry out one line of ipvsadm and return what it prints. Raises RuleError; then nothing has changed.
    fn run(&self, py: Python<'_>, line: &str) -> PyResult<String> {
        Ok(self.with_others_running(py, |state| state.director.run(line))?.map_err(Error::Rule)?)
    }

    /// Make the rules what a text of -A and -a lines says, or Service records with their servers, and touch nothing else:
    /// connections, counts and schedulers of what stays go on.
    ///
    /// Returns what was done. Raises RuleError for the first line that cannot be had, ControlError for a service; then
    /// nothing has changed.
    fn apply<'py>(&self, py: Python<'py>, rules: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let applied = match Wanted::new(rules)? {
            Wanted::Text(text) => {
                self.with_others_running(py, |state| state.director.apply(&text))?.map_err(Error::Rule)?
            }
            Wanted::Values(all) => {
                self.with_others_running(py, |state| state.director.apply_specs(&all))?.map_err(Error::Apply)?
            }
        };
        Classes::import(py)?.applied(&applied)
    }

    /// Return the rules, as ipvsadm -S -n writes them.
    fn save(&self, py: Python<'_>) -> PyResult<String> {
        self.with_others_running(py, |state| state.director.save())
    }

    /// Return what ipvsadm -L -n prints, with these options of it behind, such as "--stats" or "-c".
    ///
    /// Raises RuleError for options that ipvsadm does not have.
    #[pyo3(signature = (options = ""))]
    fn listing(&self, py: Python<'_>, options: &str) -> PyResult<String> {
        let Some(line) = listing_line(options)? else {
            // Only a listing of one service can be refused.
            return self
                .with_others_running(py, |state| state.director.listing(&Listing::default()).unwrap_or_default());
        };
        self.run(py, &line)
    }

    /// Add a service and return its key.
    ///
    /// - protocol and address: "tcp", "udp" or "sctp" and an address with a port, port 0 for every port; or "fwm" and a
    ///   firewall mark, of the family "ipv4" or "ipv6".
    /// - scheduler: a name of ipvsadm's, "swrr", or an object with a method pick, which chooses from then on.
    /// - flags: of "fallback", "port" and "flag-3", which sh and mh read.
    /// - one_packet: whether every UDP packet is scheduled anew.
    /// - persistence: for how many seconds a client stays with its server.
    /// - netmask: the part of its address that counts, an IPv4 mask or an IPv6 prefix length.
    /// - engine: a persistence engine, "sip".
    ///
    /// Raises ControlError: ExistsError, NotFoundError for a scheduler or engine that there is not, and others. Then
    /// nothing has changed.
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
        let (spec, own) = self.scheduled(wish.of(spec)?, scheduler)?;
        let key = spec.key;
        self.with(py, |state| match own {
            Some(own) => state.director.add_service_with(spec, Box::new(own)),
            None => state.director.add_service(spec),
        })?
        .map_err(Error::Control)?;
        Ok(key_text(&key))
    }

    /// Change what is named of a service. Its connections stay.
    ///
    /// Arguments are those of add_service; None leaves something as it is, persistence=0 and engine="" take it away.
    /// Another scheduler begins anew. Raises ControlError; then nothing has changed, but that the old scheduler has begun
    /// anew if another one refused the servers.
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
        let view = self.with(py, |state| Ok(state.director.service(state.service(service.0)?)))?;
        let spec = view.and_then(|view| view.ok_or(ControlError::NoSuchService)).map_err(Error::Control)?.spec;
        let wish = Wish { flags, one_packet, persistence, netmask, engine };
        let (spec, own) = self.scheduled(wish.of(spec)?, scheduler)?;
        self.with(py, |state| match own {
            Some(own) => state.director.edit_service_with(spec, Box::new(own)),
            None => state.director.edit_service(spec),
        })?
        .map_err(Error::Control)?;
        Ok(())
    }

    /// Remove a service. Connections of its servers live on as the kernel has it. Raises NotFoundError.
    fn remove_service(&self, py: Python<'_>, service: Key) -> PyResult<()> {
        self.with(py, |state| state.director.remove_service(state.service(service.0)?))?.map_err(Error::Control)?;
        Ok(())
    }

    /// Remove every service, as ipvsadm -C.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.with_others_running(py, |state| state.director.clear())
    }

    /// Add a real server to a service. New servers come first in the list.
    ///
    /// - address: address and port; port 0 keeps the port that packets come for.
    /// - method: "dr", "nat" or "tun".
    /// - weight: its share of new connections, 0 for none.
    /// - upper, lower: thresholds; at upper connections it gets no new ones, below lower it does again. 0 for no limit,
    ///   and for three quarters of upper.
    /// - tunnel: "ipip", "gre", "gre+csum", "gue:PORT", "gue:PORT+csum" or "gue:PORT+remcsum".
    ///
    /// Raises ControlError: NotFoundError, ExistsError and others. Then nothing has changed.
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
        self.with(py, |state| state.director.add_server(state.service(service.0)?, spec))?.map_err(Error::Control)?;
        Ok(())
    }

    /// Change what is named of a server; None leaves something as it is. Its connections stay.
    ///
    /// Arguments are those of add_server. Raises ControlError; then nothing has changed.
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
        self.with(py, |state| {
            let service = state.service(service.0)?;
            let server = state.director.find_server(service, address.0).ok_or(ControlError::NoSuchServer)?;
            let spec = state.director.server(server).ok_or(ControlError::NoSuchServer)?.spec;
            state.director.edit_server(service, change.of(spec))
        })?
        .map_err(Error::Control)?;
        Ok(())
    }

    /// Remove a server from a service. Its connections live on as the kernel has it. Raises NotFoundError.
    fn remove_server(&self, py: Python<'_>, service: Key, address: Endpoint) -> PyResult<()> {
        self.with(py, |state| state.director.remove_server(state.service(service.0)?, address.0))?
            .map_err(Error::Control)?;
        Ok(())
    }

    /// Set the counters that listings show to zero, of one service or of all, as ipvsadm -Z. Raises NotFoundError.
    #[pyo3(signature = (service = None))]
    fn zero(&self, py: Python<'_>, service: Option<Key>) -> PyResult<()> {
        self.with(py, |state| {
            let service = service.map(|service| state.service(service.0)).transpose()?;
            state.director.zero(service)
        })?
        .map_err(Error::Control)?;
        Ok(())
    }
}

impl State {
    /// The service of a key.
    pub(super) fn service(&self, key: ServiceKey) -> Result<ServiceId, ControlError> {
        self.director.find_service(&key).ok_or(ControlError::NoSuchService)
    }
}

/// The line for a listing with options, if there are some.
pub(crate) fn listing_line(options: &str) -> PyResult<Option<String>> {
    if options.is_empty() {
        return Ok(None);
    }
    let line = format!("-L -n {options}");
    match parse_line(&line).map_err(Error::Rule)? {
        lvs_core::Command::List(_) => Ok(Some(line)),
        _ => Err(value_error(format!("{options:?} are not options of a listing"))),
    }
}

/// A real server as a user describes it.
pub(crate) fn server_spec(
    address: Endpoint,
    method: &str,
    weight: u32,
    upper: u32,
    lower: u32,
    tunnel: &str,
) -> PyResult<ServerSpec> {
    let spec = ServerSpec::new(address.0, self::method(method)?);
    Ok(spec.weight(weight).thresholds(upper, lower).tunnel(self::tunnel(tunnel)?))
}

/// What a user wants of a server; what is `None` stays.
pub(crate) struct ServerWish {
    method: Option<Method>,
    weight: Option<u32>,
    upper: Option<u32>,
    lower: Option<u32>,
    tunnel: Option<Tunnel>,
}

impl ServerWish {
    pub(crate) fn new(
        method: Option<&str>,
        weight: Option<u32>,
        upper: Option<u32>,
        lower: Option<u32>,
        tunnel: Option<&str>,
    ) -> PyResult<Self> {
        let method = method.map(self::method).transpose()?;
        Ok(Self { method, weight, upper, lower, tunnel: tunnel.map(self::tunnel).transpose()? })
    }

    pub(crate) fn of(self, mut spec: ServerSpec) -> ServerSpec {
        spec.method = self.method.unwrap_or(spec.method);
        spec.weight = self.weight.unwrap_or(spec.weight);
        spec.upper = self.upper.unwrap_or(spec.upper);
        spec.lower = self.lower.unwrap_or(spec.lower);
        spec.tunnel = self.tunnel.unwrap_or(spec.tunnel);
        spec
    }
}

/// What the rules shall be.
pub(crate) enum Wanted {
    Text(String),
    Values(Vec<(ServiceSpec, Vec<ServerSpec>)>),
}

impl Wanted {
    pub(crate) fn new(rules: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(text) = rules.cast::<PyString>() {
            return Ok(Self::Text(text.to_string()));
        }
        let wrong = || PyTypeError::new_err(format!("rules must be a text or Service records, not {}", kind(rules)));
        let all = rules.try_iter().map_err(|_| wrong())?.map(|record| wanted_service(&record?));
        all.collect::<PyResult<_>>().map(Self::Values)
    }
}

fn wanted_service(record: &Bound<'_, PyAny>) -> PyResult<(ServiceSpec, Vec<ServerSpec>)> {
    if !record.hasattr("servers")? {
        return Err(PyTypeError::new_err(format!("rules must be Service records, not {}", kind(record))));
    }
    let key: Key = record.getattr("key")?.extract()?;
    let own = |name: &str| Ok::<_, PyErr>(Some(record.getattr(name)?).filter(|value| !value.is_none()));
    let netmask = own("netmask")?;
    let wish = Wish {
        flags: Some(record.getattr("flags")?.extract()?),
        one_packet: Some(record.getattr("one_packet")?.extract()?),
        persistence: record.getattr("persistence")?.extract()?,
        netmask: netmask.as_ref(),
        engine: record.getattr("engine")?.extract()?,
    };
    let scheduler: String = record.getattr("scheduler")?.extract()?;
    let spec = wish.of(ServiceSpec::new(key.0).scheduler(&scheduler))?;
    let servers = record.getattr("servers")?.try_iter()?.map(|server| {
        let server = server?;
        let of: Key = server.getattr("service")?.extract()?;
        if of.0 != key.0 {
            let (of, key) = (key_text(&of.0), key_text(&key.0));
            return Err(value_error(format!("a server of {of} among those of {key}")));
        }
        let (method, tunnel) = (server.getattr("method")?, server.getattr("tunnel")?);
        server_spec(
            server.getattr("address")?.extract()?,
            method.extract()?,
            server.getattr("weight")?.extract()?,
            server.getattr("upper")?.extract()?,
            server.getattr("lower")?.extract()?,
            tunnel.extract()?,
        )
    });
    Ok((spec, servers.collect::<PyResult<_>>()?))
}

/// What a user wants of a service beside its scheduler; what is `None` stays.
pub(crate) struct Wish<'a, 'py> {
    pub(crate) flags: Option<Several<String>>,
    pub(crate) one_packet: Option<bool>,
    pub(crate) persistence: Option<f64>,
    pub(crate) netmask: Option<&'a Bound<'py, PyAny>>,
    pub(crate) engine: Option<String>,
}

impl Wish<'_, '_> {
    pub(crate) fn of(self, mut spec: ServiceSpec) -> PyResult<ServiceSpec> {
        if let Some(names) = self.flags {
            spec.flags = flags(&names.0)?;
        }
        spec.one_packet = self.one_packet.unwrap_or(spec.one_packet);
        if let Some(seconds) = self.persistence {
            let timeout = duration(seconds)?;
            spec.persistence = (timeout != Duration::ZERO).then_some(Persistence { timeout });
        }
        if let Some(mask) = self.netmask {
            spec.netmask = Some(netmask(mask)?);
        }
        if let Some(engine) = self.engine {
            spec.engine = Some(engine).filter(|engine| !engine.is_empty());
        }
        Ok(spec)
    }
}

impl Director {
    /// A scheduler as a user names or brings it.
    fn scheduled(
        &self,
        mut spec: ServiceSpec,
        scheduler: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(ServiceSpec, Option<PythonScheduler>)> {
        let Some(scheduler) = scheduler else { return Ok((spec, None)) };
        if let Ok(name) = scheduler.cast::<PyString>() {
            spec.scheduler = name.to_string();
            return Ok((spec, None));
        }
        if !scheduler.hasattr("pick")? {
            let message = format!("a scheduler must be a name or have a method pick, not {}", kind(scheduler));
            return Err(PyTypeError::new_err(message));
        }
        let own = PythonScheduler::new(scheduler, self.raised())?;
        spec.scheduler = own.name().to_owned();
        // Before it is asked anything: whoever is inside from then on says so.
        self.with(scheduler.py(), State::will_call_python)?;
        Ok((spec, Some(own)))
    }
}
