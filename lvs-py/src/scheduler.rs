//! Schedulers written in Python: an object with a method `pick` stands in for a scheduler of lvs-core.
//!
//! What it raises ends up with whoever called the director: the first exception is kept, the scheduler is asked nothing
//! more until that call is over, and its packets find nobody.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use lvs_core::sched::{Pool, PoolRefused, Scheduler, Weights};
use lvs_core::{Instant, ServerId};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyList, PyType};
use pyo3::{IntoPyObjectExt, intern};

use crate::convert::{Address, Endpoint, instant, kind, seconds};

/// The first exception that schedulers have raised and nobody has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Raised(Arc<Mutex<Option<PyErr>>>);

impl Raised {
    pub(crate) fn take(&self) -> Option<PyErr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep(&self, error: PyErr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn is_pending(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// A scheduler written in Python.
#[derive(Debug)]
pub(crate) struct PythonScheduler {
    object: Py<PyAny>,
    name: String,
    weights: Weights,
    hooks: Hooks,
    raised: Raised,
}

/// Which methods it has beside `pick`.
#[derive(Clone, Copy, Debug)]
struct Hooks {
    start: bool,
    added: bool,
    removed: bool,
    edited: bool,
    next_tick: bool,
    tick: bool,
    fork: bool,
}

impl PythonScheduler {
    /// Takes an object with a method `pick`. Its name is its attribute `name`, or that of its class in small letters.
    pub(crate) fn new(object: &Bound<'_, PyAny>, raised: Raised) -> PyResult<Self> {
        if object.is_instance_of::<PyType>() {
            let class = object.cast::<PyType>()?.name()?;
            return Err(PyTypeError::new_err(format!("a scheduler must be an object, {class}(), and not its class")));
        }
        if !object.getattr("pick").is_ok_and(|pick| pick.is_callable()) {
            let message = format!("a scheduler must have a method pick, which {} has not", kind(object));
            return Err(PyTypeError::new_err(message));
        }
        let has = |name: &str| object.hasattr(name);
        let hooks = Hooks {
            start: has("start")?,
            added: has("added")?,
            removed: has("removed")?,
            edited: has("edited")?,
            next_tick: has("next_tick")?,
            tick: has("tick")?,
            fork: has("fork")?,
        };
        let name = match object.getattr_opt("name")? {
            Some(name) => name.extract()?,
            None => kind(object).to_lowercase().chars().take(15).collect(),
        };
        let weights = match object.getattr_opt("weights")? {
            None => Weights::Shares,
            Some(weights) => match weights.extract::<String>()?.as_str() {
                "shares" => Weights::Shares,
                "limits" => Weights::Limits,
                "fixed" => Weights::Fixed,
                other => {
                    return Err(PyValueError::new_err(format!("weights are shares, limits or fixed, not {other:?}")));
                }
            },
        };
        Ok(Self { object: object.clone().unbind(), name, weights, hooks, raised })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Asks the object something, unless it has raised already.
    fn ask<T>(&self, question: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>) -> Option<T> {
        if self.raised.is_pending() {
            return None;
        }
        Python::attach(|py| question(self.object.bind(py)).map_err(|error| self.raised.keep(error)).ok())
    }
}

impl Scheduler for PythonScheduler {
    fn pick(&mut self, flow: &lvs_core::sched::NewFlow, pool: &Pool<'_>) -> Option<ServerId> {
        self.ask(|object| {
            let py = object.py();
            let servers = candidates(py, pool)?;
            let answer = object.call_method1(intern!(py, "pick"), (NewFlow(*flow), servers))?;
            chosen(&answer, pool)
        })?
    }

    fn start(&mut self, pool: &Pool<'_>, now: Instant) -> Result<(), PoolRefused> {
        if !self.hooks.start {
            return Ok(());
        }
        let started = self.ask(|object| {
            object.call_method1("start", (candidates(object.py(), pool)?, seconds(now)))?;
            Ok(())
        });
        started.ok_or(PoolRefused)
    }

    fn weights(&self) -> Weights {
        self.weights
    }

    fn added(&mut self, pool: &Pool<'_>) {
        if self.hooks.added {
            self.ask(|object| object.call_method1("added", (candidates(object.py(), pool)?,)).map(drop));
        }
    }

    fn removed(&mut self, position: usize, pool: &Pool<'_>) {
        if self.hooks.removed {
            self.ask(|object| object.call_method1("removed", (position, candidates(object.py(), pool)?)).map(drop));
        }
    }

    fn edited(&mut self, position: usize, pool: &Pool<'_>) {
        if self.hooks.edited {
            self.ask(|object| object.call_method1("edited", (position, candidates(object.py(), pool)?)).map(drop));
        }
    }

    fn next_tick(&self) -> Option<Instant> {
        if !self.hooks.next_tick {
            return None;
        }
        self.ask(|object| {
            let next: Option<f64> = object.call_method0("next_tick")?.extract()?;
            Ok(next.map(instant).transpose()?)
        })?
    }

    fn tick(&mut self, now: Instant) {
        if self.hooks.tick {
            self.ask(|object| object.call_method1("tick", (seconds(now),)).map(drop));
        }
    }

    /// What its method `fork` gives, or a deep copy.
    fn fork(&self) -> Option<Box<dyn Scheduler>> {
        let copy = if self.hooks.fork {
            self.ask(|object| object.call_method0("fork").map(Bound::unbind))?
        } else {
            Python::attach(|py| {
                let copy = py.import("copy").ok()?;
                copy.call_method1("deepcopy", (self.object.bind(py),)).ok().map(Bound::unbind)
            })?
        };
        let (name, weights, hooks, raised) = (self.name.clone(), self.weights, self.hooks, self.raised.clone());
        Some(Box::new(Self { object: copy, name, weights, hooks, raised }))
    }
}

/// The server of an answer: one of the candidates, the position of one, or none.
fn chosen(answer: &Bound<'_, PyAny>, pool: &Pool<'_>) -> PyResult<Option<ServerId>> {
    if answer.is_none() {
        return Ok(None);
    }
    if let Ok(candidate) = answer.cast::<Candidate>() {
        let wanted = candidate.get();
        let there = pool.get(wanted.position).filter(|server| number(server.id()) == wanted.id);
        let found = there.or_else(|| pool.iter().find(|server| number(server.id()) == wanted.id));
        let gone = || PyValueError::new_err(format!("pick returned {}, which is not in the pool", wanted.__repr__()));
        return found.map(|server| Some(server.id())).ok_or_else(gone);
    }
    if answer.is_instance_of::<PyInt>() {
        let beyond = || PyValueError::new_err(format!("pick returned position {answer} of {} servers", pool.len()));
        let server = answer.extract().ok().and_then(|position| pool.get(position));
        return server.map(|server| Some(server.id())).ok_or_else(beyond);
    }
    let message = format!("pick must return a Candidate, its position, or None, not {}", kind(answer));
    Err(PyTypeError::new_err(message))
}

pub(crate) fn candidates<'py>(py: Python<'py>, pool: &Pool<'_>) -> PyResult<Bound<'py, PyList>> {
    let all: Vec<_> = pool.iter().enumerate().map(|(position, server)| Candidate::of(position, server)).collect();
    PyList::new(py, all)
}

/// An id as a number: unique for as long as the server is known.
pub(crate) const fn number(id: ServerId) -> u64 {
    (id.generation() as u64) << 32 | id.index() as u64
}

/// A real server as a scheduler sees it, at the moment when it is asked.
#[pyclass(frozen, eq, hash, module = "lvs")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Candidate {
    pub(crate) address: SocketAddr,
    /// The weight; 0 for none of the new flows.
    #[pyo3(get)]
    weight: u32,
    /// Connections in an active state of their protocol. UDP flows never are.
    #[pyo3(get)]
    active: u32,
    /// All connections, active or not.
    #[pyo3(get)]
    connections: u32,
    /// Whether the server has reached its upper threshold and not yet fallen below its lower one.
    #[pyo3(get)]
    overloaded: bool,
    /// Its place in the list, from 0.
    #[pyo3(get)]
    position: usize,
    /// The weight before it was last set to 0.
    #[pyo3(get)]
    last_weight: u32,
    /// What the kernel's least-connection schedulers compare: 257 times the active connections and the inactive ones.
    #[pyo3(get)]
    overhead: u32,
    /// A number that names the server as long as it is known: good for a dict.
    #[pyo3(get)]
    id: u64,
}

#[pymethods]
impl Candidate {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str, &'static str) = ("address", "weight");

    #[new]
    #[pyo3(signature = (
        address, weight = 1, *, active = 0, connections = 0, overloaded = false, position = 0, last_weight = None,
        overhead = None, id = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are named")]
    fn new(
        address: Endpoint,
        weight: u32,
        active: u32,
        connections: u32,
        overloaded: bool,
        position: usize,
        last_weight: Option<u32>,
        overhead: Option<u32>,
        id: Option<u64>,
    ) -> Self {
        let all = connections.max(active);
        let usual = active.wrapping_mul(256).wrapping_add(all);
        Self {
            address: address.0,
            weight,
            active,
            connections: all,
            overloaded,
            position,
            last_weight: last_weight.unwrap_or(weight),
            overhead: overhead.unwrap_or(usual),
            id: id.unwrap_or(position as u64),
        }
    }

    /// Address and port.
    #[getter]
    fn address(&self) -> String {
        self.address.to_string()
    }

    /// Whether the server may get a new flow: it has a weight and is not overloaded.
    #[getter]
    const fn eligible(&self) -> bool {
        self.weight > 0 && !self.overloaded
    }

    fn __repr__(&self) -> String {
        let Self { address, weight, active, connections, overloaded, position, last_weight, overhead, id } = self;
        let overloaded = if *overloaded { "True" } else { "False" };
        format!(
            "Candidate(address='{address}', weight={weight}, active={active}, connections={connections}, \
             overloaded={overloaded}, position={position}, last_weight={last_weight}, overhead={overhead}, id={id})"
        )
    }
}

impl Candidate {
    pub(crate) fn of(position: usize, server: lvs_core::sched::Candidate<'_>) -> Self {
        Self {
            address: server.address(),
            weight: server.weight(),
            active: server.active(),
            connections: server.connections(),
            overloaded: server.is_overloaded(),
            position,
            last_weight: server.last_weight(),
            overhead: server.overhead(),
            id: number(server.id()),
        }
    }
}

/// What a scheduler may know of the packet that opens a flow.
#[pyclass(frozen, module = "lvs")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewFlow(pub(crate) lvs_core::sched::NewFlow);

#[pymethods]
impl NewFlow {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str, &'static str, &'static str) = ("client", "client_port", "target");

    #[new]
    #[pyo3(signature = (client, client_port, target, *, protocol = 6, now = 0.0))]
    fn new(client: Address, client_port: u16, target: Address, protocol: u8, now: f64) -> PyResult<Self> {
        if client.0.is_ipv4() != target.0.is_ipv4() {
            return Err(PyValueError::new_err("client and target must be of one family"));
        }
        let client = SocketAddr::new(client.0, client_port);
        Ok(Self(lvs_core::sched::NewFlow::new(instant(now)?, protocol, client, target.0)))
    }

    /// The client's address.
    #[getter]
    fn client(&self) -> String {
        self.0.client().to_string()
    }

    /// The client's port, 0 if the protocol has none.
    #[getter]
    const fn client_port(&self) -> u16 {
        self.0.client_port()
    }

    /// The address that the client wrote to: the virtual address, or any for services of firewall marks.
    #[getter]
    fn target(&self) -> String {
        self.0.target().to_string()
    }

    /// The IP protocol number: 6 for TCP, 17 for UDP, 132 for SCTP.
    #[getter]
    const fn protocol(&self) -> u8 {
        self.0.protocol()
    }

    /// When the packet came, in seconds.
    #[getter]
    fn now(&self) -> f64 {
        seconds(self.0.now())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Ok(other) = other.cast::<Self>() else { return Ok(py.NotImplemented()) };
        (self.0 == other.get().0).into_py_any(py)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        (self.client(), self.client_port(), self.target(), self.protocol()).into_bound_py_any(py)?.hash()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (client, port, target) = (self.client(), self.client_port(), self.target());
        let now = self.now().into_bound_py_any(py)?.repr()?;
        Ok(format!(
            "NewFlow(client='{client}', client_port={port}, target='{target}', protocol={}, now={now})",
            self.protocol()
        ))
    }
}
