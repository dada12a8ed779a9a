//! The director for several threads: lvs-core's, which has locks of its own.
//!
//! It takes no scheduler written in Python: those are asked while it is locked, and who asks them needs the interpreter
//! that somebody else may hold while waiting for that lock. Packets are here, the rest is in the files beside.

mod operate;
mod rules;
mod views;

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use lvs_core::{ControlError, Instant, Meta, Packet, ServerId, ServiceId, ServiceKey, Verdict};
use pyo3::prelude::*;

use crate::batch::{Batch, Handed, Processor, Spare, process};
use crate::convert::{Address, Endpoint, Several, instant, meta};
use crate::director::{HEADROOM, HostWords, State, TAILROOM, configured, random};
use crate::errors::Error;
use crate::packets::bytes_of;
use crate::records::Classes;
use crate::verdicts;

/// A director for several threads, which work in it at the same time: connections are spread over shards.
///
/// It answers as a Director does, flow by flow, and every method may be called by any thread at any time. With one shard
/// for each thread, threads that bring packets to different shards do not wait for each other as long as flows go on. Any
/// packet may be brought to any shard; it is fast where those of one flow, its replies included, come to the same one:
/// shard_of says to which. Arguments but shards are those of Director, and so is what they raise. Schedulers are those
/// with names. Everything but packets stops all threads for as long as it takes.
#[pyclass(frozen, module = "lvs", weakref)]
#[derive(Debug)]
pub(crate) struct SharedDirector {
    /// `None` once it is closed.
    director: RwLock<Option<Arc<lvs_core::SharedDirector>>>,
    spare: Spare,
    /// The seed of its random choices.
    #[pyo3(get)]
    seed: u64,
    /// How many shards there are.
    #[pyo3(get)]
    shards: usize,
    /// How many connections and templates there is room for.
    #[pyo3(get)]
    capacity: usize,
}

#[pymethods]
impl SharedDirector {
    #[new]
    #[pyo3(signature = (
        *, shards = 2, seed = None, connections = 65536, events = 0, fragments = 4096, engine_templates = 16384,
        local_addresses = None, address_v4 = None, address_v6 = None, mtu = 1500, tunnel_source_v4 = None,
        tunnel_source_v6 = None, kernel = "6.1.192", admission = "refuse",
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are named")]
    fn new(
        py: Python<'_>,
        shards: usize,
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
        let sizes = [connections, events, fragments, engine_templates];
        let director = lvs_core::SharedDirector::new(configured(seed, sizes, host)?, shards).map_err(Error::Config)?;
        let shards = director.shards();
        Ok(Self {
            director: RwLock::new(Some(Arc::new(director))),
            spare: Spare::default(),
            seed,
            shards,
            capacity: connections,
        })
    }

    /// Free the memory, once calls that are under way have ended. Every later call but this one raises ClosedError.
    fn close(&self) {
        drop(self.director.write().unwrap_or_else(PoisonError::into_inner).take());
        self.spare.clear();
    }

    /// Whether it is closed.
    #[getter]
    fn closed(&self) -> bool {
        self.open().is_err()
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().open()?;
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyAny>) {
        self.close();
    }

    fn __repr__(&self) -> String {
        let state = if self.closed() { " (closed)" } else { "" };
        format!("<lvs.SharedDirector seed={} shards={}{state}>", self.seed, self.shards)
    }

    /// As Director.process, at the shard that the packet's flow belongs to.
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
        let (mut buffer, length) = with_room(&bytes_of(packet)?);
        let director = self.open()?;
        let mut packet = Packet::new(&mut buffer, HEADROOM, length).expect("the room is there");
        let said = py.detach(|| director.process(now, &mut packet, meta));
        let server = if let Verdict::Forward(out) = said { out.server } else { None };
        let server = server.and_then(|id| director.server(id)).map(|server| server.spec.address);
        verdicts::new(py, said, packet.bytes().into(), server)
    }

    /// Decide on many packets, in order, at a shard: as Director.process_batch. Other threads run meanwhile, in here too.
    ///
    /// Raises ValueError for a shard that there is not.
    #[pyo3(signature = (
        packets, lengths = None, *, now, shard = 0, offsets = None, mark = None, hook = "local",
        checksum = "unverified", from_host = false,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are named")]
    fn process_batch(
        &self,
        py: Python<'_>,
        packets: &Bound<'_, PyAny>,
        lengths: Option<&Bound<'_, PyAny>>,
        now: &Bound<'_, PyAny>,
        shard: usize,
        offsets: Option<&Bound<'_, PyAny>>,
        mark: Option<&Bound<'_, PyAny>>,
        hook: &str,
        checksum: &str,
        from_host: bool,
    ) -> PyResult<Batch> {
        let ordinary = meta(0, hook, checksum, from_host)?;
        let handed = Handed::new(&self.spare, packets, lengths, offsets, now, mark, ordinary)?;
        let (director, shard) = (self.open()?, self.shard(shard)?);
        Ok(Batch::of(py.detach(|| process(&mut AtShard { director: &director, shard }, handed)), &self.spare))
    }

    /// Return the shard that a packet's flow belongs to, replies of NAT servers included.
    fn shard_of(&self, packet: &Bound<'_, PyAny>) -> PyResult<usize> {
        let (mut buffer, length) = with_room(&bytes_of(packet)?);
        let packet = Packet::new(&mut buffer, HEADROOM, length).expect("the room is there");
        Ok(self.open()?.shard_of(&packet))
    }

    /// As Director.explain.
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
        let (mut buffer, length) = with_room(&bytes_of(packet)?);
        let director = self.open()?;
        let packet = Packet::new(&mut buffer, HEADROOM, length).expect("the room is there");
        let explanation = py.detach(|| director.explain(now, &packet, meta));
        Classes::import(py)?.explanation(&explanation)
    }
}

impl SharedDirector {
    /// Does something with the director, alone: what is in the macro `on_both` has no call of its own in lvs-core.
    pub(crate) fn with<T: Send>(&self, py: Python<'_>, body: impl FnOnce(&mut Home<'_>) -> T + Send) -> PyResult<T> {
        let director = self.open()?;
        Ok(py.detach(|| director.with(|director| body(&mut Home { director }))))
    }

    fn open(&self) -> PyResult<Arc<lvs_core::SharedDirector>> {
        let director = self.director.read().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(director.ok_or(Error::Closed)?)
    }

    fn shard(&self, number: usize) -> PyResult<usize> {
        if number < self.shards {
            return Ok(number);
        }
        Err(crate::convert::value_error(format!("there is no shard {number}: there are {}", self.shards)))
    }
}

/// The director while all threads are stopped.
pub(crate) struct Home<'a> {
    pub(crate) director: &'a mut lvs_core::Director,
}

impl Home<'_> {
    pub(crate) fn service(&self, key: ServiceKey) -> Result<ServiceId, ControlError> {
        self.director.find_service(&key).ok_or(ControlError::NoSuchService)
    }

    pub(crate) fn server(&self, service: ServiceKey, address: Endpoint) -> Result<ServerId, ControlError> {
        self.director.find_server(self.service(service)?, address.0).ok_or(ControlError::NoSuchServer)
    }
}

/// A batch that goes to a shard.
struct AtShard<'a> {
    director: &'a lvs_core::SharedDirector,
    shard: usize,
}

impl Processor for AtShard<'_> {
    fn burst(&mut self, now: Instant, packets: &mut [Packet<'_>], metas: &[Meta], said: &mut [Verdict]) {
        self.director.process_burst(self.shard, now, packets, metas, said);
    }

    fn address(&mut self, id: ServerId) -> Option<SocketAddr> {
        self.director.server(id).map(|server| server.spec.address)
    }
}

impl Processor for State {
    fn burst(&mut self, now: Instant, packets: &mut [Packet<'_>], metas: &[Meta], said: &mut [Verdict]) {
        self.director.process_burst(now, packets, metas, said);
    }

    fn address(&mut self, id: ServerId) -> Option<SocketAddr> {
        Self::address(self, id)
    }
}

/// A packet's bytes with room around them, and how many they are.
fn with_room(bytes: &[u8]) -> (Vec<u8>, usize) {
    let mut buffer = vec![0; HEADROOM + bytes.len() + TAILROOM];
    buffer[HEADROOM..][..bytes.len()].copy_from_slice(bytes);
    (buffer, bytes.len())
}
