//! The director: lvs-core's, behind a lock, until it is closed.
//!
//! Here is who may be inside it and the one packet at a time; the rest of what it does is in the files beside.

/// Methods of a director, and of one for several threads, which does without others meanwhile.
macro_rules! on_both {
    ($methods:tt) => {
        #[pymethods]
        impl Director $methods

        #[pymethods]
        impl crate::shared::SharedDirector $methods
    };
}

mod operate;
mod rules;
mod settings;
mod views;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lvs_core::{Config, Packet, Path, ServerId, Verdict};
use pyo3::prelude::*;

use crate::batch::Spare;
use crate::convert::{Address, Several, admission, instant, kernel, meta};
use crate::errors::Error;
use crate::packets::bytes_of;
use crate::records::Classes;
use crate::scheduler::Raised;
use crate::turn::{NoTurn, Turn, Turns};
use crate::verdicts::{self, Verdicts};

pub(crate) use operate::{Which, drain_how, server_of};
pub(crate) use rules::{ServerWish, Wanted, Wish, listing_line, server_spec};
pub(crate) use settings::{named_tunables, path, tunable_text};
pub(crate) use views::reason_counts;

/// Room in front of a packet: more than any tunnel or ICMP error takes.
pub(crate) const HEADROOM: usize = 128;
/// Room behind it, for what helpers add.
pub(crate) const TAILROOM: usize = 128;
/// Work done by one step of `advance`; it takes as many as there is work for.
pub(crate) const BUDGET: usize = 1 << 16;

/// One load balancer: services, servers, connections, and the packet path of IPVS in Linux 6.1.192.
///
/// It does no I/O and reads no clock: packets and the time are handed to it. Moments are seconds since any origin, as
/// floats or ints, rounded to the nanosecond; should time go backwards, it stands still. Calls from several threads are
/// carried out one after the other; long ones release the interpreter. In a with statement it is closed at the end.
///
/// - seed: same seed, same packets, same times: same verdicts. From the operating system unless it is given.
/// - connections: room for so many connections and templates, reserved at once, about 153 bytes each.
/// - events: room for so many events that wait; 0, which is the default, for none: nothing is told then.
/// - fragments: room for the first parts of so many fragmented packets.
/// - engine_templates: room for so many Call-IDs of services with a persistence engine.
/// - local_addresses: the host's own addresses; if there are none, every address that packets come for is the host's.
/// - address_v4, address_v6: the host's address towards clients, the source of ICMP errors.
/// - mtu, tunnel_source_v4, tunnel_source_v6: the way to servers that set_path says nothing of.
/// - kernel: "6.1.192" or "older", where kernels of different age pick differently.
/// - admission: what a full table does about a new connection: "refuse", "evict-half-open" or
///   "evict-half-open-and-single".
///
/// Raises ConfigError if the table would have no room, too much, or more than there is memory for.
///
/// Beside what they say themselves, methods raise ClosedError once it is closed, TypeError, ValueError and OverflowError for
/// arguments that are not what they take. Then nothing has happened.
#[pyclass(frozen, module = "lvs", weakref)]
#[derive(Debug)]
pub(crate) struct Director {
    /// `None` once it is closed.
    state: Turns<Option<State>>,
    is_closed: AtomicBool,
    /// The thread that is inside while Python may be called there, by its number.
    inside: AtomicU64,
    /// What schedulers written in Python have raised.
    raised: Raised,
    pub(crate) spare: Spare,
    /// The seed of its random choices.
    #[pyo3(get)]
    seed: u64,
    /// How many connections and templates there is room for.
    #[pyo3(get)]
    capacity: usize,
}

/// What is behind the lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) director: lvs_core::Director,
    /// Where one packet is worked on.
    scratch: Vec<u8>,
    verdicts: Verdicts,
    /// Addresses of servers by the place of their ids: an id never names another address.
    names: Vec<Option<(ServerId, SocketAddr)>>,
    /// Which service a server was drained from: an event tells of it when it may have left it.
    drained: Vec<(ServerId, lvs_core::ServiceKey, SocketAddr)>,
    /// Whether a scheduler written in Python was ever given to it.
    calls_python: bool,
}

#[pymethods]
impl Director {
    #[new]
    #[pyo3(signature = (
        *, seed = None, connections = 65536, events = 0, fragments = 4096, engine_templates = 16384,
        local_addresses = None, address_v4 = None, address_v6 = None, mtu = 1500, tunnel_source_v4 = None,
        tunnel_source_v6 = None, kernel = "6.1.192", admission = "refuse",
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are named")]
    fn new(
        py: Python<'_>,
        seed: Option<u64>,
        connections: usize,
        events: usize,
        fragments: usize,
        engine_templates: usize,
        local_addresses: Option<Several<Address>>,
        address_v4: Option<Address>,
        address_v6: Option<Address>,
        mtu: u16,
        tunnel_source_v4: Option<Address>,
        tunnel_source_v6: Option<Address>,
        kernel: &str,
        admission: &str,
    ) -> PyResult<Self> {
        let seed = seed.map_or_else(|| random(py), Ok)?;
        let host = HostWords {
            local_addresses,
            address_v4,
            address_v6,
            mtu,
            tunnel_source_v4,
            tunnel_source_v6,
            kernel,
            admission,
        };
        let config = configured(seed, [connections, events, fragments, engine_templates], host)?;
        let director = lvs_core::Director::new(config).map_err(Error::Config)?;
        let (scratch, verdicts) = (Vec::new(), Verdicts::default());
        let (names, drained) = (Vec::new(), Vec::new());
        let state = State { director, scratch, verdicts, names, drained, calls_python: false };
        Ok(Self {
            state: Turns::new(Some(state)),
            is_closed: AtomicBool::new(false),
            inside: AtomicU64::new(0),
            raised: Raised::default(),
            spare: Spare::default(),
            seed,
            capacity: connections,
        })
    }

    /// Free the memory. Every later call but this one raises ClosedError.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let state = self.lock(py)?.take();
        self.is_closed.store(true, Ordering::Relaxed);
        self.spare.clear();
        // Schedulers may have something to say when they go: by then the lock is free.
        drop(state);
        Ok(())
    }

    /// Whether it is closed.
    #[getter]
    fn closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    fn __enter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        slf.get().with(slf.py(), |_| ())?;
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self) -> String {
        let state = if self.closed() { " (closed)" } else { "" };
        format!("<lvs.Director seed={} connections={}{state}>", self.seed, self.capacity)
    }

    /// Decide on a packet that begins with its IP header, at a moment in seconds.
    ///
    /// The packet is anything that has bytes, or a packet of scapy or dpkt. It stays as it is: the verdict has a copy,
    /// rewritten. A bad packet raises nothing: that is a verdict, with its reason.
    ///
    /// - mark: the firewall mark, 0 for none.
    /// - hook: where the host saw it: "local", first tried as a reply, then as a request, or "forward", only as a reply.
    /// - checksum: "unverified", "verified", or "partial" if the transport checksum is left to the network card.
    /// - from_host: whether the host itself sent it.
    ///
    /// Raises what a scheduler written in Python raises; the packet then found nobody.
    #[pyo3(signature = (packet, *, now, mark = 0, hook = "local", checksum = "unverified", from_host = false))]
    #[expect(clippy::too_many_arguments, reason = "they are named")]
    fn process<'py>(
        &self,
        py: Python<'py>,
        packet: &Bound<'py, PyAny>,
        now: f64,
        mark: u32,
        hook: &str,
        checksum: &str,
        from_host: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (now, meta) = (instant(now)?, meta(mark, hook, checksum, from_host)?);
        let bytes = bytes_of(packet)?;
        let mut state = self.enter(py)?;
        let State { director, scratch, verdicts, names, .. } = &mut *state;
        let mut packet = placed(scratch, &bytes);
        let decided = director.process(now, &mut packet, meta);
        let server = match decided {
            Verdict::Forward(out) => out.server.and_then(|id| address(director, names, id)),
            _ => None,
        };
        if let Some(verdict) = verdicts.find(py, decided, packet.bytes(), server) {
            state.leave()?;
            return Ok(verdict);
        }
        let packet = packet.bytes().to_vec();
        state.leave()?;
        self.told(py, decided, packet, server)
    }

    /// Say where a packet would go at a moment and why, changing nothing. Arguments are those of process.
    #[pyo3(signature = (packet, *, now = 0.0, mark = 0, hook = "local", checksum = "unverified", from_host = false))]
    #[expect(clippy::too_many_arguments, reason = "they are named")]
    fn explain<'py>(
        &self,
        py: Python<'py>,
        packet: &Bound<'py, PyAny>,
        now: f64,
        mark: u32,
        hook: &str,
        checksum: &str,
        from_host: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (now, meta) = (instant(now)?, meta(mark, hook, checksum, from_host)?);
        let bytes = bytes_of(packet)?;
        let explanation = self.with(py, |state| {
            let packet = placed(&mut state.scratch, &bytes);
            state.director.explain(now, &packet, meta)
        })?;
        Classes::import(py)?.explanation(&explanation)
    }
}

impl Director {
    /// Does something with the director, if it is open.
    pub(crate) fn with<T>(&self, py: Python<'_>, body: impl FnOnce(&mut State) -> T) -> PyResult<T> {
        let mut state = self.enter(py)?;
        let result = body(&mut state);
        state.leave()?;
        Ok(result)
    }

    /// The same, letting other threads of the interpreter run meanwhile.
    pub(crate) fn with_others_running<T: Send>(
        &self,
        py: Python<'_>,
        body: impl FnOnce(&mut State) -> T + Send,
    ) -> PyResult<T> {
        let mut state = self.enter(py)?;
        let inside: &mut State = &mut state;
        let result = py.detach(|| body(inside));
        state.leave()?;
        Ok(result)
    }

    /// Makes a verdict. Its turn is over by then: wherever an object is made the interpreter may collect garbage, and a
    /// finalizer may call this director.
    fn told<'py>(
        &self,
        py: Python<'py>,
        verdict: Verdict,
        packet: Vec<u8>,
        server: Option<SocketAddr>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let object = verdicts::new(py, verdict, packet.into(), server)?;
        if let Ok(mut turn) = self.state.take(py)
            && let Some(state) = &mut *turn
        {
            state.verdicts.keep(verdict, &object);
        }
        Ok(object)
    }

    /// Where a scheduler written in Python leaves what it raises.
    pub(crate) fn raised(&self) -> Raised {
        self.raised.clone()
    }

    #[inline(always)]
    pub(crate) fn enter<'a>(&'a self, py: Python<'a>) -> PyResult<Inside<'a>> {
        let turn = self.lock(py)?;
        let Some(state) = &*turn else { return Err(Error::Closed.into()) };
        let calls_python = state.calls_python;
        if calls_python {
            self.inside.store(this_thread(), Ordering::Relaxed);
        }
        Ok(Inside { turn, director: self, calls_python })
    }

    /// Waits for its turn. The interpreter is released while it waits: who is inside may need it for a scheduler.
    #[inline(always)]
    fn lock<'a>(&'a self, py: Python<'a>) -> PyResult<Turn<'a, Option<State>>> {
        self.state.take(py).or_else(|why| self.later(py, why))
    }

    #[cold]
    fn later<'a>(&'a self, py: Python<'a>, why: NoTurn) -> PyResult<Turn<'a, Option<State>>> {
        match why {
            NoTurn::Taken if self.inside.load(Ordering::Relaxed) == this_thread() => Err(Error::Reentered.into()),
            NoTurn::Taken => self.state.wait(py).map_err(|_| Error::Broken.into()),
            NoTurn::Broken => Err(Error::Broken.into()),
        }
    }
}

/// A thread's turn in a director that is open.
#[derive(Debug)]
pub(crate) struct Inside<'a> {
    turn: Turn<'a, Option<State>>,
    director: &'a Director,
    calls_python: bool,
}

impl Inside<'_> {
    /// Ends the turn, with what schedulers have raised in it.
    #[inline(always)]
    pub(crate) fn leave(self) -> PyResult<()> {
        let raised = if self.calls_python { self.director.raised.take() } else { None };
        raised.map_or(Ok(()), Err)
    }
}

impl Deref for Inside<'_> {
    type Target = State;

    #[inline]
    fn deref(&self) -> &State {
        self.turn.as_ref().expect("a turn begins only where there is something inside")
    }
}

impl DerefMut for Inside<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut State {
        self.turn.as_mut().expect("a turn begins only where there is something inside")
    }
}

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.calls_python {
            self.director.inside.store(0, Ordering::Relaxed);
        }
    }
}

impl State {
    /// Schedulers written in Python are called from now on.
    pub(crate) const fn will_call_python(&mut self) {
        self.calls_python = true;
    }

    /// The address of a server.
    pub(crate) fn address(&mut self, id: ServerId) -> Option<SocketAddr> {
        address(&self.director, &mut self.names, id)
    }
}

/// The address of a server. Asking the director for all it knows of it takes longer than remembering this.
#[inline]
fn address(
    director: &lvs_core::Director,
    names: &mut Vec<Option<(ServerId, SocketAddr)>>,
    id: ServerId,
) -> Option<SocketAddr> {
    if let Some(Some((known, address))) = names.get(id.index())
        && *known == id
    {
        return Some(*address);
    }
    let address = director.server(id)?.spec.address;
    if names.len() <= id.index() {
        names.resize(id.index() + 1, None);
    }
    names[id.index()] = Some((id, address));
    Some(address)
}

/// A packet's bytes, with room around them.
#[inline]
fn placed<'a>(scratch: &'a mut Vec<u8>, bytes: &[u8]) -> Packet<'a> {
    let needed = HEADROOM + bytes.len() + TAILROOM;
    if scratch.len() < needed {
        scratch.resize(needed, 0);
    }
    scratch[HEADROOM..HEADROOM + bytes.len()].copy_from_slice(bytes);
    Packet::new(&mut scratch[..needed], HEADROOM, bytes.len()).expect("the room is there")
}

/// A number of this thread's own, never 0.
fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local!(static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed));
    NUMBER.with(|number| *number)
}

/// What a user says of the host, and of what it is to be like.
pub(crate) struct HostWords<'a> {
    pub(crate) local_addresses: Option<Several<Address>>,
    pub(crate) address_v4: Option<Address>,
    pub(crate) address_v6: Option<Address>,
    pub(crate) mtu: u16,
    pub(crate) tunnel_source_v4: Option<Address>,
    pub(crate) tunnel_source_v6: Option<Address>,
    pub(crate) kernel: &'a str,
    pub(crate) admission: &'a str,
}

/// A configuration with room for so many connections, events, fragments and Call-IDs.
pub(crate) fn configured(seed: u64, sizes: [usize; 4], host: HostWords<'_>) -> PyResult<Config> {
    let [connections, events, fragments, engine_templates] = sizes;
    let mut path = Path::new(host.mtu);
    path.tunnel_source_v4 = v4(host.tunnel_source_v4)?.unwrap_or(path.tunnel_source_v4);
    path.tunnel_source_v6 = v6(host.tunnel_source_v6)?.unwrap_or(path.tunnel_source_v6);
    Ok(Config {
        connections,
        events,
        fragments,
        engine_templates,
        local_addresses: host.local_addresses.into_iter().flat_map(|all| all.0).map(|address| address.0).collect(),
        address_v4: v4(host.address_v4)?,
        address_v6: v6(host.address_v6)?,
        path,
        kernel: kernel(host.kernel)?,
        admission: admission(host.admission)?,
        ..Config::with_seed(seed)
    })
}

/// A seed from the operating system.
pub(crate) fn random(py: Python<'_>) -> PyResult<u64> {
    py.import("secrets")?.call_method1("randbits", (64,))?.extract()
}

pub(super) fn v4(address: Option<Address>) -> PyResult<Option<Ipv4Addr>> {
    match address.map(|address| address.0) {
        None => Ok(None),
        Some(std::net::IpAddr::V4(address)) => Ok(Some(address)),
        Some(other) => Err(crate::convert::value_error(format!("{other} is not an IPv4 address"))),
    }
}

pub(super) fn v6(address: Option<Address>) -> PyResult<Option<Ipv6Addr>> {
    match address.map(|address| address.0) {
        None => Ok(None),
        Some(std::net::IpAddr::V6(address)) => Ok(Some(address)),
        Some(other) => Err(crate::convert::value_error(format!("{other} is not an IPv6 address"))),
    }
}
