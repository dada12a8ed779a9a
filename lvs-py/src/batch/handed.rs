//! What a batch is made of, as users hand it in: packets in buffers and sequences, times, marks.

use lvs_core::{Instant, Meta};
use pyo3::buffer::{PyBuffer, PyUntypedBuffer};
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyInt};

use super::{HEADROOM, LINE, Parts, Spare, TAILROOM, grow};
use crate::convert::{instant, kind, value_error};

/// What a batch is made of: packets, times, and what the host knows of each.
pub(crate) struct Handed<'a> {
    /// The bytes that packets lie in, unless they were copied into the parts.
    pub(super) bytes: Option<&'a [u8]>,
    pub(super) layout: Layout,
    pub(super) times: Each<Instant>,
    pub(super) metas: Each<Meta>,
    /// With room for the packets.
    pub(super) parts: Parts,
}

impl<'a> Handed<'a> {
    pub(crate) fn new(
        spare: &Spare,
        packets: &'a Bound<'_, PyAny>,
        lengths: Option<&Bound<'_, PyAny>>,
        offsets: Option<&Bound<'_, PyAny>>,
        now: &Bound<'_, PyAny>,
        mark: Option<&Bound<'_, PyAny>>,
        ordinary: Meta,
    ) -> PyResult<Self> {
        let mut parts = spare.take();
        let (bytes, layout) = flat(packets, lengths, offsets, &mut parts.staged)?;
        let count = layout.count();
        parts.make_room(count, layout.room())?;
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
        Ok(Self { bytes, layout, times, metas, parts })
    }
}

/// One for all, or one for each.
pub(super) enum Each<T> {
    One(T),
    Own(Vec<T>),
}

impl<T: Copy + Default> Each<T> {
    /// The one for all, if it is one.
    pub(super) fn first(&self) -> T {
        if let Self::One(one) = self { *one } else { T::default() }
    }
}

impl<T: Copy> Each<T> {
    pub(super) fn of(&self, number: usize) -> T {
        match self {
            Self::One(one) => *one,
            Self::Own(all) => all[number],
        }
    }
}

/// Where packets lie in a flat buffer. All of them are within it.
pub(super) enum Layout {
    /// So many rows, so far apart, each beginning with a packet of this length.
    Rows { count: usize, stride: usize, length: usize },
    /// Each with an offset and a length.
    Places(Vec<(usize, usize)>),
}

impl Layout {
    pub(super) const fn count(&self) -> usize {
        match self {
            Self::Rows { count, .. } => *count,
            Self::Places(places) => places.len(),
        }
    }

    /// Bytes of all rows.
    fn room(&self) -> usize {
        match self {
            Self::Rows { count, length, .. } => count.saturating_mul(row(*length)),
            Self::Places(places) => places.iter().map(|(_, length)| row(*length)).sum(),
        }
    }
}

/// Bytes of a row for a packet of so many.
pub(super) const fn row(length: usize) -> usize {
    HEADROOM + length.next_multiple_of(LINE) + TAILROOM
}

/// The bytes that packets lie in, unless they were copied to `staged`, and where they lie.
fn flat<'a>(
    packets: &'a Bound<'_, PyAny>,
    lengths: Option<&Bound<'_, PyAny>>,
    offsets: Option<&Bound<'_, PyAny>>,
    staged: &mut Vec<u8>,
) -> PyResult<(Option<&'a [u8]>, Layout)> {
    let py = packets.py();
    if let Ok(bytes) = packets.cast::<PyBytes>() {
        let bytes = bytes.as_bytes();
        return Ok((Some(bytes), placed(bytes.len(), lengths, offsets)?));
    }
    match PyUntypedBuffer::get(packets) {
        Ok(buffer) => {
            let buffer = buffer
                .into_typed::<u8>()
                .map_err(|_| PyTypeError::new_err("packets must be a buffer of bytes (of the format B, or uint8)"))?;
            let (size, shape) = (buffer.item_count(), buffer.shape());
            let layout = match shape[..] {
                [_] => placed(size, lengths, offsets)?,
                [count, stride] if offsets.is_none() => in_rows(count, stride, lengths)?,
                [_, _] => return Err(value_error(String::from("packets in rows have no offsets"))),
                _ => return Err(value_error(String::from("packets must be a buffer of one or two dimensions"))),
            };
            grow(staged, size, 0)?;
            buffer.copy_to_slice(py, &mut staged[..size])?;
            Ok((None, layout))
        }
        Err(_) if lengths.is_none() && offsets.is_none() => listed(packets, staged),
        Err(_) => Err(PyTypeError::new_err(format!("packets must be a buffer of bytes, not {}", kind(packets)))),
    }
}

/// A sequence of packets, put one behind the other.
fn listed<'a>(packets: &Bound<'_, PyAny>, staged: &mut Vec<u8>) -> PyResult<(Option<&'a [u8]>, Layout)> {
    let wrong = || {
        PyTypeError::new_err(format!(
            "packets must be a buffer of bytes or a sequence of packets, not {}",
            kind(packets)
        ))
    };
    if packets.is_instance_of::<pyo3::types::PyString>() {
        return Err(wrong());
    }
    staged.clear();
    let mut places = Vec::new();
    for packet in packets.try_iter().map_err(|_| wrong())? {
        let packet = packet?;
        let packet = crate::packets::bytes_of(&packet)?;
        places.push((staged.len(), packet.len()));
        staged.extend_from_slice(&packet);
    }
    Ok((None, Layout::Places(places)))
}

/// Rows are whole packets, or have lengths.
fn in_rows(count: usize, stride: usize, lengths: Option<&Bound<'_, PyAny>>) -> PyResult<Layout> {
    if stride == 0 {
        fits(count.saturating_mul(row(0)))?;
        return Ok(Layout::Places(vec![(0, 0); count]));
    }
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
        if length > 0 && size == 0 {
            return Ok(Layout::Places(Vec::new()));
        }
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
pub(super) fn fits(size: usize) -> PyResult<()> {
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
        if is_foreign(&buffer) {
            return Err(PyTypeError::new_err(format!("{what} must be in the machine's own order of bytes")));
        }
        let again = || PyUntypedBuffer::get(values);
        let found = of::<u32>(buffer, py);
        let found = if found.is_some() { found } else { of::<i64>(again()?, py) };
        let found = if found.is_some() { found } else { of::<u64>(again()?, py) };
        let found = if found.is_some() { found } else { of::<i32>(again()?, py) };
        let found = if found.is_some() { found } else { of::<u16>(again()?, py) };
        let found = if found.is_some() { found } else { of::<u8>(again()?, py) };
        let found = if found.is_some() { found } else { of::<i16>(again()?, py) };
        let found = if found.is_some() { found } else { of::<i8>(again()?, py) };
        return found.unwrap_or_else(|| Err(PyTypeError::new_err(format!("{what} must be a buffer of integers"))));
    }
    values.extract().map_err(|cause: PyErr| {
        if cause.is_instance_of::<PyOverflowError>(py) {
            return cause;
        }
        if values.is_instance_of::<PyInt>() {
            return value_error(format!("{what} must be ints from 0 on, not {values}"));
        }
        let message = format!("{what} must be ints, or a buffer of integers, not {}", kind(values));
        crate::errors::because::<PyTypeError>(py, message, cause)
    })
}

/// Whether a buffer has numbers of another machine's order of bytes.
fn is_foreign(buffer: &PyUntypedBuffer) -> bool {
    let foreign: &[u8] = if cfg!(target_endian = "little") { b">!" } else { b"<" };
    buffer.format().to_bytes().first().is_some_and(|first| foreign.contains(first))
}

fn floats(values: &Bound<'_, PyAny>) -> PyResult<Vec<f64>> {
    if let Ok(buffer) = PyUntypedBuffer::get(values)
        && !is_foreign(&buffer)
        && let Ok(buffer) = buffer.into_typed::<f64>()
    {
        return buffer.to_vec(values.py());
    }
    values.extract().map_err(|cause| {
        let message = format!("now must be a number of seconds, or one for each packet, not {}", kind(values));
        crate::errors::because::<PyTypeError>(values.py(), message, cause)
    })
}
