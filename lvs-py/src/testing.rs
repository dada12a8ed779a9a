//! For tests: a pool of servers without a director, for trying schedulers; and the player of recordings.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use lvs_core::sched::{SchedulerKind, SchedulerTunables};
use lvs_core::testkit::{TestPool, recording};
use lvs_core::{Family, ServerId, ServerSpec};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use crate::convert::{Endpoint, Several, duration, family, flags, seconds, value_error};
use crate::errors::not_found;
use crate::scheduler::{Candidate, NewFlow, PythonScheduler, Raised, candidates};

/// Real servers of one service and a scheduler, without a director: for trying schedulers.
///
/// The scheduler is a name of ipvsadm's, "swrr", or an object with a method pick, and is told of every change as in a
/// director. A pick makes no connection: connect does. Servers are named by their addresses. Not for several threads at
/// once. Raises NotFoundError for a scheduler, and in methods a server, that there is not.
#[pyclass(frozen, module = "lvs.testing")]
#[derive(Debug)]
pub(crate) struct SchedulerPool {
    pool: Mutex<TestPool>,
    raised: Raised,
}

#[pymethods]
impl SchedulerPool {
    #[new]
    #[pyo3(signature = (scheduler, *, seed = 0, flags = None, family = "ipv4"))]
    fn new(scheduler: &Bound<'_, PyAny>, seed: u64, flags: Option<Several<String>>, family: &str) -> PyResult<Self> {
        let raised = Raised::default();
        let family: Family = self::family(family)?;
        let mut pool =
            TestPool::new().flags(self::flags(&flags.map(|flags| flags.0).unwrap_or_default())?).family(family);
        let attached = if let Ok(name) = scheduler.cast::<PyString>() {
            let kind = SchedulerKind::from_name(name.to_str()?);
            let kind = kind.ok_or_else(|| not_found(format!("there is no scheduler {name:?}")))?;
            pool.attach(kind.build(seed, SchedulerTunables::default()))
        } else {
            pool.attach(Box::new(PythonScheduler::new(scheduler, raised.clone())?))
        };
        raised.take().map_or(Ok(()), Err)?;
        attached.map_err(|refused| PyValueError::new_err(refused.to_string()))?;
        Ok(Self { pool: Mutex::new(pool), raised })
    }

    /// The time, in seconds: 0 at first.
    #[getter]
    fn now(&self) -> PyResult<f64> {
        Ok(seconds(self.lock()?.now()))
    }

    /// Add a server at the head of the list. One of the same address that has connections left comes back with them.
    ///
    /// Raises ValueError if it is there.
    #[pyo3(signature = (address, *, weight = 1, upper = 0, lower = 0))]
    fn add(&self, address: Endpoint, weight: u32, upper: u32, lower: u32) -> PyResult<()> {
        self.change(|pool| {
            if find(pool, address.0).is_some() {
                return Err(value_error(format!("{} is in the pool already", address.0)));
            }
            pool.add(checked(ServerSpec::nat(address.0).weight(weight).thresholds(upper, lower))?);
            Ok(())
        })
    }

    /// Take a server out of the list.
    fn remove(&self, address: Endpoint) -> PyResult<()> {
        self.change_server(address, |pool, id| {
            pool.remove(id);
            Ok(())
        })
    }

    /// Change what is named of a server; None leaves something as it is.
    #[pyo3(signature = (address, *, weight = None, upper = None, lower = None))]
    fn edit(&self, address: Endpoint, weight: Option<u32>, upper: Option<u32>, lower: Option<u32>) -> PyResult<()> {
        self.change_server(address, |pool, id| {
            let mut spec = pool.spec(id);
            spec.weight = weight.unwrap_or(spec.weight);
            spec.upper = upper.unwrap_or(spec.upper);
            spec.lower = lower.unwrap_or(spec.lower);
            pool.edit(id, checked(spec)?);
            Ok(())
        })
    }

    /// Make a connection of a server, in an active state or not.
    #[pyo3(signature = (address, *, active = false))]
    fn connect(&self, address: Endpoint, active: bool) -> PyResult<()> {
        self.change_server(address, |pool, id| {
            pool.connect(id, active);
            Ok(())
        })
    }

    /// End a connection of a server, an inactive one if there is one. Nothing happens if it has none.
    fn disconnect(&self, address: Endpoint) -> PyResult<()> {
        self.change_server(address, |pool, id| {
            pool.disconnect(id);
            Ok(())
        })
    }

    /// An inactive connection of a server becomes active. Nothing happens if it has none.
    fn activate(&self, address: Endpoint) -> PyResult<()> {
        self.change_server(address, |pool, id| {
            pool.activate(id);
            Ok(())
        })
    }

    /// An active connection of a server becomes inactive. Nothing happens if it has none.
    fn deactivate(&self, address: Endpoint) -> PyResult<()> {
        self.change_server(address, |pool, id| {
            pool.deactivate(id);
            Ok(())
        })
    }

    /// Change the flags: of "fallback", "port" and "flag-3". The scheduler sees them at the next pick.
    fn set_flags(&self, flags: Several<String>) -> PyResult<()> {
        let flags = self::flags(&flags.0)?;
        self.change(|pool| {
            pool.set_flags(flags);
            Ok(())
        })
    }

    /// Let so many seconds pass, and tick the scheduler if it is due.
    fn advance(&self, seconds: f64) -> PyResult<()> {
        let time: Duration = duration(seconds)?;
        self.change(|pool| {
            pool.advance(time);
            Ok(())
        })
    }

    /// Return what the scheduler picks for a flow.
    fn pick(&self, flow: &Bound<'_, NewFlow>) -> PyResult<Option<Candidate>> {
        let flow = flow.get().0;
        self.change(|pool| {
            let picked = pool.pick(&flow);
            Ok(picked.and_then(|id| candidate(pool, id)))
        })
    }

    /// Return what the scheduler would pick for a flow, changing nothing: a copy of it is asked.
    ///
    /// Raises ValueError if it cannot be copied.
    fn peek(&self, flow: &Bound<'_, NewFlow>) -> PyResult<Option<Candidate>> {
        let flow = flow.get().0;
        self.change(|pool| {
            let fork = pool.scheduler().and_then(lvs_core::sched::Scheduler::fork);
            let mut fork = fork.ok_or_else(|| value_error(String::from("the scheduler cannot be copied")))?;
            let picked = fork.pick(&flow, &pool.pool());
            Ok(picked.and_then(|id| candidate(pool, id)))
        })
    }

    /// Return the servers in list order, the newest first, as the scheduler sees them.
    fn servers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        candidates(py, &self.lock()?.pool())
    }
}

impl SchedulerPool {
    fn lock(&self) -> PyResult<MutexGuard<'_, TestPool>> {
        self.pool.try_lock().map_err(|_| PyRuntimeError::new_err("the pool is in use, or a defect left it unusable"))
    }

    /// Does something with the pool, and raises what the scheduler raised meanwhile.
    fn change<T>(&self, body: impl FnOnce(&mut TestPool) -> PyResult<T>) -> PyResult<T> {
        let mut pool = self.lock()?;
        let result = body(&mut pool);
        self.raised.take().map_or(result, Err)
    }

    fn change_server(
        &self,
        address: Endpoint,
        body: impl FnOnce(&mut TestPool, ServerId) -> PyResult<()>,
    ) -> PyResult<()> {
        self.change(|pool| {
            let id = find(pool, address.0);
            body(pool, id.ok_or_else(|| not_found(format!("{} is not in the pool", address.0)))?)
        })
    }
}

fn find(pool: &TestPool, address: SocketAddr) -> Option<ServerId> {
    pool.pool().iter().find(|server| server.address() == address).map(|server| server.id())
}

fn candidate(pool: &TestPool, id: ServerId) -> Option<Candidate> {
    let found = pool.pool().iter().enumerate().find(|(_, server)| server.id() == id);
    found.map(|(position, server)| Candidate::of(position, server))
}

/// What a director would take.
fn checked(spec: ServerSpec) -> PyResult<ServerSpec> {
    const LARGEST: u32 = 0x7fff_ffff;
    if spec.weight > LARGEST || spec.upper > LARGEST || spec.lower > spec.upper {
        return Err(value_error(String::from("weights and thresholds are 0 to 2147483647, lower at most upper")));
    }
    Ok(spec)
}

type Difference = (usize, String, String, String, String);

/// Play a recording of a real kernel, a text of JSON lines, and return how many steps it has, and those that differ.
///
/// A step that differs is a tuple of its number from 0, its time in milliseconds, what was done, what was expected, and
/// what came instead. Raises ValueError for what is no recording.
#[pyfunction]
pub(crate) fn play_recording(py: Python<'_>, text: &str) -> PyResult<(usize, Vec<Difference>)> {
    let report = py.detach(|| recording::play(text)).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let differences = report.differences.into_iter();
    let rows = differences.map(|one| (one.step, one.time_ms, one.action, one.expected, one.got)).collect();
    Ok((report.steps, rows))
}
