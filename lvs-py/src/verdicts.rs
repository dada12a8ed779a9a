//! What the director says of a packet: four frozen classes to `match` on.

use lvs_core::{Direction, Method};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// Send the packet, rewritten, to the next hop.
#[pyclass(frozen, eq, hash, module = "lvs")]
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Forward {
    pub(crate) packet: Vec<u8>,
    #[pyo3(get)]
    pub(crate) next_hop: String,
    #[pyo3(get)]
    pub(crate) direction: String,
    #[pyo3(get)]
    pub(crate) method: String,
    #[pyo3(get)]
    pub(crate) server: Option<String>,
}

#[pymethods]
impl Forward {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str, &'static str) = ("packet", "next_hop");

    #[new]
    #[pyo3(signature = (packet, next_hop, direction, method, server = None))]
    fn new(packet: &[u8], next_hop: String, direction: String, method: String, server: Option<String>) -> Self {
        Self { packet: packet.to_vec(), next_hop, direction, method, server }
    }

    #[getter]
    fn packet<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.packet)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (packet, next_hop) = (self.packet(py).repr()?, quoted(py, &self.next_hop)?);
        let (direction, method) = (quoted(py, &self.direction)?, quoted(py, &self.method)?);
        let server = self.server.as_ref().map_or_else(|| Ok(String::from("None")), |server| quoted(py, server))?;
        Ok(format!(
            "Forward(packet={packet}, next_hop={next_hop}, direction={direction}, method={method}, server={server})"
        ))
    }
}

/// The packet is answered with an ICMP error or a TCP reset: send that to the next hop.
#[pyclass(frozen, eq, hash, module = "lvs")]
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reply {
    pub(crate) packet: Vec<u8>,
    #[pyo3(get)]
    pub(crate) next_hop: String,
    #[pyo3(get)]
    pub(crate) reason: String,
}

#[pymethods]
impl Reply {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str, &'static str, &'static str) = ("packet", "next_hop", "reason");

    #[new]
    fn new(packet: &[u8], next_hop: String, reason: String) -> Self {
        Self { packet: packet.to_vec(), next_hop, reason }
    }

    #[getter]
    fn packet<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.packet)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (packet, next_hop) = (self.packet(py).repr()?, quoted(py, &self.next_hop)?);
        Ok(format!("Reply(packet={packet}, next_hop={next_hop}, reason={})", quoted(py, &self.reason)?))
    }
}

/// The packet is none of the director's business.
#[pyclass(frozen, eq, hash, get_all, module = "lvs")]
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pass {
    pub(crate) reason: String,
}

#[pymethods]
impl Pass {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str,) = ("reason",);

    #[new]
    const fn new(reason: String) -> Self {
        Self { reason }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Pass(reason={})", quoted(py, &self.reason)?))
    }
}

/// Discard the packet.
#[pyclass(frozen, eq, hash, get_all, module = "lvs")]
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Drop {
    pub(crate) reason: String,
}

#[pymethods]
impl Drop {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str,) = ("reason",);

    #[new]
    const fn new(reason: String) -> Self {
        Self { reason }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Drop(reason={})", quoted(py, &self.reason)?))
    }
}

/// One of the four.
#[derive(Debug, IntoPyObject)]
pub(crate) enum Verdict {
    Forward(Forward),
    Pass(Pass),
    Reply(Reply),
    Drop(Drop),
}

/// A text as Python writes it.
fn quoted(py: Python<'_>, text: &str) -> PyResult<String> {
    PyString::new(py, text).repr().map(|text| text.to_string())
}

pub(crate) const fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::ToServer => "to-server",
        Direction::ToClient => "to-client",
    }
}

pub(crate) const fn method_name(method: Method) -> &'static str {
    match method {
        Method::Nat => "nat",
        Method::Dr => "dr",
        Method::Tun => "tun",
    }
}
