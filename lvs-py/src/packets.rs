//! The bytes of a packet, whatever it comes in, and packets made to order.

use std::borrow::Cow;

use lvs_core::Protocol;
use lvs_core::testkit::packets::Builder;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::convert::{Endpoint, kind, value_error};
use crate::errors::because;

/// The bytes of a packet: of anything that has some, or of what turns into some.
#[inline]
pub(crate) fn bytes_of<'a>(packet: &'a Bound<'_, PyAny>) -> PyResult<Cow<'a, [u8]>> {
    match packet.cast::<PyBytes>() {
        Ok(bytes) => Ok(Cow::Borrowed(bytes.as_bytes())),
        Err(_) => copied(packet).map(Cow::Owned),
    }
}

#[inline(never)]
fn copied(packet: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    match PyBuffer::<u8>::get(packet) {
        Ok(buffer) => buffer.to_vec(packet.py()),
        Err(_) if packet.get_type().hasattr("__bytes__")? => {
            let bytes = packet.py().import("lvs.packets")?.getattr("from_object")?.call1((packet,))?;
            Ok(bytes.cast::<PyBytes>()?.as_bytes().to_vec())
        }
        Err(cause) => {
            let message =
                format!("packet must be a bytes-like object, or a packet of scapy or dpkt, not {}", kind(packet));
            Err(because::<PyTypeError>(packet.py(), message, cause))
        }
    }
}

/// Build a TCP segment over IPv4 or IPv6, with right checksums, from its IP header on.
///
/// Both ends are addresses with ports, of one family. flags are letters out of FSRPAU, as tcpdump and scapy write them;
/// options is a number of words of IPv4 options (at most 10) or of IPv6 hop-by-hop headers. Raises ValueError for what
/// is no packet.
#[pyfunction]
#[pyo3(signature = (
    source, destination, *, flags = "S", payload = None, sequence = 1000, acknowledgment = 0, ttl = 64, tos = 0,
    identification = 0x1234, dont_fragment = true, options = 0,
))]
#[expect(clippy::too_many_arguments, reason = "they are named")]
pub(crate) fn tcp<'py>(
    py: Python<'py>,
    source: Endpoint,
    destination: Endpoint,
    flags: &str,
    payload: Option<&Bound<'py, PyAny>>,
    sequence: u32,
    acknowledgment: u32,
    ttl: u8,
    tos: u8,
    identification: u16,
    dont_fragment: bool,
    options: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let builder = builder(Protocol::Tcp, source, destination)?.numbers(sequence, acknowledgment);
    let builder = builder.flags(control_bits(flags)?).ttl(ttl).tos(tos).identification(identification);
    build(py, builder, payload, dont_fragment, options)
}

/// Build a UDP datagram over IPv4 or IPv6, with right checksums unless there shall be none, from its IP header on.
///
/// Arguments are as of tcp. Raises ValueError for what is no packet.
#[pyfunction]
#[pyo3(signature = (
    source, destination, *, payload = None, ttl = 64, tos = 0, identification = 0x1234, dont_fragment = true,
    options = 0, checksum = true,
))]
#[expect(clippy::too_many_arguments, reason = "they are named")]
pub(crate) fn udp<'py>(
    py: Python<'py>,
    source: Endpoint,
    destination: Endpoint,
    payload: Option<&Bound<'py, PyAny>>,
    ttl: u8,
    tos: u8,
    identification: u16,
    dont_fragment: bool,
    options: usize,
    checksum: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let builder = builder(Protocol::Udp, source, destination)?.ttl(ttl).tos(tos).identification(identification);
    let builder = if checksum { builder } else { builder.no_checksum() };
    build(py, builder, payload, dont_fragment, options)
}

/// Build an SCTP packet with one chunk of a type over IPv4 or IPv6, with right checksums, from its IP header on.
///
/// chunk is the number of the type: 1 is INIT, 0 DATA. Other arguments are as of tcp. Raises ValueError for what is no
/// packet.
#[pyfunction]
#[pyo3(signature = (
    source, destination, *, chunk = 1, payload = None, ttl = 64, tos = 0, identification = 0x1234,
    dont_fragment = true, options = 0,
))]
#[expect(clippy::too_many_arguments, reason = "they are named")]
pub(crate) fn sctp<'py>(
    py: Python<'py>,
    source: Endpoint,
    destination: Endpoint,
    chunk: u8,
    payload: Option<&Bound<'py, PyAny>>,
    ttl: u8,
    tos: u8,
    identification: u16,
    dont_fragment: bool,
    options: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let builder = builder(Protocol::Sctp, source, destination)?.chunk(chunk).ttl(ttl).tos(tos);
    build(py, builder.identification(identification), payload, dont_fragment, options)
}

fn builder(protocol: Protocol, source: Endpoint, destination: Endpoint) -> PyResult<Builder> {
    if source.0.is_ipv4() != destination.0.is_ipv4() {
        return Err(value_error(String::from("source and destination must be of one family")));
    }
    Ok(Builder::new(protocol, source.0, destination.0))
}

/// Longest payload: what fits into an IP packet behind the longest headers.
const LONGEST: usize = 65_400;

fn build<'py>(
    py: Python<'py>,
    builder: Builder,
    payload: Option<&Bound<'py, PyAny>>,
    dont_fragment: bool,
    options: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let payload = payload.map_or(Ok(Cow::Borrowed(&[][..])), bytes_of)?;
    if payload.len() > LONGEST {
        return Err(value_error(format!("a payload of {} bytes is too long", payload.len())));
    }
    if options > 10 {
        return Err(value_error(format!("{options} words of options are too many: at most 10")));
    }
    let builder = builder.payload(&payload).options(options);
    let builder = if dont_fragment { builder } else { builder.may_fragment() };
    Ok(PyBytes::new(py, &builder.build()))
}

/// Control bits by their letters.
fn control_bits(letters: &str) -> PyResult<u8> {
    letters.chars().try_fold(0, |bits, letter| {
        let bit = "FSRPAU".find(letter.to_ascii_uppercase());
        let wrong = || value_error(format!("{letter:?} is not a TCP flag: letters out of FSRPAU"));
        bit.map(|bit| bits | 1 << bit).ok_or_else(wrong)
    })
}
