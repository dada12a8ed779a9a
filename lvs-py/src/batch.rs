//! Many packets in one call: arrays in, arrays out.
//!
//! Packets are copied into rows with room around each, processed there while other threads of the interpreter run, and put one
//! behind the other. What was said of them stays in a `Batch`, in the form that lvs-core gave it; arrays and objects are made of it
//! when somebody asks.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use lvs_core::{Instant, Meta, Packet, ServerId, Verdict};
use pyo3::buffer::{PyBuffer, PyUntypedBuffer};
use pyo3::exceptions::{PyIndexError, PyMemoryError, PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyInt, PyList, PyMemoryView, PyTuple};

use crate::convert::{direction_name, instant, kind, meta, method_name, value_error};
use crate::director::{Director, State};
use crate::verdicts::verdict;

/// Packets that lvs-core works on together.
const BURST: usize = 64;
/// From so many packets on, other threads run meanwhile.
const LONG: usize = 16;
const HEADROOM: usize = Packet::HEADROOM;
/// For what helpers add, and so that a row has a whole block behind each packet.
const TAILROOM: usize = 64;

/// What a director said of many packets: arrays over all of them, and verdicts one by one.
///
/// It is a sequence of verdicts: batch[i] is what process would have returned for packet i. Arrays are memoryviews that
/// numpy.asarray takes without a copy.
#[pyclass(frozen, sequence, module = "lvs")]
#[derive(Debug)]
pub(crate) struct Batch {
    data: Vec<u8>,
    places: Vec<Place>,
    verdicts: Vec<Verdict>,
    /// The servers of forwarded packets, by the numbers in `places`.
    servers: Vec<SocketAddr>,
}

/// Where a packet lies, and the number of its server, -1 for none.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u32,
    length: u32,
    server: i32,
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
        let handed = Handed::new(packets, lengths, offsets, now, mark, meta(0, hook, checksum, from_host)?)?;
        let is_short = handed.layout.count() < LONG;
        let work = |state: &mut State| process(state, handed);
        if is_short { self.with(py, work) } else { self.with_others_running(py, work) }
    }
}

/// What a batch is made of: packets, times, and what the host knows of each.
pub(crate) struct Handed<'a> {
    bytes: Cow<'a, [u8]>,
    layout: Layout,
    times: Each<Instant>,
    metas: Each<Meta>,
    /// Room for the packets as they will be.
    data: Vec<u8>,
}

impl<'a> Handed<'a> {
    pub(crate) fn new(
        packets: &'a Bound<'_, PyAny>,
        lengths: Option<&Bound<'_, PyAny>>,
        offsets: Option<&Bound<'_, PyAny>>,
        now: &Bound<'_, PyAny>,
        mark: Option<&Bound<'_, PyAny>>,
        ordinary: Meta,
    ) -> PyResult<Self> {
        let (bytes, layout) = flat(packets, lengths, offsets)?;
        let count = layout.count();
        let room = layout.size() + count * HEADROOM;
        fits(room)?;
        let mut data = Vec::new();
        data.try_reserve_exact(room).map_err(|_| PyMemoryError::new_err(()))?;
        // An array of one number would count as a number, too.
        let is_number = now.is_instance_of::<PyFloat>() || now.len().is_err();
        let times = match now.extract::<f64>() {
            Ok(now) if is_number => Each::One(instant(now)?),
            _ => {
                let moments = same_number(floats(now)?, count, "moments")?;
                Each::Own(moments.into_iter().map(instant).collect::<Result<Vec<_>, _>>()?)
            }
        };
        let metas = match mark {
            None => Each::One(ordinary),
            Some(mark) => match mark.extract::<u32>() {
                Ok(mark) => Each::One(Meta { mark, ..ordinary }),
                Err(wrong) if mark.is_instance_of::<PyInt>() => return Err(wrong),
                Err(_) => {
                    let marks = same_number(ints(mark, "mark")?, count, "marks")?;
                    Each::Own(marks.into_iter().map(|mark| Meta { mark, ..ordinary }).collect())
                }
            },
        };
        Ok(Self { bytes, layout, times, metas, data })
    }
}

/// What processes a batch, one burst of it after the other.
pub(crate) trait Processor {
    fn burst(&mut self, now: Instant, packets: &mut [Packet<'_>], metas: &[Meta], said: &mut [Verdict]);
    fn address(&mut self, id: ServerId) -> Option<SocketAddr>;
}

/// One for all, or one for each.
enum Each<T> {
    One(T),
    Own(Vec<T>),
}

impl<T: Copy + Default> Each<T> {
    /// The one for all, if it is one.
    fn first(&self) -> T {
        if let Self::One(one) = self { *one } else { T::default() }
    }
}

impl<T: Copy> Each<T> {
    fn of(&self, number: usize) -> T {
        match self {
            Self::One(one) => *one,
            Self::Own(all) => all[number],
        }
    }
}

/// Where packets lie in a flat buffer. All of them are within it.
enum Layout {
    /// So many rows, so far apart, each beginning with a packet of this length.
    Rows { count: usize, stride: usize, length: usize },
    /// Each with an offset and a length.
    Places(Vec<(usize, usize)>),
}

impl Layout {
    const fn count(&self) -> usize {
        match self {
            Self::Rows { count, .. } => *count,
            Self::Places(places) => places.len(),
        }
    }

    /// Bytes of all packets.
    fn size(&self) -> usize {
        match self {
            Self::Rows { count, length, .. } => count * length,
            Self::Places(places) => places.iter().map(|(_, length)| length).sum(),
        }
    }

    /// Bytes of the longest packet.
    fn longest(&self) -> usize {
        match self {
            Self::Rows { length, .. } => *length,
            Self::Places(places) => places.iter().map(|(_, length)| *length).max().unwrap_or(0),
        }
    }

    #[inline]
    fn packet<'a>(&self, bytes: &'a [u8], number: usize) -> &'a [u8] {
        let (offset, length) = match self {
            Self::Rows { stride, length, .. } => (number * stride, *length),
            Self::Places(places) => places[number],
        };
        &bytes[offset..][..length]
    }
}

/// Burst by burst, in rows with room around each packet: what is copied is processed while it is in the nearest cache.
pub(crate) fn process(processor: &mut impl Processor, handed: Handed<'_>) -> Batch {
    let Handed { bytes, layout, times, metas, mut data } = handed;
    let count = layout.count();
    let row = HEADROOM + layout.longest() + TAILROOM;
    let mut rows = vec![0; row * count.min(BURST)];
    let (mut places, mut verdicts) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut servers = Servers::default();
    let mut said = [Verdict::Pass(lvs_core::PassReason::NoService); BURST];
    let same_meta = [metas.first(); BURST];
    for first in (0..count).step_by(BURST) {
        let some = BURST.min(count - first);
        let mut free = rows.chunks_exact_mut(row).take(some).enumerate();
        let mut packets: [Packet<'_>; BURST] = std::array::from_fn(|_| match free.next() {
            Some((number, row)) => {
                let packet = layout.packet(&bytes, first + number);
                copy(packet, &mut row[HEADROOM..]);
                Packet::new(row, HEADROOM, packet.len()).expect("a row is longer than its packet")
            }
            None => Packet::whole(&mut []),
        });
        let (packets, said) = (&mut packets[..some], &mut said[..some]);
        match (&times, &metas) {
            (Each::One(now), Each::One(_)) => processor.burst(*now, packets, &same_meta, said),
            (Each::One(now), Each::Own(metas)) => processor.burst(*now, packets, &metas[first..], said),
            (Each::Own(times), _) => {
                for (n, packet) in packets.iter_mut().enumerate() {
                    let (packet, said) = (std::slice::from_mut(packet), std::slice::from_mut(&mut said[n]));
                    processor.burst(times[first + n], packet, &[metas.of(first + n)], said);
                }
            }
        }
        for (packet, verdict) in packets.iter().zip(&*said) {
            let server = match verdict {
                Verdict::Forward(out) => out.server.map_or(-1, |id| servers.number(processor, id)),
                _ => -1,
            };
            places.push(Place { offset: data.len() as u32, length: packet.len() as u32, server });
            append(packet.bytes(), &mut data);
        }
        verdicts.extend_from_slice(said);
    }
    Batch { data, places, verdicts, servers: servers.addresses }
}

/// Copies a packet to the beginning of a place that is long enough. Most are short: blocks of a size that the compiler
/// knows are faster than asking how many bytes there are.
#[inline]
fn copy(packet: &[u8], place: &mut [u8]) {
    let (blocks, rest) = packet.as_chunks::<64>();
    let (places, last) = place.as_chunks_mut::<64>();
    places.iter_mut().zip(blocks).for_each(|(place, block)| *place = *block);
    if !rest.is_empty() {
        let behind = if blocks.len() < places.len() { places[blocks.len()].as_mut_slice() } else { last };
        behind[..rest.len()].copy_from_slice(rest);
    }
}

/// The same behind what is there.
#[inline]
fn append(packet: &[u8], data: &mut Vec<u8>) {
    let (blocks, rest) = packet.as_chunks::<64>();
    blocks.iter().for_each(|block| data.extend_from_slice(block));
    if !rest.is_empty() {
        data.extend_from_slice(rest);
    }
}

/// Servers by numbers of a batch's own: those of the ids' places, as far as they came up.
#[derive(Default)]
struct Servers {
    addresses: Vec<SocketAddr>,
    /// The number of each id's place, if it has one.
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
        self.numbers[id.index()] = number;
        number
    }
}

// What is handed in.

/// The bytes that packets lie in, and where they lie.
fn flat<'a>(
    packets: &'a Bound<'_, PyAny>,
    lengths: Option<&Bound<'_, PyAny>>,
    offsets: Option<&Bound<'_, PyAny>>,
) -> PyResult<(Cow<'a, [u8]>, Layout)> {
    let py = packets.py();
    if let Ok(bytes) = packets.cast::<PyBytes>() {
        let bytes = bytes.as_bytes();
        return Ok((Cow::Borrowed(bytes), placed(bytes.len(), lengths, offsets)?));
    }
    match PyUntypedBuffer::get(packets) {
        Ok(buffer) => {
            let buffer = buffer
                .into_typed::<u8>()
                .map_err(|_| PyTypeError::new_err("packets must be a buffer of bytes (of the format B, or uint8)"))?;
            let (bytes, shape) = (buffer.to_vec(py)?, buffer.shape().to_vec());
            let layout = match shape[..] {
                [_] => placed(bytes.len(), lengths, offsets)?,
                [count, stride] if offsets.is_none() => in_rows(count, stride, lengths)?,
                [_, _] => return Err(value_error(String::from("packets in rows have no offsets"))),
                _ => return Err(value_error(String::from("packets must be a buffer of one or two dimensions"))),
            };
            Ok((Cow::Owned(bytes), layout))
        }
        Err(_) if lengths.is_none() && offsets.is_none() => listed(packets),
        Err(_) => Err(PyTypeError::new_err(format!("packets must be a buffer of bytes, not {}", kind(packets)))),
    }
}

/// A sequence of packets, put one behind the other.
fn listed<'a>(packets: &Bound<'_, PyAny>) -> PyResult<(Cow<'a, [u8]>, Layout)> {
    let wrong = || {
        PyTypeError::new_err(format!(
            "packets must be a buffer of bytes or a sequence of packets, not {}",
            kind(packets)
        ))
    };
    if packets.is_instance_of::<pyo3::types::PyString>() {
        return Err(wrong());
    }
    let (mut bytes, mut places) = (Vec::new(), Vec::new());
    for packet in packets.try_iter().map_err(|_| wrong())? {
        let packet = packet?;
        let packet = crate::packets::bytes_of(&packet)?;
        places.push((bytes.len(), packet.len()));
        bytes.extend_from_slice(&packet);
    }
    Ok((Cow::Owned(bytes), Layout::Places(places)))
}

/// Rows are whole packets, or have lengths.
fn in_rows(count: usize, stride: usize, lengths: Option<&Bound<'_, PyAny>>) -> PyResult<Layout> {
    let Some(lengths) = lengths else { return Ok(Layout::Rows { count, stride, length: stride }) };
    let long = |length: usize| value_error(format!("a packet of {length} bytes in a row of {stride}"));
    if let Ok(length) = lengths.extract::<usize>() {
        return if length > stride { Err(long(length)) } else { Ok(Layout::Rows { count, stride, length }) };
    }
    let lengths = same_number(ints(lengths, "lengths")?, count, "lengths")?;
    if let Some(length) = lengths.iter().find(|length| **length as usize > stride) {
        return Err(long(*length as usize));
    }
    Ok(Layout::Places(lengths.iter().enumerate().map(|(row, length)| (row * stride, *length as usize)).collect()))
}

/// Packets in a flat buffer: one behind the other, or at offsets.
fn placed(size: usize, lengths: Option<&Bound<'_, PyAny>>, offsets: Option<&Bound<'_, PyAny>>) -> PyResult<Layout> {
    let Some(lengths) = lengths else {
        return Err(PyTypeError::new_err("packets in a flat buffer need lengths; for one packet there is process"));
    };
    let beyond = |end: usize| value_error(format!("packets up to byte {end} in a buffer of {size}"));
    if let (Ok(length), None) = (lengths.extract::<usize>(), offsets) {
        if length == 0 || !size.is_multiple_of(length) {
            return Err(value_error(format!("{size} bytes are no number of packets of {length} bytes")));
        }
        return Ok(Layout::Rows { count: size / length, stride: length, length });
    }
    let Some(offsets) = offsets else {
        let mut end = 0;
        let places = ints(lengths, "lengths")?.into_iter().map(|length| {
            end += length as usize;
            (end - length as usize, length as usize)
        });
        let places: Vec<_> = places.collect();
        return if end > size { Err(beyond(end)) } else { Ok(Layout::Places(places)) };
    };
    let offsets = ints(offsets, "offsets")?;
    let lengths = match lengths.extract::<u32>() {
        Ok(length) => vec![length; offsets.len()],
        Err(_) => same_number(ints(lengths, "lengths")?, offsets.len(), "lengths")?,
    };
    let places: Vec<_> =
        offsets.iter().zip(&lengths).map(|(offset, length)| (*offset as usize, *length as usize)).collect();
    match places.iter().map(|(offset, length)| offset + length).max() {
        Some(end) if end > size => Err(beyond(end)),
        _ => Ok(Layout::Places(places)),
    }
}

/// Offsets are numbers of 32 bits.
fn fits(size: usize) -> PyResult<()> {
    if size > 1 << 31 {
        Err(value_error(format!("{size} bytes are too many for one batch: at most 2147483648")))
    } else {
        Ok(())
    }
}

fn same_number<T>(values: Vec<T>, count: usize, what: &str) -> PyResult<Vec<T>> {
    if values.len() == count {
        Ok(values)
    } else {
        Err(value_error(format!("{} {what} for {count} packets", values.len())))
    }
}

/// Numbers in a buffer of any kind of integers, or in a sequence.
fn ints(values: &Bound<'_, PyAny>, what: &str) -> PyResult<Vec<u32>> {
    fn of<T: pyo3::buffer::Element + TryInto<u32>>(
        buffer: PyUntypedBuffer,
        py: Python<'_>,
    ) -> Option<PyResult<Vec<u32>>> {
        let buffer: PyBuffer<T> = buffer.into_typed().ok()?;
        let all = buffer
            .to_vec(py)
            .map(|all| all.into_iter().map(|value| value.try_into().ok()).collect::<Option<Vec<u32>>>());
        Some(all.and_then(|all| all.ok_or_else(|| value_error(String::from("numbers must be 0 to 4294967295")))))
    }
    let py = values.py();
    if let Ok(buffer) = PyUntypedBuffer::get(values) {
        let again = || PyUntypedBuffer::get(values);
        let found = of::<u32>(buffer, py);
        let found = if found.is_some() { found } else { of::<i64>(again()?, py) };
        let found = if found.is_some() { found } else { of::<u64>(again()?, py) };
        let found = if found.is_some() { found } else { of::<i32>(again()?, py) };
        let found = if found.is_some() { found } else { of::<u16>(again()?, py) };
        let found = if found.is_some() { found } else { of::<u8>(again()?, py) };
        return found.unwrap_or_else(|| Err(PyTypeError::new_err(format!("{what} must be a buffer of integers"))));
    }
    values.extract().map_err(|cause: PyErr| {
        if cause.is_instance_of::<PyOverflowError>(py) {
            return cause;
        }
        let message = format!("{what} must be ints, or a buffer of integers, not {}", kind(values));
        crate::errors::because::<PyTypeError>(py, message, cause)
    })
}

fn floats(values: &Bound<'_, PyAny>) -> PyResult<Vec<f64>> {
    if let Ok(buffer) = PyBuffer::<f64>::get(values) {
        return buffer.to_vec(values.py());
    }
    values.extract().map_err(|cause| {
        let message = format!("now must be a number of seconds, or one for each packet, not {}", kind(values));
        crate::errors::because::<PyTypeError>(values.py(), message, cause)
    })
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
        let codes: Vec<u8> = self.verdicts.iter().map(code).collect();
        PyMemoryView::from(&PyBytes::new(py, &codes))
    }

    /// The number of the reason among those of its verdict, in the order of PassReason, ReplyReason or DropReason from 1
    /// on, uint8; 0 for a packet that is forwarded.
    #[getter]
    fn reason<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        let numbers: Vec<u8> = self.verdicts.iter().map(|verdict| reason(verdict).0).collect();
        PyMemoryView::from(&PyBytes::new(py, &numbers))
    }

    /// Which of servers is at the other end of each packet, int32; -1 for none.
    #[getter]
    fn server<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        array(py, "i", self.places.iter().flat_map(|place| place.server.to_ne_bytes()))
    }

    /// Where each packet begins in data, in bytes, uint32.
    #[getter]
    fn offset<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        array(py, "I", self.places.iter().flat_map(|place| place.offset.to_ne_bytes()))
    }

    /// How long each packet is now, in bytes, uint32.
    #[getter]
    fn length<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        array(py, "I", self.places.iter().flat_map(|place| place.length.to_ne_bytes()))
    }

    /// The packets as they are now, one behind the other: packet i is data[offset[i]:offset[i] + length[i]].
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.data)
    }

    /// The addresses and ports of the servers that server tells the numbers of.
    #[getter]
    fn servers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.servers.iter().map(ToString::to_string))
    }

    /// The packets as they are now, one by one.
    #[getter]
    fn packets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.places.iter().map(|place| PyBytes::new(py, self.bytes(place))))
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
        let each = || self.verdicts.iter();
        all.set_item("verdict", each().map(|said| NAMES[usize::from(code(said))]).collect::<Vec<_>>())?;
        all.set_item("reason", each().map(|said| reason(said).1).collect::<Vec<_>>())?;
        all.set_item("next_hop", each().map(next_hop).collect::<Vec<_>>())?;
        all.set_item(
            "direction",
            each().map(|said| out(said).map(|out| direction_name(out.direction))).collect::<Vec<_>>(),
        )?;
        all.set_item("method", each().map(|said| out(said).map(|out| method_name(out.method))).collect::<Vec<_>>())?;
        all.set_item("server", self.places.iter().map(server).collect::<Vec<_>>())?;
        all.set_item("length", self.places.iter().map(|place| place.length).collect::<Vec<_>>())?;
        Ok(all)
    }

    const fn __len__(&self) -> usize {
        self.places.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, number: isize) -> PyResult<Bound<'py, PyAny>> {
        let count = self.places.len() as isize;
        let number = if number < 0 { number + count } else { number };
        let there = usize::try_from(number).ok().and_then(|number| self.said(py, number));
        there.unwrap_or_else(|| Err(PyIndexError::new_err("there is no such packet in the batch")))
    }

    const fn __iter__(slf: Py<Self>) -> BatchIterator {
        BatchIterator { batch: slf, next: AtomicUsize::new(0) }
    }

    fn __repr__(&self) -> String {
        let number = |wanted| self.verdicts.iter().filter(|verdict| code(verdict) == wanted).count();
        let [pass, forward, reply, drop] = [0, 1, 2, 3].map(number);
        format!("<lvs.Batch of {}: {forward} forward, {pass} pass, {reply} reply, {drop} drop>", self.places.len())
    }
}

impl Batch {
    /// The verdict on a packet, if there is one of this number.
    fn said<'py>(&self, py: Python<'py>, number: usize) -> Option<PyResult<Bound<'py, PyAny>>> {
        let place = self.places.get(number)?;
        Some(verdict(py, self.verdicts[number], self.bytes(place), self.server_of(place)))
    }

    fn bytes(&self, place: &Place) -> &[u8] {
        &self.data[place.offset as usize..][..place.length as usize]
    }

    fn server_of(&self, place: &Place) -> Option<SocketAddr> {
        usize::try_from(place.server).ok().map(|number| self.servers[number])
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
        self.batch.get().said(py, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// An array of numbers of a format.
fn array<'py>(py: Python<'py>, format: &str, bytes: impl Iterator<Item = u8>) -> PyResult<Bound<'py, PyAny>> {
    let bytes: Vec<u8> = bytes.collect();
    PyMemoryView::from(&PyBytes::new(py, &bytes))?.call_method1("cast", (format,))
}
