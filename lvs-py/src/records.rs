//! The records of `python/lvs/records.py`, made from what lvs-core tells.

use std::net::SocketAddr;

use lvs_core::{
    Applied, CandidateValues, ConnectionEvent, ConnectionView, Counters, DaemonView, Event, Explanation, Found,
    GueChecksum, Netmask, Protocol, Rates, Rewrite, ServerState, ServerView, ServiceKey, ServiceOptions, ServiceView,
    SyncReceived, Tunnel, Verdict,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple, PyType};

use crate::convert::{flag_names, method_name, role_name, seconds, states};
use crate::verdicts::connection_number;

/// Makes a record of a class by the names of its fields.
macro_rules! record {
    ($classes:expr, $name:literal, $py:expr, { $($field:ident: $value:expr),+ $(,)? }) => {{
        let fields = PyDict::new($py);
        $(fields.set_item(pyo3::intern!($py, stringify!($field)), $value)?;)+
        $classes.of($name)?.call((), Some(&fields))
    }};
}

/// The module with the classes.
#[derive(Debug)]
pub(crate) struct Classes<'py>(Bound<'py, PyModule>);

type Made<'py> = PyResult<Bound<'py, PyAny>>;

impl<'py> Classes<'py> {
    pub(crate) fn import(py: Python<'py>) -> PyResult<Self> {
        py.import("lvs.records").map(Self)
    }

    fn py(&self) -> Python<'py> {
        self.0.py()
    }

    fn of(&self, name: &str) -> PyResult<Bound<'py, PyType>> {
        Ok(self.0.getattr(name)?.cast_into()?)
    }

    /// A table of records of one kind.
    pub(crate) fn table(&self, kind: &str, records: Vec<Bound<'py, PyAny>>) -> Made<'py> {
        self.0.getattr("Table")?.call1((self.of(kind)?, records))
    }

    pub(crate) fn counters(&self, counters: Counters) -> Made<'py> {
        let Counters { connections, in_packets, out_packets, in_bytes, out_bytes } = counters;
        self.of("Counters")?.call1((connections, in_packets, out_packets, in_bytes, out_bytes))
    }

    pub(crate) fn rates(&self, rates: Rates) -> Made<'py> {
        let Rates { connections, in_packets, out_packets, in_bytes, out_bytes } = rates;
        self.of("Rates")?.call1((connections, in_packets, out_packets, in_bytes, out_bytes))
    }

    pub(crate) fn service(&self, view: &ServiceView) -> Made<'py> {
        let (py, spec) = (self.py(), &view.spec);
        let servers = view.servers.iter().map(|server| self.server(&spec.key, server)).collect::<PyResult<Vec<_>>>()?;
        record!(self, "Service", py, {
            key: key_text(&spec.key),
            scheduler: &spec.scheduler,
            flags: PyTuple::new(py, flag_names(spec.flags))?,
            one_packet: spec.one_packet,
            persistence: spec.persistence.map(|persistence| persistence.timeout.as_secs_f64()),
            netmask: match spec.netmask {
                None => py.None(),
                Some(Netmask::V4(mask)) => mask.to_string().into_pyobject(py)?.into_any().unbind(),
                Some(Netmask::V6(prefix)) => prefix.into_pyobject(py)?.into_any().unbind(),
            },
            engine: spec.engine.as_deref(),
            counters: self.counters(view.stats)?,
            rates: self.rates(view.rates)?,
            servers: PyTuple::new(py, servers)?,
        })
    }

    pub(crate) fn server(&self, service: &ServiceKey, view: &ServerView) -> Made<'py> {
        let ServerView { spec, active, inactive, persistent, state, stats, rates, .. } = view;
        let (state, deadline) = match state {
            ServerState::Active => ("active", None),
            ServerState::Draining { deadline } => ("draining", deadline.map(seconds)),
            ServerState::Drained => ("drained", None),
            _ => ("removed", None),
        };
        record!(self, "Server", self.py(), {
            service: key_text(service),
            address: spec.address.to_string(),
            method: method_name(spec.method),
            weight: spec.weight,
            upper: spec.upper,
            lower: spec.lower,
            tunnel: tunnel_text(spec.tunnel),
            state: state,
            deadline: deadline,
            active: active,
            inactive: inactive,
            persistent: persistent,
            counters: self.counters(*stats)?,
            rates: self.rates(*rates)?,
        })
    }

    pub(crate) fn connection(&self, view: &ConnectionView) -> Made<'py> {
        let (name, data) = view.engine.as_ref().map(|engine| (&engine.name, &engine.data)).unzip();
        record!(self, "Connection", self.py(), {
            protocol: protocol_text(view.protocol),
            client: view.client.to_string(),
            target: view.target.to_string(),
            server: view.server.to_string(),
            state: view.state,
            expires: seconds(view.expires),
            timeout: view.timeout.as_secs_f64(),
            is_template: view.is_template,
            engine: name,
            engine_data: data,
            synced: view.synced,
            id: connection_number(view.id),
        })
    }

    pub(crate) fn explanation(&self, explanation: &Explanation) -> Made<'py> {
        let py = self.py();
        let flow = explanation.flow.map(|flow| {
            let ends = [flow.source, flow.destination].map(|end| end.to_string());
            self.of("Flow")?.call1((flow.protocol, &ends[0], &ends[1]))
        });
        let (mut service, mut state, mut choice) = (None, None, None);
        let mut server = None;
        match &explanation.found {
            Found::Nothing => {}
            Found::Connection { state: of, server: at, .. } => (state, server) = (Some(*of), Some(at.to_string())),
            Found::Service { key, choice: made } => (service, choice) = (Some(key_text(key)), made.as_ref()),
        }
        let candidates = choice.map_or(&[][..], |choice| &choice.candidates);
        if let Some(id) = choice.and_then(|choice| choice.server) {
            server = candidates.iter().find(|one| one.id == id).map(|one| one.address.to_string());
        }
        let considered = candidates.iter().map(|one| self.considered(one)).collect::<PyResult<Vec<_>>>()?;
        let (verdict, reason, next_hop) = match explanation.verdict {
            Some(Verdict::Forward(out)) => (Some("forward"), None, Some(out.next_hop)),
            Some(Verdict::Reply(reply)) => (Some("reply"), Some(reply.reason.name()), Some(reply.next_hop)),
            Some(Verdict::Pass(reason)) => (Some("pass"), Some(reason.name()), None),
            Some(Verdict::Drop(reason)) => (Some("drop"), Some(reason.name()), None),
            None => (None, None, None),
        };
        record!(self, "Explanation", py, {
            text: explanation.to_string(),
            flow: flow.transpose()?,
            service: service,
            state: state,
            scheduler: choice.map(|choice| &choice.scheduler),
            by_template: choice.is_some_and(|choice| choice.by_template),
            considered: PyTuple::new(py, considered)?,
            server: server,
            verdict: verdict,
            reason: reason,
            next_hop: next_hop.map(|hop| hop.to_string()),
            rewrite: explanation.rewrite.map(rewrite_text),
        })
    }

    fn considered(&self, values: &CandidateValues) -> Made<'py> {
        let CandidateValues { address, weight, effective_weight, active, inactive, overloaded, .. } = *values;
        self.of("Considered")?.call1((address.to_string(), weight, effective_weight, active, inactive, overloaded))
    }

    pub(crate) fn applied(&self, applied: &Applied) -> Made<'py> {
        let py = self.py();
        let services = |keys: &[ServiceKey]| PyTuple::new(py, keys.iter().map(key_text));
        let servers = |servers: &[(ServiceKey, SocketAddr)]| {
            PyTuple::new(py, servers.iter().map(|(key, address)| (key_text(key), address.to_string())))
        };
        record!(self, "Applied", py, {
            services_added: services(&applied.services_added)?,
            services_changed: services(&applied.services_changed)?,
            services_removed: services(&applied.services_removed)?,
            services_unchanged: applied.services_unchanged,
            servers_added: servers(&applied.servers_added)?,
            servers_changed: servers(&applied.servers_changed)?,
            servers_removed: servers(&applied.servers_removed)?,
            servers_unchanged: applied.servers_unchanged,
        })
    }

    pub(crate) fn options(&self, options: &ServiceOptions) -> Made<'py> {
        let py = self.py();
        let slow_start = options
            .slow_start
            .map(|slow| self.of("SlowStart")?.call1((slow.duration.as_secs_f64(), slow.least_percent)));
        let timeouts = options.timeouts.as_ref().map(|timeouts| {
            let all = PyDict::new(py);
            states().try_for_each(|(name, state)| all.set_item(name, timeouts.of(state).as_secs_f64()))?;
            PyResult::Ok(all)
        });
        record!(self, "ServiceOptions", py, {
            timeouts: timeouts.transpose()?,
            slow_start: slow_start.transpose()?,
            begins_anywhere: options.begins_anywhere,
        })
    }

    pub(crate) fn daemon(&self, daemon: &DaemonView) -> Made<'py> {
        let DaemonView { role, interface, sync_id, max_len, group, port, ttl } = daemon;
        self.of("Daemon")?.call1((role_name(*role), interface, sync_id, max_len, group.to_string(), port, ttl))
    }

    pub(crate) fn sync_message(&self, data: &[u8], group: &str, port: u16, ttl: u8) -> Made<'py> {
        self.of("SyncMessage")?.call1((PyBytes::new(self.py(), data), group, port, ttl))
    }

    pub(crate) fn sync_received(&self, received: SyncReceived) -> Made<'py> {
        let SyncReceived { created, updated, skipped, refused } = received;
        self.of("SyncReceived")?.call1((created, updated, skipped, refused.map(|why| why.name())))
    }

    /// An event; `server` is what names the server that it is about.
    pub(crate) fn event(&self, event: Event, server: (Option<String>, Option<String>)) -> Made<'py> {
        let (service, address) = server;
        match event {
            Event::Made(of) => {
                let (protocol, [client, target, server], is_template) = connection_of(&of);
                self.of("ConnectionMade")?.call1((protocol, client, target, server, is_template))
            }
            Event::Gone(of, why) => {
                let (protocol, [client, target, server], is_template) = connection_of(&of);
                self.of("ConnectionGone")?.call1((protocol, client, target, server, is_template, why.name()))
            }
            Event::Overloaded(_) => self.of("Overloaded")?.call1((service, address)),
            Event::Relieved(_) => self.of("Relieved")?.call1((service, address)),
            Event::DrainDeadline { left, .. } => self.of("DrainDeadline")?.call1((service, address, left)),
            Event::Drained { removed, .. } => self.of("Drained")?.call1((service, address, removed)),
            other => Err(pyo3::exceptions::PyNotImplementedError::new_err(format!("{other:?}"))),
        }
    }
}

fn connection_of(event: &ConnectionEvent) -> (String, [String; 3], bool) {
    let ends = [event.client, event.target, event.server].map(|end| end.to_string());
    (protocol_text(event.protocol), ends, event.is_template)
}

pub(crate) fn key_text(key: &ServiceKey) -> String {
    key.to_string()
}

fn protocol_text(number: u8) -> String {
    Protocol::from_number(number).map_or_else(|| number.to_string(), |protocol| protocol.name().into())
}

fn rewrite_text(rewrite: Rewrite) -> String {
    match rewrite {
        Rewrite::Destination(to) => format!("destination {to}"),
        Rewrite::Source(from) => format!("source {from}"),
        Rewrite::Ttl => String::from("ttl"),
        Rewrite::Tunnel { source, destination } => format!("tunnel {source} {destination}"),
    }
}

fn tunnel_text(tunnel: Tunnel) -> String {
    match tunnel {
        Tunnel::Ipip => String::from("ipip"),
        Tunnel::Gre { checksum } => String::from(if checksum { "gre+csum" } else { "gre" }),
        Tunnel::Gue { port, checksum } => {
            let suffix = match checksum {
                GueChecksum::None => "",
                GueChecksum::Csum => "+csum",
                GueChecksum::Remcsum => "+remcsum",
            };
            format!("gue:{port}{suffix}")
        }
    }
}

/// What [`tunnel_text`] writes.
pub(crate) fn tunnel(text: &str) -> PyResult<Tunnel> {
    let (kind, checksum) = match text.split_once('+') {
        Some((kind, "csum")) => (kind, GueChecksum::Csum),
        Some((kind, "remcsum")) => (kind, GueChecksum::Remcsum),
        Some(_) => ("", GueChecksum::None),
        None => (text, GueChecksum::None),
    };
    let wrong = || {
        let message =
            format!("{text:?} is not a tunnel: ipip, gre, gre+csum, gue:PORT, gue:PORT+csum or gue:PORT+remcsum");
        crate::convert::value_error(message)
    };
    match (kind, checksum) {
        ("ipip", GueChecksum::None) => Ok(Tunnel::Ipip),
        ("gre", GueChecksum::None) => Ok(Tunnel::Gre { checksum: false }),
        ("gre", GueChecksum::Csum) => Ok(Tunnel::Gre { checksum: true }),
        _ => {
            let port = kind.strip_prefix("gue:").and_then(|port| port.parse().ok()).ok_or_else(wrong)?;
            Ok(Tunnel::Gue { port, checksum })
        }
    }
}
