//! What the director says of a packet: four frozen classes to `match` on.
//!
//! They keep what lvs-core said as it is; texts are made when somebody asks.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use lvs_core::{ConnId, Direction, Method};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use pyo3::{IntoPyObjectExt, intern};

use crate::convert::{Address, Endpoint, direction, direction_name, endpoint_text, ip_text, method, method_name};
use crate::reuse::Reused;

/// A reason: lvs-core's, or what a user wrote.
type Reason = Cow<'static, str>;

/// Send the packet, rewritten, to the next hop.
///
/// Patterns match it as Forward(packet, next_hop).
#[pyclass(frozen, module = "lvs")]
#[derive(Debug)]
pub(crate) struct Forward(Reused<Sent>);

/// What there is to know of a packet that is sent on.
#[derive(Debug)]
struct Sent {
    packet: Vec<u8>,
    /// The packet for Python, once somebody has asked.
    made: OnceLock<Py<PyBytes>>,
    next_hop: IpAddr,
    direction: Direction,
    method: Method,
    server: Option<SocketAddr>,
    connection: Option<ConnId>,
}

#[pymethods]
impl Forward {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str, &'static str) = ("packet", "next_hop");

    #[new]
    #[pyo3(signature = (packet, next_hop, direction, method, server = None, connection = None))]
    fn new(
        py: Python<'_>,
        packet: Py<PyBytes>,
        next_hop: Address,
        direction: &str,
        method: &str,
        server: Option<Endpoint>,
        connection: Option<u64>,
    ) -> PyResult<Self> {
        let (direction, method) = (self::direction(direction)?, self::method(method)?);
        let (server, connection) = (server.map(|server| server.0), connection.map(connection_id));
        let (bytes, made) = (packet.as_bytes(py).to_vec(), OnceLock::from(packet));
        Ok(Self(Reused::new(Sent { packet: bytes, made, next_hop: next_hop.0, direction, method, server, connection })))
    }

    /// The packet to send, from its IP header on.
    #[getter]
    fn packet(&self, py: Python<'_>) -> Py<PyBytes> {
        self.0.made.get_or_init(|| PyBytes::new(py, &self.0.packet).unbind()).clone_ref(py)
    }

    /// The address to send it to: the real server, or the client for a reply.
    #[getter]
    fn next_hop<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        ip_text(py, self.0.next_hop)
    }

    /// to-server or to-client.
    #[getter]
    fn direction<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        match self.0.direction {
            Direction::ToServer => intern!(py, "to-server"),
            Direction::ToClient => intern!(py, "to-client"),
        }
    }

    /// How it was rewritten: nat, dr or tun.
    #[getter]
    fn method<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        match self.0.method {
            Method::Nat => intern!(py, "nat"),
            Method::Dr => intern!(py, "dr"),
            Method::Tun => intern!(py, "tun"),
        }
    }

    /// Address and port of the real server at the other end; None where there is none.
    #[getter]
    fn server<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        self.0.server.map(|server| endpoint_text(py, server))
    }

    /// The id of the connection it belongs to, for Director.connection; None for one-packet scheduling, which keeps none.
    #[getter]
    fn connection(&self) -> Option<u64> {
        self.0.connection.map(connection_number)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Ok(other) = other.cast::<Self>() else { return Ok(py.NotImplemented()) };
        (self.key() == other.get().key()).into_py_any(py)
    }

    fn __hash__(&self) -> u64 {
        hash(&self.key())
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> Reduced<'py, ForwardFields> {
        let this = slf.get();
        let Sent { next_hop, direction, method, server, .. } = &*this.0;
        let (direction, method) = (direction_name(*direction), method_name(*method));
        let server = server.map(|server| server.to_string());
        let fields = (this.packet(slf.py()), next_hop.to_string(), direction, method, server, this.connection());
        (slf.get_type().into_any(), fields)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let server = self.0.server.map_or_else(|| String::from("None"), |server| format!("'{server}'"));
        let connection = self.connection().map_or_else(|| String::from("None"), |id| id.to_string());
        Ok(format!(
            "Forward(packet={}, next_hop='{}', direction='{}', method='{}', server={server}, \
             connection={connection})",
            self.packet(py).bind(py).repr()?,
            self.0.next_hop,
            direction_name(self.0.direction),
            method_name(self.0.method),
        ))
    }
}

impl Forward {
    fn key(&self) -> ForwardKey<'_> {
        let Sent { packet, next_hop, direction, method, server, connection, .. } = &*self.0;
        (packet, *next_hop, *direction, *method, *server, *connection)
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
    fn next_hop<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        ip_text(py, self.next_hop)
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
        (
            slf.get_type().into_any(),
            (this.packet.clone_ref(slf.py()), this.next_hop.to_string(), this.reason.to_string()),
        )
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

/// Verdicts that are there already: making an object takes longer than most of the work on a packet.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    /// The last two that were sent on: a caller still has the one when it asks for the next.
    sent: [Option<Py<Forward>>; 2],
    oldest: usize,
    /// By the numbers of their reasons.
    passed: Vec<Option<Py<PyAny>>>,
    dropped: Vec<Option<Py<PyAny>>>,
}

impl Verdicts {
    /// One that can say this, if there is one. Nothing is made, so that no code of Python runs.
    #[inline]
    pub(crate) fn find<'py>(
        &mut self,
        py: Python<'py>,
        verdict: lvs_core::Verdict,
        packet: &[u8],
        server: Option<SocketAddr>,
    ) -> Option<Bound<'py, PyAny>> {
        let there = match verdict {
            lvs_core::Verdict::Forward(out) => return self.used_again(py, packet, out, server),
            lvs_core::Verdict::Reply(_) => None,
            lvs_core::Verdict::Pass(reason) => self.passed.get(reason as usize),
            lvs_core::Verdict::Drop(reason) => self.dropped.get(reason as usize),
        };
        there?.as_ref().map(|object| object.clone_ref(py).into_bound(py))
    }

    #[inline]
    fn used_again<'py>(
        &mut self,
        py: Python<'py>,
        packet: &[u8],
        out: lvs_core::Forward,
        server: Option<SocketAddr>,
    ) -> Option<Bound<'py, PyAny>> {
        let lvs_core::Forward { next_hop, direction, method, connection, .. } = out;
        for kept in self.sent.iter_mut().flatten() {
            let changed = Reused::change(
                py,
                kept,
                |forward| &forward.0,
                |sent| {
                    sent.packet.clear();
                    sent.packet.extend_from_slice(packet);
                    drop(sent.made.take());
                    (sent.next_hop, sent.direction, sent.method) = (next_hop, direction, method);
                    (sent.connection, sent.server) = (connection, server);
                },
            );
            if changed {
                return Some(kept.clone_ref(py).into_bound(py).into_any());
            }
        }
        None
    }

    /// Keeps one that was made.
    pub(crate) fn keep(&mut self, verdict: lvs_core::Verdict, object: &Bound<'_, PyAny>) {
        let (all, number) = match verdict {
            lvs_core::Verdict::Pass(reason) => (&mut self.passed, reason as usize),
            lvs_core::Verdict::Drop(reason) => (&mut self.dropped, reason as usize),
            _ => {
                if let Ok(forward) = object.cast::<Forward>() {
                    self.sent[self.oldest] = Some(forward.clone().unbind());
                    self.oldest = 1 - self.oldest;
                }
                return;
            }
        };
        if all.len() <= number {
            all.resize_with(number + 1, || None);
        }
        all[number] = Some(object.clone().unbind());
    }
}

/// One of the four, of a packet as it is after `lvs_core` was at it.
pub(crate) fn new<'py>(
    py: Python<'py>,
    verdict: lvs_core::Verdict,
    packet: Cow<'_, [u8]>,
    server: Option<SocketAddr>,
) -> PyResult<Bound<'py, PyAny>> {
    match verdict {
        lvs_core::Verdict::Forward(lvs_core::Forward { next_hop, direction, method, connection, .. }) => {
            let (packet, made) = (packet.into_owned(), OnceLock::new());
            let sent = Sent { packet, made, next_hop, direction, method, server, connection };
            Forward(Reused::new(sent)).into_bound_py_any(py)
        }
        lvs_core::Verdict::Reply(reply) => {
            let reason = Cow::Borrowed(reply.reason.name());
            let packet = PyBytes::new(py, &packet).unbind();
            Reply { packet, next_hop: reply.next_hop, reason }.into_bound_py_any(py)
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
