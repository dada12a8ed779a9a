//! The director: lvs-core's, behind a lock, until it is closed.

use std::sync::{Mutex, MutexGuard};

use lvs_core::{Config, Instant, Listing, Meta, Packet};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::errors::{Error, because};
use crate::verdicts::{Drop, Forward, Pass, Reply, Verdict, direction_name, method_name};

/// Room in front of a packet: more than any tunnel or ICMP error takes.
const HEADROOM: usize = 128;
/// Work done by one step of `advance`; it takes as many as there is work for.
const BUDGET: usize = 1 << 16;

/// One load balancer: services, servers, connections, and the packet path.
#[pyclass(frozen, module = "lvs")]
#[derive(Debug)]
pub(crate) struct Director {
    /// `None` once it is closed. Nothing calls into Python while the lock is held.
    director: Mutex<Option<lvs_core::Director>>,
    #[pyo3(get)]
    seed: u64,
    #[pyo3(get)]
    connections: usize,
}

#[pymethods]
impl Director {
    #[new]
    #[pyo3(signature = (*, seed = None, connections = 65536))]
    fn new(py: Python<'_>, seed: Option<u64>, connections: usize) -> PyResult<Self> {
        let seed = seed.map_or_else(|| random(py), Ok)?;
        let config = Config { connections, ..Config::with_seed(seed) };
        let director = lvs_core::Director::new(config).map_err(Error::Config)?;
        Ok(Self { director: Mutex::new(Some(director)), seed, connections })
    }

    fn close(&self) -> Result<(), Error> {
        *self.lock()? = None;
        Ok(())
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().with(|_| ())?;
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyAny>) -> Result<(), Error> {
        self.close()
    }

    fn __repr__(&self) -> Result<String, Error> {
        let state = if self.lock()?.is_some() { "" } else { " (closed)" };
        Ok(format!("<lvs.Director seed={} connections={}{state}>", self.seed, self.connections))
    }

    fn load(&self, rules: &str) -> Result<(), Error> {
        self.with(|director| director.load(rules))?.map_err(Error::Rule)
    }

    fn run(&self, line: &str) -> Result<String, Error> {
        self.with(|director| director.run(line))?.map_err(Error::Rule)
    }

    #[pyo3(signature = (packet, *, now, mark = 0))]
    fn process(&self, py: Python<'_>, packet: &Bound<'_, PyAny>, now: f64, mark: u32) -> PyResult<Verdict> {
        let (now, mut buffer) = (instant(now)?, copied(py, packet)?);
        Ok(self.with(|director| verdict(director, now, &mut buffer, mark))?)
    }

    #[pyo3(signature = (packet, *, now = 0.0, mark = 0))]
    fn explain(&self, py: Python<'_>, packet: &Bound<'_, PyAny>, now: f64, mark: u32) -> PyResult<String> {
        let (now, mut buffer) = (instant(now)?, copied(py, packet)?);
        let packet = within(&mut buffer);
        Ok(self.with(|director| director.explain(now, &packet, Meta::marked(mark)).to_string())?)
    }

    fn advance(&self, py: Python<'_>, now: f64) -> PyResult<()> {
        let now = instant(now)?;
        Ok(py.detach(|| self.with(|director| while director.advance(now, BUDGET).more {}))?)
    }

    fn listing(&self) -> Result<String, Error> {
        // Only a listing of one service can be refused.
        self.with(|director| director.listing(&Listing::default()).unwrap_or_default())
    }

    fn save(&self) -> Result<String, Error> {
        self.with(|director| director.save())
    }
}

impl Director {
    fn lock(&self) -> Result<MutexGuard<'_, Option<lvs_core::Director>>, Error> {
        self.director.lock().map_err(|_| Error::Broken)
    }

    /// Does something with the director, if it is open.
    fn with<T>(&self, body: impl FnOnce(&mut lvs_core::Director) -> T) -> Result<T, Error> {
        self.lock()?.as_mut().map(body).ok_or(Error::Closed)
    }
}

/// A seed from the operating system.
fn random(py: Python<'_>) -> PyResult<u64> {
    py.import("secrets")?.call_method1("randbits", (64,))?.extract()
}

fn instant(seconds: f64) -> Result<Instant, Error> {
    // The conversion saturates: what is too large becomes "never".
    let is_time = seconds.is_finite() && seconds >= 0.0;
    if is_time { Ok(Instant::from_nanos((seconds * 1e9).round() as u64)) } else { Err(Error::Now) }
}

/// A copy of a packet, with room in front.
fn copied(py: Python<'_>, packet: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let bytes = PyBuffer::<u8>::get(packet).map_err(|cause| {
        let kind = packet.get_type().name().map_or_else(|_| String::from("this"), |name| name.to_string());
        because::<PyTypeError>(py, format!("packet must be a bytes-like object, not {kind}"), cause)
    })?;
    let mut buffer = vec![0; HEADROOM + bytes.item_count()];
    bytes.copy_to_slice(py, &mut buffer[HEADROOM..])?;
    Ok(buffer)
}

/// The packet in such a copy.
fn within(buffer: &mut [u8]) -> Packet<'_> {
    let len = buffer.len() - HEADROOM;
    Packet::new(buffer, HEADROOM, len).expect("the buffer is the headroom and the packet")
}

fn verdict(director: &mut lvs_core::Director, now: Instant, buffer: &mut [u8], mark: u32) -> Verdict {
    let mut packet = within(buffer);
    match director.process(now, &mut packet, Meta::marked(mark)) {
        lvs_core::Verdict::Pass(reason) => Verdict::Pass(Pass { reason: reason.to_string() }),
        lvs_core::Verdict::Drop(reason) => Verdict::Drop(Drop { reason: reason.to_string() }),
        lvs_core::Verdict::Reply(reply) => Verdict::Reply(Reply {
            packet: packet.bytes().to_vec(),
            next_hop: reply.next_hop.to_string(),
            reason: reply.reason.to_string(),
        }),
        lvs_core::Verdict::Forward(forward) => Verdict::Forward(Forward {
            packet: packet.bytes().to_vec(),
            next_hop: forward.next_hop.to_string(),
            direction: direction_name(forward.direction).into(),
            method: method_name(forward.method).into(),
            server: forward.server.and_then(|id| director.server(id)).map(|server| server.spec.address.to_string()),
        }),
    }
}
