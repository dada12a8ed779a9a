//! Many packets in one call: arrays in, arrays out.
//!
//! Packets are copied into rows with room around each and processed there while other threads of the interpreter run. They stay
//! there with what was said of them, in a `Batch`, in the form that lvs-core gave it; arrays and objects are made of it when somebody
//! asks. The memory of a batch that is gone serves the next one.

mod handed;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lvs_core::{Instant, Meta, Packet, ServerId, Verdict};
use pyo3::exceptions::{PyIndexError, PyMemoryError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMemoryView, PySlice, PyTuple};

use crate::convert::{direction_name, meta, method_name};
use crate::director::{Director, State};
use crate::verdicts;

pub(crate) use handed::Handed;
use handed::{Each, Layout, fits, row};

/// So many packets are copied before they are processed.
const SOME: usize = 64;
/// From so many packets on, other threads run meanwhile.
const LONG: usize = 16;
const HEADROOM: usize = Packet::HEADROOM;
/// For what helpers add.
const TAILROOM: usize = 64;
/// Rows begin and end where blocks of memory do.
const LINE: usize = 64;

/// What a director said of many packets: arrays over all of them, and verdicts one by one.
///
/// It is a sequence of verdicts: batch[i] is what process would have returned for packet i. Arrays are memoryviews that
/// numpy.asarray takes without a copy.
#[pyclass(frozen, sequence, module = "lvs")]
#[derive(Debug)]
pub(crate) struct Batch {
    parts: Parts,
    /// Where they go in the end.
    spare: Spare,
}

/// What a batch consists of.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// What was handed in, where it has to be copied before others run.
    staged: Vec<u8>,
    rows: Vec<u8>,
    /// Of each packet; there may be more of them, and of verdicts, left from another batch.
    places: Vec<Place>,
    verdicts: Vec<Verdict>,
    count: usize,
    servers: Servers,
}

/// Where a packet lies in the rows, and the number of its server, -1 for none.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    start: u32,
    length: u32,
    server: i32,
}

/// The parts of a batch that is gone, for the next one: fresh memory would cost more than all the rest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spare(Arc<Mutex<Option<Parts>>>);

impl Spare {
    /// More than that is given back.
    const MOST: usize = 4 << 20;

    /// Gives it back at once.
    pub(crate) fn clear(&self) {
        drop(self.take());
    }

    fn take(&self) -> Parts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    fn keep(&self, mut parts: Parts) {
        if parts.staged.capacity() + parts.rows.capacity() <= Self::MOST {
            parts.servers.forget();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(parts);
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.spare.keep(std::mem::take(&mut self.parts));
    }
}

#[pymethods]
impl Director {
    /// Decide on many packets, in order, at a moment in seconds: as process for each, but many times faster.
    ///
    /// - packets: a flat buffer of bytes with packets one behind the other; or one of two dimensions, a row for each
    ///   packet; or a sequence of packets.
    /// - lengths: the length of each packet in bytes: ints, a buffer of ints, or one int for all. Rows are whole packets
    ///   without it; a sequence of packets has none.
    /// - offsets: where each packet of a flat buffer begins, if not behind the one before.
    /// - now: one moment, or a moment for each packet.
    /// - mark: one firewall mark, or one for each packet; hook, checksum and from_host are as of process.
    ///
    /// What is handed in stays as it is. Other threads run meanwhile. Raises TypeError and ValueError for buffers, lengths
    /// and offsets that do not fit; then nothing was processed.
    #[pyo3(signature = (
        packets, lengths = None, *, now, offsets = None, mark = None, hook = "local", checksum = "unverified",
        from_host = false,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are named")]
    fn process_batch(
        &self,
        py: Python<'_>,
        packets: &Bound<'_, PyAny>,
        lengths: Option<&Bound<'_, PyAny>>,
        now: &Bound<'_, PyAny>,
        offsets: Option<&Bound<'_, PyAny>>,
        mark: Option<&Bound<'_, PyAny>>,
        hook: &str,
        checksum: &str,
        from_host: bool,
    ) -> PyResult<Batch> {
        let ordinary = meta(0, hook, checksum, from_host)?;
        let handed = Handed::new(&self.spare, packets, lengths, offsets, now, mark, ordinary)?;
        let is_short = handed.layout.count() < LONG;
        let work = |state: &mut State| process(state, handed);
        let parts = if is_short { self.with(py, work) } else { self.with_others_running(py, work) }?;
        Ok(Batch::of(parts, &self.spare))
    }
}

/// What processes a batch, one burst of it after the other.
pub(crate) trait Processor {
    fn burst(&mut self, now: Instant, packets: &mut [Packet<'_>], metas: &[Meta], said: &mut [Verdict]);
    fn address(&mut self, id: ServerId) -> Option<SocketAddr>;
}

impl Parts {
    /// Makes room for so many packets in rows of so many bytes.
    fn make_room(&mut self, count: usize, room: usize) -> PyResult<()> {
        fits(room)?;
        // A line more, so that the first row can begin at a line.
        grow(&mut self.rows, room + LINE, 0)?;
        grow(&mut self.places, count, Place::default())?;
        grow(&mut self.verdicts, count, Verdict::Pass(lvs_core::PassReason::NoService))?;
        self.count = count;
        Ok(())
    }
}

fn grow<T: Clone>(all: &mut Vec<T>, count: usize, blank: T) -> PyResult<()> {
    let more = count.saturating_sub(all.len());
    if more > 0 {
        all.try_reserve(more).map_err(|_| PyMemoryError::new_err(()))?;
        all.resize(count, blank);
    }
    Ok(())
}

/// Some packets after the other: what is copied is processed while it is in the nearest cache.
pub(crate) fn process(processor: &mut impl Processor, handed: Handed<'_>) -> Parts {
    let Handed { bytes, layout, times, metas, mut parts } = handed;
    let Parts { staged, rows, places, verdicts, count, servers } = &mut parts;
    let bytes = bytes.unwrap_or(staged);
    let same_meta = [metas.first(); SOME];
    let mut begin = rows.as_ptr().align_offset(LINE).min(LINE);
    let mut free = &mut rows[begin..];
    let mut packets = Vec::with_capacity(SOME.min(*count));
    let (mut places, mut verdicts) = (&mut places[..*count], &mut verdicts[..*count]);
    for first in (0..*count).step_by(SOME) {
        let (some, said);
        (some, places) = places.split_at_mut(SOME.min(places.len()));
        (said, verdicts) = verdicts.split_at_mut(some.len());
        let (rows, rest) = free.split_at_mut(layout.rows(first, some.len()));
        free = rest;
        layout.packets(bytes, first, rows, some, &mut begin, &mut packets);
        match (&times, &metas) {
            (Each::One(now), Each::One(_)) => processor.burst(*now, &mut packets, &same_meta, said),
            (Each::One(now), Each::Own(metas)) => processor.burst(*now, &mut packets, &metas[first..], said),
            (Each::Own(times), _) => {
                for (n, packet) in packets.iter_mut().enumerate() {
                    let (packet, said) = (std::slice::from_mut(packet), std::slice::from_mut(&mut said[n]));
                    processor.burst(times[first + n], packet, &[metas.of(first + n)], said);
                }
            }
        }
        for ((place, packet), verdict) in some.iter_mut().zip(&packets).zip(said) {
            place.start += packet.offset() as u32;
            place.length = packet.len() as u32;
            place.server = match verdict {
                Verdict::Forward(out) => out.server.map_or(-1, |id| servers.number(processor, id)),
                _ => -1,
            };
        }
        packets.clear();
    }
    parts
}

impl Layout {
    /// Bytes of the rows of some packets.
    fn rows(&self, first: usize, some: usize) -> usize {
        match self {
            Self::Rows { length, .. } => some * row(*length),
            Self::Places(lie) => lie[first..][..some].iter().map(|(_, length)| row(*length)).sum(),
        }
    }

    /// Copies some packets into their rows, and says where those begin.
    fn packets<'a>(
        &self,
        bytes: &[u8],
        first: usize,
        rows: &'a mut [u8],
        places: &mut [Place],
        begin: &mut usize,
        packets: &mut Vec<Packet<'a>>,
    ) {
        match self {
            Self::Rows { stride, length, .. } => {
                let bytes = bytes[first * stride..].chunks_exact(*stride);
                let rows = rows.chunks_exact_mut(row(*length)).zip(bytes).zip(places);
                packets.extend(rows.map(|((row, bytes), place)| {
                    place.start = *begin as u32;
                    *begin += row.len();
                    placed_in(row, &bytes[..*length])
                }));
            }
            Self::Places(lie) => {
                let mut free = rows;
                for ((offset, length), place) in lie[first..].iter().zip(places) {
                    let (row, rest) = free.split_at_mut(row(*length));
                    free = rest;
                    place.start = *begin as u32;
                    *begin += row.len();
                    packets.push(placed_in(row, &bytes[*offset..][..*length]));
                }
            }
        }
    }
}

/// A copy of a packet in its row.
#[inline(always)]
fn placed_in<'a>(row: &'a mut [u8], packet: &[u8]) -> Packet<'a> {
    copy(packet, &mut row[HEADROOM..]);
    Packet::new(row, HEADROOM, packet.len()).expect("a row is longer than its packet")
}

/// Copies a packet to the beginning of a place. Most are short: two pieces of a size that the compiler knows, which may
/// overlap, are faster than asking how many bytes there are.
#[inline(always)]
fn copy(packet: &[u8], place: &mut [u8]) {
    let place = &mut place[..packet.len()];
    match packet.len() {
        32..=64 => copy_ends::<32>(packet, place),
        65..=128 => copy_ends::<64>(packet, place),
        _ => place.copy_from_slice(packet),
    }
}

/// Copies what has at least `N` bytes, and at most twice as many.
#[inline(always)]
fn copy_ends<const N: usize>(packet: &[u8], place: &mut [u8]) {
    let (Some(first), Some(last)) = (packet.first_chunk::<N>(), packet.last_chunk::<N>()) else { return };
    if let Some(place) = place.first_chunk_mut::<N>() {
        *place = *first;
    }
    if let Some(place) = place.last_chunk_mut::<N>() {
        *place = *last;
    }
}

/// Servers by numbers of a batch's own: those of the ids' places, as far as they came up.
#[derive(Debug, Default)]
struct Servers {
    addresses: Vec<SocketAddr>,
    ids: Vec<ServerId>,
    /// The number of each id's place, if it has one; -1 for none.
    numbers: Vec<i32>,
}

impl Servers {
    #[inline]
    fn number(&mut self, processor: &mut impl Processor, id: ServerId) -> i32 {
        // A place may be taken anew, but not while packets are processed.
        match self.numbers.get(id.index()) {
            Some(number) if *number >= 0 => *number,
            _ => self.add(processor, id),
        }
    }

    fn add(&mut self, processor: &mut impl Processor, id: ServerId) -> i32 {
        let Some(address) = processor.address(id) else { return -1 };
        if self.numbers.len() <= id.index() {
            self.numbers.resize(id.index() + 1, -1);
        }
        let number = self.addresses.len() as i32;
        self.addresses.push(address);
        self.ids.push(id);
        self.numbers[id.index()] = number;
        number
    }

    fn forget(&mut self) {
        self.addresses.clear();
        for id in self.ids.drain(..) {
            self.numbers[id.index()] = -1;
        }
    }
}

// What is given back.

const fn code(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Pass(_) => 0,
        Verdict::Forward(_) => 1,
        Verdict::Reply(_) => 2,
        Verdict::Drop(_) => 3,
    }
}

const NAMES: [&str; 4] = ["pass", "forward", "reply", "drop"];

const fn reason(verdict: &Verdict) -> (u8, Option<&'static str>) {
    match verdict {
        Verdict::Forward(_) => (0, None),
        Verdict::Pass(reason) => (*reason as u8, Some(reason.name())),
        Verdict::Reply(reply) => (reply.reason as u8, Some(reply.reason.name())),
        Verdict::Drop(reason) => (*reason as u8, Some(reason.name())),
    }
}

#[pymethods]
impl Batch {
    /// What was said of each packet, uint8: 0 pass, 1 forward, 2 reply, 3 drop.
    #[getter]
    fn verdict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        column(py, self.said().iter().map(|verdict| [code(verdict)]))
    }

    /// The number of the reason among those of its verdict, in the order of PassReason, ReplyReason or DropReason from 1
    /// on, uint8; 0 for a packet that is forwarded.
    #[getter]
    fn reason<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        column(py, self.said().iter().map(|verdict| [reason(verdict).0]))
    }

    /// Which of servers is at the other end of each packet, int32; -1 for none.
    #[getter]
    fn server<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        of_format(column(py, self.places().iter().map(|place| place.server.to_ne_bytes()))?, "i")
    }

    /// Where each packet begins in data, in bytes, uint32.
    #[getter]
    fn offset<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut end = 0;
        let offsets = self.places().iter().map(|place| {
            end += place.length;
            (end - place.length).to_ne_bytes()
        });
        of_format(column(py, offsets)?, "I")
    }

    /// How long each packet is now, in bytes, uint32.
    #[getter]
    fn length<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        of_format(column(py, self.places().iter().map(|place| place.length.to_ne_bytes()))?, "I")
    }

    /// The packets as they are now, one behind the other: packet i is data[offset[i]:offset[i] + length[i]].
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let size = self.places().iter().map(|place| place.length as usize).sum();
        PyBytes::new_with(py, size, |mut free| {
            for place in self.places() {
                let (packet, rest) = free.split_at_mut(place.length as usize);
                copy(self.bytes(place), packet);
                free = rest;
            }
            Ok(())
        })
    }

    /// The addresses and ports of the servers that server tells the numbers of.
    #[getter]
    fn servers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.parts.servers.addresses.iter().map(ToString::to_string))
    }

    /// The packets as they are now, one by one.
    #[getter]
    fn packets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.places().iter().map(|place| PyBytes::new(py, self.bytes(place))))
    }

    /// Return columns by name, each a list with an item for every packet: verdict, reason, next_hop, direction, method,
    /// server, length. pandas.DataFrame takes them.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let out = |verdict: &Verdict| if let Verdict::Forward(out) = verdict { Some(*out) } else { None };
        let next_hop = |verdict: &Verdict| match verdict {
            Verdict::Forward(out) => Some(out.next_hop.to_string()),
            Verdict::Reply(reply) => Some(reply.next_hop.to_string()),
            _ => None,
        };
        let server = |place: &Place| self.server_of(place).map(|address| address.to_string());
        let all = PyDict::new(py);
        let each = || self.said().iter();
        all.set_item("verdict", each().map(|said| NAMES[usize::from(code(said))]).collect::<Vec<_>>())?;
        all.set_item("reason", each().map(|said| reason(said).1).collect::<Vec<_>>())?;
        all.set_item("next_hop", each().map(next_hop).collect::<Vec<_>>())?;
        all.set_item(
            "direction",
            each().map(|said| out(said).map(|out| direction_name(out.direction))).collect::<Vec<_>>(),
        )?;
        all.set_item("method", each().map(|said| out(said).map(|out| method_name(out.method))).collect::<Vec<_>>())?;
        all.set_item("server", self.places().iter().map(server).collect::<Vec<_>>())?;
        all.set_item("length", self.places().iter().map(|place| place.length).collect::<Vec<_>>())?;
        Ok(all)
    }

    const fn __len__(&self) -> usize {
        self.parts.count
    }

    fn __getitem__<'py>(&self, py: Python<'py>, number: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let count = self.parts.count as isize;
        let at = |number| usize::try_from(number).ok().and_then(|number| self.verdict_on(py, number));
        if let Ok(slice) = number.cast::<PySlice>() {
            let slice = slice.indices(count)?;
            let numbers = (0..slice.slicelength as isize).map(|n| slice.start + n * slice.step);
            return Ok(PyList::new(py, numbers.filter_map(at).collect::<PyResult<Vec<_>>>()?)?.into_any());
        }
        let number: isize = number.extract()?;
        let there = at(if number < 0 { number + count } else { number });
        there.unwrap_or_else(|| Err(PyIndexError::new_err("there is no such packet in the batch")))
    }

    const fn __iter__(slf: Py<Self>) -> BatchIterator {
        BatchIterator { batch: slf, next: AtomicUsize::new(0) }
    }

    fn __repr__(&self) -> String {
        let number = |wanted| self.said().iter().filter(|verdict| code(verdict) == wanted).count();
        let [pass, forward, reply, drop] = [0, 1, 2, 3].map(number);
        format!("<lvs.Batch of {}: {forward} forward, {pass} pass, {reply} reply, {drop} drop>", self.parts.count)
    }
}

impl Batch {
    pub(crate) fn of(parts: Parts, spare: &Spare) -> Self {
        Self { parts, spare: spare.clone() }
    }

    fn places(&self) -> &[Place] {
        &self.parts.places[..self.parts.count]
    }

    fn said(&self) -> &[Verdict] {
        &self.parts.verdicts[..self.parts.count]
    }

    /// The verdict on a packet, if there is one of this number.
    fn verdict_on<'py>(&self, py: Python<'py>, number: usize) -> Option<PyResult<Bound<'py, PyAny>>> {
        let place = self.places().get(number)?;
        let said = self.parts.verdicts[number];
        Some(verdicts::new(py, said, self.bytes(place).into(), self.server_of(place)))
    }

    fn bytes(&self, place: &Place) -> &[u8] {
        &self.parts.rows[place.start as usize..][..place.length as usize]
    }

    fn server_of(&self, place: &Place) -> Option<SocketAddr> {
        usize::try_from(place.server).ok().map(|number| self.parts.servers.addresses[number])
    }
}

/// The verdicts of a batch, one after the other.
#[pyclass(frozen, module = "lvs._lvs", name = "_BatchIterator")]
#[derive(Debug)]
pub(crate) struct BatchIterator {
    batch: Py<Batch>,
    next: AtomicUsize,
}

#[pymethods]
impl BatchIterator {
    const fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> Option<PyResult<Bound<'py, PyAny>>> {
        self.batch.get().verdict_on(py, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// An array of the bytes of each packet's number.
fn column<const N: usize>(
    py: Python<'_>,
    numbers: impl ExactSizeIterator<Item = [u8; N]>,
) -> PyResult<Bound<'_, PyMemoryView>> {
    let bytes = PyBytes::new_with(py, numbers.len() * N, |all| {
        all.as_chunks_mut::<N>().0.iter_mut().zip(numbers).for_each(|(place, number)| *place = number);
        Ok(())
    })?;
    PyMemoryView::from(&bytes)
}

fn of_format<'py>(bytes: Bound<'py, PyMemoryView>, format: &str) -> PyResult<Bound<'py, PyAny>> {
    bytes.call_method1("cast", (format,))
}
