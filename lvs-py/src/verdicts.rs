//! What the director says of a packet: four frozen classes to `match` on.
//!
//! They keep what lvs-core said as it is; texts are made when somebody asks.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use lvs_core::{ConnId, Direction, Method};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::convert::{Address, Endpoint, direction, direction_name, method, method_name};

/// A reason: lvs-core's, or what a user wrote.
type Reason = Cow<'static, str>;

/// Send the packet, rewritten, to the next hop.
///
/// Patterns match it as Forward(packet, next_hop).
#[pyclass(frozen, module = "lvs")]
#[derive(Debug)]
pub(crate) struct Forward {
    /// The packet to send, from its IP header on.
    #[pyo3(get)]
    pub(crate) packet: Py<PyBytes>,
    pub(crate) next_hop: IpAddr,
    pub(crate) direction: Direction,
    pub(crate) method: Method,
    pub(crate) server: Option<SocketAddr>,
    pub(crate) connection: Option<ConnId>,
}

#[pymethods]
impl Forward {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str, &'static str) = ("packet", "next_hop");

    #[new]
    #[pyo3(signature = (packet, next_hop, direction, method, server = None, connection = None))]
    fn new(
        packet: Py<PyBytes>,
        next_hop: Address,
        direction: &str,
        method: &str,
        server: Option<Endpoint>,
        connection: Option<u64>,
    ) -> PyResult<Self> {
        let (direction, method) = (self::direction(direction)?, self::method(method)?);
        let (server, connection) = (server.map(|server| server.0), connection.map(connection_id));
        Ok(Self { packet, next_hop: next_hop.0, direction, method, server, connection })
    }

    /// The address to send it to: the real server, or the client for a reply.
    #[getter]
    fn next_hop(&self) -> String {
        self.next_hop.to_string()
    }

    /// to-server or to-client.
    #[getter]
    fn direction(&self) -> &'static str {
        direction_name(self.direction)
    }

    /// How it was rewritten: nat, dr or tun.
    #[getter]
    fn method(&self) -> &'static str {
        method_name(self.method)
    }

    /// Address and port of the real server at the other end; None where there is none.
    #[getter]
    fn server(&self) -> Option<String> {
        self.server.map(|server| server.to_string())
    }

    /// The id of the connection it belongs to, for Director.connection; None for one-packet scheduling, which keeps none.
    #[getter]
    fn connection(&self) -> Option<u64> {
        self.connection.map(connection_number)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Ok(other) = other.cast::<Self>() else { return Ok(py.NotImplemented()) };
        (self.key(py) == other.get().key(py)).into_py_any(py)
    }

    fn __hash__(&self, py: Python<'_>) -> u64 {
        hash(&self.key(py))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> Reduced<'py, ForwardFields> {
        let this = slf.get();
        let packet = this.packet.clone_ref(slf.py());
        (
            slf.get_type().into_any(),
            (packet, this.next_hop(), this.direction(), this.method(), this.server(), this.connection()),
        )
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let server = self.server().map_or_else(|| String::from("None"), |server| format!("'{server}'"));
        let connection = self.connection().map_or_else(|| String::from("None"), |id| id.to_string());
        Ok(format!(
            "Forward(packet={}, next_hop='{}', direction='{}', method='{}', server={server}, \
             connection={connection})",
            self.packet.bind(py).repr()?,
            self.next_hop,
            self.direction(),
            self.method(),
        ))
    }
}

impl Forward {
    fn key<'a>(&'a self, py: Python<'a>) -> ForwardKey<'a> {
        (self.packet.as_bytes(py), self.next_hop, self.direction, self.method, self.server, self.connection)
    }
}

/// Send the packet, an ICMP error or a TCP reset that answers the one handed in, to the next hop.
///
/// Patterns match it as Reply(packet, next_hop, reason).
#[pyclass(frozen, module = "lvs")]
#[derive(Debug)]
pub(crate) struct Reply {
    /// The ICMP error or TCP reset to send, from its IP header on.
    #[pyo3(get)]
    pub(crate) packet: Py<PyBytes>,
    pub(crate) next_hop: IpAddr,
    pub(crate) reason: Reason,
}

#[pymethods]
impl Reply {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str, &'static str, &'static str) = ("packet", "next_hop", "reason");

    #[new]
    fn new(packet: Py<PyBytes>, next_hop: Address, reason: String) -> Self {
        Self { packet, next_hop: next_hop.0, reason: reason.into() }
    }

    /// The sender of the packet that drew it.
    #[getter]
    fn next_hop(&self) -> String {
        self.next_hop.to_string()
    }

    /// Why: one of ReplyReason, such as no-destination.
    #[getter]
    fn reason(&self) -> &str {
        &self.reason
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Ok(other) = other.cast::<Self>() else { return Ok(py.NotImplemented()) };
        (self.key(py) == other.get().key(py)).into_py_any(py)
    }

    fn __hash__(&self, py: Python<'_>) -> u64 {
        hash(&self.key(py))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> Reduced<'py, (Py<PyBytes>, String, String)> {
        let this = slf.get();
        (slf.get_type().into_any(), (this.packet.clone_ref(slf.py()), this.next_hop(), this.reason.to_string()))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (packet, reason) = (self.packet.bind(py).repr()?, quoted(py, &self.reason)?);
        Ok(format!("Reply(packet={packet}, next_hop='{}', reason={reason})", self.next_hop))
    }
}

impl Reply {
    fn key<'a>(&'a self, py: Python<'a>) -> (&'a [u8], IpAddr, &'a str) {
        (self.packet.as_bytes(py), self.next_hop, &self.reason)
    }
}

/// The packet is none of the director's business: the host goes on with it as if there were no director.
///
/// Patterns match it as Pass(reason).
#[pyclass(frozen, eq, hash, module = "lvs")]
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pass {
    pub(crate) reason: Reason,
}

#[pymethods]
impl Pass {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str,) = ("reason",);

    #[new]
    fn new(reason: String) -> Self {
        Self { reason: reason.into() }
    }

    /// Why: one of PassReason, such as no-service.
    #[getter]
    fn reason(&self) -> &str {
        &self.reason
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> Reduced<'py, (String,)> {
        (slf.get_type().into_any(), (slf.get().reason.to_string(),))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Pass(reason={})", quoted(py, &self.reason)?))
    }
}

/// Discard the packet.
///
/// Patterns match it as Drop(reason).
#[pyclass(frozen, eq, hash, module = "lvs")]
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Drop {
    pub(crate) reason: Reason,
}

#[pymethods]
impl Drop {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str,) = ("reason",);

    #[new]
    fn new(reason: String) -> Self {
        Self { reason: reason.into() }
    }

    /// Why: one of DropReason, such as not-ip.
    #[getter]
    fn reason(&self) -> &str {
        &self.reason
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> Reduced<'py, (String,)> {
        (slf.get_type().into_any(), (slf.get().reason.to_string(),))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Drop(reason={})", quoted(py, &self.reason)?))
    }
}

type ForwardFields = (Py<PyBytes>, String, &'static str, &'static str, Option<String>, Option<u64>);
type ForwardKey<'a> = (&'a [u8], IpAddr, Direction, Method, Option<SocketAddr>, Option<ConnId>);

/// What pickle keeps of a verdict: its class, and what to call that with.
type Reduced<'py, T> = (Bound<'py, PyAny>, T);

/// One of the four, of a packet as it is after `lvs_core` was at it.
pub(crate) fn verdict<'py>(
    py: Python<'py>,
    verdict: lvs_core::Verdict,
    packet: &[u8],
    server: Option<SocketAddr>,
) -> PyResult<Bound<'py, PyAny>> {
    let packet = || PyBytes::new(py, packet).unbind();
    match verdict {
        lvs_core::Verdict::Forward(out) => {
            let lvs_core::Forward { next_hop, direction, method, connection, .. } = out;
            Forward { packet: packet(), next_hop, direction, method, server, connection }.into_bound_py_any(py)
        }
        lvs_core::Verdict::Reply(reply) => {
            let reason = Cow::Borrowed(reply.reason.name());
            Reply { packet: packet(), next_hop: reply.next_hop, reason }.into_bound_py_any(py)
        }
        lvs_core::Verdict::Pass(reason) => Pass { reason: Cow::Borrowed(reason.name()) }.into_bound_py_any(py),
        lvs_core::Verdict::Drop(reason) => Drop { reason: Cow::Borrowed(reason.name()) }.into_bound_py_any(py),
    }
}

/// A connection's id as a number.
pub(crate) const fn connection_number(id: ConnId) -> u64 {
    (id.generation() as u64) << 32 | id.index() as u64
}

pub(crate) const fn connection_id(number: u64) -> ConnId {
    ConnId::from_parts(number as u32, (number >> 32) as u32)
}

fn hash(key: &impl std::hash::Hash) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    key.hash(&mut hasher);
    std::hash::Hasher::finish(&hasher)
}

/// A text as Python writes it.
fn quoted(py: Python<'_>, text: &str) -> PyResult<String> {
    PyString::new(py, text).repr().map(|text| text.to_string())
}
